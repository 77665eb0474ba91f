#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of migration rely on themselves: the wire that loses nothing."""
import socket
import time

from ferrytest.proxy import Proxy
from ferrytest.tap import Case, check_equal, main


def joined(bench):
    """A proxy, and the two ends of a connection through it."""
    path = bench.path('target.sock')
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        proxy = Proxy(bench, path)
        near = socket.socket(socket.AF_UNIX)
        bench.at_end(near.close)
        near.connect(proxy.uri[5:])
        far, _ = listener.accept()
    bench.at_end(far.close)
    for end in (near, far):
        end.settimeout(20)
    return proxy, near, far


def last_words(bench):
    """The far end answers and closes while there is still something under way to it."""
    proxy, near, far = joined(bench)
    near.sendall(b'state')
    check_equal(far.recv(100), b'state', 'what came')
    proxy.stalled = True
    time.sleep(0.2)         # it looks every 20 ms; if it was slower the answer passes at once
    far.sendall(b'no: why')
    far.close()
    near.sendall(b'ping')
    proxy.stalled = False
    check_equal(near.recv(100), b'no: why', 'the answer')
    check_equal(near.recv(100), b'', 'what follows it')


def half_closed(bench):
    """One direction ends; the other goes on."""
    _, near, far = joined(bench)
    near.sendall(b'all')
    near.shutdown(socket.SHUT_WR)
    check_equal(far.recv(100), b'all', 'what came')
    check_equal(far.recv(100), b'', 'the end')
    far.sendall(b'yes')
    far.close()
    check_equal(near.recv(100), b'yes', 'the answer')
    check_equal(near.recv(100), b'', 'what follows it')


main([
    Case('the last words of who closes', last_words),
    Case('one direction ends', half_closed),
])
