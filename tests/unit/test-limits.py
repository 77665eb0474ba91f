#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The limits of the process (setrlimit): what does not fit is an error with a sentence, and never the
end of a guest that runs. TAP on stdout.

usage: test-limits.py EMULATOR"""

import atexit
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

EMULATOR = os.path.abspath(sys.argv[1])
TIMEOUT = 30
MIB = 1 << 20
OPTIONS = ['-nodefaults', '-display', 'none', '-M', 'virt', '-bios', 'none', '-m', '64']
# Sanitizers keep terabytes of addresses for themselves: nothing runs under a limit there.
SANITIZED = subprocess.run(f'nm -D {EMULATOR} 2>/dev/null | grep -qE "__(asan|tsan)_init"',
                           shell=True, check=False).returncode == 0


class Skip(Exception):
    """Cannot be tried here."""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


STARTED = []


@atexit.register
def leave_nothing():
    """Also after a failed case, or when we are stopped."""
    for process in STARTED:
        if process.poll() is None:
            process.kill()


def start(options=(), limit=None, talk='', **kwargs):
    """talk: what stands on its standard input (at most a pipe takes)."""
    def before():
        no_core()
        if limit:
            resource.setrlimit(limit[0], (limit[1], limit[1]))
    here, there = os.pipe()
    os.write(there, talk.encode())
    os.close(there)
    STARTED.append(subprocess.Popen([EMULATOR, *OPTIONS, *options], stdin=here, text=True,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                    preexec_fn=before, **kwargs))
    os.close(here)
    return STARTED[-1]


class Guest:
    """One that runs, with a monitor."""

    def __init__(self, tmp, options=(), **environ):
        path = tmp + '/m'
        self.process = start(['-qmp', f'unix:{path},server=on,wait=off', *options],
                             env=dict(os.environ, **environ))
        end = time.monotonic() + TIMEOUT
        while not os.path.exists(path):
            expect(time.monotonic() < end, 'no monitor')
            time.sleep(0.01)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        while sock.connect_ex(path):    # the path is there a moment before anybody listens at it
            time.sleep(0.01)
        self.stream = sock.makefile('rw')
        self.stream.readline()
        self('qmp_capabilities')

    def __call__(self, command, **arguments):
        self.stream.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.stream.flush()
        while True:
            line = self.stream.readline()
            expect(line, f'{command}: the monitor is gone: {self.process.poll()}')
            answer = json.loads(line)
            if 'event' not in answer:
                return answer

    def limit(self, what, value):
        hard = resource.prlimit(self.process.pid, what)[1]
        resource.prlimit(self.process.pid, what, (value, hard))

    def address_space(self):
        with open(f'/proc/{self.process.pid}/status', encoding='ascii') as file:
            return int(re.search(r'VmSize:\s+(\d+)', file.read())[1]) * 1024

    def migrated(self, uri):
        """How it ended: (status, reason)."""
        answer = self('migrate', uri=uri)
        if 'error' in answer:
            return 'refused', answer['error']['desc']
        end = time.monotonic() + TIMEOUT
        while True:
            info = self('query-migrate')['return']
            if info.get('status') in ('completed', 'failed', 'cancelled'):
                return info['status'], info.get('error-desc', '')
            expect(time.monotonic() < end, f'still {info}')
            time.sleep(0.02)

    def must_run(self):
        status = self('query-status')['return']['status']
        expect(status == 'running', f'the guest is {status}')

    def close(self):
        self.process.terminate()
        _, stderr = self.process.communicate(timeout=TIMEOUT)
        expect(self.process.returncode == 0, f'exit {self.process.returncode}: {stderr}')


def refused(limit, *words, options=()):
    process = start(options, limit=limit)
    try:
        _, stderr = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    expect(process.returncode == 1, f'{limit}: exit {process.returncode}: {stderr}')
    for word in words:
        expect(word in stderr, f'{limit}: {stderr!r} lacks {word!r}')


def test_guest_ram_is_a_file():
    refused((resource.RLIMIT_FSIZE, MIB), 'riscv_virt_board.ram', '64.0 MiB', 'ulimit -f')
    with tempfile.TemporaryDirectory() as tmp:
        refused((resource.RLIMIT_FSIZE, MIB), 'riscv_virt_board.ram', 'ulimit -f',
                options=['-mem-path', tmp + '/ram'])


def test_file_cannot_grow():
    """A migration into a file, and the guest's memory into another: each fails, nothing else does."""
    with tempfile.TemporaryDirectory() as tmp:
        guest = Guest(tmp)
        guest.limit(resource.RLIMIT_FSIZE, 65536)
        status, reason = guest.migrated(f'file:{tmp}/image')
        expect(status == 'failed' and 'File too large' in reason, f'{status}: {reason}')
        guest.must_run()
        answer = guest('pmemsave', val=0x80000000, size=MIB, filename=tmp + '/dump')
        expect('File too large' in answer.get('error', {}).get('desc', ''), str(answer))
        guest.must_run()
        guest.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
        expect(guest.migrated(f'file:{tmp}/image')[0] == 'completed', 'not even without the limit')
        guest.close()


def test_child_has_its_own():
    """What we ignore, a command of exec: gets as it is by default."""
    with tempfile.TemporaryDirectory() as tmp:
        guest = Guest(tmp)
        status, _ = guest.migrated(f"exec:grep SigIgn /proc/self/status >{tmp}/ign; cat >/dev/null")
        expect(status == 'completed', status)
        with open(tmp + '/ign', encoding='ascii') as file:
            ignored = int(file.read().split()[1], 16)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            expect(not ignored >> (number - 1) & 1, f'{number!r} is ignored in the command')
        guest.close()


def test_address_space():
    """Whatever large thing is the first that does not fit, its name and a remedy are said."""
    if SANITIZED:
        raise Skip('built with a sanitizer')
    seen = set()
    for mib in (64, 100, 130):
        process = start(limit=(resource.RLIMIT_AS, mib * MIB))
        _, stderr = process.communicate(timeout=TIMEOUT)
        expect(process.returncode == 1 and 'ulimit -v' in stderr and ' MiB:' in stderr,
               f'{mib} MiB: exit {process.returncode}: {stderr!r}')
        seen.add(re.search("RAM block '([^']+)'", stderr)[1])
    expect(len(seen) > 1, f'always {seen}: the limits show nothing')


def test_no_limit_aborts():
    """Each limit is enough, or an error says what did not fit: at none does a small allocation fail,
    which would be a signal. Around the places where something large has just found its room."""
    if SANITIZED:
        raise Skip('built with a sanitizer')

    def runs(kib):
        process = start(['-qmp', 'stdio'], limit=(resource.RLIMIT_AS, kib * 1024),
                        talk='{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n')
        _, stderr = process.communicate(timeout=TIMEOUT)
        expect(process.returncode in (0, 1), f'{kib} KiB: exit {process.returncode}: {stderr!r}')
        expect(process.returncode == 0 or 'ulimit -v' in stderr, f'{kib} KiB: {stderr!r}')
        said = re.search("RAM block '[^']+'|decoded guest code|thread '[^']+'", stderr)
        return said[0] if said else None

    said, edges = [None], 0
    low = 100 << 10
    while (what := runs(low)) is not None:
        if what != said[-1]:    # it is the next that does not fit: here the last was the last that fits
            said.append(what)
            edges += 1
            for kib in range(low - 1024, low + 1024, 128):
                runs(kib)
        low += 1024
        expect(low < 1 << 20, 'nothing is enough')
    for kib in range(low - 1024, low + 1024, 64):
        runs(kib)
    expect(edges > 3, f'{said}: the limits show nothing')


def test_no_more_threads_and_memory():
    """A guest that runs under a limit that was reached: a migration fails, the guest does not."""
    if SANITIZED:
        raise Skip('built with a sanitizer')
    with tempfile.TemporaryDirectory() as tmp:
        # The C library keeps the stacks of threads that have ended: with one of those in hand the
        # next thread needs no room.
        guest = Guest(tmp, GLIBC_TUNABLES='glibc.pthread.stack_cache_size=0')
        room = guest.address_space()
        guest.limit(resource.RLIMIT_AS, room + 2 * MIB)     # a thread's stack takes 8
        status, reason = guest.migrated(f'file:{tmp}/image')
        expect(status == 'refused' and "cannot start the thread 'live_migration'" in reason and
               'ulimit -v' in reason, f'{status}: {reason}')
        guest.must_run()
        answer = guest('query-migrate')['return']
        expect(answer['status'] == 'failed', str(answer))
        answer = guest('dump-guest-memory', paging=False, protocol=f'file:{tmp}/dump', detach=True)
        expect("cannot start the thread 'dump'" in answer['error']['desc'], str(answer))
        guest.must_run()
        # Room for the thread, not for the page cache.
        guest.limit(resource.RLIMIT_AS, room + 100 * MIB)
        guest('migrate-set-capabilities', capabilities=[{'capability': 'xbzrle', 'state': True}])
        guest('migrate-set-parameters', **{'xbzrle-cache-size': 1 << 30})
        status, reason = guest.migrated(f'exec:cat >{tmp}/image')
        expect(status == 'failed' and 'cache' in reason, f'{status}: {reason}')
        guest.must_run()
        guest.limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
        expect(guest.migrated(f'file:{tmp}/image')[0] == 'completed', 'not even without the limit')
        guest.close()


def main():
    tests = [(name, fn) for name, fn in globals().items() if name.startswith('test_')]
    failed = 0
    print(f'1..{len(tests)}')
    for i, (name, fn) in enumerate(tests, 1):
        try:
            fn()
            print(f'ok {i} - {name}', flush=True)
        except Skip as reason:
            print(f'ok {i} - {name} # SKIP {reason}', flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f'not ok {i} - {name}\n# {type(error).__name__}: {error}', flush=True)
    return 1 if failed else 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # Meson's way to stop us: clean up
sys.exit(main())
