/* fingerprint.c: four streams of words are mixed as in xxHash (Collet 2014), and then together. */
#include "base/fingerprint.h"

#include <string.h>

#include "base/threads.h"
#include "gradcam.h"

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

typedef struct pieces {
    const unsigned char *data;
    size_t piece, count, share; /* share: pieces of a part */
    const size_t *numbers;
    uint64_t *fingerprints;
} pieces;

static void some_pieces(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const pieces *p = argument;
    const size_t first = part * p->share, left = p->count - first;
    for (size_t i = first; i < first + (left < p->share ? left : p->share); i++)
        p->fingerprints[i] = gc_fingerprint(p->data + p->numbers[i] * p->piece, p->piece, 0);
}

void gc_fingerprint_pieces(const void *data, size_t piece, size_t count, const size_t *numbers,
                           uint64_t *fingerprints)
{
    enum { PART = 1 << 20 }; /* bytes of a part, about */
    pieces p = {.data = data,
                .piece = piece,
                .count = count,
                .share = piece < PART ? PART / piece : 1,
                .numbers = numbers,
                .fingerprints = fingerprints};
    gc_parallel((size_t)gc_threads(), (count + p.share - 1) / p.share, some_pieces, &p);
}
