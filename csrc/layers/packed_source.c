/* packed_source.c: a convolution of packed.c whose output another layer reads, through a ReLU, a
 * few rows at a time. It is computed for two blocks of channels at a time, into a strip of rows. */
#include "layers/packed_run.h"

#include "base/memory.h"
#include "layers/blocked.h"

struct gc_packed_source {
    gc_packed_run run;       /* its finish.out is the strip */
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

static size_t strip_floats(const gc_packed_plan *p, size_t rows)
{
    const gc_blocked strip = gc_packed_strip(p->out, rows, p->engine);
    return strip.blocks * gc_blocked_plane(&strip, p->lanes);
}

/* Floats of the packed inputs of `rows` rows, in two pieces: each may have a group that is not
 * full. */
static size_t source_inputs(const gc_packed_plan *p, size_t rows)
{
    const gc_phase f = gc_packed_phase(p, 0);
    if (gc_packed_reads_maps(p, &f))
        return 0;
    return (rows * f.width / p->engine.kernels->tiles + 2) * gc_packed_group_floats(p, &f);
}

static gc_packed_sizes source_sizes(const gc_packed_plan *p, size_t rows)
{
    gc_packed_sizes s = gc_packed_sizes_of(p, 0);
    s.inputs = p->engine.workers * source_inputs(p, rows);
    s.places = rows * p->out.width;
    return s;
}

size_t gc_packed_row_bytes(const gc_conv *conv, gc_shape from, gc_shape out, gc_engine engine)
{
    const gc_packed_plan p = gc_packed_plan_of(conv, 0, from, out, engine);
    const size_t taps = conv->kernel[0] * conv->kernel[1];
    const size_t packed = gc_packed_channel_blocks(&p) * taps * out.width;
    return (packed + 2 * gc_blocked_of(out, engine).columns) * p.lanes * sizeof(float);
}

size_t gc_packed_source_bytes(const gc_conv *conv, gc_shape from, gc_shape out, size_t rows,
                              gc_engine engine)
{
    const gc_packed_plan p = gc_packed_plan_of(conv, 0, from, out, engine);
    return gc_aligned(sizeof(gc_packed_source)) + gc_packed_bytes_of(source_sizes(&p, rows))
           + engine.workers * strip_floats(&p, rows) * sizeof(float);
}

/* The columns of the border: those in the map are written, and the rows of the border not read. */
static void zero_strip_borders(const gc_packed_source *s)
{
    const gc_packed_run *r = &s->run;
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
    gc_packed_run *r = &s->run;
    *s = (gc_packed_source){
        .run = {.plan = gc_packed_plan_of(&streamed->layer->conv, 0, streamed->from, out, engine),
                .finish = {.out = gc_packed_strip(out, rows, engine), .limit = streamed->limit},
                .after = GC_AFTER_RELU,
                .from = x,
                .w = w},
        .bits = streamed->bits};
    const gc_packed_sizes n = source_sizes(&r->plan, rows);
    char *scratch = (char *)memory + gc_aligned(sizeof *s);
    gc_packed_lay_out(r, n, scratch, streamed->layer->bias);
    s->worker_inputs = source_inputs(&r->plan, rows);
    s->strips = (float *)(scratch + gc_packed_bytes_of(n));
    r->phase = gc_packed_phase(&r->plan, 0);
    r->division.unpacked = gc_packed_reads_maps(&r->plan, &r->phase);
    if (!r->division.unpacked)
        r->division.group_floats = gc_packed_group_floats(&r->plan, &r->phase);
    r->phase.height = rows; /* of the places */
    gc_packed_begin_phase(r);
    zero_strip_borders(s);
    return s;
}

/* Rows from .. to of an image. */
static gc_packed_piece piece_of_rows(const gc_packed_run *r, size_t image, size_t from, size_t to)
{
    const size_t width = r->phase.width, count = (to - from) * width;
    if (r->division.unpacked)
        return gc_packed_piece_of(r, image, from, to);
    return (gc_packed_piece){.image = image,
                             .first = from * width,
                             .rows = 1,
                             .tiles = gc_tiles_of(0, count, r->plan.engine.kernels->tiles)};
}

/* The rows that are computed again, and the others, whose inputs come after those. */
static void pieces_of_rows(const gc_packed_run *r, const gc_source_rows *rows,
                           gc_packed_piece pieces[2])
{
    pieces[0] = piece_of_rows(r, rows->image, rows->begin, rows->own);
    pieces[1] = piece_of_rows(r, rows->image, rows->own, rows->end);
}

void gc_packed_source_begin(const gc_packed_source *s, size_t worker, const gc_source_rows *rows)
{
    const gc_packed_run *r = &s->run;
    float *v = r->inputs + worker * s->worker_inputs;
    gc_packed_piece pieces[2];
    pieces_of_rows(r, rows, pieces);
    gc_packed_pack(r, &pieces[0], v);
    gc_packed_pack(r, &pieces[1], v + pieces[0].tiles.to * r->division.group_floats);
}

/* The bits of two blocks from a row on. */
static uint8_t *source_bits(const gc_packed_source *s, const gc_source_rows *rows, size_t pair)
{
    const gc_packed_plan *p = &s->run.plan;
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
    const gc_packed_run *r = &s->run;
    const gc_packed_plan *p = &r->plan;
    const float *v = r->inputs + worker * s->worker_inputs;
    gc_finish finish = r->finish;
    finish.maps = s->strips + worker * 2 * gc_blocked_plane(&finish.out, p->lanes);
    finish.out.blocks = gc_min(2, gc_divide_up(p->out.channels, p->lanes) - 2 * pair);
    finish.bias = finish.bias == NULL ? NULL : finish.bias + pair * 2 * p->lanes;
    gc_packed_piece pieces[2];
    pieces_of_rows(r, rows, pieces);
    for (int i = 0; i < 2; i++) {
        const gc_packed_piece *piece = &pieces[i];
        if (piece->rows == 0 || piece->tiles.to == 0)
            continue;
        const gc_position *places = r->places + piece->first - rows->begin * r->phase.width;
        const gc_packed packed = gc_packed_product_of(r, piece, pair, places);
        finish.bits = i == 0 ? NULL : source_bits(s, rows, pair);
        p->engine.kernels->packed_product(&packed, piece->tiles, 0,
                                          gc_packed_weights_of_pair(r, pair),
                                          gc_packed_inputs_of(r, piece, v), &finish);
        v += piece->tiles.to * r->division.group_floats;
    }
    return finish.maps;
}
