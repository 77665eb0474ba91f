#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command blocks of README.md and the user guide, typed as a reader would: each into the shell or the
monitor of a terminal of its own, and what they promise is looked at. A block that no case types must
be named in SHOWN, so that none is forgotten.
"""
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest.tap import Case, Failed, check, main, need, wait_until  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('FERRY_BUILD', os.path.join(TOP, 'build')))
OPENSBI = '/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_jump.bin'
TIMEOUT = 180
PROMPT = 'READY$ '
SHELL = "guest# "

# First lines of blocks that show something, or are tried by somebody else.
SHOWN = {
    'README.md': {
        'git clone URL ferry && cd ferry': 'tests/build and scripts/check clone, demo is a test of its own',
        'scripts/install-packages build': 'needs root; .ci/run and tests/build do it',
    },
    'docs/system/user-guide.md': {
        'switchover asked: 0.000 ms                 switchover first device: 0.000 ms': 'output',
        'decision: 13.0 MiB remain, only 9.6 MiB fit into 300 ms at 32.0 MiB/s': 'output',
        'qemu 7.2   -->  ferry -M virt-10.0  -->  qemu 10.0 (-M virt,acpi=off)': 'tests/interop crosses',
    },
}


# ---- the documents ----

def blocks(path):
    """{first line: lines} of what is indented by four behind an empty line; of twins: "first line#1"."""
    found, now, empty = [], None, False
    with open(os.path.join(TOP, path), encoding='utf-8') as f:
        for line in f.read().split('\n') + ['']:
            if line.startswith('    ') and (now is not None or empty):
                now = (now or []) + [line.strip()]
            elif now is not None:
                found.append(now)
                now = None
            empty = not line.strip()
    firsts = [lines[0] for lines in found]
    return {first + ('#%d' % firsts[:i].count(first) if firsts.count(first) > 1 else ''): lines
            for i, (first, lines) in enumerate(zip(firsts, found))}


class Document:
    def __init__(self, path):
        self.path, self.blocks = path, blocks(path)

    def block(self, start):
        """The lines of the one block whose first line begins so."""
        hits = [first for first in self.blocks if first.startswith(start)]
        check(len(hits) == 1, '%s: %d blocks begin with %r' % (self.path, len(hits), start))
        return self.blocks[hits[0]]


README = Document('README.md')
GUIDE = Document('docs/system/user-guide.md')


def monitor_lines(block):
    return [re.sub(r'\s+#.*', '', line[len('(qemu) '):]) for line in block if line.startswith('(qemu) ')]


# ---- a terminal ----

class Terminal:
    """A shell in a terminal, in a folder that looks like the source folder."""

    def __init__(self, folder):
        self.text = ''
        environ = dict(os.environ, PS1=PROMPT, TERM='xterm', FERRY_BUILD=BUILD,
                       PATH=BUILD + ':' + os.environ['PATH'])
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe('bash', ['bash', '--norc', '--noprofile', '--noediting', '-i'], environ)
        self.expect(PROMPT)

    def close(self):
        try:
            os.killpg(os.tcgetpgrp(self.fd), signal.SIGKILL)
        except OSError:
            pass
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, *wanted):
        """Reads until one of wanted is there; returns what came before it, and forgets both."""
        end = time.monotonic() + TIMEOUT
        while not any(w in self.text for w in wanted):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise Failed('no %r in %r' % (wanted, self.text[-600:]))
            try:
                self.text += os.read(self.fd, 4096).decode(errors='replace')
            except OSError as gone:
                raise Failed('the terminal ended: %r' % self.text[-600:]) from gone
        word = min((w for w in wanted if w in self.text), key=self.text.index)
        before, self.text = self.text.split(word, 1)
        return before

    def shell(self, lines):
        """Types the lines of a block into the shell; each has to succeed."""
        for line in lines:
            self.type(line + '\n')
            self.expect('\n')
            self.expect(PROMPT)
            self.type('echo status=$?\n')
            self.expect('status=$?')
            self.expect('status=')
            status = self.expect('\n').strip()
            check(status == '0', '%r ended with %s' % (line, status))
            self.expect(PROMPT)

    def start(self, lines, until='(qemu) '):
        """Starts the program of a block and waits for its monitor, or until it says so."""
        for line in lines:
            self.type(line + '\n')
        self.expect(until)

    def monitor(self, line):
        self.type(line + '\n')
        self.expect('\n')
        return self.expect('(qemu) ')

    def quit(self):
        self.type('quit\n')
        self.expect(PROMPT)


class Desk:
    """Terminals in the case's folder; paths under /tmp in the documents mean that folder."""

    def __init__(self, bench):
        self.folder = bench.dir
        for name in os.listdir(TOP):
            if not name.startswith(('build', '.')):
                os.symlink(os.path.join(TOP, name), os.path.join(self.folder, name))
        os.symlink(BUILD, os.path.join(self.folder, 'build'))
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.port = str(s.getsockname()[1])
        self.terminals = []

    def terminal(self):
        self.terminals.append(Terminal(self.folder))
        return self.terminals[-1]

    def here(self, lines):
        """The block as it is typed here: its own port and folder, for other tests run, too."""
        return [re.sub(r'(?<![\w/])(/var)?/tmp/', self.folder + '/', line).replace('4444', self.port)
                for line in lines]

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        try:
            with open(self.path(name), encoding='ascii', errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def wait_for(self, name, pattern):
        wait_until(lambda: re.search(pattern, self.read(name)), TIMEOUT, '%r in %s' % (pattern, name), 0.1)

    def close(self):
        for t in self.terminals:
            t.close()


def need_guest():
    guest = subprocess.run([os.path.join(TOP, 'scripts', 'fetch-guest'), '--print'], capture_output=True,
                           text=True, check=True).stdout.strip()
    for path in (os.path.join(guest, 'Image'), os.path.join(guest, 'initrd.cpio'), OPENSBI):
        need(os.path.exists(path), '%s is not there', path)


def last_beat(text):
    beats = re.findall(r'^beat (\d+)', text, re.M)
    return int(beats[-1]) if beats else -1


# ---- README.md ----

def readme_pair(desk):
    """Both terminals of the README, up to two monitors."""
    here, there = desk.terminal(), desk.terminal()
    for t in (here, there):
        t.shell(README.block('guest=$(scripts/fetch-guest)'))
    return here, there


def by_hand(desk):
    """A first migration by hand, with the human monitor."""
    here, there = readme_pair(desk)
    here.start(README.block('build/ferry-system-riscv64 $machine -append'))
    there.start(desk.here(README.block('build/ferry-system-riscv64 $machine -serial file:there.txt')))
    desk.wait_for('here.txt', r'beat 2\b')
    lines = desk.here(monitor_lines(README.block('(qemu) migrate_set_capability xbzrle on')))
    here.monitor(lines[0])
    here.type(lines[1] + '\n')
    here.expect('migration completed in ')
    here.expect('(qemu) ')
    check('Migration status: completed' in here.monitor(lines[2]), 'info migrate')
    beats = last_beat(desk.read('here.txt'))
    desk.wait_for('there.txt', r'beat %d\b' % (beats + 2))
    here.quit()
    there.quit()


def load_generator(desk):
    """The guest that writes: without XBZRLE it will not finish, with it it does."""
    here, there = readme_pair(desk)
    for t in (here, there):
        t.shell(desk.here(README.block('scripts/make-initrd')))
    start = desk.here(README.block('build/ferry-system-riscv64 $machine -append'))
    start = [line.replace('ferry=idle', 'ferry=loadgen ferry.args=size=32M,rate=16M') for line in start]
    here.start(start)
    waits = desk.here(README.block('build/ferry-system-riscv64 $machine -serial file:there.txt'))
    there.start(waits)
    desk.wait_for('here.txt', r'loadgen: gen=\d')
    here.monitor('migrate_set_parameter max-bandwidth 12M')
    lines = desk.here(monitor_lines(README.block('(qemu) migrate_set_capability xbzrle on')))
    here.type(lines[1] + '\n')
    here.expect('will not finish: ')
    here.type('\x03')
    here.expect('migration cancelled')
    here.expect('(qemu) ')
    there.expect(PROMPT)        # its source has gone: it ends
    there.start(waits)
    here.monitor(lines[0])
    here.type(lines[1] + '\n')
    here.expect('migration completed in ')
    here.expect('(qemu) ')
    check(re.search(r'xbzrle pages: [1-9]', here.monitor(lines[2])), 'no page went as a difference')


def qmp(desk):
    """The same with QMP."""
    here, there = readme_pair(desk)
    sockets = {}
    for t, side, more in ((here, 'here', ''), (there, 'there', ' -incoming defer')):
        start = README.block('build/ferry-system-riscv64 $machine -append') if side == 'here' \
            else README.block('build/ferry-system-riscv64 $machine -serial file:there.txt')
        line = re.sub(r' -incoming .*', '', ' '.join(start))
        line = line.replace('-monitor stdio', '-qmp unix:/tmp/%s.qmp,server=on,wait=off%s' % (side, more))
        t.type(desk.here([line])[0] + '\n')
        sockets[side] = connect(desk.path(side + '.qmp'))
    answers = speak(sockets['there'], desk.here(README.block('{"execute": "qmp_capabilities"}#0')))
    answers += speak(sockets['here'], desk.here(README.block('{"execute": "qmp_capabilities"}#1')))
    check(all('return' in a for a in answers), str(answers))

    def completed():
        info = speak(sockets['here'], ['{"execute": "query-migrate"}'])[0]['return']
        check(info['status'] != 'failed', str(info))
        return info['status'] == 'completed'
    wait_until(completed, TIMEOUT, 'its end', 0.1)


def connect(path):
    wait_until(lambda: os.path.exists(path), TIMEOUT, path, 0.1)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        f = s.makefile('rw')
    json.loads(f.readline())
    return f


def speak(f, lines):
    answers = []
    for line in lines:
        f.write(line + '\n')
        f.flush()
        answer = json.loads(f.readline())
        while 'event' in answer:
            answer = json.loads(f.readline())
        answers.append(answer)
    return answers


def into_a_file(desk):
    """Into a file and back, and the sizes that the README names."""
    here, there = readme_pair(desk)
    here.start(README.block('build/ferry-system-riscv64 $machine -append'))
    desk.wait_for('here.txt', r'beat 1\b')
    lines = desk.here(monitor_lines(README.block('(qemu) migrate_set_capability mapped-ram on')))
    here.monitor(lines[0])
    here.type(lines[1] + '\n')
    here.expect('migration completed in ')
    state = os.stat(desk.path('guest.state'))
    check(324 << 20 <= state.st_size < 326 << 20, 'size: %d' % state.st_size)
    check(20 << 20 < state.st_blocks * 512 < 80 << 20, 'on the disk: %d' % (state.st_blocks * 512))
    beats = last_beat(desk.read('here.txt'))
    waits = README.block('build/ferry-system-riscv64 $machine -serial file:there.txt')
    there.start([re.sub(r'-incoming .*', '-incoming defer', line) for line in waits])
    there.monitor(lines[0])
    there.monitor('migrate_incoming file:' + desk.path('guest.state'))
    desk.wait_for('there.txt', r'beat %d\b' % (beats + 2))


# ---- the user guide ----

def guide_shell(desk, start):
    """Starts what the block starts; the guest's own shell is waited for."""
    t = desk.terminal()
    t.shell(GUIDE.block('guest=$(scripts/fetch-guest)')[:1])
    t.start(start, until=SHELL)
    return t


def start_a_guest(desk):
    t = guide_shell(desk, GUIDE.block('guest=$(scripts/fetch-guest)')[1:])
    t.type('nproc\n')
    t.expect('\n2')
    t.expect(SHELL)
    t.type('\x01h')
    t.expect('C-a c')
    t.type('\x01c')
    t.expect('(qemu) ')
    t.quit()


def disk_and_network(desk):
    block = GUIDE.block('qemu-img create disk.img 1G')
    other = block[0].split('or: ')[1]
    desk_shell = desk.terminal()
    desk_shell.shell([block[0] if shutil.which('qemu-img') else other])
    t = guide_shell(desk, [re.sub('127.0.0.1:2222', '127.0.0.1:' + desk.port, line) for line in block[1:]])
    disk, net = GUIDE.block('guest# echo hello')
    t.type(disk[len(SHELL):] + '\n')
    t.expect('/dev/vda\r')
    t.expect('hello')
    t.expect(SHELL)
    with open(desk.path('disk.img'), 'rb') as f:
        check(f.read(5) == b'hello', 'the disk does not say hello')
    server = subprocess.Popen([sys.executable, '-m', 'http.server', '0', '--bind', '127.0.0.1'],
                              cwd=desk.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env=dict(os.environ, PYTHONUNBUFFERED='1'), text=True)
    try:
        port = re.search(r'port (\d+)', server.stdout.readline()).group(1)
        t.type(re.sub(r'\s+#.*', '', net)[len(SHELL):].replace('8000', port) + '\n')
        t.expect('disk.img</a>')
        t.expect(SHELL)
    finally:
        server.kill()
        server.wait()


SMALL = 'ferry-system-riscv64 -M virt -m 256M -nographic -kernel $guest/Image -initrd $guest/initrd.cpio'
SAME = 'ferry-system-riscv64 <the same options>'
WAITS = SMALL + ' -monitor stdio -serial file:there.txt -incoming defer'


def with_monitor(desk):
    """A guest of the guide with a shell, up to its monitor."""
    t = guide_shell(desk, [SMALL + ' -append "console=ttyS0 ferry=shell"'])
    t.type('\x01c')
    t.expect('(qemu) ')
    return t


def with_focus(t, command):
    """Starts a destination whose console has the terminal, up to its monitor."""
    t.type(command + '\n')
    t.expect('\n')
    t.type('\x01c')
    t.expect('(qemu) ')


def waiting(desk):
    """The shell that a destination is started from."""
    t = desk.terminal()
    t.shell(GUIDE.block('guest=$(scripts/fetch-guest)')[:1])
    return t


def completed(t, command):
    t.type(command + '\n')
    t.expect('migration completed in ')
    t.expect('(qemu) ')


def lives(t, there):
    """The guest, whose monitor is there, still has its shell."""
    if there:
        t.type('\x01c')
    t.type('echo back$((40 + 2))\n')
    t.expect('back42')


def moving(desk):
    """As the guide begins: a destination that waits, and a source."""
    here, there = with_monitor(desk), waiting(desk)
    dest, *source = [re.sub(r'^\w+: +', '', line) for line in desk.here(GUIDE.block('destination:  ferry'))]
    with_focus(there, dest.replace(SAME, SMALL))
    for line in monitor_lines(source):
        answer = here.monitor(line.replace('tcp:destination:', 'tcp:127.0.0.1:'))
    check('Migration status: ' in answer, answer)
    lives(there, True)


def several_connections(desk):
    here, there = with_monitor(desk), waiting(desk)
    there.start([WAITS])
    lines = monitor_lines(GUIDE.block('(qemu) migrate_set_capability multifd on'))
    for t in (here, there):
        for line in lines:
            t.monitor(line)
    there.monitor('migrate_incoming tcp:127.0.0.1:' + desk.port)
    completed(here, 'migrate tcp:127.0.0.1:' + desk.port)
    check(re.search(r'multifd bytes: [1-9]', here.monitor('info migrate')), 'nothing went over them')
    check('VM status: running' in there.monitor('info status'), 'it does not run there')


def postcopy(desk):
    """It goes before its memory does; the connection ends, and another takes over."""
    here, there = with_monitor(desk), waiting(desk)
    there.start([WAITS])
    go, recover = (desk.here([line.replace('tcp:there:', 'tcp:127.0.0.1:') for line in monitor_lines(block)])
                   for block in (GUIDE.block('(qemu) migrate_set_capability postcopy-ram'),
                                 GUIDE.block('(qemu) migrate_recover')))
    there.monitor(go[0])
    there.monitor('migrate_incoming tcp:127.0.0.1:' + desk.port)
    here.monitor(go[0])
    for limit in ('max-bandwidth', 'max-postcopy-bandwidth'):
        here.monitor('migrate_set_parameter %s 1M' % limit)
    for line in go[1:]:
        here.monitor(line)
    status(here, 'postcopy-active')
    here.monitor('migrate_pause')
    for t in (here, there):
        status(t, 'postcopy-paused')
    here.monitor('migrate_set_parameter max-postcopy-bandwidth 0')
    there.monitor(recover[0])
    here.monitor(recover[1])
    status(here, 'completed')
    check('VM status: running' in there.monitor('info status'), 'it does not run there')


def status(t, wanted):
    line = r'Migration status: %s[ \r]' % wanted
    wait_until(lambda: re.search(line, t.monitor('info migrate')), TIMEOUT, wanted, 0.2)


def through_a_program(desk):
    """A stream through zstd."""
    need(shutil.which('zstd'), 'zstd is not installed (package zstd)')
    packed = GUIDE.block('(qemu) migrate "exec:zstd')
    here = with_monitor(desk)
    completed(here, monitor_lines(packed)[0])
    here.quit()
    here.type(packed[1].replace(SAME, SMALL) + '\n')
    lives(here, False)
    here.type('\x01x')
    here.expect(PROMPT)
    here.shell(['zstd -dc guest.zst | ferry-inspect verify -'])


def save_again(desk):
    """Into the same file, which is whole after each."""
    here = with_monitor(desk)
    here.monitor('migrate_set_capability mapped-ram on')
    lines = desk.here(monitor_lines(GUIDE.block('(qemu) migrate_set_capability x-incremental on')))
    here.monitor(lines[0])
    completed(here, lines[1])
    here.monitor(lines[2])
    completed(here, lines[3])
    here.quit()
    here.shell(['ferry-inspect verify guest.state'])


def save_to_a_file(desk):
    """Saved with a checksum of each page; lazily there, and a byte that changed is found."""
    here = with_monitor(desk)
    for line in monitor_lines(GUIDE.block('(qemu) migrate_set_capability x-ram-checksum on')):
        here.monitor(line)
    mapped = desk.here(monitor_lines(GUIDE.block('(qemu) migrate_set_capability mapped-ram on')))
    here.monitor(mapped[0])
    completed(here, mapped[1])
    here.quit()
    here.shell(['ferry-inspect verify guest.state'])
    lazy = desk.here(GUIDE.block('ferry-system-riscv64 <the same options> -incoming defer'))
    with_focus(here, lazy[0].replace(SAME, SMALL))
    for line in monitor_lines(lazy):
        here.monitor(line)
    status(here, 'completed')
    lives(here, True)
    here.type('\x01x')
    here.expect(PROMPT)
    check(os.path.exists(desk.path('guest.state.working-set')), 'no working set was noted')
    with open(desk.path('guest.state'), 'r+b') as f:
        at = f.read().rindex(b'Linux version ')
        f.seek(at)
        f.write(b'l')
    here.type('ferry-inspect verify guest.state\n')
    here.expect('riscv_virt_board.ram')
    here.expect('its checksum differs')


def named(document):
    """The blocks that the cases name, whether they have run or not."""
    with open(__file__, encoding='ascii') as f:
        starts = re.findall(r"%s\.block\('([^']+)'" % ('README' if document is README else 'GUIDE'), f.read())
    return {first for first in document.blocks if any(first.startswith(s) for s in starts)}


def none_is_forgotten(_desk):
    """Each block is typed by a case above, or shown for a reason."""
    for document in (README, GUIDE):
        left = set(document.blocks) - named(document) - set(SHOWN[document.path])
        check(not left, '%s: nobody tries %s' % (document.path, sorted(left)))
        gone = set(SHOWN[document.path]) - set(document.blocks)
        check(not gone, '%s: these are no blocks: %s' % (document.path, sorted(gone)))


def case(function):
    def run(bench):
        if function is not none_is_forgotten:
            need_guest()
        desk = Desk(bench)
        bench.at_end(desk.close)
        function(desk)
    return Case(function.__name__, run, timeout=600)


main([case(function) for function in (
    by_hand, load_generator, qmp, into_a_file, start_a_guest, disk_and_network, moving, several_connections,
    postcopy, through_a_program, save_to_a_file, save_again, none_is_forgotten)])
