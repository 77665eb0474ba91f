/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See checksum.h. */
#include "util/checksum.h"

#include <glib.h>
#include "config-host.h"

#ifdef CONFIG_XXHASH
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>    /* what this processor can do, not what all can */
#endif

bool checksum_available(void)
{
    return true;
}

uint64_t checksum_of(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

Checksum *checksum_new(void)
{
    XXH3_state_t *s = XXH3_createState();

    if (!s || XXH3_64bits_reset(s) != XXH_OK) {
        g_error("no memory for a checksum");
    }
    return (Checksum *)s;
}

void checksum_add(Checksum *c, const void *data, size_t len)
{
    XXH3_64bits_update((XXH3_state_t *)c, data, len);
}

uint64_t checksum_get(const Checksum *c)
{
    return XXH3_64bits_digest((const XXH3_state_t *)c);
}

void checksum_free(Checksum *c)
{
    XXH3_freeState((XXH3_state_t *)c);
}

#else

bool checksum_available(void)
{
    return false;
}

uint64_t checksum_of(const void *data, size_t len)
{
    g_assert_not_reached();
}

Checksum *checksum_new(void)
{
    g_assert_not_reached();
}

void checksum_add(Checksum *c, const void *data, size_t len)
{
    g_assert_not_reached();
}

uint64_t checksum_get(const Checksum *c)
{
    g_assert_not_reached();
}

void checksum_free(Checksum *c)
{
}
#endif
