#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Schema in, C code and manual out: qapi-gen.py [-d DEPFILE] [-i DIR] SCHEMA OUTDIR

DIR is how generated files include each other (qapi).
With OUTDIR '-' the schema is only checked. Mistakes go to stderr as
"FILE:LINE: message" and end the program with status 1.
"""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from qapi import calls, ctypes, introspect, manual  # noqa: E402
from qapi.error import SchemaError  # noqa: E402
from qapi.schema import Schema  # noqa: E402

OUTPUTS = {
    'qapi-types.h': ctypes.gen_types_h, 'qapi-types.c': ctypes.gen_types_c,
    'qapi-args.h': ctypes.gen_args_h,
    'qapi-visit.h': ctypes.gen_visit_h, 'qapi-visit.c': ctypes.gen_visit_c,
    'qapi-commands.h': calls.gen_commands_h, 'qapi-commands.c': calls.gen_commands_c,
    'qapi-events.h': calls.gen_events_h, 'qapi-events.c': calls.gen_events_c,
    'qapi-introspect.c': introspect.gen_introspect_c, 'qmp-reference.md': manual.gen_manual,
}


def main(argv):
    depfile, incdir = None, 'qapi'
    while argv[:1] in (['-d'], ['-i']):
        if argv[0] == '-d':
            depfile = argv[1]
        else:
            incdir = argv[1]
        argv = argv[2:]
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        schema = Schema(argv[0])
    except SchemaError as e:
        print(e, file=sys.stderr)
        return 1
    if argv[1] == '-':
        return 0
    for name, gen in OUTPUTS.items():
        with open(os.path.join(argv[1], name), 'w', encoding='utf-8') as f:
            f.write(gen(schema).replace('"qapi/qapi-', f'"{incdir}/qapi-'))
    if depfile:
        inputs = sorted({os.path.abspath(i[1].rsplit(':', 1)[0]) for i in schema.items})
        with open(depfile, 'w', encoding='utf-8') as f:
            f.write(f'{os.path.join(argv[1], "qapi-types.h")}: {" ".join(inputs)}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
