#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Parallel channels and parallel files, timed: Ferry to Ferry and, in turns, QEMU 10.0 to QEMU 10.0.

A stopped guest, so many MiB of its memory filled with

    zero      nothing
    random    bytes that cannot be compressed
    text      words that can

    sockets   over the loopback, 2 and 4 channels, none, zlib and zstd: milliseconds that the source says,
              CPU seconds per GiB of memory on either side
    save      random memory to a new file: as a stream; mapped; mapped with multifd, 2 channels; the same
              with direct-io: milliseconds from the command to "completed" as a client sees it
    restore   those files, none of them in the page cache: from migrate-incoming until the guest is there;
              file and memory are as large for both

The two programs take turns (A B, B A ...); the source stays, a destination is new each time. What was
written is on the disk before the next turn begins; neither program waits for that itself, as QEMU never does
and Ferry without x-file-sync does not (--sync leaves it on). Printed are the medians, in brackets the least
and the most, the ratio Ferry to QEMU of the medians and, in brackets, of the least; then what the disk does by
itself: so much random data written and read with O_DIRECT, 1 MiB at a time.

    parallel.py [--memory MIB] [--fill MIB] [--runs N] [--parts sockets,files] [--kinds zero,...] [--sync]
"""
import argparse
import mmap
import os
import time

from common import Filled, cpu_seconds, ratio, settle_host, show
from ferrytest import emulators
from ferrytest.channels import TCP4
from ferrytest.move import wait_migration
from ferrytest.process import VM
from ferrytest.tap import Bench

MIB = 1 << 20
TEXT = b'The quick brown fox jumps over the lazy dog, page %d, and so on until the line ends.\n'


def content(bench, kind, mib):
    if kind == 'zero':
        return None
    path = bench.path(kind)
    with open(path, 'wb') as f:
        for i in range(mib):
            text = b''.join(TEXT % (i * 10000 + n) for n in range(MIB // 80))
            f.write(os.urandom(MIB) if kind == 'random' else text[:MIB].ljust(MIB, b'\n'))
    return path


def report(name, found, columns):
    """found: {program: [(value, ...), ...]}"""
    for i, (column, form) in enumerate(columns):
        ours, theirs = ([turn[i] for turn in found[program]] for program in ('ferry', 'qemu'))
        print('%-34s %-10s ferry %s, qemu %s: %s' % (name, column, show(ours, form), show(theirs, form),
                                                     ratio(ours, theirs)), flush=True)


def programs():
    return {'ferry': emulators.ferry(), 'qemu': emulators.qemu100()}


def in_turns(runs, memory, do):
    """{program: [what do(program, turn) gave]}; the first turn warms up."""
    found = {'ferry': [], 'qemu': []}
    for turn in range(runs + 1):
        for program in ('ferry', 'qemu') if turn % 2 else ('qemu', 'ferry'):
            settle_host(memory)
            value = do(program, turn)
            if turn:
                found[program].append(value)
    return found


def again(vm):
    vm.command('cont')
    vm.command('stop')


def by_socket(bench, sources, memory, name, channels, compression):
    params = {'multifd_channels': channels, 'multifd_compression': compression}

    def move(program, turn):
        vm = sources[program]
        there = VM(bench, '%s-%s-%d' % (name, program, turn), programs()[program], Filled(memory),
                   incoming='defer', paused=True)
        channel = TCP4(bench)
        there.set_capabilities(multifd=True)
        there.set_parameters(**params)
        there.command('migrate-incoming', uri=channel.incoming)
        vm.set_capabilities(multifd=True, mapped_ram=False)
        vm.set_parameters(max_bandwidth=0, **params)
        before = cpu_seconds(vm), cpu_seconds(there)
        vm.command('migrate', uri=channel.outgoing)
        info = wait_migration(vm)
        spent = cpu_seconds(vm) - before[0], cpu_seconds(there) - before[1]
        there.quit()
        again(vm)
        return (info['total-time'],) + tuple(s * 1024 / memory for s in spent)
    return move


def sockets(bench, options):
    for kind in options.kinds.split(','):
        file = content(bench, kind, options.fill)
        sources = {program: VM(bench, '%s-%s' % (program, kind), emulator, Filled(options.memory, file),
                               paused=True) for program, emulator in programs().items()}
        for channels in (2, 4):
            for compression in ('none', 'zlib', 'zstd'):
                name = '%s, %d channels, %s' % (kind, channels, compression)
                tag = '%s%d%s' % (kind, channels, compression)
                move = by_socket(bench, sources, options.memory, tag, channels, compression)
                report(name, in_turns(options.runs, options.memory, move),
                       (('ms', '%.0f'), ('src s/GiB', '%.2f'), ('dst s/GiB', '%.2f')))
        for vm in sources.values():
            vm.quit()


FILES = {   # how: capabilities, direct-io
    'stream': ({}, False),
    'mapped': ({'mapped_ram': True}, False),
    'mapped, multifd 2': ({'mapped_ram': True, 'multifd': True}, False),
    'mapped, multifd 2, direct': ({'mapped_ram': True, 'multifd': True}, True),
}


def forget(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def configure(vm, how, sync=False):
    caps, direct = FILES[how]
    if vm.emulator.is_ferry:
        vm.set_parameters(**{'x-file-sync': sync})
    vm.set_capabilities(**{'mapped_ram': False, 'multifd': False, **caps})
    vm.set_parameters(multifd_channels=2, multifd_compression='none', direct_io=direct)


def saving(sources, paths, how, sync):
    def save(program, _turn):
        vm, path = sources[program], paths[program]
        if os.path.exists(path):
            os.unlink(path)
        configure(vm, how, sync)
        vm.set_parameters(max_bandwidth=0)
        start = time.monotonic()
        cpu = cpu_seconds(vm)
        vm.command('migrate', uri='file:' + path)
        while vm.migration()['status'] != 'completed':
            time.sleep(0.002)
        value = (time.monotonic() - start) * 1e3, (cpu_seconds(vm) - cpu) * 1e3
        again(vm)
        return value
    return save


def restoring(bench, paths, memory, how):
    def restore(program, turn):
        forget(paths[program])
        vm = VM(bench, 'restored-%s-%d' % (program, turn), programs()[program], Filled(memory),
                incoming='defer', paused=True)
        configure(vm, how)
        start = time.monotonic()
        cpu = cpu_seconds(vm)
        vm.command('migrate-incoming', uri='file:' + paths[program])
        while vm.status() == 'inmigrate':
            time.sleep(0.002)
        value = (time.monotonic() - start) * 1e3, (cpu_seconds(vm) - cpu) * 1e3
        vm.quit()
        return value
    return restore


def raw(bench, mib):
    path = bench.path('raw')
    page = mmap.mmap(-1, MIB)
    page.write(os.urandom(MIB))
    times = []
    for flags in (os.O_WRONLY | os.O_CREAT, os.O_RDONLY):
        fd = os.open(path, flags | os.O_DIRECT, 0o600)
        start = time.monotonic()
        for _ in range(mib):
            if flags & os.O_WRONLY:
                os.write(fd, page)
            else:
                os.readv(fd, [page])
        if flags & os.O_WRONLY:
            os.fsync(fd)
        times.append((time.monotonic() - start) * 1e3)
        os.close(fd)
    os.unlink(path)
    return times


def files(bench, options):
    file = content(bench, 'random', options.fill)
    sources = {program: VM(bench, program + '-files', emulator, Filled(options.memory, file), paused=True)
               for program, emulator in programs().items()}
    paths = {program: bench.path('image-' + program) for program in sources}
    columns = (('ms', '%.0f'), ('CPU ms', '%.0f'))
    for how in FILES:
        report('save, ' + how,
               in_turns(options.runs, options.memory, saving(sources, paths, how, options.sync)), columns)
        report('restore, ' + how,
               in_turns(options.runs, options.memory, restoring(bench, paths, options.memory, how)), columns)
    for vm in sources.values():
        vm.quit()
    times = [raw(bench, options.fill) for _ in range(options.runs)]
    print('the disk: written in %s ms, read in %s ms' % tuple(show(column) for column in zip(*times)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--memory', type=int, default=1024, help='MiB of the guest')
    parser.add_argument('--fill', type=int, default=900, help='MiB of them that hold something')
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--sync', action='store_true', help='Ferry waits for the disk')
    parser.add_argument('--kinds', default='zero,random,text', help='of memory, for sockets')
    parser.add_argument('--parts', default='sockets,files')
    options = parser.parse_args()
    print('load before: %.1f %.1f %.1f' % os.getloadavg())
    bench = Bench('parallel')
    try:
        for part in options.parts.split(','):
            {'sockets': sockets, 'files': files}[part](bench, options)
    finally:
        bench.close()
    print('load after: %.1f %.1f %.1f' % os.getloadavg())


if __name__ == '__main__':
    main()
