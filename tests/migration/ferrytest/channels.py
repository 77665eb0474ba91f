# SPDX-License-Identifier: GPL-2.0-or-later
"""How a source reaches a destination. A channel knows both URIs and what has to be set up."""
import os
import socket
import subprocess

from . import emulators
from .tap import check_equal


class Channel:
    """`incoming` goes to -incoming, `outgoing` to migrate. `live`: both run at the same time;
    otherwise the destination is started when the source has finished."""
    live = True

    def __init__(self, bench):
        self.bench = bench
        self.incoming = self.outgoing = None

    def destination_fds(self):
        return ()

    def source_fds(self):
        return ()

    def before_migrate(self, source):
        """Called when both processes run."""

    def destination_started(self):
        """Called when the destination has inherited its descriptors."""


def free_port(family, host):
    with socket.socket(family) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class TCP4(Channel):
    name = 'tcp'

    def __init__(self, bench):
        super().__init__(bench)
        self.incoming = self.outgoing = 'tcp:127.0.0.1:%d' % free_port(socket.AF_INET, '127.0.0.1')


class TCP6(Channel):
    name = 'tcp6'

    def __init__(self, bench):
        super().__init__(bench)
        self.incoming = self.outgoing = 'tcp:[::1]:%d' % free_port(socket.AF_INET6, '::1')


class Unix(Channel):
    name = 'unix'

    def __init__(self, bench):
        super().__init__(bench)
        self.incoming = self.outgoing = 'unix:' + bench.path('migrate-%d.sock' % id(self))


class FdName(Channel):
    """A connected socket, handed to the source by getfd and inherited by the destination."""
    name = 'fd-name'

    def __init__(self, bench):
        super().__init__(bench)
        self._ours, self._theirs = socket.socketpair()
        self.incoming = 'fd:%d' % self._theirs.fileno()
        self.outgoing = 'fd:wire'
        bench.at_end(self._close)

    def destination_fds(self):
        return (self._theirs.fileno(),)

    def destination_started(self):
        self._theirs.close()

    def before_migrate(self, source):
        source.qmp.send_fd('wire', self._ours.fileno())
        self._ours.close()

    def _close(self):
        self._ours.close()
        self._theirs.close()


class FdNumber(FdName):
    """Both sides inherit their end and know it by its number."""
    name = 'fd-number'

    def __init__(self, bench):
        super().__init__(bench)
        self.outgoing = 'fd:%d' % self._ours.fileno()

    def source_fds(self):
        return (self._ours.fileno(),)

    def before_migrate(self, source):
        self._ours.close()


class Exec(Channel):
    """Two shell commands with a pipe between them."""
    name = 'exec'

    def __init__(self, bench):
        super().__init__(bench)
        fifo = bench.path('pipe-%d' % id(self))
        os.mkfifo(fifo)
        self.incoming = 'exec:cat ' + fifo
        self.outgoing = 'exec:cat > ' + fifo


class ExecFile(Channel):
    """Saved through a packing command, restored through the other one."""
    name = 'exec-gzip'
    live = False

    def __init__(self, bench):
        super().__init__(bench)
        path = bench.path('state-%d.gz' % id(self))
        self.incoming = 'exec:gzip -dc ' + path
        self.outgoing = 'exec:gzip -c1 > ' + path


class File(Channel):
    name = 'file'
    live = False
    offset = 0

    def __init__(self, bench):
        super().__init__(bench)
        self.path = bench.path('state-%d' % id(self))
        self.incoming = self.outgoing = 'file:' + self.path
        if self.offset:
            with open(self.path, 'wb') as f:
                f.write(b'header of someone else' * 1000)
            self.incoming = self.outgoing = 'file:%s,offset=%d' % (self.path, self.offset)


class FileOffset(File):
    name = 'file-offset'
    offset = 1 << 20


class Converted(File):
    """A file that ferry-inspect makes another layout of before it is restored."""
    name = 'converted'

    def __init__(self, bench, layout, options=()):
        super().__init__(bench)
        self.layout, self.options = layout, options
        self.converted = bench.path('converted-%d' % id(self))
        self.incoming = 'file:' + self.converted

    def destination_started(self):
        done = subprocess.run([os.path.join(emulators.BUILD, 'ferry-inspect'), 'convert', self.path,
                               self.converted, '--to', self.layout, *self.options], check=False,
                              capture_output=True, text=True, timeout=120)
        check_equal(done.returncode, 0, 'ferry-inspect convert: ' + done.stdout + done.stderr)


ALL = {c.name: c for c in (TCP4, TCP6, Unix, FdName, FdNumber, Exec, ExecFile, File, FileOffset)}
