/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One interrupt wire from a device to whatever it is soldered to; used by every device, under the BQL. */
#ifndef HW_IRQ_H
#define HW_IRQ_H

#include <stdbool.h>

typedef struct IRQLine {
    void (*set)(void *opaque, unsigned n, bool level);
    void *opaque;
    unsigned n;
} IRQLine;

/** Drives the wire; an unconnected one (all zero) is ignored. BQL. */
static inline void irq_line_set(const IRQLine *line, bool level)
{
    if (line->set) {
        line->set(line->opaque, line->n, level);
    }
}

#endif
