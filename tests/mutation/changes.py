# SPDX-License-Identifier: GPL-2.0-or-later
"""The changes: which lines of the program could be a little different."""
import collections
import fnmatch
import hashlib
import math
import os
import re

FOLDERS = ('migration/', 'softmmu/', 'hw/virtio/')
# Programs of the build, not of the emulator; and what only tests or another tool call.
NOT_CHANGED = ('softmmu/options-manual.c', 'softmmu/qtest.c')

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
    match = re.match(r'^#define [A-Z0-9_]+ \(?((?:0x[0-9a-fA-F]+|\d+)[uUlL]*)(?![.\w])', code)
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
    if re.match(r'^    [a-z_][\w>.()-]*[ (].*;$', code) and not code.startswith('    return') and \
            not re.search(FREES, code.split('(')[0]):
        yield '    return; ' + line.strip()


OPERATORS = {
    'negate': negate_if,
    # descriptor 0 is the process's standard input
    'compare': swap({'<': '<=', '<=': '<', '>': '>=', '>=': '>'}, r'(?<!fd) (<=|>=|<|>) '),
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
                        r'|g_new0?\(.*, 1\)|g_(mutex|cond|rw_lock)_init')     # of zeros: does nothing


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
    """By file, so that long files do not have all: a file is as likely as the square root of what could
    be changed in it. The same for the same seed; where the code changes, little of the choice does."""
    in_file = collections.Counter(change.file for change in changes)

    def when(change):
        digest = hashlib.sha1(('%d|%s' % (seed, change.id)).encode()).hexdigest()[:12]
        return -math.log((int(digest, 16) + 1) / 16 ** 12) * in_file[change.file] ** 0.5
    return sorted(changes, key=when)[:count]
