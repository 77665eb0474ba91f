/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands in the stream. Called by load.c, which calls whoever obeys those of
 * postcopy through a table. Form and place of each are checked here, what it
 * says about the guest's memory and in which order it may come over there.
 */
#include <string.h>
#include "migration/destination/commands.h"
#include "migration/migration-private.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define CHUNK_BYTES (64U << 10)

#define IN(place) (1u << INCOMING_IN_##place)
#define ANYWHERE (IN(STREAM) | IN(PACKAGE) | IN(BACKGROUND))

static const struct {
    const char *name;
    int len;                /* -1: any */
    unsigned places;
    bool postcopy;          /* only with the capability postcopy-ram */
} commands[MIG_CMD_MAX] = {
    [MIG_CMD_OPEN_RETURN_PATH] = { "CMD_OPEN_RETURN_PATH", 0, IN(STREAM), false },
    [MIG_CMD_PING] = { "CMD_PING", MIG_CMD_PING_BYTES, ANYWHERE, false },
    [MIG_CMD_POSTCOPY_ADVISE] = { "CMD_POSTCOPY_ADVISE", -1, IN(STREAM), true },
    [MIG_CMD_POSTCOPY_LISTEN] = { "CMD_POSTCOPY_LISTEN", 0, IN(PACKAGE), true },
    [MIG_CMD_POSTCOPY_RUN] = { "CMD_POSTCOPY_RUN", 0, IN(PACKAGE), true },
    [MIG_CMD_POSTCOPY_RAM_DISCARD] = { "CMD_POSTCOPY_RAM_DISCARD", -1, IN(STREAM), true },
    [MIG_CMD_PACKAGED] = { "CMD_PACKAGED", MIG_CMD_PACKAGED_BYTES, IN(STREAM), true },
    [MIG_CMD_ENABLE_COLO] = { "CMD_ENABLE_COLO", 0, 0, false },
    [MIG_CMD_POSTCOPY_RESUME] = { "CMD_POSTCOPY_RESUME", 0, IN(BACKGROUND), true },
    [MIG_CMD_RECV_BITMAP] = { "CMD_MIG_RECV_BITMAP", -1, IN(BACKGROUND), true },
    [MIG_CMD_SWITCHOVER_START] = { "CMD_SWITCHOVER_START", 0, IN(STREAM), false },
};

GByteArray *incoming_get_bytes(StreamReader *r, uint32_t len)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    while (bytes->len < len) {
        guint had = bytes->len, n = MIN(len - had, CHUNK_BYTES);
        g_byte_array_set_size(bytes, had + n);
        if (!stream_get_buffer(r, bytes->data + had, n)) {
            return NULL;
        }
    }
    return g_steal_pointer(&bytes);
}

/* ---- any migration ---- */

static bool get_ping(IncomingLoad *l, StreamReader *r, GError **errp)
{
    uint32_t value = stream_get_be32(r);

    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (!l->return_path) {
        error_setg(errp, "CMD_PING (0x%x) received with no return path", value);
        return false;
    }
    trace_loadvm_process_command_ping(value);
    if (!fault_point(&l->m->machine->faults, FAULT_DST_PONG, errp)) {
        return false;
    }
    if (value == MIG_PING_ALIVE && l->place == INCOMING_IN_BACKGROUND) {
        l->ops->talks(l->opaque);
    }
    /* Who asks may have gone with everything sent: what is left of the stream tells. */
    return_path_send_pong(l->answers, value, NULL);
    return true;
}

static bool open_return_path(IncomingLoad *l, GError **errp)
{
    if (!l->channel || !channel_has_return_path(l->channel)) {
        error_setg(errp, "CMD_OPEN_RETURN_PATH failed: nothing can be sent back on this channel");
        return false;
    }
    l->return_path = true;
    /* No device here has a state of its own that would have to be there first. */
    return !(migration_settings_caps(l->settings) & MIGRATION_CAP(SWITCHOVER_ACK)) ||
           return_path_send_switchover_ack(l->answers, errp);
}

static bool get_package(IncomingLoad *l, StreamReader *r, GError **errp)
{
    uint32_t len = stream_get_be32(r);

    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (len > MIG_PACKAGED_MAX) {
        error_setg(errp, "Unreasonably large packaged state: %u bytes, at most %u are read", len,
                   MIG_PACKAGED_MAX);
        return false;
    }
    trace_loadvm_handle_cmd_packaged(len);
    l->package = incoming_get_bytes(r, len);
    trace_loadvm_handle_cmd_packaged_received(l->package ? 0 : -1);
    return stream_reader_ok(r, errp);
}

/* ---- postcopy ---- */

static bool get_advise(IncomingLoad *l, StreamReader *r, uint16_t len, GError **errp)
{
    if (len != MIG_CMD_POSTCOPY_ADVISE_BYTES) {
        error_setg(errp, "CMD_POSTCOPY_ADVISE invalid length (%u), expected %d: is postcopy-ram on "
                   "at the source?", len, MIG_CMD_POSTCOPY_ADVISE_BYTES);
        return false;
    }
    uint64_t page_sizes = stream_get_be64(r), target_page = stream_get_be64(r);
    return stream_reader_ok(r, errp) && l->ops->advise(l->opaque, page_sizes, target_page, errp);
}

static bool is_discard(const uint8_t *data, uint16_t len, GError **errp)
{
    /* Version, name length, name, NUL, ranges. */
    if (len < 20 || data[1] == 0 || 3u + data[1] >= len || (len - 3 - data[1]) % 16 ||
        data[2 + data[1]] != 0 || memchr(data + 2, 0, data[1])) {
        error_setg(errp, "CMD_POSTCOPY_RAM_DISCARD malformed (length %u)", len);
        return false;
    }
    if (data[0] != 0) {
        error_setg(errp, "CMD_POSTCOPY_RAM_DISCARD invalid version (%u)", data[0]);
        return false;
    }
    return true;
}

static bool get_discard(IncomingLoad *l, StreamReader *r, uint16_t len, GError **errp)
{
    g_autoptr(GByteArray) bytes = incoming_get_bytes(r, len);

    if (!bytes) {
        return stream_reader_ok(r, errp);
    }
    const uint8_t *data = bytes->data;
    if (!is_discard(data, len, errp)) {
        return false;
    }
    for (size_t at = 3u + data[1]; at < len; at += 16) {
        uint64_t range[2];

        memcpy(range, data + at, sizeof(range));
        if (!l->ops->discard(l->opaque, (const char *)data + 2, GUINT64_FROM_BE(range[0]),
                             GUINT64_FROM_BE(range[1]), errp)) {
            return false;
        }
    }
    return true;
}

static bool get_recv_bitmap(IncomingLoad *l, StreamReader *r, uint16_t len, GError **errp)
{
    char block[256];

    if (!stream_get_cstr(r, block)) {
        return stream_reader_ok(r, errp);
    }
    if (len != 1 + strlen(block)) {
        error_setg(errp, "CMD_MIG_RECV_BITMAP invalid length (%u)", len);
        return false;
    }
    return l->ops->recv_bitmap(l->opaque, block, errp);
}

/* ---- dispatch ---- */

static bool check_known(uint16_t cmd, uint16_t len, GError **errp)
{
    if (cmd >= MIG_CMD_MAX || !commands[cmd].name) {
        error_setg(errp, "MIG_CMD 0x%x unknown (len 0x%x)", cmd, len);
        return false;
    }
    if (commands[cmd].len >= 0 && len != commands[cmd].len) {
        error_setg(errp, "%s received with bad length - expecting %d, got %u", commands[cmd].name,
                   commands[cmd].len, len);
        return false;
    }
    return true;
}

static bool check_place(const IncomingLoad *l, uint16_t cmd, GError **errp)
{
    static const char *const places[] = { "before the switch to postcopy", "in a package",
                                          "after the switch to postcopy" };

    if (cmd == MIG_CMD_ENABLE_COLO) {
        error_setg(errp, "CMD_ENABLE_COLO received: COLO is not supported");
        return false;
    }
    if (commands[cmd].postcopy && !l->ops) {
        error_setg(errp, "%s received: postcopy-ram is on at the source and off here: switch it on "
                   "here as well", commands[cmd].name);
        return false;
    }
    if (!(commands[cmd].places & (1u << l->place))) {
        error_setg(errp, "%s received %s", commands[cmd].name, places[l->place]);
        return false;
    }
    return true;
}

bool incoming_command(IncomingLoad *l, StreamReader *r, GError **errp)
{
    uint16_t cmd = stream_get_be16(r);
    uint16_t len = stream_get_be16(r);

    if (!stream_reader_ok(r, errp) || !check_known(cmd, len, errp) ||
        !check_place(l, cmd, errp)) {
        return false;
    }
    trace_loadvm_process_command(commands[cmd].name, len);
    switch (cmd) {
    case MIG_CMD_OPEN_RETURN_PATH:
        return l->return_path || open_return_path(l, errp); /* a second one is ignored */
    case MIG_CMD_PING:
        return get_ping(l, r, errp);
    case MIG_CMD_POSTCOPY_ADVISE:
        return get_advise(l, r, len, errp);
    case MIG_CMD_POSTCOPY_RAM_DISCARD:
        return get_discard(l, r, len, errp);
    case MIG_CMD_PACKAGED:
        return get_package(l, r, errp);
    case MIG_CMD_POSTCOPY_LISTEN:
        return l->ops->listen(l->opaque, errp);
    case MIG_CMD_POSTCOPY_RUN:
        l->ran = l->ops->run(l->opaque, errp);
        return l->ran;
    case MIG_CMD_RECV_BITMAP:
        return get_recv_bitmap(l, r, len, errp);
    case MIG_CMD_POSTCOPY_RESUME:
        return l->ops->resume(l->opaque, errp);
    default:
        return true; /* SWITCHOVER_START: the source has stopped, nothing to do */
    }
}
