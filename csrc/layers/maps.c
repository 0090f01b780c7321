/* maps.c: the arithmetic of explanations on whole arrays: see gradcam.h. */
#include <math.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "kernels/kernels.h"
#include "layers/layer.h"

enum { SEARCH_PART = 1 << 18 }; /* values: 1 MB */

void gc_channel_mean(size_t count, size_t positions, const float *maps, float *out)
{
    gc_kernels_active()->channel_mean(count, positions, maps, out);
}

void gc_weighted_sum(size_t batch, size_t channels, size_t positions, const float *weights,
                     const float *maps, float *out)
{
    for (size_t n = 0; n < batch; n++)
        gc_kernels_active()->weighted_sum(channels, positions, weights + n * channels,
                                          maps + n * channels * positions,
                                          out + n * positions);
}

typedef struct search {
    const gc_kernels *kernels;
    size_t count;
    const char *values;
    atomic_int finite; /* so far */
} search;

static void search_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    search *s = argument;
    const size_t first = part * SEARCH_PART, left = s->count - first;
    int finite;
    if (!atomic_load_explicit(&s->finite, memory_order_relaxed))
        return;
    s->kernels->all_finite(gc_least(left, SEARCH_PART), s->values + first * sizeof(float),
                           &finite);
    if (!finite)
        atomic_store_explicit(&s->finite, 0, memory_order_relaxed);
}

int gc_all_finite(size_t count, const void *values)
{
    search s = {.kernels = gc_kernels_active(), .count = count, .values = values};
    atomic_init(&s.finite, 1);
    gc_parallel((size_t)gc_threads(), gc_divide_up(count, SEARCH_PART), search_part, &s);
    return atomic_load(&s.finite);
}

/* One tap for output pixel `pixel` of an axis whose output pixels [begin, end) (fractions
 * count) are covered by `size` source pixels. */
static gc_tap make_tap(size_t pixel, size_t size, double begin, double end,
                       gc_resize_method method)
{
    const double centre = (double)pixel + 0.5, extent = end - begin;
    gc_tap tap = {0};
    if (centre < begin || centre > end)
        return tap; /* weights 0: outside the region, and 0 comes out */
    double source;
    if (method == GC_NEAREST)
        source = floor((centre - begin) * (double)size / extent);
    else if (method == GC_HALF_PIXEL)
        source = (centre - begin) * (double)size / extent - 0.5;
    else /* the first and the last pixel of the region meet the corners of the source */
        source = extent > 1.0 ? (centre - 0.5 - begin) * ((double)size - 1.0) / (extent - 1.0)
                              : 0.0;
    source = fmin(fmax(source, 0.0), (double)size - 1.0);
    tap.low = (size_t)source;
    const double fraction = source - (double)tap.low;
    /* A neighbour without weight is not read: 0 times infinity is no number. */
    tap.high = fraction > 0.0 ? tap.low + 1 : tap.low;
    tap.low_weight = (float)(1.0 - fraction);
    tap.high_weight = (float)fraction;
    return tap;
}

static gc_status check_resize(size_t height, size_t width, size_t out_height, size_t out_width,
                              const double *region, gc_error *error)
{
    const size_t sizes[4] = {height, width, out_height, out_width};
    for (int i = 0; i < 4; i++)
        if (sizes[i] == 0 || sizes[i] > GC_MAX_EXTENT)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "cannot resize %zu x %zu to %zu x %zu: sizes must be 1 to %zu",
                           height, width, out_height, out_width, GC_MAX_EXTENT);
    for (int i = 0; i < 4; i++)
        if (!isfinite(region[i]))
            return gc_fail(error, GC_BAD_ARGUMENT, "the region must be four finite numbers");
    if (region[2] <= region[0] || region[3] <= region[1])
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the region (top %g, left %g, bottom %g, right %g) is empty", region[0],
                       region[1], region[2], region[3]);
    return GC_OK;
}

gc_status gc_resize(size_t count, size_t height, size_t width, const float *maps,
                    size_t out_height, size_t out_width, gc_resize_method method,
                    const double *region, float *out, gc_error *error)
{
    const double whole[4] = {0.0, 0.0, (double)out_height, (double)out_width};
    if (region == NULL)
        region = whole;
    const gc_status status =
        check_resize(height, width, out_height, out_width, region, error);
    if (status != GC_OK)
        return status;

    gc_tap *rows = gc_alloc((out_height + out_width) * sizeof *rows);
    if (rows == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory to resize to %zu x %zu", out_height,
                       out_width);
    gc_tap *columns = rows + out_height;
    for (size_t i = 0; i < out_height; i++)
        rows[i] = make_tap(i, height, region[0], region[2], method);
    for (size_t j = 0; j < out_width; j++)
        columns[j] = make_tap(j, width, region[1], region[3], method);
    for (size_t i = 0; i < count; i++)
        gc_kernels_active()->resize(width, out_height, out_width, rows, columns,
                                    maps + i * height * width,
                                    out + i * out_height * out_width);
    gc_free(rows);
    return GC_OK;
}
