/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a QMP message asks for, and the answer to it. Knows the table of
 * commands, nothing of sessions and threads. Called by qmp.c.
 */
#include "monitor/qmp-request.h"

#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#include "monitor/patience.h"
#include "softmmu/machine.h"
#include "util/error.h"

/* ---- the message ---- */

static bool take_name(QMPRequest *r, const char *key, struct json_object *val, GError **errp)
{
    bool oob = !strcmp(key, "exec-oob");
    if (!json_object_is_type(val, json_type_string)) {
        error_setg(errp, "QMP input member '%s' must be a string", key);
        return false;
    }
    if (r->name) {
        error_setg(errp, "QMP input member 'execute' clashes with 'exec-oob'");
        return false;
    }
    r->name = json_object_get_string(val);
    r->oob = oob;
    return true;
}

static bool check_member(QMPRequest *r, const char *key, struct json_object *val, bool oob,
                         GError **errp)
{
    if (!strcmp(key, "id")) {
        return true;    /* read before, so that every error carries it */
    }
    if (!strcmp(key, "execute") || (oob && !strcmp(key, "exec-oob"))) {
        return take_name(r, key, val, errp);
    }
    if (strcmp(key, "arguments")) {
        error_setg(errp, "QMP input member '%s' is unexpected", key);
        return false;
    }
    if (!json_object_is_type(val, json_type_object)) {
        error_setg(errp, "QMP input member 'arguments' must be an object");
        return false;
    }
    r->args = val;
    return true;
}

static bool read_message(QMPRequest *r, bool oob, GError **errp)
{
    if (!json_object_is_type(r->value, json_type_object)) {
        error_setg(errp, "QMP input must be a JSON object");
        return false;
    }
    r->has_id = json_object_object_get_ex(r->value, "id", &r->id);
    json_object_object_foreach(r->value, key, val) {
        if (!check_member(r, key, val, oob, errp)) {
            return false;
        }
    }
    if (!r->name) {
        error_setg(errp, "QMP input lacks member 'execute'");
    }
    r->well_formed = r->name != NULL;
    return r->well_formed;
}

static bool find_command(QMPRequest *r, GError **errp)
{
    const QapiCommand *c = qapi_commands;
    while (c->name && strcmp(c->name, r->name)) {
        c++;
    }
    if (!c->name) {
        error_set_class(errp, FERRY_ERROR_COMMAND_NOT_FOUND,
                        "The command %s has not been found", r->name);
        return false;
    }
    if (r->oob && !c->allow_oob) {
        error_setg(errp, "The command %s does not support OOB", r->name);
        return false;
    }
    r->command = c;
    return true;
}

QMPRequest *qmp_request_new(struct json_object *value, const GError *parse_error, bool oob)
{
    QMPRequest *r = g_new0(QMPRequest, 1);
    r->fd = -1;
    r->value = value;
    if (parse_error) {
        r->error = g_error_copy(parse_error);
    } else if (read_message(r, oob, &r->error)) {
        find_command(r, &r->error);
    }
    return r;
}

void qmp_request_free(QMPRequest *r)
{
    json_object_put(r->value);
    g_clear_error(&r->error);
    if (r->fd >= 0) {
        close(r->fd);
    }
    g_free(r);
}

bool qmp_request_takes_fd(const QMPRequest *r)
{
    static const char *const takers[] = { "add-fd", "getfd", "human-monitor-command" };
    for (size_t i = 0; r->command && i < G_N_ELEMENTS(takers); i++) {
        if (!strcmp(r->command->name, takers[i])) {
            return true;
        }
    }
    return false;
}

bool qmp_request_has_to_wait(QMPRequest *r, const struct Machine *machine)
{
    struct json_object *line = NULL;
    const char *text = r->command ? r->command->name : "";

    if (r->args && !strcmp(text, "human-monitor-command") &&
        json_object_object_get_ex(r->args, "command-line", &line) &&
        json_object_is_type(line, json_type_string)) {
        text = json_object_get_string(line);
    }
    return monitor_has_to_wait(machine, text, &r->wait_until_us);
}

/* ---- the answer ---- */

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

static struct json_object *error_reply(const QMPRequest *r, const GError *err)
{
    struct json_object *reply = json_object_new_object(), *e = json_object_new_object();
    if (r->has_id) {
        json_object_object_add(reply, "id", json_object_get(r->id));
    }
    json_object_object_add(e, "class", json_object_new_string(error_class(err)));
    json_object_object_add(e, "desc", json_object_new_string(err->message));
    json_object_object_add(reply, "error", e);
    return reply;
}

static struct json_object *return_reply(const QMPRequest *r, struct json_object *ret)
{
    struct json_object *reply = json_object_new_object();
    json_object_object_add(reply, "return", ret);
    if (r->has_id) {
        json_object_object_add(reply, "id", json_object_get(r->id));
    }
    return reply;
}

struct json_object *qmp_request_run(QMPRequest *r, struct Machine *machine, bool negotiated)
{
    g_autoptr(GError) err = NULL;
    struct json_object *ret = NULL;
    if (r->well_formed && !negotiated && strcmp(r->name, "qmp_capabilities")) {
        error_set_class(&err, FERRY_ERROR_COMMAND_NOT_FOUND,
                        "Expecting capabilities negotiation with 'qmp_capabilities'");
        return error_reply(r, err);
    }
    if (r->error) {
        return error_reply(r, r->error);
    }
    if (!r->command->allow_preconfig && !machine_is_built(machine)) {
        error_setg(&err, "The command '%s' is permitted only after machine initialization has "
                   "completed", r->name);
        return error_reply(r, err);
    }
    if (!r->command->run(machine, r->args, &ret, &err)) {
        json_object_put(ret);
        return error_reply(r, err);
    }
    if (r->command->no_reply) {
        json_object_put(ret);
        return NULL;
    }
    return return_reply(r, ret);
}
