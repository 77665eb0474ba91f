/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes what a stream says of a virtio device whose queues are in use: the
 * section of one device is loaded into a board whose memory holds the rings,
 * then the device runs. It may load or be refused; nothing else.
 *
 * The first byte chooses the device. The rest is its section, in which the
 * long runs of zeros are packed: a 0 byte, then 16 bits, little endian, of
 * how many more follow. Called with a folder as its only argument, before
 * anything else, the program writes the seeds (--write-seeds FOLDER).
 */
#include <string.h>
#include "hw/virtio/virtio-blk.h"
#include "virtio-subjects.h"

#define SECTION_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Instead of softmmu/report.c: thousands of refusals are not worth a line each. */
void machine_report(const Machine *machine, const char *fmt, ...)
{
}

static GByteArray *unpack(const uint8_t *data, size_t size)
{
    static const uint8_t zeros[65536];
    GByteArray *out = g_byte_array_new();

    for (size_t i = 0; i < size && out->len < SECTION_MAX; i++) {
        g_byte_array_append(out, data + i, 1);
        if (data[i] == 0 && i + 2 < size) {
            g_byte_array_append(out, zeros, data[i + 1] | data[i + 2] << 8);
            i += 2;
        }
    }
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static VirtIOSubjects *m;
    g_autoptr(GError) err = NULL;

    if (size < 1) {
        return 0;
    }
    m = m ? m : virtio_subjects_new();
    VirtIOSubject *s = &m->subjects[data[0] % VIRTIO_SUBJECTS];
    GByteArray *section = unpack(data + 1, size - 1);
    StreamReader *r = stream_reader_new_memory(section->data, section->len);

    address_space_write(m->f->machine.as, RING_BASE, m->rings, sizeof(m->rings));
    vmstate_load_begin(m->f->machine.vmstate);
    bool ok = vmstate_load_section(m->f->machine.vmstate, r, s->idstr, s->instance, s->version,
                                   &err);
    g_assert_true(ok == !err);  /* a refusal says why */
    board_fixture_run(m->f, true);
    blk_io_drain((VirtIOBlk *)board_fixture_virtio(m->f, "virtio-blk"));
    board_fixture_run(m->f, false);
    stream_reader_free(r);
    g_byte_array_unref(section);
    return 0;
}
