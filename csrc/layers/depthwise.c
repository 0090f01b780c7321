/* depthwise.c: running the kernels of kernels/depthwise.c over maps, in parallel.
 *
 * A part is a band of rows of one block of channels of one image, or several whole blocks if these
 * are small. The weights are few: each part rearranges those of its blocks for the kernels.
 *
 * In many networks a 1x1 convolution and a ReLU before it make many channels of few. It can stream
 * that convolution: a part is then a band of rows of all channels of one image. Two blocks of
 * channels at a time, the rows that the band reads are computed into a strip, which stays in the
 * second cache, and then the band is computed from it. Rows that two bands read are computed
 * twice. */
#include "layers/depthwise.h"

#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/packed.h"

enum {
    PART = 1 << 14,           /* products of a tap and a vector of a part, about */
    BAND_BYTES = 256 << 10,   /* of the packed inputs and the strip of a streamed band, about */
    STREAMED_BYTES = 256 << 10, /* of a map between two layers, at least, that is not stored */
    MIN_STREAMED_ROWS = 8     /* of a band, for each row that is computed twice; or all rows */
};

int gc_depthwise_applies(const gc_conv *c, gc_engine engine)
{
    return c->groups > 1 && c->groups == c->in_channels && c->groups == c->out_channels
           && !engine.kernels->is_reference;
}

/* What a direction works on, and its scratch memory: all taps, the weights' order, and the weights
 * and biases of one block for each worker. */
typedef struct depthwise_run {
    gc_engine engine;
    gc_depthwise maps;
    size_t taps, phases[2];     /* phases: those that have outputs */
    size_t planes;              /* blocks of all images */
    size_t bands, rows, share;  /* of a plane; rows of a band; planes of a part */
    gc_taps *taps_of[2];        /* [phases] of each axis */
    size_t *axis_order[2];      /* [kernel] the taps of each axis, phase by phase */
    size_t *order;              /* [taps] those of both */
    float *blocks;              /* [workers][taps + 1][W] */
    int backward;
    const gc_layer *layer;
    const float *from;
    float *to;
    int relu;
    float limit;                /* forward: of the ReLU */
    unsigned masks;               /* backward */
    uint8_t *bits;
    size_t recorded;            /* backward: image i belongs to image i % recorded of the bits */
    const gc_packed_source *source; /* the streamed layer, or NULL */
    gc_blocked strip;           /* of its output */
} depthwise_run;

static depthwise_run make_run(const gc_conv *c, int backward, gc_shape in, gc_shape out,
                              gc_engine engine)
{
    depthwise_run r = {.engine = engine,
                       .maps = {.in = gc_blocked_of(backward ? out : in, engine),
                                .out = gc_blocked_of(backward ? in : out, engine),
                                .kernel_width = c->kernel[1]},
                       .taps = c->kernel[0] * c->kernel[1],
                       .backward = backward};
    const size_t outputs[2] = {r.maps.out.height, r.maps.out.width};
    for (int d = 0; d < 2; d++) {
        r.maps.stride[d] = backward ? 1 : c->stride[d];
        r.maps.phases[d] = backward ? c->stride[d] : 1;
        r.phases[d] = gc_min(r.maps.phases[d], outputs[d]);
    }
    return r;
}

static size_t block_floats(const depthwise_run *r)
{
    return (r->taps + 1) * r->engine.kernels->width;
}

static size_t scratch_bytes(const depthwise_run *r, const gc_conv *conv)
{
    const size_t bytes = (r->phases[0] + r->phases[1]) * sizeof(gc_taps)
                         + (conv->kernel[0] + conv->kernel[1] + r->taps) * sizeof(size_t)
                         + r->engine.workers * block_floats(r) * sizeof(float);
    return gc_aligned(bytes); /* a streamed layer's is behind it */
}

size_t gc_depthwise_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                                  gc_engine engine)
{
    const depthwise_run r = make_run(conv, backward, in, out, engine);
    return scratch_bytes(&r, conv);
}

/* The taps of axis d, phase by phase. Backward, tap k of input i belongs to the output
 * (i + padding - k dilation) / stride, where this is whole: of a phase, to every (stride / g)-th
 * tap, g the greatest common divisor of stride and dilation. They are taken from the last one on,
 * so that the outputs ascend. */
static void find_taps(depthwise_run *r, const gc_conv *c, int d)
{
    const size_t kernel = c->kernel[d], stride = c->stride[d], dilation = c->dilation[d];
    const ptrdiff_t padding = (ptrdiff_t)c->padding[d][0];
    size_t *order = r->axis_order[d];
    if (!r->backward) {
        r->maps.dilation[d] = dilation;
        r->taps_of[d][0] = (gc_taps){.count = kernel, .first = -padding};
        for (size_t k = 0; k < kernel; k++)
            order[k] = k;
        return;
    }
    r->maps.dilation[d] = dilation / gc_common_divisor(stride, dilation);
    size_t before = 0;
    for (size_t phase = 0; phase < r->phases[d]; phase++) {
        gc_taps *taps = &r->taps_of[d][phase];
        *taps = (gc_taps){.before = before};
        for (size_t k = kernel; k-- > 0;) {
            const ptrdiff_t scaled = (ptrdiff_t)phase + padding - (ptrdiff_t)(k * dilation);
            if (scaled % (ptrdiff_t)stride != 0)
                continue;
            if (taps->count++ == 0)
                taps->first = scaled / (ptrdiff_t)stride;
            order[before++] = k;
        }
    }
}

/* The taps of both axes: in each vertical phase all horizontal ones. Backward, a map of fewer rows
 * than the stride leaves out phases, and the taps of these: their places name the first tap, whose
 * weights there are not used. */
static void find_order(depthwise_run *r)
{
    size_t *order = r->order;
    memset(order, 0, r->taps * sizeof *order);
    for (size_t a = 0; a < r->phases[0]; a++)
        for (size_t b = 0; b < r->phases[1]; b++) {
            const gc_taps *rows = &r->taps_of[0][a], *columns = &r->taps_of[1][b];
            for (size_t i = 0; i < rows->count; i++)
                for (size_t j = 0; j < columns->count; j++)
                    *order++ = r->axis_order[0][rows->before + i] * r->maps.kernel_width
                               + r->axis_order[1][columns->before + j];
        }
}

/* Divide the scratch memory, find the taps and the parts. */
static void prepare(depthwise_run *r, const gc_layer *layer, size_t count, void *scratch)
{
    const gc_conv *c = &layer->conv;
    r->layer = layer;
    r->taps_of[0] = scratch;
    r->taps_of[1] = r->taps_of[0] + r->phases[0];
    r->axis_order[0] = (size_t *)(r->taps_of[1] + r->phases[1]);
    r->axis_order[1] = r->axis_order[0] + c->kernel[0];
    r->order = r->axis_order[1] + c->kernel[1];
    r->blocks = (float *)(r->order + r->taps);
    for (int d = 0; d < 2; d++) {
        find_taps(r, c, d);
        r->maps.taps[d] = r->taps_of[d];
    }
    find_order(r);
    const gc_blocked *out = &r->maps.out, *smaller = r->backward ? &r->maps.in : out;
    const size_t products = smaller->height * smaller->width * r->taps;
    r->planes = count * out->blocks;
    r->rows = gc_even_share(out->height, gc_divide_up(out->height, gc_divide_up(products, PART)));
    r->bands = gc_divide_up(out->height, r->rows);
    r->share = r->bands > 1 ? 1 : PART / products + 1;
}

/* Rows first .. end of a plane, from x. */
static void run_rows(const depthwise_run *r, const gc_depthwise *m, const float *x, size_t plane,
                     size_t first, size_t end, float *memory)
{
    const gc_kernels *kernels = r->engine.kernels;
    const size_t lanes = kernels->width, block = plane % m->out.blocks;
    const size_t channel = block * lanes;
    const size_t channels = gc_min(r->layer->conv.in_channels - channel, lanes);
    float *y = r->to + plane * gc_blocked_plane(&m->out, lanes), *bias = memory + r->taps * lanes;
    size_t image = plane / m->out.blocks;
    if (r->backward)
        image %= r->recorded;
    uint8_t *bits = r->bits == NULL ? NULL
                                    : r->bits
                                          + gc_record_index(m->out.blocks, m->out.height,
                                                            m->out.width, image, block, 0, 0)
                                                * gc_mask_bytes(r->engine);
    kernels->depthwise_weights(r->taps, r->order, channels,
                               r->layer->weight + channel * r->taps, memory);
    if (r->backward) {
        kernels->depthwise_backward(m, first, end, memory, x, y, r->relu, r->masks, bits);
        return;
    }
    for (size_t i = 0; i < lanes; i++)
        bias[i] = r->layer->bias == NULL || i >= channels ? 0.0f : r->layer->bias[channel + i];
    kernels->depthwise_forward(m, first, end, memory, bias, x, y, r->relu, r->limit, bits);
}

static void run_part(void *argument, size_t part, size_t worker)
{
    const depthwise_run *r = argument;
    float *memory = r->blocks + worker * block_floats(r);
    const size_t first = part / r->bands * r->share, row = part % r->bands * r->rows;
    const size_t end = gc_min(first + r->share, r->planes);
    const size_t floats = gc_blocked_plane(&r->maps.in, r->engine.kernels->width);
    for (size_t plane = first; plane < end; plane++)
        run_rows(r, &r->maps, r->from + plane * floats, plane, row,
                 gc_min(row + r->rows, r->maps.out.height), memory);
}

static void run(depthwise_run *r)
{
    gc_parallel(r->engine.workers, gc_divide_up(r->planes, r->share) * r->bands, run_part, r);
}

/* ---- A streamed convolution before it ---------------------------------------------------- */

/* Rows of the input under one output. */
static size_t kernel_rows(const gc_conv *c)
{
    return (c->kernel[0] - 1) * c->dilation[0] + 1;
}

/* The maximum number of rows of a band, so that its memory fits; 0: not even one. */
static size_t max_band(const gc_conv *c, const gc_conv *streamed, gc_shape from, gc_shape in,
                       gc_shape out, gc_engine engine)
{
    const size_t rows = BAND_BYTES / gc_packed_row_bytes(streamed, from, in, engine);
    return rows < kernel_rows(c) ? 0
                                 : gc_min((rows - kernel_rows(c)) / c->stride[0] + 1, out.height);
}

/* The maximum number of rows of the strip for bands of so many rows: those that the band reads, and
 * fewer than a stride that no output reads. */
static size_t strip_rows(const gc_conv *c, size_t band, gc_shape in)
{
    const size_t rows = kernel_rows(c), stride = c->stride[0];
    return gc_min(band * stride + (rows > stride ? rows : stride), in.height);
}

size_t gc_depthwise_streaming_bytes(const gc_conv *c, const gc_conv *streamed, gc_shape from,
                                    gc_shape in, gc_shape out, gc_engine engine)
{
    const size_t band = max_band(c, streamed, from, in, out, engine);
    const size_t twice = kernel_rows(c) > c->stride[0] ? kernel_rows(c) - c->stride[0] : 0;
    if (gc_map_floats(in, GC_BLOCKED, engine) * sizeof(float) < STREAMED_BYTES || band == 0
        || (band < out.height && band * c->stride[0] < MIN_STREAMED_ROWS * twice))
        return 0;
    return gc_packed_source_bytes(streamed, from, in, strip_rows(c, band, in), engine);
}

/* The row after the last one that the output rows before `row` read. */
static size_t rows_before(const depthwise_run *r, size_t row)
{
    const gc_conv *c = &r->layer->conv;
    const size_t padded = row == 0 ? 0 : (row - 1) * c->stride[0] + kernel_rows(c);
    const size_t end = padded > c->padding[0][0] ? padded - c->padding[0][0] : 0;
    return row == r->maps.out.height ? r->maps.in.height : gc_min(end, r->maps.in.height);
}

/* The rows of the streamed map for the output rows first .. end. All rows of the map belong to one
 * band each, which records their bits, even those that no output reads. */
static gc_source_rows rows_of_band(const depthwise_run *r, size_t image, size_t first, size_t end)
{
    const gc_conv *c = &r->layer->conv;
    const size_t padded = first * c->stride[0];
    const size_t read = padded > c->padding[0][0] ? padded - c->padding[0][0] : 0;
    const size_t own = rows_before(r, first);
    return (gc_source_rows){.image = image,
                            .begin = gc_min(read, own),
                            .own = own,
                            .end = rows_before(r, end)};
}

static void streamed_part(void *argument, size_t part, size_t worker)
{
    const depthwise_run *r = argument;
    const size_t image = part / r->bands, first = part % r->bands * r->rows;
    const size_t end = gc_min(first + r->rows, r->maps.out.height);
    const size_t blocks = r->maps.out.blocks, lanes = r->engine.kernels->width;
    const gc_source_rows rows = rows_of_band(r, image, first, end);
    float *memory = r->blocks + worker * block_floats(r);
    gc_taps vertical = r->taps_of[0][0];
    vertical.first -= (ptrdiff_t)rows.begin;
    gc_depthwise of_strip = r->maps; /* whose input is the strip */
    of_strip.in = r->strip;
    of_strip.in.height = rows.end - rows.begin;
    of_strip.taps[0] = &vertical;
    const float *strip = NULL;
    gc_packed_source_begin(r->source, worker, &rows);
    for (size_t block = 0; block < blocks && !gc_should_stop(); block++) {
        if (block % 2 == 0)
            strip = gc_packed_source_rows(r->source, worker, &rows, block / 2);
        run_rows(r, &of_strip, strip + block % 2 * gc_blocked_plane(&r->strip, lanes),
                 image * blocks + block, first, end, memory);
    }
}

/* Divide the rows into bands, the same number for each thread if possible. */
static void run_streamed(depthwise_run *r, const gc_forward_step *step, const float *w)
{
    const gc_streamed *streamed = &step->fused.streamed;
    const gc_conv *c = &r->layer->conv;
    const gc_engine engine = r->engine;
    const size_t height = r->maps.out.height;
    const size_t most =
        max_band(c, &streamed->layer->conv, streamed->from, step->in[0], step->out, engine);
    const size_t rows = strip_rows(c, most, step->in[0]);
    r->bands = gc_divide_up(height, most);
    while (r->bands < height && step->count * r->bands % engine.workers != 0)
        r->bands++;
    r->rows = gc_divide_up(height, r->bands);
    r->bands = gc_divide_up(height, r->rows);
    r->strip = gc_packed_strip(step->in[0], rows, engine);
    r->source = gc_packed_stream(streamed, step->in[0], rows, step->x[0], w, engine,
                                 (char *)step->scratch + scratch_bytes(r, c));
    gc_parallel(engine.workers, step->count * r->bands, streamed_part, r);
}

void gc_depthwise_forward(const gc_layer *layer, const gc_forward_step *step,
                          const float *streamed_w)
{
    depthwise_run r = make_run(&layer->conv, 0, step->in[0], step->out, step->engine);
    prepare(&r, layer, step->count, step->scratch);
    r.from = step->x[0];
    r.to = step->y;
    r.relu = step->fused.relu;
    r.limit = step->fused.limit;
    r.bits = step->fused.bits;
    if (step->fused.streamed.layer != NULL)
        run_streamed(&r, step, streamed_w);
    else
        run(&r);
}

void gc_depthwise_backward(const gc_layer *layer, const gc_backward_step *step)
{
    depthwise_run r = make_run(&layer->conv, 1, step->in[0], step->out, step->engine);
    prepare(&r, layer, step->count, step->scratch);
    r.from = step->dy;
    r.to = step->dx[0];
    r.relu = step->fused.relu;
    r.masks = step->masks;
    r.bits = step->fused.bits;
    r.recorded = step->batch;
    run(&r);
}
