# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the -qtest line protocol: reads and writes guest memory from outside."""
import base64
import socket
import time


class QTest:
    def __init__(self, path, timeout=10):
        end = time.monotonic() + timeout
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(path)
                break
            except OSError:
                self._socket.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.005)
        self._socket.settimeout(timeout)
        self._file = self._socket.makefile('rwb')

    def close(self):
        self._file.close()
        self._socket.close()

    def command(self, line):
        """Send one line; the words after OK. Raises RuntimeError for anything but OK."""
        self._file.write(line.encode() + b'\n')
        self._file.flush()
        while True:
            answer = self._file.readline().decode().strip()
            if not answer.startswith('IRQ'):
                break
        words = answer.split()
        if not words or words[0] != 'OK':
            raise RuntimeError('qtest: %s: %s' % (line[:60], answer or 'connection closed'))
        return words[1:]

    def write(self, address, data):
        self.command('write 0x%x 0x%x 0x%s' % (address, len(data), data.hex()))

    def b64write(self, address, data):
        self.command('b64write 0x%x 0x%x %s' %
                     (address, len(data), base64.b64encode(data).decode()))

    def memset(self, address, size, value):
        self.command('memset 0x%x 0x%x 0x%x' % (address, size, value))

    def writeq(self, address, value):
        self.command('writeq 0x%x 0x%x' % (address, value))

    def readq(self, address):
        return int(self.command('readq 0x%x' % address)[0], 0)

    def read(self, address, size):
        return bytes.fromhex(self.command('read 0x%x 0x%x' % (address, size))[0][2:])
