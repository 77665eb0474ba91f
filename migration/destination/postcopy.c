/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of postcopy, from the source's advice to the guest's start.
 * Called by load.c on the incoming thread, for destination/incoming.c. What
 * comes after the start is in recover.c.
 */
#include <string.h>
#include "migration/destination/postcopy.h"
#include "migration/ram/load.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* Between from and to, both included. */
static bool check_step(const Postcopy *pc, const char *command, PostcopyStep from, PostcopyStep to,
                       GError **errp)
{
    if (pc->step < from || pc->step > to) {
        error_setg(errp, "CMD_POSTCOPY_%s in wrong postcopy state (%d)", command, pc->step);
        return false;
    }
    return true;
}

/* ---- what the source says ---- */

static bool advise(void *opaque, uint64_t page_sizes, uint64_t target_page, GError **errp)
{
    Postcopy *pc = opaque;
    RAMList *ram = pc->in->machine->ram;
    uint64_t ours = 0;

    trace_loadvm_postcopy_handle_advise();
    for (size_t i = 0; i < ram_list_count(ram); i++) {
        ours |= ram_list_get(ram, i)->page_size;
    }
    if (!check_step(pc, "ADVISE", POSTCOPY_NONE, POSTCOPY_NONE, errp)) {
        return false;
    }
    if (page_sizes != ours) {
        error_setg(errp, "Postcopy needs matching RAM page sizes (s=%" PRIx64 " d=%" PRIx64 "): "
                   "give both sides the same -mem-path or -object memory-backend-", page_sizes,
                   ours);
        return false;
    }
    if (target_page != TARGET_PAGE_SIZE) {
        error_setg(errp, "Postcopy needs matching target page sizes (s=%" PRIu64 " d=%u)",
                   target_page, (unsigned)TARGET_PAGE_SIZE);
        return false;
    }
    if (!incoming_point(pc->in, FAULT_DST_POSTCOPY_ADVISE, errp) ||
        !present_map_begin(pc->map, incoming_engine(pc->in), errp)) {
        return false;
    }
    ram_loader_expect_page_sizes(pc->in->load.ram);
    pc->step = POSTCOPY_ADVISE;
    return true;
}

static bool find_block(const RAMList *ram, const char *name, size_t *index, GError **errp)
{
    for (*index = 0; *index < ram_list_count(ram); ++*index) {
        if (g_str_equal(ram_list_get(ram, *index)->idstr, name)) {
            return true;
        }
    }
    error_setg(errp, "there is no RAM block \"%s\"", name);
    return false;
}

static bool discard(void *opaque, const char *name, uint64_t start, uint64_t len, GError **errp)
{
    Postcopy *pc = opaque;
    size_t index;

    trace_loadvm_postcopy_ram_handle_discard_header(name, 1);
    if (!check_step(pc, "RAM_DISCARD", POSTCOPY_ADVISE, POSTCOPY_DISCARD, errp) ||
        !find_block(pc->in->machine->ram, name, &index, errp)) {
        error_prepend(errp, "CMD_POSTCOPY_RAM_DISCARD: ");
        return false;
    }
    if (!incoming_point(pc->in, FAULT_DST_POSTCOPY_DISCARD, errp)) {
        return false;
    }
    const RAMBlock *block = ram_list_get(pc->in->machine->ram, index);
    if (start % block->page_size || len % block->page_size || len == 0 ||
        start >= block->used_length || len > block->used_length - start) {
        error_setg(errp, "CMD_POSTCOPY_RAM_DISCARD: 0x%" PRIx64 " bytes at 0x%" PRIx64 " of RAM "
                   "block \"%s\", which has 0x%" PRIx64 " in pages of %" PRIu64, len, start, name,
                   block->used_length, block->page_size);
        return false;
    }
    present_map_set_missing(pc->map, index, start >> TARGET_PAGE_BITS, len >> TARGET_PAGE_BITS);
    pc->step = POSTCOPY_DISCARD;
    return true;
}

/* ---- the switch ---- */

static void page_wanted(void *opaque, size_t block, uint64_t page, int user)
{
    page_requests_add(((Postcopy *)opaque)->requests, block, page);
}

static void page_waited(void *opaque, size_t block, uint64_t page, int user, int64_t us)
{
    trace_mark_postcopy_blocktime_end(block, page, user, us);
    wait_stats_add(((Postcopy *)opaque)->in->waits, user, g_get_monotonic_time(), us);
}

static const PresentOps present_ops = { .wanted = page_wanted, .waited = page_waited };

/* What cannot be sent cannot be read for long: the readers are to find out now. */
static void cannot_ask(void *opaque)
{
    channel_set_shutdown_all(((Postcopy *)opaque)->in->channels);
}

static bool listen_to_source(void *opaque, GError **errp)
{
    Postcopy *pc = opaque;
    Incoming *in = pc->in;

    trace_loadvm_postcopy_handle_listen("enter");
    if (!check_step(pc, "LISTEN", POSTCOPY_ADVISE, POSTCOPY_DISCARD, errp) ||
        !incoming_point(in, FAULT_DST_POSTCOPY_LISTEN, errp)) {
        return false;
    }
    if (!in->load.return_path) {
        error_setg(errp, "CMD_POSTCOPY_LISTEN received with no return path: pages could not be "
                   "asked for");
        return false;
    }
    pc->requests = page_requests_new(in->machine, in->answers, &in->requests, cannot_ask, pc, errp);
    if (!pc->requests) {
        return false;
    }
    page_requests_open(pc->requests);
    pc->step = POSTCOPY_LISTENING;
    g_mutex_lock(&in->lock);
    in->switched = true;
    in->blocktime = migration_settings_caps(in->settings) & MIGRATION_CAP(POSTCOPY_BLOCKTIME);
    g_mutex_unlock(&in->lock);
    if (!present_map_arm(pc->map, &present_ops, pc, errp) ||
        !incoming_point(in, FAULT_DST_POSTCOPY_ARMED, errp)) {
        return false;
    }
    channel_keep_queue_short(in->channel);
    pc->readers = page_readers_new(in);
    bool ok = page_readers_start(pc->readers, in->reader, errp) &&
              migration_state_move(&in->m->in_state, MIGRATION_EVENT_POSTCOPY, errp);
    trace_loadvm_postcopy_handle_listen("return");
    return ok;
}

static bool run(void *opaque, GError **errp)
{
    Postcopy *pc = opaque;

    trace_loadvm_postcopy_handle_run();
    if (!check_step(pc, "RUN", POSTCOPY_LISTENING, POSTCOPY_LISTENING, errp)) {
        return false;
    }
    incoming_point(pc->in, FAULT_DST_POSTCOPY_RUN, NULL);   /* the source has heard that it is loaded */
    pc->step = POSTCOPY_RUNNING;
    return true;
}

/* ---- after a cut; on the thread that reads the stream ---- */

static bool check_recovers(const Postcopy *pc, const char *command, GError **errp)
{
    if (migration_state_get(&pc->in->m->in_state) != MIGRATION_STATUS_POSTCOPY_RECOVER) {
        error_setg(errp, "%s received, but this is no recovery", command);
        return false;
    }
    return true;
}

bool postcopy_send_bitmap(Incoming *in, ReturnPathWriter *answers, const char *name, GError **errp)
{
    RAMList *ram = in->machine->ram;
    size_t index;

    trace_loadvm_handle_recv_bitmap(name);
    if (!find_block(ram, name, &index, errp)) {
        return false;
    }
    uint64_t words = (ram_block_pages(ram_list_get(ram, index)) + 63) / 64;
    g_autofree uint64_t *bits = g_try_new(uint64_t, words);
    if (!bits) {
        error_setg(errp, "not enough memory for the bitmap of RAM block \"%s\"", name);
        return false;
    }
    present_map_copy_bits(in->machine->present, index, bits);
    return return_path_send_recv_bitmap(answers, name, bits, words * sizeof(bits[0]), errp);
}

static bool recv_bitmap(void *opaque, const char *name, GError **errp)
{
    Postcopy *pc = opaque;

    return check_recovers(pc, "CMD_MIG_RECV_BITMAP", errp) &&
           incoming_point(pc->in, FAULT_DST_POSTCOPY_BITMAP, errp) &&
           postcopy_send_bitmap(pc->in, pc->in->answers, name, errp);
}

static void ask_again(void *opaque, size_t block, uint64_t page)
{
    page_requests_add(opaque, block, page);
}

static bool resume(void *opaque, GError **errp)
{
    Postcopy *pc = opaque;

    trace_loadvm_postcopy_handle_resume();
    if (!check_recovers(pc, "CMD_POSTCOPY_RESUME", errp) ||
        !incoming_point(pc->in, FAULT_DST_POSTCOPY_RESUME, errp) ||
        !migration_state_move(&pc->in->m->in_state, MIGRATION_EVENT_RECOVER, errp) ||
        !return_path_send_resume_ack(pc->in->answers, MIG_RESUME_ACK_VALUE, errp)) {
        return false;
    }
    incoming_point(pc->in, FAULT_DST_POSTCOPY_RESUMED, NULL);
    page_requests_open(pc->requests);
    present_map_each_asked(pc->map, ask_again, pc->requests);
    return true;
}

static void talks(void *opaque)
{
    Incoming *in = ((Postcopy *)opaque)->in;

    g_mutex_lock(&in->lock);
    in->source_talks = true;
    g_mutex_unlock(&in->lock);
}

static const IncomingPostcopyOps postcopy_ops = {
    .advise = advise,
    .discard = discard,
    .listen = listen_to_source,
    .run = run,
    .recv_bitmap = recv_bitmap,
    .resume = resume,
    .talks = talks,
};

/* ---- life ---- */

Postcopy *postcopy_new(Incoming *in)
{
    Postcopy *pc = g_new0(Postcopy, 1);

    pc->in = in;
    pc->map = in->machine->present;
    g_mutex_lock(&in->lock);
    in->waits = wait_stats_new(in->machine->cpus ? cpus_count(in->machine->cpus) : 0);
    g_mutex_unlock(&in->lock);
    in->load.ops = &postcopy_ops;
    in->load.opaque = pc;
    return pc;
}

void postcopy_free(Postcopy *pc)
{
    if (!pc) {
        return;
    }
    if (pc->requests) {
        page_requests_close(pc->requests);
    }
    if (pc->readers) {
        incoming_yank(pc->in);
        page_readers_stop(pc->readers);
    }
    if (pc->step > POSTCOPY_NONE) {
        present_map_end(pc->map);
    }
    pc->step = POSTCOPY_END;
    page_requests_free(pc->requests);
    page_readers_free(pc->readers);
    g_free(pc);
}
