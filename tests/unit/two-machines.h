/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two tiny machines in one process, between which a guest is moved: what the tests of migrations share. */
#ifndef TESTS_TWO_MACHINES_H
#define TESTS_TWO_MACHINES_H

#include "../tiny-machine/tiny-machine.h"

#define PAGE TARGET_PAGE_SIZE

typedef struct Fixture {
    TinyMachine *src, *dst;
    char *dir, *unix_uri, *file_uri;
} Fixture;

/** Of the dialect: 300 pages of RAM, three devices, not running; events are on. */
void set_up(Fixture *f, gconstpointer dialect);
void tear_down(Fixture *f, gconstpointer unused);
void set_cap(TinyMachine *t, const char *cap);
void set_param(TinyMachine *t, const char *name, const char *value);
/** Waits for a guest there, whatever it did before. */
void listen_on(TinyMachine *t, const char *uri);
/** migrate URI. */
void start(TinyMachine *t, const char *uri);
/** Until the outgoing (incoming) migration stands there, 20 s at most. */
void wait_out(Fixture *f, MigrationStatus status);
void wait_in(Fixture *f, MigrationStatus status);
void assert_same_ram(Fixture *f);
/** All events since the last look, as tiny_events has them. */
void assert_events(TinyMachine *t, const char *want);
/** Of the outgoing migration; caller frees. */
char *out_error(Fixture *f);
void assert_run_state(TinyMachine *t, RunState want);
void start_guest(TinyMachine *t);
void do_continue(Fixture *f);
void assert_source_unharmed(Fixture *f, RunState before);

/** A row of main(): set_up, fn, tear_down. */
#define ADD(name, dialect, fn) \
    g_test_add("/migration/" name, Fixture, GINT_TO_POINTER(dialect), set_up, fn, tear_down)

#endif
