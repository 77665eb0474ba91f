#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests in files: save, restore, managed save, compressed images, memory snapshots."""
import os
import shutil
import sys
import time

from lvtest import case, check, check_eq, main, matrix, refusal, wait_for

SAVE_FORMATS = ["raw", "gzip", "bzip2", "xz", "lzop"]


def save_restore(b, *save_flags, restore_flags=(), **kw):
    h = b.hosts[0]
    d = b.running(guest="bare", **kw)
    h.virsh("save", d.name, "/run/saved", *save_flags)
    check_eq(d.state(h), None, "after save")
    n = len(d.reports(h).rows)
    time.sleep(0.3)
    check_eq(len(d.reports(h).rows), n, "reports after the save")
    h.virsh("restore", "/run/saved", *restore_flags)
    check_eq(d.state(h), "running", "after restore")
    d.wait_reports(h)
    d.reports(h).prove(at_least=6)
    return d


@case
def save_and_restore(b):
    save_restore(b, vcpus=2)


@case
def save_paused_restore_running(b):
    h = b.hosts[0]
    d = b.running(guest="bare")
    h.virsh("save", d.name, "/run/saved", "--paused")
    h.virsh("restore", "/run/saved")
    check_eq(d.state(h), "paused", "restored with --paused in the image")
    h.virsh("resume", d.name)
    d.wait_reports(h)
    d.reports(h).prove()


@case
def save_of_a_linux_guest(b):
    h = b.hosts[0]
    d = b.running()
    h.virsh("save", d.name, "/run/saved")
    h.virsh("restore", "/run/saved")
    d.wait_reports(h)
    d.reports(h).prove()


@matrix("format", SAVE_FORMATS, long=["bzip2", "xz", "lzop"])
def save_formats(b, fmt):
    h = b.hosts[0]
    h.use_save_format(fmt)
    try:
        save_restore(b)
        with open(h.path("/run/saved"), "rb") as f:
            head = f.read(32)
        check_eq(head[28], SAVE_FORMATS.index(fmt), "compression in the image header")
    finally:
        h.use_save_format("raw")


@case
def bypass_cache(b):
    """libvirt_iohelper writes and reads with O_DIRECT; our side is a pipe."""
    h = b.hosts[0]
    probe = os.open("/var/tmp/ferry-direct", os.O_CREAT | os.O_RDWR)
    os.close(probe)
    try:
        os.close(os.open("/var/tmp/ferry-direct", os.O_RDWR | os.O_DIRECT))
    finally:
        os.unlink("/var/tmp/ferry-direct")
    save_restore(b, "--bypass-cache", restore_flags=["--bypass-cache"])


@case
def managed_save(b):
    h = b.hosts[0]
    d = b.domain(guest="bare").define(h)
    h.virsh("start", d.name)
    d.wait_reports(h)
    h.virsh("managedsave", d.name)
    check_eq(d.state(h, True), "shut off (saved)", "after managedsave")
    h.virsh("start", d.name)
    d.wait_reports(h)
    d.reports(h).prove(at_least=6)


@case
def save_image_xml(b):
    h = b.hosts[0]
    d = b.running(guest="bare")
    h.virsh("save", d.name, "/run/saved")
    xml = h.out("save-image-dumpxml", "/run/saved")
    check(f"<name>{d.name}</name>" in xml, "save-image-dumpxml does not name the domain")
    new = f"/var/log/libvirt/{d.name}-new.log"
    with open(h.path("/run/editor"), "w") as f:
        f.write(f"#!/bin/sh\nexec sed -i 's,{d.console},{new},' \"$1\"\n")
    os.chmod(h.path("/run/editor"), 0o755)
    h.run("env", "EDITOR=/run/editor", "virsh", "-q", "save-image-edit", "/run/saved")
    h.virsh("restore", "/run/saved")
    d.console = new
    d.wait_reports(h)


@case
def memory_snapshot(b):
    h = b.hosts[0]
    d = b.running(guest="bare")
    h.virsh("snapshot-create-as", d.name, "snap", "--memspec", "/run/snap.mem,snapshot=external",
            "--live")
    check_eq(d.state(h), "running", "after a live snapshot")
    d.wait_reports(h)
    d.reports(h).prove()
    check(os.path.getsize(h.path("/run/snap.mem")) > 1 << 16, "the memory file is too small")
    h.virsh("destroy", d.name)
    h.virsh("restore", "/run/snap.mem")
    d.wait_reports(h)


@case
def abort_a_save(b):
    """The image goes into a pipe that nobody reads until libvirt's helper has to be let go."""
    h = b.hosts[0]
    d = b.running(guest="bare")
    os.mkfifo(h.path("/run/slow"))
    reader = os.open(h.path("/run/slow"), os.O_RDONLY | os.O_NONBLOCK)
    try:
        p = h.virsh_popen("save", d.name, "/run/slow")
        wait_for("the save to be active",
                 lambda: "Save" in h.virsh("domjobinfo", d.name, check=False).stdout, 10)
        h.virsh("domjobabort", d.name)
        os.set_blocking(reader, True)
        while os.read(reader, 1 << 20):
            pass
        p.wait(30)
    finally:
        os.close(reader)
        os.unlink(h.path("/run/slow"))
    check(p.returncode != 0, "the aborted save claims success")
    check_eq(d.state(h), "running", "after the aborted save")
    d.wait_reports(h)
    d.reports(h).prove()


@case
def restore_from_a_broken_image_says_why(b):
    h = b.hosts[0]
    d = b.running(guest="bare")
    h.virsh("save", d.name, "/run/saved")
    size = os.path.getsize(h.path("/run/saved"))
    with open(h.path("/run/saved"), "r+b") as f:
        f.truncate(size - size // 4)
    text = refusal(lambda: h.virsh("restore", "/run/saved", check=False))
    check("ram" in text or "stream" in text, f"the error names no cause: {text}")
    check_eq(d.state(h), None, "after the failed restore")


if __name__ == "__main__":
    missing = [f for f in ("gzip", "bzip2", "xz", "lzop") if not shutil.which(f)]
    if missing:
        print("Bail out! missing: " + " ".join(missing))
        sys.exit(1)
    sys.exit(main())
