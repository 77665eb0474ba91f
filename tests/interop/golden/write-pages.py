#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes into a guest's RAM from outside, a few bytes of many pages again and again, while it
migrates, and once more when it stands still before the switchover (which the source therefore has
to pause at). A source with XBZRLE then has deltas to send. Called by capture.sh.

  write-pages.py QTEST-SOCKET QMP-SOCKET ADDRESS
"""
import json
import socket
import sys
import time

PAGES = 96
PAGE = 4096
PATIENCE = 30       # seconds


class Line:
    """A socket that answers each line with a line."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.answers = self.socket.makefile('r')

    def ask(self, text, is_answer):
        self.socket.sendall(text.encode() + b'\n')
        while True:
            answer = self.answers.readline()
            if not answer:
                raise SystemExit('write-pages: the emulator has ended')
            if is_answer(answer):
                return answer

    def qtest(self, text):
        self.ask(text, lambda answer: answer.startswith('OK'))

    def qmp(self, command):
        return json.loads(self.ask(json.dumps({'execute': command}),
                                   lambda answer: 'return' in json.loads(answer)))['return']


def write_round(qtest, address, turn):
    for page in range(PAGES):
        # another place each time, so that runs have every length
        offset = address + page * PAGE + (turn * 264 + page * 8) % (PAGE - 8)
        qtest.qtest('writeq 0x%x 0x%x' % (offset, turn << 32 | page))


def main():
    qtest, qmp, address = Line(sys.argv[1]), Line(sys.argv[2]), int(sys.argv[3], 0)
    qmp.qmp('qmp_capabilities')
    end = time.monotonic() + PATIENCE
    turn = 0
    while qmp.qmp('query-migrate').get('status') != 'pre-switchover':
        if time.monotonic() > end:
            raise SystemExit('write-pages: the migration does not come to its switchover')
        turn += 1
        write_round(qtest, address, turn)
    write_round(qtest, address, turn + 1)
    print('%d rounds over %d pages' % (turn + 1, PAGES), file=sys.stderr)


if __name__ == '__main__':
    main()
