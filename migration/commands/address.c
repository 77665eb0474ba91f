/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QAPI addresses and channel addresses. Called by the QMP commands; opens nothing. */
#include "migration/commands/address.h"
#include <string.h>
#include "util/error.h"

static char *shell_command(const strList *args)
{
    GString *command = g_string_new(NULL);

    for (; args; args = args->next) {
        g_autofree char *quoted = g_shell_quote(args->value);
        g_string_append_printf(command, "%s%s", command->len ? " " : "", quoted);
    }
    return g_string_free(command, FALSE);
}

static bool from_socket(ChannelAddress *a, const SocketAddress *s, GError **errp)
{
    switch (s->type) {
    case SOCKET_ADDRESS_TYPE_INET:
        a->kind = CHANNEL_TCP;
        a->host = g_strdup(s->u.inet.host);
        a->port = g_strdup(s->u.inet.port);
        a->ipv4 = s->u.inet.has_ipv4 && s->u.inet.ipv4;
        a->ipv6 = s->u.inet.has_ipv6 && s->u.inet.ipv6;
        return true;
    case SOCKET_ADDRESS_TYPE_UNIX:
        a->kind = CHANNEL_UNIX;
        a->path = g_strdup(s->u.q_unix.path);
        return true;
    case SOCKET_ADDRESS_TYPE_FD:
        a->kind = CHANNEL_FD;
        a->path = g_strdup(s->u.fd.str);
        return true;
    default:
        error_setg(errp, "socket addresses of type '%s' are not available",
                   SocketAddressType_str(s->type));
        return false;
    }
}

static bool from_address(ChannelAddress *a, const MigrationAddress *m, GError **errp)
{
    switch (m->transport) {
    case MIGRATION_ADDRESS_TYPE_SOCKET:
        return from_socket(a, &m->u.socket, errp);
    case MIGRATION_ADDRESS_TYPE_EXEC:
        if (!m->u.exec.args) {
            error_setg(errp, "Parameter 'args' expects a command");
            return false;
        }
        a->kind = CHANNEL_EXEC;
        a->path = shell_command(m->u.exec.args);
        return true;
    case MIGRATION_ADDRESS_TYPE_FILE:
        a->kind = CHANNEL_FILE;
        a->path = g_strdup(m->u.file.filename);
        a->offset = m->u.file.offset;
        return true;
    default:
        error_setg(errp, "transport '%s' is not available",
                   MigrationAddressType_str(m->transport));
        return false;
    }
}

ChannelAddress *migration_address_from_qapi(const char *uri, const MigrationChannelList *channels,
                                            GError **errp)
{
    if (!uri == !channels) {
        error_setg(errp, "need either 'uri' or 'channels' argument");
        return NULL;
    }
    if (uri) {
        return channel_address_parse(uri, errp);
    }
    if (channels->next || channels->value->channel_type != MIGRATION_CHANNEL_TYPE_MAIN) {
        error_setg(errp, "Channel list must have one main channel and no other");
        return NULL;
    }
    ChannelAddress *a = channel_address_new();
    if (!from_address(a, channels->value->addr, errp)) {
        channel_address_free(a);
        return NULL;
    }
    return a;
}

SocketAddressList *migration_address_to_qapi(const char *uri)
{
    ChannelAddress *a = channel_address_parse(uri, NULL);
    SocketAddress *s;

    if (!a || a->kind == CHANNEL_EXEC || a->kind == CHANNEL_FILE) {
        channel_address_free(a);
        return NULL;
    }
    s = g_new0(SocketAddress, 1);
    if (a->kind == CHANNEL_TCP) {
        s->type = SOCKET_ADDRESS_TYPE_INET;
        s->u.inet.host = g_strdup(a->host);
        s->u.inet.port = g_strdup(a->port);
        bool six = strchr(a->host, ':') != NULL;
        s->u.inet.has_ipv4 = s->u.inet.ipv4 = !six;
        s->u.inet.has_ipv6 = s->u.inet.ipv6 = six;
    } else if (a->kind == CHANNEL_UNIX) {
        s->type = SOCKET_ADDRESS_TYPE_UNIX;
        s->u.q_unix.path = g_strdup(a->path);
    } else {
        s->type = SOCKET_ADDRESS_TYPE_FD;
        s->u.fd.str = g_strdup(a->path);
    }
    channel_address_free(a);
    SocketAddressList *list = g_new0(SocketAddressList, 1);
    list->value = s;
    return list;
}
