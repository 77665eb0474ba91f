#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A parallel channel dies, stalls, is late, never comes, comes twice, says another id or uuid, or
garbage: both sides say what happened, the source's guest runs on and can be moved later, and nobody
waits for ever. A channel that only lags costs time, never memory."""
import os
import socket
import threading
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import Journey, Move, wait_alive, wait_loaded, wait_migration
from ferrytest.process import VM
from ferrytest.proxy import hung_up
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, Failed, check, check_equal, main, wait_until

EMULATOR = emulators.subject()
COUNT = 3
HELLO, PACKET = 64, 1344    # bytes of what a channel begins with, and of a packet's head


class Wires:
    """Passes connections on, each by its own rule; they are numbered as they come, the stream is 0.

    A thread for each connection, which ends with its sockets; close() ends them all."""

    def __init__(self, bench, target, rules):
        self._target, self._rules = target, rules
        self._sockets, self.came = [], 0
        self.changed = threading.Event()    # a rule was let go
        path = bench.path('wires.sock')
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(16)
        self.uri = 'unix:' + path
        threading.Thread(target=self._accept, daemon=True).start()
        bench.at_end(self.close)

    def close(self):
        self.changed.set()
        for s in [self._listener] + self._sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                source, _ = self._listener.accept()
            except OSError:
                return
            rule = self._rules.get(self.came, {})
            self.came += 1
            self._sockets.append(source)
            threading.Thread(target=self._serve, args=(source, rule), daemon=True).start()

    def _serve(self, source, rule):
        if rule.get('swallow'):
            return
        time.sleep(rule.get('late', 0))
        destination = socket.socket(socket.AF_UNIX)
        try:
            destination.connect(self._target)
        except OSError:
            source.close()
            return
        self._sockets.append(destination)
        threading.Thread(target=self._pass_on, args=(destination, source, {}), daemon=True).start()
        self._pass_on(source, destination, rule)

    def _pass_on(self, one, other, rule):
        passed, over = 0, False
        try:
            while True:
                limit = 65536
                for key in ('cut', 'stall'):
                    if key in rule:
                        limit = min(limit, rule[key] - passed)
                if limit == 0 and 'stall' in rule:
                    self.changed.wait()
                    limit, rule = 65536, {}
                data = one.recv(limit) if limit else b''
                if not data:
                    over = 'cut' in rule or hung_up(one)
                    break
                if 'change' in rule:
                    at, new = rule['change']
                    for i, byte in enumerate(new):
                        if passed <= at + i < passed + len(data):
                            data = data[:at + i - passed] + bytes([byte]) + data[at + i - passed + 1:]
                time.sleep(rule.get('lag', 0))
                other.sendall(data)
                passed += len(data)
        except OSError:
            pass
        # What goes the other way is another thread's: last words are not lost with a broken pipe.
        for s, half in ((one, socket.SHUT_RD), (other, socket.SHUT_WR)):
            try:
                s.shutdown(socket.SHUT_RDWR if over else half)
            except OSError:
                pass


class Pair:
    def __init__(self, bench, rules, return_path, src=None, dst=None, uuid=()):
        self.bench, self.uuid = bench, uuid
        self.guest = Bare('checker', harts=1, size='2M')
        self.journey = Journey()
        self.source = VM(bench, 'source', EMULATOR, self.guest, extra=uuid)
        self.journey.vms.append(self.source)
        self.channel = channels.Unix(bench)
        self.destination = VM(bench, 'destination', EMULATOR, self.guest, incoming='defer', extra=uuid)
        for vm, more in ((self.source, src), (self.destination, dst)):
            vm.set_capabilities(events=True, multifd=True, return_path=return_path)
            vm.set_parameters(**dict({'multifd_channels': COUNT}, **(more or {})))
        wait_alive(self.source)
        self.destination.command('migrate-incoming', uri=self.channel.incoming)
        self.wires = Wires(bench, self.channel.incoming[5:], rules)

    def migrate(self):
        self.source.command('migrate', uri=self.wires.uri)

    def source_unharmed(self):
        check_equal(self.source.status(), 'running', 'run state of the source')
        lines = len(self.source.console.statuses())
        self.source.console.wait_statuses(lines + 2)
        self.journey.check()

    def works_later(self):
        self.source.set_parameters(max_bandwidth=0, downtime_limit=1000, multifd_channels=COUNT,
                                   multifd_compression='none')
        Move(self.bench, EMULATOR, self.guest, channels.Unix(self.bench), source=self.source,
             journey=self.journey, names=('source', 'later'), caps={'multifd': True},
             dst_extra=self.uuid, dst_params={'multifd_channels': COUNT}).run()

    def refused(self, words, source_words):
        info = wait_migration(self.source, ['failed'])
        check(self.destination.wait_exit() == 1, 'the destination ended with status %s, not 1',
              self.destination.process.returncode)
        text = self.destination.stderr()
        check(any(w in text for w in words), 'the destination\'s message lacks "%s": %s', words, text)
        said = info.get('error-desc', '')
        check(any(w in said for w in source_words), 'the source says "%s"', said)
        self.source_unharmed()
        self.works_later()


def broken(rule, words, which=2, return_path=True, src=None, dst=None, uuid=(), source=('multifd channel',)):
    def run(bench):
        pair = Pair(bench, {which: rule} if rule else {}, return_path, src, dst, uuid)
        pair.source.set_parameters(max_bandwidth=8 << 20, downtime_limit=1)
        pair.migrate()
        # Whichever it sees first: what the destination says, or that a channel is broken.
        all_words = [words] if isinstance(words, str) else words
        pair.refused(all_words, all_words + ([] if return_path else ['ended the connection']) + list(source))
    return run


def late(bench):
    """One comes three seconds after the others."""
    pair = Pair(bench, {1: {'late': 3}}, True)
    pair.migrate()
    wait_migration(pair.source)
    wait_loaded(pair.destination)
    pair.journey.prove(pair.destination)


def lags(which):
    """One is slow all the time, the guest rewrites its memory: no older content may come last."""
    def run(bench):
        pair = Pair(bench, {which: {'lag': 0.02}}, True)
        pair.source.set_parameters(max_bandwidth=0, downtime_limit=1)
        pair.migrate()
        wait_until(lambda: pair.source.migration().get('ram', {}).get('dirty-sync-count', 0) > 6 or
                   pair.source.migration()['status'] == 'completed', 60, 'pass 6')
        pair.source.set_parameters(downtime_limit=5000)
        wait_migration(pair.source)
        wait_loaded(pair.destination)
        pair.journey.prove(pair.destination, lines=20)
    return run


def ended_at(where, how):
    """Somebody does not wait any longer for a channel that never comes, or stands still."""
    def run(bench):
        rule = {'swallow': True} if where == 'never came' else {'stall': HELLO + 2 * PACKET + 5000}
        pair = Pair(bench, {2: rule}, True)
        pair.source.set_parameters(max_bandwidth=0, downtime_limit=1)
        pair.migrate()
        wait_until(lambda: pair.wires.came == COUNT + 1, 30, 'all connections')
        time.sleep(0.5)
        pair.source_unharmed()
        begin = time.monotonic()
        if how == 'quit at the destination':
            pair.destination.quit()
            info = wait_migration(pair.source, ['failed'], timeout=30)
            check(info.get('error-desc'), 'the source gives no reason')
        elif how == 'quit at the source':
            pair.source.quit()
        else:
            pair.source.command('migrate_cancel')
            wait_migration(pair.source, ['cancelled'], timeout=30)
        if how != 'quit at the destination':
            pair.destination.wait_exit(40)
            text = pair.destination.stderr()
            if where == 'never came':
                check('2 of 3 channels have come, and the source has ended the connection' in text,
                      'the destination says: %s', text)
        check(time.monotonic() - begin < 35, 'it took %.1f s', time.monotonic() - begin)
        if how != 'quit at the source':
            pair.source_unharmed()
            pair.works_later()
    return run


def strangers(bench):
    """When all are there, whoever else connects changes nothing."""
    pair = Pair(bench, {}, True)
    pair.source.set_parameters(max_bandwidth=4 << 20, downtime_limit=1)
    pair.migrate()
    wait_until(lambda: pair.source.migration().get('ram', {}).get('dirty-sync-count', 0) >= 2, 30, 'pass 2')
    for words in (b'', b'GET / HTTP/1.0\r\n\r\n' * 10, b'QEVM'):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(pair.channel.incoming[5:])
            s.sendall(words)
            time.sleep(0.1)
    pair.source.set_parameters(max_bandwidth=0, downtime_limit=5000)
    wait_migration(pair.source)
    wait_loaded(pair.destination)
    pair.journey.prove(pair.destination)


def wrong_transport(bench):
    """What is one connection only is refused when it is asked for, or when the peer has come."""
    source = VM(bench, 'source', EMULATOR, Bare('checker', harts=1, size='1M'))
    source.set_capabilities(multifd=True)
    for uri in ('exec:cat > /dev/null', 'file:' + bench.path('state'), 'fd:0'):
        try:
            source.command('migrate', uri=uri)
            raise Failed('migrate %s was accepted' % uri)
        except QMPError as error:
            check('Migration requires multi-channel URIs (e.g. tcp)' in error.desc, '%s', error.desc)
    source.set_capabilities(mapped_ram=True)
    source.set_parameters(multifd_compression='zlib')
    try:
        source.command('migrate', uri='file:' + bench.path('state'))
        raise Failed('compressed mapped-ram was accepted')
    except QMPError as error:
        check('Cannot use compression with mapped-ram' in error.desc, '%s', error.desc)
    wait_alive(source)
    destination = VM(bench, 'destination', EMULATOR, source.guest, incoming='defer')
    destination.set_capabilities(multifd=True)
    destination.command('migrate-incoming', uri='exec:cat /dev/zero')
    check(destination.wait_exit() == 1, 'status of the destination')
    check('requires multi-channel' in destination.stderr(), '%s', destination.stderr())


def never_comes(bench):
    """Nobody does anything: the destination gives up after a minute, and the source hears why."""
    pair = Pair(bench, {2: {'swallow': True}}, True)
    pair.source.set_parameters(**{'x-verdict-timeout': 0})
    pair.migrate()
    check(pair.destination.wait_exit(100) == 1, 'status of the destination')
    text = '2 of 3 channels have come within a minute'
    check(text in pair.destination.stderr(), 'the destination says: %s', pair.destination.stderr())
    info = wait_migration(pair.source, ['failed'])
    check(text in info['error-desc'], 'the source says: %s', info['error-desc'])
    pair.source_unharmed()


UUID = ('-uuid', '00112233-4455-6677-8899-aabbccddeeff')


def matrix():
    for rp in (True, False):
        how = 'answered' if rp else 'not answered'
        yield Case('dies at once, %s' % how,
                   broken({'cut': 0}, 'a connection has ended before it said what it is', return_path=rp))
        yield Case('dies within a packet, %s' % how,
                   broken({'cut': HELLO + 2 * PACKET + 30000}, 'multifd channel 1 of 3: Unexpected end',
                          return_path=rp))
        yield Case('dies between packets, %s' % how,
                   broken({'cut': HELLO + PACKET},
                          # The source sees it, too, and may have closed the stream by then.
                          ['multifd channel 1 of 3: the channel has ended',
                           'The source has cancelled, failed or gone'], return_path=rp))
        yield Case('another id, %s' % how, broken({'change': (24, b'\x09')},
                                                  'received channel id 9, but there are 3 channels here',
                                                  return_path=rp))
        yield Case('twice, %s' % how, broken({'change': (24, b'\x00')}, 'channel 0 has come twice',
                                             return_path=rp))
        yield Case('another uuid, %s' % how,
                   broken({'change': (8, b'\xff')}, "expected uuid '00112233-4455-6677-8899-aabbccddeeff'",
                          return_path=rp, uuid=UUID))
        yield Case('garbage at first, %s' % how,
                   broken({'change': (0, b'GET / HTTP')}, 'received packet magic 47455420', return_path=rp))
        yield Case('garbage later, %s' % how,
                   broken({'change': (HELLO + PACKET, b'\0\0\0\0')},
                          'multifd channel 1 of 3: multifd: received packet magic 0', return_path=rp))
    yield Case('the stream dies', broken({'cut': 150}, 'Unexpected end of migration stream', which=0,
                                         return_path=False, source=('Unable to write', 'multifd')))
    yield Case('fewer channels there', broken(None, 'received channel id 2, but there are 2 channels',
                                              dst={'multifd_channels': 2}))
    yield Case('another compression there', broken(None, 'flags received 0x2, expected 0x0',
                                                   src={'multifd_compression': 'zlib'}))
    yield Case('late', late)
    yield Case('strangers', strangers)
    yield Case('one connection only', wrong_transport)
    yield Case('the first lags', lags(1))
    yield Case('the last lags', lags(COUNT))
    for where in ('never came', 'stands still'):
        for how in ('cancelled', 'quit at the destination', 'quit at the source'):
            yield Case('%s, %s' % (where, how), ended_at(where, how))
    yield Case('never comes', never_comes, rotate=1)


if __name__ == '__main__':
    main(list(matrix()))
