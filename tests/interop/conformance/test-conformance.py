#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One stream bent in every way the format's specification knows, loaded by installed QEMU 7.2, by
QEMU 10.0 and by Ferry, all as real processes: the same verdict for every row, the same RAM and run
state where it loads, and a cause in Ferry's message where it does not. Rows where Ferry is better
on purpose, and rows where the two QEMUs are not of one mind, say why.

The stream is golden/none-7.2 (-M none -m 1M -S), taken apart below.

  FERRY_BUILD=build tests/interop/conformance/test-conformance.py [WORDS OF A ROW]
"""
import concurrent.futures
import gzip
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FERRY = os.path.join(os.path.abspath(os.environ['FERRY_BUILD']), 'ferry-system-riscv64')
QEMUS = {'7.2': [os.environ.get('QEMU72', 'qemu-system-riscv64')],
         '10.0': [os.environ.get('FERRY_QEMU10', os.path.join(HERE, '..', 'qemu10')),
                  'qemu-system-riscv64']}
GOLDEN = os.path.join(HERE, '..', 'golden', 'none-7.2.mig.gz')
PAGE = 4096
SIZE = 1 << 20
LIMIT = 20          # seconds for one load
PATIENCE = 4        # seconds after which a program that neither loads nor fails is said to wait
UUID = '00112233-4455-6677-8899-aabbccddeeff'

START, PART, END, FULL, SUBSECTION, JSON, CONFIG, COMMAND, FOOTER = 1, 2, 3, 4, 5, 6, 7, 8, 0x7E
ZERO, MEM_SIZE, RAW, EOS, CONTINUE, DELTA = 0x02, 0x04, 0x08, 0x10, 0x20, 0x40


class Failed(Exception):
    """A claim that did not hold; the text says which."""


class Missing(Exception):
    """A peer that is not installed: a failure only where all have to be (CI is set)."""


# -- the stream, piece by piece --

def u16(value):
    return struct.pack('>H', value)


def u32(value):
    return struct.pack('>I', value)


def u64(value):
    return struct.pack('>Q', value)


def counted(text):
    return bytes([len(text)]) + text


def footer(number):
    return bytes([FOOTER]) + u32(number)


def full(number, name, version, body, instance=0, kind=FULL):
    return (bytes([kind]) + u32(number) + counted(name) + u32(instance) + u32(version) + body +
            footer(number))


def part(records, number=2, kind=PART):
    return bytes([kind]) + u32(number) + records + u64(EOS) + footer(number)


def command(number, data=b''):
    return bytes([COMMAND]) + u16(number) + u16(len(data)) + data


def subsection(name, body, version=1):
    return bytes([SUBSECTION]) + counted(name) + u32(version) + body


def page(offset, flags, data=b'', block=b'ram'):
    """A page record with the block's name, or without one if the flags say CONTINUE."""
    return u64(offset | flags) + (b'' if flags & CONTINUE else counted(block)) + data


def delta(data, flag=1, length=None):
    return bytes([flag]) + u16(len(data) if length is None else length) + data


def blocks(total=SIZE, used=SIZE, name=b'ram'):
    return u64(total | MEM_SIZE) + counted(name) + u64(used) + u64(EOS)


def state(text, size=None, more=None):
    """more: what QEMU 10.0 has behind the first 32 bytes."""
    room = text.ljust(100, b'\0') if more is None else text.ljust(32, b'\0') + more.ljust(68, b'\0')
    body = u32(len(text) + 1 if size is None else size) + room
    return full(4, b'globalstate', 1, body)


ZEROS = page(0, ZERO, b'\0') + b''.join(page(n * PAGE, ZERO | CONTINUE, b'\0')
                                        for n in range(1, SIZE // PAGE))


class Stream:
    """The pieces of the golden stream by name; a row replaces some and joins them again."""
    ORDER = ('magic', 'version', 'config', 'setup', 'pages', 'end', 'timer', 'state', 'eof', 'json')

    def __init__(self, **changed):
        self.magic, self.version = b'QEVM', u32(3)
        self.config = bytes([CONFIG]) + u32(4) + b'none'
        self.setup = full(2, b'ram', 4, blocks(), kind=START)
        self.pages = part(ZEROS)
        self.end = part(b'', kind=END)
        self.timer = full(0, b'timer', 2, bytes(24))
        self.state = state(b'prelaunch')
        self.eof = b'\0'
        self.json = b''
        for name, value in changed.items():
            setattr(self, name, value)

    def bytes(self):
        return b''.join(getattr(self, name) for name in self.ORDER)


def golden():
    """The captured stream. What is built above has to be the same but for the description."""
    with gzip.open(GOLDEN) as f:
        data = f.read()
    ours = Stream().bytes()
    if not data.startswith(ours):
        raise SystemExit('the pieces do not add up to %s' % GOLDEN)
    return data, data[len(ours):]


ORIGINAL, DESCRIPTION = golden()


def bent(**changed):
    changed.setdefault('json', DESCRIPTION)
    return Stream(**changed).bytes()


def described_without(name):
    described = json.loads(DESCRIPTION[5:])
    described['devices'] = [d for d in described['devices'] if d['name'] != name]
    text = json.dumps(described).encode()
    return DESCRIPTION[:1] + u32(len(text)) + text


def named(name, more=b''):
    return bent(config=bytes([CONFIG]) + u32(len(name)) + name + more)


def configured(name, body):
    return named(b'none', subsection(b'configuration/' + name, body))


def records(*some):
    """The records, then the pages as captured."""
    return bent(pages=part(b''.join(some) + ZEROS))


def after(*some):
    """The records after the pages as captured."""
    return bent(pages=part(ZEROS + b''.join(some)))


def renumbered():
    def other(piece, old, new):
        return piece[:1] + u32(new) + piece[5:-4] + u32(new)
    s = Stream(json=DESCRIPTION)
    s.setup, s.pages, s.end = (other(p, 2, 77) for p in (s.setup, s.pages, s.end))
    s.timer, s.state = other(s.timer, 0, 3), other(s.state, 4, 0x10000)
    return s.bytes()


def capabilities(*names):
    return configured(b'capabilities',
                      u32(len(names)) + b''.join(counted(n.encode()) for n in names))


def without_footers():
    s = Stream(json=DESCRIPTION)
    for name in ('setup', 'pages', 'end', 'timer', 'state'):
        setattr(s, name, getattr(s, name)[:-5])
    return s.bytes()


def no(option):
    return ['-global', 'migration.%s=off' % option]


# -- the matrix --

class Row:
    """`stream`; what QEMU 7.2 (`qemu`), QEMU 10.0 (`ten`) and Ferry do with it ('loads', 'fails',
    'waits', 'crashes'); the words Ferry's message has to have when it refuses; `better`: why Ferry
    does not do what one of them does. `status` is the run state after it loads, None if that is
    nobody's business; `args`, `caps` and `uri` are for the destination; `only`: the one QEMU that
    can be asked."""

    def __init__(self, title, stream, qemu, ferry, words=None, args=(), better=None, ten=None,
                 caps=(), status='prelaunch', only=None, uri='exec:cat %s; exec cat > /dev/null'):
        ten = ten or qemu
        assert ((qemu, ten) != (ferry, ferry)) == bool(better), title
        assert (ferry == 'fails') == bool(words), title
        self.title = title
        self.stream = stream
        self.verdicts = {'7.2': qemu, '10.0': ten}
        self.peers = [only] if only else list(QEMUS)
        self.uri = uri      # whose way back is read to its end: not writing to it is our doing
        self.ferry = ferry
        self.words = words
        self.args = list(args)
        self.caps = list(caps)
        self.status = status
        self.better = better


def good(title, stream, **more):
    return Row(title, stream, 'loads', 'loads', **more)


def bad(title, stream, words, **more):
    return Row(title, stream, 'fails', 'fails', words, **more)


OTHER_UUID = '00112233-4455-6677-8899-aabbccddee00'
SAME_UUID = bytes.fromhex(UUID.replace('-', ''))
OPEN, PING = command(1), command(2, u32(1))
SETUP, LAST = Stream().setup, Stream().end
TEXT = bytes(range(256)) * 16
TIMER = Stream().timer
STATE = Stream().state
PAGES = Stream().pages
CONFIGURATION = Stream().config
NO_RUN_STATE = bent(state=b'', json=described_without('globalstate'))

ROWS = [
    good('as captured', ORIGINAL),
    good('description missing', bent(json=b'')),
    good('description cut', ORIGINAL[:-100]),
    good('something after the description', ORIGINAL + b'garbage' * 100),
    good('section ids renumbered', renumbered()),
    Row('timer section removed', bent(timer=b''), 'loads', 'fails', "no state of device 'timer'",
        better='the guest would run with a device as it is after a reset; the description tells'),
    Row('timer section removed, not described either',
        bent(timer=b'', json=described_without('timer')), 'loads', 'fails',
        "no state of device 'timer'.*with the devices that the source has",
        better='what every machine sends is missing'),
    good('timer section removed, no description', bent(timer=b'', json=b'')),
    Row('timer section twice', bent(timer=TIMER * 2), 'loads', 'fails', "device 'timer'.* twice",
        better='no sender writes it: which of the two is right cannot be known'),
    good('globalstate first', bent(config=CONFIGURATION + STATE, state=b'')),
    good('machine name a prefix', named(b'non')),
    good('machine name empty', named(b'')),
    good('target-page-bits 12', configured(b'target-page-bits', u32(12))),
    bad('target-page-bits 13', configured(b'target-page-bits', u32(13)), 'TARGET_PAGE_BITS.*13'),
    good('uuid, none here', configured(b'uuid', SAME_UUID)),
    good('uuid, the same here', configured(b'uuid', SAME_UUID), args=['-uuid', UUID]),
    bad('uuid, another here', configured(b'uuid', SAME_UUID), 'UUID received is',
        args=['-uuid', OTHER_UUID]),
    Row('zero page filled with 0x41', after(page(PAGE, ZERO | CONTINUE, b'A')), 'loads', 'fails',
        'zero page with value 65', ten='fails',
        better='no sender writes such a record, so it is damage; QEMU 10.0 refuses it as well'),
    good('whole page', after(page(3 * PAGE, RAW, TEXT))),
    good('the block named in every record', bent(pages=part(b''.join(
        page(n * PAGE, ZERO, b'\0') for n in range(SIZE // PAGE))))),
    good('CONTINUE across sections', bent(end=part(page(PAGE, RAW | CONTINUE, TEXT), kind=END))),
    good('block list twice', bent(setup=SETUP, pages=part(blocks()[:-8] + ZEROS))),
    good('delta without the capability',
         after(page(PAGE, DELTA, delta(b'\x08\x03abc')))),
    good('delta of length 0', after(page(PAGE, DELTA, delta(b'')))),
    good('delta that is new bytes, not XOR',
         after(page(PAGE, RAW, TEXT), page(PAGE, DELTA | CONTINUE, delta(b'\x08\x03abc')))),
    bad('bad magic', bent(magic=b'QEVN'), 'Not a migration stream'),
    bad('stream version 2', bent(version=u32(2)), 'v2|version 2'),
    bad('stream version 4', bent(version=u32(4)), 'version'),
    bad('configuration missing', bent(config=b''), 'Configuration section missing'),
    bad('another machine', named(b'nope'), "Machine type received is 'nope'"),
    bad('a longer machine name', named(b'none-x'), "Machine type received is 'none-x'"),
    Row('a machine name of 4 GiB', bent(config=bytes([CONFIG]) + u32(0xffffffff) + b'none'),
        'crashes', 'fails', '4294967295 bytes long',
        better='QEMU 7.2 aborts, out of memory; no length in a stream may do that'),
    bad('unknown section', bent(timer=full(9, b'nothing', 1, b'')),
        "section or instance 'nothing'"),
    bad('unknown instance', bent(timer=full(0, b'timer', 2, bytes(24), instance=7)),
        "section or instance 'timer' 7"),
    bad('section without a name', bent(timer=full(0, b'', 2, bytes(24))), 'ID string'),
    bad('PART of an unknown id', bent(end=part(b'', number=99)), 'section 99'),
    bad('PART before its START', bent(setup=PAGES, pages=SETUP), 'section 2'),
    bad('unknown type 9', bent(timer=b'\x09' + TIMER[1:]), 'section type 9'),
    bad('subsection at the top', bent(timer=subsection(b'timer/x', b'')), 'section type 5'),
    bad('timer version 3', bent(timer=full(0, b'timer', 3, bytes(24))), "version 3 .*timer"),
    bad('ram version 5', bent(setup=full(2, b'ram', 5, blocks(), kind=START)),
        'ram section version 5, expected 4'),
    bad('ram version 3', bent(setup=full(2, b'ram', 3, blocks(), kind=START)), 
        'ram section version 3, expected 4'),
    bad('footer missing', bent(timer=TIMER[:-5]), 'Missing section footer for timer'),
    bad('footer of another section', bent(timer=TIMER[:-4] + u32(5)),
        'Mismatched section id in footer for timer'),
    bad('ram footer missing', bent(pages=PAGES[:-5]), 'Missing section footer for ram'),
    bad('unknown configuration subsection', configured(b'else', b''), 'configuration/else'),
    bad('unknown timer subsection',
        bent(timer=TIMER[:-5] + subsection(b'timer/else', b'') + footer(0)), 'timer/else'),
    bad('unknown capability', capabilities('x-else'), 'unknown capability x-else'),
    bad('capability that is off here', capabilities('x-ignore-shared'),
        'Capability x-ignore-shared is off'),
    good('no capabilities named', capabilities()),
    bad('command 0', bent(end=command(0)), 'CMD.*0x0|command 0'),
    bad('command 0x7f', bent(end=command(0x7f)), 'CMD 0x7f'),
    bad('PING of 3 bytes', bent(setup=command(2, b'abc') + SETUP), 'PING.*length'),
    bad('PING without return path', bent(setup=PING + SETUP), 'no return path'),
    bad('CONTINUE first', bent(pages=part(page(0, ZERO | CONTINUE, b'\0'))), 'CONTINUE|block'),
    bad('offset at the end of the block', records(page(SIZE, ZERO, b'\0')), 'offset.*100000'),
    bad('offset far out', records(page(1 << 63, ZERO, b'\0')), 'offset'),
    bad('unknown block in a record', records(page(0, ZERO, b'\0', b'rom')), 'block.*rom'),
    bad('unknown block in the list', bent(setup=full(2, b'ram', 4, blocks(name=b'rom'),
                                                     kind=START)), 'ramblock "rom"'),
    *(bad('flags 0x%x' % flags, records(page(0, flags)), '0x%x' % flags)
      for flags in (0, 0x0a, 0x80, 0x100, 0x800)),
    bad('flags 0x200', records(page(0, 0x200)), 'multifd'),
    bad('delta flag 2', records(page(0, DELTA, delta(b'\x00\x01a', flag=2))), 'compression|flag'),
    bad('delta of 4097 bytes', records(page(0, DELTA, delta(bytes(4097)))), 'XBZRLE.*len'),
    bad('delta past the page', records(page(0, DELTA, delta(b'\xff\x1f\x05abcde'))),
        'XBZRLE'),
    bad('delta cut inside a run', records(page(0, DELTA, delta(b'\x00\x05ab'))), 'XBZRLE'),
    bad('used length 2 MiB', bent(setup=full(2, b'ram', 4, blocks(2 * SIZE, 2 * SIZE),
                                             kind=START)), 'Size mismatch: ram'),
    bad('used length half', bent(setup=full(2, b'ram', 4, blocks(SIZE // 2, SIZE // 2),
                                            kind=START)), 'Size mismatch: ram'),
    bad('total too large', bent(setup=full(2, b'ram', 4, blocks(2 * SIZE), kind=START)), 'block'),
    bad('unknown run state', bent(state=state(b'sleeping')), 'sleeping'),
    bad('cut inside a page', ORIGINAL[:0x50], 'Unexpected end of migration stream'),
    bad('cut before the devices', ORIGINAL[:0x96b], 'Unexpected end of migration stream'),
    Row('nothing at all', b'', 'waits', 'fails', 'Unexpected end of migration stream',
        better='a destination whose source has ended does not wait for ever'),

    # what the two ends have to agree upon beforehand
    good('no configuration, none expected', bent(config=b''), args=no('send-configuration')),
    bad('configuration, none expected', ORIGINAL, 'section type 7', args=no('send-configuration')),
    good('no footers, none expected', without_footers(), args=no('send-section-footer')),
    bad('footers, none expected', ORIGINAL, 'section type 126', args=no('send-section-footer')),
    bad('no footers, but expected', without_footers(), 'Missing section footer for ram'),
    good('no run state, none expected', NO_RUN_STATE, args=no('store-global-state'),
         status='paused'),
    good('no run state', NO_RUN_STATE, status='paused'),
    Row('no run state, but described', bent(state=b''), 'loads', 'fails',
        "no state of device 'globalstate'.*description lists it", status='paused',
        better='a sender describes what it has sent: this was lost on the way'),
    good('run state, none expected', ORIGINAL, args=no('store-global-state')),
    good('description, none expected', ORIGINAL, args=['-machine', 'none,suppress-vmdesc=on']),
    good('no description, none expected', bent(json=b''),
         args=['-machine', 'none,suppress-vmdesc=on']),
    bad('capability on here, not there', ORIGINAL, 'mapped-ram is on', caps=['mapped-ram'],
        only='10.0', uri='file:%s'),
    bad('capability on here, named with another', capabilities('x-ignore-shared'), 'x-ignore-shared',
        caps=['mapped-ram'], only='10.0', uri='file:%s'),
    bad('mapped-ram there, not here', capabilities('mapped-ram'), 'mapped-ram'),
    good('events, xbzrle, auto-converge on here', ORIGINAL,
         caps=['events', 'xbzrle', 'auto-converge', 'return-path']),

    # what QEMU 10.0 writes
    Row('command SWITCHOVER_START', bent(end=command(11) + LAST), 'fails', 'loads', ten='loads',
        better='Ferry takes the streams of both, whatever it sends itself'),
    good('run state as QEMU 10.0 writes it', bent(state=state(b'prelaunch', more=b'\1\0'))),
    good('run state whose guest was suspended', bent(state=state(b'prelaunch', more=b'\1\1'))),

    # commands
    good('OPEN_RETURN_PATH and PING', bent(setup=OPEN + PING + SETUP)),
    good('OPEN_RETURN_PATH twice', bent(setup=OPEN + OPEN + SETUP)),
    bad('OPEN_RETURN_PATH of 1 byte', bent(setup=command(1, b'x') + SETUP), 'RETURN_PATH.*length'),
    bad('POSTCOPY_ADVISE, the capability off', bent(setup=command(3, u64(PAGE) * 2) + SETUP),
        'POSTCOPY|postcopy'),
    bad('POSTCOPY_RUN first', bent(end=command(5)), 'POSTCOPY|postcopy'),
    Row('ENABLE_COLO', bent(setup=command(8) + SETUP), 'loads', 'fails', 'COLO', ten='fails',
        status=None, better='7.2 starts the guest and says "colo", whether that is on or not'),
    bad('PACKAGED of nothing', bent(end=command(7, u32(0))), 'PACKAGED|package'),

    # sections of the wrong kind
    good('ram as FULL', bent(setup=full(2, b'ram', 4, blocks()))),
    good('timer as START', bent(timer=full(0, b'timer', 2, bytes(24), kind=START))),
    bad('END of a section that has no START', bent(end=part(b'', number=0, kind=END)),
        'section 0'),
    good('the same id twice', bent(timer=full(2, b'timer', 2, bytes(24)))),
]


# -- loading --

class Verdict:
    """What a program did with a stream: `word` as in Row, the RAM's digest, its message."""

    def __init__(self, word, ram, text):
        self.word = word
        self.ram = ram
        self.text = text.strip()

    def __str__(self):
        return self.word + (': ' + self.text if self.text else '')


class Program:
    """One emulator process that loads one file; its QMP is on stdio."""

    def __init__(self, name, program, path, row, folder):
        self.name = name
        self.uri = row.uri % path
        self.row = row
        self.ram = os.path.join(folder, 'ram-' + self.name)
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            program + ['-nodefaults', '-no-user-config', '-display', 'none', '-M', 'none', '-m', '1M',
                       '-S', '-qmp', 'stdio', '-incoming', 'defer' if row.caps else self.uri] +
            row.args,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.timer = threading.Timer(LIMIT, self.process.kill)
        self.timer.start()

    def command(self, name, **arguments):
        """The answer, or None when the process is gone."""
        try:
            self.process.stdin.write(json.dumps({'execute': name, 'arguments': arguments}).encode()
                                     + b'\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        for line in self.process.stdout:
            answer = json.loads(line)
            if 'error' in answer:
                raise Failed('%s: %s' % (name, answer['error']['desc']))
            if 'return' in answer:
                return answer['return']
        return None

    def outcome(self):
        """'loads' when the load is over and the process still there, and so on."""
        end = time.monotonic() + PATIENCE
        answer = self.command('qmp_capabilities')
        if self.row.caps:
            self.command('migrate-set-capabilities',
                         capabilities=[{'capability': c, 'state': True} for c in self.row.caps])
            answer = self.command('migrate-incoming', uri=self.uri)
        while answer is not None:
            answer = self.command('query-status')
            if answer and answer['status'] != 'inmigrate':
                self.expect('run state', answer['status'], self.row.status)
                self.expect('migration', self.command('query-migrate').get('status'), 'completed')
                self.command('pmemsave', val=0, size=SIZE, filename=self.ram)
                self.command('quit')
                return 'loads'
            if time.monotonic() > end:
                self.command('quit')
                return 'waits'
            time.sleep(0.01)
        return 'fails'

    def expect(self, what, got, wanted):
        if got != wanted and self.row.status:
            raise Failed('%s: %s %s, expected %s' % (self.name, what, got, wanted))

    def end(self):
        """Leaves nothing behind; what the program wrote to its standard error."""
        self.timer.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass        # what it had not read yet
        with self.errors:
            self.errors.seek(0)
            return self.errors.read().decode('utf-8', 'replace')

    def verdict(self):
        try:
            word = self.outcome()
            code = self.process.wait(LIMIT)
        finally:
            text = self.end()
        if word == 'fails' and code < 0:
            word = 'crashes'
        elif code != (1 if word == 'fails' else 0):
            raise Failed('%s %s, but with exit status %d: %s' % (self.name, word, code, text))
        ram = None
        if word == 'loads':
            with open(self.ram, 'rb') as f:
                ram = hashlib.sha256(f.read()).hexdigest()
        return Verdict(word, ram, text)


def judge(row):
    """Raises Failed when the row does not hold; returns a note to print."""
    with tempfile.TemporaryDirectory(prefix='ferry-conformance-') as folder:
        path = os.path.join(folder, 'stream')
        with open(path, 'wb') as f:
            f.write(row.stream)
        ours = Program('Ferry', [FERRY], path, row, folder).verdict()
        if ours.word != row.ferry:
            raise Failed('Ferry ' + str(ours))
        if row.words and not re.search(row.words, ours.text):
            raise Failed('Ferry names no cause like %r: %s' % (row.words, ours.text))
        for version in row.peers:
            program = QEMUS[version]
            if not shutil.which(program[0]):
                raise Missing('%s is not there (package qemu-system-misc)' % program[0])
            theirs = Program('QEMU-' + version, program, path, row, folder).verdict()
            if theirs.word != row.verdicts[version]:
                raise Failed('QEMU %s %s' % (version, theirs))
            if ours.ram and theirs.ram and ours.ram != theirs.ram:
                raise Failed('both Ferry and QEMU %s load it, but the RAM differs' % version)
    return other_on_purpose(row)


def other_on_purpose(row):
    if not row.better:
        return None
    return 'QEMU 7.2 %s, QEMU 10.0 %s, Ferry %s on purpose: %s' % (
        row.verdicts['7.2'], row.verdicts['10.0'], row.ferry, row.better)


def outcome(row):
    try:
        return 'ok', row.title, judge(row)
    except Missing as error:
        if not os.environ.get('CI'):
            return 'ok', '%s # SKIP %s' % (row.title, error), None
        return 'not ok', row.title, str(error)
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        return 'not ok', row.title, str(error)


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ''
    rows = [row for row in ROWS if wanted in row.title]
    good_so_far = True
    print('TAP version 13\n1..%d' % len(rows), flush=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for number, (verdict, title, note) in enumerate(pool.map(outcome, rows), 1):
            print('%s %d - %s' % (verdict, number, title), flush=True)
            for line in (note or '').splitlines():
                print('# ' + line, flush=True)
            good_so_far = good_so_far and verdict == 'ok'
    return 0 if good_so_far else 1


if __name__ == '__main__':
    sys.exit(main())
