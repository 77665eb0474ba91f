/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preloaded by test-stuck.py: a name server that does not answer for "slow.test". */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (__typeof__(real))dlsym(RTLD_NEXT, "getaddrinfo");

    if (host && strcmp(host, "slow.test") == 0 && !(hints->ai_flags & AI_NUMERICHOST)) {
        sleep(60);
        return EAI_AGAIN;
    }
    return real(host, port, hints, list);
}
