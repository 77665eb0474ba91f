/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Before the sections: libvirt's header, the stream's header, the configuration block. */
#ifndef INSPECT_HEAD_H
#define INSPECT_HEAD_H

#include "walker.h"

/** libvirt's header if there is one, the stream's header, the configuration block. */
bool head_read(Walker *w);

#endif
