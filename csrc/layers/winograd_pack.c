/* winograd_pack.c: the transformed weights U of a 3x3 convolution, [k / 2W][xi][c][2W], where c and
 * k are filled up with zeros.
 *
 * Each direction, and each width of vector, has its own: the gradient with respect to the input is
 * a convolution too, of the output's gradient with the kernels rotated by half a turn and the roles
 * of the channels exchanged. */
#include "layers/winograd_pack.h"

#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/winograd.h"

enum {
    PRODUCTS = GC_WINOGRAD_PRODUCTS,
    TAPS = GC_WINOGRAD_TAPS,
    SHARE = 64, /* input channels of a part, a multiple of every width */
    WIDEST = 16 /* vector, in floats */
};

typedef struct packing {
    const gc_kernels *kernels;
    const float *weight;
    gc_winograd_kernels source; /* except the outputs of the last block */
    size_t in, out;             /* channels */
    size_t channels, lanes;     /* input channels, filled up to whole vectors; outputs of a block */
    size_t shares;              /* parts of a block */
    float *u;
} packing;

/* Some input channels of one block of output channels. */
static void pack_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const packing *p = argument;
    const size_t block = part / p->shares, first = part % p->shares * SHARE;
    const size_t left = p->out - block * p->lanes, plane = p->channels * p->lanes;
    const size_t end = gc_min(first + SHARE, p->channels);
    const size_t last = gc_min(end, p->in); /* zeros from this channel to the end of a vector */
    gc_winograd_kernels source = p->source;
    source.outputs = gc_min(left, p->lanes);
    float *u = p->u + block * PRODUCTS * plane;
    p->kernels->winograd_weights(
        &source, last - first,
        p->weight + block * p->lanes * source.output_step + first * source.channel_step, plane,
        u + first * p->lanes);
    for (size_t xi = 0; xi < PRODUCTS && last < end; xi++)
        memset(u + xi * plane + last * p->lanes, 0, (end - last) * p->lanes * sizeof *u);
}

static packing make_packing(const gc_conv *conv, const float *weight, gc_engine engine,
                            int backward)
{
    const size_t in = gc_winograd_inputs(conv, backward), width = engine.kernels->width;
    const size_t channels = gc_divide_up(in, width) * width;
    const size_t of_row = TAPS, of_column = conv->in_channels * TAPS;
    return (packing){.kernels = engine.kernels,
                     .weight = weight,
                     .source = {.output_step = backward ? of_row : of_column,
                                .channel_step = backward ? of_column : of_row,
                                .rotated = backward},
                     .in = in,
                     .out = gc_winograd_outputs(conv, backward),
                     .channels = channels,
                     .lanes = 2 * width,
                     .shares = gc_divide_up(channels, SHARE)};
}

size_t gc_winograd_pack_floats(const gc_conv *conv, gc_engine engine, int backward)
{
    const packing p = make_packing(conv, NULL, engine, backward);
    return gc_divide_up(p.out, p.lanes) * PRODUCTS * p.channels * p.lanes;
}

void gc_winograd_pack(const gc_conv *conv, const float *weight, gc_engine engine, int backward,
                      float *u)
{
    packing p = make_packing(conv, weight, engine, backward);
    p.u = u;
    gc_parallel(engine.workers, gc_divide_up(p.out, p.lanes) * p.shares, pack_part, &p);
}

/* The sample is the transformed kernels of one input channel of each block. */
int gc_winograd_pack_fits(const gc_conv *conv, const float *weight, gc_engine engine,
                          int backward, const float *u)
{
    _Alignas(GC_ALIGNMENT) float row[PRODUCTS * 2 * WIDEST];
    const packing p = make_packing(conv, weight, engine, backward);
    const size_t plane = p.channels * p.lanes;
    for (size_t block = 0; block * p.lanes < p.out; block++, u += PRODUCTS * plane) {
        const size_t c = (block + 1) * 61 % p.in, left = p.out - block * p.lanes;
        gc_winograd_kernels source = p.source;
        source.outputs = gc_min(left, p.lanes);
        const float *first =
            p.weight + block * p.lanes * source.output_step + c * source.channel_step;
        p.kernels->winograd_weights(&source, 1, first, p.lanes, row);
        for (size_t xi = 0; xi < PRODUCTS; xi++)
            if (memcmp(u + xi * plane + c * p.lanes, row + xi * p.lanes, p.lanes * sizeof *u) != 0)
                return 0;
    }
    return 1;
}
