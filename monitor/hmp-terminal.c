/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libedit for one HMP session: an EditLine in unbuffered mode. el_wgets() is
 * called with one whole key and comes back after it; it never waits. Called by
 * hmp-edit.c, which makes keys of bytes; never calls back. Main thread.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "monitor/hmp-terminal.h"

/* Where the width is not known: wider than any line, the far terminal wraps as it likes. */
#define UNKNOWN_COLUMNS (LINE_MAX_CHARS * 2 + PROMPT_MAX_CHARS)
#define PROMPT_MAX_CHARS 256

struct LineTerminal {
    EditLine *el;
    GString *screen;
    FILE *in, *out;
    int master, slave;      /* libedit wants a terminal to ask for modes and size; no byte passes */
    unsigned columns;
    bool editing;
    const wchar_t *prompt;
    const wchar_t *keys;    /* what el_wgets() gets */
    size_t keys_len;
    const wchar_t *text;    /* what replace_line() puts in the place of the line */
};

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
/* libtinfo loses some bytes of each terminal description that libedit asks it for. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libtinfo\n";
}
#endif

/* ---- what libedit calls ---- */

static LineTerminal *terminal_of(EditLine *el)
{
    void *data = NULL;
    el_wget(el, EL_CLIENTDATA, &data);
    return data;
}

static wchar_t *show_prompt(EditLine *el)
{
    return (wchar_t *)terminal_of(el)->prompt;
}

/* "\n" becomes "\r\n", which libedit leaves to the terminal. */
static ssize_t write_screen(void *cookie, const char *text, size_t len)
{
    LineTerminal *t = cookie;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') {
            g_string_append_c(t->screen, '\r');
        }
        g_string_append_c(t->screen, text[i]);
    }
    return (ssize_t)len;
}

static int read_key(EditLine *el, wchar_t *c)
{
    LineTerminal *t = terminal_of(el);
    if (!t->keys_len) {
        return 0;
    }
    *c = *t->keys++;
    t->keys_len--;
    return 1;
}

/* Bound to Ctrl-R. */
static unsigned char replace_line(EditLine *el, wint_t c)
{
    LineTerminal *t = terminal_of(el);
    const LineInfoW *info = el_wline(el);
    (void)c;
    if (t->text) {
        el_cursor(el, (int)(info->lastchar - info->cursor));
        el_wdeletestr(el, (int)(info->lastchar - info->buffer));
        el_winsertstr(el, t->text);
    }
    return CC_REFRESH;
}

/* ---- the line ---- */

void line_terminal_feed(LineTerminal *t, const wchar_t *keys, size_t len)
{
    int unused;
    t->keys = keys;
    t->keys_len = len;
    el_wgets(t->el, &unused);
    t->keys_len = 0;
    fflush(t->out);
}

void line_terminal_key(LineTerminal *t, wchar_t key)
{
    line_terminal_feed(t, &key, 1);
}

void line_terminal_replace(LineTerminal *t, const wchar_t *prompt, const wchar_t *text)
{
    t->prompt = prompt;
    t->text = text;
    line_terminal_key(t, 'R' & 31);
}

void line_terminal_move(LineTerminal *t, int chars)
{
    el_cursor(t->el, chars);
}

const LineInfoW *line_terminal_line(LineTerminal *t)
{
    return el_wline(t->el);
}

size_t line_terminal_len(LineTerminal *t)
{
    const LineInfoW *info = el_wline(t->el);
    return (size_t)(info->lastchar - info->buffer);
}

void line_terminal_begin(LineTerminal *t, const wchar_t *prompt)
{
    t->prompt = prompt;
    if (t->editing) {
        el_wset(t->el, EL_REFRESH);
    } else {
        t->editing = true;
        el_wset(t->el, EL_UNBUFFERED, 1);   /* empties the line and shows the prompt */
    }
    fflush(t->out);
}

void line_terminal_end(LineTerminal *t)
{
    if (t->editing) {
        t->editing = false;
        el_wset(t->el, EL_UNBUFFERED, 0);
    }
}

/*
 * libedit gets as many rows as the longest line of wide characters needs, one
 * column of each row left over, whatever the height: where a line is longer
 * than its screen, it writes through a pointer behind its last row.
 */
void line_terminal_resize(LineTerminal *t, unsigned columns)
{
    if (columns < 20 || columns > 1024) {
        columns = UNKNOWN_COLUMNS;
    }
    if (columns == t->columns) {
        return;
    }
    unsigned rows = (LINE_MAX_CHARS * 2 + PROMPT_MAX_CHARS) / (columns - 1) + 2;
    struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
    t->columns = columns;
    ioctl(t->slave, TIOCSWINSZ, &size);
    if (t->editing) {
        g_string_append_c(t->screen, '\r');
        el_resize(t->el);
        line_terminal_begin(t, t->prompt);
    }
}

unsigned line_terminal_columns(const LineTerminal *t)
{
    return t->columns;
}

/* ---- life ---- */

static bool pty_open(LineTerminal *t)
{
    char name[128];
    t->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (t->master >= 0 && grantpt(t->master) == 0 && unlockpt(t->master) == 0 &&
        ptsname_r(t->master, name, sizeof(name)) == 0) {
        t->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    return t->slave >= 0;
}

/*
 * With a terminal that can insert and delete, libedit loses text when a line of
 * several rows changes in the middle (it clears after a row that is full, which
 * is already the next one): it shall believe that the terminal cannot.
 */
static void forget_insertion(EditLine *el)
{
    static const wchar_t *const capabilities[] = { L"ic", L"IC", L"im", L"dc", L"DC" };
    for (size_t i = 0; i < G_N_ELEMENTS(capabilities); i++) {
        el_wset(el, EL_SETTC, capabilities[i], L"", NULL);
    }
}

/* Where libedit's own differs, or takes what the pseudo terminal calls its special characters. */
static void bind_keys(EditLine *el)
{
    static const wchar_t *const keys[][2] = {
        { L"^D", L"ed-delete-next-char" }, { L"^H", L"em-delete-prev-char" },
        { L"^?", L"em-delete-prev-char" }, { L"^R", L"monitor-replace" },
        { L"^U", L"vi-kill-line-prev" }, { L"^V", L"em-set-mark" }, { L"^W", L"em-kill-region" },
    };
    el_wset(el, EL_ADDFN, L"monitor-replace", L"Replace the line", replace_line);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        el_wset(el, EL_BIND, keys[i][0], keys[i][1], NULL);
    }
}

static bool libedit_open(LineTerminal *t)
{
    cookie_io_functions_t io = { .write = write_screen };
    t->in = fopen("/dev/null", "r+e");
    t->out = fopencookie(t, "w", io);
    /* what it says about an unknown TERM is of no interest to the session */
    t->el = t->in && t->out ? el_init_fd("ferry", t->in, t->out, t->in, t->slave, t->slave,
                                         t->slave) : NULL;
    if (!t->el) {
        return false;
    }
    el_wset(t->el, EL_CLIENTDATA, t);
    el_wset(t->el, EL_PROMPT, show_prompt);
    el_wset(t->el, EL_EDITOR, L"emacs");
    el_wset(t->el, EL_EDITMODE, 1);     /* off where TERM is "emacs" */
    el_wset(t->el, EL_SIGNAL, 0);
    el_wset(t->el, EL_GETCFN, read_key);
    forget_insertion(t->el);
    bind_keys(t->el);
    return true;
}

LineTerminal *line_terminal_new(GString *screen)
{
    LineTerminal *t = g_new0(LineTerminal, 1);
    t->screen = screen;
    t->master = t->slave = -1;
    if (!pty_open(t) || !libedit_open(t)) {
        line_terminal_free(t);
        return NULL;
    }
    line_terminal_resize(t, 0);
    return t;
}

void line_terminal_free(LineTerminal *t)
{
    if (!t) {
        return;
    }
    if (t->el) {
        el_end(t->el);
    }
    if (t->out) {
        fclose(t->out);
    }
    if (t->in) {
        fclose(t->in);
    }
    if (t->slave >= 0) {
        close(t->slave);
    }
    if (t->master >= 0) {
        close(t->master);
    }
    g_free(t);
}
