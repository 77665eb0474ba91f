/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The members that every Machine has, whatever it is for: made and freed in
 * their order. Called by vl, and by the tests that need a machine without a
 * command line.
 */
#include "softmmu/machine.h"

#include "softmmu/config.h"
#include "softmmu/runstate.h"

/* The dirty log exists before the vCPUs do. */
static void write_barrier(void *opaque)
{
    Machine *machine = opaque;

    if (machine->cpus) {
        cpus_write_barrier(machine->cpus);
    }
}

void machine_core_init(Machine *m, MachineConfig *config)
{
    m->config = config;
    m->loop = main_loop_new();
    m->clock = virtual_clock_new(m->loop);
    m->ram = ram_list_new();
    m->present = present_map_new(m->ram);
    m->guard = write_guard_new(m->ram);
    m->dirty = dirty_log_new(m->ram, write_barrier, m);
    m->as = address_space_new(m->loop, m->dirty, m->present, m->guard);
    m->vmstate = vmstate_registry_new();
    if (config) {
        vmstate_set_dialect(m->vmstate, config->dialect);
    }
    m->runstate = runstate_new(m);
}

bool machine_is_built(const Machine *m)
{
    return !__atomic_load_n(&m->exit_preconfig, __ATOMIC_ACQUIRE);
}

void machine_core_clear(Machine *m)
{
    runstate_free(m->runstate);
    vmstate_registry_free(m->vmstate);
    address_space_free(m->as);
    dirty_log_free(m->dirty);
    write_guard_free(m->guard);
    present_map_free(m->present);
    ram_list_free(m->ram);
    virtual_clock_free(m->clock);
    main_loop_free(m->loop);
}
