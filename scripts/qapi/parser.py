# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads schema files: Python-like literals with '#' comments and '##' doc blocks.

parse_file() returns a flat list of items in schema order: ('expr', where,
dict, DocBlock or None) and ('doc', where, text). Includes are followed once,
pragmas are collected. Nothing here knows what an expression means.
"""
import os
import re

from .error import SchemaError

TOKEN = re.compile(r"""
      (?P<space>\s+)
    | (?P<comment>\#[^\n]*)
    | (?P<punct>[{}\[\]:,])
    | '(?P<str>[^'\\\n]*)'
    | (?P<word>true|false)\b
""", re.X)


class DocBlock:
    """One '##' block: the symbol, its text, documented members, features, tags."""

    TAGS = ('Since', 'Returns', 'Note', 'Notes', 'Example', 'Examples', 'TODO', 'Errors')

    def __init__(self, where):
        self.where = where
        self.symbol = None
        self.body = []
        self.members = {}
        self.features = {}
        self.tags = []

    def text(self):
        return '\n'.join(self.body).strip()


def _parse_doc(lines, where):
    """Splits comment lines (without '#') into a DocBlock; free text has no symbol."""
    doc = DocBlock(where)
    target = doc.body
    in_features = False
    for line in lines:
        m = re.match(r'@([\w.*-]+):(?:\s+(.*))?$', line)
        if m and doc.symbol is None and not doc.text() and m.group(2) is None:
            doc.symbol = m.group(1)
            continue
        if doc.symbol is None:
            doc.body.append(line)
            continue
        if m:
            pool = doc.features if in_features else doc.members
            if m.group(1) in pool:
                raise SchemaError(where, f"'{m.group(1)}' is documented twice")
            target = pool[m.group(1)] = [m.group(2) or '']
            continue
        if line.strip() == 'Features:':
            in_features = True
            continue
        m = re.match(r'(%s):(?:\s+(.*))?$' % '|'.join(doc.TAGS), line)
        if m:
            in_features = False
            target = [m.group(2) or '']
            doc.tags.append((m.group(1), target))
            continue
        target.append(line)
    return doc


class FileParser:
    """Tokens of one file and a recursive-descent reader of literals."""

    def __init__(self, path):
        self.path = path
        with open(path, encoding='utf-8') as f:
            self.src = f.read()
        self.pos = 0

    def where(self, pos=None):
        pos = self.pos if pos is None else pos
        return f'{self.path}:{self.src.count(chr(10), 0, pos) + 1}'

    def fail(self, message):
        raise SchemaError(self.where(), message)

    def _doc_block(self):
        start = self.pos
        lines = self.src[self.pos:].split('\n')
        out = []
        for i, line in enumerate(lines[1:], 1):
            if line.rstrip() == '##':
                self.pos += sum(len(x) + 1 for x in lines[:i + 1])
                return _parse_doc(out, self.where(start))
            if not line.startswith('#'):
                break
            text = line[1:]
            out.append(text[1:].rstrip() if text.startswith(' ') else text.rstrip())
        self.pos = start
        self.fail("documentation comment must end with '##'")

    def token(self):
        """Next token as (kind, value); ('doc', DocBlock) and ('end', None) included."""
        while True:
            if self.pos >= len(self.src):
                return 'end', None
            at_line_start = self.pos == 0 or self.src[self.pos - 1] == '\n'
            if at_line_start and re.match(r'##[ \t]*(\n|$)', self.src[self.pos:]):
                return 'doc', self._doc_block()
            m = TOKEN.match(self.src, self.pos)
            if not m:
                self.fail(f"stray {self.src[self.pos:self.pos + 1]!r}")
            self.pos = m.end()
            if m.lastgroup in ('space', 'comment'):
                continue
            if m.lastgroup == 'word':
                return 'value', m.group('word') == 'true'
            return m.lastgroup, m.group(m.lastgroup)

    def value(self, tok):
        kind, val = tok
        if kind in ('str', 'value'):
            return val
        if (kind, val) == ('punct', '{'):
            return self._dict()
        if (kind, val) == ('punct', '['):
            return self._list()
        self.fail(f"expected a value, got '{val}'")

    def _list(self):
        out = []
        tok = self.token()
        if tok == ('punct', ']'):
            return out
        while True:
            out.append(self.value(tok))
            tok = self.token()
            if tok == ('punct', ']'):
                return out
            if tok != ('punct', ','):
                self.fail("expected ',' or ']'")
            tok = self.token()

    def _dict(self):
        out = {}
        tok = self.token()
        if tok == ('punct', '}'):
            return out
        while True:
            if tok[0] != 'str':
                self.fail('expected a key string')
            key = tok[1]
            if self.token() != ('punct', ':'):
                self.fail("expected ':'")
            if key in out:
                self.fail(f"duplicate key '{key}'")
            out[key] = self.value(self.token())
            tok = self.token()
            if tok == ('punct', '}'):
                return out
            if tok != ('punct', ','):
                self.fail("expected ',' or '}'")
            tok = self.token()


def parse_file(path, pragmas, seen=None):
    """All items of path and of what it includes, in order."""
    seen = set() if seen is None else seen
    seen.add(os.path.abspath(path))
    items, doc = [], None
    p = FileParser(path)
    while True:
        kind, val = p.token()
        if kind in ('doc', 'end') and doc is not None:
            if doc.symbol is not None:
                raise SchemaError(doc.where, f"documentation for '{doc.symbol}' is not "
                                  "followed by its definition")
            items.append(('doc', doc.where, doc.text()))
            doc = None
        if kind == 'end':
            return items
        if kind == 'doc':
            doc = val
            continue
        if (kind, val) != ('punct', '{'):
            p.fail('expected an object at top level')
        where = p.where()
        expr = p.value((kind, val))
        if set(expr) == {'include'}:
            if doc is not None and doc.symbol is None:
                items.append(('doc', doc.where, doc.text()))
                doc = None
            target = os.path.join(os.path.dirname(path), expr['include'])
            if not os.path.exists(target):
                raise SchemaError(where, f"no such include file '{expr['include']}'")
            if os.path.abspath(target) not in seen:
                items += parse_file(target, pragmas, seen)
            continue
        if set(expr) == {'pragma'}:
            pragmas.update(expr['pragma'])
            continue
        if doc is not None and doc.symbol is None:
            items.append(('doc', doc.where, doc.text()))
            doc = None
        items.append(('expr', where, expr, doc))
        doc = None
