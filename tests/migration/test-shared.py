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
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, Failed, check, check_equal, main, need, wait_until

FERRY = emulators.ferry()


def memory(path, guest, share='on'):
    return ['-object', 'memory-backend-file,id=mem,size=%dM,mem-path=%s,share=%s'
            % (guest.memory, path, share), '-machine', 'memory-backend=mem']


class Pair:
    """A guest that runs in a file, and a destination that has the file, too."""

    def __init__(self, bench, one=FERRY, other=FERRY, guest=None):
        for emulator in (one, other):
            need(not emulator.missing(), '%s', emulator.missing())
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


def reboot(bench):
    """As for a new kernel of the host: the guest stops, a moment later all is in two files, the
    process ends; a new one goes on."""
    pair = Pair(bench)
    path = bench.path('state')
    pair.source.set_capabilities(x_ignore_shared=True)
    pair.source.set_parameters(mode='cpr-reboot')
    pair.source.command('migrate', uri='file:' + path)
    wait_migration(pair.source)
    check_equal(pair.source.status(), 'postmigrate', 'run state')
    check(os.path.getsize(path) < 1 << 20, '%d bytes in the file', os.path.getsize(path))
    pair.source.quit()
    pair.door = 'file:' + path
    wait_alive(pair.destination('x_ignore_shared'))


def reboot_stops_first(bench):
    """The guest stands still from the beginning, and runs again if nothing comes of it."""
    vm = VM(bench, 'source', FERRY, Bare('checker', size='2M'))
    wait_alive(vm)
    vm.set_capabilities(events=True)
    vm.set_parameters(mode='cpr-reboot', max_bandwidth=4096)
    vm.command('migrate', uri='exec:cat >/dev/null')
    vm.qmp.wait_event('STOP')
    wait_until(lambda: vm.migration()['status'] == 'active', 30, 'the first pass')
    check_equal(vm.status(), 'finish-migrate', 'run state')
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    wait_alive(vm)
    vm.set_parameters(mode='normal')
    vm.command('migrate', uri='exec:cat >/dev/null')
    wait_until(lambda: vm.migration()['status'] == 'active', 30, 'the first pass')
    check_equal(vm.status(), 'running', 'run state in the mode normal')
    try:
        vm.set_parameters(mode='cpr-transfer')
    except QMPError as error:
        check('not implemented' in error.desc, 'refused with: %s', error.desc)
    else:
        raise Failed('the mode cpr-transfer was taken')


CASES = [
    Case('cpr-reboot', reboot),
    Case('cpr-reboot stops first', reboot_stops_first),
    Case('left out', left_out),
    Case('sides that differ', sides_differ),
    Case('from qemu 7.2', lambda bench: left_out(bench, emulators.qemu72(), F72)),
    Case('to qemu 7.2', lambda bench: left_out(bench, F72, emulators.qemu72())),
    Case('from qemu 10.0', lambda bench: left_out(bench, emulators.qemu100(), F10)),
    Case('to qemu 10.0', lambda bench: left_out(bench, F10, emulators.qemu100())),
]

if __name__ == '__main__':
    main(CASES)
