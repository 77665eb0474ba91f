/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One QMP request, from the text's JSON value to the reply's. Private to qmp.c and qmp-request.c. */
#ifndef MONITOR_QMP_REQUEST_H
#define MONITOR_QMP_REQUEST_H

#include <stdbool.h>

#include "qapi/qapi-commands.h"

struct json_object;

typedef struct QMPRequest {
    struct json_object *value;      /* owned; NULL if it was no JSON */
    /* borrowed from value */
    const char *name;
    struct json_object *args, *id;
    bool has_id;
    bool oob;                       /* to be run at once, out of order */
    bool well_formed;               /* a request, though perhaps of nothing that is there */
    const QapiCommand *command;     /* NULL with error */
    GError *error;                  /* why there is nothing to run: the answer when its turn comes */
    int fd;                         /* came with it; -1: none */
    unsigned client;                /* which one of the session's */
    int64_t wait_until_us;          /* qmp_request_has_to_wait */
} QMPRequest;

/**
 * What a message asks for; takes value; parse_error is what the reader said, then value is NULL. oob: the session
 * takes exec-oob. Never NULL: what is wrong is in its error. Any thread.
 */
QMPRequest *qmp_request_new(struct json_object *value, const GError *parse_error, bool oob);
void qmp_request_free(QMPRequest *r);
/** True if it is one of the commands that want the fd that came with them. */
bool qmp_request_takes_fd(const QMPRequest *r);
/** True if it cannot be run yet: look again (patience.h). Main thread. */
bool qmp_request_has_to_wait(QMPRequest *r, const struct Machine *machine);
/**
 * Runs it; the reply, the caller's, or NULL where there is none. negotiated: its client may do more
 * than qmp_capabilities. On the thread its command needs.
 */
struct json_object *qmp_request_run(QMPRequest *r, struct Machine *machine, bool negotiated);

#endif
