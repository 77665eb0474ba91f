/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination of a postcopy against streams made by hand (migration-stream
 * 8.4 to 8.7): what is taken, in which order, what is refused and in which
 * words, and what a recovery says.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "../tiny-machine/arriving.h"
#include "migration/stream/format.h"

static const char *const blocks[] = { "ram", NULL };
static const unsigned pages[] = { 8 };

static uint8_t *page_of(Arriving *a, unsigned page)
{
    return ram_list_get(a->t->machine.ram, 0)->host + page * TARGET_PAGE_SIZE;
}

static uint64_t missing(Arriving *a)
{
    return present_map_missing(a->t->machine.present);
}

static GByteArray *setup(void)
{
    GByteArray *b = g_byte_array_new();

    put_setup(b, blocks, pages);
    return b;
}

static void test_whole(void)
{
    g_autoptr(GByteArray) b = setup();
    g_autoptr(GError) err = NULL;
    Arriving *a = arriving_new(8, 0);

    for (unsigned i = 0; i < 8; i++) {
        put_page(b, false, "ram", i * 4096, 0x10 + i);
    }
    put_discard(b, "ram", 0x1000, 0x3000);
    put_switch(b);
    put_page(b, false, "ram", 0x2000, 0xaa);
    put_page(b, false, "ram", 0x5000, 0xbb);    /* is here: the guest may have written to it */
    put_page(b, false, "ram", 0x2000, 0xcc);    /* comes twice */
    put_page(b, false, "ram", 0x1000, 0);
    put_page(b, true, "ram", 0x3000, 0xdd);
    put_be(b, 1, SECTION_EOF);
    g_assert_true(arriving_load(a, b->data, b->len, &err));
    g_assert_no_error(err);
    g_assert_cmpint(arriving_await(a, &err), ==, PAGE_READERS_ENDED);
    g_assert_no_error(err);
    g_assert_cmpuint(missing(a), ==, 0);
    for (unsigned i = 0; i < 8; i++) {
        static const uint8_t want[] = { 0x10, 0, 0xaa, 0xdd, 0x14, 0x15, 0x16, 0x17 };
        g_assert_cmphex(page_of(a, i)[0], ==, want[i]);
        g_assert_cmphex(page_of(a, i)[4095], ==, want[i]);
    }
    g_assert_cmpuint(a->in.duplicates, ==, 2);
    g_assert_cmpmem(a->said->data, a->said->len, "\0\2\0\4\0\0\0\3", 8);
    arriving_free(a);
}

/* The loading fails, before or in the package. */
static void fails(GByteArray *b, const char *text)
{
    g_autoptr(GError) err = NULL;
    Arriving *a = arriving_new(8, 0);

    g_assert_false(arriving_load(a, b->data, b->len, &err));
    if (!strstr(err->message, text)) {
        g_error("'%s' instead of '%s'", err->message, text);
    }
    arriving_free(a);
    g_byte_array_unref(b);
}

static GByteArray *with_command(uint16_t number, const void *data, uint16_t len)
{
    GByteArray *b = setup();

    put_command(b, number, data, len);
    return b;
}

static GByteArray *with_discard(const char *block, uint64_t start, uint64_t len)
{
    GByteArray *b = setup();

    put_discard(b, block, start, len);
    return b;
}

static GByteArray *with_package(const GByteArray *package, uint32_t len)
{
    GByteArray *b = setup();

    put_command(b, MIG_CMD_PACKAGED, NULL, 4);
    uint32_t be = GUINT32_TO_BE(len);
    memcpy(b->data + b->len - 4, &be, 4);
    g_byte_array_append(b, package->data, package->len);
    return b;
}

static void test_refused(void)
{
    static const uint8_t huge_pages[16] = { [5] = 0x20, [14] = 0x10 };
    g_autoptr(GByteArray) run = g_byte_array_new(), nothing = g_byte_array_new();
    g_autoptr(GByteArray) nested = g_byte_array_new(), twice = g_byte_array_new();
    g_autoptr(GByteArray) ram = g_byte_array_new();

    fails(with_command(MIG_CMD_POSTCOPY_ADVISE, NULL, 16),
          "CMD_POSTCOPY_ADVISE in wrong postcopy state (1)");
    fails(with_command(MIG_CMD_POSTCOPY_ADVISE, NULL, 0), "CMD_POSTCOPY_ADVISE invalid length (0)");
    fails(with_command(MIG_CMD_POSTCOPY_LISTEN, NULL, 0),
          "CMD_POSTCOPY_LISTEN received before the switch");
    fails(with_command(MIG_CMD_POSTCOPY_RESUME, NULL, 0),
          "CMD_POSTCOPY_RESUME received before the switch");
    fails(with_command(MIG_CMD_RECV_BITMAP, "\3ram", 4),
          "CMD_MIG_RECV_BITMAP received before the switch");
    fails(with_command(MIG_CMD_POSTCOPY_RAM_DISCARD, NULL, 19), "malformed (length 19)");
    fails(with_command(MIG_CMD_POSTCOPY_RAM_DISCARD, "\1\3ram\0" "0123456789abcdef", 22),
          "CMD_POSTCOPY_RAM_DISCARD invalid version (1)");
    fails(with_command(MIG_CMD_POSTCOPY_RAM_DISCARD, "\0\3ram\1" "0123456789abcdef", 22),
          "malformed");
    fails(with_discard("rom", 0, 4096), "there is no RAM block \"rom\"");
    fails(with_discard("ram", 0x8000, 4096), "CMD_POSTCOPY_RAM_DISCARD: 0x1000 bytes at 0x8000");
    fails(with_discard("ram", 0x7000, 0x2000), "0x2000 bytes at 0x7000");
    fails(with_discard("ram", 0x1000, UINT64_MAX - 0xfff), "bytes at 0x1000");
    fails(with_discard("ram", 0x800, 0x1000), "bytes at 0x800");
    fails(with_discard("ram", 0x1000, 0), "0x0 bytes at 0x1000");

    put_command(run, MIG_CMD_POSTCOPY_RUN, NULL, 0);
    fails(with_package(run, run->len), "CMD_POSTCOPY_RUN in wrong postcopy state (1)");
    fails(with_package(nothing, 0), "Unexpected end of migration stream");
    fails(with_package(nothing, 1U << 31), "Unreasonably large packaged state: 2147483648 bytes");
    fails(with_package(run, 1U << 20), "Unexpected end of migration stream");
    put_command(nested, MIG_CMD_PACKAGED, NULL, 4);
    fails(with_package(nested, nested->len), "CMD_PACKAGED received in a package");
    put_command(twice, MIG_CMD_POSTCOPY_LISTEN, NULL, 0);
    put_command(twice, MIG_CMD_POSTCOPY_LISTEN, NULL, 0);
    fails(with_package(twice, twice->len), "CMD_POSTCOPY_LISTEN in wrong postcopy state (3)");
    put_page(ram, false, "ram", 0, 1);
    fails(with_package(ram, ram->len), "Unexpected section 'ram' in a package");
    put_be(nothing, 1, SECTION_EOF);
    fails(with_package(nothing, 1), "The package does not start the guest");

    /* Page sizes: in the stream's first advice. */
    GByteArray *b = setup();
    uint8_t *at = memmem(b->data, b->len, "\0\3\0\20", 4);
    memcpy(at + 4, huge_pages, sizeof(huge_pages));
    fails(b, "Postcopy needs matching RAM page sizes (s=200000 d=1000)");
}

/* Behind the switch: the guest may run, the connection is dropped. */
static void breaks(GByteArray *rest, const char *text)
{
    g_autoptr(GByteArray) b = setup();
    g_autoptr(GError) err = NULL;
    Arriving *a = arriving_new(8, 0);

    put_discard(b, "ram", 0, 0x8000);
    put_switch(b);
    g_byte_array_append(b, rest->data, rest->len);
    g_assert_true(arriving_load(a, b->data, b->len, &err));
    g_assert_cmpint(arriving_await(a, &err), ==, PAGE_READERS_BROKEN);
    if (!strstr(err->message, text)) {
        g_error("'%s' instead of '%s'", err->message, text);
    }
    arriving_free(a);
    g_byte_array_unref(rest);
}

static void test_broken(void)
{
    GByteArray *b = g_byte_array_new();

    breaks(b, "Unexpected end of migration stream");
    b = g_byte_array_new();
    put_page(b, false, "ram", 0x8000, 1);
    breaks(b, "Illegal RAM offset 8000");
    b = g_byte_array_new();
    put_page(b, false, "rom", 0, 1);
    breaks(b, "Can't find block rom");
    b = g_byte_array_new();
    put_page(b, false, "ram", 0, 0);
    b->data[5 + 7] = RAM_FLAG_ZERO | RAM_FLAG_CONTINUE;     /* of a block before the switch */
    breaks(b, "CONTINUE without a block before");
    b = g_byte_array_new();
    put_page(b, false, "ram", 0, 0);
    b->data[5 + 7] = RAM_FLAG_XBZRLE;
    breaks(b, "XBZRLE record after the switch to postcopy");
    b = g_byte_array_new();
    put_be(b, 1, SECTION_PART);
    put_be(b, 4, 2);
    put_be(b, 8, 0x8000 | RAM_FLAG_MEM_SIZE);
    breaks(b, "List of RAM blocks after the switch to postcopy");
    b = g_byte_array_new();
    put_be(b, 1, SECTION_FULL);
    put_be(b, 4, 7);
    put_cstr(b, "timer");
    put_be(b, 8, 2);
    breaks(b, "Unexpected section 'timer' after the switch to postcopy");
    b = g_byte_array_new();
    put_command(b, MIG_CMD_POSTCOPY_RUN, NULL, 0);
    breaks(b, "CMD_POSTCOPY_RUN received after the switch to postcopy");
    b = g_byte_array_new();
    put_command(b, MIG_CMD_POSTCOPY_RESUME, NULL, 0);
    breaks(b, "CMD_POSTCOPY_RESUME received, but this is no recovery");
}

static void test_recovery(void)
{
    g_autoptr(GByteArray) b = setup(), none = g_byte_array_new(), rest = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    Arriving *a = arriving_new(8, 0);
    Incoming *in = &a->in;

    put_discard(b, "ram", 0x1000, 0x4000);
    put_switch(b);
    put_page(b, false, "ram", 0x3000, 0x33);
    put_be(b, 1, SECTION_PART);     /* cut here */
    g_assert_true(arriving_load(a, b->data, b->len, &err));
    /* Wanted by a vCPU; the request goes with the connection, or not at all. */
    g_assert_false(present_map_need(in->machine->present, ram_list_get(in->machine->ram, 0), 0x2000,
                                    1, 0, NULL));
    g_assert_cmpint(arriving_await(a, NULL), ==, PAGE_READERS_BROKEN);
    g_assert_cmpuint(missing(a), ==, 3);

    put_command(none, MIG_CMD_RECV_BITMAP, "\3rom", 4);
    arriving_recover(a, none->data, none->len);
    g_assert_cmpint(arriving_await(a, &err), ==, PAGE_READERS_BROKEN);
    g_assert_nonnull(strstr(err->message, "there is no RAM block \"rom\""));
    g_assert_cmpuint(a->said->len, ==, 0);

    put_command(rest, MIG_CMD_RECV_BITMAP, "\3ram", 4);
    put_command(rest, MIG_CMD_POSTCOPY_RESUME, NULL, 0);
    put_page(rest, false, "ram", 0x1000, 0x11);
    put_page(rest, false, "ram", 0x2000, 0x22);
    put_page(rest, true, "ram", 0x4000, 0x44);
    put_be(rest, 1, SECTION_EOF);
    arriving_recover(a, rest->data, rest->len);
    g_clear_error(&err);
    g_assert_cmpint(arriving_await(a, &err), ==, PAGE_READERS_ENDED);
    g_assert_no_error(err);
    g_assert_cmpuint(missing(a), ==, 0);
    for (unsigned i = 1; i < 5; i++) {
        g_assert_cmphex(page_of(a, i)[99], ==, 0x11 * i);
    }
    /* Type 5, the name, eight bytes of bitmap (1, 2, 4 are missing), the mark; the acknowledgement. */
    static const uint8_t answer[] = { 0, 5, 0, 4, 3, 'r', 'a', 'm', 0, 0, 0, 0, 0, 0, 0, 8,
                                      0xe9, 0, 0, 0, 0, 0, 0, 0,
                                      1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                      0, 6, 0, 4, 0, 0, 0, 1 };
    g_assert_cmpuint(a->said->len, >=, sizeof(answer));
    g_assert_cmpmem(a->said->data, sizeof(answer), answer, sizeof(answer));
    g_assert_cmpint(migration_state_get(&in->m->in_state), ==, MIGRATION_STATUS_POSTCOPY_ACTIVE);
    arriving_free(a);
}

static gpointer await_thread(gpointer opaque)
{
    Arriving *a = opaque;
    GError *err = NULL;

    g_assert_false(postcopy_await(a->in.postcopy, &err));
    return err;
}

/* The listener that is listened on when it is not old any more. */
static ChannelListener *newer_listener(Incoming *in, const ChannelListener *old)
{
    gint64 until = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;

    for (;;) {
        g_mutex_lock(&in->lock);
        ChannelListener *l = in->next_listener ? NULL : in->listener;
        g_mutex_unlock(&in->lock);
        if (l && l != old) {
            return l;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        g_usleep(500);
    }
}

/* Nobody has come where the source was waited for: elsewhere then, until the process ends. */
static void test_other_address(void)
{
    g_autoptr(GByteArray) b = setup();
    g_autoptr(GError) err = NULL;
    g_autofree char *dir = g_dir_make_tmp("ferry-test-XXXXXX", NULL);
    ChannelListener *listener = NULL;
    Arriving *a = arriving_new(8, 0);
    Incoming *in = &a->in;

    put_discard(b, "ram", 0x1000, 0x4000);
    put_switch(b);
    g_assert_true(arriving_load(a, b->data, b->len, &err));
    GThread *thread = g_thread_new("await", await_thread, a);
    while (migration_state_get(&in->m->in_state) != MIGRATION_STATUS_POSTCOPY_PAUSED) {
        g_usleep(500);
    }
    for (int i = 0; i < 3; i++) {
        g_autofree char *uri = g_strdup_printf("unix:%s/%d", dir, i);

        tiny_lock(a->t);
        g_assert_true(incoming_recover(in, uri, &err));
        tiny_unlock(a->t);
        listener = newer_listener(in, listener);
    }
    g_assert_cmpint(migration_state_get(&in->m->in_state), ==, MIGRATION_STATUS_POSTCOPY_PAUSED);
    incoming_end(in);
    GError *end = g_thread_join(thread);
    g_assert_nonnull(strstr(end->message, "the process ends"));
    g_clear_error(&end);
    g_clear_error(&in->error);
    g_assert_null(in->listener);
    arriving_free(a);
    for (int i = 0; i < 3; i++) {
        g_autofree char *path = g_strdup_printf("%s/%d", dir, i);
        g_unlink(path);
    }
    g_rmdir(dir);
}

static int dial(const char *dir, int number)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%d", dir, number);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void recover_at(Arriving *a, const char *dir, int number)
{
    g_autofree char *uri = g_strdup_printf("unix:%s/%d", dir, number);
    g_autoptr(GError) err = NULL;

    tiny_lock(a->t);
    g_assert_true(incoming_recover(&a->in, uri, &err));
    tiny_unlock(a->t);
}

/* All is here and the source has not heard of it: it is told wherever it was waited for last, as often as
   it asks, and whatever a connection says that is none of the source's changes nothing. */
static void test_afterwards(void)
{
    /* type 5 with the bitmap of 8 pages, the acknowledgement, a PONG, the last word */
    static const uint8_t want[] = { 0, 5, 0, 4, 3, 'r', 'a', 'm', 0, 0, 0, 0, 0, 0, 0, 8,
                                    0xff, 0, 0, 0, 0, 0, 0, 0,
                                    1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                    0, 6, 0, 4, 0, 0, 0, 1, 0, 2, 0, 4, 0, 0, 0, 9,
                                    0, 1, 0, 4, 0, 0, 0, 0 };
    g_autoptr(GByteArray) b = setup(), again = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    g_autofree char *dir = g_dir_make_tmp("ferry-test-XXXXXX", NULL);
    Arriving *a = arriving_new(8, 0);

    put_switch(b);
    put_be(b, 1, SECTION_EOF);
    g_assert_true(arriving_load(a, b->data, b->len, &err));
    g_assert_cmpint(arriving_await(a, &err), ==, PAGE_READERS_ENDED);
    a->in.after = afterwards_new(&a->in);
    put_command(again, MIG_CMD_RECV_BITMAP, "\3ram", 4);
    put_command(again, MIG_CMD_POSTCOPY_RESUME, NULL, 0);
    put_command(again, MIG_CMD_PING, "\0\0\0\11", 4);
    put_page(again, true, "ram", 0x1000, 0x11);     /* was here before */
    put_be(again, 1, SECTION_EOF);
    for (int turn = 0; turn < 2; turn++) {
        uint8_t said[sizeof(want) + 1];
        size_t len = 0;
        ssize_t n;

        recover_at(a, dir, 2 * turn);
        recover_at(a, dir, 2 * turn + 1);
        g_assert_cmpint(dial(dir, 2 * turn), ==, -1);
        int fd = dial(dir, 2 * turn + 1);
        g_assert_cmpint(write(fd, "stranger", 8), ==, 8);
        close(fd);
        fd = dial(dir, 2 * turn + 1);
        g_assert_cmpint(write(fd, again->data, again->len), ==, again->len);
        while ((n = read(fd, said + len, sizeof(said) - len)) > 0) {
            len += n;
        }
        g_assert_cmpint(n, ==, 0);
        g_assert_cmpmem(said, len, want, sizeof(want));
        close(fd);
    }
    g_assert_cmphex(page_of(a, 1)[0], ==, 0);
    afterwards_free(g_steal_pointer(&a->in.after));
    arriving_free(a);
    for (int i = 0; i < 4; i++) {
        g_autofree char *path = g_strdup_printf("%s/%d", dir, i);
        g_unlink(path);
    }
    g_rmdir(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/postcopy/whole", test_whole);
    g_test_add_func("/postcopy/refused", test_refused);
    g_test_add_func("/postcopy/broken", test_broken);
    g_test_add_func("/postcopy/recovery", test_recovery);
    g_test_add_func("/postcopy/other-address", test_other_address);
    g_test_add_func("/postcopy/afterwards", test_afterwards);
    return g_test_run();
}
