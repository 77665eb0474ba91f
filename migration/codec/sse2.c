/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SSE2, which every x86-64 has: four compares of 16 bytes for each mask. */
#include <emmintrin.h>
#include "migration/codec/levels.h"
#include "migration/codec/masks.h"

static inline uint64_t equal_16(const uint8_t *a, const uint8_t *b)
{
    __m128i x = _mm_loadu_si128((const void *)a), y = _mm_loadu_si128((const void *)b);

    return (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y));
}

static inline uint64_t diff_64(const uint8_t *a, const uint8_t *b)
{
    return ~(equal_16(a, b) | equal_16(a + 16, b + 16) << 16 | equal_16(a + 32, b + 32) << 32 |
             equal_16(a + 48, b + 48) << 48);
}

static inline __m128i or_32(const uint8_t *p)
{
    return _mm_or_si128(_mm_loadu_si128((const void *)p), _mm_loadu_si128((const void *)(p + 16)));
}

static inline bool any_of_words(const uint8_t *p, size_t words)
{
    for (size_t k = 0; k < words; k++, p += WORD_BYTES) {
        __m128i any = _mm_or_si128(or_32(p), or_32(p + 32));

        if (_mm_movemask_epi8(_mm_cmpeq_epi8(any, _mm_setzero_si128())) != 0xffff) {
            return true;
        }
    }
    return false;
}

static bool sse2_supported(void)
{
    return true;
}

RAM_SIMD_LEVEL(sse2, "sse2");
