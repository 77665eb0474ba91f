/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor sessions end to end, in one process: a machine without guest, a
 * UNIX socket chardev per session, and a client that writes lines and reads
 * answers. Rules: what QEMU 7.2 answers to the same lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config-host.h"
#include "chardev/char.h"
#include "migration/migration.h"
#include "monitor/hmp-internal.h"
#include "monitor/monitor.h"
#include "qapi/qapi-events.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"

#include "monitor-machine.h"

/* Lets the main loop, and what the I/O thread would do, do what is due. */
static void spin(Fixture *f, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * 1000;
    do {
        while (g_main_context_iteration(main_loop_context(f->m.loop), FALSE) ||
               g_main_context_iteration(monitor_io_context(f->m.monitors->io), FALSE)) {
        }
        g_usleep(500);
    } while (g_get_monotonic_time() < end);
}

/* A monitor on a new socket, and a client connected to it. */
static int open_session(Fixture *f, const char *id, bool control)
{
    g_autoptr(GError) err = NULL;
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autofree char *path = g_build_filename(f->dir, id, NULL);
    g_autofree char *text = g_strdup_printf("unix:%s,server=on,wait=off", path);
    Chardev *chr = chardev_from_text(f->m.chardevs, id, text, &err);
    g_assert_no_error(err);
    g_assert_true(monitor_add(f->m.monitors, chr, control, false, &err));
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* What the monitor said until it was silent for a moment. */
static char *receive(Fixture *f, int fd)
{
    GString *out = g_string_new(NULL);
    for (int idle = 0; idle < 10;) {
        char buf[4096];
        ssize_t n;
        spin(f, 1);
        n = read(fd, buf, sizeof(buf));
        if (n > 0) {
            g_string_append_len(out, buf, n);
            idle = 0;
        } else {
            g_assert_true(n == 0 || errno == EAGAIN);
            idle++;
        }
    }
    return g_string_free(out, FALSE);
}

static char *ask(Fixture *f, int fd, const char *line)
{
    g_assert_cmpint(write(fd, line, strlen(line)), ==, (ssize_t)strlen(line));
    g_assert_cmpint(write(fd, "\r\n", 2), ==, 2);
    return receive(f, fd);
}

static void expect(Fixture *f, int fd, const char *line, const char *want)
{
    g_autofree char *got = ask(f, fd, line);
    g_assert_cmpstr(got, ==, want);
}

static void expect_part(Fixture *f, int fd, const char *line, const char *want)
{
    g_autofree char *got = ask(f, fd, line);
    if (!strstr(got, want)) {
        g_error("'%s' was answered with '%s', which lacks '%s'", line, got, want);
    }
}

#define OK "{\"return\": {}}\r\n"
#define FAIL(c, d) "{\"error\": {\"class\": \"" c "\", \"desc\": \"" d "\"}}\r\n"

static int open_qmp(Fixture *f, const char *id)
{
    int fd = open_session(f, id, true);
    g_autofree char *hello = receive(f, fd);
    g_assert_true(g_str_has_prefix(hello, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, "
                                          "\"minor\": 2, \"major\": 7}, \"package\": \"Ferry "));
    g_assert_true(g_str_has_suffix(hello, "\"capabilities\": [\"oob\"]}}\r\n"));
    return fd;
}

static void test_negotiation(Fixture *f, gconstpointer data)
{
    (void)data;
    int fd = open_qmp(f, "qmp");
    expect(f, fd, "{\"execute\":\"query-status\"}",
           FAIL("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'"));
    expect(f, fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"foo\"]}}",
           FAIL("GenericError", "Parameter 'null' does not accept value 'foo'"));
    expect(f, fd, "{\"execute\":\"qmp_capabilities\",\"id\":{\"a\":[1,2.5,null]}}",
           "{\"return\": {}, \"id\": {\"a\": [1, 2.5, null]}}\r\n");
    expect(f, fd, "{\"execute\":\"qmp_capabilities\",\"id\":[]}",
           "{\"id\": [], \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Capabilities "
           "negotiation is already complete, command ignored\"}}\r\n");
    close(fd);
}

static void test_reconnect(Fixture *f, gconstpointer data)
{
    (void)data;
    int fd = open_qmp(f, "qmp");
    expect(f, fd, "{\"execute\":\"qmp_capabilities\"}{\"execute\":", OK);
    close(fd);
    spin(f, 20);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autofree char *path = g_build_filename(f->dir, "qmp", NULL);
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    g_autofree char *hello = receive(f, fd);
    g_assert_true(g_str_has_prefix(hello, "{\"QMP\""));
    expect(f, fd, "{\"execute\":\"stop\"}",    /* negotiation starts again, the half line is gone */
           FAIL("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'"));
    close(fd);
}

static void test_errors(Fixture *f, gconstpointer data)
{
    (void)data;
    static const struct { const char *line, *want; } rows[] = {
        { "{\"execute\":\"foo\",\"id\":5}",
          "{\"id\": 5, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command foo has "
          "not been found\"}}\r\n" },
        { "[1]", FAIL("GenericError", "QMP input must be a JSON object") },
        { "null", FAIL("GenericError", "QMP input must be a JSON object") },
        { "{}", FAIL("GenericError", "QMP input lacks member 'execute'") },
        { "{\"arguments\":{}}", FAIL("GenericError", "QMP input lacks member 'execute'") },
        { "{\"execute\":1}", FAIL("GenericError", "QMP input member 'execute' must be a string") },
        { "{\"execute\":\"stop\",\"foo\":1}",
          FAIL("GenericError", "QMP input member 'foo' is unexpected") },
        { "{\"exec-oob\":\"stop\"}",
          FAIL("GenericError", "QMP input member 'exec-oob' is unexpected") },
        { "{\"execute\":\"stop\",\"arguments\":[]}",
          FAIL("GenericError", "QMP input member 'arguments' must be an object") },
        { "{\"execute\":\"stop\",\"arguments\":{\"a\":1}}",
          FAIL("GenericError", "Parameter 'a' is unexpected") },
        { "{\"execute\":\"qom-list\",\"arguments\":{\"value\":\"a\"}}",
          FAIL("GenericError", "Parameter 'path' is missing") },
        { "{\"execute\":\"pmemsave\",\"arguments\":{\"val\":5,\"size\":\"a\",\"filename\":\"x\"}}",
          FAIL("GenericError", "Invalid parameter type for 'size', expected: integer") },
        { "{\"execute\":\"a\\u0000b\"}",
          FAIL("CommandNotFound", "The command a\\u0000b has not been found") },
        { "{\"execute\":\"\xff\"}",
          FAIL("GenericError", "JSON parse error, stray '\\\"\\uFFFD'")
          FAIL("GenericError", "JSON parse error, expecting value") },
        { "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}",
          FAIL("GenericError", "No file descriptor supplied via SCM_RIGHTS") },
        { "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"a\"}}",
          FAIL("GenericError", "File descriptor named 'a' not found") },
        { "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":3}}",
          FAIL("GenericError", "File descriptor named 'fdset-id:3' not found") },
        { "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":3,\"fd\":5}}",
          FAIL("GenericError", "File descriptor named 'fdset-id:3, fd:5' not found") },
        { "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/foo\"}}",
          FAIL("DeviceNotFound", "Device '/foo' not found") },
        { "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/machine\",\"property\":\"foo\"}}",
          FAIL("GenericError", "Property 'none-machine.foo' not found") },
        { "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/machine\",\"property\":\"type\","
          "\"value\":1}}",
          FAIL("GenericError", "Property 'none-machine.type' is not writable") },
        { "{\"execute\":\"device-list-properties\",\"arguments\":{\"typename\":\"foo\"}}",
          FAIL("DeviceNotFound", "Device 'foo' not found") },
        { "{\"execute\":\"device-list-properties\",\"arguments\":{\"typename\":\"machine\"}}",
          FAIL("GenericError", "Parameter 'typename' expects a non-abstract device type") },
        { "{\"execute\":\"qom-list-properties\",\"arguments\":{\"typename\":\"foo\"}}",
          FAIL("DeviceNotFound", "Class 'foo' not found") },
        { "{\"execute\":\"query-balloon\"}",
          FAIL("DeviceNotActive", "No balloon device has been activated") },
        { "{\"execute\":\"set_link\",\"arguments\":{\"name\":\"x\",\"up\":true}}",
          FAIL("DeviceNotFound", "Device 'x' not found") },
        { "{\"execute\":\"inject-nmi\"}",
          FAIL("GenericError", "this feature or command is not currently supported") },
        { "{\"execute\":\"memsave\",\"arguments\":{\"val\":0,\"size\":1,\"filename\":\"/x\"}}",
          FAIL("GenericError", "Parameter 'cpu-index' expects a CPU number") },
        { "{\"execute\":\"pmemsave\",\"arguments\":{\"val\":0,\"size\":1,\"filename\":\"/no/f\"}}",
          FAIL("GenericError", "Could not open '/no/f': No such file or directory") },
        { "{\"execute\":\"query-command-line-options\",\"arguments\":{\"option\":\"foo\"}}",
          FAIL("GenericError", "invalid option name: foo") },
        { "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":false,\"protocol\":\"x\"}}",
          FAIL("GenericError", "dump: no guest memory to dump") },
        { "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":false,\"protocol\":"
          "\"file:/x\",\"begin\":1}}", FAIL("GenericError", "Parameter 'length' is missing") },
        { "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info status\","
          "\"cpu-index\":3}}", FAIL("GenericError", "Parameter 'cpu-index' expects a CPU number") },
        { "{\"execute\":\"x-fault\",\"arguments\":{\"point\":\"src-end\",\"action\":\"stall\","
          "\"nth\":0}}",
          FAIL("GenericError", "'nth' counts from 1") },
        { "{\"execute\":\"x-fault\",\"arguments\":{\"point\":\"src-end\",\"action\":\"stall\","
          "\"nth\":1}}", OK },
        { "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"foo\"}}",
          "{\"return\": \"unknown command: 'foo'\\r\\n\"}\r\n" },
    };
    int fd = open_qmp(f, "qmp");
    expect(f, fd, "{\"execute\":\"qmp_capabilities\"}", OK);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        expect(f, fd, rows[i].line, rows[i].want);
    }
    expect(f, fd, "{\"execute\":\"query-name\"}", "{\"return\": {\"name\": \"guest,1\"}}\r\n");
    close(fd);
}

static void test_queries(Fixture *f, gconstpointer data)
{
    (void)data;
    static const struct { const char *command, *want; } rows[] = {
        { "query-target", "{\"return\": {\"arch\": \"riscv64\"}}\r\n" },
        { "query-kvm", "{\"return\": {\"enabled\": false, \"present\": false}}\r\n" },
        { "query-status", "{\"return\": {\"running\": false, \"singlestep\": false, \"status\": "
                          "\"prelaunch\"}}\r\n" },
        { "query-uuid", "{\"return\": {\"UUID\": \"00000000-0000-0000-0000-000000000000\"}}\r\n" },
        { "query-cpus-fast", "{\"return\": []}\r\n" },
        { "query-iothreads", "{\"return\": []}\r\n" },
        { "query-block", "{\"return\": []}\r\n" },
        { "query-named-block-nodes", "{\"return\": []}\r\n" },
        { "query-blockstats", "{\"return\": []}\r\n" },
        { "query-jobs", "{\"return\": []}\r\n" },
        { "query-fdsets", "{\"return\": []}\r\n" },
        { "query-tpm", "{\"return\": []}\r\n" },
        { "query-tpm-models", "{\"return\": []}\r\n" },
        { "query-tpm-types", "{\"return\": []}\r\n" },
        { "query-memory-size-summary", "{\"return\": {\"base-memory\": 0}}\r\n" },
        { "query-dump", "{\"return\": {\"status\": \"none\", \"completed\": 0, \"total\": 0}}\r\n" },
        { "query-dump-guest-memory-capability", "{\"return\": {\"formats\": [\"elf\"]}}\r\n" },
        { "query-current-machine", "{\"return\": {\"wakeup-suspend-support\": false}}\r\n" },
    };
    int fd = open_qmp(f, "qmp");
    expect(f, fd, "{\"execute\":\"qmp_capabilities\"}", OK);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strdup_printf("{\"execute\":\"%s\"}", rows[i].command);
        expect(f, fd, line, rows[i].want);
    }
    expect_part(f, fd, "{\"execute\":\"query-commands\"}", "{\"name\": \"query-qmp-schema\"}");
    expect_part(f, fd, "{\"execute\":\"query-events\"}", "{\"name\": \"STOP\"}");
    expect_part(f, fd, "{\"execute\":\"query-qmp-schema\"}",
                "{\"name\": \"stop\", \"meta-type\": \"command\"");
    expect_part(f, fd, "{\"execute\":\"qom-list-types\"}",
                "{\"name\": \"tcg-accel\", \"parent\": \"accel\"}");
    expect_part(f, fd, "{\"execute\":\"query-chardev\"}", "\"label\": \"qmp\"");
    expect_part(f, fd, "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine\"}}",
                "{\"name\": \"peripheral\", \"type\": \"child<container>\"}");
    close(fd);
}

static gpointer emit_from_thread(gpointer opaque)
{
    Fixture *f = opaque;
    for (int i = 0; i < 100; i++) {
        qapi_event_send_reset(f->m.monitors, true, SHUTDOWN_CAUSE_GUEST_RESET);
    }
    return NULL;
}

static void test_events(Fixture *f, gconstpointer data)
{
    (void)data;
    int one = open_qmp(f, "one"), two = open_qmp(f, "two");
    expect(f, one, "{\"execute\":\"qmp_capabilities\"}", OK);
    qapi_event_send_stop(f->m.monitors);
    g_autofree char *got = receive(f, one), *none = receive(f, two);
    g_assert_true(g_str_has_prefix(got, "{\"timestamp\": {\"seconds\": "));
    g_assert_true(g_str_has_suffix(got, "}, \"event\": \"STOP\"}\r\n"));
    g_assert_cmpstr(none, ==, "");      /* not negotiated: no events */
    expect(f, two, "{\"execute\":\"qmp_capabilities\"}", OK);
    GThread *t = g_thread_new("emit", emit_from_thread, f);
    bql_unlock(f->m.loop);
    g_thread_join(t);
    bql_lock(f->m.loop);
    g_autofree char *many = receive(f, two);
    g_auto(GStrv) lines = g_strsplit(many, "\r\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 101);
    g_assert_true(g_str_has_suffix(lines[99], "\"event\": \"RESET\", \"data\": {\"guest\": true, "
                                              "\"reason\": \"guest-reset\"}}"));
    close(one);
    close(two);
}

/* Sends line with an fd attached. */
static void send_with_fd(int sock, const char *line, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { (void *)line, strlen(line) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                          .msg_controllen = sizeof(control) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    g_assert_cmpint(sendmsg(sock, &msg, 0), ==, (ssize_t)strlen(line));
}

static void test_fds(Fixture *f, gconstpointer data)
{
    (void)data;
    g_autoptr(GError) err = NULL;
    int fd = open_qmp(f, "qmp"), pipe_fds[2];
    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    expect(f, fd, "{\"execute\":\"qmp_capabilities\"}", OK);
    send_with_fd(fd, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"migrate\"}}\r\n",
                 pipe_fds[1]);
    g_autofree char *got = receive(f, fd);
    g_assert_cmpstr(got, ==, OK);
    int kept = fds_take_named(f->m.fds, "migrate", &err);
    g_assert_cmpint(write(kept, "x", 1), ==, 1);
    char c;
    g_assert_cmpint(read(pipe_fds[0], &c, 1), ==, 1);
    close(kept);
    g_assert_cmpint(fds_take_named(f->m.fds, "migrate", &err), ==, -1);
    g_assert_cmpstr(err->message, ==, "File descriptor named 'migrate' has not been found");
    g_clear_error(&err);

    send_with_fd(fd, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"1a\"}}\r\n", pipe_fds[1]);
    g_autofree char *digit = receive(f, fd);
    g_assert_cmpstr(digit, ==, FAIL("GenericError", "Parameter 'fdname' expects a name not starting "
                                                    "with a digit"));

    send_with_fd(fd, "{\"execute\":\"add-fd\",\"arguments\":{\"opaque\":\"text\"}}\r\n",
                 pipe_fds[1]);
    g_autofree char *added = receive(f, fd);
    g_assert_true(g_str_has_prefix(added, "{\"return\": {\"fdset-id\": 0, \"fd\": "));
    expect_part(f, fd, "{\"execute\":\"query-fdsets\"}", "\"opaque\": \"text\"}]}]}");
    g_assert_cmpint(fdset_open(f->m.fds, "/dev/fdset/0", O_RDONLY, 0, &err), ==, -1);
    g_assert_cmpstr(err->message, ==, "Could not open '/dev/fdset/0': Permission denied");
    g_clear_error(&err);
    g_assert_cmpint(fdset_open(f->m.fds, "/dev/fdset/7", O_RDONLY, 0, &err), ==, -1);
    g_assert_cmpstr(err->message, ==, "Could not open '/dev/fdset/7': No such file or directory");
    kept = fdset_open(f->m.fds, "/dev/fdset/0", O_WRONLY, 0, NULL);
    g_assert_cmpint(write(kept, "y", 1), ==, 1);
    close(kept);
    expect(f, fd, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":0}}", OK);
    expect(f, fd, "{\"execute\":\"query-fdsets\"}", "{\"return\": []}\r\n");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(fd);
}

static void test_hmp(Fixture *f, gconstpointer data)
{
    (void)data;
    int fd = open_session(f, "hmp", false);
    g_autofree char *hello = receive(f, fd);
    g_assert_cmpstr(hello, ==, "QEMU 7.2.22 monitor - type 'help' for more information "
                    "(this is Ferry " FERRY_VERSION ")\r\n(qemu) ");
    static const struct { const char *line, *want; } rows[] = {
        { "", "" },
        { "foo", "unknown command: 'foo'\r\n" },
        { "migrat tcp:x", "unknown command: 'migrat'\r\nDid you mean 'migrate'?\r\n" },
        { "info stauts", "unknown command: 'info stauts'\r\nDid you mean 'status'?\r\n" },
        { "info foo", "unknown command: 'info foo'\r\n" },
        { "help foo", "unknown command: 'foo'\r\n" },
        { "stop x", "stop|s: extraneous characters at the end of line\r\n"
                    "Try \"help stop\" for more information\r\n" },
        { "info status x", "status: extraneous characters at the end of line\r\n"
                           "Try \"help info status\" for more information\r\n" },
        { "info status", "VM status: paused (prelaunch)\r\n" },
        { "info name", "guest,1\r\n" },
        { "info uuid", "00000000-0000-0000-0000-000000000000\r\n" },
        { "info kvm", "kvm support: not compiled\r\n" },
        { "info memory_size_summary", "base memory: 0\r\n" },
        { "help stop", "stop|s  -- stop emulation\r\n" },
        { "help x", "x /fmt addr -- virtual memory dump starting at 'addr'\r\n" },
        { "help info status", "info status  -- show the current VM status (running|paused)\r\n" },
        { "print 1+1", "0x2\r\n" },
        { "p /d 0x10*2", "32\r\n" },
        { "p/c 65", "'A'\r\n" },
        { "print /u -1", "18446744073709551615\r\n" },
        { "p 5/0", "division by zero\r\nTry \"help p\" for more information\r\n" },
        { "p foo", "invalid char 'f' in expression\r\nTry \"help p\" for more information\r\n" },
        { "xp /x 0x50000", "0000000000050000: Cannot access memory\r\n" },
        { "x 0", "No CPU available\r\n" },
        { "cpu 5", "invalid CPU index\r\n" },
        { "getfd a", "Error: No file descriptor supplied via SCM_RIGHTS\r\n" },
        { "closefd x", "Error: File descriptor named 'x' not found\r\n" },
        { "device_del z", "Error: Device 'z' not found\r\n" },
        { "info dump", "Status: none\r\n" },
        { "info balloon", "Error: No balloon device has been activated\r\n" },
        { "info ramblock", "              Block Name    PSize              Offset"
                           "               Used              Total\r\n" },
        { "qom-get /machine type", "\"none-machine\"\r\n" },
        { "migrate", "migrate: string expected\r\nTry \"help migrate\" for more information\r\n" },
        { "migrate_set_speed x", "Error: Invalid size x: MiB per second are expected, or a number "
                                 "with its suffix, such as 800k or 2G\r\n" },
        { "migrate nowhere", "Error: unknown migration protocol: nowhere: use tcp:HOST:PORT, "
                             "unix:PATH, fd:NAME, exec:COMMAND or file:PATH\r\n" },
        { "migrate_start_postcopy", "Error: Enable postcopy with migrate_set_capability before the "
                                    "start of migration\r\n" },
        { "migrate_set_capability foo on", "Error: invalid parameter value: foo\r\n" },
        { "migrate_set_capability xbzlre on",
          "Error: invalid parameter value: xbzlre: did you mean 'xbzrle'?\r\n" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *want = g_strdup_printf("%s\r\n%s(qemu) ", rows[i].line, rows[i].want);
        expect(f, fd, rows[i].line, want);
    }
    /* completion: a command, an argument, several candidates */
    g_assert_cmpint(write(fd, "info statu\t", 11), ==, 11);
    expect_part(f, fd, "", "info status \r\nVM status: paused (prelaunch)\r\n(qemu) ");
    g_assert_cmpint(write(fd, "system_\t\t", 9), ==, 9);
    expect_part(f, fd, "\025", "system_powerdown  system_reset");
    expect_part(f, fd, "info history", "'info status '");
    close(fd);
}

static gint compare_words(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Words that Tab offers for the end of a line. */
static void test_completion(Fixture *f, gconstpointer data)
{
    static const struct { const char *text, *want; } rows[] = {
        { "sto", "stop" },
        { "info statu", "status" },
        { "help info stat", "stats status" },
        { "zzz ", "" },
        { "migrate -d t", "tcp:" },
        { "migrate_incoming f", "fd: file:" },
        { "migrate unix:DIR/", "unix:DIR/a unix:DIR/sub/" },
        { "migrate file:DIR/a", "file:DIR/a" },
        { "migrate tcp:DIR/a", "" },
        { "migrate tcp:x DIR/a", "" },
        { "memsave 0 1 DIR/s", "DIR/sub/" },
        { "memsave DIR/s", "" },
        { "dump-guest-memory -p DIR/s", "DIR/sub/" },
        { "migrate_set_capability xbz", "xbzrle" },
        { "migrate_set_capability xbzrle o", "off on" },
        { "migrate_set_parameter xbzrle-c", "xbzrle-cache-size" },
        { "ringbuf_read r", "ring0" },
        { "ringbuf_read ring0 r", "" },
    };
    (void)data;
    g_autofree char *a = g_strconcat(f->dir, "/a", NULL), *sub = g_strconcat(f->dir, "/sub", NULL);
    g_assert_true(g_file_set_contents(a, "", 0, NULL) && g_mkdir(sub, 0700) == 0);
    g_assert_nonnull(chardev_from_text(f->m.chardevs, "ring0", "ringbuf", NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(GStrv) text = g_strsplit(rows[i].text, "DIR", -1), want = g_strsplit(rows[i].want, "DIR", -1);
        g_autofree char *line = g_strjoinv(f->dir, text), *words = g_strjoinv(f->dir, want);
        size_t start;
        g_autoptr(GPtrArray) list = hmp_complete_line(&f->m, line, &start);
        g_ptr_array_sort(list, compare_words);
        g_ptr_array_add(list, NULL);
        g_autofree char *got = g_strjoinv(" ", (char **)list->pdata);
        g_assert_cmpstr(got, ==, words);
        g_assert_true(start == 0 || line[start - 1] == ' ');
    }
    g_remove(a);
    g_rmdir(sub);
}

static void test_dump(Fixture *f, gconstpointer data)
{
    (void)data;
    RAMBlock *ram = ram_list_add(f->m.ram, "ram", 1 << 20, NULL, NULL);
    g_assert_true(address_space_add_ram(f->m.as, "ram", 0x80000000, ram, NULL));
    memset(ram->host + 4096, 0x5a, 4096);
    int fd = open_qmp(f, "qmp");
    g_autofree char *core = g_build_filename(f->dir, "core", NULL), *data_out = NULL;
    g_autofree char *line = g_strdup_printf("{\"execute\":\"dump-guest-memory\",\"arguments\":{"
        "\"paging\":false,\"protocol\":\"file:%s\",\"detach\":true}}", core);
    expect(f, fd, "{\"execute\":\"qmp_capabilities\"}", OK);
    g_autofree char *reply = ask(f, fd, line);
    g_assert_true(g_str_has_prefix(reply, OK));
    if (!strstr(reply, "DUMP_COMPLETED")) {
        bql_unlock(f->m.loop);
        g_usleep(200000);
        bql_lock(f->m.loop);
        g_autofree char *event = receive(f, fd);
        g_assert_nonnull(strstr(event, "\"event\": \"DUMP_COMPLETED\", \"data\": {\"result\": "
                                       "{\"status\": \"completed\", \"completed\": 1048576, "
                                       "\"total\": 1048576}}"));
    }
    gsize len;
    g_assert_true(g_file_get_contents(core, &data_out, &len, NULL));
    g_assert_cmpuint(len, ==, 64 + 2 * 56 + (1 << 20));
    g_assert_cmpmem(data_out, 4, "\177ELF", 4);
    g_assert_cmpint(data_out[18], ==, (char)243);
    g_assert_cmpmem(data_out + 64 + 112 + 4096, 4096, ram->host + 4096, 4096);
    g_unlink(core);
    close(fd);
}

static void test_ringbuf(Fixture *f, gconstpointer data)
{
    (void)data;
    int fd = open_qmp(f, "qmp");
    g_assert_nonnull(chardev_from_text(f->m.chardevs, "ring", "ringbuf", NULL));
    expect(f, fd, "{\"execute\":\"qmp_capabilities\"}", OK);
    expect(f, fd, "{\"execute\":\"ringbuf-write\",\"arguments\":{\"device\":\"ring\",\"data\":"
                  "\"YWJj\",\"format\":\"base64\"}}", OK);
    expect(f, fd, "{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"ring\",\"size\":2}}",
           "{\"return\": \"ab\"}\r\n");
    expect(f, fd, "{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"ring\",\"size\":99,"
                  "\"format\":\"base64\"}}", "{\"return\": \"Yw==\"}\r\n");
    expect(f, fd, "{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"ring\",\"size\":0}}",
           FAIL("GenericError", "size must be greater than zero"));
    close(fd);
}

/* A client that asks and does not read: requests are left in the socket, nothing is lost. */
static void test_backpressure(Fixture *f, gconstpointer data)
{
    (void)data;
    static const char ask_much[] = "{\"execute\":\"query-qmp-schema\"}\n";
    int fd = open_qmp(f, "qmp"), sent = 0, answers = 0, idle = 0;
    expect(f, fd, "{\"execute\":\"qmp_capabilities\"}", OK);
    for (int full = 0; full < 50; spin(f, 1)) {
        if (write(fd, ask_much, strlen(ask_much)) == (ssize_t)strlen(ask_much)) {
            sent++;
            full = 0;
        } else {
            full++;
        }
        g_assert_cmpint(sent, <, 50000);    /* without a limit this never fills up */
    }
    while (idle < 50) {
        char buf[65536];
        ssize_t n = read(fd, buf, sizeof(buf));
        for (ssize_t i = 0; i < n; i++) {
            answers += buf[i] == '\n';
        }
        idle = n > 0 ? 0 : idle + 1;
        spin(f, n > 0 ? 0 : 1);
    }
    g_assert_cmpint(answers, ==, sent);
    close(fd);
}

/* Random bytes and random changes of good lines: nobody crashes, the session goes on. */
static void test_noise(Fixture *f, gconstpointer data)
{
    (void)data;
    int qmp = open_qmp(f, "qmp"), hmp = open_session(f, "hmp", false);
    expect(f, qmp, "{\"execute\":\"qmp_capabilities\"}", OK);
    static const char *const good[] = {
        "{\"execute\":\"query-commands\",\"arguments\":{},\"id\":[1,{\"a\":null}]}\n",
        "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine\"}}\n",
        "xp /4xw 0x1000\n", "info registers -a\n", "p (1+2)*3\n",
    };
    for (int i = 0; i < 2000; i++) {
        g_autofree char *line = g_strdup(good[g_test_rand_int_range(0, G_N_ELEMENTS(good))]);
        size_t len = strlen(line);
        for (int k = g_test_rand_int_range(0, 4); k > 0; k--) {
            line[g_test_rand_int_range(0, (gint32)len - 1)] = (char)g_test_rand_int();
        }
        int fd = *line == '{' ? qmp : hmp;
        if (write(fd, line, len) < 0) {
            spin(f, 1);
        }
        if (i % 50 == 0) {
            g_free(receive(f, qmp));
            g_free(receive(f, hmp));
        }
    }
    g_free(receive(f, qmp));
    expect_part(f, qmp, "\xff\n{\"execute\":\"query-name\"}", "{\"return\": {\"name\": \"guest,1\"}}");
    close(qmp);
    close(hmp);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);   /* as main() does: clients may leave at any moment */
#define ADD(name, fn) g_test_add("/monitor/" name, Fixture, NULL, monitor_machine_setup, fn, monitor_machine_teardown)
    ADD("negotiation", test_negotiation);
    ADD("reconnect", test_reconnect);
    ADD("errors", test_errors);
    ADD("queries", test_queries);
    ADD("events", test_events);
    ADD("fds", test_fds);
    ADD("hmp", test_hmp);
    ADD("completion", test_completion);
    ADD("dump", test_dump);
    ADD("ringbuf", test_ringbuf);
    ADD("backpressure", test_backpressure);
    ADD("noise", test_noise);
    return g_test_run();
}
