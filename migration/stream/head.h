/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a file begins with that was saved into again (migration-stream 6.10). Pure functions. */
#ifndef MIGRATION_STREAM_HEAD_H
#define MIGRATION_STREAM_HEAD_H

#include <stdbool.h>
#include "migration/stream/format.h"

/** The sum of a head in host order. */
uint64_t mapped_head_sum(const MappedHead *h);
/** A head, all of it, as it was read, into host order. False with errp: it is damaged, or not known. */
bool mapped_head_check(MappedHead *head, GError **errp);

#endif
