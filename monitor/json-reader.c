/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The incremental JSON reader of QMP. Bytes become tokens; tokens are kept
 * until brackets balance; then they are parsed into json-c values:
 *
 *   bytes -> [lexer state, token text] -> tokens -> balanced? -> parse -> emit
 *
 * A byte that fits nowhere is reported as stray and drops the message; up to
 * the next structural character or line end everything is skipped, so that
 * one mistake is one error. json-c's own tokener stops at the first error
 * and words it differently, hence this one. Never allocates beyond the
 * limits in json-text.h.
 */
#include "monitor/json-text.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

typedef enum LexState {
    LEX_START, LEX_RECOVERY, LEX_STRING, LEX_ESCAPE, LEX_KEYWORD, LEX_MINUS, LEX_ZERO,
    LEX_DIGITS, LEX_POINT, LEX_FRACTION, LEX_EXP, LEX_EXP_SIGN, LEX_EXP_DIGITS,
} LexState;

typedef enum TokenKind { TOK_STRUCT, TOK_STRING, TOK_KEYWORD, TOK_INTEGER, TOK_FLOAT } TokenKind;

typedef struct Token {
    TokenKind kind;
    unsigned start, len;    /* in the reader's text */
} Token;

struct JsonReader {
    JsonEmit *emit;
    void *opaque;
    LexState state;
    char quote;             /* of the string being read */
    GString *text;          /* all tokens of the message, then the one being read */
    size_t token_start;
    GArray *tokens;
    int braces, brackets;
};

/* A client that sent something huge once does not keep us large. */
#define KEEP_BYTES (64u << 10)

static void drop_message(JsonReader *r)
{
    if (r->text->allocated_len > KEEP_BYTES) {
        g_string_free(r->text, TRUE);
        r->text = g_string_new(NULL);
    }
    if (r->tokens->len > KEEP_BYTES / sizeof(Token)) {
        g_array_free(r->tokens, TRUE);
        r->tokens = g_array_new(FALSE, FALSE, sizeof(Token));
    }
    g_string_truncate(r->text, 0);
    g_array_set_size(r->tokens, 0);
    r->token_start = 0;
    r->braces = r->brackets = 0;
}

/* ---- parsing a complete message ---- */

typedef struct Parse {
    const JsonReader *r;
    size_t next;
    GError **errp;
} Parse;

static const Token *peek(const Parse *p)
{
    return p->next < p->r->tokens->len ? &g_array_index(p->r->tokens, Token, p->next) : NULL;
}

static bool peek_char(const Parse *p, char c)
{
    const Token *t = peek(p);
    return t && t->kind == TOK_STRUCT && p->r->text->str[t->start] == c;
}

static bool parse_fail(Parse *p, const char *what)
{
    error_setg(p->errp, "JSON parse error, %s", what);
    return false;
}

/* A Unicode scalar that may be exchanged: no surrogate, no noncharacter. */
static bool code_point_ok(unsigned c)
{
    return c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff) && !(c >= 0xfdd0 && c <= 0xfdef) &&
           (c & 0xfffe) != 0xfffe;
}

/* U+0000 becomes C0 80, so that strings stay C strings. */
static void append_code_point(GString *out, unsigned c)
{
    if (c == 0) {
        g_string_append_len(out, "\xc0\x80", 2);
    } else {
        g_string_append_unichar(out, c);
    }
}

/* Four hex digits at s, all before end; -1 if not. */
static int hex4(const char *s, const char *end)
{
    int v = 0;
    if (end - s < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int d = g_ascii_xdigit_value(s[i]);
        if (d < 0) {
            return -1;
        }
        v = v << 4 | d;
    }
    return v;
}

/* After "\u" at *s: one scalar, perhaps from two escapes. end is past the closing quote. */
static bool parse_unicode_escape(Parse *p, const char **s, const char *end, GString *out)
{
    int hi = hex4(*s, end), lo;
    unsigned c = (unsigned)hi;
    size_t used = 4;
    if (hi >= 0xd800 && hi <= 0xdbff && end - *s >= 10 && (*s)[4] == '\\' && (*s)[5] == 'u' &&
        (lo = hex4(*s + 6, end)) >= 0xdc00 && lo <= 0xdfff) {
        c = 0x10000 + ((unsigned)(hi & 0x3ff) << 10 | (unsigned)(lo & 0x3ff));
        used = 10;
    }
    if (hi < 0 || !code_point_ok(c)) {
        g_autofree char *shown = g_strndup(*s, MIN(4, end - *s));
        g_autofree char *what = g_strdup_printf("\\u%s is not a valid Unicode character", shown);
        return parse_fail(p, what);
    }
    append_code_point(out, c);
    *s += used;
    return true;
}

static bool parse_escape(Parse *p, const char **s, const char *end, GString *out)
{
    static const char from[] = "\"'\\/bfnrt", to[] = "\"'\\/\b\f\n\r\t";
    char c = *(*s)++;
    if (c == 'u') {
        return parse_unicode_escape(p, s, end, out);
    }
    const char *at = strchr(from, c);
    if (!c || !at) {
        return parse_fail(p, "invalid escape sequence in string");
    }
    g_string_append_c(out, to[at - from]);
    return true;
}

static bool parse_utf8(Parse *p, const char **s, const char *end, GString *out)
{
    if (end - *s >= 2 && !memcmp(*s, "\xc0\x80", 2)) {
        append_code_point(out, 0);
        *s += 2;
        return true;
    }
    gunichar c = g_utf8_get_char_validated(*s, end - *s);
    if (c == (gunichar)-1 || c == (gunichar)-2 || !code_point_ok(c)) {
        return parse_fail(p, "invalid UTF-8 sequence in string");
    }
    append_code_point(out, c);
    *s = g_utf8_next_char(*s);
    return true;
}

/* The decoded text of a string token, or NULL with the error set. */
static GString *parse_string(Parse *p, const Token *t)
{
    const char *s = p->r->text->str + t->start + 1, *end = s + t->len - 1;
    g_autoptr(GString) out = g_string_new(NULL);
    while (s < end - 1) {
        bool ok = true;
        if (*s == '\\') {
            s++;
            ok = parse_escape(p, &s, end, out);
        } else if ((signed char)*s < 0) {
            ok = parse_utf8(p, &s, end - 1, out);
        } else {
            g_string_append_c(out, *s++);
        }
        if (!ok) {
            return NULL;
        }
    }
    return g_steal_pointer(&out);
}

static bool parse_number(Parse *p, const Token *t, struct json_object **out)
{
    g_autofree char *text = g_strndup(p->r->text->str + t->start, t->len);
    if (t->kind == TOK_INTEGER) {
        errno = 0;
        int64_t v = g_ascii_strtoll(text, NULL, 10);
        if (errno == 0) {
            *out = json_object_new_int64(v);
            return true;
        }
        errno = 0;
        uint64_t u = g_ascii_strtoull(text, NULL, 10);
        if (errno == 0 && *text != '-') {
            *out = json_object_new_uint64(u);
            return true;
        }
    }
    double d = g_ascii_strtod(text, NULL);
    if (!isfinite(d)) {
        return parse_fail(p, "number out of range");
    }
    *out = json_object_new_double(d);
    return true;
}

static bool parse_keyword(Parse *p, const Token *t, struct json_object **out)
{
    g_autofree char *word = g_strndup(p->r->text->str + t->start, t->len);
    if (!strcmp(word, "null")) {
        *out = NULL;
    } else if (!strcmp(word, "true") || !strcmp(word, "false")) {
        *out = json_object_new_boolean(*word == 't');
    } else {
        g_autofree char *what = g_strdup_printf("invalid keyword '%s'", word);
        return parse_fail(p, what);
    }
    return true;
}

static bool parse_value(Parse *p, struct json_object **out);

static bool parse_pair(Parse *p, struct json_object *dict)
{
    struct json_object *key, *val;
    if (!parse_value(p, &key)) {
        return false;
    }
    bool ok = false;
    if (!json_object_is_type(key, json_type_string)) {
        parse_fail(p, "key is not a string in object");
    } else if (!peek_char(p, ':')) {
        parse_fail(p, "missing : in object pair");
    } else {
        p->next++;
        ok = parse_value(p, &val);
        if (ok && json_object_object_get_ex(dict, json_object_get_string(key), NULL)) {
            json_object_put(val);
            ok = parse_fail(p, "duplicate key");
        } else if (ok) {
            json_object_object_add(dict, json_object_get_string(key), val);
        }
    }
    json_object_put(key);
    return ok;
}

static bool parse_element(Parse *p, struct json_object *array)
{
    struct json_object *val;
    return parse_value(p, &val) && (json_object_array_add(array, val), true);
}

/* After the opening bracket: items up to and including close. */
static bool parse_items(Parse *p, struct json_object *into, char close,
                        bool (*item)(Parse *, struct json_object *))
{
    if (peek_char(p, close)) {
        p->next++;
        return true;
    }
    for (;;) {
        if (!item(p, into)) {
            return false;
        }
        bool more = peek_char(p, ',');
        if (!more && !peek_char(p, close)) {
            return parse_fail(p, close == '}' ? "expected separator in dict"
                                              : "expected separator in list");
        }
        p->next++;
        if (!more) {
            return true;
        }
    }
}

static bool parse_container(Parse *p, char open, struct json_object **out)
{
    struct json_object *c = open == '{' ? json_object_new_object() : json_object_new_array();
    if (!parse_items(p, c, open == '{' ? '}' : ']', open == '{' ? parse_pair : parse_element)) {
        json_object_put(c);
        return false;
    }
    *out = c;
    return true;
}

static bool parse_value(Parse *p, struct json_object **out)
{
    const Token *t = peek(p);
    if (!t) {
        return parse_fail(p, "premature EOI");
    }
    p->next++;
    if (t->kind == TOK_STRING) {
        g_autoptr(GString) s = parse_string(p, t);
        *out = s ? json_object_new_string_len(s->str, (int)s->len) : NULL;
        return s != NULL;
    }
    if (t->kind == TOK_KEYWORD) {
        return parse_keyword(p, t, out);
    }
    if (t->kind != TOK_STRUCT) {
        return parse_number(p, t, out);
    }
    char c = p->r->text->str[t->start];
    return c == '{' || c == '[' ? parse_container(p, c, out) : parse_fail(p, "expecting value");
}

/* ---- tokens to messages ---- */

static void emit_error(JsonReader *r, const char *text)
{
    g_autoptr(GError) err = NULL;
    error_setg(&err, "%s", text);
    drop_message(r);
    r->emit(r->opaque, NULL, err);
}

static void finish_message(JsonReader *r)
{
    g_autoptr(GError) err = NULL;
    struct json_object *value = NULL;
    Parse p = { .r = r, .errp = &err };
    bool ok = parse_value(&p, &value);
    drop_message(r);
    r->emit(r->opaque, ok ? value : NULL, ok ? NULL : err);
}

static void end_token(JsonReader *r, TokenKind kind)
{
    Token t = { kind, (unsigned)r->token_start, (unsigned)(r->text->len - r->token_start) };
    g_array_append_val(r->tokens, t);
    char c = r->text->str[t.start];
    r->token_start = r->text->len;
    r->state = LEX_START;
    if (kind == TOK_STRUCT) {
        r->braces += (c == '{') - (c == '}');
        r->brackets += (c == '[') - (c == ']');
    }
    if (r->braces < 0 || r->brackets < 0 || (!r->braces && !r->brackets)) {
        finish_message(r);
    } else if (r->braces + r->brackets > JSON_DEPTH_MAX) {
        emit_error(r, "JSON nesting depth limit exceeded");
    } else if (r->tokens->len > JSON_TOKENS_MAX) {
        emit_error(r, "JSON token count limit exceeded");
    }
}

/* ---- bytes to tokens ---- */

/* Bytes that are wrong wherever they stand: controls but TAB, CR, LF; FE and FF. */
static bool is_bad_byte(unsigned char c)
{
    return (c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c >= 0xfe;
}

static void stray(JsonReader *r, unsigned char c)
{
    g_autofree char *token = g_strndup(r->text->str + r->token_start,
                                       r->text->len - r->token_start);
    char last[] = { (char)c, 0 };
    g_autofree char *text = g_strdup_printf("JSON parse error, stray '%s%s'", token, last);
    r->state = LEX_RECOVERY;
    emit_error(r, text);
}

static void keep(JsonReader *r, unsigned char c, LexState state)
{
    g_string_append_c(r->text, (char)c);
    r->state = state;
}

/* At the start of a token. */
static void lex_start(JsonReader *r, unsigned char c)
{
    if (strchr("{}[]:,", c) && c) {
        keep(r, c, LEX_START);
        end_token(r, TOK_STRUCT);
    } else if (c == '"' || c == '\'') {
        r->quote = (char)c;
        keep(r, c, LEX_STRING);
    } else if (g_ascii_islower(c)) {
        keep(r, c, LEX_KEYWORD);
    } else if (c == '-') {
        keep(r, c, LEX_MINUS);
    } else if (g_ascii_isdigit(c)) {
        keep(r, c, c == '0' ? LEX_ZERO : LEX_DIGITS);
    } else if (!strchr(" \t\r\n", c) || !c) {
        stray(r, c);
    }
}

static void lex_recovery(JsonReader *r, unsigned char c)
{
    if (c && strchr("{}[]:,", c)) {
        r->state = LEX_START;
        lex_start(r, c);
    } else if (c == '\n') {
        r->state = LEX_START;
    } else if (is_bad_byte(c)) {
        stray(r, c);
    }
}

static void lex_string(JsonReader *r, unsigned char c)
{
    if (c < 0x20 || c >= 0xfe) {
        stray(r, c);
    } else if (r->state == LEX_ESCAPE) {
        keep(r, c, LEX_STRING);
    } else {
        keep(r, c, c == '\\' ? LEX_ESCAPE : LEX_STRING);
        if (c == (unsigned char)r->quote) {
            end_token(r, TOK_STRING);
        }
    }
}

/* One step of a number: true if c belongs to it; otherwise the token ends or c is stray. */
static bool lex_number(JsonReader *r, unsigned char c)
{
    bool digit = g_ascii_isdigit(c);
    LexState s = r->state;
    if (digit) {
        if (s == LEX_ZERO) {
            stray(r, c);
            return true;
        }
        keep(r, c, s == LEX_MINUS ? (c == '0' ? LEX_ZERO : LEX_DIGITS)
                 : s == LEX_POINT ? LEX_FRACTION
                 : s == LEX_EXP || s == LEX_EXP_SIGN ? LEX_EXP_DIGITS : s);
        return true;
    }
    if (c == '.' && (s == LEX_ZERO || s == LEX_DIGITS)) {
        keep(r, c, LEX_POINT);
    } else if ((c == 'e' || c == 'E') && (s == LEX_ZERO || s == LEX_DIGITS || s == LEX_FRACTION)) {
        keep(r, c, LEX_EXP);
    } else if ((c == '+' || c == '-') && s == LEX_EXP) {
        keep(r, c, LEX_EXP_SIGN);
    } else if (s == LEX_MINUS || s == LEX_POINT || s == LEX_EXP || s == LEX_EXP_SIGN) {
        stray(r, c);
    } else {
        end_token(r, s == LEX_ZERO || s == LEX_DIGITS ? TOK_INTEGER : TOK_FLOAT);
        return false;
    }
    return true;
}

static void lex_byte(JsonReader *r, unsigned char c)
{
    switch (r->state) {
    case LEX_START:
        lex_start(r, c);
        return;
    case LEX_RECOVERY:
        lex_recovery(r, c);
        return;
    case LEX_STRING:
    case LEX_ESCAPE:
        lex_string(r, c);
        return;
    case LEX_KEYWORD:
        if (g_ascii_islower(c)) {
            keep(r, c, LEX_KEYWORD);
            return;
        }
        end_token(r, TOK_KEYWORD);
        break;
    default:
        if (lex_number(r, c)) {
            return;
        }
        break;
    }
    lex_start(r, c);    /* c ended a word or number; it starts the next token */
}

void json_reader_feed(JsonReader *r, const void *buf, size_t len)
{
    const unsigned char *s = buf;
    for (size_t i = 0; i < len; i++) {
        lex_byte(r, s[i]);
        if (r->text->len > JSON_BYTES_MAX) {
            r->state = LEX_RECOVERY;
            emit_error(r, "JSON token size limit exceeded");
        }
    }
}

void json_reader_reset(JsonReader *r)
{
    drop_message(r);
    r->state = LEX_START;
}

JsonReader *json_reader_new(JsonEmit *emit, void *opaque)
{
    JsonReader *r = g_new0(JsonReader, 1);
    r->emit = emit;
    r->opaque = opaque;
    r->text = g_string_new(NULL);
    r->tokens = g_array_new(FALSE, FALSE, sizeof(Token));
    return r;
}

void json_reader_free(JsonReader *r)
{
    if (r) {
        g_string_free(r->text, TRUE);
        g_array_free(r->tokens, TRUE);
        g_free(r);
    }
}
