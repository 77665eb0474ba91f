/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The error helpers of util/error.h; used by everything, prints nothing. */
#include "util/error.h"

#include <errno.h>
#include "util/memory-room.h"

/* Not G_DEFINE_QUARK: its cache is a plain variable, and errors are made on every thread. */
GQuark ferry_error_quark(void)
{
    return g_quark_from_static_string("ferry-error-quark");
}

void error_setv_domain(GError **errp, GQuark domain, int code, const char *fmt, va_list ap)
{
    if (errp && !*errp) {
        g_autofree char *text = g_strdup_vprintf(fmt, ap);
        g_set_error_literal(errp, domain, code, text);
    }
}

void error_set_domain(GError **errp, GQuark domain, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    error_setv_domain(errp, domain, code, fmt, ap);
    va_end(ap);
}

void error_setg(GError **errp, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    error_setv_domain(errp, FERRY_ERROR, FERRY_ERROR_GENERIC, fmt, ap);
    va_end(ap);
}

void error_setg_errno(GError **errp, int os_errno, const char *fmt, ...)
{
    if (!errp || *errp) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error(errp, FERRY_ERROR, FERRY_ERROR_GENERIC, "%s: %s", text, g_strerror(os_errno));
}

void error_set_class(GError **errp, FerryErrorCode code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    error_setv_domain(errp, FERRY_ERROR, code, fmt, ap);
    va_end(ap);
}

GThread *thread_start(const char *name, GThreadFunc fn, void *opaque, GError **errp)
{
    g_autoptr(GError) err = NULL;
    GThread *thread = NULL;

    if (!memory_has_room_for_thread()) {
        error_setg_errno(&err, errno, "no room for its stack");
    } else {
        thread = g_thread_try_new(name, fn, opaque, &err);
    }
    if (!thread) {
        error_setg(errp, "cannot start the thread '%s': %s; a limit of the process may be too low "
                   "(ulimit -v, ulimit -u)", name, err->message);
    }
    return thread;
}

void error_prepend(GError **errp, const char *fmt, ...)
{
    if (!errp || !*errp) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_prefix_error(errp, "%s", text);
}
