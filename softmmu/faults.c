/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of fault points, what an armed one does, and the commands x-fault
 * and x-query-faults. Called wherever there is a point; calls nobody.
 */
#include "softmmu/faults.h"

#include <string.h>
#include <unistd.h>

#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"
#include "util/error.h"

#define STALL_MAX_MS 10000
#define DIE_STATUS 86       /* of a process that was told to die: no other end has it */

static const struct {
    FaultPoint point;
    const char *name;
    XFaultSide side;
    bool fails;             /* false: nothing can go wrong there, it can only take long */
    const char *what;
} points[] = {
#define SRC X_FAULT_SIDE_SOURCE
#define DST X_FAULT_SIDE_DESTINATION
#define ANY X_FAULT_SIDE_BOTH
    { FAULT_SRC_CONNECT, "src-connect", SRC, true, "the channel is about to be opened" },
    { FAULT_SRC_SETUP, "src-setup", SRC, true, "connected, nothing is sent yet" },
    { FAULT_SRC_PASS, "src-pass", SRC, true, "before a part of a pass" },
    { FAULT_SRC_RATE, "src-rate", SRC, false, "before it sleeps to keep max-bandwidth" },
    { FAULT_SRC_CATCH_UP, "src-catch-up", SRC, false, "before it lets the destination catch up" },
    { FAULT_SRC_ACK, "src-ack", SRC, false, "before it waits for the switchover's ack" },
    { FAULT_SRC_STOP, "src-stop", SRC, true, "before the guest is stopped" },
    { FAULT_SRC_PRE_SWITCHOVER, "src-pre-switchover", SRC, true, "before migrate-continue is waited for" },
    { FAULT_SRC_DEVICES_TAKEN, "src-devices-taken", SRC, true, "device state is taken, the lock let go" },
    { FAULT_SRC_RAM_SENT, "src-ram-sent", SRC, true, "the last page is sent" },
    { FAULT_SRC_DEVICES_SENT, "src-devices-sent", SRC, true, "device state is sent" },
    { FAULT_SRC_TAKEN, "src-taken", SRC, true, "the destination has taken all sections" },
    { FAULT_SRC_HANDS_OVER, "src-hands-over", SRC, true, "before the end of the stream is sent" },
    { FAULT_SRC_AWAITS, "src-awaits", SRC, true, "all is sent, before the answer or the end is waited for" },
    { FAULT_SRC_VERDICT, "src-verdict", SRC, true, "the answer has come and is about to be read" },
    { FAULT_SRC_CONFIRMED, "src-confirmed", SRC, false, "the destination has the guest" },
    { FAULT_SRC_END, "src-end", SRC, false, "before the channels are closed" },
    { FAULT_SRC_SETTLE, "src-settle", SRC, false, "before the guest goes on or is let go of" },

    { FAULT_SRC_POSTCOPY_SWITCH, "src-postcopy-switch", SRC, true, "before the destination is told what is dirty" },
    { FAULT_SRC_POSTCOPY_PACKAGE, "src-postcopy-package", SRC, true, "the package is sent but its last command" },
    { FAULT_SRC_POSTCOPY_RUN, "src-postcopy-run", SRC, true, "the destination is told to run the guest" },
    { FAULT_SRC_POSTCOPY_PART, "src-postcopy-part", SRC, true, "before a part of the rest of memory" },
    { FAULT_SRC_POSTCOPY_END, "src-postcopy-end", SRC, true, "all pages are sent, the end is not" },
    { FAULT_SRC_POSTCOPY_AWAITS, "src-postcopy-awaits", SRC, true, "before the destination's last word is waited for" },
    { FAULT_SRC_POSTCOPY_PAUSED, "src-postcopy-paused", SRC, false, "the connections are gone, before it says so" },
    { FAULT_SRC_POSTCOPY_RECONNECTED, "src-postcopy-reconnected", SRC, true, "connected again, nothing is asked yet" },
    { FAULT_SRC_POSTCOPY_BITMAPS, "src-postcopy-bitmaps", SRC, true, "what has come is known" },
    { FAULT_SRC_POSTCOPY_ACKED, "src-postcopy-acked", SRC, true, "the destination goes on, before we do" },

    { FAULT_SRC_MULTIFD_CONNECT, "src-multifd-connect", SRC, true, "a parallel channel is about to be opened" },
    { FAULT_SRC_MULTIFD_PACKET, "src-multifd-packet", SRC, true, "a channel is about to send pages" },
    { FAULT_SRC_MULTIFD_SYNC, "src-multifd-sync", SRC, true, "a channel is about to say that it has sent all" },

    { FAULT_DST_ACCEPT, "dst-accept", DST, true, "before a peer is waited for" },
    { FAULT_DST_ACCEPTED, "dst-accepted", DST, true, "a peer has come" },
    { FAULT_DST_SECTION, "dst-section", DST, true, "before a section is loaded" },
    { FAULT_DST_PONG, "dst-pong", DST, true, "before a ping is answered" },
    { FAULT_DST_LOADED, "dst-loaded", DST, true, "the guest is loaded, the source not told" },
    { FAULT_DST_TOLD, "dst-told", DST, false, "the source is told, the guest not started" },
    { FAULT_DST_STARTED, "dst-started", DST, false, "the guest is started, before the channels are closed" },
    { FAULT_DST_FAILED, "dst-failed", DST, false, "it has failed, before the source is told" },
    { FAULT_DST_POSTCOPY_CONNECTED, "dst-postcopy-connected", DST, false, "the source has connected again, it is not answered yet" },
    { FAULT_DST_LAZY_LISTED, "dst-lazy-listed", DST, true, "it is known which pages a file has" },
    { FAULT_DST_LAZY_READ, "dst-lazy-read", DST, true, "before pages are read that the guest runs without" },
    { FAULT_DST_LAZY_END, "dst-lazy-end", DST, false, "all pages are here, before it says so" },

    { FAULT_DST_MULTIFD_PACKET, "dst-multifd-packet", DST, true, "a channel is about to read what comes" },
    { FAULT_DST_MULTIFD_SYNC, "dst-multifd-sync", DST, true, "before all channels are waited for" },
    { FAULT_DST_POSTCOPY_ADVISE, "dst-postcopy-advise", DST, true, "the source may go over to postcopy later" },
    { FAULT_DST_POSTCOPY_DISCARD, "dst-postcopy-discard", DST, true, "before a range of memory counts as not here" },
    { FAULT_DST_POSTCOPY_LISTEN, "dst-postcopy-listen", DST, true, "before pages are waited for" },
    { FAULT_DST_POSTCOPY_ARMED, "dst-postcopy-armed", DST, true, "pages are waited for, nobody reads them yet" },
    { FAULT_DST_POSTCOPY_RUN, "dst-postcopy-run", DST, false, "the package is loaded, the guest still the source's" },
    { FAULT_DST_POSTCOPY_STARTS, "dst-postcopy-starts", DST, false, "the guest is ours, before it starts" },
    { FAULT_DST_POSTCOPY_ASKS, "dst-postcopy-asks", DST, true, "before a page is asked for" },
    { FAULT_DST_POSTCOPY_PAGE, "dst-postcopy-page", DST, true, "before a page that came is placed" },
    { FAULT_DST_POSTCOPY_URGENT, "dst-postcopy-urgent", DST, true, "a channel of urgent pages has come" },
    { FAULT_DST_POSTCOPY_ENDED, "dst-postcopy-ended", DST, false, "the stream has ended" },
    { FAULT_DST_POSTCOPY_TELLS, "dst-postcopy-tells", DST, true, "all of the memory is here, before the source is told" },
    { FAULT_DST_POSTCOPY_PAUSED, "dst-postcopy-paused", DST, false, "the connections are gone, before it says so" },
    { FAULT_DST_POSTCOPY_READS, "dst-postcopy-reads", DST, true, "the source has connected again, before it is read" },
    { FAULT_DST_POSTCOPY_BITMAP, "dst-postcopy-bitmap", DST, true, "before it says what of a block is here" },
    { FAULT_DST_POSTCOPY_RESUME, "dst-postcopy-resume", DST, true, "before it agrees to go on" },
    { FAULT_DST_POSTCOPY_RESUMED, "dst-postcopy-resumed", DST, false, "it has agreed, before it asks for pages again" },
    { FAULT_DST_POSTCOPY_AFTER, "dst-postcopy-after", DST, true, "completed, before the last word is said again" },

    { FAULT_PAUSE_ASKED, "pause-asked", ANY, false, "vCPUs are asked to stop, the lock let go" },
    { FAULT_PAUSE_HELD, "pause-held", ANY, false, "vCPUs have stopped, the lock not taken back yet" },
    { FAULT_WRITE_BARRIER, "write-barrier", ANY, false, "before vCPUs are waited for in a look at the dirty log" },
#undef SRC
#undef DST
#undef ANY
};

static int find_point(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        if (g_str_equal(points[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static const char *point_name(FaultPoint point)
{
    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        if (points[i].point == point) {
            return points[i].name;
        }
    }
    return "?";
}

/* Lock held. */
static void stall(Faults *f)
{
    int64_t until = g_get_monotonic_time() + f->ms * 1000LL;
    unsigned ended = f->ended;

    while (f->ended == ended && g_cond_wait_until(&f->changed, &f->lock, until)) {
        /* another's */
    }
}

bool fault_hit(Faults *f, FaultPoint point, GError **errp)
{
    bool ok = true;

    g_mutex_lock(&f->lock);
    if (__atomic_load_n(&f->armed, __ATOMIC_RELAXED) == point && ++f->reached == f->nth) {
        switch (f->action) {
        case X_FAULT_ACTION_STALL:
            stall(f);
            break;
        case X_FAULT_ACTION_FAIL:
            error_setg(errp, "Fault point '%s' (%d) was told to fail (x-fault)", point_name(point),
                       point);
            ok = false;
            break;
        default:
            _exit(DIE_STATUS);
        }
    }
    g_mutex_unlock(&f->lock);
    return ok;
}

void fault_end_stalls(Faults *f)
{
    g_mutex_lock(&f->lock);
    f->ended++;
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
}

/* ---- the commands ---- */

static bool check_fault(int i, XFaultAction action, int64_t ms, int64_t nth, const char *name,
                        GError **errp)
{
    if (i < 0) {
        error_setg(errp, "There is no fault point '%s': x-query-faults lists them", name);
    } else if (action == X_FAULT_ACTION_FAIL && !points[i].fails) {
        error_setg(errp, "Nothing can fail at '%s': stall or die", name);
    } else if (ms < 0 || ms > STALL_MAX_MS) {
        error_setg(errp, "'ms' is %" G_GINT64_FORMAT ": a stall takes 0 to %d ms", ms, STALL_MAX_MS);
    } else if (nth < 1 || nth > G_MAXINT) {
        error_setg(errp, "'nth' counts from 1");
    } else {
        return true;
    }
    return false;
}

bool qmp_x_fault(struct Machine *machine, const char *point, XFaultAction action, bool has_ms,
                 int64_t ms, bool has_nth, int64_t nth, GError **errp)
{
    Faults *f = &machine->faults;
    int i = find_point(point);

    if (!check_fault(i, action, has_ms ? ms : 0, has_nth ? nth : 1, point, errp)) {
        return false;
    }
    fault_end_stalls(f);
    g_mutex_lock(&f->lock);
    f->action = action;
    f->ms = has_ms ? ms : 1000;
    f->nth = has_nth ? nth : 1;
    f->reached = 0;
    __atomic_store_n(&f->armed, points[i].point, __ATOMIC_RELAXED);
    g_mutex_unlock(&f->lock);
    return true;
}

XFaultPointList *qmp_x_query_faults(struct Machine *machine, GError **errp)
{
    XFaultPointList *list = NULL, **tail = &list;
    Faults *f = &machine->faults;

    g_mutex_lock(&f->lock);
    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        XFaultPoint *p = g_new0(XFaultPoint, 1);

        p->name = g_strdup(points[i].name);
        p->number = points[i].point;
        p->side = points[i].side;
        p->what = g_strdup(points[i].what);
        p->may_fail = points[i].fails;
        p->armed = f->armed == points[i].point;
        p->reached = p->armed ? f->reached : 0;
        *tail = g_new0(XFaultPointList, 1);
        (*tail)->value = p;
        tail = &(*tail)->next;
    }
    g_mutex_unlock(&f->lock);
    return list;
}
