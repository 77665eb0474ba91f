/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See util/memory-room.h. Called before guest RAM, images, caches and threads are made. */
#include "util/memory-room.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

static bool is_limited(void)
{
    struct rlimit space;

    return getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY;
}

void memory_room_init(void)
{
#ifdef __GLIBC__
    if (is_limited()) {
        mallopt(M_ARENA_MAX, 1);    /* else each thread that allocates takes 64 MiB of addresses */
    }
#endif
}

bool memory_has_room(uint64_t bytes)
{
    if (!is_limited()) {
        return true;
    }
    /* The kernel knows what is taken; asking it for addresses alone costs no memory. */
    void *room = bytes > SIZE_MAX - MEMORY_RESERVE
                     ? MAP_FAILED : mmap(NULL, bytes + MEMORY_RESERVE, PROT_NONE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        errno = ENOMEM;
        return false;
    }
    munmap(room, bytes + MEMORY_RESERVE);
    return true;
}

bool memory_has_room_for_thread(void)
{
    pthread_attr_t attr;
    size_t stack = 0, guard = 0;

    pthread_attr_init(&attr);
    pthread_attr_getstacksize(&attr, &stack);
    pthread_attr_getguardsize(&attr, &guard);
    pthread_attr_destroy(&attr);
    return memory_has_room((uint64_t)stack + guard);
}
