/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev user: a private network in user space through libslirp. Polled by
 * one GSource while the VM runs. Its connections travel as the section
 * "slirp", which is libslirp's own format.
 */
#include "config-host.h"
#ifdef CONFIG_SLIRP
#include <arpa/inet.h>
#include <errno.h>
#include <libslirp.h>
#include <string.h>
#include "hw/net/net-priv.h"
#include "softmmu/runstate.h"
#include "util/port.h"

#define SLIRP_SECTION "slirp"
/* between "timer" and the CPUs (machine-virt 2.1) */
#define SLIRP_ORDER (VMSTATE_ORDER_DEFAULT - 100)
#define SLIRP_CONFIG_VERSION 4

typedef struct SlirpPoll {
    int fd;
    gpointer tag;
    GIOCondition seen;
} SlirpPoll;

typedef struct NetSlirp {
    NetBackend net;
    Slirp *slirp;
    GSource *source;
    GArray *polls;              /* SlirpPoll, of the current iteration */
    uint32_t instance_id;       /* of its section */
    char *hostname, *domainname, *tftp, *bootfile;
} NetSlirp;

typedef struct SlirpSource {
    GSource source;
    NetSlirp *owner;
} SlirpSource;

typedef struct SlirpTimer {
    NetSlirp *owner;
    SlirpTimerId id;
    void *cb_opaque;
    ClockTimer *timer;
} SlirpTimer;

/* ---- callbacks of libslirp ---- */

static ssize_t slirp_send_packet(const void *buf, size_t len, void *opaque)
{
    NetSlirp *s = opaque;

    if (net_can_receive(&s->net)) {
        net_receive(&s->net, buf, len);
    }
    return len; /* what the guest cannot take is lost; TCP sends it again */
}

static void slirp_guest_error(const char *msg, void *opaque)
{
}

static int64_t slirp_clock_get_ns(void *opaque)
{
    return virtual_clock_get_ns(((NetSlirp *)opaque)->net.machine->clock);
}

static void slirp_timer_fired(void *opaque)
{
    SlirpTimer *t = opaque;

    slirp_handle_timer(t->owner->slirp, t->id, t->cb_opaque);
}

static void *slirp_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    SlirpTimer *t = g_new0(SlirpTimer, 1);

    t->owner = opaque;
    t->id = id;
    t->cb_opaque = cb_opaque;
    t->timer = clock_timer_new(t->owner->net.machine->clock, slirp_timer_fired, t);
    return t;
}

static void slirp_timer_free(void *timer, void *opaque)
{
    clock_timer_free(((SlirpTimer *)timer)->timer);
    g_free(timer);
}

static void slirp_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    clock_timer_mod(((SlirpTimer *)timer)->timer, expire_ms * 1000000);
}

static void slirp_poll_fd(int fd, void *opaque)
{
}

static void slirp_notify(void *opaque)
{
    g_main_context_wakeup(main_loop_context(((NetSlirp *)opaque)->net.machine->loop));
}

static const SlirpCb slirp_callbacks = {
    .send_packet = slirp_send_packet,
    .guest_error = slirp_guest_error,
    .clock_get_ns = slirp_clock_get_ns,
    .timer_free = slirp_timer_free,
    .timer_mod = slirp_timer_mod,
    .register_poll_fd = slirp_poll_fd,
    .unregister_poll_fd = slirp_poll_fd,
    .notify = slirp_notify,
    .timer_new_opaque = slirp_timer_new,
};

/* ---- the source ---- */

static int slirp_add_poll(int fd, int events, void *opaque)
{
    NetSlirp *s = opaque;
    GIOCondition cond = G_IO_ERR | G_IO_HUP;
    SlirpPoll poll = { .fd = fd };

    cond |= events & SLIRP_POLL_IN ? G_IO_IN : 0;
    cond |= events & SLIRP_POLL_OUT ? G_IO_OUT : 0;
    cond |= events & SLIRP_POLL_PRI ? G_IO_PRI : 0;
    poll.tag = g_source_add_unix_fd(s->source, fd, cond);
    g_array_append_val(s->polls, poll);
    return s->polls->len - 1;
}

static int slirp_get_revents(int idx, void *opaque)
{
    NetSlirp *s = opaque;
    GIOCondition seen;
    int events = 0;

    if (idx < 0 || (guint)idx >= s->polls->len) {
        return 0;
    }
    seen = g_array_index(s->polls, SlirpPoll, idx).seen;
    events |= seen & G_IO_IN ? SLIRP_POLL_IN : 0;
    events |= seen & G_IO_OUT ? SLIRP_POLL_OUT : 0;
    events |= seen & G_IO_PRI ? SLIRP_POLL_PRI : 0;
    events |= seen & G_IO_ERR ? SLIRP_POLL_ERR : 0;
    events |= seen & G_IO_HUP ? SLIRP_POLL_HUP : 0;
    return events;
}

static void slirp_drop_polls(NetSlirp *s)
{
    for (guint i = 0; i < s->polls->len; i++) {
        g_source_remove_unix_fd(s->source, g_array_index(s->polls, SlirpPoll, i).tag);
    }
    g_array_set_size(s->polls, 0);
}

static gboolean slirp_source_prepare(GSource *source, gint *timeout)
{
    NetSlirp *s = ((SlirpSource *)source)->owner;
    uint32_t wait_ms = UINT32_MAX;

    slirp_drop_polls(s);
    *timeout = -1;
    if (runstate_is_running(s->net.machine->runstate)) {
        slirp_pollfds_fill(s->slirp, &wait_ms, slirp_add_poll, s);
        *timeout = wait_ms > INT_MAX ? -1 : (gint)wait_ms;
    }
    return FALSE;
}

static gboolean slirp_source_check(GSource *source)
{
    return ((SlirpSource *)source)->owner->polls->len != 0;
}

static gboolean slirp_source_dispatch(GSource *source, GSourceFunc fn, gpointer opaque)
{
    NetSlirp *s = ((SlirpSource *)source)->owner;

    for (guint i = 0; i < s->polls->len; i++) {
        SlirpPoll *poll = &g_array_index(s->polls, SlirpPoll, i);

        poll->seen = g_source_query_unix_fd(source, poll->tag);
    }
    slirp_pollfds_poll(s->slirp, 0, slirp_get_revents, s);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs slirp_source_funcs = {
    slirp_source_prepare, slirp_source_check, slirp_source_dispatch, NULL, NULL, NULL,
};

/* ---- stream ---- */

static ssize_t slirp_write_cb(const void *buf, size_t len, void *opaque)
{
    stream_put_buffer(opaque, buf, len);
    return len;
}

static ssize_t slirp_read_cb(void *buf, size_t len, void *opaque)
{
    return stream_get_buffer(opaque, buf, len) ? (ssize_t)len : -1;
}

static bool slirp_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                      GError **errp)
{
    slirp_state_save(((NetSlirp *)pv)->slirp, slirp_write_cb, w);
    return true;
}

static bool slirp_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                      GError **errp)
{
    int ret = slirp_state_load(((NetSlirp *)pv)->slirp, slirp_state_version(), slirp_read_cb, r);

    if (ret < 0 && stream_reader_ok(r, errp)) {
        error_setg(errp, "slirp: the state of the user network cannot be loaded (%d)", ret);
    }
    return ret >= 0 && stream_reader_ok(r, errp);
}

static const VMStateInfo info_slirp = { "buffer", slirp_get, slirp_put };

static const VMStateField slirp_fields[] = {
    { .name = "data", .offset = 0, .info = &info_slirp },
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription slirp_vmstate = {
    .name = SLIRP_SECTION, .version_id = 4, .minimum_version_id = 4, .fields = slirp_fields,
};

/* ---- the back end ---- */

static void slirp_backend_send(NetBackend *net, const uint8_t *packet, size_t len)
{
    slirp_input(((NetSlirp *)net)->slirp, packet, len);
}

static void slirp_backend_ready(NetBackend *net)
{
}

static void slirp_backend_free(NetBackend *net)
{
    NetSlirp *s = (NetSlirp *)net;

    if (s->slirp) {
        vmstate_unregister(net->machine->vmstate, SLIRP_SECTION, s->instance_id);
        slirp_drop_polls(s);
        g_source_destroy(s->source);
        g_source_unref(s->source);
        slirp_cleanup(s->slirp);
    }
    g_array_unref(s->polls);
    g_free(s->hostname);
    g_free(s->domainname);
    g_free(s->tftp);
    g_free(s->bootfile);
}

static const NetBackendOps slirp_ops = {
    "user", slirp_backend_send, slirp_backend_ready, slirp_backend_free,
};

static bool host_port(const char *text, bool need_port, struct in_addr *addr, int *port)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = colon ? g_strndup(text, colon - text) : NULL;
    uint16_t n = 0;

    addr->s_addr = INADDR_ANY;
    if (!colon || !port_parse(colon + 1, &n) || (need_port && n == 0)) {
        return false;
    }
    *port = n;
    return !*host || inet_pton(AF_INET, host, addr) == 1;
}

/* "tcp:[host]:port-[guest]:port" */
static bool slirp_hostfwd(NetSlirp *s, const char *rule, GError **errp)
{
    g_auto(GStrv) half = NULL;
    struct in_addr host, guest;
    int host_portno, guest_portno;
    bool udp = g_str_has_prefix(rule, "udp:");
    const char *rest = udp || g_str_has_prefix(rule, "tcp:") ? rule + 4 : rule;

    rest = *rest == ':' && rest == rule ? rest + 1 : rest;
    half = g_strsplit(rest, "-", 2);
    if (!half[0] || !half[1] || !host_port(half[0], false, &host, &host_portno) ||
        !host_port(half[1], true, &guest, &guest_portno)) {
        error_setg(errp, "Invalid host forwarding rule '%s'", rule);
        return false;
    }
    if (guest.s_addr == INADDR_ANY) {
        inet_pton(AF_INET, "10.0.2.15", &guest);
    }
    if (slirp_add_hostfwd(s->slirp, udp, host, host_portno, guest, guest_portno) < 0) {
        error_setg_errno(errp, errno, "Could not set up host forwarding rule '%s'", rule);
        return false;
    }
    return true;
}

static bool slirp_config(NetSlirp *s, Opts *opts, SlirpConfig *config, GError **errp)
{
    bool restricted = false;

    if (!opts_get_bool(opts, "restrict", &restricted, errp)) {
        return false;
    }
    s->hostname = g_strdup(opts_get(opts, "hostname"));
    s->domainname = g_strdup(opts_get(opts, "domainname"));
    s->tftp = g_strdup(opts_get(opts, "tftp"));
    s->bootfile = g_strdup(opts_get(opts, "bootfile"));
    *config = (SlirpConfig){
        .version = SLIRP_CONFIG_VERSION, .restricted = restricted, .in_enabled = true,
        .in6_enabled = true, .vprefix_len = 64, .vhostname = s->hostname,
        .vdomainname = s->domainname, .tftp_path = s->tftp, .bootfile = s->bootfile,
    };
    inet_pton(AF_INET, "10.0.2.0", &config->vnetwork);
    inet_pton(AF_INET, "255.255.255.0", &config->vnetmask);
    inet_pton(AF_INET, "10.0.2.2", &config->vhost);
    inet_pton(AF_INET, "10.0.2.15", &config->vdhcp_start);
    inet_pton(AF_INET, "10.0.2.3", &config->vnameserver);
    inet_pton(AF_INET6, "fec0::", &config->vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &config->vhost6);
    inet_pton(AF_INET6, "fec0::3", &config->vnameserver6);
    return true;
}

static bool slirp_start(NetSlirp *s, Opts *opts, GError **errp)
{
    static const VMStateDescription *const versions[] = { &slirp_vmstate, NULL };
    Machine *machine = s->net.machine;
    const char *key, *value;
    SlirpConfig config;

    if (!slirp_config(s, opts, &config, errp)) {
        return false;
    }
    s->slirp = slirp_new(&config, &slirp_callbacks, s);
    if (!s->slirp) {
        error_setg(errp, "user network cannot be created");
        return false;
    }
    s->source = g_source_new(&slirp_source_funcs, sizeof(SlirpSource));
    ((SlirpSource *)s->source)->owner = s;
    g_source_attach(s->source, main_loop_context(machine->loop));
    s->instance_id = vmstate_free_instance(machine->vmstate, SLIRP_SECTION);
    vmstate_register_versions(machine->vmstate, SLIRP_SECTION, s->instance_id, versions, s,
                              SLIRP_ORDER, SLIRP_ORDER);
    vmstate_alike_in_7_2(machine->vmstate, SLIRP_SECTION, s->instance_id);
    net_set_info(&s->net, g_strdup_printf("net=10.0.2.0,restrict=%s",
                                          config.restricted ? "on" : "off"));
    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (strcmp(key, "hostfwd") == 0 || g_str_has_prefix(key, "hostfwd.")) {
            opts_get(opts, key);
            if (!slirp_hostfwd(s, value, errp)) {
                return false;
            }
        }
    }
    return true;
}

NetBackend *net_slirp_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    NetSlirp *s = (NetSlirp *)net_backend_alloc(nets, &slirp_ops, sizeof(*s), id);

    s->polls = g_array_new(FALSE, TRUE, sizeof(SlirpPoll));
    if (!slirp_start(s, opts, errp)) {
        net_backend_free(&s->net);
        return NULL;
    }
    return &s->net;
}
#endif
