#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ferry-inspect as people and programs call it: what the manual page says of its options, output,
JSON and exit status, its examples, pipes, progress, and the core in gdb. Streams are the golden
ones, so no QEMU is needed.

  FERRY_BUILD=build tests/inspect/test-cli.py [WORDS OF A CASE]
"""
import glob
import gzip
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ['FERRY_BUILD'])
INSPECT = os.path.join(BUILD, 'ferry-inspect')
GOLDEN = os.path.join(TOP, 'tests', 'interop', 'golden')
MANUAL = os.path.join(TOP, 'docs', 'ferry-inspect.1')
BARE = os.path.join(BUILD, 'tests', 'guest', 'bare.elf')
NO_GDB = 'gdb-multiarch is missing (package gdb-multiarch)'
NO_GUEST = 'no guest programs (package gcc-riscv64-linux-gnu)'
PAGE = 4096


class Failed(Exception):
    pass


class Skip(Exception):
    """What the case needs is not on this machine."""


def need(condition, what):
    """A user's machine may lack it; where everything has to be there, its absence is a failure."""
    if not condition:
        raise Failed(what) if os.environ.get('CI') else Skip(what)


def expect(ok, text):
    if not ok:
        raise Failed(text)


def run(*args, code=0, text=True, **more):
    more.setdefault('stdin', subprocess.DEVNULL) if 'input' not in more else None
    done = subprocess.run([INSPECT, *args], capture_output=True, text=text, timeout=60, **more)
    expect(done.returncode == code, 'ferry-inspect %s: exit status %d, expected %d: %s%s' % (
        ' '.join(args), done.returncode, code, done.stdout[:500], done.stderr[:500]))
    return done


def golden(name):
    return os.path.join(GOLDEN, name + '.mig.gz')


def unpacked(name, folder):
    path = os.path.join(folder, name + '.mig')
    with gzip.open(golden(name)) as src, open(path, 'wb') as dst:
        shutil.copyfileobj(src, dst)
    return path


def all_golden():
    return sorted(glob.glob(os.path.join(GOLDEN, '*.mig.gz')))


def manual():
    with open(MANUAL, encoding='utf-8') as f:
        text = f.read()
    text = re.sub(r'\\f[A-Z]|^\.[A-Z]+ ?', '', text, flags=re.M)
    return text.replace('\\-', '-').replace('\\(aq', "'").replace('\\e', '\\')


# -- JSON --

def keys_of(value, into):
    if isinstance(value, dict):
        for key, inner in value.items():
            into.add(key)
            if key not in ('pages', 'records') or isinstance(inner, list):
                keys_of(inner, into)
    elif isinstance(value, list):
        for inner in value:
            keys_of(inner, into)


def json_is_valid_and_documented(folder):
    """For good, cut and nonsensical input; every key that is ever used is in the manual page."""
    keys = set()
    nonsense = os.path.join(folder, 'nonsense \udcff')
    with open(nonsense, 'wb') as f:
        f.write(os.urandom(5000))
    cut = os.path.join(folder, 'cut')
    for path in all_golden():
        with gzip.open(path) as f:
            data = f.read()
        with open(cut, 'wb') as f:
            f.write(data[:len(data) * 2 // 3])
        for command in ('show', 'verify'):
            good = json.loads(run(command, '--json', path).stdout)
            expect(good['ok'] and 'problem' not in good, path)
            bad = json.loads(run(command, '--json', cut, code=1).stdout)
            expect(not bad['ok'] and bad['problem']['offset'] <= len(data), path)
            keys_of(good, keys)
            keys_of(bad, keys)
        keys_of(json.loads(run('diff', '--json', path, path).stdout), keys)
        if path != golden('virt-7.2'):
            other = json.loads(run('diff', '--json', path, golden('virt-7.2'), code=1).stdout)
            keys_of(other, keys)
    part = os.path.join(GOLDEN, 'part-ferry.part.gz')
    keys_of(json.loads(run('show', '--json', part, code=1).stdout), keys)
    bad = json.loads(run('verify', '--json', nonsense, code=1).stdout)
    expect(bad['problem']['offset'] == 0, str(bad))
    text = manual()
    missing = sorted(k for k in keys if not re.search(r'(?<![\w-])%s(?![\w-])' % re.escape(k), text))
    expect(not missing, 'keys that the manual page does not have: ' + ' '.join(missing))


def json_is_stable(folder):
    """The same stream gives the same bytes, from a file, a pipe, packed and not."""
    path = unpacked('virt-virtio-10.0', folder)
    first = run('show', '--json', path).stdout
    with open(path, 'rb') as f:
        piped = run('show', '--json', '-', input=f.read(), text=False).stdout.decode()
    packed = run('show', '--json', golden('virt-virtio-10.0')).stdout
    again = run('show', '--json', path).stdout

    def without_name(text):
        report = json.loads(text)
        del report['file']
        return json.dumps(report)
    expect(first == again, 'two runs differ')
    expect(without_name(first) == without_name(piped) == without_name(packed), 'sources differ')


# -- command line --

def exit_status_and_usage(folder):
    good, other = golden('none-7.2'), golden('virt-7.2')
    run('show', good)
    run('verify', good)
    run('diff', good, good)
    run('diff', good, other, code=1)
    cut = os.path.join(folder, 'cut')
    with open(unpacked('none-7.2', folder), 'rb') as src, open(cut, 'wb') as dst:
        dst.write(src.read()[:1000])
    for command in (['show', cut], ['verify', cut], ['extract', cut, '--page', '0']):
        done = run(*command, code=1)
        expect('offset 0x' in done.stdout + done.stderr, str(done))
    packed = os.path.join(folder, 'packed')
    with open(packed, 'wb') as dst:
        dst.write(b'\x28\xb5\x2f\xfd' + bytes(60))
    done = run('verify', packed, code=1)
    expect('zstd -dc' in done.stdout + done.stderr, str(done))
    for args in ([], ['show'], ['shou', good], ['verify', good, good], ['show', '/nonexistent'],
                 ['extract', good], ['extract', good, '--ram', 'ram'], ['show', folder],
                 ['extract', good, '--ram', 'ram', '--elf', '-o', cut], ['show', good, '--elf'],
                 ['extract', good, '--json', '--page', '0'], ['verify', good, '--ram', 'ram'],
                 ['extract', good, '--elf', '-o', cut], ['show', '--nonsense', good],
                 ['extract', good, '--ram', 'ram', '-o', '/nonexistent/x'],
                 ['convert', good, cut], ['convert', good, '--to', 'stream'], ['show', good, '--checksum'],
                 ['convert', good, cut, '--to', 'nothing'], ['verify', good, '--to', 'stream'],
                 ['diff', good, cut], ['diff', good, good, '--ram', 'nope']):
        done = run(*args, code=2)
        expect(done.stdout == '' and done.stderr.startswith('ferry-inspect: '), str(done))
        # what is wrong, and where to look: not a page of usage
        expect(len(done.stderr.splitlines()) <= 2, str(done))
    expect("Try 'ferry-inspect show --help'" in run('show', code=2).stderr, 'no hint at the help')
    expect('show, verify' in run('shou', good, code=2).stderr, 'no list of the commands')
    for command in ('show', 'verify', 'extract', 'diff'):
        text = run(command, '--help').stdout
        expect(text.startswith('usage: ferry-inspect ' + command), text)


def help_and_manual_agree(_folder):
    """Every line of usage is a line of the synopsis, and the other way round."""
    usage = run('--help').stdout
    said = {' '.join(line.replace('usage:', '').split())
            for line in usage.split('options:')[0].splitlines() if line.strip()}
    synopsis = manual().split('SYNOPSIS')[1].split('DESCRIPTION')[0]
    written = {' '.join(line.split()) for line in synopsis.splitlines()
               if line.strip().startswith('ferry-inspect')}
    expect(said == written, 'only in --help: %s; only in the manual page: %s' %
           (sorted(said - written), sorted(written - said)))
    options = set(re.findall(r'--[a-z]+', usage))
    expect(all(o in manual() for o in options), 'options without words in the manual page')


def every_command_has_help(_folder):
    """Its lines of usage, words, an example of the manual page, and no options but documented ones."""
    usage = [line.replace('usage:', '').strip() for line in run('--help').stdout.splitlines()]
    commands = sorted({line.split()[1] for line in usage if re.match('ferry-inspect [a-z]', line)})
    expect(commands == ['convert', 'diff', 'extract', 'show', 'verify'], str(commands))
    for command in commands:
        text = run(command, '--help').stdout
        expect(text == run('-h', command, '/nonexistent').stdout, 'the place of --help matters')
        head, _, words = text.partition('\n\n')
        lines = [line.replace('usage:', '').strip() for line in head.splitlines()]
        expect(lines == [u for u in usage if u.startswith('ferry-inspect %s ' % command)], head)
        example = re.search('^example: (.*)$', words, re.M).group(1)
        expect(example in manual(), '%s: not in the manual page: %s' % (command, example))
        for option in re.findall('--[a-z]+', text):
            expect(option in manual(), option)
    done = run('shou', '--help', code=2)
    expect("no command 'shou'" in done.stderr and done.stdout == '', done.stderr)


def examples_work(folder):
    """Those of the manual page, as they are printed there."""
    examples = manual().split('EXAMPLES')[1].split('NOTES')[0].strip().splitlines()
    examples = [e for e in examples if e.strip().startswith(('ferry-inspect', 'ssh', 'virsh'))]
    expect(len(examples) >= 6, str(examples))
    tools = os.path.join(folder, 'bin')
    os.mkdir(tools)
    os.symlink(INSPECT, os.path.join(tools, 'ferry-inspect'))
    # what is not there on every machine: another host, a pager, the kernel with its symbols
    for name, script in {'ssh': 'shift; exec "$@"', 'less': 'exec cat',
                         'virsh': 'exec cp guest.mig guest.sav'}.items():
        with open(os.path.join(tools, name), 'w', encoding='ascii') as f:
            f.write('#!/bin/sh\n%s\n' % script)
        os.chmod(os.path.join(tools, name), 0o755)
    os.rename(unpacked('virt-7.2', folder), os.path.join(folder, 'guest.mig'))
    os.rename(unpacked('virt-10.0', folder), os.path.join(folder, 'other.mig'))
    need(os.path.exists(BARE), NO_GUEST)
    need(shutil.which('gdb-multiarch'), NO_GDB)
    shutil.copy(BARE, os.path.join(folder, 'vmlinux'))
    run('extract', os.path.join(folder, 'guest.mig'), '--ram', 'riscv_virt_board.ram', '-o',
        os.path.join(folder, 'dump.raw'))
    env = dict(os.environ, PATH=tools + ':' + os.environ['PATH'], PAGER='cat')
    for example in examples:
        done = subprocess.run(['sh', '-c', 'set -e; ' + example], cwd=folder, env=env, text=True,
                              capture_output=True, timeout=60, input='quit\n')
        expect(done.returncode == (1 if 'other.mig' in example else 0),
               '%s: exit status %d: %s' % (example, done.returncode, done.stderr))
        expect(done.stdout or '-o' in example or 'dump.raw' in example or ' convert ' in example, example + ': says nothing')


# -- input --

def pipes(folder):
    """Nothing needs seeking: a fifo gives what the file gives."""
    for name in ('virt-written-7.2', 'mapped-ram-10.0', 'fixed-ram-ferry', 'virt-virtio-10.0'):
        path, fifo = unpacked(name, folder), os.path.join(folder, name + '.fifo')
        os.mkfifo(fifo)

        def feed():
            with open(path, 'rb') as src, open(fifo, 'wb') as dst:
                shutil.copyfileobj(src, dst, 4097)
        for command in (['show'], ['verify'], ['extract', '--page', '0x80000000' if 'virt' in name
                                               else '0x1000']):
            thread = threading.Thread(target=feed)
            thread.start()
            piped = run(*command, fifo).stdout
            thread.join()
            expect(piped.replace(fifo, path) == run(*command, path).stdout, name + ' '.join(command))


def offset_in_a_file(folder):
    path = unpacked('none-7.2', folder)
    moved = os.path.join(folder, 'moved')
    with open(path, 'rb') as src, open(moved, 'wb') as dst:
        dst.write(b'x' * 777 + src.read())
    run('verify', moved, '--offset', '777')
    run('verify', moved, '--offset', '0x309')
    done = run('verify', moved, '--offset', '99999999', code=1)
    expect('ends before offset 99999999' in done.stdout, done.stdout)
    run('verify', moved, '--offset', '-1', code=1)


def progress_is_for_terminals(_folder):
    """Only on a terminal, only when it takes a while, gone at the end."""
    def slow(write):
        with gzip.open(golden('virt-7.2')) as f:
            data = f.read()
        step = len(data) // 7
        for i in range(0, len(data), step):
            os.write(write, data[i:i + step])
            time.sleep(0.15)
        os.close(write)
    for options, tty in (([], True), (['--quiet'], True), ([], False)):
        read, write = os.pipe()
        leader, follower = pty.openpty()
        thread = threading.Thread(target=slow, args=(write,))
        process = subprocess.Popen([INSPECT, 'verify', *options, '-'], stdin=read, text=True,
                                   stdout=subprocess.PIPE, stderr=follower if tty
                                   else subprocess.PIPE)
        os.close(read)
        os.close(follower)
        thread.start()
        out = process.stdout.read()
        err = process.stderr.read() if not tty else ''
        process.wait(timeout=30)
        thread.join()
        try:
            while tty:
                err += os.read(leader, 65536).decode()
        except OSError:
            pass        # all of it was read: the other side is closed
        os.close(leader)
        expect(': ok: ' in out, out)
        if tty and not options:
            expect('MiB' in err and err.endswith('\r'), repr(err))
        else:
            expect(err == '', repr(err))


def ram_without_end(folder):
    """A background snapshot has none, and that is said; a stream that sent pages twice needs one."""
    name = golden('virt-snapshot-10.0')
    report = json.loads(run('show', '--json', name).stdout)
    expect('end' not in [s['type'] for s in report['sections']], 'the stream has an END')
    expect('background snapshot' in report['note'], str(report.get('note')))
    expect('; note: ' in run('verify', name).stdout, 'no note')
    path = unpacked('virt-delta-10.0', folder)
    report = json.loads(run('show', '--json', path).stdout)
    expect('note' not in report, str(report.get('note')))
    with open(path, 'r+b') as f:
        f.seek([s['offset'] for s in report['sections'] if s['type'] == 'end'][0])
        f.write(b'\x02')    # END becomes PART
    done = run('verify', path, code=1)
    expect("the stream ends, section 'ram' has not" in done.stdout, done.stdout)


# -- extract --

def raw_ram_is_compared(folder):
    path, raw = unpacked('virt-written-7.2', folder), os.path.join(folder, 'raw')
    run('extract', path, '--ram', 'riscv_virt_board.ram', '-o', raw)
    expect(run('diff', path, raw, '--ram', 'riscv_virt_board.ram').stdout == '', 'differs')
    with open(raw, 'r+b') as f:
        f.seek(5 * PAGE + 17)
        f.write(b'changed')
    for pair in ((path, raw), (raw, path)):
        done = run('diff', *pair, '--ram', 'riscv_virt_board.ram', code=1)
        expect(done.stdout == "block 'riscv_virt_board.ram': page 5 (0x5000)\n", done.stdout)
    done = run('diff', raw, raw, '--ram', 'riscv_virt_board.ram', code=2)
    expect('neither' in done.stderr, done.stderr)
    done = run('diff', path, raw, code=2)
    expect('--ram BLOCK' in done.stderr, done.stderr)
    # a stream and a mapped-ram file of the same guest have the same RAM
    run('diff', golden('none-cpu-10.0'), golden('mapped-ram-10.0'), '--ram', 'ram')


def pages(folder):
    path, raw = unpacked('virt-written-7.2', folder), os.path.join(folder, 'raw')
    run('extract', path, '--ram', 'riscv_virt_board.ram', '-o', raw)
    with open(raw, 'rb') as f:
        data = f.read()
    for page in (0, 512, 600, 1023):
        by_block = run('extract', path, '--page', 'riscv_virt_board.ram+0x%x' % (page * PAGE)).stdout
        by_address = run('extract', path, '--page', hex(0x80000000 + page * PAGE + 123)).stdout
        expect(by_block == by_address, 'page %d' % page)
        got, last = bytearray(), b''
        for line in by_block.splitlines()[1:]:
            if line == '*':
                continue
            at = int(line[:8], 16) - page * PAGE
            while len(got) < at:
                got += last
            last = bytes.fromhex(line[9:58].replace(' ', ''))
            got += last
        expect(bytes(got) == data[page * PAGE:(page + 1) * PAGE], 'page %d' % page)


def gdb(core, *commands, program=None):
    args = ['gdb-multiarch', '-nx', '-batch', '-iex', 'set auto-load no']
    for command in commands:
        args += ['-ex', command]
    done = subprocess.run(args + ([program] if program else []) + ['-c', core], text=True,
                          capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def core_in_gdb(folder):
    """Both harts, all their registers, code at pc, and names where the program has some."""
    need(shutil.which('gdb-multiarch'), NO_GDB)
    for name in ('virt-7.2', 'virt-10.0'):
        core = os.path.join(folder, name + '.core')
        run('extract', golden(name), '--elf', '-o', core)
        report = json.loads(run('show', '--json', golden(name)).stdout)
        for s in [s for s in report['sections'] if s.get('name') == 'cpu']:
            fields = {f['name']: f['value'] for f in s['fields'] if 'name' in f and 'value' in f}
            text = gdb(core, 'info threads', 'thread %d' % (s['instance'] + 1), 'info registers',
                       'print/x $f3', 'x/4i $pc')
            expect(len(re.findall(r'LWP [12] ', text)) >= 2, text)
            words = dict(re.findall(r'^(\w+) +0x([0-9a-f]+)\t', text, re.M))
            for register, number in (('ra', 1), ('sp', 2), ('a0', 10), ('a7', 17), ('t6', 31)):
                expect(int(words[register], 16) == fields['env.gpr'][number],
                       '%s: %s: %s' % (name, register, text))
            expect(int(words['pc'], 16) == fields['env.pc'], text)
            expect(len(re.findall(r'^(?:=>|  ) 0x[0-9a-f]+', text, re.M)) == 4, text)
            expect('Cannot access' not in text, text)
    if os.path.exists(BARE):
        text = gdb(core, 'bt', 'print options.harts', program=BARE)
        expect(re.search(r'#0 .*\w+ \(.*bare\.c|#0 .*start\.S', text), text)


CASES = [json_is_valid_and_documented, json_is_stable, exit_status_and_usage, help_and_manual_agree,
         every_command_has_help, examples_work, pipes, offset_in_a_file, progress_is_for_terminals, ram_without_end, raw_ram_is_compared,
         pages, core_in_gdb]


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ''
    todo = [c for c in CASES if wanted in c.__name__]
    failed = 0
    print('TAP version 13\n1..%d' % len(todo), flush=True)
    for number, case in enumerate(todo, 1):
        title = case.__name__.replace('_', ' ')
        with tempfile.TemporaryDirectory(prefix='ferry-inspect-') as folder:
            try:
                case(folder)
                print('ok %d - %s' % (number, title), flush=True)
            except Skip as reason:
                print('ok %d - %s # SKIP %s' % (number, title, reason), flush=True)
            except (Failed, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
                failed += 1
                print('not ok %d - %s' % (number, title), flush=True)
                for line in str(error).splitlines() or [repr(error)]:
                    print('# ' + line, flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
