/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -sandbox: a call that is denied ends the process and is named; each case in its own process. */
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "softmmu/sandbox.h"

typedef struct Case {
    const char *path, *options;
    long nr;            /* called with arguments with which it could do nothing, were it allowed */
    const char *name;   /* NULL: it is allowed */
    long flags;         /* its first argument */
} Case;

/* The first and the last of the table, and two between them. */
static const Case cases[] = {
    { "/sandbox/first", "on", SYS_reboot, "reboot" },
    { "/sandbox/spawn", "on,spawn=deny", SYS_execve, "execve" },
    { "/sandbox/last", "on,resourcecontrol=deny", SYS_sched_setaffinity, "sched_setaffinity" },
    { "/sandbox/allowed", "on", SYS_sched_setaffinity, NULL },
    /* a new process; such flags do not go together */
    { "/sandbox/processes", "on,spawn=deny", SYS_clone, "clone without CLONE_THREAD", CLONE_SIGHAND },
    { "/sandbox/processes-allowed", "on", SYS_clone, NULL, CLONE_SIGHAND },
};

static Opts *parse(const Case *c)
{
    g_autoptr(GError) err = NULL;
    Opts *opts = opts_parse(c->options, "enable", &err);

    g_assert_no_error(err);
    return opts;
}

static void child(const Case *c)
{
    g_autoptr(GError) err = NULL;
    Opts *opts = parse(c);

    sandbox_enter(opts, &err);
    g_assert_no_error(err);
    opts_free(opts);
    syscall(c->nr, c->flags, 0, 0, 0);
    g_printerr("nothing denied\n");
    _exit(0);   /* a sanitizer's last look for leaks needs what is denied (ptrace) */
}

static void test_denied(gconstpointer data)
{
    const Case *c = data;
    Opts *opts = parse(c);
    bool possible = sandbox_possible(opts, NULL);

    opts_free(opts);
    if (!possible) {
        g_test_skip("no seccomp in this build");
        return;
    }
    if (g_test_subprocess()) {
        child(c);
        return;
    }
    g_autofree char *want = c->name ? g_strdup_printf("sandbox: denied system call %s\n", c->name)
                                    : g_strdup("nothing denied\n");
    g_test_trap_subprocess(NULL, 60 * G_USEC_PER_SEC, 0);
    g_test_trap_assert_stderr(want);
    g_assert_cmpint(g_test_trap_has_passed(), ==, c->name == NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_add_data_func(cases[i].path, &cases[i], test_denied);
    }
    return g_test_run();
}
