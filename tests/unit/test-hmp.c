/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's argument parser and line editor; messages are QEMU 7.2's. */
#include <locale.h>
#include <string.h>
#include <sys/resource.h>

#include "util/near-name.h"
#include "monitor/hmp-internal.h"

static HMPFormat fmt = { 'x', 4 };

static HMPArgs *parse(const char *types, const char *text, GError **errp)
{
    HMPCommand cmd = { .name = "cmd|c", .args_type = types };
    return hmp_args_parse(&cmd, text, &fmt, errp);
}

static void test_good(void)
{
    HMPArgs *a = parse("detach:-d,xbzrle:-x,uri:s", "-d -x \"tcp:a b\\\"\"", NULL);
    g_assert_true(hmp_arg_flag(a, "detach"));
    g_assert_true(hmp_arg_flag(a, "xbzrle"));
    g_assert_cmpstr(hmp_arg_str(a, "uri"), ==, "tcp:a b\"");
    hmp_args_free(a);

    a = parse("detach:-d,xbzrle:-x,uri:s", "-dx u", NULL);
    g_assert_true(hmp_arg_flag(a, "detach") && hmp_arg_flag(a, "xbzrle"));
    hmp_args_free(a);

    a = parse("val:l,size:i,filename:s", "0x10*2 (1+2)*3 /tmp/x", NULL);
    g_assert_cmpint(hmp_arg_int(a, "val", 0), ==, 32);
    g_assert_cmpint(hmp_arg_int(a, "size", 0), ==, 9);
    g_assert_cmpstr(hmp_arg_str(a, "filename"), ==, "/tmp/x");
    hmp_args_free(a);

    a = parse("v:o", "64k", NULL);
    g_assert_cmpint(hmp_arg_int(a, "v", 0), ==, 65536);
    hmp_args_free(a);
    a = parse("v:o", "256", NULL);
    g_assert_cmpint(hmp_arg_int(a, "v", 0), ==, 256 << 20);
    hmp_args_free(a);
    a = parse("v:M", "3", NULL);
    g_assert_cmpint(hmp_arg_int(a, "v", 0), ==, 3 << 20);
    hmp_args_free(a);
    a = parse("name:s,state:b", "xbzrle on", NULL);
    g_assert_cmpint(hmp_arg_int(a, "state", 0), ==, 1);
    hmp_args_free(a);
    a = parse("text:S?", "  a b  c", NULL);
    g_assert_cmpstr(hmp_arg_str(a, "text"), ==, "a b  c");
    hmp_args_free(a);
    a = parse("index:i?", "", NULL);
    g_assert_false(hmp_arg_has(a, "index"));
    g_assert_cmpint(hmp_arg_int(a, "index", -7), ==, -7);
    hmp_args_free(a);
}

static void test_format(void)
{
    HMPArgs *a = parse("fmt:/,addr:l", "/4xg 0x1000", NULL);
    g_assert_cmpint(hmp_arg_int(a, "count", 0), ==, 4);
    g_assert_cmpint(hmp_arg_int(a, "format", 0), ==, 'x');
    g_assert_cmpint(hmp_arg_int(a, "size", 0), ==, 8);
    hmp_args_free(a);
    a = parse("fmt:/,addr:l", "0x2000", NULL);     /* the last format stays */
    g_assert_cmpint(hmp_arg_int(a, "count", 0), ==, 1);
    g_assert_cmpint(hmp_arg_int(a, "size", 0), ==, 8);
    hmp_args_free(a);
}

static void test_bad(void)
{
    static const struct { const char *types, *text, *want; } rows[] = {
        { "", "x", "cmd|c: extraneous characters at the end of line" },
        { "d:-d,uri:s", "", "cmd|c: string expected" },
        { "d:-d,uri:s", "-d", "cmd|c: string expected" },
        { "d:-d,uri:s", "-z x", "cmd|c: unsupported option -z" },
        { "name:s,state:b", "xbzrle foo", "Expected 'on' or 'off'" },
        { "f:F", "", "cmd|c: filename expected" },
        { "f:B", "", "cmd|c: block device name expected" },
        { "v:l", "", "unexpected end of expression" },
        { "v:l", "foo", "invalid char 'f' in expression" },
        { "v:l", "(1+2", "')' expected" },
        { "v:l", "5/0", "division by zero" },
        { "v:l", "5%0", "division by zero" },
        { "v:l", "$pc", "unknown register" },
        { "v:l", "1 2", "cmd|c: extraneous characters at the end of line" },
        { "v:i", "0x123456789", "integer is for 32-bit values" },
        { "v:M", "-1", "enter a positive value" },
        { "v:o", "1x", "invalid size" },
        { "v:o", "-1", "invalid size" },
        { "fmt:/,addr:l", "/4s 0", "invalid char in format: 's'" },
        { "s:s", "\"abc", "unterminated string\ncmd|c: string expected" },
        { "s:s", "\"a\\q\"", "unsupported escape code: '\\q'\ncmd|c: string expected" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(parse(rows[i].types, rows[i].text, &err));
        g_assert_cmpstr(err->message, ==, rows[i].want);
    }
}

static void test_expressions(void)
{
    static const struct { const char *text; int64_t want; } rows[] = {
        { "1+2*3", 7 }, { "(1+2)*3", 9 }, { "-1", -1 }, { "~0", -1 }, { "010", 8 }, { "'A'", 65 },
        { "10 / 3", 3 }, { "10 % 3", 1 }, { "6&3", 2 }, { "6|3", 7 }, { "6^3", 5 }, { "1 -1", 0 },
        { "0x7fffffffffffffff+1", INT64_MIN }, { "-0x8000000000000000/-1", INT64_MIN },
        { "18446744073709551615", -1 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *p = rows[i].text;
        int64_t v;
        g_assert_true(hmp_expression(&p, false, &v, NULL));
        g_assert_cmpint(v, ==, rows[i].want);
        g_assert_cmpstr(p, ==, "");
    }
    g_autofree char *deep = g_strnfill(100000, '(');
    const char *p = deep;
    int64_t v;
    g_assert_false(hmp_expression(&p, false, &v, NULL));
}

/* ---- the editor ---- */

typedef struct Screen {
    GString *out;
    GString *lines;     /* lines entered, each with '\n' */
    unsigned columns;
} Screen;

static void on_write(void *opaque, const char *text, size_t len)
{
    g_string_append_len(((Screen *)opaque)->out, text, (gssize)len);
}

static void on_line(void *opaque, const char *line)
{
    g_string_append_printf(((Screen *)opaque)->lines, "%s\n", line);
}

static GPtrArray *on_complete(void *opaque, const char *text, size_t *word_start)
{
    static const char *const words[] = { "migrate", "migrate_cancel", "stop" };
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    (void)opaque;
    *word_start = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_str_has_prefix(words[i], text)) {
            g_ptr_array_add(out, g_strdup(words[i]));
        }
    }
    return out;
}

static unsigned on_columns(void *opaque)
{
    return ((Screen *)opaque)->columns;
}

static const LineEditorOps ops = { on_write, on_line, on_complete, on_columns };

static void type(LineEditor *e, const char *keys)
{
    for (const char *k = keys; *k; k++) {
        line_editor_byte(e, (uint8_t)*k);
    }
}

/* Types keys and compares the lines that came out. */
static void check_keys(const char *keys, const char *want)
{
    Screen s = { g_string_new(NULL), g_string_new(NULL), 0 };
    LineEditor *e = line_editor_new(&ops, &s, "> ");
    line_editor_start(e);
    type(e, keys);
    g_assert_cmpstr(s.lines->str, ==, want);
    line_editor_free(e);
    g_string_free(s.out, TRUE);
    g_string_free(s.lines, TRUE);
}

static void check_all_keys(void)
{
    check_keys("stop\r", "stop\n");
    check_keys("stop\r\ncont\n", "stop\ncont\n");          /* CR LF once */
    check_keys("\r\r", "\n\n");
    check_keys("stpo\b\bop\r", "stop\n");
    check_keys("top\001s\r", "stop\n");                     /* Ctrl-A */
    check_keys("sxtop\001\006\004\005!\r", "stop!\n");      /* Ctrl-A F D E */
    check_keys("stp\033[Do\r", "stop\n");                   /* left */
    check_keys("xstop\033[H\033[3~\r", "stop\n");           /* home, delete */
    check_keys("one two\027three\r", "one three\n");        /* Ctrl-W */
    check_keys("junk\025stop\r", "stop\n");                 /* Ctrl-U */
    check_keys("abcd\002\002\013\r", "ab\n");               /* Ctrl-K */
    check_keys("abcd\002\002\013x\031\r", "abxcd\n");       /* and back: Ctrl-Y */
    check_keys("one two\033b\033d2\r", "one 2\n");
    check_keys("junk\003stop\r", "stop\n");                 /* Ctrl-C */
    check_keys("a\rb\r\033[A\033[A\r", "a\nb\na\n");        /* history */
    check_keys("a\rb\rc\033[A\033[B\r", "a\nb\nc\n");       /* what was typed comes back */
    check_keys("a\rb\ra\r\033[A\033[A\r", "a\nb\na\nb\n");    /* a line is there once */
    check_keys("one\033[1;5D\033[9;9Zx\033O\033OFy\r", "xoney\n");    /* unknown keys do nothing */
    check_keys("stop\rcont\r\022st\r", "stop\ncont\nstop\n");   /* Ctrl-R */
    check_keys("stop\rstep\r\033[A\025\022st\022\r", "stop\nstep\nstop\n");     /* older */
    check_keys("stop\rstep\r\022stox\b\177\177p\033[Dx\r", "stop\nstep\nstexp\n");
    check_keys("stop\rx\022sto\007y\r", "stop\nxy\n");          /* Ctrl-G: back to before */
    check_keys("stop\rx\022zz\r", "stop\nx\n");                  /* not found */
    check_keys("stop\r\022s\003x\r", "stop\nx\n");
    check_keys("st\t\r", "stop \n");                        /* one candidate */
    check_keys("mi\t_c\t\r", "migrate_cancel \n");          /* common prefix, then one */
    check_keys("one two three\001\033d\005\031\r", " two threeone\n");
    check_keys("zz\t\r", "zz\n");
    check_keys("x\033[D\033[Dst\t\r", "stop x\n");
    check_keys("\303\251\033[D\303\240\033[C\b\r", "\303\240\n");   /* UTF-8 is deleted whole */
}

static void test_editor(void)
{
    static const char *const terminals[] = { "xterm", "vt100", "dumb", "emacs", "", "unheard-of" };
    for (size_t i = 0; i < G_N_ELEMENTS(terminals); i++) {
        g_setenv("TERM", terminals[i], TRUE);
        check_all_keys();
    }
    g_unsetenv("TERM");
    check_all_keys();
}

/* Where no pseudo terminal is to be had a line can be typed and corrected, no more. */
static void test_editor_plain(void)
{
    struct rlimit old, none = { 0, 0 };
    Screen s = { g_string_new(NULL), g_string_new(NULL), 0 };
    LineEditor *e = line_editor_new(&ops, &s, "> ");
    getrlimit(RLIMIT_NOFILE, &old);
    none.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_NOFILE, &none);
    line_editor_start(e);
    setrlimit(RLIMIT_NOFILE, &old);
    type(e, "sto\303\251\bp\033\r\njunk\003x\377\r");
    g_assert_cmpstr(s.lines->str, ==, "stop\nx\357\277\275\n");
    g_assert_cmpstr(s.out->str, ==, "> sto\303\251\b \bp\r\n> junk^C\r\n> x\377\r\n");
    g_autoptr(GPtrArray) history = line_editor_history(e);
    g_assert_cmpuint(history->len, ==, 2);
    line_editor_free(e);
    g_string_free(s.out, TRUE);
    g_string_free(s.lines, TRUE);
}

/* Keys of two sessions in turn, in the middle of escape sequences, characters and searches. */
static void test_editor_two(void)
{
    static const char a[] = "stop\rx\022st\r\303\251\033[D\033[C!\r", b[] = "\033[Acont\r\022c\r12\0333\r4";
    Screen sa = { g_string_new(NULL), g_string_new(NULL), 0 };
    Screen sb = { g_string_new(NULL), g_string_new(NULL), 30 };
    LineEditor *ea = line_editor_new(&ops, &sa, "> "), *eb = line_editor_new(&ops, &sb, "> ");
    for (size_t i = 0; i < MAX(sizeof(a), sizeof(b)) - 1; i++) {
        if (i < sizeof(a) - 1) {
            line_editor_byte(ea, (uint8_t)a[i]);
        }
        if (i < sizeof(b) - 1) {
            line_editor_byte(eb, (uint8_t)b[i]);
        }
    }
    g_assert_cmpstr(sa.lines->str, ==, "stop\nstop\n\303\251!\n");
    g_assert_cmpstr(sb.lines->str, ==, "cont\ncont\n12\n");
    line_editor_free(ea);
    line_editor_free(eb);
    g_string_free(sa.out, TRUE);
    g_string_free(sa.lines, TRUE);
    g_string_free(sb.out, TRUE);
    g_string_free(sb.lines, TRUE);
}

static void test_candidates(void)
{
    static const char *const words[] = { "caf\303\251", "caf\303\250s", "caf\303\250", "x\033[A", "caf\377" };
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        g_ptr_array_add(list, (gpointer)words[i]);
    }
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), outer = uselocale(utf8);
    candidates_tidy(list);
    uselocale(outer);
    freelocale(utf8);
    g_assert_cmpuint(list->len, ==, 3);
    g_assert_cmpuint(candidates_common(list), ==, 3);   /* not half an e */
    g_autofree char *one = candidates_in_columns(list, 13), *two = candidates_in_columns(list, 14);
    g_autofree char *wide = candidates_in_columns(list, 9999);
    g_assert_cmpstr(one, ==, "caf\303\250\ncaf\303\250s\ncaf\303\251\n");
    g_assert_cmpstr(two, ==, "caf\303\250   caf\303\251\ncaf\303\250s\n");
    g_assert_cmpstr(wide, ==, "caf\303\250   caf\303\250s  caf\303\251\n");
}

/* ---- what is on the screen ---- */

#define ROWS 60
#define COLUMNS 30

/* As much of an xterm as libedit uses for one line that wraps. */
typedef struct Terminal {
    char cells[ROWS * COLUMNS];
    int x, y, csi;      /* csi: -2 none, -1 after ESC, else the number */
    bool wraps;         /* a character stands in the last column: the next goes to the next row */
} Terminal;

static void terminal_csi(Terminal *t, char c)
{
    char *at = t->cells + t->y * COLUMNS + t->x;
    int left = COLUMNS - t->x, n = CLAMP(t->csi, 1, left);
    t->wraps = false;
    if (c == 'A') {
        t->y = MAX(t->y - MAX(t->csi, 1), 0);
    } else if (c == 'C') {
        t->x = MIN(t->x + MAX(t->csi, 1), COLUMNS - 1);
    } else if (c == 'G') {
        t->x = MIN(MAX(t->csi, 1), COLUMNS) - 1;
    } else if (c == 'K') {
        memset(at, ' ', (size_t)left);
    } else if (c == '@') {
        memmove(at + n, at, (size_t)(left - n));
        memset(at, ' ', (size_t)n);
    } else if (c == 'P') {
        memmove(at, at + n, (size_t)(left - n));
        memset(at + left - n, ' ', (size_t)n);
    } else {
        g_error("the terminal does not know ESC [ %c", c);
    }
}

static void terminal_byte(Terminal *t, char c)
{
    if (t->csi != -2) {
        if (c == '[') {
            t->csi = 0;
        } else if (g_ascii_isdigit(c)) {
            t->csi = t->csi * 10 + c - '0';
        } else {
            terminal_csi(t, c);
            t->csi = -2;
        }
    } else if (c == 27) {
        t->csi = -1;
    } else if (c == '\r') {
        t->x = 0;
        t->wraps = false;
    } else if (c == '\n') {
        t->y = MIN(t->y + 1, ROWS - 1);
    } else if (c == '\b') {
        t->x = MAX(t->x - 1, 0);
        t->wraps = false;
    } else if (c != '\a') {
        if (t->wraps) {
            t->x = 0;
            t->y = MIN(t->y + 1, ROWS - 1);
        }
        t->cells[t->y * COLUMNS + t->x] = c;
        t->wraps = t->x == COLUMNS - 1;
        t->x += !t->wraps;
    }
}

/* Random keys on a line of several rows: the screen shows what Enter then sends. */
static void check_screen(void)
{
    static const char *const keys[] = {
        "a", "b", "cdefg hij", "a rather long word of ten and some", "\033[D", "\033[C", "\033b",
        "\033f", "\001", "\005", "\b", "\033[3~", "\027", "\033d", "\013", "\031", "\024",
        "\033u", "\033[A", "\033[B", "\022a", "\007",
    };
    Screen s = { g_string_new(NULL), g_string_new(NULL), COLUMNS };
    Terminal t = { .csi = -2 };
    LineEditor *e = line_editor_new(&ops, &s, "> ");
    type(e, "an older line\ra line of two rows, and of a bit more\r");
    g_string_truncate(s.out, 0);
    g_string_truncate(s.lines, 0);
    line_editor_start(e);
    for (int i = g_test_rand_int_range(1, 16); i > 0; i--) {
        type(e, keys[g_test_rand_int_range(0, G_N_ELEMENTS(keys))]);
    }
    type(e, "\022\007");      /* no search is left open */
    memset(t.cells, ' ', sizeof(t.cells));
    for (size_t i = 0; i < s.out->len; i++) {
        terminal_byte(&t, s.out->str[i]);
    }
    type(e, "\r");
    g_autofree char *shown = g_strchomp(g_strndup(t.cells, sizeof(t.cells)));
    g_autofree char *want = g_strchomp(g_strconcat("> ", s.lines->str, NULL));
    g_assert_cmpstr(shown, ==, want);
    line_editor_free(e);
    g_string_free(s.out, TRUE);
    g_string_free(s.lines, TRUE);
}

static void test_editor_screen(void)
{
    g_setenv("TERM", "xterm", TRUE);
    for (int round = 0; round < 2000; round++) {
        check_screen();
    }
}

/* Lines longer than any screen, cut and pasted, and any bytes. */
static void check_limits(unsigned columns)
{
    static const char *const keys[] = {
        "\001", "\005", "\031", "\025", "\013", "\033d", "\033b", "\027", "\033[A", "\b", "x y",
        "\342\202\254", "\346\274\242",
    };
    Screen s = { g_string_new(NULL), g_string_new(NULL), columns };
    LineEditor *e = line_editor_new(&ops, &s, "> ");
    for (int i = 0; i < 10000; i++) {
        line_editor_byte(e, 'x');
    }
    line_editor_byte(e, '\r');
    g_assert_cmpuint(s.lines->len, ==, 4097);
    type(e, "\033[A\025\031\031\r");
    g_assert_cmpuint(s.lines->len, ==, 2 * 4097);
    for (int i = 0; i < 1000; i++) {
        type(e, keys[g_test_rand_int_range(0, G_N_ELEMENTS(keys))]);
    }
    line_editor_byte(e, 3);
    for (int i = 0; i < 500; i++) {
        g_autofree char *line = g_strdup_printf("line %d\r", i);
        type(e, line);
    }
    g_autoptr(GPtrArray) history = line_editor_history(e);
    g_assert_cmpuint(history->len, ==, 100);
    g_assert_cmpstr(g_ptr_array_index(history, 99), ==, "line 499");
    for (int i = 0; i < 50000; i++) {      /* anything goes */
        line_editor_byte(e, (uint8_t)g_test_rand_int());
    }
    line_editor_free(e);
    g_string_free(s.out, TRUE);
    g_string_free(s.lines, TRUE);
}

static void test_editor_limits(void)
{
    g_setenv("TERM", "xterm", TRUE);
    check_limits(0);
    check_limits(20);
    check_limits(80);
}

/* One difference for each three letters; '-' and '_' are the same. */
static void test_near_name(void)
{
    static const char *const names[] = { "migrate", "migrate_cancel", "stop", "xbzrle",
                                         "pause-before-switchover", NULL };
    static const struct { const char *typed, *name; } rows[] = {
        { "migrat", "migrate" }, { "mirgate", "migrate" }, { "migrate_cancle", "migrate_cancel" },
        { "migrate-cancel", "migrate_cancel" }, { "sotp", "stop" }, { "xbzlre", "xbzrle" },
        { "pause_before_switchover", "pause-before-switchover" }, { "frobnicate", NULL },
        { "", NULL }, { "st", NULL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpstr(near_name(names, rows[i].typed), ==, rows[i].name);
    }
    g_autofree char *longest = g_strnfill(5000, 'a');
    g_assert_null(near_name(names, longest));

    /* In a table, with a hole, and the beginning of a name. */
    static const struct { int number; const char *name; } table[] = {
        { 1, "virtio-blk-device" }, { 2, NULL }, { 3, "virtio-net-device" }, { 4, "loader" } };
    static const struct { const char *typed, *hint; } hints[] = {
        { "virtio-blk", ": did you mean 'virtio-blk-device'?" },
        { "virtio", "" }, { "lodaer", ": did you mean 'loader'?" }, { "x", "" }, { "", "" },
        { "virtio-net-devise", ": did you mean 'virtio-net-device'?" } };
    for (size_t i = 0; i < G_N_ELEMENTS(hints); i++) {
        g_autofree char *hint = near_hint(&table[0].name, sizeof(table[0]), G_N_ELEMENTS(table),
                                          hints[i].typed);
        g_assert_cmpstr(hint, ==, hints[i].hint);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hmp/args/good", test_good);
    g_test_add_func("/hmp/args/format", test_format);
    g_test_add_func("/hmp/args/bad", test_bad);
    g_test_add_func("/hmp/args/expressions", test_expressions);
    g_test_add_func("/hmp/editor/keys", test_editor);
    g_test_add_func("/hmp/editor/plain", test_editor_plain);
    g_test_add_func("/hmp/editor/two", test_editor_two);
    g_test_add_func("/hmp/editor/candidates", test_candidates);
    g_test_add_func("/hmp/editor/screen", test_editor_screen);
    g_test_add_func("/hmp/editor/limits", test_editor_limits);
    g_test_add_func("/hmp/near-name", test_near_name);
    return g_test_run();
}
