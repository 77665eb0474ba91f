#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole migrations, timed: Ferry to Ferry and, in the same run, QEMU 10.0 to QEMU 10.0.

The same guest, on the same CPU, over the loopback:

    idle      Linux, 1 GiB, half of it filled; no bandwidth limit
    idle-rp   the same with a return path: the source waits for the destination's word
    loaded    the load generator at a fixed rate, XBZRLE, 64 MiB cache, 32 MiB/s, 300 ms
    beat      a bare guest of 64 MiB that prints a line each millisecond: its own view
    disk      Linux, 256 MiB, two harts, which writes its disk without an end, conv=fsync on
              cache=none: requests are in flight when it is stopped
    save      a stopped guest of 512 MiB, 400 of them random bytes, to a new file

The two programs take turns (A B, B A, A B ...), each with its guest moving on from process to process;
the other's guest is stopped meanwhile. Before each move so much memory is touched and given back as
the move will take: on a virtual host, memory that was long free comes several times more slowly, and
who goes first would pay for it. What the last move has written to disk is on the disk.

Printed for each is the median of all moves, half the distance of the quartiles, and in brackets the
least and the most; then the ratios of the medians with the least and the most ratio of one turn, and
the host's load before and after.

    down    what query-migrate says: until all is sent or, with a return path, confirmed
    gap     what can be seen from outside, for both alike: from the source's STOP event to the
            destination's RESUME event; for beat, from the last byte that the guest printed here
            to the first that it printed there
    wall    for save: from the command to "completed" as a client sees it
    s/GiB   CPU seconds of all threads during the migration, per GiB of pages sent in any form;
            under load the source's are its software CPU's as well

    migration.py [--memory MIB] [--fill MIB] [--runs N] [--cases A,B] [--peer qemu-7.2] [--only NAME]
"""
import argparse
import os
import select
import statistics
import sys
import threading
import time

from common import Filled, cpu_seconds, settle_host
from ferrytest import emulators
from ferrytest.channels import TCP4
from ferrytest.guest import Bare, Linux
from ferrytest.move import wait_loaded, wait_migration
from ferrytest.process import VM
from ferrytest.tap import Bench, Failed, wait_until

BOOT = 300  # seconds
MIB = 1 << 20
PAGE = 4096
SETTLE = 1.0  # seconds that a guest runs before it is moved
RANDOM_MIB = 400


class RandomBytes(Filled):
    """A guest that never runs, with RANDOM_MIB of random bytes in its memory."""

    def __init__(self):
        super().__init__(512)   # the file is set later, by Saver, which can clean up


class Case:
    """What is moved, and how."""

    def __init__(self, guest, caps=None, params=None, beat=False, save=False, disk=False):
        self.guest = guest
        self.caps = caps or {}
        self.params = params or {}
        self.beat = beat
        self.save = save
        self.disk = disk


def cases(options):
    fill = '%dM' % options.fill
    idle = Linux('loadgen', memory=options.memory, size='4K', rate=10, fill=fill)
    loaded = Linux('loadgen', memory=options.memory, rate=options.rate, fill=fill)
    return {
        'idle': Case(idle, params={'max-bandwidth': 0}),
        'idle-rp': Case(idle, {'return-path': True}, {'max-bandwidth': 0}),
        'loaded': Case(loaded, {'xbzrle': True},
                       {'max-bandwidth': 32 * MIB, 'downtime-limit': 300,
                        'xbzrle-cache-size': 64 * MIB}),
        'beat': Case(Bare('idle', memory=64, tick=1, print=1), params={'max-bandwidth': 0},
                     beat=True),
        'disk': Case(Linux('loadgen', memory=256, harts=2, size='4K', rate=10, shell=True),
                     params={'max-bandwidth': 0}, disk=True),
        'save': Case(RandomBytes(), params={'max-bandwidth': 0}, save=True),
    }


# ---- what is measured ----

COLUMNS = (  # attribute, heading, unit's divisor, format
    ('total_ms', 'total ms', 1, '%.0f'), ('down_ms', 'down ms', 1, '%.0f'),
    ('gap_ms', 'gap ms', 1, '%.2f'), ('wall_ms', 'wall ms', 1, '%.0f'),
    ('bytes', 'MiB', MIB, '%.1f'), ('passes', 'passes', 1, '%.0f'),
    ('down_bytes', 'down KiB', 1024, '%.0f'), ('source_cpu', 'src s/GiB', 1, '%.2f'),
    ('destination_cpu', 'dst s/GiB', 1, '%.2f'))


class Result:
    """One migration's numbers; what the case does not have is None."""

    def __init__(self, info, gap_ms, source_cpu, destination_cpu, wall_ms=None):
        ram = info['ram']
        pages = ram['normal'] + ram['duplicate'] + info.get('xbzrle-cache', {}).get('pages', 0)
        gib = max(pages, 1) * PAGE / (1 << 30)
        self.total_ms = info['total-time']
        self.down_ms = info['downtime']
        self.gap_ms = gap_ms
        self.wall_ms = wall_ms
        self.bytes = ram['transferred']
        self.passes = ram['dirty-sync-count']
        self.down_bytes = ram.get('downtime-bytes', 0)
        self.source_cpu = source_cpu / gib
        self.destination_cpu = None if destination_cpu is None else destination_cpu / gib


def values_of(results, attribute):
    return [v for v in (getattr(r, attribute) for r in results) if v is not None]


def spread(values):
    """Half the distance of the quartiles."""
    if len(values) < 2:
        return 0
    low, _, high = statistics.quantiles(values, n=4, method='inclusive')
    return (high - low) / 2


def print_results(name, results):
    print('%s (%d moves)' % (name, len(results)))
    for attribute, heading, divisor, form in COLUMNS:
        values = [v / divisor for v in values_of(results, attribute)]
        if values:
            print(('    %-10s ' + form + ' +- ' + form + '  [' + form + ' .. ' + form + ']') % (
                heading, statistics.median(values), spread(values), min(values), max(values)),
                flush=True)


def ratio(ferry, peer, attribute):
    """Of the medians, then the least and the most of one turn; None if the case has no such thing."""
    ours, theirs = values_of(ferry, attribute), values_of(peer, attribute)
    if not ours or not theirs:
        return None
    a, b = statistics.median(ours), statistics.median(theirs)
    if not b or 0 in theirs:
        return '%g to %g' % (a, b)
    turns = [x / y for x, y in zip(ours, theirs)]
    return '%.2f [%.2f .. %.2f]' % (a / b, min(turns), max(turns))


def print_ratios(name, ferry, peer, peer_name):
    found = [(text, ratio(ferry, peer, attribute)) for text, attribute in (
        ('total', 'total_ms'), ('reported downtime', 'down_ms'), ('gap', 'gap_ms'),
        ('wall', 'wall_ms'), ('bytes', 'bytes'), ('source CPU', 'source_cpu'),
        ('destination CPU', 'destination_cpu'))]
    print("%s, of %s's:" % (name, peer_name))
    for text, words in found:
        if words:
            print('    %-17s %s' % (text, words), flush=True)


def stamp_ms(event):
    return event['timestamp']['seconds'] * 1e3 + event['timestamp']['microseconds'] / 1e3


def event_gap(source, there):
    """STOP to RESUME: both are stamped by the same host's clock."""
    def last(vm, name):
        return stamp_ms([e for e in vm.qmp.poll_events() if e['event'] == name][-1])
    return last(there, 'RESUME') - last(source, 'STOP')


class Beats:
    """Console output with the time of each piece.

    One thread, which reads pipes that take the place of the consoles' files; ends with close().
    """

    def __init__(self, bench):
        self.bench = bench
        self.times = {}
        self._files = {}
        self._ended = False
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        bench.at_end(self.close)

    def listen(self, name):
        """Before the process of this name starts."""
        path = self.bench.path(name + '.console')
        os.mkfifo(path)
        self.times[name] = []
        self._files[os.open(path, os.O_RDWR | os.O_NONBLOCK)] = name

    def _loop(self):
        while not self._ended:
            files = list(self._files)
            for fd in select.select(files, [], [], 0.05)[0]:
                os.read(fd, 65536)
                self.times[self._files[fd]].append(time.monotonic() * 1e3)

    def gap(self, here, there):
        wait_until(lambda: len(self.times[there]) > 3, 10, 'the guest to print in %s' % there)
        return self.times[there][0] - self.times[here][-1]

    def close(self):
        self._ended = True
        self._thread.join(5)
        for fd in self._files:
            os.close(fd)


# ---- moving ----

DISK_BYTES = 64 * MIB
DISK_LOAD = ('while :; do dd if=/dev/urandom of=/dev/vda bs=64k count=100 conv=fsync,notrunc '
             '2>/dev/null; done &\n')


class Mover:
    """One program's guest, moving from process to process."""

    def __init__(self, bench, emulator, case):
        self.bench = bench
        self.emulator = emulator
        self.case = case
        self.beats = Beats(bench) if case.beat else None
        self.number = 0
        self.results = []
        self.extra = self._disk() if case.disk else ()
        self.vm = self._start(paused=False)

    def _disk(self):
        path = self.bench.path('disk-' + self.emulator.name)
        with open(path, 'wb') as f:
            f.truncate(DISK_BYTES)
        return ['-drive', 'file=%s,format=raw,if=none,id=d0,cache=none,file.locking=off' % path,
                '-device', 'virtio-blk-device,drive=d0']

    def _start(self, **how):
        name = '%s-%d' % (self.emulator.name.replace('.', ''), self.number)
        self.number += 1
        if self.beats:
            self.beats.listen(name)
        return VM(self.bench, name, self.emulator, self.case.guest, extra=self.extra, **how)

    def wait_booted(self):
        if self.beats:
            wait_until(lambda: len(self.beats.times[self.vm.name]) > 20, BOOT, 'the guest')
        else:
            self.vm.console.wait_for('loadgen: gen=', BOOT)
        if self.case.disk:
            self.vm.console.wait_for('guest# ', BOOT)
            self.vm.console.type(DISK_LOAD)

    def rest(self):
        self.vm.command('stop')

    def move(self):
        """Moves the guest on and notes the numbers; it is stopped afterwards."""
        case, source = self.case, self.vm
        there = self._start(paused=False, incoming='defer')
        states = {name.replace('-', '_'): state for name, state in case.caps.items()}
        source.set_capabilities(**states)
        there.set_capabilities(**{n: s for n, s in states.items() if n == 'return_path'})
        source.command('migrate-set-parameters', **case.params)
        uri = TCP4(self.bench).outgoing
        there.command('migrate-incoming', uri=uri)
        source.command('cont')
        time.sleep(SETTLE)
        before = cpu_seconds(source), cpu_seconds(there)
        source.command('migrate', uri=uri)
        wait_migration(source, timeout=120)
        source_cpu = cpu_seconds(source) - before[0]
        wait_loaded(there)
        destination_cpu = cpu_seconds(there) - before[1]
        time.sleep(0.2)     # QEMU 7.2 says "completed" before it has written the times down
        gap = (self.beats.gap(source.name, there.name) if self.beats
               else event_gap(source, there))
        self.results.append(Result(source.migration(), gap, source_cpu, destination_cpu))
        source.quit()
        if not self.beats:  # a dead guest would make the next move cheap
            there.console.wait_for('loadgen: gen=', 30)
        there.command('stop')
        there.set_capabilities(**{n: False for n in states})
        self.vm = there


class Saver:
    """One program's stopped guest, saved to a file again and again."""

    def __init__(self, bench, emulator, case):
        self.emulator = emulator
        self.results = []
        self.path = bench.path('saved')
        case.guest.file = bench.path('random')
        if not os.path.exists(case.guest.file):
            with open(case.guest.file, 'wb') as f:
                for _ in range(RANDOM_MIB):
                    f.write(os.urandom(MIB))
        self.vm = VM(bench, emulator.name.replace('.', ''), emulator, case.guest, paused=True)
        self.vm.command('migrate-set-parameters', **case.params)

    def wait_booted(self):
        self.vm.status()

    def rest(self):
        pass

    def move(self):
        vm, cpu, start = self.vm, cpu_seconds(self.vm), time.monotonic()
        vm.command('migrate', uri='file:' + self.path)
        wait_migration(vm)
        wall_ms = (time.monotonic() - start) * 1e3
        self.results.append(Result(vm.migration(), None, cpu_seconds(vm) - cpu, None, wall_ms))
        os.unlink(self.path)
        vm.command('cont')      # out of postmigrate
        vm.command('stop')


def measure(name, case, subjects, runs):
    """name of the emulator -> results."""
    bench = Bench(name)
    movers = []
    try:
        movers = [(Saver if case.save else Mover)(bench, e, case) for e in subjects]
        for mover in movers:
            mover.wait_booted()
        time.sleep(SETTLE)
        for mover in movers:
            mover.rest()
        for number in range(runs):
            for mover in movers if number % 2 == 0 else movers[::-1]:
                if number == 0 or mover.emulator.restores_sstc:
                    settle_host(case.guest.memory * 2)
                    mover.move()    # a guest that QEMU 7.2 has moved once is deaf to its timer
    except Failed as error:
        print('%s: %s' % (name, error))
        for line in bench.explain():
            print('    ' + line)
    finally:
        bench.close()
    return {m.emulator.name: m.results for m in movers if m.results}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--memory', type=int, default=1024, help='MiB of the guest')
    parser.add_argument('--fill', type=int, default=400, help='MiB that hold something')
    parser.add_argument('--rate', type=int, default=50000, help='increments per second, loaded')
    parser.add_argument('--runs', type=int, default=5, help='moves of each program and case')
    parser.add_argument('--cases', default='idle,idle-rp,loaded,beat,disk,save')
    parser.add_argument('--only', choices=['ferry', 'qemu-10.0', 'qemu-7.2'])
    parser.add_argument('--peer', choices=['qemu-10.0', 'qemu-7.2'], default='qemu-10.0')
    options = parser.parse_args()
    if (options.only or 'ferry') != 'ferry':
        options.peer = options.only
    cpu, peer = {'qemu-10.0': (emulators.CPU_T10, emulators.qemu100()),
                 'qemu-7.2': (emulators.CPU_T7, emulators.qemu72())}[options.peer]
    ferry = emulators.ferry('virt-' + peer.version, cpu)
    subjects = [e for e in (ferry, peer) if options.only in (None, e.name)]
    for emulator in subjects:
        if emulator.missing():
            print('%s: skipped: %s' % (emulator.name, emulator.missing()))
    subjects = [e for e in subjects if not e.missing()]
    found = {}
    print('load before: %.1f %.1f %.1f' % os.getloadavg())
    for name in options.cases.split(','):
        found[name] = measure(name, cases(options)[name], subjects, options.runs)
        for emulator, results in found[name].items():
            print_results('%s, %s' % (name, emulator), results)
    for name, by_emulator in found.items():
        if 'ferry' in by_emulator and peer.name in by_emulator:
            print_ratios(name, by_emulator['ferry'], by_emulator[peer.name], peer.name)
    print('load after: %.1f %.1f %.1f' % os.getloadavg())
    complete = all('ferry' in f or options.only == peer.name for f in found.values())
    return 0 if complete else 1


if __name__ == '__main__':
    sys.exit(main())
