/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's parallel channels (capability multifd, migration-stream 7):
 * connected right behind the stream's header, so that a destination which
 * tells connections apart by their first bytes, or by which came first, finds
 * the stream. On the migration thread; what goes over them is multifd/'s.
 */
#include <string.h>
#include "migration/source/multifd.h"
#include "migration/multifd/multifd-out.h"
#include "softmmu/config.h"
#include "util/error.h"

static bool wants_multifd(const Outgoing *o)
{
    return outgoing_has_cap(o, MIGRATION_CAP(MULTIFD)) && !outgoing_is_mapped(o);
}

unsigned outgoing_file_writers(const Outgoing *o)
{
    return outgoing_has_cap(o, MIGRATION_CAP(MULTIFD)) && outgoing_is_mapped(o)
               ? migration_settings_params(o->settings).multifd_channels : 0;
}

/* QEMU 7.2 has no place for pages of zeros in a packet: they would be lost. */
bool outgoing_channels_detect_zero(const Outgoing *o)
{
    return wants_multifd(o) && o->dialect != DIALECT_QEMU_7_2 &&
           migration_settings_params(o->settings).zero_page_detection == ZERO_PAGE_DETECTION_MULTIFD;
}

static MultifdSend *make_send(Outgoing *o)
{
    MigrationParameters p = migration_settings_params(o->settings);
    MachineConfig *config = o->machine->config;
    MultifdSendOptions opt = {
        .channels = p.multifd_channels,
        .codec = multifd_codec(p.multifd_compression),
        .level = p.multifd_compression == MULTI_FD_COMPRESSION_ZLIB ? p.multifd_zlib_level
                                                                    : p.multifd_zstd_level,
        .detect_zero = outgoing_channels_detect_zero(o),
        .zero_copy = outgoing_has_cap(o, MIGRATION_CAP(ZERO_COPY_SEND)),
        .faults = &o->machine->faults,
    };

    if (config && config->uuid_set) {
        memcpy(opt.uuid, config->uuid, sizeof(opt.uuid));
    }
    return multifd_send_new(o->machine->ram, &opt);
}

static bool connect_channel(Outgoing *o, unsigned i, GError **errp)
{
    g_autoptr(GError) err = NULL;
    Channel *c = outgoing_point(o, FAULT_SRC_MULTIFD_CONNECT, &err)
                     ? channel_connect(o->addr, o->cancel_fd, &err) : NULL;

    if (!c) {
        error_prepend(&err, "multifd channel %u: ", i);
        g_propagate_error(errp, g_steal_pointer(&err));
        return false;
    }
    if (o->addr->keep_alive != CHANNEL_OFF) {
        channel_set_liveness(c, &channel_liveness);
    }
    return channel_set_add(o->channels, CHANNEL_ROLE_MULTIFD, i, c, errp) &&
           (!outgoing_has_cap(o, MIGRATION_CAP(ZERO_COPY_SEND)) || channel_begin_uncopied(c, errp)) &&
           multifd_send_add(o->multifd, c, errp);
}

bool outgoing_setup_multifd(Outgoing *o, GError **errp)
{
    const MigrationProps *props = migration_settings_props(o->settings);
    unsigned n = migration_settings_params(o->settings).multifd_channels;

    if (!wants_multifd(o)) {
        return true;
    }
    if (!stream_flush(o->w, errp)) {
        return false;
    }
    o->multifd = make_send(o);
    for (unsigned i = 0; i < n; i++) {
        if (!connect_channel(o, i, errp)) {
            return false;
        }
    }
    ram_saver_set_out(o->saver, multifd_out_new(o->machine->ram, o->multifd,
                                                props->multifd_flush_each_section));
    return outgoing_check_cancelled(o, errp);
}

void outgoing_drop_multifd(Outgoing *o)
{
    if (o->multifd) {
        o->bytes_base += multifd_send_bytes(o->multifd);
        g_clear_pointer(&o->multifd, multifd_send_free);
    }
}
