#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that resets, reboots or powers off by itself while it is moved, or while that is cancelled.
It runs on one side, a reset falls into a life that runs, and it is switched off once."""
import random
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import FINAL
from ferrytest.process import VM
from ferrytest.qmp import QMPClosed, QMPError
from ferrytest.tap import Case, check, check_equal, main, wait_until

EMULATOR = emulators.subject()

# Options of the guest, and of the machine.
KINDS = {
    'resets': ({'reset': 2}, ()),
    'is off': ({'off': 12}, ('-no-shutdown',)),
    'reboots where that ends it': ({'reset': 12}, ('-no-reboot', '-no-shutdown')),
}
WAYS = {'plain': {}, 'return path': {'return_path': True},
        'pause before switchover': {'return_path': True, 'pause_before_switchover': True}}
WHEN = ('never', 'active', 'STOP', 'after STOP')


def machine(bench, name, kind, **options):
    guest, extra = KINDS[kind]
    return VM(bench, name, EMULATOR, Bare('checker', harts=2, size='256K', tick=5, print=20, **guest),
              extra=extra, **options)


def status_of(vm):
    try:
        return vm.migration().get('status', '')
    except QMPClosed:
        return None


def go_on(vm):
    try:
        if status_of(vm) == 'pre-switchover':
            vm.command('migrate-continue', state='pre-switchover')
    except QMPError:
        pass    # it has moved on


def cancel(source, when):
    """At some moment: what falls together with what is chance, and different every time."""
    if when == 'active':
        time.sleep(random.random() * 0.1)
    elif when != 'never':
        end = time.monotonic() + 20     # a guest that is off is not stopped any more
        while not any(e['event'] == 'STOP' for e in source.qmp.poll_events()) and \
                status_of(source) not in FINAL and time.monotonic() < end:
            pass
        if when == 'after STOP':
            time.sleep(random.random() * 0.004)
    if when != 'never':
        source.command('migrate_cancel')


def check_events(vm):
    """No reset between STOP and RESUME of a guest that then goes on, here or elsewhere."""
    stopped = False
    for event in vm.qmp.poll_events():
        name = event['event']
        stopped = name == 'STOP' or (stopped and name not in ('RESUME', 'SHUTDOWN'))
        check(not (stopped and name == 'RESET'), '%s: RESET while it stood still: %s', vm.name,
              [e['event'] for e in vm.qmp.events])


def times_off(vms):
    return sum(1 for vm in vms for e in vm.qmp.poll_events()
               if e['event'] == 'SHUTDOWN' and e['data']['guest'])


def states(vms):
    return [vm.status() if vm.running() else None for vm in vms]


def settle(source, destination):
    def ended():
        go_on(source)
        return status_of(source) in FINAL
    wait_until(ended, 60, 'the end of the migration')
    # one that was cancelled before it had a connection has come to nobody
    nobody = ('setup',) if status_of(source) == 'cancelled' else ()
    wait_until(lambda: not destination.running() or
               status_of(destination) in (None, 'completed') + nobody, 60, 'the end at the destination')
    if status_of(destination) is None:
        destination.wait_exit()


def one_runs(source, destination):
    vms = (source, destination)
    running = [vm for vm, state in zip(vms, states(vms)) if state == 'running']
    check_equal(len(running), 1, 'how many run (%s)' % states(vms))
    owner = running[0]
    lines = len(owner.console.statuses())
    for line in owner.console.wait_statuses(lines + 6, 60)[lines + 1:]:  # the first is begun elsewhere
        line.check_clean(owner.name)
    check_equal([s for s in states(vms) if s == 'running'], ['running'], 'who runs')


def is_off(source, destination):
    vms = (source, destination)
    wait_until(lambda: 'shutdown' in states(vms), 60, 'the guest to switch itself off')
    time.sleep(0.1)
    check('running' not in states(vms), 'it runs somewhere: %s', states(vms))
    check_equal(times_off(vms), 1, 'how often the guest was switched off')


def life(kind, way, when):
    def case(bench):
        for turn in range(3):
            source = machine(bench, 'source%d' % turn, kind)
            destination = machine(bench, 'destination%d' % turn, kind, incoming='defer')
            channel = channels.Unix(bench)
            for vm in (source, destination):
                vm.set_capabilities(events=True, **WAYS[way])
            destination.command('migrate-incoming', uri=channel.incoming)
            source.console.wait_statuses(1)
            time.sleep(random.random() * 0.05)
            source.command('migrate', uri=channel.outgoing)
            cancel(source, when)
            settle(source, destination)
            (one_runs if kind == 'resets' else is_off)(source, destination)
            check_events(source)
            for vm in (source, destination):
                if vm.running():
                    vm.quit()
    return case


def at_the_last_step(bench, key):
    """It has switched itself off or reset itself, and its vCPUs are being stopped for that, when the
    migration stops them, too. (What arrived was a guest that waits for ever to be off, or reset.)"""
    options = dict(extra=('-no-shutdown',))
    guest = Bare('checker', harts=2, size='512K')
    source = VM(bench, 'source', EMULATOR, guest, **options)
    destination = VM(bench, 'destination', EMULATOR, guest, incoming='defer', **options)
    channel = channels.Unix(bench)
    for vm in (source, destination):
        vm.set_capabilities(events=True)
    destination.command('migrate-incoming', uri=channel.incoming)
    source.set_parameters(max_bandwidth=8 << 20, downtime_limit=1)
    source.console.wait_statuses(12)
    source.command('migrate', uri=channel.outgoing)
    wait_until(lambda: source.migration().get('ram', {}).get('dirty-sync-count', 0) > 2, 30, 'passes')
    source.command('x-fault', point='pause-asked', action='stall', ms=2000)
    source.console.type(key)
    source.console.wait_for('input: ' + key)
    if key == 'q':
        source.qmp.wait_event('SHUTDOWN', 30)
    settle(source, destination)
    if key == 'q':
        is_off(source, destination)
        return
    one_runs(source, destination)
    before, after = source.console.statuses()[-1], destination.console.statuses()[1]
    check(after.generations[0] < before.generations[0], 'the guest did not begin a new life: %s',
          after.text)
    check_events(source)


CASES = [Case('is off when the last step begins', lambda b: at_the_last_step(b, 'q')),
         Case('resets when the last step begins', lambda b: at_the_last_step(b, 'r'))]
for a_kind in KINDS:
    for a_way in WAYS:
        CASES += [Case('%s, %s, %s' % (a_kind, a_way, 'moved' if when == 'never' else 'cancelled: ' + when),
                       life(a_kind, a_way, when), rotate=4) for when in WHEN]

if __name__ == '__main__':
    main(CASES)
