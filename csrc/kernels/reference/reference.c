/* reference.c: every kernel again, as plainly as its definition, summed in double.
 *
 * The tests compare the kernels of other levels with these, and it is a level too:
 * GRADCAM_CPU_LEVEL=reference runs whole networks on it. It shares no code with the fast
 * kernels. */
#include <math.h>
#include <string.h>

#include "kernels/reference/reference.h"

const gc_kernels gc_kernels_reference = {
    .level = "reference",
    .width = 1,
    .tiles = 4,
    .is_reference = 1,
#define GC_KERNEL_ENTRY(name, parameters) .name = gc_##name##_reference,
#include "kernels/list.h"
};

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

static float rectify(float x, float limit)
{
    return x < 0.0f ? 0.0f : x > limit ? limit : x;
}

/* Whether the derivative of a ReLU is 1. */
static int is_open(float x, float limit)
{
    return x > 0.0f && (x < limit || limit == INFINITY);
}

void gc_bias_relu_reference(size_t count, float bias, float limit, float *row, uint8_t *bits)
{
    gc_bias_reference(count, bias, row);
    gc_relu_forward_reference(count, limit, row, row, bits);
}

void gc_relu_forward_reference(size_t count, float limit, const float *x, float *y, uint8_t *bits)
{
    for (size_t i = 0; bits != NULL && i < (count + 7) / 8; i++)
        bits[i] = 0;
    for (size_t i = 0; i < count; i++) {
        if (bits != NULL && is_open(x[i], limit))
            bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
        y[i] = rectify(x[i], limit);
    }
}

static float back_through_relu(float g, unsigned masks, int positive)
{
    const int passes = (!(masks & GC_MASK_INPUT) || positive)
                       && (!(masks & GC_MASK_GRADIENT) || g > 0.0f);
    return passes ? g : 0.0f;
}

void gc_relu_backward_reference(size_t count, unsigned masks, const uint8_t *bits,
                                const float *dy, float *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = back_through_relu(dy[i], masks, bits[i / 8] >> (i % 8) & 1);
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
            if (position != NULL)
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
                               / (plane->divisor != 0 ? 1.0
                                                      : (double)(plane->rows[i].divisor
                                                                 * plane->columns[j].divisor));
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

void gc_add_reference(size_t count, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

void gc_multiply_reference(size_t count, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] * b[i];
}

void gc_dot_reference(size_t count, const float *a, const float *b, float *sum)
{
    double total = 0.0;
    for (size_t i = 0; i < count; i++)
        total += (double)a[i] * b[i];
    *sum = (float)total;
}

/* The number of the largest value: values are `stride` floats apart. */
static size_t largest(size_t count, size_t stride, const float *x)
{
    size_t top = 0;
    for (size_t i = 0; i < count; i++)
        top = x[i * stride] > x[top * stride] ? i : top;
    return top;
}

/* The sum of exp(x_i - maximum) of all values but number `without`. */
static double exponentials(size_t count, size_t stride, const float *x, double maximum,
                           size_t without)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += i == without ? 0.0 : exp(x[i * stride] - maximum);
    return sum;
}

void gc_softmax_forward_reference(size_t count, size_t stride, const float *x, float *y)
{
    const double maximum = x[largest(count, stride, x) * stride];
    const double sum = exponentials(count, stride, x, maximum, count);
    for (size_t i = 0; i < count; i++)
        y[i * stride] = (float)(exp(x[i * stride] - maximum) / sum);
}

/* Every dy less that of the largest x, which keeps the sum free of cancellation. */
void gc_softmax_backward_reference(size_t count, size_t stride, const float *x, const float *dy,
                                   float *dx)
{
    const size_t top = largest(count, stride, x) * stride;
    const double maximum = x[top], shift = dy[top];
    const double sum = exponentials(count, stride, x, maximum, count);
    double dot = 0.0;
    for (size_t j = 0; j < count; j++)
        dot += exp(x[j * stride] - maximum) / sum * (dy[j * stride] - shift);
    for (size_t i = 0; i < count; i++)
        dx[i * stride] =
            (float)(exp(x[i * stride] - maximum) / sum * (dy[i * stride] - shift - dot));
}

void gc_log_softmax_forward_reference(size_t count, size_t stride, const float *x, float *y)
{
    const size_t top = largest(count, stride, x);
    const double maximum = x[top * stride];
    const double logarithm = log1p(exponentials(count, stride, x, maximum, top));
    for (size_t i = 0; i < count; i++)
        y[i * stride] = (float)(x[i * stride] - maximum - logarithm);
}

/* dx_top = dy_top (1 - p_top) - p_top (sum of the other dy);
 * 1 - p_top is the sum of the other p. */
void gc_log_softmax_backward_reference(size_t count, size_t stride, const float *x,
                                       const float *dy, float *dx)
{
    const size_t top = largest(count, stride, x);
    const double maximum = x[top * stride], of_top = dy[top * stride];
    const double rest = exponentials(count, stride, x, maximum, top);
    double others = 0.0;
    for (size_t i = 0; i < count; i++)
        others += i == top ? 0.0 : dy[i * stride];
    for (size_t i = 0; i < count; i++) {
        const double p = exp(x[i * stride] - maximum) / (1.0 + rest);
        dx[i * stride] = (float)(dy[i * stride] - p * (of_top + others));
    }
    dx[top * stride] = (float)((of_top * rest - others) / (1.0 + rest));
}

static double normal_distribution(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

static double logistic(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* f(x); its derivative into *derivative. */
static double activate(const gc_activation *activation, double x, double *derivative)
{
    const double pi = 3.14159265358979323846, root = sqrt(2.0 / pi);
    const double s = logistic(x), rest = logistic(-x), f = normal_distribution(x);
    const double v = root * (x + 0.044715 * x * x * x), line = x / 6.0 + 0.5;
    const double hard = line < 0.0 ? 0.0 : line > 1.0 ? 1.0 : line;
    switch (activation->kind) {
    case GC_ELU:
        *derivative = x > 0.0 ? 1.0 : activation->slope * exp(x);
        return x > 0.0 ? x : activation->slope * expm1(x);
    case GC_SIGMOID:
        *derivative = s * rest;
        return s;
    case GC_SILU:
        *derivative = s + x * s * rest;
        return x * s;
    case GC_TANH:
        *derivative = 1.0 / (cosh(x) * cosh(x));
        return tanh(x);
    case GC_GELU:
        *derivative = f + x * exp(-0.5 * x * x) / sqrt(2.0 * pi);
        return x * f;
    case GC_GELU_TANH:
        *derivative = logistic(2.0 * v)
                      + x * logistic(2.0 * v) * logistic(-2.0 * v) * 2.0 * root
                            * (1.0 + 3.0 * 0.044715 * x * x);
        return x * logistic(2.0 * v);
    case GC_HARD_SIGMOID:
        *derivative = x > -3.0 && x < 3.0 ? 1.0 / 6.0 : 0.0;
        return hard;
    case GC_HARD_SWISH:
        *derivative = x > -3.0 && x < 3.0 ? x / 3.0 + 0.5 : hard;
        return x * hard;
    case GC_CLIP:
    case GC_LEAKY_RELU:
    case GC_PRELU:
        break;
    }
    return *derivative = 0.0; /* not by this kernel */
}

void gc_activation_forward_reference(const gc_activation *activation, size_t count, const float *x,
                                     float *y, float *derivatives)
{
    for (size_t i = 0; i < count; i++) {
        double derivative;
        y[i] = (float)activate(activation, x[i], &derivative);
        if (derivatives != NULL)
            derivatives[i] = (float)derivative;
    }
}

static void write_bit(uint8_t *bits, size_t i, int bit)
{
    if (bits != NULL && i % 8 == 0)
        bits[i / 8] = 0;
    if (bits != NULL)
        bits[i / 8] |= (uint8_t)(bit << i % 8);
}

void gc_lstm_forward_reference(size_t count, const float *inputs, const float *before, float *a,
                               float *c, float *h)
{
    for (size_t i = 0; i < 4 * count; i++)
        a[i] += inputs[i];
    for (size_t k = 0; k < count; k++) {
        const double cell = logistic(a[count + k]) * before[k] + logistic(a[k]) * tanh(a[2 * count + k]);
        c[k] = (float)cell;
        h[k] = (float)(logistic(a[3 * count + k]) * tanh(cell));
    }
}

void gc_lstm_backward_reference(size_t count, const float *a, const float *before, const float *c,
                                const float *dh, const float *later, float *dc, float *da)
{
    for (size_t k = 0; k < count; k++) {
        const double i = a[k], f = a[count + k], g = a[2 * count + k], o = a[3 * count + k];
        const double by_h = (double)dh[k] + later[k];
        const double by_c = dc[k] + by_h * logistic(o) / (cosh(c[k]) * cosh(c[k]));
        da[k] = (float)(by_c * tanh(g) * logistic(i) * logistic(-i));
        da[count + k] = (float)(by_c * before[k] * logistic(f) * logistic(-f));
        da[2 * count + k] = (float)(by_c * logistic(i) / (cosh(g) * cosh(g)));
        da[3 * count + k] = (float)(by_h * tanh(c[k]) * logistic(o) * logistic(-o));
        dc[k] = (float)(by_c * logistic(f));
    }
}

void gc_clip_forward_reference(size_t count, float low, float high, const float *x, float *y,
                               uint8_t *bits)
{
    for (size_t i = 0; i < count; i++) {
        write_bit(bits, i, low < x[i] && x[i] < high);
        y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
    }
}

void gc_leaky_forward_reference(size_t count, const float *slopes, size_t period, const float *x,
                                float *y, uint8_t *bits)
{
    for (size_t i = 0; i < count; i++) {
        write_bit(bits, i, x[i] > 0.0f);
        y[i] = x[i] > 0.0f ? x[i] : (float)((double)slopes[i % period] * x[i]);
    }
}

void gc_leaky_backward_reference(size_t count, const float *slopes, size_t period, unsigned masks,
                                 const uint8_t *bits, const float *dy, float *dx)
{
    for (size_t i = 0; i < count; i++) {
        const double slope = slopes[i % period];
        double g = dy[i];
        if (masks & GC_MASK_INPUT && !(bits[i / 8] >> i % 8 & 1))
            g *= slope;
        if (masks & GC_MASK_GRADIENT && !(dy[i] > 0.0f))
            g *= slope;
        dx[i] = (float)g;
    }
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

void gc_weighted_sum_backward_reference(size_t channels, size_t positions, const float *weights,
                                        const float *maps, const float *dout, float *dweights,
                                        float *dmaps)
{
    for (size_t c = 0; c < channels; c++) {
        double sum = 0.0;
        for (size_t p = 0; p < positions; p++) {
            sum += (double)dout[p] * maps[c * positions + p];
            if (dmaps != NULL)
                dmaps[c * positions + p] = weights[c] * dout[p];
        }
        if (dweights != NULL)
            dweights[c] = (float)sum;
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

/* Blocked maps and Winograd's tiles with vectors of one: W = 1 in their layouts, and a mask is a
 * byte. The matrices are written out from their definition in kernels/winograd.c. */
void gc_block_map_reference(const gc_blocked *shape, size_t channels, const float *map,
                            float *block)
{
    for (size_t y = 0; y < shape->height; y++)
        for (size_t x = 0; x < shape->width; x++)
            block[(y + 1) * shape->columns + x + 1] =
                channels == 0 ? 0.0f : map[y * shape->width + x];
}

void gc_unblock_map_reference(const gc_blocked *shape, size_t channels, const float *block,
                              float *map)
{
    for (size_t y = 0; y < shape->height && channels > 0; y++)
        for (size_t x = 0; x < shape->width; x++)
            map[y * shape->width + x] = block[(y + 1) * shape->columns + x + 1];
}

void gc_blocked_relu_forward_reference(size_t count, float limit, const float *x, float *y,
                                       uint8_t *bits)
{
    for (size_t i = 0; i < count; i++) {
        if (bits != NULL)
            bits[i] = (uint8_t)is_open(x[i], limit);
        y[i] = rectify(x[i], limit);
    }
}

void gc_blocked_relu_backward_reference(size_t count, unsigned masks, const uint8_t *bits,
                                        const float *dy, float *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = back_through_relu(dy[i], masks, bits[i]);
}

/* Which of four values is the maximum: the first of equals, the first NaN before all. */
static int largest_of_four(const float x[4])
{
    int best = 0;
    for (int i = 1; i < 4; i++)
        if (!isnan(x[best]) && (isnan(x[i]) || x[i] > x[best]))
            best = i;
    return best;
}

void gc_blocked_pool_forward_reference(size_t count, const float *upper, const float *lower,
                                       float *y, uint8_t *positions)
{
    for (size_t i = 0; i < count; i++) {
        const float x[4] = {upper[2 * i], upper[2 * i + 1], lower[2 * i], lower[2 * i + 1]};
        const int best = largest_of_four(x);
        y[i] = x[best];
        if (positions != NULL) {
            positions[2 * i] = (uint8_t)(best % 2);
            positions[2 * i + 1] = (uint8_t)(best / 2);
        }
    }
}

void gc_blocked_pool_backward_reference(size_t count, const uint8_t *positions, const float *dy,
                                        float *upper, float *lower)
{
    for (size_t i = 0; i < count; i++) {
        upper[2 * i] = upper[2 * i + 1] = lower[2 * i] = lower[2 * i + 1] = 0.0f;
        (positions[2 * i + 1] ? lower : upper)[2 * i + positions[2 * i]] = dy[i];
    }
}

void gc_blocked_affine_reference(gc_row_sizes sizes, const float *scale, const float *shift,
                                 const float *x, float *y)
{
    for (size_t r = 0; r < sizes.rows; r++)
        gc_affine_reference(sizes.count, scale[0], shift[0], x + r * sizes.stride,
                            y + r * sizes.stride);
}

void gc_blocked_affine_relu_reference(gc_row_sizes sizes, const float *scale, const float *shift,
                                      float limit, const float *x, float *y, uint8_t *bits)
{
    gc_blocked_affine_reference(sizes, scale, shift, x, y);
    for (size_t r = 0; r < sizes.rows; r++)
        gc_blocked_relu_forward_reference(sizes.count, limit, y + r * sizes.stride,
                                          y + r * sizes.stride,
                                          bits == NULL ? NULL : bits + r * sizes.count);
}

void gc_blocked_dot_reference(size_t count, const float *a, const float *b, float *sums)
{
    gc_dot_reference(count, a, b, sums);
}

void gc_blocked_gather_reference(const gc_lanes *lanes, size_t first, size_t count, float *y)
{
    for (size_t p = first; p < first + count; p++)
        y[p] = lanes->from[0] == GC_NO_SOURCE ? 0.0f : lanes->sources[lanes->from[0]][p];
}

/* s of channel c at one position. */
static double response(const gc_across *a, const gc_lrn_window *w, size_t c, const float *x)
{
    double sum = 0.0;
    for (size_t j = 0; j < a->channels; j++)
        if (j + w->before >= c && j <= c + w->after)
            sum += (double)x[j * a->plane] * x[j * a->plane];
    return w->k + w->scale * sum;
}

void gc_lrn_forward_reference(const gc_across *across, const gc_lrn_window *window, size_t count,
                              const float *x, float *y, float *scratch)
{
    (void)scratch;
    for (size_t p = 0; p < count; p++)
        for (size_t c = 0; c < across->channels; c++)
            y[c * across->plane + p] = (float)(x[c * across->plane + p]
                                               * pow(response(across, window, c, x + p),
                                                     -(double)window->beta));
}

void gc_lrn_backward_reference(const gc_across *across, const gc_lrn_window *window, size_t count,
                               const float *x, const float *dy, float *dx, float *scratch)
{
    const double beta = window->beta;
    for (size_t p = 0; p < count; p++) {
        for (size_t c = 0; c < across->channels; c++) {
            const size_t at = c * across->plane + p;
            double sum = 0.0;
            for (size_t j = 0; j < across->channels; j++)
                if (c + window->before >= j && c <= j + window->after)
                    sum += (double)dy[j * across->plane + p] * x[j * across->plane + p]
                           * pow(response(across, window, j, x + p), -beta - 1.0);
            scratch[c] = (float)(dy[at] * pow(response(across, window, c, x + p), -beta)
                                 - 2.0 * window->scale * beta * x[at] * sum);
        }
        for (size_t c = 0; c < across->channels; c++)
            dx[c * across->plane + p] = scratch[c];
    }
}

/* The mean and the standard deviation of values that are `step` apart. */
static double moments(size_t count, size_t step, float eps, const float *x, double *mean)
{
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += x[i * step];
    *mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (x[i * step] - *mean) * (x[i * step] - *mean);
    return sqrt(squares / (double)count + eps);
}

static void normalise(size_t count, size_t step, float eps, const float *weight, const float *bias,
                      const float *x, float *y)
{
    double mean;
    const double deviation = moments(count, step, eps, x, &mean);
    for (size_t i = 0; i < count; i++)
        y[i * step] = (float)((x[i * step] - mean) / deviation * weight[i]
                              + (bias == NULL ? 0.0 : bias[i]));
}

static void normalise_back(size_t count, size_t step, float eps, const float *weight,
                           const float *x, const float *dy, float *dx)
{
    double mean, sum = 0.0, dot = 0.0;
    const double deviation = moments(count, step, eps, x, &mean);
    for (size_t i = 0; i < count; i++) {
        sum += (double)dy[i * step] * weight[i] / (double)count;
        dot += (double)dy[i * step] * weight[i] * (x[i * step] - mean) / deviation / (double)count;
    }
    for (size_t i = 0; i < count; i++)
        dx[i * step] = (float)(((double)dy[i * step] * weight[i] - sum
                                - (x[i * step] - mean) / deviation * dot) / deviation);
}

void gc_layer_norm_forward_reference(size_t count, float eps, const float *weight,
                                     const float *bias, const float *x, float *y)
{
    normalise(count, 1, eps, weight, bias, x, y);
}

void gc_layer_norm_backward_reference(size_t count, float eps, const float *weight, const float *x,
                                      const float *dy, float *dx)
{
    normalise_back(count, 1, eps, weight, x, dy, dx);
}

void gc_blocked_layer_norm_forward_reference(const gc_across *across, float eps,
                                             const float *weight, const float *bias, size_t count,
                                             const float *x, float *y)
{
    for (size_t p = 0; p < count; p++)
        normalise(across->channels, across->plane, eps, weight, bias, x + p, y + p);
}

void gc_blocked_layer_norm_backward_reference(const gc_across *across, float eps,
                                              const float *weight, size_t count, const float *x,
                                              const float *dy, float *dx)
{
    for (size_t p = 0; p < count; p++)
        normalise_back(across->channels, across->plane, eps, weight, x + p, dy + p, dx + p);
}

/* The vectors of a block here have one element. */
static uint32_t index_at(const void *index, size_t bytes, size_t at)
{
    return bytes == 1   ? ((const uint8_t *)index)[at]
           : bytes == 2 ? ((const uint16_t *)index)[at]
                        : ((const uint32_t *)index)[at];
}

static void set_index(void *index, size_t bytes, size_t at, size_t value)
{
    if (bytes == 1)
        ((uint8_t *)index)[at] = (uint8_t)value;
    else if (bytes == 2)
        ((uint16_t *)index)[at] = (uint16_t)value;
    else
        ((uint32_t *)index)[at] = (uint32_t)value;
}

void gc_blocked_max_forward_reference(const gc_pool_block *p, size_t first, size_t count,
                                      const float *x, float *y, void *index)
{
    for (size_t i = first; i < first + count; i++)
        for (size_t j = 0; j < p->out_width; j++) {
            const gc_span rows = p->rows[i], columns = p->columns[j];
            const size_t width = columns.end - columns.begin;
            size_t best = 0;
            float value = x[rows.begin * p->in_row + columns.begin];
            for (size_t k = 1; k < (rows.end - rows.begin) * width; k++) {
                const float here =
                    x[(rows.begin + k / width) * p->in_row + columns.begin + k % width];
                if (!isnan(value) && (isnan(here) || here > value)) {
                    best = k;
                    value = here;
                }
            }
            y[i * p->out_row + j] = value;
            if (index != NULL)
                set_index(index, p->index_bytes, i * p->out_width + j, best);
        }
}

/* Whether window (i, j) covers input (r, c). */
static int covers(const gc_pool_block *p, size_t i, size_t j, size_t r, size_t c)
{
    return p->rows[i].begin <= r && r < p->rows[i].end && p->columns[j].begin <= c
           && c < p->columns[j].end;
}

void gc_blocked_max_backward_reference(const gc_pool_block *p, size_t first, size_t count,
                                       const void *index, const float *dy, float *dx)
{
    for (size_t r = first; r < first + count; r++)
        for (size_t c = 0; c < p->width; c++) {
            double sum = 0.0;
            for (size_t i = 0; i < p->out_height; i++)
                for (size_t j = 0; j < p->out_width; j++) {
                    const size_t k = index_at(index, p->index_bytes, i * p->out_width + j);
                    const size_t width = p->columns[j].end - p->columns[j].begin;
                    if (p->rows[i].begin + k / width == r && p->columns[j].begin + k % width == c)
                        sum += dy[i * p->out_row + j];
                }
            dx[r * p->in_row + c] = (float)sum;
        }
}

void gc_blocked_average_forward_reference(const gc_pool_block *p, size_t first, size_t count,
                                          const float *x, float *y)
{
    for (size_t i = first; i < first + count; i++)
        for (size_t j = 0; j < p->out_width; j++) {
            double sum = 0.0;
            for (size_t r = p->rows[i].begin; r < p->rows[i].end; r++)
                for (size_t c = p->columns[j].begin; c < p->columns[j].end; c++)
                    sum += x[r * p->in_row + c];
            y[i * p->out_row + j] =
                (float)(sum / (double)(p->rows[i].divisor * p->columns[j].divisor));
        }
}

void gc_blocked_average_backward_reference(const gc_pool_block *p, size_t first, size_t count,
                                           const float *dy, float *dx)
{
    for (size_t r = first; r < first + count; r++)
        for (size_t c = 0; c < p->width; c++) {
            double sum = 0.0;
            for (size_t i = 0; i < p->out_height; i++)
                for (size_t j = 0; j < p->out_width; j++)
                    if (covers(p, i, j, r, c))
                        sum += (double)dy[i * p->out_row + j]
                               / (p->divisor != 0
                                      ? 1.0
                                      : (double)(p->rows[i].divisor * p->columns[j].divisor));
            dx[r * p->in_row + c] =
                (float)sum * (p->divisor != 0 ? 1.0f / (float)p->divisor : 1.0f);
        }
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
    double power = 1.0;
    if (j == 5)
        return i == 3;
    while (i-- > 0)
        power *= points[j];
    return power;
}

/* Floats to channel c of a tile in V, for one xi. */
static size_t v_offset(const gc_winograd *w, const gc_tiles *tiles, size_t tile, size_t c)
{
    size_t group = 0;
    while (gc_group_start(tiles, group + 1) <= tile)
        group++;
    return (group * w->in.blocks + c) * w->group + tile - gc_group_start(tiles, group);
}

void gc_winograd_input_reference(const gc_winograd *winograd, gc_tiles tiles, const float *maps,
                                 float *v)
{
    const gc_winograd *w = winograd;
    const size_t of_image = w->tiles_down * w->tiles_across;
    double b[6][6];
    matrix_b(b);
    for (size_t c = 0; c < w->in.blocks; c++)
        for (size_t t = gc_group_start(&tiles, tiles.from); t < gc_group_start(&tiles, tiles.to);
             t++) {
            const size_t image = (tiles.first + t) / of_image;
            const size_t tile = (tiles.first + t) % of_image;
            const float *d = maps + (image * w->in.blocks + c) * w->in.rows * w->in.columns
                             + tile / w->tiles_across * 4 * w->in.columns
                             + tile % w->tiles_across * 4;
            for (int xi = 0; xi < 36; xi++) {
                double sum = 0.0;
                for (int y = 0; y < 6; y++)
                    for (int x = 0; x < 6; x++)
                        sum += b[xi / 6][y] * d[(size_t)y * w->in.columns + (size_t)x]
                               * b[xi % 6][x];
                v[(size_t)xi * w->v_plane + v_offset(w, &tiles, t, c)] = (float)sum;
            }
        }
}

void gc_winograd_product_reference(const gc_winograd *winograd, gc_tiles tiles, size_t pair,
                                   const float *u, const float *v, float *m)
{
    const gc_winograd *w = winograd;
    const size_t start = gc_group_start(&tiles, tiles.from);
    const size_t count = gc_group_start(&tiles, tiles.to) - start;
    u += pair * 36 * w->in.blocks * 2;
    for (size_t xi = 0; xi < 36; xi++)
        for (size_t i = 0; i < 2 * count; i++) {
            double sum = 0.0;
            for (size_t c = 0; c < w->in.blocks; c++)
                sum += (double)v[xi * w->v_plane + v_offset(w, &tiles, start + i / 2, c)]
                       * u[(xi * w->in.blocks + c) * 2 + i % 2];
            m[i / 2 * w->m_tile + xi * 2 + i % 2] = (float)sum;
        }
}

/* One output position of one block of one image. */
typedef struct spot {
    size_t image, block, y, x;
} spot;

static size_t map_offset(const gc_blocked *b, spot s)
{
    return ((s.image * b->blocks + s.block) * b->rows + s.y + 1) * b->columns + s.x + 1;
}

static size_t record_offset(const gc_finish *f, size_t height, size_t width, spot s)
{
    return ((s.image * f->out.blocks + s.block) * height + s.y) * width + s.x;
}

/* A^T M A at every position of the tiles, in the order of the tiles: `take` does the rest. */
typedef void (*taker)(const gc_winograd *winograd, const gc_finish *finish, spot s, float value);

static void take_tiles(const gc_winograd *w, size_t first, size_t count, size_t pair,
                       const float *m, const gc_finish *f, taker take)
{
    const size_t of_image = w->tiles_down * w->tiles_across;
    double a[4][6];
    for (int i = 0; i < 24; i++)
        a[i / 6][i % 6] = matrix_a(i / 6, i % 6);
    for (size_t i = 0; i < 2 * count; i++) {
        const size_t tile = (first + i / 2) % of_image, block = 2 * pair + i % 2;
        for (size_t p = 0; p < 16 && block < f->out.blocks; p++) {
            const spot s = {.image = (first + i / 2) / of_image,
                            .block = block,
                            .y = tile / w->tiles_across * 4 + p / 4,
                            .x = tile % w->tiles_across * 4 + p % 4};
            double sum = f->bias == NULL ? 0.0 : f->bias[block];
            for (int xi = 0; xi < 36; xi++)
                sum += a[p / 4][xi / 6] * m[i / 2 * w->m_tile + (size_t)xi * 2 + i % 2]
                       * a[p % 4][xi % 6];
            if (s.y < w->in.height && s.x < w->in.width)
                take(w, f, s, (float)sum);
        }
    }
}

static void take_store(const gc_winograd *w, const gc_finish *f, spot s, float value)
{
    (void)w;
    f->maps[map_offset(&f->out, s)] =
        value + (f->add == NULL ? 0.0f : f->add[map_offset(&f->out, s)]);
}

static void record_bit(const gc_winograd *w, const gc_finish *f, spot s, float value)
{
    if (f->bits != NULL)
        f->bits[record_offset(f, w->in.height, w->in.width, s)] = (uint8_t)is_open(value, f->limit);
}

static void take_relu(const gc_winograd *w, const gc_finish *f, spot s, float value)
{
    value += f->add == NULL ? 0.0f : f->add[map_offset(&f->out, s)];
    record_bit(w, f, s, value);
    f->maps[map_offset(&f->out, s)] = rectify(value, f->limit);
}

/* Positions come row by row: the first of a window stands until a greater one comes. */
static void take_relu_pool(const gc_winograd *w, const gc_finish *f, spot s, float value)
{
    const spot window = {s.image, s.block, s.y / 2, s.x / 2};
    record_bit(w, f, s, value);
    if (window.y >= f->out.height || window.x >= f->out.width)
        return;
    float *best = &f->maps[map_offset(&f->out, window)];
    value = rectify(value, f->limit);
    const int is_first = s.y % 2 == 0 && s.x % 2 == 0;
    if (!is_first && (isnan(*best) || !(isnan(value) || value > *best)))
        return;
    *best = value;
    if (f->positions != NULL) {
        uint8_t *p = f->positions + 2 * record_offset(f, f->out.height, f->out.width, window);
        p[0] = (uint8_t)(s.x % 2);
        p[1] = (uint8_t)(s.y % 2);
    }
}

static void take_mask(const gc_winograd *w, const gc_finish *f, spot s, float value)
{
    spot recorded = s;
    (void)w;
    recorded.image %= f->recorded;
    value += f->add == NULL ? 0.0f : f->add[map_offset(&f->out, s)];
    f->maps[map_offset(&f->out, s)] = back_through_relu(
        value, f->masks, f->bits[record_offset(f, f->out.height, f->out.width, recorded)]);
}

static void take_unpool(const gc_winograd *w, const gc_finish *f, spot s, float value)
{
    const spot recorded = {s.image % f->recorded, s.block, s.y, s.x};
    const uint8_t *p =
        f->positions + 2 * record_offset(f, w->in.height, w->in.width, recorded);
    for (size_t i = 0; i < 4; i++) {
        const spot to = {s.image, s.block, 2 * s.y + i / 2, 2 * s.x + i % 2};
        const spot bit = {recorded.image, to.block, to.y, to.x};
        const int here = p[0] == i % 2 && p[1] == i / 2;
        f->maps[map_offset(&f->out, to)] = back_through_relu(
            here ? value : 0.0f, f->masks,
            f->bits[record_offset(f, f->out.height, f->out.width, bit)]);
    }
}

#define FINISH(name, take)                                                                    \
    void gc_##name##_reference(const gc_winograd *winograd, size_t first, size_t count,       \
                               size_t pair, const float *m, const gc_finish *finish)          \
    {                                                                                         \
        take_tiles(winograd, first, count, pair, m, finish, take);                            \
    }

FINISH(winograd_store, take_store)
FINISH(winograd_relu, take_relu)
FINISH(winograd_relu_pool, take_relu_pool)
FINISH(winograd_mask, take_mask)
FINISH(winograd_unpool, take_unpool)

/* Positions are as many apart as the level has tiles. */
void gc_pack_inputs_reference(const gc_gather *g, size_t first, size_t count, const float *map,
                              float *v)
{
    for (size_t b = 0; b < g->in.blocks; b++)
        for (size_t t = 0; t < g->taps; t++)
            for (size_t p = 0; p < count; p++) {
                const ptrdiff_t y = (ptrdiff_t)((first + p) / g->width * g->step[0])
                                    + g->offsets[t][0];
                const ptrdiff_t x = (ptrdiff_t)((first + p) % g->width * g->step[1])
                                    + g->offsets[t][1];
                const int inside = y >= 0 && x >= 0 && y < (ptrdiff_t)g->in.height
                                   && x < (ptrdiff_t)g->in.width;
                v[(b * g->taps + t) * gc_kernels_reference.tiles + p] =
                    inside ? map[gc_blocked_offset(&g->in, 1, b, (size_t)y, (size_t)x)] : 0.0f;
            }
}

/* One sum of a group of a row: position i / 2 of the group, block i % 2 of the pair. */
static void packed_sum(const gc_packed *k, const gc_tiles *positions, size_t pair, size_t row,
                       size_t group, size_t i, const float *w, const float *x, const gc_finish *f)
{
    const gc_blocked *out = &f->out;
    const size_t block = 2 * pair + i % 2, start = gc_group_start(positions, group);
    if (block >= out->blocks)
        return;
    const gc_position place = k->places[row * k->row + start + i / 2];
    const size_t map = (k->image * out->blocks + block) * out->rows * out->columns + place.map;
    const size_t record =
        (k->record * out->blocks + block) * out->height * out->width + place.record;
    x += row * k->x_row + (k->x_group == 0 ? start : group * k->x_group) + i / 2;
    double sum = f->bias == NULL ? 0.0 : f->bias[block];
    for (size_t c = 0; c < k->depth; c++)
        sum += (double)w[2 * c + i % 2] * x[(k->skip + c) * k->x_block];
    float y = (float)(f->add == NULL ? sum : sum + f->add[map]);
    if (k->after == GC_AFTER_RELU && f->bits != NULL)
        f->bits[record] = (uint8_t)is_open(y, f->limit);
    if (k->after == GC_AFTER_RELU)
        y = rectify(y, f->limit);
    if (k->after == GC_AFTER_MASK)
        y = back_through_relu(y, f->masks, f->bits[record]);
    f->maps[map] = y;
}

void gc_packed_product_reference(const gc_packed *k, gc_tiles positions, size_t pair,
                                 const float *w, const float *x, const gc_finish *f)
{
    for (size_t row = 0; row < k->rows; row++)
        for (size_t g = positions.from; g < positions.to; g++)
            for (size_t i = 0; i < 2 * gc_group_size(&positions, g); i++)
                packed_sum(k, &positions, pair, row, g, i, w, x, f);
}

void gc_direct_forward_reference(const gc_direct *direct, size_t count, const float *rows,
                                 const float *w, const float *bias, float *y, size_t second,
                                 int relu, float limit, uint8_t *bits, size_t second_bits)
{
    for (size_t half = 0; half < (second == 0 ? 1 : 2); half++)
        for (size_t p = 0; p < count; p++) {
            double sum = bias[half];
            for (size_t t = 0; t < direct->taps; t++)
                sum += (double)w[2 * t + half]
                       * rows[p * direct->stride + direct->offsets[t]];
            if (relu && bits != NULL)
                bits[half * second_bits + p] = (uint8_t)is_open((float)sum, limit);
            y[half * second + p] = relu ? rectify((float)sum, limit) : (float)sum;
        }
}

void gc_direct_backward_reference(size_t count, size_t blocks, size_t block, size_t pairs,
                                  const float *dy, const float *w, float *taps)
{
    for (size_t p = 0; p < count; p++)
        for (size_t t = 0; t < 2 * pairs; t++) {
            double sum = 0.0;
            for (size_t c = 0; c < blocks; c++)
                sum += (double)w[(t / 2 * blocks + c) * 2 + t % 2] * dy[c * block + p];
            taps[p * 2 * pairs + t] = (float)sum;
        }
}

void gc_depthwise_weights_reference(size_t taps, const size_t *order, size_t channels,
                                    const float *weight, float *to)
{
    for (size_t t = 0; t < taps; t++)
        to[t] = channels == 0 ? 0.0f : weight[order[t]];
}

/* The sum over the taps of output (y, x), of one channel. */
static double depthwise_sum(const gc_depthwise *d, size_t y, size_t x, const float *w,
                            const float *map)
{
    const gc_taps *rows = &d->taps[0][y % d->phases[0]];
    const gc_taps *columns = &d->taps[1][x % d->phases[1]];
    w += rows->before * d->kernel_width + rows->count * columns->before;
    double sum = 0.0;
    for (size_t i = 0; i < rows->count; i++)
        for (size_t j = 0; j < columns->count; j++, w++) {
            const ptrdiff_t from_y = rows->first
                                     + (ptrdiff_t)(y / d->phases[0] * d->stride[0]
                                                   + i * d->dilation[0]);
            const ptrdiff_t from_x = columns->first
                                     + (ptrdiff_t)(x / d->phases[1] * d->stride[1]
                                                   + j * d->dilation[1]);
            if (from_y >= 0 && from_y < (ptrdiff_t)d->in.height && from_x >= 0
                && from_x < (ptrdiff_t)d->in.width)
                sum += (double)*w
                       * map[gc_blocked_offset(&d->in, 1, 0, (size_t)from_y, (size_t)from_x)];
        }
    return sum;
}

/* The border beside rows first .. end of a block, and above or below the map. */
static void zero_depthwise_border(const gc_blocked *out, size_t first, size_t end, float *y)
{
    for (size_t i = first == 0 ? 0 : first + 1; i < (end == out->height ? out->rows : end + 1); i++)
        for (size_t j = 0; j < out->columns; j++)
            if (i == 0 || i > out->height || j == 0 || j > out->width)
                y[i * out->columns + j] = 0.0f;
}

void gc_depthwise_forward_reference(const gc_depthwise *d, size_t first, size_t end,
                                    const float *w, const float *bias, const float *x, float *y,
                                    int relu, float limit, uint8_t *bits)
{
    zero_depthwise_border(&d->out, first, end, y);
    for (size_t i = first; i < end; i++)
        for (size_t j = 0; j < d->out.width; j++) {
            const double sum = bias[0] + depthwise_sum(d, i, j, w, x);
            if (relu && bits != NULL)
                bits[i * d->out.width + j] = (uint8_t)is_open((float)sum, limit);
            y[gc_blocked_offset(&d->out, 1, 0, i, j)] =
                relu ? rectify((float)sum, limit) : (float)sum;
        }
}

void gc_depthwise_backward_reference(const gc_depthwise *d, size_t first, size_t end,
                                     const float *w, const float *dy, float *dx, int relu,
                                     unsigned masks, const uint8_t *bits)
{
    zero_depthwise_border(&d->out, first, end, dx);
    for (size_t i = first; i < end; i++)
        for (size_t j = 0; j < d->out.width; j++) {
            const float sum = (float)depthwise_sum(d, i, j, w, dy);
            dx[gc_blocked_offset(&d->out, 1, 0, i, j)] =
                relu ? back_through_relu(sum, masks, bits[i * d->out.width + j]) : sum;
        }
}

/* Row `i` of G at its point p: (1, p, p^2) / product of (p - q) over the other points q; the row
 * of infinity is (0, 0, 1). */
static double matrix_g(int i, int k)
{
    const double points[5] = {0.0, sqrt(0.5), -sqrt(0.5), sqrt(2.0), -sqrt(2.0)};
    double scale = 1.0;
    if (i == 5)
        return k == 2;
    for (int j = 0; j < 5; j++)
        scale *= j == i ? 1.0 : points[i] - points[j];
    return (k == 0 ? 1.0 : k == 1 ? points[i] : points[i] * points[i]) / scale;
}

/* (a b c) (x y z)^T. Every level makes the same bits: `volatile` keeps compilers from fusing. */
static double sum_of_products(int row, double x, double y, double z)
{
    const volatile double a = matrix_g(row, 0) * x, b = matrix_g(row, 1) * y,
                          c = matrix_g(row, 2) * z;
    return a + b + c;
}

void gc_winograd_weights_reference(const gc_winograd_kernels *kernels, size_t channels,
                                   const float *weight, size_t plane, float *u)
{
    const gc_winograd_kernels *k = kernels;
    for (size_t c = 0; c < channels; c++)
        for (size_t lane = 0; lane < 2; lane++) {
            double g[9] = {0.0}, half[18];
            for (size_t tap = 0; lane < k->outputs && tap < 9; tap++)
                g[tap] = weight[lane * k->output_step + c * k->channel_step
                                + (k->rotated ? 8 - tap : tap)];
            for (int i = 0; i < 18; i++)
                half[i] = sum_of_products(i / 3, g[i % 3], g[3 + i % 3], g[6 + i % 3]);
            for (int xi = 0; xi < 36; xi++) {
                const double *row = half + xi / 6 * 3;
                u[(size_t)xi * plane + c * 2 + lane] =
                    (float)sum_of_products(xi % 6, row[0], row[1], row[2]);
            }
        }
}

/* Weight i, as IEEE 754 says what its bits mean. */
static double weight_at(gc_storage storage, const void *w, size_t i)
{
    const char *at = (const char *)w + i * (storage == GC_FLOAT32 ? 4 : 2);
    float value;
    uint16_t bits;
    if (storage == GC_FLOAT32) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&bits, at, sizeof bits);
    const int half = storage == GC_FLOAT16;
    const int digits = half ? 10 : 7, bias = half ? 15 : 127;
    const int exponent = (int)(bits & 0x7fff) >> digits;
    const int fraction = (int)(bits & ((1u << digits) - 1));
    const double size = exponent == 0
                            ? ldexp(fraction, 1 - bias - digits)
                            : ldexp(fraction + (1 << digits), exponent - bias - digits);
    return bits & 0x8000 ? -size : size;
}

static double portion_of(gc_portion p, double v)
{
    return p.positive * fmax(v, 0.0) + p.negative * fmin(v, 0.0) + p.constant;
}

static double dense_weight(const gc_dense *dense, const void *w, size_t row, size_t column)
{
    const double v = weight_at(dense->storage, w, row * dense->in + column);
    return dense->portion == NULL ? v : portion_of(*dense->portion, v);
}

void gc_dense_forward_reference(const gc_dense *dense, size_t first, size_t rows, const void *w,
                                const float *x, float *y)
{
    for (size_t n = 0; n < dense->sets * dense->batch; n++)
        for (size_t r = first; r < first + rows; r++) {
            double sum = 0.0;
            for (size_t c = 0; c < dense->in; c++)
                sum += dense_weight(dense, w, r, c) * x[n * dense->in + c];
            y[n * dense->out + r] = (float)sum;
        }
}

void gc_dense_backward_reference(const gc_dense *dense, size_t first, size_t columns,
                                 const void *w, const float *dy, float *dx)
{
    for (size_t i = 0; i < dense->sets * dense->batch; i++) {
        const size_t n = i / dense->batch * dense->stride + i % dense->batch;
        for (size_t c = first; c < first + columns; c++) {
            double sum = 0.0;
            for (size_t r = 0; r < dense->out; r++)
                sum += dy[n * dense->out + r] * dense_weight(dense, w, r, c);
            dx[n * dense->in + c] = (float)sum;
        }
    }
}

void gc_dense_sums_reference(gc_storage storage, size_t count, size_t positions, const void *w,
                             float *sums)
{
    for (size_t i = 0; i < count; i++) {
        double sum = 0.0;
        for (size_t p = 0; p < positions; p++)
            sum += weight_at(storage, w, i * positions + p);
        sums[i] = (float)sum;
    }
}

void gc_portion_reference(size_t count, gc_portion portion, const float *x, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (float)portion_of(portion, x[i]);
}

void gc_share_reference(size_t count, float factor, float epsilon, const float *z,
                        const float *gate, float sign, const float *r, float *s)
{
    for (size_t i = 0; i < count; i++) {
        const double d = z[i] < 0.0f ? (double)z[i] - epsilon : (double)z[i] + epsilon;
        const int open = gate == NULL || gate[i] * sign > 0.0f;
        s[i] = open && d != 0.0 ? (float)((double)factor * r[i] / d) : 0.0f;
    }
}

void gc_multiply_add_reference(size_t count, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (float)((double)a[i] * b[i] + y[i]);
}

void gc_signs_reference(size_t count, const float *x, int *signs)
{
    *signs = 0;
    for (size_t i = 0; i < count; i++)
        *signs |= x[i] > 0.0f ? 1 : x[i] < 0.0f ? 2 : 0;
}

void gc_all_finite_reference(size_t count, const void *values, int *finite)
{
    *finite = 1;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(weight_at(GC_FLOAT32, values, i)))
            *finite = 0;
}

void gc_peak_reference(size_t rounds, float factor, float term, float *values)
{
    for (size_t i = 0; i < GC_PEAK_VALUES; i++) {
        double value = values[i];
        for (size_t round = 0; round < rounds; round++)
            value = (double)factor * value + (double)term;
        values[i] = (float)value;
    }
}

void gc_sum_reference(size_t count, const float *values, float *sum)
{
    double total = 0.0;
    for (size_t i = 0; i < count; i++)
        total += values[i];
    *sum = (float)total;
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
