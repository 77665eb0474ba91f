#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole migrations, timed: Ferry to Ferry and, in the same run, installed QEMU to QEMU.

The same Linux guest of 1 GiB, idle and under load, over a unix socket:

    idle    nothing but its timer; half of its memory filled; no bandwidth limit
    loaded  the load generator at a fixed rate, XBZRLE, 64 MiB cache, 32 MiB/s, 300 ms

Printed for each: total time, downtime, bytes and their rate; then the ratios. QEMU's software CPU
and its dirty log differ from Ferry's; the comparison is of what a user sees.

    migration.py [--memory MIB] [--fill MIB] [--runs N] [--only ferry|qemu-7.2]
"""
import argparse
import os
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'tests', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.guest import Linux  # noqa: E402
from ferrytest.move import wait_loaded, wait_migration  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.tap import Bench, Failed  # noqa: E402

BOOT = 300  # seconds
MIB = 1 << 20


class Result:
    """One migration's numbers."""

    def __init__(self, info):
        ram = info['ram']
        delta = info.get('xbzrle-cache', {})
        self.total_ms = info['total-time']
        self.down_ms = info['downtime']
        self.bytes = ram['transferred']
        self.passes = ram['dirty-sync-count']
        self.whole = ram['normal']
        self.zero = ram['duplicate']
        self.deltas = delta.get('pages', 0)

    def line(self, name):
        return '%-22s %8d %9d %9.1f %9.1f %7d %9d %9d %8d' % (
            name, self.total_ms, self.down_ms, self.bytes / MIB,
            self.bytes / MIB / max(self.total_ms, 1) * 1000, self.passes, self.whole, self.zero,
            self.deltas)


HEAD = '%-22s %8s %9s %9s %9s %7s %9s %9s %8s' % (
    '', 'total ms', 'down ms', 'MiB', 'MiB/s', 'passes', 'whole', 'zero', 'delta')


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
    uri = 'unix:' + bench.path(name + '.migrate')
    there = destination(bench, source.emulator, guest, name, uri)
    for capability, state in caps.items():
        source.set_capabilities(**{capability: state})
    source.command('migrate-set-parameters', **params)
    source.command('migrate', uri=uri)
    wait_migration(source, timeout=120)
    time.sleep(0.2)         # QEMU 7.2 says "completed" before it has written the times down
    info = source.migration()
    wait_loaded(there)
    for capability in caps:     # the destination of the next hop is a source again
        there.set_capabilities(**{capability: False})
    source.quit()
    there.command('cont')
    return there, Result(info)


def measure(emulator, name, guest, caps, params, runs):
    """Boots once, moves `runs` times; the best by total time."""
    bench = Bench('%s-%s' % (emulator.name, name))
    results = []
    try:
        vm = VM(bench, 'boot', emulator, guest)
        vm.console.wait_for('loadgen: gen=', BOOT)
        for number in range(runs):
            if number and not emulator.restores_clint:
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


def ratios(name, ferry, qemu):
    def ratio(a, b):
        return '%.2f' % (a / b) if b else '-'
    print('%-22s total time %s, downtime %s, bytes %s of QEMU\'s' % (
        name + ':', ratio(ferry.total_ms, qemu.total_ms), ratio(ferry.down_ms, qemu.down_ms),
        ratio(ferry.bytes, qemu.bytes)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--memory', type=int, default=1024, help='MiB of the guest')
    parser.add_argument('--fill', type=int, default=400, help='MiB that hold something')
    parser.add_argument('--rate', type=int, default=50000, help='increments per second, loaded')
    parser.add_argument('--runs', type=int, default=3, help='moves of which the best is shown')
    parser.add_argument('--only', choices=['ferry', 'qemu-7.2'])
    options = parser.parse_args()
    subjects = [e for e in (emulators.ferry(), emulators.qemu72())
                if options.only in (None, e.name)]
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
        if (name, 'ferry') in found and (name, 'qemu-7.2') in found:
            ratios(name, found[name, 'ferry'], found[name, 'qemu-7.2'])
    return 0 if any(key[1] == 'ferry' for key in found) or options.only == 'qemu-7.2' else 1


if __name__ == '__main__':
    sys.exit(main())
