/* norm.c: normalisations over the channels of each position.
 *
 *     local response   y_c = x_c s_c^-beta, s_c = k + scale * sum of x_j^2, c - before <= j <= c + after
 *                      (Krizhevsky et al. 2012)
 *     layer            y_c = (x_c - mean) / sqrt(variance + eps) weight_c + bias_c  (Ba et al. 2016)
 *
 * The sum of a window is added up for each channel anew, in the same order: from a running sum,
 * small terms would be lost beside large ones. */
#include <math.h>
#include <string.h>

#include "kernels/level.h"
#include "kernels/vec.h"

/* ---- Local response normalisation --------------------------------------------------------- */

/* What one position needs; values of all channels side by side. */
typedef struct position {
    size_t padded, window; /* channels in whole vectors; of a sum, less one */
    float *squares;        /* [padded + window], zeros around the channels */
    float *sums, *powers;  /* [padded] s and s^-beta */
    float *terms;          /* [padded + window] backward, zeros around the channels */
} position;

static position make_position(const gc_across *a, const gc_lrn_window *w, float *scratch)
{
    position p = {.padded = a->blocks * GC_WIDTH, .window = w->before + w->after};
    p.squares = scratch;
    p.sums = p.squares + p.padded + p.window;
    p.powers = p.sums + p.padded;
    p.terms = p.powers + p.padded;
    memset(p.squares, 0, (p.padded + p.window) * sizeof *p.squares);
    memset(p.terms, 0, (p.padded + p.window) * sizeof *p.terms);
    return p;
}

/* to[c] = term + factor * (from[c] + ... + from[c + window]). */
static void add_windows(const position *p, const float *from, float factor, float term, float *to)
{
    for (size_t c = 0; c < p->padded; c += GC_WIDTH) {
        gc_vec sum = gc_load(from + c);
        for (size_t j = 1; j <= p->window; j++)
            sum += gc_load(from + c + j);
        gc_store(to + c, factor * sum + term);
    }
}

/* to = s^-beta. */
static void find_powers(size_t count, float beta, const float *s, float *to)
{
    if (beta == 0.75f) /* that of all well-known networks */
        for (size_t i = 0; i < count; i++)
            to[i] = 1.0f / (sqrtf(s[i]) * sqrtf(sqrtf(s[i])));
    else
        for (size_t i = 0; i < count; i++)
            to[i] = powf(s[i], -beta);
}

static void find_scales(const gc_across *a, const gc_lrn_window *w, const position *p,
                        const float *x)
{
    for (size_t b = 0; b < a->blocks; b++) {
        const gc_vec value = gc_load(x + b * a->plane);
        gc_store(p->squares + w->before + b * GC_WIDTH, value * value);
    }
    add_windows(p, p->squares, w->scale, w->k, p->sums);
    find_powers(p->padded, w->beta, p->sums, p->powers);
}

void GC_KERNEL(lrn_forward)(const gc_across *across, const gc_lrn_window *window, size_t count,
                            const float *x, float *y, float *scratch)
{
    const position p = make_position(across, window, scratch);
    for (size_t i = 0; i < count; i++, x += GC_WIDTH, y += GC_WIDTH) {
        find_scales(across, window, &p, x);
        for (size_t b = 0; b < across->blocks; b++)
            gc_store(y + b * across->plane,
                     gc_load(x + b * across->plane) * gc_load(p.powers + b * GC_WIDTH));
    }
}

/* dx_c = dy_c s_c^-beta - 2 scale beta x_c * sum of dy_j x_j s_j^(-beta - 1) over the j to whose
 * window c belongs: c - after <= j <= c + before. */
void GC_KERNEL(lrn_backward)(const gc_across *across, const gc_lrn_window *window, size_t count,
                             const float *x, const float *dy, float *dx, float *scratch)
{
    const position p = make_position(across, window, scratch);
    const float factor = -2.0f * window->scale * window->beta;
    for (size_t i = 0; i < count; i++, x += GC_WIDTH, dy += GC_WIDTH, dx += GC_WIDTH) {
        find_scales(across, window, &p, x);
        for (size_t b = 0; b < across->blocks; b++)
            gc_store(p.terms + window->after + b * GC_WIDTH,
                     gc_load(dy + b * across->plane) * gc_load(x + b * across->plane)
                         * gc_load(p.powers + b * GC_WIDTH) / gc_load(p.sums + b * GC_WIDTH));
        add_windows(&p, p.terms, factor, 0.0f, p.sums);
        for (size_t b = 0; b < across->blocks; b++)
            gc_store(dx + b * across->plane,
                     gc_load(dy + b * across->plane) * gc_load(p.powers + b * GC_WIDTH)
                         + gc_load(x + b * across->plane) * gc_load(p.sums + b * GC_WIDTH));
    }
}

/* ---- Layer normalisation of a vector ------------------------------------------------------ */

/* The mean of x and 1 / sqrt(variance + eps). */
static void find_moments(size_t count, float eps, const float *x, double *mean, double *factor)
{
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    *mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *factor = 1.0 / sqrt(squares / (double)count + eps);
}

void GC_KERNEL(layer_norm_forward)(size_t count, float eps, const float *weight, const float *bias,
                                   const float *x, float *y)
{
    double mean, factor;
    find_moments(count, eps, x, &mean, &factor);
    for (size_t i = 0; i < count; i++)
        y[i] = (float)((x[i] - mean) * factor * weight[i] + (bias == NULL ? 0.0 : bias[i]));
}

/* dx = (g - mean of g - n * mean of g n) / sqrt(variance + eps), g = dy weight, n the normalised x. */
void GC_KERNEL(layer_norm_backward)(size_t count, float eps, const float *weight, const float *x,
                                    const float *dy, float *dx)
{
    double mean, factor, sum = 0.0, dot = 0.0;
    find_moments(count, eps, x, &mean, &factor);
    for (size_t i = 0; i < count; i++) {
        const double g = (double)dy[i] * weight[i];
        sum += g;
        dot += g * (x[i] - mean) * factor;
    }
    sum /= (double)count;
    dot /= (double)count;
    for (size_t i = 0; i < count; i++)
        dx[i] = (float)(((double)dy[i] * weight[i] - sum - (x[i] - mean) * factor * dot) * factor);
}

/* ---- Layer normalisation of blocked maps -------------------------------------------------- */

enum { TILE = 4 }; /* positions at a time: as many sums hide the latency of additions */

/* The vectors of one block; lanes that fill up the last block are 0. */
typedef struct masks {
    gc_mask last;
    size_t blocks;
} masks;

static masks make_masks(const gc_across *a)
{
    const size_t used = a->channels - (a->blocks - 1) * GC_WIDTH;
    uint8_t bits[GC_BIT_BYTES] = {0};
    for (size_t l = 0; l < used; l++)
        bits[l / 8] = (uint8_t)(bits[l / 8] | 1u << l % 8);
    return (masks){.last = gc_load_bits(bits), .blocks = a->blocks};
}

GC_INLINE gc_vec only_channels(const masks *m, size_t block, gc_vec v)
{
    return block + 1 == m->blocks ? gc_keep(m->last, v) : v;
}

/* The sum of all lanes. */
GC_INLINE double add_lanes(gc_vec v)
{
    double sum = 0.0;
    for (size_t l = 0; l < GC_WIDTH; l++)
        sum += v[l];
    return sum;
}

/* The moments of `count` positions side by side, count constant. */
GC_INLINE void find_tile_moments(size_t count, const gc_across *a, const masks *m, float eps,
                                 const float *x, gc_vec *means, gc_vec *factors)
{
    gc_vec sums[TILE] = {{0}}, squares[TILE] = {{0}};
    for (size_t b = 0; b < a->blocks; b++)
        GC_UNROLL
        for (size_t i = 0; i < count; i++)
            sums[i] += gc_load(x + b * a->plane + i * GC_WIDTH);
    for (size_t i = 0; i < count; i++)
        means[i] = gc_broadcast((float)(add_lanes(sums[i]) / (double)a->channels));
    for (size_t b = 0; b < a->blocks; b++)
        GC_UNROLL
        for (size_t i = 0; i < count; i++) {
            const gc_vec d =
                only_channels(m, b, gc_load(x + b * a->plane + i * GC_WIDTH) - means[i]);
            gc_add_product(&squares[i], d, d);
        }
    for (size_t i = 0; i < count; i++)
        factors[i] = gc_broadcast(
            (float)(1.0 / sqrt(add_lanes(squares[i]) / (double)a->channels + eps)));
}

GC_INLINE void forward_tile(size_t count, const gc_across *a, const masks *m, float eps,
                            const float *weight, const float *bias, const float *x, float *y)
{
    gc_vec means[TILE], factors[TILE];
    find_tile_moments(count, a, m, eps, x, means, factors);
    for (size_t b = 0; b < a->blocks; b++) {
        const gc_vec w = gc_load(weight + b * GC_WIDTH), term = gc_load(bias + b * GC_WIDTH);
        GC_UNROLL
        for (size_t i = 0; i < count; i++) {
            const size_t at = b * a->plane + i * GC_WIDTH;
            gc_store(y + at, (gc_load(x + at) - means[i]) * factors[i] * w + term);
        }
    }
}

void GC_KERNEL(blocked_layer_norm_forward)(const gc_across *across, float eps, const float *weight,
                                           const float *bias, size_t count, const float *x,
                                           float *y)
{
    const masks m = make_masks(across);
    size_t i = 0;
    for (; i + TILE <= count; i += TILE)
        forward_tile(TILE, across, &m, eps, weight, bias, x + i * GC_WIDTH, y + i * GC_WIDTH);
    for (; i < count; i++)
        forward_tile(1, across, &m, eps, weight, bias, x + i * GC_WIDTH, y + i * GC_WIDTH);
}

/* dy weight, rounded: in a fused subtraction it would not be, and what is subtracted from it is the
 * mean of rounded values. */
GC_INLINE gc_vec weighted(const float *dy, const float *weight)
{
    gc_vec g = gc_load(dy) * gc_load(weight);
#if defined(__x86_64__)
    __asm__("" : "+v"(g));
#elif defined(__aarch64__)
    __asm__("" : "+w"(g));
#endif
    return g;
}

GC_INLINE void backward_tile(size_t count, const gc_across *a, const masks *m, float eps,
                             const float *weight, const float *x, const float *dy, float *dx)
{
    gc_vec means[TILE], factors[TILE], sums[TILE] = {{0}}, dots[TILE] = {{0}};
    find_tile_moments(count, a, m, eps, x, means, factors);
    for (size_t b = 0; b < a->blocks; b++)
        GC_UNROLL
        for (size_t i = 0; i < count; i++) {
            const size_t at = b * a->plane + i * GC_WIDTH;
            const gc_vec g = weighted(dy + at, weight + b * GC_WIDTH);
            sums[i] += g;
            gc_add_product(&dots[i], g, (gc_load(x + at) - means[i]) * factors[i]);
        }
    for (size_t i = 0; i < count; i++) {
        sums[i] = gc_broadcast((float)(add_lanes(sums[i]) / (double)a->channels));
        dots[i] = gc_broadcast((float)(add_lanes(dots[i]) / (double)a->channels));
    }
    for (size_t b = 0; b < a->blocks; b++)
        GC_UNROLL
        for (size_t i = 0; i < count; i++) {
            const size_t at = b * a->plane + i * GC_WIDTH;
            const gc_vec g = weighted(dy + at, weight + b * GC_WIDTH);
            const gc_vec normalised = (gc_load(x + at) - means[i]) * factors[i];
            gc_store(dx + at,
                     only_channels(m, b, (g - sums[i] - normalised * dots[i]) * factors[i]));
        }
}

void GC_KERNEL(blocked_layer_norm_backward)(const gc_across *across, float eps,
                                            const float *weight, size_t count, const float *x,
                                            const float *dy, float *dx)
{
    const masks m = make_masks(across);
    size_t i = 0;
    for (; i + TILE <= count; i += TILE)
        backward_tile(TILE, across, &m, eps, weight, x + i * GC_WIDTH, dy + i * GC_WIDTH,
                      dx + i * GC_WIDTH);
    for (; i < count; i++)
        backward_tile(1, across, &m, eps, weight, x + i * GC_WIDTH, dy + i * GC_WIDTH,
                      dx + i * GC_WIDTH);
}
