#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that only show what they do in a process that runs. TAP on stdout.

usage: test-options.py EMULATOR"""

import json
import os
import pty
import signal
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


def refused(*options, words):
    result = subprocess.run([EMULATOR, *BASE, *options], stdin=subprocess.DEVNULL, text=True,
                            capture_output=True, timeout=TIMEOUT, check=False)
    expect(result.returncode == 1 and words in result.stderr, f'{options}: {result}')


VIRT = ('-M', 'virt', '-bios', 'none', '-S')


def test_memory_backends():
    """Every type as the guest's RAM, by each of both ways; query-memdev says what was asked for."""
    for kind, extra in (('ram', ''), ('memfd', ''), ('ram', ',share=on,prealloc=on'),
                        ('memfd', ',share=off')):
        backend = f'memory-backend-{kind},id=r,size=48M{extra}'
        for way in (('-M', 'memory-backend=r'), ('-m', '48', '-numa', 'node,memdev=r')):
            with Guest(*VIRT, '-object', backend, *way) as guest:
                info = guest('query-memdev')[0]
                share, prealloc = 'share=on' in extra or (kind == 'memfd' and not extra), 'pre' in extra
                expect((info['id'], info['size'], info['share'], info['prealloc']) ==
                       ('r', 48 << 20, share, prealloc), f'{backend} {way}: {info}')
                summary = guest('query-memory-size-summary')
                expect(summary['base-memory'] == 48 << 20, str(summary))


def test_prealloc():
    for options, wanted in ((('-m', '48'), False), (('-m', '48', '-mem-prealloc'), True),
                            (('-object', 'memory-backend-ram,id=r,size=48M,prealloc=on', '-M',
                              'memory-backend=r'), True)):
        with Guest(*VIRT, *options) as guest:
            name = 'memfd:r' if '-object' in options else 'memfd:riscv_virt_board.ram'
            with open(f'/proc/{guest.process.pid}/maps', encoding='utf-8') as file:
                expect(name in file.read(), f'{name} is not mapped')
            folder = f'/proc/{guest.process.pid}/fd/'
            taken = [os.stat(folder + fd).st_blocks * 512 for fd in os.listdir(folder)
                     if os.readlink(folder + fd).startswith('/' + name)]
            expect((taken[0] == 48 << 20) == wanted, f'{options}: {taken}')


def test_memory_in_a_file():
    """share=on: the file is the guest's RAM; share=off: what it starts with, and no more."""
    with tempfile.TemporaryDirectory() as tmp:
        path = tmp + '/ram'
        for share, first, left in (('on', 0, 0x11), ('off', 0x11, 0x11), ('on', 0x11, 0x22)):
            backend = f'memory-backend-file,id=r,size=48M,share={share},mem-path={path}'
            with Guest(*VIRT, '-object', backend, '-M', 'memory-backend=r') as guest:
                got = guest.ask('readb 0x81000000')
                expect(int(got.split()[1], 16) == first, f'share={share}: {got}')
                guest.ask('writeb 0x81000000 %d' % (left if share == 'on' else 0x77))
            with open(path, 'rb') as file:
                file.seek(0x1000000)
                expect(file.read(1)[0] == left, f'share={share}: the file was not left as it should')
        with open(tmp + '/small', 'wb') as file:
            file.truncate(4096)
        with Guest(*VIRT, '-object', 'memory-backend-file,id=r,size=48M,mem-path=' + tmp + '/small',
                   '-M', 'memory-backend=r') as guest:
            expect(guest.ask('readb 0x82ffffff').startswith('OK'), 'a file shorter than the RAM')


def test_memory_refused():
    """In QEMU's words where it has some."""
    ram = ('-object', 'memory-backend-ram,id=r,size=32M')
    numa = 'total memory for NUMA nodes (0x2000000) should equal RAM size (0x4000000)'
    for options, words in (
            ((*ram, '-m', '64', '-numa', 'node,memdev=r'), numa),
            (('-m', '64', '-numa', 'node'), 'NUMA nodes (0x0) should equal RAM size (0x4000000)'),
            ((*ram, '-M', 'memory-backend=r', '-numa', 'node,memdev=r'), 'mutually exclusive'),
            (('-numa', 'node,memdev=zz'), '-numa node,memdev=zz: memdev=zz is ambiguous'),
            (('-numa', 'node,cpus=5'), 'CPU index (5) should be smaller than maxcpus (1)'),
            ((*ram, '-m', '32', '-numa', 'node,memdev=r', '-numa', 'node'), 'there is one node'),
            (('-object', 'memory-backend-ram,id=r,size=1M,mem-path=/x'), "Invalid parameter 'mem-path'"),
            (('-object', 'memory-backend-file,id=r,size=1M'), "Parameter 'mem-path' is missing"),
            (('-object', 'memory-backend-ram,id=r,size=1M,share=x'), "'share' expects 'on' or 'off'"),
            (('-object', 'memory-backend-ram,id=r,size=1M,reserve=off,prealloc=on'),
             "'prealloc=on' and 'reserve=off' are incompatible"),
            (('-object', 'memory-backend-ram,id=r,size=1M,policy=x'), "does not accept value 'x'"),
            (('-object', 'memory-backend-ram,id=r,size=1M,host-nodes=0,policy=bind'), 'numactl'),
            (('-object', 'memory-backend-memfd,id=r,size=1M,hugetlb=on'), 'hugetlbfs')):
        refused(*VIRT, *options, words=words)
    refused('-M', 'none', '-m', '32', '-numa', 'node', words='NUMA is not supported by this machine')


def on_a_terminal(*options):
    """What the process writes to a terminal before it is ended."""
    master, slave = pty.openpty()
    process = subprocess.Popen([EMULATOR, '-M', 'virt', '-bios', 'none', *options], stdin=slave,
                               stdout=slave, stderr=slave)
    os.close(slave)
    time.sleep(1)
    process.terminate()
    text = b''
    try:
        while chunk := os.read(master, 4096):
            text += chunk
    except OSError:     # the terminal's other side is closed
        pass
    process.wait(TIMEOUT)
    os.close(master)
    return text.decode()


def test_hint():
    """Who sees nothing is told what to do; who asked for something is left alone."""
    hint = '-nographic gives its console'
    expect(hint in on_a_terminal(), 'no hint')
    for options in (['-nographic'], ['-serial', 'null'], ['-monitor', 'null'], ['-nodefaults']):
        expect(hint not in on_a_terminal(*options), f'a hint with {options}')
    result = subprocess.run(['timeout', '1', EMULATOR, '-M', 'virt', '-bios', 'none'], text=True,
                            stdin=subprocess.DEVNULL, capture_output=True, check=False)
    expect(hint not in result.stderr, 'a hint without a terminal')


CONFIG = '''# a guest
[machine]
  type = "virt"
[memory]
  size = "64M"
[smp-opts]
  cpus = "2"
[name]
  guest = "one,two"
[object "r0"]
  qom-type = "rng-builtin"
[device "d0"]
  driver = "virtio-rng-device"
  rng = "r0"
'''


def test_readconfig():
    """The same guest as by options; a wrong line is named."""
    with tempfile.TemporaryDirectory() as tmp:
        path = tmp + '/guest.cfg'
        with open(path, 'w', encoding='ascii') as file:
            file.write(CONFIG)
        with Guest('-readconfig', path, '-bios', 'none', '-S') as guest:
            expect(guest('query-name') == {'name': 'one,two'}, 'the name')
            expect(len(guest('query-cpus-fast')) == 2, 'the harts')
            expect(guest('query-memory-size-summary')['base-memory'] == 64 << 20, 'the RAM')
            expect('d0' in str(guest('qom-list', path='/machine/peripheral')), 'the device')
        for text, words in (('[nosuch]\n', "line 1: There is no option group 'nosuch'"),
                            ('type = "virt"\n', 'line 1: no group defined'),
                            ('\n[machine]\n type = virt\n', 'line 3: expected KEY = "VALUE"'),
                            ('[machine\n', 'line 1: expected [GROUP]'),
                            ('[memory]\n size = "64x"\n', 'line 1: [memory]: Parameter'),
                            ('[machine "x"]\n type = "virt"\n', "'virt-machine.id' not found"),
                            ('[device "d"]\n driver = "no"\n', "'no' is not a valid device model")):
            with open(path, 'w', encoding='ascii') as file:
                file.write(text)
            refused('-readconfig', path, words=words)
        refused('-readconfig', tmp + '/none', words=f"Could not open '{tmp}/none'")


def test_query_machines():
    """Members and their kinds are those of QEMU 7.2, and no others."""
    members = {'name', 'cpu-max', 'hotpluggable-cpus', 'numa-mem-supported', 'deprecated',
               'default-ram-id'}
    with Guest('-M', 'none', '-S') as guest:
        machines = {m['name']: m for m in guest('query-machines')}
        expect(set(machines['none']) == members, str(machines['none']))
        expect(set(machines['virt']) == members | {'default-cpu-type'}, str(machines['virt']))
        expect(machines['virt']['numa-mem-supported'] and
               not machines['none']['numa-mem-supported'], str(machines))
        dialects = {m['name']: m['dialect'] for m in guest('x-query-machine-dialects')}
        expect(dialects['virt-7.2'] == '7.2' and set(dialects) == set(machines), str(dialects))


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


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # Meson's way to stop us: clean up
sys.exit(main())
