/* winograd.c: running the kernels of kernels/winograd.c over maps, in parallel.
 *
 * Images are taken in groups that give enough tiles to work on. For each group
 *   1  the maps are copied into the blocked layout, inside a border of zeros;
 *   2  blocks of tiles are transformed, multiplied and transformed back;
 *   3  the result is copied to plain maps, with bias, ReLU and its bits.
 * In step 2 threads share out the blocks of tiles where the weights are small enough to be read
 * once for each block; where they are large, the blocks of output channels, so that each weight
 * is read once. Blocking follows from sizes alone, never from the number of threads.
 *
 * The gradient with respect to the input is a convolution too, of the output's gradient with
 * the kernels rotated by half a turn and the roles of the channels exchanged. */
#include "layers/winograd.h"

#include <string.h>

#include "base/memory.h"
#include "base/threads.h"

enum {
    STEP = 4,
    SIDE = 6,
    PRODUCTS = SIDE * SIDE,
    LEAST_CHANNELS = 8,           /* fewer leave most of a vector empty */
    GROUP_TILES = 448,            /* tiles of a group of images */
    LARGE_WEIGHTS = 8 << 20,      /* bytes of U from which on outputs are shared out */
    WIDE_BLOCK = 112,             /* tiles of a block then */
    INPUT_PART = 8                /* tiles of a part of its input transform */
};

int gc_winograd_applies(const gc_conv *c, gc_engine engine)
{
    for (int d = 0; d < 2; d++)
        if (c->kernel[d] != 3 || c->stride[d] != 1 || c->padding[d] != 1 || c->dilation[d] != 1)
            return 0;
    return c->groups == 1 && c->in_channels >= LEAST_CHANNELS
           && c->out_channels >= LEAST_CHANNELS && engine.kernels->width > 1;
}


/* ---- Geometry --------------------------------------------------------------------------- */

/* How one direction runs over maps of one size, and where its scratch memory lies. */
typedef struct plan {
    gc_winograd winograd;
    size_t width;               /* of a vector */
    size_t images;              /* of a group */
    size_t block;               /* tiles of a block */
    int by_output;              /* threads share out output channels, not tiles */
    size_t in_floats, out_floats, v_floats, m_floats; /* of maps; of V and M of one worker */
} plan;

/* Floats from one xi to the next: an odd number of cache lines, so that the 36 of them do not
 * fall into the same cache sets. */
static size_t plane_stride(size_t floats)
{
    const size_t line = GC_ALIGNMENT / sizeof(float);
    return (gc_divide_up(floats, line) | 1) * line;
}

static plan make_plan(const gc_conv *conv, int backward, size_t height, size_t width,
                      gc_engine engine)
{
    plan p = {.width = engine.kernels->width};
    gc_winograd *w = &p.winograd;
    w->in_blocks = gc_divide_up(gc_winograd_inputs(conv, backward), p.width);
    w->out_blocks = gc_divide_up(gc_winograd_outputs(conv, backward), 2 * p.width);
    w->height = height;
    w->width = width;
    w->tiles_down = gc_divide_up(height, STEP);
    w->tiles_across = gc_divide_up(width, STEP);
    w->rows = w->tiles_down * STEP + 2;
    w->columns = w->tiles_across * STEP + 2;
    const size_t tiles = w->tiles_down * w->tiles_across;
    p.images = tiles < GROUP_TILES ? GROUP_TILES / tiles : 1;
    const size_t channels = w->in_blocks * p.width, outputs = w->out_blocks * 2 * p.width;
    p.by_output = PRODUCTS * channels * outputs * sizeof(float) > LARGE_WEIGHTS;
    p.block = p.by_output ? WIDE_BLOCK : channels <= 128 ? 56 : 28;
    w->tile_room = p.block;
    w->v_plane = plane_stride(channels * p.block);
    w->m_plane = plane_stride(2 * p.width * p.block);
    p.in_floats = p.images * channels * w->rows * w->columns;
    p.out_floats = p.images * outputs * height * width;
    p.v_floats = PRODUCTS * w->v_plane;
    p.m_floats = PRODUCTS * w->m_plane;
    return p;
}

/* The workers that can have an M, and a V, at one time: gc_parallel numbers them below both. */
static size_t plan_workers(const plan *p, size_t workers)
{
    const gc_winograd *w = &p->winograd;
    const size_t tiles = p->images * w->tiles_down * w->tiles_across;
    const size_t parts = p->by_output ? w->out_blocks : gc_divide_up(tiles, p->block);
    return parts < workers ? parts : workers;
}

static size_t plan_bytes(const plan *p, size_t most_workers)
{
    const size_t workers = plan_workers(p, most_workers);
    return (p->in_floats + p->out_floats + (p->by_output ? 1 : workers) * p->v_floats
            + workers * p->m_floats)
           * sizeof(float);
}

size_t gc_winograd_scratch_bytes(const gc_conv *conv, size_t height, size_t width,
                                 gc_engine engine)
{
    const plan forward = make_plan(conv, 0, height, width, engine);
    const plan backward = make_plan(conv, 1, height, width, engine);
    const size_t a = plan_bytes(&forward, engine.workers);
    const size_t b = plan_bytes(&backward, engine.workers);
    return a > b ? a : b;
}

/* ---- The run ----------------------------------------------------------------------------- */

typedef struct run {
    plan plan;
    gc_engine engine;
    size_t images;            /* of this group */
    size_t in_channels, out_channels;
    const float *x, *u, *bias;
    float *y;
    uint8_t *bits;
    float *in, *out, *v, *m;  /* scratch */
    size_t first, count;      /* tiles of the block shared out by output */
} run;

/* Zeros around the inside of one blocked plane. */
static void zero_border(const gc_winograd *w, size_t width, float *plane)
{
    const size_t row = w->columns * width;
    const size_t right = (w->width + 1) * width;
    memset(plane, 0, row * sizeof *plane);
    for (size_t y = 1; y <= w->height; y++) {
        memset(plane + y * row, 0, width * sizeof *plane);
        memset(plane + y * row + right, 0, (row - right) * sizeof *plane);
    }
    memset(plane + (w->height + 1) * row, 0, (w->rows - w->height - 1) * row * sizeof *plane);
}

static size_t lanes_of(size_t channels, size_t vector, size_t width)
{
    const size_t before = vector * width;
    return before >= channels ? 0 : channels - before < width ? channels - before : width;
}

static void block_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const run *r = argument;
    const gc_winograd *w = &r->plan.winograd;
    const size_t width = r->plan.width, image = part / w->in_blocks, c = part % w->in_blocks;
    float *plane = r->in + part * w->rows * w->columns * width;
    zero_border(w, width, plane);
    r->engine.kernels->block_map(lanes_of(r->in_channels, c, width), w->height, w->width, w->columns,
                          r->x + (image * r->in_channels + c * width) * w->height * w->width,
                          plane);
}

static void unblock_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const run *r = argument;
    const gc_winograd *w = &r->plan.winograd;
    const size_t width = r->plan.width, vectors = 2 * w->out_blocks;
    const size_t image = part / vectors, first = part % vectors * width;
    const size_t positions = w->height * w->width, row_bytes = (positions + 7) / 8;
    const size_t channels = lanes_of(r->out_channels, part % vectors, width);
    if (channels == 0)
        return; /* a vector that only fills up a block */
    float *y = r->y + (image * r->out_channels + first) * positions;
    r->engine.kernels->unblock_map(channels, positions, r->out + part * positions * width, y);
    for (size_t c = 0; c < channels; c++) {
        const float bias = r->bias == NULL ? 0.0f : r->bias[first + c];
        if (r->bits != NULL)
            r->engine.kernels->bias_relu(positions, bias, y + c * positions,
                                  r->bits + (image * r->out_channels + first + c) * row_bytes);
        else if (r->bias != NULL)
            r->engine.kernels->bias(positions, bias, y + c * positions);
    }
}

static size_t tiles_of(const run *r)
{
    return r->images * r->plan.winograd.tiles_down * r->plan.winograd.tiles_across;
}

/* A block of tiles, whole, with V and M of the worker's own. */
static void tiles_part(void *argument, size_t part, size_t worker)
{
    const run *r = argument;
    const gc_winograd *w = &r->plan.winograd;
    const size_t first = part * r->plan.block, left = tiles_of(r) - first;
    const size_t count = left < r->plan.block ? left : r->plan.block;
    float *v = r->v + worker * r->plan.v_floats, *m = r->m + worker * r->plan.m_floats;
    r->engine.kernels->winograd_input(w, first, count, r->in, v);
    for (size_t block = 0; block < w->out_blocks; block++)
        r->engine.kernels->winograd_output(w, first, count, block, r->u, v, m, r->out);
}

static void input_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const run *r = argument;
    const size_t from = part * INPUT_PART;
    const size_t count = r->count - from < INPUT_PART ? r->count - from : INPUT_PART;
    r->engine.kernels->winograd_input(&r->plan.winograd, r->first + from, count, r->in,
                               r->v + from * r->plan.width);
}

static void output_part(void *argument, size_t block, size_t worker)
{
    const run *r = argument;
    r->engine.kernels->winograd_output(&r->plan.winograd, r->first, r->count, block, r->u, r->v,
                                r->m + worker * r->plan.m_floats, r->out);
}

static void run_group(run *r)
{
    const plan *p = &r->plan;
    const size_t tiles = tiles_of(r);
    gc_parallel(r->engine.workers, r->images * p->winograd.in_blocks, block_part, r);
    if (p->by_output)
        for (r->first = 0; r->first < tiles; r->first += p->block) {
            r->count = tiles - r->first < p->block ? tiles - r->first : p->block;
            gc_parallel(r->engine.workers, gc_divide_up(r->count, INPUT_PART), input_part, r);
            gc_parallel(r->engine.workers, p->winograd.out_blocks, output_part, r);
        }
    else
        gc_parallel(r->engine.workers, gc_divide_up(tiles, p->block), tiles_part, r);
    gc_parallel(r->engine.workers, r->images * 2 * p->winograd.out_blocks, unblock_part, r);
}

void gc_winograd_run(const gc_winograd_packs *packs, const gc_conv *conv, gc_engine engine,
                     int backward, size_t count, size_t height, size_t width, const float *x,
                     const float *bias, float *y, uint8_t *bits, void *scratch)
{
    run r = {.plan = make_plan(conv, backward, height, width, engine),
             .engine = engine,
             .in_channels = gc_winograd_inputs(conv, backward),
             .out_channels = gc_winograd_outputs(conv, backward),
             .u = gc_winograd_u(packs, backward, engine),
             .bias = bias,
             .in = scratch};
    r.out = r.in + r.plan.in_floats;
    r.m = r.out + r.plan.out_floats;
    r.v = r.m + plan_workers(&r.plan, engine.workers) * r.plan.m_floats;
    const size_t positions = height * width, row_bytes = (positions + 7) / 8;
    for (size_t n = 0; n < count; n += r.plan.images) {
        r.images = count - n < r.plan.images ? count - n : r.plan.images;
        r.x = x + n * r.in_channels * positions;
        r.y = y + n * r.out_channels * positions;
        r.bits = bits == NULL ? NULL : bits + n * r.out_channels * row_bytes;
        run_group(&r);
    }
}
