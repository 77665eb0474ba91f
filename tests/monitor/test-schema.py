#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What Ferry says over QMP is what its schema says: every query command in each state that a
machine can be in, and every event on the way. Events: those of QEMU, or a reason."""
import glob
import os
import re
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
sys.path.insert(0, os.path.join(TOP, 'tests', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.move import wait_migration  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.qmp import QMPError  # noqa: E402
from ferrytest.schema import Mismatch, Schema, check_checker  # noqa: E402
from ferrytest.tap import Case, Failed, check, main, need, wait_until  # noqa: E402

EMULATOR = emulators.ferry()
DEVICES = ['-M', 'virt', '-bios', 'none', '-m', '16M', '-smp', '2', '-no-shutdown',
           '-netdev', 'user,id=n', '-device', 'virtio-net-device,netdev=n,id=nic',
           '-device', 'virtio-balloon-device', '-device', 'virtio-rng-device',
           '-device', 'virtio-serial-device', '-chardev', 'ringbuf,id=r',
           '-device', 'virtserialport,chardev=r,name=port']

# Commands that answer with an error in a state in which they have nothing to tell.
MAY_FAIL = {'query-balloon', 'query-cpu-model-expansion', 'query-hotpluggable-cpus'}

# Events of QEMU 10.0 that cannot happen here, by what would have to be there.
NOT_HERE = {
    'no ACPI and no CPU or memory hotplug': ['ACPI_DEVICE_OST', 'MEMORY_DEVICE_SIZE_CHANGE'],
    'no block jobs, exports, thresholds or formats with metadata': [
        'BLOCK_EXPORT_DELETED', 'BLOCK_IMAGE_CORRUPTED', 'BLOCK_JOB_CANCELLED',
        'BLOCK_JOB_COMPLETED', 'BLOCK_JOB_ERROR', 'BLOCK_JOB_PENDING', 'BLOCK_JOB_READY',
        'BLOCK_WRITE_THRESHOLD', 'JOB_STATUS_CHANGE', 'QUORUM_FAILURE', 'QUORUM_REPORT_BAD',
        'PR_MANAGER_STATUS_CHANGED'],
    'no removable media': ['DEVICE_TRAY_MOVED'],
    'no guest is asked before a device goes': ['DEVICE_UNPLUG_GUEST_ERROR'],
    'no COLO': ['COLO_EXIT'],
    'no failover or passed-through devices': ['FAILOVER_NEGOTIATED', 'UNPLUG_PRIMARY',
                                              'VFIO_MIGRATION', 'VFU_CLIENT_HANGUP'],
    'no panic device': ['GUEST_CRASHLOADED', 'GUEST_PANICKED', 'GUEST_PVSHUTDOWN'],
    'no Hyper-V': ['HV_BALLOON_STATUS_REPORT'],
    'no hardware memory errors are passed on': ['MEMORY_FAILURE'],
    'no vhost-user': ['NETDEV_VHOST_USER_CONNECTED', 'NETDEV_VHOST_USER_DISCONNECTED'],
    'no display': ['SPICE_CONNECTED', 'SPICE_DISCONNECTED', 'SPICE_INITIALIZED',
                   'SPICE_MIGRATE_COMPLETED', 'VNC_CONNECTED', 'VNC_DISCONNECTED',
                   'VNC_INITIALIZED'],
    'the board cannot suspend': ['SUSPEND', 'SUSPEND_DISK', 'WAKEUP'],
    'no watchdog device': ['WATCHDOG'],
}


def schema_of(vm):
    return Schema(vm.command('query-qmp-schema'))


class Watch:
    """Checks all that a machine says, in whatever states it is taken through."""

    def __init__(self, vm):
        self.vm = vm
        self.schema = schema_of(vm)
        self.queries = [c['name'] for c in self.schema.commands()
                        if re.match(r'query-|x-query-|info', c['name'])
                        and not self.schema.needs_arguments(c['name'])]
        self.seen = set()
        check(len(self.queries) > 30, 'only %d query commands: %s', len(self.queries),
              self.queries)

    def look(self, state):
        for name in self.queries:
            try:
                answer = self.vm.command(name)
            except QMPError as error:
                if name not in MAY_FAIL:
                    raise Failed('%s: %s' % (state, error)) from None
                continue
            try:
                self.schema.check_return(name, answer)
            except Mismatch as reason:
                raise Failed('%s: %s' % (state, reason)) from None
        self.vm.qmp.poll_events()
        for event in self.vm.qmp.events:
            self.seen.add(event['event'])
            try:
                self.schema.check_event(event)
            except Mismatch as reason:
                raise Failed('%s: %s' % (state, reason)) from None


def checker(_bench):
    check_checker()


def states(bench):
    """A life: made, run, paused, saved, failed, cancelled, moved away, reset; dumped on the way."""
    vm = VM(bench, 'source', EMULATOR, paused=True, extra=DEVICES)
    other = VM(bench, 'destination', EMULATOR, paused=True, incoming='defer', extra=DEVICES)
    here, there = Watch(vm), Watch(other)
    here.look('prelaunch')
    there.look('inmigrate')
    vm.set_capabilities(events=True, xbzrle=True, return_path=True, pause_before_switchover=True)
    vm.command('cont')
    here.look('running')
    vm.command('stop')
    here.look('paused')
    vm.command('cont')
    vm.command('dump-guest-memory', paging=False, protocol='file:' + bench.path('core'),
               detach=True)
    vm.qmp.wait_event('DUMP_COMPLETED')
    here.look('after a dump')
    vm.command('migrate', uri='unix:' + bench.path('nobody'))
    wait_migration(vm, ['failed'])
    here.look('after a migration that failed')
    other.set_capabilities(events=True, xbzrle=True, return_path=True)
    other.command('migrate-incoming', uri='unix:' + bench.path('door'))
    there.look('listening')
    vm.command('migrate', uri='unix:' + bench.path('door'))
    wait_migration(vm, ['pre-switchover'])
    here.look('in pre-switchover')
    there.look('while a stream comes')
    vm.command('migrate-continue', state='pre-switchover')
    wait_migration(vm)
    wait_until(lambda: other.status() != 'inmigrate', 20, 'the guest to arrive')
    here.look('moved away')
    there.look('arrived')
    other.command('cont')
    other.command('system_reset')
    other.qmp.wait_event('RESET')
    there.look('after a reset')
    other.command('system_powerdown')
    other.qmp.wait_event('POWERDOWN')
    there.look('after the power button')
    for wanted, watch in (({'STOP', 'RESUME', 'MIGRATION', 'MIGRATION_PASS', 'DUMP_COMPLETED'},
                           here), ({'RESUME', 'MIGRATION', 'RESET', 'POWERDOWN'}, there)):
        check(wanted <= watch.seen, 'events not seen: %s', wanted - watch.seen)


def active_and_cancelled(bench):
    """Figures of a migration that is going on, and of one that was given up."""
    vm = VM(bench, 'vm', EMULATOR, extra=DEVICES)
    watch = Watch(vm)
    vm.set_capabilities(events=True, xbzrle=True, auto_converge=True)
    vm.set_parameters(max_bandwidth=1000)
    vm.command('migrate', uri='exec:cat >/dev/null')
    wait_migration(vm, ['active'])
    watch.look('active')
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    watch.look('cancelled')


def without_devices(bench):
    vm = VM(bench, 'vm', EMULATOR, paused=True, extra=['-M', 'none'])
    Watch(vm).look('machine none')


def qemu_schema(bench):
    qemu = emulators.qemu100()
    need(not qemu.missing(), '%s', qemu.missing())
    vm = VM(bench, 'qemu', qemu, paused=True, extra=['-M', 'virt', '-bios', 'none'])
    return schema_of(vm)


def events_of_qemu(bench):
    """Each event of QEMU's is one of ours or cannot happen here; and none has other members."""
    theirs = qemu_schema(bench)
    ours = schema_of(VM(bench, 'vm', EMULATOR, paused=True, extra=['-M', 'none']))
    excused = [name for names in NOT_HERE.values() for name in names]
    names = {e['name'] for e in ours.events()}
    for event in theirs.events():
        name = event['name']
        check((name in names) != (name in excused), '%s: %s', name, 'both sent and excused'
              if name in names else 'neither sent nor excused')
        if name in names:
            check(members(ours, name) == members(theirs, name), '%s: members %s, QEMU has %s',
                  name, members(ours, name), members(theirs, name))
    strangers = {n for n in names if n not in theirs.rows}
    check(all(n.startswith('X_') for n in strangers), 'events QEMU does not have: %s', strangers)


def members(schema, event):
    """Names, whether they are optional, and the kind of value."""
    row = schema.rows[schema.rows[event]['arg-type']]
    return sorted((m['name'], 'default' in m, schema.rows[m['type']]['meta-type'],
                   schema.rows[m['type']].get('json-type')) for m in row['members'])


def events_are_sent(bench):
    """Something in the sources sends each event of the schema."""
    text = ''
    for folder in ('accel', 'block', 'chardev', 'hw', 'migration', 'monitor', 'net', 'softmmu'):
        for path in glob.glob(os.path.join(TOP, folder, '**', '*.c'), recursive=True):
            with open(path, encoding='utf-8') as f:
                text += f.read()
    sent = set(re.findall(r'qapi_event_send_(\w+)\(', text))
    ours = schema_of(VM(bench, 'vm', EMULATOR, paused=True, extra=['-M', 'none']))
    silent = {e['name'] for e in ours.events() if e['name'].lower() not in sent}
    check(not silent, 'in the schema, but sent by nobody: %s', silent)


CASES = [
    Case('the checker', checker),
    Case('answers and events of a life', states, timeout=120),
    Case('answers while it migrates and cancelled', active_and_cancelled),
    Case('answers of a machine without anything', without_devices),
    Case('events are those of QEMU', events_of_qemu),
    Case('each event is sent', events_are_sent),
]

if __name__ == '__main__':
    main(CASES)
