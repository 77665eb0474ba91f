/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chardev-add, chardev-change and what belongs to them, QMP and HMP. The members of a
 * ChardevBackend become options of -chardev: char.c reads only those.
 */
#include <inttypes.h>
#include <string.h>

#include "chardev/char.h"
#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"
#include "util/error.h"

/* ---- a ChardevBackend as options ---- */

static void set_text(Opts *opts, const char *key, const char *value)
{
    if (value) {
        opts_set(opts, key, value);
    }
}

static void set_bool(Opts *opts, const char *key, bool has, bool value)
{
    if (has) {
        opts_set(opts, key, value ? "on" : "off");
    }
}

static void set_int(Opts *opts, const char *key, bool has, int64_t value)
{
    g_autofree char *text = g_strdup_printf("%" PRId64, value);
    if (has) {
        opts_set(opts, key, text);
    }
}

static void set_inet(Opts *opts, const InetSocketAddress *inet)
{
    opts_set(opts, "host", inet->host);
    opts_set(opts, "port", inet->port);
    set_bool(opts, "numeric", inet->has_numeric && inet->numeric, true);
    set_int(opts, "to", inet->has_to, inet->to);
    set_bool(opts, "ipv4", inet->has_ipv4, inet->ipv4);
    set_bool(opts, "ipv6", inet->has_ipv6, inet->ipv6);
    set_bool(opts, "keep-alive", inet->has_keep_alive, inet->keep_alive);
    set_bool(opts, "mptcp", inet->has_mptcp && inet->mptcp, true);
}

static bool set_address(Opts *opts, const SocketAddressLegacy *addr, GError **errp)
{
    switch (addr->type) {
    case SOCKET_ADDRESS_TYPE_INET:
        set_inet(opts, addr->u.inet.data);
        return true;
    case SOCKET_ADDRESS_TYPE_UNIX:
        opts_set(opts, "path", addr->u.q_unix.data->path);
        set_bool(opts, "abstract", addr->u.q_unix.data->has_abstract,
                 addr->u.q_unix.data->abstract);
        set_bool(opts, "tight", addr->u.q_unix.data->has_tight, addr->u.q_unix.data->tight);
        return true;
    case SOCKET_ADDRESS_TYPE_FD:
        opts_set(opts, "fd", addr->u.fd.data->str);
        return true;
    default:
        error_setg(errp, "Parameter 'type' does not accept value '%s'",
                   SocketAddressType_str(addr->type));
        return false;
    }
}

static void set_common(Opts *opts, const char *logfile, bool has_logappend, bool logappend)
{
    set_text(opts, "logfile", logfile);
    set_bool(opts, "logappend", has_logappend, logappend);
}

static bool set_socket(Opts *opts, const ChardevSocket *s, GError **errp)
{
    bool server = !s->has_server || s->server;

    set_common(opts, s->logfile, s->has_logappend, s->logappend);
    set_bool(opts, "server", true, server);
    set_bool(opts, "wait", server || s->has_wait, s->has_wait && s->wait);
    set_bool(opts, "nodelay", true, s->has_nodelay && s->nodelay);
    set_bool(opts, "telnet", s->has_telnet, s->telnet);
    set_int(opts, "reconnect", s->has_reconnect, s->reconnect);
    return set_address(opts, s->addr, errp);
}

static void set_file(Opts *opts, const ChardevFile *file)
{
    set_common(opts, file->logfile, file->has_logappend, file->logappend);
    opts_set(opts, "path", file->out);
    set_text(opts, "input-path", file->in);
    set_bool(opts, "append", file->has_append, file->append);
}

static void set_ringbuf(Opts *opts, const ChardevRingbuf *ring)
{
    set_common(opts, ring->logfile, ring->has_logappend, ring->logappend);
    set_int(opts, "size", ring->has_size, ring->size);
}

static void set_stdio(Opts *opts, const ChardevStdio *io)
{
    set_common(opts, io->logfile, io->has_logappend, io->logappend);
    set_bool(opts, "signal", io->has_signal, io->signal);
}

static bool set_backend(Opts *opts, const ChardevBackend *b, GError **errp)
{
    const ChardevCommon *common = NULL;

    opts_set(opts, "backend", ChardevBackendKind_str(b->type));
    switch (b->type) {
    case CHARDEV_BACKEND_KIND_FILE:
        set_file(opts, b->u.file.data);
        return true;
    case CHARDEV_BACKEND_KIND_PIPE:
        set_common(opts, b->u.pipe.data->logfile, b->u.pipe.data->has_logappend,
                   b->u.pipe.data->logappend);
        opts_set(opts, "path", b->u.pipe.data->device);
        return true;
    case CHARDEV_BACKEND_KIND_SOCKET:
        return set_socket(opts, b->u.socket.data, errp);
    case CHARDEV_BACKEND_KIND_STDIO:
        set_stdio(opts, b->u.stdio.data);
        return true;
    case CHARDEV_BACKEND_KIND_VC: /* its size has no meaning */
        set_common(opts, b->u.vc.data->logfile, b->u.vc.data->has_logappend,
                   b->u.vc.data->logappend);
        return true;
    case CHARDEV_BACKEND_KIND_RINGBUF:
        set_ringbuf(opts, b->u.ringbuf.data);
        return true;
    case CHARDEV_BACKEND_KIND_MEMORY:
        set_ringbuf(opts, b->u.memory.data);
        return true;
    default:
        common = b->type == CHARDEV_BACKEND_KIND_PTY ? b->u.pty.data : b->u.null.data;
        set_common(opts, common->logfile, common->has_logappend, common->logappend);
        return true;
    }
}

/* ---- commands ---- */

/* "/dev/pts/3", or NULL: it is no pty. */
static char *pty_path(Chardev *chr)
{
    g_autofree char *name = chardev_filename(chr);

    return g_str_has_prefix(name, "pty:") ? g_strdup(name + strlen("pty:")) : NULL;
}

/* NULL: there is none. */
static ChardevReturn *answer(Chardev *chr)
{
    ChardevReturn *result = NULL;

    if (chr) {
        result = g_new0(ChardevReturn, 1);
        result->pty = pty_path(chr);
    }
    return result;
}

ChardevBackendInfoList *qmp_query_chardev_backends(struct Machine *machine, GError **errp)
{
    ChardevBackendInfoList *list = NULL, **tail = &list;
    const char *name;

    for (size_t i = 0; (name = chardev_backend_name(i)); i++) {
        *tail = g_new0(ChardevBackendInfoList, 1);
        (*tail)->value = g_new0(ChardevBackendInfo, 1);
        (*tail)->value->name = g_strdup(name);
        tail = &(*tail)->next;
    }
    return list;
}

ChardevReturn *qmp_chardev_add(struct Machine *machine, const char *id, ChardevBackend *backend,
                               GError **errp)
{
    Opts *opts = opts_new();
    Chardev *chr = NULL;

    if (set_backend(opts, backend, errp)) {
        chr = chardev_add(machine->chardevs, id, opts, errp);
    }
    opts_free(opts);
    return answer(chr);
}

ChardevReturn *qmp_chardev_change(struct Machine *machine, const char *id, ChardevBackend *backend,
                                  GError **errp)
{
    Opts *opts = opts_new();
    Chardev *chr = NULL;

    if (set_backend(opts, backend, errp)) {
        chr = chardev_change(machine->chardevs, id, opts, errp);
    }
    opts_free(opts);
    return answer(chr);
}

bool qmp_chardev_remove(struct Machine *machine, const char *id, GError **errp)
{
    return chardev_remove(machine->chardevs, id, errp);
}

bool qmp_chardev_send_break(struct Machine *machine, const char *id, GError **errp)
{
    return chardev_send_break(machine->chardevs, id, errp);
}

static void hmp_say_pty(HMPMonitor *mon, Chardev *chr)
{
    g_autofree char *pty = chr ? pty_path(chr) : NULL;

    if (pty) {
        monitor_printf(mon, "char device redirected to %s (label %s)\n", pty, chardev_id(chr));
    }
}

void hmp_chardev_add(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    Opts *opts = opts_parse(hmp_arg_str(args, "args"), "backend", &err);

    if (opts) {
        hmp_say_pty(mon, chardev_hot_new(hmp_machine(mon)->chardevs, opts, &err));
        opts_free(opts);
    }
    hmp_handle_error(mon, err);
}

void hmp_chardev_change(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    Opts *opts = opts_parse(hmp_arg_str(args, "args"), "backend", &err);

    if (opts && opts_get(opts, "id")) {
        error_setg(&err, "Unexpected 'id' parameter");
    } else if (opts && !opts_get(opts, "backend")) {
        error_setg(&err, "chardev: no backend specified");
    } else if (opts) {
        hmp_say_pty(mon, chardev_change(hmp_machine(mon)->chardevs, hmp_arg_str(args, "id"), opts,
                                        &err));
    }
    opts_free(opts);
    hmp_handle_error(mon, err);
}

void hmp_chardev_remove(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_chardev_remove(hmp_machine(mon), hmp_arg_str(args, "id"), &err);
    hmp_handle_error(mon, err);
}

void hmp_chardev_send_break(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_chardev_send_break(hmp_machine(mon), hmp_arg_str(args, "id"), &err);
    hmp_handle_error(mon, err);
}
