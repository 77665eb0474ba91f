#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The build without what it can do without: each optional thing absent, one at a time, and all of
them at once. TAP on stdout.

usage: test-absent.py SOURCE-ROOT [--full] [NAME...]

Without --full every case is configured only ("meson setup" takes a second). With it each is built,
too, and its suite "quick" has to pass: what is missing there skips with a reason, nothing fails.

How a thing is made absent: a program is left out of a folder of links that is the whole PATH, a
library's .pc file out of a folder that is all pkg-config sees, and a file of the system has an
empty one mounted over it, in a mount namespace of our own (needs the right to make one)."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

LIMIT = 1500        # seconds for one step of a case; the machine may be slow and busy
OPENSBI = '/usr/lib/riscv64-linux-gnu/opensbi'
CROSS_HEADERS = '/usr/riscv64-linux-gnu/include'

# Name -> programs (regular expressions), .pc files, files and folders that are not there.
ABSENT = {
    'slirp': {'pc': ['slirp']},
    'seccomp': {'pc': ['libseccomp']},
    'zstd': {'pc': ['libzstd']},
    'xxhash': {'pc': ['libxxhash']},
    'liburing': {'pc': ['liburing']},
    'riscv64 compiler': {'programs': ['riscv64-linux-gnu-.*']},
    'riscv64 C library': {'paths': [CROSS_HEADERS]},
    'cpio': {'programs': ['cpio']},
    'opensbi': {'paths': [OPENSBI]},
    'qemu': {'programs': ['qemu-.*']},
    'clang': {'programs': ['clang.*']},
    'libvirt': {'programs': ['virsh', 'libvirtd', 'virtqemud', 'virt-.*']},
    'gdb': {'programs': ['gdb.*']},
    'groff': {'programs': ['groff']},
    'iproute2, netcat, compressors': {'programs': ['ip', 'nc', r'nc\..*', 'lzop', 'bzip2', 'xz']},
    'unshare': {'programs': ['unshare', 'nsenter']},
    'localhost': {'paths': ['/etc/hosts']},
    'guest and QEMU 10.0 fetched before': {'paths': [], 'cache': True},
}


class Failed(Exception):
    """A claim that did not hold."""


class Skip(Exception):
    """Cannot be tried here."""


def need(condition, what):
    """A user's machine may lack it; where everything has to be there (CI is set), its absence is a failure."""
    if not condition:
        raise Failed(what) if os.environ.get('CI') else Skip(what)


def everything():
    """All of ABSENT at once."""
    total = {'cache': True}
    for what in ABSENT.values():
        for kind in ('programs', 'pc', 'paths'):
            total.setdefault(kind, []).extend(what.get(kind, []))
    return total


def link_all(folders, to, keep):
    """Links in `to` for what the folders hold, the first folder first, if keep(name)."""
    os.mkdir(to)
    for folder in folders:
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if keep(name) and not os.path.lexists(os.path.join(to, name)):
                os.symlink(os.path.join(folder, name), os.path.join(to, name))


def environment(what, tmp):
    """The environment in which what is named as programs and libraries is not there."""
    env = {k: v for k, v in os.environ.items()
           if k not in ('CI', 'QEMU72', 'FERRY_QEMU10', 'PKG_CONFIG_PATH', 'CC')}
    hidden = [re.compile(p) for p in what.get('programs', [])]
    link_all(env['PATH'].split(':') + ['/usr/sbin', '/sbin'], tmp + '/bin',
             lambda name: not any(h.fullmatch(name) for h in hidden))
    env['PATH'] = tmp + '/bin'
    path = subprocess.run(['pkg-config', '--variable', 'pc_path', 'pkg-config'], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip().split(':')
    link_all(path, tmp + '/pc', lambda name: name[:-3] not in what.get('pc', []))
    env['PKG_CONFIG_LIBDIR'] = tmp + '/pc'
    if what.get('cache'):
        env['FERRY_CACHE'] = tmp + '/cache'
    return env


def mounted_over(what, tmp):
    """The command that starts another one where what is named as paths is empty."""
    paths = [p for p in what.get('paths', []) if os.path.exists(p)]
    if not paths:
        return []
    unshare = shutil.which('unshare')
    need(unshare, 'unshare is missing (package util-linux)')
    os.mkdir(tmp + '/empty')
    with open(tmp + '/nothing', 'w', encoding='ascii'):
        pass
    command = [unshare, '--mount'] + ([] if os.geteuid() == 0 else ['--map-root-user'])
    need(subprocess.run(command + ['true'], stderr=subprocess.DEVNULL, check=False).returncode == 0,
         'no right to make a mount namespace')
    script = ' && '.join(f'mount --bind {tmp}/{"empty" if os.path.isdir(p) else "nothing"} {p}'
                         for p in paths)
    return command + ['sh', '-c', f'{script} && exec "$@"', 'sh']


def step(name, command, env, tmp):
    """One command; its last lines are the reason if it fails. Returns what it printed."""
    with open(tmp + '/log', 'w+', encoding='utf-8', errors='replace') as log:
        result = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
        log.seek(0)
        text = log.read()
    if result.returncode:
        raise Failed(f'{name} failed:\n' + '\n'.join(text.splitlines()[-40:]))
    return text


def tests_pass(prefix, build, env, tmp):
    """Suite quick: everything passes or says why it does not run."""
    step('quick', prefix + ['meson', 'test', '-C', build, '--no-rebuild', '--suite', 'quick',
                            '--print-errorlogs'], env, tmp)
    with open(build + '/meson-logs/testlog.txt', encoding='utf-8', errors='replace') as file:
        for line in re.findall(r'^.*# SKIP *$', file.read(), re.M):
            raise Failed(f'skipped without a reason: {line}')


def try_without(source, what, full):
    with tempfile.TemporaryDirectory(prefix='absent-') as tmp:
        env, prefix, build = environment(what, tmp), mounted_over(what, tmp), tmp + '/build'
        for name in (p for p in what.get('programs', []) if re.fullmatch('[a-z0-9]+', p)):
            if shutil.which(name, path=env['PATH']):
                raise Failed(f'{name} is still there: the case shows nothing')
        # --check ends with 1 if it thinks that something required is missing.
        step('configure --check', prefix + [source + '/configure', '--check'], env, tmp)
        step('configure', prefix + [source + '/configure', '--build-dir=' + build], env, tmp)
        if full:
            step('ninja', prefix + ['ninja', '-C', build], env, tmp)
            tests_pass(prefix, build, env, tmp)


def main():
    full = '--full' in sys.argv
    source, *names = [a for a in sys.argv[1:] if a != '--full']
    cases = {'everything': everything(), **ABSENT}
    chosen = [c for c in cases if not names or c in names]
    failed = 0
    print(f'1..{len(chosen)}')
    for number, name in enumerate(chosen, 1):
        what = f'{"built and tested" if full else "configured"} without {name}'
        try:
            try_without(os.path.abspath(source), cases[name], full)
            print(f'ok {number} - {what}', flush=True)
        except Skip as reason:
            print(f'ok {number} - {what} # SKIP {reason}', flush=True)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            failed += 1
            text = '\n'.join('# ' + line for line in str(error).splitlines())
            print(f'not ok {number} - {what}\n{text}', flush=True)
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
