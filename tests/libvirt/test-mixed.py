#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU on one host, Ferry on the other, the same domain XML on both.

The XML names one path; on hosta it is QEMU, on hostb Ferry with its host
setting (docs/system/libvirt.md) saying that "virt" stands for virt-7.2.
"""
import os
import sys

from lvtest import EMULATOR, QEMU72, TOP, check, check_eq, main, matrix

PATH = "/run/emulator"
# What a guest booted on either side may rely on (machine-virt, T7).
T7 = """<qemu:commandline><qemu:arg value='-cpu'/>
<qemu:arg value='rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,pmu-num=0'/>
</qemu:commandline>"""


# The same for T10. The second -machine adds to libvirt's own.
T10 = """<qemu:commandline><qemu:arg value='-machine'/><qemu:arg value='acpi=off'/>
<qemu:arg value='-cpu'/>
<qemu:arg value='rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,zicbom=off,zicbop=off,zicboz=off,zawrs=off,zfa=off,zihintntl=off,svadu=off,svvptc=off,sv57=off,pmu-mask=0'/>
</qemu:commandline>"""
CACHE = os.environ.get("FERRY_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ferry")
# libvirt gives its guests a HOME of their own, so the cache folder is named.
QEMU10 = f"env FERRY_CACHE={CACHE} {TOP}/tests/interop/qemu10 qemu-system-riscv64"
VERSIONS = {"7.2": (QEMU72, T7), "10.0": (QEMU10, T10)}


def prepare(b, version):
    a, f = b.hosts
    conf = "/etc/libvirt/ferry.conf"
    with open(f.path(conf), "w") as c:
        c.write(f"[machine]\nvirt = virt-{version}\n")
    for host, text in ((a, f'exec {VERSIONS[version][0]} "$@"'),
                       (f, f'FERRY_CONFIG={conf} exec {EMULATOR} "$@"')):
        path = host.path(PATH)
        with open(path + ".new", "w") as s:
            s.write(f"#!/bin/sh\n# {version}\n{text}\n")
        os.chmod(path + ".new", 0o755)
        os.rename(path + ".new", path)


@matrix("qemu", [(f"{version}-{how}", version, how) for version in VERSIONS
                 for how in ("to-ferry", "to-qemu", "there-and-back", "parallel")],
        long=[f"{version}-{how}" for version in VERSIONS for how in ("to-ferry", "to-qemu")])
def mixed(b, v):
    _, version, how = v
    prepare(b, version)
    src, dst = (b.hosts[1], b.hosts[0]) if how == "to-qemu" else b.hosts
    d = b.running(src, emulator=PATH, cpu=VERSIONS[version][1])
    flags = ["--parallel", "--parallel-connections", "3"] if how == "parallel" else []
    hops = [(src, dst), (dst, src)][:2 if how in ("there-and-back", "parallel") else 1]
    for x, y in hops:
        r = x.virsh("migrate", "--live", *flags, d.name, f"qemu+tcp://{y.name}/system", check=False)
        check(r.returncode == 0, f"{x.name} -> {y.name}: {r.stderr}; {d.log(y)[-600:]}")
        d.wait_reports(y)
    check_eq(d.state(hops[-1][1]), "running", "after the move")
    for h in b.hosts:
        d.reports(h).prove(late=60)


if __name__ == "__main__":
    sys.exit(main())
