/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The return path (migration-stream 8.2): what a destination says to
 * its source on the same channel. The destination's side writes messages;
 * the source's side is a thread that reads them until the last one.
 *
 * The verdict is SHUT, a bare number. A Ferry destination that refuses puts
 * its reason behind it, as one message of type RETURN_PATH_REASON. SHUT is
 * the last message a QEMU source reads, so it never sees the reason; a Ferry
 * source waits a moment for it. Nothing has to be negotiated.
 */
#ifndef MIGRATION_CONTROL_RETURN_PATH_H
#define MIGRATION_CONTROL_RETURN_PATH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "migration/channel.h"

#define RETURN_PATH_REASON 0x4652

/* ---- the destination's side; the incoming thread ---- */

bool return_path_send_pong(Channel *c, uint32_t value, GError **errp);
/** The verdict: reason NULL is success, else SHUT 1 and the reason (cut to 512 bytes). */
bool return_path_send_shut(Channel *c, const char *reason, GError **errp);

/* ---- the source's side ---- */

typedef struct ReturnPath ReturnPath;

/** How the conversation stands. */
typedef enum ReturnPathState {
    RETURN_PATH_OPEN,       /* nothing decided */
    RETURN_PATH_ACCEPTED,   /* SHUT 0 */
    RETURN_PATH_REFUSED,    /* SHUT with another number, and the reason if the peer gave one */
    RETURN_PATH_INVALID,    /* the peer talked nonsense */
    RETURN_PATH_BROKEN,     /* the channel ended without a verdict */
} ReturnPathState;

/**
 * Starts the thread that reads c until SHUT, the end of the channel or
 * channel_shutdown. c must outlive return_path_free.
 */
ReturnPath *return_path_new(Channel *c);
/** Joins the thread: call channel_shutdown first if it may still be reading. */
void return_path_free(ReturnPath *rp);
/** Waits at most timeout_us (negative: for ever, i.e. until channel_shutdown) for the end of the talk. */
ReturnPathState return_path_wait(ReturnPath *rp, int64_t timeout_us);
ReturnPathState return_path_state(ReturnPath *rp);
/**
 * Waits at most timeout_us for the answer to PING value: then the destination
 * has read everything that was sent before it. False: not yet, or the talk is over.
 */
bool return_path_wait_pong(ReturnPath *rp, uint32_t value, int64_t timeout_us);
/**
 * Puts into errp what is wrong, for states REFUSED, INVALID and BROKEN: "the
 * destination refused: <reason>", or where to look if it gave none.
 */
void return_path_error(ReturnPath *rp, GError **errp);

#endif
