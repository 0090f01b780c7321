/* linear.c: the fully connected layer, y = W x + b; linear_gradient.c: its gradient.
 *
 * W [out][in] is used in the memory of the caller, for example a mapped file, and in its storage.
 * The threads share out its rows.
 *
 * With input-major weights P = W^T (linear_packs.c), y = P^T x is the product of the gradient,
 * which does not read the rows of inputs that are zero. It is used for an image if few of its
 * inputs are not zero. Other images do not matter, so its bits do not depend on the batch. */
#include "layers/linear.h"

#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"

enum { ROWS = 32 }; /* that one thread takes at a time */

/* The maximum share of active inputs, those that are not zero, with which input-major weights are
 * used. Measured on Zen 3, one thread, as the time of a layer divided by its time on its own
 * weights:
 *
 *     share of inputs            0.1    0.25   0.4    0.5    0.6
 *     25088 x 4096, 1 image      0.16   0.37   0.57   0.77   0.86
 *                   8 images     0.54   0.82   0.99   1.11   1.22
 *                   32 images    0.46   0.69   0.86   0.94   0.99
 *     4096 x 4096,  1 image      0.12   0.31   0.50   0.62   0.68
 *                   8 images     0.45   0.74   0.91   0.96   0.98
 *     4096 x 1000,  1 image      0.18   0.43   0.64   0.72   0.89
 *                   8 images     0.50   0.75   0.86   0.87   0.92
 *
 * It depends on the size of the layer alone: the same image has the same bits in any batch. */
static const double MAX_SHARE = 0.6, MAX_SHARE_OF_LARGE = 0.4;
static const size_t LARGE = (size_t)128 << 20; /* bytes of the weights */

int gc_uses_input_major(const gc_layer *layer, size_t active)
{
    const size_t in = layer->linear.in;
    const size_t bytes = in * layer->linear.out * gc_storage_bytes(layer->linear.storage);
    const double share = bytes > LARGE ? MAX_SHARE_OF_LARGE : MAX_SHARE;
    return (double)active <= share * (double)in;
}

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
    int relu;         /* after it */
    float limit;      /* of the ReLU */
    uint8_t *bits;    /* of the ReLU, or NULL */
    size_t bit_bytes; /* of one vector */
    const size_t *images; /* [batch] to which the vectors belong */
} forward_run;

/* Bias, ReLU and its bits, of `rows` outputs of the n-th vector. `first` is a multiple of 8, so
 * that their bits are whole bytes. */
static void finish_rows(const forward_run *f, size_t n, size_t first, size_t rows)
{
    float *y = f->y + n * f->dense.out + first;
    if (f->bias != NULL)
        f->kernels->accumulate(rows, f->bias + first, y);
    if (f->relu)
        f->kernels->relu_forward(
            rows, f->limit, y, y,
            f->bits == NULL ? NULL : f->bits + f->images[n] * f->bit_bytes + first / 8);
}

static void some_rows(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const forward_run *f = argument;
    const size_t first = part * ROWS, rows = gc_min(f->dense.out - first, ROWS);
    f->kernels->dense_forward(&f->dense, first, rows, f->weight, f->x, f->y);
    for (size_t n = 0; n < f->dense.batch; n++)
        finish_rows(f, n, first, rows);
}

static void multiply_dense(const forward_run *f, gc_engine engine)
{
    gc_parallel(engine.workers, gc_divide_up(f->dense.out, ROWS), some_rows, (void *)f);
}

static void multiply_sparse(const forward_run *f, gc_engine engine)
{
    const gc_dense transposed = {.storage = f->dense.storage,
                                 .in = f->dense.out,
                                 .out = f->dense.in,
                                 .sets = f->dense.batch,
                                 .batch = 1,
                                 .stride = 1};
    gc_dense_gradient(engine, &transposed, f->weight, f->x, f->y);
    for (size_t n = 0; n < f->dense.batch; n++)
        finish_rows(f, n, 0, f->dense.out);
}

/* Write the record of one image: bit c is set if input c is not zero, or NaN. Returns the number of
 * these inputs. */
static size_t record_active(const float *x, size_t in, uint8_t *active)
{
    size_t count = 0;
    for (size_t c = 0; c < in; c += 8) {
        unsigned bits = 0;
        for (size_t i = 0; i < 8 && c + i < in; i++)
            bits |= (unsigned)(x[c + i] != 0.0f) << i;
        for (unsigned rest = bits; rest != 0; rest &= rest - 1)
            count++;
        active[c / 8] = (uint8_t)bits;
    }
    return count;
}

/* Write the records of all images, and their numbers: first those for input-major weights. Returns
 * the number of these. */
static size_t sort_images(const gc_layer *layer, size_t batch, const float *x, uint8_t *active,
                          size_t *images)
{
    const size_t in = layer->linear.in;
    size_t sparse = 0, dense = batch;
    for (size_t n = 0; n < batch; n++) {
        const size_t count = record_active(x + n * in, in, active + n * gc_active_bytes(in));
        if (gc_uses_input_major(layer, count))
            images[sparse++] = n;
        else
            images[--dense] = n;
    }
    return sparse;
}

static size_t linear_record_bytes(const gc_layer_query *query)
{
    return gc_active_bytes(query->layer->linear.in);
}

/* A number for each vector; if there are several, copies of some; and, forward, the records. */
static size_t linear_scratch_bytes(const gc_layer_query *q)
{
    const size_t values = q->layer->linear.in + q->layer->linear.out;
    const size_t vectors = q->count > 1 ? q->count * values : 0;
    const size_t records = q->backward ? 0 : q->count * gc_active_bytes(q->layer->linear.in);
    return q->count * sizeof(size_t) + vectors * sizeof(float) + records;
}

typedef void (*product)(const forward_run *f, gc_engine engine);

/* Multiply some of the images, which are copied to `gathered` first if they are not all. */
static void multiply_some(const forward_run *all, gc_engine engine, product multiply,
                          const void *weight, const size_t *images, size_t count, float *gathered)
{
    const size_t in = all->dense.in, out = all->dense.out;
    forward_run some = *all;
    some.weight = weight;
    some.images = images;
    some.dense.batch = count;
    if (count == 0 || count == all->dense.batch) {
        if (count > 0)
            multiply(&some, engine);
        return;
    }
    some.x = gathered;
    some.y = gathered + count * in;
    for (size_t n = 0; n < count; n++)
        memcpy(gathered + n * in, all->x + images[n] * in, in * sizeof *gathered);
    multiply(&some, engine);
    for (size_t n = 0; n < count; n++)
        memcpy(all->y + images[n] * out, some.y + n * out, out * sizeof *gathered);
}

static void linear_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const forward_run f = {.kernels = step->engine.kernels,
                           .dense = {.storage = layer->linear.storage,
                                     .portion = layer->linear.portion,
                                     .in = layer->linear.in,
                                     .out = layer->linear.out,
                                     .sets = 1,
                                     .batch = step->count},
                           .bias = layer->bias,
                           .x = step->x[0],
                           .y = step->y,
                           .relu = step->fused.relu,
                           .limit = step->fused.limit,
                           .bits = step->fused.bits,
                           .bit_bytes = gc_bit_row_bytes(step->out)};
    size_t *images = step->scratch, sparse = 0;
    float *gathered = (float *)(images + step->count);
    uint8_t *active = step->record;
    if (active == NULL) {
        const size_t values = step->count > 1 ? f.dense.in + f.dense.out : 0;
        active = (uint8_t *)(gathered + step->count * values);
    }
    gc_pack *pack = gc_pack_find(layer, (gc_pack_id){.kind = GC_PACK_INPUT_MAJOR});
    if (pack != NULL || step->record != NULL)
        sparse = sort_images(layer, step->count, f.x, active, images);
    if (pack == NULL
        || (sparse > 0
            && !gc_input_major_is_good(layer, pack, step->engine, active, step->count, images,
                                       sparse)))
        sparse = 0;
    if (sparse == 0)
        for (size_t n = 0; n < step->count; n++)
            images[n] = n;
    multiply_some(&f, step->engine, multiply_sparse, pack == NULL ? NULL : pack->data, images,
                  sparse, gathered);
    multiply_some(&f, step->engine, multiply_dense, layer->linear.weight, images + sparse,
                  step->count - sparse, gathered);
}

static unsigned linear_fuses(const gc_layer_query *query)
{
    return query->backward ? 0 : GC_FUSES_RELU;
}

const gc_layer_type gc_linear_layer = {
    .name = "linear",
    .relevance = GC_WEIGHTS,
    .shape = linear_shape,
    .fuses = linear_fuses,
    .record_bytes = linear_record_bytes,
    .scratch_bytes = linear_scratch_bytes,
    .pack_bytes = gc_linear_pack_bytes,
    .make_pack = gc_linear_make_pack,
    .pack_fits = gc_linear_pack_fits,
    .forward = linear_forward,
    .backward = gc_linear_backward,
};
