/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets over a stream, each behind its length (u32, big endian): -netdev
 * stream, and listen=, connect= of -netdev socket. There is one peer; who
 * comes meanwhile waits in the backlog. Names are looked up and connects
 * made on a thread of their own. Main thread.
 *
 *   listening --accept--> connected --end--> listening
 *   connecting --done--> connected --end--> (reconnect-ms) connecting, or nothing
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "hw/net/net-priv.h"
#include "qapi/qapi-events.h"

#define OUT_MAX_BYTES (256 * 1024)  /* unsent bytes kept for a slow peer; more is lost */

typedef struct NetStream {
    NetBackend net;
    bool old;                       /* -netdev socket: other texts, no events */
    bool server;
    SocketSpec spec;                /* where to connect or listen; unused with an inherited fd */
    uint64_t reconnect_ms;          /* 0: once */
    int listen_fd, fd;              /* -1: none */
    char *unlink_path;              /* socket file that we made */
    SocketJob *job;                 /* looks up or connects */
    GSource *listen_watch, *in_watch, *out_watch, *reconnect_timer;
    GByteArray *in, *out;           /* partial packets */
} NetStream;

static void wire_close(NetStream *s);

/* ---- packets ---- */

/* Hands over what is complete. False: the peer talks nonsense. */
static bool wire_deliver(NetStream *s)
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

static gboolean wire_readable(gint fd, GIOCondition cond, gpointer opaque)
{
    NetStream *s = opaque;
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
        if (wire_deliver(s)) {
            return s->in_watch ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
        }
    }
    wire_close(s);
    return G_SOURCE_REMOVE;
}

static gboolean wire_writable(gint fd, GIOCondition cond, gpointer opaque);

static void wire_flush(NetStream *s)
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
                s->out_watch = net_watch_fd(s->net.machine, s->fd, G_IO_OUT, wire_writable, s);
            }
            return;
        }
        g_byte_array_remove_range(s->out, 0, n);
    }
    net_unwatch(&s->out_watch);
}

static gboolean wire_writable(gint fd, GIOCondition cond, gpointer opaque)
{
    NetStream *s = opaque;

    wire_flush(s);
    return s->out_watch ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void wire_send(NetStream *s, const uint8_t *packet, size_t len)
{
    uint32_t header = htonl(len);

    if (s->fd < 0 || s->out->len > OUT_MAX_BYTES) {
        return;
    }
    g_byte_array_append(s->out, (const uint8_t *)&header, 4);
    g_byte_array_append(s->out, packet, len);
    wire_flush(s);
}

/* ---- the connection ---- */

/* As the event tells it; caller frees. */
static SocketAddress *address_to_qapi(const struct sockaddr_storage *storage, const char *text)
{
    SocketAddress *a = g_new0(SocketAddress, 1);
    const char *colon = strrchr(text, ':');

    if (storage->ss_family == AF_UNIX || !colon) {
        a->type = SOCKET_ADDRESS_TYPE_UNIX;
        a->u.q_unix.path = g_strdup(text);
        return a;
    }
    bool bracket = *text == '[';
    a->type = SOCKET_ADDRESS_TYPE_INET;
    a->u.inet.host = g_strndup(text + bracket, colon - text - 2 * bracket);
    a->u.inet.port = g_strdup(colon + 1);
    if (storage->ss_family == AF_INET6) {
        a->u.inet.has_ipv6 = a->u.inet.ipv6 = true;
    } else {
        a->u.inet.has_ipv4 = a->u.inet.ipv4 = true;
    }
    return a;
}

/* Who is there, for "info network" and the event. A UNIX client has no name: ours is told. */
static void wire_tell_connected(NetStream *s)
{
    struct sockaddr_storage storage = { 0 };
    socklen_t len = sizeof(storage);
    int rc = getpeername(s->fd, (struct sockaddr *)&storage, &len);

    if (rc == 0 && storage.ss_family == AF_UNIX && s->server) {
        len = sizeof(storage);
        rc = getsockname(s->fd, (struct sockaddr *)&storage, &len);
    }
    g_autofree char *text = rc == 0 ? socket_addr_text(&storage, len) : g_strdup("");
    if (s->old) {
        net_set_info(&s->net, g_strdup_printf(s->server ? "socket: connection from %s"
                                                        : "socket: connect to %s", text));
        return;
    }
    net_set_info(&s->net, g_strdup_printf("%s:%s",
                                          storage.ss_family == AF_UNIX ? "unix" : "tcp", text));
    SocketAddress *addr = address_to_qapi(&storage, text);
    qapi_event_send_netdev_stream_connected(s->net.machine->monitors, s->net.id, addr);
    qapi_free_SocketAddress(addr);
}

static void wire_link(NetStream *s, bool up)
{
    if (s->net.fe && s->net.fe->link) {
        s->net.fe->link(s->net.fe_opaque, up);
    }
}

static void wire_start(NetStream *s, int fd)
{
    s->fd = fd;
    net_unwatch(&s->listen_watch);
    s->in_watch = net_watch_fd(s->net.machine, fd, G_IO_IN | G_IO_HUP, wire_readable, s);
    wire_tell_connected(s);
    wire_link(s, true);
}

static gboolean wire_accept(gint fd, GIOCondition cond, gpointer opaque)
{
    NetStream *s = opaque;
    int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (peer < 0) {
        return G_SOURCE_CONTINUE;
    }
    wire_start(s, peer); /* stops listening, until it has gone */
    return s->listen_watch ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void wire_listen(NetStream *s)
{
    net_set_info(&s->net, g_strdup(s->old ? "" : "listening"));
    s->listen_watch = net_watch_fd(s->net.machine, s->listen_fd, G_IO_IN, wire_accept, s);
}

/* ---- connecting ---- */

static void wire_connect(NetStream *s);

static gboolean wire_reconnect(gpointer opaque)
{
    NetStream *s = opaque;

    g_clear_pointer(&s->reconnect_timer, g_source_unref);
    wire_connect(s);
    return G_SOURCE_REMOVE;
}

static void reconnect_later(NetStream *s)
{
    net_set_info(&s->net, g_strdup("connecting"));
    s->reconnect_timer = g_timeout_source_new(MIN(s->reconnect_ms, G_MAXUINT));
    g_source_set_callback(s->reconnect_timer, wire_reconnect, s, NULL);
    g_source_attach(s->reconnect_timer, main_loop_context(s->net.machine->loop));
}

/* As QEMU does, the guest runs without a wire: "info network" says why. */
static void wire_failed(NetStream *s, const char *why)
{
    if (s->reconnect_ms) {
        reconnect_later(s);
    } else {
        net_set_info(&s->net, s->old ? g_strdup("") : g_strdup_printf("error: %s", why));
    }
}

static void wire_connected(void *opaque, int fd, const SocketAddrs *addrs, const GError *err)
{
    NetStream *s = opaque;

    s->job = NULL;
    if (fd < 0) {
        wire_failed(s, err->message);
    } else {
        wire_start(s, fd);
    }
}

static void wire_connect(NetStream *s)
{
    g_autoptr(GError) err = NULL;

    if (!s->old) {
        net_set_info(&s->net, g_strdup("connecting"));
    }
    s->job = socket_connect_start(&s->spec, SOCK_STREAM, main_loop_context(s->net.machine->loop),
                                  wire_connected, s, &err);
    if (!s->job) {
        wire_failed(s, err->message);
    }
}

static void wire_looked_up(void *opaque, int fd, const SocketAddrs *addrs, const GError *err)
{
    NetStream *s = opaque;
    g_autoptr(GError) bind_err = NULL;

    s->job = NULL;
    s->listen_fd = err ? -1 : socket_bind_first(&s->spec, addrs, SOCK_STREAM, &bind_err);
    if (s->listen_fd < 0) {
        wire_failed(s, err ? err->message : bind_err->message);
        return;
    }
    if (s->spec.kind == SOCKET_UNIX && !s->spec.abstract) {
        s->unlink_path = g_strdup(s->spec.path);
    }
    wire_listen(s);
}

/* Numbers and paths are bound at once: who starts us can connect. Names when they are known. */
static bool wire_serve(NetStream *s, GError **errp)
{
    GMainContext *context = main_loop_context(s->net.machine->loop);
    g_autoptr(GError) err = NULL;
    SocketAddrs addrs;

    s->job = socket_lookup_start(&s->spec, SOCK_STREAM, context, wire_looked_up, s, errp);
    if (!s->job) {
        return false;
    }
    if (socket_job_wait(s->job, 0, NULL, &addrs, &err)) {
        wire_looked_up(s, -1, &addrs, err);
    }
    return true;
}

static void wire_close(NetStream *s)
{
    net_unwatch(&s->in_watch);
    net_unwatch(&s->out_watch);
    g_byte_array_set_size(s->in, 0);
    g_byte_array_set_size(s->out, 0);
    if (s->fd < 0) {
        return;
    }
    close(s->fd);
    s->fd = -1;
    if (!s->old) {
        qapi_event_send_netdev_stream_disconnected(s->net.machine->monitors, s->net.id);
    }
    if (s->listen_fd >= 0) {
        wire_listen(s);
    } else if (s->reconnect_ms) {
        reconnect_later(s);
    } else {
        net_set_info(&s->net, g_strdup(""));
    }
    wire_link(s, false);
}

/* ---- the back end ---- */

static void wire_receive_ready(NetBackend *net)
{
    NetStream *s = (NetStream *)net;

    if (s->fd >= 0 && !wire_deliver(s)) {
        wire_close(s);
    }
    if (!s->in_watch && s->fd >= 0 && net_can_receive(net)) {
        s->in_watch = net_watch_fd(net->machine, s->fd, G_IO_IN, wire_readable, s);
    }
}

static void wire_send_packet(NetBackend *net, const uint8_t *packet, size_t len)
{
    wire_send((NetStream *)net, packet, len);
}

static void wire_free(NetBackend *net)
{
    NetStream *s = (NetStream *)net;

    socket_job_cancel(s->job);
    net_unwatch(&s->listen_watch);
    net_unwatch(&s->reconnect_timer);
    net_unwatch(&s->in_watch);
    net_unwatch(&s->out_watch);
    if (s->fd >= 0) {
        close(s->fd);
    }
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
    }
    if (s->unlink_path) {
        unlink(s->unlink_path);
    }
    g_free(s->unlink_path);
    socket_spec_clear(&s->spec);
    g_byte_array_unref(s->in);
    g_byte_array_unref(s->out);
}

static const NetBackendOps wire_ops = { "stream", wire_send_packet, wire_receive_ready,
                                          wire_free };
static const NetBackendOps socket_ops = { "socket", wire_send_packet, wire_receive_ready,
                                          wire_free };

NetBackend *net_stream_new(NetBackends *nets, const char *id, SocketSpec *spec,
                           const NetStreamConfig *config, GError **errp)
{
    NetStream *s = (NetStream *)net_backend_alloc(nets, config->old ? &socket_ops : &wire_ops,
                                                  sizeof(*s), id);

    s->fd = s->listen_fd = -1;
    s->in = g_byte_array_new();
    s->out = g_byte_array_new();
    s->old = config->old;
    s->server = config->server;
    s->reconnect_ms = config->reconnect_ms;
    s->spec = *spec;
    *spec = (SocketSpec){ .kind = SOCKET_INET };
    if (config->fd >= 0) {
        if (s->server) {
            s->listen_fd = config->fd;
            if (listen(s->listen_fd, SOMAXCONN) < 0) {
                error_setg_errno(errp, errno, "can't listen on socket");
                net_backend_free(&s->net);
                return NULL;
            }
            wire_listen(s);
        } else {
            wire_start(s, config->fd);
        }
    } else if (!s->server) {
        wire_connect(s);
    } else if (!wire_serve(s, errp)) {
        net_backend_free(&s->net);
        return NULL;
    }
    return &s->net;
}

static bool read_reconnect(Opts *opts, NetStreamConfig *config, GError **errp)
{
    bool in_s = opts_get(opts, "reconnect"), in_ms = opts_get(opts, "reconnect-ms");
    uint64_t seconds = 0;

    if (!opts_get_bool(opts, "server", &config->server, errp) ||
        !opts_get_u64(opts, "reconnect", &seconds, errp) ||
        !opts_get_u64(opts, "reconnect-ms", &config->reconnect_ms, errp)) {
        return false;
    }
    if (config->server && (in_s || in_ms)) {
        error_setg(errp, "'reconnect' and 'reconnect-ms' options are incompatible with socket in "
                         "server mode");
        return false;
    }
    if (in_s && in_ms) {
        error_setg(errp, "'reconnect' and 'reconnect-ms' are mutually exclusive");
        return false;
    }
    if (seconds > INT_MAX / 1000 || config->reconnect_ms > INT_MAX) {
        error_setg(errp, "Parameter '%s' is too long a time", in_s ? "reconnect" : "reconnect-ms");
        return false;
    }
    if (in_s) {
        config->reconnect_ms = seconds * 1000;
    }
    return true;
}

NetBackend *net_stream_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    NetStreamConfig config = { .fd = -1 };
    SocketSpec spec = { 0 };
    NetBackend *net = NULL;

    if (read_reconnect(opts, &config, errp) &&
        net_socket_spec(nets, opts, "addr", &spec, &config.fd, errp)) {
        net = net_stream_new(nets, id, &spec, &config, errp);
    }
    socket_spec_clear(&spec);
    return net;
}
