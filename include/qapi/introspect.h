/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The elements of query-qmp-schema, generated as JSON texts; NULL-terminated. */
#ifndef QAPI_INTROSPECT_H
#define QAPI_INTROSPECT_H

extern const char *const qapi_schema_rows[];

#endif
