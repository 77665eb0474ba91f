/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Goldfish RTC (machine-virt 2.9, 5): ns since the epoch = tick_offset +
 * host wall clock. The date therefore survives a migration as long as both
 * hosts know the time. Never fires while the VM is stopped.
 */
#include "hw/rtc/goldfish.h"
#include <inttypes.h>
#include "util/log.h"

enum {
    RTC_TIME_LOW = 0x00, RTC_TIME_HIGH = 0x04, RTC_ALARM_LOW = 0x08, RTC_ALARM_HIGH = 0x0c,
    RTC_IRQ_ENABLED = 0x10, RTC_CLEAR_ALARM = 0x14, RTC_ALARM_STATUS = 0x18,
    RTC_CLEAR_INTERRUPT = 0x1c,
};

static uint64_t rtc_now(const GoldfishRTC *rtc)
{
    return rtc->tick_offset + (uint64_t)g_get_real_time() * 1000;
}

static void rtc_update_irq(GoldfishRTC *rtc)
{
    irq_line_set(&rtc->irq, rtc->irq_pending && rtc->irq_enabled);
}

static void rtc_disarm(GoldfishRTC *rtc)
{
    if (rtc->timer) {
        g_source_destroy(rtc->timer);
        g_source_unref(rtc->timer);
        rtc->timer = NULL;
    }
}

static void rtc_evaluate(GoldfishRTC *rtc);

static gboolean rtc_timer_fired(gpointer opaque)
{
    GoldfishRTC *rtc = opaque;

    rtc_disarm(rtc);
    rtc_evaluate(rtc);
    return G_SOURCE_REMOVE;
}

/* Fires a running alarm that is due, arms one that is not. */
static void rtc_evaluate(GoldfishRTC *rtc)
{
    uint64_t now = rtc_now(rtc);

    rtc_disarm(rtc);
    if (!rtc->alarm_running || !rtc->running) {
        return;
    }
    if (rtc->alarm_next <= now) {
        rtc->alarm_running = 0;
        rtc->irq_pending = 1;
        rtc_update_irq(rtc);
        return;
    }
    /* Far alarms are looked at again once an hour: the wall clock may be set meanwhile. */
    rtc->timer = g_timeout_source_new(MIN((rtc->alarm_next - now) / 1000000 + 1, 3600000));
    g_source_set_callback(rtc->timer, rtc_timer_fired, rtc, NULL);
    g_source_attach(rtc->timer, main_loop_context(rtc->loop));
}

/* ---- the guest sets its clock ---- */

#define SET_EVERY_MS 1000   /* a guest that sets it all the time is heard this often */

static void rtc_tell_set(GoldfishRTC *rtc);

static gboolean set_timer_fired(gpointer opaque)
{
    GoldfishRTC *rtc = opaque;

    g_clear_pointer(&rtc->set_timer, g_source_unref);
    if (rtc->set_again) {
        rtc_tell_set(rtc);
    }
    return G_SOURCE_REMOVE;
}

static void rtc_tell_set(GoldfishRTC *rtc)
{
    int64_t ahead_ns = (int64_t)(rtc->tick_offset - rtc->base_offset);
    int64_t half = ahead_ns < 0 ? -500000000 : 500000000;

    rtc->set_again = rtc->set_timer != NULL;
    if (rtc->set_again || !rtc->set) {
        return;
    }
    rtc->set(rtc->set_opaque, (ahead_ns + half) / 1000000000);
    rtc->set_timer = g_timeout_source_new(SET_EVERY_MS);
    g_source_set_callback(rtc->set_timer, set_timer_fired, rtc, NULL);
    g_source_attach(rtc->set_timer, main_loop_context(rtc->loop));
}

void goldfish_rtc_on_set(GoldfishRTC *rtc, GoldfishRTCSet *set, void *opaque)
{
    rtc->set = set;
    rtc->set_opaque = opaque;
}

/* ---- registers ---- */

static MemTxResult rtc_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    GoldfishRTC *rtc = opaque;
    uint64_t now;

    *value = 0;
    switch (offset) {
    case RTC_TIME_LOW:
        now = rtc_now(rtc);
        rtc->time_high = now >> 32;
        *value = (uint32_t)now;
        break;
    case RTC_TIME_HIGH:
        *value = rtc->time_high;
        break;
    case RTC_ALARM_LOW:
        *value = (uint32_t)rtc->alarm_next;
        break;
    case RTC_ALARM_HIGH:
        *value = rtc->alarm_next >> 32;
        break;
    case RTC_IRQ_ENABLED:
        *value = rtc->irq_enabled;
        break;
    case RTC_ALARM_STATUS:
        *value = rtc->alarm_running;
        break;
    default:
        log_mask(LOG_UNIMP, "goldfish_rtc: read of register 0x%" PRIx64 " is not implemented\n", offset);
        break;
    }
    return MEMTX_OK;
}

static MemTxResult rtc_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    GoldfishRTC *rtc = opaque;
    uint64_t now, low = (uint32_t)value, high = low << 32;

    switch (offset) {
    case RTC_TIME_LOW:      /* the second half of a driver's setting */
        now = rtc_now(rtc);
        rtc->tick_offset += ((now & ~0xffffffffULL) | low) - now;
        rtc_tell_set(rtc);
        break;
    case RTC_TIME_HIGH:
        now = rtc_now(rtc);
        rtc->tick_offset += ((now & 0xffffffffULL) | high) - now;
        break;
    case RTC_ALARM_LOW:
        rtc->alarm_next = (rtc->alarm_next & ~0xffffffffULL) | low;
        rtc->alarm_running = 1;
        rtc_evaluate(rtc);
        break;
    case RTC_ALARM_HIGH:
        rtc->alarm_next = (rtc->alarm_next & 0xffffffffULL) | high;
        break;
    case RTC_IRQ_ENABLED:
        rtc->irq_enabled = value & 1;
        rtc_update_irq(rtc);
        break;
    case RTC_CLEAR_ALARM:
        rtc->alarm_running = 0;
        rtc_disarm(rtc);
        break;
    case RTC_CLEAR_INTERRUPT:
        rtc->irq_pending = 0;
        rtc_update_irq(rtc);
        break;
    default:
        log_mask(LOG_UNIMP, "goldfish_rtc: write to register 0x%" PRIx64 " is not implemented\n",
                 offset);
        break;
    }
    return MEMTX_OK;
}

GoldfishRTC *goldfish_rtc_new(MainLoop *loop, IRQLine irq, int64_t offset_ns)
{
    GoldfishRTC *rtc = g_new0(GoldfishRTC, 1);

    rtc->loop = loop;
    rtc->irq = irq;
    rtc->base_offset = (uint64_t)offset_ns;
    rtc->tick_offset = rtc->base_offset;
    return rtc;
}

void goldfish_rtc_free(GoldfishRTC *rtc)
{
    rtc_disarm(rtc);
    if (rtc->set_timer) {
        g_source_destroy(rtc->set_timer);
        g_source_unref(rtc->set_timer);
    }
    g_free(rtc);
}

void goldfish_rtc_reset(GoldfishRTC *rtc)
{
    /* The date goes on across a reset; everything else starts anew. */
    rtc_disarm(rtc);
    rtc->alarm_next = 0;
    rtc->alarm_running = rtc->irq_pending = rtc->irq_enabled = rtc->time_high = 0;
    rtc_update_irq(rtc);
}

void goldfish_rtc_set_running(GoldfishRTC *rtc, bool running)
{
    rtc->running = running;
    rtc_evaluate(rtc);
}

static bool rtc_pre_save(void *opaque, GError **errp)
{
    ((GoldfishRTC *)opaque)->tick_offset_vmstate = 0;
    return true;
}

static bool rtc_post_load(void *opaque, int version_id, GError **errp)
{
    GoldfishRTC *rtc = opaque;

    if (version_id < 3) {
        /* Old streams count from the virtual clock, which starts with the guest; the host's date is the best guess. */
        rtc->tick_offset = rtc->base_offset;
    }
    rtc->irq_enabled &= 1;
    rtc_evaluate(rtc);
    rtc_update_irq(rtc);
    return true;
}

const MemoryRegionOps goldfish_rtc_mmio_ops = { rtc_read, rtc_write };

static const VMStateField rtc_fields[] = {
    VMSTATE_UINT64(tick_offset_vmstate, GoldfishRTC),
    VMSTATE_UINT64(alarm_next, GoldfishRTC),
    VMSTATE_UINT32(alarm_running, GoldfishRTC),
    VMSTATE_UINT32(irq_pending, GoldfishRTC),
    VMSTATE_UINT32(irq_enabled, GoldfishRTC),
    VMSTATE_UINT32(time_high, GoldfishRTC),
    VMSTATE_UINT64_V(tick_offset, GoldfishRTC, 3),
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription goldfish_rtc_vmstate = {
    .name = "goldfish_rtc",
    .version_id = 3,
    .minimum_version_id = 1,
    .fields = rtc_fields,
    .pre_save = rtc_pre_save,
    .post_load = rtc_post_load,
};
