/* direct.c: running the kernels of kernels/direct.c over maps, in parallel.
 *
 * A thread computes a strip of rows. Forward it copies the input rows of its strip, with the
 * padding around them, and then computes whole rows of output. Backward it computes the taps of the
 * output rows that touch its strip of the input, and adds those of each pixel. The taps of output
 * rows that touch two strips are computed twice, so that no two threads write one pixel. The
 * weights are few: they are rearranged for the kernels at each run.
 *
 * If a Winograd convolution alone reads the output, through a ReLU, it can stream this layer: it
 * computes the rows that it needs, one row of tiles at a time, and the map is never stored. */
#include "layers/direct.h"

#include <string.h>

#include "base/threads.h"
#include "base/watch.h"
#include "layers/blocked.h"

enum { FEW_CHANNELS = 8, MIN_OUTPUTS = 8, MAX_TAPS = 1024, STRIP = 8 };

int gc_direct_applies(const gc_conv *c, gc_engine engine)
{
    return c->groups == 1 && c->in_channels < FEW_CHANNELS && c->out_channels >= MIN_OUTPUTS
           && c->in_channels * c->kernel[0] * c->kernel[1] <= MAX_TAPS
           && !engine.kernels->is_reference;
}

/* The sizes of the scratch memory, in floats; `rows` and `sums` are per worker. */
typedef struct direct_plan {
    const gc_conv *conv;
    gc_engine engine;
    gc_shape in;
    gc_blocked out;
    size_t taps;
    size_t pairs, tap_pairs;   /* pairs of vectors that hold the outputs, the taps */
    size_t padded_width;       /* of an input row */
    size_t strip_rows;         /* forward: input rows of a strip; backward: output rows */
    size_t weights, bias;
    size_t rows;               /* a worker: the strip's rows, or their taps */
    size_t sums;               /* a worker, backward: one input row of each channel */
} direct_plan;

static direct_plan make_plan(const gc_conv *c, int backward, gc_shape in, gc_shape out,
                             size_t strip, gc_engine engine)
{
    const size_t lanes = engine.kernels->width;
    direct_plan p = {.conv = c,
                     .engine = engine,
                     .in = in,
                     .out = gc_blocked_of(out, engine),
                     .taps = c->in_channels * c->kernel[0] * c->kernel[1],
                     .pairs = gc_divide_up(c->out_channels, 2 * lanes),
                     .padded_width = in.width + c->padding[1][0] + c->padding[1][1]};
    const size_t covered = (c->kernel[0] - 1) * c->dilation[0] + 1;
    p.tap_pairs = gc_divide_up(p.taps, 2 * lanes);
    if (backward) {
        p.strip_rows = (strip - 1 + covered - 1) / c->stride[0] + 1;
        p.weights = p.tap_pairs * p.out.blocks * lanes * 2 * lanes;
        p.rows = p.strip_rows * out.width * p.tap_pairs * 2 * lanes;
        p.sums = c->in_channels * p.padded_width;
    } else {
        p.strip_rows = (strip - 1) * c->stride[0] + covered;
        p.weights = p.pairs * p.taps * 2 * lanes;
        p.bias = p.pairs * 2 * lanes;
        p.rows = c->in_channels * p.strip_rows * p.padded_width;
    }
    return p;
}

static size_t plan_bytes(const direct_plan *p)
{
    return p->taps * sizeof(size_t)
           + (p->weights + p->bias + p->engine.workers * (p->rows + p->sums)) * sizeof(float);
}

size_t gc_direct_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                               gc_engine engine)
{
    const direct_plan p = make_plan(conv, backward, in, out, STRIP, engine);
    return plan_bytes(&p);
}

typedef struct direct_run {
    direct_plan plan;
    size_t strips; /* of one image */
    size_t *offsets;
    float *weights, *bias, *rows, *sums;
    const float *from;
    float *to;
    int relu;
    float limit;
    uint8_t *bits;
} direct_run;

static direct_run make_run(direct_plan p, void *scratch)
{
    direct_run r = {.plan = p, .offsets = scratch};
    r.weights = (float *)(r.offsets + p.taps);
    r.bias = r.weights + p.weights;
    r.rows = r.bias + p.bias;
    r.sums = r.rows + p.engine.workers * p.rows;
    return r;
}

/* ---- Forward ----------------------------------------------------------------------------- */

/* [pair][tap][2W], and the bias likewise, filled up with zeros. */
static void lay_out_forward(const direct_run *r, const gc_layer *layer)
{
    const direct_plan *p = &r->plan;
    const gc_conv *c = p->conv;
    const size_t lanes = 2 * p->engine.kernels->width;
    memset(r->weights, 0, (p->weights + p->bias) * sizeof(float));
    for (size_t k = 0; k < c->out_channels; k++) {
        float *to = r->weights + k / lanes * p->taps * lanes + k % lanes;
        for (size_t t = 0; t < p->taps; t++)
            to[t * lanes] = layer->weight[k * p->taps + t];
        r->bias[k] = layer->bias == NULL ? 0.0f : layer->bias[k];
    }
    for (size_t t = 0; t < p->taps; t++) {
        const size_t kx = t % c->kernel[1], ky = t / c->kernel[1] % c->kernel[0];
        const size_t channel = t / (c->kernel[0] * c->kernel[1]);
        r->offsets[t] = (channel * p->strip_rows + ky * c->dilation[0]) * p->padded_width
                        + kx * c->dilation[1];
    }
}

/* The input rows of a strip that begins with output row `first`, with their padding. */
static void copy_rows(const direct_run *r, size_t image, size_t first, float *rows)
{
    const direct_plan *p = &r->plan;
    const size_t left = p->conv->padding[1][0], width = p->in.width;
    const size_t plane = p->in.height * width;
    for (size_t c = 0; c < p->in.channels; c++)
        for (size_t i = 0; i < p->strip_rows; i++, rows += p->padded_width) {
            const size_t padded = first * p->conv->stride[0] + i;
            memset(rows, 0, p->padded_width * sizeof *rows);
            if (padded >= p->conv->padding[0][0] && padded - p->conv->padding[0][0] < p->in.height)
                memcpy(rows + left,
                       r->from + (image * p->in.channels + c) * plane
                           + (padded - p->conv->padding[0][0]) * width,
                       width * sizeof *rows);
        }
}

/* One row of output from the input rows that it needs: to row `row` of blocks of `block_rows`. */
static void forward_row(const direct_run *r, size_t image, size_t y, const float *rows, float *to,
                        size_t row, size_t block_rows, uint8_t *bits)
{
    const direct_plan *p = &r->plan;
    const gc_blocked *out = &p->out;
    const size_t lanes = p->engine.kernels->width, mask_bytes = gc_mask_bytes(p->engine);
    const gc_direct direct = {.taps = p->taps, .stride = p->conv->stride[1], .offsets = r->offsets};
    for (size_t pair = 0; pair < p->pairs; pair++) {
        const size_t block = 2 * pair;
        const int second = block + 1 < out->blocks;
        p->engine.kernels->direct_forward(
            &direct, out->width, rows, r->weights + pair * p->taps * 2 * lanes,
            r->bias + pair * 2 * lanes,
            to + ((block * block_rows + row) * out->columns + 1) * lanes,
            second ? block_rows * out->columns * lanes : 0, r->relu, r->limit,
            bits == NULL ? NULL
                         : bits + gc_record_index(out->blocks, out->height, out->width, image,
                                                  block, y, 0)
                                      * mask_bytes,
            out->height * out->width * mask_bytes);
    }
}

static void forward_strip(void *argument, size_t part, size_t worker)
{
    const direct_run *r = argument;
    const direct_plan *p = &r->plan;
    const gc_blocked *out = &p->out;
    const size_t image = part / r->strips, first = part % r->strips * STRIP;
    const size_t end = gc_min(first + STRIP, out->height);
    const size_t map = out->blocks * gc_blocked_plane(out, p->engine.kernels->width);
    float *rows = r->rows + worker * p->rows;
    copy_rows(r, image, first, rows);
    for (size_t y = first; y < end && !gc_should_stop(); y++)
        forward_row(r, image, y, rows + (y - first) * p->conv->stride[0] * p->padded_width,
                    r->to + image * map, y + 1, out->rows, r->bits);
}

void gc_direct_forward(const gc_layer *layer, const gc_forward_step *step)
{
    direct_run r =
        make_run(make_plan(&layer->conv, 0, step->in[0], step->out, STRIP, step->engine),
                 step->scratch);
    const gc_blocked *out = &r.plan.out;
    lay_out_forward(&r, layer);
    r.from = step->x[0];
    r.to = step->y;
    r.relu = step->fused.relu;
    r.limit = step->fused.limit;
    r.bits = step->fused.bits;
    r.strips = gc_divide_up(out->height, STRIP);
    gc_zero_borders(step->engine, step->count, out, out->height, out->width, step->y);
    gc_parallel(step->engine.workers, step->count * r.strips, forward_strip, &r);
}

/* ---- Streamed by another layer -------------------------------------------------------------- */

struct gc_direct_source {
    direct_run run;
};

size_t gc_direct_source_bytes(const gc_conv *conv, gc_shape in, gc_shape out, gc_engine engine)
{
    const direct_plan p = make_plan(conv, 0, in, out, GC_STREAMED_ROWS, engine);
    return sizeof(gc_direct_source) + plan_bytes(&p);
}

gc_direct_source *gc_direct_stream(const gc_streamed *streamed, gc_shape out, const float *x,
                                   gc_engine engine, void *memory)
{
    gc_direct_source *source = memory;
    source->run =
        make_run(make_plan(&streamed->layer->conv, 0, streamed->from, out, GC_STREAMED_ROWS,
                           engine),
                 source + 1);
    lay_out_forward(&source->run, streamed->layer);
    source->run.from = x;
    source->run.relu = 1;
    source->run.limit = streamed->limit;
    source->run.bits = streamed->bits;
    return source;
}

void gc_direct_rows(const gc_direct_source *source, size_t worker, size_t image, ptrdiff_t first,
                    size_t count, size_t bits_from, size_t bits_to, size_t rows, float *to)
{
    const direct_run *r = &source->run;
    const direct_plan *p = &r->plan;
    const size_t row_floats = p->out.columns * p->engine.kernels->width;
    const size_t begin = first < 0 ? 0 : (size_t)first, above = first < 0 ? (size_t)-first : 0;
    float *taken = r->rows + worker * p->rows;
    copy_rows(r, image, begin, taken);
    for (size_t i = 0; i < count; i++) {
        const size_t y = begin + i - above;
        const int outside = i < above || y >= p->out.height;
        for (size_t block = 0; block < p->out.blocks; block++)
            gc_zero_outside(&p->out, p->engine.kernels->width, outside ? 0 : y + 1,
                            p->out.height, p->out.width, to + (block * rows + i) * row_floats);
        if (!outside)
            forward_row(r, image, y, taken + (y - begin) * p->conv->stride[0] * p->padded_width,
                        to, i, rows, y >= bits_from && y < bits_to ? r->bits : NULL);
    }
}

/* ---- Backward ---------------------------------------------------------------------------- */

/* [pair of taps][channel][2W], filled up with zeros. */
static void lay_out_backward(const direct_run *r, const gc_layer *layer)
{
    const direct_plan *p = &r->plan;
    const size_t lanes = 2 * p->engine.kernels->width;
    const size_t channels = p->out.blocks * p->engine.kernels->width;
    memset(r->weights, 0, p->weights * sizeof(float));
    for (size_t k = 0; k < p->conv->out_channels; k++)
        for (size_t t = 0; t < p->taps; t++)
            r->weights[(t / lanes * channels + k) * lanes + t % lanes] =
                layer->weight[k * p->taps + t];
}

/* The output rows [*begin, *end) that touch input rows first .. first + STRIP - 1. */
static void touching_rows(const direct_plan *p, size_t first, size_t *begin, size_t *end)
{
    const gc_conv *c = p->conv;
    const size_t before = (c->kernel[0] - 1) * c->dilation[0]; /* rows above that a tap reaches */
    const size_t top = first + c->padding[0][0];
    const size_t last = top + STRIP - 1;
    *begin = top > before ? gc_divide_up(top - before, c->stride[0]) : 0;
    *end = last / c->stride[0] + 1;
    *end = *end < p->out.height ? *end : p->out.height;
    *begin = *begin < *end ? *begin : *end;
}

/* Add the taps of one output row in kernel row ky to the sums of an input row. */
static void add_taps(const direct_plan *p, const float *taps, size_t ky, float *sums)
{
    const gc_conv *c = p->conv;
    const size_t stride = p->tap_pairs * 2 * p->engine.kernels->width;
    for (size_t x = 0; x < p->out.width; x++, taps += stride)
        for (size_t channel = 0; channel < c->in_channels; channel++) {
            const float *from = taps + (channel * c->kernel[0] + ky) * c->kernel[1];
            float *to = sums + channel * p->padded_width + x * c->stride[1];
            for (size_t kx = 0; kx < c->kernel[1]; kx++)
                to[kx * c->dilation[1]] += from[kx];
        }
}

/* One row of dx from the taps of output rows begin .. end - 1. */
static void gather_row(const direct_plan *p, size_t row, size_t begin, size_t end,
                       const float *taps, float *sums, float *dx)
{
    const gc_conv *c = p->conv;
    const size_t row_floats = p->out.width * p->tap_pairs * 2 * p->engine.kernels->width;
    memset(sums, 0, p->sums * sizeof *sums);
    for (size_t ky = 0; ky < c->kernel[0]; ky++) {
        const size_t padded = row + c->padding[0][0], down = ky * c->dilation[0];
        if (padded < down || (padded - down) % c->stride[0] != 0)
            continue;
        const size_t y = (padded - down) / c->stride[0];
        if (y >= begin && y < end)
            add_taps(p, taps + (y - begin) * row_floats, ky, sums);
    }
    for (size_t channel = 0; channel < c->in_channels; channel++)
        memcpy(dx + channel * p->in.height * p->in.width,
               sums + channel * p->padded_width + c->padding[1][0], p->in.width * sizeof *dx);
}

static void backward_strip(void *argument, size_t part, size_t worker)
{
    const direct_run *r = argument;
    const direct_plan *p = &r->plan;
    const gc_blocked *out = &p->out;
    const size_t lanes = p->engine.kernels->width;
    const size_t image = part / r->strips, first = part % r->strips * STRIP;
    float *taps = r->rows + worker * p->rows, *sums = r->sums + worker * p->sums;
    size_t begin, end;
    touching_rows(p, first, &begin, &end);
    for (size_t y = begin; y < end && !gc_should_stop(); y++)
        p->engine.kernels->direct_backward(
            out->width, out->blocks, gc_blocked_plane(out, lanes), p->tap_pairs,
            r->from + gc_blocked_offset(out, lanes, image * out->blocks, y, 0),
            r->weights, taps + (y - begin) * out->width * p->tap_pairs * 2 * lanes);
    for (size_t row = first; row < first + STRIP && row < p->in.height; row++)
        gather_row(p, row, begin, end, taps, sums,
                   r->to + (image * p->in.channels * p->in.height + row) * p->in.width);
}

void gc_direct_backward(const gc_layer *layer, const gc_backward_step *step)
{
    direct_run r =
        make_run(make_plan(&layer->conv, 1, step->in[0], step->out, STRIP, step->engine),
                 step->scratch);
    lay_out_backward(&r, layer);
    r.from = step->dy;
    r.to = step->dx[0];
    r.strips = gc_divide_up(step->in[0].height, STRIP);
    gc_parallel(step->engine.workers, step->count * r.strips, backward_strip, &r);
}
