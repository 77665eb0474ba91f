/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGINT, SIGHUP, SIGTERM and SIGCONT. Called by vl. The first is a request to shut
 * down; a second one ends the process within a second, also where the main
 * thread hangs. A signal while everything is being taken down anyway (quit
 * and then SIGTERM) changes nothing as long as that does not take for ever.
 */
#include "softmmu/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>
#include "chardev/char.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"
#include "util/error.h"

#define GRACE_SECOND_MS 900     /* after a second signal */
#define GRACE_FIRST_MS 10000    /* after the first one, when it meets an end that was begun before */

typedef enum Phase { STARTING, BUILDING, RUNNING, ENDING } Phase;

struct Signals {
    struct Machine *machine;    /* set once, as are the next six */
    const char *pidfile;
    int signal_fd, end_fd;
    GThread *thread;
    bool is_tty;
    struct termios tty;
    GMutex lock;
    Phase phase;                /* lock, as is the next */
    bool continued;             /* a SIGCONT came before the main loop ran */
    /* the thread's own */
    unsigned count;
    gint64 deadline_us;         /* 0: none */
};

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGCONT);
}

/* The process ends here and now, by this signal; what is seen outside is put back. */
static void end_by_signal(Signals *s, int number)
{
    sigset_t set;

    if (s->is_tty) {
        signal(SIGTTOU, SIG_IGN); /* also from the background */
        tcsetattr(STDIN_FILENO, TCSANOW, &s->tty);
    }
    if (s->pidfile) {
        unlink(s->pidfile);
    }
    signal(number, SIG_DFL);
    signal_set(&set);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
}

/* Not where nobody reads stderr: this thread waits for nothing. */
static void report(Signals *s, const struct signalfd_siginfo *info, const char *more)
{
    struct pollfd err = { .fd = STDERR_FILENO, .events = POLLOUT };
    g_autofree char *path = g_strdup_printf("/proc/%u/comm", info->ssi_pid);
    g_autofree char *comm = NULL;

    if (poll(&err, 1, 0) != 1) {
        return;
    }
    if (info->ssi_pid == 0) { /* the terminal */
        machine_report(s->machine, "terminating on signal %u%s", info->ssi_signo, more);
        return;
    }
    if (!g_file_get_contents(path, &comm, NULL, NULL)) {
        comm = g_strdup("<unknown process>");
    }
    machine_report(s->machine, "terminating on signal %u from pid %u (%s)%s", info->ssi_signo,
                   info->ssi_pid, g_strchomp(comm), more);
}

static void set_deadline(Signals *s, unsigned ms)
{
    gint64 at = g_get_monotonic_time() + ms * 1000LL;

    if (!s->deadline_us || at < s->deadline_us) {
        s->deadline_us = at;
    }
}

static void take_signal(Signals *s, const struct signalfd_siginfo *info)
{
    bool first = ++s->count == 1;

    g_mutex_lock(&s->lock);
    Phase phase = s->phase;
    if (phase == STARTING) {
        end_by_signal(s, info->ssi_signo);
    } else if ((phase == RUNNING || phase == BUILDING) && first) {
        system_shutdown_request(s->machine->runstate, SHUTDOWN_CAUSE_HOST_SIGNAL, 0);
    }
    g_mutex_unlock(&s->lock); /* from here on the run state may be gone */
    if (!first) {
        set_deadline(s, GRACE_SECOND_MS);
        report(s, info, ", and not the first: at once");
    } else if (phase == RUNNING) {
        report(s, info, "");
    } else if (phase == BUILDING) {     /* nobody hears requests while it waits for, say, a FIFO */
        set_deadline(s, GRACE_SECOND_MS);
        report(s, info, "");
    } else {
        set_deadline(s, GRACE_FIRST_MS);
    }
}

static void continued(void *opaque)
{
    struct Machine *machine = opaque;

    if (machine->chardevs) {
        chardevs_continued(machine->chardevs);
    }
}

/* Ctrl-Z and fg: the shell has had the terminal. */
static void take_continue(Signals *s)
{
    g_mutex_lock(&s->lock);
    if (s->phase == BUILDING || s->phase == RUNNING) { /* raw since before, seen when it runs */
        main_loop_post(s->machine->loop, continued, s->machine);
    }
    s->continued = s->phase < RUNNING;
    g_mutex_unlock(&s->lock);
}

/* Milliseconds until the deadline, for poll(); -1: there is none. */
static int wait_ms(const Signals *s)
{
    gint64 left = s->deadline_us - g_get_monotonic_time();

    return !s->deadline_us ? -1 : left <= 0 ? 0 : (int)(left / 1000 + 1);
}

/*
 * The signal thread. Owns count and deadline; waits for a signal, the
 * deadline and signals_free(); ends with the last, or ends the process.
 */
static void *signals_loop(void *opaque)
{
    Signals *s = opaque;
    struct signalfd_siginfo info, last = { .ssi_signo = SIGTERM };
    struct pollfd p[2] = {
        { .fd = s->signal_fd, .events = POLLIN },
        { .fd = s->end_fd, .events = POLLIN },
    };

    for (;;) {
        poll(p, 2, wait_ms(s));
        if (p[1].revents) {
            return NULL;
        }
        if (wait_ms(s) == 0) {
            end_by_signal(s, last.ssi_signo);
        }
        if (read(s->signal_fd, &info, sizeof(info)) != sizeof(info)) {
            continue;
        }
        if (info.ssi_signo == SIGCONT) {
            take_continue(s);
        } else {
            last = info;
            take_signal(s, &info);
        }
    }
}

void signals_block(void)
{
    sigset_t set;

    signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

Signals *signals_new(struct Machine *machine, const char *pidfile, GError **errp)
{
    Signals *s = g_new0(Signals, 1);
    sigset_t set;

    s->machine = machine;
    s->pidfile = pidfile;
    g_mutex_init(&s->lock);
    s->is_tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->tty) == 0;
    signals_block();
    signal_set(&set);
    s->end_fd = eventfd(0, EFD_CLOEXEC);
    s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signal_fd < 0 || s->end_fd < 0) {
        error_setg_errno(errp, errno, "cannot receive signals");
        signals_free(s);
        return NULL;
    }
    s->thread = thread_start("signals", signals_loop, s, errp);
    if (!s->thread) {
        signals_free(s);
        return NULL;
    }
    return s;
}

static void set_phase(Signals *s, Phase phase)
{
    g_mutex_lock(&s->lock);
    s->phase = phase;
    g_mutex_unlock(&s->lock);
}

void signals_watch(Signals *s)
{
    set_phase(s, BUILDING);
}

void signals_running(Signals *s)
{
    set_phase(s, RUNNING);
    g_mutex_lock(&s->lock);
    if (s->continued) {
        main_loop_post(s->machine->loop, continued, s->machine);
    }
    g_mutex_unlock(&s->lock);
}

void signals_ending(Signals *s)
{
    set_phase(s, ENDING);
}

void signals_free(Signals *s)
{
    uint64_t one = 1;

    if (!s) {
        return;
    }
    if (s->thread) {
        ssize_t ignored = write(s->end_fd, &one, sizeof(one));
        (void)ignored;
        g_thread_join(s->thread);
    }
    if (s->signal_fd >= 0) {
        close(s->signal_fd);
    }
    if (s->end_fd >= 0) {
        close(s->end_fd);
    }
    g_mutex_clear(&s->lock);
    g_free(s);
}
