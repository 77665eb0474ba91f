# SPDX-License-Identifier: GPL-2.0-or-later
"""Back end: qapi-commands.h/.c (prototypes, marshalling, table) and qapi-events.h/.c."""
from .ctypes import decl, header, source
from .schema import c_name

MACHINE = 'struct Machine *machine'


def arg_list(ent):
    """C parameters for the arguments of a command or event."""
    if ent.arg is None:
        return []
    if ent.boxed:
        return [f'{ent.arg.c} *arg']
    out = []
    for m in ent.arg.members:
        if m.needs_has:
            out.append(f'bool has_{m.c}')
        out.append(decl(('const ' if m.type.ctype == 'char *' else '') + m.type.ctype, m.c))
    return out


def prototype(cmd):
    fn = 'qmp_' + c_name(cmd.name)
    if not cmd.gen:
        return (f'bool {fn}({MACHINE}, struct json_object *args, struct json_object **ret, '
                'GError **errp)')
    ret = cmd.ret.ctype if cmd.ret else 'bool'
    return f'{decl(ret, fn)}({", ".join([MACHINE] + arg_list(cmd) + ["GError **errp"])})'


def gen_commands_h(schema):
    out = header('One function per command; its owner implements it.', 'QAPI_COMMANDS_H',
                 ['"qapi/qapi-types.h"'])
    out += '''struct Machine;

/** Runs a command: on success *ret is new JSON, the caller's. BQL, main thread. */
typedef bool QapiMarshal(struct Machine *machine, struct json_object *args,
                         struct json_object **ret, GError **errp);

typedef struct QapiCommand {
    const char *name;
    QapiMarshal *run;
    bool allow_oob, allow_preconfig, no_reply;
} QapiCommand;

/** Ends with name NULL; in schema order. */
extern const QapiCommand qapi_commands[];

'''
    for c in schema.commands.values():
        first = c.doc.text().split('\n\n')[0].replace('\n', ' ')
        out += c.cond.wrap(f'/** {c.name}: {first} */\n{prototype(c)};\n')
    return out + '\n#endif\n'


def to_json(t, expr):
    if t.kind == 'builtin':
        return {'STR': f'json_object_new_string({expr} ? {expr} : "")',
                'BOOL': f'json_object_new_boolean({expr})',
                'NUMBER': f'json_object_new_double({expr})', 'ANY': expr, 'NULL': 'NULL',
                'UINT64': f'json_object_new_uint64({expr})',
                'SIZE': f'json_object_new_uint64({expr})',
                }.get(t.desc_kind, f'json_object_new_int64({expr})')
    if t.kind == 'enum':
        return f'json_object_new_string({t.c}_str({expr}))'
    return f'qapi_output(&qapi_type_{t.c}, {expr})'


def gen_marshal(cmd):
    name = c_name(cmd.name)
    if not cmd.gen:
        return ''
    typ = cmd.arg.c if cmd.arg else None
    desc = f'qapi_type_{typ}' if typ else 'qapi_type_q_empty'
    out = (f'static bool marshal_{name}({MACHINE}, struct json_object *args,\n'
           '    struct json_object **ret, GError **errp)\n{\n'
           '    g_autoptr(GError) err = NULL;\n    void *obj;\n'
           f'    if (!qapi_input(&{desc}, args, &obj, errp)) {{\n        return false;\n    }}\n')
    actual = ['machine']
    if typ and cmd.boxed:
        actual.append('obj')
    elif typ and cmd.arg.members:
        out += f'    {typ} *a = obj;\n'
        for m in cmd.arg.members:
            actual += [f'a->has_{m.c}'] if m.needs_has else []
            actual.append(f'a->{m.c}')
    call = f'qmp_{name}({", ".join(actual + ["&err"])})'
    if cmd.ret is None:
        out += f'    bool ok = {call};\n'
        result = 'json_object_new_object()'
    else:
        out += f'    {decl(cmd.ret.ctype, "value")} = {call};\n    bool ok = !err;\n'
        result = to_json(cmd.ret, 'value')
    out += f'    qapi_free(&{desc}, obj);\n'
    out += (f'    if (ok) {{\n        *ret = {result};\n'
            '    } else if (err) {\n        g_propagate_error(errp, g_steal_pointer(&err));\n'
            '    } else {\n'
            f'        error_setg(errp, "Command {cmd.name} failed without saying why");\n    }}\n')
    if cmd.ret is not None and cmd.ret.is_pointer:
        if cmd.ret.kind == 'builtin':
            out += '    g_free(value);\n' if cmd.ret.desc_kind == 'STR' else ''
        else:
            out += f'    qapi_free(&qapi_type_{cmd.ret.c}, value);\n'
    return cmd.cond.wrap(out + '    return ok;\n}\n') + '\n'


def gen_commands_c(schema):
    out = source('Marshalling: JSON arguments to calls, results to JSON.',
                 ['"qapi/qapi-commands.h"', '<json-c/json.h>', '"qapi/qapi-args.h"',
                  '"qapi/qapi-visit.h"', '"util/error.h"'])
    out += '''static const QapiType qapi_type_q_empty = {
    .kind = QAPI_KIND_STRUCT, .name = "q_empty", .size = 1,
};

'''
    out += ''.join(gen_marshal(c) for c in schema.commands.values())
    rows = ''
    for c in schema.commands.values():
        fn = ('marshal_' if c.gen else 'qmp_') + c_name(c.name)
        flags = [('allow_oob', c.oob), ('allow_preconfig', c.preconfig), ('no_reply', not c.success)]
        extra = ''.join(f', .{n} = true' for n, on in flags if on)
        rows += c.cond.wrap(f'    {{ .name = "{c.name}", .run = {fn}{extra} }},\n')
    return out + f'const QapiCommand qapi_commands[] = {{\n{rows}    {{ .name = NULL }}\n}};\n'


def event_prototype(ev):
    args = ', '.join(['struct Monitors *monitors'] + arg_list(ev))
    return f'void qapi_event_send_{c_name(ev.name).lower()}({args})'


def gen_events_h(schema):
    out = header('One function per event. Any thread.', 'QAPI_EVENTS_H', ['"qapi/qapi-types.h"'])
    out += ('struct Monitors;\n\n/** Names of all events, NULL-terminated. */\n'
            'extern const char *const qapi_event_names[];\n\n')
    for e in schema.events.values():
        first = e.doc.text().split('\n\n')[0].replace('\n', ' ')
        out += e.cond.wrap(f'/** {e.name}: {first} */\n{event_prototype(e)};\n')
    return out + '\n#endif\n'


def gen_events_c(schema):
    out = source('Events: arguments to JSON, to qmp_event_emit.',
                 ['"qapi/qapi-events.h"', '"monitor/monitor.h"', '"qapi/qapi-args.h"',
                  '"qapi/qapi-visit.h"'])
    for e in schema.events.values():
        data, body = 'NULL', ''
        if e.arg is not None and e.boxed:
            data = f'qapi_output(&qapi_type_{e.arg.c}, arg)'
        elif e.arg is not None and e.arg.members:
            inits = ''
            for m in e.arg.members:
                cast = '(char *)' if m.type.ctype == 'char *' else ''
                inits += f'        .has_{m.c} = has_{m.c},\n' if m.needs_has else ''
                inits += f'        .{m.c} = {cast}{m.c},\n'
            body = f'    {e.arg.c} data = {{\n{inits}    }};\n'
            data = f'qapi_output(&qapi_type_{e.arg.c}, &data)'
        out += e.cond.wrap(f'{event_prototype(e)}\n{{\n{body}'
                           f'    qmp_event_emit(monitors, "{e.name}", {data});\n}}\n') + '\n'
    names = ''.join(e.cond.wrap(f'    "{e.name}",\n') for e in schema.events.values())
    return out + f'const char *const qapi_event_names[] = {{\n{names}    NULL\n}};\n'
