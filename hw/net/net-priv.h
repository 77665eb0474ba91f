/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of back ends and of their set. net-backend.c is the ground; the
 * kinds and announce.c stand on it; netdev.c knows the kinds. Main thread, BQL.
 */
#ifndef HW_NET_NET_PRIV_H
#define HW_NET_NET_PRIV_H

#include "hw/net-backend.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"
#include "util/error.h"
#include "util/socket-address.h"

/** A kind of back end: opening is separate, these work on an open one. */
typedef struct NetBackendOps {
    const char *type;
    /** Sends one packet without blocking. */
    void (*send)(NetBackend *net, const uint8_t *packet, size_t len);
    /** The front end can take packets again. */
    void (*receive_ready)(NetBackend *net);
    /** Closes what it holds; the struct stays. */
    void (*close)(NetBackend *net);
} NetBackendOps;

/* First member of every back end. */
struct NetBackend {
    const NetBackendOps *ops;
    Machine *machine;
    NetBackends *nets;
    const char *type;
    char *id, *info;
    bool link_down;             /* set_link on the back end */
    const NetFrontend *fe;
    void *fe_opaque;
};

/* A network card. */
typedef struct NetDevice {
    char *name;
    NetBackend *net;
    const NetDeviceOps *ops;
    void *opaque;
} NetDevice;

typedef struct NetAnnouncer NetAnnouncer;

struct NetBackends {
    Machine *machine;
    GPtrArray *list;        /* NetBackend* */
    GPtrArray *gone;        /* NetBackend* that were removed, closed, and still have a front end */
    GPtrArray *devices;     /* NetDevice* */
    NetAnnouncer *announcer;
};

/** False while the front end is absent, full, or the link is down (then packets are dropped, not held). */
bool net_can_receive(NetBackend *net);
/** Hands a packet from the host to the front end. */
void net_receive(NetBackend *net, const uint8_t *packet, size_t len);

/* Openers: options of one -netdev; the id and type are taken care of. size is that of the whole struct. */
NetBackend *net_backend_alloc(NetBackends *nets, const NetBackendOps *ops, size_t size,
                              const char *id);
NetBackend *net_tap_open(NetBackends *nets, const char *id, Opts *opts, GError **errp);
NetBackend *net_socket_open(NetBackends *nets, const char *id, Opts *opts, GError **errp);
NetBackend *net_stream_open(NetBackends *nets, const char *id, Opts *opts, GError **errp);
NetBackend *net_dgram_open(NetBackends *nets, const char *id, Opts *opts, GError **errp);
NetBackend *net_hub_open(NetBackends *nets, const char *id, Opts *opts, GError **errp);
NetBackend *net_slirp_open(NetBackends *nets, const char *id, Opts *opts, GError **errp);

/** KEY.type=inet|unix|fd with its members; *fd (if not NULL) is opened for type fd. Clear spec also after an error. */
bool net_socket_spec(NetBackends *nets, Opts *opts, const char *key, SocketSpec *spec, int *fd,
                     GError **errp);
typedef struct NetStreamConfig {
    bool old;               /* -netdev socket's texts and no events */
    bool server;
    uint64_t reconnect_ms;  /* 0: try once */
    int fd;                 /* an inherited socket, -1 if none; taken over */
} NetStreamConfig;
/** Takes what spec holds. */
NetBackend *net_stream_new(NetBackends *nets, const char *id, SocketSpec *spec,
                           const NetStreamConfig *config, GError **errp);
/** local, remote may be NULL. local_fd, -1 if none, is taken over. */
NetBackend *net_dgram_new(NetBackends *nets, const char *id, bool old, const SocketSpec *local,
                          int local_fd, const SocketSpec *remote, GError **errp);

/** announce.c: who announces, and when. One for each set of back ends. */
NetAnnouncer *net_announcer_new(NetBackends *nets);
void net_announcer_free(NetAnnouncer *announcer);
/** As net_announce. */
void net_announcer_start(NetAnnouncer *announcer, const char *id, const NetAnnounceTimes *times,
                         const char *const *cards);
/** One round: the cards with these names, NULL for all. Main thread. */
void net_announce_once(NetBackends *nets, const char *const *cards);

/** The front end stays and reaches nothing any more. */
void net_backend_close(NetBackend *net);
/** Closes and frees a back end that is not in the set. */
void net_backend_free(void *net);
/** Lets the front end go. */
void net_backend_detach(NetBackend *net);
Machine *net_backends_machine(const NetBackends *nets);
/** Takes text. */
void net_set_info(NetBackend *net, char *text);

/** Inherited or named fd of an option value ("7" or a getfd name); -1 with errp. Made non-blocking. */
int net_fd_from_text(Machine *machine, const char *text, GError **errp);
/** Source for fd events on the main context; callback under the BQL. */
GSource *net_watch_fd(Machine *machine, int fd, GIOCondition cond,
                      gboolean (*fn)(gint fd, GIOCondition cond, gpointer opaque), void *opaque);
void net_unwatch(GSource **source);

#endif
