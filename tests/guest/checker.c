/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory checker as a Linux program: stamps pages, verifies them, and reports all the time.
 * Started by tests/guest/init (ferry=checker). page-check.h says what is in a page.
 *
 *   checker [size=8M] [threads=HARTS] [step=32] [rate=0] [tick=500] [flush=0]
 *
 * size is per thread; rate is pages per second and thread, 0: as many as possible; flush=1 has the
 * translations dropped after each page (guest-tlb.h). Once per tick (ms) it prints
 *
 *   checker: gen=G0,G1,... ticks=T late=L ms=MS bad=B back=K regs=R [first=...]
 *
 * gen: finished rounds of each thread; ticks: expirations of an interval timer, late: how many fewer
 * than the clock would have (0 or 1 when none is lost); bad: wrong pages; back: times a clock read
 * went backwards; regs: registers that did not keep their value.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "guest-options.h"
#include "guest-tlb.h"
#include "page-check.h"

struct worker {
    volatile uint64_t *memory;
    uint64_t pages;
    uint64_t first_page; /* number of the first page, so that no two workers share one */
    uint64_t rate;
    volatile uint64_t *flush; /* the page for guest_tlb_flush, or NULL */
    unsigned step;
    unsigned cpu;
    struct check_report report;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Keep to the rate; count the clock going backwards. */
static uint64_t pace(struct worker *w, uint64_t start, uint64_t last, uint64_t done)
{
    uint64_t now = now_ns();

    if (now < last) {
        w->report.back++;
    }
    while (w->rate && done * 1000000000 > w->rate * (now - start)) {
        usleep(1000);
        now = now_ns();
    }
    return now;
}

/* A worker: owns its pages and its report, waits only to keep to the rate, never ends. */
static void *work(void *opaque)
{
    struct worker *w = opaque;
    cpu_set_t set;
    uint64_t done = 0, start = now_ns(), last = start;

    CPU_ZERO(&set);
    CPU_SET(w->cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
    for (uint64_t g = 0;; g++) {
        for (uint64_t i = 0; i < w->pages; i++) {
            volatile uint64_t *page = w->memory + i * PAGE_WORDS;

            page_check_verify(page, w->first_page + i, w->step, g, &w->report);
            page_check_stamp(page, w->first_page + i, w->step, g + 1);
            if (w->flush) {
                guest_tlb_flush(w->flush);
            }
            if (++done % 16 == 0) {
                w->report.registers += register_check(last, 100);
                last = pace(w, start, last, done);
            }
        }
        w->report.generation = g + 1;
    }
    return NULL;
}

static void report(struct worker *workers, unsigned threads, uint64_t ticks, uint64_t late)
{
    struct check_report sum = {0};
    const struct check_report *first = NULL;

    printf("checker: gen=");
    for (unsigned i = 0; i < threads; i++) {
        const struct check_report *r = &workers[i].report;

        printf("%s%llu", i ? "," : "", (unsigned long long)r->generation);
        sum.bad += r->bad;
        sum.back += r->back;
        sum.registers += r->registers;
        if (r->bad && !first) {
            first = r;
        }
    }
    printf(" ticks=%llu late=%llu ms=%llu bad=%llu back=%llu regs=%llu", (unsigned long long)ticks,
           (unsigned long long)late, (unsigned long long)(now_ns() / 1000000),
           (unsigned long long)sum.bad, (unsigned long long)sum.back,
           (unsigned long long)sum.registers);
    if (first) {
        printf(" first=page:%llu,word:%llu,expected:%llx,got:%llx",
               (unsigned long long)first->bad_page, (unsigned long long)first->bad_word,
               (unsigned long long)first->expected, (unsigned long long)first->got);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    uint64_t size = 8 << 20, threads = 0, step = 32, rate = 0, tick = 500, flush = 0;
    const char *v;

    for (int i = 1; i < argc; i++) {
        if ((v = guest_option(argv[i], "size"))) {
            size = guest_number(v);
        } else if ((v = guest_option(argv[i], "threads"))) {
            threads = guest_number(v);
        } else if ((v = guest_option(argv[i], "step"))) {
            step = guest_number(v);
        } else if ((v = guest_option(argv[i], "rate"))) {
            rate = guest_number(v);
        } else if ((v = guest_option(argv[i], "tick"))) {
            tick = guest_number(v);
        } else if ((v = guest_option(argv[i], "flush"))) {
            flush = guest_number(v);
        } else {
            fprintf(stderr, "checker: unknown option %s\n", argv[i]);
            return 2;
        }
    }
    if (threads == 0) {
        threads = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    }
    if (size < PAGE_BYTES || step == 0 || step > PAGE_WORDS || threads > 64 || tick == 0) {
        fprintf(stderr, "checker: size at least 4096, step 1..512, threads 1..64, tick at least 1\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    struct worker *workers = calloc(threads, sizeof(*workers));

    for (unsigned i = 0; i < threads; i++) {
        struct worker *w = &workers[i];

        w->pages = size / PAGE_BYTES;
        w->first_page = (uint64_t)(i + 1) << 16;
        w->rate = rate;
        w->step = (unsigned)step;
        w->cpu = i;
        w->report.magic = CHECK_MAGIC;
        w->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        w->flush = flush ? guest_tlb_page() : NULL;
        if (w->memory == MAP_FAILED || w->flush == MAP_FAILED) {
            perror("checker: mmap");
            return 1;
        }
        for (uint64_t p = 0; p < w->pages; p++) {
            page_check_fill(w->memory + p * PAGE_WORDS, w->first_page + p, w->step, 0);
        }
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, work, &workers[i]) != 0) {
            perror("checker: pthread_create");
            return 1;
        }
    }

    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec period = {
        .it_interval = {(time_t)(tick / 1000), (long)(tick % 1000 * 1000000)},
        .it_value = {(time_t)(tick / 1000), (long)(tick % 1000 * 1000000)},
    };
    uint64_t start = now_ns(), ticks = 0, expired;

    timerfd_settime(timer, 0, &period, NULL);
    while (read(timer, &expired, sizeof(expired)) == sizeof(expired)) {
        uint64_t due = (now_ns() - start) / (tick * 1000000);

        ticks += expired;
        report(workers, (unsigned)threads, ticks, due > ticks ? due - ticks : 0);
    }
    perror("checker: timer");
    return 1;
}
