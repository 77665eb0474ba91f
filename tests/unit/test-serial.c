/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hw/char/serial: identification, FIFO, interrupts, a blocked transmitter,
 * and its section with every subsection. The chardev is this file's.
 */
#include <string.h>
#include "hw/char/serial-regs.h"

/* ---- a chardev that takes as much as it is told ---- */

static GString *sent;
static size_t room;
static const ChardevFrontend *front;
static void *front_opaque;
static int chr_token;

bool chardev_attach(Chardev *chr, const ChardevFrontend *fe, void *opaque, GError **errp)
{
    front = fe;
    front_opaque = opaque;
    return true;
}

void chardev_detach(Chardev *chr, void *opaque)
{
    front = NULL;
}

void chardev_accept_input(Chardev *chr)
{
}

size_t chardev_write(Chardev *chr, const void *buf, size_t len)
{
    size_t n = MIN(len, room);

    g_string_append_len(sent, buf, n);
    room -= n;
    return n;
}

/* ---- fixture ---- */

typedef struct Fix {
    MainLoop *loop;
    VirtualClock *clock;
    Serial *s;
    bool irq;
} Fix;

static void set_irq(void *opaque, unsigned n, bool level)
{
    ((Fix *)opaque)->irq = level;
}

static Fix *fix_new(void)
{
    Fix *f = g_new0(Fix, 1);

    sent = g_string_new(NULL);
    room = SIZE_MAX;
    f->loop = main_loop_new();
    bql_lock(f->loop);
    f->clock = virtual_clock_new(f->loop);
    f->s = serial_new(f->clock, (Chardev *)&chr_token, (IRQLine){ set_irq, f, 0 }, NULL);
    serial_set_running(f->s, true);
    return f;
}

static void fix_free(Fix *f)
{
    serial_free(f->s);
    virtual_clock_free(f->clock);
    bql_unlock(f->loop);
    main_loop_free(f->loop);
    g_string_free(sent, TRUE);
    g_free(f);
}

static uint8_t rd(Fix *f, unsigned reg)
{
    uint64_t value;

    serial_mmio_ops.read(f->s, reg, 1, &value);
    return value;
}

static void wr(Fix *f, unsigned reg, uint8_t value)
{
    serial_mmio_ops.write(f->s, reg, 1, value);
}

/* ---- registers ---- */

static void test_reset_values(void)
{
    Fix *f = fix_new();

    g_assert_cmphex(rd(f, 2), ==, 0x01);
    g_assert_cmphex(rd(f, 5), ==, 0x60);
    g_assert_cmphex(rd(f, 6), ==, 0xb0);
    wr(f, 7, 0xa5);
    g_assert_cmphex(rd(f, 7), ==, 0xa5);
    wr(f, 3, 0x83);
    wr(f, 0, 0x18);
    wr(f, 1, 0x01);
    g_assert_cmphex(rd(f, 0), ==, 0x18);
    g_assert_cmphex(f->s->divider, ==, 0x118);
    wr(f, 3, 0x03);
    g_assert_cmphex(rd(f, 1), ==, 0);
    wr(f, 2, 0x01);
    g_assert_cmphex(rd(f, 2), ==, 0xc1);    /* a 16550A says so */
    fix_free(f);
}

static void test_transmit(void)
{
    Fix *f = fix_new();

    wr(f, 0, 'a');
    g_assert_cmpstr(sent->str, ==, "a");
    wr(f, 1, 0x02);                         /* THR empty: at once */
    g_assert_true(f->irq);
    g_assert_cmphex(rd(f, 2), ==, 0x02);    /* reading it ends it */
    g_assert_false(f->irq);
    wr(f, 0, 'b');
    g_assert_true(f->irq);
    fix_free(f);
}

static void test_blocked(void)
{
    Fix *f = fix_new();

    wr(f, 2, 0x01);
    room = 1;
    for (const char *c = "xyz"; *c; c++) {
        wr(f, 0, *c);
    }
    g_assert_cmpstr(sent->str, ==, "x");
    g_assert_cmphex(rd(f, 5) & 0x40, ==, 0);
    room = 2;
    front->event(front_opaque, CHARDEV_WRITABLE);
    g_assert_cmpstr(sent->str, ==, "xyz");
    g_assert_cmphex(rd(f, 5), ==, 0x60);
    fix_free(f);
}

static void test_receive(void)
{
    Fix *f = fix_new();

    wr(f, 1, 0x05);
    g_assert_cmpuint(front->can_read(front_opaque), ==, 1);
    front->read(front_opaque, (const uint8_t *)"1", 1);
    g_assert_true(f->irq);
    g_assert_cmphex(rd(f, 2), ==, 0x04);
    g_assert_cmpuint(front->can_read(front_opaque), ==, 0);
    g_assert_cmphex(rd(f, 0), ==, '1');
    g_assert_false(f->irq);

    wr(f, 2, 0x81);                         /* FIFO, trigger 8 */
    front->read(front_opaque, (const uint8_t *)"abc", 3);
    g_assert_false(f->irq);
    virtual_clock_step_to(f->clock, 1000000000);
    g_assert_true(f->irq);                  /* four characters' time without more */
    g_assert_cmphex(rd(f, 2), ==, 0xcc);
    g_assert_cmphex(rd(f, 0), ==, 'a');
    g_assert_cmphex(rd(f, 5) & 1, ==, 1);
    rd(f, 0);
    g_assert_cmphex(rd(f, 0), ==, 'c');
    g_assert_false(f->irq);
    serial_set_running(f->s, false);        /* stopped: input waits outside */
    g_assert_cmpuint(front->can_read(front_opaque), ==, 0);
    fix_free(f);
}

static void test_loopback(void)
{
    Fix *f = fix_new();

    wr(f, 4, 0x1f);
    g_assert_cmphex(rd(f, 6), ==, 0xf0);
    wr(f, 0, 'L');
    g_assert_cmphex(rd(f, 0), ==, 'L');
    g_assert_cmpuint(sent->len, ==, 0);
    fix_free(f);
}

/* ---- stream ---- */

static GByteArray *save(Fix *f)
{
    StreamWriter *w = stream_writer_new_memory();
    GError *err = NULL;
    GByteArray *bytes;

    vmstate_save_body(w, &serial_vmstate, f->s, NULL, &err);
    g_assert_no_error(err);
    bytes = stream_writer_take(w);
    stream_writer_free(w);
    return bytes;
}

static bool load(Fix *f, const GByteArray *bytes, GError **errp)
{
    StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);
    bool ok = vmstate_load_body(r, &serial_vmstate, f->s, 3, errp);

    stream_reader_free(r);
    return ok;
}

/* Half-full FIFOs, a blocked transmitter, a running and an expired timeout: all subsections. */
static void test_subsections(void)
{
    Fix *f = fix_new();
    GByteArray *first, *second;
    GError *err = NULL;

    wr(f, 1, 0x07);
    wr(f, 2, 0xc1);
    front->read(front_opaque, (const uint8_t *)"hello", 5);
    virtual_clock_step_to(f->clock, 1000000000);
    room = 0;
    for (const char *c = "0123"; *c; c++) {
        wr(f, 0, *c);
    }
    rd(f, 0);                               /* arms the timer again, ends the pending timeout */
    f->s->timeout_ipending = 1;
    f->s->thr_ipending = 1;
    serial_update_irq(f->s);
    first = save(f);
    g_assert_cmpuint(first->len, >, 11 + 5 * 20);
    serial_reset(f->s);
    load(f, first, &err);
    g_assert_no_error(err);
    second = save(f);
    g_assert_cmpmem(first->data, first->len, second->data, second->len);
    room = SIZE_MAX;
    serial_set_running(f->s, true);
    g_assert_cmpstr(sent->str, ==, "0123");
    g_assert_cmphex(rd(f, 0), ==, 'e');
    g_byte_array_unref(first);
    g_byte_array_unref(second);
    fix_free(f);
}

static void test_bad_streams(void)
{
    Fix *f = fix_new();
    GByteArray *bytes = save(f);
    g_autoptr(GError) err = NULL;

    g_assert_cmpuint(bytes->len, ==, 11);   /* at rest: no subsection */
    bytes->data[7] = 0x20;                  /* LSR: transmitter busy, but no "tsr" */
    g_assert_false(load(f, bytes, &err));
    g_assert_nonnull(strstr(err->message, "inconsistent state in serial device"));
    g_byte_array_unref(bytes);
    fix_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/serial/reset-values", test_reset_values);
    g_test_add_func("/serial/transmit", test_transmit);
    g_test_add_func("/serial/blocked", test_blocked);
    g_test_add_func("/serial/receive", test_receive);
    g_test_add_func("/serial/loopback", test_loopback);
    g_test_add_func("/serial/subsections", test_subsections);
    g_test_add_func("/serial/bad-streams", test_bad_streams);
    return g_test_run();
}
