/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: what -serial, -monitor, -qmp, -chardev and virtio
 * consoles speak to. Back ends: stdio, file, pipe, pty, socket (tcp, unix, inherited fd;
 * server or client), null, ringbuf, fd, mux (mon:stdio). Main thread, BQL.
 */
#ifndef CHARDEV_CHAR_H
#define CHARDEV_CHAR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "util/opts.h"

struct Machine;
typedef struct Chardevs Chardevs;
typedef struct Chardev Chardev;

/**
 * OPENED: somebody is there (sent from the main loop, never from within
 * chardev_attach; behind a mux when the front end first gets the focus).
 * MUX_IN, MUX_OUT: the focus of a mux comes and goes.
 * BREAK: the line was held low (chardev_send_break).
 */
typedef enum ChardevEvent {
    CHARDEV_OPENED, CHARDEV_CLOSED, CHARDEV_WRITABLE, CHARDEV_MUX_IN, CHARDEV_MUX_OUT,
    CHARDEV_BREAK,
} ChardevEvent;

/** The device or monitor in front. can_read returns how many bytes read() may be given now. */
typedef struct ChardevFrontend {
    size_t (*can_read)(void *opaque);
    void (*read)(void *opaque, const uint8_t *buf, size_t len);
    void (*event)(void *opaque, ChardevEvent event);
    /** chr stands in the place of the chardev it was attached to. NULL: chardev_change is refused. */
    void (*change)(void *opaque, Chardev *chr);
} ChardevFrontend;

Chardevs *chardevs_new(struct Machine *machine);
void chardevs_free(Chardevs *chardevs);
/** -chardev options (implied key "backend", key "id"). */
Chardev *chardev_new(Chardevs *chardevs, Opts *opts, GError **errp);
/**
 * As chardev_new while the machine runs: waits for no client, and for a server that is not on this
 * host not long; whether that one answered is known later. NULL with errp. Main thread, BQL.
 */
Chardev *chardev_hot_new(Chardevs *chardevs, Opts *opts, GError **errp);
/**
 * The same for QMP, with its messages: id may be any text, options as of -chardev without "id".
 */
Chardev *chardev_add(Chardevs *chardevs, const char *id, Opts *opts, GError **errp);
/**
 * Opens another back end under the same id, as chardev_hot_new, and hands the front end over to it;
 * the old one is closed, or kept if the new one cannot be opened: NULL with errp. Neither is a mux.
 * Main thread, BQL.
 */
Chardev *chardev_change(Chardevs *chardevs, const char *id, Opts *opts, GError **errp);
/** Legacy texts of -serial/-monitor/-qmp: "stdio", "mon:stdio", "unix:P,server=on,wait=off", "tcp:...", "file:P", "null", "pty", "fd:N", "chardev:ID". label is the id given to it. */
Chardev *chardev_from_text(Chardevs *chardevs, const char *label, const char *text, GError **errp);
Chardev *chardev_find(Chardevs *chardevs, const char *id);
/** Closes and forgets it; error "Chardev '%s' is busy" while a front end is attached. */
bool chardev_remove(Chardevs *chardevs, const char *id, GError **errp);
/** Name of kind i of back end, NULL past the end. Any thread. */
const char *chardev_backend_name(size_t i);
size_t chardevs_count(const Chardevs *chardevs);
Chardev *chardevs_get(const Chardevs *chardevs, size_t i);

/**
 * Tells the front end, if it can be told, of a break; a QMP monitor cannot. False with errp: no
 * such chardev. Main thread, BQL.
 */
bool chardev_send_break(Chardevs *chardevs, const char *id, GError **errp);
/** Connects a front end; a mux takes several, others one: error "Device '%s' is in use". fe and opaque live as long as chr or until detached. */
bool chardev_attach(Chardev *chr, const ChardevFrontend *fe, void *opaque, GError **errp);
void chardev_detach(Chardev *chr, void *opaque);
/**
 * Before chardev_attach: all of it happens on the thread that runs context from now on, which is
 * the only one that may call what is declared here then, but chardev_id, chardev_filename and
 * chardev_frontend_open. False: this back end (mux, pty, ringbuf...) stays on the main loop.
 */
bool chardev_set_context(Chardev *chr, GMainContext *context);
/** After can_read grew: offers input again. */
void chardev_accept_input(Chardev *chr);
/** Writes what the back end takes now without blocking; the rest is the caller's (event CHARDEV_WRITABLE later). Disconnected sockets take and drop everything. */
size_t chardev_write(Chardev *chr, const void *buf, size_t len);
/** Queues everything (monitors): unsent bytes are kept by the chardev and flushed by the main loop. */
void chardev_write_all(Chardev *chr, const void *buf, size_t len);
/** What a ringbuf holds, at most size bytes, taken out of it; *len gets how many. NULL with errp if it is no ringbuf. */
uint8_t *chardev_ringbuf_read(Chardev *chr, size_t size, size_t *len, GError **errp);
/** Writes into a ringbuf as if the guest had written it. */
bool chardev_ringbuf_write(Chardev *chr, const void *buf, size_t len, GError **errp);
/** Bytes of chardev_write_all that wait for the far end; if not 0, WRITABLE comes when all are gone. 0 for a mux. */
size_t chardev_pending(Chardev *chr);
/** First fd received with SCM_RIGHTS and not taken, -1 if none; caller owns. Fds nobody took are closed when new ones come. */
int chardev_take_fd(Chardev *chr);
const char *chardev_id(const Chardev *chr);
/** As query-chardev shows it: "unix:/path,server=on", "pty:/dev/pts/3", "file", ... caller frees. */
char *chardev_filename(const Chardev *chr);
bool chardev_frontend_open(const Chardev *chr);
/** The guest behind the attached front end listens, or does not (a virtio-serial port). BQL. */
void chardev_set_frontend_open(Chardev *chr, bool open);
bool chardev_is_connected(const Chardev *chr);
/** True for stdio on a terminal: progress is one line that is drawn again and again. */
bool chardev_is_tty(const Chardev *chr);
/**
 * Whether Ctrl-C, Ctrl-\ and Ctrl-Z of a terminal behind stdio are signals (if signal= allows it) or
 * bytes like any other. Nothing for other back ends.
 */
void chardev_set_signals(Chardev *chr, bool on);
/** The process was stopped and goes on (fg): the terminal behind stdio is as we had it again. Main thread. */
void chardevs_continued(Chardevs *chardevs);
/** Width of the terminal behind stdio or a pty; else, and if it does not say, 0. */
unsigned chardev_columns(const Chardev *chr);

#endif
