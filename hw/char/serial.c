/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A UART: registers, FIFOs, interrupts (machine-virt 2.9, 5). The
 * board maps it; a chardev is behind it. Transmission is as fast as the
 * chardev takes bytes. Its stream tables are in serial-vmstate.c.
 */
#include <string.h>
#include "hw/char/serial-regs.h"

/* ---- FIFOs ---- */

static void fifo_push(SerialFifo *f, uint8_t byte)
{
    if (f->num < UART_FIFO) {
        f->data[(f->head + f->num) % UART_FIFO] = byte;
        f->num++;
    }
}

static uint8_t fifo_pop(SerialFifo *f)
{
    uint8_t byte;

    if (f->num == 0) {
        return 0;
    }
    byte = f->data[f->head];
    f->head = (f->head + 1) % UART_FIFO;
    f->num--;
    return byte;
}

static void fifo_clear(SerialFifo *f)
{
    memset(f, 0, sizeof(*f));
}

/* ---- interrupts ---- */

void serial_update_irq(Serial *s)
{
    uint8_t id = IIR_NO_INT;

    if ((s->ier & IER_RLSI) && (s->lsr & LSR_INT_ANY)) {
        id = IIR_RLSI;
    } else if ((s->ier & IER_RDI) && s->timeout_ipending) {
        id = IIR_CTI;
    } else if ((s->ier & IER_RDI) && (s->lsr & LSR_DR) &&
               (!(s->fcr & FCR_FE) || s->recv_fifo.num >= s->recv_trigger)) {
        id = IIR_RDI;
    } else if ((s->ier & IER_THRI) && s->thr_ipending) {
        id = IIR_THRI;
    } else if ((s->ier & IER_MSI) && (s->msr & MSR_ANY_DELTA)) {
        id = IIR_MSI;
    }
    s->iir = id | (s->iir & 0xf0);
    irq_line_set(&s->irq, id != IIR_NO_INT);
}

void serial_apply_fcr(Serial *s, uint8_t fcr)
{
    static const uint8_t triggers[4] = { 1, 4, 8, 14 };

    s->fcr = fcr & 0xc9;
    if (fcr & FCR_FE) {
        s->iir |= IIR_FE;
        s->recv_trigger = triggers[fcr >> 6];
    } else {
        s->iir &= ~IIR_FE;
    }
}

/* Time of one character at the programmed speed, ns. */
static int64_t serial_char_ns(const Serial *s)
{
    unsigned bits = 1 + 5 + (s->lcr & 3) + ((s->lcr & LCR_STB) ? 2 : 1) + ((s->lcr & LCR_PEN) ? 1 : 0);
    int64_t divider = s->divider ? s->divider : 1;

    return (int64_t)bits * divider * (NSEC_PER_SEC / SERIAL_BAUDBASE);
}

static void serial_arm_timeout(Serial *s)
{
    clock_timer_mod(s->fifo_timeout_timer, virtual_clock_get_ns(s->clock) + 4 * serial_char_ns(s));
}

static void serial_timeout(void *opaque)
{
    Serial *s = opaque;

    if (s->recv_fifo.num) {
        s->timeout_ipending = 1;
        serial_update_irq(s);
    }
}

/* ---- receiving ---- */

size_t serial_can_receive(void *opaque)
{
    const Serial *s = opaque;

    if (s->stopped || (s->mcr & MCR_LOOP)) {
        return 0;
    }
    if (!(s->fcr & FCR_FE)) {
        return !(s->lsr & LSR_DR);
    }
    /* Up to the trigger level at once, then one by one: the guest sees one interrupt per burst. */
    if (s->recv_fifo.num >= UART_FIFO) {
        return 0;
    }
    return s->recv_fifo.num < s->recv_trigger ? s->recv_trigger - s->recv_fifo.num : 1;
}

static void serial_receive_byte(Serial *s, uint8_t byte)
{
    if (s->fcr & FCR_FE) {
        if (s->recv_fifo.num == UART_FIFO) {
            s->lsr |= LSR_OE;
        } else {
            fifo_push(&s->recv_fifo, byte);
        }
        s->lsr |= LSR_DR;
        serial_arm_timeout(s);
    } else {
        if (s->lsr & LSR_DR) {
            s->lsr |= LSR_OE;
        }
        s->rbr = byte;
        s->lsr |= LSR_DR;
    }
}

void serial_receive(void *opaque, const uint8_t *buf, size_t len)
{
    Serial *s = opaque;

    for (size_t i = 0; i < len; i++) {
        serial_receive_byte(s, buf[i]);
    }
    serial_update_irq(s);
}

static void serial_accept_input(Serial *s)
{
    if (s->chr) {
        chardev_accept_input(s->chr);
    }
}

static uint8_t serial_read_rbr(Serial *s)
{
    uint8_t byte;

    if (s->fcr & FCR_FE) {
        byte = fifo_pop(&s->recv_fifo);
        if (s->recv_fifo.num == 0) {
            s->lsr &= ~(LSR_DR | LSR_BI);
            clock_timer_del(s->fifo_timeout_timer);
        } else {
            serial_arm_timeout(s);
        }
        s->timeout_ipending = 0;
    } else {
        byte = s->rbr;
        s->lsr &= ~(LSR_DR | LSR_BI);
    }
    serial_update_irq(s);
    if (!(s->mcr & MCR_LOOP)) {
        serial_accept_input(s);
    }
    return byte;
}

/* ---- transmitting ---- */

static bool serial_send(Serial *s, uint8_t byte)
{
    if (s->mcr & MCR_LOOP) {
        serial_receive_byte(s, byte);
        return true;
    }
    return !s->chr || chardev_write(s->chr, &byte, 1) == 1;
}

/* Moves bytes out until all are gone or the chardev is full; then CHARDEV_WRITABLE goes on. */
static void serial_transmit(Serial *s)
{
    for (;;) {
        if (!s->tsr_retry) {
            if (s->fcr & FCR_FE) {
                if (s->xmit_fifo.num == 0) {
                    break;
                }
                s->tsr = fifo_pop(&s->xmit_fifo);
                if (s->xmit_fifo.num == 0) {
                    s->lsr |= LSR_THRE;
                }
            } else {
                if (s->lsr & LSR_THRE) {
                    break;
                }
                s->tsr = s->thr;
                s->lsr |= LSR_THRE;
            }
            if ((s->lsr & LSR_THRE) && !s->thr_ipending) {
                s->thr_ipending = 1;
            }
        }
        if (!serial_send(s, s->tsr)) {
            s->tsr_retry = 1;
            s->lsr &= ~LSR_TEMT;
            serial_update_irq(s);
            return;
        }
        s->tsr_retry = 0;
    }
    s->lsr |= LSR_TEMT;
    serial_update_irq(s);
}

static void serial_write_thr(Serial *s, uint8_t byte)
{
    s->thr = byte;
    if (s->fcr & FCR_FE) {
        if (s->xmit_fifo.num == UART_FIFO) {
            fifo_pop(&s->xmit_fifo); /* overrun: the newest byte stays */
        }
        fifo_push(&s->xmit_fifo, byte);
    }
    s->thr_ipending = 0;
    s->lsr &= ~(LSR_THRE | LSR_TEMT);
    serial_update_irq(s);
    if (!s->tsr_retry) {
        serial_transmit(s);
    }
}

/* ---- registers ---- */

static uint8_t serial_msr(const Serial *s)
{
    if (!(s->mcr & MCR_LOOP)) {
        return s->msr;
    }
    /* Loopback: the modem outputs are the inputs. */
    return (s->mcr & 0x0c) << 4 | (s->mcr & 0x02) << 3 | (s->mcr & 0x01) << 5;
}

static uint8_t serial_read_reg(Serial *s, unsigned reg)
{
    uint8_t value;

    switch (reg) {
    case 0:
        return s->lcr & LCR_DLAB ? s->divider & 0xff : serial_read_rbr(s);
    case 1:
        return s->lcr & LCR_DLAB ? s->divider >> 8 : s->ier;
    case 2:
        value = s->iir;
        if ((value & 0x0f) == IIR_THRI) {
            s->thr_ipending = 0;
            serial_update_irq(s);
        }
        return value;
    case 3:
        return s->lcr;
    case 4:
        return s->mcr;
    case 5:
        value = s->lsr;
        if (s->lsr & (LSR_BI | LSR_OE)) {
            s->lsr &= ~(LSR_BI | LSR_OE);
            serial_update_irq(s);
        }
        return value;
    case 6:
        value = serial_msr(s);
        if (!(s->mcr & MCR_LOOP) && (s->msr & MSR_ANY_DELTA)) {
            s->msr &= 0xf0;
            serial_update_irq(s);
        }
        return value;
    default:
        return s->scr;
    }
}

static void serial_write_ier(Serial *s, uint8_t value)
{
    uint8_t changed = (s->ier ^ value) & 0x0f;

    s->ier = value & 0x0f;
    /* Turning the THR interrupt on raises it at once if the register is empty. */
    if ((changed & IER_THRI) && (s->ier & IER_THRI) && (s->lsr & LSR_THRE)) {
        s->thr_ipending = 1;
    }
    serial_update_irq(s);
}

static void serial_write_fcr(Serial *s, uint8_t value)
{
    if ((value ^ s->fcr) & FCR_FE) {
        value |= FCR_XFR | FCR_RFR; /* switching FIFO mode empties both */
    }
    if (value & FCR_RFR) {
        s->lsr &= ~(LSR_DR | LSR_BI);
        clock_timer_del(s->fifo_timeout_timer);
        s->timeout_ipending = 0;
        fifo_clear(&s->recv_fifo);
    }
    if (value & FCR_XFR) {
        s->lsr |= LSR_THRE;
        s->thr_ipending = 1;
        fifo_clear(&s->xmit_fifo);
    }
    serial_apply_fcr(s, value);
    serial_update_irq(s);
    serial_accept_input(s);
}

static void serial_write_reg(Serial *s, unsigned reg, uint8_t value)
{
    switch (reg) {
    case 0:
        if (s->lcr & LCR_DLAB) {
            s->divider = (s->divider & 0xff00) | value;
        } else {
            serial_write_thr(s, value);
        }
        break;
    case 1:
        if (s->lcr & LCR_DLAB) {
            s->divider = (s->divider & 0x00ff) | value << 8;
        } else {
            serial_write_ier(s, value);
        }
        break;
    case 2:
        serial_write_fcr(s, value);
        break;
    case 3:
        s->lcr = value;
        break;
    case 4:
        s->mcr = value & 0x1f;
        serial_accept_input(s);
        break;
    case 7:
        s->scr = value;
        break;
    default:
        break; /* LSR and MSR are read only */
    }
}

/* Wide accesses reach one register each, as QEMU's byte-wide window does. */
static MemTxResult serial_mmio_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < size && offset + i < SERIAL_REGS; i++) {
        *value |= (uint64_t)serial_read_reg(opaque, offset + i) << (8 * i);
    }
    return MEMTX_OK;
}

static MemTxResult serial_mmio_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size && offset + i < SERIAL_REGS; i++) {
        serial_write_reg(opaque, offset + i, value >> (8 * i));
    }
    return MEMTX_OK;
}

const MemoryRegionOps serial_mmio_ops = { serial_mmio_read, serial_mmio_write };

/* ---- life ---- */

static void serial_event(void *opaque, ChardevEvent event)
{
    Serial *s = opaque;

    if (event == CHARDEV_WRITABLE && s->tsr_retry && !s->stopped) {
        serial_transmit(s);
    } else if (event == CHARDEV_BREAK) {
        serial_receive_byte(s, 0);
        s->lsr |= LSR_BI;
        serial_update_irq(s);
    }
}

static void serial_change(void *opaque, Chardev *chr)
{
    ((Serial *)opaque)->chr = chr;
}

static const ChardevFrontend serial_frontend = {
    serial_can_receive, serial_receive, serial_event, serial_change,
};

/* Modem lines never change here; the timer exists so that a stream that polls them can be taken. */
static void serial_poll(void *opaque)
{
}

Serial *serial_new(VirtualClock *clock, Chardev *chr, IRQLine irq, GError **errp)
{
    Serial *s = g_new0(Serial, 1);

    s->clock = clock;
    s->irq = irq;
    s->fifo_timeout_timer = clock_timer_new(clock, serial_timeout, s);
    s->poll_timer = clock_timer_new(clock, serial_poll, s);
    s->stopped = true;
    serial_reset(s);
    if (chr) {
        if (!chardev_attach(chr, &serial_frontend, s, errp)) {
            serial_free(s);
            return NULL;
        }
        s->chr = chr;
    }
    return s;
}

void serial_free(Serial *s)
{
    if (s->chr) {
        chardev_detach(s->chr, s);
    }
    clock_timer_free(s->fifo_timeout_timer);
    clock_timer_free(s->poll_timer);
    g_free(s);
}

void serial_reset(Serial *s)
{
    s->divider = 0x0c;
    s->rbr = s->thr = s->tsr = s->ier = s->lcr = s->scr = 0;
    s->iir = IIR_NO_INT;
    s->mcr = MCR_OUT2;
    s->lsr = LSR_TEMT | LSR_THRE;
    s->msr = MSR_DCD | MSR_DSR | MSR_CTS;
    s->tsr_retry = 0;
    s->thr_ipending = s->timeout_ipending = s->poll_msl = 0;
    s->fcr = s->fcr_vmstate = 0;
    s->recv_trigger = 1;
    clock_timer_del(s->fifo_timeout_timer);
    clock_timer_del(s->poll_timer);
    fifo_clear(&s->recv_fifo);
    fifo_clear(&s->xmit_fifo);
    serial_update_irq(s);
}

void serial_set_running(Serial *s, bool running)
{
    s->stopped = !running;
    if (running) {
        if (s->tsr_retry || s->xmit_fifo.num) {
            serial_transmit(s);
        }
        serial_accept_input(s);
    }
}
