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

#define REQUEST_MAX (4 + 12 + 256)      /* bytes of the longest page request */

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
    /* end of a message that was begun without waiting; whoever writes next writes it first */
    uint8_t rest[REQUEST_MAX];
    size_t rest_len;
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
    w->rest_len = 0;
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
    size_t rest = w->rest_len;

    w->rest_len = 0;
    return channel_write_all(w->channel, w->rest, rest, errp) &&
           channel_write_all(w->channel, data, len, errp);
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

/* The message; returns its length. Has the turn. */
static size_t page_request(ReturnPathWriter *w, const char *block, uint64_t start, uint32_t len,
                           uint8_t out[REQUEST_MAX])
{
    bool same = g_strcmp0(block, w->block) == 0;
    uint64_t start_be = GUINT64_TO_BE(start);
    uint32_t len_be = GUINT32_TO_BE(len);

    memcpy(out + 4, &start_be, sizeof(start_be));
    memcpy(out + 12, &len_be, sizeof(len_be));
    size_t data = same ? 12 : 12 + put_name(out + 16, block);
    uint16_t head[2] = { GUINT16_TO_BE(same ? MIG_RP_MSG_REQ_PAGES : MIG_RP_MSG_REQ_PAGES_ID),
                         GUINT16_TO_BE(data) };
    memcpy(out, head, sizeof(head));
    return sizeof(head) + data;
}

/* A page request is on its way: the next one need not name the block. Has the turn. */
static void note_block(ReturnPathWriter *w, const char *block)
{
    if (g_strcmp0(block, w->block) != 0) {
        g_free(w->block);
        w->block = g_strdup(block);
    }
}

bool return_path_send_page_request(ReturnPathWriter *w, const char *block, uint64_t start,
                                   uint32_t len, GError **errp)
{
    uint8_t out[REQUEST_MAX];

    g_mutex_lock(&w->turn);
    bool ok = write_out(w, out, page_request(w, block, start, len, out), errp);
    note_block(w, block);
    g_mutex_unlock(&w->turn);
    return ok;
}

/* Has the turn. */
static ReturnPathTry try_request(ReturnPathWriter *w, const char *block, uint64_t start,
                                 uint32_t len)
{
    uint8_t out[REQUEST_MAX];

    if (!w->channel || w->rest_len) {
        return RETURN_PATH_NOT_SENT;
    }
    size_t n = page_request(w, block, start, len, out);
    size_t sent = channel_write_now(w->channel, out, n);
    if (sent == 0) {
        return RETURN_PATH_NOT_SENT;
    }
    note_block(w, block);
    w->rest_len = n - sent;
    memcpy(w->rest, out + sent, w->rest_len);
    return w->rest_len ? RETURN_PATH_SENT_PART : RETURN_PATH_SENT;
}

ReturnPathTry return_path_try_page_request(ReturnPathWriter *w, const char *block, uint64_t start,
                                           uint32_t len)
{
    if (!g_mutex_trylock(&w->turn)) {
        return RETURN_PATH_NOT_SENT;
    }
    ReturnPathTry came = try_request(w, block, start, len);
    g_mutex_unlock(&w->turn);
    return came;
}

bool return_path_send_rest(ReturnPathWriter *w, GError **errp)
{
    g_mutex_lock(&w->turn);
    bool ok = write_out(w, "", 0, errp);
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
