# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves between different programs: the pairs, what is kept of the stream, and 7.2's known defect.

QEMU 7.2 can send stale RAM when a page is written again after its dirty bitmap was fetched
(machine-virt specification, fact 6). Where RAM differs after a move out of 7.2, ferry-inspect reads
the stream: if the difference is in the stream itself, the source is to blame, and the case is
skipped with that finding. Anything else is a failure. Nothing is retried.
"""
import filecmp
import json
import os
import re
import subprocess

from . import channels, emulators, move as moving, tap
from .move import (Move, compare_ram, force_passes, force_throttle, statuses, wait_alive,
                   wait_loaded, wait_migration)
from .process import VM
from .proxy import Proxy
from .tap import Failed, Skip, check, check_equal, wait_until

# 7.2's guests use Sv57, which cannot be turned off there: who takes them has to have it.
CPU_T10_SV57 = emulators.CPU_T10.replace(',sv57=off', '')

Q72 = emulators.qemu72()
Q10 = emulators.qemu100()
F72 = emulators.ferry('virt-7.2', emulators.CPU_T7)
F10 = emulators.ferry('virt-10.0', emulators.CPU_T10)
BRIDGE = emulators.ferry('virt-10.0', CPU_T10_SV57)
BOOT = 120

PAIRS = {'7.2 to Ferry': (Q72, F72), 'Ferry to 7.2': (F72, Q72),
         '10.0 to Ferry': (Q10, F10), 'Ferry to 10.0': (F10, Q10)}

INSPECT = os.path.join(emulators.BUILD, 'ferry-inspect')


def need(*emulator_list):
    for emulator in emulator_list:
        reason = emulator.missing()
        tap.need(not reason, '%s', reason)


def cpu_fields(stream, hart=0):
    """What the stream says of a hart: subsection name ('' for the fixed part) -> field -> value."""
    out = subprocess.run([INSPECT, 'show', '--json', stream], check=True, stdout=subprocess.PIPE)
    for section in json.loads(out.stdout)['sections']:
        if section.get('name') == 'cpu' and section.get('instance') == hart:
            break
    else:
        raise Failed('%s holds no section cpu %d' % (stream, hart))
    found = {'': {}}
    for field in section['fields']:
        if 'subsection' in field:
            found[field['subsection']] = {f['name']: f.get('value') for f in field['fields']}
        else:
            found[''][field['name']] = field.get('value')
    return found


class TappedUnix(channels.Unix):
    """A unix socket whose traffic is kept, to know what the source really sent."""

    def before_migrate(self, _source):
        self.stream = self.bench.path('stream-%d' % id(self))
        self.outgoing = Proxy(self.bench, self.incoming[5:], capture=self.stream).uri


class TappedTCP(channels.TCP4):
    """The same over TCP, on both sides of the tap."""

    def before_migrate(self, _source):
        self.stream = self.bench.path('stream-%d' % id(self))
        host, port = self.incoming[4:].rsplit(':', 1)
        self.outgoing = Proxy(self.bench, (host, int(port)), capture=self.stream, tcp=True).uri


TAPPED = {'unix': TappedUnix, 'tcp': TappedTCP}


def blame_source(bench, stream, source, destination):
    """RAM differs after a move out of 7.2: does the stream say the same as the destination?"""
    raw = bench.path('extracted')
    subprocess.run([INSPECT, 'extract', stream, '--ram', 'riscv_virt_board.ram', '-o', raw],
                   check=True, stdout=subprocess.DEVNULL)
    ours = bench.path('loaded')
    destination.command('pmemsave', val=destination.guest.ram_base,
                        size=destination.guest.memory << 20, filename=ours)
    if not filecmp.cmp(raw, ours, shallow=False):
        raise Failed('the destination\'s RAM is not what the stream says: %s' %
                     moving.describe_difference(raw, ours))
    theirs = bench.path(source.name + '.ram')
    raise Skip('known defect of QEMU 7.2 shows: its stream itself holds stale RAM (%s)' %
               moving.describe_difference(theirs, ours))


class Cross(Move):
    """A move between two programs; knows about 7.2's defect."""

    def finish(self):
        if self.emulator.version != '7.2' or not self.channel.live or not self.compare:
            super().finish()
            return
        self.info = wait_migration(self.source)
        wait_loaded(self.destination)
        try:
            compare_ram(self.bench, self.source, self.destination)
        except Failed:
            blame_source(self.bench, self.channel.stream, self.source, self.destination)
        self.compare = False
        self.paused = True  # it was started with -S: super() lets it go on
        super().finish()


def boot(bench, name, emulator, guest, extra=()):
    """A source with its guest up. QEMU 10.0 with two harts sometimes stands still while Linux boots,
    long before anything of Ferry is involved: a QEMU gets a second chance to boot, and only that."""
    for last in (emulator.is_ferry, True):
        vm = VM(bench, name, emulator, guest, extra=extra)
        if guest.bare:
            return vm
        try:
            vm.console.wait_for(READY, BOOT if last else BOOT // 3)
            return vm
        except Failed:
            if last:
                raise
            bench.note('%s did not boot; once more' % emulator.name)
            vm.kill()
            os.unlink(vm.qmp_path)


def cross(bench, source_emulator, destination_emulator, guest, channel='unix', passes=0,
          source=None, journey=None, extra=(), names=('source', 'destination'), tap=False,
          throttle=False, **options):
    need(source_emulator, destination_emulator)
    if isinstance(channel, channels.Channel):
        wire = channel
    elif source_emulator.version == '7.2' and channel in TAPPED or tap:
        wire = TAPPED[channel](bench)
    else:
        wire = channels.ALL[channel](bench)
    move = Cross(bench, source_emulator, guest, wire, destination_emulator=destination_emulator,
                 source=source, journey=journey, extra=extra, names=names,
                 compare=options.pop('compare', True), **options)
    if source is None:
        move.source = boot(bench, names[0], source_emulator, guest, extra)
        move.journey.vms.append(move.source)
        if guest.mode != 'idle' or guest.bare:
            wait_alive(move.source, timeout=BOOT)
        else:
            move.source.console.wait_for('^beat 2 ', BOOT)
            move.journey.prove = beats(move)
    if throttle:
        force_throttle(move)
    elif passes:
        force_passes(move, passes, bandwidth=32 << 20)
    return move.run()


def check_events(move, wanted):
    """Both sides have told the states they went through, and the source its passes; or nothing."""
    for vm in (move.source, move.destination):
        vm.qmp.poll_events()
    told, heard = statuses(move.source.qmp.events), statuses(move.destination.qmp.events)
    passes = [e['data']['pass'] for e in move.source.qmp.events if e['event'] == 'MIGRATION_PASS']
    if not wanted:
        # An incoming 7.2 says "setup" whether it was asked to or not.
        heard = heard[1:] if move.destination.emulator.version == '7.2' else heard
        check_equal((told, heard, passes), ([], [], []), 'events of a migration without events')
        return
    check_equal((told[:2], told[-1]), (['setup', 'active'], 'completed'), 'events of the source')
    check_equal(heard[-2:], ['active', 'completed'], 'events of the destination')
    check(passes == list(range(1, len(passes) + 1)) and passes, 'passes told: %s', passes)


READY = 'ferry-guest: ready'
BEAT = re.compile(r'^beat (\d+) up=([\d.]+)$', re.M)


def beats(move, jump=0):
    """How an idle Linux guest proves itself: its beats are numbered, and one second apart, since it
    booted (last). `jump`: seconds that its clock may go ahead once."""
    def prove(vm):
        wait_until(lambda: len(BEAT.findall(vm.console.text())) >= 2, 30, 'two beats')
        move.journey.vms.append(vm)
        found = BEAT.findall(move.journey.text().rpartition(READY)[2])
        numbers = [int(n) for n, _ in found]
        check_equal(numbers, list(range(1, len(numbers) + 1)), 'beats')
        ups = [float(u) for _, u in found]
        steps = [b - a for a, b in zip(ups, ups[1:])]
        for number, step in enumerate(steps, 1):
            most = 4 + (jump if step == max(steps) else 0)
            check(0.9 < step < most, 'the guest\'s clock went from %.2f to %.2f', ups[number - 1],
                  ups[number])
    return prove
