# SPDX-License-Identifier: GPL-2.0-or-later
"""What this host lets a process do."""
import ctypes
import os
import subprocess
import sys

_USERFAULTFD = {'x86_64': 323, 'aarch64': 282, 'riscv64': 282}


def may_use_userfaultfd(prefix=()):
    """Tried, as who may is a matter of the kernel's settings and of containers; with the words of
    `prefix` before the command."""
    if prefix:
        return subprocess.run([*prefix, sys.executable, __file__], check=False).returncode == 0
    number = _USERFAULTFD.get(os.uname().machine)
    fd = ctypes.CDLL(None).syscall(number, os.O_CLOEXEC) if number else -1
    if fd >= 0:
        os.close(fd)
    return fd >= 0


class HugePages:
    """A folder whose files are of huge pages, with so many bytes of them reserved; `reason` if there can
    be none."""

    def __init__(self, bench, size):
        self.reason, self.path = None, bench.path('hugetlbfs')
        os.mkdir(self.path)
        if not self._reserve(bench, size):
            self.reason = 'no %d MiB of huge pages can be reserved' % (size >> 20)
        elif subprocess.run(['mount', '-t', 'hugetlbfs', 'none', self.path], check=False,
                            stderr=subprocess.DEVNULL).returncode:
            self.reason = 'hugetlbfs cannot be mounted'
        else:
            bench.at_end(lambda: subprocess.run(['umount', '-l', self.path], check=False))

    def _reserve(self, bench, size):
        """As many more as it takes, given back at the end."""
        number = '/proc/sys/vm/nr_hugepages'
        try:
            before, more = _read(number), -(-size // huge_page_size())
            _write(number, before + more)
        except (OSError, ValueError, ZeroDivisionError):
            return False
        bench.at_end(lambda: _write(number, max(0, _read(number) - more)))
        return _read(number) >= before + more


def huge_page_size():
    with open('/proc/meminfo', encoding='ascii') as f:
        return next((int(line.split()[1]) << 10 for line in f if line.startswith('Hugepagesize:')), 0)


def _read(path):
    with open(path, encoding='ascii') as f:
        return int(f.read())


def _write(path, number):
    with open(path, 'w', encoding='ascii') as f:
        f.write(str(number))


if __name__ == '__main__':
    sys.exit(0 if may_use_userfaultfd() else 1)
