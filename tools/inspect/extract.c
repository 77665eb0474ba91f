/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command extract: one block as a raw file, one page as a hex dump, all as an ELF core for gdb. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "commands.h"

typedef struct Output {
    int fd;
    const char *path;
    char **error;
} Output;

static bool output_fail(Output *o, const char *what)
{
    if (!*o->error) {
        *o->error = g_strdup_printf("Could not %s '%s': %s", what, o->path, g_strerror(errno));
    }
    return false;
}

static bool output_open(Output *o)
{
    o->fd = open(o->path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    return o->fd >= 0 || output_fail(o, "create");
}

static bool output_at(Output *o, const void *data, size_t len, uint64_t at)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = pwrite(o->fd, p, len, at);
        if (n < 0 && errno != EINTR) {
            return output_fail(o, "write");
        }
        n = MAX(n, 0);
        p += n;
        at += n;
        len -= n;
    }
    return true;
}

static bool output_close(Output *o, bool ok)
{
    if (close(o->fd) < 0) {
        ok = output_fail(o, "close");
    }
    return ok;
}

/* Pages that are not zero go to their place; the others stay holes. */
static bool output_block(Output *o, const RamBlock *b, uint64_t at)
{
    if (ftruncate(o->fd, at + b->length) < 0) {
        return output_fail(o, "extend");
    }
    for (uint64_t i = 0; i < b->length / PAGE; i++) {
        uint64_t n = 0;
        while (n < 256 && i + n < b->length / PAGE &&
               (b->written[(i + n) / 64] >> ((i + n) % 64) & 1)) {
            n++;
        }
        if (n > 0) {
            if (!output_at(o, b->data + i * PAGE, n * PAGE, at + i * PAGE)) {
                return false;
            }
            i += n - 1;
        }
    }
    return true;
}

bool extract_ram(const Model *m, const char *block, const char *path, char **error)
{
    const RamBlock *b = model_find_block(m, block, strlen(block));
    Output o = { .path = path, .error = error };

    if (!b) {
        GString *names = g_string_new(NULL);
        for (guint i = 0; i < m->blocks->len; i++) {
            const RamBlock *k = g_ptr_array_index(m->blocks, i);
            g_string_append_printf(names, "%s%s", i ? ", " : "", k->name);
        }
        *error = g_strdup_printf("There is no RAM block '%s', only: %s", block, names->str);
        g_string_free(names, TRUE);
        return false;
    }
    return output_open(&o) && output_close(&o, output_block(&o, b, 0));
}

/* ---- ELF ---- */

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

static gint by_address(gconstpointer a, gconstpointer b)
{
    uint64_t x = (*(RamBlock *const *)a)->guest_addr, y = (*(RamBlock *const *)b)->guest_addr;
    return x < y ? -1 : x > y;
}

static bool write_elf(Output *o, GPtrArray *blocks, const GByteArray *notes)
{
    unsigned phnum = blocks->len + 1;
    uint64_t headers = sizeof(Elf64_Ehdr) + phnum * sizeof(Elf64_Phdr);
    uint64_t at = (headers + notes->len + PAGE - 1) / PAGE * PAGE;
    g_autofree Elf64_Phdr *ph = g_new0(Elf64_Phdr, phnum);
    Elf64_Ehdr eh = {
        .e_type = GUINT16_TO_LE(ET_CORE), .e_machine = GUINT16_TO_LE(EM_RISCV),
        .e_version = GUINT32_TO_LE(1), .e_phoff = GUINT64_TO_LE(sizeof(eh)),
        .e_flags = GUINT32_TO_LE(5 /* compressed instructions, doubles */),
        .e_ehsize = GUINT16_TO_LE(sizeof(eh)), .e_phentsize = GUINT16_TO_LE(sizeof(*ph)),
        .e_phnum = GUINT16_TO_LE(phnum),
    };

    memcpy(eh.e_ident, "\177ELF\2\1\1", 7);
    ph[0] = (Elf64_Phdr){ .p_type = GUINT32_TO_LE(PT_NOTE), .p_offset = GUINT64_TO_LE(headers),
                          .p_filesz = GUINT64_TO_LE(notes->len) };
    for (guint i = 0; i < blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(blocks, i);
        ph[i + 1] = (Elf64_Phdr){
            .p_type = GUINT32_TO_LE(PT_LOAD), .p_flags = GUINT32_TO_LE(PF_R | PF_W | PF_X),
            .p_offset = GUINT64_TO_LE(at), .p_vaddr = GUINT64_TO_LE(b->guest_addr),
            .p_paddr = GUINT64_TO_LE(b->guest_addr), .p_filesz = GUINT64_TO_LE(b->length),
            .p_memsz = GUINT64_TO_LE(b->length), .p_align = GUINT64_TO_LE(PAGE),
        };
        if (!output_block(o, b, at)) {
            return false;
        }
        at += b->length;
    }
    return output_at(o, &eh, sizeof(eh), 0) &&
           output_at(o, ph, phnum * sizeof(*ph), sizeof(eh)) &&
           output_at(o, notes->data, notes->len, headers);
}

bool extract_elf(const Model *m, const char *path, char **error)
{
    g_autoptr(GPtrArray) blocks = g_ptr_array_new();
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
    for (guint i = 0; i < m->blocks->len; i++) {
        RamBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->guest_addr != UINT64_MAX) {
            g_ptr_array_add(blocks, b);
        }
    }
    g_ptr_array_sort(blocks, by_address);
    return output_open(&o) && output_close(&o, write_elf(&o, blocks, notes));
}

/* ---- one page ---- */

static const RamBlock *find_address(const Model *m, uint64_t addr, uint64_t *offset)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->guest_addr != UINT64_MAX && addr >= b->guest_addr &&
            addr - b->guest_addr < b->length) {
            *offset = addr - b->guest_addr;
            return b;
        }
    }
    return NULL;
}

static const RamBlock *parse_address(const Model *m, const char *text, uint64_t *offset,
                                     char **error)
{
    const char *plus = strrchr(text, '+'), *number = plus ? plus + 1 : text;
    char *end;
    errno = 0;
    uint64_t v = strtoull(number, &end, 0);

    if (errno || end == number || *end || *number == '-') {
        *error = g_strdup_printf("'%s' is not an address (0x80001000 or BLOCK+0x1000)", text);
        return NULL;
    }
    *offset = v;
    const RamBlock *b = plus ? model_find_block(m, text, plus - text)
                             : find_address(m, v, offset);
    if (!b || *offset >= b->length) {
        *error = g_strdup_printf("There is no RAM at '%s'", text);
        return NULL;
    }
    return b;
}

char *extract_page(const Model *m, const char *addr, char **error)
{
    uint64_t offset;
    const RamBlock *b = parse_address(m, addr, &offset, error);

    if (!b) {
        return NULL;
    }
    uint64_t page = offset / PAGE;
    const uint8_t *p = b->data + page * PAGE;
    bool seen = b->seen[page / 64] >> (page % 64) & 1;
    GString *out = g_string_new(NULL);
    g_string_printf(out, "block '%s' page %" PRIu64 " (0x%" PRIx64 ")%s\n", b->name, page,
                    page * PAGE, seen ? "" : ", not sent");
    for (unsigned i = 0; i < PAGE; i += 16) {
        if (i > 0 && i + 16 < PAGE && memcmp(p + i, p + i - 16, 16) == 0) {
            if (i < 32 || memcmp(p + i - 16, p + i - 32, 16) != 0) {
                g_string_append(out, "*\n");
            }
            continue;
        }
        g_string_append_printf(out, "%08" PRIx64 " ", page * PAGE + i);
        for (unsigned k = 0; k < 16; k++) {
            g_string_append_printf(out, k == 8 ? "  %02x" : " %02x", p[i + k]);
        }
        g_string_append(out, "  |");
        for (unsigned k = 0; k < 16; k++) {
            uint8_t c = p[i + k];
            g_string_append_c(out, c >= 0x20 && c < 0x7f ? c : '.');
        }
        g_string_append(out, "|\n");
    }
    return g_string_free(out, FALSE);
}
