/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the source's RAM does for postcopy: what is to be thrown away there,
 * what is asked for, what has come after a cut (migration-stream 8). The
 * pages themselves go as ever (ram/save). What a destination says is checked
 * here; it can make us send a page again and nothing worse.
 */
#include "migration/ram/save-private.h"
#include "migration/ram/stream-out.h"

#include <inttypes.h>
#include <string.h>
#include "util/error.h"
#include "util/trace-migration.h"

/* ---- the switch ---- */

bool ram_save_postcopy_begin(RamSaver *s, StreamWriter *w, GError **errp)
{
    if (!s->out->ops->settle(s->out, w, errp)) {
        return false;
    }
    ram_encoder_drop_cache(s->encoder);
    s->out->ops->restart(s->out);
    ram_picker_postcopy(s->picker);
    ram_counter_set(&s->counters.now.remaining_pages, ram_picker_dirty(s->picker)->count);
    s->postcopy = true;
    __atomic_store_n(&s->takes_requests, true, __ATOMIC_RELEASE);
    return true;
}

void ram_save_set_postcopy(RamSaver *s, const RamPostcopyOptions *opt)
{
    ram_picker_set_postcopy(s->picker, opt);
}

bool ram_save_each_range(RamSaver *s, RamRangeFn *fn, void *opaque)
{
    const RamDirty *d = ram_picker_dirty(s->picker);
    uint64_t first, end = 0;

    for (size_t i = 0; i < ram_list_count(s->ram); i++) {
        const RAMBlock *block = ram_list_get(s->ram, i);

        for (end = 0; end < ram_block_pages(block) && ram_dirty_range(d, i, end, &first, &end);) {
            if (!fn(opaque, block, first << TARGET_PAGE_BITS, (end - first) << TARGET_PAGE_BITS)) {
                return false;
            }
        }
    }
    return true;
}

uint64_t ram_save_page_sizes(const RamSaver *s)
{
    uint64_t sizes = 0;

    for (size_t i = 0; i < ram_list_count(s->ram); i++) {
        sizes |= ram_list_get(s->ram, i)->page_size;
    }
    return sizes;
}

/* ---- the channel of urgent pages ---- */

void ram_save_set_urgent(RamSaver *s, StreamWriter *w)
{
    if (s->urgent_out) {
        s->urgent_out->ops->free(s->urgent_out);
    }
    s->urgent_out = w ? stream_out_new(s->ram, stream_writer_channel(w), RAM_LAYOUT_STREAM, NULL)
                      : NULL;
    s->urgent = w;
}

bool ram_save_end_urgent(RamSaver *s, GError **errp)
{
    return s->urgent_out->ops->finish(s->urgent_out, s->urgent, errp) &&
           stream_flush(s->urgent, errp);
}

/* ---- release-ram ---- */

static void give_back(RamSaver *s, size_t block, uint64_t first, uint64_t end)
{
    ram_block_give_back(ram_list_get(s->ram, block), first << TARGET_PAGE_BITS,
                        (end - first) << TARGET_PAGE_BITS);
}

static void give_back_clean(RamSaver *s)
{
    uint64_t first, end;

    for (size_t i = 0; i < ram_list_count(s->ram); i++) {
        for (end = 0; ram_dirty_clean_range(ram_picker_dirty(s->picker), i, end, &first, &end);) {
            give_back(s, i, first, end);
        }
    }
}

void ram_save_release(RamSaver *s)
{
    if (!s->sent) {
        s->sent = g_array_new(FALSE, FALSE, sizeof(RamRequest));
        give_back_clean(s);
    }
    for (guint i = 0; i < s->sent->len; i++) {
        const RamRequest *r = &g_array_index(s->sent, RamRequest, i);
        give_back(s, r->block, r->page, r->page + r->count);
    }
    g_array_set_size(s->sent, 0);
}

/* ---- requests ---- */

/* The index of a block; false with errp if there is none of that name. */
static bool find_block(const RamSaver *s, const char *name, size_t *index, GError **errp)
{
    for (size_t i = 0; i < ram_list_count(s->ram); i++) {
        if (!strcmp(ram_list_get(s->ram, i)->idstr, name)) {
            *index = i;
            return true;
        }
    }
    error_setg(errp, "the destination speaks of RAM block \"%s\", which is not here", name);
    return false;
}

static bool check_request(const RAMBlock *block, uint64_t start, uint32_t len, GError **errp)
{
    if (len > 0 && start % block->page_size == 0 && len % block->page_size == 0 &&
        start < block->used_length && len <= block->used_length - start) {
        return true;
    }
    error_setg(errp, "the destination asks for %" PRIu32 " bytes at 0x%" PRIx64 " of RAM block "
               "\"%s\": not whole pages of %" PRIu64 " bytes inside its %" PRIu64, len, start,
               block->idstr, block->page_size, block->used_length);
    return false;
}

bool ram_save_request(RamSaver *s, const char *name, uint64_t start, uint32_t len, GError **errp)
{
    size_t i;

    if (!__atomic_load_n(&s->takes_requests, __ATOMIC_ACQUIRE)) {
        error_setg(errp, "the destination asks for pages before it has the guest");
        return false;
    }
    if (!find_block(s, name, &i, errp) || !check_request(ram_list_get(s->ram, i), start, len, errp)) {
        return false;
    }
    trace_ram_save_queue_pages(name, start, len);
    ram_counter_add(&s->counters.now.postcopy_requests, 1);
    RamRequest r = { i, start >> TARGET_PAGE_BITS, len >> TARGET_PAGE_BITS };
    if (!ram_requests_put(ram_picker_requests(s->picker), &r)) {
        error_setg(errp, "the connection is being given up");
        return false;
    }
    return true;
}

uint64_t ram_save_urgent_bytes(const RamSaver *s)
{
    return s->urgent_bytes;
}

bool ram_save_is_asked(const RamSaver *s)
{
    return ram_picker_is_asked(s->picker);
}

void ram_save_answer_none(RamSaver *s)
{
    RamRequest r;

    while (ram_requests_take(ram_picker_requests(s->picker), &r)) {
        ram_picker_count_duplicate(s->picker);
    }
    ram_counter_set(&s->counters.now.postcopy_duplicates, ram_picker_duplicates(s->picker));
}

void ram_save_close_requests(RamSaver *s)
{
    ram_requests_close(ram_picker_requests(s->picker));
}

/* ---- after a cut ---- */

void ram_saver_free_received(RamSaver *s)
{
    for (size_t i = 0; s->received && i < ram_list_count(s->ram); i++) {
        g_free(s->received[i]);
    }
    g_clear_pointer(&s->received, g_free);
}

static uint64_t bitmap_bytes(const RAMBlock *block)
{
    return (ram_block_pages(block) + 63) / 64 * 8;
}

void *ram_save_bitmap_room(RamSaver *s, const char *name, uint64_t bytes, GError **errp)
{
    size_t i;

    if (!find_block(s, name, &i, errp)) {
        return NULL;
    }
    uint64_t want = bitmap_bytes(ram_list_get(s->ram, i));
    if (!s->received) {
        s->received = g_new0(uint64_t *, ram_list_count(s->ram) + 1);
    }
    if (bytes != want || s->received[i]) {
        error_setg(errp, s->received[i] ? "the bitmap of RAM block \"%s\" came twice"
                   : "the bitmap of RAM block \"%s\" has %" PRIu64 " bytes, %" PRIu64 " expected",
                   name, bytes, want);
        return NULL;
    }
    s->received[i] = g_try_malloc0(want);
    if (!s->received[i]) {
        error_setg(errp, "no memory for the bitmap of RAM block \"%s\" (%" PRIu64 " KiB)", name,
                   want >> 10);
    }
    s->receiving = i;
    return s->received[i];
}

/* Nobody can have a page that was not sent yet; of a host page a part may have been. */
bool ram_save_bitmap_done(RamSaver *s, GError **errp)
{
    const RAMBlock *block = ram_list_get(s->ram, s->receiving);
    const uint64_t *left = ram_picker_dirty(s->picker)->bitmaps[s->receiving];
    uint64_t *bits = s->received[s->receiving], never = 0;

    for (uint64_t w = 0; w < bitmap_bytes(block) / 8; w++) {
        bits[w] = GUINT64_FROM_LE(bits[w]);
        never += (uint64_t)__builtin_popcountll(bits[w] & left[w]);
    }
    if (never > 0 && block->page_size == TARGET_PAGE_SIZE) {
        error_setg(errp, "This is the destination of another guest: it has %" PRIu64 " pages of RAM "
                   "block \"%s\" that were never sent from here. Go on with the right one",
                   never, block->idstr);
        return false;
    }
    return true;
}

void ram_save_forget_bitmaps(RamSaver *s)
{
    ram_saver_free_received(s);
}

void ram_save_postcopy_resume(RamSaver *s)
{
    ram_picker_restart(s->picker, s->received);
    ram_saver_free_received(s);
    s->out->ops->restart(s->out);
    ram_counter_set(&s->counters.now.remaining_pages, ram_picker_dirty(s->picker)->count);
    ram_requests_open(ram_picker_requests(s->picker));
}
