/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "info registers" in QEMU's style. Called by the HMP command through cpu_dump; changes nothing. */
#include "target/riscv/cpu.h"
#include "target/riscv/fpu.h"

static const char *const x_names[32] = {
    "x0/zero", "x1/ra",  "x2/sp",  "x3/gp",  "x4/tp",  "x5/t0",   "x6/t1",   "x7/t2",
    "x8/s0",   "x9/s1",  "x10/a0", "x11/a1", "x12/a2", "x13/a3",  "x14/a4",  "x15/a5",
    "x16/a6",  "x17/a7", "x18/s2", "x19/s3", "x20/s4", "x21/s5",  "x22/s6",  "x23/s7",
    "x24/s8",  "x25/s9", "x26/s10", "x27/s11", "x28/t3", "x29/t4", "x30/t5", "x31/t6",
};

static const char *const f_names[32] = {
    "f0/ft0",  "f1/ft1",  "f2/ft2",   "f3/ft3",   "f4/ft4",  "f5/ft5",  "f6/ft6",   "f7/ft7",
    "f8/fs0",  "f9/fs1",  "f10/fa0",  "f11/fa1",  "f12/fa2", "f13/fa3", "f14/fa4",  "f15/fa5",
    "f16/fa6", "f17/fa7", "f18/fs2",  "f19/fs3",  "f20/fs4", "f21/fs5", "f22/fs6",  "f23/fs7",
    "f24/fs8", "f25/fs9", "f26/fs10", "f27/fs11", "f28/ft8", "f29/ft9", "f30/ft10", "f31/ft11",
};

static const struct {
    const char *name;
    unsigned csr;
} csr_list[] = {
    {"mhartid", CSR_MHARTID},   {"mstatus", CSR_MSTATUS},   {"mip", CSR_MIP},
    {"mie", CSR_MIE},           {"mideleg", CSR_MIDELEG},   {"medeleg", CSR_MEDELEG},
    {"mtvec", CSR_MTVEC},       {"stvec", CSR_STVEC},       {"mepc", CSR_MEPC},
    {"sepc", CSR_SEPC},         {"mcause", CSR_MCAUSE},     {"scause", CSR_SCAUSE},
    {"mtval", CSR_MTVAL},       {"stval", CSR_STVAL},       {"mscratch", CSR_MSCRATCH},
    {"sscratch", CSR_SSCRATCH}, {"satp", CSR_SATP},
};

char *riscv_cpu_dump(RISCVCPU *cpu)
{
    GString *s = g_string_new(NULL);
    uint64_t v;

    g_string_append_printf(s, " %s %016" G_GINT64_MODIFIER "x\n", "pc      ", cpu->pc);
    for (unsigned i = 0; i < G_N_ELEMENTS(csr_list); i++) {
        if (riscv_csr_peek(cpu, csr_list[i].csr, &v)) {
            g_string_append_printf(s, " %-8s %016" G_GINT64_MODIFIER "x\n", csr_list[i].name, v);
        }
    }
    for (unsigned i = 0; i < 32; i++) {
        g_string_append_printf(s, " %-8s %016" G_GINT64_MODIFIER "x%s", x_names[i], cpu->x[i],
                               i % 4 == 3 ? "\n" : "");
    }
    for (unsigned i = 0; i < 32; i++) {
        g_string_append_printf(s, " %-8s %016" G_GINT64_MODIFIER "x%s", f_names[i], cpu->f[i],
                               i % 4 == 3 ? "\n" : "");
    }
    return g_string_free(s, FALSE);
}
