/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg (machine-virt 4.1, 5): a guest may find it and read its
 * signature, id, CPU count and an empty file directory, by register or DMA.
 * Items are read only. Never holds more than these few bytes.
 */
#include <glib.h>
#include <string.h>
#include "hw/misc/fw_cfg.h"
#include "util/error.h"

enum { ITEM_SIGNATURE = 0x00, ITEM_ID = 0x01, ITEM_NB_CPUS = 0x05, ITEM_FILE_DIR = 0x19 };
enum { REG_DATA = 0x00, REG_SELECTOR = 0x08, REG_DMA = 0x10, REG_END = 0x18 };
enum { DMA_ERROR = 0x01, DMA_READ = 0x02, DMA_SKIP = 0x04, DMA_SELECT = 0x08, DMA_WRITE = 0x10 };
#define DMA_SIGNATURE 0x51454d5520434647ULL /* "QEMU CFG" */
#define DMA_CHUNK 4096

/* Content of an item into buf, returns its length. */
static size_t fw_cfg_item(const FwCfg *fw, uint8_t buf[4])
{
    switch (fw->cur_entry) {
    case ITEM_SIGNATURE:
        memcpy(buf, "QEMU", 4);
        return 4;
    case ITEM_ID:
        memcpy(buf, "\3\0\0\0", 4); /* traditional and DMA interface */
        return 4;
    case ITEM_NB_CPUS:
        buf[0] = fw->cpus & 0xff;
        buf[1] = fw->cpus >> 8;
        return 2;
    case ITEM_FILE_DIR:
        memset(buf, 0, 4);
        return 4;
    default:
        return 0;
    }
}

static uint8_t fw_cfg_next_byte(FwCfg *fw)
{
    uint8_t item[4];
    size_t len = fw_cfg_item(fw, item);

    return fw->cur_offset < len ? item[fw->cur_offset++] : 0;
}

static void fw_cfg_select(FwCfg *fw, uint16_t entry)
{
    fw->cur_entry = entry;
    fw->cur_offset = 0;
}

/* ---- DMA: in pieces, as a piece may have to wait for memory; guests poll for the end ---- */

typedef struct FwCfgDesc {
    uint32_t control, length;
    uint64_t address;
} __attribute__((packed)) FwCfgDesc;

/* False: not all of it has come; fw_cfg_dma is called again. */
static bool fw_cfg_here(FwCfg *fw, uint64_t addr, uint64_t len)
{
    MemMissing missing;

    if (address_space_need(fw->as, addr, len, PRESENT_USER_DEVICE, &missing)) {
        return true;
    }
    put_off_until(&fw->put_off, &missing);
    return false;
}

static bool is_ram(const FwCfg *fw, uint64_t addr)
{
    return address_space_is_ram(fw->as, addr, 1, false);
}

/* Past the end an item reads as zeros; the guest may ask for any length, memory it does not have stops it. */
static MemTxResult fw_cfg_dma_read(FwCfg *fw)
{
    uint8_t chunk[DMA_CHUNK];

    while (fw->dma_left) {
        uint32_t part = MIN(fw->dma_left, DMA_CHUNK);

        if (!is_ram(fw, fw->dma_to)) {
            return MEMTX_ERROR;
        }
        if (!fw_cfg_here(fw, fw->dma_to, part)) {
            return MEMTX_MISSING;
        }
        for (uint32_t i = 0; i < part; i++) {
            chunk[i] = fw_cfg_next_byte(fw);
        }
        if (address_space_write(fw->as, fw->dma_to, chunk, part) != MEMTX_OK) {
            return MEMTX_ERROR;
        }
        fw->dma_to += part;
        fw->dma_left -= part;
    }
    return MEMTX_OK;
}

/* What the descriptor asks for; a read is only begun. False: it cannot be done. */
static bool fw_cfg_dma_begin(FwCfg *fw, const FwCfgDesc *desc)
{
    uint32_t control = GUINT32_FROM_BE(desc->control), length = GUINT32_FROM_BE(desc->length);

    fw->dma_left = 0;
    if (control & DMA_SELECT) {
        fw_cfg_select(fw, control >> 16);
    }
    if (control & DMA_READ) {
        fw->dma_to = GUINT64_FROM_BE(desc->address);
        fw->dma_left = length;
    } else if (control & DMA_WRITE) {
        return false;
    } else if (control & DMA_SKIP) {
        uint8_t item[4];
        size_t len = fw_cfg_item(fw, item);

        fw->cur_offset = MIN((uint64_t)fw->cur_offset + length, len);
    }
    return true;
}

static void fw_cfg_dma_end(FwCfg *fw, bool ok)
{
    uint32_t status = GUINT32_TO_BE(ok ? 0 : DMA_ERROR);

    fw->dma_state = FW_CFG_DMA_IDLE;
    address_space_write(fw->as, fw->dma_desc, &status, sizeof(status));
}

/* Goes on with the operation at dma_desc as far as its memory is here. */
static void fw_cfg_dma(void *opaque)
{
    FwCfg *fw = opaque;
    FwCfgDesc desc;
    MemTxResult result;

    if (fw->dma_state == FW_CFG_DMA_ASKED) {
        if (is_ram(fw, fw->dma_desc) && !fw_cfg_here(fw, fw->dma_desc, sizeof(desc))) {
            return;
        }
        fw->dma_state = FW_CFG_DMA_IDLE;
        if (!is_ram(fw, fw->dma_desc) ||
            address_space_read(fw->as, fw->dma_desc, &desc, sizeof(desc)) != MEMTX_OK) {
            return;
        }
        if (!fw_cfg_dma_begin(fw, &desc)) {
            fw_cfg_dma_end(fw, false);
            return;
        }
        fw->dma_state = FW_CFG_DMA_READING;
    }
    if (fw->dma_state == FW_CFG_DMA_READING && (result = fw_cfg_dma_read(fw)) != MEMTX_MISSING) {
        fw_cfg_dma_end(fw, result == MEMTX_OK);
    }
}

static void fw_cfg_dma_start(FwCfg *fw)
{
    put_off_forget(&fw->put_off);   /* one that the guest did not wait for is given up */
    fw->dma_desc = fw->dma_addr;
    fw->dma_addr = 0;
    fw->dma_state = FW_CFG_DMA_ASKED;
    fw_cfg_dma(fw);
}

/* ---- registers ---- */

static MemTxResult fw_cfg_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    FwCfg *fw = opaque;

    *value = 0;
    if (offset < REG_SELECTOR) {
        for (unsigned i = 0; i < size; i++) {
            *value |= (uint64_t)fw_cfg_next_byte(fw) << (8 * i);
        }
    } else if (offset >= REG_DMA) {
        for (unsigned i = 0; i < size && offset + i < REG_END; i++) {
            unsigned byte = offset + i - REG_DMA;

            *value |= (DMA_SIGNATURE >> (8 * (7 - byte)) & 0xff) << (8 * i);
        }
    }
    return MEMTX_OK;
}

static MemTxResult fw_cfg_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    FwCfg *fw = opaque;

    if (offset == REG_SELECTOR && size == 2) {
        fw_cfg_select(fw, GUINT16_SWAP_LE_BE((uint16_t)value));
    } else if (offset == REG_DMA && size == 8) {
        fw->dma_addr = GUINT64_SWAP_LE_BE(value);
        fw_cfg_dma_start(fw);
    } else if (offset == REG_DMA && size == 4) {
        fw->dma_addr = (uint64_t)GUINT32_SWAP_LE_BE((uint32_t)value) << 32;
    } else if (offset == REG_DMA + 4 && size == 4) {
        fw->dma_addr |= GUINT32_SWAP_LE_BE((uint32_t)value);
        fw_cfg_dma_start(fw);
    }
    return MEMTX_OK;
}

FwCfg *fw_cfg_new(Machine *machine, unsigned cpus)
{
    FwCfg *fw = g_new0(FwCfg, 1);

    fw->as = machine->as;
    put_off_init(&fw->put_off, machine->present, machine->loop, PRESENT_USER_DEVICE, fw_cfg_dma, fw);
    fw->cpus = cpus;
    return fw;
}

void fw_cfg_free(FwCfg *fw)
{
    put_off_forget(&fw->put_off);
    g_free(fw);
}

void fw_cfg_reset(FwCfg *fw)
{
    fw_cfg_select(fw, ITEM_SIGNATURE);
    fw->dma_addr = 0;
    fw->dma_state = FW_CFG_DMA_IDLE;
    put_off_forget(&fw->put_off);
}

const MemoryRegionOps fw_cfg_mmio_ops = { fw_cfg_read, fw_cfg_write };

/* Only a 10.0 machine with ACPI has these; what they describe is refused earlier, as RAM blocks. */
static bool acpi_mr_needed(void *opaque)
{
    return false;
}

static const VMStateField fw_cfg_dma_fields[] = {
    VMSTATE_UINT64(dma_addr, FwCfg),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription fw_cfg_dma_vmstate = {
    .name = "fw_cfg/dma", .version_id = 0, .minimum_version_id = 0, .fields = fw_cfg_dma_fields,
};

static const VMStateField fw_cfg_acpi_fields[] = {
    { .name = "table_mr_size", .offset = offsetof(FwCfg, acpi_table_size),
      .size = sizeof(uint64_t), .info = &vmstate_info_uint64 },
    { .name = "linker_mr_size", .offset = offsetof(FwCfg, acpi_linker_size),
      .size = sizeof(uint64_t), .info = &vmstate_info_uint64 },
    { .name = "rsdp_mr_size", .offset = offsetof(FwCfg, acpi_rsdp_size),
      .size = sizeof(uint64_t), .info = &vmstate_info_uint64 },
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription fw_cfg_acpi_vmstate = {
    .name = "fw_cfg/acpi_mr", .version_id = 1, .minimum_version_id = 1,
    .fields = fw_cfg_acpi_fields, .needed = acpi_mr_needed,
};

static const VMStateDescription *const fw_cfg_subsections[] = {
    &fw_cfg_dma_vmstate, &fw_cfg_acpi_vmstate, NULL,
};

static const VMStateField fw_cfg_fields[] = {
    VMSTATE_UINT16(cur_entry, FwCfg),
    { .name = "cur_offset[1]", .offset = offsetof(FwCfg, cur_offset), .size = sizeof(uint32_t),
      .info = &vmstate_info_uint32, .version_id = 2 },
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription fw_cfg_vmstate = {
    .name = "fw_cfg",
    .version_id = 2,
    .minimum_version_id = 2,
    .fields = fw_cfg_fields,
    .subsections = fw_cfg_subsections,
};
