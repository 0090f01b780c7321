/* forward.c: one forward pass, and the tape that it leaves.
 *
 * Images go through the layers a few at a time. Layers run in topological order. A map lives from
 * the layer that writes it to the last layer that reads it, and on the tape if it is to be kept.
 * Where a ReLU is the only reader of a convolution or linear layer that is not kept, that layer
 * applies it while its output is in registers or the cache, and writes the ReLU's record; likewise
 * 2x2 max pooling behind that ReLU, whose input is then never stored. A convolution that is the
 * only reader of such a ReLU may in turn draw from both: then neither's output is stored.
 *
 * A pass may start at any layer: the caller gives that layer's output, in plain layout, and only
 * layers above it run. */
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/copy.h"
#include "network/network.h"

/* ---- The tape ------------------------------------------------------------------------- */

static gc_tape *new_tape(const gc_network *network, size_t batch, int record)
{
    gc_tape *tape = gc_alloc_zeroed(1, sizeof *tape);
    if (tape == NULL)
        return NULL;
    tape->network = network;
    tape->batch = batch;
    tape->recorded = record;
    tape->computed = gc_alloc_zeroed(network->count, sizeof *tape->computed);
    tape->shapes = gc_alloc_zeroed(network->count, sizeof *tape->shapes);
    tape->layouts = gc_alloc_zeroed(network->count, sizeof *tape->layouts);
    tape->maps = gc_alloc_zeroed(network->count, sizeof *tape->maps);
    tape->records = gc_alloc_zeroed(network->count, sizeof *tape->records);
    tape->seconds = gc_alloc_zeroed(network->count, sizeof *tape->seconds);
    if (tape->computed == NULL || tape->shapes == NULL || tape->layouts == NULL
        || tape->maps == NULL || tape->records == NULL || tape->seconds == NULL) {
        gc_tape_free(tape);
        return NULL;
    }
    return tape;
}

void gc_tape_free(gc_tape *tape)
{
    if (tape == NULL)
        return;
    for (size_t i = 0; i < tape->network->count; i++) {
        if (tape->maps != NULL)
            gc_free(tape->maps[i]);
        if (tape->records != NULL)
            gc_free(tape->records[i]);
    }
    gc_free(tape->computed);
    gc_free(tape->shapes);
    gc_free(tape->layouts);
    gc_free(tape->maps);
    gc_free(tape->records);
    gc_free(tape->seconds);
    gc_free(tape);
}

size_t gc_tape_batch(const gc_tape *tape)
{
    return tape->batch;
}

size_t gc_tape_size(const gc_tape *tape)
{
    return tape->network->count;
}

const gc_shape *gc_tape_shape(const gc_tape *tape, size_t layer)
{
    return layer < tape->network->count && tape->computed[layer] ? &tape->shapes[layer] : NULL;
}

int gc_tape_kept(const gc_tape *tape, size_t layer)
{
    return layer < tape->network->count && tape->maps[layer] != NULL;
}

gc_status gc_tape_read(const gc_tape *tape, size_t layer, float *out, gc_error *error)
{
    if (!gc_tape_kept(tape, layer))
        return gc_fail(error, GC_NOT_KEPT, "the activation of layer %zu was not kept", layer);
    const gc_shape shape = tape->shapes[layer];
    const gc_engine engine = {.kernels = tape->kernels, .workers = (size_t)gc_threads()};
    if (tape->layouts[layer].writes == GC_PLAIN)
        gc_copy_floats(engine, tape->batch * gc_values(shape), tape->maps[layer], out);
    else
        gc_convert_maps(engine, tape->batch, shape, GC_BLOCKED, tape->maps[layer], out);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}

double gc_tape_seconds(const gc_tape *tape, size_t layer)
{
    return layer < tape->network->count ? tape->seconds[layer] : 0.0;
}

/* ---- The pass ------------------------------------------------------------------------- */

/* What is known before the first layer runs. */
typedef struct plan {
    gc_engine engine;
    size_t first, count;  /* the images that go through the layers now */
    size_t start;         /* the layer whose map is given, */
    const float *input;   /* and that map, the caller's */
    float **maps;         /* [count of layers] of these images, or NULL */
    size_t *readers;      /* [count] needed layers that read a map, plus 1 if it is kept, */
    size_t *reader;       /* [count] and the last of these layers, or 0 */
    size_t *relu, *pool;  /* [count] the layers that a layer runs in its own step, or 0 */
    size_t *drawn;        /* [count] the layer before its ReLU that it runs too, or 0 */
    unsigned char *fused; /* [count] whether another layer runs this one */
    const float **inputs; /* maps of the layer being run, */
    float **converted;    /* those that had to be converted for it, or NULL, */
    gc_shape *in;         /* and their shapes */
    double cost;          /* of all layers, for one image */
    gc_arena arena;       /* of the maps that are not kept, and of scratch */
} plan;

static void free_plan(plan *p)
{
    gc_free(p->maps);
    gc_free(p->readers);
    gc_free(p->reader);
    gc_free(p->relu);
    gc_free(p->pool);
    gc_free(p->drawn);
    gc_free(p->fused);
    gc_free(p->inputs);
    gc_free(p->converted);
    gc_free(p->in);
    gc_arena_end(&p->arena);
}

static int is_kept(const unsigned char *keep, size_t layer, size_t until)
{
    return layer == until || (keep != NULL && keep[layer]);
}

/* Flags of the layers that feed `until`, `start` or a layer to be kept, these included. */
static gc_status mark_needed(const gc_network *network, size_t start, const unsigned char *keep,
                             size_t until, unsigned char *needed, gc_error *error)
{
    for (size_t i = 0; i < network->count; i++)
        needed[i] = is_kept(keep, i, until) != 0;
    gc_mark_feeding(network, needed);
    for (size_t i = start + 1; i < network->count; i++)
        for (size_t k = 0; needed[i] && k < network->layers[i].input_count; k++)
            if (network->layers[i].inputs[k] < start)
                return gc_fail(error, GC_BAD_ARGUMENT,
                               "layer %zu cannot be computed: it reads layer %zu, which is not "
                               "fed by layer %zu, where the pass starts",
                               i, network->layers[i].inputs[k], start);
    needed[start] = 1;
    gc_mark_feeding(network, needed);
    return GC_OK;
}

static void count_readers(const gc_tape *tape, const plan *p, const unsigned char *keep,
                          size_t until)
{
    size_t *readers = p->readers;
    memset(readers, 0, tape->network->count * sizeof *readers);
    for (size_t i = 0; i < tape->network->count; i++) {
        const gc_layer *layer = &tape->network->layers[i];
        for (size_t k = 0; tape->computed[i] && k < layer->input_count; k++) {
            readers[layer->inputs[k]]++;
            p->reader[layer->inputs[k]] = i;
        }
        if (is_kept(keep, i, until))
            readers[i]++;
    }
    readers[p->start]++; /* the caller's: never given back or taken over */
}

/* Of the images that go through the layers now. */
static size_t map_bytes(const gc_tape *tape, const plan *p, size_t number, gc_layout layout)
{
    return p->count * gc_map_floats(tape->shapes[number], layout, p->engine) * sizeof(float);
}

static void decide_layouts(gc_tape *tape, const plan *p)
{
    for (size_t i = p->start + 1; i < tape->network->count; i++) {
        const gc_layer *layer = &tape->network->layers[i];
        if (!tape->computed[i] || layer->type->layouts == NULL)
            continue;
        gc_input_shapes(layer, tape->shapes, p->in);
        tape->layouts[i] = layer->type->layouts(
            layer, p->in, tape->layouts[layer->inputs[0]].writes, p->engine);
    }
}

/* The layer of this type that alone reads `layer`, which is not kept; or 0. */
static size_t only_reader(const gc_tape *tape, const plan *p, size_t layer,
                          const gc_layer_type *type)
{
    const size_t reader = p->reader[layer];
    return p->readers[layer] == 1 && reader != 0 && tape->network->layers[reader].type == type
               ? reader
               : 0;
}

static void find_fusions(const gc_tape *tape, const plan *p)
{
    for (size_t i = p->start + 1; i < tape->network->count; i++) {
        const gc_fusion fusion =
            tape->computed[i] ? gc_fuses(&tape->network->layers[i], p->engine) : GC_FUSES_NOTHING;
        if (fusion == GC_FUSES_NOTHING)
            continue;
        const size_t relu = p->relu[i] = only_reader(tape, p, i, &gc_relu_layer);
        if (relu != 0)
            p->fused[relu] = 1;
        if (relu == 0 || fusion != GC_FUSES_RELU_AND_POOL)
            continue;
        const size_t pool = only_reader(tape, p, relu, &gc_max_pool_layer);
        if (pool != 0 && tape->layouts[pool].writes == GC_BLOCKED) { /* 2x2 */
            p->pool[i] = pool;
            p->fused[pool] = 1;
        }
    }
}

/* Bytes of scratch that a layer needs to draw from layer `source`; 0: it does not. */
static size_t drawing_bytes(const gc_tape *tape, const plan *p, size_t number, size_t source)
{
    const gc_layer *layer = &tape->network->layers[number];
    const gc_layer *drawn = &tape->network->layers[source];
    return source == 0 || layer->type->drawing_bytes == NULL
               ? 0
               : layer->type->drawing_bytes(layer, drawn, tape->shapes[drawn->inputs[0]],
                                            tape->shapes[source], p->engine);
}

/* Of the layers that run a ReLU but no pooling, those that the ReLU's only reader draws from. */
static void find_drawn(const gc_tape *tape, const plan *p)
{
    for (size_t i = p->start + 1; i < tape->network->count; i++) {
        if (p->relu[i] == 0 || p->pool[i] != 0 || p->drawn[i] != 0)
            continue;
        const size_t reader = only_reader(tape, p, p->relu[i], &gc_conv_layer);
        if (reader != 0 && drawing_bytes(tape, p, reader, i) > 0) {
            p->drawn[reader] = i;
            p->fused[i] = 1;
        }
    }
}

/* The plan, with room for the layer with the most inputs; 0: no memory. */
static int make_plan(gc_tape *tape, const unsigned char *keep, size_t until, plan *p)
{
    const gc_network *network = tape->network;
    const size_t most_inputs = gc_most_inputs(network);
    p->maps = gc_alloc_zeroed(network->count, sizeof *p->maps);
    p->readers = gc_alloc_zeroed(network->count, sizeof *p->readers);
    p->reader = gc_alloc_zeroed(network->count, sizeof *p->reader);
    p->relu = gc_alloc_zeroed(network->count, sizeof *p->relu);
    p->pool = gc_alloc_zeroed(network->count, sizeof *p->pool);
    p->drawn = gc_alloc_zeroed(network->count, sizeof *p->drawn);
    p->fused = gc_alloc_zeroed(network->count, sizeof *p->fused);
    p->inputs = gc_alloc_zeroed(most_inputs, sizeof *p->inputs);
    p->converted = gc_alloc_zeroed(most_inputs, sizeof *p->converted);
    p->in = gc_alloc_zeroed(most_inputs, sizeof *p->in);
    if (p->maps == NULL || p->readers == NULL || p->reader == NULL || p->relu == NULL
        || p->pool == NULL || p->drawn == NULL || p->fused == NULL || p->inputs == NULL
        || p->converted == NULL || p->in == NULL)
        return 0;
    count_readers(tape, p, keep, until);
    decide_layouts(tape, p);
    find_fusions(tape, p);
    find_drawn(tape, p);
    for (size_t i = p->start + 1; i < network->count; i++)
        p->cost += tape->computed[i] ? gc_layer_cost(tape, i) : 0.0;
    p->count = gc_even_share(tape->batch, gc_most_at_a_time(tape, tape->computed, p->engine));
    return 1;
}

/* What outlives the pass: the maps that are kept, and the records. */
static size_t kept_map_bytes(const gc_tape *tape, const plan *p, const unsigned char *keep,
                             size_t until, size_t i)
{
    return tape->computed[i] && is_kept(keep, i, until)
               ? gc_map_floats(tape->shapes[i], tape->layouts[i].writes, p->engine) * tape->batch
                     * sizeof(float)
               : 0;
}

static size_t kept_record_bytes(const gc_tape *tape, const plan *p, size_t i)
{
    return tape->computed[i] && i != p->start && tape->recorded
               ? gc_record_bytes(tape, i, p->engine, p->in) * tape->batch
               : 0;
}

/* All of that; SIZE_MAX where it cannot be counted. */
static size_t tape_bytes(const gc_tape *tape, const plan *p, const unsigned char *keep,
                         size_t until)
{
    size_t sum = 0;
    for (size_t i = 0; i < tape->network->count; i++) {
        const size_t map = kept_map_bytes(tape, p, keep, until, i);
        const size_t record = kept_record_bytes(tape, p, i);
        if (map > SIZE_MAX - sum || record > SIZE_MAX - sum - map)
            return SIZE_MAX;
        sum += map + record;
    }
    return sum;
}

/* 0: no memory. */
static int allocate_tape(gc_tape *tape, const plan *p, const unsigned char *keep, size_t until)
{
    for (size_t i = 0; i < tape->network->count; i++) {
        const size_t map = kept_map_bytes(tape, p, keep, until, i);
        const size_t record = kept_record_bytes(tape, p, i);
        if ((map > 0 && (tape->maps[i] = gc_alloc(map)) == NULL)
            || (record > 0 && (tape->records[i] = gc_alloc(record)) == NULL))
            return 0;
    }
    return 1;
}

static int prepare_layers(const gc_tape *tape, const plan *p)
{
    for (size_t i = p->start + 1; i < tape->network->count; i++) {
        const gc_layer *layer = &tape->network->layers[i];
        if (tape->computed[i] && layer->type->prepare != NULL
            && !layer->type->prepare(layer, p->engine, 0))
            return 0;
    }
    return 1;
}

/* A layer's record of the images that go through the layers now; NULL where it has none. */
static void *record_of(const gc_tape *tape, const plan *p, size_t number)
{
    if (tape->records[number] == NULL)
        return NULL;
    return (char *)tape->records[number]
           + p->first * gc_record_bytes(tape, number, p->engine, p->in);
}

/* The maps that a layer reads, in its layout. */
static void gather_inputs(const gc_tape *tape, plan *p, size_t number)
{
    const gc_layer *layer = &tape->network->layers[number];
    const gc_layout reads = tape->layouts[number].reads;
    for (size_t k = 0; k < layer->input_count; k++) {
        const size_t input = layer->inputs[k];
        const gc_layout given = tape->layouts[input].writes;
        p->converted[k] = NULL;
        p->inputs[k] = p->maps[input];
        if (given == reads)
            continue;
        p->converted[k] = gc_arena_take(&p->arena, map_bytes(tape, p, input, reads));
        if (!p->arena.rehearsing)
            gc_convert_maps(p->engine, p->count, tape->shapes[input], given, p->inputs[k],
                            p->converted[k]);
        p->inputs[k] = p->converted[k];
    }
}

/* The inputs are read: their last reader gives them back. */
static void release_inputs(gc_tape *tape, plan *p, size_t number)
{
    const gc_layer *layer = &tape->network->layers[number];
    for (size_t k = 0; k < layer->input_count; k++) {
        const size_t input = layer->inputs[k];
        gc_arena_give(&p->arena, p->converted[k]);
        if (--p->readers[input] == 0) { /* those that are kept have one more */
            gc_arena_give(&p->arena, p->maps[input]);
            p->maps[input] = NULL;
        }
    }
}

/* Whether a layer's output is its input as it lies there, which no one else needs. */
static int takes_over(const gc_tape *tape, const plan *p, size_t number)
{
    const gc_layer *layer = &tape->network->layers[number];
    return layer->type->identity && p->readers[layer->inputs[0]] == 1
           && p->maps[number] == NULL /* not to be kept */
           && tape->layouts[layer->inputs[0]].writes == tape->layouts[number].reads;
}

/* What a layer draws from, as it runs in its step; nothing where `number` is 0. */
static gc_drawn drawn_of(const gc_tape *tape, const plan *p, size_t number)
{
    const gc_layer *layer = &tape->network->layers[number];
    return number == 0 ? (gc_drawn){0}
                       : (gc_drawn){.layer = layer,
                                    .in = tape->shapes[layer->inputs[0]],
                                    .bits = record_of(tape, p, p->relu[number])};
}

/* A layer, and those that are fused with it. */
static void run_layer(gc_tape *tape, plan *p, size_t number)
{
    const gc_layer *layer = &tape->network->layers[number];
    const size_t relu = p->relu[number], pool = p->pool[number];
    const size_t last = pool != 0 ? pool : relu != 0 ? relu : number;
    if (takes_over(tape, p, number)) {
        p->maps[number] = p->maps[layer->inputs[0]];
        p->maps[layer->inputs[0]] = NULL;
        p->readers[layer->inputs[0]] = 0;
        return;
    }
    const size_t drawn = p->drawn[number], first = drawn != 0 ? drawn : number;
    void *record = record_of(tape, p, number);
    uint8_t *bits = record_of(tape, p, relu), *positions = record_of(tape, p, pool);
    const gc_drawn source = drawn_of(tape, p, drawn);
    gc_input_shapes(layer, tape->shapes, p->in);
    gather_inputs(tape, p, first);
    if (p->maps[last] == NULL)
        p->maps[last] =
            gc_arena_take(&p->arena, map_bytes(tape, p, last, tape->layouts[last].writes));
    void *scratch = gc_arena_take(
        &p->arena,
        layer->type->scratch_bytes(layer, p->in, tape->shapes[number], p->count, 0, p->engine)
            + drawing_bytes(tape, p, number, drawn));
    if (!p->arena.rehearsing)
        layer->type->forward(layer, &(gc_forward_step){
                                        .engine = p->engine,
                                        .count = p->count,
                                        .in = p->in,
                                        .out = tape->shapes[number],
                                        .layouts = tape->layouts[number],
                                        .x = p->inputs,
                                        .y = p->maps[last],
                                        .record = record,
                                        .fused = {.relu = relu != 0,
                                                  .pool = pool != 0,
                                                  .bits = bits,
                                                  .positions = positions,
                                                  .shape = tape->shapes[last],
                                                  .drawn = source},
                                        .scratch = scratch,
                                    });
    gc_arena_give(&p->arena, scratch);
    release_inputs(tape, p, first);
}

/* Where a map that is kept begins for the images that go through the layers now; NULL where it is
 * not. The rehearsal, before there is a tape, needs but an address that is not NULL. */
static float *kept_map(const gc_tape *tape, const plan *p, const unsigned char *keep,
                       size_t until, size_t i)
{
    if (!tape->computed[i] || !is_kept(keep, i, until))
        return NULL;
    if (p->arena.rehearsing)
        return (float *)p->input;
    return tape->maps[i]
           + p->first * gc_map_floats(tape->shapes[i], tape->layouts[i].writes, p->engine);
}

/* All layers, in rehearsal or performance, for images first .. first + count. Every map that is
 * not kept has been given back then, unless the call is to end early. */
static void run_layers(gc_tape *tape, plan *p, const unsigned char *keep, size_t until)
{
    count_readers(tape, p, keep, until);
    for (size_t i = 0; i < tape->network->count; i++)
        p->maps[i] = kept_map(tape, p, keep, until, i);
    p->maps[p->start] = (float *)p->input + p->first * gc_values(tape->shapes[p->start]);
    double cost = 0.0; /* of the layers before */
    for (size_t i = p->start + 1; i < tape->network->count; i++) {
        const double cost_before = cost;
        cost += tape->computed[i] ? gc_layer_cost(tape, i) : 0.0;
        if (!tape->computed[i] || p->fused[i])
            continue;
        if (!p->arena.rehearsing)
            gc_set_share(((double)p->first + (double)p->count * cost_before / p->cost)
                         / (double)tape->batch);
        if (gc_should_stop())
            return;
        const double before = gc_seconds();
        run_layer(tape, p, i);
        tape->seconds[i] += p->arena.rehearsing ? 0.0 : gc_seconds() - before;
    }
}

/* Run every layer that is needed; shapes and computed are set. All the memory that this takes is
 * counted before any is written. */
static gc_status run(gc_tape *tape, size_t start, const float *input, const unsigned char *keep,
                     size_t until, gc_error *error)
{
    plan p = {.engine = gc_engine_now(),
              .start = start,
              .input = input,
              .arena = gc_arena_begin()};
    size_t kept = 0;
    tape->kernels = p.engine.kernels;
    int done = make_plan(tape, keep, until, &p);
    if (done) {
        run_layers(tape, &p, keep, until);
        kept = tape_bytes(tape, &p, keep, until);
        done = !gc_stopped() && gc_arena_perform(&p.arena, kept)
               && allocate_tape(tape, &p, keep, until) && prepare_layers(tape, &p);
    }
    const size_t at_a_time = p.count;
    for (; done && p.first < tape->batch && !gc_stopped(); p.first += at_a_time) {
        p.count = gc_least(tape->batch - p.first, at_a_time);
        gc_arena_again(&p.arena);
        run_layers(tape, &p, keep, until);
    }
    if (done && tape->maps[start] != NULL)
        gc_copy_floats(p.engine, tape->batch * gc_values(tape->shapes[start]), input,
                       tape->maps[start]);
    const uint64_t needed = (uint64_t)p.arena.bytes + kept;
    free_plan(&p);
    if (gc_stopped())
        return gc_fail_interrupted(error);
    return done ? GC_OK
                : gc_fail_memory(error, needed, "the maps of %zu pictures of %zu x %zu",
                                 tape->batch, tape->shapes[0].height, tape->shapes[0].width);
}

static gc_status check_arguments(const gc_network *network, size_t start, size_t batch,
                                 const unsigned char *keep, size_t until, gc_error *error)
{
    if (batch == 0 || batch > GC_MAX_POSITIONS)
        return gc_fail(error, GC_BAD_ARGUMENT, "a batch needs 1 to %zu pictures, not %zu",
                       GC_MAX_POSITIONS, batch);
    gc_status status = gc_check_layer(network, start, error);
    if (status == GC_OK)
        status = gc_check_layer(network, until, error);
    for (size_t i = 0; i < start && status == GC_OK; i++)
        if (is_kept(keep, i, until))
            status = gc_fail(error, GC_BAD_ARGUMENT,
                             "layer %zu cannot be computed: it is below layer %zu, where the "
                             "pass starts",
                             i, start);
    return status;
}

gc_status gc_forward(const gc_network *network, size_t start, const float *input, size_t batch,
                     size_t height, size_t width, const unsigned char *keep, size_t until,
                     int record, gc_tape **tape, gc_error *error)
{
    gc_status status = check_arguments(network, start, batch, keep, until, error);
    if (status != GC_OK)
        return status;
    gc_tape *made = new_tape(network, batch, record);
    if (made == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for a tape");
    status = mark_needed(network, start, keep, until, made->computed, error);
    if (status == GC_OK)
        status = gc_infer_shapes(network, batch, height, width, made->computed, made->shapes,
                                 error);
    memset(made->computed, 0, start); /* of the layers below, only shapes are needed */
    if (status == GC_OK)
        status = run(made, start, input, keep, until, error);
    if (status != GC_OK) {
        gc_tape_free(made);
        return status;
    }
    *tape = made;
    return GC_OK;
}
