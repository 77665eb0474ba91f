#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Running guests cross between QEMU 7.2, Ferry and QEMU 10.0, in all directions that exist, and in
the one that only Ferry makes possible: from 7.2 to 10.0 and back.

The guest's own checks decide: it has to be alive and clean on the far side. RAM is compared bit for
bit at every switchover; ferrytest/crossing.py says what happens where 7.2 sends stale RAM. Each run
takes a rotating part of the matrix; --full takes all of it.
"""
import itertools
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import channels, emulators  # noqa: E402
from ferrytest.crossing import (BEAT, BOOT, BRIDGE, CPU_T10_SV57, F10, F72, PAIRS, Q10, Q72, READY,
                                Cross, TappedUnix, beats, boot, check_events, cpu_fields, cross,
                                need)  # noqa: E402
from ferrytest.devices import Busy, Stuck  # noqa: E402
from ferrytest.guest import Bare, BareNone, Linux  # noqa: E402
from ferrytest.move import (Journey, compare_ram, force_passes, wait_loaded,
                            wait_migration)  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.tap import Case, Failed, Skip, check, check_equal, main  # noqa: E402

# No CPU options at all: with H, debug triggers, counters, and whatever else a version has.
PLAIN = {'7.2': (emulators.qemu72('rv64'), emulators.ferry('virt-7.2', 'rv64')),
         '10.0': (emulators.qemu100('rv64'), emulators.ferry('virt-10.0', 'rv64'))}


def linux(mode, harts, memory, logged_by=None):
    """`logged_by`: the source, when the guest is to write again and again while it moves. 7.2 logs
    only the first store through a translation: there the guest drops them all the time, and most
    of its pages arrive as they are."""
    options = {'idle': {}, 'loadgen': {'tick': 200, 'size': '4M'},
               'checker': {'tick': 200, 'size': '2M'}}[mode]
    if logged_by and logged_by.version == '7.2' and not logged_by.is_ferry and options:
        options['flush'] = 1
    return Linux(mode, memory=memory, harts=harts, **options)


def plain(pair, channel, harts, memory, mode):
    def run(bench):
        cross(bench, *PAIRS[pair], linux(mode, harts, memory), channel)
    return run


EVERYTHING = {'xbzrle': True, 'return_path': True, 'auto_converge': True}


def with_options(pair, caps, mode='checker', harts=2, channel='unix', memory=128):
    def run(bench):
        xbzrle = caps.get('xbzrle')
        # Deltas may fit where pages need throttling.
        guest = linux(mode, harts, memory, logged_by=PAIRS[pair][0] if xbzrle else None)
        move = cross(bench, *PAIRS[pair], guest, channel, caps=caps,
                     passes=4 * bool(xbzrle), throttle=caps.get('auto_converge') and not xbzrle)
        if xbzrle:
            check(move.info['xbzrle-cache']['pages'] > 0, 'no page went as a delta: %s', move.info)
        check_events(move, caps.get('events', True))
    return run


def devices(pair, legacy, harts=1, xbzrle=False):
    """Disk, network card, random numbers, console and port, all at work during the move."""
    def run(bench):
        need(*PAIRS[pair])
        source_emulator, destination_emulator = PAIRS[pair]
        busy = Busy(bench, legacy, harts)
        source = boot(bench, 'source', source_emulator, busy.guest, busy.args('source'))
        busy.start(source)
        move = Cross(bench, source_emulator, busy.guest, TappedUnix(bench), source=source,
                     dst_extra=busy.args('destination'), compare=True, caps={'xbzrle': xbzrle},
                     destination_emulator=destination_emulator)
        move.journey.prove = lambda _vm: None
        if xbzrle:
            force_passes(move, 4, bandwidth=32 << 20)
        move.start_destination()
        busy.connect(move.destination)
        move.start_migration()
        if move.during:
            busy.talk(source, 0.5)
            move.during(source, move.destination)
        busy.talk(source, 60)
        move.finish()
        if xbzrle:
            check(move.info['xbzrle-cache']['pages'] > 0, 'no page went as a delta: %s', move.info)
        busy.moved(move.destination)
    return run


def stuck_port(pair, legacy):
    """A port at which nobody reads: the guest moves in the middle of one of its buffers.

    A QEMU that is given such a buffer starts on it before it has counted what is in flight, and
    every other time stops for good with "Virtqueue size exceeded". QEMU 10.0 to QEMU 10.0 does so,
    too (3 of 6 moves), so it is said and not counted against Ferry."""
    def run(bench):
        need(*PAIRS[pair])
        stuck = Stuck(bench, legacy)
        source = boot(bench, 'source', PAIRS[pair][0], stuck.guest, stuck.args('source'))
        stuck.start(source)
        # A QEMU goes on writing before it is told to run, so its RAM is another one by then.
        move = Cross(bench, PAIRS[pair][0], stuck.guest, TappedUnix(bench), source=source,
                     dst_extra=stuck.args('destination'), compare=PAIRS[pair][1].is_ferry,
                     destination_emulator=PAIRS[pair][1])
        move.journey.prove = lambda _vm: None
        move.start_destination()
        stuck.connect(move.destination)
        move.start_migration()
        move.finish()
        try:
            stuck.check(source, move.destination)
        except Failed:
            if PAIRS[pair][1].is_ferry or \
                    'Virtqueue size exceeded' not in move.destination.stderr():
                raise
            raise Skip('known defect of QEMU shows: Virtqueue size exceeded') from None
    return run


def bridge(names, mode='checker', harts=2, xbzrle=False):
    """Through Ferry: from one QEMU to the other, which they cannot do by themselves."""
    far = {'7.2': Q72, '10.0': emulators.qemu100(CPU_T10_SV57) if names[0] == '7.2' else Q10}

    def run(bench):
        # The version of the machine fixes what it sends.
        between = BRIDGE if names[1] == '10.0' else F72
        caps = {'xbzrle': xbzrle}
        guest = linux(mode, harts, 128, logged_by=far[names[0]] if xbzrle else None)
        first = cross(bench, far[names[0]], between, guest, caps=caps,
                      passes=3 * xbzrle, names=('qemu-' + names[0], 'ferry'))
        first.source.quit()
        cross(bench, between, far[names[1]], first.guest, source=first.destination,
              journey=first.journey, names=('ferry', 'qemu-' + names[1]), caps=caps,
              passes=3 * xbzrle)
    return run


def lasting(stream, harts):
    """What the streams of a guest must go on saying of its harts, wherever it is: the features that
    it found, and the state of those that Ferry has not."""
    fixed = ('misa_ext', 'misa_ext_mask', 'features', 'mideleg', 'medeleg', 'scounteren',
             'mcounteren', 'mcountinhibit', 'mhpmevent_val', 'priv_ver', 'vext_ver')
    found = {}
    for hart in range(harts):
        for part, fields in cpu_fields(stream, hart).items():
            for name, value in fields.items():
                name = name.replace('env.', '')
                if (name in fixed if not part else part in ('cpu/hyper', 'cpu/debug')
                        or name in ('menvcfg', 'henvcfg')):
                    found[hart, part, name] = value
    return found


def plain_cpu(version, born_in_ferry, harts, moves=4):
    """-cpu rv64 and nothing else, there and back twice."""
    def run(bench):
        here, there = PLAIN[version][::-1 if born_in_ferry else 1]
        guest, move, known = linux('checker', harts, 128), None, {}
        for number in range(moves):
            move = cross(bench, here, there, guest, source=move and move.destination,
                         journey=move and move.journey, tap=True,
                         names=('at-%d' % number, 'at-%d' % (number + 1)))
            move.source.quit()
            now = lasting(move.channel.stream, harts)
            for key, value in known.items():
                check_equal(now.get(key), value, 'move %d: hart %d: %s %s' % (number + 1, *key))
            known.update(now)
            here, there = there, here
        if not born_in_ferry:
            check(known[0, '', 'misa_ext'] & 0x80, 'the source has no H: the test proves little')
    return run


def plain_bridge(bench):
    """A plain 7.2 guest has nothing that a plain 10.0 has not."""
    first = cross(bench, PLAIN['7.2'][0], PLAIN['10.0'][1], linux('checker', 2, 128),
                  names=('qemu-7.2', 'ferry'))
    first.source.quit()
    cross(bench, PLAIN['10.0'][1], PLAIN['10.0'][0], first.guest, source=first.destination,
          journey=first.journey, names=('ferry', 'qemu-10.0'))


def versions(one, other, guest):
    """From one machine version to the other within Ferry, there and back."""
    def run(bench):
        emulator = {'virt-7.2': F72, 'virt-10.0': BRIDGE, 'virt': emulators.ferry('virt', CPU_T10_SV57)}
        there = cross(bench, emulator[one], emulator[other], guest, names=('a', 'b'))
        cross(bench, emulator[other], emulator[one], guest, source=there.destination,
              journey=there.journey, names=('b', 'c'))
    return run


def by_file(source_emulator, destination_emulator, paused, guest, **dst_caps):
    """mapped-ram images between Ferry and 10.0."""
    def run(bench):
        caps = {'mapped_ram': True}
        cross(bench, source_emulator, destination_emulator, guest, 'file', paused=paused,
              caps=caps, dst_caps={**caps, **dst_caps})
    return run


def checked_file(paused):
    """QEMU passes over the checksums in a file of Ferry's."""
    def run(bench):
        cross(bench, F10, Q10, Bare('checker', harts=2, size='1M', sstc=1), 'file', paused=paused,
              caps={'mapped_ram': True, 'x_ram_checksum': True}, dst_caps={'mapped_ram': True})
    return run


def by_direct_file(source_emulator, destination_emulator, guest):
    """The same around the page cache, on both sides: QEMU does that for parallel channels only."""
    def options(emulator):
        return {'mapped_ram': True, 'multifd': not emulator.is_ferry}

    def run(bench):
        cross(bench, source_emulator, destination_emulator, guest, 'file',
              caps=options(source_emulator), dst_caps=options(destination_emulator),
              params={'direct_io': True}, dst_params={'direct_io': True})
    return run


def converted_file(source_emulator, destination_emulator, layout, to, paused):
    """A file that ferry-inspect made out of one of another layout."""
    def run(bench):
        named = {'stream': {}, 'mapped-ram': {'mapped_ram': True}}
        cross(bench, source_emulator, destination_emulator, Bare('checker', harts=2, size='1M', sstc=1),
              channels.Converted(bench, to), paused=paused, caps=named[layout], dst_caps=named[to])
    return run


def rebooted(*path, jump=False):
    """A guest that has been rebooted a while after its start takes no jump in time. Where the source
    is 7.2 its clock goes ahead by that while: 7.2 counts time from the reboot on and does not send
    since when, so all that can be asked for is that it goes no further."""
    def run(bench):
        need(*path)
        guest = linux('idle', 1, 128)
        vm = boot(bench, 'at-0', path[0], guest)
        vm.console.wait_for('^beat 5 ', BOOT)
        end, age = len(vm.console.text()), float(BEAT.findall(vm.console.text())[-1][1])
        vm.command('system_reset')
        vm.console.wait_for('^beat 2 ', BOOT, start=vm.console.wait_for(READY, BOOT, end).end())
        journey = Journey()
        journey.vms.append(vm)
        for number, there in enumerate(path[1:], 1):
            wire = TappedUnix(bench)
            move = Cross(bench, vm.emulator, guest, wire, destination_emulator=there, source=vm,
                         journey=journey, names=('', 'at-%d' % number), compare=True)
            journey.prove = beats(move, jump=age + 5 if jump else 0)
            vm = move.run().destination
            move.source.quit()
    return run


def none_board(source_emulator, destination_emulator, xbzrle):
    """-M none, RAM only: written from outside while it moves, compared bit for bit."""
    def run(bench):
        need(source_emulator, destination_emulator)
        image, memory, pages = bench.path('image'), 8, 128
        rng = random.Random(source_emulator.name)
        with open(image, 'wb') as f:
            f.write(b''.join(rng.randbytes(4096) if n % 3 else bytes(4096) for n in range(pages)))
        # QEMU's own access from outside needs a CPU; 7.2 and 10.0 cannot read each other's `cpu`
        # section, and neither reads what it does not have: so none towards QEMU.
        to_qemu = not destination_emulator.is_ferry
        cpu = [] if to_qemu else ['-cpu', 'rv64']
        common = ['-M', 'none', '-m', '%dM' % memory, '-device',
                  'loader,file=%s,addr=0x100000,force-raw=on' % image]
        guest = BareNone('idle', memory)
        guest.args = lambda _emulator: common + cpu
        extra = ['-global', 'migration.send-switchover-start=off'] \
            if destination_emulator.version == '7.2' else []
        # Ferry sends a stopped guest in one go, so there it has to run.
        source = VM(bench, 'source', source_emulator, guest, paused=bool(cpu), qtest=True,
                    extra=extra)
        destination = VM(bench, 'destination', destination_emulator, guest, paused=True,
                         incoming='defer')
        channel = TappedUnix(bench)
        for vm in (source, destination):
            vm.set_capabilities(events=True, xbzrle=xbzrle)
        # What is written until migrate-continue still has to arrive.
        source.set_capabilities(pause_before_switchover=True)
        destination.command('migrate-incoming', uri=channel.incoming)
        channel.before_migrate(source)
        # So slow that much is written again during each pass.
        source.set_parameters(max_bandwidth=512 << 10, downtime_limit=1)
        qtest = source.connect_qtest()
        bench.at_end(qtest.close)
        source.command('migrate', uri=channel.outgoing)
        number, info = 0, {'status': 'setup'}
        while (info['status'] in ('setup', 'active')
               and info.get('ram', {}).get('dirty-sync-count', 0) < 6):
            for _ in range(20):
                number += 1
                address = 0x100000 + rng.randrange(pages) * 4096
                if number % 50 == 0:
                    qtest.memset(address, 4096, 0)
                elif number % 50 == 1:
                    qtest.b64write(address, rng.randbytes(4096))
                else:
                    qtest.writeq(address + 8 * rng.randrange(512), number)
            info = source.migration()
        source.set_parameters(max_bandwidth=0, downtime_limit=2000)
        wait_migration(source, ['pre-switchover'])
        qtest.writeq(0x100000, 0x1122334455667788)
        source.command('migrate-continue', state='pre-switchover')
        info = wait_migration(source)
        wait_loaded(destination)
        if xbzrle:
            check(info['xbzrle-cache']['pages'] > 0, 'no page went as a delta: %s', info)
        compare_ram(bench, source, destination)
    return run


def cases():
    # A fixed set in every run: each direction once, with the delta, and both bridges.
    # From 7.2 with one hart, where its defect shows seldom; with two it nearly always does.
    for pair, harts in itertools.product(PAIRS, (1, 2)):
        first = harts == (1 if pair == '7.2 to Ferry' else 2)
        yield Case('%s, checker, delta, return path, %d hart%s' % (pair, harts, 's' * (harts > 1)),
                   with_options(pair, {'xbzrle': True, 'return_path': True}, harts=harts),
                   rotate=1 if first else 12, timeout=300)
    yield Case('bridge from 7.2 to 10.0', bridge(('7.2', '10.0')), timeout=300)
    yield Case('bridge from 10.0 to 7.2', bridge(('10.0', '7.2')), timeout=300)
    for one, other in (('virt-7.2', 'virt-10.0'), ('virt-7.2', 'virt-7.2'),
                       ('virt-10.0', 'virt-10.0'), ('virt', 'virt-7.2')):
        yield Case('within Ferry, %s and %s' % (one, other),
                   versions(one, other, Bare('checker', harts=2, size='1M')))
    for xbzrle in (False, True):
        for source, destination in ((Q72, F10), (F10, Q72), (Q10, F10), (F10, Q10)):
            yield Case('none, %s to %s, delta %s' % (source.name, destination.name,
                                                    'on' if xbzrle else 'off'),
                       none_board(source, destination, xbzrle))
    for source, destination in ((F10, Q10), (Q10, F10)):
        yield Case('by file, around the page cache, %s to %s' % (source.name, destination.name),
                   by_direct_file(source, destination, Bare('checker', harts=2, size='1M', sstc=1)))
    for paused in (False, True):
        for source, destination in ((F10, Q10), (Q10, F10)):
            yield Case('by file, %s to %s, %s' %
                       (source.name, destination.name, 'stopped' if paused else 'running'),
                       by_file(source, destination, paused, Bare('checker', harts=2, size='1M',
                                                                 sstc=1)))
            for layout, to in (('stream', 'mapped-ram'), ('mapped-ram', 'stream')):
                yield Case('by file, converted to %s, %s to %s, %s' %
                           (to, source.name, destination.name, 'stopped' if paused else 'running'),
                           converted_file(source, destination, layout, to, paused))
            if source.is_ferry:
                yield Case('by file, checksums, %s' % ('stopped' if paused else 'running'),
                           checked_file(paused))
            if destination.is_ferry:
                yield Case('by file, lazily, %s to %s, %s' %
                           (source.name, destination.name, 'stopped' if paused else 'running'),
                           by_file(source, destination, paused,
                                   Bare('checker', harts=2, size='1M', sstc=1),
                                   x_mapped_ram_lazy=True))
            yield Case('by file, Linux, %s to %s, %s' %
                       (source.name, destination.name, 'stopped' if paused else 'running'),
                       by_file(source, destination, paused, linux('checker', 2, 128)), rotate=4,
                       timeout=300)
    for version, born, harts in itertools.product(PLAIN, (False, True), (1, 2)):
        yield Case('plain rv64, %s, %d hart%s' %
                   ('Ferry to %s and back' % version if born else '%s to Ferry and back' % version,
                    harts, 's' * (harts > 1)),
                   plain_cpu(version, born, harts), rotate=9, timeout=400)
    yield Case('plain rv64, bridge from 7.2 to 10.0', plain_bridge, rotate=9, timeout=300)
    for path, names in (((F72, Q72), 'Ferry to 7.2'), ((F10, Q10), 'Ferry to 10.0'),
                        ((Q10, F10, Q10), '10.0 to Ferry and back'),
                        ((Q72, F72), '7.2 to Ferry')):
        yield Case('rebooted, ' + names, rebooted(*path, jump=path[0] is Q72), rotate=8, timeout=300)
    # The rest takes turns.
    for pair, channel, harts, memory, mode in itertools.product(
            PAIRS, ('tcp', 'unix'), (1, 2), (128, 1024), ('idle', 'loadgen', 'checker')):
        yield Case('%s, %s, %d hart%s, %d MiB, %s' %
                   (pair, channel, harts, 's' * (harts > 1), memory, mode),
                   plain(pair, channel, harts, memory, mode), rotate=32, timeout=300)
    for pair in PAIRS:
        for name, caps, more in (
                ('return path', {'return_path': True}, {}),
                ('auto-converge', {'auto_converge': True}, {'harts': 1}),
                ('delta, loadgen', {'xbzrle': True}, {'mode': 'loadgen', 'harts': 1}),
                ('no events', {'events': False}, {'harts': 1}),
                ('everything', EVERYTHING, {'mode': 'loadgen', 'channel': 'tcp'}),
                ('everything, 1 hart, 1024 MiB', EVERYTHING, {'harts': 1, 'memory': 1024}),
                ('everything, 2 harts, 1024 MiB', EVERYTHING, {'memory': 1024})):
            yield Case('%s, %s' % (pair, name), with_options(pair, caps, **more), rotate=12,
                       timeout=300)
        for legacy, harts, xbzrle in itertools.product((True, False), (1, 2), (False, True)):
            yield Case('%s, devices, %s, %d hart%s%s' %
                       (pair, 'legacy' if legacy else 'modern', harts, 's' * (harts > 1),
                        ', delta' * xbzrle),
                       devices(pair, legacy, harts, xbzrle), rotate=32, timeout=300)
        for legacy in (True, False):
            yield Case('%s, a port nobody reads, %s' % (pair, 'legacy' if legacy else 'modern'),
                       stuck_port(pair, legacy), rotate=8, timeout=300)
    for names in (('7.2', '10.0'), ('10.0', '7.2')):
        for mode, harts, xbzrle in (('idle', 1, False), ('loadgen', 1, True),
                                    ('checker', 2, True)):
            yield Case('bridge from %s to %s, %s, delta %s' %
                       (names + (mode, 'on' if xbzrle else 'off')),
                       bridge(names, mode, harts, xbzrle), rotate=6, timeout=400)
    for one, other in itertools.product(('virt-7.2', 'virt-10.0', 'virt'), repeat=2):
        yield Case('within Ferry, Linux, %s and %s' % (one, other),
                   versions(one, other, linux('checker', 2, 128)), rotate=9, timeout=300)


if __name__ == '__main__':
    main(list(cases()))
