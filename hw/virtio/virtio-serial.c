/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-serial (device 3): the bus side: queues, control messages, config,
 * stream (machine-virt 2.11). Ports are in virtio-console.c.
 */
#include <string.h>
#include "hw/core/device.h"
#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-serial.h"

#define CONFIG_BYTES 12
#define CONTROL_BYTES 8
#define CONTROL_PENDING_MAX 512     /* a guest that takes none loses the newest */
#define OUT_CHUNK 4096

/* ---- control messages ---- */

static void serial_flush_control(VirtIOSerial *s)
{
    VirtQueue *vq = &s->dev.queues[SERIAL_QUEUE_CONTROL_IN];
    bool sent = false;

    while (s->dev.running && !g_queue_is_empty(&s->control)) {
        VirtQueueElement *elem = virtqueue_pop(vq);
        GBytes *msg;
        gsize len;
        const void *data;

        if (!elem) {
            break;
        }
        msg = g_queue_pop_head(&s->control);
        data = g_bytes_get_data(msg, &len);
        virtqueue_push(vq, elem, iov_write(elem->in_sg, elem->in_num, 0, data, len));
        g_bytes_unref(msg);
        sent = true;
    }
    if (sent) {
        virtqueue_notify(vq);
    }
}

void virtio_serial_control(VirtIOSerial *s, uint32_t port, uint16_t event, uint16_t value,
                           const char *text)
{
    GByteArray *msg;
    uint32_t id = GUINT32_TO_LE(port);
    uint16_t words[2] = { GUINT16_TO_LE(event), GUINT16_TO_LE(value) };

    if (!virtio_has(&s->dev, SERIAL_F_MULTIPORT) ||
        g_queue_get_length(&s->control) >= CONTROL_PENDING_MAX) {
        return;
    }
    msg = g_byte_array_new();
    g_byte_array_append(msg, (const uint8_t *)&id, 4);
    g_byte_array_append(msg, (const uint8_t *)words, 4);
    if (text) {
        g_byte_array_append(msg, (const uint8_t *)text, strlen(text));
    }
    g_queue_push_tail(&s->control, g_byte_array_free_to_bytes(msg));
    serial_flush_control(s);
}

static void serial_port_ready(VirtIOSerial *s, VirtIOPort *port)
{
    if (port->console) {
        virtio_serial_control(s, port->id, SERIAL_CONSOLE_PORT, 1, NULL);
    }
    if (port->name) {
        virtio_serial_control(s, port->id, SERIAL_PORT_NAME, 1, port->name);
    }
    if (port->host_connected) {
        virtio_serial_control(s, port->id, SERIAL_PORT_OPEN, 1, NULL);
    }
    port->host_told = port->host_connected;
}

static void serial_control_message(VirtIOSerial *s, uint32_t id, uint16_t event, uint16_t value)
{
    VirtIOPort *port = id < SERIAL_PORTS_MAX ? s->ports[id] : NULL;

    if (event == SERIAL_DEVICE_READY) {
        for (unsigned i = 0; value && i < SERIAL_PORTS_MAX; i++) {
            if (s->ports[i]) {
                virtio_serial_control(s, i, SERIAL_PORT_ADD, 1, NULL);
            }
        }
    } else if (port && event == SERIAL_PORT_READY && value) {
        serial_port_ready(s, port);
    } else if (port && event == SERIAL_PORT_OPEN) {
        port->ops->set_guest(port, value != 0);
        if (port->guest_connected && port->chr) {
            chardev_accept_input(port->chr);
        }
    }
}

static void serial_handle_control_in(VirtIODevice *dev, VirtQueue *vq)
{
    serial_flush_control((VirtIOSerial *)dev);
}

static void serial_handle_control_out(VirtIODevice *dev, VirtQueue *vq)
{
    VirtQueueElement *elem;
    bool done = false;

    while ((elem = virtqueue_pop(vq)) != NULL) {
        struct { uint32_t id; uint16_t event, value; } msg;

        if (iov_read(elem->out_sg, elem->out_num, 0, &msg, CONTROL_BYTES) == CONTROL_BYTES) {
            serial_control_message((VirtIOSerial *)dev, GUINT32_FROM_LE(msg.id),
                                   GUINT16_FROM_LE(msg.event), GUINT16_FROM_LE(msg.value));
        }
        virtqueue_push(vq, elem, 0);
        done = true;
    }
    if (done) {
        virtqueue_notify(vq);
    }
}

/* ---- data ---- */

/* Queue pairs: port 0 has 0 and 1, control 2 and 3, port n from 1 on 2n+2 and 2n+3. */
static VirtIOPort *queue_port(VirtIOSerial *s, const VirtQueue *vq)
{
    unsigned pair = vq->n / 2, id = pair == 0 ? 0 : pair - 1;

    return id < SERIAL_PORTS_MAX ? s->ports[id] : NULL;
}

VirtQueue *virtio_port_rx(VirtIOPort *port)
{
    return &port->bus->dev.queues[port->id == 0 ? 0 : 2 * port->id + 2];
}

VirtQueue *virtio_port_tx(VirtIOPort *port)
{
    return virtio_port_rx(port) + 1;
}

static void serial_handle_rx(VirtIODevice *dev, VirtQueue *vq)
{
    VirtIOPort *port = queue_port((VirtIOSerial *)dev, vq);

    if (port && port->chr) {
        chardev_accept_input(port->chr);
    }
}

/* Writes what is left of the port's buffer. False: the chardev takes no more for now. */
static bool serial_write_element(VirtIOPort *port)
{
    const VirtQueueElement *elem = port->elem;
    uint8_t chunk[OUT_CHUNK];
    size_t n;

    while ((n = iov_read(elem->out_sg, elem->out_num, port->done, chunk, sizeof(chunk))) > 0) {
        size_t sent = chardev_write(port->chr, chunk, n);

        port->done += sent;
        if (sent < n) {
            return false;
        }
    }
    return true;
}

static void serial_finish_element(VirtIOPort *port)
{
    VirtQueueElement *elem = g_steal_pointer(&port->elem);

    port->done = 0;
    virtqueue_push(virtio_port_tx(port), elem, 0);
}

static void serial_port_tx(VirtIOPort *port, VirtQueue *vq)
{
    bool done = false;

    while (port->elem || (port->elem = virtqueue_pop(vq)) != NULL) {
        if (!virtqueue_element_here(vq, port->elem)) {
            break; /* one that came with a guest whose memory is still coming */
        }
        if (port->chr && port->host_connected && !serial_write_element(port)) {
            break; /* it stays, and goes along if the guest is moved now */
        }
        serial_finish_element(port);
        done = true;
    }
    if (done) {
        virtqueue_notify(vq);
    }
}

/* Output to a port that is not there. */
static void serial_drop_tx(VirtQueue *vq)
{
    VirtQueueElement *elem;

    while ((elem = virtqueue_pop(vq)) != NULL) {
        virtqueue_push(vq, elem, 0);
    }
    virtqueue_notify(vq);
}

static void serial_handle_tx(VirtIODevice *dev, VirtQueue *vq)
{
    VirtIOPort *port = queue_port((VirtIOSerial *)dev, vq);

    if (port) {
        serial_port_tx(port, vq);
    } else {
        serial_drop_tx(vq);
    }
}

void virtio_port_flush(VirtIOPort *port)
{
    VirtQueue *tx = virtio_port_tx(port);

    if (port->bus->dev.running && virtqueue_ready(tx)) {
        serial_port_tx(port, tx);
    }
}

void virtio_port_plug(VirtIOPort *port)
{
    port->bus->ports[port->id] = port;
    virtio_serial_control(port->bus, port->id, SERIAL_PORT_ADD, 1, NULL);
}

void virtio_port_unplug(VirtIOPort *port)
{
    if (port->elem) {
        serial_finish_element(port);
        virtqueue_notify(virtio_port_tx(port));
    }
    port->bus->ports[port->id] = NULL;
    virtio_serial_control(port->bus, port->id, SERIAL_PORT_REMOVE, 1, NULL);
}

/* ---- config and life ---- */

static void serial_get_config(VirtIODevice *dev, uint8_t *config)
{
    uint32_t max = GUINT32_TO_LE(((VirtIOSerial *)dev)->max_ports);

    memcpy(config + 4, &max, 4); /* columns and rows are not known: 0 */
}

static void serial_set_config(VirtIODevice *dev, const uint8_t *config)
{
    VirtIOSerial *s = (VirtIOSerial *)dev;

    if (!(dev->host_features & FEATURE(SERIAL_F_EMERG_WRITE)) || !config[8] || !dev->running) {
        return;
    }
    for (unsigned i = 0; i < SERIAL_PORTS_MAX; i++) {
        if (s->ports[i] && s->ports[i]->console && s->ports[i]->chr) {
            chardev_write_all(s->ports[i]->chr, &config[8], 1);
            return;
        }
    }
}

static void serial_reset(VirtIODevice *dev)
{
    VirtIOSerial *s = (VirtIOSerial *)dev;

    g_queue_clear_full(&s->control, (GDestroyNotify)g_bytes_unref);
    for (unsigned i = 0; i < SERIAL_PORTS_MAX; i++) {
        VirtIOPort *port = s->ports[i];

        if (port) {
            port->ops->set_guest(port, false);
            port->done = 0;
            g_clear_pointer(&port->elem, virtqueue_element_free);
        }
    }
}

static void serial_port_run_state(VirtIOSerial *s, VirtIOPort *port, bool running)
{
    if (!running) {
        return; /* what is half written stays so, and goes along if the guest is moved */
    }
    if (port->host_told != port->host_connected && s->dev.started) {
        virtio_serial_control(s, port->id, SERIAL_PORT_OPEN, port->host_connected, NULL);
        port->host_told = port->host_connected;
    }
    virtio_port_flush(port);
    if (port->chr) {
        chardev_accept_input(port->chr);
    }
}

static void serial_run_state(VirtIODevice *dev, bool running)
{
    VirtIOSerial *s = (VirtIOSerial *)dev;

    for (unsigned i = 0; i < SERIAL_PORTS_MAX; i++) {
        if (s->ports[i]) {
            serial_port_run_state(s, s->ports[i], running);
        }
    }
}

static void serial_free(VirtIODevice *dev)
{
    VirtIOSerial *s = (VirtIOSerial *)dev;

    g_queue_clear_full(&s->control, (GDestroyNotify)g_bytes_unref);
    for (unsigned i = 0; i < SERIAL_PORTS_MAX; i++) {
        VirtIOPort *port = g_steal_pointer(&s->ports[i]);

        if (port) {
            port->ops->free(port);
        }
    }
}

/* ---- stream ---- */

static uint32_t serial_ports_map(const VirtIOSerial *s, uint32_t *count)
{
    uint32_t map = 1; /* port 0 is reserved for a console, there or not */

    *count = 0;
    for (unsigned i = 0; i < SERIAL_PORTS_MAX; i++) {
        if (s->ports[i]) {
            map |= 1u << i;
            (*count)++;
        }
    }
    return map;
}

/* Before the element, how far it is written: a part, and an offset in it. */
static void serial_save_element(const VirtIOPort *port, StreamWriter *w)
{
    const VirtQueueElement *elem = port->elem;
    uint64_t offset = port->done;
    uint32_t part = 0;

    while (part < elem->out_num && offset >= elem->out_sg[part].iov_len) {
        offset -= elem->out_sg[part++].iov_len;
    }
    stream_put_be32(w, part);
    stream_put_be64(w, offset);
    virtqueue_element_save(elem, w);
}

bool virtio_serial_save(VirtIODevice *dev, StreamWriter *w, GError **errp)
{
    const VirtIOSerial *s = (VirtIOSerial *)dev;
    uint32_t count, map = serial_ports_map(s, &count);

    stream_put_be16(w, 0); /* columns */
    stream_put_be16(w, 0); /* rows */
    stream_put_be32(w, s->max_ports);
    stream_put_be32(w, map);
    stream_put_be32(w, count);
    for (unsigned i = 0; i < SERIAL_PORTS_MAX; i++) {
        if (s->ports[i]) {
            stream_put_be32(w, i);
            stream_put_u8(w, s->ports[i]->guest_connected);
            stream_put_u8(w, s->ports[i]->host_connected);
            stream_put_be32(w, s->ports[i]->elem != NULL);
            if (s->ports[i]->elem) {
                serial_save_element(s->ports[i], w);
            }
        }
    }
    return true;
}

static bool serial_load_element(VirtIOPort *port, StreamReader *r, GError **errp)
{
    uint32_t part = stream_get_be32(r);
    uint64_t offset = stream_get_be64(r);

    port->elem = virtqueue_element_load(virtio_port_tx(port), r, errp);
    if (!port->elem) {
        return false;
    }
    if (part > port->elem->out_num) {
        error_setg(errp, "virtio-console: port %u: in part %u of %u", port->id, part,
                   port->elem->out_num);
        return false;
    }
    for (uint32_t i = 0; i < part; i++) {
        offset += port->elem->out_sg[i].iov_len;
    }
    port->done = offset;
    return true;
}

static bool serial_load_port(VirtIOSerial *s, StreamReader *r, GError **errp)
{
    uint32_t id = stream_get_be32(r);
    VirtIOPort *port = id < SERIAL_PORTS_MAX ? s->ports[id] : NULL;

    if (!port) {
        error_setg(errp, "virtio-console: the stream has a port %u that is not here", id);
        return false;
    }
    port->ops->set_guest(port, stream_get_u8(r));
    port->host_told = stream_get_u8(r);
    if (stream_get_be32(r) && !serial_load_element(port, r, errp)) {
        return false;
    }
    return stream_reader_ok(r, errp);
}

bool virtio_serial_load(VirtIODevice *dev, StreamReader *r, GError **errp)
{
    VirtIOSerial *s = (VirtIOSerial *)dev;
    uint32_t max, words, map, count, ours_count, ours = serial_ports_map(s, &ours_count);

    stream_get_be16(r);
    stream_get_be16(r);
    max = stream_get_be32(r);
    if (max > 1024) {
        error_setg(errp, "virtio-console: %u ports", max);
        return false;
    }
    words = (max + 31) / 32;
    map = words ? stream_get_be32(r) : 0;
    stream_skip(r, words > 1 ? 4 * (words - 1) : 0);
    count = stream_get_be32(r);
    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (map != ours || count != ours_count) {
        error_setg(errp, "virtio-console: ports 0x%x in the stream, 0x%x here", map, ours);
        return false;
    }
    while (count--) {
        if (!serial_load_port(s, r, errp)) {
            return false;
        }
    }
    return true;
}

VIRTIO_VMSTATE(virtio_serial_vmstate, "virtio-console", 3);

static const VirtIODeviceOps serial_ops = {
    .name = "virtio-console",
    .driver = "virtio-serial-device",
    .id = VIRTIO_ID_CONSOLE,
    .config_bytes = CONFIG_BYTES,
    .vmsd = &virtio_serial_vmstate,
    .get_config = serial_get_config,
    .set_config = serial_set_config,
    .reset = serial_reset,
    .run_state = serial_run_state,
    .save = virtio_serial_save,
    .load = virtio_serial_load,
    .free = serial_free,
};

static void serial_add_queues(VirtIODevice *dev, uint32_t max_ports)
{
    for (unsigned pair = 0; pair < max_ports + 1; pair++) {
        if (pair == 1) {
            virtio_add_queue(dev, 32, serial_handle_control_in);
            virtio_add_queue(dev, 32, serial_handle_control_out);
        } else {
            virtio_add_queue(dev, 128, serial_handle_rx);
            virtio_add_queue(dev, 128, serial_handle_tx);
        }
    }
}

bool virtio_serial_create(Board *board, Opts *opts, GError **errp)
{
    uint64_t max_ports = SERIAL_PORTS_MAX, features = FEATURE(SERIAL_F_MULTIPORT);
    bool emergency = true;
    VirtIODevice *dev;

    if (!opts_get_u64(opts, "max_ports", &max_ports, errp) ||
        !opts_get_bool(opts, "emergency-write", &emergency, errp)) {
        return false;
    }
    if (max_ports == 0 || max_ports > SERIAL_PORTS_MAX) {
        error_setg(errp, "maximum ports supported: %u", SERIAL_PORTS_MAX);
        return false;
    }
    features |= emergency ? FEATURE(SERIAL_F_EMERG_WRITE) : 0;
    dev = virtio_new(board, sizeof(VirtIOSerial), &serial_ops, opts, features, errp);
    if (!dev) {
        return false;
    }
    ((VirtIOSerial *)dev)->max_ports = max_ports;
    g_queue_init(&((VirtIOSerial *)dev)->control);
    serial_add_queues(dev, max_ports);
    if (!virtio_plug(board, dev, opts, errp)) {
        virtio_free(dev);
        return false;
    }
    g_ptr_array_add(board->serial_buses, dev);
    return true;
}
