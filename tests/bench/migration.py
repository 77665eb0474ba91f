#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole migrations, timed: Ferry to Ferry and, in the same run, QEMU 10.0 to QEMU 10.0.

The same Linux guest of 1 GiB, on the same CPU, idle and under load, over the loopback:

    idle    nothing but its timer; half of its memory filled; no bandwidth limit
    loaded  the load generator at a fixed rate, XBZRLE, 64 MiB cache, 32 MiB/s, 300 ms

Printed for each: total time, downtime, bytes and their rate, passes, pages, and the CPU seconds of
source and destination during the migration, whole and per GiB of pages sent in whatever form; then
the ratios. All threads count, so under load the source's seconds are its software CPU's as well.

    migration.py [--memory MIB] [--fill MIB] [--runs N] [--peer qemu-7.2] [--only NAME]
"""
import argparse
import os
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'tests', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.channels import TCP4  # noqa: E402
from ferrytest.guest import Linux  # noqa: E402
from ferrytest.move import wait_loaded, wait_migration  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.tap import Bench, Failed  # noqa: E402

BOOT = 300  # seconds
MIB = 1 << 20
PAGE = 4096


class Result:
    """One migration's numbers."""

    def __init__(self, info, source_cpu, destination_cpu):
        ram = info['ram']
        delta = info.get('xbzrle-cache', {})
        self.total_ms = info['total-time']
        self.down_ms = info['downtime']
        self.bytes = ram['transferred']
        self.passes = ram['dirty-sync-count']
        self.whole = ram['normal']
        self.zero = ram['duplicate']
        self.deltas = delta.get('pages', 0)
        self.source_cpu = source_cpu
        self.destination_cpu = destination_cpu

    def per_gib(self, seconds):
        return seconds * (1 << 30) / (max(self.whole + self.zero + self.deltas, 1) * PAGE)

    def line(self, name):
        return '%-22s %8d %9d %9.1f %9.1f %7d %9d %9d %8d %7.2f %7.2f %9.2f %9.2f' % (
            name, self.total_ms, self.down_ms, self.bytes / MIB,
            self.bytes / MIB / max(self.total_ms, 1) * 1000, self.passes, self.whole, self.zero,
            self.deltas, self.source_cpu, self.destination_cpu, self.per_gib(self.source_cpu),
            self.per_gib(self.destination_cpu))


HEAD = '%-22s %8s %9s %9s %9s %7s %9s %9s %8s %7s %7s %9s %9s' % (
    '', 'total ms', 'down ms', 'MiB', 'MiB/s', 'passes', 'whole', 'zero', 'delta', 'src s', 'dst s',
    'src s/GiB', 'dst s/GiB')


def cpu_seconds(vm):
    """What all threads of the process have used so far, in user and kernel mode."""
    with open('/proc/%d/stat' % vm.process.pid, encoding='utf-8') as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def guests(options):
    """name -> (guest, capabilities, parameters)."""
    fill = '%dM' % options.fill
    return {
        'idle': (Linux('loadgen', memory=options.memory, size='4K', rate=10, fill=fill),
                 {}, {'max-bandwidth': 0}),
        'loaded': (Linux('loadgen', memory=options.memory, rate=options.rate, fill=fill),
                   {'xbzrle': True},
                   {'max-bandwidth': 32 * MIB, 'downtime-limit': 300,
                    'xbzrle-cache-size': 64 * MIB}),
    }


def destination(bench, emulator, guest, name, uri):
    vm = VM(bench, name, emulator, guest, paused=True, incoming='defer')
    vm.command('migrate-incoming', uri=uri)
    return vm


def move(bench, source, guest, caps, params, number):
    """Moves the guest on to a new process, which it returns with the numbers."""
    name = 'hop%d' % number
    uri = TCP4(bench).outgoing
    there = destination(bench, source.emulator, guest, name, uri)
    for capability, state in caps.items():
        source.set_capabilities(**{capability: state})
    source.command('migrate-set-parameters', **params)
    before = cpu_seconds(source), cpu_seconds(there)
    source.command('migrate', uri=uri)
    wait_migration(source, timeout=120)
    source_cpu = cpu_seconds(source) - before[0]
    wait_loaded(there)
    destination_cpu = cpu_seconds(there) - before[1]
    time.sleep(0.2)         # QEMU 7.2 says "completed" before it has written the times down
    info = source.migration()
    for capability in caps:     # the destination of the next hop is a source again
        there.set_capabilities(**{capability: False})
    source.quit()
    there.command('cont')
    there.console.wait_for('loadgen: gen=', 30)     # a dead guest would make the next hop cheap
    return there, Result(info, source_cpu, destination_cpu)


def measure(emulator, name, guest, caps, params, runs):
    """Boots once, moves `runs` times; the best by total time."""
    bench = Bench('%s-%s' % (emulator.name, name))
    results = []
    try:
        vm = VM(bench, 'boot', emulator, guest)
        vm.console.wait_for('loadgen: gen=', BOOT)
        for number in range(runs):
            if number and not emulator.restores_sstc:
                break           # a guest that QEMU 7.2 has moved once is deaf to its timer
            vm, result = move(bench, vm, guest, caps, params, number)
            results.append(result)
    except Failed as error:
        print('%s: %s' % (bench.name, error))
        for line in bench.explain():
            print('    ' + line)
    finally:
        bench.close()
    return min(results, key=lambda r: r.total_ms) if results else None


def ratios(name, ferry, qemu, peer):
    def ratio(a, b):
        return '%.2f' % (a / b) if b else '-'
    print('%-22s total time %s, downtime %s, bytes %s, passes %s, CPU s/GiB: source %s, '
          'destination %s, both %s of %s\'s' % (
              name + ':', ratio(ferry.total_ms, qemu.total_ms),
              ratio(ferry.down_ms, qemu.down_ms), ratio(ferry.bytes, qemu.bytes),
              ratio(ferry.passes, qemu.passes),
              ratio(ferry.per_gib(ferry.source_cpu), qemu.per_gib(qemu.source_cpu)),
              ratio(ferry.per_gib(ferry.destination_cpu), qemu.per_gib(qemu.destination_cpu)),
              ratio(ferry.per_gib(ferry.source_cpu + ferry.destination_cpu),
                    qemu.per_gib(qemu.source_cpu + qemu.destination_cpu)), peer))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--memory', type=int, default=1024, help='MiB of the guest')
    parser.add_argument('--fill', type=int, default=400, help='MiB that hold something')
    parser.add_argument('--rate', type=int, default=50000, help='increments per second, loaded')
    parser.add_argument('--runs', type=int, default=3, help='moves of which the best is shown')
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
    print(HEAD, flush=True)
    for name, (guest, caps, params) in guests(options).items():
        for emulator in subjects:
            result = measure(emulator, name, guest, caps, params, options.runs)
            if result:
                found[name, emulator.name] = result
                print(result.line('%s, %s' % (name, emulator.name)), flush=True)
    for name in ('idle', 'loaded'):
        if (name, 'ferry') in found and (name, peer.name) in found:
            ratios(name, found[name, 'ferry'], found[name, peer.name], peer.name)
    return 0 if any(key[1] == 'ferry' for key in found) or options.only == peer.name else 1


if __name__ == '__main__':
    sys.exit(main())
