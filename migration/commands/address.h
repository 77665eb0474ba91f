/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of migrations between their QAPI forms and migration/channel's. Main thread. */
#ifndef MIGRATION_COMMANDS_ADDRESS_H
#define MIGRATION_COMMANDS_ADDRESS_H

#include "migration/channel.h"
#include "qapi/qapi-types.h"

/** From exactly one of uri and channels; NULL with QEMU's texts. Caller frees. */
ChannelAddress *migration_address_from_qapi(const char *uri, const MigrationChannelList *channels,
                                            GError **errp);
/** What a listener is bound to, as a list of one; NULL for what is no socket. Caller frees. */
SocketAddressList *migration_address_to_qapi(const char *uri);

#endif
