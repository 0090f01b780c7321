/* lstm.c: one step of the cells of an LSTM, and its gradient.
 *
 * Both directions compute the gates from their sums: the logistic function and its derivative are
 * then exact where a gate is rounded to 1, and cost little beside the step's matrix product. */
#include <string.h>

#include "kernels/level.h"
#include "kernels/logistic.h"

/* As many values as there are lanes, GC_WIDTH or fewer; the other lanes are 0. */
GC_INLINE gc_vec load_lanes(const float *x, size_t lanes)
{
    float part[GC_WIDTH] = {0};
    if (lanes == GC_WIDTH)
        return gc_load(x);
    memcpy(part, x, lanes * sizeof *x);
    return gc_load(part);
}

GC_INLINE void store_lanes(float *x, gc_vec v, size_t lanes)
{
    float part[GC_WIDTH];
    gc_store(part, v);
    memcpy(x, part, lanes * sizeof *x);
}

/* In the order of their sums. */
typedef struct gates {
    gc_curve i, f, g, o;
} gates;

GC_INLINE gates gates_of(const gc_vec a[4])
{
    return (gates){gc_sigmoid(a[0]), gc_sigmoid(a[1]), gc_tanh(a[2]), gc_sigmoid(a[3])};
}

GC_INLINE void some_forward(size_t count, size_t lanes, const float *inputs, const float *before,
                            float *a, float *c, float *h)
{
    gc_vec sums[4];
    for (size_t gate = 0; gate < 4; gate++) {
        sums[gate] = load_lanes(a + gate * count, lanes) + load_lanes(inputs + gate * count, lanes);
        store_lanes(a + gate * count, sums[gate], lanes);
    }
    const gates s = gates_of(sums);
    const gc_vec cell = s.f.value * load_lanes(before, lanes) + s.i.value * s.g.value;
    store_lanes(c, cell, lanes);
    store_lanes(h, s.o.value * gc_tanh(cell).value, lanes);
}

void GC_KERNEL(lstm_forward)(size_t count, const float *inputs, const float *before, float *a,
                             float *c, float *h)
{
    size_t k = 0;
    for (; k + GC_WIDTH <= count; k += GC_WIDTH)
        some_forward(count, GC_WIDTH, inputs + k, before + k, a + k, c + k, h + k);
    if (k < count)
        some_forward(count, count - k, inputs + k, before + k, a + k, c + k, h + k);
}

GC_INLINE void some_backward(size_t count, size_t lanes, const float *a, const float *before,
                             const float *c, const float *dh, const float *later, float *dc,
                             float *da)
{
    gc_vec sums[4];
    for (size_t gate = 0; gate < 4; gate++)
        sums[gate] = load_lanes(a + gate * count, lanes);
    const gates s = gates_of(sums);
    const gc_curve cell = gc_tanh(load_lanes(c, lanes));
    const gc_vec by_h = load_lanes(dh, lanes) + load_lanes(later, lanes);
    const gc_vec by_c = load_lanes(dc, lanes) + by_h * s.o.value * cell.derivative;
    const gc_vec by_gates[4] = {by_c * s.g.value * s.i.derivative,
                                by_c * load_lanes(before, lanes) * s.f.derivative,
                                by_c * s.i.value * s.g.derivative,
                                by_h * cell.value * s.o.derivative};
    for (size_t gate = 0; gate < 4; gate++)
        store_lanes(da + gate * count, by_gates[gate], lanes);
    store_lanes(dc, by_c * s.f.value, lanes);
}

void GC_KERNEL(lstm_backward)(size_t count, const float *a, const float *before, const float *c,
                              const float *dh, const float *later, float *dc, float *da)
{
    size_t k = 0;
    for (; k + GC_WIDTH <= count; k += GC_WIDTH)
        some_backward(count, GC_WIDTH, a + k, before + k, c + k, dh + k, later + k, dc + k,
                      da + k);
    if (k < count)
        some_backward(count, count - k, a + k, before + k, c + k, dh + k, later + k, dc + k,
                      da + k);
}
