#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user reads when something goes wrong: our sentence, through virsh, not a number."""
import re
import subprocess
import sys
import time

from lvtest import case, check, main, matrix, refusal

NUMBER_ONLY = re.compile(r"(Error|error|errno|rc)?\s*-?\d+\s*$")


def refused(host, command, *words):
    text = refusal(lambda: host.virsh(*command, check=False))
    for w in words:
        check(re.search(w, text), f"expected \"{w}\" in: {text}")
    check(not NUMBER_ONLY.fullmatch(text.split(":")[-1].strip()), f"only a number: {text}")


@matrix("start", [
    ("kernel-missing", dict(kernel="/nonexistent/Image"), ["/nonexistent/Image"]),
    ("disk-missing", dict(devices="""<disk type='file' device='disk'><driver name='qemu'
type='raw'/><source file='/nonexistent/disk'/><target dev='vda' bus='virtio'/></disk>"""),
     ["/nonexistent/disk"]),
    ("too-many-harts", dict(vcpus=9), ["9|vcpus|CPU"]),
    ("unknown-option", dict(cpu="<qemu:commandline><qemu:arg value='-frobnicate'/>"
                            "</qemu:commandline>"), ["-frobnicate"]),
    ("unknown-device", dict(cpu="<qemu:commandline><qemu:arg value='-device'/>"
                            "<qemu:arg value='warp-drive'/></qemu:commandline>"), ["warp-drive"]),
    ("unknown-cpu-property", dict(cpu="<qemu:commandline><qemu:arg value='-cpu'/>"
                                  "<qemu:arg value='rv64,flux=on'/></qemu:commandline>"),
     ["flux"]),
])
def start(b, v):
    d = b.domain(**v[1])
    refused(b.hosts[0], ["create", d.xml_path(b.hosts[0])], *v[2])


def changed_restore(b, edit, *words):
    """Saves a guest, changes something in the image's XML, restores."""
    h = b.hosts[0]
    d = b.running(guest="bare")
    h.virsh("save", d.name, "/run/saved")
    with open(h.path("/run/saved"), "r+b") as f:
        blob = f.read()
        f.seek(0)
        f.write(edit(blob))
    refused(h, ["restore", "/run/saved"], *words)


@case
def restore_flipped_magic(b):
    changed_restore(b, lambda x: x.replace(b"QEVM", b"QEVN", 1), "(?i)magic|migration stream")


@case
def restore_not_completed(b):
    """libvirt has done its part, the stream says that it is not whole (migration-stream 6.7)."""
    changed_restore(b, lambda x: x.replace(b"QEVM", b"part", 1), "a save that was not completed", "KiB")


@case
def restore_unknown_section(b):
    changed_restore(b, lambda x: x.replace(b"goldfish_rtc\0\0\0\0", b"goldfish_rtx\0\0\0\0", 1),
                    "goldfish_rtx")


@case
def restore_newer_section(b):
    changed_restore(b, lambda x: x.replace(b"goldfish_rtc" + bytes(4) + b"\0\0\0\3",
                                           b"goldfish_rtc" + bytes(4) + b"\0\0\0\x09", 1),
                    "goldfish_rtc", "version")


@case
def restore_other_machine(b):
    changed_restore(b, lambda x: x.replace(b"\x07\0\0\0\x04virt", b"\x07\0\0\0\x04spin", 1),
                    "spin", "virt")


@case
def migrate_to_a_destination_that_cannot_start(b):
    """The destination's XML asks for a device that nobody has: named, source runs on."""
    src, dst = b.hosts
    d = b.running(guest="bare")
    xml = src.out("dumpxml", d.name, "--migratable").replace(
        "</domain>", "<qemu:commandline><qemu:arg value='-device'/>"
        "<qemu:arg value='warp-drive'/></qemu:commandline></domain>")
    xml = re.sub(r"<qemu:commandline>\s*<qemu:arg value='-bios'/>\s*<qemu:arg value='none'/>\s*"
                 r"</qemu:commandline>", "", xml)
    with open(src.path("/run/dest.xml"), "w") as f:
        f.write(xml)
    refused(src, ["migrate", "--live", d.name, "qemu+tcp://hostb/system", "--xml",
                  "/run/dest.xml"], "warp-drive")
    d.wait_reports(src)
    d.reports(src).prove()


@case
def migrate_port_taken(b):
    src, dst = b.hosts
    d = b.running(guest="bare")
    p = dst.enter(["nc", "-l", "-k", "49333"])
    n = subprocess.Popen(p, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    try:
        refused(src, ["migrate", "--live", d.name, "qemu+tcp://hostb/system", "--migrateuri",
                      "tcp://hostb:49333"], "(?i)address already in use")
    finally:
        n.kill()
        n.wait()
    d.wait_reports(src)


if __name__ == "__main__":
    sys.exit(main())
