/* dense.c: a matrix times a vector, both ways, for fully connected layers at batch 1.
 *
 *     forward   y[r] = sum over c of w[r][c] x[c]
 *     backward  dx[c] = sum over r of g[r] w[r][c]
 *
 * Each weight is used once, so the speed is that of memory: rows are read in fours, each as one
 * stream, and where g[r] is zero (half of the units behind a ReLU) its row is not read, so that
 * weights must be finite. The order
 * of the sums depends on the sizes alone. Rows need not be aligned: they lie where the caller,
 * or a mapped file, has them. */
#include "kernels/level.h"
#include "kernels/vec.h"

enum { ROWS = 4 };

static float sum_of(gc_vec v)
{
    float sum = 0.0f;
    for (int i = 0; i < GC_WIDTH; i++)
        sum += v[i];
    return sum;
}

/* y of `rows` rows (a constant where it is inlined), w[0] the first. */
GC_INLINE void dot_rows(size_t rows, size_t columns, const float *w, const float *x, float *y)
{
    gc_vec sums[ROWS][2];
    for (size_t r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = (gc_vec){0};
    size_t c = 0;
    for (; c + 2 * GC_WIDTH <= columns; c += 2 * GC_WIDTH) {
        const gc_vec x0 = gc_load(x + c), x1 = gc_load(x + c + GC_WIDTH);
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            const float *row = w + r * columns + c;
            __builtin_prefetch(row + 1024, 0, 1);
            if (GC_WIDTH == 16)
                __builtin_prefetch(row + 1024 + 16, 0, 1);
            sums[r][0] += x0 * gc_load(row);
            sums[r][1] += x1 * gc_load(row + GC_WIDTH);
        }
    }
    for (size_t r = 0; r < rows; r++) {
        y[r] = sum_of(sums[r][0] + sums[r][1]);
        for (size_t i = c; i < columns; i++)
            y[r] += w[r * columns + i] * x[i];
    }
}

void GC_KERNEL(dense_forward)(size_t rows, size_t columns, const float *w, const float *x,
                              float *y)
{
    size_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
        dot_rows(ROWS, columns, w + r * columns, x, y + r);
    for (; r < rows; r++)
        dot_rows(1, columns, w + r * columns, x, y + r);
}

/* Up to four rows whose factor is not zero. */
typedef struct batch {
    const float *rows[ROWS];
    float factors[ROWS];
    int count;
} batch;

/* dx += sum of four rows, while the next ones are on their way from memory. */
static void add_rows(const batch *b, const batch *next, size_t columns, float *dx)
{
    size_t c = 0;
    for (; c + GC_WIDTH <= columns; c += GC_WIDTH) {
        gc_vec sum = gc_load(dx + c);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) {
            __builtin_prefetch(next->rows[r] + c, 0, 2);
            sum += b->factors[r] * gc_load(b->rows[r] + c);
        }
        gc_store(dx + c, sum);
    }
    for (; c < columns; c++)
        for (int r = 0; r < ROWS; r++)
            dx[c] += b->factors[r] * b->rows[r][c];
}

/* The next rows from `*r` on that count; where there are fewer than four, a row stands in for
 * the others, to be prefetched and no more. */
static batch next_rows(size_t rows, size_t stride, const float *w, const float *g, size_t *r)
{
    batch b = {.rows = {w, w, w, w}};
    for (; *r < rows && b.count < ROWS; ++*r)
        if (g[*r] != 0.0f) {
            b.rows[b.count] = w + *r * stride;
            b.factors[b.count++] = g[*r];
        }
    return b;
}

void GC_KERNEL(dense_backward)(size_t rows, size_t columns, size_t stride, const float *w,
                               const float *g, float *dx)
{
    size_t r = 0;
    for (size_t c = 0; c < columns; c++)
        dx[c] = 0.0f;
    batch b = next_rows(rows, stride, w, g, &r);
    while (b.count == ROWS) {
        const batch next = next_rows(rows, stride, w, g, &r);
        add_rows(&b, &next, columns, dx);
        b = next;
    }
    for (int i = 0; i < b.count; i++)
        for (size_t c = 0; c < columns; c++)
            dx[c] += b.factors[i] * b.rows[i][c];
}
