#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where comments and documents point to, something is: "machine-virt 2.10" is section 2.10 of
docs/interop/machine-virt.md, "migration-stream 2.7" likewise, and a link leads to a file. TAP on
stdout.

usage: test-references.py SOURCE-ROOT"""

import os
import re
import sys
import tempfile

DOCUMENTS = ('machine-virt', 'migration-stream')
# A comment may be wrapped anywhere: white space takes the next line's comment mark with it.
SPACE = r'(?:[ \t]|\n[ \t]*(?:\*|//|#)?[ \t]*)+'
NUMBER = rf'(?:\d+(?:\.\d+)*|[Aa]ppendix{SPACE}[A-Z])(?![\w.]*\w)'
MORE = rf'(?:,{SPACE}and{SPACE}|,{SPACE}|{SPACE}and{SPACE}){NUMBER}'
REFERENCE = re.compile(rf'(?<![\w/-])({"|".join(DOCUMENTS)}){SPACE}({NUMBER}(?:{MORE})*)')
# What comments said before there were these documents, and a newcomer could not follow.
NAMELESS = re.compile(rf'\bspec(?:ification)?,?{SPACE}(?:section{SPACE})?(?:\d|[Aa]ppendix|'
                      rf'{"|".join(DOCUMENTS)})')
LINK = re.compile(r'\]\(([^)\s#]+)[^)]*\)')
BRACKETS = re.compile(r'\[(\d+\.\d+(?:, \d+\.\d+)*)\]')
IN_BRACKETS = 'migration/stream/format.h'       # there, all numbers in brackets are sections of:
BRACKETS_DOCUMENT = 'migration-stream'


def numbers(text):
    """Of a list of references or a heading: its sections and appendixes, as '2.10' or 'A'."""
    return re.findall(r'(?<![\w.])(\d+(?:\.\d+)*|[A-Z])(?![\w.]*\w)', text)


def sections(root, document):
    """The numbers of the headings. One heading may have several: '9.2 Names, 9.3 rules'."""
    found = set()
    with open(os.path.join(root, 'docs/interop', document + '.md'), encoding='utf-8') as file:
        for line in file:
            heading = re.match(r'#+ (.*)', line)
            for part in heading[1].split(', ') if heading else []:
                number = re.match(r'(?:Appendix )?(\d+(?:\.\d+)*|[A-Z])\.? ', part)
                found.update([number[1]] if number else [])
    return found


def files(root):
    """(name, text) of every text file of the tree; build folders are not of it."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith('.') and f != '__pycache__' and
                            not os.path.isdir(os.path.join(folder, f, 'meson-private')))
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or os.path.getsize(path) > 1 << 20:
                continue
            with open(path, 'rb') as file:
                data = file.read()
            if b'\0' not in data:
                yield os.path.relpath(path, root), data.decode('utf-8', 'replace')


def references(name, text):
    """(position, document, number) of every reference in a file."""
    for match in REFERENCE.finditer(text):
        for number in numbers(match[2]):
            yield match.start(), match[1], number
    for match in BRACKETS.finditer(text) if name == IN_BRACKETS else ():
        for number in numbers(match[1]):
            yield match.start(), BRACKETS_DOCUMENT, number


def faults(root):
    """What leads nowhere, as 'file:line: text', and how many references there are in all."""
    known = {document: sections(root, document) for document in DOCUMENTS}
    wrong, count = [], 0

    for name, text in files(root):
        def fault(position, what):
            wrong.append(f'{name}:{text.count(chr(10), 0, position) + 1}: {what}')
        for position, document, number in references(name, text):
            count += 1
            if number not in known[document]:
                fault(position, f'docs/interop/{document}.md has no section {number}')
        for match in NAMELESS.finditer(text):
            fault(match.start(), 'says of no document that it is a section of it')
        for match in LINK.finditer(text) if name.endswith('.md') else ():
            target = os.path.join(root, os.path.dirname(name), match[1])
            if '://' not in match[1] and not os.path.exists(target):
                fault(match.start(), f'the link leads to no file: {match[1]}')
    return wrong, count


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def test_documents_have_sections(root):
    for document in DOCUMENTS:
        found = sections(root, document)
        expect(len(found) > 20 and '2.1' in found, f'{document}: sections {sorted(found)}')


def test_everything_leads_somewhere(root):
    wrong, count = faults(root)
    expect(not wrong, '\n'.join(wrong))
    expect(count > 80, f'only {count} references were found')


# One fault in each file, and none in those whose name begins with "good".
TREE = {
    'docs/interop/machine-virt.md': '# 2. Board\n## 2.1 Map, 2.3 rules\n### 2.10 virtio\n',
    'docs/interop/migration-stream.md': '# Title\n# 1. Stream\n# Appendix A. Bytes\n',
    'good.c': '/* ({0} 2.1 and 2.10, 2), {1} appendix A. QEMU 7.2 {0}-3 x/{1}/7.2 {0}.\n'
              ' * {0}\n * 2.3, as in 10.0; {1} 1, Appendix A; a specification: 3 */\n',
    'good.md': '[a](good.c) [b](docs/interop/machine-virt.md#x) [c](https://x.invalid/y)\n',
    'unknown.c': '/* {0} 2.11 */\n',
    'chapter.py': '# {1} 3.\n',
    'second.h': '/* {1} 1, 1.1 */\n',
    'wrapped.c': '/*\n * as in {0}\n * 4.4\n */\n',
    'appendix.c': '/* {1} appendix B */\n',
    'nameless.c': '/* spe{2} 2.1 */\n',
    'half.c': '/* spe{2} {0} 2.1 */\n',
    'link.md': '[gone](docs/gone.md)\n',
    IN_BRACKETS: '/* ---- [1.7] ---- */\n',
}


def test_what_leads_nowhere_is_found(root):
    with tempfile.TemporaryDirectory() as tree:
        for name, text in TREE.items():
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            with open(os.path.join(tree, name), 'w', encoding='utf-8') as file:
                file.write(text.format(*DOCUMENTS, 'c'))
        found = sorted(line.partition(':')[0] for line in faults(tree)[0])
    expected = sorted(n for n in TREE if not n.startswith(('good', 'docs/')))
    expect(found == expected, f'expected {expected}, found {found}')


def main():
    tests = [(name, fn) for name, fn in globals().items() if name.startswith('test_')]
    failed = 0
    print(f'1..{len(tests)}')
    for i, (name, fn) in enumerate(tests, 1):
        try:
            fn(sys.argv[1])
            print(f'ok {i} - {name}', flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            text = f'{type(error).__name__}: {error}'.replace('\n', '\n# ')
            print(f'not ok {i} - {name}\n# {text}', flush=True)
    return 1 if failed else 0


sys.exit(main())
