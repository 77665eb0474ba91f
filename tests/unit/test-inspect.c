/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tools/inspect: what is right is read right, what is wrong is found and
 * placed, nothing crashes it. The streams come from inspect-maker.c.
 */
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include "commands.h"
#include "inspect-maker.h"
#include "source.h"
#include "stream.h"

static Model *read_bytes(const void *p, size_t len, bool keep)
{
    Source *s = source_open_memory(p, len);
    Model *m = model_new(keep);
    bool ok = stream_read(m, s);

    g_assert_cmpint(ok, ==, m->problem.text == NULL);
    g_assert_cmpuint(m->problem.offset, <=, MAX(source_offset(s) + 5, len));
    source_free(s);
    return m;
}

/* ---- what is right ---- */

static void test_good(void)
{
    Maker k = maker_stream();
    Model *m = read_bytes(k.bytes->data, k.bytes->len, true);
    g_assert_cmpstr(m->problem.text, ==, NULL);
    g_assert_cmpuint(m->blocks->len, ==, 2);
    const RamBlock *b = g_ptr_array_index(m->blocks, 0);
    g_assert_cmpmem(b->data + 4 * PAGE, 6, "\4\13abc\47", 6);
    g_assert_cmpint(b->data[2 * PAGE - 1], ==, 'Z');
    g_assert_cmpint(b->data[8 * PAGE + 1], ==, 15);
    g_assert_cmpuint(b->records[PAGE_DELTA], ==, 2);
    g_assert_cmpuint(b->repeated, ==, 2);
    const Section *s = model_find_section(m, "fw_cfg", 0);
    const Node *sub = g_ptr_array_index(s->fields, 2);
    g_assert_true(sub->subsection);
    g_assert_cmphex(node_integer(node_find(sub->kids, "dma_addr"), 0), ==, 0x1122334455667788);
    s = model_find_section(m, "timer", 0);
    g_assert_cmpint(node_integer(node_find(s->fields, "cpu_clock_offset"), 0), ==, -6);
    g_autofree char *text = show_text(m, "x"), *json = show_json(m, "x");
    g_assert_nonnull(strstr(text, "cpu_clock_offset       -6"));
    struct json_object *o = json_tokener_parse(json);
    g_assert_nonnull(o);
    json_object_put(o);
    model_free(m);
    maker_free(&k);
}

static void strip_description(Maker *k)
{
    g_byte_array_set_size(k->bytes, k->bytes->len - strlen(maker_description) - 5);
}

/* Our own tables give the same fields as the description. */
static void test_without_description(void)
{
    Maker k = maker_stream();
    Model *a = read_bytes(k.bytes->data, k.bytes->len, true);
    strip_description(&k);
    Model *b = read_bytes(k.bytes->data, k.bytes->len, true);
    unsigned count = 0;
    g_assert_cmpstr(b->problem.text, ==, NULL);
    g_autofree char *text = diff_text(a, b, &count);
    g_assert_cmpstr(text, ==, "");
    g_assert_cmpuint(count, ==, 0);
    model_free(a);
    model_free(b);
    maker_free(&k);
}

static void test_diff(void)
{
    Maker k = maker_stream();
    Model *a = read_bytes(k.bytes->data, k.bytes->len, true);
    uint8_t *p = memmem(k.bytes->data, k.bytes->len, "abc", 3);
    p[0] = 'X';
    p = memmem(k.bytes->data, k.bytes->len, "\1\2\3\4", 4);
    p[3] = 5;
    Model *b = read_bytes(k.bytes->data, k.bytes->len, true);
    unsigned count = 0;
    g_autofree char *text = diff_text(a, b, &count);
    g_assert_cmpstr(text, ==, "block 'ram': page 4 (0x4000)\n"
                              "fw_cfg/0.cur_offset[1]: 0x1020304 and 0x1020305\n");
    g_assert_cmpuint(count, ==, 2);
    model_free(a);
    model_free(b);
    maker_free(&k);
}

static void test_padding(void)
{
    Maker k = maker_stream();
    maker_put(&k, false, "\0\0\0\0", 4);
    Model *m = read_bytes(k.bytes->data, k.bytes->len, false);
    g_assert_cmpstr(m->problem.text, ==, NULL);
    model_free(m);
    maker_put(&k, false, "x", 1);
    m = read_bytes(k.bytes->data, k.bytes->len, false);
    g_assert_cmpstr(m->problem.text, ==, "byte 0x78 after the end of the stream");
    g_assert_cmpuint(m->problem.offset, ==, k.bytes->len - 1);
    model_free(m);
    maker_free(&k);
}

static void put_libvirt(Maker *k, uint32_t compression, const char *magic)
{
    static const char xml[] = "<domain><name>demo</name></domain>";
    uint32_t head[19] = { GUINT32_TO_LE(2), GUINT32_TO_LE(1000), GUINT32_TO_LE(1),
                          GUINT32_TO_LE(compression) };
    uint8_t area[1000] = { 0 };

    memcpy(area, xml, sizeof(xml));
    maker_put(k, false, magic, 16);
    maker_put(k, false, head, sizeof(head));
    maker_put(k, false, area, sizeof(area));
}

static void test_libvirt(void)
{
    Maker stream = maker_stream(), k = maker_new(), z = maker_new(), x = maker_new();
    put_libvirt(&k, 0, "LibvirtQemudSave");
    maker_put(&k, false, stream.bytes->data, stream.bytes->len);
    Model *m = read_bytes(k.bytes->data, k.bytes->len, true);
    g_assert_cmpstr(m->problem.text, ==, NULL);
    const Section *s = g_ptr_array_index(m->sections, 0);
    g_assert_cmpstr(s->text, ==, "version 2, domain 'demo', was running, compression 0, 1000 bytes "
                                 "of XML");
    model_free(m);

    memcpy(k.bytes->data, "LibvirtQemudPart", 16);      /* never finished, whole or not */
    m = read_bytes(k.bytes->data, k.bytes->len, true);
    g_assert_cmpstr(m->problem.text, ==, "libvirt's header says that the save was not completed: the "
                                         "stream is whole, but virsh restore refuses it");
    g_assert_cmpuint(m->problem.offset, ==, 0);
    model_free(m);
    m = read_bytes(k.bytes->data, k.bytes->len - 600, true);
    g_assert_cmpuint(m->problem.offset, >, 1000);       /* what is missing comes first */
    model_free(m);

    put_libvirt(&z, 1, "LibvirtQemudSave");
    g_autofree uint8_t *packed = g_malloc(stream.bytes->len + 1000);
    z_stream d = { 0 };
    g_assert_cmpint(deflateInit2(&d, 6, Z_DEFLATED, 15 + 16, 8, 0), ==, Z_OK);
    d.next_in = stream.bytes->data;
    d.avail_in = stream.bytes->len;
    d.next_out = packed;
    d.avail_out = stream.bytes->len + 1000;
    g_assert_cmpint(deflate(&d, Z_FINISH), ==, Z_STREAM_END);
    maker_put(&z, false, packed, d.total_out);
    deflateEnd(&d);
    m = read_bytes(z.bytes->data, z.bytes->len, true);
    g_assert_cmpstr(m->problem.text, ==, NULL);
    g_assert_cmpuint(m->blocks->len, ==, 2);
    model_free(m);
    z.bytes->data[z.bytes->len - 20] ^= 0x55;
    m = read_bytes(z.bytes->data, z.bytes->len, true);
    g_assert_nonnull(m->problem.text);
    model_free(m);

    put_libvirt(&x, 3, "LibvirtQemudSave");
    m = read_bytes(x.bytes->data, x.bytes->len, true);
    g_assert_cmpstr(m->problem.text, ==, "the stream is compressed: unpack it with \"tail -c +1093 "
                                         "FILE | xz -dc | ferry-inspect ... -\"");
    model_free(m);
    maker_free(&stream);
    maker_free(&k);
    maker_free(&z);
    maker_free(&x);
}

/* A mapped-ram (or fixed-ram) file with pages 0 and 5 present. */
static Maker make_mapped(bool fixed)
{
    Maker k = maker_new();
    uint64_t bitmap = 1 << 0 | 1 << 5;
    const char *cap = fixed ? "fixed-ram" : "mapped-ram";

    maker_put_header(&k);
    maker_put_be(&k, true, 5, 1);
    maker_put_name(&k, "configuration/capabilities");
    maker_put_be(&k, true, 1, 4);
    maker_put_be(&k, true, 1, 4);
    maker_put_name(&k, cap);
    maker_put_start(&k);
    maker_put_be(&k, true, BLOCK_PAGES * PAGE | 4, 8);
    maker_put_name(&k, "ram");
    maker_put_be(&k, true, BLOCK_PAGES * PAGE, 8);
    uint64_t header = k.bytes->len;
    if (fixed) {
        maker_put_be(&k, true, 8, 4);
        maker_put_be(&k, true, 0x100000, 8);
    } else {
        maker_put_be(&k, true, 1, 4);
        maker_put_be(&k, true, PAGE, 8);
        maker_put_be(&k, true, header + 28, 8);
        maker_put_be(&k, true, 0x100000, 8);
    }
    bitmap = GUINT64_TO_LE(bitmap);
    maker_put(&k, false, &bitmap, 8);
    g_autofree uint8_t *area = g_malloc0(0x100000);
    maker_put(&k, false, area, 0x100000 - k.bytes->len);
    memset(area, 'A', PAGE);
    memset(area + 5 * PAGE, 'B', PAGE);
    memset(area + 6 * PAGE, 'x', PAGE);     /* stale: its bit is clear */
    maker_put(&k, false, area, BLOCK_PAGES * PAGE);
    maker_put_eos(&k, 2);
    for (int type = 2; type <= 3; type++) {
        maker_put_part(&k, type);
        if (fixed) {
            maker_put_footer(&k, 2);
        } else {
            maker_put_eos(&k, 2);
        }
    }
    maker_put_devices(&k);
    maker_put_be(&k, true, 0, 1);
    return k;
}

static void test_mapped(void)
{
    for (int fixed = 0; fixed < 2; fixed++) {
        Maker k = make_mapped(fixed);
        Model *m = read_bytes(k.bytes->data, k.bytes->len, true);
        g_assert_cmpstr(m->problem.text, ==, NULL);
        const RamBlock *b = g_ptr_array_index(m->blocks, 0);
        g_assert_cmpint(b->data[0], ==, 'A');
        g_assert_cmpint(b->data[5 * PAGE], ==, 'B');
        g_assert_cmpint(b->data[6 * PAGE], ==, 0);
        g_assert_cmpuint(b->seen_pages, ==, 2);
        model_free(m);
        uint64_t bitmap_at = b ? 0 : 0;
        for (guint i = 0; i < 0x1000; i++) {    /* a bit beyond the block */
            if (k.bytes->data[i] == 0x21 && !k.structure->data[i]) {
                bitmap_at = i;
            }
        }
        k.bytes->data[bitmap_at + 5] |= 1;
        m = read_bytes(k.bytes->data, k.bytes->len, true);
        g_assert_cmpstr(m->problem.text, ==, "section 'ram' (start): block 'ram': the bitmap has a "
                                             "bit for page 40, the block 40 pages");
        g_assert_cmpuint(m->problem.offset, ==, bitmap_at + 5);
        model_free(m);
        maker_free(&k);
    }
}

/* ---- what is wrong ---- */

static void test_bad(void)
{
    static const struct {
        const char *find; int len, plus; uint8_t value; const char *text;
    } bad[] = {
        { "QEVM", 4, 0, 'q', "not a migration stream: magic 71 45 56 4d, expected \"QEVM\"" },
        { "QEVM", 4, 7, 2, "stream version 2, expected 3" },
        { "\1\0\0\0\2\3ram", 9, 5, 2, "live section 'ra' is not known" },
        { "\3ram\0\0\0\0\0\0\0\4", 12, 11, 5,
          "section 'ram' instance 0 version 5, expected 0 and 4" },
        { "\3ram\0\0\0\0\0\2\x80\0", 12, 10, 0x81,
          "section 'ram' (start): block 'ram': 164096 bytes, expected a multiple of 4096, at most "
          "172032" },
        { "\3rom\0\0\0\0\0\0\x20\0", 12, 2, 'a', "section 'ram' (start): block 'ram' is listed "
          "twice" },
        { "\2\0\0\0\2", 5, 4, 3, "part of section id 3, which was never started" },
        { "\0\0\0\0\0\0\0\10\3ram", 12, 11, 'x', "section 'ram' (part): page of an unknown block "
          "'rax'" },
        { "\0\0\0\0\0\0\x10\x22\0", 9, 8, 0x41, "section 'ram' (part): block 'ram' page 1 (0x1000): "
          "zero page with fill byte 0x41" },
        { "\0\0\0\0\0\0\x10\x22\0", 9, 7, 0x0a, "section 'ram' (part): unknown record, word "
          "0x000000000000100a (flags 0xa)" },
        { "\0\0\0\0\0\0\x10\x22\0", 9, 5, 4, "section 'ram' (part): block 'ram': page offset "
          "0x41000 is beyond its length 0x28000" },
        { "\1\0\5\2\3" "abc", 8, 0, 2, "section 'ram' (part): block 'ram' page 4 (0x4000): delta "
          "with encoding 0x02, expected 0x01" },
        { "\1\0\5\2\3" "abc", 8, 1, 0x20, "section 'ram' (part): block 'ram' page 4 (0x4000): delta "
          "of 8197 bytes, expected 1 to 4096" },
        { "\1\0\5\2\3" "abc", 8, 4, 4, "section 'ram' (part): block 'ram' page 4 (0x4000): delta of "
          "5 bytes ends inside a run" },
        { "\xff\x1f\1Z", 4, 2, 2, "section 'ram' (part): block 'ram' page 1 (0x1000): delta of 4 "
          "bytes goes beyond the page" },
        { "\xff\x1f\1Z", 4, 1, 0x9f, "section 'ram' (part): block 'ram' page 1 (0x1000): delta of 4 "
          "bytes has an invalid run length" },
        { "\3\0\0\0\2\0\0\0\0\0\0\0\x10", 13, 0, 9, "unknown section type 0x09" },
        { "\4\0\0\0\0\5timer", 11, 6, 'T', "section 'Timer' instance 0, the description has 'timer' "
          "instance 0 here" },
        { "timer\0\0\0\0\0\0\0\2", 13, 12, 3, "section 'timer' instance 0 has version 3, its "
          "description says 2" },
        { "\x7e\0\0\0\0", 5, 0, 0x7f, "section 'timer' (full at 0xa220): no footer: byte 0x7f, "
          "expected 0x7e" },
        { "\x7e\0\0\0\4", 5, 4, 5, "section 'fw_cfg' (full at 0xa250): footer with id 5, expected "
          "4" },
        { "\5\12fw_cfg/dma", 12, 10, 'x', "section 'fw_cfg' instance 0: subsection 'fw_cfg/dma' of "
          "the description is not there" },
        { "fw_cfg/dma\0\0\0\0", 14, 13, 1, "section 'fw_cfg' instance 0: subsection 'fw_cfg/dma' "
          "has version 1, its description says 0" },
        { "\"page_size\": 4096", 17, 16, '7', "the description has page size 4097, expected 4096" },
        { "\"size\": 8}, {", 13, 8, '9', "section 'timer' instance 0: the description of field "
          "'cpu_ticks_offset' says int64 of 9 bytes" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Maker k = maker_stream();
        uint8_t *p = memmem(k.bytes->data, k.bytes->len, bad[i].find, bad[i].len);
        g_assert_nonnull(p);
        p[bad[i].plus] = bad[i].value;
        Model *m = read_bytes(k.bytes->data, k.bytes->len, true);
        if (!m->problem.text || !g_str_has_prefix(m->problem.text, bad[i].text)) {
            g_error("case %zu: expected '%s', got '%s'", i, bad[i].text, m->problem.text);
        }
        model_free(m);
        maker_free(&k);
    }
}

static void test_truncated(void)
{
    Maker k = maker_stream();
    guint whole = k.bytes->len - strlen(maker_description) - 5;

    for (guint len = 0; len < k.bytes->len; len += len > 500 && len < 41000 ? 37 : 1) {
        Model *m = read_bytes(k.bytes->data, len, true);
        if (len == whole) {
            g_assert_cmpstr(m->problem.text, ==, NULL);     /* a stream without description */
        } else {
            g_assert_nonnull(m->problem.text);
            g_assert_cmpuint(m->problem.offset, <=, len);
        }
        model_free(m);
    }
    maker_free(&k);
}

/* ---- 10,000 corruptions ---- */

static void corrupt_and_check(GRand *rand, const Maker *k, guint at)
{
    g_autofree uint8_t *copy = g_memdup2(k->bytes->data, k->bytes->len);
    uint8_t was = copy[at];

    copy[at] = g_rand_boolean(rand) ? was ^ 1 << g_rand_int_range(rand, 0, 8)
                                    : (uint8_t)g_rand_int(rand);
    if (copy[at] == was) {
        return;
    }
    Model *m = read_bytes(copy, k->bytes->len, g_rand_boolean(rand));
    if (k->structure->data[at]) {
        if (!m->problem.text) {
            g_error("byte %u changed from %02x to %02x: not found", at, was, copy[at]);
        }
        /*
         * Placed: in the record that has the byte or where what it took along
         * ends. A block of another name is as good as any until it is used.
         */
        bool late = strstr(m->problem.text, "never sent") || strstr(m->problem.text, "has not") ||
                    strstr(m->problem.text, "has ended") ||
                    strstr(m->problem.text, "unknown block");
        if (!late && (m->problem.offset + 64 < at || m->problem.offset > at + 3 * PAGE)) {
            g_error("byte %u changed from %02x to %02x: placed at %" G_GUINT64_FORMAT ": %s", at,
                    was, copy[at], m->problem.offset, m->problem.text);
        }
    }
    g_autofree char *text = show_text(m, "x"), *json = show_json(m, "x");
    g_assert_true(*text && *json);
    model_free(m);
}

static void test_corruptions(void)
{
    Maker k = maker_stream();
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(GArray) structure = g_array_new(false, false, sizeof(guint));

    g_test_message("seed %u", seed);
    for (guint i = 0; i < k.bytes->len; i++) {
        if (k.structure->data[i]) {
            g_array_append_val(structure, i);
        }
    }
    for (int i = 0; i < 10000; i++) {   /* half anywhere, half in the structure */
        guint at = i % 2 ? (guint)g_rand_int_range(rand, 0, k.bytes->len)
                         : g_array_index(structure, guint,
                                         g_rand_int_range(rand, 0, structure->len));
        corrupt_and_check(rand, &k, at);
    }
    maker_free(&k);
}

/* Every structural byte once, each of its bits. */
static void test_every_structure_bit(void)
{
    Maker k = maker_stream();

    for (guint at = 0; at < k.bytes->len; at++) {
        for (int bit = 0; bit < 8 && k.structure->data[at]; bit++) {
            k.bytes->data[at] ^= 1 << bit;
            Model *m = read_bytes(k.bytes->data, k.bytes->len, false);
            if (!m->problem.text) {
                g_error("byte %u bit %d: not found", at, bit);
            }
            model_free(m);
            k.bytes->data[at] ^= 1 << bit;
        }
    }
    maker_free(&k);
}

/* ---- extract ---- */

static void test_extract(void)
{
    Maker k = maker_stream();
    Model *m = read_bytes(k.bytes->data, k.bytes->len, true);
    g_autofree char *error = NULL, *page = extract_page(m, "ram+0x4002", &error);
    g_assert_true(g_str_has_prefix(page, "block 'ram' page 4 (0x4000)\n"
                                         "00004000  04 0b 61 62 63 27"));
    g_autofree char *by_address = extract_page(m, "0x4000", &error);
    g_assert_cmpstr(by_address, ==, page);
    g_assert_null(extract_page(m, "0x99999999", &error));
    g_assert_cmpstr(error, ==, "There is no RAM at '0x99999999'");
    g_clear_pointer(&error, g_free);
    g_assert_null(extract_page(m, "zz", &error));
    g_clear_pointer(&error, g_free);
    g_assert_false(extract_ram(m, "nope", "/nonexistent/x", &error));
    g_assert_cmpstr(error, ==, "There is no RAM block 'nope', only: ram, rom");
    g_clear_pointer(&error, g_free);
    g_assert_false(extract_ram(m, "ram", "/nonexistent/x", &error));
    g_assert_cmpstr(error, ==, "Could not create '/nonexistent/x': No such file or directory");
    g_clear_pointer(&error, g_free);
    g_assert_false(extract_elf(m, "/nonexistent/x", &error));
    g_assert_nonnull(strstr(error, "no CPU"));

    g_clear_pointer(&error, g_free);
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "ferry-inspect-test.raw", NULL);
    g_autofree char *raw = NULL;
    gsize len;
    g_assert_true(extract_ram(m, "ram", path, &error));
    g_assert_true(g_file_get_contents(path, &raw, &len, NULL));
    unlink(path);
    const RamBlock *b = g_ptr_array_index(m->blocks, 0);
    g_assert_cmpmem(raw, len, b->data, b->length);
    model_free(m);
    maker_free(&k);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inspect/good", test_good);
    g_test_add_func("/inspect/without-description", test_without_description);
    g_test_add_func("/inspect/diff", test_diff);
    g_test_add_func("/inspect/padding", test_padding);
    g_test_add_func("/inspect/libvirt", test_libvirt);
    g_test_add_func("/inspect/mapped", test_mapped);
    g_test_add_func("/inspect/bad", test_bad);
    g_test_add_func("/inspect/truncated", test_truncated);
    g_test_add_func("/inspect/corruptions", test_corruptions);
    g_test_add_func("/inspect/every-structure-bit", test_every_structure_bit);
    g_test_add_func("/inspect/extract", test_extract);
    return g_test_run();
}
