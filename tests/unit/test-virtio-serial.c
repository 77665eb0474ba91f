/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest hears of its serial ports: that the other end is there or gone,
 * once each time, whether it runs then or not, and after it was moved.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "hw/virtio/virtio-serial.h"
#include "tests/unit/virtio-driver.h"

#define PATIENCE_US (30 * G_USEC_PER_SEC)

/* A console without a chardev, and a port, number 1, in front of a socket. */
typedef struct Ports {
    BoardFixture *f;
    Driver d;           /* the control queue to the device; the other one has no buffers */
    char *dir, *path;
} Ports;

static VirtIOSerial *bus(const Ports *p)
{
    return (VirtIOSerial *)board_fixture_virtio(p->f, "virtio-console");
}

static void add_port(Ports *p, const char *chardev, const char *port)
{
    g_autoptr(GError) err = NULL;

    chardev_from_text(p->f->machine.chardevs, "c", chardev, &err);
    g_assert_no_error(err);
    g_assert_null(board_fixture_device(p->f, port));
}

static void ports_new(Ports *p, const char *port)
{
    *p = (Ports){ .f = board_fixture_new(&(BoardOptions){ .virtio = true }) };
    p->dir = g_dir_make_tmp("ferry-test-XXXXXX", NULL);
    p->path = g_build_filename(p->dir, "s", NULL);
    p->d = driver_new(p->f, "virtio-console", SERIAL_QUEUE_CONTROL_OUT);
    g_autofree char *socket = g_strdup_printf("unix:%s,server=on,wait=off", p->path);
    add_port(p, socket, port);
}

static void ports_init(Ports *p)
{
    ports_new(p, "virtserialport,chardev=c,nr=1,name=n");
}

static void ports_clear(Ports *p)
{
    board_fixture_free(p->f);
    g_unlink(p->path);
    g_rmdir(p->dir);
    g_free(p->path);
    g_free(p->dir);
}

static void say(Ports *p, uint32_t id, uint16_t event)
{
    struct { uint32_t id; uint16_t event, value; } msg = { id, event, 1 };

    address_space_write(p->d.as, DATA_BASE, &msg, sizeof(msg));
    put_desc(&p->d, 0, DATA_BASE, sizeof(msg), 0, 0);
    offer(&p->d, 0);
    kick(&p->d);
}

/* What waits for the guest to take it, "port:event=value ...". */
static void expect_told(Ports *p, const char *want)
{
    g_autoptr(GString) got = g_string_new(NULL);
    GBytes *bytes;

    while ((bytes = g_queue_pop_head(&bus(p)->control))) {
        struct { uint32_t id; uint16_t event, value; } msg;

        g_assert_cmpuint(g_bytes_get_size(bytes), >=, sizeof(msg));
        memcpy(&msg, g_bytes_get_data(bytes, NULL), sizeof(msg));
        g_string_append_printf(got, "%s%u:%u=%u", got->len ? " " : "", msg.id, msg.event,
                               msg.value);
        g_bytes_unref(bytes);
    }
    g_assert_cmpstr(got->str, ==, want);
}

static void stop_and_go(Ports *p)
{
    board_fixture_run(p->f, false);
    board_fixture_run(p->f, true);
}

static void await_connected(Ports *p, bool connected)
{
    GMainContext *context = main_loop_context(p->f->machine.loop);
    Chardev *chr = bus(p)->ports[1]->chr;
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    while (chardev_is_connected(chr) != connected) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        g_main_context_iteration(context, FALSE);
    }
    while (g_main_context_iteration(context, FALSE)) {
        /* and the port hears of it */
    }
}

static int dial(Ports *p)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, p->path, sizeof(addr.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    await_connected(p, true);
    return fd;
}

/* The port's driver, which takes what comes: only then an end is seen at once. */
static void port_open(Ports *p)
{
    Driver rx = driver_new(p->f, "virtio-console", 4);

    driver_init(&rx);
    put_desc(&rx, 0, DATA_BASE + 0x1000, 64, F_WRITE, 0);
    offer(&rx, 0);
    say(p, 1, SERIAL_PORT_OPEN);
}

/* The driver has found both ports; opened: the other end is there. */
static void ports_ready(Ports *p, bool opened)
{
    say(p, 0, SERIAL_PORT_READY);
    expect_told(p, "0:4=1 0:6=1");      /* a console is open without a chardev, too */
    say(p, 1, SERIAL_PORT_READY);
    expect_told(p, opened ? "1:7=1 1:6=1" : "1:7=1");
}

/* While it runs: at once, and not again. */
static void test_running(void)
{
    Ports p;

    ports_init(&p);
    board_fixture_run(p.f, true);
    driver_init(&p.d);
    say(&p, 0, SERIAL_DEVICE_READY);
    expect_told(&p, "0:1=1 1:1=1");
    ports_ready(&p, false);
    port_open(&p);
    int fd = dial(&p);
    expect_told(&p, "1:6=1");
    stop_and_go(&p);
    expect_told(&p, "");
    close(fd);
    await_connected(&p, false);
    expect_told(&p, "1:6=0");
    stop_and_go(&p);
    expect_told(&p, "");
    ports_clear(&p);
}

/* While it is stopped: at the start, and not again. */
static void test_stopped(void)
{
    Ports p;

    ports_init(&p);
    board_fixture_run(p.f, true);
    driver_init(&p.d);
    ports_ready(&p, false);
    board_fixture_run(p.f, false);
    int fd = dial(&p);
    expect_told(&p, "");
    board_fixture_run(p.f, true);
    expect_told(&p, "1:6=1");
    stop_and_go(&p);
    expect_told(&p, "");
    close(fd);
    ports_clear(&p);
}

/* Before there is a driver: with the port's name, and not again. */
static void test_before_driver(void)
{
    Ports p;

    ports_init(&p);
    int fd = dial(&p);
    board_fixture_run(p.f, true);
    driver_init(&p.d);
    ports_ready(&p, true);
    stop_and_go(&p);
    expect_told(&p, "");
    close(fd);
    ports_clear(&p);
}

/* A chardev whose other end is there before the port is. */
static void test_always_there(void)
{
    Ports p = { .f = board_fixture_new(&(BoardOptions){ .virtio = true }) };

    p.d = driver_new(p.f, "virtio-console", SERIAL_QUEUE_CONTROL_OUT);
    add_port(&p, "null", "virtserialport,chardev=c,nr=1");
    board_fixture_run(p.f, true);
    driver_init(&p.d);
    say(&p, 1, SERIAL_PORT_READY);
    expect_told(&p, "1:6=1");
    board_fixture_free(p.f);
}

/* The guest is told what is different where it arrives, and only that. */
static void check_moved(bool there, const char *want)
{
    Ports a, b;
    uint8_t rings[0x4000];
    g_autoptr(GError) err = NULL;
    int fd_there = -1;

    ports_init(&a);
    ports_init(&b);
    int fd_here = dial(&a);
    board_fixture_run(a.f, true);
    driver_init(&a.d);
    ports_ready(&a, true);
    board_fixture_run(a.f, false);
    address_space_read(a.d.as, a.d.base, rings, sizeof(rings));
    address_space_write(b.d.as, b.d.base, rings, sizeof(rings));
    if (there) {
        fd_there = dial(&b);
    }
    GByteArray *bytes = board_fixture_save(a.f, NULL);
    board_fixture_load(b.f, bytes, &err);
    g_assert_no_error(err);
    board_fixture_run(b.f, true);
    expect_told(&b, want);
    stop_and_go(&b);
    expect_told(&b, "");
    if (there) {
        close(fd_there);
    }
    g_byte_array_unref(bytes);
    close(fd_here);
    ports_clear(&a);
    ports_clear(&b);
}

static void test_moved(void)
{
    check_moved(false, "1:6=0");
    check_moved(true, "");
}

/* Without any queue a driver can write its last words into the configuration, for the first console. */
static void test_emergency(void)
{
    Ports p;
    char said[8] = "";

    ports_new(&p, "virtconsole,chardev=c,nr=1");
    int fd = dial(&p);
    board_fixture_run(p.f, true);
    reg_write(&p.d, 0x108, 'o');
    reg_write(&p.d, 0x108, 0);          /* no character */
    board_fixture_run(p.f, false);
    reg_write(&p.d, 0x108, 'x');        /* the guest does not run */
    board_fixture_run(p.f, true);
    reg_write(&p.d, 0x108, 'h');
    g_assert_cmpint(recv(fd, said, sizeof(said), MSG_DONTWAIT), ==, 2);
    g_assert_cmpstr(said, ==, "oh");
    close(fd);
    ports_clear(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-serial/running", test_running);
    g_test_add_func("/virtio-serial/stopped", test_stopped);
    g_test_add_func("/virtio-serial/before-driver", test_before_driver);
    g_test_add_func("/virtio-serial/always-there", test_always_there);
    g_test_add_func("/virtio-serial/moved", test_moved);
    g_test_add_func("/virtio-serial/emergency", test_emergency);
    return g_test_run();
}
