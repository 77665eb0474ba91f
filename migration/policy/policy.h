/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an outgoing migration decides, as pure functions of its numbers: go
 * on, look again, switch over (migration-stream 5.3); throttle the
 * virtual CPUs (5.5). No clock, no thread, no machine.
 */
#ifndef MIGRATION_POLICY_POLICY_H
#define MIGRATION_POLICY_POLICY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum PolicyAction {
    POLICY_ITERATE,     /* send more while the guest runs */
    POLICY_SYNC,        /* fetch the dirty log, then ask again with synced set */
    POLICY_EXTRA_PASS,  /* what is left would fit, but one more pass leaves much less */
    POLICY_SWITCH_OVER, /* stop the guest and finish */
} PolicyAction;

typedef struct PolicyInput {
    uint64_t pending_wire_bytes;    /* estimate of what sending all that is dirty costs on the wire */
    double bandwidth;               /* bytes per ms of the last window; 0: no window has passed */
    uint64_t switchover_bandwidth;  /* avail-switchover-bandwidth, bytes per s; 0: use the measured one */
    uint64_t downtime_limit_ms;
    bool guest_running;
    bool synced;                    /* the dirty log was fetched for this very question */
    /* for extra passes */
    uint64_t dirty_pages;           /* what pending_wire_bytes is the cost of */
    double dirtied_per_ms;          /* pages that the last fetch found, per ms since the one before */
    uint64_t sent_bytes;            /* by the whole migration so far */
    unsigned extra_passes;          /* begun so far */
    bool extra_pass;                /* one is going on: it ends when nothing is left */
} PolicyInput;

#define POLICY_EXTRA_PASSES 8       /* in one migration */

/** Bytes that fit into the downtime limit. */
uint64_t policy_threshold(const PolicyInput *in);
PolicyAction policy_decide(const PolicyInput *in);
/**
 * Does it pay to send what is left while the guest still runs, although it
 * would fit into the limit? Only if the guest dirties at most half as much
 * meanwhile, and if that is next to nothing beside what was sent: a shorter
 * standstill must not cost bytes, nor a migration its end.
 */
bool policy_extra_pass_pays(const PolicyInput *in);
/**
 * Does it pay to wait for the destination, up to wait_ms, while the guest
 * runs? As above, and what is left still fits after the wait.
 */
bool policy_wait_pays(const PolicyInput *in, uint64_t wait_ms);
/** Why, in plain words: "12.5 MiB remain, 9.6 MiB fit into 300 ms at 32.0 MiB/s". Caller frees. */
char *policy_reason(const PolicyInput *in, PolicyAction action);

/**
 * Whether what is left gets less: what the guest dirties and what the link carries, weighed by their
 * result. A dirty rate cannot tell before there are two passes to compare: in a long one a guest that
 * writes to the same pages again and again is as slow as one that writes to each of them once.
 * Starts all zero.
 */
typedef struct PolicyTrend {
    uint64_t period;            /* of the dirty rate, when last noted; 0: never */
    uint64_t left, sent;        /* wire bytes that were dirty then, and sent until then */
    unsigned seen;              /* how often two moments were compared */
    unsigned stalled;           /* 0: it gets less; POLICY_STALLED: it does not */
    double gain;                /* of what was sent in between: the share that is gone for good, to 1 */
} PolicyTrend;

#define POLICY_STALLED 2        /* once may be chance */

/** The dirty log was fetched: left is dirty, sent went out so far. One note per period, the first counts. */
void policy_trend_note(PolicyTrend *t, uint64_t period, uint64_t left, uint64_t sent);

/** What is known in the middle of a migration, for policy_outlook. */
typedef struct PolicyOutlook {
    uint64_t pass;                  /* 1: the first, in which everything is dirty */
    uint64_t pending_wire_bytes;    /* left of this pass */
    uint64_t sync_wire_bytes;       /* what this pass began with: so much the guest dirties in one */
    double dirty_rate;              /* wire bytes per s; negative: not measured yet */
    double bandwidth;               /* bytes per ms of the last window; 0: no window has passed */
    uint64_t max_bandwidth;         /* bytes per s; 0: no limit */
    uint64_t switchover_bandwidth, downtime_limit_ms;   /* as in PolicyInput */
    bool xbzrle, auto_converge;
    double cache_miss_rate;         /* of the page cache, 0..1 */
    int throttle_percent, throttle_max;
    PolicyTrend trend;
} PolicyOutlook;

typedef enum PolicyVerdict {
    POLICY_NOT_KNOWN,       /* too early to tell */
    POLICY_WILL_FINISH,
    POLICY_UNCERTAIN,       /* what is left did not get less; if that stays, it will not finish */
    POLICY_NOT_YET,         /* not as things are, but auto-converge is at work */
    POLICY_WILL_NOT_FINISH,
} PolicyVerdict;

/** Whether it will end, as a word for programs; policy_outlook says it to people. */
PolicyVerdict policy_verdict(const PolicyOutlook *o);
/** Seconds until the end if the verdict is that it will finish; 0 if not, or at once. */
double policy_seconds_left(const PolicyOutlook *o);
/**
 * What would help, each a thing to do ("raise downtime-limit to 400 ms"), most harmless first;
 * NULL-terminated, caller frees with g_strfreev. Empty where nothing is, or seems, wrong.
 */
char **policy_remedies(const PolicyOutlook *o);
/**
 * Whether it will end, and what to do if not, in one line of plain words:
 * "will not finish: dirty rate 40.0 MiB/s > bandwidth 32.0 MiB/s; raise ...".
 * Caller frees.
 */
char *policy_outlook(const PolicyOutlook *o);
/** Milliseconds the guest would stand still if switched over now; fallback when nothing was measured. */
uint64_t policy_expected_downtime(uint64_t wire_bytes, double bandwidth, uint64_t fallback_ms);

/** auto-converge, kept between periods. Starts all zero. */
typedef struct ThrottleState {
    unsigned strikes;   /* periods in which too much was dirtied since the last step */
    int percent;        /* 0: the CPUs run freely */
} ThrottleState;

typedef struct ThrottleParams {
    unsigned trigger_threshold, initial, increment, max;    /* percent */
    bool tailslow;
} ThrottleParams;

/**
 * One period ended in which the guest dirtied and we sent so many bytes.
 * True if state->percent changed.
 */
bool policy_throttle(ThrottleState *state, const ThrottleParams *p, uint64_t dirtied_bytes,
                     uint64_t sent_bytes);

#endif
