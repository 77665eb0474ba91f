/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line editor of the human monitor. Bytes become whole keys here, because
 * libedit (hmp-terminal.c) would wait for the rest of half a key; completion
 * and Ctrl-R are here too. Each session (terminal, socket, mux) has its own, so
 * that any number can edit at the same time. Knows no commands. Main thread.
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "monitor/hmp-internal.h"
#include "monitor/hmp-terminal.h"

#define HISTORY_MAX 100
#define PATTERN_MAX 64
#define KEY(letter) ((letter) & 31)
#define ESCAPE 27
#define DELETE 127

typedef enum KeyState { KEY_NORMAL, KEY_ESCAPE, KEY_CSI } KeyState;

struct LineEditor {
    const LineEditorOps *ops;
    void *opaque;
    wchar_t *prompt;
    locale_t locale;        /* keys and screen are UTF-8 whatever LANG is */
    GString *screen;        /* for ops->write, when libedit is through: the callee may reset us */
    GPtrArray *history;     /* wchar_t*, oldest first */
    guint history_pos;      /* == history->len: the line being typed */
    wchar_t *typed;         /* that line, while the arrows are in the history */
    LineTerminal *terminal; /* NULL: no prompt shown yet, or plain is used */
    GString *plain;         /* the line where there are no pseudo terminals */
    bool prompting;         /* a prompt is on the screen */
    bool last_was_cr;
    /* the key that has begun */
    KeyState state;
    char character[4], csi[8];
    size_t character_len, csi_len;
    /* Ctrl-R */
    bool searching;
    wchar_t *unsearched;        /* the line as it was before */
    wchar_t pattern[PATTERN_MAX + 1], search_prompt[PATTERN_MAX + 32];
    size_t pattern_len;
    int found;                  /* place in the history */
    size_t cut_len;             /* what Ctrl-Y would put in */
};

/* ---- text ---- */

static void put_text(LineEditor *e, const char *text)
{
    for (; *text; text++) {
        g_string_append(e->screen, *text == '\n' ? "\r" : "");
        g_string_append_c(e->screen, *text);
    }
}

static void flush_screen(LineEditor *e)
{
    size_t len = e->screen->len;
    g_autofree char *text = g_malloc(len);
    if (len) {
        memcpy(text, e->screen->str, len);
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

static wchar_t *copy_line(LineEditor *e)
{
    size_t len = line_terminal_len(e->terminal);
    wchar_t *copy = g_new0(wchar_t, len + 1);
    wmemcpy(copy, line_terminal_line(e->terminal)->buffer, len);
    return copy;
}

/* ---- history ---- */

/* A line is kept once, where it was entered last. */
static void history_add(LineEditor *e, const char *line)
{
    wchar_t *wide = to_wide(line);
    if (!wide || !*wide) {
        g_free(wide);
        return;
    }
    for (guint i = 0; i < e->history->len; i++) {
        if (!wcscmp(g_ptr_array_index(e->history, i), wide)) {
            g_ptr_array_remove_index(e->history, i);
            break;
        }
    }
    if (e->history->len == HISTORY_MAX) {
        g_ptr_array_remove_index(e->history, 0);
    }
    g_ptr_array_add(e->history, wide);
}

GPtrArray *line_editor_history(LineEditor *e)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < e->history->len; i++) {
        const wchar_t *line = g_ptr_array_index(e->history, i);
        g_ptr_array_add(lines, to_utf8(line, wcslen(line)));
    }
    return lines;
}

/* libedit's own keeps no more than 1024 characters of the line being typed. */
static void history_go(LineEditor *e, int step)
{
    guint pos = e->history_pos + (guint)step;
    if ((step < 0 && e->history_pos == 0) || pos > e->history->len) {
        put_text(e, "\a");
        return;
    }
    if (e->history_pos == e->history->len) {
        g_free(e->typed);
        e->typed = copy_line(e);
    }
    e->history_pos = pos;
    line_terminal_replace(e->terminal, e->prompt,
                          pos == e->history->len ? e->typed : g_ptr_array_index(e->history, pos));
}

/* ---- search: libedit's own waits for keys inside and reads outside of its buffer ---- */

/* The newest line with the pattern, not after place from; NULL: none. */
static const wchar_t *search_history(LineEditor *e, int from)
{
    for (int i = from; i >= 0; i--) {
        const wchar_t *line = g_ptr_array_index(e->history, i);
        if (wcsstr(line, e->pattern)) {
            e->found = i;
            return line;
        }
    }
    return NULL;
}

static void search_show(LineEditor *e, int from)
{
    const wchar_t *line = e->pattern_len ? search_history(e, from) : NULL;
    bool failed = e->pattern_len && !line;
    swprintf(e->search_prompt, G_N_ELEMENTS(e->search_prompt), L"(%lsreverse-i-search)'%ls': ",
             failed ? L"failed " : L"", e->pattern);
    line_terminal_replace(e->terminal, e->search_prompt, line);
    if (failed) {
        put_text(e, "\a");
    }
}

static void search_begin(LineEditor *e)
{
    e->searching = true;
    e->unsearched = copy_line(e);
    e->pattern[e->pattern_len = 0] = 0;
    search_show(e, e->found = (int)e->history->len - 1);
}

static void search_end(LineEditor *e, bool cancelled)
{
    g_autofree wchar_t *before = g_steal_pointer(&e->unsearched);
    e->searching = false;
    line_terminal_replace(e->terminal, e->prompt, cancelled ? before : NULL);
}

/* True if the key was part of the search. */
static bool search_key(LineEditor *e, wchar_t key)
{
    if (key == KEY('R')) {
        search_show(e, e->found - 1);
    } else if (key == KEY('H') || key == DELETE) {
        e->pattern_len -= e->pattern_len > 0;
        e->pattern[e->pattern_len] = 0;
        search_show(e, e->found = (int)e->history->len - 1);
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

static void show_candidates(LineEditor *e, GPtrArray *list)
{
    const LineInfoW *info = line_terminal_line(e->terminal);
    int back = (int)(info->lastchar - info->cursor);
    g_autofree char *text = candidates_in_columns(list, line_terminal_columns(e->terminal));
    line_terminal_key(e->terminal, KEY('E'));
    put_text(e, "\n");
    put_text(e, text);
    line_terminal_move(e->terminal, -back);
    line_terminal_begin(e->terminal, e->prompt);
}

/* As if it were typed. */
static void type_text(LineEditor *e, const char *text)
{
    g_autofree wchar_t *wide = to_wide(text);
    if (!wide || line_terminal_len(e->terminal) + wcslen(wide) > LINE_MAX_CHARS) {
        put_text(e, "\a");
        return;
    }
    for (const wchar_t *p = wide; *p; p++) {
        line_terminal_key(e->terminal, *p);
    }
}

static void complete(LineEditor *e)
{
    const LineInfoW *info = line_terminal_line(e->terminal);
    g_autofree char *before = to_utf8(info->buffer, (size_t)(info->cursor - info->buffer));
    size_t end = strlen(before), start = end;
    g_autoptr(GPtrArray) list = e->ops->complete(e->opaque, before, &start);
    candidates_tidy(list);
    if (!list->len) {
        put_text(e, "\a");
        return;
    }
    const char *first = g_ptr_array_index(list, 0);
    size_t typed = end - start, common = candidates_common(list);
    if (list->len > 1 && common <= typed) {
        show_candidates(e, list);
        return;
    }
    bool whole = list->len == 1 && common && !strchr("/:", first[common - 1]);    /* more follows */
    g_autofree char *text = g_strdup_printf("%.*s%s", (int)(common - typed), first + typed,
                                            whole ? " " : "");
    type_text(e, text);
}

/* ---- keys ---- */

/* A key that keeps for Ctrl-Y what it takes away. */
static void cut(LineEditor *e, const wchar_t *keys, size_t len)
{
    size_t before = line_terminal_len(e->terminal);
    line_terminal_feed(e->terminal, keys, len);
    if (line_terminal_len(e->terminal) < before) {
        e->cut_len = before - line_terminal_len(e->terminal);
    }
}

/*
 * The kills are libedit's from the mark to a cursor behind it. Its others delete
 * after the cursor, and there it reads past the end of its buffer.
 * Ctrl-W takes what is between blanks; a word of libedit's ends at ':' and '/' as well.
 */
static void kill_word_before(LineEditor *e)
{
    const wchar_t to_mark = KEY('W');
    const LineInfoW *info = line_terminal_line(e->terminal);
    const wchar_t *p = info->cursor;
    while (p > info->buffer && p[-1] == ' ') {
        p--;
    }
    while (p > info->buffer && p[-1] != ' ') {
        p--;
    }
    int len = (int)(info->cursor - p);
    if (len) {
        line_terminal_move(e->terminal, -len);
        line_terminal_key(e->terminal, KEY('V'));   /* mark */
        line_terminal_move(e->terminal, len);
        cut(e, &to_mark, 1);
    }
}

static void kill_word_after(LineEditor *e)
{
    const wchar_t to_mark = KEY('W');
    const LineInfoW *info = line_terminal_line(e->terminal);
    if (info->cursor < info->lastchar) {
        line_terminal_key(e->terminal, KEY('V'));
        line_terminal_feed(e->terminal, L"\033f", 2);
        cut(e, &to_mark, 1);
    }
}

static void yank(LineEditor *e)
{
    if (line_terminal_len(e->terminal) + e->cut_len > LINE_MAX_CHARS) {
        put_text(e, "\a");
    } else {
        line_terminal_key(e->terminal, KEY('Y'));
    }
}

static void cancel_line(LineEditor *e)
{
    if (e->terminal) {
        line_terminal_key(e->terminal, KEY('E'));
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
    case KEY('N'):
        return history_go(e, 1);
    case KEY('P'):
        return history_go(e, -1);
    case KEY('R'):
        return search_begin(e);
    case KEY('W'):
        return kill_word_before(e);
    case KEY('Y'):
        return yank(e);
    case KEY('K'):
    case KEY('U'):
        return cut(e, &key, 1);
    case KEY('A'):
    case KEY('B'):
    case KEY('D'):
    case KEY('E'):
    case KEY('F'):
    case KEY('H'):
    case KEY('L'):
    case KEY('T'):
    case DELETE:
        return line_terminal_key(e->terminal, key);
    }
    if (key >= 32 && line_terminal_len(e->terminal) < LINE_MAX_CHARS) {
        line_terminal_key(e->terminal, key);
    } else {
        put_text(e, "\a");
    }
}

/* A key with Alt. */
static void edit_alt_key(LineEditor *e, wchar_t key)
{
    const wchar_t keys[] = { ESCAPE, key };
    if (key == 'd') {
        kill_word_after(e);
    } else if (key == KEY('H') || key == DELETE) {
        cut(e, keys, 2);
    } else if (key && wcschr(L"bfulc", key)) {
        line_terminal_feed(e->terminal, keys, 2);
    }
}

static void escape_byte(LineEditor *e, uint8_t c)
{
    e->state = c == '[' || c == 'O' ? KEY_CSI : KEY_NORMAL;
    e->csi_len = 0;
    if (e->state == KEY_NORMAL) {
        edit_alt_key(e, c);
    }
}

/* One more byte of an arrow, Home...: what a terminal sends after ESC [ or ESC O. */
static void csi_byte(LineEditor *e, uint8_t c)
{
    static const struct { const char *csi; wchar_t key, alt_key; } keys[] = {
        { "A", KEY('P'), 0 }, { "B", KEY('N'), 0 }, { "C", KEY('F'), 0 }, { "D", KEY('B'), 0 },
        { "H", KEY('A'), 0 }, { "1~", KEY('A'), 0 }, { "7~", KEY('A'), 0 },
        { "F", KEY('E'), 0 }, { "4~", KEY('E'), 0 }, { "8~", KEY('E'), 0 },
        { "3~", KEY('D'), 0 }, { "3;5~", 0, 'd' }, { "1;5C", 0, 'f' }, { "1;5D", 0, 'b' },
        { "1;3C", 0, 'f' }, { "1;3D", 0, 'b' },
    };
    if (e->csi_len < sizeof(e->csi)) {
        e->csi[e->csi_len++] = (char)c;
    }
    if (c >= 32 && c < 64) {
        return;     /* a parameter: more follows */
    }
    e->state = KEY_NORMAL;
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (strlen(keys[i].csi) != e->csi_len || memcmp(keys[i].csi, e->csi, e->csi_len)) {
            continue;
        }
        if (keys[i].key) {
            edit_key(e, keys[i].key);
        } else {
            edit_alt_key(e, keys[i].alt_key);
        }
    }
}

/* One byte of a character beyond ASCII. What is not printable is dropped: libedit may abort. */
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
        escape_byte(e, c);
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
    if (e->terminal) {
        if (e->searching) {
            search_end(e, false);
        }
        line_terminal_key(e->terminal, KEY('E'));
        line = to_utf8(line_terminal_line(e->terminal)->buffer, line_terminal_len(e->terminal));
    } else {
        line = g_utf8_make_valid(e->plain->str, -1);
    }
    put_text(e, "\n");
    history_add(e, line);
    line_editor_reset(e);
    return line;
}

/* ---- for the caller ---- */

static void follow_width(LineEditor *e)
{
    line_terminal_resize(e->terminal, e->ops->columns(e->opaque));
}

static void show_prompt(LineEditor *e)
{
    if (!e->terminal && !e->plain) {
        e->terminal = line_terminal_new(e->screen);
        e->plain = e->terminal ? NULL : g_string_new(NULL);
    }
    if (e->terminal) {
        if (!e->prompting) {
            follow_width(e);
        }
        line_terminal_begin(e->terminal, e->searching ? e->search_prompt : e->prompt);
    } else {
        g_autofree char *prompt = to_utf8(e->prompt, wcslen(e->prompt));
        put_text(e, prompt);
        put_text(e, e->plain->str);
    }
    e->prompting = true;
}

void line_editor_start(LineEditor *e)
{
    locale_t outer = uselocale(e->locale);
    show_prompt(e);
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
        show_prompt(e);
    }
    if (e->terminal) {
        follow_width(e);
    }
    if (c == '\r' || c == '\n') {
        line = take_line(e);
    } else if (e->terminal) {
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
    e->history_pos = e->history->len;
    g_clear_pointer(&e->unsearched, g_free);
    if (e->plain) {
        g_string_truncate(e->plain, 0);
    }
    if (e->terminal) {
        line_terminal_end(e->terminal);
    }
    e->prompting = false;
}

LineEditor *line_editor_new(const LineEditorOps *ops, void *opaque, const char *prompt)
{
    LineEditor *e = g_new0(LineEditor, 1);
    e->ops = ops;
    e->opaque = opaque;
    e->prompt = to_wide(prompt);
    e->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);   /* 0: only ASCII is printable */
    e->screen = g_string_new(NULL);
    e->history = g_ptr_array_new_with_free_func(g_free);
    return e;
}

void line_editor_free(LineEditor *e)
{
    if (!e) {
        return;
    }
    line_terminal_free(e->terminal);
    g_ptr_array_free(e->history, TRUE);
    if (e->locale) {
        freelocale(e->locale);
    }
    if (e->plain) {
        g_string_free(e->plain, TRUE);
    }
    g_string_free(e->screen, TRUE);
    g_free(e->unsearched);
    g_free(e->typed);
    g_free(e->prompt);
    g_free(e);
}
