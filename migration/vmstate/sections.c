/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two sections that belong to no device: "timer", the virtual clock, and
 * "globalstate", the run state the machine had before the switchover stopped
 * it. Called by the two stories under the BQL; moves no run state itself.
 */
#include <string.h>
#include "migration/migration-private.h"
#include "migration/stream/format.h"
#include "util/error.h"

/* ---- timer ---- */

static bool timer_pre_save(void *opaque, GError **errp)
{
    TimerSection *t = opaque;

    t->cpu_clock_offset = virtual_clock_get_ns(t->machine->clock);
    return true;
}

static bool timer_post_load(void *opaque, int version_id, GError **errp)
{
    TimerSection *t = opaque;

    if (version_id < 2) {
        return true; /* such a stream says nothing of the clock */
    }
    if (t->cpu_clock_offset < 0) {
        error_setg(errp, "cpu_clock_offset is %" G_GINT64_FORMAT ", a time of 0 or more expected",
                   t->cpu_clock_offset);
        return false;
    }
    virtual_clock_set_ns(t->machine->clock, t->cpu_clock_offset);
    return true;
}

static const VMStateDescription vmstate_timer = {
    .name = "timer",
    .version_id = 2,
    .minimum_version_id = 1,
    .pre_save = timer_pre_save,
    .post_load = timer_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_INT64(cpu_ticks_offset, TimerSection),
        VMSTATE_UNUSED(8),
        VMSTATE_INT64_V(cpu_clock_offset, TimerSection, 2),
        VMSTATE_END_OF_LIST()
    },
};

/* ---- globalstate ---- */

static bool global_state_needed(void *opaque)
{
    const GlobalState *s = opaque;
    return s->send;
}

static bool global_state_pre_save(void *opaque, GError **errp)
{
    GlobalState *s = opaque;
    const char *text = RunState_str(s->run_state);

    memset(s->text_7_2, 0, sizeof(s->text_7_2));
    memset(s->text_10_0, 0, sizeof(s->text_10_0));
    memset(s->unused, 0, sizeof(s->unused));
    g_strlcpy((char *)s->text_7_2, text, sizeof(s->text_7_2));
    g_strlcpy((char *)s->text_10_0, text, sizeof(s->text_10_0));
    s->size = strlen(text) + 1;
    s->has_vm_was_suspended = 1;
    s->vm_was_suspended = s->run_state == RUN_STATE_SUSPENDED;
    return true;
}

/* Receivers ignore the size and read text up to its NUL. */
static bool global_state_receive(GlobalState *s, const uint8_t *text, size_t max, GError **errp)
{
    g_autofree char *name = g_strndup((const char *)text, max);
    int state = RunState_parse(name, NULL);

    if (state < 0) {
        error_setg(errp, "invalid parameter value: %s", name);
        return false;
    }
    if (state == RUN_STATE_FINISH_MIGRATE || state == RUN_STATE_SAVE_VM ||
        state == RUN_STATE_RESTORE_VM || state == RUN_STATE_COLO) {
        error_setg(errp, "The guest comes in run state '%s': a guest cannot go on in it", name);
        return false;
    }
    s->received = true;
    s->received_state = state;
    return true;
}

static bool global_state_post_load_7_2(void *opaque, int version_id, GError **errp)
{
    GlobalState *s = opaque;
    return global_state_receive(s, s->text_7_2, sizeof(s->text_7_2), errp);
}

static bool global_state_post_load_10_0(void *opaque, int version_id, GError **errp)
{
    GlobalState *s = opaque;
    return global_state_receive(s, s->text_10_0, sizeof(s->text_10_0), errp);
}

static const VMStateDescription vmstate_globalstate_7_2 = {
    .name = "globalstate",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = global_state_needed,
    .pre_save = global_state_pre_save,
    .post_load = global_state_post_load_7_2,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(size, GlobalState),
        { .name = "runstate", .offset = offsetof(GlobalState, text_7_2), .size = 100,
          .info = &vmstate_info_buffer },
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_globalstate_10_0 = {
    .name = "globalstate",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = global_state_needed,
    .pre_save = global_state_pre_save,
    .post_load = global_state_post_load_10_0,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(size, GlobalState),
        { .name = "runstate", .offset = offsetof(GlobalState, text_10_0), .size = 32,
          .info = &vmstate_info_buffer },
        VMSTATE_UINT8(has_vm_was_suspended, GlobalState),
        VMSTATE_UINT8(vm_was_suspended, GlobalState),
        VMSTATE_BUFFER(unused, GlobalState),
        VMSTATE_END_OF_LIST()
    },
};

/* ---- for the stories ---- */

void migration_register_sections(Migration *m)
{
    static const VMStateDescription *const timer[] = { &vmstate_timer, NULL };
    static const VMStateDescription *const global[] = { &vmstate_globalstate_7_2,
                                                        &vmstate_globalstate_10_0, NULL };

    m->timer.machine = m->machine;
    vmstate_register_versions(m->machine->vmstate, "timer", 0, timer, &m->timer, 0, 0);
    vmstate_register_versions(m->machine->vmstate, "globalstate", 0, global, &m->global_state,
                              2 * VMSTATE_ORDER_DEFAULT, 2 * VMSTATE_ORDER_DEFAULT);
}

void migration_sections_prepare_save(Migration *m, RunState before, bool send)
{
    m->global_state.send = send;
    m->global_state.run_state = before;
}

void migration_sections_prepare_load(Migration *m)
{
    m->global_state.received = false;
    vmstate_load_begin(m->machine->vmstate);
}

RunState migration_sections_received(const Migration *m)
{
    return m->global_state.received ? m->global_state.received_state : RUN_STATE_RUNNING;
}
