#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The destination of a postcopy: a guest that runs before its memory is there, with the network cut
at any moment, monitors that answer whatever the guest waits for, and strangers at the door."""
import os
import random
import shutil
import socket
import subprocess
import time

from ferrytest import channels, emulators
from ferrytest.crossing import BOOT, READY
from ferrytest.devices import Busy
from ferrytest.guest import Bare
from ferrytest.host import HugePages, huge_page_size, may_use_userfaultfd
from ferrytest.move import wait_migration
from ferrytest.postcopy import Postcopy, listen_again
from ferrytest.process import VM
from ferrytest.proxy import Proxy
from ferrytest.qmp import QMPError, statuses
from ferrytest.tap import Case, check, check_equal, main, need, wait_until

# Not the 100 ms that a monitor takes at most on a machine that has nothing else to do.
PROMPT = 2


class Proxied(channels.Unix):
    """A unix socket with a wire that can be cut."""

    def before_migrate(self, _source):
        self.proxy = Proxy(self.bench, self.incoming[5:])
        self.outgoing = self.proxy.uri


def postcopy(bench, harts=1, channel=Proxied, **options):
    return Postcopy(bench, emulators.ferry(), Bare('checker', 64, harts, size='8M'),
                    channel(bench), compare=options.pop('compare', False), **options)


def begin(bench, **options):
    """The guest has just been switched over; little of its memory is there."""
    move = postcopy(bench, slow=1 << 20, rest=1 << 20, **options)
    move.start_source()
    move.start_destination()
    move.start_migration()
    move.switch()
    return move


def end(move):
    move.source.set_parameters(max_postcopy_bandwidth=0)
    move.finish()


def plain(harts, channel, **options):
    def run(bench):
        move = postcopy(bench, harts, channels.ALL[channel], **options).run()
        told = statuses(move.destination.qmp.poll_events())
        check_equal(told, ['setup', 'active', 'postcopy-active', 'completed'],
                    'events of the destination')
        info = move.destination.migration()
        check_equal(info['x-postcopy-waits']['missing'], 0, 'bytes that are missing')
    return run


ENGINE = ('-global', 'migration.x-postcopy-engine=userfaultfd')


def userfaultfd(bench):
    need(may_use_userfaultfd(), 'this process may not use userfaultfd')
    postcopy(bench, 2, channels.ALL['unix'], dst_extra=ENGINE).run()


HUGE_RAM = 32       # MiB


def huge(bench, channel=Proxied, **options):
    """A move between two machines whose memory is of huge pages."""
    pages = HugePages(bench, 3 * HUGE_RAM << 20)        # one more than two guests are sure to find room
    need(not pages.reason, '%s', pages.reason)
    memory = ('-object', 'memory-backend-file,id=mem,size=%dM,mem-path=%s,share=on'
              % (HUGE_RAM, pages.path), '-M', 'virt,memory-backend=mem')
    options['dst_extra'] = memory + options.get('dst_extra', ())
    move = Postcopy(bench, emulators.ferry(), Bare('checker', HUGE_RAM, 2, size='8M'),
                    channel(bench), compare=False, extra=memory, slow=1 << 20, rest=4 << 20, **options)
    move.start_source()
    move.start_destination()
    move.start_migration()
    return move


def huge_pages(bench):
    """4 KiB of the guest are placed in a page of the host that has more, also after a cut."""
    move = huge(bench)
    move.switch()
    move.destination.command('migrate-pause')
    move.await_paused()
    move.recover('unix:' + bench.path('again'))
    end(move)
    size = huge_page_size()
    with open('/proc/%d/smaps' % move.destination.process.pid, encoding='ascii') as f:
        check('KernelPageSize: %8d kB' % (size >> 10) in f.read(), 'no huge pages were used')


class Recorded(channels.Unix):
    """Keeps what the source sends."""

    def before_migrate(self, _source):
        self.stream = self.bench.path('stream')
        self.outgoing = Proxy(self.bench, self.incoming[5:], capture=self.stream).uri


def huge_pages_inspected(bench):
    """ferry-inspect reads the stream of such a move."""
    move = huge(bench, channel=Recorded)
    move.switch()
    end(move)
    done = subprocess.run([os.path.join(emulators.BUILD, 'ferry-inspect'), 'verify', move.channel.stream],
                          capture_output=True, text=True, check=False)
    check_equal(done.returncode, 0, 'ferry-inspect: ' + done.stdout + done.stderr)


def huge_pages_userfaultfd(bench):
    """The other engine places no less than a page of the host: said before the switch."""
    need(may_use_userfaultfd(), 'this process may not use userfaultfd')
    move = huge(bench, dst_extra=ENGINE)
    wait_migration(move.source, ('failed',))
    check(move.destination.wait_exit() != 0, 'the destination ended as if nothing had happened')
    check('userfaultfd cannot place 4 KiB in RAM block' in move.destination.stderr(),
          'destination: %s', move.destination.stderr())
    check('userfaultfd cannot place 4 KiB' in move.source.migration()['error-desc'], 'source: %s',
          move.source.migration())
    wait_until(lambda: move.source.status() == 'running', 20, 'the guest to go on')


def no_userfaultfd(bench):
    """A destination that may not use the engine it is told to says so before the switch."""
    prefix = () if not may_use_userfaultfd() else (
        'setpriv', '--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace')
    need(not prefix or (shutil.which('setpriv') and not may_use_userfaultfd(prefix)),
         'every process may use userfaultfd')
    ferry = emulators.ferry()
    there = emulators.Emulator('ferry', [*prefix, *ferry.argv], ferry=True)
    move = postcopy(bench, channel=channels.ALL['unix'], dst_extra=ENGINE, slow=1 << 20,
                    destination_emulator=there)
    move.start_source()
    move.start_destination()
    move.start_migration()
    wait_migration(move.source, ('failed',))
    check(move.destination.wait_exit() != 0, 'the destination ended as if nothing had happened')
    check('may not use userfaultfd' in move.destination.stderr()
          and 'x-postcopy-engine=software' in move.destination.stderr(),
          'destination: %s', move.destination.stderr())
    check_equal(move.source.status(), 'running', 'state of the source')


def refused(vm, text, command, **arguments):
    try:
        vm.command(command, **arguments)
    except QMPError as error:
        check(text in str(error), '%s: %s', command, error)
    else:
        check(False, '%s was accepted', command)


def prompt(vm, limit=PROMPT):
    """What a monitor is asked while the guest stands still; returns the longest answer."""
    longest = 0
    for command, arguments in (('query-status', {}), ('query-migrate', {}), ('stop', {}),
                               ('cont', {}), ('query-cpus-fast', {}),
                               ('human-monitor-command', {'command-line': 'info migrate'}),
                               ('human-monitor-command', {'command-line': 'info registers'})):
        start = time.monotonic()
        vm.command(command, **arguments)
        longest = max(longest, time.monotonic() - start)
        check(longest < limit, '%s took %.3f s', command, longest)
    return longest


def stalled(bench):
    """Nothing comes any more, and nothing breaks: all harts wait, monitors answer, and pause helps."""
    move = begin(bench, harts=2)
    for vm in (move.source, move.destination):
        vm.set_parameters(x_postcopy_silence_limit=0)
    move.channel.proxy.stalled = True
    check(move.destination.migration()['x-postcopy-waits']['missing'] > 1 << 20, 'it is all there')
    waits = {}
    def all_wait():
        now = move.destination.console.text(), move.destination.migration()['x-postcopy-waits']
        same, waits['last'] = now == waits.get('last'), now
        return same
    wait_until(all_wait, 60, 'the guest to stand still', interval=0.5)
    bench.note('longest answer: %.1f ms' % (1000 * prompt(move.destination)))
    refused(move.destination, 'not all of this guest', 'migrate', uri='exec:cat >/dev/null')
    refused(move.destination, 'can only be run when postcopy is paused', 'migrate-recover',
            uri='tcp:127.0.0.1:0')
    move.destination.command('migrate-pause')
    wait_migration(move.destination, ('postcopy-paused',))
    said = move.destination.stderr()
    check('Postcopy is paused, as asked' in said and 'IO failure' not in said,
          'destination: %s', said)
    bench.note('longest answer, paused: %.1f ms' % (1000 * prompt(move.destination)))
    move.channel.proxy.stalled = False
    move.await_paused()
    move.recover('tcp:127.0.0.1:0')
    end(move)


def quits(bench):
    """From each state in which the guest may wait."""
    for number in range(3):
        move = begin(bench, names=('source-%d' % number, 'destination-%d' % number), harts=2)
        if number == 0:
            move.channel.proxy.stalled = True
        else:
            move.destination.command('migrate-pause')
            wait_migration(move.destination, ('postcopy-paused',))
        if number == 2:
            listen_again(move.destination)
        time.sleep(0.1)
        move.destination.quit()
        move.channel.proxy.stalled = False
        wait_migration(move.source, ('postcopy-paused',))
        move.source.quit()


def cuts(times, harts=2):
    """The wire is cut at a random moment, again and again; also while the two agree again."""
    def run(bench):
        done = 0
        while done < times:
            done += cut_often(bench, 'after-%d' % done, min(times - done, 20), harts)
    return run


def cut_often(bench, name, times, harts):
    """One move with so many cuts, or fewer if all memory is there before; returns how many."""
    move = begin(bench, harts=harts, names=(name + '-source', name))
    proxy, made = move.channel.proxy, times
    for number in range(times):
        move.source.set_parameters(max_postcopy_bandwidth=random.randint(1 << 19, 1 << 22))
        cut = random.choice([0, 10, 40, 200, random.randint(1000, 400000)])
        proxy.cut_after = proxy.passed + cut
        wait_until(lambda: proxy.broken or
                   move.destination.migration()['status'] == 'completed', 60, 'the cut')
        proxy.cut_after = None
        if move.destination.migration()['status'] == 'completed':
            made = number
            break
        move.await_paused()
        path = bench.path('%s-%d' % (name, number))
        proxy = Proxy(bench, path)
        if random.random() < 0.3:       # the attempt itself does not get through
            proxy.cut_after = random.randint(0, 60)
        listen_again(move.destination, 'unix:' + path)
        move.source.command('migrate', uri=proxy.uri, resume=True)
        if proxy.cut_after is not None:
            wait_until(lambda: proxy.broken, 60, 'the cut of the recovery')
            move.await_paused()
            proxy.cut_after = proxy.broken = None
            listen_again(move.destination, 'unix:' + path)
            move.source.command('migrate', uri=proxy.uri, resume=True)
        wait_migration(move.destination, ('postcopy-active', 'completed'))
        wait_migration(move.source, ('postcopy-active', 'completed'))
    end(move)
    return max(made, 1)


def listens_elsewhere(bench):
    """migrate-recover while what is left of an attempt is being taken in: the new address counts."""
    move = begin(bench)
    move.source.command('migrate-pause')
    move.await_paused()
    listen_again(move.destination, 'unix:' + bench.path('first'))
    move.destination.command('x-fault', point='dst-postcopy-connected', action='stall', ms=3000)
    move.source.command('migrate', uri='unix:' + bench.path('first'), resume=True)
    wait_until(lambda: [p for p in move.destination.command('x-query-faults') if p['reached']], 30,
               'the source to come')
    move.source.command('migrate-pause')
    wait_migration(move.source, ('postcopy-paused',))
    move.destination.command('migrate-recover', uri='tcp:127.0.0.1:0')
    port = move.destination.migration()['socket-address'][0]['port']
    move.source.command('migrate', uri='tcp:127.0.0.1:' + port, resume=True)
    wait_migration(move.source, ('postcopy-active', 'completed'))
    end(move)


def strangers(bench):
    """Who knocks and is not the source breaks the connection, and no more."""
    move = begin(bench)
    move.destination.command('migrate-pause')
    move.await_paused()
    for hello in (b'', b'GET / HTTP/1.0\r\n\r\n', b'QEVM\0\0\0\3', b'\x08\0\x05\0\0',
                  b'\x08\0\x0a\0\x04\x03ram', b'\x04' + b'\0' * 64, b'\x08\0\x09\0\0'):
        path = bench.path('door')
        move.destination.command('migrate-recover', uri='unix:' + path)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(hello)
            s.shutdown(socket.SHUT_WR)
            s.settimeout(20)
            while s.recv(4096):
                pass
        wait_migration(move.destination, ('postcopy-paused',))
    # The last one to be told where to listen counts, also if it is the same place.
    move.destination.command('migrate-recover', uri='unix:' + bench.path('not-this'))
    move.destination.command('migrate-recover', uri='unix:' + bench.path('this'))
    move.recover('unix:' + bench.path('this'))
    end(move)


def knocks(bench):
    """The same at the door that is open for the channel of urgent pages: nobody takes notice."""
    move = begin(bench)
    for hello in (b'', b'GET / HTTP/1.0\r\n\r\n', b'\0' * 64, b'\0' * 7 + b'\x08\3ram'):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(move.channel.incoming[5:])
            s.sendall(hello)
            s.shutdown(socket.SHUT_WR)
            s.settimeout(20)
            check_equal(s.recv(16), b'', 'what a stranger hears')
    check_equal(move.destination.migration()['status'], 'postcopy-active', 'state')
    end(move)


def devices(cuts):
    """Disk, network card, random numbers, console and port of a Linux, at work all the time."""
    def run(bench):
        emulator = emulators.ferry()
        busy = Busy(bench, False, 2)
        source = VM(bench, 'source', emulator, busy.guest, extra=busy.args('source'))
        source.console.wait_for(READY, BOOT)
        busy.start(source)
        move = Postcopy(bench, emulator, busy.guest, channels.Unix(bench), source=source,
                        dst_extra=busy.args('destination'), compare=False, rest=4 << 20)
        move.journey.prove = lambda _vm: None
        move.start_destination()
        busy.connect(move.destination)
        move.start_migration()
        move.switch()
        for number in range(cuts):
            move.destination.command('migrate-pause')
            move.await_paused()
            move.recover('unix:' + bench.path('again-%d' % number))
        busy.moved(move.destination)
        end(move)
        busy.at_work(move.destination)
    return run


def blocktime(bench):
    """QEMU's numbers, with its capability only, and the histogram, which needs none."""
    move = begin(bench, harts=2, dst_caps={'postcopy_blocktime': True})
    end(move)
    info = move.destination.migration()
    check_equal(len(info['postcopy-vcpu-blocktime']), 2, 'vCPUs with a blocktime')
    check(info['postcopy-blocktime'] <= min(info['postcopy-vcpu-blocktime']),
          'all waited longer than one of them: %s', info)
    waits = info['x-postcopy-waits']
    check_equal(waits['waits'][0]['who'], 'all', 'the first row')
    check_equal(sum(b['count'] for b in waits['histogram']), waits['waits'][0]['count'],
                'the histogram\'s sum')
    check(0 < waits['waits'][0]['count'], 'nobody waited: %s', waits)
    text = move.destination.hmp('info migrate')
    check('waits of all: ' in text and 'postcopy vcpu blocktime: ' in text, '%s', text)


main([
    Case('1 hart, unix', plain(1, 'unix')),
    Case('2 harts, tcp', plain(2, 'tcp')),
    Case('4 harts, unix', plain(4, 'unix'), rotate=2),
    Case('stopped, unix', plain(1, 'unix', paused=True, compare=True)),
    Case('userfaultfd', userfaultfd),
    Case('userfaultfd is forbidden', no_userfaultfd),
    Case('huge pages', huge_pages),
    Case('huge pages, inspected', huge_pages_inspected),
    Case('huge pages, userfaultfd', huge_pages_userfaultfd),
    Case('stalled', stalled),
    Case('quits', quits),
    Case('cuts', cuts(4)),
    Case('cuts, 1 hart', cuts(3, harts=1), rotate=2),
    Case('listens elsewhere', listens_elsewhere),
    Case('strangers', strangers),
    Case('strangers, urgent', knocks),
    Case('blocktime', blocktime),
    Case('devices', devices(0), full=True, timeout=300),
    Case('devices, cuts', devices(3), full=True, timeout=300),
    Case('cuts, 100', cuts(100), full=True, timeout=900),
])
