/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an outgoing migration has for postcopy; a member of Outgoing. */
#ifndef MIGRATION_SOURCE_POSTCOPY_H
#define MIGRATION_SOURCE_POSTCOPY_H

#include <stdbool.h>
#include "migration/channel.h"

typedef struct OutgoingPostcopy {
    /* protected by Outgoing.lock */
    bool wanted;                /* migrate-start-postcopy */
    bool paused_by_user;        /* migrate-pause; until the pause is there */
    bool abandoned;             /* the process ends */
    ChannelAddress *resume;     /* migrate with resume; the migration thread takes it */
    Channel *resume_channel;    /* the same, of an fd: that was handed in */
} OutgoingPostcopy;

#endif
