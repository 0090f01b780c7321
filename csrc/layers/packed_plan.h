/* packed_plan.h: how packed.c computes a convolution or its gradient: which channels and taps. */
#ifndef GC_LAYERS_PACKED_PLAN_H
#define GC_LAYERS_PACKED_PLAN_H

#include "layers/packed.h"

/* One grid of positions and the kernel elements that it uses: in each direction of the map the
 * taps first, first + step, ... */
typedef struct gc_phase {
    size_t height, width;    /* of the grid */
    size_t origin[2];        /* of the grid in the maps that are written */
    size_t first[2], count[2], every[2]; /* taps */
} gc_phase;

/* How one direction runs. */
typedef struct gc_packed_plan {
    const gc_conv *conv;
    gc_engine engine;
    int backward;
    gc_shape in, out;        /* of the maps that are read, and written */
    size_t ins, outs;        /* their channels, of one group */
    size_t lanes, pairs;
    size_t blocks;           /* of channels that a pair reads, at most */
    size_t phases;
} gc_packed_plan;

/* Blocks of channels from .. to. */
typedef struct gc_block_range {
    size_t from, to;
} gc_block_range;

/* in, out: of the convolution, in both directions; only weights can be made without them. */
gc_packed_plan gc_packed_plan_of(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                                 gc_engine engine);

/* The blocks of channels that a pair of vectors of outputs reads. */
gc_block_range gc_packed_blocks_of_pair(const gc_packed_plan *plan, size_t pair);

gc_phase gc_packed_phase(const gc_packed_plan *plan, size_t number);

static inline size_t gc_packed_channel_blocks(const gc_packed_plan *p)
{
    return gc_divide_up(p->conv->groups * p->ins, p->lanes);
}

static inline size_t gc_phase_taps(const gc_phase *f)
{
    return f->count[0] * f->count[1];
}

/* The kernel element of a tap. */
static inline size_t gc_phase_row(const gc_phase *f, size_t tap)
{
    return f->first[0] + tap / f->count[1] * f->every[0];
}

static inline size_t gc_phase_column(const gc_phase *f, size_t tap)
{
    return f->first[1] + tap % f->count[1] * f->every[1];
}

/* Floats of the weights of a pair in one phase. */
static inline size_t gc_packed_panel_floats(const gc_packed_plan *p, size_t taps)
{
    return p->blocks * taps * p->lanes * 2 * p->lanes;
}

#endif
