/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See inspect-maker.h. */
#include <string.h>
#include "inspect-maker.h"
#include "stream.h"

Maker maker_new(void)
{
    return (Maker){ g_byte_array_new(), g_byte_array_new() };
}

void maker_free(Maker *k)
{
    g_byte_array_unref(k->bytes);
    g_byte_array_unref(k->structure);
}

void maker_put(Maker *k, bool structure, const void *p, size_t len)
{
    guint8 flag = structure;
    g_byte_array_append(k->bytes, p, len);
    for (size_t i = 0; i < len; i++) {
        g_byte_array_append(k->structure, &flag, 1);
    }
}

void maker_put_be(Maker *k, bool structure, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        guint8 b = v >> (8 * i);
        maker_put(k, structure, &b, 1);
    }
}

void maker_put_name(Maker *k, const char *s)
{
    maker_put_be(k, true, strlen(s), 1);
    maker_put(k, true, s, strlen(s));
}

void maker_put_header(Maker *k)
{
    maker_put(k, true, "QEVM\0\0\0\3", 8);
    maker_put_be(k, true, 7, 1);
    maker_put_be(k, true, 4, 4);
    maker_put(k, false, "none", 4);
}

void maker_put_start(Maker *k)
{
    maker_put_be(k, true, 1, 1);
    maker_put_be(k, true, 2, 4);
    maker_put_name(k, "ram");
    maker_put_be(k, true, 0, 4);
    maker_put_be(k, true, 4, 4);
}

void maker_put_footer(Maker *k, uint32_t id)
{
    maker_put_be(k, true, 0x7e, 1);
    maker_put_be(k, true, id, 4);
}

void maker_put_part(Maker *k, uint8_t type)
{
    maker_put_be(k, true, type, 1);
    maker_put_be(k, true, 2, 4);
}

/* The word of a page record: the page can be another one, the flags cannot. */
static void maker_put_word(Maker *k, uint64_t page, uint32_t flags)
{
    uint64_t word = page * PAGE | flags;
    maker_put_be(k, false, word >> 16, 6);
    maker_put_be(k, false, word >> 8 & 0xff, 1);      /* four bits of each */
    maker_put_be(k, true, word & 0xff, 1);
}

void maker_put_eos(Maker *k, uint32_t id)
{
    maker_put_be(k, true, 0x10, 8);
    maker_put_footer(k, id);
}

static void maker_put_page(Maker *k, uint64_t page, uint32_t more, int seed)
{
    maker_put_word(k, page, 0x08 | more);
    if (!more) {
        maker_put_name(k, "ram");
    }
    for (int i = 0; i < (int)PAGE; i++) {
        maker_put_be(k, false, i * 7 + seed, 1);
    }
}

static void maker_put_zero(Maker *k, uint64_t page)
{
    maker_put_word(k, page, 0x22);
    maker_put_be(k, true, 0, 1);
}

static void maker_put_delta(Maker *k, uint64_t page, const void *p, size_t len)
{
    maker_put_word(k, page, 0x60);
    maker_put_be(k, true, 1, 1);
    maker_put_be(k, true, len, 2);
    maker_put(k, false, p, len);
}

static void maker_put_full(Maker *k, uint32_t id, const char *idstr, uint32_t version)
{
    maker_put_be(k, true, 4, 1);
    maker_put_be(k, true, id, 4);
    maker_put_name(k, idstr);
    maker_put_be(k, true, 0, 4);
    maker_put_be(k, true, version, 4);
}

#define FIELD(n, t, s) "{\"name\": \"" n "\", \"type\": \"" t "\", \"size\": " s "}"
const char maker_description[] =
    "{\"page_size\": 4096, \"devices\": [{\"name\": \"timer\", \"instance_id\": 0, "
    "\"vmsd_name\": \"timer\", \"version\": 2, \"fields\": ["
    FIELD("cpu_ticks_offset", "int64", "8") ", " FIELD("unused", "unused_buffer", "8") ", "
    FIELD("cpu_clock_offset", "int64", "8") "]}, {\"name\": \"fw_cfg\", \"instance_id\": 0, "
    "\"vmsd_name\": \"fw_cfg\", \"version\": 2, \"fields\": [" FIELD("cur_entry", "uint16", "2")
    ", " FIELD("cur_offset[1]", "uint32", "4") "], \"subsections\": [{\"vmsd_name\": "
    "\"fw_cfg/dma\", \"version\": 0, \"fields\": [" FIELD("dma_addr", "uint64", "8") "]}]}]}";

void maker_put_devices(Maker *k)
{
    maker_put_full(k, 0, "timer", 2);
    maker_put_be(k, false, 5, 8);
    maker_put_be(k, false, 0, 8);
    maker_put_be(k, false, (uint64_t)-6, 8);
    maker_put_footer(k, 0);
    maker_put_full(k, 4, "fw_cfg", 2);
    maker_put_be(k, false, 25, 2);
    maker_put_be(k, false, 0x01020304, 4);
    maker_put_be(k, true, 5, 1);
    maker_put_name(k, "fw_cfg/dma");
    maker_put_be(k, true, 0, 4);
    maker_put_be(k, false, 0x1122334455667788, 8);
    maker_put_footer(k, 4);
}

static void maker_put_ram(Maker *k)
{
    maker_put_start(k);
    maker_put_be(k, true, (BLOCK_PAGES + ROM_PAGES) * PAGE | 4, 8);
    maker_put_name(k, "ram");
    maker_put_be(k, true, BLOCK_PAGES * PAGE, 8);
    maker_put_name(k, "rom");
    maker_put_be(k, true, ROM_PAGES * PAGE, 8);
    maker_put_eos(k, 2);
    maker_put_part(k, 2);
    for (int i = 0; i < BLOCK_PAGES; i++) {
        if (i % 4) {
            maker_put_zero(k, i);
        } else {
            maker_put_page(k, i, i ? 0x20 : 0, i);
        }
    }
    maker_put_word(k, 0, 0x02);
    maker_put_name(k, "rom");
    maker_put_be(k, true, 0, 1);
    maker_put_zero(k, 1);
    maker_put_eos(k, 2);
    maker_put_part(k, 2);
    maker_put_word(k, 4, 0x40);       /* names its block: "rom" was the latest */
    maker_put_name(k, "ram");
    maker_put_be(k, true, 1, 1);
    maker_put_be(k, true, 5, 2);
    maker_put(k, false, "\x02\x03" "abc", 5);
    maker_put_delta(k, 1, "\xff\x1f\x01Z", 4);
    maker_put_eos(k, 2);
    maker_put_part(k, 3);
    maker_put_eos(k, 2);
}

Maker maker_stream(void)
{
    Maker k = maker_new();

    maker_put_header(&k);
    maker_put_ram(&k);
    maker_put_devices(&k);
    maker_put_be(&k, true, 0, 1);
    maker_put_be(&k, true, 6, 1);
    maker_put_be(&k, true, strlen(maker_description), 4);
    maker_put(&k, false, maker_description, strlen(maker_description));
    return k;
}
