#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Something goes wrong at each step of a postcopy at its destination (softmmu/faults.h): it takes long, it
fails, the process dies. The source's steps are in test-postcopy-source.py. Never do two run, and where
the guest is whole it arrives."""
from ferrytest import emulators
from ferrytest.guest import Bare
from ferrytest.move import Journey, wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.qmp import QMPClosed
from ferrytest.tap import Case, check, check_equal, main, wait_until

DIED = 86
PREFIX = 'dst-postcopy-'
# Until then the guest is the source's: it has not heard that all is loaded.
BEFORE = ('advise', 'discard', 'listen', 'armed')
IN_RECOVERY = ('connected', 'reads', 'bitmap', 'resume', 'resumed')


def points(vm):
    return {p['name'][len(PREFIX):]: p for p in vm.command('x-query-faults')
            if p['name'].startswith(PREFIX)}


class Pair:
    """On its way, told to go on in postcopy, slowly; a fault is armed at the destination."""

    def __init__(self, bench, name, action):
        guest = Bare('checker', 16, 1, size='4M')
        self.name = name
        self.source = VM(bench, '%s-%s-source' % (name, action), emulators.ferry(), guest)
        self.destination = VM(bench, '%s-%s' % (name, action), emulators.ferry(), guest,
                              incoming='defer')
        self.journey = Journey()
        self.journey.vms.append(self.source)
        wait_alive(self.source)
        self.source.set_capabilities(events=True, postcopy_ram=True,
                                     postcopy_preempt=name == 'urgent')
        self.destination.set_capabilities(events=True, postcopy_ram=True)
        self.source.set_parameters(max_bandwidth=4 << 20, max_postcopy_bandwidth=512 << 10,
                                   x_postcopy_precopy_count=0)
        self.destination.command('migrate-incoming', uri='tcp:127.0.0.1:0')
        self.destination.command('x-fault', point=PREFIX + name, action=action, ms=400)
        self.source.command('migrate', uri=self.uri())

    def uri(self):
        return 'tcp:127.0.0.1:' + self.destination.migration()['socket-address'][-1]['port']

    def recover(self):
        wait_migration(self.source, ('postcopy-paused',))
        wait_migration(self.destination, ('postcopy-paused', 'completed'))
        self.destination.command('migrate-recover', uri='tcp:127.0.0.1:0')
        self.source.command('migrate', uri=self.uri(), resume=True)

    def to_the_point(self):
        """What it takes to get there."""
        if self.name in IN_RECOVERY + ('paused',):
            wait_migration(self.source, ('postcopy-active',))
            self.source.command('migrate-pause')
            self.recover()
        if self.name == 'after':
            self.source.command('x-fault', point='src-postcopy-awaits', action='fail')
            self.source.set_parameters(max_postcopy_bandwidth=0)
            wait_migration(self.destination)
            self.recover()

    def reached(self):
        return points(self.destination)[self.name]['reached'] > 0

    def end(self):
        self.source.set_parameters(max_postcopy_bandwidth=0)
        wait_migration(self.source)
        wait_migration(self.destination)
        check(self.reached(), '%s was not reached', self.name)
        check_equal(self.source.status(), 'postmigrate', self.name + ': the source')
        self.journey.prove(self.destination)
        self.quit()

    def quit(self):
        for vm in (self.source, self.destination):
            if vm.process.poll() is None:
                vm.quit()


def stall(bench, name):
    pair = Pair(bench, name, 'stall')
    pair.to_the_point()
    pair.end()


def goes_on_here(pair):
    wait_migration(pair.source, ('failed',))
    wait_until(lambda: pair.source.status() == 'running', 10, pair.name + ': the guest to go on')
    before = len(pair.source.console.statuses())
    wait_until(lambda: len(pair.source.console.statuses()) > before + 2, 60, 'the guest to work')
    pair.journey.check()


def fail(bench, name):
    pair = Pair(bench, name, 'fail')
    if name in BEFORE:
        goes_on_here(pair)
        check('was told to fail' in pair.source.migration()['error-desc'], '%s: %s', name,
              pair.source.migration())
        pair.quit()
        return
    pair.to_the_point()
    if name == 'tells':
        pair.source.set_parameters(max_postcopy_bandwidth=0)
    pair.recover()
    pair.end()


def die(bench, name):
    """Whoever had the guest and is gone has taken it along: the source never runs it by itself."""
    pair = Pair(bench, name, 'die')
    try:
        pair.to_the_point()
    except QMPClosed:
        pass        # it was there before we had said all that takes it there
    check_equal(pair.destination.process.wait(60), DIED, name + ': the end of the destination')
    wait_migration(pair.source, ('failed', 'postcopy-paused'))
    if pair.source.migration()['status'] == 'failed':
        check(name in BEFORE, '%s: the source has taken the guest back', name)
        goes_on_here(pair)
    else:
        check_equal(pair.source.status(), 'finish-migrate', name + ': the source')
        check('Migration is not finalized yet' in pair.source.hmp('cont'), '%s: cont', name)
    pair.quit()


def each(one, names=None):
    def run(bench):
        vm = VM(bench, 'table', emulators.ferry(), Bare('idle'))
        table = points(vm)
        vm.quit()
        check(len(table) >= 17, 'points: %s', list(table))
        for name, point in table.items():
            if (one is not fail or point['may-fail']) and (not names or name in names):
                one(bench, name)
    return run


main([
    Case('a step fails', each(fail), timeout=300),
    Case('a step takes long', each(stall), full=True, timeout=300),
    Case('a step takes long, some', each(stall, ('armed', 'starts', 'asks', 'resumed', 'tells'))),
    Case('the process dies', each(die), full=True, timeout=300),
    Case('the process dies, some', each(die, ('run', 'starts', 'paused', 'bitmap', 'tells'))),
])
