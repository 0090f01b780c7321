/* linear.c: the fully connected layer, y = W x + b and dx = W^T dy.
 *
 * W [out][in] is read where the caller has it, be that a memory-mapped file. For a single vector
 * the layer runs at the speed of memory, through kernels of our own that threads share out by
 * rows (forward) and by columns (backward); several vectors are a matrix product. */
#include "base/status.h"
#include "base/threads.h"
#include "layers/layer.h"
#include "layers/sgemm.h"

/* What one thread takes at a time. */
enum { ROWS = 32, SHARES = 8, LEAST_COLUMNS = 1024 };

static gc_status linear_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                              gc_error *error)
{
    if (!in->flat)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "a linear layer needs a vector, but its input is a map of "
                       "%zu x %zu x %zu; flatten it first",
                       in->channels, in->height, in->width);
    if (in->channels != layer->linear.in)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the weight expects %zu inputs, but the input has %zu",
                       layer->linear.in, in->channels);
    *out = (gc_shape){.channels = layer->linear.out, .height = 1, .width = 1, .flat = 1};
    return GC_OK;
}

/* One vector's product. */
typedef struct product {
    const gc_layer *layer;
    const gc_kernels *kernels;
    const float *x; /* x, or dy */
    float *y;       /* y, or dx */
} product;

static void some_rows(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const product *p = argument;
    const size_t in = p->layer->linear.in, first = part * ROWS;
    const size_t left = p->layer->linear.out - first;
    p->kernels->dense_forward(left < ROWS ? left : ROWS, in, p->layer->weight + first * in, p->x,
                              p->y + first);
}

/* Long pieces of rows, which memory gives faster, but enough of them to share out. */
static size_t columns_of_part(size_t in)
{
    const size_t columns = (in / SHARES + 15) / 16 * 16;
    return columns < LEAST_COLUMNS ? LEAST_COLUMNS : columns;
}

static void some_columns(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const product *p = argument;
    const size_t in = p->layer->linear.in, columns = columns_of_part(in);
    const size_t first = part * columns, left = in - first;
    p->kernels->dense_backward(p->layer->linear.out, left < columns ? left : columns, in,
                               p->layer->weight + first, p->x, p->y + first);
}

static void linear_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const gc_kernels *kernels = step->engine.kernels;
    const size_t in = layer->linear.in, out = layer->linear.out;
    product one = {.layer = layer, .kernels = kernels, .x = step->x[0], .y = step->y};
    if (step->count == 1)
        gc_parallel(step->engine.workers, (out + ROWS - 1) / ROWS, some_rows, &one);
    else
        gc_sgemm(step->engine, 0, 1, step->count, out, in, step->x[0], in, layer->weight, in,
                 step->y, out);
    for (size_t n = 0; n < step->count; n++) {
        float *y = step->y + n * out;
        if (layer->bias != NULL)
            kernels->accumulate(out, layer->bias, y);
        if (step->fused.relu)
            kernels->relu_forward(out, y, y,
                                  step->fused.bits == NULL
                                      ? NULL
                                      : step->fused.bits + n * gc_bit_row_bytes(step->out));
    }
}

static void linear_backward(const gc_layer *layer, const gc_backward_step *step)
{
    const size_t in = layer->linear.in, out = layer->linear.out;
    product one = {.layer = layer,
                   .kernels = step->engine.kernels,
                   .x = step->dy,
                   .y = step->dx[0]};
    if (step->count == 1)
        gc_parallel(step->engine.workers, (in + columns_of_part(in) - 1) / columns_of_part(in),
                    some_columns, &one);
    else
        gc_sgemm(step->engine, 0, 0, step->count, in, out, step->dy, out, layer->weight, in,
                 step->dx[0], in);
}

static gc_fusion linear_fuses(const gc_layer *layer, gc_engine engine)
{
    (void)layer;
    (void)engine;
    return GC_FUSES_RELU;
}

const gc_layer_type gc_linear_layer = {
    .name = "linear",
    .shape = linear_shape,
    .fuses = linear_fuses,
    .record_bytes = gc_no_record,
    .scratch_bytes = gc_no_scratch,
    .forward = linear_forward,
    .backward = linear_backward,
};
