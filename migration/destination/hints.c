/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See hints.h. Called once, where a failed load is explained. The cause is
 * QEMU's own sentence in most cases and says what is wrong but not what to
 * change: with QEMU as the source and without a return path our message is
 * all that its user gets. Which advice fits goes by the error's code and the
 * section it arose in. It comes first, as what is to be done, and never replaces the cause.
 */
#include <inttypes.h>
#include "migration/destination/hints.h"
#include "migration/load-error.h"
#include "migration/stream/format.h"
#include "migration/vmstate.h"

#define BOTH_SIDES "start both sides with the same "

static const struct {
    LoadError code;
    const char *section, *hint;     /* section: a prefix; NULL: any. The first that fits */
} hints[] = {
    { LOAD_ERROR_SECTION_UNKNOWN, "cpu",
      "The source has more harts than this machine: " BOTH_SIDES "-smp" },
    { LOAD_ERROR_SECTION_UNKNOWN, "virtio-mmio@",
      "This machine has no such device in that slot: " BOTH_SIDES
      "-device options, in the same order" },
    { LOAD_ERROR_SECTION_UNKNOWN, NULL,
      "This machine has no such device: start the source without it" },
    { LOAD_ERROR_FOOTER, "riscv_mtimer",
      "The state is not for this number of harts: " BOTH_SIDES "-smp" },
    { LOAD_ERROR_FOOTER, "riscv_sifive_plic",
      "The state is not for this number of harts: " BOTH_SIDES "-smp" },
    { LOAD_ERROR_SECTION_VERSION, NULL,
      "The source is another version than those known here, QEMU 7.2 and 10.0" },
    { LOAD_ERROR_ROM_UNKNOWN, NULL,
      "The source offers its guest ACPI tables: start it with -M virt,acpi=off" },
    { LOAD_ERROR_BLOCK_UNKNOWN, NULL,
      "This machine has no such memory: start the source without what it belongs to" },
    { LOAD_ERROR_FLASH_SIZE, NULL,
      "The flash has another size there: " BOTH_SIDES "-drive if=pflash" },
    { LOAD_ERROR_BLOCK_SIZE, NULL, "There is more or less RAM there: " BOTH_SIDES "-m" },
    { LOAD_ERROR_MACHINE_TYPE, NULL, "These are two machines: " BOTH_SIDES "-M" },
    { LOAD_ERROR_PART, NULL,
      "Its writer was stopped, failed, or is still at it: wait, or save the guest again" },
    { LOAD_ERROR_UUID, NULL, "These are two guests, or " BOTH_SIDES "-uuid" },
    { LOAD_ERROR_CAPABILITY, NULL, "Set the capability alike on both sides" },
    { LOAD_ERROR_CPU_LACKS, NULL,
      "Give the -cpu of this side what the source's has, or boot the guest without it" },
    { LOAD_ERROR_PEER_ENDED, NULL,
      "The source has cancelled, failed or gone: its own messages say why" },
};

const char *incoming_hint(const GError *err, const char *idstr)
{
    for (size_t i = 0; i < G_N_ELEMENTS(hints); i++) {
        const char *section = hints[i].section;
        if (g_error_matches(err, LOAD_ERROR, hints[i].code) &&
            (!section || (idstr && g_str_has_prefix(idstr, section)))) {
            return hints[i].hint;
        }
    }
    return NULL;
}

/* Before its CPU has come, only the numbering of its sections tells whose a stream is. */
static const char *dialect_text(int dialect, uint32_t ram_id)
{
    return dialect == DIALECT_QEMU_7_2      ? ", stream of QEMU 7.2"
           : dialect == DIALECT_QEMU_10_0   ? ", stream of QEMU 10.0"
           : ram_id == SECTION_ID_RAM_7_2   ? ", stream numbered as by QEMU 7.2"
           : ram_id == SECTION_ID_RAM_10_0  ? ", stream numbered as by QEMU 10.0"
                                            : "";
}

void incoming_explain(GError **errp, const char *doing, const char *section, int dialect,
                      uint32_t ram_id, uint64_t offset)
{
    if (!errp || !*errp) {
        return;
    }
    const char *hint = incoming_hint(*errp, section);
    g_autofree char *text = g_strdup_printf("%s%s%s (%s%s, offset 0x%" PRIx64 ")", hint ? hint : "",
                                            hint ? ". " : "", (*errp)->message, doing,
                                            dialect_text(dialect, ram_id), offset);
    /* Names from the stream are part of messages, which go out as JSON. */
    g_free((*errp)->message);
    (*errp)->message = g_utf8_make_valid(text, -1);
}
