/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See arriving.h: the part of destination/incoming.c that nobody listens for. */
#include "arriving.h"
#include <string.h>
#include "../unit/fake-channel.h"
#include "migration/stream/format.h"

/* ---- the machine ---- */

Arriving *arriving_new(uint64_t ram_pages, uint64_t rom_pages)
{
    Arriving *a = g_new0(Arriving, 1);
    Incoming *in = &a->in;

    a->t = tiny_machine_new("none", DIALECT_QEMU_10_0, ram_pages, rom_pages);
    a->settings = tiny_settings(a->t, MIGRATION_CAP(POSTCOPY_RAM));
    in->m = a->t->machine.migration;
    in->machine = &a->t->machine;
    in->settings = a->settings;
    in->channels = channel_set_new();
    g_mutex_init(&in->lock);
    g_cond_init(&in->wake);
    migration_state_move(&in->m->in_state, MIGRATION_EVENT_START, NULL);
    migration_state_move(&in->m->in_state, MIGRATION_EVENT_BEGIN, NULL);
    return a;
}

/* All that the connection had is here. */
static void disconnect(Arriving *a)
{
    Incoming *in = &a->in;

    if (in->channel) {
        FakeChannel *f = (FakeChannel *)in->channel;
        g_clear_pointer(&a->said, g_byte_array_unref);
        a->said = g_byte_array_ref(f->out);
    }
    g_clear_pointer(&in->reader, stream_reader_free);
    in->channel = NULL;
    channel_set_close_all(in->channels, NULL);
    channel_set_reopen(in->channels);
}

static void connect(Arriving *a, const void *data, size_t len)
{
    Incoming *in = &a->in;
    FakeChannel *f = fake_channel_new(data, len, 4096);

    f->base.return_path = true;
    in->channel = &f->base;
    channel_set_add(in->channels, CHANNEL_ROLE_MAIN, 0, in->channel, NULL);
    in->reader = stream_reader_new(in->channel);
}

bool arriving_load(Arriving *a, const void *data, size_t len, GError **errp)
{
    Incoming *in = &a->in;

    connect(a, data, len);
    in->answers = return_path_writer_new(in->channel);
    incoming_load_init(&in->load, in->m, in->settings, in->channel);
    in->load.answers = in->answers;
    in->postcopy = postcopy_new(in);
    return incoming_load_stream(&in->load, in->reader, errp);
}

PageReadersState arriving_await(Arriving *a, GError **errp)
{
    Incoming *in = &a->in;
    PageReaders *readers = in->postcopy->readers;

    g_mutex_lock(&in->lock);
    while (page_readers_state(readers) == PAGE_READERS_READ) {
        g_cond_wait(&in->wake, &in->lock);
    }
    PageReadersState state = page_readers_state(readers);
    g_mutex_unlock(&in->lock);
    page_requests_close(in->postcopy->requests);
    page_readers_stop(readers);
    page_readers_error(readers, errp);
    return_path_writer_replace(in->answers, NULL);
    disconnect(a);
    return state;
}

void arriving_recover(Arriving *a, const void *data, size_t len)
{
    Incoming *in = &a->in;

    migration_state_move(&in->m->in_state, MIGRATION_EVENT_BREAK, NULL);
    migration_state_move(&in->m->in_state, MIGRATION_EVENT_RESUME, NULL);
    connect(a, data, len);
    return_path_writer_replace(in->answers, in->channel);
    page_readers_start(in->postcopy->readers, in->reader, NULL);
}

void arriving_free(Arriving *a)
{
    Incoming *in = &a->in;

    postcopy_free(in->postcopy);
    incoming_load_clear(&in->load);
    return_path_writer_free(in->answers);
    disconnect(a);
    migration_state_move(&in->m->in_state, MIGRATION_EVENT_FAIL, NULL);
    channel_set_free(in->channels);
    wait_stats_free(in->waits);
    migration_settings_unref(a->settings);
    g_clear_pointer(&a->said, g_byte_array_unref);
    g_cond_clear(&in->wake);
    g_mutex_clear(&in->lock);
    tiny_machine_free(a->t);
    g_free(a);
}

/* ---- bytes ---- */

void put_be(GByteArray *b, unsigned bytes, uint64_t value)
{
    while (bytes-- > 0) {
        uint8_t byte = value >> (8 * bytes);
        g_byte_array_append(b, &byte, 1);
    }
}

void put_cstr(GByteArray *b, const char *name)
{
    put_be(b, 1, strlen(name));
    g_byte_array_append(b, (const uint8_t *)name, strlen(name));
}

void put_command(GByteArray *b, uint16_t number, const void *data, uint16_t len)
{
    put_be(b, 1, SECTION_COMMAND);
    put_be(b, 2, number);
    put_be(b, 2, len);
    for (uint16_t i = 0; i < len; i++) {
        put_be(b, 1, data ? ((const uint8_t *)data)[i] : 0);
    }
}

static void put_footer(GByteArray *b)
{
    put_be(b, 8, RAM_FLAG_EOS);
    put_be(b, 1, SECTION_FOOTER);
    put_be(b, 4, 2);
}

void put_setup(GByteArray *b, const char *const *blocks, const unsigned *pages)
{
    static const uint8_t advice[16] = { [6] = 0x10, [14] = 0x10 };
    uint64_t total = 0;

    g_byte_array_append(b, (const uint8_t *)"QEVM\0\0\0\3\7\0\0\0\4none", 17);
    put_command(b, MIG_CMD_OPEN_RETURN_PATH, NULL, 0);
    put_command(b, MIG_CMD_POSTCOPY_ADVISE, advice, sizeof(advice));
    put_be(b, 1, SECTION_START);
    put_be(b, 4, 2);
    put_cstr(b, "ram");
    put_be(b, 4, 0);
    put_be(b, 4, RAM_SECTION_VERSION);
    for (unsigned i = 0; blocks[i]; i++) {
        total += pages[i] * 4096ULL;
    }
    put_be(b, 8, total | RAM_FLAG_MEM_SIZE);
    for (unsigned i = 0; blocks[i]; i++) {
        put_cstr(b, blocks[i]);
        put_be(b, 8, pages[i] * 4096ULL);
    }
    put_footer(b);
}

void put_discard(GByteArray *b, const char *block, uint64_t start, uint64_t len)
{
    g_autoptr(GByteArray) data = g_byte_array_new();

    put_be(data, 1, 0);
    put_cstr(data, block);
    put_be(data, 1, 0);
    put_be(data, 8, start);
    put_be(data, 8, len);
    put_command(b, MIG_CMD_POSTCOPY_RAM_DISCARD, data->data, data->len);
}

void put_switch(GByteArray *b)
{
    g_autoptr(GByteArray) package = g_byte_array_new();
    uint8_t len[4] = { 0 };

    put_command(package, MIG_CMD_POSTCOPY_LISTEN, NULL, 0);
    put_command(package, MIG_CMD_PING, "\0\0\0\3", 4);
    put_command(package, MIG_CMD_POSTCOPY_RUN, NULL, 0);
    len[3] = package->len;
    put_command(b, MIG_CMD_PACKAGED, len, sizeof(len));
    g_byte_array_append(b, package->data, package->len);
}

void put_page(GByteArray *b, bool end, const char *block, uint64_t offset, uint8_t fill)
{
    put_be(b, 1, end ? SECTION_END : SECTION_PART);
    put_be(b, 4, 2);
    put_be(b, 8, offset | (fill ? RAM_FLAG_PAGE : RAM_FLAG_ZERO));
    put_cstr(b, block);
    for (int i = 0; i < (fill ? 4096 : 1); i++) {
        put_be(b, 1, fill);
    }
    put_footer(b);
}
