/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the loading of device state: a registry with every field kind,
 * nested structs, counted arrays and subsections gets sections from the
 * input, each followed by its footer, as in a stream. Loading may refuse; it
 * may not crash or write outside; what it accepted can be saved again.
 */
#include <string.h>
#include "migration/stream/format.h"
#include "migration/vmstate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Entry {
    uint64_t addr;
    uint8_t cfg;
} Entry;

typedef struct Device {
    bool b;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32, late;
    uint64_t u64;
    int8_t i8;
    int16_t i16;
    int32_t i32, nirq, limit;
    int64_t i64;
    uint8_t same8;
    uint16_t same16;
    uint32_t same32;
    uint64_t same64;
    uint8_t raw[5];
    uint32_t words[3];
    Entry one, entries[2];
    uint32_t count;
    uint32_t *list;
    Entry *entry_list;
    uint32_t sub_value;
    uint32_t list_room[4], guard1;
    Entry entry_room[4];
    uint32_t guard2;
} Device;

static const VMStateField entry_fields[] = {
    VMSTATE_UINT64(addr, Entry), VMSTATE_UINT8(cfg, Entry), VMSTATE_END_OF_LIST()
};
static const VMStateDescription vmstate_entry = {
    .name = "dev/entry", .version_id = 1, .fields = entry_fields,
};
static const VMStateField deep_fields[] = {
    VMSTATE_BUFFER(raw, Device), VMSTATE_END_OF_LIST()
};
static const VMStateDescription vmstate_deep = {
    .name = "dev/sub/deep", .version_id = 2, .minimum_version_id = 1, .fields = deep_fields,
};
static const VMStateDescription *const sub_subsections[] = { &vmstate_deep, NULL };
static const VMStateField sub_fields[] = {
    VMSTATE_UINT32(sub_value, Device), VMSTATE_END_OF_LIST()
};
static const VMStateDescription vmstate_sub = {
    .name = "dev/sub", .version_id = 1, .fields = sub_fields, .subsections = sub_subsections,
};
static const VMStateDescription vmstate_empty = { .name = "dev/empty", .version_id = 0 };
static const VMStateDescription *const dev_subsections[] = { &vmstate_sub, &vmstate_empty, NULL };

static bool count_small(void *opaque, int version_id)
{
    return ((Device *)opaque)->count <= 3;
}

static const VMStateField dev_fields[] = {
    VMSTATE_BOOL(b, Device),
    VMSTATE_UINT8(u8, Device),
    VMSTATE_UINT16(u16, Device),
    VMSTATE_UINT32(u32, Device),
    VMSTATE_UINT64(u64, Device),
    VMSTATE_SCALAR_V(i8, Device, int8_t, vmstate_info_int8, 0),
    VMSTATE_SCALAR_V(i16, Device, int16_t, vmstate_info_int16, 0),
    VMSTATE_INT32(i32, Device),
    VMSTATE_INT64(i64, Device),
    VMSTATE_UINT32_V(late, Device, 3),
    VMSTATE_SCALAR_V(nirq, Device, int32_t, vmstate_info_int32_equal, 0),
    VMSTATE_SCALAR_V(limit, Device, int32_t, vmstate_info_int32_le, 0),
    VMSTATE_SCALAR_V(same8, Device, uint8_t, vmstate_info_uint8_equal, 0),
    VMSTATE_SCALAR_V(same16, Device, uint16_t, vmstate_info_uint16_equal, 0),
    VMSTATE_SCALAR_V(same32, Device, uint32_t, vmstate_info_uint32_equal, 0),
    VMSTATE_SCALAR_V(same64, Device, uint64_t, vmstate_info_uint64_equal, 0),
    VMSTATE_UNUSED(9),
    VMSTATE_UINT32_ARRAY(words, Device, 3),
    VMSTATE_STRUCT(one, Device, vmstate_entry, Entry),
    VMSTATE_STRUCT_ARRAY(entries, Device, 2, vmstate_entry, Entry),
    VMSTATE_UINT32(count, Device),
    VMSTATE_VARRAY_PTR(list, Device, count, 4, uint32_t, vmstate_info_uint32),
    VMSTATE_STRUCT_VARRAY_PTR(entry_list, Device, count, 4, vmstate_entry, Entry),
    VMSTATE_VALIDATE("count", count_small),
    VMSTATE_END_OF_LIST()
};
static const VMStateDescription vmstate_dev = {
    .name = "dev", .version_id = 3, .minimum_version_id = 2, .fields = dev_fields,
    .subsections = dev_subsections,
};
static const VMStateDescription vmstate_dev9 = {
    .name = "dev", .version_id = 9, .minimum_version_id = 9, .fields = sub_fields,
    .subsections = dev_subsections,
};

static bool load_one(VMStateRegistry *reg, StreamReader *r)
{
    char idstr[256];
    uint8_t type = stream_get_u8(r);
    uint32_t id = stream_get_be32(r);

    if (type != SECTION_FULL || !stream_get_cstr(r, idstr)) {
        return false;
    }
    uint32_t instance = stream_get_be32(r), version = stream_get_be32(r);
    g_autoptr(GError) err = NULL;
    if (!stream_reader_ok(r, NULL) ||
        !vmstate_load_section(reg, r, idstr, instance, version, &err)) {
        g_assert(!stream_reader_ok(r, NULL) || err);
        return false;
    }
    return stream_get_u8(r) == SECTION_FOOTER && stream_get_be32(r) == id;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const VMStateDescription *const devs[] = { &vmstate_dev, &vmstate_dev9, NULL };
    Device d = { .nirq = 4, .limit = 2, .guard1 = 0x5a5a5a5a, .guard2 = 0xa5a5a5a5 };
    VMStateRegistry *reg = vmstate_registry_new();
    StreamReader *r = stream_reader_new_memory(data, size);

    d.list = d.list_room;
    d.entry_list = d.entry_room;
    vmstate_register_versions(reg, "path/dev", 0, devs, &d, 1, 1);
    vmstate_register(reg, "sub", 1, &vmstate_sub, &d);
    while (load_one(reg, r)) {
        /* until refused or at the end */
    }
    g_assert(d.guard1 == 0x5a5a5a5a && d.guard2 == 0xa5a5a5a5);
    stream_reader_free(r);

    if (d.count <= 3) {
        StreamWriter *w = stream_writer_new_memory();
        vmstate_set_dialect(reg, DIALECT_QEMU_7_2);
        g_assert(vmstate_save_all(reg, w, true, NULL, NULL));
        stream_writer_free(w);
    }
    vmstate_registry_free(reg);
    return 0;
}
