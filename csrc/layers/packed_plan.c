/* packed_plan.c: what packed.c computes in each phase, and the weights for it. */
#include "layers/packed_plan.h"

#include <string.h>

#include "base/threads.h"
#include "base/watch.h"

gc_block_range gc_packed_blocks_of_pair(const gc_packed_plan *p, size_t pair)
{
    const size_t first = pair * 2 * p->lanes;
    const size_t last = gc_min(first + 2 * p->lanes, p->outs * p->conv->groups) - 1;
    return (gc_block_range){.from = first / p->outs * p->ins / p->lanes,
                            .to = gc_divide_up((last / p->outs + 1) * p->ins, p->lanes)};
}

gc_packed_plan gc_packed_plan_of(const gc_conv *c, int backward, gc_shape in, gc_shape out,
                                 gc_engine engine)
{
    gc_packed_plan p = {.conv = c,
                        .engine = engine,
                        .backward = backward,
                        .in = backward ? out : in,
                        .out = backward ? in : out,
                        .ins = (backward ? c->out_channels : c->in_channels) / c->groups,
                        .outs = (backward ? c->in_channels : c->out_channels) / c->groups,
                        .lanes = engine.kernels->width,
                        .phases = backward ? c->stride[0] * c->stride[1] : 1};
    p.pairs = gc_divide_up(p.outs * c->groups, 2 * p.lanes);
    for (size_t pair = 0; pair < p.pairs; pair++) {
        const gc_block_range b = gc_packed_blocks_of_pair(&p, pair);
        p.blocks = b.to - b.from > p.blocks ? b.to - b.from : p.blocks;
    }
    return p;
}

/* Along one direction d of the map: the taps t = first, first + every, ... with
 * (origin + padding - t dilation) divisible by the stride. */
static void find_taps(const gc_conv *c, int d, gc_phase *f)
{
    const size_t stride = c->stride[d], dilation = c->dilation[d];
    const size_t start = f->origin[d] + c->padding[d][0];
    f->every[d] = stride / gc_common_divisor(stride, dilation);
    f->first[d] = 0;
    while (f->first[d] < f->every[d] && start % stride != f->first[d] * dilation % stride)
        f->first[d]++;
    f->count[d] = f->first[d] == f->every[d] || f->first[d] >= c->kernel[d]
                      ? 0
                      : gc_divide_up(c->kernel[d] - f->first[d], f->every[d]);
}

gc_phase gc_packed_phase(const gc_packed_plan *p, size_t number)
{
    const gc_conv *c = p->conv;
    if (!p->backward)
        return (gc_phase){.height = p->out.height,
                          .width = p->out.width,
                          .count = {c->kernel[0], c->kernel[1]},
                          .every = {1, 1}};
    gc_phase f = {.origin = {number / c->stride[1], number % c->stride[1]}};
    f.height = p->out.height <= f.origin[0]
                   ? 0
                   : gc_divide_up(p->out.height - f.origin[0], c->stride[0]);
    f.width = p->out.width <= f.origin[1]
                  ? 0
                  : gc_divide_up(p->out.width - f.origin[1], c->stride[1]);
    find_taps(c, 0, &f);
    find_taps(c, 1, &f);
    return f;
}

/* ---- Weights ---------------------------------------------------------------------------- */

size_t gc_packed_floats(const gc_conv *conv, int backward, gc_engine engine)
{
    const gc_shape none = {0};
    const gc_packed_plan p = gc_packed_plan_of(conv, backward, none, none, engine);
    return p.pairs * gc_packed_panel_floats(&p, conv->kernel[0] * conv->kernel[1]);
}

typedef struct packing {
    gc_packed_plan plan;
    gc_phase phase;
    const float *weight;
    float *w;
} packing;

static size_t element_of_tap(const packing *k, size_t tap)
{
    return gc_phase_row(&k->phase, tap) * k->plan.conv->kernel[1] + gc_phase_column(&k->phase, tap);
}

/* The weights of one kernel element, of an input channel and the outputs of a pair. */
static void pack_row(const packing *k, size_t pair, size_t channel, size_t element, float *w)
{
    const gc_packed_plan *p = &k->plan;
    const size_t elements = p->conv->kernel[0] * p->conv->kernel[1];
    const size_t group = channel / p->ins, c = channel % p->ins;
    memset(w, 0, 2 * p->lanes * sizeof *w);
    if (group >= p->conv->groups)
        return;
    const size_t first = pair * 2 * p->lanes;
    const size_t begin = first > group * p->outs ? first : group * p->outs;
    const size_t end = gc_min(first + 2 * p->lanes, (group + 1) * p->outs);
    for (size_t o = begin; o < end; o++) {
        const size_t row = p->backward ? channel * p->outs + o % p->outs : o * p->ins + c;
        w[o - first] = k->weight[row * elements + element];
    }
}

static void pack_part(void *argument, size_t pair, size_t worker)
{
    (void)worker;
    const packing *k = argument;
    const gc_packed_plan *p = &k->plan;
    const size_t taps = gc_phase_taps(&k->phase);
    float *w = k->w + pair * gc_packed_panel_floats(p, taps);
    const gc_block_range blocks = gc_packed_blocks_of_pair(p, pair);
    for (size_t block = blocks.from; block < blocks.to && !gc_should_stop(); block++)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t lane = 0; lane < p->lanes; lane++, w += 2 * p->lanes)
                pack_row(k, pair, block * p->lanes + lane, element_of_tap(k, tap), w);
}

void gc_packed_weights(const gc_conv *conv, const float *weight, int backward, gc_engine engine,
                       float *w)
{
    const gc_shape none = {0};
    packing k = {.plan = gc_packed_plan_of(conv, backward, none, none, engine),
                 .weight = weight,
                 .w = w};
    memset(w, 0, gc_packed_floats(conv, backward, engine) * sizeof *w);
    for (size_t number = 0; number < k.plan.phases; number++) {
        k.phase = gc_packed_phase(&k.plan, number);
        gc_parallel(engine.workers, k.plan.pairs, pack_part, &k);
        k.w += k.plan.pairs * gc_packed_panel_floats(&k.plan, gc_phase_taps(&k.phase));
    }
}
