# SPDX-License-Identifier: GPL-2.0-or-later
"""Test harness for live migration: real processes, real guests, Python's standard library only.

The modules, from the bottom up:

    tap        cases in, TAP lines out
    qmp        a QMP client                 qtest   a client of the -qtest line protocol
    emulators  which program to run, and what it can do (Ferry, QEMU 7.2, QEMU 10.0)
    guest      the guests, and what their console says about themselves
    process    one emulator process with its monitor and console
    rings      a virtio driver outside the guest   driven  cases about devices in mid-work
    proxy      a wire that can be cut, stalled, slowed and bent
    channels   how two processes are connected: tcp, unix, fd, exec, file
    move       migrate, wait, compare RAM bit for bit, prove that the guest is alive and whole
"""
