# SPDX-License-Identifier: GPL-2.0-or-later
"""A wire between two processes that can be cut, stalled, slowed and listened to."""
import ctypes
import os
import select
import socket
import threading
import time


def hung_up(s):
    """Nobody is there any more, as opposed to: has ended its half."""
    poll = select.poll()
    poll.register(s, 0)
    return bool(poll.poll(0))


class _Instruction(ctypes.Structure):
    _fields_ = [('code', ctypes.c_uint16), ('jt', ctypes.c_uint8), ('jf', ctypes.c_uint8),
                ('k', ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_uint16), ('filter', ctypes.POINTER(_Instruction))]


def make_silent(s):
    """From now on no packet that is sent to this TCP socket arrives, and none is acknowledged: to its
    peer, the host is gone."""
    drop = _Instruction(0x06, 0, 0, 0)      # return 0: keep nothing of the packet
    s.setsockopt(socket.SOL_SOCKET, 26, bytes(_Program(1, ctypes.pointer(drop))))


class Proxy:
    """Listens on a unix or TCP socket; passes each connection on to another address. Like a wire: each
    direction ends by itself, and what was said before the other side closed still arrives.

    One thread, which owns the sockets and ends with close(). The switches below may be set at any
    time from outside: they are plain values it looks at between two reads.
    """

    def __init__(self, bench, target, capture=None, tcp=False):
        """`target`: a path, or (host, port). `capture`: a file for what goes towards it."""
        self.target = target
        self.cut_after = None  # bytes towards the target, then both sides are closed
        self.cut_at = None  # bytes from the target that are not passed on; then both are closed
        self.silent_at = None  # the same, but nothing passes from then on
        self.stalled = False  # nothing passes, but the proxy's host is there
        self.dead = False  # nothing passes, and nobody is there (TCP only); for good
        self.rate = None  # bytes per second
        self.replace = None  # (old, new) of equal length, in what goes towards the target
        self._held = b''
        self.passed = 0
        self.broken = False
        self._capture = open(capture, 'wb') if capture else None
        if tcp:
            self._listener = socket.socket()
            self._listener.bind(('127.0.0.1', 0))
            self.uri = 'tcp:127.0.0.1:%d' % self._listener.getsockname()[1]
        else:
            path = bench.path('proxy-%d.sock' % id(self))
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self.uri = 'unix:' + path
        self._listener.listen(4)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        bench.at_end(self.close)

    def close(self):
        if self._thread:
            os.write(self._stop_write, b'x')
            self._thread.join(10)
            self._thread = None
            self._listener.close()
            os.close(self._stop_read)
            os.close(self._stop_write)
            if self._capture:
                self._capture.close()

    def _connect(self):
        if isinstance(self.target, str):
            out = socket.socket(socket.AF_UNIX)
            out.connect(self.target)
            return out
        return socket.create_connection(self.target)

    def _loop(self):
        peers = {}  # socket -> (other, towards the target?)
        ended = set()  # those that have said their last
        try:
            while True:
                if self.dead and not self.stalled:
                    self.stalled = True
                    for s in peers:
                        make_silent(s)
                ready = self._wait(peers, ended)
                if self._stop_read in ready:
                    return
                for s in ready:
                    if s is self._listener:
                        self._join(peers)
                    elif s in peers and not self._carry(s, *peers[s], ended):
                        self._drop(peers, s, ended)
        finally:
            for s in list(peers):
                s.close()

    def _wait(self, peers, ended):
        watched = [self._stop_read, self._listener]
        if not self.stalled:
            watched += [s for s in peers if s not in ended]
        return select.select(watched, [], [], 0.02)[0]

    def _join(self, peers):
        inner, _ = self._listener.accept()
        try:
            outer = self._connect()
        except OSError:
            inner.close()
            return
        peers[inner] = (outer, True)
        peers[outer] = (inner, False)

    def _carry(self, source, to, forward, ended):
        """Move what there is, or the end of it; False when the connection is over."""
        try:
            data = self._read(source, forward)
            if data is None or (not data and (to in ended or hung_up(source))):
                return False
            if not data:
                ended.add(source)
                to.shutdown(socket.SHUT_WR)
                return True
        except OSError:
            return False
        try:
            self._write(to, data, forward)
        except OSError:
            # Who reads no more may have said why before: a wire does not lose that.
            self._deliver_last(to, source, not forward)
            return False
        return True

    def _deliver_last(self, source, to, forward):
        try:
            while select.select([source], [], [], 0)[0]:
                data = self._read(source, forward)
                if not data:
                    return
                self._write(to, data, forward)
        except OSError:
            pass  # nobody listens there either

    def _read(self, source, forward):
        """What is to be passed on, b'' at the end; None: the connection is to be cut here."""
        limit = 65536
        if forward and self.cut_after is not None:
            limit = min(limit, self.cut_after - self.passed)
            if limit <= 0:
                self.broken = True
                return None
        data = source.recv(limit)
        if not forward and self.cut_at and self.cut_at in data:
            return None
        return data

    def _write(self, to, data, forward):
        if not forward and self.silent_at and self.silent_at in data:
            self.stalled = True
            return
        if forward and self.replace:
            data = self._changed(data)
        to.sendall(data)
        if not forward:
            return
        self.passed += len(data)
        if self._capture:
            self._capture.write(data)
            self._capture.flush()
        if self.rate:
            time.sleep(len(data) / self.rate)

    def _changed(self, data):
        """The data with the replacement; the beginning of a match at the end waits for the rest."""
        old, new = self.replace
        data = (self._held + data).replace(old, new)
        keep = next((n for n in range(len(old) - 1, 0, -1) if data.endswith(old[:n])), 0)
        self._held = data[len(data) - keep:]
        return data[:len(data) - keep]

    @staticmethod
    def _drop(peers, s, ended):
        for end in (s, peers[s][0]):
            peers.pop(end, None)
            ended.discard(end)
            end.close()
