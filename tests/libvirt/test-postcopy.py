#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Postcopy driven by virsh: the guest runs there before its memory does, and only there."""
import signal
import sys

from lvtest import case, check, check_eq, long_case, main, matrix, wait_for

URI = "qemu+tcp://{}/system"
BUSY = dict(guest="bare", memory=128, args="size=32M,tick=50,step=8")
# It asks for its pages slowly enough that a postcopy of it can be looked at and cut.
CALM = dict(guest="bare", memory=128, args="size=32M,tick=100,rate=200")


def start(b, *flags, guest=CALM, mbps="4"):
    """A migration at a few MiB/s that may become postcopy."""
    src, dst = b.hosts
    d = b.running(**guest)
    p = src.virsh_popen("migrate", "--live", *flags, "--bandwidth", mbps, d.name,
                        URI.format(dst.name))
    return d, p


def switched(b, d, p):
    """Switches a running migration over; returns when libvirt has seen it on both sides."""
    src, dst = b.hosts
    wait_for("the migration to be active", lambda: "Data processed" in src.virsh(
        "domjobinfo", d.name, check=False).stdout, 30)
    src.virsh("migrate-postcopy", d.name)
    wait_for(lambda: f"the switch ({src.name}: {d.state(src, True)}; {dst.name}: "
             f"{d.state(dst, True)})", lambda: (d.state(src, True), d.state(dst, True)) ==
             ("paused (post-copy)", "running (post-copy)"), 60)
    check(p.poll() is None, f"the migration has ended already: {p.returncode}")


def ended_there(d, p, src, dst):
    """The migration succeeds, the guest is on the destination only, alive and clean."""
    out, err = p.communicate(timeout=120)
    check(p.returncode == 0, f"virsh migrate: {err}; {src.name}: {d.state(src, True)}; "
          f"{dst.name}: {d.state(dst, True)}; logs: {d.log(src)[-300:]} / {d.log(dst)[-300:]}")
    check_eq(d.state(dst), "running", f"{d.name} on {dst.name}")
    check(d.state(src) in (None, "shut off"), f"{d.name} is still {d.state(src)} on {src.name}")
    d.wait_reports(dst)
    d.reports(src, dst).prove(at_least=4, late=100)


@case
def by_command(b):
    """And domjobabort is refused while nobody has all of the guest; it harms nothing."""
    src, dst = b.hosts
    d, p = start(b, "--postcopy", "--postcopy-bandwidth", "1")
    switched(b, d, p)
    r = src.virsh("domjobabort", d.name, check=False)
    check(r.returncode != 0, "domjobabort was accepted during postcopy")
    check("cannot abort migration in post-copy mode" in r.stderr, f"domjobabort: {r.stderr}")
    src.virsh("migrate-setspeed", d.name, "1000", "--postcopy")
    ended_there(d, p, src, dst)


@matrix("by-itself", [
    ("after-precopy", "--postcopy", "--postcopy-after-precopy"),
    # Later than a busy host takes to begin: virsh asks for postcopy once, and not again when it was too early.
    ("timeout", "--postcopy", "--timeout", "4", "--timeout-postcopy"),
    ("after-precopy-p2p", "--p2p", "--postcopy", "--postcopy-after-precopy"),
], long=["after-precopy-p2p"])
def by_itself(b, v):
    src, dst = b.hosts
    events = dst.virsh_popen("event", "--event", "lifecycle", "--loop")
    d, p = start(b, *v[1:], guest=BUSY, mbps="8")     # it writes 16 MiB a second
    try:
        ended_there(d, p, src, dst)
    finally:
        events.send_signal(signal.SIGINT)
        seen = events.communicate(timeout=30)[0]
    check("Resumed Post-copy" in seen, f"the migration was no postcopy: {seen}")


def resume(b, d, p, cut, *flags):
    """cut() ends the connection of a postcopy; the guest waits for --postcopy-resume and goes on."""
    src, dst = b.hosts
    switched(b, d, p)
    cut()
    p.wait(120)
    check(p.returncode != 0, "the cut migration claims success")
    wait_for(lambda: f"the pause ({src.name}: {d.state(src, True)}; {dst.name}: "
             f"{d.state(dst, True)})", lambda: (d.state(src, True), d.state(dst, True)) ==
             ("paused (post-copy failed)", "running (post-copy failed)"), 60)
    again = src.virsh_popen("migrate", "--live", *flags, "--postcopy", "--postcopy-resume", d.name,
                            URI.format(dst.name))
    wait_for(lambda: f"the recovery ({src.name}: {d.state(src, True)})",
             lambda: d.state(src, True) != "paused (post-copy failed)", 60)
    src.virsh("migrate-setspeed", d.name, "1000", "--postcopy")
    ended_there(d, again, src, dst)


@case
def cut_and_resumed(b):
    d, p = start(b, "--postcopy", "--postcopy-bandwidth", "1")
    resume(b, d, p, lambda: d.qmp(b.hosts[0], "migrate-pause"))


@long_case
def cut_and_resumed_p2p(b):
    d, p = start(b, "--p2p", "--postcopy", "--postcopy-bandwidth", "1")
    resume(b, d, p, lambda: d.qmp(b.hosts[0], "migrate-pause"), "--p2p")


def daemon_killed(b, host):
    """libvirtd dies after the switch: the two processes go on, the new daemon follows them to the end."""
    src, dst = b.hosts
    d, p = start(b, "--p2p", "--postcopy", "--postcopy-bandwidth", "1")
    switched(b, d, p)
    host.stop_libvirtd(signal.SIGKILL)
    try:
        p.wait(90)
    finally:
        host.start_libvirtd()
    check(p.returncode != 0, "the migration claims success")
    src.virsh("migrate-setspeed", d.name, "1000", "--postcopy")
    wait_for(lambda: f"the end ({src.name}: {d.state(src, True)}; {dst.name}: "
             f"{d.state(dst, True)})", lambda: d.state(src) in (None, "shut off"), 60)
    check_eq(d.state(dst), "running", f"{d.name} on {dst.name}")
    d.wait_reports(dst)
    d.reports(src, dst).prove(at_least=4, late=100)


@long_case
def source_daemon_killed(b):
    daemon_killed(b, b.hosts[0])


@long_case
def destination_daemon_killed(b):
    daemon_killed(b, b.hosts[1])


if __name__ == "__main__":
    sys.exit(main())
