/* linear.c: the fully connected layer, y = W x + b and dx = W^T dy.
 *
 * W [out][in] is read where the caller has it, be that a memory-mapped file, and as it is stored.
 * Threads share out its rows forward, and its columns backward. */
#include "layers/linear.h"

#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"

/* What one thread takes at a time. */
enum { ROWS = 32, SHARES = 8, LEAST_COLUMNS = 1024 };
enum { MIN_VECTORS = 48 };
static const double MAX_PRODUCTS = 5e8; /* between two questions whether to stop */

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

/* ---- Forward ---------------------------------------------------------------------------- */

typedef struct forward_run {
    const gc_kernels *kernels;
    gc_dense dense;
    const void *weight;
    const float *bias, *x;
    float *y;
    int relu;         /* behind it */
    uint8_t *bits;    /* of the ReLU, or NULL */
    size_t bit_bytes; /* of one vector */
} forward_run;

/* ROWS is a multiple of 8, so the bits of a part are whole bytes. */
static void some_rows(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const forward_run *f = argument;
    const size_t first = part * ROWS, rows = gc_least(f->dense.out - first, ROWS);
    f->kernels->dense_forward(&f->dense, first, rows, f->weight, f->x, f->y);
    for (size_t n = 0; n < f->dense.batch; n++) {
        float *y = f->y + n * f->dense.out + first;
        if (f->bias != NULL)
            f->kernels->accumulate(rows, f->bias + first, y);
        if (f->relu)
            f->kernels->relu_forward(rows, y, y,
                                     f->bits == NULL ? NULL
                                                     : f->bits + n * f->bit_bytes + first / 8);
    }
}

static void linear_forward(const gc_layer *layer, const gc_forward_step *step)
{
    forward_run f = {.kernels = step->engine.kernels,
                     .dense = {.storage = layer->linear.storage,
                               .in = layer->linear.in,
                               .out = layer->linear.out,
                               .sets = 1,
                               .batch = step->count},
                     .weight = layer->linear.weight,
                     .bias = layer->bias,
                     .x = step->x[0],
                     .y = step->y,
                     .relu = step->fused.relu,
                     .bits = step->fused.bits,
                     .bit_bytes = gc_bit_row_bytes(step->out)};
    gc_parallel(step->engine.workers, gc_divide_up(f.dense.out, ROWS), some_rows, &f);
}

/* ---- Backward --------------------------------------------------------------------------- */

typedef struct backward_run {
    const gc_kernels *kernels;
    const gc_dense *dense;
    const void *weight;
    const float *dy;
    float *dx;
    size_t columns; /* of a part */
} backward_run;

/* Vectors between two questions whether to stop; so many that weights are seldom read again. */
static size_t vectors_at_a_time(const backward_run *b)
{
    const double most = MAX_PRODUCTS / ((double)b->dense->out * (double)b->columns);
    return most < MIN_VECTORS ? MIN_VECTORS : most < 1e9 ? (size_t)most : (size_t)1000000000;
}

/* Some columns of some images of some sets. */
static void some_vectors(const backward_run *b, size_t first, const gc_dense *part, size_t vector)
{
    b->kernels->dense_backward(part, first, gc_least(b->dense->in - first, b->columns), b->weight,
                               b->dy + vector * part->out, b->dx + vector * part->in);
}

static void some_columns(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const backward_run *b = argument;
    const gc_dense *d = b->dense;
    const size_t most = vectors_at_a_time(b);
    const size_t images = gc_least(d->batch, most), sets = gc_least(d->sets, most / images);
    gc_dense some = *d;
    for (size_t set = 0; set < d->sets; set += sets)
        for (size_t image = 0; image < d->batch && !gc_should_stop(); image += images) {
            some.sets = gc_least(d->sets - set, sets);
            some.batch = gc_least(d->batch - image, images);
            some_vectors(b, part * b->columns, &some, set * d->stride + image);
        }
}

/* Long pieces of rows, which memory gives faster, but enough of them to share out. */
static size_t columns_of_part(size_t in)
{
    const size_t columns = gc_divide_up(in, SHARES * 16) * 16;
    return columns < LEAST_COLUMNS ? LEAST_COLUMNS : columns;
}

void gc_dense_gradient(gc_engine engine, const gc_dense *dense, const void *weight,
                       const float *dy, float *dx)
{
    backward_run b = {.kernels = engine.kernels,
                      .dense = dense,
                      .weight = weight,
                      .dy = dy,
                      .dx = dx,
                      .columns = columns_of_part(dense->in)};
    gc_parallel(engine.workers, gc_divide_up(dense->in, b.columns), some_columns, &b);
}

static void linear_backward(const gc_layer *layer, const gc_backward_step *step)
{
    /* One gradient an image: the images go together, though they share fewer zeros. */
    const int one_each = step->count == step->batch;
    const gc_dense dense = {.storage = layer->linear.storage,
                            .in = layer->linear.in,
                            .out = layer->linear.out,
                            .sets = one_each ? step->batch : step->count / step->batch,
                            .batch = one_each ? 1 : step->batch,
                            .stride = one_each ? 1 : step->batch};
    gc_dense_gradient(step->engine, &dense, layer->linear.weight, step->dy, step->dx[0]);
}

static gc_fusion linear_fuses(const gc_layer_query *query)
{
    (void)query;
    return GC_FUSES_RELU;
}

const gc_layer_type gc_linear_layer = {
    .name = "linear",
    .shape = linear_shape,
    .fuses = linear_fuses,
    .forward = linear_forward,
    .backward = linear_backward,
};
