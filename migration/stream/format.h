/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every number and fixed layout of the migration stream, and nothing else:
 * no code, no machine. Included by whoever writes or reads the stream in
 * migration/; tools/inspect has its own tables on purpose. References in
 * brackets are sections of docs/interop/migration-stream.md. All integers on
 * the wire are big-endian unless a line says otherwise.
 */
#ifndef MIGRATION_STREAM_FORMAT_H
#define MIGRATION_STREAM_FORMAT_H

#include <glib.h>
#include <stdint.h>

/* ---- [1.1] top level ---- */

#define STREAM_MAGIC 0x5145564DU    /* "QEVM" */
#define STREAM_MAGIC_PART 0x70617274U   /* "part": in a file that is not whole (6.7) */
#define STREAM_MAGIC_HEAD 0x46696e63U     /* "Finc": the stream is elsewhere [6.10] */
#define STREAM_VERSION 3U
#define STREAM_VERSION_OBSOLETE 2U

enum StreamSection {
    SECTION_EOF = 0x00,
    SECTION_START = 0x01,
    SECTION_PART = 0x02,
    SECTION_END = 0x03,
    SECTION_FULL = 0x04,
    SECTION_SUBSECTION = 0x05,      /* inside vmstate bodies only [2.5] */
    SECTION_VMDESCRIPTION = 0x06,   /* after EOF only [1.6] */
    SECTION_CONFIGURATION = 0x07,   /* after the 8 byte header only [1.5] */
    SECTION_COMMAND = 0x08,
    SECTION_FOOTER = 0x7E,
};

/** Counted strings: one length byte, no NUL. */
#define STREAM_CSTR_MAX 255

/* [1.2] Section ids are labels; these are QEMU's own choices, used when we write. */
#define SECTION_ID_RAM_7_2 2U
#define SECTION_ID_RAM_10_0 1U
#define SECTION_ID_FIRST_DEVICE 0U          /* the first section ("timer") */
#define SECTION_ID_OTHER_DEVICES_7_2 4U     /* the second and following, counting up */
#define SECTION_ID_OTHER_DEVICES_10_0 3U

/* [1.5] configuration */
#define CONFIG_VMSD_NAME "configuration"
#define CONFIG_SUB_PAGE_BITS "configuration/target-page-bits"
#define CONFIG_SUB_CAPABILITIES "configuration/capabilities"
#define CONFIG_SUB_UUID "configuration/uuid"
#define CONFIG_NAME_MAX 255                 /* longer machine names are refused */
#define CONFIG_UUID_BYTES 16
#define CONFIG_CAPABILITIES_MAX 64

/* [1.6] A description longer than this is not read into memory but skipped. */
#define VMDESCRIPTION_MAX (16U << 20)

/* ---- [2.2, 2.7] device state ---- */

#define VMSTATE_TIMER_NOT_ARMED UINT64_MAX
#define GLOBALSTATE_RUNSTATE_BYTES_7_2 100
#define GLOBALSTATE_RUNSTATE_BYTES_10_0 32

/* ---- [3] the ram section ---- */

#define RAM_SECTION_IDSTR "ram"
#define RAM_SECTION_VERSION 4U

#define STREAM_PAGE_BITS 12
#define STREAM_PAGE_SIZE (1U << STREAM_PAGE_BITS)
#define RAM_FLAGS_MASK ((uint64_t)STREAM_PAGE_SIZE - 1)

enum RamFlag {
    RAM_FLAG_FULL = 0x001,          /* obsolete */
    RAM_FLAG_ZERO = 0x002,          /* [block id] u8 fill */
    RAM_FLAG_MEM_SIZE = 0x004,      /* block list [3.2]; upper bits: total bytes */
    RAM_FLAG_PAGE = 0x008,          /* [block id] 4096 bytes */
    RAM_FLAG_EOS = 0x010,           /* ends the payload */
    RAM_FLAG_CONTINUE = 0x020,      /* no block id: same block as before [3.3] */
    RAM_FLAG_XBZRLE = 0x040,        /* [block id] u8 1, u16 length, bytes [4.1] */
    RAM_FLAG_HOOK = 0x080,          /* RDMA only */
    RAM_FLAG_COMPRESS_PAGE = 0x100, /* 7.2 only */
    RAM_FLAG_MULTIFD_FLUSH = 0x200, /* 8.1 and newer */
};

/* ---- [4] XBZRLE ---- */

#define XBZRLE_ENCODING_FLAG 0x01
#define XBZRLE_FRAMING_BYTES 3              /* flag and u16 length */
#define XBZRLE_LENGTH_MAX 0x3FFF            /* two byte ULEB128 */
G_STATIC_ASSERT(STREAM_PAGE_SIZE <= XBZRLE_LENGTH_MAX);

/* ---- [6] mapped-ram ---- */

#define MAPPED_RAM_VERSION 1U
#define MAPPED_RAM_PAGES_ALIGN 0x100000U    /* absolute file position */
#define MAPPED_RAM_READ_CHUNK 0x100000U
#define CAPABILITY_MAPPED_RAM "mapped-ram"  /* as named in the configuration block */
#define CAPABILITY_FIXED_RAM "fixed-ram"
#define CAPABILITY_IGNORE_SHARED "x-ignore-shared"

/** [6.2] */
typedef struct MappedRamHeader {
    uint32_t version;
    uint64_t page_size;
    uint64_t bitmap_offset;         /* absolute file positions, not from the URI's offset */
    uint64_t pages_offset;
} __attribute__((packed)) MappedRamHeader;
G_STATIC_ASSERT(sizeof(MappedRamHeader) == 28);
G_STATIC_ASSERT(G_STRUCT_OFFSET(MappedRamHeader, page_size) == 4);
G_STATIC_ASSERT(G_STRUCT_OFFSET(MappedRamHeader, bitmap_offset) == 12);
G_STATIC_ASSERT(G_STRUCT_OFFSET(MappedRamHeader, pages_offset) == 20);

/** [6.6] the founding document's layout; the bitmap follows directly. */
typedef struct FixedRamHeader {
    uint32_t bitmap_size;           /* bytes */
    uint64_t pages_offset;          /* absolute file position */
} __attribute__((packed)) FixedRamHeader;
G_STATIC_ASSERT(sizeof(FixedRamHeader) == 12);
G_STATIC_ASSERT(G_STRUCT_OFFSET(FixedRamHeader, pages_offset) == 4);

/** [6.2, 6.6] Bytes of a bitmap for so many pages: whole little-endian u64 words. */
#define MAPPED_RAM_BITMAP_BYTES(pages) (((uint64_t)(pages) + 63) / 64 * 8)

/** [6.10] Instead of a stream, where a file was saved into again. */
#define MAPPED_HEAD_VERSION 1U
typedef struct MappedHead {
    uint32_t magic, version;
    uint64_t saves;                 /* 2: the first time */
    uint64_t stream_offset;
    uint64_t room_offset, room_bytes;   /* of the first of two rooms */
    uint64_t sum;                   /* of the four above */
} __attribute__((packed)) MappedHead;
G_STATIC_ASSERT(sizeof(MappedHead) == 48);

/** [6.10] A block's header in such a file. */
#define MAPPED_RAM_VERSION_TWO 2U
typedef struct MappedRamHeaderTwo {
    MappedRamHeader one;
    uint64_t second_offset;         /* of page 0's second place */
    uint64_t second_bitmap_offset;
    uint64_t next_offset;           /* where the stream goes on */
} __attribute__((packed)) MappedRamHeaderTwo;
G_STATIC_ASSERT(sizeof(MappedRamHeaderTwo) == 52);

/** [6.8] In the room between bitmap and pages; a little-endian u64 per page follows. */
#define MAPPED_SUMS_MAGIC "FerrySum"
#define MAPPED_SUMS_VERSION 1U
typedef struct MappedSumsHeader {
    char magic[8];
    uint32_t version;
    uint32_t reserved;              /* 0 */
    uint64_t pages;                 /* of the block */
    uint64_t sum;                   /* over name, length, bitmap and the table */
} __attribute__((packed)) MappedSumsHeader;
G_STATIC_ASSERT(sizeof(MappedSumsHeader) == 32);
G_STATIC_ASSERT(G_STRUCT_OFFSET(MappedSumsHeader, pages) == 16);

/* ---- [7] multifd ---- */

#define MULTIFD_MAGIC 0x11223344U
#define MULTIFD_VERSION 1U
#define MULTIFD_PACKET_BYTES (512U << 10)
#define MULTIFD_PACKET_PAGES (MULTIFD_PACKET_BYTES / STREAM_PAGE_SIZE)
#define MULTIFD_PAYLOAD_MAX (2 * MULTIFD_PACKET_BYTES)   /* [7.3] compressed pages may have grown */

enum MultifdFlag {
    MULTIFD_FLAG_SYNC = 0x01,
    MULTIFD_FLAG_ZLIB = 0x02,
    MULTIFD_FLAG_ZSTD = 0x04,
    MULTIFD_FLAG_QPL = 0x08,            /* 10.0 */
    MULTIFD_FLAG_UADK = 0x10,           /* 10.0 */
    MULTIFD_FLAG_QATZIP = 0x20,         /* 10.0 */
    MULTIFD_FLAG_DEVICE_STATE = 0x40,   /* 10.0 */
};

/** What a parallel channel begins with (migration-stream 7). */
typedef struct MultifdInit {
    uint32_t magic;
    uint32_t version;
    uint8_t uuid[16];
    uint8_t id;
    uint8_t unused1[7];
    uint64_t unused2[4];
} __attribute__((packed)) MultifdInit;
G_STATIC_ASSERT(sizeof(MultifdInit) == 64);
G_STATIC_ASSERT(G_STRUCT_OFFSET(MultifdInit, id) == 24);

/** What comes before the pages of a packet. */
typedef struct MultifdPacket {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t pages_alloc;
    uint32_t normal_pages;
    uint32_t next_packet_size;          /* not to be trusted when normal_pages is 0 */
    uint64_t packet_num;
    uint32_t zero_pages;                /* 10.0; 7.2: zero */
    uint32_t unused1;
    uint64_t unused2[3];
    char ramblock[256];
    uint64_t offset[MULTIFD_PACKET_PAGES];
} __attribute__((packed)) MultifdPacket;
G_STATIC_ASSERT(sizeof(MultifdPacket) == 1344);
G_STATIC_ASSERT(G_STRUCT_OFFSET(MultifdPacket, zero_pages) == 32);
G_STATIC_ASSERT(G_STRUCT_OFFSET(MultifdPacket, ramblock) == 64);
G_STATIC_ASSERT(G_STRUCT_OFFSET(MultifdPacket, offset) == 320);

/* ---- [8.1] commands, source to destination ---- */

enum StreamCommand {
    MIG_CMD_INVALID = 0,
    MIG_CMD_OPEN_RETURN_PATH = 1,
    MIG_CMD_PING = 2,
    MIG_CMD_POSTCOPY_ADVISE = 3,
    MIG_CMD_POSTCOPY_LISTEN = 4,
    MIG_CMD_POSTCOPY_RUN = 5,
    MIG_CMD_POSTCOPY_RAM_DISCARD = 6,
    MIG_CMD_PACKAGED = 7,
    MIG_CMD_ENABLE_COLO = 8,
    MIG_CMD_POSTCOPY_RESUME = 9,
    MIG_CMD_RECV_BITMAP = 10,
    MIG_CMD_SWITCHOVER_START = 11,      /* 10.0; fatal for 7.2 */
    MIG_CMD_MAX,
};

#define MIG_CMD_PING_BYTES 4
#define MIG_CMD_POSTCOPY_ADVISE_BYTES 16
#define MIG_CMD_PACKAGED_BYTES 4
#define MIG_CMD_DISCARD_RANGES_MAX 12
#define MIG_PACKAGED_MAX (256U << 20)    /* [8.4] a longer package is refused, not allocated */

/* ---- [8.2] return path, destination to source ---- */

enum ReturnPathMessage {
    MIG_RP_MSG_INVALID = 0,
    MIG_RP_MSG_SHUT = 1,
    MIG_RP_MSG_PONG = 2,
    MIG_RP_MSG_REQ_PAGES_ID = 3,
    MIG_RP_MSG_REQ_PAGES = 4,
    MIG_RP_MSG_RECV_BITMAP = 5,
    MIG_RP_MSG_RESUME_ACK = 6,
    MIG_RP_MSG_SWITCHOVER_ACK = 7,
    MIG_RP_MSG_MAX,
};

#define MIG_RP_DATA_MAX 512
#define MIG_PING_ALIVE 5U       /* Ferry's: another follows within a second (8.9) */
#define MIG_RESUME_ACK_VALUE 1U
#define MIG_RECV_BITMAP_END_MARK 0x0123456789ABCDEFULL

#endif
