/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPU state: sizes of both dialects (machine-virt 2.1), round trips, refusals, timer rules. */
#include <json-c/json.h>
#include "softmmu/machine.h"
#include "target/riscv/wire.h"

#define T7 "rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,pmu-num=0"
#define T10                                                                                       \
    "rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,zicbom=off,zicbop=off,zicboz=off,"       \
    "zawrs=off,zfa=off,zihintntl=off,svadu=off,svvptc=off,sv57=off,pmu-mask=0"

static Machine *rig_new(const char *model, StreamDialect dialect)
{
    Machine *m = g_new0(Machine, 1);
    GError *err = NULL;

    machine_core_init(m, NULL);
    vmstate_set_dialect(m->vmstate, dialect);
    m->cpus = cpus_new(m, model, 1, &err);
    g_assert_no_error(err);
    return m;
}

static void rig_free(Machine *m)
{
    cpus_free(m->cpus);
    machine_core_clear(m);
    g_free(m);
}

static GByteArray *save(Machine *m)
{
    int d = vmstate_dialect(m->vmstate) == DIALECT_QEMU_10_0;
    StreamWriter *w = stream_writer_new_memory();
    GError *err = NULL;

    g_assert_true(vmstate_save_body(w, riscv_cpu_vmsds[d], cpus_get(m->cpus, 0)->wire, NULL, &err));
    g_assert_no_error(err);
    GByteArray *bytes = stream_writer_take(w);
    stream_writer_free(w);
    return bytes;
}

static bool load(Machine *m, GByteArray *bytes, StreamDialect from, GError **errp)
{
    const VMStateDescription *vmsd = riscv_cpu_vmsds[from == DIALECT_QEMU_10_0];
    StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);
    bool ok = vmstate_load_body(r, vmsd, cpus_get(m->cpus, 0)->wire, vmsd->version_id, errp);

    stream_reader_free(r);
    return ok;
}

static void fill(RISCVCPU *cpu)
{
    for (unsigned i = 1; i < 32; i++) {
        cpu->x[i] = 0x1111111111111111ULL * i;
        cpu->f[i] = ~cpu->x[i];
    }
    cpu->pc = 0xffffffff80001234ULL;
    cpu->priv = PRV_S;
    cpu->mstatus |= MSTATUS_SIE | MSTATUS_FS;
    cpu->frm = RM_RUP;
    cpu->fflags = 0x15;
    cpu->satp = 8ULL << 60 | 0x80100;
    cpu->mie = 0x22a;
    cpu->mideleg = 0x222;
    cpu->medeleg = 0xb109;
    cpu->mcounteren = 7;
    cpu->load_res = 0x80001000;
    cpu->load_val = 42;
    cpu->pmpaddr[3] = 0x20000000;
    cpu->pmpcfg[3] = 0x1f;
    cpu->sscratch = 99;
}

static void check_equal(RISCVCPU *a, RISCVCPU *b)
{
    g_assert_cmpmem(a->x, sizeof(uint64_t) * 32, b->x, sizeof(uint64_t) * 32);
    g_assert_cmpmem(a->f, sizeof(a->f), b->f, sizeof(b->f));
    g_assert_cmphex(a->pc, ==, b->pc);
    g_assert_cmpuint(a->priv, ==, b->priv);
    g_assert_cmphex(a->mstatus, ==, b->mstatus);
    g_assert_cmpuint(a->frm, ==, b->frm);
    g_assert_cmphex(a->satp, ==, b->satp);
    g_assert_cmphex(a->mie, ==, b->mie);
    g_assert_cmphex(a->mideleg, ==, b->mideleg);
    g_assert_cmphex(a->medeleg, ==, b->medeleg);
    g_assert_cmphex(a->mcounteren, ==, b->mcounteren);
    g_assert_cmphex(a->load_res, ==, b->load_res);
    g_assert_cmphex(a->load_val, ==, b->load_val);
    g_assert_cmpmem(a->pmpaddr, sizeof(a->pmpaddr), b->pmpaddr, sizeof(b->pmpaddr));
    g_assert_cmpmem(a->pmpcfg, sizeof(a->pmpcfg), b->pmpcfg, sizeof(b->pmpcfg));
    g_assert_cmphex(a->sscratch, ==, b->sscratch);
}

static void test_sizes(void)
{
    Machine *seven = rig_new(T7, DIALECT_QEMU_7_2), *ten = rig_new(T10, DIALECT_QEMU_10_0);
    g_autoptr(GByteArray) a = save(seven);
    g_autoptr(GByteArray) b = save(ten);

    g_assert_cmpuint(a->len, ==, 2721);
    g_assert_cmpuint(b->len, ==, 2709);

    /* a board without a clock (-M none) has no deadline to send, but sends the subsection, as QEMU does */
    cpus_get(ten->cpus, 0)->has_time = false;
    g_autoptr(GByteArray) c = save(ten);
    g_assert_cmpuint(c->len, ==, 2709);
    rig_free(seven);
    rig_free(ten);
}

static void round_trip(StreamDialect from, StreamDialect to)
{
    Machine *a = rig_new(T7, from), *b = rig_new(T10, to);
    GError *err = NULL;

    fill(cpus_get(a->cpus, 0));
    g_autoptr(GByteArray) bytes = save(a);
    g_assert_true(load(b, bytes, from, &err));
    g_assert_no_error(err);
    check_equal(cpus_get(a->cpus, 0), cpus_get(b->cpus, 0));
    g_assert_cmpint(vmstate_received_dialect(b->vmstate), ==, (int)from);
    rig_free(a);
    rig_free(b);
}

static void test_round_trips(void)
{
    round_trip(DIALECT_QEMU_7_2, DIALECT_QEMU_7_2);
    round_trip(DIALECT_QEMU_7_2, DIALECT_QEMU_10_0);
    round_trip(DIALECT_QEMU_10_0, DIALECT_QEMU_7_2);
    round_trip(DIALECT_QEMU_10_0, DIALECT_QEMU_10_0);
}

static void refuse(size_t offset, uint8_t value, const char *text)
{
    Machine *a = rig_new(T10, DIALECT_QEMU_10_0);
    GError *err = NULL;
    g_autoptr(GByteArray) bytes = save(a);

    bytes->data[offset] = value;
    g_assert_false(load(a, bytes, DIALECT_QEMU_10_0, &err));
    g_assert_nonnull(strstr(err->message, text));
    g_error_free(err);
    rig_free(a);
}

static void test_refusals(void)
{
    refuse(707, 1, "misa_mxl 1");
    refuse(709, 0x34, "extension V");
    refuse(727, 2, "priv 2");
    refuse(728, 1, "extension H");
    refuse(744, 1, "mhartid 1");        /* low byte of mhartid: offset 737 + 7 */
    refuse(809, 0xa0, "Sv57");
}

/* A future stimecmp travels as cpu/timer in d10 and as a pending STIP in d7. */
static void test_timers(void)
{
    Machine *a = rig_new(T7, DIALECT_QEMU_7_2);
    RISCVCPU *cpu = cpus_get(a->cpus, 0);
    CPUWire *w = cpu->wire;
    GError *err = NULL;

    cpu->menvcfg = MENVCFG_STCE;
    cpu->stimecmp = 1000;
    riscv_cpu_update_stimer(cpu);
    g_assert_cmpint(clock_timer_expire_ns(cpu->stimer), ==, 100000);
    g_assert_true(riscv_wire_pre_save(w, &err));
    g_assert_cmphex(w->env.mip, ==, MIP_STIP);
    g_assert_cmpuint(w->env.stimer, ==, 100000);
    g_assert_true(riscv_wire_common_pre_save(w, &err));
    g_assert_cmpuint(w->interrupt_request, ==, 2);
    g_assert_cmphex(riscv_cpu_mip(cpu), ==, 0);         /* only the stream is kicked */
    cpus_set_kick_timers(a->cpus, false);
    g_assert_true(riscv_wire_pre_save(w, &err));
    g_assert_cmphex(w->env.mip, ==, 0);
    /* due, but the clock stopped before the main loop raised the line */
    cpu->stimecmp = 0;
    g_assert_true(riscv_wire_pre_save(w, &err));
    g_assert_cmphex(w->env.mip, ==, MIP_STIP);
    cpu->stimecmp = 1000;
    cpus_set_kick_timers(a->cpus, true);
    vmstate_set_dialect(a->vmstate, DIALECT_QEMU_10_0);
    g_autoptr(GByteArray) bytes = save(a);
    Machine *b = rig_new(T10, DIALECT_QEMU_10_0);
    g_assert_true(load(b, bytes, DIALECT_QEMU_10_0, &err));
    g_assert_cmpint(clock_timer_expire_ns(cpus_get(b->cpus, 0)->stimer), ==, 100000);
    g_assert_cmphex(riscv_cpu_mip(cpus_get(b->cpus, 0)), ==, 0);
    rig_free(a);
    rig_free(b);
}

static int64_t loaded_clock(int64_t virtual_ns, uint64_t stimecmp, uint64_t stimer, bool enabled)
{
    Machine *a = rig_new(T10, DIALECT_QEMU_10_0), *b = rig_new(T10, DIALECT_QEMU_10_0);
    RISCVCPU *cpu = cpus_get(a->cpus, 0);
    GError *err = NULL;
    int64_t ns;

    cpu->menvcfg = enabled ? MENVCFG_STCE : 0;
    cpu->stimecmp = stimecmp;
    g_autoptr(GByteArray) bytes = save(a);
    for (unsigned i = 0; i < 8; i++) {  /* cpu/timer is the last part: stimer, vstimer */
        bytes->data[bytes->len - 16 + i] = (uint8_t)(stimer >> (56 - 8 * i));
    }
    virtual_clock_set_ns(b->clock, virtual_ns);
    g_assert_true(load(b, bytes, DIALECT_QEMU_10_0, &err));
    g_assert_no_error(err);
    ns = virtual_clock_get_ns(b->clock);
    rig_free(a);
    rig_free(b);
    return ns;
}

/* A guest that QEMU rebooted 5 s after its start: mtime is that far behind the virtual clock. */
static void test_rebooted(void)
{
    const int64_t second = 1000000000;

    /* armed for mtime 7.5 s, which is 12.5 s of the virtual clock; now is 12 s: 7 s for the guest */
    g_assert_cmpint(loaded_clock(12 * second, 75000000, 12500000631, true), ==,
                    7 * second - 631 + 1000000);
    /* never rebooted; QEMU's own delay */
    g_assert_cmpint(loaded_clock(12 * second, 125000000, 12500000631, true), ==, 12 * second);
    g_assert_cmpint(loaded_clock(12 * second, 125000000, 12600000000, true), ==, 12 * second);
    /* not armed, impossible, not in use */
    g_assert_cmpint(loaded_clock(12 * second, 75000000, UINT64_MAX, true), ==, 12 * second);
    g_assert_cmpint(loaded_clock(12 * second, UINT64_MAX, 12500000631, true), ==, 12 * second);
    g_assert_cmpint(loaded_clock(4 * second, 75000000, 12500000631, true), ==, 4 * second);
    g_assert_cmpint(loaded_clock(12 * second, 75000000, 12500000631, false), ==, 12 * second);
}

static void test_fflags(void)
{
    Machine *a = rig_new(T10, DIALECT_QEMU_10_0), *b = rig_new(T10, DIALECT_QEMU_10_0);
    GError *err = NULL;

    cpus_get(a->cpus, 0)->fflags = 0x15;
    struct json_object *ferry = vmstate_save_ferry(a->vmstate);
    g_assert_true(vmstate_load_ferry(b->vmstate, ferry, &err));
    g_assert_no_error(err);
    g_assert_cmphex(cpus_get(b->cpus, 0)->fflags, ==, 0x15);
    json_object_put(ferry);
    ferry = json_tokener_parse("{\"fflags\": {\"0\": 32}}");
    g_assert_false(vmstate_load_ferry(b->vmstate, ferry, &err));
    g_clear_error(&err);
    json_object_put(ferry);
    rig_free(a);
    rig_free(b);
}

/* A CPU with less than the guest was offered refuses by name; a guest from QEMU has no list. */
static void test_offered(void)
{
    Machine *plain = rig_new("rv64", DIALECT_QEMU_10_0), *t10 = rig_new(T10, DIALECT_QEMU_10_0);
    GError *err = NULL;
    struct json_object *ferry = vmstate_save_ferry(plain->vmstate);

    g_assert_false(vmstate_load_ferry(t10->vmstate, ferry, &err));
    g_assert_nonnull(strstr(err->message, "'zba'"));
    g_clear_error(&err);
    json_object_put(ferry);

    /* less than offered here is fine, and is what it tells when it moves on */
    ferry = vmstate_save_ferry(t10->vmstate);
    g_assert_true(vmstate_load_ferry(plain->vmstate, ferry, &err));
    json_object_put(ferry);
    ferry = vmstate_save_ferry(plain->vmstate);
    g_assert_true(vmstate_load_ferry(t10->vmstate, ferry, &err));
    json_object_put(ferry);

    /* rebooted, it finds everything again; from QEMU, nothing is known */
    riscv_cpu_reset(cpus_get(plain->cpus, 0));
    ferry = vmstate_save_ferry(plain->vmstate);
    g_assert_false(vmstate_load_ferry(t10->vmstate, ferry, &err));
    g_clear_error(&err);
    json_object_put(ferry);
    g_autoptr(GByteArray) bytes = save(t10);
    g_assert_true(load(plain, bytes, DIALECT_QEMU_10_0, &err));
    ferry = vmstate_save_ferry(plain->vmstate);
    g_assert_true(vmstate_load_ferry(t10->vmstate, ferry, &err));
    json_object_put(ferry);

    static const char *bad[] = {"{\"cpu\": {\"extensions\": 3}}",
                                "{\"cpu\": {\"extensions\": \"warp\"}}"};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        ferry = json_tokener_parse(bad[i]);
        g_assert_false(vmstate_load_ferry(plain->vmstate, ferry, &err));
        g_clear_error(&err);
        json_object_put(ferry);
    }
    rig_free(plain);
    rig_free(t10);
}

/* A plain rv64 of QEMU sends H and triggers: they wait here, unused, and go on in either dialect. */
static void carry(StreamDialect from, StreamDialect to)
{
    Machine *qemu = rig_new("rv64", from), *here = rig_new("rv64", to);
    CPUWire *w = cpus_get(qemu->cpus, 0)->wire, *seen;
    GError *err = NULL;

    w->with_hyper = w->with_debug = true;
    w->env.hviprio[5] = 0x15;
    w->env.vsstatus = w->env.mstatus_hs = 0xa00000000;
    w->env.hcounteren = w->env.hcounteren32 = 2;
    w->env.henvcfg = 0x80;
    w->env.tdata2[1] = 0x1234;
    g_autoptr(GByteArray) first = save(qemu);
    g_assert_cmpuint(first->len, ==, from == DIALECT_QEMU_10_0 ? 3111 : 3103);
    g_assert_true(load(here, first, from, &err));
    g_assert_no_error(err);
    g_autoptr(GByteArray) again = save(here);
    g_assert_cmpuint(again->len, ==, to == DIALECT_QEMU_10_0 ? 3111 : 3103);
    if (from == to) {
        g_assert_cmpmem(first->data, first->len, again->data, again->len);
    }
    g_assert_true(load(qemu, again, to, &err));
    g_assert_no_error(err);
    seen = cpus_get(qemu->cpus, 0)->wire;
    g_assert_cmphex(seen->env.misa_ext, ==, 0x1411ad);
    g_assert_cmphex(seen->env.mideleg & 0x1444, ==, 0x1444);
    g_assert_cmphex(seen->env.vsstatus, ==, 0xa00000000);
    g_assert_cmphex(seen->env.hcounteren, ==, 2);
    g_assert_cmphex(seen->env.henvcfg, ==, 0x80);
    g_assert_cmphex(seen->env.hviprio[5], ==, 0x15);
    g_assert_cmphex(seen->env.tdata2[1], ==, 0x1234);
    g_assert_cmphex(seen->env.tdata1[0], ==, 0x2000000000000000);

    /* rebooted, the guest finds what this CPU has */
    riscv_cpu_reset(cpus_get(here->cpus, 0));
    g_autoptr(GByteArray) own = save(here);
    g_assert_cmpuint(own->len, ==, to == DIALECT_QEMU_10_0 ? 2709 : 2721);
    g_assert_cmphex(cpus_get(here->cpus, 0)->wire->env.misa_ext, ==, 0x14112d);
    rig_free(qemu);
    rig_free(here);
}

static void test_carried(void)
{
    carry(DIALECT_QEMU_7_2, DIALECT_QEMU_7_2);
    carry(DIALECT_QEMU_10_0, DIALECT_QEMU_10_0);
    carry(DIALECT_QEMU_7_2, DIALECT_QEMU_10_0);
    carry(DIALECT_QEMU_10_0, DIALECT_QEMU_7_2);
}

/* A guest that has begun to use H is refused by name. */
static void test_hyper_used(void)
{
    Machine *qemu = rig_new("rv64", DIALECT_QEMU_7_2), *here = rig_new("rv64", DIALECT_QEMU_7_2);
    CPUWire *w = cpus_get(qemu->cpus, 0)->wire;
    GError *err = NULL;

    w->with_hyper = true;
    w->env.hideleg = 0x444;
    g_autoptr(GByteArray) bytes = save(qemu);
    g_assert_false(load(here, bytes, DIALECT_QEMU_7_2, &err));
    g_assert_nonnull(strstr(err->message, "hypervisor extension H (hideleg is 0x444)"));
    g_error_free(err);
    rig_free(qemu);
    rig_free(here);
}

static void refuse_envcfg(const char *model, StreamDialect from, uint64_t menvcfg, uint64_t senvcfg,
                          const char *text)
{
    Machine *a = rig_new("rv64", from), *b = rig_new(model, DIALECT_QEMU_10_0);
    GError *err = NULL;

    cpus_get(a->cpus, 0)->menvcfg = menvcfg;
    cpus_get(a->cpus, 0)->senvcfg = senvcfg;
    g_autoptr(GByteArray) bytes = save(a);
    g_assert_cmpint(load(b, bytes, from, &err), ==, text == NULL);
    if (text) {
        g_assert_nonnull(strstr(err->message, text));
        g_error_free(err);
    }
    rig_free(a);
    rig_free(b);
}

/* Extensions that a guest of QEMU has switched on for itself. */
static void test_envcfg_used(void)
{
    refuse_envcfg("rv64,sstc=off", DIALECT_QEMU_7_2, MENVCFG_STCE, 0, "extension Sstc");
    refuse_envcfg("rv64,sstc=off", DIALECT_QEMU_7_2, 0xf0, 0, NULL);
    refuse_envcfg("rv64,zicboz=off", DIALECT_QEMU_10_0, 0xf0, MENVCFG_CBZE, "extension Zicboz");
    refuse_envcfg("rv64,zicboz=off", DIALECT_QEMU_7_2, 0xf0, MENVCFG_CBZE, NULL);
    refuse_envcfg("rv64,zicbom=off", DIALECT_QEMU_10_0, 0xf0, MENVCFG_CBCFE, "extension Zicbom");
    refuse_envcfg("rv64", DIALECT_QEMU_10_0, 0xf0 | MENVCFG_STCE, MENVCFG_CBZE, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-vmstate/sizes", test_sizes);
    g_test_add_func("/cpu-vmstate/round-trips", test_round_trips);
    g_test_add_func("/cpu-vmstate/refusals", test_refusals);
    g_test_add_func("/cpu-vmstate/timers", test_timers);
    g_test_add_func("/cpu-vmstate/rebooted", test_rebooted);
    g_test_add_func("/cpu-vmstate/fflags", test_fflags);
    g_test_add_func("/cpu-vmstate/offered", test_offered);
    g_test_add_func("/cpu-vmstate/carried", test_carried);
    g_test_add_func("/cpu-vmstate/hyper-used", test_hyper_used);
    g_test_add_func("/cpu-vmstate/envcfg-used", test_envcfg_used);
    return g_test_run();
}
