#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Back ends and ports that come, go and change while the machine runs, on the real program."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.qmp import QMPError  # noqa: E402
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


CASES = [
    Case('netdevs that are refused', netdevs_are_refused),
    Case('netdev carries packets', netdev_carries_packets),
    Case('netdev of a card', netdev_of_a_card),
    Case('two private networks', two_private_networks),
]

if __name__ == '__main__':
    main(CASES)
