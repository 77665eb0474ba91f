/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network back ends of -netdev: tap, socket, stream, dgram, user (libslirp),
 * hubport. A back end has one front end (virtio-net) or a hub. Main thread, BQL.
 */
#ifndef HW_NET_BACKEND_H
#define HW_NET_BACKEND_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "qapi/qapi-types.h"
#include "util/opts.h"

struct Machine;
struct Board;
typedef struct NetBackends NetBackends;
typedef struct NetBackend NetBackend;

#define NET_PACKET_MAX 65550

/** The device in front. */
typedef struct NetFrontend {
    /** May a packet be delivered now? While false the back end holds input back. */
    bool (*can_receive)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *packet, size_t len);
    /** The back end's own link went up or down. */
    void (*link)(void *opaque, bool up);
} NetFrontend;

/** Opens all -netdev of the command line. NULL with errp. */
NetBackends *net_backends_new(struct Machine *machine, GError **errp);
void net_backends_free(NetBackends *nets);
NetBackends *board_nets(const struct Board *board);

/**
 * netdev_add and netdev_del. opts is read, not kept. A back end that is
 * removed is closed at once; its card, if it has one, stays without a link.
 */
bool netdev_add(NetBackends *nets, Opts *opts, GError **errp);
bool netdev_del(NetBackends *nets, const char *id, GError **errp);
/** Appends the list of "netdev_add help". */
void netdev_types_help(GString *out);

NetBackend *net_backend_find(NetBackends *nets, const char *id);
/** Back end i, NULL past the end. */
NetBackend *net_backends_get(NetBackends *nets, size_t i);
const char *net_backend_id(const NetBackend *net);
const char *net_backend_type(const NetBackend *net);
/** "info network" text after the type, e.g. "net=10.0.2.0,restrict=off". Lives as long as net. */
const char *net_backend_info(const NetBackend *net);
/** Error "Property 'virtio-net-device.netdev' can't take value 'x', it's in use" if it has a front end. */
bool net_backend_attach(NetBackend *net, const NetFrontend *fe, void *opaque, GError **errp);
/** Sends one packet; never blocks. What the host cannot take now is lost, as on a wire. */
void net_backend_send(NetBackend *net, const uint8_t *packet, size_t len);
/** After can_receive became true: offers input again. */
void net_backend_receive_ready(NetBackend *net);

/**
 * set_link: a net back end or a device by name ("Device 'x' not found").
 * A link that is down carries nothing; the guest sees it.
 */
bool net_set_link(NetBackends *nets, const char *name, bool up, GError **errp);
/** A network card, as monitors see it. */
typedef struct NetDeviceOps {
    const char *model;          /* "virtio-net-device" */
    void (*set_link)(void *opaque, bool up);
    /** What it is to receive, but for the name; monitors want to hear of the next change. */
    RxFilterInfo *(*query_rx_filter)(void *opaque);
    /** Tells the network where its address is now. */
    void (*announce)(void *opaque);
} NetDeviceOps;

/** What card i, in the order they were made, is plugged into, also if it was removed; NULL: nothing. */
NetBackend *net_device_backend(NetBackends *nets, size_t i);
/** The name of card i: its device's id or, without, its model and how many cards were before. */
const char *net_device_name(NetBackends *nets, size_t i);
/** A card registers itself here. id may be NULL. */
void net_register_device(NetBackends *nets, const char *id, NetBackend *net,
                         const NetDeviceOps *ops, void *opaque);
/** Of all cards, or of the one with this name. False with errp if there is none. */
bool net_query_rx_filters(NetBackends *nets, const char *name, RxFilterInfoList **list,
                          GError **errp);

/** When to announce: the first time at once. */
typedef struct NetAnnounceTimes {
    uint64_t rounds;            /* 0: not at all */
    uint64_t initial_ms;        /* between the first two */
    uint64_t step_ms;           /* by which each pause is longer than the one before */
    uint64_t max_ms;            /* no pause is longer */
} NetAnnounceTimes;

/**
 * Announces the cards with these names (NULL-terminated; NULL: all) from the
 * main loop, in rounds, while the guest runs; rounds that come due while it
 * is stopped wait. Takes the place of one that goes on under the same id
 * (NULL: ""). Any thread, BQL.
 */
void net_announce(NetBackends *nets, const char *id, const NetAnnounceTimes *times,
                  const char *const *cards);

#endif
