# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers and events against the schema that query-qmp-schema hands out: all of it and no more."""


class Mismatch(Exception):
    pass


class Schema:
    def __init__(self, rows):
        self.rows = {row['name']: row for row in rows}

    def commands(self):
        return [r for r in self.rows.values() if r['meta-type'] == 'command']

    def events(self):
        return [r for r in self.rows.values() if r['meta-type'] == 'event']

    def needs_arguments(self, command):
        members = self.rows[self.rows[command]['arg-type']].get('members', [])
        return any('default' not in m for m in members)

    def check_return(self, command, value):
        self._check(self.rows[command]['ret-type'], value, command)

    def check_event(self, message):
        name = message['event']
        row = self.rows.get(name)
        if row is None or row['meta-type'] != 'event':
            raise Mismatch('event %s is not in the schema' % name)
        extra = set(message) - {'event', 'timestamp', 'data'}
        if extra:
            raise Mismatch('event %s: members %s beside its data' % (name, sorted(extra)))
        self._check(row['arg-type'], message.get('data', {}), name)

    def _check(self, type_name, value, where):
        row = self.rows[type_name]
        getattr(self, '_' + row['meta-type'])(row, value, where)

    @staticmethod
    def _builtin(row, value, where):
        kinds = {'string': str, 'boolean': bool, 'number': (int, float), 'int': int,
                 'null': type(None), 'value': object}
        kind = row['json-type']
        is_bool_as_number = isinstance(value, bool) and kind in ('int', 'number')
        if not isinstance(value, kinds[kind]) or is_bool_as_number:
            raise Mismatch('%s: %r is no %s' % (where, value, kind))

    @staticmethod
    def _enum(row, value, where):
        if not isinstance(value, str) or value not in [m['name'] for m in row['members']]:
            raise Mismatch('%s: %r is no value of its enum' % (where, value))

    def _array(self, row, value, where):
        if not isinstance(value, list):
            raise Mismatch('%s: %r is no array' % (where, value))
        for i, element in enumerate(value):
            self._check(row['element-type'], element, '%s[%d]' % (where, i))

    def _alternate(self, row, value, where):
        reasons = []
        for member in row['members']:
            try:
                return self._check(member['type'], value, where)
            except Mismatch as reason:
                reasons.append(str(reason))
        raise Mismatch('%s: fits no alternate: %s' % (where, '; '.join(reasons)))

    def _members(self, row, value, where):
        """All members that an object of this type and value may have."""
        members = list(row['members'])
        if 'tag' in row:
            tag = value.get(row['tag'])
            chosen = [v['type'] for v in row['variants'] if v['case'] == tag]
            if not chosen:
                raise Mismatch('%s: %s is %r, which has no variant' % (where, row['tag'], tag))
            members += self._members(self.rows[chosen[0]], value, where)
        return members

    def _object(self, row, value, where):
        if not isinstance(value, dict):
            raise Mismatch('%s: %r is no object' % (where, value))
        members = {m['name']: m for m in self._members(row, value, where)}
        for name in set(value) - set(members):
            raise Mismatch('%s: member %s is not in the schema' % (where, name))
        for name, member in members.items():
            if name in value:
                self._check(member['type'], value[name], '%s.%s' % (where, name))
            elif 'default' not in member:
                raise Mismatch('%s: lacks member %s' % (where, name))


# What the checker itself must see: type, a value that fits, values that do not.
_TRY = [
    {'name': 'str', 'meta-type': 'builtin', 'json-type': 'string'},
    {'name': 'int', 'meta-type': 'builtin', 'json-type': 'int'},
    {'name': 'null', 'meta-type': 'builtin', 'json-type': 'null'},
    {'name': '0', 'meta-type': 'enum', 'members': [{'name': 'a'}, {'name': 'b'}, {'name': 'c'}]},
    {'name': '1', 'meta-type': 'object', 'members': [{'name': 'n', 'type': 'int'}]},
    {'name': '2', 'meta-type': 'object', 'members': []},
    {'name': '3', 'meta-type': 'object', 'tag': 't',
     'members': [{'name': 't', 'type': '0'}, {'name': 'o', 'type': 'str', 'default': None}],
     'variants': [{'case': 'a', 'type': '1'}, {'case': 'b', 'type': '2'}]},
    {'name': '[3]', 'meta-type': 'array', 'element-type': '3'},
    {'name': '4', 'meta-type': 'alternate', 'members': [{'type': 'str'}, {'type': 'null'}]},
]
_FITS = [('[3]', []), ('[3]', [{'t': 'a', 'n': 1}, {'t': 'b', 'o': 'x'}]), ('4', None), ('4', '')]
_FITS_NOT = [('[3]', {}), ('3', {'t': 'a'}), ('3', {'t': 'b', 'n': 1}), ('3', {'t': 'c'}),
             ('3', {'t': 'd'}), ('3', {'n': 1}), ('3', {'t': 'a', 'n': True}),
             ('3', {'t': 'a', 'n': 1.5}), ('3', {'t': 'b', 'o': 1}), ('3', {'t': 'b', 'x': 1}),
             ('4', 1), ('0', 1), ('[3]', [{'t': 'b'}, None])]


def check_checker():
    schema = Schema(_TRY)
    for name, value in _FITS:
        schema._check(name, value, 'value')
    for name, value in _FITS_NOT:
        try:
            schema._check(name, value, 'value')
        except Mismatch:
            continue
        raise AssertionError('%r passed as %s' % (value, name))
