/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names, patterns and files of trace events; log items; what a line looks like; no event is unused. */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "util/log.h"
#include "util/trace-migration.h"
#include "util/trace.h"

static unsigned on_count(void)
{
    unsigned n = 0;

    for (size_t i = 0; trace_events[i]; i++) {
        n += trace_event_on(trace_events[i]);
    }
    return n;
}

static unsigned matching(const char *prefix)
{
    unsigned n = 0;

    for (size_t i = 0; trace_events[i]; i++) {
        n += g_str_has_prefix(trace_events[i]->name, prefix);
    }
    return n;
}

static void test_patterns(void)
{
    g_autoptr(GString) w = g_string_new(NULL);

    trace_enable("-*", w);
    g_assert_cmpuint(on_count(), ==, 0);
    trace_enable("migrate_set_state", w);
    g_assert_cmpuint(on_count(), ==, 1);
    g_assert_true(trace_migrate_set_state_on());
    trace_enable("vmstate_*", w);
    g_assert_cmpuint(on_count(), ==, 1 + matching("vmstate_"));
    trace_enable("-vmstate_save*", w);
    g_assert_cmpuint(on_count(), ==, 1 + matching("vmstate_") - matching("vmstate_save"));
    trace_enable("-migrate_set_state", w);
    g_assert_false(trace_migrate_set_state_on());
    trace_enable("*", w);
    g_assert_cmpuint(on_count(), ==, matching(""));
    trace_enable("-*", w);
    g_assert_cmpuint(on_count(), ==, 0);
    trace_enable("nosuch*", w);
    g_assert_cmpstr(w->str, ==, "");
    trace_enable("migrate_set", w); /* a part of a name is not the name */
    trace_enable("-nosuch", w);
    trace_enable("", w);
    g_assert_cmpuint(on_count(), ==, 0);
    g_assert_cmpstr(w->str, ==, "warning: trace event 'migrate_set' does not exist\n"
                    "warning: trace event 'nosuch' does not exist\n"
                    "warning: trace event '' does not exist\n");
}

static void test_file(void)
{
    static const char text[] = "# comment\n\n  migrate_set_state  \nsavevm_section_*\nnosuch\n"
                               "-savevm_section_end\nlast_line_without_newline";
    g_autoptr(GString) w = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    g_autofree char *path = NULL, *want = NULL;
    int fd = g_file_open_tmp("events-XXXXXX", &path, NULL);

    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
    close(fd);
    g_assert_true(trace_enable_file(path, w, NULL));
    g_assert_true(trace_migrate_set_state_on());
    g_assert_true(trace_savevm_section_start_on());
    g_assert_false(trace_savevm_section_end_on());
    want = g_strdup_printf("%s:5: warning: trace event 'nosuch' does not exist\n"
                           "%s:7: warning: trace event 'last_line_without_newline' does not exist\n",
                           path, path);
    g_assert_cmpstr(w->str, ==, want);
    g_unlink(path);
    g_assert_false(trace_enable_file(path, w, &err));
    g_assert_nonnull(strstr(err->message, "No such file or directory"));
    trace_enable("-*", NULL);
}

static void test_items(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GString) help = g_string_new(NULL);

    g_assert_true(log_set_items("int,guest_errors,trace:migrate_set_*", NULL, NULL));
    g_assert_true(log_wanted(LOG_INT) && log_wanted(LOG_GUEST_ERROR));
    g_assert_false(log_wanted(LOG_UNIMP) || log_wanted(LOG_CPU_RESET));
    g_assert_true(trace_migrate_set_state_on());
    /* One unknown item, and nothing has changed. */
    g_assert_false(log_set_items("unimp,trace:savevm_*,in_asm", NULL, &err));
    g_assert_true(g_str_has_prefix(err->message, "unknown log item 'in_asm'\nLog items "));
    g_assert_true(log_wanted(LOG_INT) && !log_wanted(LOG_UNIMP));
    g_assert_false(trace_savevm_section_start_on());
    g_assert_true(log_set_items("none", NULL, NULL));
    g_assert_false(log_wanted(LOG_INT));
    log_help(help, "-d");
    g_assert_nonnull(strstr(help->str, "\nguest_errors    log when the guest OS"));
    g_assert_nonnull(strstr(help->str, "Use \"-d trace:help\""));
    trace_enable("-*", NULL);
}

static char *log_text(const char *path)
{
    char *text;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static void test_lines(void)
{
    g_autofree char *dir = g_dir_make_tmp("log-XXXXXX", NULL);
    g_autofree char *pattern = g_build_filename(dir, "a-%d.log", NULL);
    g_autofree char *name = g_strdup_printf("a-%d.log", (int)getpid());
    g_autofree char *a = g_build_filename(dir, name, NULL), *b = g_build_filename(dir, "b", NULL);
    g_autofree char *text = NULL, *other = NULL, *longer = g_strnfill(5000, 'x');
    g_autofree char *bad = g_build_filename(dir, "no", "where", NULL);
    g_autoptr(GError) err = NULL;
    long thread, seconds, micros;
    int used = 0;

    g_assert_false(log_open(bad, false, &err));
    g_assert_true(g_str_has_prefix(err->message, "Error opening logfile "));
    g_assert_true(log_open(pattern, false, NULL));
    trace_migrate_set_state("nobody listens");
    trace_enable("migrate_set_state", NULL);
    trace_migrate_set_state("active");
    trace_migrate_set_state(longer);
    log_mask(LOG_UNIMP, "not wanted\n");
    text = log_text(a);
    other = g_strdup_printf("migrate_set_state new state active\nmigrate_set_state new state %s\n",
                            longer);
    g_assert_cmpstr(text, ==, other);
    /* Another file, by appending; the old one gets no more. */
    g_assert_true(g_file_set_contents(b, "old\n", -1, NULL));
    g_assert_true(log_open(b, true, NULL));
    log_set_timestamps(true);
    trace_migrate_set_state("setup");
    log_set_timestamps(false);
    g_free(text);
    text = log_text(b);
    g_assert_true(g_str_has_prefix(text, "old\n"));
    g_assert_cmpint(sscanf(text + 4, "%ld@%ld.%6ld:migrate_set_state new state setup%n", &thread,
                           &seconds, &micros, &used), ==, 3);
    g_assert_cmpstr(text + 4 + used, ==, "\n");
    g_assert_cmpint(thread, ==, syscall(SYS_gettid));
    g_assert_cmpint(ABS(seconds - g_get_real_time() / G_USEC_PER_SEC), <, 5);
    g_free(text);
    text = log_text(a);
    g_assert_cmpstr(text, ==, other);
    trace_enable("-*", NULL);
    g_unlink(a);
    g_unlink(b);
    g_rmdir(dir);
}

/* All C files under a folder, as one text. */
static void read_folder(GString *out, const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *full = g_build_filename(path, name, NULL), *text = NULL;
        if (g_file_test(full, G_FILE_TEST_IS_DIR)) {
            read_folder(out, full);
        } else if (g_str_has_suffix(name, ".c") && g_file_get_contents(full, &text, NULL, NULL)) {
            g_string_append(out, text);
        }
    }
    g_clear_pointer(&dir, g_dir_close);
}

static void test_all_are_used(void)
{
    const char *root = g_getenv("FERRY_SOURCE_ROOT");
    static const char *const folders[] = { "migration", "softmmu", "monitor" };
    g_autoptr(GString) all = g_string_new(NULL);

    if (!root) {
        g_test_skip("FERRY_SOURCE_ROOT is not set");
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(root, folders[i], NULL);
        read_folder(all, path);
    }
    for (size_t i = 0; trace_events[i]; i++) {
        g_autofree char *call = g_strdup_printf("trace_%s(", trace_events[i]->name);
        if (!strstr(all->str, call)) {
            g_test_message("%s is declared and never used", trace_events[i]->name);
            g_test_fail();
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/patterns", test_patterns);
    g_test_add_func("/trace/file", test_file);
    g_test_add_func("/trace/items", test_items);
    g_test_add_func("/trace/lines", test_lines);
    g_test_add_func("/trace/all-are-used", test_all_are_used);
    return g_test_run();
}
