/* measure.c: arithmetic alone and reading alone, the two limits of every other kernel. */
#include "kernels/level.h"
#include "kernels/vec.h"

/* Independent chains of multiplications and additions, in registers. Their number is at least the
 * latency of one (4 cycles) times those that begin in a cycle (2; on some arm64 4). With AVX2 a
 * round has 12, and begins 2 in each cycle: no register is spilled. */
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
