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
 * Grids are processed in blocks of groups, or of rows. If there are enough blocks for all threads,
 * a thread packs the inputs of a block, which then stay in its second cache, and computes all
 * outputs. Else all threads pack the inputs of a larger block, and then share out the output
 * channels. A position has the same sums, in the same order, in both ways.
 *
 * The gradient of one class may be zero in most channels, for instance where a convolution computes
 * the scores. Backward, only the blocks of channels from the first to the last one that has a
 * gradient are multiplied; so weights that are not finite have no effect where the gradient is 0.
 *
 * With groups, a pair of vectors of outputs reads the blocks of channels that hold the inputs of
 * its groups. The weights of other inputs in these blocks are zero. */
#include "layers/packed.h"

#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/packed_run.h"

enum {
    MIN_CHANNELS = 8,          /* fewer leave most of a vector empty */
    BLOCK_BYTES = 256 << 10,   /* of the inputs of a block, about */
    MIN_GROUPS = 4,            /* of a block, at least: they share each weight that is read */
    MIN_ROWS = 2,              /* of a block that is not packed, at least */
    MAX_UNPACKED_PAIRS = 4,    /* for more pairs it is worth packing what each of them reads */
    SHARED_BYTES = 2 << 20     /* of a block for all threads */
};

int gc_packed_applies(const gc_conv *c, gc_engine engine)
{
    return c->in_channels >= MIN_CHANNELS && c->out_channels >= MIN_CHANNELS
           && !engine.kernels->is_reference;
}

/* ---- Scratch memory --------------------------------------------------------------------- */

int gc_packed_reads_maps(const gc_packed_plan *p, const gc_phase *f)
{
    const gc_conv *c = p->conv;
    const size_t tiles = p->engine.kernels->tiles;
    for (int d = 0; d < 2; d++)
        if (c->kernel[d] != 1 || c->padding[d][0] != 0 || (!p->backward && c->stride[d] != 1))
            return 0;
    return p->pairs <= MAX_UNPACKED_PAIRS && gc_phase_taps(f) == 1
           && f->height <= p->in.height && f->width <= p->in.width
           && 4 * f->width >= 3 * tiles * gc_divide_up(f->width, tiles);
}

size_t gc_packed_group_floats(const gc_packed_plan *p, const gc_phase *f)
{
    return gc_packed_channel_blocks(p) * gc_phase_taps(f) * p->engine.kernels->tiles * p->lanes;
}

/* Bytes of the inputs of one unit. */
static size_t unit_bytes(const gc_packed_plan *p, const gc_phase *f, const gc_packed_division *d)
{
    const size_t row = gc_packed_channel_blocks(p) * f->width * p->lanes;
    return sizeof(float) * (d->unpacked ? row : d->group_floats) + 1;
}

static gc_packed_division divide(const gc_packed_plan *p, const gc_phase *f, size_t images)
{
    const size_t workers = p->engine.workers;
    gc_packed_division d = {.unpacked = gc_packed_reads_maps(p, f),
                            .cuts = 1};
    d.group_floats = d.unpacked ? 0 : gc_packed_group_floats(p, f);
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
static size_t input_floats(const gc_packed_plan *p, const gc_phase *f)
{
    size_t largest = 0;
    for (size_t images = 1; images <= 2 * p->engine.workers; images++) {
        const gc_packed_division d = divide(p, f, images);
        const size_t floats =
            d.unpacked ? 0 : (d.by_output ? 1 : p->engine.workers) * d.block * d.group_floats;
        largest = floats > largest ? floats : largest;
    }
    return largest;
}

gc_packed_sizes gc_packed_sizes_of(const gc_packed_plan *p, size_t count)
{
    gc_packed_sizes s = {.bias = p->pairs * 2 * p->lanes, .present = p->backward ? count : 0};
    for (size_t number = 0; number < p->phases; number++) {
        const gc_phase f = gc_packed_phase(p, number);
        const size_t floats = input_floats(p, &f), places = f.height * f.width;
        s.inputs = floats > s.inputs ? floats : s.inputs;
        s.places = places > s.places ? places : s.places;
        s.offsets = gc_phase_taps(&f) > s.offsets ? gc_phase_taps(&f) : s.offsets;
    }
    return s;
}

size_t gc_packed_bytes_of(gc_packed_sizes s)
{
    return gc_aligned((s.inputs + s.bias) * sizeof(float) + s.offsets * sizeof(ptrdiff_t[2])
                      + s.places * sizeof(gc_position) + s.present * sizeof(gc_block_range));
}

size_t gc_packed_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                               size_t count, gc_engine engine)
{
    const gc_packed_plan p = gc_packed_plan_of(conv, backward, in, out, engine);
    return gc_packed_bytes_of(gc_packed_sizes_of(&p, count));
}

/* ---- The run ---------------------------------------------------------------------------- */

/* The blocks of channels that a pair reads, without those before and after the ones with values. */
static gc_block_range blocks_to_multiply(const gc_packed_run *r, size_t image, size_t pair)
{
    const gc_block_range all = gc_packed_blocks_of_pair(&r->plan, pair);
    gc_block_range b = all;
    if (!r->plan.backward)
        return b;
    while (b.from < b.to && b.from < r->present[image].from)
        b.from++;
    while (b.from < b.to && b.to > r->present[image].to)
        b.to--;
    return b.from < b.to ? b : (gc_block_range){all.from, all.from};
}

const float *gc_packed_weights_of_pair(const gc_packed_run *r, size_t pair)
{
    return r->w + pair * gc_packed_panel_floats(&r->plan, gc_phase_taps(&r->phase));
}

/* Those of the first block that is multiplied. */
static const float *weights_to_multiply(const gc_packed_run *r, size_t image, size_t pair)
{
    const size_t left_out = blocks_to_multiply(r, image, pair).from
                            - gc_packed_blocks_of_pair(&r->plan, pair).from;
    return gc_packed_weights_of_pair(r, pair)
           + left_out * gc_phase_taps(&r->phase) * r->plan.lanes * 2 * r->plan.lanes;
}

gc_packed_piece gc_packed_piece_of(const gc_packed_run *r, size_t image, size_t from, size_t to)
{
    const gc_phase *f = &r->phase;
    const size_t tiles = r->plan.engine.kernels->tiles;
    if (r->division.unpacked)
        return (gc_packed_piece){.image = image,
                                 .first = from * f->width,
                                 .rows = to - from,
                                 .tiles = gc_tiles_of(0, f->width, tiles)};
    const gc_tiles all = gc_tiles_of(0, f->height * f->width, tiles);
    const size_t first = gc_group_start(&all, from), end = gc_group_start(&all, to);
    return (gc_packed_piece){.image = image,
                             .first = first,
                             .rows = 1,
                             .tiles = gc_tiles_of(0, end - first, tiles)};
}

static gc_packed_piece piece_of_block(const gc_packed_run *r, size_t image, size_t block)
{
    const size_t from = block * r->division.block;
    return gc_packed_piece_of(r, image, from, gc_min(from + r->division.block, r->division.units));
}

static const float *map_of_image(const gc_packed_run *r, size_t image)
{
    const gc_blocked *in = &r->gather.in;
    return r->from + image * in->blocks * gc_blocked_plane(in, r->plan.lanes);
}

void gc_packed_pack(const gc_packed_run *r, const gc_packed_piece *piece, float *v)
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

gc_packed gc_packed_product_of(const gc_packed_run *r, const gc_packed_piece *piece, size_t pair,
                               const gc_position *places)
{
    const gc_packed_plan *p = &r->plan;
    const gc_blocked *in = &r->gather.in;
    const int unpacked = r->division.unpacked;
    const size_t taps = gc_phase_taps(&r->phase), line = 16, lines = p->lanes * 2 * p->lanes / line;
    const size_t groups = piece->rows * (piece->tiles.to - piece->tiles.from);
    const size_t share = gc_divide_up(lines, groups), last = pair + 1 == p->pairs;
    const gc_block_range b = blocks_to_multiply(r, piece->image, pair);
    return (gc_packed){
        .places = places,
        .rows = piece->rows,
        .row = r->phase.width,
        .x_row = in->columns * p->lanes,
        .x_block = unpacked ? gc_blocked_plane(in, p->lanes) : p->engine.kernels->tiles * p->lanes,
        .x_group = unpacked ? 0 : r->division.group_floats,
        .skip = b.from * taps,
        .depth = (b.to - b.from) * taps,
        .lines = share,
        .fetching = last ? 0 : lines / share,
        .next = weights_to_multiply(r, piece->image, last ? pair : pair + 1),
        .after = r->after};
}

const float *gc_packed_inputs_of(const gc_packed_run *r, const gc_packed_piece *piece,
                                 const float *v)
{
    const size_t row = piece->first / r->phase.width;
    return r->division.unpacked
               ? map_of_image(r, piece->image)
                     + gc_blocked_offset(&r->gather.in, r->plan.lanes, 0, row, 0)
               : v;
}

/* The outputs of one pair at a piece. */
static void multiply_piece(const gc_packed_run *r, const gc_packed_piece *piece, size_t pair,
                           const float *v)
{
    gc_packed packed = gc_packed_product_of(r, piece, pair, r->places + piece->first);
    const size_t recorded = r->finish.recorded;
    packed.image = piece->image;
    packed.record = recorded == 0 ? piece->image : piece->image % recorded;
    r->plan.engine.kernels->packed_product(&packed, piece->tiles, pair,
                                           weights_to_multiply(r, piece->image, pair),
                                           gc_packed_inputs_of(r, piece, v), &r->finish);
}

static void block_part(void *argument, size_t part, size_t worker)
{
    const gc_packed_run *r = argument;
    const size_t blocks = gc_divide_up(r->division.units, r->division.block);
    const gc_packed_piece piece = piece_of_block(r, part / blocks, part % blocks);
    float *v = r->inputs + worker * r->division.block * r->division.group_floats;
    gc_packed_pack(r, &piece, v);
    for (size_t pair = 0; pair < r->plan.pairs && !gc_should_stop(); pair++)
        multiply_piece(r, &piece, pair, v);
}

static void input_part(void *argument, size_t group, size_t worker)
{
    (void)worker;
    const gc_packed_run *r = argument;
    gc_packed_piece piece = piece_of_block(r, r->image, r->first);
    piece.tiles.from = group;
    piece.tiles.to = group + 1;
    gc_packed_pack(r, &piece, r->inputs);
}

/* One of the cuts of a block, and one pair. */
static void output_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const gc_packed_run *r = argument;
    gc_packed_piece piece = piece_of_block(r, r->image, r->first);
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

void gc_packed_begin_phase(gc_packed_run *r)
{
    const gc_packed_plan *p = &r->plan;
    const gc_conv *c = p->conv;
    const gc_phase *f = &r->phase;
    for (size_t t = 0; t < gc_phase_taps(f); t++) {
        const size_t tap[2] = {gc_phase_row(f, t), gc_phase_column(f, t)};
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
                            .taps = gc_phase_taps(f),
                            .offsets = (const ptrdiff_t(*)[2])r->offsets};
}

static void run_phase(gc_packed_run *r)
{
    const gc_packed_division *d = &r->division;
    const size_t workers = r->plan.engine.workers, blocks = gc_divide_up(d->units, d->block);
    gc_packed_begin_phase(r);
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
static void find_present(gc_packed_run *r)
{
    const gc_packed_plan *p = &r->plan;
    const gc_blocked in = gc_blocked_of(p->in, p->engine);
    const size_t floats = gc_blocked_plane(&in, p->lanes);
    for (size_t image = 0; image < r->count; image++) {
        const float *map = r->from + image * in.blocks * floats;
        gc_block_range b = {.to = in.blocks};
        while (b.from < b.to && !has_values(map + b.from * floats, floats))
            b.from++;
        while (b.from < b.to && !has_values(map + (b.to - 1) * floats, floats))
            b.to--;
        r->present[image] = b;
    }
}

void gc_packed_lay_out(gc_packed_run *r, gc_packed_sizes s, void *scratch, const float *bias)
{
    const gc_packed_plan *p = &r->plan;
    r->inputs = scratch;
    float *filled = r->inputs + s.inputs;
    r->offsets = (ptrdiff_t(*)[2])(filled + s.bias);
    r->places = (gc_position *)(r->offsets + s.offsets);
    r->present = (gc_block_range *)(r->places + s.places);
    if (p->backward)
        find_present(r);
    if (bias == NULL)
        return;
    memset(filled, 0, s.bias * sizeof *filled);
    memcpy(filled, bias, p->out.channels * sizeof *filled);
    r->finish.bias = filled;
}

static void run(gc_packed_run *r, void *scratch, const float *bias)
{
    const gc_packed_plan *p = &r->plan;
    const gc_blocked *out = &r->finish.out;
    gc_packed_lay_out(r, gc_packed_sizes_of(p, r->count), scratch, bias);
    gc_zero_borders(p->engine, r->count, out, out->height, out->width, r->finish.maps);
    for (size_t number = 0; number < p->phases; number++) {
        r->phase = gc_packed_phase(p, number);
        r->division = divide(p, &r->phase, r->count);
        if (r->division.units > 0)
            run_phase(r);
        r->w += p->pairs * gc_packed_panel_floats(p, gc_phase_taps(&r->phase));
    }
}

void gc_packed_forward(const gc_layer *layer, const gc_forward_step *step, const float *w)
{
    gc_packed_run r = {
        .plan = gc_packed_plan_of(&layer->conv, 0, step->in[0], step->out, step->engine),
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
    gc_packed_run r = {
        .plan = gc_packed_plan_of(&layer->conv, 1, step->in[0], step->out, step->engine),
        .finish = {.out = gc_blocked_of(step->in[0], step->engine),
                   .maps = step->dx[0],
                   .add = step->fused.add,
                   .bits = step->fused.bits,
                   .recorded = step->batch,
                   .masks = step->masks},
        .after = step->fused.relu ? GC_AFTER_MASK : GC_AFTER_STORE,
        .from = step->dy,
        .w = w,
        .count = step->count};
    run(&r, step->scratch, NULL);
}
