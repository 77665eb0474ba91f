# SPDX-License-Identifier: GPL-2.0-or-later
"""One emulator process with its monitor, its console and its messages."""
import os
import signal
import subprocess
import time

from .guest import Console
from .qmp import QMP, QMPClosed
from .qtest import QTest
from .tap import Failed, check


class VM:
    """A process of `emulator` running `guest`. Cleaned up, and looked at for crashes, when the
    case of `bench` ends."""

    def __init__(self, bench, name, emulator, guest=None, incoming=None, extra=(), paused=False,
                 pass_fds=(), qtest=False, qmp=True, limit_memory=None):
        self.name = name
        self.emulator = emulator
        self.guest = guest
        self.bench = bench
        self._qmp = None
        self._killed = False
        self._reported = False
        self.qmp_path = bench.path(name + '.qmp')
        self.stderr_path = bench.path(name + '.stderr')
        args = list(emulator.argv) + ['-name', name, '-nodefaults', '-no-user-config',
                                      '-display', 'none', '-serial', 'stdio']
        if guest:
            args += guest.args(emulator)
        if qmp:
            args += ['-qmp', 'unix:%s,server=on,wait=off' % self.qmp_path]
        if qtest:
            self.qtest_path = bench.path(name + '.qtest')
            args += ['-qtest', 'unix:%s,server=on,wait=off' % self.qtest_path,
                     '-qtest-log', 'none']
        if paused:
            args.append('-S')
        if incoming:
            args += ['-incoming', incoming]
        self.args = args + list(extra)
        read_end, write_end = os.pipe()
        console_path = bench.path(name + '.console')
        with open(console_path, 'wb') as out, open(self.stderr_path, 'wb') as err:
            self.process = subprocess.Popen(self.args, stdin=read_end, stdout=out, stderr=err,
                                            pass_fds=pass_fds, start_new_session=True,
                                            preexec_fn=_limiter(limit_memory))
        os.close(read_end)
        self._stdin = write_end
        self.console = Console(console_path, write_end)
        bench.at_end(self.close)
        bench.explain_with(self.explain)

    # -- monitor --

    @property
    def qmp(self):
        if self._qmp is None:
            self._qmp = QMP(self.qmp_path, alive=lambda: self.process.poll() is None)
        return self._qmp

    def command(self, name, /, **arguments):
        return self.qmp.command(name, **arguments)

    def hmp(self, line):
        return self.qmp.hmp(line)

    def status(self):
        return self.command('query-status')['status']

    def migration(self):
        return self.command('query-migrate')

    def connect_qtest(self):
        return QTest(self.qtest_path)

    def set_capabilities(self, **states):
        self.command('migrate-set-capabilities', capabilities=[
            {'capability': k.replace('_', '-'), 'state': v} for k, v in states.items()])

    def set_parameters(self, **values):
        self.command('migrate-set-parameters', **values)

    # -- life --

    def running(self):
        return self.process.poll() is None

    def stderr(self):
        with open(self.stderr_path, 'rb') as f:
            return f.read().decode('utf-8', 'replace')

    def kill(self, how=signal.SIGKILL):
        self._killed = True
        self.process.send_signal(how)
        if how == signal.SIGKILL:
            self.process.wait()

    def quit(self, timeout=20):
        """Ask the process to end and see that it does, cleanly."""
        try:
            self.qmp.raw(b'{"execute": "quit"}\n')
        except QMPClosed:
            pass
        code = self.wait_exit(timeout)
        check(code == 0, '%s: quit ended with status %d: %s', self.name, code, self.stderr())

    def wait_exit(self, timeout=20):
        """The exit status; a signal is a failure."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed('%s does not end within %g s' % (self.name, timeout)) from None
        self._look_for_crash()
        return code

    def _look_for_crash(self):
        code = self.process.returncode
        if self._reported:
            return
        if code is not None and code < 0 and not self._killed:
            self._reported = True
            raise Failed('%s crashed: %s' % (self.name, signal.Signals(-code).name))
        for line in self.stderr().splitlines():
            if 'Sanitizer' in line or 'runtime error:' in line:
                self._reported = True
                raise Failed('%s: %s' % (self.name, line))

    def close(self):
        """End the process whatever state it is in; complain if it had crashed."""
        if self._qmp:
            self._qmp.close()
        if self.process.poll() is None:
            self._killed = True
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                if not self._reported:
                    self._reported = True
                    os.close(self._stdin)
                    raise Failed('%s did not end within 5 s of SIGTERM' % self.name) from None
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
        self._look_for_crash()

    def explain(self):
        lines = ['%s: %s' % (self.name, ' '.join(self.args))]
        if self.process.poll() is not None:
            lines.append('  ended with status %d' % self.process.returncode)
        elif self._qmp:
            try:
                lines.append('  query-status: %s' % self._qmp.command('query-status'))
                lines.append('  query-migrate: %s' % self._qmp.command('query-migrate'))
            except Exception as error:
                lines.append('  monitor: %s' % error)
        if self._qmp:
            lines.append('  events: %s' % [(e['event'], e.get('data', {}).get('status', ''))
                                           for e in self._qmp.events[-20:]])
        lines += ['  stderr: ' + l for l in self.stderr().splitlines()[-15:]]
        lines += ['  console: ' + l for l in self.console.text().splitlines()[-6:]]
        return lines


def _limiter(memory):
    """In the child: no core files, and the address space limited if `memory` bytes are given."""
    def limit():
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    return limit
