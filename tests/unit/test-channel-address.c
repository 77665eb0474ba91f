/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/channel/address: URIs there and back, and why some are none. */
#include <glib.h>
#include "migration/channel.h"
#include "migration/commands/address.h"
#include "qapi/qapi-types.h"

static void test_good(void)
{
    static const struct { const char *uri, *text; } good[] = {
        { "tcp:127.0.0.1:4444", "tcp:127.0.0.1:4444" },
        { "tcp::4444", "tcp::4444" },
        { "tcp:0:0", "tcp:0:0" },
        { "tcp:host.example:svc", "tcp:host.example:svc" },
        { "tcp:[::1]:4444", "tcp:[::1]:4444" },
        { "tcp:h:1,ipv4", "tcp:h:1,ipv4=on" },
        { "tcp:h:1,ipv4=off", "tcp:h:1,ipv4=off" },
        { "tcp:h:1,ipv4=on,ipv6=on", "tcp:h:1,ipv4=on,ipv6=on" },
        { "tcp:h:1,to=9,keep-alive,mptcp=off,numeric", "tcp:h:1,to=9,keep-alive=on,mptcp=off,numeric=on" },
        { "tcp:h:5,to=5", "tcp:h:5,to=5" },
        { "tcp:[::]:1,ipv6=on", "tcp:[::]:1,ipv6=on" },
        { "unix:/a b,c", "unix:/a b,c" },
        { "fd:migrate", "fd:migrate" },
        { "exec:cat > x, y", "exec:cat > x, y" },
        { "exec:", "exec:" },
        { "file:/a", "file:/a" },
        { "file:/a,offset=4k", "file:/a,offset=0x1000" },
        { "file:/a,b,offset=0x10", "file:/a,b,offset=0x10" },
        { "file:/a,offset=7", "file:/a,offset=0x7" },
        { "file:/a,offset=1G", "file:/a,offset=0x40000000" },
        { "file:/a,offset=0x7fffffffffffffff", "file:/a,offset=0x7fffffffffffffff" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) err = NULL;
        ChannelAddress *a = channel_address_parse(good[i].uri, &err);
        g_assert_no_error(err);
        g_autofree char *text = channel_address_to_string(a);
        g_assert_cmpstr(text, ==, good[i].text);
        channel_address_free(a);
    }
}

#define FORMS ": use tcp:HOST:PORT, unix:PATH, fd:NAME, exec:COMMAND or file:PATH"
#define HOST_PORT ": HOST:PORT is expected, such as localhost:4444 or [::1]:4444"
#define BYTES ": bytes are expected, such as 4096 or 1M"

static void test_bad(void)
{
    static const struct { const char *uri, *message; } bad[] = {
        { "", "unknown migration protocol: " FORMS },
        { "foo", "unknown migration protocol: foo" FORMS },
        { "foo:bar", "unknown migration protocol: foo:bar" FORMS },
        { "tcp", "unknown migration protocol: tcp" FORMS },
        { "tpc:a:1", "unknown migration protocol: tpc:a:1: did you mean 'tcp:a:1'?" },
        { "uinx:/a", "unknown migration protocol: uinx:/a: did you mean 'unix:/a'?" },
        { "a:4444", "unknown migration protocol: a:4444: did you mean 'tcp:a:4444'?" },
        { "[::1]:44", "unknown migration protocol: [::1]:44: did you mean 'tcp:[::1]:44'?" },
        { "/a", "unknown migration protocol: /a: did you mean 'unix:/a' or 'file:/a'?" },
        { "rdma:a:1", "unknown migration protocol: rdma:a:1" FORMS },
        { "tcp:", "error parsing address ''" HOST_PORT },
        { "tcp:foo", "error parsing address 'foo'" HOST_PORT },
        { "tcp::", "error parsing port in address ':': a number or a service's name is expected" },
        { "tcp:h:", "error parsing address 'h:'" HOST_PORT },
        { "tcp:[::1:1", "error parsing IPv6 address '[::1:1': [ADDRESS]:PORT is expected" },
        { "tcp:[::1]", "error parsing IPv6 address '[::1]': [ADDRESS]:PORT is expected" },
        { "tcp:a:1:2", "error parsing address 'a:1:2'" HOST_PORT },
        { "tcp:a:65536", "Port number 65536 in address 'a:65536' is not in the range 0..65535" },
        { "tcp:a:99999999999999999999", "Port number 99999999999999999999 in address "
                                        "'a:99999999999999999999' is not in the range 0..65535" },
        { "tcp:a:-1", "Port number -1 in address 'a:-1' is not in the range 0..65535" },
        { "tcp:a: 1", "Port number  1 in address 'a: 1' is not in the range 0..65535" },
        { "tcp:a:1,foo", "Invalid option 'foo' in address: expected to, ipv4, ipv6, keep-alive, mptcp "
                         "or numeric" },
        { "tcp:a:1,ipv4=x", "error parsing 'ipv4' flag '=x': expected on or off" },
        { "tcp:a:1,keep-alive=", "error parsing 'keep-alive' flag '=': expected on or off" },
        { "tcp:a:1,ipv4=off,ipv6=off", "Cannot disable IPv4 and IPv6 at same time" },
        { "tcp:a:1,to", "error parsing to= argument: '' is not a port number" },
        { "tcp:a:1,to=12x", "error parsing to= argument: '12x' is not a port number" },
        { "tcp:a:1,to=0x50", "error parsing to= argument: '0x50' is not a port number" },
        { "tcp:a:1,to=65536", "error parsing to= argument: '65536' is not a port number" },
        { "tcp:a:9,to=8", "The ports from 9 to 8 are none: 'to' is the last of a range that begins with "
                          "the port's number" },
        { "tcp:a:b,to=8", "The ports from b to 8 are none: 'to' is the last of a range that begins with "
                          "the port's number" },
        { "unix:", "invalid Unix socket address: unix:PATH is expected" },
        { "fd:", "invalid file descriptor address: fd:NAME or fd:NUMBER is expected" },
        { "file:/a,offset=", "file URI has bad offset : Invalid argument" BYTES },
        { "file:/a,offset=zz", "file URI has bad offset zz: Invalid argument" BYTES },
        { "file:/a,offset=0x20M", "file URI has bad offset 0x20M: Invalid argument" BYTES },
        { "file:/a,offset=12x", "file URI has bad offset 12x: Invalid argument" BYTES },
        { "file:/a,offset=1.5", "file URI has bad offset 1.5: Invalid argument" BYTES },
        { "file:/a,offset= 1", "file URI has bad offset  1: Invalid argument" BYTES },
        { "file:/a,offset=1kk", "file URI has bad offset 1kk: Invalid argument" BYTES },
        { "file:/a,offset=-1", "file URI has bad offset -1: Numerical result out of range" BYTES },
        { "file:/a,offset=99999999999999999999",
          "file URI has bad offset 99999999999999999999: Numerical result out of range" BYTES },
        { "file:/a,offset=16E", "file URI has bad offset 16E: Numerical result out of range" BYTES },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(channel_address_parse(bad[i].uri, &err));
        g_assert_cmpstr(err->message, ==, bad[i].message);
    }
}

/* What query-migrate tells of the addresses that are listened on. */
static void test_to_qapi(void)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    ChannelAddress *tcp = channel_address_parse("tcp:host.example:4444", NULL);
    ChannelAddress *local = channel_address_parse("unix:/a b", NULL);

    g_ptr_array_add(list, tcp);
    g_ptr_array_add(list, local);
    SocketAddressList *told = migration_addresses_to_qapi(list);
    g_assert_cmpint(told->value->type, ==, SOCKET_ADDRESS_TYPE_INET);
    g_assert_cmpstr(told->value->u.inet.host, ==, "host.example");
    g_assert_cmpstr(told->value->u.inet.port, ==, "4444");
    g_assert_cmpint(told->next->value->type, ==, SOCKET_ADDRESS_TYPE_UNIX);
    g_assert_cmpstr(told->next->value->u.q_unix.path, ==, "/a b");
    g_assert_null(told->next->next);
    qapi_free_SocketAddressList(told);
    channel_address_free(tcp);
    channel_address_free(local);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/channel-address/good", test_good);
    g_test_add_func("/channel-address/bad", test_bad);
    g_test_add_func("/channel-address/to-qapi", test_to_qapi);
    return g_test_run();
}
