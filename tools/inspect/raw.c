/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See raw.h. Called by the command line only. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ram.h"
#include "raw.h"

bool raw_is_bare(const char *path)
{
    uint8_t head[12] = { 0 };
    int fd = g_str_equal(path, "-") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    bool file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read(fd, head, 12) >= 0;

    if (fd >= 0) {
        close(fd);
    }
    return file && memcmp(head, "QEVM", 4) != 0 && memcmp(head, "LibvirtQemud", 12) != 0 &&
           (head[0] != 0x1f || head[1] != 0x8b);
}

static bool read_all(int fd, uint8_t *p, uint64_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, p, MIN(len, 1u << 30));
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        n = MAX(n, 0);
        p += n;
        len -= n;
    }
    return true;
}

/* False with *error. */
static bool fill_block(Model *m, int fd, const char *path, const char *block, char **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || st.st_size == 0 || st.st_size % PAGE) {
        *error = g_strdup_printf("'%s' is neither a migration stream nor the contents of a RAM block: "
                                 "it has not a multiple of %u bytes", path, PAGE);
        return false;
    }
    RamBlock *b = ram_add_block(m, block, st.st_size);
    if (!b) {
        *error = g_strdup_printf("'%s' of %" PRIu64 " bytes does not fit this machine's memory", path,
                                 (uint64_t)st.st_size);
        return false;
    }
    memset(b->written, 0xff, (b->length / PAGE + 63) / 64 * 8);
    if (!read_all(fd, b->data, b->length)) {
        *error = g_strdup_printf("Could not read '%s' to its end", path);
        return false;
    }
    return true;
}

Model *raw_read(const char *path, const char *block, char **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Model *m = model_new(true);

    if (fd < 0) {
        *error = g_strdup_printf("Could not open '%s': %s", path, g_strerror(errno));
    }
    bool ok = fd >= 0 && fill_block(m, fd, path, block, error);
    if (fd >= 0) {
        close(fd);
    }
    if (!ok) {
        model_free(m);
        return NULL;
    }
    return m;
}

bool raw_keep_block(Model *m, const char *block)
{
    for (guint i = m->blocks->len; i > 0; i--) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i - 1);
        if (!g_str_equal(b->name, block)) {
            g_ptr_array_remove_index(m->blocks, i - 1);
        }
    }
    g_ptr_array_set_size(m->sections, 0);
    g_clear_pointer(&m->machine, g_free);
    return m->blocks->len > 0;
}
