#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU on one host, Ferry on the other, the same domain XML on both.

The XML names one path; on hosta it is QEMU, on hostb Ferry with its host
setting (docs/system/libvirt.md) saying that "virt" stands for virt-7.2.
"""
import os
import sys

from lvtest import EMULATOR, QEMU72, check, check_eq, main, matrix

PATH = "/run/emulator"
# What a guest booted on either side may rely on (spec machine-virt, T7).
T7 = """<qemu:commandline><qemu:arg value='-cpu'/>
<qemu:arg value='rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,pmu-num=0'/>
</qemu:commandline>"""


def prepare(b):
    a, f = b.hosts
    conf = "/etc/libvirt/ferry.conf"
    with open(f.path(conf), "w") as c:
        c.write("[machine]\nvirt = virt-7.2\n")
    for host, text in ((a, f'exec {QEMU72} "$@"'),
                       (f, f'FERRY_CONFIG={conf} exec {EMULATOR} "$@"')):
        with open(host.path(PATH), "w") as s:
            s.write(f"#!/bin/sh\n{text}\n")
        os.chmod(host.path(PATH), 0o755)


@matrix("qemu-7.2", [("to-ferry", 0), ("to-qemu", 1), ("there-and-back", 2)])
def mixed(b, v):
    prepare(b)
    src, dst = (b.hosts[1], b.hosts[0]) if v[1] == 1 else b.hosts
    d = b.running(src, emulator=PATH, cpu=T7)
    hops = [(src, dst), (dst, src)][:2 if v[1] == 2 else 1]
    for x, y in hops:
        # no return path in the mixed case is libvirt's decision; the guest's word decides here
        r = x.virsh("migrate", "--live", d.name, f"qemu+tcp://{y.name}/system", check=False)
        check(r.returncode == 0, f"{x.name} -> {y.name}: {r.stderr}; {d.log(y)[-600:]}")
        d.wait_reports(y)
    here = hops[-1][1]
    check_eq(d.state(here), "running", "after the move")
    for h in b.hosts:
        d.reports(h).prove(late=60)


if __name__ == "__main__":
    sys.exit(main())
