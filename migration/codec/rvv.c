/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The RISC-V vector extension, whatever the length of its registers. */
#include <riscv_vector.h>
#include <sys/auxv.h>
#include "migration/codec/levels.h"
#include "migration/codec/masks.h"

#define HWCAP_V (1UL << ('V' - 'A'))

static inline uint64_t diff_64(const uint8_t *a, const uint8_t *b)
{
    uint64_t mask = 0;
    size_t vl;

    for (size_t at = 0; at < WORD_BYTES; at += vl) {
        uint8_t bits[8] = { 0 };
        uint64_t word;

        /* With registers of 128 bits, eight of them at once are all 64 bytes in one go. */
        vl = __riscv_vsetvl_e8m4(WORD_BYTES - at);
        __riscv_vsm_v_b2(bits, __riscv_vmsne_vv_u8m4_b2(__riscv_vle8_v_u8m4(a + at, vl),
                                                        __riscv_vle8_v_u8m4(b + at, vl), vl), vl);
        memcpy(&word, bits, sizeof(word));
        mask |= (vl < WORD_BYTES ? word & ((1ULL << vl) - 1) : word) << at;
    }
    return mask;
}

static inline bool any_of_words(const uint8_t *p, size_t words)
{
    size_t left = words * WORD_BYTES, vl;

    for (; left > 0; left -= vl, p += vl) {
        vl = __riscv_vsetvl_e8m8(left);
        vbool1_t set = __riscv_vmsne_vx_u8m8_b1(__riscv_vle8_v_u8m8(p, vl), 0, vl);

        if (__riscv_vfirst_m_b1(set, vl) >= 0) {
            return true;
        }
    }
    return false;
}

static bool rvv_supported(void)
{
    return getauxval(AT_HWCAP) & HWCAP_V;
}

RAM_SIMD_LEVEL(rvv, "rvv");
