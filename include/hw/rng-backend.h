/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sources of random bytes: objects rng-random and rng-builtin. Main thread, BQL. */
#ifndef HW_RNG_BACKEND_H
#define HW_RNG_BACKEND_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include "util/opts.h"

struct Machine;
typedef struct RngBackends RngBackends;
typedef struct RngBackend RngBackend;

/** Opens every rng object of the command line. NULL with errp. */
RngBackends *rng_backends_new(struct Machine *machine, GError **errp);
void rng_backends_free(RngBackends *rngs);
/** Opens one more if object (qom-type, id, filename) is of these types; others: true, nothing done. */
bool rng_backends_add(RngBackends *rngs, Opts *object, GError **errp);
/** Forgets one, if it is there; who has a reference keeps it. */
void rng_backends_remove(RngBackends *rngs, const char *id);
RngBackend *rng_backend_ref(RngBackend *rng);
/** NULL is fine. */
void rng_backend_unref(RngBackend *rng);
/** Backend by object id, NULL if there is none; no reference is taken. */
RngBackend *rng_backend_find(RngBackends *rngs, const char *id);
/** The one a device without rng= uses (getrandom). */
RngBackend *rng_backend_builtin(RngBackends *rngs);
/** Up to len random bytes without blocking; 0: none now, try again when rng_backend_fd is readable. */
size_t rng_backend_read(RngBackend *rng, void *buf, size_t len);
/** fd to poll when a read gave nothing, or -1. */
int rng_backend_fd(const RngBackend *rng);

#endif
