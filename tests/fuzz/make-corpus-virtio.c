/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the seeds of fuzz-virtio into a folder: what a stream says of each device in use. */
#include <stdio.h>
#include "virtio-subjects.h"

/* As fuzz-virtio unpacks it. */
static GByteArray *pack(uint8_t choice, const GByteArray *section)
{
    GByteArray *out = g_byte_array_new();

    g_byte_array_append(out, &choice, 1);
    for (guint i = 0; i < section->len; i++) {
        uint8_t unit[3] = { section->data[i] };
        unsigned zeros = 0;

        while (unit[0] == 0 && zeros < 0xffff && i + 1 < section->len &&
               section->data[i + 1] == 0) {
            zeros++;
            i++;
        }
        unit[1] = zeros;
        unit[2] = zeros >> 8;
        g_byte_array_append(out, unit, unit[0] == 0 ? 3 : 1);
    }
    return out;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make-corpus-virtio FOLDER\n");
        return 2;
    }
    VirtIOSubjects *m = virtio_subjects_new();

    for (unsigned i = 0; i < VIRTIO_SUBJECTS; i++) {
        g_autofree char *path = g_strdup_printf("%s/device-%u", argv[1], i);
        GByteArray *seed = pack(i, m->subjects[i].section);

        g_assert_true(g_file_set_contents(path, (char *)seed->data, seed->len, NULL));
        g_byte_array_unref(seed);
    }
    return 0;
}
