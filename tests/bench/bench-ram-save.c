/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RAM path without a network: a block is saved to a channel that throws
 * everything away, and one pass of it is loaded from memory. The reference
 * is a memcpy of the block in the same run.
 */
#include <string.h>
#include "bench.h"
#include "migration/channel/channel-private.h"
#include "migration/ram.h"

#define MIB (1ULL << 20)
#define RAM_BYTES (256 * MIB)

static ssize_t drop_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    ssize_t n = 0;

    for (int i = 0; i < iovcnt; i++) {
        n += (ssize_t)iov[i].iov_len;
    }
    return n;
}

static const ChannelOps drop_ops = { .kind = "drop", .writev = drop_writev };

typedef struct Bench {
    RAMList *ram;
    RAMBlock *block;
    DirtyLog *log;
    RamSaver *saver;
    Channel channel;
    StreamWriter *w;
} Bench;

static bool never(void *opaque)
{
    return false;
}

static bool saver_done(RamSaver *saver)
{
    uint64_t dirty;

    ram_save_pending(saver, &dirty);
    return dirty == 0;
}

static void pass(Bench *b)
{
    do {
        g_assert_true(ram_save_iterate(b->saver, b->w, never, NULL, NULL));
    } while (!saver_done(b->saver));
    g_assert_true(stream_flush(b->w, NULL));
}

static void start(Bench *b, bool xbzrle)
{
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = true, .xbzrle = xbzrle,
        .xbzrle_cache_bytes = RAM_BYTES + RAM_BYTES / 16,
    };

    b->saver = ram_saver_new(b->ram, b->log, &opt, NULL);
    b->w = stream_writer_new(&b->channel);
    g_assert_true(ram_save_setup(b->saver, b->w, NULL));
}

static void stop(Bench *b)
{
    ram_saver_free(b->saver);
    stream_writer_free(b->w);
}

/* Changes every k-th byte of all RAM and marks it dirty. */
static void guest_writes(Bench *b, uint64_t step)
{
    for (uint64_t at = 0; at < RAM_BYTES; at += step) {
        b->block->host[at]++;
    }
    dirty_log_mark(b->log, b->block, 0, RAM_BYTES);
    ram_save_sync(b->saver);
}

static void report(const char *what, int64_t ns, double reference)
{
    double rate = (double)RAM_BYTES / (double)ns;

    printf("%-44s %8.2f GB/s %8.0f ns/page %8.2f\n", what, rate,
           (double)ns / (double)(RAM_BYTES / 4096), rate / reference);
}

static int64_t timed_pass(Bench *b)
{
    int64_t before = bench_now_ns();

    pass(b);
    return bench_now_ns() - before;
}

static double memcpy_rate(Bench *b)
{
    uint8_t *copy = g_malloc(RAM_BYTES);
    int64_t best = INT64_MAX;

    memset(copy, 1, RAM_BYTES);
    for (int i = 0; i < 3; i++) {
        int64_t before = bench_now_ns();

        memcpy(copy, b->block->host, RAM_BYTES);
        best = MIN(best, bench_now_ns() - before);
    }
    g_free(copy);
    return (double)RAM_BYTES / (double)best;
}

/* Loads one pass of whole pages; the first time also pays for the memory itself. */
static void bench_load(Bench *b, double reference)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    RamSaver *saver = ram_saver_new(b->ram, b->log, &opt, NULL);
    StreamWriter *w = stream_writer_new_memory();
    RAMList *to = ram_list_new();
    DirtyLog *log;
    GByteArray *bytes;

    g_assert_nonnull(ram_list_add(to, "ram", RAM_BYTES, NULL, NULL));
    log = dirty_log_new(to, NULL, NULL);
    g_assert_true(ram_save_setup(saver, w, NULL));
    do {
        g_assert_true(ram_save_iterate(saver, w, never, NULL, NULL));
    } while (!saver_done(saver));
    bytes = stream_writer_take(w);
    for (int i = 0; i < 2; i++) {
        StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);
        RamLoader *l = ram_loader_new(to, log, &(RamLoadOptions) { 0 });
        int64_t before = bench_now_ns();

        while (stream_reader_offset(r) < bytes->len) {
            g_assert_true(ram_load_payload(l, r, 4, NULL));
        }
        report(i ? "load whole pages, memory there" : "load whole pages, fresh memory",
               bench_now_ns() - before, reference);
        ram_loader_free(l);
        stream_reader_free(r);
    }
    g_byte_array_unref(bytes);
    stream_writer_free(w);
    ram_saver_free(saver);
    dirty_log_free(log);
    ram_list_free(to);
}

int main(void)
{
    Bench b = { .ram = ram_list_new(), .channel = { .ops = &drop_ops } };
    double reference;

    b.block = ram_list_add(b.ram, "ram", RAM_BYTES, NULL, NULL);
    g_assert_nonnull(b.block);
    b.log = dirty_log_new(b.ram, NULL, NULL);
    memset(b.block->host, 0, RAM_BYTES); /* the memory is there */
    start(&b, false);
    int64_t zero_ns = timed_pass(&b);
    guest_writes(&b, 8);
    int64_t whole_ns = timed_pass(&b);
    stop(&b);

    reference = memcpy_rate(&b);
    printf("256 MiB; memcpy %.2f GB/s (last column: share of it)\n", reference);
    report("zero pages", zero_ns, reference);
    report("whole pages, not copied", whole_ns, reference);
    start(&b, true);
    pass(&b);
    guest_writes(&b, 1024);
    report("whole pages into the cache, fresh memory", timed_pass(&b), reference);
    guest_writes(&b, 1024);
    report("deltas of 4 changed bytes", timed_pass(&b), reference);
    guest_writes(&b, 64);
    report("deltas of 64 changed bytes", timed_pass(&b), reference);
    guest_writes(&b, 4096 * 1024);
    report("unmodified but for one page in 1024", timed_pass(&b), reference);
    stop(&b);
    bench_load(&b, reference);
    dirty_log_free(b.log);
    ram_list_free(b.ram);
    return 0;
}
