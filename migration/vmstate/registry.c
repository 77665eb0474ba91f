/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which sections a machine has: built by the devices, walked by the two
 * stories of migration. Chooses the description by dialect when saving and by
 * version when loading. Main thread builds; save and load run under the BQL.
 */
#include <json-c/json.h>
#include "migration/load-error.h"
#include "migration/stream/format.h"
#include "migration/vmstate.h"
#include "util/error.h"
#include "util/trace-migration.h"

typedef struct RegisteredSection {
    char *idstr;
    uint32_t instance_id;
    bool alike_7_2;                         /* QEMU 7.2 calls all of this name instance 0 */
    const VMStateDescription *vmsds[2];     /* by dialect; [1] may be NULL */
    void *opaque;
    int order[2];                           /* by dialect */
    unsigned sequence;                      /* of registration: ties */
    bool received;                          /* in the stream that is being loaded */
} RegisteredSection;

typedef struct FerryKey {
    char *key;
    void (*put)(void *opaque, struct json_object *obj);
    bool (*get)(void *opaque, struct json_object *obj, GError **errp);
    void *opaque;
} FerryKey;

struct VMStateRegistry {
    GPtrArray *sections;        /* RegisteredSection, registration order */
    GPtrArray *ferry_keys;      /* FerryKey */
    StreamDialect dialect;
    int received_dialect;       /* -1: not known; atomic: a postcopy's other readers ask, for messages */
    unsigned next_sequence;
};

static void section_free(gpointer p)
{
    RegisteredSection *s = p;
    g_free(s->idstr);
    g_free(s);
}

static void ferry_key_free(gpointer p)
{
    FerryKey *k = p;
    g_free(k->key);
    g_free(k);
}

VMStateRegistry *vmstate_registry_new(void)
{
    VMStateRegistry *reg = g_new0(VMStateRegistry, 1);
    reg->sections = g_ptr_array_new_with_free_func(section_free);
    reg->ferry_keys = g_ptr_array_new_with_free_func(ferry_key_free);
    reg->dialect = DIALECT_QEMU_10_0;
    g_atomic_int_set(&reg->received_dialect, -1);
    return reg;
}

void vmstate_registry_free(VMStateRegistry *reg)
{
    if (reg) {
        g_ptr_array_unref(reg->sections);
        g_ptr_array_unref(reg->ferry_keys);
        g_free(reg);
    }
}

StreamDialect vmstate_dialect(const VMStateRegistry *reg)
{
    return reg->dialect;
}

void vmstate_set_dialect(VMStateRegistry *reg, StreamDialect dialect)
{
    reg->dialect = dialect;
}

int vmstate_received_dialect(const VMStateRegistry *reg)
{
    return g_atomic_int_get(&reg->received_dialect);
}

void vmstate_set_received_dialect(VMStateRegistry *reg, StreamDialect dialect)
{
    g_atomic_int_set(&reg->received_dialect, (int)dialect);
}

void vmstate_load_begin(VMStateRegistry *reg)
{
    g_atomic_int_set(&reg->received_dialect, -1);
    for (guint i = 0; i < reg->sections->len; i++) {
        ((RegisteredSection *)g_ptr_array_index(reg->sections, i))->received = false;
    }
}

static RegisteredSection *section_find(VMStateRegistry *reg, const char *idstr,
                                       uint32_t instance_id)
{
    for (guint i = 0; i < reg->sections->len; i++) {
        RegisteredSection *s = g_ptr_array_index(reg->sections, i);
        if (s->instance_id == instance_id && g_str_equal(s->idstr, idstr)) {
            return s;
        }
    }
    return NULL;
}

void vmstate_register_versions(VMStateRegistry *reg, const char *idstr, uint32_t instance_id,
                               const VMStateDescription *const *vmsds, void *opaque,
                               int order_7_2, int order_10_0)
{
    g_assert(*idstr && strlen(idstr) <= STREAM_CSTR_MAX && vmsds[0]);
    g_assert(!section_find(reg, idstr, instance_id));
    RegisteredSection *s = g_new0(RegisteredSection, 1);
    s->idstr = g_strdup(idstr);
    s->instance_id = instance_id;
    s->vmsds[DIALECT_QEMU_7_2] = vmsds[0];
    s->vmsds[DIALECT_QEMU_10_0] = vmsds[1];
    s->opaque = opaque;
    s->order[DIALECT_QEMU_7_2] = order_7_2;
    s->order[DIALECT_QEMU_10_0] = order_10_0;
    s->sequence = reg->next_sequence++;
    g_ptr_array_add(reg->sections, s);
}

void vmstate_register(VMStateRegistry *reg, const char *idstr, uint32_t instance_id,
                      const VMStateDescription *vmsd, void *opaque)
{
    const VMStateDescription *const vmsds[] = { vmsd, NULL };
    vmstate_register_versions(reg, idstr, instance_id, vmsds, opaque, VMSTATE_ORDER_DEFAULT,
                              VMSTATE_ORDER_DEFAULT);
}

void vmstate_alike_in_7_2(VMStateRegistry *reg, const char *idstr, uint32_t instance_id)
{
    section_find(reg, idstr, instance_id)->alike_7_2 = true;
}

uint32_t vmstate_free_instance(const VMStateRegistry *reg, const char *idstr)
{
    uint32_t next = 0;

    for (guint i = 0; i < reg->sections->len; i++) {
        const RegisteredSection *s = g_ptr_array_index(reg->sections, i);
        if (g_str_equal(s->idstr, idstr)) {
            next = MAX(next, s->instance_id + 1);
        }
    }
    return next;
}

void vmstate_unregister(VMStateRegistry *reg, const char *idstr, uint32_t instance_id)
{
    RegisteredSection *s = section_find(reg, idstr, instance_id);
    if (s) {
        g_ptr_array_remove(reg->sections, s);
    }
}

static const VMStateDescription *section_vmsd(const RegisteredSection *s, StreamDialect dialect)
{
    return s->vmsds[dialect] ? s->vmsds[dialect] : s->vmsds[0];
}

static gint section_compare(gconstpointer a, gconstpointer b, gpointer dialect)
{
    const RegisteredSection *x = *(RegisteredSection *const *)a;
    const RegisteredSection *y = *(RegisteredSection *const *)b;
    int d = GPOINTER_TO_INT(dialect);

    if (x->order[d] != y->order[d]) {
        return x->order[d] < y->order[d] ? -1 : 1;
    }
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* The sections in the order of the dialect being written; free the array only. */
static GPtrArray *sections_in_order(VMStateRegistry *reg)
{
    GPtrArray *list = g_ptr_array_sized_new(reg->sections->len);

    for (guint i = 0; i < reg->sections->len; i++) {
        g_ptr_array_add(list, g_ptr_array_index(reg->sections, i));
    }
    g_ptr_array_sort_with_data(list, section_compare, GINT_TO_POINTER(reg->dialect));
    return list;
}

/* QEMU's ids (migration-stream 1.2): "timer" is first, "ram" and others that we lack come between. */
static uint32_t section_id_at(const VMStateRegistry *reg, guint place)
{
    uint32_t others = reg->dialect == DIALECT_QEMU_7_2 ? SECTION_ID_OTHER_DEVICES_7_2
                                                       : SECTION_ID_OTHER_DEVICES_10_0;
    return place == 0 ? SECTION_ID_FIRST_DEVICE : others + place - 1;
}

uint32_t vmstate_section_id(VMStateRegistry *reg, const char *idstr, uint32_t instance_id)
{
    g_autoptr(GPtrArray) list = sections_in_order(reg);

    for (guint i = 0; i < list->len; i++) {
        const RegisteredSection *s = g_ptr_array_index(list, i);
        if (s->instance_id == instance_id && g_str_equal(s->idstr, idstr)) {
            return section_id_at(reg, i);
        }
    }
    return UINT32_MAX;
}

static uint32_t written_instance(const VMStateRegistry *reg, const RegisteredSection *s)
{
    return s->alike_7_2 && reg->dialect == DIALECT_QEMU_7_2 ? 0 : s->instance_id;
}

static bool section_save(VMStateRegistry *reg, StreamWriter *w, const RegisteredSection *s,
                         uint32_t id, bool footers, struct json_object *devices, GError **errp)
{
    const VMStateDescription *vmsd = section_vmsd(s, reg->dialect);
    uint32_t instance = written_instance(reg, s);
    struct json_object *o = NULL;

    if (vmsd->needed && !vmsd->needed(s->opaque)) {
        trace_savevm_section_skip(s->idstr, id);
        return true;
    }
    uint64_t start = stream_writer_bytes(w);
    int64_t start_us = g_get_monotonic_time();
    trace_savevm_section_start(s->idstr, id);
    trace_vmstate_save(s->idstr, vmsd->name);
    if (devices) {
        o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(s->idstr));
        json_object_object_add(o, "instance_id", json_object_new_int64(instance));
        json_object_array_add(devices, o);
    }
    stream_put_u8(w, SECTION_FULL);
    stream_put_be32(w, id);
    stream_put_cstr(w, s->idstr);
    stream_put_be32(w, instance);
    stream_put_be32(w, vmsd->version_id);
    if (!vmstate_save_body(w, vmsd, s->opaque, o, errp)) {
        error_prepend(errp, "error while saving state for instance 0x%x of device '%s': ",
                      instance, s->idstr);
        return false;
    }
    if (footers) {
        stream_put_u8(w, SECTION_FOOTER);
        stream_put_be32(w, id);
    }
    trace_savevm_section_end(s->idstr, id, stream_writer_bytes(w) - start, 0);
    trace_vmstate_downtime_save("non-iterable", s->idstr, instance,
                                g_get_monotonic_time() - start_us);
    return stream_writer_ok(w, errp);
}

bool vmstate_save_all(VMStateRegistry *reg, StreamWriter *w, bool footers,
                      struct json_object *devices, GError **errp)
{
    g_autoptr(GPtrArray) list = sections_in_order(reg);

    for (guint i = 0; i < list->len; i++) {
        const RegisteredSection *s = g_ptr_array_index(list, i);
        if (!section_save(reg, w, s, section_id_at(reg, i), footers, devices, errp)) {
            return false;
        }
    }
    return true;
}

static bool vmsd_holds(const VMStateDescription *vmsd, uint32_t version_id)
{
    return vmsd && vmsd->version_id >= 0 && version_id <= (uint32_t)vmsd->version_id &&
           (int)version_id >= vmsd->minimum_version_id;
}

/*
 * The description for a received version. Where both hold it, the one of the
 * dialect that was recognised, else of our own. Where none does, the nearest
 * that is newer, so that the message says "too old", else NULL.
 */
static const VMStateDescription *section_choose(VMStateRegistry *reg, const RegisteredSection *s,
                                                uint32_t version_id)
{
    const VMStateDescription *a = s->vmsds[0], *b = s->vmsds[1];
    bool in_a = vmsd_holds(a, version_id), in_b = vmsd_holds(b, version_id);

    if (in_a && in_b) {
        int received = g_atomic_int_get(&reg->received_dialect);
        int d = received >= 0 ? received : (int)reg->dialect;
        return d == DIALECT_QEMU_10_0 ? b : a;
    }
    if (in_a || in_b) {
        if (a && b && s->vmsds[0]->version_id != s->vmsds[1]->version_id) {
            g_atomic_int_set(&reg->received_dialect, in_a ? DIALECT_QEMU_7_2 : DIALECT_QEMU_10_0);
        }
        return in_a ? a : b;
    }
    if (version_id < (uint32_t)a->version_id) {
        return a;
    }
    return b && version_id < (uint32_t)b->version_id ? b : NULL;
}

/*
 * Which section this is. Of those that are all called instance 0 the next one that has not come yet:
 * they were created in the same order on both sides.
 */
static RegisteredSection *section_received(VMStateRegistry *reg, const char *idstr,
                                           uint32_t instance_id)
{
    RegisteredSection *first = section_find(reg, idstr, instance_id);

    if (instance_id != 0 || (first && !first->received)) {
        return first;
    }
    for (guint i = 0; i < reg->sections->len; i++) {
        RegisteredSection *s = g_ptr_array_index(reg->sections, i);
        if (s->alike_7_2 && !s->received && g_str_equal(s->idstr, idstr)) {
            return s;
        }
    }
    return first;
}

bool vmstate_load_section(VMStateRegistry *reg, StreamReader *r, const char *idstr,
                          uint32_t instance_id, uint32_t version_id, GError **errp)
{
    RegisteredSection *s = section_received(reg, idstr, instance_id);

    if (!s) {
        error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_SECTION_UNKNOWN,
                         "Unknown savevm section or instance '%s' %u. Make sure that your current "
                         "VM setup matches your saved VM setup, including any hotplugged devices",
                         idstr, instance_id);
        return false;
    }
    if (s->received) {
        error_setg(errp, "The stream has the state of device '%s' instance %u twice: it is damaged",
                   idstr, instance_id);
        return false;
    }
    const VMStateDescription *vmsd = section_choose(reg, s, version_id);
    if (!vmsd) {
        int newest = s->vmsds[1] ? MAX(s->vmsds[0]->version_id, s->vmsds[1]->version_id)
                                 : s->vmsds[0]->version_id;
        error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_SECTION_VERSION,
                         "savevm: unsupported version %u for '%s' v%d", version_id, idstr, newest);
        return false;
    }
    trace_vmstate_load(idstr, vmsd->name);
    if (!vmstate_load_body(r, vmsd, s->opaque, version_id, errp)) {
        error_prepend(errp, "error while loading state for instance 0x%x of device '%s': ",
                      instance_id, idstr);
        return false;
    }
    s->received = true;
    return true;
}

static bool section_is_described(const RegisteredSection *s, struct json_object *devices)
{
    for (size_t i = 0; i < json_object_array_length(devices); i++) {
        struct json_object *d = json_object_array_get_idx(devices, i), *name, *instance;

        if (json_object_is_type(d, json_type_object) &&
            json_object_object_get_ex(d, "name", &name) &&
            json_object_object_get_ex(d, "instance_id", &instance) &&
            g_str_equal(json_object_get_string(name) ?: "", s->idstr) &&
            json_object_get_int64(instance) == s->instance_id) {
            return true;
        }
    }
    return false;
}

/* Whoever has no say in whether it is sent, is. */
static bool section_is_always_sent(const RegisteredSection *s)
{
    return !s->vmsds[0]->needed && !(s->vmsds[1] && s->vmsds[1]->needed);
}

bool vmstate_load_complete(VMStateRegistry *reg, struct json_object *devices, GError **errp)
{
    for (guint i = 0; i < reg->sections->len; i++) {
        const RegisteredSection *s = g_ptr_array_index(reg->sections, i);

        if (s->received) {
            continue;
        }
        if (section_is_described(s, devices)) {
            error_setg(errp, "The stream has no state of device '%s' instance %u, though its "
                       "description lists it: it is damaged", s->idstr, s->instance_id);
            return false;
        }
        if (section_is_always_sent(s)) {
            error_setg(errp, "The stream has no state of device '%s' instance %u: start this side "
                       "with the devices that the source has", s->idstr, s->instance_id);
            return false;
        }
    }
    return true;
}

void vmstate_register_ferry(VMStateRegistry *reg, const char *key,
                            void (*put)(void *opaque, struct json_object *obj),
                            bool (*get)(void *opaque, struct json_object *obj, GError **errp),
                            void *opaque)
{
    FerryKey *k = g_new0(FerryKey, 1);
    k->key = g_strdup(key);
    k->put = put;
    k->get = get;
    k->opaque = opaque;
    g_ptr_array_add(reg->ferry_keys, k);
}

struct json_object *vmstate_save_ferry(VMStateRegistry *reg)
{
    struct json_object *ferry = json_object_new_object();

    for (guint i = 0; i < reg->ferry_keys->len; i++) {
        const FerryKey *k = g_ptr_array_index(reg->ferry_keys, i);
        struct json_object *o = json_object_new_object();
        k->put(k->opaque, o);
        if (json_object_object_length(o) > 0) {
            json_object_object_add(ferry, k->key, o);
        } else {
            json_object_put(o);
        }
    }
    if (json_object_object_length(ferry) == 0) {
        json_object_put(ferry);
        return NULL;
    }
    return ferry;
}

bool vmstate_load_ferry(VMStateRegistry *reg, struct json_object *ferry, GError **errp)
{
    for (guint i = 0; i < reg->ferry_keys->len; i++) {
        const FerryKey *k = g_ptr_array_index(reg->ferry_keys, i);
        struct json_object *o;
        if (!json_object_object_get_ex(ferry, k->key, &o)) {
            continue;
        }
        if (!json_object_is_type(o, json_type_object)) {
            error_setg(errp, "ferry description: '%s' is not an object", k->key);
            return false;
        }
        if (!k->get(k->opaque, o, errp)) {
            error_prepend(errp, "ferry description: '%s': ", k->key);
            return false;
        }
    }
    return true;
}
