/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See paging.h. Called for the ELF core; believes nothing that the tables say. */
#include <string.h>
#include "paging.h"

enum { PTE_VALID = 1, PTE_LEAF = 2 | 4 | 8, ENTRIES = 512, TABLES_MAX = 1 << 17, MAPPINGS_MAX = 60000 };
#define PPN_MASK ((1ULL << 44) - 1)

typedef struct PageWalk {
    const Model *m;
    GArray *out;            /* Mapping */
    uint64_t sign;          /* the highest bit of a virtual address: those above are like it */
    unsigned tables;        /* read so far: tables may point to each other in circles */
} PageWalk;

const RamBlock *paging_find_ram(const Model *m, uint64_t phys, uint64_t *offset)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->guest_addr != UINT64_MAX && phys >= b->guest_addr &&
            phys - b->guest_addr < b->length) {
            *offset = phys - b->guest_addr;
            return b;
        }
    }
    return NULL;
}

static void add_mapping(PageWalk *w, uint64_t virt, uint64_t phys, uint64_t length)
{
    Mapping *last = w->out->len ? &g_array_index(w->out, Mapping, w->out->len - 1) : NULL;

    if (last && last->virt + last->length == virt && last->phys + last->length == phys) {
        last->length += length;
    } else if (w->out->len < MAPPINGS_MAX) {
        Mapping fresh = { virt, phys, length };
        g_array_append_val(w->out, fresh);
    }
}

/* A leaf may be larger than the RAM behind it, or begin before it. */
static void add_leaf(PageWalk *w, uint64_t virt, uint64_t phys, uint64_t length)
{
    if (virt & w->sign) {
        virt |= ~(w->sign - 1);
    }
    for (guint i = 0; i < w->m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(w->m->blocks, i);
        uint64_t first = MAX(phys, b->guest_addr);
        if (b->guest_addr == UINT64_MAX || first - phys >= length ||
            first - b->guest_addr >= b->length) {
            continue;
        }
        add_mapping(w, virt + (first - phys), first,
                    MIN(length - (first - phys), b->length - (first - b->guest_addr)));
    }
}

static void walk_table(PageWalk *w, uint64_t table, uint64_t virt, int level)
{
    uint64_t offset;
    const RamBlock *b = paging_find_ram(w->m, table, &offset);

    if (!b || b->length - offset < PAGE || ++w->tables > TABLES_MAX) {
        return;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t pte, step = (uint64_t)PAGE << (9 * level), at = virt + i * step;
        memcpy(&pte, b->data + offset + 8 * i, 8);
        pte = GUINT64_FROM_LE(pte);
        uint64_t phys = (pte >> 10 & PPN_MASK) * PAGE;
        if (!(pte & PTE_VALID)) {
            continue;
        }
        if (pte & PTE_LEAF) {
            add_leaf(w, at, phys & ~(step - 1), step);
        } else if (level > 0) {
            walk_table(w, phys, at, level - 1);
        }
    }
}

GArray *paging_mappings(const Model *m, uint64_t satp)
{
    unsigned mode = satp >> 60, levels = mode >= 8 && mode <= 10 ? mode - 5 : 0;    /* Sv39: 3 */
    PageWalk w = {
        .m = m, .out = g_array_new(false, false, sizeof(Mapping)),
        .sign = levels ? 1ULL << (11 + 9 * levels) : 0,
    };

    if (levels) {
        walk_table(&w, (satp & PPN_MASK) * PAGE, 0, levels - 1);
    }
    return w.out;
}
