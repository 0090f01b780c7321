/* maps.c: the arithmetic of explanations: pooled gradients, weighted sums of maps, resizing.
 *
 * Grad-CAM (Selvaraju et al. 2017): alpha_k = channel_mean of dS/dA^k, and the map before
 * its ReLU is weighted_sum of alpha and A. */
#include <string.h>

#include "kernels/level.h"

void GC_KERNEL(channel_mean)(size_t count, size_t positions, const float *maps, float *out)
{
    for (size_t i = 0; i < count; i++) {
        const float *map = maps + i * positions;
        double sums[4] = {0.0, 0.0, 0.0, 0.0}; /* four chains hide the latency of the sum */
        size_t p = 0;
        for (; p + 4 <= positions; p += 4)
            for (size_t s = 0; s < 4; s++)
                sums[s] += map[p + s];
        for (; p < positions; p++)
            sums[0] += map[p];
        out[i] = (float)((sums[0] + sums[1] + sums[2] + sums[3]) / (double)positions);
    }
}

void GC_KERNEL(weighted_sum)(size_t channels, size_t positions, const float *weights,
                             const float *maps, float *out)
{
    for (size_t p = 0; p < positions; p++)
        out[p] = 0.0f;
    for (size_t c = 0; c < channels; c++) {
        const float weight = weights[c];
        const float *map = maps + c * positions;
        for (size_t p = 0; p < positions; p++)
            out[p] += weight * map[p];
    }
}

void GC_KERNEL(weighted_sum_backward)(size_t channels, size_t positions, const float *weights,
                                      const float *maps, const float *dout, float *dweights,
                                      float *dmaps)
{
    for (size_t c = 0; c < channels; c++) {
        if (dweights != NULL)
            GC_KERNEL(dot)(positions, dout, maps + c * positions, dweights + c);
        if (dmaps != NULL)
            GC_KERNEL(affine)(positions, weights[c], 0.0f, dout, dmaps + c * positions);
    }
}

enum { COLUMNS = 256 }; /* of a strip */

/* A row of the map through the taps of some columns. */
static void resize_row(size_t count, const gc_tap *columns, const float *row, float *out)
{
    for (size_t j = 0; j < count; j++) {
        const gc_tap tap = columns[j];
        const int outside = tap.low_weight == 0.0f && tap.high_weight == 0.0f;
        out[j] = outside ? 0.0f
                         : tap.low_weight * row[tap.low] + tap.high_weight * row[tap.high];
    }
}

/* Strips of columns; in each, a row of the map is resized once for all output rows that it is a
 * neighbour of: the higher one of some rows is the lower one of the next. */
void GC_KERNEL(resize)(size_t width, size_t out_height, size_t out_width, const gc_tap *rows,
                       const gc_tap *columns, const float *map, float *out)
{
    float strips[2][COLUMNS];
    for (size_t first = 0; first < out_width; first += COLUMNS) {
        const size_t count = out_width - first < COLUMNS ? out_width - first : COLUMNS;
        size_t held[2] = {SIZE_MAX, SIZE_MAX}; /* the rows of the map in `strips` */
        for (size_t i = 0; i < out_height; i++) {
            const gc_tap row = rows[i];
            float *to = out + i * out_width + first;
            if (row.low_weight == 0.0f && row.high_weight == 0.0f) {
                memset(to, 0, count * sizeof *to);
                continue;
            }
            const size_t lower = held[1] == row.low; /* the strip of that row */
            const size_t wanted[2] = {lower ? row.high : row.low, lower ? row.low : row.high};
            for (size_t s = 0; s < 2; s++)
                if (held[s] != wanted[s]) {
                    resize_row(count, columns + first, map + wanted[s] * width, strips[s]);
                    held[s] = wanted[s];
                }
            const float *low = strips[lower], *high = strips[!lower];
            for (size_t j = 0; j < count; j++)
                to[j] = row.low_weight * low[j] + row.high_weight * high[j];
        }
    }
}
