/* clock.h: the time that passes, and the processor time of a thread. */
#ifndef GC_BASE_CLOCK_H
#define GC_BASE_CLOCK_H

/* Seconds since some moment in the past; only differences mean something. */
double gc_seconds(void);

/* Seconds for which the calling thread has had a processor. Time in which it slept, or in which
 * others had its processor, does not count. */
double gc_thread_seconds(void);

#endif
