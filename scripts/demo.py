#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration that scripts/demo starts; see there. Ends with 0 only if every claim held."""
import argparse
import json
import os
import re
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests',
                                'migration'))
from ferrytest import channels, emulators  # noqa: E402
from ferrytest.guest import Linux  # noqa: E402
from ferrytest.move import FINAL  # noqa: E402
from ferrytest.process import VM  # noqa: E402
from ferrytest.tap import Bench, Failed  # noqa: E402

BANDWIDTH = 32 << 20  # bytes per second
DOWNTIME = int(os.environ.get('DEMO_DOWNTIME', 30))  # ms
MEMORY = 1024  # MiB
LOAD = 16 << 20
PASSES = 12  # how long the migration without the delta may try
TICK = 100  # ms between two lines of the load generator

TTY = sys.stdout.isatty()
BOLD, DIM, GREEN, RED, OFF = ('\033[1m', '\033[2m', '\033[32m', '\033[31m', '\033[0m') if TTY \
    else ('',) * 5


def title(text):
    print('\n%s%s%s' % (BOLD, text, OFF), flush=True)


class Claims:
    """What has to be true, in order."""

    def __init__(self):
        self.good = True

    def claim(self, holds, text):
        self.good = self.good and bool(holds)
        mark = '%sok%s ' % (GREEN, OFF) if holds else '%sNOT TRUE%s ' % (RED, OFF)
        print('  %s %s' % (mark, text), flush=True)


def rate(value):
    return '%.1f MiB/s' % (value / (1 << 20))


class Progress:
    """One live line on a terminal; one line per pass anywhere."""

    def __init__(self):
        self.passes = 0
        self.dirty = []  # bytes dirty again at the end of each pass
        self.last = (None, 0)  # time and bytes of the last look
        self.speed = 0

    def show(self, info):
        ram = info.get('ram')
        if not ram:
            return
        now, bytes_ = time.monotonic(), ram['transferred']
        if self.last[0] is None or now - self.last[0] > 0.25:
            if self.last[0] is not None:
                self.speed = (bytes_ - self.last[1]) / (now - self.last[0])
            self.last = (now, bytes_)
        number = ram['dirty-sync-count']
        if number != self.passes:
            if self.passes:
                self.end_pass(info)
            self.passes = number
        if TTY:
            sys.stdout.write('\r  pass %2d  %5.1f MiB sent  %5.1f MiB to go  %s\033[K' %
                             (number, bytes_ / (1 << 20), ram['remaining'] / (1 << 20),
                              rate(self.speed)))
            sys.stdout.flush()

    def end_pass(self, info):
        ram = info['ram']
        self.dirty.append(ram['remaining'])
        if self.passes > 20 and self.passes % 100:
            return      # passes of deltas are short, and on a busy host there are hundreds
        delta = info.get('xbzrle-cache')
        text = '  pass %2d: %5.1f MiB sent in all, %5.1f MiB dirty again' % (
            self.passes, ram['transferred'] / (1 << 20), ram['remaining'] / (1 << 20))
        if delta and delta['pages']:
            text += ', %d pages went as deltas of %d bytes on average' % (
                delta['pages'], delta['bytes'] // delta['pages'])
        print(('\r' + text + '\033[K') if TTY else text, flush=True)

    def close(self):
        if TTY:
            sys.stdout.write('\r\033[K')


LINE = re.compile(r'^loadgen: gen=(\d+) ms=(\d+) bad=(\d+)$', re.M)


def counter(vm):
    """The guest's own lines on this console: [(rounds, ms, bad)]."""
    return [tuple(map(int, m)) for m in LINE.findall(vm.console.text())]


def wait_lines(vm, count, timeout=60):
    end = time.monotonic() + timeout
    while len(counter(vm)) < count:
        if time.monotonic() > end:
            raise Failed('%s: the guest says nothing: %r' % (vm.name, vm.console.text()[-200:]))
        time.sleep(0.02)


class Recorder:
    """What was left to send over time, for scripts/make-images."""

    def __init__(self):
        self.curves = {}

    def look(self, name, info):
        if 'ram' in info:
            self.curves.setdefault(name, []).append(
                [info['total-time'], info['ram']['remaining'], info['ram']['dirty-sync-count']])

    def save(self, path, **more):
        with open(path, 'w', encoding='ascii') as f:
            json.dump(dict(curves=self.curves, **more), f)


class Demo:
    def __init__(self, bench, fill=0):
        self.bench = bench
        self.recorder = Recorder()
        self.emulator = emulators.subject()
        options = {'size': LOAD, 'tick': TICK}
        if fill:
            options['fill'] = fill
        self.guest = Linux('loadgen', memory=MEMORY, **options)
        self.claims = Claims()
        self.number = 0

    def boot(self, extra=()):
        start = time.monotonic()
        vm = VM(self.bench, 'source', self.emulator, self.guest, extra=extra)
        vm.console.wait_for('ferry-guest: ready', 120)
        print('  Debian\'s kernel is up after %.1f s; the load generator increments one byte per '
              'KiB of %d MiB' % (time.monotonic() - start, LOAD >> 20), flush=True)
        wait_lines(vm, 5)
        vm.set_parameters(max_bandwidth=BANDWIDTH, downtime_limit=DOWNTIME)
        return vm

    def destination(self, xbzrle):
        self.number += 1
        vm = VM(self.bench, 'destination%d' % self.number, self.emulator, self.guest,
                incoming='defer')
        vm.set_capabilities(xbzrle=xbzrle)
        channel = channels.Unix(self.bench)
        vm.command('migrate-incoming', uri=channel.incoming)
        return vm, channel

    def watch(self, vm, until, timeout=100, record=None):
        """Show the migration until until(info) or its end: what query-migrate said last, and the
        bytes dirty again at the end of each pass. record: the curve's name."""
        progress, end = Progress(), time.monotonic() + timeout
        while True:
            info = vm.migration()
            if record:
                self.recorder.look(record, info)
            if info.get('status') == 'active':
                progress.show(info)
            if info.get('status') in FINAL or until(info) or time.monotonic() > end:
                progress.close()
                return info, progress.dirty
            time.sleep(0.02)


def mib(size):
    return '%.1f MiB' % (size / (1 << 20))


def row(name, *cells):
    print('  %-34s %20s %20s' % (name, *cells))


def side_by_side(left, right):
    """The two migrations as a person compares them; "info migrate" has more."""
    def delta(info, name):
        return info.get('xbzrle-cache', {}).get(name, 0)

    def ram(info, name):
        return info['ram'][name]

    row('', 'without XBZRLE', 'with XBZRLE')
    row('status', left['status'], right['status'])
    row('time', *('%.1f s' % (i['total-time'] / 1000) for i in (left, right)))
    row('the guest stood still for', '-', '%d ms' % right['downtime'])
    row('passes', *(ram(i, 'dirty-sync-count') for i in (left, right)))
    row('sent', *(mib(ram(i, 'transferred')) for i in (left, right)))
    row('  pages sent whole', *(ram(i, 'normal') for i in (left, right)))
    row('  pages of zeros', *(ram(i, 'duplicate') for i in (left, right)))
    row('  pages sent as differences', *(delta(i, 'pages') for i in (left, right)))
    row('  bytes of a difference', '-', '%.0f' % (delta(right, 'bytes') / max(1, delta(right, 'pages'))))
    row('left to send at the end', *(mib(ram(i, 'remaining')) for i in (left, right)))


def how_it_followed(here, there):
    """What source and destination tell of a postcopy, as a person asks for it."""
    def line(name, value):
        print('  %-34s %s' % (name, value))

    pages, waits = here['x-postcopy'], there['x-postcopy-waits']
    line('time, the passes before included', '%.1f s' % (here['total-time'] / 1000))
    line('the guest stood still for', '%d ms' % here['downtime'])
    line('pages it waited for', pages['requested'])
    line('pages sent along with those', pages['prefault'])
    line('pages sent in turn', pages['background'])
    for wait in waits['waits']:
        line('waits of %s' % wait['who'], '%d: half of them below %.1f ms, one in a hundred above '
             '%.1f ms, the longest %.1f ms' % (wait['count'], wait['p50'] / 1000, wait['p99'] / 1000,
                                               wait['max'] / 1000))


def run_claim(bench, record=None):
    demo = Demo(bench)
    claim = demo.claims.claim
    title('A Linux guest, %d MiB; max-bandwidth %d MiB/s, downtime-limit %d ms' %
          (MEMORY, BANDWIDTH >> 20, DOWNTIME))
    source = demo.boot()

    title('1. Without XBZRLE')
    first, channel = demo.destination(False)
    source.command('migrate', uri=channel.outgoing)
    info, dirty = demo.watch(source,
                             lambda i: i.get('ram', {}).get('dirty-sync-count', 0) > PASSES,
                             record='without')
    # What fits into the downtime at this bandwidth.
    fits = BANDWIDTH * DOWNTIME // 1000
    claim(info['status'] == 'active',
          'after %d passes it is still %s' % (info.get('ram', {}).get('dirty-sync-count', 1) - 1,
                                              info['status']))
    least = min(dirty[1:] or [0])
    claim(least > fits, 'every pass leaves %.1f MiB or more dirty again; %.1f MiB would fit' %
          (least / (1 << 20), fits / (1 << 20)))
    before = counter(source)[-1]
    source.command('migrate_cancel')
    left, _ = demo.watch(source, lambda i: i.get('status') == 'cancelled', 10)
    claim(left['status'] == 'cancelled', 'cancelled')
    seen = len(counter(source))
    wait_lines(source, seen + 5)
    after = counter(source)[-1]
    claim(source.status() == 'running' and after[0] > before[0] and after[2] == 0,
          'the guest runs on: %d rounds then, %d now' % (before[0], after[0]))
    first.kill()

    title('2. With XBZRLE')
    source.set_capabilities(xbzrle=True)
    second, channel = demo.destination(True)
    source.command('migrate', uri=channel.outgoing)
    info, _ = demo.watch(source, lambda i: False, 60, record='with')
    if record:
        demo.recorder.save(record, fits=fits, bandwidth=BANDWIDTH, downtime=DOWNTIME, memory=MEMORY,
                           load=LOAD, version=source.command('query-version')['package'])
    claim(info['status'] == 'completed', 'migration %s in %d ms, %d passes' %
          (info['status'], info.get('total-time', 0),
           info.get('ram', {}).get('dirty-sync-count', 0)))
    if info['status'] != 'completed':
        return False
    delta = info['xbzrle-cache']
    claim(delta['pages'] > 0, '%d pages went as deltas, %d bytes each on average' %
          (delta['pages'], delta['bytes'] / max(1, delta['pages'])))
    claim(info['downtime'] <= 10 * DOWNTIME, 'the guest stood still for %d ms' % info['downtime'])

    title('3. Side by side')
    side_by_side(left, info)

    title('4. The guest\'s own counter, from both consoles')
    wait_lines(second, 10)
    here, there = counter(source), counter(second)
    # The line that was being printed at the switchover is half on each console.
    joined = [tuple(map(int, m)) for m in
              LINE.findall(source.console.text() + second.console.text())]
    for where, entries in (('source', here[-3:]), ('destination', there[:3])):
        for rounds, ms, bad in entries:
            print('  %-12s round %8d at %8d ms, wrong bytes: %d' % (where, rounds, ms, bad))
    gaps = [b[1] - a[1] for a, b in zip(joined, joined[1:])]
    usual = max(gaps[:len(here) - 1] or [TICK])
    across = max(gaps[len(here) - 1:len(here) + 1] or [0])
    claim(all(b[0] >= a[0] and b[1] > a[1] for a, b in zip(joined, joined[1:])),
          'it never goes back, over %d lines' % len(joined))
    claim(all(entry[2] == 0 for entry in joined), 'no byte is wrong')
    claim(across <= max(usual, 3 * TICK), 'no gap: %d ms between the lines around the move, up to '
          '%d ms before' % (across, usual))
    claim(there[-1][0] > here[-1][0] and second.status() == 'running',
          'it works on the destination: %d rounds since' % (there[-1][0] - here[-1][0]))
    return demo.claims.good


def run_postcopy(bench):
    demo = Demo(bench)
    claim = demo.claims.claim
    title('A Linux guest, %d MiB; max-bandwidth %d MiB/s, downtime-limit %d ms' %
          (MEMORY, BANDWIDTH >> 20, DOWNTIME))
    source = demo.boot()
    destination, channel = demo.destination(False)
    for vm in (source, destination):
        vm.set_capabilities(postcopy_ram=True)

    title('1. Precopy: it does not end')
    source.command('migrate', uri=channel.outgoing)
    info, _ = demo.watch(source, lambda i: i.get('ram', {}).get('dirty-sync-count', 0) > 4)
    claim(info['status'] == 'active', 'after 4 passes it is still %s' % info['status'])
    title('2. migrate_start_postcopy')
    source.set_parameters(max_postcopy_bandwidth=BANDWIDTH)
    left = info['ram']['remaining']
    start = time.monotonic()
    source.command('migrate-start-postcopy')
    info, _ = demo.watch(source, lambda i: False, 60)
    took = time.monotonic() - start
    claim(info['status'] == 'completed', 'migration %s %.1f s later; %.1f MiB were left' %
          (info['status'], took, left / (1 << 20)))
    if info['status'] != 'completed':
        return False
    claim(info['downtime'] <= 10 * DOWNTIME, 'the guest stood still for %d ms' % info['downtime'])

    title('3. How its memory followed')
    how_it_followed(info, destination.migration())

    title('4. The guest\'s own counter')
    wait_lines(destination, 10)
    here, there = counter(source), counter(destination)
    joined = [tuple(map(int, m)) for m in
              LINE.findall(source.console.text() + destination.console.text())]
    claim(all(b[0] >= a[0] and b[1] > a[1] for a, b in zip(joined, joined[1:])),
          'it never goes back, over %d lines' % len(joined))
    claim(all(entry[2] == 0 for entry in joined), 'no byte is wrong')
    claim(there[-1][0] > here[-1][0] and destination.status() == 'running',
          'it works on the destination: %d rounds since' % (there[-1][0] - here[-1][0]))
    return demo.claims.good


# Document 5 of the founding ones (March 2013): kbytes, pages and ms as its author gave them.
FOUNDING = {'transferred': (721318, 706034), 'normal': (179589, 175146),
            'xbzrle pages': (21527, 117811), 'cache miss': (179589, 18750), 'overflow': (0, 0),
            'total time': (22410, 22185), 'downtime': (21, 29)}
UNITS = {'bulk stage': 'kbytes', 'bulk time': 'ms', 'transferred': 'kbytes', 'total time': 'ms',
         'downtime': 'ms', 'overflow': '', 'delta passes': ''}
FILL = 400 << 20
CACHE = 64 << 20
# What is the same on any host and in any run; the rest is chance.
SAME = ('bulk stage', 'normal', 'cache miss', 'overflow')
REPEATS = 0.05

DEPENDS = """
  The upper figures depend on what the guest has in use (the kernel, %d MiB written once, %d MiB written
  all the time) and nothing else; the time of the bulk stage is that at max-bandwidth, %d MiB/s.
  The lower ones are chance: a pass of deltas takes a few ms, and how many there are until less than
  %d ms of sending is left depends on how fast this host runs the guest and on what else it has to do.
  In 2013 another kernel, another guest and real hardware gave other figures: compare the two columns
  of each side, not the sides."""


def bulk_rule_once(bench, claims, rule):
    """The figures of one migration with the rule on or off; None if it failed."""
    demo = Demo(bench, fill=FILL)
    demo.claims = claims
    source = demo.boot([] if rule else ['-global', 'migration.x-xbzrle-bulk-rule=off'])
    source.set_capabilities(xbzrle=True)
    source.set_parameters(xbzrle_cache_size=CACHE)
    destination, channel = demo.destination(True)
    source.command('migrate', uri=channel.outgoing)
    bulk, _ = demo.watch(source, lambda i: i.get('ram', {}).get('dirty-sync-count', 0) > 1)
    info, _ = demo.watch(source, lambda i: False)
    claims.claim(info['status'] == 'completed', 'migration %s' % info['status'])
    if info['status'] != 'completed':
        return None
    seen = counter(source)[-1]
    wait_lines(destination, 5)
    claims.claim(counter(destination)[-1][0] > seen[0] and counter(destination)[-1][2] == 0,
                 'the guest works on the destination')
    source.kill()
    destination.kill()
    return {'bulk stage': bulk['ram']['transferred'] >> 10,
            'bulk time': bulk['total-time'],
            'normal': info['ram']['normal'],
            'cache miss': info['xbzrle-cache']['cache-miss'],
            'overflow': info['xbzrle-cache']['overflow'],
            # The first look at the log is before the bulk stage, the last when the guest stands still.
            'delta passes': max(1, info['ram']['dirty-sync-count'] - 2),
            'xbzrle pages': info['xbzrle-cache']['pages'],
            'transferred': info['ram']['transferred'] >> 10,
            'total time': info['total-time'], 'downtime': info['downtime']}


def middle(values):
    return sorted(values)[len(values) // 2]


def print_bulk_rule(off, on):
    """off, on: the figures of each run."""
    title('%d MiB guest, %d MiB cache, the load generator' % (MEMORY, CACHE >> 20))
    print('  %-14s %-7s %12s %12s   %s' % ('', '', 'rule off', 'rule on', '2013: off -> on'))
    for name in off[0]:
        if name == 'delta passes':
            print()
        then = '%d -> %d' % FOUNDING[name] if name in FOUNDING else ''
        a, b = [r[name] for r in off], [r[name] for r in on]
        spread = max((max(v) - min(v)) / max(1, middle(v)) for v in (a, b))
        print('  %-14s %-7s %12d %12d   %-18s%s' %
              (name, UNITS.get(name, 'pages'), middle(a), middle(b), then,
               '  from run to run: %.1f %%' % (100 * spread) if len(a) > 1 else ''))
    print(DEPENDS % (FILL >> 20, LOAD >> 20, BANDWIDTH >> 20, DOWNTIME))
    load = os.getloadavg()[0]
    if load > os.cpu_count():
        print('  This host is busy (load %.1f, %d processors): the lower figures say little.' %
              (load, os.cpu_count()))


def repeats(runs):
    """How far apart what should be the same is, at most."""
    return max((max(v) - min(v)) / max(1, middle(v))
               for name in SAME
               for v in [[r[name] for r in runs]])


def run_bulk_rule(bench, runs):
    figures = {False: [], True: []}
    claims = Claims()
    for number in range(runs):
        for rule in (False, True):
            title('The delta %s the bulk stage%s' % (
                'only after' if rule else 'already in',
                ', run %d of %d' % (number + 1, runs) if runs > 1 else ''))
            once = bulk_rule_once(bench, claims, rule)
            if not once:
                return False
            figures[rule].append(once)
    off, on = figures[False], figures[True]
    print_bulk_rule(off, on)
    if runs > 1:
        widest = max(repeats(off), repeats(on))
        claims.claim(widest <= REPEATS, 'what is not chance is the same within %d %%: %.1f %%' %
                     (100 * REPEATS, 100 * widest))
    claims.claim(middle([r['bulk stage'] for r in on]) <=
                 middle([r['bulk stage'] for r in off]) * 1.02, 'the rule does not cost bytes')
    claims.claim(all(b['cache miss'] < a['cache miss'] / 2 for a, b in zip(off, on)),
                 'the cache is no longer filled with what is sent only once')
    return claims.good


def main():
    parser = argparse.ArgumentParser(description=__doc__, add_help=False)
    parser.add_argument('--bulk-rule', action='store_true')
    parser.add_argument('--postcopy', action='store_true')
    parser.add_argument('--runs', type=int, default=1)
    parser.add_argument('--record', metavar='FILE')            # for scripts/make-images
    parser.add_argument('--no-install', action='store_true')    # for scripts/demo
    options = parser.parse_args()
    os.environ.setdefault('FERRYTEST_EMULATOR', 'ferry')
    start = time.monotonic()
    bench = Bench('demo')
    good = False
    try:
        if options.bulk_rule:
            good = run_bulk_rule(bench, options.runs)
        elif options.postcopy:
            good = run_postcopy(bench)
        else:
            good = run_claim(bench, options.record)
    except KeyboardInterrupt:
        print()
    except Exception as error:
        print('\n%sdemo: %s%s' % (RED, error, OFF))
        for line in bench.explain():
            print('  ' + line)
    finally:
        problem = bench.close()
        shutil.rmtree(bench.dir, ignore_errors=True)
    if problem:
        print('demo: %s' % problem)
        good = False
    print('\n%s, %.0f s' % ('All of it was true' if good else 'Not all of it was true',
                            time.monotonic() - start))
    sys.exit(0 if good else 1)


main()
