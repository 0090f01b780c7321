/* pool.c: max and average pooling of one plane.
 *
 * Output (i, j) covers the input rows rows[i] and columns columns[j]; how these spans follow
 * from kernel, stride, padding or a fixed output size is the layer's business. */
#include "kernels/level.h"

/* Whether `value` takes the place of `best`: greater, or the first NaN. Without a branch. */
static int takes(float value, float best)
{
    return !(value <= best) & (best == best);
}

/* Offset of the largest value of a window; the first of equals, and NaN before all. */
static uint32_t largest(const gc_pool_plane *plane, gc_span rows, gc_span columns,
                        const float *x)
{
    size_t best = rows.begin * plane->width + columns.begin;
    for (size_t r = rows.begin; r < rows.end; r++)
        for (size_t c = columns.begin; c < columns.end; c++) {
            const size_t here = r * plane->width + c;
            best = takes(x[here], x[best]) ? here : best;
        }
    return (uint32_t)best;
}

/* Whether every window is 2x2 and begins where the one before it ended. */
static int is_2x2(const gc_span *spans, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (spans[i].begin != 2 * i || spans[i].end != 2 * i + 2)
            return 0;
    return 1;
}

/* One output row of 2x2 windows, in a form that compilers vectorise; `offset` is that of the
 * upper input row. */
static void max_row_2x2(size_t count, size_t width, uint32_t offset, const float *x, float *y,
                        uint32_t *position)
{
    const float *upper = x + offset, *lower = upper + width;
    const uint32_t down = (uint32_t)width;
    for (size_t j = 0; j < count; j++) {
        const float b = upper[2 * j + 1], c = lower[2 * j], d = lower[2 * j + 1];
        float best = upper[2 * j];
        uint32_t where = 0;
        where = takes(b, best) ? 1 : where;
        best = takes(b, best) ? b : best;
        where = takes(c, best) ? down : where;
        best = takes(c, best) ? c : best;
        where = takes(d, best) ? down + 1 : where;
        best = takes(d, best) ? d : best;
        y[j] = best;
        position[j] = offset + 2 * (uint32_t)j + where;
    }
}

void GC_KERNEL(max_pool_forward)(const gc_pool_plane *plane, const float *x, float *y,
                                 uint32_t *position)
{
    const size_t count = plane->out_width;
    const int vgg = is_2x2(plane->rows, plane->out_height) && is_2x2(plane->columns, count);
    for (size_t i = 0; i < plane->out_height; i++, y += count, position += count) {
        if (vgg) {
            max_row_2x2(count, plane->width, (uint32_t)(2 * i * plane->width), x, y, position);
            continue;
        }
        for (size_t j = 0; j < count; j++) {
            position[j] = largest(plane, plane->rows[i], plane->columns[j], x);
            y[j] = x[position[j]];
        }
    }
}

void GC_KERNEL(max_pool_backward)(size_t count, const uint32_t *position, const float *dy,
                                  float *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[position[i]] += dy[i];
}

void GC_KERNEL(average_pool_forward)(const gc_pool_plane *plane, const float *x, float *y)
{
    for (size_t i = 0; i < plane->out_height; i++)
        for (size_t j = 0; j < plane->out_width; j++) {
            const gc_span rows = plane->rows[i], columns = plane->columns[j];
            float sum = 0.0f;
            for (size_t r = rows.begin; r < rows.end; r++)
                for (size_t c = columns.begin; c < columns.end; c++)
                    sum += x[r * plane->width + c];
            y[i * plane->out_width + j] = sum / (float)(rows.divisor * columns.divisor);
        }
}

void GC_KERNEL(average_pool_backward)(const gc_pool_plane *plane, const float *dy, float *dx)
{
    for (size_t i = 0; i < plane->out_height; i++)
        for (size_t j = 0; j < plane->out_width; j++) {
            const gc_span rows = plane->rows[i], columns = plane->columns[j];
            const float share = dy[i * plane->out_width + j]
                                / (float)(rows.divisor * columns.divisor);
            for (size_t r = rows.begin; r < rows.end; r++)
                for (size_t c = columns.begin; c < columns.end; c++)
                    dx[r * plane->width + c] += share;
        }
}
