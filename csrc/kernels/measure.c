/* measure.c: arithmetic alone and reading alone, the limits of all other kernels, so that a time
 * can be stated as a share of the maximum speed of the machine. */
#include "kernels/level.h"
#include "kernels/vec.h"

/* Vectors in registers: enough independent chains to hide the time that one multiplication and
 * addition takes. */
enum { CHAINS = 2 * GC_TILES < 16 ? 2 * GC_TILES : 16, CHAINED = CHAINS * GC_WIDTH };

_Static_assert(GC_PEAK_VALUES % CHAINED == 0, "GC_PEAK_VALUES does not fit the level");

void GC_KERNEL(peak)(size_t rounds, float factor, float term, float *values)
{
    const gc_vec f = gc_broadcast(factor), t = gc_broadcast(term);
    for (size_t first = 0; first < GC_PEAK_VALUES; first += CHAINED) {
        gc_vec chains[CHAINS];
        for (size_t i = 0; i < CHAINS; i++)
            chains[i] = gc_load(values + first + i * GC_WIDTH);
        for (size_t round = 0; round < rounds; round++) {
            GC_UNROLL
            for (size_t i = 0; i < CHAINS; i++)
                chains[i] = chains[i] * f + t;
        }
        for (size_t i = 0; i < CHAINS; i++)
            gc_store(values + first + i * GC_WIDTH, chains[i]);
    }
}

void GC_KERNEL(sum)(size_t count, const float *values, float *sum)
{
    enum { STREAMS = 8 };
    gc_vec sums[STREAMS] = {{0}};
    size_t i = 0;
    for (; i + STREAMS * GC_WIDTH <= count; i += STREAMS * GC_WIDTH) {
        GC_UNROLL
        for (size_t s = 0; s < STREAMS; s++)
            sums[s] += gc_load(values + i + s * GC_WIDTH);
    }
    for (size_t s = 1; s < STREAMS; s++)
        sums[0] += sums[s];
    *sum = 0.0f;
    for (size_t lane = 0; lane < GC_WIDTH; lane++)
        *sum += sums[0][lane];
    for (; i < count; i++)
        *sum += values[i];
}
