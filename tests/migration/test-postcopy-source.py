#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The source's own control of postcopy: the flags of HMP's migrate, what is sent and why, memory that
is given back, and cuts at any moment."""
import os
import random
import re
import signal
import socket
import time

from ferrytest import emulators
from ferrytest.guest import Bare
from ferrytest.move import Journey, wait_alive, wait_migration
from ferrytest.postcopy import listen_again
from ferrytest.process import VM
from ferrytest.proxy import Proxy
from ferrytest.qmp import QMPError, statuses
from ferrytest.tap import Case, check, check_equal, main, wait_until

SLOW = 4 << 20      # too slow for precopy to end by itself


class Pair:
    """A guest that runs at `source`; `destination` waits for it, postcopy switched on there only."""

    def __init__(self, bench, harts=1, memory=64, extra=(), **pace):
        emulator = emulators.ferry()
        guest = Bare('checker', memory, harts, **pace)
        self.source = VM(bench, 'source', emulator, guest, extra=extra)
        self.destination = VM(bench, 'destination', emulator, guest, incoming='defer')
        self.journey = Journey()
        self.journey.vms.append(self.source)
        wait_alive(self.source)
        self.source.set_capabilities(events=True)
        self.destination.set_capabilities(events=True, postcopy_ram=True)
        self.source.set_parameters(max_bandwidth=SLOW)
        self.destination.command('migrate-incoming', uri='tcp:127.0.0.1:0')

    def uri(self):
        return 'tcp:127.0.0.1:' + self.destination.migration()['socket-address'][-1]['port']

    def hmp(self, flags, numbers=''):
        answer = self.source.hmp('migrate -d %s %s %s' % (flags, self.uri(), numbers))
        check_equal(answer, '', 'migrate')

    def pages(self):
        return self.source.migration()['x-postcopy']

    def end(self):
        info = wait_migration(self.source)
        wait_migration(self.destination)
        check_equal(self.source.status(), 'postmigrate', 'run state of the source')
        self.journey.prove(self.destination)
        check('postcopy-active' in statuses(self.source.qmp.events), 'it was no postcopy')
        return info


def passes(vm):
    """How many passes there were before the switch: the last look at the log is one more."""
    vm.qmp.poll_events()
    names = [e['data'].get('status', e['event']) for e in vm.qmp.events
             if e['event'] in ('MIGRATION', 'MIGRATION_PASS')]
    return names[:names.index('postcopy-active')].count('MIGRATION_PASS') - 1


def at_once(bench):
    """-p: not a page is sent before the switch, the others go in a line."""
    pair = Pair(bench, harts=2)
    pair.hmp('-p')
    info = pair.end()
    check_equal(passes(pair.source), 1, 'passes before the switch')
    check_equal(info['x-postcopy']['prefault'], 0, 'prefault pages')
    total = info['ram']['total'] // 4096
    check_equal(info['ram']['duplicate'] + info['ram']['normal'], total, 'each page once')


def counted(bench):
    """-p -m and all three numbers: one whole pass, then neighbours come with what is asked for."""
    pair = Pair(bench)
    pair.source.set_parameters(max_bandwidth=8 << 20, max_postcopy_bandwidth=64 << 10)
    pair.hmp('-p -m', '1 8 2')
    wait_until(lambda: pair.source.migration().get('x-postcopy', {}).get('prefault', 0) > 8, 60,
               'pages to come with those that are asked for')
    params = pair.source.command('query-migrate-parameters')
    check_equal([params['x-postcopy-' + n] for n in ('precopy-count', 'prefault-forward',
                                                     'prefault-backward', 'background')],
                [1, 8, 2, 'follow-fault'], 'the parameters')
    pair.source.set_parameters(max_postcopy_bandwidth=0)
    info = pair.end()
    check(info['ram']['precopy-bytes'] > 100000, 'no pass before the switch: %s', info)


def alone(bench):
    """-p -n: nothing goes that is not asked for, until the background is switched on."""
    pair = Pair(bench)
    pair.hmp('-p -n')
    wait_until(lambda: pair.source.migration().get('x-postcopy', {}).get('requested', 0) > 0, 60,
               'the guest to need a page')
    pair.journey.prove(pair.destination)
    check_equal(pair.pages()['background'], 0, 'pages that nobody asked for')
    check_equal(pair.source.migration()['status'], 'postcopy-active', 'the migration')
    pair.source.set_parameters(x_postcopy_background='linear')
    wait_migration(pair.source)
    wait_migration(pair.destination)
    check(pair.pages()['background'] > 0, 'the rest did not follow: %s', pair.pages())
    pair.journey.check()


def used(bench):
    """With -n only neighbours come unasked; a guest that goes through its memory uses many of them, of about
    a thousand. If it ran faster than they come it would ask for them: it takes a millisecond for each."""
    pair = Pair(bench, rate=1000)
    pair.hmp('-p -n', '0 16 4')

    def there():
        return pair.destination.migration().get('x-postcopy-waits', {})
    wait_until(lambda: there().get('useful', 0) > 50, 60, 'the guest to use neighbours')
    waits = there()
    wait_until(lambda: pair.pages()['prefault'] >= waits['unasked'], 60, 'as many to be sent')
    pages = pair.pages()
    check_equal(pages['background'], 0, 'pages in their turn')
    check(waits['useful'] <= waits['unasked'], 'more was used than came: %s', waits)
    pair.source.set_parameters(x_postcopy_background='linear')
    info = pair.end()
    waits, total = there(), info['ram']['total'] // 4096
    check(waits['useful'] <= waits['unasked'] <= total <= waits['unasked'] + waits['requests'],
          '%d pages came, asked for or not: %s', total, waits)
    check('unasked: %(unasked)d pages came, %(useful)d of them were used' % waits
          in pair.destination.hmp('info migrate'), 'info migrate does not tell')


def both_go_on(bench):
    """What is asked for is not charged to the limit of what is not: the rest goes on beside it."""
    pair = Pair(bench, harts=2, memory=32)
    pair.source.set_parameters(max_postcopy_bandwidth=128 << 10)
    pair.hmp('-p')
    info = pair.end()
    asked = info['x-postcopy']['requested'] * 4096
    check(asked > 20 * (128 << 10), 'too little was asked for to tell: %s', info)


def only_one_connection(bench):
    """postcopy-preempt over what cannot be connected to twice: said at once."""
    pair = Pair(bench)
    pair.source.set_capabilities(postcopy_ram=True, postcopy_preempt=True)
    pair.source.command('migrate', uri='exec:cat')
    info = wait_migration(pair.source, ('failed',))
    check('a second connection' in info['error-desc'], '%s', info)
    check_equal(pair.source.status(), 'running', 'the guest')


def refused(bench):
    """A destination that cannot take the devices says so before it runs the guest: it goes on here."""
    pair = Pair(bench, extra=['-device', 'virtio-rng-device'])
    pair.hmp('-p')
    info = wait_migration(pair.source, ('failed',))
    check('the destination refused the migration' in info['error-desc'], '%s', info)
    wait_until(lambda: pair.source.status() == 'running', 10, 'the guest to go on')
    check('postcopy-paused' not in statuses(pair.source.qmp.events), 'it was taken for a cut')
    before = len(pair.source.console.statuses())
    wait_until(lambda: len(pair.source.console.statuses()) > before + 3, 60, 'the guest to work')
    pair.journey.check()


BEFORE_RUN = ('switch', 'package')
IN_RECOVERY = ('reconnected', 'bitmaps', 'acked')


def points(vm):
    return {p['name'].split('-postcopy-')[1]: p for p in vm.command('x-query-faults')
            if p['name'].startswith('src-postcopy-')}


def recover(pair):
    """Its state is fresh: migrate with resume has left postcopy-paused when it is answered."""
    wait_migration(pair.source, ('postcopy-paused',))
    listen_again(pair.destination)
    pair.source.command('migrate', uri=pair.uri(), resume=True)


def faults(action):
    """At each step of the switch and of a recovery it takes long, or the step fails. Before the guest is
    handed over it goes on here; afterwards never, and a recovery gets it all there."""
    def one(bench, name):
        pair = Pair(bench_of(bench, name), memory=16)
        pair.source.set_parameters(max_postcopy_bandwidth=512 << 10)
        pair.source.command('x-fault', point='src-postcopy-' + name, action=action, ms=300)
        pair.hmp('-p')
        if action == 'fail' and name in BEFORE_RUN:
            wait_migration(pair.source, ('failed',))
            wait_until(lambda: pair.source.status() == 'running', 10, name + ': the guest to go on')
            pair.source.quit()
            return
        if action == 'fail' and name == 'awaits':
            # The last word is lost: the destination has everything, and the source cannot know.
            wait_migration(pair.source, ('postcopy-paused',))
            wait_migration(pair.destination)
            answer = pair.source.hmp('cont')
            check('if it is completed there' in answer, 'cont: %s', answer)
            pair.destination.command('migrate-recover', uri='tcp:127.0.0.1:0')
            pair.source.command('migrate', uri=pair.uri(), resume=True)
            pair.end()
            return
        if name in IN_RECOVERY + ('paused',):
            wait_migration(pair.source, ('postcopy-active',))
            pair.source.command('migrate-pause')
            recover(pair)
        if action == 'fail':
            recover(pair)
        pair.source.set_parameters(max_postcopy_bandwidth=0)
        pair.end()
        reached = points(pair.source)[name]
        check(reached['reached'] > 0, '%s was not reached: %s', name, reached)
        for vm in (pair.source, pair.destination):
            vm.quit()

    def run(bench):
        vm = VM(bench, 'table', emulators.ferry(), Bare('idle'))
        table = points(vm)
        vm.quit()
        for name, point in table.items():
            if action == 'stall' or point['may-fail']:
                one(bench, name)
    return run


class bench_of:
    """Several pairs in one case: names of their own."""

    def __init__(self, bench, prefix):
        self.bench, self.prefix = bench, prefix

    def path(self, name):
        return self.bench.path(self.prefix + '-' + name)

    def __getattr__(self, name):
        return getattr(self.bench, name)


def agreed(bench):
    """switchover-ack: postcopy is a switchover, too."""
    pair = Pair(bench)
    pair.source.set_capabilities(return_path=True, switchover_ack=True)
    pair.hmp('-p')
    wait_until(lambda: pair.source.migration().get('ram', {}).get('transferred', 0) > 1 << 20, 60,
               'memory to go in passes')
    check_equal(pair.source.migration()['status'], 'active', 'without the word of the destination')
    pair.source.command('migrate_cancel')
    wait_migration(pair.source, ('cancelled',))
    check_equal(pair.source.status(), 'running', 'the guest')


def stopped(bench):
    """A guest that stands still goes, too, and stands still there."""
    pair = Pair(bench)
    pair.source.command('stop')
    pair.hmp('-p')
    wait_migration(pair.source)
    wait_migration(pair.destination)
    check_equal(pair.destination.status(), 'paused', 'the guest')
    pair.destination.command('cont')
    pair.end()


def late_cut(bench):
    """A cut that comes when the migration is paused already does not cut the connection to come."""
    pair = Pair(bench)
    pair.source.set_parameters(max_postcopy_bandwidth=16 << 10)
    pair.hmp('-p')
    wait_migration(pair.source, ('postcopy-active',))
    pair.source.command('migrate-pause')
    wait_migration(pair.source, ('postcopy-paused',))
    said = pair.source.stderr()
    check('Postcopy is paused, as asked' in said and 'IO failure' not in said, 'source: %s', said)
    pair.source.command('yank', instances=[{'type': 'migration'}])
    recover(pair)
    pair.source.set_parameters(max_postcopy_bandwidth=0)
    check_equal(pair.end()['x-postcopy']['recoveries'], 1, 'attempts')


def behind(bench):
    """What is on a slow wire already is waited for while the guest runs, not while it stands still."""
    pair = Pair(bench)
    pair.source.set_capabilities(postcopy_ram=True)
    proxy = Proxy(bench, ('127.0.0.1', int(pair.uri().split(':')[-1])))
    proxy.rate = 512 << 10      # some 200 KiB fit into the socket
    pair.source.command('migrate', uri=proxy.uri)
    wait_until(lambda: pair.source.migration().get('ram', {}).get('transferred', 0) > 1 << 20, 60,
               'the wire to be full')
    pair.source.command('migrate-start-postcopy')
    wait_migration(pair.destination, ('postcopy-active',))
    proxy.rate = None
    down = pair.end()['downtime']
    check(down < 200, 'the guest stood still for %d ms, while the wire was worked off', down)


def denied(vm, command):
    try:
        vm.command(command)
    except QMPError:
        return
    check(False, '%s was accepted', command)


SHUT_0 = b'\0\1\0\4\0\0\0\0'


def last_word_lost(preempt=False):
    """The destination's yes does not arrive, once and again: it says it as often as it is asked, the guest
    runs on there meanwhile, whoever else knocks changes nothing, and in the end the source knows."""
    def run(bench):
        pair = Pair(bench, harts=2)
        pair.source.set_capabilities(postcopy_ram=True, postcopy_preempt=preempt)
        proxy = Proxy(bench, ('127.0.0.1', int(pair.uri().split(':')[2])), tcp=True)
        proxy.cut_at = SHUT_0
        # migrate-recover is taken as soon as the destination says that it is completed
        pair.destination.command('x-fault', point='dst-started', action='stall', ms=300)
        pair.source.command('migrate', uri=proxy.uri)
        wait_migration(pair.source, ('active',))
        pair.source.command('migrate-start-postcopy')
        wait_migration(pair.source, ('postcopy-paused',))
        wait_migration(pair.destination)
        for number in range(2):
            path = bench.path('lost-%d' % number)
            pair.destination.command('migrate-recover', uri='unix:' + path)
            stranger(path, bytes(4000))
            lossy = Proxy(bench, path)
            lossy.cut_at = SHUT_0
            pair.source.command('migrate', uri=lossy.uri, resume=True)
            wait_until(lambda: pair.source.migration()['status'] == 'postcopy-paused', 60,
                       'the source to lose the answer again')
            check_equal(pair.destination.migration()['status'], 'completed', 'the destination')
        denied(pair.source, 'cont')
        pair.destination.command('migrate-recover', uri='unix:' + bench.path('not-here'))
        pair.destination.command('migrate-recover', uri='tcp:127.0.0.1:0')
        pair.source.command('migrate', uri=pair.uri(), resume=True)
        pair.end()
        pair.destination.command('migrate-recover', uri='unix:' + bench.path('nobody'))
        pair.destination.quit()
    return run


def ended_by_a_stranger(bench):
    """All pages are there, the end of the stream is not. A stranger who says only that end is no source:
    the destination is paused again, and the source completes it."""
    pair = Pair(bench, memory=16)
    pair.source.command('x-fault', point='src-postcopy-end', action='fail')
    pair.hmp('-p')
    for vm in (pair.destination, pair.source):
        wait_migration(vm, ('postcopy-paused',))
    path = bench.path('recover')
    pair.destination.command('migrate-recover', uri='unix:' + path)
    stranger(path, b'\0')
    recover(pair)
    pair.end()


def stranger(path, words):
    """Somebody who is not the source; to its end."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(words)
        s.shutdown(socket.SHUT_WR)
        s.settimeout(20)
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass


def never_arrived(bench):
    """The destination dies of the switch itself, before it has said a word: the source cannot know
    whether it had the guest, people can. Given up, the guest stays paused until somebody takes it back."""
    pair = Pair(bench, harts=2)
    pair.source.set_capabilities(postcopy_ram=True)
    pair.source.command('migrate', uri=pair.uri())
    wait_migration(pair.source, ('active',))
    os.kill(pair.destination.process.pid, signal.SIGSTOP)
    # Much lies in the kernel already when the guest is stopped: what follows goes there as well.
    frozen = pair.source.migration()['ram']['transferred']
    wait_until(lambda: pair.source.migration()['ram']['transferred'] > frozen + (600 << 10), 60,
               'memory that nobody reads')
    pair.source.command('migrate-start-postcopy')
    wait_migration(pair.source, ('postcopy-active',))
    denied(pair.source, 'migrate_cancel')
    pair.destination.kill()
    wait_migration(pair.source, ('postcopy-paused',))
    denied(pair.source, 'cont')
    wait_until(lambda: "'cont' takes the guest back" in pair.source.stderr(), 30,
               'the source to say what can be done')
    pair.source.command('migrate_cancel')
    wait_migration(pair.source, ('failed',))
    check_equal(pair.source.status(), 'paused', 'run state')
    lost = pair.source.qmp.wait_event('X_MIGRATION_OWNER_UNKNOWN', 30)
    check('given up' in lost['data']['error'], 'the event: %s', lost)
    before = len(pair.source.console.statuses())
    pair.source.command('cont')
    wait_until(lambda: len(pair.source.console.statuses()) > before + 3, 60, 'the guest to work')
    pair.journey.check()


def never_told(bench):
    """All of the memory is there, and the destination does not say so for too long: that is what is said."""
    pair = Pair(bench)
    pair.source.set_capabilities(postcopy_ram=True)
    pair.source.set_parameters(**{'x-verdict-timeout': 300})
    pair.destination.command('x-fault', point='dst-postcopy-tells', action='stall', ms=10000)
    pair.source.command('migrate', uri=pair.uri())
    wait_migration(pair.source, ('active',))
    pair.source.command('migrate-start-postcopy')
    wait_migration(pair.source, ('postcopy-paused',))
    why = pair.source.migration()['error-desc']
    check('has not said' in why and 'x-verdict-timeout' in why, 'why it is paused: %s', why)


def resident(vm):
    with open('/proc/%d/status' % vm.process.pid) as f:
        return int(re.search(r'RssShmem:\s+(\d+) kB', f.read())[1])


def release(bench):
    """release-ram: what was sent is the host's again."""
    pair = Pair(bench)
    pair.source.set_capabilities(release_ram=True)
    before = resident(pair.source)
    pair.hmp('-p')
    wait_migration(pair.source)
    after = resident(pair.source)
    check(before > 4000 and after < before // 4, 'the source had %d KiB and has %d', before, after)
    pair.end()
    denied(pair.source, 'cont')     # over what is left of its memory
    check_equal(pair.source.status(), 'postmigrate', 'run state of the source')


def release_and_cut(bench):
    """release-ram: there is nothing to go on with after a cut, which is said."""
    pair = Pair(bench)
    pair.source.set_capabilities(release_ram=True)
    pair.source.set_parameters(max_postcopy_bandwidth=64 << 10)
    pair.hmp('-p')
    wait_migration(pair.source, ('postcopy-active',))
    pair.source.command('migrate-pause')
    wait_migration(pair.source, ('postcopy-paused',))
    check('release-ram' in pair.source.hmp('migrate -d -r tcp:127.0.0.1:1'),
          'a recovery that cannot work was begun')


def flags(bench):
    """What does not fit together is said, and a migrate that did not begin changes nothing."""
    pair = Pair(bench)
    for words, text in (('-n %s', 'give -p too'), ('-m %s', 'give -p too'), ('%s 3', 'give -p too'),
                        ('-p %s -1', 'negative'), ('-p %s 0 70000', '65536'),
                        ('-p -r %s', 'no paused migration')):
        answer = pair.source.hmp('migrate -d ' + words % pair.uri())
        check(text in answer, 'migrate %s: %r', words, answer)
        check('postcopy-ram: off' in pair.source.hmp('info migrate_capabilities'),
              'migrate %s left the capability on', words)
        check('precopy-count: 4294967295' in pair.source.hmp('info migrate_parameters'),
              'migrate %s left a parameter changed', words)
    check_equal(pair.source.status(), 'running', 'the guest')


def cut_anywhere(bench, rounds):
    """Cuts at random moments from either side, also while a recovery is under way."""
    seed = int(os.environ.get('FERRYTEST_SEED', random.randrange(1 << 30)))
    bench.note('cuts: FERRYTEST_SEED=%d' % seed)
    dice = random.Random(seed)
    pair = Pair(bench, harts=2)
    pair.source.set_parameters(max_postcopy_bandwidth=16 << 10)
    pair.hmp('-p')
    wait_migration(pair.source, ('postcopy-active',))
    for _ in range(rounds):
        time.sleep(dice.random() * 0.1)
        for vm in dice.sample((pair.source, pair.destination), dice.choice((1, 1, 2))):
            try:
                vm.command('migrate-pause')
            except QMPError:
                pass            # it has noticed already
        recover(pair)
        if dice.random() < 0.6:
            wait_until(lambda: pair.source.migration()['status'] != 'postcopy-recover-setup', 60,
                       'the connection')
            wait_until(lambda: pair.source.migration()['status'] != 'postcopy-recover', 60,
                       'the recovery')
    wait_until(lambda: pair.source.migration()['status'] in ('postcopy-active', 'postcopy-paused'),
               60, 'the last recovery')
    if pair.source.migration()['status'] == 'postcopy-paused':
        recover(pair)
    pair.source.set_parameters(max_postcopy_bandwidth=0)
    info = pair.end()
    check(info['x-postcopy']['recoveries'] >= 1, 'no recovery was counted: %s', info)


main([
    Case('at once', at_once),
    Case('a pass before, neighbours', counted),
    Case('only what is asked for', alone),
    Case('neighbours that are of use', used),
    Case('what is asked for beside a limit', both_go_on),
    Case('preempt over one connection', only_one_connection),
    Case('refused by the destination', refused),
    Case('not before the destination agrees', agreed),
    Case('a guest that stands still', stopped),
    Case('a cut that is late', late_cut),
    Case('release-ram', release),
    Case('release-ram and a cut', release_and_cut),
    Case('flags that do not fit', flags),
    Case('behind a slow wire', behind),
    Case('a step fails', faults('fail')),
    Case('a step takes long', faults('stall'), full=True),
    Case('never arrived', never_arrived),
    Case('never told', never_told),
    Case('the last word is lost', last_word_lost()),
    Case('ended by a stranger', ended_by_a_stranger),
    Case('the last word is lost, preempt', last_word_lost(preempt=True)),
    Case('cut anywhere', lambda bench: cut_anywhere(bench, 4)),
    Case('cut anywhere, often', lambda bench: cut_anywhere(bench, 60), full=True, timeout=600),
])
