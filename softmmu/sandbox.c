/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -sandbox: takes system calls away that an emulator never needs, in QEMU's
 * groups, for all threads. A call that is denied ends the process with a
 * message that names it; migration asks config->spawn_denied first. Called by
 * vl when everything is open that has to be.
 */
#include "softmmu/sandbox.h"

#include <string.h>
#include "config-host.h"
#include "util/error.h"

static bool is_deny(Opts *opts, const char *key)
{
    const char *value = opts_get(opts, key);

    return value && strcmp(value, "allow") != 0;
}

bool sandbox_denies_spawn(Opts *opts)
{
    return is_deny(opts, "spawn");
}

bool sandbox_possible(const Opts *opts, GError **errp)
{
#ifndef CONFIG_SECCOMP
    if (opts) {
        error_setg(errp, "-sandbox: this build has no seccomp support");
        return false;
    }
#endif
    return true;
}

#ifdef CONFIG_SECCOMP

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef enum Group { ALWAYS, OBSOLETE, PRIVILEGES, SPAWN, RESOURCES } Group;

typedef struct Denied {
    int nr;
    const char *name;
    Group group;
} Denied;

#define DENY(group, name) { SCMP_SYS(name), #name, group }
static const Denied denied[] = {
    DENY(ALWAYS, reboot), DENY(ALWAYS, swapon), DENY(ALWAYS, swapoff), DENY(ALWAYS, syslog),
    DENY(ALWAYS, mount), DENY(ALWAYS, umount2), DENY(ALWAYS, pivot_root),
    DENY(ALWAYS, kexec_load), DENY(ALWAYS, init_module), DENY(ALWAYS, finit_module),
    DENY(ALWAYS, delete_module), DENY(ALWAYS, acct), DENY(ALWAYS, quotactl),
    DENY(ALWAYS, settimeofday), DENY(ALWAYS, ptrace), DENY(ALWAYS, bpf),
    DENY(OBSOLETE, _sysctl), DENY(OBSOLETE, bdflush), DENY(OBSOLETE, create_module),
    DENY(OBSOLETE, get_kernel_syms), DENY(OBSOLETE, query_module), DENY(OBSOLETE, sgetmask),
    DENY(OBSOLETE, ssetmask), DENY(OBSOLETE, sysfs), DENY(OBSOLETE, uselib), DENY(OBSOLETE, ustat),
    DENY(PRIVILEGES, setuid), DENY(PRIVILEGES, setgid), DENY(PRIVILEGES, setpgid),
    DENY(PRIVILEGES, setsid), DENY(PRIVILEGES, setreuid), DENY(PRIVILEGES, setregid),
    DENY(PRIVILEGES, setresuid), DENY(PRIVILEGES, setresgid), DENY(PRIVILEGES, setfsuid),
    DENY(PRIVILEGES, setfsgid), DENY(PRIVILEGES, setgroups), DENY(PRIVILEGES, capset),
    DENY(SPAWN, fork), DENY(SPAWN, vfork), DENY(SPAWN, execve), DENY(SPAWN, execveat),
    DENY(RESOURCES, setpriority), DENY(RESOURCES, sched_setparam),
    DENY(RESOURCES, sched_setscheduler), DENY(RESOURCES, sched_setaffinity),
};

/* Async-signal-safe: the const table and write only. */
static void denied_call(int sig, siginfo_t *info, void *context)
{
    static const char head[] = "sandbox: denied system call ";
    const char *name = "clone without CLONE_THREAD";
    ssize_t ignored;

    for (size_t i = 0; i < G_N_ELEMENTS(denied); i++) {
        if (denied[i].nr == info->si_syscall) {
            name = denied[i].name;
        }
    }
    ignored = write(STDERR_FILENO, head, sizeof(head) - 1);
    ignored = write(STDERR_FILENO, name, strlen(name));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    raise(SIGSYS); /* the default action by now (SA_RESETHAND): the parent sees what it was */
    _exit(1);
}

/* The child of an exec: migration asks for a process group, and can do without: no trap. */
static uint32_t action_for(const Denied *call)
{
    return call->nr == SCMP_SYS(setpgid) ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_TRAP;
}

static int add_rules(scmp_filter_ctx ctx, const bool *groups)
{
    int rc = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(denied) && rc == 0; i++) {
        if (groups[denied[i].group]) {
            rc = seccomp_rule_add(ctx, action_for(&denied[i]), denied[i].nr, 0);
        }
    }
    if (rc == 0 && groups[SPAWN]) {
        /* Threads yes, processes no. clone3's flags cannot be seen: glibc falls back to clone. */
        rc = seccomp_rule_add(ctx, SCMP_ACT_TRAP, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
        if (rc == 0) {
            rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
        }
    }
    return rc;
}

static int load_filter(const bool *groups)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    int rc;

    if (!ctx) {
        return -ENOMEM;
    }
    rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0) {
        rc = add_rules(ctx, groups);
    }
    if (rc == 0) {
        rc = seccomp_load(ctx);
    }
    seccomp_release(ctx);
    return rc;
}

bool sandbox_enter(Opts *opts, GError **errp)
{
    const char *privileges = opts_get(opts, "elevateprivileges");
    struct sigaction action = {
        .sa_sigaction = denied_call, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER,
    };
    bool groups[] = {
        [ALWAYS] = true,
        [OBSOLETE] = !opts_get(opts, "obsolete") || is_deny(opts, "obsolete"),
        [PRIVILEGES] = privileges && strcmp(privileges, "deny") == 0,
        [SPAWN] = sandbox_denies_spawn(opts),
        [RESOURCES] = is_deny(opts, "resourcecontrol"),
    };

    if (privileges && strcmp(privileges, "allow") != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        error_setg_errno(errp, errno, "-sandbox: failed to set no_new_privs");
        return false;
    }
    sigaction(SIGSYS, &action, NULL);
    int rc = load_filter(groups);
    if (rc < 0) {
        error_setg_errno(errp, -rc, "-sandbox: failed to install the system call filter");
        return false;
    }
    return true;
}

#else

bool sandbox_enter(Opts *opts, GError **errp)
{
    return sandbox_possible(opts, errp);
}

#endif
