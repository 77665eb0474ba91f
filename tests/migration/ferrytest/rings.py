# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio driver outside the guest: it sets up a queue of a legacy slot and offers requests through
the qtest port, while the guest itself does nothing. So a queue can be left in any state at the
moment of a move, and what is wrong with a ring can be written into it."""
import struct

from .tap import check_equal, wait_until

NEXT, WRITE = 1, 2
RING, DATA, APART = 0x80400000, 0x80500000, 0x10000
IN, OUT, FLUSH = 0, 1, 4
PENDING = 0xee


class Ring:
    """One queue of the device in `slot` (the first -device gets slot 7), `num` entries long."""

    def __init__(self, qtest, slot=7, queue=0, num=64):
        self.qtest = qtest
        self.mmio = 0x10001000 + 0x1000 * slot
        self.queue = queue
        self.num = num
        self.base = RING + (slot * 8 + queue) * 0x4000
        self.avail = self.base + 16 * num
        self.used = (self.avail + 2 * (3 + num) + 4095) & ~4095
        self.offered = 0

    def moved(self, qtest):
        """The same ring, seen from the process that the guest has moved to."""
        self.qtest = qtest
        return self

    def set(self, register, value):
        self.qtest.command('writel 0x%x 0x%x' % (self.mmio + register, value))

    def get(self, register):
        return int(self.qtest.command('readl 0x%x' % (self.mmio + register))[0], 0)

    def start(self, reset=True):
        """What a driver does: all features but the event index, the queue, DRIVER_OK. Without reset
        it is one more queue of a device that has been started."""
        self.qtest.memset(self.base, 0x4000, 0)
        if reset:
            for register, value in ((0x70, 3), (0x14, 0), (0x24, 0)):
                self.set(register, value)
            self.set(0x20, self.get(0x10) & ~(1 << 29 | 1 << 24))
        for register, value in ((0x28, 4096), (0x30, self.queue), (0x38, self.num), (0x3c, 4096),
                                (0x40, self.base >> 12), (0x70, 7)):
            self.set(register, value)

    def describe(self, index, address, length, flags, following=0):
        self.qtest.write(self.base + 16 * index, struct.pack('<QIHH', address, length, flags,
                                                             following))

    def offer(self, head):
        self.qtest.write(self.avail + 4 + 2 * (self.offered % self.num), struct.pack('<H', head))
        self.offered = (self.offered + 1) & 0xffff
        self.qtest.write(self.avail + 2, struct.pack('<H', self.offered))

    def kick(self):
        self.set(0x50, self.queue)

    def used_index(self):
        return struct.unpack('<H', self.qtest.read(self.used + 2, 2))[0]

    def wait_used(self, count, timeout=30):
        wait_until(lambda: self.used_index() == count & 0xffff, timeout,
                   '%d requests to come back' % count)


class Disk(Ring):
    """Requests 0, 1, 2... of a disk, each with its own header, data and status in memory."""

    def request(self, number, kind, sector, data=b'', length=0, kick=True):
        at, length = DATA + APART * number, len(data) or length
        self.qtest.write(at, struct.pack('<IIQ', kind, 0, sector) + bytes([PENDING]))
        if data:
            self.qtest.write(at + 0x1000, data)
        head = 3 * number
        self.describe(head, at, 16, NEXT, head + 1 if length else head + 2)
        self.describe(head + 1, at + 0x1000, length, NEXT | (0 if data else WRITE), head + 2)
        self.describe(head + 2, at + 16, 1, WRITE)
        self.offer(head)
        if kick:
            self.kick()

    def write(self, number, sector, data, kick=True):
        self.request(number, OUT, sector, data, kick=kick)

    def status(self, number):
        return self.qtest.read(DATA + APART * number + 16, 1)[0]

    def check_status(self, count, wanted):
        check_equal([self.status(n) for n in range(count)], [wanted] * count, 'status bytes')
