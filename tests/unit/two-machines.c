/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See two-machines.h. */
#include "two-machines.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)

static void fill(TinyMachine *t)
{
    guint32 seed = 1;

    for (size_t i = 0; i < ram_list_count(t->machine.ram); i++) {
        RAMBlock *b = ram_list_get(t->machine.ram, i);
        for (uint64_t page = 0; page < ram_block_pages(b); page++) {
            for (int j = 0; page % 3 && j < 64; j++) {
                seed = seed * 1664525 + 1013904223;
                b->host[page * PAGE + seed % PAGE] = seed >> 24;
            }
        }
    }
}

static void set_up_with(Fixture *f, StreamDialect dialect, uint64_t pages)
{
    f->dir = g_dir_make_tmp("ferry-test-XXXXXX", NULL);
    f->unix_uri = g_strdup_printf("unix:%s/sock", f->dir);
    f->file_uri = g_strdup_printf("file:%s/file", f->dir);
    f->src = tiny_machine_new("none", dialect, pages, 3);
    f->dst = tiny_machine_new("none", dialect, pages, 3);
    fill(f->src);
    virtual_clock_set_ns(f->src->machine.clock, 123456789);
    migration_options_set_global(f->src->machine.migration->options, "events", "on", NULL);
    migration_options_set_global(f->dst->machine.migration->options, "events", "on", NULL);
}

void set_up(Fixture *f, gconstpointer dialect)
{
    set_up_with(f, GPOINTER_TO_INT(dialect), 300);
}

void tear_down(Fixture *f, gconstpointer unused)
{
    tiny_machine_free(f->src);
    tiny_machine_free(f->dst);
    g_autofree char *sock = g_build_filename(f->dir, "sock", NULL);
    g_autofree char *file = g_build_filename(f->dir, "file", NULL);
    g_unlink(sock);
    g_unlink(file);
    g_rmdir(f->dir);
    g_free(f->dir);
    g_free(f->unix_uri);
    g_free(f->file_uri);
}

void set_cap(TinyMachine *t, const char *cap)
{
    g_assert_true(migration_options_set_global(t->machine.migration->options, cap, "on", NULL));
}

void set_param(TinyMachine *t, const char *name, const char *value)
{
    g_assert_true(migration_options_set_parameter_text(t->machine.migration->options, name, value,
                                                       NULL));
}

void listen_on(TinyMachine *t, const char *uri)
{
    g_autoptr(GError) err = NULL;

    tiny_lock(t);
    if (runstate_get(t->machine.runstate) != RUN_STATE_INMIGRATE) {
        runstate_set(t->machine.runstate, RUN_STATE_INMIGRATE, &err);
    }
    migration_incoming_start(t->machine.migration, "defer", true, &err);
    migration_incoming(t->machine.migration, uri, false, &err);
    tiny_unlock(t);
    g_assert_no_error(err);
}

void start(TinyMachine *t, const char *uri)
{
    g_autoptr(GError) err = NULL;

    tiny_lock(t);
    migration_start(t->machine.migration, uri, &err);
    tiny_unlock(t);
    g_assert_no_error(err);
}

static void wait_for(MigrationState *s, MigrationStatus status)
{
    int64_t until = g_get_monotonic_time() + PATIENCE_US;

    while (migration_state_get(s) != status) {
        if (g_get_monotonic_time() > until) {
            g_error("still '%s' instead of '%s'", MigrationStatus_str(migration_state_get(s)),
                    MigrationStatus_str(status));
        }
        g_usleep(500);
    }
}

void wait_out(Fixture *f, MigrationStatus status)
{
    wait_for(&f->src->machine.migration->out_state, status);
}

void wait_in(Fixture *f, MigrationStatus status)
{
    wait_for(&f->dst->machine.migration->in_state, status);
}

void assert_same_ram(Fixture *f)
{
    for (size_t i = 0; i < ram_list_count(f->src->machine.ram); i++) {
        RAMBlock *a = ram_list_get(f->src->machine.ram, i);
        RAMBlock *b = ram_list_get(f->dst->machine.ram, i);
        g_assert_cmpmem(a->host, a->used_length, b->host, b->used_length);
    }
}

void assert_events(TinyMachine *t, const char *want)
{
    g_autofree char *got = tiny_events(t);
    g_assert_cmpstr(got, ==, want);
}

char *out_error(Fixture *f)
{
    OutgoingView v;
    outgoing_view(f->src->machine.migration->outgoing, &v);
    char *text = g_strdup(v.error);
    outgoing_view_clear(&v);
    return text;
}

void assert_run_state(TinyMachine *t, RunState want)
{
    g_assert_cmpstr(RunState_str(runstate_get(t->machine.runstate)), ==, RunState_str(want));
}

void start_guest(TinyMachine *t)
{
    tiny_lock(t);
    g_assert_true(vm_start(t->machine.runstate, NULL));
    tiny_unlock(t);
}

void do_continue(Fixture *f)
{
    g_autoptr(GError) err = NULL;

    tiny_lock(f->src);
    g_assert_false(outgoing_continue(f->src->machine.migration->outgoing, MIGRATION_STATUS_ACTIVE,
                                     &err));
    g_assert_cmpstr(err->message, ==, "Migration not in expected state: pre-switchover");
    g_assert_true(outgoing_continue(f->src->machine.migration->outgoing,
                                    MIGRATION_STATUS_PRE_SWITCHOVER, NULL));
    tiny_unlock(f->src);
}

void assert_source_unharmed(Fixture *f, RunState before)
{
    assert_run_state(f->src, before);
    g_assert_false(dirty_log_enabled(f->src->machine.dirty));
}
