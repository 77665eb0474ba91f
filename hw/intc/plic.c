/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SiFive PLIC (machine-virt 2.7 and 5). The board wires it; devices
 * raise inputs, harts get one output per context. An input is latched when
 * it is raised, and again when its claim completes while it is still up.
 * Never looks at what a device is.
 */
#include <glib.h>
#include <string.h>
#include "hw/intc/plic.h"

#define PRIORITY_MASK 7
#define PENDING_BASE 0x1000
#define ENABLE_BASE 0x2000
#define ENABLE_STRIDE 0x80
#define CONTEXT_BASE 0x200000
#define CONTEXT_STRIDE 0x1000

static bool bit_get(const uint32_t *words, unsigned n)
{
    return words[n / 32] >> (n % 32) & 1;
}

static void bit_set(uint32_t *words, unsigned n, bool value)
{
    uint32_t bit = 1u << (n % 32);

    words[n / 32] = value ? words[n / 32] | bit : words[n / 32] & ~bit;
}

/* The source that context would claim: highest priority above its threshold, lowest number on a tie; 0: none. */
static unsigned plic_best(const PLIC *plic, unsigned context)
{
    uint32_t best_priority = plic->target_priority[context];
    unsigned best = 0;

    for (unsigned w = 0; w < PLIC_WORDS; w++) {
        uint32_t candidates = plic->pending[w] & ~plic->claimed[w] &
                              plic->enable[context * PLIC_WORDS + w];

        while (candidates) {
            unsigned n = w * 32 + __builtin_ctz(candidates);

            candidates &= candidates - 1;
            if (n && plic->source_priority[n] > best_priority) {
                best_priority = plic->source_priority[n];
                best = n;
            }
        }
    }
    return best;
}

static void plic_update(PLIC *plic)
{
    for (unsigned c = 0; c < plic->contexts; c++) {
        plic->output(plic->opaque, c, plic_best(plic, c) != 0);
    }
}

void plic_set_irq(void *opaque, unsigned n, bool level)
{
    PLIC *plic = opaque;
    bool was;

    if (n == 0 || n >= PLIC_SOURCES) {
        return;
    }
    was = bit_get(plic->level, n);
    bit_set(plic->level, n, level);
    /*
     * A raise during a claim is latched at once, not at the completion: QEMU
     * does not know levels, and would lose it if the guest moved in between.
     */
    if (level && !bit_get(plic->pending, n) && (!was || !bit_get(plic->claimed, n))) {
        bit_set(plic->pending, n, true);
        plic_update(plic);
    }
}

static uint32_t plic_claim(PLIC *plic, unsigned context)
{
    unsigned n = plic_best(plic, context);

    if (n) {
        bit_set(plic->pending, n, false);
        bit_set(plic->claimed, n, true);
        plic_update(plic);
    }
    return n;
}

static void plic_complete(PLIC *plic, uint32_t n)
{
    if (n == 0 || n >= PLIC_SOURCES) {
        return;
    }
    bit_set(plic->claimed, n, false);
    if (bit_get(plic->level, n)) {
        bit_set(plic->pending, n, true);
    }
    plic_update(plic);
}

/* Splits an address into context and register; false outside the contexts. */
static bool plic_context_register(const PLIC *plic, uint64_t offset, unsigned *context,
                                  unsigned *reg)
{
    *context = (offset - CONTEXT_BASE) / CONTEXT_STRIDE;
    *reg = (offset - CONTEXT_BASE) % CONTEXT_STRIDE;
    return *context < plic->contexts;
}

static bool plic_enable_word(const PLIC *plic, uint64_t offset, unsigned *index)
{
    unsigned context = (offset - ENABLE_BASE) / ENABLE_STRIDE;
    unsigned word = (offset - ENABLE_BASE) % ENABLE_STRIDE / 4;

    *index = context * PLIC_WORDS + word;
    return context < plic->contexts && word < PLIC_WORDS;
}

static MemTxResult plic_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    PLIC *plic = opaque;
    unsigned context, reg, index;

    *value = 0;
    if (size != 4 || offset & 3) {
        return MEMTX_ERROR;
    }
    if (offset < 4 * PLIC_SOURCES) {
        *value = plic->source_priority[offset / 4];
    } else if (offset >= PENDING_BASE && offset < PENDING_BASE + 4 * PLIC_WORDS) {
        *value = plic->pending[(offset - PENDING_BASE) / 4];
    } else if (offset >= ENABLE_BASE && offset < CONTEXT_BASE) {
        *value = plic_enable_word(plic, offset, &index) ? plic->enable[index] : 0;
    } else if (offset >= CONTEXT_BASE && plic_context_register(plic, offset, &context, &reg)) {
        if (reg == 0) {
            *value = plic->target_priority[context];
        } else if (reg == 4) {
            *value = plic_claim(plic, context);
        }
    }
    return MEMTX_OK;
}

static MemTxResult plic_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    PLIC *plic = opaque;
    unsigned context, reg, index;

    if (size != 4 || offset & 3) {
        return MEMTX_ERROR;
    }
    if (offset >= 4 && offset < 4 * PLIC_SOURCES) {
        plic->source_priority[offset / 4] = value & PRIORITY_MASK;
        plic_update(plic);
    } else if (offset >= ENABLE_BASE && offset < CONTEXT_BASE) {
        if (plic_enable_word(plic, offset, &index)) {
            /* source 0 does not exist */
            plic->enable[index] = index % PLIC_WORDS ? value : value & ~1u;
            plic_update(plic);
        }
    } else if (offset >= CONTEXT_BASE && plic_context_register(plic, offset, &context, &reg)) {
        if (reg == 0) {
            plic->target_priority[context] = value & PRIORITY_MASK;
            plic_update(plic);
        } else if (reg == 4) {
            plic_complete(plic, value);
        }
    }
    return MEMTX_OK;
}

PLIC *plic_new(unsigned harts, void (*output)(void *opaque, unsigned context, bool level),
               void *opaque)
{
    PLIC *plic = g_new0(PLIC, 1);

    plic->contexts = 2 * MIN(harts, PLIC_HARTS_MAX);
    plic->output = output;
    plic->opaque = opaque;
    plic->target_count = plic->contexts;
    plic->enable_count = plic->contexts * PLIC_WORDS;
    plic->target_priority = g_new0(uint32_t, plic->target_count);
    plic->enable = g_new0(uint32_t, plic->enable_count);
    return plic;
}

void plic_free(PLIC *plic)
{
    g_free(plic->target_priority);
    g_free(plic->enable);
    g_free(plic);
}

void plic_reset(PLIC *plic)
{
    memset(plic->source_priority, 0, sizeof(plic->source_priority));
    memset(plic->pending, 0, sizeof(plic->pending));
    memset(plic->claimed, 0, sizeof(plic->claimed));
    memset(plic->target_priority, 0, plic->target_count * sizeof(uint32_t));
    memset(plic->enable, 0, plic->enable_count * sizeof(uint32_t));
    plic_update(plic);
}

static bool plic_post_load(void *opaque, int version_id, GError **errp)
{
    PLIC *plic = opaque;

    for (unsigned i = 0; i < PLIC_SOURCES; i++) {
        plic->source_priority[i] &= PRIORITY_MASK;
    }
    for (unsigned i = 0; i < plic->contexts; i++) {
        plic->target_priority[i] &= PRIORITY_MASK;
    }
    /* A wire that is up here was not seen by the source's latch: a spurious interrupt is harmless, a lost one is not. */
    for (unsigned w = 0; w < PLIC_WORDS; w++) {
        plic->pending[w] |= plic->level[w] & ~plic->claimed[w];
    }
    plic_update(plic);
    return true;
}

const MemoryRegionOps plic_mmio_ops = { plic_read, plic_write };

static const VMStateField plic_fields[] = {
    VMSTATE_UINT32_ARRAY(source_priority, PLIC, PLIC_SOURCES),
    VMSTATE_VARRAY_PTR(target_priority, PLIC, target_count, PLIC_CONTEXTS_MAX, uint32_t,
                       vmstate_info_uint32),
    VMSTATE_UINT32_ARRAY(pending, PLIC, PLIC_WORDS),
    VMSTATE_UINT32_ARRAY(claimed, PLIC, PLIC_WORDS),
    VMSTATE_VARRAY_PTR(enable, PLIC, enable_count, PLIC_CONTEXTS_MAX * PLIC_WORDS, uint32_t,
                       vmstate_info_uint32),
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription plic_vmstate = {
    .name = "riscv_sifive_plic",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = plic_fields,
    .post_load = plic_post_load,
};
