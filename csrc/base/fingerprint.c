/* fingerprint.c: four streams of words are mixed as in xxHash (Collet 2014), and then together. */
#include "base/fingerprint.h"

#include <string.h>

enum { STREAMS = 4 };

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static uint64_t mix(uint64_t state, uint64_t word)
{
    return rotate(state + word * 0xC2B2AE3D27D4EB4Fu, 31) * 0x9E3779B185EBCA87u;
}

uint64_t gc_fingerprint(const void *data, size_t bytes, uint64_t start)
{
    const unsigned char *at = data;
    uint64_t state[STREAMS], words[STREAMS];
    for (uint64_t i = 0; i < STREAMS; i++)
        state[i] = mix(start, i);
    size_t left = bytes;
    for (; left >= sizeof words; left -= sizeof words, at += sizeof words) {
        memcpy(words, at, sizeof words);
        for (int i = 0; i < STREAMS; i++)
            state[i] = mix(state[i], words[i]);
    }
    memset(words, 0, sizeof words);
    memcpy(words, at, left);
    uint64_t all = bytes;
    for (int i = 0; i < STREAMS; i++)
        all = mix(all, mix(state[i], words[i]));
    return all ^ all >> 29;
}
