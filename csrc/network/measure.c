/* measure.c: the maximum speed of the machine, with which profiles and benchmarks compare times.
 *
 * A piece of work is timed several times in the processor time of its thread: time in which other
 * processes had the processor does not count. The speed of a thread is the median of its pieces,
 * and the result is the sum over all threads. */
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "network/network.h"

enum { PIECES = 9, MAX_WORKERS = 256 };

static double median(double *values)
{
    for (size_t i = 1; i < PIECES; i++)
        for (size_t j = i; j > 0 && values[j - 1] > values[j]; j--) {
            const double value = values[j];
            values[j] = values[j - 1];
            values[j - 1] = value;
        }
    return values[PIECES / 2];
}

/* Each part consists of PIECES equal pieces. If one thread runs several parts, because others got
 * no processor, its speed counts for each of them. */
typedef struct measurement {
    const gc_kernels *kernels;
    size_t rounds; /* arithmetic: of the kernel, in a piece */
    float *values; /* reading: the buffer */
    size_t count;  /* reading: values in a piece */
    double seconds[MAX_WORKERS]; /* of each part's median piece */
} measurement;

static double sum_of_speeds(const measurement *m, size_t parts, double work)
{
    double sum = 0.0;
    for (size_t part = 0; part < parts; part++)
        if (m->seconds[part] > 0.0) /* 0 where the call was ended early */
            sum += work / m->seconds[part];
    return sum;
}

/* ---- Arithmetic ------------------------------------------------------------------------- */

static const double SHORTEST = 1e-3; /* seconds of a piece of arithmetic */

static double time_peak(const measurement *m, float term)
{
    float values[GC_PEAK_VALUES] = {0};
    volatile float sink;
    const double start = gc_thread_seconds();
    m->kernels->peak(m->rounds, 0.5f, term, values);
    const double seconds = gc_thread_seconds() - start;
    sink = values[0];
    (void)sink;
    return seconds;
}

static void run_peak(void *work, size_t part, size_t worker)
{
    measurement *m = work;
    double seconds[PIECES] = {0};
    (void)worker;
    for (size_t i = 0; i < PIECES && !gc_should_stop(); i++)
        seconds[i] = time_peak(m, (float)(part + 1));
    m->seconds[part] = median(seconds);
}

double gc_measure_peak(size_t workers)
{
    measurement m = {.kernels = gc_kernels_active(), .rounds = 64};
    while (!gc_should_stop() && time_peak(&m, 1.0f) < SHORTEST)
        m.rounds *= 2;
    gc_parallel(workers, workers, run_peak, &m);
    return sum_of_speeds(&m, workers, 2.0 * GC_PEAK_VALUES * (double)m.rounds);
}

/* ---- Reading ---------------------------------------------------------------------------- */

static const size_t BUFFER_VALUES = (size_t)1 << 26; /* more than caches hold */

/* The pages are written first: memory that was never written need not exist. */
static void write_part(void *work, size_t part, size_t worker)
{
    const measurement *m = work;
    (void)worker;
    for (size_t i = 0; i < PIECES && !gc_should_stop(); i++)
        memset(m->values + (part * PIECES + i) * m->count, 0, m->count * sizeof *m->values);
}

static void read_part(void *work, size_t part, size_t worker)
{
    measurement *m = work;
    double seconds[PIECES] = {0};
    volatile float sink;
    float sum;
    (void)worker;
    for (size_t i = 0; i < PIECES && !gc_should_stop(); i++) {
        const double start = gc_thread_seconds();
        m->kernels->sum(m->count, m->values + (part * PIECES + i) * m->count, &sum);
        seconds[i] = gc_thread_seconds() - start;
        sink = sum;
        (void)sink;
    }
    m->seconds[part] = median(seconds);
}

gc_status gc_measure_bandwidth(size_t workers, double *rate, gc_error *error)
{
    const size_t bytes = BUFFER_VALUES * sizeof(float);
    measurement m = {.kernels = gc_kernels_active(),
                     .values = gc_alloc(bytes),
                     .count = BUFFER_VALUES / (workers * PIECES)};
    if (m.values == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for %zu bytes to be read", bytes);
    gc_parallel(workers, workers, write_part, &m);
    gc_parallel(workers, workers, read_part, &m);
    *rate = sum_of_speeds(&m, workers, (double)(m.count * sizeof(float)));
    gc_free(m.values);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}
