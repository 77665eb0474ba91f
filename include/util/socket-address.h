/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of sockets as users write them, and what may take long about
 * them: a job looks up the name and connects on a thread of its own, so that
 * the main thread never waits for a resolver or a far end.
 */
#ifndef UTIL_SOCKET_ADDRESS_H
#define UTIL_SOCKET_ADDRESS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>
#include "util/opts.h"

typedef enum SocketKind { SOCKET_INET, SOCKET_UNIX, SOCKET_FD } SocketKind;

/** One address; set up by socket_spec_from_opts, given back with socket_spec_clear. */
typedef struct SocketSpec {
    SocketKind kind;
    char *host, *port;      /* inet */
    unsigned to;            /* inet, listening: last port to try; 0: only port */
    bool has_ipv4, ipv4, has_ipv6, ipv6, keep_alive, numeric, mptcp;
    char *path;             /* unix */
    bool abstract, tight;
    char *fd;               /* number, or name given with getfd */
} SocketSpec;

/**
 * From PREFIXhost, PREFIXport, PREFIXto, PREFIXipv4, ... or PREFIXpath,
 * PREFIXabstract, PREFIXtight, or PREFIXstr. Errors name the key.
 */
bool socket_spec_from_opts(SocketSpec *spec, SocketKind kind, Opts *opts, const char *prefix,
                           GError **errp);
/** Of a spec that was filled in otherwise: is its port one? */
bool socket_spec_check(const SocketSpec *spec, GError **errp);
void socket_spec_clear(SocketSpec *spec);
/** "host:port", or the path; caller frees. */
char *socket_spec_text(const SocketSpec *spec);

#define SOCKET_ADDRS_MAX 8

typedef struct SocketAddr {
    struct sockaddr_storage storage;
    socklen_t len;
} SocketAddr;

typedef struct SocketAddrs {
    SocketAddr list[SOCKET_ADDRS_MAX];
    unsigned count;
} SocketAddrs;

/** The addresses of a spec that is no fd. May ask the resolver and take as long as that takes. */
bool socket_spec_resolve(const SocketSpec *spec, int type, bool passive, SocketAddrs *addrs,
                         GError **errp);
/** "127.0.0.1:80", "[::1]:80", or a path without the leading 0 of an abstract one; caller frees. */
char *socket_addr_text(const struct sockaddr_storage *storage, socklen_t len);

/**
 * Looks up and connects (or, to bind, only looks up) in the background. done
 * runs once, on the main loop, unless socket_job_cancel or a true
 * socket_job_wait came first: fd is a connected non-blocking socket, now
 * done's, or -1 with err; for a lookup fd is -1 and addrs has the result.
 */
typedef struct SocketJob SocketJob;
typedef void SocketJobDone(void *opaque, int fd, const SocketAddrs *addrs, const GError *err);

SocketJob *socket_connect_start(const SocketSpec *spec, int type, GMainContext *context,
                                SocketJobDone *done, void *opaque, GError **errp);
SocketJob *socket_lookup_start(const SocketSpec *spec, int type, GMainContext *context,
                               SocketJobDone *done, void *opaque, GError **errp);
/**
 * Waits at most ms milliseconds. True: it has ended; *fd (if not NULL) and
 * *addrs get the result (*fd -1 with errp if it failed), the job is gone.
 */
bool socket_job_wait(SocketJob *job, int ms, int *fd, SocketAddrs *addrs, GError **errp);
/** Nobody wants the result any more; the job is gone. NULL is allowed. */
void socket_job_cancel(SocketJob *job);

/**
 * Binds a non-blocking socket of this type, listening if it is a stream, to
 * the first address, and port up to spec->to, that is free; -1 with errp. A
 * socket file that is there already is replaced.
 */
int socket_bind_first(const SocketSpec *spec, const SocketAddrs *addrs, int type, GError **errp);

#endif
