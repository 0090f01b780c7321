/* rows.c: rows of a table by number, and back: see gc_gather_rows in gradcam.h. */
#include <string.h>

#include "base/status.h"
#include "base/watch.h"
#include "layers/sequence.h"

enum { ROWS = 4096 }; /* between two questions whether to stop */

static gc_status check(size_t rows, size_t width, size_t count, const size_t *numbers,
                       gc_error *error)
{
    gc_status status = gc_check_sizes("the table", (size_t[]){rows, width}, 2, error);
    if (status == GC_OK)
        status = gc_check_sizes("the rows", (size_t[]){count, width}, 2, error);
    for (size_t i = 0; status == GC_OK && i < count; i++)
        if (numbers[i] >= rows)
            status = gc_fail(error, GC_BAD_ARGUMENT, "there is no row %zu; there are %zu",
                             numbers[i], rows);
    return status;
}

gc_status gc_gather_rows(size_t rows, size_t width, const float *table, size_t count,
                         const size_t *numbers, float *out, gc_error *error)
{
    const gc_status status = check(rows, width, count, numbers, error);
    if (status != GC_OK)
        return status;
    for (size_t i = 0; i < count && (i % ROWS != 0 || !gc_should_stop()); i++)
        memcpy(out + i * width, table + numbers[i] * width, width * sizeof *out);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}

gc_status gc_scatter_rows(size_t rows, size_t width, size_t count, const size_t *numbers,
                          const float *dout, float *dtable, gc_error *error)
{
    const gc_status status = check(rows, width, count, numbers, error);
    if (status != GC_OK)
        return status;
    const gc_kernels *kernels = gc_kernels_active();
    memset(dtable, 0, rows * width * sizeof *dtable);
    for (size_t i = 0; i < count && (i % ROWS != 0 || !gc_should_stop()); i++)
        kernels->accumulate(width, dout + i * width, dtable + numbers[i] * width);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}
