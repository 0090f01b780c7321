/* measure.c: the maximum speed of the machine, to which profiles and benchmarks compare.
 *
 * Each is the best of a few short rounds: other processes can only make a round slower. */
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "network/network.h"

enum {
    PARTS_A_WORKER = 8, /* few, so that they cost little; enough to balance unequal cores */
    ROUNDS = 6
};
static const double SHORTEST = 10e-3; /* seconds of a round that is measured well enough */

/* ---- Arithmetic ------------------------------------------------------------------------- */

typedef struct peak_work {
    const gc_kernels *kernels;
    size_t rounds;
} peak_work;

static void peak_part(void *argument, size_t part, size_t worker)
{
    const peak_work *p = argument;
    float values[GC_PEAK_VALUES] = {0};
    volatile float sink;
    (void)worker;
    p->kernels->peak(p->rounds, 0.5f, (float)(part + 1), values);
    sink = values[0];
    (void)sink;
}

double gc_measure_peak(size_t workers)
{
    peak_work p = {.kernels = gc_kernels_active(), .rounds = 64};
    const size_t parts = workers * PARTS_A_WORKER;
    double best = 0.0;
    for (int round = 0; round < ROUNDS && !gc_should_stop();) {
        const double start = gc_seconds();
        gc_parallel(workers, parts, peak_part, &p);
        const double seconds = gc_seconds() - start;
        if (seconds < SHORTEST) {
            p.rounds *= 2;
            continue;
        }
        const double rate = 2.0 * GC_PEAK_VALUES * (double)(p.rounds * parts) / seconds;
        best = rate > best ? rate : best;
        round++;
    }
    return best;
}

/* ---- Reading ---------------------------------------------------------------------------- */

/* The buffer: larger than the caches, in long parts. */
static const size_t PART_VALUES = (size_t)1 << 20;
static const size_t PARTS = 64;

typedef struct read_work {
    const gc_kernels *kernels;
    float *values;
} read_work;

static void write_part(void *argument, size_t part, size_t worker)
{
    const read_work *r = argument;
    (void)worker;
    memset(r->values + part * PART_VALUES, 0, PART_VALUES * sizeof *r->values);
}

static void read_part(void *argument, size_t part, size_t worker)
{
    const read_work *r = argument;
    volatile float sink;
    float sum;
    (void)worker;
    r->kernels->sum(PART_VALUES, r->values + part * PART_VALUES, &sum);
    sink = sum;
    (void)sink;
}

gc_status gc_measure_bandwidth(size_t workers, double *rate, gc_error *error)
{
    const size_t bytes = PARTS * PART_VALUES * sizeof(float);
    read_work r = {.kernels = gc_kernels_active(), .values = gc_alloc(bytes)};
    if (r.values == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for %zu bytes to be read", bytes);
    gc_parallel(workers, PARTS, write_part, &r); /* so that all pages exist */
    *rate = 0.0;
    for (int round = 0; round < ROUNDS && !gc_should_stop(); round++) {
        const double start = gc_seconds();
        gc_parallel(workers, PARTS, read_part, &r);
        const double seconds = gc_seconds() - start;
        *rate = (double)bytes / seconds > *rate ? (double)bytes / seconds : *rate;
    }
    gc_free(r.values);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}
