/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes a guest that arrives by postcopy, with its threads: advice, discards,
 * packages, pages behind the switch, and two later connections with what a
 * recovery says. The first four bytes say where the connections part; the
 * machine has two blocks. Whatever comes is taken or refused with a reason;
 * pages that are here stay as they are.
 *
 * The seeds in corpus/postcopy were written by make-corpus-postcopy.
 */
#include <string.h>
#include "../tiny-machine/arriving.h"

#define CONNECTIONS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Instead of softmmu/report.c: thousands of refusals are not worth a line each. */
void machine_report(const Machine *machine, const char *fmt, ...)
{
}

/* The reader's part of the input. */
static size_t take(const uint8_t **data, size_t *size, size_t want)
{
    size_t n = MIN(want, *size);

    *data += n;
    *size -= n;
    return n;
}

static void await(Arriving *a, uint64_t *missing)
{
    g_autoptr(GError) err = NULL;
    bool broken = arriving_await(a, &err) == PAGE_READERS_BROKEN;
    uint64_t now = present_map_missing(a->t->machine.present);

    g_assert_true(broken == (err != NULL));
    g_assert_true(now <= *missing);     /* what is here stays here */
    *missing = now;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) err = NULL;
    uint64_t missing = 8;

    if (size < 4) {
        return 0;
    }
    size_t parts[CONNECTIONS] = { data[0] << 8 | data[1], data[2] << 8 | data[3], size };
    take(&data, &size, 4);
    Arriving *a = arriving_new(6, 2);
    const uint8_t *at = data;
    size_t n = take(&data, &size, parts[0]);
    bool ok = arriving_load(a, at, n, &err);
    g_assert_true(ok == !err);
    if (a->in.load.ran) {
        await(a, &missing);
        for (int i = 1; i < CONNECTIONS; i++) {
            at = data;
            n = take(&data, &size, parts[i]);
            arriving_recover(a, at, n);
            await(a, &missing);
        }
    }
    arriving_free(a);
    return 0;
}
