#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of migration rely on themselves: the wire that loses nothing,
and that nobody leaves a process behind."""
import os
import socket
import subprocess
import time

from ferrytest import tap
from ferrytest.proxy import Proxy
from ferrytest.tap import Bench, Case, Failed, check, check_equal, main, wait_until


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


def leaves_something(bench):
    """What a case leaves running makes it fail, and is ended; whatever session it is in."""
    inner = Bench('inner')
    cat = subprocess.Popen(['setsid', '-w', 'sleep', '1000'])
    bench.at_end(cat.wait)
    patience, tap.LEAVE_TIME = tap.LEAVE_TIME, 0.3
    problem = inner.close()
    tap.LEAVE_TIME = patience
    os.environ[tap.MARK] = bench.dir
    os.rmdir(inner.dir)
    check(isinstance(problem, Failed) and 'sleep 1000' in str(problem), 'close: %s', problem)
    check(cat.wait(20) != 0, 'it was not ended')
    wait_until(lambda: not tap._marked(inner.dir), 20, 'the end of what was left')


main([
    Case('something is left running', leaves_something),
    Case('the last words of who closes', last_words),
    Case('one direction ends', half_closed),
])
