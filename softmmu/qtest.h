/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The qtest server: QEMU's line protocol next to a running or stopped machine. Main thread, BQL. */
#ifndef SOFTMMU_QTEST_H
#define SOFTMMU_QTEST_H

#include "chardev/char.h"
#include "softmmu/machine.h"

typedef struct Qtest Qtest;

/** Serves the protocol on chr; log_path NULL or "none": no log. */
Qtest *qtest_new(Machine *machine, Chardev *chr, const char *log_path, GError **errp);
void qtest_free(Qtest *qtest);
/** One line without its newline; the answer with it. For tests. */
void qtest_command(Qtest *qtest, const char *line, GString *answer);

#endif
