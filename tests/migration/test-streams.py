#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams that were cut off or bent on the way, in bulk: each in a process of its own, which must
neither crash nor hang nor take memory without bound, and must say what is wrong.

A stream cut before its end-of-file mark is never accepted. One with a flipped bit may be: the bit
may belong to a page's content.
"""
import concurrent.futures
import json
import os
import random
import selectors
import signal
import struct
import subprocess
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare, BareNone
from ferrytest.move import force_passes, wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.tap import Case, Failed, check, main, wait_until

EMULATOR = emulators.subject()
WORKERS = 2
LIMIT = 20  # seconds for one stream
MEMORY = 3 << 30  # address space of a loader, far above what these guests need


def has_sanitizer():
    program = EMULATOR.argv[0]
    libraries = subprocess.run(['ldd', program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, check=False).stdout
    return 'asan' in libraries or 'tsan' in libraries


def capture(bench, guest):
    """A stream of several passes with delta pages in it, as bytes."""
    source = VM(bench, 'source', EMULATOR, guest)
    source.set_capabilities(xbzrle=True)
    if guest.mode != 'none':
        wait_alive(source)
    else:
        time.sleep(0.2)
    path = bench.path('stream')
    source.set_parameters(max_bandwidth=4 << 20, downtime_limit=1)
    source.command('migrate', uri='exec:cat > ' + path)
    wait_until(lambda: source.migration().get('ram', {}).get('dirty-sync-count', 0) >= 5
               or source.migration()['status'] == 'completed', 60, 'five passes')
    source.set_parameters(max_bandwidth=0, downtime_limit=5000)
    info = wait_migration(source)
    with open(path, 'rb') as f:
        data = f.read()
    bench.note('%d bytes, %d passes, %d delta pages' %
               (len(data), info['ram']['dirty-sync-count'], info['xbzrle-cache']['pages']))
    source.quit()
    return data


def end_mark(data):
    """Offset of the end-of-file byte: what follows is the description and its length."""
    start = 0
    while True:
        at = data.find(b'\x06', start)
        check(at >= 0, 'no description in the captured stream')
        if at + 5 <= len(data) and at + 5 + struct.unpack('>I', data[at + 1:at + 5])[0] == len(data):
            return at - 1
        start = at + 1


def device_part(data):
    """Offset of the first section that is not RAM."""
    return data.find(b'\x05timer') - 5


class Loader:
    """Feeds streams to processes of their own and judges how they end."""

    def __init__(self, bench, guest):
        self.bench = bench
        self.base = EMULATOR.argv + ['-nodefaults', '-no-user-config', '-display', 'none', '-serial',
                                     'null'] + guest.args(EMULATOR) + [
                                         '-S', '-incoming', 'defer', '-qmp', 'stdio']
        self.limit = 0 if has_sanitizer() else MEMORY

    def _prepare(self):
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.limit:
            resource.setrlimit(resource.RLIMIT_AS, (self.limit, self.limit))

    def load(self, name, data):
        """'completed' or 'refused'; raises Failed for anything else."""
        path = self.bench.path('bent-' + name)
        with open(path, 'wb') as f:
            f.write(data)
        uri = ('file:' if EMULATOR.has_files else 'exec:cat ') + path
        with open(path + '.err', 'wb') as err:
            process = subprocess.Popen(self.base, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=err, preexec_fn=self._prepare)
        try:
            verdict = self._talk(process, uri)
            try:
                code = process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                raise Failed('%s: the process does not end' % name) from None
            with open(path + '.err', errors='replace') as f:
                text = f.read().strip()
            if code < 0 or 'Sanitizer' in text or 'runtime error:' in text:
                raise Failed('%s: crashed (%s): %s' % (name, signal.Signals(-code).name
                                                       if code < 0 else code, text[-800:]))
            if verdict == 'completed':
                check(code == 0, '%s: loaded, but quit ended with %d: %s', name, code, text)
            else:
                check(code == 1, '%s: ended with status %d: %s', name, code, text)
                check(text, '%s: refused without a message', name)
            os.unlink(path)
            return verdict
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdin.close()
            process.stdout.close()
            os.unlink(path + '.err')

    @staticmethod
    def _talk(process, uri):
        caps = [{'capability': 'events', 'state': True}, {'capability': 'xbzrle', 'state': True}]
        try:
            for command, arguments in (('qmp_capabilities', {}),
                                       ('migrate-set-capabilities', {'capabilities': caps}),
                                       ('migrate-incoming', {'uri': uri})):
                line = json.dumps({'execute': command, 'arguments': arguments}) + '\n'
                process.stdin.write(line.encode())
            process.stdin.flush()
        except BrokenPipeError:
            return 'refused'
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            end, buffer = time.monotonic() + LIMIT, b''
            while selector.select(max(0, end - time.monotonic())):
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return 'refused'
                buffer += data
                if b'"completed"' in buffer:
                    try:
                        process.stdin.write(b'{"execute": "quit"}\n')
                        process.stdin.flush()
                    except BrokenPipeError:
                        pass
                    return 'completed'
        raise Failed('no verdict within %d s: %s' % (LIMIT, buffer[-300:]))

    def load_all(self, streams):
        """All of (name, data, must be refused); collects every failure. Counts the verdicts."""
        counts, failures = {'completed': 0, 'refused': 0}, []

        def one(item):
            name, make, must_refuse = item
            data = make()
            verdict = self.load(name, data)
            if must_refuse and verdict != 'refused':
                raise Failed('%s: was accepted' % name)
            return verdict

        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            futures = [pool.submit(one, item) for item in streams]
            for future in futures:
                try:
                    counts[future.result()] += 1
                except Failed as failure:
                    failures.append(str(failure))
        self.bench.note('%(completed)d loaded, %(refused)d refused' % counts)
        check(not failures, '%d of %d: %s', len(failures), len(streams), '\n'.join(failures[:8]))


def seeded(bench):
    seed = int(os.environ.get('FERRYTEST_SEED', int(time.time())))
    bench.note('seed %d (FERRYTEST_SEED)' % seed)
    return random.Random(seed)


def small_virt():
    return Bare('checker', memory=4, harts=2, size='128K')


def small_none():
    return BareNone('checker', memory=4)


def whole(make_guest):
    def run(bench):
        guest = make_guest()
        data = capture(bench, guest)
        check(Loader(bench, guest).load('whole', data) == 'completed', 'the captured stream itself '
              'is refused')
    return run


def cut(make_guest, places):
    """Cut at places all over the stream; at every byte of the beginning and around the end."""
    def run(bench):
        guest = make_guest()
        data = capture(bench, guest)
        end, devices = end_mark(data), device_part(data)
        rng = seeded(bench)
        spots = set(range(0, 24)) | {end, end - 1, devices, devices + 1}
        while len(spots) < places:
            spots.add(rng.randrange(end) if len(spots) % 2 else rng.randrange(devices, end))
        Loader(bench, guest).load_all(
            [('cut-%d' % at, lambda at=at: data[:at], True) for at in sorted(spots)])
    return run


def flipped(make_guest, places):
    """One to three bits turned; half of the places among the device sections, where there are few
    bytes without a meaning."""
    def run(bench):
        guest = make_guest()
        data = capture(bench, guest)
        end, devices = end_mark(data), device_part(data)
        rng = seeded(bench)

        def bent(bits):
            bytes_ = bytearray(data)
            for bit in bits:
                bytes_[bit >> 3] ^= 1 << (bit & 7)
            return bytes(bytes_)

        def bits(number):
            low, high = ((0, 200), (0, devices), (devices, end), (devices, len(data)))[number % 4]
            return [rng.randrange(low * 8, high * 8) for _ in range(1 + number % 3)]

        streams = []
        for number in range(places):
            chosen = bits(number)
            streams.append(('%d-flip-' % number + '-'.join(map(str, chosen)),
                            lambda chosen=chosen: bent(chosen), False))
        Loader(bench, guest).load_all(streams)
    return run


def inflated(bench):
    """Lengths and sizes blown up where they stand: no memory for what is not there."""
    guest = small_virt()
    data = capture(bench, guest)
    streams = []
    for name, at in (('configuration length', 9), ('first section name', 0x16),
                     ('total RAM', 0x22), ('block name', 0x2a), ('block length', 0x3f)):
        for value in (b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff', b'\x00\xff\xff\xff'):
            streams.append(('%s-%s' % (name.replace(' ', '-'), value.hex()),
                            lambda at=at, v=value: data[:at] + v + data[at + 4:], False))
    end = end_mark(data)
    for value in (b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff'):
        streams.append(('description-length-' + value.hex(),
                        lambda v=value: data[:end + 2] + v + data[end + 6:], False))
    Loader(bench, guest).load_all(streams)


CASES = [
    Case('the captured stream loads', whole(small_virt)),
    Case('the captured stream loads, none', whole(small_none)),
    Case('cut at 150 places', cut(small_virt, 150), timeout=400),
    Case('cut at 50 places, none', cut(small_none, 50), timeout=200),
    Case('lengths blown up', inflated),
    Case('bits flipped at 700 places', flipped(small_virt, 700), timeout=900),
    Case('bits flipped at 300 places, none', flipped(small_none, 300), timeout=600),
    Case('bits flipped at 1000 more places', flipped(small_virt, 1000), timeout=900),
]

if __name__ == '__main__':
    main(CASES)
