/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that come with bytes over a unix socket (SCM_RIGHTS), until somebody takes them. */
#ifndef CHARDEV_PASSED_FDS_H
#define CHARDEV_PASSED_FDS_H

#include <sys/socket.h>
#include <sys/types.h>

#define PASSED_FDS_MAX 16   /* per message; more are closed */

/** Owns its descriptors. Starts all zero. */
typedef struct PassedFds {
    int fds[PASSED_FDS_MAX];
    unsigned count;
} PassedFds;

/** recvmsg into buf; new descriptors replace those that nobody took. As recv. */
ssize_t passed_fds_receive(PassedFds *p, int sock, void *buf, size_t len);
/** The oldest one, which the caller owns then; -1 if there is none. */
int passed_fds_take(PassedFds *p);
/** Closes what is left. */
void passed_fds_clear(PassedFds *p);

#endif
