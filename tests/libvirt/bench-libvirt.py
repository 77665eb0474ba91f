#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Same XML, same host, one run: QEMU 7.2 against Ferry under libvirt.

Prints a table: virsh start to running, save and restore of a 1 GiB guest,
migration total and downtime as "domjobinfo --completed" gives them, resident
memory. The guest is the bare-metal idle guest, so that both do the same.
"""
import re
import statistics
import sys
import time

from lvtest import EMULATOR, QEMU72, Bench, Hosts, check, wait_for

ROUNDS = 5


def timed(fn):
    start = time.monotonic()
    fn()
    return (time.monotonic() - start) * 1000


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) / 1024


def job_ms(job, key):
    m = re.search(key + r":\s+(\d+)", job)
    check(m, f"no \"{key}\" in: {job}")
    return float(m[1])


def one_round(b, emulator):
    src, dst = b.hosts
    row = {}
    d = b.domain(emulator=emulator, guest="bare", mode="loadgen", args="size=16M,rate=200000",
                 memory=1024)
    row["start, ms"] = timed(lambda: d.create(src))
    wait_for("output", lambda: "loadgen:" in d.text(src), 30)
    row["RSS, MiB"] = rss_mib(d.pid(src))
    row["save, ms"] = timed(lambda: src.virsh("save", d.name, "/run/saved"))
    row["restore, ms"] = timed(lambda: src.virsh("restore", "/run/saved"))
    src.virsh("migrate", "--live", "--p2p", d.name, "qemu+tcp://hostb/system")
    job = dst.out("domjobinfo", d.name, "--completed")  # reading it once drops it
    row["migration total, ms"] = job_ms(job, "Time elapsed")
    row["migration downtime, ms"] = job_ms(job, "Total downtime")
    d.remove()
    return row


def main():
    hosts = Hosts()
    try:
        b = Bench(hosts)
        rows = {"QEMU 7.2": [], "Ferry": []}
        for _ in range(ROUNDS):
            for name, emulator in (("QEMU 7.2", QEMU72), ("Ferry", EMULATOR)):
                rows[name].append(one_round(b, emulator))
        print(f"{'median of ' + str(ROUNDS):28}{'QEMU 7.2':>10}{'Ferry':>10}{'ratio':>8}")
        for key in rows["Ferry"][0]:
            q, f = (statistics.median(r[key] for r in rows[n]) for n in rows)
            print(f"{key:28}{q:10.1f}{f:10.1f}{f / q if q else float('nan'):8.2f}")
    finally:
        hosts.close()


if __name__ == "__main__":
    sys.exit(main())
