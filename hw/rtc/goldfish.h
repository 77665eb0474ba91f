/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Goldfish RTC: the date, from the host's wall clock plus an offset that travels. Under the BQL. */
#ifndef HW_RTC_GOLDFISH_H
#define HW_RTC_GOLDFISH_H

#include <glib.h>
#include "hw/irq.h"
#include "migration/vmstate.h"
#include "softmmu/main-loop.h"
#include "softmmu/memory.h"

/** seconds: how far the guest's clock is ahead of what -rtc base= asked for. Under the BQL. */
typedef void GoldfishRTCSet(void *opaque, int64_t seconds);

typedef struct GoldfishRTC {
    MainLoop *loop;
    IRQLine irq;
    bool running;           /* VM runs: an alarm may fire */
    GSource *timer;         /* armed alarm, or NULL */
    uint64_t base_offset;   /* what -rtc base= asks for, at reset */
    GoldfishRTCSet *set;    /* who wants to know that the guest has set the clock; NULL: nobody */
    void *set_opaque;
    GSource *set_timer;     /* told a moment ago: the next time waits for it; or NULL */
    bool set_again;         /* set meanwhile */
    /* the state that travels */
    uint64_t tick_offset_vmstate, tick_offset, alarm_next;
    uint32_t alarm_running, irq_pending, irq_enabled, time_high;
} GoldfishRTC;

extern const MemoryRegionOps goldfish_rtc_mmio_ops;
extern const VMStateDescription goldfish_rtc_vmstate;

/** offset_ns: RTC time minus the host's wall clock at power-on. */
GoldfishRTC *goldfish_rtc_new(MainLoop *loop, IRQLine irq, int64_t offset_ns);
/** From now on set() hears of it when the guest sets its clock: at once, but once a second at most. */
void goldfish_rtc_on_set(GoldfishRTC *rtc, GoldfishRTCSet *set, void *opaque);
void goldfish_rtc_free(GoldfishRTC *rtc);
void goldfish_rtc_reset(GoldfishRTC *rtc);
/** While stopped no alarm fires; what was due fires at the start. */
void goldfish_rtc_set_running(GoldfishRTC *rtc, bool running);

#endif
