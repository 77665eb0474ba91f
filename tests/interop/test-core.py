#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The saved stream of a running Linux guest as a core in gdb: kernel and user code can be read at
the guest's own virtual addresses, which only its page tables know. Streams of QEMU 7.2, QEMU 10.0
and Ferry; what gdb reads is compared with a walk through the page tables made here.

  FERRY_BUILD=build tests/interop/test-core.py [WORDS OF A CASE]
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.guest import Linux  # noqa: E402
from ferrytest.move import wait_alive, wait_migration  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.tap import Case, check, check_equal, main, need  # noqa: E402

INSPECT = os.path.join(emulators.BUILD, 'ferry-inspect')
RAM = 0x80000000
BLOCK = 'riscv_virt_board.ram'
BOOT = 120


def saved(bench, emulator):
    """A Linux guest with two harts, saved while it runs; the path of the stream."""
    vm = VM(bench, 'source', emulator, Linux('loadgen', harts=2))
    wait_alive(vm, timeout=BOOT)
    path = bench.path('stream')
    vm.command('migrate', uri='exec:cat > ' + path)
    wait_migration(vm)
    return path


def translate(ram, satp, virt):
    """The guest-physical address, or None: Sv39, Sv48, Sv57."""
    mode, table = satp >> 60, (satp & ((1 << 44) - 1)) << 12
    for level in reversed(range(mode - 5)):
        at = table + (virt >> (12 + 9 * level) & 511) * 8 - RAM
        pte, = struct.unpack_from('<Q', ram, at)
        if not pte & 1:
            return None
        table = (pte >> 10 & ((1 << 44) - 1)) << 12
        if pte & 14:
            mask = (1 << (12 + 9 * level)) - 1
            return table & ~mask | virt & mask
    return None


def harts(path):
    report = json.loads(subprocess.run([INSPECT, 'show', '--json', path], check=True,
                                       stdout=subprocess.PIPE).stdout)
    for section in report['sections']:
        if section.get('name') == 'cpu':
            yield {f['name']: f['value'] for f in section['fields'] if 'value' in f and 'name' in f}


def in_core(ram, all_harts, hart):
    """The guest-physical address of what the core has at this hart's pc: where two harts run different
    programs, that of the first hart to which the address means something."""
    if hart['env.priv'] == 3:   # OpenSBI: a physical address
        return hart['env.pc']
    found = (translate(ram, h['env.satp'], hart['env.pc']) for h in all_harts)
    return next((phys for phys in found if phys is not None), None)


def linux_in_gdb(emulator):
    def run(bench):
        need(not emulator.missing(), '%s', emulator.missing())
        need(shutil.which('gdb-multiarch'), 'gdb-multiarch is missing (package gdb-multiarch)')
        path, core, raw = saved(bench, emulator), bench.path('core'), bench.path('raw')
        subprocess.run([INSPECT, 'extract', path, '--elf', '-o', core], check=True)
        subprocess.run([INSPECT, 'extract', path, '--ram', BLOCK, '-o', raw], check=True)
        with open(raw, 'rb') as f:
            ram = f.read()
        translated = 0
        all_harts = list(harts(path))
        for number, hart in enumerate(all_harts, 1):
            commands = ['thread %d' % number, 'x/4i $pc', 'x/16xb $pc']
            args = [word for c in commands for word in ('-ex', c)]
            text = subprocess.run(['gdb-multiarch', '-nx', '-batch'] + args + ['-c', core],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=60, check=True).stdout
            check('Cannot access' not in text, 'hart %d: %s', number, text)
            got = bytes(int(b, 16) for b in re.findall(r'\t0x([0-9a-f]{2})(?![0-9a-f])', text))
            pc, phys = hart['env.pc'], in_core(ram, all_harts, hart)
            translated += hart['env.priv'] != 3
            check(phys is not None, 'hart %d: its pc 0x%x is not mapped', number, pc)
            same_page = min(16, 4096 - pc % 4096)
            check_equal(got[:same_page], ram[phys - RAM:phys - RAM + same_page], 'bytes at its pc')
        check(translated, 'no hart was in the kernel or a program')
    return run


CASES = [Case('core of ' + e.name, linux_in_gdb(e))
         for e in (emulators.qemu72(), emulators.qemu100(), emulators.ferry())]

if __name__ == '__main__':
    main(CASES)
