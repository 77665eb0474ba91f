/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line editor of the human monitor: libedit with one EditLine and one
 * History per session (terminal, socket, mux), so that any number can edit at
 * the same time. Here bytes become whole keys, because libedit would wait for
 * the rest of half a key; el_wgets() gets one key at a time (EL_UNBUFFERED)
 * and never waits. Completion and Ctrl-R are here too. Knows no commands.
 * Main thread.
 */
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "monitor/hmp-internal.h"

#define LINE_MAX_CHARS 4096
#define HISTORY_MAX 100
#define PATTERN_MAX 64
/* Where the width is not known: wider than any line, the far terminal wraps as it likes. */
#define UNKNOWN_COLUMNS (LINE_MAX_CHARS * 2)
#define UNKNOWN_ROWS 2
#define KEY(letter) ((letter) & 31)
#define ESCAPE 27
#define DELETE 127

typedef enum KeyState { KEY_NORMAL, KEY_ESCAPE, KEY_CSI } KeyState;

struct LineEditor {
    const LineEditorOps *ops;
    void *opaque;
    wchar_t *prompt;
    locale_t locale;        /* keys and screen are UTF-8 whatever LANG is */
    bool prompting;         /* a prompt is on the screen */
    bool last_was_cr;
    GString *screen;        /* for ops->write, when libedit is through: the callee may reset us */
    HistoryW *history;
    /* libedit; NULL: not needed yet, or there are no pseudo terminals and GString plain is used */
    EditLine *el;
    GString *plain;
    FILE *in, *out;
    int master, slave;      /* libedit wants a terminal to ask for modes and size; no byte passes */
    unsigned columns, rows;
    /* the key that has begun */
    KeyState state;
    char character[4], csi[8];
    size_t character_len, csi_len;
    /* what el_wgets() gets */
    const wchar_t *keys;
    size_t keys_len;
    const wchar_t *new_line;    /* key_replace: NULL: only draw again */
    /* Ctrl-R */
    bool searching;
    wchar_t *unsearched;        /* the line as it was before */
    wchar_t pattern[PATTERN_MAX + 1], search_prompt[PATTERN_MAX + 32];
    size_t pattern_len;
    unsigned found;             /* place in the history, 0 is the newest */
};

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
/* libtinfo loses some bytes of each terminal description that libedit asks it for. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:_nc_trim_sgr0\n";
}
#endif

/* ---- what libedit calls ---- */

static LineEditor *editor_of(EditLine *el)
{
    void *data = NULL;
    el_wget(el, EL_CLIENTDATA, &data);
    return data;
}

static wchar_t *show_prompt(EditLine *el)
{
    LineEditor *e = editor_of(el);
    return e->searching ? e->search_prompt : e->prompt;
}

/* "\n" becomes "\r\n", which libedit leaves to the terminal. */
static ssize_t write_screen(void *cookie, const char *text, size_t len)
{
    LineEditor *e = cookie;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') {
            g_string_append_c(e->screen, '\r');
        }
        g_string_append_c(e->screen, text[i]);
    }
    return (ssize_t)len;
}

static int read_key(EditLine *el, wchar_t *c)
{
    LineEditor *e = editor_of(el);
    if (!e->keys_len) {
        return 0;
    }
    *c = *e->keys++;
    e->keys_len--;
    return 1;
}

/* Bound to Ctrl-R: puts new_line in the place of the line. */
static unsigned char key_replace(EditLine *el, wint_t c)
{
    LineEditor *e = editor_of(el);
    const LineInfoW *info = el_wline(el);
    (void)c;
    if (e->new_line) {
        el_cursor(el, (int)(info->lastchar - info->cursor));
        el_wdeletestr(el, (int)(info->lastchar - info->buffer));
        el_winsertstr(el, e->new_line);
    }
    return CC_REFRESH;
}

/* ---- what libedit is told ---- */

static void feed(LineEditor *e, const wchar_t *keys, size_t len)
{
    int unused;
    e->keys = keys;
    e->keys_len = len;
    el_wgets(e->el, &unused);
    e->keys_len = 0;
}

static void feed_key(LineEditor *e, wchar_t key)
{
    feed(e, &key, 1);
}

static void replace_line(LineEditor *e, const wchar_t *text)
{
    e->new_line = text;
    feed_key(e, KEY('R'));
}

static size_t line_len(LineEditor *e)
{
    const LineInfoW *info = el_wline(e->el);
    return (size_t)(info->lastchar - info->buffer);
}

static wchar_t *copy_line(LineEditor *e)
{
    wchar_t *copy = g_new0(wchar_t, line_len(e) + 1);
    wmemcpy(copy, el_wline(e->el)->buffer, line_len(e));
    return copy;
}

static void put_text(LineEditor *e, const char *text)
{
    if (e->el) {
        fputs(text, e->out);
    } else {
        write_screen(e, text, strlen(text));
    }
}

static void flush_screen(LineEditor *e)
{
    if (e->out) {
        fflush(e->out);
    }
    if (e->screen->len) {
        g_autofree char *text = g_strndup(e->screen->str, e->screen->len);
        size_t len = e->screen->len;
        g_string_truncate(e->screen, 0);
        e->ops->write(e->opaque, text, len);
    }
}

/* wchar_t is UCS-4 on every Linux. */
static char *to_utf8(const wchar_t *text, size_t len)
{
    char *utf8 = g_ucs4_to_utf8((const gunichar *)text, (glong)len, NULL, NULL, NULL);
    return utf8 ? utf8 : g_strdup("");
}

static wchar_t *to_wide(const char *text)
{
    return (wchar_t *)g_utf8_to_ucs4(text, -1, NULL, NULL, NULL);
}

/* ---- history ---- */

/* A line is kept once, where it was entered last. */
static void history_add(LineEditor *e, const char *line)
{
    HistEventW ev;
    g_autofree wchar_t *wide = to_wide(line);
    if (!wide || !*wide) {
        return;
    }
    for (int r = history_w(e->history, &ev, H_FIRST); r >= 0;
         r = history_w(e->history, &ev, H_NEXT)) {
        if (!wcscmp(ev.str, wide)) {
            if (history_w(e->history, &ev, H_DEL, ev.num) >= 0) {
                free((void *)ev.str);   /* H_DEL hands out a copy */
            }
            break;
        }
    }
    history_w(e->history, &ev, H_ENTER, wide);
}

GPtrArray *line_editor_history(LineEditor *e)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    HistEventW ev;
    for (int r = history_w(e->history, &ev, H_LAST); r >= 0;
         r = history_w(e->history, &ev, H_PREV)) {
        g_ptr_array_add(lines, to_utf8(ev.str, wcslen(ev.str)));
    }
    return lines;
}

/* ---- search: libedit's own waits for keys inside and reads outside of its buffer ---- */

/* The newest line with the pattern that is at least first lines back, or NULL. */
static const wchar_t *search_history(LineEditor *e, unsigned first)
{
    HistEventW ev;
    unsigned at = 0;
    for (int r = history_w(e->history, &ev, H_FIRST); r >= 0;
         r = history_w(e->history, &ev, H_NEXT), at++) {
        if (at >= first && wcsstr(ev.str, e->pattern)) {
            e->found = at;
            return ev.str;
        }
    }
    return NULL;
}

static void search_show(LineEditor *e, unsigned first)
{
    const wchar_t *line = e->pattern_len ? search_history(e, first) : NULL;
    bool failed = e->pattern_len && !line;
    swprintf(e->search_prompt, G_N_ELEMENTS(e->search_prompt), L"(%lsreverse-i-search)'%ls': ",
             failed ? L"failed " : L"", e->pattern);
    replace_line(e, line);
    if (failed) {
        put_text(e, "\a");
    }
}

static void search_begin(LineEditor *e)
{
    e->searching = true;
    e->unsearched = copy_line(e);
    e->pattern[e->pattern_len = 0] = 0;
    search_show(e, e->found = 0);
}

static void search_end(LineEditor *e, bool cancelled)
{
    g_autofree wchar_t *before = g_steal_pointer(&e->unsearched);
    e->searching = false;
    replace_line(e, cancelled ? before : NULL);
}

/* True if the key was part of the search. */
static bool search_key(LineEditor *e, wchar_t key)
{
    if (key == KEY('R')) {
        search_show(e, e->found + 1);
    } else if (key == KEY('H') || key == DELETE) {
        e->pattern_len -= e->pattern_len > 0;
        e->pattern[e->pattern_len] = 0;
        search_show(e, e->found = 0);
    } else if (key >= 32) {
        if (e->pattern_len < PATTERN_MAX) {
            e->pattern[e->pattern_len++] = key;
            e->pattern[e->pattern_len] = 0;
        }
        search_show(e, e->found);
    } else {
        search_end(e, key == KEY('G'));
        return key == KEY('G');
    }
    return true;
}

/* ---- completion ---- */

static bool is_printable(const char *text)
{
    bool ok = g_utf8_validate(text, -1, NULL);
    for (const char *p = text; ok && *p; p = g_utf8_next_char(p)) {
        ok = iswprint((wint_t)g_utf8_get_char(p));
    }
    return ok;
}

static gint compare_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Bytes that all have at the beginning, in whole characters. */
static size_t common_prefix(GPtrArray *list)
{
    const char *first = g_ptr_array_index(list, 0);
    size_t len = strlen(first);
    for (guint i = 1; i < list->len; i++) {
        const char *other = g_ptr_array_index(list, i);
        size_t n = 0;
        while (n < len && other[n] == first[n]) {
            n++;
        }
        len = n;
    }
    while (len && ((unsigned char)first[len] & 0xc0) == 0x80) {
        len--;
    }
    return len;
}

static void show_candidates(LineEditor *e, GPtrArray *list)
{
    size_t width = 0, columns = e->columns == UNKNOWN_COLUMNS ? 80 : e->columns;
    const LineInfoW *info = el_wline(e->el);
    int back = (int)(info->lastchar - info->cursor);
    for (guint i = 0; i < list->len; i++) {
        width = MAX(width, (size_t)g_utf8_strlen(g_ptr_array_index(list, i), -1) + 2);
    }
    size_t per_row = MAX(columns / width, 1), rows = (list->len + per_row - 1) / per_row;
    feed_key(e, KEY('E'));
    for (size_t i = 0; i < rows * per_row; i++) {   /* down the columns, as ls */
        size_t at = i % per_row * rows + i / per_row;
        const char *text = at < list->len ? g_ptr_array_index(list, at) : "";
        bool last = at + rows >= list->len;
        fputs(i % per_row ? "" : "\n", e->out);
        fputs(text, e->out);
        fprintf(e->out, "%*s", last ? 0 : (int)(width - (size_t)g_utf8_strlen(text, -1)), "");
    }
    fputs("\n", e->out);
    el_cursor(e->el, -back);
    el_wset(e->el, EL_REFRESH);
}

/* As if it were typed. */
static void type_text(LineEditor *e, const char *text)
{
    g_autofree wchar_t *wide = to_wide(text);
    if (!wide || line_len(e) + wcslen(wide) > LINE_MAX_CHARS) {
        put_text(e, "\a");
        return;
    }
    for (const wchar_t *p = wide; *p; p++) {
        feed_key(e, *p);
    }
}

static void complete(LineEditor *e)
{
    const LineInfoW *info = el_wline(e->el);
    g_autofree char *before = to_utf8(info->buffer, (size_t)(info->cursor - info->buffer));
    size_t end = strlen(before), start = end;
    g_autoptr(GPtrArray) list = e->ops->complete(e->opaque, before, &start);
    for (guint i = list->len; i-- > 0;) {
        if (!is_printable(g_ptr_array_index(list, i))) {    /* a file's name must not press keys */
            g_ptr_array_remove_index(list, i);
        }
    }
    if (!list->len) {
        put_text(e, "\a");
        return;
    }
    g_ptr_array_sort(list, compare_text);
    const char *first = g_ptr_array_index(list, 0);
    size_t typed = end - start, common = common_prefix(list);
    if (list->len > 1 && common <= typed) {
        show_candidates(e, list);
        return;
    }
    bool whole = list->len == 1 && common && first[common - 1] != '/';
    g_autofree char *text = g_strdup_printf("%.*s%s", (int)(common - typed), first + typed,
                                            whole ? " " : "");
    type_text(e, text);
}

/* ---- keys ---- */

/* Ctrl-W takes what is between blanks; a word of libedit's ends at ':' and '/' as well. */
static void kill_word(LineEditor *e)
{
    const LineInfoW *info = el_wline(e->el);
    const wchar_t *p = info->cursor;
    while (p > info->buffer && p[-1] == ' ') {
        p--;
    }
    while (p > info->buffer && p[-1] != ' ') {
        p--;
    }
    int len = (int)(info->cursor - p);
    if (len) {
        feed_key(e, KEY('V'));      /* mark */
        el_cursor(e->el, -len);
        feed_key(e, KEY('W'));      /* to the mark */
    }
}

static void yank(LineEditor *e)
{
    feed_key(e, KEY('Y'));
    if (line_len(e) > LINE_MAX_CHARS) {
        g_autofree wchar_t *cut = copy_line(e);
        cut[LINE_MAX_CHARS] = 0;
        replace_line(e, cut);
        put_text(e, "\a");
    }
}

static void cancel_line(LineEditor *e)
{
    if (e->el) {
        feed_key(e, KEY('E'));
    }
    put_text(e, "^C\n");
    line_editor_reset(e);
    line_editor_start(e);
}

/* A whole key that is no line end. */
static void edit_key(LineEditor *e, wchar_t key)
{
    if (e->searching && search_key(e, key)) {
        return;
    }
    switch (key) {
    case KEY('C'):
        return cancel_line(e);
    case KEY('I'):
        return complete(e);
    case KEY('R'):
        return search_begin(e);
    case KEY('W'):
        return kill_word(e);
    case KEY('Y'):
        return yank(e);
    case KEY('A'):
    case KEY('B'):
    case KEY('D'):
    case KEY('E'):
    case KEY('F'):
    case KEY('H'):
    case KEY('K'):
    case KEY('L'):
    case KEY('N'):
    case KEY('P'):
    case KEY('T'):
    case KEY('U'):
    case DELETE:
        return feed_key(e, key);
    }
    if (key >= 32 && line_len(e) < LINE_MAX_CHARS) {
        feed_key(e, key);
    } else {
        put_text(e, "\a");
    }
}

static void escape_key(LineEditor *e, uint8_t c)
{
    const wchar_t keys[] = { ESCAPE, c };
    e->state = c == '[' || c == 'O' ? KEY_CSI : KEY_NORMAL;
    e->csi_len = 0;
    if (c && strchr("bfdulc\b\177", c)) {
        feed(e, keys, 2);
    }
}

/* One more byte of an arrow, Home...: what a terminal sends after ESC [ or ESC O. */
static void csi_byte(LineEditor *e, uint8_t c)
{
    static const struct { const char *csi; wchar_t keys[3]; } keys[] = {
        { "A", { KEY('P') } }, { "B", { KEY('N') } }, { "C", { KEY('F') } }, { "D", { KEY('B') } },
        { "H", { KEY('A') } }, { "1~", { KEY('A') } }, { "7~", { KEY('A') } },
        { "F", { KEY('E') } }, { "4~", { KEY('E') } }, { "8~", { KEY('E') } },
        { "3~", { KEY('D') } }, { "3;5~", { ESCAPE, 'd' } },
        { "1;5C", { ESCAPE, 'f' } }, { "1;5D", { ESCAPE, 'b' } },
        { "1;3C", { ESCAPE, 'f' } }, { "1;3D", { ESCAPE, 'b' } },
    };
    if (e->csi_len < sizeof(e->csi)) {
        e->csi[e->csi_len++] = (char)c;
    }
    if (c >= 32 && c < 64) {
        return;     /* a parameter: more follows */
    }
    e->state = KEY_NORMAL;
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (strlen(keys[i].csi) == e->csi_len && !memcmp(keys[i].csi, e->csi, e->csi_len)) {
            feed(e, keys[i].keys, wcslen(keys[i].keys));
        }
    }
}

/* One byte of a character that is not ASCII. What cannot be shown is dropped: libedit aborts at it. */
static void character_byte(LineEditor *e, uint8_t c)
{
    if ((c & 0xc0) == 0xc0 || e->character_len == sizeof(e->character)) {
        e->character_len = 0;
    }
    e->character[e->character_len++] = (char)c;
    gunichar u = g_utf8_get_char_validated(e->character, (gssize)e->character_len);
    if (u == (gunichar)-2) {
        return;     /* more follows */
    }
    e->character_len = 0;
    if (u != (gunichar)-1 && iswprint((wint_t)u)) {
        edit_key(e, (wchar_t)u);
    }
}

static void edit_byte(LineEditor *e, uint8_t c)
{
    if (c == ESCAPE) {
        if (e->searching) {
            search_end(e, false);
        }
        e->state = KEY_ESCAPE;
    } else if (e->state == KEY_ESCAPE) {
        escape_key(e, c);
    } else if (e->state == KEY_CSI) {
        csi_byte(e, c);
    } else if (c >= 128) {
        character_byte(e, c);
    } else {
        e->character_len = 0;
        edit_key(e, c);
    }
}

/* Without libedit: letters and backspace. */
static void plain_byte(LineEditor *e, uint8_t c)
{
    char text[2] = { (char)c };
    if (c == KEY('C')) {
        cancel_line(e);
    } else if ((c == KEY('H') || c == DELETE) && e->plain->len) {
        size_t len = e->plain->len - 1;
        while (len && ((unsigned char)e->plain->str[len] & 0xc0) == 0x80) {
            len--;
        }
        g_string_truncate(e->plain, len);
        put_text(e, "\b \b");
    } else if (c >= 32 && c != DELETE && e->plain->len < LINE_MAX_CHARS) {
        g_string_append_c(e->plain, (char)c);
        put_text(e, text);
    }
}

/* Ends the line; caller frees. */
static char *take_line(LineEditor *e)
{
    char *line;
    if (e->el) {
        if (e->searching) {
            search_end(e, false);
        }
        feed_key(e, KEY('E'));
        line = to_utf8(el_wline(e->el)->buffer, line_len(e));
    } else {
        line = g_utf8_make_valid(e->plain->str, -1);
    }
    put_text(e, "\n");
    history_add(e, line);
    line_editor_reset(e);
    return line;
}

/* ---- set-up ---- */

static void follow_size(LineEditor *e)
{
    unsigned columns = 0, rows = 0;
    e->ops->size(e->opaque, &columns, &rows);
    if (columns < 20 || columns > 1024 || rows < 2 || rows > 256) {    /* unknown, or no screen */
        columns = UNKNOWN_COLUMNS;
        rows = UNKNOWN_ROWS;
    }
    if (columns == e->columns && rows == e->rows) {
        return;
    }
    struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
    e->columns = columns;
    e->rows = rows;
    ioctl(e->slave, TIOCSWINSZ, &size);
    if (e->prompting) {
        put_text(e, "\r");
        el_resize(e->el);
        el_wset(e->el, EL_REFRESH);
    }
}

static bool terminal_open(LineEditor *e)
{
    char name[128];
    e->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (e->master >= 0 && grantpt(e->master) == 0 && unlockpt(e->master) == 0 &&
        ptsname_r(e->master, name, sizeof(name)) == 0) {
        e->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    return e->slave >= 0;
}

static void bind_keys(EditLine *el)
{
    static const wchar_t *const keys[][2] = {
        { L"^D", L"ed-delete-next-char" }, { L"^H", L"em-delete-prev-char" },
        { L"^?", L"em-delete-prev-char" }, { L"^R", L"monitor-replace" },
        { L"^U", L"vi-kill-line-prev" }, { L"^V", L"em-set-mark" }, { L"^W", L"em-kill-region" },
    };
    el_wset(el, EL_ADDFN, L"monitor-replace", L"Replace the line", key_replace);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        el_wset(el, EL_BIND, keys[i][0], keys[i][1], NULL);
    }
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

static void libedit_open(LineEditor *e)
{
    cookie_io_functions_t io = { .write = write_screen };
    if (!terminal_open(e)) {
        return;
    }
    e->in = fopen("/dev/null", "r+e");
    e->out = fopencookie(e, "w", io);
    /* what it says about an unknown TERM is of no interest to the session */
    e->el = e->in && e->out ? el_init_fd("ferry", e->in, e->out, e->in, e->slave, e->slave,
                                         e->slave) : NULL;
    if (!e->el) {
        return;
    }
    el_wset(e->el, EL_CLIENTDATA, e);
    el_wset(e->el, EL_PROMPT, show_prompt);
    el_wset(e->el, EL_EDITOR, L"emacs");
    el_wset(e->el, EL_EDITMODE, 1);
    el_wset(e->el, EL_SIGNAL, 0);
    el_wset(e->el, EL_HIST, history_w, e->history);
    el_wset(e->el, EL_GETCFN, read_key);
    forget_insertion(e->el);
    bind_keys(e->el);
}

static void libedit_close(LineEditor *e)
{
    if (e->el) {
        el_end(e->el);
    }
    if (e->out) {
        fclose(e->out);
    }
    if (e->in) {
        fclose(e->in);
    }
    if (e->slave >= 0) {
        close(e->slave);
    }
    if (e->master >= 0) {
        close(e->master);
    }
}

static void prompt_show(LineEditor *e)
{
    if (!e->el && !e->plain) {
        libedit_open(e);
        e->plain = e->el ? NULL : g_string_new(NULL);
    }
    if (!e->el) {
        g_autofree char *prompt = to_utf8(e->prompt, wcslen(e->prompt));
        put_text(e, prompt);
        put_text(e, e->plain->str);
        e->prompting = true;
        return;
    }
    if (e->prompting) {
        el_wset(e->el, EL_REFRESH);
    } else {
        follow_size(e);
        e->prompting = true;
        el_wset(e->el, EL_UNBUFFERED, 1);   /* empties the line and shows the prompt */
    }
}

/* ---- for the caller ---- */

void line_editor_start(LineEditor *e)
{
    locale_t outer = uselocale(e->locale);
    prompt_show(e);
    uselocale(outer);
    flush_screen(e);
}

void line_editor_byte(LineEditor *e, uint8_t c)
{
    g_autofree char *line = NULL;
    bool after_cr = e->last_was_cr;
    e->last_was_cr = c == '\r';
    if (c == '\n' && after_cr) {
        return;     /* CR LF is one line end */
    }
    locale_t outer = uselocale(e->locale);
    if (!e->prompting) {
        prompt_show(e);
    }
    if (e->el) {
        follow_size(e);
    }
    if (c == '\r' || c == '\n') {
        line = take_line(e);
    } else if (e->el) {
        edit_byte(e, c);
    } else {
        plain_byte(e, c);
    }
    uselocale(outer);
    flush_screen(e);
    if (line) {
        e->ops->line(e->opaque, line);
    }
}

void line_editor_reset(LineEditor *e)
{
    e->state = KEY_NORMAL;
    e->character_len = 0;
    e->searching = false;
    g_clear_pointer(&e->unsearched, g_free);
    if (e->plain) {
        g_string_truncate(e->plain, 0);
    }
    if (e->el && e->prompting) {
        el_wset(e->el, EL_UNBUFFERED, 0);
    }
    e->prompting = false;
}

LineEditor *line_editor_new(const LineEditorOps *ops, void *opaque, const char *prompt)
{
    LineEditor *e = g_new0(LineEditor, 1);
    HistEventW ev;
    e->ops = ops;
    e->opaque = opaque;
    e->prompt = to_wide(prompt);
    e->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);   /* 0: only ASCII is printable */
    e->screen = g_string_new(NULL);
    e->history = history_winit();
    history_w(e->history, &ev, H_SETSIZE, HISTORY_MAX);
    e->master = e->slave = -1;
    return e;
}

void line_editor_free(LineEditor *e)
{
    if (!e) {
        return;
    }
    libedit_close(e);
    history_wend(e->history);
    if (e->locale) {
        freelocale(e->locale);
    }
    if (e->plain) {
        g_string_free(e->plain, TRUE);
    }
    g_string_free(e->screen, TRUE);
    g_free(e->unsearched);
    g_free(e->prompt);
    g_free(e);
}
