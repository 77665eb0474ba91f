/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qtest server: QEMU's line protocol on a chardev, beside running or
 * stopped vCPUs and also without any. Every write marks RAM dirty. Started by
 * vl, used by tests; refuses by "FAIL reason" and never crashes on a line.
 */
#include "softmmu/qtest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "softmmu/runstate.h"
#include "util/error.h"
#include "util/opts.h"

/* Bytes of one transfer: the answer in hex has to fit a chardev's queue. */
#define TRANSFER_MAX_BYTES (16u << 20)
#define LINE_MAX_BYTES (2 * TRANSFER_MAX_BYTES + 256)

struct Qtest {
    Machine *machine;
    Chardev *chr;
    GString *line;      /* received, no newline yet */
    bool skipping;      /* the line was too long: wait for its end */
    int log_fd;         /* -1: none */
    gint64 start_us;
};

/* ---- arguments ---- */

static bool number(const char *text, uint64_t *out, GString *answer)
{
    if (!text || !parse_u64(text, out)) {
        g_string_append_printf(answer, "FAIL expected a number, got '%s'\n", text ? text : "");
        return false;
    }
    return true;
}

static bool transfer_size(const char *text, uint64_t *out, GString *answer)
{
    if (!number(text, out, answer)) {
        return false;
    }
    if (*out == 0 || *out > TRANSFER_MAX_BYTES) {
        g_string_append_printf(answer, "FAIL size %" PRIu64 " is not between 1 and %u\n", *out,
                               TRANSFER_MAX_BYTES);
        return false;
    }
    return true;
}

static void fail_access(GString *answer, uint64_t addr, uint64_t len)
{
    g_string_append_printf(answer,
                           "FAIL no memory or device takes 0x%" PRIx64 " bytes at 0x%" PRIx64 "\n",
                           len, addr);
}

/* ---- memory ---- */

static void written(Qtest *q)
{
    /* Code may have changed behind the CPU; running harts see it at their fence.i. */
    if (q->machine->cpus && !runstate_is_running(q->machine->runstate)) {
        cpus_flush_tlb_all(q->machine->cpus);
    }
}

/* False and an answer: not all of it has come yet. Never waits. */
static bool memory_here(Qtest *q, uint64_t addr, uint64_t len, GString *answer)
{
    MemMissing missing;
    g_autoptr(GError) err = NULL;

    if (address_space_need(q->machine->as, addr, len, PRESENT_USER_MONITOR, &missing)) {
        return true;
    }
    mem_missing_error(&missing, &err);
    g_string_append_printf(answer, "FAIL %s\n", err->message);
    return false;
}

static void write_bytes(Qtest *q, uint64_t addr, const uint8_t *data, uint64_t len, GString *answer)
{
    if (!memory_here(q, addr, len, answer)) {
        return;
    }
    if (address_space_write(q->machine->as, addr, data, len) != MEMTX_OK) {
        fail_access(answer, addr, len);
        return;
    }
    written(q);
    g_string_append(answer, "OK\n");
}

static unsigned width_of(char suffix)
{
    switch (suffix) {
    case 'b': return 1;
    case 'w': return 2;
    case 'l': return 4;
    case 'q': return 8;
    default: return 0;
    }
}

/* readX ADDR */
static void cmd_read_word(Qtest *q, unsigned width, char **args, GString *answer)
{
    uint64_t addr, value = 0;

    if (!number(args[1], &addr, answer) || !memory_here(q, addr, width, answer)) {
        return;
    }
    if (address_space_read(q->machine->as, addr, &value, width) != MEMTX_OK) {
        fail_access(answer, addr, width);
        return;
    }
    g_string_append_printf(answer, "OK 0x%016" PRIx64 "\n", value);
}

/* writeX ADDR VALUE */
static void cmd_write_word(Qtest *q, unsigned width, char **args, GString *answer)
{
    uint64_t addr, value;

    if (number(args[1], &addr, answer) && number(args[1] ? args[2] : NULL, &value, answer)) {
        write_bytes(q, addr, (uint8_t *)&value, width, answer);
    }
}

/* read ADDR SIZE, b64read ADDR SIZE */
static void cmd_read(Qtest *q, bool base64, char **args, GString *answer)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t addr, len;

    if (!number(args[1], &addr, answer) ||
        !transfer_size(args[1] ? args[2] : NULL, &len, answer) ||
        !memory_here(q, addr, len, answer)) {
        return;
    }
    g_autofree uint8_t *data = g_malloc(len);
    if (address_space_read(q->machine->as, addr, data, len) != MEMTX_OK) {
        fail_access(answer, addr, len);
        return;
    }
    if (base64) {
        g_autofree char *text = g_base64_encode(data, len);
        g_string_append_printf(answer, "OK %s\n", text);
        return;
    }
    g_string_append(answer, "OK 0x");
    for (uint64_t i = 0; i < len; i++) {
        g_string_append_c(answer, digits[data[i] >> 4]);
        g_string_append_c(answer, digits[data[i] & 15]);
    }
    g_string_append_c(answer, '\n');
}

/* As QEMU does it: a short text leaves zeros behind it, a long one is cut. */
static bool hex_decode(const char *text, uint8_t *data, uint64_t len)
{
    for (uint64_t i = 0; i < len && text[0]; i++, text += 2) {
        int high = g_ascii_xdigit_value(text[0]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(text[1]);
        if (low < 0) {
            return false;
        }
        data[i] = high << 4 | low;
    }
    return true;
}

/* write ADDR SIZE 0xHEX, b64write ADDR SIZE BASE64 */
static void cmd_write(Qtest *q, bool base64, char **args, GString *answer)
{
    uint64_t addr, len;

    if (!number(args[1], &addr, answer) ||
        !transfer_size(args[1] ? args[2] : NULL, &len, answer)) {
        return;
    }
    const char *text = args[3] ? args[3] : "";
    g_autofree uint8_t *data = g_malloc0(len);
    if (base64) {
        gsize got;
        g_autofree uint8_t *decoded = g_base64_decode(text, &got);
        if (got != len) {
            g_string_append_printf(answer, "FAIL base64 data of %zu bytes, expected %" PRIu64 "\n",
                                   got, len);
            return;
        }
        memcpy(data, decoded, len);
    } else if (!g_str_has_prefix(text, "0x") || !hex_decode(text + 2, data, len)) {
        g_string_append(answer, "FAIL expected hexadecimal data that begins with 0x\n");
        return;
    }
    write_bytes(q, addr, data, len, answer);
}

/* memset ADDR SIZE VALUE */
static void cmd_memset(Qtest *q, char **args, GString *answer)
{
    uint64_t addr, len, value;
    uint8_t chunk[4096];

    if (!number(args[1], &addr, answer) || !number(args[1] ? args[2] : NULL, &len, answer) ||
        !number(args[1] && args[2] ? args[3] : NULL, &value, answer)) {
        return;
    }
    if (!memory_here(q, addr, len, answer)) {
        return;
    }
    memset(chunk, value, sizeof(chunk));
    for (uint64_t done = 0; done < len;) {
        uint64_t n = MIN(len - done, sizeof(chunk));
        if (address_space_write(q->machine->as, addr + done, chunk, n) != MEMTX_OK) {
            fail_access(answer, addr + done, n);
            return;
        }
        done += n;
    }
    written(q);
    g_string_append(answer, "OK\n");
}

/* ---- clock ---- */

static void cmd_clock(Qtest *q, bool set, char **args, GString *answer)
{
    VirtualClock *clock = q->machine->clock;
    int64_t now = virtual_clock_get_ns(clock);
    uint64_t arg;

    if (virtual_clock_running(clock)) {
        g_string_append(answer, "FAIL the clock runs by itself while the machine runs\n");
        return;
    }
    if (args[1] || set) {
        if (!number(args[1], &arg, answer)) {
            return;
        }
        if (arg > INT64_MAX || (!set && (int64_t)arg > INT64_MAX - now)) {
            g_string_append(answer, "FAIL time out of range\n");
            return;
        }
        now = set ? (int64_t)arg : now + (int64_t)arg;
    } else {
        int64_t next = virtual_clock_next_ns(clock);
        now = next < 0 ? now : next;
    }
    virtual_clock_step_to(clock, now);
    g_string_append_printf(answer, "OK %" PRIi64 "\n", virtual_clock_get_ns(clock));
}

/* ---- dispatch ---- */

static bool memory_command(Qtest *q, const char *name, char **args, GString *answer)
{
    size_t len = strlen(name);
    unsigned width = len ? width_of(name[len - 1]) : 0;

    if (len == 5 && width && g_str_has_prefix(name, "read")) {
        cmd_read_word(q, width, args, answer);
    } else if (len == 6 && width && g_str_has_prefix(name, "write")) {
        cmd_write_word(q, width, args, answer);
    } else if (strcmp(name, "read") == 0 || strcmp(name, "b64read") == 0) {
        cmd_read(q, name[0] == 'b', args, answer);
    } else if (strcmp(name, "write") == 0 || strcmp(name, "b64write") == 0) {
        cmd_write(q, name[0] == 'b', args, answer);
    } else if (strcmp(name, "memset") == 0) {
        cmd_memset(q, args, answer);
    } else {
        return false;
    }
    return true;
}

void qtest_command(Qtest *q, const char *line, GString *answer)
{
    static const char *const refused[] = { "irq_intercept_in", "irq_intercept_out", "set_irq_in",
                                           "inb", "inw", "inl", "outb", "outw", "outl",
                                           "module_load", "rtas", NULL };
    g_auto(GStrv) args = g_strsplit(line, " ", -1);
    const char *name = args[0] ? args[0] : "";

    if (memory_command(q, name, args, answer)) {
        return;
    }
    if (strcmp(name, "clock_step") == 0 || strcmp(name, "clock_set") == 0) {
        cmd_clock(q, strcmp(name, "clock_set") == 0, args, answer);
    } else if (strcmp(name, "endianness") == 0) {
        g_string_append(answer, "OK little\n");
    } else if (g_strv_contains(refused, name)) {
        g_string_append_printf(answer, "FAIL %s is not supported by this machine\n", name);
    } else {
        g_string_append_printf(answer, "FAIL Unknown command '%s'\n", name);
    }
}

/* ---- the chardev's side ---- */

static void log_line(Qtest *q, char direction, const char *text, size_t len)
{
    if (q->log_fd >= 0) {
        dprintf(q->log_fd, "[%c +%.6f] %.*s", direction,
                (g_get_monotonic_time() - q->start_us) / 1e6, (int)len, text);
    }
}

static void line_complete(Qtest *q)
{
    g_autoptr(GString) answer = g_string_new(NULL);

    if (q->skipping) {
        g_string_append_printf(answer, "FAIL line longer than %u bytes\n", LINE_MAX_BYTES);
        q->skipping = false;
    } else {
        if (q->line->len && q->line->str[q->line->len - 1] == '\r') {
            g_string_truncate(q->line, q->line->len - 1);
        }
        log_line(q, 'R', q->line->str, q->line->len);
        log_line(q, ' ', "\n", 1);
        qtest_command(q, q->line->str, answer);
    }
    g_string_truncate(q->line, 0);
    log_line(q, 'S', answer->str, answer->len);
    chardev_write_all(q->chr, answer->str, answer->len);
}

static size_t qtest_can_read(void *opaque)
{
    return 65536;
}

static void qtest_read(void *opaque, const uint8_t *buf, size_t len)
{
    Qtest *q = opaque;

    while (len) {
        const uint8_t *end = memchr(buf, '\n', len);
        size_t n = end ? (size_t)(end - buf) : len;
        if (q->line->len + n > LINE_MAX_BYTES) {
            g_string_truncate(q->line, 0);
            q->skipping = true;
        } else if (!q->skipping) {
            g_string_append_len(q->line, (const char *)buf, n);
        }
        if (!end) {
            return;
        }
        line_complete(q);
        buf += n + 1;
        len -= n + 1;
    }
}

static void qtest_event(void *opaque, ChardevEvent event)
{
    Qtest *q = opaque;

    if (event == CHARDEV_CLOSED) {
        g_string_truncate(q->line, 0);
        q->skipping = false;
    }
}

static const ChardevFrontend qtest_frontend = { qtest_can_read, qtest_read, qtest_event };

Qtest *qtest_new(Machine *machine, Chardev *chr, const char *log_path, GError **errp)
{
    Qtest *q = g_new0(Qtest, 1);

    q->machine = machine;
    q->line = g_string_new(NULL);
    q->log_fd = -1;
    q->start_us = g_get_monotonic_time();
    if (log_path && strcmp(log_path, "none") != 0) {
        q->log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (q->log_fd < 0) {
            error_setg_errno(errp, errno, "cannot open qtest log '%s'", log_path);
            qtest_free(q);
            return NULL;
        }
    }
    if (chr && !chardev_attach(chr, &qtest_frontend, q, errp)) {
        qtest_free(q);
        return NULL;
    }
    q->chr = chr;
    return q;
}

void qtest_free(Qtest *q)
{
    if (q) {
        if (q->chr) {
            chardev_detach(q->chr, q);
        }
        if (q->log_fd >= 0) {
            close(q->log_fd);
        }
        g_string_free(q->line, TRUE);
        g_free(q);
    }
}
