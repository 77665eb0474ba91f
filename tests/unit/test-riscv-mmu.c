/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translation and PMP: formats, permissions, A and D bits, superpages, regions, the dirty log's write path. */
#include "softmmu/machine.h"
#include "target/riscv/cpu.h"

#define RAM 0x80000000ULL
#define ROOT (RAM + 0x10000)
#define MID (RAM + 0x11000)
#define LEAF (RAM + 0x12000)
#define DATA (RAM + 0x20000)

typedef struct Rig {
    Machine m;
    RISCVCPU *cpu;
    uint8_t *ram;
    RAMBlock *block;
} Rig;

static Rig *rig_new(const char *model)
{
    Rig *rig = g_new0(Rig, 1);
    Machine *m = &rig->m;
    GError *err = NULL;

    machine_core_init(m, NULL);
    rig->block = ram_list_add(m->ram, "ram", 1 << 20, NULL, &err);
    rig->ram = rig->block->host;
    g_assert_true(address_space_add_ram(m->as, "ram", RAM, rig->block, &err));
    m->cpus = cpus_new(m, model, 1, &err);
    g_assert_no_error(err);
    rig->cpu = cpus_get(m->cpus, 0);
    riscv_pmp_write_addr(rig->cpu, 15, UINT64_MAX);
    riscv_pmp_write_cfg(rig->cpu, 2, 0x1f00000000000000ULL);
    return rig;
}

static void rig_free(Rig *rig)
{
    Machine *m = &rig->m;

    cpus_free(m->cpus);
    machine_core_clear(m);
    g_free(rig);
}

static uint64_t *word(Rig *rig, uint64_t pa)
{
    return (uint64_t *)(rig->ram + (pa - RAM));
}

static void set_pte(Rig *rig, uint64_t table, unsigned index, uint64_t target, uint64_t bits)
{
    word(rig, table)[index] = target >> 12 << 10 | bits;
}

/* Sv39: va 0x1000 -> DATA with the given bits; S mode. */
static void map(Rig *rig, uint64_t bits)
{
    set_pte(rig, ROOT, 0, MID, PTE_V);
    set_pte(rig, MID, 0, LEAF, PTE_V);
    set_pte(rig, LEAF, 1, DATA, bits);
    rig->cpu->satp = (uint64_t)SATP_SV39 << 60 | ROOT >> 12;
    rig->cpu->priv = PRV_S;
    riscv_tlb_flush(rig->cpu);
    riscv_cpu_mode_changed(rig->cpu);
}

static uint32_t try_load(Rig *rig, uint64_t va)
{
    uint64_t v;

    return riscv_mem_load(rig->cpu, va, 8, &v) ? 0 : rig->cpu->exc_cause;
}

static uint32_t try_store(Rig *rig, uint64_t va)
{
    return riscv_mem_store(rig->cpu, va, 8, 1) ? 0 : rig->cpu->exc_cause;
}

static uint32_t try_fetch(Rig *rig, uint64_t va)
{
    const uint8_t *host;
    uint64_t pa;
    bool whole;

    return riscv_mem_fetch_page(rig->cpu, va, &pa, &host, &whole) ? 0 : rig->cpu->exc_cause;
}

#define RWX (PTE_R | PTE_W | PTE_X)
#define AD (PTE_A | PTE_D)

static void test_permissions(void)
{
    static const struct {
        uint64_t pte;
        uint64_t status;
        int priv;
        uint32_t load, store, fetch;
    } rows[] = {
        {PTE_V | RWX | AD, 0, PRV_S, 0, 0, 0},
        {PTE_V | PTE_R | AD, 0, PRV_S, 0, EXC_STORE_PAGE, EXC_INST_PAGE},
        {PTE_V | PTE_X | AD, 0, PRV_S, EXC_LOAD_PAGE, EXC_STORE_PAGE, 0},
        {PTE_V | PTE_X | AD, MSTATUS_MXR, PRV_S, 0, EXC_STORE_PAGE, 0},
        {PTE_V | PTE_W | AD, 0, PRV_S, EXC_LOAD_PAGE, EXC_STORE_PAGE, EXC_INST_PAGE},
        {RWX | AD, 0, PRV_S, EXC_LOAD_PAGE, EXC_STORE_PAGE, EXC_INST_PAGE},
        {PTE_V | RWX | AD, 0, PRV_U, EXC_LOAD_PAGE, EXC_STORE_PAGE, EXC_INST_PAGE},
        {PTE_V | RWX | AD | PTE_U, 0, PRV_U, 0, 0, 0},
        {PTE_V | RWX | AD | PTE_U, 0, PRV_S, EXC_LOAD_PAGE, EXC_STORE_PAGE, EXC_INST_PAGE},
        {PTE_V | RWX | AD | PTE_U, MSTATUS_SUM, PRV_S, 0, 0, EXC_INST_PAGE},
        {PTE_V | RWX | AD | 1ULL << 63, 0, PRV_S, EXC_LOAD_PAGE, EXC_STORE_PAGE, EXC_INST_PAGE},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Rig *rig = rig_new("rv64,svadu=off");

        g_test_message("row %u", i);
        map(rig, rows[i].pte);
        rig->cpu->mstatus |= rows[i].status;
        rig->cpu->priv = rows[i].priv;
        riscv_cpu_mode_changed(rig->cpu);
        g_assert_cmpuint(try_load(rig, 0x1000), ==, rows[i].load);
        g_assert_cmpuint(try_store(rig, 0x1ff8), ==, rows[i].store);
        g_assert_cmpuint(try_fetch(rig, 0x1100), ==, rows[i].fetch);
        rig_free(rig);
    }
}

static void test_accessed_dirty(void)
{
    Rig *rig = rig_new("rv64,svadu=off");

    map(rig, PTE_V | RWX);
    g_assert_cmpuint(try_load(rig, 0x1000), ==, 0);
    g_assert_cmphex(word(rig, LEAF)[1] & AD, ==, PTE_A);
    g_assert_cmpuint(try_store(rig, 0x1000), ==, 0);
    g_assert_cmphex(word(rig, LEAF)[1] & AD, ==, AD);
    rig_free(rig);

    rig = rig_new("rv64,svadu=on");     /* ADUE set at reset, as QEMU */
    map(rig, PTE_V | RWX);
    rig->cpu->menvcfg &= ~MENVCFG_ADUE;
    g_assert_cmpuint(try_load(rig, 0x1000), ==, EXC_LOAD_PAGE);
    g_assert_cmphex(word(rig, LEAF)[1] & AD, ==, 0);
    rig->cpu->menvcfg |= MENVCFG_ADUE;
    g_assert_cmpuint(try_store(rig, 0x1000), ==, 0);
    g_assert_cmphex(word(rig, LEAF)[1] & AD, ==, AD);
    rig_free(rig);
}

static void test_superpages_and_formats(void)
{
    Rig *rig = rig_new("rv64,svadu=off");

    map(rig, PTE_V | RWX | AD);
    set_pte(rig, ROOT, 2, RAM, PTE_V | RWX | AD);               /* 1 GiB at 0x80000000 */
    set_pte(rig, MID, 3, RAM + 0x1000, PTE_V | RWX | AD);       /* 2 MiB, misaligned */
    set_pte(rig, MID, 4, LEAF, PTE_V | PTE_A);                  /* reserved bit in a pointer */
    riscv_tlb_flush(rig->cpu);
    g_assert_cmpuint(try_store(rig, DATA), ==, 0);
    g_assert_cmpuint(*word(rig, DATA), ==, 1);
    g_assert_cmpuint(try_load(rig, 3ULL << 21), ==, EXC_LOAD_PAGE);
    g_assert_cmpuint(try_load(rig, 4ULL << 21), ==, EXC_LOAD_PAGE);
    g_assert_cmpuint(try_load(rig, 1ULL << 38), ==, EXC_LOAD_PAGE);     /* not canonical */
    g_assert_cmpuint(try_load(rig, ~0ULL << 38), ==, EXC_LOAD_PAGE);    /* canonical, not mapped */
    /* the same tables as the lower part of Sv57 */
    set_pte(rig, RAM + 0x13000, 0, RAM + 0x14000, PTE_V);
    set_pte(rig, RAM + 0x14000, 0, ROOT, PTE_V);
    rig->cpu->satp = (uint64_t)SATP_SV57 << 60 | (RAM + 0x13000) >> 12;
    riscv_tlb_flush(rig->cpu);
    g_assert_cmpuint(try_load(rig, 0x1000), ==, 0);
    g_assert_cmpuint(try_load(rig, 1ULL << 38), ==, EXC_LOAD_PAGE);
    g_assert_cmpuint(try_load(rig, 1ULL << 56), ==, EXC_LOAD_PAGE);
    rig_free(rig);
}

/* A flush of one page inside a superpage drops the others of it too. */
static void test_flush_superpage(void)
{
    Rig *rig = rig_new("rv64");

    map(rig, PTE_V | RWX | AD);
    set_pte(rig, ROOT, 2, RAM, PTE_V | RWX | AD);
    riscv_tlb_flush(rig->cpu);
    g_assert_cmpuint(try_load(rig, DATA), ==, 0);
    g_assert_cmpuint(try_load(rig, DATA + 0x3000), ==, 0);
    set_pte(rig, ROOT, 2, RAM, 0);
    riscv_tlb_flush_page(rig->cpu, DATA);
    TLBEntry *e = &rig->cpu->tlb->e[((DATA + 0x3000) >> 12) & (TLB_ENTRIES - 1)];
    g_assert_cmphex(e->tag_r, !=, (DATA + 0x3000) | rig->cpu->tlb->gen_r);
    rig_free(rig);
}

static bool write_cached(Rig *rig, uint64_t va)
{
    TLB *tlb = rig->cpu->tlb;

    return tlb->e[(va >> 12) & (TLB_ENTRIES - 1)].tag_w == ((va & ~0xfffULL) | tlb->gen_w);
}

/* While the log is on, the fast write path exists exactly for pages that are in the log. */
static void test_write_path(void)
{
    Rig *rig = rig_new("rv64");
    uint64_t bits[4] = {0};
    uint64_t *maps[] = {bits};

    g_assert_cmpuint(try_load(rig, DATA), ==, 0);
    g_assert_true(write_cached(rig, DATA));         /* log off: a load may install it */
    riscv_cpu_enter_guest(rig->cpu);
    riscv_cpu_leave_guest(rig->cpu);
    dirty_log_start(rig->m.dirty);
    riscv_cpu_enter_guest(rig->cpu);
    g_assert_false(write_cached(rig, DATA));
    g_assert_cmpuint(try_load(rig, DATA), ==, 0);
    g_assert_false(write_cached(rig, DATA));
    g_assert_cmpuint(try_store(rig, DATA), ==, 0);
    g_assert_true(write_cached(rig, DATA));
    riscv_cpu_leave_guest(rig->cpu);
    dirty_log_sync(rig->m.dirty, maps);
    g_assert_cmphex(bits[0], ==, 1ULL << ((DATA - RAM) >> 12));
    riscv_cpu_enter_guest(rig->cpu);
    g_assert_false(write_cached(rig, DATA));
    riscv_cpu_leave_guest(rig->cpu);
    dirty_log_stop(rig->m.dirty);
    rig_free(rig);
}

static void test_crossing(void)
{
    Rig *rig = rig_new("rv64,svadu=off");

    map(rig, PTE_V | RWX | AD);
    set_pte(rig, LEAF, 2, DATA + 0x5000, PTE_V | PTE_R | AD);
    riscv_tlb_flush(rig->cpu);
    *word(rig, DATA + 0xff8) = 0x1122334455667788ULL;
    *word(rig, DATA + 0x5000) = 0x99aabbccddeeff00ULL;
    uint64_t v;
    g_assert_true(riscv_mem_load(rig->cpu, 0x1ffc, 8, &v));
    g_assert_cmphex(v, ==, 0xddeeff0011223344ULL);
    g_assert_cmpuint(try_store(rig, 0x1ffc), ==, EXC_STORE_PAGE);
    g_assert_cmphex(rig->cpu->exc_tval, ==, 0x2000);
    g_assert_cmphex(*word(rig, DATA + 0xff8), ==, 0x1122334455667788ULL);   /* nothing was written */
    rig_free(rig);
}

/* ---- PMP ---- */

static void test_pmp_matching(void)
{
    Rig *rig = rig_new("rv64");
    RISCVCPU *cpu = rig->cpu;
    bool uniform;

    riscv_pmp_write_addr(cpu, 0, DATA >> 2);
    riscv_pmp_write_addr(cpu, 1, (DATA + 8) >> 2);
    riscv_pmp_write_cfg(cpu, 0, 0x0900);            /* entry 1: TOR, R: [DATA, DATA+8) */
    g_assert_true(riscv_pmp_check(cpu, DATA, 8, PRV_S, PMP_R));
    g_assert_false(riscv_pmp_check(cpu, DATA, 8, PRV_S, PMP_W));
    g_assert_true(riscv_pmp_check(cpu, DATA, 8, PRV_M, PMP_W));         /* not locked */
    g_assert_false(riscv_pmp_check(cpu, DATA + 4, 8, PRV_M, PMP_R));    /* part of it only */
    g_assert_true(riscv_pmp_check(cpu, DATA + 8, 8, PRV_S, PMP_W));     /* entry 15 */
    riscv_pmp_page(cpu, DATA, PRV_S, &uniform);
    g_assert_false(uniform);
    g_assert_cmpuint(riscv_pmp_page(cpu, DATA + 0x1000, PRV_S, &uniform), ==, 7);
    g_assert_true(uniform);
    riscv_pmp_write_addr(cpu, 2, (DATA + 0x1000) >> 2 | 0x1ff);
    riscv_pmp_write_cfg(cpu, 0, 0x990900);          /* entry 2: NAPOT 4 KiB, R, locked */
    g_assert_cmpuint(riscv_pmp_page(cpu, DATA + 0x1000, PRV_M, &uniform), ==, PMP_R);
    riscv_pmp_write_addr(cpu, 2, 0);
    riscv_pmp_write_cfg(cpu, 0, 0);
    g_assert_cmphex(cpu->pmpaddr[2], ==, (DATA + 0x1000) >> 2 | 0x1ff);
    g_assert_cmphex(cpu->pmpcfg[2], ==, 0x99);
    rig_free(rig);
}

static void test_pmp_locks_tor(void)
{
    Rig *rig = rig_new("rv64");
    RISCVCPU *cpu = rig->cpu;

    riscv_pmp_write_addr(cpu, 3, 100);
    riscv_pmp_write_addr(cpu, 4, 200);
    riscv_pmp_write_cfg(cpu, 2, (uint64_t)0x1f << 56);
    riscv_pmp_write_cfg(cpu, 0, 0);
    cpu->pmpcfg[4] = 0x89;
    riscv_pmp_recompute(cpu);
    riscv_pmp_write_addr(cpu, 3, 50);               /* the lower bound of a locked TOR entry */
    g_assert_cmpuint(cpu->pmpaddr[3], ==, 100);
    g_assert_false(riscv_pmp_check(cpu, 4 * 150, 4, PRV_M, PMP_W));
    rig_free(rig);
}

/* ---- pages that have not come ---- */

static void nobody_asked(void *opaque, size_t block, uint64_t page, int user)
{
    g_assert_not_reached();     /* the walk only says what to wait for */
}

static uint64_t page_of(uint64_t pa)
{
    return (pa - RAM) >> TARGET_PAGE_BITS;
}

static void here(Rig *rig, uint64_t pa)
{
    g_autofree uint8_t *same = g_memdup2(rig->ram + (pa - RAM), TARGET_PAGE_SIZE);

    g_assert_true(present_map_place(rig->m.present, 0, page_of(pa), same));
}

static void check_missing(Rig *rig, uint32_t cause, uint64_t pa)
{
    g_assert_cmphex(cause, ==, EXC_MISSING);
    g_assert_true(rig->cpu->missing_block == rig->block);
    g_assert_cmphex(rig->cpu->missing_page, ==, page_of(pa));
}

static void test_missing(void)
{
    static const PresentOps ops = { .wanted = nobody_asked };
    Rig *rig = rig_new("rv64");
    uint64_t pa;
    bool missing;

    map(rig, PTE_V | RWX);
    set_pte(rig, LEAF, 2, DATA + 0x1000, PTE_V | RWX | AD);
    g_assert_true(present_map_begin(rig->m.present, NULL, NULL));
    present_map_set_missing(rig->m.present, 0, page_of(ROOT), 3);
    present_map_set_missing(rig->m.present, 0, page_of(DATA), 2);
    g_assert_true(present_map_arm(rig->m.present, &ops, NULL, NULL));

    /* each level of the table, for every kind of access and for monitors */
    static const uint64_t tables[] = { ROOT, MID, LEAF };
    for (unsigned i = 0; i < 3; i++) {
        check_missing(rig, try_load(rig, 0x1000), tables[i]);
        check_missing(rig, try_store(rig, 0x1000), tables[i]);
        check_missing(rig, try_fetch(rig, 0x1000), tables[i]);
        g_assert_false(riscv_mem_translate_debug(rig->cpu, 0x1000, &pa, &missing));
        g_assert_true(missing);
        g_assert_cmphex(pa & ~0xfffULL, ==, tables[i]);
        here(rig, tables[i]);
    }

    /* the page itself: A and D stay as they are until the access happens */
    g_assert_true(riscv_mem_translate_debug(rig->cpu, 0x1000, &pa, &missing));
    g_assert_false(missing);
    check_missing(rig, try_store(rig, 0x1000), DATA);
    check_missing(rig, try_load(rig, 0x1000), DATA);
    check_missing(rig, try_fetch(rig, 0x1000), DATA);
    g_assert_cmphex(word(rig, LEAF)[1] & AD, ==, 0);
    bool fault;
    g_assert_null(riscv_mem_rmw(rig->cpu, 0x1000, 8, &fault));
    g_assert_true(fault);
    check_missing(rig, rig->cpu->exc_cause, DATA);
    here(rig, DATA);
    g_assert_cmpuint(try_store(rig, 0x1000), ==, 0);
    g_assert_cmphex(word(rig, LEAF)[1] & AD, ==, AD);

    /* an access that crosses into a page that is not here does nothing in the first one */
    *word(rig, DATA + 0xff8) = 0x1111;
    check_missing(rig, try_store(rig, 0x1ffc), DATA + 0x1000);
    check_missing(rig, try_load(rig, 0x1ffc), DATA + 0x1000);
    g_assert_cmphex(*word(rig, DATA + 0xff8), ==, 0x1111);
    here(rig, DATA + 0x1000);
    g_assert_cmpuint(try_store(rig, 0x1ffc), ==, 0);

    /* who may not have it does not wait for it */
    present_map_end(rig->m.present);
    riscv_tlb_flush(rig->cpu);
    set_pte(rig, LEAF, 1, DATA, PTE_V | PTE_R | AD);
    g_assert_true(present_map_begin(rig->m.present, NULL, NULL));
    present_map_set_missing(rig->m.present, 0, page_of(DATA), 1);
    g_assert_true(present_map_arm(rig->m.present, &ops, NULL, NULL));
    g_assert_cmpuint(try_store(rig, 0x1000), ==, EXC_STORE_PAGE);
    check_missing(rig, try_load(rig, 0x1000), DATA);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/riscv-mmu/permissions", test_permissions);
    g_test_add_func("/riscv-mmu/accessed-dirty", test_accessed_dirty);
    g_test_add_func("/riscv-mmu/superpages-and-formats", test_superpages_and_formats);
    g_test_add_func("/riscv-mmu/flush-superpage", test_flush_superpage);
    g_test_add_func("/riscv-mmu/write-path", test_write_path);
    g_test_add_func("/riscv-mmu/crossing", test_crossing);
    g_test_add_func("/riscv-pmp/matching", test_pmp_matching);
    g_test_add_func("/riscv-pmp/locks-tor", test_pmp_locks_tor);
    g_test_add_func("/riscv-mmu/missing", test_missing);
    return g_test_run();
}
