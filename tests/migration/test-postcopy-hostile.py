#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A destination of a postcopy that asks for the same page millions of times, for pages outside RAM, for
blocks that are not there, and says other nonsense: the source serves or drops it, keeps its memory and
its monitors, and its guest is whole when somebody takes it back."""
import random
import re
import socket
import struct
import threading
import time

from ferrytest import emulators
from ferrytest.guest import Bare
from ferrytest.move import Journey, wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.tap import Case, check, check_equal, main, wait_until

RAM = b'riscv_virt_board.ram'
PAGE = 4096


def message(kind, data):
    return struct.pack('>HH', kind, len(data)) + data


def request(start, size=PAGE, block=None):
    data = struct.pack('>QI', start, size)
    return message(4, data) if block is None else message(3, data + bytes([len(block)]) + block)


class Hostile:
    """Listens, reads all that it is sent and forgets it, says what it is told to."""

    def __init__(self, bench):
        self._listener = socket.socket()
        self._listener.bind(('127.0.0.1', 0))
        self._listener.listen(4)
        self.uri = 'tcp:127.0.0.1:%d' % self._listener.getsockname()[1]
        self._socket = None
        bench.at_end(self._listener.close)

    def accept(self):
        self._listener.settimeout(60)
        self._socket, _ = self._listener.accept()
        threading.Thread(target=self._drain, args=(self._socket,), daemon=True).start()

    @staticmethod
    def _drain(s):
        try:
            while s.recv(1 << 16):
                pass
        except OSError:
            pass

    def say(self, data):
        """False: the source has ended the talk."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def leave(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def resident(vm):
    with open('/proc/%d/status' % vm.process.pid, encoding='ascii') as f:
        return int(re.search(r'VmRSS:\s+(\d+) kB', f.read())[1])


def nonsense(dice):
    """Some message that no destination says."""
    far = dice.choice((1 << 40, (1 << 64) - PAGE, 16 << 20, (16 << 20) - PAGE, 1, PAGE - 1))
    return dice.choice((
        request(far, dice.choice((PAGE, 2 * PAGE, 0, 0xfffff000)), RAM),
        request(0, dice.choice((0, 1, 100, 0xffffffff)), RAM),
        request(0, PAGE, dice.choice((b'none', b'', b'\xff' * 255, RAM + b'x', b'a\0b'))),
        message(5, bytes([len(RAM)]) + RAM) + struct.pack('>Q', dice.choice((0, 8, 1 << 63))),
        message(6, struct.pack('>I', 1)),
        message(dice.randrange(8, 1 << 16), b''),
        message(3, b'\0' * 5), struct.pack('>HH', 3, 65535), message(4, b'x' * 12),
    ))


def begin(bench):
    source = VM(bench, 'source', emulators.ferry(), Bare('checker', 16, 1, size='4M'))
    hostile = Hostile(bench)
    journey = Journey()
    journey.vms.append(source)
    wait_alive(source)
    source.set_capabilities(events=True, postcopy_ram=True)
    source.set_parameters(max_bandwidth=1 << 20, x_postcopy_background='none')
    source.command('migrate', uri=hostile.uri)
    hostile.accept()
    wait_migration(source, ('active',))
    source.command('migrate-start-postcopy')
    wait_migration(source, ('postcopy-active',))
    return source, hostile, journey


def unharmed(source, journey, before):
    """The guest was never taken: it is whole here."""
    now = resident(source)
    check(now < before + (8 << 10), 'the source had %d KiB and has %d', before, now)
    source.command('migrate_cancel')
    wait_migration(source, ('failed',))
    lines = len(source.console.statuses())
    source.command('cont')
    wait_until(lambda: len(source.console.statuses()) > lines + 3, 60, 'the guest to work')
    journey.check()


def flood(count):
    """Good requests, far more than there are pages."""
    def run(bench):
        source, hostile, journey = begin(bench)
        before = resident(source) + (16 << 10)
        check(hostile.say(request(0, PAGE, RAM)), 'it does not listen')
        start, longest, said = time.monotonic(), 0, 1
        block = b''.join(request(page * PAGE) for page in random.choices(range(64), k=5000))
        while said < count:
            check(hostile.say(block), 'it listens no more: %s', source.migration())
            said += 5000
            if said % 100000 < 5000:
                asked = time.monotonic()
                source.command('query-status')
                longest = max(longest, time.monotonic() - asked)
        bench.note('%d requests in %.1f s; a monitor took %.0f ms at most' %
                   (said, time.monotonic() - start, 1000 * longest))
        wait_until(lambda: source.migration()['x-postcopy']['requests'] >= said, 120,
                   'all of them to be read')
        pages = source.migration()['x-postcopy']
        check(pages['requested'] <= 64, 'pages were sent again: %s', pages)
        check(longest < 5, 'a monitor took %.1f s', longest)
        hostile.leave()
        wait_migration(source, ('postcopy-paused',))
        unharmed(source, journey, before)
    return run


def outside(count, talks):
    """Requests that cannot be served end the talk; it comes back with more of them, `talks` times."""
    def run(bench):
        seed = random.randrange(1 << 30)
        bench.note('seed %d' % seed)
        dice = random.Random(seed)
        source, hostile, journey = begin(bench)
        before = resident(source) + (16 << 10)
        for number in range(talks):
            for _ in range(count // talks // 100 + 1):
                if not hostile.say(b''.join(nonsense(dice) for _ in range(100))):
                    break
            wait_until(lambda: source.migration()['status'] == 'postcopy-paused', 60, 'the pause')
            hostile.leave()
            check_equal(source.status(), 'finish-migrate', 'the source')
            if number < talks - 1:
                source.command('migrate', uri=hostile.uri, resume=True)
                hostile.accept()
        unharmed(source, journey, before)
    return run


main([
    Case('the same pages for ever', flood(200000)),
    Case('what is not there', outside(20000, 20)),
    Case('the same pages for ever, 10 million', flood(10000000), full=True, timeout=900),
    Case('what is not there, often', outside(10000000, 400), full=True, timeout=900),
])
