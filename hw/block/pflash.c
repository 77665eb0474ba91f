/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CFI flash (machine-virt 2.9): its content is a read-only RAM block,
 * so it is always in read-array mode and programming commands are ignored.
 * A stream that caught it in the middle of a command is refused by name.
 */
#include <glib.h>
#include "hw/block/pflash.h"
#include "util/error.h"

#define CMD_READ_ARRAY 0xff
#define STATUS_READY 0x80

PFlash *pflash_new(void)
{
    PFlash *flash = g_new0(PFlash, 1);

    flash->status = STATUS_READY;
    return flash;
}

void pflash_free(PFlash *flash)
{
    g_free(flash);
}

static bool pflash_post_load(void *opaque, int version_id, GError **errp)
{
    PFlash *flash = opaque;

    if (flash->wcycle != 0 || (flash->cmd != 0 && flash->cmd != CMD_READ_ARRAY)) {
        error_setg(errp, "pflash_cfi01: a flash command is in progress (cycle %u, command 0x%02x)",
                   flash->wcycle, flash->cmd);
        return false;
    }
    return true;
}

static const VMStateField pflash_fields[] = {
    VMSTATE_UINT8(wcycle, PFlash),
    VMSTATE_UINT8(cmd, PFlash),
    VMSTATE_UINT8(status, PFlash),
    VMSTATE_UINT64(counter, PFlash),
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription pflash_vmstate = {
    .name = "pflash_cfi01",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = pflash_fields,
    .post_load = pflash_post_load,
};
