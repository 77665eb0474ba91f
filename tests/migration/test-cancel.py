#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A migration is cancelled, or fails, in every state; the guest runs on and can be moved after."""
import json
import select
import shutil
import socket
import threading
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import (Journey, Move, force_passes, last_status, statuses, wait_alive,
                            wait_migration)
from ferrytest.process import VM
from ferrytest.proxy import Proxy
from ferrytest.qmp import QMP, QMPError
from ferrytest.tap import Case, Failed, check, check_equal, main, need, wait_until

EMULATOR = emulators.subject()


def start(bench, harts=2, mode='checker', **options):
    vm = VM(bench, 'source', EMULATOR, Bare(mode, harts=harts, size='2M', **options))
    vm.set_capabilities(events=True)
    journey = Journey()
    journey.vms.append(vm)
    wait_alive(vm)
    return vm, journey


def runs_on(vm, journey):
    """The guest is running, works, and has noticed nothing."""
    check_equal(vm.status(), 'running', 'run state after the migration ended')
    lines = len(vm.console.statuses())
    vm.console.wait_statuses(lines + 2)
    journey.check()


def slow(vm):
    vm.set_parameters(max_bandwidth=1 << 20, downtime_limit=1)


def normal(vm):
    vm.set_parameters(max_bandwidth=0, downtime_limit=300)


def move_on(bench, vm, journey, number=''):
    """And now for real."""
    normal(vm)
    return Move(bench, EMULATOR, vm.guest, channels.Unix(bench), source=vm, journey=journey,
                names=('source', 'destination' + str(number))).run()


def destination(bench, name, guest, channel, caps=None):
    vm = VM(bench, name, EMULATOR, guest, incoming='defer', paused=True)
    vm.set_capabilities(events=True, **(caps or {}))
    vm.command('migrate-incoming', uri=channel.incoming)
    return vm


def cancel_active(bench, xbzrle=False):
    vm, journey = start(bench)
    if xbzrle:
        vm.set_capabilities(xbzrle=True)
    channel = channels.Unix(bench)
    other = destination(bench, 'first', vm.guest, channel)
    slow(vm)
    vm.command('migrate', uri=channel.outgoing)
    wait_migration(vm, ['active'])
    wait_until(lambda: vm.migration()['ram']['transferred'] > 100000, 20, 'some progress')
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    check_equal(statuses(vm.qmp.poll_events()), ['setup', 'active', 'cancelling', 'cancelled'],
                'states')
    # A broken-off stream ends the destination with a message and a failure.
    check(other.wait_exit() != 0, 'the destination ended as if all had been well')
    said = other.stderr()
    check('The source has cancelled, failed or gone' in said and said.count('offset') == 1
          and 'more bytes' not in said, 'the destination on the stream that broke off: %s', said)
    runs_on(vm, journey)
    if xbzrle:
        vm.set_capabilities(xbzrle=False)
    move_on(bench, vm, journey)


def cancel_setup(bench):
    """Nobody accepts the connection's data: cancel while the source is at its very beginning."""
    vm, journey = start(bench)
    path = bench.path('silent.sock')
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    bench.at_end(listener.close)
    vm.command('migrate', uri='unix:' + path)
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    runs_on(vm, journey)
    move_on(bench, vm, journey)


def cancel_exec(bench):
    """A command that never reads."""
    vm, journey = start(bench)
    vm.command('migrate', uri='exec:sleep 1000')
    wait_migration(vm, ['active', 'setup'])
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    runs_on(vm, journey)
    move_on(bench, vm, journey)


def cancel_stalled(bench):
    """The link stands still and the source's thread waits for it: cancel still works."""
    vm, journey = start(bench)
    channel = channels.Unix(bench)
    destination(bench, 'first', vm.guest, channel)
    proxy = Proxy(bench, channel.incoming[5:])
    proxy.stalled = True
    vm.command('migrate', uri=proxy.uri)
    wait_until(lambda: vm.migration().get('ram', {}).get('transferred', 0) > 0, 20, 'some progress')
    runs_on(vm, journey)
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    runs_on(vm, journey)
    move_on(bench, vm, journey)


def cancel_before_switchover(bench):
    """In pre-switchover the guest is stopped; cancelling lets it go on."""
    vm, journey = start(bench)
    channel = channels.Unix(bench)
    caps = {'pause_before_switchover': True}
    other = destination(bench, 'first', vm.guest, channel, caps)
    vm.set_capabilities(**caps)
    vm.command('migrate', uri=channel.outgoing)
    wait_migration(vm, ['pre-switchover'])
    check(vm.status() != 'running', 'the guest runs in pre-switchover')
    lines = vm.console.text()
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    wait_until(lambda: vm.status() == 'running', 5, 'the guest to run again')
    check(vm.console.text().startswith(lines), 'console')
    check(other.wait_exit() != 0, 'the destination ended as if all had been well')
    runs_on(vm, journey)
    vm.set_capabilities(pause_before_switchover=False)
    move_on(bench, vm, journey)


class Listener:
    """Takes a stream and says nothing. One thread, which ends with the connection or close()."""

    def __init__(self, bench):
        self.path = bench.path('listener.sock')
        self.reading = True  # plain value, looked at between two reads
        self.received = bytearray()
        self.ended = False  # the source has let go of the connection
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen(1)
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        bench.at_end(self.close)

    def _loop(self):
        peer = self._socket.accept()[0]
        while not self._closed and not self.ended:
            if not self.reading or not select.select([peer], [], [], 0.01)[0]:
                time.sleep(0.005)
                continue
            data = peer.recv(65536)
            self.received += data
            self.ended = not data
        peer.close()

    def close(self):
        self._closed = True
        self._thread.join(10)
        self._socket.close()


def comes_too_late(bench, guest, stream):
    """A destination receives the whole guest, but the source has let go of it meanwhile: the guest
    may be running there, so it must not start here."""
    channel = channels.TCP4(bench)
    vm = VM(bench, 'late', EMULATOR, guest, incoming='defer')
    vm.command('migrate-incoming', uri=channel.incoming)
    with socket.create_connection(channel.outgoing.split(':')[1:]) as s:
        s.sendall(stream + b'\0')
        s.shutdown(socket.SHUT_WR)
        answer = b''.join(iter(lambda: s.recv(4096), b''))
    check(b'\0\1\0\4\0\0\0\0' not in answer, 'the destination has accepted: %s', answer.hex())
    check(vm.wait_exit() == 1, 'the destination ended with status %s', vm.process.returncode)
    check('ended the connection' in vm.stderr(), 'message: %s', vm.stderr())
    check_equal(vm.console.text(), '', 'console of the destination')


def comes_alone(bench, guest, stream):
    """The same, and the source is gone altogether: the only guest there may be is kept, paused."""
    channel = channels.TCP4(bench)
    vm = VM(bench, 'alone', EMULATOR, guest, incoming='defer')
    vm.command('migrate-incoming', uri=channel.incoming)
    with socket.create_connection(channel.outgoing.split(':')[1:]) as s:
        s.sendall(stream)
        answer = b''
        while not answer.endswith(b'\0\2\0\4\0\0\0\3'):
            data = s.recv(4096)
            check(data, 'the destination ended the connection: %s', answer.hex())
            answer += data
        s.sendall(b'\0')
    wait_migration(vm, ['completed'])
    check_equal(vm.status(), 'paused', 'run state of a guest whose source is gone')
    check('stays paused here' in vm.stderr(), 'message: %s', vm.stderr())
    check_equal(vm.console.text(), '', 'console of the destination')
    vm.command('cont')
    vm.console.wait_statuses(2)


def cancel_in_device(bench, silent):
    """The guest is stopped and its devices' state is taken. Either the rest of RAM cannot be sent,
    because nobody reads it, or all is sent and the destination says nothing. Cancelled, the guest
    goes on where it was stopped."""
    vm, journey = start(bench)
    listener = Listener(bench)
    vm.set_capabilities(pause_before_switchover=True, return_path=True)
    # The first pass is hardly begun when it is time to switch over: much is left.
    vm.set_parameters(max_bandwidth=8 << 20, downtime_limit=1000000)
    vm.command('migrate', uri='unix:' + listener.path)
    wait_migration(vm, ['pre-switchover'])
    listener.reading = silent
    left = vm.migration()['ram']['remaining']
    check(left > 16 << 20, 'only %d bytes are left to send', left)
    lines = vm.console.text()
    vm.command('migrate-continue', state='pre-switchover')
    wait_migration(vm, ['device'])
    if silent:
        wait_until(lambda: vm.migration()['ram']['remaining'] == 0, 20, 'all to be sent')
    time.sleep(0.3)
    check_equal(vm.migration()['status'], 'device', 'state while the destination does nothing')
    check_equal(vm.status(), 'finish-migrate', 'run state in device')
    check_equal(vm.console.text(), lines, 'console in device')
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    check_equal(statuses(vm.qmp.poll_events()),
                ['setup', 'active', 'pre-switchover', 'device', 'cancelling', 'cancelled'], 'states')
    listener.reading = True
    wait_until(lambda: listener.ended, 10, 'the source to let go of the connection')
    runs_on(vm, journey)
    if silent:
        comes_too_late(bench, vm.guest, bytes(listener.received))
        comes_alone(bench, vm.guest, bytes(listener.received))
    vm.set_capabilities(pause_before_switchover=False, return_path=False)
    move_on(bench, vm, journey)


def cancel_after_stop(bench, through='unix:%s'):
    """Cancelled while the answer travels: one of the two has the guest, never both. A command cannot
    be left half open: then it may be that nobody knows, and the source's guest stays paused."""
    for turn in range(6):
        vm, journey = start(bench)
        vm.set_capabilities(return_path=True)
        channel = channels.Unix(bench)
        other = destination(bench, 'first%d' % turn, vm.guest, channel)
        vm.command('migrate', uri=through % channel.outgoing[len('unix:'):])
        vm.qmp.wait_event('STOP', 30)
        time.sleep(turn * 0.001)
        vm.command('migrate_cancel')
        if wait_migration(vm, ['cancelled', 'completed'])['status'] == 'completed':
            check_equal(vm.status(), 'postmigrate', 'run state of the source')
            wait_migration(other, ['completed'])
        elif vm.status() == 'paused':
            vm.qmp.wait_event('X_MIGRATION_OWNER_UNKNOWN', 5)
        else:
            check(other.wait_exit() != 0, 'the destination ended as if all had been well')
            runs_on(vm, journey)
        vm.quit()


def cancel_exec_answers(bench):
    """The same through a command that carries the answers."""
    need(shutil.which('nc'), 'nc (netcat-openbsd) is not there')
    cancel_after_stop(bench, 'exec:nc -U %s')


def yank_destination(bench):
    """Cut at the destination, the migration fails on both sides as if the network had failed."""
    vm, journey = start(bench)
    channel = channels.Unix(bench)
    other = destination(bench, 'first', vm.guest, channel)
    instance = {'type': 'migration'}
    check(instance not in other.command('query-yank'), 'there is nothing to cut yet')
    slow(vm)
    vm.command('migrate', uri=channel.outgoing)
    wait_migration(other, ['active'])
    check(instance in other.command('query-yank'), 'query-yank')
    check_equal(other.command('yank', instances=[instance]), {}, 'yank')
    check_equal(other.wait_exit(), 1, 'status of the destination')
    check('load of migration failed' in other.stderr(), 'message: %s', other.stderr())
    wait_migration(vm, ['failed'])
    runs_on(vm, journey)
    move_on(bench, vm, journey)


ACCEPTED = b'\0\1\0\4\0\0\0\0'


def answer_lost(bench, silent, cancel):
    """The destination has said yes and runs the guest; its source does not hear of it. It keeps the
    guest paused and says so, whether or not somebody cancels meanwhile."""
    vm, _ = start(bench)
    vm.set_capabilities(return_path=True)
    vm.set_parameters(**{'x-verdict-timeout': 4000})
    channel = channels.Unix(bench)
    other = VM(bench, 'first', EMULATOR, vm.guest, incoming='defer')
    other.command('migrate-incoming', uri=channel.incoming)
    proxy = Proxy(bench, channel.incoming[5:])
    setattr(proxy, 'silent_at' if silent else 'cut_at', ACCEPTED)
    vm.command('migrate', uri=proxy.uri)
    wait_migration(other, ['completed'])
    if cancel:
        vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'] if cancel else ['failed'])
    check_equal(vm.status(), 'paused', 'run state of the source')
    lost = vm.qmp.wait_event('X_MIGRATION_OWNER_UNKNOWN', 5)
    check('the destination may run it' in lost['data']['error'], 'event: %s', lost)
    check('the destination may run it' in vm.stderr(), 'message: %s', vm.stderr())
    check_equal(other.status(), 'running', 'run state of the destination')
    other.console.wait_statuses(2)
    # Nobody else is to get it while that is open.
    try:
        vm.command('migrate', uri='unix:' + bench.path('second.sock'))
        check(False, 'it was sent to another destination')
    except QMPError as err:
        check("'cont' takes the guest back" in str(err), 'migrate: %s', err)
    # Somebody has looked there, found nothing, and takes it back.
    other.kill()
    vm.command('cont')
    lines = len(vm.console.statuses())
    vm.console.wait_statuses(lines + 2)


def cancel_late_exec(bench, ends):
    """The command has taken everything. One that ends in time has the guest, the cancel came too late;
    of one that does not nobody knows what it did with it: the guest stays paused until `cont`."""
    vm, journey = start(bench)
    go = bench.path('go')
    vm.command('migrate', uri='exec:cat >%s; while [ ! -e %s ]; do sleep 0.02; done' %
               (bench.path('saved'), go))
    wait_until(lambda: vm.status() == 'finish-migrate', 30, 'the end of the stream')
    wait_until(lambda: vm.migration()['ram']['remaining'] == 0, 30, 'all to be sent')
    time.sleep(0.3)
    if ends:
        open(go, 'w').close()
    vm.command('migrate_cancel')
    if ends:
        wait_migration(vm, ['completed'])
        check_equal(vm.status(), 'postmigrate', 'run state')
        return
    wait_migration(vm, ['cancelled'])
    check_equal(vm.status(), 'paused', 'run state')
    lost = vm.qmp.wait_event('X_MIGRATION_OWNER_UNKNOWN', 5)
    check('whoever the command has handed it to may run it' in lost['data']['error'], '%s', lost)
    vm.command('cont')
    runs_on(vm, journey)
    move_on(bench, vm, journey)


def cancelled_waits(bench, hmp):
    """The cancelled migration takes a while to end; so does the next `migrate`, and no other monitor
    notices."""
    vm = VM(bench, 'source', EMULATOR, Bare('checker', size='256K'),
            extra=('-qmp', 'unix:%s,server=on,wait=off' % bench.path('other')))
    wait_alive(vm, 1)
    other = QMP(bench.path('other'))
    bench.at_end(other.close)
    vm.command('x-fault', point='src-settle', action='stall', ms=1500)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(bench.path('nobody.sock'))
    listener.listen(64)
    bench.at_end(listener.close)
    vm.command('migrate', uri='unix:' + bench.path('nobody.sock'))
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelling'])
    since = time.monotonic()
    vm.qmp.raw(json.dumps(
        {'execute': 'human-monitor-command',
         'arguments': {'command-line': 'migrate -d exec:cat>/dev/null'}} if hmp else
        {'execute': 'migrate', 'arguments': {'uri': 'exec:cat >/dev/null'}}).encode() + b'\n')
    worst = looks = 0
    while other.command('query-migrate')['status'] == 'cancelling':
        before = time.monotonic()
        other.command('query-status')
        worst = max(worst, time.monotonic() - before)
        looks += 1
    check(time.monotonic() - since > 0.7, 'it did not wait: the test tries nothing')
    check(looks > 5 and worst < 0.6, 'the other monitor waited %.2f s, %d answers', worst, looks)
    check_equal(vm.qmp.answer()['return'], '' if hmp else {}, 'answer')
    wait_migration(vm, ['completed'])


def cancel_and_again(bench, times=20):
    """Cancelled and started again at once, again and again."""
    vm, journey = start(bench)
    slow(vm)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(bench.path('nobody.sock'))
    listener.listen(64)
    bench.at_end(listener.close)
    for _ in range(times):
        vm.command('migrate', uri='unix:' + bench.path('nobody.sock'))
        vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    runs_on(vm, journey)
    move_on(bench, vm, journey)


def continue_after_pause(bench):
    """pause-before-switchover, a wrong migrate-continue, then the right one."""
    vm, journey = start(bench)
    move = Move(bench, EMULATOR, vm.guest, channels.Unix(bench), source=vm, journey=journey,
                caps={'pause_before_switchover': True})

    def during(source, _destination):
        wait_migration(source, ['pre-switchover'])
        try:
            source.command('migrate-continue', state='active')
            raise Failed('migrate-continue accepted a state that is not the current one')
        except QMPError as error:
            check('not in expected state' in error.desc, 'text: %s', error.desc)
        check_equal(source.migration()['status'], 'pre-switchover', 'state')
        source.command('migrate-continue', state='pre-switchover')

    move.during = during
    move.run()
    states = statuses(vm.qmp.poll_events())
    check_equal(states, ['setup', 'active', 'pre-switchover', 'device', 'completed'], 'states')


def cancel_nothing(bench):
    """With no migration going on it does nothing, and says so by saying nothing."""
    vm, journey = start(bench)
    check_equal(vm.command('migrate_cancel'), {}, 'answer')
    check_equal(vm.hmp('migrate_cancel'), '', 'answer')
    runs_on(vm, journey)
    move_on(bench, vm, journey)


def cancel_while_paused(bench):
    """A stopped guest stays stopped."""
    vm, journey = start(bench)
    vm.command('stop')
    slow(vm)
    channel = channels.Unix(bench)
    destination(bench, 'first', vm.guest, channel)
    vm.command('migrate', uri=channel.outgoing)
    wait_migration(vm, ['active'])
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    check_equal(vm.status(), 'paused', 'run state')
    vm.command('cont')
    runs_on(vm, journey)
    move_on(bench, vm, journey)


def second_refused(bench):
    """Only one at a time; what must not change during it is refused, too."""
    vm, journey = start(bench)
    slow(vm)
    channel = channels.Unix(bench)
    destination(bench, 'first', vm.guest, channel)
    vm.command('migrate', uri=channel.outgoing)
    wait_migration(vm, ['active'])
    for call in (lambda: vm.command('migrate', uri='tcp:127.0.0.1:1'),
                 lambda: vm.set_capabilities(xbzrle=True)):
        try:
            call()
            raise Failed('accepted during a migration')
        except QMPError as error:
            check("There's a migration process in progress" in error.desc, 'text: %s', error.desc)
    vm.command('migrate_cancel')
    wait_migration(vm, ['cancelled'])
    runs_on(vm, journey)
    move_on(bench, vm, journey)


def ten_failures(bench):
    """Failed and cancelled in turn, ten times, then it works."""
    vm, journey = start(bench)
    for turn in range(10):
        if turn % 2:
            vm.command('migrate', uri='unix:' + bench.path('nobody.sock'))
            info = wait_migration(vm, ['failed'])
            check('nobody.sock' in info.get('error-desc', '')
                  or 'No such file' in info.get('error-desc', ''), 'error-desc: %s', info)
        else:
            slow(vm)
            channel = channels.Unix(bench)
            other = destination(bench, 'first%d' % turn, vm.guest, channel)
            vm.command('migrate', uri=channel.outgoing)
            wait_migration(vm, ['active'])
            if turn % 4:
                other.kill()
                wait_migration(vm, ['failed'])
            else:
                vm.command('migrate_cancel')
                wait_migration(vm, ['cancelled'])
        runs_on(vm, journey)
    move_on(bench, vm, journey)


def forgiven(call):
    """QEMU answers some connection errors at once, others through query-migrate: both are fine."""
    try:
        call()
    except QMPError:
        pass


def connect_refused(bench, uri, cause):
    def run(bench):
        vm, journey = start(bench, harts=1)
        forgiven(lambda: vm.command('migrate', uri=uri))
        info = wait_migration(vm, ['failed'])
        check(cause in info.get('error-desc', ''), 'error-desc names no cause: %s', info)
        runs_on(vm, journey)
        move_on(bench, vm, journey)
    return run


CASES = [
    Case('cancel while active', cancel_active),
    Case('cancel while active, delta on', lambda b: cancel_active(b, True)),
    Case('cancel in setup', cancel_setup),
    Case('cancel an exec that never reads', cancel_exec),
    Case('cancel on a stalled link', cancel_stalled),
    Case('cancel in pre-switchover', cancel_before_switchover),
    Case('cancel in device, the rest cannot be sent', lambda b: cancel_in_device(b, False)),
    Case('cancel in device, no answer', lambda b: cancel_in_device(b, True)),
    Case('cancel while the answer travels', cancel_after_stop, timeout=120),
    Case('the answer is lost', lambda b: answer_lost(b, False, False)),
    Case('the answer does not come', lambda b: answer_lost(b, True, False)),
    Case('the answer does not come, and somebody cancels', lambda b: answer_lost(b, True, True)),
    Case('cancel while the answer travels through a command', cancel_exec_answers),
    Case('yank at the destination', yank_destination),
    Case('cancel when the command has all and ends', lambda b: cancel_late_exec(b, True)),
    Case('cancel when the command has all and does not end', lambda b: cancel_late_exec(b, False)),
    Case('migrate waits for a cancelled one, others do not', lambda b: cancelled_waits(b, False)),
    Case('human monitor: the same', lambda b: cancelled_waits(b, True)),
    Case('cancel and migrate at once, 20 times', cancel_and_again),
    Case('cancel and migrate at once, 1000 times', lambda b: cancel_and_again(b, 1000), full=True,
         timeout=600),
    Case('pause before switchover, then continue', continue_after_pause),
    Case('cancel without a migration', cancel_nothing),
    Case('cancel with the guest stopped', cancel_while_paused),
    Case('a second migration is refused', second_refused),
    Case('ten failed or cancelled migrations, then one that works', ten_failures, timeout=120),
    Case('connection refused', connect_refused(None, 'tcp:127.0.0.1:1', 'Connection refused')),
    Case('no such socket', connect_refused(None, 'unix:/nonexistent/socket', 'No such file')),
    Case('no such descriptor', connect_refused(None, 'fd:nobody', 'nobody')),
]

if __name__ == '__main__':
    main(CASES)
