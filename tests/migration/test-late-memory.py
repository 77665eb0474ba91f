#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A running guest whose memory is taken away, all of it, and comes back page by page in any order:
harts and devices wait for what they need and find it as it was, and while everything waits the
monitors answer, and stop, cont, reset and quit work.

  FERRY_BUILD=build tests/migration/test-late-memory.py [WORDS OF A CASE]

late-memory.c is the program: ferry-system-riscv64 with a socket of the test's.
"""
import os
import re
import socket
import time

from ferrytest import emulators
from ferrytest.devices import Busy
from ferrytest.guest import Bare
from ferrytest.host import may_use_userfaultfd
from ferrytest.move import wait_alive
from ferrytest.process import VM
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, check, check_equal, main, need, wait_until

FERRY = emulators.ferry()
PROGRAM = os.path.join(emulators.BUILD, 'tests', 'migration', 'late-memory')
# What a monitor may take; the machine that runs this may be busy with other things.
ANSWER = 2.0
SEED = int(os.environ.get('FERRYTEST_SEED', '0')) or int(time.time())


class Late:
    """A guest in the test's program, and the socket that takes and gives its memory."""

    def __init__(self, bench, guest, extra=(), engine='software'):
        path = bench.path('late')
        os.environ['FERRYTEST_LATE'] = path
        emulator = emulators.Emulator('late', [PROGRAM], FERRY.machine, FERRY.cpu, ferry=True)
        bench.note('seed %d' % SEED)
        self.vm = VM(bench, 'late', emulator, guest, extra=extra, qtest=True)
        self.seed = SEED
        self.engine = engine
        self.socket = socket.socket(socket.AF_UNIX)
        wait_until(lambda: os.path.exists(path) and self.socket.connect_ex(path) == 0, 20,
                   'the socket of the test')
        self.file = self.socket.makefile('r')
        bench.at_end(self.socket.close)
        bench.at_end(self.file.close)

    def say(self, line):
        self.socket.sendall(line.encode() + b'\n')
        return self.file.readline().strip()

    def state(self):
        words = self.say('state').split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def take(self):
        self.asked = self.state()['vcpu']
        check_equal(self.say('take ' + self.engine), 'ok', 'answer')

    def give(self, delay_us=200):
        self.seed += 1
        check_equal(self.say('give %d %d' % (self.seed, delay_us)), 'ok', 'answer')

    def wait_all(self):
        wait_until(lambda: self.state()['missing'] == 0, 60, 'all of memory to come', 0.05)

    def wait_standing(self, harts):
        """Nobody asks for anything more: all harts wait."""
        wait_until(lambda: self.state()['vcpu'] > self.asked, 30, 'a hart to need a page')
        before = None
        while before != self.state():
            before = self.state()
            time.sleep(0.2)
        pages = before['vcpu'] - self.asked
        check(pages <= harts, '%d harts wait for %d pages', harts, pages)


def timed(function, *args, **arguments):
    begin = time.monotonic()
    result = function(*args, **arguments)
    took = time.monotonic() - begin
    check(took < ANSWER, '%s %s took %.1f s', function.__name__, args, took)
    return result


def clean(vm, where):
    """The guest lives, and has found nothing wrong."""
    seen = len(vm.console.statuses())
    vm.console.wait_statuses(seen + 3, 60)[-1].check_clean(where)


def checker(harts, engine='software'):
    def run(bench):
        need(engine == 'software' or may_use_userfaultfd(), 'this process may not use userfaultfd')
        late = Late(bench, Bare('checker', harts=harts, size='2M', print=50), engine=engine)
        wait_alive(late.vm)
        for round_ in range(2):
            late.take()
            late.give()
            clean(late.vm, 'while memory comes, round %d' % round_)
            late.wait_all()
            clean(late.vm, 'when all of it is here, round %d' % round_)
        check(late.state()['waited'] > 100, 'hardly anybody waited: %s', late.state())
    return run


def monitors(bench):
    """All harts wait, nothing comes: monitors answer, stop and cont work, the guest is as it was."""
    late = Late(bench, Bare('checker', harts=2, size='2M', print=50))
    vm = late.vm
    wait_alive(vm)
    late.take()
    late.wait_standing(2)
    for _ in range(5):
        check_equal(timed(vm.status), 'running', 'state')
        timed(vm.command, 'stop')
        check_equal(vm.status(), 'paused', 'state')
        check('pc' in timed(vm.hmp, 'info registers'), 'info registers says nothing')
        timed(vm.command, 'query-cpus-fast')
        timed(vm.command, 'cont')
    for command in ('x /4x 0x80000000', 'xp /4x 0x80100000', 'xp /4i 0x80200ffe'):
        text = timed(vm.hmp, command)
        check('has not come yet' in text and 'asked for' in text, '%s: %r', command, text)
    check('0x0000000080201000' in text or '0x80200000' in text, 'no address: %r', text)
    for name, arguments in (('pmemsave', {'val': 0x80300000, 'size': 8192}),
                            ('memsave', {'val': 0x80300000, 'size': 8192})):
        try:
            timed(vm.command, name, filename=bench.path('saved'), **arguments)
            check(False, '%s has saved what is not here', name)
        except QMPError as error:
            check('0x80300000 has not come yet' in str(error), '%s: %s', name, error)
    try:
        timed(vm.command, 'dump-guest-memory', paging=False,
              protocol='file:' + bench.path('dump'))
        check(False, 'a dump of what is not here')
    except QMPError as error:
        check(re.search(r'\d+ MiB of guest memory have not come', str(error)), 'dump: %s', error)
    qtest = vm.connect_qtest()
    bench.at_end(qtest.close)
    for line in ('readl 0x80400000', 'read 0x80400ffe 4', 'writel 0x80400000 1',
                 'memset 0x80400000 8 1'):
        try:
            timed(qtest.command, line)
            check(False, '%s did something', line)
        except RuntimeError as error:
            check('FAIL' in str(error) and 'has not come yet' in str(error), '%s: %s', line, error)
    check(late.state()['monitor'] >= 5, 'monitors have asked for nothing: %s', late.state())
    late.give()
    clean(vm, 'after the monitors')
    late.wait_all()
    clean(vm, 'when all of it is here')


def reset(bench):
    """A reset while all harts wait begins at once, and the guest starts anew with late memory."""
    late = Late(bench, Bare('checker', harts=2, size='2M', print=50))
    wait_alive(late.vm)
    late.take()
    late.wait_standing(2)
    begun = len(late.vm.console.statuses())
    timed(late.vm.command, 'system_reset')
    late.vm.qmp.wait_event('RESET')
    late.give()
    statuses = late.vm.console.wait_statuses(begun + 3, 60)[begun:]
    check(statuses[0].ms < 20000 and statuses[0].generations[0] < 50,
          'the guest did not start anew: %s', statuses[0].text)
    clean(late.vm, 'after the reset')
    late.wait_all()
    clean(late.vm, 'when all of it is here')


def stopped(bench):
    """Memory comes while the guest is stopped; it goes on when it is told to."""
    late = Late(bench, Bare('checker', harts=4, size='2M', print=50))
    vm = late.vm
    wait_alive(vm)
    late.take()
    late.wait_standing(4)
    timed(vm.command, 'stop')
    late.give()
    late.wait_all()
    before = len(vm.console.statuses())
    time.sleep(0.3)
    check_equal(len(vm.console.statuses()), before, 'lines of a stopped guest')
    timed(vm.command, 'cont')
    clean(vm, 'after cont')


def quits(bench):
    late = Late(bench, Bare('checker', harts=4, size='2M', print=50))
    wait_alive(late.vm)
    late.take()
    late.wait_standing(4)
    timed(late.vm.quit, ANSWER)


def devices(legacy):
    def run(bench):
        busy = Busy(bench, legacy, harts=2)
        late = Late(bench, busy.guest, extra=busy.args('late'))
        busy.start(late.vm)
        begin = len(late.vm.console.text())
        late.take()
        late.give()
        busy.at_work(late.vm, begin)
        late.wait_all()
        check(late.state()['device'] > 20, 'devices asked for nothing: %s', late.state())
        # once more, and for a while nothing comes at all
        begin = len(late.vm.console.text())
        late.take()
        late.wait_standing(2)
        timed(late.vm.status)
        late.give()
        busy.at_work(late.vm, begin)
        late.wait_all()
    return run


CASES = [
    Case('checker, 1 hart', checker(1)),
    Case('checker, 2 harts', checker(2)),
    Case('checker, 4 harts', checker(4)),
    Case('checker, 2 harts, userfaultfd', checker(2, 'userfaultfd')),
    Case('monitors while all harts wait', monitors),
    Case('reset while all harts wait', reset),
    Case('memory comes to a stopped guest', stopped),
    Case('quit while all harts wait', quits),
    Case('devices at work, modern', devices(False), timeout=300, full=True),
    Case('devices at work, legacy', devices(True), timeout=300, full=True),
]

if __name__ == '__main__':
    main(CASES)
