/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio devices behind a transport: queues, life, stream. A guest's ring
 * can hold anything: what makes no sense marks the device broken until the
 * guest resets it. Everything here runs under the BQL. Calls go one way:
 * transport (virtio-mmio.c) -> virtio.c -> the transport's table; devices ->
 * virtqueue.c -> virtio.c.
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include <sys/uio.h>
#include "hw/core/board.h"
#include "softmmu/put-off.h"
#include "util/rate-limit.h"

#define VIRTIO_QUEUES_MAX 64        /* any of our devices */
#define VIRTIO_QUEUES_WIRE 1024     /* entries of the per-queue arrays in the stream */
#define VIRTQUEUE_SIZE_MAX 1024
#define VIRTIO_CONFIG_MAX 64
#define VIRTIO_LEGACY_ALIGN 4096

enum { VIRTIO_ID_NET = 1, VIRTIO_ID_BLOCK = 2, VIRTIO_ID_CONSOLE = 3, VIRTIO_ID_RNG = 4, VIRTIO_ID_BALLOON = 5 };
enum {
    VIRTIO_STATUS_DRIVER_OK = 0x04, VIRTIO_STATUS_FEATURES_OK = 0x08,
    VIRTIO_STATUS_NEEDS_RESET = 0x40,
};

#define FEATURE(bit) (1ULL << (bit))
enum {
    VIRTIO_F_NOTIFY_ON_EMPTY = 24, VIRTIO_F_ANY_LAYOUT = 27, VIRTIO_RING_F_INDIRECT_DESC = 28,
    VIRTIO_RING_F_EVENT_IDX = 29, VIRTIO_F_VERSION_1 = 32,
};

typedef struct VirtIODevice VirtIODevice;
typedef struct VirtQueue VirtQueue;
typedef struct VirtIOTransport VirtIOTransport;

/** One request of the guest: what the device reads (out) and what it fills (in). */
typedef struct VirtQueueElement {
    uint32_t index;
    unsigned out_num, in_num;
    uint64_t out_bytes, in_bytes;
    struct iovec *out_sg, *in_sg;   /* into guest RAM; after a load only once virtqueue_element_here */
    uint64_t *in_addr, *out_addr;   /* their guest addresses: for the dirty log, and to be sent */
} VirtQueueElement;

struct VirtQueue {
    VirtIODevice *dev;
    unsigned n;
    void (*handle)(VirtIODevice *dev, VirtQueue *vq);   /* guest kicked, VM running */
    uint32_t default_num;       /* size before the driver chooses; what 7.2 calls num_default */
    uint32_t num, align;
    uint64_t desc, avail, used;
    uint16_t last_avail_idx, used_idx, signalled_used;
    bool signalled_used_valid;
    uint32_t inuse;             /* popped and not yet pushed */
    bool used_unknown;          /* after a load: used_idx and inuse are found when the ring is here */
    PutOff put_off;             /* memory that the queue needs has not come: kicked again when it has */
};

/** A kind of transport. All members are there. */
typedef struct VirtIOTransportOps {
    /** The interrupt line follows the device's isr. */
    void (*update_irq)(VirtIOTransport *transport);
    /** The machine's reset: the transport's registers have their first values. */
    void (*reset)(VirtIOTransport *transport);
    /** The device is about to be freed. */
    void (*unplug)(VirtIOTransport *transport);
    /** The registers that come first in a device's section (machine-virt 2.10). */
    void (*save)(const VirtIOTransport *transport, StreamWriter *w);
    bool (*load)(VirtIOTransport *transport, StreamReader *r, GError **errp);
    const VMStateDescription *extra_vmsd;   /* of the transport: subsection "extra_state" */
} VirtIOTransportOps;

/** First member of every transport. */
struct VirtIOTransport {
    const VirtIOTransportOps *ops;
    bool legacy;                /* the interface before virtio 1.0 */
};

/** A kind of device. NULL members are skipped. */
typedef struct VirtIODeviceOps {
    const char *name;           /* of the section: "virtio-blk" */
    const char *driver;         /* "virtio-blk-device" */
    uint16_t id;
    uint32_t config_bytes;
    uint64_t legacy_features;   /* offered by legacy slots only */
    const VMStateDescription *vmsd;
    void (*get_config)(VirtIODevice *dev, uint8_t *config);
    void (*set_config)(VirtIODevice *dev, const uint8_t *config);
    /** The copy that a QEMU source last showed its guest: zeros if it never looked. */
    void (*load_config)(VirtIODevice *dev, const uint8_t *config);
    void (*set_status)(VirtIODevice *dev, uint8_t status);
    void (*reset)(VirtIODevice *dev);
    /** VM stopped (finish everything in flight) or about to run. */
    void (*run_state)(VirtIODevice *dev, bool running);
    /** The device's own part of the stream (machine-virt 2.11). */
    bool (*save)(VirtIODevice *dev, StreamWriter *w, GError **errp);
    bool (*load)(VirtIODevice *dev, StreamReader *r, GError **errp);
    bool (*post_load)(VirtIODevice *dev, GError **errp);
    void (*free)(VirtIODevice *dev);
} VirtIODeviceOps;

/** First member of every device. */
struct VirtIODevice {
    const VirtIODeviceOps *ops;
    Machine *machine;
    VirtIOTransport *transport; /* NULL: not plugged */
    char *id;                   /* -device id= or NULL */
    BoardDevice *listed;        /* its entry there */
    uint64_t host_features, guest_features;
    uint8_t status, isr;
    uint16_t queue_sel;
    bool running;               /* VM runs */
    bool broken, started;
    uint32_t config_generation;
    RateLimit complaints;       /* a guest can be wrong, and reset, in a loop */
    unsigned queue_count;
    VirtQueue queues[VIRTIO_QUEUES_MAX];
};

/* ---- making one (virtio.c) ---- */

/**
 * Common part of a device: size bytes, ops, the feature bits it adds to the
 * transport's. opts: event_idx=, indirect_desc= and the like. NULL with errp.
 */
VirtIODevice *virtio_new(Board *board, size_t size, const VirtIODeviceOps *ops, Opts *opts,
                         uint64_t features, GError **errp);
/** Adds the next queue; default_num as QEMU 7.2 has it. */
VirtQueue *virtio_add_queue(VirtIODevice *dev, uint32_t default_num,
                            void (*handle)(VirtIODevice *dev, VirtQueue *vq));
/** Where a transport has put a device. */
typedef struct VirtIOPlace {
    VirtIOTransport *transport;
    const char *path;           /* "virtio-mmio@0000000010008000": what its section begins with */
    const char *bus;            /* "virtio-mmio-bus.7" */
    uint64_t base;
} VirtIOPlace;

/** The transport has a place for dev: features, reset, section, handlers, listing. */
void virtio_attach(Board *board, VirtIODevice *dev, const VirtIOPlace *place, const Opts *opts);
void virtio_free(VirtIODevice *dev);

void virtio_reset(VirtIODevice *dev);
void virtio_set_status(VirtIODevice *dev, uint8_t status);
/** Bits the host does not offer are dropped. */
void virtio_set_features(VirtIODevice *dev, uint64_t features);
void virtio_run_state(VirtIODevice *dev, bool running);
static inline bool virtio_has(const VirtIODevice *dev, unsigned feature)
{
    return dev->guest_features >> feature & 1;
}
/** Reads the whole config space; config_bytes bytes. */
void virtio_get_config(VirtIODevice *dev, uint8_t config[VIRTIO_CONFIG_MAX]);
/** Sets isr bits (1 ring, 2 config) and the line. */
void virtio_interrupt(VirtIODevice *dev, uint8_t bits);
/** The config changed: tells the guest. */
void virtio_config_changed(VirtIODevice *dev);
/**
 * Writes a message to stderr (so many a second) and stops the device until the guest resets it.
 */
void virtio_error(VirtIODevice *dev, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/** Completes legacy ring addresses from desc, num, align. */
void virtqueue_update_legacy(VirtQueue *vq);
/** True if the driver has set the queue up and the device is not broken. */
bool virtqueue_ready(const VirtQueue *vq);

/* ---- rings (virtqueue.c) ---- */

/*
 * While guest memory is still coming (softmmu/present-map.h) a queue whose ring or whose next request
 * is not all here looks empty: what is missing is asked for, and the queue's handle is called again,
 * on the main thread, when it has come. So whoever has popped a request has all of it, and the ring.
 */

/** True if the guest offered nothing. */
bool virtqueue_empty(VirtQueue *vq);
/** Next request, or NULL: none, or the ring is broken. Free with virtqueue_element_free or push. */
VirtQueueElement *virtqueue_pop(VirtQueue *vq);
/** How many bytes the guest offered to be filled, in requests that are here; counts up to max. */
uint64_t virtqueue_in_bytes(VirtQueue *vq, uint64_t max);
/** True if the driver has set the queue up and its ring is here. */
bool virtqueue_here(VirtQueue *vq);
/** Buffers of one way of an element that was popped elsewhere. */
typedef struct VirtQueueParts {
    unsigned num;
    const uint64_t *addr, *len;
} VirtQueueParts;

/**
 * An element that was popped elsewhere (a load): it counts as popped here. NULL with errp if a
 * buffer is not RAM. Its lists have lengths only, until virtqueue_element_here.
 */
VirtQueueElement *virtqueue_element_restore(VirtQueue *vq, uint32_t index,
                                            const VirtQueueParts *out, const VirtQueueParts *in,
                                            GError **errp);
/**
 * Before an element that was restored, or has been kept while the guest was stopped, is used: true
 * if all of its buffers and the ring are here. If not, the queue is kicked again when they are.
 */
bool virtqueue_element_here(VirtQueue *vq, VirtQueueElement *elem);
/** Takes back the last popped element, which nobody has any more. */
void virtqueue_rewind(VirtQueue *vq);
/** Takes back the last popped element as if it had not been popped, and frees it. */
void virtqueue_unpop(VirtQueue *vq, VirtQueueElement *elem);
/** Returns elem with len bytes written to its in part, frees it. Makes the data visible, not yet an interrupt. */
void virtqueue_push(VirtQueue *vq, VirtQueueElement *elem, uint32_t len);
/** Interrupt, unless the guest asked for none. */
void virtqueue_notify(VirtQueue *vq);
void virtqueue_element_free(VirtQueueElement *elem);
/**
 * After a load: finds used_idx and inuse, which are not sent, from the guest's ring, as soon as it is
 * here. What the guest may have written there since counts for nothing: then all but the restored
 * elements are back.
 */
void virtqueue_loaded(VirtQueue *vq);

/** Copies between a scatter list, from byte offset on, and buf; returns bytes copied (clipped). */
size_t iov_read(const struct iovec *iov, unsigned n, uint64_t offset, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned n, uint64_t offset, const void *buf, size_t len);

/* ---- stream (virtio-vmstate.c) ---- */

/** An element as QEMU sends it (virtio-element.c). Load: NULL with errp. */
void virtqueue_element_save(const VirtQueueElement *elem, StreamWriter *w);
VirtQueueElement *virtqueue_element_load(VirtQueue *vq, StreamReader *r, GError **errp);

/** The one field of every virtio section: VMSTATE_VIRTIO_FIELDS in its description. */
extern const VMStateField virtio_vmstate_fields[];
#define VIRTIO_VMSTATE(_var, _name, _version)                                             \
    const VMStateDescription _var = { .name = (_name), .version_id = (_version),   \
        .minimum_version_id = (_version), .fields = virtio_vmstate_fields }

#endif
