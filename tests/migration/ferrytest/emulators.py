# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs under test and their peers: where they are and how they differ."""
import os
import shutil
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get('FERRY_BUILD', os.path.join(TOP, 'build'))
OPENSBI = '/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_jump.bin'

# What the specification calls T7 and T10: the largest CPU that both QEMU versions can offer alike.
_CPU_COMMON = 'rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off'
CPU_T7 = _CPU_COMMON + ',pmu-num=0'
CPU_T10 = _CPU_COMMON + (',zicbom=off,zicbop=off,zicboz=off,zawrs=off,zfa=off,zihintntl=off,'
                         'svadu=off,svvptc=off,sv57=off,pmu-mask=0')


class Emulator:
    """One program. `argv` starts it; the rest says what a test may ask of it."""

    def __init__(self, name, argv, machine='virt', cpu='rv64', ferry=False, version=None):
        self.name = name
        self.argv = argv
        self.machine = machine
        self.cpu = cpu
        self.is_ferry = ferry
        self.version = version
        # QEMU 7.2 arms no timer after a load; QEMU 10.0 only those of Sstc.
        self.restores_clint = ferry
        self.restores_sstc = version != '7.2'
        self.has_files = version != '7.2'
        self.has_historic = ferry

    def with_machine(self, machine, cpu=None):
        """The same program, another board or CPU."""
        other = Emulator(self.name, self.argv, machine, cpu or self.cpu, self.is_ferry,
                         self.version)
        return other

    def missing(self):
        """Why it cannot run here, or None."""
        program = self.argv[0]
        if not (os.access(program, os.X_OK) or shutil.which(program)):
            return '%s is not there' % program
        return None


def ferry(machine='virt', cpu='rv64'):
    program = os.environ.get('FERRY_BINARY', os.path.join(BUILD, 'ferry-system-riscv64'))
    return Emulator('ferry', [program], machine, cpu, ferry=True)


def qemu72(cpu=CPU_T7):
    return Emulator('qemu-7.2', ['qemu-system-riscv64'], 'virt', cpu, version='7.2')


def qemu100(cpu=CPU_T10):
    script = os.environ.get('FERRY_QEMU10', os.path.join(TOP, 'tests', 'interop', 'qemu10'))
    return Emulator('qemu-10.0', [script, 'qemu-system-riscv64'], 'virt,acpi=off', cpu,
                    version='10.0')


def subject():
    """The emulator that tests/migration is about: Ferry, or for work on the harness itself the
    one that FERRYTEST_EMULATOR names (qemu-7.2, qemu-10.0)."""
    name = os.environ.get('FERRYTEST_EMULATOR', 'ferry')
    return {'ferry': ferry, 'qemu-7.2': qemu72, 'qemu-10.0': qemu100}[name]()


def guest_program(name):
    """A program of tests/guest in the build folder."""
    return os.path.join(BUILD, 'tests', 'guest', name)


def linux_guest():
    """(kernel, initramfs with our programs) of the Linux guest, made when they are not there."""
    folder = subprocess.run([os.path.join(TOP, 'scripts', 'fetch-guest')], check=True,
                            stdout=subprocess.PIPE, text=True).stdout.strip().splitlines()[-1]
    initrd = os.path.join(BUILD, 'tests', 'guest', 'initrd.cpio')
    sources = [guest_program('loadgen'), guest_program('checker'),
               os.path.join(folder, 'initrd.cpio')]
    if (not os.path.exists(initrd)
            or os.path.getmtime(initrd) < max(os.path.getmtime(s) for s in sources)):
        own = '%s.%d' % (initrd, os.getpid())
        subprocess.run([os.path.join(TOP, 'scripts', 'make-initrd'), own] + sources[:2],
                       check=True)
        os.rename(own, initrd)
    return os.path.join(folder, 'Image'), initrd
