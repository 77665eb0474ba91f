#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Captured connections of real QEMUs with two parallel channels, without any QEMU: ferry-inspect reads
the channels as it did when they were captured, and Ferry takes all of them, played to it again, and
has the memory that the source had.

  FERRY_BUILD=build tests/interop/golden/multifd/test-golden-multifd.py
"""
import gzip
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ['FERRY_BUILD'])
INSPECT = os.path.join(BUILD, 'ferry-inspect')
FERRY = os.path.join(BUILD, 'ferry-system-riscv64')
MACHINE = ['-M', 'virt', '-m', '2M', '-bios', 'none', '-nodefaults', '-display', 'none']


class Failed(Exception):
    pass


class Skip(Exception):
    """This build cannot."""


def expect(ok, text):
    if not ok:
        raise Failed(text)


def inspect(*args):
    return subprocess.run([INSPECT, *args], cwd=HERE, capture_output=True, text=True, timeout=60)


def unpacked(name, part):
    with gzip.open(os.path.join(HERE, '%s-%s.gz' % (name, part))) as f:
        return f.read()


def is_shown(name, folder):
    for channel in '01':
        with open(os.path.join(HERE, '%s-%s.txt' % (name, channel)), encoding='utf-8') as f:
            want = f.read()
        got = inspect('show', '%s-%s.gz' % (name, channel))
        expect(got.returncode == 0 and got.stdout == want, 'channel %s: %s%s' % (channel, got.stdout,
                                                                                got.stderr))
        got = inspect('verify', '%s-%s.gz' % (name, channel))
        expect(got.returncode == 0 and ': ok: a channel of multifd' in got.stdout, got.stdout)
        report = json.loads(inspect('verify', '--json', '%s-%s.gz' % (name, channel)).stdout)
        expect(report['multifd-channel']['syncs'] >= 3, str(report))
        path = os.path.join(folder, 'cut')
        with open(path, 'wb') as f:
            f.write(unpacked(name, channel)[:-1])
        expect(inspect('verify', path).returncode == 1, 'a cut channel is not noticed')
        for command in (['extract', path, '--ram', 'ram', '-o', path + '.raw'], ['diff', path, path]):
            expect(inspect(*command).returncode != 0, '%s takes a channel' % command[0])


class Monitor:
    """A Ferry that waits for a guest, and its QMP."""

    def __init__(self):
        self.process = subprocess.Popen([FERRY, *MACHINE, '-incoming', 'defer', '-qmp', 'stdio'],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.command('qmp_capabilities')

    def command(self, name, **arguments):
        self.process.stdin.write(json.dumps({'execute': name, 'arguments': arguments}) + '\n')
        self.process.stdin.flush()
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise Failed(self.process.stderr.read().strip() or 'Ferry ended')
            answer = json.loads(line)
            if 'error' in answer:
                raise Failed(answer['error']['desc'])
            if 'return' in answer:
                return answer['return']

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def play(path, data):
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            s.recv(1)       # until it is closed there
        except OSError:
            pass            # it has ended, and that is found elsewhere


def is_loaded(order):
    def case(name, folder):
        m = Monitor()
        path, ram = os.path.join(folder, 'socket'), os.path.join(folder, 'ram')
        try:
            m.command('migrate-set-capabilities', capabilities=[{'capability': 'multifd', 'state': True}])
            try:
                m.command('migrate-set-parameters', **{'multifd-compression': name.partition('-')[0]})
            except Failed as error:
                raise Skip(str(error)) if 'built without' in str(error) else error
            m.command('migrate-incoming', uri='unix:' + path)
            for part in order:
                threading.Thread(target=play, args=(path, unpacked(name, part)), daemon=True).start()
                time.sleep(0.05)
            end = time.monotonic() + 50
            while m.command('query-status')['status'] == 'inmigrate':
                expect(time.monotonic() < end, 'it is not loaded within 50 s')
                time.sleep(0.05)
            m.command('pmemsave', val=0x80000000, size=2 << 20, filename=ram)
            with open(ram, 'rb') as f:
                digest = hashlib.sha256(f.read()).hexdigest()
            with open(os.path.join(HERE, 'ram.sha256'), encoding='ascii') as f:
                want = dict(reversed(line.split()) for line in f)[name]
            expect(digest == want, 'its memory is not that of the source')
        finally:
            m.end()
    return case


def main():
    names = sorted(f[:-len('-stream.gz')] for f in os.listdir(HERE) if f.endswith('-stream.gz'))
    cases = [('%s is shown' % n, n, is_shown) for n in names]
    for name in names:
        cases += [('%s is loaded' % name, name, is_loaded(['stream', '0', '1'])),
                  ('%s is loaded, the stream last' % name, name, is_loaded(['1', '0', 'stream']))]
    failed = 0
    print('1..%d' % len(cases))
    for number, (title, name, function) in enumerate(cases, 1):
        try:
            with tempfile.TemporaryDirectory() as folder:
                function(name, folder)
            print('ok %d - %s' % (number, title), flush=True)
        except Skip as why:
            print('ok %d - %s # SKIP %s' % (number, title, why), flush=True)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print('# ' + str(error).replace('\n', '\n# '))
            print('not ok %d - %s' % (number, title), flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
