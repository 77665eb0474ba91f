#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest memory in a file that both sides map: it is not sent (capability x-ignore-shared), between
Ferries and with QEMU 7.2 and 10.0. And the mode cpr-reboot, which goes with it."""
import os
import sys

from ferrytest import emulators
from ferrytest.crossing import F10, F72
from ferrytest.guest import Bare
from ferrytest.move import wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.tap import Case, Skip, check, check_equal, main, wait_until

FERRY = emulators.ferry()


def memory(path, guest, share='on'):
    return ['-object', 'memory-backend-file,id=mem,size=%dM,mem-path=%s,share=%s'
            % (guest.memory, path, share), '-machine', 'memory-backend=mem']


class Pair:
    """A guest that runs in a file, and a destination that has the file, too."""

    def __init__(self, bench, one=FERRY, other=FERRY, guest=None):
        for emulator in (one, other):
            if emulator.missing():
                raise Skip(emulator.missing())
        self.bench, self.other = bench, other
        self.guest = guest or Bare('checker', size='2M')
        self.path = bench.path('memory')
        self.source = VM(bench, 'source', one, self.guest, extra=memory(self.path, self.guest))
        self.door = 'unix:' + bench.path('door')
        wait_alive(self.source)

    def destination(self, *caps, name='destination', share='on'):
        vm = VM(self.bench, name, self.other, self.guest, incoming='defer',
                extra=memory(self.path, self.guest, share))
        vm.set_capabilities(**{cap: True for cap in caps})
        vm.command('migrate-incoming', uri=self.door)
        return vm


def left_out(bench, one=FERRY, other=FERRY):
    pair = Pair(bench, one, other)
    destination = pair.destination('x_ignore_shared')
    pair.source.set_capabilities(x_ignore_shared=True)
    pair.source.command('migrate', uri=pair.door)
    info = wait_migration(pair.source)
    # flash and ROM are not shared: zeros, each a few bytes
    sent = (info['ram']['normal'], info['ram']['transferred'] >> 20)
    check(info['ram']['normal'] < 100 and info['ram']['transferred'] < 1 << 20,
          'pages and MiB that were sent: %s', sent)
    wait_alive(destination)


def sides_differ(bench):
    """Each side says what the other has to do; the guest goes on in the source."""
    pair = Pair(bench)
    for name, theirs, ours, share, words in (
            ('there', (), True, 'on', 'Capability x-ignore-shared is off, but received capability is on'),
            ('here', ('x_ignore_shared',), False, 'on',
             'Capability x-ignore-shared is on, but received capability is off'),
            ('not shared', ('x_ignore_shared',), True, 'off',
             'the source has left out the memory "mem"')):
        destination = pair.destination(*theirs, name=name, share=share)
        pair.source.set_capabilities(x_ignore_shared=ours, return_path=True)
        pair.source.command('migrate', uri=pair.door)
        wait_migration(pair.source, ['failed'])
        check(words in pair.source.migration()['error-desc'], '%s: %s', name,
              pair.source.migration()['error-desc'])
        destination.wait_exit()
        wait_alive(pair.source)


CASES = [
    Case('left out', left_out),
    Case('sides that differ', sides_differ),
    Case('from qemu 7.2', lambda bench: left_out(bench, emulators.qemu72(), F72)),
    Case('to qemu 7.2', lambda bench: left_out(bench, F72, emulators.qemu72())),
    Case('from qemu 10.0', lambda bench: left_out(bench, emulators.qemu100(), F10)),
    Case('to qemu 10.0', lambda bench: left_out(bench, F10, emulators.qemu100())),
]

if __name__ == '__main__':
    main(CASES)
