/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option handlers that describe the machine: type, CPU, RAM, harts, images,
 * identity. Called by cmdline.c; only fill the CommandLine.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "softmmu/cmdline.h"
#include "softmmu/machine-types.h"
#include "util/error.h"
#include "util/near-name.h"

#define DEFAULT_RAM_UNIT (1ULL << 20)
#define GUEST_PAGE 4096

static void replace(char **slot, const char *value)
{
    g_free(*slot);
    *slot = g_strdup(value);
}

/* ---- -machine ---- */

static bool machine_help(CommandLine *cl, GError **errp)
{
    const MachineType *alias = machine_type_alias(errp);

    if (!alias) {
        return false;
    }
    g_string_append(cl->output, "Supported machines are:\n");
    for (const MachineType *t = machine_types(); t->name; t++) {
        if (t == alias) {
            g_string_append_printf(cl->output, "%-20s RISC-V VirtIO board (alias of %s)\n", "virt",
                                   t->name);
        }
        g_string_append_printf(cl->output, "%-20s %s\n", t->name, t->desc);
    }
    g_string_append_printf(cl->output,
                           "What 'virt' stands for on this host: key 'virt' in group [machine] "
                           "of\n%s (FERRY_CONFIG names another file); default: %s\n",
                           machine_config_path(), machine_types()[0].name);
    return true;
}

bool handle_machine(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Opts *opts = opts_parse(arg, "type", errp);
    const char *key, *value;
    bool ok = true;

    if (!opts) {
        return false;
    }
    if (opts_ask_help(opts, "type")) {
        ok = machine_help(cl, errp);
    } else {
        for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
            opts_set(cl->machine, key, value); /* several -machine add up */
        }
    }
    opts_free(opts);
    return ok;
}

/* ---- -cpu, -smp, -m ---- */

bool handle_cpu(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
        g_string_append(cl->output, "rv64\n");
        return true;
    }
    replace(&cl->config.cpu_model, arg);
    return true;
}

bool handle_smp(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "cpus", "maxcpus", "sockets", "dies", "clusters",
                                        "cores", "threads", NULL };
    struct { const char *key; uint64_t *to; } values[] = {
        { "cpus", &cl->smp_cpus }, { "maxcpus", &cl->smp_maxcpus }, { "sockets", &cl->smp_sockets },
        { "cores", &cl->smp_cores }, { "threads", &cl->smp_threads },
    };
    Opts *opts = opts_parse(arg, "cpus", errp);
    bool ok = opts && opts_only_keys(opts, keys, errp);

    for (size_t i = 0; ok && i < G_N_ELEMENTS(values); i++) {
        const char *text = opts_get(opts, values[i].key);
        *values[i].to = 0;
        if (text && !parse_u64(text, values[i].to)) {
            error_setg(errp, "Parameter 'smp.%s' expects integer", values[i].key);
            ok = false;
        } else if (text && (*values[i].to == 0 || *values[i].to > 65536)) {
            error_setg(errp, "Invalid CPU topology: '%s' must be greater than zero and at most "
                       "65536", values[i].key);
            ok = false;
        }
    }
    for (int i = 0; ok && i < 2; i++) {
        const char *key = i ? "clusters" : "dies", *text = opts_get(opts, key);
        if (text && strcmp(text, "1") != 0) {
            error_setg(errp, "%s not supported by this machine's CPU topology", key);
            ok = false;
        }
    }
    opts_free(opts);
    return ok;
}

static bool read_size(Opts *opts, const char *key, uint64_t *out, GError **errp)
{
    const char *text = opts_get(opts, key);

    if (text && !parse_size(text, DEFAULT_RAM_UNIT, out)) {
        error_setg(errp, "Parameter '%s' expects a non-negative number below 2^64\n"
                   "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
                   "and exabytes, respectively.", key);
        return false;
    }
    return true;
}

bool handle_m(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "size", "slots", "maxmem", NULL };
    Opts *opts = opts_parse(arg, "size", errp);
    uint64_t size = 0, maxmem = 0, slots = 0;
    bool ok = opts && opts_only_keys(opts, keys, errp) && read_size(opts, "size", &size, errp) &&
              read_size(opts, "maxmem", &maxmem, errp) && opts_get_u64(opts, "slots", &slots, errp);

    if (ok && slots && !opts_get(opts, "maxmem")) {
        error_setg(errp, "slots specified but no max-size");
        ok = false;
    } else if (ok && maxmem && maxmem != size) {
        error_setg(errp, "invalid value of maxmem: the machine has no memory hotplug, so maximum "
                   "memory size (0x%" PRIx64 ") must equal the initial memory size (0x%" PRIx64 ")",
                   maxmem, size);
        ok = false;
    } else if (ok && size > UINT64_MAX - GUEST_PAGE) {
        error_setg(errp, "ram size too large");
        ok = false;
    }
    if (ok) {
        cl->mem_bytes = (size + GUEST_PAGE - 1) / GUEST_PAGE * GUEST_PAGE;
    }
    opts_free(opts);
    return ok;
}

/* ---- plain values ---- */

bool handle_mem_path(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    replace(&cl->config.mem_path, arg);
    return true;
}

bool handle_bios(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    replace(&cl->config.bios, arg);
    return true;
}

bool handle_kernel(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    replace(&cl->config.kernel, arg);
    return true;
}

bool handle_append(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    replace(&cl->config.append, arg);
    return true;
}

bool handle_initrd(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    replace(&cl->config.initrd, arg);
    return true;
}

bool handle_dtb(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    replace(&cl->config.dtb, arg);
    return true;
}

bool handle_L(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    if (strcmp(arg, "help") == 0) {
        g_string_append(cl->output, "/usr/share/qemu\n/usr/lib/riscv64-linux-gnu/opensbi/generic\n");
        return true;
    }
    g_ptr_array_add(cl->config.data_dirs, g_strdup(arg));
    return true;
}

/* ---- identity ---- */

bool handle_name(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "guest", "process", "debug-threads", NULL };
    Opts *opts = opts_parse(arg, "guest", errp);
    bool debug_threads = false;
    bool ok = opts && opts_only_keys(opts, keys, errp) &&
              opts_get_bool(opts, "debug-threads", &debug_threads, errp);

    if (ok && opts_get(opts, "guest")) {
        replace(&cl->config.name, opts_get(opts, "guest"));
    }
    opts_free(opts);
    return ok;
}

bool handle_uuid(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    uint8_t *u = cl->config.uuid;
    int used = 0;
    int n = sscanf(arg, "%2hhx%2hhx%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx-"
                        "%2hhx%2hhx%2hhx%2hhx%2hhx%2hhx%n",
                   &u[0], &u[1], &u[2], &u[3], &u[4], &u[5], &u[6], &u[7], &u[8], &u[9], &u[10],
                   &u[11], &u[12], &u[13], &u[14], &u[15], &used);

    if (n != 16 || used != 36 || arg[36]) {
        error_setg(errp, "failed to parse UUID string: wrong format");
        return false;
    }
    cl->config.uuid_set = true;
    return true;
}

bool handle_rtc(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "base", "clock", "driftfix", NULL };
    static const char *const clocks[] = { "host", "rt", "vm", NULL };
    static const char *const drifts[] = { "none", "slew", NULL };
    Opts *opts = opts_parse(arg, NULL, errp);
    int d[6];

    if (!opts || !opts_only_keys(opts, keys, errp) || !opts_value_in(opts, "clock", clocks, errp) ||
        !opts_value_in(opts, "driftfix", drifts, errp)) {
        opts_free(opts);
        return false;
    }
    const char *base = opts_get(opts, "base");
    if (base && strcmp(base, "utc") != 0 && strcmp(base, "localtime") != 0 &&
        sscanf(base, "%d-%d-%dT%d:%d:%d", &d[0], &d[1], &d[2], &d[3], &d[4], &d[5]) != 6 &&
        sscanf(base, "%d-%d-%d", &d[0], &d[1], &d[2]) != 3) {
        error_setg(errp, "invalid datetime format\n"
                   "valid formats: '2006-06-17T16:01:21' or '2006-06-17'");
        opts_free(opts);
        return false;
    }
    opts_free(cl->config.rtc);
    cl->config.rtc = opts;
    return true;
}

bool handle_boot(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "order", "once", "menu", "splash", "splash-time",
                                        "reboot-timeout", "strict", NULL };
    Opts *opts = opts_parse(arg, "order", errp);
    bool flag = false;
    bool ok = opts && opts_only_keys(opts, keys, errp) &&
              opts_get_bool(opts, "menu", &flag, errp) && opts_get_bool(opts, "strict", &flag, errp);

    opts_free(opts);
    return ok;
}

/* ---- when all is read ---- */

/* Boolean properties that only exist for QEMU's sake: the value must be the one we have. */
/* What the board does not have; some properties may also say "auto". */
static bool must_be_off(CommandLine *cl, const char *key, bool or_auto, GError **errp)
{
    const char *value = opts_get(cl->machine, key);
    bool on;

    if (value && !(or_auto && strcmp(value, "auto") == 0) && (!parse_bool(value, &on) || on)) {
        error_setg(errp, "machine property '%s=%s' is not supported", key, value);
        return false;
    }
    return true;
}

static bool check_aia(CommandLine *cl, GError **errp)
{
    static const char *const known[] = { "none", "aplic", "aplic-imsic", NULL };
    const char *value = opts_get(cl->machine, "aia");

    if (value && !g_strv_contains(known, value)) {
        error_setg(errp, "Invalid AIA interrupt controller type\n"
                   "Valid values are none, aplic, and aplic-imsic.");
        return false;
    }
    if (value && strcmp(value, "none") != 0) {
        error_setg(errp, "machine property 'aia=%s' is not supported: the board has the PLIC "
                   "(aia=none)", value);
        return false;
    }
    return true;
}

static bool check_machine_properties(CommandLine *cl, const MachineType *type, GError **errp)
{
    static const char *const any[] = { "dump-guest-core", "mem-merge", "graphics",
                                       "suppress-vmdesc" };
    static const char *const common[] = {
        "type", "accel", "usb", "dump-guest-core", "mem-merge", "graphics", "memory-backend",
        "suppress-vmdesc", "kernel", "initrd", "append", "dtb", "firmware", NULL,
    };
    static const char *const virt[] = { "acpi", "aclint", "aia", "iommu-sys", NULL };
    const char *key, *value;
    bool flag;

    for (size_t i = 0; opts_nth(cl->machine, i, &key, &value); i++) {
        if (!g_strv_contains(common, key) &&
            (strcmp(type->wire_name, "virt") != 0 || !g_strv_contains(virt, key))) {
            g_autofree char *hint = near_hint(common, sizeof(common[0]), G_N_ELEMENTS(common), key);
            g_autofree char *more = near_hint(virt, sizeof(virt[0]), G_N_ELEMENTS(virt), key);
            bool is_virt = strcmp(type->wire_name, "virt") == 0;
            error_setg(errp, "Property '%s-machine.%s' not found%s", type->wire_name, key,
                       *hint || !is_virt ? hint : more);
            return false;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(any); i++) {
        if (!opts_get_bool(cl->machine, any[i], &flag, errp)) {
            return false;
        }
    }
    return must_be_off(cl, "usb", false, errp) && must_be_off(cl, "acpi", true, errp) &&
           check_aia(cl, errp) && opts_get_bool(cl->machine, "aclint", &cl->config.aclint, errp) &&
           must_be_off(cl, "iommu-sys", true, errp);
}

static void error_no_machine(const char *name, GError **errp)
{
    const MachineType *types = machine_types();
    const char *const alias = "virt";
    size_t count = 0;

    while (types[count].name) {
        count++;
    }
    g_autofree char *hint = near_hint(&alias, sizeof(alias), 1, name);
    g_autofree char *more = near_hint(&types[0].name, sizeof(types[0]), count, name);
    error_setg(errp, "unsupported machine type '%s'%s\n"
               "Use -machine help to list supported machines", name, *hint ? hint : more);
}

static const MachineType *select_type(CommandLine *cl, GError **errp)
{
    const char *name = opts_get(cl->machine, "type");
    const MachineType *type;

    if (!name) {
        error_setg(errp, "No machine specified, and there is no default\n"
                   "Use -machine help to list supported machines");
        return NULL;
    }
    if (strcmp(name, "virt") == 0) {
        return machine_type_alias(errp);
    }
    type = machine_type_find(name);
    if (!type) {
        error_no_machine(name, errp);
    }
    return type;
}

static bool complete_smp(CommandLine *cl, const MachineType *type, GError **errp)
{
    uint64_t sockets = cl->smp_sockets, cores = cl->smp_cores, threads = cl->smp_threads;
    uint64_t shape = (sockets ?: 1) * (cores ?: 1) * (threads ?: 1);
    uint64_t cpus = cl->smp_cpus ?: cl->smp_maxcpus ?: shape;
    uint64_t max = cl->smp_maxcpus ?: cpus;

    if (sockets && cores && threads && shape != max) {
        error_setg(errp, "Invalid CPU topology: product of the hierarchy must match maxcpus: "
                   "sockets (%" PRIu64 ") * cores (%" PRIu64 ") * threads (%" PRIu64
                   ") != maxcpus (%" PRIu64 ")", sockets, cores, threads, max);
        return false;
    }
    if (max % shape) {
        error_setg(errp, "Invalid CPU topology: product of the hierarchy must match maxcpus: "
                   "%" PRIu64 " does not divide maxcpus (%" PRIu64 ")", shape, max);
        return false;
    }
    if (max < cpus) {
        error_setg(errp, "Invalid CPU topology: maxcpus must be equal to or greater than smp: "
                   "maxcpus (%" PRIu64 ") < smp_cpus (%" PRIu64 ")", max, cpus);
        return false;
    }
    if (cpus > type->max_cpus) {
        error_setg(errp, "Invalid SMP CPUs %" PRIu64 ". The max CPUs supported by machine '%s' is %u",
                   cpus, type->name, type->max_cpus);
        return false;
    }
    cl->config.smp = cpus;
    return true;
}

static void complete_images(CommandLine *cl)
{
    struct { const char *key; char **slot; } images[] = {
        { "kernel", &cl->config.kernel }, { "initrd", &cl->config.initrd },
        { "append", &cl->config.append }, { "dtb", &cl->config.dtb },
        { "firmware", &cl->config.bios },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(images); i++) {
        const char *value = opts_get(cl->machine, images[i].key);
        if (value) {
            replace(images[i].slot, value);
        }
    }
}

static bool check_images(const MachineConfig *c, GError **errp)
{
    if (!c->kernel && c->initrd) {
        error_setg(errp, "-initrd only allowed with -kernel option");
        return false;
    }
    if (!c->kernel && c->append && *c->append) {
        error_setg(errp, "-append only allowed with -kernel option");
        return false;
    }
    return true;
}

bool cmdline_complete(CommandLine *cl, GError **errp)
{
    MachineConfig *c = &cl->config;
    const MachineType *type = select_type(cl, errp);

    if (!type || !cmdline_choose_accel(cl, errp) || !check_machine_properties(cl, type, errp) ||
        !complete_smp(cl, type, errp)) {
        return false;
    }
    c->machine_name = type->wire_name;
    c->machine_version = type->name;
    c->machine_alias = strcmp(opts_get(cl->machine, "type"), "virt") == 0;
    c->dialect = type->dialect;
    if (!cmdline_complete_memory(cl, type->default_ram_bytes, errp)) {
        return false;
    }
    complete_images(cl);
    if (cl->preconfig && c->incoming && strcmp(c->incoming, "defer")) {
        error_setg(errp, "'preconfig' supports '-incoming defer' only");
        return false;
    }
    return check_images(c, errp);
}
