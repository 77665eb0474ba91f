/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state to bytes, and at the same time to the JSON description that
 * ends the stream (migration-stream 1.6, 2.1, 2.5). Called by the
 * registry. The VM is stopped; nothing here blocks but the stream.
 */
#include <json-c/json.h>
#include "migration/stream/format.h"
#include "migration/vmstate/vmstate-private.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* Can every element of this description only ever have one layout? */
static bool layout_is_fixed(const VMStateDescription *vmsd)
{
    if (vmsd->subsections && vmsd->subsections[0]) {
        return false;
    }
    for (const VMStateField *f = vmsd->fields; f && f->name; f++) {
        if (f->exists || (f->flags & VMS_VARRAY) ||
            ((f->flags & VMS_STRUCT) && !layout_is_fixed(f->vmsd))) {
            return false;
        }
    }
    return true;
}

/* "name", or "name[k]" for the k-th of several fields of one name. */
static char *field_json_name(const VMStateDescription *vmsd, const VMStateField *field)
{
    int before = 0, all = 0;

    for (const VMStateField *f = vmsd->fields; f->name; f++) {
        if (g_str_equal(f->name, field->name)) {
            before += f < field;
            all++;
        }
    }
    return all > 1 ? g_strdup_printf("%s[%d]", field->name, before) : g_strdup(field->name);
}

/* What the description of one field needs to know while its elements are written. */
typedef struct FieldDescriber {
    struct json_object *fields;     /* the array to add to; NULL: no description wanted */
    const VMStateDescription *vmsd;
    const VMStateField *field;
    uint32_t elements;
    bool once;                      /* all elements look alike: describe the first only */
} FieldDescriber;

static void describe_element(const FieldDescriber *d, uint32_t index, struct json_object *nested,
                             uint64_t bytes)
{
    struct json_object *o = json_object_new_object();
    g_autofree char *name = field_json_name(d->vmsd, d->field);

    json_object_object_add(o, "name", json_object_new_string(name));
    if (d->elements > 1) {
        json_object_object_add(o, d->once ? "array_len" : "index",
                               json_object_new_int64(d->once ? d->elements : index));
    }
    json_object_object_add(o, "type", json_object_new_string(
                               d->field->flags & VMS_STRUCT ? "struct" : d->field->info->name));
    if (nested) {
        json_object_object_add(o, "struct", nested);
    }
    json_object_object_add(o, "size", json_object_new_int64(bytes));
    json_object_array_add(d->fields, o);
}

static bool save_element(StreamWriter *w, const FieldDescriber *d, void *element, uint32_t index,
                         GError **errp)
{
    const VMStateField *f = d->field;
    bool describe = d->fields && (index == 0 || !d->once);
    struct json_object *nested =
        describe && (f->flags & VMS_STRUCT) ? json_object_new_object() : NULL;
    uint64_t start = stream_writer_bytes(w);
    bool ok = f->flags & VMS_STRUCT ? vmstate_save_body(w, f->vmsd, element, nested, errp)
                                    : f->info->put(w, element, f->size, f, errp);

    if (!ok || !stream_writer_ok(w, errp)) {
        json_object_put(nested);
        return false;
    }
    if (describe) {
        describe_element(d, index, nested, stream_writer_bytes(w) - start);
    }
    return true;
}

static bool save_field(StreamWriter *w, const VMStateDescription *vmsd, const VMStateField *f,
                       void *opaque, struct json_object *fields, GError **errp)
{
    FieldDescriber d = { .fields = fields, .vmsd = vmsd, .field = f };

    if (!vmstate_field_elements(f, opaque, &d.elements, errp)) {
        return false;
    }
    d.once = !(f->flags & VMS_STRUCT) || layout_is_fixed(f->vmsd);
    char *element = vmstate_field_base(f, opaque);
    trace_vmstate_save_state_loop(vmsd->name, f->name, d.elements);
    for (uint32_t i = 0; i < d.elements; i++, element += f->size) {
        if (!save_element(w, &d, element, i, errp)) {
            return false;
        }
    }
    return true;
}

static bool save_fields(StreamWriter *w, const VMStateDescription *vmsd, void *opaque,
                        struct json_object *fields, GError **errp)
{
    for (const VMStateField *f = vmsd->fields; f && f->name; f++) {
        if (f->flags & VMS_VALIDATE) {
            if (!f->exists(opaque, vmsd->version_id)) {
                error_setg(errp, "Output validation failed: %s/%s", vmsd->name, f->name);
                return false;
            }
            continue;
        }
        if (vmstate_field_exists(f, opaque, vmsd->version_id) &&
            !save_field(w, vmsd, f, opaque, fields, errp)) {
            error_prepend(errp, "Save of field %s/%s failed: ", vmsd->name, f->name);
            return false;
        }
    }
    return true;
}

static bool save_subsections(StreamWriter *w, const VMStateDescription *vmsd, void *opaque,
                             struct json_object *json, GError **errp)
{
    struct json_object *list = NULL;

    for (size_t i = 0; vmsd->subsections && vmsd->subsections[i]; i++) {
        const VMStateDescription *sub = vmsd->subsections[i];
        if (sub->needed && !sub->needed(opaque)) {
            continue;
        }
        struct json_object *o = NULL;
        if (json && !list) {
            list = json_object_new_array();
            json_object_object_add(json, "subsections", list);
        }
        if (json) {
            o = json_object_new_object();
            json_object_array_add(list, o);
        }
        trace_vmstate_subsection_save_loop(vmsd->name, sub->name);
        stream_put_u8(w, SECTION_SUBSECTION);
        stream_put_cstr(w, sub->name);
        stream_put_be32(w, sub->version_id);
        if (!vmstate_save_body(w, sub, opaque, o, errp)) {
            return false;
        }
    }
    return stream_writer_ok(w, errp);
}

bool vmstate_save_body(StreamWriter *w, const VMStateDescription *vmsd, void *opaque,
                       struct json_object *json, GError **errp)
{
    struct json_object *fields = NULL;

    trace_vmstate_save_state_top(vmsd->name);
    if (vmsd->pre_save && !vmsd->pre_save(opaque, errp)) {
        error_prepend(errp, "Unable to save '%s': ", vmsd->name);
        return false;
    }
    if (json) {
        fields = json_object_new_array();
        json_object_object_add(json, "vmsd_name", json_object_new_string(vmsd->name));
        json_object_object_add(json, "version", json_object_new_int(vmsd->version_id));
        json_object_object_add(json, "fields", fields);
    }
    return save_fields(w, vmsd, opaque, fields, errp) &&
           save_subsections(w, vmsd, opaque, json, errp);
}
