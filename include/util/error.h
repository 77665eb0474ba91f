/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one error convention: functions that can fail take a GError **errp as
 * last parameter. The first cause wins: setting an error over an error keeps
 * the old one, so clean-up code may fail without hiding why it runs.
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <glib.h>
#include <stdarg.h>

/** Error domain of all Ferry errors; the code is the QMP error class. */
#define FERRY_ERROR ferry_error_quark()

typedef enum FerryErrorCode {
    FERRY_ERROR_GENERIC,            /* GenericError */
    FERRY_ERROR_COMMAND_NOT_FOUND,  /* CommandNotFound */
    FERRY_ERROR_DEVICE_NOT_ACTIVE,  /* DeviceNotActive */
    FERRY_ERROR_DEVICE_NOT_FOUND,   /* DeviceNotFound */
    FERRY_ERROR_KVM_MISSING_CAP,    /* KVMMissingCap */
} FerryErrorCode;

GQuark ferry_error_quark(void);

/** Sets *errp (class GenericError) unless errp is NULL or already set. Any thread. */
void error_setg(GError **errp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/** As error_setg, with ": strerror(os_errno)" appended. */
void error_setg_errno(GError **errp, int os_errno, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/** As error_setg with another QMP error class. */
void error_set_class(GError **errp, FerryErrorCode code, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/** As error_setg with a domain and code of the caller's own. */
void error_set_domain(GError **errp, GQuark domain, int code, const char *fmt, ...)
    G_GNUC_PRINTF(4, 5);
/** The same with arguments that were handed in. */
void error_setv_domain(GError **errp, GQuark domain, int code, const char *fmt, va_list ap)
    G_GNUC_PRINTF(4, 0);

/** g_thread_try_new with a message that says which limit it may be; NULL with errp. */
GThread *thread_start(const char *name, GThreadFunc fn, void *opaque, GError **errp);

/** Puts text in front of an error that is set; no-op otherwise. */
void error_prepend(GError **errp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#endif
