/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AVX-512BW: a compare of 64 bytes is a mask already. */
#include <immintrin.h>
#include "migration/codec/levels.h"
#include "migration/codec/masks.h"

static inline uint64_t diff_64(const uint8_t *a, const uint8_t *b)
{
    return _mm512_cmpneq_epi8_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b));
}

static inline bool any_of_words(const uint8_t *p, size_t words)
{
    const uint8_t *end = p + words * WORD_BYTES;

    for (; end - p >= 4 * WORD_BYTES; p += 4 * WORD_BYTES) {
        __m512i low = _mm512_or_si512(_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64));
        __m512i high = _mm512_or_si512(_mm512_loadu_si512(p + 128), _mm512_loadu_si512(p + 192));
        __m512i any = _mm512_or_si512(low, high);

        if (_mm512_test_epi64_mask(any, any)) {
            return true;
        }
    }
    for (; p < end; p += WORD_BYTES) {
        __m512i any = _mm512_loadu_si512(p);

        if (_mm512_test_epi64_mask(any, any)) {
            return true;
        }
    }
    return false;
}

static bool avx512_supported(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

RAM_SIMD_LEVEL(avx512, "avx512");
