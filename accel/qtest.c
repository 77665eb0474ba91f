/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -accel qtest: harts that never run and a clock that only the qtest
 * protocol moves, so that a test program has the devices for itself. Called
 * by softmmu/cpus.c.
 */
#include "accel/accel.h"

static bool qtest_init(RISCVCPU *cpu, GError **errp)
{
    return true;
}

static void qtest_nothing(RISCVCPU *cpu)
{
}

const AccelOps accel_qtest_ops = {
    .name = "qtest",
    .idle = true,
    .init = qtest_init,
    .destroy = qtest_nothing,
    .run = qtest_nothing,
    .flush = qtest_nothing,
};
