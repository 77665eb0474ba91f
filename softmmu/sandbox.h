/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -sandbox: fewer system calls (sandbox.c), for vl only. */
#ifndef SOFTMMU_SANDBOX_H
#define SOFTMMU_SANDBOX_H

#include <glib.h>
#include <stdbool.h>
#include "util/opts.h"

/**
 * False if -sandbox on can only fail in this build. opts may be NULL: no -sandbox. Before anything
 * is built; main thread.
 */
bool sandbox_possible(const Opts *opts, GError **errp);
/** Whether the options forbid new processes. Checked options. */
bool sandbox_denies_spawn(Opts *opts);
/** Applies -sandbox on,... to all threads of the process, for good. Checked options. */
bool sandbox_enter(Opts *opts, GError **errp);

#endif
