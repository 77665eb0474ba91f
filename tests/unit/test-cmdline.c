/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * softmmu/cmdline: libvirt's command line is taken in full, and every wrong
 * value is refused with a message that names it. Each case is one line of
 * options, separated by spaces.
 */
#include <glib/gstdio.h>
#include <string.h>
#include "softmmu/cmdline.h"
#include "softmmu/machine-types.h"
#include "softmmu/machine.h"

/* Splits at spaces; "%20" stands for one. Returns NULL if the line was refused. */
static CommandLine *parse(const char *line, GError **errp)
{
    g_autofree char *text = g_strdup_printf("/usr/bin/qemu-system-riscv64 %s", line);
    char **argv = g_strsplit(g_strchomp(text), " ", -1);
    CommandLine *cl = cmdline_new();

    for (char **a = argv; *a; a++) {
        g_auto(GStrv) parts = g_strsplit(*a, "%20", -1);
        g_free(*a);
        *a = g_strjoinv(" ", parts);
    }
    bool ok = cmdline_parse(cl, g_strv_length(argv), argv, errp) &&
              (cl->output->len || cmdline_complete(cl, errp));
    cl->config.program = NULL; /* points into argv */
    g_strfreev(argv);
    if (!ok) {
        cmdline_free(cl);
        return NULL;
    }
    return cl;
}

static CommandLine *parse_ok(const char *line)
{
    GError *err = NULL;
    CommandLine *cl = parse(line, &err);

    g_assert_no_error(err);
    return cl;
}

static const char *opt(GPtrArray *list, guint i, const char *key)
{
    g_assert_cmpuint(i, <, list->len);
    return opts_get(list->pdata[i], key);
}

static void test_libvirt_domain(void)
{
    CommandLine *cl = parse_ok(
        "-name guest=demo,debug-threads=on -S "
        "-object {\"qom-type\":\"secret\",\"id\":\"masterKey0\",\"format\":\"raw\",\"file\":\"/x/key.aes\"} "
        "-machine virt-7.2,usb=off,dump-guest-core=off,memory-backend=riscv_virt_board.ram "
        "-accel tcg -cpu rv64 -m 128 "
        "-object {\"qom-type\":\"memory-backend-ram\",\"id\":\"riscv_virt_board.ram\",\"size\":134217728} "
        "-overcommit mem-lock=off -smp 2,sockets=2,cores=1,threads=1 "
        "-uuid 6d1ac2a5-5f0f-4c52-9d3b-0f6a0b7c1e11 -display none -no-user-config -nodefaults "
        "-chardev socket,id=charmonitor,fd=29,server=on,wait=off "
        "-mon chardev=charmonitor,id=monitor,mode=control -rtc base=utc -no-shutdown "
        "-boot strict=on -kernel /k -initrd /i -append console=ttyS0%20root=/dev/vda "
        "-chardev file,id=charserial0,path=/dev/fdset/0,append=on -serial chardev:charserial0 "
        "-audiodev {\"id\":\"audio1\",\"driver\":\"none\"} -incoming defer "
        "-blockdev {\"driver\":\"file\",\"filename\":\"/d\",\"node-name\":\"n0\",\"cache\":{\"direct\":true}} "
        "-device {\"driver\":\"virtio-blk-device\",\"drive\":\"n1\",\"id\":\"virtio-disk0\",\"bootindex\":1} "
        "-netdev {\"type\":\"user\",\"id\":\"hostnet0\"} "
        "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny "
        "-msg timestamp=on -no-reboot -pidfile /p -global virtio-mmio.force-legacy=false");
    const MachineConfig *c = &cl->config;

    g_assert_cmpstr(c->name, ==, "demo");
    g_assert_cmpstr(c->machine_name, ==, "virt");
    g_assert_cmpstr(c->machine_version, ==, "virt-7.2");
    g_assert_cmpint(c->dialect, ==, DIALECT_QEMU_7_2);
    g_assert_cmpuint(c->smp, ==, 2);
    g_assert_cmpuint(c->ram_bytes, ==, 128 << 20);
    g_assert_cmpstr(c->ram_id, ==, "riscv_virt_board.ram");
    g_assert_cmpstr(c->cpu_model, ==, "rv64");
    g_assert_cmpstr(c->append, ==, "console=ttyS0 root=/dev/vda");
    g_assert_cmpstr(c->incoming, ==, "defer");
    g_assert_true(c->start_paused && c->no_shutdown && c->no_reboot && c->msg_timestamp);
    g_assert_true(c->uuid_set && c->uuid[0] == 0x6d && c->uuid[15] == 0x11);
    g_assert_cmpstr(opt(c->objects, 1, "size"), ==, "134217728");
    g_assert_cmpstr(opt(c->blockdevs, 0, "cache.direct"), ==, "on");
    g_assert_cmpstr(opt(c->devices, 0, "bootindex"), ==, "1");
    g_assert_cmpstr(opt(c->netdevs, 0, "type"), ==, "user");
    g_assert_cmpstr(opt(c->globals, 0, "property"), ==, "force-legacy");
    g_assert_cmpstr(opt(c->globals, 0, "value"), ==, "false");
    g_assert_cmpstr(c->serials->pdata[0], ==, "chardev:charserial0");
    g_assert_true(cl->nodefaults && cl->monitor_given && cl->sandbox);
    g_assert_true(((CmdItem *)cl->monitors->pdata[0])->control);
    cmdline_free(cl);
}

static void test_libvirt_probe(void)
{
    CommandLine *cl = parse_ok("-S -no-user-config -nodefaults -nographic -machine "
                               "none,accel=kvm:tcg -qmp unix:/d/qmp.monitor,server=on,wait=off "
                               "-pidfile /d/qmp.pid -daemonize");

    g_assert_cmpstr(cl->config.machine_name, ==, "none");
    g_assert_cmpuint(cl->config.ram_bytes, ==, 0);
    g_assert_cmpuint(cl->config.smp, ==, 1);
    g_assert_true(cl->daemonize && cl->nographic);
    g_assert_cmpstr(cl->pidfile, ==, "/d/qmp.pid");
    cmdline_free(cl);
}

static void test_values(void)
{
    static const struct { const char *line; uint64_t ram; unsigned smp; } cases[] = {
        { "-M virt", 128 << 20, 1 },
        { "-M virt -m 1G", 1 << 30, 1 },
        { "-M virt -m size=131072k", 128 << 20, 1 },
        { "-M virt -m 1.5G", 3ULL << 29, 1 },
        { "-M virt -m 0", 128 << 20, 1 },
        { "-M virt -m 64 -m 256,slots=0,maxmem=256M", 256 << 20, 1 },
        { "-M virt -smp 8", 128 << 20, 8 },
        { "-M virt -smp cpus=2,maxcpus=4", 128 << 20, 2 },
        { "-M virt -smp sockets=2,cores=2", 128 << 20, 4 },
        { "--machine type=virt-10.0 -accel tcg,thread=multi", 128 << 20, 1 },
        { "-M virt,aclint=on", 128 << 20, 1 },
        { "-M virt,acpi=off,aclint=off,aia=none,usb=off -machine accel=tcg", 128 << 20, 1 },
        { "-M virt -audio none -audiodev none,id=x,in.voices=1 -audio driver=none,model=none",
          128 << 20, 1 },
        { "-M none", 0, 1 },
        { "-M none -m 64", 64 << 20, 1 },
        { "-M virt -d int,unimp -nic none -net none -vga none -parallel none -k de", 128 << 20, 1 },
        { "-M virt -action reboot=shutdown,shutdown=pause -rtc base=2020-01-02", 128 << 20, 1 },
        { "-M virt -name a,,b -trace migrate* -overcommit cpu-pm=off", 128 << 20, 1 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].line);
        CommandLine *cl = parse_ok(cases[i].line);
        g_assert_cmpuint(cl->config.ram_bytes, ==, cases[i].ram);
        g_assert_cmpuint(cl->config.smp, ==, cases[i].smp);
        cmdline_free(cl);
    }
}

/* The accelerator that is taken, and what is said of those before it. */
/* The last word counts, whichever option says it. */
static void test_actions(void)
{
    static const struct { const char *line; bool no_reboot, no_shutdown; } cases[] = {
        { "-M virt", false, false },
        { "-M virt -action shutdown=pause", false, true },
        { "-M virt -action reboot=shutdown", true, false },
        { "-M virt -no-shutdown -action shutdown=poweroff", false, false },
        { "-M virt -no-reboot -action reboot=reset,shutdown=pause", false, true },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        CommandLine *cl = parse_ok(cases[i].line);

        g_assert_cmpint(cl->config.no_reboot, ==, cases[i].no_reboot);
        g_assert_cmpint(cl->config.no_shutdown, ==, cases[i].no_shutdown);
        cmdline_free(cl);
    }
}

static void test_accels(void)
{
    static const struct { const char *line, *accel, *warnings; } cases[] = {
        { "-M virt", "tcg", "" },
        { "-M virt -accel tcg -accel foo", "tcg", "" },
        { "-M virt -accel qtest -accel tcg", "qtest", "" },
        { "-M virt -accel kvm,foo=1 -accel tcg", "tcg",
          "-accel kvm,foo=1: invalid accelerator kvm\nfalling back to tcg\n" },
        { "-M virt -accel kvm -accel hvf -accel qtest", "qtest",
          "-accel kvm: invalid accelerator kvm\n-accel hvf: invalid accelerator hvf\n"
          "falling back to qtest\n" },
        { "-M virt,accel=kvm:tcg", "tcg", "invalid accelerator kvm\nfalling back to tcg\n" },
        { "-M virt,accel=tcg:foo", "tcg", "invalid accelerator foo\nfalling back to tcg\n" },
        { "-M virt,accel=tcg:qtest", "tcg", "" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        CommandLine *cl = parse_ok(cases[i].line);
        g_assert_cmpstr(cl->config.accel, ==, cases[i].accel);
        g_assert_cmpstr(cl->warnings->str, ==, cases[i].warnings);
        cmdline_free(cl);
    }
}

static void test_bad(void)
{
    static const struct { const char *line, *message; } cases[] = {
        { "-foo", "-foo: invalid option" },
        { "-M virt,aclint=foo", "Parameter 'aclint' expects 'on' or 'off'" },
        { "-M virt,aia=foo", "Invalid AIA interrupt controller type\nValid values are none, " },
        { "-M virt,aia=aplic", "'aia=aplic' is not supported: the board has the PLIC" },
        { "--foo", "--foo: invalid option" },
        { "foo", "'foo': not an option" },
        { "-", "'-': not an option" },
        { "-M", "-M: requires an argument" },
        { "-smp", "-smp: requires an argument" },
        { "-m 64", "No machine specified, and there is no default" },
        { "-M foo", "unsupported machine type 'foo'" },
        { "-M virt-9.0", "unsupported machine type 'virt-9.0'" },
        { "-M virt,foo=1", "Property 'virt-machine.foo' not found" },
        { "-M none,acpi=off", "Property 'none-machine.acpi' not found" },
        { "-M virt,usb=on", "'usb=on' is not supported" },
        { "-M virt,acpi=on", "'acpi=on' is not supported" },
        { "-M virt,aia=aplic", "'aia=aplic' is not supported" },
        { "-M virt,mem-merge=x", "Parameter 'mem-merge' expects 'on' or 'off'" },
        { "-M virt,accel=kvm", "invalid accelerator kvm" },
        { "-M virt,accel=kvm:foo", "invalid accelerator foo" },
        { "-M virt,accel=", "no accelerator found" },
        { "-M virt,accel=tcg -accel tcg", "-accel and \"-machine accel=\" options are incompatible" },
        { "-M virt -accel kvm -accel tcg,foo=1", "-accel tcg,foo=1: Property 'tcg-accel.foo' not found" },
        { "-M virt -accel qtest,foo=1", "Property 'qtest-accel.foo' not found" },
        { "-M virt -audio none,model=hda", "Unknown sound card name `hda'" },
        { "-M virt -audio foo", "Parameter 'driver' does not accept value 'foo'" },
        { "-M virt -audiodev none,id=x,foo=1", "Parameter 'foo' is unexpected" },
        { "-M virt -audiodev none", "Parameter 'id' is missing" },
        { "-M virt -accel foo", "invalid accelerator foo" },
        { "-M virt -accel kvm", "-accel kvm: invalid accelerator kvm" },
        { "-M virt -accel tcg,thread=many", "Invalid 'thread' setting many" },
        { "-M virt -accel tcg,foo=1", "Property 'tcg-accel.foo' not found" },
        { "-M virt -m foo", "-m foo: Parameter 'size' expects a non-negative number" },
        { "-M virt -m -5", "Parameter 'size' expects" },
        { "-M virt -m 99999999999999999999", "Parameter 'size' expects" },
        { "-M virt -m 16E", "Parameter 'size' expects" },
        { "-M virt -m 18446744073709551615B", "ram size too large" },
        { "-M virt -m 1G,slots=2", "slots specified but no max-size" },
        { "-M virt -m 1G,slots=2,maxmem=2G", "no memory hotplug" },
        { "-M virt -m 1G,foo=1", "Invalid parameter 'foo'" },
        { "-M virt -smp 0", "must be greater than zero" },
        { "-M virt -smp foo", "Parameter 'smp.cpus' expects integer" },
        { "-M virt -smp 9", "Invalid SMP CPUs 9. The max CPUs supported by machine 'virt-10.0' is 8" },
        { "-M none -smp 2", "Invalid SMP CPUs 2. The max CPUs supported by machine 'none' is 1" },
        { "-M virt -smp 2,sockets=3,cores=1,threads=1", "product of the hierarchy must match maxcpus" },
        { "-M virt -smp 2,sockets=3", "does not divide maxcpus" },
        { "-M virt -smp 4,maxcpus=2", "maxcpus must be equal to or greater than smp" },
        { "-M virt -smp 2,dies=2", "dies not supported" },
        { "-M virt -smp 2,foo=1", "Invalid parameter 'foo'" },
        { "-M virt -smp 99999999999", "at most 65536" },
        { "-M virt -initrd x", "-initrd only allowed with -kernel option" },
        { "-M virt -append x", "-append only allowed with -kernel option" },
        { "-M virt,memory-backend=a -mem-path /x", "can't be used together" },
        { "-M virt -device foo", "'foo' is not a valid device model name" },
        { "-M virt -device id=x", "Parameter 'driver' is missing" },
        { "-M virt -device {\"driver\":", "JSON parse error" },
        { "-M virt -device foo,help", "'foo' is not a valid device model name" },
        { "-M virt -object foo,id=x", "Parameter 'qom-type' does not accept value 'foo'" },
        { "-M virt -object id=x", "Parameter 'qom-type' is missing" },
        { "-M virt -object rng-random", "Parameter 'id' is missing" },
        { "-M virt -object rng-random,id=a,foo=1", "Invalid parameter 'foo'" },
        { "-M virt -object rng-builtin,id=a -object rng-builtin,id=a", "duplicate property 'a'" },
        { "-M virt -object memory-backend-ram,id=a", "Parameter 'size' is missing" },
        { "-M virt -object memory-backend-ram,id=a,size=x", "Parameter 'size' expects a size" },
        { "-M virt -object memory-backend-ram,id=a,size=0", "doesn't take value '0'" },
        { "-M virt -object rng-builtin,id=1a", "Parameter 'id' expects an identifier" },
        { "-M virt -object secret,id=a", "Either 'file' or 'data' must be provided" },
        { "-M virt -object secret,id=a,data=x,file=y", "are mutually exclusive" },
        { "-M virt -netdev foo,id=x", "Parameter 'type' does not accept value 'foo'" },
        { "-M virt -netdev user", "Parameter 'id' is missing" },
        { "-M virt -netdev id=x", "Parameter 'type' is missing" },
        { "-M virt -nic user", "Parameter 'type' does not accept value 'user'" },
        { "-M virt -net foo", "Parameter 'type' does not accept value 'foo'" },
        { "-M virt -blockdev node-name=x", "Parameter 'driver' is missing" },
        { "-M virt -global foo", "Invalid parameter 'foo'" },
        { "-M virt -global driver=x,property=y", "Parameter 'value' is missing" },
        { "-M virt -global =x", "without a name" },
        { "-M virt -name foo=1", "-name foo=1: Invalid parameter 'foo'" },
        { "-M virt -name x,debug-threads=2", "Parameter 'debug-threads' expects 'on' or 'off'" },
        { "-M virt -uuid 12", "failed to parse UUID string: wrong format" },
        { "-M virt -uuid 6d1ac2a5-5f0f-4c52-9d3b-0f6a0b7c1e1", "wrong format" },
        { "-M virt -uuid 6d1ac2a5-5f0f-4c52-9d3b-0f6a0b7c1e111", "wrong format" },
        { "-M virt -uuid 6d1ac2a5+5f0f-4c52-9d3b-0f6a0b7c1e11", "wrong format" },
        { "-M virt -rtc foo=1", "Invalid parameter 'foo'" },
        { "-M virt -rtc base=xx", "invalid datetime format" },
        { "-M virt -rtc clock=xx", "Parameter 'clock' does not accept value 'xx'" },
        { "-M virt -rtc driftfix=xx", "Parameter 'driftfix' does not accept value 'xx'" },
        { "-M virt -boot foo=1", "Invalid parameter 'foo'" },
        { "-M virt -boot strict=x", "Parameter 'strict' expects 'on' or 'off'" },
        { "-M virt -action foo=1", "Invalid parameter 'foo'" },
        { "-M virt -action reboot=xx", "Parameter 'reboot' does not accept value 'xx'" },
        { "-M virt -action shutdown=xx", "Parameter 'shutdown' does not accept value 'xx'" },
        { "-M virt -msg foo=1", "Invalid parameter 'foo'" },
        { "-M virt -msg timestamp=x", "Parameter 'timestamp' expects 'on' or 'off'" },
        { "-M virt -sandbox foo", "Parameter 'enable' expects 'on' or 'off'" },
        { "-M virt -sandbox on,foo=1", "Invalid parameter 'foo'" },
        { "-M virt -sandbox on,spawn=x", "Parameter 'spawn' does not accept value 'x'" },
        { "-M virt -overcommit foo=1", "Invalid parameter 'foo'" },
        { "-M virt -overcommit mem-lock=x", "Parameter 'mem-lock' expects 'on' or 'off'" },
        { "-M virt -add-fd set=0", "fd option is required and must be non-negative" },
        { "-M virt -add-fd set=0,fd=-1", "Parameter 'fd' expects a number" },
        { "-M virt -add-fd set=0,fd=999", "fd is not valid or already in use" },
        { "-M virt -add-fd set=0,fd=1", "fd cannot be a standard I/O stream" },
        { "-M virt -add-fd fd=999", "set option is required and must be non-negative" },
        { "-M virt -audiodev foo", "Parameter 'driver' does not accept value 'foo'" },
        { "-M virt -audiodev none", "Parameter 'id' is missing" },
        { "-M virt -display foo", "Parameter 'type' does not accept value 'foo'" },
        { "-M virt -vga foo", "unknown vga type: foo" },
        { "-M virt -parallel foo", "does not accept value 'foo'" },
        { "-M virt -mon foo=1", "Invalid parameter 'foo'" },
        { "-M virt -mon mode=control", "Parameter 'chardev' is missing" },
        { "-M virt -mon x,mode=xx", "Parameter 'mode' does not accept value 'xx'" },
        { "-M virt -mon x,pretty=on", "'pretty' is not compatible with HMP monitors" },
        { "-M virt -d foo", "unknown log item 'foo'" },
        { "-M virt -trace foo=1", "Invalid parameter 'foo'" },
        { "-M virt -d in_asm", "unknown log item 'in_asm'\nLog items (comma separated):\nint  " },
        { "-M virt -d unimp,foo,int", "unknown log item 'foo'" },
        { "-M virt -trace events=/nonexistent/x", "No such file or directory" },
    };

    g_setenv("FERRY_CONFIG", "", TRUE);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        g_test_message("%s", cases[i].line);
        CommandLine *cl = parse(cases[i].line, &err);
        g_assert_null(cl);
        g_test_message("  %s", err->message);
        g_assert_nonnull(strstr(err->message, cases[i].message));
    }
}

/* What -help and its like print; nothing else happens then. */
static void test_help(void)
{
    static const struct { const char *line, *text; } cases[] = {
        { "-help -foo", "-machine [type=]name" },
        { "-h", "usage: qemu-system-riscv64" },
        { "-version", "QEMU emulator version 7.2.22 (Ferry " },
        { "-M help", "virt                 RISC-V VirtIO board (alias of virt-10.0)" },
        { "-M help", "FERRY_CONFIG" },
        { "-accel help", "tcg" },
        { "-cpu help", "rv64" },
        { "-device help", "name \"virtio-blk-device\", bus virtio-bus" },
        { "-device help", "name \"loader\", desc \"Generic Loader\"" },
        { "-device help", "name \"virtconsole\", bus virtio-serial-bus" },
        { "-device virtio-blk-device,help", "drive=" },
        { "-object help", "memory-backend-ram" },
        { "-netdev help", "user" },
        { "-chardev help", "socket" },
        { "-display help", "none" },
        { "-d help", "guest_errors" },
        { "-trace help", "migrate_set_state\n" },
        { "-trace enable=help", "vmstate_downtime_checkpoint\n" },
        { "-d trace:help", "migrate_set_state\n" },
    };

    g_setenv("FERRY_CONFIG", "", TRUE);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].line);
        CommandLine *cl = parse_ok(cases[i].line);
        g_assert_nonnull(strstr(cl->output->str, cases[i].text));
        cmdline_free(cl);
    }
}

static void test_alias(void)
{
    g_autofree char *dir = g_dir_make_tmp("ferry-conf-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "ferry.conf", NULL);
    static const struct { const char *content, *version, *message; } cases[] = {
        { "", "virt-10.0", NULL },
        { "[machine]\nvirt=virt-7.2\n", "virt-7.2", NULL },
        { "# comment\n[machine]\nvirt = virt-10.0 \n", "virt-10.0", NULL },
        { "[machine]\nvirt=none\n", NULL, "[machine] virt=none: expected virt-10.0 or virt-7.2" },
        { "[machine]\nvirt=virt\n", NULL, "virt=virt: expected" },
        { "junk\n", NULL, "configuration file" },
        { NULL, NULL, "No such file" },
    };

    g_setenv("FERRY_CONFIG", path, TRUE);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        if (cases[i].content) {
            g_assert_true(g_file_set_contents(path, cases[i].content, -1, NULL));
        } else {
            g_unlink(path);
        }
        CommandLine *cl = parse("-M virt", &err);
        if (cases[i].version) {
            g_assert_no_error(err);
            g_assert_cmpstr(cl->config.machine_version, ==, cases[i].version);
            cmdline_free(cl);
        } else {
            g_assert_null(cl);
            g_assert_nonnull(strstr(err->message, cases[i].message));
            g_assert_nonnull(strstr(err->message, path));
        }
        /* The versioned names and none do not depend on it. */
        cmdline_free(parse_ok("-M virt-7.2"));
        cmdline_free(parse_ok("-M none"));
    }
    g_unsetenv("FERRY_CONFIG");
    g_rmdir(dir);
}

/* A guest that came in keeps its version, unless the version was asked for by name. */
static void test_adopt(void)
{
    static const struct { const char *line; int received; const char *version; } cases[] = {
        { "-M virt", DIALECT_QEMU_7_2, "virt-7.2" },
        { "-M virt", DIALECT_QEMU_10_0, "virt-10.0" },
        { "-M virt", -1, "virt-10.0" },
        { "-M virt-10.0", DIALECT_QEMU_7_2, "virt-10.0" },
        { "-M none", DIALECT_QEMU_7_2, "none" },
    };

    g_setenv("FERRY_CONFIG", "", TRUE);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        CommandLine *cl = parse_ok(cases[i].line);
        Machine machine = { .config = &cl->config, .vmstate = vmstate_registry_new() };
        vmstate_set_dialect(machine.vmstate, cl->config.dialect);
        if (cases[i].received >= 0) {
            vmstate_set_received_dialect(machine.vmstate, cases[i].received);
        }
        machine_type_adopt(&machine);
        g_assert_cmpstr(cl->config.machine_version, ==, cases[i].version);
        g_assert_cmpint(vmstate_dialect(machine.vmstate), ==, cl->config.dialect);
        vmstate_registry_free(machine.vmstate);
        cmdline_free(cl);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cmdline/libvirt-domain", test_libvirt_domain);
    g_test_add_func("/cmdline/libvirt-probe", test_libvirt_probe);
    g_test_add_func("/cmdline/values", test_values);
    g_test_add_func("/cmdline/actions", test_actions);
    g_test_add_func("/cmdline/accels", test_accels);
    g_test_add_func("/cmdline/bad", test_bad);
    g_test_add_func("/cmdline/help", test_help);
    g_test_add_func("/cmdline/alias", test_alias);
    g_test_add_func("/cmdline/adopt", test_adopt);
    return g_test_run();
}
