/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instruction decoding: known encodings, immediates at their limits, extensions that are off, no crash on any word. */
#include <glib.h>
#include "target/riscv/decode.h"

static const CPUModel plain = {.sstc = true};
static const CPUModel with_zb = {.zba = true, .zbb = true, .zbc = true, .zbs = true,
                                 .zicboz = true, .zicbom = true};

static void check(uint32_t bits, RiscvOp op, int rd, int rs1, int rs2, int32_t imm)
{
    Decoded d;

    riscv_decode(bits, &with_zb, &d);
    g_test_message("%08x: %s", bits, riscv_op_name(d.op));
    g_assert_cmpstr(riscv_op_name(d.op), ==, riscv_op_name(op));
    if (rd >= 0) {
        g_assert_cmpint(d.rd, ==, rd);
    }
    if (rs1 >= 0) {
        g_assert_cmpint(d.rs1, ==, rs1);
    }
    if (rs2 >= 0) {
        g_assert_cmpint(d.rs2, ==, rs2);
    }
    g_assert_cmpint(d.imm, ==, imm);
    g_assert_cmpint(d.len, ==, (bits & 3) == 3 ? 4 : 2);
}

static void test_words(void)
{
    check(0x00b50533, OP_ADD, 10, 10, 11, 0);
    check(0x80010113, OP_ADDI, 2, 2, -1, -2048);
    check(0x7ff00513, OP_LI, 10, 0, -1, 2047);
    check(0xfffff537, OP_LI, 10, -1, -1, -4096);
    check(0x80000597, OP_AUIPC, 11, -1, -1, INT32_MIN);
    check(0xfe059ce3, OP_BNE, -1, 11, 0, -8);
    check(0x7e000fe3, OP_BEQ, -1, 0, 0, 4094);
    check(0x80000063, OP_BEQ, -1, 0, 0, -4096);
    check(0x800000ef, OP_JAL, 1, -1, -1, -1048576);
    check(0x7ffff0ef, OP_JAL, 1, -1, -1, 1048574);
    check(0xfff50067, OP_JALR, 0, 10, -1, -1);
    check(0xfea43fa3, OP_SD, -1, 8, 10, -1);
    check(0x00053507, OP_FLD, 10, 10, -1, 0);
    check(0x43f55593, OP_SRAI, 11, 10, -1, 63);
    check(0x41f5559b, OP_SRAIW, 11, 10, -1, 31);
    check(0x30200073, OP_MRET, -1, -1, -1, 0);
    check(0x12000073, OP_SFENCE_VMA, -1, 0, 0, 0);
    check(0x34202573, OP_CSR, 10, 0, -1, 0x342);
    check(0x1005a52f, OP_LR_W, 10, 11, 0, 0);
    check(0x18c5b52f, OP_SC_D, 10, 11, 12, 0);
    check(0xe0c5a52f, OP_AMOMAXU_W, 10, 11, 12, 0);
    check(0x20b54533, OP_SH2ADD, 10, 10, 11, 0);
    check(0x60051513, OP_CLZ, 10, 10, -1, 0);
    check(0x0045200f, OP_CBO_ZERO, 0, 10, -1, 4);
}

static void test_compressed(void)
{
    check(0x0000, OP_ILLEGAL, -1, -1, -1, 0);
    check(0x1141, OP_ADDI, 2, 2, -1, -16);
    check(0x7139, OP_ADDI, 2, 2, -1, -64);          /* c.addi16sp */
    check(0x0808, OP_ADDI, 10, 2, -1, 16);          /* c.addi4spn */
    check(0x4501, OP_LI, 10, -1, -1, 0);
    check(0x577d, OP_LI, 14, -1, -1, -1);
    check(0x8082, OP_JALR, 0, 1, -1, 0);            /* ret */
    check(0x9502, OP_JALR, 1, 10, -1, 0);
    check(0x852e, OP_MV, 10, 11, -1, 0);
    check(0x952e, OP_ADD, 10, 10, 11, 0);
    check(0x9002, OP_EBREAK, -1, -1, -1, 0);
    check(0xbffd, OP_JAL, 0, -1, -1, -2);
    check(0xdd75, OP_BEQ, -1, 10, 0, -4);
    check(0x60a2, OP_LD, 1, 2, -1, 8);
    check(0xe406, OP_SD, -1, 2, 1, 8);
    check(0x2501, OP_ADDIW, 10, 10, -1, 0);
}

static void test_switched_off(void)
{
    static const uint32_t words[] = {0x20b54533, 0x60051513, 0x0045200f, 0x0ab51533, 0x48b51533};
    Decoded d;

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        riscv_decode(words[i], &with_zb, &d);
        g_assert_cmpint(d.op, !=, OP_ILLEGAL);
        riscv_decode(words[i], &plain, &d);
        g_assert_cmpint(d.op, ==, OP_ILLEGAL);
    }
}

/* Every compressed halfword and many words: registers in range, length right, op known. */
static void test_all(void)
{
    Decoded d;

    for (uint32_t i = 0; i < 0x10000 + 2000000; i++) {
        uint32_t bits = i < 0x10000 ? i : (uint32_t)g_test_rand_int() | 3;

        riscv_decode(bits, &with_zb, &d);
        g_assert_true(d.op < OP_COUNT && d.rd < 32 && d.rs1 < 32 && d.rs2 < 32 && d.rs3 < 32);
        g_assert_cmpint(d.len, ==, (bits & 3) == 3 ? 4 : 2);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/riscv-decode/words", test_words);
    g_test_add_func("/riscv-decode/compressed", test_compressed);
    g_test_add_func("/riscv-decode/switched-off", test_switched_off);
    g_test_add_func("/riscv-decode/all", test_all);
    return g_test_run();
}
