# SPDX-License-Identifier: GPL-2.0-or-later
"""One build with many changes. Each change gets a number and a copy of the function that it is in; the
function itself begins with

    if (ferry_mutant == 7) { return its_name__7(its, arguments); }

and the environment variable FERRY_MUTANT says which is switched on. Without it the program is as it was,
and FERRY_MUTANT_SEEN names a file in which it leaves, at the change's number, a byte that is not 0 for
each change that it came by: in front of the statement where that can be written, else at the beginning of
the function. Changes that are not in a function are left to builds of their own; what is left behind for
them is only that the file is linked.
"""
import collections
import re

HEADER = '''/* Written by tests/mutation. Weak: each file that is changed has it, a program has it once. */
#ifndef FERRY_MUTANT_H
#define FERRY_MUTANT_H
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

__attribute__((weak)) int ferry_mutant;
__attribute__((weak)) unsigned char *ferry_mutant_seen;

__attribute__((weak, constructor(101))) void ferry_mutant_start(void)
{
    const char *number = getenv("FERRY_MUTANT"), *seen = getenv("FERRY_MUTANT_SEEN");
    void *map;
    int fd;

    ferry_mutant = number ? atoi(number) : 0;
    if (seen && !ferry_mutant_seen && (fd = open(seen, O_RDWR | O_CLOEXEC)) >= 0) {
        map = mmap(NULL, FERRY_MUTANTS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ferry_mutant_seen = map == MAP_FAILED ? NULL : map;
        close(fd);
    }
}

#define FERRY_MUTANT_SEEN(number) do { \\
        if (__builtin_expect(ferry_mutant_seen != NULL, 0)) { \\
            ferry_mutant_seen[number] = 1; \\
        } \\
    } while (0)
#endif
'''

Function = collections.namedtuple('Function', 'first brace last head name parameters')


def parameter_names(text):
    """None where they cannot be handed on."""
    names, depth, start = [], 0, 0
    for at, c in enumerate(text + ','):
        depth += (c in '([') - (c in ')]')
        if c != ',' or depth:
            continue
        parameter, start = text[start:at].strip(), at + 1
        if parameter == 'void':
            continue
        match = re.search(r'\(\s*\*\s*(\w+)', parameter) or re.search(r'(\w+)\s*(?:\[.*)?$', parameter)
        if '...' in parameter or not match:
            return None
        names.append(match.group(1))
    return names


def functions(codes, lines):
    """The file's functions: a line that is only a brace, with the signature above and the end below."""
    for brace, code in enumerate(codes):
        if code != '{':
            continue
        first = brace
        while first and codes[first - 1].strip() and not re.search(r'[;}]\s*$|^#', codes[first - 1]):
            first -= 1
        last = next((n for n in range(brace, len(codes)) if codes[n] == '}'), None)
        signature = ' '.join(line.strip() for line in lines[first:brace])
        if last is None or not signature.endswith(')'):
            continue
        depth, at = 0, len(signature)
        while at:
            at -= 1
            depth += (signature[at] == ')') - (signature[at] == '(')
            if not depth:
                break
        match = re.search(r'(\w+)$', signature[:at])
        if match:
            yield Function(first, brace, last, signature[:match.start()], match.group(1),
                           signature[at + 1:-1])


def statement(codes, function, line):
    """The line in front of which it can be said that this one is come by; the function's first if none."""
    while line > function.brace + 1:
        above = codes[line - 1].rstrip()
        if re.search(r'^\s*(case\b.*|default|\w+):$|^#', above) or \
                (re.search(r'[;{}]$', above) and not re.search(r'[=(,] *\{$', above)):
            break
        line -= 1
    inside = line > function.brace + 1 and \
        not re.match(r'^\s*(\}|else\b|case\b|default\b|\w+:$|#)', codes[line])
    return line if inside else function.brace + 1


def with_changes(name, text, codes, numbered, alone, header):
    """The file with all of the (number, change) but those whose number is in alone; and the numbers of
    those that it did not take."""
    lines = text.split('\n')
    found = list(functions(codes, lines))
    above, left = collections.defaultdict(list), []
    for number, change in numbered:
        function = next((f for f in found if f.brace < change.line < f.last), None)
        arguments = parameter_names(function.parameters) if function else None
        if arguments is None or number in alone:
            left.append(number)
            continue
        copy = '%s__%d' % (function.name, number)
        body = list(lines[function.brace:function.last + 1])
        body[change.line - function.brace] = change.after
        head = 'static ' + re.sub(r'\b(static|inline|extern)\b', '', function.head)
        above[function.first] += ['%s%s(%s)' % (head, copy, function.parameters)] + body
        above[function.first].insert(-len(body) - 1, '#line 1 "mutant-%d"' % number)
        call = '%s(%s);' % (copy, ', '.join(arguments))
        call = call + ' return;' if re.search(r'\bvoid\s*$', function.head) else 'return ' + call
        above[function.brace + 1] += ['#line 1 "mutant-%d"' % number,
                                      'if (ferry_mutant == %d) { %s }' % (number, call)]
        above[statement(codes, function, change.line)] += ['#line 1 "mutant-%d"' % number,
                                                          'FERRY_MUTANT_SEEN(%d);' % number]
    out = ['#include "%s"' % header]
    if left:
        out += ['__attribute__((constructor)) static void ferry_mutants_linked(void)', '{',
                'ferry_mutant_start();'] + ['FERRY_MUTANT_SEEN(%d);' % n for n in left] + ['}']
    out.append('#line 1 "%s"' % name)
    for number, line in enumerate(lines):
        if number in above:
            out += above[number] + ['#line %d "%s"' % (number + 1, name)]
        out.append(line)
    return '\n'.join(out), left
