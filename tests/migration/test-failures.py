#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One side dies, the link breaks or stands still, the two sides do not fit: a clear message on the
side where it happened, the source's guest unharmed, and never two running guests."""
import os
import signal
import socket
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare, BareNone
from ferrytest.move import Journey, Move, compare_ram, wait_alive, wait_loaded, wait_migration
from ferrytest.process import VM
from ferrytest.proxy import Proxy
from ferrytest.qmp import QMPError, statuses
from ferrytest.tap import Case, Failed, Skip, check, check_equal, main, wait_until

EMULATOR = emulators.subject()


class Pair:
    """A source with a living guest and a destination that waits behind a proxy."""

    def __init__(self, bench, guest=None, dst_guest=None, dst_emulator=None, caps=None,
                 memory=32, harts=2, paused=False, channel=channels.Unix, **proxy):
        self.bench = bench
        self.guest = guest or Bare('checker', harts=harts, size='2M', memory=memory)
        self.journey = Journey()
        self.source = VM(bench, 'source', EMULATOR, self.guest)
        self.journey.vms.append(self.source)
        self.source.set_capabilities(events=True, **(caps or {}))
        if self.guest.mode != 'none':
            wait_alive(self.source)
        self.channel = channel(bench)
        self.destination = VM(bench, 'destination', dst_emulator or EMULATOR,
                              dst_guest or self.guest, incoming='defer', paused=paused)
        self.destination.set_capabilities(events=True, **(caps or {}))
        self.destination.command('migrate-incoming', uri=self.channel.incoming)
        kind, where = self.channel.incoming.split(':', 1)
        if kind == 'tcp':
            host, port = where.split(':')
            self.proxy = Proxy(bench, (host, int(port)), tcp=True, **proxy)
        else:
            self.proxy = Proxy(bench, where, **proxy)

    def migrate(self):
        self.source.command('migrate', uri=self.proxy.uri)

    def source_unharmed(self):
        check_equal(self.source.status(), 'running', 'run state of the source')
        if self.guest.mode == 'none':
            return
        lines = len(self.source.console.statuses())
        self.source.console.wait_statuses(lines + 2)
        self.journey.check()

    def works_later(self):
        """The same source can still be moved."""
        self.source.set_parameters(max_bandwidth=0, downtime_limit=1000)
        Move(self.bench, EMULATOR, self.guest, channels.Unix(self.bench), source=self.source,
             journey=self.journey, names=('source', 'later')).run()

    def destination_refuses(self, *words):
        """It ends with a failure and its message has all of the words."""
        check(self.destination.wait_exit() == 1, 'the destination ended with status %s, not 1',
              self.destination.process.returncode)
        text = self.destination.stderr()
        for word in words:
            check(word in text, 'the destination\'s message lacks "%s": %s', word, text)


def destination_killed(bench, how, after):
    pair = Pair(bench)
    pair.source.set_parameters(max_bandwidth=4 << 20, downtime_limit=1)
    pair.migrate()
    wait_until(lambda: pair.proxy.passed > after, 20, '%d bytes to pass' % after)
    pair.destination.kill(how)
    info = wait_migration(pair.source, ['failed'])
    check(info.get('error-desc'), 'the source gives no reason: %s', info)
    pair.source_unharmed()
    pair.works_later()


def source_killed(bench, after):
    """The destination must not start the half of a guest."""
    pair = Pair(bench)
    pair.source.set_parameters(max_bandwidth=4 << 20, downtime_limit=1)
    pair.migrate()
    wait_until(lambda: pair.proxy.passed > after, 20, '%d bytes to pass' % after)
    pair.source.kill()
    check(pair.destination.wait_exit() == 1, 'exit status of the destination: %s',
          pair.destination.process.returncode)
    check(pair.destination.stderr().strip(), 'the destination says nothing')
    check_equal(pair.destination.console.text(), '', 'console of the destination')


def link_cut(bench, after, return_path=False):
    pair = Pair(bench, caps={'return_path': True} if return_path else None)
    pair.source.set_parameters(max_bandwidth=16 << 20, downtime_limit=1)
    pair.proxy.cut_after = after
    pair.migrate()
    info = wait_migration(pair.source, ['failed'])
    check(info.get('error-desc'), 'the source gives no reason: %s', info)
    pair.destination_refuses()
    check(pair.destination.stderr().strip(), 'the destination says nothing')
    pair.source_unharmed()
    pair.source.set_capabilities(return_path=False)
    pair.works_later()


def link_stalled(bench):
    """Nothing passes for two seconds; the guest runs on meanwhile, then all arrives."""
    pair = Pair(bench, paused=True)
    pair.proxy.stalled = True
    pair.migrate()
    time.sleep(0.5)
    pair.source_unharmed()
    time.sleep(1.5)
    check_equal(pair.source.migration()['status'], 'active', 'state on a stalled link')
    pair.proxy.stalled = False
    wait_migration(pair.source)
    wait_loaded(pair.destination)
    compare_ram(bench, pair.source, pair.destination)
    pair.destination.command('cont')
    pair.journey.prove(pair.destination)


def link_dead(return_path, limit=100):
    """From one moment on no packet arrives on either side, and none says so: both notice within the
    minute that the kernel is given, say why, and the guest is the source's."""
    def run(bench):
        pair = Pair(bench, channel=channels.TCP4, caps={'return_path': True} if return_path else None)
        pair.source.set_parameters(max_bandwidth=4 << 20, downtime_limit=1)
        pair.migrate()
        wait_until(lambda: pair.proxy.passed > 1 << 20, 20, 'some RAM to pass')
        since = time.monotonic()
        pair.proxy.dead = True
        info = wait_migration(pair.source, ['failed'], timeout=limit)
        bench.note('the source noticed after %.0f s: %s' % (time.monotonic() - since,
                                                            info.get('error-desc')))
        check('nothing was heard' in info.get('error-desc', ''), 'the source gives no reason: %s', info)
        check(pair.destination.wait_exit(limit) == 1, 'exit status of the destination: %s',
              pair.destination.process.returncode)
        bench.note('the destination noticed after %.0f s: %s' % (time.monotonic() - since,
                                                                 pair.destination.stderr()))
        check('nothing was heard' in pair.destination.stderr(), 'the destination gives no reason: %s',
              pair.destination.stderr())
        check_equal(pair.destination.console.text(), '', 'console of the destination')
        pair.source_unharmed()
        pair.source.set_capabilities(return_path=False)
        pair.works_later()
    return run


def mismatch(change, words, return_path=False, guest=None, dst_guest=None):
    """The destination is another machine: it says so and the source's guest goes on."""
    def run(bench):
        caps = {'return_path': True} if return_path else None
        pair = Pair(bench, caps=caps, guest=guest or Bare('checker', harts=1, size='2M'),
                    dst_guest=dst_guest or change)
        pair.source.command('migrate', uri=pair.proxy.uri)
        pair.destination_refuses(*words)
        if return_path:
            info = wait_migration(pair.source, ['failed'])
            check(info.get('error-desc'), 'the source gives no reason: %s', info)
            pair.source_unharmed()
        else:
            # Without a return path a source may believe that all went well when the device state
            # was refused; then its guest is stopped but not lost.
            wait_migration(pair.source, ['failed', 'completed'])
            if pair.source.status() == 'postmigrate':
                pair.source.command('cont')
            pair.source_unharmed()
    return run


def cont_after_completed(bench):
    """A completed migration leaves the source stopped; `cont` is the user's decision, allowed."""
    move = Move(bench, EMULATOR, Bare('checker', size='2M'), channels.Unix(bench)).run()
    move.destination.kill()
    move.source.command('cont')
    check_equal(move.source.status(), 'running', 'run state')
    lines = len(move.source.console.statuses())
    move.source.console.wait_statuses(lines + 2)


def destination_of(bench, name, guest):
    vm = VM(bench, name, EMULATOR, guest, incoming='defer', paused=True)
    vm.set_capabilities(events=True)
    return vm


def saved(bench, vm, name):
    """The stopped machine in a file; returns its path."""
    path = bench.path(name)
    vm.set_parameters(max_bandwidth=0)
    vm.command('migrate', uri='file:' + path)
    wait_migration(vm)
    return path


def device_state(path):
    """What a saved stream says about everything but RAM; "timer" is the first such section."""
    with open(path, 'rb') as f:
        data = f.read()
    start = data.rfind(b'\x05timer')
    check(start > 0, 'no section "timer" in %s', path)
    return data[start:]


def damaged_at_the_end(path):
    """All of RAM and every device's state is fine, but not the footer of the last section."""
    with open(path, 'rb') as f:
        data = bytearray(f.read())
    description = data.rfind(b'\x00\x06')
    while data[description - 5] != 0x7e:
        description = data.rfind(b'\x00\x06', 0, description)
        check(description > 0, 'no footer before the description')
    data[description - 1] ^= 0xff
    with open(path, 'wb') as f:
        f.write(data)


def outlives(vm, words):
    """The load has failed, the process says why and waits."""
    info = wait_migration(vm, ['failed'])
    check(words in info.get('error-desc', ''), 'error-desc: %s', info)
    check_equal(vm.status(), 'inmigrate', 'run state after a failed load')


def only_ferry_tries_again():
    if not EMULATOR.is_ferry:
        raise Skip('QEMU refuses a second migrate-incoming')


def other_guest(bench):
    """A file with the state of a guest that does something else, all but loadable."""
    other = VM(bench, 'other', EMULATOR, Bare('loadgen', harts=2, size='8M'))
    wait_alive(other)
    other.command('stop')
    path = saved(bench, other, 'broken')
    damaged_at_the_end(path)
    return path


def same_as_fresh(bench):
    """After another guest was loaded to the last byte but one, the second guest arrives as it does
    in a machine that has never seen a stream."""
    only_ferry_tries_again()
    broken = other_guest(bench)
    guest = Bare('checker', harts=2, size='2M')
    source = VM(bench, 'source', EMULATOR, guest)
    journey = Journey()
    journey.vms.append(source)
    wait_alive(source)
    source.command('stop')
    good = saved(bench, source, 'good')

    fresh = destination_of(bench, 'fresh', guest)
    fresh.command('migrate-incoming', uri='file:' + good)
    wait_loaded(fresh)
    again = destination_of(bench, 'again', guest)
    again.command('migrate-incoming', uri='file:' + broken, exit_on_error=False)
    outlives(again, 'footer')
    again.command('migrate-incoming', uri='file:' + good)
    wait_loaded(again)
    check_equal(again.migration()['status'], 'completed', 'state of the second attempt')
    compare_ram(bench, fresh, again)
    check(device_state(saved(bench, fresh, 'fresh.state')) ==
          device_state(saved(bench, again, 'again.state')), 'the two differ in device state')
    again.command('cont')
    journey.prove(again)


def untouched(bench, vm):
    """What a machine that waits for its guest looks like."""
    path = bench.path(vm.name + '.ram')
    vm.command('pmemsave', val=vm.guest.ram_base, size=vm.guest.memory << 20, filename=path)
    with open(path, 'rb') as f:
        ram = f.read()
    return (len(ram) - ram.count(0), vm.hmp('info registers -a'))


def again_after(bench, break_off):
    """The same source and the same destination meet twice; the first meeting breaks off."""
    only_ferry_tries_again()
    guest = Bare('checker', harts=2, size='2M')
    source = VM(bench, 'source', EMULATOR, guest)
    source.set_capabilities(events=True)
    journey = Journey()
    journey.vms.append(source)
    wait_alive(source)
    destination = destination_of(bench, 'destination', guest)
    before = untouched(bench, destination)
    check_equal(before[0], 0, 'bytes of RAM that are not zero')
    channel = channels.Unix(bench)
    destination.command('migrate-incoming', uri=channel.incoming, exit_on_error=False)
    proxy = Proxy(bench, channel.incoming[5:])
    source.set_parameters(max_bandwidth=4 << 20, downtime_limit=1)
    break_off(bench, source, proxy)
    outlives(destination, 'offset')
    check('load of migration failed' in destination.stderr(), 'the destination says nothing')

    # What cannot listen changes nothing.
    try:
        destination.command('migrate-incoming', uri='unix:/nonexistent/socket')
        raise Failed('migrate-incoming accepted an address that is none')
    except QMPError:
        outlives(destination, 'offset')
    destination.command('migrate-incoming', uri=channel.incoming, exit_on_error=False)
    check_equal(destination.migration()['status'], 'setup', 'state of the second attempt')
    check('error-desc' not in destination.migration(), 'the old error is still there')
    check_equal(untouched(bench, destination), before, 'the machine before the second attempt')
    try:
        destination.command('migrate-incoming', uri=channel.incoming)
        raise Failed('migrate-incoming accepted while one is listening')
    except QMPError as error:
        check('already been started' in error.desc, 'text: %s', error.desc)
    source.set_parameters(max_bandwidth=0, downtime_limit=1000)
    source.command('migrate', uri=channel.outgoing)
    wait_migration(source)
    wait_loaded(destination)
    check_equal(statuses(destination.qmp.poll_events()),
                ['setup', 'active', 'failed', 'setup', 'active', 'completed'], 'states')
    compare_ram(bench, source, destination)
    destination.command('cont')
    journey.prove(destination)


def by_cancel(_bench, source, proxy):
    source.command('migrate', uri=proxy.uri)
    wait_until(lambda: proxy.passed > 1 << 20, 20, 'some RAM to pass')
    source.command('migrate_cancel')
    wait_migration(source, ['cancelled'])


def by_garbage(_bench, _source, proxy):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(proxy.uri[5:])
        s.sendall(b'GET / HTTP/1.1\r\n\r\n')


def by_another_guest(bench, _source, proxy):
    with socket.socket(socket.AF_UNIX) as s, open(other_guest(bench), 'rb') as f:
        s.connect(proxy.uri[5:])
        s.sendfile(f)


def exec_in_sandbox(bench):
    """A command cannot be run: that is said before anybody tries, and the guest lives."""
    sandbox = ('-sandbox', 'on,spawn=deny')
    guest = Bare('checker', size='2M')
    source = VM(bench, 'source', EMULATOR, guest, extra=sandbox)
    journey = Journey()
    journey.vms.append(source)
    wait_alive(source)
    destination = VM(bench, 'destination', EMULATOR, guest, incoming='defer', paused=True,
                     extra=sandbox)
    for vm, command in ((source, 'migrate'), (destination, 'migrate-incoming')):
        try:
            vm.command(command, uri='exec:cat')
            raise Failed('%s: a command was accepted' % command)
        except QMPError as error:
            if EMULATOR.is_ferry:
                check('spawn=deny' in error.desc and 'cat' in error.desc, 'text: %s', error.desc)
    if EMULATOR.is_ferry:
        # As if never asked: the same destination takes another address.
        channel = channels.Unix(bench)
        destination.command('migrate-incoming', uri=channel.incoming)
        source.command('migrate', uri=channel.outgoing)
        wait_migration(source)
        wait_loaded(destination)
        compare_ram(bench, source, destination)
        destination.command('cont')
        journey.prove(destination)


def exec_without_privileges(bench):
    """elevateprivileges=deny takes much away from children, but not what a command needs."""
    source = VM(bench, 'source', EMULATOR, Bare('checker', size='2M'),
                extra=('-sandbox', 'on,elevateprivileges=deny,resourcecontrol=deny'))
    wait_alive(source)
    path = bench.path('state')
    source.command('migrate', uri='exec:cat > ' + path)
    wait_migration(source)
    check(os.path.getsize(path) > 1 << 20, 'the command received %d bytes', os.path.getsize(path))
    source.command('cont')
    source.command('migrate', uri='exec:exec sleep 1000')
    wait_migration(source, ['active', 'setup'])
    source.command('migrate_cancel')
    wait_migration(source, ['cancelled'])
    check_equal(source.status(), 'running', 'run state')


def run_state_refused(bench):
    """A run state in which no guest can go on is refused before the source hears a yes."""
    pair = Pair(bench, caps={'return_path': True})
    pair.proxy.replace = (b'\0\0\0\x08running\0', b'\0\0\0\x08save-vm\0')
    pair.migrate()
    info = wait_migration(pair.source, ['failed'])
    check("run state 'save-vm'" in info.get('error-desc', ''), 'error-desc: %s', info)
    pair.destination_refuses("run state 'save-vm'")
    check_equal(pair.destination.console.text(), '', 'console of the destination')
    pair.source_unharmed()


CASES = [
    Case('destination killed at the start', lambda b: destination_killed(b, signal.SIGKILL, 0)),
    Case('destination killed in RAM', lambda b: destination_killed(b, signal.SIGKILL, 1 << 20)),
    Case('destination terminated', lambda b: destination_killed(b, signal.SIGTERM, 500000)),
    Case('source killed in RAM', lambda b: source_killed(b, 1 << 20)),
    Case('source killed at the start', lambda b: source_killed(b, 100)),
    Case('link cut at byte 5', lambda b: link_cut(b, 5)),
    Case('link cut in RAM', lambda b: link_cut(b, 600000)),
    Case('link cut in RAM, return path', lambda b: link_cut(b, 600000, True)),
    Case('link cut in a later pass', lambda b: link_cut(b, 12 << 20)),
    Case('link stalled', link_stalled),
    Case('link dead, tcp', link_dead(False)),
    Case('RAM too small', mismatch(Bare('checker', size='2M', memory=16),
                                   ['riscv_virt_board.ram', '0x2000000', '0x1000000'])),
    Case('RAM too large', mismatch(Bare('checker', size='2M', memory=64),
                                   ['riscv_virt_board.ram', '0x2000000', '0x4000000'])),
    Case('RAM too small, return path', mismatch(Bare('checker', size='2M', memory=16),
                                                ['riscv_virt_board.ram'], return_path=True)),
    Case('another number of harts', mismatch(Bare('checker', size='2M', harts=2), [])),
    Case('another number of harts, return path',
         mismatch(Bare('checker', size='2M', harts=2), [], return_path=True)),
    Case('another machine', mismatch(BareNone(), ['none', 'virt'])),
    Case('another machine, return path', mismatch(BareNone(), ['none', 'virt'], return_path=True)),
    Case('a run state that is none to go on in', run_state_refused),
    Case('a completed source can be continued', cont_after_completed),
    Case('sandbox: no command may be run', exec_in_sandbox),
    Case('sandbox: a command without privileges', exec_without_privileges),
    Case('exit-on-error=false: again after a cancel', lambda b: again_after(b, by_cancel)),
    Case('exit-on-error=false: again after garbage', lambda b: again_after(b, by_garbage)),
    Case('exit-on-error=false: again after another guest', lambda b: again_after(b, by_another_guest)),
    Case('exit-on-error=false: the second guest arrives as in a fresh machine', same_as_fresh),
]

if __name__ == '__main__':
    main(CASES)
