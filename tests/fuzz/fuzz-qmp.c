/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: bytes into a QMP session of a machine without a guest. What
 * would leave the process (files, programs, connections, the end of the
 * process) is left out by name: input that asks for it is not run.
 */
#include <json-c/json.h>
#include <string.h>

#include "../unit/monitor-machine.h"
#include "monitor/internal.h"
#include "monitor/json-text.h"

/* Requests wait for the main loop. */
static void run_commands(Fixture *f)
{
    while (g_main_context_iteration(main_loop_context(f->m.loop), FALSE)) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(void *opaque, struct json_object *value, const GError *err)
{
    static const char *const outside[] = {
        "migrate", "migrate-incoming", "migrate-recover", "memsave", "pmemsave",
        "dump-guest-memory", "human-monitor-command", "quit", "stop", "cont", "system_reset",
    };
    struct json_object *name;
    bool *refuse = opaque;
    bool named = !err && json_object_is_type(value, json_type_object) &&
                 json_object_object_get_ex(value, "execute", &name);
    for (size_t i = 0; named && i < G_N_ELEMENTS(outside); i++) {
        *refuse |= !strcmp(json_object_get_string(name), outside[i]);
    }
    json_object_put(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Fixture f;
    static Session *s;
    bool refuse = false;
    if (!s) {   /* one machine for all inputs: it must survive them all */
        monitor_machine_setup(&f, NULL);
        Chardev *chr = chardev_from_text(f.m.chardevs, "c", "null", NULL);
        s = qmp_session_ops.new(f.m.monitors, chr, false);
    }
    JsonReader *r = json_reader_new(look, &refuse);
    json_reader_feed(r, data, size);
    json_reader_feed(r, " ", 1);
    json_reader_free(r);
    if (!refuse) {
        static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
        s->is_open = true;
        s->ops->opened(s);
        s->ops->read(s, (const uint8_t *)hello, strlen(hello));
        run_commands(&f);
        s->ops->read(s, data, size);
        s->ops->read(s, (const uint8_t *)" ", 1);
        run_commands(&f);
        s->ops->closed(s);
        run_commands(&f);
    }
    return 0;
}
