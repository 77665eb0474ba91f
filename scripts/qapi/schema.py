# SPDX-License-Identifier: GPL-2.0-or-later
"""The checked schema: entities with resolved types, every name documented.

Schema(path) raises SchemaError at the first mistake. After that the back ends
may rely on everything: names exist, kinds fit, documentation is complete.
"""
import re

from .error import SchemaError
from .parser import parse_file

# name -> (C type, descriptor kind, JSON type for introspection)
BUILTINS = {
    'str': ('char *', 'STR', 'string'), 'bool': ('bool', 'BOOL', 'boolean'),
    'number': ('double', 'NUMBER', 'number'), 'int': ('int64_t', 'INT', 'int'),
    'int8': ('int8_t', 'INT8', 'int'), 'int16': ('int16_t', 'INT16', 'int'),
    'int32': ('int32_t', 'INT32', 'int'), 'int64': ('int64_t', 'INT64', 'int'),
    'uint8': ('uint8_t', 'UINT8', 'int'), 'uint16': ('uint16_t', 'UINT16', 'int'),
    'uint32': ('uint32_t', 'UINT32', 'int'), 'uint64': ('uint64_t', 'UINT64', 'int'),
    'size': ('uint64_t', 'SIZE', 'int'), 'any': ('struct json_object *', 'ANY', 'value'),
    'null': ('bool', 'NULL', 'null'),
}
JSON_KIND = {'string': 'string', 'boolean': 'boolean', 'number': 'number', 'int': 'number',
             'null': 'null', 'value': 'any'}

KEYWORDS = set('''auto break case char const continue default do double else enum extern float
for goto if inline int long register restrict return short signed sizeof static struct switch
typedef union unsigned void volatile while asm typeof linux unix errno and or not xor'''.split())


def c_name(name):
    out = re.sub(r'[^A-Za-z0-9_]', '_', name)
    if out in KEYWORDS or out[:1].isdigit():
        out = 'q_' + out
    return out


def c_upper(name):
    """MigrationStatus -> MIGRATION_STATUS, QMPCapability -> QMP_CAPABILITY."""
    s = re.sub(r'([A-Z]+)([A-Z][a-z])', r'\1_\2', name)
    s = re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', s)
    return re.sub(r'[^A-Za-z0-9]', '_', s).upper()


class Cond:
    """An 'if' condition: C expression, or none."""

    def __init__(self, spec=None, where=''):
        self.expr = self._gen(spec, where) if spec is not None else None

    def _gen(self, spec, where):
        if isinstance(spec, str):
            if not re.fullmatch(r'[A-Z_][A-Z0-9_]*', spec):
                raise SchemaError(where, f"'if' condition '{spec}' is not a valid identifier")
            return f'defined({spec})'
        if isinstance(spec, dict) and len(spec) == 1:
            op, arg = next(iter(spec.items()))
            if op == 'not':
                return f'!{self._gen(arg, where)}'
            if op in ('all', 'any') and isinstance(arg, list) and arg:
                glue = ' && ' if op == 'all' else ' || '
                return '(' + glue.join(self._gen(a, where) for a in arg) + ')'
        raise SchemaError(where, "'if' condition must be a string or one of not, all, any")

    def wrap(self, text):
        return f'#if {self.expr}\n{text}#endif /* {self.expr} */\n' if self.expr else text


class Member:
    def __init__(self, name, type_, optional, cond, features):
        self.name, self.type, self.optional = name, type_, optional
        self.cond, self.features = cond, features
        self.doc = ''

    @property
    def c(self):
        return c_name(self.name)

    @property
    def needs_has(self):
        return self.optional and not self.type.is_pointer


class Type:
    """Any type. kind: builtin, enum, struct, union, alternate, array."""
    is_pointer = False
    doc = None
    implicit = False

    def __init__(self, name, kind, cond=None):
        self.name, self.kind, self.cond = name, kind, cond or Cond()

    @property
    def c(self):
        return c_name(self.name)


class Builtin(Type):
    def __init__(self, name):
        super().__init__(name, 'builtin')
        self.ctype, self.desc_kind, self.json = BUILTINS[name]
        self.is_pointer = self.ctype.endswith('*')
        self.json_kind = JSON_KIND[self.json]

    @property
    def c(self):
        return self.name    # 'int' is a keyword, qapi_type_int is not


class Enum(Type):
    json_kind = 'string'

    def __init__(self, name, cond, values, prefix):
        super().__init__(name, 'enum', cond)
        self.values, self.prefix = values, prefix
        self.ctype = self.c

    def const(self, value):
        return f'{self.prefix}_{c_upper(value)}'


class Object(Type):
    """Struct, union, or the implicit arguments of a command or event."""
    is_pointer = True
    json_kind = 'object'

    def __init__(self, name, kind, cond, base, members, implicit=False):
        super().__init__(name, kind, cond)
        self.base, self.local, self.implicit = base, members, implicit
        self.tag, self.branches = None, []      # branches: [(value, Type or None, Cond)]
        self.features = []
        self.ctype = self.c + ' *'

    @property
    def members(self):
        return (self.base.members if self.base else []) + self.local


class Alternate(Type):
    is_pointer = True
    json_kind = 'alternate'

    def __init__(self, name, cond, members):
        super().__init__(name, 'alternate', cond)
        self.local = members
        self.ctype = self.c + ' *'


class Array(Type):
    is_pointer = True
    json_kind = 'array'

    def __init__(self, element):
        super().__init__(element.name + 'List', 'array', element.cond)
        self.element = element
        self.ctype = self.c + ' *'


class Command:
    def __init__(self, name, **kw):
        self.name = name
        self.__dict__.update(kw)


class Event(Command):
    pass


KEYS = {
    'enum': ({'data'}, {'prefix', 'if', 'features'}),
    'struct': ({'data'}, {'base', 'if', 'features'}),
    'union': ({'base', 'discriminator', 'data'}, {'if', 'features'}),
    'alternate': ({'data'}, {'if', 'features'}),
    'command': (set(), {'data', 'returns', 'boxed', 'gen', 'success-response', 'allow-oob',
                        'allow-preconfig', 'coroutine', 'features', 'if'}),
    'event': (set(), {'data', 'boxed', 'features', 'if'}),
}


class Schema:
    def __init__(self, path):
        self.pragmas = {}
        self.items = parse_file(path, self.pragmas)
        self.types = {n: Builtin(n) for n in BUILTINS}
        self.commands, self.events, self.order = {}, {}, []
        self._exprs = {}
        self._names = set()
        defs = [self._classify(i) for i in self.items if i[0] == 'expr']
        for kind, name, where, expr, doc in defs:
            if kind in ('enum', 'struct', 'union', 'alternate'):
                self._declare(kind, name, where, expr)
        for d in defs:
            self._define(*d)
        for d in defs:
            self._check_later(*d)

    # ---- first pass: names and keys ----

    def _classify(self, item):
        _, where, expr, doc = item
        kinds = [k for k in KEYS if k in expr]
        if len(kinds) != 1:
            raise SchemaError(where, 'expression is none of ' + ', '.join(KEYS))
        kind, name = kinds[0], expr[kinds[0]]
        if not isinstance(name, str) or not re.fullmatch(r'[A-Za-z_][A-Za-z0-9_.-]*', name):
            raise SchemaError(where, f'{kind} name {name!r} is invalid')
        if name in BUILTINS or name in self._names:
            raise SchemaError(where, f"'{name}' is defined twice")
        self._names.add(name)
        need, may = KEYS[kind]
        for key in expr:
            if key != kind and key not in need | may:
                raise SchemaError(where, f"{kind} '{name}' has unknown key '{key}'")
        for key in sorted(need):
            if key not in expr:
                raise SchemaError(where, f"{kind} '{name}' misses key '{key}'")
        if doc is None:
            raise SchemaError(where, f"{kind} '{name}' is not documented")
        if doc.symbol != name:
            raise SchemaError(where, f"documentation is for '{doc.symbol}', "
                              f"but the definition is '{name}'")
        if not doc.text():
            raise SchemaError(where, f"{kind} '{name}' is not documented: no description")
        return kind, name, where, expr, doc

    def _features(self, spec, where, owner):
        out = []
        for f in spec or []:
            f = {'name': f} if isinstance(f, str) else f
            if not isinstance(f, dict) or 'name' not in f or set(f) - {'name', 'if'}:
                raise SchemaError(where, f"{owner}: bad feature {f!r}")
            out.append((f['name'], Cond(f.get('if'), where)))
        return out

    def _declare(self, kind, name, where, expr):
        cond = Cond(expr.get('if'), where)
        if kind == 'enum':
            values = []
            if not isinstance(expr['data'], list):
                raise SchemaError(where, f"enum '{name}': data must be an array")
            for v in expr['data']:
                v = {'name': v} if isinstance(v, str) else v
                if not isinstance(v, dict) or 'name' not in v or set(v) - {'name', 'if', 'features'}:
                    raise SchemaError(where, f"enum '{name}': bad value {v!r}")
                if v['name'] in [x.name for x in values]:
                    raise SchemaError(where, f"enum '{name}' has value '{v['name']}' twice")
                m = Member(v['name'], None, False, Cond(v.get('if'), where), None)
                m.features = self._features(v.get('features'), where, name)
                values.append(m)
            t = Enum(name, cond, values, expr.get('prefix', c_upper(name)))
        elif kind == 'alternate':
            t = Alternate(name, cond, [])
        else:
            t = Object(name, kind, cond, None, [])
        t.where = where
        t.features = self._features(expr.get('features'), where, name)
        self.types[name] = t

    # ---- second pass: members and types ----

    def lookup(self, ref, where, owner):
        if isinstance(ref, list):
            if len(ref) != 1 or not isinstance(ref[0], str):
                raise SchemaError(where, f'{owner}: array type must hold one type name')
            elem = self.lookup(ref[0], where, owner)
            key = elem.name + 'List'
            if key not in self.types:
                self.types[key] = Array(elem)
                self.order.append(self.types[key])
            return self.types[key]
        if not isinstance(ref, str) or ref not in self.types:
            raise SchemaError(where, f"{owner} uses unknown type '{ref}'")
        return self.types[ref]

    def _members(self, data, where, owner):
        out = []
        if not isinstance(data, dict):
            raise SchemaError(where, f"{owner}: data must be an object")
        for key, val in data.items():
            optional = key.startswith('*')
            name = key[1:] if optional else key
            if not re.fullmatch(r'[A-Za-z_0-9][A-Za-z0-9_.-]*', name):
                raise SchemaError(where, f"{owner}: member name '{name}' is invalid")
            spec = val if isinstance(val, dict) else {'type': val}
            if 'type' not in spec or set(spec) - {'type', 'if', 'features'}:
                raise SchemaError(where, f"{owner}: member '{name}' is malformed")
            if name in [m.name for m in out]:
                raise SchemaError(where, f"{owner} has member '{name}' twice")
            out.append(Member(name, self.lookup(spec['type'], where, f"{owner} member '{name}'"),
                              optional, Cond(spec.get('if'), where),
                              self._features(spec.get('features'), where, owner)))
        return out

    def _define(self, kind, name, where, expr, doc):
        owner = f"{kind} '{name}'"
        if kind in ('command', 'event'):
            self._define_callable(kind, name, where, expr, doc, owner)
            return
        t = self.types[name]
        t.doc = doc
        self.order.append(t)
        if kind == 'struct':
            t.local = self._members(expr['data'], where, owner)
            if 'base' in expr:
                t.base = self._object(expr['base'], where, owner)
        elif kind == 'union':
            base = expr['base']
            if isinstance(base, dict):
                t.local = self._members(base, where, owner)
            else:
                t.base = self._object(base, where, owner)
        elif kind == 'alternate':
            t.local = self._members(expr['data'], where, owner)
            kinds = [m.type.json_kind for m in t.local]
            if len(set(kinds)) != len(kinds):
                raise SchemaError(where, f"{owner}: two branches have the same JSON type")

    def _object(self, name, where, owner):
        t = self.lookup(name, where, owner)
        if not isinstance(t, Object):
            raise SchemaError(where, f"{owner}: '{name}' is not an object type")
        return t

    def _define_callable(self, kind, name, where, expr, doc, owner):
        data, arg = expr.get('data'), None
        if isinstance(data, str):
            arg = self._object(data, where, owner)
        elif data is not None:
            arg = Object(f'q_obj_{name}_arg', 'struct', Cond(expr.get('if'), where), None,
                         self._members(data, where, owner), implicit=True)
            arg.features = []
        if expr.get('boxed') and (arg is None or arg.implicit):
            raise SchemaError(where, f"{owner}: 'boxed' needs data to name a type")
        ret = expr.get('returns')
        ent = (Command if kind == 'command' else Event)(
            name, where=where, doc=doc, arg=arg, boxed=expr.get('boxed', False),
            cond=Cond(expr.get('if'), where),
            features=self._features(expr.get('features'), where, owner),
            ret=None if ret is None else self.lookup(ret, where, owner),
            gen=expr.get('gen', True), oob=expr.get('allow-oob', False),
            preconfig=expr.get('allow-preconfig', False),
            success=expr.get('success-response', True))
        (self.commands if kind == 'command' else self.events)[name] = ent
        self.order.append(ent)

    # ---- third pass: unions, name clashes, documentation ----

    def _check_later(self, kind, name, where, expr, doc):
        owner = f"{kind} '{name}'"
        if kind == 'union':
            self._union(self.types[name], where, expr, owner)
        if kind in ('command', 'event'):
            ent = (self.commands if kind == 'command' else self.events)[name]
            self._check_docs(owner, where, doc, ent.arg.local if ent.arg and ent.arg.implicit
                             else [], ent.features)
            return
        t = self.types[name]
        if kind == 'enum':
            self._check_docs(owner, where, doc, t.values, t.features, 'value')
        else:
            extra = [f for m in t.local for f in m.features]
            if isinstance(t, Object):
                names = [m.name for m in t.members]
                for n in names:
                    if names.count(n) > 1:
                        raise SchemaError(where, f"{owner} has member '{n}' twice")
            self._check_docs(owner, where, doc, t.local, t.features + extra)

    def _union(self, t, where, expr, owner):
        tags = [m for m in t.members if m.name == expr['discriminator']]
        if not tags or tags[0].optional or not isinstance(tags[0].type, Enum):
            raise SchemaError(where, f"{owner}: discriminator '{expr['discriminator']}' is not a "
                              "required enum member")
        t.tag = tags[0]
        values = [v.name for v in t.tag.type.values]
        for key, val in expr['data'].items():
            spec = val if isinstance(val, dict) else {'type': val}
            if key not in values:
                raise SchemaError(where, f"{owner}: branch '{key}' is not a value of enum "
                                  f"'{t.tag.type.name}'")
            t.branches.append((key, self._object(spec['type'], where, owner),
                               Cond(spec.get('if'), where)))

    def _check_docs(self, owner, where, doc, members, features, word=None):
        word = word or ('argument' if owner.startswith('command') else 'member')
        for m in members:
            if not ' '.join(doc.members.get(m.name, [])).strip():
                raise SchemaError(where, f"{word} '{m.name}' of {owner} is not documented")
            m.doc = '\n'.join(doc.members[m.name]).strip()
        names = {m.name for m in members}
        for n in doc.members:
            if n not in names:
                raise SchemaError(where, f"{owner} documents '{n}', which it does not have")
        feats = {f[0] for f in features} | {f[0] for m in members for f in m.features or []}
        for f in sorted(feats):
            if not ' '.join(doc.features.get(f, [])).strip():
                raise SchemaError(where, f"feature '{f}' of {owner} is not documented")
        for f in doc.features:
            if f not in feats:
                raise SchemaError(where, f"{owner} documents feature '{f}', which it does not have")
