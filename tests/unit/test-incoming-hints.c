/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/destination/hints.c: what a message about a refused stream has besides the cause. */
#include "migration/destination/hints.h"
#include "migration/vmstate.h"
#include "util/error.h"

static void check(const char *cause, const char *section, int dialect, uint32_t ram_id,
                  const char *want)
{
    GError *err = NULL;
    error_setg(&err, "%s", cause);
    incoming_explain(&err, "section 'x'", section, dialect, ram_id, 0x1f3);
    g_assert_cmpstr(err->message, ==, want);
    g_error_free(err);
}

static void test_explain(void)
{
    check("broken", "timer", -1, 0, "section 'x', offset 0x1f3: broken");
    check("broken", NULL, DIALECT_QEMU_7_2, 0, "section 'x', stream of QEMU 7.2, offset 0x1f3: broken");
    check("broken", "ram", -1, 1, "section 'x', stream numbered as by QEMU 10.0, offset 0x1f3: broken");
    check("broken", "ram", -1, 2, "section 'x', stream numbered as by QEMU 7.2, offset 0x1f3: broken");
    check("broken", "cpu", DIALECT_QEMU_10_0, 2,
          "section 'x', stream of QEMU 10.0, offset 0x1f3: broken");
    check("\xff", "cpu", -1, 9, "section 'x', offset 0x1f3: \xef\xbf\xbd");
    check("Size mismatch: ram: 0x1 != 0x2: Invalid argument", "ram", -1, 0,
          "section 'x', offset 0x1f3: Size mismatch: ram: 0x1 != 0x2: Invalid argument. There is more "
          "or less RAM there: start both sides with the same -m");
    incoming_explain(NULL, "", NULL, -1, 0, 0);
}

static void test_hints(void)
{
    static const struct { const char *message, *section, *word; } cases[] = {
        { "Unknown savevm section or instance 'cpu' 1", "cpu", "-smp" },
        { "Unknown savevm section or instance 'virtio-mmio@0000000010008000/virtio-rng' 0",
          "virtio-mmio@0000000010008000/virtio-rng", "-device" },
        { "Unknown savevm section or instance 'slirp' 0", "slirp", "without it" },
        { "Missing section footer for riscv_mtimer", "riscv_mtimer", "-smp" },
        { "savevm: unsupported version 11 for 'cpu' v10", "cpu", "another version" },
        { "Unknown ramblock \"/rom@etc/acpi/tables\", cannot", "ram", "acpi=off" },
        { "Unknown ramblock \"vga\", cannot", "ram", "no such memory" },
        { "Size mismatch: virt.flash0: 0x1", "ram", "pflash" },
        { "Machine type received is 'virt' and local is 'none'", NULL, "-M" },
        { "UUID received is", NULL, "-uuid" },
        { "incoming: cpu: the guest uses Sv57, which this machine's CPU lacks", "cpu", "-cpu" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *hint = incoming_hint(cases[i].message, cases[i].section);
        g_assert_nonnull(hint);
        g_assert_nonnull(strstr(hint, cases[i].word));
    }
    g_assert_null(incoming_hint("Missing section footer for timer", "timer"));
    g_assert_null(incoming_hint("Size mismatch: ram", NULL));
    g_assert_null(incoming_hint(NULL, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/incoming-hints/explain", test_explain);
    g_test_add_func("/incoming-hints/hints", test_hints);
    return g_test_run();
}
