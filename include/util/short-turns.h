/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UTIL_SHORT_TURNS_H
#define UTIL_SHORT_TURNS_H

#include <stdbool.h>

/**
 * A wish of the calling thread, of which others wait for a few microseconds of work: to be let onto a
 * busy processor soon, for a short time, instead of later for longer. It gets no more of the processor
 * than before, and needs no privilege. Linux from 6.12 on does it, others do nothing. Off: as ever.
 */
void thread_short_turns(bool on);

#endif
