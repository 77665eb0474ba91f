/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the human monitor share: command tables, arguments, the line editor. */
#ifndef MONITOR_HMP_INTERNAL_H
#define MONITOR_HMP_INTERNAL_H

#include "monitor/internal.h"

/** A command's function; names come from the hx tables. */
typedef void HMPHandler(HMPMonitor *mon, const HMPArgs *args);
/** Adds candidates (g_strdup) for argument number nb (1 is the first) that starts with text. */
typedef void HMPComplete(struct Machine *machine, unsigned nb, const char *text, GPtrArray *out);

typedef struct HMPCommand {
    const char *name;       /* "stop|s" */
    /**
     * "key:type,...": s string, F file name, B block device, S rest of the
     * line, i 32-bit and l 64-bit expression, M mebibytes, o size with suffix
     * (default MiB), b on or off, -x a flag, / a format "/4xw" (keys count,
     * format, size). '?' after the type: optional.
     */
    const char *args_type;
    const char *params;
    const char *help;
    HMPHandler *cmd;
    HMPComplete *complete;
    const struct HMPCommand *sub;   /* "info": the table of its subcommands */
    bool preconfig;         /* also before the machine is built (-preconfig) */
} HMPCommand;

extern const HMPCommand *const hmp_commands;    /* ends with name NULL */
extern const HMPCommand *const hmp_info_commands;

/** True if name[0..len) is one of the alternatives of "a|b". */
bool hmp_name_is(const char *alternatives, const char *name, size_t len);
/** Command in a table, or NULL. */
const HMPCommand *hmp_find(const HMPCommand *table, const char *name, size_t len);

/* ---- hmp-args.c ---- */

/** Defaults of x, xp and print: each use of a format changes them. */
typedef struct HMPFormat {
    char format;    /* x d u o c i */
    int size;       /* bytes */
} HMPFormat;

struct HMPArgs {
    GHashTable *values;     /* key -> HMPValue */
};

/**
 * Parses the text after a command's name. NULL with the message, without a
 * newline. fmt is read and updated by type '/'.
 */
HMPArgs *hmp_args_parse(const HMPCommand *cmd, const char *text, HMPFormat *fmt, GError **errp);
void hmp_args_free(HMPArgs *args);
/** Next word at *text (quotes and backslashes resolved), or NULL: nothing left, or error in errp. */
char *hmp_word(const char **text, GError **errp);
/** Expression of numbers, + - * / % & | ^ ( ) ~; stop_early: an operator after a blank may begin the next argument. */
bool hmp_expression(const char **text, bool stop_early, int64_t *out, GError **errp);

/* ---- hmp-edit.c ---- */

typedef struct LineEditor LineEditor;
typedef struct LineEditorOps {
    void (*write)(void *opaque, const char *text, size_t len);  /* to the terminal, as is */
    void (*line)(void *opaque, const char *line);               /* a line was entered */
    /** Candidates for the word that ends the text before the cursor; *word_start is its offset. */
    GPtrArray *(*complete)(void *opaque, const char *text, size_t *word_start);
    unsigned (*columns)(void *opaque);      /* of the terminal; 0: not known */
} LineEditorOps;

LineEditor *line_editor_new(const LineEditorOps *ops, void *opaque, const char *prompt);
void line_editor_free(LineEditor *e);
/** Shows the prompt, and the line where one is being typed. */
void line_editor_start(LineEditor *e);
/** One byte typed by the user. */
void line_editor_byte(LineEditor *e, uint8_t c);
/** Forgets a half line (the peer went away). */
void line_editor_reset(LineEditor *e);
/** Lines entered, oldest first: char*; caller frees. */
GPtrArray *line_editor_history(LineEditor *e);

/* ---- hmp-candidates.c ---- */

/** Sorts them, and takes out what is not printable: a file's name must not press keys. */
void candidates_tidy(GPtrArray *list);
/** Bytes that all have at the beginning, in whole characters. The list is not empty. */
size_t candidates_common(GPtrArray *list);
/** Lines to print, from top to bottom as ls does; columns above 1024: not known. Caller frees. */
char *candidates_in_columns(GPtrArray *list, unsigned columns);

/* ---- hmp.c ---- */

struct HMPMonitor {
    Session base;           /* chr NULL: output goes to capture */
    LineEditor *editor;
    GString *capture;
    HMPFormat format;
    int cpu_index;          /* "cpu N"; -1: the first */
    bool suspended;
    GByteArray *held;       /* typed meanwhile; read when it is over */
    bool interrupted;       /* Ctrl-C was typed meanwhile */
    int64_t escape_us;      /* when the last byte typed was Esc; else 0 */
    bool progress_open;     /* a progress line without its end */
};

struct Machine *hmp_machine(const HMPMonitor *mon);
/** A line with the one of names (NULL-terminated) that typed, which is none of them, probably means; nothing if none is near. */
void hmp_did_you_mean(HMPMonitor *mon, const char *const *names, const char *typed);
GPtrArray *hmp_complete_line(struct Machine *machine, const char *text, size_t *word_start);
/** Index of the CPU that "x", "info registers"... mean; -1 with a message if there is none. */
int hmp_cpu_index(HMPMonitor *mon);

#endif
