/* relevance.c: how a layer shares the relevance of its output among its inputs.
 *
 * z and W^T s are computed by the layer's own forward and backward functions, with other weights
 * where a term needs some: parts of a convolution's weights, and their transforms, are made in
 * scratch memory for each use, so that a pass needs memory for those of one layer only. A linear
 * layer's kernels take the part while they read the weights.
 *
 * Convolutions are exact here, not by Winograd's algorithm: its rounding errors are of the size of
 * the largest outputs nearby, but z divides each output's relevance, also where z is small, and
 * must be 0 where nothing contributes.
 *
 * z depends on the image alone, so several relevances of one image share it. A term whose x_t is
 * zero everywhere is left out: half of the terms, after a ReLU. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/copy.h"
#include "layers/pack.h"
#include "layers/relevance.h"
#include "layers/winograd.h"

typedef struct run {
    const gc_layer *layer;
    const gc_relevance_step *step;
    size_t in_floats, out_floats; /* of one image's map, in the layer's layouts */
    int weighted;                 /* GC_WEIGHTS: it has terms */
    /* Scratch memory; those without terms need two only. */
    float *z;                     /* [images] outputs */
    float *s;                     /* [count] R / z */
    float *more, *gate;           /* [images] outputs of a further term, and of the layer itself */
    float *input, *back;          /* [images] x_t, and [count] W_t^T s */
    float *weights, *bias, *pack; /* of a term */
    void *inner;                  /* of the layer's own functions */
} run;

int gc_relevance_runs(const gc_layer *layer)
{
    const gc_relevance kind = layer->type->relevance;
    return kind == GC_SHARES || kind == GC_WEIGHTS || kind == GC_SELECTS;
}

int gc_relevance_reads(const gc_layer *layer)
{
    const gc_relevance kind = layer->type->relevance;
    return kind == GC_SHARES || kind == GC_WEIGHTS;
}

gc_status gc_relevance_check(const gc_layer *layer, size_t number, const gc_shape *in,
                             const gc_rule *rule, gc_error *error)
{
    const gc_relevance kind = layer->type->relevance;
    if (kind == GC_REFUSES)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the rule '%s' carries no relevance through layer %zu, a %s: begin below it",
                       rule->row->name, number, layer->type->name);
    if (kind == GC_WEIGHTS && rule->row->bounded
        && (rule->low == NULL || rule->high == NULL || rule->bounds != in->channels))
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the rule '%s' needs a lower and an upper bound of each of the %zu channels "
                       "that layer %zu reads",
                       rule->row->name, in->channels, number);
    return GC_OK;
}

/* ---- Memory ------------------------------------------------------------------------------- */

static size_t weight_count(const gc_layer *layer)
{
    const gc_conv *c = &layer->conv;
    return layer->type == &gc_conv_layer ? c->out_channels * (c->in_channels / c->groups)
                                               * c->kernel[0] * c->kernel[1]
                                         : 0;
}

/* Whether the layer's own transformed weights are those of Winograd's algorithm. */
static int is_winograd(const gc_layer *layer, gc_engine engine)
{
    return layer->type == &gc_conv_layer && gc_winograd_applies(&layer->conv, engine);
}

/* The layer, but not by Winograd's algorithm. */
static gc_layer exact(const gc_layer *layer)
{
    gc_layer made = *layer;
    if (layer->type == &gc_conv_layer)
        made.conv.exact = 1;
    return made;
}

/* The transformed weights of a direction, as a convolution names them. */
static gc_pack_id pack_id(gc_engine engine, int backward)
{
    return (gc_pack_id){.kind = backward ? GC_PACK_BACKWARD : GC_PACK_FORWARD,
                        .variant = engine.kernels->width};
}

static size_t pack_bytes(const gc_layer *layer, gc_engine engine, int backward)
{
    const gc_layer made = exact(layer);
    return layer->type == &gc_conv_layer
               ? layer->type->pack_bytes(&made, pack_id(engine, backward), engine)
               : 0;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Scratch memory of the layer's own functions. */
static size_t inner_bytes(const gc_layer_query *query, size_t images)
{
    const gc_layer made = exact(query->layer);
    gc_layer_query asked = *query;
    if (query->layer->type->scratch_bytes == NULL)
        return 0;
    asked.layer = &made;
    asked.backward = 1;
    const size_t backward = asked.layer->type->scratch_bytes(&asked);
    asked.backward = 0;
    asked.count = images;
    return larger(backward, asked.layer->type->scratch_bytes(&asked));
}

/* The next piece of the scratch memory; `memory` may be NULL, to count. */
static void *take(char *memory, size_t *used, size_t bytes)
{
    void *piece = memory == NULL ? NULL : memory + *used;
    *used += gc_aligned(bytes);
    return piece;
}

/* Lay out the scratch memory; returns its size. */
static size_t lay_out(run *r, const gc_layer_query *query, gc_layout reads, const gc_rule *rule,
                      size_t images, void *memory)
{
    const gc_layer *layer = query->layer;
    const size_t in = gc_map_floats(query->in[0], reads, query->engine) * sizeof(float);
    const size_t out = gc_map_floats(query->out, query->writes, query->engine) * sizeof(float);
    gc_group groups[GC_MAX_GROUPS];
    size_t used = 0;
    *r = (run){.layer = layer,
               .in_floats = in / sizeof(float),
               .out_floats = out / sizeof(float),
               .weighted = layer->type->relevance == GC_WEIGHTS};
    if (!gc_relevance_reads(layer))
        return 0;
    r->z = take(memory, &used, images * out);
    r->s = take(memory, &used, query->count * out);
    r->back = take(memory, &used, query->count * in);
    r->inner = take(memory, &used, inner_bytes(query, images));
    if (!r->weighted)
        return used;
    rule->row->groups(rule, groups);
    r->more = take(memory, &used, images * out);
    r->gate = take(memory, &used, groups[0].where != 0 ? images * out : 0);
    r->input = take(memory, &used, images * in);
    r->weights = take(memory, &used, weight_count(layer) * sizeof(float));
    r->bias = take(memory, &used, query->out.channels * sizeof(float));
    r->pack = take(memory, &used, larger(pack_bytes(layer, query->engine, 0),
                                         pack_bytes(layer, query->engine, 1)));
    return used;
}

size_t gc_relevance_scratch_bytes(const gc_layer_query *query, gc_layout reads,
                                  const gc_rule *rule, size_t images)
{
    run r;
    return lay_out(&r, query, reads, rule, images, NULL);
}

/* ---- Values side by side, by all threads --------------------------------------------------- */

enum { PIECE = 1 << 14 }; /* floats */

typedef struct values {
    const gc_kernels *kernels;
    size_t count;
    gc_portion portion;
    float factor, epsilon, sign;
    const float *a, *b, *gate;
    float *to;
    int signs[256]; /* of each thread */
} values;

static size_t length_of(const values *v, size_t piece)
{
    return gc_min(v->count - piece * PIECE, PIECE);
}

static void portion_piece(void *argument, size_t piece, size_t worker)
{
    const values *v = argument;
    const size_t first = piece * PIECE;
    (void)worker;
    v->kernels->portion(length_of(v, piece), v->portion, v->a + first, v->to + first);
}

static void share_piece(void *argument, size_t piece, size_t worker)
{
    const values *v = argument;
    const size_t first = piece * PIECE;
    (void)worker;
    v->kernels->share(length_of(v, piece), v->factor, v->epsilon, v->a + first,
                      v->gate == NULL ? NULL : v->gate + first, v->sign, v->b + first,
                      v->to + first);
}

static void add_product_piece(void *argument, size_t piece, size_t worker)
{
    const values *v = argument;
    const size_t first = piece * PIECE;
    (void)worker;
    v->kernels->multiply_add(length_of(v, piece), v->a + first, v->b + first, v->to + first);
}

static void signs_piece(void *argument, size_t piece, size_t worker)
{
    values *v = argument;
    int signs;
    if (v->signs[worker] == 3)
        return;
    v->kernels->signs(length_of(v, piece), v->a + piece * PIECE, &signs);
    v->signs[worker] |= signs;
}

static void run_pieces(gc_engine engine, values *v, void (*run)(void *, size_t, size_t))
{
    v->kernels = engine.kernels;
    gc_parallel(engine.workers, gc_divide_up(v->count, PIECE), run, v);
}

static void make_portion(gc_engine engine, size_t count, gc_portion portion, const float *from,
                         float *to)
{
    values v = {.count = count, .portion = portion, .a = from, .to = to};
    run_pieces(engine, &v, portion_piece);
}

/* Whether some values are positive: 1, or negative: 2; both: 3. */
static int signs_of(gc_engine engine, size_t count, const float *from)
{
    values v = {.count = count, .a = from};
    int signs = 0;
    run_pieces(engine, &v, signs_piece);
    for (size_t i = 0; i < engine.workers; i++)
        signs |= v.signs[i];
    return signs;
}

/* s = share * R / z of every relevance, where the gate has the sign. */
static void share_relevance(const run *r, float share, const float *gate, int where)
{
    const gc_relevance_step *step = r->step;
    for (size_t n = 0; n < step->count; n++) {
        const size_t image = n % step->images * r->out_floats;
        values v = {.count = r->out_floats,
                    .factor = share,
                    .epsilon = step->rule->epsilon,
                    .sign = (float)where,
                    .a = r->z + image,
                    .gate = gate == NULL ? NULL : gate + image,
                    .b = step->from + n * r->out_floats,
                    .to = r->s + n * r->out_floats};
        run_pieces(step->engine, &v, share_piece);
    }
}

/* to = x * values of every relevance; or, unless it is the first term, to += it. */
static void collect(const run *r, int first, const float *x, const float *factors, float *to)
{
    const gc_relevance_step *step = r->step;
    for (size_t n = 0; n < step->count; n++) {
        values v = {.count = r->in_floats,
                    .a = x + n % step->images * r->in_floats,
                    .b = factors + n * r->in_floats,
                    .to = to + n * r->in_floats};
        if (first)
            gc_multiply_floats(step->engine, v.count, v.a, v.b, v.to);
        else
            run_pieces(step->engine, &v, add_product_piece);
    }
}

/* ---- The layer's own functions -------------------------------------------------------------- */

static void forward(const run *r, const gc_layer *layer, const float *const *x, float *y)
{
    const gc_relevance_step *step = r->step;
    layer->type->forward(layer, &(gc_forward_step){.engine = step->engine,
                                                   .count = step->images,
                                                   .in = step->in,
                                                   .out = step->out,
                                                   .layouts = step->layouts,
                                                   .x = x,
                                                   .y = y,
                                                   .fused = {.limit = INFINITY},
                                                   .scratch = r->inner});
}

static void backward(const run *r, const gc_layer *layer)
{
    const gc_relevance_step *step = r->step;
    float *const dx[1] = {r->back};
    layer->type->backward(layer, &(gc_backward_step){.engine = step->engine,
                                                     .count = step->count,
                                                     .batch = step->images,
                                                     .in = step->in,
                                                     .out = step->out,
                                                     .layouts = step->layouts,
                                                     .dy = r->s,
                                                     .dx = dx,
                                                     .scratch = r->inner});
}

/* ---- Terms --------------------------------------------------------------------------------- */

static int same_portion(gc_portion a, gc_portion b)
{
    return a.positive == b.positive && a.negative == b.negative && a.constant == b.constant;
}

static const gc_portion ALL = {1.0f, 1.0f, 0.0f}, NOTHING = {0.0f, 0.0f, 0.0f};

/* A layer with the weights of a term, for one direction. */
typedef struct variant {
    gc_layer layer;
    gc_packs packs;
    gc_pack pack;
    gc_portion portion;
} variant;

static void make_variant(const run *r, gc_portion portion, gc_portion bias, int is_backward,
                         variant *v)
{
    const gc_engine engine = r->step->engine;
    const gc_layer *layer = r->layer;
    v->layer = exact(layer);
    v->layer.bias = NULL;
    if (layer->bias != NULL && !same_portion(bias, NOTHING)) {
        engine.kernels->portion(r->step->out.channels, bias, layer->bias, r->bias);
        v->layer.bias = r->bias;
    }
    if (same_portion(portion, ALL) && !is_winograd(layer, engine))
        return;
    v->layer.packs = &v->packs;
    atomic_init(&v->packs.first, NULL);
    if (layer->type == &gc_linear_layer) {
        v->portion = portion;
        v->layer.linear.portion = &v->portion;
        return;
    }
    if (!same_portion(portion, ALL)) {
        make_portion(engine, weight_count(layer), portion, layer->weight, r->weights);
        v->layer.weight = r->weights;
    }
    if (pack_bytes(layer, engine, is_backward) == 0)
        return;
    v->pack.next = NULL;
    v->pack.owned = NULL;
    v->pack.verified = NULL;
    v->pack.id = pack_id(engine, is_backward);
    v->pack.data = r->pack;
    atomic_init(&v->pack.damaged, 0);
    layer->type->make_pack(&v->layer, v->pack.id, engine, r->pack);
    atomic_init(&v->packs.first, &v->pack);
}

/* x_t of a term, as the layer reads it; NULL: it is zero everywhere. `signs`: of x. */
static const float *input_of(const run *r, const gc_term *term, int signs)
{
    const gc_relevance_step *step = r->step;
    const gc_shape in = step->in[0];
    const gc_portion p = term->input;
    if (term->bounds == NULL && p.constant == 0.0f) {
        if (!((p.positive != 0.0f && signs & 1) || (p.negative != 0.0f && signs & 2)))
            return NULL;
        if (same_portion(p, ALL))
            return step->x[0];
        make_portion(step->engine, step->images * r->in_floats, p, step->x[0], r->input);
        return r->input;
    }
    /* Constant over each channel, but zero around blocked maps. */
    float *plain = r->back;
    for (size_t c = 0; c < step->images * in.channels; c++)
        for (size_t i = 0; i < gc_positions(in); i++)
            plain[c * gc_positions(in) + i] =
                term->bounds == NULL ? p.constant : term->bounds[c % in.channels];
    gc_copy_maps(step->engine, step->images, in, GC_PLAIN, plain, step->layouts.reads, r->input);
    return r->input;
}

/* z of a group; 0: all its terms are zero. */
static int sum_terms(const run *r, const gc_group *group, int signs)
{
    const gc_relevance_step *step = r->step;
    const gc_portion none = NOTHING;
    int count = 0;
    for (size_t t = 0; t < group->count && !gc_stopped(); t++) {
        const gc_term *term = &group->terms[t];
        const float *x = input_of(r, term, signs);
        variant v;
        if (x == NULL)
            continue;
        make_variant(r, term->weight, count == 0 && step->rule->bias ? group->bias : none, 0, &v);
        forward(r, &v.layer, &x, count == 0 ? r->z : r->more);
        if (count++ > 0)
            gc_accumulate_floats(step->engine, step->images * r->out_floats, r->more, r->z);
    }
    return count;
}

/* Add what each term of a group gives to R of the input, or write it if nothing is written yet. */
static void collect_terms(const run *r, const gc_group *group, int signs, int *written)
{
    const gc_relevance_step *step = r->step;
    for (size_t t = 0; t < group->count && !gc_stopped(); t++) {
        const gc_term *term = &group->terms[t];
        const float *x = input_of(r, term, signs);
        variant v;
        if (x == NULL)
            continue;
        make_variant(r, term->weight, (gc_portion)NOTHING, 1, &v);
        backward(r, &v.layer);
        collect(r, !*written, x, r->back, step->to[0]);
        *written = 1;
    }
}

static void run_groups(const run *r)
{
    const gc_relevance_step *step = r->step;
    const gc_engine engine = step->engine;
    gc_group groups[GC_MAX_GROUPS];
    const size_t count = step->rule->row->groups(step->rule, groups);
    const int signs = signs_of(engine, step->images * r->in_floats, step->x[0]);
    int written = 0;
    if (groups[0].where != 0) {
        variant v;
        make_variant(r, ALL, ALL, 0, &v);
        forward(r, &v.layer, step->x, r->gate);
    }
    for (size_t g = 0; g < count && !gc_stopped(); g++) {
        const gc_group *group = &groups[g];
        if (group->share == 0.0f || !sum_terms(r, group, signs))
            continue;
        share_relevance(r, group->share, group->where == 0 ? NULL : r->gate, group->where);
        if (group->where == 0 || signs_of(engine, step->count * r->out_floats, r->s) != 0)
            collect_terms(r, group, signs, &written);
    }
    if (!written)
        gc_zero_floats(engine, step->count * r->in_floats, step->to[0]);
}

/* ---- Layers without terms ------------------------------------------------------------------- */

static void share_inputs(const run *r)
{
    const gc_relevance_step *step = r->step;
    forward(r, r->layer, step->x, r->z);
    share_relevance(r, 1.0f, NULL, 0);
    if (r->layer->type->backward != NULL)
        backward(r, r->layer);
    for (size_t k = 0; k < r->layer->input_count; k++)
        if (step->to[k] != NULL)
            collect(r, 1, step->x[k], r->layer->type->backward == NULL ? r->s : r->back,
                    step->to[k]);
}

/* Which input of a product gets its relevance; 2: half to each. */
static size_t map_of(const run *r)
{
    const gc_shape *in = r->step->in;
    if (gc_positions(in[0]) != gc_positions(in[1]))
        return gc_positions(in[0]) == 1;
    return r->step->gates[0] == r->step->gates[1] ? 2 : r->step->gates[0];
}

static void select_input(const run *r)
{
    const gc_relevance_step *step = r->step;
    const size_t map = map_of(r);
    const gc_portion half = {0.5f, 0.5f, 0.0f};
    for (size_t k = 0; k < 2; k++) {
        const gc_shape in = step->in[k];
        const gc_layout layout = gc_positions(in) == 1 ? GC_PLAIN : step->layouts.reads;
        const size_t floats = step->count * gc_map_floats(in, layout, step->engine);
        if (step->to[k] == NULL)
            continue;
        if (map == 2)
            make_portion(step->engine, floats, half, step->from, step->to[k]);
        else if (map == k)
            gc_copy_floats(step->engine, floats, step->from, step->to[k]);
        else
            gc_zero_floats(step->engine, floats, step->to[k]);
    }
}

/* ---- The step ------------------------------------------------------------------------------- */

/* Whether a group needs the weights themselves in a direction: for a term, or, forward, as a
 * gate. */
static int needs_all(const gc_rule *rule, int backward)
{
    gc_group groups[GC_MAX_GROUPS];
    const size_t count = rule->row->groups(rule, groups);
    for (size_t g = 0; g < count; g++) {
        if (groups[g].where != 0 && !backward)
            return 1;
        for (size_t t = 0; t < groups[g].count; t++)
            if (same_portion(groups[g].terms[t].weight, ALL))
                return 1;
    }
    return 0;
}

int gc_relevance_prepare(const gc_layer *layer, gc_engine engine, const gc_rule *rule)
{
    for (int backward = 0; backward < 2; backward++)
        if (layer->type->prepare != NULL && layer->type->relevance == GC_WEIGHTS
            && !is_winograd(layer, engine) && needs_all(rule, backward)
            && !layer->type->prepare(layer, engine, backward))
            return 0;
    return 1;
}

void gc_relevance_run(const gc_layer *layer, const gc_relevance_step *step)
{
    const gc_layer_query query = {.layer = layer,
                                  .engine = step->engine,
                                  .in = step->in,
                                  .out = step->out,
                                  .writes = step->layouts.writes,
                                  .count = step->count};
    run r;
    lay_out(&r, &query, step->layouts.reads, step->rule, step->images, step->scratch);
    r.step = step;
    if (layer->type->relevance == GC_SELECTS)
        select_input(&r);
    else if (r.weighted)
        run_groups(&r);
    else
        share_inputs(&r);
}
