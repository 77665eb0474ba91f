/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Channels by URI, for the tests of migration/channel; a folder of their own, gone at the end. */
#ifndef TESTS_CHANNEL_FIXTURE_H
#define TESTS_CHANNEL_FIXTURE_H

#include <glib/gstdio.h>
#include <string.h>
#include "migration/channel.h"

static inline Channel *connect_uri(const char *uri, int cancel_fd, GError **errp)
{
    ChannelAddress *a = channel_address_parse(uri, NULL);
    Channel *c = channel_connect(a, cancel_fd, errp);
    channel_address_free(a);
    return c;
}

static inline ChannelListener *listen_uri(const char *uri, GError **errp)
{
    ChannelAddress *a = channel_address_parse(uri, NULL);
    ChannelListener *l = channel_listen(a, errp);
    channel_address_free(a);
    return l;
}

static inline Channel *incoming_uri(const char *uri, GError **errp)
{
    ChannelListener *l = listen_uri(uri, errp);
    Channel *c = l ? channel_listener_accept(l, errp) : NULL;
    channel_listener_free(l);
    return c;
}

static inline void assert_says(Channel *out, Channel *in, const char *what)
{
    char buf[64] = "";
    g_autoptr(GError) err = NULL;
    g_assert_true(channel_write_all(out, what, strlen(what), &err));
    g_assert_no_error(err);
    g_assert_true(channel_read_all(in, buf, strlen(what), &err));
    g_assert_no_error(err);
    g_assert_cmpstr(buf, ==, what);
}

static inline void fill_until_error(Channel *c, GError **errp)
{
    g_autofree char *block = g_malloc0(1 << 20);
    for (int i = 0; i < 64; i++) {
        if (!channel_write_all(c, block, 1 << 20, errp)) {
            return;
        }
    }
}

/* Runs the tests; dir is theirs meanwhile. */
static inline int run_in_folder(char **dir)
{
    *dir = g_dir_make_tmp("ferry-channel-XXXXXX", NULL);
    int rc = g_test_run();
    const char *left;
    GDir *d = g_dir_open(*dir, 0, NULL);
    while (d && (left = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(*dir, left, NULL);
        g_unlink(path);
    }
    g_dir_close(d);
    g_rmdir(*dir);
    g_free(*dir);
    return rc;
}

#endif
