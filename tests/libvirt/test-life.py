#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain's life under libvirt: from define to undefine."""
import os
import re
import subprocess
import sys
import time

from lvtest import (EMULATOR, TOP, Failure, Shell, case, check, check_eq, main, matrix, refusal,
                    wait_for)


@case
def define_start_destroy_undefine(b):
    h = b.hosts[0]
    d = b.domain().define(h)
    check_eq(d.state(h), "shut off", "after define")
    h.virsh("start", d.name)
    d.wait_reports(h)
    h.virsh("destroy", d.name)
    check_eq(d.state(h, True), "shut off (destroyed)", "after destroy")
    h.virsh("undefine", d.name)
    check_eq(d.state(h), None, "after undefine")


@case
def documented_domain_is_valid_and_starts(b):
    """The XML of docs/system/libvirt.md, with its paths filled in."""
    h = b.hosts[0]
    with open(os.path.join(TOP, "docs", "system", "libvirt.md")) as f:
        xml = re.search(r"```xml\n(<domain.*?</domain>)", f.read(), re.S)[1]
    disk = os.path.join(b.cable.base, "disk.img")
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    for old, new in (("/srv/guest/Image", b.guest + "/Image"),
                     ("/srv/guest/initrd.cpio", b.initrd), ("/srv/guest/disk.img", disk),
                     ("/usr/local/bin/ferry-system-riscv64", EMULATOR)):
        check(old in xml, f"the page no longer says {old}")
        xml = xml.replace(old, new)
    with open(h.path("/run/demo.xml"), "w") as f:
        f.write(xml)
    h.virsh("define", "--validate", "/run/demo.xml")
    try:
        h.virsh("start", "demo")
        check_eq(h.out("domstate", "demo"), "running", "the documented domain")
    finally:
        h.virsh("destroy", "demo", check=False)
        h.virsh("undefine", "demo", check=False)


@case
def suspend_resume(b):
    h = b.hosts[0]
    d = b.running()
    h.virsh("suspend", d.name)
    check_eq(d.state(h, True), "paused (user)", "after suspend")
    time.sleep(0.3)
    n = len(d.reports(h).rows)
    time.sleep(1)
    check_eq(len(d.reports(h).rows), n, "reports while suspended")
    h.virsh("resume", d.name)
    check_eq(d.state(h), "running", "after resume")
    d.wait_reports(h)
    d.reports(h).prove()


@case
def reset(b):
    h = b.hosts[0]
    d = b.running()
    h.virsh("reset", d.name)
    wait_for("a second boot", lambda: d.text(h).count("ferry-guest: ready") == 2, 60)
    check_eq(d.state(h), "running", "after reset")


@case
def reboot_by_the_guest(b):
    h = b.hosts[0]
    d = b.domain(mode="reboot").create(h)
    wait_for("two boots", lambda: d.text(h).count("ferry-guest: ready") >= 2, 60)
    check_eq(d.state(h), "running", "after the guest's reboot")


@case
def reboot_with_on_reboot_destroy(b):
    h = b.hosts[0]
    d = b.domain(mode="reboot", on_reboot="destroy").define(h)
    h.virsh("start", d.name)
    d.wait_state(h, "shut off", 60)
    check_eq(d.text(h).count("ferry-guest: ready"), 1, "boots")


@case
def shutdown_by_the_guest_is_no_crash(b):
    h = b.hosts[0]
    d = b.domain(mode="poweroff").define(h)
    h.virsh("start", d.name)
    d.wait_state(h, "shut off", 60)
    check_eq(d.state(h, True), "shut off (shutdown)", "after power-off")


@case
def shutdown_command(b):
    """system_powerdown reaches the emulator; the board has no button, so the guest goes on."""
    h = b.hosts[0]
    d = b.running()
    h.virsh("shutdown", d.name)
    d.wait_reports(h)
    check_eq(d.state(h), "running", "after shutdown")


@case
def autodestroy(b):
    h = b.hosts[0]
    d = b.domain()
    p = subprocess.Popen(h.enter(["virsh", "-q"]), stdin=subprocess.PIPE, text=True,
                         stdout=subprocess.DEVNULL)
    p.stdin.write(f"create {d.xml_path(h)} --autodestroy\n")
    p.stdin.flush()
    d.wait_state(h, "running")
    p.stdin.close()
    p.wait(10)
    wait_for("the domain's end", lambda: d.state(h) is None)


@case
def libvirtd_restart_while_running(b):
    h = b.hosts[0]
    d = b.running()
    pid = d.pid(h)
    h.stop_libvirtd()
    time.sleep(0.5)
    h.start_libvirtd()
    check_eq(d.state(h), "running", "after the restart")
    check_eq(d.pid(h), pid, "process")
    d.wait_reports(h)
    h.virsh("suspend", d.name)
    h.virsh("resume", d.name)
    d.reports(h).prove()


@case
def statistics(b):
    h = b.hosts[0]
    d = b.running(vcpus=2)
    out = h.out("domstats", d.name)
    check("vcpu.current=2" in out, f"domstats: {out}")
    check("state.state=1" in out, f"domstats: {out}")
    info = h.out("vcpuinfo", d.name)
    check_eq(len(re.findall(r"State: +running", info)), 2, "vcpuinfo's running vCPUs")
    times = [float(t) for t in re.findall(r"CPU time: +([\d.]+)s", info)]
    check(len(times) == 2 and max(times) > 0, f"vcpuinfo's CPU times: {times}")
    mem = dict(line.split() for line in h.out("dommemstat", d.name).split("\n"))
    check(int(mem.get("rss", 0)) > 1000, f"dommemstat: {mem}")


@case
def monitor_commands(b):
    h = b.hosts[0]
    d = b.running()
    check_eq(d.hmp(h, "info status").strip(), "VM status: running", "info status")
    out = h.out("qemu-monitor-command", d.name, '{"execute":"query-status"}')
    check('"status":"running"' in out.replace(" ", ""), f"query-status: {out}")
    out = h.out("qemu-monitor-command", d.name, '{"execute":"no-such-command"}')
    check("CommandNotFound" in out, f"unknown command: {out}")


@case
def dump_memory_only(b):
    h = b.hosts[0]
    d = b.running(vcpus=2)
    h.virsh("dump", d.name, "/run/core", "--memory-only", "--live")
    out = subprocess.run(["readelf", "-hl", h.path("/run/core")], stdout=subprocess.PIPE,
                         text=True, check=True).stdout
    check("RISC-V" in out and "CORE" in out, f"not a RISC-V core: {out[:300]}")
    check(re.search(r"LOAD +\S+ +\S+ +0x0*80000000\s+0x0*8000000 ", out),
          f"RAM is not in the core: {out}")
    d.wait_reports(h)


@case
def dump_with_state(b):
    h = b.hosts[0]
    d = b.running()
    h.virsh("dump", d.name, "/run/dump", "--live")
    with open(h.path("/run/dump"), "rb") as f:
        check_eq(f.read(4), b"QEVM", "magic of the dump")
    d.wait_reports(h)
    d.reports(h).prove()


@case
def console_pty(b):
    h = b.hosts[0]
    d = b.domain(serial="pty", mode="shell").create(h)
    path = h.out("ttyconsole", d.name)
    check(path.startswith("/dev/pts/"), f"ttyconsole: {path!r}")
    p = subprocess.Popen(h.enter(["script", "-qfc", f"virsh -q console {d.name}", "/dev/null"]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        os.set_blocking(p.stdout.fileno(), False)
        seen = b""
        end = time.monotonic() + 60
        while b"sum=42" not in seen:
            if time.monotonic() > end:
                raise Failure(f"no answer on the pty console: {seen[-300:]!r}")
            p.stdin.write(b"echo sum=$((40+2))\n")
            p.stdin.flush()
            time.sleep(0.5)
            seen += p.stdout.read() or b""
    finally:
        p.kill()
        p.wait()


@case
def console_socket(b):
    h = b.hosts[0]
    d = b.domain(serial="unix", mode="shell").create(h)
    sh = Shell(d, h)
    check_eq(sh.run("echo sum=$((40+2))"), "sum=42", "the guest's answer")
    sh.close()


@matrix("bad-start", [
    ("kernel", dict(kernel="/nonexistent/kernel"), "could not load kernel '/nonexistent/kernel'"),
    ("machine", dict(machine="pc"), "pc"),
])
def bad_start(b, v):
    """A domain that cannot start says why."""
    h = b.hosts[0]
    d = b.domain(**v[1])
    text = refusal(lambda: h.virsh("create", d.xml_path(h), check=False))
    check(v[2] in text, f"expected \"{v[2]}\" in: {text}")


@case
def screenshot_is_refused(b):
    h = b.hosts[0]
    d = b.running()
    r = h.virsh("screenshot", d.name, "/run/shot", check=False)
    check(r.returncode != 0, "a screenshot of a machine without display was taken")
    d.wait_reports(h)


if __name__ == "__main__":
    sys.exit(main())
