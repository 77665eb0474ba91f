# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves in which the guest goes before its memory does."""
from .move import Move, compare_ram, wait_loaded, wait_migration
from .qmp import QMPError
from .tap import check, check_equal, wait_until

AFTER_SWITCH = ('postcopy-active', 'postcopy-paused', 'completed')


def listen_again(destination, uri='tcp:127.0.0.1:0', timeout=60):
    """migrate-recover, however far the destination is with noticing that the last attempt is over: what
    says postcopy-paused may be from before it. Refused is it only while an attempt is under way there."""
    def accepted():
        wait_migration(destination, ('postcopy-paused',), timeout)
        try:
            destination.command('migrate-recover', uri=uri)
        except QMPError as error:
            check('can only be run when postcopy is paused' in error.desc, '%s', error.desc)
            return False
        return True
    wait_until(accepted, timeout, 'migrate-recover to be accepted')


class Postcopy(Move):
    """Precopy at `slow` bytes a second, so that it cannot end by itself, the switch, and the rest
    at `rest` bytes a second (0: as fast as it goes)."""

    def __init__(self, *args, slow=8 << 20, rest=0, preempt=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.dst_caps = {'postcopy_ram': True, **self.dst_caps}
        self.caps = {'postcopy_ram': True, **({'postcopy_preempt': True} if preempt else {}),
                     **self.caps}
        self.params = {'max_bandwidth': slow, 'max_postcopy_bandwidth': rest, **self.params}

    def switch(self):
        """Let precopy send something, then switch."""
        def begun():
            info = self.source.migration()
            check(info.get('status') in ('setup', 'active'), 'before the switch: %s', info)
            return info['status'] == 'active' and info['ram']['transferred'] > 64 << 10
        wait_until(begun, 60, 'precopy to begin')
        self.source.command('migrate-start-postcopy')
        wait_migration(self.destination, AFTER_SWITCH)

    def await_paused(self, timeout=60):
        """Wait until both have noticed."""
        for vm in (self.source, self.destination):
            wait_migration(vm, ('postcopy-paused',), timeout)

    def recover(self, uri):
        """Both are paused; go on over another connection."""
        listen_again(self.destination, uri)
        if uri.startswith('tcp:'):
            listens = wait_until(lambda: self.destination.migration().get('socket-address'), 20,
                                 'the destination to listen')
            uri = 'tcp:127.0.0.1:' + listens[0]['port']
        self.source.command('migrate', uri=uri, resume=True)
        wait_migration(self.destination, ('postcopy-active', 'completed'))

    def run(self):
        self.start_source()
        self.start_destination()
        self.start_migration()
        self.switch()
        if self.during:
            self.during(self.source, self.destination)
        self.finish()
        return self

    def finish(self):
        self.info = wait_migration(self.source)
        wait_migration(self.destination)
        wait_loaded(self.destination)
        if self.compare:
            compare_ram(self.bench, self.source, self.destination)
            self.destination.command('cont')
        wait_until(lambda: self.destination.status() == 'running', 5, 'destination to run')
        self.journey.prove(self.destination)
        check_equal(self.source.status(), 'postmigrate', 'run state of the source afterwards')
