/* linear_gradient.c: the gradient of a linear layer, dx = W^T dy.
 *
 * The threads share out the columns of W. Rows are not read for which all gradients are zero: half
 * of them, after a ReLU.
 *
 * If a ReLU masks the gradients of all inputs that are zero, only those of the active inputs are
 * computed, which the layer has recorded: dx[c] = P[c] . dy, with input-major weights P = W^T
 * (linear_packs.c). The rows of P are those that the forward pass has read. For each gradient the
 * product is chosen that reads less; other gradients do not matter, so its bits do not depend on
 * the batch. */
#include <string.h>

#include "base/threads.h"
#include "base/watch.h"
#include "layers/linear.h"

/* ---- By columns of W ---------------------------------------------------------------------- */

enum { SHARES = 8, MIN_COLUMNS = 1024, MIN_VECTORS = 48 };
static const double MAX_PRODUCTS = 5e8; /* between two questions whether to stop */

typedef struct column_run {
    const gc_kernels *kernels;
    const gc_dense *dense;
    const void *weight;
    const float *dy;
    float *dx;
    size_t columns; /* of a part */
} column_run;

/* Vectors between two questions whether to stop; so many that weights are seldom read again. */
static size_t vectors_at_a_time(const column_run *r)
{
    const double maximum = MAX_PRODUCTS / ((double)r->dense->out * (double)r->columns);
    return maximum < MIN_VECTORS ? MIN_VECTORS
           : maximum < 1e9       ? (size_t)maximum
                                 : (size_t)1000000000;
}

/* Some columns of some images of some sets. */
static void some_vectors(const column_run *r, size_t first, const gc_dense *part, size_t vector)
{
    r->kernels->dense_backward(part, first, gc_min(r->dense->in - first, r->columns), r->weight,
                               r->dy + vector * part->out, r->dx + vector * part->in);
}

static void some_columns(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const column_run *r = argument;
    const gc_dense *d = r->dense;
    const size_t maximum = vectors_at_a_time(r);
    const size_t images = gc_min(d->batch, maximum), sets = gc_min(d->sets, maximum / images);
    gc_dense some = *d;
    for (size_t set = 0; set < d->sets; set += sets)
        for (size_t image = 0; image < d->batch && !gc_should_stop(); image += images) {
            some.sets = gc_min(d->sets - set, sets);
            some.batch = gc_min(d->batch - image, images);
            some_vectors(r, part * r->columns, &some, set * d->stride + image);
        }
}

/* Long pieces of rows, which are read faster, but enough of them to share out. */
static size_t columns_of_part(size_t in)
{
    const size_t columns = gc_divide_up(in, SHARES * 16) * 16;
    return columns < MIN_COLUMNS ? MIN_COLUMNS : columns;
}

void gc_dense_gradient(gc_engine engine, const gc_dense *dense, const void *weight,
                       const float *dy, float *dx)
{
    column_run r = {.kernels = engine.kernels,
                    .dense = dense,
                    .weight = weight,
                    .dy = dy,
                    .dx = dx,
                    .columns = columns_of_part(dense->in)};
    gc_parallel(engine.workers, gc_divide_up(dense->in, r.columns), some_columns, &r);
}

/* ---- By active inputs --------------------------------------------------------------------- */

enum { INPUTS = 64 }; /* of a part */

typedef struct input_run {
    const gc_kernels *kernels;
    gc_dense dense; /* of P, for one vector */
    const void *pack;
    const uint8_t *active; /* the layer's records */
    size_t images;         /* vector v belongs to image v % images of them */
    const size_t *vectors; /* [count] numbers of those that are computed */
    size_t count;
    const float *dy;
    float *dx;
} input_run;

static const uint8_t *active_inputs(const input_run *r, size_t vector)
{
    return r->active + vector % r->images * gc_active_bytes(r->dense.out);
}

static void some_inputs(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const input_run *r = argument;
    const size_t in = r->dense.out, out = r->dense.in; /* of the layer */
    const size_t end = gc_min((part + 1) * INPUTS, in);
    for (size_t c = part * INPUTS; c < end && !gc_should_stop(); c++)
        for (size_t i = 0; i < r->count; i++) {
            const size_t v = r->vectors[i];
            if (gc_is_active(active_inputs(r, v), c))
                r->kernels->dense_forward(&r->dense, c, 1, r->pack, r->dy + v * out,
                                          r->dx + v * in);
            else
                r->dx[v * in + c] = 0.0f;
        }
}

static size_t count_active(const uint8_t *active, size_t in)
{
    size_t count = 0;
    for (size_t c = 0; c < in; c++)
        count += (size_t)gc_is_active(active, c);
    return count;
}

static size_t count_nonzero(const float *dy, size_t out)
{
    size_t count = 0;
    for (size_t r = 0; r < out; r++)
        count += dy[r] != 0.0f;
    return count;
}

/* Write the numbers of all vectors: first those for which less of P than of W is read, or up to a
 * quarter more, because the forward pass has already read it. Returns the number of these. */
static size_t sort_vectors(const gc_layer *layer, const input_run *r, size_t count,
                           size_t *vectors)
{
    const size_t in = layer->linear.in, out = layer->linear.out;
    size_t by_input = 0, by_column = count;
    for (size_t v = 0; v < count; v++) {
        const size_t active = count_active(active_inputs(r, v), in);
        if (gc_uses_input_major(layer, active)
            && active * out * 4 <= count_nonzero(r->dy + v * out, out) * in * 5)
            vectors[by_input++] = v;
        else
            vectors[--by_column] = v;
    }
    return by_input;
}

/* ---- The layer ---------------------------------------------------------------------------- */

static void all_by_column(const gc_layer *layer, const gc_backward_step *step)
{
    /* With one gradient for each image, all go together, although they share fewer zeros. */
    const int one_each = step->count == step->batch;
    const gc_dense dense = {.storage = layer->linear.storage,
                            .portion = layer->linear.portion,
                            .in = layer->linear.in,
                            .out = layer->linear.out,
                            .sets = one_each ? step->batch : step->count / step->batch,
                            .batch = one_each ? 1 : step->batch,
                            .stride = one_each ? 1 : step->batch};
    gc_dense_gradient(step->engine, &dense, layer->linear.weight, step->dy, step->dx[0]);
}

/* Some vectors, through copies in `gathered`. */
static void some_by_column(const gc_layer *layer, const gc_backward_step *step,
                           const size_t *vectors, size_t count, float *gathered)
{
    const size_t in = layer->linear.in, out = layer->linear.out;
    const gc_dense dense = {.storage = layer->linear.storage,
                            .portion = layer->linear.portion,
                            .in = in,
                            .out = out,
                            .sets = count,
                            .batch = 1,
                            .stride = 1};
    float *dx = gathered + count * out;
    for (size_t i = 0; i < count; i++)
        memcpy(gathered + i * out, step->dy + vectors[i] * out, out * sizeof *gathered);
    gc_dense_gradient(step->engine, &dense, layer->linear.weight, gathered, dx);
    for (size_t i = 0; i < count; i++)
        memcpy(step->dx[0] + vectors[i] * in, dx + i * in, in * sizeof *dx);
}

void gc_linear_backward(const gc_layer *layer, const gc_backward_step *step)
{
    gc_pack *pack = gc_pack_find(layer, (gc_pack_id){.kind = GC_PACK_INPUT_MAJOR});
    size_t *vectors = step->scratch;
    input_run r = {.kernels = step->engine.kernels,
                   .dense = {.storage = layer->linear.storage,
                             .in = layer->linear.out,
                             .out = layer->linear.in,
                             .sets = 1,
                             .batch = 1},
                   .active = step->record,
                   .images = step->batch,
                   .vectors = vectors,
                   .dy = step->dy,
                   .dx = step->dx[0]};
    if (pack != NULL && step->zeros_are_masked)
        r.count = sort_vectors(layer, &r, step->count, vectors);
    if (r.count == 0
        || !gc_input_major_is_good(layer, pack, step->engine, step->record, step->batch, vectors,
                                   r.count)) {
        all_by_column(layer, step);
        return;
    }
    r.pack = pack->data;
    gc_parallel(step->engine.workers, gc_divide_up(layer->linear.in, INPUTS), some_inputs, &r);
    if (r.count < step->count)
        some_by_column(layer, step, vectors + r.count, step->count - r.count,
                       (float *)(vectors + step->count));
}
