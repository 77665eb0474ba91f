/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AVX2: two compares of 32 bytes for each mask. */
#include <immintrin.h>
#include "migration/codec/levels.h"
#include "migration/codec/masks.h"

static inline uint32_t equal_32(const uint8_t *a, const uint8_t *b)
{
    __m256i x = _mm256_loadu_si256((const void *)a), y = _mm256_loadu_si256((const void *)b);

    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, y));
}

static inline uint64_t diff_64(const uint8_t *a, const uint8_t *b)
{
    return ~(equal_32(a, b) | (uint64_t)equal_32(a + 32, b + 32) << 32);
}

static inline __m256i or_64(const uint8_t *p)
{
    return _mm256_or_si256(_mm256_loadu_si256((const void *)p),
                           _mm256_loadu_si256((const void *)(p + 32)));
}

static inline bool any_of_words(const uint8_t *p, size_t words)
{
    const uint8_t *end = p + words * WORD_BYTES;

    for (; end - p >= 2 * WORD_BYTES; p += 2 * WORD_BYTES) {
        __m256i any = _mm256_or_si256(or_64(p), or_64(p + WORD_BYTES));

        if (!_mm256_testz_si256(any, any)) {
            return true;
        }
    }
    if (p < end) {
        __m256i any = or_64(p);

        return !_mm256_testz_si256(any, any);
    }
    return false;
}

static bool avx2_supported(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

RAM_SIMD_LEVEL(avx2, "avx2");
