/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the source's story share: is it still wanted, how much
 * went out, and the records they write. On the migration thread; starts and
 * decides nothing.
 */
#include "migration/source/object.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* ---- how it stands ---- */

bool outgoing_cancelled(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    bool yes = o->cancelled;
    g_mutex_unlock(&o->lock);
    return yes;
}

/* Before everything is sent there is no verdict to come: whatever ends the talk ends the migration. */
static bool check_way_back(Outgoing *o, GError **errp)
{
    ReturnPathState state = o->rp ? return_path_state(o->rp) : RETURN_PATH_OPEN;

    if (state == RETURN_PATH_ACCEPTED) {
        error_setg(errp, "return path: the destination accepted before everything was sent");
    } else if (state != RETURN_PATH_OPEN) {
        return_path_error(o->rp, errp);
    }
    return state == RETURN_PATH_OPEN;
}

bool outgoing_check_cancelled(Outgoing *o, GError **errp)
{
    if (outgoing_cancelled(o)) {
        error_setg(errp, "Operation was cancelled");
        return false;
    }
    return check_way_back(o, errp);
}

void outgoing_assert(const Outgoing *o, OutgoingPhase phase, OutgoingOwner owner)
{
    bql_assert_free(o->machine->loop);
    g_assert_cmpint(o->phase, ==, phase);   /* ours to write */
    g_assert_cmpint(o->owner, ==, owner);
}

/* What cancel may do depends on it. */
void outgoing_enter(Outgoing *o, OutgoingPhase phase)
{
    g_mutex_lock(&o->lock);
    g_assert_cmpint(phase, >=, o->phase);
    o->phase = phase;
    g_mutex_unlock(&o->lock);
}

void outgoing_note_step(Outgoing *o, SwitchoverStep step)
{
    g_mutex_lock(&o->lock);
    o->times.us[step] = g_get_monotonic_time();
    g_mutex_unlock(&o->lock);
    switchover_trace(step);
}

bool outgoing_is_answered(const Outgoing *o)
{
    return outgoing_has_cap(o, MIGRATION_CAP(RETURN_PATH) | MIGRATION_CAP(POSTCOPY_RAM));
}

/* 0: for ever. */
int64_t outgoing_verdict_timeout_us(Outgoing *o)
{
    uint64_t ms = migration_settings_params(o->settings).x_verdict_timeout;

    return ms ? (int64_t)ms * 1000 : G_MAXINT64 / 2;
}

bool outgoing_is_mapped(const Outgoing *o)
{
    return migration_settings_layout(o->settings) != RAM_LAYOUT_STREAM;
}

uint64_t outgoing_bytes_sent(Outgoing *o)
{
    uint64_t bytes = o->bytes_base + stream_writer_bytes(o->w) +
                     (o->urgent ? stream_writer_bytes(o->urgent) : 0) +
                     (o->multifd ? multifd_send_bytes(o->multifd) : 0);

    if (outgoing_is_mapped(o) && o->saver) {
        RamStats ram;
        ram_saver_get_stats(o->saver, &ram);
        bytes = MAX(bytes, ram.transferred_bytes);
    }
    __atomic_store_n(&o->bytes_now, bytes, __ATOMIC_RELAXED);
    return bytes;
}

uint64_t outgoing_bytes_limited(Outgoing *o)
{
    return outgoing_bytes_sent(o) - (o->saver ? ram_save_urgent_bytes(o->saver) : 0);
}

void outgoing_note_done(Outgoing *o)
{
    RamStats ram;

    ram_saver_get_stats(o->saver, &ram);
    g_mutex_lock(&o->lock);
    o->done_pages = MAX(o->done_pages, ram_list_total_bytes(o->machine->ram) / TARGET_PAGE_SIZE -
                                       ram.remaining_pages);
    g_mutex_unlock(&o->lock);
}

/* The saver counts, monitors hear of it here. */
void outgoing_announce_passes(Outgoing *o)
{
    RamStats ram;

    ram_saver_get_stats(o->saver, &ram);
    while (o->pass < ram.dirty_sync_count) {
        migration_emit_pass(o->m, ++o->pass);
    }
}

/* ---- records ---- */

void outgoing_put_command(Outgoing *o, uint16_t command, const void *data, uint16_t len)
{
    trace_savevm_command_send(command, len);
    stream_put_u8(o->w, SECTION_COMMAND);
    stream_put_be16(o->w, command);
    stream_put_be16(o->w, len);
    stream_put_buffer(o->w, data, len);
}

void outgoing_put_section(Outgoing *o, uint8_t type)
{
    trace_savevm_section_start(RAM_SECTION_IDSTR, o->ram_id);
    o->section_at = stream_writer_bytes(o->w);
    stream_put_u8(o->w, type);
    stream_put_be32(o->w, o->ram_id);
    if (type == SECTION_START) {
        stream_put_cstr(o->w, RAM_SECTION_IDSTR);
        stream_put_be32(o->w, 0);
        stream_put_be32(o->w, RAM_SECTION_VERSION);
    }
}

void outgoing_end_section(Outgoing *o)
{
    if (migration_settings_props(o->settings)->send_section_footer) {
        stream_put_u8(o->w, SECTION_FOOTER);
        stream_put_be32(o->w, o->ram_id);
    }
    trace_savevm_section_end(RAM_SECTION_IDSTR, o->ram_id,
                             stream_writer_bytes(o->w) - o->section_at,
                             stream_writer_ok(o->w, NULL) ? 0 : -1);
}

bool outgoing_put_footer(Outgoing *o, GError **errp)
{
    outgoing_end_section(o);
    return stream_flush(o->w, errp);
}
