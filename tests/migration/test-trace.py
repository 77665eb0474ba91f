#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What -trace, -d and the monitors' trace commands show of a migration, on both sides and in order."""
import os
import re
import time

from ferrytest import channels, emulators
from ferrytest.guest import Bare
from ferrytest.move import Move, force_passes, wait_alive
from ferrytest.process import VM
from ferrytest.qmp import QMPError
from ferrytest.tap import Case, check, check_equal, main

EMULATOR = emulators.subject()
LINE = re.compile(r'^(\d+)@(\d+\.\d{6}):(\w+) (.*)$')

# In this order, with other events between them; every one is a whole line.
SOURCE = [
    'migrate_set_state new state setup',
    r'migration_socket_outgoing_connected hostname=unix:.*',
    r'migration_set_outgoing_channel type=unix name=.*',
    'savevm_state_header ',
    'savevm_send_open_return_path ',
    'savevm_state_setup ',
    r'savevm_section_start ram, section_id \d+',
    'migration_bitmap_sync_start ',
    r'migration_bitmap_sync_end dirty_pages 0 pages_left \d+ us \d+',
    r'savevm_section_end ram, section_id \d+ \(\d+ bytes\) -> 0',
    'migrate_set_state new state active',
    r'migrate_pending pending size [1-9]\d* max \d+ \(dirty = [1-9]\d*\)',
    'migration_switchover_decision go on: .*',
    'savevm_state_iterate pass 1',
    r'migration_bitmap_sync_end dirty_pages [1-9]\d* pages_left \d+ us \d+',
    'savevm_state_iterate pass 2',
    r'save_xbzrle_cache_miss riscv_virt_board.ram: offset: 0x[0-9a-f]+',
    r'save_xbzrle_page riscv_virt_board.ram: offset: 0x[0-9a-f]+ len \d+',
    'migration_switchover_decision switch over: .*',
    'vmstate_downtime_checkpoint src-downtime-start',
    r'runstate_set current_run_state \d+ \(running\) new_state \d+ \(finish-migrate\)',
    'migration_completion_vm_stop ret 0',
    'vmstate_downtime_checkpoint src-vm-stopped',
    'vmstate_save timer, timer',
    r'savevm_section_end timer, section_id 0 \(\d+ bytes\) -> 0',
    'vmstate_save cpu, cpu',
    r'vmstate_downtime_save type=non-iterable idstr=cpu instance_id=0 downtime=\d+',
    'vmstate_downtime_checkpoint src-non-iterable-saved',
    'vmstate_downtime_checkpoint src-last-sync',
    'savevm_state_complete_precopy ',
    'vmstate_downtime_checkpoint src-iterable-saved',
    'source_return_path_thread_shut 0x0',
    'vmstate_downtime_checkpoint src-downtime-end',
    'migration_thread_after_loop ',
    r'qemu_file_fclose unix:.*',
    'savevm_state_cleanup ',
    'migrate_set_state new state completed',
]
DESTINATION = [
    'migrate_set_state new state setup',
    r'migration_set_incoming_channel type=unix name=.*',
    'migrate_set_state new state active',
    'loadvm_state_setup ',
    'loadvm_process_command com=CMD_OPEN_RETURN_PATH len=0',
    'loadvm_process_command_ping 0x1',
    'qemu_loadvm_state_section 1',
    r'qemu_loadvm_state_section_startfull \d+\(ram\) 0 4',
    r'qemu_loadvm_state_section_end \d+\(ram\) \d+ bytes -> 0',
    'qemu_loadvm_state_section 2',
    r'qemu_loadvm_state_section_partend \d+',
    'vmstate_downtime_checkpoint dst-first-device',
    r'vmstate_load timer, timer',
    r'vmstate_load cpu, cpu',
    r'vmstate_load_state cpu v\d+',
    r'vmstate_load_state_field cpu:env.pc exists=1',
    r'vmstate_post_load cpu v\d+ -> 0',
    'vmstate_load_state_end cpu end/0',
    r'vmstate_downtime_load type=non-iterable idstr=cpu instance_id=0 downtime=\d+',
    'qemu_loadvm_state_post_main 0',
    'vmstate_downtime_checkpoint dst-precopy-loadvm-completed',
    'vmstate_downtime_checkpoint dst-precopy-bh-vm-started',
    'migrate_set_state new state completed',
    'process_incoming_migration_co_end ret=0',
]


def events(path):
    """The lines of a log with their prefix checked, as 'name arguments'."""
    lines, last = [], 0.0
    with open(path, encoding='utf-8') as log:
        for number, line in enumerate(log.read().splitlines(), 1):
            match = LINE.match(line)
            check(match, '%s:%d: %r', path, number, line)
            lines.append('%s %s' % match.group(3, 4))
            when = float(match.group(2))
            check(when > last - 1, '%s:%d: time goes back', path, number)
            last = when
    return lines


def check_order(side, lines, wanted):
    at = 0
    for pattern in wanted:
        found = next((i for i in range(at, len(lines)) if re.fullmatch(pattern, lines[i])), None)
        check(found is not None, '%s: no %r after line %d of %d (%r)', side, pattern, at,
              len(lines), lines[at - 1] if at else '')
        at = found + 1


def traced_migration(bench):
    logs = {side: bench.path(side + '.log') for side in ('source', 'destination')}
    trace = ('-msg', 'timestamp=on', '-trace')
    move = Move(bench, EMULATOR, Bare('checker', harts=2, size='2M'), channels.Unix(bench),
                caps={'xbzrle': True, 'return_path': True},
                extra=trace + ('enable=*,file=' + logs['source'],),
                dst_extra=trace + ('enable=*,file=' + logs['destination'],))
    force_passes(move)
    move.run()
    lines = {side: events(path) for side, path in logs.items()}
    check_order('source', lines['source'], SOURCE)
    check_order('destination', lines['destination'], DESTINATION)
    info = move.info['ram']
    syncs = sum(line.startswith('migration_bitmap_sync_end ') for line in lines['source'])
    check_equal(syncs, info['dirty-sync-count'], 'syncs traced and counted')
    pages = sum(line.startswith('ram_save_page ') for line in lines['source'])
    check_equal(pages, info['normal'], 'normal pages traced and counted')
    deltas = sum(line.startswith('save_xbzrle_page ') for line in lines['source'])
    check(deltas > 0, 'no delta was traced')
    check(move.source.stderr().count('migrate_') == 0, 'trace lines on stderr: %s',
          move.source.stderr())


def refused(vm, command, /, **arguments):
    try:
        vm.command(command, **arguments)
    except QMPError as error:
        return str(error)
    return ''


def monitor_commands(bench):
    """Events are switched on and off while the machine runs; texts are QEMU's."""
    log = bench.path('log')
    vm = VM(bench, 'vm', EMULATOR, Bare('checker', size='2M'), extra=('-D', log))
    wait_alive(vm)
    check_equal(vm.command('trace-event-get-state', name='runstate_set'),
                [{'name': 'runstate_set', 'state': 'disabled', 'vcpu': False}], 'state')
    check('unknown event "nosuch"' in refused(vm, 'trace-event-get-state', name='nosuch'), 'get')
    check('unknown event "nosuch"' in refused(vm, 'trace-event-set-state', name='nosuch',
                                              enable=True), 'set')
    vm.command('trace-event-set-state', name='nosuch', enable=True, **{'ignore-unavailable': True})
    check('event "runstate_set" is not vCPU-specific' in
          refused(vm, 'trace-event-get-state', name='runstate_set', vcpu=0), 'vcpu')
    check_equal(vm.command('trace-event-get-state', name='nosuch*'), [], 'pattern without a match')
    vm.command('stop')
    check_equal(os.path.getsize(log), 0, 'log before anything is on')
    vm.command('trace-event-set-state', name='runst*', enable=True)
    vm.command('cont')
    with open(log, encoding='utf-8') as file:
        text = file.read()
    check(re.fullmatch(r'runstate_set current_run_state \d+ \(paused\) new_state \d+ '
                       r'\(running\)\n', text), 'log: %r', text)
    check_equal(vm.hmp('info trace-events runstate_*').strip(), 'runstate_set : state 1', 'info')
    check_equal(vm.hmp('trace-event runstate_set off'), '', 'trace-event')
    check_equal(vm.hmp('info trace-events runstate_set').strip(), 'runstate_set : state 0', 'info')
    check('unknown event "nosuch"' in vm.hmp('trace-event nosuch on'), 'HMP, unknown')
    check('state 0' in vm.hmp('info trace-events'), 'all')
    other = bench.path('other')
    check_equal(vm.hmp('logfile ' + other), '', 'logfile')
    check_equal(vm.hmp('log trace:vm_state_*'), '', 'log')
    vm.command('stop')
    with open(other, encoding='utf-8') as file:
        text = file.read()
    check(re.fullmatch(r'vm_state_notify running 0 reason \d+ \(paused\)\n', text), 'log: %r', text)
    check(vm.hmp('log nosuch').startswith('Log items (comma separated):'), 'log nosuch')


def log_items(bench):
    """-d int, guest_errors and unimp say what the guest does."""
    log = bench.path('log')
    vm = VM(bench, 'vm', EMULATOR, Bare('checker', size='2M'), qtest=True,
            extra=('-d', 'int,guest_errors,unimp,cpu_reset', '-D', log))
    wait_alive(vm)
    qtest = vm.connect_qtest()
    for line in ('readl 0x60000', 'writel 0xc000004 1', 'writeb 0xc000004 1',
                 'readl 0x101100'):
        try:
            qtest.command(line)
        except RuntimeError:  # that is the one that is refused
            pass
    time.sleep(0.2)
    with open(log, encoding='utf-8') as file:
        text = file.read()
    check("Invalid read at addr 0x60000, size 4, region '(null)', reason: rejected\n" in text,
          'no unassigned read: %s', text[-2000:])
    check(re.search(r"Invalid write at addr 0x4, size 1, region '.*plic.*', reason: rejected\n",
                    text), 'no refused write: %s', text[-2000:])
    check('goldfish_rtc: read of register 0x100 is not implemented\n' in text, 'unimp: %s',
          text[-2000:])
    check(re.search(r'^CPU Reset \(CPU 0\)\n', text, re.M), 'no reset')
    check(re.search(r'^riscv_cpu_do_interrupt: hart:0, async:1, cause:0000000000000007, '
                    r'epc:0x[0-9a-f]{16}, tval:0x0{16}, desc=m_timer$', text, re.M), 'no interrupt')


CASES = [
    Case('a traced migration, both sides', traced_migration),
    Case('monitor commands', monitor_commands),
    Case('log items', log_items),
]

if __name__ == '__main__':
    main(CASES)
