/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: any text as the URI of a migration. What is accepted is
 * written as a URI that means the same; what is not has a reason. Nothing is
 * opened.
 */
#include <stdlib.h>
#include <string.h>
#include "migration/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *uri = g_strndup((const char *)data, size);
    g_autoptr(GError) err = NULL;
    ChannelAddress *a = channel_address_parse(uri, &err);

    if (!a) {
        check(err && *err->message);
        return 0;
    }
    check(!err);
    g_autofree char *text = channel_address_to_string(a);
    ChannelAddress *copy = channel_address_copy(a);
    ChannelAddress *b = channel_address_parse(text, NULL);
    check(b != NULL);
    g_autofree char *again = channel_address_to_string(b), *copied = channel_address_to_string(copy);
    check(g_str_equal(text, again) && g_str_equal(text, copied));
    check(a->kind == b->kind && a->offset == b->offset && a->offset <= INT64_MAX);
    check(a->to == b->to && a->ipv4 == b->ipv4 && a->ipv6 == b->ipv6 && a->numeric == b->numeric);
    channel_address_free(a);
    channel_address_free(b);
    channel_address_free(copy);
    return 0;
}
