/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -dump-vmstate: what travels of each device type, as JSON, for QEMU's
 * vmstate-static-checker.py. Called by vl before anything is built.
 */
#include "softmmu/cmdline.h"

#include <errno.h>
#include <json-c/json.h>
#include "hw/boards.h"
#include "migration/vmstate.h"
#include "util/error.h"

/* The names of the machine, the device types and what is in them. */
static struct json_object *describe_all(const char *machine_name)
{
    struct json_object *all = json_object_new_object(), *o = json_object_new_object();

    json_object_object_add(o, "Name", json_object_new_string(machine_name));
    json_object_object_add(all, "vmschkmachine", o);
    for (const DeviceTypeInfo *t = device_types(); t->name; t++) {
        const VMStateDescription *vmsd = device_type_vmstate(t->name);

        if (vmsd) {
            o = json_object_new_object();
            json_object_object_add(o, "Name", json_object_new_string(t->name));
            json_object_object_add(o, "version_id", json_object_new_int(vmsd->version_id));
            json_object_object_add(o, "minimum_version_id",
                                   json_object_new_int(vmsd->minimum_version_id));
            json_object_object_add(o, "Description", vmstate_describe(vmsd));
            json_object_object_add(all, t->name, o);
        }
    }
    return all;
}

bool dump_vmstate(const CommandLine *cl, GError **errp)
{
    struct json_object *all = describe_all(cl->config.machine_name);
    const char *text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
                                                           JSON_C_TO_STRING_SPACED);
    bool ok = fprintf(cl->dump_vmstate, "%s\n", text) >= 0 && fflush(cl->dump_vmstate) == 0;

    if (!ok) {
        error_setg_errno(errp, errno, "-dump-vmstate: cannot write");
    }
    json_object_put(all);
    return ok;
}
