#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that only show what they do in a process that runs. TAP on stdout.

usage: test-options.py EMULATOR"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time

EMULATOR = os.path.abspath(sys.argv[1])
TIMEOUT = 30
BASE = ['-nodefaults', '-display', 'none']


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def connected(path):
    end = time.monotonic() + TIMEOUT
    while True:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        try:
            sock.connect(path)
            return sock.makefile('rw')
        except OSError:
            sock.close()
            expect(time.monotonic() < end, f'{path}: nobody listens')
            time.sleep(0.01)


class Guest:
    """A process with a monitor and the qtest protocol; events are kept."""

    def __init__(self, *options, cwd=None):
        self.folder = tempfile.TemporaryDirectory()
        qmp, qtest = self.folder.name + '/qmp', self.folder.name + '/qtest'
        self.events = []
        self.process = subprocess.Popen(
            [EMULATOR, *BASE, '-qmp', f'unix:{qmp},server=on,wait=off', '-qtest',
             f'unix:{qtest},server=on,wait=off', *options], stdin=subprocess.DEVNULL, text=True,
            stderr=subprocess.PIPE, cwd=cwd)
        try:
            self.qmp, self.qtest = connected(qmp), connected(qtest)
        except AssertionError as error:
            self.process.kill()
            raise AssertionError(f'{options}: {error}: {self.process.stderr.read()}') from None
        self.qmp.readline()
        self('qmp_capabilities')

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.terminate()
        try:
            self.process.communicate(timeout=TIMEOUT)
        finally:
            self.process.kill()
            self.folder.cleanup()

    def __call__(self, command, **arguments):
        self.qmp.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.qmp.flush()
        while True:
            answer = json.loads(self.qmp.readline())
            if 'event' not in answer:
                return answer.get('return', answer.get('error'))
            self.events.append(answer['event'])

    def ask(self, line):
        self.qtest.write(line + '\n')
        self.qtest.flush()
        return self.qtest.readline().strip()


def test_accel_qtest():
    """No hart runs, the clock stands until it is told to move, devices and timers work."""
    with Guest('-M', 'virt', '-accel', 'qtest', '-bios', 'none') as guest:
        expect(guest('query-status')['status'] == 'running', 'not running')
        dump = guest('human-monitor-command', **{'command-line': 'info registers'})
        pc = [line for line in dump.splitlines() if line.split()[:1] == ['pc']][0].split()[1]
        expect(int(pc, 16) == 0x1000, f'the hart ran: pc is {pc}')
        expect(guest.ask('readq 0x200bff8') == 'OK 0x0000000000000000', 'the clock ran')
        expect(guest.ask('clock_step 1000') == 'OK 1000', 'clock_step')
        expect(guest.ask('readq 0x200bff8') == 'OK 0x000000000000000a', '10 ticks of 100 ns')
        guest.ask('writeq 0x2004000 0x64')       # mtimecmp: at 10000 ns
        expect(guest.ask('clock_step') == 'OK 10000', 'clock_step goes to the next deadline')
        expect(guest.ask('clock_set 500000') == 'OK 500000', 'clock_set')
        for command, state in (('stop', 'paused'), ('cont', 'running')):
            guest(command)
            expect(guest('query-status')['status'] == state, command)
        expect(guest.ask('readq 0x200bff8') == 'OK 0x0000000000001388', 'stop and cont moved it')
        guest('system_reset')
        expect(guest('query-status')['status'] == 'running', 'after a reset')
        guest.ask('writel 0x100000 0x5555')      # the guest's way to switch itself off
        guest.process.wait(TIMEOUT)
        expect(guest.process.returncode == 0, 'does not end when it is switched off')


def mips(guest):
    text = guest('human-monitor-command', **{'command-line': 'info registers -a'})
    return [int(line.split()[1], 16) for line in text.splitlines() if line.split()[:1] == ['mip']]


def test_aclint():
    """The SSWI, as QEMU 7.2 and 10.0 were watched: reads as 0, bit 0 sets SSIP, for good."""
    with Guest('-M', 'virt,aclint=on', '-smp', '2', '-S', '-bios', 'none') as guest:
        expect(mips(guest) == [0x80, 0x80], f'at first: {mips(guest)}')
        for line, want in (('writel 0x2f00004 1', [0x80, 0x82]), ('writel 0x2f00004 0', [0x80, 0x82]),
                           ('writel 0x2f00000 2', [0x80, 0x82]), ('writel 0x2f00000 3', [0x82, 0x82]),
                           ('writel 0x2f00008 1', [0x82, 0x82])):
            expect(guest.ask(line) == 'OK', line)
            expect(mips(guest) == want, f'{line}: {mips(guest)}')
        expect(guest.ask('readl 0x2f00004') == 'OK 0x0000000000000000', 'reads as 0')
        guest('system_reset')  # answered before it is carried out
        end = time.monotonic() + 20
        while mips(guest) != [0x80, 0x80] and time.monotonic() < end:
            time.sleep(0.01)
        expect(mips(guest) == [0x80, 0x80], f'after a reset: {mips(guest)}')
    with Guest('-M', 'virt,aclint=off', '-S', '-bios', 'none') as guest:
        expect(guest.ask('writel 0x2f00000 1').startswith('FAIL'), 'an SSWI with aclint=off')


def main():
    tests = [(name, fn) for name, fn in globals().items() if name.startswith('test_')]
    wanted = sys.argv[2:]
    tests = [t for t in tests if not wanted or any(w in t[0] for w in wanted)]
    failed = 0
    print(f'1..{len(tests)}')
    for i, (name, fn) in enumerate(tests, 1):
        try:
            fn()
            print(f'ok {i} - {name}', flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f'not ok {i} - {name}\n# {type(error).__name__}: {error}', flush=True)
    return 1 if failed else 0


sys.exit(main())
