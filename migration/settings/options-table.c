/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of capabilities, of the rules between them, and of parameters:
 * the one place to add or change an option. Read by options.c and
 * options-doc.c; constant.
 */
#include <stddef.h>
#include "config-host.h"
#include "migration/settings/options-table.h"
#include "softmmu/ramblock.h"

/* ---- capabilities ---- */

#define CAP(name) MIGRATION_CAPABILITY_##name

const MigrationCapabilityInfo migration_capability_table[MIGRATION_CAPABILITY__MAX] = {
    [CAP(XBZRLE)] = { .side = "source" },
    [CAP(RDMA_PIN_ALL)] = { .side = "both", .missing = "there is no RDMA transport yet" },
    [CAP(AUTO_CONVERGE)] = { .side = "source" },
    [CAP(ZERO_BLOCKS)] = { .side = "source",
                           .missing = "it is about disks in the stream, which QEMU removed in 9.1 "
                                      "and Ferry never had" },
    [CAP(COMPRESS)] = { .side = "both", .missing = "QEMU removed it in 9.1 and Ferry never had it" },
    [CAP(EVENTS)] = { .side = "each" },
    [CAP(POSTCOPY_RAM)] = { .side = "both" },
    [CAP(X_COLO)] = { .side = "both", .missing = "COLO is not implemented" },
    [CAP(RELEASE_RAM)] = { .side = "source" },
    [CAP(BLOCK)] = { .side = "both", .missing = "QEMU removed it in 9.1 and Ferry never had it" },
    [CAP(RETURN_PATH)] = { .side = "source" },
    [CAP(PAUSE_BEFORE_SWITCHOVER)] = { .side = "source" },
    [CAP(MULTIFD)] = { .side = "both" },
    [CAP(DIRTY_BITMAPS)] = { .side = "both", .missing = "disks have no dirty bitmaps" },
    [CAP(POSTCOPY_BLOCKTIME)] = { .side = "destination" },
    [CAP(LATE_BLOCK_ACTIVATE)] = { .side = "destination",
                                   .missing = "disks are not locked, so there is nothing to "
                                              "activate late" },
    [CAP(X_IGNORE_SHARED)] = { .side = "both" },
    [CAP(VALIDATE_UUID)] = { .side = "source" },
    [CAP(BACKGROUND_SNAPSHOT)] = { .side = "source",
                                   .missing = "background snapshots are not implemented yet" },
    [CAP(ZERO_COPY_SEND)] = { .side = "source" },
    [CAP(POSTCOPY_PREEMPT)] = { .side = "both" },
    [CAP(SWITCHOVER_ACK)] = { .side = "both" },
    [CAP(DIRTY_LIMIT)] = { .side = "source", .missing = "it needs a KVM dirty ring" },
    [CAP(MAPPED_RAM)] = { .side = "both" },
    [CAP(FIXED_RAM)] = { .side = "both" },
    [CAP(X_MAPPED_RAM_LAZY)] = { .side = "destination" },
    [CAP(X_RAM_CHECKSUM)] = { .side = "each" },
    [CAP(X_INCREMENTAL)] = { .side = "each" },
};

static const MigrationCapabilityRule base_rules[] = {
    { CAP(X_INCREMENTAL), CAP(MAPPED_RAM), true, "Capability 'x-incremental' requires capability 'mapped-ram'",
      "only there a file says where each page is" },
    { CAP(POSTCOPY_RAM), CAP(X_IGNORE_SHARED), false,
      "Postcopy is not compatible with ignore-shared",
      "shared memory is there at once, postcopy fetches on demand" },
    { CAP(POSTCOPY_PREEMPT), CAP(POSTCOPY_RAM), true, "Postcopy preempt requires postcopy-ram",
      "the second channel carries postcopy pages only" },
    { CAP(POSTCOPY_PREEMPT), CAP(COMPRESS), false, "Postcopy preempt not compatible with compress",
      "pages in the queue of a compressing thread cannot be overtaken" },
    { CAP(POSTCOPY_RAM), CAP(MULTIFD), false, "Postcopy is not yet compatible with multifd",
      "channels have no way to place pages atomically" },
    { CAP(MULTIFD), CAP(COMPRESS), false, "Multifd is not compatible with compress",
      "both want to own the page data" },
    { CAP(MULTIFD), CAP(XBZRLE), false, "Multifd is not compatible with xbzrle",
      "channels would reorder a page and the difference to it" },
    { CAP(ZERO_COPY_SEND), CAP(MULTIFD), true,
      "Zero copy only available for non-compressed non-TLS multifd migration",
      "only channels send page data alone" },
    { CAP(ZERO_COPY_SEND), CAP(XBZRLE), false,
      "Zero copy only available for non-compressed non-TLS multifd migration",
      "differences are computed, not guest memory" },
    { CAP(SWITCHOVER_ACK), CAP(RETURN_PATH), true,
      "Capability 'switchover-ack' requires capability 'return-path'",
      "the acknowledgement comes over the return path" },
    { CAP(DIRTY_LIMIT), CAP(AUTO_CONVERGE), false,
      "dirty-limit conflicts with auto-converge either of then available currently",
      "both throttle the same virtual CPUs" },
    { CAP(MAPPED_RAM), CAP(XBZRLE), false, "Mapped-ram migration is incompatible with xbzrle",
      "a page has one place in the file, a difference would need the older page too" },
    { CAP(MAPPED_RAM), CAP(POSTCOPY_RAM), false,
      "Mapped-ram migration is incompatible with postcopy", "a file cannot be asked for pages" },
    { CAP(FIXED_RAM), CAP(XBZRLE), false, "Fixed-ram migration is incompatible with xbzrle",
      "as for mapped-ram" },
    { CAP(FIXED_RAM), CAP(POSTCOPY_RAM), false,
      "Fixed-ram migration is incompatible with postcopy", "as for mapped-ram" },
    { CAP(FIXED_RAM), CAP(MULTIFD), false, "Fixed-ram migration is incompatible with multifd",
      "its layout has no room for several writers' marks" },
    { CAP(FIXED_RAM), CAP(MAPPED_RAM), false,
      "Fixed-ram migration is incompatible with mapped-ram",
      "they are two layouts of the same file" },
    { CAP(MAPPED_RAM), CAP(X_IGNORE_SHARED), false,
      "Mapped-ram migration is incompatible with x-ignore-shared",
      "QEMU writes a field for both that its own loader does not read" },
    { CAP(FIXED_RAM), CAP(X_IGNORE_SHARED), false,
      "Fixed-ram migration is incompatible with x-ignore-shared", "as for mapped-ram" },
};

/* A background snapshot sends memory as it was at the start: everything that changes how is out. */
static const MigrationCapability not_with_background_snapshot[] = {
    CAP(POSTCOPY_RAM), CAP(DIRTY_BITMAPS), CAP(POSTCOPY_BLOCKTIME), CAP(LATE_BLOCK_ACTIVATE),
    CAP(RETURN_PATH), CAP(MULTIFD), CAP(PAUSE_BEFORE_SWITCHOVER), CAP(AUTO_CONVERGE),
    CAP(RELEASE_RAM), CAP(RDMA_PIN_ALL), CAP(COMPRESS), CAP(XBZRLE), CAP(X_COLO),
    CAP(VALIDATE_UUID), CAP(ZERO_COPY_SEND),
};

size_t migration_capability_rule(size_t i, MigrationCapabilityRule *out)
{
    size_t n = G_N_ELEMENTS(base_rules), total = n + G_N_ELEMENTS(not_with_background_snapshot);

    if (i < n) {
        *out = base_rules[i];
    } else if (i < total) {
        *out = (MigrationCapabilityRule){
            CAP(BACKGROUND_SNAPSHOT), not_with_background_snapshot[i - n], false,
            "Background-snapshot is not compatible with %s",
            "memory is sent as it was at the start, once, while the guest runs",
        };
    }
    return total;
}

/* ---- parameters ---- */

#define MAX64 UINT64_MAX
#define NO_COMPRESS "QEMU removed it in 9.1 and Ferry never had it"
#ifdef CONFIG_ZSTD
#define NO_ZSTD NULL
#else
#define NO_ZSTD "Ferry was built without libzstd"
#endif
#define NO_TLS "TLS is not implemented yet"
#define P(member, text_name, kind) \
    .name = text_name, .type = kind, .offset = offsetof(MigrationParameters, member)
#define HAS(member) .has_offset = offsetof(MigrationParameters, has_##member)

/* In the order of QEMU's "info migrate_parameters". */
const MigrationParameterInfo migration_parameter_table[] = {
    { P(announce_initial, "announce-initial", PARAM_U64), HAS(announce_initial), .def = 50,
      .max = 100000, .unit = " ms", .expects = "a value between 0 and 100000", .live = true },
    { P(announce_max, "announce-max", PARAM_U64), HAS(announce_max), .def = 550, .max = 100000,
      .unit = " ms", .expects = "a value between 0 and 100000", .live = true },
    { P(announce_rounds, "announce-rounds", PARAM_U64), HAS(announce_rounds), .def = 5,
      .max = 1000, .expects = "a value between 0 and 1000", .live = true },
    { P(announce_step, "announce-step", PARAM_U64), HAS(announce_step), .def = 100, .min = 1,
      .max = 10000, .unit = " ms", .expects = "a value between 0 and 10000", .live = true },
    { P(compress_level, "compress-level", PARAM_U8), HAS(compress_level), .def = 1, .max = 9,
      .expects = "a value between 0 and 9", .missing = NO_COMPRESS },
    { P(compress_threads, "compress-threads", PARAM_U8), HAS(compress_threads), .def = 8, .min = 1,
      .max = 255, .expects = "a value between 1 and 255", .missing = NO_COMPRESS },
    { P(compress_wait_thread, "compress-wait-thread", PARAM_BOOL), HAS(compress_wait_thread),
      .def = 1, .max = 1, .missing = NO_COMPRESS },
    { P(decompress_threads, "decompress-threads", PARAM_U8), HAS(decompress_threads), .def = 2,
      .min = 1, .max = 255, .expects = "a value between 1 and 255", .missing = NO_COMPRESS },
    { P(throttle_trigger_threshold, "throttle-trigger-threshold", PARAM_U8),
      HAS(throttle_trigger_threshold), .def = 50, .min = 1, .max = 100, .doc_unit = "%",
      .expects = "an integer in the range of 1 to 100", .live = true },
    { P(cpu_throttle_initial, "cpu-throttle-initial", PARAM_U8), HAS(cpu_throttle_initial),
      .def = 20, .min = 1, .max = 99, .doc_unit = "%",
      .expects = "an integer in the range of 1 to 99", .live = true },
    { P(cpu_throttle_increment, "cpu-throttle-increment", PARAM_U8), HAS(cpu_throttle_increment),
      .def = 10, .min = 1, .max = 99, .doc_unit = "%",
      .expects = "an integer in the range of 1 to 99", .live = true },
    { P(cpu_throttle_tailslow, "cpu-throttle-tailslow", PARAM_BOOL), HAS(cpu_throttle_tailslow),
      .max = 1, .live = true },
    { P(max_cpu_throttle, "max-cpu-throttle", PARAM_U8), HAS(max_cpu_throttle), .def = 99,
      .min = 1, .max = 99, .doc_unit = "%", .doc_range = "cpu-throttle-initial..99",
      .expects = "an integer in the range of cpu_throttle_initial to 99", .live = true },
    { P(tls_creds, "tls-creds", PARAM_STR), .missing = NO_TLS },
    { P(tls_hostname, "tls-hostname", PARAM_STR), .missing = NO_TLS },
    { P(max_bandwidth, "max-bandwidth", PARAM_SIZE), HAS(max_bandwidth), .def = 128 << 20,
      .max = MAX64, .unit = " bytes/second", .hmp_unit = 1 << 20, .live = true },
    { P(avail_switchover_bandwidth, "avail-switchover-bandwidth", PARAM_SIZE),
      HAS(avail_switchover_bandwidth), .max = MAX64, .unit = " bytes/second",
      .hmp_unit = 1 << 20, .live = true },
    { P(downtime_limit, "downtime-limit", PARAM_U64), HAS(downtime_limit), .def = 300,
      .max = 2000 * 1000, .unit = " ms",
      .expects = "an integer in the range of 0 to (2000 * 1000) ms", .live = true },
    { P(x_checkpoint_delay, "x-checkpoint-delay", PARAM_U32), HAS(x_checkpoint_delay),
      .def = 20000, .max = UINT32_MAX, .unit = " ms", .missing = "COLO is not implemented" },
    { P(block_incremental, "block-incremental", PARAM_BOOL), HAS(block_incremental), .max = 1,
      .missing = NO_COMPRESS },
    { P(multifd_channels, "multifd-channels", PARAM_U8), HAS(multifd_channels), .def = 2, .min = 1,
      .max = 255, .expects = "a value between 1 and 255" },
    { P(multifd_compression, "multifd-compression", PARAM_ENUM), HAS(multifd_compression),
      .def = MULTI_FD_COMPRESSION_NONE, .max = MULTI_FD_COMPRESSION__MAX - 1,
      .str = (const char *(*)(int))MultiFDCompression_str, .parse = MultiFDCompression_parse,
      .missing_value = NO_ZSTD },
    { P(multifd_zlib_level, "multifd-zlib-level", PARAM_U8), HAS(multifd_zlib_level), .def = 1,
      .max = 9, .expects = "a value between 0 and 9" },
    { P(multifd_zstd_level, "multifd-zstd-level", PARAM_U8), HAS(multifd_zstd_level), .def = 1,
      .max = 20, .expects = "a value between 0 and 20" },
    { P(zero_page_detection, "zero-page-detection", PARAM_ENUM), HAS(zero_page_detection),
      .def = ZERO_PAGE_DETECTION_MULTIFD, .max = ZERO_PAGE_DETECTION__MAX - 1,
      .str = (const char *(*)(int))ZeroPageDetection_str, .parse = ZeroPageDetection_parse },
    { P(xbzrle_cache_size, "xbzrle-cache-size", PARAM_SIZE), HAS(xbzrle_cache_size),
      .def = 64 << 20, .min = TARGET_PAGE_SIZE, .max = 1ULL << 63, .unit = " bytes",
      .expects = "a size no less than the target page size and no more than 2^63",
      .doc_range = "from 4096", .live = true },
    { P(max_postcopy_bandwidth, "max-postcopy-bandwidth", PARAM_SIZE),
      HAS(max_postcopy_bandwidth), .max = MAX64, .live = true },
    { P(x_postcopy_precopy_count, "x-postcopy-precopy-count", PARAM_U32),
      HAS(x_postcopy_precopy_count), .def = UINT32_MAX, .max = UINT32_MAX, .live = true },
    { P(x_postcopy_prefault_forward, "x-postcopy-prefault-forward", PARAM_U32),
      HAS(x_postcopy_prefault_forward), .max = 65536, .unit = " pages",
      .expects = "a value between 0 and 65536",
      .live = true },
    { P(x_postcopy_prefault_backward, "x-postcopy-prefault-backward", PARAM_U32),
      HAS(x_postcopy_prefault_backward), .max = 65536, .unit = " pages",
      .expects = "a value between 0 and 65536",
      .live = true },
    { P(x_postcopy_background, "x-postcopy-background", PARAM_ENUM), HAS(x_postcopy_background),
      .def = X_POSTCOPY_BACKGROUND_FOLLOW_FAULT, .max = X_POSTCOPY_BACKGROUND__MAX - 1,
      .str = (const char *(*)(int))XPostcopyBackground_str, .parse = XPostcopyBackground_parse, .live = true },
    { P(x_postcopy_engine, "x-postcopy-engine", PARAM_ENUM), HAS(x_postcopy_engine),
      .def = X_POSTCOPY_ENGINE_SOFTWARE, .max = X_POSTCOPY_ENGINE__MAX - 1,
      .str = (const char *(*)(int))XPostcopyEngine_str, .parse = XPostcopyEngine_parse },
    { P(x_postcopy_silence_limit, "x-postcopy-silence-limit", PARAM_U32),
      HAS(x_postcopy_silence_limit), .def = 10000, .max = 3600000, .unit = " ms",
      .expects = "a value between 0 and 3600000", .live = true },
    { P(x_simd, "x-simd", PARAM_ENUM), HAS(x_simd), .def = X_SIMD_AUTO, .max = X_SIMD__MAX - 1,
      .str = (const char *(*)(int))XSimd_str, .parse = XSimd_parse },
    { P(tls_authz, "tls-authz", PARAM_STR), .missing = NO_TLS },
    { P(x_vcpu_dirty_limit_period, "x-vcpu-dirty-limit-period", PARAM_U64),
      HAS(x_vcpu_dirty_limit_period), .def = 1000, .min = 1, .max = 1000, .unit = " ms",
      .expects = "a value between 1 and 1000", .missing = "it needs a KVM dirty ring" },
    { P(vcpu_dirty_limit, "vcpu-dirty-limit", PARAM_U64), HAS(vcpu_dirty_limit), .def = 1,
      .min = 1, .max = MAX64, .unit = " MB/s", .expects = "a value greater than 1 MB/s",
      .missing = "it needs a KVM dirty ring", .live = true },
    { P(mode, "mode", PARAM_ENUM), HAS(mode), .def = MIG_MODE_NORMAL, .max = MIG_MODE__MAX - 1,
      .str = (const char *(*)(int))MigMode_str, .parse = MigMode_parse,
      .missing_value = "taking memory over from a running process is not implemented" },
    { P(direct_io, "direct-io", PARAM_BOOL), HAS(direct_io), .max = 1 },
    { P(x_verdict_timeout, "x-verdict-timeout", PARAM_U64), HAS(x_verdict_timeout), .def = 30000,
      .max = 3600000, .unit = " ms", .expects = "a value between 0 and 3600000", .live = true },
    { P(x_file_sync, "x-file-sync", PARAM_BOOL), HAS(x_file_sync), .def = 1, .max = 1 },
    { P(x_file_in_place, "x-file-in-place", PARAM_BOOL), HAS(x_file_in_place), .max = 1 },
};
const size_t migration_parameter_count = G_N_ELEMENTS(migration_parameter_table);
