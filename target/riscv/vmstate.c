/* SPDX-License-Identifier: GPL-2.0-or-later */
/* placeholder until the tables are in: registers nothing */
#include "target/riscv/cpu.h"

void riscv_cpu_vmstate_register(RISCVCPU *cpu)
{
}

void riscv_cpu_vmstate_unregister(RISCVCPU *cpu)
{
}
