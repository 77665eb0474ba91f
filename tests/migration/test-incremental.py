#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Saving again into the same file (x-incremental): only what was written since goes into it, and the
file says what it said until all of that is in it."""
import hashlib
import os
import random
import subprocess
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare, BareNone
from ferrytest.move import Journey, compare_ram, wait_alive, wait_loaded, wait_migration
from ferrytest.process import VM
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, check, check_equal, main, need, wait_until

EMULATOR = emulators.ferry()
INSPECT = os.path.join(os.environ.get('FERRY_BUILD', 'build'), 'ferry-inspect')
SEED = int(os.environ.get('FERRYTEST_SEED', 0)) or random.SystemRandom().randrange(1 << 32)
CAPS = {'mapped_ram': True, 'x_incremental': True}
PAGE = 4096


def inspect(*args):
    done = subprocess.run([INSPECT, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, timeout=60)
    return done.returncode, done.stdout


def written(vm):
    """Bytes that the process has handed to the kernel so far, whatever for."""
    with open('/proc/%d/io' % vm.process.pid, encoding='ascii') as f:
        return dict(line.split(': ') for line in f.read().split('\n') if line)['wchar']


def save(vm, path, status='completed'):
    vm.command('migrate', uri='file:' + path)
    return wait_migration(vm, [status]).get('x-file', {})


def restore(bench, name, guest, path, **caps):
    vm = VM(bench, name, EMULATOR, guest, incoming='defer', paused=True, qtest=not hasattr(guest, 'options'))
    vm.set_capabilities(**{**CAPS, **caps})
    vm.command('migrate-incoming', uri='file:' + path)
    wait_loaded(vm)
    return vm


class Saved:
    """A guest that only we write to, saved in full; its pages are written and zeroed at random."""

    def __init__(self, bench, memory=24, **caps):
        self.bench = bench
        self.rng = random.Random(SEED)
        self.guest = BareNone('idle', memory=memory)
        self.path = channels.File(bench).path
        self.vm = VM(bench, 'source', EMULATOR, self.guest, qtest=True)
        self.vm.set_capabilities(**{**CAPS, **caps})
        self.pages = (memory << 8) - 1024
        self.qtest = self.vm.connect_qtest()
        bench.at_end(self.qtest.close)
        for at in range(4, memory // 2):
            self.qtest.memset(at << 20, 1 << 20, at)
        first = save(self.vm, self.path)
        check_equal(first['incremental'], False, 'the first one')
        check('not saved' in first['note'], 'no word about why: %s', first)
        self.vm.command('cont')

    def write(self, n, zeros=0):
        """So many pages, in runs, get something new."""
        value = self.rng.randrange(1, 256)
        for i in range(n + zeros):
            page = 1024 + self.rng.randrange(self.pages)
            self.qtest.memset(page * PAGE, PAGE, 0 if i >= n else value ^ i & 0xff or 1)

    def check(self, name, **caps):
        there = restore(self.bench, name, self.guest, self.path, **caps)
        self.vm.command('stop')
        compare_ram(self.bench, self.vm, there)
        there.quit()


def again(checksum=False, direct=False, sync=True):
    """Saved again and again: the same file, little is written, and each time it restores to what was."""
    def run(bench):
        saved = Saved(bench, x_ram_checksum=checksum)
        saved.vm.set_parameters(direct_io=direct, **{'x-file-sync': sync})
        inode = os.stat(saved.path).st_ino
        for turn in range(5):
            saved.write(600, 60)
            before = int(written(saved.vm))
            info = save(saved.vm, saved.path)
            wrote = int(written(saved.vm)) - before
            check_equal(info['incremental'], True, 'incremental: %s' % info)
            check('note' not in info, 'a note: %s', info)
            ram = saved.vm.migration()['ram']
            dirtied = ram['normal'] * PAGE
            bench.note('turn %d: %d KiB dirtied, %d KiB written: %.2f' %
                       (turn, dirtied >> 10, wrote >> 10, wrote / dirtied))
            # what goes through io_uring is not counted there
            check(direct or wrote <= 1.4 * dirtied, 'too much: %d bytes for %d', wrote, dirtied)
            check_equal(os.stat(saved.path).st_ino, inode, 'inode')
            saved.check('there%d' % turn, x_ram_checksum=checksum)
            saved.vm.command('cont')
        used = os.stat(saved.path).st_blocks * 512
        most = saved.guest.memory << 20
        check(used < most + (2 << 20), 'places that are not in use take room: %d bytes', used)
        for command in ('verify', 'show'):
            code, text = inspect(command, saved.path)
            check_equal(code, 0, 'ferry-inspect %s: %s' % (command, text))
        check('saved 6 times' in text, 'how often is not said: %s', text)
        plain = bench.path('plain')
        code, text = inspect('convert', saved.path, plain, '--to', 'mapped-ram')
        check_equal(code, 0, 'ferry-inspect convert: ' + text)
        saved.path = plain
        saved.check('plain')
    return run


def moves_on(harts, checksum=False):
    """A guest that writes all the time: saved again while it runs, restored, saved again there into the
    same file, and so on."""
    def run(bench):
        guest = Bare('checker', 32, harts, size='4M')
        path = channels.File(bench).path
        journey = Journey()
        vm = VM(bench, 'first', EMULATOR, guest)
        vm.set_capabilities(x_ram_checksum=checksum, **CAPS)
        journey.vms.append(vm)
        wait_alive(vm)
        inode = None
        for turn in range(4):
            vm.set_parameters(max_bandwidth=24 << 20, downtime_limit=1)
            vm.command('migrate', uri='file:' + path)
            wait_until(lambda: vm.migration().get('ram', {}).get('dirty-sync-count', 0) >= 3 or
                       vm.migration()['status'] not in ('setup', 'active'), 60, 'passes')
            vm.set_parameters(max_bandwidth=0, downtime_limit=5000)
            info = wait_migration(vm, ['completed'])['x-file']
            check_equal(info['incremental'], turn > 0, 'turn %d: %s' % (turn, info))
            check_equal(os.stat(path).st_ino, inode or os.stat(path).st_ino, 'inode')
            inode = os.stat(path).st_ino
            there = VM(bench, 'there%d' % turn, EMULATOR, guest, incoming='defer')
            there.set_capabilities(x_ram_checksum=checksum, **CAPS)
            there.command('migrate-incoming', uri='file:' + path)
            wait_loaded(there)
            vm.quit()
            journey.prove(there)
            vm = there
    return run


def elsewhere(bench):
    """What other migrations fetch of the dirty log, is not lost for the next save; nor is what one that
    was cancelled, or has failed, has sent already."""
    saved = Saved(bench)
    saved.write(300)
    saved.vm.set_capabilities(x_incremental=False, mapped_ram=False)
    saved.vm.set_parameters(max_bandwidth=4 << 20)
    saved.vm.command('migrate', uri='exec:cat >/dev/null')
    wait_until(lambda: saved.vm.migration().get('ram', {}).get('normal', 0) > 100, 30, 'pages')
    saved.write(100, 20)
    saved.vm.command('migrate_cancel')
    wait_migration(saved.vm, ['cancelled'])
    saved.vm.set_capabilities(**CAPS)
    saved.write(100, 20)
    saved.vm.command('migrate', uri='file:' + saved.path)
    wait_until(lambda: saved.vm.migration().get('ram', {}).get('normal', 0) > 50, 30, 'pages')
    saved.vm.command('migrate_cancel')
    wait_migration(saved.vm, ['cancelled'])
    saved.write(50)
    saved.vm.set_parameters(max_bandwidth=0)
    saved.vm.set_capabilities(x_incremental=False, mapped_ram=False)
    saved.vm.command('migrate', uri='exec:cat >/dev/null')
    wait_migration(saved.vm)
    saved.vm.command('cont')
    saved.write(50)
    saved.vm.set_capabilities(**CAPS)
    info = save(saved.vm, saved.path)
    check_equal(info['incremental'], True, 'incremental: %s' % info)
    check(saved.vm.migration()['ram']['normal'] < 1200, 'too many pages: %s', saved.vm.migration())
    saved.check('there')


def in_full(bench):
    """Where the file is not the one, or not as it was left, it is saved in full, and that is said."""
    saved = Saved(bench)
    other = bench.path('other')

    def full(path, word):
        info = save(saved.vm, path)
        check(info['incremental'] is False and word in info['note'], 'not %s: %s', word, info)
        check(word in saved.vm.hmp('info migrate'), 'not in info migrate: %s', saved.vm.hmp('info migrate'))
        saved.vm.command('cont')

    full(other, 'another file')
    full(saved.path, 'another file')
    with open(saved.path, 'r+b') as f:
        f.write(b'QEVM')
    full(saved.path, 'changed since')
    saved.vm.set_capabilities(x_ram_checksum=True)
    full(saved.path, 'no checksums')
    saved.write(20)
    check_equal(save(saved.vm, saved.path)['incremental'], True, 'afterwards')
    saved.check('there')
    saved.vm.command('cont')
    saved.vm.set_capabilities(mapped_ram=True, x_ram_checksum=False)
    info = save(saved.vm, saved.path)   # one that had them may do without
    check_equal(info['incremental'], True, 'without checksums: %s' % info)
    saved.check('without')
    try:
        saved.vm.set_capabilities(mapped_ram=False)
        check(False, 'x-incremental without mapped-ram')
    except QMPError as error:
        check('mapped-ram' in str(error), 'refused: %s', error)


def in_use(bench):
    """Nobody reads a file while it is saved into."""
    saved = Saved(bench)
    saved.write(50)
    saved.vm.set_capabilities(pause_before_switchover=True)
    saved.vm.command('migrate', uri='file:' + saved.path)
    wait_migration(saved.vm, ['pre-switchover'])
    there = VM(bench, 'there', EMULATOR, saved.guest, incoming='defer')
    there.set_capabilities(**CAPS)
    try:
        there.command('migrate-incoming', uri='file:' + saved.path)
        check(False, 'read while it is written')
    except QMPError as error:
        check('in use' in str(error), 'refused: %s', error)
    saved.vm.command('migrate-continue', state='pre-switchover')
    wait_migration(saved.vm)
    there.command('migrate-incoming', uri='file:' + saved.path)
    wait_loaded(there)


def lazy(bench):
    """Restored before its memory is read, as any other file."""
    saved = Saved(bench)
    saved.write(300, 50)
    save(saved.vm, saved.path)
    there = restore(bench, 'there', saved.guest, saved.path, x_mapped_ram_lazy=True)
    wait_migration(there)
    saved.vm.command('stop')
    compare_ram(bench, saved.vm, there)


def killed(times, checksum):
    """A writer that is killed at any moment leaves the older state or the newer one, never less."""
    def run(bench):
        rng = random.Random('%d %s' % (SEED, checksum))
        guest = BareNone('idle', memory=16)
        path = channels.File(bench).path
        master = bench.path('master')
        writer = VM(bench, 'writer', EMULATOR, guest, qtest=True)
        writer.set_capabilities(x_ram_checksum=checksum, **CAPS)
        qtest = writer.connect_qtest()
        qtest.memset(4 << 20, 4 << 20, 1)
        save(writer, master)
        qtest.close()
        writer.quit()
        took, ends = 0.03, {}
        older = ram_of(bench, master)
        for turn in range(times):
            if not turn % 8:
                subprocess.run(['cp', '--sparse=always', master, path], check=True)
                older = ram_of(bench, path)
            vm = restore(bench, 'killed%d' % turn, guest, path, x_ram_checksum=checksum)
            qtest = vm.connect_qtest()
            for i in range(64):
                page = 1024 + rng.randrange(1024)
                qtest.memset(page * PAGE, PAGE, rng.randrange(256))
            newer = memory_of(bench, vm)
            qtest.close()
            wait = 0.0005 * (1.2 * took / 0.0005) ** rng.random()     # as often early as late
            vm.command('migrate', uri='file:' + path)
            if turn % 8 == 0:
                info = wait_migration(vm)
                check_equal(info['x-file']['incremental'], True, 'incremental: %s' % info)
                took = info['total-time'] / 1000
            else:
                time.sleep(wait)
            vm.kill()
            vm.process.wait()
            vm.close()
            code, text = inspect('verify', path)
            check_equal(code, 0, 'ferry-inspect verify: ' + text)
            now = ram_of(bench, path)
            check(now in (older, newer), 'turn %d: neither the older state nor the newer one', turn)
            end = 'newer' if now == newer else 'older'
            ends[end] = ends.get(end, 0) + 1
            older = now
        bench.note('seed %d, a save takes %.0f ms, killed %d times: %s' % (SEED, took * 1000, times, ends))
    return run


def ram_of(bench, path):
    raw = bench.path('raw')
    code, text = inspect('extract', path, '--ram', 'ram', '-o', raw)
    check_equal(code, 0, 'ferry-inspect extract: ' + text)
    with open(raw, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def memory_of(bench, vm):
    path = bench.path('memory')
    vm.command('pmemsave', val=0, size=vm.guest.memory << 20, filename=path)
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def hostile(bench):
    """Whatever the head, the headers and the bitmaps say: a message, or a guest, and no worse."""
    saved = Saved(bench)
    saved.write(100, 20)
    save(saved.vm, saved.path)
    rng = random.Random(SEED)
    with open(saved.path, 'rb') as f:
        head = bytearray(f.read(48))
        stream = int.from_bytes(head[16:24], 'big')
    ends = {}
    for turn in range(40):
        at = rng.randrange(48) if turn < 12 else stream + rng.randrange(2048)
        value = rng.choice((b'\0', b'\xff', b'\x7f' * 8, b'\xff' * 8, b'\0' * 4))
        with open(saved.path, 'r+b') as f:
            f.seek(at)
            old = f.read(len(value))
            f.seek(at)
            f.write(value)
        inspected, text = inspect('verify', saved.path)
        check(inspected in (0, 1) and text.strip(), 'ferry-inspect: %d %s', inspected, text)
        there = VM(bench, 'hostile%d' % turn, EMULATOR, saved.guest, incoming='defer', paused=True)
        there.set_capabilities(**CAPS)
        there.qmp.raw(b'{"execute": "migrate-incoming", "arguments": {"uri": "file:%s", "exit-on-error": false}}\n'
                      % saved.path.encode())
        info = wait_migration(there, ['failed', 'completed'])
        check(info['status'] == 'completed' or info['error-desc'], 'no word: %s', info)
        end_is = '%s, inspect %d' % (info['status'], inspected)
        ends[end_is] = ends.get(end_is, 0) + 1
        there.quit()
        with open(saved.path, 'r+b') as f:
            f.seek(at)
            f.write(old)
    bench.note('seed %d: %s' % (SEED, ends))


def refused_by_qemu(bench):
    """QEMU says that it is no stream; made plain it takes it."""
    qemu = emulators.qemu100()
    saved = Saved(bench)
    saved.write(100, 20)
    save(saved.vm, saved.path)
    plain = bench.path('plain')
    check_equal(inspect('convert', saved.path, plain, '--to', 'mapped-ram')[0], 0, 'convert')
    for path, taken in ((saved.path, False), (plain, True)):
        there = VM(bench, 'qemu%d' % taken, qemu, saved.guest, incoming='defer', paused=True)
        there.set_capabilities(mapped_ram=True)
        there.command('migrate-incoming', uri='file:' + path)
        if taken:
            wait_loaded(there)
        else:
            check(there.wait_exit() != 0, 'QEMU takes it')


def cases():
    yield Case('again', again())
    yield Case('again, checksums', again(checksum=True))
    yield Case('again, direct, no sync', again(direct=True, sync=False))
    yield Case('moves on, 1 hart', moves_on(1))
    yield Case('moves on, 2 harts, checksums', moves_on(2, checksum=True))
    yield Case('migrations elsewhere', elsewhere)
    yield Case('in full', in_full)
    yield Case('in use', in_use)
    yield Case('lazy', lazy)
    yield Case('refused by QEMU', refused_by_qemu)
    yield Case('hostile', hostile, timeout=200)
    for checksum in (False, True):
        yield Case('killed%s' % (', checksums' if checksum else ''), killed(24, checksum), timeout=300)
        yield Case('killed 500 times%s' % (', checksums' if checksum else ''), killed(500, checksum), full=True, timeout=1200)


if __name__ == '__main__':
    main(list(cases()))
