/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory balloon, if the machine has one (-device virtio-balloon-device). BQL. */
#ifndef HW_BALLOON_H
#define HW_BALLOON_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct Board;

/** Memory the guest has left, bytes. Error (DeviceNotActive) "No balloon device has been activated". */
bool board_balloon_get(struct Board *board, uint64_t *actual_bytes, GError **errp);
/** Asks the guest to shrink or grow to target bytes; more than the RAM means all of it. */
bool board_balloon_set(struct Board *board, uint64_t target_bytes, GError **errp);

#endif
