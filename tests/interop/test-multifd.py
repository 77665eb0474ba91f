#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Parallel channels between QEMU 7.2, Ferry and QEMU 10.0: how many, compression, who looks for zero
pages, where sync points are, and with what else. RAM is compared bit for bit at the switchover, then
the guest's own checks go on.

A guest that comes from 7.2 stands still, or does little: 7.2 loses writes to pages that it has sent
(ferrytest/crossing.py), and here no stream tells afterwards whose fault a difference is.
"""
import itertools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import channels, emulators  # noqa: E402
from ferrytest.crossing import PAIRS, Q72, need  # noqa: E402
from ferrytest.guest import Bare  # noqa: E402
from ferrytest.move import Move, force_passes, wait_migration  # noqa: E402
from ferrytest.tap import Case, check, main, wait_until  # noqa: E402


def is_qemu72(emulator):
    return emulator.version == '7.2' and not emulator.is_ferry


def crossed(pair, count=2, compression='none', zero=None, channel='unix', caps=None, legacy=False,
            paused=False, harts=2, during=None, dst_caps=None):
    def run(bench):
        source, destination = PAIRS[pair]
        need(source, destination)
        mode = 'idle' if is_qemu72(source) and not paused else 'checker'
        both = dict(multifd_channels=count, multifd_compression=compression)
        # Nobody has to be told of both: who reads sees it.
        extra = ['-global', 'migration.multifd-flush-after-each-section=on'] if legacy else []
        move = Move(bench, source, Bare(mode, harts=harts, size='2M'), channels.ALL[channel](bench),
                    destination_emulator=destination, caps=dict(multifd=True, **(caps or {})),
                    dst_caps=dst_caps, params=dict(both, **({'zero_page_detection': zero} if zero else {})),
                    dst_params=both, paused=paused, extra=extra,
                    dst_extra=[] if destination.is_ferry else extra)
        if mode == 'checker' and not paused:
            force_passes(move)
        if during:
            during(move)
        move.run()
        ram = move.info['ram']
        check(ram['multifd-bytes'] > 1344 * count, 'nothing went over the channels: %s', ram)
        check(ram['normal'] > (0 if mode == 'idle' else harts * 512), 'normal pages: %s', ram)
    return run


def pauses(move):
    """pause-before-switchover: it waits there until it is told to go on."""
    passes = move.during

    def during(source, destination):
        if passes:
            passes(source, destination)
        wait_migration(source, ('pre-switchover',))
        source.command('migrate-continue', state='pre-switchover')
    move.during = during


def cancelled(pair):
    """Cancelled in the middle: the guest runs on, and moves at the next attempt."""
    def run(bench):
        source, destination = PAIRS[pair]
        need(source, destination)
        both = dict(multifd_channels=4)
        move = Move(bench, source, Bare('checker', harts=1, size='2M'), channels.Unix(bench),
                    destination_emulator=destination, caps={'multifd': True},
                    params=dict(both, max_bandwidth=1 << 20), dst_params=both,
                    paused=is_qemu72(source))
        move.start_source()
        move.start_destination()
        move.start_migration()
        wait_until(lambda: source_sent(move.source) > 200000, 30, 'pages to be sent')
        move.source.command('migrate_cancel')
        wait_migration(move.source, ('cancelled',))
        move.destination.kill()
        move.names = (move.names[0], 'again')
        move.params['max_bandwidth'] = 0
        move.channel = channels.Unix(bench)
        move.start_destination()
        move.start_migration()
        move.finish()
    return run


def saved(pair, channel, theirs, ours=None, direct=(False, False), again=False):
    """multifd with mapped-ram: the file is the same, whatever number of threads either side has,
    around the page cache or not; again: each page is written several times."""
    def run(bench):
        source, destination = PAIRS[pair]
        need(source, destination)
        move = Move(bench, source, Bare('checker', harts=2, size='2M'), channel(bench),
                    destination_emulator=destination, caps={'multifd': True, 'mapped_ram': True},
                    dst_caps={'multifd': bool(ours), 'mapped_ram': True},
                    params={'multifd_channels': theirs, 'direct_io': direct[0]},
                    dst_params={'direct_io': direct[1], **({'multifd_channels': ours} if ours else {})})
        if again:
            force_passes(move)
        move.run()
    return run


def there_and_back(multifd):
    """A guest of 7.2 in a machine that was asked for as just "virt" goes back as what it came."""
    def run(bench):
        ferry = emulators.ferry('virt', emulators.CPU_T7)
        need(Q72, ferry)
        guest = Bare('idle', harts=1, size='1M')
        caps = {'multifd': True} if multifd else {}
        there = Move(bench, Q72, guest, channels.Unix(bench), destination_emulator=ferry, caps=caps).run()
        Move(bench, ferry, guest, channels.Unix(bench), destination_emulator=Q72, caps=caps,
             source=there.destination, journey=there.journey, names=('there', 'back')).run()
    return run


def source_sent(vm):
    return vm.migration().get('ram', {}).get('multifd-bytes', 0)


def matrix():
    yield Case('7.2, there and back', there_and_back(False))
    yield Case('7.2, there and back, 2 channels', there_and_back(True))
    for pair in PAIRS:
        paused = pair == '7.2 to Ferry'
        zeros = ('none', 'legacy', 'multifd') if '10.0' in pair else (None,)
        yield Case('%s, 2 channels' % pair, crossed(pair, paused=paused))
        yield Case('%s, running, return path' % pair, crossed(pair, caps={'return_path': True},
                                                              channel='tcp'))
        yield Case('%s, pause before switchover' % pair,
                   crossed(pair, caps={'pause_before_switchover': True, 'return_path': True},
                           paused=paused, during=pauses))
        yield Case('%s, cancelled' % pair, cancelled(pair))
        yield Case('%s, zero copy' % pair, crossed(pair, channel='tcp', caps={'zero_copy_send': True},
                                                   dst_caps={'multifd': True}, paused=paused))
        if '10.0' in pair:
            yield Case('%s, flush after each section' % pair, crossed(pair, legacy=True, zero='legacy'))
            for channel, theirs, ours in ((channels.File, 4, 1), (channels.FileOffset, 1, 8),
                                          (channels.File, 2, None)):
                yield Case('%s, %s, %d channels, read with %s' % (pair, channel.name, theirs, ours),
                           saved(pair, channel, theirs, ours))
            for theirs, ours, direct in ((1, 16, (True, True)), (2, 8, (True, False)), (8, 2, (False, True)),
                                         (16, 1, (True, True))):
                words = ['directly' if d else 'through the cache' for d in direct]
                yield Case('%s, %d channels %s, read with %d %s' % (pair, theirs, words[0], ours, words[1]),
                           saved(pair, channels.File, theirs, ours, direct))
            yield Case('%s, 8 channels, written again and again' % pair,
                       saved(pair, channels.File, 8, 4, again=True))
        for channel, count, compression, zero in itertools.product(
                ('unix', 'tcp'), (1, 2, 8, 16), ('none', 'zlib', 'zstd'), zeros):
            yield Case('%s, %s, %d channel%s, %s%s' % (pair, channel, count, 's' * (count > 1),
                                                       compression, ', zero pages %s' % zero if zero
                                                       else ''),
                       crossed(pair, count, compression, zero, channel, paused=paused), rotate=12)


if __name__ == '__main__':
    main(list(matrix()))
