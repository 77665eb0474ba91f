#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""-preconfig: what may be asked before the machine is built, and how it is built. The real program."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.qmp import QMPClosed, QMPError  # noqa: E402
from ferrytest.tap import Case, Failed, check, check_equal, main, wait_until  # noqa: E402

EMULATOR = emulators.ferry()
TOO_EARLY = "The command '%s' is permitted only after machine initialization has completed"

# What QEMU 7.2 and 10.0 permit, of the commands that there are here.
PERMITTED = set('''block_resize blockdev-add blockdev-del netdev_add netdev_del object-add object-del qmp_capabilities qom-get
    qom-list qom-list-properties qom-list-types qom-set query-block query-block-jobs query-blockstats query-chardev
    query-command-line-options query-commands query-hotpluggable-cpus query-iothreads
    query-memdev query-name
    query-named-block-nodes query-qmp-schema query-status query-uuid query-version quit set-action set-numa-node
    x-exit-preconfig x-query-machine-dialects'''.split())


def start(bench, *extra, name='vm', **more):
    return VM(bench, name, EMULATOR,
              extra=['-M', 'virt', '-bios', 'none', '-m', '16M', '-preconfig', *extra], **more)


def error_of(vm, name, /, **arguments):
    try:
        vm.command(name, **arguments)
    except QMPError as error:
        return error.desc
    raise Failed('%s was done' % name)


def permitted(bench):
    """The commands that QEMU permits and no others; the rest once the machine is built."""
    vm = start(bench)
    check_equal(vm.status(), 'prelaunch', 'run state')
    found = set()
    for row in vm.command('query-commands'):
        name = row['name']
        if name in ('quit', 'x-exit-preconfig') or \
                error_of(vm, name, **{'no-such-argument': 1}) != TOO_EARLY % name:
            found.add(name)
    check_equal(found, PERMITTED, 'permitted')
    vm.command('x-exit-preconfig')
    check('RESUME' in [e['event'] for e in vm.qmp.events], 'no RESUME before the answer')
    check_equal(vm.status(), 'running', 'run state')
    check_equal(error_of(vm, 'x-exit-preconfig'),
                'The command is permitted only before machine initialization', 'the second time')
    vm.command('stop')
    check_equal(vm.command('query-cpus-fast')[0]['cpu-index'], 0, 'CPU')


def configured(bench):
    """What is made before is there, and used: a source of bytes, a network of hubs, a serial port."""
    vm = start(bench, '-device', 'virtio-net-device,netdev=h', '-netdev', 'hubport,id=h,hubid=1',
               '-device', 'virtio-blk-device,drive=late', paused=True, qtest=True)
    vm.command('object-add', **{'qom-type': 'rng-random', 'id': 'r', 'filename': '/dev/zero'})
    vm.command('blockdev-add', driver='null-co', size=1 << 20, **{'node-name': 'late'})
    vm.command('netdev_add', id='x', type='hubport', hubid=1)
    vm.command('netdev_del', id='x')
    check_equal([o['name'] for o in vm.command('qom-list', path='/objects')][-1], 'r', 'objects')
    vm.command('x-exit-preconfig')
    check_equal(vm.status(), 'prelaunch', 'run state with -S')
    check_equal([b['inserted']['node-name'] for b in vm.command('query-block')], ['late'], 'disks')
    check_equal(vm.connect_qtest().command('readl 0x10001000')[-1], '0x0000000074726976', 'a device')


def numa(bench):
    """Its one node, by command: as -numa, with the sizes in bytes; QEMU's words where it is wrong."""
    with_memory = ('-object', 'memory-backend-ram,id=m,size=16M')
    vm = start(bench, *with_memory, '-smp', '2', paused=True)
    for words, arguments in (
            ("Parameter 'type' is missing", {}),
            ("Parameter 'type' does not accept value 'bogus'", {'type': 'bogus'}),
            ("Parameter 'bogus' is unexpected", {'type': 'node', 'bogus': 1}),
            ('memdev=nope is ambiguous', {'type': 'node', 'memdev': 'nope'}),
            ('CPU index (2) should be smaller than maxcpus (2)', {'type': 'node', 'cpus': [0, 2]}),
            ('not supported: guest RAM is one block, so there is one node, 0',
             {'type': 'node', 'nodeid': 1})):
        check_equal(error_of(vm, 'set-numa-node', **arguments), words, 'set-numa-node')
    vm.command('set-numa-node', type='node', nodeid=0, memdev='m', cpus=[0, 1])
    check_equal(error_of(vm, 'set-numa-node', type='node', nodeid=0), 'Duplicate NUMA nodeid: 0',
                'once more')
    vm.command('set-numa-node', **{'type': 'cpu', 'node-id': 0, 'core-id': 1})
    vm.command('x-exit-preconfig')
    hmp = vm.command('human-monitor-command', **{'command-line': 'info numa'})
    check('1 nodes' in hmp and 'node 0 cpus: 0 1' in hmp and 'node 0 size: 16 MB' in hmp, hmp)
    check_equal([d['id'] for d in vm.command('query-memdev')], ['m'], 'query-memdev')
    check_equal(error_of(vm, 'set-numa-node', type='node'),
                'The command is permitted only before the machine has been created', 'afterwards')
    small = start(bench, paused=True, name='small')
    small.command('set-numa-node', type='node', mem=8 << 20)
    try:
        error_of(small, 'x-exit-preconfig')
    except QMPClosed:
        pass
    check_equal(small.wait_exit(), 1, 'exit status')
    with open(small.stderr_path) as f:
        check('(0x800000) should equal RAM size (0x1000000)' in f.read(), 'no reason on stderr')


def human(bench):
    """The same for people."""
    path = bench.path('hmp')
    with open(path, 'w') as f:
        f.write('stop\ninfo network\ninfo status\nexit_preconfig\ninfo status\nexit_preconfig\nquit\n')
    vm = start(bench, '-chardev', 'file,id=m,input-path=%s,path=%s.out' % (path, path),
               '-mon', 'chardev=m,mode=readline')
    check_equal(vm.wait_exit(), 0, 'exit status')
    with open(path + '.out') as f:
        told = [line.strip() for line in f.read().splitlines()]
    for want in ("Command 'stop' not available until machine initialization has completed.",
                 "Command 'info network' not available until machine initialization has completed.",
                 'VM status: paused (prelaunch)', 'VM status: running',
                 'Error: The command is permitted only before machine initialization'):
        check(want in told, '"%s" is not in %s', want, told)


def failing(bench):
    """A machine that cannot be built ends the process, with the reason; so does an -incoming that
    would come too early."""
    vm = start(bench, '-kernel', '/nonexistent')
    try:
        check('/nonexistent' in error_of(vm, 'x-exit-preconfig'), 'another reason')
    except QMPClosed:
        pass
    check_equal(vm.wait_exit(), 1, 'exit status')
    with open(vm.stderr_path) as f:
        check('/nonexistent' in f.read(), 'no reason on stderr')
    vm = start(bench, '-incoming', 'tcp:127.0.0.1:0', name='early', qmp=False)
    check_equal(vm.wait_exit(), 1, 'exit status')
    with open(vm.stderr_path) as f:
        check("'preconfig' supports '-incoming defer' only" in f.read(), 'no reason on stderr')


def destination(bench):
    """A guest comes to a machine that was built by command."""
    path = bench.path('state')
    source = VM(bench, 'src', EMULATOR, extra=['-M', 'virt', '-bios', 'none', '-m', '16M'])
    source.command('migrate', uri='file:' + path)
    wait_until(lambda: source.migration().get('status') == 'completed', 60, 'the source')
    vm = start(bench, '-incoming', 'defer', name='dst')
    check_equal(vm.status(), 'inmigrate', 'run state before')
    vm.command('x-exit-preconfig')
    check_equal(vm.status(), 'inmigrate', 'run state')
    vm.command('migrate-incoming', uri='file:' + path)
    wait_until(lambda: vm.status() == 'running', 60, 'the guest to run')


CASES = [
    Case('what is permitted', permitted),
    Case('NUMA', numa),
    Case('configured before it is built', configured),
    Case('human monitor', human),
    Case('a machine that cannot be built', failing),
    Case('destination', destination),
]

if __name__ == '__main__':
    main(CASES)
