/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Views to QAPI, QAPI to text. Called by the monitor commands only. */
#include <inttypes.h>
#include <string.h>
#include "migration/commands/file-progress.h"
#include "migration/commands/stats.h"
#include "migration/source/outlook.h"

static MigrationStats *ram_stats(const OutgoingView *v)
{
    MigrationStats *s = g_new0(MigrationStats, 1);
    const RamStats *r = &v->ram;

    s->transferred = v->transferred_bytes;
    s->remaining = v->status == MIGRATION_STATUS_COMPLETED
                       ? 0 : r->remaining_pages * TARGET_PAGE_SIZE;
    s->total = v->ram_total_bytes;
    s->duplicate = r->duplicate_pages;
    s->normal = r->normal_pages;
    s->normal_bytes = r->normal_pages * TARGET_PAGE_SIZE;
    s->dirty_pages_rate = r->dirty_pages_rate;
    s->mbps = v->mbps;
    s->dirty_sync_count = r->dirty_sync_count;
    s->multifd_bytes = r->multifd_bytes;
    s->dirty_sync_missed_zero_copy = r->missed_zero_copy;
    s->page_size = TARGET_PAGE_SIZE;
    s->pages_per_second = r->pages_per_second;
    s->precopy_bytes = v->precopy_bytes;
    s->downtime_bytes = v->downtime_bytes;
    s->postcopy_bytes = v->postcopy_bytes;
    s->postcopy_requests = r->postcopy_requests;
    return s;
}

static XPostcopyPages *postcopy_pages(const OutgoingView *v)
{
    XPostcopyPages *p = g_new0(XPostcopyPages, 1);

    p->requests = v->ram.postcopy_requests;
    p->duplicates = v->ram.postcopy_duplicates;
    p->requested = v->ram.postcopy_requested_pages;
    p->prefault = v->ram.postcopy_prefault_pages;
    p->background = v->ram.postcopy_background_pages;
    p->recoveries = v->recoveries;
    return p;
}

static XBZRLECacheStats *cache_stats(const OutgoingView *v, uint64_t cache_size)
{
    XBZRLECacheStats *s = g_new0(XBZRLECacheStats, 1);
    const RamStats *r = &v->ram;

    s->cache_size = cache_size;
    s->bytes = r->xbzrle_bytes;
    s->pages = r->xbzrle_pages;
    s->cache_miss = r->xbzrle_cache_miss;
    s->cache_miss_rate = r->xbzrle_cache_miss_rate;
    s->encoding_rate = r->xbzrle_encoding_rate;
    s->overflow = r->xbzrle_overflow;
    return s;
}

/* Over, and the guest is still here. */
static bool is_undone(MigrationStatus status)
{
    return status == MIGRATION_STATUS_CANCELLED || status == MIGRATION_STATUS_FAILED;
}

static void fill_times(MigrationInfo *info, const OutgoingView *v)
{
    info->has_total_time = info->has_setup_time = true;
    info->total_time = v->total_ms;
    info->setup_time = v->setup_ms;
    if (v->status == MIGRATION_STATUS_COMPLETED || migration_status_is_postcopy(v->status)) {
        info->has_downtime = true;
        info->downtime = v->downtime_ms;
    } else if (!is_undone(v->status)) {
        info->has_expected_downtime = true;
        info->expected_downtime = v->expected_downtime_ms;
    }
}

MigrationInfo *migration_info_new(const OutgoingView *v)
{
    MigrationInfo *info = g_new0(MigrationInfo, 1);

    info->has_status = true;
    info->status = v->status;
    if (v->status == MIGRATION_STATUS_FAILED || v->status == MIGRATION_STATUS_POSTCOPY_PAUSED) {
        info->error_desc = g_strdup(v->error);
    }
    info->x_outlook = outgoing_outlook_info(v);
    info->x_file = file_progress_saved(v);
    if (migration_status_has_ram(v->status) || (is_undone(v->status) && v->has_ram)) {
        fill_times(info, v);
        info->ram = v->has_ram ? ram_stats(v) : NULL;
        if (v->caps & MIGRATION_CAP(XBZRLE)) {
            info->xbzrle_cache = cache_stats(v, v->params.xbzrle_cache_size);
        }
        info->x_postcopy = v->switched ? postcopy_pages(v) : NULL;
        info->has_cpu_throttle_percentage = v->throttle_percent > 0;
        info->cpu_throttle_percentage = v->throttle_percent;
    }
    return info;
}

/* ---- text ---- */

static void line(GString *out, const char *name, int64_t value, const char *unit)
{
    g_string_append_printf(out, "%s: %" PRId64 "%s\n", name, value, unit);
}

/* QEMU's line, and what its 0 stands for. */
static void time_line(GString *out, const char *name, int64_t ms, int64_t us)
{
    g_string_append_printf(out, "%s: %" PRId64 " ms", name, ms);
    if (ms == 0 && us > 0) {
        g_string_append_printf(out, " (%" PRId64 " us)", us);
    }
    g_string_append_c(out, '\n');
}

char *migration_ms_text(int64_t us)
{
    return us < 10000 ? g_strdup_printf("%.1f ms", us / 1000.0)
                      : g_strdup_printf("%" PRId64 " ms", us / 1000);
}

static void line_nonzero(GString *out, const char *name, uint64_t value, const char *unit)
{
    if (value) {
        line(out, name, value, unit);
    }
}

static void ram_text(GString *out, const MigrationStats *s, bool skipped_line)
{
    line(out, "transferred ram", s->transferred >> 10, " kbytes");
    g_string_append_printf(out, "throughput: %0.2f mbps\n", s->mbps);
    line(out, "remaining ram", s->remaining >> 10, " kbytes");
    line(out, "total ram", s->total >> 10, " kbytes");
    line(out, "duplicate", s->duplicate, " pages");
    if (skipped_line) {
        line(out, "skipped", s->skipped, " pages");
    }
    line(out, "normal", s->normal, " pages");
    line(out, "normal bytes", s->normal_bytes >> 10, " kbytes");
    line(out, "dirty sync count", s->dirty_sync_count, "");
    line(out, "page size", s->page_size >> 10, " kbytes");
    line(out, "multifd bytes", s->multifd_bytes >> 10, " kbytes");
    line(out, "pages-per-second", s->pages_per_second, "");
    line_nonzero(out, "dirty pages rate", s->dirty_pages_rate, " pages");
    line_nonzero(out, "postcopy request count", s->postcopy_requests, "");
    if (s->precopy_bytes) {
        line(out, "precopy ram", s->precopy_bytes >> 10, " kbytes");
    }
    if (s->downtime_bytes) {
        line(out, "downtime ram", s->downtime_bytes >> 10, " kbytes");
    }
    if (s->postcopy_bytes) {
        line(out, "postcopy ram", s->postcopy_bytes >> 10, " kbytes");
    }
}

static void cache_text(GString *out, const XBZRLECacheStats *s)
{
    line(out, "cache size", s->cache_size, " bytes");
    line(out, "xbzrle transferred", s->bytes >> 10, " kbytes");
    line(out, "xbzrle pages", s->pages, " pages");
    line(out, "xbzrle cache miss", s->cache_miss, " pages");
    g_string_append_printf(out, "xbzrle cache miss rate: %0.2f\n", s->cache_miss_rate);
    g_string_append_printf(out, "xbzrle encoding rate: %0.2f\n", s->encoding_rate);
    line(out, "xbzrle overflow", s->overflow, "");
}

static void postcopy_text(GString *out, const XPostcopyPages *p)
{
    g_string_append_printf(out, "postcopy pages: %" PRIu64 " asked for, %" PRIu64 " with them, %" PRIu64
                           " in turn (%" PRIu64 " requests, %" PRIu64 " of them late)\n", p->requested,
                           p->prefault, p->background, p->requests, p->duplicates);
    line_nonzero(out, "postcopy recoveries", p->recoveries, "");
}

static void address_text(GString *out, const SocketAddressList *list)
{
    g_string_append(out, "socket address: [\n");
    for (; list; list = list->next) {
        const SocketAddress *a = list->value;
        switch (a->type) {
        case SOCKET_ADDRESS_TYPE_INET:
            g_string_append_printf(out, "\ttcp:%s:%s\n", a->u.inet.host, a->u.inet.port);
            break;
        case SOCKET_ADDRESS_TYPE_UNIX:
            g_string_append_printf(out, "\tunix:%s\n", a->u.q_unix.path);
            break;
        default:
            g_string_append_printf(out, "\tfd:%s\n", a->u.fd.str);
        }
    }
    g_string_append(out, "]\n");
}

static void blocktime_text(GString *out, const MigrationInfo *info)
{
    line(out, "postcopy blocktime", info->postcopy_blocktime, "");
    g_string_append(out, "postcopy vcpu blocktime: ");
    for (const uint32List *l = info->postcopy_vcpu_blocktime; l; l = l->next) {
        g_string_append_printf(out, "%u%s", l->value, l->next ? "," : "");
    }
    g_string_append_c(out, '\n');
}

static void status_text(GString *out, const MigrationInfo *info)
{
    g_string_append_printf(out, "Migration status: %s", MigrationStatus_str(info->status));
    if (info->error_desc) {
        g_string_append_printf(out, " (%s)", info->error_desc);
    }
    g_string_append_c(out, '\n');
}

static void times_text(GString *out, const MigrationInfo *info, const OutgoingView *v)
{
    if (info->has_total_time) {
        line(out, "total time", info->total_time, " ms");
    }
    if (info->has_expected_downtime) {
        line(out, "expected downtime", info->expected_downtime, " ms");
    }
    if (info->has_downtime) {
        time_line(out, "downtime", info->downtime, v->downtime_us);
    }
    if (info->has_setup_time) {
        time_line(out, "setup", info->setup_time, v->setup_us);
    }
}

char *migration_info_text(const MigrationInfo *info, const OutgoingView *v, bool skipped_line)
{
    GString *out = g_string_new(NULL);
    g_autofree char *outlook = v ? migration_outlook_text(v) : NULL;

    if (info->has_status) {
        status_text(out, info);
    }
    g_string_append(out, outlook ? outlook : "");
    if (v && v->status == MIGRATION_STATUS_COMPLETED && v->accepted_unknown) {
        g_string_append(out, "accepted: not known here, return-path is off\n");
    }
    if (v) {
        times_text(out, info, v);
    }
    if (info->ram) {
        ram_text(out, info->ram, skipped_line);
    }
    if (info->xbzrle_cache) {
        cache_text(out, info->xbzrle_cache);
    }
    if (info->x_postcopy) {
        postcopy_text(out, info->x_postcopy);
    }
    if (info->has_cpu_throttle_percentage) {
        line(out, "cpu throttle percentage", info->cpu_throttle_percentage, "");
    }
    if (info->socket_address) {
        address_text(out, info->socket_address);
    }
    if (info->has_postcopy_blocktime) {
        blocktime_text(out, info);
    }
    return g_string_free(out, FALSE);
}

#define BAR 40

/* A line for each bucket, the fullest one with a bar of full length. */
static void histogram_text(GString *out, const XPostcopyBucketList *list)
{
    uint64_t most = 1;

    for (const XPostcopyBucketList *l = list; l; l = l->next) {
        most = MAX(most, l->value->count);
    }
    for (const XPostcopyBucketList *l = list; l; l = l->next) {
        int len = (l->value->count * BAR + most - 1) / most;
        g_string_append_printf(out, "  < %10" PRIu64 " us %10" PRIu64 "%s%.*s\n", l->value->below,
                               l->value->count, len ? " " : "", len,
                               "########################################");
    }
}

char *migration_waits_text(const XPostcopyWaits *w)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "late memory: %" PRIu64 " pages asked for, %" PRIu64 " came twice, %"
                           PRIu64 " kbytes missing\n", w->requests, w->duplicates,
                           w->missing >> 10);
    g_string_append_printf(out, "unasked: %" PRIu64 " pages came, %" PRIu64 " of them were used\n",
                           w->unasked, w->useful);
    for (const XPostcopyWaitList *l = w->waits; l; l = l->next) {
        const XPostcopyWait *v = l->value;
        g_string_append_printf(out, "waits of %s: %" PRIu64 ", mean %" PRIu64 " us, p50 %" PRIu64
                               ", p90 %" PRIu64 ", p99 %" PRIu64 ", max %" PRIu64 "\n", v->who,
                               v->count, v->mean, v->p50, v->p90, v->p99, v->max);
    }
    histogram_text(out, w->histogram);
    return g_string_free(out, FALSE);
}

char *migration_outlook_text(const OutgoingView *v)
{
    PolicyOutlook o;

    if (!outgoing_outlook(v, &o)) {
        return g_strdup("");
    }
    g_autofree char *outlook = policy_outlook(&o);
    return g_strdup_printf("decision: %s\nconvergence: %s\n", v->reason, outlook);
}

/* In a state where pages are not what takes the time. */
static char *state_text(const OutgoingView *v)
{
    if (v->status == MIGRATION_STATUS_PRE_SWITCHOVER) {
        return g_strdup("pre-switchover: the guest is paused and waits for \"migrate_continue "
                        "pre-switchover\" [^C cancels]");
    }
    if (v->status == MIGRATION_STATUS_POSTCOPY_ACTIVE) {
        return g_strdup_printf("postcopy: %.1f MiB left, %" PRIu64 " pages asked for; the guest runs "
                               "there [^C returns to the monitor]",
                               (double)v->ram.remaining_pages * TARGET_PAGE_SIZE / (1 << 20),
                               v->ram.postcopy_requests);
    }
    return g_strdup_printf("%s, %" PRId64 " s", v->status == MIGRATION_STATUS_DEVICE
                           ? "switching over" : MigrationStatus_str(v->status), v->total_ms / 1000);
}

/* How much of memory a file has. */
static char *saved_text(const OutgoingView *v)
{
    XFileProgress *p = file_progress_saved(v);
    char *text = p ? g_strdup_printf("%.1f %% saved, ", p->percent) : g_strdup("");

    qapi_free_XFileProgress(p);
    return text;
}

char *migration_progress_text(const OutgoingView *v, PolicyVerdict verdict)
{
    double rate = v->mbps * 1e6 / 8, mib = 1 << 20;
    double left = (double)v->ram.remaining_pages * TARGET_PAGE_SIZE / mib;
    double dirtied = v->ram.dirty_pages_rate * (double)TARGET_PAGE_SIZE / mib;

    if (v->status != MIGRATION_STATUS_ACTIVE || !v->has_ram) {
        return state_text(v);
    }
    g_autofree char *saved = saved_text(v);
    if (v->ram.dirty_sync_count <= 1 || v->ram.periods == 0) {
        return g_strdup_printf("%spass %" PRIu64 ": %.1f MiB left, %.1f MiB/s, pass ends in %.0f s "
                               "[^C cancels]", saved, v->ram.dirty_sync_count, left, rate / mib,
                               rate > 0 ? outgoing_pass_wire_bytes(v) / rate : 0.0);
    }
    return g_strdup_printf("%spass %" PRIu64 ": %.1f MiB left, %.1f MiB/s, dirtied %.1f%s "
                           "[^C cancels]", saved, v->ram.dirty_sync_count, left, rate / mib, dirtied,
                           verdict == POLICY_WILL_NOT_FINISH ? ": will not finish"
                           : verdict == POLICY_WILL_FINISH   ? ": will finish"
                           : verdict == POLICY_UNCERTAIN     ? ": uncertain"
                           : verdict == POLICY_NOT_YET       ? ": not yet" : "");
}
