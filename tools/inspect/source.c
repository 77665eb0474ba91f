/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See source.h. Used by the stream walker; knows nothing of what the bytes mean. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "source.h"

#define SOURCE_BUFFER (1U << 20)
#define SOURCE_RAW (256U << 10)
#define SOURCE_SEEK_FROM (1U << 20)     /* shorter jumps are read over */
#define PROGRESS_STEP (32U << 20)

struct Source {
    int fd;                 /* -1: memory */
    bool own_fd, seekable;
    uint64_t file_size;     /* 0: not known */
    uint64_t offset;        /* of buf[start] */
    uint8_t *buf;           /* buf[start..end) is the window */
    size_t cap, start, end;
    bool eof;
    int err;
    z_stream *z;            /* unpacking */
    uint8_t *raw;
    const char *progress;
    uint64_t bytes_read, next_progress;
    gint64 began;
};

static Source *source_new(int fd, bool own_fd)
{
    Source *s = g_new0(Source, 1);
    struct stat st;

    s->fd = fd;
    s->own_fd = own_fd;
    s->cap = SOURCE_BUFFER;
    s->buf = g_malloc(s->cap);
    s->began = g_get_monotonic_time();
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        s->seekable = at >= 0;
        s->offset = MAX(at, 0);
        s->file_size = st.st_size;
    }
    return s;
}

Source *source_open(const char *path, char **error)
{
    bool is_stdin = g_str_equal(path, "-");
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))) {
        *error = g_strdup_printf("Could not open '%s': %s", path,
                                 g_strerror(fd < 0 ? errno : EISDIR));
        if (fd >= 0 && !is_stdin) {
            close(fd);
        }
        return NULL;
    }
    Source *s = source_new(fd, !is_stdin);
    const uint8_t *magic = source_peek(s, 2);
    if (magic && magic[0] == 0x1f && magic[1] == 0x8b) {
        source_gunzip_from_here(s);
    }
    return s;
}

Source *source_open_memory(const void *data, size_t len)
{
    Source *s = source_new(-1, false);

    g_free(s->buf);
    s->buf = g_malloc(len + 1);
    memcpy(s->buf, data, len);
    s->end = len;
    s->cap = len + 1;
    s->eof = true;
    return s;
}

void source_free(Source *s)
{
    if (!s) {
        return;
    }
    if (s->progress && s->next_progress) {
        fprintf(stderr, "\r%*s\r", 40, "");
    }
    if (s->z) {
        inflateEnd(s->z);
        g_free(s->z);
    }
    if (s->own_fd) {
        close(s->fd);
    }
    g_free(s->raw);
    g_free(s->buf);
    g_free(s);
}

void source_set_progress(Source *s, const char *what)
{
    s->progress = isatty(STDERR_FILENO) ? what : NULL;
}

static void show_progress(Source *s)
{
    if (!s->progress || s->bytes_read < s->next_progress ||
        g_get_monotonic_time() - s->began < G_USEC_PER_SEC / 2) {
        return;
    }
    s->next_progress = s->bytes_read + PROGRESS_STEP;
    if (s->file_size) {
        fprintf(stderr, "\r%s: %3u%%", s->progress,
                (unsigned)(100.0 * MIN(s->offset, s->file_size) / s->file_size));
    } else {
        fprintf(stderr, "\r%s: %" G_GUINT64_FORMAT " MiB", s->progress, s->offset >> 20);
    }
    fflush(stderr);
}

/* Up to n bytes from the descriptor; 0 at the end and on errors (err is set). */
static size_t read_some(Source *s, void *buf, size_t n)
{
    ssize_t got;

    do {
        got = s->fd < 0 ? 0 : read(s->fd, buf, n);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        s->err = errno;
        return 0;
    }
    s->bytes_read += got;
    show_progress(s);
    return got;
}

static size_t inflate_read(Source *s, uint8_t *buf, size_t n)
{
    s->z->next_out = buf;
    s->z->avail_out = MIN(n, G_MAXUINT32);
    while (s->z->avail_out > 0) {
        if (s->z->avail_in == 0) {
            s->z->next_in = s->raw;
            s->z->avail_in = read_some(s, s->raw, SOURCE_RAW);
            if (s->z->avail_in == 0) {
                s->err = s->err ? s->err : EILSEQ;  /* ends inside the packed data */
                break;
            }
        }
        int rc = inflate(s->z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END) {
            s->fd = -1;
            s->eof = true;
            break;
        }
        if (rc != Z_OK && rc != Z_BUF_ERROR) {
            s->err = EILSEQ;
            break;
        }
    }
    return s->z->next_out - buf;
}

/* One step of filling; false when nothing more comes. */
static bool source_fill(Source *s)
{
    if (s->eof || s->err) {
        return false;
    }
    size_t got = s->z ? inflate_read(s, s->buf + s->end, s->cap - s->end)
                      : read_some(s, s->buf + s->end, s->cap - s->end);
    s->end += got;
    if (got == 0) {
        s->eof = true;
    }
    return got > 0;
}

static void source_make_room(Source *s, size_t n)
{
    if (s->cap - s->start >= n) {
        return;
    }
    memmove(s->buf, s->buf + s->start, s->end - s->start);
    s->end -= s->start;
    s->start = 0;
    while (s->cap < n) {
        s->cap *= 2;
    }
    s->buf = g_realloc(s->buf, s->cap);
}

const uint8_t *source_peek(Source *s, size_t n)
{
    if (s->end - s->start >= n) {
        return s->buf + s->start;
    }
    if (n > SOURCE_WINDOW_MAX || s->eof) {
        return NULL;
    }
    source_make_room(s, n);
    while (s->end - s->start < n) {
        if (!source_fill(s)) {
            return NULL;
        }
    }
    return s->buf + s->start;
}

size_t source_window(const Source *s)
{
    return s->end - s->start;
}

bool source_slurp(Source *s)
{
    while (!s->eof && !s->err) {
        size_t have = s->end - s->start;
        if (have >= SOURCE_WINDOW_MAX) {
            return false;
        }
        source_peek(s, MIN(MAX(have * 2, SOURCE_BUFFER), SOURCE_WINDOW_MAX));
    }
    return true;
}

void source_take(Source *s, size_t n)
{
    g_assert(n <= s->end - s->start);
    s->start += n;
    s->offset += n;
    if (s->start == s->end && !s->eof) {
        s->start = s->end = 0;
    }
}

bool source_read(Source *s, void *buf, size_t n)
{
    uint8_t *p = buf;

    while (n > 0) {
        if (!source_peek(s, 1)) {
            return false;
        }
        size_t have = MIN(n, s->end - s->start);
        memcpy(p, s->buf + s->start, have);
        source_take(s, have);
        p += have;
        n -= have;
    }
    return true;
}

bool source_skip(Source *s, uint64_t n)
{
    size_t have = MIN(n, s->end - s->start);

    source_take(s, have);
    n -= have;
    if (n >= SOURCE_SEEK_FROM && s->seekable && !s->z && s->fd >= 0) {
        if (n > s->file_size || s->offset > s->file_size - n) {
            return false;
        }
        if (lseek(s->fd, n, SEEK_CUR) < 0) {
            s->err = errno;
            return false;
        }
        s->offset += n;
        return true;
    }
    while (n > 0) {
        if (!source_peek(s, 1)) {
            return false;
        }
        have = MIN(n, s->end - s->start);
        source_take(s, have);
        n -= have;
    }
    return true;
}

uint64_t source_offset(const Source *s)
{
    return s->offset;
}

int source_errno(const Source *s)
{
    return s->err;
}

uint64_t source_stored_bytes(const Source *s)
{
    struct stat st;

    return s->fd >= 0 && !s->z && fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode)
               ? (uint64_t)st.st_blocks * 512 : 0;
}

bool source_has_places(const Source *s)
{
    return s->fd >= 0 && s->seekable && !s->z;
}

bool source_at(const Source *s, void *buf, size_t n, uint64_t at, char **error)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(s->fd, (uint8_t *)buf + done, n - done, at + done);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            const char *why = got ? g_strerror(errno) : "the file has become shorter";
            *error = g_strdup_printf("Could not read %zu bytes at offset 0x%" G_GINT64_MODIFIER
                                     "x: %s", n, at, why);
            return false;
        }
        done += MAX(got, 0);
    }
    return true;
}

bool source_is_gzip(const Source *s)
{
    return s->z != NULL;
}

bool source_gunzip_from_here(Source *s)
{
    size_t have = s->end - s->start;

    if (s->z) {
        return false;
    }
    s->z = g_new0(z_stream, 1);
    if (inflateInit2(s->z, 15 + 32) != Z_OK) {
        g_clear_pointer(&s->z, g_free);
        return false;
    }
    s->raw = g_malloc(MAX(SOURCE_RAW, have));
    memcpy(s->raw, s->buf + s->start, have);
    s->z->next_in = s->raw;
    s->z->avail_in = have;
    s->start = s->end = 0;
    s->eof = false;
    s->file_size = 0;
    return true;
}
