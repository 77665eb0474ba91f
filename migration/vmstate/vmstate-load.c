/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes to device state: one body of fields and subsections
 * (migration-stream 2.1, 2.4, 2.5), driven by the device's table. Called by
 * the registry and by the configuration block. Nothing in the bytes can make
 * it write outside the object or allocate.
 */
#include <string.h>
#include "migration/stream/format.h"
#include "migration/vmstate/vmstate-private.h"
#include "util/error.h"
#include "util/trace-migration.h"

bool vmstate_field_exists(const VMStateField *f, void *opaque, int version_id)
{
    return f->exists ? f->exists(opaque, version_id) : f->version_id <= version_id;
}

bool vmstate_field_elements(const VMStateField *f, void *opaque, uint32_t *n, GError **errp)
{
    *n = 1;
    if (f->flags & VMS_VARRAY) {
        *n = *(const uint32_t *)((const char *)opaque + f->num_offset);
        if (*n > f->num) {
            error_setg(errp, "%u elements, at most %u are possible", *n, f->num);
            return false;
        }
    } else if (f->flags & VMS_ARRAY) {
        *n = f->num;
    }
    return true;
}

void *vmstate_field_base(const VMStateField *f, void *opaque)
{
    char *p = (char *)opaque + f->offset;
    return f->flags & VMS_POINTER ? *(void **)p : p;
}

static bool load_elements(StreamReader *r, const VMStateField *f, void *opaque, GError **errp)
{
    uint32_t n;

    if (!vmstate_field_elements(f, opaque, &n, errp)) {
        return false;
    }
    char *element = vmstate_field_base(f, opaque);
    for (uint32_t i = 0; i < n; i++, element += f->size) {
        bool ok = f->flags & VMS_STRUCT
                      ? vmstate_load_body(r, f->vmsd, element, f->vmsd->version_id, errp)
                      : f->info->get(r, element, f->size, f, errp);
        if (!ok || !stream_reader_ok(r, errp)) {
            return false;
        }
    }
    return true;
}

static bool load_fields(StreamReader *r, const VMStateDescription *vmsd, void *opaque,
                        int version_id, GError **errp)
{
    for (const VMStateField *f = vmsd->fields; f && f->name; f++) {
        if (f->flags & VMS_VALIDATE) {
            if (!f->exists(opaque, version_id)) {
                error_setg(errp, "Input validation failed: %s/%s", vmsd->name, f->name);
                return false;
            }
            continue;
        }
        bool exists = vmstate_field_exists(f, opaque, version_id);
        trace_vmstate_load_state_field(vmsd->name, f->name, exists);
        if (exists && !load_elements(r, f, opaque, errp)) {
            error_prepend(errp, "Failed to load %s:%s: ", vmsd->name, f->name);
            return false;
        }
    }
    return true;
}

/*
 * Looks for a subsection of parent without consuming anything. True with its
 * name if the next bytes are one; false if they belong to somebody else.
 */
static bool peek_subsection(StreamReader *r, const char *parent, char name[256])
{
    uint8_t head[2];
    size_t parent_len = strlen(parent);

    if (!stream_peek(r, 0, head, 1) || head[0] != SECTION_SUBSECTION ||
        !stream_peek(r, 0, head, 2) || head[1] < parent_len + 1 ||
        !stream_peek(r, 2, name, head[1])) {
        return false;
    }
    name[head[1]] = '\0';
    return memcmp(name, parent, parent_len) == 0;
}

static const VMStateDescription *find_subsection(const VMStateDescription *vmsd, const char *name,
                                                 size_t len)
{
    for (size_t i = 0; vmsd->subsections && vmsd->subsections[i]; i++) {
        const char *ours = vmsd->subsections[i]->name;
        if (strlen(ours) == len && memcmp(ours, name, len) == 0) {
            return vmsd->subsections[i];
        }
    }
    return NULL;
}

static bool load_subsections(StreamReader *r, const VMStateDescription *vmsd, void *opaque,
                             GError **errp)
{
    char name[256];
    uint8_t len;

    while (peek_subsection(r, vmsd->name, name)) {
        if (!stream_peek(r, 1, &len, 1)) {
            break;
        }
        const VMStateDescription *sub = find_subsection(vmsd, name, len);
        if (!sub) {
            trace_vmstate_subsection_load_bad(vmsd->name, name);
            error_setg(errp,
                       "Unknown subsection '%s' of '%s' at offset 0x%" G_GINT64_MODIFIER
                       "x: No such file or directory", name, vmsd->name, stream_reader_offset(r));
            return false;
        }
        stream_skip(r, 2 + (uint64_t)len);
        uint32_t version = stream_get_be32(r);
        if (!stream_reader_ok(r, errp)) {
            error_prepend(errp, "Failed to load %s: ", name);
            return false;
        }
        trace_vmstate_subsection_load(vmsd->name, name, version);
        if (!vmstate_load_body(r, sub, opaque, (int)MIN(version, (uint32_t)INT32_MAX), errp)) {
            return false;
        }
    }
    return stream_reader_ok(r, errp);
}

static bool check_version(const VMStateDescription *vmsd, int version_id, GError **errp)
{
    if (version_id > vmsd->version_id) {
        error_setg(errp, "%s: incoming version_id %d is too new for local version_id %d",
                   vmsd->name, version_id, vmsd->version_id);
        return false;
    }
    if (version_id < vmsd->minimum_version_id) {
        error_setg(errp, "%s: incoming version_id %d is too old for local minimum version_id %d",
                   vmsd->name, version_id, vmsd->minimum_version_id);
        return false;
    }
    return true;
}

bool vmstate_load_body(StreamReader *r, const VMStateDescription *vmsd, void *opaque,
                       int version_id, GError **errp)
{
    trace_vmstate_load_state(vmsd->name, version_id);
    if (!check_version(vmsd, version_id, errp) ||
        (vmsd->pre_load && !vmsd->pre_load(opaque, errp)) ||
        !load_fields(r, vmsd, opaque, version_id, errp) ||
        !load_subsections(r, vmsd, opaque, errp)) {
        trace_vmstate_load_state_end(vmsd->name, "failed", -1);
        return false;
    }
    bool ok = true;
    if (vmsd->post_load) {
        ok = vmsd->post_load(opaque, version_id, errp);
        trace_vmstate_post_load(vmsd->name, version_id, ok ? 0 : -1);
    }
    trace_vmstate_load_state_end(vmsd->name, "end", ok ? 0 : -1);
    return ok;
}
