#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A running guest is moved: every channel, one and two harts, idle and working, delta on and off.

RAM is compared bit for bit at the switchover, then the guest's own checks have to go on without a
gap. The full matrix runs in suite "full"; each ordinary run takes a rotating part of it.
"""
import itertools

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import Move, force_passes, statuses
from ferrytest.tap import Case, check, check_equal, main

EMULATOR = emulators.subject()


def moved(channel, mode, harts, paused, xbzrle, hmp=False):
    def run(bench):
        guest = Bare(mode, harts=harts, size='2M')
        caps = {'xbzrle': True} if xbzrle else {}
        move = Move(bench, EMULATOR, guest, channels.ALL[channel](bench), caps=caps,
                    paused=paused, hmp=hmp)
        passes = mode != 'idle' and not paused and move.channel.live and not hmp
        if passes:
            force_passes(move)
        move.run()
        if passes:
            check(move.info['ram']['dirty-sync-count'] >= 4, 'passes: %s', move.info)
        if passes and xbzrle:
            check(move.info['xbzrle-cache']['pages'] > 0, 'no page went as a delta: %s',
                  move.info)
    return run


def events_in_order(bench):
    """The states that the events tell, on both sides, in the documented order."""
    move = Move(bench, EMULATOR, Bare('idle'), channels.Unix(bench)).run()
    source = [s for s in statuses(move.source.qmp.poll_events()) if s != 'device']
    check_equal(source, ['setup', 'active', 'completed'], 'states of the source')
    passes = [e['data']['pass'] for e in move.source.qmp.events if e['event'] == 'MIGRATION_PASS']
    check_equal(passes, list(range(1, len(passes) + 1)), 'MIGRATION_PASS events')
    check_equal(len(passes), move.info['ram']['dirty-sync-count'], 'number of passes')
    arrived = statuses(move.destination.qmp.poll_events())
    check_equal(arrived, ['setup', 'active', 'completed'], 'states of the destination')
    names = [e['event'] for e in move.source.qmp.events]
    check('STOP' in names, 'the source announced no STOP: %s', names)
    check('RESUME' in [e['event'] for e in move.destination.qmp.events], 'no RESUME')


def matrix():
    # What every change has to pass.
    yield Case('unix, checker, 2 harts, delta', moved('unix', 'checker', 2, False, True))
    yield Case('states and events come in order', events_in_order)
    for channel in channels.ALL:
        if not EMULATOR.has_files and channel.startswith('file'):
            continue
        if not EMULATOR.is_ferry and channel == 'fd-number':
            continue  # QEMU's migrate looks for names only
        for mode, harts, paused, xbzrle in itertools.product(
                ('idle', 'loadgen', 'checker'), (1, 2), (False, True), (False, True)):
            name = '%s, %s, %d hart%s, %s, delta %s' % (
                channel, mode, harts, 's' * (harts > 1), 'paused' if paused else 'running',
                'on' if xbzrle else 'off')
            yield Case(name, moved(channel, mode, harts, paused, xbzrle), rotate=8)
    for mode, xbzrle in itertools.product(('idle', 'checker'), (False, True)):
        yield Case('human monitor, %s, delta %s' % (mode, xbzrle),
                   moved('tcp', mode, 1, False, xbzrle, hmp=True))


if __name__ == '__main__':
    main(list(matrix()))
