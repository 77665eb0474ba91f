/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fw_cfg: the signature, a few numbers, an empty file directory. Under the BQL. */
#ifndef HW_MISC_FW_CFG_H
#define HW_MISC_FW_CFG_H

#include "migration/vmstate.h"
#include "softmmu/machine.h"
#include "softmmu/put-off.h"

/** A DMA operation: none; its descriptor is to be read; it is being done. */
typedef enum FwCfgDmaState { FW_CFG_DMA_IDLE, FW_CFG_DMA_ASKED, FW_CFG_DMA_READING } FwCfgDmaState;

typedef struct FwCfg {
    AddressSpace *as;
    uint16_t cpus;
    /* the state that travels */
    uint16_t cur_entry;
    uint32_t cur_offset;
    uint64_t dma_addr;
    uint64_t acpi_table_size, acpi_linker_size, acpi_rsdp_size; /* a 10.0 source with acpi=on */
    /* an operation whose memory has not all come: never when the guest is moved */
    FwCfgDmaState dma_state;
    uint64_t dma_desc, dma_to;
    uint32_t dma_left;
    PutOff put_off;
} FwCfg;

extern const MemoryRegionOps fw_cfg_mmio_ops;
extern const VMStateDescription fw_cfg_vmstate;

FwCfg *fw_cfg_new(Machine *machine, unsigned cpus);
void fw_cfg_free(FwCfg *fw);
void fw_cfg_reset(FwCfg *fw);

#endif
