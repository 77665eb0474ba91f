#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the CPU with QEMU's: the same bare-metal instruction sequences on both.

  run.py --ferry BINARY [--qemu BINARY] [--seed N] [--count N] [--length N] [--zb] [--directed]

The seed is printed; FERRY_CPU_SEED sets it. On a mismatch the sequence and both full states are
printed. Exit status 77 (skipped) if a tool is missing.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import directed  # noqa: E402
import generate  # noqa: E402

CROSS = 'riscv64-linux-gnu-gcc'
CPU_T7 = 'rv64,h=off,debug=off,zba=off,zbb=off,zbc=off,zbs=off,pmu-num=0'
CPU_ZB = 'rv64,h=off,debug=off,pmu-num=0'


def build(work, name, sequences, seed, verbose, zb):
    source = os.path.join(work, name + '.S')
    elf = os.path.join(work, name + '.elf')
    with open(source, 'w') as f:
        f.write(generate.assembly(sequences, seed, verbose))
    march = 'rv64gc' + ('_zba_zbb_zbc_zbs' if zb else '')
    subprocess.run([CROSS, f'-march={march}', '-mabi=lp64d', '-mcmodel=medany', '-O1', '-g0',
                    '-ffreestanding', '-nostdlib', '-static', '-fno-pic', '-no-pie',
                    '-Wl,--build-id=none', '-Wl,--no-relax', '-Wl,--no-warn-rwx-segments',
                    '-mno-relax', '-T', os.path.join(HERE, 'link.ld'), '-I', HERE,
                    os.path.join(HERE, 'entry.S'), os.path.join(HERE, 'runtime.c'), source,
                    '-o', elf], check=True)
    return elf


def execute(binary, elf, cpu, timeout):
    out = elf + '.' + os.path.basename(binary) + '.out'
    command = [binary, '-M', 'virt', '-m', '64', '-cpu', cpu, '-bios', 'none', '-kernel', elf,
               '-nodefaults', '-display', 'none', '-serial', 'file:' + out]
    if 'ferry' in os.path.basename(binary):
        command[2] = 'virt-7.2'
    began = time.time()
    try:
        done = subprocess.run(command, timeout=timeout, stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:
            print(f'{binary}: exit status {done.returncode}: {done.stderr}')
    except subprocess.TimeoutExpired:
        print(f'{binary}: no end within {timeout} s')
    with open(out, errors='replace') as f:
        return f.read().splitlines(), time.time() - began


def results(lines):
    return {line.split()[0]: line for line in lines if line and line[0] != ' ' and line != 'END'}


def differing(args, work, name, sequences, cpu):
    elf = build(work, name, sequences, args.seed, (1 << 64) - 1, args.zb)
    q, tq = execute(args.qemu, elf, cpu, 30)
    f, tf = execute(args.ferry, elf, cpu, 30)
    rq, rf = results(q), results(f)
    bad = [i for i in range(len(sequences)) if rq.get(f'{i:05x}') != rf.get(f'{i:05x}') or
           f'{i:05x}' not in rq]
    return bad, tq, tf, f


def units(lines):
    """Lines that must stay together: labels with what follows them is not needed, options are."""
    result, depth = [], 0
    for line in lines:
        if depth:
            result[-1].append(line)
        else:
            result.append([line])
        depth += line.count('.option push') - line.count('.option pop')
    return result


def reduce(args, work, sequence, number, cpu):
    """Drops instructions one by one while the two still differ."""
    mode, flags, lines = sequence
    parts = units(lines)
    size = max(1, len(parts) // 2)
    while size:
        cuts = [i for i in range(0, len(parts), size)
                if not any(p[0].endswith(':') for p in parts[i:i + size])]
        tries = [(mode, flags, sum(parts[:i] + parts[i + size:], []), number) for i in cuts]
        bad = differing(args, work, 'reduce', tries, cpu)[0] if tries else []
        if bad:
            cut = cuts[bad[0]]
            parts = parts[:cut] + parts[cut + size:]
        else:
            size //= 2
    return mode, flags, sum(parts, []), number


def show_mismatch(args, work, sequences, number, cpu):
    sequence = (*sequences[number], number)
    alone = not args.no_reduce and differing(args, work, 'alone', [sequence], cpu)[0]
    if alone:
        sequence = reduce(args, work, sequences[number], number, cpu)
        elf = build(work, 'verbose', [sequence], args.seed, 0, args.zb)
    else:       # only at its place in the image
        elf = build(work, 'verbose', sequences, args.seed, number, args.zb)
    mode, flags, lines, _ = sequence
    print(f'\nsequence {number}{", reduced" if alone else ""}: mode {"US?M"[mode]} flags {flags}')
    q, _ = execute(args.qemu, elf, cpu, 60)
    f, _ = execute(args.ferry, elf, cpu, 60)
    for line in lines:
        print('    ' + line)
    print('state (QEMU | Ferry), lines that differ:')
    shown = 0
    for i in range(max(len(q), len(f))):
        a = q[i] if i < len(q) else ''
        b = f[i] if i < len(f) else ''
        if a != b and shown < 30:
            print(f'  {i:4} {a:32} | {b}')
            shown += 1
    return shown


def compare(args, work, name, sequences, cpu):
    bad, tq, tf, f = differing(args, work, name, sequences, cpu)
    if args.dump:
        print('\n'.join(f))
    count = sum(1 for _, _, lines in sequences for line in lines
                if not line.startswith('.L') and not line.startswith('.option'))
    print(f'{name}: {len(sequences)} sequences, {count} instructions, {len(bad)} differ; '
          f'QEMU {tq:.1f} s, Ferry {tf:.1f} s')
    if bad:
        print('differ:', *bad[:40])
    for number in bad[:args.show]:
        show_mismatch(args, work, sequences, number, cpu)
    return not bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--ferry', required=True)
    p.add_argument('--qemu', default='qemu-system-riscv64')
    p.add_argument('--seed', type=int,
                   default=int(os.environ.get('FERRY_CPU_SEED', random.randrange(1 << 31))))
    p.add_argument('--count', type=int, default=2000)
    p.add_argument('--length', type=int, default=56)
    p.add_argument('--show', type=int, default=3)
    p.add_argument('--zb', action='store_true')
    p.add_argument('--directed', action='store_true')
    p.add_argument('--dump', action='store_true')
    p.add_argument('--no-reduce', action='store_true')
    p.add_argument('--keep', help='folder for the images')
    args = p.parse_args()
    for tool in (CROSS, args.qemu):
        if not shutil.which(tool):
            print(f'{tool} is not installed')
            return 1 if os.environ.get('CI') else 77
    print(f'seed {args.seed} (FERRY_CPU_SEED={args.seed} repeats this run)', flush=True)
    cpu = CPU_ZB if args.zb else CPU_T7
    work = args.keep or tempfile.mkdtemp(prefix='ferry-cpu-')
    try:
        if args.directed:
            ok = compare(args, work, 'directed', directed.sequences(), cpu)
        else:
            ok = compare(args, work, 'random',
                         generate.random_sequences(args.seed, args.count, args.length, args.zb), cpu)
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print('ok' if ok else 'FAILED')
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
