/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-balloon (device 5): the guest gives pages back, which become holes
 * in the RAM block. Its statistics: the guest fills a buffer and hands it
 * over, the device keeps it until the next figures are wanted (qom-set
 * guest-stats-polling-interval), and gives it back to ask for them.
 */
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include "hw/balloon.h"
#include "hw/core/device.h"
#include "hw/virtio/virtio-mmio.h"
#include "qapi/qapi-events.h"

#define CONFIG_BYTES 16
#define PFNS_MAX 65536          /* of one buffer; Linux sends 256 */
#define PFN_CHUNK 256
enum { BALLOON_F_STATS_VQ = 1, BALLOON_F_DEFLATE_ON_OOM = 2, BALLOON_F_PAGE_POISON = 4 };

#define QUEUE_STATS 2
#define STATS_MAX 64            /* entries of one buffer */
#define STAT_UNKNOWN UINT64_MAX
#define CHANGES_EVERY_MS 1000   /* BALLOON_CHANGE; a guest writes thousands of times */

/* By the guest's tag; those from the eleventh on are known since QEMU 10.0. */
static const char *const stat_names[] = {
    "stat-swap-in", "stat-swap-out", "stat-major-faults", "stat-minor-faults", "stat-free-memory",
    "stat-total-memory", "stat-available-memory", "stat-disk-caches", "stat-htlb-pgalloc",
    "stat-htlb-pgfail", "stat-oom-kills", "stat-alloc-stalls", "stat-async-scans",
    "stat-direct-scans", "stat-async-reclaims", "stat-direct-reclaims",
};
#define STATS G_N_ELEMENTS(stat_names)
#define STATS_7_2 10

typedef struct VirtIOBalloon {
    VirtIODevice dev;
    uint32_t num_pages;         /* what we ask the guest to give */
    uint32_t actual;            /* what it says it gave */
    uint32_t poison;            /* what it fills free pages with; only carried along */
    uint64_t stats[STATS];
    int64_t stats_updated_s;    /* wall clock; 0: never */
    int64_t stats_interval_s;   /* 0: nobody wants them */
    VirtQueueElement *stats_elem;   /* the guest's buffer, kept */
    GSource *stats_timer;
    GSource *change_timer;      /* running: a BALLOON_CHANGE was sent less than a second ago */
    bool change_wanted;
} VirtIOBalloon;

/* ---- timers on the main loop ---- */

static void timer_stop(GSource **timer)
{
    if (*timer) {
        g_source_destroy(*timer);
        g_source_unref(*timer);
        *timer = NULL;
    }
}

static void timer_start(VirtIOBalloon *b, GSource **timer, int64_t ms, GSourceFunc fn)
{
    timer_stop(timer);
    *timer = g_timeout_source_new(MIN(ms, INT32_MAX));
    g_source_set_callback(*timer, fn, b, NULL);
    g_source_attach(*timer, main_loop_context(b->dev.machine->loop));
}

/* ---- statistics ---- */

static void stats_arm(VirtIOBalloon *b);

/* Asks for new figures by giving the buffer back. */
static gboolean stats_due(gpointer opaque)
{
    VirtIOBalloon *b = opaque;
    VirtQueue *vq = &b->dev.queues[QUEUE_STATS];

    timer_stop(&b->stats_timer);
    if (b->dev.running && b->stats_elem) {
        virtqueue_push(vq, g_steal_pointer(&b->stats_elem), 0);
        virtqueue_notify(vq);
    } else {
        stats_arm(b); /* the guest's driver is not there yet */
    }
    return G_SOURCE_REMOVE;
}

static void stats_arm(VirtIOBalloon *b)
{
    if (b->stats_interval_s && b->dev.running) {
        timer_start(b, &b->stats_timer, b->stats_interval_s * 1000, stats_due);
    }
}

static void stats_forget(VirtIOBalloon *b)
{
    for (unsigned i = 0; i < STATS; i++) {
        b->stats[i] = STAT_UNKNOWN;
    }
}

/* {u16 tag, u64 value}, as many as there are; unknown ones are skipped. */
static void stats_read(VirtIOBalloon *b, const VirtQueueElement *elem)
{
    struct __attribute__((packed)) { uint16_t tag; uint64_t value; } stat;

    stats_forget(b);
    for (unsigned i = 0; i < STATS_MAX && iov_read(elem->out_sg, elem->out_num, i * sizeof(stat),
                                                   &stat, sizeof(stat)) == sizeof(stat); i++) {
        uint16_t tag = GUINT16_FROM_LE(stat.tag);

        if (tag < STATS) {
            b->stats[tag] = GUINT64_FROM_LE(stat.value);
        }
    }
    b->stats_updated_s = g_get_real_time() / G_USEC_PER_SEC;
}

/*
 * A buffer that is kept stays popped in the stream, as a QEMU source leaves it; the destination
 * (QEMU too) goes back one step and takes it again, as soon as it can see the ring.
 */
static void stats_take_again(VirtIOBalloon *b)
{
    VirtQueue *vq = &b->dev.queues[QUEUE_STATS];

    if (!b->stats_elem && virtqueue_here(vq) && vq->inuse) {
        virtqueue_rewind(vq);
    }
}

static void balloon_handle_stats(VirtIODevice *dev, VirtQueue *vq)
{
    VirtIOBalloon *b = (VirtIOBalloon *)dev;
    VirtQueueElement *elem;

    stats_take_again(b);
    while ((elem = virtqueue_pop(vq)) != NULL) {
        if (b->stats_elem) { /* more than one: a driver has no reason to, and gets it back */
            virtqueue_push(vq, b->stats_elem, 0);
            virtqueue_notify(vq);
        }
        b->stats_elem = elem;
        stats_read(b, elem);
        stats_arm(b);
    }
}

static struct json_object *stats_get(void *opaque)
{
    const VirtIOBalloon *b = opaque;
    struct json_object *all = json_object_new_object(), *stats = json_object_new_object();
    bool old = vmstate_dialect(b->dev.machine->vmstate) == DIALECT_QEMU_7_2;

    for (unsigned i = 0; i < (old ? STATS_7_2 : STATS); i++) {
        json_object_object_add(stats, stat_names[i], json_object_new_uint64(b->stats[i]));
    }
    json_object_object_add(all, "stats", stats);
    json_object_object_add(all, "last-update", json_object_new_int64(b->stats_updated_s));
    return all;
}

static struct json_object *interval_get(void *opaque)
{
    return json_object_new_int64(((VirtIOBalloon *)opaque)->stats_interval_s);
}

static bool interval_set(void *opaque, struct json_object *value, GError **errp)
{
    VirtIOBalloon *b = opaque;
    int64_t seconds;

    if (!json_object_is_type(value, json_type_int)) {
        error_setg(errp, "Invalid parameter type for 'guest-stats-polling-interval', expected: "
                   "integer");
        return false;
    }
    seconds = json_object_get_int64(value);
    if (seconds < 0 || seconds > UINT32_MAX) {
        error_setg(errp, seconds < 0 ? "timer value must be greater than zero"
                                     : "timer value is too big");
        return false;
    }
    b->stats_interval_s = seconds;
    timer_stop(&b->stats_timer);
    stats_arm(b);
    return true;
}

static const BoardProperty balloon_properties[] = {
    { "guest-stats", "guest statistics", stats_get, NULL },
    { "guest-stats-polling-interval", "int", interval_get, interval_set },
    { NULL, NULL, NULL, NULL },
};

/* ---- BALLOON_CHANGE ---- */

static void change_send(VirtIOBalloon *b);

static gboolean change_due(gpointer opaque)
{
    VirtIOBalloon *b = opaque;

    timer_stop(&b->change_timer);
    if (b->change_wanted) {
        change_send(b);
    }
    return G_SOURCE_REMOVE;
}

/* At once, but then not for a second; the last value is always told. */
static void change_send(VirtIOBalloon *b)
{
    uint64_t ram = b->dev.machine->config->ram_bytes;

    b->change_wanted = b->change_timer != NULL;
    if (b->change_wanted) {
        return;
    }
    qapi_event_send_balloon_change(b->dev.machine->monitors,
                                   ram - MIN((uint64_t)b->actual << TARGET_PAGE_BITS, ram));
    timer_start(b, &b->change_timer, CHANGES_EVERY_MS, change_due);
}

/* ---- pages ---- */

/* The content is gone; the dirty log has to know, or the old one would stay at a destination. */
static void balloon_discard(VirtIODevice *dev, uint64_t addr)
{
    const MemoryRegion *region = address_space_lookup(dev->machine->as, addr);
    uint64_t offset;

    if (!region || !region->block || region->readonly || region->block->readonly ||
        region->block->page_size != TARGET_PAGE_SIZE) {
        return;
    }
    offset = addr - region->base;
    address_space_give_page_up(dev->machine->as, addr);
    address_space_before_write(dev->machine->as, addr, TARGET_PAGE_SIZE);
    if (fallocate(region->block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                  TARGET_PAGE_SIZE) == 0) {
        address_space_mark_dirty(dev->machine->as, addr, TARGET_PAGE_SIZE);
    }
}

static void balloon_inflate_element(VirtIODevice *dev, const VirtQueueElement *elem)
{
    uint32_t pfns[PFN_CHUNK];
    uint64_t at = 0;

    while (at < 4ULL * PFNS_MAX) {
        size_t n = iov_read(elem->out_sg, elem->out_num, at, pfns, sizeof(pfns)) / 4;

        if (n == 0) {
            break;
        }
        for (size_t i = 0; i < n; i++) {
            balloon_discard(dev, (uint64_t)GUINT32_FROM_LE(pfns[i]) << TARGET_PAGE_BITS);
        }
        at += 4 * n;
    }
}

static void balloon_handle(VirtIODevice *dev, VirtQueue *vq)
{
    VirtQueueElement *elem;
    bool done = false;

    while ((elem = virtqueue_pop(vq)) != NULL) {
        if (vq->n == 0) { /* the second queue takes pages back: they fill by themselves */
            balloon_inflate_element(dev, elem);
        }
        virtqueue_push(vq, elem, 0);
        done = true;
    }
    if (done) {
        virtqueue_notify(vq);
    }
}

static void balloon_get_config(VirtIODevice *dev, uint8_t *config)
{
    const VirtIOBalloon *b = (VirtIOBalloon *)dev;
    uint32_t words[2] = { GUINT32_TO_LE(b->num_pages), GUINT32_TO_LE(b->actual) };

    uint32_t poison = GUINT32_TO_LE(b->poison);

    memcpy(config, words, sizeof(words));
    memcpy(config + 12, &poison, 4);
}

static void balloon_set_config(VirtIODevice *dev, const uint8_t *config)
{
    VirtIOBalloon *b = (VirtIOBalloon *)dev;
    uint32_t actual, poison, before = b->actual;

    memcpy(&actual, config + 4, 4);
    memcpy(&poison, config + 12, 4);
    b->poison = virtio_has(dev, BALLOON_F_PAGE_POISON) ? GUINT32_FROM_LE(poison) : 0;
    b->actual = GUINT32_FROM_LE(actual);
    if (b->actual != before) {
        change_send(b);
    }
}

static void balloon_reset(VirtIODevice *dev)
{
    VirtIOBalloon *b = (VirtIOBalloon *)dev;

    b->actual = b->poison = 0;
    g_clear_pointer(&b->stats_elem, virtqueue_element_free);
}

static void balloon_run_state(VirtIODevice *dev, bool running)
{
    VirtIOBalloon *b = (VirtIOBalloon *)dev;

    timer_stop(&b->stats_timer);
    if (running) {
        stats_take_again(b);
    }
    stats_arm(b);
}

static void balloon_free(VirtIODevice *dev)
{
    VirtIOBalloon *b = (VirtIOBalloon *)dev;

    timer_stop(&b->stats_timer);
    timer_stop(&b->change_timer);
    g_clear_pointer(&b->stats_elem, virtqueue_element_free);
}

static bool poison_needed(void *opaque)
{
    return virtio_has(&((VirtIOBalloon *)opaque)->dev, BALLOON_F_PAGE_POISON);
}

static const VMStateField poison_fields[] = {
    VMSTATE_UINT32(poison, VirtIOBalloon), VMSTATE_END_OF_LIST(),
};

static const VMStateDescription poison_vmstate = {
    .name = "virtio-balloon-device/page-poison", .version_id = 1, .minimum_version_id = 1,
    .fields = poison_fields, .needed = poison_needed,
};

static const VMStateDescription *const balloon_subsections[] = { &poison_vmstate, NULL };

static const VMStateField balloon_fields[] = {
    VMSTATE_UINT32(num_pages, VirtIOBalloon), VMSTATE_UINT32(actual, VirtIOBalloon),
    VMSTATE_END_OF_LIST(),
};

/* The device's own part, with a subsection of its own before those of "virtio". */
static const VMStateDescription balloon_own_vmstate = {
    .name = "virtio-balloon-device", .version_id = 1, .minimum_version_id = 1,
    .fields = balloon_fields, .subsections = balloon_subsections,
};

static bool balloon_save(VirtIODevice *dev, StreamWriter *w, GError **errp)
{
    return vmstate_save_body(w, &balloon_own_vmstate, dev, NULL, errp);
}

static bool balloon_load(VirtIODevice *dev, StreamReader *r, GError **errp)
{
    return vmstate_load_body(r, &balloon_own_vmstate, dev, 1, errp);
}

VIRTIO_VMSTATE(virtio_balloon_vmstate, "virtio-balloon", 1);

static const VirtIODeviceOps balloon_ops = {
    .name = "virtio-balloon",
    .driver = "virtio-balloon-device",
    .id = VIRTIO_ID_BALLOON,
    .config_bytes = CONFIG_BYTES,
    .vmsd = &virtio_balloon_vmstate,
    .get_config = balloon_get_config,
    .set_config = balloon_set_config,
    .reset = balloon_reset,
    .run_state = balloon_run_state,
    .free = balloon_free,
    .save = balloon_save,
    .load = balloon_load,
};

bool virtio_balloon_create(Board *board, Opts *opts, GError **errp)
{
    uint64_t features = FEATURE(BALLOON_F_STATS_VQ);
    bool deflate_on_oom = false, page_poison = true;
    VirtIODevice *dev;

    if (board->balloon) {
        error_setg(errp, "Only one balloon device is supported");
        return false;
    }
    if (!opts_get_bool(opts, "deflate-on-oom", &deflate_on_oom, errp) ||
        !opts_get_bool(opts, "page-poison", &page_poison, errp)) {
        return false;
    }
    features |= deflate_on_oom ? FEATURE(BALLOON_F_DEFLATE_ON_OOM) : 0;
    features |= page_poison ? FEATURE(BALLOON_F_PAGE_POISON) : 0;
    dev = virtio_new(board, sizeof(VirtIOBalloon), &balloon_ops, opts, features, errp);
    if (!dev) {
        return false;
    }
    virtio_add_queue(dev, 128, balloon_handle);
    virtio_add_queue(dev, 128, balloon_handle);
    virtio_add_queue(dev, 128, balloon_handle_stats);
    stats_forget((VirtIOBalloon *)dev);
    if (!virtio_plug(board, dev, opts, errp)) {
        virtio_free(dev);
        return false;
    }
    board->balloon = (VirtIOBalloon *)dev;
    dev->listed->properties = balloon_properties;
    dev->listed->opaque = dev;
    return true;
}

/* ---- monitors ---- */

static VirtIOBalloon *balloon_find(Board *board, GError **errp)
{
    if (!board || !board->balloon) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_ACTIVE,
                        "No balloon device has been activated");
        return NULL;
    }
    return board->balloon;
}

bool board_balloon_get(Board *board, uint64_t *actual_bytes, GError **errp)
{
    const VirtIOBalloon *b = balloon_find(board, errp);
    uint64_t ram, given;

    if (!b) {
        return false;
    }
    ram = board->machine->config->ram_bytes;
    given = (uint64_t)b->actual << TARGET_PAGE_BITS;
    *actual_bytes = ram - MIN(given, ram);
    return true;
}

bool board_balloon_set(Board *board, uint64_t target_bytes, GError **errp)
{
    VirtIOBalloon *b = balloon_find(board, errp);
    uint64_t ram;

    if (!b) {
        return false;
    }
    if (target_bytes == 0) {
        error_setg(errp, "Parameter 'target' expects a size");
        return false;
    }
    ram = board->machine->config->ram_bytes;
    b->num_pages = (ram - MIN(target_bytes, ram)) >> TARGET_PAGE_BITS;
    virtio_config_changed(&b->dev);
    return true;
}
