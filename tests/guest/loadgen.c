/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load generator of the founding measurements, as a Linux program: one byte is incremented
 * every 1 KiB of a 16 MiB buffer, forever. Started by tests/guest/init (ferry=loadgen).
 *
 *   loadgen [size=16M] [stride=1K] [rate=0] [tick=1000] [fill=0] [flush=0]
 *
 * rate is the number of increments per second, 0: as many as possible; fill is memory that is
 * written once at the start, so that a migration has something to carry in its first pass; flush=1
 * has the translations dropped at each page (guest-tlb.h). Once per tick (ms) it prints
 *
 *   loadgen: gen=ROUNDS ms=MONOTONIC bad=BAD
 *
 * where ROUNDS counts finished rounds over the buffer. After each round all bytes hold the same
 * value, so BAD, the number of bytes found different from their predecessor's, stays 0.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest-options.h"
#include "guest-tlb.h"

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    uint64_t size = 16 << 20, stride = 1 << 10, rate = 0, tick = 1000, fill = 0;
    volatile uint64_t *flush = NULL;
    const char *v;

    for (int i = 1; i < argc; i++) {
        if ((v = guest_option(argv[i], "size"))) {
            size = guest_number(v);
        } else if ((v = guest_option(argv[i], "stride"))) {
            stride = guest_number(v);
        } else if ((v = guest_option(argv[i], "rate"))) {
            rate = guest_number(v);
        } else if ((v = guest_option(argv[i], "tick"))) {
            tick = guest_number(v);
        } else if ((v = guest_option(argv[i], "fill"))) {
            fill = guest_number(v);
        } else if ((v = guest_option(argv[i], "flush"))) {
            flush = guest_number(v) ? guest_tlb_page() : NULL;
        } else {
            fprintf(stderr, "loadgen: unknown option %s\n", argv[i]);
            return 2;
        }
    }
    if (size == 0 || stride == 0 || stride > size || tick == 0) {
        fprintf(stderr, "loadgen: size, stride and tick must be positive, stride at most size\n");
        return 2;
    }
    volatile unsigned char *buffer =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (buffer == MAP_FAILED || flush == MAP_FAILED) {
        perror("loadgen: mmap");
        return 1;
    }
    if (fill) {
        unsigned char *ballast =
            mmap(NULL, fill, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (ballast == MAP_FAILED) {
            perror("loadgen: mmap");
            return 1;
        }
        for (uint64_t offset = 0; offset < fill; offset += 4096) {
            *(uint64_t *)(ballast + offset) = offset * 0x9e3779b97f4a7c15ull | 1;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    uint64_t rounds = 0, bad = 0, done = 0, start = now_ms(), next = start + tick;

    for (;;) {
        for (uint64_t offset = 0; offset < size; offset += stride) {
            if (buffer[offset] != (unsigned char)rounds) {
                bad++;
            }
            buffer[offset] = (unsigned char)(rounds + 1);
            if (flush && offset % 4096 == 0) {
                guest_tlb_flush(flush);
            }
            done++;
            /* Looking at the clock is dearer than an increment: do it now and then. */
            if (done % 4096 == 0 || (rate && done % 64 == 0)) {
                uint64_t now = now_ms();

                while (rate && done * 1000 > rate * (now - start)) {
                    usleep(1000);
                    now = now_ms();
                }
                if (now >= next) {
                    printf("loadgen: gen=%llu ms=%llu bad=%llu\n", (unsigned long long)rounds,
                           (unsigned long long)now, (unsigned long long)bad);
                    next = now - (now - next) % tick + tick;
                }
            }
        }
        rounds++;
    }
}
