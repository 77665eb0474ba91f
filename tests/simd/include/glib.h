/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the page codec uses of GLib, for builds that have none (test-cross.py). */
#ifndef TESTS_SIMD_GLIB_H
#define TESTS_SIMD_GLIB_H

#include <assert.h>
#include <stdint.h>

#define g_assert(expr) assert(expr)
#define GUINT64_FROM_LE(x) ((uint64_t)(x))      /* little-endian hosts only */
#define G_GNUC_PRINTF(f, a) __attribute__((format(printf, f, a)))

typedef struct GError GError;
typedef struct GThread GThread;
typedef void *(*GThreadFunc)(void *);
typedef uint32_t GQuark;

#endif
