/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "Did you mean": the name that was probably meant by one that does not exist. */
#ifndef UTIL_NEAR_NAME_H
#define UTIL_NEAR_NAME_H

#include <stddef.h>

/**
 * The one of names (NULL-terminated) that differs least from typed: by letters that are missing,
 * too many, wrong, or two swapped; '-' and '_' count as the same. NULL if none is near: at most
 * one such difference for each three letters. Pure; any thread.
 */
const char *near_name(const char *const *names, const char *typed);

/**
 * ": did you mean 'NAME'?", for the end of a message, or "" if none is near. name: where the first of
 * count rows of a table has its name, stride bytes from one to the next; a NULL is passed over. typed may
 * also be the beginning of exactly one name, up to a '-'. Caller frees. Pure; any thread.
 */
char *near_hint(const char *const *name, size_t stride, size_t count, const char *typed);

#endif
