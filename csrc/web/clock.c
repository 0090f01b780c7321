/* clock.c: instead of base/clock.c: a module has no clock, so whoever loads it lends one,
 * `host.now`, in milliseconds: performance.now. */
#include "base/clock.h"

__attribute__((import_module("host"), import_name("now"))) double gc_host_now(void);

double gc_seconds(void)
{
    return 1e-3 * gc_host_now();
}

double gc_thread_seconds(void)
{
    return gc_seconds();
}
