/* maps.c: the arithmetic of explanations: pooled gradients, weighted sums of maps, resizing.
 *
 * Grad-CAM (Selvaraju et al. 2017): alpha_k = channel_mean of dS/dA^k, and the map before
 * its ReLU is weighted_sum of alpha and A. */
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

void GC_KERNEL(resize)(size_t width, size_t out_height, size_t out_width, const gc_tap *rows,
                       const gc_tap *columns, const float *map, float *out)
{
    for (size_t i = 0; i < out_height; i++, out += out_width) {
        const gc_tap row = rows[i];
        const float *low = map + row.low * width, *high = map + row.high * width;
        const int row_outside = row.low_weight == 0.0f && row.high_weight == 0.0f;
        for (size_t j = 0; j < out_width; j++) {
            const gc_tap column = columns[j];
            if (row_outside || (column.low_weight == 0.0f && column.high_weight == 0.0f)) {
                out[j] = 0.0f;
                continue;
            }
            const float above = column.low_weight * low[column.low]
                                + column.high_weight * low[column.high];
            const float below = column.low_weight * high[column.low]
                                + column.high_weight * high[column.high];
            out[j] = row.low_weight * above + row.high_weight * below;
        }
    }
}
