/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and text of a switchover's moments. Called by the monitor commands. */
#include "migration/state/switchover.h"
#include "util/trace-migration.h"

static const char *const step_names[SWITCHOVER__MAX] = {
    [SWITCHOVER_ASKED] = "asked",
    [SWITCHOVER_STOPPED] = "stopped",
    [SWITCHOVER_DEVICES_TAKEN] = "devices taken",
    [SWITCHOVER_SYNCED] = "synced",
    [SWITCHOVER_RAM_SENT] = "ram sent",
    [SWITCHOVER_ALL_SENT] = "all sent",
    [SWITCHOVER_CONFIRMED] = "confirmed",
    [SWITCHOVER_FIRST_DEVICE] = "first device",
    [SWITCHOVER_LOADED] = "loaded",
    [SWITCHOVER_TOLD] = "source told",
    [SWITCHOVER_STARTED] = "started",
};

/* QEMU's names where it looks at the same moment. */
static const char *const checkpoints[SWITCHOVER__MAX] = {
    [SWITCHOVER_ASKED] = "src-downtime-start",
    [SWITCHOVER_STOPPED] = "src-vm-stopped",
    [SWITCHOVER_DEVICES_TAKEN] = "src-non-iterable-saved",
    [SWITCHOVER_SYNCED] = "src-last-sync",
    [SWITCHOVER_RAM_SENT] = "src-iterable-saved",
    [SWITCHOVER_ALL_SENT] = "src-all-sent",
    [SWITCHOVER_CONFIRMED] = "src-downtime-end",
    [SWITCHOVER_FIRST_DEVICE] = "dst-first-device",
    [SWITCHOVER_LOADED] = "dst-precopy-loadvm-completed",
    [SWITCHOVER_TOLD] = "dst-source-told",
    [SWITCHOVER_STARTED] = "dst-precopy-bh-vm-started",
};

void switchover_trace(SwitchoverStep step)
{
    trace_vmstate_downtime_checkpoint(step < SWITCHOVER__MAX ? checkpoints[step] : "?");
}

const char *switchover_step_name(SwitchoverStep step)
{
    return step < SWITCHOVER__MAX ? step_names[step] : "?";
}

static void side_text(GString *out, const SwitchoverTimes *t, SwitchoverStep first,
                      SwitchoverStep end)
{
    for (SwitchoverStep step = first; step < end; step++) {
        if (t->us[first] && t->us[step]) {
            g_string_append_printf(out, "switchover %s: %0.3f ms\n", step_names[step],
                                   (t->us[step] - t->us[first]) / 1000.0);
        }
    }
}

char *switchover_text(const SwitchoverTimes *t)
{
    GString *out = g_string_new(NULL);

    side_text(out, t, SWITCHOVER_ASKED, SWITCHOVER_SOURCE__END);
    side_text(out, t, SWITCHOVER_FIRST_DEVICE, SWITCHOVER__MAX);
    return g_string_free(out, FALSE);
}
