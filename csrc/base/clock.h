/* clock.h: the time that passes. */
#ifndef GC_BASE_CLOCK_H
#define GC_BASE_CLOCK_H

/* Seconds since some moment in the past; only differences mean something. */
double gc_seconds(void);

#endif
