/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of a socket address that stream and dgram share. */
#include <string.h>
#include "hw/net/net-priv.h"

bool net_socket_spec(NetBackends *nets, Opts *opts, const char *key, SocketSpec *spec, int *fd,
                     GError **errp)
{
    static const struct { const char *name; SocketKind kind; } kinds[] = {
        { "inet", SOCKET_INET }, { "unix", SOCKET_UNIX }, { "fd", SOCKET_FD },
    };
    g_autofree char *type_key = g_strconcat(key, ".type", NULL);
    g_autofree char *prefix = g_strconcat(key, ".", NULL);
    const char *type = opts_get(opts, type_key);

    if (!type) {
        error_setg(errp, "Parameter '%s' is missing", key); /* as QEMU: not type_key */
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].name, type)) {
            continue;
        }
        if (!socket_spec_from_opts(spec, kinds[i].kind, opts, prefix, errp)) {
            return false;
        }
        if (fd && spec->kind == SOCKET_FD) {
            *fd = net_fd_from_text(net_backends_machine(nets), spec->fd, errp);
            return *fd >= 0;
        }
        return true;
    }
    error_setg(errp, "Parameter 'type' does not accept value '%s'", type);
    return false;
}
