#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Trace events from their tables to C.

    tracetool.py --header FOLDER OUTPUT TABLE        the functions trace_NAME() of one table
    tracetool.py --source OUTPUT FOLDER=TABLE...     the events themselves, and the list of all

A table is a folder's trace-events. Each line is empty, a comment after '#', or

    name(type argument, ...) "format of printf"

Called by the build. An error is FILE:LINE: text, and the build stops.
"""
import re
import sys

EVENT = re.compile(r'^(\w+)\(([^()]*)\)\s+(".*)$')
ARGUMENT = re.compile(r'^((?:const )?\w+(?: \w+)* ?\**)\b(\w+)$')
HEAD = '/* SPDX-License-Identifier: GPL-2.0-or-later */\n/* Made by scripts/tracetool.py. */\n'


class Event:
    def __init__(self, name, params, names, fmt):
        self.name, self.params, self.names, self.fmt = name, params, names, fmt


def fail(path, number, text):
    sys.exit('%s:%d: %s' % (path, number, text))


def arguments(path, number, text):
    """'const char *a, int b' -> (that, ['a', 'b'])."""
    if text.strip() in ('', 'void'):
        return 'void', []
    names = []
    for part in text.split(','):
        match = ARGUMENT.match(part.strip())
        if not match:
            fail(path, number, "no argument: '%s'" % part.strip())
        names.append(match.group(2))
    return text, names


def read(path, seen):
    events = []
    with open(path, encoding='utf-8') as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith('#'):
                continue
            match = EVENT.match(line)
            if not match:
                fail(path, number, 'not of the form  name(type argument, ...) "format"')
            name = match.group(1)
            if name in seen:
                fail(path, number, "event '%s' is there already (%s)" % (name, seen[name]))
            seen[name] = '%s:%d' % (path, number)
            params, names = arguments(path, number, match.group(2))
            events.append(Event(name, params, names, match.group(3)))
    if not events:
        fail(path, 1, 'no events')
    return events


def header(folder, events):
    guard = 'UTIL_TRACE_%s_H' % folder.upper()
    out = [HEAD, '#ifndef %s\n#define %s\n\n#include "util/trace.h"\n' % (guard, guard)]
    for e in events:
        args = ''.join(', ' + n for n in e.names)
        out.append('''
extern TraceEvent trace_event_%(name)s;

static inline bool trace_%(name)s_on(void)
{
    return trace_event_on(&trace_event_%(name)s);
}

static inline void trace_%(name)s(%(params)s)
{
    if (trace_%(name)s_on()) {
        trace_print(&trace_event_%(name)s, %(fmt)s "\\n"%(args)s);
    }
}
''' % {'name': e.name, 'params': e.params, 'fmt': e.fmt, 'args': args})
    return ''.join(out) + '\n#endif\n'


def source(folders):
    out = [HEAD]
    out += ['#include "util/trace-%s.h"\n' % folder for folder, _ in folders]
    out.append('\n')
    for _, events in folders:
        out += ['TraceEvent trace_event_%s = { .name = "%s" };\n' % (e.name, e.name)
                for e in events]
    out.append('\nTraceEvent *const trace_events[] = {\n')
    for _, events in folders:
        out += ['    &trace_event_%s,\n' % e.name for e in events]
    return ''.join(out) + '    NULL,\n};\n'


def main():
    seen = {}
    if sys.argv[1] == '--header':
        text, path = header(sys.argv[2], read(sys.argv[4], seen)), sys.argv[3]
    else:
        pairs = [a.split('=', 1) for a in sys.argv[3:]]
        text, path = source([(folder, read(table, seen)) for folder, table in pairs]), sys.argv[2]
    with open(path, 'w', encoding='utf-8') as out:
        out.write(text)


if __name__ == '__main__':
    main()
