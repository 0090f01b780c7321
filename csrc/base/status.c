#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

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

gc_status gc_fail_in_layer(gc_error *error, gc_status status, size_t layer,
                           const char *operation)
{
    if (error != NULL) {
        const gc_error inner = *error;
        const int room = (int)(sizeof error->message - 64); /* what the prefix leaves */
        snprintf(error->message, sizeof error->message, "layer %zu (%.24s): %.*s", layer,
                 operation, room, inner.message);
    }
    return status;
}
