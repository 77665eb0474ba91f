#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The levels of the page codec that this CPU does not have: test-simd is built for other architectures
and run under user emulation; and on x86-64 under CPUs that have less, where "auto" must take less.
TAP on stdout.

usage: test-cross.py SOURCE-ROOT [PAGES]"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

CODEC = ('simd', 'xbzrle', 'zero-page')
# name, compiler, its flags, levels with theirs, emulator and its flags, what must have been compared
TARGETS = (
    ('arm64', ['aarch64-linux-gnu-gcc'], [], {'neon': []}, ['qemu-aarch64'], ['neon']),
    ('riscv64', ['clang-16', '--target=riscv64-linux-gnu', '--gcc-toolchain=/usr', '-isystem',
                 '/usr/riscv64-linux-gnu/include'],
     ['-march=rv64gc'], {'rvv': ['-march=rv64gcv']}, ['qemu-riscv64', '-cpu', 'rv64,v=true,vlen=128'],
     ['rvv']),
    ('riscv64, long registers', None, None, None,
     ['qemu-riscv64', '-cpu', 'rv64,v=true,vlen=512'], ['rvv']),
    ('riscv64 without vectors', None, None, None, ['qemu-riscv64', '-cpu', 'rv64,v=false'], []),
    ('x86-64 with AVX2', ['gcc', '-m64'], [],
     {'sse2': ['-msse2'], 'avx2': ['-mavx2', '-mbmi', '-mbmi2', '-mlzcnt', '-mpopcnt'],
      'avx512': ['-mavx512f', '-mavx512bw', '-mbmi', '-mbmi2', '-mlzcnt', '-mpopcnt']},
     ['qemu-x86_64', '-cpu', 'max'], ['sse2', 'avx2']),
    ('x86-64 of old', None, None, None, ['qemu-x86_64', '-cpu', 'qemu64'], ['sse2']),
)


def compile_all(root, folder, compiler, flags, levels):
    """A static test-simd in folder; returns its path, or raises."""
    common = ['-std=gnu11', '-O2', '-D_GNU_SOURCE', '-I' + os.path.join(root, 'tests/simd/include'),
              '-I' + root, '-I' + os.path.join(root, 'include'), '-I' + folder]
    with open(os.path.join(folder, 'config-host.h'), 'w', encoding='ascii') as f:
        f.write(''.join('#define CONFIG_SIMD_%s\n' % level.upper() for level in levels))
    objects = []
    sources = [('migration/codec/%s.c' % name, flags) for name in CODEC]
    sources += [('migration/codec/%s.c' % level, flags + own) for level, own in levels.items()]
    sources += [('tests/unit/test-simd.c', flags), ('tests/simd/no-errors.c', flags)]
    for source, own in sources:
        objects.append(os.path.join(folder, os.path.basename(source) + '.o'))
        subprocess.run(compiler + own + common + ['-c', os.path.join(root, source), '-o', objects[-1]],
                       check=True)
    program = os.path.join(folder, 'test-simd')
    subprocess.run(compiler + flags + ['-static', '-o', program] + objects, check=True)
    return program


def outcome(program, emulator, pages, wanted):
    """None, or what is wrong."""
    run = subprocess.run(emulator + [program, str(pages)], stdout=subprocess.PIPE, text=True,
                         check=False, timeout=3000)
    compared = re.findall(r'^ok \d+ (\w+)$', run.stdout, re.M)
    if run.returncode or 'not ok' in run.stdout:
        return 'status %d:\n%s' % (run.returncode, run.stdout)
    if compared != ['plain'] + wanted:
        return 'compared were %s, not plain and %s:\n%s' % (compared, wanted, run.stdout)
    return None


def main():
    root, pages = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 300
    failed, program = 0, None
    with tempfile.TemporaryDirectory() as top:
        for number, (name, compiler, flags, levels, emulator, wanted) in enumerate(TARGETS, 1):
            missing = [t for t in (compiler or [])[:1] + emulator[:1] if not shutil.which(t)]
            if missing:
                word = 'ok' if 'CI' not in os.environ else 'not ok'
                print('%s %d %s # SKIP %s is not installed' % (word, number, name, missing[0]))
                failed += word != 'ok'
                continue
            if compiler:
                folder = os.path.join(top, str(number))
                os.mkdir(folder)
                program = compile_all(root, folder, compiler, flags, levels)
            why = outcome(program, emulator, pages, wanted)
            print('%sok %d %s%s' % ('not ' if why else '', number, name,
                                    '\n# ' + why.replace('\n', '\n# ') if why else ''), flush=True)
            failed += bool(why)
        print('1..%d' % len(TARGETS))
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
