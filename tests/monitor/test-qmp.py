#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a QMP client may rely on, tried on the real program: what it leaves behind, what it costs."""
import json
import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.qmp import QMP  # noqa: E402
from ferrytest.tap import Case, check, check_equal, main, wait_until  # noqa: E402

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


CASES = [
    Case('sets of descriptors end with their clients', passed_sets_end),
    Case('sets of descriptors wait for a guest', passed_sets_wait_for_a_guest),
    Case('saved guest memory is private', saved_memory_is_private),
    Case('a huge request', huge_request, timeout=120),
]

if __name__ == '__main__':
    main(CASES)
