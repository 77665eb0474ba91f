# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases about devices that are driven from outside (rings.py) and are in the middle of something when
the guest moves: disks stopped by an error of the host or slow, a card, a balloon, a port. Used
between two Ferrys and between Ferry and QEMU."""
import os
import socket
import struct
import subprocess

from .guest import Bare
from .move import wait_loaded, wait_migration
from .process import VM
from .rings import APART, DATA, FLUSH, IN, NEXT, WRITE, Disk, Ring
from .tap import check, check_equal, need, wait_until

SMALL_DISK = 8  # MiB


def need_both(*emulator_list):
    for emulator in emulator_list:
        need(not emulator.missing(), '%s', emulator.missing())


class SmallDisk:
    """A file system of 8 MiB, full but for its image of 16 MiB that has nothing in it yet; in a mount
    namespace of its own, so that no rights are needed and nothing stays."""

    def __init__(self, bench):
        script = ('mount -t tmpfs -o size=%dm,mode=777 none /mnt && echo ready && cat' % SMALL_DISK)
        self._holder = subprocess.Popen(['unshare', '-Urm', 'sh', '-c', script],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        bench.at_end(self._end)
        need(self._holder.stdout.readline() == b'ready\n',
             'unshare -Urm cannot mount a tmpfs here (user namespaces)')
        root = '/proc/%d/root/mnt/' % self._holder.pid
        self.image, self._filler = root + 'disk', root + 'filler'
        with open(self.image, 'wb') as f:
            f.truncate(2 * SMALL_DISK << 20)
        try:
            with open(self._filler, 'wb', buffering=0) as f:
                while True:
                    f.write(bytes(65536))
        except OSError:
            pass

    def make_room(self):
        os.unlink(self._filler)

    def _end(self):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdin.close()
        self._holder.stdout.close()


class Pair:
    """A guest that does nothing, with disks that are driven from outside, and where it goes."""

    def __init__(self, bench, source, destination, args, destination_args=None):
        self.bench = bench
        self.guest = Bare('idle', memory=16)
        self.uri = 'unix:' + bench.path('socket')
        self.source = VM(bench, 'source', source, self.guest, qtest=True, extra=args)
        self.destination = VM(bench, 'destination', destination, self.guest, qtest=True,
                              incoming=self.uri, extra=destination_args or args)
        self.source.status(), self.destination.status()  # both listen; from here on events are heard
        self.qtest = self.source.connect_qtest()
        bench.at_end(self.qtest.close)

    def move(self):
        self.source.command('migrate', uri=self.uri)
        wait_migration(self.source)
        wait_loaded(self.destination)
        qtest = self.destination.connect_qtest()
        self.bench.at_end(qtest.close)
        return qtest


def drive(path, *options):
    # The image is open on both sides for a moment: no locks.
    return ['-drive', ','.join(('file=' + path, 'format=raw,if=none,id=d0,file.locking=off') + options),
            '-device', 'virtio-blk-device,drive=d0,id=vd']


def events(vm, name):
    vm.status()  # what has been sent so far is read
    return [e['data'] for e in vm.qmp.events if e['event'] == name]


def block(number):
    return bytes([number + 1]) * 4096


def check_image(path, count):
    with open(path, 'rb') as f:
        for number in range(count):
            check_equal(f.read(4096), block(number), 'block %d of the image' % number)


def fill(disk, count):
    for number in range(count):
        disk.write(number, 8 * number, block(number), kick=number == count - 1)


def full_disk(source, destination):
    """The host's disk is full: the guest stops, moves with its requests, and goes on when there is
    room."""
    def run(bench):
        need_both(source, destination)
        small = SmallDisk(bench)
        pair = Pair(bench, source, destination, drive(small.image))
        disk = Disk(pair.qtest)
        disk.start()
        fill(disk, 3)
        wait_until(lambda: pair.source.status() == 'io-error', 20, 'the guest to stop')
        errors = events(pair.source, 'BLOCK_IO_ERROR')
        check(errors and all(e['action'] == 'stop' and e['nospace'] and e['operation'] == 'write'
                             and e['device'] == 'd0' for e in errors), 'events: %s', errors)
        check_equal(len([e for e in pair.source.qmp.events if e['event'] == 'STOP']), 1, 'STOPs')
        check_equal(pair.source.command('query-block')[0]['io-status'], 'nospace', 'io-status')
        disk.moved(pair.move())
        check_equal(pair.destination.status(), 'io-error', 'state at the destination')
        check_equal(disk.used_index(), 0, 'requests given back')
        disk.check_status(3, 0xee)
        # Still no room: the same again. What was not begun when the first one failed is just kept.
        pair.destination.command('cont')
        wait_until(lambda: len(events(pair.destination, 'BLOCK_IO_ERROR')) >= 1
                   and pair.destination.status() == 'io-error', 20, 'the guest to stop again')
        check_equal(disk.used_index(), 0, 'requests given back')
        small.make_room()
        pair.destination.command('cont')
        disk.wait_used(3)
        disk.check_status(3, 0)
        check_equal(pair.destination.status(), 'running', 'state in the end')
        check_equal(pair.destination.command('query-block')[0]['io-status'], 'ok', 'io-status')
        check_image(small.image, 3)
    return run


SLOW = 6


def slow_disk(source, destination):
    """Requests to a disk that takes 1 s for each: none of them is done, some have not been begun.
    All come back, here or there, and none is lost. A Ferry waits for the one it has begun."""
    def run(bench):
        need_both(source, destination)
        pair = Pair(bench, source, destination, [
            '-blockdev', 'driver=null-co,node-name=n0,latency-ns=1000000000,read-zeroes=on',
            '-device', 'virtio-blk-device,drive=n0'])
        disk = Disk(pair.qtest)
        disk.start()
        for number in range(SLOW):
            disk.qtest.memset(DATA + APART * number + 0x1000, 4096, 0x55)
            disk.request(number, IN, 8 * number, length=4096, kick=number == SLOW - 1)
        disk.moved(pair.move())
        before = disk.used_index()
        if source.is_ferry:
            check(before < SLOW, '%d of %d requests were waited for', before, SLOW)
        disk.wait_used(SLOW)
        disk.check_status(SLOW, 0)
        for number in range(SLOW):
            check_equal(disk.qtest.read(DATA + APART * number + 0x1000, 4096), bytes(4096),
                        'what request %d read' % number)
    return run


def many_writes(source, destination):
    """A queue full of writes and a flush when the guest moves: the image has all of them."""
    def run(bench):
        need_both(source, destination)
        image = bench.path('image')
        with open(image, 'wb') as f:
            f.truncate(1 << 20)
        pair = Pair(bench, source, destination, drive(image, 'cache=none'))
        disk = Disk(pair.qtest)
        disk.start()
        count = 12
        for number in range(count):
            disk.write(number, 8 * number, block(number), kick=False)
        disk.request(count, FLUSH, 0)
        disk.moved(pair.move())
        disk.wait_used(count + 1)
        disk.check_status(count + 1, 0)
        check_image(image, count)
    return run


HEADER = 12  # virtio-net's, with the number of buffers


def network(source, destination):
    """A card with buffers that wait for packets and packets that wait to be sent: those that arrive
    before and after the move fill the buffers in turn, and each packet is sent once."""
    def run(bench):
        need_both(source, destination)
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bench.at_end(peer.close)
        peer.bind(('127.0.0.1', 0))
        peer.settimeout(20)
        ports = free_ports(2)
        args = [['-netdev', 'socket,id=n0,udp=127.0.0.1:%d,localaddr=127.0.0.1:%d' %
                 (peer.getsockname()[1], port), '-device', 'virtio-net-device,netdev=n0']
                for port in ports]
        pair = Pair(bench, source, destination, *args)
        receive = Ring(pair.qtest, queue=0)
        send = Ring(pair.qtest, queue=1)
        receive.start()
        send.start(reset=False)
        for number in range(4):
            receive.describe(number, DATA + APART * number, 2048, WRITE)
            receive.offer(number)
        receive.kick()
        peer.sendto(packet(0), ('127.0.0.1', ports[0]))
        receive.wait_used(1)
        for number in range(8):
            at = DATA + APART * (8 + number)
            send.qtest.write(at, bytes(HEADER) + packet(100 + number))
            send.describe(number, at, HEADER + 64, 0)
            send.offer(number)
        send.kick()
        qtest = pair.move()
        receive.moved(qtest)
        send.moved(qtest)
        peer.sendto(packet(1), ('127.0.0.1', ports[1]))
        receive.wait_used(2)
        for number in range(2):
            check_equal(receive.qtest.read(DATA + APART * number + HEADER, 64), packet(number),
                        'packet %d' % number)
        send.wait_used(8)
        got = []
        while len(got) < 8:
            data = peer.recv(4096)
            if data[12:14] == b'\x88\xb5':  # not what an announcement sends
                got.append(data)
        check_equal(got, [packet(100 + n) for n in range(8)], 'packets that were sent')
    return run


def next_frame(peer, seconds):
    """(port it comes from, frame), None if there is none."""
    peer.settimeout(seconds)
    try:
        data, address = peer.recvfrom(4096)
    except TimeoutError:
        return None
    return address[1], data


def announced(source, destination, rounds):
    """The destination announces the card, `rounds` times and only once the guest runs, and asks its
    driver to do the same; the source does not."""
    def run(bench):
        need_both(source, destination)
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bench.at_end(peer.close)
        peer.bind(('127.0.0.1', 0))
        ports = free_ports(2)
        args = [['-netdev', 'socket,id=n0,udp=127.0.0.1:%d,localaddr=127.0.0.1:%d' %
                 (peer.getsockname()[1], port),
                 '-device', 'virtio-net-device,netdev=n0,mac=52:54:00:00:00:07'] for port in ports]
        pair = Pair(bench, source, destination, *args)
        driver = Ring(pair.qtest, queue=2)
        driver.start()
        pair.destination.command('migrate-set-parameters', **{
            'announce-rounds': rounds, 'announce-initial': 1, 'announce-step': 1})
        pair.source.command('stop')
        driver.moved(pair.move())
        check_equal(next_frame(peer, 0.5), None, 'frame while the guest is stopped')
        check_equal(driver.get(0x104) >> 16, 1, 'status of the link before')
        pair.destination.command('cont')
        for number in range(rounds):
            port, frame = next_frame(peer, 20) or (None, b'')
            check_equal(port, ports[1], 'where announcement %d comes from' % number)
            check_equal(frame[6:14].hex(), '5254000000078035', 'address and type')
        check_equal(next_frame(peer, 0.5), None, 'frame behind them')
        check_equal(driver.get(0x104) >> 16, 3 if rounds else 1, 'status of the link')
    return run


def ask_balloon(vm, name):
    return vm.command('qom-get', path='/machine/peripheral/bal', property=name)


def balloon_statistics(source, destination):
    """The guest has handed its figures over; the buffer is kept across the move, and the destination
    can ask for new ones."""
    def run(bench):
        need_both(source, destination)
        pair = Pair(bench, source, destination, ['-device', 'virtio-balloon-device,id=bal'])
        ring = Ring(pair.qtest, queue=2)
        ring.start()
        ring.qtest.write(DATA, struct.pack('<HQHQ', 4, 12345, 77, 1))
        ring.describe(0, DATA, 20, 0)
        ring.offer(0)
        ring.kick()
        figures = ask_balloon(pair.source, 'guest-stats')
        check_equal(figures['stats']['stat-free-memory'], 12345, 'free memory')
        check_equal(figures['stats']['stat-total-memory'], (1 << 64) - 1, 'what was not told')
        check_equal(ring.used_index(), 0, 'buffers given back')
        qtest = pair.move()
        ring.moved(qtest)
        check_equal(ask_balloon(pair.destination, 'guest-stats-polling-interval'), 0, 'interval')
        pair.destination.command('qom-set', path='/machine/peripheral/bal',
                                 property='guest-stats-polling-interval', value=1)
        ring.wait_used(1)
        ring.qtest.write(DATA, struct.pack('<HQHQ', 4, 54321, 77, 1))
        ring.offer(0)
        ring.kick()
        wait_until(lambda: ask_balloon(pair.destination, 'guest-stats')['stats']
                   ['stat-free-memory'] == 54321, 20, 'new figures')
        ring.set(0x104, 2)  # it gives two pages back
        wait_until(lambda: events(pair.destination, 'BALLOON_CHANGE'), 20, 'BALLOON_CHANGE')
        check_equal(events(pair.destination, 'BALLOON_CHANGE')[0]['actual'],
                    (pair.guest.memory << 20) - 8192, 'memory the guest has')
    return run


def port_state(vm):
    return {c['label']: c['frontend-open'] for c in vm.command('query-chardev')}['c1']


def agent_port(source, destination):
    """Who listens at a port is known before and after the move."""
    def run(bench):
        need_both(source, destination)
        pair = Pair(bench, source, destination, [
            '-device', 'virtio-serial-device', '-chardev', 'null,id=c1',
            '-device', 'virtserialport,chardev=c1,id=agent,nr=1'])
        ring = Ring(pair.qtest, queue=3)
        ring.start()
        check_equal(port_state(pair.source), False, 'open before the guest came')
        ring.qtest.write(DATA, struct.pack('<IHH', 1, 6, 1))
        ring.describe(0, DATA, 8, 0)
        ring.offer(0)
        ring.kick()
        wait_until(lambda: events(pair.source, 'VSERPORT_CHANGE'), 20, 'VSERPORT_CHANGE')
        check_equal(events(pair.source, 'VSERPORT_CHANGE'), [{'id': 'agent', 'open': True}],
                    'VSERPORT_CHANGE')
        check_equal(port_state(pair.source), True, 'open')
        ring.moved(pair.move())
        check_equal(port_state(pair.destination), True, 'open at the destination')
        ring.set(0x70, 0)
        check_equal(port_state(pair.destination), False, 'open after a reset')
    return run


def receive_filter(source, destination):
    """What the guest wants to receive goes along; monitors hear once that it has changed."""
    def run(bench):
        need_both(source, destination)
        pair = Pair(bench, source, destination, [
            '-netdev', 'socket,id=n0,udp=127.0.0.1:9,localaddr=127.0.0.1:0',
            '-device', 'virtio-net-device,netdev=n0,id=nic'])
        ring = Ring(pair.qtest, queue=2)
        ring.start()
        group = b'\x33\x33\0\0\0\1'
        for command in (bytes([0, 0, 0]), bytes([1, 0]) + bytes(4) + b'\1\0\0\0' + group):
            ring.qtest.write(DATA, command)
            ring.describe(0, DATA, len(command), NEXT, 1)
            ring.describe(1, DATA + 0x100, 1, WRITE)
            ring.offer(0)
            ring.kick()
            ring.wait_used(ring.offered)
        check_equal(events(pair.source, 'NIC_RX_FILTER_CHANGED'),
                    [{'path': '/machine/peripheral/nic'}], 'NIC_RX_FILTER_CHANGED')
        before = pair.source.command('query-rx-filter', name='nic')
        check_equal(before[0]['promiscuous'], False, 'promiscuous')
        check_equal(before[0]['multicast-table'], ['33:33:00:00:00:01'], 'groups')
        pair.move()
        check_equal(pair.destination.command('query-rx-filter'), before, 'filter after the move')
    return run


def two_user_networks(source, destination):
    """Their sections have one name, and in 7.2 one number."""
    def run(bench):
        need_both(source, destination)
        args = ['-netdev', 'user,id=a,hostname=a', '-netdev', 'user,id=b,hostname=b',
                '-device', 'virtio-net-device,netdev=a', '-device', 'virtio-net-device,netdev=b']
        pair = Pair(bench, source, destination, args)
        pair.move()
        check_equal(pair.destination.status(), 'running', 'state at the destination')
    return run


def packet(number):
    """To everybody, of the type for experiments."""
    return b'\xff' * 6 + b'\x52\x54\0\0\0\1' + b'\x88\xb5' + bytes([number]) * 50


def free_ports(count):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def index_out_of_range(source, destination):
    """A guest that says it has offered 1000 requests in a ring of 8 moves all the same."""
    def run(bench):
        need_both(source, destination)
        pair = Pair(bench, source, destination, ['-device', 'virtio-rng-device'])
        ring = Ring(pair.qtest, num=8)
        ring.start()
        ring.qtest.write(ring.avail + 2, (1000).to_bytes(2, 'little'))
        ring.moved(pair.move())
        check_equal(pair.destination.status(), 'running', 'state at the destination')
        # Reset, it works again.
        ring.set(0x70, 0)
        ring.offered = 0
        ring.start()
        ring.describe(0, 0x80500000, 16, 2)
        ring.offer(0)
        ring.kick()
        ring.wait_used(1)
    return run
