/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports as users write them, the same wherever an address can be given. A
 * resolver would take 99999999 for a port by leaving bits away.
 */
#ifndef UTIL_PORT_H
#define UTIL_PORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/** Decimal digits up to 65535, whole text. Any thread. */
bool port_parse(const char *text, uint16_t *out);
/**
 * A number up to 65535, or what may be a service's name, which only a
 * resolver can tell. The error names address, as the user wrote it. Any
 * thread.
 */
bool port_check(const char *port, const char *address, GError **errp);

#endif
