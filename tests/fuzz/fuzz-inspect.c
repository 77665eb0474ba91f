/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes ferry-inspect: whatever the bytes are, it reads them to an end or to
 * one placed problem, and everything it can say about them can be said.
 */
#include "commands.h"
#include <json-c/json.h>
#include "paging.h"
#include "source.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM_MAX (64u << 20)     /* of both models together: what a diff may look at */

static Model *read_all(const uint8_t *data, size_t size, bool keep)
{
    Source *s = source_open_memory(data, size);
    Model *m = model_new(keep);
    bool ok = stream_read(m, s);

    g_assert(ok == !m->problem.text);
    source_free(s);
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Model *m = read_all(data, size, true);
    g_autofree char *text = show_text(m, "fuzz"), *json = show_json(m, "fuzz");
    g_autofree char *verdict = verify_text(m, "fuzz"), *verdict_json = verify_json(m, "fuzz");
    g_autofree char *error = NULL, *page = extract_page(m, "0x1000", &error);
    uint64_t ram = 0;
    unsigned count;

    struct json_object *parsed = json_tokener_parse(json);

    g_assert(text && verdict && verdict_json && (page || error));
    g_assert(parsed && g_utf8_validate(json, -1, NULL));
    json_object_put(parsed);
    const Section *cpu = model_find_section(m, "cpu", 0);
    uint64_t satp = cpu ? node_integer(node_find(cpu->fields, "env.satp"), 0) : 8ULL << 60;
    g_array_unref(paging_mappings(m, satp));
    for (guint i = 0; i < m->blocks->len; i++) {
        ram += ((const RamBlock *)g_ptr_array_index(m->blocks, i))->length;
    }
    if (!m->problem.text && ram <= RAM_MAX) {
        Model *again = read_all(data, size, true);
        g_autofree char *same = diff_text(m, again, &count);
        g_assert(count == 0 && *same == 0);
        model_free(again);
    }
    model_free(m);
    return 0;
}
