/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry-inspect's own knowledge of device state, for streams without a
 * description and for what descriptions leave open (virtio). One line of text
 * per layout:
 *
 *   name type [*count] [?field&mask] ; ...
 *
 * type: an integer kind, bool, timer; buffer:N and unused_buffer:N bytes;
 * @layout.version for a struct; virtio:layout for what virtio devices have in
 * common around that layout. count: a number, an earlier field, or kH for k
 * per hart, or field/32 for a bit each. ?field&mask: only there if that bit is
 * set in an earlier field.
 */
#ifndef INSPECT_TABLES_H
#define INSPECT_TABLES_H

typedef struct LayoutTable {
    const char *name;       /* of the vmsd */
    int version;
    const char *fields;
} LayoutTable;

/** NULL if there is none. */
const LayoutTable *table_find(const char *name, int version);
/** Is there any version of it? For the message. */
int table_newest(const char *name);

#endif
