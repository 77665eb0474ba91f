# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks of whole migrations have in common: the host made even, and figures taken and shown."""
import os
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'tests', 'migration'))
from ferrytest.guest import Bare  # noqa: E402

TOUCH = """
import mmap, sys
memory = mmap.mmap(-1, int(sys.argv[1]) << 20)
for at in range(0, len(memory), 4096):
    memory[at] = 1
"""


class Filled(Bare):
    """A guest that never runs, with a file in its memory."""

    def __init__(self, memory, file=None):
        super().__init__('idle', memory=memory)
        self.file = file

    def args(self, emulator):
        loader = ['-device', 'loader,addr=0x81000000,file=' + self.file] if self.file else []
        return super().args(emulator) + loader


def settle_host(mib):
    """What was written is on the disk, and so much memory is there to be had: on a virtual host, memory
    that was long free comes several times more slowly, and who goes first would pay for it."""
    os.sync()
    subprocess.run([sys.executable, '-c', TOUCH, str(mib)], check=True)


def cpu_seconds(vm):
    """What all threads of the process have used so far, in user and kernel mode."""
    with open('/proc/%d/stat' % vm.process.pid, encoding='utf-8') as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def show(values, form='%.0f'):
    """Median, and the least and the most."""
    return '%s (%s to %s)' % tuple(form % v for v in (statistics.median(values), min(values), max(values)))


def ratio(a, b):
    """Of the medians, and of the least."""
    if min(b) == 0:
        return '-'      # less than a tick of the clock
    return '%.2f (%.2f)' % (statistics.median(a) / statistics.median(b), min(a) / min(b))
