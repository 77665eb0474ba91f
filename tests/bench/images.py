#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images (mapped-ram), timed: what checksums cost, and what a lazy restore is worth.

    save       a stopped guest with so many MiB of random bytes to a new file, with and without
               x-ram-checksum, taking turns: milliseconds that query-migrate says, CPU milliseconds
    restore    such an image, eagerly and lazily, with checksums and without: milliseconds from
               migrate-incoming until the guest is there, and until all of its memory is
    sparse     the same with 16 GiB of memory, 100 MiB of it used
    again      the first guest to the same path, in full and with x-incremental when a twentieth of what it
               uses was written since, each with x-file-sync and without, taking turns: milliseconds, and
               how many bytes are written for each that is new

The files of the first three are in the page cache: it is the program that is measured, not the disk. Printed are the median
and in brackets the least and the most; ratios are of the medians and, in brackets, of the least.

    images.py [--memory MIB] [--fill MIB] [--runs N]
"""
import argparse
import os
import statistics
import time

from common import Filled, cpu_seconds, ratio, show
from ferrytest import emulators
from ferrytest.move import wait_migration
from ferrytest.process import VM
from ferrytest.tap import Bench

MIB = 1 << 20


def save(vm, path, checksum):
    """(ms, CPU ms)"""
    vm.set_capabilities(mapped_ram=True, x_ram_checksum=checksum)
    cpu = cpu_seconds(vm)
    vm.command('migrate', uri='file:' + path)
    info = wait_migration(vm)
    vm.command('cont')
    vm.command('stop')
    return info['total-time'], (cpu_seconds(vm) - cpu) * 1000


def restore(bench, name, path, memory, lazy):
    """ms until the guest is there, and its memory."""
    vm = VM(bench, name, emulators.ferry(), Filled(memory), incoming='defer', paused=True)
    vm.set_capabilities(mapped_ram=True, x_mapped_ram_lazy=lazy)
    start = time.monotonic()
    vm.command('migrate-incoming', uri='file:' + path)
    while vm.status() == 'inmigrate':
        time.sleep(0.0005)
    there = time.monotonic()
    wait_migration(vm)
    end = time.monotonic()
    vm.quit()
    return (there - start) * 1e3, (end - start) * 1e3


def run(bench, name, memory, fill, runs):
    random = bench.path('random')
    with open(random, 'wb') as f:
        for _ in range(fill):
            f.write(os.urandom(MIB))
    vm = VM(bench, name, emulators.ferry(), Filled(memory, random), paused=True)
    vm.set_parameters(max_bandwidth=0)
    images = {sums: bench.path('%s-%d' % (name, sums)) for sums in (False, True)}
    saves = {False: [], True: []}
    for turn in range(runs * 2):
        for sums in (False, True) if turn % 2 else (True, False):
            if os.path.exists(images[sums]):
                os.unlink(images[sums])
            os.sync()
            saves[sums].append(save(vm, images[sums], sums))
    vm.quit()
    print('%s: %d MiB, %d of them used' % (name, memory, fill))
    columns = {sums: list(zip(*saves[sums])) for sums in saves}
    for i, what in enumerate(('ms', 'CPU ms')):
        print('  save, %-6s  plain %s, checksums %s: %s' %
              (what, show(columns[False][i]), show(columns[True][i]),
               ratio(columns[True][i], columns[False][i])))
    restores = {(lazy, sums): [] for lazy in (False, True) for sums in (False, True)}
    for turn in range(runs):
        for lazy, sums in sorted(restores, reverse=turn % 2):
            restores[lazy, sums].append(restore(bench, '%s-%d%d%d' % (name, turn, lazy, sums),
                                                images[sums], memory, lazy))
    for (lazy, sums), found in sorted(restores.items()):
        there, whole = zip(*found)
        print('  restore, %s, %-9s  guest %s ms, memory %s ms' %
              ('lazy ' if lazy else 'eager', 'checksums' if sums else 'plain', show(there), show(whole)))
    whole = {key: [r[1] for r in found] for key, found in restores.items()}
    print('  memory: lazy to eager %s; checksums to plain %s' %
          (ratio(whole[True, False], whole[False, False]), ratio(whole[False, True], whole[False, False])))
    for path in list(images.values()) + [random]:
        os.unlink(path)


def written(vm):
    with open('/proc/%d/io' % vm.process.pid, encoding='ascii') as f:
        return int(dict(line.split(': ') for line in f.read().split('\n') if line)['wchar'])


def save_again(vm, path, incremental, sync):
    """(ms, bytes written for each that is new)"""
    vm.set_capabilities(mapped_ram=True, x_incremental=incremental)
    vm.set_parameters(**{'x-file-sync': sync})
    before = written(vm)
    vm.command('migrate', uri='file:' + path)
    info = wait_migration(vm)
    wrote = written(vm) - before
    vm.command('cont')
    vm.command('stop')
    return info['total-time'], wrote / max(info['ram']['normal'] * 4096, 1)


def again(bench, memory, fill, runs):
    random = bench.path('random')
    with open(random, 'wb') as f:
        for _ in range(fill):
            f.write(os.urandom(MIB))
    vm = VM(bench, 'again', emulators.ferry(), Filled(memory, random), paused=True, qtest=True)
    qtest = vm.connect_qtest()
    vm.set_parameters(max_bandwidth=0)
    kinds = [(incremental, sync) for incremental in (False, True) for sync in (False, True)]
    found = {kind: [] for kind in kinds}
    paths = {kind: bench.path('again-%d%d' % kind) for kind in kinds}
    for turn in range(runs):
        for kind in kinds if turn % 2 else kinds[::-1]:
            if kind[0]:
                save_again(vm, paths[kind], *kind)      # the last one was to another file
            for i in range(fill * 256 // 20 // 16):     # in runs of 16
                qtest.memset(0x81000000 + i * 20 * 16 * 4096, 16 * 4096, turn * 16 + i % 16 + 1)
            os.sync()
            found[kind].append(save_again(vm, paths[kind], *kind))
    for (incremental, sync), saves in found.items():
        ms, share = zip(*saves)
        print('  again, %s, %s  %s ms, %.2f bytes written for each' %
              ('incremental' if incremental else 'in full    ', 'sync   ' if sync else 'no sync',
               show(ms), statistics.median(share)))
    ms = {kind: [s[0] for s in saves] for kind, saves in found.items()}
    print('  sync to no sync %s; incremental to full, both with sync %s' %
          (ratio(ms[False, True], ms[False, False]), ratio(ms[True, True], ms[False, True])))
    qtest.close()
    vm.quit()
    for path in list(paths.values()) + [random]:
        os.unlink(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--memory', type=int, default=1024, help='MiB of the guest')
    parser.add_argument('--fill', type=int, default=400, help='MiB of them that hold random bytes')
    parser.add_argument('--runs', type=int, default=5)
    options = parser.parse_args()
    print('load before: %.1f %.1f %.1f' % os.getloadavg())
    bench = Bench('images')
    try:
        run(bench, 'full', options.memory, options.fill, options.runs)
        run(bench, 'sparse', 16384, 100, options.runs)
        again(bench, options.memory, options.fill, options.runs)
    finally:
        bench.close()
    print('load after: %.1f %.1f %.1f' % os.getloadavg())


if __name__ == '__main__':
    main()
