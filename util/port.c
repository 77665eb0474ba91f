/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports as users write them (util/port.h). Used by whoever reads an address. */
#include "util/port.h"

#include <stdlib.h>
#include <string.h>
#include "util/error.h"

bool port_parse(const char *text, uint16_t *out)
{
    unsigned long n = strtoul(text, NULL, 10);

    if (!*text || text[strspn(text, "0123456789")] || n > UINT16_MAX) {
        return false;
    }
    *out = n;
    return true;
}

/* What a resolver takes for a number, with blanks and signs. */
static bool is_number(const char *text)
{
    char *end;

    strtoul(text, &end, 10);
    return end != text && !*end;
}

bool port_check(const char *port, const char *address, GError **errp)
{
    uint16_t number;

    if (!*port) {
        error_setg(errp, "There is no port in address '%s': a number or a service's name is expected",
                   address);
        return false;
    }
    if (is_number(port) && !port_parse(port, &number)) {
        error_setg(errp, "Port number %s in address '%s' is not in the range 0..65535", port, address);
        return false;
    }
    return true;
}
