#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual page of ferry-system-riscv64 is true: it can be set in type, each of its examples starts,
and the human monitor takes each setting it names. TAP on stdout.

usage: test-manual.py EMULATOR MANUAL-PAGE"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time

EMULATOR, PAGE = (os.path.abspath(a) for a in sys.argv[1:3])
TIMEOUT = 60


class Skip(Exception):
    pass


def need(condition, what):
    """A user's machine may lack it; where everything has to be there (CI is set), its absence is a failure."""
    if not condition:
        raise AssertionError(what) if os.environ.get('CI') else Skip(what)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def page():
    with open(PAGE, encoding='ascii') as f:
        return f.read()


def plain(text):
    return text.replace('\\-', '-').replace('\\e', '\\').replace('\\fB', '').replace('\\fR', '')


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


class Process:
    """An emulator with a QMP socket."""

    def __init__(self, words, folder):
        path = os.path.join(folder, 'qmp')
        if os.path.exists(path):
            os.unlink(path)
        self.process = subprocess.Popen(
            [EMULATOR, *words, '-qmp', 'unix:%s,server=on,wait=off' % path], cwd=folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
            if self.process.poll() is not None or time.monotonic() > end:
                text = self.process.communicate()[1]
                raise AssertionError('%s: does not start: %s' % (shlex.join(words), text))
            time.sleep(0.02)
        self.socket.settimeout(TIMEOUT)
        self.file = self.socket.makefile('rw')
        self.file.readline()
        self.command('qmp_capabilities')

    def command(self, name, **arguments):
        self.file.write(json.dumps({'execute': name, 'arguments': arguments}) + '\n')
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            expect('error' not in answer, str(answer))
            if 'return' in answer:
                return answer['return']

    def hmp(self, line):
        return self.command('human-monitor-command', **{'command-line': line})

    def wait(self, command, status):
        end = time.monotonic() + TIMEOUT
        while self.command(command).get('status') != status:
            expect(time.monotonic() < end, '%s: not %s' % (command, status))
            time.sleep(0.05)

    def end(self):
        self.command('quit')
        self.file.close()
        self.socket.close()
        _, text = self.process.communicate(timeout=TIMEOUT)
        expect(self.process.returncode == 0, 'exit status %d: %s' % (self.process.returncode, text))


def set_in_type(_folder):
    need(shutil.which('groff'), 'groff is missing (package groff-base)')
    done = subprocess.run(['groff', '-man', '-Tascii', '-P-cbou', '-ww', PAGE], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT)
    words = done.stderr.decode()
    # lines that are too long to be broken are what examples are
    bad = [w for w in words.splitlines() if 'break' not in w and 'adjust' not in w]
    expect(done.returncode == 0 and not bad, '\n'.join(bad))
    text = done.stdout.decode()
    for section in ('SYNOPSIS', 'MIGRATION', 'EXAMPLES', 'EXIT STATUS', 'SEE ALSO'):
        expect(section in text, section + ' is missing')


def make_files(folder):
    for name, size in (('Image', 4096), ('initrd.cpio', 1000), ('disk.img', 1 << 20)):
        with open(os.path.join(folder, name), 'wb') as f:
            f.truncate(size)


def examples_start(folder):
    examples = [plain(l) for l in page().split('.SH EXAMPLES')[1].splitlines()
                if l.startswith('ferry\\-system')]
    expect(len(examples) >= 5, str(examples))
    make_files(folder)
    first = Process(['-M', 'virt', '-m', '512M', '-display', 'none', '-bios', 'none', '-S'], folder)
    saved = re.search(r'migrate "exec:(.*?)"', plain(page())).group(1)
    has_zstd = shutil.which('zstd') is not None
    if has_zstd:
        first.hmp('migrate "exec:%s"' % saved)
        first.wait('query-migrate', 'completed')
    no_slirp = subprocess.run([EMULATOR, '-netdev', 'user,id=a', '-M', 'none', '-S', '-monitor',
                               'stdio', '-display', 'none'], input='quit\n', text=True,
                              capture_output=True, timeout=TIMEOUT)
    first.end()
    port = free_port()
    for example in examples:
        if ('zstd' in example and not has_zstd) or ('netdev user' in example and no_slirp.returncode):
            continue
        words = shlex.split(example.replace(':4444', ':' + port).replace(':2222', ':' + free_port()))
        p = Process(words[1:] + ['-bios', 'none', '-S'], folder)
        if 'zstd' in example:
            p.wait('query-status', 'prelaunch')
        p.end()


def settings_are_taken(folder):
    terms = [plain(l) for l in page().split('.SH MIGRATION')[1].split('.SH ')[0].splitlines()]
    commands = [t for t in terms if t.startswith('migrate_set_')]
    expect(len(commands) >= 4, str(commands))
    p = Process(['-M', 'none', '-display', 'none', '-S'], folder)
    for command in commands:
        expect(p.hmp(command) == '', command)
    p.end()


CASES = [set_in_type, examples_start, settings_are_taken]


def main():
    failed = 0
    print('TAP version 13\n1..%d' % len(CASES), flush=True)
    for number, case in enumerate(CASES, 1):
        title = case.__name__.replace('_', ' ')
        with tempfile.TemporaryDirectory(prefix='ferry-manual-') as folder:
            try:
                case(folder)
                print('ok %d - %s' % (number, title), flush=True)
            except Skip as why:
                print('ok %d - %s # SKIP %s' % (number, title, why), flush=True)
            except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                failed += 1
                print('not ok %d - %s' % (number, title), flush=True)
                for line in str(error).splitlines() or [repr(error)]:
                    print('# ' + line, flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
