/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RAM of a source or a destination for the tests of migration/ram and migration/mapped. */
#ifndef TESTS_RAM_FIXTURE_H
#define TESTS_RAM_FIXTURE_H

#include <string.h>
#include "migration/ram.h"
#include "migration/stream/format.h"
#include "softmmu/guest-ram.h"

#define PAGE ((uint64_t)STREAM_PAGE_SIZE)

typedef struct Side {
    RAMList *ram;
    DirtyLog *log;
} Side;

typedef struct BlockSpec {
    const char *name;
    uint64_t pages;
} BlockSpec;

static inline Side *side_new(const BlockSpec *blocks, size_t n)
{
    Side *side = g_new0(Side, 1);

    side->ram = ram_list_new();
    for (size_t i = 0; i < n; i++) {
        g_assert_nonnull(ram_list_add(side->ram, blocks[i].name, blocks[i].pages * PAGE, NULL,
                                      NULL));
    }
    side->log = dirty_log_new(side->ram, NULL, NULL);
    return side;
}

static inline void side_free(Side *side)
{
    dirty_log_free(side->log);
    ram_list_free(side->ram);
    g_free(side);
}

static inline RAMBlock *side_block(Side *side, const char *name)
{
    RAMBlock *block = ram_list_find(side->ram, name, strlen(name));

    g_assert_nonnull(block);
    return block;
}

/* A guest store. */
static inline void side_write(Side *side, const char *name, uint64_t offset, const void *buf,
                              size_t len)
{
    RAMBlock *block = side_block(side, name);

    guest_ram_copy_to(block->host + offset, buf, len);
    dirty_log_mark(side->log, block, offset, len);
}

static inline void side_set(Side *side, const char *name, uint64_t offset, uint8_t v, size_t len)
{
    RAMBlock *block = side_block(side, name);

    guest_ram_shared_begin();
    memset(block->host + offset, v, len);
    guest_ram_shared_end();
    dirty_log_mark(side->log, block, offset, len);
}

static inline void side_assert_equal(Side *a, Side *b)
{
    for (size_t i = 0; i < ram_list_count(a->ram); i++) {
        RAMBlock *x = ram_list_get(a->ram, i), *y = side_block(b, x->idstr);

        for (uint64_t p = 0; p < ram_block_pages(x); p++) {
            if (memcmp(x->host + p * PAGE, y->host + p * PAGE, PAGE)) {
                g_error("block %s page %" G_GUINT64_FORMAT " differs", x->idstr, p);
            }
        }
    }
}

/* Nothing dirty is left. */
static inline bool saver_done(RamSaver *saver)
{
    uint64_t dirty;

    ram_save_pending(saver, &dirty);
    return dirty == 0;
}

static inline bool never_exhausted(void *opaque)
{
    return false;
}

#endif
