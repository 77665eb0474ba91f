/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about character devices, QMP and HMP: views of chardev/char.h. */
#include <inttypes.h>
#include <string.h>

#include "chardev/char.h"
#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"
#include "util/error.h"

ChardevInfoList *qmp_query_chardev(struct Machine *machine, GError **errp)
{
    ChardevInfoList *list = NULL, **tail = &list;
    (void)errp;
    for (size_t i = 0; i < chardevs_count(machine->chardevs); i++) {
        Chardev *chr = chardevs_get(machine->chardevs, i);
        ChardevInfo *info = g_new0(ChardevInfo, 1);
        info->label = g_strdup(chardev_id(chr));
        info->filename = chardev_filename(chr);
        info->frontend_open = chardev_frontend_open(chr);
        *tail = g_new0(ChardevInfoList, 1);
        (*tail)->value = info;
        tail = &(*tail)->next;
    }
    return list;
}

/* ---- ring buffers ---- */

static Chardev *find_device(struct Machine *machine, const char *device, GError **errp)
{
    Chardev *chr = chardev_find(machine->chardevs, device);
    if (!chr) {
        error_setg(errp, "Device '%s' not found", device);
    }
    return chr;
}

bool qmp_ringbuf_write(struct Machine *machine, const char *device, const char *data,
                       bool has_format, DataFormat format, GError **errp)
{
    Chardev *chr = find_device(machine, device, errp);
    gsize len = strlen(data);
    g_autofree guchar *bytes = NULL;
    if (!chr) {
        return false;
    }
    if (has_format && format == DATA_FORMAT_BASE64) {
        bytes = g_base64_decode(data, &len);
        if (*data && !len) {
            error_setg(errp, "Parameter 'data' expects base64");
            return false;
        }
    }
    return chardev_ringbuf_write(chr, bytes ? (const void *)bytes : data, len, errp);
}

char *qmp_ringbuf_read(struct Machine *machine, const char *device, int64_t size, bool has_format,
                       DataFormat format, GError **errp)
{
    Chardev *chr = find_device(machine, device, errp);
    size_t len;
    if (!chr) {
        return NULL;
    }
    if (size <= 0) {
        error_setg(errp, "size must be greater than zero");
        return NULL;
    }
    g_autofree uint8_t *bytes = chardev_ringbuf_read(chr, (size_t)size, &len, errp);
    if (!bytes) {
        return NULL;
    }
    return has_format && format == DATA_FORMAT_BASE64
               ? g_base64_encode(bytes, len)
               : g_utf8_make_valid((const char *)bytes, (gssize)len);
}

void hmp_ringbuf_write(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_ringbuf_write(hmp_machine(mon), hmp_arg_str(args, "device"), hmp_arg_str(args, "data"),
                      false, DATA_FORMAT_UTF8, &err);
    hmp_handle_error(mon, err);
}

void hmp_ringbuf_read(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    g_autofree char *data = qmp_ringbuf_read(hmp_machine(mon), hmp_arg_str(args, "device"),
                                             hmp_arg_int(args, "size", 0), false,
                                             DATA_FORMAT_UTF8, &err);
    for (const char *p = data; p && *p; p++) {
        if (*p == '\\') {
            monitor_puts(mon, "\\\\");
        } else if ((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') {
            monitor_printf(mon, "\\u%04X", (unsigned char)*p);
        } else {
            monitor_printf(mon, "%c", *p);
        }
    }
    if (data) {
        monitor_puts(mon, "\n");
    }
    hmp_handle_error(mon, err);
}
