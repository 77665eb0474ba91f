#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures the connections of a real QEMU's migration with two parallel channels again, each into a
file: NAME-stream.gz, NAME-0.gz, NAME-1.gz; NAME-0.txt and -1.txt are what ferry-inspect says of the
channels, ram.sha256 has the digest of the guest's RAM, by the QEMU itself.

  tests/interop/golden/multifd/capture.py BUILD [NAME...]
"""
import gzip
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
Q72 = [os.environ.get('QEMU72', 'qemu-system-riscv64'), '-M', 'virt']
Q10 = [os.path.join(HERE, '..', '..', 'qemu10'), 'qemu-system-riscv64', '-M', 'virt,acpi=off']
# Words all over 2 MiB of RAM: some pages hold something, most are zero.
WORDS = [w for i in range(24) for w in
         ('-device', 'loader,addr=0x%x,data=0x%x,data-len=8' % (0x80000000 + i * 0x15000 + 8 * i,
                                                               0x0123456789abcdef ^ (i << 40)))]
MACHINE = ['-m', '2M', '-bios', 'none', '-S']
CASES = {
    'none-7.2': (Q72, 'none'), 'zlib-7.2': (Q72, 'zlib'),
    'none-10.0': (Q10, 'none'), 'zlib-10.0': (Q10, 'zlib'), 'zstd-10.0': (Q10, 'zstd'),
}


def collect(listener, connections):
    """Each connection's bytes, in the order in which they came: one thread each."""
    def read(index, s):
        while True:
            data = s.recv(65536)
            if not data:
                return
            connections[index] += data
    while True:
        try:
            s, _ = listener.accept()
        except OSError:
            return
        connections.append(b'')
        threading.Thread(target=read, args=(len(connections) - 1, s), daemon=True).start()


def capture(name, folder):
    qemu, compression = CASES[name]
    path, ram, connections = folder + '/socket', folder + '/ram', []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    threading.Thread(target=collect, args=(listener, connections), daemon=True).start()
    commands = ['migrate_set_capability multifd on',
                'migrate_set_parameter multifd-compression ' + compression,
                'migrate unix:' + path, 'info migrate', 'pmemsave 0x80000000 0x200000 "%s"' % ram]
    p = subprocess.Popen(qemu + MACHINE + WORDS + ['-nodefaults', '-display', 'none', '-monitor', 'stdio'],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdin.write('\n'.join(commands) + '\n')
    p.stdin.flush()
    time.sleep(3)
    out = p.communicate('quit\n')[0]
    listener.close()
    assert 'Migration status: completed' in out and len(connections) == 3, out
    parts = {'stream': connections[0]}
    for channel in connections[1:]:
        parts[str(channel[24])] = channel
    with open(ram, 'rb') as f:
        return parts, hashlib.sha256(f.read()).hexdigest()


def main():
    build, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:] or list(CASES)
    sums_path = os.path.join(HERE, 'ram.sha256')
    sums = {}
    if os.path.exists(sums_path):
        with open(sums_path, encoding='ascii') as f:
            sums = dict(reversed(line.split()) for line in f)
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            parts, sums[name] = capture(name, folder)
        for part, data in parts.items():
            file = os.path.join(HERE, '%s-%s.gz' % (name, part))
            with open(file, 'wb') as f, gzip.GzipFile('', 'wb', 9, f, 0) as packed:
                packed.write(data)
            if part != 'stream':
                text = subprocess.run([os.path.join(build, 'ferry-inspect'), 'show', os.path.basename(file)],
                                      cwd=HERE, check=True, stdout=subprocess.PIPE).stdout
                with open(file[:-3] + '.txt', 'wb') as f:
                    f.write(text)
    with open(sums_path, 'w', encoding='ascii') as f:
        f.writelines('%s  %s\n' % (sums[name], name) for name in sorted(sums))


if __name__ == '__main__':
    main()
