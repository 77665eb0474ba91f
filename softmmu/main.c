/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main(), and nothing else, so that tests can link everything but it. */
#include "softmmu/vl.h"

int main(int argc, char **argv)
{
    return ferry_main(argc, argv);
}
