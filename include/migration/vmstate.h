/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state as tables (migration-stream 2). The only header of
 * migration/ that devices include. A device describes its fields once; save,
 * load and the JSON description of the stream come out of the table.
 */
#ifndef MIGRATION_VMSTATE_H
#define MIGRATION_VMSTATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "migration/load-error.h"
#include "migration/stream.h"

/** Which QEMU generation's layout we write (machine version virt-7.2, virt-10.0). */
typedef enum StreamDialect { DIALECT_QEMU_7_2, DIALECT_QEMU_10_0 } StreamDialect;

typedef struct VMStateDescription VMStateDescription;
typedef struct VMStateField VMStateField;

/** How one kind of field goes over the wire. size: bytes of one element in memory. */
typedef struct VMStateInfo {
    const char *name;   /* "type" in the JSON */
    bool (*get)(StreamReader *r, void *pv, size_t size, const VMStateField *field, GError **errp);
    bool (*put)(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                GError **errp);
} VMStateInfo;

enum VMStateFieldFlags {
    VMS_ARRAY = 1 << 0,         /* num elements back to back in memory */
    VMS_STRUCT = 1 << 1,        /* element is described by vmsd */
    VMS_VARRAY = 1 << 2,        /* element count read from the uint32_t at num_offset (clipped to num: more is an error) */
    VMS_POINTER = 1 << 3,       /* the member is a pointer to the (first) element */
    VMS_VALIDATE = 1 << 4,      /* nothing on the wire; exists() must hold: "Input validation failed" */
};

struct VMStateField {
    const char *name;           /* NULL ends the table */
    size_t offset;              /* of the member in the struct */
    size_t size;                /* bytes of one element in memory */
    uint32_t num;               /* elements for arrays, capacity for varrays */
    size_t num_offset;
    const VMStateInfo *info;    /* scalar kinds */
    const VMStateDescription *vmsd; /* VMS_STRUCT */
    unsigned flags;
    int version_id;             /* first version that has it */
    /** If set, only it decides whether the field is there. */
    bool (*exists)(void *opaque, int version_id);
};

struct VMStateDescription {
    const char *name;
    int version_id;             /* newest */
    int minimum_version_id;
    const VMStateField *fields;                         /* ends with name NULL; may be NULL */
    const VMStateDescription *const *subsections;       /* NULL-terminated; may be NULL */
    bool (*needed)(void *opaque);                       /* sections and subsections; NULL = always */
    bool (*pre_save)(void *opaque, GError **errp);
    bool (*pre_load)(void *opaque, GError **errp);
    bool (*post_load)(void *opaque, int version_id, GError **errp);
};

/* Field kinds, migration-stream 2.2, 2.3; names are the JSON type names. */
extern const VMStateInfo vmstate_info_bool, vmstate_info_int8, vmstate_info_uint8,
    vmstate_info_int16, vmstate_info_uint16, vmstate_info_int32, vmstate_info_uint32,
    vmstate_info_int64, vmstate_info_uint64, vmstate_info_buffer, vmstate_info_unused_buffer,
    vmstate_info_timer,                                     /* ClockTimer *: i64 expiry ns */
    vmstate_info_int32_equal, vmstate_info_uint8_equal, vmstate_info_uint16_equal,
    vmstate_info_uint32_equal, vmstate_info_uint64_equal,   /* the last is named "int64 equal" */
    vmstate_info_int32_le;                                  /* 0 <= received <= ours */

#define VMSTATE_SCALAR_V(_m, _s, _ctype, _info, _v)                                           \
    { .name = #_m, .offset = offsetof(_s, _m),                                                \
      .size = sizeof(_ctype) + 0 * sizeof(char[1 - 2 * (sizeof(((_s *)0)->_m) != sizeof(_ctype))]), \
      .info = &(_info), .version_id = (_v) }
#define VMSTATE_BOOL(m, s) VMSTATE_SCALAR_V(m, s, bool, vmstate_info_bool, 0)
#define VMSTATE_UINT8(m, s) VMSTATE_SCALAR_V(m, s, uint8_t, vmstate_info_uint8, 0)
#define VMSTATE_UINT16(m, s) VMSTATE_SCALAR_V(m, s, uint16_t, vmstate_info_uint16, 0)
#define VMSTATE_UINT32(m, s) VMSTATE_SCALAR_V(m, s, uint32_t, vmstate_info_uint32, 0)
#define VMSTATE_UINT64(m, s) VMSTATE_SCALAR_V(m, s, uint64_t, vmstate_info_uint64, 0)
#define VMSTATE_INT32(m, s) VMSTATE_SCALAR_V(m, s, int32_t, vmstate_info_int32, 0)
#define VMSTATE_INT64(m, s) VMSTATE_SCALAR_V(m, s, int64_t, vmstate_info_int64, 0)
#define VMSTATE_UINT8_V(m, s, v) VMSTATE_SCALAR_V(m, s, uint8_t, vmstate_info_uint8, v)
#define VMSTATE_UINT32_V(m, s, v) VMSTATE_SCALAR_V(m, s, uint32_t, vmstate_info_uint32, v)
#define VMSTATE_UINT64_V(m, s, v) VMSTATE_SCALAR_V(m, s, uint64_t, vmstate_info_uint64, v)
#define VMSTATE_INT64_V(m, s, v) VMSTATE_SCALAR_V(m, s, int64_t, vmstate_info_int64, v)
/** Member is an array of _n scalars. */
#define VMSTATE_ARRAY_OF(_m, _s, _n, _ctype, _info)                                           \
    { .name = #_m, .offset = offsetof(_s, _m), .size = sizeof(_ctype), .num = (_n),           \
      .info = &(_info), .flags = VMS_ARRAY }
#define VMSTATE_UINT8_ARRAY(m, s, n) VMSTATE_ARRAY_OF(m, s, n, uint8_t, vmstate_info_uint8)
#define VMSTATE_UINT32_ARRAY(m, s, n) VMSTATE_ARRAY_OF(m, s, n, uint32_t, vmstate_info_uint32)
#define VMSTATE_UINT64_ARRAY(m, s, n) VMSTATE_ARRAY_OF(m, s, n, uint64_t, vmstate_info_uint64)
#define VMSTATE_INT32_ARRAY(m, s, n) VMSTATE_ARRAY_OF(m, s, n, int32_t, vmstate_info_int32)
/** Member is a byte array, written raw. */
#define VMSTATE_BUFFER(_m, _s)                                                                \
    { .name = #_m, .offset = offsetof(_s, _m), .size = sizeof(((_s *)0)->_m),                 \
      .info = &vmstate_info_buffer }
/** _n zero bytes on the wire, ignored on load. */
#define VMSTATE_UNUSED(_n) { .name = "unused", .size = (_n), .info = &vmstate_info_unused_buffer }
/** Member is a ClockTimer *. */
#define VMSTATE_TIMER_PTR(_m, _s)                                                             \
    { .name = #_m, .offset = offsetof(_s, _m), .size = sizeof(void *),                        \
      .info = &vmstate_info_timer, .flags = VMS_POINTER }
/** Member is a struct / array of structs / pointer to array of structs. */
#define VMSTATE_STRUCT(_m, _s, _vmsd, _type)                                                  \
    { .name = #_m, .offset = offsetof(_s, _m), .size = sizeof(_type), .vmsd = &(_vmsd),       \
      .flags = VMS_STRUCT }
#define VMSTATE_STRUCT_ARRAY(_m, _s, _n, _vmsd, _type)                                        \
    { .name = #_m, .offset = offsetof(_s, _m), .size = sizeof(_type), .num = (_n),            \
      .vmsd = &(_vmsd), .flags = VMS_STRUCT | VMS_ARRAY }
/** Member is a pointer to an array whose count is in the uint32_t member _cnt; more than _max is refused. */
#define VMSTATE_VARRAY_PTR(_m, _s, _cnt, _max, _ctype, _info)                                 \
    { .name = #_m, .offset = offsetof(_s, _m), .size = sizeof(_ctype), .num = (_max),         \
      .num_offset = offsetof(_s, _cnt), .info = &(_info), .flags = VMS_VARRAY | VMS_POINTER }
#define VMSTATE_END_OF_LIST() { .name = NULL }

/** Member is a pointer to an array of structs, counted as for VMSTATE_VARRAY_PTR. */
#define VMSTATE_STRUCT_VARRAY_PTR(_m, _s, _cnt, _max, _vmsd, _type)                           \
    { .name = #_m, .offset = offsetof(_s, _m), .size = sizeof(_type), .num = (_max),          \
      .num_offset = offsetof(_s, _cnt), .vmsd = &(_vmsd),                                     \
      .flags = VMS_STRUCT | VMS_VARRAY | VMS_POINTER }
/** Nothing on the wire; fn(opaque, version) must hold on load and on save. */
#define VMSTATE_VALIDATE(_text, _fn)                                                          \
    { .name = (_text), .exists = (_fn), .flags = VMS_VALIDATE }

/**
 * Body only (migration-stream 2.1, 2.5): fields and subsections. json (may be NULL) receives the keys
 * of the description.
 */
struct json_object;
bool vmstate_save_body(StreamWriter *w, const VMStateDescription *vmsd, void *opaque,
                       struct json_object *json, GError **errp);
bool vmstate_load_body(StreamReader *r, const VMStateDescription *vmsd, void *opaque,
                       int version_id, GError **errp);

/* ---- the registry: which sections a machine has ---- */

typedef struct VMStateRegistry VMStateRegistry;

VMStateRegistry *vmstate_registry_new(void);
void vmstate_registry_free(VMStateRegistry *reg);
/** The dialect we write. Reading accepts both. */
StreamDialect vmstate_dialect(const VMStateRegistry *reg);
void vmstate_set_dialect(VMStateRegistry *reg, StreamDialect dialect);
/**
 * The dialect of the last stream loaded, -1 if not known: recognised by the
 * first section whose two descriptions have different versions (the cpu).
 */
int vmstate_received_dialect(const VMStateRegistry *reg);
void vmstate_set_received_dialect(VMStateRegistry *reg, StreamDialect dialect);

/** Order of FULL sections: by this key for the dialect being written, registration order among equals. */
#define VMSTATE_ORDER_DEFAULT 1000

/** The table as JSON: name, versions, fields and subsections with theirs. The caller's. Any thread. */
struct json_object *vmstate_describe(const VMStateDescription *vmsd);

/**
 * Registers a section. vmsds: NULL-terminated; [0] is written under
 * DIALECT_QEMU_7_2 and [1], if there, under DIALECT_QEMU_10_0 (else [0]).
 * On load the one whose version range holds the received version is used.
 * idstr is copied. Main thread, while the machine is built.
 */
void vmstate_register_versions(VMStateRegistry *reg, const char *idstr, uint32_t instance_id,
                               const VMStateDescription *const *vmsds, void *opaque,
                               int order_7_2, int order_10_0);
/** The common case: one description for both, default order. */
void vmstate_register(VMStateRegistry *reg, const char *idstr, uint32_t instance_id,
                      const VMStateDescription *vmsd, void *opaque);
/** The next instance_id for a further section of this name, as QEMU 10.0 counts them. */
uint32_t vmstate_free_instance(const VMStateRegistry *reg, const char *idstr);
/**
 * QEMU 7.2 gives every section of this name instance 0 (machine-virt 2.1): so do we under its
 * dialect, and of several instances 0 that come the second is the second that was registered.
 */
void vmstate_alike_in_7_2(VMStateRegistry *reg, const char *idstr, uint32_t instance_id);
void vmstate_unregister(VMStateRegistry *reg, const char *idstr, uint32_t instance_id);

/**
 * Called by a device that wants its own data in the description's "ferry"
 * object (fflags): put() adds members under key, get() receives what a Ferry
 * source sent (absent from QEMU: not called).
 */
void vmstate_register_ferry(VMStateRegistry *reg, const char *key,
                            void (*put)(void *opaque, struct json_object *obj),
                            bool (*get)(void *opaque, struct json_object *obj, GError **errp),
                            void *opaque);

/**
 * All FULL sections in order, with footers (migration-stream 1.3 step 7); json array "devices" is
 * filled. VM stopped, BQL held.
 */
bool vmstate_save_all(VMStateRegistry *reg, StreamWriter *w, bool footers,
                      struct json_object *devices, GError **errp);
/**
 * Loads one FULL section whose header (id, idstr, instance, version) was
 * already read. BQL held. Errors as migration-stream 2.6: "Unknown savevm section or
 * instance '%s' %u. ...", "savevm: unsupported version %d for '%s' v%d".
 */
bool vmstate_load_section(VMStateRegistry *reg, StreamReader *r, const char *idstr,
                          uint32_t instance_id, uint32_t version_id, GError **errp);
/**
 * Collects / delivers the "ferry" object. Collecting returns NULL when nobody
 * registered or put anything; the caller owns (json_object_put) the result.
 */
struct json_object *vmstate_save_ferry(VMStateRegistry *reg);
bool vmstate_load_ferry(VMStateRegistry *reg, struct json_object *ferry, GError **errp);

/** Text of a description in QEMU's style: one line, ", " and ": ", "/" not escaped. Caller frees. */
char *vmstate_json_text(struct json_object *json);
/** The section id that vmstate_save_all gives to a section, also if it is not needed now; UINT32_MAX if there is none. */
uint32_t vmstate_section_id(VMStateRegistry *reg, const char *idstr, uint32_t instance_id);
/** At the start of an incoming migration: forgets which dialect and which sections were received. */
void vmstate_load_begin(VMStateRegistry *reg);
/**
 * At its end, if there is a description: refuses a machine of which a device
 * was left out, by the list of devices of the description and by our own.
 * devices: a JSON array; what else it holds is ignored.
 */
bool vmstate_load_complete(VMStateRegistry *reg, struct json_object *devices, GError **errp);

#endif
