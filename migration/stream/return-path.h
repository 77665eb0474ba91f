/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The return path (migration-stream 8.2): what a destination says to its
 * source, mostly on the same channel. The destination's side is a writer that
 * all its threads share; the source's side is a thread that reads until the
 * last message and a table of who handles which.
 *
 * The verdict is SHUT, a bare number. A Ferry destination that refuses puts
 * its reason behind it, as one message of type RETURN_PATH_REASON. SHUT is
 * the last message a QEMU source reads, so it never sees the reason; a Ferry
 * source waits a moment for it. Nothing has to be negotiated.
 *
 * After a cut both sides may go on over another channel: the objects stay,
 * the channel is replaced.
 */
#ifndef MIGRATION_STREAM_RETURN_PATH_H
#define MIGRATION_STREAM_RETURN_PATH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "migration/channel.h"

#define RETURN_PATH_REASON 0x4652

/* ---- the destination's side ---- */

/**
 * Sends messages, each whole, in the order in which the callers got their
 * turn. Every return_path_send_* may be called from any thread but not with
 * the BQL held: it waits for the peer, until channel_shutdown. False with
 * errp if the message could not be sent.
 */
typedef struct ReturnPathWriter ReturnPathWriter;

/** c (may be NULL: nobody listens yet) must outlive the writer or its replacement. */
ReturnPathWriter *return_path_writer_new(Channel *c);
void return_path_writer_free(ReturnPathWriter *w);
/** From now on over c (NULL: nobody listens). Shut the old channel first: who still sends on it is waited for. */
void return_path_writer_replace(ReturnPathWriter *w, Channel *c);
/** PONG: the answer to PING value. */
bool return_path_send_pong(ReturnPathWriter *w, uint32_t value, GError **errp);
/** The verdict: reason NULL is success, else SHUT 1 and the reason (cut to 512 bytes). */
bool return_path_send_shut(ReturnPathWriter *w, const char *reason, GError **errp);
/**
 * REQ_PAGES: len bytes from start of block, both multiples of the page size.
 * The block's name travels only if it is not that of the request before.
 */
bool return_path_send_page_request(ReturnPathWriter *w, const char *block, uint64_t start,
                                   uint32_t len, GError **errp);
/** What came of an attempt to send. */
typedef enum ReturnPathTry {
    RETURN_PATH_SENT,
    RETURN_PATH_SENT_PART,      /* return_path_send_rest, on a thread that may wait, is to follow soon */
    RETURN_PATH_NOT_SENT,       /* somebody else is writing, there is no room, no connection, or it fails */
} ReturnPathTry;

/** return_path_send_page_request where nobody waits: any thread, also under the BQL. */
ReturnPathTry return_path_try_page_request(ReturnPathWriter *w, const char *block, uint64_t start,
                                           uint32_t len);
/** What a try has left of its message; nothing if it has gone meanwhile. Waits for the peer. */
bool return_path_send_rest(ReturnPathWriter *w, GError **errp);
/** RECV_BITMAP: the pages of block that are here, one bit each, least significant first; bytes a multiple of 8. */
bool return_path_send_recv_bitmap(ReturnPathWriter *w, const char *block, const void *bitmap,
                                  uint64_t bytes, GError **errp);
/** RESUME_ACK: the guest's memory may go on coming. */
bool return_path_send_resume_ack(ReturnPathWriter *w, uint32_t value, GError **errp);
/** SWITCHOVER_ACK: nothing here holds the switchover up. */
bool return_path_send_switchover_ack(ReturnPathWriter *w, GError **errp);

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
 * What the messages mean to whoever migrates. All are called on the return
 * path thread, without any lock. A member that is NULL: a peer that sends
 * such a message talks nonsense (the capability is off). false with errp: so
 * does this message, and the talk is over (INVALID).
 */
typedef struct ReturnPathOps {
    /** The state changed, or the talk is over. To wake somebody up; return_path_state says what it is. */
    void (*changed)(void *opaque);
    /** A page is asked for. block is this call's; nothing is checked but its form. */
    bool (*page_request)(void *opaque, const char *block, uint64_t start, uint32_t len,
                         GError **errp);
    /** Where the bitmap of block, that many bytes, is to be put; NULL with errp: wrong size or block. */
    void *(*bitmap_room)(void *opaque, const char *block, uint64_t bytes, GError **errp);
    /** It is there, and the mark behind it was right. */
    bool (*bitmap_done)(void *opaque, const char *block, GError **errp);
    bool (*resume_ack)(void *opaque, uint32_t value, GError **errp);
    bool (*switchover_ack)(void *opaque, GError **errp);
    /** PONG; NULL: only return_path_wait_pong wants to know. */
    void (*pong)(void *opaque, uint32_t value);
    /** The verdict has come and is not told to anybody yet; may be NULL. false: it is lost (BROKEN). */
    bool (*verdict)(void *opaque, GError **errp);
} ReturnPathOps;

/**
 * Starts the thread that reads c until SHUT, the end of the channel or
 * channel_shutdown. ops may be NULL; c, ops and opaque must outlive
 * return_path_free or, for c, its replacement.
 */
ReturnPath *return_path_new(Channel *c, const ReturnPathOps *ops, void *opaque);
/**
 * Goes on over c: the state is OPEN again, pongs and blocks of the old talk
 * are forgotten. Joins the old thread: shut the old channel down before.
 */
void return_path_replace(ReturnPath *rp, Channel *c);
/** Joins the thread; the state and its error stay. Shut the channel down before, and close it only after. */
void return_path_join(ReturnPath *rp);
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
