/* activation.c: activations and their derivatives.
 *
 * Smooth ones write their derivative beside their value, because both need the same exponential;
 * the backward pass is then one product. Piecewise linear ones record one bit for each value, as in
 * relu.c. */
#include <string.h>

#include "kernels/level.h"
#include "kernels/logistic.h"

/* ---- Smooth activations ------------------------------------------------------------------- */

typedef gc_curve function(const gc_activation *activation, gc_vec x);

GC_INLINE gc_curve sigmoid(const gc_activation *activation, gc_vec x)
{
    (void)activation;
    return gc_sigmoid(x);
}

GC_INLINE gc_curve silu(const gc_activation *activation, gc_vec x)
{
    (void)activation;
    const gc_logistic l = gc_logistic_of(x, gc_exp(-gc_absolute(x), (gc_vec){0}).value);
    return (gc_curve){x * l.s, l.s + l.s * (x * l.rest)};
}

GC_INLINE gc_curve hyperbolic_tangent(const gc_activation *activation, gc_vec x)
{
    (void)activation;
    return gc_tanh(x);
}

GC_INLINE gc_curve elu(const gc_activation *activation, gc_vec x)
{
    const gc_mask positive = gc_greater(x, (gc_vec){0});
    const gc_exponential e = gc_exp(gc_at_most(x, 0.0f), (gc_vec){0});
    return (gc_curve){gc_select(positive, x, activation->slope * e.less_one),
                      gc_select(positive, 1.0f - (gc_vec){0}, activation->slope * e.value)};
}

/* x F(x), F the normal distribution; the derivative is F(x) + x exp(-x^2 / 2) / sqrt(2 pi).
 *
 * F(-a) = exp(-a^2 / 2) u P(u), u = 1 / (1 + 5/16 a), a >= 0; the relative error of the polynomial
 * P is below 3e-8. a^2 is computed in two parts, because exp would make its rounding error larger. */
GC_INLINE gc_curve gelu(const gc_activation *activation, gc_vec x)
{
    (void)activation;
    const gc_vec a = gc_at_most(gc_absolute(x), 15.0f); /* F(-15) is 0 in float */
    const gc_vec front = (gc_vec)((gc_uvec)a & 0xfffff000u); /* its square is exact */
    const gc_vec e = gc_exp(-0.5f * (front * front), -0.5f * ((a - front) * (a + front))).value;
    const gc_vec u = 1.0f / (1.0f + 0.3125f * a);
    gc_vec p = -1.90677103e-2f * u + 9.16604027e-2f;
    p = p * u - 1.51610434e-1f;
    p = p * u + 7.49680325e-2f;
    p = p * u - 3.08661512e-3f;
    p = p * u + 5.58252446e-2f;
    p = p * u + 8.99940431e-2f;
    p = p * u + 1.11903593e-1f;
    p = p * u + 1.24747954e-1f;
    p = p * u + 1.24665484e-1f;
    const gc_vec below = e * (u * p);
    const gc_vec f = gc_select(gc_greater(x, (gc_vec){0}), 1.0f - below, below);
    return (gc_curve){x * f, f + gc_with_sign(a, x) * (0.398942280f * e)};
}

/* x s(2 v), s the logistic function, v = sqrt(2 / pi) (x + 0.044715 x^3): (1 + tanh(v)) / 2 is
 * s(2 v). */
GC_INLINE gc_curve gelu_by_tanh(const gc_activation *activation, gc_vec x)
{
    (void)activation;
    const gc_vec c = gc_with_sign(gc_at_most(gc_absolute(x), 20.0f), x); /* then s is 0 or 1 */
    const gc_vec square = c * c;
    const gc_vec v2 = c * (0.0713548162f * square + 1.59576912f); /* 2 v */
    const gc_vec slope = 0.214064449f * square + 1.59576912f;     /* its derivative */
    const gc_logistic l = gc_logistic_of(x, gc_exp(-gc_absolute(v2), (gc_vec){0}).value);
    return (gc_curve){x * l.s, l.s + l.s * (l.rest * (c * slope))};
}

GC_INLINE gc_curve hard_sigmoid(const gc_activation *activation, gc_vec x)
{
    (void)activation;
    const gc_mask inside = gc_greater(3.0f - gc_absolute(x), (gc_vec){0});
    return (gc_curve){gc_at_most(gc_at_least(x + 3.0f, 0.0f), 6.0f) / 6.0f,
                      gc_keep(inside, 1.0f / 6.0f - (gc_vec){0})};
}

GC_INLINE gc_curve hard_swish(const gc_activation *activation, gc_vec x)
{
    (void)activation;
    const gc_vec zero = {0}, one = 1.0f - zero;
    const gc_vec share = gc_at_most(gc_at_least(x + 3.0f, 0.0f), 6.0f) / 6.0f;
    const gc_vec above = gc_select(gc_greater(3.0f - x, zero), (2.0f * x + 3.0f) / 6.0f, one);
    return (gc_curve){x * share, gc_keep(gc_greater(x + 3.0f, zero), above)};
}

/* Values up to a whole vector. */
GC_INLINE void some_values(function *of, const gc_activation *activation, size_t count,
                           const float *x, float *y, float *derivatives)
{
    float part[GC_WIDTH] = {0};
    memcpy(part, x, count * sizeof *x);
    const gc_curve r = of(activation, gc_load(part));
    gc_store(part, r.value);
    memcpy(y, part, count * sizeof *y);
    gc_store(part, r.derivative);
    if (derivatives != NULL)
        memcpy(derivatives, part, count * sizeof *derivatives);
}

GC_INLINE void all_values(function *of, const gc_activation *activation, size_t count,
                          const float *x, float *y, float *derivatives)
{
    size_t i = 0;
    for (; derivatives == NULL && i + GC_WIDTH <= count; i += GC_WIDTH)
        gc_store(y + i, of(activation, gc_load(x + i)).value);
    for (; i + GC_WIDTH <= count; i += GC_WIDTH) {
        const gc_curve r = of(activation, gc_load(x + i));
        gc_store(y + i, r.value);
        gc_store(derivatives + i, r.derivative);
    }
    if (i < count)
        some_values(of, activation, count - i, x + i, y + i,
                    derivatives == NULL ? NULL : derivatives + i);
}

void GC_KERNEL(activation_forward)(const gc_activation *activation, size_t count, const float *x,
                                   float *y, float *derivatives)
{
    switch (activation->kind) {
#define KIND(kind, of)                                                                        \
    case kind:                                                                                \
        all_values(of, activation, count, x, y, derivatives);                                 \
        return;
        KIND(GC_SIGMOID, sigmoid)
        KIND(GC_SILU, silu)
        KIND(GC_TANH, hyperbolic_tangent)
        KIND(GC_ELU, elu)
        KIND(GC_GELU, gelu)
        KIND(GC_GELU_TANH, gelu_by_tanh)
        KIND(GC_HARD_SIGMOID, hard_sigmoid)
        KIND(GC_HARD_SWISH, hard_swish)
#undef KIND
    case GC_CLIP:
    case GC_LEAKY_RELU:
    case GC_PRELU:
        return; /* below */
    }
}

/* ---- Piecewise linear activations --------------------------------------------------------- */

/* They work on sixteen values at a time, whose bits are two bytes: a number of vectors on every
 * level. The last ones are copied to where sixteen have room. */
enum { SIXTEEN = 16, EIGHT = 8 };

GC_INLINE void store_signs(const float *values, uint8_t *bits)
{
    bits[0] = gc_positive_bits(values);
    bits[1] = gc_positive_bits(values + EIGHT);
}

GC_INLINE void clip_sixteen(float low, float high, const float *x, float *y, uint8_t *bits)
{
    float distances[SIXTEEN]; /* to the nearer limit */
    for (size_t i = 0; i < SIXTEEN; i += GC_WIDTH) {
        const gc_vec v = gc_load(x + i), above = v - low, below = high - v;
        gc_store(distances + i, gc_select(gc_greater(below, above), above, below));
        gc_store(y + i, gc_at_most(gc_at_least(v, low), high));
    }
    if (bits != NULL)
        store_signs(distances, bits);
}

void GC_KERNEL(clip_forward)(size_t count, float low, float high, const float *x, float *y,
                             uint8_t *bits)
{
    size_t i = 0;
    for (; i + SIXTEEN <= count; i += SIXTEEN)
        clip_sixteen(low, high, x + i, y + i, bits == NULL ? NULL : bits + i / EIGHT);
    const size_t rest = count - i;
    const unsigned set = (1u << rest) - 1; /* the bits of `rest` values */
    float last[SIXTEEN] = {0};
    uint8_t last_bits[2];
    memcpy(last, x + i, rest * sizeof *x);
    clip_sixteen(low, high, last, last, last_bits);
    memcpy(y + i, last, rest * sizeof *y);
    for (size_t k = 0; bits != NULL && k * EIGHT < rest; k++)
        bits[i / EIGHT + k] = (uint8_t)(last_bits[k] & set >> (k * EIGHT));
}

/* The slopes of sixteen values: a pattern that repeats, or those from slopes[i] on. */
typedef struct pattern {
    float sixteen[SIXTEEN];
    const float *slopes; /* NULL: they repeat */
} pattern;

static pattern pattern_of(size_t count, const float *slopes, size_t period)
{
    pattern p = {.slopes = period < count ? NULL : slopes};
    for (size_t i = 0; period < count && i < SIXTEEN; i++)
        p.sixteen[i] = slopes[i % period];
    return p;
}

static const float *slopes_at(const pattern *p, size_t i)
{
    return p->slopes != NULL ? p->slopes + i : p->sixteen;
}

/* The last values, from i on, with as many slopes. */
typedef struct last_ones {
    size_t count;
    float slopes[SIXTEEN], values[SIXTEEN];
    uint8_t bits[2];
} last_ones;

static last_ones last_of(size_t count, size_t i, const pattern *p, const float *values)
{
    last_ones l = {.count = count - i};
    memcpy(l.slopes, slopes_at(p, i), l.count * sizeof *l.slopes);
    memcpy(l.values, values + i, l.count * sizeof *l.values);
    return l;
}

GC_INLINE void leaky_sixteen(const float *slopes, const float *x, float *y, uint8_t *bits)
{
    if (bits != NULL)
        store_signs(x, bits);
    for (size_t i = 0; i < SIXTEEN; i += GC_WIDTH) {
        const gc_vec v = gc_load(x + i);
        gc_store(y + i, gc_select(gc_greater(v, (gc_vec){0}), v, gc_load(slopes + i) * v));
    }
}

void GC_KERNEL(leaky_forward)(size_t count, const float *slopes, size_t period, const float *x,
                              float *y, uint8_t *bits)
{
    const pattern p = pattern_of(count, slopes, period);
    size_t i = 0;
    for (; i + SIXTEEN <= count; i += SIXTEEN)
        leaky_sixteen(slopes_at(&p, i), x + i, y + i, bits == NULL ? NULL : bits + i / EIGHT);
    last_ones l = last_of(count, i, &p, x);
    leaky_sixteen(l.slopes, l.values, l.values, l.bits);
    memcpy(y + i, l.values, l.count * sizeof *y);
    if (bits != NULL)
        memcpy(bits + i / EIGHT, l.bits, (l.count + EIGHT - 1) / EIGHT);
}

/* A gradient g is multiplied by f'(x), by s(g), by both or by neither. */
GC_INLINE void leaky_sixteen_back(unsigned masks, const float *slopes, const uint8_t *bits,
                                  const float *dy, float *dx)
{
    static const float ones[EIGHT] = {1, 1, 1, 1, 1, 1, 1, 1};
    const gc_vec zero = {0}, one = 1.0f - zero;
    float positive[SIXTEEN];
    gc_mask_by_bits(bits[0], ones, positive);
    gc_mask_by_bits(bits[1], ones, positive + EIGHT);
    for (size_t i = 0; i < SIXTEEN; i += GC_WIDTH) {
        const gc_vec g = gc_load(dy + i), slope = gc_load(slopes + i);
        const gc_vec derivative = gc_select(gc_greater(gc_load(positive + i), zero), one, slope);
        const gc_vec sign = gc_select(gc_greater(g, zero), one, slope);
        gc_vec factor = masks & GC_MASK_INPUT ? derivative : one;
        if (masks & GC_MASK_GRADIENT)
            factor *= sign;
        gc_store(dx + i, g * factor);
    }
}

void GC_KERNEL(leaky_backward)(size_t count, const float *slopes, size_t period, unsigned masks,
                               const uint8_t *bits, const float *dy, float *dx)
{
    const pattern p = pattern_of(count, slopes, period);
    size_t i = 0;
    for (; i + SIXTEEN <= count; i += SIXTEEN)
        leaky_sixteen_back(masks, slopes_at(&p, i), bits + i / EIGHT, dy + i, dx + i);
    last_ones l = last_of(count, i, &p, dy);
    memcpy(l.bits, bits + i / EIGHT, (l.count + EIGHT - 1) / EIGHT);
    leaky_sixteen_back(masks, l.slopes, l.bits, l.values, l.values);
    memcpy(dx + i, l.values, l.count * sizeof *dx);
}
