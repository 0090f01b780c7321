/* join.c: element-wise sums and products, affine maps of blocked maps, and blocks that are put
 * together from other blocks. */
#include "kernels/blocked.h"
#include "kernels/level.h"

void GC_KERNEL(add)(size_t count, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

void GC_KERNEL(multiply)(size_t count, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] * b[i];
}

enum { CHAINS = 4, RUN = 64 }; /* sums in float of RUN vectors are added in double */

/* Four chains of sums hide the latency of an addition. */
void GC_KERNEL(dot)(size_t count, const float *a, const float *b, float *sum)
{
    double sums[CHAINS] = {0.0};
    size_t i = 0;
    for (; i + CHAINS <= count; i += CHAINS)
        for (size_t s = 0; s < CHAINS; s++)
            sums[s] += (double)a[i + s] * b[i + s];
    for (; i < count; i++)
        sums[0] += (double)a[i] * b[i];
    *sum = (float)(sums[0] + sums[1] + sums[2] + sums[3]);
}

/* The sum of up to RUN vectors of products. */
static gc_vec dot_of_run(size_t count, const float *a, const float *b)
{
    gc_vec sums[CHAINS] = {{0}};
    size_t p = 0;
    for (; p + CHAINS <= count; p += CHAINS)
        GC_UNROLL
        for (size_t s = 0; s < CHAINS; s++)
            gc_add_product(&sums[s], gc_load(a + (p + s) * GC_WIDTH),
                           gc_load(b + (p + s) * GC_WIDTH));
    for (; p < count; p++)
        gc_add_product(&sums[0], gc_load(a + p * GC_WIDTH), gc_load(b + p * GC_WIDTH));
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

void GC_KERNEL(blocked_dot)(size_t count, const float *a, const float *b, float *sums)
{
    double totals[GC_WIDTH] = {0.0};
    for (size_t p = 0; p < count; p += RUN) {
        const gc_vec run = dot_of_run(count - p < RUN ? count - p : RUN, a + p * GC_WIDTH,
                                      b + p * GC_WIDTH);
        for (size_t l = 0; l < GC_WIDTH; l++)
            totals[l] += run[l];
    }
    for (size_t l = 0; l < GC_WIDTH; l++)
        sums[l] = (float)totals[l];
}

void GC_KERNEL(blocked_affine)(gc_row_sizes sizes, const float *scale, const float *shift,
                               const float *x, float *y)
{
    const gc_vec factor = gc_load(scale), term = gc_load(shift);
    for (size_t r = 0; r < sizes.rows; r++, x += sizes.stride, y += sizes.stride)
        for (size_t p = 0; p < sizes.count; p++)
            gc_store(y + p * GC_WIDTH, factor * gc_load(x + p * GC_WIDTH) + term);
}

void GC_KERNEL(blocked_affine_relu)(gc_row_sizes sizes, const float *scale, const float *shift,
                                    float limit, const float *x, float *y, uint8_t *bits)
{
    const gc_vec factor = gc_load(scale), term = gc_load(shift);
    for (size_t r = 0; r < sizes.rows; r++, x += sizes.stride, y += sizes.stride)
        for (size_t p = 0; p < sizes.count; p++) {
            const gc_vec value = factor * gc_load(x + p * GC_WIDTH) + term;
            uint8_t *here = bits == NULL ? NULL : bits + (r * sizes.count + p) * GC_BIT_BYTES;
            gc_store(y + p * GC_WIDTH, gc_limited_relu(value, limit, here));
        }
}

/* One source of a block: which of its lanes go where. */
typedef struct route {
    const float *from;
    gc_uvec index;
    gc_mask mask; /* of the lanes that are written */
} route;

static route route_of(const gc_lanes *lanes, size_t source)
{
    route r = {.from = lanes->sources[source]};
    uint32_t index[GC_WIDTH];
    uint8_t bits[GC_BIT_BYTES] = {0};
    for (size_t l = 0; l < GC_WIDTH; l++) {
        const int comes = lanes->from[l] == source;
        index[l] = comes ? lanes->from_lane[l] : 0;
        bits[l / 8] = (uint8_t)(bits[l / 8] | (unsigned)comes << l % 8);
    }
    __builtin_memcpy(&r.index, index, sizeof index);
    r.mask = gc_load_bits(bits);
    return r;
}

/* With a constant number of routes they stay in registers. */
GC_INLINE void gather(size_t count, const route *routes, size_t first, size_t end, float *y)
{
    for (size_t p = first; p < end; p++) {
        gc_vec sum = {0};
        for (size_t s = 0; s < count; s++)
            sum = gc_select(routes[s].mask,
                            gc_permute(gc_load(routes[s].from + p * GC_WIDTH), routes[s].index),
                            sum);
        gc_store(y + p * GC_WIDTH, sum);
    }
}

void GC_KERNEL(blocked_gather)(const gc_lanes *lanes, size_t first, size_t count, float *y)
{
    route routes[GC_WIDTH];
    for (size_t s = 0; s < lanes->source_count; s++)
        routes[s] = route_of(lanes, s);
    if (lanes->source_count == 1)
        gather(1, routes, first, first + count, y);
    else if (lanes->source_count == 2)
        gather(2, routes, first, first + count, y);
    else
        gather(lanes->source_count, routes, first, first + count, y);
}
