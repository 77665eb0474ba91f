/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that is restored from a file with places for its pages, and runs
 * before they are read (capability x-mapped-ram-lazy). Pages come when they are
 * touched, and in turn. docs/devel/postcopy.md says who waits for them, and how.
 */
#ifndef MIGRATION_DESTINATION_LAZY_H
#define MIGRATION_DESTINATION_LAZY_H

#include "migration/destination/object.h"

/**
 * What the file's list of blocks says is in it counts as missing from the end of the list on. Incoming
 * thread, as all of these; in is about to be loaded.
 */
Lazy *lazy_new(Incoming *in);
/** Ends the map: the guest has all of its memory, has never run, or its vCPUs are paused. */
void lazy_free(Lazy *z);
/**
 * Before the guest starts: reads what it needed first when it was last restored from this image, for a
 * few milliseconds. An error is lazy_await's to find.
 */
void lazy_give_head_start(Lazy *z);
/**
 * The guest may run: reads until nothing is missing. What cannot be read stops the guest (io-error)
 * until somebody continues it. False with errp: the process ends, and the vCPUs are paused.
 */
bool lazy_await(Lazy *z, GError **errp);

#endif
