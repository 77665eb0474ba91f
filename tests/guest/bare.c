/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bare-metal guests: idle, loadgen, checker and touch in M mode, up to 8 harts. They start in milliseconds
 * and write nothing but what they are asked to, so that RAM can be compared bit for bit.
 *
 * Run as  -M virt -bios none -kernel bare.elf -append "mode=checker size=4M ..."  or, built with
 * -DNO_BOARD, on -M none through -device loader,file=bare-none-checker.elf. Options are described
 * in tests/guest/README.md. Never returns, never touches memory outside its layout:
 *
 *   BASE            image, stacks
 *   BASE + 0x40000  struct check_report of each hart (page-check.h)
 *   BASE + 1 MiB    the buffers, `size` bytes for each hart
 */
#include <stddef.h>
#include <stdint.h>

#include "guest-options.h"
#include "page-check.h"

#define MAX_HARTS 8
#define UART ((volatile uint8_t *)0x10000000)
#define POWER ((volatile uint32_t *)0x100000)
#define CLINT_TIMECMP(hart) (0x2004000 + 8 * (uint64_t)(hart))
#define TICKS_PER_MS 10000 /* the timebase is 10 MHz */

#ifdef NO_BOARD
enum { HAVE_BOARD = 0 };
#else
enum { HAVE_BOARD = 1 };
#endif

#ifndef MODE
#define MODE "idle"
#endif

/* Shared with the trap handler in start.S: offsets matter. One cache line per hart. */
struct hart_tick {
    uint64_t save[3];
    volatile uint64_t ticks;
    uint64_t next;
    uint64_t period;
    uint64_t compare; /* address of mtimecmp, or 0 for stimecmp */
    uint64_t unused;
};

_Static_assert(sizeof(struct hart_tick) == 64, "start.S shifts the hart id by 6");

struct options {
    const char *mode;
    uint64_t size, stride, step, rate, rounds, harts;
    uint64_t tick, print; /* ms: timer period, and one line per so many ms */
    uint64_t regs, sstc;
    uint64_t reset, off; /* by itself, after so many lines of a life; 0: never */
    uint64_t random;
};

/* How long touches took, by their ticks' four leading bits: four buckets for each power of two. */
#define TOUCH_BUCKETS 128
struct touches {
    uint64_t took[TOUCH_BUCKETS];
};

struct hart_tick hart_ticks[MAX_HARTS];
static struct options options;
static struct touches touches[MAX_HARTS];
static volatile uint32_t touch_begun;
static volatile uint32_t options_ready;

void *memset(void *to, int byte, size_t n);
void bare_main(uint64_t hart, const uint8_t *fdt);
void bare_exception(uint64_t cause, uint64_t pc, uint64_t value);

static inline volatile struct check_report *report_of(uint64_t hart)
{
    return (volatile struct check_report *)(BASE + 0x40000) + hart;
}

static inline uint64_t read_time(void)
{
    uint64_t t = 0;

    if (HAVE_BOARD) {
        __asm__ volatile("rdtime %0" : "=r"(t));
    }
    return t;
}

/* The compiler calls it for initialisers. */
void *memset(void *to, int byte, size_t n)
{
    for (uint8_t *p = to; n; n--) {
        *p++ = (uint8_t)byte;
    }
    return to;
}

/* ---- console ---- */

static void put_char(char c)
{
    if (HAVE_BOARD) {
        while (!(UART[5] & 0x20)) {
        }
        UART[0] = (uint8_t)c;
    }
}

static void put_text(const char *text)
{
    while (*text) {
        put_char(*text++);
    }
}

static void put_number(uint64_t value, unsigned base)
{
    char digits[24];
    int n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (n) {
        put_char(digits[--n]);
    }
}

static void put_field(const char *name, uint64_t value)
{
    put_text(name);
    put_number(value, 10);
}

void bare_exception(uint64_t cause, uint64_t pc, uint64_t value)
{
    put_text("bare: exception cause=0x");
    put_number(cause, 16);
    put_text(" pc=0x");
    put_number(pc, 16);
    put_text(" value=0x");
    put_number(value, 16);
    put_text("\n");
}

/* ---- options from the device tree's /chosen/bootargs ---- */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int same_text(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* The first property called bootargs, or "". */
static const char *find_bootargs(const uint8_t *fdt)
{
    if (!fdt || be32(fdt) != 0xd00dfeed) {
        return "";
    }
    const uint8_t *p = fdt + be32(fdt + 8);
    const char *names = (const char *)fdt + be32(fdt + 12);

    for (;;) {
        uint32_t token = be32(p);

        p += 4;
        if (token == 1) { /* a node: skip its name */
            while (*p++) {
            }
            p += -(uintptr_t)p & 3;
        } else if (token == 3) {
            uint32_t length = be32(p);

            if (same_text(names + be32(p + 4), "bootargs")) {
                return (const char *)p + 8;
            }
            p += 8 + ((length + 3) & ~3u);
        } else if (token == 9) {
            return "";
        }
    }
}

static void parse_options(const char *args)
{
    static const struct {
        const char *name;
        size_t offset;
    } numbers[] = {
        {"size", offsetof(struct options, size)},     {"stride", offsetof(struct options, stride)},
        {"step", offsetof(struct options, step)},     {"rate", offsetof(struct options, rate)},
        {"rounds", offsetof(struct options, rounds)}, {"tick", offsetof(struct options, tick)},
        {"print", offsetof(struct options, print)},   {"regs", offsetof(struct options, regs)},
        {"sstc", offsetof(struct options, sstc)},     {"harts", offsetof(struct options, harts)},
        {"reset", offsetof(struct options, reset)},   {"off", offsetof(struct options, off)},
        {"random", offsetof(struct options, random)},
    };

    options = (struct options){.mode = MODE, .size = HAVE_BOARD ? 4 << 20 : 1 << 20, .stride = 1 << 10, .step = 32,
                               .tick = 10, .print = 100, .regs = 1, .harts = MAX_HARTS};
    while (*args) {
        const char *value = guest_option(args, "mode");

        if (value) {
            options.mode = value;
        }
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            value = guest_option(args, numbers[i].name);
            if (value) {
                *(uint64_t *)((char *)&options + numbers[i].offset) = guest_number(value);
            }
        }
        while (*args && *args != ' ') {
            args++;
        }
        while (*args == ' ') {
            args++;
        }
    }
}

/* ---- timer ---- */

static void start_timer(uint64_t hart)
{
    struct hart_tick *t = &hart_ticks[hart];

    if (!HAVE_BOARD) {
        return;
    }
    t->period = options.tick * TICKS_PER_MS;
    t->next = read_time() + t->period;
    if (options.sstc) {
        t->compare = 0;
        __asm__ volatile("csrs 0x30a, %0" ::"r"(1ull << 63)); /* menvcfg.STCE */
        __asm__ volatile("csrw 0x14d, %0" ::"r"(t->next));
        __asm__ volatile("csrs mie, %0" ::"r"(1 << 5));
    } else {
        t->compare = CLINT_TIMECMP(hart);
        *(volatile uint64_t *)t->compare = t->next;
        __asm__ volatile("csrs mie, %0" ::"r"(1 << 7));
    }
    __asm__ volatile("csrs mstatus, 8");
}

/* ---- what hart 0 says, and hears ---- */

static void print_status(void)
{
    uint64_t bad = 0, back = 0, regs = 0;
    volatile struct check_report *first = NULL;
    struct hart_tick *t = &hart_ticks[0];
    uint64_t ticks, due;

    do { /* again when an interrupt fell in between */
        ticks = t->ticks;
        due = (read_time() - (*(volatile uint64_t *)&t->next - (ticks + 1) * t->period)) / t->period;
    } while (ticks != t->ticks);

    for (const char *p = options.mode; *p && *p != ' '; p++) {
        put_char(*p);
    }
    put_text(": gen=");
    for (uint64_t i = 0; i < MAX_HARTS && report_of(i)->magic == CHECK_MAGIC; i++) {
        volatile struct check_report *r = report_of(i);

        if (i) {
            put_char(',');
        }
        put_number(r->generation, 10);
        bad += r->bad;
        back += r->back;
        regs += r->registers;
        if (r->bad && !first) {
            first = r;
        }
    }
    put_field(" ticks=", ticks);
    put_field(" late=", due > ticks ? due - ticks : 0);
    put_field(" ms=", read_time() / TICKS_PER_MS);
    put_field(" bad=", bad);
    put_field(" back=", back);
    put_field(" regs=", regs);
    if (first) {
        put_field(" first=page:", first->bad_page);
        put_field(",word:", first->bad_word);
        put_text(",expected:");
        put_number(first->expected, 16);
        put_text(",got:");
        put_number(first->got, 16);
    }
    put_char('\n');
}

/* "touches: T:COUNT ...": COUNT took at least T ticks and less than the next T there could be. */
static void print_touches(void)
{
    put_text("touches:");
    for (unsigned i = 0; i < TOUCH_BUCKETS; i++) {
        uint64_t count = 0;

        for (uint64_t hart = 0; hart < MAX_HARTS; hart++) {
            count += touches[hart].took[i];
        }
        if (count) {
            put_char(' ');
            put_number(i < 4 ? i : (4 + i % 4) << (i / 4 - 1), 10);
            put_field(":", count);
        }
    }
    put_char('\n');
}

/* Input is echoed as "input: C"; g begins to touch, t tells of it, q powers off, r resets, x fails with code 3. */
static void read_input(void)
{
    while (UART[5] & 1) {
        char c = (char)UART[0];

        put_text("input: ");
        put_char(c);
        put_char('\n');
        if (c == 'g') {
            touch_begun = 1;
        } else if (c == 't') {
            print_touches();
        } else if (c == 'q') {
            *POWER = 0x5555;
        } else if (c == 'r') {
            *POWER = 0x7777;
        } else if (c == 'x') {
            *POWER = 0x33333;
        }
    }
}

/* A guest that resets or powers off by itself. */
static void end_life(uint64_t lines)
{
    if (options.off && lines >= options.off) {
        *POWER = 0x5555;
    }
    if (options.reset && lines >= options.reset) {
        *POWER = 0x7777;
    }
}

/* Called often by every hart: clock check, and on hart 0 the console. */
static void poll(uint64_t hart)
{
    static uint64_t last[MAX_HARTS], printed, lines;
    uint64_t now = read_time();

    if (!HAVE_BOARD) {
        return;
    }
    if (now < last[hart]) {
        report_of(hart)->back++;
    }
    last[hart] = now;
    report_of(hart)->ticks = hart_ticks[hart].ticks;
    if (hart == 0) {
        uint64_t due = hart_ticks[0].ticks * options.tick / options.print;

        if (due > printed) {
            printed = due;
            print_status();
            read_input();
            end_life(++lines);
        }
    }
}

static void rest(uint64_t hart)
{
    __asm__ volatile("wfi");
    poll(hart);
}

/* Keep to `rate` things per second. */
static void pace(uint64_t hart, uint64_t start, uint64_t done)
{
    poll(hart);
    while (options.rate &&
           done * (1000 * TICKS_PER_MS) > options.rate * (read_time() - start)) {
        rest(hart);
    }
}

/* ---- the jobs ---- */

static void run_loadgen(uint64_t hart, volatile uint8_t *buffer)
{
    volatile struct check_report *r = report_of(hart);
    uint64_t done = 0, start = read_time();

    for (uint64_t g = 0; !options.rounds || g < options.rounds; g++) {
        for (uint64_t i = 0; i < options.size; i += options.stride) {
            if (buffer[i] != (uint8_t)g) {
                r->bad++;
            }
            buffer[i] = (uint8_t)(g + 1);
            if (++done % 256 == 0) {
                pace(hart, start, done);
            }
        }
        r->generation = g + 1;
    }
}

static void run_checker(uint64_t hart, volatile uint64_t *buffer)
{
    struct check_report mine = {.magic = CHECK_MAGIC};
    volatile struct check_report *r = report_of(hart);
    uint64_t first = (hart + 1) << 16, pages = options.size / PAGE_BYTES;
    uint64_t done = 0, start = read_time();
    unsigned step = (unsigned)options.step;

    for (uint64_t p = 0; p < pages; p++) {
        page_check_fill(buffer + p * PAGE_WORDS, first + p, step, 0);
    }
    for (uint64_t g = 0; !options.rounds || g < options.rounds; g++) {
        for (uint64_t p = 0; p < pages; p++) {
            volatile uint64_t *page = buffer + p * PAGE_WORDS;

            page_check_verify(page, first + p, step, g, &mine);
            page_check_stamp(page, first + p, step, g + 1);
            if (options.regs) {
                mine.registers += register_check(g ^ p << 32, 20);
            }
            if (mine.bad && r->bad == 0) {
                r->bad_page = mine.bad_page;
                r->bad_word = mine.bad_word;
                r->expected = mine.expected;
                r->got = mine.got;
            }
            r->bad = mine.bad;
            r->registers = mine.registers;
            pace(hart, start, ++done);
        }
        r->generation = g + 1;
    }
}

/* The highest bit that is set; of 0 and 1: 0. */
static unsigned log2_of(uint64_t n)
{
    unsigned bits = 0;

    while (n >>= 1) {
        bits++;
    }
    return bits;
}

static unsigned touch_bucket(uint64_t ticks)
{
    unsigned e = log2_of(ticks);
    unsigned i = ticks < 4 ? (unsigned)ticks : (e - 1) * 4 + (unsigned)(ticks >> (e - 2) & 3);

    return i < TOUCH_BUCKETS ? i : TOUCH_BUCKETS - 1;
}

/* The i-th page of 2^bits: each comes once. */
static uint64_t shuffled(uint64_t i, unsigned bits)
{
    uint64_t mask = (1ull << bits) - 1, half = (bits + 1) / 2;

    for (int turn = 0; options.random && turn < 2; turn++) {
        i = (i * 0x9e3779b1 + 0x7f4a7c15) & mask;
        i ^= i >> half;
    }
    return i;
}

/* When told, reads one word of each page once and notes how long it took to be there. */
static void run_touch(uint64_t hart, volatile uint64_t *buffer)
{
    volatile struct check_report *r = report_of(hart);
    unsigned bits = log2_of(options.size / PAGE_BYTES);

    for (uint64_t p = 0; p < 1ull << bits; p++) {
        buffer[p * PAGE_WORDS] = p + 1;
    }
    while (!touch_begun) {
        rest(hart);
    }
    for (uint64_t i = 0; i < 1ull << bits; i++) {
        uint64_t p = shuffled(i, bits), start = read_time();
        uint64_t got = buffer[p * PAGE_WORDS];

        touches[hart].took[touch_bucket(read_time() - start)]++;
        r->bad += got != p + 1;
        if (i % 64 == 0) {
            poll(hart);
        }
    }
    r->generation = 1;
}

void bare_main(uint64_t hart, const uint8_t *fdt)
{
    if (hart == 0) {
        for (uint64_t i = 0; i < MAX_HARTS; i++) {
            report_of(i)->magic = 0;
        }
        parse_options(find_bootargs(fdt));
        __sync_synchronize();
        options_ready = 1;
    }
    while (!options_ready) {
    }
    __sync_synchronize();
    if (hart >= options.harts) {
        return;
    }
    volatile struct check_report *r = report_of(hart);

    r->generation = r->bad = r->back = r->registers = r->ticks = 0;
    r->bad_page = r->bad_word = r->expected = r->got = 0;
    r->magic = CHECK_MAGIC;
    start_timer(hart);

    uint8_t *buffer = (uint8_t *)(uintptr_t)(BASE + 0x100000 + hart * options.size);

    if (options.mode[0] == 'l') {
        for (uint64_t i = 0; i < options.size; i += options.stride) {
            buffer[i] = 0; /* after a reset it holds what the last life left */
        }
        run_loadgen(hart, buffer);
    } else if (options.mode[0] == 'c') {
        run_checker(hart, (volatile uint64_t *)buffer);
    } else if (options.mode[0] == 't') {
        run_touch(hart, (volatile uint64_t *)buffer);
    }
    while (HAVE_BOARD) {
        rest(hart);
    }
}
