#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dumpdtb: the file is the device tree that is in the guest's memory."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.qmp import QMPError  # noqa: E402
from ferrytest.tap import Case, check, check_equal, main  # noqa: E402

EMULATOR = emulators.ferry()
RAM, SIZE = 0x80000000, 16 << 20
MAGIC = bytes.fromhex('d00dfeed')


def start(bench, *extra):
    return VM(bench, 'vm', EMULATOR, paused=True,
              extra=['-M', 'virt', '-bios', 'none', '-m', '16M', *extra])


def content(path):
    with open(path, 'rb') as f:
        return f.read()


def is_the_guests(bench):
    vm = start(bench, '-smp', '2')
    path = bench.path('tree')
    with open(path, 'wb') as f:
        f.write(b'x' * 100000)
    vm.command('dumpdtb', filename=path)
    vm.command('pmemsave', val=RAM, size=SIZE, filename=bench.path('ram'))
    ram, tree = content(bench.path('ram')), content(path)
    at = ram.find(MAGIC)
    check(at >= 0, 'no device tree in memory')
    size = int.from_bytes(ram[at + 4:at + 8], 'big')
    check_equal(len(tree), size, 'size of the file')
    check(tree == ram[at:at + size], 'the file is not what is in memory')
    check(b'cpu@1\0' in tree, 'the second hart is not in it')


def by_hand(bench):
    vm = start(bench)
    path = bench.path('tree')

    def hmp(line):
        return vm.command('human-monitor-command', **{'command-line': line})
    check_equal(hmp('dumpdtb ' + path), 'info: dtb dumped to %s\r\n' % path, 'dumpdtb')
    check(content(path).startswith(MAGIC), 'no device tree')
    told = hmp('dumpdtb /nonexistent/f')
    check(told.startswith('Error: Error saving FDT to file /nonexistent/f: '), '%s', told)


def refused(bench):
    vm = start(bench)
    try:
        vm.command('dumpdtb', filename='/nonexistent/f')
        check(False, 'written to a folder that does not exist')
    except QMPError as error:
        check('Error saving FDT to file /nonexistent/f: ' in str(error), '%s', error)


CASES = [
    Case("the file is the guest's tree", is_the_guests),
    Case('by hand', by_hand),
    Case('a folder that does not exist', refused),
]

if __name__ == '__main__':
    main(CASES)
