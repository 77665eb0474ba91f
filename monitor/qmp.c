/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP session: greeting, negotiation, one reply per request, events. All
 * commands come from the generated table; qmp_capabilities comes back here
 * because it changes the session itself. Main thread, BQL.
 *
 *   connect -> greeting -> [negotiating] --qmp_capabilities--> [command mode]
 */
#include <json-c/json.h>
#include <string.h>

#include "monitor/internal.h"
#include "monitor/json-text.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "softmmu/machine.h"
#include "util/error.h"
#include "util/trace-monitor.h"

typedef struct QMPSession {
    Session base;
    JsonReader *reader;
    bool pretty;
    bool negotiated;        /* qmp_capabilities was accepted */
    bool oob;               /* the client asked for exec-oob */
} QMPSession;

/* Arguments of the request being looked at; borrowed from the request. */
typedef struct Request {
    const char *name;
    struct json_object *args, *id;
    bool has_id;
    bool oob;
} Request;

static void send_json(QMPSession *q, struct json_object *value)
{
    g_autoptr(GString) text = g_string_new(NULL);
    json_write(text, value, q->pretty);
    g_string_append(text, "\r\n");
    chardev_write_all(q->base.chr, text->str, text->len);
}

static const char *error_class(const GError *err)
{
    static const char *const names[] = {
        [FERRY_ERROR_GENERIC] = "GenericError",
        [FERRY_ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
        [FERRY_ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
        [FERRY_ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound",
        [FERRY_ERROR_KVM_MISSING_CAP] = "KVMMissingCap",
    };
    bool known = err->domain == FERRY_ERROR && err->code >= 0 &&
                 err->code < (int)G_N_ELEMENTS(names);
    return known ? names[err->code] : names[FERRY_ERROR_GENERIC];
}

static void send_error(QMPSession *q, const Request *req, const GError *err)
{
    struct json_object *reply = json_object_new_object(), *e = json_object_new_object();
    if (req && req->has_id) {
        json_object_object_add(reply, "id", json_object_get(req->id));
    }
    json_object_object_add(e, "class", json_object_new_string(error_class(err)));
    json_object_object_add(e, "desc", json_object_new_string(err->message));
    json_object_object_add(reply, "error", e);
    send_json(q, reply);
    json_object_put(reply);
}

static void send_return(QMPSession *q, const Request *req, struct json_object *ret)
{
    struct json_object *reply = json_object_new_object();
    json_object_object_add(reply, "return", ret);
    if (req->has_id) {
        json_object_object_add(reply, "id", json_object_get(req->id));
    }
    send_json(q, reply);
    json_object_put(reply);
}

/* ---- one request ---- */

static bool check_member(const QMPSession *q, const char *key, struct json_object *val,
                         Request *req, GError **errp)
{
    bool oob = q->oob && !strcmp(key, "exec-oob");
    if (!strcmp(key, "id")) {
        return true;    /* read before, so that every error carries it */
    }
    if (!strcmp(key, "execute") || oob) {
        if (!json_object_is_type(val, json_type_string)) {
            error_setg(errp, "QMP input member '%s' must be a string", key);
            return false;
        }
        if (req->name) {
            error_setg(errp, "QMP input member '%s' clashes with '%s'", "exec-oob", "execute");
            return false;
        }
        req->name = json_object_get_string(val);
        req->oob = oob;
    } else if (!strcmp(key, "arguments")) {
        if (!json_object_is_type(val, json_type_object)) {
            error_setg(errp, "QMP input member 'arguments' must be an object");
            return false;
        }
        req->args = val;
    } else {
        error_setg(errp, "QMP input member '%s' is unexpected", key);
        return false;
    }
    return true;
}

static bool read_request(const QMPSession *q, struct json_object *value, Request *req,
                         GError **errp)
{
    if (!json_object_is_type(value, json_type_object)) {
        error_setg(errp, "QMP input must be a JSON object");
        return false;
    }
    req->has_id = json_object_object_get_ex(value, "id", &req->id);
    json_object_object_foreach(value, key, val) {
        if (!check_member(q, key, val, req, errp)) {
            return false;
        }
    }
    if (!req->name) {
        error_setg(errp, "QMP input lacks member 'execute'");
        return false;
    }
    return true;
}

bool qmp_session_negotiate(Session *s, QMPCapabilityList *enable, GError **errp)
{
    QMPSession *q = (QMPSession *)s;
    if (!s || s->ops != &qmp_session_ops || q->negotiated) {
        error_set_class(errp, FERRY_ERROR_COMMAND_NOT_FOUND,
                        "Capabilities negotiation is already complete, command ignored");
        return false;
    }
    for (; enable; enable = enable->next) {
        q->oob |= enable->value == QMP_CAPABILITY_OOB;
    }
    q->negotiated = true;
    return true;
}

static const QapiCommand *find_command(const char *name)
{
    for (const QapiCommand *c = qapi_commands; c->name; c++) {
        if (!strcmp(c->name, name)) {
            return c;
        }
    }
    return NULL;
}

static bool run_request(QMPSession *q, const Request *req, struct json_object **ret,
                        bool *no_reply, GError **errp)
{
    if (!q->negotiated && strcmp(req->name, "qmp_capabilities")) {
        error_set_class(errp, FERRY_ERROR_COMMAND_NOT_FOUND,
                        "Expecting capabilities negotiation with 'qmp_capabilities'");
        return false;
    }
    const QapiCommand *cmd = find_command(req->name);
    if (!cmd) {
        error_set_class(errp, FERRY_ERROR_COMMAND_NOT_FOUND,
                        "The command %s has not been found", req->name);
        return false;
    }
    if (req->oob && !cmd->allow_oob) {
        error_setg(errp, "The command %s does not support OOB", req->name);
        return false;
    }
    *no_reply = cmd->no_reply;
    return cmd->run(q->base.monitors->machine, req->args, ret, errp);
}

static void handle_message(void *opaque, struct json_object *value, const GError *parse_error)
{
    QMPSession *q = opaque;
    g_autoptr(GError) err = NULL;
    struct json_object *ret = NULL;
    Request req = { 0 };
    bool no_reply = false;

    if (parse_error) {
        send_error(q, NULL, parse_error);
        return;
    }
    if (trace_handle_qmp_command_on()) {
        trace_handle_qmp_command(q, json_object_to_json_string(value));
    }
    Session *outer = q->base.monitors->current;
    q->base.monitors->current = &q->base;
    bool ok = read_request(q, value, &req, &err) && run_request(q, &req, &ret, &no_reply, &err);
    q->base.monitors->current = outer;
    if (!ok) {
        json_object_put(ret);
        send_error(q, &req, err);
    } else if (!no_reply) {
        send_return(q, &req, ret);
    } else {
        json_object_put(ret);
    }
}

/* ---- the session as monitor.c sees it ---- */

static struct json_object *greeting(void)
{
    struct json_object *top = json_object_new_object(), *qmp = json_object_new_object();
    struct json_object *version = json_object_new_object(), *qemu = json_object_new_object();
    json_object_object_add(qemu, "micro", json_object_new_int(MONITOR_QEMU_MICRO));
    json_object_object_add(qemu, "minor", json_object_new_int(MONITOR_QEMU_MINOR));
    json_object_object_add(qemu, "major", json_object_new_int(MONITOR_QEMU_MAJOR));
    json_object_object_add(version, "qemu", qemu);
    json_object_object_add(version, "package", json_object_new_string(MONITOR_PACKAGE));
    json_object_object_add(qmp, "version", version);
    json_object_object_add(qmp, "capabilities", json_object_new_array());
    json_object_object_add(top, "QMP", qmp);
    return top;
}

static void qmp_opened(Session *s)
{
    QMPSession *q = (QMPSession *)s;
    q->negotiated = q->oob = false;
    json_reader_reset(q->reader);
    struct json_object *hello = greeting();
    send_json(q, hello);
    json_object_put(hello);
}

static void qmp_closed(Session *s)
{
    QMPSession *q = (QMPSession *)s;
    q->negotiated = q->oob = false;
    json_reader_reset(q->reader);
}

static size_t qmp_can_read(Session *s)
{
    return session_is_backed_up(s) ? 0 : 4096;
}

static void qmp_read(Session *s, const uint8_t *buf, size_t len)
{
    json_reader_feed(((QMPSession *)s)->reader, buf, len);
}

static void qmp_event(Session *s, const char *name, struct json_object *event)
{
    QMPSession *q = (QMPSession *)s;
    (void)name;
    if (s->is_open && q->negotiated) {
        send_json(q, event);
    }
}

static void qmp_free(Session *s)
{
    QMPSession *q = (QMPSession *)s;
    json_reader_free(q->reader);
    g_free(q);
}

static void qmp_focused(Session *s)
{
    (void)s; /* a program at the other end has nothing to look at */
}

static Session *qmp_new(Monitors *monitors, Chardev *chr, bool pretty)
{
    QMPSession *q = g_new0(QMPSession, 1);
    q->base = (Session) { .ops = &qmp_session_ops, .monitors = monitors, .chr = chr };
    q->pretty = pretty;
    q->reader = json_reader_new(handle_message, q);
    return &q->base;
}

const SessionOps qmp_session_ops = {
    .kind = "control", .new = qmp_new, .can_read = qmp_can_read, .read = qmp_read,
    .opened = qmp_opened, .closed = qmp_closed, .focused = qmp_focused, .event = qmp_event, .free = qmp_free,
};
