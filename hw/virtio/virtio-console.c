/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtconsole and virtserialport: one port of a virtio-serial bus and the chardev in front of it. */
#include <string.h>
#include "hw/core/device.h"
#include "hw/virtio/virtio-serial.h"
#include "qapi/qapi-events.h"

#define PORT_NR_AUTO UINT32_MAX
#define READ_MAX 4096

static bool port_guest_ready(const VirtIOPort *port)
{
    const VirtIODevice *dev = &port->bus->dev;

    return dev->running && dev->started &&
           (port->guest_connected || !virtio_has(dev, SERIAL_F_MULTIPORT));
}

static size_t port_can_read(void *opaque)
{
    VirtIOPort *port = opaque;

    return port_guest_ready(port) ? virtqueue_in_bytes(virtio_port_rx(port), READ_MAX) : 0;
}

static void port_read(void *opaque, const uint8_t *buf, size_t len)
{
    VirtIOPort *port = opaque;
    VirtQueue *vq = virtio_port_rx(port);
    bool done = false;

    while (len) {
        VirtQueueElement *elem = virtqueue_pop(vq);
        size_t part;

        if (!elem) {
            break; /* the guest offered less than it said: lost, as on an overrun wire */
        }
        part = iov_write(elem->in_sg, elem->in_num, 0, buf, len);
        virtqueue_push(vq, elem, part);
        buf += part;
        len -= part;
        done = true;
    }
    if (done) {
        virtqueue_notify(vq);
    }
}

static void port_set_host(VirtIOPort *port, bool connected)
{
    if (port->host_connected == connected) {
        return;
    }
    port->host_connected = connected;
    if (port->bus->dev.running) {
        virtio_serial_control(port->bus, port->id, SERIAL_PORT_OPEN, connected, NULL);
        port->host_told = connected;
    }
}

static void port_event(void *opaque, ChardevEvent event)
{
    VirtIOPort *port = opaque;

    switch (event) {
    case CHARDEV_OPENED:
        port_set_host(port, true);
        break;
    case CHARDEV_CLOSED:
        if (!port->console) { /* a console is always there */
            port_set_host(port, false);
            virtio_port_flush(port); /* nobody takes the rest: the guest gets its buffers back */
        }
        break;
    case CHARDEV_WRITABLE:
        virtio_port_flush(port);
        break;
    default:
        break;
    }
}

static const ChardevFrontend port_frontend = { port_can_read, port_read, port_event };

static void port_set_guest(VirtIOPort *port, bool connected)
{
    if (port->guest_connected == connected) {
        return;
    }
    port->guest_connected = connected;
    if (port->chr && !port->console) { /* a console always listens */
        chardev_set_frontend_open(port->chr, connected);
    }
    if (port->device_id) {
        qapi_event_send_vserport_change(port->bus->dev.machine->monitors, port->device_id,
                                        connected);
    }
}

static void port_free(VirtIOPort *port)
{
    if (port->chr) {
        chardev_detach(port->chr, port);
    }
    if (port->elem) {
        virtqueue_element_free(port->elem);
    }
    g_free(port->name);
    g_free(port->device_id);
    g_free(port);
}

static const VirtIOPortOps port_ops = { port_set_guest, port_free };

/* bus=: the device's id with ".0", or its number as "virtio-serial0.0"; none: the first. */
static VirtIOSerial *find_bus(Board *board, const char *bus, const char *driver, GError **errp)
{
    for (guint i = 0; i < board->serial_buses->len; i++) {
        VirtIOSerial *s = g_ptr_array_index(board->serial_buses, i);
        g_autofree char *by_id = g_strdup_printf("%s.0", s->dev.id ? s->dev.id : "");
        g_autofree char *by_number = g_strdup_printf("virtio-serial-bus.%u", i);

        if (!bus || strcmp(bus, by_id) == 0 || strcmp(bus, by_number) == 0) {
            return s;
        }
    }
    if (bus) {
        error_setg(errp, "Bus '%s' not found", bus);
    } else {
        error_setg(errp, "No 'virtio-serial-bus' bus found for device '%s'", driver);
    }
    return NULL;
}

static bool choose_id(const VirtIOSerial *s, bool console, uint64_t nr, uint32_t *id, GError **errp)
{
    if (nr == PORT_NR_AUTO) {
        for (*id = console ? 0 : 1; *id < s->max_ports; (*id)++) {
            if (!s->ports[*id]) {
                return true;
            }
        }
        error_setg(errp, "virtio-serial-bus: Maximum port limit for this device reached");
        return false;
    }
    if (nr == 0 && !console) {
        error_setg(errp, "Port number 0 on virtio-serial devices reserved for "
                   "virtconsole devices for backward compatibility.");
        return false;
    }
    if (nr >= s->max_ports) {
        error_setg(errp, "virtio-serial-bus: Out-of-range port id specified, max. allowed: %u",
                   s->max_ports - 1);
        return false;
    }
    if (s->ports[nr]) {
        error_setg(errp, "virtio-serial-bus: A port already exists at id %u", (unsigned)nr);
        return false;
    }
    *id = nr;
    return true;
}

static bool port_connect(VirtIOPort *port, Board *board, const char *driver, const char *chardev,
                         GError **errp)
{
    Chardev *chr = chardev_find(board->machine->chardevs, chardev);

    if (!chr) {
        error_setg(errp, "Property '%s.chardev' can't find value '%s'", driver, chardev);
        return false;
    }
    if (!chardev_attach(chr, &port_frontend, port, errp)) {
        error_prepend(errp, "Property '%s.chardev' can't take value '%s': ", driver, chardev);
        return false;
    }
    port->chr = chr;
    if (!port->console) {
        chardev_set_frontend_open(chr, false); /* until the guest opens the port */
    }
    port->host_connected = port->console || chardev_is_connected(chr);
    return true;
}

static bool port_create(Board *board, Opts *opts, bool console, GError **errp)
{
    const char *driver = console ? "virtconsole" : "virtserialport";
    const char *chardev = opts_get(opts, "chardev"), *name = opts_get(opts, "name");
    VirtIOSerial *bus = find_bus(board, opts_get(opts, "bus"), driver, errp);
    uint64_t nr = PORT_NR_AUTO;
    VirtIOPort *port;
    uint32_t id;

    if (!bus || !opts_get_u64(opts, "nr", &nr, errp) || !choose_id(bus, console, nr, &id, errp)) {
        return false;
    }
    port = g_new0(VirtIOPort, 1);
    port->ops = &port_ops;
    port->bus = bus;
    port->id = id;
    port->console = console;
    port->name = g_strdup(name);
    port->device_id = g_strdup(opts_get(opts, "id"));
    port->host_connected = console;
    if (chardev && !port_connect(port, board, driver, chardev, errp)) {
        port_free(port);
        return false;
    }
    virtio_port_plug(port);
    board_add_device(board, driver, opts_get(opts, "id"), "virtio-serial-bus.0", 0, NULL);
    return true;
}

bool virtconsole_create(Board *board, Opts *opts, GError **errp)
{
    return port_create(board, opts, true, errp);
}

bool virtserialport_create(Board *board, Opts *opts, GError **errp)
{
    return port_create(board, opts, false, errp);
}

static VirtIOPort *find_port(const Board *board, const char *device_id)
{
    for (guint i = 0; i < board->serial_buses->len; i++) {
        VirtIOSerial *bus = g_ptr_array_index(board->serial_buses, i);

        for (unsigned n = 0; n < SERIAL_PORTS_MAX; n++) {
            if (bus->ports[n] && g_strcmp0(bus->ports[n]->device_id, device_id) == 0) {
                return bus->ports[n];
            }
        }
    }
    return NULL;
}

void virtio_port_remove(Board *board, const char *device_id)
{
    VirtIOPort *port = find_port(board, device_id);

    port_set_guest(port, false);
    virtio_port_unplug(port);
    port_free(port);
}
