/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sources of random bytes: -object rng-random and rng-builtin. Main thread, BQL. */
#ifndef HW_RNG_BACKEND_H
#define HW_RNG_BACKEND_H

#include <glib.h>
#include <stddef.h>

struct Machine;
typedef struct RngBackends RngBackends;
typedef struct RngBackend RngBackend;

/** Opens every rng object of the command line. NULL with errp. */
RngBackends *rng_backends_new(struct Machine *machine, GError **errp);
void rng_backends_free(RngBackends *rngs);
/** Backend by object id, NULL if there is none. */
RngBackend *rng_backend_find(RngBackends *rngs, const char *id);
/** The one a device without rng= uses (getrandom). */
RngBackend *rng_backend_builtin(RngBackends *rngs);
/** Up to len random bytes without blocking; 0: none now, try again when rng_backend_fd is readable. */
size_t rng_backend_read(RngBackend *rng, void *buf, size_t len);
/** fd to poll when a read gave nothing, or -1. */
int rng_backend_fd(const RngBackend *rng);

#endif
