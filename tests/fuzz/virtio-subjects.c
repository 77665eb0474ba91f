/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio-subjects.h"
#include <string.h>
#include "hw/virtio/virtio-blk.h"
#include "migration/stream/format.h"

static const char *const names[VIRTIO_SUBJECTS] = {
    "virtio-blk", "virtio-rng", "virtio-net", "virtio-console", "virtio-balloon",
};

static uint64_t ring_place(unsigned device, unsigned queue)
{
    return RING_BASE + (device * 2 + queue % 2) * VIRTIO_SUBJECT_RING;
}

/* A queue with two buffers of the guest's that the device has been told of. */
static Driver drive(BoardFixture *f, unsigned device, unsigned queue, uint16_t flags)
{
    Driver d = driver_new(f, names[device], queue);

    driver_move(&d, ring_place(device, queue));
    driver_init(&d);
    for (unsigned i = 12; i < 14 && device != 0; i++) {
        put_desc(&d, i, DATA_BASE + 0x100000 + 0x1000 * i, 64, flags, 0);
        offer(&d, i);
    }
    return d;
}

static void drive_all(BoardFixture *f)
{
    Driver disk = drive(f, 0, 0, 0);
    Driver kicked[] = {
        drive(f, 1, 0, 2), drive(f, 2, 0, 2), drive(f, 2, 1, 0), drive(f, 3, 0, 2),
        drive(f, 3, 1, 0), drive(f, 4, 0, 0), drive(f, 4, 2, 0),
    };

    board_fixture_run(f, true);
    for (size_t i = 0; i < G_N_ELEMENTS(kicked); i++) {
        kick(&kicked[i]);
    }
    board_fixture_run(f, false);
    driver_keep_requests(&disk); /* they would not be kept for long */
}

/* Where the head of the section whose name ends at `at` has the length of that name. */
static const uint8_t *name_of(const uint8_t *at)
{
    const uint8_t *start = at - 2;

    while (*start != at - start - 1 || start[-5] != SECTION_FULL) {
        start--;
    }
    return start;
}

/* Nothing tells how long a section is: it ends where its footer is. */
static void find_section(VirtIOSubject *s, const char *name, const GByteArray *bytes)
{
    g_autofree char *tail = g_strdup_printf("/%s", name);
    const uint8_t *end = bytes->data + bytes->len;
    const uint8_t *at = memmem(bytes->data, bytes->len, tail, strlen(tail));
    uint8_t footer[5] = { SECTION_FOOTER };
    uint32_t words[2];

    g_assert_nonnull(at);
    at += strlen(tail);
    const uint8_t *start = name_of(at);

    memcpy(s->idstr, start + 1, *start);
    memcpy(words, at, sizeof(words));
    s->instance = GUINT32_FROM_BE(words[0]);
    s->version = GUINT32_FROM_BE(words[1]);
    memcpy(footer + 1, start - 4, 4);
    at += sizeof(words);
    const uint8_t *stop = memmem(at, end - at, footer, sizeof(footer));

    g_assert_nonnull(stop);
    s->section = g_byte_array_new();
    g_byte_array_append(s->section, at, stop - at);
}

VirtIOSubjects *virtio_subjects_new(void)
{
    VirtIOSubjects *m = g_new0(VirtIOSubjects, 1);

    m->f = board_fixture_new(&(BoardOptions){ .virtio = true });
    g_assert_null(board_fixture_device(m->f, "virtio-balloon-device"));
    drive_all(m->f);
    address_space_read(m->f->machine.as, RING_BASE, m->rings, sizeof(m->rings));
    GByteArray *bytes = board_fixture_save(m->f, NULL);

    for (size_t i = 0; i < VIRTIO_SUBJECTS; i++) {
        find_section(&m->subjects[i], names[i], bytes);
    }
    g_byte_array_unref(bytes);
    return m;
}
