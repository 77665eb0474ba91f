/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/hart-machine.h"

#include <string.h>

static MemTxResult done_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = DONE_READS;
    return MEMTX_OK;
}

static MemTxResult done_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    HartMachine *h = opaque;

    g_mutex_lock(&h->lock);
    h->done = true;
    h->value = value;
    g_cond_broadcast(&h->cond);
    g_mutex_unlock(&h->lock);
    return MEMTX_OK;
}

static const MemoryRegionOps done_ops = { done_read, done_write };

void hart_machine_init(HartMachine *h, unsigned harts)
{
    Machine *m = &h->machine;
    GError *err = NULL;

    *h = (HartMachine){ .done = false };
    g_mutex_init(&h->lock);
    g_cond_init(&h->cond);
    machine_core_init(m, NULL);
    h->block = ram_list_add(m->ram, "ram", RAM_BYTES, NULL, &err);
    g_assert_no_error(err);
    g_assert_true(address_space_add_ram(m->as, "ram", RAM_BASE, h->block, &err));
    g_assert_true(address_space_add_io(m->as, "done", DONE_BASE, 0x1000, &done_ops, h, &err));
    m->cpus = cpus_new(m, "rv64,resetvec=0x80000000", harts, &err);
    g_assert_no_error(err);
}

void hart_machine_clear(HartMachine *h)
{
    Machine *m = &h->machine;

    cpus_pause_begin(m->cpus);
    cpus_free(m->cpus);
    m->cpus = NULL;
    machine_core_clear(m);
    g_mutex_clear(&h->lock);
    g_cond_clear(&h->cond);
}

uint64_t hart_machine_run(HartMachine *h)
{
    gint64 until = g_get_monotonic_time() + 60 * G_TIME_SPAN_SECOND;

    cpus_pause_end(h->machine.cpus);
    g_mutex_lock(&h->lock);
    while (!h->done && g_cond_wait_until(&h->cond, &h->lock, until)) {
        /* again */
    }
    g_assert_true(h->done);
    uint64_t value = h->value;
    g_mutex_unlock(&h->lock);
    cpus_pause_begin(h->machine.cpus);
    return value;
}

void hart_machine_load(HartMachine *h, const uint32_t *code, size_t n)
{
    memcpy(h->block->host, code, n * sizeof(code[0]));
    h->done = false;
}

void hart_machine_load_scribbler(HartMachine *h)
{
    static const uint32_t code[] = {
        0xf14024f3,     /* csrr s1, mhartid */
        0x00008437, 0x0014041b, 0x01041413,     /* li s0, 0x80010000 */
        0x6c0799b7, 0x9659899b,                 /* li s3, 0x6c078965 */
        0x04d48913,     /* addi s2, s1, 77 */
        0x00349a93,     /* slli s5, s1, 3 */
        0x03390933,     /* 1: mul s2, s2, s3 */
        0x06390913,     /* addi s2, s2, 99 */
        0x00d95293,     /* srli t0, s2, 13 */
        0x00100337, 0xff03031b,                 /* li t1, 0xffff0 */
        0x0062f2b3,     /* and t0, t0, t1 */
        0x000e0337,     /* lui t1, 0xe0 */
        0xfe62f2e3,     /* bgeu t0, t1, 1b */
        0x008282b3,     /* add t0, t0, s0 */
        0x015282b3,     /* add t0, t0, s5 */
        0x0122b023,     /* sd s2, 0(t0) */
        0xfd5ff06f,     /* j 1b */
    };

    hart_machine_load(h, code, G_N_ELEMENTS(code));
}
