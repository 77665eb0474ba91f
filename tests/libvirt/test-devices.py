#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices from domain XML, used by the guest, before and after a move."""
import os
import sys

from lvtest import Shell, case, check, check_eq, main, matrix

DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw' cache='{cache}'/>
<source file='{path}'/><target dev='vda' bus='virtio'/>{ro}</disk>"""
USER_NET = """<interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/>
</interface>"""
RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
CONSOLE = "<console type='pty'><target type='virtio' port='1'/></console>"


def shell_guest(b, devices, host=None, **kw):
    host = host or b.hosts[0]
    d = b.domain(mode="shell", serial="unix", devices=devices, **kw).create(host)
    return d, Shell(d, host)


def make_disk(b, size=8 << 20):
    path = os.path.join(b.cable.base, "disk.img")
    with open(path, "wb") as f:
        f.write(b"first sector".ljust(512, b"."))
        f.truncate(size)
    return path


@matrix("disk-cache", ["none", "writethrough", "writeback", "directsync", "unsafe"],
        long=["writethrough", "directsync", "unsafe"])
def disk_cache(b, cache):
    path = make_disk(b)
    d, sh = shell_guest(b, DISK.format(cache=cache, path=path, ro=""))
    check_eq(sh.run("head -c 12 /dev/vda"), "first sector", "what the guest reads")
    sh.run("echo written by the guest | dd of=/dev/vda bs=512 seek=3 conv=sync && sync")
    with open(path, "rb") as f:
        f.seek(3 * 512)
        check_eq(f.read(20), b"written by the guest", "what arrived in the file")
    sh.close()


@case
def disk_readonly(b):
    path = make_disk(b)
    d, sh = shell_guest(b, DISK.format(cache="none", path=path, ro="<readonly/>"))
    check_eq(sh.run("cat /sys/block/vda/ro"), "1", "the guest's view")
    sh.close()


@case
def disk_survives_a_move(b):
    """The disk is shared (the same file on both hosts); written before, read after, and on."""
    src, dst = b.hosts
    path = make_disk(b)
    d, sh = shell_guest(b, DISK.format(cache="none", path=path, ro=""))
    sh.run("dd if=/dev/urandom of=/dev/vda bs=4k count=256 seek=256 2>/dev/null && sync")
    want = sh.run("dd if=/dev/vda bs=4k count=256 skip=256 2>/dev/null | md5sum")
    sh.close()
    src.virsh("migrate", "--live", "--unsafe", d.name, "qemu+tcp://hostb/system")
    sh = Shell(d, dst)
    sh.run("echo 3 >/proc/sys/vm/drop_caches")
    check_eq(sh.run("dd if=/dev/vda bs=4k count=256 skip=256 2>/dev/null | md5sum"), want,
             "checksum after the move")
    sh.run("echo after | dd of=/dev/vda bs=512 seek=9 conv=sync && sync")
    with open(path, "rb") as f:
        f.seek(9 * 512)
        check_eq(f.read(5), b"after", "a write after the move")
    sh.close()


@case
def net_user(b):
    d, sh = shell_guest(b, USER_NET)
    check(sh.run("ls /sys/class/net/eth0/address") != "", "no eth0")
    check_eq(sh.run("cat /sys/class/net/eth0/address"), "52:54:00:12:34:56", "mac")
    sh.run("ifconfig eth0 10.0.2.15 up && ping -c 1 -W 5 10.0.2.2")
    sh.close()


@case
def net_tap_on_a_bridge(b):
    """A bridge in the test's own namespace; the guest keeps its address and its peer when it moves."""
    src, dst = b.hosts
    for n, h in enumerate(b.hosts):
        h.run("ip", "link", "add", "br0", "type", "bridge")
        h.run("ip", "addr", "flush", "dev", "eth0")
        h.run("ip", "link", "set", "eth0", "master", "br0")
        h.run("ip", "addr", "add", h.ip + "/24", "dev", "br0")
        h.run("ip", "link", "set", "br0", "up")
    try:
        d, sh = shell_guest(b, "<interface type='bridge'><source bridge='br0'/>"
                            "<mac address='52:54:00:aa:bb:cc'/><model type='virtio'/></interface>")
        sh.run("ifconfig eth0 10.231.0.77 netmask 255.255.255.0 up")
        sh.run(f"ping -c 2 -W 5 {src.ip}")
        sh.close()
        src.virsh("migrate", "--live", "--unsafe", d.name, "qemu+tcp://hostb/system")
        sh = Shell(d, dst)
        sh.run(f"ping -c 2 -W 5 {dst.ip}")
        sh.run(f"ping -c 2 -W 5 {src.ip}")
        sh.close()
        d.remove()
    finally:
        for h in b.hosts:
            h.run("ip", "link", "set", "eth0", "nomaster")
            h.run("ip", "link", "del", "br0")
            h.run("ip", "addr", "add", h.ip + "/24", "dev", "eth0")


@case
def rng(b):
    src, dst = b.hosts
    d, sh = shell_guest(b, RNG)
    check("virtio_rng" in sh.run("cat /sys/class/misc/hw_random/rng_current"), "no virtio rng")
    a = sh.run("dd if=/dev/hwrng bs=16 count=1 2>/dev/null | md5sum")
    sh.close()
    src.virsh("migrate", "--live", "--unsafe", d.name, "qemu+tcp://hostb/system")
    sh = Shell(d, dst)
    check(sh.run("dd if=/dev/hwrng bs=16 count=1 2>/dev/null | md5sum") != a, "the same numbers")
    sh.close()


@case
def virtio_console(b):
    src, dst = b.hosts
    d, sh = shell_guest(b, CONSOLE)
    out = src.out("dumpxml", d.name)
    check("type='virtio'" in out, "no virtio console in the running domain")
    sh.run("test -c /dev/hvc0")
    sh.run("echo from hvc0 >/dev/hvc0")
    sh.close()
    src.virsh("migrate", "--live", "--unsafe", d.name, "qemu+tcp://hostb/system")
    sh = Shell(d, dst)
    sh.run("echo again >/dev/hvc0")
    sh.close()


@case
def balloon_is_accepted(b):
    d, sh = shell_guest(b, "", balloon="virtio")
    h = b.hosts[0]
    out = h.out("dommemstat", d.name)
    check("actual 131072" in out, f"dommemstat: {out}")
    sh.close()


@case
def disk_statistics(b):
    """libvirt looks for a virtio disk under a name of its own (qdev in the schema of QMP)."""
    path = make_disk(b)
    d, sh = shell_guest(b, DISK.format(cache="none", path=path, ro=""))
    h = b.hosts[0]
    sh.run("dd if=/dev/vda of=/dev/null bs=4k count=64 2>/dev/null")
    figures = dict(line.split()[1:] for line in h.out("domblkstat", d.name, "vda").split("\n") if line)
    check(int(figures["rd_bytes"]) >= 64 * 4096, f"domblkstat: {figures}")
    check("Capacity:       8388608" in h.out("domblkinfo", d.name, "vda"), "domblkinfo")
    check("block.0.rd.bytes=" in h.out("domstats", d.name, "--block"), "domstats --block")
    sh.close()


@case
def all_at_once_move(b):
    src, dst = b.hosts
    path = make_disk(b)
    d, sh = shell_guest(b, DISK.format(cache="none", path=path, ro="") + USER_NET + RNG)
    sh.run("ifconfig eth0 10.0.2.15 up")
    sh.run("(while :; do dd if=/dev/urandom of=/dev/vda bs=4k count=8 seek=100 conv=fsync "
           "2>/dev/null; done) >/dev/null 2>&1 & true")
    sh.close()
    r = src.virsh("migrate", "--live", "--unsafe", d.name, "qemu+tcp://hostb/system", check=False)
    check(r.returncode == 0 or "slirp" in r.stderr, f"migrate with user network: {r.stderr}")
    sh = Shell(d, dst if r.returncode == 0 else src)
    sh.run("dd if=/dev/vda bs=4k count=16 2>/dev/null | md5sum")
    sh.close()


@case
def hot_unplug_is_refused_clearly(b):
    h = b.hosts[0]
    d, sh = shell_guest(b, RNG)
    xml = h.path("/run/rng.xml")
    with open(xml, "w") as f:
        f.write(RNG)
    r = h.virsh("detach-device", d.name, "/run/rng.xml", "--live", check=False)
    check(r.returncode != 0, "hot-unplug was accepted")
    check("hot" in r.stderr.lower() or "unplug" in r.stderr.lower(),
          f"the refusal does not say what is refused: {r.stderr}")
    sh.run("true")
    sh.close()


if __name__ == "__main__":
    sys.exit(main())
