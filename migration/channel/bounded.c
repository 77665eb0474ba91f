/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for what cannot be interrupted: a thread that nobody joins does
 * it, and goes on alone when its user has lost patience. Called by the leaves
 * of migration/channel.
 */
#include <pthread.h>
#include "migration/channel/channel-private.h"

bool channel_thread_start(void *(*fn)(void *), void *opaque)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool ok = pthread_create(&thread, &attr, fn, opaque) == 0;
    pthread_attr_destroy(&attr);
    return ok;
}
