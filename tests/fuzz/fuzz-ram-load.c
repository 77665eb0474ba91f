/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ram section's loader on any bytes. The first byte chooses: 0 a stream
 * as 7.2 takes it, 1 with strict zero pages and x-ignore-shared, 2 a
 * mapped-ram file, 3 a fixed-ram file; 4 more: checksums are asked for; 8 the head of a file that was saved
 * into again. Nothing may crash, write outside the blocks, or take memory by what the bytes say.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "migration/channel.h"
#include "migration/mapped/mapped-base.h"
#include "migration/ram.h"
#include "migration/stream/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *name;
    uint64_t pages;
} blocks[] = { { "ram", 5 }, { "rom", 2 } };

static void feed(RAMList *ram, DirtyLog *log, StreamReader *r, const RamLoadOptions *opt)
{
    RamLoader *l = ram_loader_new(ram, log, opt);
    GError *err = NULL;
    MappedBase *base;
    bool ok = true;

    for (int payload = 0; ok && payload < 8; payload++) {
        ok = ram_load_payload(l, r, 4, &err);
    }
    if (ok != (err == NULL)) {
        abort();
    }
    g_clear_error(&err);
    base = ok ? ram_loader_base(l, NULL) : NULL;
    mapped_base_free(base);
    ram_loader_free(l);
}

static void feed_file(RAMList *ram, DirtyLog *log, const uint8_t *data, size_t size,
                      const RamLoadOptions *opt)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    Channel *c;
    StreamReader *r;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0) {
        abort();
    }
    c = channel_new_fd(fd, "fuzz", NULL);
    if (!c) {
        abort();
    }
    r = stream_reader_new(c);
    feed(ram, log, r, opt);
    stream_reader_free(r);
    channel_close(c, NULL);
}

/* What is taken lies where a file can have it. */
static void feed_head(const uint8_t *data, size_t size)
{
    MappedHead head = { 0 };
    g_autoptr(GError) err = NULL;

    memcpy(&head, data, MIN(size, sizeof(head)));
    bool ok = mapped_head_check(&head, &err);
    if (ok == (err != NULL) ||
        (ok && (head.stream_offset < head.room_offset || head.stream_offset > 2ULL * INT64_MAX))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RamLoadOptions opt = { 0 };
    RAMList *ram;
    DirtyLog *log;
    unsigned kind;
    bool sums;

    if (size == 0) {
        return 0;
    }
    if (*data & 8) {
        feed_head(data + 1, size - 1);
        return 0;
    }
    sums = *data & 4;
    kind = *data++ & 3;
    size--;
    ram = ram_list_new();
    for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++) {
        ram_list_add(ram, blocks[i].name, blocks[i].pages * TARGET_PAGE_SIZE, NULL, NULL);
    }
    log = dirty_log_new(ram, NULL, NULL);
    if (kind < 2) {
        StreamReader *r = stream_reader_new_memory(data, size);

        opt.zero_fill = kind ? RAM_ZERO_FILL_STRICT : RAM_ZERO_FILL_ANY;
        opt.ignore_shared = kind;
        feed(ram, log, r, &opt);
        stream_reader_free(r);
    } else {
        opt.checksum = sums;
        opt.layout = kind == 2 ? RAM_LAYOUT_MAPPED : RAM_LAYOUT_FIXED;
        feed_file(ram, log, data, size, &opt);
    }
    dirty_log_free(log);
    ram_list_free(ram);
    return 0;
}
