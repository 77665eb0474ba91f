/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest was offered: the "ferry" object's member "cpu"; see offered.c. */
#ifndef TARGET_RISCV_OFFERED_H
#define TARGET_RISCV_OFFERED_H

#include <glib.h>
#include <stdbool.h>
#include "softmmu/cpus.h"

struct json_object;

/** The guest boots: it will find what this CPU has. Hart 0, paused. */
void riscv_offered_reset(RISCVCPU *cpu);
/** A guest came in that has not said (yet) what it found. */
void riscv_offered_forget(RISCVCPU *cpu);
/** vmstate_register_ferry hooks; opaque is hart 0. */
void riscv_offered_put(void *opaque, struct json_object *obj);
/** False, naming the extension, if this CPU lacks one the guest was offered. */
bool riscv_offered_get(void *opaque, struct json_object *obj, GError **errp);

#endif
