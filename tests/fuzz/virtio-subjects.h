/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A board whose virtio devices have queues in use, and what a stream says of each. */
#ifndef TESTS_VIRTIO_SUBJECTS_H
#define TESTS_VIRTIO_SUBJECTS_H

#include "tests/unit/virtio-driver.h"

#define VIRTIO_SUBJECTS 5
#define VIRTIO_SUBJECT_RING 0x4000  /* bytes of memory for one queue, from RING_BASE on */

/* One device: its section's name in a stream, and the section. */
typedef struct VirtIOSubject {
    char idstr[256];
    uint32_t instance, version;
    GByteArray *section;
} VirtIOSubject;

typedef struct VirtIOSubjects {
    BoardFixture *f;
    VirtIOSubject subjects[VIRTIO_SUBJECTS];
    uint8_t rings[VIRTIO_SUBJECTS * 2 * VIRTIO_SUBJECT_RING];   /* guest memory at RING_BASE */
} VirtIOSubjects;

/** Makes the board, plays the guest, saves. Lives as long as the process. */
VirtIOSubjects *virtio_subjects_new(void);

#endif
