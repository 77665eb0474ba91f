/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One packet per datagram: -netdev dgram over UDP, UDP multicast, UNIX or an
 * inherited socket, and udp=, mcast= of -netdev socket. Main thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "hw/net/net-priv.h"

#define DGRAM_BURST 64
/* Names are looked up when the machine is built: nobody else waits then. */
#define LOOKUP_TIMEOUT_MS 10000     /* at the start, which a signal ends */
#define LOOKUP_HOT_MS 800           /* while the machine runs: the monitors stand still */

typedef struct NetDgram {
    NetBackend net;
    int fd;                     /* -1: none */
    SocketAddr remote;          /* len 0: the socket is connected */
    char *unlink_path;          /* socket file that we made */
    GSource *in_watch;
} NetDgram;

static gboolean dgram_readable(gint fd, GIOCondition cond, gpointer opaque)
{
    NetDgram *s = opaque;
    uint8_t packet[NET_PACKET_MAX];

    for (unsigned i = 0; i < DGRAM_BURST; i++) {
        ssize_t n;

        if (!net_can_receive(&s->net)) {
            net_unwatch(&s->in_watch);
            return G_SOURCE_REMOVE;
        }
        n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) {
            net_unwatch(&s->in_watch);
            return G_SOURCE_REMOVE;
        }
        if (n < 0) {
            break;
        }
        net_receive(&s->net, packet, n);
    }
    return G_SOURCE_CONTINUE;
}

static void dgram_send(NetBackend *net, const uint8_t *packet, size_t len)
{
    NetDgram *s = (NetDgram *)net;
    const struct sockaddr *to = s->remote.len ? (struct sockaddr *)&s->remote.storage : NULL;

    sendto(s->fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL, to, s->remote.len);
}

static void dgram_receive_ready(NetBackend *net)
{
    NetDgram *s = (NetDgram *)net;

    if (!s->in_watch && net_can_receive(net)) {
        s->in_watch = net_watch_fd(net->machine, s->fd, G_IO_IN, dgram_readable, s);
    }
}

static void dgram_free(NetBackend *net)
{
    NetDgram *s = (NetDgram *)net;

    net_unwatch(&s->in_watch);
    if (s->fd >= 0) {
        close(s->fd);
    }
    if (s->unlink_path) {
        unlink(s->unlink_path);
    }
    g_free(s->unlink_path);
}

static const NetBackendOps dgram_ops = { "dgram", dgram_send, dgram_receive_ready, dgram_free };
static const NetBackendOps socket_ops = { "socket", dgram_send, dgram_receive_ready, dgram_free };

/* ---- opening ---- */

static bool look_up(NetDgram *s, const SocketSpec *spec, SocketAddrs *addrs, GError **errp)
{
    SocketJob *job = socket_lookup_start(spec, SOCK_DGRAM, main_loop_context(s->net.machine->loop),
                                         NULL, NULL, errp);
    g_autoptr(GError) err = NULL;

    if (!job) {
        return false;
    }
    int ms = main_loop_running(s->net.machine->loop) ? LOOKUP_HOT_MS : LOOKUP_TIMEOUT_MS;
    if (!socket_job_wait(job, ms, NULL, addrs, &err)) {
        socket_job_cancel(job);
        error_setg(errp, "the name '%s' is not known after %.1f seconds: give a number", spec->host,
                   ms / 1000.0);
        return false;
    }
    if (err) {
        g_propagate_error(errp, g_steal_pointer(&err));
        return false;
    }
    return true;
}

static bool is_multicast(const SocketAddr *addr)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&addr->storage;

    return addr->storage.ss_family == AF_INET && IN_MULTICAST(ntohl(in->sin_addr.s_addr));
}

/* Bound to the group and a member of it, on the interface that has the local address if given. */
static int multicast_socket(const SocketAddr *group, const SocketAddr *local, GError **errp)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&group->storage;
    struct ip_mreq join = { .imr_multiaddr = in->sin_addr };
    g_autofree char *text = g_strdup(inet_ntoa(in->sin_addr));
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        error_setg_errno(errp, errno, "can't create datagram socket");
        return -1;
    }
    if (local) {
        join.imr_interface = ((const struct sockaddr_in *)&local->storage)->sin_addr;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&group->storage, group->len) < 0) {
        error_setg_errno(errp, errno, "can't bind ip=%s to socket", text);
    } else if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)) < 0) {
        error_setg_errno(errp, errno, "can't add socket to multicast group %s", text);
    } else if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof(on)) < 0) {
        error_setg_errno(errp, errno, "can't force multicast message to loopback");
    } else if (local && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &join.imr_interface,
                                   sizeof(join.imr_interface)) < 0) {
        error_setg_errno(errp, errno, "can't set the default network send interface");
    } else {
        return fd;
    }
    close(fd);
    return -1;
}

/* remote is a group; local says the interface, or is a socket that is in it already. */
static bool open_multicast(NetDgram *s, const SocketSpec *local, int local_fd, GError **errp)
{
    g_autofree char *text = socket_addr_text(&s->remote.storage, s->remote.len);
    SocketAddrs addrs = { 0 };

    if (local && local->kind == SOCKET_UNIX) {
        error_setg(errp, "only support inet or fd type for local");
        return false;
    }
    if (local_fd < 0 && local && !look_up(s, local, &addrs, errp)) {
        return false;
    }
    s->fd = local_fd >= 0 ? local_fd
                          : multicast_socket(&s->remote, addrs.count ? addrs.list : NULL, errp);
    net_set_info(&s->net, g_strdup_printf("mcast=%s", text));
    return s->fd >= 0;
}

static bool open_pair(NetDgram *s, const SocketSpec *local, const SocketSpec *remote, GError **errp)
{
    SocketAddrs addrs;
    SocketAddr own = { .len = sizeof(own.storage) };

    if (remote->kind != local->kind) {
        error_setg(errp, "remote and local types must be the same");
        return false;
    }
    if (!look_up(s, local, &addrs, errp) ||
        (s->fd = socket_bind_first(local, &addrs, SOCK_DGRAM, errp)) < 0) {
        return false;
    }
    if (local->kind == SOCKET_UNIX && !local->abstract) {
        s->unlink_path = g_strdup(local->path);
    }
    getsockname(s->fd, (struct sockaddr *)&own.storage, &own.len);
    g_autofree char *own_text = socket_addr_text(&own.storage, own.len);
    g_autofree char *far_text = socket_addr_text(&s->remote.storage, s->remote.len);
    net_set_info(&s->net, local->kind == SOCKET_UNIX
                              ? g_strdup_printf("udp=%s:%s", local->path, remote->path)
                              : g_strdup_printf("udp=%s/%s", own_text, far_text));
    return true;
}

static bool dgram_open(NetDgram *s, const SocketSpec *local, int local_fd, const SocketSpec *remote,
                       GError **errp)
{
    SocketAddrs addrs;

    if (remote && remote->kind != SOCKET_FD) {
        if (!look_up(s, remote, &addrs, errp)) {
            return false;
        }
        s->remote = addrs.list[0];
        if (is_multicast(&s->remote)) {
            return open_multicast(s, local, local_fd, errp);
        }
    }
    if (!local) {
        error_setg(errp, "dgram requires local= parameter");
        return false;
    }
    if (local->kind == SOCKET_FD) {
        s->fd = local_fd;
        s->remote.len = 0;
        net_set_info(&s->net, g_strdup_printf("fd=%s", local->fd));
        return true;
    }
    if (!remote) {
        error_setg(errp, "type=inet or type=unix requires remote parameter");
        return false;
    }
    return open_pair(s, local, remote, errp);
}

NetBackend *net_dgram_new(NetBackends *nets, const char *id, bool old, const SocketSpec *local,
                          int local_fd, const SocketSpec *remote, GError **errp)
{
    NetDgram *s = (NetDgram *)net_backend_alloc(nets, old ? &socket_ops : &dgram_ops, sizeof(*s),
                                                id);

    s->fd = -1;
    if (dgram_open(s, local, local_fd, remote, errp)) {
        return &s->net;
    }
    if (local_fd >= 0 && s->fd < 0) {
        close(local_fd);
    }
    net_backend_free(&s->net);
    return NULL;
}

NetBackend *net_dgram_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    SocketSpec local = { 0 }, remote = { 0 };
    bool has_local = opts_get(opts, "local.type"), has_remote = opts_get(opts, "remote.type");
    int fd = -1;
    NetBackend *net = NULL;

    if ((!has_remote || net_socket_spec(nets, opts, "remote", &remote, NULL, errp)) &&
        (!has_local || net_socket_spec(nets, opts, "local", &local, &fd, errp))) {
        net = net_dgram_new(nets, id, false, has_local ? &local : NULL, fd,
                            has_remote ? &remote : NULL, errp);
    }
    socket_spec_clear(&local);
    socket_spec_clear(&remote);
    return net;
}
