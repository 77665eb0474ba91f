#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""zero-copy-send: parallel channels over TCP whose pages the kernel sends from where they are; what
it goes with, and what the kernel allows. The loopback copies after all, and says so."""
import resource
import subprocess

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import Move, force_passes, wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, Failed, check, check_equal, main, need, wait_until

EMULATOR = emulators.subject()
ONLY = 'Zero copy only available for non-compressed non-TLS multifd migration'


class Ordinary:
    """The emulator as a user who may not lock more memory than the limit says."""

    def __init__(self):
        self.argv = ['unshare', '-Ur'] + EMULATOR.argv

    def __getattr__(self, name):
        return getattr(EMULATOR, name)


def crossed(count, channel=channels.TCP4, **caps):
    """A guest that writes all the while arrives as it was."""
    def run(bench):
        move = Move(bench, EMULATOR, Bare('checker', harts=2, size='2M'), channel(bench),
                    caps={'multifd': True, 'zero_copy_send': True, **caps},
                    dst_caps={'multifd': True},
                    params={'multifd_channels': count}, dst_params={'multifd_channels': count})
        force_passes(move)
        move.run()
        ram = move.info['ram']
        bench.note('missed %d' % ram['dirty-sync-missed-zero-copy'])
        check(ram['dirty-sync-missed-zero-copy'] > 0, 'the loopback has not copied: %s', ram)
        check(ram['multifd-bytes'] > ram['normal'] * 4096, 'not all went over the channels: %s', ram)
    return run


def refused(vm, words, name, **arguments):
    try:
        getattr(vm, name)(**arguments)
    except QMPError as error:
        check_equal(error.desc, words, '%s %s' % (name, arguments))
        return
    raise Failed('%s %s was taken' % (name, arguments))


def rules(bench):
    """QEMU's, in its words."""
    vm = VM(bench, 'source', EMULATOR, Bare('checker', size='1M'))
    refused(vm, ONLY, 'set_capabilities', zero_copy_send=True)
    vm.set_capabilities(multifd=True)
    vm.set_capabilities(zero_copy_send=True)
    refused(vm, ONLY, 'set_parameters', multifd_compression='zlib')
    refused(vm, ONLY, 'set_capabilities', multifd=False)
    vm.set_capabilities(zero_copy_send=False)
    vm.set_parameters(multifd_compression='zlib')
    refused(vm, ONLY, 'set_capabilities', zero_copy_send=True)


def not_unix(bench):
    """A socket that cannot do it."""
    source, there = [VM(bench, name, EMULATOR, Bare('checker', size='1M'), incoming=incoming)
                     for name, incoming in (('source', None), ('destination', 'defer'))]
    channel = channels.Unix(bench)
    there.set_capabilities(multifd=True)
    there.command('migrate-incoming', uri=channel.incoming, exit_on_error=False)
    wait_alive(source)
    source.set_capabilities(multifd=True, zero_copy_send=True)
    source.command('migrate', uri=channel.outgoing)
    text = wait_migration(source, ['failed'])['error-desc']
    bench.note(text)
    check('Zero copy send feature not detected in host kernel' in text, 'the message is: %s', text)
    check_equal(source.status(), 'running', 'run state')


def limited(kib, words):
    """The kernel may lock so much only."""
    def run(bench):
        need(subprocess.run(['unshare', '-Ur', 'true'], check=False, stderr=subprocess.DEVNULL).returncode
             == 0, 'no users of our own here')
        guest = Bare('checker', size='4M')
        source = VM(bench, 'source', Ordinary(), guest)
        there = VM(bench, 'destination', EMULATOR, guest, incoming='defer')
        channel = channels.TCP4(bench)
        for vm in (source, there):
            vm.set_capabilities(multifd=True)
            vm.set_parameters(multifd_channels=4)
        there.command('migrate-incoming', uri=channel.incoming, exit_on_error=False)
        wait_alive(source)
        resource.prlimit(source.process.pid, resource.RLIMIT_MEMLOCK, (kib << 10, kib << 10))
        source.set_capabilities(zero_copy_send=True)
        source.command('migrate', uri=channel.outgoing)
        info = wait_migration(source, ['failed' if words else 'completed'])
        bench.note(info.get('error-desc', 'completed'))
        if words:
            check(words in info['error-desc'], 'the message is: %s', info['error-desc'])
            check_equal(source.status(), 'running', 'run state')
            lines = len(source.console.statuses())
            source.console.wait_statuses(lines + 2)[-1].check_clean('source')
        else:
            wait_until(lambda: there.status() == 'running', 20, 'the guest to arrive')
    return run


def cancelled(bench):
    """In the middle; then it goes after all."""
    move = Move(bench, EMULATOR, Bare('checker', size='4M'), channels.TCP4(bench),
                caps={'multifd': True, 'zero_copy_send': True}, dst_caps={'multifd': True},
                params={'max_bandwidth': 4 << 20})
    move.start_source()
    move.start_destination()
    move.start_migration()
    wait_until(lambda: move.source.migration().get('ram', {}).get('multifd-bytes', 0) > 1 << 20, 30, 'pages')
    move.source.command('migrate_cancel')
    wait_migration(move.source, ['cancelled'])
    move.destination.kill()
    move.names = ('source', 'again')
    move.params['max_bandwidth'] = 0
    move.channel = channels.TCP4(bench)
    move.start_destination()
    move.start_migration()
    move.finish()


def cases():
    for count in (1, 2, 8):
        yield Case('%d channels' % count, crossed(count))
    yield Case('2 channels, return path', crossed(2, return_path=True))
    yield Case('rules', rules)
    yield Case('a unix socket', not_unix)
    yield Case('a limit below a packet', limited(256, 'the kernel may lock 256 KiB for this process'))
    yield Case('a limit that four channels share', limited(768, None))
    yield Case('cancelled', cancelled)


if __name__ == '__main__':
    main(list(cases()))
