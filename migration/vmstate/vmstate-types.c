/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scalar field kinds of device state (migration-stream 2.2, 2.3):
 * how each goes over the wire. Referenced by the tables of devices, called by
 * the engine in vmstate.c, never directly.
 */
#include <inttypes.h>
#include "migration/vmstate.h"
#include "util/error.h"

/* A short stream is the reader's own (sticky) error; the engine asks for it after each field. */

#define DEFINE_INT(_kind, _ctype, _utype, _get, _put)                                       \
    static bool get_##_kind(StreamReader *r, void *pv, size_t size, const VMStateField *f,  \
                            GError **errp)                                                  \
    {                                                                                       \
        *(_ctype *)pv = (_ctype)_get(r);                                                    \
        return true;                                                                        \
    }                                                                                       \
    static bool put_##_kind(StreamWriter *w, const void *pv, size_t size,                   \
                            const VMStateField *f, GError **errp)                           \
    {                                                                                       \
        _put(w, (_utype)*(const _ctype *)pv);                                               \
        return true;                                                                        \
    }                                                                                       \
    const VMStateInfo vmstate_info_##_kind = { #_kind, get_##_kind, put_##_kind };

DEFINE_INT(int8, int8_t, uint8_t, stream_get_u8, stream_put_u8)
DEFINE_INT(uint8, uint8_t, uint8_t, stream_get_u8, stream_put_u8)
DEFINE_INT(int16, int16_t, uint16_t, stream_get_be16, stream_put_be16)
DEFINE_INT(uint16, uint16_t, uint16_t, stream_get_be16, stream_put_be16)
DEFINE_INT(int32, int32_t, uint32_t, stream_get_be32, stream_put_be32)
DEFINE_INT(uint32, uint32_t, uint32_t, stream_get_be32, stream_put_be32)
DEFINE_INT(int64, int64_t, uint64_t, stream_get_be64, stream_put_be64)
DEFINE_INT(uint64, uint64_t, uint64_t, stream_get_be64, stream_put_be64)

static bool get_bool(StreamReader *r, void *pv, size_t size, const VMStateField *f, GError **errp)
{
    *(bool *)pv = stream_get_u8(r) != 0;
    return true;
}

static bool put_bool(StreamWriter *w, const void *pv, size_t size, const VMStateField *f,
                     GError **errp)
{
    stream_put_u8(w, *(const bool *)pv);
    return true;
}

const VMStateInfo vmstate_info_bool = { "bool", get_bool, put_bool };

/* Fields that say something about the machine: both sides must have the same. */
#define DEFINE_EQUAL(_kind, _name, _ctype, _get)                                            \
    static bool get_##_kind##_equal(StreamReader *r, void *pv, size_t size,                 \
                                    const VMStateField *f, GError **errp)                   \
    {                                                                                       \
        _ctype got = (_ctype)_get(r);                                                       \
        if (stream_reader_ok(r, NULL) && got != *(_ctype *)pv) {                            \
            error_setg(errp, "%" PRIx64 " != %" PRIx64, (uint64_t)got,                      \
                       (uint64_t)*(_ctype *)pv);                                            \
            return false;                                                                   \
        }                                                                                   \
        return true;                                                                        \
    }                                                                                       \
    const VMStateInfo vmstate_info_##_kind##_equal = { _name, get_##_kind##_equal, put_##_kind };

DEFINE_EQUAL(uint8, "uint8 equal", uint8_t, stream_get_u8)
DEFINE_EQUAL(uint16, "uint16 equal", uint16_t, stream_get_be16)
DEFINE_EQUAL(uint32, "uint32 equal", uint32_t, stream_get_be32)
DEFINE_EQUAL(uint64, "int64 equal", uint64_t, stream_get_be64)

static bool get_int32_equal(StreamReader *r, void *pv, size_t size, const VMStateField *f,
                            GError **errp)
{
    uint32_t got = stream_get_be32(r), ours = *(uint32_t *)pv;

    if (stream_reader_ok(r, NULL) && got != ours) {
        error_setg(errp, "%" PRIx32 " != %" PRIx32, got, ours);
        return false;
    }
    return true;
}

const VMStateInfo vmstate_info_int32_equal = { "int32 equal", get_int32_equal, put_int32 };

static bool get_int32_le(StreamReader *r, void *pv, size_t size, const VMStateField *f,
                         GError **errp)
{
    int32_t got = (int32_t)stream_get_be32(r), ours = *(int32_t *)pv;

    if (stream_reader_ok(r, NULL) && (got < 0 || got > ours)) {
        error_setg(errp, "Invalid value %" PRId32 " expecting positive value <= %" PRId32, got,
                   ours);
        return false;
    }
    *(int32_t *)pv = got;
    return true;
}

const VMStateInfo vmstate_info_int32_le = { "int32 le", get_int32_le, put_int32 };

static bool get_raw(StreamReader *r, void *pv, size_t size, const VMStateField *f, GError **errp)
{
    stream_get_buffer(r, pv, size);
    return true;
}

static bool put_raw(StreamWriter *w, const void *pv, size_t size, const VMStateField *f,
                    GError **errp)
{
    stream_put_buffer(w, pv, size);
    return true;
}

const VMStateInfo vmstate_info_buffer = { "buffer", get_raw, put_raw };

static bool get_unused(StreamReader *r, void *pv, size_t size, const VMStateField *f,
                       GError **errp)
{
    stream_skip(r, size);
    return true;
}

static bool put_unused(StreamWriter *w, const void *pv, size_t size, const VMStateField *f,
                       GError **errp)
{
    static const uint8_t zeros[64];

    while (size > 0) {
        size_t n = MIN(size, sizeof(zeros));
        stream_put_buffer(w, zeros, n);
        size -= n;
    }
    return true;
}

const VMStateInfo vmstate_info_unused_buffer = { "unused_buffer", get_unused, put_unused };
