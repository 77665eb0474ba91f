#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The human monitor on a real terminal: a migrate in the foreground that Ctrl-C and Esc cancel,
what is typed meanwhile, and the terminal after Ctrl-Z and fg. TAP on stdout.

usage: test-terminal.py EMULATOR"""

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import time

EMULATOR = os.path.abspath(sys.argv[1])
TIMEOUT = 60
LIVE = '[^C cancels]'


class Terminal:
    """A machine whose monitor is the terminal that it has to itself."""

    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(EMULATOR, [EMULATOR, '-nodefaults', '-display', 'none', '-M', 'virt', '-m', '64',
                                '-bios', 'none', '-S', '-monitor', 'stdio', *args])
        self.text = ''

    def __enter__(self):
        self.expect('(qemu) ')
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def expect(self, wanted):
        """Reads until wanted is there; returns what came before, and forgets both."""
        end = time.monotonic() + TIMEOUT
        while wanted not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f'no {wanted!r} in {self.text[-400:]!r}')
            try:
                self.text += os.read(self.fd, 4096).decode(errors='replace')
            except OSError as gone:
                raise AssertionError(f'it has ended; {self.text[-400:]!r}') from gone
        before, self.text = self.text.split(wanted, 1)
        return before

    def command(self, line):
        self.type(line + '\n')
        self.expect('\n')
        return self.expect('(qemu) ')

    def migrate_slowly(self):
        self.command('migrate_set_parameter max-bandwidth 4k')
        self.type('migrate "exec:cat >/dev/null"\n')
        self.expect(LIVE)


def test_ctrl_c_cancels_the_migration_only():
    with Terminal() as t:
        t.migrate_slowly()
        t.type('\x03')
        t.expect('migration cancelled')
        t.expect('(qemu) ')
        assert 'paused' in t.command('info status')
        # and again: a second migration is no memory of the first
        t.migrate_slowly()
        t.expect(LIVE)
        t.type('\x03')
        t.expect('migration cancelled')
        t.expect('(qemu) ')


def test_escape_cancels_and_arrow_keys_do_not():
    with Terminal() as t:
        t.migrate_slowly()
        t.type('\x1b[A')
        for _ in range(4):
            t.expect(LIVE)
        assert 'cancelled' not in t.text
        t.type('\x1b')
        t.expect('migration cancelled')


def test_what_is_typed_meanwhile_is_read_afterwards():
    with Terminal() as t:
        t.migrate_slowly()
        t.type('info status\n')
        t.expect(LIVE)
        t.type('\x03')
        t.expect('migration cancelled')
        t.expect('VM status: paused')


def test_keys_that_would_stop_the_process_are_ignored():
    with Terminal() as t:
        t.migrate_slowly()
        t.type('\x1a\x1cinfo status\n')
        t.expect(LIVE)
        t.type('\x03')
        t.expect('migration cancelled')
        before = t.expect('VM status: paused')
        assert '\a' not in before, repr(before)


def test_the_live_line_is_wiped():
    with Terminal() as t:
        t.migrate_slowly()
        t.type('\x03')
        before = t.expect('migration cancelled')
        assert before.endswith('\r\x1b[K'), repr(before[-60:])


def test_ctrl_c_without_a_migration_still_ends_the_process():
    with Terminal() as t:
        t.migrate_slowly()
        t.type('\x03')
        t.expect('(qemu) ')
        t.type('\x03')
        t.expect('terminating on signal 2')


def test_cont_after_the_guest_has_left_asks_once():
    with Terminal() as t:
        assert 'completed' in t.command('migrate "exec:cat >/dev/null"')
        answer = ' '.join(t.command('cont').split())
        assert 'cont -f' in answer and 'was sent to' in answer, answer
        assert 'and runs there;' not in answer, answer
        steps = t.command('info migrate -a')
        assert 'all sent' in steps and 'confirmed' not in steps, steps
        assert 'postmigrate' in t.command('info status')
        assert 'Warning' not in t.command('cont -f')
        assert 'running' in t.command('info status')


def test_a_reset_does_not_bring_the_guest_back():
    with Terminal() as t:
        assert 'completed' in t.command('migrate "exec:cat >/dev/null"')
        t.command('system_reset')
        for _ in range(100):
            if 'prelaunch' in t.command('info status'):
                break
        assert 'cont -f' in t.command('cont')
        assert 'Warning' not in t.command('cont -f')
        t.command('stop')
        assert 'Warning' not in t.command('cont')


def test_cont_after_a_save_does_not_ask():
    with Terminal() as t:
        done = t.command('migrate file:/dev/null')
        assert 'completed' in done and 'accepted' not in done, done
        assert 'Warning' not in t.command('cont')
        assert 'running' in t.command('info status')


def test_near_misses():
    with Terminal() as t:
        assert "did you mean 'xbzrle'?" in t.command('migrate_set_capability xbzlre on')
        assert "Did you mean 'max-bandwidth'?" in t.command('migrate_set_parameter max_bandwith 1')


def test_the_terminal_is_ours_again_after_fg():
    with Terminal() as t:
        ours = termios.tcgetattr(t.fd)
        assert not ours[3] & (termios.ECHO | termios.ICANON)
        os.kill(t.pid, signal.SIGSTOP)
        os.waitpid(t.pid, os.WUNTRACED)
        shells = termios.tcgetattr(t.fd)
        shells[3] |= termios.ECHO | termios.ICANON
        termios.tcsetattr(t.fd, termios.TCSANOW, shells)
        os.kill(t.pid, signal.SIGCONT)
        end = time.monotonic() + TIMEOUT
        while termios.tcgetattr(t.fd)[3] & (termios.ECHO | termios.ICANON):
            assert time.monotonic() < end, 'still the modes of the shell'
            time.sleep(0.02)
        assert 'paused' in t.command('info status')


def test_who_sees_the_prompt_can_connect():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    with Terminal('-incoming', f'tcp:127.0.0.1:{port}') as t:
        socket.create_connection(('127.0.0.1', port), TIMEOUT).close()
        t.expect('\n')


def test_nobody_is_greeted_where_nobody_can_come():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen(1)
        uri = 'tcp:127.0.0.1:%d' % taken.getsockname()[1]
        for monitor in ('-monitor', '-qmp'):
            run = subprocess.run([EMULATOR, '-nodefaults', '-display', 'none', '-M', 'none', monitor, 'stdio',
                                  '-incoming', uri], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                 timeout=TIMEOUT, check=False)
            assert run.returncode == 1 and 'Address already in use' in run.stderr, run.stderr
            assert not run.stdout, f'{monitor}: {run.stdout!r} before it failed'


def main():
    tests = [(name, fn) for name, fn in globals().items() if name.startswith('test_')]
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
