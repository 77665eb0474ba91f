/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCIe host with nothing behind it (machine-virt 2.8, 4.1). It is
 * there because a guest that booted under QEMU has seen it, and because its
 * three sections cannot be left out. Never routes an interrupt.
 */
#include <glib.h>
#include <string.h>
#include "hw/pci/gpex.h"
#include "util/error.h"

#define PCI_COMMAND 0x04
#define PCI_CACHE_LINE_SIZE 0x0c
#define PCI_INTERRUPT_LINE 0x3c

static const uint8_t root_config[][2] = {
    { 0x00, 0x36 }, { 0x01, 0x1b }, { 0x02, 0x08 }, { 0x0b, 0x06 },
    { 0x2c, 0xf4 }, { 0x2d, 0x1a }, { 0x2f, 0x11 },
};

/* Bits the guest may change; everything else is constant and compared on load. */
static uint8_t config_write_mask(unsigned offset)
{
    switch (offset) {
    case PCI_COMMAND:
        return 0x47; /* I/O, memory, bus master, parity */
    case PCI_COMMAND + 1:
        return 0x05; /* SERR, INTx disable */
    case PCI_CACHE_LINE_SIZE:
    case PCI_INTERRUPT_LINE:
        return 0xff;
    default:
        return 0;
    }
}

static uint8_t config_initial(unsigned offset)
{
    for (size_t i = 0; i < G_N_ELEMENTS(root_config); i++) {
        if (root_config[i][0] == offset) {
            return root_config[i][1];
        }
    }
    return 0;
}

static uint64_t all_ones(unsigned size)
{
    return size == 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
}

static MemTxResult ecam_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const GPEX *gpex = opaque;

    if (offset >> 12) { /* another bus, device or function */
        *value = all_ones(size);
        return MEMTX_OK;
    }
    *value = 0;
    for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_BYTES; i++) {
        *value |= (uint64_t)gpex->config[offset + i] << (8 * i);
    }
    return MEMTX_OK;
}

static MemTxResult ecam_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    GPEX *gpex = opaque;

    for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_BYTES; i++) {
        uint8_t mask = config_write_mask(offset + i);
        uint8_t *reg = &gpex->config[offset + i];

        *reg = (*reg & ~mask) | (value >> (8 * i) & mask);
    }
    return MEMTX_OK;
}

static MemTxResult window_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = all_ones(size);
    return MEMTX_OK;
}

static MemTxResult window_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return MEMTX_OK;
}

const MemoryRegionOps gpex_ecam_ops = { ecam_read, ecam_write };
const MemoryRegionOps gpex_window_ops = { window_read, window_write };

GPEX *gpex_new(void)
{
    GPEX *gpex = g_new0(GPEX, 1);

    gpex->version_id = 2;
    gpex->nirq = PCI_INTX;
    gpex_reset(gpex);
    return gpex;
}

void gpex_free(GPEX *gpex)
{
    g_free(gpex);
}

void gpex_reset(GPEX *gpex)
{
    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        gpex->config[i] = config_initial(i);
    }
    memset(gpex->irq_state, 0, sizeof(gpex->irq_state));
    gpex->config_reg = 0;
}

static bool root_post_load(void *opaque, int version_id, GError **errp)
{
    GPEX *gpex = opaque;

    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        uint8_t fixed = ~config_write_mask(i);

        if ((gpex->config[i] ^ config_initial(i)) & fixed) {
            error_setg(errp, "Bad config data: i=0x%x read: %x device: %x wmask: %x", i,
                       gpex->config[i], config_initial(i), (uint8_t)~fixed);
            return false;
        }
    }
    return true;
}

static bool pci_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                    GError **errp)
{
    return stream_get_buffer(r, pv, size) || stream_reader_ok(r, errp);
}

static bool pci_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                    GError **errp)
{
    stream_put_buffer(w, pv, size);
    return true;
}

static const VMStateInfo info_pci_config = { "pci config", pci_get, pci_put };
static const VMStateInfo info_pci_irq_state = { "pci irq state", pci_get, pci_put };

static const VMStateField pci_device_fields[] = {
    { .name = "version_id", .offset = offsetof(GPEX, version_id), .size = sizeof(int32_t),
      .num = 2, .info = &vmstate_info_int32_le },
    { .name = "config[0]", .offset = offsetof(GPEX, config), .size = PCI_CONFIG_BYTES,
      .info = &info_pci_config },
    { .name = "irq_state", .offset = offsetof(GPEX, irq_state), .size = 4 * PCI_INTX,
      .info = &info_pci_irq_state },
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription pci_device_vmstate = {
    .name = "PCIDevice",
    .version_id = 2,
    .minimum_version_id = 1,
    .fields = pci_device_fields,
    .post_load = root_post_load,
};

static const VMStateField gpex_root_fields[] = {
    { .name = "parent_obj", .offset = 0, .size = sizeof(GPEX), .vmsd = &pci_device_vmstate,
      .flags = VMS_STRUCT },
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription gpex_root_vmstate = {
    .name = "gpex_root", .version_id = 1, .minimum_version_id = 1, .fields = gpex_root_fields,
};

static const VMStateField pci_host_fields[] = {
    VMSTATE_UINT32(config_reg, GPEX),
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription pci_host_vmstate = {
    .name = "PCIHost", .version_id = 1, .minimum_version_id = 1, .fields = pci_host_fields,
};

static const VMStateField pci_bus_fields[] = {
    { .name = "nirq", .offset = offsetof(GPEX, nirq), .size = sizeof(int32_t),
      .info = &vmstate_info_int32_equal },
    VMSTATE_INT32_ARRAY(irq_count, GPEX, PCI_INTX),
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription pci_bus_vmstate = {
    .name = "PCIBUS", .version_id = 1, .minimum_version_id = 1, .fields = pci_bus_fields,
};
