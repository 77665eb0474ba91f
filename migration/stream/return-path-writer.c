/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's side of the return path: puts messages together and
 * sends each of them whole. Used by the incoming thread and by whoever else
 * of the destination has something to say; decides nothing.
 */
#include <string.h>
#include "migration/stream/return-path.h"
#include "migration/stream/format.h"
#include "util/error.h"

struct ReturnPathWriter {
    /*
     * The turn to write. Held across I/O on purpose: a message must not be cut
     * in two by another. Who has it waits for the peer alone, and
     * channel_shutdown ends that.
     */
    GMutex turn;
    /* who has the turn */
    Channel *channel;       /* NULL: nobody listens */
    char *block;            /* of the last page request on this channel */
};

ReturnPathWriter *return_path_writer_new(Channel *c)
{
    ReturnPathWriter *w = g_new0(ReturnPathWriter, 1);

    g_mutex_init(&w->turn);
    w->channel = c;
    return w;
}

void return_path_writer_free(ReturnPathWriter *w)
{
    if (w) {
        g_mutex_clear(&w->turn);
        g_free(w->block);
        g_free(w);
    }
}

void return_path_writer_replace(ReturnPathWriter *w, Channel *c)
{
    g_mutex_lock(&w->turn);
    w->channel = c;
    g_clear_pointer(&w->block, g_free);
    g_mutex_unlock(&w->turn);
}

static void put_message(GByteArray *out, uint16_t type, const void *data, uint16_t len)
{
    uint16_t head[2] = { GUINT16_TO_BE(type), GUINT16_TO_BE(len) };

    g_byte_array_append(out, (const guint8 *)head, sizeof(head));
    g_byte_array_append(out, data, len);
}

static size_t put_name(uint8_t *out, const char *name)
{
    size_t len = MIN(strlen(name), 255);

    *out = len;
    memcpy(out + 1, name, len);
    return 1 + len;
}

/* Has the turn. */
static bool write_out(ReturnPathWriter *w, const void *data, size_t len, GError **errp)
{
    if (!w->channel) {
        error_setg(errp, "there is no connection to the source");
        return false;
    }
    return channel_write_all(w->channel, data, len, errp);
}

static bool send(ReturnPathWriter *w, const GByteArray *out, GError **errp)
{
    g_mutex_lock(&w->turn);
    bool ok = write_out(w, out->data, out->len, errp);
    g_mutex_unlock(&w->turn);
    return ok;
}

static bool send_number(ReturnPathWriter *w, uint16_t type, uint32_t value, GError **errp)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint32_t be = GUINT32_TO_BE(value);

    put_message(out, type, &be, sizeof(be));
    return send(w, out, errp);
}

bool return_path_send_pong(ReturnPathWriter *w, uint32_t value, GError **errp)
{
    return send_number(w, MIG_RP_MSG_PONG, value, errp);
}

bool return_path_send_shut(ReturnPathWriter *w, const char *reason, GError **errp)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint32_t be = GUINT32_TO_BE(reason ? 1 : 0);

    put_message(out, MIG_RP_MSG_SHUT, &be, sizeof(be));
    if (reason) {
        put_message(out, RETURN_PATH_REASON, reason, MIN(strlen(reason), MIG_RP_DATA_MAX));
    }
    return send(w, out, errp);
}

bool return_path_send_page_request(ReturnPathWriter *w, const char *block, uint64_t start,
                                   uint32_t len, GError **errp)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t data[12 + 256];
    uint64_t start_be = GUINT64_TO_BE(start);
    uint32_t len_be = GUINT32_TO_BE(len);

    memcpy(data, &start_be, sizeof(start_be));
    memcpy(data + 8, &len_be, sizeof(len_be));
    size_t named = 12 + put_name(data + 12, block);
    g_mutex_lock(&w->turn);
    bool same = g_strcmp0(block, w->block) == 0;
    put_message(out, same ? MIG_RP_MSG_REQ_PAGES : MIG_RP_MSG_REQ_PAGES_ID, data,
                same ? 12 : named);
    bool ok = write_out(w, out->data, out->len, errp);
    if (!same) {
        g_free(w->block);
        w->block = g_strdup(block);
    }
    g_mutex_unlock(&w->turn);
    return ok;
}

bool return_path_send_recv_bitmap(ReturnPathWriter *w, const char *block, const void *bitmap,
                                  uint64_t bytes, GError **errp)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t name[256];
    uint64_t size_be = GUINT64_TO_BE(bytes), mark_be = GUINT64_TO_BE(MIG_RECV_BITMAP_END_MARK);

    put_message(out, MIG_RP_MSG_RECV_BITMAP, name, put_name(name, block));
    g_byte_array_append(out, (const guint8 *)&size_be, sizeof(size_be));
    g_mutex_lock(&w->turn);
    bool ok = write_out(w, out->data, out->len, errp) && write_out(w, bitmap, bytes, errp) &&
              write_out(w, &mark_be, sizeof(mark_be), errp);
    g_mutex_unlock(&w->turn);
    return ok;
}

bool return_path_send_resume_ack(ReturnPathWriter *w, uint32_t value, GError **errp)
{
    return send_number(w, MIG_RP_MSG_RESUME_ACK, value, errp);
}

bool return_path_send_switchover_ack(ReturnPathWriter *w, GError **errp)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    put_message(out, MIG_RP_MSG_SWITCHOVER_ACK, "", 0);
    return send(w, out, errp);
}
