/* maps.c: the arithmetic of explanations on whole arrays: see gradcam.h. */
#include <math.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "kernels/kernels.h"
#include "layers/layer.h"

enum { PART = 1 << 18 }; /* values that a thread takes at a time: 1 MB */

/* Maps shared out among threads. */
typedef struct maps_work {
    const gc_kernels *kernels;
    size_t count, share; /* maps; maps of a part */
    size_t channels, positions;
    const float *weights, *maps;
    float *out;
} maps_work;

static void some_means(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const maps_work *w = argument;
    const size_t first = part * w->share;
    w->kernels->channel_mean(gc_min(w->count - first, w->share), w->positions,
                             w->maps + first * w->positions, w->out + first);
}

void gc_channel_mean(size_t count, size_t positions, const float *maps, float *out)
{
    maps_work w = {.kernels = gc_kernels_active(),
                   .count = count,
                   .share = positions < PART ? PART / positions : 1,
                   .positions = positions,
                   .maps = maps,
                   .out = out};
    gc_parallel((size_t)gc_threads(), gc_divide_up(count, w.share), some_means, &w);
}

static void one_weighted_sum(void *argument, size_t n, size_t worker)
{
    (void)worker;
    const maps_work *w = argument;
    w->kernels->weighted_sum(w->channels, w->positions, w->weights + n * w->channels,
                             w->maps + n * w->channels * w->positions, w->out + n * w->positions);
}

void gc_weighted_sum(size_t batch, size_t channels, size_t positions, const float *weights,
                     const float *maps, float *out)
{
    maps_work w = {.kernels = gc_kernels_active(),
                   .channels = channels,
                   .positions = positions,
                   .weights = weights,
                   .maps = maps,
                   .out = out};
    gc_parallel((size_t)gc_threads(), batch, one_weighted_sum, &w);
}

/* The gradient of weighted sums; either output may be NULL. */
typedef struct sum_gradient {
    const gc_kernels *kernels;
    size_t channels, positions;
    const float *weights, *maps, *dout;
    float *dweights, *dmaps;
} sum_gradient;

static void one_gradient(void *argument, size_t n, size_t worker)
{
    (void)worker;
    const sum_gradient *g = argument;
    const size_t first = n * g->channels, map = first * g->positions;
    g->kernels->weighted_sum_backward(g->channels, g->positions, g->weights + first, g->maps + map,
                                      g->dout + n * g->positions,
                                      g->dweights == NULL ? NULL : g->dweights + first,
                                      g->dmaps == NULL ? NULL : g->dmaps + map);
}

void gc_weighted_sum_gradient(size_t batch, size_t channels, size_t positions,
                              const float *weights, const float *maps, const float *dout,
                              float *dweights, float *dmaps)
{
    sum_gradient g = {.kernels = gc_kernels_active(),
                      .channels = channels,
                      .positions = positions,
                      .weights = weights,
                      .maps = maps,
                      .dout = dout,
                      .dweights = dweights,
                      .dmaps = dmaps};
    gc_parallel((size_t)gc_threads(), batch, one_gradient, &g);
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
    const size_t first = part * PART, left = s->count - first;
    int finite;
    if (!atomic_load_explicit(&s->finite, memory_order_relaxed))
        return;
    s->kernels->all_finite(gc_min(left, PART), s->values + first * sizeof(float),
                           &finite);
    if (!finite)
        atomic_store_explicit(&s->finite, 0, memory_order_relaxed);
}

int gc_all_finite(size_t count, const void *values)
{
    search s = {.kernels = gc_kernels_active(), .count = count, .values = values};
    atomic_init(&s.finite, 1);
    gc_parallel((size_t)gc_threads(), gc_divide_up(count, PART), search_part, &s);
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

typedef struct resizing {
    const gc_kernels *kernels;
    size_t height, width, out_height, out_width, band; /* band: output rows of a part */
    const gc_tap *rows, *columns;
    const float *maps;
    float *out;
} resizing;

static void resize_rows(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const resizing *r = argument;
    const size_t bands = gc_divide_up(r->out_height, r->band);
    const size_t map = part / bands, first = part % bands * r->band;
    r->kernels->resize(r->width, gc_min(r->out_height - first, r->band), r->out_width,
                       r->rows + first, r->columns, r->maps + map * r->height * r->width,
                       r->out + (map * r->out_height + first) * r->out_width);
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
    resizing r = {.kernels = gc_kernels_active(),
                  .height = height,
                  .width = width,
                  .out_height = out_height,
                  .out_width = out_width,
                  .band = gc_divide_up(PART, out_width),
                  .rows = rows,
                  .columns = columns,
                  .maps = maps,
                  .out = out};
    gc_parallel((size_t)gc_threads(), count * gc_divide_up(out_height, r.band), resize_rows, &r);
    gc_free(rows);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}
