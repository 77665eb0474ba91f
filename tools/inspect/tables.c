/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tables.h. The layouts of QEMU's riscv64 machines none and virt, 7.2 and 10.0. */
#include <glib.h>
#include "tables.h"

#define CPU_HEAD \
    "env.gpr uint64 *32; env.fpr uint64 *32; env.miprio uint8 *64; env.siprio uint8 *64; " \
    "env.pc uint64; env.load_res uint64; env.load_val uint64; env.frm uint64; " \
    "env.badaddr uint64; env.guest_phys_fault_addr uint64; env.priv_ver uint64; " \
    "env.vext_ver uint64; env.misa_mxl uint32; env.misa_ext uint32; "
#define CPU_TRAPS \
    "env.mideleg uint64; env.satp uint64; env.stval uint64; env.medeleg uint64; " \
    "env.stvec uint64; env.sepc uint64; env.scause uint64; env.mtvec uint64; env.mepc uint64; " \
    "env.mcause uint64; env.mtval uint64; env.miselect uint64; env.siselect uint64; "
#define CPU_PMU \
    "env.mhpmevent_val uint64 *32; env.mhpmeventh_val uint64 *32; env.sscratch uint64; " \
    "env.mscratch uint64; "
#define HYPER_VS \
    "env.htimedelta uint64; env.vstimecmp uint64; env.hvictl uint64; env.hviprio uint8 *64; " \
    "env.vsstatus uint64; env.vstvec uint64; env.vsscratch uint64; env.vsepc uint64; " \
    "env.vscause uint64; env.vstval uint64; env.vsatp uint64; env.vsiselect uint64; "
#define HYPER_HS \
    "env.mtval2 uint64; env.mtinst uint64; env.stvec_hs uint64; env.sscratch_hs uint64; " \
    "env.sepc_hs uint64; env.scause_hs uint64; env.stval_hs uint64; env.satp_hs uint64; " \
    "env.mstatus_hs uint64"
#define FIFO "data buffer:16; head uint32; num uint32"

static const LayoutTable tables[] = {
    { "timer", 1, "cpu_ticks_offset int64; unused unused_buffer:8" },
    { "timer", 2, "cpu_ticks_offset int64; unused unused_buffer:8; cpu_clock_offset int64" },
    { "globalstate", 1, "size uint32; runstate buffer:100" },
    { "globalstate/10.0", 1, "size uint32; runstate buffer:32; has_vm_was_suspended uint8; "
                             "vm_was_suspended uint8; unused buffer:66" },
    { "cpu_common", 1, "halted uint32; interrupt_request uint32" },
    { "cpu_common/exception_index", 1, "exception_index int32" },
    { "cpu_common/crash_occurred", 1, "crash_occurred bool" },

    { "cpu", 5, CPU_HEAD
      "env.misa_mxl_max uint32; env.misa_ext_mask uint32; env.features uint32; env.priv uint64; "
      "env.virt uint64; env.resetvec uint64; env.mhartid uint64; env.mstatus uint64; "
      "env.mip uint64; env.miclaim uint64; env.mie uint64; " CPU_TRAPS
      "env.scounteren uint64; env.mcounteren uint64; env.mcountinhibit uint64; "
      "env.pmu_ctrs @cpu/pmu.1 *32; " CPU_PMU
      "env.mfromhost uint64; env.mtohost uint64; env.stimecmp uint64" },
    { "cpu", 10, CPU_HEAD
      "unused unused_buffer:4; env.misa_ext_mask uint32; env.priv uint64; env.virt_enabled bool; "
      "env.resetvec uint64; env.mhartid uint64; env.mstatus uint64; env.mip uint64; "
      "env.miclaim uint64; env.mie uint64; env.mvien uint64; env.mvip uint64; env.sie uint64; "
      CPU_TRAPS
      "env.scounteren uint32; env.mcounteren uint32; env.scountinhibit uint32; "
      "env.mcountinhibit uint32; env.pmu_ctrs @cpu/pmu.2 *32; " CPU_PMU "env.stimecmp uint64" },
    { "cpu/pmu", 1, "mhpmcounter_val uint64; mhpmcounterh_val uint64; mhpmcounter_prev uint64; "
                    "mhpmcounterh_prev uint64; started bool" },
    { "cpu/pmu", 2, "mhpmcounter_val uint64; mhpmcounterh_val uint64; mhpmcounter_prev uint64; "
                    "mhpmcounterh_prev uint64" },
    { "cpu/pmp", 1, "env.pmp_state.pmp @cpu/pmp/entry.1 *16" },
    { "cpu/pmp/entry", 1, "addr_reg uint64; cfg_reg uint8" },
    { "cpu/hyper", 2, "env.hstatus uint64; env.hedeleg uint64; env.hideleg uint64; "
      "env.hcounteren uint64; env.htval uint64; env.htinst uint64; env.hgatp uint64; "
      "env.hgeie uint64; env.hgeip uint64; " HYPER_VS HYPER_HS },
    { "cpu/hyper", 4, "env.hstatus uint64; env.hedeleg uint64; env.hideleg uint64; "
      "env.hcounteren uint32; env.htval uint64; env.htinst uint64; env.hgatp uint64; "
      "env.hgeie uint64; env.hgeip uint64; env.hvien uint64; env.hvip uint64; " HYPER_VS
      "env.vsie uint64; " HYPER_HS },
    { "cpu/vector", 2, "env.vreg uint64 *512; env.vxrm uint64; env.vxsat uint64; env.vl uint64; "
                       "env.vstart uint64; env.vtype uint64; env.vill bool" },
    { "cpu/pointer_masking", 1, "pointer_masking uint64 *7" },
    { "cpu/envcfg", 1, "env.menvcfg uint64; env.senvcfg uint64; env.henvcfg uint64" },
    { "cpu/debug", 2, "env.trigger_cur uint64; env.tdata1 uint64 *2; env.tdata2 uint64 *2; "
                      "env.tdata3 uint64 *2" },
    { "cpu/smtateen", 1, "env.mstateen uint64 *4; env.hstateen uint64 *4; env.sstateen uint64 *4" },
    { "cpu/jvt", 1, "env.jvt uint64" },
    { "cpu/elp", 1, "env.elp bool" },
    { "cpu/ssp", 1, "env.ssp uint64" },
    { "cpu/timer", 1, "env.stimer timer; env.vstimer timer" },
    { "cpu/mseccfg", 1, "env.mseccfg uint64" },

    { "riscv_mtimer", 1, "timecmp uint64 *1H" },
    { "riscv_sifive_plic", 1, "source_priority uint32 *96; target_priority uint32 *2H; "
                              "pending uint32 *3; claimed uint32 *3; enable uint32 *6H" },
    { "gpex_root", 1, "parent_obj @PCIDevice.2" },
    { "PCIDevice", 2, "version_id int32; config[0] buffer:256; irq_state buffer:16" },
    { "PCIHost", 1, "config_reg uint32" },
    { "PCIBUS", 1, "nirq int32; irq_count int32 *nirq" },

    { "serial", 3, "serial @serial-core.3" },
    { "serial-core", 3, "divider uint16; rbr uint8; ier uint8; iir uint8; lcr uint8; mcr uint8; "
                        "lsr uint8; msr uint8; scr uint8; fcr_vmstate uint8" },
    { "serial/thr_ipending", 1, "thr_ipending_vmstate int32" },
    { "serial/tsr", 1, "tsr_retry uint32; thr uint8; tsr uint8" },
    { "serial/recv_fifo", 1, FIFO },
    { "serial/xmit_fifo", 1, FIFO },
    { "serial/fifo_timeout_timer", 1, "fifo_timeout_timer timer" },
    { "serial/timeout_ipending", 1, "timeout_ipending int32" },
    { "serial/poll", 1, "poll_msl int32; modem_status_poll timer" },
    { "goldfish_rtc", 3, "tick_offset_vmstate uint64; alarm_next uint64; alarm_running uint32; "
                         "irq_pending uint32; irq_enabled uint32; time_high uint32; "
                         "tick_offset uint64" },
    { "pflash_cfi01", 1, "wcycle uint8; cmd uint8; status uint8; counter uint64" },
    { "fw_cfg", 2, "cur_entry uint16; cur_offset[1] uint32" },
    { "fw_cfg/dma", 0, "dma_addr uint64" },
    { "fw_cfg/acpi_mr", 1, "table_mr_size uint64; linker_mr_size uint64; rsdp_mr_size uint64" },
    { "virt_acpi_build", 1, "patched bool" },
    { "slirp", 4, "data buffer:131" },

    { "virtio-rng", 1, "virtio virtio:virtio-rng-state" },
    { "virtio-blk", 2, "virtio virtio:virtio-blk-state" },
    { "virtio-net", 11, "virtio virtio:virtio-net-state" },
    { "virtio-console", 3, "virtio virtio:virtio-console-state" },
    { "virtio", 1, "host_features_sel uint32; guest_features_sel uint32; guest_page_shift uint32; "
      "status uint8; isr uint8; queue_sel uint16; guest_features uint32; config_len uint32; "
      "config buffer *config_len; nqueues uint32; queues @virtqueue.1 *nqueues" },
    { "virtqueue", 1, "num uint32; align uint32; desc uint64; last_avail_idx uint16" },
    { "virtio-rng-state", 1, "" },
    { "virtio-blk-state", 1, "requests int8" },
    { "virtio-net-state", 1, "mac buffer:6; tx_waiting uint32; mergeable_rx_bufs uint32; "
      "status uint16; promisc uint8; allmulti uint8; mac_table.in_use uint32; "
      "mac_table.macs @mac.1 *mac_table.in_use; vlans buffer:512; has_vnet_hdr uint32; "
      "multi_overflow uint8; uni_overflow uint8; alluni uint8; nomulti uint8; nouni uint8; "
      "nobcast uint8; has_ufo uint8; curr_guest_offloads uint64 ?guest_features&4" },
    { "mac", 1, "address buffer:6" },
    { "virtio-console-state", 1, "cols uint16; rows uint16; max_nr_ports uint32; "
      "ports_map uint32 *max_nr_ports/32; nr_active_ports uint32; ports @virtio-port.1 *nr_active_ports" },
    { "virtio-port", 1, "id uint32; guest_connected uint8; host_connected uint8; "
                        "elem_popped uint32" },
    { "virtio/device_endian", 1, "device_endian uint8" },
    { "virtio/64bit_features", 1, "guest_features uint64" },
    { "virtio/virtqueues", 1, "vq @virtqueue-rings.1 *1024" },
    { "virtqueue-rings", 1, "vring.avail uint64; vring.used uint64" },
    { "virtio/ringsize", 1, "vring.num_default uint32 *1024" },
    { "virtio/broken", 1, "broken bool" },
    { "virtio/extra_state", 1, "extra_state @virtio_mmio.1" },
    { "virtio_mmio", 1, "" },
    { "virtio_mmio/state", 1, "guest_features uint32 *2; vqs @virtio_mmio/queue.1 *1024" },
    { "virtio_mmio/queue", 1, "num uint16; enabled bool; desc uint32 *2; avail uint32 *2; "
                              "used uint32 *2" },
    { "virtio/started", 1, "started bool" },
    { "virtio/packed_virtqueues", 1, "vq @virtqueue-packed.1 *1024" },
    { "virtqueue-packed", 1, "last_avail_idx uint16; last_avail_wrap_counter bool; "
                             "used_idx uint16; used_wrap_counter bool; inuse uint32" },
    { "virtio/disabled", 1, "disabled bool" },
};

const LayoutTable *table_find(const char *name, int version)
{
    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++) {
        if (tables[i].version == version && g_str_equal(tables[i].name, name)) {
            return &tables[i];
        }
    }
    return NULL;
}

int table_newest(const char *name)
{
    int newest = -1;

    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++) {
        if (g_str_equal(tables[i].name, name)) {
            newest = MAX(newest, tables[i].version);
        }
    }
    return newest;
}
