/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command extract --elf: a core for gdb. RAM is in it once; program
 * headers show it where each hart's page tables have it, so that a kernel's
 * addresses can be read, and where it is in guest-physical space.
 */
#include <elf.h>
#include <string.h>
#include "commands.h"
#include "output.h"
#include "paging.h"

#define SEGMENTS_MAX 65000      /* e_phnum has 16 bits */

/* What Linux' riscv64 puts into NT_PRSTATUS; only pid and registers mean something here. */
typedef struct PrStatus {
    uint8_t before_pid[32];
    uint32_t pid;
    uint8_t before_regs[76];
    uint64_t regs[32];          /* pc, then x1 to x31 */
    uint64_t fp_valid;
} PrStatus;
G_STATIC_ASSERT(sizeof(PrStatus) == 376);
G_STATIC_ASSERT(G_STRUCT_OFFSET(PrStatus, regs) == 112);

typedef struct FpRegs {
    uint64_t f[32];
    uint32_t fcsr, pad;
} FpRegs;

static void note_add(GByteArray *notes, uint32_t type, const void *desc, uint32_t len)
{
    Elf64_Nhdr h = { .n_namesz = GUINT32_TO_LE(5), .n_descsz = GUINT32_TO_LE(len),
                     .n_type = GUINT32_TO_LE(type) };

    g_byte_array_append(notes, (const guint8 *)&h, sizeof(h));
    g_byte_array_append(notes, (const guint8 *)"CORE\0\0\0", 8);
    g_byte_array_append(notes, desc, len);
}

static void notes_add_hart(GByteArray *notes, const Section *cpu)
{
    const Node *gpr = node_find(cpu->fields, "env.gpr"), *fpr = node_find(cpu->fields, "env.fpr");
    PrStatus pr = { .pid = GUINT32_TO_LE(cpu->instance + 1), .fp_valid = GUINT64_TO_LE(1) };
    FpRegs fp = { .fcsr = GUINT32_TO_LE(
        (uint32_t)(node_integer(node_find(cpu->fields, "env.frm"), 0) & 7) << 5) };

    pr.regs[0] = GUINT64_TO_LE(node_integer(node_find(cpu->fields, "env.pc"), 0));
    for (int i = 1; i < 32; i++) {
        pr.regs[i] = GUINT64_TO_LE(node_integer(gpr, i));
    }
    for (int i = 0; i < 32; i++) {
        fp.f[i] = GUINT64_TO_LE(node_integer(fpr, i));
    }
    note_add(notes, NT_PRSTATUS, &pr, sizeof(pr));
    note_add(notes, NT_FPREGSET, &fp, sizeof(fp));
}

/* ---- what is where ---- */

/* A list of Mapping, by virtual address, none overlapping. */
typedef GArray Segments;

static guint segment_after(const Segments *s, uint64_t virt)
{
    guint low = 0, high = s->len;

    while (low < high) {
        guint mid = (low + high) / 2;
        if (g_array_index(s, Mapping, mid).virt > virt) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

/* What was there before stays: only the parts between go in. */
static void segment_add(Segments *s, Mapping m)
{
    while (m.length > 0) {
        guint at = segment_after(s, m.virt);
        const Mapping *before = at > 0 ? &g_array_index(s, Mapping, at - 1) : NULL;
        const Mapping *after = at < s->len ? &g_array_index(s, Mapping, at) : NULL;
        uint64_t skip = before && m.virt - before->virt < before->length
                            ? before->length - (m.virt - before->virt) : 0;
        skip = MIN(skip, m.length);
        m = (Mapping){ m.virt + skip, m.phys + skip, m.length - skip };
        if (skip > 0) {
            continue;
        }
        Mapping part = m;
        if (after && after->virt - m.virt < m.length) {
            part.length = after->virt - m.virt;
        }
        if (s->len < SEGMENTS_MAX) {
            g_array_insert_val(s, at, part);
        }
        m = (Mapping){ m.virt + part.length, m.phys + part.length, m.length - part.length };
    }
}

/* Virtual addresses of all harts first; then, where they leave room, the guest-physical ones. */
static Segments *find_segments(const Model *m)
{
    Segments *s = g_array_new(false, false, sizeof(Mapping));

    for (guint i = 0; i < m->sections->len; i++) {
        const Section *cpu = g_ptr_array_index(m->sections, i);
        if (!cpu->fields || g_strcmp0(cpu->idstr, "cpu") != 0) {
            continue;
        }
        g_autoptr(GArray) maps =
            paging_mappings(m, node_integer(node_find(cpu->fields, "env.satp"), 0));
        for (guint k = 0; k < maps->len; k++) {
            segment_add(s, g_array_index(maps, Mapping, k));
        }
    }
    for (guint i = 0; i < m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->guest_addr != UINT64_MAX) {
            segment_add(s, (Mapping){ b->guest_addr, b->guest_addr, b->length });
        }
    }
    return s;
}

/* ---- the file ---- */

static Elf64_Ehdr elf_header(unsigned phnum)
{
    Elf64_Ehdr eh = {
        .e_type = GUINT16_TO_LE(ET_CORE), .e_machine = GUINT16_TO_LE(EM_RISCV),
        .e_version = GUINT32_TO_LE(1), .e_phoff = GUINT64_TO_LE(sizeof(eh)),
        .e_flags = GUINT32_TO_LE(5 /* compressed instructions, doubles */),
        .e_ehsize = GUINT16_TO_LE(sizeof(eh)), .e_phentsize = GUINT16_TO_LE(sizeof(Elf64_Phdr)),
        .e_phnum = GUINT16_TO_LE(phnum),
    };
    memcpy(eh.e_ident, "\177ELF\2\1\1", 7);
    return eh;
}

/* Where the file has each block, in the order of m->blocks. */
static bool write_blocks(Output *o, const Model *m, uint64_t at, uint64_t *offsets)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->guest_addr == UINT64_MAX) {
            continue;
        }
        if (!output_block(o, b, at)) {
            return false;
        }
        offsets[i] = at;
        at += b->length;
    }
    return true;
}

static uint64_t file_offset(const Model *m, const uint64_t *offsets, uint64_t phys)
{
    uint64_t offset = 0;
    const RamBlock *b = paging_find_ram(m, phys, &offset);
    guint i = 0;

    while (g_ptr_array_index(m->blocks, i) != b) {
        i++;
    }
    return offsets[i] + offset;
}

static bool write_elf(Output *o, const Model *m, const Segments *s, const GByteArray *notes)
{
    unsigned phnum = s->len + 1;
    uint64_t headers = sizeof(Elf64_Ehdr) + phnum * sizeof(Elf64_Phdr);
    g_autofree Elf64_Phdr *ph = g_new0(Elf64_Phdr, phnum);
    g_autofree uint64_t *offsets = g_new0(uint64_t, m->blocks->len + 1);
    Elf64_Ehdr eh = elf_header(phnum);

    if (!write_blocks(o, m, (headers + notes->len + PAGE - 1) / PAGE * PAGE, offsets)) {
        return false;
    }
    ph[0] = (Elf64_Phdr){ .p_type = GUINT32_TO_LE(PT_NOTE), .p_offset = GUINT64_TO_LE(headers),
                          .p_filesz = GUINT64_TO_LE(notes->len) };
    for (guint i = 0; i < s->len; i++) {
        const Mapping *k = &g_array_index(s, Mapping, i);
        ph[i + 1] = (Elf64_Phdr){
            .p_type = GUINT32_TO_LE(PT_LOAD), .p_flags = GUINT32_TO_LE(PF_R | PF_W | PF_X),
            .p_offset = GUINT64_TO_LE(file_offset(m, offsets, k->phys)),
            .p_vaddr = GUINT64_TO_LE(k->virt), .p_paddr = GUINT64_TO_LE(k->phys),
            .p_filesz = GUINT64_TO_LE(k->length), .p_memsz = GUINT64_TO_LE(k->length),
            .p_align = GUINT64_TO_LE(PAGE),
        };
    }
    return output_at(o, &eh, sizeof(eh), 0) &&
           output_at(o, ph, phnum * sizeof(*ph), sizeof(eh)) &&
           output_at(o, notes->data, notes->len, headers);
}

bool extract_elf(const Model *m, const char *path, char **error)
{
    g_autoptr(GByteArray) notes = g_byte_array_new();
    Output o = { .path = path, .error = error };

    for (guint i = 0; i < m->sections->len; i++) {
        const Section *s = g_ptr_array_index(m->sections, i);
        if (s->fields && g_strcmp0(s->idstr, "cpu") == 0) {
            notes_add_hart(notes, s);
        }
    }
    if (notes->len == 0) {
        *error = g_strdup("The stream has no CPU: there is nothing for a core's registers");
        return false;
    }
    if (!output_open(&o)) {
        return false;
    }
    Segments *s = find_segments(m);
    bool ok = output_close(&o, write_elf(&o, m, s, notes));
    g_array_unref(s);
    return ok;
}
