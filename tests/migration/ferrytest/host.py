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


if __name__ == '__main__':
    sys.exit(0 if may_use_userfaultfd() else 1)
