#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Parallel channels (multifd): a running guest moves over them."""
import itertools

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import Move, force_passes
from ferrytest.tap import Case, check, main

EMULATOR = emulators.subject()


def moved(channel, count, compression='none', zero='multifd', harts=2, paused=False, caps=None,
          legacy=False, size='2M'):
    def run(bench):
        extra = ('-global', 'migration.multifd-flush-after-each-section=on') if legacy else ()
        both = dict(multifd_channels=count, multifd_compression=compression)
        move = Move(bench, EMULATOR, Bare('checker', harts=harts, size=size), channels.ALL[channel](bench),
                    caps=dict(multifd=True, **(caps or {})), paused=paused,
                    params=dict(zero_page_detection=zero, **both), dst_params=both, extra=extra)
        if not paused:
            force_passes(move)
        move.run()
        ram = move.info['ram']
        check(ram['multifd-bytes'] > 1344 * count, 'nothing went over the channels: %s', ram)
        check(ram['transferred'] >= ram['multifd-bytes'], 'transferred: %s', ram)
        check(ram['normal'] > harts * 512, 'normal pages: %s', ram)
        if zero != 'none':
            check(ram['duplicate'] > 1000, 'zero pages: %s', ram)
        received = move.destination.migration()['x-received']
        check(received['normal'] == ram['normal'] and received['duplicate'] == ram['duplicate'],
              'sent %s, received %s', ram, received)
    return run


def matrix():
    yield Case('tcp, 2 channels', moved('tcp', 2))
    yield Case('unix, 2 channels, return path', moved('unix', 2, caps={'return_path': True}))
    for channel, count, compression, zero, legacy in itertools.product(
            ('tcp', 'unix'), (1, 2, 8, 16), ('none', 'zlib', 'zstd'), ('none', 'legacy', 'multifd'),
            (False, True)):
        yield Case('%s, %d channels, %s, zero pages %s%s' %
                   (channel, count, compression, zero, ', flush after each section' * legacy),
                   moved(channel, count, compression, zero, legacy=legacy), rotate=12)
    for caps in ({'x_ignore_shared': True}, {'auto_converge': True}, {'validate_uuid': True},
                 {'return_path': True, 'switchover_ack': True}):
        yield Case('tcp, 3 channels, with ' + ' and '.join(caps).replace('_', '-'),
                   moved('tcp', 3, caps=caps))
    yield Case('tcp, 4 channels, paused', moved('tcp', 4, paused=True))
    yield Case('tcp, 255 channels', moved('tcp', 255))


if __name__ == '__main__':
    main(list(matrix()))
