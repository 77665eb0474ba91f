/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program: everything between argv and the exit status (vl.c). */
#ifndef SOFTMMU_VL_H
#define SOFTMMU_VL_H

/** Parses, builds the machine, runs it, takes it down. Returns the exit status. Main thread. */
int ferry_main(int argc, char **argv);

#endif
