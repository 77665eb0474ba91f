/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has the guest for a long time: see the header. Called by migration.c and dump.c; calls nobody. */
#include "softmmu/guest-job.h"

#include "util/error.h"

bool guest_job_begin(GuestJob *job, const GuestJobKind *kind, GError **errp)
{
    g_mutex_lock(&job->lock);
    const GuestJobKind *other = job->kind;
    gint64 now = g_get_monotonic_time(), seconds = (now - job->since_us) / G_USEC_PER_SEC;
    if (!other) {
        job->kind = kind;
        job->since_us = now;
    }
    g_mutex_unlock(&job->lock);
    if (other) {
        error_setg(errp, "Cannot start %s: %s has had the guest for %" G_GINT64_FORMAT " s (%s)",
                   kind->name, other->name, seconds, other->remedy);
    }
    return !other;
}

void guest_job_becomes(GuestJob *job, const GuestJobKind *kind, const GuestJobKind *other)
{
    g_mutex_lock(&job->lock);
    if (job->kind == kind) {
        job->kind = other;
    }
    g_mutex_unlock(&job->lock);
}

void guest_job_end(GuestJob *job, const GuestJobKind *kind)
{
    g_mutex_lock(&job->lock);
    if (job->kind == kind) {
        job->kind = NULL;
    }
    g_mutex_unlock(&job->lock);
}

bool guest_job_is(GuestJob *job, const GuestJobKind *kind)
{
    g_mutex_lock(&job->lock);
    bool is = job->kind == kind;
    g_mutex_unlock(&job->lock);
    return is;
}
