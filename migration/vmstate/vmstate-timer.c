/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The field kind "timer": the absolute expiry of a timer on the virtual
 * clock. Apart from the other kinds because it alone needs the clock.
 */
#include "migration/stream/format.h"
#include "migration/vmstate.h"
#include "softmmu/clock.h"

static bool get_timer(StreamReader *r, void *pv, size_t size, const VMStateField *f,
                      GError **errp)
{
    uint64_t expire = stream_get_be64(r);

    if (!stream_reader_ok(r, NULL)) {
        return true;    /* the engine reports it */
    }
    if (expire == VMSTATE_TIMER_NOT_ARMED) {
        clock_timer_del(pv);
    } else {
        clock_timer_mod(pv, MIN(expire, (uint64_t)INT64_MAX));
    }
    return true;
}

static bool put_timer(StreamWriter *w, const void *pv, size_t size, const VMStateField *f,
                      GError **errp)
{
    stream_put_be64(w, (uint64_t)clock_timer_expire_ns((ClockTimer *)pv));
    return true;
}

const VMStateInfo vmstate_info_timer = { "timer", get_timer, put_timer };
