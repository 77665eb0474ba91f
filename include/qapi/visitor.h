/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Type descriptors of QAPI and the three walks over them: JSON to struct,
 * struct to JSON, free. The generator writes the descriptors (qapi-types.c)
 * and thin typed wrappers (qapi-visit.c); nothing else should need this file.
 */
#ifndef QAPI_VISITOR_H
#define QAPI_VISITOR_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

typedef enum QapiKind {
    QAPI_KIND_STR, QAPI_KIND_BOOL, QAPI_KIND_NUMBER, QAPI_KIND_INT, QAPI_KIND_INT8,
    QAPI_KIND_INT16, QAPI_KIND_INT32, QAPI_KIND_INT64, QAPI_KIND_UINT8, QAPI_KIND_UINT16,
    QAPI_KIND_UINT32, QAPI_KIND_UINT64, QAPI_KIND_SIZE, QAPI_KIND_ANY, QAPI_KIND_NULL,
    QAPI_KIND_ENUM, QAPI_KIND_STRUCT, QAPI_KIND_ALTERNATE, QAPI_KIND_LIST,
} QapiKind;

typedef struct QapiType QapiType;

/** A member of a struct, or a branch of an alternate. */
typedef struct QapiMember {
    const char *name;
    const QapiType *type;
    size_t offset;
    ptrdiff_t has_offset;       /* bool has_x, or -1: required, or NULL says absent */
    bool optional;
} QapiMember;

struct QapiType {
    QapiKind kind;
    const char *name;
    size_t size;                    /* of the struct or list node; 0 for scalars */
    const QapiMember *members;      /* struct: with those of its bases */
    size_t n_members;
    const char *const *values;      /* enum: by constant, NULL where compiled out */
    size_t n_values;
    const QapiType *element;        /* list */
    size_t value_offset;            /* list: of the element in the node */
    const QapiType *tag;            /* union: the enum, NULL if no union */
    size_t tag_offset, u_offset;    /* union; alternate: u_offset (its int kind is at 0) */
    const QapiType *const *branches;/* union: by enum constant, NULL: nothing more */
};

extern const QapiType qapi_type_str, qapi_type_bool, qapi_type_number, qapi_type_int,
    qapi_type_int8, qapi_type_int16, qapi_type_int32, qapi_type_int64, qapi_type_uint8,
    qapi_type_uint16, qapi_type_uint32, qapi_type_uint64, qapi_type_size, qapi_type_any,
    qapi_type_null;

/**
 * Reads json as a struct, alternate or list into new memory at *out; NULL for
 * an empty list. On error everything is freed, *out is NULL and the message
 * is QEMU's, with the path of the member. json NULL counts as {}.
 */
bool qapi_input(const QapiType *type, struct json_object *json, void **out, GError **errp);
/** New JSON of a struct, alternate or list; a NULL list is []. */
struct json_object *qapi_output(const QapiType *type, const void *obj);
/** Frees a struct, alternate or list; NULL is fine. */
void qapi_free(const QapiType *type, void *obj);

/** Index of text among the values of an enum, or -1. */
int qapi_enum_index(const QapiType *type, const char *text);
/** As above with the error "invalid parameter value: %s". */
int qapi_enum_parse(const QapiType *type, const char *text, GError **errp);
/** Text of a value; "invalid" when out of range. */
const char *qapi_enum_str(const QapiType *type, int value);

#endif
