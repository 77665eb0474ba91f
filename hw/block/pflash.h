/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CFI flash bank of the virt board: memory that reads as an array; only its command state is here. */
#ifndef HW_BLOCK_PFLASH_H
#define HW_BLOCK_PFLASH_H

#include "migration/vmstate.h"

typedef struct PFlash {
    uint8_t wcycle, cmd, status;
    uint64_t counter;
} PFlash;

extern const VMStateDescription pflash_vmstate;

PFlash *pflash_new(void);
void pflash_free(PFlash *flash);

#endif
