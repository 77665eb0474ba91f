/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket back end: unix and tcp, server and client, an inherited fd,
 * telnet. A server serves one client at a time and goes on listening when it
 * has gone (who comes meanwhile waits in the backlog); a client may try again every reconnect= seconds. Fds that come
 * with the bytes (SCM_RIGHTS) wait for chardev_take_fd. Main thread only.
 *
 *   listening --accept--> connected --eof--> listening
 *   connecting --done--> connected --eof--> (reconnect timer) connecting
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "chardev/char-private.h"
#include "chardev/passed-fds.h"
#include "chardev/socket-addr.h"
#include "chardev/telnet.h"
#include "monitor/monitor.h"
#include "util/error.h"

/* While the machine runs: so long may who asks for it wait. */
#define NEAR_MS 200         /* for a server that is not far; another one may take its time behind */
#define LOOKUP_MS 2000      /* for the name of an own address */

typedef struct Socket {
    Chardev *chr;
    SocketSpec spec;            /* unless inherited */
    bool server, telnet, nodelay;
    unsigned reconnect_s;
    char *unlink_path;          /* a path we bound */
    dev_t unlink_dev;           /* what is there must still be ours: another may have bound it since */
    ino_t unlink_ino;
    char *local;                /* text of the listening or peer address, without prefix */
    bool is_unix;

    int listen_fd;              /* -1: client, or an inherited connection */
    GSource *accept_source;
    int fd;                     /* the connection, owned by io; -1 if none */
    FdIo *io;
    GSource *hup_source;
    bool peer_gone;             /* hung up while we could not read: the next client may take over */
    SocketJob *job;             /* connects */
    GSource *reconnect_timer;

    PassedFds passed;
    Telnet telnet_state;
} Socket;

static void drop(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static GSource *watch(Socket *s, int fd, GIOCondition cond, GUnixFDSourceFunc fn)
{
    GSource *source = g_unix_fd_source_new(fd, cond);

    g_source_set_callback(source, G_SOURCE_FUNC(fn), s, NULL);
    g_source_attach(source, chardev_context(s->chr));
    return source;
}

/* ---- receiving ---- */

static int socket_take_fd(Chardev *chr)
{
    return passed_fds_take(&((Socket *)chr->priv)->passed);
}

static ssize_t socket_read(Chardev *chr, uint8_t *buf, size_t len)
{
    Socket *s = chr->priv;
    ssize_t n = passed_fds_receive(&s->passed, s->fd, buf, len);

    if (n > 0 && s->telnet) {
        n = telnet_filter(&s->telnet_state, buf, n);
        if (n == 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    return n;
}

static void socket_disconnect(Chardev *chr);
static const FdIoOps socket_io_ops = { socket_read, socket_disconnect };

/* ---- a connection begins ---- */

static gboolean peer_hung_up(gint fd, GIOCondition cond, gpointer user_data)
{
    Socket *s = user_data;

    drop(&s->hup_source);
    if (chardev_can_read(s->chr) == 0) {
        /* There may be bytes yet to be read, but nobody to talk to: let others in. */
        s->peer_gone = true;
        if (s->listen_fd >= 0 && !s->accept_source) {
            chardev_accept_input(s->chr);
        }
    }
    return G_SOURCE_REMOVE;
}

static void connection_begin(Socket *s, int fd)
{
    int one = 1;

    if (s->nodelay && !s->is_unix) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    g_mutex_lock(&s->chr->lock);
    s->fd = fd;
    g_mutex_unlock(&s->chr->lock);
    s->peer_gone = false;
    s->telnet_state = (Telnet){ TELNET_TEXT };
    s->io = fdio_new(s->chr, fd, fd, &socket_io_ops);
    s->hup_source = watch(s, fd, G_IO_HUP, peer_hung_up);
    if (s->telnet) {
        fdio_write(s->io, telnet_hello, sizeof(telnet_hello));
    }
    chardev_set_connected(s->chr, true);
}

static void connection_close(Socket *s)
{
    drop(&s->hup_source);
    g_mutex_lock(&s->chr->lock);
    fdio_free(s->io);
    s->io = NULL;
    s->fd = -1;
    g_mutex_unlock(&s->chr->lock);
    passed_fds_clear(&s->passed);
    chardev_set_connected(s->chr, false);
}

static gboolean accept_ready(gint fd, GIOCondition cond, gpointer user_data)
{
    Socket *s = user_data;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (client < 0) {
        return G_SOURCE_CONTINUE; /* it went away again, or we are out of fds: next time */
    }
    if (s->fd >= 0) { /* peer_gone: the old one only has unread bytes left */
        connection_close(s);
    }
    drop(&s->accept_source);
    connection_begin(s, client);
    return G_SOURCE_REMOVE;
}

static void accept_start(Socket *s)
{
    if (s->listen_fd >= 0 && !s->accept_source) {
        s->accept_source = watch(s, s->listen_fd, G_IO_IN, accept_ready);
    }
}

/* ---- connecting ---- */

static void reconnect_later(Socket *s);

/* The job's end: fd, or why there is none. */
static void connect_done(void *opaque, int fd, const SocketAddrs *addrs, const GError *err)
{
    Socket *s = opaque;

    s->job = NULL;
    if (fd >= 0) {
        connection_begin(s, fd);
    } else if (s->reconnect_s) {
        reconnect_later(s);
    } else {
        machine_report(s->chr->owner->machine, "warning: chardev '%s': %s", s->chr->id,
                       err->message);
    }
}

static bool connect_start(Socket *s, GError **errp)
{
    s->job = socket_connect_start(&s->spec, SOCK_STREAM, chardev_context(s->chr), connect_done, s,
                                  errp);
    return s->job != NULL;
}

/* For those that try again: what is known at once is taken at once. */
static void connect_now(Socket *s)
{
    g_autoptr(GError) err = NULL;
    int fd = -1;

    if (!connect_start(s, &err) || socket_job_wait(s->job, 0, &fd, NULL, &err)) {
        connect_done(s, fd, NULL, err);
    }
}

/* For those that do not. At start-up the job's own limits are the limit. */
static bool connect_once(Socket *s, GError **errp)
{
    int fd = -1;

    if (!connect_start(s, errp)) {
        return false;
    }
    if (!socket_job_wait(s->job, s->chr->hot ? NEAR_MS : G_MAXINT, &fd, NULL, errp)) {
        return true; /* connect_done will come */
    }
    s->job = NULL;
    if (fd < 0) {
        return false;
    }
    connection_begin(s, fd);
    return true;
}

static gboolean reconnect_now(gpointer user_data)
{
    Socket *s = user_data;

    drop(&s->reconnect_timer);
    connect_now(s);
    return G_SOURCE_REMOVE;
}

static void reconnect_later(Socket *s)
{
    s->reconnect_timer = g_timeout_source_new_seconds(s->reconnect_s);
    g_source_set_callback(s->reconnect_timer, reconnect_now, s, NULL);
    g_source_attach(s->reconnect_timer, chardev_context(s->chr));
}

/* The connection has ended (fdio's eof). */
static void socket_disconnect(Chardev *chr)
{
    Socket *s = chr->priv;

    connection_close(s);
    if (s->listen_fd >= 0) {
        accept_start(s);
    } else if (s->reconnect_s) {
        reconnect_later(s);
    }
}

/* ---- listening ---- */

static bool listen_on(Socket *s, const SocketAddr *addr, int *err)
{
    int one = 1;
    int fd = socket(addr->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        *err = errno;
        return false;
    }
    if (s->is_unix) {
        struct stat st;
        const char *path = ((const struct sockaddr_un *)&addr->storage)->sun_path;
        if (!s->spec.abstract && stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
            unlink(path); /* left over from a process that is gone */
        }
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
    if (bind(fd, (const struct sockaddr *)&addr->storage, addr->len) < 0 ||
        listen(fd, SOMAXCONN) < 0) {
        *err = errno;
        close(fd);
        return false;
    }
    s->listen_fd = fd;
    return true;
}

static char *address_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *), bool *is_unix)
{
    struct sockaddr_storage storage;
    socklen_t len = sizeof(storage);

    memset(&storage, 0, sizeof(storage));
    if (get(fd, (struct sockaddr *)&storage, &len) < 0) {
        return g_strdup("unknown");
    }
    if (is_unix) {
        *is_unix = storage.ss_family == AF_UNIX;
    }
    return socket_addr_text(&storage, len);
}

static int own_name(int fd, struct sockaddr *addr, socklen_t *len)
{
    return getsockname(fd, addr, len);
}

static int peer_name(int fd, struct sockaddr *addr, socklen_t *len)
{
    return getpeername(fd, addr, len);
}

static bool own_addresses(Socket *s, SocketAddrs *addrs, GError **errp)
{
    g_autoptr(GError) err = NULL;
    SocketJob *job = socket_lookup_start(&s->spec, SOCK_STREAM, chardev_context(s->chr), NULL, NULL,
                                         errp);

    if (!job) {
        return false;
    }
    if (!socket_job_wait(job, s->chr->hot ? LOOKUP_MS : G_MAXINT, NULL, addrs, &err)) {
        socket_job_cancel(job);
        error_setg(errp, "Nobody tells the number of '%s'; give a number instead", s->local);
        return false;
    }
    if (err) {
        g_propagate_error(errp, g_steal_pointer(&err));
        return false;
    }
    return true;
}

/* The file of the socket that was just bound is ours to remove. */
static void own_path(Socket *s)
{
    struct stat st;

    if (!s->spec.abstract && stat(s->local, &st) == 0) {
        s->unlink_path = g_strdup(s->local);
        s->unlink_dev = st.st_dev;
        s->unlink_ino = st.st_ino;
    }
}

static void remove_path(Socket *s)
{
    struct stat st;

    if (s->unlink_path && stat(s->unlink_path, &st) == 0 && st.st_dev == s->unlink_dev &&
        st.st_ino == s->unlink_ino) {
        unlink(s->unlink_path);
    }
}

static bool server_open(Socket *s, GError **errp)
{
    SocketAddrs addrs;
    int err = 0;

    if (!own_addresses(s, &addrs, errp)) {
        return false;
    }
    for (unsigned i = 0; i < addrs.count; i++) {
        if (listen_on(s, &addrs.list[i], &err)) {
            if (s->is_unix) {
                own_path(s);
            } else {
                g_free(s->local);
                s->local = address_of(s->listen_fd, own_name, NULL);
            }
            return true;
        }
    }
    error_setg_errno(errp, err, "Failed to bind socket to %s", s->local);
    return false;
}

/* ---- opening ---- */

/* While the machine runs it may be one that a monitor got (getfd). */
static int inherited_fd(Socket *s, const char *text, GError **errp)
{
    uint64_t number;

    if (s->chr->hot && !g_ascii_isdigit(*text)) {
        return fds_take_named(s->chr->owner->machine->fds, text, errp);
    }
    if (!parse_u64(text, &number) || number > INT_MAX) {
        error_setg(errp, "Unable to parse FD number %s", text);
        return -1;
    }
    return (int)number;
}

static bool inherited_use(Socket *s, int number, const char *text, int *conn, GError **errp)
{
    int type;
    socklen_t len = sizeof(type);

    if (getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &len) < 0) {
        error_setg(errp, "File descriptor '%s' is not a socket", text);
        return false;
    }
    fcntl(number, F_SETFD, FD_CLOEXEC);
    if (s->server) {
        if (listen(number, SOMAXCONN) < 0) {
            error_setg_errno(errp, errno, "File descriptor '%s' cannot listen", text);
            return false;
        }
        s->listen_fd = number;
    } else {
        *conn = number;
    }
    s->local = address_of(number, s->server ? own_name : peer_name, &s->is_unix);
    return true;
}

static bool inherited_open(Socket *s, const char *text, int *conn, GError **errp)
{
    int number = inherited_fd(s, text, errp);

    if (number >= 0 && !inherited_use(s, number, text, conn, errp)) {
        if (!g_ascii_isdigit(*text)) {
            close(number); /* a monitor's, which it gave away */
        }
        return false;
    }
    return number >= 0;
}

static bool read_flags(Socket *s, Opts *opts, bool *wait, GError **errp)
{
    uint64_t reconnect = 0;
    bool nowait = false;

    *wait = true;
    s->nodelay = true;
    if (!opts_get_bool(opts, "server", &s->server, errp) ||
        !opts_get_bool(opts, "telnet", &s->telnet, errp) ||
        !opts_get_bool(opts, "wait", wait, errp) ||
        !opts_get_bool(opts, "nowait", &nowait, errp) ||
        !opts_get_bool(opts, "nodelay", &s->nodelay, errp) ||
        !opts_get_u64(opts, "reconnect", &reconnect, errp)) {
        return false;
    }
    if (!s->server && (opts_get(opts, "wait") || opts_get(opts, "nowait"))) {
        error_setg(errp, "'wait' option is incompatible with socket in client connect mode");
        return false;
    }
    if (s->server && reconnect) {
        error_setg(errp, "'reconnect' option is incompatible with socket in server listen mode");
        return false;
    }
    if (reconnect > 3600) {
        error_setg(errp, "Parameter 'reconnect' expects a number of seconds up to 3600");
        return false;
    }
    s->reconnect_s = reconnect;
    *wait &= !nowait;
    if (s->server && *wait && s->chr->hot) {
        error_setg(errp, "a machine that runs does not wait for a client; set wait=off");
        return false;
    }
    return true;
}

static char *socket_filename(const Chardev *chr);

/* server=on,wait=on: the machine is not built before somebody has come. */
static bool wait_for_client(Socket *s, GError **errp)
{
    g_autofree char *name = socket_filename(s->chr);

    machine_report(s->chr->owner->machine, "info: QEMU waiting for connection on: %s", name);
    int fd;
    do {
        fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0) {
        error_setg_errno(errp, errno, "Failed to accept a connection on %s", name);
        return false;
    }
    connection_begin(s, fd);
    return true;
}

static bool socket_start(Socket *s, Opts *opts, bool wait, GError **errp)
{
    const char *inherited = opts_get(opts, "fd");
    int conn = -1;

    if (inherited) {
        if (!inherited_open(s, inherited, &conn, errp)) {
            return false;
        }
    } else {
        if (!socket_chardev_spec(&s->spec, opts, errp)) {
            return false;
        }
        s->is_unix = s->spec.kind == SOCKET_UNIX;
        s->local = socket_spec_text(&s->spec);
        if (s->server && !server_open(s, errp)) {
            return false;
        }
    }
    if (s->server && wait) {
        return wait_for_client(s, errp);
    }
    if (s->server) {
        accept_start(s);
        return true;
    }
    if (conn < 0 && s->reconnect_s) {
        connect_now(s);
        return true;
    }
    if (conn < 0) {
        return connect_once(s, errp);
    }
    connection_begin(s, conn);
    return true;
}

/* Any thread: whoever reads sees the end. */
static void socket_yank(void *opaque)
{
    Socket *s = opaque;

    g_mutex_lock(&s->chr->lock);
    if (s->fd >= 0) {
        shutdown(s->fd, SHUT_RDWR);
    }
    g_mutex_unlock(&s->chr->lock);
}

static bool socket_open(Chardev *chr, Opts *opts, GError **errp)
{
    Socket *s = g_new0(Socket, 1);
    bool wait;

    s->chr = chr;
    s->fd = s->listen_fd = -1;
    chr->priv = s;
    yank_add(&chr->owner->machine->yank, YANK_INSTANCE_TYPE_CHARDEV, chr->id, socket_yank, s);
    opts_get(opts, "keep-alive");
    return read_flags(s, opts, &wait, errp) && socket_start(s, opts, wait, errp);
}

static void socket_close(Chardev *chr)
{
    Socket *s = chr->priv;

    if (!s) {
        return;
    }
    yank_remove(&chr->owner->machine->yank, YANK_INSTANCE_TYPE_CHARDEV, s);
    socket_job_cancel(s->job);
    drop(&s->accept_source);
    drop(&s->reconnect_timer);
    connection_close(s);
    remove_path(s); /* while the socket holds its number */
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
    }
    g_free(s->unlink_path);
    socket_spec_clear(&s->spec);
    g_free(s->local);
    g_free(s);
}

/* ---- in use ---- */

static size_t socket_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return fdio_write(((Socket *)chr->priv)->io, buf, len); /* nobody there: taken and dropped */
}

static void socket_update_input(Chardev *chr)
{
    Socket *s = chr->priv;

    fdio_update_input(s->io);
    if (s->peer_gone) {
        accept_start(s);
    }
}

static void socket_update_context(Chardev *chr)
{
    Socket *s = chr->priv;

    fdio_update_context(s->io);
    if (s->hup_source) {
        drop(&s->hup_source);
        s->hup_source = watch(s, s->fd, G_IO_HUP, peer_hung_up);
    }
    if (s->accept_source) {
        drop(&s->accept_source);
        accept_start(s);
    }
    if (s->reconnect_timer) {
        drop(&s->reconnect_timer);
        reconnect_later(s);
    }
    if (s->job) {
        socket_job_cancel(s->job);
        connect_now(s);
    }
}

static char *socket_filename(const Chardev *chr)
{
    Socket *s = chr->priv;
    const char *scheme = s->is_unix ? "unix" : s->telnet ? "telnet" : "tcp";
    g_autofree char *peer = NULL;

    g_mutex_lock(&s->chr->lock);
    bool connected = s->fd >= 0;
    if (connected && !s->is_unix) {
        peer = address_of(s->fd, s->server ? peer_name : own_name, NULL);
    }
    g_mutex_unlock(&s->chr->lock);
    const char *abstract = !s->spec.abstract ? "" : s->spec.tight ? ",abstract=on,tight=on"
                                                                   : ",abstract=on";
    return g_strdup_printf("%s%s:%s%s%s%s%s", connected ? "" : "disconnected:", scheme, s->local,
                           abstract, s->server ? ",server=on" : "", peer ? " <-> " : "",
                           peer ? peer : "");
}

const ChardevOps chardev_socket_ops = {
    "socket", socket_open, socket_close, socket_write, socket_update_input, socket_filename,
    socket_update_context, socket_take_fd, chardev_no_terminal, chardev_no_tty, &chardev_one_front,
};
