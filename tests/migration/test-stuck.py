#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What would wait for ever, or for a minute: the monitors answer meanwhile, and cancel, quit and
SIGTERM end it at once. "At once" is a second here; the limits leave room for a slow, busy machine."""
import os
import signal
import socket
import time

from ferrytest import emulators
from ferrytest.guest import Bare
from ferrytest.move import wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, Failed, check, check_equal, main, wait_until

EMULATOR = emulators.subject()
AT_ONCE = 8     # far from the minute that any of these waits
SLOW_SERVERS = os.path.join(os.path.abspath(os.environ.get('FERRY_BUILD', 'build')),
                          'tests/migration/slow-servers.so')


def fifo(bench):
    path = bench.path('fifo')
    os.mkfifo(path)
    return 'file:' + path


def sleeping_command(_bench):
    return 'exec:cat >/dev/null; sleep 60'


def deaf_command(_bench):
    return "exec:trap '' TERM; sleep 60"


def silent_command(_bench):
    return 'exec:sleep 60'


def slow_name(_bench):
    os.environ['LD_PRELOAD'] = SLOW_SERVERS
    return 'tcp:slow.test:4444'


def file_in(bench, folder):
    os.environ['LD_PRELOAD'] = SLOW_SERVERS
    os.mkdir(bench.path(folder))
    path = bench.path(folder + '/image')
    with open(path, 'wb') as file:
        file.write(bytes(1 << 20))
    return 'file:' + path


def hung_file(bench):
    """A file server that answers no read and no write."""
    return file_in(bench, 'hung')


def shut_file(bench):
    """A file server that answers nobody who opens a file, or asks about one."""
    return file_in(bench, 'shut')


def hung_path(bench):
    """A path on a file server that does not answer: nobody can connect to it."""
    os.environ['LD_PRELOAD'] = SLOW_SERVERS
    os.mkdir(bench.path('hung'))
    return 'unix:' + bench.path('hung/socket')


def full_server(bench):
    """A server that accepts nobody and has as many waiting as it lets wait."""
    server, first = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    bench.at_end(server.close)
    bench.at_end(first.close)
    server.bind(bench.path('full'))
    server.listen(0)
    first.connect(bench.path('full'))
    return server


def full_queue(bench):
    full_server(bench)
    return 'unix:' + bench.path('full')


def deaf_disk(bench):
    """A disk that takes everything and never says that it has it."""
    os.environ['LD_PRELOAD'] = SLOW_SERVERS
    os.mkdir(bench.path('deaf'))
    return 'file:' + bench.path('deaf/image')


def start(bench, name, **options):
    try:
        return VM(bench, name, EMULATOR, Bare('checker', harts=1, size='2M'), **options)
    finally:
        os.environ.pop('LD_PRELOAD', None)


def answers(vm):
    since = time.monotonic()
    vm.command('query-status')
    vm.command('query-migrate')
    check(time.monotonic() - since < AT_ONCE, 'the monitor of %s stood still', vm.name)


def end(vm, how, all_sent=False):
    since = time.monotonic()
    if how == 'cancel':
        vm.command('migrate_cancel')
        wait_migration(vm, ['cancelled'], AT_ONCE)
        if all_sent:    # whoever has it may run it: nobody here knows
            check_equal(vm.status(), 'paused', 'run state after the cancel')
            vm.qmp.wait_event('X_MIGRATION_OWNER_UNKNOWN', AT_ONCE)
            vm.command('cont')
        check_equal(vm.status(), 'running', 'run state after the cancel')
        return
    if how == 'quit':
        vm.quit(AT_ONCE)
    else:
        vm.kill(signal.SIGTERM)
        vm.wait_exit(AT_ONCE)
    check(time.monotonic() - since < AT_ONCE, '%s took %.1f s', how, time.monotonic() - since)


def source(bench, where, how, state):
    uri = where(bench)
    vm = start(bench, 'source')
    wait_alive(vm)
    vm.command('migrate', uri=uri)
    wait_until(lambda: vm.migration().get('status') in (state, 'active', 'device'), 30,
               'state %s' % state)
    if state in ('finish', 'disk'):     # everything is written, the command has not ended
        wait_until(lambda: vm.status() == 'finish-migrate', 30, 'the end of the stream')
    time.sleep(0.3)
    answers(vm)
    end(vm, how, state == 'finish')
    if how == 'cancel':     # and there is nothing left that holds it up
        uri = 'exec:cat > /dev/null'
        wait_until(lambda: vm.migration()['status'] == 'cancelled', AT_ONCE, 'cancelled')
        vm.command('migrate', uri=uri)
        wait_migration(vm)


def saved_again(bench, how):
    """The file server stops answering between a save and the next one into the same file."""
    os.environ['LD_PRELOAD'] = SLOW_SERVERS
    os.mkdir(bench.path('fine'))
    vm = start(bench, 'source')
    wait_alive(vm)
    vm.set_capabilities(mapped_ram=True, x_incremental=True)
    vm.command('migrate', uri='file:' + bench.path('fine/image'))
    wait_migration(vm)
    vm.command('cont')
    os.rename(bench.path('fine'), bench.path('shut'))
    since = time.monotonic()
    vm.command('migrate', uri='file:' + bench.path('shut/image'))
    check(time.monotonic() - since < AT_ONCE, 'migrate waited')
    answers(vm)
    end(vm, how)


def spawned_too_late(bench, how):
    """A command that is being started when nobody wants it any more, nor this process: it does not stay
    (the harness looks)."""
    os.environ.update(LD_PRELOAD=SLOW_SERVERS, SLOW_SPAWN='1')
    vm = start(bench, 'source')
    os.environ.pop('SLOW_SPAWN')
    wait_alive(vm)
    vm.command('migrate', uri='exec:exec sleep 1000')
    end(vm, 'cancel')
    end(vm, how)


def destination(bench, where, how, deferred):
    uri = where(bench)
    vm = start(bench, 'destination', incoming='defer' if deferred else uri)
    if deferred:
        vm.command('migrate-incoming', uri=uri)
    answers(vm)
    end(vm, how)


def cut_by_yank(bench, where, ends):
    """A read that waits is ended by yank where it can be; where not, nothing else waits for it."""
    uri = where(bench)
    vm = start(bench, 'destination', incoming='defer')
    vm.command('migrate-incoming', uri=uri)
    if uri.startswith('unix:'):     # somebody comes, and says what it is going to be and no more
        peer = socket.socket(socket.AF_UNIX)
        bench.at_end(peer.close)
        peer.connect(uri[5:])
        peer.sendall(b'QEVM\0\0\0\3')
    wait_until(lambda: {'type': 'migration'} in vm.command('query-yank'), AT_ONCE, 'the connection')
    error = refused(vm, 'migrate-pause')
    check('only supported during postcopy' in error, 'migrate-pause says: %s', error)
    vm.command('yank', instances=[{'type': 'migration'}])
    if ends:
        check_equal(vm.wait_exit(AT_ONCE), 1, 'exit status')
        check('Unable to read' in vm.stderr(), 'it says: %s', vm.stderr())
    else:
        answers(vm)
        end(vm, 'quit')


def starting(bench, where, options):
    """A file that the machine needs to begin with: a signal ends who waits for it."""
    path = where(bench)[5:]
    vm = start(bench, 'machine', extra=[o.replace('@', path) for o in options])
    time.sleep(1)
    check(vm.running(), 'it did not wait: %s', vm.stderr())
    check(not vm.console.text(), 'the guest runs already')
    end(vm, 'SIGTERM')


def silent_peer(bench):
    return 'unix:' + bench.path('in')


def add_client(vm, path):
    since = time.monotonic()
    vm.command('chardev-add', id='c', backend={
        'type': 'socket', 'data': {'server': False, 'addr': {'type': 'unix', 'data': {'path': path}}}})
    check(time.monotonic() - since < AT_ONCE, 'chardev-add waited')


def device(bench, where, how, hot):
    """A character device connects: while the machine runs, or before there is a monitor."""
    path = where(bench)[5:]
    if hot:
        vm = start(bench, 'machine')
        add_client(vm, path)
        answers(vm)
    else:
        vm = start(bench, 'machine', extra=['-chardev', 'socket,id=c,path=' + path])
        time.sleep(1)
        check(vm.running(), 'it did not wait: %s', vm.stderr())
    end(vm, how)


def accepted_at_last(bench):
    """Whoever waits in front of a full queue is let in when there is room."""
    server = full_server(bench)
    server.settimeout(AT_ONCE)
    vm = start(bench, 'machine')
    add_client(vm, bench.path('full'))
    server.accept()[0].close()      # who was there before
    with server.accept()[0] as ours:
        ours.settimeout(AT_ONCE)
        vm.quit()
        check_equal(ours.recv(1), b'', 'end of the connection')


def refused(vm, name, **arguments):
    try:
        vm.command(name, **arguments)
    except QMPError as error:
        return error.desc
    raise Failed('%s is accepted' % arguments)


def bind_error_is_the_answer(bench):
    """What can be known at once is the answer of the command, not the end of the process."""
    vm = start(bench, 'destination', incoming='defer')
    for uri, text in (('tcp:192.0.2.1:4444', 'Failed to bind'),
                      ('file:%s/missing' % bench.path('x'), 'No such file'),
                      ('unix:/%s' % ('x' * 120), 'is too long')):
        error = refused(vm, 'migrate-incoming', uri=uri)
        check(text in error, 'migrate-incoming %s says: %s', uri, error)
    check_equal(vm.status(), 'inmigrate', 'run state')


CASES = [Case('migrate-incoming: a bind error is the answer', bind_error_is_the_answer)]
for place, at, phase in (('fifo', fifo, 'setup'), ('shut file', shut_file, 'setup'),
                         ('name', slow_name, 'setup'),
                         ('hung path', hung_path, 'setup'), ('full queue', full_queue, 'setup'),
                         ('hung file', hung_file, 'active'), ('deaf disk', deaf_disk, 'disk'),
                         ('command that sleeps', sleeping_command, 'finish'),
                         ('command that ignores SIGTERM and reads nothing', deaf_command, 'setup')):
    for ending in ('cancel', 'quit', 'SIGTERM'):
        CASES.append(Case('source, %s, %s' % (place, ending),
                          lambda b, at=at, ending=ending, phase=phase: source(b, at, ending, phase)))
for ending in ('quit', 'SIGTERM'):
    CASES.append(Case('source, a command that is slow to start, cancel, ' + ending,
                      lambda b, ending=ending: spawned_too_late(b, ending)))
for ending in ('cancel', 'quit', 'SIGTERM'):
    CASES.append(Case('source, saved again into a shut file, ' + ending,
                      lambda b, ending=ending: saved_again(b, ending)))
DISK = 'if=none,format=raw,id=d,file=@', '-device', 'virtio-blk-device,drive=d'
for place, at, more in (('hung file', hung_file, ()), ('shut file', shut_file, (('-drive', *DISK),))):
    for given in (('-kernel', '@'), ('-initrd', '@'), ('-bios', '@'), *more):
        CASES.append(Case('%s, %s, SIGTERM' % (given[0], place),
                          lambda b, at=at, given=given: starting(b, at, given)))
for place, at, over in (('hung file', hung_file, False), ('command', silent_command, True),
                        ('peer that falls silent', silent_peer, True)):
    CASES.append(Case('migrate-incoming, %s, yank' % place,
                      lambda b, at=at, over=over: cut_by_yank(b, at, over)))
for place, at in (('hung path', hung_path), ('full queue', full_queue)):
    for ending, now in (('quit', True), ('SIGTERM', True), ('SIGTERM', False)):
        CASES.append(Case('%s, %s, %s' % ('chardev-add' if now else '-chardev', place, ending),
                          lambda b, at=at, ending=ending, now=now: device(b, at, ending, now)))
CASES.append(Case('chardev-add, full queue, accepted', accepted_at_last))
for place, at in (('fifo', fifo), ('name', slow_name), ('hung file', hung_file),
                  ('command', silent_command)):
    for ending in ('quit', 'SIGTERM'):
        for later in (False, True):
            CASES.append(Case('%s, %s, %s' % ('migrate-incoming' if later else '-incoming', place,
                                              ending),
                              lambda b, at=at, ending=ending, later=later:
                              destination(b, at, ending, later)))

if __name__ == '__main__':
    main(CASES)
