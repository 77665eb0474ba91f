#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest restored from a file runs before its memory is read (x-mapped-ram-lazy): what it needs
comes first, monitors answer whatever it waits for, and what cannot be read stops it."""
import json
import os
import shutil
import subprocess
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.host import may_use_userfaultfd
from ferrytest.move import (Journey, Move, compare_ram, last_status, wait_alive, wait_loaded,
                            wait_migration)
from ferrytest.process import VM
from ferrytest.qmp import QMPError, statuses
from ferrytest.tap import Case, check, check_equal, main, need, wait_until

# Not the 100 ms that a monitor takes at most on a machine that has nothing else to do.
PROMPT = 2
UFFD = ('-global', 'migration.x-postcopy-engine=userfaultfd')


class Lazy:
    """A saved guest, and a process that it is restored in."""

    def __init__(self, bench, layout='mapped_ram', harts=1, save_caps=None, **options):
        self.bench = bench
        self.caps = {layout: True}
        self.guest = Bare('checker', 64, harts, size='8M')
        self.channel = channels.File(bench)
        self.source = VM(bench, 'source', emulators.ferry(), self.guest)
        self.journey = Journey()
        self.journey.vms.append(self.source)
        wait_alive(self.source)
        self.source.set_capabilities(**self.caps, **(save_caps or {}))
        self.source.command('migrate', uri=self.channel.outgoing)
        wait_migration(self.source)
        self.there = self.start('destination', **options)

    @property
    def path(self):
        return self.channel.path

    def start(self, name, extra=(), paused=False):
        vm = VM(self.bench, name, emulators.ferry(), self.guest, incoming='defer', paused=paused,
                extra=extra)
        vm.set_capabilities(events=True, x_mapped_ram_lazy=True, **self.caps)
        return vm

    def load(self, vm=None):
        (vm or self.there).command('migrate-incoming', uri=self.channel.incoming)
        wait_loaded(vm or self.there)

    def hold(self, nth=2, ms=3000, point='dst-lazy-read', action='stall'):
        """The guest is started, and so much is read and no more, for a while."""
        self.there.command('x-fault', point=point, action=action, ms=ms, nth=nth)

    def release(self):
        self.there.command('x-fault', point='src-connect', action='stall', ms=0)

    def prove(self):
        info = wait_migration(self.there)
        check_equal(info['x-postcopy-waits']['missing'], 0, 'bytes that are missing')
        check('error-desc' not in info, 'an error is left: %s', info)
        self.journey.prove(self.there)
        return info


def plain(layout, harts, extra=()):
    def run(bench):
        lazy = Lazy(bench, layout, harts, extra=extra)
        lazy.load()
        info = lazy.prove()
        check_equal(statuses(lazy.there.qmp.poll_events()), ['setup', 'active', 'completed'], 'events')
        check(info['x-received']['normal'] * 4096 > harts * 8 << 20, 'too little has come: %s', info)
    return run


def userfaultfd(bench):
    need(may_use_userfaultfd(), 'this process may not use userfaultfd')
    plain('mapped_ram', 2, UFFD)(bench)


def memory(layout):
    """Byte by byte, in a guest that has not run."""
    def run(bench):
        lazy = Lazy(bench, layout, harts=2, paused=True)
        lazy.load()
        wait_migration(lazy.there)
        compare_ram(bench, lazy.source, lazy.there)
        lazy.there.command('cont')
        lazy.prove()
    return run


def refused(vm, text, command, **arguments):
    try:
        vm.command(command, **arguments)
    except QMPError as error:
        check(text in str(error), '%s: %s', command, error)
    else:
        check(False, '%s was accepted', command)


def prompt(vm):
    for command, arguments in (('query-status', {}), ('query-migrate', {}), ('stop', {}),
                               ('cont', {}), ('query-cpus-fast', {}), ('migrate_cancel', {}),
                               ('human-monitor-command', {'command-line': 'info migrate'}),
                               ('human-monitor-command', {'command-line': 'info registers'})):
        start = time.monotonic()
        vm.command(command, **arguments)
        took = time.monotonic() - start
        check(took < PROMPT, '%s took %.3f s', command, took)


def answers(bench):
    """Nothing is read any more: all harts wait, monitors answer, and what needs all memory is refused."""
    lazy = Lazy(bench, harts=2)
    lazy.hold(ms=10000)
    lazy.load()
    there = lazy.there
    check_equal(there.status(), 'running', 'run state')
    info = there.migration()
    check_equal(info['status'], 'active', 'migration')
    check(info['x-postcopy-waits']['missing'] > 1 << 20, 'it is all there: %s', info)
    check('kbytes missing' in there.hmp('info migrate'), 'info migrate does not tell')
    prompt(there)
    check_equal(there.status(), 'running', 'run state')
    refused(there, 'not all of this guest\'s memory has come yet', 'migrate',
            uri='file:' + bench.path('again'))
    refused(there, 'in progress', 'migrate-set-capabilities', capabilities=[])
    lazy.release()
    waits = lazy.prove()['x-postcopy-waits']
    check(waits['requests'] > 0 and waits['histogram'], 'nobody has waited: %s', waits)
    check(sum(b['count'] for b in waits['histogram']) == waits['waits'][0]['count'] > 0,
          'the histogram differs from the waits: %s', waits)
    # A file of its own is what may be made now.
    there.command('migrate', uri='file:' + bench.path('again'))
    wait_migration(there)


def stopped(bench):
    """The rest comes although the guest stands still, and it goes on afterwards."""
    lazy = Lazy(bench)
    lazy.hold(ms=10000)
    lazy.load()
    lazy.there.command('stop')
    lazy.release()
    wait_migration(lazy.there)
    check_equal(lazy.there.status(), 'paused', 'run state')
    lazy.there.command('cont')
    lazy.prove()


def fault(point, nth=1):
    """It takes long, or fails: the guest stands still, with a reason, and 'cont' is enough."""
    def run(bench):
        lazy = Lazy(bench, harts=2)
        lazy.hold(nth, point=point, action='fail')
        lazy.load()
        wait_until(lambda: lazy.there.status() == 'io-error', 30, 'the guest to stand still')
        info = lazy.there.migration()
        check_equal(info['status'], 'active', 'migration')
        check(point in info['error-desc'] and 'cannot be read' in info['error-desc'], 'reason: %s',
              info['error-desc'])
        check(point in lazy.there.stderr(), 'stderr: %s', lazy.there.stderr())
        lazy.there.command('cont')
        lazy.prove()
    return run


def fails_early(bench):
    """Before anybody has run it is a load that failed."""
    lazy = Lazy(bench)
    lazy.hold(1, point='dst-lazy-listed', action='fail')
    try:
        lazy.there.command('migrate-incoming', uri=lazy.channel.incoming)
    except Exception:   # pylint: disable=broad-except
        pass            # it may be gone before it answers
    check_equal(lazy.there.wait_exit(), 1, 'exit status')
    check('dst-lazy-listed' in lazy.there.stderr(), 'stderr: %s', lazy.there.stderr())


def damaged_meanwhile(damage, text):
    """The file changes under a guest that is being restored: no wrong byte reaches it."""
    def run(bench):
        lazy = Lazy(bench, harts=2)
        copy = bench.path('copy')
        shutil.copyfile(lazy.path, copy)
        lazy.hold()
        lazy.load()
        damage(lazy.path)
        lazy.release()
        wait_until(lambda: lazy.there.status() == 'io-error', 30, 'the guest to stand still')
        check(text in lazy.there.migration()['error-desc'], 'reason: %s', lazy.there.migration())
        lazy.there.command('cont')      # as long as nothing is mended it stops again
        if text == 'shrunk':
            wait_until(lambda: lazy.there.stderr().count(text) > 1, 30, 'another message')
            wait_until(lambda: lazy.there.status() == 'io-error', 30, 'the guest to stand still again')
            with open(copy, 'rb') as good, open(lazy.path, 'r+b') as f:
                shutil.copyfileobj(good, f)
            lazy.there.command('cont')
        lazy.prove()
    return run


def truncate(path):
    os.truncate(path, os.path.getsize(path) // 3)


def touch(path):
    with open(path, 'r+b') as f:
        f.seek(-1, os.SEEK_END)
        last = f.read(1)
        f.seek(-1, os.SEEK_END)
        f.write(last)


def page_offset(path, nth=400):
    """Where in a mapped-ram file the content of a page of RAM is that is not all zero."""
    with open(path, 'rb') as f:
        data = os.lseek(f.fileno(), (2 << 20) + nth * 4096, os.SEEK_DATA) & -4096
        f.seek(data)
        while not any(f.read(4096)):
            data += 4096
    return data


def flip(path, offset):
    """As a disk does it: nothing tells that the file was written to."""
    stat = os.stat(path)
    with open(path, 'r+b') as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes((byte ^ 4,)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def checksum(layout, lazily=True):
    """One bit of a page is wrong: named, and the guest goes on once it is mended."""
    def run(bench):
        need('x-ram-checksum' in available(bench), 'built without libxxhash')
        lazy = Lazy(bench, layout, save_caps={'x_ram_checksum': True})
        offset = page_offset(lazy.path)
        if not lazily:
            lazy.there.set_capabilities(x_mapped_ram_lazy=False, x_ram_checksum=True)
            flip(lazy.path, offset)
            try:
                lazy.there.command('migrate-incoming', uri=lazy.channel.incoming)
            except Exception:   # pylint: disable=broad-except
                pass            # it may be gone before it answers
            check_equal(lazy.there.wait_exit(), 1, 'exit status')
            check('is not what was saved' in lazy.there.stderr(), '%s', lazy.there.stderr())
            return
        lazy.hold()
        lazy.load()
        flip(lazy.path, offset)
        lazy.release()
        wait_until(lambda: lazy.there.status() == 'io-error', 30, 'the guest to stand still')
        text = lazy.there.migration()['error-desc']
        check('riscv_virt_board.ram' in text and 'is not what was saved' in text, 'reason: %s', text)
        flip(lazy.path, offset)
        lazy.there.command('cont')
        lazy.prove()
    return run


def available(bench):
    vm = VM(bench, 'asked', emulators.ferry(), Bare('idle'), paused=True)
    names = {c['capability'] for c in vm.command('query-migrate-capabilities')}
    vm.quit()
    return names


def working_set(bench):
    """What was needed is noted, and read first the next time; nonsense there does no harm."""
    lazy = Lazy(bench)
    beside = lazy.path + '.working-set'
    with open(beside, 'w', encoding='utf-8') as f:
        f.write('what is this?\n')
    lazy.hold(ms=1000)      # the guest runs into something that is missing
    lazy.load()
    lazy.prove()
    with open(beside, encoding='utf-8') as f:
        lines = f.read().splitlines()
    check_equal(lines[0], 'ferry working set 1', 'its first line')
    check(len(lines) > 1, 'nothing was needed: %s', lines)
    # One page that nobody would read first.
    with open(beside, 'w', encoding='utf-8') as f:
        f.write('ferry working set 1\n0x%x 1 riscv_virt_board.ram\n' % ram_offset(lazy.path, 1200))
    again = lazy.start('again', paused=True)
    again.command('x-fault', point='dst-lazy-read', action='stall', ms=5000, nth=2)
    lazy.load(again)
    check_equal(again.migration()['x-received']['normal'], 1, 'pages that were read first')
    again.command('x-fault', point='src-connect', action='stall', ms=0)
    wait_migration(again)
    again.command('cont')
    theirs = Journey()
    theirs.vms = [lazy.source]
    theirs.prove(again)


def ram_offset(path, nth):
    """In the guest's RAM, of the first page from nth on that is in the file."""
    info = json.loads(subprocess.run([os.path.join(emulators.BUILD, 'ferry-inspect'), 'show', '--json', path],
                                     check=True, stdout=subprocess.PIPE, text=True).stdout)
    block = next(b for b in info['blocks'] if b['name'] == 'riscv_virt_board.ram')
    with open(path, 'rb') as f:
        data = os.lseek(f.fileno(), block['pages-offset'] + nth * 4096, os.SEEK_DATA) & -4096
    return data - block['pages-offset']


def removed(bench):
    """The file loses its name: it is open, and read to its end."""
    lazy = Lazy(bench)
    lazy.hold(ms=10000)
    lazy.load()
    os.unlink(lazy.path)
    lazy.release()
    lazy.prove()


def quits(bench):
    lazy = Lazy(bench, harts=2)
    lazy.hold(ms=10000)
    lazy.load()
    start = time.monotonic()
    lazy.there.command('quit')
    check_equal(lazy.there.wait_exit(), 0, 'exit status')
    check(time.monotonic() - start < 10, 'the process took %.1f s', time.monotonic() - start)


def reset(bench):
    """A guest that is reset before its memory is there begins anew, clean."""
    lazy = Lazy(bench)
    lazy.hold(ms=10000)
    lazy.load()
    lazy.there.command('system_reset')
    lazy.release()
    wait_migration(lazy.there)
    for line in lazy.there.console.wait_statuses(3):
        line.check_clean('the reset guest')
    check(last_status(lazy.there).generations[0] < 1 << 30, 'it was not reset')


def stream(bench):
    """Pages of a stream have no places: all of them are there when the guest starts."""
    extra = ('-global', 'migration.x-mapped-ram-lazy=on')
    move = Move(bench, emulators.ferry(), Bare('checker', harts=2), channels.Unix(bench), dst_extra=extra)
    move.run()
    caps = {c['capability']: c['state'] for c in move.destination.command('query-migrate-capabilities')}
    check(caps['x-mapped-ram-lazy'], 'it is off')
    check('x-postcopy-waits' not in move.destination.migration(), 'something was late')


def many(bench):
    """One image, some guests at the same time, which do not notice each other."""
    lazy = Lazy(bench)
    others = [lazy.start('other%d' % i, paused=True) for i in range(3)]
    for vm in others:
        vm.command('migrate-incoming', uri=lazy.channel.incoming)
    for vm in others:
        wait_migration(vm)
        vm.command('cont')
    for vm in others:
        theirs = Journey()
        theirs.vms = [lazy.source]
        theirs.prove(vm)


CASES = [Case('%s, %d harts' % (layout, harts), plain(layout, harts))
         for layout in ('mapped_ram', 'fixed_ram') for harts in (1, 2)] + [
    Case('userfaultfd', userfaultfd),
    Case('mapped_ram, memory', memory('mapped_ram')),
    Case('fixed_ram, memory', memory('fixed_ram')),
    Case('monitors answer', answers),
    Case('stopped meanwhile', stopped),
    Case('a read fails', fault('dst-lazy-read', 2)),
    Case('the first read fails', fault('dst-lazy-read', 1)),
    Case('fails before the guest runs', fails_early),
    Case('the file shrinks', damaged_meanwhile(truncate, 'shrunk')),
    Case('the file is written to', damaged_meanwhile(touch, 'was written to')),
    Case('a checksum differs', checksum('mapped_ram')),
    Case('a checksum differs, fixed_ram', checksum('fixed_ram')),
    Case('a checksum differs, not lazily', checksum('mapped_ram', lazily=False)),
    Case('working set', working_set),
    Case('the file is removed', removed),
    Case('quit', quits),
    Case('reset', reset),
    Case('a stream', stream),
    Case('one image, many guests', many),
]

if __name__ == '__main__':
    main(CASES)
