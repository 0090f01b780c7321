/* conv.c: convolution of any kernel, stride, padding, dilation and groups.
 *
 * 3x3 convolutions of enough channels are computed by winograd.c, convolutions of a picture's few
 * channels by direct.c, depthwise ones by depthwise.c, all others of enough channels by packed.c.
 * The rest are a matrix product over plain maps:
 *
 *     forward   y[k][p] = b[k] + sum_r w[k][r] columns[r][p]        columns = im2col(x)
 *     backward  columns = w^T dy,  dx = col2im(columns)
 *
 * for blocks of output positions p, so that the columns stay in the cache. Forward, each thread
 * computes whole blocks with columns of its own, and applies the bias and a fused ReLU while the
 * block is in the cache. Backward, a pixel belongs to several blocks, so the threads share out the
 * product, and then the channels, of one block after another. A 1x1 kernel of stride 1 without
 * padding needs no columns: its map is the matrix.
 */
#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "kernels/kernels.h"
#include "layers/copy.h"
#include "layers/depthwise.h"
#include "layers/direct.h"
#include "layers/pack.h"
#include "layers/packed.h"
#include "layers/sgemm.h"
#include "layers/unpool.h"
#include "layers/winograd.h"
#include "layers/winograd_pack.h"

/* Positions of a block: as many as fill the columns' share of the cache, within limits, so that the
 * product is large enough for BLAS to be fast and several blocks can be shared out. Multiples
 * of 8, so that blocks begin at whole bytes of the ReLU's bits. */
enum {
    FORWARD_FLOATS = 1 << 20,
    MAX_FORWARD = 4096,
    BACKWARD_FLOATS = 4 << 20,
    MAX_BACKWARD = 16384,
    MIN_BLOCK = 64
};

static gc_window window_of_group(const gc_conv *c, gc_shape in, gc_shape out)
{
    return (gc_window){
        .channels = in.channels / c->groups,
        .height = in.height,
        .width = in.width,
        .kernel = {c->kernel[0], c->kernel[1]},
        .stride = {c->stride[0], c->stride[1]},
        .padding = {c->padding[0][0], c->padding[1][0]},
        .dilation = {c->dilation[0], c->dilation[1]},
        .out_height = out.height,
        .out_width = out.width,
    };
}

static size_t column_rows(const gc_conv *c)
{
    return c->in_channels / c->groups * c->kernel[0] * c->kernel[1];
}

static size_t block_positions(const gc_conv *c, gc_shape out, size_t floats, size_t maximum)
{
    size_t block = floats / column_rows(c) / MIN_BLOCK * MIN_BLOCK;
    block = block < MIN_BLOCK ? MIN_BLOCK : block > maximum ? maximum : block;
    return gc_min(block, gc_positions(out));
}

static size_t forward_block(const gc_conv *c, gc_shape out)
{
    return block_positions(c, out, FORWARD_FLOATS, MAX_FORWARD);
}

static size_t backward_block(const gc_conv *c, gc_shape out)
{
    return block_positions(c, out, BACKWARD_FLOATS, MAX_BACKWARD);
}

static gc_status conv_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                            gc_error *error)
{
    const gc_conv *c = &layer->conv;
    if (in->flat)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "a convolution needs a map, but its input is a vector");
    if (in->channels != c->in_channels)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the weight expects %zu input channels, but the input has %zu",
                       c->in_channels, in->channels);
    size_t size[2] = {in->height, in->width};
    for (int d = 0; d < 2; d++) {
        const size_t covered = c->dilation[d] * (c->kernel[d] - 1) + 1;
        const size_t padded = size[d] + c->padding[d][0] + c->padding[d][1];
        if (padded < covered)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the input of %zu x %zu is smaller than the kernel; the picture is "
                           "too small for this network",
                           in->height, in->width);
        size[d] = (padded - covered) / c->stride[d] + 1;
    }
    *out = (gc_shape){.channels = c->out_channels, .height = size[0], .width = size[1]};
    return GC_OK;
}

typedef enum algorithm { WINOGRAD, DIRECT, DEPTHWISE, PACKED, PRODUCT } algorithm;

static algorithm algorithm_of(const gc_conv *c, gc_engine engine)
{
    return gc_winograd_applies(c, engine)    ? WINOGRAD
           : gc_direct_applies(c, engine)    ? DIRECT
           : gc_depthwise_applies(c, engine) ? DEPTHWISE
           : gc_packed_applies(c, engine)    ? PACKED
                                             : PRODUCT;
}

static const char *conv_algorithm(const gc_layer_query *query)
{
    static const char *const names[] = {[WINOGRAD] = "Winograd",
                                        [DIRECT] = "direct",
                                        [DEPTHWISE] = "depthwise",
                                        [PACKED] = "packed",
                                        [PRODUCT] = "product"};
    return names[algorithm_of(&query->layer->conv, query->engine)];
}

static gc_layouts conv_layouts(const gc_layer_query *query, gc_layout given)
{
    (void)given;
    const algorithm a = algorithm_of(&query->layer->conv, query->engine);
    return (gc_layouts){.reads = a == DIRECT || a == PRODUCT ? GC_PLAIN : GC_BLOCKED,
                        .writes = a == PRODUCT ? GC_PLAIN : GC_BLOCKED};
}

static unsigned conv_fuses(const gc_layer_query *query)
{
    switch (algorithm_of(&query->layer->conv, query->engine)) {
    case WINOGRAD:
        return GC_FUSES_SUM | GC_FUSES_RELU | GC_FUSES_POOL;
    case PACKED:
        return GC_FUSES_SUM | GC_FUSES_RELU;
    case DEPTHWISE:
        return GC_FUSES_RELU;
    default:
        return query->backward ? 0 : GC_FUSES_RELU;
    }
}

/* Forward, a Winograd convolution can stream a direct one, and a depthwise convolution a 1x1
 * convolution. */
static size_t conv_streaming_bytes(const gc_layer_query *query, const gc_layer *streamed,
                                   gc_shape from)
{
    const gc_conv *c = &query->layer->conv;
    const gc_engine engine = query->engine;
    const gc_shape reads = query->backward ? query->out : *query->in;
    if (!query->backward && algorithm_of(c, engine) == DEPTHWISE)
        return streamed->type == &gc_conv_layer && gc_is_pointwise(&streamed->conv)
                       && streamed->conv.groups == 1
                       && algorithm_of(&streamed->conv, engine) == PACKED
                   ? gc_depthwise_streaming_bytes(c, &streamed->conv, from, reads, query->out,
                                                  engine)
                   : 0;
    if (algorithm_of(c, engine) != WINOGRAD
        || !gc_winograd_streams(c, query->backward, reads, engine))
        return 0;
    const size_t strips = gc_winograd_strip_bytes(c, query->backward, reads, engine);
    if (query->backward)
        return streamed->type == &gc_max_pool_layer
                   ? strips + gc_unpool_spare_floats(reads, engine) * sizeof(float)
                   : 0;
    return streamed->type == &gc_conv_layer && algorithm_of(&streamed->conv, engine) == DIRECT
               ? strips + gc_direct_source_bytes(&streamed->conv, from, reads, engine)
               : 0;
}

static gc_pack_id pack_id(gc_engine engine, int backward)
{
    return (gc_pack_id){.kind = backward ? GC_PACK_BACKWARD : GC_PACK_FORWARD,
                        .variant = engine.kernels->width};
}

/* Whether the weights are transformed. */
static int has_pack(const gc_conv *c, gc_engine engine)
{
    const algorithm a = algorithm_of(c, engine);
    return a == WINOGRAD || a == PACKED;
}

static int conv_prepare(const gc_layer *layer, gc_engine engine, int backward)
{
    return !has_pack(&layer->conv, engine)
           || gc_pack_prepare(layer, pack_id(engine, backward), engine) != NULL;
}

/* The transformed weights of a direction that was prepared. */
static const float *transformed(const gc_layer *layer, gc_engine engine, int backward)
{
    return gc_pack_find(layer, pack_id(engine, backward))->data;
}

static size_t conv_pack_bytes(const gc_layer *layer, gc_pack_id id, gc_engine engine)
{
    const int backward = id.kind == GC_PACK_BACKWARD;
    if ((id.kind != GC_PACK_FORWARD && !backward) || id.variant != engine.kernels->width
        || !has_pack(&layer->conv, engine))
        return 0;
    return sizeof(float)
           * (algorithm_of(&layer->conv, engine) == PACKED
                  ? gc_packed_floats(&layer->conv, backward, engine)
                  : gc_winograd_pack_floats(&layer->conv, engine, backward));
}

static void conv_make_pack(const gc_layer *layer, gc_pack_id id, gc_engine engine, void *pack)
{
    const int backward = id.kind == GC_PACK_BACKWARD;
    if (algorithm_of(&layer->conv, engine) == PACKED)
        gc_packed_weights(&layer->conv, layer->weight, backward, engine, pack);
    else
        gc_winograd_pack(&layer->conv, layer->weight, engine, backward, pack);
}

/* The network takes weights from elsewhere for Winograd's algorithm alone. */
static int conv_pack_fits(const gc_layer *layer, gc_pack_id id, gc_engine engine,
                          const void *pack)
{
    return gc_winograd_pack_fits(&layer->conv, layer->weight, engine,
                                 id.kind == GC_PACK_BACKWARD, pack);
}

static size_t conv_scratch_bytes(const gc_layer_query *q)
{
    const gc_conv *c = &q->layer->conv;
    switch (algorithm_of(c, q->engine)) {
    case WINOGRAD:
        return gc_winograd_scratch_bytes(c, q->backward, *q->in, q->count, q->engine);
    case DIRECT:
        return gc_direct_scratch_bytes(c, q->backward, *q->in, q->out, q->engine);
    case DEPTHWISE:
        return gc_depthwise_scratch_bytes(c, q->backward, *q->in, q->out, q->engine);
    case PACKED:
        return gc_packed_scratch_bytes(c, q->backward, *q->in, q->out, q->count, q->engine);
    case PRODUCT:
        break;
    }
    const size_t block =
        q->backward ? backward_block(c, q->out) : q->engine.workers * forward_block(c, q->out);
    return gc_is_pointwise(c) ? 0 : column_rows(c) * block * sizeof(float);
}

/* Bias, and ReLU with its bits (NULL: not recorded), on positions first .. first + count of
 * `channels` planes of y. */
static void finish_block(const gc_kernels *kernels, size_t channels, size_t positions,
                         size_t first, size_t count, const float *bias, float *y, int relu,
                         float limit, uint8_t *bits, size_t row_bytes)
{
    for (size_t k = 0; k < channels; k++) {
        float *row = y + k * positions + first;
        if (relu)
            kernels->bias_relu(count, bias == NULL ? 0.0f : bias[k], limit, row,
                               bits == NULL ? NULL : bits + k * row_bytes + first / 8);
        else if (bias != NULL)
            kernels->bias(count, bias[k], row);
    }
}

/* A convolution as products: of each image, each group by itself. */
typedef struct conv_run {
    const gc_layer *layer;
    const gc_conv *conv;
    gc_engine engine;
    gc_window window;           /* of one group */
    size_t positions, channels; /* outputs of one group */
    size_t rows, block;
    size_t bit_row_bytes;
    const float *from; /* x, or dy */
    float *to;         /* y, or dx */
    int relu;
    float limit;       /* of the ReLU */
    uint8_t *bits;     /* or NULL */
    float *columns;
    size_t count;      /* positions of the block that is shared out, backward */
    size_t first;
} conv_run;

/* What both directions share. */
static conv_run make_run(const gc_layer *layer, gc_engine engine, gc_shape in, gc_shape out,
                         void *scratch)
{
    const gc_conv *c = &layer->conv;
    return (conv_run){.layer = layer,
                      .conv = c,
                      .engine = engine,
                      .window = window_of_group(c, in, out),
                      .positions = gc_positions(out),
                      .channels = c->out_channels / c->groups,
                      .rows = column_rows(c),
                      .bit_row_bytes = gc_bit_row_bytes(out),
                      .columns = scratch};
}

static const float *weight_of(const conv_run *r, size_t group)
{
    return r->layer->weight + group % r->conv->groups * r->channels * r->rows;
}

/* One block of positions of one group of one image. */
static void forward_part(void *argument, size_t part, size_t worker)
{
    const conv_run *r = argument;
    const size_t blocks = gc_divide_up(r->positions, r->block);
    const size_t group = part / blocks, first = part % blocks * r->block;
    const size_t count = gc_min(r->positions - first, r->block);
    const float *x = r->from + group * r->window.channels * r->window.height * r->window.width;
    const float *matrix = x + first; /* of a pointwise convolution */
    size_t stride = r->positions;
    if (!gc_is_pointwise(r->conv)) {
        float *columns = r->columns + worker * r->rows * r->block;
        r->engine.kernels->im2col(&r->window, x, first, count, columns);
        matrix = columns;
        stride = count;
    }
    const float *bias = r->layer->bias;
    float *y = r->to + group * r->channels * r->positions;
    gc_sgemm_alone(r->engine, 0, 0, r->channels, count, r->rows, weight_of(r, group), r->rows,
                   matrix, stride, y + first, r->positions);
    if (gc_stopped())
        return;
    finish_block(r->engine.kernels, r->channels, r->positions, first, count,
                 bias == NULL ? NULL : bias + group % r->conv->groups * r->channels, y, r->relu,
                 r->limit,
                 r->bits == NULL ? NULL : r->bits + group * r->channels * r->bit_row_bytes,
                 r->bit_row_bytes);
}

static void product_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const gc_conv *c = &layer->conv;
    conv_run r = make_run(layer, step->engine, step->in[0], step->out, step->scratch);
    r.block = forward_block(c, step->out);
    r.from = step->x[0];
    r.to = step->y;
    r.relu = step->fused.relu;
    r.limit = step->fused.limit;
    r.bits = step->fused.bits;
    const size_t blocks = gc_divide_up(r.positions, r.block);
    const gc_blas blas = gc_blas_begin(step->engine);
    gc_parallel(blas.workers, step->count * c->groups * blocks, forward_part, &r);
    gc_blas_end(blas);
}

/* The columns of one channel of a block, back to the pixels of that channel. */
static void scatter_part(void *argument, size_t channel, size_t worker)
{
    (void)worker;
    const conv_run *r = argument;
    gc_window one = r->window;
    one.channels = 1;
    r->engine.kernels->col2im(
        &one, r->columns + channel * one.kernel[0] * one.kernel[1] * r->count, r->first,
        r->count, r->to + channel * one.height * one.width);
}

/* One group of one image: dy at r->from, dx at r->to. */
static void backward_group(conv_run *r, const float *weight)
{
    if (gc_is_pointwise(r->conv)) {
        gc_sgemm(r->engine, 1, 0, r->rows, r->positions, r->channels, weight, r->rows, r->from,
                 r->positions, r->to, r->positions);
        return;
    }
    gc_zero_floats(r->engine, r->window.channels * r->window.height * r->window.width, r->to);
    for (r->first = 0; r->first < r->positions && !gc_should_stop(); r->first += r->block) {
        r->count = gc_min(r->positions - r->first, r->block);
        gc_sgemm(r->engine, 1, 0, r->rows, r->count, r->channels, weight, r->rows,
                 r->from + r->first, r->positions, r->columns, r->count);
        gc_parallel(r->engine.workers, r->window.channels, scatter_part, r);
    }
}

static void product_backward(const gc_layer *layer, const gc_backward_step *step)
{
    const gc_conv *c = &layer->conv;
    conv_run r = make_run(layer, step->engine, step->in[0], step->out, step->scratch);
    r.block = backward_block(c, step->out);
    r.from = step->dy;
    r.to = step->dx[0];
    const size_t groups = step->count * c->groups;
    for (size_t group = 0; group < groups && !gc_should_stop(); group++) {
        backward_group(&r, weight_of(&r, group));
        r.from += r.channels * r.positions;
        r.to += r.window.channels * r.window.height * r.window.width;
    }
}

static void conv_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const algorithm a = algorithm_of(&layer->conv, step->engine);
    if (a == WINOGRAD)
        gc_winograd_run(&layer->conv,
                        &(gc_winograd_step){.engine = step->engine,
                                            .u = transformed(layer, step->engine, 0),
                                            .count = step->count,
                                            .in = step->in[0],
                                            .out = step->out,
                                            .from = step->x[0],
                                            .to = step->y,
                                            .bias = layer->bias,
                                            .fused = step->fused,
                                            .scratch = step->scratch});
    else if (a == DIRECT)
        gc_direct_forward(layer, step);
    else if (a == DEPTHWISE)
        gc_depthwise_forward(layer, step,
                             step->fused.streamed.layer == NULL
                                 ? NULL
                                 : transformed(step->fused.streamed.layer, step->engine, 0));
    else if (a == PACKED)
        gc_packed_forward(layer, step, transformed(layer, step->engine, 0));
    else
        product_forward(layer, step);
}

static void conv_backward(const gc_layer *layer, const gc_backward_step *step)
{
    const algorithm a = algorithm_of(&layer->conv, step->engine);
    if (a == WINOGRAD)
        gc_winograd_run(&layer->conv,
                        &(gc_winograd_step){.engine = step->engine,
                                            .u = transformed(layer, step->engine, 1),
                                            .backward = 1,
                                            .count = step->count,
                                            .recorded = step->batch,
                                            .in = step->out,
                                            .out = step->in[0],
                                            .from = step->dy,
                                            .to = step->dx[0],
                                            .fused = step->fused,
                                            .masks = step->masks,
                                            .scratch = step->scratch});
    else if (a == DIRECT)
        gc_direct_backward(layer, step);
    else if (a == DEPTHWISE)
        gc_depthwise_backward(layer, step);
    else if (a == PACKED)
        gc_packed_backward(layer, step, transformed(layer, step->engine, 1));
    else
        product_backward(layer, step);
}

const gc_layer_type gc_conv_layer = {
    .name = "conv",
    .relevance = GC_WEIGHTS,
    .shape = conv_shape,
    .layouts = conv_layouts,
    .fuses = conv_fuses,
    .algorithm = conv_algorithm,
    .streaming_bytes = conv_streaming_bytes,
    .scratch_bytes = conv_scratch_bytes,
    .prepare = conv_prepare,
    .pack_bytes = conv_pack_bytes,
    .make_pack = conv_make_pack,
    .pack_fits = conv_pack_fits,
    .forward = conv_forward,
    .backward = conv_backward,
};
