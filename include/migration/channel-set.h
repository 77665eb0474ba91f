/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channels of one migration, by role: one object that both sides hold,
 * so that whoever ends a migration (cancel, quit, yank, a failure) shuts all
 * of them at one place, those still to come included.
 */
#ifndef MIGRATION_CHANNEL_SET_H
#define MIGRATION_CHANNEL_SET_H

#include "migration/channel.h"

typedef struct ChannelSet ChannelSet;

typedef enum ChannelRole {
    CHANNEL_ROLE_MAIN,          /* the stream, and the way back unless there is one of its own */
    CHANNEL_ROLE_RETURN_PATH,
    CHANNEL_ROLE_PREEMPT,       /* pages that somebody waits for (migration-stream 8.2) */
    CHANNEL_ROLE_MULTIFD,       /* parallel channels: the only role with more than index 0 */
    CHANNEL_ROLE__MAX,
} ChannelRole;

ChannelSet *channel_set_new(void);
/** Closes what is left in it. No other thread may use the set. */
void channel_set_free(ChannelSet *s);
/**
 * Takes c as number index of role. In a set that was shut down, c is shut
 * down at once. False if there is one already: c is closed then. Any thread.
 */
bool channel_set_add(ChannelSet *s, ChannelRole role, unsigned index, Channel *c, GError **errp);
/**
 * The channel of a role; for RETURN_PATH the main one if it has none of its
 * own; NULL if there is none. Borrowed: only whoever may take or close it
 * knows how long it lives. Any thread.
 */
Channel *channel_set_get(ChannelSet *s, ChannelRole role, unsigned index);
/** Takes it out of the set: the caller's to close now; NULL if there is none. Any thread. */
Channel *channel_set_take(ChannelSet *s, ChannelRole role, unsigned index);
/** When something last came over one of them that is in it (channel_heard_us). Any thread. */
int64_t channel_set_heard_us(ChannelSet *s);
/** How many there are of a role. Any thread. */
unsigned channel_set_count(ChannelSet *s, ChannelRole role);
/** Ends blocked and future I/O on all of them, now and to be added. Does not wait. Any thread; idempotent. */
void channel_set_shutdown_all(ChannelSet *s);
/** Whether that was called since the set was made or opened again. Any thread. */
bool channel_set_is_shut(ChannelSet *s);
/**
 * Closes all, main last; false with the first error. Nobody may use one of
 * them any more. Waits as channel_close does.
 */
bool channel_set_close_all(ChannelSet *s, GError **errp);
/** After a cut: an empty set may be filled again. */
void channel_set_reopen(ChannelSet *s);

#endif
