#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""direct-io: a mapped file is written and read around the page cache, alone or by both sides, by
path and by the two descriptors that libvirt hands over."""
import ctypes
import mmap
import os

from ferrytest import channels, emulators
from ferrytest.guest import Bare, BareNone
from ferrytest.move import Move, compare_ram, force_passes, wait_loaded, wait_migration
from ferrytest.process import VM
from ferrytest.tap import Case, check, check_equal, main, need

EMULATOR = emulators.subject()
GUEST = BareNone('idle', memory=64)
FILLED = (4 << 20, 60 << 20)    # of the guest's memory
PAGE = 4096


def cached(path):
    """How many pages of the file are in the page cache, and how many there are."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                          ctypes.c_int, ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    size = os.path.getsize(path)
    pages = (size + PAGE - 1) // PAGE
    fd = os.open(path, os.O_RDONLY)
    at = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    seen = ctypes.create_string_buffer(pages)
    check_equal(libc.mincore(at, size, seen), 0, 'mincore')
    libc.munmap(at, size)
    return sum(b & 1 for b in seen.raw[:pages]), pages


def need_direct(folder):
    """This folder's file system has O_DIRECT, and a page cache that can be emptied."""
    path = os.path.join(folder, 'probe')
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    except OSError as error:
        need(False, 'no O_DIRECT in %s: %s', folder, error)
        return
    os.close(fd)
    with open(path, 'wb') as f:
        f.write(bytes(1 << 20))
        f.flush()
        os.fsync(f.fileno())
    forget(path)
    need(cached(path)[0] == 0, 'the page cache of %s cannot be emptied' % folder)


def forget(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def fill(vm):
    """Different pages, each non-zero."""
    qtest = vm.connect_qtest()
    for at in range(FILLED[0], FILLED[1], 1 << 20):
        qtest.memset(at, 1 << 20, at >> 20)
        qtest.writeq(at + 0x3008, at)
    qtest.close()


def untouched(path, doing):
    have, pages = cached(path)
    check(pages > (FILLED[1] - FILLED[0]) // PAGE, 'the file has %d pages only', pages)
    check(have <= 64, '%s left %d of %d pages in the page cache', doing, have, pages)
    return have, pages


def round_trip(save_direct, load_direct, layout='mapped_ram', how='path', multifd=0):
    def run(bench):
        need_direct(bench.dir)
        path = bench.path('image')
        uri = 'file:' + path
        vm = VM(bench, 'source', EMULATOR, GUEST, qtest=True, paused=True)
        fill(vm)
        caps = {layout: True, 'multifd': bool(multifd)}
        vm.set_capabilities(**caps)
        vm.set_parameters(direct_io=save_direct, multifd_channels=multifd or 2)
        if how == 'in place':
            vm.set_parameters(**{'x-file-in-place': True})
        if how == 'fdset':      # as libvirt does it; the one without O_DIRECT comes last
            for flags in (os.O_DIRECT, 0):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
                vm.qmp.command('add-fd', fds=[fd], fdset_id=3)
                os.close(fd)
            uri = 'file:/dev/fdset/3,offset=0x10000'
        if how == 'offset':
            uri += ',offset=0x10000'
        vm.command('migrate', uri=uri)
        wait_migration(vm)
        if save_direct:
            bench.note('saving left %d of %d pages in the page cache' % untouched(path, 'saving'))
        else:
            check(cached(path)[0] > 1000, 'the page cache is not used without direct-io')
        forget(path)
        there = VM(bench, 'restored', EMULATOR, GUEST, incoming='defer', paused=True)
        there.set_capabilities(**caps)
        there.set_parameters(direct_io=load_direct, multifd_channels=multifd or 2)
        if how == 'fdset':
            for flags in (os.O_DIRECT, 0):
                fd = os.open(path, os.O_RDONLY | flags)
                there.qmp.command('add-fd', fds=[fd], fdset_id=3)
                os.close(fd)
        there.command('migrate-incoming', uri=uri)
        wait_loaded(there)
        if load_direct:
            bench.note('loading left %d of %d pages there' % untouched(path, 'loading'))
        compare_ram(bench, vm, there)
    return run


def running(bench):
    """A guest that writes all the while, its pages written again and again."""
    guest = Bare('checker', harts=2, size='2M', memory=32)
    move = Move(bench, EMULATOR, guest, channels.File(bench), caps={'mapped_ram': True},
                params={'direct_io': True})
    force_passes(move, passes=5)
    move.run()


def cases():
    for save in (True, False):
        for load in (True, False):
            if save or load:
                yield Case('saved %s, loaded %s' % (('directly' if save else 'through the cache'),
                                                    ('directly' if load else 'through the cache')),
                           round_trip(save, load))
    for how in ('in place', 'offset', 'fdset'):
        yield Case('both, ' + how, round_trip(True, True, how=how))
    for multifd, how in ((1, 'path'), (2, 'fdset'), (8, 'offset')):
        yield Case('both, %d threads, %s' % (multifd, how), round_trip(True, True, how=how, multifd=multifd))
    yield Case('both, fixed-ram', round_trip(True, True, layout='fixed_ram'))
    yield Case('a guest that writes', running)


if __name__ == '__main__':
    main(list(cases()))
