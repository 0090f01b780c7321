/* packed.c: running the kernels of kernels/packed.c over maps, in parallel.
 *
 * The inputs of a 1x1 convolution with few outputs are read from the maps, row by row, where rows
 * fill the groups of positions well. All others are packed.
 *
 * Forward, the positions of the output are one grid. Backward with a stride s, the inputs whose
 * rows and columns have the same remainders modulo s are read by the same taps of the kernel; each
 * such phase is a grid, with a product of its own over those taps. An input that no tap reads has
 * the gradient 0.
 *
 * Grids are processed in blocks of groups, or of rows. If there are enough blocks for all threads, a thread
 * packs the inputs of a block, which then stay in its second cache, and computes all outputs. Else
 * all threads pack the inputs of a larger block, and then share out the output channels. A position
 * has the same sums, in the same order, in both ways.
 *
 * The gradient of one class may be zero in most channels, for instance where a convolution computes
 * the scores. Backward, only the blocks of channels from the first to the last one that has a
 * gradient are multiplied.
 *
 * With groups, a pair of vectors of outputs reads the blocks of channels that hold the inputs of
 * its groups. The weights of other inputs in these blocks are zero. */
#include "layers/packed.h"

#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/blocked.h"

enum {
    MIN_CHANNELS = 8,          /* fewer leave most of a vector empty */
    BLOCK_BYTES = 256 << 10,   /* of the packed inputs of a block, about; or MIN_GROUPS */
    MIN_GROUPS = 4,            /* share each weight that is read; or */
    MIN_ROWS = 2,
    MAX_UNPACKED_PAIRS = 4,    /* for more it is worth to pack what each of them reads */
    SHARED_BYTES = 2 << 20     /* of a block for all threads */
};

int gc_packed_applies(const gc_conv *c, gc_engine engine)
{
    return c->in_channels >= MIN_CHANNELS && c->out_channels >= MIN_CHANNELS
           && !engine.kernels->is_reference;
}

/* One grid of positions and the kernel elements that it uses: in each direction of the map the
 * taps first, first + step, ... */
typedef struct phase {
    size_t height, width;    /* of the grid */
    size_t origin[2];        /* of the grid in the maps that are written */
    size_t first[2], count[2], every[2]; /* taps */
} phase;

/* How one direction runs. */
typedef struct packed_plan {
    const gc_conv *conv;
    gc_engine engine;
    int backward;
    gc_shape in, out;        /* of the maps that are read, and written */
    size_t ins, outs;        /* their channels, of one group */
    size_t lanes, pairs;
    size_t blocks;           /* of channels that a pair reads, at most */
    size_t phases;
} packed_plan;

static size_t channel_blocks(const packed_plan *p)
{
    return gc_divide_up(p->conv->groups * p->ins, p->lanes);
}

/* The blocks of channels [*from, *to) that a pair of vectors of outputs reads. */
static void blocks_of_pair(const packed_plan *p, size_t pair, size_t *from, size_t *to)
{
    const size_t first = pair * 2 * p->lanes;
    const size_t last = gc_min(first + 2 * p->lanes, p->outs * p->conv->groups) - 1;
    *from = first / p->outs * p->ins / p->lanes;
    *to = gc_divide_up((last / p->outs + 1) * p->ins, p->lanes);
}

static packed_plan make_plan(const gc_conv *c, int backward, gc_shape in, gc_shape out,
                             gc_engine engine)
{
    packed_plan p = {.conv = c,
                     .engine = engine,
                     .backward = backward,
                     .in = backward ? out : in,
                     .out = backward ? in : out,
                     .ins = (backward ? c->out_channels : c->in_channels) / c->groups,
                     .outs = (backward ? c->in_channels : c->out_channels) / c->groups,
                     .lanes = engine.kernels->width,
                     .phases = backward ? c->stride[0] * c->stride[1] : 1};
    p.pairs = gc_divide_up(p.outs * c->groups, 2 * p.lanes);
    for (size_t pair = 0; pair < p.pairs; pair++) {
        size_t from, to;
        blocks_of_pair(&p, pair, &from, &to);
        p.blocks = to - from > p.blocks ? to - from : p.blocks;
    }
    return p;
}

/* Along one direction d of the map: the taps t = first, first + every, ... with
 * (origin + padding - t dilation) divisible by the stride. */
static void find_taps(const gc_conv *c, int d, phase *f)
{
    const size_t stride = c->stride[d], dilation = c->dilation[d];
    const size_t start = f->origin[d] + c->padding[d][0];
    f->every[d] = stride / gc_common_divisor(stride, dilation);
    f->first[d] = 0;
    while (f->first[d] < f->every[d] && start % stride != f->first[d] * dilation % stride)
        f->first[d]++;
    f->count[d] = f->first[d] == f->every[d] || f->first[d] >= c->kernel[d]
                      ? 0
                      : gc_divide_up(c->kernel[d] - f->first[d], f->every[d]);
}

static phase phase_of(const packed_plan *p, size_t number)
{
    const gc_conv *c = p->conv;
    if (!p->backward)
        return (phase){.height = p->out.height,
                       .width = p->out.width,
                       .count = {c->kernel[0], c->kernel[1]},
                       .every = {1, 1}};
    phase f = {.origin = {number / c->stride[1], number % c->stride[1]}};
    f.height = p->out.height <= f.origin[0]
                   ? 0
                   : gc_divide_up(p->out.height - f.origin[0], c->stride[0]);
    f.width = p->out.width <= f.origin[1]
                  ? 0
                  : gc_divide_up(p->out.width - f.origin[1], c->stride[1]);
    find_taps(c, 0, &f);
    find_taps(c, 1, &f);
    return f;
}

static size_t taps_of(const phase *f)
{
    return f->count[0] * f->count[1];
}

/* The kernel element of a tap. */
static size_t row_of_tap(const phase *f, size_t tap)
{
    return f->first[0] + tap / f->count[1] * f->every[0];
}

static size_t column_of_tap(const phase *f, size_t tap)
{
    return f->first[1] + tap % f->count[1] * f->every[1];
}

/* ---- Weights ----------------------------------------------------------------------------------- */

/* Floats of the weights of a pair in one phase. */
static size_t panel_floats(const packed_plan *p, size_t taps)
{
    return p->blocks * taps * p->lanes * 2 * p->lanes;
}

size_t gc_packed_floats(const gc_conv *conv, int backward, gc_engine engine)
{
    const gc_shape none = {0};
    const packed_plan p = make_plan(conv, backward, none, none, engine);
    return p.pairs * panel_floats(&p, conv->kernel[0] * conv->kernel[1]);
}

typedef struct packing {
    packed_plan plan;
    phase phase;
    const float *weight;
    float *w;
} packing;

/* The weights of one kernel element, of an input channel and the outputs of a pair. */
static void pack_row(const packing *k, size_t pair, size_t channel, size_t element, float *w)
{
    const packed_plan *p = &k->plan;
    const size_t elements = p->conv->kernel[0] * p->conv->kernel[1];
    const size_t group = channel / p->ins, c = channel % p->ins;
    memset(w, 0, 2 * p->lanes * sizeof *w);
    if (group >= p->conv->groups)
        return;
    const size_t first = pair * 2 * p->lanes;
    const size_t begin = first > group * p->outs ? first : group * p->outs;
    const size_t end = gc_min(first + 2 * p->lanes, (group + 1) * p->outs);
    for (size_t o = begin; o < end; o++) {
        const size_t row = p->backward ? channel * p->outs + o % p->outs : o * p->ins + c;
        w[o - first] = k->weight[row * elements + element];
    }
}

static void pack_part(void *argument, size_t pair, size_t worker)
{
    (void)worker;
    const packing *k = argument;
    const packed_plan *p = &k->plan;
    const size_t taps = taps_of(&k->phase);
    float *w = k->w + pair * panel_floats(p, taps);
    size_t from, to;
    blocks_of_pair(p, pair, &from, &to);
    for (size_t block = from; block < to && !gc_should_stop(); block++)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t lane = 0; lane < p->lanes; lane++, w += 2 * p->lanes)
                pack_row(k, pair, block * p->lanes + lane,
                         row_of_tap(&k->phase, tap) * p->conv->kernel[1]
                             + column_of_tap(&k->phase, tap),
                         w);
}

void gc_packed_weights(const gc_conv *conv, const float *weight, int backward, gc_engine engine,
                       float *w)
{
    const gc_shape none = {0};
    packing k = {.plan = make_plan(conv, backward, none, none, engine), .weight = weight, .w = w};
    memset(w, 0, gc_packed_floats(conv, backward, engine) * sizeof *w);
    for (size_t number = 0; number < k.plan.phases; number++) {
        k.phase = phase_of(&k.plan, number);
        gc_parallel(engine.workers, k.plan.pairs, pack_part, &k);
        k.w += k.plan.pairs * panel_floats(&k.plan, taps_of(&k.phase));
    }
}

/* ---- Scratch memory ---------------------------------------------------------------------------- */

/* How the grid of a phase is divided. */
typedef struct division {
    int unpacked;        /* whether the product reads the maps */
    size_t units;        /* of one image: groups; or rows, unpacked */
    size_t group_floats; /* of packed inputs */
    int by_output;       /* whether threads share out outputs */
    size_t block;        /* units of a block */
    size_t cuts;         /* by output: pieces of a block's units */
} division;

/* Whether each position has one input, those of a row side by side, and groups that end with the
 * rows are nearly full. */
static int is_unpacked(const packed_plan *p, const phase *f)
{
    const gc_conv *c = p->conv;
    const size_t tiles = p->engine.kernels->tiles;
    for (int d = 0; d < 2; d++)
        if (c->kernel[d] != 1 || c->padding[d][0] != 0 || (!p->backward && c->stride[d] != 1))
            return 0;
    return p->pairs <= MAX_UNPACKED_PAIRS && taps_of(f) == 1 && f->height <= p->in.height && f->width <= p->in.width
           && 4 * f->width >= 3 * tiles * gc_divide_up(f->width, tiles);
}

/* Floats of the packed inputs of a group of positions. */
static size_t group_floats(const packed_plan *p, const phase *f)
{
    return channel_blocks(p) * taps_of(f) * p->engine.kernels->tiles * p->lanes;
}

/* Bytes of the inputs of one unit. */
static size_t unit_bytes(const packed_plan *p, const phase *f, const division *d)
{
    const size_t row = channel_blocks(p) * f->width * p->lanes;
    return sizeof(float) * (d->unpacked ? row : d->group_floats) + 1;
}

static division divide(const packed_plan *p, const phase *f, size_t images)
{
    const size_t workers = p->engine.workers;
    division d = {.unpacked = is_unpacked(p, f), .group_floats = group_floats(p, f), .cuts = 1};
    const size_t least = d.unpacked ? MIN_ROWS : MIN_GROUPS, bytes = unit_bytes(p, f, &d);
    d.units = d.unpacked ? f->height
                         : gc_divide_up(f->height * f->width, p->engine.kernels->tiles);
    if (d.units == 0)
        return d;
    size_t block = BLOCK_BYTES / bytes;
    d.block = gc_even_share(d.units, block < least ? least : block);
    if (workers == 1 || images * gc_divide_up(d.units, d.block) >= 2 * workers)
        return d;
    d.block = gc_even_share(d.units, gc_divide_up(images * d.units, 2 * workers));
    if (d.block >= least || p->pairs < 2)
        return d;
    block = SHARED_BYTES / bytes;
    d.by_output = 1;
    d.block = gc_even_share(d.units, block < least ? least : block);
    d.cuts = p->pairs >= 2 * workers ? 1 : gc_min(2 * workers, gc_divide_up(d.block, least));
    return d;
}

/* Floats of all packed inputs that exist at a time. The number of images only makes blocks
 * smaller. */
static size_t input_floats(const packed_plan *p, const phase *f)
{
    size_t largest = 0;
    for (size_t images = 1; images <= 2 * p->engine.workers; images++) {
        const division d = divide(p, f, images);
        const size_t floats =
            d.unpacked ? 0 : (d.by_output ? 1 : p->engine.workers) * d.block * d.group_floats;
        largest = floats > largest ? floats : largest;
    }
    return largest;
}

/* Blocks of channels from .. to. */
typedef struct blocks {
    size_t from, to;
} blocks;

/* The parts of the scratch memory, in this order. */
typedef struct sizes {
    size_t inputs, bias;             /* floats */
    size_t places, offsets, present; /* how many */
} sizes;

static sizes sizes_of(const packed_plan *p, size_t count)
{
    sizes s = {.bias = p->pairs * 2 * p->lanes, .present = p->backward ? count : 0};
    for (size_t number = 0; number < p->phases; number++) {
        const phase f = phase_of(p, number);
        const size_t floats = input_floats(p, &f), places = f.height * f.width;
        s.inputs = floats > s.inputs ? floats : s.inputs;
        s.places = places > s.places ? places : s.places;
        s.offsets = taps_of(&f) > s.offsets ? taps_of(&f) : s.offsets;
    }
    return s;
}

static size_t aligned(size_t bytes)
{
    return gc_divide_up(bytes, GC_ALIGNMENT) * GC_ALIGNMENT;
}

static size_t bytes_of(sizes s)
{
    return aligned((s.inputs + s.bias) * sizeof(float) + s.offsets * sizeof(ptrdiff_t[2])
                   + s.places * sizeof(gc_position) + s.present * sizeof(blocks));
}

size_t gc_packed_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                               size_t count, gc_engine engine)
{
    const packed_plan p = make_plan(conv, backward, in, out, engine);
    return bytes_of(sizes_of(&p, count));
}

/* ---- The run ----------------------------------------------------------------------------------- */

typedef struct packed_run {
    packed_plan plan;
    phase phase;
    division division;
    gc_gather gather;
    gc_finish finish;
    gc_after after;
    const float *from, *w; /* w: of the phase */
    float *inputs;         /* scratch, as the rest */
    gc_position *places;
    ptrdiff_t (*offsets)[2];
    blocks *present;       /* backward, of each gradient: those with values */
    size_t count;          /* images */
    size_t image, first;   /* by output: the block that is shared out */
} packed_run;

/* The blocks of channels that a pair reads, without those before and after the ones with values. */
static blocks blocks_to_multiply(const packed_run *r, size_t image, size_t pair)
{
    blocks b;
    blocks_of_pair(&r->plan, pair, &b.from, &b.to);
    if (!r->plan.backward)
        return b;
    while (b.from < b.to && b.from < r->present[image].from)
        b.from++;
    while (b.from < b.to && b.to > r->present[image].to)
        b.to--;
    return b;
}

static const float *weights_of_pair(const packed_run *r, size_t pair)
{
    return r->w + pair * panel_floats(&r->plan, taps_of(&r->phase));
}

/* Those of the first block that is multiplied. */
static const float *weights_to_multiply(const packed_run *r, size_t image, size_t pair)
{
    size_t from, to;
    blocks_of_pair(&r->plan, pair, &from, &to);
    const size_t left_out = blocks_to_multiply(r, image, pair).from - from;
    return weights_of_pair(r, pair)
           + left_out * taps_of(&r->phase) * r->plan.lanes * 2 * r->plan.lanes;
}

/* Some positions of an image: groups of one row, packed; or whole rows. */
typedef struct piece {
    size_t image, first; /* first: position of the grid */
    size_t rows;
    gc_tiles tiles;      /* of a row */
} piece;

/* Units from .. to of an image. */
static piece piece_of_units(const packed_run *r, size_t image, size_t from, size_t to)
{
    const phase *f = &r->phase;
    const size_t tiles = r->plan.engine.kernels->tiles;
    if (r->division.unpacked)
        return (piece){.image = image,
                       .first = from * f->width,
                       .rows = to - from,
                       .tiles = gc_tiles_of(0, f->width, tiles)};
    const gc_tiles all = gc_tiles_of(0, f->height * f->width, tiles);
    const size_t first = gc_group_start(&all, from), end = gc_group_start(&all, to);
    return (piece){.image = image,
                   .first = first,
                   .rows = 1,
                   .tiles = gc_tiles_of(0, end - first, tiles)};
}

static piece piece_of_block(const packed_run *r, size_t image, size_t block)
{
    const size_t from = block * r->division.block;
    return piece_of_units(r, image, from, gc_min(from + r->division.block, r->division.units));
}

static const float *map_of_image(const packed_run *r, size_t image)
{
    const gc_blocked *in = &r->gather.in;
    return r->from + image * in->blocks * gc_blocked_plane(in, r->plan.lanes);
}

/* Pack the inputs of groups tiles.from .. to of a piece, unless they are read from the maps. */
static void pack_piece(const packed_run *r, const piece *piece, float *v)
{
    if (r->division.unpacked)
        return;
    const gc_tiles *tiles = &piece->tiles;
    const float *map = map_of_image(r, piece->image);
    for (size_t g = tiles->from; g < tiles->to; g++)
        r->plan.engine.kernels->pack_inputs(&r->gather, piece->first + gc_group_start(tiles, g),
                                            gc_group_size(tiles, g), map,
                                            v + g * r->division.group_floats);
}

/* The product of one pair at the positions of a piece, the first of which has the place `places`;
 * and where its inputs are: in v, if they are packed. */
static gc_packed product_of(const packed_run *r, const piece *piece, size_t pair,
                            const gc_position *places)
{
    const packed_plan *p = &r->plan;
    const gc_blocked *in = &r->gather.in;
    const int unpacked = r->division.unpacked;
    const size_t taps = taps_of(&r->phase), line = 16, lines = p->lanes * 2 * p->lanes / line;
    const size_t groups = piece->rows * (piece->tiles.to - piece->tiles.from);
    const blocks b = blocks_to_multiply(r, piece->image, pair);
    return (gc_packed){
        .places = places,
        .rows = piece->rows,
        .row = r->phase.width,
        .x_row = in->columns * p->lanes,
        .x_block = unpacked ? gc_blocked_plane(in, p->lanes) : p->engine.kernels->tiles * p->lanes,
        .x_group = unpacked ? 0 : r->division.group_floats,
        .skip = b.from * taps,
        .depth = (b.to - b.from) * taps,
        .lines = pair + 1 < p->pairs ? gc_divide_up(lines, groups) : 0,
        .next = weights_of_pair(r, pair + 1),
        .after = r->after};
}

/* Where the inputs of a piece are. */
static const float *inputs_of(const packed_run *r, const piece *piece, const float *v)
{
    const size_t row = piece->first / r->phase.width;
    return r->division.unpacked
               ? map_of_image(r, piece->image)
                     + gc_blocked_offset(&r->gather.in, r->plan.lanes, 0, row, 0)
               : v;
}

/* The outputs of one pair at a piece. */
static void multiply_piece(const packed_run *r, const piece *piece, size_t pair, const float *v)
{
    gc_packed packed = product_of(r, piece, pair, r->places + piece->first);
    const size_t recorded = r->finish.recorded;
    packed.image = piece->image;
    packed.record = recorded == 0 ? piece->image : piece->image % recorded;
    r->plan.engine.kernels->packed_product(&packed, piece->tiles, pair,
                                           weights_to_multiply(r, piece->image, pair),
                                           inputs_of(r, piece, v), &r->finish);
}

static void block_part(void *argument, size_t part, size_t worker)
{
    const packed_run *r = argument;
    const size_t blocks = gc_divide_up(r->division.units, r->division.block);
    const piece piece = piece_of_block(r, part / blocks, part % blocks);
    float *v = r->inputs + worker * r->division.block * r->division.group_floats;
    pack_piece(r, &piece, v);
    for (size_t pair = 0; pair < r->plan.pairs && !gc_should_stop(); pair++)
        multiply_piece(r, &piece, pair, v);
}

static void input_part(void *argument, size_t group, size_t worker)
{
    (void)worker;
    const packed_run *r = argument;
    piece piece = piece_of_block(r, r->image, r->first);
    piece.tiles.from = group;
    piece.tiles.to = group + 1;
    pack_piece(r, &piece, r->inputs);
}

/* One of the cuts of a block, and one pair. */
static void output_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const packed_run *r = argument;
    piece piece = piece_of_block(r, r->image, r->first);
    const size_t cut = part % r->division.cuts;
    const size_t units = r->division.unpacked ? piece.rows : piece.tiles.to;
    const size_t share = gc_divide_up(units, r->division.cuts), from = cut * share;
    if (from >= units)
        return;
    if (r->division.unpacked) {
        piece.first += from * r->phase.width;
        piece.rows = gc_min(share, units - from);
    } else {
        piece.tiles.from = from;
        piece.tiles.to = gc_min(units, from + share);
    }
    multiply_piece(r, &piece, part / r->division.cuts, r->inputs);
}

/* The offsets of the taps, and the places of the positions. */
static void prepare_phase(packed_run *r)
{
    const packed_plan *p = &r->plan;
    const gc_conv *c = p->conv;
    const phase *f = &r->phase;
    for (size_t t = 0; t < taps_of(f); t++) {
        const size_t tap[2] = {row_of_tap(f, t), column_of_tap(f, t)};
        for (int d = 0; d < 2; d++) {
            const ptrdiff_t shift = (ptrdiff_t)(tap[d] * c->dilation[d]);
            const ptrdiff_t padding = (ptrdiff_t)c->padding[d][0];
            r->offsets[t][d] =
                p->backward
                    ? ((ptrdiff_t)f->origin[d] + padding - shift) / (ptrdiff_t)c->stride[d]
                    : shift - padding;
        }
    }
    const size_t step[2] = {p->backward ? c->stride[0] : 1, p->backward ? c->stride[1] : 1};
    const gc_blocked *out = &r->finish.out;
    gc_position *place = r->places;
    for (size_t i = 0; i < f->height; i++)
        for (size_t j = 0; j < f->width; j++) {
            const size_t y = f->origin[0] + i * step[0], x = f->origin[1] + j * step[1];
            *place++ = (gc_position){.map = (y + 1) * out->columns + x + 1,
                                     .record = y * out->width + x};
        }
    r->gather = (gc_gather){.in = gc_blocked_of(p->in, p->engine),
                            .width = f->width,
                            .step = {p->backward ? 1 : c->stride[0],
                                     p->backward ? 1 : c->stride[1]},
                            .taps = taps_of(f),
                            .offsets = (const ptrdiff_t(*)[2])r->offsets};
}

static void run_phase(packed_run *r)
{
    const division *d = &r->division;
    const size_t workers = r->plan.engine.workers, blocks = gc_divide_up(d->units, d->block);
    prepare_phase(r);
    if (!d->by_output) {
        gc_parallel(workers, r->count * blocks, block_part, r);
        return;
    }
    for (r->image = 0; r->image < r->count; r->image++)
        for (r->first = 0; r->first < blocks && !gc_should_stop(); r->first++) {
            if (!d->unpacked)
                gc_parallel(workers, piece_of_block(r, r->image, r->first).tiles.to, input_part, r);
            gc_parallel(workers, r->plan.pairs * d->cuts, output_part, r);
        }
}

/* Whether a block of a map has a value that is not zero. */
static int has_values(const float *block, size_t floats)
{
    static const float zeros[1024];
    const size_t most = sizeof zeros / sizeof *zeros;
    for (size_t i = 0; i < floats; i += most)
        if (memcmp(block + i, zeros, gc_min(most, floats - i) * sizeof *zeros) != 0)
            return 1;
    return 0;
}

/* Find the first and the last block with values of each gradient. Most have values in all blocks,
 * near the start: then little is read. */
static void find_present(packed_run *r)
{
    const packed_plan *p = &r->plan;
    const gc_blocked in = gc_blocked_of(p->in, p->engine);
    const size_t floats = gc_blocked_plane(&in, p->lanes);
    for (size_t image = 0; image < r->count; image++) {
        const float *map = r->from + image * in.blocks * floats;
        blocks b = {.to = in.blocks};
        while (b.from < b.to && !has_values(map + b.from * floats, floats))
            b.from++;
        while (b.from < b.to && !has_values(map + (b.to - 1) * floats, floats))
            b.to--;
        r->present[image] = b;
    }
}

/* Divide the scratch memory, and fill up the bias with zeros. */
static void lay_out(packed_run *r, sizes s, void *scratch, const float *bias)
{
    const packed_plan *p = &r->plan;
    r->inputs = scratch;
    float *filled = r->inputs + s.inputs;
    r->offsets = (ptrdiff_t(*)[2])(filled + s.bias);
    r->places = (gc_position *)(r->offsets + s.offsets);
    r->present = (blocks *)(r->places + s.places);
    if (p->backward)
        find_present(r);
    if (bias == NULL)
        return;
    memset(filled, 0, s.bias * sizeof *filled);
    memcpy(filled, bias, p->out.channels * sizeof *filled);
    r->finish.bias = filled;
}

static void run(packed_run *r, void *scratch, const float *bias)
{
    const packed_plan *p = &r->plan;
    const gc_blocked *out = &r->finish.out;
    lay_out(r, sizes_of(p, r->count), scratch, bias);
    gc_zero_borders(p->engine, r->count, out, out->height, out->width, r->finish.maps);
    for (size_t number = 0; number < p->phases; number++) {
        r->phase = phase_of(p, number);
        r->division = divide(p, &r->phase, r->count);
        if (r->division.units > 0)
            run_phase(r);
        r->w += p->pairs * panel_floats(p, taps_of(&r->phase));
    }
}

void gc_packed_forward(const gc_layer *layer, const gc_forward_step *step, const float *w)
{
    packed_run r = {.plan = make_plan(&layer->conv, 0, step->in[0], step->out, step->engine),
                    .finish = {.out = gc_blocked_of(step->out, step->engine),
                               .maps = step->y,
                               .add = step->fused.add,
                               .limit = step->fused.limit,
                               .bits = step->fused.bits},
                    .after = step->fused.relu ? GC_AFTER_RELU : GC_AFTER_STORE,
                    .from = step->x[0],
                    .w = w,
                    .count = step->count};
    run(&r, step->scratch, layer->bias);
}

void gc_packed_backward(const gc_layer *layer, const gc_backward_step *step, const float *w)
{
    packed_run r = {.plan = make_plan(&layer->conv, 1, step->in[0], step->out, step->engine),
                    .finish = {.out = gc_blocked_of(step->in[0], step->engine),
                               .maps = step->dx[0],
                               .add = step->fused.add,
                               .bits = step->fused.bits,
                               .recorded = step->batch,
                               .rule = step->rule},
                    .after = step->fused.relu ? GC_AFTER_MASK : GC_AFTER_STORE,
                    .from = step->dy,
                    .w = w,
                    .count = step->count};
    run(&r, step->scratch, NULL);
}

/* ---- Streamed by another layer ----------------------------------------------------------------- */

struct gc_packed_source {
    packed_run run;       /* its finish.out is the strip */
    size_t worker_inputs; /* floats of the packed inputs of a worker */
    float *strips;        /* [workers] */
    uint8_t *bits;        /* of all images, or NULL */
};

gc_blocked gc_packed_strip(gc_shape out, size_t rows, gc_engine engine)
{
    gc_blocked strip = gc_blocked_of(out, engine);
    strip.blocks = 2;
    strip.rows = rows + 1;
    return strip;
}

static size_t strip_floats(const packed_plan *p, size_t rows)
{
    const gc_blocked strip = gc_packed_strip(p->out, rows, p->engine);
    return strip.blocks * gc_blocked_plane(&strip, p->lanes);
}

/* Floats of the packed inputs of `rows` rows, in two pieces: each may have a group that is not
 * full. */
static size_t source_inputs(const packed_plan *p, size_t rows)
{
    const phase f = phase_of(p, 0);
    return is_unpacked(p, &f) ? 0
                              : (rows * f.width / p->engine.kernels->tiles + 2) * group_floats(p, &f);
}

static sizes source_sizes(const packed_plan *p, size_t rows)
{
    sizes s = sizes_of(p, 0);
    s.inputs = p->engine.workers * source_inputs(p, rows);
    s.places = rows * p->out.width;
    return s;
}

size_t gc_packed_row_bytes(const gc_conv *conv, gc_shape from, gc_shape out, gc_engine engine)
{
    const packed_plan p = make_plan(conv, 0, from, out, engine);
    const size_t taps = conv->kernel[0] * conv->kernel[1];
    return (channel_blocks(&p) * taps * out.width + 2 * gc_blocked_of(out, engine).columns)
           * p.lanes * sizeof(float);
}

size_t gc_packed_source_bytes(const gc_conv *conv, gc_shape from, gc_shape out, size_t rows,
                              gc_engine engine)
{
    const packed_plan p = make_plan(conv, 0, from, out, engine);
    return aligned(sizeof(gc_packed_source)) + bytes_of(source_sizes(&p, rows))
           + engine.workers * strip_floats(&p, rows) * sizeof(float);
}

/* The columns of the border: those in the map are written, and the rows of the border not read. */
static void zero_strip_borders(const gc_packed_source *s)
{
    const packed_run *r = &s->run;
    gc_blocked rows = r->finish.out; /* of all strips, as one block without a border above */
    rows.height = rows.rows * rows.blocks * r->plan.engine.workers;
    for (size_t row = 1; row <= rows.height; row++)
        gc_zero_outside(&rows, r->plan.lanes, row, rows.height, rows.width,
                        s->strips + (row - 1) * rows.columns * r->plan.lanes);
}

gc_packed_source *gc_packed_stream(const gc_streamed *streamed, gc_shape out, size_t rows,
                                   const float *x, const float *w, gc_engine engine, void *memory)
{
    gc_packed_source *s = memory;
    packed_run *r = &s->run;
    *s = (gc_packed_source){
        .run = {.plan = make_plan(&streamed->layer->conv, 0, streamed->from, out, engine),
                .finish = {.out = gc_packed_strip(out, rows, engine), .limit = streamed->limit},
                .after = GC_AFTER_RELU,
                .from = x,
                .w = w},
        .bits = streamed->bits};
    const sizes n = source_sizes(&r->plan, rows);
    char *scratch = (char *)memory + aligned(sizeof *s);
    lay_out(r, n, scratch, streamed->layer->bias);
    s->worker_inputs = source_inputs(&r->plan, rows);
    s->strips = (float *)(scratch + bytes_of(n));
    r->phase = phase_of(&r->plan, 0);
    r->division.unpacked = is_unpacked(&r->plan, &r->phase);
    r->division.group_floats = group_floats(&r->plan, &r->phase);
    r->phase.height = rows; /* of the places */
    prepare_phase(r);
    zero_strip_borders(s);
    return s;
}

/* Rows from .. to of an image. */
static piece piece_of_rows(const packed_run *r, size_t image, size_t from, size_t to)
{
    const size_t width = r->phase.width, count = (to - from) * width;
    if (r->division.unpacked)
        return piece_of_units(r, image, from, to);
    return (piece){.image = image,
                   .first = from * width,
                   .rows = 1,
                   .tiles = gc_tiles_of(0, count, r->plan.engine.kernels->tiles)};
}

/* The rows that are computed again, and the others, whose inputs come after those. */
static void pieces_of_rows(const packed_run *r, const gc_source_rows *rows, piece pieces[2])
{
    pieces[0] = piece_of_rows(r, rows->image, rows->begin, rows->own);
    pieces[1] = piece_of_rows(r, rows->image, rows->own, rows->end);
}

void gc_packed_source_begin(const gc_packed_source *s, size_t worker, const gc_source_rows *rows)
{
    const packed_run *r = &s->run;
    float *v = r->inputs + worker * s->worker_inputs;
    piece pieces[2];
    pieces_of_rows(r, rows, pieces);
    pack_piece(r, &pieces[0], v);
    pack_piece(r, &pieces[1], v + pieces[0].tiles.to * r->division.group_floats);
}

/* The bits of two blocks from a row on. */
static uint8_t *source_bits(const gc_packed_source *s, const gc_source_rows *rows, size_t pair)
{
    const packed_plan *p = &s->run.plan;
    const gc_shape out = p->out;
    return s->bits == NULL ? NULL
                           : s->bits
                                 + gc_record_index(gc_divide_up(out.channels, p->lanes), out.height,
                                                   out.width, rows->image, 2 * pair, rows->begin, 0)
                                       * gc_mask_bytes(p->engine);
}

const float *gc_packed_source_rows(const gc_packed_source *s, size_t worker,
                                   const gc_source_rows *rows, size_t pair)
{
    const packed_run *r = &s->run;
    const packed_plan *p = &r->plan;
    const float *v = r->inputs + worker * s->worker_inputs;
    gc_finish finish = r->finish;
    finish.maps = s->strips + worker * 2 * gc_blocked_plane(&finish.out, p->lanes);
    finish.out.blocks = gc_min(2, gc_divide_up(p->out.channels, p->lanes) - 2 * pair);
    finish.bias = finish.bias == NULL ? NULL : finish.bias + pair * 2 * p->lanes;
    piece pieces[2];
    pieces_of_rows(r, rows, pieces);
    for (int i = 0; i < 2; i++) {
        const piece *piece = &pieces[i];
        if (piece->rows == 0 || piece->tiles.to == 0)
            continue;
        const gc_packed packed =
            product_of(r, piece, pair, r->places + piece->first - rows->begin * r->phase.width);
        finish.bits = i == 0 ? NULL : source_bits(s, rows, pair);
        p->engine.kernels->packed_product(&packed, piece->tiles, 0, weights_of_pair(r, pair),
                                          inputs_of(r, piece, v), &finish);
        v += piece->tiles.to * r->division.group_floats;
    }
    return finish.maps;
}
