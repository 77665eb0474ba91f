/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/state/state: every pair of state and event, against a second, hand-written account. */
#include "migration/state/state.h"

#define SET(name) (1u << MIGRATION_STATUS_##name)

static const unsigned running = SET(SETUP) | SET(ACTIVE) | SET(PRE_SWITCHOVER) | SET(DEVICE);
static const unsigned postcopy = SET(POSTCOPY_ACTIVE) | SET(POSTCOPY_PAUSED) |
                                 SET(POSTCOPY_RECOVER);

/* Spec 5.1 told by event instead of by state: where it leads, or -1. */
static int expected(MigrationSide side, StreamDialect dialect, int from, MigrationEvent event)
{
    bool out = side == MIGRATION_OUTGOING;
    bool d10 = dialect == DIALECT_QEMU_10_0;
    unsigned bit = 1u << from;

    switch (event) {
    case MIGRATION_EVENT_START:
        return bit & (SET(NONE) | SET(FAILED) | (out ? SET(COMPLETED) | SET(CANCELLED) : 0))
                   ? MIGRATION_STATUS_SETUP : -1;
    case MIGRATION_EVENT_BEGIN:
        return bit & SET(SETUP) ? MIGRATION_STATUS_ACTIVE : -1;
    case MIGRATION_EVENT_PAUSE:
        return out && (bit & SET(ACTIVE)) ? MIGRATION_STATUS_PRE_SWITCHOVER : -1;
    case MIGRATION_EVENT_CONTINUE:
        return out && (bit & SET(PRE_SWITCHOVER)) ? MIGRATION_STATUS_DEVICE : -1;
    case MIGRATION_EVENT_SWITCHOVER:
        return !out || !(bit & SET(ACTIVE)) ? -1
               : d10 ? MIGRATION_STATUS_DEVICE : MIGRATION_STATUS_ACTIVE;
    case MIGRATION_EVENT_DONE:
        if (!out) {
            return bit & (SET(ACTIVE) | SET(POSTCOPY_ACTIVE)) ? MIGRATION_STATUS_COMPLETED : -1;
        }
        return bit & (SET(DEVICE) | SET(CANCELLING) | SET(POSTCOPY_ACTIVE) | (d10 ? 0 : SET(ACTIVE)))
                   ? MIGRATION_STATUS_COMPLETED : -1;
    case MIGRATION_EVENT_CANCEL:
        return out && (bit & running) ? MIGRATION_STATUS_CANCELLING : -1;
    case MIGRATION_EVENT_FAIL:
        if (out && (bit & SET(CANCELLING))) {
            return MIGRATION_STATUS_CANCELLED;
        }
        return bit & ((out ? running : SET(SETUP) | SET(ACTIVE)) | postcopy |
                      (out && d10 ? SET(POSTCOPY_RECOVER_SETUP) : 0)) ? MIGRATION_STATUS_FAILED : -1;
    case MIGRATION_EVENT_POSTCOPY:
        return bit & (!out ? SET(ACTIVE) : SET(DEVICE) | (d10 ? 0 : SET(ACTIVE)))
                   ? MIGRATION_STATUS_POSTCOPY_ACTIVE : -1;
    case MIGRATION_EVENT_BREAK:
        return bit & (SET(POSTCOPY_ACTIVE) | SET(POSTCOPY_RECOVER) |
                      (out && d10 ? SET(POSTCOPY_RECOVER_SETUP) : 0))
                   ? MIGRATION_STATUS_POSTCOPY_PAUSED : -1;
    case MIGRATION_EVENT_RESUME:
        return !(bit & SET(POSTCOPY_PAUSED)) ? -1
               : out && d10 ? MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP
                            : MIGRATION_STATUS_POSTCOPY_RECOVER;
    case MIGRATION_EVENT_CONNECT:
        return out && (bit & (d10 ? SET(POSTCOPY_RECOVER_SETUP) : SET(POSTCOPY_RECOVER)))
                   ? MIGRATION_STATUS_POSTCOPY_RECOVER : -1;
    case MIGRATION_EVENT_RECOVER:
        return bit & SET(POSTCOPY_RECOVER) ? MIGRATION_STATUS_POSTCOPY_ACTIVE : -1;
    default:
        g_assert_not_reached();
    }
}

static void test_every_pair(void)
{
    for (int side = 0; side < MIGRATION_SIDE__MAX; side++) {
        for (int dialect = DIALECT_QEMU_7_2; dialect <= DIALECT_QEMU_10_0; dialect++) {
            for (int from = 0; from < MIGRATION_STATUS__MAX; from++) {
                for (int event = 0; event < MIGRATION_EVENT__MAX; event++) {
                    g_autoptr(GError) err = NULL;
                    MigrationStatus to = MIGRATION_STATUS__MAX;
                    int want = expected(side, dialect, from, event);
                    bool ok = migration_state_next(side, dialect, from, event, &to, &err);

                    g_assert_cmpint(ok ? (int)to : -1, ==, want);
                    if (!ok) {
                        g_assert_nonnull(strstr(err->message, migration_event_name(event)));
                        g_assert_nonnull(strstr(err->message, MigrationStatus_str(from)));
                    }
                }
            }
        }
    }
}

/* From every state that can be reached, an ended state can be reached, and from there (outgoing) a new start. */
static void test_always_ends(void)
{
    static const unsigned ended = SET(COMPLETED) | SET(FAILED) | SET(CANCELLED);

    for (int dialect = DIALECT_QEMU_7_2; dialect <= DIALECT_QEMU_10_0; dialect++) {
        unsigned reached = SET(NONE), before = 0;
        while (reached != before) {
            before = reached;
            for (int from = 0; from < MIGRATION_STATUS__MAX; from++) {
                bool leaves = false;
                for (int event = 0; event < MIGRATION_EVENT__MAX; event++) {
                    MigrationStatus to;
                    if ((reached & (1u << from)) &&
                        migration_state_next(MIGRATION_OUTGOING, dialect, from, event, &to, NULL)) {
                        reached |= 1u << to;
                        leaves |= (int)to != from;
                    }
                }
                g_assert_true(leaves || !(reached & (1u << from)));
            }
        }
        g_assert_cmphex(reached & ended, ==, ended);
        for (int s = 0; s < MIGRATION_STATUS__MAX; s++) {
            if (reached & (1u << s)) {
                g_assert_true(migration_status_is_running(s) || s == MIGRATION_STATUS_NONE ||
                              ((1u << s) & ended));
            }
        }
    }
}

static void log_move(void *opaque, MigrationStatus from, MigrationStatus to)
{
    g_string_append_printf(opaque, "%s>%s ", MigrationStatus_str(from), MigrationStatus_str(to));
}

static void test_moves_and_notifies(void)
{
    g_autoptr(GString) log = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    MigrationState s;

    migration_state_init(&s, MIGRATION_OUTGOING, DIALECT_QEMU_7_2, log_move, log);
    g_assert_true(migration_state_move(&s, MIGRATION_EVENT_START, NULL));
    g_assert_true(migration_state_move(&s, MIGRATION_EVENT_BEGIN, NULL));
    g_assert_true(migration_state_move(&s, MIGRATION_EVENT_SWITCHOVER, NULL)); /* says nothing */
    g_assert_false(migration_state_move(&s, MIGRATION_EVENT_CONTINUE, &err));
    g_assert_cmpstr(err->message, ==,
                    "outgoing migration: event 'continue' is not possible in state 'active'");
    g_assert_cmpint(migration_state_get(&s), ==, MIGRATION_STATUS_ACTIVE);
    g_assert_true(migration_state_move(&s, MIGRATION_EVENT_DONE, NULL));
    g_assert_cmpstr(log->str, ==, "none>setup setup>active active>completed ");
    migration_state_clear(&s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration-state/every-pair", test_every_pair);
    g_test_add_func("/migration-state/always-ends", test_always_ends);
    g_test_add_func("/migration-state/moves-and-notifies", test_moves_and_notifies);
    return g_test_run();
}
