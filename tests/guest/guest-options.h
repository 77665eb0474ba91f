/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NAME=VALUE options of the guest programs, with sizes like 16M. Freestanding; used by loadgen.c,
 * checker.c and bare.c.
 */
#ifndef TESTS_GUEST_OPTIONS_H
#define TESTS_GUEST_OPTIONS_H

#include <stdint.h>

/* A number with an optional K, M or G; stops at the first other character. */
static inline uint64_t guest_number(const char *text)
{
    uint64_t value = 0;

    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    switch (*text | 0x20) {
    case 'k':
        return value << 10;
    case 'm':
        return value << 20;
    case 'g':
        return value << 30;
    }
    return value;
}

/*
 * The value when @word is NAME=VALUE or --NAME=VALUE for this @name, otherwise 0. The word may end
 * with a blank or a comma instead of NUL.
 */
static inline const char *guest_option(const char *word, const char *name)
{
    if (word[0] == '-' && word[1] == '-') {
        word += 2;
    }
    while (*name && *word == *name) {
        word++;
        name++;
    }
    return *name == 0 && *word == '=' ? word + 1 : (const char *)0;
}

#endif
