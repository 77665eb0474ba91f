/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option groups: the text form "driver,key=value,flag" and the JSON form of
 * the same, parsed into an ordered list of keys and values. Used by the
 * command line, chardevs, devices and monitors; never prints.
 */
#include "util/opts.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include "util/error.h"

typedef struct Opt {
    char *key, *value;
    bool used;
} Opt;

struct Opts {
    GPtrArray *items; /* Opt* */
};

static void opt_free(gpointer data)
{
    Opt *opt = data;

    g_free(opt->key);
    g_free(opt->value);
    g_free(opt);
}

Opts *opts_new(void)
{
    Opts *opts = g_new0(Opts, 1);

    opts->items = g_ptr_array_new_with_free_func(opt_free);
    return opts;
}

void opts_free(Opts *opts)
{
    if (opts) {
        g_ptr_array_free(opts->items, TRUE);
        g_free(opts);
    }
}

/* Takes both strings. */
static void opts_append(Opts *opts, char *key, char *value)
{
    Opt *opt = g_new0(Opt, 1);

    opt->key = key;
    opt->value = value;
    g_ptr_array_add(opts->items, opt);
}

void opts_set(Opts *opts, const char *key, const char *value)
{
    opts_append(opts, g_strdup(key), g_strdup(value));
}

/* ---- text form ---- */

/* One element up to a single comma; a doubled comma stands for one. Moves *text behind it. */
static char *element_next(const char **text)
{
    GString *out = g_string_new(NULL);
    const char *p = *text;

    for (; *p; p++) {
        if (*p == ',') {
            if (p[1] != ',') {
                p++;
                break;
            }
            p++;
        }
        g_string_append_c(out, *p);
    }
    *text = p;
    return g_string_free(out, FALSE);
}

static bool parse_text(Opts *opts, const char *text, const char *implied_key, GError **errp)
{
    for (bool first = true; *text; first = false) {
        g_autofree char *element = element_next(&text);
        char *equals = strchr(element, '=');
        if (first && implied_key && !equals) {
            opts_set(opts, implied_key, element);
        } else if (!equals) {
            if (!*element) {
                error_setg(errp, "Empty parameter");
                return false;
            }
            opts_set(opts, element, "on");
        } else if (equals == element) {
            error_setg(errp, "Parameter without a name before '%s'", element);
            return false;
        } else {
            opts_append(opts, g_strndup(element, equals - element), g_strdup(equals + 1));
        }
    }
    return true;
}

/* ---- JSON form ---- */

bool id_wellformed(const char *id)
{
    if (!g_ascii_isalpha(*id)) {
        return false;
    }
    for (; *id; id++) {
        if (!g_ascii_isalnum(*id) && !strchr("-._", *id)) {
            return false;
        }
    }
    return true;
}

static bool flatten(Opts *opts, const char *key, json_object *value, GError **errp);

static bool flatten_child(Opts *opts, const char *prefix, const char *name, json_object *value,
                          GError **errp)
{
    g_autofree char *key = *prefix ? g_strdup_printf("%s.%s", prefix, name) : g_strdup(name);

    if (!*name) {
        error_setg(errp, "Parameter with an empty name in '%s'", prefix);
        return false;
    }
    return flatten(opts, key, value, errp);
}

static bool flatten_array(Opts *opts, const char *key, json_object *value, GError **errp)
{
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        g_autofree char *index = g_strdup_printf("%zu", i);
        if (!flatten_child(opts, key, index, json_object_array_get_idx(value, i), errp)) {
            return false;
        }
    }
    return true;
}

static bool flatten(Opts *opts, const char *key, json_object *value, GError **errp)
{
    switch (json_object_get_type(value)) {
    case json_type_object: {
        json_object_object_foreach(value, name, child) {
            if (!flatten_child(opts, key, name, child, errp)) {
                return false;
            }
        }
        return true;
    }
    case json_type_array:
        return flatten_array(opts, key, value, errp);
    case json_type_boolean:
        opts_set(opts, key, json_object_get_boolean(value) ? "on" : "off");
        return true;
    case json_type_null:
        error_setg(errp, "Parameter '%s' expects a value, got null", key);
        return false;
    case json_type_string:
        if (strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value)) {
            error_setg(errp, "Parameter '%s' contains a NUL character", key);
            return false;
        }
        /* fall through */
    default:
        opts_set(opts, key, json_object_get_string(value));
        return true;
    }
}

static bool parse_json(Opts *opts, const char *text, GError **errp)
{
    json_tokener *tok = json_tokener_new();
    size_t len = strlen(text);
    bool ok = false;

    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    json_object *root = json_tokener_parse_ex(tok, text, MIN(len, G_MAXINT));
    enum json_tokener_error why = json_tokener_get_error(tok);
    if (why != json_tokener_success || json_tokener_get_parse_end(tok) != len) {
        error_setg(errp, "JSON parse error at offset %zu: %s", json_tokener_get_parse_end(tok),
                   why == json_tokener_success ? "trailing characters"
                   : why == json_tokener_continue ? "unexpected end"
                                                  : json_tokener_error_desc(why));
    } else {
        ok = flatten(opts, "", root, errp);
    }
    json_object_put(root);
    json_tokener_free(tok);
    return ok;
}

Opts *opts_parse(const char *text, const char *implied_key, GError **errp)
{
    Opts *opts = opts_new();
    bool ok = *text == '{' ? parse_json(opts, text, errp)
                           : parse_text(opts, text, implied_key, errp);

    if (!ok) {
        opts_free(opts);
        return NULL;
    }
    return opts;
}

/* ---- reading ---- */

const char *opts_get(Opts *opts, const char *key)
{
    const char *value = NULL;

    for (guint i = 0; i < opts->items->len; i++) {
        Opt *opt = opts->items->pdata[i];
        if (strcmp(opt->key, key) == 0) {
            opt->used = true;
            value = opt->value;
        }
    }
    return value;
}

bool opts_nth(const Opts *opts, size_t i, const char **key, const char **value)
{
    if (i >= opts->items->len) {
        return false;
    }
    const Opt *opt = opts->items->pdata[i];
    *key = opt->key;
    *value = opt->value;
    return true;
}

bool opts_get_bool(Opts *opts, const char *key, bool *out, GError **errp)
{
    const char *value = opts_get(opts, key);

    if (value && !parse_bool(value, out)) {
        error_setg(errp, "Parameter '%s' expects 'on' or 'off'", key);
        return false;
    }
    return true;
}

bool opts_get_u64(Opts *opts, const char *key, uint64_t *out, GError **errp)
{
    const char *value = opts_get(opts, key);

    if (value && !parse_u64(value, out)) {
        error_setg(errp, "Parameter '%s' expects a number", key);
        return false;
    }
    return true;
}

bool opts_get_size(Opts *opts, const char *key, uint64_t *out, GError **errp)
{
    const char *value = opts_get(opts, key);

    if (value && !parse_size(value, 1, out)) {
        error_setg(errp, "Parameter '%s' expects a size", key);
        return false;
    }
    return true;
}

bool opts_check_used(const Opts *opts, const char *what, GError **errp)
{
    for (guint i = 0; i < opts->items->len; i++) {
        const Opt *opt = opts->items->pdata[i];
        if (!opt->used) {
            error_setg(errp, "%s%sInvalid parameter '%s'", what ? what : "", what ? ": " : "",
                       opt->key);
            return false;
        }
    }
    return true;
}

/* ---- numbers ---- */

/* The digits of text as a number; *end behind them. False without digits or on overflow. */
static bool parse_digits(const char *text, int base, const char **end, uint64_t *out)
{
    if (!g_ascii_isxdigit(*text)) { /* strtoull would take blanks and signs */
        return false;
    }
    char *stop;
    errno = 0;
    *out = strtoull(text, &stop, base);
    *end = stop;
    return errno == 0 && stop != text;
}

static bool parse_words(const char *text, const char *const *on, const char *const *off, bool *out)
{
    *out = g_strv_contains(on, text);
    return *out || g_strv_contains(off, text);
}

bool parse_bool(const char *text, bool *out)
{
    static const char *const on[] = { "on", "yes", "true", "y", NULL };
    static const char *const off[] = { "off", "no", "false", "n", NULL };

    return parse_words(text, on, off, out);
}

bool parse_on_off(const char *text, bool *out)
{
    static const char *const on[] = { "on", NULL }, *const off[] = { "off", NULL };

    return parse_words(text, on, off, out);
}

bool parse_u64(const char *text, uint64_t *out)
{
    const char *end;
    uint64_t value;

    if (!parse_digits(text, 0, &end, &value) || *end) {
        return false;
    }
    *out = value;
    return true;
}

static bool size_suffix(const char *suffix, uint64_t default_unit, uint64_t *unit)
{
    static const char letters[] = "BKMGTPE";

    if (!*suffix) {
        *unit = default_unit;
        return true;
    }
    const char *at = strchr(letters, g_ascii_toupper(*suffix));
    if (!at || suffix[1]) {
        return false;
    }
    *unit = 1ULL << (10 * (at - letters));
    return true;
}

bool parse_size(const char *text, uint64_t default_unit, uint64_t *out)
{
    uint64_t whole, fraction = 0, scale = 1, unit;
    const char *p;
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

    if (!parse_digits(text, hex ? 16 : 10, &p, &whole)) {
        return false;
    }
    if (!hex && *p == '.') {
        if (!g_ascii_isdigit(*++p)) {
            return false;
        }
        for (; g_ascii_isdigit(*p); p++) {
            if (scale < 1000000000000000000ULL) { /* more digits than that change nothing */
                fraction = fraction * 10 + (*p - '0');
                scale *= 10;
            }
        }
    }
    if ((hex && *p) || !size_suffix(p, default_unit, &unit) || (fraction && unit == 1)) {
        return false;
    }
    unsigned __int128 bytes = (unsigned __int128)whole * unit +
                              (unsigned __int128)fraction * unit / scale;
    if (bytes > UINT64_MAX) {
        return false;
    }
    *out = bytes;
    return true;
}
