/* logistic.h: the logistic function and the hyperbolic tangent of a vector, with their derivatives. */
#ifndef GC_KERNELS_LOGISTIC_H
#define GC_KERNELS_LOGISTIC_H

#include "kernels/exponential.h"

/* The value of a function, and its derivative. */
typedef struct gc_curve {
    gc_vec value, derivative;
} gc_curve;

/* The logistic function s of x, and 1 - s, from e = exp(-|x|): nothing is subtracted. */
typedef struct gc_logistic {
    gc_vec s, rest;
} gc_logistic;

GC_INLINE gc_logistic gc_logistic_of(gc_vec x, gc_vec e)
{
    const gc_mask positive = gc_greater(x, (gc_vec){0});
    const gc_vec one = 1.0f - (gc_vec){0}, sum = 1.0f + e;
    return (gc_logistic){.s = gc_select(positive, one, e) / sum,
                         .rest = gc_select(positive, e, one) / sum};
}

GC_INLINE gc_curve gc_sigmoid(gc_vec x)
{
    const gc_logistic l = gc_logistic_of(x, gc_exp(-gc_absolute(x), (gc_vec){0}).value);
    return (gc_curve){l.s, l.s * l.rest};
}

/* (1 - e) / (1 + e) and 4 e / (1 + e)^2, e = exp(-2 |x|). */
GC_INLINE gc_curve gc_tanh(gc_vec x)
{
    const gc_exponential e = gc_exp(-2.0f * gc_absolute(x), (gc_vec){0});
    const gc_vec sum = 1.0f + e.value;
    return (gc_curve){gc_with_sign(e.less_one / sum, x), 4.0f * (e.value / (sum * sum))};
}

#endif
