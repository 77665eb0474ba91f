#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Saving to a file at fixed places (mapped-ram, fixed-ram): running and stopped guests, bounded
size, holes, what the target must be."""
import os

from ferrytest import channels, emulators
from ferrytest.guest import Bare, BareNone
from ferrytest.move import (Journey, Move, compare_ram, force_passes, save_what_becomes_zero,
                            wait_alive, wait_loaded, wait_migration)
from ferrytest.process import VM
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, Failed, Skip, check, check_equal, main, wait_until

EMULATOR = emulators.subject()
BOARD_RAM = (32 << 20) * 2 + (60 << 10)  # both flash banks and the mask ROM


def saved(layout, paused, harts=2, mode='checker', offset=False, passes=False):
    def run(bench):
        if layout == 'fixed_ram' and not EMULATOR.is_ferry:
            raise Skip('only Ferry has fixed-ram')
        guest = Bare(mode, harts=harts, size='2M', memory=32)
        channel = channels.FileOffset(bench) if offset else channels.File(bench)
        move = Move(bench, EMULATOR, guest, channel, caps={layout: True}, paused=paused)
        if passes:
            force_passes(move, passes=5)
        move.run()
        apparent = os.path.getsize(channel.path)
        bound = (guest.memory << 20) + BOARD_RAM + (8 << 20) + channel.offset
        check(apparent <= bound, 'the file has %d bytes, more than the bound %d', apparent, bound)
        used = os.stat(channel.path).st_blocks * 512
        touched = harts * (2 << 20) + (2 << 20)
        check(used <= touched + (6 << 20), 'the file takes %d bytes on disk: zero pages are no '
              'holes (the guest has written about %d)', used, touched)
        if offset:
            with open(channel.path, 'rb') as f:
                check(f.read(22) == b'header of someone else', 'bytes before the offset were '
                      'overwritten')
    return run


def converted(layout, to, passes=False, **caps):
    """Saved in one layout, made another by ferry-inspect, restored."""
    def run(bench):
        if not EMULATOR.is_ferry:
            raise Skip('one of the files is for Ferry only')
        named = {x: {x: True} if x != 'stream' else {} for x in ('stream', 'mapped_ram', 'fixed_ram')}
        channel = channels.Converted(bench, to.replace('_', '-'))
        move = Move(bench, EMULATOR, Bare('checker', harts=2, size='2M', memory=32), channel,
                    caps={**named[layout], **caps}, dst_caps=named[to])
        if passes:
            force_passes(move, passes=5)
        move.run()
    return run


def page_becomes_zero(layout):
    """A page that was saved and is zero at the end must be zero after the restore."""
    def run(bench):
        if layout == 'fixed_ram' and not EMULATOR.is_ferry:
            raise Skip('only Ferry has fixed-ram')
        guest = BareNone('idle', memory=16)
        channel = channels.File(bench)
        source = VM(bench, 'source', EMULATOR, guest, qtest=True)
        source.set_capabilities(**{layout: True})
        qtest = save_what_becomes_zero(bench, source, channel.outgoing)
        check_equal(qtest.readq(0x403000), 0, 'the source\'s own memory')
        used = os.stat(channel.path).st_blocks * 512
        check(not EMULATOR.is_ferry or used <= (7 << 20) + (512 << 10), 'pages that are zero again '
              'take room: %d bytes in all', used)
        destination = VM(bench, 'destination', EMULATOR, guest, incoming='defer', paused=True)
        destination.set_capabilities(**{layout: True})
        destination.command('migrate-incoming', uri=channel.incoming)
        wait_loaded(destination)
        compare_ram(bench, source, destination)
    return run


def endless(layout, **caps):
    """A guest that rewrites its memory without end: the file stays as long as its memory, however often
    that is written."""
    def run(bench):
        guest = Bare('checker', harts=2, size='6M', memory=16)
        channel = channels.File(bench)
        move = Move(bench, EMULATOR, guest, channel, caps={layout: True, **caps})
        move.params.update(max_bandwidth=64 << 20, downtime_limit=1)

        def during(source, _destination):
            def written():
                info = source.migration()
                check(info['status'] not in ('completed', 'failed'), 'it has ended: %s', info)
                return info.get('ram', {}).get('normal', 0) * 4096 >= 5 * (guest.memory << 20)
            wait_until(written, 120, '5 times the memory to be written')
            source.set_parameters(max_bandwidth=0, downtime_limit=5000)
        move.during = during
        move.run()
        now = os.stat(channel.path)
        bound = (guest.memory << 20) + BOARD_RAM + (6 << 20)
        check(now.st_size <= bound, 'the file has %d bytes, more than %d', now.st_size, bound)
        check(now.st_blocks * 512 <= (guest.memory << 20) + (1 << 20), 'it takes %d bytes on disk',
              now.st_blocks * 512)
    return run


def many_saves(bench):
    """The same guest saved again and again: each file restores to where the guest was then."""
    guest = Bare('checker', size='1M', memory=32)
    source = VM(bench, 'source', EMULATOR, guest)
    journey = Journey()
    journey.vms.append(source)
    wait_alive(source)
    source.set_capabilities(mapped_ram=True)
    for turn in range(3):
        channel = channels.File(bench)
        source.command('migrate', uri=channel.outgoing)
        wait_migration(source)
        restored = VM(bench, 'restored%d' % turn, EMULATOR, guest, incoming='defer', paused=True)
        restored.set_capabilities(mapped_ram=True)
        restored.command('migrate-incoming', uri=channel.incoming)
        wait_loaded(restored)
        got = restored.migration()['x-received']
        check(0 < got['transferred'] - got['normal'] * 4096 < 64 << 10,
              'what came counts more than the pages: %s', got)
        compare_ram(bench, source, restored)
        restored.command('cont')
        theirs = Journey()
        theirs.vms = list(journey.vms)
        theirs.prove(restored)
        restored.quit()
        source.command('cont')
        lines = len(source.console.statuses())
        source.console.wait_statuses(lines + 2)
        journey.check()


def wrong_offset(bench):
    """An image read at another offset than it was written to: the message names the right one."""
    channel = channels.FileOffset(bench)
    guest = Bare('checker', size='1M', memory=32)
    source = VM(bench, 'source', EMULATOR, guest)
    wait_alive(source)
    source.set_capabilities(mapped_ram=True)
    source.command('migrate', uri=channel.outgoing)
    wait_migration(source)
    right = int(channel.outgoing.split(',offset=')[1], 0)
    for turn, offset in enumerate((0, right // 2, right * 2)):
        other = VM(bench, 'wrong%d' % turn, EMULATOR, guest, incoming='defer')
        other.set_capabilities(mapped_ram=True)
        other.command('migrate-incoming', uri='%s,offset=%d' % (channel.outgoing.split(',')[0], offset))
        check(other.wait_exit() != 0, 'loaded from offset %d', offset)
        check('offset=0x%x' % right in other.stderr(), 'the right offset 0x%x is not named: %s', right,
              other.stderr())


def refused(uri, words, layout='mapped_ram'):
    """A target that cannot hold pages at fixed places is refused by name."""
    def run(bench):
        if layout == 'fixed_ram' and not EMULATOR.is_ferry:
            raise Skip('only Ferry has fixed-ram')
        source = VM(bench, 'source', EMULATOR, Bare('checker', size='1M'))
        wait_alive(source)
        source.set_capabilities(**{layout: True})
        target = uri.replace('DIR', bench.dir)
        if 'fifo' in target:
            os.mkfifo(bench.path('fifo'))
        try:
            source.command('migrate', uri=target)
            text = wait_migration(source, ['failed']).get('error-desc', '')
        except QMPError as error:
            text = error.desc
        for word in words:
            check(word in text, 'message lacks "%s": %s', word, text)
        check_equal(source.status(), 'running', 'run state')
    return run


def plain_restore_of_mapped(bench):
    """The two sides disagree on the capability: a message, no crash, no guest."""
    guest = Bare('checker', size='1M')
    source = VM(bench, 'source', EMULATOR, guest)
    wait_alive(source)
    source.set_capabilities(mapped_ram=True)
    channel = channels.File(bench)
    source.command('migrate', uri=channel.outgoing)
    wait_migration(source)
    destination = VM(bench, 'destination', EMULATOR, guest, incoming=channel.incoming, qmp=False)
    check_equal(destination.wait_exit(), 1, 'exit status of the destination')
    check(destination.stderr().strip(), 'the destination says nothing')


def damaged(bench):
    """Truncated at places all over the file: never a crash, and a running guest only if nothing
    that belongs to it is missing."""
    guest = Bare('checker', size='1M', memory=16)
    source = VM(bench, 'source', EMULATOR, guest)
    wait_alive(source)
    source.command('stop')
    source.set_capabilities(mapped_ram=True)
    channel = channels.File(bench)
    source.command('migrate', uri=channel.outgoing)
    wait_migration(source)
    with open(channel.path, 'rb') as f:
        whole = f.read()
    for cut in (0, 3, 8, 17, 60, 200, 5000, len(whole) // 3, len(whole) - 30000):
        path = bench.path('cut')
        with open(path, 'wb') as f:
            f.write(whole[:cut])
        destination = VM(bench, 'destination%d' % cut, EMULATOR, guest, incoming='defer')
        destination.set_capabilities(mapped_ram=True)
        destination.qmp.raw(b'{"execute": "migrate-incoming", "arguments": {"uri": "file:%s"}}\n'
                            % path.encode())
        check_equal(destination.wait_exit(), 1, 'exit status with the file cut at %d' % cut)
        check(destination.stderr().strip(), 'no message with the file cut at %d', cut)


def cases():
    for layout in ('mapped_ram', 'fixed_ram'):
        for paused in (False, True):
            word = 'stopped' if paused else 'running'
            yield Case('%s, %s' % (layout, word), saved(layout, paused))
            yield Case('%s, %s, offset' % (layout, word), saved(layout, paused, offset=True))
        yield Case('%s, rewritten while saving' % layout, saved(layout, False, passes=True))
        yield Case('%s, loadgen' % layout, saved(layout, False, mode='loadgen', passes=True))
        yield Case('%s, rewritten five times' % layout, endless(layout))
        yield Case('%s, a page becomes zero' % layout, page_becomes_zero(layout))
        yield Case('%s to a socket is refused' % layout,
                   refused('tcp:127.0.0.1:1', [], layout))
        yield Case('%s to a pipe is refused' % layout, refused('exec:cat >/dev/null', [], layout))
    for layout in ('mapped_ram', 'fixed_ram'):
        yield Case('a stream, converted to %s' % layout, converted('stream', layout))
        yield Case('%s, converted to a stream' % layout, converted(layout, 'stream', passes=True))
    yield Case('a stream with deltas, converted to mapped_ram',
               converted('stream', 'mapped_ram', passes=True, xbzrle=True))
    yield Case('fixed_ram, converted to mapped_ram', converted('fixed_ram', 'mapped_ram'))
    yield Case('saved three times', many_saves)
    yield Case('restored without the capability', plain_restore_of_mapped)
    yield Case('an image at a wrong offset', wrong_offset)
    yield Case('damaged files', damaged)
    yield Case('a folder that is not there', refused('file:/nonexistent/x', ['No such file']))


if __name__ == '__main__':
    main(list(cases()))
