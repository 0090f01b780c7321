/* clock.c: the time that passes, and the processor time of a thread. */
#define _POSIX_C_SOURCE 200112L /* clock_gettime */
#include "base/clock.h"

#include <time.h>

static double read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double gc_seconds(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double gc_thread_seconds(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID); /* Linux, and macOS since 10.12 */
}
