/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of migrations between their QAPI forms and migration/channel's. Main thread. */
#ifndef MIGRATION_COMMANDS_ADDRESS_H
#define MIGRATION_COMMANDS_ADDRESS_H

#include "migration/channel.h"
#include "qapi/qapi-types.h"

/** From exactly one of uri and channels; NULL with QEMU's texts. Caller frees. */
ChannelAddress *migration_address_from_qapi(const char *uri, const MigrationChannelList *channels,
                                            GError **errp);
/** Of ChannelAddress *, all sockets; NULL: none. Caller frees. */
SocketAddressList *migration_addresses_to_qapi(const GPtrArray *addresses);

#endif
