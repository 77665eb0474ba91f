/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split rings (virtio 1.x 2.7, and legacy). Devices pop and push requests.
 * Rings and buffers must be RAM: a ring that points elsewhere marks the
 * device broken; it can never reach a device register or the host.
 */
#include <inttypes.h>
#include <string.h>
#include "hw/virtio/virtio.h"
#include "util/error.h"
#include "softmmu/guest-ram.h"

#define DESC_BYTES 16
enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2, DESC_F_INDIRECT = 4 };
#define AVAIL_F_NO_INTERRUPT 1

typedef struct VRingDesc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} VRingDesc;

/* ---- guest memory: RAM only ---- */

/* Who calls it knows that the memory is here, if it is memory. */
static uint8_t *guest_ram(const VirtIODevice *dev, uint64_t addr, uint64_t len, bool write)
{
    AddressSpace *as = dev->machine->as;

    return address_space_is_ram(as, addr, len, write) ? address_space_map_ram(as, addr, &len, write)
                                                      : NULL;
}

/* Asks for what is missing; the first of it is noted, if nothing is yet. */
static bool need(const VirtQueue *vq, uint64_t addr, uint64_t len, MemMissing *first)
{
    MemMissing missing;

    if (address_space_need(vq->dev->machine->as, addr, len, PRESENT_USER_DEVICE, &missing)) {
        return true;
    }
    if (!first->block) {
        *first = missing;
    }
    return false;
}

/* The ring's fields: one access each, unless the guest laid them out askew. */
static uint16_t load_le16(const uint8_t *host)
{
    uint16_t raw;

    if ((uintptr_t)host % 2 == 0) {
        return GUINT16_FROM_LE(guest_ram_load((const uint16_t *)host));
    }
    guest_ram_copy_from(&raw, host, 2);
    return GUINT16_FROM_LE(raw);
}

static void store_raw(uint8_t *host, const void *bytes, size_t len)
{
    uint16_t raw;

    if (len == 2 && (uintptr_t)host % 2 == 0) {
        memcpy(&raw, bytes, 2);
        guest_ram_store((uint16_t *)host, raw);
    } else {
        guest_ram_copy_to(host, bytes, len);
    }
}

static bool ring_load16(VirtQueue *vq, uint64_t addr, uint16_t *value)
{
    const uint8_t *host = guest_ram(vq->dev, addr, 2, false);
    if (!host) {
        virtio_error(vq->dev, "queue %u: ring address 0x%" PRIx64 " is not RAM", vq->n, addr);
        return false;
    }
    *value = load_le16(host);
    return true;
}

static bool ring_store(VirtQueue *vq, uint64_t addr, const void *bytes, size_t len)
{
    uint8_t *host = guest_ram(vq->dev, addr, len, true);

    if (!host) {
        virtio_error(vq->dev, "queue %u: ring address 0x%" PRIx64 " is not writable RAM", vq->n,
                     addr);
        return false;
    }
    store_raw(host, bytes, len);
    address_space_mark_dirty(vq->dev->machine->as, addr, len);
    return true;
}

static bool ring_store16(VirtQueue *vq, uint64_t addr, uint16_t value)
{
    uint16_t raw = GUINT16_TO_LE(value);

    return ring_store(vq, addr, &raw, 2);
}

/* ---- memory that has not come ---- */

static void find_used_idx(VirtQueue *vq);

/* True if all of the queue's ring is here; if not, the queue is put off. */
static bool ring_here(VirtQueue *vq)
{
    MemMissing first = { 0 };

    if (G_UNLIKELY(present_map_active(vq->dev->machine->present))) {
        need(vq, vq->desc, (uint64_t)vq->num * DESC_BYTES, &first);
        need(vq, vq->avail, 6 + 2ULL * vq->num, &first);
        need(vq, vq->used, 6 + 8ULL * vq->num, &first);
    }
    if (first.block) {
        put_off_until(&vq->put_off, &first);
        return false;
    }
    if (vq->used_unknown) {
        find_used_idx(vq);
    }
    return true;
}

bool virtqueue_here(VirtQueue *vq)
{
    return virtqueue_ready(vq) && ring_here(vq);
}

void virtqueue_loaded(VirtQueue *vq)
{
    vq->used_idx = vq->last_avail_idx - vq->inuse;
    vq->used_unknown = vq->used != 0;
    if (vq->used_unknown && !present_map_active(vq->dev->machine->present)) {
        find_used_idx(vq);
    }
}

static void find_used_idx(VirtQueue *vq)
{
    const uint8_t *host = guest_ram(vq->dev, vq->used + 2, 2, false);
    uint32_t restored = vq->inuse, taken;

    vq->used_unknown = false;
    if (!host) {
        return; /* not in RAM: the next look at it says so */
    }
    taken = (uint16_t)(vq->last_avail_idx - load_le16(host));
    if (taken >= restored && taken <= vq->num) {
        vq->used_idx = load_le16(host);
        vq->inuse = taken;
    }
}

/* Requests waiting, or -1 after an error. */
static int virtqueue_heads(VirtQueue *vq)
{
    uint16_t avail, heads;

    if (!ring_load16(vq, vq->avail + 2, &avail)) {
        return -1;
    }
    heads = avail - vq->last_avail_idx;
    if (heads > vq->num) {
        virtio_error(vq->dev, "Guest moved used index from %u to %u", vq->last_avail_idx, avail);
        return -1;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the entries are read after the index */
    return heads;
}

bool virtqueue_empty(VirtQueue *vq)
{
    return !virtqueue_here(vq) || virtqueue_heads(vq) <= 0;
}

/* ---- pop ---- */

typedef struct ChainParse {
    VirtQueue *vq;
    unsigned out_num, in_num;
    uint64_t out_bytes, in_bytes;
    struct iovec sg[VIRTQUEUE_SIZE_MAX];    /* out, then in */
    uint64_t addr[VIRTQUEUE_SIZE_MAX];
    MemMissing missing;     /* block NULL: all of it is here */
} ChainParse;

static bool chain_add(ChainParse *p, const VRingDesc *desc)
{
    VirtIODevice *dev = p->vq->dev;
    bool write = desc->flags & DESC_F_WRITE;
    unsigned n = p->out_num + p->in_num;
    uint8_t *host;

    if (!write && p->in_num) {
        virtio_error(dev, "Incorrect order for descriptors");
        return false;
    }
    if (n == VIRTQUEUE_SIZE_MAX) {
        virtio_error(dev, "too many write descriptors in queue %u", p->vq->n);
        return false;
    }
    if (desc->len == 0) {
        virtio_error(dev, "virtio: zero sized buffers are not allowed");
        return false;
    }
    if (!address_space_is_ram(dev->machine->as, desc->addr, desc->len, write)) {
        virtio_error(dev, "virtio: bogus descriptor or out of resources (0x%" PRIx64 "+0x%x)",
                     desc->addr, desc->len);
        return false;
    }
    host = need(p->vq, desc->addr, desc->len, &p->missing)
               ? guest_ram(dev, desc->addr, desc->len, write) : NULL;
    p->sg[n] = (struct iovec){ host, desc->len };
    p->addr[n] = desc->addr;
    if (write) {
        p->in_num++;
        p->in_bytes += desc->len;
    } else {
        p->out_num++;
        p->out_bytes += desc->len;
    }
    return true;
}

static bool desc_read(VirtQueue *vq, uint64_t table, uint32_t i, VRingDesc *desc)
{
    const uint8_t *host = guest_ram(vq->dev, table + (uint64_t)i * DESC_BYTES, DESC_BYTES, false);

    if (!host) {
        virtio_error(vq->dev, "queue %u: descriptor table 0x%" PRIx64 " is not RAM", vq->n, table);
        return false;
    }
    guest_ram_copy_from(desc, host, DESC_BYTES);
    desc->addr = GUINT64_FROM_LE(desc->addr);
    desc->len = GUINT32_FROM_LE(desc->len);
    desc->flags = GUINT16_FROM_LE(desc->flags);
    desc->next = GUINT16_FROM_LE(desc->next);
    return true;
}

/* If the head is an indirect descriptor, moves on to its table. */
static bool chain_indirect(ChainParse *p, VRingDesc *desc, uint64_t *table, uint32_t *max)
{
    VirtQueue *vq = p->vq;

    if (!(desc->flags & DESC_F_INDIRECT)) {
        return true;
    }
    if (desc->len == 0 || desc->len % DESC_BYTES) {
        virtio_error(vq->dev, "Invalid size for indirect buffer table");
        return false;
    }
    *table = desc->addr;
    *max = desc->len / DESC_BYTES;
    if (!need(vq, *table, desc->len, &p->missing)) {
        return false;
    }
    return desc_read(vq, *table, 0, desc);
}

/* False: the device is broken, or p->missing says why it could not be read. */
static bool chain_parse(ChainParse *p, uint16_t head)
{
    VirtQueue *vq = p->vq;
    uint64_t table = vq->desc;
    uint32_t max = vq->num, seen = 0;
    VRingDesc desc;

    if (!desc_read(vq, table, head, &desc) || !chain_indirect(p, &desc, &table, &max)) {
        return false;
    }
    for (;;) {
        if (desc.flags & DESC_F_INDIRECT) {
            virtio_error(vq->dev, "nested indirect descriptor in queue %u", vq->n);
            return false;
        }
        if (!chain_add(p, &desc)) {
            return false;
        }
        if (!(desc.flags & DESC_F_NEXT)) {
            return true;
        }
        if (++seen >= max) {
            virtio_error(vq->dev, "Looped descriptor");
            return false;
        }
        if (desc.next >= max) {
            virtio_error(vq->dev, "Desc next is %u", desc.next);
            return false;
        }
        if (!desc_read(vq, table, desc.next, &desc)) {
            return false;
        }
    }
}

static VirtQueueElement *element_from_chain(const ChainParse *p, uint16_t head)
{
    unsigned n = p->out_num + p->in_num;
    VirtQueueElement *elem = g_new0(VirtQueueElement, 1);

    elem->index = head;
    elem->out_num = p->out_num;
    elem->in_num = p->in_num;
    elem->out_bytes = p->out_bytes;
    elem->in_bytes = p->in_bytes;
    elem->out_sg = g_memdup2(p->sg, n * sizeof(*p->sg));
    elem->in_sg = elem->out_sg + p->out_num;
    elem->in_addr = g_memdup2(p->addr + p->out_num, p->in_num * sizeof(*p->addr));
    elem->out_addr = g_memdup2(p->addr, p->out_num * sizeof(*p->addr));
    return elem;
}

static bool restore_parts(VirtQueue *vq, const VirtQueueParts *parts, bool write,
                          struct iovec *sg, uint64_t *bytes, GError **errp)
{
    for (unsigned i = 0; i < parts->num; i++) {
        if (!address_space_is_ram(vq->dev->machine->as, parts->addr[i], parts->len[i], write)) {
            error_setg(errp, "VQ %u: buffer 0x%" PRIx64 "+0x%" PRIx64 " is not RAM", vq->n,
                       parts->addr[i], parts->len[i]);
            return false;
        }
        sg[i] = (struct iovec){ NULL, parts->len[i] };
        *bytes += parts->len[i];
    }
    return true;
}

VirtQueueElement *virtqueue_element_restore(VirtQueue *vq, uint32_t index,
                                            const VirtQueueParts *out, const VirtQueueParts *in,
                                            GError **errp)
{
    VirtQueueElement *elem = g_new0(VirtQueueElement, 1);

    elem->index = index;
    elem->out_num = out->num;
    elem->in_num = in->num;
    elem->out_sg = g_new0(struct iovec, out->num + in->num);
    elem->in_sg = elem->out_sg + out->num;
    elem->out_addr = g_memdup2(out->addr, out->num * sizeof(*out->addr));
    elem->in_addr = g_memdup2(in->addr, in->num * sizeof(*in->addr));
    if (!restore_parts(vq, out, false, elem->out_sg, &elem->out_bytes, errp) ||
        !restore_parts(vq, in, true, elem->in_sg, &elem->in_bytes, errp)) {
        virtqueue_element_free(elem);
        return NULL;
    }
    vq->inuse++;
    return elem;
}

static void need_parts(VirtQueue *vq, const struct iovec *sg, const uint64_t *addr, unsigned n,
                       MemMissing *first)
{
    for (unsigned i = 0; i < n; i++) {
        need(vq, addr[i], sg[i].iov_len, first);
    }
}

static void map_parts(VirtQueue *vq, struct iovec *sg, const uint64_t *addr, unsigned n, bool write)
{
    for (unsigned i = 0; i < n; i++) {
        sg[i].iov_base = guest_ram(vq->dev, addr[i], sg[i].iov_len, write);
    }
}

bool virtqueue_element_here(VirtQueue *vq, VirtQueueElement *elem)
{
    MemMissing first = { 0 };

    if (virtqueue_ready(vq) && !ring_here(vq)) {
        return false;
    }
    need_parts(vq, elem->out_sg, elem->out_addr, elem->out_num, &first);
    need_parts(vq, elem->in_sg, elem->in_addr, elem->in_num, &first);
    if (first.block) {
        put_off_until(&vq->put_off, &first);
        return false;
    }
    map_parts(vq, elem->out_sg, elem->out_addr, elem->out_num, false);
    map_parts(vq, elem->in_sg, elem->in_addr, elem->in_num, true);
    return true;
}

void virtqueue_element_free(VirtQueueElement *elem)
{
    g_free(elem->out_sg);
    g_free(elem->in_addr);
    g_free(elem->out_addr);
    g_free(elem);
}

static bool virtqueue_event_idx(const VirtQueue *vq)
{
    return virtio_has(vq->dev, VIRTIO_RING_F_EVENT_IDX);
}

/* The chain that entry at of the ring offers. False: broken, or put off. */
static bool chain_read(ChainParse *chain, VirtQueue *vq, uint16_t at, uint16_t *head)
{
    if (!ring_load16(vq, vq->avail + 4 + 2ULL * (at % vq->num), head)) {
        return false;
    }
    if (*head >= vq->num) {
        virtio_error(vq->dev, "Guest says index %u is available", *head);
        return false;
    }
    chain->vq = vq;
    chain->out_num = chain->in_num = 0;
    chain->out_bytes = chain->in_bytes = 0;
    chain->missing.block = NULL;
    bool parsed = chain_parse(chain, *head);
    if (chain->missing.block) {
        put_off_until(&vq->put_off, &chain->missing);
        return false;
    }
    return parsed;
}

uint64_t virtqueue_in_bytes(VirtQueue *vq, uint64_t max)
{
    ChainParse chain;
    uint64_t bytes = 0;
    uint16_t head;

    if (virtqueue_empty(vq)) {
        return 0;
    }
    for (int i = 0, n = virtqueue_heads(vq); i < n && bytes < max; i++) {
        if (!chain_read(&chain, vq, vq->last_avail_idx + i, &head)) {
            break;
        }
        bytes += chain.in_bytes;
    }
    return MIN(bytes, max);
}

VirtQueueElement *virtqueue_pop(VirtQueue *vq)
{
    ChainParse chain; /* 24 KiB; its arrays are filled as far as counted */
    uint16_t head;

    if (virtqueue_empty(vq)) {
        return NULL;
    }
    if (vq->inuse >= vq->num) {
        virtio_error(vq->dev, "Virtqueue size exceeded");
        return NULL;
    }
    if (!chain_read(&chain, vq, vq->last_avail_idx, &head)) {
        return NULL;
    }
    vq->last_avail_idx++;
    vq->inuse++;
    if (virtqueue_event_idx(vq) &&
        !ring_store16(vq, vq->used + 4 + 8ULL * vq->num, vq->last_avail_idx)) {
        return NULL;
    }
    return element_from_chain(&chain, head);
}

void virtqueue_rewind(VirtQueue *vq)
{
    vq->last_avail_idx--;
    vq->inuse--;
}

void virtqueue_unpop(VirtQueue *vq, VirtQueueElement *elem)
{
    virtqueue_rewind(vq);
    virtqueue_element_free(elem);
}

/* ---- push ---- */

static void element_mark_dirty(VirtQueue *vq, const VirtQueueElement *elem, uint64_t len)
{
    for (unsigned i = 0; i < elem->in_num && len; i++) {
        uint64_t part = MIN(len, elem->in_sg[i].iov_len);

        address_space_mark_dirty(vq->dev->machine->as, elem->in_addr[i], part);
        len -= part;
    }
}

void virtqueue_push(VirtQueue *vq, VirtQueueElement *elem, uint32_t len)
{
    uint32_t entry[2] = { GUINT32_TO_LE(elem->index), GUINT32_TO_LE(len) };

    /* A device may have written more than it reports (a failed read): all of it is logged. */
    element_mark_dirty(vq, elem, elem->in_bytes);
    virtqueue_element_free(elem);
    vq->inuse--;
    /* a ring that is not here is not the one it was popped from: the guest's own fault */
    if (!virtqueue_here(vq) ||
        !ring_store(vq, vq->used + 4 + 8ULL * (vq->used_idx % vq->num), entry, sizeof(entry))) {
        return;
    }
    __atomic_thread_fence(__ATOMIC_RELEASE); /* the entry is there before the index says so */
    vq->used_idx++;
    if ((uint16_t)(vq->used_idx - vq->signalled_used) > vq->num) {
        vq->signalled_used_valid = false; /* went round without an interrupt */
    }
    ring_store16(vq, vq->used + 2, vq->used_idx);
}

static bool virtqueue_should_notify(VirtQueue *vq)
{
    uint16_t old = vq->signalled_used, event, flags;
    bool valid = vq->signalled_used_valid;

    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* used->idx is visible before used_event is read */
    if (virtio_has(vq->dev, VIRTIO_F_NOTIFY_ON_EMPTY) && !vq->inuse && virtqueue_empty(vq)) {
        return true;
    }
    if (!virtqueue_event_idx(vq)) {
        return ring_load16(vq, vq->avail, &flags) && !(flags & AVAIL_F_NO_INTERRUPT);
    }
    if (!ring_load16(vq, vq->avail + 4 + 2ULL * vq->num, &event)) {
        return false;
    }
    vq->signalled_used = vq->used_idx;
    vq->signalled_used_valid = true;
    return !valid || (uint16_t)(vq->used_idx - event - 1) < (uint16_t)(vq->used_idx - old);
}

void virtqueue_notify(VirtQueue *vq)
{
    if (virtqueue_here(vq) && virtqueue_should_notify(vq)) {
        virtio_interrupt(vq->dev, 1);
    }
}

/* ---- scatter lists ---- */

/* How far a walk over a scatter list has come. */
typedef struct IovWalk {
    const struct iovec *iov;
    unsigned left;
    uint64_t skip;      /* bytes of the list before the next part */
} IovWalk;

/* The next contiguous part of at most want bytes; 0 at the end of the list. */
static size_t iov_next(IovWalk *walk, size_t want, uint8_t **at)
{
    for (; walk->left; walk->iov++, walk->left--) {
        if (walk->skip < walk->iov->iov_len) {
            size_t part = MIN(want, walk->iov->iov_len - walk->skip);

            *at = (uint8_t *)walk->iov->iov_base + walk->skip;
            walk->skip += part;
            return part;
        }
        walk->skip -= walk->iov->iov_len;
    }
    return 0;
}

size_t iov_read(const struct iovec *iov, unsigned n, uint64_t offset, void *buf, size_t len)
{
    IovWalk walk = { iov, n, offset };
    size_t done = 0, part;
    uint8_t *at;

    while (done < len && (part = iov_next(&walk, len - done, &at)) > 0) {
        guest_ram_copy_from((uint8_t *)buf + done, at, part);
        done += part;
    }
    return done;
}

size_t iov_write(const struct iovec *iov, unsigned n, uint64_t offset, const void *buf, size_t len)
{
    IovWalk walk = { iov, n, offset };
    size_t done = 0, part;
    uint8_t *at;

    while (done < len && (part = iov_next(&walk, len - done, &at)) > 0) {
        guest_ram_copy_to(at, (const uint8_t *)buf + done, part);
        done += part;
    }
    return done;
}
