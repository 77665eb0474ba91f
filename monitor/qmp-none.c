/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP and HMP commands about what this machine never has: clients ask, and get an empty list. */
#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"
#include "util/error.h"

IOThreadInfoList *qmp_query_iothreads(struct Machine *machine, GError **errp)
{
    return NULL;
}

TPMInfoList *qmp_query_tpm(struct Machine *machine, GError **errp)
{
    return NULL;
}

TpmModelList *qmp_query_tpm_models(struct Machine *machine, GError **errp)
{
    return NULL;
}

TpmTypeList *qmp_query_tpm_types(struct Machine *machine, GError **errp)
{
    return NULL;
}

MouseInfoList *qmp_query_mice(struct Machine *machine, GError **errp)
{
    return NULL;
}

MemoryDeviceInfoList *qmp_query_memory_devices(struct Machine *machine, GError **errp)
{
    return NULL;
}

HotpluggableCPUList *qmp_query_hotpluggable_cpus(struct Machine *machine, GError **errp)
{
    error_setg(errp, "The feature 'query-hotpluggable-cpus' is not enabled");
    return NULL;
}

BlockJobInfoList *qmp_query_block_jobs(struct Machine *machine, GError **errp)
{
    return NULL;
}

StatsResultList *qmp_query_stats(struct Machine *machine, StatsFilter *arg, GError **errp)
{
    return NULL;
}

StatsSchemaList *qmp_query_stats_schemas(struct Machine *machine, bool has_provider,
                                         StatsProvider provider, GError **errp)
{
    return NULL;
}

void hmp_info_stats(HMPMonitor *mon, const HMPArgs *args)
{
    const char *target = hmp_arg_str(args, "target"), *provider = hmp_arg_str(args, "provider");

    if (StatsTarget_parse(target, NULL) < 0) {
        monitor_printf(mon, "invalid stats target %s\n", target);
    } else if (provider && StatsProvider_parse(provider, NULL) < 0) {
        monitor_printf(mon, "invalid stats provider %s\n", provider);
    }
}

void hmp_info_block_jobs(HMPMonitor *mon, const HMPArgs *args)
{
    monitor_puts(mon, "No active jobs\n");
}

void hmp_info_iothreads(HMPMonitor *mon, const HMPArgs *args)
{
}

void hmp_info_tpm(HMPMonitor *mon, const HMPArgs *args)
{
}

void hmp_info_memory_devices(HMPMonitor *mon, const HMPArgs *args)
{
}

void hmp_info_mice(HMPMonitor *mon, const HMPArgs *args)
{
    monitor_puts(mon, "No mouse devices connected\n");
}

void hmp_info_hotpluggable_cpus(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_query_hotpluggable_cpus(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}
