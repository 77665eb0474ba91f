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

static void set_switch(ChannelSwitch *out, bool given, bool value)
{
    *out = !given ? CHANNEL_UNSAID : value ? CHANNEL_ON : CHANNEL_OFF;
}

static bool from_socket(ChannelAddress *a, const SocketAddress *s, GError **errp)
{
    switch (s->type) {
    case SOCKET_ADDRESS_TYPE_INET:
        a->kind = CHANNEL_TCP;
        a->host = g_strdup(s->u.inet.host);
        a->port = g_strdup(s->u.inet.port);
        set_switch(&a->ipv4, s->u.inet.has_ipv4, s->u.inet.ipv4);
        set_switch(&a->ipv6, s->u.inet.has_ipv6, s->u.inet.ipv6);
        set_switch(&a->keep_alive, s->u.inet.has_keep_alive, s->u.inet.keep_alive);
        set_switch(&a->mptcp, s->u.inet.has_mptcp, s->u.inet.mptcp);
        a->numeric = s->u.inet.has_numeric && s->u.inet.numeric;
        a->to = s->u.inet.has_to ? s->u.inet.to : 0;
        return true;
    case SOCKET_ADDRESS_TYPE_UNIX:
        if (s->u.q_unix.abstract) {
            error_setg(errp, "abstract sockets are not available for migration, use a path");
            return false;
        }
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
    if (!from_address(a, channels->value->addr, errp) || !channel_address_check(a, errp)) {
        channel_address_free(a);
        return NULL;
    }
    return a;
}

static SocketAddress *to_socket(const ChannelAddress *a)
{
    SocketAddress *s = g_new0(SocketAddress, 1);

    if (a->kind == CHANNEL_UNIX) {
        s->type = SOCKET_ADDRESS_TYPE_UNIX;
        s->u.q_unix.path = g_strdup(a->path);
        return s;
    }
    s->type = SOCKET_ADDRESS_TYPE_INET;
    s->u.inet.host = g_strdup(a->host);
    s->u.inet.port = g_strdup(a->port);
    s->u.inet.has_ipv4 = s->u.inet.ipv4 = a->ipv4 == CHANNEL_ON;
    s->u.inet.has_ipv6 = s->u.inet.ipv6 = a->ipv6 == CHANNEL_ON;
    return s;
}

SocketAddressList *migration_addresses_to_qapi(const GPtrArray *addresses)
{
    SocketAddressList *list = NULL;

    for (guint i = addresses->len; i > 0; i--) {
        SocketAddressList *head = g_new0(SocketAddressList, 1);
        head->value = to_socket(addresses->pdata[i - 1]);
        head->next = list;
        list = head;
    }
    return list;
}
