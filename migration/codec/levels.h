/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the table in simd.c knows of the levels' files; CONFIG_SIMD_* say which are built. */
#ifndef MIGRATION_CODEC_LEVELS_H
#define MIGRATION_CODEC_LEVELS_H

#include "migration/codec/simd.h"

extern const RamSimd ram_simd_sse2, ram_simd_avx2, ram_simd_avx512, ram_simd_neon, ram_simd_rvv;

#endif
