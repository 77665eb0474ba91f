/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decisions of an outgoing migration. Called by migration/source/outgoing.c
 * between parts of a pass; touches nothing but its arguments.
 */
#include "migration/policy/policy.h"
#include "util/size-text.h"

static double switchover_rate(const PolicyInput *in)
{
    return in->switchover_bandwidth ? in->switchover_bandwidth / 1000.0 : in->bandwidth;
}

uint64_t policy_threshold(const PolicyInput *in)
{
    double bytes = switchover_rate(in) * in->downtime_limit_ms;

    /* Until a window has passed nothing is known, not even with a rate that the user promised. */
    return in->bandwidth > 0 ? (uint64_t)MIN(bytes, 9e18) : 0;
}

#define FEW_PAGES 32                /* so few are sent at once: no pass will make them much fewer */
#define PASS_MS 1.0                 /* no pass is shorter */
#define EXTRA_SHARE 1024            /* of what was sent, for what an extra pass makes us send twice */
#define EXTRA_BYTES (256 << 10)     /* or this, when that is less */

/* Pages that the guest dirties in ms, and what they cost on the wire at the price of those there are. */
static double dirtied_in(const PolicyInput *in, double ms, double *wire_bytes)
{
    double pages = in->dirtied_per_ms * ms;

    *wire_bytes = in->dirty_pages ? pages * in->pending_wire_bytes / in->dirty_pages : 0;
    return pages;
}

bool policy_extra_pass_pays(const PolicyInput *in)
{
    double bytes, pages;

    if (!in->guest_running || in->bandwidth <= 0 || in->dirty_pages <= FEW_PAGES ||
        in->extra_passes >= POLICY_EXTRA_PASSES) {
        return false;
    }
    pages = dirtied_in(in, MAX(in->pending_wire_bytes / in->bandwidth, PASS_MS), &bytes);
    return pages <= in->dirty_pages / 2.0 &&
           bytes <= MAX(in->sent_bytes / EXTRA_SHARE, EXTRA_BYTES);
}

bool policy_wait_pays(const PolicyInput *in, uint64_t wait_ms)
{
    double bytes;

    if (!in->guest_running || in->bandwidth <= 0) {
        return false;
    }
    dirtied_in(in, wait_ms, &bytes);
    return bytes <= in->bandwidth * wait_ms / 2 &&
           bytes <= MAX(in->sent_bytes / EXTRA_SHARE, EXTRA_BYTES) &&
           in->pending_wire_bytes + bytes < policy_threshold(in);
}

/*
 * Little is left: look at the dirty log before believing it. With a guest
 * that stands still there is nothing to see, and the final sync of the last
 * phase looks once more in any case. An extra pass is over when all is sent:
 * in between, that little is left says nothing new.
 */
PolicyAction policy_decide(const PolicyInput *in)
{
    uint64_t threshold = policy_threshold(in);
    bool fits = in->pending_wire_bytes < threshold && (in->synced || !in->extra_pass);
    bool little = fits || in->pending_wire_bytes == 0;

    if (!little) {
        return POLICY_ITERATE;
    }
    if (in->pending_wire_bytes == 0 && !in->guest_running) {
        return POLICY_SWITCH_OVER;
    }
    if (!in->synced) {
        return POLICY_SYNC;
    }
    return policy_extra_pass_pays(in) ? POLICY_EXTRA_PASS : POLICY_SWITCH_OVER;
}

char *policy_reason(const PolicyInput *in, PolicyAction action)
{
    g_autofree char *pending = size_text(in->pending_wire_bytes);
    g_autofree char *fits = size_text(policy_threshold(in));
    g_autofree char *rate = size_text(switchover_rate(in) * 1000);

    if (in->pending_wire_bytes == 0) {
        return g_strdup("nothing remains");
    }
    if (in->bandwidth <= 0) {
        return g_strdup_printf("%s remain, the rate is not known yet", pending);
    }
    if (action == POLICY_EXTRA_PASS) {
        return g_strdup_printf("%s remain and would fit, one more pass leaves less", pending);
    }
    return g_strdup_printf("%s remain, %s%s fit into %" G_GUINT64_FORMAT " ms at %s/s", pending,
                           action == POLICY_ITERATE ? "only " : "", fits, in->downtime_limit_ms,
                           rate);
}

/* ---- the outlook ---- */

/* Nearer to the link's rate than this, a guest is not called slower: rates are measured, and jump. */
#define CLEARLY_SLOWER 0.9
/* Of what is sent so much has to be gone for good, or it does not get less. */
#define LEAST_GAIN 0.1
/* The remedy is to help for sure, so it is a bit more than the numbers say. */
#define REMEDY_MARGIN 1.25

static uint64_t fits(const PolicyOutlook *o)
{
    PolicyInput in = { .bandwidth = o->bandwidth, .switchover_bandwidth = o->switchover_bandwidth,
                       .downtime_limit_ms = o->downtime_limit_ms };
    return policy_threshold(&in);
}

static bool slower_than_link(const PolicyOutlook *o)
{
    return o->dirty_rate < CLEARLY_SLOWER * o->bandwidth * 1000;
}

void policy_trend_note(PolicyTrend *t, uint64_t period, uint64_t left, uint64_t sent)
{
    if (period == t->period) {
        return;
    }
    if (t->period && sent > t->sent) {
        t->gain = MIN(((double)t->left - (double)left) / (double)(sent - t->sent), 1);
        t->stalled = t->gain < LEAST_GAIN ? MIN(t->stalled + 1, POLICY_STALLED)
                                          : t->stalled - (t->stalled > 0);
        t->seen++;
    }
    t->period = period;
    t->left = left;
    t->sent = sent;
}

PolicyVerdict policy_verdict(const PolicyOutlook *o)
{
    if (o->bandwidth <= 0 || o->pass <= 1 || o->dirty_rate < 0) {
        return POLICY_NOT_KNOWN;
    }
    if (o->sync_wire_bytes < fits(o)) {
        return POLICY_WILL_FINISH;
    }
    if (!o->trend.seen) {       /* rates alone do not tell, and jump */
        return POLICY_NOT_KNOWN;
    }
    if (o->trend.stalled == 0) {
        return POLICY_WILL_FINISH;
    }
    if (o->auto_converge && o->throttle_percent < o->throttle_max) {
        return POLICY_NOT_YET;
    }
    return o->trend.stalled < POLICY_STALLED ? POLICY_UNCERTAIN : POLICY_WILL_NOT_FINISH;
}

/* As long as the last gain holds: to send so much more than fits, and what comes back meanwhile. */
double policy_seconds_left(const PolicyOutlook *o)
{
    double limit = fits(o), pass = o->sync_wire_bytes;

    if (policy_verdict(o) != POLICY_WILL_FINISH || pass < limit) {
        return 0;
    }
    double sent = pass - MIN(pass, o->pending_wire_bytes);
    double all = (pass - limit) / MAX(o->trend.gain, LEAST_GAIN);
    return MAX(all - sent, 0) / (o->bandwidth * 1000);
}

static char *good_outlook(const PolicyOutlook *o, const char *rates)
{
    double seconds = policy_seconds_left(o);

    return seconds <= 0 ? g_strdup_printf("will finish with this pass: %s", rates)
                        : g_strdup_printf("will finish in about %.0f s: %s", seconds + 0.5, rates);
}

char **policy_remedies(const PolicyOutlook *o)
{
    GPtrArray *list = g_ptr_array_new();

    PolicyVerdict verdict = policy_verdict(o);

    if (verdict == POLICY_WILL_NOT_FINISH || verdict == POLICY_UNCERTAIN) {
        bool limited = o->max_bandwidth && o->bandwidth * 1000 > 0.8 * o->max_bandwidth;
        double downtime = o->sync_wire_bytes / o->bandwidth * REMEDY_MARGIN;

        g_ptr_array_add(list, g_strdup_printf("raise %sdowntime-limit to %.0f ms",
                                              limited ? "max-bandwidth or " : "", downtime + 1));
        if (o->xbzrle && o->cache_miss_rate > 0.1) {
            g_ptr_array_add(list, g_strdup("raise xbzrle-cache-size"));
        }
        if (!o->xbzrle || !o->auto_converge) {
            g_ptr_array_add(list, g_strdup_printf("start again with %s%s%s",
                                                  o->xbzrle ? "" : "xbzrle",
                                                  o->xbzrle || o->auto_converge ? "" : " or ",
                                                  o->auto_converge ? "" : "auto-converge"));
        }
    }
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

/* Why nothing is known yet. */
static char *unknown_outlook(const PolicyOutlook *o, const char *rate)
{
    if (o->bandwidth <= 0) {
        return g_strdup("not known yet: the bandwidth has not been measured");
    }
    if (o->pass > 1) {
        return o->dirty_rate < 0
                   ? g_strdup("not known yet: the guest's dirty rate has not been measured")
                   : g_strdup_printf("not known yet: this pass shows, in about %.0f s, whether less "
                                     "is left after it", o->pending_wire_bytes /
                                     (o->bandwidth * 1000) + 0.5);
    }
    return g_strdup_printf("not known yet: the first pass, at %s/s, ends in about %.0f s", rate,
                           o->pending_wire_bytes / (o->bandwidth * 1000) + 0.5);
}

/* A dirty rate below the bandwidth is no comfort where nothing is gained. */
static char *rates_text(const PolicyOutlook *o, PolicyVerdict verdict)
{
    g_autofree char *dirty = size_text(o->dirty_rate);
    g_autofree char *rate = size_text(o->bandwidth * 1000);
    g_autofree char *left = size_text(o->sync_wire_bytes);

    if (slower_than_link(o) && verdict != POLICY_WILL_FINISH) {
        return g_strdup_printf("dirty rate %s/s, bandwidth %s/s, but each pass leaves %s", dirty,
                               rate, left);
    }
    return g_strdup_printf("dirty rate %s/s %s bandwidth %s/s", dirty,
                           slower_than_link(o) ? "<"
                           : o->dirty_rate > o->bandwidth * 1000 ? ">" : "is close to", rate);
}

char *policy_outlook(const PolicyOutlook *o)
{
    PolicyVerdict verdict = policy_verdict(o);
    g_autofree char *rate = size_text(o->bandwidth * 1000);
    g_autofree char *rates = rates_text(o, verdict);
    g_auto(GStrv) remedies = policy_remedies(o);
    g_autofree char *help = g_strjoinv(", or ", remedies);

    switch (verdict) {
    case POLICY_NOT_KNOWN:
        return unknown_outlook(o, rate);
    case POLICY_WILL_FINISH:
        return good_outlook(o, rates);
    case POLICY_UNCERTAIN:
        return g_strdup_printf("uncertain: %s; if that stays, %s", rates, help);
    case POLICY_NOT_YET:
        return g_strdup_printf("not yet: %s; auto-converge slows the guest down (%d%% of at most "
                               "%d%%)", rates, o->throttle_percent, o->throttle_max);
    default:
        return g_strdup_printf("will not finish: %s; %s", rates, help);
    }
}

uint64_t policy_expected_downtime(uint64_t wire_bytes, double bandwidth, uint64_t fallback_ms)
{
    return bandwidth > 0 ? (uint64_t)(wire_bytes / bandwidth) : fallback_ms;
}

static int next_percent(const ThrottleState *state, const ThrottleParams *p, uint64_t dirtied,
                        uint64_t limit)
{
    int step = p->increment;

    if (state->percent == 0) {
        return p->initial;
    }
    if (p->tailslow && dirtied > 0) {
        double now = 100 - state->percent;
        int enough = (int)(now - now * limit / dirtied);
        step = MIN(step, enough);
    }
    return MIN(state->percent + step, (int)p->max);
}

bool policy_throttle(ThrottleState *state, const ThrottleParams *p, uint64_t dirtied_bytes,
                     uint64_t sent_bytes)
{
    uint64_t limit = sent_bytes / 100.0 * p->trigger_threshold;

    /* One bad period may be chance; the second in a row of bad ones acts. */
    if (dirtied_bytes <= limit || ++state->strikes < 2) {
        return false;
    }
    int before = state->percent;
    state->strikes = 0;
    state->percent = next_percent(state, p, dirtied_bytes, limit);
    return state->percent != before;
}
