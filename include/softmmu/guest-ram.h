/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How to touch guest RAM while the guest runs. It is the one memory that
 * vCPUs, devices and the migration thread use at the same time with no lock
 * of ours: what comes out of that is the guest's own affair, as on hardware,
 * and a page that changes while the migration reads it is in the dirty log
 * and comes again. So:
 *
 *   single accesses (vCPUs, ring indices)   guest_ram_load, guest_ram_store: relaxed atomics; the
 *                                           same instructions as plain ones, but never torn
 *   whole pages and buffers                 guest_ram_copy_from, guest_ram_copy_to: may tear
 *   a call that is handed guest RAM         between guest_ram_shared_begin and _end
 *
 * Whoever touches it has asked first whether it is here (softmmu/present-map.h): vCPUs in
 * translation, all others through the address space, which gives no pointer to a missing page; and
 * whoever writes has asked the write guard (softmmu/write-guard.h) at the same places.
 *
 * For ThreadSanitizer the last two are the places where it looks away; a
 * race anywhere else in guest RAM (a loader that writes while a vCPU runs)
 * is still reported. Other builds have nothing but the memcpy.
 */
#ifndef SOFTMMU_GUEST_RAM_H
#define SOFTMMU_GUEST_RAM_H

#include <stddef.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define GUEST_RAM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GUEST_RAM_TSAN 1
#endif
#endif

#ifdef GUEST_RAM_TSAN
/* The runtime's; its header does not have them. */
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#endif

/** One access at a host address in guest RAM, of the size of *p. Aligned ones are never torn. */
#define guest_ram_load(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define guest_ram_store(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

/** What is done up to guest_ram_shared_end may read and write guest RAM that others use. No nesting. */
static inline void guest_ram_shared_begin(void)
{
#ifdef GUEST_RAM_TSAN
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
#endif
}

static inline void guest_ram_shared_end(void)
{
#ifdef GUEST_RAM_TSAN
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
}

/** Copies len bytes out of guest RAM; what is written meanwhile may be in the copy, in part. */
static inline void guest_ram_copy_from(void *to, const void *guest, size_t len)
{
    guest_ram_shared_begin();
    memcpy(to, guest, len);
    guest_ram_shared_end();
}

/** Copies len bytes into guest RAM; a vCPU may see any part of them. The caller marks them dirty. */
static inline void guest_ram_copy_to(void *guest, const void *from, size_t len)
{
    guest_ram_shared_begin();
    memcpy(guest, from, len);
    guest_ram_shared_end();
}

#endif
