/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine of tiny-machine.h, with stand-ins for vCPUs and for the event sink. */
#include "tiny-machine.h"
#include <json-c/json.h>
#include <string.h>
#include "monitor/monitor.h"
#include "softmmu/guest-ram.h"

struct Monitors {
    TinyMachine *t;
};

unsigned cpus_count(const CPUList *cpus)
{
    return 1;
}

void cpus_pause_begin(CPUList *cpus)
{
}

void cpus_pause_end(CPUList *cpus)
{
}

void cpus_reset_all(CPUList *cpus)
{
}

void cpus_flush_tlb_all(CPUList *cpus)
{
}

void cpus_throttle_set(CPUList *cpus, int pct)
{
}

int fds_take_named(FdSets *fds, const char *name, GError **errp)
{
    return -1;
}

int fdset_open(FdSets *fds, const char *path, int flags, mode_t mode, GError **errp)
{
    return -1;
}

void qmp_event_emit(Monitors *monitors, const char *name, struct json_object *data)
{
    TinyMachine *t = monitors->t;
    struct json_object *v;

    g_mutex_lock(&t->lock);
    g_string_append_printf(t->events, "%s%s", t->events->len ? " " : "",
                           g_str_equal(name, "MIGRATION_PASS") ? "PASS" : name);
    if (data && (json_object_object_get_ex(data, "status", &v) ||
                 json_object_object_get_ex(data, "pass", &v))) {
        g_string_append_printf(t->events, ":%s", json_object_get_string(v));
    }
    g_mutex_unlock(&t->lock);
    json_object_put(data);
}

TinyMachine *tiny_machine_new(const char *name, StreamDialect dialect, uint64_t ram_pages,
                              uint64_t rom_pages)
{
    TinyMachine *t = g_new0(TinyMachine, 1);
    Machine *m = &t->machine;

    g_mutex_init(&t->lock);
    t->events = g_string_new(NULL);
    t->config.machine_name = name;
    t->config.dialect = dialect;
    m->config = &t->config;
    m->monitors = g_new0(Monitors, 1);
    m->monitors->t = t;
    m->loop = main_loop_new();
    m->clock = virtual_clock_new(m->loop);
    m->ram = ram_list_new();
    m->present = present_map_new(m->ram);
    ram_list_add(m->ram, "ram", ram_pages * TARGET_PAGE_SIZE, NULL, NULL);
    if (rom_pages) {
        ram_list_add(m->ram, "rom", rom_pages * TARGET_PAGE_SIZE, NULL, NULL);
    }
    m->dirty = dirty_log_new(m->ram, NULL, NULL);
    m->vmstate = vmstate_registry_new();
    vmstate_set_dialect(m->vmstate, dialect);
    m->runstate = runstate_new(m);
    m->migration = migration_new(m);
    return t;
}

void tiny_machine_free(TinyMachine *t)
{
    Machine *m = &t->machine;

    tiny_lock(t);
    migration_free(m->migration);
    tiny_unlock(t);
    runstate_free(m->runstate);
    vmstate_registry_free(m->vmstate);
    dirty_log_free(m->dirty);
    present_map_free(m->present);
    ram_list_free(m->ram);
    virtual_clock_free(m->clock);
    main_loop_free(m->loop);
    g_free(m->monitors);
    g_string_free(t->events, TRUE);
    g_mutex_clear(&t->lock);
    g_free(t);
}

void tiny_lock(TinyMachine *t)
{
    bql_lock(t->machine.loop);
}

void tiny_unlock(TinyMachine *t)
{
    bql_unlock(t->machine.loop);
}

void tiny_write(TinyMachine *t, const char *block, uint64_t offset, const void *buf, size_t len)
{
    RAMBlock *b = ram_list_find(t->machine.ram, block, strlen(block));

    guest_ram_copy_to(b->host + offset, buf, len);
    dirty_log_mark(t->machine.dirty, b, offset, len);
}

MigrationSettings *tiny_settings(TinyMachine *t, MigrationCaps caps)
{
    MigrationOptions *o = t->machine.migration->options;
    MigrationCapabilityStatusList list[MIGRATION_CAPABILITY__MAX];
    MigrationCapabilityStatus status[MIGRATION_CAPABILITY__MAX];

    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        status[cap] = (MigrationCapabilityStatus){ .capability = cap, .state = (caps >> cap) & 1 };
        list[cap] = (MigrationCapabilityStatusList){
            .next = cap + 1 < MIGRATION_CAPABILITY__MAX ? &list[cap + 1] : NULL,
            .value = &status[cap],
        };
    }
    if (!migration_options_set_capabilities(o, list, NULL)) {
        g_error("capabilities that do not go together");
    }
    return migration_settings_take(o);
}

char *tiny_events(TinyMachine *t)
{
    g_mutex_lock(&t->lock);
    char *text = g_strdup(t->events->str);
    g_mutex_unlock(&t->lock);
    return text;
}
