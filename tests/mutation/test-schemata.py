#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One build with all changes does what builds with one each do, says which changes a run came by, and is
the program as it was when none is switched on. With a file in which there is one of everything that
changes.py looks at. TAP on stdout.

usage: test-schemata.py COMPILER..."""
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schemata                                     # noqa: E402
from changes import code_lines, file_changes        # noqa: E402

PROGRAM = r'''
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#define LIMIT 7

typedef struct Box {
    int value, limit;
} Box;

static const int steps[] = {
    1,
    2
};

static void note(Box *box)
{
    box->value += 3;
}

/* A signature of two lines, a pointer to a function, an array. */
static bool
check(Box *box, int (*twice)(int), const int list[2],
      int more)
{
    if (box->value > box->limit &&
        twice(more) > 4) {
        return false;
    } else if (box->value == list[0]) {
        box->limit = 2;
    } else {
        box->limit = more - 1;
    }
    return true;
}

static int twice(int n)
{
    return n + n;
}

/* No change makes it go on for ever. */
static void spend(void)
{
    static int left = 1000;

    if (--left < 0) {
        exit(9);
    }
}

/* Ways into the middle of it. */
int jump(int kind)
{
    int sum = 1, turns = 0;

    switch (kind) {
    case 1:
        sum = sum + 10;
        break;
    case 2:
        goto second;
    default:
        sum = sum - 4;
    }
    for (int i = 0; i < 3; i++) {
        if (i == 1) {
            continue;
        }
        sum += 100;
    }
second:
    do {
        spend();
        turns = turns + 1;
        if (kind == 1) {
            continue;
        }
        sum += 1000;
    } while (turns < 3 && sum > 0);
#ifdef NEVER
    sum = 0;
#endif
    sum = sum + 5;
    return sum;
}

static void show(const char *name, int number)
{
    printf("%s %d\n", name, number);
}

int main(int argc, char **argv)
{
    Box box = { 1, LIMIT };

    for (int i = 0; i < argc; i++) {
        note(&box);
        show("check", check(&box, twice, steps, i + 2));
        show("limit", box.limit);
        show("jump", jump(i + 1));
    }
    return 0;
}
'''


def build(folder, name, text):
    path = os.path.join(folder, name)
    with open(path + '.c', 'w', encoding='ascii') as f:
        f.write(text)
    done = subprocess.run(sys.argv[1:] + ['-w', '-D_GNU_SOURCE', '-o', path, path + '.c'], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return path if done.returncode == 0 else None, done.stdout


def run(path, **environment):
    """What it does without an argument, and with one; a change may make it crash, none goes on for ever."""
    out = []
    for arguments in ([], ['x']):
        done = subprocess.run([path] + arguments, stdout=subprocess.PIPE, timeout=60, check=False,
                              env=dict(os.environ, **environment))
        out.append((done.returncode, done.stdout))
    return out


def main():
    with tempfile.TemporaryDirectory() as folder:
        numbered = list(enumerate(file_changes('p.c', PROGRAM), 1))
        header = os.path.join(folder, 'mutant.h')
        with open(header, 'w', encoding='ascii') as f:
            f.write(schemata.HEADER.replace('FERRY_MUTANTS', '4096'))
        text, left = schemata.with_changes('p.c', PROGRAM, code_lines(PROGRAM), numbered, set(), header)
        common, words = build(folder, 'common', text)
        plain, _ = build(folder, 'plain', PROGRAM)
        seen = os.path.join(folder, 'seen')
        with open(seen, 'wb') as f:
            f.truncate(4096)
        bad = [words] if not common else []
        before = run(plain)
        if common and run(common, FERRY_MUTANT_SEEN=seen) != before:
            bad.append('without a change it does something else')
        with open(seen, 'rb') as f:
            marks = f.read()
        noticed = 0
        for number, change in numbered if common else ():
            lines = PROGRAM.split('\n')
            lines[change.line] = change.after
            alone, _ = build(folder, 'alone', '\n'.join(lines))
            what = '%d: %s becomes %s' % (change.line + 1, change.before.strip(), change.after.strip())
            want = run(alone) if alone else None
            if number not in left and run(common, FERRY_MUTANT=str(number)) != want:
                bad.append(what + ': not as in a build of its own')
            if want not in (None, before):
                noticed += 1
                if not marks[number]:
                    bad.append(what + ': come by, and that is not said')
        if noticed < 25 or len(left) > 3:
            bad.append('%d changes, %d noticed, %d left out' % (len(numbered), noticed, len(left)))
        if all(marks[number] for number, _ in numbered):
            bad.append('everything is come by')
    print('1..1')
    print(''.join('# %s\n' % line for word in bad for line in word.splitlines()), end='')
    print('%sok 1 - one build, all changes' % ('not ' if bad else ''))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
