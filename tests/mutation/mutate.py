#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the tests notice? Makes small changes to the program, one at a time, and asks that each turns a
test red or is listed as harmless, with the reason, in harmless.txt.

  tests/mutation/mutate.py --build DIR [--count N] [--seed S] [--seconds T] [--file PATTERN]
                           [--then SUITE,SUITE]
  tests/mutation/mutate.py --build DIR --id ID,ID     these, by the names they were reported under
  tests/mutation/mutate.py --build DIR --report       what is known so far
  tests/mutation/mutate.py --build DIR --show ID      the change itself

DIR is the script's own: it has a copy of the tracked files and a build of it; the working tree is not
touched. One build has all changes, see schemata.py; those that cannot be written so get builds of their
own, in the same place, at the end.

First each test runs once as it is: that says how long it takes and which changes it comes by. Then each
change is switched on for those that come by it, the quickest and the closest first, until one is red;
several changes at a time (--jobs). What all of them let through is shown to bigger suites (--then).

A seed chooses the same changes as long as the code stays. What was tried is kept in DIR/results.json: a
run that was ended (--seconds, or by a signal) goes on where it stopped, and a change that survived is only
shown to tests that are new or were changed since (--again: everything once more).

What is changed, and where: see changes.py. Left alone are declarations, messages, trace points, assertions,
and calls that only free: what leaks is the business of --enable-asan.

Ends with 0 if every change was noticed or is listed.
"""
import argparse
import collections
import concurrent.futures
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import schemata
from changes import all_changes, choose, code_lines

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HARMLESS = os.path.join(TOP, 'tests', 'mutation', 'harmless.txt')
HEADER = 'ferry-mutant.h'
SUITES = ('unit', 'quick')
# They look at documents, other languages or the inspector, or build everything anew.
NOT_ASKED = ('absent', 'references', 'rooms', 'simd-cross', 'qapi-bad-schemas', 'inspect',
             'inspect-apart', 'inspect-cli', 'inspect-damage', 'inspect-paging', 'manual',
             'mutation-schemata', 'startup-full')
SLOWER = 6          # a test may take so many times what it took unchanged
LEAST_SECONDS = 30
MOST = 65536        # numbers of changes


def harmless():
    """id -> reason."""
    out = {}
    with open(HARMLESS, encoding='utf-8') as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                digest, _, reason = line.strip().partition(' ')
                out[digest] = reason.strip()
    return out


# ---- copy, build, tests ----

class Tree:
    """The copy of the source and its build."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.source = os.path.join(self.folder, 'source')
        self.build = os.path.join(self.folder, 'build')
        self.results_path = os.path.join(self.folder, 'results.json')
        os.makedirs(self.folder, exist_ok=True)
        self.lock = open(os.path.join(self.folder, 'lock'), 'w', encoding='ascii')
        fcntl.flock(self.lock, fcntl.LOCK_EX)       # one at a time; waits
        self.alone = []         # changes with which the common build fails
        self.saving = threading.RLock()
        self.results = {}
        if os.path.exists(self.results_path):
            with open(self.results_path, encoding='utf-8') as f:
                self.results = json.load(f)
        self.tried = self.results.setdefault('tried', {})
        self.tests = self.results.setdefault('tests', {})       # name -> what measure() found
        self.numbers = self.results.setdefault('numbers', {})   # of changes, the same in later runs

    def save(self):
        with self.saving:
            with open(self.results_path + '.new', 'w', encoding='utf-8') as f:
                json.dump(self.results, f, indent=1, sort_keys=True)
            os.replace(self.results_path + '.new', self.results_path)

    def number(self, change):
        return self.numbers.setdefault(change.id, len(self.numbers) + 1)

    def bring_up_to_date(self, chosen):
        """Copies what is tracked and differs, with the chosen changes in it, and builds. What is gone is
        removed. Returns the changes that the build could not take."""
        names = subprocess.run(['git', 'ls-files', '-z'], cwd=TOP, check=True,
                               stdout=subprocess.PIPE).stdout.decode().split('\0')
        wanted = {n for n in names if n and os.path.exists(os.path.join(TOP, n))}
        for root, _, files in os.walk(self.source):
            for name in files:
                path = os.path.relpath(os.path.join(root, name), self.source)
                if path not in wanted and path != HEADER:
                    os.unlink(os.path.join(root, name))
        changed = {change.file for change in chosen}
        for name in wanted - changed:
            with open(os.path.join(TOP, name), 'rb') as f:
                self.write(name, f.read())
            os.chmod(os.path.join(self.source, name), os.stat(os.path.join(TOP, name)).st_mode & 0o777)
        self.write(HEADER, schemata.HEADER.replace('FERRY_MUTANTS', str(MOST)).encode())
        left = self.write_changes(chosen)
        if not os.path.exists(os.path.join(self.build, 'build.ninja')):
            # What the compiler does with most of the time is not what is looked at here.
            run_or_die([os.path.join(self.source, 'configure'), '--build-dir=' + self.build,
                        '-Doptimization=1', '-Ddebug=false'], self.source)
        while True:
            ok, output = self.ninja(['-k', '0'])
            bad = {int(n) for n in re.findall(r'^mutant-(\d+):.*error:', output, re.M)}
            if ok or not bad:
                break
            more = [c for c in chosen if self.number(c) in bad and c not in left]
            if not more:
                break
            self.alone += more
            left = self.write_changes(chosen)
        if not ok:
            sys.exit('mutate: the build failed:\n' + output[-3000:])
        return left

    def write_changes(self, chosen):
        """The files with all the changes that can be in one build; returns the others."""
        by_file = collections.defaultdict(list)
        for change in chosen:
            by_file[change.file].append(change)
        left = []
        for name, changes in by_file.items():
            with open(os.path.join(TOP, name), encoding='utf-8') as f:
                text = f.read()
            new, bad = schemata.with_changes(
                name, text, code_lines(text), [(self.number(c), c) for c in changes],
                {self.number(c) for c in self.alone}, os.path.join(self.source, HEADER))
            self.write(name, new.encode())
            left += [c for c in changes if self.number(c) in bad]
        return left

    def write(self, name, data):
        """Nothing is built again for a file that stays as it is. Returns what was in it."""
        path = os.path.join(self.source, name)
        before = None
        if os.path.exists(path):
            with open(path, 'rb') as f:
                before = f.read()
        if before != data:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as f:
                f.write(data)
        return before

    def ninja(self, arguments):
        done = subprocess.run(['ninja', '-C', self.build, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode == 0, done.stdout


def run_or_die(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        sys.exit('mutate: %s failed:\n%s' % (' '.join(command), done.stdout[-3000:]))


def end(process):
    """Its own session: what it left behind ends, too."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Test:
    """One of Meson's tests."""

    def __init__(self, tree, entry, sources):
        self.name = entry['name']
        self.command = [str(c) for c in entry['cmd']]
        self.env = entry['env']
        self.timeout = entry['timeout']
        self.build = tree.build
        self.tap = entry['protocol'] == 'tap'
        program = os.path.relpath(self.command[0], tree.build)
        self.target = program if not program.startswith('..') else 'ferry-system-riscv64'
        self.digest = self.digest_of(tree, sources.get(self.target, ()))
        self.seconds, self.comes_by = None, ()
        self.includes = ''
        source = os.path.join(tree.source, self.target + '.c')
        if os.path.exists(source):
            with open(source, encoding='utf-8') as f:
                self.includes = ' '.join(re.findall(r'#include "([^"]*)"', f.read()))

    def digest_of(self, tree, files):
        """What the test itself is: its C files, or its script and the modules that scripts share."""
        files = list(files)
        for word in self.command:
            script = os.path.normpath(os.path.join(tree.build, word))
            if not (script.startswith(tree.source) and script.endswith('.py')):
                continue
            folder = os.path.dirname(script)
            shared = os.path.join(tree.source, 'tests', 'migration', 'ferrytest')
            files += [script] + [os.path.join(f, n) for f in (folder, shared) for n in os.listdir(f)
                                 if n.endswith('.py') and not n.startswith('test-')]
        digest = hashlib.sha1()
        for path in sorted(files):
            with open(path, 'rb') as f:
                digest.update(f.read())
        return digest.hexdigest()[:12]

    def run(self, seconds, **environment):
        """None if it is green, else why not."""
        env = dict(self.env, **environment)
        process = subprocess.Popen(self.command, cwd=self.build,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=dict(os.environ, **env),
                                   text=True, errors='replace', start_new_session=True)
        over = threading.Event()

        def stop():
            over.set()
            end(process)
        late = threading.Timer(seconds, stop)
        late.start()
        red = None
        for line in process.stdout:
            if self.tap and re.match(r'not ok (?!.*# (?:SKIP|TODO))|Bail out!', line):
                red = line.strip()[:150]
                break               # what the other cases say does not matter
        if not red:
            process.wait()          # it shut its output: the timer is still there if it hangs
        late.cancel()
        end(process)
        if red:
            return red
        if over.is_set():
            return 'not over after %d s' % seconds
        return None if process.returncode in (0, 77) else 'status %d' % process.returncode

    def closeness(self, changed):
        """Which tests to ask first: those that are about the changed file."""
        stem = os.path.splitext(os.path.basename(changed))[0]
        room = os.path.dirname(changed).split('/')[-1]
        points = 0
        if stem == self.name or self.name in ('%s-%s' % (room, stem), stem.replace('_', '-')):
            points += 8
        points += 3 * bool(set(stem.split('-')) & set(self.name.split('-')))
        points += 2 * ('/' + stem + '.h' in self.includes)
        points += (room in self.name or room + '/' in self.includes)
        return points


def tests_of(tree, wanted):
    def introspect(what):
        return json.loads(subprocess.run(['meson', 'introspect', what, tree.build], check=True,
                                         stdout=subprocess.PIPE).stdout)
    own = os.path.join(tree.source, 'tests') + '/'
    sources = {os.path.relpath(t['filename'][0], tree.build):
               [s for group in t['target_sources'] for s in group.get('sources', ()) if s.startswith(own)]
               for t in introspect('--targets')}
    out = []
    for entry in introspect('--tests'):
        suites = {s.rpartition(':')[2] for s in entry['suite']}
        if suites & set(wanted) and entry['name'] not in NOT_ASKED:
            out.append(Test(tree, entry, sources))
    return out


def measure_one(tree, test, chosen):
    seen = os.path.join(tree.folder, 'seen-' + test.name)
    with open(seen, 'wb') as f:
        f.truncate(MOST)
    for attempt in ('', ', twice'):     # a busy host turns tests red, too
        start = time.monotonic()
        why = test.run(test.timeout * 3, FERRY_MUTANT_SEEN=seen)
        if not why:
            break
        print('unchanged, %s is red%s: %s' % (test.name, attempt, why), flush=True)
    seconds = round(time.monotonic() - start, 2)
    with open(seen, 'rb') as f:
        marks = f.read()
    os.unlink(seen)
    with tree.saving:
        tree.tests[test.name] = {
            'digest': test.digest, 'seconds': None if why else seconds,
            'asked of': sorted(c.id for c in chosen),
            'comes by': sorted(c.id for c in chosen if marks[tree.number(c)])}
        tree.save()


def measure(tree, tests, chosen, todo, jobs):
    """How long each takes without a change, and which of the chosen it comes by, if that is not known of
    what is to do. What is red then says nothing later, and is measured again in the next run."""
    ids = {c.id for c in todo}

    def known(test):
        old = tree.tests.get(test.name)
        return old and old['digest'] == test.digest and old['seconds'] is not None and \
            ids <= set(old['asked of'])
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(measure_one, tree, t, chosen) for t in tests if not known(t)]:
            done.result()
    for test in tests:
        found = tree.tests[test.name]
        test.seconds, test.comes_by = found['seconds'], set(found['comes by'])
    return [t for t in tests if t.seconds is not None]


# ---- one change ----

def in_order(tree, tests, change):
    """By what the answer is likely to cost: close tests, and those that noticed something in this file
    before, are likely to be the ones; quick ones are cheap."""
    with tree.saving:
        caught = collections.Counter(r['test'] for r in tree.tried.values()
                                     if r['file'] == change.file and r.get('test'))
    return sorted(tests, key=lambda t: (t.seconds + 0.05) / (1 + t.closeness(change.file) +
                                                             4 * caught[t.name]))


def notices(test, **environment):
    """Why the test is red with the change, None if it is not. A busy host turns tests red, too: it is red
    again, and is not without the change."""
    limit = max(LEAST_SECONDS, SLOWER * test.seconds)
    why = test.run(limit, **environment)
    if not why or ('not over' not in why and not test.run(limit, **environment)):
        return None
    return why if not environment or not test.run(limit) else None


def ask(tree, tests, change, **environment):
    """What is kept about the change: verdict is caught or survived."""
    old = tree.tried.get(change.id, {})
    asked = dict(old.get('asked') or {})
    new = [t for t in tests if asked.get(t.name) != t.digest and change.id in t.comes_by]
    out = {'verdict': 'survived', 'file': change.file, 'what': describe(change), 'asked': asked}
    for test in in_order(tree, new, change):
        why = notices(test, **environment)
        if why:
            return dict(out, verdict='caught', test=test.name, why=why)
        asked[test.name] = test.digest
    return out


def ask_alone(tree, tests, change):
    """The same for a change that needs a build."""
    with open(os.path.join(TOP, change.file), encoding='utf-8') as f:
        lines = f.read().split('\n')
    lines[change.line] = change.after
    common = tree.write(change.file, '\n'.join(lines).encode())
    try:
        ok, output = tree.ninja([])
        if not ok:
            return {'verdict': 'unbuildable', 'file': change.file, 'what': describe(change),
                    'why': next((l for l in output.splitlines() if 'error:' in l), '')}
        return ask(tree, tests, change)
    finally:
        tree.write(change.file, common)


def describe(change):
    return '%s:%d: %s: "%s" becomes "%s"' % (change.file, change.line + 1, change.operator,
                                             change.before.strip(), change.after.strip())


def keep(tree, change, found):
    with tree.saving:
        tree.tried[change.id] = found
        tree.save()
    print('%-11s %s %s%s' % (found['verdict'], change.id, found['what'],
                             ' (%s: %s)' % (found['test'], found['why']) if 'test' in found else
                             ' (%d asked)' % len(found.get('asked', ()))), flush=True)


def report(tree, listed, chosen):
    """About the chosen ones (ids), or all that were ever tried. Returns how many survived."""
    ids = set(tree.tried) if chosen is None else chosen
    tried = {d: tree.tried[d] for d in ids if d in tree.tried and d not in listed}
    verdicts = collections.Counter(r['verdict'] for r in tried.values())
    for words in sorted('%s %s' % (r['what'], d) for d, r in tried.items() if r['verdict'] == 'survived'):
        print('SURVIVED ' + words)
    harmless_ones = len(ids & set(listed))
    print('%d changes: %d caught, %d listed as harmless, %d survived, %d could not be built, '
          '%d not tried' % (len(ids), verdicts['caught'], harmless_ones, verdicts['survived'],
                            verdicts['unbuildable'], len(ids) - len(tried) - harmless_ones))
    return verdicts['survived']


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True, help='a folder of its own')
    parser.add_argument('--count', type=int, default=200)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--seconds', type=float, help='begin no change after so long')
    parser.add_argument('--file', help='only files that match, as migration/ram/*')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='changes at a time')
    parser.add_argument('--then', help='suites for what the quick ones let through, as migration')
    parser.add_argument('--id', help='try these changes, with commas between them, known or not')
    parser.add_argument('--show', help='print this change')
    parser.add_argument('--report', action='store_true')
    parser.add_argument('--again', action='store_true', help='forget what is known')
    return parser.parse_args()


def wanted_changes(options):
    ids = options.show or options.id
    if not ids:
        return choose(all_changes(TOP, options.file), options.count, options.seed)
    found = [c for c in all_changes(TOP, None) if c.id in ids.split(',')]
    if len(found) != len(set(ids.split(','))):
        sys.exit('mutate: there is no such change in this source: %s' %
                 ' '.join(set(ids.split(',')) - {c.id for c in found}))
    return found


def run(tree, options, chosen, listed):
    """Shows the chosen changes to the quick tests, and what those let through to the others."""
    over = time.monotonic() + options.seconds if options.seconds else None
    alone = tree.bring_up_to_date(chosen)

    def one(change, tests):
        if over and time.monotonic() > over:
            return
        if change in alone:
            keep(tree, change, ask_alone(tree, tests, change))
        else:
            keep(tree, change, ask(tree, tests, change, FERRY_MUTANT=str(tree.number(change))))

    def is_open(change):
        return change.id not in listed and \
            tree.tried.get(change.id, {}).get('verdict') not in ('caught', 'unbuildable')

    for suites in (SUITES, options.then.split(',')) if options.then else (SUITES,):
        todo = [c for c in chosen if is_open(c)]
        tests = measure(tree, tests_of(tree, suites), chosen, todo, options.jobs) if todo else []
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for done in [pool.submit(one, c, tests) for c in todo if c not in alone]:
                done.result()
        for change in todo:
            if change in alone:
                one(change, tests)


def main():
    options = arguments()
    tree = Tree(options.build)
    listed = harmless()
    if options.report:
        return 1 if report(tree, listed, None) else 0
    known = {c.id for c in all_changes(TOP, None)}
    if set(listed) - known:
        print('listed as harmless, and not in this source any more: %s' % ' '.join(set(listed) - known))
    chosen = wanted_changes(options)
    if options.show:
        print('\n'.join(describe(c) for c in chosen))
        return 0
    if options.again:
        tree.tests.clear()
    for change in chosen if options.again or options.id else ():
        tree.tried.pop(change.id, None)
    run(tree, options, chosen, listed)
    return 1 if report(tree, listed, {c.id for c in chosen}) else 0


if __name__ == '__main__':
    sys.exit(main())
