/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See working-set.h. Called by destination/lazy. The text is not trusted. */
#include "migration/mapped/working-set.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include "util/error.h"

#define FIRST_LINE "ferry working set 1\n"
#define SUFFIX ".working-set"
#define RUNS_MAX 65536
#define TEXT_MAX (RUNS_MAX * 320)   /* two numbers and a name each */

struct WorkingSet {
    GArray *runs;       /* of WorkingRun */
    uint64_t **in;      /* a bit per page of each block: it is in runs; NULL: nobody has asked yet */
    size_t blocks;
    uint64_t pages;     /* of all runs */
};

WorkingSet *working_set_new(void)
{
    WorkingSet *s = g_new0(WorkingSet, 1);

    s->runs = g_array_new(FALSE, FALSE, sizeof(WorkingRun));
    return s;
}

void working_set_free(WorkingSet *s)
{
    if (s) {
        for (size_t i = 0; i < s->blocks; i++) {
            g_free(s->in[i]);
        }
        g_free(s->in);
        g_array_unref(s->runs);
        g_free(s);
    }
}

static void mark(WorkingSet *s, const WorkingRun *run)
{
    for (uint64_t page = run->first; s->in && page < run->first + run->count; page++) {
        s->in[run->block][page / 64] |= 1ULL << (page % 64);
    }
}

static void make_marks(WorkingSet *s, const RAMList *ram)
{
    s->blocks = ram_list_count(ram);
    s->in = g_new0(uint64_t *, s->blocks);
    for (size_t i = 0; i < s->blocks; i++) {
        s->in[i] = g_new0(uint64_t, (ram_block_pages(ram_list_get(ram, i)) + 63) / 64);
    }
    for (guint i = 0; i < s->runs->len; i++) {
        mark(s, &g_array_index(s->runs, WorkingRun, i));
    }
}

void working_set_add(WorkingSet *s, size_t block, uint64_t first, uint64_t count)
{
    WorkingRun run = { block, first, count };
    WorkingRun *last = s->runs->len ? &g_array_index(s->runs, WorkingRun, s->runs->len - 1) : NULL;

    if (last && last->block == block && last->first + last->count == first) {
        last->count += count;
    } else if (s->runs->len < RUNS_MAX) {
        g_array_append_val(s->runs, run);
    } else {
        return;
    }
    s->pages += count;
    mark(s, &run);
}

void working_set_add_new(WorkingSet *s, const RAMList *ram, size_t block, uint64_t first, uint64_t count)
{
    if (!s->in) {
        make_marks(s, ram);
    }
    for (uint64_t page = first; page < first + count; page++) {
        if (!(s->in[block][page / 64] >> (page % 64) & 1)) {
            working_set_add(s, block, page, 1);
        }
    }
}

uint64_t working_set_pages(const WorkingSet *s)
{
    return s->pages;
}

size_t working_set_runs(const WorkingSet *s)
{
    return s->runs->len;
}

WorkingRun working_set_get(const WorkingSet *s, size_t i)
{
    return g_array_index(s->runs, WorkingRun, i);
}

/* ---- text ---- */

char *working_set_text(const WorkingSet *s, const RAMList *ram)
{
    GString *out = g_string_new(FIRST_LINE);

    for (guint i = 0; i < s->runs->len; i++) {
        WorkingRun r = working_set_get(s, i);
        g_string_append_printf(out, "0x%" PRIx64 " %" PRIu64 " %s\n", r.first << TARGET_PAGE_BITS,
                               r.count, ram_list_get(ram, r.block)->idstr);
    }
    return g_string_free(out, FALSE);
}

static bool find_block(const RAMList *ram, const char *name, size_t *index)
{
    for (*index = 0; *index < ram_list_count(ram); ++*index) {
        if (g_str_equal(ram_list_get(ram, *index)->idstr, name)) {
            return true;
        }
    }
    return false;
}

/* "0xOFFSET PAGES BLOCK" */
static bool parse_line(const RAMList *ram, const char *line, WorkingRun *run)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 3);
    guint64 offset;

    if (g_strv_length(words) != 3 || !g_str_has_prefix(words[0], "0x") ||
        !g_ascii_string_to_unsigned(words[0] + 2, 16, 0, G_MAXUINT64, &offset, NULL) ||
        !g_ascii_string_to_unsigned(words[1], 10, 1, G_MAXUINT64, &run->count, NULL) ||
        !find_block(ram, words[2], &run->block)) {
        return false;
    }
    uint64_t pages = ram_block_pages(ram_list_get(ram, run->block));
    run->first = offset >> TARGET_PAGE_BITS;
    return offset % TARGET_PAGE_SIZE == 0 && run->first < pages && run->count <= pages - run->first;
}

WorkingSet *working_set_parse(const RAMList *ram, const char *text, size_t len, GError **errp)
{
    g_autofree char *copy = len <= TEXT_MAX ? g_strndup(text, len) : NULL;
    g_auto(GStrv) lines = copy && g_str_has_prefix(copy, FIRST_LINE)
                              ? g_strsplit(copy + strlen(FIRST_LINE), "\n", -1) : NULL;

    if (!lines) {
        error_setg(errp, "it does not begin with '%.*s'", (int)strlen(FIRST_LINE) - 1, FIRST_LINE);
        return NULL;
    }
    WorkingSet *s = working_set_new();
    for (size_t i = 0; lines[i] && (lines[i][0] || lines[i + 1]); i++) {
        WorkingRun run;
        if (!parse_line(ram, lines[i], &run)) {
            error_setg(errp, "line %zu is not of this guest's memory: '%.80s'", i + 2, lines[i]);
            working_set_free(s);
            return NULL;
        }
        working_set_add(s, run.block, run.first, run.count);
    }
    return s;
}

/* ---- file ---- */

WorkingSet *working_set_load(const RAMList *ram, const char *image, GError **errp)
{
    g_autofree char *path = g_strconcat(image, SUFFIX, NULL), *text = NULL;
    WorkingSet *s = NULL;
    struct stat st;
    gsize len;

    if (stat(path, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_size > TEXT_MAX)) {
        error_setg(errp, "'%s' is no working set", path);
        return NULL;
    }
    if (g_file_get_contents(path, &text, &len, errp)) {
        s = working_set_parse(ram, text, len, errp);
        if (!s) {
            error_prepend(errp, "'%s': ", path);
        }
    }
    return s;
}

bool working_set_save(const WorkingSet *s, const RAMList *ram, const char *image, GError **errp)
{
    g_autofree char *path = g_strconcat(image, SUFFIX, NULL), *text = working_set_text(s, ram);

    return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, errp);
}
