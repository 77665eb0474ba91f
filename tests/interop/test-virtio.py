#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtio devices whose queues are in the middle of something when the guest moves between Ferry and
QEMU: requests that an error of the host has stopped or that wait for a slow disk, packets and buffers
for them, rings with nonsense in them.

  FERRY_BUILD=build tests/interop/test-virtio.py [WORDS OF A CASE]
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import driven  # noqa: E402
from ferrytest.crossing import PAIRS  # noqa: E402
from ferrytest.tap import Case, main  # noqa: E402

CASES = [Case('%s, %s' % (what, pair), case(*PAIRS[pair]))
         for pair in PAIRS
         for what, case in (('full disk', driven.full_disk),
                            ('slow disk', driven.slow_disk),
                            ('many writes', driven.many_writes),
                            ('network card', driven.network),
                            ('two user networks', driven.two_user_networks),
                            ('balloon statistics', driven.balloon_statistics),
                            ('agent port', driven.agent_port),
                            ('receive filter', driven.receive_filter),
                            ('index out of range', driven.index_out_of_range))]

if __name__ == '__main__':
    main(CASES)
