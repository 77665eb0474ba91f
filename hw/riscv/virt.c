/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virt board (machine-virt 2, 4): RAM, devices, wiring, sections in
 * the order of the stream. Called by hw/core/board.c while the machine is
 * built; afterwards only reset and run-state changes come through here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "chardev/char.h"
#include "hw/block/pflash.h"
#include "hw/char/serial.h"
#include "hw/intc/clint.h"
#include "hw/intc/plic.h"
#include "hw/intc/sswi.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/sifive-test.h"
#include "hw/pci/gpex.h"
#include "hw/riscv/boot.h"
#include "hw/riscv/fdt.h"
#include "hw/riscv/virt.h"
#include "hw/rtc/goldfish.h"
#include "hw/virtio/virtio-mmio.h"
#include "qapi/qapi-events.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"

#define ORDER_FW_CFG_7_2 (VMSTATE_ORDER_DEFAULT + 500) /* after the virtio devices, before globalstate */

typedef struct VirtMachine {
    Board *board;
    PLIC *plic;
    CLINT *clint;
    Serial *serial;
    GoldfishRTC *rtc;
    const BoardDevice *rtc_listed;
    FwCfg *fw_cfg;
    GPEX *gpex;
    PFlash *flash[2];
} VirtMachine;

/* ---- RAM ---- */

static bool add_rom(Machine *machine, const char *id, uint64_t base, uint64_t size, GError **errp)
{
    RAMBlock *block = ram_list_add(machine->ram, id, size, NULL, errp);

    if (!block) {
        return false;
    }
    block->readonly = true;
    return address_space_add_ram(machine->as, id, base, block, errp);
}

/* Created in this order: it decides the order of equal sizes in the stream. */
bool virt_init_ram(Machine *machine, GError **errp)
{
    RAMBlock *ram = board_add_main_ram(machine, "riscv_virt_board.ram", errp);
    uint64_t flash = virt_memmap[VIRT_FLASH].base;

    return ram &&
           address_space_add_ram(machine->as, "riscv_virt_board.ram",
                                 virt_memmap[VIRT_DRAM].base, ram, errp) &&
           add_rom(machine, "virt.flash0", flash, VIRT_FLASH_BANK_BYTES, errp) &&
           add_rom(machine, "virt.flash1", flash + VIRT_FLASH_BANK_BYTES, VIRT_FLASH_BANK_BYTES,
                   errp) &&
           add_rom(machine, "riscv_virt_board.mrom", virt_memmap[VIRT_MROM].base,
                   virt_memmap[VIRT_MROM].size, errp);
}

/* ---- wiring ---- */

static void plic_output(void *opaque, unsigned context, bool level)
{
    VirtMachine *vm = opaque;

    cpu_set_irq(vm->board->machine->cpus, context / 2, context % 2 ? IRQ_S_EXT : IRQ_M_EXT, level);
}

static IRQLine plic_line(VirtMachine *vm, unsigned n)
{
    return (IRQLine){ plic_set_irq, vm->plic, n };
}

static IRQLine virtio_line(void *opaque, unsigned n)
{
    return plic_line(opaque, VIRTIO_IRQ + n);
}

static bool map_io(VirtMachine *vm, const char *name, unsigned where, const MemoryRegionOps *ops,
                   void *opaque, GError **errp)
{
    return address_space_add_io(vm->board->machine->as, name, virt_memmap[where].base,
                                virt_memmap[where].size, ops, opaque, errp);
}

/* ---- devices ---- */

/* -rtc base=utc|localtime|DATE: RTC time minus the host's, ns. */
static bool rtc_offset(Board *board, int64_t *offset_ns, GError **errp)
{
    Opts *rtc = board->machine->config->rtc;
    const char *base = rtc ? opts_get(rtc, "base") : NULL;
    time_t now = time(NULL);
    struct tm tm = { 0 };

    *offset_ns = 0;
    if (!base || strcmp(base, "utc") == 0) {
        return true;
    }
    if (strcmp(base, "localtime") == 0) {
        localtime_r(&now, &tm);
        *offset_ns = (int64_t)tm.tm_gmtoff * 1000000000LL;
        return true;
    }
    if (sscanf(base, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec) < 3) {
        error_setg(errp, "invalid datetime format");
        error_prepend(errp, "-rtc base=%s: ", base);
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *offset_ns = ((int64_t)timegm(&tm) - now) * 1000000000LL;
    return true;
}

static bool query_mtimecmp(void *opaque, unsigned hart, uint64_t *timecmp)
{
    const CLINT *clint = opaque;

    if (hart >= clint->harts) {
        return false;
    }
    *timecmp = clint->timecmp[hart];
    return true;
}

static bool create_interrupt_controllers(VirtMachine *vm, GError **errp)
{
    Machine *machine = vm->board->machine;
    unsigned harts = cpus_count(machine->cpus);

    vm->clint = clint_new(machine->clock, machine->cpus, harts);
    cpus_set_mtimecmp_query(machine->cpus, query_mtimecmp, vm->clint);
    vm->plic = plic_new(harts, plic_output, vm);
    vmstate_register(machine->vmstate, "riscv_mtimer", 0, &clint_vmstate, vm->clint);
    vmstate_register(machine->vmstate, "riscv_sifive_plic", 0, &plic_vmstate, vm->plic);
    if (machine->config->aclint &&
        !map_io(vm, "riscv.aclint.sswi", VIRT_SSWI, &sswi_mmio_ops, machine->cpus, errp)) {
        return false;
    }
    return map_io(vm, "riscv.aclint", VIRT_CLINT, &clint_mmio_ops, vm->clint, errp) &&
           map_io(vm, "riscv.sifive.plic", VIRT_PLIC, &plic_mmio_ops, vm->plic, errp);
}

static bool create_fw_cfg(VirtMachine *vm, GError **errp)
{
    static const VMStateDescription *const versions[] = { &fw_cfg_vmstate, NULL };
    Machine *machine = vm->board->machine;

    vm->fw_cfg = fw_cfg_new(machine, cpus_count(machine->cpus));
    vmstate_register_versions(machine->vmstate, "fw_cfg", 0, versions, vm->fw_cfg,
                              ORDER_FW_CFG_7_2, VMSTATE_ORDER_DEFAULT);
    board_add_own_device(vm->board, "fw_cfg_mem", virt_memmap[VIRT_FW_CFG].base);
    return map_io(vm, "fwcfg", VIRT_FW_CFG, &fw_cfg_mmio_ops, vm->fw_cfg, errp);
}

static bool create_pci(VirtMachine *vm, GError **errp)
{
    Machine *machine = vm->board->machine;

    vm->gpex = vm->board->pci = gpex_new();
    vmstate_register(machine->vmstate, "0000:00:00.0/gpex_root", 0, &gpex_root_vmstate, vm->gpex);
    vmstate_register(machine->vmstate, "PCIHost", 0, &pci_host_vmstate, vm->gpex);
    vmstate_register(machine->vmstate, "PCIBUS", 0, &pci_bus_vmstate, vm->gpex);
    board_add_own_device(vm->board, "gpex-pcihost", virt_memmap[VIRT_PCIE_ECAM].base);
    return map_io(vm, "gpex_ioport", VIRT_PCIE_PIO, &gpex_window_ops, vm->gpex, errp) &&
           map_io(vm, "pcie-mmcfg-mmio", VIRT_PCIE_ECAM, &gpex_ecam_ops, vm->gpex, errp) &&
           map_io(vm, "gpex_mmio", VIRT_PCIE_MMIO, &gpex_window_ops, vm->gpex, errp) &&
           address_space_add_io(machine->as, "gpex_mmio_high",
                                virt_pcie64_base(machine->config->ram_bytes), VIRT_PCIE64_BYTES,
                                &gpex_window_ops, vm->gpex, errp);
}

static bool create_serial(VirtMachine *vm, GError **errp)
{
    Machine *machine = vm->board->machine;
    GPtrArray *texts = machine->config->serials;
    Chardev *chr = NULL;

    if (texts && texts->len) {
        const char *text = g_ptr_array_index(texts, 0);

        if (strcmp(text, "none") != 0) {
            chr = chardev_from_text(machine->chardevs, "serial0", text, errp);
            if (!chr) {
                return false;
            }
        }
    }
    vm->serial = serial_new(machine->clock, chr, plic_line(vm, UART0_IRQ), errp);
    if (!vm->serial) {
        return false;
    }
    vmstate_register(machine->vmstate, "serial", 0, &serial_vmstate, vm->serial);
    board_add_own_device(vm->board, "serial-mm", virt_memmap[VIRT_UART0].base);
    return map_io(vm, "serial", VIRT_UART0, &serial_mmio_ops, vm->serial, errp);
}

/* QEMU's board says nothing then, though its schema has the event. */
static void rtc_was_set(void *opaque, int64_t seconds)
{
    VirtMachine *vm = opaque;

    qapi_event_send_rtc_change(vm->board->machine->monitors, seconds, vm->rtc_listed->qom_path);
}

static bool create_rtc_and_power(VirtMachine *vm, GError **errp)
{
    Machine *machine = vm->board->machine;
    int64_t offset_ns;

    if (!rtc_offset(vm->board, &offset_ns, errp)) {
        return false;
    }
    vm->rtc = goldfish_rtc_new(machine->loop, plic_line(vm, RTC_IRQ), offset_ns);
    goldfish_rtc_on_set(vm->rtc, rtc_was_set, vm);
    vmstate_register(machine->vmstate, "goldfish_rtc", 0, &goldfish_rtc_vmstate, vm->rtc);
    vm->rtc_listed = board_add_own_device(vm->board, "goldfish_rtc", virt_memmap[VIRT_RTC].base);
    return map_io(vm, "goldfish_rtc", VIRT_RTC, &goldfish_rtc_mmio_ops, vm->rtc, errp) &&
           map_io(vm, "riscv.sifive.test", VIRT_TEST, &sifive_test_mmio_ops, machine->runstate,
                  errp);
}

static void create_flash(VirtMachine *vm)
{
    for (unsigned i = 0; i < 2; i++) {
        vm->flash[i] = pflash_new();
        vmstate_register(vm->board->machine->vmstate, "pflash_cfi01", i, &pflash_vmstate,
                         vm->flash[i]);
        board_add_own_device(vm->board, "cfi.pflash01",
                             virt_memmap[VIRT_FLASH].base + i * VIRT_FLASH_BANK_BYTES);
    }
}

/* ---- life ---- */

static void virt_reset(void *opaque)
{
    VirtMachine *vm = opaque;

    serial_reset(vm->serial);
    goldfish_rtc_reset(vm->rtc);
    fw_cfg_reset(vm->fw_cfg);
    gpex_reset(vm->gpex);
    clint_reset(vm->clint);
    plic_reset(vm->plic);
}

static void virt_run_state_changed(void *opaque, bool running, RunState state)
{
    VirtMachine *vm = opaque;

    serial_set_running(vm->serial, running);
    goldfish_rtc_set_running(vm->rtc, running);
}

static void virt_free(void *opaque)
{
    VirtMachine *vm = opaque;

    if (vm->serial) {
        serial_free(vm->serial);
    }
    if (vm->rtc) {
        goldfish_rtc_free(vm->rtc);
    }
    for (unsigned i = 0; i < 2; i++) {
        g_clear_pointer(&vm->flash[i], pflash_free);
    }
    g_clear_pointer(&vm->gpex, gpex_free);
    g_clear_pointer(&vm->fw_cfg, fw_cfg_free);
    g_clear_pointer(&vm->clint, clint_free);
    g_clear_pointer(&vm->plic, plic_free);
    g_free(vm);
}

static bool load_images(Board *board, GError **errp)
{
    VirtBoot boot = { 0 };

    if (!boot_load_images(board, &boot, errp)) {
        return false;
    }
    board->fdt = virt_fdt_build(board, &boot, errp);
    return board->fdt && boot_load_fdt(board, &boot, board->fdt, errp);
}

bool virt_init(Board *board, GError **errp)
{
    VirtMachine *vm = g_new0(VirtMachine, 1);

    vm->board = board;
    board_on_free(board, virt_free, vm);
    /* In the order of the stream (machine-virt 2.1). */
    if (!create_interrupt_controllers(vm, errp) || !create_fw_cfg(vm, errp) ||
        !create_pci(vm, errp) || !create_serial(vm, errp) || !create_rtc_and_power(vm, errp)) {
        return false;
    }
    create_flash(vm);
    if (!virtio_slots_new(board, virt_memmap[VIRT_VIRTIO].base, virt_memmap[VIRT_VIRTIO].size,
                          VIRTIO_COUNT, virtio_line, vm, errp)) {
        return false;
    }
    machine_add_reset_handler(board->machine->runstate, virt_reset, vm);
    runstate_add_notifier(board->machine->runstate, virt_run_state_changed, vm);
    return load_images(board, errp);
}
