#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The generator refuses what it must: every row is a schema and its message. TAP."""
import os
import subprocess
import sys
import tempfile

GEN, HXTOOL = sys.argv[1:3]
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.dirname(GEN), os.path.dirname(HXTOOL)]

import hxtool  # noqa: E402
from qapi.error import SchemaError  # noqa: E402
from qapi.schema import Schema  # noqa: E402


def doc(symbol, *members, tail=''):
    lines = [f'# @{symbol}:', '#', '# Text.', '#']
    for m in members:
        lines += [f'# @{m}: text', '#']
    return '##\n' + '\n'.join(lines) + '\n' + tail + '##\n'


ENUM = doc('E', 'a') + "{ 'enum': 'E', 'data': [ 'a' ] }\n"
STRUCT = doc('S', 'a') + "{ 'struct': 'S', 'data': { 'a': 'int' } }\n"

ROWS = [
    ('no-doc-struct', "{ 'struct': 'S', 'data': {} }", "struct 'S' is not documented"),
    ('no-doc-command', "{ 'command': 'c' }", "command 'c' is not documented"),
    ('no-doc-event', "{ 'event': 'EV' }", "event 'EV' is not documented"),
    ('no-doc-enum', "{ 'enum': 'E', 'data': [] }", "enum 'E' is not documented"),
    ('empty-doc', "##\n# @c:\n##\n{ 'command': 'c' }", "command 'c' is not documented: no description"),
    ('no-doc-member', doc('S') + "{ 'struct': 'S', 'data': { 'a': 'int' } }",
     "member 'a' of struct 'S' is not documented"),
    ('no-doc-optional', doc('S', 'a') + "{ 'struct': 'S', 'data': { 'a': 'int', '*b': 'int' } }",
     "member 'b' of struct 'S' is not documented"),
    ('no-doc-value', doc('E', 'a') + "{ 'enum': 'E', 'data': [ 'a', 'b' ] }",
     "value 'b' of enum 'E' is not documented"),
    ('no-doc-argument', doc('c') + "{ 'command': 'c', 'data': { 'x': 'str' } }",
     "argument 'x' of command 'c' is not documented"),
    ('no-doc-data', doc('EV') + "{ 'event': 'EV', 'data': { 'x': 'str' } }",
     "member 'x' of event 'EV' is not documented"),
    ('no-doc-feature', doc('c') + "{ 'command': 'c', 'features': [ 'f' ] }",
     "feature 'f' of command 'c' is not documented"),
    ('empty-member-doc', '##\n# @S:\n#\n# Text.\n#\n# @a:\n##\n' +
     "{ 'struct': 'S', 'data': { 'a': 'int' } }", "member 'a' of struct 'S' is not documented"),
    ('doc-of-nothing', doc('S', 'a', 'z') + "{ 'struct': 'S', 'data': { 'a': 'int' } }",
     "struct 'S' documents 'z', which it does not have"),
    ('doc-twice', doc('S', 'a', 'a') + "{ 'struct': 'S', 'data': { 'a': 'int' } }",
     "'a' is documented twice"),
    ('doc-other-name', doc('T') + "{ 'struct': 'S', 'data': {} }",
     "documentation is for 'T', but the definition is 'S'"),
    ('doc-alone', doc('T'), "documentation for 'T' is not followed by its definition"),
    ('doc-not-closed', '##\n# @c:\n#\n# Text.\n\n' + "{ 'command': 'c' }",
     "documentation comment must end with '##'"),
    ('unknown-type', doc('S', 'a') + "{ 'struct': 'S', 'data': { 'a': 'nope' } }",
     "uses unknown type 'nope'"),
    ('twice', STRUCT + STRUCT, "'S' is defined twice"),
    ('unknown-key', doc('c') + "{ 'command': 'c', 'bogus': 1 }".replace('1', "'x'"),
     "command 'c' has unknown key 'bogus'"),
    ('missing-key', doc('S') + "{ 'struct': 'S' }", "struct 'S' misses key 'data'"),
    ('value-twice', doc('E', 'a') + "{ 'enum': 'E', 'data': [ 'a', 'a' ] }",
     "enum 'E' has value 'a' twice"),
    ('bad-discriminator', STRUCT + doc('U', 'k') +
     "{ 'union': 'U', 'base': { 'k': 'str' }, 'discriminator': 'k', 'data': {} }",
     "discriminator 'k' is not a required enum member"),
    ('bad-branch', ENUM + STRUCT + doc('U', 'k') +
     "{ 'union': 'U', 'base': { 'k': 'E' }, 'discriminator': 'k', 'data': { 'z': 'S' } }",
     "branch 'z' is not a value of enum 'E'"),
    ('alternate-clash', doc('A', 'x', 'y') + "{ 'alternate': 'A', 'data': { 'x': 'int', 'y': 'size' } }",
     "two branches have the same JSON type"),
    ('bad-if', doc('S', 'a') + "{ 'struct': 'S', 'data': { 'a': { 'type': 'int', 'if': 'a b' } } }",
     "'if' condition 'a b' is not a valid identifier"),
    ('boxed-anonymous', doc('c', 'x') + "{ 'command': 'c', 'boxed': true, 'data': { 'x': 'str' } }",
     "'boxed' needs data to name a type"),
    ('base-clash', STRUCT + doc('T', 'a') + "{ 'struct': 'T', 'base': 'S', 'data': { 'a': 'str' } }",
     "struct 'T' has member 'a' twice"),
    ('bad-include', "{ 'include': 'nope.json' }", "no such include file 'nope.json'"),
    ('not-an-object', "[ ]", "expected an object at top level"),
    ('stray', "{ 'command': c }", "stray 'c'"),
    ('good', ENUM + STRUCT + doc('c', 'x') + "{ 'command': 'c', 'data': { 'x': 'S' } }", None),
]


HX = """    {
        .name       = "a",
        .args_type  = "",
        .params     = "",
        .help       = "do it",
        .cmd        = hmp_a,
    },
"""
HX_ROWS = [
    ('hx-good', HX + 'SDOC\nText.\nEDOC\n', None),
    ('hx-no-manual', HX, "command 'a' is not documented"),
    ('hx-empty-manual', HX + 'SDOC\n\nEDOC\n', "command 'a' is not documented"),
    ('hx-no-help', HX.replace('do it', '') + 'SDOC\nText.\nEDOC\n', "'a' has no help"),
    ('hx-no-handler', HX.replace('.cmd ', '.xyz ') + 'SDOC\nText.\nEDOC\n',
     "entry lacks '.cmd'"),
    ('hx-not-closed', HX + 'SDOC\nText.\n', 'doc is not closed'),
    ('hx-stray', 'what\n', 'stray text'),
]


def generate(path, whole):
    """Exit status and stderr of the generator; whole: as a program, else only its check."""
    if whole:
        r = subprocess.run([sys.executable, GEN, path, '-'], capture_output=True, text=True,
                           timeout=30, check=False)
        return r.returncode, r.stderr
    try:
        Schema(path)
        return 0, ''
    except SchemaError as e:
        return 1, f'{e}\n'


def convert(path):
    try:
        hxtool.parse(path)
        return 0, ''
    except hxtool.HxError as e:
        return 1, f'{e}\n'


def check_hx(tmp, first):
    """Rows of the human monitor's tables; the number of failures."""
    bad = 0
    for n, (name, text, want) in enumerate(HX_ROWS, first):
        path = os.path.join(tmp, name + '.hx')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        status, stderr = convert(path)
        ok = status == 0 if want is None else status == 1 and want in stderr
        bad += not ok
        print(f'{"ok" if ok else "not ok"} {n} - {name}')
        if not ok:
            print(f'# wanted {want!r}, got status {status}: {stderr!r}')
    return bad


def main():
    print(f'1..{len(ROWS) + len(HX_ROWS)}')
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        for n, (name, text, want) in enumerate(ROWS, 1):
            path = os.path.join(tmp, name + '.json')
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text + '\n')
            status, stderr = generate(path, n in (1, len(ROWS)))
            if want is None:
                ok = status == 0 and not stderr
            else:
                ok = status == 1 and want in stderr and stderr.startswith(path + ':') \
                    and len(stderr.splitlines()) == 1
            bad += not ok
            print(f'{"ok" if ok else "not ok"} {n} - {name}')
            if not ok:
                print(f'# wanted {want!r}, got status {status}: {stderr!r}')
        bad += check_hx(tmp, len(ROWS) + 1)
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
