# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests, and what can be read from their consoles. tests/guest/README.md describes both."""
import os
import re
import time

from . import emulators
from .tap import Failed, check

STATUS = re.compile(r'^(loadgen|checker|idle|touch): (gen=.*)$')
BEAT = re.compile(r'^beat (\d+) up=([0-9.]+)$')

# What a shell sends to a terminal besides text.
ESCAPES = re.compile('\x1b\\[[0-9;]*[A-Za-z]')


class Bare:
    """The bare-metal guest on -M virt: starts in milliseconds."""
    ram_base = 0x80000000
    bare = True

    def __init__(self, mode='checker', memory=32, harts=1, **options):
        self.mode = mode
        self.memory = memory  # MiB
        self.harts = harts
        self.options = options

    def args(self, emulator):
        words = ['mode=' + self.mode] + ['%s=%s' % o for o in self.options.items()]
        if not emulator.restores_clint and 'sstc' not in self.options:
            words.append('sstc=1')
        return ['-M', emulator.machine, '-cpu', emulator.cpu, '-m', '%dM' % self.memory,
                '-smp', str(self.harts), '-bios', 'none',
                '-kernel', emulators.guest_program('bare.elf'), '-append', ' '.join(words)]


class BareNone:
    """A bare-metal guest on -M none: no console, its report is in memory."""
    ram_base = 0
    bare = True
    mode = 'none'
    harts = 1

    def __init__(self, mode='checker', memory=16):
        self.program = 'bare-none-%s.elf' % mode
        self.memory = memory

    def args(self, emulator):
        return ['-M', 'none', '-cpu', emulator.cpu, '-m', '%dM' % self.memory,
                '-device', 'loader,file=' + emulators.guest_program(self.program)]


class Linux:
    """Debian's kernel with our init; `mode` is what init runs, `options` what that is given."""
    ram_base = 0x80000000
    bare = False

    def __init__(self, mode='checker', memory=128, harts=1, shell=False, **options):
        self.mode = mode
        self.memory = memory
        self.harts = harts
        self.shell = shell
        self.options = options

    def args(self, emulator):
        kernel, initrd = emulators.linux_guest()
        words = 'console=ttyS0 quiet ferry=%s' % self.mode
        if self.options:
            words += ' ferry.args=' + ','.join('%s=%s' % o for o in self.options.items())
        if self.shell:
            words += ' ferry.shell=1'
        return ['-M', emulator.machine, '-cpu', emulator.cpu, '-m', '%dM' % self.memory,
                '-smp', str(self.harts), '-bios', emulators.OPENSBI,
                '-kernel', kernel, '-initrd', initrd, '-append', words]


class Status:
    """One status line of a guest program."""

    def __init__(self, program, text):
        fields = dict(f.split('=', 1) for f in text.split())
        self.program = program
        self.text = text
        self.generations = [int(g) for g in fields['gen'].split(',')]
        self.ms = int(fields['ms'])
        self.ticks = int(fields.get('ticks', 0))
        self.late = int(fields.get('late', 0))
        self.bad = int(fields.get('bad', 0))
        self.back = int(fields.get('back', 0))
        self.registers = int(fields.get('regs', 0))

    def check_clean(self, where):
        """The guest itself has found nothing wrong."""
        check(self.bad == 0, '%s: the guest found %d wrong pages or bytes: %s', where, self.bad,
              self.text)
        check(self.back == 0, '%s: the guest\'s clock went backwards: %s', where, self.text)
        check(self.registers == 0, '%s: a register lost its value: %s', where, self.text)

    def check_follows(self, earlier, where):
        """Nothing in this line is older than in an earlier one."""
        check(len(self.generations) == len(earlier.generations), '%s: harts came or went: %s -> %s',
              where, earlier.text, self.text)
        for old, new in zip(earlier.generations, self.generations):
            check(new >= old, '%s: generation went back: %s -> %s', where, earlier.text, self.text)
        check(self.ticks >= earlier.ticks, '%s: ticks went back: %s -> %s', where, earlier.text,
              self.text)
        check(self.ms >= earlier.ms, '%s: time went back: %s -> %s', where, earlier.text,
              self.text)


class Console:
    """What a guest has printed so far: a growing file, and a pipe for what is typed."""

    def __init__(self, path, stdin):
        self.path = path
        self._stdin = stdin

    def text(self):
        try:
            with open(self.path, 'rb') as f:
                text = f.read().decode('utf-8', 'replace').replace('\r\n', '\n')
                return ESCAPES.sub('', text)
        except FileNotFoundError:
            return ''

    def type(self, text):
        os.write(self._stdin, text.encode())

    def wait_for(self, pattern, timeout=60, start=0):
        """The first match of the pattern after position `start`, as soon as it is there."""
        end = time.monotonic() + timeout
        while True:
            match = re.compile(pattern, re.M).search(self.text(), start)
            if match:
                return match
            if time.monotonic() > end:
                raise Failed('console %s: no %r within %g s; it ends with: %r' %
                             (os.path.basename(self.path), pattern, timeout, self.text()[-300:]))
            time.sleep(0.01)

    def statuses(self, prefix=''):
        """All complete status lines. `prefix` is what the guest printed elsewhere of the line it
        was in the middle of."""
        text = prefix + self.text()
        found = []
        for line in text[:text.rfind('\n') + 1].splitlines():
            match = STATUS.match(line)
            if match:
                found.append(Status(match.group(1), match.group(2)))
        return found

    def wait_statuses(self, count, timeout=60, prefix=''):
        end = time.monotonic() + timeout
        while True:
            found = self.statuses(prefix)
            if len(found) >= count:
                return found
            if time.monotonic() > end:
                raise Failed('console %s: %d status lines within %g s, %d expected; it ends with: '
                             '%r' % (os.path.basename(self.path), len(found), timeout, count,
                                     self.text()[-300:]))
            time.sleep(0.01)

    def last_line_begun(self):
        """The part of a line that has no end yet."""
        text = self.text()
        return text[text.rfind('\n') + 1:]
