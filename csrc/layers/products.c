/* products.c: products of matrices with few rows: see gc_matrix_product in gradcam.h.
 *
 * C = A B is computed as the gradient of a linear layer with the weights B, one vector for each row
 * of A. That kernel reads B where it is, row by row; a general product copies both matrices into
 * another order first, which takes most of its time if there are few rows. */
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/sequence.h"

gc_status gc_check_sizes(const char *array, const size_t *sizes, size_t count, gc_error *error)
{
    size_t bytes = sizeof(float);
    for (size_t i = 0; i < count; i++)
        if (sizes[i] == 0)
            return gc_fail(error, GC_BAD_ARGUMENT, "%s has no values: one of its sizes is 0",
                           array);
    for (size_t i = 0; i < count; i++)
        if (!gc_multiply(bytes, sizes[i], &bytes) || bytes > GC_MAX_BYTES)
            return gc_fail(error, GC_BAD_ARGUMENT, "%s is too large for this machine", array);
    return GC_OK;
}

/* Multiplications of a part, about, and of a product that one thread computes alone; rows and
 * minimum columns of a part. */
enum { PART = 1 << 17, ALONE = 1 << 18, ROWS = 24, COLUMNS = 128 };

typedef struct product {
    const gc_kernels *kernels;
    size_t rows, depth, columns;
    size_t width, pieces; /* columns of a part; parts of a row */
    const float *a, *b, *bias;
    float *c;
} product;

static void multiply_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const product *p = argument;
    const size_t row = part / p->pieces * ROWS, first = part % p->pieces * p->width;
    const size_t rows = gc_min(p->rows - row, ROWS), width = gc_min(p->columns - first, p->width);
    const gc_dense dense = {
        .in = p->columns, .out = p->depth, .sets = rows, .batch = 1, .stride = 1};
    float *c = p->c + row * p->columns;
    p->kernels->dense_backward(&dense, first, width, p->b, p->a + row * p->depth, c);
    for (size_t i = 0; p->bias != NULL && i < rows; i++)
        p->kernels->accumulate(width, p->bias + first, c + i * p->columns + first);
}

void gc_multiply_matrices(gc_engine engine, size_t rows, size_t depth, size_t columns,
                          const float *a, const float *b, const float *bias, float *c)
{
    const size_t width = PART / depth / COLUMNS * COLUMNS;
    product p = {.kernels = engine.kernels,
                 .rows = rows,
                 .depth = depth,
                 .columns = columns,
                 .width = width < COLUMNS ? COLUMNS : width,
                 .a = a,
                 .b = b,
                 .bias = bias,
                 .c = c};
    p.pieces = gc_divide_up(columns, p.width);
    const double all = (double)rows * (double)depth * (double)columns;
    gc_parallel(all < ALONE ? 1 : engine.workers, gc_divide_up(rows, ROWS) * p.pieces,
                multiply_part, &p);
}

/* Products of a batch, shared out where each is small. */
typedef struct batch {
    gc_engine engine; /* of each product */
    size_t rows, depth, columns;
    const float *a, *b, *bias;
    float *c;
} batch;

static void multiply_one(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const batch *p = argument;
    gc_multiply_matrices(p->engine, p->rows, p->depth, p->columns,
                         p->a + part * p->rows * p->depth, p->b + part * p->depth * p->columns,
                         p->bias, p->c + part * p->rows * p->columns);
}

gc_status gc_matrix_product(size_t count, size_t rows, size_t depth, size_t columns, const float *a,
                     const float *b, const float *bias, float *c, gc_error *error)
{
    gc_status status = gc_check_sizes("the left matrix", (size_t[]){count, rows, depth}, 3, error);
    if (status == GC_OK)
        status = gc_check_sizes("the right matrix", (size_t[]){count, depth, columns}, 3, error);
    if (status == GC_OK)
        status = gc_check_sizes("the product", (size_t[]){count, rows, columns}, 3, error);
    if (status != GC_OK)
        return status;
    const gc_engine engine = gc_engine_now(), alone = {.kernels = engine.kernels, .workers = 1};
    batch p = {.engine = count == 1 ? engine : alone,
               .rows = rows,
               .depth = depth,
               .columns = columns,
               .a = a,
               .b = b,
               .bias = bias,
               .c = c};
    if (count == 1)
        multiply_one(&p, 0, 0);
    else
        gc_parallel(engine.workers, count, multiply_one, &p);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}
