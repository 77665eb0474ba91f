/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of levels, and which one it shall be. Asked once, when a migration begins. */
#include "migration/codec/simd.h"

#include <string.h>
#include "config-host.h"
#include "migration/codec/levels.h"
#include "migration/codec/xbzrle.h"
#include "migration/codec/zero-page.h"
#include "util/error.h"

static bool plain_supported(void)
{
    return true;
}

const RamSimd ram_simd_plain = {
    .name = "plain",
    .supported = plain_supported,
    .encode = xbzrle_encode,
    .decode = xbzrle_decode,
    .zero = zero_page_check,
};

static const RamSimd *const levels[] = {
    &ram_simd_plain,
#ifdef CONFIG_SIMD_SSE2
    &ram_simd_sse2,
#endif
#ifdef CONFIG_SIMD_AVX2
    &ram_simd_avx2,
#endif
#ifdef CONFIG_SIMD_AVX512
    &ram_simd_avx512,
#endif
#ifdef CONFIG_SIMD_NEON
    &ram_simd_neon,
#endif
#ifdef CONFIG_SIMD_RVV
    &ram_simd_rvv,
#endif
    NULL
};

const RamSimd *const *ram_simd_levels(void)
{
    return levels;
}

const RamSimd *ram_simd_best(void)
{
    const RamSimd *best = &ram_simd_plain;

    for (const RamSimd *const *l = levels; *l; l++) {
        best = (*l)->supported() ? *l : best;
    }
    return best;
}

const RamSimd *ram_simd_find(const char *name, GError **errp)
{
    if (strcmp(name, "auto") == 0) {
        return ram_simd_best();
    }
    for (const RamSimd *const *l = levels; *l; l++) {
        if (strcmp((*l)->name, name) == 0) {
            if ((*l)->supported()) {
                return *l;
            }
            error_setg(errp, "This CPU does not have %s: use x-simd=auto (it would take %s)", name,
                       ram_simd_best()->name);
            return NULL;
        }
    }
    error_setg(errp, "x-simd=%s is not for this architecture, or the compiler did not have it: use "
               "x-simd=auto (it would take %s)", name, ram_simd_best()->name);
    return NULL;
}
