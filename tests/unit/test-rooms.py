#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who includes whom in migration/: the arrows of docs/devel/architecture.md ("The rooms of migration/")
are all there are, and of the machine only the headers named there are used. Reads the two tables of
that page, so page and code cannot differ. And nowhere do files call one another in a circle. TAP on
stdout.

usage: test-rooms.py SOURCE-ROOT"""

import os
import re
import sys
import tempfile

PAGE = 'docs/devel/architecture.md'
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)
# Everybody may have them: helpers, generated types, and the tree's own interfaces between rooms.
COMMON = ('util/', 'qapi/', 'config-host.h')
MACHINE = ('softmmu/', 'hw/', 'block/', 'target/', 'accel/', 'chardev/', 'monitor/', 'exec/')


def table(root, heading):
    """The rows of the table under a heading: lists of cells, each the `quoted` words in it."""
    with open(os.path.join(root, PAGE), encoding='utf-8') as f:
        text = f.read()
    match = re.search(r'^### %s$(.*?)(?=^##|\Z)' % re.escape(heading), text, re.M | re.S)
    if not match:
        return []
    rows = [line.strip('|').split('|') for line in match[1].splitlines() if line.startswith('|')]
    return [[re.findall('`([^`]+)`', cell) for cell in row] for row in rows[2:]]


def sources(root):
    """(file, text) of migration/ and of what it shows to others."""
    for top in ('migration', 'include/migration'):
        for folder, _, names in sorted(os.walk(os.path.join(root, top))):
            for name in sorted(names):
                if name.endswith(('.c', '.h')):
                    path = os.path.join(folder, name)
                    with open(path, encoding='utf-8') as f:
                        yield os.path.relpath(path, root), f.read()


def room_of(path):
    """migration/ram/save.c: 'ram/'; migration/migration.c: 'migration.c'."""
    parts = path.split('/')
    return parts[1] + '/' if len(parts) > 2 else parts[1]


def owner(root, include):
    """The room that an include leads into; None if it is not of migration/."""
    if not include.startswith('migration/'):
        return None
    if os.path.exists(os.path.join(root, include)):
        return room_of(include)
    # include/migration/x.h: whose it is, is said in the page's table of interfaces
    return include


def arrows(root):
    """(file, room, include) of every include that may leave its room."""
    ours = interfaces(root)
    for path, text in sources(root):
        room = ours.get(path[len('include/'):], path) if path.startswith('include/') else room_of(path)
        for include in INCLUDE.findall(text):
            if not include.startswith(COMMON):
                yield path, room, include


def interfaces(root):
    """include/migration/x.h -> its room."""
    return {header: row[0][0] for row in table(root, 'Interfaces') for header in row[1] if row[0]}


def check_arrows(root):
    allowed = {row[0][0]: set(row[1]) | set(row[2]) for row in table(root, 'Arrows') if row[0]}
    ours = interfaces(root)
    used, bad = set(), []
    for path, room, include in arrows(root):
        if include.startswith(MACHINE):
            continue
        to = ours.get(include, owner(root, include))
        if to is None or to == room:
            continue
        if room not in allowed:
            bad.append('%s: the room %s is not in the table of arrows' % (path, room))
        elif to not in allowed[room]:
            bad.append('%s: %s may not include %s (%s)' % (path, room, include, to))
        used.add((room, to))
    for room, targets in allowed.items():
        bad += ['the arrow %s -> %s is in the table, but nobody goes there' % (room, to)
                for to in targets if (room, to) not in used]
    return bad


def check_order(root):
    """An arrow leads down the table; the last column has those that do not."""
    rooms = [row[0][0] for row in table(root, 'Arrows') if row[0]]
    bad = []
    for row in table(root, 'Arrows'):
        for to in row[1] + row[2]:
            if to not in rooms:
                bad.append('%s -> %s: no such room in the table' % (row[0][0], to))
            elif (rooms.index(to) < rooms.index(row[0][0])) != (to in row[2]):
                bad.append('%s -> %s leads %s' % (row[0][0], to, 'down' if to in row[2] else 'up'))
    return bad


def check_machine(root):
    allowed = {}
    for row in table(root, 'The machine'):
        for header in row[0]:
            allowed[header] = set(row[1])
    bad, used = [], set()
    for path, room, include in arrows(root):
        if not include.startswith(MACHINE):
            continue
        if include not in allowed:
            bad.append('%s: %s is not in the table of the machine' % (path, include))
        elif room not in allowed[include]:
            bad.append('%s: %s may not include %s' % (path, room, include))
        used.add((include, room))
    for include, rooms in allowed.items():
        bad += ['%s in %s is in the table, but is not included' % (include, room)
                for room in rooms if (include, room) not in used]
    return bad


# Whoever runs goes by a MigrationSettings; the options are for those who ask and answer on the main thread.
OPTIONS = re.compile(r'\bmigration_options_(?:caps|params|props|copy|follow)\(')
OPTION_READERS = {'settings/', 'commands/', 'surroundings.c'}


def check_settings(root):
    return ['%s: reads the options; what runs goes by its MigrationSettings' % path
            for path, text in sources(root)
            if OPTIONS.search(text) and room_of(path) not in OPTION_READERS]


# ---- circles ----

# What counts is who calls whom, by whatever header.
ROUND = ('accel', 'chardev', 'hw', 'migration', 'monitor', 'qapi', 'softmmu', 'target', 'tools', 'util')
# Taken as one: a hart's parts know one another. A trap changes the mode, the mode the translation, that may trap.
MAY_BE_ROUND = 'target/riscv/'
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^#(?:[^\n]*\\\n)*[^\n]*',
                      re.S | re.M)
HEAD = r'^(?!static\b|typedef\b|extern\b)[A-Za-z_][\w \t*\n]*?[\s*](\w+)'
DEFINED = re.compile(HEAD + r'(?:\((?:[^;{}()]|\([^;{}()]*\))*\)\s*\{|(?:\[[^\]]*\])*\s*=\s*[{\w])', re.M)
OWN = re.compile(r'^static [^;{}()=]*?\b(\w+)\s*(?:\(|\[|=|;)', re.M)


def code(root):
    """file -> its text without comments, strings and directives."""
    found = {}
    for top in ROUND:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith('.c'):
                    path = os.path.join(folder, name)
                    with open(path, encoding='utf-8') as f:
                        found[os.path.relpath(path, root)] = NOT_CODE.sub(' ', f.read())
    return found


def takes(root):
    """file -> {file: names that the first takes from the second}."""
    texts = code(root)
    owners = {}
    for path, text in texts.items():
        for name in set(DEFINED.findall(text)):
            owners.setdefault(name, set()).add(path)
    found = {path: {} for path in texts}
    for path, text in texts.items():
        for name in set(re.findall(r'(?<![\w.])(?<!->)\w+', text)) - set(OWN.findall(text)):
            for owner in owners.get(name, ()):
                if len(owners[name]) == 1 and owner != path:
                    found[path].setdefault(owner, set()).add(name)
    return found


def way(graph, start, end):
    """The shortest way from start to end, of files; None if there is none."""
    ways = [[start]]
    seen = {start}
    while ways:
        done = ways.pop(0)
        for file in sorted(graph[done[-1]]):
            if file == end:
                return done + [file]
            if file not in seen:
                seen.add(file)
                ways.append(done + [file])
    return None


def check_circles(root):
    graph = {}
    for path, used in takes(root).items():
        for to, names in used.items():
            a, b = (MAY_BE_ROUND if f.startswith(MAY_BE_ROUND) else f for f in (path, to))
            graph.setdefault(a, {})
            graph.setdefault(b, {})
            if a != b:
                graph[a].setdefault(b, set()).update(names)
    # What is on no circle goes first, from either end.
    left = set(graph)
    while True:
        ends = {f for f in left if not left & set(graph[f]) or not any(f in graph[g] for g in left)}
        if not ends:
            break
        left -= ends
    graph = {path: {to: names for to, names in graph[path].items() if to in left} for path in left}
    bad = []
    for path in sorted(left):
        for to in sorted(graph[path]):
            back = way(graph, to, path)
            if back and path == min(back):
                bad.append('a circle: ' + '; '.join(
                    '%s takes %s from %s' % (a, ', '.join(sorted(graph[a][b])[:4]), b)
                    for a, b in zip([path] + back, back)))
    return bad


def check_itself(_root):
    """Would it notice?"""
    page = ('### Arrows\n\n| Room | May include | Up |\n|---|---|---|\n| `a/` | `b/` | |\n| `b/` | | |\n\n'
            '### Interfaces\n\n| Room | Headers |\n|---|---|\n| `b/` | `migration/b.h` |\n\n'
            '### The machine\n\n| Header | Rooms |\n|---|---|\n| `softmmu/x.h` | `a/` |\n')
    files = {PAGE: page, 'migration/a/a.c': '#include "migration/b.h"\n#include "softmmu/x.h"\n',
             'migration/b/b.c': '#include "migration/b.h"\n',
             'migration/a/high.c': '#include "migration/b.h"\nstatic int low(int n)\n{\n    return n;\n}\n\n'
                                   'bool high(void)\n{\n    return low_do(low(1)); /* high_top() */\n}\n',
             'migration/a/low.c': '#define X \\\n    1\nbool low_do(int n)\n{\n    return s->high(n) + "high";\n}\n'}
    breaks = [('migration/b/b.c', '#include "migration/a/a.h"\n', check_arrows),
              ('migration/b/b.c', '#include "softmmu/x.h"\n', check_machine),
              ('migration/a/a.c', '#include "softmmu/y.h"\n', check_machine),
              ('migration/b/b.c', '    if (migration_options_caps(o)) {\n', check_settings),
              ('migration/a/low.c', '#define X \\\n    1\nbool low_do(int n)\n{\n    return high();\n}\n', check_circles),
              (PAGE, page.replace('| `b/` | | |', '| `b/` | `a/` | |'), check_order)]
    with tempfile.TemporaryDirectory() as root:
        def write(name, text):
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), 'w', encoding='utf-8') as f:
                f.write(text)
        for name, text in files.items():
            write(name, text)
        write('migration/a/a.h', '')
        bad = [w for f in (check_arrows, check_order, check_machine, check_settings, check_circles) for w in f(root)]
        for name, text, function in breaks:
            write(name, text)
            if not function(root):
                bad.append('%r in %s is not noticed' % (text, name))
            write(name, files[name])
        return bad


CASES = (('the arrows are those of the page', check_arrows), ('they lead downward', check_order),
         ('the headers of the machine are those of the page', check_machine),
         ('what runs reads its settings and not the options', check_settings),
         ('no files call one another in a circle', check_circles),
         ('the test can fail', check_itself))


def main():
    root = sys.argv[1]
    failed = False
    print('TAP version 13\n1..%d' % len(CASES))
    for number, (title, function) in enumerate(CASES, 1):
        bad = function(root)
        if function is not check_itself and not table(root, 'Arrows'):
            bad.append('there is no table of arrows in ' + PAGE)
        failed = failed or bool(bad)
        print('%sok %d - %s' % ('not ' if bad else '', number, title))
        for words in sorted(set(bad)):
            print('# ' + words)
        if bad and function in (check_arrows, check_order, check_machine):
            print('# if that is meant: the tables under "The rooms of migration/" in ' + PAGE)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
