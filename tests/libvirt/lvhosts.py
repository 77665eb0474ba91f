# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts on one machine, each with a real libvirtd of its own.

A Host is a network namespace plus a mount and UTS namespace in which
/etc/libvirt, /run, /var/lib/libvirt, /var/log/libvirt and /var/cache/libvirt
are private folders, so that libvirtd, virtlogd and virsh run unmodified and
never see the machine's own libvirt. Nothing of systemd is used. Everything
is gone after Hosts.close().
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
stdio_handler = "logd"
migration_port_min = 49152
migration_port_max = 49215
"""

PRIVATE = ["/etc/libvirt", "/run", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt"]

HOLDER = r"""
set -e
for d in {private}; do
    mkdir -p "{root}$d" "$d"
    mount --bind "{root}$d" "$d"
done
mount --bind {root}/hosts /etc/hosts
hostname {name}
# QEMU 10.0 of tests/interop/qemu10 must not find the system QEMU's modules: it ends itself over them
for m in /usr/lib/*/qemu; do [ ! -d "$m" ] || mount -t tmpfs none "$m"; done
# libvirt probes every QEMU it finds in PATH; only the riscv64 one is of interest here
for q in /usr/bin/qemu-system-*; do
    case $q in */qemu-system-riscv64|*'*') ;; *) mount --bind /dev/null "$q" ;; esac
done
ip link set lo up
mkdir -p /run/libvirt /run/lock
echo ready
exec sleep infinity
"""


class HostError(Exception):
    pass


class ToolMissing(HostError):
    """A program that is not installed."""


def tool(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not path:
        raise ToolMissing(f"{name} is missing (Debian packages libvirt-daemon-system, "
                          "libvirt-clients, iproute2)")
    return path


class Host:
    """One host: its namespaces, its daemons."""

    def __init__(self, base, name, index, peers, qemu_conf=""):
        self.name = name
        self.ip = f"10.231.0.{index + 1}"
        self.root = os.path.join(base, name)
        self.netns = f"ferry-{os.getpid()}-{name}"
        self.daemons = {}
        for d in PRIVATE + ["/etc/libvirt/qemu", "/run/libvirt"]:
            os.makedirs(self.root + d, exist_ok=True)
        self._write("/etc/libvirt/libvirtd.conf",
                    'listen_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\n'
                    'auth_unix_rw = "none"\nunix_sock_rw_perms = "0777"\n'
                    f'host_uuid = "{uuid.uuid4()}"\n'
                    'log_outputs = "2:file:/var/log/libvirt/libvirtd.log"\n')
        self._write("/etc/libvirt/qemu.conf", QEMU_CONF + qemu_conf)
        self._write("/etc/libvirt/virtlogd.conf", "")
        self._write("/hosts", "127.0.0.1 localhost\n" +
                    "".join(f"{ip} {n}\n" for n, ip in peers.items()))
        script = HOLDER.format(private=" ".join(PRIVATE), root=self.root, name=name)
        subprocess.run([tool("ip"), "netns", "add", self.netns], check=True)
        self.holder = subprocess.Popen(
            [tool("ip"), "netns", "exec", self.netns, tool("unshare"), "--mount", "--uts",
             "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline().strip() != "ready":
            raise HostError(f"host {name}: its namespaces could not be set up")

    def _write(self, path, text):
        with open(self.root + path, "w") as f:
            f.write(text)

    def enter(self, argv):
        """argv as run inside this host (-r: also where the tests run in a chroot)."""
        return [tool("nsenter"), "-t", str(self.holder.pid), "-r", "-m", "-u", "-n", "--"] + argv

    def run(self, *argv, check=True, timeout=120, **kw):
        r = subprocess.run(self.enter(list(argv)), stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, timeout=timeout,
                           stdin=subprocess.DEVNULL, **kw)
        if check and r.returncode:
            raise HostError(f"{self.name}: {' '.join(argv)}: exit {r.returncode}: "
                            f"{r.stderr.strip()}")
        return r

    def virsh(self, *args, check=True, timeout=120):
        """Runs virsh against this host's libvirtd; returns the finished process."""
        return self.run(tool("virsh"), "-q", *args, check=check, timeout=timeout)

    def virsh_popen(self, *args):
        return subprocess.Popen(self.enter([tool("virsh"), "-q", *args]), text=True,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def out(self, *args, **kw):
        return self.virsh(*args, **kw).stdout.strip()

    def start_daemon(self, name, *args, prefix=()):
        log = open(os.path.join(self.root, name + ".out"), "a")
        self.daemons[name] = subprocess.Popen(self.enter([*prefix, tool(name), *args]), stdout=log,
                                              stderr=log, stdin=subprocess.DEVNULL,
                                              start_new_session=True)
        log.close()

    def start(self):
        self.start_daemon("virtlogd")
        self.start_libvirtd()

    def start_libvirtd(self, path=None):
        """path: folders put in front of PATH."""
        if path:
            env = tool("env"), f"PATH={path}:{os.environ['PATH']}"
            self.start_daemon("libvirtd", "--listen", prefix=env)
        else:
            self.start_daemon("libvirtd", "--listen")
        for _ in range(300):
            if self.daemons["libvirtd"].poll() is not None:
                raise HostError(f"{self.name}: libvirtd ended:\n" + self.log_tail())
            if self.virsh("uri", check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise HostError(f"{self.name}: libvirtd does not answer:\n" + self.log_tail())

    def daemon_pid(self, name):
        """The daemon's own pid: nsenter executes it in place."""
        return self.daemons[name].pid

    def use_save_format(self, fmt):
        """What `virsh save` packs its images with: "raw" is libvirt's default. Starts the daemon anew."""
        path = self.path("/etc/libvirt/qemu.conf")
        with open(path) as f:
            text = re.sub(r"^save_image_format.*\n", "", f.read(), flags=re.M)
        with open(path, "w") as f:
            f.write(text + f'save_image_format = "{fmt}"\n')
        self.stop_libvirtd()
        self.start_libvirtd()

    def stop_libvirtd(self, sig=signal.SIGTERM):
        d = self.daemons.pop("libvirtd")
        d.send_signal(sig)
        try:
            d.wait(10)
        except subprocess.TimeoutExpired:
            # It waits for a running job; a service manager kills it then, too.
            d.kill()
            d.wait(10)

    def log_tail(self, lines=30):
        text = ""
        for p in (self.root + "/var/log/libvirt/libvirtd.log", self.root + "/libvirtd.out"):
            if os.path.exists(p):
                with open(p, errors="replace") as f:
                    text += "".join(f.readlines()[-lines:])
        return text

    def path(self, p):
        """A private path of this host as seen from outside."""
        return self.root + p

    def close(self):
        r = self.virsh("list", "--name", "--all", check=False, timeout=20) \
            if "libvirtd" in self.daemons else None
        for dom in (r.stdout.split() if r and r.returncode == 0 else []):
            self.virsh("destroy", dom, check=False, timeout=30)
        for d in self.daemons.values():
            d.terminate()
        for d in self.daemons.values():
            try:
                d.wait(10)
            except subprocess.TimeoutExpired:
                d.kill()
        pids = subprocess.run([tool("ip"), "netns", "pids", self.netns],
                              stdout=subprocess.PIPE, text=True).stdout.split()
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.holder.wait()
        self.holder.stdout.close()
        subprocess.run([tool("ip"), "netns", "del", self.netns], check=False)


class Hosts:
    """hosta and hostb, joined by a cable (a veth pair)."""

    def __init__(self, names=("hosta", "hostb"), qemu_conf=None):
        self.base = tempfile.mkdtemp(prefix="ferry-lv-")
        peers = {n: f"10.231.0.{i + 1}" for i, n in enumerate(names)}
        self.hosts = []
        try:
            for i, n in enumerate(names):
                self.hosts.append(Host(self.base, n, i, peers, (qemu_conf or {}).get(n, "")))
            if len(names) == 2:
                self._plug_cable()
            for h in self.hosts:
                h.start()
        except BaseException:
            self.close()
            raise

    def _ip(self, *args):
        subprocess.run([tool("ip"), *args], check=True)

    def _plug_cable(self):
        a, b = self.hosts
        self._ip("link", "add", "eth0", "netns", a.netns, "type", "veth", "peer", "name", "eth0",
                 "netns", b.netns)
        for h in self.hosts:
            self._ip("-n", h.netns, "addr", "add", h.ip + "/24", "dev", "eth0")
            self._ip("-n", h.netns, "link", "set", "eth0", "up")

    def cut_cable(self):
        self._ip("-n", self.hosts[0].netns, "link", "set", "eth0", "down")

    def join_cable(self):
        self._ip("-n", self.hosts[0].netns, "link", "set", "eth0", "up")

    def close(self):
        for h in self.hosts:
            h.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        return self.hosts

    def __exit__(self, *exc):
        self.close()
