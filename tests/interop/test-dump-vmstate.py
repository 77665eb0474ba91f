#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""-dump-vmstate beside QEMU 7.2's: the same shape, and for each device type the same fields."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.tap import Case, check, check_equal, main, need  # noqa: E402

FERRY = emulators.ferry()

# Where the tables differ and the streams do not: key of a field or type -> why.
DIFFERENT = {
    'goldfish_rtc:minimum': 'no QEMU sends versions below 1',
    'fw_cfg_mem:minimum': 'version 1 came before the board',
    'fw_cfg_mem:Fields': 'the 32-bit cur_offset of version 1',
    'cfi.pflash01:Subsections': 'a buffered write is no state here',
    'gpex-root/parent_obj:Fields': 'the configuration space of PCI without Express',
    'serial-mm/serial/serial/recv_fifo/recv_fifo:version_id': 'of a field that every version has',
    'serial-mm/serial/serial/xmit_fifo/xmit_fifo:version_id': 'of a field that every version has',
    'serial-mm/serial/serial/recv_fifo/recv_fifo/data:version_id': 'of a field that every version has',
    'serial-mm/serial/serial/xmit_fifo/xmit_fifo/data:version_id': 'of a field that every version has',
}


def dump(bench, emulator, name, machine='virt'):
    path = bench.path(name)
    run = subprocess.run(list(emulator.argv) + ['-M', machine, '-bios', 'none', '-nodefaults',
                                                '-display', 'none', '-dump-vmstate', path],
                         capture_output=True, text=True, timeout=60, check=False)
    check_equal((run.returncode, run.stdout), (0, ''), 'exit status and output')
    with open(path) as f:
        return json.load(f)


def names(rows):
    return [r.get('field', r.get('name')) for r in rows]


def compare(where, theirs, ours, found):
    for key in ('name', 'version_id', 'minimum_version_id', 'field_exists'):
        if theirs.get(key) != ours.get(key):
            found.add('%s:%s' % (where, key.replace('minimum_version_id', 'minimum')))
    for key in ('Fields', 'Subsections'):
        a, b = theirs.get(key, []), ours.get(key, [])
        if names(a) != names(b):
            found.add('%s:%s' % (where, key))
            continue
        for x, y in zip(a, b):
            check_equal(sorted(y), sorted(x), 'members at ' + where)
            compare('%s/%s' % (where, x.get('field', x.get('name'))), x, y, found)
    if 'Description' in theirs:
        compare(where, theirs['Description'], ours['Description'], found)


def beside_qemu(bench):
    qemu = emulators.qemu72()
    need(not qemu.missing(), '%s', qemu.missing())
    theirs, ours = dump(bench, qemu, 'qemu'), dump(bench, FERRY, 'ferry')
    check_equal(ours['vmschkmachine'], theirs['vmschkmachine'], 'machine')
    check('serial-mm' in ours and 'virtio-net-device' in ours, 'types: %s', sorted(ours))
    check(set(ours) <= set(theirs), 'types that QEMU has not: %s', set(ours) - set(theirs))
    found = set()
    for name in ours:
        if name != 'vmschkmachine':
            check_equal(sorted(ours[name]), sorted(theirs[name]), 'members of ' + name)
            compare(name, theirs[name], ours[name], found)
    check_equal(found, set(DIFFERENT), 'differences')


def machines(bench):
    """The name is that of the machine, without its version, and a file that cannot be is told."""
    for machine, name in (('virt-10.0', 'virt'), ('none', 'none')):
        check_equal(dump(bench, FERRY, machine, machine)['vmschkmachine'], {'Name': name}, machine)
    run = subprocess.run(list(FERRY.argv) + ['-dump-vmstate', '/nonexistent/x'], timeout=60,
                         capture_output=True, text=True, check=False)
    check(run.returncode == 1 and run.stderr.strip().endswith(
        '-dump-vmstate /nonexistent/x: open /nonexistent/x: No such file or directory'),
          'exit status %d, "%s"', run.returncode, run.stderr)


CASES = [
    Case('beside QEMU', beside_qemu),
    Case('machines', machines),
]

if __name__ == '__main__':
    main(CASES)
