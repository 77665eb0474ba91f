/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "Did you mean": the name that was probably meant by one that does not exist. */
#ifndef UTIL_NEAR_NAME_H
#define UTIL_NEAR_NAME_H

/**
 * The one of names (NULL-terminated) that differs least from typed: by letters that are missing,
 * too many, wrong, or two swapped; '-' and '_' count as the same. NULL if none is near: at most
 * one such difference for each three letters. Pure; any thread.
 */
const char *near_name(const char *const *names, const char *typed);

#endif
