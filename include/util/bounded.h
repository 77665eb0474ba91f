/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls that nothing can interrupt: looking up a name, opening or
 * writing a file of a file server that does not answer. Each runs on a thread
 * of its own; who waits for it may lose patience and let it go. Those that
 * were let go and have not come back yet are counted, and at most
 * BOUNDED_LOST_MAX of them are allowed.
 */
#ifndef UTIL_BOUNDED_H
#define UTIL_BOUNDED_H

#include <glib.h>
#include <stdbool.h>

#define BOUNDED_LOST_MAX 32

/** Runs fn(opaque) on a thread that nobody joins. False with errno if there can be no more threads. */
bool bounded_thread_start(void *(*fn)(void *), void *opaque);

typedef struct BoundedCall BoundedCall;

/**
 * Starts work(arg). arg holds copies of everything work needs and its result;
 * drop frees both, on whichever thread is last. Takes arg even if it fails,
 * as it does when too many are lost already. Any thread.
 */
BoundedCall *bounded_call_start(void (*work)(void *arg), void *arg, GDestroyNotify drop,
                                GError **errp);
/** Waits at most ms (-1: for ever) or until wake_fd (may be -1) is readable; true once work has returned. */
bool bounded_call_done(BoundedCall *b, int wake_fd, int ms);
/** arg; to be looked at when done only. */
void *bounded_call_arg(BoundedCall *b);
/** Lets go of it, whether done or not. NULL is fine. */
void bounded_call_free(BoundedCall *b);

/**
 * Before the process ends: waits, ms at most, for calls that were let go to come back and undo what they have
 * done (a command that was started).
 */
void bounded_settle(int ms);

/* ---- for whoever has threads of another kind for the same; any thread ---- */

/** False with errp if too many are lost. */
bool bounded_may_start(GError **errp);
/** One is let go before it is done; and it has come back. */
void bounded_lose(void);
void bounded_regain(void);

#endif
