/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Register bits of the 16550A and what serial.c shares with serial-vmstate.c. */
#ifndef HW_CHAR_SERIAL_REGS_H
#define HW_CHAR_SERIAL_REGS_H

#include "hw/char/serial.h"

#define SERIAL_REGS 8
#define SERIAL_BAUDBASE 230400 /* 3.6864 MHz / 16 */
#define NSEC_PER_SEC 1000000000LL

enum { IER_RDI = 0x01, IER_THRI = 0x02, IER_RLSI = 0x04, IER_MSI = 0x08 };
enum {
    IIR_MSI = 0x00, IIR_NO_INT = 0x01, IIR_THRI = 0x02, IIR_RDI = 0x04, IIR_RLSI = 0x06,
    IIR_CTI = 0x0c, IIR_FE = 0xc0,
};
enum { FCR_FE = 0x01, FCR_RFR = 0x02, FCR_XFR = 0x04 };
enum { LCR_STB = 0x04, LCR_PEN = 0x08, LCR_DLAB = 0x80 };
enum { MCR_OUT2 = 0x08, MCR_LOOP = 0x10 };
enum {
    LSR_DR = 0x01, LSR_OE = 0x02, LSR_BI = 0x10, LSR_INT_ANY = 0x1e, LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
};
enum { MSR_ANY_DELTA = 0x0f, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_DCD = 0x80 };

/** Recomputes IIR and the interrupt line from the registers. */
void serial_update_irq(Serial *s);
/** FIFO mode and trigger level, without emptying the FIFOs. */
void serial_apply_fcr(Serial *s, uint8_t fcr);

#endif
