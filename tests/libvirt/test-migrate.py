#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migration between two hosts, driven by virsh. Never two running guests, never none."""
import os
import re
import signal
import sys
import time

from lvtest import FULL, case, check, check_eq, long_case, main, matrix, wait_for

URI = "qemu+tcp://{}/system"
SLOW = dict(guest="bare", memory=256, args="size=32M tick=50 step=8".replace(" ", ","))


def migrate(d, src, dst, *flags, check_=True, timeout=120):
    return src.virsh("migrate", *(flags or ("--live",)), d.name, URI.format(dst.name),
                     check=check_, timeout=timeout)


def moved(b, d, src, dst, state="running"):
    check_eq(d.state(dst), state, f"{d.name} on {dst.name}")
    check(d.state(src) in (None, "shut off"), f"{d.name} is still {d.state(src)} on {src.name}")
    if state == "running":
        d.wait_reports(dst)
        d.reports(src, dst).prove(at_least=5, late=8)


def stayed(b, d, src, dst):
    """After a failure the guest runs where it was, and nowhere else."""
    d.wait_state(src, "running")
    wait_for(f"the end of {d.name} on {dst.name}", lambda: d.state(dst) in (None, "shut off"), 40)
    d.wait_reports(src)
    d.reports(src).prove(late=8)


def start_slow(b, *flags, mbps="4", **kw):
    """A migration that will not end by itself: a busy guest at a few MiB/s."""
    src, dst = b.hosts
    d = b.running(**{**SLOW, **kw})
    p = src.virsh_popen("migrate", *(flags or ("--live",)), "--bandwidth", mbps, d.name,
                        URI.format(dst.name))
    wait_for("the migration to be active", lambda: job(src, d).get("Data processed"), 20)
    return d, p


def job(host, d, *flags):
    r = host.virsh("domjobinfo", d.name, *flags, check=False)
    rows = {}
    for line in r.stdout.split("\n"):
        if ":" in line:
            key, value = line.split(":", 1)
            rows[key.strip()] = value.strip()
    return rows


def number(text):
    """'12.5 MiB' -> bytes, '33 ms' -> 33.0"""
    m = re.match(r"([\d.]+)(?:\s+(\S+))?", text)
    unit = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    return float(m[1]) * unit.get((m[2] or "").split("/")[0], 1)


@matrix("flavour", [
    ("direct-live", ["--live"], {}),
    ("direct-not-live", ["--verbose"], {}),
    ("p2p", ["--live", "--p2p"], {}),
    ("tunnelled", ["--live", "--p2p", "--tunnelled"], {}),
    ("auto-converge", ["--live", "--auto-converge", "--auto-converge-initial", "30"], {}),
    ("xbzrle", ["--live", "--compressed", "--comp-methods", "xbzrle", "--comp-xbzrle-cache",
                "16777216"], {}),
    ("compressed-default", ["--live", "--compressed"], {}),
    ("bandwidth", ["--live", "--bandwidth", "200"], {}),
    ("parallel", ["--live", "--parallel", "--parallel-connections", "4"], {}),
    ("parallel-default", ["--live", "--parallel"], dict(guest="linux")),
    ("abort-on-error", ["--live", "--abort-on-error"], {}),
    ("two-harts", ["--live"], dict(vcpus=2)),
    ("linux", ["--live"], dict(guest="linux")),
    ("linux-two-harts-p2p", ["--live", "--p2p"], dict(guest="linux", vcpus=2)),
], long=["compressed-default", "parallel-default", "abort-on-error", "linux-two-harts-p2p"])
def flavours(b, v):
    src, dst = b.hosts
    d = b.running(**{"guest": "bare", **v[2]})
    r = migrate(d, src, dst, *v[1], check_=False)
    check(r.returncode == 0, f"virsh migrate {v[1]}: {r.stderr}; destination: "
          f"{d.log(dst)[-400:]}")
    moved(b, d, src, dst)


@case
def unix_socket(b):
    src, dst = b.hosts
    d = b.running(guest="bare")
    sock = os.path.join(os.path.dirname(src.root), "mig.sock")
    r = src.virsh("migrate", "--live", d.name, URI.format(dst.name), "--migrateuri",
                  f"unix://{sock}", check=False)
    check(r.returncode == 0, f"unix socket: {r.stderr}")
    moved(b, d, src, dst)


@case
def migrateuri_port(b):
    src, dst = b.hosts
    d = b.running(guest="bare")
    src.virsh("migrate", "--live", d.name, URI.format(dst.name), "--migrateuri",
              "tcp://hostb:49999")
    moved(b, d, src, dst)


@case
def paused_guest_stays_paused(b):
    src, dst = b.hosts
    d = b.running(guest="bare")
    src.virsh("suspend", d.name)
    migrate(d, src, dst)
    check_eq(d.state(dst), "paused", "on the destination")
    dst.virsh("resume", d.name)
    moved(b, d, src, dst)


@case
def suspend_flag(b):
    src, dst = b.hosts
    d = b.running(guest="bare")
    migrate(d, src, dst, "--live", "--suspend")
    moved(b, d, src, dst, "paused")
    dst.virsh("resume", d.name)
    moved(b, d, src, dst)


@case
def persistent_and_undefinesource(b):
    src, dst = b.hosts
    d = b.domain(guest="bare").define(src)
    src.virsh("start", d.name)
    d.wait_reports(src)
    migrate(d, src, dst, "--live", "--persistent", "--undefinesource")
    moved(b, d, src, dst)
    check_eq(d.state(src), None, "on the source")
    check("yes" in dst.out("dominfo", d.name).split("Persistent:")[1].split("\n")[0],
          "not persistent on the destination")


@long_case
def change_protection(b):
    d, p = start_slow(b, "--live", "--change-protection")
    src, dst = b.hosts
    r = src.virsh("undefine", d.name, check=False)
    check(r.returncode != 0, "the domain could be changed during a protected migration")
    src.virsh("domjobabort", d.name)
    p.wait(30)
    stayed(b, d, src, dst)


@case
def timeout_with_suspend(b):
    src, dst = b.hosts
    d = b.running(**SLOW)
    r = src.virsh("migrate", "--live", "--timeout", "2", "--timeout-suspend", "--bandwidth", "30",
                  d.name, URI.format(dst.name), check=False)
    check(r.returncode == 0, f"--timeout 2: {r.stderr}")
    wait_for("the guest to run", lambda: d.state(dst) in ("running", "paused"))
    if d.state(dst) == "paused":
        dst.virsh("resume", d.name)
    moved(b, d, src, dst)


@case
def speed_downtime_and_cache_change_live(b):
    src, dst = b.hosts
    d, p = start_slow(b, "--live", "--compressed", "--comp-methods", "xbzrle",
                      "--comp-xbzrle-cache", "16777216")
    src.virsh("migrate-compcache", d.name, "--size", "33554432")
    check("32.000 MiB" in src.out("migrate-compcache", d.name), "migrate-compcache: not taken")
    wait_for("the new cache size in the job", lambda: number(
        job(src, d).get("Compression cache", "0")) == 32 << 20, 10)
    src.virsh("migrate-setmaxdowntime", d.name, "1500")
    check_eq(src.out("migrate-getmaxdowntime", d.name), "1500", "downtime limit")
    src.virsh("migrate-setspeed", d.name, "2000")
    check_eq(src.out("migrate-getspeed", d.name), "2000", "speed")
    p.wait(60)
    check_eq(p.returncode, 0, f"the migration after it got all it needs: {p.stderr.read()}")
    moved(b, d, src, dst)


@case
def jobinfo_is_plausible(b):
    src, dst = b.hosts
    d, p = start_slow(b, "--live", "--p2p", mbps="20")
    time.sleep(1)
    a = job(src, d)
    check_eq(a.get("Job type"), "Unbounded", f"job type in {a}")
    total = number(a["Memory total"])
    check(256 << 20 <= total < 400 << 20, f"memory total: {a['Memory total']}")
    check(0 < number(a["Data processed"]) < total, f"processed: {a}")
    check(number(a["Time elapsed"]) > 500, f"time elapsed: {a}")
    check(abs(number(a["Memory bandwidth"]) - (20 << 20)) < (20 << 20),
          f"bandwidth, limit 20 MiB/s: {a['Memory bandwidth']}")
    src.virsh("migrate-setmaxdowntime", d.name, "3000")
    src.virsh("migrate-setspeed", d.name, "4000")
    p.wait(60)
    check_eq(p.returncode, 0, "migration")
    for h in (src, dst):
        c = job(h, d, "--completed") if h is dst else {}
        if c:
            check_eq(c.get("Job type"), "Completed", f"{h.name}: {c}")
            check(0 < number(c["Total downtime"]) < 10000, f"downtime: {c}")
            check(number(c["Memory remaining"]) == 0, f"remaining: {c}")
            check(number(c["Iteration"]) >= 2, f"iterations: {c}")
    moved(b, d, src, dst)


@matrix("abort", ["at-once", "bulk", "later-pass", "ten-times"], long=["ten-times"])
def abort(b, when):
    src, dst = b.hosts
    for _ in range(10 if when == "ten-times" else 1):
        d, p = start_slow(b, mbps="20" if when == "later-pass" else "4")
        if when == "later-pass":
            wait_for("a later pass", lambda: number(job(src, d).get("Iteration", "0")) >= 3, 30)
        elif when == "bulk":
            time.sleep(0.7)
        r = src.virsh("domjobabort", d.name, check=False)
        check(r.returncode == 0, f"domjobabort: {r.stderr}")
        start = time.monotonic()
        p.wait(20)
        check(time.monotonic() - start < 5, "the abort took more than 5 s")
        check(p.returncode != 0, "the aborted migration claims success")
        stayed(b, d, src, dst)
        if when == "ten-times":
            d.remove()
    if when != "ten-times":
        src.virsh("migrate", "--live", "--timeout", "2", d.name, URI.format(dst.name))
        wait_for("the guest to run", lambda: d.state(dst))
        if d.state(dst) == "paused":
            dst.virsh("resume", d.name)
        moved(b, d, src, dst)


@case
def destination_killed(b):
    src, dst = b.hosts
    d, p = start_slow(b)
    os.kill(d.pid(dst), signal.SIGKILL)
    p.wait(30)
    check(p.returncode != 0, "the migration claims success")
    stayed(b, d, src, dst)


@case
def source_daemon_killed(b):
    """libvirtd dies on the source: after its restart the guest runs on exactly one side."""
    src, dst = b.hosts
    d, p = start_slow(b)
    src.stop_libvirtd(signal.SIGKILL)
    p.wait(30)
    src.start_libvirtd()
    stayed(b, d, src, dst)


@case
def source_daemon_restarted_while_migrating_p2p(b):
    src, dst = b.hosts
    d, p = start_slow(b, "--live", "--p2p", args="size=32M,tick=200,step=8")
    src.stop_libvirtd()
    p.wait(30)
    src.start_libvirtd()
    stayed(b, d, src, dst)


@case
def destination_daemon_killed(b):
    src, dst = b.hosts
    d, p = start_slow(b, "--live", "--p2p")
    dst.stop_libvirtd(signal.SIGKILL)
    try:
        p.wait(60)
    finally:
        dst.start_libvirtd()
    check(p.returncode != 0, "the migration claims success")
    stayed(b, d, src, dst)


@case
def network_cut(b):
    src, dst = b.hosts
    d, p = start_slow(b, "--live", "--p2p")
    b.cable.cut_cable()
    try:
        time.sleep(1)
        check_eq(d.state(src), "running", "on the source while the cable is cut")
        r = src.virsh("domjobabort", d.name, check=False, timeout=60)
        check(r.returncode == 0, f"domjobabort with the cable cut: {r.stderr}")
        d.wait_reports(src)
    finally:
        b.cable.join_cable()
    p.wait(90)
    check(p.returncode != 0, "the migration claims success")
    stayed(b, d, src, dst)


def at_fault(b, point, action, *flags, **options):
    """A migration during which something goes wrong on the source at a fault point."""
    src, dst = b.hosts
    d = b.running(guest="bare", memory=64, args="size=1M,rate=2000,tick=50")
    d.qmp(src, "x-fault", point=point, action=action, **options)
    p = src.virsh_popen("migrate", *(flags or ("--live",)), d.name, URI.format(dst.name))
    return d, p


@matrix("all-was-sent", [("way-back-cut", "--live"), ("way-back-cut-p2p", "--live", "--p2p")],
        long=["way-back-cut"])
def answer_lost(b, v):
    """All was sent, no answer can come: the source keeps the guest paused, the destination runs it or
    not. libvirt ends the destination's and continues the source's."""
    d, p = at_fault(b, "src-awaits", "fail", *v[1:])
    p.wait(60)
    check(p.returncode != 0, "the migration claims success")
    stayed(b, d, *b.hosts)


@matrix("all-was-sent", [("destination-killed", "--live"), ("destination-killed-p2p", "--live", "--p2p")],
        long=["destination-killed-p2p"])
def destination_dies(b, v):
    """It has loaded all but the end, stands still, and dies when the end is on its way."""
    src, dst = b.hosts
    d, p = at_fault(b, "src-hands-over", "stall", *v[1:], ms=4000)
    wait_for("the end of the stream", lambda: d.state(src) == "paused", 30)
    os.kill(d.pid(dst), signal.SIGSTOP)
    time.sleep(5)
    os.kill(d.pid(dst), signal.SIGKILL)
    p.wait(60)
    check(p.returncode != 0, "the migration claims success")
    stayed(b, d, src, dst)


@matrix("all-was-sent", [("source-killed", "--live"), ("source-killed-p2p", "--live", "--p2p")],
        long=["source-killed"])
def source_dies(b, v):
    """The destination has the guest and keeps it; libvirt 9.0 knows only that the source's process is
    gone, calls it failed and ends the destination's: the guest has died with its host, as it would have
    a moment earlier. What must not be is two."""
    src, dst = b.hosts
    d, p = at_fault(b, "src-awaits", "die", *v[1:])
    p.wait(60)
    check(p.returncode != 0, "the migration claims success")
    wait_for("the end of both", lambda: (d.state(src), d.state(dst)) == (None, None), 30)
    check("terminating on signal 15" in d.log(dst), f"the destination ended by itself: {d.log(dst)}")
    d.define(dst)       # what the documents tell to do then: it is started on one host, and runs there only
    dst.virsh("start", d.name)
    d.wait_reports(dst)
    check_eq((d.state(src), d.state(dst)), (None, "running"), "states after it was started again")


@case
def back_and_forth(b):
    """Twenty moves (four without --full) of a Linux guest; its own word that nothing is wrong."""
    here, there = b.hosts
    d = b.running(guest="linux", vcpus=2)
    last = []
    for n in range(20 if FULL else 4):
        migrate(d, here, there)
        here, there = there, here
        d.wait_reports(here, 2)
        rows = d.reports(here).rows
        if last:
            check(rows[-1]["ms"] > last[-1]["ms"], f"move {n}: time went back")
        last = rows
    for h in b.hosts:
        d.reports(h).prove(late=60)


if __name__ == "__main__":
    sys.exit(main())
