#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ferry-inspect on images that libvirt itself has written, of Ferry's guests and of QEMU 7.2's."""
import json
import os
import re
import shutil
import subprocess
import sys

from lvtest import EMULATOR, QEMU72, case, check, check_eq, main, matrix, wait_for

INSPECT = os.path.join(os.path.dirname(EMULATOR), "ferry-inspect")
FORMATS = ["raw", "gzip", "bzip2", "xz", "lzop"]        # as numbered in the header
EMULATORS = {"ferry": EMULATOR, "qemu": QEMU72}
BLOCK = "riscv_virt_board.ram"


def inspect(*args, code=0, **kw):
    r = subprocess.run([INSPECT, *args], capture_output=True, text=True, timeout=60,
                       stdin=subprocess.DEVNULL, **kw)
    check_eq(r.returncode, code, f"ferry-inspect {' '.join(args)}: {r.stdout[:300]}{r.stderr[:300]}")
    return r.stdout


def check_image(image, d, emulator):
    """What can be read of it is the guest that was saved."""
    text = inspect("verify", image)
    check(": ok: " in text and ("Ferry" in text) == (emulator == "ferry"), text)
    report = json.loads(inspect("show", "--json", image))
    first = report["sections"][0]
    check_eq(first["type"], "libvirt", "first section")
    check(f"domain '{d.name}', was running" in first["text"], first["text"])
    if "compression 0" in first["text"]:
        check_eq(report["sections"][1]["offset"], first["length"], "where the stream begins")
    raw = image + ".raw"
    inspect("extract", image, "--ram", BLOCK, "-o", raw)
    check_eq(os.path.getsize(raw), 128 << 20, "size of its RAM")
    inspect("diff", image, raw, "--ram", BLOCK)
    core = image + ".core"
    inspect("extract", image, "--elf", "-o", core)
    os.unlink(raw)
    os.unlink(core)


@matrix("image", [(f"{fmt}-{e}", fmt, e) for fmt in FORMATS for e in EMULATORS],
        long=[f"{fmt}-{e}" for fmt in ("bzip2", "xz", "lzop", "gzip") for e in EMULATORS
              if (fmt, e) not in (("gzip", "qemu"), ("xz", "ferry"))])
def image(b, v):
    _, fmt, emulator = v
    h = b.hosts[0]
    h.use_save_format(fmt)
    try:
        d = b.running(guest="bare", emulator=EMULATORS[emulator])
        h.virsh("save", d.name, "/run/saved")
        path = h.path("/run/saved")
        if fmt in ("raw", "gzip"):
            check_image(path, d, emulator)
        else:
            said = inspect("verify", path, code=1)
            command = re.search(r'unpack it with "(.*)"', said)
            check(command and fmt in command[1], said)
            line = command[1].replace("FILE", path).replace("ferry-inspect ...", INSPECT + " verify")
            r = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
            check_eq(r.returncode, 0, line + ": " + r.stdout + r.stderr)
            check(": ok: " in r.stdout, r.stdout)
        check_eq(json.loads(inspect("show", "--json", path, code=0 if fmt in ("raw", "gzip") else 1))
                 ["sections"][0]["text"].split("compression ")[1][0], str(FORMATS.index(fmt)),
                 "compression by its number")
        if emulator == "ferry":     # QEMU 7.2 arms no timer after a load: its guest sleeps for ever
            h.virsh("restore", "/run/saved")
            d.wait_reports(h)
    finally:
        h.use_save_format("raw")


@case
def other_images(b):
    """A managed save, a memory snapshot of a running guest."""
    h = b.hosts[0]
    d = b.domain(guest="bare").define(h)
    h.virsh("start", d.name)
    d.wait_reports(h)
    h.virsh("managedsave", d.name)
    folder = h.path("/var/lib/libvirt/qemu/save")
    check_image(os.path.join(folder, d.name + ".save"), d, "ferry")
    h.virsh("start", d.name)
    d.wait_reports(h)
    h.virsh("snapshot-create-as", d.name, "snap", "--memspec", "/run/snap.mem,snapshot=external",
            "--live")
    check_image(h.path("/run/snap.mem"), d, "ferry")


@case
def image_that_was_not_finished(b):
    """As much of it as libvirt has written when the save is aborted."""
    h = b.hosts[0]
    d = b.running(guest="bare")
    os.mkfifo(h.path("/run/slow"))
    reader = os.open(h.path("/run/slow"), os.O_RDONLY | os.O_NONBLOCK)
    data = b""
    try:
        p = h.virsh_popen("save", d.name, "/run/slow")
        wait_for("the save to be active",
                 lambda: "Save" in h.virsh("domjobinfo", d.name, check=False).stdout, 10)
        h.virsh("domjobabort", d.name)
        os.set_blocking(reader, True)
        while piece := os.read(reader, 1 << 20):
            data += piece
        p.communicate(timeout=30)
    finally:
        os.close(reader)
        os.unlink(h.path("/run/slow"))
    check(data.startswith(b"LibvirtQemudPart"), f"begins with {data[:16]!r}")
    path = h.path("/run/part")
    with open(path, "wb") as f:
        f.write(data)
    said = inspect("verify", path, code=1)
    check("ends early" in said or "not completed" in said, said)
    shown = inspect("show", path, code=1)
    check("SAVE NOT COMPLETED" in shown and f"'{d.name}'" in shown, shown)
    # whole, but never marked as such: libvirt was killed at the very end
    h.virsh("save", d.name, "/run/saved")
    with open(h.path("/run/saved"), "r+b") as f:
        f.write(b"LibvirtQemudPart")
    said = inspect("verify", h.path("/run/saved"), code=1)
    check("save was not completed" in said, said)
    r = h.virsh("restore", "/run/saved", check=False)
    check(r.returncode != 0, "virsh restores it")


if __name__ == "__main__":
    missing = [f for f in ("gzip", "bzip2", "xz", "lzop") if not shutil.which(f)]
    if missing:
        print("Bail out! missing: " + " ".join(missing))
        sys.exit(1)
    sys.exit(main())
