/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channels of one migration, by role. Held by both stories; opens
 * nothing and knows nothing of what is sent. The lock is held while channels
 * are shut down, which does not wait, never while they are closed.
 */
#include "migration/channel-set.h"
#include "util/error.h"

struct ChannelSet {
    GMutex lock;
    /* protected by lock */
    GPtrArray *roles[CHANNEL_ROLE__MAX];    /* of Channel *, by index; NULL: not there */
    bool shut;
};

ChannelSet *channel_set_new(void)
{
    ChannelSet *s = g_new0(ChannelSet, 1);

    g_mutex_init(&s->lock);
    for (ChannelRole role = 0; role < CHANNEL_ROLE__MAX; role++) {
        s->roles[role] = g_ptr_array_new();
    }
    return s;
}

void channel_set_free(ChannelSet *s)
{
    if (!s) {
        return;
    }
    channel_set_close_all(s, NULL);
    for (ChannelRole role = 0; role < CHANNEL_ROLE__MAX; role++) {
        g_ptr_array_free(s->roles[role], TRUE);
    }
    g_mutex_clear(&s->lock);
    g_free(s);
}

/* Where the channel is kept, or NULL; locked. */
static gpointer *find(ChannelSet *s, ChannelRole role, unsigned index)
{
    GPtrArray *list = s->roles[role];

    return index < list->len && list->pdata[index] ? &list->pdata[index] : NULL;
}

static bool add_locked(ChannelSet *s, ChannelRole role, unsigned index, Channel *c)
{
    GPtrArray *list = s->roles[role];

    if (find(s, role, index)) {
        return false;
    }
    while (list->len <= index) {
        g_ptr_array_add(list, NULL);
    }
    list->pdata[index] = c;
    if (s->shut) {
        channel_shutdown(c);
    }
    return true;
}

bool channel_set_add(ChannelSet *s, ChannelRole role, unsigned index, Channel *c, GError **errp)
{
    g_mutex_lock(&s->lock);
    bool ok = add_locked(s, role, index, c);
    g_mutex_unlock(&s->lock);
    if (!ok) {
        error_setg(errp, "'%s' comes as a channel that is there already", channel_name(c));
        channel_close(c, NULL);
    }
    return ok;
}

Channel *channel_set_get(ChannelSet *s, ChannelRole role, unsigned index)
{
    g_mutex_lock(&s->lock);
    gpointer *at = find(s, role, index);
    if (!at && role == CHANNEL_ROLE_RETURN_PATH) {
        at = find(s, CHANNEL_ROLE_MAIN, 0);
    }
    Channel *c = at ? *at : NULL;
    g_mutex_unlock(&s->lock);
    return c;
}

Channel *channel_set_take(ChannelSet *s, ChannelRole role, unsigned index)
{
    Channel *c = NULL;

    g_mutex_lock(&s->lock);
    gpointer *at = find(s, role, index);
    if (at) {
        c = *at;
        *at = NULL;
    }
    g_mutex_unlock(&s->lock);
    return c;
}

int64_t channel_set_heard_us(ChannelSet *s)
{
    int64_t last = 0;

    g_mutex_lock(&s->lock);
    for (ChannelRole role = 0; role < CHANNEL_ROLE__MAX; role++) {
        for (unsigned i = 0; i < s->roles[role]->len; i++) {
            Channel *c = s->roles[role]->pdata[i];
            last = c ? MAX(last, channel_heard_us(c)) : last;
        }
    }
    g_mutex_unlock(&s->lock);
    return last;
}

unsigned channel_set_count(ChannelSet *s, ChannelRole role)
{
    unsigned n = 0;

    g_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->roles[role]->len; i++) {
        n += s->roles[role]->pdata[i] != NULL;
    }
    g_mutex_unlock(&s->lock);
    return n;
}

void channel_set_shutdown_all(ChannelSet *s)
{
    g_mutex_lock(&s->lock);
    s->shut = true;
    for (ChannelRole role = 0; role < CHANNEL_ROLE__MAX; role++) {
        for (unsigned i = 0; i < s->roles[role]->len; i++) {
            if (s->roles[role]->pdata[i]) {
                channel_shutdown(s->roles[role]->pdata[i]);
            }
        }
    }
    g_mutex_unlock(&s->lock);
}

bool channel_set_is_shut(ChannelSet *s)
{
    g_mutex_lock(&s->lock);
    bool shut = s->shut;
    g_mutex_unlock(&s->lock);
    return shut;
}

bool channel_set_close_all(ChannelSet *s, GError **errp)
{
    bool ok = true;

    for (int role = CHANNEL_ROLE__MAX - 1; role >= 0; role--) {
        for (unsigned i = 0; i < s->roles[role]->len; i++) {
            Channel *c = channel_set_take(s, role, i);
            ok = channel_close(c, ok ? errp : NULL) && ok;
        }
    }
    return ok;
}

void channel_set_reopen(ChannelSet *s)
{
    g_mutex_lock(&s->lock);
    s->shut = false;
    g_mutex_unlock(&s->lock);
}
