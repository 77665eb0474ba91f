/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev tap: a host tap device, opened by name or inherited (fd=). The
 * guest sees packets without offloads; an inherited tap that was opened with
 * a virtio header (libvirt's is) gets an empty one. No scripts are run:
 * script= and downscript= may only be "no".
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include "hw/net/net-priv.h"

#define TAP_HEADER_BYTES 10 /* struct virtio_net_hdr without mergeable buffers */
#define TAP_BURST 64 /* packets per wake-up: others want the main loop too */

typedef struct NetTap {
    NetBackend net;
    int fd;
    size_t header_bytes;    /* virtio header in front of each packet on the fd */
    GSource *watch;
} NetTap;

static gboolean tap_readable(gint fd, GIOCondition cond, gpointer opaque)
{
    NetTap *tap = opaque;
    uint8_t packet[TAP_HEADER_BYTES + NET_PACKET_MAX];

    for (unsigned i = 0; i < TAP_BURST; i++) {
        ssize_t n;

        if (!net_can_receive(&tap->net)) {
            net_unwatch(&tap->watch); /* until the guest offers buffers */
            return G_SOURCE_REMOVE;
        }
        n = read(fd, packet, sizeof(packet));
        if (n <= 0) {
            if (n < 0 && errno != EAGAIN && errno != EINTR) {
                net_unwatch(&tap->watch);
                return G_SOURCE_REMOVE;
            }
            break;
        }
        if ((size_t)n > tap->header_bytes) {
            net_receive(&tap->net, packet + tap->header_bytes, n - tap->header_bytes);
        }
    }
    return G_SOURCE_CONTINUE;
}

static void tap_send(NetBackend *net, const uint8_t *packet, size_t len)
{
    static const uint8_t header[TAP_HEADER_BYTES];
    const NetTap *tap = (NetTap *)net;
    struct iovec iov[2] = { { (void *)header, tap->header_bytes }, { (void *)packet, len } };
    ssize_t ignored = writev(tap->fd, iov, 2);

    (void)ignored; /* a full queue loses the packet, as a wire does */
}

static void tap_receive_ready(NetBackend *net)
{
    NetTap *tap = (NetTap *)net;

    if (!tap->watch && net_can_receive(net)) {
        tap->watch = net_watch_fd(net->machine, tap->fd, G_IO_IN, tap_readable, tap);
    }
}

static void tap_free(NetBackend *net)
{
    NetTap *tap = (NetTap *)net;

    net_unwatch(&tap->watch);
    close(tap->fd);
}

static const NetBackendOps tap_ops = { "tap", tap_send, tap_receive_ready, tap_free };

static int tap_open_name(const char *ifname, struct ifreq *ifr, GError **errp)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) {
        error_setg_errno(errp, errno, "could not open /dev/net/tun");
        return -1;
    }
    memset(ifr, 0, sizeof(*ifr));
    ifr->ifr_flags = IFF_TAP | IFF_NO_PI;
    g_strlcpy(ifr->ifr_name, ifname ? ifname : "tap%d", sizeof(ifr->ifr_name));
    if (ioctl(fd, TUNSETIFF, ifr) < 0) {
        error_setg_errno(errp, errno, "could not configure /dev/net/tun (%s)", ifr->ifr_name);
        close(fd);
        return -1;
    }
    return fd;
}

/* How the fd was opened decides; offloads stay off, so that every header is empty. */
static bool tap_probe_header(int fd, size_t *bytes, GError **errp)
{
    struct ifreq ifr = { 0 };
    int len = TAP_HEADER_BYTES;

    *bytes = 0;
    if (ioctl(fd, TUNGETIFF, &ifr) < 0 || !(ifr.ifr_flags & IFF_VNET_HDR)) {
        return true;
    }
    if (ioctl(fd, TUNSETVNETHDRSZ, &len) < 0) {
        error_setg_errno(errp, errno, "TUNSETVNETHDRSZ ioctl() failed");
        return false;
    }
    ioctl(fd, TUNSETOFFLOAD, 0);
    *bytes = TAP_HEADER_BYTES;
    return true;
}

static bool tap_check_options(Opts *opts, GError **errp)
{
    const char *script = opts_get(opts, "script"), *down = opts_get(opts, "downscript");
    bool vhost = false, vnet_hdr = false;

    if (!opts_get_bool(opts, "vnet_hdr", &vnet_hdr, errp) ||
        !opts_get_bool(opts, "vhost", &vhost, errp)) {
        return false;
    }
    if (vhost) {
        error_setg(errp, "vhost=on is not supported");
        return false;
    }
    if ((script && strcmp(script, "no")) || (down && strcmp(down, "no"))) {
        error_setg(errp, "network scripts are not supported, use script=no,downscript=no");
        return false;
    }
    return true;
}

NetBackend *net_tap_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    const char *fd_text = opts_get(opts, "fd"), *ifname = opts_get(opts, "ifname");
    struct ifreq ifr;
    size_t header;
    NetTap *tap;
    int fd;

    if (!tap_check_options(opts, errp)) {
        return NULL;
    }
    fd = fd_text ? net_fd_from_text(net_backends_machine(nets), fd_text, errp)
                 : tap_open_name(ifname, &ifr, errp);
    if (fd < 0) {
        return NULL;
    }
    if (!tap_probe_header(fd, &header, errp)) {
        close(fd);
        return NULL;
    }
    tap = (NetTap *)net_backend_alloc(nets, &tap_ops, sizeof(*tap), id);
    tap->fd = fd;
    tap->header_bytes = header;
    net_set_info(&tap->net, fd_text ? g_strdup_printf("fd=%s", fd_text)
                                    : g_strdup_printf("ifname=%s,script=no,downscript=no",
                                                      ifr.ifr_name));
    return &tap->net;
}
