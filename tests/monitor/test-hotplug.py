#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Back ends and ports that come, go and change while the machine runs, on the real program."""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import driven, emulators  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.qmp import QMPError  # noqa: E402
from ferrytest.rings import DATA, WRITE, Ring  # noqa: E402
from ferrytest.tap import Case, Failed, check, check_equal, main, wait_until  # noqa: E402

EMULATOR = emulators.ferry()


def start(bench, *extra, paused=True, name='vm'):
    vm = VM(bench, name, EMULATOR, paused=paused,
            extra=['-M', 'virt', '-bios', 'none', '-m', '16M', *extra])
    wait_until(lambda: vm.status() == ('prelaunch' if paused else 'running'), 60, 'its start')
    return vm


def hmp(vm, line):
    return vm.command('human-monitor-command', **{'command-line': line})


def refused(vm, want, command, /, kind='GenericError', **arguments):
    try:
        vm.command(command, **arguments)
    except QMPError as error:
        check(error.desc == want and error.klass == kind, '%s %s: %s %s', command, arguments,
              error.klass, error.desc)
    else:
        raise Failed('%s %s was done' % (command, arguments))


def open_fds(vm):
    return len(os.listdir('/proc/%d/fd' % vm.process.pid))


# ---- names ----

def names_without_ids(bench):
    """Devices whose user gave no id have the names that QEMU 7.2 and 10.0 give them."""
    vm = VM(bench, 'vm', EMULATOR, paused=False, qtest=True, extra=[
        '-M', 'virt', '-bios', 'none', '-m', '16M',
        '-netdev', 'hubport,id=n0,hubid=0', '-netdev', 'hubport,id=n1,hubid=1',
        '-netdev', 'hubport,id=n2,hubid=2', '-drive', 'if=none,id=d0,driver=null-co,size=1M',
        '-drive', 'if=none,id=d1,driver=null-co,size=1M', '-drive', 'if=virtio,driver=null-co',
        '-device', 'virtio-net-device,netdev=n0', '-device', 'virtio-net-device,netdev=n1,id=nic',
        '-device', 'virtio-blk-device,drive=d0', '-device', 'virtio-blk-device,drive=d1,id=disk',
        '-device', 'virtio-net-device,netdev=n2'])
    qtest = vm.connect_qtest()
    bench.at_end(qtest.close)
    anon = '/machine/peripheral-anon/device[%u]'
    cards = ['virtio-net-device.0', 'nic', 'virtio-net-device.2']
    check_equal([line.split(':')[0] for line in hmp(vm, 'info network').splitlines()
                 if 'type=nic' in line], cards, 'info network')
    check_equal([f['name'] for f in vm.command('query-rx-filter')], cards, 'query-rx-filter')
    check_equal(hmp(vm, 'set_link virtio-net-device.2 off'), '', 'set_link')
    disks = [anon % 1, '/machine/peripheral/disk/virtio-backend', anon % 3]
    check_equal([b['qdev'] for b in vm.command('query-block')], disks, 'query-block')
    check_equal([b['qdev'] for b in vm.command('query-blockstats')], disks, 'query-blockstats')
    check('Attached to:      %s\n' % disks[0] in hmp(vm, 'info block').replace('\r', ''),
          'info block: %s', hmp(vm, 'info block'))
    for directory, want in (('peripheral-anon', ['device[%u]' % i for i in range(4)]),
                            ('peripheral', ['nic', 'disk'])):
        found = vm.command('qom-list', path='/machine/' + directory)
        check_equal([p['name'] for p in found if p['type'].startswith('child<virtio')], want,
                    directory)
    check(all('virtio' not in p['type']
              for p in vm.command('qom-list', path='/machine/unattached')), 'unattached')
    check_equal(vm.command('qom-get', path=anon % 2, property='type'), 'virtio-net-device', 'type')
    ring = Ring(qtest, slot=3, queue=2)     # the last card's control queue
    ring.start()
    ring.qtest.write(DATA, bytes([0, 0, 0]))
    ring.describe(0, DATA, 3, 1, 1)
    ring.describe(1, DATA + 0x100, 1, WRITE)
    ring.offer(0)
    ring.kick()
    ring.wait_used(1)
    check_equal(driven.events(vm, 'NIC_RX_FILTER_CHANGED'), [{'path': anon % 2}], 'the event')


# ---- block nodes ----

def nodes(vm):
    return [n['node-name'] for n in vm.command('query-named-block-nodes')]


def block_nodes(bench):
    """Nodes come and go; those in use stay, and nothing is left of one that could not be made."""
    image = bench.path('image')
    with open(image, 'wb') as f:
        f.truncate(1 << 20)
    vm = start(bench, '-blockdev', 'null-co,node-name=used,size=1M',
               '-device', 'virtio-blk-device,drive=used', '-drive', 'if=none,id=d,driver=null-co')
    first, before = nodes(vm), open_fds(vm)
    for round_ in range(20):
        vm.command('blockdev-add', **{'driver': 'raw', 'node-name': 'r', 'read-only': True,
                                      'file': {'driver': 'file', 'filename': image}})
        check_equal(len(nodes(vm)), len(first) + 2, 'nodes')
        check_equal(open_fds(vm), before + 1, 'descriptors')
        refused(vm, 'Duplicate nodes with node-name=\'r\'', 'blockdev-add', driver='null-co',
                **{'node-name': 'r'})
        refused(vm, 'The sum of offset (1048576) and size (1) has to be smaller or equal to the  actual '
                'size of the containing file (1048576)', 'blockdev-add',
                **{'driver': 'raw', 'node-name': 'q', 'offset': 1 << 20, 'size': 1,
                   'file': {'driver': 'file', 'filename': image, 'node-name': 'under'}})
        check_equal(len(nodes(vm)), len(first) + 2, 'nodes after a refusal')
        vm.command('blockdev-del', **{'node-name': 'r'})
        check_equal((nodes(vm), open_fds(vm)), (first, before), 'nodes and descriptors')
    refused(vm, 'Node used is in use', 'blockdev-del', **{'node-name': 'used'})
    refused(vm, 'node-name=d is conflicting with a device id', 'blockdev-add', driver='null-co',
            **{'node-name': 'd'})
    refused(vm, "Node 'used' is already in use", 'blockdev-add', driver='raw', file='used',
            **{'node-name': 'over'})
    refused(vm, "Failed to find node with node-name='d'", 'blockdev-del', **{'node-name': 'd'})
    vm.command('blockdev-add', driver='file', filename=image, **{'node-name': 'f'})
    vm.command('block_resize', **{'node-name': 'f', 'size': 2 << 20})
    check_equal(os.path.getsize(image), 2 << 20, 'size of the image')


# ---- the clock ----

RTC_LOW, RTC_HIGH = 0x101000, 0x101004
HOUR_NS = 3600 * 10**9


def set_clock(qtest, ns):
    """As the driver of Linux does it: the upper half, then the lower."""
    qtest.command('writel 0x%x 0x%x' % (RTC_HIGH, ns >> 32))
    qtest.command('writel 0x%x 0x%x' % (RTC_LOW, ns & 0xffffffff))


def clock(qtest):
    low = int(qtest.command('readl 0x%x' % RTC_LOW)[-1], 0)
    return int(qtest.command('readl 0x%x' % RTC_HIGH)[-1], 0) << 32 | low


def clock_is_set(bench):
    """RTC_CHANGE says how far the guest's clock is from -rtc base=; a guest that sets it all the time
    is heard once a second, and the last time is told."""
    vm = VM(bench, 'vm', EMULATOR, paused=True, qtest=True, extra=[
        '-M', 'virt', '-bios', 'none', '-m', '16M', '-rtc', 'base=2001-02-03T04:05:06'])
    vm.status()
    qtest = vm.connect_qtest()
    bench.at_end(qtest.close)
    start = clock(qtest)
    qtest.command('writel 0x%x 0x%x' % (RTC_HIGH, (start + HOUR_NS) >> 32))
    check_equal(driven.events(vm, 'RTC_CHANGE'), [], 'half of a setting')
    qtest.command('writel 0x%x 0x%x' % (RTC_LOW, (start + HOUR_NS) & 0xffffffff))
    wait_until(lambda: driven.events(vm, 'RTC_CHANGE'), 20, 'RTC_CHANGE')
    for times in range(200):
        set_clock(qtest, start - (times + 1) * HOUR_NS)
    wait_until(lambda: driven.events(vm, 'RTC_CHANGE')[-1]['offset'] < -199 * 3600, 20,
               'the last RTC_CHANGE')
    found = driven.events(vm, 'RTC_CHANGE')
    check(len(found) < 100, '%d events', len(found))
    for event, hours in ((found[0], 1), (found[-1], -200)):
        check(abs(event['offset'] - 3600 * hours) < 60, '%d hours: %s', hours, event)
        check_equal(vm.command('qom-get', path=event['qom-path'], property='type'), 'goldfish_rtc',
                    'the clock')


# ---- network back ends ----

def netdevs_are_refused(bench):
    """The words are QEMU's, and nothing is left of a back end that could not be made."""
    vm = start(bench, '-netdev', 'hubport,id=h,hubid=1')
    before = open_fds(vm), hmp(vm, 'info network')
    for words, arguments in (
            ("Duplicate ID 'h'", {'id': 'h', 'type': 'hubport', 'hubid': 1}),
            ("Parameter 'id' expects an identifier", {'id': '0', 'type': 'hubport', 'hubid': 1}),
            ("Parameter 'type' does not accept value 'bla'", {'id': 'x', 'type': 'bla'}),
            ("Parameter 'bla' is unexpected", {'id': 'x', 'type': 'socket', 'bla': 1}),
            ("Parameter 'id' is missing", {'type': 'socket'}),
            ("Parameter 'type' is missing", {'id': 'x'}),
            ("Parameter 'hubid' is missing", {'id': 'x', 'type': 'hubport'}),
            ("netdev 'zz' not found", {'id': 'x', 'type': 'hubport', 'hubid': 1, 'netdev': 'zz'}),
            ("dgram requires local= parameter", {'id': 'x', 'type': 'dgram'}),
            ("exactly one of listen=, connect=, mcast= or udp= is required",
             {'id': 'x', 'type': 'socket'})):
        refused(vm, words, 'netdev_add', **arguments)
    refused(vm, "Device 'zz' not found", 'netdev_del', kind='DeviceNotFound', id='zz')
    for words, line in (
            ("Duplicate ID 'h' for netdev", 'netdev_add hubport,id=h,hubid=1'),
            ("Invalid parameter 'bla'", 'netdev_add hubport,id=x,hubid=1,bla=2'),
            ("Parameter 'id' is missing", 'netdev_add'),
            ("Device 'zz' not found", 'netdev_del zz')):
        check_equal(hmp(vm, line).strip(), 'Error: ' + words, line)
    check('hubport' in hmp(vm, 'netdev_add help'), 'no list of types')
    check_equal((open_fds(vm), hmp(vm, 'info network')), before, 'what is there')


def frames(vm, sock):
    """Bytes of the card's announcement that reach the socket; 0: none does, within a second."""
    sock.setblocking(False)
    while True:
        try:
            sock.recv(2000)
        except BlockingIOError:
            break
    vm.command('announce-self', initial=1, max=1, rounds=1, step=1)
    sock.settimeout(1)
    try:
        return len(sock.recv(2000))
    except socket.timeout:
        return 0


def udp(sock):
    host, port = sock.getsockname()
    return {'type': 'inet', 'host': host, 'port': str(port)}


def netdev_carries_packets(bench):
    """A wire plugged into the card's hub carries its packets, and no more once it is removed."""
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.bind(('127.0.0.1', 0))
    bench.at_end(far.close)
    vm = start(bench, '-netdev', 'hubport,id=h,hubid=1',
               '-device', 'virtio-net-device,netdev=h,id=card', paused=False)
    before = open_fds(vm)
    for _ in range(2):
        vm.command('netdev_add', id='wire', type='dgram', remote=udp(far),
                   local={'type': 'inet', 'host': '127.0.0.1', 'port': '0'})
        vm.command('netdev_add', id='port', type='hubport', hubid=1, netdev='wire')
        wait_until(lambda: frames(vm, far), 30, 'a frame')
        vm.command('netdev_del', id='wire')
        check_equal(frames(vm, far), 0, 'bytes from a wire that was removed')
        vm.command('netdev_del', id='port')
        check_equal(open_fds(vm), before, 'descriptors')


def netdev_of_a_card(bench):
    """The card of a back end that is removed stays, without a link; its name is free again."""
    path = bench.path('net.sock')
    vm = start(bench, '-netdev', 'stream,id=n,server=on,addr.type=unix,addr.path=' + path,
               '-device', 'virtio-net-device,netdev=n,id=card')
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.settimeout(30)
        wait_until(lambda: 'unix:' in hmp(vm, 'info network'), 30, 'the connection')
        vm.command('netdev_del', id='n')
        check_equal(peer.recv(1), b'', 'end of the connection')
    check(not os.path.exists(path), 'the socket file was left')
    refused(vm, "Device 'n' not found", 'netdev_del', kind='DeviceNotFound', id='n')
    vm.command('netdev_add', id='n', type='hubport', hubid=3)
    check_equal([line.split(',')[0] for line in hmp(vm, 'info network').splitlines()],
                ['card: index=0', ' \\ n: index=0', 'n: index=0'], 'info network')
    vm.command('set_link', name='card', up=True)
    check_equal(vm.command('announce-self', initial=1, max=1, rounds=1, step=1), {}, 'announce')


def two_private_networks(bench):
    """Each has a section of its own, as with QEMU 10.0."""
    vm = VM(bench, 'vm', EMULATOR, paused=True, extra=[
        '-M', 'virt-10.0', '-bios', 'none', '-m', '16M', '-netdev', 'user,id=a'])
    try:
        for name in 'bc':
            vm.command('netdev_add', id=name, type='user')
    except QMPError as error:
        check('not compiled' in error.desc, 'netdev_add: %s', error)
        return
    vm.command('netdev_del', id='b')
    vm.command('migrate', uri='exec:cat >' + bench.path('stream'))
    wait_until(lambda: vm.command('query-migrate').get('status') == 'completed', 60, 'the end')
    with open(bench.path('stream'), 'rb') as f:
        found = f.read().split(b'\x05slirp')
    check_equal([part[:4].hex() for part in found[1:]], ['00000000', '00000002'], 'instances')


# ---- a chardev that changes ----

def change(vm, name, kind, **data):
    return vm.command('chardev-change', id=name, backend={'type': kind, 'data': data})


def unix_server(path):
    return {'server': True, 'wait': False, 'addr': {'type': 'unix', 'data': {'path': path}}}


def labels(vm):
    return [(c['label'], c['filename']) for c in vm.command('query-chardev')]


S = 'serial0'   # of -serial stdio


def serial_vm(bench, *extra):
    vm = VM(bench, 'vm', EMULATOR, qtest=True,
            extra=['-M', 'virt', '-bios', 'none', '-m', '16M', *extra])
    change(vm, S, 'ringbuf', size=64)
    return vm


def put(qtest, text):
    for c in text:
        qtest.command('writeb 0x10000000 0x%x' % ord(c))


def serial_goes_elsewhere(bench):
    """What the guest writes goes to the new back end, what is typed there comes to the guest."""
    vm = serial_vm(bench)
    qtest, path = vm.connect_qtest(), bench.path('serial')
    put(qtest, 'ab')
    check_equal(vm.command('ringbuf-read', device=S, size=64), 'ab', 'before')
    for _ in range(2):      # the second time in the place of a socket of the same name
        check_equal(change(vm, S, 'socket', **unix_server(path)), {}, 'chardev-change')
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(60)
            peer.connect(path)
            peer.send(b'x')
            wait_until(lambda: int(qtest.command('readb 0x10000005')[-1], 16) == 0x61, 60,
                       'a byte in the port')
            check_equal(int(qtest.command('readb 0x10000000')[-1], 16), ord('x'), 'byte')
            put(qtest, 'c')
            check_equal(peer.recv(10), b'c', 'from the guest')
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(60)
        peer.connect(path)
        wait_until(lambda: dict(labels(vm))[S].startswith('unix:'), 60, 'the connection')
        change(vm, S, 'ringbuf', size=64)
        check_equal(peer.recv(1), b'', 'end of the connection')
    check(not os.path.exists(path), 'the socket file was left')
    put(qtest, 'd')
    check_equal(vm.command('ringbuf-read', device=S, size=64), 'd', 'after')
    check(change(vm, S, 'pty').get('pty', '').startswith('/dev/'), 'no path of the pty')


def changes_are_refused(bench):
    """With QEMU's words; the old one stays, and the one that changed is listed last."""
    vm = serial_vm(bench, '-chardev', 'null,id=free', '-chardev', 'null,id=m,mux=on',
                   '-device', 'virtio-serial-device', '-chardev', 'null,id=port',
                   '-device', 'virtserialport,chardev=port')
    before = sorted(labels(vm))
    for words, name, kind, data in (
            ("Chardev 'zz' does not exist", 'zz', 'null', {}),
            ('Mux device hotswap not supported yet', 'm', 'null', {}),
            ('Chardev user does not support chardev hotswap', 'm-base', 'null', {}),
            ('Chardev user does not support chardev hotswap', 'port', 'null', {}),
            ("Could not open '/nonexistent/x': No such file or directory", S, 'file',
             {'out': '/nonexistent/x'}),
            ('size of ringbuf chardev must be power of two', S, 'ringbuf', {'size': 63})):
        refused(vm, words, 'chardev-change', id=name, backend={'type': kind, 'data': data})
    check_equal(hmp(vm, 'chardev-change serial0 null,id=x'), "Error: Unexpected 'id' parameter\r\n", 'id')
    check_equal(sorted(labels(vm)), before, 'chardevs')
    check_equal(hmp(vm, 'chardev-change free ringbuf'), '', 'chardev-change')
    check_equal(labels(vm)[-1], ('free', 'ringbuf'), 'the last')


# ---- ports of virtio-serial ----

class Control:
    """What a driver does with the control queues, through the qtest port."""

    def __init__(self, qtest):
        self.inbound, self.outbound = Ring(qtest, queue=2, num=32), Ring(qtest, queue=3, num=32)
        self.inbound.start()
        self.outbound.start(reset=False)
        self.qtest, self.read = qtest, 0
        for n in range(16):
            self.inbound.describe(n, DATA + 64 * n, 64, WRITE)
            self.inbound.offer(n)
        self.inbound.kick()

    def message(self):
        """The next that the device sends: port, event, value, text."""
        wait_until(lambda: self.inbound.used_index() > self.read, 30, 'a control message')
        entry = self.inbound.used + 4 + 8 * self.read
        head, length = struct.unpack('<II', self.qtest.read(entry, 8))
        data = self.qtest.read(DATA + 64 * head, length)
        self.read += 1
        return struct.unpack('<IHH', data[:8]) + (data[8:],)

    def send(self, port, event, value):
        self.qtest.write(DATA + 0x4000, struct.pack('<IHH', port, event, value))
        self.outbound.describe(0, DATA + 0x4000, 8, 0)
        self.outbound.offer(0)
        self.outbound.kick()


def port_comes_and_goes(bench):
    """The guest is told of a port that comes, uses it, and is told that it goes; twice."""
    vm = VM(bench, 'vm', EMULATOR, qtest=True, extra=[
        '-M', 'virt', '-bios', 'none', '-m', '16M', '-device', 'virtio-serial-device,id=vs'])
    control = Control(vm.connect_qtest())
    out = Ring(control.qtest, queue=5, num=32)
    out.start(reset=False)
    control.qtest.write(DATA + 0x5000, b'hello')
    for n, kind in enumerate(('virtserialport', 'virtconsole')):
        vm.command('chardev-add', id='c', backend={'type': 'ringbuf', 'data': {}})
        vm.command('device_add', driver=kind, id='p', chardev='c', name='org.x', nr=1)
        check_equal(control.message(), (1, 1, 1, b''), 'PORT_ADD')
        refused(vm, "Chardev 'c' is busy", 'chardev-remove', id='c')
        control.send(1, 3, 1)
        if kind == 'virtconsole':
            check_equal(control.message(), (1, 4, 1, b''), 'CONSOLE_PORT')
        check_equal(control.message(), (1, 7, 1, b'org.x'), 'PORT_NAME')
        check_equal(control.message(), (1, 6, 1, b''), 'PORT_OPEN')
        control.send(1, 6, 1)
        vm.qmp.wait_event('VSERPORT_CHANGE', match=lambda d: d == {'id': 'p', 'open': True})
        out.describe(n, DATA + 0x5000, 5, 0)
        out.offer(n)
        out.kick()
        out.wait_used(n + 1)
        check_equal(vm.command('ringbuf-read', device='c', size=64), 'hello', 'what the guest wrote')
        vm.command('device_del', id='p')
        vm.qmp.wait_event('VSERPORT_CHANGE', match=lambda d: d == {'id': 'p', 'open': False})
        vm.qmp.wait_event('DEVICE_DELETED', match=lambda d: d == {
            'device': 'p', 'path': '/machine/peripheral/p'})
        check_equal(control.message(), (1, 2, 1, b''), 'PORT_REMOVE')
        refused(vm, "Device 'p' not found", 'device_del', kind='DeviceNotFound', id='p')
        vm.command('chardev-remove', id='c')
        vm.qmp.events.clear()


def ports_are_refused(bench):
    """With QEMU's words."""
    vm = start(bench, '-device', 'virtio-serial-device,id=vs', '-device', 'virtserialport,id=old',
               '-chardev', 'null,id=c')
    vm.command('device_add', driver='virtserialport', id='p', chardev='c')
    for words, arguments in (
            ("Duplicate device ID 'p'", {'id': 'p'}),
            ("Property 'virtserialport.chardev' can't take value 'c': Device 'c' is in use",
             {'chardev': 'c'}),
            ("Property 'virtserialport.chardev' can't find value 'zz'", {'chardev': 'zz'}),
            ('Port number 0 on virtio-serial devices reserved for virtconsole devices for backward '
             'compatibility.', {'nr': 0}),
            ('virtio-serial-bus: A port already exists at id 1', {'nr': 1}),
            ('virtio-serial-bus: Out-of-range port id specified, max. allowed: 30', {'nr': 99}),
            ("Property 'virtserialport.bla' not found", {'bla': 1}),
            ("Parameter 'id' expects an identifier", {'id': '2p'}),
            ("Bus 'zz' not found", {'bus': 'zz'})):
        refused(vm, words, 'device_add', driver='virtserialport', **arguments)
    refused(vm, "Bus 'virtio-mmio-bus.7' does not support hotplugging", 'device_del', id='vs')
    vm.set_parameters(max_bandwidth=4096)
    vm.command('migrate', uri='exec:cat >/dev/null')
    refused(vm, 'device_add not allowed while migrating', 'device_add', driver='virtserialport')
    refused(vm, 'device_del not allowed while migrating', 'device_del', id='p')
    vm.command('migrate_cancel')
    wait_until(lambda: vm.migration()['status'] == 'cancelled', 60, 'the cancel')
    check_equal(hmp(vm, 'device_del /machine/peripheral/p'), '', 'device_del')
    check_equal(hmp(vm, 'device_add virtserialport,id=p,nr=7'), '', 'device_add')


def moved_with_a_new_port(bench):
    """A destination has what came later on its command line; one without it refuses."""
    path = bench.path('state')
    vm = start(bench, '-device', 'virtio-serial-device')
    vm.command('device_add', driver='virtserialport', id='p', nr=4)
    vm.command('migrate', uri='file:' + path)
    wait_until(lambda: vm.migration().get('status') == 'completed', 60, 'the source')
    for port, status in (('virtserialport,nr=4', 0), ('virtserialport,nr=5', 1)):
        there = VM(bench, port[-1], EMULATOR, incoming='file:' + path, paused=True, extra=[
            '-M', 'virt', '-bios', 'none', '-m', '16M', '-device', 'virtio-serial-device',
            '-device', port])
        if status:
            check_equal(there.wait_exit(), 1, 'exit status')
        else:
            wait_until(lambda vm=there: vm.status() != 'inmigrate', 60, 'the guest')


def ports_that_are_none(bench):
    """As objects, too, a port is refused that a resolver would leave bits of away."""
    vm = start(bench)
    none = {'host': '127.0.0.1', 'port': '99999999'}
    want = "Port number 99999999 in address '127.0.0.1:99999999' is not in the range 0..65535"
    channel = [{'channel-type': 'main', 'addr': {'transport': 'socket', 'type': 'inet', **none}}]
    refused(vm, want, 'migrate', channels=channel)
    refused(vm, want, 'migrate', uri='tcp:127.0.0.1:99999999')
    refused(vm, want, 'netdev_add', type='stream', id='n', addr={'type': 'inet', **none})
    refused(vm, "Failed to add chardev 'c': " + want, 'chardev-add', id='c', backend={'type': 'socket', 'data': {
        'addr': {'type': 'inet', 'data': none}}})


CASES = [
    Case('ports that are none', ports_that_are_none),
    Case('block nodes come and go', block_nodes),
    Case('the guest sets its clock', clock_is_set),
    Case('port comes and goes', port_comes_and_goes),
    Case('ports that are refused', ports_are_refused),
    Case('moved with a new port', moved_with_a_new_port),
    Case('serial port goes elsewhere', serial_goes_elsewhere),
    Case('changes that are refused', changes_are_refused),
    Case('names without ids', names_without_ids),
    Case('netdevs that are refused', netdevs_are_refused),
    Case('netdev carries packets', netdev_carries_packets),
    Case('netdev of a card', netdev_of_a_card),
    Case('two private networks', two_private_networks),
]

if __name__ == '__main__':
    main(CASES)
