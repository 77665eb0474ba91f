# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest with virtio devices, all of them at work while it moves: a disk that is written and
read back, a network card that sends, random numbers, a console that prints, and a port that answers
what it is told."""
import fcntl
import os
import re
import select
import socket
import struct
import termios
import time

from .guest import Linux
from .tap import Failed, check, check_equal

# Typed into the guest's shell. The port is opened once: a second open() is refused.
_CONSOLE = ('(n=0; while :; do n=$((n+1)); echo "console line $n."; sleep 0.1; done >/dev/hvc0) & '
            '(exec 5<>$(echo /dev/vport*p1); while :; do '
            'while read -r l <&5; do echo "echo of $l" >&5; done; '
            'echo "port: nobody there"; sleep 0.1; done) & ')
_WORK = ('ifconfig eth0 10.0.0.1 up; arp -s 10.0.0.2 52:54:00:00:00:02; '
         'i=0; while :; do i=$((i+1)); printf "block %06d" $i | '
         'dd of=/dev/vda bs=512 seek=$((i%2000)) conv=notrunc,fsync 2>/dev/null; '
         'echo 3 >/proc/sys/vm/drop_caches; '
         'got=$(dd if=/dev/vda bs=512 skip=$((i%2000)) count=1 2>/dev/null | head -c 12); '
         '[ "$got" = "$(printf "block %06d" $i)" ] || echo "disk: wrong at $i: $got"; '
         'head -c 16 /dev/hwrng >/dev/null || echo "rng: failed at $i"; '
         'ping -c 1 -W 1 10.0.0.2 >/dev/null 2>&1 & '
         '[ $((i%5)) != 0 ] || echo "disk: $i done, $(cat /sys/class/net/eth0/statistics/'
         'tx_packets) sent"; done\n')
_DONE = r'^disk: \d+ done, (\d+) sent'


class Stuck:
    """A guest that writes numbers to a port at which nobody reads: it stops in the middle of one of
    its buffers, and has to go on there, wherever it is then."""
    COUNT = 100000

    def __init__(self, bench, legacy):
        self.bench = bench
        self.legacy = legacy
        self.guest = Linux('idle', shell=True)
        self._ports = {}

    def args(self, name):
        args = ['-chardev', 'socket,id=c1,server=on,wait=off,path=' + self.bench.path(name + '.port'),
                '-device', 'virtio-serial-device', '-device', 'virtserialport,chardev=c1,nr=1']
        return args if self.legacy else ['-global', 'virtio-mmio.force-legacy=false'] + args

    def connect(self, vm):
        port = socket.socket(socket.AF_UNIX)
        port.connect(self.bench.path(vm.name + '.port'))
        self.bench.at_end(port.close)
        self._ports[vm.name] = port

    def start(self, vm):
        vm.console.wait_for('guest# ', 120)
        self.connect(vm)
        # Blocks of many lines, so that one of them is stopped at half way.
        vm.console.type('seq 1 %d | dd bs=3000 iflag=fullblock >$(echo /dev/vport*p1) 2>/dev/null; '
                        'echo "all written"\n' % self.COUNT)
        waiting, since = -1, time.monotonic()
        while waiting <= 0 or time.monotonic() - since < 1:
            now = struct.unpack('i', fcntl.ioctl(self._ports[vm.name], termios.FIONREAD, bytes(4)))[0]
            if now != waiting:
                waiting, since = now, time.monotonic()
            time.sleep(0.05)

    def check(self, source, destination):
        """All numbers once: those that left the guest at the source come from there. It has to be
        gone: a QEMU whose guest has left goes on reading that guest's ring when there is room."""
        source.quit()
        text = b''
        for vm, last in ((source, False), (destination, True)):
            port, enough = self._ports[vm.name], b'\n%d\n' % self.COUNT
            while select.select([port], [], [], 30 if last else 1)[0]:
                data = port.recv(65536)
                text += data
                if not data or text.endswith(enough):
                    break
        lines = text.split(b'\n')
        for number, line in enumerate(lines[:-1], 1):
            check(line == b'%d' % number, 'the port wrote %r after %d, of %d lines', line, number - 1,
                  len(lines) - 1)
        check_equal(len(lines) - 1, self.COUNT, 'numbers that came through')
        destination.console.wait_for('^all written', 20)


class Busy:
    """The devices of one guest, wherever it runs. `args(name)` is for the process of that name."""

    def __init__(self, bench, legacy, harts=1):
        self.bench = bench
        self.legacy = legacy
        self.guest = Linux('checker', harts=harts, size='1M', tick=200, shell=True)
        self.disk = bench.path('disk')
        with open(self.disk, 'wb') as f:
            f.truncate(16 << 20)
        self._names = []
        self._ports = {}
        self._port = None  # the one in use
        self._input = b''
        self._said = 0  # lines told to the port, numbered from 1
        self._answered = 0
        self._sent = 0  # packets, when last seen

    def args(self, name):
        args = ['-drive', 'file=%s,format=raw,if=none,id=d0' % self.disk,
                '-device', 'virtio-blk-device,drive=d0', '-device', 'virtio-rng-device',
                '-netdev', 'socket,id=n0,udp=127.0.0.1:9,localaddr=127.0.0.1:0',
                '-device', 'virtio-net-device,netdev=n0,mac=52:54:00:12:34:56',
                '-chardev', 'file,id=c0,path=' + self._console_path(name),
                '-chardev', 'socket,id=c1,server=on,wait=off,path=' + self._port_path(name),
                '-device', 'virtio-serial-device', '-device', 'virtconsole,chardev=c0',
                '-device', 'virtserialport,chardev=c1,nr=1,name=ferry.test']
        return args if self.legacy else ['-global', 'virtio-mmio.force-legacy=false'] + args

    def _console_path(self, name):
        return self.bench.path(name + '.hvc')

    def _port_path(self, name):
        return self.bench.path(name + '.port')

    # -- the port --

    def connect(self, vm):
        """Take the port of this process, which must not be without a listener when the guest gets
        there: a reader in the guest would see the end of its input."""
        port = socket.socket(socket.AF_UNIX)
        port.connect(self._port_path(vm.name))
        self.bench.at_end(port.close)
        self._ports[vm.name] = port

    def turn_to(self, vm):
        """From now on the port is spoken to at this process. What another one has not delivered
        to the guest is gone with it."""
        self._names.append(vm.name)
        self._port = self._ports[vm.name]
        self._input = b''

    def say(self):
        self._said += 1
        self._port.sendall(b'number %d\n' % self._said)

    def hear(self, timeout):
        """Take the next answer; False if none comes. An answer is never wrong, and never missing
        or twice, except that the last line told to a process that the guest has left may be."""
        end = time.monotonic() + timeout
        while b'\n' not in self._input:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._port], [], [], left)[0]:
                return False
            data = self._port.recv(4096)
            if not data:
                return False
            self._input += data
        line, self._input = self._input.split(b'\n', 1)
        self._answered += 1
        check_equal(line.decode().strip(), 'echo of number %d' % self._answered,
                    'answer of the port')
        return True

    def talk(self, vm, seconds):
        """Say and hear for so long, or until the process has stopped the guest."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._said == self._answered:
                self.say()
            if not self.hear(1) and vm.status() != 'running':
                return

    # -- the story --

    def start(self, vm):
        """Start everything in the guest and wait until it is at work."""
        vm.console.wait_for('guest# ', 120)
        self.connect(vm)
        self.turn_to(vm)
        vm.console.type(_CONSOLE + _WORK)
        vm.console.wait_for('^disk: 5 done', 60)
        self.say()
        check(self.hear(20), 'the port does not answer at %s', vm.name)

    def moved(self, vm):
        """The guest runs on at vm, where connect() has been called: everything still works."""
        self.turn_to(vm)
        # An answer may have been on its way; the question may be lost with the source's socket.
        if self._said > self._answered and not self.hear(3):
            self._answered = self._said
        self.at_work(vm)

    def at_work(self, vm, begin=0):
        """All devices work at vm, and did since its console said what stands at begin."""
        for _ in range(5):
            self.say()
            check(self.hear(20), 'the port does not answer at %s', vm.name)
        there = vm.console
        first = there.wait_for(_DONE, 60, begin)
        there.wait_statuses(3, 60)[-1].check_clean(vm.name)
        later = there.wait_for(_DONE, 60, first.end())
        check(int(later.group(1)) > int(first.group(1)),
              'the network card sends nothing: %s, then %s packets', first.group(1), later.group(1))
        for line in there.text()[begin:].splitlines():
            check('wrong' not in line and 'failed' not in line and 'nobody' not in line,
                  'guest: %s', line)
        self._check_console(vm)

    def _check_console(self, vm):
        """All that the console has printed, over all processes: no byte lost or twice."""
        text = b''
        for name in self._names:
            with open(self._console_path(name), 'rb') as f:
                text += f.read().replace(b'\r', b'')
        size = os.path.getsize(self._console_path(vm.name))
        end = time.monotonic() + 20
        while os.path.getsize(self._console_path(vm.name)) <= size:
            if time.monotonic() > end:
                raise Failed('the console prints nothing more at %s' % vm.name)
            time.sleep(0.05)
        lines = text.decode('utf-8', 'replace').split('\n')[:-1]
        for number, line in enumerate(lines, 1):
            check(re.fullmatch('console line %d[.]' % number, line),
                  'the console printed %r after %r', line, lines[number - 2])
