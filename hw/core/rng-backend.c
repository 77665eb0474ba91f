/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rng-random,filename= and rng-builtin, of -object and object-add: where
 * virtio-rng's bytes come from. Never blocks. Counted, as a device keeps the
 * one it has when the object is removed. Main thread, BQL.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "hw/rng-backend.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "util/error.h"

struct RngBackend {
    unsigned refs;
    char *id;
    int fd;     /* -1: getrandom */
};

struct RngBackends {
    GPtrArray *list;
    RngBackend *builtin;
};

static RngBackend *rng_backend_new(const char *id, int fd)
{
    RngBackend *rng = g_new0(RngBackend, 1);

    rng->refs = 1;
    rng->id = g_strdup(id);
    rng->fd = fd;
    return rng;
}

RngBackend *rng_backend_ref(RngBackend *rng)
{
    rng->refs++;
    return rng;
}

void rng_backend_unref(RngBackend *rng)
{
    if (!rng || --rng->refs) {
        return;
    }
    if (rng->fd >= 0) {
        close(rng->fd);
    }
    g_free(rng->id);
    g_free(rng);
}

static void rng_backend_free(void *opaque)
{
    rng_backend_unref(opaque);
}

bool rng_backends_add(RngBackends *rngs, Opts *object, GError **errp)
{
    const char *type = opts_get(object, "qom-type"), *id = opts_get(object, "id");
    const char *path = opts_get(object, "filename");
    int fd = -1;

    if (!type || (strcmp(type, "rng-random") && strcmp(type, "rng-builtin"))) {
        return true;
    }
    if (strcmp(type, "rng-random") == 0) {
        path = path ? path : "/dev/urandom";
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) {
            error_setg_errno(errp, errno, "Could not open '%s'", path);
            return false;
        }
    }
    g_ptr_array_add(rngs->list, rng_backend_new(id ? id : "", fd));
    return true;
}

RngBackends *rng_backends_new(Machine *machine, GError **errp)
{
    RngBackends *rngs = g_new0(RngBackends, 1);
    GPtrArray *objects = machine->config->objects;

    rngs->list = g_ptr_array_new_with_free_func(rng_backend_free);
    rngs->builtin = rng_backend_new("", -1);
    for (guint i = 0; objects && i < objects->len; i++) {
        if (!rng_backends_add(rngs, g_ptr_array_index(objects, i), errp)) {
            rng_backends_free(rngs);
            return NULL;
        }
    }
    return rngs;
}

void rng_backends_free(RngBackends *rngs)
{
    if (rngs) {
        g_ptr_array_unref(rngs->list);
        rng_backend_unref(rngs->builtin);
        g_free(rngs);
    }
}

RngBackend *rng_backend_find(RngBackends *rngs, const char *id)
{
    for (guint i = 0; i < rngs->list->len; i++) {
        RngBackend *rng = g_ptr_array_index(rngs->list, i);

        if (strcmp(rng->id, id) == 0) {
            return rng;
        }
    }
    return NULL;
}

void rng_backends_remove(RngBackends *rngs, const char *id)
{
    RngBackend *rng = rng_backend_find(rngs, id);

    if (rng) {
        g_ptr_array_remove(rngs->list, rng);
    }
}

RngBackend *rng_backend_builtin(RngBackends *rngs)
{
    return rngs->builtin;
}

size_t rng_backend_read(RngBackend *rng, void *buf, size_t len)
{
    ssize_t n = rng->fd < 0 ? getrandom(buf, MIN(len, 256), GRND_NONBLOCK)
                            : read(rng->fd, buf, len);

    return n > 0 ? n : 0;
}

int rng_backend_fd(const RngBackend *rng)
{
    return rng->fd;
}
