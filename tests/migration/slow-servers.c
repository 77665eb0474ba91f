/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded by test-stuck.py: a name server that does not answer for
 * "slow.test", a file server that neither writes nor reads files, nor lets
 * anybody connect, in a folder "hung", however often it is asked, and opens
 * none in a folder "shut", nor tells anything about one, a disk that does not answer for a
 * folder "deaf", and one that behind 1.5 MiB of each file fails for "broken", and
 * does not answer for "stuck". With SLOW_SPAWN set, a disk that is slow to bring the shell.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define GOOD_BYTES 0x180000
#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

/* The shell of a command is slow to come, if SLOW_SPAWN is set. */
static void wait_to_spawn(void)
{
    if (getenv("SLOW_SPAWN")) {
        usleep(150 * 1000);
    }
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    wait_to_spawn();
    return REAL(execve)(path, argv, envp);
}

int execv(const char *path, char *const argv[])
{
    wait_to_spawn();
    return REAL(execv)(path, argv);
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **list)
{
    if (host && strcmp(host, "slow.test") == 0 && !(hints->ai_flags & AI_NUMERICHOST)) {
        sleep(60);
        return EAI_AGAIN;
    }
    return REAL(getaddrinfo)(host, port, hints, list);
}

static bool is_in(int fd, const char *folder)
{
    char link[32], path[256];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    return strstr(path, folder);
}

int open(const char *path, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    if (strstr(path, "/shut/")) {
        sleep(60);
    }
    return REAL(open)(path, flags, mode);
}

int stat(const char *path, struct stat *st)
{
    if (strstr(path, "/shut/")) {
        sleep(60);
    }
    return REAL(stat)(path, st);
}

static void wait_for(int fd, const char *folder)
{
    if (is_in(fd, folder)) {
        sleep(60);
    }
}

static void wait_for_server(int fd)
{
    wait_for(fd, "/hung/");
}

int fdatasync(int fd)
{
    wait_for(fd, "/deaf/");
    return REAL(fdatasync)(fd);
}

/* Far enough for headers, and then a disk that is broken from there on. */
static bool is_broken(int fd, off_t offset)
{
    return offset >= GOOD_BYTES && is_in(fd, "/broken/");
}

/* The same, but it does not answer. */
static void wait_if_stuck(int fd, off_t offset)
{
    if (offset >= GOOD_BYTES) {
        wait_for(fd, "/stuck/");
    }
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    if (addr->sa_family == AF_UNIX && strstr(((const struct sockaddr_un *)addr)->sun_path, "/hung/")) {
        sleep(60);
    }
    return REAL(connect)(fd, addr, len);
}

ssize_t write(int fd, const void *buf, size_t len)
{
    wait_for_server(fd);
    if (len > 4096 && is_broken(fd, lseek(fd, 0, SEEK_CUR))) {
        errno = EIO;
        return -1;
    }
    return REAL(write)(fd, buf, len);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    wait_for_server(fd);
    wait_if_stuck(fd, offset);
    if (is_broken(fd, offset)) {
        errno = EIO;
        return -1;
    }
    return REAL(pwrite)(fd, buf, len, offset);
}

ssize_t writev(int fd, const struct iovec *iov, int iovcnt)
{
    wait_for_server(fd);
    return REAL(writev)(fd, iov, iovcnt);
}

ssize_t read(int fd, void *buf, size_t len)
{
    wait_for_server(fd);
    return REAL(read)(fd, buf, len);
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
    wait_for_server(fd);
    wait_if_stuck(fd, offset);
    if (is_broken(fd, offset)) {
        errno = EIO;
        return -1;
    }
    return REAL(pread)(fd, buf, len, offset);
}
