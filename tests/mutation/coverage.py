# SPDX-License-Identifier: GPL-2.0-or-later
"""Which test runs which line. A build of its own with clang counts lines into files that also outlive a
process that is killed; each test runs once."""
import collections
import glob
import json
import os
import shutil
import subprocess

FLAGS = '-fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation'


def build(tree, targets):
    """Configures and builds in DIR/coverage; False where there is no clang with llvm-cov."""
    if not shutil.which('clang') or not shutil.which('llvm-cov-14'):
        return None
    folder = os.path.join(tree.folder, 'coverage')
    if not os.path.exists(os.path.join(folder, 'build.ninja')):
        subprocess.run([os.path.join(tree.source, 'configure'), '--cc=clang', '--build-dir=' + folder],
                       cwd=tree.source, check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, CFLAGS=FLAGS, LDFLAGS='-fprofile-instr-generate'))
    subprocess.run(['ninja', '-C', folder, *sorted(targets)], check=True, stdout=subprocess.DEVNULL)
    return folder


def lines_of(program, profiles, source):
    """file -> the lines that were run, from what the processes left behind."""
    merged = os.path.join(profiles, 'merged')
    raw = glob.glob(os.path.join(profiles, '*.profraw'))
    if not raw:
        return {}
    subprocess.run(['llvm-profdata-14', 'merge', '-sparse', '--failure-mode=all', '-o', merged] + raw,
                   check=True, stderr=subprocess.DEVNULL)
    text = subprocess.run(['llvm-cov-14', 'export', '-format=lcov', '-instr-profile', merged, program],
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    found, name = collections.defaultdict(list), None
    for line in text.decode('utf-8', 'replace').splitlines():
        if line.startswith('SF:'):
            name = os.path.relpath(line[3:], source)
        elif line.startswith('DA:') and not line.endswith(',0'):
            found[name].append(int(line[3:].split(',')[0]))
    return found


class Coverage:
    """Answers may(test, change): True unless it is known that the test does not come by that line."""

    def __init__(self, tree, tests):
        self.path = os.path.join(tree.folder, 'coverage.json')
        self.known = {}
        if os.path.exists(self.path):
            with open(self.path, encoding='utf-8') as f:
                self.known = json.load(f)
        missing = [t for t in tests if t.name not in self.known]
        folder = build(tree, {t.target for t in missing}) if missing else None
        for test in missing if folder else ():
            self.measure(tree, folder, test)

    def measure(self, tree, folder, test):
        profiles = os.path.join(folder, 'profiles')
        shutil.rmtree(profiles, ignore_errors=True)
        os.mkdir(profiles)
        why = test.run(test.timeout * 3, folder, os.path.join(profiles, '%p%c.profraw'))
        lines = lines_of(os.path.join(folder, test.target), profiles, tree.source)
        shutil.rmtree(profiles, ignore_errors=True)
        # A test that another compiler turns red may have stopped half way.
        self.known[test.name] = None if why else {f: sorted(set(n)) for f, n in lines.items()
                                                  if not f.startswith('..')}
        with open(self.path + '.new', 'w', encoding='utf-8') as f:
            json.dump(self.known, f)
        os.replace(self.path + '.new', self.path)

    def may(self, test, change):
        lines = self.known.get(test.name)
        if lines is None or change.operator == 'constant':
            return True
        # the statement may have begun above and end below
        return any(n in lines.get(change.file, ()) for n in range(change.line - 1, change.line + 4))
