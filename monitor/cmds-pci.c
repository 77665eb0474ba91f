/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about the PCI bus, QMP and HMP: views of the host bridge's configuration space. */
#include "hw/boards.h"
#include "hw/pci/gpex.h"
#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"

/* Bytes of the configuration space, little-endian. */
static unsigned config_word(const GPEX *pci, unsigned offset)
{
    return pci->config[offset] | pci->config[offset + 1] << 8;
}

static PciDeviceInfo *host_bridge(const GPEX *pci)
{
    PciDeviceInfo *dev = g_new0(PciDeviceInfo, 1);

    dev->class_info = g_new0(PciDeviceClass, 1);
    dev->class_info->class = config_word(pci, PCI_CONFIG_CLASS);
    dev->class_info->desc = g_strdup("Host bridge");
    dev->id = g_new0(PciDeviceId, 1);
    dev->id->vendor = config_word(pci, PCI_CONFIG_VENDOR);
    dev->id->device = config_word(pci, PCI_CONFIG_DEVICE);
    dev->id->has_subsystem = dev->id->has_subsystem_vendor = true;
    dev->id->subsystem = config_word(pci, PCI_CONFIG_SUBSYSTEM);
    dev->id->subsystem_vendor = config_word(pci, PCI_CONFIG_SUBSYSTEM_VENDOR);
    dev->irq_pin = pci->config[PCI_CONFIG_IRQ_PIN];
    dev->qdev_id = g_strdup("");
    return dev;
}

PciInfoList *qmp_query_pci(struct Machine *machine, GError **errp)
{
    const GPEX *pci = machine->board ? board_pci(machine->board) : NULL;

    if (!pci) {
        return NULL;
    }
    PciInfoList *list = g_new0(PciInfoList, 1);
    list->value = g_new0(PciInfo, 1);
    list->value->devices = g_new0(PciDeviceInfoList, 1);
    list->value->devices->value = host_bridge(pci);
    return list;
}

void hmp_info_pci(HMPMonitor *mon, const HMPArgs *args)
{
    PciInfoList *list = qmp_query_pci(hmp_machine(mon), NULL);
    (void)args;

    if (!list) {
        return;
    }
    const PciDeviceInfo *dev = list->value->devices->value;
    monitor_printf(mon, "  Bus %2d, device %3d, function %d:\n    %s: PCI device %04x:%04x\n"
                   "      PCI subsystem %04x:%04x\n      id \"%s\"\n", (int)dev->bus,
                   (int)dev->slot, (int)dev->function, dev->class_info->desc,
                   (unsigned)dev->id->vendor, (unsigned)dev->id->device,
                   (unsigned)dev->id->subsystem_vendor, (unsigned)dev->id->subsystem, dev->qdev_id);
    qapi_free_PciInfoList(list);
}
