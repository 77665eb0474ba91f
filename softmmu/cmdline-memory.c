/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where guest RAM comes from: -object memory-backend-*, -numa node with one
 * node, -machine memory-backend, -mem-path, -mem-prealloc. Called by
 * cmdline.c and its handlers; checks and notes, allocates nothing.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "softmmu/cmdline.h"
#include "util/error.h"

/* ---- -object memory-backend-* ---- */

#define COMMON_KEYS "qom-type", "id", "size", "share", "prealloc", "prealloc-threads",               \
    "prealloc-context", "merge", "dump", "reserve", "host-nodes", "policy",                          \
    "x-use-canonical-path-for-ramblock-id"

const char *const memory_ram_keys[] = { COMMON_KEYS, NULL };
const char *const memory_memfd_keys[] = { COMMON_KEYS, "hugetlb", "hugetlbsize", "seal", NULL };
const char *const memory_file_keys[] = { COMMON_KEYS, "mem-path", "align", "discard-data", "pmem",
                                         "readonly", NULL };

static bool flag(Opts *opts, const char *key, bool unset)
{
    bool value = unset;

    opts_get_bool(opts, key, &value, NULL); /* checked before */
    return value;
}

static bool check_flags(Opts *opts, GError **errp)
{
    static const char *const flags[] = { "share", "prealloc", "merge", "dump", "reserve", "hugetlb",
                                         "seal", "discard-data", "pmem", "readonly",
                                         "x-use-canonical-path-for-ramblock-id" };
    bool unused;

    for (size_t i = 0; i < G_N_ELEMENTS(flags); i++) {
        if (!opts_get_bool(opts, flags[i], &unused, errp)) {
            return false;
        }
    }
    return true;
}

/* What QEMU has and this process cannot give: refused, so that nobody relies on it. */
static bool check_possible(Opts *opts, GError **errp)
{
    if (flag(opts, "prealloc", false) && !flag(opts, "reserve", true)) {
        error_setg(errp, "'prealloc=on' and 'reserve=off' are incompatible");
    } else if (flag(opts, "hugetlb", false)) {
        error_setg(errp, "'hugetlb=on' is not supported (give mem-path in a hugetlbfs to "
                   "memory-backend-file)");
    } else if (flag(opts, "pmem", false) || flag(opts, "readonly", false)) {
        error_setg(errp, "'%s=on' is not supported: it would be guest RAM",
                   flag(opts, "pmem", false) ? "pmem" : "readonly");
    } else {
        return true;
    }
    return false;
}

bool memory_backend_check(Opts *opts, GError **errp)
{
    static const char *const policies[] = { "default", "preferred", "bind", "interleave", NULL };
    const char *type = opts_get(opts, "qom-type"), *policy = opts_get(opts, "policy");
    uint64_t size = 1, threads = 1, align = 0, page = sysconf(_SC_PAGESIZE);

    if (strcmp(type, "memory-backend-file") == 0 && !opts_get(opts, "mem-path")) {
        error_setg(errp, "Parameter 'mem-path' is missing");
        return false;
    }
    if (!opts_get_size(opts, "size", &size, errp) || !opts_get_size(opts, "align", &align, errp) ||
        !opts_get_u64(opts, "prealloc-threads", &threads, errp) || !check_flags(opts, errp) ||
        !opts_value_in(opts, "policy", policies, errp)) {
        return false;
    }
    if (size == 0 || threads == 0) {
        error_setg(errp, "property '%s' of %s doesn't take value '0'",
                   size ? "prealloc-threads" : "size", type);
        return false;
    }
    if (align % page) {
        error_setg(errp, "alignment 0x%" PRIx64 " must be multiples of page size 0x%" PRIx64, align,
                   page);
        return false;
    }
    if ((policy && strcmp(policy, "default") != 0) || opts_get(opts, "host-nodes") ||
        opts_get(opts, "host-nodes.0")) {
        error_setg(errp, "binding memory to host NUMA nodes is not supported (start the process "
                   "under numactl)");
        return false;
    }
    return check_possible(opts, errp);
}

/* ---- -numa ---- */

bool handle_numa(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const types[] = { "node", "cpu", "dist", "hmat-lb", "hmat-cache", NULL };
    Opts *opts = opts_parse(arg, "type", errp);

    if (!opts) {
        return false;
    }
    if (!opts_get(opts, "type")) {
        error_setg(errp, "Parameter 'type' is missing");
    } else if (opts_value_in(opts, "type", types, errp)) {
        CmdItem *item = cmd_item_new(name, arg);
        item->opts = opts;
        g_ptr_array_add(cl->numa, item);
        return true;
    }
    opts_free(opts);
    return false;
}

bool handle_mem_prealloc(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->config.mem_prealloc = true;
    return true;
}

static Opts *find_backend(CommandLine *cl, const char *id)
{
    for (guint i = 0; i < cl->config.objects->len; i++) {
        Opts *o = cl->config.objects->pdata[i];
        if (g_strcmp0(opts_get(o, "id"), id) == 0 &&
            g_str_has_prefix(opts_get(o, "qom-type"), "memory-backend-")) {
            return o;
        }
    }
    return NULL;
}

/* "cpus", or "cpus.N" of a list in JSON. */
static bool is_cpus(const char *key)
{
    return strcmp(key, "cpus") == 0 || g_str_has_prefix(key, "cpus.");
}

/* cpus=N or N-M, any number of times: there have to be that many. */
static bool check_numa_cpus(CommandLine *cl, Opts *opts, GError **errp)
{
    const char *key, *value;
    uint64_t from, to;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (!is_cpus(key)) {
            continue;
        }
        g_auto(GStrv) ends = g_strsplit(value, "-", 2);
        if (!ends[0] || !parse_u64(ends[0], &from) || !parse_u64(ends[1] ? ends[1] : ends[0], &to)) {
            error_setg(errp, "Parameter 'cpus' expects uint16");
            return false;
        }
        if (MAX(from, to) >= cl->config.smp) {
            error_setg(errp, "CPU index (%" PRIu64 ") should be smaller than maxcpus (%u)",
                       MAX(from, to), cl->config.smp);
            return false;
        }
    }
    return true;
}

static bool check_node_keys(const Opts *opts, GError **errp)
{
    static const char *const keys[] = { "type", "nodeid", "mem", "memdev", "initiator", NULL };
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (!is_cpus(key) && !g_strv_contains(keys, key)) {
            error_setg(errp, "Invalid parameter '%s'", key);
            return false;
        }
    }
    return true;
}

static void warn_mem(CommandLine *cl, const CmdItem *item)
{
    if (opts_get(item->opts, "mem")) {
        g_string_append_printf(cl->warnings, "%s: warning: Parameter -numa node,mem is deprecated, "
                               "use -numa node,memdev instead\n", item->origin);
    }
}

/* The one node. */
static bool numa_node(CommandLine *cl, Opts *opts, GError **errp)
{
    const char *memdev = opts_get(opts, "memdev");
    Opts *backend = NULL;
    uint64_t id = 0, mem = 0;

    if (!check_node_keys(opts, errp) || !opts_get_u64(opts, "nodeid", &id, errp) ||
        !check_numa_cpus(cl, opts, errp)) {
        return false;
    }
    if (opts_get(opts, "mem") && !parse_size(opts_get(opts, "mem"), 1 << 20, &mem)) {
        error_setg(errp, "Parameter 'mem' expects a size");
        return false;
    }
    if (cl->config.numa && id == 0 && opts_get(opts, "nodeid")) {
        error_setg(errp, "Duplicate NUMA nodeid: 0");
        return false;
    }
    if (cl->config.numa || id != 0) {
        error_setg(errp, "not supported: guest RAM is one block, so there is one node, 0");
        return false;
    }
    if (memdev && !(backend = find_backend(cl, memdev))) {
        error_setg(errp, "memdev=%s is ambiguous", memdev);
        return false;
    }
    if (memdev) {
        opts_get_size(backend, "size", &mem, NULL); /* checked when it was read */
        g_free(cl->config.ram_id);
        cl->config.ram_id = g_strdup(memdev);
    }
    cl->config.numa = true;
    cl->numa_bytes = mem;
    return true;
}

static bool numa_other(Opts *opts, GError **errp)
{
    static const char *const keys[] = { "type", "node-id", "socket-id", "die-id", "cluster-id",
                                        "core-id", "thread-id", NULL };
    uint64_t node = 0;

    if (strcmp(opts_get(opts, "type"), "cpu") != 0) {
        error_setg(errp, "not supported: there is one node");
        return false;
    }
    if (!opts_only_keys(opts, keys, errp) || !opts_get_u64(opts, "node-id", &node, errp)) {
        return false;
    }
    if (node != 0) {
        error_setg(errp, "Invalid node-id=%" PRIu64 ": there is one node, 0", node);
        return false;
    }
    return true;
}

bool cmdline_add_numa(CommandLine *cl, Opts *opts, GError **errp)
{
    if (strcmp(cl->config.machine_name, "none") == 0) {
        error_setg(errp, "NUMA is not supported by this machine-type");
        return false;
    }
    if (opts_get(opts, "memdev") && opts_get(cl->machine, "memory-backend")) {
        error_setg(errp, "'-machine memory-backend' and '-numa memdev' properties are mutually "
                   "exclusive");
        return false;
    }
    return strcmp(opts_get(opts, "type"), "node") == 0 ? numa_node(cl, opts, errp)
                                                       : numa_other(opts, errp);
}

bool cmdline_check_numa(const CommandLine *cl, GError **errp)
{
    if (cl->config.numa && cl->numa_bytes != cl->config.ram_bytes) {
        error_setg(errp, "total memory for NUMA nodes (0x%" PRIx64 ") should equal RAM size (0x%"
                   PRIx64 ")", cl->numa_bytes, cl->config.ram_bytes);
        return false;
    }
    return true;
}

static bool complete_numa(CommandLine *cl, GError **errp)
{
    for (guint i = 0; i < cl->numa->len; i++) {
        CmdItem *item = cl->numa->pdata[i];

        if (!cmdline_add_numa(cl, item->opts, errp)) {
            error_prepend(errp, "%s: ", item->origin);
            return false;
        }
        warn_mem(cl, item);
    }
    return cl->preconfig || cmdline_check_numa(cl, errp);   /* there the nodes may come later */
}

/* ---- when all is read ---- */

bool cmdline_complete_memory(CommandLine *cl, uint64_t default_bytes, GError **errp)
{
    MachineConfig *c = &cl->config;
    const char *id = opts_get(cl->machine, "memory-backend");
    Opts *backend = id ? find_backend(cl, id) : NULL;

    c->ram_bytes = cl->mem_bytes ?: default_bytes;
    if (backend && !cl->mem_bytes) { /* without -m the object says how much it is */
        opts_get_size(backend, "size", &c->ram_bytes, NULL);
    }
    if (id) {
        g_free(c->ram_id);
        c->ram_id = g_strdup(id);
    }
    if (id && c->mem_path) {
        error_setg(errp, "'-mem-path' can't be used together with '-machine memory-backend'");
        return false;
    }
    return complete_numa(cl, errp);
}
