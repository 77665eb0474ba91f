/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev socket, stream and dgram: packets over TCP or UNIX streams, each
 * behind its length (u32, big endian), or one per datagram. Used to connect
 * guests with each other and with helper programs. Never resolves names:
 * addresses are numeric or "localhost".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include "hw/net/net-priv.h"

#define OUT_MAX_BYTES (256 * 1024)  /* unsent bytes kept for a slow peer; more is lost */
#define DGRAM_BURST 64

typedef union SockAddr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} SockAddr;

typedef struct NetAddress {
    SockAddr addr;
    socklen_t len;
} NetAddress;

typedef struct NetSocket {
    NetBackend net;
    int listen_fd, fd;              /* -1: none */
    bool dgram, connecting;
    NetAddress remote;              /* dgram: where to send; stream client: where to connect */
    bool has_remote;
    char *unlink_path;              /* socket file that we made */
    unsigned reconnect_s;
    GSource *listen_watch, *in_watch, *out_watch, *reconnect_timer;
    GByteArray *in, *out;           /* stream: partial packets */
} NetSocket;

/* ---- addresses ---- */

static bool address_unix(const char *path, NetAddress *out, GError **errp)
{
    memset(out, 0, sizeof(*out));
    if (!path || strlen(path) >= sizeof(out->addr.un.sun_path)) {
        error_setg(errp, path ? "UNIX socket path '%s' is too long"
                              : "Parameter 'path' is missing%s", path ? path : "");
        return false;
    }
    out->addr.un.sun_family = AF_UNIX;
    strcpy(out->addr.un.sun_path, path);
    out->len = offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
    return true;
}

static bool address_inet(const char *host, const char *port, int type, NetAddress *out,
                         GError **errp)
{
    struct addrinfo hints = { .ai_socktype = type, .ai_flags = AI_NUMERICSERV }, *list;
    bool any = !host || !*host;
    int ret;

    memset(out, 0, sizeof(*out));
    if (any) {
        host = "0.0.0.0";
    } else if (strcmp(host, "localhost")) {
        hints.ai_flags |= AI_NUMERICHOST;
    }
    ret = getaddrinfo(host, port ? port : "", &hints, &list);
    if (ret) {
        error_setg(errp, "address '%s:%s': %s", host, port ? port : "", gai_strerror(ret));
        return false;
    }
    memcpy(&out->addr, list->ai_addr, MIN(list->ai_addrlen, sizeof(out->addr)));
    out->len = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

/* "host:port" of the old -netdev socket */
static bool address_from_text(const char *text, int type, NetAddress *out, GError **errp)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = NULL;

    if (!colon) {
        error_setg(errp, "host address '%s' doesn't contain ':' separating host from port", text);
        return false;
    }
    host = g_strndup(text, colon - text);
    return address_inet(host, colon + 1, type, out, errp);
}

/* KEY.type=inet|unix|fd with its members; *fd is set for type fd. */
static bool address_from_opts(Machine *machine, Opts *opts, const char *key, int type,
                              NetAddress *out, int *fd, GError **errp)
{
    g_autofree char *k_type = g_strconcat(key, ".type", NULL);
    g_autofree char *k_path = g_strconcat(key, ".path", NULL);
    g_autofree char *k_host = g_strconcat(key, ".host", NULL);
    g_autofree char *k_port = g_strconcat(key, ".port", NULL);
    g_autofree char *k_str = g_strconcat(key, ".str", NULL);
    const char *kind = opts_get(opts, k_type), *text;

    *fd = -1;
    if (!kind) {
        error_setg(errp, "Parameter '%s' is missing", k_type);
        return false;
    }
    if (strcmp(kind, "unix") == 0) {
        return address_unix(opts_get(opts, k_path), out, errp);
    }
    if (strcmp(kind, "inet") == 0) {
        text = opts_get(opts, k_host);
        return address_inet(text, opts_get(opts, k_port), type, out, errp);
    }
    if (strcmp(kind, "fd") == 0) {
        text = opts_get(opts, k_str);
        if (!text) {
            error_setg(errp, "Parameter '%s' is missing", k_str);
            return false;
        }
        *fd = net_fd_from_text(machine, text, errp);
        return *fd >= 0;
    }
    error_setg(errp, "Parameter '%s' does not accept value '%s'", k_type, kind);
    return false;
}

static int socket_new(const NetAddress *a, int type, GError **errp)
{
    int fd = socket(a->addr.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        error_setg_errno(errp, errno, "can't create socket");
    }
    return fd;
}

static bool socket_bind(NetSocket *s, int fd, const NetAddress *a, GError **errp)
{
    int on = 1;

    if (a->addr.sa.sa_family == AF_UNIX) {
        unlink(a->addr.un.sun_path);
        s->unlink_path = g_strdup(a->addr.un.sun_path);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (bind(fd, &a->addr.sa, a->len) < 0) {
        error_setg_errno(errp, errno, "can't bind socket to address");
        return false;
    }
    return true;
}

/* ---- streams ---- */

static void netstream_close(NetSocket *s);
static bool netstream_connect(NetSocket *s, GError **errp);

/* Hands over what is complete. False: the peer talks nonsense. */
static bool netstream_deliver(NetSocket *s)
{
    size_t used = 0;

    while (s->in->len - used >= 4 && net_can_receive(&s->net)) {
        uint32_t len;

        memcpy(&len, s->in->data + used, 4);
        len = ntohl(len);
        if (len > NET_PACKET_MAX) {
            return false;
        }
        if (s->in->len - used - 4 < len) {
            break;
        }
        net_receive(&s->net, s->in->data + used + 4, len);
        used += 4 + len;
    }
    g_byte_array_remove_range(s->in, 0, used);
    return true;
}

static gboolean netstream_readable(gint fd, GIOCondition cond, gpointer opaque)
{
    NetSocket *s = opaque;
    uint8_t buf[65536];
    ssize_t n;

    if (!net_can_receive(&s->net) && s->in->len >= NET_PACKET_MAX + 4) {
        net_unwatch(&s->in_watch);
        return G_SOURCE_REMOVE;
    }
    n = read(fd, buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n > 0) {
        g_byte_array_append(s->in, buf, n);
        if (netstream_deliver(s)) {
            return s->in_watch ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
        }
    }
    netstream_close(s);
    return G_SOURCE_REMOVE;
}

static gboolean netstream_writable(gint fd, GIOCondition cond, gpointer opaque);

static void netstream_flush(NetSocket *s)
{
    while (s->out->len) {
        ssize_t n = send(s->fd, s->out->data, s->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            g_byte_array_set_size(s->out, 0); /* the reading side sees the end */
            break;
        }
        if (n < 0) {
            if (!s->out_watch) {
                s->out_watch = net_watch_fd(s->net.machine, s->fd, G_IO_OUT, netstream_writable, s);
            }
            return;
        }
        g_byte_array_remove_range(s->out, 0, n);
    }
    net_unwatch(&s->out_watch);
}

static void netstream_start(NetSocket *s)
{
    s->connecting = false;
    s->in_watch = net_watch_fd(s->net.machine, s->fd, G_IO_IN | G_IO_HUP, netstream_readable, s);
    if (s->net.fe && s->net.fe->link) {
        s->net.fe->link(s->net.fe_opaque, true);
    }
}

static gboolean netstream_writable(gint fd, GIOCondition cond, gpointer opaque)
{
    NetSocket *s = opaque;

    if (s->connecting) {
        int err = 0;
        socklen_t len = sizeof(err);

        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err) {
            netstream_close(s);
            return G_SOURCE_REMOVE;
        }
        net_unwatch(&s->out_watch);
        netstream_start(s);
        return G_SOURCE_REMOVE;
    }
    netstream_flush(s);
    return s->out_watch ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static gboolean netstream_accept(gint fd, GIOCondition cond, gpointer opaque)
{
    NetSocket *s = opaque;
    int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (peer < 0) {
        return G_SOURCE_CONTINUE;
    }
    if (s->fd >= 0) {
        close(peer); /* one wire, one other end */
        return G_SOURCE_CONTINUE;
    }
    s->fd = peer;
    netstream_start(s);
    return G_SOURCE_CONTINUE;
}

static gboolean netstream_reconnect(gpointer opaque)
{
    NetSocket *s = opaque;

    g_clear_pointer(&s->reconnect_timer, g_source_unref);
    if (!netstream_connect(s, NULL)) {
        netstream_close(s);
    }
    return G_SOURCE_REMOVE;
}

static void netstream_close(NetSocket *s)
{
    net_unwatch(&s->in_watch);
    net_unwatch(&s->out_watch);
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
    s->connecting = false;
    g_byte_array_set_size(s->in, 0);
    g_byte_array_set_size(s->out, 0);
    if (s->reconnect_s && !s->reconnect_timer) {
        s->reconnect_timer = g_timeout_source_new_seconds(s->reconnect_s);
        g_source_set_callback(s->reconnect_timer, netstream_reconnect, s, NULL);
        g_source_attach(s->reconnect_timer, main_loop_context(s->net.machine->loop));
    }
    if (s->net.fe && s->net.fe->link) {
        s->net.fe->link(s->net.fe_opaque, false);
    }
}

static bool netstream_connect(NetSocket *s, GError **errp)
{
    s->fd = socket_new(&s->remote, SOCK_STREAM, errp);
    if (s->fd < 0) {
        return false;
    }
    if (connect(s->fd, &s->remote.addr.sa, s->remote.len) == 0) {
        netstream_start(s);
        return true;
    }
    if (errno == EINPROGRESS || errno == EAGAIN) {
        s->connecting = true;
        s->out_watch = net_watch_fd(s->net.machine, s->fd, G_IO_OUT, netstream_writable, s);
        return true;
    }
    error_setg_errno(errp, errno, "can't connect socket");
    close(s->fd);
    s->fd = -1;
    return false;
}

static bool netstream_listen(NetSocket *s, const NetAddress *a, GError **errp)
{
    s->listen_fd = socket_new(a, SOCK_STREAM, errp);
    if (s->listen_fd < 0 || !socket_bind(s, s->listen_fd, a, errp)) {
        return false;
    }
    if (listen(s->listen_fd, SOMAXCONN) < 0) {
        error_setg_errno(errp, errno, "can't listen on socket");
        return false;
    }
    s->listen_watch = net_watch_fd(s->net.machine, s->listen_fd, G_IO_IN, netstream_accept, s);
    return true;
}

static void netstream_send(NetSocket *s, const uint8_t *packet, size_t len)
{
    uint32_t header = htonl(len);

    if (s->fd < 0 || s->connecting || s->out->len > OUT_MAX_BYTES) {
        return;
    }
    g_byte_array_append(s->out, (const uint8_t *)&header, 4);
    g_byte_array_append(s->out, packet, len);
    netstream_flush(s);
}

/* ---- datagrams ---- */

static gboolean dgram_readable(gint fd, GIOCondition cond, gpointer opaque)
{
    NetSocket *s = opaque;
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

/* ---- the back end ---- */

static void socket_send(NetBackend *net, const uint8_t *packet, size_t len)
{
    NetSocket *s = (NetSocket *)net;

    if (!s->dgram) {
        netstream_send(s, packet, len);
    } else if (s->has_remote) {
        sendto(s->fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL, &s->remote.addr.sa, s->remote.len);
    } else {
        send(s->fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void socket_receive_ready(NetBackend *net)
{
    NetSocket *s = (NetSocket *)net;

    if (!s->dgram && s->fd >= 0 && !s->connecting && !netstream_deliver(s)) {
        netstream_close(s);
    }
    if (!s->in_watch && s->fd >= 0 && !s->connecting && net_can_receive(net)) {
        s->in_watch = net_watch_fd(net->machine, s->fd, G_IO_IN,
                                   s->dgram ? dgram_readable : netstream_readable, s);
    }
}

static void socket_free(NetBackend *net)
{
    NetSocket *s = (NetSocket *)net;

    s->net.fe = NULL;
    s->reconnect_s = 0;
    net_unwatch(&s->listen_watch);
    net_unwatch(&s->reconnect_timer);
    netstream_close(s);
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
    }
    if (s->unlink_path) {
        unlink(s->unlink_path);
    }
    g_free(s->unlink_path);
    g_byte_array_unref(s->in);
    g_byte_array_unref(s->out);
}

static const NetBackendOps socket_ops = { "socket", socket_send, socket_receive_ready,
                                          socket_free };
static const NetBackendOps stream_ops = { "stream", socket_send, socket_receive_ready,
                                          socket_free };
static const NetBackendOps dgram_ops = { "dgram", socket_send, socket_receive_ready, socket_free };

static NetSocket *socket_alloc(NetBackends *nets, const NetBackendOps *ops, const char *id)
{
    NetSocket *s = (NetSocket *)net_backend_alloc(nets, ops, sizeof(*s), id);

    s->fd = s->listen_fd = -1;
    s->in = g_byte_array_new();
    s->out = g_byte_array_new();
    return s;
}

static NetBackend *socket_opened(NetSocket *s, bool ok)
{
    if (ok) {
        return &s->net;
    }
    net_backend_free(&s->net);
    return NULL;
}

static bool udp_open(NetSocket *s, Opts *opts, const char *udp, GError **errp)
{
    const char *local_text = opts_get(opts, "localaddr");
    NetAddress local;

    s->dgram = s->has_remote = true;
    if (!local_text) {
        error_setg(errp, "localaddr= is mandatory with udp=");
        return false;
    }
    if (!address_from_text(udp, SOCK_DGRAM, &s->remote, errp) ||
        !address_from_text(local_text, SOCK_DGRAM, &local, errp)) {
        return false;
    }
    s->fd = socket_new(&local, SOCK_DGRAM, errp);
    net_set_info(&s->net, g_strdup_printf("udp=%s", udp));
    return s->fd >= 0 && socket_bind(s, s->fd, &local, errp);
}

static bool old_socket_open(NetSocket *s, Opts *opts, GError **errp)
{
    const char *fd = opts_get(opts, "fd"), *listen = opts_get(opts, "listen");
    const char *connect = opts_get(opts, "connect"), *udp = opts_get(opts, "udp");
    NetAddress a;

    if (!!fd + !!listen + !!connect + !!udp != 1) {
        error_setg(errp, "exactly one of listen=, connect=, mcast= or udp= is required");
        return false;
    }
    if (udp) {
        return udp_open(s, opts, udp, errp);
    }
    if (fd) {
        int type = SOCK_STREAM;
        socklen_t len = sizeof(type);

        s->fd = net_fd_from_text(s->net.machine, fd, errp);
        if (s->fd < 0) {
            return false;
        }
        getsockopt(s->fd, SOL_SOCKET, SO_TYPE, &type, &len);
        s->dgram = type == SOCK_DGRAM;
        net_set_info(&s->net, g_strdup_printf("fd=%s", fd));
        if (!s->dgram) {
            netstream_start(s);
        }
        return true;
    }
    net_set_info(&s->net, g_strdup_printf("%s=%s", listen ? "listen" : "connect",
                                          listen ? listen : connect));
    if (listen) {
        return address_from_text(listen, SOCK_STREAM, &a, errp) && netstream_listen(s, &a, errp);
    }
    return address_from_text(connect, SOCK_STREAM, &s->remote, errp) && netstream_connect(s, errp);
}

NetBackend *net_socket_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    NetSocket *s = socket_alloc(nets, &socket_ops, id);

    return socket_opened(s, old_socket_open(s, opts, errp));
}

static bool netstream_open(NetSocket *s, Opts *opts, GError **errp)
{
    bool server = false;
    uint64_t reconnect = 0;
    NetAddress a;
    int fd;

    if (!opts_get_bool(opts, "server", &server, errp) ||
        !opts_get_u64(opts, "reconnect", &reconnect, errp) ||
        !address_from_opts(s->net.machine, opts, "addr", SOCK_STREAM, &a, &fd, errp)) {
        return false;
    }
    if (reconnect > INT_MAX || (server && reconnect)) {
        error_setg(errp, "'reconnect' option is incompatible with socket in server mode");
        return false;
    }
    if (fd >= 0) {
        s->fd = fd;
        netstream_start(s);
        return true;
    }
    if (server) {
        return netstream_listen(s, &a, errp);
    }
    s->remote = a;
    if (!netstream_connect(s, reconnect ? NULL : errp) && !reconnect) {
        return false;
    }
    s->reconnect_s = reconnect;
    if (s->fd < 0) {
        netstream_close(s); /* starts the timer */
    }
    return true;
}

NetBackend *net_stream_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    NetSocket *s = socket_alloc(nets, &stream_ops, id);

    return socket_opened(s, netstream_open(s, opts, errp));
}

static bool dgram_open(NetSocket *s, Opts *opts, GError **errp)
{
    NetAddress local;
    int fd, ignored;

    s->dgram = true;
    if (!address_from_opts(s->net.machine, opts, "local", SOCK_DGRAM, &local, &fd, errp)) {
        return false;
    }
    if (fd >= 0) {
        s->fd = fd;
        return true;
    }
    if (!address_from_opts(s->net.machine, opts, "remote", SOCK_DGRAM, &s->remote, &ignored,
                           errp)) {
        return false;
    }
    s->has_remote = true;
    s->fd = socket_new(&local, SOCK_DGRAM, errp);
    return s->fd >= 0 && socket_bind(s, s->fd, &local, errp);
}

NetBackend *net_dgram_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    NetSocket *s = socket_alloc(nets, &dgram_ops, id);

    return socket_opened(s, dgram_open(s, opts, errp));
}
