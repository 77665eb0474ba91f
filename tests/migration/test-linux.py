#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel with a load inside is moved, again and again, over every channel.

One guest is booted for a case and travels on from process to process; after each move its own
reports have to go on without a gap.
"""
import os

from ferrytest import channels, emulators
from ferrytest.guest import Linux
from ferrytest.move import Journey, Move, force_passes, wait_alive
from ferrytest.process import VM
from ferrytest.tap import Case, check, check_equal, main, wait_until

EMULATOR = emulators.subject()
BOOT = 120


def boot(bench, guest, extra=()):
    vm = VM(bench, 'boot', EMULATOR, guest, extra=extra)
    vm.console.wait_for('ferry-guest: ready', BOOT)
    return vm


def travel(bench, guest, hops, extra=()):
    """Through all hops: (channel, xbzrle, passes to force). RAM is compared at each."""
    vm = boot(bench, guest, extra)
    journey = Journey()
    journey.vms.append(vm)
    wait_alive(vm, timeout=BOOT)
    for number, (channel, xbzrle, passes) in enumerate(hops):
        move = Move(bench, EMULATOR, guest, channels.ALL[channel](bench), source=vm,
                    journey=journey, caps={'xbzrle': xbzrle}, compare=True, extra=extra,
                    names=('', 'hop%d' % number))
        if passes:
            force_passes(move, passes, bandwidth=32 << 20)
        move.run()
        if passes and xbzrle:
            check(move.info['xbzrle-cache']['pages'] > 0, 'no page went as a delta: %s', move.info)
        old, vm = vm, move.destination
        vm.set_capabilities(xbzrle=False)
        old.quit()
    return vm


def checker(bench):
    travel(bench, Linux('checker', harts=2, size='4M', tick=200),
           [('unix', True, 4), ('tcp', False, 0), ('exec', False, 0), ('fd-name', True, 3)])


def loadgen(bench):
    travel(bench, Linux('loadgen', tick=200),
           [('tcp', True, 5), ('unix', False, 0)])


def more_hops(bench):
    hops = [(c, x, 3 if channels.ALL[c].live else 0) for x in (False, True)
            for c in channels.ALL if EMULATOR.is_ferry or c != 'fd-number']
    travel(bench, Linux('checker', harts=2, size='4M', tick=200), hops)


def shell(bench):
    """A shell waits for input on the one side, answers on the other, and the clock goes on."""
    guest = Linux('shell')
    vm = boot(bench, guest)
    vm.console.wait_for('guest# $', 30)
    vm.console.type('x=kept; echo "$x-$((6 * 7))"\n')
    vm.console.wait_for('^kept-42$', 30)
    move = Move(bench, EMULATOR, guest, channels.Unix(bench), source=vm)
    move.start_destination()
    # Half a command is typed before, the other half after.
    vm.console.type('echo "$x')
    vm.console.wait_for(r'echo "\$x$', 30)
    move.start_migration()
    move.journey.prove = lambda _vm: None
    move.journey.vms = []
    move.finish()
    there = move.destination.console
    there.type('-$((7 * 7))"; date +%Y; cat /proc/uptime\n')
    there.wait_for('^kept-49$', 30)
    import time
    there.wait_for('^%d$' % time.gmtime().tm_year, 30)
    there.type('poweroff -f\n')
    move.destination.qmp.wait_event('SHUTDOWN', 30)
    check_equal(move.destination.wait_exit(30), 0, 'exit status after power-off')


def idle_wakes(bench):
    """An idle guest's timer wakes it on the other side; its clock has not jumped."""
    guest = Linux('idle')
    vm = boot(bench, guest)
    vm.console.wait_for('^beat 2 ', 30)
    move = Move(bench, EMULATOR, guest, channels.Unix(bench), source=vm)
    move.start_destination()
    move.start_migration()
    move.journey.prove = lambda _vm: None
    move.finish()
    move.destination.console.wait_for(r'^beat (\d+) up=', 30)
    text = vm.console.text() + move.destination.console.text()
    import re
    wait_until(lambda: len(re.findall(r'^beat ', move.destination.console.text(), re.M)) >= 3, 30,
               'three beats')
    text = vm.console.text() + move.destination.console.text()
    beats = [(int(n), float(up)) for n, up in re.findall(r'^beat (\d+) up=([\d.]+)$', text, re.M)]
    check_equal([n for n, _ in beats], list(range(1, len(beats) + 1)), 'beats')
    for (_, a), (n, b) in zip(beats, beats[1:]):
        check(0.9 < b - a < 4, 'beat %d: the guest\'s clock went from %.2f to %.2f', n, a, b)


def devices(legacy):
    """Disk, random numbers and a checker at work while the guest moves."""
    def run(bench):
        disk = bench.path('disk')
        with open(disk, 'wb') as f:
            f.truncate(16 << 20)
        guest = Linux('checker', size='1M', tick=200, shell=True)
        extra = ['-drive', 'file=%s,format=raw,if=none,id=d0' % disk,
                 '-device', 'virtio-blk-device,drive=d0',
                 '-device', 'virtio-rng-device']
        if not legacy:
            extra = ['-global', 'virtio-mmio.force-legacy=false'] + extra
        vm = boot(bench, guest, extra)
        vm.console.wait_for('guest# ', 60)
        # Writes numbered blocks and reads each one back past the cache, forever.
        vm.console.type(
            'i=0; while :; do i=$((i+1)); printf "block %06d" $i | '
            'dd of=/dev/vda bs=512 seek=$((i%2000)) conv=notrunc,fsync 2>/dev/null; '
            'echo 3 >/proc/sys/vm/drop_caches; '
            'got=$(dd if=/dev/vda bs=512 skip=$((i%2000)) count=1 2>/dev/null | head -c 12); '
            '[ "$got" = "$(printf "block %06d" $i)" ] || echo "disk: wrong at $i: $got"; '
            'head -c 16 /dev/hwrng >/dev/null || echo "rng: failed at $i"; '
            '[ $((i%20)) != 0 ] || echo "disk: $i done"; done\n')
        vm.console.wait_for('^disk: 20 done', 60)
        for number in range(2):
            move = Move(bench, EMULATOR, guest, channels.Unix(bench), source=vm, extra=extra,
                        names=('', 'hop%d' % number), compare=False)
            move.start_destination()
            move.start_migration()
            move.journey.prove = lambda _vm: None
            move.finish()
            there = move.destination
            there.console.wait_for(r'^disk: \d+ done', 60)
            there.console.wait_statuses(3, 60)[-1].check_clean(there.name)
            for line in there.console.text().splitlines():
                check('wrong' not in line and 'failed' not in line, 'guest: %s', line)
            vm.quit()
            vm = there
    return run


def reset_then_move(bench):
    """After a reset inside, the clock neither jumps nor stands still when the guest moves."""
    guest = Linux('idle')
    vm = boot(bench, guest)
    vm.command('system_reset')
    start = len(vm.console.text())
    vm.console.wait_for('^beat 2 ', 120, start)
    move = Move(bench, EMULATOR, guest, channels.Unix(bench), source=vm)
    move.start_destination()
    move.start_migration()
    move.journey.prove = lambda _vm: None
    move.finish()
    import re
    last = float(re.findall(r'^beat \d+ up=([\d.]+)$', vm.console.text()[start:], re.M)[-1])
    first = float(move.destination.console.wait_for(r'^beat \d+ up=([\d.]+)$', 30).group(1))
    check(first - last < 4, 'the clock jumped from %.2f to %.2f', last, first)


CASES = [
    Case('checker, 2 harts, four hops', checker, timeout=300),
    Case('loadgen, two hops', loadgen, timeout=300),
    Case('idle guest wakes up', idle_wakes, timeout=200),
    Case('shell, half a line typed', shell, timeout=200),
    Case('disk and random numbers, legacy', devices(True), timeout=300),
    Case('disk and random numbers, modern', devices(False), timeout=300),
    Case('reset, then moved', reset_then_move, timeout=300, full=not EMULATOR.is_ferry),
    Case('every channel, delta off and on', more_hops, full=True, timeout=900),
]

if __name__ == '__main__':
    main(CASES)
