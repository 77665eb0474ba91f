#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How far a save to a file, or a restore from one, is: query-migrate and `info migrate`. It only goes
forward, and says 100 when the file, or the guest, is whole."""
import re

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.tap import Case, check, check_equal, main, wait_until

LINE = re.compile(r'^file: \d+\.\d % of \d+\.\d MiB, \d+\.\d MiB/s(, \d+ s left)?\r?$', re.M)
END = ('completed', 'failed', 'cancelled')


def follow(vm, until):
    """All that is heard of it until then: it never goes back."""
    seen = []

    def look():
        info = vm.migration()
        now = info.get('x-file')
        if now:
            if seen:
                check(now['percent'] >= seen[-1]['percent'], 'back from %s to %s', seen[-1], now)
                check(now['total'] <= seen[-1]['total'], 'more from %s to %s', seen[-1], now)
            check(now['done'] <= now['total'], 'more than all: %s', now)
            check((now['percent'] == 100) == (info['status'] == 'completed'), '100 and not whole: %s', info)
            seen.append(now)
        return until(info)
    wait_until(look, 60, '%s to be so far' % vm.name)
    return seen


def ended(info):
    check(info.get('status') not in ('failed', 'cancelled'), 'it has failed: %s', info)
    return info.get('status') == 'completed'


def check_line(vm):
    text = vm.hmp('info migrate')
    check(LINE.search(text), 'no line about the file: %s', text)


def progress(caps, lazy=False):
    """A guest that writes, saved in many passes; held in the middle of a restore."""
    def run(bench):
        guest = Bare('checker', 64, 2, size='8M')
        channel = channels.File(bench)
        source = VM(bench, 'source', emulators.ferry(), guest)
        wait_alive(source)
        source.set_capabilities(**caps)
        source.set_parameters(max_bandwidth=16 << 20, downtime_limit=1)
        source.command('migrate', uri=channel.outgoing)
        seen = follow(source, lambda i: i.get('ram', {}).get('dirty-sync-count', 0) >= 4)
        check(any(0 < p['percent'] < 90 for p in seen), 'nothing between beginning and end: %s', seen)
        check(any(p['rate'] and p.get('seconds-left') for p in seen), 'no rate, no time: %s', seen)
        check_line(source)
        source.set_parameters(max_bandwidth=0, downtime_limit=5000)
        last = follow(source, ended)[-1]
        check('seconds-left' not in last and last['done'] == last['total'], 'at the end: %s', last)

        there = VM(bench, 'destination', emulators.ferry(), guest, incoming='defer')
        there.set_capabilities(x_mapped_ram_lazy=lazy, **caps)
        there.command('x-fault', point='dst-lazy-read' if lazy else 'dst-section', action='stall',
                      ms=9000, nth=40 if lazy else 2)
        there.command('migrate-incoming', uri=channel.incoming)
        held = follow(there, lambda i: i.get('x-file', {}).get('percent', 0) > 1)[-1]
        check_line(there)
        there.command('x-fault', point='src-connect', action='stall', ms=0)
        last = follow(there, ended)[-1]
        check('seconds-left' not in last and last['done'] == last['total'], 'at the end: %s', last)
        if lazy:
            check(1 < held['percent'] < 90 and held['seconds-left'] > 0, 'in the middle: %s', held)
        if caps:
            received = there.migration()['x-received']['normal']
            check_equal(last['total'], received * 4096, 'what the file had')
    return run


def cancelled(bench):
    """What was reached is told, and no more; the next one begins anew."""
    source = VM(bench, 'source', emulators.ferry(), Bare('checker', 64, 1, size='8M'))
    wait_alive(source)
    source.set_capabilities(mapped_ram=True)
    source.set_parameters(max_bandwidth=4 << 20)
    source.command('migrate', uri=channels.File(bench).outgoing)
    seen = follow(source, lambda i: i.get('x-file', {}).get('percent', 0) > 10)
    source.command('migrate_cancel')
    wait_migration(source, ['cancelled'])
    left = source.migration()['x-file']
    check(seen[-1]['percent'] <= left['percent'] < 100 and 'seconds-left' not in left, 'left: %s', left)
    source.set_parameters(max_bandwidth=0)
    source.command('migrate', uri=channels.File(bench).outgoing)
    follow(source, ended)
    check('x-file' in source.migration(), 'nothing is told of the second')


def socket(bench):
    """No file, no word of one."""
    channel = channels.Unix(bench)
    guest = Bare('checker', 32, 1, size='1M')
    source = VM(bench, 'source', emulators.ferry(), guest)
    there = VM(bench, 'destination', emulators.ferry(), guest, incoming=channel.incoming)
    wait_alive(source)
    source.command('migrate', uri=channel.outgoing)
    wait_migration(source)
    wait_migration(there)
    for vm in source, there:
        check('x-file' not in vm.migration(), 'a file: %s', vm.migration())
        check('file:' not in vm.hmp('info migrate'), 'a line about a file')


def cases():
    yield Case('mapped_ram', progress({'mapped_ram': True}))
    yield Case('mapped_ram, lazy', progress({'mapped_ram': True}, lazy=True))
    yield Case('fixed_ram', progress({'fixed_ram': True}))
    yield Case('a stream', progress({}))
    yield Case('cancelled', cancelled)
    yield Case('a socket', socket)


if __name__ == '__main__':
    main(list(cases()))
