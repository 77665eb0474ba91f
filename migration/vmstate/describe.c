/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table of the state's fields as JSON, for -dump-vmstate: what
 * vmstate-save.c writes and vmstate-load.c reads, in QEMU's words.
 */
#include <json-c/json.h>
#include <string.h>
#include "migration/vmstate.h"

/* "config[0]", of which the stream may have several, is the field "config". */
static struct json_object *describe_field(const VMStateField *f)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "field", json_object_new_string_len(f->name, strcspn(f->name, "[")));
    json_object_object_add(o, "version_id", json_object_new_int(f->version_id));
    json_object_object_add(o, "field_exists", json_object_new_boolean(f->exists != NULL));
    json_object_object_add(o, "size", json_object_new_uint64(f->size));
    if (f->vmsd) {
        json_object_object_add(o, "Description", vmstate_describe(f->vmsd));
    }
    return o;
}

struct json_object *vmstate_describe(const VMStateDescription *vmsd)
{
    struct json_object *o = json_object_new_object(), *list;

    json_object_object_add(o, "name", json_object_new_string(vmsd->name));
    json_object_object_add(o, "version_id", json_object_new_int(vmsd->version_id));
    json_object_object_add(o, "minimum_version_id", json_object_new_int(vmsd->minimum_version_id));
    if (vmsd->fields && vmsd->fields[0].name) {
        list = json_object_new_array();
        for (const VMStateField *f = vmsd->fields; f->name; f++) {
            json_object_array_add(list, describe_field(f));
        }
        json_object_object_add(o, "Fields", list);
    }
    if (vmsd->subsections && vmsd->subsections[0]) {
        list = json_object_new_array();
        for (const VMStateDescription *const *s = vmsd->subsections; *s; s++) {
            json_object_array_add(list, vmstate_describe(*s));
        }
        json_object_object_add(o, "Subsections", list);
    }
    return o;
}
