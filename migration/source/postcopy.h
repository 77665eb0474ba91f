/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an outgoing migration has for postcopy; a member of Outgoing. */
#ifndef MIGRATION_SOURCE_POSTCOPY_H
#define MIGRATION_SOURCE_POSTCOPY_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include "migration/channel.h"

typedef struct OutgoingPostcopy {
    /* protected by Outgoing.lock */
    bool wanted;                /* migrate-start-postcopy */
    bool paused_by_user;        /* migrate-pause; until the pause is there */
    bool abandoned;             /* the process ends, or given_up */
    bool given_up;              /* migrate_cancel: nobody knows whether the destination has the guest */
    ChannelAddress *resume;     /* migrate with resume; the migration thread takes it */
    Channel *resume_channel;    /* the same, of an fd: that was handed in */
    bool ponged;                /* the destination has answered at all */
    bool all_sent;              /* to the end of the stream, over this connection */
    bool loaded;                /* the destination has the device state, and the guest runs there */
    bool has_answered;          /* recovery: it knows this guest, so it has it */
    size_t bitmaps_left;        /* recovery: how many it has still to send */
    bool resume_acked;          /* recovery: it goes on */
    uint64_t bytes_at_run;      /* sent until it was told to run; 0: was not told */
    unsigned recoveries;
    /* migration thread only */
    bool follows;               /* the passes ended for postcopy */
    bool background;            /* pages go that nobody asked for */
    ChannelAddress *resuming;   /* where it tries to go on */
    int64_t alive_us;           /* when the destination was last asked whether it lives */
} OutgoingPostcopy;

#endif
