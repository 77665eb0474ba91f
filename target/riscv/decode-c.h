/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed instructions (C extension, RV64); decode.c's private part. */
#ifndef TARGET_RISCV_DECODE_C_H
#define TARGET_RISCV_DECODE_C_H

#include "target/riscv/decode.h"

/** Fills op, operands and imm of the 16-bit instruction; op stays OP_ILLEGAL if there is none. */
void riscv_decode_c(uint16_t bits, Decoded *out);

#endif
