/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one long job that stops the guest: a dump, a migration (a save is one).
 * They would start and stop it under each other's feet, so there is one at a
 * time, and this is the only place that says so. Part of the Machine, all
 * zero at first. Any thread; never waits.
 */
#ifndef SOFTMMU_GUEST_JOB_H
#define SOFTMMU_GUEST_JOB_H

#include <glib.h>
#include <stdbool.h>

/** A kind of job: a constant of its owner. */
typedef struct GuestJobKind {
    const char *name;       /* "a memory dump" */
    const char *remedy;     /* "query-dump tells how far it is" */
} GuestJobKind;

typedef struct GuestJob {
    GMutex lock;
    /* protected by lock */
    const GuestJobKind *kind;   /* NULL: none */
    gint64 since_us;            /* monotonic */
} GuestJob;

/**
 * Takes it. If another job has it: false with "Cannot start a migration: a
 * memory dump has had the guest for 3 s (query-dump tells how far it is)".
 */
bool guest_job_begin(GuestJob *job, const GuestJobKind *kind, GError **errp);
/** What kind has it for is now called other; nothing if kind does not have it. */
void guest_job_becomes(GuestJob *job, const GuestJobKind *kind, const GuestJobKind *other);
/** Lets go of it; nothing if kind does not have it. */
void guest_job_end(GuestJob *job, const GuestJobKind *kind);
/** True if kind has it. */
bool guest_job_is(GuestJob *job, const GuestJobKind *kind);

#endif
