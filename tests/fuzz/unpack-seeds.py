#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpacks gzip files into a folder: unpack-seeds.py STAMP FOLDER FILE..."""
import gzip
import os
import shutil
import sys

stamp, folder, files = sys.argv[1], sys.argv[2], sys.argv[3:]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)
for path in files:
    name = os.path.basename(path).removesuffix('.gz')
    with gzip.open(path) as packed, open(os.path.join(folder, name), 'wb') as plain:
        shutil.copyfileobj(packed, plain)
with open(stamp, 'w', encoding='ascii') as f:
    f.write('%d\n' % len(files))
