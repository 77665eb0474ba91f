/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/policy/policy and rate: migration-stream 5.2, 5.3, 5.5 as numbers. */
#include "migration/policy/policy.h"
#include "migration/policy/rate.h"

static void test_decide(void)
{
    /* 32 MiB/s = 33554 bytes per ms; 30 ms hold 1006632 bytes. */
    PolicyInput in = { .pending_wire_bytes = 2000000, .bandwidth = 33554.4,
                       .downtime_limit_ms = 30, .guest_running = true };

    g_assert_cmpuint(policy_threshold(&in), ==, 1006632);
    g_assert_cmpint(policy_decide(&in), ==, POLICY_ITERATE);
    in.pending_wire_bytes = 80000;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SYNC);
    in.synced = true;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
    in.pending_wire_bytes = 1006632;    /* exactly what fits is not less than what fits */
    g_assert_cmpint(policy_decide(&in), ==, POLICY_ITERATE);
    in.switchover_bandwidth = 1000000000;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
}

static void test_decide_without_rate(void)
{
    PolicyInput in = { .pending_wire_bytes = 1, .bandwidth = 0, .switchover_bandwidth = 1 << 30,
                       .downtime_limit_ms = 2000000, .guest_running = true };

    g_assert_cmpint(policy_decide(&in), ==, POLICY_ITERATE);
    in.pending_wire_bytes = 0;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SYNC);   /* a running guest has dirtied something */
    in.synced = true;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
    in.synced = false;
    in.guest_running = false;   /* captured with 7.2: pass 1, active, pass 2 (the final one), completed */
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
}

/* 480 MB went out at 400 MB/s; 25000 pages are left, an idle guest dirties 0.2 of them per ms. */
static PolicyInput almost_done(void)
{
    return (PolicyInput){ .pending_wire_bytes = 25000 * 4104, .bandwidth = 400000,
                          .downtime_limit_ms = 300, .guest_running = true, .synced = true,
                          .dirty_pages = 25000, .dirtied_per_ms = 0.2, .sent_bytes = 480000000 };
}

/* It would fit into the limit, and is sent while the guest runs all the same: it has to be sent anyway. */
static void test_extra_pass(void)
{
    PolicyInput in = almost_done();

    g_assert_cmpuint(in.pending_wire_bytes, <, policy_threshold(&in));
    g_assert_cmpint(policy_decide(&in), ==, POLICY_EXTRA_PASS);
    g_autofree char *reason = policy_reason(&in, POLICY_EXTRA_PASS);
    g_assert_cmpstr(reason, ==, "97.8 MiB remain and would fit, one more pass leaves less");

    /* While it goes on, little being left is nothing new, until nothing is. */
    in.synced = false;
    in.extra_pass = true;
    in.pending_wire_bytes = 4104;
    in.dirty_pages = 1;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_ITERATE);
    in.pending_wire_bytes = in.dirty_pages = 0;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SYNC);

    /* And then the few pages since are worth no other. */
    in.synced = true;
    in.dirty_pages = 32;
    in.pending_wire_bytes = 32 * 4104;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
}

/* It never costs a migration its end: too much at once is an ordinary pass, and there are few extra ones. */
static void test_extra_pass_ends(void)
{
    PolicyInput in = almost_done();

    in.extra_pass = true;
    in.pending_wire_bytes = policy_threshold(&in);
    g_assert_cmpint(policy_decide(&in), ==, POLICY_ITERATE);
    in = almost_done();
    in.extra_passes = POLICY_EXTRA_PASSES;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
    in = almost_done();
    in.guest_running = false;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
}

/* Nor bytes that count. */
static void test_extra_pass_price(void)
{
    PolicyInput in = almost_done();

    in.dirtied_per_ms = 0.4;    /* 103 pages in the 256 ms: 421 KB of 480 MB */
    g_assert_cmpint(policy_decide(&in), ==, POLICY_EXTRA_PASS);
    in.dirtied_per_ms = 0.5;    /* 526 KB */
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
    in.sent_bytes = 600000000;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_EXTRA_PASS);
    in.sent_bytes = 100000000;  /* a small guest: 256 KiB are always granted */
    in.dirtied_per_ms = 0.2;
    g_assert_cmpint(policy_decide(&in), ==, POLICY_EXTRA_PASS);

    /* 1000 deltas of 20 bytes are sent in less than a ms, but not by anybody's CPU. */
    in = (PolicyInput){ .pending_wire_bytes = 20000, .bandwidth = 33554, .downtime_limit_ms = 300,
                        .guest_running = true, .synced = true, .dirty_pages = 1000,
                        .dirtied_per_ms = 499, .sent_bytes = 500000000 };
    g_assert_cmpint(policy_decide(&in), ==, POLICY_EXTRA_PASS);
    in.dirtied_per_ms = 501;    /* not half of it would be gone */
    g_assert_cmpint(policy_decide(&in), ==, POLICY_SWITCH_OVER);
}

static void test_wait(void)
{
    PolicyInput in = almost_done();

    g_assert_true(policy_wait_pays(&in, 100));
    in.dirtied_per_ms = 1.2;                    /* 492 KB: more than a share of what was sent */
    g_assert_false(policy_wait_pays(&in, 100));
    in = almost_done();
    in.pending_wire_bytes = policy_threshold(&in) - 1000;   /* would not fit any more afterwards */
    g_assert_false(policy_wait_pays(&in, 100));
    in = almost_done();
    in.guest_running = false;
    g_assert_false(policy_wait_pays(&in, 100));
    /* A slow link: a little is as much as it carries. */
    in = (PolicyInput){ .pending_wire_bytes = 4104 * 40, .bandwidth = 1000, .guest_running = true,
                        .downtime_limit_ms = 300, .dirty_pages = 40, .dirtied_per_ms = 0.13,
                        .sent_bytes = 480000000 };
    g_assert_false(policy_wait_pays(&in, 100));
}

static void test_reason(void)
{
    PolicyInput in = { .pending_wire_bytes = 13 << 20, .bandwidth = 33554.432,
                       .downtime_limit_ms = 300, .guest_running = true };
    g_autofree char *a = policy_reason(&in, POLICY_ITERATE);
    g_assert_cmpstr(a, ==, "13.0 MiB remain, only 9.6 MiB fit into 300 ms at 32.0 MiB/s");
    in.pending_wire_bytes = 80000;
    g_autofree char *b = policy_reason(&in, POLICY_SWITCH_OVER);
    g_assert_cmpstr(b, ==, "78.1 KiB remain, 9.6 MiB fit into 300 ms at 32.0 MiB/s");
    in.bandwidth = 1 << 20;     /* a thousand of them in a second, and no more */
    g_autofree char *fast = policy_reason(&in, POLICY_SWITCH_OVER);
    g_assert_true(g_str_has_suffix(fast, "at 1000.0 MiB/s"));
    in.bandwidth = 0;
    g_autofree char *c = policy_reason(&in, POLICY_ITERATE);
    g_assert_cmpstr(c, ==, "78.1 KiB remain, the rate is not known yet");
}

static void assert_outlook(const PolicyOutlook *o, const char *expected)
{
    g_autofree char *text = policy_outlook(o);
    g_assert_cmpstr(text, ==, expected);
}

static void test_outlook(void)
{
    /* 32 MiB/s; 300 ms hold 9.6 MiB. */
    PolicyOutlook o = { .pass = 1, .pending_wire_bytes = 64 << 20, .sync_wire_bytes = 64 << 20,
                        .dirty_rate = -1, .downtime_limit_ms = 300, .throttle_max = 99 };

    assert_outlook(&o, "not known yet: the bandwidth has not been measured");
    o.bandwidth = 33554.432;
    assert_outlook(&o, "not known yet: the first pass, at 32.0 MiB/s, ends in about 2 s");
    o.pass = 2;
    assert_outlook(&o, "not known yet: the guest's dirty rate has not been measured");
    o.dirty_rate = 4 << 20;     /* perhaps only because it wrote to the same pages all the time */
    assert_outlook(&o, "not known yet: this pass shows, in about 2 s, whether less is left after it");
    o.trend = (PolicyTrend){ .seen = 1, .gain = 0.875 };        /* (64 - 9.6) / 0.875 / 32 */
    assert_outlook(&o, "will finish in about 2 s: dirty rate 4.0 MiB/s < bandwidth 32.0 MiB/s");
    o.trend.gain = 0.25;
    assert_outlook(&o, "will finish in about 7 s: dirty rate 4.0 MiB/s < bandwidth 32.0 MiB/s");
    o.dirty_rate = 40 << 20;    /* until a pass has shown it, rates that change are no news */
    o.trend = (PolicyTrend){ 0 };
    assert_outlook(&o, "not known yet: this pass shows, in about 2 s, whether less is left after it");
    o.trend = (PolicyTrend){ .seen = 1, .stalled = 1 };
    assert_outlook(&o, "uncertain: dirty rate 40.0 MiB/s > bandwidth 32.0 MiB/s; if that stays, raise "
                   "downtime-limit to 2501 ms, or start again with xbzrle or auto-converge");
    o.trend = (PolicyTrend){ .seen = 2, .stalled = POLICY_STALLED };
    assert_outlook(&o, "will not finish: dirty rate 40.0 MiB/s > bandwidth 32.0 MiB/s; raise "
                   "downtime-limit to 2501 ms, or start again with xbzrle or auto-converge");
    o.dirty_rate = 20 << 20;
    assert_outlook(&o, "will not finish: dirty rate 20.0 MiB/s, bandwidth 32.0 MiB/s, but each pass "
                   "leaves 64.0 MiB; raise downtime-limit to 2501 ms, or start again with xbzrle or "
                   "auto-converge");
    o.max_bandwidth = 33 << 20;
    o.dirty_rate = 31 << 20;
    o.xbzrle = true;
    assert_outlook(&o, "will not finish: dirty rate 31.0 MiB/s is close to bandwidth 32.0 MiB/s; "
                   "raise max-bandwidth or downtime-limit to 2501 ms, or start again with "
                   "auto-converge");
    o.cache_miss_rate = 0.5;
    o.auto_converge = true;
    o.throttle_percent = 20;
    assert_outlook(&o, "not yet: dirty rate 31.0 MiB/s is close to bandwidth 32.0 MiB/s; "
                   "auto-converge slows the guest down (20% of at most 99%)");
    o.throttle_percent = 99;
    assert_outlook(&o, "will not finish: dirty rate 31.0 MiB/s is close to bandwidth 32.0 MiB/s; "
                   "raise max-bandwidth or downtime-limit to 2501 ms, or raise "
                   "xbzrle-cache-size");
    o.downtime_limit_ms = 2501; /* the remedy helps */
    assert_outlook(&o, "will finish with this pass: dirty rate 31.0 MiB/s is close to bandwidth "
                   "32.0 MiB/s");
}

/*
 * Series of passes at 32 MiB/s, 300 ms (9.6 MiB): what the guest dirties per second, at most how much of
 * its memory, and the verdict at the end of each pass from the second on: N not known, F will finish,
 * U uncertain, X will not.
 */
typedef struct Series {
    const char *name;
    double first, working_set;      /* MiB: sent in the first pass, written to again and again */
    double rate[8];                 /* MiB/s in each pass from the first on; 0: as in the one before */
    const char *verdicts;
} Series;

static const Series series[] = {
    { "quiet", 512, 64, { 4 }, "NF" },
    { "half as fast", 512, 512, { 16 }, "NFFFF" },
    { "0.8 of the link", 512, 512, { 25.6 }, "NFFFFFFFFFFFFFFFF" },
    { "at the edge, from below", 512, 512, { 31 }, "NUXXXXXXXX" },
    { "at the edge", 512, 512, { 32 }, "NUXXXXXX" },
    { "at the edge, from above", 512, 512, { 33 }, "NUXXXXXX" },
    /* A long first pass hides how fast it is. */
    { "small and fast", 1024, 16, { 200 }, "NUXXXX" },
    { "the founding load", 1024, 64, { 33 }, "NUXXXX" },
    { "becomes quiet", 512, 512, { 40, 40, 40, 40, 20 }, "NUXXUFFF" },
    { "becomes loud", 512, 512, { 16, 16, 16, 40 }, "NFFUXX" },
    { "jumps about", 512, 100, { 40, 40, 36, 29, 40, 30, 36, 40 }, "NUXXX" },
};

static char verdict_letter(PolicyVerdict v)
{
    return "NFUYX"[v];
}

static char *run_series(const Series *s)
{
    PolicyOutlook o = { .bandwidth = 33554.432, .downtime_limit_ms = 300, .pass = 1 };
    GString *seen = g_string_new(NULL);
    double left = s->first, sent = 0, rate = 0, mib = 1 << 20;

    for (size_t i = 0; i < strlen(s->verdicts); i++) {
        if (i < G_N_ELEMENTS(s->rate) && s->rate[i] > 0) {
            rate = s->rate[i];
        }
        double seconds = left / 32, dirtied = MIN(rate * seconds, s->working_set);

        sent += left;
        left = dirtied;
        o.pass++;
        o.pending_wire_bytes = o.sync_wire_bytes = left * mib;
        o.dirty_rate = dirtied / seconds * mib;
        policy_trend_note(&o.trend, o.pass - 1, o.sync_wire_bytes, sent * mib);
        g_string_append_c(seen, verdict_letter(policy_verdict(&o)));
    }
    return g_string_free(seen, FALSE);
}

static void test_series(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(series); i++) {
        g_autofree char *seen = run_series(&series[i]);

        g_test_message("%s: %s", series[i].name, seen);
        g_assert_cmpstr(seen, ==, series[i].verdicts);
    }
}

static void test_expected_downtime(void)
{
    g_assert_cmpuint(policy_expected_downtime(1000000, 10000, 300), ==, 100);
    g_assert_cmpuint(policy_expected_downtime(1000000, 0, 300), ==, 300);
}

static void test_throttle(void)
{
    ThrottleParams p = { .trigger_threshold = 50, .initial = 20, .increment = 10, .max = 45 };
    ThrottleState s = { 0 };

    g_assert_false(policy_throttle(&s, &p, 500, 1000));     /* exactly the threshold: fine */
    g_assert_false(policy_throttle(&s, &p, 501, 1000));     /* first strike */
    g_assert_true(policy_throttle(&s, &p, 501, 1000));
    g_assert_cmpint(s.percent, ==, 20);
    g_assert_false(policy_throttle(&s, &p, 900, 1000));
    g_assert_true(policy_throttle(&s, &p, 900, 1000));
    g_assert_cmpint(s.percent, ==, 30);
    policy_throttle(&s, &p, 900, 1000);
    g_assert_true(policy_throttle(&s, &p, 900, 1000));
    policy_throttle(&s, &p, 900, 1000);
    g_assert_true(policy_throttle(&s, &p, 900, 1000));
    g_assert_cmpint(s.percent, ==, 45);                     /* capped */
    policy_throttle(&s, &p, 900, 1000);
    g_assert_false(policy_throttle(&s, &p, 900, 1000));
}

static void test_throttle_tailslow(void)
{
    ThrottleParams p = { .trigger_threshold = 50, .initial = 20, .increment = 10, .max = 99,
                         .tailslow = true };
    ThrottleState s = { .percent = 90, .strikes = 1 };

    /* 10% of CPU left, 10% too much: min(10, 10 - 10 * 500/550) = 0.9 -> nothing */
    g_assert_false(policy_throttle(&s, &p, 550, 1000));
    s.strikes = 1;
    g_assert_true(policy_throttle(&s, &p, 1000, 1000));     /* 10 - 10 * 500/1000 = 5 */
    g_assert_cmpint(s.percent, ==, 95);
}

static void test_rate_windows(void)
{
    RateLimit r;
    RateWindow w;

    rate_start(&r, 1000, 0);
    g_assert_false(rate_exhausted(&r, 1000, 10000));        /* budget 1000 per window */
    g_assert_true(rate_exhausted(&r, 1001, 10000));
    g_assert_false(rate_exhausted(&r, 1001, 0));            /* no limit */
    g_assert_cmpint(rate_wait_us(&r, 41000, 1001, 10000), ==, 60000);
    g_assert_cmpint(rate_wait_us(&r, 41000, 900, 10000), ==, 0);
    g_assert_false(rate_roll(&r, 100999, 1001, 10000, &w));
    g_assert_true(rate_roll(&r, 101000, 1001, 10000, &w));
    g_assert_cmpint(w.us, ==, 100000);
    g_assert_cmpuint(w.bytes, ==, 1001);
    g_assert_cmpuint(r.debt, ==, 1);
    g_assert_true(rate_exhausted(&r, 1001, 20000) == false);    /* raised in between */
}

/* Woken up 3 ms late each time, and still as fast as allowed; never faster. */
static void test_rate_late(void)
{
    RateLimit r;
    RateWindow w;
    uint64_t sent = 0;
    int64_t now = 0;

    rate_start(&r, now, sent);
    while (now < 60 * G_USEC_PER_SEC) {
        if (!rate_exhausted(&r, sent, 10000000)) {
            sent += 4104;
        } else {
            now += rate_wait_us(&r, now, sent, 10000000) + 3000;
            g_assert_true(rate_roll(&r, now, sent, 10000000, &w));
        }
    }
    g_assert_cmpuint(sent, >=, 600000000 - 1000000);
    g_assert_cmpuint(sent, <=, 600000000 + 1000000);

    /* The window's own rate is that of the time in which its bytes were counted. */
    rate_start(&r, 0, 0);
    g_assert_true(rate_roll(&r, 103000, 1000, 10000, &w));
    g_assert_true(rate_roll(&r, 205000, 1500, 10000, &w));
    g_assert_cmpint(w.us, ==, 102000);
    g_assert_cmpuint(w.bytes, ==, 500);
    /* Very late: what was missed is lost, the next window is a whole one. */
    g_assert_true(rate_roll(&r, 900000, 1500, 10000, &w));
    g_assert_false(rate_roll(&r, 999999, 1500, 10000, &w));
    g_assert_true(rate_roll(&r, 1000000, 1500, 10000, &w));
}

/* 64 MB in a window without a limit are not 64 seconds of silence at 1 MB/s. */
static void test_rate_lowered(void)
{
    RateLimit r;
    RateWindow w;

    rate_start(&r, 0, 0);
    g_assert_true(rate_roll(&r, 100000, 1000, 0, &w));
    g_assert_true(rate_roll(&r, 200000, 64000000, 1000000, &w));
    g_assert_cmpuint(r.debt, ==, 0);
    g_assert_false(rate_exhausted(&r, 64000000, 1000000));
    /* from here on what is sent beyond the budget counts again */
    g_assert_true(rate_roll(&r, 300000, 64100007, 1000000, &w));
    g_assert_cmpuint(r.debt, ==, 7);
}

/* One page of 4116 bytes per window at 10000 bytes/s would be four times too fast. */
static void test_rate_small_limit(void)
{
    RateLimit r;
    RateWindow w;
    uint64_t sent = 0;
    int64_t now = 0;

    rate_start(&r, now, sent);
    while (now < 60 * G_USEC_PER_SEC) {
        if (!rate_exhausted(&r, sent, 10000)) {
            sent += 4116;
        } else {
            now += rate_wait_us(&r, now, sent, 10000);
            rate_roll(&r, now, sent, 10000, &w);
        }
    }
    g_assert_cmpuint(sent, >=, 600000 - 10000);
    g_assert_cmpuint(sent, <=, 600000 + 10000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration-policy/decide", test_decide);
    g_test_add_func("/migration-policy/decide-without-rate", test_decide_without_rate);
    g_test_add_func("/migration-policy/extra-pass", test_extra_pass);
    g_test_add_func("/migration-policy/extra-pass-ends", test_extra_pass_ends);
    g_test_add_func("/migration-policy/extra-pass-price", test_extra_pass_price);
    g_test_add_func("/migration-policy/wait", test_wait);
    g_test_add_func("/migration-policy/reason", test_reason);
    g_test_add_func("/migration-policy/outlook", test_outlook);
    g_test_add_func("/migration-policy/series", test_series);
    g_test_add_func("/migration-policy/expected-downtime", test_expected_downtime);
    g_test_add_func("/migration-policy/throttle", test_throttle);
    g_test_add_func("/migration-policy/throttle-tailslow", test_throttle_tailslow);
    g_test_add_func("/migration-rate/windows", test_rate_windows);
    g_test_add_func("/migration-rate/late", test_rate_late);
    g_test_add_func("/migration-rate/lowered", test_rate_lowered);
    g_test_add_func("/migration-rate/small-limit", test_rate_small_limit);
    return g_test_run();
}
