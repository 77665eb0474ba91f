#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user can set: changed while a migration runs, asked back, and tried wrong in every way."""
import json
import os
import re
import socket
import subprocess
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import Journey, Move, force_passes, wait_alive, wait_migration
from ferrytest.process import VM
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, Failed, Skip, check, check_equal, main, wait_until

EMULATOR = emulators.subject()


def only_ferry(reason):
    if not EMULATOR.is_ferry:
        raise Skip(reason)


def bandwidth_changes(bench):
    """Each new max-bandwidth shows in what passes within the next second."""
    guest = Bare('loadgen', size='16M', memory=64)
    move = Move(bench, EMULATOR, guest, channels.Unix(bench),
                params={'max_bandwidth': 4 << 20, 'downtime_limit': 1})

    def rate(source):
        def read():
            return source.migration()['ram']['transferred'], time.monotonic()
        a, t = read()
        time.sleep(0.8)
        b, u = read()
        return (b - a) / (u - t)

    def during(source, _destination):
        wait_migration(source, ['active'])
        # The first pass ends with zero pages, which are nothing on the wire.
        source.set_parameters(max_bandwidth=64 << 20)
        wait_until(lambda: source.migration()['ram']['dirty-sync-count'] >= 3, 60, 'pass 3')
        for limit in (4 << 20, 16 << 20, 8 << 20):
            source.set_parameters(max_bandwidth=limit)
            time.sleep(0.3)
            got = rate(source)
            check(0.5 * limit < got < 1.3 * limit, 'max-bandwidth %d: %d bytes/s passed', limit,
                  got)
        source.set_parameters(max_bandwidth=0, downtime_limit=5000)

    move.during = during
    move.run()


def never_fits(source, yes=True):
    """With deltas a migration may well end by itself: not with one byte per second to stop the guest by.
    QEMU, which counts whole pages, needs no such thing, and 7.2 does not know it."""
    if EMULATOR.is_ferry:
        source.set_parameters(avail_switchover_bandwidth=int(yes))


def cache_resized(bench):
    """The page cache grows and shrinks while the migration runs, and keeps working."""
    guest = Bare('checker', size='8M', memory=64, regs=0)
    move = Move(bench, EMULATOR, guest, channels.Unix(bench), caps={'xbzrle': True},
                params={'xbzrle_cache_size': 1 << 20})
    force_passes(move, passes=3)
    first = move.during

    def during(source, destination):
        # Only when the first passes are over does the size matter.
        never_fits(source)
        wait_migration(source, ['active'])
        source.set_parameters(max_bandwidth=32 << 20)
        wait_until(lambda: source.migration()['ram']['dirty-sync-count'] >= 4, 60, 'pass 4')
        for size in (32 << 20, 2 << 20, 64 << 20, 16 << 20):
            source.set_parameters(xbzrle_cache_size=size)
            check_equal(source.command('query-migrate-parameters')['xbzrle-cache-size'], size,
                        'xbzrle-cache-size')
            if EMULATOR.has_historic:
                check_equal(source.command('query-migrate-cache-size'), size,
                            'query-migrate-cache-size')
            info = source.migration()
            check_equal(info['xbzrle-cache']['cache-size'], size, 'cache-size in query-migrate')
            before = info['ram']['dirty-sync-count']
            wait_until(lambda: source.migration()['ram']['dirty-sync-count'] > before, 60,
                       'the next pass')
        never_fits(source, False)
        first(source, destination)

    move.during = during
    move.run()
    check(move.info['xbzrle-cache']['pages'] > 0, 'no page went as a delta: %s', move.info)


def cache_grown_hits(bench):
    """With a cache far too small nearly nothing hits; after it has grown nearly all does. QEMU
    takes the number but keeps the old cache."""
    only_ferry('QEMU keeps the old cache')
    guest = Bare('loadgen', size='16M', memory=64)
    source = VM(bench, 'source', EMULATOR, guest)
    wait_alive(source)
    destination = VM(bench, 'destination', EMULATOR, guest, incoming='defer', paused=True)
    channel = channels.Unix(bench)
    for vm in (source, destination):
        vm.set_capabilities(xbzrle=True)
    destination.command('migrate-incoming', uri=channel.incoming)
    source.set_parameters(xbzrle_cache_size=1 << 20, max_bandwidth=64 << 20, downtime_limit=1)
    never_fits(source)
    source.command('migrate', uri=channel.outgoing)

    def counters():
        info = source.migration()
        if 'ram' not in info:
            return (0, 0, 0)    # still in setup
        return (info['ram']['dirty-sync-count'], info['xbzrle-cache']['pages'],
                info['xbzrle-cache']['cache-miss'])

    def window():
        """Share of delta pages in two whole passes."""
        start = counters()
        wait_until(lambda: counters()[0] >= start[0] + 2, 60, 'two passes')
        end = counters()
        delta, missed = end[1] - start[1], end[2] - start[2]
        return delta / max(1, delta + missed)

    wait_migration(source, ['active'])
    wait_until(lambda: counters()[0] >= 4, 60, 'pass 4')
    small = window()
    source.set_parameters(xbzrle_cache_size=64 << 20)
    here = counters()[0]
    wait_until(lambda: counters()[0] >= here + 3, 60, 'the larger cache to fill')
    large = window()
    check(small < 0.3, 'a 1 MiB cache already hits %.2f of a 16 MiB load', small)
    check(large > 0.9, 'a 64 MiB cache hits only %.2f of a 16 MiB load', large)
    never_fits(source, False)
    source.set_parameters(max_bandwidth=0, downtime_limit=5000)
    wait_migration(source)


def capabilities_while_listening(bench):
    """A destination that listens takes capabilities until the source has come, and means them."""
    guest = Bare('loadgen', size='4M', memory=32)
    source = VM(bench, 'source', EMULATOR, guest)
    journey = Journey()
    journey.vms.append(source)
    wait_alive(source)
    channel = channels.Unix(bench)
    destination = VM(bench, 'destination', EMULATOR, guest, incoming=channel.incoming)
    move = Move(bench, EMULATOR, guest, channel)
    force_passes(move)
    for vm in (source, destination):
        vm.set_capabilities(xbzrle=True, events=True)
        vm.set_parameters(**move.params)
    check_equal(destination.hmp('migrate_set_capability return-path off'), '', 'in HMP')
    destination.qmp.poll_events()
    source.command('migrate', uri=channel.outgoing)
    destination.qmp.wait_event('MIGRATION', match=lambda d: d['status'] == 'active')
    error = None
    try:
        destination.set_capabilities(xbzrle=False)
    except QMPError as e:
        error = e.desc
    check(error and 'in progress' in error, 'changed while the stream comes: %s', error)
    move.during(source, destination)
    wait_migration(source)
    journey.prove(destination)
    # One that cannot work over a socket shows that what counts is what stands when the peer comes.
    wrong = VM(bench, 'wrong', EMULATOR, guest, incoming=channel.incoming)
    wrong.set_capabilities(mapped_ram=True)
    destination.set_capabilities(events=True)
    destination.command('migrate', uri=channel.outgoing)
    check_equal(wrong.wait_exit(), 1, 'exit status')
    check('seekable transport' in wrong.stderr(), 'said by the destination: %s', wrong.stderr())


def switchover_ack(bench):
    """A running guest is not stopped before the destination has agreed; without the capability
    it never does, and the source says so. A guest that stands still goes without."""
    only_ferry('the reason is asked of info migrate')
    door = 'unix:' + bench.path('door')
    source = VM(bench, 'source', EMULATOR, guest=Bare('checker', size='2M'))
    wait_alive(source)
    source.set_capabilities(return_path=True, switchover_ack=True, events=True)
    deaf = VM(bench, 'deaf', EMULATOR, guest=source.guest, incoming=door)
    check_equal(deaf.status(), 'inmigrate', 'run state')    # it listens by now
    source.command('migrate', uri=door)
    wait_until(lambda: 'has not agreed to the switchover' in source.hmp('info migrate'), 30,
               'the reason in info migrate')
    check_equal(source.status(), 'running', 'run state')
    source.command('stop')
    wait_migration(source)
    wait_until(lambda: deaf.status() == 'paused', 20, 'the stopped guest to arrive')
    deaf.quit()
    source.command('cont')
    willing = VM(bench, 'willing', EMULATOR, guest=source.guest, incoming='defer')
    willing.set_capabilities(switchover_ack=True, return_path=True)
    willing.command('migrate-incoming', uri=door + '2')
    source.command('migrate', uri=door + '2')
    wait_migration(source)
    wait_alive(willing)


def returned_settings(bench):
    """What was set is what is told, in QMP and HMP."""
    vm = VM(bench, 'vm', EMULATOR, Bare('idle'), paused=True)
    vm.set_parameters(max_bandwidth=123456789, downtime_limit=77, xbzrle_cache_size=1 << 21)
    got = vm.command('query-migrate-parameters')
    for name, value in (('max-bandwidth', 123456789), ('downtime-limit', 77),
                        ('xbzrle-cache-size', 1 << 21)):
        check_equal(got[name], value, name)
    text = vm.hmp('info migrate_parameters')
    for line in ('max-bandwidth: 123456789 bytes/second', 'downtime-limit: 77 ms',
                 'xbzrle-cache-size: 2097152 bytes'):
        check(line in text, 'info migrate_parameters lacks "%s": %s', line, text)
    vm.hmp('migrate_set_parameter max-bandwidth 5')
    check_equal(vm.command('query-migrate-parameters')['max-bandwidth'], 5 << 20,
                'max-bandwidth in MiB')
    vm.hmp('migrate_set_parameter max-bandwidth 64k')
    check_equal(vm.command('query-migrate-parameters')['max-bandwidth'], 65536,
                'max-bandwidth with a suffix')
    vm.hmp('migrate_set_capability xbzrle on')
    caps = {c['capability']: c['state'] for c in vm.command('query-migrate-capabilities')}
    check(caps['xbzrle'] is True, 'xbzrle is not on')
    check('xbzrle: on' in vm.hmp('info migrate_capabilities'), 'info migrate_capabilities')


def historic_names(bench):
    """The commands of 2012."""
    only_ferry('QEMU has removed them')
    vm = VM(bench, 'vm', EMULATOR, Bare('idle'), paused=True)
    for line, name, value in (
            ('migrate_set_cachesize 256m', 'xbzrle-cache-size', 256 << 20),
            ('migrate_set_cache_size 128m', 'xbzrle-cache-size', 128 << 20),
            ('migrate_set_speed 32m', 'max-bandwidth', 32 << 20),
            ('migrate_set_speed 7', 'max-bandwidth', 7 << 20),
            ('migrate_set_downtime 0.03', 'downtime-limit', 30),
            ('migrate_set_downtime 2', 'downtime-limit', 2000)):
        check_equal(vm.hmp(line), '', line)
        check_equal(vm.command('query-migrate-parameters')[name], value, line)
    check_equal(vm.command('query-migrate-cache-size'), 128 << 20, 'query-migrate-cache-size')
    vm.command('migrate-set-cache-size', value=64 << 20)
    check_equal(vm.command('query-migrate-parameters')['xbzrle-cache-size'], 64 << 20,
                'migrate-set-cache-size')
    check('65536' in vm.hmp('info migrate_cache_size'), 'info migrate_cache_size: %s',
          vm.hmp('info migrate_cache_size'))


def historic_migrate(bench):
    """`migrate -d -x URI` moves with the delta on."""
    only_ferry('QEMU never had it')
    guest = Bare('loadgen', size='4M', memory=32)
    source = VM(bench, 'source', EMULATOR, guest)
    journey = Journey()
    journey.vms.append(source)
    wait_alive(source)
    destination = VM(bench, 'destination', EMULATOR, guest, incoming='defer')
    destination.set_capabilities(xbzrle=True)
    channel = channels.Unix(bench)
    destination.command('migrate-incoming', uri=channel.incoming)
    source.hmp('migrate_set_speed 16m')
    source.hmp('migrate_set_downtime 0.001')
    check_equal(source.hmp('migrate -d -x ' + channel.outgoing), '', 'migrate -d -x')
    wait_until(lambda: source.migration().get('ram', {}).get('dirty-sync-count', 0) > 4
               or source.migration()['status'] == 'completed', 60, 'passes')
    source.hmp('migrate_set_speed 10g')
    source.hmp('migrate_set_downtime 5')
    info = wait_migration(source)
    check(info['xbzrle-cache']['pages'] > 0, 'no page went as a delta: %s', info)
    journey.prove(destination)


GLOBALS = [
    r'globals:', r'store-global-state: on', r'only-migratable: off', r'send-configuration: on',
    r'send-section-footer: on', r'(decompress-error-check: on|send-switchover-start: (on|off))',
    r'clear-bitmap-shift: 18']
INFO_LINES = [
    r'Migration status: completed', r'(accepted: not known here, return-path is off)?', r'total time: \d+ ms', r'downtime: \d+ ms( \(\d+ us\))?',
    r'setup: \d+ ms( \(\d+ us\))?', r'transferred ram: \d+ kbytes',
    r'throughput: [\d.]+ mbps', r'remaining ram: 0 kbytes', r'total ram: \d+ kbytes',
    r'duplicate: \d+ pages', r'(skipped: 0 pages)?', r'normal: \d+ pages',
    r'normal bytes: \d+ kbytes', r'dirty sync count: \d+', r'page size: 4 kbytes',
    r'multifd bytes: 0 kbytes', r'pages-per-second: \d+', r'(dirty pages rate: \d+ pages)?',
    r'(precopy ram: \d+ kbytes)?', r'(downtime ram: \d+ kbytes)?', r'cache size: \d+ bytes',
    r'xbzrle transferred: \d+ kbytes', r'xbzrle pages: \d+ pages', r'xbzrle cache miss: \d+ pages',
    r'xbzrle cache miss rate: [\d.]+', r'xbzrle encoding rate: [\d.]+', r'xbzrle overflow: \d+',
    r'(sent stream: QEMU (7\.2|10\.0))?']  # Ferry's own


def info_migrate(bench):
    """`info migrate` line by line, and its numbers against query-migrate's."""
    vm = VM(bench, 'fresh', EMULATOR, Bare('idle'), paused=True)
    check_equal(vm.command('query-migrate'), {}, 'query-migrate before any migration')
    lines = vm.hmp('info migrate').strip().splitlines()
    check_equal(lines[0], 'no migration yet' if EMULATOR.is_ferry else 'globals:', 'first line')
    check(not any('Migration status' in l for l in lines), 'a status before any migration: %s',
          lines)
    move = Move(bench, EMULATOR, Bare('loadgen', size='4M'), channels.Unix(bench),
                caps={'xbzrle': True})
    force_passes(move)
    move.run()
    text = move.source.hmp('info migrate')
    patterns = ([] if EMULATOR.is_ferry else GLOBALS) + INFO_LINES
    for line in text.strip().splitlines():
        while patterns and not re.fullmatch(patterns[0], line):
            check(re.fullmatch(patterns[0], ''), 'expected a line like %r, got %r in:\n%s',
                  patterns[0], line, text)
            patterns.pop(0)
        if not patterns:
            raise Failed('unexpected line %r in:\n%s' % (line, text))
        patterns.pop(0)
    check(all(re.fullmatch(p, '') for p in patterns), 'missing lines %s in:\n%s', patterns, text)
    ram = move.source.migration()['ram']
    check('normal: %d pages' % ram['normal'] in text, 'normal: %s', text)
    check('transferred ram: %d kbytes' % (ram['transferred'] >> 10) in text, text)
    check_equal(ram['normal-bytes'], ram['normal'] * 4096, 'normal-bytes')
    check_equal(ram['remaining'], 0, 'remaining')
    check_equal(ram['total'], (32 << 20) + (64 << 20) + (60 << 10), 'total')
    if EMULATOR.is_ferry:   # what nobody has to read twice comes last, and when it is asked for
        lines = move.source.hmp('info migrate -a').strip().splitlines()[-len(GLOBALS):]
        check(all(map(re.fullmatch, GLOBALS, lines)), 'info migrate -a: %s', lines)


def switchover_steps(bench):
    """`info migrate -a`: when each step was reached, in order, and the downtime is that time."""
    only_ferry('the steps are our own')
    move = Move(bench, EMULATOR, Bare('loadgen', size='4M'), channels.Unix(bench),
                caps={'return_path': True})
    move.run()

    def steps(vm):
        found = re.findall(r'^switchover (.+): ([\d.]+) ms$', vm.hmp('info migrate -a'), re.M)
        check('\nswitchover ' not in vm.hmp('info migrate'), 'steps that nobody asked for')
        return [name for name, _ in found], [float(ms) for _, ms in found]

    names, times = steps(move.source)
    check_equal(names, ['asked', 'stopped', 'devices taken', 'synced', 'ram sent', 'all sent',
                        'confirmed'], 'steps of the source')
    check_equal(times, sorted(times), 'their order')
    check_equal(int(times[-1]), move.source.migration()['downtime'], 'downtime')
    check('has moved to' in move.source.hmp('cont'), 'cont, where the guest has moved away')
    names, times = steps(move.destination)
    check_equal(names, ['first device', 'loaded', 'source told', 'started'],
                'steps of the destination')
    check_equal(times, sorted(times), 'their order')


def destination_tells(bench):
    """What came: as much as was sent, page by page."""
    only_ferry('QEMU does not count on the destination')
    move = Move(bench, EMULATOR, Bare('checker', size='2M'), channels.Unix(bench),
                caps={'return_path': True, 'xbzrle': True})
    move.run()
    sent, received = move.source.migration()['ram'], move.destination.migration()['x-received']
    check_equal(received['normal'], sent['normal'], 'whole pages')
    check_equal(received['duplicate'], sent['duplicate'], 'zero pages')
    check(0 < received['transferred'] <= sent['transferred'], 'bytes: %s of %s',
          received['transferred'], sent['transferred'])
    check(received['mbps'] > 0, 'rate: %s', received['mbps'])
    text = move.destination.hmp('info migrate')
    check(f"normal {received['normal']}, zero" in text, 'info migrate: %s', text)


def extra_pass_before_stop(bench):
    """
    All of memory would fit into the limit, and yet an idle guest is not stopped before it is sent:
    what remains for the standstill is device state and a few pages.
    """
    only_ferry('QEMU stops the guest as soon as the rest fits')
    move = Move(bench, EMULATOR, Bare('idle'), channels.Unix(bench), caps={'return_path': True},
                params={'max_bandwidth': 128 << 20, 'downtime_limit': 100000,
                        'zero_page_detection': 'none'})
    move.run()
    ram = move.source.migration()['ram']
    check(ram['downtime-bytes'] < 100 << 10, '%d bytes while the guest stood still',
          ram['downtime-bytes'])
    check(4 <= ram['dirty-sync-count'] <= 12, 'passes: %d', ram['dirty-sync-count'])


def advice_helps(bench):
    """`info migrate` says that it will not finish and what to do; done, it finishes."""
    only_ferry('QEMU gives no advice')
    move = Move(bench, EMULATOR, Bare('loadgen', size='16M', memory=64), channels.Unix(bench),
                params={'max_bandwidth': 32 << 20, 'downtime_limit': 50})

    def during(source, _destination):
        def refuses():
            text = source.hmp('info migrate')
            return re.search(r'^Migration status: active\ndecision: .*\n'
                             r'convergence: will not finish: dirty rate .* bandwidth .*; raise '
                             r'max-bandwidth or downtime-limit to (\d+) ms, or start again with '
                             r'xbzrle or auto-converge\n', text)
        found = wait_until(refuses, 60, 'the bad outlook')
        passes = source.migration()['ram']['dirty-sync-count']
        time.sleep(1.5)
        check_equal(source.migration()['status'], 'active', 'state before the advice is followed')
        check(source.migration()['ram']['dirty-sync-count'] > passes, 'no pass went by')
        source.set_parameters(downtime_limit=int(found.group(1)))

    move.during = during
    move.run()
    check('convergence' not in move.source.hmp('info migrate'), 'an outlook after the end')


# What -device takes: how, and the section its state travels in (None: it has no state).
DEVICES = {
    'loader': ('loader,addr=0x81000000,data=1,data-len=4', None),
    'virtio-blk-device': ('virtio-blk-device,drive=d0', b'/virtio-blk'),
    'virtio-net-device': ('virtio-net-device,netdev=n0', b'/virtio-net'),
    'virtio-rng-device': ('virtio-rng-device', b'/virtio-rng'),
    'virtio-balloon-device': ('virtio-balloon-device', b'/virtio-balloon'),
    'virtio-serial-device': ('virtio-serial-device', b'/virtio-console'),
    # Ports travel in the section of their bus.
    'virtconsole': ('virtconsole,chardev=c0', b'/virtio-console'),
    'virtserialport': ('virtserialport,chardev=c1,nr=1', b'/virtio-console'),
}
# Parts of the board, made with it.
ON_BOARD = {'virtio-mmio', 'riscv.sifive.plic', 'serial-mm', 'goldfish_rtc', 'cfi.pflash01',
            'fw_cfg_mem', 'gpex-pcihost', 'gpex-root', 'riscv.aclint.mtimer'}


def only_migratable(bench):
    """-only-migratable refuses nothing, because there is nothing to refuse: all that -device takes
    is there after a move, and what has state has a section."""
    only_ferry('QEMU has devices that cannot be migrated')
    listed = subprocess.run(EMULATOR.argv + ['-device', 'help'], check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    check_equal(set(re.findall(r'^name "([^"]+)"', listed, re.M)), set(DEVICES) | ON_BOARD,
                'devices (a new one needs a line in this test)')
    disk = bench.path('disk')
    with open(disk, 'wb') as f:
        f.truncate(1 << 20)
    extra = ['-only-migratable', '-drive', 'file=%s,format=raw,if=none,id=d0' % disk,
             '-netdev', 'socket,id=n0,udp=127.0.0.1:9,localaddr=127.0.0.1:0',
             '-chardev', 'null,id=c0', '-chardev', 'null,id=c1']
    for option, _section in DEVICES.values():
        extra += ['-device', option]
    channel = channels.File(bench)
    move = Move(bench, EMULATOR, Bare('checker', size='1M'), channel, extra=extra).run()
    with open(channel.path, 'rb') as f:
        stream = f.read()
    for name, (_option, section) in DEVICES.items():
        check(section is None or section in stream, '%s: no section in the stream', name)
    text = move.source.hmp('info migrate -a' if EMULATOR.is_ferry else 'info migrate')
    check('\nonly-migratable: on\n' in text, 'info migrate: %s', text)


WRONG = [
    # command, arguments, words of the answer
    ('migrate-set-parameters', {'downtime-limit': 2000001}, ["'downtime_limit' expects"]),
    ('migrate-set-parameters', {'downtime-limit': -1}, ['downtime']),
    ('migrate-set-parameters', {'downtime-limit': 'soon'}, ['downtime-limit']),
    ('migrate-set-parameters', {'cpu-throttle-initial': 0}, ["'cpu_throttle_initial' expects"]),
    ('migrate-set-parameters', {'cpu-throttle-initial': 100}, ["'cpu_throttle_initial' expects"]),
    ('migrate-set-parameters', {'cpu-throttle-increment': 100},
     ["'cpu_throttle_increment' expects"]),
    ('migrate-set-parameters', {'max-cpu-throttle': 5}, ["'max_cpu_throttle' expects"]),
    ('migrate-set-parameters', {'throttle-trigger-threshold': 0},
     ["'throttle_trigger_threshold' expects"]),
    ('migrate-set-parameters', {'xbzrle-cache-size': 0}, ["'xbzrle_cache_size' expects"]),
    ('migrate-set-parameters', {'xbzrle-cache-size': 4095}, ["'xbzrle_cache_size' expects"]),
    ('migrate-set-parameters', {'xbzrle-cache-size': 1}, ["'xbzrle_cache_size' expects"]),
    ('migrate-set-parameters', {'xbzrle-cache-size': -1}, ["'xbzrle_cache_size' expects"]),
    ('migrate-set-parameters', {'xbzrle-cache-size': 2 ** 64 - 1},
     ["'xbzrle_cache_size' expects"]),
    ('migrate-set-parameters', {'multifd-channels': 0}, ["'multifd_channels' expects"]),
    ('migrate-set-parameters', {'announce-rounds': 1001}, ['announce_rounds']),
    ('migrate-set-parameters', {'bogus': 1}, ["'bogus' is unexpected"]),
    ('migrate-set-parameters', {'max-bandwidth': 'fast'}, ['max-bandwidth']),
    ('migrate-set-capabilities', {'capabilities': [{'capability': 'bogus', 'state': True}]},
     ["'capability' does not accept value 'bogus'"]),
    ('migrate-set-capabilities', {'capabilities': [{'capability': 'xbzrle'}]}, ['state']),
    ('migrate-set-capabilities', {'capabilities': [{'capability': 'xbzrle', 'state': 1}]},
     ['state']),
    ('migrate-set-capabilities', {'capabilities': 'xbzrle'}, ['capabilities']),
    ('migrate-set-capabilities', {}, ['capabilities']),
    ('migrate-set-capabilities', {'capabilities': [
        {'capability': 'xbzrle', 'state': True}, {'capability': 'mapped-ram', 'state': True}]},
     ['apped-ram migration is incompatible with xbzrle']),
    ('migrate', {}, ['uri']),
    ('migrate', {'uri': 7}, ['uri']),
    ('migrate', {'uri': 'pigeon:12'}, ['igration protocol']),
    ('migrate', {'uri': ''}, ['igration protocol']),
    ('migrate', {'uri': 'tcp:localhost'}, []),
    ('migrate', {'uri': 'tcp:localhost:notaport'}, []),
    ('migrate', {'uri': 'unix:' + 'x' * 200}, []),
    ('migrate', {'uri': 'fd:nobody'}, ['nobody']),
    ('migrate', {'uri': 'file:'}, []),
    ('migrate', {'uri': 'file:/tmp/x,offset=far'}, ['far']),
    ('migrate-incoming', {'uri': 'tcp:127.0.0.1:0'}, ['-incoming']),
    ('migrate-continue', {'state': 'pre-switchover'}, ['not in expected state']),
    ('migrate-continue', {'state': 'nonsense'}, ['nonsense']),
    ('query-migrate', {'x': 1}, ["'x' is unexpected"]),
]


def wrong_values(bench):
    """Each is refused with its reason, and nothing has changed after all of them."""
    vm = VM(bench, 'vm', EMULATOR, Bare('checker', size='1M'))
    journey = Journey()
    journey.vms.append(vm)
    wait_alive(vm)
    before = (vm.command('query-migrate-parameters'), vm.command('query-migrate-capabilities'))
    for command, arguments, words in WRONG:
        what = '%s %s' % (command, json.dumps(arguments))
        try:
            vm.qmp.execute(command, arguments)
            # A few QEMU errors only show in query-migrate.
            check(command == 'migrate', '%s was accepted', what)
            text = wait_migration(vm, ['failed']).get('error-desc', '')
        except QMPError as error:
            text = error.desc
        check(text, '%s: an empty error', what)
        for word in words:
            check(word in text, '%s: the message lacks "%s": %s', what, word, text)
    after = (vm.command('query-migrate-parameters'), vm.command('query-migrate-capabilities'))
    check_equal(after, before, 'settings after refused changes')
    lines = len(vm.console.statuses())
    vm.console.wait_statuses(lines + 2)
    journey.check()


WRONG_LINES = [
    ('migrate_set_parameter', []),
    ('migrate_set_parameter bogus 1', ['bogus']),
    ('migrate_set_parameter downtime-limit never', []),
    ('migrate_set_parameter downtime-limit 99999999', ['downtime_limit']),
    ('migrate_set_parameter xbzrle-cache-size 5', ['xbzrle_cache_size']),
    ('migrate_set_capability bogus on', ['bogus']),
    ('migrate_set_capability xbzrle perhaps', []),
    ('migrate', []),
    ('migrate -q tcp:x:1', []),
    ('migrate -d pigeon:12', ['igration protocol']),
    ('migrate_continue nonsense', ['nonsense']),
    ('frobnicate', ["unknown command: 'frobnicate'"]),
    ('info frobnicate', ['frobnicate']),
]


def wrong_lines(bench):
    """The same for the human monitor."""
    vm = VM(bench, 'vm', EMULATOR, Bare('checker', size='1M'))
    journey = Journey()
    journey.vms.append(vm)
    wait_alive(vm)
    before = (vm.command('query-migrate-parameters'), vm.command('query-migrate-capabilities'))
    for line, words in WRONG_LINES:
        text = vm.hmp(line)
        if EMULATOR.is_ferry or not line.startswith('info frob'):
            check(text.strip(), '"%s" was accepted without a word', line)
        for word in words:
            if EMULATOR.is_ferry or not line.startswith('info frob'):
                check(word in text, '"%s": the answer lacks "%s": %s', line, word, text)
    after = (vm.command('query-migrate-parameters'), vm.command('query-migrate-capabilities'))
    check_equal(after, before, 'settings after refused changes')
    lines = len(vm.console.statuses())
    vm.console.wait_statuses(lines + 2)


def bad_json(bench):
    """Malformed requests get an error, and the session goes on."""
    vm = VM(bench, 'vm', EMULATOR, Bare('idle'), paused=True)
    for data in (b'{"execute": \n}\n', b'}\n', b'[1,2]\n', b'"text"\n', b'{"execute": 7}\n',
                 b'{"run": "query-status"}\n', b'{"execute": "no-such-command"}\n',
                 b'{"execute": "query-status", "arguments": 7}\n', b'\xff\xfe\xfd\n',
                 b'{"execute": "query-status", "extra": 1}\n', b'[' * 5000 + b']' * 5000 + b'\n'):
        vm.qmp.raw(data)
        try:
            message = vm.qmp.answer(5)
        except TimeoutError:
            raise Failed('no answer to %r' % data[:40]) from None
        check('error' in message, 'no error for %r: %s', data[:40], message)
        # Whatever else the parser makes of the rest of the line, the session must recover.
        vm.qmp.raw(b'{"execute": "query-status", "id": "sync %d"}\n' % len(data))
        for _ in range(10000):
            message = vm.qmp.answer()
            if message.get('id') == 'sync %d' % len(data):
                break
        check('return' in message, 'the session did not recover from %r', data[:40])


def bad_command_lines(bench):
    """Every wrong option ends the process with status 1 and a message naming it."""
    import subprocess
    for args, words in (
            (['-bogus'], ['-bogus']),
            (['-M', 'bogus'], ['bogus']),
            (['-M', 'virt', '-m', 'lots'], ['lots']),
            (['-M', 'virt', '-smp', '0'], []),
            (['-M', 'virt', '-smp', '100000'], []),
            (['-M', 'virt', '-cpu', 'bogus'], ['bogus']),
            (['-M', 'virt', '-kernel', '/nonexistent'], ['/nonexistent']),
            (['-M', 'virt', '-bios', '/nonexistent'], ['/nonexistent']),
            (['-M', 'virt', '-device', 'bogus'], ['bogus']),
            (['-M', 'virt', '-serial', 'bogus'], ['bogus']),
            (['-M', 'virt', '-chardev', 'bogus,id=x'], ['bogus']),
            (['-M', 'virt', '-incoming', 'pigeon:1'], ['pigeon']),
            (['-M', 'virt', '-qmp', 'unix:/nonexistent/x,server=on,wait=off'], ['nonexistent']),
            (['-M', 'virt', '-uuid', 'bogus'], []),
            (['-M'], ['-M'])):
        run = subprocess.run(EMULATOR.argv + ['-display', 'none', '-nodefaults', '-S'] + args,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=20, text=True)
        check_equal(run.returncode, 1, 'exit status for %s (%s)' % (' '.join(args), run.stderr))
        for word in words:
            check(word in run.stderr, '%s: the message lacks "%s": %s', ' '.join(args), word,
                  run.stderr)
        check(run.stderr.strip(), '%s: no message', ' '.join(args))


def inet(**members):
    return [{'channel-type': 'main', 'addr': dict(transport='socket', type='inet', **members)}]


def listening_addresses(bench):
    """query-migrate tells what is listened on, not what was typed; as QEMU 10.0 does."""
    def told(name, **how):
        vm = VM(bench, name, EMULATOR, Bare('idle'), incoming='defer')
        vm.command('migrate-incoming', **how)
        addresses = vm.migration().get('socket-address', [])
        vm.quit()
        return addresses

    four = {'type': 'inet', 'host': '127.0.0.1', 'ipv4': True}
    for number, how in enumerate((dict(uri='tcp:127.0.0.1:0'),
                                  dict(channels=inet(host='127.0.0.1', port='0', numeric=True)),
                                  dict(uri='tcp:127.0.0.1:0,keep-alive=on,ipv6=off'))):
        got = told('told-%d' % number, **how)
        check(len(got) == 1 and int(got[0].pop('port')) > 0, 'not one address with a port: %s', got)
        check_equal(got[0], four, 'socket-address of %s' % how)
    path = bench.path('told.sock')
    check_equal(told('unix', uri='unix:' + path), [{'type': 'unix', 'path': path}], 'socket-address')
    check_equal(told('exec', uri='exec:sleep 1'), [], 'socket-address')
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        if port > 65500:
            raise Skip('no room above port %d' % port)
        got = told('range', channels=inet(host='127.0.0.1', port=str(port), to=port + 30))
        check(port < int(got[0]['port']) <= port + 30, 'listens at %s, asked for %d to %d', got,
              port, port + 30)


def page_codecs(bench):
    """x-simd: with each level that this CPU has, deltas arrive whole; one that it lacks is refused at once."""
    names = ('plain', 'sse2', 'avx2', 'avx512', 'neon', 'rvv')
    probe, moved = VM(bench, 'probe', EMULATOR, Bare('idle')), []
    for name in names:
        try:
            probe.set_parameters(x_simd=name)
        except QMPError as e:
            check('use x-simd=auto' in str(e), 'what to do about %s: %s', name, e)
            continue
        check('page codec: %s (x-simd: %s)' % (name, name) in probe.hmp('info migrate -a'),
              'info migrate -a: %s', probe.hmp('info migrate -a'))
        moved.append(name)
    probe.quit()
    check('plain' in moved and len(moved) < len(names), 'taken were %s', moved)
    for name in moved:
        move = Move(bench, EMULATOR, Bare('checker', size='4M', memory=32, regs=0),
                    channels.TCP4(bench), caps={'xbzrle': True}, params={'x_simd': name},
                    names=(name + '-source', name + '-destination'))
        force_passes(move, passes=4)
        move.run()
        check(move.info['xbzrle-cache']['pages'] > 0, '%s: no page went as a delta: %s', name, move.info)


def descriptor_set(bench):
    """file:/dev/fdset/N, behind what is in the file already, there and back."""
    path = bench.path('set')
    with open(path, 'wb') as f:
        f.write(b'HEAD' * 1024)
    fds = [os.open(path, os.O_RDONLY), os.open(path, os.O_WRONLY)]
    bench.at_end(lambda: [os.close(fd) for fd in fds])
    given = [arg for fd in fds for arg in ('-add-fd', 'set=3,fd=%d' % fd)]
    uri = 'file:/dev/fdset/3,offset=4k'
    journey = Journey()
    source = VM(bench, 'source', EMULATOR, Bare('checker'), extra=given, pass_fds=fds)
    journey.vms.append(source)
    wait_alive(source)
    source.command('migrate', uri=uri)
    wait_migration(source)
    source.quit()
    with open(path, 'rb') as f:
        check_equal(f.read(4096), b'HEAD' * 1024, 'what was in the file before')
    other = VM(bench, 'destination', EMULATOR, Bare('checker'), incoming=uri, extra=given,
               pass_fds=fds)
    journey.prove(other)


CASES = [
    Case('listening addresses', listening_addresses),
    Case('a set of descriptors', descriptor_set),
    Case('bandwidth changed while active', bandwidth_changes),
    Case('page codecs', page_codecs, timeout=240),
    Case('page cache resized while active', cache_resized),
    Case('a grown page cache hits', cache_grown_hits, timeout=120),
    Case('a listening destination takes capabilities', capabilities_while_listening),
    Case('switchover-ack', switchover_ack),
    Case('settings are told as they were set', returned_settings),
    Case('historic names', historic_names),
    Case('migrate -d -x', historic_migrate),
    Case('only-migratable', only_migratable),
    Case('info migrate', info_migrate),
    Case('steps of the switchover', switchover_steps),
    Case('the destination tells what came', destination_tells),
    Case('extra pass before the stop', extra_pass_before_stop),
    Case('info migrate, the advice helps', advice_helps),
    Case('wrong values in QMP', wrong_values),
    Case('wrong lines in the human monitor', wrong_lines),
    Case('malformed QMP', bad_json),
    Case('wrong command lines', bad_command_lines),
]

if __name__ == '__main__':
    main(CASES)
