#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The monitors answer as QEMU 7.2's do: the same bytes to both, answers compared. TAP.

QMP replies are compared as JSON (the order of members is QEMU's hash order
and means nothing), broken text by its error. HMP output is compared as text.
What differs on purpose is in DIFFERENT, with the reason.
"""
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

QEMU = 'qemu-system-riscv64'
FERRY = os.path.join(os.environ.get('FERRY_BUILD', 'build'), 'ferry-system-riscv64')

def cmd(command, /, **arguments):
    return json.dumps({'execute': command, 'arguments': arguments}).encode()


CAPS, PARAMS = 'migrate-set-capabilities', 'migrate-set-parameters'
QMP = [
    b'{"execute" "query-status"}', b'{"execute":}', b'{"execute":"query-status",}',
    b"{'execute':'query-status'}", b'{"execute":"query-name"} {"execute":"query-name"}',
    b'{"execute":1}', b'{"execute":"query-name","foo":1}', b'{}', b'{"arguments":{}}',
    b'{"execute":"query-name","id":1,"id":2}', b'{"a":nul}', b'{"execute":"query-\\u00e9"}',
    b'{1:2}', b'{"a":1 2}', b'[1 2]', b'[1,]', b'[,1]', b'[1 }]', b'{"a":1]}', b'{,}', b'{:}',
    b':', b',', b']', b'}', b'{"a"}', b'{"a":1,2:3}', b'{"a"', b'[[', b'\xff', b'1', b'"abc"',
    b'null', b'true', b'xyz', b'@', b'{"execute":"\\ud83d\\ude00"}', b'{"execute":"\\ud83dx"}',
    b'{"execute":"\\ude00"}', b'{"execute":"\\u12"}', b'{"execute":"\\uD83D\\u0041"}',
    b'{"execute":"\x80"}', b'{"execute":"\xc3("}', b'{"execute":"\xc3\xa9\xe2\x82\xac"}',
    b'{"execute":"\xed\xa0\x80"}', b'{"execute":"\xf5"}', b'{"execute":"\xc0\x80"}', b'@"{"',
    b'@ "abc" 1', b'@\n1', b'@\t1', b'@\x01', b'@\xc3\xa9x', b'@\xffx', b'@\x80x', b'@[', b'@]x',
    b'@,1,', b"'a\"b'", b'1.5e', b'1.5e+', b'-1', b'-', b'--1', b'1x', b'1"a"', b'truefalse',
    b'null1', b'TRUE', b'a1', b'%i', b'{"a":%(x)}', b'\\', b'{"execute":"query-name" /**/}',
    b'{"execute":"query-name","id":0x10}', b'{"execute":"query-name","id":.5}',
    b'{"execute":"query-name","id":01}', b'{"execute":"query-name","id":-}',
    b'{"execute":"query-name","id":1.}', b'{"execute":"query-name","id":+1}',
    b'{"execute":"query-name","id":1e5}', b'{"execute":"query-name","id":0.1}',
    b'{"execute":"query-name","id":18446744073709551616}',
    b'{"execute":"query-name","id":-9223372036854775809}',
    b'{"execute":"query-name","id":"tab\there"}', b'{"execute":"query-name","id":"\\uffff"}',
    b'{"execute":"query-name","id":"\\u0000\\u007f\\"\\\\/<>&\\t\\b"}',
    b'{"execute":"query-name","id":1E400}', b'{"execute":"query-name","arguments":1}',
    b'{"execute":"","id":1}', b'{"id":5,"execute":"nope"}', b'{"id":5,"bad":1}',
    b'{"execute":"stop","arguments":null}', b'{"exec-oob":"stop"}', b'{"event":"x"}',
    b'{"execute":"qmp_capabilities","id":[]}', b'[' * 1100, b'{"a":' * 1030 + b'1',
    cmd('stop', a=1), cmd('stop'), cmd('query-status'), cmd('query-target'), cmd('query-kvm'),
    cmd('query-uuid'), cmd('query-cpus-fast'), cmd('query-iothreads'), cmd('query-block'),
    cmd('query-named-block-nodes'), cmd('query-blockstats'), cmd('query-jobs'),
    *[cmd('blockdev-add', **more) for more in (
        {}, {'node-name': 'x'}, {'driver': 'bogus', 'node-name': 'x'}, {'driver': 'null-co'},
        {'driver': 'null-co', 'node-name': 'x 8'}, {'driver': 'null-co', 'node-name': 'a' * 40},
        {'driver': 'null-co', 'node-name': 'x', 'bogus': 1},
        {'driver': 'null-co', 'node-name': 'x', 'size': 'x'},
        {'driver': 'file', 'node-name': 'x'},
        {'driver': 'file', 'node-name': 'x', 'filename': '/nonexistent'},
        {'driver': 'raw', 'node-name': 'x'}, {'driver': 'raw', 'node-name': 'x', 'file': 'nope'},
        {'driver': 'raw', 'node-name': 'x', 'file': {'driver': 'bogus'}},
        {'driver': 'raw', 'node-name': 'x', 'file': {'driver': 'null-co', 'bogus': 1}},
        {'driver': 'raw', 'node-name': 'x', 'size': 1, 'offset': 512,
         'file': {'driver': 'null-co', 'size': 512}},
        {'driver': 'null-co', 'node-name': 'n', 'size': 4096},
        {'driver': 'null-co', 'node-name': 'n'}, {'driver': 'raw', 'node-name': 'r', 'file': 'n'},
        {'driver': 'raw', 'node-name': 's', 'file': {'driver': 'null-co', 'node-name': 'below'}})],
    *[cmd('blockdev-del', **{'node-name': name}) for name in ('n', 'below', 'r', 'n', 's', 'below')],
    cmd('blockdev-del'), cmd('query-named-block-nodes'),
    cmd('query-block-jobs'), cmd('query-pci'), cmd('query-stats'), cmd('query-stats', target='vm'),
    cmd('query-stats', target='vcpu', vcpus=['/machine/x']), cmd('query-stats', target='x'),
    cmd('query-stats', target='vm', providers=[{'provider': 'kvm'}]),
    cmd('query-stats', target='vm', providers=[{'provider': 'x'}]), cmd('query-stats-schemas'),
    cmd('query-stats-schemas', provider='kvm'), cmd('query-stats-schemas', provider='x'),
    cmd('query-tpm'), cmd('dumpdtb'), cmd('dumpdtb', filename='/nonexistent/f'),
    cmd('query-fdsets'), cmd('query-memory-size-summary'), cmd('query-balloon'),
    cmd('query-dump'), cmd('query-current-machine'), cmd('inject-nmi'),
    cmd('set_link', name='x', up=True), cmd('device_del', id='x'), cmd('device_add'),
    cmd('device_add', driver='nope'), cmd('device_add', driver='virtio-rng-device'),
    cmd('device_add', driver='virtio-rng-device', bus='virtio-mmio-bus.0'),
    cmd('system_wakeup'), cmd('set-action'),
    cmd('query-memory-devices'), cmd('query-hotpluggable-cpus'), cmd('query-mice'),
    cmd('query-memdev'), cmd('query-command-line-options', option='accel'),
    cmd('query-command-line-options', option='numa'), cmd('x-exit-preconfig'),
    cmd('qom-get', path='/machine', property='usb'),
    cmd('qom-get', path='/machine', property='memory'), cmd('qom-get', path='machine', property='usb'),
    cmd('qom-list', path='peripheral'), cmd('qom-list', path='nope'), cmd('qom-list', path=''),
    *[cmd('netdev_add', **more) for more in (
        {'id': 'n', 'type': 'hubport', 'hubid': 1}, {'id': 'n', 'type': 'hubport', 'hubid': 1},
        {'id': '0', 'type': 'hubport', 'hubid': 1}, {'id': 'o', 'type': 'bla'}, {'type': 'dgram'},
        {'id': 'o'}, {'id': 'o', 'type': 'hubport'}, {'id': 'o', 'type': 'hubport', 'bla': 1},
        {'id': 'o', 'type': 'hubport', 'hubid': 'x'}, {'id': 'o', 'type': 'dgram'},
        {'id': 'o', 'type': 'stream'}, {'id': 'o', 'type': 'socket'},
        {'id': 'o', 'type': 'socket', 'listen': 'x'},
        {'id': 'o', 'type': 'hubport', 'hubid': 1, 'netdev': 'zz'})],
    cmd('netdev_del', id='n'), cmd('netdev_del', id='n'), cmd('netdev_del'),
    *[cmd('chardev-change', id=name, backend={'type': kind, 'data': data}) for name, kind, data in (
        ('zz', 'null', {}), ('compat_monitor0', 'null', {}), ('zz', 'bla', {}))],
    *[cmd('device_add', driver='virtserialport', **more) for more in (
        {'id': 'p'}, {'id': 'p', 'bus': 'zz'}, {'id': '1p', 'bus': 'zz'})],
    *[cmd('object-add', **{'qom-type': kind, 'id': name, **more}) for kind, name, more in (
        ('nope', 'x', {}), ('rng-builtin', 'o', {}), ('rng-builtin', 'o', {}), (3, 'q', {}),
        ('rng-builtin', '1a', {}), ('rng-builtin', 3, {}), ('rng-builtin', 'p', {'filename': 'x'}),
        ('rng-random', 'p', {'filename': 3}), ('rng-random', 'p', {'filename': '/nonexistent'}),
        ('memory-backend-ram', 'm', {}), ('memory-backend-ram', 'm', {'size': 0}),
        ('memory-backend-ram', 'm', {'size': '1M'}),
        ('memory-backend-ram', 'm', {'size': 4096, 'share': 'on'}),
        ('memory-backend-ram', 'm', {'size': 4096, 'policy': 'nah'}),
        ('memory-backend-ram', 'm', {'size': 4096, 'prealloc-threads': 0}),
        ('memory-backend-ram', 'm', {'size': 4096}),
        ('memory-backend-file', 'f', {'size': 4096}), ('secret', 's', {}),
        ('secret', 's', {'data': 'x', 'file': 'y'}), ('secret', 's', {'data': 'x', 'format': 'y'}))],
    cmd('object-add'), cmd('object-add', id='z'), cmd('object-del'), cmd('object-del', id='m'),
    cmd('object-del', id='m'), cmd('object-del', id='o'),
    cmd('set-action', reboot='shutdown', shutdown='pause', panic='none', watchdog='debug'),
    cmd('set-action', reboot='reset', shutdown='poweroff'), cmd('set-action', reboot='x'),
    cmd('yank'), cmd('yank', instances=[]), cmd('yank', instances=[{'type': 'migration'}]),
    cmd('yank', instances=[{'type': 'chardev', 'id': 'x'}]), cmd('yank', instances=[{'type': 'x'}]),
    cmd('yank', instances=[{'type': 'chardev'}]), cmd('query-yank'),
     cmd('qom-list', value='a'),
    cmd('qom-list', path=5), cmd('qom-list', path='/foo'), cmd('qom-list', path='/machine/peripheral'),
    cmd('qom-get', path='/machine', property='type'), cmd('qom-get', path='/machine', property='x'),
    cmd('qom-set', path='/machine', property='type', value=1),
    cmd('device-list-properties', typename='foo'), cmd('device-list-properties', typename='machine'),
    cmd('qom-list-properties', typename='foo'), cmd('query-command-line-options', option='foo'),
    cmd('getfd', fdname='a'), cmd('closefd', fdname='a'), cmd('add-fd'),
    cmd('remove-fd', **{'fdset-id': 3}), cmd('remove-fd', **{'fdset-id': 3, 'fd': 5}),
    cmd('pmemsave', val=5, size='a', filename='x'), cmd('pmemsave', val=5.5, size=1, filename='x'),
    cmd('pmemsave', val=0, size=1, filename='/nonexistent/f'),
    cmd('pmemsave', val=2**64 - 1, size=1, filename='x'),
    cmd('memsave', val=0, size=1, filename='x'),
    cmd('memsave', val=0, size=1, filename='x', **{'cpu-index': 5}),
    cmd('dump-guest-memory', paging=False, protocol='file:/tmp/x', begin=1),
    cmd('human-monitor-command', **{'command-line': 'info status'}),
    cmd('human-monitor-command', **{'command-line': 'foo'}),
    cmd('human-monitor-command', **{'command-line': 'info status', 'cpu-index': 3}),
    cmd('ringbuf-read', device='x', size=1), cmd('ringbuf-write', device='x', data='y'),
    cmd(CAPS), cmd(CAPS, x=1), cmd(CAPS, capabilities=1), cmd(CAPS, capabilities=[1]),
    cmd(CAPS, capabilities=None), cmd(CAPS, capabilities=[{'capability': 'foo', 'state': True}]),
    cmd(CAPS, capabilities=[{'capability': 'xbzrle'}]),
    cmd(CAPS, capabilities=[{'capability': 'xbzrle', 'state': 'on'}]),
    cmd(CAPS, capabilities=[{'capability': 'xbzrle', 'state': True, 'z': 1}]),
    cmd(CAPS, capabilities=[{'capability': 1, 'state': True}]),
    cmd(CAPS, capabilities=[{'capability': 'xbzrle', 'state': True}]),
    cmd(PARAMS, **{'downtime-limit': 'x'}), cmd(PARAMS, **{'downtime-limit': 1.5}),
    cmd(PARAMS, **{'downtime-limit': -1}), cmd(PARAMS, bogus=1), cmd(PARAMS, **{'tls-creds': 1}),
    cmd(PARAMS, **{'max-bandwidth': -1}), cmd(PARAMS, **{'max-bandwidth': 1e30}),
    cmd(PARAMS, **{'cpu-throttle-tailslow': 1}), cmd(PARAMS, **{'max-cpu-throttle': 300}),
    cmd(PARAMS, **{'cpu-throttle-initial': 0}), cmd(PARAMS, **{'xbzrle-cache-size': 1}),
    cmd('migrate'), cmd('migrate', uri=1), cmd('migrate_cancel'), cmd('migrate-pause'),
    cmd('migrate-continue', state='foo'), cmd('migrate-continue', state='pre-switchover'),
    cmd('migrate-incoming', uri='tcp::0'), cmd('migrate-start-postcopy'), cmd('query-migrate'),
]

HMP = [
    'foo', 'info foo', 'stop x', 'info status', 'info status x', 'info name', 'info uuid',
    'info kvm', 'info pci', 'info block-jobs', 'info history', 'info block', 'info network', 'info iothreads', 'info balloon',
    'info stats', 'info stats vm', 'info stats vcpu a,b', 'info stats nah', 'info stats vm * kvm',
    'info stats vm * nah', 'info stats nah * nah', 'help info stats', 'dumpdtb', 'help dumpdtb',
    'info dump', 'info tpm', 'info memory_size_summary', 'help stop', 'help x', 'help foo',
    'help print', 'help info status', 'help pmemsave', 'x /4xw 0x1000', 'xp /4xw 0x1000',
    'xp /2xg 0x1000', 'xp /40xb 0x1000', 'xp /4dh 0x1000', 'xp /3uw 0x1000', 'xp /3ow 0x1000',
    'xp', 'x /x 0x50000', 'xp /s 0', 'xp /y 0', 'print /x 10', 'print /d 1+1', 'p /d 0x10*2',
    'p /c 65', 'p /u -1', 'p (1+2', 'p 5/0', 'p foo', 'p 1 2', 'print $zz', 'pmemsave 0 10', 'nmi',
    'getfd x', 'closefd x', 'migrate', 'migrate -z x', 'migrate -d',
    'migrate_set_capability xbzrle foo', 'migrate_set_capability foo on',
    'migrate_set_parameter', 'system_reset a', 'cont x y', 'quit x', 'cpu 5', 'cpu 0',
    'set_link a on', 'set_link a x', 'device_del z',
    'device_add', 'device_add nope', 'device_add id=x', 'device_add virtio-rng-device',
    'device_add driver=virtio-rng-device,bus=virtio-mmio-bus.0', 'device_add riscv.sifive.plic',
    'device_add virtio-rng-device,bus=nope', 'device_add virtio-rng-device,bus=virtio-mmio-bus.8',
    'object_add', 'object_add rng-builtin', 'object_add nope,id=x', 'object_add id=x',
    'object_add rng-builtin,id=h', 'object_add qom-type=rng-builtin,id=h', 'object_del h',
    'object_del h', 'object_del', 'object_add memory-backend-ram,id=h', 'help object_add',
    'object_add rng-builtin,id=h,filename=x', 'help object_del',
    'info numa', 'info mice', 'info memory-devices', 'info hotpluggable-cpus', 'exit_preconfig',
    'netdev_add', 'netdev_add hubport,id=h', 'netdev_add hubport,id=h,hubid=1,bla=2',
    'netdev_add hubport,id=h,hubid=1', 'netdev_del h', 'netdev_del h', 'netdev_del',
    'chardev-change zz null', 'chardev-change', 'chardev-change zz null,id=x', 'set_link a yes',
    'device_add virtserialport,id=p', 'help netdev_del', 'help chardev-change', 'help info numa',
    'device_del', 'system_wakeup', 'system_wakeup x', 'help device_add', 'help system_wakeup',
    'qom-list /machine/peripheral',
    'qom-get /machine type', 'dump-guest-memory',
]

DIFFERENT = {
    b'{"execute":"query-name","id":1E400}': 'QEMU answers with "inf", which is no JSON',
    cmd(PARAMS, **{'tls-creds': 1}): 'there is no TLS: only the empty string is taken',
    cmd(PARAMS, **{'xbzrle-cache-size': 1}): 'any size from a page up is taken',
    cmd('migrate-pause'): 'the text is that of QEMU 10.0',
    cmd('migrate'): 'the text is that of QEMU 10.0, which also takes channels',
    'object_add rng-builtin,id=h,filename=x': 'the words are those of -object: Invalid parameter',
    'help print': 'there is no access to registers by name',
}


def read_until(fd, done, timeout=10):
    """Bytes of fd until done(all) is true."""
    out, end = b'', time.monotonic() + timeout
    while not done(out):
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise TimeoutError(f'no answer within {timeout} s; so far {out!r}')
        data = os.read(fd, 65536)
        if not data:
            raise EOFError(f'the process ended; so far {out!r}')
        out += data
    return out


def normal(text):
    """Replies as comparable values, events and their times left out."""
    out = []
    for line in text.decode().splitlines():
        obj = json.loads(line.replace('"id": inf', '"id": "inf"'))
        for cpu in obj.get('return', []) if isinstance(obj.get('return'), list) else []:
            cpu.pop('thread-id', None) if isinstance(cpu, dict) else None
        if 'event' not in obj:
            out.append(obj)
    return out


def qmp_answers(binary):
    p = subprocess.Popen([binary, '-M', 'none', '-display', 'none', '-nodefaults', '-S', '-qmp',
                          'stdio'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    fd, out = p.stdout.fileno(), []
    try:
        read_until(fd, lambda b: b.endswith(b'\n'))
        p.stdin.write(b'{"execute":"qmp_capabilities"}\n')
        p.stdin.flush()
        read_until(fd, lambda b: b.endswith(b'\n'))
        for n, line in enumerate(QMP):
            mark = b'"id": "end %d"}\r\n' % n
            p.stdin.write(line + b'\n\xff\n{"execute":"query-name","id":"end %d"}\n' % n)
            p.stdin.flush()
            out.append(normal(read_until(fd, lambda b, m=mark: b.endswith(m))))
    finally:
        p.kill()
        p.wait()
    return out


def hmp_answers(binary, tmp):
    path = os.path.join(tmp, 'hmp')
    p = subprocess.Popen([binary, '-M', 'virt', '-m', '128M', '-display', 'none', '-nodefaults', '-S',
                          '-monitor', f'unix:{path},server=on,wait=off'],
                         stdin=subprocess.DEVNULL)
    try:
        s = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                s.connect(path)
                break
            except OSError:
                time.sleep(0.05)
        out = [read_until(s.fileno(), lambda b: b.endswith(b'(qemu) ')).decode()]
        for line in HMP:
            s.sendall(line.encode() + b'\n')
            got = read_until(s.fileno(), lambda b: b.endswith(b'\r\n(qemu) ')).decode()
            out.append(got.split('\r\n', 1)[1])     # without the echo
        return out
    finally:
        p.kill()
        p.wait()
        os.unlink(path)


def main():
    if not shutil.which(QEMU):
        if os.environ.get('CI'):    # there the peers have to be installed
            print(f'1..1\nnot ok 1 - {QEMU} is there (package qemu-system-misc)')
            return 1
        print(f'1..0 # SKIP {QEMU} is missing (package qemu-system-misc)')
        return 0
    print(f'1..{len(QMP) + len(HMP) + 1}')
    n = bad = 0
    theirs, ours = qmp_answers(QEMU), qmp_answers(FERRY)
    rows = [('qmp', line, a, b) for line, a, b in zip(QMP, theirs, ours)]
    with tempfile.TemporaryDirectory() as tmp:
        theirs, ours = hmp_answers(QEMU, tmp), hmp_answers(FERRY, tmp)
    # QEMU's line, and then who it really is
    ours[0] = re.sub(r' \(this is Ferry [0-9.]+\)', '', ours[0], count=1)
    rows += [('hmp', line, a, b) for line, a, b in zip(['(banner)'] + HMP, theirs, ours)]
    for kind, line, a, b in rows:
        n += 1
        shown = repr(line)[:70].replace('#', '')
        if line in DIFFERENT and a != b:
            print(f'ok {n} - {kind} {shown} (different: {DIFFERENT[line]})')
            continue
        bad += a != b
        print(f'{"ok" if a == b else "not ok"} {n} - {kind} {shown}')
        if a != b:
            print(f'#   QEMU:  {a!r}\n#   Ferry: {b!r}')
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
