/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of monitor/ share: the set of sessions and how a kind of session is plugged in. */
#ifndef MONITOR_INTERNAL_H
#define MONITOR_INTERNAL_H

#include "config-host.h"
#include "monitor/dump.h"
#include "monitor/io-thread.h"
#include "monitor/monitor.h"
#include "softmmu/memory.h"

typedef struct Session Session;

/**
 * What QMP and HMP implement; every member is required. can_read, read, opened, closed, focused:
 * the thread of the session's chardev; the others: main thread, BQL.
 */
typedef struct SessionOps {
    const char *kind;                               /* "control" or "readline" */
    Session *(*new)(Monitors *monitors, Chardev *chr, bool pretty);
    size_t (*can_read)(Session *s);
    void (*read)(Session *s, const uint8_t *buf, size_t len);
    void (*opened)(Session *s);                     /* a peer is there: greet */
    void (*closed)(Session *s);                     /* the peer went away: forget it */
    void (*focused)(Session *s);                    /* looked at again, behind a mux */
    int (*take_fd)(Session *s);                     /* the fd that came with the running command, or -1 */
    void (*event)(Session *s, const char *name, struct json_object *event);
    void (*free)(Session *s);
} SessionOps;

/** What came of reading guest memory: done; no translation; no memory there; not come yet. */
typedef enum GuestRead {
    GUEST_READ_OK, GUEST_READ_UNMAPPED, GUEST_READ_NOTHING, GUEST_READ_MISSING,
} GuestRead;

/**
 * Reads len bytes of guest memory (guest-memory.c) at a physical address (cpu < 0), or at a virtual
 * one of that hart and then not across a page. Never waits: MISSING says what, and has asked for it.
 */
GuestRead monitor_read_guest(struct Machine *machine, int cpu, uint64_t addr, void *buf, size_t len,
                             MemMissing *missing);

/** Head of QMPSession and HMPMonitor. */
struct Session {
    const SessionOps *ops;
    Monitors *monitors;
    Chardev *chr;
    MonitorIO *io;              /* whose thread has chr; NULL: the main thread */
    int is_open;                /* atomic; written by chr's thread */
};

struct Monitors {
    /* set once */
    struct Machine *machine;
    GThread *main_thread;
    MonitorIO *io;
    /* main thread */
    GPtrArray *sessions;        /* Session*, owned */
    Session *current;           /* whose command runs now: getfd, add-fd */
    DumpState *dump;            /* the last one, NULL: none */
    /* protected by lock */
    GMutex lock;
    GQueue events;              /* struct json_object*, oldest first */
};

extern const SessionOps qmp_session_ops, hmp_session_ops;

struct QMPCapabilityList;
/** qmp_capabilities for the session that runs it (NULL or not QMP: an error). */
bool qmp_session_negotiate(Session *s, struct QMPCapabilityList *enable, GError **errp);

/** Whether somebody is there. Any thread. */
bool session_is_open(const Session *s);
/** True while so much output waits that requests are left unread: a client that does not read costs no memory. chr's thread. */
bool session_is_backed_up(Session *s);

/** The fd that came with the running command; -1 with QEMU's error. */
int monitors_take_fd(Monitors *monitors, GError **errp);
#define MONITOR_QEMU_MAJOR 7
#define MONITOR_QEMU_MINOR 2
#define MONITOR_QEMU_MICRO 22
/* query-version's package text */
#define MONITOR_PACKAGE "Ferry " FERRY_VERSION

#endif
