#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A postcopy over a link that swallows everything and breaks nothing, and peers that stand still:
both sides notice within x-postcopy-silence-limit, pause, and go on over another connection."""
import os
import signal
import socket
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import wait_migration
from ferrytest.postcopy import Postcopy
from ferrytest.proxy import Proxy
from ferrytest.tap import Case, check, check_equal, main, wait_until

LIMIT = 3000        # ms; by default it is 10 s


class ProxiedUnix(channels.Unix):
    def before_migrate(self, _source):
        self.proxy = Proxy(self.bench, self.incoming[5:])
        self.outgoing = self.proxy.uri


class ProxiedTCP(channels.TCP4):
    def before_migrate(self, _source):
        host, port = self.incoming[4:].split(':')
        self.proxy = Proxy(self.bench, (host, int(port)), tcp=True)
        self.outgoing = self.proxy.uri


def begin(bench, channel=ProxiedUnix, limit=LIMIT, rest=256 << 10, params=(), **options):
    """Switched over, a little at a time."""
    move = Postcopy(bench, emulators.ferry(), Bare('checker', 64, 2, size='8M'), channel(bench),
                    compare=False, slow=1 << 20, rest=rest, **options)
    move.params = {**move.params, 'x_postcopy_silence_limit': limit, **dict(params)}
    move.start_source()
    move.start_destination()
    move.destination.set_parameters(x_postcopy_silence_limit=limit)
    move.start_migration()
    move.switch()
    return move


def end(move):
    for vm in (move.source, move.destination):
        vm.set_parameters(x_postcopy_silence_limit=10000)
    move.source.set_parameters(max_postcopy_bandwidth=0, x_postcopy_background='linear')
    if move.paused:
        wait_migration(move.destination)
        move.destination.command('cont')
    move.finish()


def noticed(bench, move, since):
    move.await_paused()
    bench.note('both paused after %.1f s' % (time.monotonic() - since))
    for vm in (move.source, move.destination):
        info = vm.migration()
        check('sign of life' in info['error-desc'] or 'peer' in info['error-desc'] or
              'ended' in info['error-desc'] or 'end of' in info['error-desc'],
              '%s: %s', vm.name, info)


def swallowed(channel, **options):
    """From one moment on nothing passes in either direction, and no connection breaks."""
    def run(bench):
        move = begin(bench, channel, **options)
        since = time.monotonic()
        move.channel.proxy.stalled = True
        noticed(bench, move, since)
        check(any('sign of life' in vm.migration()['error-desc']
                  for vm in (move.source, move.destination)), 'neither has said why')
        move.recover('unix:' + bench.path('again'))
        end(move)
    return run


def swallowed_idle(bench):
    """The same where there is nothing to say: the guest stands still, and no page goes by itself."""
    move = begin(bench, paused=True, params={'x_postcopy_background': 'none'})
    since = time.monotonic()
    move.channel.proxy.stalled = True
    noticed(bench, move, since)
    move.recover('unix:' + bench.path('again'))
    end(move)


def quiet(bench):
    """Nothing to say for longer than the limit is no silence."""
    move = begin(bench, limit=6000, paused=True, params={'x_postcopy_background': 'none'})
    time.sleep(9)
    for vm in (move.source, move.destination):
        check_equal(vm.migration()['status'], 'postcopy-active', vm.name)
    end(move)


def stands_still(who):
    """A process that does not run is as silent as a link; when it runs again it finds out."""
    def run(bench):
        move = begin(bench)
        still, other = ((move.source, move.destination) if who == 'source'
                        else (move.destination, move.source))
        os.kill(still.process.pid, signal.SIGSTOP)
        wait_migration(other, ('postcopy-paused',))
        os.kill(still.process.pid, signal.SIGCONT)
        move.await_paused()
        move.recover('unix:' + bench.path('again'))
        end(move)
    return run


def swallowed_recovery(bench):
    """The connection that a recovery has made swallows everything, too; the next one does not."""
    move = begin(bench)
    move.channel.proxy.stalled = True
    move.await_paused()
    path = bench.path('dead')
    dead = Proxy(bench, path)
    move.destination.command('migrate-recover', uri='unix:' + path)
    dead.cut_at = None
    dead.silent_at = b'\x00\x05'        # the head of the destination's first bitmap
    move.source.command('migrate', uri=dead.uri, resume=True)
    wait_until(lambda: dead.stalled, 60, 'the recovery to begin')
    move.await_paused()
    move.recover('unix:' + bench.path('again'))
    end(move)


def nobody_answers(bench):
    """A recovery over an address that swallows even the first packet of a connection."""
    move = begin(bench)
    move.destination.command('migrate-pause')
    move.await_paused()
    with socket.socket() as full, socket.socket() as first:
        full.bind(('127.0.0.1', 0))
        full.listen(0)
        first.connect(full.getsockname())       # the queue is full now
        with socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(full.getsockname())
            move.source.command('migrate', uri='tcp:127.0.0.1:%d' % full.getsockname()[1],
                                resume=True)
            wait_until(lambda: move.source.migration()['status'] == 'postcopy-paused', 60,
                       'the source to give this attempt up')
    check('timed out' in move.source.migration()['error-desc'].lower() or
          'sign of life' in move.source.migration()['error-desc'], '%s', move.source.migration())
    move.recover('unix:' + bench.path('again'))
    end(move)


main([
    Case('swallowed, unix', swallowed(ProxiedUnix)),
    Case('swallowed, tcp', swallowed(ProxiedTCP)),
    Case('swallowed, preempt', swallowed(ProxiedTCP, preempt=True)),
    Case('swallowed, nothing to say', swallowed_idle),
    Case('quiet', quiet),
    Case('the destination stands still', stands_still('destination')),
    Case('the source stands still', stands_still('source')),
    Case('a recovery is swallowed', swallowed_recovery),
    Case('nobody answers a recovery', nobody_answers),
])
