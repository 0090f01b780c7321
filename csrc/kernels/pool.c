/* pool.c: max and average pooling of one plane.
 *
 * Output (i, j) covers the input rows rows[i] and columns columns[j]; how these spans follow
 * from kernel, stride, padding or a fixed output size is the layer's business. */
#include <math.h>

#include "kernels/level.h"

/* Offset of the largest value of the window; the first of equals, and NaN before all. */
static uint32_t largest(const gc_pool_plane *plane, gc_span rows, gc_span columns,
                        const float *x)
{
    size_t best = rows.begin * plane->width + columns.begin;
    for (size_t r = rows.begin; r < rows.end; r++)
        for (size_t c = columns.begin; c < columns.end; c++) {
            const size_t here = r * plane->width + c;
            if (x[here] > x[best] || (isnan(x[here]) && !isnan(x[best])))
                best = here;
        }
    return (uint32_t)best;
}

void GC_KERNEL(max_pool_forward)(const gc_pool_plane *plane, const float *x, float *y,
                                 uint32_t *position)
{
    for (size_t i = 0; i < plane->out_height; i++)
        for (size_t j = 0; j < plane->out_width; j++) {
            const size_t out = i * plane->out_width + j;
            position[out] = largest(plane, plane->rows[i], plane->columns[j], x);
            y[out] = x[position[out]];
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
