/* status.h: how a sentence gets into a gc_error. */
#ifndef GC_BASE_STATUS_H
#define GC_BASE_STATUS_H

#include <stdint.h>

#include "gradcam.h"

/* Write the printf-style sentence to `error` (may be NULL) and return `status`, so that a
 * check reads `return gc_fail(error, GC_BAD_ARGUMENT, "...")`. Over-long text is cut. */
gc_status gc_fail(gc_error *error, gc_status status, const char *format, ...);

/* "no memory for ...", of which the format says what, and, where that is so, that it needs more
 * than there is to spare; returns GC_NO_MEMORY. */
gc_status gc_fail_memory(gc_error *error, uint64_t bytes, const char *format, ...);

/* Put "layer 7 (conv): " before the sentence that is there; returns `status`. */
gc_status gc_fail_in_layer(gc_error *error, gc_status status, size_t layer,
                           const char *operation);

#endif
