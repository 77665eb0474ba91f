# SPDX-License-Identifier: GPL-2.0-or-later
"""Back end: qapi-introspect.c, the rows that query-qmp-schema answers with."""
import json

from .ctypes import source
from .schema import Alternate, Array, Builtin, Enum


class Introspection:
    """Collects rows; types are masked by numbers, as clients may not rely on names."""

    def __init__(self, schema):
        self.schema, self.rows, self.names, self.todo = schema, [], {}, []
        for c in schema.commands.values():
            self.row(c, {'name': c.name, 'meta-type': 'command', 'arg-type': self.arg(c),
                         'ret-type': self.ref(c.ret) if c.ret else self.empty(),
                         **({'allow-oob': True} if c.oob else {})})
        for e in schema.events.values():
            self.row(e, {'name': e.name, 'meta-type': 'event', 'arg-type': self.arg(e)})
        while self.todo:
            self.type_row(self.todo.pop(0))

    def row(self, ent, obj):
        feats = [f[0] for f in getattr(ent, 'features', None) or []]
        if feats:
            obj['features'] = feats
        self.rows.append((ent.cond, obj))

    def empty(self):
        if None not in self.names:
            self.names[None] = str(len(self.names))
            self.todo.append(None)
        return self.names[None]

    def arg(self, ent):
        return self.ref(ent.arg) if ent.arg and (ent.arg.members or ent.arg.tag) else self.empty()

    def ref(self, t):
        if isinstance(t, Builtin):
            key = t.json
        elif isinstance(t, Array):
            key = '[' + self.ref(t.element) + ']'
        else:
            key = None
        if key is None:
            if t.name not in self.names:
                self.names[t.name] = str(len(self.names))
                self.todo.append(t)
            return self.names[t.name]
        if key not in self.names:
            self.names[key] = key
            self.todo.append(t)
        return key

    def member(self, m):
        out = {'name': m.name, 'type': self.ref(m.type)}
        if m.optional:
            out['default'] = None
        if m.features:
            out['features'] = [f[0] for f in m.features]
        return out

    def enum_value(self, v):
        out = {'name': v.name}
        if v.features:
            out['features'] = [f[0] for f in v.features]
        return out

    def type_row(self, t):
        if t is None:
            return self.rows.append((None, {'name': self.names[None], 'meta-type': 'object',
                                            'members': []}))
        if isinstance(t, Builtin):
            return self.rows.append((None, {'name': t.json, 'meta-type': 'builtin',
                                            'json-type': t.json}))
        if isinstance(t, Array):
            return self.row(t, {'name': self.ref(t), 'meta-type': 'array',
                                'element-type': self.ref(t.element)})
        name = self.names[t.name]
        if isinstance(t, Enum):
            return self.row(t, {'name': name, 'meta-type': 'enum',
                                'members': [self.enum_value(v) for v in t.values],
                                'values': [v.name for v in t.values]})
        if isinstance(t, Alternate):
            return self.row(t, {'name': name, 'meta-type': 'alternate',
                                'members': [{'type': self.ref(m.type)} for m in t.local]})
        obj = {'name': name, 'meta-type': 'object', 'members': [self.member(m) for m in t.members]}
        if t.tag:
            given = {v: b for v, b, _ in t.branches}
            obj['tag'] = t.tag.name
            obj['variants'] = [{'case': v.name,
                                'type': self.ref(given[v.name]) if v.name in given
                                else self.empty()} for v in t.tag.type.values]
        return self.row(t, obj)


def gen_introspect_c(schema):
    out = source('What query-qmp-schema answers: one JSON text per element.',
                 ['"qapi/introspect.h"', '<stddef.h>', '"config-host.h"'])
    out += 'const char *const qapi_schema_rows[] = {\n'
    for cond, obj in Introspection(schema).rows:
        text = json.dumps(obj).replace('\\', '\\\\').replace('"', '\\"')
        row = f'    "{text}",\n'
        out += cond.wrap(row) if cond else row
    return out + '    NULL\n};\n'
