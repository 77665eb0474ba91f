#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How quickly it is there: exec to QMP greeting, and Debian's kernel to init, beside QEMU.

The programs take turns in one run; medians and their ratio are printed.
FERRY_BUILD names the build folder, QEMU72 the reference.
"""
import os
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FERRY_BUILD", os.path.join(TOP, "build"))
PROGRAMS = {"QEMU": os.environ.get("QEMU72", "/usr/bin/qemu-system-riscv64"),
            "Ferry": os.path.join(BUILD, "ferry-system-riscv64")}
# What both implement, so that both boot the same guest.
CPU = "rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,pmu-num=0"
INIT = b"Run /init as init process"


def run_until(argv, mark, timeout=180):
    """Milliseconds from exec until the program prints mark."""
    start = time.monotonic()
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    seen = b""
    try:
        while mark not in seen:
            chunk = os.read(p.stdout.fileno(), 65536)
            if not chunk or time.monotonic() - start > timeout:
                raise SystemExit(f"{argv[0]} never said {mark!r}: {seen[-500:]!r}")
            seen = seen[-4096:] + chunk
        return (time.monotonic() - start) * 1000
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def greeting(program, *machine):
    return run_until([program, "-nodefaults", "-display", "none", "-S", "-qmp", "stdio",
                      *machine], b'{"QMP"')


def guest_dir():
    return subprocess.run([os.path.join(TOP, "scripts", "fetch-guest")], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.split()[-1]


def to_init(program, guest, harts):
    return run_until([program, "-M", "virt", "-cpu", CPU, "-m", "512M", "-smp", str(harts),
                      "-nodefaults", "-display", "none", "-serial", "stdio", "-kernel",
                      f"{guest}/Image", "-initrd", f"{guest}/initrd.cpio", "-append",
                      "console=ttyS0 earlycon=sbi ferry=idle"], INIT)


def compare(what, rounds, fn):
    ms = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            ms[name].append(fn(program))
    q, f = (statistics.median(ms[name]) for name in PROGRAMS)
    print(f"{what:34}{q:10.1f}{f:10.1f}{f / q:8.2f}", flush=True)


def main():
    print(f"{'median, ms':34}{'QEMU':>10}{'Ferry':>10}{'ratio':>8}")
    compare("exec to greeting, none", 15, lambda p: greeting(p, "-M", "none"))
    compare("exec to greeting, virt", 15, lambda p: greeting(p, "-M", "virt"))
    guest = guest_dir()
    compare("exec to greeting, virt, kernel", 9,
            lambda p: greeting(p, "-M", "virt", "-kernel", f"{guest}/Image"))
    compare("kernel to init, 1 hart", 3, lambda p: to_init(p, guest, 1))
    compare("kernel to init, 2 harts", 3, lambda p: to_init(p, guest, 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
