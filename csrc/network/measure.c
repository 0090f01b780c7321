/* measure.c: what the machine can do at best, the yardsticks of profiles and benchmarks.
 *
 * Each is the best of a few short rounds: others on the machine can only slow a round down. */
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "network/network.h"

enum {
    PARTS_A_WORKER = 8, /* few enough to cost nothing, enough to balance unequal cores */
    ROUNDS = 6
};
static const double SHORTEST = 10e-3; /* seconds of a round that can be trusted */

/* ---- Arithmetic ------------------------------------------------------------------------- */

typedef struct peak_work {
    const gc_kernels *kernels;
    size_t rounds;
} peak_work;

static void run_peak(void *work, size_t part, size_t worker)
{
    const peak_work *p = work;
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
        gc_parallel(workers, parts, run_peak, &p);
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

/* Of the buffer: more than caches hold, in parts that are long streams. */
static const size_t PART_VALUES = (size_t)1 << 20;
static const size_t PARTS = 64;

typedef struct read_work {
    const gc_kernels *kernels;
    float *values;
} read_work;

static void write_part(void *work, size_t part, size_t worker)
{
    const read_work *r = work;
    (void)worker;
    memset(r->values + part * PART_VALUES, 0, PART_VALUES * sizeof *r->values);
}

static void read_part(void *work, size_t part, size_t worker)
{
    const read_work *r = work;
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
    gc_parallel(workers, PARTS, write_part, &r); /* pages that were never written are not there */
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
