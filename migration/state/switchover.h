/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The moments of a switchover on each side, for whoever wants to know where
 * the downtime went. Noted by the two stories, shown by "info migrate -a".
 * Numbers and words only: starts nothing, decides nothing.
 */
#ifndef MIGRATION_STATE_SWITCHOVER_H
#define MIGRATION_STATE_SWITCHOVER_H

#include <glib.h>
#include <stdint.h>

/** In their order; the source's count from ASKED, the destination's from FIRST_DEVICE. */
typedef enum SwitchoverStep {
    SWITCHOVER_ASKED,           /* the guest is told to stop: here the downtime begins */
    SWITCHOVER_STOPPED,         /* no vCPU runs any more */
    SWITCHOVER_DEVICES_TAKEN,   /* device state is in memory, the big lock is free again */
    SWITCHOVER_SYNCED,          /* the dirty log was looked at for the last time */
    SWITCHOVER_RAM_SENT,        /* the last page is with the operating system */
    SWITCHOVER_ALL_SENT,        /* the last byte is */
    SWITCHOVER_CONFIRMED,       /* the destination has said yes, or needs not: here it ends */
    SWITCHOVER_SOURCE__END,

    SWITCHOVER_FIRST_DEVICE = SWITCHOVER_SOURCE__END,   /* RAM is complete */
    SWITCHOVER_LOADED,          /* the last byte of the stream was read */
    SWITCHOVER_TOLD,            /* the source knows, if it wants to */
    SWITCHOVER_STARTED,         /* the guest runs, or is as it was there */
    SWITCHOVER__MAX,
} SwitchoverStep;

/** Monotonic time in microseconds of each step, 0: not reached. */
typedef struct SwitchoverTimes {
    int64_t us[SWITCHOVER__MAX];
} SwitchoverTimes;

/** "devices taken": for texts. */
const char *switchover_step_name(SwitchoverStep step);

/** The step is reached now: for those who trace vmstate_downtime_checkpoint. Any thread. */
void switchover_trace(SwitchoverStep step);

/**
 * One line per step that was reached: "switchover devices taken: 0.215 ms",
 * counted from the side's first one. Caller frees.
 */
char *switchover_text(const SwitchoverTimes *t);

#endif
