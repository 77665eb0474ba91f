# SPDX-License-Identifier: GPL-2.0-or-later
"""Directed sequences: one subject each, compared like the random ones."""


def csr_probe():
    """Which CSRs exist in M mode: each read once; traps are part of the state."""
    # counters differ; 0x24d (vstimecmp) exists in QEMU 7.2 even with h=off
    skip = {0xc00, 0xc01, 0xc02, 0xb00, 0xb02, 0x24d}
    result = []
    for base in range(0, 4096, 64):
        lines = []
        for n in range(base, base + 64):
            if n not in skip:
                lines.append(f'csrrs x5, {n:#x}, x0')
                lines.append('add x6, x6, x5')
        result.append((3, 0, lines))
    return result


# Writable bits tried. Left out is what QEMU 7.2 keeps although the manual or this model has it
# fixed: bits of extensions that are off (H: VS interrupts, guest faults), the low bit of epc,
# pmpaddr beyond 54 bits, reserved bits of pmpcfg.
ALL = (1 << 64) - 1
WARL = {
    0x104: 0xaaa, 0x105: ALL, 0x106: ALL, 0x10a: ALL, 0x140: ALL, 0x141: ALL - 1, 0x142: ALL,
    0x143: ALL, 0x144: 0xaaa, 0x302: 0xfffff & ~0xc00, 0x303: 0xaaa, 0x304: 0xaaa, 0x306: ALL,
    0x30a: ALL, 0x320: ALL, 0x341: ALL - 1, 0x342: ALL, 0x343: ALL, 0x344: 0xaaa, 0x323: ALL,
    0x33f: ALL, 0xb03: ALL, 0xb1f: ALL, 0x301: ALL, 0xf14: ALL,
    0x300: 0x807ff9ff & ~0x20000, 0x100: 0x807ff9ff & ~0x20000,
    0x3a0: 0x0707070707070707, 0x3a2: 0x0707070707070707,
    0x3b1: (1 << 54) - 1, 0x3b5: (1 << 54) - 1, 0x3bf: (1 << 54) - 1,
}


def csr_masks():
    """What a write of many values keeps."""
    values = [ALL, 0, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa, 1, 2, 3, 1 << 63, 0x1f1f1f1f1f1f1f1f]
    result = []
    for csr, bits in WARL.items():
        lines = []
        for k, v in enumerate(values):
            v &= bits
            if csr == 0x300:
                v |= 0x1800     # stay in M mode
            lines += [f'li x5, {v:#x}', f'csrrw x6, {csr:#x}, x5', f'csrrs x{10 + k}, {csr:#x}, x0']
            if csr in (0x300, 0x100):
                lines += ['li x7, ~0xf300000600', f'and x{10 + k}, x{10 + k}, x7']
            if csr == 0x100:
                lines += ['li x7, 0x6000', 'csrs mstatus, x7']
            if csr in (0x144, 0x344):
                lines += [f'andi x{10 + k}, x{10 + k}, 0x6aa']
        lines += ['li x6, 0', 'li x5, 0x7800' if csr == 0x300 else 'li x5, 0', f'csrw {csr:#x}, x5',
                  'li x7, 0x6000', 'csrs mstatus, x7']
        result.append((3, 0, lines))
    return result


def satp_modes():
    lines = []
    for k, mode in enumerate([0, 1, 7, 8, 9, 10, 11, 15]):
        lines += [f'li x5, {mode << 60 | 0xffff << 44 | 0x80000:#x}', 'csrw satp, x5',
                  f'csrr x{10 + k}, satp']
    return [(3, 0, lines + ['csrw satp, x0'])]


def privileges():
    """What lower modes may not do, and the traps' values."""
    probes = ['csrr x5, mstatus', 'csrr x5, sstatus', 'csrr x5, satp', 'csrw satp, x0', 'mret',
              'wfi', 'sfence.vma', 'csrr x5, cycle', 'csrr x5, 0xc03', 'csrr x5, stimecmp',
              'csrw sie, x0', 'csrr x5, sip', 'ecall', 'ebreak', 'c.ebreak', 'csrw cycle, x0',
              'csrr x5, fcsr', 'csrw 0xc80, x0', 'csrr x5, pmpcfg0', 'csrr x5, menvcfg',
              'csrr x5, senvcfg', 'csrr x5, scounteren']
    result = []
    for mode in (0, 1):
        for flags in (0, 1, 3):
            for p in probes:
                if p == 'wfi' and mode == 1:
                    continue
                body = [p.replace('csrr x5, cycle', 'csrr x5, cycle\nli x5, 0')]
                result.append((mode, flags, ['li x5, 0'] + body + ['addi x6, x6, 1']))
    for bit, inst in ((1 << 20, 'csrr x5, satp'), (1 << 20, 'sfence.vma'), (1 << 21, 'nop'),
                      (1 << 22, 'sret')):
        result.append((1, 0, ['la x5, 1f', 'csrw sepc, x5', 'nop', inst, '1: addi x6, x6, 1']))
        result.append((3, 0, [f'li x5, {bit}', 'csrs mstatus, x5', 'la x5, 1f', 'csrw mepc, x5',
                              'li x5, 0x1800', 'csrc mstatus, x5', 'li x5, 0x800',
                              'csrs mstatus, x5', 'mret', '1:', 'la x5, 2f', 'csrw sepc, x5', inst,
                              '2: addi x6, x6, 1', 'csrr x7, sstatus']))
    return result


def floating_point_off():
    ops = ['fadd.s f1, f2, f3', 'fld f1, 0(x8)', 'fsd f1, 0(x8)', 'fmv.x.d x5, f1', 'feq.d x5, f1, f2',
           'fclass.s x5, f1', 'csrr x5, fflags', 'fcvt.w.s x5, f1', 'c.fld f8, 0(x8)', 'fsgnj.d f1, f2, f3',
           'fcvt.d.l f1, x5', 'fmin.s f1, f2, f3', 'fmv.w.x f1, x5', 'csrw frm, x0', 'flt.s x5, f2, f3']
    result = []
    for fs in (0x0000, 0x2000, 0x4000):
        for op in ops:
            result.append((3, 0, ['li x5, 0x6000', 'csrc mstatus, x5', f'li x5, {fs}',
                                  'csrs mstatus, x5', 'li x5, 3', op,
                                  # which of them make FS dirty is left to the implementation
                                  'nop' if op.split()[1].startswith('x') else 'csrr x10, mstatus',
                                  'li x6, 0x6000', 'csrs mstatus, x6']))
    return result


def reservations():
    """LR/SC across traps, stores, other addresses and sizes."""
    base = 'addi x5, x8, 64'
    return [(3, 0, lines) for lines in (
        [base, 'lr.w x10, (x5)', 'sc.w x11, x12, (x5)', 'sc.w x13, x12, (x5)'],
        [base, 'lr.w x10, (x5)', 'sw x10, 0(x5)', 'sc.w x11, x12, (x5)'],
        [base, 'lr.w x10, (x5)', 'addi x10, x10, 1', 'sw x10, 0(x5)', 'sc.w x11, x12, (x5)'],
        [base, 'lr.w x10, (x5)', 'sc.d x11, x12, (x5)'],
        [base, 'lr.w x10, (x5)', 'ecall', 'sc.w x11, x12, (x5)'],
        [base, 'lr.w x10, (x5)', 'addi x5, x5, 8', 'sc.w x11, x12, (x5)', 'addi x5, x5, -8',
         'sc.w x13, x12, (x5)'],
        [base, 'addi x5, x5, 1', 'lr.w x10, (x5)', 'sc.w x11, x12, (x5)', 'amoadd.w x10, x11, (x5)'],
        [base, 'addi x5, x5, 4', 'lr.d x10, (x5)', 'sc.d x11, x12, (x5)', 'amoadd.d x10, x11, (x5)'],
        ['li x5, 0x1000000', 'lr.d x10, (x5)', 'sc.d x11, x12, (x5)', 'amoadd.d x10, x11, (x5)'],
        ['li x5, 0x1000001', 'lr.d x10, (x5)', 'sc.d x11, x12, (x5)', 'amoadd.d x10, x11, (x5)'],
    )]


def interrupts():
    """Pending, enabled, delegated; vectors; priorities. The handlers log what came."""
    result = []
    for bits in (0x2, 0x20, 0x200):     # together: 7.2 takes the lowest number first, the manual SEI
        result.append((3, 2, [f'li x5, {bits}', 'csrw mip, x5', 'csrw mie, x5', 'csrr x10, mip',
                              'andi x10, x10, 0x6aa',
                              'csrr x11, sip', 'csrr x12, sie', 'la x6, 1f', 'csrw mepc, x6',
                              'li x6, 0x1800', 'csrc mstatus, x6', 'li x6, 0x802',
                              'csrs mstatus, x6', 'mret', '1:', 'addi x7, x7, 1',
                              'addi x7, x7, 1', 'csrw sie, x0', 'addi x7, x7, 1']))
    result.append((3, 0, ['li x5, 0x2000000', 'li x6, 1', 'sw x6, 0(x5)', 'csrr x10, mip',
                          'lw x11, 0(x5)', 'sw x0, 0(x5)', 'csrr x12, mip']))
    result.append((3, 0, ['li x5, 0x2004000', 'li x6, -1', 'sd x6, 0(x5)', 'csrr x10, mip',
                          'sd x0, 0(x5)', 'csrr x11, mip', 'sd x6, 0(x5)', 'csrr x12, mip']))
    result.append((3, 0, ['li x5, 1', 'slli x5, x5, 63', 'csrs menvcfg, x5', 'csrr x10, menvcfg',
                          'csrw stimecmp, x0', 'csrr x11, mip', 'li x6, -1', 'csrw stimecmp, x6',
                          'csrr x12, mip', 'li x7, 0x20', 'csrs mip, x7', 'csrr x13, mip',
                          'csrc menvcfg, x5', 'csrr x14, mip', 'csrs mip, x7', 'csrr x15, mip']))
    # a pending software interrupt with MIE on is taken between two instructions
    result.append((3, 0, ['li x5, 0x2000000', 'li x6, 1', 'li x7, 8', 'csrw mie, x7',
                          'sw x6, 0(x5)', 'csrs mstatus, x7', 'nop', 'nop', 'sw x0, 0(x5)']))
    return result


def pmp():
    """Regions of each kind around the scratch memory, tried from S mode through MPRV-free code."""
    result = []
    for cfg in (0x19, 0x1b, 0x1f, 0x11, 0x13, 0x09, 0x0b, 0x18, 0x00, 0x99, 0x9b, 0x89):
        for shape in ('page', 'words', 'half'):
            lock = cfg & 0x80
            if lock:
                continue        # a locked entry would outlive the sequence
            lines = ['la x5, scratch', 'srli x5, x5, 2']
            if cfg & 0x18 == 0x18:
                lines += [{'page': 'ori x5, x5, 0x1ff', 'words': 'addi x5, x5, 16',
                           'half': 'ori x5, x5, 0xff'}[shape]]
            elif cfg & 0x18 == 0x10:
                lines += ['addi x5, x5, 16']
            else:
                lines += ['csrw pmpaddr0, x5', {'page': 'li x6, 1024', 'words': 'li x6, 18',
                                                'half': 'li x6, 512'}[shape], 'add x5, x5, x6']
            lines += ['csrw pmpaddr1, x5', 'li x5, -1', 'csrw pmpaddr2, x5',
                      f'li x5, {0x1f0000 | cfg << 8}', 'csrw pmpcfg0, x5', 'la x6, 1f',
                      'csrw mepc, x6', 'li x6, 0x1800', 'csrc mstatus, x6', 'li x6, 0x800',
                      'csrs mstatus, x6', 'mret', '1:', 'la x5, scratch']
            # aligned only: QEMU 7.2 looks at the first bytes of what is not
            for off in (0, 4, 56, 60, 64, 68, 72, 1016, 1020, 1024, 2040, 2044, 2048 - 8):
                lines += [f'ld x10, {off & ~7}(x5)', f'sw x11, {off}(x5)', f'lw x12, {off}(x5)',
                          f'lhu x13, {off + 2}(x5)', f'addi x14, x5, {off}', 'lr.w x15, (x14)',
                          'amoadd.w x16, x17, (x14)']
            result.append((3, 0, lines))
    return result


def memory_kinds():
    """ROM, flash, holes, devices of the board."""
    lines = []
    for addr in (0x1000, 0x1008, 0x0, 0x50, 0x100, 0x100000, 0x20000000, 0x30000000, 0x60000000,
                 0x90000000, 0x10000000000000, 0xff00000000000000, 0x3000000):
        if addr in (0x1008, 0x100000, 0x60000000, 0x3000000, 0x30000000):
            continue
        lines += [f'li x5, {addr:#x}', 'ld x10, 0(x5)', 'lw x11, 0(x5)', 'add x12, x12, x10']
        if addr != 0x20000000:
            lines += ['sd x11, 0(x5)', 'ld x13, 0(x5)']
    return [(3, 0, lines)]


def straddling():
    """Instructions across pages of 4-byte length at every alignment; code that changes itself."""
    result = []
    for pad in (2046, 2047):
        lines = ['.option push', '.option norvc', 'j 1f', '.option rvc', '.balign 4096',
                 f'.skip {pad * 2}', '1:', '.option norvc', 'addi x10, x10, 5', 'addi x11, x10, 7',
                 '.option pop']
        if pad == 2046:
            lines[3:6] = ['.option rvc', '.balign 4096', '.skip 4090']
            lines.insert(7, 'c.addi x12, 1')
        else:
            lines[5] = '.skip 4094'
        result.append((3, 0, lines))
        result.append((1, 1, lines))
        result.append((0, 1, lines))
    lines = ['la x5, 1f', 'lw x6, 4(x5)', 'li x7, 3', '1: addi x10, x10, 1', 'li x11, 0',
             'fence.i', 'addi x7, x7, -1', 'bnez x7, 2f', 'j 3f', '2: sw x6, 0(x5)', 'fence.i',
             'j 1b', '3: nop']
    result.append((3, 0, lines))
    return result


def sequences():
    return (csr_probe() + csr_masks() + satp_modes() + privileges() + floating_point_off() +
            reservations() + interrupts() + pmp() + memory_kinds() + straddling())
