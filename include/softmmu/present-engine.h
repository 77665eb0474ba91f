/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a page gets into guest memory while a guest runs before its memory has
 * come (present-map.h): one table per way. The map knows what is missing, who
 * asked and who waits, whatever the way is, and everybody who touches guest RAM
 * asks it first; so nobody stands in a page fault of the host while monitors
 * want to be answered.
 *
 *   software      content is copied into the mapping
 *   userfaultfd   the host's kernel keeps everybody out of missing pages and lets content in as a
 *                 whole page: for an accelerator that touches guest memory by itself. Such a touch
 *                 is asked for as one of a device. Needs a right of the process, memfd or anonymous
 *                 memory, and pages of 4 KiB.
 */
#ifndef SOFTMMU_PRESENT_ENGINE_H
#define SOFTMMU_PRESENT_ENGINE_H

#include "softmmu/present-map.h"

typedef struct PresentEngine PresentEngine;     /* one use of a way, from begin to end */

/** All members are there. Never called with a lock of the map held but place, which has that of its page. */
struct PresentEngineOps {
    const char *name;
    /**
     * May this process do it with this RAM? NULL with errp: no, and what to do. Guest memory is
     * loaded as ever between begin and arm.
     */
    PresentEngine *(*begin)(PresentMap *map, RAMList *ram, GError **errp);
    /** What is missing is known (RAMBlock.missing); from now on nobody reads old content there. vCPUs paused. */
    bool (*arm)(PresentEngine *engine, GError **errp);
    /** The page becomes content (4096 bytes; NULL: zeros). It is missing. Threads with different pages at once. */
    void (*place)(PresentEngine *engine, RAMBlock *block, uint64_t page, const void *content);
    /** The map is off, nobody places; also without arm. Frees it; who was kept out goes on. */
    void (*end)(PresentEngine *engine);
};

extern const PresentEngineOps present_engine_software;
extern const PresentEngineOps present_engine_userfaultfd;

#endif
