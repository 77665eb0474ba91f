/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What back ends share: the Chardev object, its ops table, and non-blocking I/O on a pair of fds. */
#ifndef CHARDEV_CHAR_PRIVATE_H
#define CHARDEV_CHAR_PRIVATE_H

#include "chardev/char.h"
#include "softmmu/machine.h"

/* The front end's side of a back end: chardev_one_front, or the mux's own, which takes several. */
typedef struct ChardevFront {
    bool (*attach)(Chardev *chr, const ChardevFrontend *fe, void *opaque, GError **errp);
    void (*detach)(Chardev *chr, void *opaque);
    bool (*is_open)(const Chardev *chr);
} ChardevFront;

/* A back end. Every member is there; char-fe.c has what most of them do. */
typedef struct ChardevOps {
    const char *name;
    /* Reads its options (unknown ones are found by the caller) and opens; sets chr->priv. */
    bool (*open)(Chardev *chr, Opts *opts, GError **errp);
    void (*close)(Chardev *chr); /* also after a failed open */
    /* Takes what it can now; less than len: calls chardev_output_ready later. */
    size_t (*write)(Chardev *chr, const uint8_t *buf, size_t len);
    /* The front end came, went, or can take a different amount: start or stop reading. */
    void (*update_input)(Chardev *chr);
    char *(*filename)(const Chardev *chr);
    /* chr->context is another one: moves the sources. NULL: it lives on the main loop only. */
    void (*update_context)(Chardev *chr);
    /* The oldest fd that came with the bytes, now the caller's; -1 if there is none. */
    int (*take_fd)(Chardev *chr);
    /* A terminal's fd, still the chardev's, to ask for its width; -1 if it has none. */
    int (*terminal)(const Chardev *chr);
    bool (*is_tty)(const Chardev *chr);
    const ChardevFront *front;
} ChardevOps;

struct Chardev {
    Chardevs *owner;
    char *id;
    const ChardevOps *ops;
    void *priv;                     /* the back end's */
    GMainContext *context;          /* of its sources; NULL: the main loop's */
    GMutex lock;                    /* what filename and yank look at while another thread runs the sources */
    Chardev *base;                  /* a mux: what carries its output; else NULL */
    const ChardevFrontend *fe;      /* NULL: nobody in front; unused in a mux */
    void *fe_opaque;
    bool hot;                       /* added while the machine runs: nothing may wait */
    bool connected;                 /* somebody at the far end */
    bool opened_sent;               /* front end knows */
    bool guest_closed;              /* there is a front end, but its guest does not listen */
    GSource *opened_source;         /* posted OPENED */
    GByteArray *queue;              /* chardev_write_all's leftovers */
    bool fe_blocked;                /* front end waits for WRITABLE */
    int log_fd;                     /* logfile=, -1 if none */
};

struct Chardevs {
    struct Machine *machine;
    GPtrArray *list;                /* Chardev*, in order of creation */
    bool stdio_used;
};

extern const ChardevOps chardev_null_ops, chardev_vc_ops, chardev_ringbuf_ops, chardev_memory_ops,
    chardev_file_ops, chardev_pipe_ops, chardev_fd_ops, chardev_stdio_ops, chardev_pty_ops,
    chardev_socket_ops, chardev_mux_ops;

/* For char.c: */
Chardev *chardev_create(Chardevs *chardevs, const char *id, const ChardevOps *ops);
/* Who is in front of old, if anybody, is in front of chr from now on. Its ops have change. */
void chardev_hand_over(Chardev *old, Chardev *chr);
/* Last words as far as they go, then closes and forgets. Whoever was in front has gone. */
void chardev_free(Chardev *chr);
/* SIGCONT: if it is the terminal it is raw again. */
void chardev_continued(Chardev *chr);

/* For back ends: */
/* Where its sources belong. */
GMainContext *chardev_context(const Chardev *chr);
size_t chardev_can_read(Chardev *chr);
void chardev_input(Chardev *chr, const uint8_t *buf, size_t len);
void chardev_set_connected(Chardev *chr, bool connected);
/* Room for output again: flushes the queue, then tells the front end. */
void chardev_output_ready(Chardev *chr);
void chardev_no_input(Chardev *chr);            /* default update_input */
char *chardev_plain_filename(const Chardev *chr); /* default filename: ops->name */
int chardev_no_fd(Chardev *chr);                /* default take_fd */
int chardev_no_terminal(const Chardev *chr);    /* default terminal */
bool chardev_no_tty(const Chardev *chr);        /* default is_tty */
extern const ChardevFront chardev_one_front;    /* default front: one front end */

/* Legacy text to options of -chardev; NULL with errp. */
Opts *chardev_text_to_opts(const char *label, const char *text, GError **errp);

/* ---- a pair of fds on the chardev's context (char-io.c) ---- */

typedef struct FdIo FdIo;
typedef struct FdIoOps {
    ssize_t (*read)(Chardev *chr, uint8_t *buf, size_t len);    /* as read(2) */
    void (*eof)(Chardev *chr);                                  /* nothing more will come, or an error */
} FdIoOps;
/* in or out may be -1, and the same; both are closed by fdio_free and made non-blocking. */
FdIo *fdio_new(Chardev *chr, int in, int out, const FdIoOps *ops);
void fdio_free(FdIo *io);
size_t fdio_write(FdIo *io, const uint8_t *buf, size_t len);
void fdio_update_input(FdIo *io);
void fdio_update_context(FdIo *io);
/* The fd that is read, -1 if none; still io's. */
int fdio_in(const FdIo *io);

#endif
