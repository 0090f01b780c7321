/* watch.h: whether a call is to end early, and how far it has come: see gc_watch in gradcam.h.
 *
 * Work that takes long asks gc_should_stop between pieces of a few milliseconds, and returns
 * without a result if it is to stop. gc_parallel does so before each part. */
#ifndef GC_BASE_WATCH_H
#define GC_BASE_WATCH_H

#include "gradcam.h"

/* Whether the call that this thread works for is to end. The thread of the call asks the watch, if
 * it is time to; other threads only read the answer. */
int gc_should_stop(void);

/* The same from the answers so far. */
int gc_stopped(void);

/* The share of the call's work that is done, 0 to 1. */
void gc_set_share(double share);

/* GC_INTERRUPTED, with a sentence. */
gc_status gc_fail_interrupted(gc_error *error);

/* The watch of this thread's call; a thread that helps it works for that watch until it is given
 * NULL. */
gc_watch *gc_current_watch(void);
void gc_help(gc_watch *watch);

#endif
