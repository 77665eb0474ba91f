/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev socket, the older way to say what stream and dgram do now. Main thread. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "hw/net/net-priv.h"

/* "host:port" */
static bool spec_from_text(SocketSpec *spec, const char *text, GError **errp)
{
    const char *colon = strrchr(text, ':');

    if (!colon) {
        error_setg(errp, "host address '%s' doesn't contain ':' separating host from port", text);
        return false;
    }
    *spec = (SocketSpec){ .kind = SOCKET_INET, .host = g_strndup(text, colon - text),
                          .port = g_strdup(colon + 1), .has_ipv4 = true, .ipv4 = true };
    if (!socket_spec_check(spec, errp)) {
        socket_spec_clear(spec);
        return false;
    }
    return true;
}

static NetBackend *open_udp(NetBackends *nets, const char *id, const char *udp, const char *local,
                            GError **errp)
{
    SocketSpec near = { 0 }, far = { 0 };
    NetBackend *net = NULL;

    if (!local) {
        error_setg(errp, "localaddr= is mandatory with udp=");
        return NULL;
    }
    if (spec_from_text(&far, udp, errp) && spec_from_text(&near, local, errp)) {
        net = net_dgram_new(nets, id, true, &near, -1, &far, errp);
    }
    if (net) {
        net_set_info(net, g_strdup_printf("socket: udp=%s", udp));
    }
    socket_spec_clear(&near);
    socket_spec_clear(&far);
    return net;
}

static bool is_group(const char *host, uint32_t *address)
{
    struct in_addr in;

    *address = inet_aton(host, &in) ? ntohl(in.s_addr) : 0;
    return IN_MULTICAST(*address);
}

static NetBackend *open_mcast(NetBackends *nets, const char *id, const char *mcast,
                              const char *local, GError **errp)
{
    SocketSpec near = { .kind = SOCKET_INET, .host = (char *)local, .port = (char *)"0" };
    SocketSpec far = { 0 };
    struct in_addr in;
    uint32_t address;
    NetBackend *net = NULL;

    if (local && !inet_aton(local, &in)) {
        error_setg(errp, "localaddr '%s' is not a valid IPv4 address", local);
        return NULL;
    }
    if (!spec_from_text(&far, mcast, errp)) {
        return NULL;
    }
    if (!is_group(far.host, &address)) {
        error_setg(errp, "specified mcastaddr %s (0x%08x) does not contain a multicast address",
                   far.host, address);
    } else {
        net = net_dgram_new(nets, id, true, local ? &near : NULL, -1, &far, errp);
    }
    if (net) {
        net_set_info(net, g_strdup_printf("socket: mcast=%s", mcast));
    }
    socket_spec_clear(&far);
    return net;
}

static NetBackend *open_fd(NetBackends *nets, const char *id, const char *text, GError **errp)
{
    int fd = net_fd_from_text(net_backends_machine(nets), text, errp), type = SOCK_STREAM;
    SocketSpec spec = { .kind = SOCKET_FD };
    NetStreamConfig config = { .old = true, .fd = fd };
    socklen_t len = sizeof(type);
    NetBackend *net;

    if (fd < 0) {
        return NULL;
    }
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    spec.fd = g_strdup(text);
    net = type == SOCK_DGRAM ? net_dgram_new(nets, id, true, &spec, fd, NULL, errp)
                             : net_stream_new(nets, id, &spec, &config, errp);
    socket_spec_clear(&spec);
    if (net) {
        net_set_info(net, g_strdup_printf("fd=%s", text));
    }
    return net;
}

NetBackend *net_socket_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    const char *fd = opts_get(opts, "fd"), *listen = opts_get(opts, "listen");
    const char *connect = opts_get(opts, "connect"), *udp = opts_get(opts, "udp");
    const char *mcast = opts_get(opts, "mcast"), *local = opts_get(opts, "localaddr");
    NetStreamConfig config = { .old = true, .server = listen, .fd = -1 };
    SocketSpec spec = { 0 };

    if (!!fd + !!listen + !!connect + !!udp + !!mcast != 1) {
        error_setg(errp, "exactly one of listen=, connect=, mcast= or udp= is required");
        return NULL;
    }
    if (local && !udp && !mcast) {
        error_setg(errp, "localaddr= is only valid with mcast= or udp=");
        return NULL;
    }
    if (fd) {
        return open_fd(nets, id, fd, errp);
    }
    if (udp || mcast) {
        return udp ? open_udp(nets, id, udp, local, errp)
                   : open_mcast(nets, id, mcast, local, errp);
    }
    if (!spec_from_text(&spec, listen ? listen : connect, errp)) {
        return NULL;
    }
    return net_stream_new(nets, id, &spec, &config, errp);
}
