# SPDX-License-Identifier: GPL-2.0-or-later
"""What the libvirt tests share: TAP, domains as XML, and the guest's own word.

A test file registers functions with @case and ends with main(). Each gets a
Bench: two hosts with libvirt, the emulator, the guest. A case passes only if
it returns; what it claims it proves with check() and with the lines the
checker guest prints on its console.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
import uuid

from lvhosts import HostError, Hosts, ToolMissing

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
EMULATOR = os.path.abspath(os.environ.get("FERRY", os.path.join(TOP, "build",
                                                                "ferry-system-riscv64")))
GUESTS = os.path.join(os.path.dirname(EMULATOR), "tests", "guest")
if "GUESTS" in os.environ:
    GUESTS = os.environ["GUESTS"]
BARE = os.path.join(GUESTS, "bare.elf")
QEMU72 = os.environ.get("QEMU72", "/usr/bin/qemu-system-riscv64")

CHECKER = re.compile(r"checker: gen=([\d,]+) ticks=(\d+) late=(\d+) ms=(\d+) bad=(\d+) "
                     r"back=(\d+) regs=(\d+)")


class Failure(Exception):
    pass


def check(ok, text):
    if not ok:
        raise Failure(text)


def check_eq(got, want, what):
    check(got == want, f"{what}: expected {want!r}, got {got!r}")


def wait_for(what, fn, timeout=30, step=0.05):
    """Waits until fn() is true; returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {timeout} s for {what() if callable(what) else what}")
        time.sleep(step)


GONE_BEFORE = "failed to connect to monitor socket: Connection refused"


def refusal(attempt):
    """
    What attempt() (a virsh that has to fail because of a process that ends at once) says.
    A process that has ended before libvirt 9.0 connects to the socket it was given is reported
    without what the process said: then it gets another chance.
    """
    for _ in range(8):
        r = attempt()
        if GONE_BEFORE not in r.stderr:
            break
    check(r.returncode != 0, "it was accepted")
    return r.stderr.strip()


def guest_dir():
    """Kernel and initramfs of scripts/fetch-guest."""
    out = subprocess.run([os.path.join(TOP, "scripts", "fetch-guest")], stdout=subprocess.PIPE,
                         text=True, check=True).stdout.split("\n")
    return [line for line in out if line][-1]


class Reports:
    """The checker guest's lines on one or several consoles, oldest first."""

    def __init__(self, *texts):
        self.rows = []
        for text in texts:
            for m in CHECKER.finditer(text):
                self.rows.append({"gen": [int(g) for g in m[1].split(",")], "ticks": int(m[2]),
                                  "late": int(m[3]), "ms": int(m[4]), "bad": int(m[5]),
                                  "back": int(m[6]), "regs": int(m[7])})

    def prove(self, at_least=2, late=3):
        """Alive and clean: memory right, time forward, nothing lost."""
        check(len(self.rows) >= at_least,
              f"the guest reported {len(self.rows)} times, expected {at_least} or more")
        for before, row in zip([None] + self.rows, self.rows):
            for key in ("bad", "back", "regs"):
                check_eq(row[key], 0, f"the guest's own check \"{key}\" in {row}")
            check(row["late"] <= late, f"ticks were lost: {row}")
            if before:
                check(row["ms"] > before["ms"], f"guest time went back: {before} -> {row}")
                check(all(b <= r for b, r in zip(before["gen"], row["gen"])),
                      f"a generation went back: {before} -> {row}")
                check(row["ticks"] > before["ticks"], f"ticks went back: {before} -> {row}")


class Domain:
    """A guest as libvirt's users write it, and where it is."""

    def __init__(self, bench, name, emulator=EMULATOR, mode="checker",
                 args="size=2M,rate=2000,tick=100", memory=128, vcpus=1, serial="file",
                 devices="", on_reboot="restart", machine="virt", cpu="", kernel=None,
                 poweroff="destroy", guest="linux", balloon="none"):
        """guest: "linux" (boots in seconds) or "bare" (tests/guest/bare.c, reports at once)."""
        self.bench, self.name = bench, name
        self.console = f"/var/log/libvirt/{name}-console.log"
        self.uuid = str(uuid.uuid4())
        source = {"file": f"<source path='{self.console}' append='on'/>", "pty": "",
                  "unix": f"<source mode='bind' path='/run/{name}.sock'/>"}[serial]
        more = ""
        if guest == "bare":
            boot = f"<kernel>{kernel or BARE}</kernel>"
            cmdline = f"mode={mode} " + args.replace(",", " ")
            more = ("<qemu:commandline><qemu:arg value='-bios'/><qemu:arg value='none'/>"
                    "</qemu:commandline>")
        else:
            boot = (f"<kernel>{kernel or bench.guest + '/Image'}</kernel>"
                    f"<initrd>{bench.initrd}</initrd>")
            cmdline = f"console=ttyS0 ferry={mode} ferry.args={args}"
        self.xml = f"""<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{self.uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='riscv64' machine='{machine}'>hvm</type>
    {boot}
    <cmdline>{cmdline}</cmdline>
  </os>
  <on_poweroff>{poweroff}</on_poweroff>
  <on_reboot>{on_reboot}</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='{balloon}'/>
    <serial type='{serial}'>{source}<target port='0'/></serial>
    {devices}
  </devices>
  {cpu}
  {more}
</domain>
"""

    def xml_path(self, host):
        path = f"/run/{self.name}.xml"
        with open(host.path(path), "w") as f:
            f.write(self.xml)
        return path

    def create(self, host, *flags):
        host.virsh("create", self.xml_path(host), *flags)
        return self

    def define(self, host):
        host.virsh("define", self.xml_path(host))
        return self

    def state(self, host, reason=False):
        r = host.virsh("domstate", self.name, *(["--reason"] if reason else []), check=False)
        return r.stdout.strip() if r.returncode == 0 else None

    def text(self, host):
        try:
            with open(host.path(self.console), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def reports(self, *hosts):
        return Reports(*[self.text(h) for h in hosts])

    def wait_reports(self, host, more=3, timeout=60):
        """Waits for more reports on this host's console than there are now."""
        start = len(self.reports(host).rows)
        wait_for(lambda: f"{more} more reports of {self.name} on {host.name} (console: "
                 f"...{self.text(host)[-300:]!r}; libvirt: {self.state(host, True)})",
                 lambda: len(self.reports(host).rows) >= start + more, timeout)

    def wait_state(self, host, want, timeout=20):
        try:
            wait_for("", lambda: self.state(host) == want, timeout)
        except Failure:
            raise Failure(f"{self.name} on {host.name}: expected \"{want}\", got "
                          f"\"{self.state(host, True)}\"; log: {self.log(host)[-500:]}")

    def log(self, host):
        try:
            with open(host.path(f"/var/log/libvirt/qemu/{self.name}.log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def remove(self):
        for h in self.bench.hosts:
            h.virsh("destroy", self.name, check=False)
            h.virsh("undefine", self.name, "--managed-save", "--snapshots-metadata", check=False)
            for p in (self.console, f"/var/log/libvirt/qemu/{self.name}.log"):
                if os.path.exists(h.path(p)):
                    os.unlink(h.path(p))

    def hmp(self, host, line):
        return host.out("qemu-monitor-command", self.name, "--hmp", line)

    def qmp(self, host, name, **arguments):
        """A command that libvirt does not know; its answer."""
        text = json.dumps({"execute": name, **({"arguments": arguments} if arguments else {})})
        answer = json.loads(host.out("qemu-monitor-command", self.name, text))
        check("return" in answer, f"{name}: {answer}")
        return answer["return"]

    def pid(self, host):
        with open(host.path(f"/run/libvirt/qemu/{self.name}.pid")) as f:
            return int(f.read())


class Shell:
    """The guest's shell on a socket console; runs one command at a time."""

    def __init__(self, domain, host, timeout=60):
        self.sock = socket.socket(socket.AF_UNIX)
        wait_for("the console socket", lambda: not self.sock.connect_ex(
            host.path(f"/run/{domain.name}.sock")), 10)
        self.sock.settimeout(0.5)
        self.count = 0
        self.last = ""
        wait_for(lambda: f"a shell in the guest; it says: {self.last[-300:]!r}",
                 self._prompt, timeout)
        wait_for("an answer of the guest's shell", lambda: self._try("true", 5) is not None, 20)

    def _prompt(self):
        """Only newlines: what is typed before the guest listens may get lost in part."""
        self.sock.sendall(b"\n")
        try:
            self.last = self.last[-200:] + self.sock.recv(65536).decode(errors="replace")
        except socket.timeout:
            pass
        return "guest# " in self.last

    def _try(self, command, timeout):
        """(status, output) between two marks that the echo of the input does not contain."""
        self.count += 1
        n = self.count
        self.sock.sendall(f"echo '[''{n}['; {command}; echo ']'$?']{n}'\n".encode())
        seen, end = "", time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                seen += self.sock.recv(65536).decode(errors="replace")
            except socket.timeout:
                continue
            m = re.search(rf"\[{n}\[\r?\n(.*?)\](\d+)\]{n}", seen, re.S)
            if m:
                return int(m[2]), m[1].replace("\r", "").strip()
        self.last = seen
        return None

    def run(self, command, timeout=30, ok=True):
        """Output of a command; a Failure if it does not end with status 0."""
        r = self._try(command, timeout)
        check(r is not None, f"guest: no answer to: {command}")
        check(not ok or r[0] == 0, f"guest: {command}: status {r[0]}: {r[1]}")
        return r[1]

    def close(self):
        self.sock.close()


class Bench:
    def __init__(self, hosts):
        self.hosts = hosts.hosts
        self.cable = hosts
        self.guest = guest_dir()
        self.initrd = os.path.join(hosts.base, "initrd.cpio")
        subprocess.run([os.path.join(TOP, "scripts", "make-initrd"), self.initrd,
                        os.path.join(GUESTS, "checker"), os.path.join(GUESTS, "loadgen")],
                       check=True)
        self.made = []
        self.count = 0

    def domain(self, **kw):
        self.count += 1
        d = Domain(self, f"t{self.count}", **kw)
        self.made.append(d)
        return d

    def running(self, host=None, **kw):
        """A running, reporting checker guest."""
        host = host or self.hosts[0]
        d = self.domain(**kw).create(host)
        if kw.get("mode", "checker") == "checker":
            d.wait_reports(host)
        return d

    def cleanup(self):
        for d in self.made:
            d.remove()
        self.made = []


CASES = []
FULL = "--full" in sys.argv


def case(fn):
    CASES.append((fn.__name__.replace("_", "-"), fn))
    return fn


def long_case(fn):
    """Only with --full."""
    return case(fn) if FULL else fn


def matrix(name, values, long=()):
    """Registers one case per value: fn(bench, value). Those named in long: only with --full."""
    def decorate(fn):
        for v in values:
            key = v if isinstance(v, str) else v[0]
            if FULL or key not in long:
                CASES.append((f"{name}/{key}", lambda b, v=v: fn(b, v)))
        return fn
    return decorate


def main(qemu_conf=None):
    # Meson stops a test with SIGTERM: leave through the clean-up, or daemons and guests stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = [a for a in sys.argv[1:] if a != "--full"]
    cases = [c for c in CASES if not wanted or any(w in c[0] for w in wanted)]
    failed = 0
    try:
        hosts = Hosts(qemu_conf=qemu_conf)
    except ToolMissing as e:
        if os.environ.get("CI"):    # there everything has to be installed
            print(f"Bail out! {e}")
            return 1
        print(f"1..0 # SKIP {e}")
        return 0
    except (HostError, OSError, subprocess.SubprocessError) as e:
        print("Bail out! " + str(e).split("\n")[0])
        print("".join(f"# {line}\n" for line in str(e).split("\n")[1:]), end="")
        return 1
    print(f"1..{len(cases)}", flush=True)
    try:
        bench = Bench(hosts)
        for n, (name, fn) in enumerate(cases, 1):
            start = time.monotonic()
            try:
                fn(bench)
                print(f"ok {n} {name} # {time.monotonic() - start:.1f} s", flush=True)
            except Exception as e:  # every failure is a result, whatever it is
                failed += 1
                print(f"not ok {n} {name}", flush=True)
                print("".join(f"# {line}\n" for line in str(e).split("\n")), end="", flush=True)
                if not isinstance(e, (Failure, HostError)):
                    print("".join(f"# {line}\n" for line in
                                  traceback.format_exc().split("\n")), end="", flush=True)
                for h in bench.hosts:
                    if "libvirtd" not in h.daemons:
                        h.start_libvirtd()
            finally:
                bench.cleanup()
    finally:
        hosts.close()
    return 1 if failed else 0
