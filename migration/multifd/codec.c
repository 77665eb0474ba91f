/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of codecs, by multifd-compression; constant. */
#include "migration/multifd/codec.h"

#include "config-host.h"
#include "qapi/qapi-types.h"

static const MultifdCodec *const codecs[] = {
    [MULTI_FD_COMPRESSION_NONE] = &multifd_codec_none,
    [MULTI_FD_COMPRESSION_ZLIB] = &multifd_codec_zlib,
#ifdef CONFIG_ZSTD
    [MULTI_FD_COMPRESSION_ZSTD] = &multifd_codec_zstd,
#endif
};

const MultifdCodec *multifd_codec(int method)
{
    g_assert(method >= 0 && method < (int)G_N_ELEMENTS(codecs) && codecs[method]);
    return codecs[method];
}
