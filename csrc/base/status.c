#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/memory.h"

gc_status gc_fail(gc_error *error, gc_status status, const char *format, ...)
{
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

gc_status gc_fail_memory(gc_error *error, uint64_t bytes, const char *format, ...)
{
    if (error == NULL)
        return GC_NO_MEMORY;
    const size_t size = sizeof error->message;
    const uint64_t spare = gc_spare_memory();
    va_list arguments;
    va_start(arguments, format);
    size_t end = (size_t)snprintf(error->message, size, "no memory for ");
    end += (size_t)vsnprintf(error->message + end, size - end, format, arguments);
    va_end(arguments);
    if (bytes > spare && end < size)
        snprintf(error->message + end, size - end, ": %.2f GB are needed, %.2f GB to spare",
                 (double)bytes * 1e-9, (double)spare * 1e-9);
    return GC_NO_MEMORY;
}

gc_status gc_fail_in_layer(gc_error *error, gc_status status, size_t layer,
                           const char *operation)
{
    if (error != NULL) {
        const gc_error inner = *error;
        const int length = (int)(sizeof error->message - 64); /* the prefix is shorter than 64 */
        snprintf(error->message, sizeof error->message, "layer %zu (%.24s): %.*s", layer,
                 operation, length, inner.message);
    }
    return status;
}
