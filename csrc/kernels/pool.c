/* pool.c: max and average pooling of one plane.
 *
 * Output (i, j) covers the input rows rows[i] and columns columns[j]; how these spans follow
 * from kernel, stride, padding or a fixed output size is computed in layers/pool.c. */
#include "kernels/level.h"

/* Whether `value` takes the place of `best`: greater, or the first NaN. Without a branch. */
static int takes(float value, float best)
{
    return !(value <= best) & (best == best);
}

/* Offset of the maximum of a window: the first of equal values; NaN is larger than all numbers. */
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

enum { COLUMNS = 128 }; /* of output that are worked on at a time */

/* Up to COLUMNS outputs of a row of 2x2 windows, in two steps that compilers vectorise: the
 * larger of each column, and the larger of each pair of columns. `offset` is that of the first
 * upper value in the plane. The winner is that of `largest`: of equal values the upper row's
 * comes first, which between columns takes a comparison of its own. */
static void max_row_2x2(size_t count, uint32_t width, uint32_t offset, const float *restrict upper,
                        const float *restrict lower, float *restrict y,
                        uint32_t *restrict position)
{
    float best[2 * COLUMNS];
    uint32_t down[2 * COLUMNS];
    for (size_t x = 0; x < 2 * count; x++) {
        const int take = takes(lower[x], upper[x]);
        best[x] = take ? lower[x] : upper[x];
        down[x] = take ? width : 0;
    }
    for (size_t j = 0; j < count; j++) {
        const float left = best[2 * j], right = best[2 * j + 1];
        const uint32_t left_down = down[2 * j], right_down = down[2 * j + 1];
        const int equal = (right == left) | ((right != right) & (left != left));
        const int take = takes(right, left) | (equal & (right_down < left_down));
        y[j] = take ? right : left;
        position[j] = offset + 2 * (uint32_t)j + (take ? right_down + 1 : left_down);
    }
}

void GC_KERNEL(max_pool_forward)(const gc_pool_plane *plane, const float *x, float *y,
                                 uint32_t *position)
{
    const size_t count = plane->out_width;
    uint32_t unused[COLUMNS];
    const int vgg = is_2x2(plane->rows, plane->out_height) && is_2x2(plane->columns, count);
    for (size_t i = 0; i < plane->out_height; i++, y += count) {
        const size_t offset = 2 * i * plane->width;
        for (size_t j = 0; vgg && j < count; j += COLUMNS)
            max_row_2x2(count - j < COLUMNS ? count - j : COLUMNS, (uint32_t)plane->width,
                        (uint32_t)(offset + 2 * j), x + offset + 2 * j,
                        x + offset + plane->width + 2 * j, y + j,
                        position == NULL ? unused : position + i * count + j);
        for (size_t j = 0; !vgg && j < count; j++) {
            const uint32_t best = largest(plane, plane->rows[i], plane->columns[j], x);
            y[j] = x[best];
            if (position != NULL)
                position[i * count + j] = best;
        }
    }
}

void GC_KERNEL(max_pool_backward)(size_t count, const uint32_t *position, const float *dy,
                                  float *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[position[i]] += dy[i];
}

/* The sum of `count` values, in four parts that do not wait for each other; the same order as in
 * blocked_pool.c. */
static float sum_of(size_t count, const float *x)
{
    float sum = 0.0f;
    size_t c = 0;
    if (count >= 8) {
        float parts[4] = {0};
        for (; c + 4 <= count; c += 4)
            for (size_t k = 0; k < 4; k++)
                parts[k] += x[c + k];
        sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    }
    for (; c < count; c++)
        sum += x[c];
    return sum;
}

void GC_KERNEL(average_pool_forward)(const gc_pool_plane *plane, const float *x, float *y)
{
    for (size_t i = 0; i < plane->out_height; i++)
        for (size_t j = 0; j < plane->out_width; j++) {
            const gc_span rows = plane->rows[i], columns = plane->columns[j];
            float sum = 0.0f;
            for (size_t r = rows.begin; r < rows.end; r++)
                sum += sum_of(columns.end - columns.begin, x + r * plane->width + columns.begin);
            y[i * plane->out_width + j] = sum / (float)(rows.divisor * columns.divisor);
        }
}

void GC_KERNEL(average_pool_backward)(const gc_pool_plane *plane, const float *dy, float *dx)
{
    for (size_t i = 0; i < plane->out_height; i++)
        for (size_t j = 0; j < plane->out_width; j++) {
            const gc_span rows = plane->rows[i], columns = plane->columns[j];
            const float divisor =
                plane->divisor != 0 ? 1.0f : (float)(rows.divisor * columns.divisor);
            const float share = dy[i * plane->out_width + j] / divisor;
            for (size_t r = rows.begin; r < rows.end; r++)
                for (size_t c = columns.begin; c < columns.end; c++)
                    dx[r * plane->width + c] += share;
        }
}
