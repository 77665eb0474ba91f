/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/destination/hints.c: what a message about a refused stream has besides the cause. */
#include "migration/destination/hints.h"
#include "migration/load-error.h"
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
    check("broken", "timer", -1, 0, "broken (section 'x', offset 0x1f3)");
    check("broken", NULL, DIALECT_QEMU_7_2, 0, "broken (section 'x', stream of QEMU 7.2, offset 0x1f3)");
    check("broken", "ram", -1, 1, "broken (section 'x', stream numbered as by QEMU 10.0, offset 0x1f3)");
    check("broken", "ram", -1, 2, "broken (section 'x', stream numbered as by QEMU 7.2, offset 0x1f3)");
    check("broken", "cpu", DIALECT_QEMU_10_0, 2,
          "broken (section 'x', stream of QEMU 10.0, offset 0x1f3)");
    check("\xff", "cpu", -1, 9, "\xef\xbf\xbd (section 'x', offset 0x1f3)");

    GError *err = NULL;
    error_set_domain(&err, LOAD_ERROR, LOAD_ERROR_BLOCK_SIZE, "not alike");
    error_prepend(&err, "ram: ");
    incoming_explain(&err, "section 'x'", "ram", -1, 0, 0x1f3);
    g_assert_cmpstr(err->message, ==, "There is more or less RAM there: start both sides with the same "
                    "-m. ram: not alike (section 'x', offset 0x1f3)");
    g_error_free(err);
    incoming_explain(NULL, "", NULL, -1, 0, 0);
}

static const char *hint_for(LoadError code, const char *section)
{
    g_autoptr(GError) err = NULL;

    error_set_domain(&err, LOAD_ERROR, code, "x");
    return incoming_hint(err, section);
}

static void test_hints(void)
{
    static const struct { LoadError code; const char *section, *word; } cases[] = {
        { LOAD_ERROR_SECTION_UNKNOWN, "cpu", "-smp" },
        { LOAD_ERROR_SECTION_UNKNOWN, "virtio-mmio@0000000010008000/virtio-rng", "-device" },
        { LOAD_ERROR_SECTION_UNKNOWN, "slirp", "without it" },
        { LOAD_ERROR_SECTION_VERSION, "cpu", "another version" },
        { LOAD_ERROR_FOOTER, "riscv_mtimer", "-smp" },
        { LOAD_ERROR_ROM_UNKNOWN, "ram", "acpi=off" },
        { LOAD_ERROR_BLOCK_UNKNOWN, "ram", "no such memory" },
        { LOAD_ERROR_FLASH_SIZE, "ram", "pflash" },
        { LOAD_ERROR_BLOCK_SIZE, "ram", "-m" },
        { LOAD_ERROR_MACHINE_TYPE, NULL, "-M" },
        { LOAD_ERROR_UUID, NULL, "-uuid" },
        { LOAD_ERROR_PART, NULL, "save the guest again" },
        { LOAD_ERROR_CAPABILITY, NULL, "alike" },
        { LOAD_ERROR_CPU_LACKS, "cpu", "-cpu" },
        { LOAD_ERROR_PEER_ENDED, "ram", "cancelled" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *hint = hint_for(cases[i].code, cases[i].section);
        g_assert_nonnull(hint);
        g_assert_nonnull(strstr(hint, cases[i].word));
    }
    g_assert_null(hint_for(LOAD_ERROR_FOOTER, "timer"));
    g_assert_null(hint_for(LOAD_ERROR_FOOTER, NULL));
    g_assert_null(incoming_hint(NULL, NULL));
}

/* A code of another domain is not taken for one of ours; each of ours has an advice somewhere. */
static void test_codes(void)
{
    static const char *const sections[] = { NULL, "cpu", "riscv_mtimer" };

    for (int code = 0; code < LOAD_ERROR__MAX; code++) {
        g_autoptr(GError) other = g_error_new_literal(FERRY_ERROR, code, "x");
        bool any = false;
        for (size_t i = 0; i < G_N_ELEMENTS(sections); i++) {
            any |= hint_for(code, sections[i]) != NULL;
            g_assert_null(incoming_hint(other, sections[i]));
        }
        g_assert_true(any);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/incoming-hints/explain", test_explain);
    g_test_add_func("/incoming-hints/hints", test_hints);
    g_test_add_func("/incoming-hints/codes", test_codes);
    return g_test_run();
}
