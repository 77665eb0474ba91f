#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that cannot run on the other side is refused there, by name, in one sentence; and it runs
on where it was. QEMU on one side, Ferry on the other.

QEMU as a source without return-path says "completed" whatever the destination thinks of it; so it
has that capability here, and once it has not: then Ferry's message is all that there is.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import channels, emulators  # noqa: E402
from ferrytest.crossing import (BOOT, F10, F72, PAIRS, Q10, Q72, boot, need)  # noqa: E402
from ferrytest.guest import Bare, Linux  # noqa: E402
from ferrytest.move import wait_alive, wait_migration  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.proxy import Proxy  # noqa: E402
from ferrytest.tap import Case, check, check_equal, main, wait_until  # noqa: E402


def bare(memory=32, harts=1):
    return Bare('checker', memory=memory, harts=harts, size='1M', sstc=1)


def refuse(pair, expected, source_guest=None, destination_guest=None, source_extra=(),
           destination_extra=(), return_path=True, replace=None):
    """`expected`: what the destination has to say; `replace`: bytes changed on the way."""
    def run(bench):
        source_emulator, destination_emulator = pair
        need(*pair)
        guest = source_guest or bare()
        source = boot(bench, 'source', source_emulator, guest, source_extra)
        wait_alive(source, timeout=BOOT)
        destination = VM(bench, 'destination', destination_emulator, destination_guest or guest,
                         incoming='defer', extra=destination_extra)
        channel = channels.Unix(bench)
        for vm in (source, destination):
            vm.set_capabilities(return_path=return_path, events=True)
        destination.command('migrate-incoming', uri=channel.incoming)
        outgoing = channel.outgoing
        if replace:
            proxy = Proxy(bench, channel.incoming[5:])
            proxy.replace, outgoing = replace, proxy.uri
        source.command('migrate', uri=outgoing)
        check_equal(destination.wait_exit(60), 1, 'exit status of the destination')
        said = [line for line in destination.stderr().splitlines()
                if re.search(expected, line, re.I)]
        check(said, 'the destination does not say %r: %s', expected, destination.stderr())
        if destination_emulator.is_ferry:
            check_equal(len(destination.stderr().splitlines()), 1,
                        'lines that the destination says: %s' % destination.stderr())
        if not return_path:
            # The source may not know: that it does not run twice is all that can be asked.
            wait_migration(source, ['completed', 'failed'])
            return
        info = wait_migration(source, ['failed'])
        if source_emulator.is_ferry:
            text = info.get('error-desc', '')
            check(re.search('the destination (refused|has ended)', text),
                  'the source does not say who refused: %r', text)
            bench.note('the source says: %s' % text)
        bench.note('the destination says: %s' % said[0])
        check_equal(source.status(), 'running', 'run state of the source')
        lines = len(source.console.statuses())
        source.console.wait_statuses(lines + 2)[-1].check_clean('source')
    return run


RNG = ('-device', 'virtio-rng-device')
KEYBOARD = ('-device', 'virtio-keyboard-device')
PCI = ('-device', 'virtio-rng-pci')


def newer(name, version):
    """Bytes that make a section's version one more than its highest."""
    head = bytes([len(name)]) + name.encode() + bytes(4)
    return (head + version.to_bytes(4, 'big'), head + (version + 1).to_bytes(4, 'big'))


def with_cpu(emulator, change):
    return emulator.with_machine(emulator.machine, emulator.cpu + ',' + change)


def part(emulator):
    """A file whose writer was killed: refused before anything of it is loaded."""
    def run(bench):
        need(emulator)
        source = boot(bench, 'source', F72 if emulator is Q72 else F10, bare(), ())
        wait_alive(source, timeout=BOOT)
        path = bench.path('image')
        source.set_parameters(max_bandwidth=1 << 20, **{'x-file-in-place': True})
        source.command('migrate', uri='file:' + path)
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 100000, 30, 'data')
        source.kill()
        uri = 'exec:cat ' + path if emulator is Q72 else 'file:' + path
        destination = VM(bench, 'destination', emulator, bare(), incoming=uri)
        check_equal(destination.wait_exit(60), 1, 'exit status of the destination')
        bench.note('the destination says: %s' % destination.stderr().strip())
    return run


def cases():
    yield Case('a part of a file to 7.2', part(Q72))
    yield Case('a part of a file to 10.0', part(Q10))
    for name, pair in PAIRS.items():
        yield Case(name + ', a device that is not there',
                   refuse(pair, r'virtio-mmio@0000000010008000/virtio-rng', source_extra=RNG))
        yield Case(name + ', another RAM size',
                   refuse(pair, r'riscv_virt_board\.ram.*0x2000000.*0x4000000',
                          destination_guest=bare(64)))
        yield Case(name + ', fewer harts', refuse(pair, r"'cpu_common' 1", bare(harts=2), bare()))
        for section, version in (('goldfish_rtc', 3), ('riscv_sifive_plic', 1)):
            yield Case('%s, a newer %s' % (name, section),
                       refuse(pair, section, replace=newer(section, version)))
        if pair[1].is_ferry:
            yield Case(name + ', without a return path',
                       refuse(pair, r'virtio-mmio@0000000010008000/virtio-rng', source_extra=RNG,
                              return_path=False))
            yield Case(name + ', a device that Ferry has not',
                       refuse(pair, r'/virtio-input', source_extra=KEYBOARD))
            yield Case(name + ', a PCI device',
                       refuse(pair, r'0000:00:01\.0/virtio-rng', source_extra=PCI))
            yield Case(name + ', vectors',
                       refuse((with_cpu(pair[0], 'v=on'), pair[1]), 'extension V'))
            yield Case(name + ', Sstc off here',
                       refuse((pair[0], with_cpu(pair[1], 'sstc=off')), 'extension Sstc'))
    yield Case('10.0 to Ferry, Smstateen',
               refuse((with_cpu(Q10, 'smstateen=on'), F10), 'extension Smstateen'))
    yield Case('10.0 to Ferry, ACPI tables',
               refuse((Q10.with_machine('virt'), F10), '/rom@etc/acpi/tables'))
    yield Case('7.2 to Ferry, Sv57 off here',
               refuse((Q72, F10), 'Sv57', Linux('checker', tick=200, size='1M')), timeout=300)
    yield Case('Ferry to Ferry, Sv57 off here',
               refuse((F72, F10), 'Sv57|sv57', Linux('checker', tick=200, size='1M')), timeout=300)
    # The machine version decides what is sent, and the other QEMU cannot read it.
    yield Case('Ferry as virt-10.0 to 7.2', refuse((F10, Q72), "MIG_CMD 0xb|'cpu'"))
    yield Case('Ferry as virt-7.2 to 10.0', refuse((F72, Q10), 'cpu: incoming version_id 5'))


if __name__ == '__main__':
    main(list(cases()))
