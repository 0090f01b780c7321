/* blocked_pool.c: max and average pooling of one block of a blocked map, by windows of any shape.
 *
 * Forward, an output is the maximum or the sum of the vectors of its window. Backward, an input is
 * the sum over the outputs whose windows contain it. So each vector is written once, and the rows
 * of a map can be shared out among threads. */
#include "kernels/blocked.h"
#include "kernels/level.h"

GC_INLINE gc_uvec load_index(const void *index, size_t bytes, size_t at)
{
    if (bytes == 1)
        return gc_load_bytes((const uint8_t *)index + at * GC_WIDTH);
    if (bytes == 2)
        return gc_load_halves((const uint16_t *)index + at * GC_WIDTH);
    return (gc_uvec)gc_load((const uint32_t *)index + at * GC_WIDTH);
}

GC_INLINE void store_index(void *index, size_t bytes, size_t at, gc_uvec value)
{
    if (bytes == 1) {
        gc_store_bytes((uint8_t *)index + at * GC_WIDTH, value);
    } else if (bytes == 2) {
        const gc_hvec v = __builtin_convertvector(value, gc_hvec);
        __builtin_memcpy((uint16_t *)index + at * GC_WIDTH, &v, sizeof v);
    } else {
        __builtin_memcpy((uint32_t *)index + at * GC_WIDTH, &value, sizeof value);
    }
}

/* ---- Runs ------------------------------------------------------------------------------------
 *
 * Backward, if windows slide by a stride, inputs that are one stride apart have the same place in
 * the windows that contain them, except near the border. Such inputs of a row form a run. */

enum { MAX_STRIDE = 4, MAX_READERS = 3 };

typedef struct run {
    size_t first, count;    /* columns of the input, a stride apart; count may be 0 */
    size_t reader, readers; /* the columns of the output whose windows contain the first one */
} run;

static int is_whole(const gc_pool_block *p, gc_span readers)
{
    for (size_t j = readers.begin; j < readers.end; j++)
        if (p->columns[j].end - p->columns[j].begin != p->window)
            return 0;
    return readers.end > readers.begin && readers.end - readers.begin <= MAX_READERS;
}

/* The first run of column c and those after it, `step` apart. */
static run find_run(const gc_pool_block *p, size_t c, size_t step)
{
    while (c < p->width && !is_whole(p, p->column_readers[c]))
        c += step;
    run u = {.first = c};
    if (c >= p->width)
        return u;
    u.reader = p->column_readers[c].begin;
    u.readers = p->column_readers[c].end - u.reader;
    for (; c < p->width && is_whole(p, p->column_readers[c]); c += step, u.count++)
        if (p->column_readers[c].begin != u.reader + u.count
            || p->column_readers[c].end != u.reader + u.count + u.readers)
            break;
    return u;
}

/* A run for each of the first columns, `*step` of them, if windows slide; else none. */
static void find_runs(const gc_pool_block *p, run runs[MAX_STRIDE], size_t *step)
{
    const int slide = p->stride > 0 && p->stride <= MAX_STRIDE;
    *step = slide ? p->stride : 1;
    for (size_t k = 0; k < *step; k++)
        runs[k] = slide ? find_run(p, k, *step) : (run){.first = p->width};
}

/* ---- Maxima ------------------------------------------------------------------------------- */

/* The maxima of a window and their indices; rows of x are `row` floats apart. */
GC_INLINE gc_vec largest(size_t rows, size_t columns, size_t row, const float *x, gc_uvec *index)
{
    gc_vec best = gc_load(x);
    gc_uvec at = {0}, here = {0};
    for (size_t r = 0; r < rows; r++, x += row)
        for (size_t c = 0; c < columns; c++, here += 1) {
            const gc_vec value = gc_load(x + c * GC_WIDTH);
            const gc_mask take = gc_takes(value, best);
            best = gc_select(take, value, best);
            at = (gc_uvec)gc_select(take, (gc_vec)here, (gc_vec)at);
        }
    *index = at;
    return best;
}

/* All outputs of rows first .. first + count, with or without a record. */
GC_INLINE void max_rows(const gc_pool_block *p, size_t first, size_t count, const float *x,
                        float *y, void *index, int records)
{
    const size_t row = p->in_row * GC_WIDTH;
    for (size_t i = first; i < first + count; i++)
        for (size_t j = 0; j < p->out_width; j++) {
            const gc_span rows = p->rows[i], columns = p->columns[j];
            const size_t height = rows.end - rows.begin, width = columns.end - columns.begin;
            const float *from = x + rows.begin * row + columns.begin * GC_WIDTH;
            gc_uvec at;
            const gc_vec best = height == 3 && width == 3 ? largest(3, 3, row, from, &at)
                                                          : largest(height, width, row, from, &at);
            gc_store(y + (i * p->out_row + j) * GC_WIDTH, best);
            if (records)
                store_index(index, p->index_bytes, i * p->out_width + j, at);
        }
}

void GC_KERNEL(blocked_max_forward)(const gc_pool_block *p, size_t first, size_t count,
                                    const float *x, float *y, void *index)
{
    if (index == NULL)
        max_rows(p, first, count, x, y, NULL, 0);
    else
        max_rows(p, first, count, x, y, index, 1);
}

/* What input (r, c) gets of the outputs whose windows contain it. */
GC_INLINE gc_vec max_gradient(const gc_pool_block *p, size_t r, size_t c, const void *index,
                              const float *dy)
{
    const gc_span rows = p->row_readers[r], columns = p->column_readers[c];
    gc_vec sum = {0};
    for (size_t i = rows.begin; i < rows.end; i++)
        for (size_t j = columns.begin; j < columns.end; j++) {
            const gc_span span = p->columns[j];
            const size_t here = (r - p->rows[i].begin) * (span.end - span.begin) + c - span.begin;
            const gc_uvec at = load_index(index, p->index_bytes, i * p->out_width + j);
            sum += gc_keep(gc_equal(at, gc_all((uint32_t)here)),
                           gc_load(dy + (i * p->out_row + j) * GC_WIDTH));
        }
    return sum;
}

/* max_gradient of the inputs of a run in row r, if an index is a byte. `rows` and `columns`: how
 * many outputs each input has in both directions. */
GC_INLINE void max_run(const gc_pool_block *p, size_t r, run u, size_t rows, size_t columns,
                       const uint8_t *index, const float *dy, float *dx)
{
    const size_t top = p->row_readers[r].begin, index_row = p->out_width * GC_WIDTH;
    const size_t row = p->out_row * GC_WIDTH, step = p->stride * GC_WIDTH;
    gc_uvec here[MAX_READERS][MAX_READERS];
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            here[i][j] = gc_all((uint32_t)((r - p->rows[top + i].begin) * p->window + u.first
                                           - p->columns[u.reader + j].begin));
    dy += (top * p->out_row + u.reader) * GC_WIDTH;
    index += top * index_row + u.reader * GC_WIDTH;
    dx += u.first * GC_WIDTH;
    for (size_t n = 0; n < u.count; n++, dx += step, dy += GC_WIDTH, index += GC_WIDTH) {
        gc_vec sum = {0};
        GC_UNROLL for (size_t i = 0; i < rows; i++)
            GC_UNROLL for (size_t j = 0; j < columns; j++)
                sum += gc_keep(
                    gc_equal(gc_load_bytes(index + i * index_row + j * GC_WIDTH), here[i][j]),
                    gc_load(dy + i * row + j * GC_WIDTH));
        gc_store(dx, sum);
    }
}

static void max_row(const gc_pool_block *p, size_t r, run u, const uint8_t *index, const float *dy,
                    float *dx)
{
    const gc_span rows = p->row_readers[r];
    switch (MAX_READERS * (rows.end - rows.begin) + u.readers) {
#define CASE(rows, columns)                                                                   \
    case MAX_READERS * rows + columns:                                                        \
        max_run(p, r, u, rows, columns, index, dy, dx);                                       \
        break;
        CASE(1, 1) CASE(1, 2) CASE(1, 3) CASE(2, 1) CASE(2, 2) CASE(2, 3) CASE(3, 1) CASE(3, 2)
        CASE(3, 3)
#undef CASE
    }
}

void GC_KERNEL(blocked_max_backward)(const gc_pool_block *p, size_t first, size_t count,
                                     const void *index, const float *dy, float *dx)
{
    run runs[MAX_STRIDE];
    size_t step;
    find_runs(p, runs, &step);
    for (size_t r = first; r < first + count; r++) {
        const size_t readers = p->row_readers[r].end - p->row_readers[r].begin;
        const int runs_help = p->index_bytes == 1 && readers >= 1 && readers <= MAX_READERS;
        float *to = dx + r * p->in_row * GC_WIDTH;
        for (size_t k = 0; k < step; k++) {
            const run u = runs[k];
            const size_t from = runs_help ? u.first : p->width;
            for (size_t c = k; c < from && c < p->width; c += step)
                gc_store(to + c * GC_WIDTH, max_gradient(p, r, c, index, dy));
            if (from < p->width)
                max_row(p, r, u, index, dy, to);
            for (size_t c = from + u.count * step; c < p->width; c += step)
                gc_store(to + c * GC_WIDTH, max_gradient(p, r, c, index, dy));
        }
    }
}

/* ---- Averages ----------------------------------------------------------------------------- */

/* The sum of `count` vectors, in the order of pool.c. */
GC_INLINE gc_vec sum_of(size_t count, const float *x)
{
    gc_vec sum = {0};
    size_t c = 0;
    if (count >= 8) {
        gc_vec parts[4] = {sum, sum, sum, sum};
        for (; c + 4 <= count; c += 4)
            GC_UNROLL for (size_t k = 0; k < 4; k++)
                parts[k] += gc_load(x + (c + k) * GC_WIDTH);
        sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    }
    for (; c < count; c++)
        sum += gc_load(x + c * GC_WIDTH);
    return sum;
}

GC_INLINE gc_vec window_sum(size_t rows, size_t columns, size_t row, const float *x)
{
    gc_vec sum = {0};
    for (size_t r = 0; r < rows; r++, x += row)
        sum += sum_of(columns, x);
    return sum;
}

void GC_KERNEL(blocked_average_forward)(const gc_pool_block *p, size_t first, size_t count,
                                        const float *x, float *y)
{
    const size_t row = p->in_row * GC_WIDTH;
    for (size_t i = first; i < first + count; i++)
        for (size_t j = 0; j < p->out_width; j++) {
            const gc_span rows = p->rows[i], columns = p->columns[j];
            const size_t height = rows.end - rows.begin, width = columns.end - columns.begin;
            const float *from = x + rows.begin * row + columns.begin * GC_WIDTH;
            const gc_vec sum = height == 2 && width == 2   ? window_sum(2, 2, row, from)
                               : height == 3 && width == 3 ? window_sum(3, 3, row, from)
                                                           : window_sum(height, width, row, from);
            gc_store(y + (i * p->out_row + j) * GC_WIDTH,
                     sum / (float)(rows.divisor * columns.divisor));
        }
}

/* What input (r, c) gets of the outputs whose windows contain it. */
GC_INLINE gc_vec average_gradient(const gc_pool_block *p, size_t r, size_t c, const float *dy)
{
    const gc_span rows = p->row_readers[r], columns = p->column_readers[c];
    gc_vec sum = {0};
    for (size_t i = rows.begin; i < rows.end; i++)
        for (size_t j = columns.begin; j < columns.end; j++) {
            const gc_vec g = gc_load(dy + (i * p->out_row + j) * GC_WIDTH);
            sum += p->divisor != 0 ? g : g / (float)(p->rows[i].divisor * p->columns[j].divisor);
        }
    return p->divisor == 0 ? sum : sum * (1.0f / (float)p->divisor);
}

/* average_gradient of the inputs of a run in row r, each of which has `columns` outputs beside each
 * other. All windows of the run have the same width. */
GC_INLINE void average_run(const gc_pool_block *p, size_t r, run u, size_t columns, int is_even,
                           const float *dy, float *dx)
{
    const gc_span rows = p->row_readers[r];
    const size_t row = p->out_row * GC_WIDTH, step = p->stride * GC_WIDTH;
    const float share = is_even ? 1.0f / (float)p->divisor : 1.0f;
    dy += u.reader * GC_WIDTH;
    dx += u.first * GC_WIDTH;
    for (size_t n = 0; n < u.count; n++, dx += step, dy += GC_WIDTH) {
        gc_vec sum = {0};
        for (size_t i = rows.begin; i < rows.end; i++)
            GC_UNROLL for (size_t j = 0; j < columns; j++) {
                const gc_vec g = gc_load(dy + i * row + j * GC_WIDTH);
                sum += is_even
                           ? g
                           : g / (float)(p->rows[i].divisor * p->columns[u.reader].divisor);
            }
        gc_store(dx, is_even ? sum * share : sum);
    }
}

static void average_row(const gc_pool_block *p, size_t r, run u, const float *dy, float *dx)
{
    switch (2 * u.readers + (p->divisor != 0)) {
#define CASE(columns, is_even)                                                                \
    case 2 * columns + is_even:                                                               \
        average_run(p, r, u, columns, is_even, dy, dx);                                       \
        break;
        CASE(1, 0) CASE(1, 1) CASE(2, 0) CASE(2, 1) CASE(3, 0) CASE(3, 1)
#undef CASE
    }
}

void GC_KERNEL(blocked_average_backward)(const gc_pool_block *p, size_t first, size_t count,
                                         const float *dy, float *dx)
{
    run runs[MAX_STRIDE];
    size_t step;
    find_runs(p, runs, &step);
    for (size_t r = first; r < first + count; r++) {
        float *to = dx + r * p->in_row * GC_WIDTH;
        for (size_t k = 0; k < step; k++) {
            const run u = runs[k];
            for (size_t c = k; c < u.first && c < p->width; c += step)
                gc_store(to + c * GC_WIDTH, average_gradient(p, r, c, dy));
            average_row(p, r, u, dy, to);
            for (size_t c = u.first + u.count * step; c < p->width; c += step)
                gc_store(to + c * GC_WIDTH, average_gradient(p, r, c, dy));
        }
    }
}
