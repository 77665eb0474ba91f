/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's virtual clock (machine-virt 3.4): nanoseconds since
 * power-on during which the machine ran. It stops with the machine and
 * travels with it. mtime = virtual ns / 100, always: there is no hidden
 * offset. Timers on it fire on the main thread under the BQL.
 */
#ifndef SOFTMMU_CLOCK_H
#define SOFTMMU_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include "softmmu/main-loop.h"

typedef struct VirtualClock VirtualClock;
typedef struct ClockTimer ClockTimer;
typedef void ClockTimerFunc(void *opaque);

#define MTIME_NS_PER_TICK 100 /* 10 MHz timebase */

VirtualClock *virtual_clock_new(MainLoop *loop);    /* stopped, at 0 */
void virtual_clock_free(VirtualClock *clock);
/** Current virtual time in ns. Any thread, lock-free. */
int64_t virtual_clock_get_ns(VirtualClock *clock);
/** Start, stop, set: BQL. Setting is allowed only while stopped. */
void virtual_clock_start(VirtualClock *clock);
void virtual_clock_stop(VirtualClock *clock);
/** From now on start does nothing: only virtual_clock_step_to moves it (-accel qtest). Before the first start. */
void virtual_clock_set_stepped(VirtualClock *clock);
void virtual_clock_set_ns(VirtualClock *clock, int64_t ns);
bool virtual_clock_running(VirtualClock *clock);
/** Moves the clock forward to at least ns while stopped (qtest clock_step); fires what is due. BQL. */
void virtual_clock_step_to(VirtualClock *clock, int64_t ns);
/** When the next timer is due, or -1 if none is armed. Any thread. */
int64_t virtual_clock_next_ns(VirtualClock *clock);

/** A timer on this clock; not armed. */
ClockTimer *clock_timer_new(VirtualClock *clock, ClockTimerFunc *fn, void *opaque);
void clock_timer_free(ClockTimer *timer);
/** Arms for an absolute virtual time in ns (replaces an earlier one). Any thread, with or without BQL. */
void clock_timer_mod(ClockTimer *timer, int64_t expire_ns);
void clock_timer_del(ClockTimer *timer);
/** Absolute expiry in ns, or -1 if not armed (the "timer" field kind of the stream). */
int64_t clock_timer_expire_ns(ClockTimer *timer);

#endif
