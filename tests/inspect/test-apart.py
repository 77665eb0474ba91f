#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ferry-inspect is the second opinion: it shares no source and no library with the rest of Ferry.
Every file it is made of is in tools/inspect, every header of ours it includes as well, and nothing
it is linked from comes from elsewhere.

  FERRY_BUILD=build tests/inspect/test-apart.py
"""
import glob
import json
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OWN = os.path.join(TOP, 'tools', 'inspect')
BUILD = os.path.abspath(os.environ['FERRY_BUILD'])
ALLOWED = {'config-host.h'}     # the version number, made by configure


def includes():
    """Headers of ours that are not in tools/inspect."""
    for path in sorted(glob.glob(os.path.join(OWN, '*.[ch]'))):
        with open(path, encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                if found and found.group(1) not in ALLOWED:
                    name = found.group(1)
                    if '/' in name or not os.path.exists(os.path.join(OWN, name)):
                        yield '%s:%d: #include "%s"' % (os.path.basename(path), number, name)


def sources():
    """What meson builds ferry-inspect and its library from, but for tools/inspect."""
    out = subprocess.run(['meson', 'introspect', '--targets', BUILD], check=True,
                         capture_output=True, text=True).stdout
    targets = {t['name']: t for t in json.loads(out)}
    for name in ('ferry-inspect', 'inspect'):
        for group in targets[name]['target_sources']:
            for path in group.get('sources', []) + group.get('generated_sources', []):
                if os.path.dirname(path) != OWN:
                    yield '%s is built from %s' % (name, os.path.relpath(path, TOP))


def included_for_real():
    """Headers of Ferry that the compiler has read, by ninja's own record."""
    out = subprocess.run(['ninja', '-C', BUILD, '-t', 'deps'], capture_output=True, text=True,
                         check=True).stdout
    ours = False
    for line in out.splitlines():
        if line and not line.startswith(' '):
            ours = re.search(r'ferry-inspect\.p/|libinspect\.a\.p/', line) is not None
        elif ours and line.strip():
            path = os.path.normpath(os.path.join(BUILD, line.strip()))
            inside = path.startswith(TOP + os.sep)
            if inside and os.path.dirname(path) != OWN and os.path.basename(path) not in ALLOWED:
                yield os.path.relpath(path, TOP)


def linked():
    """Archives and objects of Ferry in the link line."""
    out = subprocess.run(['ninja', '-C', BUILD, '-t', 'commands', '-s', 'ferry-inspect'],
                         capture_output=True, text=True, check=True).stdout
    for word in out.split():
        if word.endswith(('.a', '.o')) and 'inspect' not in word and not word.startswith('/'):
            yield word


def main():
    checks = [('its sources include only its own headers', includes),
              ('it is built from its own sources', sources),
              ('its objects have read no header of Ferry', included_for_real),
              ('it is linked from its own objects', linked)]
    bad = 0
    print('TAP version 13\n1..%d' % len(checks))
    for number, (title, function) in enumerate(checks, 1):
        found = list(function())
        bad += bool(found)
        print('%s %d - %s' % ('not ok' if found else 'ok', number, title))
        for line in found:
            print('# ' + line)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
