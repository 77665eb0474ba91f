#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Postcopy, timed: Ferry to Ferry and, in the same run, QEMU 10.0 to QEMU 10.0, on the same CPU.

    latency   a bare guest reads one word of each of its pages once, in a line or in no order, and
              looks at its own clock before and after: how long a page takes to be there. A read of
              10 us and more is a fault. With 1 and 2 harts, the background on (no limit) and off
              (QEMU: limited to a page a second), preempt off and on, and for Ferry with neighbours
              sent along (forward/backward)
    move      the load generator, which dirties memory faster than the link: downtime (STOP at the
              source to RESUME at the destination), time from there until all memory is there, and
              what the guest gets done meanwhile, of what it does undisturbed
    size      the downtime of the switch of a sparse guest of 1, 64 and 256 GiB before its first pass

Over the loopback (lo) and over a pair of virtual cards, each in a network namespace of its own and
shaped by tbf to 1 Gbit/s (veth; needs root). QEMU needs userfaultfd: root, or
vm.unprivileged_userfaultfd=1.

The programs take turns; who is first changes with every turn. Printed is the median over the turns
with half the distance of the quartiles, then Ferry's in QEMU's. Look at the host's load that it prints
before believing a time.

    postcopy.py [--quick] [--runs N] [--parts latency,move,size] [--nets lo,veth] [--memory MIB]
                [--rows PATTERN] [--only NAME] [--json FILE]
    postcopy.py --from FILE --write         the tables of docs/devel/postcopy-measured.md
"""
import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'tests', 'migration'))
from ferrytest import emulators  # noqa: E402
from ferrytest.guest import Bare  # noqa: E402
from ferrytest.host import may_use_userfaultfd  # noqa: E402
from ferrytest.move import wait_alive, wait_migration  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.tap import Bench, Failed, check, wait_until  # noqa: E402

DOC = os.path.join(TOP, 'docs', 'devel', 'postcopy-measured.md')
MIB = 1 << 20
SLOW = MIB              # bytes a second before the switch: next to nothing is sent
PAGE_A_SECOND = 4096
FAULT_TICKS = 96        # 10 us at 10 MHz, as the guest's buckets have it
TICK_US = 0.1
QEMU = 'qemu-10.0'
FERRY = 'ferry'


# ---- networks ----

class Loopback:
    name = 'lo'
    address = '127.0.0.1'

    def prefix(self, _side):
        return []

    def close(self):
        pass


class Veth:
    """Two namespaces with a shaped pair of cards between them."""
    name = 'veth'
    address = '10.232.0.2'

    def __init__(self):
        self.names = ['ferry-bench-%d-%s' % (os.getpid(), side) for side in 'ab']
        self.made = []
        a, b = self.names
        for name in self.names:
            self._ip('netns', 'add', name)
            self.made.append(name)
        self._ip('link', 'add', 'wire', 'netns', a, 'type', 'veth', 'peer', 'name', 'wire',
                 'netns', b)
        for number, name in enumerate(self.names):
            self._ip('-n', name, 'addr', 'add', '10.232.0.%d/24' % (number + 1), 'dev', 'wire')
            self._ip('-n', name, 'link', 'set', 'wire', 'up')
            subprocess.run(['tc', '-n', name, 'qdisc', 'add', 'dev', 'wire', 'root', 'tbf', 'rate',
                            '1gbit', 'burst', '128kb', 'latency', '5ms'], check=True)

    @staticmethod
    def _ip(*words):
        subprocess.run(['ip', *words], check=True)

    def prefix(self, side):
        return ['ip', 'netns', 'exec', self.names[side == 'destination']]

    def close(self):
        for name in self.made:
            subprocess.run(['ip', 'netns', 'del', name], check=False)


NETS = {'lo': Loopback, 'veth': Veth}


# ---- one move ----

def stamp_ms(event):
    return event['timestamp']['seconds'] * 1e3 + event['timestamp']['microseconds'] / 1e3


def event_ms(vm, name, status=None):
    """When the last event of this name, and of this status, was."""
    found = [e for e in vm.qmp.poll_events()
             if e['event'] == name and status in (None, e.get('data', {}).get('status'))]
    check(found, '%s: no event %s %s', vm.name, name, status or '')
    return stamp_ms(found[-1])


class Pair:
    """A guest at `source`; move() switches it over to `destination` at once."""

    def __init__(self, bench, emulator, guest, net, preempt=False, background=True, extra=(),
                 **ferry_only):
        self.is_ferry = emulator.is_ferry
        self.net = net
        caps = {'events': True, 'postcopy_ram': True, 'postcopy_preempt': preempt}
        self.source, self.destination = (self._start(bench, emulator, guest, side, extra)
                                         for side in ('source', 'destination'))
        wait_alive(self.source)
        for vm in (self.source, self.destination):
            vm.set_capabilities(**caps)
        self.source.set_parameters(max_bandwidth=SLOW, max_postcopy_bandwidth=0)
        if self.is_ferry:
            self.source.set_parameters(x_postcopy_background='linear' if background else 'none',
                                       **ferry_only)
        elif not background:
            self.source.set_parameters(max_postcopy_bandwidth=PAGE_A_SECOND)

    def _start(self, bench, emulator, guest, side, extra):
        inside = emulators.Emulator(emulator.name, self.net.prefix(side) + emulator.argv,
                                    emulator.machine, emulator.cpu, emulator.is_ferry,
                                    emulator.version)
        return VM(bench, side, inside, guest, extra=extra,
                  incoming='defer' if side == 'destination' else None)

    def move(self):
        self.destination.command('migrate-incoming', uri='tcp:%s:0' % self.net.address)
        port = wait_until(lambda: self.destination.migration().get('socket-address'), 20,
                          'the destination to listen')[-1]['port']
        self.source.command('migrate', uri='tcp:%s:%s' % (self.net.address, port))
        wait_migration(self.source, ('active',))
        self.source.command('migrate-start-postcopy')
        wait_until(lambda: self.destination.status() == 'running', 60, 'the guest to run there')

    def rest(self):
        """Nobody waits for the rest any more."""
        if self.is_ferry:
            self.source.set_parameters(x_postcopy_background='linear')
        self.source.set_parameters(max_postcopy_bandwidth=0)
        wait_migration(self.source)
        wait_migration(self.destination)

    def gap_ms(self):
        return event_ms(self.destination, 'RESUME') - event_ms(self.source, 'STOP')


# ---- latency ----

def quantile(took, share):
    """us: the middle of the bucket that holds it."""
    left = share * sum(count for _, _, count in took)
    for low, high, count in took:
        left -= count
        if left <= 0:
            return (low + high) / 2 * TICK_US
    return 0


def next_bucket(ticks):
    step = max(1, 1 << max(0, ticks.bit_length() - 3))
    return ticks + step


def parse_touches(line):
    """[(ticks from, below, how many)] of the faults, and how many reads were none."""
    pairs = [tuple(map(int, word.split(':'))) for word in line.split()[1:]]
    took = [(low, next_bucket(low), count) for low, count in pairs if low >= FAULT_TICKS]
    return took, sum(count for low, count in pairs if low < FAULT_TICKS)


def touch(bench, emulator, net, options, row):
    # With the background on the guest has to find something missing before all has come by itself.
    memory = options.memory * (4 if row['background'] else 1)
    guest = Bare('touch', memory, row['harts'], random=int(row['access'] == 'random'),
                 size=memory * MIB // 2 // row['harts'], print=10)
    forward, backward = map(int, row['prefault'].split('/'))
    pair = Pair(bench, emulator, guest, net, row['preempt'], row['background'],
                x_postcopy_prefault_forward=forward, x_postcopy_prefault_backward=backward)
    pair.move()
    there = pair.destination.console
    there.type('g')
    there.wait_for(r'^touch: gen=%s ' % ','.join('1' * row['harts']), 120)
    there.type('t')
    took, hits = parse_touches(there.wait_for(r'^touches:.*\n', 30).group(0))
    pair.rest()
    last = pair.destination.console.statuses()[-1]
    last.check_clean('destination')
    faults = sum(count for _, _, count in took)
    check(faults > 0, 'nothing was missing: the guest came after its memory')
    return {'faults': faults, 'hits': hits,
            'mean': sum((low + high) / 2 * count for low, high, count in took) * TICK_US / faults,
            'p50': quantile(took, 0.5), 'p99': quantile(took, 0.99),
            'took': [[low * TICK_US, count] for low, _, count in took]}


def latency_rows(options):
    quick = options.quick
    for access, harts, background, preempt in itertools.product(
            ('random',) if quick else ('random', 'sequential'), (1, 2), (True, False),
            (False, True)):
        for prefault in ('0/0', '16/4') if quick else ('0/0', '4/0', '16/4'):
            yield {'access': access, 'harts': harts, 'background': background, 'preempt': preempt,
                   'prefault': prefault}


# ---- whole moves ----

def generations(vm):
    last = vm.console.statuses()[-1]
    return sum(last.generations), last.ms


def whole(bench, emulator, net, options, row):
    guest = Bare('loadgen', options.memory * 4, row['harts'], print=20,
                 size=options.memory * 2 * MIB // row['harts'])
    pair = Pair(bench, emulator, guest, net, row['preempt'])
    wait_until(lambda: len(pair.source.console.statuses()) > 20, 60, 'the guest to work')
    first = pair.source.console.statuses()[2]
    pair.move()
    here = generations(pair.source)
    wait_migration(pair.source)
    wait_migration(pair.destination)
    lines = len(pair.destination.console.statuses())
    pair.destination.console.wait_statuses(lines + 1)
    there = generations(pair.destination)
    pair.destination.console.statuses()[-1].check_clean('destination')
    usual = (here[0] - sum(first.generations)) / (here[1] - first.ms)
    during = (there[0] - here[0]) / (there[1] - here[1])
    return {'gap': pair.gap_ms(), 'work': 100 * during / usual,
            'resident': event_ms(pair.destination, 'MIGRATION', 'completed')
            - event_ms(pair.destination, 'RESUME')}


def whole_rows(options):
    for harts, preempt in itertools.product((1, 2), (False, True)):
        if not options.quick or (harts, preempt) != (1, True):
            yield {'harts': harts, 'preempt': preempt}


# ---- downtime by size ----

def sparse(bench, emulator, net, options, row):
    guest = Bare('checker', row['gib'] << 10, size='4M')
    extra = () if emulator.is_ferry else (
        '-object', 'memory-backend-ram,id=ram,reserve=off,size=%dG' % row['gib'],
        '-machine', 'memory-backend=ram')
    pair = Pair(bench, emulator, guest, net, extra=extra)
    pair.move()
    return {'gap': pair.gap_ms()}


def sparse_rows(options):
    for gib in (1, 256) if options.quick else (1, 64, 256):
        yield {'gib': gib}


# ---- turns ----

class Part:
    """One kind of measurement: its rows, and what each turn of one gives."""

    def __init__(self, measure, rows, columns, nets=('lo', 'veth')):
        self.measure = measure
        self.rows = rows
        self.columns = columns      # (key, heading, form)
        self.nets = nets


PARTS = {
    'latency': Part(touch, latency_rows, (('mean', 'mean us', '%.0f'), ('p50', 'p50 us', '%.0f'),
                                          ('p99', 'p99 us', '%.0f'), ('faults', 'faults', '%.0f'))),
    'move': Part(whole, whole_rows, (('gap', 'downtime ms', '%.1f'),
                                     ('resident', 'resident ms', '%.0f'),
                                     ('work', 'work %', '%.1f'))),
    'size': Part(sparse, sparse_rows, (('gap', 'downtime ms', '%.1f'),), nets=('lo',)),
}


def has_peer(row):
    return row.get('prefault', '0/0') == '0/0'


def words_of(row):
    """What tells a row from others, for people."""
    words = []
    for key, value in row.items():
        words.append({'access': str(value), 'harts': '%s hart%s' % (value, 's' * (value != 1)),
                      'background': 'background ' + ('on' if value else 'off'),
                      'preempt': 'preempt ' + ('on' if value else 'off'),
                      'prefault': 'prefault %s' % value, 'gib': '%s GiB' % value}[key])
    return ', '.join(words)


def one_turn(part, emulator, net, options, row):
    bench = Bench('postcopy')
    try:
        return part.measure(bench, emulator, net, options, row)
    except Failed as error:
        print('%s, %s: %s' % (emulator.name, words_of(row), error))
        for line in bench.explain():
            print('    ' + line)
        return None
    finally:
        bench.close()


def measure(name, net, subjects, options):
    """[{'row', 'net', 'part', 'turns': {emulator: [results]}}]"""
    part, found = PARTS[name], []
    for row in (r for r in part.rows(options) if re.search(options.rows, words_of(r))):
        found.append({'part': name, 'net': net.name, 'row': row, 'turns': {}})
    for number in range(options.runs):
        for entry in found:
            for emulator in subjects if number % 2 == 0 else subjects[::-1]:
                if emulator.is_ferry or has_peer(entry['row']):
                    result = one_turn(part, emulator, net, options, entry['row'])
                    if result:
                        entry['turns'].setdefault(emulator.name, []).append(result)
            if number == options.runs - 1:
                print('%-10s %-5s %s' % (name, net.name, line_of(entry, found)), flush=True)
    return found


# ---- what it says ----

def middle(results, key):
    return statistics.median(r[key] for r in results)


def spread(results, key):
    """Half the distance of the quartiles."""
    if len(results) < 2:
        return 0
    low, _, high = statistics.quantiles([r[key] for r in results], n=4, method='inclusive')
    return (high - low) / 2


def peer_of(entry, entries):
    """QEMU's results for a row: with a prefault it has no row of its own."""
    row = dict(entry['row'], **({'prefault': '0/0'} if 'prefault' in entry['row'] else {}))
    for other in entries:
        if (other['part'], other['net'], other['row']) == (entry['part'], entry['net'], row):
            return other['turns'].get(QEMU, [])
    return []


def cells(entry, entries):
    """Of each column: Ferry's, QEMU's, the ratio."""
    ferry, peer = entry['turns'].get(FERRY, []), peer_of(entry, entries)
    for key, heading, form in PARTS[entry['part']].columns:
        ours, theirs = ([form % middle(r, key) + ' +- ' + form % spread(r, key) if r else '-']
                        for r in (ferry, peer))
        ratio = '%.2f' % (middle(ferry, key) / middle(peer, key)) \
            if ferry and peer and middle(peer, key) else '-'
        yield heading, ours[0], theirs[0], ratio


def line_of(entry, entries):
    return '%-62s %s' % (words_of(entry['row']), '; '.join(
        '%s %s (%s: %s) = %s' % (heading, ours, QEMU, theirs, ratio)
        for heading, ours, theirs, ratio in cells(entry, entries)))


def table(part, net, entries):
    mine = [e for e in entries if (e['part'], e['net']) == (part, net)]
    if not mine:
        return []
    columns = [heading for _, heading, _ in PARTS[part].columns]
    lines = ['', '| %s, %s | %s |' % (part, net, ' | '.join(
        '%s | QEMU | ratio' % heading for heading in columns)), '|---' * (1 + 3 * len(columns)) + '|']
    for entry in mine:
        lines.append('| %s | %s |' % (words_of(entry['row']), ' | '.join(
            ' | '.join((ours, theirs, ratio)) for _, ours, theirs, ratio in cells(entry, entries))))
    return lines


def histogram(entries):
    """All faults of rows without prefault, by powers of two."""
    counts = {}
    for entry in entries:
        if entry['part'] == 'latency' and has_peer(entry['row']):
            for name, results in entry['turns'].items():
                for low, count in (pair for r in results for pair in r['took']):
                    below = 1 << max(4, int(low).bit_length())
                    key = (entry['net'], name, below)
                    counts[key] = counts.get(key, 0) + count
    who = sorted({key[:2] for key in counts})
    totals = {w: sum(c for key, c in counts.items() if key[:2] == w) for w in who}
    lines = ['', '| share of faults below | %s |' % ' | '.join('%s, %s' % (name, net)
                                                         for net, name in who),
             '|---' * (1 + len(who)) + '|']
    for below in sorted({key[2] for key in counts}):
        lines.append('| %d us | %s |' % (below, ' | '.join('%.2f %%' % (
            100 * sum(c for key, c in counts.items() if key[:2] == w and key[2] <= below)
            / totals[w]) for w in who)))
    return lines if who else []


def tables(found):
    lines = ['Load of the host before and after: %s; %d turns; %d processors.' %
             (' and '.join('%.1f' % l for l in found['load']), found['runs'], found['processors'])]
    for part, net in itertools.product(PARTS, NETS):
        lines += table(part, net, found['entries'])
    return lines + histogram(found['entries'])


def write_doc(found):
    with open(DOC, encoding='utf-8') as f:
        text = f.read()
    begin, end = '<!-- tests/bench/postcopy.py writes from here -->', '<!-- to here -->'
    changed = re.sub('(%s\n).*(%s)' % (re.escape(begin), re.escape(end)),
                     lambda m: m[1] + '\n'.join(tables(found)) + '\n' + m[2], text, flags=re.S)
    with open(DOC, 'w', encoding='utf-8') as f:
        f.write(changed)


def judge(entries):
    """What was expected and is not so."""
    for e in entries:
        ferry, peer = e['turns'].get(FERRY, []), peer_of(e, entries)
        where = '%s, %s, %s' % (e['part'], e['net'], words_of(e['row']))
        if e['part'] == 'latency' and ferry:
            if peer and middle(ferry, 'mean') >= middle(peer, 'mean'):
                yield where + ': the mean is not below QEMU\'s'
            if e['net'] == 'lo' and middle(ferry, 'mean') >= 100:
                yield where + ': the mean is not below 100 us'
            if e['net'] == 'lo' and middle(ferry, 'p99') >= 1000:
                yield where + ': p99 is not below 1 ms'
        elif ferry and middle(ferry, 'gap') >= 20:
            yield where + ': the downtime is not below 20 ms'


# ---- command line ----

def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='a few rows, one turn, a small guest')
    parser.add_argument('--runs', type=int, help='turns of each program and row (5)')
    parser.add_argument('--memory', type=int,
                        help='MiB of the guest, half of it read (128; four times that with the '
                             'background on)')
    parser.add_argument('--parts', default='latency,move,size')
    parser.add_argument('--nets', default='lo,veth')
    parser.add_argument('--rows', default='', help='only rows whose words match this pattern')
    parser.add_argument('--only', choices=[FERRY, QEMU])
    parser.add_argument('--json', help='keep what was measured')
    parser.add_argument('--from', dest='source', help='measure nothing: what was kept')
    parser.add_argument('--write', action='store_true', help='into the table of the docs')
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 5)
    options.memory = options.memory or (32 if options.quick else 128)
    return options


def subjects_of(options):
    ferry = emulators.ferry('virt-10.0', emulators.CPU_T10)
    chosen = [e for e in (ferry, emulators.qemu100()) if options.only in (None, e.name)]
    for emulator in list(chosen):
        why = emulator.missing() or (None if emulator.is_ferry or may_use_userfaultfd()
                                     else 'it may not use userfaultfd')
        if why:
            print('%s: skipped: %s' % (emulator.name, why))
            chosen.remove(emulator)
    return chosen


def run(options):
    subjects = subjects_of(options)
    found = {'load': [os.getloadavg()[0]], 'runs': options.runs, 'processors': os.cpu_count(),
             'entries': []}
    print('load before: %.1f %.1f %.1f' % os.getloadavg())
    for name in options.nets.split(','):
        if name == 'veth' and os.geteuid() != 0:
            print('veth: skipped: needs root')
            continue
        net = NETS[name]()
        try:
            for part in options.parts.split(','):
                if name in PARTS[part].nets:
                    found['entries'] += measure(part, net, subjects, options)
        finally:
            net.close()
    found['load'].append(os.getloadavg()[0])
    print('load after: %.1f %.1f %.1f' % os.getloadavg())
    return found


def main():
    options = parse()
    if options.source:
        with open(options.source, encoding='ascii') as f:
            found = json.load(f)
    else:
        found = run(options)
    if options.json:
        with open(options.json, 'w', encoding='ascii') as f:
            json.dump(found, f)
    print('\n'.join(tables(found)))
    for line in judge(found['entries']):
        print('expected otherwise: ' + line)
    if options.write:
        write_doc(found)
    return 0 if all(FERRY in e['turns'] or options.only == QEMU for e in found['entries']) else 1


if __name__ == '__main__':
    sys.exit(main())
