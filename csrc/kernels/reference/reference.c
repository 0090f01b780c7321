/* reference.c: every kernel again, as plainly as its definition, summed in double.
 *
 * The oracle of the tests, and a level of its own: GRADCAM_CPU_LEVEL=reference runs whole
 * networks on it. Nothing here is shared with the fast kernels, and nothing is clever. */
#include <math.h>

#include "kernels/kernels.h"

#define X(name, parameters) void gc_##name##_reference parameters;
GC_KERNELS(X)
#undef X

/* Offset in the map of the pixel that column entry (r, position) stands for; -1: padding. */
static ptrdiff_t pixel(const gc_window *w, size_t r, size_t position)
{
    const ptrdiff_t kx = (ptrdiff_t)(r % w->kernel[1]);
    const ptrdiff_t ky = (ptrdiff_t)(r / w->kernel[1] % w->kernel[0]);
    const ptrdiff_t c = (ptrdiff_t)(r / w->kernel[1] / w->kernel[0]);
    const ptrdiff_t oy = (ptrdiff_t)(position / w->out_width);
    const ptrdiff_t ox = (ptrdiff_t)(position % w->out_width);
    const ptrdiff_t y = oy * (ptrdiff_t)w->stride[0] + ky * (ptrdiff_t)w->dilation[0]
                        - (ptrdiff_t)w->padding[0];
    const ptrdiff_t x = ox * (ptrdiff_t)w->stride[1] + kx * (ptrdiff_t)w->dilation[1]
                        - (ptrdiff_t)w->padding[1];
    if (y < 0 || y >= (ptrdiff_t)w->height || x < 0 || x >= (ptrdiff_t)w->width)
        return -1;
    return (c * (ptrdiff_t)w->height + y) * (ptrdiff_t)w->width + x;
}

void gc_im2col_reference(const gc_window *window, const float *map, size_t first, size_t count,
                         float *columns)
{
    const size_t rows = window->channels * window->kernel[0] * window->kernel[1];
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < count; p++) {
            const ptrdiff_t from = pixel(window, r, first + p);
            columns[r * count + p] = from < 0 ? 0.0f : map[from];
        }
}

void gc_col2im_reference(const gc_window *window, const float *columns, size_t first,
                         size_t count, float *map)
{
    const size_t rows = window->channels * window->kernel[0] * window->kernel[1];
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < count; p++) {
            const ptrdiff_t to = pixel(window, r, first + p);
            if (to >= 0)
                map[to] += columns[r * count + p];
        }
}

void gc_bias_reference(size_t count, float bias, float *row)
{
    for (size_t i = 0; i < count; i++)
        row[i] += bias;
}

void gc_bias_relu_reference(size_t count, float bias, float *row, uint8_t *bits)
{
    gc_bias_reference(count, bias, row);
    gc_relu_forward_reference(count, row, row, bits);
}

void gc_relu_forward_reference(size_t count, const float *x, float *y, uint8_t *bits)
{
    for (size_t i = 0; i < (count + 7) / 8; i++)
        bits[i] = 0;
    for (size_t i = 0; i < count; i++) {
        if (x[i] > 0.0f)
            bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
    }
}

void gc_relu_backward_reference(size_t count, gc_rule rule, const uint8_t *bits,
                                const float *dy, float *dx)
{
    for (size_t i = 0; i < count; i++) {
        const int open = rule == GC_DECONVNET || (bits[i / 8] >> (i % 8) & 1);
        const int passes = rule == GC_GRADIENT || dy[i] > 0.0f;
        dx[i] = open && passes ? dy[i] : 0.0f;
    }
}

void gc_max_pool_forward_reference(const gc_pool_plane *plane, const float *x, float *y,
                                   uint32_t *position)
{
    for (size_t i = 0; i < plane->out_height; i++)
        for (size_t j = 0; j < plane->out_width; j++) {
            size_t best = SIZE_MAX;
            for (size_t r = plane->rows[i].begin; r < plane->rows[i].end; r++)
                for (size_t c = plane->columns[j].begin; c < plane->columns[j].end; c++) {
                    const size_t here = r * plane->width + c;
                    if (best == SIZE_MAX || x[here] > x[best]
                        || (isnan(x[here]) && !isnan(x[best])))
                        best = here;
                }
            position[i * plane->out_width + j] = (uint32_t)best;
            y[i * plane->out_width + j] = x[best];
        }
}

void gc_max_pool_backward_reference(size_t count, const uint32_t *position, const float *dy,
                                    float *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[position[i]] += dy[i];
}

void gc_average_pool_forward_reference(const gc_pool_plane *plane, const float *x, float *y)
{
    for (size_t i = 0; i < plane->out_height; i++)
        for (size_t j = 0; j < plane->out_width; j++) {
            double sum = 0.0;
            for (size_t r = plane->rows[i].begin; r < plane->rows[i].end; r++)
                for (size_t c = plane->columns[j].begin; c < plane->columns[j].end; c++)
                    sum += x[r * plane->width + c];
            y[i * plane->out_width + j] =
                (float)(sum / (double)(plane->rows[i].divisor * plane->columns[j].divisor));
        }
}

void gc_average_pool_backward_reference(const gc_pool_plane *plane, const float *dy, float *dx)
{
    for (size_t r = 0; r < plane->height; r++)
        for (size_t c = 0; c < plane->width; c++) {
            double sum = dx[r * plane->width + c];
            for (size_t i = 0; i < plane->out_height; i++)
                for (size_t j = 0; j < plane->out_width; j++)
                    if (plane->rows[i].begin <= r && r < plane->rows[i].end
                        && plane->columns[j].begin <= c && c < plane->columns[j].end)
                        sum += (double)dy[i * plane->out_width + j]
                               / (double)(plane->rows[i].divisor * plane->columns[j].divisor);
            dx[r * plane->width + c] = (float)sum;
        }
}

void gc_accumulate_reference(size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] += x[i];
}

void gc_affine_reference(size_t count, float scale, float shift, const float *x, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (float)((double)scale * x[i] + shift);
}

void gc_softmax_forward_reference(size_t count, const float *x, float *y)
{
    double maximum = x[0], sum = 0.0;
    for (size_t i = 0; i < count; i++)
        maximum = x[i] > maximum ? x[i] : maximum;
    for (size_t i = 0; i < count; i++)
        sum += exp(x[i] - maximum);
    for (size_t i = 0; i < count; i++)
        y[i] = (float)(exp(x[i] - maximum) / sum);
}

void gc_softmax_backward_reference(size_t count, const float *y, const float *dy, float *dx)
{
    double dot = 0.0;
    for (size_t j = 0; j < count; j++)
        dot += (double)dy[j] * y[j];
    for (size_t i = 0; i < count; i++)
        dx[i] = (float)(y[i] * (dy[i] - dot));
}

void gc_channel_mean_reference(size_t count, size_t positions, const float *maps, float *out)
{
    for (size_t i = 0; i < count; i++) {
        double sum = 0.0;
        for (size_t p = 0; p < positions; p++)
            sum += maps[i * positions + p];
        out[i] = (float)(sum / (double)positions);
    }
}

void gc_weighted_sum_reference(size_t channels, size_t positions, const float *weights,
                               const float *maps, float *out)
{
    for (size_t p = 0; p < positions; p++) {
        double sum = 0.0;
        for (size_t c = 0; c < channels; c++)
            sum += (double)weights[c] * maps[c * positions + p];
        out[p] = (float)sum;
    }
}

void gc_resize_reference(size_t width, size_t out_height, size_t out_width, const gc_tap *rows,
                         const gc_tap *columns, const float *map, float *out)
{
    for (size_t i = 0; i < out_height; i++)
        for (size_t j = 0; j < out_width; j++) {
            const gc_tap r = rows[i], c = columns[j];
            const double value =
                (double)r.low_weight * c.low_weight * map[r.low * width + c.low]
                + (double)r.low_weight * c.high_weight * map[r.low * width + c.high]
                + (double)r.high_weight * c.low_weight * map[r.high * width + c.low]
                + (double)r.high_weight * c.high_weight * map[r.high * width + c.high];
            const int outside = (r.low_weight == 0.0f && r.high_weight == 0.0f)
                                || (c.low_weight == 0.0f && c.high_weight == 0.0f);
            out[i * out_width + j] = outside ? 0.0f : (float)value;
        }
}

/* Blocked maps and Winograd's tiles with vectors of one: W = 1 in the layouts of
 * kernels/winograd.c. The matrices are written out from their definition there. */
void gc_block_map_reference(size_t channels, size_t height, size_t width, size_t columns,
                            const float *map, float *blocked)
{
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            blocked[(y + 1) * columns + x + 1] = channels == 0 ? 0.0f : map[y * width + x];
}

void gc_unblock_map_reference(size_t channels, size_t positions, const float *blocked,
                              float *map)
{
    for (size_t p = 0; p < positions && channels > 0; p++)
        map[p] = blocked[p];
}

/* Row i of B^T: the coefficients of the polynomial that vanishes at all points but point i
 * (row 5: at all points), scaled as in kernels/winograd.c. */
static void matrix_b(double b[6][6])
{
    const double p = sqrt(0.5), q = sqrt(2.0);
    const double rows[6][6] = {
        {1.0, 0.0, -(p * p + q * q), 0.0, 1.0, 0.0},
        {0.0, -q, -q * q, p, 1.0, 0.0},
        {0.0, q, -q * q, -p, 1.0, 0.0},
        {0.0, -p, -p * p, q, 1.0, 0.0},
        {0.0, p, -p * p, -q, 1.0, 0.0},
        {0.0, 1.0, 0.0, -(p * p + q * q), 0.0, 1.0},
    };
    for (int i = 0; i < 36; i++)
        b[i / 6][i % 6] = rows[i / 6][i % 6];
}

/* A^T[i][j] = (point j)^i; the point at infinity counts in the last row alone. */
static double matrix_a(int i, int j)
{
    const double points[5] = {0.0, sqrt(0.5), -sqrt(0.5), sqrt(2.0), -sqrt(2.0)};
    return j == 5 ? i == 3 : pow(points[j], i);
}

void gc_winograd_input_reference(const gc_winograd *winograd, size_t first, size_t count,
                                 const float *maps, float *v)
{
    const gc_winograd *w = winograd;
    const size_t of_image = w->tiles_down * w->tiles_across;
    double b[6][6];
    matrix_b(b);
    for (size_t c = 0; c < w->in_blocks; c++)
        for (size_t t = 0; t < count; t++) {
            const size_t image = (first + t) / of_image, tile = (first + t) % of_image;
            const float *d = maps + (image * w->in_blocks + c) * w->rows * w->columns
                             + tile / w->tiles_across * 4 * w->columns
                             + tile % w->tiles_across * 4;
            for (int xi = 0; xi < 36; xi++) {
                double sum = 0.0;
                for (int y = 0; y < 6; y++)
                    for (int x = 0; x < 6; x++)
                        sum += b[xi / 6][y] * d[(size_t)y * w->columns + (size_t)x]
                               * b[xi % 6][x];
                v[(size_t)xi * w->v_plane + c * w->tile_room + t] = (float)sum;
            }
        }
}

/* Channel `half` of the block: M in double, and its way back into the map. */
static void output_of_tile(const gc_winograd *w, size_t t, const float *u, const float *v,
                           size_t half, float *out, size_t height, size_t width)
{
    double m[36];
    for (size_t xi = 0; xi < 36; xi++) {
        m[xi] = 0.0;
        for (size_t c = 0; c < w->in_blocks; c++)
            m[xi] += (double)v[xi * w->v_plane + c * w->tile_room + t]
                     * u[(xi * w->in_blocks + c) * 2 + half];
    }
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            double sum = 0.0;
            for (int xi = 0; xi < 36; xi++)
                sum += matrix_a((int)y, xi / 6) * m[xi] * matrix_a((int)x, xi % 6);
            out[y * w->width + x] = (float)sum;
        }
}

void gc_winograd_output_reference(const gc_winograd *winograd, size_t first, size_t count,
                                  size_t block, const float *u, const float *v, float *m,
                                  float *maps)
{
    const gc_winograd *w = winograd;
    const size_t of_image = w->tiles_down * w->tiles_across;
    (void)m;
    u += block * 36 * w->in_blocks * 2;
    for (size_t half = 0; half < 2; half++)
        for (size_t t = 0; t < count; t++) {
            const size_t image = (first + t) / of_image, tile = (first + t) % of_image;
            const size_t y = tile / w->tiles_across * 4, x = tile % w->tiles_across * 4;
            float *plane =
                maps + (image * 2 * w->out_blocks + 2 * block + half) * w->height * w->width;
            output_of_tile(w, t, u, v, half, plane + y * w->width + x,
                           w->height - y < 4 ? w->height - y : 4,
                           w->width - x < 4 ? w->width - x : 4);
        }
}

void gc_dense_forward_reference(size_t rows, size_t columns, const float *w, const float *x,
                                float *y)
{
    for (size_t r = 0; r < rows; r++) {
        double sum = 0.0;
        for (size_t c = 0; c < columns; c++)
            sum += (double)w[r * columns + c] * x[c];
        y[r] = (float)sum;
    }
}

void gc_dense_backward_reference(size_t rows, size_t columns, size_t stride, const float *w,
                                 const float *g, float *dx)
{
    for (size_t c = 0; c < columns; c++) {
        double sum = 0.0;
        for (size_t r = 0; r < rows; r++)
            sum += (double)g[r] * w[r * stride + c];
        dx[c] = (float)sum;
    }
}

void gc_all_finite_reference(size_t count, const float *values, int *finite)
{
    *finite = 1;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            *finite = 0;
}

void gc_gemm_reference(int transpose_a, int transpose_b, size_t m, size_t n, size_t k,
                       const float *a, size_t lda, const float *b, size_t ldb, float *c,
                       size_t ldc)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (size_t l = 0; l < k; l++)
                sum += (double)a[transpose_a ? l * lda + i : i * lda + l]
                       * b[transpose_b ? j * ldb + l : l * ldb + j];
            c[i * ldc + j] = (float)sum;
        }
}
