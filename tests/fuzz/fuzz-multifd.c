/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: a parallel channel as the destination reads it, what it begins with and its packets,
 * into the memory of a guest whose list of blocks has come. Whatever comes, what is not the blocks'
 * stays as it is, and a channel that is refused says why.
 *
 * Input: a byte that chooses the codec, then the bytes of the channel.
 */
#include <stdlib.h>
#include "../unit/ram-fixture.h"
#include "config-host.h"
#include "migration/multifd/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const BlockSpec specs[] = { { "ram", 32 }, { "rom", 2 } };

static const MultifdCodec *const codecs[] = {
    &multifd_codec_none, &multifd_codec_zlib,
#ifdef CONFIG_ZSTD
    &multifd_codec_zstd,
#endif
};

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static RamLoader *loader_of(Side *side)
{
    static const char start[] = "\0\0\0\0\0\2\x20\4" "\3ram" "\0\0\0\0\0\2\0\0" "\3rom" "\0\0\0\0\0\0\x20\0"
                                "\0\0\0\0\0\0\0\x10";
    RamLoadOptions opt = { .zero_fill = RAM_ZERO_FILL_STRICT };
    RamLoader *l = ram_loader_new(side->ram, side->log, &opt);
    StreamReader *r = stream_reader_new_memory(start, sizeof(start) - 1);

    check(ram_load_payload(l, r, RAM_SECTION_VERSION, NULL));
    stream_reader_free(r);
    return l;
}

static bool read_init(StreamReader *r, GError **errp)
{
    MultifdInit init;
    uint8_t id, uuid[16];

    return stream_get_buffer(r, &init, sizeof(init)) ? multifd_init_decode(&init, &id, uuid, errp)
                                                     : stream_reader_ok(r, errp);
}

static bool read_packets(MultifdUnpacker *u, StreamReader *r, RamLoader *l, GError **errp)
{
    uint8_t first;

    while (stream_peek(r, 0, &first, 1)) {
        const MultifdPages *p = multifd_unpacker_read(u, r, errp);

        if (!p || !multifd_unpacker_place(u, r, l, errp)) {
            return false;
        }
        check(p->normal <= MULTIFD_PACKET_PAGES && p->zero <= MULTIFD_PACKET_PAGES - p->normal);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) err = NULL;

    if (size == 0) {
        return 0;
    }
    Side *side = side_new(specs, 2);
    RamLoader *l = loader_of(side);
    MultifdUnpacker *u = multifd_unpacker_new(side->ram, codecs[data[0] % G_N_ELEMENTS(codecs)], NULL);
    StreamReader *r = stream_reader_new_memory(data + 1, size - 1);
    bool ok = read_init(r, &err) && read_packets(u, r, l, &err);

    check(ok == !err);
    stream_reader_free(r);
    multifd_unpacker_free(u);
    ram_loader_free(l);
    side_free(side);
    return 0;
}
