/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-serial: a bus of ports, each with a chardev. Under the BQL. */
#ifndef HW_VIRTIO_VIRTIO_SERIAL_H
#define HW_VIRTIO_VIRTIO_SERIAL_H

#include "chardev/char.h"
#include "hw/virtio/virtio.h"

#define SERIAL_PORTS_MAX 31

typedef struct VirtIOSerial VirtIOSerial;

typedef struct VirtIOPort VirtIOPort;

/** What the bus asks of a port; the ports' file calls the bus, never the other way round. */
typedef struct VirtIOPortOps {
    /** The guest opens or closes the port: the chardev is told, and monitors (VSERPORT_CHANGE). */
    void (*set_guest)(VirtIOPort *port, bool connected);
    void (*free)(VirtIOPort *port);
} VirtIOPortOps;

struct VirtIOPort {
    const VirtIOPortOps *ops;
    VirtIOSerial *bus;
    uint32_t id;
    char *name, *device_id;     /* name= for the guest; -device id= for monitors */
    bool console;
    Chardev *chr;               /* NULL: output is dropped */
    bool guest_connected, host_connected;
    bool host_told;             /* host_connected as the guest knows it (after a load) */
    VirtQueueElement *elem;     /* popped, but the chardev has taken only `done` bytes of it */
    uint64_t done;
};

struct VirtIOSerial {
    VirtIODevice dev;
    uint32_t max_ports;
    VirtIOPort *ports[SERIAL_PORTS_MAX];    /* by id */
    GQueue control;             /* GBytes: control messages waiting for a buffer */
};

enum {
    SERIAL_DEVICE_READY = 0, SERIAL_PORT_ADD = 1, SERIAL_PORT_REMOVE = 2, SERIAL_PORT_READY = 3,
    SERIAL_CONSOLE_PORT = 4, SERIAL_PORT_OPEN = 6, SERIAL_PORT_NAME = 7,
};
enum { SERIAL_F_MULTIPORT = 1, SERIAL_F_EMERG_WRITE = 2 };
enum { SERIAL_QUEUE_CONTROL_IN = 2, SERIAL_QUEUE_CONTROL_OUT = 3 };

/** Sends a control message; text (may be NULL) is appended. */
void virtio_serial_control(VirtIOSerial *s, uint32_t port, uint16_t event, uint16_t value,
                           const char *text);
/** The chardev in front of port can go on. */
void virtio_port_flush(VirtIOPort *port);
VirtQueue *virtio_port_rx(VirtIOPort *port);
VirtQueue *virtio_port_tx(VirtIOPort *port);
bool virtio_serial_save(VirtIODevice *dev, StreamWriter *w, GError **errp);
bool virtio_serial_load(VirtIODevice *dev, StreamReader *r, GError **errp);
/** A port has come to its bus, or goes: a guest that is there is told. Its buffer is given back. */
void virtio_port_plug(VirtIOPort *port);
void virtio_port_unplug(VirtIOPort *port);

#endif
