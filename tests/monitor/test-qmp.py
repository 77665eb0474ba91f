#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a QMP client may rely on, tried on the real program: what it leaves behind, what it costs."""
import fcntl
import json
import os
import select
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.move import wait_migration  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.qmp import QMP, QMPError  # noqa: E402
from ferrytest.tap import Case, Failed, check, check_equal, main, wait_until  # noqa: E402

EMULATOR = emulators.ferry()


def start(bench, *extra, paused=False):
    return VM(bench, 'vm', EMULATOR, paused=paused,
              extra=['-M', 'virt', '-bios', 'none', '-m', '16M', *extra])


def client(vm):
    return QMP(vm.qmp_path)


def open_fds(vm):
    return len(os.listdir('/proc/%d/fd' % vm.process.pid))


def passed_sets_end(bench):
    """A hundred clients that each pass a descriptor and go: none of them stays. What the command
    line passed does, and so does what a client passed while another one is there."""
    kept = os.open('/dev/null', os.O_RDWR)
    os.set_inheritable(kept, True)
    vm = VM(bench, 'vm', EMULATOR, pass_fds=[kept], extra=[
        '-M', 'virt', '-bios', 'none', '-m', '16M', '-add-fd', 'fd=%d,set=7' % kept,
        '-qmp', 'unix:%s,server=on,wait=off' % bench.path('other.qmp')])
    before = None
    for _ in range(100):
        qmp = client(vm)
        if before is None:
            before = open_fds(vm)
        qmp.command('add-fd', fds=[kept])
        qmp.close()
    qmp = client(vm)
    check_equal([s['fdset-id'] for s in qmp.command('query-fdsets')], [7], 'sets')
    check(open_fds(vm) <= before + 2, '%d descriptors, %d before', open_fds(vm), before)
    other = QMP(bench.path('other.qmp'))
    qmp.command('add-fd', fds=[kept])
    qmp.close()
    wait_until(lambda: vm.command('query-name') is not None, 5, 'the monitor')
    check_equal(len(other.command('query-fdsets')), 2, 'sets while another client is there')


def passed_sets_wait_for_a_guest(bench):
    """A guest that was not started yet may be waiting for the next client: its sets stay."""
    vm = start(bench, paused=True)
    qmp = client(vm)
    with open(os.devnull, 'rb') as f:
        qmp.command('add-fd', fds=[f.fileno()])
    qmp.close()
    check_equal(len(client(vm).command('query-fdsets')), 1, 'sets')


def saved_memory_is_private(bench):
    """Guest memory in files is for the user alone, whatever the umask."""
    old = os.umask(0)
    try:
        vm = start(bench, paused=True)
    finally:
        os.umask(old)
    saves = {
        'pmemsave': {'val': 0x80000000, 'size': 4096},
        'memsave': {'val': 0x80000000, 'size': 4096},
        'dump-guest-memory': {'paging': False},
    }
    for name, arguments in saves.items():
        path = bench.path(name)
        where = {'protocol': 'file:' + path} if 'dump' in name else {'filename': path}
        vm.command(name, **arguments, **where)
        mode = stat.S_IMODE(os.stat(path).st_mode)
        check(not mode & 0o077, '%s: mode %o', name, mode)


def resident_kib(vm):
    with open('/proc/%d/status' % vm.process.pid) as f:
        return int(next(l for l in f if l.startswith('VmRSS')).split()[1])


def huge_request(bench):
    """70 MiB in one string: an error, the next request is answered, the memory comes back."""
    vm = start(bench, paused=True)
    qmp = client(vm)
    before = resident_kib(vm)
    qmp.raw(b'{"execute": "query-name", "id": "')
    for _ in range(70):
        qmp.raw(b'x' * (1 << 20))
    qmp.raw(b'"}\n{"execute": "query-name", "id": 7}\n')
    answer = qmp.answer()
    check_equal(answer.get('error', {}).get('desc'), 'JSON token size limit exceeded', 'answer')
    while 'error' in answer:    # what follows the cut is no request either
        answer = qmp.answer()
    check_equal(answer, {'return': {'name': 'vm'}, 'id': 7}, 'answer to the next')
    # 20 MiB are within the limit and answered; they do not stay either
    qmp.raw(json.dumps({'execute': 'query-name', 'id': 'y' * (20 << 20)}).encode())
    check_equal(len(qmp.answer(60)['id']), 20 << 20, 'length of the id')
    wait_until(lambda: resident_kib(vm) < before + (8 << 10), 10, 'the memory to come back')


class SlowDump:
    """A detached dump into a pipe that nobody reads until finish()."""

    def __init__(self, bench, vm):
        path = bench.path('pipe')
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 1 << 20)
        bench.at_end(lambda: os.close(self.fd))
        self.vm = vm
        vm.command('dump-guest-memory', paging=False, protocol='file:' + path, detach=True)
        check_equal(vm.command('query-dump')['status'], 'active', 'dump')

    def finish(self):
        def ended():
            self.vm.qmp.poll_events()
            while select.select([self.fd], [], [], 0.05)[0]:
                os.read(self.fd, 1 << 20)
            return self.vm.command('query-dump')['status'] != 'active'
        wait_until(ended, 30, 'the dump to end')
        self.vm.qmp.wait_event('DUMP_COMPLETED')


def refused(vm, words, name, /, **arguments):
    try:
        vm.command(name, **arguments)
    except QMPError as error:
        check(words in error.desc, '%s: refused with "%s", not "%s"', name, error.desc, words)
        return
    raise Failed('%s was not refused' % name)


def dump_then_others(bench):
    """While a dump is written nobody else stops or starts the guest, and afterwards all may."""
    vm = start(bench)
    dump = SlowDump(bench, vm)
    check_equal(vm.status(), 'save-vm', 'run state')
    refused(vm, 'Cannot start a migration: a memory dump has had the guest for ', 'migrate',
            uri='exec:cat >/dev/null')
    refused(vm, 'There is a dump in process', 'dump-guest-memory', paging=False,
            protocol='file:' + bench.path('second'))
    refused(vm, 'A memory dump is being written', 'cont')
    check('A memory dump is being written' in vm.hmp('cont'), 'cont in HMP is not refused')
    check_equal(vm.status(), 'save-vm', 'run state')
    dump.finish()
    check_equal(vm.status(), 'running', 'run state afterwards')
    vm.command('migrate', uri='exec:cat >/dev/null')
    wait_migration(vm)


def stop_while_dumping(bench):
    """`stop` during a dump means: do not go on afterwards."""
    vm = start(bench)
    dump = SlowDump(bench, vm)
    vm.command('stop')
    dump.finish()
    check_equal(vm.status(), 'paused', 'run state afterwards')
    vm.command('cont')
    check_equal(vm.status(), 'running', 'run state after cont')


def paused_guest_dumped(bench):
    """A guest that was paused before the dump may not be started under it either."""
    vm = start(bench)
    vm.command('stop')
    dump = SlowDump(bench, vm)
    refused(vm, 'A memory dump is being written', 'cont')
    dump.finish()
    check_equal(vm.status(), 'paused', 'run state afterwards')
    vm.command('cont')


def migration_then_dump(bench):
    """No dump while a migration goes on or has paused the guest, and the file is left alone."""
    vm = start(bench)
    path = bench.path('core')
    vm.set_capabilities(pause_before_switchover=True)
    vm.command('migrate', uri='exec:cat >/dev/null')
    wait_migration(vm, ['pre-switchover'])
    refused(vm, 'Cannot start a memory dump: a migration has had the guest for ',
            'dump-guest-memory', paging=False, protocol='file:' + path, detach=True)
    check(not os.path.exists(path), 'a refused dump made its file')
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    check_equal(vm.status(), 'running', 'run state')
    vm.command('dump-guest-memory', paging=False, protocol='file:' + path)
    check_equal(vm.status(), 'running', 'run state')
    # a failed one lets go as well
    vm.command('migrate', uri='unix:' + bench.path('nobody'))
    wait_migration(vm, ['failed'])
    vm.command('dump-guest-memory', paging=False, protocol='file:' + bench.path('core2'))


CASES = [
    Case('dump, then migrate, dump, cont', dump_then_others),
    Case('stop while a dump is written', stop_while_dumping),
    Case('dump of a paused guest', paused_guest_dumped),
    Case('migrate, then dump', migration_then_dump),
    Case('sets of descriptors end with their clients', passed_sets_end),
    Case('sets of descriptors wait for a guest', passed_sets_wait_for_a_guest),
    Case('saved guest memory is private', saved_memory_is_private),
    Case('a huge request', huge_request, timeout=120),
]

if __name__ == '__main__':
    main(CASES)
