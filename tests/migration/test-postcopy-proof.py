#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What postcopy is for: a guest that dirties its memory faster than the link takes it. In one run precopy
does not come to an end, plain and with XBZRLE, and postcopy moves the guest within a time that RAM and
bandwidth bound. And how soon it goes on after a cut."""
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import wait_migration
from ferrytest.postcopy import Postcopy
from ferrytest.process import VM
from ferrytest.tap import Case, check, main, wait_until

MIB = 1 << 20
RAM = 64            # MiB
WRITTEN = 8         # MiB that the guest writes all of, again and again
LINK = 8 * MIB      # bytes a second
DOWNTIME = 30       # ms
PASSES = 3


def stays_behind(bench, source, guest, number, xbzrle):
    """Precopy: after the first pass each leaves far more than may be sent while the guest stands still."""
    there = VM(bench, 'precopy-%s' % number, emulators.ferry(), guest, incoming='defer')
    channel = channels.Unix(bench)
    there.set_capabilities(xbzrle=xbzrle)
    there.command('migrate-incoming', uri=channel.incoming)
    source.set_capabilities(xbzrle=xbzrle)
    source.set_parameters(max_bandwidth=LINK, downtime_limit=DOWNTIME)
    source.command('migrate', uri=channel.outgoing)
    left = {}

    def passes():
        info = source.migration()
        check(info['status'] in ('setup', 'active'), 'it came to an end: %s', info)
        if 'ram' in info:       # what a pass begins with
            left.setdefault(info['ram']['dirty-sync-count'], info['ram']['remaining'])
        return info.get('ram', {}).get('dirty-sync-count', 0) > PASSES
    wait_until(passes, 60, '%d passes' % PASSES)
    source.command('migrate_cancel')
    wait_migration(source, ('cancelled',))
    there.kill()
    fits = LINK * DOWNTIME // 1000
    later = [n for count, n in left.items() if count > 1]
    check(later and min(later) > 4 * fits, 'little was left: %s; %d bytes fit', left, fits)


def moves(bench, name, harts):
    """Returns the seconds from the switch to the end."""
    guest = Bare('checker', RAM, harts, size='%dK' % (WRITTEN * 1024 // harts), step=1, regs=0)
    move = Postcopy(bench, emulators.ferry(), guest, channels.Unix(bench), slow=LINK, rest=LINK,
                    compare=False, names=(name + '-source', name + '-destination'))
    move.start_source()
    for number, xbzrle in enumerate((False, True)):
        stays_behind(bench, move.source, guest, '%s-%d' % (name, number), xbzrle)
    move.source.set_capabilities(xbzrle=False)
    move.start_destination()
    move.start_migration()
    move.switch()
    start = time.monotonic()
    move.finish()
    took = time.monotonic() - start
    # The flash is empty. The rest is for a host that has other things to do.
    limit = RAM * MIB / LINK + 10
    check(took < limit, 'it took %.1f s; RAM / bandwidth is %.1f s', took, RAM * MIB / LINK)
    info = move.destination.migration()['x-postcopy-waits']
    waited = [row for row in info['waits'] if row['who'].startswith('vcpu') and row['count'] > 0]
    check(len(waited) == harts, '%d of %d harts have waited for pages: %s', len(waited), harts, info)
    for vm in (move.source, move.destination):
        vm.quit()
    return took


def too_fast(harts):
    def run(bench):
        bench.note('%.1f s from the switch to the end' % moves(bench, 'once', harts))
    return run


def again(times):
    def run(bench):
        took = sorted(moves(bench, 'run%d' % number, 2 + number % 2 * 2) for number in range(times))
        bench.note('%d runs: %.1f to %.1f s, the middle one %.1f s' %
                   (times, took[0], took[-1], took[times // 2]))
    return run


def goes_on(times):
    """From the command at the source until both are active again."""
    def run(bench):
        move = Postcopy(bench, emulators.ferry(), Bare('checker', RAM, 2, size='4M'),
                        channels.Unix(bench), slow=MIB, rest=256 << 10, compare=False)
        move.start_source()
        move.start_destination()
        move.start_migration()
        move.switch()
        took = []
        for number in range(times):
            move.source.command('migrate-pause')
            move.await_paused()
            uri = 'unix:' + bench.path('again-%d' % number)
            move.destination.command('migrate-recover', uri=uri)
            start = time.monotonic()
            move.source.command('migrate', uri=uri, resume=True)
            for vm in (move.source, move.destination):
                wait_migration(vm, ('postcopy-active',))
            took.append(time.monotonic() - start)
        bench.note('%d times, the middle one %.0f ms, the longest %.0f ms' %
                   (times, 1000 * sorted(took)[times // 2], 1000 * max(took)))
        check(sorted(took)[times // 2] < 1, 'it took %s s', took)
        move.source.set_parameters(max_postcopy_bandwidth=0)
        move.finish()
    return run


main([
    Case('too fast for precopy, 2 harts', too_fast(2)),
    Case('too fast for precopy, 4 harts', too_fast(4), rotate=2),
    Case('goes on after a cut', goes_on(10)),
    Case('too fast for precopy, 50 times', again(50), full=True, timeout=1500),
])
