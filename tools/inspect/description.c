/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See description.h: found early, held against what the stream has. Called by stream.c. */
#include <inttypes.h>
#include <string.h>
#include "description.h"

#define DESCRIPTION_MAX (16u << 20)

static struct json_object *parse_description(const uint8_t *p, uint32_t len)
{
    struct json_tokener *tok = json_tokener_new_ex(64);
    struct json_object *o = json_tokener_parse_ex(tok, (const char *)p, len);
    bool whole = json_tokener_get_error(tok) == json_tokener_success &&
                 json_tokener_get_parse_end(tok) == len;
    struct json_object *devices;

    json_tokener_free(tok);
    if (o && whole && json_object_object_get_ex(o, "devices", &devices) &&
        json_object_is_type(devices, json_type_array)) {
        return o;
    }
    json_object_put(o);
    return NULL;
}

void description_look_ahead(Walker *w)
{
    if (w->looked_for_json || w->package_end) {
        return;
    }
    w->looked_for_json = true;
    if (!source_slurp(w->s)) {
        return;
    }
    size_t size = source_window(w->s);
    const uint8_t *p = source_peek(w->s, size);
    for (size_t i = size; p && i-- > 0;) {
        if (p[i] == 0x06 && size - i > 6 && p[i + 5] == '{' && walker_be32(p + i + 1) <= size - i - 5 &&
            walker_be32(p + i + 1) <= DESCRIPTION_MAX) {
            w->json = parse_description(p + i + 5, walker_be32(p + i + 1));
            if (w->json) {
                break;
            }
        }
    }
    if (w->json) {
        w->m->ferry = json_object_object_get_ex(w->json, "ferry", NULL);
        w->m->configuration_described =
            json_object_object_get_ex(w->json, "configuration", NULL);
    }
}

static struct json_object *described_devices(Walker *w)
{
    struct json_object *devices = NULL;
    if (w->json) {
        json_object_object_get_ex(w->json, "devices", &devices);
    }
    return devices;
}

bool description_of_device(Walker *w, const Section *sec, struct json_object **device)
{
    struct json_object *devices = described_devices(w), *name, *instance, *version;

    *device = NULL;
    if (!devices) {
        return true;
    }
    if (w->next_device >= json_object_array_length(devices)) {
        return model_problem(w->m, sec->offset, "section '%s' instance %u is not in the stream's "
                             "description", sec->idstr, sec->instance);
    }
    struct json_object *o = json_object_array_get_idx(devices, w->next_device++);
    if (!json_object_object_get_ex(o, "name", &name) ||
        !json_object_object_get_ex(o, "instance_id", &instance) ||
        !json_object_is_type(name, json_type_string) ||
        !json_object_is_type(instance, json_type_int)) {
        return model_problem(w->m, sec->offset, "device %zu of the description has no name or "
                             "instance", w->next_device - 1);
    }
    if (!g_str_equal(json_object_get_string(name), sec->idstr) ||
        json_object_get_int64(instance) != sec->instance) {
        return model_problem(w->m, sec->offset, "section '%s' instance %u, the description has "
                             "'%s' instance %" PRId64 " here", sec->idstr, sec->instance,
                             json_object_get_string(name), json_object_get_int64(instance));
    }
    if (json_object_object_get_ex(o, "version", &version) &&
        json_object_get_int64(version) != sec->version) {
        return model_problem(w->m, sec->offset, "section '%s' instance %u has version %u, its "
                             "description says %" PRId64, sec->idstr, sec->instance, sec->version,
                             json_object_get_int64(version));
    }
    *device = o;
    return true;
}

static bool check_description(Walker *w, uint64_t at)
{
    struct json_object *devices = described_devices(w), *page_size;

    if (json_object_object_get_ex(w->json, "page_size", &page_size) &&
        json_object_get_int64(page_size) != PAGE) {
        return model_problem(w->m, at, "the description has page size %" PRId64 ", expected %u",
                             json_object_get_int64(page_size), PAGE);
    }
    if (w->next_device < json_object_array_length(devices)) {
        return model_problem(w->m, at, "the description has %zu devices, the stream %zu",
                             json_object_array_length(devices), w->next_device);
    }
    return true;
}

bool description_read(Walker *w)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, 5);

    if (!p) {
        return walker_ends_early(w, "the description");
    }
    uint32_t len = walker_be32(p + 1);
    if (len > DESCRIPTION_MAX) {
        return model_problem(w->m, at, "description of %u bytes, expected at most %u", len,
                             DESCRIPTION_MAX);
    }
    if (!(p = source_peek(w->s, 5 + (size_t)len))) {
        return walker_ends_early(w, "the description");
    }
    w->m->description = g_strndup((const char *)p + 5, len);
    if (!w->json && !(w->json = parse_description(p + 5, len))) {
        return model_problem(w->m, at + 5, "the description is not a JSON object with \"devices\"");
    }
    Section *sec = walker_add_section(w, SEC_DESCRIPTION, at);
    source_take(w->s, 5 + (size_t)len);
    sec->text = g_strdup_printf("%u bytes, %zu devices%s", len,
                                json_object_array_length(described_devices(w)),
                                w->m->ferry ? ", ferry" : "");
    walker_end_section(w, sec);
    return check_description(w, at);
}
