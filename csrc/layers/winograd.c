/* winograd.c: running the kernels of kernels/winograd.c over maps, in parallel.
 *
 * The tiles of all images are numbered and processed in blocks. If the weights are small enough to
 * be read once for each block, one thread transforms, multiplies and transforms back a whole block,
 * with the layers that are fused. If they are large, all threads transform the input of a larger
 * block and then share out the output channels, so that each weight is read once. If the parts are
 * too few for all threads, they are cut: a tile has the same sums, in the same order, in a part of
 * any size.
 *
 * Some maps are large and faster to compute than to read from memory: forward those of a
 * convolution of a picture's few channels, backward the unpooled gradients. These are streamed:
 * each thread computes the map rows of one row of tiles into a strip of its own, in the cache, and
 * transforms them there; the next row of tiles uses the last two of these rows again. */
#include "layers/winograd.h"

#include <string.h>

#include "base/threads.h"
#include "base/watch.h"
#include "kernels/winograd.h"
#include "layers/blocked.h"
#include "layers/direct.h"
#include "layers/unpool.h"
#include "layers/winograd_pack.h"

enum {
    STEP = GC_WINOGRAD_STEP,
    SIDE = GC_WINOGRAD_SIDE,
    PRODUCTS = GC_WINOGRAD_PRODUCTS,
    MIN_CHANNELS = 8,        /* fewer leave most of a vector empty */
    LARGE_WEIGHTS = 8 << 20, /* bytes of U; threads share out the outputs of larger ones */
    LARGE_BLOCK = 112,       /* tiles of a block if outputs are shared out */
    BLOCK = 56,              /* otherwise, up to FEW_CHANNELS: V about fits the second cache */
    FEW_CHANNELS = 128,
    SMALL_BLOCK = 28,        /* and for more channels */
    MIN_TILES = 14,          /* of a part that is cut, about; they share each weight that is read */
    STREAMED_TILES = 2,      /* rows of tiles of a part that is streamed */
    STRIP_ROWS = STREAMED_TILES * STEP + 2 /* rows of the map that these read */
};

int gc_winograd_applies(const gc_conv *c, gc_engine engine)
{
    for (int d = 0; d < 2; d++)
        if (c->kernel[d] != 3 || c->stride[d] != 1 || c->padding[d][0] != 1 || c->padding[d][1] != 1
            || c->dilation[d] != 1)
            return 0;
    return !c->exact && c->groups == 1 && c->in_channels >= MIN_CHANNELS
           && c->out_channels >= MIN_CHANNELS && !engine.kernels->is_reference;
}

/* How one direction runs over maps of one size, and the scratch memory that it needs. */
typedef struct winograd_plan {
    gc_winograd winograd;
    size_t tiles;               /* of all images */
    size_t block;               /* tiles of a block */
    int by_output;              /* whether threads share out output channels, or blocks of tiles */
    size_t cuts;                /* parts into which a block's tiles are cut */
    int streams;                /* whether a row of tiles is a good block */
    size_t bias_floats;
    size_t v_floats, m_floats;  /* of V and M of one worker */
} winograd_plan;

/* Floats from one xi to the next: an odd number of cache lines, so that the 36 of them do not
 * fall into the same cache sets. */
static size_t plane_stride(size_t floats)
{
    const size_t line = 16;
    return (gc_divide_up(floats, line) | 1) * line;
}

/* The number of parts into which each of `pieces` is cut, 1 to `max_cuts`: the smallest with which
 * the workers wait for an eighth of the time or less, or else the one with the shortest wait. */
static size_t cuts_for(size_t pieces, size_t max_cuts, size_t workers)
{
    size_t best = 1, best_parts = 0, best_places = 1;
    for (size_t cuts = 1; cuts <= max_cuts && 8 * best_parts < 7 * best_places; cuts++) {
        const size_t parts = pieces * cuts, places = gc_divide_up(parts, workers) * workers;
        if (parts * best_places > best_parts * places) {
            best = cuts;
            best_parts = parts;
            best_places = places;
        }
    }
    return best;
}

static winograd_plan make_plan(const gc_conv *conv, int backward, gc_shape in, size_t count,
                               gc_engine engine)
{
    const size_t lanes = engine.kernels->width;
    in.channels = gc_winograd_inputs(conv, backward);
    winograd_plan p = {0};
    gc_winograd *w = &p.winograd;
    w->in = gc_blocked_of(in, engine);
    w->out_pairs = gc_divide_up(gc_winograd_outputs(conv, backward), 2 * lanes);
    w->tiles_down = gc_divide_up(in.height, STEP);
    w->tiles_across = gc_divide_up(in.width, STEP);
    const size_t channels = w->in.blocks * lanes, outputs = w->out_pairs * 2 * lanes;
    p.by_output = PRODUCTS * channels * outputs * sizeof(float) > LARGE_WEIGHTS;
    p.tiles = count * w->tiles_down * w->tiles_across;
    const size_t max_block = p.by_output                ? LARGE_BLOCK
                             : channels <= FEW_CHANNELS ? BLOCK
                                                        : SMALL_BLOCK;
    p.streams = !p.by_output && w->tiles_across <= max_block && 2 * w->tiles_across > max_block;
    p.block = gc_even_share(p.tiles, max_block);
    p.cuts = cuts_for(p.by_output ? w->out_pairs : gc_divide_up(p.tiles, p.block),
                      p.block / MIN_TILES, engine.workers);
    if (!p.by_output)
        p.block = gc_divide_up(p.block, p.cuts);
    /* Fewer tiles may have larger blocks, so memory is for the largest block: fewer images never
     * need more. */
    const size_t largest = gc_min(p.tiles, max_block);
    w->group = engine.kernels->tiles;
    w->v_plane = plane_stride(channels * gc_divide_up(largest, w->group) * w->group);
    w->m_tile = plane_stride(PRODUCTS * 2 * lanes);
    p.bias_floats = outputs;
    p.v_floats = PRODUCTS * w->v_plane;
    p.m_floats = largest * w->m_tile;
    return p;
}

size_t gc_winograd_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, size_t count,
                                 gc_engine engine)
{
    const winograd_plan p = make_plan(conv, backward, in, count, engine);
    return (p.bias_floats + (p.by_output ? 1 : engine.workers) * p.v_floats
            + engine.workers * p.m_floats)
           * sizeof(float);
}

int gc_winograd_streams(const gc_conv *conv, int backward, gc_shape in, gc_engine engine)
{
    return gc_winograd_applies(conv, engine) && make_plan(conv, backward, in, 1, engine).streams;
}

static size_t strip_floats(const gc_blocked *in, gc_engine engine)
{
    return in->blocks * STRIP_ROWS * in->columns * engine.kernels->width;
}

size_t gc_winograd_strip_bytes(const gc_conv *conv, int backward, gc_shape in, gc_engine engine)
{
    const winograd_plan p = make_plan(conv, backward, in, 1, engine);
    return engine.workers * strip_floats(&p.winograd.in, engine) * sizeof(float);
}

typedef void (*finish_kernel)(const gc_winograd *winograd, size_t first, size_t count, size_t pair,
                              const float *m, const gc_finish *finish);

typedef struct winograd_run {
    winograd_plan plan;
    const gc_kernels *kernels;
    const float *x, *u;
    float *v, *m;        /* scratch */
    size_t first, count; /* tiles of the block shared out by output */
    finish_kernel finish_tiles;
    gc_finish finish;
    const gc_direct_source *source; /* forward: the streamed layer, or NULL */
    gc_unpooling unpooling;         /* backward: likewise */
    float *strips;                  /* scratch: rows of the streamed maps */
} winograd_run;

/* Tiles first .. first + count, from V to maps, with V and M of the worker's own. */
static void finish_block(const winograd_run *r, size_t first, size_t count, size_t worker)
{
    const gc_winograd *w = &r->plan.winograd;
    const float *v = r->v + worker * r->plan.v_floats;
    float *m = r->m + worker * r->plan.m_floats;
    for (size_t pair = 0; pair < w->out_pairs; pair++) {
        r->kernels->winograd_product(w, gc_tiles_of(first, count, w->group), pair, r->u, v, m);
        r->finish_tiles(w, first, count, pair, m, &r->finish);
    }
}

static void tiles_part(void *argument, size_t part, size_t worker)
{
    const winograd_run *r = argument;
    const size_t first = part * r->plan.block;
    const size_t count = gc_min(r->plan.tiles - first, r->plan.block);
    r->kernels->winograd_input(&r->plan.winograd,
                               gc_tiles_of(first, count, r->plan.winograd.group), r->x,
                               r->v + worker * r->plan.v_floats);
    finish_block(r, first, count, worker);
}

/* Compute rows y .. y + count of one image's maps into `to`. Forward, the ReLU's bits of rows
 * first .. end are recorded. */
static void stream_rows(const winograd_run *r, size_t worker, size_t image, ptrdiff_t y,
                        size_t count, size_t first, size_t end, float *to)
{
    if (r->source != NULL)
        gc_direct_rows(r->source, worker, image, y, count, first, end, STRIP_ROWS, to);
    else
        gc_unpool_rows(&r->unpooling, worker, image, y, count, STRIP_ROWS, to);
}

/* Some rows of tiles of one image, whose maps are streamed. */
static void streamed_part(void *argument, size_t part, size_t worker)
{
    const winograd_run *r = argument;
    const gc_winograd *w = &r->plan.winograd;
    const size_t parts = gc_divide_up(w->tiles_down, STREAMED_TILES), across = w->tiles_across;
    const size_t image = part / parts, first = part % parts * STREAMED_TILES;
    const size_t end = gc_min(first + STREAMED_TILES, w->tiles_down);
    const size_t row = w->in.columns * r->kernels->width;
    float *strip = r->strips + worker * w->in.blocks * STRIP_ROWS * row;
    gc_winograd of_strip = *w; /* whose maps are the strip */
    of_strip.in.rows = STRIP_ROWS;
    of_strip.tiles_down = STREAMED_TILES;
    for (size_t down = first, ready = 0; down < end; down++) { /* ready: rows of the strip */
        const size_t needed = (down - first) * STEP + SIDE;
        stream_rows(r, worker, image, (ptrdiff_t)(first * STEP + ready) - 1, needed - ready,
                    first * STEP, end * STEP, strip + ready * row);
        ready = needed;
        r->kernels->winograd_input(&of_strip,
                                   gc_tiles_of((down - first) * across, across, w->group),
                                   strip, r->v + worker * r->plan.v_floats);
        finish_block(r, (image * w->tiles_down + down) * across, across, worker);
    }
}

static void input_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const winograd_run *r = argument;
    gc_tiles tiles = gc_tiles_of(r->first, r->count, r->plan.winograd.group);
    tiles.from = part;
    tiles.to = part + 1;
    r->kernels->winograd_input(&r->plan.winograd, tiles, r->x, r->v);
}

static void output_part(void *argument, size_t part, size_t worker)
{
    const winograd_run *r = argument;
    const gc_winograd *w = &r->plan.winograd;
    gc_tiles tiles = gc_tiles_of(r->first, r->count, w->group);
    const size_t share = gc_divide_up(tiles.to, r->plan.cuts), pair = part / r->plan.cuts;
    tiles.from = part % r->plan.cuts * share;
    if (tiles.from >= tiles.to)
        return;
    tiles.to = gc_min(tiles.to, tiles.from + share);
    const size_t start = gc_group_start(&tiles, tiles.from);
    float *m = r->m + worker * r->plan.m_floats;
    r->kernels->winograd_product(w, tiles, pair, r->u, r->v, m);
    r->finish_tiles(w, r->first + start, gc_group_start(&tiles, tiles.to) - start, pair, m,
                    &r->finish);
}

static finish_kernel find_finish(const gc_kernels *kernels, const gc_winograd_step *step)
{
    if (!step->fused.relu)
        return kernels->winograd_store;
    if (step->backward)
        return step->fused.pool ? kernels->winograd_unpool : kernels->winograd_mask;
    return step->fused.pool ? kernels->winograd_relu_pool : kernels->winograd_relu;
}

/* The border of the maps that are written, and a last row or column outside all pooling windows. */
static void zero_borders(const gc_winograd_step *step, const gc_blocked *out)
{
    const int unpools = step->backward && step->fused.pool;
    gc_zero_borders(step->engine, step->count, out,
                    unpools ? out->height / 2 * 2 : out->height,
                    unpools ? out->width / 2 * 2 : out->width, step->to);
}

static void begin_streaming(winograd_run *r, const gc_winograd_step *step)
{
    const gc_engine engine = step->engine;
    const gc_streamed *streamed = &step->fused.streamed;
    const gc_blocked *in = &r->plan.winograd.in;
    r->strips = r->v + engine.workers * r->plan.v_floats;
    float *scratch = r->strips + engine.workers * strip_floats(in, engine);
    if (step->backward)
        r->unpooling = (gc_unpooling){.engine = engine,
                                      .shape = *in,
                                      .pooled = gc_blocked_of(streamed->from, engine),
                                      .dy = step->from,
                                      .bits = streamed->bits,
                                      .positions = streamed->positions,
                                      .recorded = step->recorded,
                                      .masks = step->masks,
                                      .spare = scratch};
    else
        r->source = gc_direct_stream(streamed, step->in, step->from, engine, scratch);
}

void gc_winograd_run(const gc_conv *conv, const gc_winograd_step *step)
{
    const gc_engine engine = step->engine;
    const gc_shape out = step->fused.relu ? step->fused.shape : step->out;
    winograd_run r = {.plan = make_plan(conv, step->backward, step->in, step->count, engine),
                      .kernels = engine.kernels,
                      .x = step->from,
                      .u = step->u,
                      .finish_tiles = find_finish(engine.kernels, step),
                      .finish = {.out = gc_blocked_of(out, engine),
                                 .maps = step->to,
                                 .add = step->fused.add,
                                 .limit = step->fused.limit,
                                 .bits = step->fused.bits,
                                 .positions = step->fused.positions,
                                 .recorded = step->recorded,
                                 .masks = step->masks}};
    const gc_winograd *w = &r.plan.winograd;
    float *bias = step->scratch;
    r.m = bias + r.plan.bias_floats;
    r.v = r.m + engine.workers * r.plan.m_floats;
    if (step->bias != NULL) {
        const size_t given = gc_winograd_outputs(conv, 0);
        memcpy(bias, step->bias, given * sizeof *bias);
        memset(bias + given, 0, (r.plan.bias_floats - given) * sizeof *bias);
        r.finish.bias = bias;
    }
    zero_borders(step, &r.finish.out);
    if (step->fused.streamed.layer != NULL) {
        begin_streaming(&r, step);
        gc_parallel(engine.workers, step->count * gc_divide_up(w->tiles_down, STREAMED_TILES),
                    streamed_part, &r);
    } else if (!r.plan.by_output) {
        gc_parallel(engine.workers, gc_divide_up(r.plan.tiles, r.plan.block), tiles_part, &r);
    } else {
        for (; r.first < r.plan.tiles && !gc_should_stop(); r.first += r.plan.block) {
            r.count = gc_min(r.plan.tiles - r.first, r.plan.block);
            gc_parallel(engine.workers, gc_divide_up(r.count, w->group), input_part, &r);
            gc_parallel(engine.workers, w->out_pairs * r.plan.cuts, output_part, &r);
        }
    }
}
