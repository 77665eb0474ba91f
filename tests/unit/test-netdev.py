#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev stream, dgram and socket: addresses, connections, texts of info network, events. TAP.

The texts are those that QEMU 10.0 prints for the same options.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

FERRY = sys.argv[1]
DIR = tempfile.TemporaryDirectory(prefix='ferry-netdev-')
LIMIT = 30


def path(name):
    return os.path.join(DIR.name, name)


class Machine:
    """A stopped machine with one back end, and its QMP monitor."""

    def __init__(self, netdev, *options):
        self.qmp_path = path('qmp')
        self.events = []
        self.process = subprocess.Popen(
            [FERRY, '-M', 'virt', '-nodefaults', '-nographic', '-S', '-m', '64', '-bios', 'none',
             '-qmp', f'unix:{self.qmp_path},server=on,wait=off', '-netdev', netdev, *options],
            stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + LIMIT
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        while self.sock.connect_ex(self.qmp_path) and time.monotonic() < until:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)
        # two files: one for both directions forgets at each write what it has read ahead
        self.file, self.out = self.sock.makefile('r'), self.sock.makefile('w')
        self.read()
        self.command('qmp_capabilities')

    def read(self):
        return json.loads(self.file.readline())

    def command(self, name, /, **arguments):
        return self.ask(name, arguments)['return']

    def error(self, name, /, **arguments):
        return self.ask(name, arguments)['error']['desc']

    def ask(self, name, arguments):
        self.out.write(json.dumps({'execute': name, 'arguments': arguments}) + '\n')
        self.out.flush()
        while True:
            answer = self.read()
            if 'event' not in answer:
                return answer
            if answer['event'].startswith('NETDEV_'):
                self.events.append((answer['event'], answer['data']))

    def info(self):
        text = self.command('human-monitor-command', **{'command-line': 'info network'})
        return re.search(r'n0: index=0,type=\w+,(.*?)\r?\n', text).group(1)

    def wait_info(self, pattern):
        until = time.monotonic() + LIMIT
        text = self.info()
        while not re.fullmatch(pattern, text) and time.monotonic() < until:
            time.sleep(0.02)
            text = self.info()
        assert re.fullmatch(pattern, text), (text, pattern)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.out.close()
        self.sock.close()
        self.process.terminate()
        self.process.wait(LIMIT)
        self.process.stderr.close()


def listener(family, address):
    sock = socket.socket(family)
    sock.settimeout(LIMIT)
    sock.bind(address)
    sock.listen()
    return sock


def client(family, address):
    sock = socket.socket(family)
    sock.settimeout(LIMIT)
    sock.connect(address)
    return sock


def free_port():
    with listener(socket.AF_INET, ('127.0.0.1', 0)) as sock:
        return sock.getsockname()[1]


CONNECTED, DISCONNECTED = 'NETDEV_STREAM_CONNECTED', 'NETDEV_STREAM_DISCONNECTED'


def test_stream_server():
    """One peer at a time; who comes meanwhile waits and is next."""
    with Machine(f'stream,id=n0,server=on,addr.type=unix,addr.path={path("s")}') as m:
        assert m.info() == 'listening', m.info()
        first = client(socket.AF_UNIX, path('s'))
        m.wait_info(re.escape(f'unix:{path("s")}'))
        second = client(socket.AF_UNIX, path('s'))
        first.close()
        until = time.monotonic() + LIMIT
        while len(m.events) < 3 and time.monotonic() < until:
            m.command('query-status')
        second.close()
        m.wait_info('listening')
    where = {'netdev-id': 'n0', 'addr': {'type': 'unix', 'path': path('s')}}
    assert m.events[:4] == [(CONNECTED, where), (DISCONNECTED, {'netdev-id': 'n0'}),
                            (CONNECTED, where), (DISCONNECTED, {'netdev-id': 'n0'})], m.events
    assert not os.path.exists(path('s'))


def test_stream_addresses():
    name = f'ferry-{os.getpid()}'
    with Machine(f'stream,id=n0,server=on,addr.type=unix,addr.path={name},addr.abstract=on') as m:
        with client(socket.AF_UNIX, '\0' + name):
            m.wait_info('unix:' + name)
    with listener(socket.AF_INET, ('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        inet = f'stream,id=n0,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port={port}'
        with Machine(inet) as m:
            assert m.info() == 'error: Failed to find an available port: Address already in use'
        with Machine(inet + f',addr.to={min(port + 50, 65535)}') as m:
            assert m.info() == 'listening', m.info()
    with Machine('stream,id=n0,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=0,'
                 'addr.ipv4=off,addr.ipv6=off') as m:
        assert m.info() == 'error: Cannot disable IPv4 and IPv6 at same time', m.info()


def test_stream_client():
    """Nobody there is no reason not to start; with reconnect-ms the server may come later."""
    port = free_port()
    inet = f'stream,id=n0,addr.type=inet,addr.host=127.0.0.1,addr.port={port}'
    with Machine(inet) as m:
        m.wait_info(f"error: Failed to connect to '127.0.0.1:{port}': Connection refused")
    with Machine(f'stream,id=n0,addr.type=unix,addr.path={path("none")}') as m:
        m.wait_info(f"error: Failed to connect to '{path('none')}': No such file or directory")
    with Machine(f'stream,id=n0,reconnect-ms=50,addr.type=unix,addr.path={path("late")}') as m:
        assert m.info() == 'connecting'
        with listener(socket.AF_UNIX, path('late')) as server:
            for _ in range(2):
                peer = server.accept()[0]
                m.wait_info(re.escape(f'unix:{path("late")}'))
                peer.close()
                until = time.monotonic() + LIMIT
                while m.events[-1:] != [(DISCONNECTED, {'netdev-id': 'n0'})]:
                    m.command('query-status')
                    assert time.monotonic() < until
    assert [name for name, _ in m.events[:4]] == [CONNECTED, DISCONNECTED] * 2, m.events


def test_slow_name():
    """Looking up a name holds nothing up: the monitor answers, whatever comes of it."""
    with Machine('stream,id=n0,reconnect-ms=100,addr.type=inet,addr.host=no-such-host.invalid,'
                 'addr.port=1') as m:
        assert m.info() == 'connecting', m.info()


def test_dgram():
    near, far = free_port(), free_port()
    with Machine(f'dgram,id=n0,local.type=inet,local.host=127.0.0.1,local.port={near},'
                 f'remote.type=inet,remote.host=127.0.0.1,remote.port={far}') as m:
        assert m.info() == f'udp=127.0.0.1:{near}/127.0.0.1:{far}', m.info()
    with Machine(f'dgram,id=n0,local.type=unix,local.path={path("a")},'
                 f'remote.type=unix,remote.path={path("b")}') as m:
        assert m.info() == f'udp={path("a")}:{path("b")}', m.info()
    group = 'remote.type=inet,remote.host=230.0.0.1,remote.port=6102'
    with Machine(f'dgram,id=n0,{group},local.type=inet,local.host=127.0.0.1,local.port=0') as m:
        assert m.info() == 'mcast=230.0.0.1:6102', m.info()
    with Machine('socket,id=n0,mcast=230.0.0.1:6104,localaddr=127.0.0.1') as m:
        assert m.info() == 'socket: mcast=230.0.0.1:6104', m.info()


MAC = bytes.fromhex('525400123456')
RARP = (b'\xff' * 6 + MAC + bytes.fromhex('8035 0001 0800 06 04 0003') + MAC + bytes(4) +
        MAC).ljust(60, b'\0')


class Wire:
    """The other end of a card."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 0))
        port = self.sock.getsockname()[1]
        self.netdev = (f'dgram,id=n0,local.type=inet,local.host=127.0.0.1,local.port=0,'
                       f'remote.type=inet,remote.host=127.0.0.1,remote.port={port}')

    def frames(self, count):
        """The next frames, and that none is there behind them."""
        self.sock.settimeout(LIMIT)
        got = [self.sock.recv(2048) for _ in range(count)]
        self.sock.settimeout(0.3)
        try:
            got.append(self.sock.recv(2048))
        except TimeoutError:
            pass
        assert got == [RARP] * count, [frame.hex() for frame in got]


def test_announce():
    """Rounds, names, ids, links, and that nothing is said while the guest may run elsewhere."""
    wire = Wire()
    few = {'initial': 10, 'max': 30, 'step': 10, 'rounds': 4}
    endless = {'initial': 100000, 'max': 100000, 'step': 1, 'rounds': 1000}

    with Machine(wire.netdev, '-device', 'virtio-net-device,netdev=n0,id=net0') as m:
        m.command('announce-self', **few)
        wire.frames(0)
        m.command('cont')
        wire.frames(4)
        m.command('announce-self', **few, interfaces=['net0', 'other'], id='a')
        wire.frames(4)
        m.command('announce-self', **few, interfaces=['n0'])
        m.command('announce-self', **{**few, 'rounds': 0}, id='b')
        wire.frames(0)
        m.command('announce-self', **endless, id='a')
        wire.frames(1)
        m.command('announce-self', **few, id='a')
        wire.frames(4)
        m.command('set_link', name='net0', up=False)
        m.command('announce-self', **few)
        wire.frames(0)
        m.command('set_link', name='net0', up=True)
        m.command('migrate-set-parameters', **{'announce-rounds': 2, 'announce-initial': 1})
        for line, count in ('announce_self', 2), ('announce_self net0', 2), ('announce_self n0', 0), \
                           ('announce_self "" c', 2):
            m.command('human-monitor-command', **{'command-line': line})
            wire.frames(count)
        for name in few:
            assert m.error('announce-self', **{**few, name: -1}) == \
                f"Parameter '{name}' expects a number that is not negative"
    wire.sock.close()


def test_announce_again():
    """The same id starts over; another one goes on beside it."""
    wire = Wire()
    slow = {'initial': 100000, 'max': 100000, 'step': 1, 'rounds': 2}
    with Machine(wire.netdev, '-device', 'virtio-net-device,netdev=n0') as m:
        m.command('announce-self', **slow, id='a')
        m.command('announce-self', **slow, id='a')
        m.command('announce-self', **slow, id='b')
        m.command('announce-self', **slow)
        m.command('cont')
        wire.frames(3)
    wire.sock.close()


def test_refused():
    unix = 'addr.type=unix,addr.path=/x'
    group = 'remote.type=inet,remote.host=230.0.0.1,remote.port=1'
    cases = {
        'stream,id=n0,server=on': "Parameter 'addr' is missing",
        'stream,id=n0,addr.type=inet': "Parameter 'addr.host' is missing",
        'stream,id=n0,addr.type=inet,addr.host=127.0.0.1': "Parameter 'addr.port' is missing",
        'stream,id=n0,addr.type=unix': "Parameter 'addr.path' is missing",
        'stream,id=n0,addr.type=zork': "Parameter 'type' does not accept value 'zork'",
        f'stream,id=n0,{unix},reconnect=1,reconnect-ms=1':
            "'reconnect' and 'reconnect-ms' are mutually exclusive",
        f'stream,id=n0,{unix},server=on,reconnect-ms=1':
            "'reconnect' and 'reconnect-ms' options are incompatible with socket in server mode",
        'dgram,id=n0': 'dgram requires local= parameter',
        'dgram,id=n0,local.type=unix,local.path=/x':
            'type=inet or type=unix requires remote parameter',
        'dgram,id=n0,local.type=unix,local.path=/x,remote.type=inet,remote.host=127.0.0.1,'
        'remote.port=5': 'remote and local types must be the same',
        f'dgram,id=n0,{group},local.type=unix,local.path=/x':
            'only support inet or fd type for local',
        'socket,id=n0': 'exactly one of listen=, connect=, mcast= or udp= is required',
        'socket,id=n0,mcast=127.0.0.1:6104': 'specified mcastaddr 127.0.0.1 (0x7f000001) does not '
                                             'contain a multicast address',
    }
    for netdev, message in cases.items():
        run = subprocess.run([FERRY, '-M', 'virt', '-nodefaults', '-nographic', '-S',
                              '-netdev', netdev],
                             stderr=subprocess.PIPE, text=True, timeout=LIMIT, check=False)
        assert run.returncode == 1, netdev
        assert run.stderr.strip().endswith(f'-netdev {netdev}: {message}'), run.stderr


def main():
    tests = [fn for name, fn in globals().items() if name.startswith('test_')]
    print(f'1..{len(tests)}', flush=True)
    failed = 0
    for number, fn in enumerate(tests, 1):
        try:
            fn()
            print(f'ok {number} - {fn.__name__}', flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f'not ok {number} - {fn.__name__}\n# {error!r}', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
