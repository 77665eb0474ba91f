#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a QMP client may rely on, tried on the real program: what it leaves behind, what it costs."""
import fcntl
import json
import os
import select
import socket
import stat
import sys
import threading
import time

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


class Client:
    """A client that sees every answer, in the order of coming."""

    def __init__(self, path, oob):
        wait_until(lambda: self.connect(path), 20, 'the monitor')
        self.buffer = b''
        self.greeting = self.next()
        enable = {'enable': ['oob']} if oob else {}
        self.send({'execute': 'qmp_capabilities', 'arguments': enable})
        check_equal(self.next(), {'return': {}}, 'qmp_capabilities')

    def connect(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        return self.socket.connect_ex(path) == 0

    def send(self, *requests):
        self.socket.sendall(''.join(json.dumps(r) for r in requests).encode())

    def next(self, timeout=20):
        while b'\n' not in self.buffer:
            check(select.select([self.socket], [], [], timeout)[0], 'no answer in %g s', timeout)
            data = self.socket.recv(65536)
            check(data, 'the monitor closed the connection')
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        message = json.loads(line)
        return self.next(timeout) if 'event' in message else message

    def is_silent(self, seconds=0.3):
        return not self.buffer and not select.select([self.socket], [], [], seconds)[0]


class BusyMain:
    """Keeps the main thread busy: it writes into a pipe that is not read before finish()."""

    def __init__(self, bench, client):
        self.path = bench.path('busy')
        if not os.path.exists(self.path):
            os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        client.send({'execute': 'pmemsave', 'id': 'busy', 'arguments': {
            'val': 0x80000000, 'size': 1 << 20, 'filename': self.path}})
        time.sleep(0.2)     # if it has not begun by then, the case is easier, not wrong
        bench.at_end(self.finish)

    def finish(self):
        fd, self.fd = self.fd, None
        if fd is not None:
            threading.Thread(target=self.drain, args=(fd,), daemon=True).start()

    @staticmethod
    def drain(fd):
        left = 1 << 20
        while left > 0:     # before the writer has come, there is nothing to read and no end
            if select.select([fd], [], [], 0.05)[0]:
                left -= len(os.read(fd, 1 << 16))
        os.close(fd)


def name(n):
    return {'execute': 'query-name', 'id': n}


OOB = {'exec-oob': 'query-yank', 'id': 'oob'}


def pipes_without_reader(bench):
    """A FIFO that nobody reads is said at once: the main thread waits for nobody."""
    vm = start(bench, paused=True)
    path = bench.path('unread')
    os.mkfifo(path)
    for command, arguments in (('pmemsave', {'val': 0x80000000, 'size': 16, 'filename': path}),
                               ('memsave', {'val': 0x80000000, 'size': 16, 'filename': path}),
                               ('dump-guest-memory', {'paging': False,
                                                      'protocol': 'file:' + path})):
        refused(vm, "Could not open '%s': it is a FIFO that nobody reads; start its reader first" %
                path, command, **arguments)
    dump = SlowDump(bench, vm)      # whose reader does not read
    since = time.monotonic()
    vm.quit(8)
    check(time.monotonic() - since < 8, 'quit waits for the reader of %s', dump)


def oob_while_busy(bench):
    """Out-of-band requests are answered while a command holds the main thread, the others after
    it, in order. When eight wait no more is read, out of band or not (QEMU 10.0)."""
    vm = start(bench, paused=True)
    client = Client(vm.qmp_path, True)
    check_equal(client.greeting['QMP']['capabilities'], ['oob'], 'greeting')
    busy = BusyMain(bench, client)
    client.send(*map(name, range(7)), OOB, {'exec-oob': 'query-name', 'id': 'not'},
                {'execute': 'nope', 'id': 'unknown'}, {'exec-oob': 'yank', 'id': 'late'})
    got = client.next()
    check_equal(got['id'], 'oob', 'first answer')
    check({'type': 'chardev', 'id': 'compat_monitor0'} in got['return'], 'query-yank: %s', got)
    check_equal(client.next(), {'id': 'not', 'error': {
        'class': 'GenericError', 'desc': 'The command query-name does not support OOB'}}, 'next')
    check(client.is_silent(), 'something was read though eight wait')
    busy.finish()
    answers = [client.next() for _ in range(10)]
    in_order = [a['id'] for a in answers if a['id'] != 'late']
    check_equal(in_order, ['busy', 0, 1, 2, 3, 4, 5, 6, 'unknown'], 'order of the answers')
    late = next(a for a in answers if a['id'] == 'late')
    check_equal(late['error']['desc'], "Parameter 'instances' is missing", 'the one read late')


def in_band_while_busy(bench):
    """Without the capability nothing is read while a request waits for its answer, but all is
    answered, in order; exec-oob is no member then."""
    vm = start(bench, paused=True)
    client = Client(vm.qmp_path, False)
    busy = BusyMain(bench, client)
    client.send(name(1), {'exec-oob': 'query-yank', 'id': 2}, {'execute': 'query-yank', 'id': 3})
    check(client.is_silent(), 'an answer before its turn')
    busy.finish()
    answers = [client.next() for _ in range(4)]
    check_equal([a['id'] for a in answers], ['busy', 1, 2, 3], 'order of the answers')
    check_equal(answers[2]['error']['desc'], "QMP input member 'exec-oob' is unexpected", 'error')
    check('return' in answers[3], 'query-yank in band: %s', answers[3])


def client_that_leaves(bench):
    """What a client sent before it went is carried out; its answers are not the next one's."""
    vm = start(bench, paused=True)
    for oob in (False, True):
        paths = [bench.path('%s%d' % (oob, n)) for n in range(12)]
        client = Client(vm.qmp_path, oob)
        client.send(*({'execute': 'pmemsave', 'id': path, 'arguments': {
            'val': 0x80000000, 'size': 16, 'filename': path}} for path in paths))
        client.socket.close()
        wait_until(lambda: all(os.path.exists(p) for p in paths), 20, 'all to be carried out')
        after = Client(vm.qmp_path, oob)
        after.send(name('mine'))
        check_equal(after.next()['id'], 'mine', 'answer of the next client')
        after.socket.close()


def yank_chardev(bench):
    """A connection that hangs is cut out of band."""
    vm = start(bench, '-chardev', 'socket,id=c,server=on,wait=off,path=' + bench.path('c'),
               '-serial', 'chardev:c', paused=True)
    client = Client(vm.qmp_path, True)
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(bench.path('c'))
    wait_until(lambda: not any(c['filename'].startswith('disconnected') for c in
                               ask(client, 'query-chardev')), 10, 'the connection')
    busy = BusyMain(bench, client)
    client.send({'exec-oob': 'yank', 'id': 1, 'arguments': {
        'instances': [{'type': 'chardev', 'id': 'c'}]}})
    check_equal(client.next(), {'return': {}, 'id': 1}, 'yank')
    check(select.select([peer], [], [], 10)[0] and peer.recv(1) == b'', 'not cut')
    busy.finish()
    check_equal(client.next()['id'], 'busy', 'the command that hung')


def ask(client, command, **arguments):
    client.send({'execute': command, 'arguments': arguments})
    return client.next()['return']


def yank_migration(bench):
    """A migration to somebody who does not read is ended; the guest goes on, and may move later."""
    vm = start(bench)
    client = Client(vm.qmp_path, True)
    client.send({'exec-oob': 'yank', 'id': 1, 'arguments': {'instances': [{'type': 'migration'}]}})
    check_equal(client.next(), {'id': 1, 'error': {
        'class': 'DeviceNotFound', 'desc': 'Instance not found'}}, 'yank without a migration')
    deaf = socket.socket(socket.AF_UNIX)
    deaf.bind(bench.path('deaf'))
    deaf.listen()
    ask(client, 'migrate-set-parameters', **{'max-bandwidth': 1000})
    ask(client, 'migrate', uri='unix:' + bench.path('deaf'))
    peer = deaf.accept()[0]
    wait_until(lambda: ask(client, 'query-migrate')['status'] == 'active', 10, 'active')
    check({'type': 'migration'} in ask(client, 'query-yank'), 'query-yank')
    client.send({'exec-oob': 'yank', 'id': 2, 'arguments': {'instances': [{'type': 'migration'}]}})
    check_equal(client.next(), {'return': {}, 'id': 2}, 'yank')
    wait_until(lambda: ask(client, 'query-migrate')['status'] == 'failed', 10, 'failed')
    why = ask(client, 'query-migrate')['error-desc']
    check("'yank'" in why and 'destination' not in why, 'the reason: %s', why)
    check_equal(ask(client, 'query-status')['status'], 'running', 'run state')
    check({'type': 'migration'} not in ask(client, 'query-yank'), 'query-yank afterwards')
    peer.close()
    ask(client, 'migrate-set-parameters', **{'max-bandwidth': 0})
    ask(client, 'migrate', uri='exec:cat >/dev/null')
    wait_until(lambda: ask(client, 'query-migrate')['status'] == 'completed', 30, 'completed')


def devices_cannot_come_or_go(bench):
    """The words are QEMU's: of the bus where a device would go, or is."""
    vm = start(bench, '-device', 'virtio-balloon-device,id=b', '-device', 'virtio-rng-device',
               paused=True)
    for name, arguments, words in (
            ('device_add', {'driver': 'virtio-net-device'},
             "Bus 'virtio-mmio-bus.5' does not support hotplugging"),
            ('device_add', {'driver': 'virtio-rng-device', 'bus': 'virtio-mmio-bus.0', 'id': 'x'},
             "Bus 'virtio-mmio-bus.0' does not support hotplugging"),
            ('device_add', {'driver': 'virtio-rng-device', 'bus': 'virtio-mmio-bus.7'},
             "Bus 'virtio-mmio-bus.7' is full"),
            ('device_add', {'driver': 'virtio-rng-device', 'bus': 'virtio-mmio-bus.8'},
             "Bus 'virtio-mmio-bus.8' not found"),
            ('device_add', {'driver': 'riscv.sifive.plic'},
             "Parameter 'driver' expects a pluggable device type"),
            ('device_del', {'id': 'b'}, "Bus 'virtio-mmio-bus.7' does not support hotplugging")):
        refused(vm, words, name, **arguments)


def objects_come_and_go(bench):
    """object-add and object-del, with QEMU's words; what a device uses stays, what nobody uses not."""
    vm = start(bench, '-object', 'memory-backend-ram,id=ram,size=16M', '-machine',
               'memory-backend=ram', '-object', 'rng-random,id=r,filename=/dev/urandom',
               '-device', 'virtio-rng-device,rng=r', paused=True)
    check_equal(vm.status(), 'prelaunch', 'run state')   # so it has opened what it opens
    before = open_fds(vm)
    for kind, more in (('rng-builtin', {}), ('rng-random', {'filename': '/dev/zero'}),
                       ('memory-backend-ram', {'size': 1 << 20, 'share': True, 'host-nodes': []}),
                       ('memory-backend-memfd', {'size': 4097, 'policy': 'default'}),
                       ('memory-backend-file', {'size': 8192, 'mem-path': bench.path('new')}),
                       ('secret', {'data': 'YWJj', 'format': 'base64'})):
        arguments = {'qom-type': kind, 'id': 'x', **more}
        vm.command('object-add', **arguments)
        check({'name': 'x', 'type': 'child<%s>' % kind} in vm.command('qom-list', path='/objects'),
              '%s is not listed', kind)
        refused(vm, "attempt to add duplicate property 'x' to object (type 'container')",
                'object-add', **arguments)
        vm.command('object-del', id='x')
        refused(vm, "object 'x' not found", 'object-del', id='x')
    check_equal(os.path.getsize(bench.path('new')), 8192, 'size of the file')
    check_equal(open_fds(vm), before, 'descriptors')
    refused(vm, "object 'ram' is in use, can not be deleted", 'object-del', id='ram')
    vm.command('object-del', id='r')
    check_equal(open_fds(vm), before, 'descriptors: the device keeps its source')


def objects_are_refused(bench):
    """The words are QEMU's; nothing is left of an object that could not be made."""
    vm = start(bench, paused=True)
    listed, before = vm.command('qom-list', path='/objects'), open_fds(vm)
    memory = {'qom-type': 'memory-backend-ram', 'id': 'x'}
    for arguments, words in (
            ({}, "Parameter 'qom-type' is missing"),
            ({'qom-type': 'nope', 'id': 'x'}, "Parameter 'qom-type' does not accept value 'nope'"),
            ({'qom-type': 'rng-builtin'}, "Parameter 'id' is missing"),
            ({'qom-type': 'rng-builtin', 'id': '1a'}, "Parameter 'id' expects an identifier"),
            ({'qom-type': 'rng-builtin', 'id': 'x', 'filename': '/dev/zero'},
             "Parameter 'filename' is unexpected"),
            ({'qom-type': 'rng-random', 'id': 'x', 'filename': '/nonexistent'},
             "Could not open '/nonexistent': No such file or directory"),
            (memory, "Parameter 'size' is missing"),
            ({**memory, 'size': 0}, "property 'size' of memory-backend-ram doesn't take value '0'"),
            ({**memory, 'size': '1M'}, "Parameter 'size' expects uint64"),
            ({**memory, 'size': -1}, "RAM block 'x': 17592186044415 MiB are too many"),
            ({**memory, 'size': 4096, 'share': 'on'},
             "Invalid parameter type for 'share', expected: boolean"),
            ({**memory, 'size': 4096, 'policy': 'nah'},
             "Parameter 'policy' does not accept value 'nah'"),
            ({**memory, 'size': 4096, 'host-nodes': [0, 1]}, 'host NUMA nodes is not supported'),
            ({'qom-type': 'memory-backend-file', 'id': 'x', 'size': 4096},
             "Parameter 'mem-path' is missing"),
            ({'qom-type': 'memory-backend-file', 'id': 'x', 'size': 4096, 'mem-path': '/no/x'},
             "can't open backing store /no/x for guest RAM: No such file or directory"),
            ({'qom-type': 'secret', 'id': 'x'}, "Either 'file' or 'data' must be provided")):
        refused(vm, words, 'object-add', **arguments)
    check_equal(vm.command('qom-list', path='/objects'), listed, 'objects')
    check_equal(open_fds(vm), before, 'descriptors')


def actions_change(bench):
    """set-action: a guest that is switched off ends the process, or not."""
    for action in ('pause', 'poweroff'):
        vm = VM(bench, action, EMULATOR, qtest=True,
                extra=['-M', 'virt', '-bios', 'none', '-m', '16M'])
        vm.command('set-action', shutdown=action)
        vm.connect_qtest().command('writel 0x100000 0x5555')    # the test finisher: pass
        if action == 'pause':
            wait_until(lambda: vm.status() == 'shutdown', 20, 'the guest to be switched off')
        else:
            check_equal(vm.wait_exit(), 0, 'exit status')


def refused(vm, want, command, **arguments):
    try:
        vm.command(command, **arguments)
    except QMPError as error:
        check(want in str(error), '%s %s: %s', command, arguments, error)
    else:
        raise Failed('%s %s was done' % (command, arguments))


def labels(vm):
    return {c['label']: c['filename'] for c in vm.command('query-chardev')}


def add(vm, name, kind, **data):
    return vm.command('chardev-add', id=name, backend={'type': kind, 'data': data})


def chardevs_come_and_go(bench):
    """chardev-add of every kind, with QEMU's answers; what somebody uses stays."""
    vm = start(bench, paused=True)
    out = bench.path('out')
    for fifo in ('fifo.in', 'fifo.out'):
        os.mkfifo(bench.path(fifo))
    before = labels(vm)
    check_equal(add(vm, '1a', 'null'), {}, 'answer')
    refused(vm, "Chardev with id '1a' already exists", 'chardev-add', id='1a',
            backend={'type': 'null', 'data': {}})
    pty = add(vm, 'p', 'pty')['pty']
    check(stat.S_ISCHR(os.stat(pty).st_mode), 'pty: %s', pty)
    add(vm, 'file', 'file', out=out)
    add(vm, 'vc', 'vc', cols=80, rows=25)
    add(vm, 'fifo', 'pipe', device=bench.path('fifo'))
    for ring in ('ringbuf', 'memory'):
        add(vm, ring, ring, size=16, logfile=bench.path('log'))
        vm.command('ringbuf-write', device=ring, data='x')
        check_equal(vm.command('ringbuf-read', device=ring, size=9), 'x', ring)
    check_equal(labels(vm)['p'], 'pty:' + pty, 'query-chardev')
    refused(vm, "Failed to add chardev 'f': ", 'chardev-add', id='f', backend={
        'type': 'file', 'data': {'out': bench.path('no/where')}})
    os.mkfifo(bench.path('unread'))
    refused(vm, 'it is a FIFO that nobody reads', 'chardev-add', id='f', backend={
        'type': 'file', 'data': {'out': bench.path('unread')}})
    for used in before:
        refused(vm, "Chardev '%s' is busy" % used, 'chardev-remove', id=used)
    for name in set(labels(vm)) - set(before):
        vm.command('chardev-remove', id=name)
    check_equal(labels(vm), before, 'after chardev-remove')
    refused(vm, "Chardev 'p' not found", 'chardev-remove', id='p')


def unix_address(path):
    return {'type': 'unix', 'data': {'path': path}}


def socket_chardevs_come_and_go(bench):
    """Servers, clients and descriptors; a path is free again when its chardev has gone."""
    vm = start(bench, paused=True)
    path = bench.path('door')
    for _ in range(2):
        add(vm, 'server', 'socket', addr=unix_address(path))
        add(vm, 'client', 'socket', addr=unix_address(path), server=False)
        wait_until(lambda: not labels(vm)['server'].startswith('disconnected'), 10, 'a client')
        vm.command('chardev-remove', id='client')
        vm.command('chardev-remove', id='server')
        check(not os.path.exists(path), 'the socket is still there')
    refused(vm, "Failed to add chardev 'c': Failed to connect to '%s'" % path, 'chardev-add',
            id='c', backend={'type': 'socket', 'data': {'addr': unix_address(path),
                                                        'server': False}})
    refused(vm, 'wait=off', 'chardev-add', id='c', backend={
        'type': 'socket', 'data': {'addr': unix_address(path), 'wait': True}})
    ours, theirs = socket.socketpair()
    vm.qmp.command('getfd', fds=[theirs.fileno()], fdname='end')
    theirs.close()
    add(vm, 'passed', 'socket', addr={'type': 'fd', 'data': {'str': 'end'}}, server=False)
    vm.command('chardev-remove', id='passed')
    ours.settimeout(10)
    check_equal(ours.recv(1), b'', 'the end of a passed socket')


def client_of_a_silent_server(bench):
    """A server that does not answer keeps neither chardev-add nor the commands behind it waiting;
    when it does, the chardev is connected. One that is taken away meanwhile leaves nothing."""
    vm = start(bench, paused=True)
    server = socket.socket()
    server.bind(('127.0.0.1', 0))
    server.listen(0)
    port = str(server.getsockname()[1])
    others = [socket.socket() for _ in range(4)]
    for other in others:        # all its seats are taken: further ones are not even refused
        other.setblocking(False)
        other.connect_ex(server.getsockname())
    address = {'type': 'inet', 'data': {'host': '127.0.0.1', 'port': port}}
    begun = time.monotonic()
    for name in ('gone', 'c'):
        add(vm, name, 'socket', addr=address, server=False)
    check(time.monotonic() - begun < 20, 'chardev-add took %g s', time.monotonic() - begun)
    check_equal(labels(vm)['c'].split(':')[0], 'disconnected', 'the client')
    vm.command('chardev-remove', id='gone')
    server.settimeout(30)

    def connected():
        if select.select([server], [], [], 0.1)[0]:
            others.append(server.accept()[0])
        return labels(vm)['c'].startswith('tcp:')
    wait_until(connected, 60, 'the connection')


def breaks(bench):
    """A break is a zero in the serial port with the bit that says so; others do not mind."""
    vm = start(bench, paused=True)

    def line_status():
        return vm.command('human-monitor-command',
                          **{'command-line': 'xp /1xb 0x10000005'}).split()[-1]
    check_equal(line_status(), '0x60', 'line status before')
    for name in labels(vm):
        check_equal(vm.command('chardev-send-break', id=name), {}, name)
    check_equal(line_status(), '0x71', 'line status after')
    refused(vm, "Chardev 'zz' not found", 'chardev-send-break', id='zz')


def chardevs_by_hand(bench):
    """The HMP commands; a pty is told to who asked."""
    vm = start(bench, paused=True)

    def hmp(line):
        return vm.command('human-monitor-command', **{'command-line': line})
    check_equal(hmp('chardev-add null,id=n'), '', 'chardev-add')
    check('Duplicate ID' in hmp('chardev-add null,id=n'), 'a second one was made')
    told = hmp('chardev-add pty,id=p').split()
    check_equal(told[:4] + told[5:], 'char device redirected to (label p)'.split(), 'pty')
    check_equal(labels(vm)['p'], 'pty:' + told[4], 'pty')
    check_equal(hmp('chardev-send-break n'), '', 'chardev-send-break')
    check_equal(hmp('chardev-remove n'), '', 'chardev-remove')
    check("Chardev 'n' not found" in hmp('chardev-remove n'), 'it was still there')


CASES = [
    Case('chardevs come and go', chardevs_come_and_go),
    Case('socket chardevs come and go', socket_chardevs_come_and_go),
    Case('client of a silent server', client_of_a_silent_server),
    Case('breaks', breaks),
    Case('chardevs by hand', chardevs_by_hand),
    Case('devices cannot come or go', devices_cannot_come_or_go),
    Case('objects come and go', objects_come_and_go),
    Case('objects that are refused', objects_are_refused),
    Case('set-action', actions_change),
    Case('pipes that nobody reads', pipes_without_reader),
    Case('out of band while a command runs', oob_while_busy),
    Case('in band while a command runs', in_band_while_busy),
    Case('a client that leaves at once', client_that_leaves),
    Case('yank a socket chardev', yank_chardev),
    Case('yank a migration', yank_migration),
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
