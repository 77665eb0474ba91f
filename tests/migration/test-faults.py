#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Something goes wrong at each fault point (softmmu/faults.h): it takes long, it fails, a side dies,
somebody cancels, stops or resets meanwhile. Whatever happens: never do two run, and where none does,
`cont` on the side that has the guest makes it exactly one, with its memory right."""
import os
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import FINAL
from ferrytest.process import VM
from ferrytest.qmp import QMPClosed, QMPError
from ferrytest.tap import Case, Failed, check, check_equal, main, wait_until

EMULATOR = emulators.subject()
DIED = 86           # the status of a process that died at a fault point
STALL_MS = 700
VERDICT_MS = 4000   # x-verdict-timeout

CHANNELS = {'tcp': (channels.TCP4, True), 'unix': (channels.Unix, True),
            'exec': (channels.Exec, False), 'file': (channels.File, False)}


class Point:
    """sure: it is passed by every migration on such a channel. caps, params: what takes one there."""

    def __init__(self, fails=True, rp=False, sure=True, caps=None, params=None, only=None):
        self.fails = fails
        self.rp = rp or bool(caps and 'return_path' in caps)
        self.sure = sure
        self.caps = caps or {}
        self.params = params or {}
        self.only = only

    def applies(self, channel):
        return (CHANNELS[channel][1] or not self.rp) and (not self.only or channel in self.only)


SOCKETS = ('tcp', 'unix')
MULTIFD = {'multifd': True}

POINTS = {
    'src-connect': Point(), 'src-setup': Point(), 'src-pass': Point(),
    'src-rate': Point(fails=False, params={'max_bandwidth': 4 << 20, 'downtime_limit': 2000}),
    'src-catch-up': Point(fails=False, sure=False, only=('tcp', 'unix')),
    'src-ack': Point(fails=False, rp=True, caps={'switchover_ack': True}),
    'src-stop': Point(),
    'src-pre-switchover': Point(caps={'pause_before_switchover': True}),
    'src-devices-taken': Point(), 'src-ram-sent': Point(), 'src-devices-sent': Point(),
    'src-taken': Point(rp=True), 'src-hands-over': Point(),
    'src-awaits': Point(), 'src-verdict': Point(rp=True),
    'src-confirmed': Point(fails=False), 'src-end': Point(fails=False),
    'src-settle': Point(fails=False),
    'dst-accept': Point(), 'dst-accepted': Point(), 'dst-section': Point(),
    'dst-pong': Point(rp=True), 'dst-loaded': Point(), 'dst-told': Point(fails=False),
    'dst-started': Point(fails=False), 'dst-failed': Point(fails=False, sure=False),
    'src-multifd-connect': Point(caps=MULTIFD, only=SOCKETS),
    'src-multifd-packet': Point(caps=MULTIFD, only=SOCKETS),
    'src-multifd-sync': Point(caps=MULTIFD, only=SOCKETS),
    'dst-multifd-packet': Point(caps=MULTIFD, only=SOCKETS),
    'dst-multifd-sync': Point(caps=MULTIFD, only=SOCKETS),
    'pause-asked': Point(fails=False), 'pause-held': Point(fails=False),
    'write-barrier': Point(fails=False),
}
# A source that dies before these has taken the guest with it.
ALL_IS_SENT = ('src-awaits', 'src-verdict', 'src-confirmed', 'src-end', 'src-settle')


class Sides:
    """A source, a destination, and one fault on one of them."""

    def __init__(self, bench, channel, point, action, nth):
        make, self.rp = CHANNELS[channel]
        self.point = point
        self.info = POINTS[point]
        self.action = 'stall' if action in ('cancel', 'stop', 'reset') else action
        self.meanwhile = action if action in ('cancel', 'stop', 'reset') else None
        self.nth = nth
        self.commanded = None
        self.bench = bench
        self.channel = make(bench)
        self.source = VM(bench, 'source', EMULATOR, Bare('checker', harts=2, size='1M'))
        self.destination = None
        self.source.console.wait_statuses(1)
        self.faulty = None

    def configure(self, vm):
        vm.set_capabilities(events=True, return_path=self.rp, **self.info.caps)

    def arm(self, vm):
        self.faulty = vm
        vm.command('x-fault', point=self.point, action=self.action, ms=STALL_MS, nth=self.nth)

    def start_destination(self):
        self.destination = VM(self.bench, 'destination', EMULATOR, self.source.guest,
                              incoming='defer')
        self.configure(self.destination)
        if self.point.startswith('dst'):
            self.arm(self.destination)
        or_dies(self.destination, 'migrate-incoming', uri=self.channel.incoming)

    def run(self):
        if self.channel.live:
            self.start_destination()
        self.configure(self.source)
        self.source.set_parameters(**{'x-verdict-timeout': VERDICT_MS}, **self.info.params)
        if not self.point.startswith('dst'):
            self.arm(self.source)
        or_dies(self.source, 'migrate', uri=self.channel.outgoing)
        if self.meanwhile and self.faulty:
            self.interfere()
        self.settle(self.source)
        if not self.channel.live and (status_of(self.source) == 'completed' or
                                      (not alive(self.source) and self.point in ALL_IS_SENT)):
            self.start_destination()
        if isinstance(self.channel, channels.Exec):
            self.end_pipe()
        if self.destination:
            self.settle(self.destination)

    def interfere(self):
        """While it stalls; where it does not come there, after a while."""
        end = time.monotonic() + 10
        while not self.reached() and time.monotonic() < end and alive(self.source) and \
                status_of(self.source) not in FINAL:
            self.go_on()
            time.sleep(0.005)
        try:
            self.source.command({'cancel': 'migrate_cancel', 'reset': 'system_reset'}.get(
                self.meanwhile, self.meanwhile))
        except QMPError as error:   # a stop that came too late is refused in words
            check(self.meanwhile == 'stop' and 'on its way' in error.desc, '%s', error)

    def end_pipe(self, how=os.O_WRONLY):
        """A side that never came to open its end leaves the other one's `cat` waiting for it."""
        try:
            os.close(os.open(self.channel.incoming.split()[-1], how | os.O_NONBLOCK))
        except OSError:
            pass    # nobody waits

    def reached(self):
        try:
            return any(p['reached'] >= self.nth
                       for p in self.faulty.command('x-query-faults') if p['armed'])
        except QMPClosed:
            return True

    def go_on(self):
        try:
            if status_of(self.source) == 'pre-switchover':
                self.source.command('migrate-continue', state='pre-switchover')
        except QMPError:
            pass    # it has moved on

    def settle(self, vm):
        """Until a process has ended, or its migration has, or nobody has come to it."""
        def done():
            self.go_on()
            if isinstance(self.channel, channels.Exec) and not alive(self.destination):
                self.end_pipe(os.O_RDONLY)
            status = status_of(vm)
            return status is None or status in FINAL or \
                (vm is self.destination and self.channel.live and status in ('', 'setup'))
        wait_until(done, 60, '%s to come to an end' % vm.name)
        if vm is self.destination and status_of(vm) == 'failed':
            vm.wait_exit()

    def passed(self):
        """The point was reached; a process that died did it there."""
        if self.action == 'die' and self.faulty and not alive(self.faulty):
            check_equal(self.faulty.process.returncode, DIED, 'status of the dead process')
            return True
        return bool(self.faulty and self.reached())

    def states(self):
        return run_state(self.source), run_state(self.destination)

    def owner(self):
        """Who runs; where nobody does, whoever has the guest after `cont`; None: it is lost."""
        source, destination = self.states()
        check(not (source == destination == 'running'), 'the guest runs on both sides')
        if 'running' in (source, destination):
            return self.source if source == 'running' else self.destination
        if destination not in (None, 'inmigrate'):
            owner = self.destination
        else:
            owner = self.source if source is not None else None
        if owner:
            self.commanded = owner
            owner.command('cont')
        return owner


def or_dies(vm, name, **arguments):
    """It may be the last thing that it hears."""
    try:
        vm.command(name, **arguments)
    except QMPClosed:
        vm.process.wait(10)


def alive(vm):
    return vm is not None and vm.process.poll() is None


def status_of(vm):
    """Of its migration; None if it is gone."""
    try:
        return vm.migration().get('status', '') if alive(vm) else None
    except QMPClosed:
        vm.process.wait(10)
        return None


def run_state(vm):
    try:
        return vm.status() if alive(vm) else None
    except QMPClosed:
        vm.process.wait(10)
        return None


def prove(sides, owner):
    """It works and has noticed nothing, nobody else runs, and what ran here did not run there, too."""
    text = ''.join(vm.console.text() for vm in (sides.source, sides.destination)
                   if vm and (vm is owner or owner is sides.destination))
    begun = text[text.rfind('\n') + 1:]
    prefix = begun if owner is sides.destination and not owner.console.text() else ''
    lines = len(owner.console.statuses(prefix))
    for line in owner.console.wait_statuses(lines + 2, 30, prefix)[lines:]:
        line.check_clean(owner.name)
    check_equal([s for s in sides.states() if s == 'running'], ['running'], 'who runs')
    if owner is sides.source and sides.commanded is not owner and sides.destination:
        check_equal(sides.destination.console.text(), '',
                    'what the guest said at the destination while the source has it')


def lost(sides):
    """The guest died with its host: nobody else could have it."""
    action, point = sides.action, sides.point
    source_died = action == 'die' and sides.faulty is sides.source and point not in ALL_IS_SENT
    check(source_died, 'the guest is nowhere: %s, %s', point, sides.states())
    check(not alive(sides.destination) or run_state(sides.destination) == 'inmigrate',
          'destination: %s', run_state(sides.destination))


def row(channel, point, action, nth=1):
    def case(bench):
        sides = Sides(bench, channel, point, action, nth)
        sides.run()
        if sides.info.sure and action not in ('cancel', 'stop', 'reset'):
            # some are behind the last state that is told
            wait_until(sides.passed, 20, 'the point to be reached')
        owner = sides.owner()
        if owner:
            prove(sides, owner)
        else:
            lost(sides)
    name = '%s, %s, %s%s' % (channel, point, action, ', %d' % nth if nth > 1 else '')
    return name, case


def the_table(bench):
    """The points that are tried are those that there are."""
    vm = VM(bench, 'source', EMULATOR, Bare('idle'))
    # Those of postcopy are test-postcopy-source.py's, those of a lazy restore test-lazy.py's.
    points = [p for p in vm.command('x-query-faults')
              if '-postcopy-' not in p['name'] and '-lazy-' not in p['name']]
    check_equal(sorted(p['name'] for p in points), sorted(POINTS), 'points')
    check_equal({p['name']: p['may-fail'] for p in points},
                {name: p.fails for name, p in POINTS.items()}, 'where something can fail')
    check_equal(len({p['number'] for p in points}), len(points), 'numbers')
    for arguments, text in (({'point': 'nowhere', 'action': 'die'}, 'x-query-faults'),
                            ({'point': 'src-end', 'action': 'fail'}, 'Nothing can fail'),
                            ({'point': 'src-end', 'action': 'stall', 'ms': 60000}, '10000'),
                            ({'point': 'src-end', 'action': 'stall', 'nth': 0}, 'nth')):
        try:
            vm.command('x-fault', **arguments)
            raise Failed('accepted: %s' % arguments)
        except QMPError as error:
            check(text in error.desc, '%s: %s', arguments, error.desc)


def rows():
    for point, info in POINTS.items():
        actions = ['stall', 'die', 'cancel'] + (['fail'] if info.fails else [])
        if point in ('pause-asked', 'pause-held', 'src-stop', 'src-devices-taken', 'src-ram-sent',
                     'src-devices-sent', 'src-awaits', 'src-verdict', 'src-settle', 'dst-loaded',
                     'dst-told'):
            actions += ['stop', 'reset']
        for action in actions:
            for channel in CHANNELS:
                # Before its file is whole there is no destination that could go wrong.
                late = action in ('cancel', 'stop', 'reset') and channel == 'file'
                if info.applies(channel) and not (late and point.startswith('dst')):
                    yield channel, point, action
    for n in (2, 5, 9):
        yield 'unix', 'dst-section', 'fail', n


# What went wrong once, every time.
KNOWN = [('tcp', 'src-verdict', 'cancel'),      # the yes is on its way
         ('unix', 'dst-told', 'cancel'),
         ('unix', 'pause-held', 'reset'),       # the guest resets itself while it is stopped
         ('tcp', 'src-ram-sent', 'stop'),       # too late for the source
         ('tcp', 'src-awaits', 'fail'),         # the way back breaks when all is sent
         ('unix', 'dst-loaded', 'die'), ('tcp', 'src-awaits', 'die'),
         ('exec', 'src-awaits', 'cancel'), ('exec', 'src-hands-over', 'cancel')]

CASES = [Case('the table of points', the_table)] + \
        [Case(*row(*r), **({} if r in KNOWN else {'rotate': 40})) for r in rows()]

if __name__ == '__main__':
    main(CASES)
