# SPDX-License-Identifier: GPL-2.0-or-later
"""A small QMP client over a unix socket; one thread only."""
import json
import os
import socket
import time


class QMPError(Exception):
    """An error answer; .klass and .desc are QMP's."""

    def __init__(self, command, error):
        super().__init__('%s: %s' % (command, error.get('desc')))
        self.klass = error.get('class')
        self.desc = error.get('desc')


class QMPClosed(Exception):
    """The other side hung up."""


class QMP:
    def __init__(self, path, timeout=20, alive=lambda: True):
        """Connect to the socket, waiting for it to appear while alive() is true."""
        self.events = []
        self.timeout = timeout
        self._buffer = b''
        end = time.monotonic() + timeout
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(path)
                break
            except OSError as error:
                self._socket.close()
                if not alive():
                    raise QMPClosed('the process ended before its monitor was there') from error
                if time.monotonic() > end:
                    raise QMPClosed('no monitor at %s: %s' % (path, error)) from error
                time.sleep(0.002)
        self.greeting = self._read(timeout)
        self.command('qmp_capabilities')

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()

    def _read(self, timeout):
        """The next message of any kind."""
        end = time.monotonic() + timeout
        while b'\n' not in self._buffer:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError('no answer from the monitor within %g s' % timeout)
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except socket.timeout:
                continue
            except OSError as error:
                raise QMPClosed(str(error)) from error
            if not data:
                raise QMPClosed('the monitor connection was closed')
            self._buffer += data
        line, self._buffer = self._buffer.split(b'\n', 1)
        if not line.strip():
            return self._read(max(0.001, end - time.monotonic()))
        return json.loads(line)

    def raw(self, data, fds=()):
        """Send bytes as they are, with file descriptors."""
        try:
            if fds:
                socket.send_fds(self._socket, [data], list(fds))
            else:
                self._socket.settimeout(self.timeout)
                self._socket.sendall(data)
        except OSError as error:
            raise QMPClosed(str(error)) from error

    def answer(self, timeout=None):
        """The next message that is not an event."""
        while True:
            message = self._read(timeout or self.timeout)
            if 'event' not in message:
                return message
            self.events.append(message)

    def command(self, name, /, fds=(), **arguments):
        """Run a command; underscores in argument names stand for dashes. Raises QMPError."""
        arguments = {k.replace('_', '-'): v for k, v in arguments.items()}
        return self.execute(name, arguments, fds)

    def execute(self, name, arguments=None, fds=()):
        request = {'execute': name}
        if arguments:
            request['arguments'] = arguments
        self.raw(json.dumps(request).encode() + b'\n', fds)
        message = self.answer()
        if 'error' in message:
            raise QMPError(name, message['error'])
        return message['return']

    def hmp(self, line):
        """What the human monitor prints for the line."""
        return self.execute('human-monitor-command', {'command-line': line}).replace('\r\n', '\n')

    def poll_events(self):
        """Take in what has arrived."""
        while True:
            try:
                message = self._read(0.0005)
            except (TimeoutError, QMPClosed):
                return self.events
            if 'event' in message:
                self.events.append(message)

    def wait_event(self, name, timeout=20, match=lambda data: True):
        """The first event of this name, seen or to come, whose data match."""
        end = time.monotonic() + timeout
        seen = 0
        while True:
            for event in self.events[seen:]:
                seen += 1
                if event['event'] == name and match(event.get('data', {})):
                    return event
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError('no event %s within %g s' % (name, timeout))
            message = self._read(left)
            if 'event' in message:
                self.events.append(message)

    def send_fd(self, name, fd):
        """getfd: hand over the descriptor under a name; it stays open here, too."""
        self.command('getfd', fds=[fd], fdname=name)


def statuses(events):
    """The states that MIGRATION events tell, in order."""
    return [e['data']['status'] for e in events if e['event'] == 'MIGRATION']


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
