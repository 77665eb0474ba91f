/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the text after an HMP command's name to typed arguments, as the
 * args_type of its table entry says. Called by hmp.c; prints nothing.
 */
#include <string.h>

#include "monitor/hmp-internal.h"
#include "util/error.h"
#include "util/opts.h"

typedef struct HMPValue {
    char *text;     /* strings */
    int64_t num;    /* everything else */
} HMPValue;

static void skip_blanks(const char **text)
{
    *text += strspn(*text, " \t");
}

/* ---- expressions ---- */

typedef struct Expr {
    const char *p;
    bool stop_early;
    int depth;
    GError **errp;
} Expr;

static bool expr_sum(Expr *e, int64_t *out);

static bool expr_fail(Expr *e, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static bool expr_fail(Expr *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_setg(e->errp, "%s", text);
    return false;
}

static bool expr_number(Expr *e, int64_t *out)
{
    char *end;
    *out = (int64_t)g_ascii_strtoull(e->p, &end, 0);
    if (end == e->p) {
        return expr_fail(e, "invalid char '%c' in expression", *e->p);
    }
    e->p = end;
    skip_blanks(&e->p);
    return true;
}

static bool expr_unary(Expr *e, int64_t *out)
{
    skip_blanks(&e->p);
    char c = *e->p;
    if (!c) {
        return expr_fail(e, "unexpected end of expression");
    }
    if (e->depth > 64) {
        return expr_fail(e, "expression is too deep");
    }
    if (c == '+' || c == '-' || c == '~') {
        e->p++;
        e->depth++;
        if (!expr_unary(e, out)) {
            return false;
        }
        e->depth--;
        *out = c == '-' ? (int64_t)(0 - (uint64_t)*out) : c == '~' ? ~*out : *out;
        return true;
    }
    if (c == '(') {
        e->p++;
        e->depth++;
        bool stop = e->stop_early;
        e->stop_early = false;
        if (!expr_sum(e, out)) {
            return false;
        }
        e->stop_early = stop;
        e->depth--;
        if (*e->p != ')') {
            return expr_fail(e, "')' expected");
        }
        e->p++;
        skip_blanks(&e->p);
        return true;
    }
    if (c == '\'') {
        if (!e->p[1] || e->p[2] != '\'') {
            return expr_fail(e, "missing terminating ' character");
        }
        *out = (unsigned char)e->p[1];
        e->p += 3;
        skip_blanks(&e->p);
        return true;
    }
    if (c == '$') {
        return expr_fail(e, "unknown register");
    }
    return expr_number(e, out);
}

/*
 * The operator at the cursor if it is one of ops. "10 /tmp/x" has two
 * arguments: with stop_early a blank before and none after ends the number.
 */
static char expr_operator(Expr *e, const char *start, const char *ops)
{
    char c = *e->p;
    if (!c || !strchr(ops, c)) {
        return 0;
    }
    bool blank_before = e->p > start && strchr(" \t", e->p[-1]);
    if (e->stop_early && blank_before && e->p[1] && !strchr(" \t", e->p[1])) {
        return 0;
    }
    e->p++;
    return c;
}

static bool expr_product(Expr *e, int64_t *out)
{
    const char *start = e->p;
    int64_t rhs;
    char op;
    if (!expr_unary(e, out)) {
        return false;
    }
    while ((op = expr_operator(e, start, "*/%"))) {
        if (!expr_unary(e, &rhs)) {
            return false;
        }
        if (op == '*') {
            *out = (int64_t)((uint64_t)*out * (uint64_t)rhs);
        } else if (rhs == 0) {
            return expr_fail(e, "division by zero");
        } else if (rhs == -1) {     /* INT64_MIN / -1 traps */
            *out = op == '/' ? (int64_t)(0 - (uint64_t)*out) : 0;
        } else {
            *out = op == '/' ? *out / rhs : *out % rhs;
        }
    }
    return true;
}

static bool expr_bits(Expr *e, int64_t *out)
{
    const char *start = e->p;
    int64_t rhs;
    char op;
    if (!expr_product(e, out)) {
        return false;
    }
    while ((op = expr_operator(e, start, "&|^"))) {
        if (!expr_product(e, &rhs)) {
            return false;
        }
        *out = op == '&' ? *out & rhs : op == '|' ? *out | rhs : *out ^ rhs;
    }
    return true;
}

static bool expr_sum(Expr *e, int64_t *out)
{
    const char *start = e->p;
    int64_t rhs;
    char op;
    if (!expr_bits(e, out)) {
        return false;
    }
    while ((op = expr_operator(e, start, "+-"))) {
        if (!expr_bits(e, &rhs)) {
            return false;
        }
        *out = (int64_t)(op == '+' ? (uint64_t)*out + (uint64_t)rhs
                                   : (uint64_t)*out - (uint64_t)rhs);
    }
    return true;
}

bool hmp_expression(const char **text, bool stop_early, int64_t *out, GError **errp)
{
    Expr e = { .p = *text, .stop_early = stop_early, .errp = errp };
    bool ok = expr_sum(&e, out);
    *text = e.p;
    return ok;
}

/* ---- words ---- */

static bool quoted_word(const char **text, GString *out, GError **errp)
{
    const char *p = *text + 1;
    while (*p && *p != '"') {
        if (*p != '\\') {
            g_string_append_c(out, *p++);
            continue;
        }
        const char *from = "nr\\'\"", *at = p[1] ? strchr(from, p[1]) : NULL;
        if (!at) {
            error_setg(errp, "unsupported escape code: '\\%c'", p[1] ? p[1] : ' ');
            return false;
        }
        g_string_append_c(out, "\n\r\\'\""[at - from]);
        p += 2;
    }
    if (*p != '"') {
        error_setg(errp, "unterminated string");
        return false;
    }
    *text = p + 1;
    return true;
}

char *hmp_word(const char **text, GError **errp)
{
    skip_blanks(text);
    if (!**text) {
        return NULL;
    }
    g_autoptr(GString) out = g_string_new(NULL);
    if (**text == '"') {
        if (!quoted_word(text, out, errp)) {
            return NULL;
        }
    } else {
        size_t len = strcspn(*text, " \t");
        g_string_append_len(out, *text, (gssize)len);
        *text += len;
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* ---- arguments ---- */

static void value_free(gpointer p)
{
    HMPValue *v = p;
    g_free(v->text);
    g_free(v);
}

static void add_num(HMPArgs *args, const char *key, int64_t num)
{
    HMPValue *v = g_new0(HMPValue, 1);
    v->num = num;
    g_hash_table_replace(args->values, g_strdup(key), v);
}

static void add_text(HMPArgs *args, const char *key, char *text)
{
    HMPValue *v = g_new0(HMPValue, 1);
    v->text = text;
    g_hash_table_replace(args->values, g_strdup(key), v);
}

/* One element of args_type. */
typedef struct ArgSpec {
    char *key;
    char type;          /* '-' : flag */
    char flag;
    bool optional, last;
} ArgSpec;

static bool next_spec(const char **types, ArgSpec *spec)
{
    if (!**types) {
        return false;
    }
    const char *colon = strchr(*types, ':');
    size_t len = strcspn(colon + 1, ",");
    spec->key = g_strndup(*types, (gsize)(colon - *types));
    spec->type = colon[1];
    spec->flag = spec->type == '-' ? colon[2] : 0;
    spec->optional = memchr(colon + 1, '?', len) != NULL;
    *types = colon + 1 + len;
    *types += **types == ',';
    spec->last = !**types;
    return true;
}

static bool parse_text(const HMPCommand *cmd, const ArgSpec *spec, const char **text,
                       HMPArgs *args, GError **errp)
{
    static const struct { char type; const char *what; } kinds[] = {
        { 'F', "filename" }, { 'B', "block device name" }, { 's', "string" },
    };
    g_autoptr(GError) err = NULL;
    char *word = hmp_word(text, &err);
    if (word) {
        add_text(args, spec->key, word);
        return true;
    }
    if (!err && spec->optional) {
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (spec->type == kinds[i].type) {
            error_setg(errp, "%s%s%s: %s expected", err ? err->message : "", err ? "\n" : "",
                       cmd->name, kinds[i].what);
        }
    }
    return false;
}

/* "/4xw": count, then format letter and size letter in any order. */
static bool parse_format(const char **text, HMPFormat *fmt, HMPArgs *args, GError **errp)
{
    int64_t count = 1;
    char format = 0;
    int size = 0;
    if (**text == '/') {
        const char *p = *text + 1;
        char *end;
        if (g_ascii_isdigit(*p)) {
            count = g_ascii_strtoll(p, &end, 10);
            p = end;
        }
        for (; *p && !strchr(" \t", *p); p++) {
            if (strchr("bhwg", *p)) {
                size = *p == 'b' ? 1 : *p == 'h' ? 2 : *p == 'w' ? 4 : 8;
            } else if (strchr("oxducip", *p)) {
                format = *p == 'p' ? 'x' : *p;
            } else {
                error_setg(errp, "invalid char in format: '%c'", *p);
                return false;
            }
        }
        *text = p;
        skip_blanks(text);
    }
    fmt->format = format ? format : fmt->format;
    fmt->size = size ? size : fmt->size;
    add_num(args, "count", count);
    add_num(args, "format", fmt->format);
    add_num(args, "size", fmt->size);
    return true;
}

static bool parse_size_arg(const ArgSpec *spec, const char **text, HMPArgs *args, GError **errp)
{
    g_autofree char *word = hmp_word(text, NULL);
    uint64_t bytes;
    if (!word || !parse_size(word, 1 << 20, &bytes) || bytes > INT64_MAX) {
        error_setg(errp, "invalid size");
        return false;
    }
    add_num(args, spec->key, (int64_t)bytes);
    return true;
}

static bool parse_switch(const ArgSpec *spec, const char **text, HMPArgs *args, GError **errp)
{
    g_autofree char *word = hmp_word(text, NULL);
    bool on;
    if (!word || !parse_on_off(word, &on)) {
        error_setg(errp, "Expected 'on' or 'off'");
        return false;
    }
    add_num(args, spec->key, on);
    return true;
}

static bool parse_integer(const ArgSpec *spec, const char **text, HMPArgs *args, GError **errp)
{
    int64_t v;
    if (!hmp_expression(text, !spec->last, &v, errp)) {
        return false;
    }
    if (spec->type == 'i' && (v > UINT32_MAX || v < INT32_MIN)) {
        error_setg(errp, "integer is for 32-bit values");
        return false;
    }
    if (spec->type == 'M') {
        if (v < 0 || v > INT64_MAX >> 20) {
            error_setg(errp, "enter a positive value");
            return false;
        }
        v <<= 20;
    }
    add_num(args, spec->key, v);
    return true;
}

/* Flags may be given together: -dx. All flag specs of a command stand side by side. */
static bool parse_flags(const HMPCommand *cmd, const char *types, const char **text,
                        HMPArgs *args, GError **errp)
{
    while (**text == '-' && g_ascii_isalpha((*text)[1])) {
        const char *p = *text + 1;
        for (; *p && !strchr(" \t", *p); p++) {
            const char *t = types;
            ArgSpec spec;
            bool known = false;
            while (next_spec(&t, &spec)) {
                if (spec.type == '-' && spec.flag == *p) {
                    add_num(args, spec.key, 1);
                    known = true;
                }
                g_free(spec.key);
            }
            if (!known) {
                error_setg(errp, "%s: unsupported option -%c", cmd->name, *p);
                return false;
            }
        }
        *text = p;
        skip_blanks(text);
    }
    return true;
}

static bool parse_one(const HMPCommand *cmd, const ArgSpec *spec, const char **text,
                      HMPFormat *fmt, HMPArgs *args, GError **errp)
{
    skip_blanks(text);
    if (strchr("FBs", spec->type)) {
        return parse_text(cmd, spec, text, args, errp);
    }
    if (spec->type == '/') {
        return parse_format(text, fmt, args, errp);
    }
    if (spec->type == 'S') {
        if (**text) {
            add_text(args, spec->key, g_strdup(*text));
        } else if (!spec->optional) {
            error_setg(errp, "%s: string expected", cmd->name);
            return false;
        }
        *text += strlen(*text);
        return true;
    }
    if (!**text && spec->optional) {
        return true;
    }
    return spec->type == 'b' ? parse_switch(spec, text, args, errp)
         : spec->type == 'o' ? parse_size_arg(spec, text, args, errp)
         : parse_integer(spec, text, args, errp);
}

HMPArgs *hmp_args_parse(const HMPCommand *cmd, const char *text, HMPFormat *fmt, GError **errp)
{
    HMPArgs *args = g_new0(HMPArgs, 1);
    args->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, value_free);
    const char *types = cmd->args_type;
    ArgSpec spec;
    bool ok = true;
    skip_blanks(&text);
    if (strstr(types, ":-")) {
        ok = parse_flags(cmd, types, &text, args, errp);
    }
    while (ok && next_spec(&types, &spec)) {
        ok = spec.type == '-' || parse_one(cmd, &spec, &text, fmt, args, errp);
        g_free(spec.key);
    }
    skip_blanks(&text);
    if (ok && *text) {
        error_setg(errp, "%s: extraneous characters at the end of line", cmd->name);
        ok = false;
    }
    if (!ok) {
        hmp_args_free(args);
        return NULL;
    }
    return args;
}

void hmp_args_free(HMPArgs *args)
{
    if (args) {
        g_hash_table_destroy(args->values);
        g_free(args);
    }
}

const char *hmp_arg_str(const HMPArgs *args, const char *name)
{
    const HMPValue *v = g_hash_table_lookup(args->values, name);
    return v ? v->text : NULL;
}

bool hmp_arg_has(const HMPArgs *args, const char *name)
{
    return g_hash_table_contains(args->values, name);
}

int64_t hmp_arg_int(const HMPArgs *args, const char *name, int64_t dflt)
{
    const HMPValue *v = g_hash_table_lookup(args->values, name);
    return v ? v->num : dflt;
}

bool hmp_arg_flag(const HMPArgs *args, const char *name)
{
    return hmp_arg_int(args, name, 0) != 0;
}
