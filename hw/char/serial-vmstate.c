/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The UART's section (machine-virt 2.9): eleven register bytes and
 * subsections for what is in the middle of something. Used by the migration
 * through serial_vmstate only.
 */
#include "hw/char/serial-regs.h"
#include "util/error.h"

static bool serial_pre_save(void *opaque, GError **errp)
{
    Serial *s = opaque;

    s->fcr_vmstate = s->fcr;
    return true;
}

static bool serial_pre_load(void *opaque, GError **errp)
{
    Serial *s = opaque;

    /* What has no subsection in the stream is at rest. */
    s->thr_ipending_loaded = false;
    s->tsr_retry = 0;
    s->timeout_ipending = s->poll_msl = 0;
    s->fcr_vmstate = 0;
    s->recv_fifo.num = s->xmit_fifo.num = 0;
    clock_timer_del(s->fifo_timeout_timer);
    clock_timer_del(s->poll_timer);
    return true;
}

static bool fifo_loaded(SerialFifo *f, const char *name, GError **errp)
{
    if (f->num > UART_FIFO) {
        error_setg(errp, "serial: %s holds %u bytes, at most %u are possible", name, f->num,
                   UART_FIFO);
        return false;
    }
    f->head %= UART_FIFO;
    return true;
}

static bool serial_post_load(void *opaque, int version_id, GError **errp)
{
    Serial *s = opaque;

    if (!fifo_loaded(&s->recv_fifo, "receive FIFO", errp) ||
        !fifo_loaded(&s->xmit_fifo, "transmit FIFO", errp)) {
        return false;
    }
    if (!s->thr_ipending_loaded) {
        s->thr_ipending = (s->iir & 0x0f) == IIR_THRI;
    }
    if (s->tsr_retry && (s->lsr & LSR_TEMT)) {
        error_setg(errp, "serial: inconsistent state in serial device (tsr empty, tsr_retry=%u)",
                   s->tsr_retry);
        return false;
    }
    if (!s->tsr_retry && !(s->lsr & LSR_TEMT)) {
        error_setg(errp, "serial: inconsistent state in serial device (tsr not empty, "
                   "tsr_retry=0)");
        return false;
    }
    serial_apply_fcr(s, s->fcr_vmstate);
    serial_update_irq(s);
    return true;
}

/* ---- subsections ---- */

static bool thr_ipending_needed(void *opaque)
{
    const Serial *s = opaque;

    return (s->ier & IER_THRI) && !!s->thr_ipending != ((s->iir & 0x0f) == IIR_THRI);
}

static bool thr_ipending_post_load(void *opaque, int version_id, GError **errp)
{
    ((Serial *)opaque)->thr_ipending_loaded = true;
    return true;
}

static bool tsr_needed(void *opaque)
{
    return ((Serial *)opaque)->tsr_retry != 0;
}

static bool recv_fifo_needed(void *opaque)
{
    return ((Serial *)opaque)->recv_fifo.num != 0;
}

static bool xmit_fifo_needed(void *opaque)
{
    return ((Serial *)opaque)->xmit_fifo.num != 0;
}

static bool fifo_timeout_needed(void *opaque)
{
    return clock_timer_expire_ns(((Serial *)opaque)->fifo_timeout_timer) >= 0;
}

static bool timeout_ipending_needed(void *opaque)
{
    return ((Serial *)opaque)->timeout_ipending != 0;
}

static bool poll_needed(void *opaque)
{
    return ((Serial *)opaque)->poll_msl > 0;
}

static const VMStateField fifo_fields[] = {
    VMSTATE_BUFFER(data, SerialFifo),
    VMSTATE_UINT32(head, SerialFifo),
    VMSTATE_UINT32(num, SerialFifo),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription fifo_vmstate = {
    .name = "Fifo8", .version_id = 1, .minimum_version_id = 1, .fields = fifo_fields,
};

static const VMStateField thr_ipending_fields[] = {
    VMSTATE_INT32(thr_ipending, Serial),
    VMSTATE_END_OF_LIST(),
};

static const VMStateField tsr_fields[] = {
    VMSTATE_UINT32(tsr_retry, Serial),
    VMSTATE_UINT8(thr, Serial),
    VMSTATE_UINT8(tsr, Serial),
    VMSTATE_END_OF_LIST(),
};

static const VMStateField recv_fifo_fields[] = {
    VMSTATE_STRUCT(recv_fifo, Serial, fifo_vmstate, SerialFifo),
    VMSTATE_END_OF_LIST(),
};

static const VMStateField xmit_fifo_fields[] = {
    VMSTATE_STRUCT(xmit_fifo, Serial, fifo_vmstate, SerialFifo),
    VMSTATE_END_OF_LIST(),
};

static const VMStateField fifo_timeout_fields[] = {
    VMSTATE_TIMER_PTR(fifo_timeout_timer, Serial),
    VMSTATE_END_OF_LIST(),
};

static const VMStateField timeout_ipending_fields[] = {
    VMSTATE_INT32(timeout_ipending, Serial),
    VMSTATE_END_OF_LIST(),
};

static const VMStateField poll_fields[] = {
    VMSTATE_INT32(poll_msl, Serial),
    { .name = "modem_status_poll", .offset = offsetof(Serial, poll_timer), .size = sizeof(void *),
      .info = &vmstate_info_timer, .flags = VMS_POINTER },
    VMSTATE_END_OF_LIST(),
};

#define SUBSECTION(_var, _name, _needed, _fields, _post_load)                              \
    static const VMStateDescription _var = { .name = "serial/" _name, .version_id = 1,     \
        .minimum_version_id = 1, .fields = (_fields), .needed = (_needed),                 \
        .post_load = (_post_load) }

SUBSECTION(sub_thr_ipending, "thr_ipending", thr_ipending_needed, thr_ipending_fields,
           thr_ipending_post_load);
SUBSECTION(sub_tsr, "tsr", tsr_needed, tsr_fields, NULL);
SUBSECTION(sub_recv_fifo, "recv_fifo", recv_fifo_needed, recv_fifo_fields, NULL);
SUBSECTION(sub_xmit_fifo, "xmit_fifo", xmit_fifo_needed, xmit_fifo_fields, NULL);
SUBSECTION(sub_fifo_timeout, "fifo_timeout_timer", fifo_timeout_needed, fifo_timeout_fields, NULL);
SUBSECTION(sub_timeout_ipending, "timeout_ipending", timeout_ipending_needed,
           timeout_ipending_fields, NULL);
SUBSECTION(sub_poll, "poll", poll_needed, poll_fields, NULL);

static const VMStateDescription *const serial_subsections[] = {
    &sub_thr_ipending, &sub_tsr, &sub_recv_fifo, &sub_xmit_fifo, &sub_fifo_timeout,
    &sub_timeout_ipending, &sub_poll, NULL,
};

static const VMStateField serial_core_fields[] = {
    { .name = "divider", .offset = offsetof(Serial, divider), .size = sizeof(uint16_t),
      .info = &vmstate_info_uint16, .version_id = 2 },
    VMSTATE_UINT8(rbr, Serial),
    VMSTATE_UINT8(ier, Serial),
    VMSTATE_UINT8(iir, Serial),
    VMSTATE_UINT8(lcr, Serial),
    VMSTATE_UINT8(mcr, Serial),
    VMSTATE_UINT8(lsr, Serial),
    VMSTATE_UINT8(msr, Serial),
    VMSTATE_UINT8(scr, Serial),
    VMSTATE_UINT8_V(fcr_vmstate, Serial, 3),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription serial_core_vmstate = {
    .name = "serial",
    .version_id = 3,
    .minimum_version_id = 2,
    .fields = serial_core_fields,
    .subsections = serial_subsections,
    .pre_save = serial_pre_save,
    .pre_load = serial_pre_load,
    .post_load = serial_post_load,
};

/* The section is the memory-mapped wrapper; the registers are a struct in it. */
static const VMStateField serial_fields[] = {
    { .name = "serial", .offset = 0, .size = sizeof(Serial), .vmsd = &serial_core_vmstate,
      .flags = VMS_STRUCT },
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription serial_vmstate = {
    .name = "serial",
    .version_id = 3,
    .minimum_version_id = 2,
    .fields = serial_fields,
};
