/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virt board. */
#ifndef HW_RISCV_VIRT_H
#define HW_RISCV_VIRT_H

#include "hw/core/board.h"

/** The virt board's part of board_init_ram and board_build. */
bool virt_init_ram(Machine *machine, GError **errp);
bool virt_init(Board *board, GError **errp);

#endif
