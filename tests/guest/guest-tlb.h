/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has Linux drop the hart's translations, so that the next store to any page is looked at anew. An
 * emulator that logs only the first store through a translation (QEMU 7.2) then logs them all. For
 * the guest programs; never called unless asked for with flush=1.
 */
#ifndef GUEST_TLB_H
#define GUEST_TLB_H

#include <stdint.h>
#include <sys/mman.h>

#define GUEST_TLB_BYTES 4096

/* A page to be used up by guest_tlb_flush, one per thread; MAP_FAILED if there is none. */
static inline volatile uint64_t *guest_tlb_page(void)
{
    return mmap(0, GUEST_TLB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Takes the right to write from a page that is there and writable: that cannot wait. */
static inline void guest_tlb_flush(volatile uint64_t *page)
{
    (*page)++;
    mprotect((void *)page, GUEST_TLB_BYTES, PROT_READ);
    mprotect((void *)page, GUEST_TLB_BYTES, PROT_READ | PROT_WRITE);
}

#endif
