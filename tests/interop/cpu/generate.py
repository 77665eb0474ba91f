#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Generates instruction sequences for runtime.c: random ones from a seed, and the directed ones.

Each sequence is a list of assembler lines. Registers x8 (scratch memory) and x9 (test pages) stay
as the runtime set them; jumps go forward only, so every sequence ends.
"""
import random
import re

FREE = [n for n in range(1, 32) if n not in (8, 9)]
RM = ['rne', 'rtz', 'rdn', 'rup', 'rmm', 'dyn', 'dyn', 'dyn']
R_OPS = 'add sub sll slt sltu xor srl sra or and addw subw sllw srlw sraw ' \
        'mul mulh mulhsu mulhu div divu rem remu mulw divw divuw remw remuw'.split()
I_OPS = 'addi slti sltiu xori ori andi addiw'.split()
SHIFTS = [('slli', 64), ('srli', 64), ('srai', 64), ('slliw', 32), ('srliw', 32), ('sraiw', 32)]
LOADS = {'lb': 1, 'lbu': 1, 'lh': 2, 'lhu': 2, 'lw': 4, 'lwu': 4, 'ld': 8, 'flw': 4, 'fld': 8}
STORES = {'sb': 1, 'sh': 2, 'sw': 4, 'sd': 8, 'fsw': 4, 'fsd': 8}
AMOS = 'amoswap amoadd amoxor amoand amoor amomin amomax amominu amomaxu'.split()
F_BIN = 'fadd fsub fmul fdiv'.split()
F_FMA = 'fmadd fmsub fnmsub fnmadd'.split()
F_SIGN = 'fsgnj fsgnjn fsgnjx fmin fmax'.split()
B_OPS = 'beq bne blt bge bltu bgeu'.split()
ZB_R = 'sh1add sh2add sh3add add.uw sh1add.uw sh2add.uw sh3add.uw andn orn xnor max maxu min minu ' \
       'rol ror rolw rorw clmul clmulh clmulr bclr bext binv bset'.split()
# no ctzw: QEMU 7.2 counts into the upper half of a word that is zero
ZB_1 = 'clz ctz cpop clzw cpopw sext.b sext.h zext.h orc.b rev8'.split()
ZB_I = [('rori', 64), ('roriw', 32), ('slli.uw', 64), ('bclri', 64), ('bexti', 64), ('binvi', 64),
        ('bseti', 64)]
CSRS_RW = ['fflags', 'frm', 'fcsr', 'sscratch_', 'mtval', 'sepc_', 'scause_', 'stval_',
           'scounteren', 'mcounteren']
CSRS_RO = ['fflags', 'frm', 'fcsr', 'sstatus', 'mhartid', 'misa', 'mstatus', 'satp', 'sie', 'mie',
           'mideleg', 'medeleg', '0x7c0', '0x015', '0x5a8', '0xc20', '0xdff', '0x800']


class Maker:
    """One random sequence."""

    def __init__(self, rng, length, zb):
        self.rng = rng
        self.zb = zb
        self.lines = []
        self.label = 0
        self.pending = []       # labels waiting for their place: [label, instructions left]
        self.group = 0          # > 0: no label here, an address is being made
        while len(self.lines) < length:
            self.one()
        for label, _ in self.pending:
            self.lines.append(f'{label}:')

    def rd(self):
        return f'x{self.rng.choice(FREE + [0])}'

    def rs(self):
        return f'x{self.rng.randrange(32)}'

    def f(self):
        return f'f{self.rng.randrange(32)}'

    def emit(self, text):
        self.lines.append(text)
        for item in self.pending:
            item[1] -= 1
        if self.group:
            self.group -= 1
            return
        for item in [i for i in self.pending if i[1] <= 0]:
            self.lines.append(f'{item[0]}:')
            self.pending.remove(item)

    def forward(self):
        self.label += 1
        name = f'.Lt{id(self)}_{self.label}'
        self.pending.append([name, self.rng.randint(1, 6)])
        return name

    def one(self):
        kinds = [(18, self.alu), (8, self.imm), (5, self.shift), (3, self.upper), (12, self.load),
                 (10, self.store), (5, self.amo), (3, self.lrsc), (5, self.branch), (8, self.rvc),
                 (18, self.fp), (4, self.csr), (5, self.raw), (6, self.page), (1, self.odd),
                 (1, self.wild)]
        if self.zb:
            kinds.append((12, self.zbx))
        total = sum(w for w, _ in kinds)
        pick = self.rng.randrange(total)
        for weight, make in kinds:
            pick -= weight
            if pick < 0:
                make()
                return

    def alu(self):
        self.emit(f'{self.rng.choice(R_OPS)} {self.rd()}, {self.rs()}, {self.rs()}')

    def imm(self):
        op = self.rng.choice(I_OPS)
        self.emit(f'{op} {self.rd()}, {self.rs()}, {self.rng.randint(-2048, 2047)}')

    def shift(self):
        op, n = self.rng.choice(SHIFTS)
        self.emit(f'{op} {self.rd()}, {self.rs()}, {self.rng.randrange(n)}')

    def upper(self):
        op = self.rng.choice(['lui', 'auipc'])
        self.emit(f'{op} {self.rd()}, {self.rng.randrange(1 << 20)}')

    def zbx(self):
        k = self.rng.randrange(3)
        if k == 0:
            self.emit(f'{self.rng.choice(ZB_R)} {self.rd()}, {self.rs()}, {self.rs()}')
        elif k == 1:
            self.emit(f'{self.rng.choice(ZB_1)} {self.rd()}, {self.rs()}')
        else:
            op, n = self.rng.choice(ZB_I)
            self.emit(f'{op} {self.rd()}, {self.rs()}, {self.rng.randrange(n)}')

    def offset(self, size):
        off = self.rng.randint(-2048, 2047)
        return off if self.rng.random() < 0.25 else off & -size

    def load(self):
        op = self.rng.choice(list(LOADS))
        reg = self.f() if op[0] == 'f' else self.rd()
        self.emit(f'{op} {reg}, {self.offset(LOADS[op])}(x8)')

    def store(self):
        op = self.rng.choice(list(STORES))
        reg = self.f() if op[0] == 'f' else self.rs()
        self.emit(f'{op} {reg}, {self.offset(STORES[op])}(x8)')

    def amo(self):
        size, w = self.rng.choice([(4, 'w'), (8, 'd')])
        order = self.rng.choice(['', '.aq', '.rl', '.aqrl'])
        base = self.rng.choice(FREE)
        off = self.rng.randint(-256, 255) * size + (self.rng.randrange(size)
                                                    if self.rng.random() < 0.06 else 0)
        self.group = 1
        self.emit(f'addi x{base}, x8, {max(-2048, min(2047, off))}')
        self.emit(f'{self.rng.choice(AMOS)}.{w}{order} {self.rd()}, {self.rs()}, (x{base})')

    def lrsc(self):
        size, w = self.rng.choice([(4, 'w'), (8, 'd')])
        base = self.rng.choice(FREE)
        off = self.rng.randint(-128, 127) * size
        self.group = 1
        self.emit(f'addi x{base}, x8, {off}')
        self.emit(f'lr.{w} {self.rd()}, (x{base})')
        for _ in range(self.rng.randrange(3)):
            self.rng.choice([self.imm, self.alu, self.store])()
        if self.rng.random() < 0.3:
            self.group = 1
            self.emit(f'addi x{base}, x8, {off + self.rng.choice([0, 0, size, 1])}')
        # the same size: after lr.d, QEMU's sc.w can store and still report failure
        self.emit(f'sc.{w} {self.rd()}, {self.rs()}, (x{base})')

    def branch(self):
        k = self.rng.randrange(8)
        if k == 0:
            self.emit(f'jal {self.rd()}, {self.forward()}')
        elif k == 1:
            reg = self.rng.choice(FREE)
            # auipc + jalr over one or two words; odd targets lose bit 0
            skip = self.rng.choice([8, 9, 12])
            self.group = 3
            self.emit('.option push\n.option norvc')
            self.emit(f'auipc x{reg}, 0')
            self.emit(f'jalr {self.rd()}, {skip}(x{reg})')
            self.emit(f'addi {self.rd()}, {self.rs()}, 1')
            self.emit('.option pop')
        elif k == 2:
            self.emit(f'c.beqz x{self.rng.randint(8, 15)}, {self.forward()}')
        elif k == 3:
            self.emit(f'c.j {self.forward()}')
        else:
            op = self.rng.choice(B_OPS)
            self.emit(f'{op} {self.rs()}, {self.rs()}, {self.forward()}')

    def rvc(self):
        r = self.rng
        p = lambda: f'x{r.randint(10, 15)}'
        n = r.randrange(15)
        free = r.choice([x for x in FREE if x != 2])
        text = [
            lambda: f'c.addi x{free}, {r.choice([-32, -1, 1, 31, 7])}',
            lambda: f'c.addiw x{free}, {r.randint(-32, 31)}',
            lambda: f'c.li x{free}, {r.randint(-32, 31)}',
            lambda: f'c.lui x{free}, {r.randint(1, 31)}',
            lambda: f'c.mv x{free}, x{r.randint(1, 31)}',
            lambda: f'c.add x{free}, x{r.randint(1, 31)}',
            lambda: f'c.{r.choice(["sub", "xor", "or", "and", "subw", "addw"])} {p()}, {p()}',
            lambda: f'c.{r.choice(["srli", "srai"])} {p()}, {r.randint(1, 63)}',
            lambda: f'c.andi {p()}, {r.randint(-32, 31)}',
            lambda: f'c.slli x{free}, {r.randint(1, 63)}',
            lambda: f'c.{r.choice(["lw"])} {p()}, {r.randrange(32) * 4}(x8)',
            lambda: f'c.{r.choice(["ld"])} {p()}, {r.randrange(32) * 8}(x8)',
            lambda: f'c.{r.choice(["sw"])} {p()}, {r.randrange(32) * 4}(x8)',
            lambda: f'c.{r.choice(["sd"])} {p()}, {r.randrange(32) * 8}(x8)',
            lambda: f'c.{r.choice(["fld", "fsd"])} f{r.randint(8, 15)}, {r.randrange(32) * 8}(x8)',
        ][n]()
        self.emit(text)

    def fp(self):
        r = self.rng
        t = r.choice('sd')
        k = r.randrange(22)
        rm = r.choice(RM)
        f = self.f
        if k < 6:
            self.emit(f'{r.choice(F_BIN)}.{t} {f()}, {f()}, {f()}, {rm}')
        elif k < 7:
            self.emit(f'fsqrt.{t} {f()}, {f()}, {rm}')
        elif k < 11:
            self.emit(f'{r.choice(F_FMA)}.{t} {f()}, {f()}, {f()}, {f()}, {rm}')
        elif k < 13:
            self.emit(f'{r.choice(F_SIGN)}.{t} {f()}, {f()}, {f()}')
        elif k < 15:
            self.emit(f'{r.choice(["feq", "flt", "fle"])}.{t} {self.rd()}, {f()}, {f()}')
        elif k < 17:
            self.emit(f'fcvt.{r.choice(["w", "wu", "l", "lu"])}.{t} {self.rd()}, {f()}, {rm}')
        elif k < 19:
            src = r.choice(['w', 'wu', 'l', 'lu'])
            tail = '' if t == 'd' and src in ('w', 'wu') else f', {rm}'
            self.emit(f'fcvt.{t}.{src} {f()}, {self.rs()}{tail}')
        elif k == 19:
            self.emit(r.choice([f'fcvt.s.d {f()}, {f()}, {rm}', f'fcvt.d.s {f()}, {f()}']))
        elif k == 20:
            self.emit(f'fclass.{t} {self.rd()}, {f()}')
        else:
            self.emit(r.choice([f'fmv.x.w {self.rd()}, {f()}', f'fmv.w.x {f()}, {self.rs()}',
                                f'fmv.x.d {self.rd()}, {f()}', f'fmv.d.x {f()}, {self.rs()}']))

    def csr(self):
        r = self.rng
        k = r.randrange(10)
        if k < 4:
            name = r.choice(['fflags', 'frm', 'fcsr'])
            op = r.choice(['csrrw', 'csrrs', 'csrrc'])
            self.emit(r.choice([f'{op} {self.rd()}, {name}, {self.rs()}',
                                f'{op}i {self.rd()}, {name}, {r.randrange(32)}']))
        elif k < 6:
            self.emit(f'csrrs {self.rd()}, {r.choice(CSRS_RO)}, x0')
        elif k < 8:
            bits = r.choice([0x80000, 0x40000, 0x100, 0x20, 0xc0000])
            reg = r.choice(FREE)
            name = r.choice(['sstatus', 'sstatus', 'mstatus'])
            self.group = 1
            self.emit(f'li x{reg}, {bits}')
            self.emit(f'{r.choice(["csrrs", "csrrs", "csrrc"])} {self.rd()}, {name}, x{reg}')
        else:
            self.emit(f'csrrw {self.rd()}, '
                      f'{r.choice(["0x7c1", "mhartid", "cycle"])}, '
                      f'{self.rs()}')

    def page(self):
        """Access to one of the test pages: permissions, A and D bits, superpages, holes."""
        r = self.rng
        reg, val = r.sample(FREE, 2)
        where = r.choice([r.randrange(32) << 12] * 6 +
                         [1 << 21, 2 << 21, (3 << 21) + 0x3000, 4 << 21, 1 << 38, 1 << 39, 1 << 62])
        where += r.choice([0, 8, 16, 2040, 4088, 4090, 4095])
        self.group = 2
        self.emit(f'li x{reg}, {where}')
        self.emit(f'add x{reg}, x{reg}, x9')
        op = r.choice(['ld', 'sd', 'lw', 'sb', 'amoadd.w', 'lr.w', 'sc.w', 'flw', 'fsd', 'amoswap.d'])
        if op in ('flw', 'fsd'):
            self.emit(f'{op} f{val}, 0(x{reg})')
        elif op == 'lr.w':
            self.emit(f'{op} x{val}, (x{reg})')
        elif op in ('amoadd.w', 'sc.w', 'amoswap.d'):
            self.emit(f'{op} x{val}, {self.rs()}, (x{reg})')
        else:
            self.emit(f'{op} x{val}, 0(x{reg})')
        if r.random() < 0.2:
            self.emit(r.choice([f'sfence.vma', f'sfence.vma x{reg}', f'sfence.vma x{reg}, x{val}']))

    def odd(self):
        self.emit(self.rng.choice(['ecall', 'ebreak', 'c.ebreak', 'fence', 'fence.i', 'fence w,r',
                                   'fence.tso', '.4byte 0x0100000f', 'sret_', 'nop', '.4byte 0xffffffff',
                                   '.2byte 0', 'sfence.vma', '.4byte 0x10500073 | 0x80']).replace(
                                       'sret_', 'fence r,rw'))

    def wild(self):
        """A load from wherever a register points: an access or page fault, mostly."""
        r = self.rng
        base = r.choice(FREE)
        self.group = 1
        self.emit(f'li x{base}, {r.choice([-8, 1 << 62, 1 << 56, 0xfff0000000000000, 0x50, -4096])}')
        self.emit(f'{r.choice(["ld", "lw", "lb", "lr.w"])} {self.rd()}, '
                  f'0(x{base})')

    def raw(self):
        """A random word under an opcode whose every encoding is harmless here."""
        r = self.rng
        while True:
            op = r.choice([0x13, 0x1b, 0x33, 0x3b, 0x53, 0x43, 0x47, 0x4b, 0x4f, 0x57, 0x0b, 0x5b,
                           0x13, 0x33, 0x53, 0x53])
            word = r.getrandbits(25) << 7 | op
            if word >> 7 & 31 not in (8, 9):
                break
        if r.random() < 0.6 and op in (0x33, 0x3b):
            word = word & 0x01ffffff | r.choice([0, 1, 0x20, 4, 5, 0x10, 0x14, 0x24, 0x30, 0x34]) << 25
        self.emit(f'.4byte {word:#x}')


def fix(lines):
    """lr has no offset in its syntax."""
    return [re.sub(r'^(lr\.[wd] .*), 0\((x\d+)\)$', r'\1, (\2)', line) for line in lines]


def random_sequences(seed, count, length, zb):
    rng = random.Random(seed)
    result = []
    for _ in range(count):
        mode, flags = rng.choice([(3, 0), (3, 0), (1, 0), (1, 1), (1, 1), (0, 1), (0, 1), (0, 0),
                                  (1, 3), (0, 3), (1, 2)])
        result.append((mode, flags, fix(Maker(rng, length, zb).lines)))
    return result


def assembly(sequences, seed, verbose):
    """The whole test as one assembler file."""
    out = ['.section .test, "ax"']
    table = ['.section .rodata', '.balign 8', '.globl sequences, n_sequences, seed, verbose_sequence',
             'sequences:']
    for i, (mode, flags, lines, *number) in enumerate(sequences):
        out.append(f'.balign 4\nseq_{i}:')
        out += [re.sub(r'\.Lt\d+_', f'.Lt{i}_', line) for line in lines]
        out.append(f'end_{i}: ecall\n.2byte 0')
        table.append(f'.8byte seq_{i}, end_{i}\n.4byte {mode}, {flags}\n'
                     f'.8byte {number[0] if number else i}')
    table += [f'n_sequences: .8byte {len(sequences)}', f'seed: .8byte {seed}',
              f'verbose_sequence: .8byte {verbose}']
    return '\n'.join(out + table) + '\n'
