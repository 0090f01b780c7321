/* status.h: writing the sentence of a gc_error. */
#ifndef GC_BASE_STATUS_H
#define GC_BASE_STATUS_H

#include <stdint.h>

#include "gradcam.h"

/* Write the printf-style sentence to `error` (may be NULL) and return `status`, so that a
 * check reads `return gc_fail(error, GC_BAD_ARGUMENT, "...")`. Text that is too long is cut. */
gc_status gc_fail(gc_error *error, gc_status status, const char *format, ...);

/* "no memory for ", then the formatted text, and, if `bytes` are more than are available, both
 * numbers; returns GC_NO_MEMORY. */
gc_status gc_fail_memory(gc_error *error, uint64_t bytes, const char *format, ...);

/* Insert "layer 7 (conv): " before the sentence in `error`; returns `status`. */
gc_status gc_fail_in_layer(gc_error *error, gc_status status, size_t layer,
                           const char *operation);

#endif
