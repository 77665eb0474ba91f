/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The baseline (migration/baseline.h) as ram/save and the picker see it. Migration thread. */
#ifndef MIGRATION_RAM_BASELINE_H
#define MIGRATION_RAM_BASELINE_H

#include "migration/baseline.h"
#include "migration/mapped/mapped-base.h"
#include "migration/ram/dirty.h"

MappedBase *ram_baseline_base(RamBaseline *b);
/** Instead of ram_dirty_start: dirty is what was written since. The next sync brings the rest. */
void ram_baseline_start(RamBaseline *b, RamDirty *dirty);
/** Instead of ram_dirty_sync: both learn what was written. */
uint64_t ram_baseline_sync(RamBaseline *b, RamDirty *dirty);

#endif
