/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The limit on the addresses of this process (RLIMIT_AS, ulimit -v). A small
 * allocation that fails ends the process, and with it a guest; so everything
 * large, whose failure is an error with a sentence, leaves room for the small.
 */
#ifndef UTIL_MEMORY_ROOM_H
#define UTIL_MEMORY_ROOM_H

#include <stdbool.h>
#include <stdint.h>

/** What everything large leaves free. */
#define MEMORY_RESERVE (16u << 20)

/**
 * Under a limit, the heap takes what it needs and nothing in advance. To be
 * called once, before there are threads.
 */
void memory_room_init(void);
/** False with errno ENOMEM: with so many bytes more, less than the reserve would be left. Any thread. */
bool memory_has_room(uint64_t bytes);
/** The same for the stack of one more thread. */
bool memory_has_room_for_thread(void);

#endif
