/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option groups of the command line: "driver,key=value,flag" or a JSON
 * object. A comma in a value is doubled. Keys that nobody asked for are
 * errors (opts_check_used).
 */
#ifndef UTIL_OPTS_H
#define UTIL_OPTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Opts Opts;

/**
 * Parses text. implied_key (may be NULL) names a first element without '='.
 * "flag" alone means flag=on, "noflag" is not special. Text that starts with
 * '{' is JSON: nested objects become "a.b", arrays "a.0", scalars their text,
 * booleans on/off.
 */
Opts *opts_parse(const char *text, const char *implied_key, GError **errp);
Opts *opts_new(void);
void opts_free(Opts *opts);
void opts_set(Opts *opts, const char *key, const char *value);

/** True for letters, digits, '-', '.', '_', starting with a letter: what an id has to be. */
bool id_wellformed(const char *id);
/** Value (last wins) or NULL; marks the key as used. */
const char *opts_get(Opts *opts, const char *key);
/** As opts_get without marking. Iterate with index i: false past the end. */
bool opts_nth(const Opts *opts, size_t i, const char **key, const char **value);
/** *out keeps its value (the default) when the key is absent. Errors: "Parameter 'k' expects 'on' or 'off'", "... expects a number", "... expects a size". */
bool opts_get_bool(Opts *opts, const char *key, bool *out, GError **errp);
bool opts_get_u64(Opts *opts, const char *key, uint64_t *out, GError **errp);
bool opts_get_size(Opts *opts, const char *key, uint64_t *out, GError **errp);
/** Error "Invalid parameter 'x'" behind what (e.g. "-netdev user"; NULL: nothing) if a key was never asked for. */
bool opts_check_used(const Opts *opts, const char *what, GError **errp);

/** "4k", "64M", "1.5G", "0x1000"; default_unit is the multiplier without suffix. False on junk, negative or overflow. */
bool parse_size(const char *text, uint64_t default_unit, uint64_t *out);
/** Plain unsigned number, decimal, hex or octal, whole text. */
bool parse_u64(const char *text, uint64_t *out);
/** "on" or "off" and their synonyms (yes, true, y). False: neither. */
bool parse_bool(const char *text, bool *out);
/** "on" or "off" and nothing else: what commands typed by people take. False: neither. */
bool parse_on_off(const char *text, bool *out);

#endif
