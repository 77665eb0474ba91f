# SPDX-License-Identifier: GPL-2.0-or-later
"""Run test cases and print their results as TAP. Used by every tests/*/test-*.py.

A case is a name and a function; the function raises Failed (or anything else) to fail, Skip to be
left out. Each case has its own folder, removed unless it failed and FERRYTEST_KEEP is set. A case
that leaves a process behind fails.

    test-x.py [--list] [--full] [--part=I/N] [PATTERN...]

Cases marked full run only with --full or FERRYTEST_FULL=1. Of the cases marked with a `rotate`
number N, one in N runs each time unless full; FERRYTEST_SEED chooses which (printed). --part takes
every N-th of what would run, from the I-th on.
"""
import fnmatch
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback


class Failed(Exception):
    """A claim that did not hold; the text says which."""


class Skip(Exception):
    """This case cannot run here; the text says why."""


def check(condition, text, *args):
    """Fail with the text unless the condition holds."""
    if not condition:
        raise Failed(text % args if args else text)


def need(condition, text, *args):
    """
    What a test needs beside Ferry (a real QEMU, a tool, a fetched guest): absent on a user's machine
    the case is skipped with the reason, where everything has to be there (CI is set) it fails.
    """
    if not condition:
        raise (Failed if os.environ.get('CI') else Skip)(text % args if args else text)


def check_equal(got, expected, what):
    if got != expected:
        raise Failed('%s: expected %r, got %r' % (what, expected, got))


def wait_until(condition, timeout, what, interval=0.01):
    """Wait until condition() is true and return its value; fail naming what was waited for."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed('timed out after %g s waiting for %s' % (timeout, what))
        time.sleep(interval)


class Case:
    """One test; `bench` in its function is the Bench below."""

    def __init__(self, name, function, full=False, rotate=0, timeout=90):
        self.name = name
        self.function = function
        self.full = full
        self.rotate = rotate
        self.timeout = timeout


MARK = 'FERRYTEST_CASE'
LEAVE_TIME = 10


def _marked(folder):
    """{pid: command line} of the processes that a case has started, in whatever session they are."""
    word = ('%s=%s' % (MARK, folder)).encode()
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/environ' % pid, 'rb') as f:
                ours = word in f.read().split(b'\0')
            if ours and int(pid) != os.getpid():
                with open('/proc/%s/cmdline' % pid, 'rb') as f:
                    found[int(pid)] = f.read().replace(b'\0', b' ').decode('utf-8', 'replace').strip()
        except OSError:
            pass    # gone, or somebody else's
    return found


class Bench:
    """What a case works with: a folder, and things to clean up and to explain a failure with."""

    def __init__(self, name):
        self.name = name
        self.dir = tempfile.mkdtemp(prefix='ferrytest-')
        os.environ[MARK] = self.dir     # whatever the case starts, and what that starts, has it
        self._cleanups = []
        self._explainers = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def at_end(self, function):
        """Call function() when the case is over; the last one added is called first."""
        self._cleanups.append(function)

    def explain_with(self, function):
        """function() returns lines to print if the case fails."""
        self._explainers.append(function)

    def note(self, text):
        print('# %s: %s' % (self.name, text.replace('\n', '\n# ')), flush=True)

    def explain(self):
        lines = []
        for function in self._explainers:
            try:
                lines += function()
            except Exception as error:  # an explanation must never hide the failure
                lines.append('(no explanation: %s)' % error)
        return lines

    def close(self):
        first = None
        for function in reversed(self._cleanups):
            try:
                function()
            except Exception as error:
                first = first or error
        return first or self._leftovers()

    def _leftovers(self):
        """Ends what the case has left running; a Failed that names it, or None."""
        until = time.monotonic() + LEAVE_TIME
        left = _marked(self.dir)
        while left and time.monotonic() < until:    # what was asked to end needs its time
            time.sleep(0.05)
            left = _marked(self.dir)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return Failed('left running: ' + ', '.join(left.values())) if left else None


class _TimeLimit:
    """Interrupts the main thread with Failed when a case takes too long."""

    def __init__(self, seconds):
        self.seconds = seconds

    def _expired(self, _signum, _frame):
        raise Failed('the case took longer than %d s' % self.seconds)

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._expired)
            signal.alarm(self.seconds)

    def __exit__(self, *_):
        if threading.current_thread() is threading.main_thread():
            signal.alarm(0)


def _choose(cases, full, patterns, seed):
    chosen = []
    for number, case in enumerate(cases):
        if patterns:
            if any(fnmatch.fnmatch(case.name, p) for p in patterns):
                chosen.append(case)
        elif full or (not case.full and (case.rotate < 2 or (number + seed) % case.rotate == 0)):
            chosen.append(case)
    return chosen


def _run_case(number, case):
    bench = Bench(case.name)
    start = time.monotonic()
    failure = skip = None
    try:
        with _TimeLimit(case.timeout):
            case.function(bench)
    except Skip as reason:
        skip = str(reason)
    except Failed as error:
        failure = str(error)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]
        failure = '%s: %s\nat %s' % (type(error).__name__, error, ' < '.join(
            '%s:%d' % (os.path.basename(f.filename), f.lineno) for f in reversed(frames)))
    except BaseException:  # we are being stopped: leave nothing running
        bench.close()
        shutil.rmtree(bench.dir, ignore_errors=True)
        raise
    explanation = bench.explain() if failure else []
    problem = bench.close()
    if problem and not failure and not skip:
        failure = str(problem)
        explanation = bench.explain()
    took = '# %.2f s' % (time.monotonic() - start)
    if failure:
        print('not ok %d - %s %s' % (number, case.name, took))
        for line in failure.splitlines() + explanation:
            print('#   %s' % line)
    elif skip is not None:
        print('ok %d - %s # SKIP %s' % (number, case.name, skip))
    else:
        print('ok %d - %s %s' % (number, case.name, took))
    sys.stdout.flush()
    if failure and os.environ.get('FERRYTEST_KEEP'):
        print('# kept %s' % bench.dir, flush=True)
    else:
        shutil.rmtree(bench.dir, ignore_errors=True)
    return not failure


def main(cases):
    """Run the cases the command line asks for; ends the process."""
    args = sys.argv[1:]
    full = '--full' in args or os.environ.get('FERRYTEST_FULL') == '1'
    patterns = [a for a in args if not a.startswith('--')]
    seed = int(os.environ.get('FERRYTEST_SEED', int(time.time() / 600)))
    if '--list' in args:
        for case in cases:
            print(case.name + (' (full)' if case.full else ''))
        sys.exit(0)
    chosen = _choose(cases, full, patterns, seed)
    for arg in args:
        if arg.startswith('--part='):
            part, parts = (int(n) for n in arg[7:].split('/'))
            chosen = chosen[part - 1::parts]
    # Meson stops a test with SIGTERM: leave through the clean-up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print('TAP version 13')
    if not chosen:
        print('1..0 # SKIP nothing chosen')
        sys.exit(0)
    print('1..%d' % len(chosen))
    print('# seed %d' % seed, flush=True)
    good = True
    for number, case in enumerate(chosen, 1):
        good = _run_case(number, case) and good
    sys.exit(0 if good else 1)
