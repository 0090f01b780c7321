/* winograd.c: running the kernels of kernels/winograd.c over maps, in parallel.
 *
 * The tiles of all images are numbered in a row and taken in blocks. A block is transformed,
 * multiplied and transformed back, with the layers that are fused, by one thread in one go where
 * the weights are small enough to be read once for each block. Where they are large, a wider block
 * is transformed by all threads, which then share out the output channels, so that each weight is
 * read once. Where that makes too few pieces of work for all threads, these are cut smaller: a tile
 * has the same sums, in the same order, in a piece of any size.
 *
 * A map that comes from a convolution of a picture's few channels is large, and quicker made than
 * fetched: it is drawn. Each thread has the rows of one row of tiles computed into a strip of its
 * own, in the cache, where it transforms them; the last two rows serve the next row of tiles. */
#include "layers/winograd.h"

#include <string.h>

#include "base/threads.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/direct.h"
#include "layers/winograd_pack.h"

enum {
    STEP = 4,
    SIDE = 6,
    PRODUCTS = SIDE * SIDE,
    LEAST_CHANNELS = 8,           /* fewer leave most of a vector empty */
    LARGE_WEIGHTS = 8 << 20,      /* bytes of U from which on outputs are shared out */
    WIDE_BLOCK = 112,             /* tiles of a block then; else so many that V, of these or */
    BLOCK = 56,                   /* of more channels, stays in the second cache */
    FEW_CHANNELS = 128,
    SMALL_BLOCK = 28,
    LEAST_TILES = 14,             /* of a piece, about, so that each weight serves several */
    INPUT_PART = 4,               /* tiles of a part of its input transform */
    DRAWN_TILES = 2,              /* rows of tiles that a thread draws in one go, and the */
    STRIP_ROWS = DRAWN_TILES * STEP + 2 /* rows of the map that they depend on */
};

int gc_winograd_applies(const gc_conv *c, gc_engine engine)
{
    for (int d = 0; d < 2; d++)
        if (c->kernel[d] != 3 || c->stride[d] != 1 || c->padding[d] != 1 || c->dilation[d] != 1)
            return 0;
    return !c->exact && c->groups == 1 && c->in_channels >= LEAST_CHANNELS
           && c->out_channels >= LEAST_CHANNELS && engine.kernels->width > 1;
}

/* How one direction runs over maps of one size, and the scratch memory that it needs. */
typedef struct plan {
    gc_winograd winograd;
    size_t tiles;               /* of all images */
    size_t block;               /* tiles of a block */
    int by_output;              /* threads share out output channels, not blocks of tiles, */
    size_t cuts;                /* and of a block's tiles so many pieces */
    int draws;                  /* whether a row of tiles is a good block */
    size_t bias_floats;
    size_t v_floats, m_floats;  /* of V and M of one worker */
} plan;

/* Floats from one xi to the next: an odd number of cache lines, so that the 36 of them do not
 * fall into the same cache sets. */
static size_t plane_stride(size_t floats)
{
    const size_t line = 16;
    return (gc_divide_up(floats, line) | 1) * line;
}

/* How often each of `pieces` is cut, `most` times at most, so that of all workers' time about
 * an eighth at most passes idle; or as little as can be. */
static size_t cuts_for(size_t pieces, size_t most, size_t workers)
{
    size_t best = 1, best_parts = 0, best_places = 1;
    for (size_t cuts = 1; cuts <= most && 8 * best_parts < 7 * best_places; cuts++) {
        const size_t parts = pieces * cuts, places = gc_divide_up(parts, workers) * workers;
        if (parts * best_places > best_parts * places) {
            best = cuts;
            best_parts = parts;
            best_places = places;
        }
    }
    return best;
}

static plan make_plan(const gc_conv *conv, int backward, gc_shape in, size_t count,
                      gc_engine engine)
{
    const size_t lanes = engine.kernels->width;
    in.channels = gc_winograd_inputs(conv, backward);
    plan p = {0};
    gc_winograd *w = &p.winograd;
    w->in = gc_blocked_of(in, engine);
    w->out_pairs = gc_divide_up(gc_winograd_outputs(conv, backward), 2 * lanes);
    w->tiles_down = gc_divide_up(in.height, STEP);
    w->tiles_across = gc_divide_up(in.width, STEP);
    const size_t channels = w->in.blocks * lanes, outputs = w->out_pairs * 2 * lanes;
    p.by_output = PRODUCTS * channels * outputs * sizeof(float) > LARGE_WEIGHTS;
    p.tiles = count * w->tiles_down * w->tiles_across;
    const size_t most = p.by_output                  ? WIDE_BLOCK
                        : channels <= FEW_CHANNELS ? BLOCK
                                                   : SMALL_BLOCK;
    p.draws = !p.by_output && w->tiles_across <= most && 2 * w->tiles_across > most;
    p.block = gc_even_share(p.tiles, most);
    p.cuts = cuts_for(p.by_output ? w->out_pairs : gc_divide_up(p.tiles, p.block),
                      p.block / LEAST_TILES, engine.workers);
    if (!p.by_output)
        p.block = gc_divide_up(p.block, p.cuts);
    /* Fewer tiles may make larger blocks, but none larger than this: memory never grows when
     * images get fewer. */
    const size_t room = gc_least(p.tiles, most);
    w->tile_room = room;
    w->v_plane = plane_stride(channels * room);
    w->m_plane = plane_stride(2 * lanes * room);
    p.bias_floats = outputs;
    p.v_floats = PRODUCTS * w->v_plane;
    p.m_floats = PRODUCTS * w->m_plane;
    return p;
}

size_t gc_winograd_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, size_t count,
                                 gc_engine engine)
{
    const plan p = make_plan(conv, backward, in, count, engine);
    return (p.bias_floats + (p.by_output ? 1 : engine.workers) * p.v_floats
            + engine.workers * p.m_floats)
           * sizeof(float);
}

int gc_winograd_draws(const gc_conv *conv, gc_shape in, gc_engine engine)
{
    return gc_winograd_applies(conv, engine) && make_plan(conv, 0, in, 1, engine).draws;
}

static size_t strip_floats(const gc_blocked *in, gc_engine engine)
{
    return in->blocks * STRIP_ROWS * in->columns * engine.kernels->width;
}

size_t gc_winograd_strip_bytes(const gc_conv *conv, gc_shape in, gc_engine engine)
{
    const plan p = make_plan(conv, 0, in, 1, engine);
    return engine.workers * strip_floats(&p.winograd.in, engine) * sizeof(float);
}

typedef void (*finish_kernel)(const gc_winograd *winograd, size_t first, size_t count, size_t pair,
                              const float *m, const gc_finish *finish);

typedef struct run {
    plan plan;
    const gc_kernels *kernels;
    const float *x, *u;
    float *v, *m;        /* scratch */
    size_t first, count; /* tiles of the block shared out by output */
    finish_kernel finish_tiles;
    gc_finish finish;
    const gc_direct_source *source; /* from which the maps are drawn, or NULL */
    float *strips;                  /* their rows; scratch */
} run;

/* Tiles first .. first + count, from V to maps, with V and M of the worker's own. */
static void finish_block(const run *r, size_t first, size_t count, size_t worker)
{
    const gc_winograd *w = &r->plan.winograd;
    const float *v = r->v + worker * r->plan.v_floats;
    float *m = r->m + worker * r->plan.m_floats;
    for (size_t pair = 0; pair < w->out_pairs; pair++) {
        r->kernels->winograd_product(w, count, pair, r->u, v, m);
        r->finish_tiles(w, first, count, pair, m, &r->finish);
    }
}

static void tiles_part(void *argument, size_t part, size_t worker)
{
    const run *r = argument;
    const size_t first = part * r->plan.block;
    const size_t count = gc_least(r->plan.tiles - first, r->plan.block);
    r->kernels->winograd_input(&r->plan.winograd, first, count, r->x,
                               r->v + worker * r->plan.v_floats);
    finish_block(r, first, count, worker);
}

/* Some rows of tiles of one image, their maps drawn. */
static void drawn_part(void *argument, size_t part, size_t worker)
{
    const run *r = argument;
    const gc_winograd *w = &r->plan.winograd;
    const size_t parts = gc_divide_up(w->tiles_down, DRAWN_TILES), across = w->tiles_across;
    const size_t image = part / parts, first = part % parts * DRAWN_TILES;
    const size_t end = gc_least(first + DRAWN_TILES, w->tiles_down);
    const size_t row = w->in.columns * r->kernels->width;
    float *strip = r->strips + worker * w->in.blocks * STRIP_ROWS * row;
    gc_winograd of_strip = *w; /* whose maps are the strip */
    of_strip.in.rows = STRIP_ROWS;
    of_strip.tiles_down = DRAWN_TILES;
    for (size_t down = first, there = 0; down < end; down++) {
        const size_t needed = (down - first) * STEP + SIDE;
        gc_direct_rows(r->source, worker, image, (ptrdiff_t)(first * STEP + there) - 1,
                       needed - there, first * STEP, end * STEP, STRIP_ROWS, strip + there * row);
        there = needed;
        r->kernels->winograd_input(&of_strip, (down - first) * across, across, strip,
                                   r->v + worker * r->plan.v_floats);
        finish_block(r, (image * w->tiles_down + down) * across, across, worker);
    }
}

static void input_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const run *r = argument;
    const size_t from = part * INPUT_PART;
    const size_t count = gc_least(r->count - from, INPUT_PART);
    r->kernels->winograd_input(&r->plan.winograd, r->first + from, count, r->x,
                               r->v + from * r->kernels->width);
}

static void output_part(void *argument, size_t part, size_t worker)
{
    const run *r = argument;
    const gc_winograd *w = &r->plan.winograd;
    const size_t share = gc_divide_up(r->count, r->plan.cuts);
    const size_t pair = part / r->plan.cuts, from = part % r->plan.cuts * share;
    if (from >= r->count)
        return;
    const size_t count = gc_least(r->count - from, share);
    float *m = r->m + worker * r->plan.m_floats;
    r->kernels->winograd_product(w, count, pair, r->u, r->v + from * r->kernels->width, m);
    r->finish_tiles(w, r->first + from, count, pair, m, &r->finish);
}

static finish_kernel find_finish(const gc_kernels *kernels, const gc_winograd_step *step)
{
    if (!step->fused.relu)
        return kernels->winograd_store;
    if (step->backward)
        return step->fused.pool ? kernels->winograd_unpool : kernels->winograd_mask;
    return step->fused.pool ? kernels->winograd_relu_pool : kernels->winograd_relu;
}

/* The border of what is written, and where pooling leaves out a last row or column, that too. */
static void zero_borders(const gc_winograd_step *step, const gc_blocked *out)
{
    const int unpools = step->backward && step->fused.pool;
    gc_zero_borders(step->engine, step->count, out,
                    unpools ? out->height / 2 * 2 : out->height,
                    unpools ? out->width / 2 * 2 : out->width, step->to);
}

void gc_winograd_run(const gc_conv *conv, const gc_winograd_step *step)
{
    const gc_engine engine = step->engine;
    run r = {.plan = make_plan(conv, step->backward, step->in, step->count, engine),
             .kernels = engine.kernels,
             .x = step->from,
             .u = step->u,
             .finish_tiles = find_finish(engine.kernels, step),
             .finish = {.out = gc_blocked_of(step->fused.relu ? step->fused.shape : step->out,
                                             engine),
                        .maps = step->to,
                        .bits = step->fused.bits,
                        .positions = step->fused.positions,
                        .recorded = step->recorded,
                        .rule = step->rule}};
    const gc_winograd *w = &r.plan.winograd;
    const gc_drawn *drawn = &step->fused.drawn;
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
    if (drawn->layer != NULL) {
        r.strips = r.v + engine.workers * r.plan.v_floats;
        r.source = gc_direct_draw(drawn, step->in, step->from, engine,
                                  r.strips + engine.workers * strip_floats(&w->in, engine));
        gc_parallel(engine.workers, step->count * gc_divide_up(w->tiles_down, DRAWN_TILES),
                    drawn_part, &r);
    } else if (!r.plan.by_output) {
        gc_parallel(engine.workers, gc_divide_up(r.plan.tiles, r.plan.block), tiles_part, &r);
    } else {
        for (; r.first < r.plan.tiles && !gc_should_stop(); r.first += r.plan.block) {
            r.count = gc_least(r.plan.tiles - r.first, r.plan.block);
            gc_parallel(engine.workers, gc_divide_up(r.count, INPUT_PART), input_part, &r);
            gc_parallel(engine.workers, w->out_pairs * r.plan.cuts, output_part, &r);
        }
    }
}
