/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks: all memory of the machine that has content, named as QEMU
 * names it (machine-virt 2.2). One of the four headers through which
 * migration/ knows the machine. Blocks are created while the machine is
 * built and live as long as it; afterwards the list is read-only.
 */
#ifndef SOFTMMU_RAMBLOCK_H
#define SOFTMMU_RAMBLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define TARGET_PAGE_BITS 12
#define TARGET_PAGE_SIZE (1ULL << TARGET_PAGE_BITS)
#define RAM_BLOCK_ID_MAX 255

typedef struct RAMBlock {
    /* set once at creation */
    char idstr[RAM_BLOCK_ID_MAX + 1];
    uint8_t *host;          /* MAP_SHARED mapping (memfd or file), page aligned, MADV_HUGEPAGE asked */
    uint64_t used_length;   /* bytes, multiple of TARGET_PAGE_SIZE */
    uint64_t page_size;     /* backing page size in bytes: 4096 unless hugetlbfs */
    uint64_t ram_offset;    /* source-internal global offset: unique, page aligned (cache address) */
    uint64_t guest_addr;    /* guest-physical base, UINT64_MAX if not mapped */
    int fd;                 /* backing fd */
    bool named_file;        /* backed by a file that somebody named: its content may be somebody's */
    bool shared;            /* a named file, and others may map it while we run (share=on) */
    bool readonly;          /* guest stores are refused (mask ROM, flash) */
    /* the dirty log's (softmmu/dirty-log.h): one bit per target page, atomic words */
    uint64_t *dirty;
    /* the present map's (softmmu/present-map.h): as dirty; NULL until it is first begun, then for good */
    uint64_t *missing, *asked;
    uint64_t *unasked;      /* likewise: came before anybody asked, and nobody has used it yet */
    uint64_t *guarded;      /* the write guard's (softmmu/write-guard.h), likewise */
} RAMBlock;

typedef struct RAMList RAMList;

RAMList *ram_list_new(void);
void ram_list_free(RAMList *list);

/**
 * Creates a zeroed block. length is rounded up to the page size. path NULL:
 * memfd; otherwise a file to map shared. Returns NULL with errp (name and
 * size in the message). Main thread, while the machine is built.
 */
RAMBlock *ram_list_add(RAMList *list, const char *idstr, uint64_t length, const char *path,
                       GError **errp);

/** Takes all of the block's memory from the host now; what is in it stays. Main thread, before anybody runs. */
bool ram_block_populate(RAMBlock *block, GError **errp);

/**
 * Makes missing, asked and unasked of an existing block, all clear; missing is in memory then. Any
 * thread, one at a time.
 */
bool ram_block_add_present_bits(RAMBlock *block, GError **errp);
/** Clears them and gives their memory back to the host; they may be read meanwhile, not written. */
void ram_block_clear_present_bits(RAMBlock *block);
/** The same for guarded. */
bool ram_block_add_guard_bits(RAMBlock *block, GError **errp);
void ram_block_clear_guard_bits(RAMBlock *block);

/** Number of blocks, and block i in announcement order: largest first, creation order among equals. */
size_t ram_list_count(const RAMList *list);
RAMBlock *ram_list_get(const RAMList *list, size_t i);
/** Block by name of name_len bytes (no NUL needed), or NULL. */
RAMBlock *ram_list_find(const RAMList *list, const char *name, size_t name_len);
/** Makes all memory zero and gives it back to the host; named files are left as they are. Nobody may use it. */
void ram_list_discard(RAMList *list);
/**
 * The same for [offset, offset + length) of a block, whole pages of its backing; memory that cannot be
 * given back, or that is in a named file, stays as it is. Any thread; nobody may use it.
 */
void ram_block_give_back(RAMBlock *block, uint64_t offset, uint64_t length);
/** Sum of used_length. */
uint64_t ram_list_total_bytes(const RAMList *list);

static inline uint64_t ram_block_pages(const RAMBlock *block)
{
    return block->used_length >> TARGET_PAGE_BITS;
}

#endif
