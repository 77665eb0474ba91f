/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 16550A UART with a chardev behind it. Under the BQL. */
#ifndef HW_CHAR_SERIAL_H
#define HW_CHAR_SERIAL_H

#include "chardev/char.h"
#include "hw/irq.h"
#include "migration/vmstate.h"
#include "softmmu/clock.h"
#include "softmmu/memory.h"

#define UART_FIFO 16

/* A ring as the stream carries it: head is the oldest byte. */
typedef struct SerialFifo {
    uint8_t data[UART_FIFO];
    uint32_t head, num;
} SerialFifo;

typedef struct Serial {
    IRQLine irq;
    Chardev *chr;               /* NULL: nothing connected, output is dropped */
    VirtualClock *clock;
    bool stopped;               /* VM not running: input waits outside */
    ClockTimer *fifo_timeout_timer, *poll_timer;
    /* registers */
    uint16_t divider;
    uint8_t rbr, thr, tsr, ier, iir, lcr, mcr, lsr, msr, scr, fcr, fcr_vmstate;
    SerialFifo recv_fifo, xmit_fifo;
    uint8_t recv_trigger;
    int32_t thr_ipending, timeout_ipending, poll_msl;
    uint32_t tsr_retry;
    bool thr_ipending_loaded;
} Serial;

extern const MemoryRegionOps serial_mmio_ops;
extern const VMStateDescription serial_vmstate;

/** chr may be NULL. baudbase: clock / 16. errp if chr is in use. */
Serial *serial_new(VirtualClock *clock, Chardev *chr, IRQLine irq, GError **errp);
void serial_free(Serial *s);
void serial_reset(Serial *s);
/** While stopped nothing changes the registers from outside. */
void serial_set_running(Serial *s, bool running);
/** How many bytes serial_receive takes now. */
size_t serial_can_receive(void *s);
void serial_receive(void *s, const uint8_t *buf, size_t len);

#endif
