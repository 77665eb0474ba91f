#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtio devices whose queues are in the middle of something when the guest moves.

  FERRY_BUILD=build tests/migration/test-virtio.py [WORDS OF A CASE]
"""
import time

from ferrytest import driven, emulators
from ferrytest.tap import Case, check, check_equal, main, need, wait_until
from ferrytest.guest import Bare
from ferrytest.process import VM
from ferrytest.rings import Disk

FERRY = emulators.subject()


def one_machine(bench, small, *options):
    """A Ferry with a disk on it, and the driver of that disk."""
    need(not FERRY.missing(), '%s', FERRY.missing())
    vm = VM(bench, 'source', FERRY, Bare('idle'), qtest=True,
            extra=driven.drive(small.image, *options))
    vm.status()  # from here on events are heard
    qtest = vm.connect_qtest()
    bench.at_end(qtest.close)
    disk = Disk(qtest)
    disk.start()
    return vm, disk


def policy(options, status, action):
    """The host's disk is full, and what the user said about that."""
    def run(bench):
        vm, disk = one_machine(bench, driven.SmallDisk(bench), options)
        driven.fill(disk, 2)
        disk.wait_used(2)
        disk.check_status(2, status)
        check_equal(vm.status(), 'running', 'state')
        found = driven.events(vm, 'BLOCK_IO_ERROR')
        check(found and all(e['action'] == action for e in found), 'events: %s', found)
        check('io-status' not in vm.command('query-block')[0], 'an io-status is shown')
    return run


def reset_while_stopped(bench):
    """A reset forgets what was kept; the guest that starts anew has a disk that works."""
    small = driven.SmallDisk(bench)
    vm, disk = one_machine(bench, small)
    driven.fill(disk, 2)
    wait_until(lambda: vm.status() == 'io-error', 20, 'the guest to stop')
    vm.command('system_reset')
    wait_until(lambda: vm.status() == 'prelaunch', 20, 'the reset')
    small.make_room()
    vm.command('cont')
    disk.offered = 0
    disk.start()
    disk.write(0, 0, driven.block(0))
    disk.wait_used(1)
    disk.check_status(1, 0)


def slow_together(bench):
    """A slow disk is slow with all its requests at the same time, not with one after the other."""
    need(not FERRY.missing(), '%s', FERRY.missing())
    vm = VM(bench, 'source', FERRY, Bare('idle'), qtest=True,
            extra=['-drive', 'if=none,id=d,driver=null-co,latency-ns=1000000000',
                   '-device', 'virtio-blk-device,drive=d'])
    vm.status()
    qtest = vm.connect_qtest()
    bench.at_end(qtest.close)
    disk = Disk(qtest)
    disk.start()
    start = time.monotonic()
    for number in range(16):
        disk.write(number, 8 * number, driven.block(number), kick=number == 15)
    disk.wait_used(16)
    took = time.monotonic() - start
    check(1 <= took < 10, '16 requests took %.1f s', took)


CASES = [
    Case('full disk, stops, moves, goes on', driven.full_disk(FERRY, FERRY)),
    Case('full disk, werror=report', policy('werror=report', 1, 'report')),
    Case('full disk, werror=ignore', policy('werror=ignore', 0, 'ignore')),
    Case('full disk, reset while stopped', reset_while_stopped),
    Case('slow disk, all at once', slow_together),
    Case('slow disk', driven.slow_disk(FERRY, FERRY)),
    Case('many writes', driven.many_writes(FERRY, FERRY)),
    Case('network card', driven.network(FERRY, FERRY)),
    Case('announced by the destination', driven.announced(FERRY, FERRY, 3)),
    Case('announced not at all', driven.announced(FERRY, FERRY, 0)),
    Case('balloon statistics', driven.balloon_statistics(FERRY, FERRY)),
    Case('agent port', driven.agent_port(FERRY, FERRY)),
    Case('receive filter', driven.receive_filter(FERRY, FERRY)),
    Case('index out of range', driven.index_out_of_range(FERRY, FERRY)),
]

if __name__ == '__main__':
    main(CASES)
