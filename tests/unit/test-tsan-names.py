#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Only in builds with ThreadSanitizer: does the emulator call anything of GLib that synchronises or
changes a container, and that util/tsan-glib.c does not stand in for? TAP on stdout.

usage: test-tsan-names.py EMULATOR"""

import re
import subprocess
import sys

# What TSan has to be told about ...
TELL = re.compile(
    r'g_(mutex|rec_mutex|rw_lock|cond|static|bit_|pointer_bit|async_queue|thread_pool|once|private|'
    r'main_loop|main_context|idle|timeout_add|source_(attach|destroy|remove|add|set_ready|modify)|'
    r'atomic|ref_count|rc_box|ptr_array|array|byte_array|hash_table|queue|string|list|tree)')
# ... and what of it needs no telling: it makes or ends an object of one thread, or counts references
# in GLib's own atomics; fd tags and list nodes belong to their source or owner, whose lock is seen.
FINE = re.compile(
    r'g_(ptr_array|array|byte_array|hash_table|string|main_context)_(new|sized_new|unref|ref)|'
    r'g_(queue_init|string_free|byte_array_(sized_new|free_to_bytes)|main_context_(acquire|release|'
    r'dispatch|default)|source_(add|remove)_unix_fd|list_\w+|idle_source_new)')


def main():
    symbols = subprocess.run(['nm', '-D', '--undefined-only', sys.argv[1]], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    names = set(re.findall(r' U (g_\w+)', symbols))
    left = sorted(n for n in names if TELL.match(n) and not FINE.match(n))
    print('1..2')
    print('ok 1 - the emulator is linked to GLib' if len(names) > 50 else 'not ok 1 - no names')
    for name in left:
        print('# %s: add it to util/tsan-glib.c' % name)
    print(('not ' if left else '') + 'ok 2 - every lock and container is seen')
    return 1 if left else 0


sys.exit(main())
