/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of the return path. Used by incoming.c (writer) and outgoing.c
 * (reader); decides nothing about the migration.
 */
#include <string.h>
#include "migration/control/return-path.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* ---- the destination's side ---- */

static size_t put_message(uint8_t *out, uint16_t type, const void *data, uint16_t len)
{
    uint16_t head[2] = { GUINT16_TO_BE(type), GUINT16_TO_BE(len) };

    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), data, len);
    return sizeof(head) + len;
}

bool return_path_send_pong(Channel *c, uint32_t value, GError **errp)
{
    uint8_t out[8];
    uint32_t be = GUINT32_TO_BE(value);

    return channel_write_all(c, out, put_message(out, MIG_RP_MSG_PONG, &be, sizeof(be)), errp);
}

bool return_path_send_shut(Channel *c, const char *reason, GError **errp)
{
    uint8_t out[2 * 4 + 4 + MIG_RP_DATA_MAX];
    uint32_t be = GUINT32_TO_BE(reason ? 1 : 0);
    size_t len = put_message(out, MIG_RP_MSG_SHUT, &be, sizeof(be));

    if (reason) {
        len += put_message(out + len, RETURN_PATH_REASON, reason,
                           MIN(strlen(reason), MIG_RP_DATA_MAX));
    }
    return channel_write_all(c, out, len, errp);
}

/* ---- the source's side ---- */

struct ReturnPath {
    Channel *channel;   /* set once */
    GThread *thread;    /* set once */
    GMutex lock;
    GCond changed;
    /* protected by lock */
    ReturnPathState state;
    bool ended;         /* the thread reads no more */
    uint32_t pong;      /* the last one's number */
    char *reason;
    GError *err;        /* INVALID, BROKEN */
};

/* *state says what it means if it fails. */
static bool read_message(Channel *c, uint16_t *type, uint8_t *data, uint16_t *len,
                         ReturnPathState *state, GError **errp)
{
    uint16_t head[2];

    *state = RETURN_PATH_BROKEN;
    if (!channel_read_all(c, head, sizeof(head), errp)) {
        return false;
    }
    *type = GUINT16_FROM_BE(head[0]);
    *len = GUINT16_FROM_BE(head[1]);
    if (*len > MIG_RP_DATA_MAX) {
        *state = RETURN_PATH_INVALID;
        error_setg(errp, "return path: message type %u is %u bytes long, at most %u expected",
                   *type, *len, MIG_RP_DATA_MAX);
        return false;
    }
    return channel_read_all(c, data, *len, errp);
}

static bool check_length(uint16_t type, uint16_t len, uint16_t want, GError **errp)
{
    if (len != want) {
        error_setg(errp, "return path: message type %u has %u bytes, %u expected", type, len, want);
        return false;
    }
    return true;
}

static void note_pong(ReturnPath *rp, uint32_t value)
{
    g_mutex_lock(&rp->lock);
    rp->pong = value;
    g_cond_broadcast(&rp->changed);
    g_mutex_unlock(&rp->lock);
}

/* One message; *verdict is what is known after it. */
static bool handle_message(ReturnPath *rp, ReturnPathState *verdict, GError **errp)
{
    uint8_t data[MIG_RP_DATA_MAX];
    uint16_t type, len;
    uint32_t value;

    if (!read_message(rp->channel, &type, data, &len, verdict, errp)) {
        return false;
    }
    *verdict = RETURN_PATH_INVALID;
    switch (type) {
    case MIG_RP_MSG_SHUT:
        if (!check_length(type, len, sizeof(value), errp)) {
            return false;
        }
        memcpy(&value, data, sizeof(value));
        trace_source_return_path_thread_shut(GUINT32_FROM_BE(value));
        *verdict = value ? RETURN_PATH_REFUSED : RETURN_PATH_ACCEPTED;
        return true;
    case MIG_RP_MSG_PONG:
        if (!check_length(type, len, sizeof(value), errp)) {
            return false;
        }
        memcpy(&value, data, sizeof(value));
        note_pong(rp, GUINT32_FROM_BE(value));
        memcpy(&value, data, sizeof(value));
        trace_source_return_path_thread_pong(GUINT32_FROM_BE(value));
        *verdict = RETURN_PATH_OPEN;
        return true;
    case MIG_RP_MSG_REQ_PAGES_ID:
    case MIG_RP_MSG_REQ_PAGES:
    case MIG_RP_MSG_RECV_BITMAP:
    case MIG_RP_MSG_RESUME_ACK:
        error_setg(errp, "return path: message type %u without postcopy", type);
        return false;
    case MIG_RP_MSG_SWITCHOVER_ACK:
        error_setg(errp, "return path: message type %u without capability switchover-ack", type);
        return false;
    default:
        error_setg(errp, "return path: unknown message type %u", type);
        return false;
    }
}

/* What a Ferry destination adds to a refusal; a QEMU just closes. */
static char *read_reason(Channel *c)
{
    uint8_t data[MIG_RP_DATA_MAX];
    uint16_t type, len;
    ReturnPathState unused;

    if (!read_message(c, &type, data, &len, &unused, NULL) || type != RETURN_PATH_REASON) {
        return NULL;
    }
    return g_utf8_make_valid((const char *)data, len);
}

static void set_state(ReturnPath *rp, ReturnPathState state, bool ended)
{
    g_mutex_lock(&rp->lock);
    rp->state = state;
    rp->ended = ended;
    g_cond_broadcast(&rp->changed);
    g_mutex_unlock(&rp->lock);
}

/*
 * The return path thread. Owns the reading half of the channel. Waits on it
 * alone; ends after SHUT (and a reason), at the end of the channel, on
 * nonsense, or when the migration thread shuts the channel down.
 */
static gpointer return_path_thread(gpointer opaque)
{
    ReturnPath *rp = opaque;
    ReturnPathState verdict = RETURN_PATH_OPEN;
    GError *err = NULL;

    trace_source_return_path_thread_entry();
    while (handle_message(rp, &verdict, &err) && verdict == RETURN_PATH_OPEN) {
        /* the next */
    }
    char *reason = NULL;
    if (verdict == RETURN_PATH_REFUSED) {
        set_state(rp, verdict, false);
        reason = read_reason(rp->channel);
    }
    g_mutex_lock(&rp->lock);
    rp->reason = reason;
    rp->err = err;
    g_mutex_unlock(&rp->lock);
    set_state(rp, verdict, true);
    trace_source_return_path_thread_end();
    return NULL;
}

ReturnPath *return_path_new(Channel *c)
{
    ReturnPath *rp = g_new0(ReturnPath, 1);

    rp->channel = c;
    g_mutex_init(&rp->lock);
    g_cond_init(&rp->changed);
    rp->thread = g_thread_new("return path", return_path_thread, rp);
    return rp;
}

void return_path_free(ReturnPath *rp)
{
    if (rp) {
        g_thread_join(rp->thread);
        g_mutex_clear(&rp->lock);
        g_cond_clear(&rp->changed);
        g_clear_error(&rp->err);
        g_free(rp->reason);
        g_free(rp);
    }
}

ReturnPathState return_path_wait(ReturnPath *rp, int64_t timeout_us)
{
    int64_t until = g_get_monotonic_time() + timeout_us;

    g_mutex_lock(&rp->lock);
    while (!rp->ended) {
        if (timeout_us < 0) {
            g_cond_wait(&rp->changed, &rp->lock);
        } else if (!g_cond_wait_until(&rp->changed, &rp->lock, until)) {
            break;
        }
    }
    ReturnPathState state = rp->state;
    g_mutex_unlock(&rp->lock);
    return state;
}

bool return_path_wait_pong(ReturnPath *rp, uint32_t value, int64_t timeout_us)
{
    int64_t until = g_get_monotonic_time() + timeout_us;

    g_mutex_lock(&rp->lock);
    while (rp->pong != value && rp->state == RETURN_PATH_OPEN && !rp->ended &&
           g_cond_wait_until(&rp->changed, &rp->lock, until)) {
        /* another message */
    }
    bool got = rp->pong == value;
    g_mutex_unlock(&rp->lock);
    return got;
}

ReturnPathState return_path_state(ReturnPath *rp)
{
    return return_path_wait(rp, 0);
}

void return_path_error(ReturnPath *rp, GError **errp)
{
    g_mutex_lock(&rp->lock);
    if (rp->state == RETURN_PATH_REFUSED) {
        error_setg(errp, "the destination refused the migration: %s",
                   rp->reason ? rp->reason : "it gave no reason; see its messages");
    } else if (rp->err) {
        error_setg(errp, "%s", rp->err->message);
    }
    g_mutex_unlock(&rp->lock);
}
