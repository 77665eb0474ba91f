#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ferry-inspect convert: the captured streams in every layout and back, last contents, checksums, what
is refused, bounded memory, progress. (Whether Ferry restores such files: tests/migration/test-files.py.)

  FERRY_BUILD=build tests/inspect/test-convert.py [WORDS OF A CASE]
"""
import glob
import gzip
import json
import os
import pty
import random
import struct
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ['FERRY_BUILD'])
INSPECT = os.path.join(BUILD, 'ferry-inspect')
GOLDEN = os.path.join(TOP, 'tests', 'interop', 'golden')
LAYOUTS = ('stream', 'mapped-ram', 'fixed-ram')
NO_SUMS = 'Ferry was built without libxxhash'
PAGE = 4096
# a process of its own: a child counts what its parent had when it was forked
MEASURE = ('import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); '
           'print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)')


class Failed(Exception):
    pass


class Skip(Exception):
    """What the case needs is not in this build."""


def expect(ok, text):
    if not ok:
        raise Failed(text)


def run(*args, code=0, **more):
    more.setdefault('stdin', subprocess.DEVNULL)
    done = subprocess.run([INSPECT, *args], capture_output=True, text=True, errors='replace', timeout=120, **more)
    expect(done.returncode == code, 'ferry-inspect %s: exit status %d, expected %d: %s%s' % (
        ' '.join(args), done.returncode, code, done.stdout[:500], done.stderr[:500]))
    return done


def refused(words, *args, code=2, **more):
    done = run(*args, code=code, **more)
    expect(words in done.stderr, '%s: not "%s": %s' % (' '.join(args), words, done.stderr))


def unpacked(name, folder):
    path = os.path.join(folder, os.path.basename(name).split('.gz')[0])
    with gzip.open(os.path.join(GOLDEN, name)) as src, open(path, 'wb') as dst:
        dst.write(src.read())
    return path


def report(path):
    return json.loads(run('show', '--json', path).stdout)


def layout_of(path):
    return layout_in(report(path))


def layout_in(said):
    config = [s for s in said['sections'] if s['type'] == 'config']
    text = config[0]['text'] if config else ''
    return next((x for x in LAYOUTS if text.endswith(x) or x + ',' in text), 'stream')


def need_sums(path, folder):
    done = subprocess.run([INSPECT, 'convert', path, os.path.join(folder, 'sums?'), '--to', 'mapped-ram',
                           '--checksum'], capture_output=True, text=True, errors='replace', timeout=60, check=False)
    if 'built without libxxhash' in done.stderr:
        if os.environ.get('CI'):
            raise Failed(NO_SUMS)
        raise Skip(NO_SUMS)


def others(path, said):
    """All that is not RAM or names the layout, as bytes."""
    found = []
    with open(path, 'rb') as f:
        for s in said['sections']:
            if s['type'] not in ('config', 'start', 'part', 'end', 'json'):
                f.seek(s['offset'])
                found.append(f.read(s['length']))
    return found


def description(said):
    text = said.get('description')
    return text and json.loads(text)


def same(path, other, folder, layout=None):
    """No page and no field differs (diff looks at all that verify does), nothing else was changed."""
    run('diff', path, other)
    said, theirs = report(path), report(other)
    expect(layout in (None, layout_in(theirs)), '%s: not %s' % (path, layout))
    expect(others(path, said) == others(other, theirs),
           '%s, %s: something behind the pages was changed' % (path, other))
    one, two = description(said), description(theirs)
    for text in (one, two):
        (text or {}).get('configuration', {}).pop('subsections', None)
    expect(one == two, '%s: the description' % other)
    left = [name for name in os.listdir(folder) if name.startswith('.')]
    expect(not left, 'left behind: %s' % left)


# -- contents --

def golden_files_there_and_back(folder):
    for name in sorted(glob.glob(os.path.join(GOLDEN, '*.mig.gz'))):
        path = unpacked(name, folder)
        first = layout_of(path)
        for to in [x for x in LAYOUTS if x != first]:
            there, back = os.path.join(folder, 'there'), os.path.join(folder, 'back')
            run('convert', path, there, '--to', to)
            same(path, there, folder, to)
            small = '/none-cpu' in name or '-ram-' in name      # the others: only back
            for second in [x for x in LAYOUTS if x != to and (small or x == first)]:
                run('convert', there, back, '--to', second)
                same(path, back, folder, second)
                if second == first and name.endswith(('/none-7.2.mig.gz', '/virt-7.2.mig.gz',
                                                      '/none-cpu-7.2.mig.gz')):
                    with open(path, 'rb') as one, open(back, 'rb') as two:
                        expect(one.read() == two.read(), '%s: other bytes after %s' % (path, to))


def description_tells_the_layout(folder):
    """As QEMU writes it, to the byte, where a layout was there before."""
    path, out = unpacked('mapped-ram-10.0.mig.gz', folder), os.path.join(folder, 'out')
    run('convert', path, out, '--to', 'stream')
    expect('subsections' not in description(report(out))['configuration'], 'the capability is still described')
    back = os.path.join(folder, 'back')
    run('convert', out, back, '--to', 'mapped-ram')
    expect(report(back)['description'] == report(path)['description'], 'the description differs')


def stream(pages, records, footer=b'\x7e\0\0\0\x02'):
    end = struct.pack('>Q', 0x10) + footer
    yield b'QEVM\0\0\0\x03\x07\0\0\0\x04none' + b'\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04'
    yield struct.pack('>Q', pages * PAGE | 4) + b'\x03ram' + struct.pack('>Q', pages * PAGE) + end
    yield b'\x02\0\0\0\x02'
    yield from records
    yield end + b'\x03\0\0\0\x02' + end + b'\0'


def record(page, flag, data):
    return struct.pack('>Q', page * PAGE | flag) + b'\x03ram' + data


def write(path, parts):
    with open(path, 'wb') as f:
        f.writelines(parts)
    return path


def last_content_counts(folder):
    """Pages that come again, become zero, and are changed by deltas in between."""
    delta = b'\x01' + struct.pack('>H', 4) + b'\x04\x02\xee\xdd'    # bytes 4 and 5
    records = [record(0, 8, b'a' * PAGE), record(1, 8, b'b' * PAGE), record(2, 2, b'\0'),
               record(3, 8, b'd' * PAGE), record(4, 8, b'e' * PAGE), record(5, 2, b'\0'),
               record(0, 2, b'\0'), record(0, 0x40, delta), record(1, 0x40, delta), record(2, 0x40, delta),
               record(3, 2, b'\0'), record(4, 8, b'f' * PAGE), record(5, 8, b'\0' * PAGE)]
    changed = b'\xee\xdd'
    memory = [bytes(4) + changed + bytes(PAGE - 6), b'b' * 4 + changed + b'b' * (PAGE - 6),
              bytes(4) + changed + bytes(PAGE - 6), bytes(PAGE), b'f' * PAGE, bytes(PAGE)]
    for footer in (b'\x7e\0\0\0\x02', b''):
        path, out = write(os.path.join(folder, 'in'), stream(6, records, footer)), os.path.join(folder, 'out')
        for to in ('mapped-ram', 'fixed-ram'):
            run('convert', path, out, '--to', to)
            same(path, out, folder)
            raw = os.path.join(folder, 'raw')
            run('extract', out, '--ram', 'ram', '-o', raw)
            with open(raw, 'rb') as f:
                expect(f.read() == b''.join(memory), 'not the last contents')
            mapped = report(out)['blocks'][0]['records'].get('mapped', 0)
            expect(mapped == 4, 'pages in the bitmap: %s, expected the 4 that are not zero' % mapped)


def zero_pages_are_holes(folder):
    path = write(os.path.join(folder, 'in'), stream(4096, [record(i, 2, b'\0') if i != 77 else
                                                           record(i, 8, b'x' * PAGE) for i in range(4096)]))
    out = os.path.join(folder, 'out')
    run('convert', path, out, '--to', 'mapped-ram')
    used = os.stat(out).st_blocks * 512
    expect(used <= 1 << 20 and os.path.getsize(out) >= 16 << 20, '%d bytes on disk' % used)


# -- checksums --

def checksums_are_made_and_looked_at(folder):
    path, out = unpacked('virt-written-10.0.mig.gz', folder), os.path.join(folder, 'out')
    need_sums(path, folder)
    for to in ('mapped-ram', 'fixed-ram'):
        run('convert', path, out, '--to', to, '--checksum')
        same(path, out, folder)
        blocks = report(out)['blocks']
        expect(all('checksums-offset' in b for b in blocks), 'a block without checksums')
        checked = sum(b['checksums-checked'] for b in
                      json.loads(run('verify', '--json', out).stdout)['blocks'])
        expect(checked == 99, 'checked: %d pages' % checked)
        ram = next(b for b in blocks if b['name'] == 'riscv_virt_board.ram')
        with open(out, 'r+b') as f:     # a page that is in the file
            f.seek(ram['bitmap-offset'])
            bitmap = f.read(ram['length'] // PAGE // 8)
            page = next(i for i in range(len(bitmap) * 8) if bitmap[i // 8] >> i % 8 & 1)
            f.seek(ram['pages-offset'] + page * PAGE + 100)
            old = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([old[0] ^ 0x10]))
        bad = os.path.join(folder, 'bad')
        for target in LAYOUTS:
            refused('page %d (0x%x): it is not what was saved' % (page, page * PAGE), 'convert', out, bad,
                    '--to', target, code=1)
            expect(not os.path.exists(bad), 'a file was made of it')


# -- what is not converted --

def refusals_name_the_cause(folder):
    plain, mapped = unpacked('virt-7.2.mig.gz', folder), unpacked('mapped-ram-10.0.mig.gz', folder)
    out = os.path.join(folder, 'out')
    write(out, [b'what was there'])
    refused('ordinary stream already', 'convert', plain, out, '--to', 'stream')
    refused('no place for checksums', 'convert', mapped, out, '--to', 'stream', '--checksum')
    refused('has to be a file', 'convert', os.path.join(GOLDEN, 'virt-7.2.mig.gz'), out, '--to', 'mapped-ram')
    read, end = os.pipe()
    os.close(end)
    refused('has to be a file', 'convert', '-', out, '--to', 'mapped-ram', stdin=read)
    os.close(read)
    part = unpacked('part-ferry.part.gz', folder)
    with open(plain, 'rb') as f:
        data = f.read()
    cut = write(os.path.join(folder, 'cut'), [data[:len(data) * 2 // 3]])
    half = write(os.path.join(folder, 'half'), [data.replace(b'QEVM', b'part', 1)])
    for to in ('mapped-ram', 'fixed-ram'):
        refused('not completed', 'convert', part, out, '--to', to, code=1)
        refused('not completed', 'convert', half, out, '--to', to, code=1)
        refused('offset 0x', 'convert', cut, out, '--to', to, code=1)
        refused('no configuration', 'convert',
                write(os.path.join(folder, 'bare'), [b'QEVM\0\0\0\x03' + data[data.index(b'\x01\0\0\0'):]]),
                out, '--to', to)
    libvirt = write(os.path.join(folder, 'sav'), [struct.pack('<16s5I14I', b'LibvirtQemudSave', 2, 4, 1, 0, 0,
                                                              *[0] * 14), b'<a/>', data])
    refused('--offset 96', 'convert', libvirt, out, '--to', 'mapped-ram')
    fifo = os.path.join(folder, 'fifo')
    os.mkfifo(fifo)
    refused('no regular file', 'convert', plain, fifo, '--to', 'mapped-ram')
    refused('No such file', 'convert', plain, os.path.join(folder, 'no', 'out'), '--to', 'mapped-ram')
    with open(out, 'rb') as f:
        expect(f.read() == b'what was there', 'the output was touched')
    expect(not [n for n in os.listdir(folder) if n.startswith('.')], 'something was left behind')
    run('convert', libvirt, out, '--to', 'mapped-ram', '--offset', '96')
    same(plain, out, folder)


def onto_itself_and_through_links(folder):
    path, keep = unpacked('virt-7.2.mig.gz', folder), os.path.join(folder, 'keep')
    write(keep, [open(path, 'rb').read()])
    link = os.path.join(folder, 'link')
    os.symlink(path, link)
    run('convert', link, link, '--to', 'mapped-ram')
    expect(os.path.islink(link) and not os.path.islink(path), 'the link is gone')
    same(keep, path, folder)


def damaged_input(folder):
    """Whatever is wrong: exit status 0 or 1, no crash; with 1 there is no output."""
    rand = random.Random(20)
    for name in ('virt-delta-10.0.mig.gz', 'mapped-ram-sums-ferry.mig.gz', 'fixed-ram-ferry.mig.gz'):
        path, out = unpacked(name, folder), os.path.join(folder, 'out')
        with open(path, 'rb') as f:
            data = f.read()
        used = [i for i in range(0, len(data), 256) if data[i:i + 256].strip(b'\0')]
        for turn in range(60):
            bad = bytearray(data)
            for _ in range(1 + turn % 3):
                at = min(rand.choice(used) + rand.randrange(256), len(data) - 1)
                bad[at] ^= 1 << rand.randrange(8)
            write(os.path.join(folder, 'bad'), [bad if turn % 4 else bad[:rand.randrange(len(bad))]])
            to = 'stream' if 'ram' in name and turn % 2 else 'mapped-ram'
            done = subprocess.run([INSPECT, 'convert', os.path.join(folder, 'bad'), out, '--to', to],
                                  capture_output=True, text=True, errors='replace', timeout=60, check=False)
            expect(done.returncode in (0, 1, 2), '%s: turn %d: %d' % (name, turn, done.returncode))
            expect(os.path.exists(out) == (done.returncode == 0), '%s: turn %d: %s' % (name, turn, done))
            if done.returncode == 0:
                run('verify', out)
                os.unlink(out)
    expect(not [n for n in os.listdir(folder) if n.startswith('.')], 'something was left behind')


# -- how --

def memory_is_bounded(folder):
    """A guest of 192 MiB in a process of less than half of that."""
    pages = 192 << 8
    body = os.urandom(PAGE - 8)
    path = write(os.path.join(folder, 'in'), stream(pages, (record(i, 8, struct.pack('>Q', i) + body)
                                                            for i in range(pages))))
    mapped, back = os.path.join(folder, 'mapped'), os.path.join(folder, 'back')
    for args in ((path, mapped, '--to', 'mapped-ram'), (mapped, back, '--to', 'stream')):
        done = subprocess.run([sys.executable, '-c', MEASURE, INSPECT, 'convert', *args], check=True,
                              capture_output=True, text=True, timeout=120)
        expect(int(done.stdout) < 90 << 10, 'it took %s KiB of memory' % done.stdout)
    run('diff', path, back)


def progress_is_for_terminals(folder):
    path, out = unpacked('mapped-ram-10.0.mig.gz', folder), os.path.join(folder, 'out')
    for options, shown in (([], True), (['--quiet'], False)):
        leader, follower = pty.openpty()
        process = subprocess.Popen([INSPECT, 'convert', path, out, '--to', 'stream', *options],
                                   stderr=follower, stdin=subprocess.DEVNULL)
        process.wait(timeout=60)
        os.close(follower)
        text = b''
        try:
            while True:
                text += os.read(leader, 65536)
        except OSError:
            pass        # all of it was read
        os.close(leader)
        expect((b'out: 100%' in text and text.endswith(b'\r')) if shown else not text, repr(text))
    expect(run('convert', path, out, '--to', 'stream').stderr == '', 'words without a terminal')


CASES = [golden_files_there_and_back, description_tells_the_layout, last_content_counts,
         zero_pages_are_holes, checksums_are_made_and_looked_at, refusals_name_the_cause,
         onto_itself_and_through_links, damaged_input, memory_is_bounded, progress_is_for_terminals]


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ''
    todo = [c for c in CASES if wanted in c.__name__]
    failed = 0
    print('TAP version 13\n1..%d' % len(todo), flush=True)
    for number, case in enumerate(todo, 1):
        title = case.__name__.replace('_', ' ')
        with tempfile.TemporaryDirectory(prefix='ferry-convert-') as folder:
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
