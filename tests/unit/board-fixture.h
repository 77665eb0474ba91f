/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole virt machine inside a test: RAM, paused harts, board, devices.
 * Nobody runs its main loop and no guest code runs; tests drive the devices.
 */
#ifndef TESTS_BOARD_FIXTURE_H
#define TESTS_BOARD_FIXTURE_H

#include <json-c/json.h>
#include "hw/core/board.h"
#include "hw/virtio/virtio-mmio.h"
#include "softmmu/runstate.h"

typedef struct BoardFixture {
    Machine machine;
    MachineConfig config;
    Board *board;
    char *disk;         /* 1 MiB image of the blk device, removed at the end */
} BoardFixture;

typedef struct BoardOptions {
    StreamDialect dialect;
    unsigned harts;     /* 0: 1 */
    bool modern;        /* virtio-mmio.force-legacy=off */
    bool virtio;        /* blk, net (hub), rng, serial with one console */
    const char *append;
    bool aclint;
} BoardOptions;

BoardFixture *board_fixture_new(const BoardOptions *options);
void board_fixture_free(BoardFixture *f);
/** One device of the command line more; NULL or the error's text (caller frees). */
char *board_fixture_device(BoardFixture *f, const char *text);
/** All virtio devices think that the VM runs. */
void board_fixture_run(BoardFixture *f, bool running);
/** All sections; description (may be NULL) receives the array "devices". */
GByteArray *board_fixture_save(BoardFixture *f, json_object **description);
/** Loads what board_fixture_save gave; false with errp. */
bool board_fixture_load(BoardFixture *f, const GByteArray *bytes, GError **errp);
/** First virtio device of this name ("virtio-blk"), NULL if none. */
VirtIODevice *board_fixture_virtio(BoardFixture *f, const char *name);

#endif
