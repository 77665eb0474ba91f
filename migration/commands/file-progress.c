/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See file-progress.h. Called by the monitor commands only. */
#include "migration/commands/file-progress.h"
#include "migration/source/outlook.h"

#define NOT_WHOLE_PERCENT 99.9      /* at most, before all of it is safe */

static double percent_of(uint64_t done, uint64_t total, bool whole)
{
    return whole ? 100 : total ? MIN(100.0 * done / total, NOT_WHOLE_PERCENT) : 0;
}

static XFileProgress *progress_new(uint64_t done, uint64_t total, bool whole)
{
    XFileProgress *p = g_new0(XFileProgress, 1);

    p->total = total;
    p->done = whole ? total : MIN(done, total);
    p->percent = percent_of(p->done, total, whole);
    return p;
}

static void set_left(XFileProgress *p, double bytes)
{
    p->has_seconds_left = p->rate > 0;
    p->seconds_left = p->rate > 0 ? bytes / p->rate : 0;
}

XFileProgress *file_progress_saved(const OutgoingView *v)
{
    if (!v->to_file || !v->has_ram) {
        return NULL;
    }
    XFileProgress *p = progress_new(v->file_done_pages * TARGET_PAGE_SIZE, v->ram_total_bytes,
                                    v->status == MIGRATION_STATUS_COMPLETED);
    p->rate = v->mbps * 1e6 / 8;
    p->has_incremental = v->wants_incremental;
    p->incremental = v->incremental;
    p->note = g_strdup(v->note);
    if (v->status == MIGRATION_STATUS_ACTIVE) {
        set_left(p, outgoing_pass_wire_bytes(v));
    }
    return p;
}

XFileProgress *file_progress_restored(const IncomingReceived *r)
{
    bool mapped = r->ram.in_file > 0;

    if (!r->file_bytes) {
        return NULL;
    }
    XFileProgress *p = progress_new(mapped ? r->ram.normal * TARGET_PAGE_SIZE : r->ram.bytes,
                                    mapped ? r->ram.in_file * TARGET_PAGE_SIZE : r->file_bytes, r->whole);
    p->rate = r->us > 0 ? p->done * 1e6 / r->us : 0;
    if (!r->whole) {
        set_left(p, p->total - p->done);
    }
    return p;
}

char *file_progress_text(const XFileProgress *p)
{
    g_autofree char *left = p->has_seconds_left ? g_strdup_printf(", %.0f s left", p->seconds_left)
                                                : g_strdup("");

    g_autofree char *again = !p->has_incremental ? g_strdup("")
                             : p->incremental ? g_strdup(", incremental")
                                              : g_strdup_printf(", in full: %s", p->note);

    return g_strdup_printf("%.1f %% of %.1f MiB, %.1f MiB/s%s%s", p->percent, p->total / 1048576.0,
                           p->rate / 1048576.0, left, again);
}
