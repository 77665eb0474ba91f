/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the view of a migration says about its end, for the policy. Called by the monitors and the passes. */
#include "migration/source/outlook.h"

/*
 * What is left of this pass. In the first one it is not known how much of it is zero. What was seen
 * counts as much as it is of the whole, and the rest is taken to be full: the end then comes nearer
 * from the far side, where the plain share of zero pages goes up and down with each stretch of them.
 */
double outgoing_pass_wire_bytes(const OutgoingView *v)
{
    double done = v->ram.duplicate_pages + v->ram.normal_pages;
    double all = done + v->ram.remaining_pages;
    bool first = v->ram.dirty_sync_count <= 1 && all > 0;

    return v->pending_wire_bytes * (first ? 1 - v->ram.duplicate_pages / all : 1);
}

/* The dirty pages at what they cost on the wire; more than a page is no page's cost. Negative: unknown. */
static double dirty_wire_rate(const OutgoingView *v)
{
    double pages = v->ram.remaining_pages;
    double cost = pages > 0 ? v->pending_wire_bytes / pages : TARGET_PAGE_SIZE;

    return v->ram.periods == 0 ? -1 : v->ram.dirty_pages_rate * MIN(cost, TARGET_PAGE_SIZE);
}

bool outgoing_outlook(const OutgoingView *v, PolicyOutlook *o)
{
    const MigrationParameters *p = &v->params;

    *o = (PolicyOutlook){
        .pass = v->ram.dirty_sync_count, .pending_wire_bytes = outgoing_pass_wire_bytes(v),
        .sync_wire_bytes = v->ram.sync_pending_bytes, .dirty_rate = dirty_wire_rate(v),
        .bandwidth = v->mbps * 1000 / 8, .max_bandwidth = p->max_bandwidth,
        .switchover_bandwidth = p->avail_switchover_bandwidth,
        .downtime_limit_ms = p->downtime_limit,
        .xbzrle = v->caps & MIGRATION_CAP(XBZRLE),
        .auto_converge = v->caps & MIGRATION_CAP(AUTO_CONVERGE),
        .cache_miss_rate = v->ram.xbzrle_cache_miss_rate,
        .throttle_percent = v->throttle_percent, .throttle_max = p->max_cpu_throttle,
        .trend = v->trend,
    };
    return v->status == MIGRATION_STATUS_ACTIVE && v->has_ram && v->reason;
}

static strList *remedy_list(const PolicyOutlook *o)
{
    g_auto(GStrv) remedies = policy_remedies(o);
    strList *list = NULL, **tail = &list;

    for (char **r = remedies; *r; r++) {
        *tail = g_new0(strList, 1);
        (*tail)->value = g_strdup(*r);
        tail = &(*tail)->next;
    }
    return list;
}

XMigrationOutlook *outgoing_outlook_info(const OutgoingView *v)
{
    static const XMigrationVerdict names[] = {
        [POLICY_NOT_KNOWN] = X_MIGRATION_VERDICT_NOT_KNOWN,
        [POLICY_WILL_FINISH] = X_MIGRATION_VERDICT_WILL_FINISH,
        [POLICY_UNCERTAIN] = X_MIGRATION_VERDICT_UNCERTAIN,
        [POLICY_NOT_YET] = X_MIGRATION_VERDICT_NOT_YET,
        [POLICY_WILL_NOT_FINISH] = X_MIGRATION_VERDICT_WILL_NOT_FINISH,
    };
    PolicyOutlook o;

    if (!outgoing_outlook(v, &o)) {
        return NULL;
    }
    XMigrationOutlook *info = g_new0(XMigrationOutlook, 1);
    info->verdict = names[policy_verdict(&o)];
    info->decision = g_strdup(v->reason);
    info->text = policy_outlook(&o);
    info->remedies = remedy_list(&o);
    info->seconds_left = policy_seconds_left(&o) + 0.5;
    info->has_seconds_left = policy_seconds_left(&o) > 0;
    info->has_dirty_rate = o.dirty_rate >= 0;
    info->dirty_rate = o.dirty_rate >= 0 ? o.dirty_rate : 0;
    info->bandwidth = o.bandwidth * 1000;
    return info;
}
