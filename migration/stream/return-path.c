/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's side of the return path: one thread reads messages, a table
 * says who handles which. Used by source/outgoing.c; decides nothing about the
 * migration.
 */
#include <string.h>
#include "migration/stream/return-path.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/short-turns.h"
#include "util/trace-migration.h"

struct ReturnPath {
    /* set once */
    const ReturnPathOps *ops;
    void *opaque;
    GMutex lock;
    GCond changed;
    /* whoever makes, replaces and frees it */
    GThread *thread;
    /* return path thread while there is one */
    Channel *channel;
    char block[256];    /* of the last page request; "": none yet */
    /* protected by lock */
    ReturnPathState state;
    bool ended;         /* the thread reads no more */
    uint32_t pong;      /* the last one's number */
    char *reason;
    GError *err;        /* INVALID, BROKEN */
};

/* A message whose form has been checked: length by the table, the rest by its handler. */
typedef struct Message {
    uint16_t type, len;
    uint8_t data[MIG_RP_DATA_MAX];
} Message;

/* *state says what it means if it fails. */
static bool read_message(Channel *c, Message *msg, ReturnPathState *state, GError **errp)
{
    uint16_t head[2];

    *state = RETURN_PATH_BROKEN;
    if (!channel_read_all(c, head, sizeof(head), errp)) {
        return false;
    }
    msg->type = GUINT16_FROM_BE(head[0]);
    msg->len = GUINT16_FROM_BE(head[1]);
    if (msg->len > MIG_RP_DATA_MAX) {
        *state = RETURN_PATH_INVALID;
        error_setg(errp, "return path: message type %u is %u bytes long, at most %u expected",
                   msg->type, msg->len, MIG_RP_DATA_MAX);
        return false;
    }
    return channel_read_all(c, msg->data, msg->len, errp);
}

static uint32_t get_be32(const uint8_t *p)
{
    uint32_t be;

    memcpy(&be, p, sizeof(be));
    return GUINT32_FROM_BE(be);
}

static uint64_t get_be64(const uint8_t *p)
{
    return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

/* ---- the handlers: *verdict is what is known after the message ---- */

static bool handle_shut(ReturnPath *rp, const Message *msg, ReturnPathState *verdict,
                        GError **errp)
{
    uint32_t value = get_be32(msg->data);

    if (rp->ops->verdict && !rp->ops->verdict(rp->opaque, errp)) {
        *verdict = RETURN_PATH_BROKEN;
        return false;
    }
    trace_source_return_path_thread_shut(value);
    *verdict = value ? RETURN_PATH_REFUSED : RETURN_PATH_ACCEPTED;
    return true;
}

static bool handle_pong(ReturnPath *rp, const Message *msg, ReturnPathState *verdict,
                        GError **errp)
{
    uint32_t value = get_be32(msg->data);

    g_mutex_lock(&rp->lock);
    rp->pong = value;
    g_cond_broadcast(&rp->changed);
    g_mutex_unlock(&rp->lock);
    trace_source_return_path_thread_pong(value);
    if (rp->ops->pong) {
        rp->ops->pong(rp->opaque, value);
    }
    return true;
}

static bool refuse_without(const Message *msg, const char *what, GError **errp)
{
    error_setg(errp, "return path: message type %u without %s", msg->type, what);
    return false;
}

/* A counted name that fills len bytes of the message from at. */
static bool get_name(const Message *msg, size_t at, char out[256], GError **errp)
{
    size_t len = msg->data[at];

    if (msg->len != at + 1 + len || memchr(msg->data + at + 1, 0, len)) {
        error_setg(errp, "return path: message type %u has a block name that does not fit its %u "
                   "bytes", msg->type, msg->len);
        return false;
    }
    memcpy(out, msg->data + at + 1, len);
    out[len] = '\0';
    return true;
}

static bool handle_page_request(ReturnPath *rp, const Message *msg, ReturnPathState *verdict,
                                GError **errp)
{
    if (!rp->ops->page_request) {
        return refuse_without(msg, "postcopy", errp);
    }
    if (msg->type == MIG_RP_MSG_REQ_PAGES_ID && !get_name(msg, 12, rp->block, errp)) {
        return false;
    }
    if (!*rp->block) {
        error_setg(errp, "return path: a page is asked for without a RAM block");
        return false;
    }
    return rp->ops->page_request(rp->opaque, rp->block, get_be64(msg->data),
                                 get_be32(msg->data + 8), errp);
}

/* What follows the message is not counted in its length: size, bits, mark. */
static bool handle_recv_bitmap(ReturnPath *rp, const Message *msg, ReturnPathState *verdict,
                               GError **errp)
{
    ReturnPathState invalid = *verdict;
    char block[256];
    uint8_t word[8];

    if (!rp->ops->bitmap_room) {
        return refuse_without(msg, "postcopy", errp);
    }
    if (!get_name(msg, 0, block, errp)) {
        return false;
    }
    *verdict = RETURN_PATH_BROKEN;
    if (!channel_read_all(rp->channel, word, sizeof(word), errp)) {
        return false;
    }
    *verdict = invalid;
    uint64_t bytes = get_be64(word);
    void *room = rp->ops->bitmap_room(rp->opaque, block, bytes, errp);
    if (!room) {
        return false;
    }
    *verdict = RETURN_PATH_BROKEN;
    if (!channel_read_all(rp->channel, room, bytes, errp) ||
        !channel_read_all(rp->channel, word, sizeof(word), errp)) {
        return false;
    }
    *verdict = invalid;
    if (get_be64(word) != MIG_RECV_BITMAP_END_MARK) {
        error_setg(errp, "return path: the bitmap of RAM block \"%s\" does not end with its mark",
                   block);
        return false;
    }
    return rp->ops->bitmap_done(rp->opaque, block, errp);
}

static bool handle_resume_ack(ReturnPath *rp, const Message *msg, ReturnPathState *verdict,
                              GError **errp)
{
    return rp->ops->resume_ack ? rp->ops->resume_ack(rp->opaque, get_be32(msg->data), errp)
                               : refuse_without(msg, "postcopy", errp);
}

static bool handle_switchover_ack(ReturnPath *rp, const Message *msg, ReturnPathState *verdict,
                                  GError **errp)
{
    return rp->ops->switchover_ack ? rp->ops->switchover_ack(rp->opaque, errp)
                                   : refuse_without(msg, "capability switchover-ack", errp);
}

static const struct {
    uint16_t min, max;      /* length of the data */
    bool (*handle)(ReturnPath *rp, const Message *msg, ReturnPathState *verdict, GError **errp);
} handlers[MIG_RP_MSG_MAX] = {
    [MIG_RP_MSG_SHUT] = { 4, 4, handle_shut },
    [MIG_RP_MSG_PONG] = { 4, 4, handle_pong },
    [MIG_RP_MSG_REQ_PAGES_ID] = { 13, 12 + 256, handle_page_request },
    [MIG_RP_MSG_REQ_PAGES] = { 12, 12, handle_page_request },
    [MIG_RP_MSG_RECV_BITMAP] = { 1, 256, handle_recv_bitmap },
    [MIG_RP_MSG_RESUME_ACK] = { 4, 4, handle_resume_ack },
    [MIG_RP_MSG_SWITCHOVER_ACK] = { 0, 0, handle_switchover_ack },
};

static bool check_length(const Message *msg, GError **errp)
{
    uint16_t min = handlers[msg->type].min, max = handlers[msg->type].max;

    if (msg->len >= min && msg->len <= max) {
        return true;
    }
    if (min == max) {
        error_setg(errp, "return path: message type %u has %u bytes, %u expected", msg->type,
                   msg->len, min);
    } else {
        error_setg(errp, "return path: message type %u has %u bytes, %u to %u expected", msg->type,
                   msg->len, min, max);
    }
    return false;
}

/* One message; *verdict is what is known after it. */
static bool handle_message(ReturnPath *rp, ReturnPathState *verdict, GError **errp)
{
    Message msg;

    if (!read_message(rp->channel, &msg, verdict, errp)) {
        return false;
    }
    *verdict = RETURN_PATH_INVALID;
    if (msg.type >= MIG_RP_MSG_MAX || !handlers[msg.type].handle) {
        error_setg(errp, "return path: unknown message type %u", msg.type);
        return false;
    }
    if (!check_length(&msg, errp)) {
        return false;
    }
    ReturnPathState after = RETURN_PATH_INVALID;
    if (!handlers[msg.type].handle(rp, &msg, &after, errp)) {
        *verdict = after;
        return false;
    }
    *verdict = after == RETURN_PATH_INVALID ? RETURN_PATH_OPEN : after;
    return true;
}

/* What a Ferry destination adds to a refusal; a QEMU just closes. */
static char *read_reason(Channel *c)
{
    ReturnPathState unused;
    Message msg;

    if (!read_message(c, &msg, &unused, NULL) || msg.type != RETURN_PATH_REASON) {
        return NULL;
    }
    return g_utf8_make_valid((const char *)msg.data, msg.len);
}

static void set_state(ReturnPath *rp, ReturnPathState state, bool ended)
{
    g_mutex_lock(&rp->lock);
    rp->state = state;
    rp->ended = ended;
    g_cond_broadcast(&rp->changed);
    g_mutex_unlock(&rp->lock);
    if (rp->ops->changed) {
        rp->ops->changed(rp->opaque);
    }
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
    thread_short_turns(true);
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

/* Where no thread can be had the way back is one that said nonsense, with the reason. */
static void start_thread(ReturnPath *rp)
{
    GError *err = NULL;

    rp->thread = thread_start("return path", return_path_thread, rp, &err);
    if (!rp->thread) {
        g_mutex_lock(&rp->lock);
        rp->err = err;
        g_mutex_unlock(&rp->lock);
        set_state(rp, RETURN_PATH_INVALID, true);
    }
}

ReturnPath *return_path_new(Channel *c, const ReturnPathOps *ops, void *opaque)
{
    static const ReturnPathOps no_ops;
    ReturnPath *rp = g_new0(ReturnPath, 1);

    rp->channel = c;
    rp->ops = ops ? ops : &no_ops;
    rp->opaque = opaque;
    g_mutex_init(&rp->lock);
    g_cond_init(&rp->changed);
    start_thread(rp);
    return rp;
}

void return_path_replace(ReturnPath *rp, Channel *c)
{
    g_clear_pointer(&rp->thread, g_thread_join);
    g_mutex_lock(&rp->lock);
    rp->state = RETURN_PATH_OPEN;
    rp->ended = false;
    rp->pong = 0;
    g_clear_pointer(&rp->reason, g_free);
    g_clear_error(&rp->err);
    g_mutex_unlock(&rp->lock);
    rp->channel = c;
    start_thread(rp);
}

void return_path_join(ReturnPath *rp)
{
    g_clear_pointer(&rp->thread, g_thread_join);
}

void return_path_free(ReturnPath *rp)
{
    if (rp) {
        g_clear_pointer(&rp->thread, g_thread_join);
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
