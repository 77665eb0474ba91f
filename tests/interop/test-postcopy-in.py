#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Postcopy out of QEMU 7.2 and 10.0 into Ferry: the guest goes before its memory does, its own checks
decide whether it is whole here, and cuts of the connection are survived. Preempt is switched on at the
source only: a Ferry destination takes the channel as it comes."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import channels  # noqa: E402
from ferrytest.crossing import PAIRS, need  # noqa: E402
from ferrytest.guest import Bare  # noqa: E402
from ferrytest.postcopy import Postcopy  # noqa: E402
from ferrytest.tap import Case, main  # noqa: E402


def move(pair, harts=1, paused=False, preempt=False, channel='unix', **options):
    def run(bench):
        source, destination = PAIRS[pair]
        need(source, destination)
        Postcopy(bench, source, Bare('checker', 64, harts), channels.ALL[channel](bench),
                 destination_emulator=destination, compare=paused, paused=paused,
                 preempt=preempt, **options).run()
    return run


def recovery(pair, times=2, **options):
    """Broken off from either side, and continued over other sockets."""
    def during(source, destination):
        for number in range(times):
            (source, destination)[number % 2].command('migrate-pause')
            step.await_paused()
            step.recover('unix:' + step.bench.path('again-%d' % number))
        source.set_parameters(max_postcopy_bandwidth=0)
    def run(bench):
        nonlocal step
        source, destination = PAIRS[pair]
        need(source, destination)
        step = Postcopy(bench, source, Bare('checker', 64, 2, size='16M'),
                        channels.ALL['unix'](bench), destination_emulator=destination,
                        compare=False, slow=1 << 20, rest=2 << 20, during=during, **options)
        step.run()
    step = None
    return run


main([
    Case('10.0 to Ferry', move('10.0 to Ferry', harts=2)),
    Case('7.2 to Ferry', move('7.2 to Ferry', harts=2)),
    Case('10.0 to Ferry, preempt', move('10.0 to Ferry', harts=2, preempt=True), rotate=2),
    Case('7.2 to Ferry, preempt', move('7.2 to Ferry', harts=2, preempt=True), rotate=2),
    Case('10.0 to Ferry, stopped', move('10.0 to Ferry', paused=True), rotate=2),
    Case('7.2 to Ferry, stopped', move('7.2 to Ferry', paused=True), rotate=2),
    Case('10.0 to Ferry, recovery', recovery('10.0 to Ferry')),
    Case('7.2 to Ferry, recovery', recovery('7.2 to Ferry')),
    Case('10.0 to Ferry, preempt, recovery', recovery('10.0 to Ferry', preempt=True)),
    Case('7.2 to Ferry, preempt, recovery', recovery('7.2 to Ferry', preempt=True)),
])
