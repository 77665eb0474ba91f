#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A saved file is either whole or known not to be: writers that are killed at any moment, or
cancelled; over nothing, an older file, what is somebody else's. And disks that are full, that fail,
that must not be written: the guest runs on."""
import hashlib
import json
import os
import random
import re
import resource
import subprocess
import time

from ferrytest import emulators
from ferrytest.guest import Bare, BareNone
from ferrytest.move import Journey, wait_alive, wait_loaded, wait_migration
from ferrytest.process import VM
from ferrytest.tap import Case, check, check_equal, main, need, wait_until

EMULATOR = emulators.subject()
INSPECT = os.path.join(os.environ.get('FERRY_BUILD', 'build'), 'ferry-inspect')
GUEST = BareNone('idle', memory=24)
SLOW_SERVERS = os.path.join(os.path.abspath(os.environ.get('FERRY_BUILD', 'build')),
                            'tests/migration/slow-servers.so')
SEED = int(os.environ.get('FERRYTEST_SEED', 0)) or random.SystemRandom().randrange(1 << 32)
NOT_DONE = 'a save that was not completed'


def inspect(*args):
    """(exit status, what it says, seconds of CPU that it took)"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([INSPECT, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.returncode, done.stdout, (after.ru_utime - before.ru_utime +
                                          after.ru_stime - before.ru_stime)


def ram_of(bench, path):
    raw = bench.path('raw')
    code, text, _ = inspect('extract', path, '--ram', 'ram', '-o', raw)
    check_equal(code, 0, 'ferry-inspect extract: ' + text)
    with open(raw, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def load(path, mapped):
    """Whether Ferry takes the file, and what it says."""
    commands = [('qmp_capabilities', {}),
                ('migrate-set-capabilities', {'capabilities': [{'capability': 'mapped-ram',
                                                                'state': mapped}]}),
                ('migrate-incoming', {'uri': 'file:' + path})]
    args = EMULATOR.argv + ['-nodefaults', '-no-user-config', '-display', 'none'] + \
        GUEST.args(EMULATOR) + ['-S', '-incoming', 'defer', '-qmp', 'stdio']
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0) as process:
        def command(name, arguments):
            """The answer; empty when the process has ended."""
            request = json.dumps({'execute': name, 'arguments': arguments, 'id': 1}) + '\n'
            try:
                process.stdin.write(request.encode())
            except BrokenPipeError:
                return ''
            line = '-'
            while line and '"id": 1' not in line:
                line = process.stdout.readline().decode()
            return line

        for name, arguments in commands:
            command(name, arguments)
        state = 'inmigrate'
        while 'inmigrate' in state:
            time.sleep(0.01)
            state = command('query-status', {})
        process.kill()
        return '"status"' in state, process.stderr.read().decode()


def fill(source, value):
    """Half of the memory, each page another: what is read back must be of this time."""
    qtest = source.connect_qtest()
    for at in range(4, 16):
        qtest.memset(at << 20, 1 << 20, value + at & 0xff or 1)
    qtest.close()


class Target:
    """What is written to, and what was there before."""

    def __init__(self, bench, how, mapped, old):
        self.bench, self.how, self.mapped = bench, how, mapped
        self.dir = bench.path('images')
        os.makedirs(self.dir, exist_ok=True)
        self.path = os.path.join(self.dir, 'image')
        self.uri = 'file:' + self.path
        self.old = old
        self.fds = ()

    def prepare(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        if self.old:
            subprocess.run(['cp', '--sparse=always', self.old, self.path], check=True)
        if self.how == 'fd':
            self.fds = (os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600),)
            self.uri = 'fd:%d' % self.fds[0]

    def start(self, name):
        vm = VM(self.bench, name, EMULATOR, GUEST, qtest=True, paused=True, pass_fds=self.fds)
        for fd in self.fds:
            os.close(fd)
        vm.set_capabilities(mapped_ram=self.mapped)
        if self.how == 'in place':
            vm.set_parameters(**{'x-file-in-place': True})
        return vm


def saved(bench, target, name, value):
    """A whole image, the digest of its RAM, and how long it took."""
    target.prepare()
    vm = target.start(name)
    fill(vm, value)
    began = time.monotonic()
    vm.command('migrate', uri=target.uri)
    wait_migration(vm)
    took = time.monotonic() - began
    vm.quit()
    return ram_of(bench, target.path), took


def judge(bench, target, digests, old, old_inode):
    """What one that was killed has left: the old one, the new one, or what says that it is none."""
    left = os.listdir(target.dir)
    check(set(left) <= {'image'}, 'litter is left: %s', left)
    if not left or os.path.getsize(target.path) == 0:
        check(target.how != 'beside' or not target.old, 'the old image is gone')
        return 'nothing'
    if old and target.how == 'beside' and os.stat(target.path).st_ino == old_inode:
        check_equal(ram_of(bench, target.path), old, 'RAM in the old image')
        return 'old'
    code, text, seconds = inspect('verify', target.path)
    check(seconds < 0.1 or code == 0, 'ferry-inspect took %.3f s of CPU to say: %s', seconds, text)
    taken, said = load(target.path, target.mapped)
    if 'after the end of the stream' in text:   # of the older one, which was longer: nobody cut it
        check(target.how == 'fd' and taken, 'rests of an older image: %s', said)
        return 'whole'
    if code == 0:
        check(taken, 'ferry-inspect finds it whole, Ferry does not: %s', said)
        check(ram_of(bench, target.path) in digests, 'RAM in an image that counts as whole')
        return 'whole'
    check(not taken, 'was loaded, and ferry-inspect says: %s', text)
    check(target.how != 'beside', 'a part stands under the name: %s', text)
    check(NOT_DONE in text and 'KiB' in text, 'ferry-inspect says only: %s', text)
    check('a save that was not completed' in said and 'KiB' in said, 'Ferry says only: %s', said)
    return 'part'


def killed(how, mapped, over_old, times):
    def run(bench):
        rng = random.Random('%d %s %s %s' % (SEED, how, mapped, over_old))
        target = Target(bench, how, mapped, None)
        old = None
        digest, took = saved(bench, target, 'measured', 7)      # over nothing: it has no rests
        if over_old:
            old, _ = saved(bench, target, 'older', 100)
            target.old = bench.path('old-image')
            os.rename(target.path, target.old)
        ends = {}
        for turn in range(times):
            target.prepare()
            inode = os.stat(target.path).st_ino if target.old else None
            vm = target.start('killed%d' % turn)
            fill(vm, 7)
            wait = rng.uniform(0, took * 1.1)
            vm.command('migrate', uri=target.uri)
            time.sleep(wait)
            vm.kill()
            vm.process.wait()
            vm.close()
            # what is written in place is the older one until the writer begins
            end = judge(bench, target, [digest, old], old, inode)
            ends[end] = ends.get(end, 0) + 1
        bench.note('seed %d, a save takes %.0f ms, killed %d times: %s' %
                   (SEED, took * 1000, times, ends))
    return run


def cancelled(how):
    """A save that is cancelled in the middle leaves what was there, or says what it is."""
    def run(bench):
        target = Target(bench, how, True, None)
        digest, _ = saved(bench, target, 'older', 100)
        inode = os.stat(target.path).st_ino
        vm = target.start('source')
        fill(vm, 7)
        vm.set_parameters(max_bandwidth=4 << 20)
        vm.command('migrate', uri=target.uri)
        wait_until(lambda: vm.migration().get('ram', {}).get('normal', 0) > 300, 30, 'pages')
        vm.command('migrate_cancel')
        wait_migration(vm, ['cancelled'])
        check_equal(judge(bench, target, [], digest, inode), 'old' if how == 'beside' else 'part',
                    'what is left')
        vm.set_parameters(max_bandwidth=0)
        vm.command('migrate', uri=target.uri)   # and then it works
        wait_migration(vm)
        check_equal(inspect('verify', target.path)[0], 0, 'the second save')
        check_equal(os.listdir(target.dir), ['image'], 'files')
    return run


def waits_for_the_end(bench):
    """Nothing new under the name before all is written; then it has the old one's rights."""
    target = Target(bench, 'beside', True, None)
    link = os.path.join(target.dir, 'link')
    with open(target.path, 'wb') as f:
        f.write(b'older')
    os.chmod(target.path, 0o640)
    os.symlink('image', link)
    vm = target.start('source')
    fill(vm, 7)
    vm.set_capabilities(pause_before_switchover=True)
    vm.command('migrate', uri='file:' + link)
    wait_migration(vm, ['pre-switchover'])
    with open(target.path, 'rb') as f:
        check_equal(f.read(), b'older', 'the file before the end')
    vm.command('migrate-continue', state='pre-switchover')
    wait_migration(vm)
    check_equal(inspect('verify', target.path)[0], 0, 'verify')
    check_equal(os.stat(target.path).st_mode & 0o7777, 0o640, 'rights')
    check(os.path.islink(link), 'the link was replaced')


def others_bytes(bench):
    """With an offset the file belongs to somebody else: in place, and its beginning stays."""
    path = bench.path('image')
    with open(path, 'wb') as f:
        f.write(b'LibvirtQemudPart' * 4096)
    inode = os.stat(path).st_ino
    vm = VM(bench, 'source', EMULATOR, Bare('checker', size='1M', memory=32))
    wait_alive(vm)
    vm.set_capabilities(mapped_ram=True, pause_before_switchover=True)
    vm.command('migrate', uri='file:%s,offset=0x10000' % path)
    wait_migration(vm, ['pre-switchover'])
    check_equal(os.stat(path).st_ino, inode, 'inode')
    check(NOT_DONE in inspect('verify', '--offset', '0x10000', path)[1], 'not known to be a part')
    vm.command('migrate-continue', state='pre-switchover')
    wait_migration(vm)
    with open(path, 'rb') as f:
        check_equal(f.read(0x10000), b'LibvirtQemudPart' * 4096, 'what was there')
    code, text, _ = inspect('verify', '--offset', '0x10000', path)
    check_equal(code, 0, text)


class Within:
    """The emulator among mounts of its own: what `prepare` does, a shell script, it sees alone."""

    def __init__(self, prepare):
        self.argv = ['unshare', '-rm', 'sh', '-c', prepare + ' && exec "$@"', 'sh'] + EMULATOR.argv

    def __getattr__(self, name):
        return getattr(EMULATOR, name)


def fails(words, mapped, setup, prepare='true', folder='', blocks=None):
    """A save that goes wrong names the file, the place and the cause; the guest runs on, and the
    next save elsewhere is good."""
    def run(bench):
        place = bench.path(folder or 'images')
        os.mkdir(place)
        script = prepare.replace('DIR', place)
        need(subprocess.run(Within(script).argv[:5] + ['sh', 'true'], check=False,
                            stderr=subprocess.DEVNULL).returncode == 0, 'no mounts of our own here')
        path = os.path.join(place, 'image')
        if folder == 'broken':
            os.environ['LD_PRELOAD'] = SLOW_SERVERS
        try:
            vm = VM(bench, 'source', Within(script), Bare('checker', size='4M', memory=32))
        finally:
            os.environ.pop('LD_PRELOAD', None)
        wait_alive(vm)
        if blocks:
            resource.prlimit(vm.process.pid, resource.RLIMIT_FSIZE, (blocks, -1))
        vm.set_capabilities(mapped_ram=mapped, events=True)
        setup(vm)
        vm.command('migrate', uri='file:' + path)
        text = wait_migration(vm, ['failed'])['error-desc']
        bench.note(text)
        for word in words:
            check(re.search(word.replace('PATH', path), text), 'the message lacks %r: %s', word, text)
        check_equal(vm.status(), 'running', 'run state')
        check('STOP' not in [e['event'] for e in vm.qmp.events], 'the guest was stopped for it')
        if not prepare.startswith('mount'):
            check_equal(os.listdir(place), [], 'what is left')
        if blocks:
            resource.prlimit(vm.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
        good = bench.path('good')
        vm.command('migrate', uri='file:' + good)
        wait_migration(vm)
        check_equal(inspect('verify', good)[0], 0, 'the next save')
        restored = VM(bench, 'restored', EMULATOR, vm.guest, incoming='defer')
        restored.set_capabilities(mapped_ram=mapped)
        restored.command('migrate-incoming', uri='file:' + good)
        wait_loaded(restored)
        journey = Journey()
        journey.vms.append(vm)
        journey.prove(restored)
    return run


def slowly(vm):
    """So that the guest is not stopped before the disk is full."""
    vm.set_parameters(max_bandwidth=64 << 20, downtime_limit=1)


def new_pages_at_the_end(bench):
    """What the guest has written for the first time in the last pass finds no room: it is not stopped."""
    path = bench.path('images')
    os.mkdir(path)
    script = 'mount -t tmpfs -o size=7M none %s' % path
    need(subprocess.run(Within(script).argv[:5] + ['sh', 'true'], check=False,
                        stderr=subprocess.DEVNULL).returncode == 0, 'no mounts of our own here')
    vm = VM(bench, 'source', Within(script), BareNone('checker', memory=32), qtest=True)
    qtest = vm.connect_qtest()
    bench.at_end(qtest.close)
    vm.set_capabilities(mapped_ram=True, events=True)
    vm.set_parameters(max_bandwidth=64 << 20, downtime_limit=1)
    vm.command('migrate', uri='file:%s/image' % path)
    wait_until(lambda: vm.migration().get('ram', {}).get('dirty-sync-count', 0) > 1, 30, 'a pass')
    vm.set_parameters(max_bandwidth=1 << 20)
    qtest.memset(20 << 20, 8 << 20, 0x5a)       # 8 MiB, at 1 MiB a second: the rest is for the end
    before = vm.migration()['ram']['dirty-sync-count']

    def next_pass():
        info = vm.migration()
        return (info['status'] == 'failed' or info['ram']['dirty-sync-count'] > before or
                info['ram']['remaining'] > 4 << 20)
    wait_until(next_pass, 30, 'the next pass')
    vm.set_parameters(downtime_limit=2000000)
    text = wait_migration(vm, ['failed'])['error-desc']
    bench.note(text)
    # It may be found out while one more pass goes out, too.
    check('There is no room for the end of' in text or 'No space left on device' in text,
          'not refused: %s', text)
    check('STOP' not in [e['event'] for e in vm.qmp.events], 'the guest was stopped for it')
    check_equal(vm.status(), 'running', 'run state')


def room_at_the_end(mapped):
    """Just too little room for what comes last: found out before the guest is stopped."""
    def run(bench):
        path, size = bench.path('images'), 6 if mapped else 12     # MiB
        os.mkdir(path)
        script = 'mount -t tmpfs -o size=%dM none %s' % (size, path)
        need(subprocess.run(Within(script).argv[:5] + ['sh', 'true'], check=False,
                            stderr=subprocess.DEVNULL).returncode == 0, 'no mounts of our own here')
        # It writes less than the margin between the look and the stop, so the look is right.
        vm = VM(bench, 'source', Within(script), Bare('checker', size='64K', memory=32))
        wait_alive(vm)
        vm.set_capabilities(mapped_ram=mapped, events=True)
        filler = '/proc/%d/root%s/filler' % (vm.process.pid, path)
        for used in range(0, size << 20, 160000):   # less and less room, until it is too little
            with open(filler, 'wb') as f:
                f.write(bytes(used))
            vm.command('migrate', uri='file:%s/image' % path)
            info = wait_migration(vm, ['failed', 'completed'])
            if info['status'] == 'failed':
                break
            vm.command('cont')
            vm.qmp.events.clear()
        bench.note(info.get('error-desc', 'completed'))
        check('There is no room for the end of' in info.get('error-desc', '') or
              'No space left on device' in info.get('error-desc', ''), 'not refused: %s', info)
        check('STOP' not in [e['event'] for e in vm.qmp.events], 'the guest was stopped for it')
        check_equal(vm.status(), 'running', 'run state')
        lines = len(vm.console.statuses())
        vm.console.wait_statuses(lines + 2)[-1].check_clean('source')
    return run


def cases():
    yield Case('no room for new pages of the last pass', new_pages_at_the_end)
    tiny = 'mount -t tmpfs -o size=3M none DIR'
    full = [r"Unable to write to 'file:PATH' at 0x[0-9a-f]+: No space left on device"]
    for mapped in (True, False):
        kind = 'mapped' if mapped else 'stream'
        yield Case('disk full, ' + kind, fails(full, mapped, slowly, tiny))
        yield Case('no room for the end, ' + kind, room_at_the_end(mapped))
        yield Case('failing disk, ' + kind, fails(
            [r"Unable to write to 'file:PATH' at 0x[0-9a-f]+: Input/output error"], mapped, slowly,
            folder='broken'))
        yield Case('read-only, ' + kind, fails(
            ["Could not create 'PATH': Read-only file system"], mapped, slowly,
            'mount -t tmpfs -o ro none DIR'))
    yield Case('a limit to the length, mapped', fails(
        [r"'file:PATH' cannot be made \d+ MiB long: File too large"], True, slowly, blocks=8 << 20))
    yield Case('a limit to the length, stream', fails(
        [r"Unable to write to 'file:PATH' at 0x[0-9a-f]+: File too large"], False, slowly,
        blocks=2 << 20))
    for how in ('beside', 'in place', 'fd'):
        for mapped in (True, False):
            for over_old in (False, True):
                name = 'killed, %s, %s, over %s' % (how, 'mapped' if mapped else 'stream',
                                                    'an older one' if over_old else 'nothing')
                yield Case(name, killed(how, mapped, over_old, 4), timeout=180)
                yield Case(name + ', at length', killed(how, mapped, over_old, 84), full=True,
                           timeout=1800)
    for how in ('beside', 'in place'):
        yield Case('cancelled, ' + how, cancelled(how))
    yield Case('under its name at the end', waits_for_the_end)
    yield Case('bytes of somebody else', others_bytes)


if __name__ == '__main__':
    main(list(cases()))
