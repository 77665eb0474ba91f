#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""multifd with mapped-ram: several threads write and read the pages of one file, whatever the other
side had; with checksums and direct I/O, pages that are written again and again, and where it ends
early or goes wrong."""
import os
import re
import subprocess

from ferrytest import channels, emulators
from ferrytest.guest import Bare, BareNone
from ferrytest.move import (Move, compare_ram, force_passes, save_what_becomes_zero, wait_alive,
                            wait_loaded, wait_migration)
from ferrytest.process import VM
from ferrytest.tap import Case, check, check_equal, main, wait_until

EMULATOR = emulators.subject()
INSPECT = os.path.join(os.environ.get('FERRY_BUILD', 'build'), 'ferry-inspect')
SLOW_SERVERS = os.path.join(os.environ.get('FERRY_BUILD', 'build'),
                            'tests/migration/slow-servers.so')
AT_ONCE = 8


def caps(channels_here, **more):
    return {'mapped_ram': True, 'multifd': bool(channels_here), **more}


def params(channels_here, **more):
    return {**({'multifd_channels': channels_here} if channels_here else {}), **more}


def threads(vm, name, where=''):
    """How many of that name it has; that wait there in the kernel."""
    found = 0
    for task in os.listdir('/proc/%d/task' % vm.process.pid):
        try:
            with open('/proc/%d/task/%s/comm' % (vm.process.pid, task), encoding='ascii') as f:
                is_one = f.read().startswith(name)
            with open('/proc/%d/task/%s/wchan' % (vm.process.pid, task), encoding='ascii') as f:
                found += is_one and where in f.read()
        except FileNotFoundError:
            pass    # it has ended
    return found


def sound(path):
    done = subprocess.run([INSPECT, 'verify', path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, timeout=60)
    check_equal(done.returncode, 0, 'ferry-inspect verify: ' + done.stdout)


def crossed(there, here, direct=(False, False), where=channels.File, in_place=False):
    """Saved by so many threads, its pages again and again; restored by so many. 0: without multifd."""
    def run(bench):
        channel = where(bench)
        move = Move(bench, EMULATOR, Bare('checker', harts=2, size='2M', memory=32), channel,
                    caps=caps(there, x_ram_checksum=True), dst_caps=caps(here),
                    params=params(there, direct_io=direct[0], **{'x-file-in-place': in_place}),
                    dst_params=params(here, direct_io=direct[1]))
        force_passes(move, passes=6)
        passes = move.during

        def during(source, destination):
            wait_until(lambda: threads(source, 'multifdsend') == there, 10, '%d threads' % there)
            passes(source, destination)
        move.during = during
        move.run()
        if channel.offset == 0:
            sound(channel.path)
    return run


def becomes_zero(bench):
    """A page that was written by one thread and is zero in the end is no page of the file."""
    guest = BareNone('idle', memory=16)
    source = VM(bench, 'source', EMULATOR, guest, qtest=True)
    source.set_capabilities(**caps(4, x_ram_checksum=True))
    source.set_parameters(multifd_channels=4)
    channel = channels.File(bench)
    save_what_becomes_zero(bench, source, channel.outgoing)
    sound(channel.path)
    destination = VM(bench, 'destination', EMULATOR, guest, incoming='defer', paused=True)
    destination.set_capabilities(**caps(4))
    destination.set_parameters(multifd_channels=3)
    destination.command('migrate-incoming', uri=channel.incoming)
    wait_loaded(destination)
    compare_ram(bench, source, destination)


def preloaded(bench, name, **options):
    os.environ['LD_PRELOAD'] = SLOW_SERVERS
    try:
        return VM(bench, name, EMULATOR, Bare('checker', size='4M', memory=32), **options)
    finally:
        del os.environ['LD_PRELOAD']


def saving(bench, folder):
    os.mkdir(bench.path(folder))
    vm = preloaded(bench, 'source')
    wait_alive(vm)
    vm.set_capabilities(**caps(4, events=True))
    vm.set_parameters(multifd_channels=4)
    vm.command('migrate', uri='file:' + bench.path(folder) + '/image')
    return vm


def fails(bench):
    """A disk that fails, while several threads write: file, place and cause; the guest runs on."""
    vm = saving(bench, 'broken')
    text = wait_migration(vm, ['failed'])['error-desc']
    bench.note(text)
    words = r"Unable to write to 'file:%s/image' at 0x[0-9a-f]+: Input/output error" % bench.path('broken')
    check(re.search(words, text), 'the message is: %s', text)
    check_equal(vm.status(), 'running', 'run state')
    check_equal(os.listdir(bench.path('broken')), [], 'what is left')
    vm.command('migrate', uri='file:' + bench.path('good'))
    wait_migration(vm)
    sound(bench.path('good'))


def hangs(how):
    """A file server that does not answer any of the threads."""
    def run(bench):
        vm = saving(bench, 'stuck')
        wait_until(lambda: vm.migration().get('status') == 'active', 30, 'active')
        wait_until(lambda: threads(vm, 'multifdsend', 'nanosleep') == 4, 30, 'the threads to be stuck')
        if how == 'quit':
            vm.quit(AT_ONCE)
            return
        vm.command('migrate_cancel')
        wait_migration(vm, ['cancelled'], AT_ONCE)
        check_equal(vm.status(), 'running', 'run state')
        vm.command('migrate', uri='file:' + bench.path('good'))
        wait_migration(vm)
        sound(bench.path('good'))
    return run


def image(bench, folder):
    """Of memory that is full, with checksums."""
    os.mkdir(bench.path(folder))
    vm = VM(bench, 'source', EMULATOR, BareNone('idle', memory=32), qtest=True, paused=True)
    qtest = vm.connect_qtest()
    bench.at_end(qtest.close)
    for at in range(1 << 20, 31 << 20, 1 << 20):
        qtest.memset(at, 1 << 20, at >> 20)
    vm.set_capabilities(**caps(2, x_ram_checksum=True))
    path = os.path.join(bench.path(folder), 'image')
    vm.command('migrate', uri='file:' + path)
    wait_migration(vm)
    return path


def loading(bench, path, preload=True, **more):
    os.environ.update({'LD_PRELOAD': SLOW_SERVERS} if preload else {})
    try:
        vm = VM(bench, 'destination', EMULATOR, BareNone('idle', memory=32), incoming='defer', paused=True)
    finally:
        os.environ.pop('LD_PRELOAD', None)
    vm.set_capabilities(**caps(4, events=True))
    vm.set_parameters(multifd_channels=4, **more)
    vm.command('migrate-incoming', uri='file:' + path, exit_on_error=False)
    return vm


def damaged(bench):
    """One byte of one page, wherever it is: found by whichever thread reads it, and named."""
    path = image(bench, 'images')
    at = os.path.getsize(path) - (9 << 20)
    with open(path, 'r+b') as f:
        f.seek(at)
        f.write(b'?')
    for direct in (False, True):
        vm = loading(bench, path, preload=False, direct_io=direct)
        text = wait_migration(vm, ['failed'])['error-desc']
        bench.note(text)
        check(re.search('mapped-ram: RAM block "ram": the page at 0x[0-9a-f]+ is not what was saved', text),
              'the message is: %s', text)
        vm.quit()


def read_fails(bench):
    """A disk that fails under several threads; mended, the next attempt is good."""
    path = image(bench, 'broken')
    vm = loading(bench, path)
    text = wait_migration(vm, ['failed'])['error-desc']
    bench.note(text)
    check(re.search(r"RAM block \"ram\": cannot read '.*image' at 0x[0-9a-f]+: Input/output error", text),
          'the message is: %s', text)
    os.rename(os.path.dirname(path), bench.path('mended'))
    vm.command('migrate-incoming', uri='file:' + bench.path('mended') + '/image')
    wait_loaded(vm)


def read_hangs(bench):
    """A file server that does not answer any of the threads."""
    path = image(bench, 'stuck')
    vm = loading(bench, path)
    wait_until(lambda: threads(vm, 'multifdrecv', 'nanosleep') == 4, 30, 'the threads to be stuck')
    vm.command('query-migrate')
    vm.quit(AT_ONCE)


def cancelled(bench):
    """Early, in the middle and late; then it is saved after all."""
    guest = Bare('checker', size='4M', memory=32)
    vm = VM(bench, 'source', EMULATOR, guest)
    wait_alive(vm)
    vm.set_capabilities(**caps(8, events=True))
    vm.set_parameters(multifd_channels=8, max_bandwidth=16 << 20, downtime_limit=1)
    path = bench.path('image')
    for pages in (0, 300, 2000):
        vm.command('migrate', uri='file:' + path)
        wait_until(lambda n=pages: vm.migration().get('ram', {}).get('normal', 0) >= n, 30, 'pages')
        vm.command('migrate_cancel')
        wait_migration(vm, ['cancelled'])
        check(not os.path.exists(path), 'the file is there')
        wait_until(lambda: threads(vm, 'multifdsend') == 0, 10, 'the threads to end')
    vm.set_parameters(max_bandwidth=0, downtime_limit=1000)
    vm.command('migrate', uri='file:' + path)
    wait_migration(vm)
    sound(path)


def cases():
    for there, here in ((1, 16), (2, 8), (8, 2), (16, 1), (4, 0), (0, 4)):
        yield Case('%d threads, restored by %d' % (there, here), crossed(there, here))
    yield Case('8 threads, 3, in place', crossed(8, 3, in_place=True))
    yield Case('8 threads, 3, behind an offset', crossed(8, 3, where=channels.FileOffset))
    for there, here in ((1, 2), (2, 8), (8, 1)):
        yield Case('%d threads, restored by %d, direct' % (there, here),
                   crossed(there, here, (True, True)))
    yield Case('4 threads, restored by 4, saved directly', crossed(4, 4, (True, False)))
    yield Case('4 threads, restored by 4, loaded directly', crossed(4, 4, (False, True)))
    yield Case('a page becomes zero', becomes_zero)
    yield Case('a disk that fails', fails)
    yield Case('a file server that hangs, cancel', hangs('cancel'))
    yield Case('a file server that hangs, quit', hangs('quit'))
    yield Case('cancelled', cancelled)
    yield Case('a damaged page', damaged)
    yield Case('reading from a disk that fails', read_fails)
    yield Case('reading from a file server that hangs, quit', read_hangs)


if __name__ == '__main__':
    main(list(cases()))
