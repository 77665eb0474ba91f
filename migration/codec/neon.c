/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NEON, which every arm64 has: a compare's bytes are added up to bits, pair by pair. */
#include <arm_neon.h>
#include "migration/codec/levels.h"
#include "migration/codec/masks.h"

static inline uint8x16_t equal_bits(const uint8_t *a, const uint8_t *b)
{
    static const uint8_t weights[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };

    return vandq_u8(vceqq_u8(vld1q_u8(a), vld1q_u8(b)), vld1q_u8(weights));
}

static inline uint64_t diff_64(const uint8_t *a, const uint8_t *b)
{
    uint8x16_t low = vpaddq_u8(equal_bits(a, b), equal_bits(a + 16, b + 16));
    uint8x16_t high = vpaddq_u8(equal_bits(a + 32, b + 32), equal_bits(a + 48, b + 48));
    uint8x16_t sums = vpaddq_u8(low, high);

    sums = vpaddq_u8(sums, sums);
    return ~vgetq_lane_u64(vreinterpretq_u64_u8(sums), 0);
}

static inline uint8x16_t or_32(const uint8_t *p)
{
    return vorrq_u8(vld1q_u8(p), vld1q_u8(p + 16));
}

static inline bool any_of_words(const uint8_t *p, size_t words)
{
    for (size_t k = 0; k < words; k++, p += WORD_BYTES) {
        if (vmaxvq_u8(vorrq_u8(or_32(p), or_32(p + 32)))) {
            return true;
        }
    }
    return false;
}

static bool neon_supported(void)
{
    return true;
}

RAM_SIMD_LEVEL(neon, "neon");
