/* dense.c: a matrix times some vectors, both ways, for fully connected layers.
 *
 *     forward   y[n][r] = sum over c of w[r][c] x[n][c]
 *     backward  dx[n][c] = sum over r of dy[n][r] w[r][c]
 *
 * A single vector uses each weight once, so the speed is that of memory: weights are read as
 * streams of four rows, each weight once for up to VECTORS vectors, whose sums fill the registers.
 * Rows for which dy is zero (half of them, before a ReLU) are not read, so weights must be finite.
 * Weights of 16 bits are widened in registers; all sums are of floats.
 *
 * The order in which a vector's products are summed depends on the layer's sizes alone, not on how
 * many vectors there are: forward in lanes over a block of columns, then the lanes, then the
 * blocks; backward over the rows, where leaving out a zero changes nothing. Weights need not be
 * aligned, not even to a float: they may be in a mapped file. */
#include <string.h>

#include "kernels/level.h"
#include "kernels/vec.h"

/* Forward, ROWS * VECTORS sums, a value of each vector and a weight fill the registers; backward,
 * as many factors, the weights and a sum. */
enum {
    ROWS = 4,
    VECTORS = GC_REGISTERS >= 32 ? 6 : 3,
    COLUMNS = 2048,     /* whose products are summed before those of the next */
    AHEAD = 1024,       /* weights from a load to its prefetch */
    STRIDE = 1024 + 16, /* columns of a tile; not a power of two */
    MAX_ROWS = 1024,    /* of a tile */
    FEW_ROWS = 32       /* that stay in the cache while several tiles use them */
};

/* How many of `count` vectors to take at a time: about the same number each time. */
static size_t group_size(size_t count)
{
    const size_t groups = (count + VECTORS - 1) / VECTORS;
    return (count + groups - 1) / groups;
}

/* How the weights are read: their storage, and the portion of them that takes their place, unless
 * they are whole. `storage` and `whole` are constants where functions are inlined. */
typedef struct reading {
    gc_storage storage;
    int whole;
    gc_portion portion;
} reading;

GC_INLINE const void *weight_at(gc_storage storage, const void *w, size_t i)
{
    return (const char *)w + i * (storage == GC_FLOAT32 ? 4 : 2);
}

GC_INLINE gc_vec load_stored(gc_storage storage, const void *w, size_t i)
{
    const void *from = weight_at(storage, w, i);
    return storage == GC_FLOAT32   ? gc_load(from)
           : storage == GC_FLOAT16 ? gc_widen_float16(from)
                                   : gc_widen_bfloat16(from);
}

GC_INLINE gc_vec load_weights(reading how, const void *w, size_t i)
{
    const gc_vec weights = load_stored(how.storage, w, i);
    if (how.whole)
        return weights;
    return gc_select(gc_greater(weights, (gc_vec){0}), gc_broadcast(how.portion.positive),
                     gc_broadcast(how.portion.negative))
               * weights
           + gc_broadcast(how.portion.constant);
}

/* One weight, for the few that fill no vector. */
static float load_one(gc_storage storage, const void *w, size_t i)
{
    float value;
    uint16_t halves[GC_WIDTH] = {0};
    if (storage == GC_FLOAT32) {
        memcpy(&value, weight_at(storage, w, i), sizeof value);
        return value;
    }
    memcpy(halves, weight_at(storage, w, i), sizeof *halves);
    return load_stored(storage, halves, 0)[0];
}

static float load_weight(reading how, const void *w, size_t i)
{
    const float weight = load_one(how.storage, w, i);
    if (how.whole)
        return weight;
    return (weight > 0.0f ? how.portion.positive : how.portion.negative) * weight
           + how.portion.constant;
}

/* Run `function(d, how, ...)` with a constant storage, of whole weights or of a portion. */
#define WITH_STORAGE(function, d, stored, is_whole, some, ...)                                   \
    switch (stored) {                                                                            \
    case GC_FLOAT32: function(d, (reading){GC_FLOAT32, is_whole, some}, __VA_ARGS__); break;     \
    case GC_FLOAT16: function(d, (reading){GC_FLOAT16, is_whole, some}, __VA_ARGS__); break;     \
    case GC_BFLOAT16: function(d, (reading){GC_BFLOAT16, is_whole, some}, __VA_ARGS__); break;   \
    }
#define WITH_READING(function, d, ...)                                                           \
    do {                                                                                         \
        const gc_portion all = {1.0f, 1.0f, 0.0f};                                               \
        if ((d)->portion == NULL)                                                                   \
            WITH_STORAGE(function, d, (d)->storage, 1, all, __VA_ARGS__)                         \
        else                                                                                     \
            WITH_STORAGE(function, d, (d)->storage, 0, *(d)->portion, __VA_ARGS__)                  \
    } while (0)

/* ---- Forward ---------------------------------------------------------------------------- */

/* Some columns of some rows, and as much of some vectors. */
typedef struct block {
    size_t columns, in, out;
    const void *w;  /* [rows][in] */
    const float *x; /* [vectors][in] */
    float *y;       /* [vectors][out] */
    int first;      /* y is written, not added to */
} block;

static float sum_of(const float lanes[GC_WIDTH])
{
    float sums[GC_WIDTH];
    memcpy(sums, lanes, sizeof sums);
    for (size_t half = GC_WIDTH / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

/* Add up the lanes, and the columns from c on, too few for a vector. */
static void finish_block(const block *b, reading how, size_t vectors, size_t rows,
                         size_t c, float lanes[ROWS][VECTORS][GC_WIDTH])
{
    for (size_t n = 0; n < vectors; n++)
        for (size_t r = 0; r < rows; r++) {
            float *y = b->y + n * b->out + r, sum = sum_of(lanes[r][n]);
            for (size_t i = c; i < b->columns; i++)
                sum += load_weight(how, b->w, r * b->in + i) * b->x[n * b->in + i];
            *y = b->first ? sum : *y + sum;
        }
}

/* `how`, `rows` and `vectors` are constants where it is inlined. */
GC_INLINE void multiply_block(const block *b, reading how, size_t rows, size_t vectors)
{
    gc_vec sums[ROWS][VECTORS], x[VECTORS];
    GC_UNROLL
    for (size_t r = 0; r < rows; r++)
        GC_UNROLL
        for (size_t n = 0; n < vectors; n++)
            sums[r][n] = (gc_vec){0};
    size_t c = 0;
    for (; c + GC_WIDTH <= b->columns; c += GC_WIDTH) {
        GC_UNROLL
        for (size_t n = 0; n < vectors; n++)
            x[n] = gc_load(b->x + n * b->in + c);
        GC_UNROLL
        for (size_t r = 0; r < rows; r++) {
            const gc_vec w = load_weights(how, b->w, r * b->in + c);
            __builtin_prefetch(weight_at(how.storage, b->w, r * b->in + c + AHEAD), 0, 1);
            GC_UNROLL
            for (size_t n = 0; n < vectors; n++)
                sums[r][n] += w * x[n];
        }
    }
    float lanes[ROWS][VECTORS][GC_WIDTH];
    GC_UNROLL
    for (size_t r = 0; r < rows; r++)
        GC_UNROLL
        for (size_t n = 0; n < vectors; n++)
            gc_store(lanes[r][n], sums[r][n]);
    finish_block(b, how, vectors, rows, c, lanes);
}

/* Four rows, and as many vectors as there are. */
GC_INLINE void multiply_four(const block *b, reading how, size_t vectors)
{
    switch (vectors) {
    case 1: multiply_block(b, how, ROWS, 1); break;
    case 2: multiply_block(b, how, ROWS, 2); break;
    case 3: multiply_block(b, how, ROWS, 3); break;
#if GC_REGISTERS >= 32
    case 4: multiply_block(b, how, ROWS, 4); break;
    case 5: multiply_block(b, how, ROWS, 5); break;
    case 6: multiply_block(b, how, ROWS, 6); break;
#endif
    }
}

GC_INLINE void forward(const gc_dense *d, reading how, size_t first, size_t rows,
                       const void *w, const float *x, float *y)
{
    const size_t count = d->sets * d->batch;
    for (size_t c = 0; c < d->in; c += COLUMNS)
        for (size_t n = 0, vectors; n < count; n += vectors) {
            vectors = group_size(count - n);
            block b = {.columns = d->in - c < COLUMNS ? d->in - c : COLUMNS,
                       .in = d->in,
                       .out = d->out,
                       .x = x + n * d->in + c,
                       .first = c == 0};
            size_t r = first;
            for (; r + ROWS <= first + rows; r += ROWS) {
                b.w = weight_at(how.storage, w, r * d->in + c);
                b.y = y + n * d->out + r;
                multiply_four(&b, how, vectors);
            }
            for (; r < first + rows; r++)
                for (size_t i = 0; i < vectors; i++) {
                    block one = b;
                    one.w = weight_at(how.storage, w, r * d->in + c);
                    one.x = b.x + i * d->in;
                    one.y = y + (n + i) * d->out + r;
                    multiply_block(&one, how, 1, 1);
                }
        }
}

void GC_KERNEL(dense_forward)(const gc_dense *dense, size_t first, size_t rows, const void *w,
                              const float *x, float *y)
{
    WITH_READING(forward, dense, first, rows, w, x, y);
}

/* ---- Backward --------------------------------------------------------------------------- */

/* Some columns of dx of some vectors, side by side: in dx they are often a power of two apart, in
 * the same few lines of the cache. */
typedef struct tile {
    size_t vectors, columns, dy_stride;
    const float *dy;
    const void *w; /* [out][in], from the first column on */
    size_t count;  /* rows that have a factor other than zero for some vector */
    size_t rows[MAX_ROWS + 2 * ROWS]; /* their numbers, and the last one repeated */
    _Alignas(64) float dx[VECTORS * STRIDE]; /* [vectors][STRIDE] */
} tile;

static int is_zero(const tile *t, size_t row)
{
    for (size_t n = 0; n < t->vectors; n++)
        if (t->dy[n * t->dy_stride + row] != 0.0f)
            return 0;
    return 1;
}

/* Those of the rows r .. end that are not zero. The last one is repeated to complete its four rows,
 * and as the next four. */
static void list_rows(tile *t, size_t r, size_t end)
{
    t->count = 0;
    for (; r < end; r++)
        if (!is_zero(t, r))
            t->rows[t->count++] = r;
    for (size_t i = t->count; t->count > 0 && i < t->count + 2 * ROWS; i++)
        t->rows[i] = t->rows[t->count - 1];
}

/* Of vector n and the i-th row listed; 0 for repeated rows. */
static float factor_of(const tile *t, size_t n, size_t i)
{
    return i < t->count ? t->dy[n * t->dy_stride + t->rows[i]] : 0.0f;
}

/* The last columns, too few for a vector, of the four rows listed from the i-th on. */
static void add_last_columns(tile *t, reading how, size_t in, size_t i, size_t first)
{
    for (size_t n = 0; n < t->vectors; n++)
        for (size_t c = first; c < t->columns; c++)
            for (size_t r = i; r < i + ROWS; r++)
                t->dx[n * STRIDE + c] +=
                    factor_of(t, n, r) * load_weight(how, t->w, t->rows[r] * in + c);
}

/* The four rows listed from the i-th on, while the next ones are prefetched. `how` and
 * `vectors` are constants where it is inlined. All that the loop reads is copied from the tile,
 * because the compiler cannot know that stores to dx do not change it. */
GC_INLINE void add_rows(tile *t, reading how, size_t in, size_t i, size_t vectors)
{
    const void *rows[ROWS], *later[ROWS];
    gc_vec factors[VECTORS][ROWS], w[ROWS];
    const size_t columns = t->columns;
    GC_UNROLL
    for (size_t r = 0; r < ROWS; r++) {
        rows[r] = weight_at(how.storage, t->w, t->rows[i + r] * in);
        later[r] = weight_at(how.storage, t->w, t->rows[i + ROWS + r] * in);
        GC_UNROLL
        for (size_t n = 0; n < vectors; n++)
            factors[n][r] = gc_broadcast(factor_of(t, n, i + r));
    }
    size_t c = 0;
    for (; c + GC_WIDTH <= columns; c += GC_WIDTH) {
        GC_UNROLL
        for (size_t r = 0; r < ROWS; r++) {
            __builtin_prefetch(weight_at(how.storage, later[r], c), 0, 2);
            w[r] = load_weights(how, rows[r], c);
        }
        GC_UNROLL
        for (size_t n = 0; n < vectors; n++) {
            gc_vec sum = gc_load(t->dx + n * STRIDE + c);
            GC_UNROLL
            for (size_t r = 0; r < ROWS; r++)
                sum += factors[n][r] * w[r];
            gc_store(t->dx + n * STRIDE + c, sum);
        }
    }
    if (c < columns)
        add_last_columns(t, how, in, i, c);
}

/* As many vectors as there are. */
GC_INLINE void add_four(tile *t, reading how, size_t in, size_t i)
{
    switch (t->vectors) {
    case 1: add_rows(t, how, in, i, 1); break;
    case 2: add_rows(t, how, in, i, 2); break;
    case 3: add_rows(t, how, in, i, 3); break;
#if GC_REGISTERS >= 32
    case 4: add_rows(t, how, in, i, 4); break;
    case 5: add_rows(t, how, in, i, 5); break;
    case 6: add_rows(t, how, in, i, 6); break;
#endif
    }
}

/* dx, `dx_stride` apart, += the rows r .. end; if r is 0, = those rows. */
GC_INLINE void add_tile(const gc_dense *d, reading how, tile *t, size_t r, size_t end,
                        size_t dx_stride, float *dx)
{
    for (size_t n = 0; n < t->vectors; n++)
        if (r == 0)
            memset(t->dx + n * STRIDE, 0, t->columns * sizeof *dx);
        else
            memcpy(t->dx + n * STRIDE, dx + n * dx_stride, t->columns * sizeof *dx);
    list_rows(t, r, end);
    for (size_t i = 0; i < t->count; i += ROWS)
        add_four(t, how, d->in, i);
    for (size_t n = 0; n < t->vectors; n++)
        memcpy(dx + n * dx_stride, t->dx + n * STRIDE, t->columns * sizeof *dx);
}

/* The tile's columns of all vectors: rows stay in the cache while several groups use them. */
GC_INLINE void add_groups(const gc_dense *d, reading how, tile *t, size_t first,
                          const void *w, const float *dy, float *dx)
{
    const int single = d->batch == 1 && d->sets <= VECTORS;
    const size_t rows = single ? MAX_ROWS : FEW_ROWS;
    t->w = weight_at(how.storage, w, first);
    t->dy_stride = d->stride * d->out;
    for (size_t r = 0; r < d->out; r += rows)
        for (size_t i = 0; i < d->batch; i++)
            for (size_t set = 0; set < d->sets; set += t->vectors) {
                const size_t vector = set * d->stride + i;
                t->vectors = group_size(d->sets - set);
                t->dy = dy + vector * d->out;
                add_tile(d, how, t, r, d->out - r < rows ? d->out : r + rows,
                         d->stride * d->in, dx + vector * d->in + first);
            }
}

GC_INLINE void backward(const gc_dense *d, reading how, size_t first, size_t columns,
                        const void *w, const float *dy, float *dx)
{
    const size_t maximum = d->sets == 1 ? VECTORS * STRIDE : STRIDE;
    const size_t pieces = (columns + maximum - 1) / maximum;
    const size_t piece = (columns / pieces + GC_WIDTH - 1) / GC_WIDTH * GC_WIDTH;
    tile t;
    for (size_t c = 0; c < columns; c += piece) {
        t.columns = columns - c < piece ? columns - c : piece;
        add_groups(d, how, &t, first + c, w, dy, dx);
    }
}

void GC_KERNEL(dense_backward)(const gc_dense *dense, size_t first, size_t columns,
                               const void *w, const float *dy, float *dx)
{
    WITH_READING(backward, dense, first, columns, w, dy, dx);
}

/* ---- Sums ------------------------------------------------------------------------------- */

enum { HALF = GC_WIDTH / 2 };
typedef float half_of_floats __attribute__((vector_size(HALF * sizeof(float))));
typedef double doubles __attribute__((vector_size(HALF * sizeof(double))));

GC_INLINE double sum_run(gc_storage storage, size_t positions, const void *w)
{
    doubles low = {0.0}, high = {0.0};
    size_t p = 0;
    for (; p + GC_WIDTH <= positions; p += GC_WIDTH) {
        const gc_vec v = load_stored(storage, w, p);
        half_of_floats halves[2];
        memcpy(halves, &v, sizeof v);
        low += __builtin_convertvector(halves[0], doubles);
        high += __builtin_convertvector(halves[1], doubles);
    }
    low += high;
    double sum = 0.0;
    GC_UNROLL
    for (size_t i = 0; i < HALF; i++)
        sum += low[i];
    for (; p < positions; p++)
        sum += (double)load_one(storage, w, p);
    return sum;
}

GC_INLINE void sum_runs(gc_storage storage, size_t count, size_t positions, const void *w,
                        float *sums)
{
    for (size_t i = 0; i < count; i++)
        sums[i] = (float)sum_run(storage, positions, weight_at(storage, w, i * positions));
}

void GC_KERNEL(dense_sums)(gc_storage storage, size_t count, size_t positions, const void *w,
                           float *sums)
{
    switch (storage) {
    case GC_FLOAT32: sum_runs(GC_FLOAT32, count, positions, w, sums); break;
    case GC_FLOAT16: sum_runs(GC_FLOAT16, count, positions, w, sums); break;
    case GC_BFLOAT16: sum_runs(GC_BFLOAT16, count, positions, w, sums); break;
    }
}
