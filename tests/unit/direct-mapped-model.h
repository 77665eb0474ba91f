/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of the direct-mapped cache of migration-stream 4.4 (addresses and ages only),
 * to compare hit rates with. Used by test-page-cache and tests/bench.
 */
#ifndef TESTS_DIRECT_MAPPED_MODEL_H
#define TESTS_DIRECT_MAPPED_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct DirectMapped {
    uint64_t n;             /* entries = size / 4096 */
    uint64_t *addr, *age;   /* addr UINT64_MAX: empty */
} DirectMapped;

static inline DirectMapped *direct_mapped_new(uint64_t bytes)
{
    DirectMapped *m = g_new0(DirectMapped, 1);

    m->n = bytes / 4096;
    m->addr = g_new(uint64_t, m->n);
    m->age = g_new0(uint64_t, m->n);
    for (uint64_t i = 0; i < m->n; i++) {
        m->addr[i] = UINT64_MAX;
    }
    return m;
}

static inline void direct_mapped_free(DirectMapped *m)
{
    g_free(m->addr);
    g_free(m->age);
    g_free(m);
}

/* One page sent after the bulk stage: true = hit; a miss tries to insert. */
static inline bool direct_mapped_send(DirectMapped *m, uint64_t addr, uint64_t generation)
{
    uint64_t slot = addr / 4096 % m->n;

    if (m->addr[slot] == addr) {
        m->age[slot] = generation;
        return true;
    }
    if (m->addr[slot] == UINT64_MAX || m->age[slot] + 2 <= generation) {
        m->addr[slot] = addr;
        m->age[slot] = generation;
    }
    return false;
}

#endif
