/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A capture of one multifd channel (migration-stream 7): what it begins with,
 * and its packets, to the last byte. Called by head.c for a file that begins
 * like one. Tells what is in it; which pages of a guest it makes, only the
 * stream's block list could tell. Payloads are not unpacked.
 */
#include <inttypes.h>
#include <string.h>
#include "multifd.h"

#define MAGIC 0x11223344u
#define INIT_BYTES 64
#define HEAD_BYTES 1344
#define OFFSETS_AT 320
#define PAGES_MAX 128u
#define PAYLOAD_MAX (1u << 20)

enum { SYNC = 1, ZLIB = 2, ZSTD = 4, METHODS = 0x3e, DEVICE_STATE = 0x40 };

/* Packets since the last SYNC. */
typedef struct Stretch {
    uint64_t offset, packets, normal, zero, payload;
    uint32_t methods;
} Stretch;

static const char *method_name(uint32_t flags)
{
    return flags == ZLIB ? "zlib" : flags == ZSTD ? "zstd" : flags ? "packed" : "as they are";
}

static bool read_init(Walker *w, uint64_t at)
{
    const uint8_t *p = source_peek(w->s, INIT_BYTES);
    GString *uuid = g_string_new(NULL);

    if (!p) {
        g_string_free(uuid, TRUE);
        return walker_ends_early(w, "what a multifd channel begins with");
    }
    Section *sec = walker_add_section(w, SEC_MULTIFD, at);
    for (int i = 0; i < 16; i++) {
        g_string_append_printf(uuid, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", p[8 + i]);
    }
    sec->text = g_strdup_printf("channel %u, uuid %s", p[24], uuid->str);
    g_string_free(uuid, TRUE);
    source_take(w->s, INIT_BYTES);
    walker_end_section(w, sec);
    return true;
}

/* The head's numbers, checked; *payload: the bytes behind it. */
static bool check_head(Walker *w, const uint8_t *p, uint64_t at, uint32_t *payload)
{
    uint32_t flags = walker_be32(p + 8), alloc = walker_be32(p + 12), normal = walker_be32(p + 16);
    uint32_t zero = walker_be32(p + 32);

    *payload = normal ? walker_be32(p + 20) : 0;    /* without pages 7.2 leaves an older size there */
    if (walker_be32(p) != MAGIC || walker_be32(p + 4) != 1) {
        return model_problem(w->m, at, "multifd packet: magic 0x%08x, version %u, expected 0x%08x, 1",
                             walker_be32(p), walker_be32(p + 4), MAGIC);
    }
    if (flags & DEVICE_STATE) {
        return model_problem(w->m, at + 8, "multifd packet: device state (flags 0x%x), which is not read",
                             flags);
    }
    if (alloc > PAGES_MAX || normal > alloc || zero > alloc - normal) {
        return model_problem(w->m, at + 12, "multifd packet: %u pages and %u zero pages in %u places, of "
                             "which there are at most %u", normal, zero, alloc, PAGES_MAX);
    }
    if (*payload > PAYLOAD_MAX || (normal && !(flags & METHODS) && *payload != normal * PAGE)) {
        return model_problem(w->m, at + 20, "multifd packet: %u bytes for %u pages", *payload, normal);
    }
    return true;
}

static bool check_pages(Walker *w, const uint8_t *p, uint64_t at)
{
    uint32_t pages = walker_be32(p + 16) + walker_be32(p + 32);

    if (pages && !memchr(p + 64, 0, 256)) {
        return model_problem(w->m, at + 64, "multifd packet: a block name that does not end");
    }
    for (uint32_t i = 0; i < pages; i++) {
        if (walker_be32(p + OFFSETS_AT + 8 * i + 4) % PAGE) {
            return model_problem(w->m, at + OFFSETS_AT + 8 * i, "multifd packet: the offset of page %u is "
                                 "no multiple of %u", i, PAGE);
        }
    }
    return true;
}

static void end_stretch(Walker *w, Stretch *s, bool sync)
{
    Section *sec = walker_add_section(w, SEC_MULTIFD, s->offset);

    sec->text = g_strdup_printf("%" PRIu64 " packets: %" PRIu64 " pages (%s, %" PRIu64 " bytes), %" PRIu64
                                " zero pages%s", s->packets, s->normal, method_name(s->methods), s->payload,
                                s->zero, sync ? "; then SYNC" : "");
    walker_end_section(w, sec);
    *s = (Stretch){ .offset = source_offset(w->s) };
}

static bool read_packet(Walker *w, Stretch *s)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, HEAD_BYTES);
    uint32_t payload;

    if (!p) {
        return walker_ends_early(w, "the head of a multifd packet");
    }
    if (!check_head(w, p, at, &payload) || !check_pages(w, p, at)) {
        return false;
    }
    uint32_t flags = walker_be32(p + 8), normal = walker_be32(p + 16);
    s->packets++;
    s->normal += normal;
    s->zero += walker_be32(p + 32);
    s->payload += payload;
    s->methods |= normal ? flags & METHODS : 0;
    w->m->channel_normal += normal;
    w->m->channel_zero += walker_be32(p + 32);
    w->m->channel_syncs += flags & SYNC;
    source_take(w->s, HEAD_BYTES);
    if (!source_skip(w->s, payload)) {
        return walker_ends_early(w, "the pages of a multifd packet");
    }
    if (flags & SYNC) {
        end_stretch(w, s, true);
    }
    return true;
}

bool multifd_looks_like(const uint8_t *p)
{
    static const uint8_t begin[8] = { 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1 };

    return memcmp(p, begin, sizeof(begin)) == 0;
}

bool multifd_read(Walker *w)
{
    w->m->channel = true;
    if (!read_init(w, source_offset(w->s))) {
        return false;
    }
    Stretch s = { .offset = source_offset(w->s) };
    while (source_peek(w->s, 1)) {
        if (!read_packet(w, &s)) {
            return false;
        }
    }
    if (source_errno(w->s)) {
        return walker_ends_early(w, "the channel");
    }
    if (s.packets) {
        end_stretch(w, &s, false);
    }
    return true;
}
