/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line editor of the human monitor: emacs keys, history, completion. It
 * sees bytes and writes bytes, so that any number of sessions (terminal,
 * socket, mux) can edit at the same time; libedit's readline interface serves
 * one terminal per process. Knows no commands. Main thread.
 */
#include <stdio.h>
#include <string.h>

#include "monitor/hmp-internal.h"

#define LINE_MAX_BYTES 4096
#define HISTORY_MAX 100

typedef enum KeyState { KEY_NORMAL, KEY_ESC, KEY_CSI } KeyState;

struct LineEditor {
    const LineEditorOps *ops;
    void *opaque;
    char *prompt;
    GString *line;
    size_t cursor;          /* byte offset in line */
    KeyState state;
    int csi_number;
    GPtrArray *history;     /* char*, oldest first */
    guint history_pos;      /* == history->len: the line being typed */
    char *saved;            /* what was typed before going up in history */
    char *killed;           /* for Ctrl-Y */
    bool searching;         /* Ctrl-R */
    GString *pattern;
    bool last_was_cr;
};

static void put(LineEditor *e, const char *text, size_t len)
{
    e->ops->write(e->opaque, text, len);
}

static void put_text(LineEditor *e, const char *text)
{
    put(e, text, strlen(text));
}

/* Characters in a stretch of UTF-8: what the cursor moves over. */
static size_t columns(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    }
    return n;
}

static void move_back(LineEditor *e, size_t cols)
{
    if (cols) {
        g_autofree char *seq = g_strdup_printf("\033[%zuD", cols);
        put_text(e, seq);
    }
}

/* Draws everything from byte offset from on and puts the cursor back. */
static void redraw_from(LineEditor *e, size_t from)
{
    put(e, e->line->str + from, e->line->len - from);
    put_text(e, "\033[K");
    move_back(e, columns(e->line->str + e->cursor, e->line->len - e->cursor));
}

static void redraw(LineEditor *e)
{
    put_text(e, "\r");
    put_text(e, e->prompt);
    redraw_from(e, 0);
}

/* ---- moving and changing ---- */

static size_t prev_char(const LineEditor *e, size_t at)
{
    while (at > 0 && ((unsigned char)e->line->str[--at] & 0xc0) == 0x80) {
    }
    return at;
}

static size_t next_char(const LineEditor *e, size_t at)
{
    while (at < e->line->len && ((unsigned char)e->line->str[++at] & 0xc0) == 0x80) {
    }
    return MIN(at, e->line->len);
}

static size_t word_left(const LineEditor *e)
{
    size_t at = e->cursor;
    while (at > 0 && e->line->str[at - 1] == ' ') {
        at--;
    }
    while (at > 0 && e->line->str[at - 1] != ' ') {
        at--;
    }
    return at;
}

static size_t word_right(const LineEditor *e)
{
    size_t at = e->cursor;
    while (at < e->line->len && e->line->str[at] == ' ') {
        at++;
    }
    while (at < e->line->len && e->line->str[at] != ' ') {
        at++;
    }
    return at;
}

static void move_to(LineEditor *e, size_t at)
{
    if (at < e->cursor) {
        move_back(e, columns(e->line->str + at, e->cursor - at));
    } else {
        put(e, e->line->str + e->cursor, at - e->cursor);
    }
    e->cursor = at;
}

static void erase(LineEditor *e, size_t from, size_t to, bool keep)
{
    if (from == to) {
        return;
    }
    if (keep) {
        g_free(e->killed);
        e->killed = g_strndup(e->line->str + from, to - from);
    }
    move_to(e, from);
    g_string_erase(e->line, (gssize)from, (gssize)(to - from));
    redraw_from(e, from);
}

static void insert(LineEditor *e, const char *text, size_t len)
{
    if (e->line->len + len > LINE_MAX_BYTES) {
        put_text(e, "\a");
        return;
    }
    g_string_insert_len(e->line, (gssize)e->cursor, text, (gssize)len);
    size_t from = e->cursor;
    e->cursor += len;
    if (e->cursor == e->line->len) {
        put(e, text, len);
    } else {
        redraw_from(e, from);
    }
}

static void set_line(LineEditor *e, const char *text)
{
    move_to(e, 0);
    g_string_assign(e->line, text);
    e->cursor = e->line->len;
    redraw_from(e, 0);
}

/* ---- history ---- */

static void history_add(LineEditor *e, const char *line)
{
    if (!*line) {
        return;
    }
    for (guint i = 0; i < e->history->len; i++) {
        if (!strcmp(g_ptr_array_index(e->history, i), line)) {
            g_ptr_array_remove_index(e->history, i);
            break;
        }
    }
    if (e->history->len == HISTORY_MAX) {
        g_ptr_array_remove_index(e->history, 0);
    }
    g_ptr_array_add(e->history, g_strdup(line));
}

static void history_go(LineEditor *e, int step)
{
    guint pos = e->history_pos + (guint)step;
    if ((step < 0 && e->history_pos == 0) || pos > e->history->len) {
        put_text(e, "\a");
        return;
    }
    if (e->history_pos == e->history->len) {
        g_free(e->saved);
        e->saved = g_strdup(e->line->str);
    }
    e->history_pos = pos;
    set_line(e, pos == e->history->len ? e->saved : g_ptr_array_index(e->history, pos));
}

/* Ctrl-R: the newest line before history_pos that holds the pattern. */
static void search_draw(LineEditor *e)
{
    for (guint i = e->history->len; i-- > 0;) {
        const char *line = g_ptr_array_index(e->history, i);
        if (i < e->history_pos && e->pattern->len && strstr(line, e->pattern->str)) {
            g_string_assign(e->line, line);
            break;
        }
    }
    e->cursor = e->line->len;
    g_autofree char *text = g_strdup_printf("\r(reverse-i-search)'%s': %s\033[K", e->pattern->str,
                                            e->line->str);
    put_text(e, text);
}

static void search_again(LineEditor *e)
{
    for (guint i = e->history_pos; i-- > 0;) {
        if (!strcmp(g_ptr_array_index(e->history, i), e->line->str)) {
            e->history_pos = i;
            break;
        }
    }
    search_draw(e);
}

static void search_end(LineEditor *e)
{
    e->searching = false;
    e->history_pos = e->history->len;
    redraw(e);
}

/* True if the byte was part of the search. */
static bool search_byte(LineEditor *e, uint8_t c)
{
    if (c == 18) {
        search_again(e);
    } else if (c == 8 || c == 127) {
        g_string_truncate(e->pattern, e->pattern->len ? e->pattern->len - 1 : 0);
        e->history_pos = e->history->len;
        search_draw(e);
    } else if (c >= 32) {
        g_string_append_c(e->pattern, (char)c);
        search_draw(e);
    } else {
        search_end(e);
        return c == 7;
    }
    return true;
}

/* ---- completion ---- */

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
    return len;
}

static void show_candidates(LineEditor *e, GPtrArray *list)
{
    size_t width = 0, col = 0;
    for (guint i = 0; i < list->len; i++) {
        width = MAX(width, strlen(g_ptr_array_index(list, i)) + 2);
    }
    put_text(e, "\r\n");
    for (guint i = 0; i < list->len; i++) {
        g_autofree char *cell = g_strdup_printf("%-*s", (int)width,
                                                (char *)g_ptr_array_index(list, i));
        put_text(e, cell);
        col += width;
        if (col + width > 80 || i + 1 == list->len) {
            put_text(e, "\r\n");
            col = 0;
        }
    }
    redraw(e);
}

static gint compare_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void complete(LineEditor *e)
{
    g_autofree char *before = g_strndup(e->line->str, e->cursor);
    size_t start = e->cursor;
    g_autoptr(GPtrArray) list = e->ops->complete(e->opaque, before, &start);
    if (!list->len) {
        put_text(e, "\a");
        return;
    }
    size_t typed = e->cursor - start, common = common_prefix(list);
    if (common > typed) {
        insert(e, (char *)g_ptr_array_index(list, 0) + typed, common - typed);
    }
    if (list->len == 1) {
        const char *only = g_ptr_array_index(list, 0);
        if (*only && only[strlen(only) - 1] != '/') {
            insert(e, " ", 1);
        }
    } else if (common == typed) {
        g_ptr_array_sort(list, compare_text);
        show_candidates(e, list);
    }
}

/* ---- keys ---- */

static void enter(LineEditor *e)
{
    move_to(e, e->line->len);
    put_text(e, "\r\n");
    g_autofree char *line = g_strdup(e->line->str);
    history_add(e, line);
    line_editor_reset(e);
    e->ops->line(e->opaque, line);
}

static void key_control(LineEditor *e, uint8_t c)
{
    switch (c) {
    case 1:
        return move_to(e, 0);
    case 2:
        return move_to(e, prev_char(e, e->cursor));
    case 3:
        put_text(e, "^C\r\n");
        line_editor_reset(e);
        return line_editor_start(e);
    case 4:
        return erase(e, e->cursor, next_char(e, e->cursor), false);
    case 5:
        return move_to(e, e->line->len);
    case 6:
        return move_to(e, next_char(e, e->cursor));
    case 8:
    case 127:
        return erase(e, prev_char(e, e->cursor), e->cursor, false);
    case 9:
        return complete(e);
    case 11:
        return erase(e, e->cursor, e->line->len, true);
    case 12:
        put_text(e, "\033[H\033[2J");
        return redraw(e);
    case 14:
        return history_go(e, 1);
    case 16:
        return history_go(e, -1);
    case 18:
        e->searching = true;
        g_string_truncate(e->pattern, 0);
        return search_draw(e);
    case 21:
        return erase(e, 0, e->cursor, true);
    case 23:
        return erase(e, word_left(e), e->cursor, true);
    case 25:
        if (e->killed) {
            insert(e, e->killed, strlen(e->killed));
        }
        return;
    default:
        return;
    }
}

static void key_escape(LineEditor *e, uint8_t c)
{
    e->state = KEY_NORMAL;
    if (c == '[' || c == 'O') {
        e->state = KEY_CSI;
        e->csi_number = 0;
    } else if (c == 'b') {
        move_to(e, word_left(e));
    } else if (c == 'f') {
        move_to(e, word_right(e));
    } else if (c == 'd') {
        erase(e, e->cursor, word_right(e), true);
    } else if (c == 8 || c == 127) {
        erase(e, word_left(e), e->cursor, true);
    }
}

static void key_csi(LineEditor *e, uint8_t c)
{
    if (g_ascii_isdigit(c) || c == ';') {
        e->csi_number = c == ';' ? 0 : MIN(e->csi_number * 10 + c - '0', 1000);
        return;
    }
    e->state = KEY_NORMAL;
    int n = e->csi_number;
    if (c == 'A') {
        history_go(e, -1);
    } else if (c == 'B') {
        history_go(e, 1);
    } else if (c == 'C') {
        move_to(e, next_char(e, e->cursor));
    } else if (c == 'D') {
        move_to(e, prev_char(e, e->cursor));
    } else if (c == 'H' || (c == '~' && (n == 1 || n == 7))) {
        move_to(e, 0);
    } else if (c == 'F' || (c == '~' && (n == 4 || n == 8))) {
        move_to(e, e->line->len);
    } else if (c == '~' && n == 3) {
        erase(e, e->cursor, next_char(e, e->cursor), false);
    }
}

void line_editor_byte(LineEditor *e, uint8_t c)
{
    bool after_cr = e->last_was_cr;
    e->last_was_cr = c == '\r';
    if (e->searching && search_byte(e, c)) {
        return;
    }
    if (e->state == KEY_ESC) {
        key_escape(e, c);
    } else if (e->state == KEY_CSI) {
        key_csi(e, c);
    } else if (c == '\r' || c == '\n') {
        if (c == '\r' || !after_cr) {   /* CR LF is one line end */
            enter(e);
        }
    } else if (c == 27) {
        e->state = KEY_ESC;
    } else if (c < 32 || c == 127) {
        key_control(e, c);
    } else {
        char text = (char)c;
        insert(e, &text, 1);
    }
}

/* ---- life ---- */

void line_editor_reset(LineEditor *e)
{
    g_string_truncate(e->line, 0);
    e->cursor = 0;
    e->state = KEY_NORMAL;
    e->searching = false;
    e->history_pos = e->history->len;
}

void line_editor_start(LineEditor *e)
{
    e->history_pos = e->history->len;
    put_text(e, e->prompt);
    if (e->line->len) {
        redraw_from(e, 0);
    }
}

GPtrArray *line_editor_history(LineEditor *e)
{
    return e->history;
}

LineEditor *line_editor_new(const LineEditorOps *ops, void *opaque, const char *prompt)
{
    LineEditor *e = g_new0(LineEditor, 1);
    e->ops = ops;
    e->opaque = opaque;
    e->prompt = g_strdup(prompt);
    e->line = g_string_new(NULL);
    e->pattern = g_string_new(NULL);
    e->history = g_ptr_array_new_with_free_func(g_free);
    return e;
}

void line_editor_free(LineEditor *e)
{
    if (e) {
        g_free(e->prompt);
        g_string_free(e->line, TRUE);
        g_string_free(e->pattern, TRUE);
        g_ptr_array_free(e->history, TRUE);
        g_free(e->saved);
        g_free(e->killed);
        g_free(e);
    }
}
