#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What each command that touches the guest or the migration answers in each state of a postcopy, on both
sides; and two commands that reach the wrong process."""
import os
import re
import socket
import time

from ferrytest import emulators
from ferrytest.channels import free_port
from ferrytest.guest import Bare
from ferrytest.move import Journey, wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, check, check_equal, main, wait_until

# Not the 100 ms that a monitor takes at most on a machine that has nothing else to do.
PROMPT = 2

DONE = object()         # the command does what it says
GONE = 'this has to be said there'
LOW = 0x80000000        # memory that is here at once
FAR = 0x82000000        # memory that nobody needs; what a monitor wants of it is asked for, so each walk
STEP = 1 << 20          # takes other pages


def hmp(line):
    return 'human-monitor-command', {'command-line': line}


# Command, arguments; what the source says, then the destination: (active, paused) or one for both.
# A text is part of a refusal, or, of HMP, of the answer.
TABLE = [
    ('cont', {}, 'is not finalized yet: the guest was switched over', DONE),
    ('stop', {}, GONE, DONE),
    ('cont', {}, 'is not finalized yet: the guest was switched over', DONE),
    ('system_powerdown', {}, GONE, DONE),
    ('system_reset', {}, GONE, None),       # the destination's is a case of its own
    ('balloon', {'value': 48 << 20}, GONE, DONE),
    ('block_resize', {'device': 'd0', 'size': 2 << 20}, GONE, DONE),
    ('set_link', {'name': 'nic', 'up': False}, GONE, DONE),
    ('set_link', {'name': 'nic', 'up': True}, GONE, DONE),
    ('announce-self', {'initial': 50, 'max': 550, 'rounds': 1, 'step': 1}, GONE, DONE),
    (*hmp('system_reset'), GONE, None),
    (*hmp('system_powerdown'), GONE, ''),
    (*hmp('stop'), GONE, ''),
    (*hmp('cont'), 'is not finalized yet', ''),
    (*hmp('announce_self'), GONE, ''),
    (*hmp('migrate_cancel'), 'cannot cancel', 'the guest runs here'),
    ('device_add', {'driver': 'virtio-rng-device'}, 'does not support hotplugging',
     'does not support hotplugging'),
    ('inject-nmi', {}, 'not currently supported', 'not currently supported'),
    ('migrate', {'uri': 'tcp:127.0.0.1:1'}, "There's a migration process in progress",
     "not all of this guest's memory has come yet"),
    ('migrate', {'uri': 'tcp:127.0.0.1:1', 'resume': True},
     ('Cannot resume if there is no paused migration', None),
     'Cannot resume if there is no paused migration'),
    ('migrate-recover', {'uri': 'tcp:127.0.0.1:0'}, 'can only be run when postcopy is paused',
     ('can only be run when postcopy is paused', DONE)),
    ('migrate-incoming', {'uri': 'tcp:127.0.0.1:0'}, "'-incoming' was not specified",
     'has already been started'),
    ('migrate_cancel', {}, 'Postcopy migration in progress, cannot cancel.', 'the guest runs here'),
    ('migrate-pause', {}, (None, 'only supported during postcopy-active'),
     (None, 'only supported during postcopy-active')),
    ('migrate-start-postcopy', {}, DONE, 'must be started after migration has been started'),
    ('migrate-continue', {'state': 'pre-switchover'}, 'not in expected state: postcopy-',
     'not in expected state: none'),
    ('migrate-set-capabilities', {'capabilities': [{'capability': 'xbzrle', 'state': True}]},
     "There's a migration process in progress", "There's a migration process in progress"),
    ('migrate-set-parameters', {'max-bandwidth': 5 << 20}, DONE, DONE),
    ('migrate-set-parameters', {'x-postcopy-silence-limit': 20000}, DONE, DONE),
    ('query-migrate', {}, DONE, DONE),
    ('query-status', {}, DONE, DONE),
    ('dump-guest-memory', {'paging': False, 'protocol': 'file:%s'},
     'a postcopy migration has had the guest', 'of guest memory have not come yet'),
    ('pmemsave', {'val': LOW, 'size': 4096, 'filename': '%s'}, DONE, DONE),
    ('pmemsave', {'val': lambda far: far, 'size': 4096, 'filename': '%s'}, DONE, 'has not come yet'),
    ('memsave', {'val': LOW, 'size': 4096, 'filename': '%s'}, DONE, DONE),
    (*hmp('x /4wx 0x%x' % LOW), '0000000080000000: 0x', '0000000080000000: 0x'),
    (*hmp('xp /4wx 0x%x' % LOW), '0000000080000000: 0x', '0000000080000000: 0x'),
    (*hmp(lambda far: 'xp /4wx 0x%x' % (far + STEP // 2)), '0x00000000', 'has not come yet'),
    (*hmp('info registers'), 'pc ', 'pc '),
    (*hmp('savevm a'), 'unknown command', 'unknown command'),
]


class Pair:
    def __init__(self, bench):
        guest = Bare('checker', 64, 1, size='4M')
        extra = ['-drive', 'if=none,id=d0,driver=null-co,size=1M', '-device',
                 'virtio-blk-device,drive=d0', '-netdev', 'hubport,id=n0,hubid=0', '-device',
                 'virtio-net-device,netdev=n0,id=nic', '-device', 'virtio-balloon-device']
        self.bench = bench
        self.source = VM(bench, 'source', emulators.ferry(), guest, extra=extra)
        self.destination = VM(bench, 'destination', emulators.ferry(), guest, incoming='defer',
                              extra=extra)
        self.journey = Journey()
        self.journey.vms.append(self.source)
        wait_alive(self.source)
        self.source.set_capabilities(events=True, postcopy_ram=True)
        self.destination.set_capabilities(events=True, postcopy_ram=True)
        # Nothing goes by itself: what is not here stays away.
        self.source.set_parameters(max_bandwidth=1 << 20, x_postcopy_background='none')
        self.destination.command('migrate-incoming', uri='tcp:127.0.0.1:0')
        self.source.command('migrate', uri=self.uri())
        wait_migration(self.source, ('active',))
        self.source.command('migrate-start-postcopy')
        for vm in (self.source, self.destination):
            wait_migration(vm, ('postcopy-active',))
        wait_until(lambda: 'was switched over' in self.source.hmp('cont'), 30,
                   'the source to hear that the guest has arrived')

    def uri(self):
        return 'tcp:127.0.0.1:' + self.destination.migration()['socket-address'][-1]['port']

    def pause(self):
        self.source.command('migrate-pause')
        for vm in (self.source, self.destination):
            wait_migration(vm, ('postcopy-paused',))

    def recover(self):
        self.destination.command('migrate-recover', uri='tcp:127.0.0.1:0')
        self.source.command('migrate', uri=self.uri(), resume=True)
        wait_migration(self.source, ('postcopy-active', 'completed'))

    def end(self):
        self.source.set_parameters(x_postcopy_background='linear')
        wait_migration(self.source)
        wait_migration(self.destination)
        if self.destination.status() == 'paused':
            self.destination.command('cont')
        self.journey.prove(self.destination)


def answer(vm, command, arguments):
    """(what it said, whether it was a refusal, seconds)"""
    start = time.monotonic()
    try:
        said, refused = vm.command(command, **arguments), False
    except QMPError as error:
        said, refused = str(error), True
    return said, refused, time.monotonic() - start


def filled(arguments, path, far):
    return {k: v(far) if callable(v) else v % path if isinstance(v, str) and '%s' in v else v
            for k, v in arguments.items()}


def walk(bench, pair, state, number):
    longest = 0, ''
    for row in TABLE:
        command, wants = row[0], row[2:]
        arguments = filled(row[1], bench.path('out'), FAR + number * STEP)
        for vm, want in zip((pair.source, pair.destination), wants):
            want = want[state] if isinstance(want, tuple) else want
            if want is None:
                continue
            what = '%s: %s %s' % (vm.name, command, arguments)
            said, refused, took = answer(vm, command, arguments)
            longest = max(longest, (took, what))
            check(took < PROMPT, '%s took %.2f s', what, took)
            if command != 'human-monitor-command':
                check_equal(refused, want is not DONE, '%s: %r; refused' % (what, said))
            if want is not DONE:
                check(want in said if want else said == '', '%s: %r', what, said)
    bench.note('longest answer: %.1f ms (%s)' % (longest[0] * 1000, longest[1]))


def table(bench):
    pair = Pair(bench)
    walk(bench, pair, 0, 0)
    pair.pause()
    walk(bench, pair, 1, 1)
    pair.recover()
    walk(bench, pair, 0, 2)
    pair.end()
    # Nothing that was refused was done later all the same.
    check_equal(pair.source.status(), 'postmigrate', 'the source')
    events = [e['event'] for e in pair.source.qmp.poll_events()]
    check('RESET' not in events and 'POWERDOWN' not in events, 'the source: %s', events)


def told_where(bench):
    """The address that query-migrate tells is where the last migrate-recover listens."""
    pair = Pair(bench)
    pair.pause()
    for number in range(30):
        path = bench.path('door-%d' % number)
        pair.destination.command('migrate-recover', uri='unix:' + path)
        check_equal([a.get('path') for a in pair.destination.migration()['socket-address']], [path],
                    'where it listens')
    pair.recover()
    pair.end()


def reset_there(bench):
    """A reset at the destination, with most of the memory still at the source."""
    pair = Pair(bench)
    pair.destination.command('system_reset')
    wait_until(lambda: any(e['event'] == 'RESET' for e in pair.destination.qmp.poll_events()), 30,
               'the reset')
    pair.source.set_parameters(x_postcopy_background='linear')
    wait_migration(pair.source)
    wait_migration(pair.destination)
    before = len(pair.destination.console.statuses())
    wait_until(lambda: len(pair.destination.console.statuses()) > before + 2, 60, 'the guest to work')


def wrong_door(kind):
    """migrate -r reaches a process that waits for a new guest: both say so, and nothing else happens."""
    def run(bench):
        pair = Pair(bench)
        pair.pause()
        fresh = VM(bench, 'fresh', emulators.ferry(), Bare('checker', 64, 1, size='4M'),
                   incoming='defer')
        uri = 'tcp:127.0.0.1:0' if kind == 'tcp' else 'unix:' + bench.path('fresh')
        fresh.command('migrate-incoming', uri=uri)
        if kind == 'tcp':
            uri = 'tcp:127.0.0.1:' + fresh.migration()['socket-address'][-1]['port']
        for _ in range(2):
            pair.source.command('migrate', uri=uri, resume=True)
            wait_migration(pair.source, ('postcopy-paused',))
            why = pair.source.migration()['error-desc']
            check('has nothing of the guest' in why, 'source: %s', why)
            check('wants to go on with a paused postcopy' in fresh.stderr(), 'fresh: %s',
                  fresh.stderr())
            check_equal(fresh.status(), 'inmigrate', 'the fresh process')
            check_equal(fresh.migration()['status'], 'setup', 'its migration')
        pair.recover()
        pair.end()
        # What was turned away has not used anything up: another guest can come.
        other = VM(bench, 'other', emulators.ferry(), Bare('checker', 64, 1, size='4M'))
        wait_alive(other)
        other.command('migrate', uri=uri)
        wait_migration(other)
        wait_migration(fresh)
        wait_until(lambda: fresh.status() == 'running', 10, 'the other guest to run')
    return run


def guide():
    """The commands of the user guide's page on postcopy: (command, who)."""
    with open(os.path.join(emulators.TOP, 'docs', 'system', 'user-guide.md'), encoding='utf-8') as f:
        section = f.read().split('\n## Postcopy')[1].split('\n## ')[0]
    for line in re.findall(r'^ *\(qemu\) (.*)$', section, re.M):
        command, _, who = line.partition('#')
        yield command.strip(), who.strip() or 'here'


def as_the_guide_says(bench):
    """Typed as they stand there, with a cut before the recovery."""
    guest = Bare('checker', 64, 2, size='4M')
    port = free_port(socket.AF_INET, '127.0.0.1')
    here = VM(bench, 'here', emulators.ferry(), guest)
    there = VM(bench, 'there', emulators.ferry(), guest, incoming='tcp:127.0.0.1:%d' % port)
    journey = Journey()
    journey.vms.append(here)
    wait_alive(here)
    here.set_capabilities(events=True)
    here.set_parameters(max_bandwidth=1 << 20, max_postcopy_bandwidth=256 << 10)
    commands = list(guide())
    check(len(commands) >= 5, 'commands: %s', commands)
    for command, who in commands:
        command = command.replace('there:4444', '127.0.0.1:%d' % port).replace('4444', str(port))
        if command.startswith('migrate_recover'):
            here.command('migrate-pause')
            for vm in (here, there):
                wait_migration(vm, ('postcopy-paused',))
        for vm in {'both sides': (here, there), 'here': (here,), 'there': (there,)}[who]:
            check_equal(vm.hmp(command), '', '%s: %s' % (vm.name, command))
        if command.startswith('migrate -d tcp'):
            wait_migration(here, ('active',))
        if command == 'migrate_start_postcopy':
            wait_migration(there, ('postcopy-active',))
    here.set_parameters(max_postcopy_bandwidth=0)
    wait_migration(here)
    wait_migration(there)
    journey.prove(there)


main([
    Case('every command in every state', table, timeout=300),
    Case('where it listens', told_where),
    Case('as the user guide says', as_the_guide_says),
    Case('reset at the destination', reset_there),
    Case('resumed at a fresh process, tcp', wrong_door('tcp')),
    Case('resumed at a fresh process, unix', wrong_door('unix')),
])
