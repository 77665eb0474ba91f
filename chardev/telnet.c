/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telnet: commands go out of the text. Called by char-socket; reads and writes nothing. */
#include "chardev/telnet.h"

/* WILL ECHO, SGA, BINARY; DO BINARY */
const uint8_t telnet_hello[TELNET_HELLO_BYTES] = { 255, 251, 1, 255, 251, 3,
                                                   255, 251, 0, 255, 253, 0 };

size_t telnet_filter(Telnet *t, uint8_t *buf, size_t len)
{
    size_t out = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = buf[i];
        switch (t->state) {
        case TELNET_TEXT:
            if (c == 255) {
                t->state = TELNET_IAC;
            } else {
                buf[out++] = c;
            }
            break;
        case TELNET_IAC:
            t->state = c >= 251 && c <= 254 ? TELNET_OPTION /* WILL, WONT, DO, DONT */
                       : c == 250           ? TELNET_SUB
                                            : TELNET_TEXT;
            if (c == 255) {
                buf[out++] = c;
            }
            break;
        case TELNET_OPTION:
            t->state = TELNET_TEXT;
            break;
        case TELNET_SUB:
            t->state = c == 255 ? TELNET_SUB_IAC : TELNET_SUB;
            break;
        case TELNET_SUB_IAC:
            t->state = c == 240 ? TELNET_TEXT : TELNET_SUB;
            break;
        }
    }
    return out;
}
