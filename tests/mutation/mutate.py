#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the tests notice? Makes small changes to the program, one at a time, and asks that each turns a
test red or is listed as harmless, with the reason, in harmless.txt.

  tests/mutation/mutate.py --build DIR [--count N] [--seed S] [--seconds T] [--file PATTERN]
  tests/mutation/mutate.py --build DIR --id ID        one change, by the name it was reported under
  tests/mutation/mutate.py --build DIR --report       what is known so far
  tests/mutation/mutate.py --build DIR --show ID      the change itself

DIR is the script's own: it has a copy of the tracked files and a build of it; the working tree is not
touched. A seed chooses the same changes as long as the code stays; what was tried is kept in
DIR/results.json, so that a run that was ended (--seconds) goes on where it stopped. A change whose
lines and tests' verdict are known is not tried again until its file or a test changes (--again).

Where clang and llvm-cov are there, only those tests are asked that come by the changed line.

Changed are C files in migration/, softmmu/ and hw/virtio/. What is changed: see OPERATORS. Left alone
are declarations, messages, trace points, assertions, and calls that only free: what leaks is the
business of --enable-asan.

Ends with 0 if every change was noticed or is listed.
"""
import argparse
import collections
import fcntl
import fnmatch
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

from coverage import Coverage

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HARMLESS = os.path.join(TOP, 'tests', 'mutation', 'harmless.txt')
FOLDERS = ('migration/', 'softmmu/', 'hw/virtio/')
# Programs of the build, not of the emulator; and what only tests or another tool call.
NOT_CHANGED = ('softmmu/options-manual.c', 'softmmu/qtest.c')
SUITES = ('unit', 'quick')
# They look at documents, other languages or the inspector, or build everything anew.
NOT_ASKED = ('absent', 'references', 'qapi-bad-schemas', 'inspect', 'inspect-apart', 'inspect-cli',
             'inspect-damage', 'inspect-paging', 'manual', 'startup-full')
SLOWER = 6          # a test may take so many times what it took unchanged
LEAST_SECONDS = 30


# ---- the changes ----

Change = collections.namedtuple('Change', 'id file line operator before after')


def blank(match):
    return ' ' * len(match.group())


def code_lines(text):
    """The file's lines with comments, strings and characters blanked: columns stay."""
    def keep_newlines(match):
        return ''.join(c if c == '\n' else ' ' for c in match.group())
    text = re.sub(r'/\*.*?\*/|//[^\n]*', keep_newlines, text, flags=re.S)
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"', lambda m: '"' + ' ' * (len(m.group()) - 2) + '"', text)
    text = re.sub(r"'(?:[^'\\\n]|\\.)'", blank, text)
    return text.split('\n')


def replace_at(line, match, group, words):
    return line[:match.start(group)] + words + line[match.end(group):]


def negate_if(line, code):
    match = re.match(r'^(\s*(?:\} else )?if \()(.*)(\) \{)$', code)
    if match and match.group(2).count('(') == match.group(2).count(')'):
        yield replace_at(line, match, 2, '!(' + line[match.start(2):match.end(2)] + ')')


def swap(pairs, pattern):
    def operator(line, code):
        for match in re.finditer(pattern, code):
            yield replace_at(line, match, 1, pairs[match.group(1)])
    return operator


def off_by_one(line, code):
    if re.match(r'^\s*(case|#|enum|static const|return -?\d+;)', code):
        return
    for match in re.finditer(r'(?<=[-+*/%<>=&|(,] )(0x[0-9a-fA-F]+|\d+)(?=[;,)\] ])', code):
        yield replace_at(line, match, 1, '(%s + 1)' % match.group(1))


def other_constant(line, code):
    match = re.match(r'^#define [A-Z0-9_]+ \(?(\d+|0x[0-9a-fA-F]+)[uUlL]*\b', code)
    if match:
        yield replace_at(line, match, 1, '(%s + 1)' % match.group(1))


FREES = r'free|unref|clear|close|trace|assert|error_(set|prepend|report)|g_autofree|warn_report'


def drop_call(line, code):
    match = re.match(r'^(\s+)([a-z_][a-z0-9_]*(?:->[a-z_]+)*\(.*\);)$', code)
    if match and not re.search(FREES, match.group(2).split('(')[0]) and \
            match.group(2).count('(') == match.group(2).count(')'):
        yield match.group(1) + ';'


def drop_assignment(line, code):
    match = re.match(r'^(\s+)[a-z_][\w.>\[\]-]*(?:->|\.)[\w.>\[\]-]+ [-+|&]?= [^;]*;$', code)
    if match:
        yield match.group(1) + ';'


def other_truth(line, code):
    match = re.match(r'^\s+return (true|false);$', code)
    if match:
        yield replace_at(line, match, 1, 'false' if match.group(1) == 'true' else 'true')


def return_early(line, code):
    """The first statement of a function without a value."""
    if re.match(r'^    [a-z_][\w>.()-]*[ (].*;$', code) and not code.startswith('    return'):
        yield '    return; ' + line.strip()


OPERATORS = {
    'negate': negate_if,
    'compare': swap({'<': '<=', '<=': '<', '>': '>=', '>=': '>'}, r' (<=|>=|<|>) '),
    'equal': swap({'==': '!=', '!=': '=='}, r' (==|!=) '),
    'logic': swap({'&&': '||', '||': '&&'}, r' (&&|\|\|)(?: |$)'),
    'sign': swap({'+': '-', '-': '+'}, r'[\w)\]] (\+|-) [\w(]'),
    'one': off_by_one,
    'constant': other_constant,
    'call': drop_call,
    'store': drop_assignment,
    'truth': other_truth,
}
LEFT_ALONE = re.compile(r'assert|ASSERT|trace_|^\s*(static )?(const )?(struct|enum|typedef)\b|error_set'
                        r'|warn_report|info_report|error_prepend|error_report|^#include|va_(start|end)'
                        r'|g_new0?\(.*, 1\)')


DECLARATION = re.compile(r'^    (?:\w+ )+\**\w+( = |;|\[|, )|^    g_auto')


def first_statements(codes):
    """Numbers of the lines with the first statement of each function that returns nothing."""
    void_function = inside = False
    for number, code in enumerate(codes):
        if re.match(r'^(static )?(inline )?void \w+\(', code):
            void_function = True
        elif code == '{':
            inside, void_function = void_function, False
        elif inside and code.strip() and not DECLARATION.match(code):
            yield number
            inside = False


def file_changes(name, text):
    codes, lines = code_lines(text), text.split('\n')
    first = set(first_statements(codes))
    seen = collections.Counter()
    for number, (line, code) in enumerate(zip(lines, codes)):
        only_traces = re.match(r'^\s+trace_\w+\(.*;$', ''.join(codes[number + 1:number + 2])) and \
            re.match(r'^\s*\}$', ''.join(codes[number + 2:number + 3]))
        if LEFT_ALONE.search(line) or (only_traces and code.endswith('{')):
            continue
        found = [(operator, after) for operator, function in OPERATORS.items()
                 for after in function(line, code) if after != line]
        if number in first:
            found += [('early', after) for after in return_early(line, code)]
        for operator, after in found:
            key = '%s|%s|%s|%s' % (name, operator, line.strip(), after.strip())
            seen[key] += 1
            digest = hashlib.sha1(('%s|%d' % (key, seen[key])).encode()).hexdigest()[:8]
            yield Change(digest, name, number, operator, line, after)


def all_changes(folder, pattern):
    out = []
    for folder_name in FOLDERS:
        for root, _, names in sorted(os.walk(os.path.join(folder, folder_name))):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(root, name), folder)
                if not name.endswith('.c') or path in NOT_CHANGED:
                    continue
                if pattern and not fnmatch.fnmatch(path, pattern):
                    continue
                with open(os.path.join(folder, path), encoding='utf-8') as f:
                    out += file_changes(path, f.read())
    return out


def choose(changes, count, seed):
    """By file first, so that long files do not have all of them; the same for the same seed."""
    rng = random.Random(seed)
    by_file = collections.defaultdict(list)
    for change in changes:
        by_file[change.file].append(change)
    for found in by_file.values():
        rng.shuffle(found)
    chosen = []
    while len(chosen) < count and by_file:
        # a file gets its turn as often as the square root of what could be changed in it
        names = sorted(by_file)
        name = rng.choices(names, [len(by_file[n]) ** 0.5 for n in names])[0]
        chosen.append(by_file[name].pop())
        if not by_file[name]:
            del by_file[name]
    return chosen


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
        self.results = {}
        if os.path.exists(self.results_path):
            with open(self.results_path, encoding='utf-8') as f:
                self.results = json.load(f)

    def save(self):
        with open(self.results_path + '.new', 'w', encoding='utf-8') as f:
            json.dump(self.results, f, indent=1, sort_keys=True)
        os.replace(self.results_path + '.new', self.results_path)

    def bring_up_to_date(self):
        """Copies what is tracked and differs; what is gone is removed."""
        os.makedirs(self.source, exist_ok=True)
        names = subprocess.run(['git', 'ls-files', '-z'], cwd=TOP, check=True,
                               stdout=subprocess.PIPE).stdout.decode().split('\0')
        wanted = {n for n in names if n and os.path.exists(os.path.join(TOP, n))}
        for root, _, files in os.walk(self.source):
            for name in files:
                path = os.path.relpath(os.path.join(root, name), self.source)
                if path not in wanted:
                    os.unlink(os.path.join(root, name))
        for name in wanted:
            copy_if_different(os.path.join(TOP, name), os.path.join(self.source, name))
        if not os.path.exists(os.path.join(self.build, 'build.ninja')):
            run_or_die([os.path.join(self.source, 'configure'), '--build-dir=' + self.build],
                       self.source)
        run_or_die(['ninja', '-C', self.build], self.source)

    def read(self, name):
        with open(os.path.join(self.source, name), encoding='utf-8') as f:
            return f.read()

    def write(self, name, text):
        with open(os.path.join(self.source, name), 'w', encoding='utf-8') as f:
            f.write(text)

    def ninja(self, targets):
        done = subprocess.run(['ninja', '-C', self.build, *targets], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode == 0, done.stdout


def copy_if_different(source, copy):
    with open(source, 'rb') as f:
        data = f.read()
    if os.path.exists(copy):
        with open(copy, 'rb') as f:
            if f.read() == data:
                return
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    with open(copy, 'wb') as f:
        f.write(data)
    os.chmod(copy, os.stat(source).st_mode & 0o777)


def run_or_die(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        sys.exit('mutate: %s failed:\n%s' % (' '.join(command), done.stdout[-3000:]))


class Test:
    """One of Meson's tests."""

    def __init__(self, tree, entry):
        self.name = entry['name']
        self.command = [str(c) for c in entry['cmd']]
        self.env = entry['env']
        self.timeout = entry['timeout']
        self.build = tree.build
        self.tap = entry['protocol'] == 'tap'
        program = os.path.relpath(self.command[0], tree.build)
        self.target = program if not program.startswith('..') else 'ferry-system-riscv64'
        self.needs_emulator = self.target == 'ferry-system-riscv64'
        self.includes = ''
        source = os.path.join(tree.source, self.target + '.c')
        if os.path.exists(source):
            with open(source, encoding='utf-8') as f:
                self.includes = ' '.join(re.findall(r'#include "([^"]*)"', f.read()))

    def run(self, seconds, build=None, profile=None):
        """None if it is green, else why not. build: another one than its own."""
        build = build or self.build
        env = {name: value.replace(self.build, build) for name, value in self.env.items()}
        if profile:
            env['LLVM_PROFILE_FILE'] = profile
        process = subprocess.Popen([c.replace(self.build, build) for c in self.command], cwd=build,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=dict(os.environ, **env),
                                   start_new_session=True)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return 'not over after %d s' % seconds
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)      # its own session: what it left behind
            except ProcessLookupError:
                pass
            process.wait()
        words = output.decode('utf-8', 'replace')
        bad = re.search(r'^(not ok (?!.*# (?:SKIP|TODO)).*|Bail out!.*)$', words, re.M)
        if self.tap and bad:
            return bad.group(1)[:150]
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


def tests_of(tree):
    text = subprocess.run(['meson', 'introspect', '--tests', tree.build], check=True,
                          stdout=subprocess.PIPE).stdout
    out = []
    for entry in json.loads(text):
        suites = {s.rpartition(':')[2] for s in entry['suite']}
        if suites & set(SUITES) and entry['name'] not in NOT_ASKED:
            out.append(Test(tree, entry))
    return out


def measure(tree, tests):
    """How long each takes without a change; what is red then says nothing later."""
    known = tree.results.setdefault('seconds', {})
    for test in tests:
        if test.name in known:
            continue
        start = time.monotonic()
        why = test.run(test.timeout * 3)
        if why:
            print('unchanged, %s is red and is left out: %s' % (test.name, why), flush=True)
        known[test.name] = None if why else round(time.monotonic() - start, 2)
        tree.save()
    return [t for t in tests if known[t.name] is not None]


def symbols(path):
    """member of an archive ('' for a program) -> the global names that it defines."""
    done = subprocess.run(['nm', '-A', '-g', '--defined-only', path], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    found = collections.defaultdict(set)
    for line in done.stdout.splitlines():
        place, _, rest = line.partition(' ')
        parts = place.split(':')
        found[parts[1] if len(parts) > 2 else ''].add(rest.split()[-1])
    return found


class Linkage:
    """Which tests have a file of the program in them: the others cannot notice what it does."""

    def __init__(self, tree, tests):
        self.objects = symbols(os.path.join(tree.build, 'libferry.a'))
        self.programs = {t: symbols(os.path.join(tree.build, t))['']
                         for t in {test.target for test in tests}}

    def has(self, test, changed):
        names = self.objects.get(changed.replace('/', '_') + '.o', set())
        return not names or bool(names & self.programs[test.target])


# ---- one change ----

def in_order(tree, tests, changed):
    """Close ones first, then those that noticed something in this file before, then quick ones."""
    caught = collections.Counter(r['test'] for r in tree.results.get('tried', {}).values()
                                 if r['file'] == changed and r.get('test'))
    seconds = tree.results['seconds']
    return sorted(tests, key=lambda t: (-t.closeness(changed) - 4 * caught[t.name],
                                        t.needs_emulator, seconds[t.name]))


def ask(tree, tests, linkage, coverage, change):
    """(verdict, test, why): verdict is caught, survived or unbuildable."""
    seconds = tree.results['seconds']
    ok, output = tree.ninja(['libferry.a'])
    if not ok:
        return 'unbuildable', None, next((l for l in output.splitlines() if 'error:' in l), '')
    ordered = in_order(tree, [t for t in tests if linkage.has(t, change.file) and
                              coverage.may(t, change)], change.file)
    while ordered:
        # a few at a time: linking all is most of the work
        few, ordered = ordered[:6], ordered[6:]
        ok, output = tree.ninja(sorted({t.target for t in few}))
        if not ok:
            return 'unbuildable', None, output[-200:]
        for test in few:
            limit = max(LEAST_SECONDS, SLOWER * seconds[test.name])
            why = test.run(limit)
            # once more: a busy host turns tests red, too
            if why and ('not over' in why or test.run(limit)):
                return 'caught', test.name, why
    return 'survived', None, ''


def try_change(tree, tests, linkage, coverage, change):
    text = tree.read(change.file)
    lines = text.split('\n')
    lines[change.line] = change.after
    tree.write(change.file, '\n'.join(lines))
    try:
        return ask(tree, tests, linkage, coverage, change)
    finally:
        tree.write(change.file, text)


def describe(change):
    return '%s:%d: %s: "%s" becomes "%s"' % (change.file, change.line + 1, change.operator,
                                             change.before.strip(), change.after.strip())


def report(tree, listed):
    tried = tree.results.get('tried', {})
    verdicts = collections.Counter(r['verdict'] for r in tried.values())
    survivors = {d: r for d, r in tried.items() if r['verdict'] == 'survived' and d not in listed}
    for digest, r in sorted(survivors.items(), key=lambda item: item[1]['what']):
        print('SURVIVED %s %s' % (digest, r['what']))
    print('%d changes: %d caught, %d listed as harmless, %d survived, %d could not be built' % (
        len(tried), verdicts['caught'],
        verdicts['survived'] - len(survivors), len(survivors), verdicts['unbuildable']))
    return 1 if survivors else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True, help='a folder of its own')
    parser.add_argument('--count', type=int, default=200)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--seconds', type=float, help='begin no change after so long')
    parser.add_argument('--file', help='only files that match, as migration/ram/*')
    parser.add_argument('--id', help='try only this change, known or not')
    parser.add_argument('--show', help='print this change')
    parser.add_argument('--report', action='store_true')
    parser.add_argument('--again', action='store_true', help='try survivors once more')
    return parser.parse_args()


def main():
    options = arguments()
    start = time.monotonic()
    tree = Tree(options.build)
    listed = harmless()
    if options.report:
        return report(tree, listed)
    if options.show or options.id:
        found = [c for c in all_changes(TOP, None) if c.id == (options.show or options.id)]
        if not found:
            sys.exit('mutate: there is no change %s in this source' % (options.show or options.id))
        if options.show:
            print(describe(found[0]))
            return 0
    tree.bring_up_to_date()
    tests = measure(tree, tests_of(tree))
    linkage = Linkage(tree, tests)
    coverage = Coverage(tree, tests)
    if options.id:
        chosen = found
    else:
        chosen = choose(all_changes(tree.source, options.file), options.count, options.seed)
    tried = tree.results.setdefault('tried', {})
    for number, change in enumerate(chosen, 1):
        known = tried.get(change.id)
        if known and not options.id and not (options.again and known['verdict'] == 'survived'):
            continue
        if not options.id and change.id in listed:
            tried[change.id] = {'verdict': 'survived', 'file': change.file, 'what': describe(change)}
            continue
        if options.seconds and time.monotonic() - start > options.seconds:
            print('%d of %d looked at; the next run goes on from here' % (number - 1, len(chosen)))
            break
        verdict, test, why = try_change(tree, tests, linkage, coverage, change)
        tried[change.id] = {'verdict': verdict, 'file': change.file, 'what': describe(change),
                            'test': test, 'why': why}
        tree.save()
        print('%3d %-11s %s %s%s' % (number, verdict, change.id, describe(change),
                                     ' (%s: %s)' % (test, why) if test else ''), flush=True)
    tree.save()
    return report(tree, listed)


if __name__ == '__main__':
    sys.exit(main())
