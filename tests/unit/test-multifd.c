/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/multifd: packets to bytes and back, the codecs, and channels in this process: what a
 * source sends between two sync points, and what a destination does with channels that do not keep
 * step. The two halves meet over real sockets.
 */
#include <sys/socket.h>
#include <unistd.h>
#include "channel-fixture.h"
#include "config-host.h"
#include "migration/multifd/multifd-out.h"
#include "migration/multifd/recv.h"
#include "qapi/qapi-types.h"
#include "ram-fixture.h"
#include "util/error.h"

static char *dir;
static Faults no_faults;

static const uint8_t uuid[16] = { 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99 };

/* ---- packets ---- */

/* As QEMU sends them (migration-stream 7.2, 7.3). */
static void test_bytes(void)
{
    static const uint8_t init_bytes[] = {
        0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1,
        0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0,
    };
    static const uint8_t head[] = {
        0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 128, 0, 0, 0, 2, 0, 0, 1, 5,
        0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0,
    };
    MultifdPages p = { .flags = MULTIFD_FLAG_ZLIB, .number = 0x100000009, .normal = 2, .zero = 1,
                       .payload_bytes = 0x105, .block = "ram", .offset = { 0x3000, 0x1000, 0x8000 } };
    MultifdInit init;
    MultifdPacket packet;
    MultifdPages back;
    uint8_t id, theirs[16];

    multifd_init_encode(7, uuid, &init);
    g_assert_cmpmem(&init, sizeof(init_bytes), init_bytes, sizeof(init_bytes));
    g_assert_true(multifd_init_decode(&init, &id, theirs, NULL));
    g_assert_cmpint(id, ==, 7);
    g_assert_cmpmem(theirs, 16, uuid, 16);

    multifd_packet_encode(&p, &packet);
    g_assert_cmpmem(&packet, sizeof(head), head, sizeof(head));
    g_assert_cmpstr(packet.ramblock, ==, "ram");
    g_assert_cmpint(((uint8_t *)&packet)[320 + 6], ==, 0x30);
    g_assert_true(multifd_packet_decode(&packet, &back, NULL));
    g_assert_cmpint(back.flags, ==, p.flags);
    g_assert_cmpint(back.number, ==, p.number);
    g_assert_cmpint(back.normal, ==, 2);
    g_assert_cmpint(back.zero, ==, 1);
    g_assert_cmpint(back.payload_bytes, ==, 0x105);
    g_assert_cmpmem(back.offset, 3 * 8, p.offset, 3 * 8);

    p = (MultifdPages){ .flags = MULTIFD_FLAG_SYNC, .number = 3 };
    multifd_packet_encode(&p, &packet);
    g_assert_cmpint(packet.pages_alloc, ==, 0);
    g_assert_true(multifd_packet_decode(&packet, &back, NULL));
    g_assert_cmpint(back.flags, ==, MULTIFD_FLAG_SYNC);
}

/* One field of a good packet is bent: refused by name, and never taken for something else. */
static void test_refused(void)
{
    static const struct { size_t at; uint32_t value; const char *error; } cases[] = {
        { 0, 0x11223345, "received packet magic 11223345 and expected magic 11223344" },
        { 4, 2, "received packet version 2 and expected version 1" },
        { 8, MULTIFD_FLAG_DEVICE_STATE, "device state in a channel" },
        { 12, 129, "received packet with size 129 and expected a size of 128" },
        { 12, 2, "2 pages and 1 zero pages, but room for 2" },
        { 16, 129, "129 pages and 1 zero pages" },
        { 16, UINT32_MAX, "pages" },
        { 32, 127, "127 zero pages" },
        { 32, UINT32_MAX, "zero pages" },
        { 20, (1 << 20) + 1, "received packet of 1048577 bytes, expected at most 1048576" },
        { 324, 0x3001, "no multiple of 4096" },
        { 340, 0x8fff, "no multiple of 4096" },
    };
    MultifdPages p = { .normal = 2, .zero = 1, .payload_bytes = 8192, .block = "ram",
                       .offset = { 0x3000, 0x1000, 0x8000 } }, back;
    MultifdPacket packet;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        uint32_t v = GUINT32_TO_BE(cases[i].value);

        multifd_packet_encode(&p, &packet);
        memcpy((uint8_t *)&packet + cases[i].at, &v, sizeof(v));
        g_assert_false(multifd_packet_decode(&packet, &back, &err));
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, cases[i].error));
    }
    multifd_packet_encode(&p, &packet);
    memset(packet.ramblock, 'x', sizeof(packet.ramblock));
    g_assert_false(multifd_packet_decode(&packet, &back, NULL));
    /* QEMU 7.2: no pages, and what an older packet has left behind. */
    packet.normal_pages = packet.zero_pages = 0;
    packet.next_packet_size = GUINT32_TO_BE(0xffffffff);
    g_assert_true(multifd_packet_decode(&packet, &back, NULL));
    g_assert_cmpint(back.payload_bytes, ==, 0);
}

/* ---- codecs ---- */

static const MultifdCodec *const codecs[] = {
    &multifd_codec_none, &multifd_codec_zlib,
#ifdef CONFIG_ZSTD
    &multifd_codec_zstd,
#endif
};

static void fill_page(uint8_t *page, GRand *rand, int kind)
{
    for (unsigned i = 0; i < STREAM_PAGE_SIZE; i++) {
        page[i] = kind == 0 ? g_rand_int(rand) : kind == 1 ? i / 256
                                                           : (uint8_t)"text of a guest "[i % 16];
    }
}

static bool codec_turn(const MultifdCodec *codec, void *out, void *in, uint8_t *memory, unsigned n,
                       int bend, GError **errp)
{
    g_autofree uint8_t *there = g_malloc0((n + 1) * STREAM_PAGE_SIZE);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    const uint8_t *pages[MULTIFD_PACKET_PAGES];
    uint8_t *places[MULTIFD_PACKET_PAGES];
    MultifdPayload payload;

    for (unsigned i = 0; i < n; i++) {
        pages[i] = memory + (n - 1 - i) * STREAM_PAGE_SIZE; /* no neighbours */
        places[i] = there + (n - 1 - i) * STREAM_PAGE_SIZE;
    }
    g_assert_true(codec->pack(out, pages, n, &payload, NULL));
    for (int i = 0; i < payload.count; i++) {
        g_byte_array_append(bytes, payload.iov[i].iov_base, payload.iov[i].iov_len);
    }
    g_assert_cmpint(bytes->len, ==, payload.bytes);
    g_assert_cmpint(bytes->len, <=, MULTIFD_PAYLOAD_MAX);
    uint32_t len = payload.bytes;
    if (bend == 1) {
        len -= 20;
    } else if (bend == 2) {
        g_byte_array_set_size(bytes, len + 4096);
        memset(bytes->data + len, 0xff, 4096);
        len += 4096;
    }
    StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);
    bool ok = codec->unpack(in, r, len, places, bend == 3 ? n - 1 : n, errp);
    stream_reader_free(r);
    if (ok && !bend) {
        g_assert_cmpmem(there, n * STREAM_PAGE_SIZE, memory, n * STREAM_PAGE_SIZE);
    }
    g_assert_cmpint(there[n * STREAM_PAGE_SIZE], ==, 0);
    return ok;
}

static void test_codec(gconstpointer opaque)
{
    const MultifdCodec *codec = opaque;
    g_autofree uint8_t *memory = g_malloc(MULTIFD_PACKET_BYTES);
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    g_autoptr(GError) err = NULL;
    void *out = NULL, *in = NULL;

    g_assert_true(codec->send_new(&out, 1, NULL));
    g_assert_true(codec->recv_new(&in, NULL));
    for (int turn = 0; turn < 20; turn++) {
        unsigned n = turn == 0 ? MULTIFD_PACKET_PAGES : 1 + g_rand_int(rand) % MULTIFD_PACKET_PAGES;

        for (unsigned i = 0; i < n; i++) {
            fill_page(memory + i * STREAM_PAGE_SIZE, rand, turn < 3 ? 0 : (int)(g_rand_int(rand) % 3));
        }
        g_assert_true(codec_turn(codec, out, in, memory, n, 0, &err));
        g_assert_no_error(err);
    }
    codec->send_free(out);
    codec->recv_free(in);
}

/* Too few bytes, too many, too many pages: an error, and nothing is written elsewhere. */
static void test_codec_bent(gconstpointer opaque)
{
    const MultifdCodec *codec = opaque;
    g_autofree uint8_t *memory = g_malloc(MULTIFD_PACKET_BYTES);
    g_autoptr(GRand) rand = g_rand_new_with_seed(8);

    for (int bend = 1; bend <= 3; bend++) {
        g_autoptr(GError) err = NULL;
        void *out = NULL, *in = NULL;

        for (unsigned i = 0; i < 8; i++) {
            fill_page(memory + i * STREAM_PAGE_SIZE, rand, 0);
        }
        g_assert_true(codec->send_new(&out, 1, NULL));
        g_assert_true(codec->recv_new(&in, NULL));
        g_assert_false(codec_turn(codec, out, in, memory, 8, bend, &err));
        g_test_message("%s %d: %s", codec->name, bend, err->message);
        codec->send_free(out);
        codec->recv_free(in);
    }
}

/* ---- the source ---- */

#define CHANNELS 3

/* Everything that comes out of one channel's socket, read by a thread until it is closed. */
typedef struct Tap {
    Channel *ours, *theirs;
    GByteArray *bytes;
    GThread *thread;
} Tap;

static gpointer tap_thread(gpointer opaque)
{
    Tap *tap = opaque;
    uint8_t buf[65536];
    ssize_t n;

    while ((n = channel_read(tap->theirs, buf, sizeof(buf), NULL)) > 0) {
        g_byte_array_append(tap->bytes, buf, n);
    }
    return NULL;
}

static void tap_open(Tap *tap)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    tap->ours = channel_new_fd(fds[0], "ours", NULL);
    tap->theirs = channel_new_fd(fds[1], "theirs", NULL);
    tap->bytes = g_byte_array_new();
    tap->thread = g_thread_new("tap", tap_thread, tap);
}

static void tap_end(Tap *tap)
{
    channel_close(tap->ours, NULL);
    g_thread_join(tap->thread);
    channel_close(tap->theirs, NULL);
}

static MultifdSend *send_new(Side *side, Tap *taps, bool detect_zero)
{
    MultifdSendOptions opt = { .channels = CHANNELS, .codec = &multifd_codec_none,
                               .detect_zero = detect_zero, .faults = &no_faults };
    memcpy(opt.uuid, uuid, 16);
    MultifdSend *s = multifd_send_new(side->ram, &opt);

    for (int i = 0; i < CHANNELS; i++) {
        tap_open(&taps[i]);
        g_assert_true(multifd_send_add(s, taps[i].ours, NULL));
    }
    return s;
}

/* fn for each page of a channel, with the number of SYNCs before it; returns that of all. */
static int each_page(const Tap *tap, int id, void (*fn)(void *opaque, int sync, uint64_t offset,
                                                        const uint8_t *data), void *opaque)
{
    const uint8_t *p = tap->bytes->data, *end = p + tap->bytes->len;
    MultifdPages pages;
    MultifdPacket packet;
    int syncs = 0;

    g_assert_cmpint(p[24], ==, id);
    g_assert_cmpmem(p + 8, 16, uuid, 16);
    for (p += sizeof(MultifdInit); p < end;) {
        memcpy(&packet, p, sizeof(packet));
        p += sizeof(packet);
        g_assert_true(multifd_packet_decode(&packet, &pages, NULL));
        for (unsigned i = 0; i < pages.normal + pages.zero; i++) {
            fn(opaque, syncs, pages.offset[i], i < pages.normal ? p + i * STREAM_PAGE_SIZE : NULL);
        }
        p += pages.payload_bytes;
        syncs += (pages.flags & MULTIFD_FLAG_SYNC) != 0;
    }
    g_assert_true(p == end);
    return syncs;
}

typedef struct Sent {
    int sync[1024];             /* page -> between which SYNCs it was sent last */
    uint8_t content[1024];
    bool zero[1024];
    unsigned twice, pages;
} Sent;

static void note(void *opaque, int sync, uint64_t offset, const uint8_t *data)
{
    Sent *sent = opaque;
    uint64_t page = offset / PAGE;

    sent->twice += sent->sync[page] == sync;
    sent->pages++;
    if (sync > sent->sync[page]) {
        sent->sync[page] = sync;
        sent->content[page] = data ? data[0] : 0;
        sent->zero[page] = !data;
    }
}

static void note_all(const Tap *taps, int syncs, Sent *sent)
{
    memset(sent, 0, sizeof(*sent));
    memset(sent->sync, 0xff, sizeof(sent->sync));
    for (int i = 0; i < CHANNELS; i++) {
        g_assert_cmpint(each_page(&taps[i], i, note, sent), ==, syncs);
    }
}

/* What was handed over between two sync points is between two SYNCs, in whichever channel. */
static void test_send_order(void)
{
    static const BlockSpec specs[] = { { "ram", 1024 } };
    Side *side = side_new(specs, 1);
    uint8_t *host = side_block(side, "ram")->host;
    Tap taps[CHANNELS] = { 0 };
    MultifdSend *s = send_new(side, taps, false);
    int handed[1024];
    Sent sent;

    g_assert_true(multifd_send_sync(s, NULL));
    for (int round = 1; round <= 8; round++) {
        for (int page = 0; page < 1024; page += round) {
            g_assert_true(multifd_send_page(s, 0, page, host + page * PAGE, NULL));
            handed[page] = round;
        }
        g_assert_true(multifd_send_sync(s, NULL));
    }
    multifd_send_free(s);
    for (int i = 0; i < CHANNELS; i++) {
        tap_end(&taps[i]);
    }
    note_all(taps, 9, &sent);
    g_assert_cmpint(sent.twice, ==, 0);
    for (int page = 0; page < 1024; page++) {
        g_assert_cmpint(sent.sync[page], ==, handed[page]);
    }
    for (int i = 0; i < CHANNELS; i++) {
        g_byte_array_unref(taps[i].bytes);
    }
    side_free(side);
}

static unsigned count_words(GByteArray *stream)
{
    unsigned n = 0;

    for (guint i = 0; i + 8 <= stream->len; i++) {
        n += memcmp(stream->data + i, "\0\0\0\0\0\0\x02\0", 8) == 0;
    }
    return n;
}

static bool never(void *opaque)
{
    return false;
}

/*
 * Whole passes: a page that is written again comes again, and never between the same two sync points,
 * so no channel can bring the older one last; what comes last is what it is in the end.
 */
static void test_passes(gconstpointer opaque)
{
    static const BlockSpec specs[] = { { "ram", 1024 } };
    bool each_section = GPOINTER_TO_INT(opaque);
    RamSaveOptions opt = { .detect_zero = each_section };
    Side *side = side_new(specs, 1);
    uint8_t *host = side_block(side, "ram")->host;
    Tap taps[CHANNELS] = { 0 };
    MultifdSend *s = send_new(side, taps, !each_section);
    StreamWriter *w = stream_writer_new_memory();
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    RamStats stats;
    Sent sent;

    side_set(side, "ram", 0, 1, 512 * PAGE);
    RamSaver *saver = ram_saver_new(side->ram, side->log, &opt, NULL);
    ram_saver_set_out(saver, multifd_out_new(side->ram, s, each_section));
    g_assert_true(ram_save_setup(saver, w, NULL));
    for (int i = 0; i < 12; i++) {
        g_assert_true(ram_save_iterate(saver, w, never, NULL, NULL));
        for (int n = 0; n < 100; n++) {
            side_set(side, "ram", g_rand_int(rand) % 64 * PAGE, 1 + i, PAGE);
        }
        side_set(side, "ram", (64 + i) * PAGE, 0, PAGE);
        ram_save_sync(saver);
    }
    g_assert_true(ram_save_complete(saver, w, NULL));
    multifd_send_free(s);
    ram_saver_get_stats(saver, &stats);
    ram_saver_free(saver);
    for (int i = 0; i < CHANNELS; i++) {
        tap_end(&taps[i]);
    }
    g_autoptr(GByteArray) stream = stream_writer_take(w);
    /* START, 12 passes but the first, END; or START, 12 parts, END */
    unsigned syncs = 14;
    note_all(taps, syncs, &sent);
    g_assert_cmpint(count_words(stream), ==, each_section ? 0 : syncs);
    g_assert_cmpint(sent.twice, ==, 0);
    g_assert_cmpint(stats.normal_pages + (each_section ? 0 : stats.duplicate_pages), ==, sent.pages);
    g_assert_cmpint(stats.multifd_bytes, <=, stats.transferred_bytes);
    for (int page = 0; page < 512; page++) {
        g_assert_true(sent.sync[page] >= 0);
        g_assert_true(sent.content[page] == host[page * PAGE] || (each_section && !host[page * PAGE]));
    }
    stream_writer_free(w);
    for (int i = 0; i < CHANNELS; i++) {
        g_byte_array_unref(taps[i].bytes);
    }
    side_free(side);
}

/* A channel that breaks ends every wait, with its number. */
static void test_send_broken(void)
{
    static const BlockSpec specs[] = { { "ram", 1024 } };
    Side *side = side_new(specs, 1);
    uint8_t *host = side_block(side, "ram")->host;
    Tap taps[CHANNELS] = { 0 };
    MultifdSend *s = send_new(side, taps, false);
    g_autoptr(GError) err = NULL;

    g_assert_true(multifd_send_sync(s, NULL));
    channel_shutdown(taps[1].ours);
    for (int i = 0; multifd_send_page(s, 0, i % 1024, host + i % 1024 * PAGE, &err) && i < 100000; i++) {
        /* on */
    }
    if (!err) {
        g_assert_false(multifd_send_sync(s, &err));
    }
    g_test_message("%s", err->message);
    g_assert_true(g_str_has_prefix(err->message, "multifd channel 1 of 3: "));
    g_assert_false(multifd_send_sync(s, NULL));
    g_assert_false(multifd_send_flush(s, NULL));
    multifd_send_free(s);
    for (int i = 0; i < CHANNELS; i++) {
        tap_end(&taps[i]);
        g_byte_array_unref(taps[i].bytes);
    }
    side_free(side);
}

/* ---- the destination ---- */

/* A destination of two channels, and a source's ends of all connections. */
typedef struct Arrival {
    Side *side;
    ChannelListener *listener;
    ChannelSet *set;
    MultifdRecv *recv;
    StreamReader *reader;
    RamLoader *loader;
    Channel *stream, *channel[2];
    char *uri;
} Arrival;

static Arrival *arrival_new(void)
{
    static const BlockSpec specs[] = { { "ram", 16 } };
    Arrival *a = g_new0(Arrival, 1);
    g_autofree char *path = g_build_filename(dir, "sock", NULL);

    a->side = side_new(specs, 1);
    a->uri = g_strdup_printf("unix:%s", path);
    a->listener = listen_uri(a->uri, NULL);
    a->set = channel_set_new();
    return a;
}

static Channel *knock(Arrival *a)
{
    Channel *c = connect_uri(a->uri, -1, NULL);

    g_assert_nonnull(c);
    return c;
}

static void begin_recv(Arrival *a)
{
    MultifdRecvOptions opt = { .channels = 2, .codec = &multifd_codec_none, .faults = &no_faults,
                               .listener = a->listener, .set = a->set };
    Channel *first = channel_listener_accept(a->listener, NULL);

    memcpy(opt.uuid, uuid, 16);
    a->recv = multifd_recv_new(a->side->ram, &opt, first, NULL);
    g_assert_nonnull(a->recv);
}

static bool find_stream(Arrival *a, GError **errp)
{
    RamLoadOptions opt = { .zero_fill = RAM_ZERO_FILL_STRICT };

    a->reader = multifd_recv_stream(a->recv, errp);
    if (a->reader) {
        a->loader = ram_loader_new(a->side->ram, a->side->log, &opt);
        multifd_recv_set_loader(a->recv, a->loader);
        ram_loader_set_sync_point(a->loader, multifd_recv_sync, a->recv);
    }
    return a->reader != NULL;
}

static void arrival_free(Arrival *a)
{
    multifd_recv_free(a->recv);
    ram_loader_free(a->loader);
    stream_reader_free(a->reader);
    channel_listener_free(a->listener);
    channel_set_free(a->set);
    for (int i = 0; i < 2; i++) {
        channel_close(a->channel[i], NULL);
    }
    channel_close(a->stream, NULL);
    side_free(a->side);
    g_free(a->uri);
    g_free(a);
}

static void say_init(Channel *c, uint8_t id, const uint8_t *whose)
{
    MultifdInit init;

    multifd_init_encode(id, whose, &init);
    g_assert_true(channel_write_all(c, &init, sizeof(init), NULL));
}

static void say_packet(Channel *c, uint32_t flags, uint64_t page, int fill)
{
    MultifdPages p = { .flags = flags, .block = "ram", .offset = { page * PAGE } };
    uint8_t data[STREAM_PAGE_SIZE];
    MultifdPacket packet;

    p.normal = fill > 0;
    p.zero = fill == 0;
    p.payload_bytes = fill > 0 ? sizeof(data) : 0;
    memset(data, fill, sizeof(data));
    multifd_packet_encode(&p, &packet);
    channel_write_all(c, &packet, sizeof(packet), NULL);
    channel_write_all(c, data, p.payload_bytes, NULL);
}

#define SYNC(c) say_packet(c, MULTIFD_FLAG_SYNC, 0, -1)
#define FLUSH "\0\0\0\0\0\0\x02\0"
#define EOS "\0\0\0\0\0\0\0\x10"
#define BLOCKS "\0\0\0\0\0\x01\0\x04" "\x03" "ram" "\0\0\0\0\0\x01\0\0"
#define say(c, text) channel_write_all(c, text, sizeof(text) - 1, NULL)

/*
 * Two passes of one page in two channels, of which the one with the older content is late. Its place
 * may not be written from the other channel before it has come: here that is what decides, no pause.
 */
static void test_late_channel(gconstpointer opaque)
{
    bool by_word = GPOINTER_TO_INT(opaque);
    Arrival *a = arrival_new();
    g_autoptr(GError) err = NULL;

    a->channel[1] = knock(a);           /* the stream does not come first */
    a->stream = knock(a);
    a->channel[0] = knock(a);
    begin_recv(a);
    say_init(a->channel[1], 1, uuid);
    say(a->stream, "QEVM");
    g_assert_true(find_stream(a, &err));
    g_assert_no_error(err);
    char magic[4];
    g_assert_true(stream_get_buffer(a->reader, magic, 4));
    by_word ? say(a->stream, BLOCKS FLUSH EOS) : say(a->stream, BLOCKS EOS);
    SYNC(a->channel[1]);                /* START */
    SYNC(a->channel[1]);                /* the end of the first pass */
    say_packet(a->channel[1], 0, 3, 'n');
    SYNC(a->channel[1]);
    g_usleep(100000);                   /* so that the newer one would be there first */
    say_init(a->channel[0], 0, uuid);
    SYNC(a->channel[0]);
    g_assert_true(ram_load_payload(a->loader, a->reader, 4, &err));
    g_assert_no_error(err);
    g_usleep(100000);
    g_assert_cmpint(side_block(a->side, "ram")->host[3 * PAGE], ==, 0);
    say_packet(a->channel[0], MULTIFD_FLAG_SYNC, 3, 'o');   /* as QEMU 7.2: both in one */
    by_word ? say(a->stream, FLUSH EOS FLUSH EOS) : say(a->stream, EOS EOS);
    g_assert_true(ram_load_payload(a->loader, a->reader, 4, &err));
    SYNC(a->channel[0]);
    g_assert_true(ram_load_payload(a->loader, a->reader, 4, &err));
    g_assert_no_error(err);
    g_assert_cmpint(side_block(a->side, "ram")->host[3 * PAGE], ==, 'n');
    g_assert_cmpint(side_block(a->side, "ram")->host[4 * PAGE - 1], ==, 'n');
    arrival_free(a);
}

typedef enum Wrong {
    WRONG_ID, WRONG_TWICE, WRONG_UUID, WRONG_GARBAGE, WRONG_EMPTY, WRONG_EARLY_PAGES, WRONG_BLOCK,
    WRONG_OFFSET, WRONG_METHOD, WRONG_CUT, WRONG_ENDED, WRONG_SECOND_STREAM, WRONG_PACKET,
} Wrong;

static const struct { const char *name; Wrong what; const char *error; } wrongs[] = {
    { "id", WRONG_ID, "multifd: received channel id 2, but there are 2 channels here" },
    { "twice", WRONG_TWICE, "multifd: channel 0 has come twice" },
    { "uuid", WRONG_UUID, "multifd: received uuid '00000000-0000-0000-0000-000000000000' and expected "
                          "uuid '00112233-4455-6677-8899-000000000000' for channel 1" },
    { "garbage", WRONG_GARBAGE, "multifd: received packet magic 47455420" },
    { "empty", WRONG_EMPTY, "a connection has ended before it said what it is" },
    { "early-pages", WRONG_EARLY_PAGES, "multifd channel 1 of 2: multifd: pages before the list" },
    { "block", WRONG_BLOCK, "multifd: unknown ram block" },
    { "offset", WRONG_OFFSET, "multifd channel 1 of 2: multifd: offset too long 0x10000 (max 0x10000)" },
    { "method", WRONG_METHOD, "flags received 0x2, expected 0x0: set multifd-compression" },
    { "cut", WRONG_CUT, "multifd channel 1 of 2: Unexpected end of migration stream" },
    { "ended", WRONG_ENDED, "multifd channel 1 of 2: the channel has ended, and the stream has not" },
    { "second-stream", WRONG_SECOND_STREAM, "a second connection brings a migration stream" },
    { "packet", WRONG_PACKET, "multifd channel 1 of 2: multifd: received packet magic 0" },
};

/* What is said in place of channel 1. */
static void say_wrong(Arrival *a, Wrong what)
{
    Channel *c = a->channel[1];
    static const uint8_t none[16], zeros[64];

    switch (what) {
    case WRONG_GARBAGE:
        say(c, "GET / HTTP/1.0\r\nHost: example.org\r\nAccept: everything that there is in this world\r\n");
        return;
    case WRONG_EMPTY:
        channel_shutdown(c);
        return;
    case WRONG_SECOND_STREAM:
        say(c, "QEVM");
        return;
    default:
        say_init(c, what == WRONG_ID ? 2 : what == WRONG_TWICE ? 0 : 1, what == WRONG_UUID ? none : uuid);
    }
    if (what == WRONG_EARLY_PAGES) {
        say_packet(c, 0, 1, 'x');
    }
    SYNC(c);
    if (what == WRONG_CUT) {
        channel_write_all(c, zeros, 5, NULL);
        channel_shutdown(c);
    } else if (what == WRONG_ENDED) {
        channel_shutdown(c);
    } else if (what == WRONG_PACKET) {
        channel_write_all(c, zeros, sizeof(zeros), NULL);
    } else if (what == WRONG_METHOD) {
        say_packet(c, MULTIFD_FLAG_ZLIB, 1, 'x');
    } else if (what == WRONG_OFFSET) {
        say_packet(c, 0, 16, 0);
    } else if (what == WRONG_BLOCK) {
        MultifdPages p = { .zero = 1, .block = "rum" };
        MultifdPacket packet;
        multifd_packet_encode(&p, &packet);
        channel_write_all(c, &packet, sizeof(packet), NULL);
    }
}

/* Each is found, by name, and whoever waits for anything hears of it. */
static void test_wrong(gconstpointer opaque)
{
    int i = GPOINTER_TO_INT(opaque);
    Arrival *a = arrival_new();
    GError *err = NULL;

    a->stream = knock(a);
    a->channel[0] = knock(a);
    a->channel[1] = knock(a);
    begin_recv(a);
    say(a->stream, "QEVM");
    say(a->stream, BLOCKS FLUSH EOS);
    say_init(a->channel[0], 0, uuid);
    SYNC(a->channel[0]);
    say_wrong(a, wrongs[i].what);
    bool ok = find_stream(a, &err);
    if (ok) {
        char magic[4];
        stream_get_buffer(a->reader, magic, 4);
        ok = ram_load_payload(a->loader, a->reader, 4, &err);
    }
    if (ok) {
        say(a->stream, FLUSH);
        SYNC(a->channel[0]);
        ok = ram_load_payload(a->loader, a->reader, 4, &err);
    }
    g_assert_false(ok);
    multifd_recv_cause(a->recv, &err);
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, wrongs[i].error));
    g_error_free(err);
    arrival_free(a);
}

/* The process ends while channels are waited for. */
static void test_quit(void)
{
    Arrival *a = arrival_new();
    g_autoptr(GError) err = NULL;

    a->stream = knock(a);
    begin_recv(a);
    channel_listener_shutdown(a->listener);
    channel_set_shutdown_all(a->set);
    g_assert_false(find_stream(a, &err));
    g_assert_nonnull(err);
    arrival_free(a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/multifd/bytes", test_bytes);
    g_test_add_func("/multifd/refused", test_refused);
    for (size_t i = 0; i < G_N_ELEMENTS(codecs); i++) {
        g_autofree char *good = g_strdup_printf("/multifd/codec/%s", codecs[i]->name);
        g_autofree char *bent = g_strdup_printf("/multifd/codec-bent/%s", codecs[i]->name);
        g_test_add_data_func(good, codecs[i], test_codec);
        g_test_add_data_func(bent, codecs[i], test_codec_bent);
    }
    g_test_add_func("/multifd/send/order", test_send_order);
    g_test_add_data_func("/multifd/send/passes/word", GINT_TO_POINTER(false), test_passes);
    g_test_add_data_func("/multifd/send/passes/each-section", GINT_TO_POINTER(true), test_passes);
    g_test_add_func("/multifd/send/broken", test_send_broken);
    g_test_add_data_func("/multifd/recv/late-channel/word", GINT_TO_POINTER(true), test_late_channel);
    g_test_add_data_func("/multifd/recv/late-channel/each-section", GINT_TO_POINTER(false),
                         test_late_channel);
    for (size_t i = 0; i < G_N_ELEMENTS(wrongs); i++) {
        g_autofree char *path = g_strdup_printf("/multifd/recv/wrong/%s", wrongs[i].name);
        g_test_add_data_func(path, GINT_TO_POINTER((int)i), test_wrong);
    }
    g_test_add_func("/multifd/recv/quit", test_quit);
    return run_in_folder(&dir);
}
