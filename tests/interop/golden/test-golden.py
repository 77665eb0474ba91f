#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The captured streams of real QEMUs, without any QEMU: ferry-inspect reads them as it did when
they were captured, Ferry describes the same devices in the same words, and Ferry loads them.

  FERRY_BUILD=build tests/interop/golden/test-golden.py
"""
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ['FERRY_BUILD'])
INSPECT = os.path.join(BUILD, 'ferry-inspect')
FERRY = os.path.join(BUILD, 'ferry-system-riscv64')
VIRTIO = ['-device', 'virtio-rng-device',
          '-drive', 'if=none,id=d0,file={disk},format=raw', '-device', 'virtio-blk-device,drive=d0',
          '-netdev', 'socket,id=n0,udp=127.0.0.1:1,localaddr=127.0.0.1:0',
          '-device', 'virtio-net-device,netdev=n0', '-device', 'virtio-serial-device',
          '-global', 'virtio-mmio.force-legacy=false']
# what the destination of each golden stream must look like, and the state it then has
LOADS = {
    'none-7.2': (['-M', 'none', '-m', '1M'], 'prelaunch'),
    'none-10.0': (['-M', 'none', '-m', '1M'], 'prelaunch'),
    'none-uuid-7.2': (['-M', 'none', '-m', '1M'], 'prelaunch'),
    'none-uuid-10.0': (['-M', 'none', '-m', '1M', '-uuid',
                        '00112233-4455-6677-8899-aabbccddeeff'], 'prelaunch'),
    'none-cpu-7.2': (['-M', 'none', '-m', '2M', '-cpu', 'rv64'], 'running'),
    'none-cpu-10.0': (['-M', 'none', '-m', '2M', '-cpu', 'rv64'], 'running'),
    'virt-7.2': (['-M', 'virt', '-m', '4M', '-bios', 'none', '-smp', '2'], 'running'),
    'virt-10.0': (['-M', 'virt', '-m', '4M', '-bios', 'none', '-smp', '2'], 'running'),
    'virt-written-7.2': (['-M', 'virt', '-m', '4M', '-bios', 'none'], 'prelaunch'),
    'virt-written-10.0': (['-M', 'virt', '-m', '4M', '-bios', 'none'], 'prelaunch'),
    'virt-delta-10.0': (['-M', 'virt', '-m', '4M', '-bios', 'none'], 'running'),
    'virt-snapshot-10.0': (['-M', 'virt', '-m', '4M', '-bios', 'none'], 'running'),
    'virt-rv64-7.2': (['-M', 'virt', '-m', '2M', '-bios', 'none'], 'prelaunch'),
    'virt-virtio-7.2': (['-M', 'virt', '-m', '2M', '-bios', 'none'] + VIRTIO, 'prelaunch'),
    'virt-virtio-10.0': (['-M', 'virt', '-m', '2M', '-bios', 'none'] + VIRTIO, 'prelaunch'),
    'mapped-ram-10.0': (['-M', 'none', '-m', '2M', '-cpu', 'rv64'], 'running'),
    'fixed-ram-ferry': (['-M', 'none', '-m', '2M', '-cpu', 'rv64'], 'running'),
    'mapped-ram-sums-ferry': (['-M', 'none', '-m', '2M', '-cpu', 'rv64'], 'running'),
}
# files whose writer did not come to its end
PARTS = {'part-ferry'}
# streams that are there for their delta pages: at least so many of them
DELTAS = {'virt-written-7.2': 150, 'virt-written-10.0': 150, 'virt-delta-10.0': 20}
VIRT = ['-M', 'virt', '-m', '4M', '-bios', 'none', '-smp', '2']
SMALL = ['-M', 'virt', '-m', '2M', '-bios', 'none']
# what must be refused: the cause, the dialect where it can be known, and what to do about it
REFUSALS = {
    'ACPI tables': ('virt-rv64-10.0', SMALL, '-M virt,acpi=off.*acpi/tables.*by QEMU 10.0'),
    'another RAM size': ('none-7.2', ['-M', 'none', '-m', '2M'],
                         'same -m.*Size mismatch: ram: 0x100000 != 0x200000.*1.0 MiB there, 2.0 MiB here.*'
                         'by QEMU 7.2'),
    'another UUID': ('none-uuid-10.0', ['-M', 'none', '-m', '1M', '-uuid',
                                        '00112233-4455-6677-8899-aabbccddee00'],
                     '-uuid.*UUID received is'),
    'another machine': ('virt-7.2', ['-M', 'none', '-m', '4M'],
                        "-M.*Machine type received is 'virt' and local is 'none'"),
    'a device that is not here': ('virt-virtio-7.2', SMALL, 'same -device.*section or instance '
                                  "'virtio-mmio@0000000010008000/virtio-rng'.*stream of QEMU 7.2"),
    'another device in its place': ('virt-virtio-10.0', SMALL + ['-device', 'virtio-serial-device'],
                                    "same -device.*virtio-rng'.*stream of QEMU 10.0"),
    'fewer harts here': ('virt-10.0', VIRT[:-2], "same -smp.*'cpu_common' 1.*stream of QEMU 10.0"),
    'a writer that was killed': ('part-ferry', ['-M', 'none', '-m', '2M', '-cpu', 'rv64'],
                                 'save the guest again.*a save that was not completed: [0-9]+ KiB'),
    'more harts here': ('virt-7.2', VIRT[:-1] + ['3'], 'same -smp.*riscv_mtimer.*stream of QEMU 7.2'),
}


class Failed(Exception):
    pass


def expect(ok, text):
    if not ok:
        raise Failed(text)


def run(args, **more):
    return subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, cwd=HERE, **more)


def names():
    return sorted(f[:-len('.mig.gz')] for f in os.listdir(HERE) if f.endswith('.mig.gz'))


def packed(name):
    return name + ('.part.gz' if name in PARTS else '.mig.gz')


def unpacked(name, folder):
    path = os.path.join(folder, name)
    with gzip.open(os.path.join(HERE, packed(name))) as src, open(path, 'wb') as dst:
        dst.write(src.read())
    return path


def show_is_the_same(name, folder):
    with open(os.path.join(HERE, name + '.txt'), encoding='utf-8') as f:
        want = f.read()
    got = run([INSPECT, 'show', packed(name)])
    expect(got.returncode == (1 if name in PARTS else 0), got.stderr)
    for n, (a, b) in enumerate(zip(want.splitlines(), got.stdout.splitlines()), 1):
        expect(a == b, f'line {n}: expected {a!r}, got {b!r}')
    expect(got.stdout == want, 'one text is longer')


def verify_agrees(name, folder):
    """From a file, from a pipe, and with --json."""
    path = unpacked(name, folder)
    got = run([INSPECT, 'verify', path])
    expect(got.returncode == 0 and ': ok: ' in got.stdout, got.stdout + got.stderr)
    with open(path, 'rb') as f:
        piped = subprocess.run([INSPECT, 'verify', '-'], input=f.read(), capture_output=True,
                               timeout=60)
    expect(piped.stdout.decode().partition(': ')[2] == got.stdout.partition(': ')[2],
           'a pipe is read differently')
    report = json.loads(run([INSPECT, 'show', '--json', path]).stdout)
    expect(report['ok'] and report['sections'], 'JSON report')
    same = run([INSPECT, 'diff', path, name + '.mig.gz'])
    expect(same.returncode == 0 and same.stdout == '', same.stdout)
    cut = os.path.join(folder, 'cut')
    with open(path, 'rb') as src, open(cut, 'wb') as dst:
        dst.write(src.read()[:-10])
    bad = run([INSPECT, 'verify', cut])
    expect(bad.returncode == 1 and 'offset 0x' in bad.stdout, 'a cut file is not noticed')


def part_is_known(name, folder):
    """From a file, from a pipe, packed and with --json: what it is, before anything else."""
    words = 'a save that was not completed: '
    path = unpacked(name, folder)
    got = run([INSPECT, 'verify', path])
    expect(got.returncode == 1, got.stdout + got.stderr)
    expect(re.search(words + 'the file holds [0-9]+ KiB.* 2048 KiB of memory', got.stdout),
           got.stdout)
    got = run([INSPECT, 'verify', packed(name)])
    expect(got.returncode == 1 and words in got.stdout, got.stdout + got.stderr)
    report = json.loads(run([INSPECT, 'show', '--json', path]).stdout)
    expect(report['complete'] is False and report['stored-bytes'] > 0 and report['blocks'],
           'JSON report')
    for command in (['extract', path, '--ram', 'ram', '-o', os.path.join(folder, 'raw')],
                    ['diff', path, path]):
        expect(run([INSPECT] + command).returncode != 0, f'{command[0]} takes it')


def digest(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def sums():
    """name -> digest of the RAM of the source, by the source's own dump."""
    with open(os.path.join(HERE, 'ram.sha256'), encoding='utf-8') as f:
        return {name: value for value, name in (line.split() for line in f)}


def ram_of(name):
    """Its name, its guest-physical address."""
    return ('riscv_virt_board.ram', 0x80000000) if name.startswith('virt') else ('ram', 0)


def ram_is_the_sources(name, folder):
    """Deltas applied and all: what the stream says is what the source had."""
    raw = os.path.join(folder, 'raw')
    got = run([INSPECT, 'extract', name + '.mig.gz', '--ram', ram_of(name)[0], '-o', raw])
    expect(got.returncode == 0, got.stderr)
    expect(digest(raw) == sums()[name], 'the extracted RAM is not that of the source')
    report = json.loads(run([INSPECT, 'show', '--json', name + '.mig.gz']).stdout)
    deltas = sum(b['records'].get('delta', 0) for b in report['blocks'])
    expect(deltas >= DELTAS.get(name, 0), f'only {deltas} delta pages')


class Monitor:
    """A Ferry process and its QMP."""

    def __init__(self, options):
        self.process = subprocess.Popen(
            [FERRY, '-nodefaults', '-display', 'none', '-qmp', 'stdio'] + options,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
            if 'return' in answer or 'error' in answer:
                return answer

    def end(self):
        if self.process.poll() is None:
            try:
                self.command('quit')
            except (Failed, BrokenPipeError):
                pass
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass        # it has ended on its own
        self.process.wait(timeout=20)
        text = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return text


def with_disk(options, folder):
    disk = os.path.join(folder, 'disk')
    with open(disk, 'wb') as f:
        f.truncate(1 << 20)
    return [o.replace('{disk}', disk) for o in options]


def load(name, options, folder, dump=None):
    """Ferry as destination of the stream: (run state after it, or None, message)."""
    m = Monitor(with_disk(options, folder) + ['-incoming', 'defer'])
    try:
        for layout in ('mapped-ram', 'fixed-ram'):
            if name.startswith(layout):
                m.command('migrate-set-capabilities',
                          capabilities=[{'capability': layout, 'state': True}])
        answer = m.command('migrate-incoming', uri='file:' + unpacked(name, folder))
        expect('error' not in answer, str(answer))
        state = wait_for_state(m)
        if state != 'inmigrate' and dump:
            m.command('pmemsave', val=ram_of(name)[1], filename=dump,
                      size=int(options[options.index('-m') + 1][:-1]) << 20)
        return state, m.end()
    except (Failed, BrokenPipeError) as e:
        return None, str(e) + m.end()


def ferry_loads(name, folder):
    options, want = LOADS[name]
    state, text = load(name, options, folder)
    expect(state == want, f'state {state}, expected {want}: {text}')


def ferry_loads_the_ram(name, folder):
    """With -S nothing runs after the load: RAM is still that of the source, bit for bit."""
    path = os.path.join(folder, 'dump')
    state, text = load(name, LOADS[name][0] + ['-S'], folder, path)
    want = 'paused' if LOADS[name][1] == 'running' else LOADS[name][1]
    expect(state == want, f'state {state}, expected {want}: {text}')
    expect(digest(path) == sums()[name], 'the RAM is not that of the source')


def ferry_refuses(name, folder):
    name, options, words = REFUSALS[name]
    state, text = load(name, options, folder)
    expect(state is None or state == 'inmigrate', f'was loaded: {state}')
    expect(re.search(words, text), f'expected {words!r} in {text!r}')


def ferry_names_the_dialect(name, folder):
    """x-query-machine-dialects and "info migrate", as source and as destination."""
    version = name.rpartition('-')[2]
    machines = {'virt-7.2': '7.2', 'virt-10.0': '10.0', 'virt': '10.0', 'none': '10.0'}
    for machine in ('virt-7.2', 'virt-10.0'):       # every version takes both
        m = Monitor(['-M', machine] + VIRT[2:] + ['-S', '-incoming', 'defer'])
        got = {x['name']: x['dialect'] for x in m.command('x-query-machine-dialects')['return']}
        expect(got == machines, str(got))
        m.command('migrate-incoming', uri='file:' + unpacked(name, folder))
        wait_for_state(m)
        text = m.command('human-monitor-command', **{'command-line': 'info migrate'})['return']
        expect(f'received stream: QEMU {version}' in text, text)
        m.command('migrate', uri='file:' + os.path.join(folder, 'out'))
        for _ in range(400):
            if m.command('query-migrate')['return'].get('status') in ('completed', 'failed'):
                break
            time.sleep(0.02)
        text = m.command('human-monitor-command', **{'command-line': 'info migrate'})['return']
        expect(f'sent stream: QEMU {machines[machine]}' in text, text)
        m.end()


def wait_for_state(m):
    for _ in range(400):
        state = m.command('query-status')['return']['status']
        if state != 'inmigrate':
            break
        time.sleep(0.02)
    return state


def description(stream):
    at = max(stream.rfind(b'{"page_size"'), stream.rfind(b'{"configuration"'))
    return stream[at:].decode()


def ferry_describes_alike(name, folder):
    """The description of a Ferry machine is that of the QEMU it stands for, byte for byte."""
    version = name.rpartition('-')[2]
    path = os.path.join(folder, 'ours')
    options = with_disk(LOADS[name][0], folder)
    options[1] = f'virt-{version}' if options[1] == 'virt' else 'none'
    m = Monitor(options + ['-S'])
    if 'uuid' in name:
        m.command('migrate-set-capabilities',
                  capabilities=[{'capability': 'validate-uuid', 'state': True}])
    expect('error' not in m.command('migrate', uri='file:' + path), 'migrate')
    for _ in range(400):
        status = m.command('query-migrate')['return'].get('status')
        if status in ('completed', 'failed'):
            break
        time.sleep(0.02)
    m.end()
    expect(status == 'completed', f'status {status}')
    with open(path, 'rb') as f:
        ours = description(f.read())
    with gzip.open(os.path.join(HERE, name + '.mig.gz')) as f:
        theirs = description(f.read())
    ours = re.sub(r', "ferry": .*\}$', '}', ours)
    for n, (a, b) in enumerate(zip(theirs, ours)):
        expect(a == b, f'at {n}: expected {theirs[max(0, n - 60):n + 60]!r}, '
                       f'got {ours[max(0, n - 60):n + 60]!r}')
    expect(ours == theirs, 'one description is longer')


def cases():
    for name in names():
        yield f'{name}: shown as captured', show_is_the_same, name
        yield f'{name}: verified', verify_agrees, name
        if name in sums():
            yield f'{name}: RAM of its source', ram_is_the_sources, name
    for name in PARTS:
        yield f'{name}: shown as captured', show_is_the_same, name
        yield f'{name}: known as what it is', part_is_known, name
    if not os.path.exists(FERRY):
        return
    for name in names():
        if name in LOADS:
            yield f'{name}: loaded by Ferry', ferry_loads, name
            if name in sums():
                yield f'{name}: loaded by Ferry, RAM of its source', ferry_loads_the_ram, name
    for title in REFUSALS:
        yield f'{title}: refused by Ferry', ferry_refuses, title
    for name in ('virt-7.2', 'virt-10.0'):
        yield f'{name}: Ferry names its dialect', ferry_names_the_dialect, name
    for name in ('virt-7.2', 'virt-10.0', 'none-uuid-10.0', 'virt-virtio-7.2', 'virt-virtio-10.0'):
        yield f'{name}: described by Ferry in the same words', ferry_describes_alike, name


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ''
    todo = [c for c in cases() if wanted in c[0]]
    failed = 0
    print(f'TAP version 13\n1..{len(todo)}', flush=True)
    for n, (title, function, name) in enumerate(todo, 1):
        with tempfile.TemporaryDirectory(prefix='ferry-golden-') as folder:
            try:
                function(name, folder)
                print(f'ok {n} - {title}', flush=True)
            except (Failed, subprocess.TimeoutExpired, OSError) as e:
                failed += 1
                print(f'not ok {n} - {title}', flush=True)
                for line in str(e).splitlines():
                    print(f'# {line}', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
