/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a user can do about a refused stream: a sentence behind the cause. */
#ifndef MIGRATION_DESTINATION_HINTS_H
#define MIGRATION_DESTINATION_HINTS_H

#include <glib.h>
#include <stdint.h>

/**
 * Puts what can be done behind a cause, and behind that what was being read,
 * the dialect and the place: "CAUSE. ADVICE (section 'cpu' (id 5, version 5),
 * stream of QEMU 7.2, offset 0x1f3)". section: the latest one, NULL if none was read
 * yet; dialect: -1 if not known, then ram_id (0: not known either) tells.
 */
void incoming_explain(GError **errp, const char *doing, const char *section, int dialect,
                      uint32_t ram_id, uint64_t offset);
/**
 * For the error with which loading failed, in the section idstr (NULL: in
 * none). Static text, NULL if there is no better advice than the message.
 */
const char *incoming_hint(const GError *err, const char *idstr);

#endif
