/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ferry-inspect knows of one stream after reading it: sections in
 * order, guest RAM, device fields, the first problem. Filled by stream.c,
 * ram.c and layout.c; read by show, diff and extract.
 */
#ifndef INSPECT_MODEL_H
#define INSPECT_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE 4096u

/* ---- RAM ---- */

enum PageKind { PAGE_ZERO, PAGE_NORMAL, PAGE_DELTA, PAGE_COMPRESSED, PAGE_MAPPED, PAGE_KINDS };

typedef struct RamBlock {
    char *name;
    uint64_t length;            /* bytes */
    uint8_t *data;              /* contents, lazily backed; NULL when not kept */
    uint64_t *seen;             /* bit per page: was sent at least once */
    uint64_t *written;          /* bit per page: may be other than zero */
    uint64_t guest_addr;        /* UINT64_MAX: not known */
    uint64_t records[PAGE_KINDS], repeated, delta_bytes;
    uint64_t seen_pages;
    uint64_t pages_offset, bitmap_offset;       /* mapped files */
    uint64_t second_offset;     /* of the pages' second places; 0: there are none */
    uint8_t *second;            /* pages that are there, as in the file, or NULL */
    uint64_t sums_offset;       /* of their checksums; 0: none */
    uint64_t sums_checked;      /* pages */
} RamBlock;

/*
 * Takes the pages of a stream's records in their order, for who does not want them in memory. False:
 * it has failed, and knows why; then the walk ends.
 */
typedef struct RamSink {
    bool (*blocks)(void *opaque);       /* the list of blocks is complete */
    bool (*read)(void *opaque, const RamBlock *b, uint64_t page, uint8_t *into);
    bool (*write)(void *opaque, const RamBlock *b, uint64_t page, const uint8_t *from);
} RamSink;

/* ---- device fields ---- */

typedef struct Node {
    char *name;
    char *type;
    int index;                  /* of an element described on its own; -1 */
    bool subsection;
    int version;                /* of structs and subsections; -1: not known */
    uint64_t offset, size;      /* of all elements */
    uint32_t element_size, elements;
    bool array;
    uint8_t *data;              /* scalars and buffers */
    GPtrArray *kids;            /* Node: structs and subsections */
} Node;

Node *node_new(const char *name, const char *type, uint64_t offset);
void node_free(gpointer node);

/* ---- sections ---- */

typedef enum SectionKind {
    SEC_LIBVIRT, SEC_HEAD, SEC_HEADER, SEC_CONFIG, SEC_START, SEC_PART, SEC_END, SEC_FULL, SEC_COMMAND,
    SEC_EOF, SEC_DESCRIPTION, SEC_TRAILER, SEC_MULTIFD,
} SectionKind;

typedef struct Section {
    SectionKind kind;
    uint64_t offset, length;
    uint32_t id, instance, version;
    uint64_t data_offset, data_length;      /* FULL: the body */
    char *idstr;
    char *text;                 /* what is to be said about it in a line */
    GPtrArray *fields;          /* Node, or NULL */
    GArray *ram;                /* SectionRam, or NULL */
} Section;

/* RAM records of one section and block. */
typedef struct SectionRam {
    unsigned block;
    uint64_t records[PAGE_KINDS];
} SectionRam;

typedef struct Problem {
    uint64_t offset;
    char *text;                 /* complete sentence, without the offset */
} Problem;

typedef enum FileLayout { LAYOUT_STREAM, LAYOUT_MAPPED_RAM, LAYOUT_FIXED_RAM } FileLayout;

typedef struct Model {
    char *machine;
    GPtrArray *capabilities;    /* char * */
    bool ignore_shared;
    FileLayout layout;
    bool keep_ram;
    const RamSink *sink;        /* or NULL */
    void *sink_opaque;
    GPtrArray *blocks;          /* RamBlock */
    GPtrArray *sections;        /* Section */
    char *description;          /* JSON text, or NULL */
    bool ferry;                 /* written by Ferry */
    bool switchover_command, configuration_described;
    int cpu_version;            /* -1: no cpu section */
    bool ram_without_end;       /* as in a background snapshot */
    bool part;                  /* its writer did not come to its end: only the beginning was read */
    uint64_t saves;             /* how often the file was saved into, the last time with x-incremental; else 0 */
    uint64_t stored_bytes;      /* then: what the file holds; 0: not known */
    uint64_t ram_bytes;         /* of all blocks, by the list's first word */
    uint64_t page_sizes;        /* of all blocks, ORed, with postcopy; else 0 */
    bool channel;               /* no stream, but a multifd channel; what it carried: */
    uint64_t channel_normal, channel_zero, channel_syncs;
    unsigned flushes;           /* MULTIFD_FLUSH records: pages travel in other channels */
    unsigned harts;
    Problem problem;            /* text NULL: none */
} Model;

Model *model_new(bool keep_ram);
void model_free(Model *m);
/** Records the first problem; later ones are dropped. Always false. */
bool model_problem(Model *m, uint64_t offset, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/** "QEMU 7.2", "QEMU 10.0", "Ferry, as QEMU 7.2", ... */
char *model_dialect(const Model *m);
const char *section_kind_name(SectionKind kind);
RamBlock *model_find_block(const Model *m, const char *name, size_t len);
/** The section of this name and instance with fields, or NULL. */
Section *model_find_section(const Model *m, const char *idstr, uint32_t instance);
/**
 * Are these the same fields in the same places? If not, *x and *y are the
 * first that differ (NULL where a list ends).
 */
bool nodes_alike(const GPtrArray *a, const GPtrArray *b, const Node **x, const Node **y);
/** A field by name below a section or node list, or NULL. */
Node *node_find(const GPtrArray *list, const char *name);
/** Element i of an integer field, zero- or sign-extended. */
uint64_t node_integer(const Node *n, uint32_t i);
bool node_is_signed(const Node *n);
/** Can its bytes be shown as integers? */
bool node_is_integer(const Node *n);

#endif
