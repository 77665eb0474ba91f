/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages come through userfaultfd: the kernel stops whoever touches one that is
 * not in the mapping and tells the thread here, which asks for it, or gives
 * zeros if the page is here and merely was never touched. Called by
 * present-map.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "softmmu/guest-ram.h"
#include "softmmu/present-engine.h"
#include "util/error.h"

#define MESSAGES 16

struct PresentEngine {
    PresentMap *map;
    RAMList *ram;
    int fd;             /* userfaultfd, not blocking */
    int quit_fd;        /* eventfd: the thread is to end */
    GThread *thread;    /* from arm on */
    size_t registered;  /* blocks, from the first */
};

/* ---- the kernel's calls ---- */

static struct uffdio_range block_range(const RAMBlock *block)
{
    return (struct uffdio_range){ .start = (uintptr_t)block->host, .len = block->used_length };
}

static bool register_block(PresentEngine *e, const RAMBlock *block, GError **errp)
{
    struct uffdio_register r = {
        .range = block_range(block), .mode = UFFDIO_REGISTER_MODE_MISSING,
    };
    uint64_t needs = 1ULL << _UFFDIO_COPY | 1ULL << _UFFDIO_ZEROPAGE;

    if (ioctl(e->fd, UFFDIO_REGISTER, &r) < 0) {
        error_setg_errno(errp, errno, "userfaultfd cannot watch RAM block '%s': give the guest "
                         "memory that is no named file, or use x-postcopy-engine=software",
                         block->idstr);
        return false;
    }
    if ((r.ioctls & needs) != needs) {
        error_setg(errp, "userfaultfd cannot fill RAM block '%s': use x-postcopy-engine=software",
                   block->idstr);
        return false;
    }
    return true;
}

static void unregister_blocks(PresentEngine *e)
{
    for (; e->registered; e->registered--) {
        struct uffdio_range range = block_range(ram_list_get(e->ram, e->registered - 1));
        ioctl(e->fd, UFFDIO_UNREGISTER, &range);    /* wakes who waits there */
    }
}

static bool register_blocks(PresentEngine *e, GError **errp)
{
    for (; e->registered < ram_list_count(e->ram); e->registered++) {
        if (!register_block(e, ram_list_get(e->ram, e->registered), errp)) {
            unregister_blocks(e);
            return false;
        }
    }
    return true;
}

static void wake_range(PresentEngine *e, uint64_t start)
{
    struct uffdio_range range = { .start = start, .len = TARGET_PAGE_SIZE };

    ioctl(e->fd, UFFDIO_WAKE, &range);
}

/* 0, or errno; EEXIST: there is something already. */
static int copy_page(PresentEngine *e, uint64_t start, const void *content)
{
    struct uffdio_copy copy = { .dst = start, .src = (uintptr_t)content, .len = TARGET_PAGE_SIZE };

    do {
        copy.copy = 0;
    } while (ioctl(e->fd, UFFDIO_COPY, &copy) < 0 && errno == EAGAIN);
    return copy.copy == (int64_t)TARGET_PAGE_SIZE ? 0 : errno;
}

static int zero_page(PresentEngine *e, uint64_t start)
{
    struct uffdio_zeropage zero = { .range = { .start = start, .len = TARGET_PAGE_SIZE } };

    do {
        zero.zeropage = 0;
    } while (ioctl(e->fd, UFFDIO_ZEROPAGE, &zero) < 0 && errno == EAGAIN);
    return zero.zeropage == (int64_t)TARGET_PAGE_SIZE ? 0 : errno;
}

/* ---- who touches by itself ---- */

static RAMBlock *block_at(const PresentEngine *e, uint64_t host)
{
    for (size_t i = 0; i < ram_list_count(e->ram); i++) {
        RAMBlock *block = ram_list_get(e->ram, i);
        if (host - (uintptr_t)block->host < block->used_length) {
            return block;
        }
    }
    return NULL;
}

static void touched(PresentEngine *e, uint64_t host)
{
    uint64_t start = host & ~(TARGET_PAGE_SIZE - 1);
    const RAMBlock *block = block_at(e, host);

    /* need() asks; the page that comes wakes whoever touched it */
    if (block && !present_map_need(e->map, block, start - (uintptr_t)block->host, 1,
                                   PRESENT_USER_DEVICE, NULL)) {
        return;
    }
    if (zero_page(e, start) == EEXIST) {
        wake_range(e, start);   /* it has come meanwhile */
    }
}

/* False: nothing more to read now. */
static bool read_touches(PresentEngine *e)
{
    struct uffd_msg messages[MESSAGES];
    ssize_t n = read(e->fd, messages, sizeof(messages));

    for (ssize_t i = 0; i < n / (ssize_t)sizeof(messages[0]); i++) {
        if (messages[i].event == UFFD_EVENT_PAGEFAULT) {
            touched(e, messages[i].arg.pagefault.address);
        }
    }
    return n > 0;
}

/*
 * Hears who touches a page that is not in the mapping. Owns: nothing. Waits
 * on: the userfaultfd, quit_fd. Ends when: end writes to quit_fd.
 */
static gpointer touch_loop(gpointer opaque)
{
    PresentEngine *e = opaque;
    struct pollfd fds[] = { { .fd = e->fd, .events = POLLIN }, { .fd = e->quit_fd, .events = POLLIN } };

    for (;;) {
        int n = poll(fds, G_N_ELEMENTS(fds), -1);

        if (n < 0 && errno != EINTR) {
            return NULL;
        }
        if (n > 0 && fds[1].revents) {
            return NULL;
        }
        while (n > 0 && fds[0].revents && read_touches(e)) {
        }
    }
}

/* ---- the table ---- */

static bool check_blocks(const RAMList *ram, GError **errp)
{
    for (size_t i = 0; i < ram_list_count(ram); i++) {
        const RAMBlock *block = ram_list_get(ram, i);
        if (block->page_size != TARGET_PAGE_SIZE) {
            error_setg(errp, "userfaultfd cannot place 4 KiB in RAM block '%s', whose pages have %"
                       PRIu64 " bytes: use x-postcopy-engine=software", block->idstr,
                       block->page_size);
            return false;
        }
    }
    return true;
}

static bool open_fds(PresentEngine *e, GError **errp)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM };

    e->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (e->fd < 0) {
        error_setg_errno(errp, errno, "this process %s: %s x-postcopy-engine=software",
                         errno == EPERM ? "may not use userfaultfd" : "cannot use userfaultfd",
                         errno == EPERM ? "allow it (sysctl vm.unprivileged_userfaultfd=1, or "
                                          "CAP_SYS_PTRACE), or use" : "use");
        return false;
    }
    if (ioctl(e->fd, UFFDIO_API, &api) < 0) {
        error_setg_errno(errp, errno, "this kernel's userfaultfd does not know shared memory: use "
                         "x-postcopy-engine=software");
        return false;
    }
    e->quit_fd = eventfd(0, EFD_CLOEXEC);
    if (e->quit_fd < 0) {
        error_setg_errno(errp, errno, "cannot create an eventfd");
        return false;
    }
    return true;
}

static void userfaultfd_end(PresentEngine *e)
{
    if (e->thread) {
        uint64_t one = 1;
        ssize_t n = write(e->quit_fd, &one, sizeof(one));

        g_assert_cmpint(n, ==, sizeof(one));
        g_thread_join(e->thread);
    }
    unregister_blocks(e);
    if (e->fd >= 0) {
        close(e->fd);
    }
    if (e->quit_fd >= 0) {
        close(e->quit_fd);
    }
    g_free(e);
}

static PresentEngine *userfaultfd_begin(PresentMap *map, RAMList *ram, GError **errp)
{
    PresentEngine *e = g_new0(PresentEngine, 1);

    *e = (PresentEngine){ .map = map, .ram = ram, .fd = -1, .quit_fd = -1 };
    if (!check_blocks(ram, errp) || !open_fds(e, errp) || !register_blocks(e, errp)) {
        userfaultfd_end(e);
        return NULL;
    }
    unregister_blocks(e);   /* it works; until arm memory is filled as ever */
    return e;
}

/* The pages of a run leave the mapping. */
static bool punch(const RAMBlock *block, uint64_t first, uint64_t end, GError **errp)
{
    if (fallocate(block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first << TARGET_PAGE_BITS,
                  (end - first) << TARGET_PAGE_BITS) < 0) {
        error_setg_errno(errp, errno, "cannot give back missing memory of RAM block '%s'",
                         block->idstr);
        return false;
    }
    return true;
}

static bool punch_missing(const RAMBlock *block, GError **errp)
{
    uint64_t pages = ram_block_pages(block), run = 0;
    bool in_run = false;

    for (uint64_t page = 0; page <= pages; page++) {
        bool missing = page < pages && (block->missing[page / 64] >> (page % 64) & 1);

        if (missing && !in_run) {
            run = page;
        } else if (!missing && in_run && !punch(block, run, page, errp)) {
            return false;
        }
        in_run = missing;
    }
    return true;
}

static bool userfaultfd_arm(PresentEngine *e, GError **errp)
{
    for (size_t i = 0; i < ram_list_count(e->ram); i++) {
        if (!punch_missing(ram_list_get(e->ram, i), errp)) {
            return false;
        }
    }
    e->thread = thread_start("page faults", touch_loop, e, errp);
    return e->thread && register_blocks(e, errp);
}

static void userfaultfd_place(PresentEngine *e, RAMBlock *block, uint64_t page, const void *content)
{
    uint64_t start = (uintptr_t)block->host + (page << TARGET_PAGE_BITS);
    int err = content ? copy_page(e, start, content) : zero_page(e, start);

    if (err) { /* it is in the mapping for some reason, or memory is short: as software does it */
        present_engine_software.place(e, block, page, content);
        wake_range(e, start);
    }
}

const PresentEngineOps present_engine_userfaultfd = {
    .name = "userfaultfd",
    .begin = userfaultfd_begin,
    .arm = userfaultfd_arm,
    .place = userfaultfd_place,
    .end = userfaultfd_end,
};
