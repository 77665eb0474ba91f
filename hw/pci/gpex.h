/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An empty PCIe host: ECAM with the root device 00:00.0 only, windows with nothing in them. Under the BQL. */
#ifndef HW_PCI_GPEX_H
#define HW_PCI_GPEX_H

#include "migration/vmstate.h"
#include "softmmu/memory.h"

#define PCI_CONFIG_BYTES 256
#define PCI_INTX 4

/* Places in the configuration space. */
enum {
    PCI_CONFIG_VENDOR = 0x00, PCI_CONFIG_DEVICE = 0x02, PCI_CONFIG_CLASS = 0x0a,
    PCI_CONFIG_SUBSYSTEM_VENDOR = 0x2c, PCI_CONFIG_SUBSYSTEM = 0x2e, PCI_CONFIG_IRQ_PIN = 0x3d,
};

typedef struct GPEX GPEX;
struct GPEX {
    /* PCIDevice of the root */
    int32_t version_id;
    uint8_t config[PCI_CONFIG_BYTES];
    uint8_t irq_state[4 * PCI_INTX];
    /* PCIHost, PCIBUS */
    uint32_t config_reg;
    int32_t nirq;
    int32_t irq_count[PCI_INTX];
};

extern const MemoryRegionOps gpex_ecam_ops;     /* opaque: GPEX */
extern const MemoryRegionOps gpex_window_ops;   /* reads all ones, ignores writes */
extern const VMStateDescription gpex_root_vmstate, pci_host_vmstate, pci_bus_vmstate;

struct Board;
/** The board's host bridge, NULL if it has none. */
const GPEX *board_pci(const struct Board *board);

GPEX *gpex_new(void);
void gpex_free(GPEX *gpex);
void gpex_reset(GPEX *gpex);

#endif
