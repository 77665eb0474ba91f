/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The multiplexer: several front ends behind one back end, as -nographic
 * needs it. Output of all goes out; input goes to the one in focus; Ctrl-a is
 * the escape (h lists what follows it). Main thread only.
 */
#include <string.h>
#include "chardev/char-private.h"
#include "softmmu/runstate.h"
#include "util/error.h"

#define MUX_MAX_FRONTENDS 4
#define MUX_BUFFER_BYTES 4096
#define MUX_ESCAPE 0x01

typedef struct MuxFrontend {
    const ChardevFrontend *fe;
    void *opaque;
    bool opened;            /* has been in focus, got OPENED */
    GByteArray *pending;    /* typed for it, not taken yet */
} MuxFrontend;

typedef struct Mux {
    Chardev *chr, *base;
    MuxFrontend fes[MUX_MAX_FRONTENDS];
    unsigned count;
    unsigned focus;
    bool escape;            /* the last byte was Ctrl-a */
} Mux;

static MuxFrontend *focused(Mux *mux)
{
    return mux->count ? &mux->fes[mux->focus] : NULL;
}

/* ---- focus ---- */

static void focus_enter(Mux *mux)
{
    MuxFrontend *f = focused(mux);

    if (f && mux->chr->connected) {
        bool first = !f->opened;
        f->opened = true;
        f->fe->event(f->opaque, first ? CHARDEV_OPENED : CHARDEV_MUX_IN);
    }
}

static void focus_set(Mux *mux, unsigned focus)
{
    MuxFrontend *f = focused(mux);

    if (f && f->opened && focus != mux->focus) {
        f->fe->event(f->opaque, CHARDEV_MUX_OUT);
    }
    mux->focus = focus;
    focus_enter(mux);
}

static void say(Mux *mux, const char *text)
{
    chardev_write_all(mux->base, text, strlen(text));
}

static void escape_command(Mux *mux, uint8_t key)
{
    switch (key) {
    case 'h':
    case '?':
        say(mux, "\n\rC-a h    print this help\n\r"
                 "C-a x    exit emulator\n\r"
                 "C-a c    switch between console and monitor\n\r"
                 "C-a C-a  sends C-a\n\r");
        break;
    case 'x':
        say(mux, "QEMU: Terminated\n\r");
        system_shutdown_request(mux->chr->owner->machine->runstate, SHUTDOWN_CAUSE_HOST_UI, 0);
        break;
    case 'c':
        if (mux->count) {
            focus_set(mux, (mux->focus + 1) % mux->count);
        }
        break;
    default:
        break;
    }
}

/* ---- input: the mux is the base's front end ---- */

static void deliver_to(MuxFrontend *f)
{
    while (f->opened && f->pending->len) {
        size_t n = MIN(f->fe->can_read(f->opaque), f->pending->len);
        if (n == 0) {
            return;
        }
        g_autofree uint8_t *bytes = g_memdup2(f->pending->data, n);
        g_byte_array_remove_range(f->pending, 0, n);
        f->fe->read(f->opaque, bytes, n);
    }
}

/* To whom it was typed for, also when the focus has moved on since. */
static void deliver(Mux *mux)
{
    for (unsigned i = 0; i < mux->count; i++) {
        deliver_to(&mux->fes[i]);
    }
}

/*
 * At a terminal one byte is always taken, so that the escape works although
 * the guest does not read; what does not fit is lost. From a pipe it waits.
 */
static size_t mux_can_read(void *opaque)
{
    Mux *mux = opaque;
    MuxFrontend *f = focused(mux);
    size_t room = f ? MUX_BUFFER_BYTES - f->pending->len : 0;

    return room ? room : chardev_is_tty(mux->base);
}

static void mux_read(void *opaque, const uint8_t *buf, size_t len)
{
    Mux *mux = opaque;

    for (size_t i = 0; i < len; i++) {
        MuxFrontend *f = focused(mux);
        if (mux->escape && buf[i] != MUX_ESCAPE) {
            mux->escape = false;
            deliver(mux); /* what was typed before comes before */
            escape_command(mux, buf[i]);
        } else if (!mux->escape && buf[i] == MUX_ESCAPE) {
            mux->escape = true;
        } else {
            mux->escape = false;
            if (f && f->pending->len < MUX_BUFFER_BYTES) {
                g_byte_array_append(f->pending, &buf[i], 1);
            }
        }
    }
    deliver(mux);
}

static void mux_event(void *opaque, ChardevEvent event)
{
    Mux *mux = opaque;

    switch (event) {
    case CHARDEV_OPENED:
        mux->chr->connected = true;
        focus_enter(mux);
        deliver(mux);
        break;
    case CHARDEV_CLOSED:
        mux->chr->connected = false;
        for (unsigned i = 0; i < mux->count; i++) {
            if (mux->fes[i].opened) {
                mux->fes[i].opened = false;
                mux->fes[i].fe->event(mux->fes[i].opaque, CHARDEV_CLOSED);
            }
        }
        break;
    case CHARDEV_BREAK:
        if (focused(mux)) {
            focused(mux)->fe->event(focused(mux)->opaque, event);
        }
        break;
    default: /* WRITABLE: whoever waits asks again */
        for (unsigned i = 0; i < mux->count; i++) {
            mux->fes[i].fe->event(mux->fes[i].opaque, event);
        }
        break;
    }
}

static const ChardevFrontend mux_frontend = { mux_can_read, mux_read, mux_event };

/* ---- front ends ---- */

static bool mux_attach(Chardev *chr, const ChardevFrontend *fe, void *opaque, GError **errp)
{
    Mux *mux = chr->priv;

    if (mux->count == MUX_MAX_FRONTENDS) {
        error_setg(errp, "too many uses of multiplexed chardev '%s' (maximum is %d)", chr->id,
                   MUX_MAX_FRONTENDS);
        return false;
    }
    mux->fes[mux->count] = (MuxFrontend){ fe, opaque, false, g_byte_array_new() };
    focus_set(mux, mux->count++); /* the last one has it: the console, with mon:stdio */
    chardev_accept_input(mux->base);
    return true;
}

static void mux_detach(Chardev *chr, void *opaque)
{
    Mux *mux = chr->priv;

    for (unsigned i = 0; i < mux->count; i++) {
        if (mux->fes[i].opaque != opaque) {
            continue;
        }
        g_byte_array_free(mux->fes[i].pending, TRUE);
        mux->count--;
        memmove(&mux->fes[i], &mux->fes[i + 1], (mux->count - i) * sizeof(mux->fes[0]));
        if (mux->focus > i || (mux->focus == i && mux->focus == mux->count)) {
            mux->focus = mux->focus ? mux->focus - 1 : 0;
        }
        focus_enter(mux);
        return;
    }
}

static bool mux_is_open(const Chardev *chr)
{
    return ((Mux *)chr->priv)->count > 0;
}

static const ChardevFront mux_front = { mux_attach, mux_detach, mux_is_open };

/* ---- back end ---- */

/* chr->base is there already, and its options are read. */
static bool mux_open(Chardev *chr, Opts *opts, GError **errp)
{
    Mux *mux = g_new0(Mux, 1);

    mux->chr = chr;
    mux->base = chr->base;
    chr->priv = mux;
    return chardev_attach(mux->base, &mux_frontend, mux, errp);
}

static void mux_close(Chardev *chr)
{
    Mux *mux = chr->priv;

    if (mux) {
        chardev_detach(mux->base, mux);
        for (unsigned i = 0; i < mux->count; i++) {
            g_byte_array_free(mux->fes[i].pending, TRUE);
        }
        g_free(mux);
    }
}

static size_t mux_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return chardev_write(((Mux *)chr->priv)->base, buf, len);
}

static void mux_update_input(Chardev *chr)
{
    Mux *mux = chr->priv;

    deliver(mux);
    chardev_accept_input(mux->base);
}

const ChardevOps chardev_mux_ops = {
    "mux", mux_open, mux_close, mux_write, mux_update_input, chardev_plain_filename,
    NULL, chardev_no_fd, chardev_no_terminal, chardev_no_tty, &mux_front,
};
