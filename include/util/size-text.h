/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A number of bytes as people read it. */
#ifndef UTIL_SIZE_TEXT_H
#define UTIL_SIZE_TEXT_H

/** "12.5 MiB", "78.1 KiB", "800 bytes"; negative ones as bytes. Caller frees. Pure; any thread. */
char *size_text(double bytes);

#endif
