#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The process as its parents see it: exit status and message of every start-up error that needs
more than the command line, -daemonize, -pidfile, signals, -msg, -sandbox. TAP on stdout.

usage: test-startup.py EMULATOR [--full]"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

EMULATOR = os.path.abspath(sys.argv[1])
FULL = '--full' in sys.argv
NAME = os.path.basename(EMULATOR)
TIMEOUT = 20
BASE = ['-nodefaults', '-display', 'none']

# A resolver takes each of these for a port, by leaving bits away.
NO_PORTS = [
    *((option, 'tcp:localhost:99999999', 'localhost', '99999999')
      for option in ('-qmp', '-monitor', '-serial', '-incoming')),
    ('-qmp', 'tcp:127.0.0.1:-1,server=on,wait=off', '127.0.0.1', '-1'),
    ('-chardev', 'socket,id=c,host=127.0.0.1,port=65536,server=on,wait=off', '127.0.0.1', '65536'),
    ('-chardev', 'socket,id=c,host=127.0.0.1,port=65536,reconnect=1', '127.0.0.1', '65536'),
    ('-netdev', 'socket,id=n,listen=127.0.0.1:65537', '127.0.0.1', '65537'),
    ('-netdev', 'socket,id=n,udp=127.0.0.1:65537,localaddr=127.0.0.1:0', '127.0.0.1', '65537'),
    ('-netdev', 'stream,id=n,addr.type=inet,addr.host=127.0.0.1,addr.port=65537', '127.0.0.1', '65537'),
    ('-netdev', 'dgram,id=n,local.type=inet,local.host=127.0.0.1,local.port=0,remote.type=inet,'
     'remote.host=127.0.0.1,remote.port=70000', '127.0.0.1', '70000'),
]

# Options after BASE -> what stderr must say behind "NAME: ". All exit with 1.
ERRORS = [
    (['-foo'], '-foo: invalid option'),
    (['-M', 'foo'], "unsupported machine type 'foo'"),
    (['-M', 'virt', '-chardev', 'null'], '-chardev null: chardev: no id specified'),
    (['-M', 'virt', '-chardev', 'foo,id=a'],
     "-chardev foo,id=a: 'foo' is not a valid char driver name"),
    (['-M', 'virt', '-chardev', 'null,id=a', '-chardev', 'null,id=a'],
     "-chardev null,id=a: Duplicate ID 'a' for chardev"),
    (['-M', 'virt', '-device', 'virtserialport,nr=1'],
     "-device virtserialport,nr=1: No 'virtio-serial-bus' bus found for device 'virtserialport'"),
    (['-M', 'virt', '-device', 'virtio-serial-device', '-device', 'virtserialport,nr=99'],
     '-device virtserialport,nr=99: virtio-serial-bus: Out-of-range port id specified, max. '
     'allowed: 30'),
    (['-M', 'virt', '-serial', 'foo:bar'], "'foo:bar' is not a valid char driver"),
    (['-M', 'virt', '-serial', 'chardev:zz'], 'chardev "zz" not found'),
    (['-M', 'virt', '-monitor', 'foo'], "-monitor foo: 'foo' is not a valid char driver"),
    (['-M', 'virt', '-qmp', 'foo'], "-qmp foo: 'foo' is not a valid char driver"),
    (['-M', 'virt', '-mon', 'bla'], '-mon bla: chardev "bla" not found'),
    (['-M', 'virt', '-serial', 'stdio', '-monitor', 'stdio'],
     'cannot use stdio by multiple character devices'),
    (['-M', 'virt', '-chardev', 'null,id=a', '-serial', 'chardev:a', '-monitor', 'chardev:a'],
     "Device 'a' is in use"),
    (['-M', 'none', '-qtest', 'foo'], "-qtest foo: 'foo' is not a valid char driver"),
    (['-M', 'none', '-qtest', 'null', '-qtest-log', '/nonexistent/x'],
     "cannot open qtest log '/nonexistent/x'"),
    (['-M', 'virt', '-kernel', '/nonexistent'], "could not load kernel '/nonexistent'"),
    (['-M', 'virt', '-kernel', EMULATOR], 'could not load kernel'),
    (['-M', 'virt', '-kernel', '/etc/passwd', '-initrd', '/nonexistent'], '/nonexistent'),
    (['-M', 'virt', '-bios', '/nonexistent'],
     'Unable to load the RISC-V firmware "/nonexistent"'),
    (['-M', 'none', '-kernel', '/etc/passwd'], 'The -kernel parameter is not supported'),
    (['-M', 'virt,memory-backend=foo'], "Memory backend 'foo' not found"),
    (['-M', 'virt,memory-backend=a', '-m', '64', '-object', 'memory-backend-ram,id=a,size=1M'],
     'does not match the size of the memory backend'),
    (['-M', 'virt', '-mem-path', '/nonexistent/ram'],
     "can't open backing store /nonexistent/ram for guest RAM"),
    (['-M', 'virt', '-m', '100T'], "RAM block 'riscv_virt_board.ram'"),
    (['-M', 'virt', '-cpu', 'foo'], 'foo'),
    (['-M', 'virt', '-cpu', 'rv64,foo=on'], 'foo'),
    (['-M', 'virt', '-device', 'virtio-blk-device,drive=none'], 'none'),
    (['-M', 'virt', '-device', 'virtio-rng-device,foo=1'], 'foo'),
    (['-M', 'virt', '-device', 'virtio-net-device,netdev=none'], 'none'),
    (['-M', 'virt', '-incoming', 'foo'], '-incoming foo: '),
    (['-M', 'virt', '-incoming', 'tcp:127.0.0.1'], '-incoming tcp:127.0.0.1: '),
    (['-M', 'virt', '-incoming', 'unix:/nonexistent/s'], '-incoming unix:/nonexistent/s: '),
    *((['-M', 'virt', option, value], f"Port number {port} in address '{host}:{port}' is not in the range "
       '0..65535') for option, value, host, port in NO_PORTS),
    (['-M', 'none', '-global', 'migration.x-foo=on'], '-global migration.x-foo=on: '),
    (['-M', 'none', '-global', 'migration.max-bandwidth=x'],
     '-global migration.max-bandwidth=x: '),
    (['-M', 'none', '-D', '/nonexistent/x'], 'Error opening logfile /nonexistent/x'),
    (['-M', 'none', '-pidfile', '/nonexistent/x'],
     "cannot create PID file: Could not create '/nonexistent/x': No such file or directory"),
]


class Skip(Exception):
    """This build has not what the case is about."""


def need(condition, what):
    """A user's machine may lack it; where everything has to be there (CI is set), its absence is a failure."""
    if not condition:
        raise AssertionError(what) if os.environ.get('CI') else Skip(what)


def run(options, **kwargs):
    return subprocess.run([EMULATOR, *BASE, *options], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=TIMEOUT, **kwargs)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_for(condition, what):
    end = time.monotonic() + TIMEOUT
    while not condition():
        expect(time.monotonic() < end, 'timeout: ' + what)
        time.sleep(0.01)


def test_errors():
    for options, message in ERRORS:
        result = run(options)
        text = f'{" ".join(options)}: exit {result.returncode}: {result.stderr!r}'
        expect(result.returncode == 1, text)
        expect(result.stderr.startswith(NAME + ': '), text)
        expect(message in result.stderr, f'{text}, expected {message!r}')
        expect(result.stdout == '', text + f' and stdout {result.stdout!r}')


def test_output():
    for options, text in ((['-version'], 'QEMU emulator version 7.2.22 (Ferry '),
                          (['-help'], 'usage: ' + NAME), (['-M', 'help'], 'virt-7.2')):
        result = run(options)
        expect(result.returncode == 0 and result.stderr == '' and text in result.stdout,
               f'{options}: {result}')


def qmp_session(path):
    """Greeting, capabilities; returns a function that executes a command."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(TIMEOUT)
    # The path is there a moment before anybody listens at it.
    wait_for(lambda: sock.connect_ex(path) == 0, 'somebody to listen')
    stream = sock.makefile('rw')
    expect('"QMP"' in stream.readline(), 'no greeting')

    def execute(name):
        stream.write('{"execute": "%s"}\n' % name)
        stream.flush()
        return stream.readline()
    expect('return' in execute('qmp_capabilities'), 'no capabilities')
    return execute, stream


def test_daemonize():
    with tempfile.TemporaryDirectory() as tmp:
        pidfile, monitor = tmp + '/qmp.pid', tmp + '/qmp.monitor'
        options = ['-S', '-no-user-config', '-nographic', '-machine', 'none,accel=kvm:tcg',
                   '-qmp', f'unix:{monitor},server=on,wait=off', '-pidfile', pidfile, '-daemonize']
        # run() reads stderr to its end: the daemon must have let go of it.
        result = run(options)
        expect(result.returncode == 0 and 'falling back to tcg' in result.stderr, str(result))
        with open(pidfile, encoding='ascii') as file:
            text = file.read()
        expect(re.fullmatch(r'\d+\n', text), f'pid file {text!r}')
        pid = int(text)
        try:
            for fd in (0, 1, 2):
                target = os.readlink(f'/proc/{pid}/fd/{fd}')
                expect(target == '/dev/null', f'fd {fd} of the daemon is {target}')
            # a session of its own that it does not lead: no terminal can become its own
            session = os.getsid(pid)
            expect(session not in (os.getsid(0), pid), f'session {session} of daemon {pid}')
            with open(f'/proc/{pid}/status', encoding='ascii') as file:
                expect('\nUmask:\t0027\n' in file.read(), 'umask')
            execute, stream = qmp_session(monitor)
            expect('prelaunch' in execute('query-status'), 'status')
            second = run(options[:-3] + ['-pidfile', pidfile])
            expect(second.returncode == 1 and 'Could not lock' in second.stderr, str(second))
        finally:
            os.kill(pid, signal.SIGTERM)
        expect('"SHUTDOWN"' in stream.readline(), 'no SHUTDOWN before the end')
        wait_for(lambda: not os.path.exists(pidfile), 'pid file gone')


def test_daemonize_error():
    result = run(['-M', 'none', '-daemonize', '-chardev', 'foo,id=a'])
    expect(result.returncode == 1 and 'not a valid char driver' in result.stderr, str(result))
    result = subprocess.run([EMULATOR, '-M', 'none', '-nographic', '-daemonize'], text=True,
                            stderr=subprocess.PIPE, timeout=TIMEOUT)
    expect(result.returncode == 1 and '-nographic cannot be used with -daemonize' in result.stderr,
           str(result))


def test_terminal_is_left_alone():
    """The monitor is on the terminal only with -nographic, and if there is no other."""
    with tempfile.TemporaryDirectory() as tmp:
        def run_on_terminal(number, options, until):
            path = f'{tmp}/out{number}'
            with open(path, 'w', encoding='ascii') as out:
                process = subprocess.Popen([EMULATOR, '-M', 'none', '-serial', 'null', '-pidfile',
                                            f'{tmp}/pid{number}', *options],
                                           stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE)

            def shown():
                with open(path, encoding='ascii') as out:
                    return '(qemu)' in out.read()
            try:
                until(shown)
            finally:
                process.terminate()
                process.communicate(timeout=TIMEOUT)
            return shown()

        expect(run_on_terminal(1, ['-nographic'], lambda shown: wait_for(shown, 'prompt')),
               'no monitor')

        def answers(_):
            wait_for(lambda: os.path.exists(tmp + '/m'), 'monitor')
            execute, _ = qmp_session(tmp + '/m')
            expect('return' in execute('query-status'), 'status')     # its loop has gone round
        expect(not run_on_terminal(2, ['-nographic', '-qmp', f'unix:{tmp}/m,server=on,wait=off'],
                                   answers), 'a second monitor')
        expect(not run_on_terminal(3, ['-display', 'none'], lambda _: wait_for(
            lambda: os.path.exists(tmp + '/pid3'), 'pid file')), 'a monitor without -nographic')


def start(options, **kwargs):
    return subprocess.Popen([EMULATOR, *BASE, *options], stdin=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, **kwargs)


def test_signals():
    with tempfile.TemporaryDirectory() as tmp:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            path = tmp + '/m'
            process = start(['-M', 'virt', '-bios', 'none', '-msg', 'timestamp=on',
                             '-no-shutdown', '-qmp', f'unix:{path},server=on,wait=off'])
            wait_for(lambda: os.path.exists(path), 'monitor')
            _, stream = qmp_session(path)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=TIMEOUT)
            expect(process.returncode == 0, f'{number!r}: exit {process.returncode}')
            pattern = (r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ' + re.escape(NAME) +
                       rf': terminating on signal {int(number)} from pid {os.getpid()} \(.+\)\n')
            expect(re.fullmatch(pattern, stderr), repr(stderr))
            rest = stream.read()
            expect('"host-signal"' in rest, rest)
            expect(not os.path.exists(path), 'the socket is left behind')


def test_quit_then_sigterm():
    """What libvirt does. Wherever the signal meets the end, it is an orderly one."""
    with tempfile.TemporaryDirectory() as tmp:
        path, pidfile = tmp + '/m', tmp + '/pid'
        for turn in range(200 if FULL else 8):
            process = start(['-M', 'virt', '-bios', 'none', '-pidfile', pidfile, '-qmp',
                             f'unix:{path},server=on,wait=off'])
            wait_for(lambda: os.path.exists(path), 'monitor')
            execute, _ = qmp_session(path)
            execute('quit')
            time.sleep(turn % 8 * 0.002)
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=TIMEOUT)
            expect(process.returncode == 0, f'turn {turn}: exit {process.returncode}: {stderr}')
            expect(os.listdir(tmp) == [], f'turn {turn}: left behind: {os.listdir(tmp)}')


def ended_by_second(process, pidfile, what):
    """Two signals: it has ended soon, if the first was not enough then by the second."""
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    _, stderr = process.communicate(timeout=TIMEOUT)
    took = time.monotonic() - begin
    expect(process.returncode in (0, -signal.SIGTERM), f'{what}: exit {process.returncode}')
    expect(took < 5, f'{what}: {took:.1f} s after a second signal, expected 1: {stderr}')
    expect(not os.path.exists(pidfile), f'{what}: the pid file is left behind')


def test_second_signal():
    """A second one ends it soon, whatever it waits for. (test-signals: a main thread that hangs.)"""
    with tempfile.TemporaryDirectory() as tmp:
        path, pidfile, fifo = tmp + '/m', tmp + '/pid', tmp + '/fifo'
        os.mkfifo(fifo)
        options = ['-M', 'virt', '-bios', 'none', '-pidfile', pidfile]
        process = start(options + ['-qmp', f'unix:{path},server=on,wait=off'])
        wait_for(lambda: os.path.exists(path), 'monitor')
        execute, stream = qmp_session(path)
        stream.write('{"execute":"migrate","arguments":{"uri":"exec:cat >/dev/null; sleep 60"}}\n')
        stream.flush()
        wait_for(lambda: '"status"' in execute('query-migrate'), 'migration')
        time.sleep(0.5)     # everything is sent
        ended_by_second(process, pidfile, 'a command that goes on')
        process = start(options + ['-incoming', 'file:' + fifo])
        wait_for(lambda: os.path.exists(pidfile), 'pid file')
        ended_by_second(process, pidfile, 'a pipe that nobody opens')


def test_signal_while_starting():
    """Nobody connects to what it waits for: one signal ends it, the pid file goes along."""
    with tempfile.TemporaryDirectory() as tmp:
        path, pidfile = tmp + '/s', tmp + '/pid'
        process = start(['-M', 'virt', '-pidfile', pidfile, '-serial',
                         f'unix:{path},server=on,wait=on'])
        wait_for(lambda: os.path.exists(path), 'socket')
        process.terminate()
        process.communicate(timeout=TIMEOUT)
        expect(process.returncode == -signal.SIGTERM, f'exit {process.returncode}')
        expect(not os.path.exists(pidfile), 'the pid file is left behind')


def test_signal_while_it_waits():
    """Whatever nobody ever answers at the start: one signal ends it, within a second."""
    with tempfile.TemporaryDirectory() as tmp:
        fifo, pidfile = tmp + '/fifo', tmp + '/pid'
        os.mkfifo(fifo)
        for options in (['-serial', 'file:' + fifo], ['-D', fifo, '-d', 'trace:x'],
                        ['-chardev', f'null,id=c,logfile={fifo}'], ['-kernel', fifo],
                        ['-bios', fifo], ['-serial', f'unix:{tmp}/s,server=on,wait=on']):
            process = start(['-M', 'virt', '-pidfile', pidfile, *options])
            wait_for(lambda: os.path.exists(pidfile), 'pid file')
            time.sleep(0.2)
            begin = time.monotonic()
            process.terminate()
            process.communicate(timeout=TIMEOUT)
            took = time.monotonic() - begin
            expect(took < 5, f'{options}: {took:.1f} s, expected 1')
            expect(process.returncode in (0, -signal.SIGTERM),
                   f'{options}: exit {process.returncode}')
            expect(not os.path.exists(pidfile), f'{options}: the pid file is left behind')


def test_no_greeting_before_an_error():
    """A client that connected before the process was up gets end of file, nothing else."""
    with tempfile.TemporaryDirectory() as tmp:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(tmp + '/m')
        listener.listen(1)
        client = socket.socket(socket.AF_UNIX)
        client.connect(tmp + '/m')
        fd = listener.fileno()
        process = start(['-chardev', f'socket,id=m,fd={fd},server=on,wait=off', '-mon',
                         'chardev=m,mode=control', '-M', 'virt', '-kernel', '/nonexistent'],
                        pass_fds=[fd])
        listener.close()
        client.settimeout(TIMEOUT)
        try:
            data = client.recv(100)
        except ConnectionResetError:
            data = b''
        _, stderr = process.communicate(timeout=TIMEOUT)
        expect(data == b'', f'answered {data!r}')
        expect(process.returncode == 1 and 'could not load kernel' in stderr, stderr)


def test_add_fd():
    """libvirt's serial port: an fd set, a pipe, opened by the path /dev/fdset/0."""
    reader, writer = os.pipe()
    process = start(['-M', 'none', '-add-fd', f'set=0,fd={writer},opaque=serial0-source',
                     '-chardev', 'file,id=c0,path=/dev/fdset/0,append=on', '-serial',
                     'chardev:c0'], pass_fds=[writer])
    os.close(writer)
    time.sleep(0.2)
    expect(process.poll() is None, 'ended')
    process.terminate()
    process.communicate(timeout=TIMEOUT)
    expect(process.returncode == 0, f'exit {process.returncode}')
    expect(os.read(reader, 10) == b'', 'the pipe is still open')
    os.close(reader)


SANDBOX = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'


def start_fenced(options):
    # The leak check of AddressSanitizer clones itself when all is over, and the fence is still there.
    sanitizer = os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0'
    return start(['-sandbox', SANDBOX, *options], env=dict(os.environ, ASAN_OPTIONS=sanitizer))


def test_sandbox():
    # A pid file that cannot be: where there is seccomp, too, it does not come to run.
    refused = run(['-M', 'none', '-sandbox', 'on', '-pidfile', '/nonexistent/x'])
    expect(refused.returncode == 1, str(refused))
    need('this build has no seccomp support' not in refused.stderr,
         'no seccomp in this build (package libseccomp-dev)')
    # What could only fail once somebody comes is refused at the start.
    refused = run(['-M', 'none', '-sandbox', SANDBOX, '-incoming', 'exec:cat /nonexistent'])
    expect(refused.returncode == 1 and '-incoming exec:cat /nonexistent: Failed to run' in
           refused.stderr and 'spawn=deny forbids new processes' in refused.stderr, str(refused))
    with tempfile.TemporaryDirectory() as tmp:
        path = tmp + '/m'
        process = start_fenced(['-M', 'virt', '-bios', 'none', '-qmp', f'unix:{path},server=on,wait=off'])
        wait_for(lambda: os.path.exists(path), 'monitor')
        execute, _ = qmp_session(path)
        expect('running' in execute('query-status'), 'does not run')
        with open(f'/proc/{process.pid}/status', encoding='ascii') as file:
            status = file.read()
        expect(re.search(r'^Seccomp:\s+2$', status, re.M), 'no filter')
        expect(re.search(r'^NoNewPrivs:\s+1$', status, re.M), 'new privileges')
        for task in os.listdir(f'/proc/{process.pid}/task'):
            with open(f'/proc/{process.pid}/task/{task}/status', encoding='ascii') as file:
                expect(re.search(r'^Seccomp:\s+2$', file.read(), re.M), f'thread {task}: no filter')
        process.terminate()
        _, stderr = process.communicate(timeout=TIMEOUT)
        expect(process.returncode == 0, f'exit {process.returncode}: {stderr}')
        # A file can be written: the migration's thread and channel work inside.
        process = start_fenced(['-M', 'none', '-m', '4', '-qmp', f'unix:{path},server=on,wait=off'])
        wait_for(lambda: os.path.exists(path), 'monitor')
        execute, stream = qmp_session(path)
        stream.write('{"execute":"migrate","arguments":{"uri":"file:%s/image"}}\n' % tmp)
        stream.flush()
        wait_for(lambda: '"completed"' in execute('query-migrate'), 'migration')
        process.terminate()
        _, stderr = process.communicate(timeout=TIMEOUT)
        expect(process.returncode == 0, f'exit {process.returncode}: {stderr}')


def main():
    tests = [(name, fn) for name, fn in globals().items() if name.startswith('test_')]
    failed = 0
    print(f'1..{len(tests)}')
    for i, (name, fn) in enumerate(tests, 1):
        try:
            fn()
            print(f'ok {i} - {name}', flush=True)
        except Skip as reason:
            print(f'ok {i} - {name} # SKIP {reason}', flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f'not ok {i} - {name}\n# {type(error).__name__}: {error}', flush=True)
    return 1 if failed else 0


sys.exit(main())
