/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libedit for one HMP session, one whole key at a time. Used by hmp-edit.c only. Main thread. */
#ifndef MONITOR_HMP_TERMINAL_H
#define MONITOR_HMP_TERMINAL_H

#include <glib.h>
#include <histedit.h>
#include <stdbool.h>
#include <wchar.h>

#define LINE_MAX_CHARS 4096

typedef struct LineTerminal LineTerminal;

/** What is to be shown is appended to screen. NULL where there are no pseudo terminals. */
LineTerminal *line_terminal_new(GString *screen);
void line_terminal_free(LineTerminal *t);
/** Shows the prompt (which stays the caller's) with an empty line; while editing: both again. */
void line_terminal_begin(LineTerminal *t, const wchar_t *prompt);
/** The line is done with, the cursor stays where it is. */
void line_terminal_end(LineTerminal *t);
/** Width of the far terminal; out of reason or 0: not known. */
void line_terminal_resize(LineTerminal *t, unsigned columns);
/** Its width, or more than 1024: not known. */
unsigned line_terminal_columns(const LineTerminal *t);
/** One key as libedit binds it: a character or a whole escape sequence. */
void line_terminal_feed(LineTerminal *t, const wchar_t *keys, size_t len);
void line_terminal_key(LineTerminal *t, wchar_t key);
/** Another prompt, and another text in the place of the line (NULL: keep it). */
void line_terminal_replace(LineTerminal *t, const wchar_t *prompt, const wchar_t *text);
/** Moves the cursor by chars without showing it; the next key or line_terminal_begin shows it. */
void line_terminal_move(LineTerminal *t, int chars);
/** The line as it is; valid until the next call. */
const LineInfoW *line_terminal_line(LineTerminal *t);
size_t line_terminal_len(LineTerminal *t);

#endif
