/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page out that hands pages to parallel channels; all else goes into the stream. */
#ifndef MIGRATION_MULTIFD_OUT_H
#define MIGRATION_MULTIFD_OUT_H

#include "migration/multifd/send.h"
#include "migration/ram/page-out.h"

/**
 * send must outlive its use, and all its channels be there before the first page. flush_each_section:
 * the destination takes the end of each section for a sync point (QEMU 7.2), else a word says where.
 */
RamPageOut *multifd_out_new(RAMList *ram, MultifdSend *send, bool flush_each_section);

#endif
