/* depthwise.c: depthwise convolution, each channel with a kernel of its own, on blocked maps:
 *
 *     y[c][p] = b[c] + sum over the taps t of w[c][t] x[c][p + t]
 *
 * The vector runs over the channels of a block. The sums of a group of outputs side by side stay in
 * registers; a value of x is loaded once for all of them.
 *
 * The gradient of the input is a convolution of the same kind. If the convolution's stride is s,
 * the same taps reach every s-th input: these inputs are the outputs of one phase, a convolution
 * of stride 1 whose outputs are s apart.
 *
 * Rows outside the map are left out. For columns outside, the zero border on the left is read. */
#include <math.h>

#include "kernels/blocked.h"
#include "kernels/level.h"

/* As GC_UNROLL, for up to 32 rounds. */
#if defined(__clang__)
#define UNROLL_COLUMNS GC_UNROLL
#else
#define UNROLL_COLUMNS _Pragma("GCC unroll 32")
#endif

/* The maximum numbers of outputs in a group and of taps in a row that has code of its own: sixteen
 * registers hold their sums, their weights and a value. */
enum { GROUP = 8, MAX_TAPS = 7 };

/* The outputs of one row and one horizontal phase. */
typedef struct row {
    const float *x;        /* the border on the left of the first input row */
    size_t x_rows, x_step; /* input rows, and floats from one to the next */
    size_t x_columns;      /* of the map and of one column of the border on both sides */
    const float *w, *bias;
    const gc_taps *taps;   /* of a row */
    size_t stride, dilation;
    float low, high;       /* limits of the outputs */
    size_t step;           /* vectors from an output to the next */
    float *y;
} row;

/* ---- Groups of outputs --------------------------------------------------------------------- */

/* The vector of a column counted from the border, 0; of one beyond, the border. */
GC_INLINE gc_vec load_column(const row *r, const float *x, size_t column)
{
    return gc_load(x + (column < r->x_columns ? column : 0) * GC_WIDTH);
}

/* Add one input row, of `taps` taps side by side, to the sums of `count` outputs. `inside`: no tap
 * is beyond the border, and x is the vector of the first tap of the first output; otherwise this
 * is `column`, which wraps round if it is further left than the border.
 *
 * A product must wait for the one before it of the same sum. So the columns are taken from two
 * halves in turn: products of the same sum are then further apart. */
GC_INLINE void add_row(size_t count, size_t taps, size_t stride, int inside, const row *r,
                       const float *x, size_t column, const float *w, gc_vec *sum)
{
    const size_t columns = (count - 1) * stride + taps, half = (columns + 1) / 2;
    gc_vec weight[MAX_TAPS];
    GC_UNROLL
    for (size_t t = 0; t < taps; t++)
        weight[t] = gc_load(w + t * GC_WIDTH);
    UNROLL_COLUMNS
    for (size_t i = 0; i < columns; i++) {
        const size_t j = i / 2 + i % 2 * half;
        const gc_vec value = inside ? gc_load(x + j * GC_WIDTH) : load_column(r, x, column + j);
        GC_UNROLL
        for (size_t t = 0; t < taps; t++)
            if (j >= t && (j - t) % stride == 0 && (j - t) / stride < count)
                gc_add_product(&sum[(j - t) / stride], weight[t], value);
    }
}

GC_INLINE void begin_group(size_t count, const row *r, gc_vec *sum)
{
    GC_UNROLL
    for (size_t p = 0; p < count; p++)
        sum[p] = gc_load(r->bias);
}

GC_INLINE void store_group(size_t count, const row *r, size_t first, const gc_vec *sum)
{
    const gc_vec low = r->low - (gc_vec){0}, high = r->high - (gc_vec){0};
    const size_t step = r->step * GC_WIDTH; /* read once: y might be its place */
    float *y = r->y + first * step;
    GC_UNROLL
    for (size_t p = 0; p < count; p++)
        gc_store(y + p * step, gc_clamp(sum[p], low, high));
}

/* `count` outputs from output `first` on, of rows of `kernel` taps side by side. All numbers but
 * `first` are constants where this is inlined; `inside`: no tap is beyond the border. */
GC_INLINE void group(size_t count, size_t kernel, size_t stride, int inside, const row *r,
                     size_t first)
{
    const size_t column = (size_t)(r->taps->first + 1) + first * stride;
    const float *x = r->x + (inside ? column * GC_WIDTH : 0), *w = r->w;
    gc_vec sum[GROUP];
    begin_group(count, r, sum);
    for (size_t i = 0; i < r->x_rows; i++, x += r->x_step, w += kernel * GC_WIDTH)
        add_row(count, kernel, stride, inside, r, x, column, w, sum);
    store_group(count, r, first, sum);
}

/* The same of any kernel, stride and dilation. */
GC_INLINE void any_group(size_t count, const row *r, size_t first)
{
    const size_t column = (size_t)(r->taps->first + 1) + first * r->stride;
    const float *x = r->x, *w = r->w;
    gc_vec sum[GROUP];
    begin_group(count, r, sum);
    for (size_t i = 0; i < r->x_rows; i++, x += r->x_step)
        for (size_t t = 0; t < r->taps->count; t++, w += GC_WIDTH) {
            const gc_vec weight = gc_load(w);
            size_t at = column + t * r->dilation;
            GC_UNROLL
            for (size_t p = 0; p < count; p++, at += r->stride)
                gc_add_product(&sum[p], weight, load_column(r, x, at));
        }
    store_group(count, r, first, sum);
}

/* Whether no tap of these outputs is beyond the border. */
static int is_inside(const row *r, size_t first, size_t count)
{
    const ptrdiff_t column = r->taps->first + (ptrdiff_t)(first * r->stride);
    const size_t covered = (count - 1) * r->stride + (r->taps->count - 1) * r->dilation;
    return column >= -1 && (size_t)(column + 1) + covered < r->x_columns;
}

/* ---- Rows of outputs ----------------------------------------------------------------------- */

/* The size of the next group: 8, 7, 4 or 1. It may be larger than what remains, but not than the
 * row. */
static size_t group_size(size_t outputs, size_t remaining)
{
    static const uint8_t sizes[4 * GROUP] = {0, 4, 4, 4, 4, 7, 7, 7, 8, 7, 7, 7, 8, 7, 7, 8,
                                             8, 8, 7, 8, 8, 7, 8, 8, 8, 7, 8, 8, 7, 8, 8, 8};
    const size_t size = remaining < 4 * GROUP ? sizes[remaining] : GROUP;
    return size <= outputs ? size : outputs >= 7 ? 7 : outputs >= 4 ? 4 : 1;
}

/* The sizes are constants in the calls; the last argument is what follows the size. */
#define OF_SIZE(size, call, ...)                                                              \
    switch (size) {                                                                           \
    case 8:                                                                                   \
        call(8, __VA_ARGS__);                                                                 \
        break;                                                                                \
    case 7:                                                                                   \
        call(7, __VA_ARGS__);                                                                 \
        break;                                                                                \
    case 4:                                                                                   \
        call(4, __VA_ARGS__);                                                                 \
        break;                                                                                \
    default:                                                                                  \
        call(1, __VA_ARGS__);                                                                 \
    }

/* A group of any kernel, or beyond the border. */
static void other_group(size_t size, const row *r, size_t first)
{
    OF_SIZE(size, any_group, r, first)
}

/* All outputs of a row. The numbers before `r` are constants where this is inlined; kernel 0: any;
 * `beyond`: groups beyond the border have code of their own, too. The last group may begin before
 * the end of the one before it. */
GC_INLINE void all_groups(size_t kernel, size_t stride, int beyond, const row *r, size_t outputs)
{
    for (size_t next = 0; next < outputs;) {
        const size_t size = group_size(outputs, outputs - next);
        const size_t first = size < outputs - next ? next : outputs - size;
        if (kernel > 0 && is_inside(r, first, size))
            OF_SIZE(size, group, kernel, stride, 1, r, first)
        else if (kernel > 0 && beyond)
            OF_SIZE(size, group, kernel, stride, 0, r, first)
        else
            other_group(size, r, first);
        next = first + size;
    }
}

/* (kernel width, stride, `beyond`) of rows with code of their own. */
#define ROWS(entry)                                                                           \
    entry(1, 1, 0) entry(2, 1, 0) entry(3, 1, 0) entry(5, 1, 1) entry(7, 1, 1)                \
    entry(3, 2, 0) entry(5, 2, 1) entry(0, 0, 0)

#define DEFINE(kernel, stride, beyond)                                                        \
    static __attribute__((noinline)) void row_##kernel##_##stride(const row *r,               \
                                                                  size_t outputs)             \
    {                                                                                         \
        all_groups(kernel, stride, beyond, r, outputs);                                       \
    }
ROWS(DEFINE)

static void outputs_of_row(const row *r, size_t outputs)
{
    const size_t kernel = r->dilation == 1 || r->taps->count == 1 ? r->taps->count : 0;
#define CHOOSE(width, step, beyond)                                                           \
    if (kernel == width && r->stride == step) {                                               \
        row_##width##_##step(r, outputs);                                                     \
        return;                                                                               \
    }
    ROWS(CHOOSE)
    row_0_0(r, outputs);
}

/* ---- Rows of a block ----------------------------------------------------------------------- */

static void zero_vectors(float *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gc_store(to + i * GC_WIDTH, (gc_vec){0});
}

/* The rows of the input under output row `i`: those of the taps skipped .. skipped + r->x_rows. */
static size_t find_input_rows(const gc_depthwise *d, const gc_taps *taps, size_t i, const float *x,
                              row *r)
{
    const ptrdiff_t height = (ptrdiff_t)d->in.height, dilation = (ptrdiff_t)d->dilation[0];
    ptrdiff_t from = taps->first + (ptrdiff_t)(i * d->stride[0]);
    size_t skipped = 0;
    for (; skipped < taps->count && from < 0; from += dilation)
        skipped++;
    r->x_rows = 0;
    for (ptrdiff_t y = from; skipped + r->x_rows < taps->count && y < height; y += dilation)
        r->x_rows++;
    r->x = r->x_rows == 0 ? x : x + gc_offset(&d->in, 0, 0, (size_t)from, 0) - GC_WIDTH;
    return skipped;
}

/* Output row number y, of all horizontal phases. */
static void output_row(const gc_depthwise *d, size_t y, const float *w, const float *x, float *to,
                       row *r)
{
    const size_t phases = d->phases[1];
    const gc_taps *rows = &d->taps[0][y % d->phases[0]];
    const size_t skipped = find_input_rows(d, rows, y / d->phases[0], x, r);
    w += rows->before * d->kernel_width * GC_WIDTH;
    for (size_t phase = 0; phase < phases && phase < d->out.width; phase++) {
        r->taps = &d->taps[1][phase];
        r->w = w + (rows->count * r->taps->before + skipped * r->taps->count) * GC_WIDTH;
        r->y = to + phase * GC_WIDTH;
        outputs_of_row(r, (d->out.width - phase - 1) / phases + 1);
    }
}

static row row_of(const gc_depthwise *d, const float *bias, float low, float high)
{
    return (row){.x_step = d->dilation[0] * d->in.columns * GC_WIDTH,
                 .bias = bias,
                 .stride = d->stride[1],
                 .dilation = d->dilation[1],
                 .x_columns = d->in.width + 2,
                 .low = low,
                 .high = high,
                 .step = d->phases[1]};
}

/* The border above or below the map, if the rows first .. end begin or end there. */
static void zero_rows(const gc_blocked *out, size_t first, size_t end, float *y)
{
    if (first == 0)
        zero_vectors(y, out->columns);
    if (end == out->height)
        zero_vectors(y + (end + 1) * out->columns * GC_WIDTH,
                     (out->rows - end - 1) * out->columns);
}

/* The border on the left and on the right of row y, whose column 0 is returned. */
static float *begin_row(const gc_blocked *out, size_t y, float *maps)
{
    float *to = maps + gc_offset(out, 0, 0, y, 0);
    gc_store(to - GC_WIDTH, (gc_vec){0});
    zero_vectors(to + out->width * GC_WIDTH, out->columns - out->width - 1);
    return to;
}

/* The bits of the ReLU's outputs y. */
static void record(size_t count, float limit, const float *y, uint8_t *bits)
{
    const gc_vec zero = {0}, most = limit - (gc_vec){0};
    if (limit == INFINITY)
        for (size_t i = 0; i < count; i++)
            gc_store_bits(bits + i * GC_BIT_BYTES, gc_greater(gc_load(y + i * GC_WIDTH), zero));
    else
        for (size_t i = 0; i < count; i++) {
            const gc_vec value = gc_load(y + i * GC_WIDTH);
            gc_store_bits(bits + i * GC_BIT_BYTES,
                          (gc_mask)(gc_greater(value, zero) & gc_greater(most, value)));
        }
}

void GC_KERNEL(depthwise_weights)(size_t taps, const size_t *order, size_t channels,
                                  const float *weight, float *to)
{
    for (size_t t = 0; t < taps; t++, to += GC_WIDTH) {
        const float *from = weight + order[t];
        gc_vec v = {0};
        if (channels == GC_WIDTH)
            GC_UNROLL
            for (size_t k = 0; k < GC_WIDTH; k++)
                v[k] = from[k * taps];
        else
            for (size_t k = 0; k < channels; k++)
                v[k] = from[k * taps];
        gc_store(to, v);
    }
}

void GC_KERNEL(depthwise_forward)(const gc_depthwise *d, size_t first, size_t end, const float *w,
                                  const float *bias, const float *x, float *y, int relu,
                                  float limit, uint8_t *bits)
{
    row r = row_of(d, bias, relu ? 0.0f : -INFINITY, relu ? limit : INFINITY);
    zero_rows(&d->out, first, end, y);
    for (size_t i = first; i < end; i++) {
        float *to = begin_row(&d->out, i, y);
        output_row(d, i, w, x, to, &r);
        if (relu && bits != NULL)
            record(d->out.width, limit, to, bits + i * d->out.width * GC_BIT_BYTES);
    }
}

void GC_KERNEL(depthwise_backward)(const gc_depthwise *d, size_t first, size_t end,
                                   const float *w, const float *dy, float *dx, int relu,
                                   unsigned masks, const uint8_t *bits)
{
    const float bias[GC_WIDTH] = {0};
    row r = row_of(d, bias, -INFINITY, INFINITY);
    zero_rows(&d->out, first, end, dx);
    for (size_t i = first; i < end; i++) {
        float *to = begin_row(&d->out, i, dx);
        output_row(d, i, w, dy, to, &r);
        if (relu)
            GC_KERNEL(blocked_relu_backward)(d->out.width, masks,
                                             bits + i * d->out.width * GC_BIT_BYTES, to, to);
    }
}
