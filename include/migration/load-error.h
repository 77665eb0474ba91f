/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a stream is refused, where the user can do something about it: the code
 * of an error says so from where it arises to destination/hints.c, which has
 * an advice for each. Other errors of loading stay FERRY_ERROR.
 */
#ifndef MIGRATION_LOAD_ERROR_H
#define MIGRATION_LOAD_ERROR_H

#include "util/error.h"

/** Error domain; for error_set_domain. */
#define LOAD_ERROR load_error_quark()

typedef enum LoadError {
    LOAD_ERROR_SECTION_UNKNOWN,     /* no such device here */
    LOAD_ERROR_SECTION_VERSION,     /* of no QEMU that is known here */
    LOAD_ERROR_FOOTER,              /* a section is longer or shorter than its device here */
    LOAD_ERROR_BLOCK_UNKNOWN,       /* no such memory here */
    LOAD_ERROR_ROM_UNKNOWN,         /* nor such tables of the firmware's */
    LOAD_ERROR_BLOCK_SIZE,          /* memory of another size */
    LOAD_ERROR_FLASH_SIZE,
    LOAD_ERROR_MACHINE_TYPE,
    LOAD_ERROR_UUID,
    LOAD_ERROR_PART,            /* a file whose writer did not come to its end */
    LOAD_ERROR_CAPABILITY,          /* one side has set what the other has not */
    LOAD_ERROR_CPU_LACKS,           /* the guest uses what this CPU has not */
    LOAD_ERROR_PEER_ENDED,          /* the connection or command has ended in the middle */
    LOAD_ERROR__MAX,
} LoadError;

GQuark load_error_quark(void);

#endif
