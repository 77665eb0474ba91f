# SPDX-License-Identifier: GPL-2.0-or-later
"""Moving a guest and proving that it arrived: the steps that all migration tests share."""
import filecmp
import os
import time

from .guest import Bare, Status
from .process import VM
from .qmp import QMPClosed, QMPError, statuses
from .tap import Failed, check, check_equal, need, wait_until

FINAL = ('completed', 'failed', 'cancelled')

# Timer interrupts that may be due but not counted yet when the guest prints its line.
LATE_TICKS = 2


def wait_migration(vm, wanted=('completed',), timeout=60):
    """Wait for one of the states; fail at once when another final one comes."""
    end = time.monotonic() + timeout
    while True:
        info = vm.migration()
        status = info.get('status')
        if status in wanted:
            return info
        if status in FINAL:
            raise Failed('%s: migration %s instead of %s: %s' %
                         (vm.name, status, '/'.join(wanted), info.get('error-desc', '(no text)')))
        if time.monotonic() > end:
            raise Failed('%s: migration still %s after %g s, expected %s: %s' %
                         (vm.name, status, timeout, '/'.join(wanted), info))
        time.sleep(0.01)


def wait_loaded(vm, timeout=60):
    """Wait until the destination has left the state inmigrate."""
    def loaded():
        try:
            return vm.status() != 'inmigrate'
        except QMPClosed:
            raise Failed('%s ended while loading: %s' % (vm.name, vm.stderr())) from None
    wait_until(loaded, timeout, '%s to finish loading' % vm.name)


def save_what_becomes_zero(bench, source, uri):
    """Saves a guest that does not run, whose pages are zero again when some of them are in the file
    already: 8 MiB from 0x400000, of which the first 1 MiB but one page. Returns its qtest."""
    source.set_parameters(max_bandwidth=2 << 20, downtime_limit=1)
    qtest = source.connect_qtest()
    bench.at_end(qtest.close)
    qtest.memset(0x400000, 0x800000, 0x5a)
    source.command('migrate', uri=uri)
    wait_until(lambda: source.migration().get('ram', {}).get('normal', 0) > 700, 30,
               'pages to be written')
    qtest.memset(0x400000, 0x100000, 0)
    qtest.writeq(0x402008, 0x1122334455667788)
    source.set_parameters(max_bandwidth=0, downtime_limit=1000)
    wait_migration(source)
    return qtest


def compare_ram(bench, a, b):
    """All of the guest's RAM, byte by byte, in two stopped machines."""
    size = a.guest.memory << 20
    paths = []
    for vm in (a, b):
        path = bench.path(vm.name + '.ram')
        vm.command('pmemsave', val=a.guest.ram_base, size=size, filename=path)
        check_equal(os.path.getsize(path), size, '%s: size of the saved RAM' % vm.name)
        paths.append(path)
    if not filecmp.cmp(paths[0], paths[1], shallow=False):
        raise Failed('RAM differs between %s and %s: %s' %
                     (a.name, b.name, describe_difference(paths[0], paths[1])))
    for path in paths:
        os.unlink(path)


def describe_difference(one, other, page=4096):
    pages, first = 0, None
    with open(one, 'rb') as f, open(other, 'rb') as g:
        offset = 0
        while True:
            x, y = f.read(page), g.read(page)
            if not x and not y:
                break
            if x != y:
                pages += 1
                if first is None:
                    byte = next((i for i in range(min(len(x), len(y))) if x[i] != y[i]), 0)
                    first = '0x%x: %s against %s' % (offset + byte, x[byte:byte + 8].hex(),
                                                     y[byte:byte + 8].hex())
            offset += page
    return '%d pages of %d, first at %s' % (pages, offset // page, first)


def wait_alive(vm, lines=2, timeout=60):
    """The guest reports, and has found nothing wrong; returns its last line."""
    found = vm.console.wait_statuses(lines, timeout)
    found[-1].check_clean(vm.name)
    return found[-1]


def last_status(vm):
    found = vm.console.statuses()
    check(found, '%s: the guest has not reported anything', vm.name)
    return found[-1]


class Journey:
    """A guest's lines from all the consoles it has had, in order: one text without a gap."""

    def __init__(self):
        self.vms = []

    def text(self):
        return ''.join(vm.console.text() for vm in self.vms)

    def prove(self, vm, lines=3, timeout=60):
        """The guest runs on in `vm`, and everything it said since it started is consistent."""
        before = self.text()
        prefix = before[before.rfind('\n') + 1:]
        self.vms.append(vm)
        # Linux's load generator is one thread, whatever the number of harts.
        harts = 1 if vm.guest.mode == 'loadgen' and not vm.guest.bare else vm.guest.harts
        new = vm.console.wait_statuses(lines, timeout, prefix)
        if vm.guest.mode != 'idle':
            # Each hart must still be working, not only the one that prints.
            first = new[0]
            def moved():
                last = vm.console.statuses(prefix)[-1]
                return all(b > a for a, b in zip(first.generations, last.generations)) and last
            wait_until(moved, timeout, 'every hart of %s to make progress after %s' %
                       (vm.name, first.text))
        self.check()
        check(vm.console.statuses(prefix)[-1].late <= LATE_TICKS,
              '%s: timer ticks are lost: %s', vm.name, vm.console.statuses(prefix)[-1].text)
        check_equal(len(new[-1].generations), harts, 'harts that report')

    def check(self):
        """Every line follows from the one before; for bare metal there are no other lines."""
        text = self.text()
        bare = bool(self.vms and self.vms[0].guest.bare)
        previous = None
        for line in text[:text.rfind('\n') + 1].splitlines():
            program, _, rest = line.partition(': ')
            if program in ('checker', 'loadgen', 'idle') and rest.startswith('gen='):
                try:
                    status = Status(program, rest)
                except (KeyError, ValueError):
                    raise Failed('a line of the console was damaged on the way: %r' % line) from None
                status.check_clean('the moved guest')
                if previous:
                    status.check_follows(previous, 'the moved guest')
                previous = status
            elif bare and not line.startswith('input: '):
                raise Failed('a line of the console was damaged on the way: %r' % line)


class Move:
    """The plain story: a source, a destination, a channel; run() does all of it.

    Options:
      caps, params          set on both sides (caps) and on the source (params)
      dst_caps              if they differ on the destination
      compare               start the destination with -S and compare RAM before it goes on
      paused                stop the source before
      during(source, dest)  called while the migration is active
    """

    def __init__(self, bench, emulator, guest, channel, destination_emulator=None, caps=None,
                 params=None, dst_caps=None, dst_params=None, compare=None, paused=False,
                 during=None, source=None, extra=(), dst_extra=None, journey=None, names=None,
                 hmp=False):
        self.bench = bench
        self.emulator = emulator
        self.destination_emulator = destination_emulator or emulator
        self.guest = guest
        self.channel = channel
        self.caps = caps or {}
        self.dst_caps = self.caps if dst_caps is None else dst_caps
        self.params = params or {}
        self.dst_params = dst_params or {}
        self.compare = guest.bare if compare is None else compare
        self.paused = paused
        self.during = during
        self.source = source
        self.extra = extra
        self.dst_extra = extra if dst_extra is None else dst_extra
        self.journey = journey or Journey()
        self.names = names or ('source', 'destination')
        self.hmp = hmp
        self.destination = None
        self.info = None

    def start_source(self):
        if self.source is None:
            self.source = VM(self.bench, self.names[0], self.emulator, self.guest,
                             extra=self.extra, pass_fds=self.channel.source_fds())
            self.journey.vms.append(self.source)
            wait_alive(self.source)
        if self.paused:
            self.source.command('stop')

    def start_destination(self):
        self.destination = VM(self.bench, self.names[1], self.destination_emulator, self.guest,
                              incoming='defer', paused=self.compare, extra=self.dst_extra,
                              pass_fds=self.channel.destination_fds())
        self.destination.qmp
        self.channel.destination_started()
        self.configure(self.destination, self.dst_caps, self.dst_params)
        if self.hmp:
            answer = self.destination.hmp('migrate_incoming ' + self.channel.incoming)
            check_equal(answer, '', 'migrate_incoming')
        else:
            self.destination.command('migrate-incoming', uri=self.channel.incoming)

    def configure(self, vm, caps, params):
        try:
            self._configure(vm, caps, params)
        except QMPError as error:
            need('Ferry was built without' not in error.desc, '%s', error.desc)
            raise

    def _configure(self, vm, caps, params):
        if self.hmp:
            for name, state in caps.items():
                answer = vm.hmp('migrate_set_capability %s %s' %
                                (name.replace('_', '-'), 'on' if state else 'off'))
                check_equal(answer, '', 'migrate_set_capability')
            for name, value in params.items():
                suffix = 'B' if name in ('max_bandwidth', 'xbzrle_cache_size') else ''
                answer = vm.hmp('migrate_set_parameter %s %s%s' %
                                (name.replace('_', '-'), value, suffix))
                check_equal(answer, '', 'migrate_set_parameter')
            return
        vm.set_capabilities(**{'events': True, **caps})
        if params:
            vm.set_parameters(**params)

    def start_migration(self):
        self.configure(self.source, self.caps, self.params)
        self.channel.before_migrate(self.source)
        if self.hmp:
            check_equal(self.source.hmp('migrate -d ' + self.channel.outgoing), '', 'migrate -d')
        else:
            self.source.command('migrate', uri=self.channel.outgoing)

    def finish(self):
        """Wait for both sides; compare; let the destination go on; prove."""
        self.info = wait_migration(self.source)
        if not self.emulator.is_ferry:
            # QEMU says "completed" a moment before it has left the state finish-migrate.
            wait_until(lambda: self.source.status() != 'finish-migrate', 5, 'the source to finish')
        check_equal(self.source.status(), 'postmigrate', 'run state of the source')
        if not self.channel.live:
            self.start_destination()
        wait_loaded(self.destination)
        if self.dst_caps.get('x_mapped_ram_lazy'):
            wait_migration(self.destination)
        check(self.destination.migration().get('status') == 'completed',
              'destination: query-migrate: %s', self.destination.migration())
        if self.compare:
            compare_ram(self.bench, self.source, self.destination)
        if self.paused or self.compare:
            check(self.destination.status() in ('paused', 'prelaunch'),
                  'destination is %s, not paused', self.destination.status())
            self.destination.command('cont')
        wait_until(lambda: self.destination.status() == 'running', 5, 'destination to run')
        self.journey.prove(self.destination)
        # What is left of the source must not go on by itself.
        check_equal(self.source.status(), 'postmigrate', 'run state of the source afterwards')

    def run(self):
        self.start_source()
        if self.channel.live:
            self.start_destination()
        self.start_migration()
        if self.during:
            self.during(self.source, self.destination)
        self.finish()
        return self


def force_passes(move, passes=4, bandwidth=8 << 20):
    """Settings and a `during` that keep the migration going for some passes, then let it end."""
    move.params.update(max_bandwidth=bandwidth, downtime_limit=1)

    def during(source, _destination):
        def enough():
            info = source.migration()
            status = info.get('status')
            if info.get('ram', {}).get('dirty-sync-count', 0) >= passes:
                return True
            # 7.2 misses some of what is written, and so may come to an end by itself.
            early = status == 'completed' and source.emulator.version == '7.2'
            check(early or status not in FINAL, 'migration %s before pass %d: %s', status, passes,
                  info)
            return early
        wait_until(enough, 60, 'pass %d' % passes)
        move.forced = source.migration()
        source.set_parameters(max_bandwidth=0, downtime_limit=5000)

    move.during = during


def force_throttle(move):
    """Settings and a `during` that let auto-converge slow the guest down, then let it end."""
    move.params.update(max_bandwidth=32 << 20, downtime_limit=1)

    def during(source, _destination):
        def seen(what):
            info = source.migration()
            # 7.2 misses some of what is written, and so may come to an end by itself.
            early = source.emulator.version == '7.2' and info.get('status') == 'completed'
            check(early or info.get('status') not in FINAL, 'migration %s before %s: %s',
                  info.get('status'), what, info)
            return info if early or (info.get('ram', {}).get('dirty-sync-count', 0) >= 2
                                     if what == 'pass 2' else
                                     info.get('cpu-throttle-percentage')) else None
        wait_until(lambda: seen('pass 2'), 60, 'pass 2')
        source.set_parameters(max_bandwidth=1 << 20)
        move.forced = wait_until(lambda: seen('throttling'), 60, 'auto-converge to throttle')
        source.set_parameters(max_bandwidth=0, downtime_limit=5000)

    move.during = during


__all__ = ['FINAL', 'Journey', 'Move', 'QMPClosed', 'QMPError', 'Bare', 'compare_ram',
           'force_passes', 'force_throttle', 'last_status', 'statuses', 'wait_alive', 'wait_loaded',
           'wait_migration']
