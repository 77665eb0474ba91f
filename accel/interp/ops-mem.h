/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of loads, stores and atomics; included in the middle of
 * interp_run (exec.c). The tag compare takes the page of the access's last
 * byte, so an access that crosses a page misses, and a misaligned one inside
 * a page costs nothing. Aligned accesses are single host accesses.
 */

#define ENTRY(va) (&tlb->e[((va) >> TARGET_PAGE_BITS) & (TLB_ENTRIES - 1)])
#define TAG(va, size, gen) ((((va) + (size) - 1) & ~(uint64_t)(TARGET_PAGE_SIZE - 1)) | (gen))

#define LOAD_INTO(dest, type, conv) \
    { \
        uint64_t va = X(insn->rs1) + (uint64_t)(int64_t)insn->imm, v; \
        const TLBEntry *e = ENTRY(va); \
        if (LIKELY(TAG(va, sizeof(type), tlb->gen_r) == e->tag_r)) { \
            dest = conv(guest_ram_load((const type *)(uintptr_t)(va + e->addend))); \
            NEXT; \
        } \
        if (UNLIKELY(!riscv_mem_load(cpu, va, sizeof(type), &v))) { \
            goto raise; \
        } \
        dest = conv((type)v); \
        NEXT; \
    }
#define LOAD(op, type) H(op) LOAD_INTO(X(insn->rd), type, (uint64_t)(int64_t))
#define STORE_FROM(source, type) \
    { \
        uint64_t va = X(insn->rs1) + (uint64_t)(int64_t)insn->imm; \
        const TLBEntry *e = ENTRY(va); \
        if (LIKELY(TAG(va, sizeof(type), tlb->gen_w) == e->tag_w)) { \
            guest_ram_store((type *)(uintptr_t)(va + e->addend), (type)(source)); \
            NEXT; \
        } \
        if (UNLIKELY(!riscv_mem_store(cpu, va, sizeof(type), (type)(source)))) { \
            goto raise; \
        } \
        NEXT; \
    }
#define STORE(op, type) H(op) STORE_FROM(X(insn->rs2), type)

LOAD(OP_LB, int8_t)
LOAD(OP_LH, int16_t)
LOAD(OP_LW, int32_t)
LOAD(OP_LD, uint64_t)
LOAD(OP_LBU, uint8_t)
LOAD(OP_LHU, uint16_t)
LOAD(OP_LWU, uint32_t)
STORE(OP_SB, uint8_t)
STORE(OP_SH, uint16_t)
STORE(OP_SW, uint32_t)
STORE(OP_SD, uint64_t)

H(OP_FLW)
FP_WRITES;
LOAD_INTO(cpu->f[insn->rd], uint32_t, NAN_BOX |)
H(OP_FLD)
FP_WRITES;
LOAD_INTO(cpu->f[insn->rd], uint64_t, )
H(OP_FSW)
FP_READS;
STORE_FROM(cpu->f[insn->rs2], uint32_t)
H(OP_FSD)
FP_READS;
STORE_FROM(cpu->f[insn->rs2], uint64_t)

/* ---- atomics ---- */

/* Host address for a read-modify-write at the address in rs1, as pointer p. */
#define RMW_POINTER(type) \
    uint64_t va = X(insn->rs1); \
    const TLBEntry *e = ENTRY(va); \
    type *p; \
    if (UNLIKELY(va & (sizeof(type) - 1))) { \
        riscv_raise(cpu, EXC_STORE_MISALIGNED, va); \
        goto raise; \
    } \
    if (LIKELY(TAG(va, sizeof(type), tlb->gen_w) == e->tag_w)) { \
        p = (type *)(uintptr_t)(va + e->addend); \
    } else { \
        bool fault; \
        p = riscv_mem_rmw(cpu, va, sizeof(type), &fault); \
        if (!p) { \
            if (!fault) { \
                riscv_raise(cpu, EXC_STORE_ACCESS, va); \
            } \
            goto raise; \
        } \
    }
#define AMO_FETCH(op, type, builtin) \
    H(op) \
    { \
        RMW_POINTER(type) \
        type old = builtin(p, (type)X(insn->rs2), __ATOMIC_SEQ_CST); \
        X(insn->rd) = (uint64_t)(int64_t)old; \
        NEXT; \
    }
#define AMO_SELECT(op, type, rel) \
    H(op) \
    { \
        RMW_POINTER(type) \
        type b2 = (type)X(insn->rs2), old = __atomic_load_n(p, __ATOMIC_RELAXED), want; \
        do { \
            want = old rel b2 ? old : b2; \
        } while (!__atomic_compare_exchange_n(p, &old, want, true, __ATOMIC_SEQ_CST, \
                                              __ATOMIC_RELAXED)); \
        X(insn->rd) = AMO_SEXT(type, old); \
        NEXT; \
    }
#define AMO_SEXT(type, v) \
    (sizeof(type) == 4 ? (uint64_t)(int64_t)(int32_t)(v) : (uint64_t)(v))
#define AMO_ALL(w, stype, utype) \
    AMO_FETCH(OP_AMOSWAP_##w, stype, __atomic_exchange_n) \
    AMO_FETCH(OP_AMOADD_##w, stype, __atomic_fetch_add) \
    AMO_FETCH(OP_AMOXOR_##w, stype, __atomic_fetch_xor) \
    AMO_FETCH(OP_AMOAND_##w, stype, __atomic_fetch_and) \
    AMO_FETCH(OP_AMOOR_##w, stype, __atomic_fetch_or) \
    AMO_SELECT(OP_AMOMIN_##w, stype, <) \
    AMO_SELECT(OP_AMOMAX_##w, stype, >) \
    AMO_SELECT(OP_AMOMINU_##w, utype, <) \
    AMO_SELECT(OP_AMOMAXU_##w, utype, >)
AMO_ALL(W, int32_t, uint32_t)
AMO_ALL(D, int64_t, uint64_t)

/*
 * A reservation is the address and the value read: SC succeeds while memory
 * still holds that value (as QEMU, and as it travels in the stream). An SC
 * without its reservation fails before it looks at memory.
 */
#define LR(op, type) \
    H(op) \
    { \
        uint64_t va = X(insn->rs1), v; \
        const TLBEntry *e = ENTRY(va); \
        if (UNLIKELY(va & (sizeof(type) - 1))) { \
            riscv_raise(cpu, EXC_LOAD_MISALIGNED, va); \
            goto raise; \
        } \
        if (LIKELY(TAG(va, sizeof(type), tlb->gen_r) == e->tag_r)) { \
            v = (uint64_t)(int64_t)__atomic_load_n((type *)(uintptr_t)(va + e->addend), \
                                                   __ATOMIC_SEQ_CST); \
        } else { \
            if (UNLIKELY(!riscv_mem_load(cpu, va, sizeof(type), &v))) { \
                goto raise; \
            } \
            v = (uint64_t)(int64_t)(type)v; \
        } \
        cpu->load_res = va; \
        cpu->load_val = v; \
        X(insn->rd) = v; \
        NEXT; \
    }
#define SC(op, type) \
    H(op) \
    { \
        uint64_t failed = 1; \
        if (LIKELY(cpu->load_res == X(insn->rs1))) { \
            RMW_POINTER(type) \
            type expected = (type)cpu->load_val; \
            failed = (uint64_t)(int64_t)expected != cpu->load_val || \
                     !__atomic_compare_exchange_n(p, &expected, (type)X(insn->rs2), false, \
                                                  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
        } \
        cpu->load_res = UINT64_MAX; \
        X(insn->rd) = failed; \
        NEXT; \
    }
LR(OP_LR_W, int32_t)
LR(OP_LR_D, int64_t)
SC(OP_SC_W, int32_t)
SC(OP_SC_D, int64_t)

#undef LOAD
#undef STORE
#undef LOAD_INTO
#undef STORE_FROM
