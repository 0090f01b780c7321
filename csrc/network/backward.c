/* backward.c: gradients from any layer to any others, under any rule, over one tape.
 *
 * Reverse mode: in reverse topological order each layer turns the gradient of its output
 * into those of its inputs, and where a map feeds several layers, the gradients sum. Only
 * layers that lie between a layer wanted and the seed take part. Several seeds run as one
 * larger batch over the same records. Nothing is written to the tape.
 *
 * Where a convolution's input comes from a ReLU, or from 2x2 max pooling behind one, and nothing
 * else needs the gradients between, the convolution takes them in its own step. */
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/copy.h"
#include "network/network.h"

typedef struct pass {
    gc_engine engine;
    const gc_tape *tape;
    gc_rule rule;
    size_t seed;            /* the layer from which it starts, */
    const float *seeds;     /* and its gradients */
    const size_t *wanted;   /* [wanted_count] layers */
    size_t wanted_count;
    float *const *results;  /* [wanted_count] the caller's */
    size_t *results_of;     /* [layers] the last of a layer's results, by number + 1, or 0 */
    size_t *next_result;    /* [wanted_count] of the same layer, likewise */
    double *seconds;        /* the caller's, or NULL */
    size_t sets;
    size_t first, count;    /* gradients that go through the layers now, of sets * batch */
    size_t images;          /* and of how many images they are */
    unsigned char *active;  /* [layers] between the seed and a layer wanted */
    size_t *readers;        /* [layers] active ones that read a map */
    float **gradients;      /* [layers] of the outputs, so far summed, or NULL */
    float **dx;             /* of the layer being run */
    gc_shape *in;
    double cost;            /* of all active layers, for one gradient */
    gc_arena arena;         /* of gradients and scratch */
} pass;

static void free_pass(pass *p)
{
    gc_free(p->active);
    gc_free(p->results_of);
    gc_free(p->next_result);
    gc_free(p->readers);
    gc_free(p->gradients);
    gc_free(p->dx);
    gc_free(p->in);
    gc_arena_end(&p->arena);
}

static int is_wanted(const pass *p, size_t layer)
{
    return p->results_of[layer] != 0;
}

/* Active: feeds the seed's layer, and is fed by (or is) a layer wanted. */
static void mark_active(const pass *p)
{
    enum { FED = 1, FEEDS = 2 };
    const gc_network *network = p->tape->network;
    memset(p->active, 0, network->count);
    memset(p->readers, 0, network->count * sizeof *p->readers);
    for (size_t w = 0; w < p->wanted_count; w++)
        p->active[p->wanted[w]] |= FED;
    for (size_t i = 0; i < network->count; i++)
        for (size_t k = 0; k < network->layers[i].input_count; k++)
            p->active[i] |= p->active[network->layers[i].inputs[k]] & FED;
    p->active[p->seed] |= FEEDS;
    for (size_t i = p->seed + 1; i-- > 0;)
        for (size_t k = 0; p->active[i] & FEEDS && k < network->layers[i].input_count; k++)
            p->active[network->layers[i].inputs[k]] |= FEEDS;
    for (size_t i = 0; i < network->count; i++)
        p->active[i] = p->active[i] == (FED | FEEDS);
    for (size_t i = 0; i < network->count; i++)
        for (size_t k = 0; p->active[i] && k < network->layers[i].input_count; k++)
            p->readers[network->layers[i].inputs[k]]++;
}

static int allocate_pass(pass *p)
{
    const gc_network *network = p->tape->network;
    const size_t count = network->count;
    const size_t most_inputs = gc_most_inputs(network);
    p->active = gc_alloc_zeroed(count, sizeof *p->active);
    p->readers = gc_alloc_zeroed(count, sizeof *p->readers);
    p->gradients = gc_alloc_zeroed(count, sizeof *p->gradients);
    p->dx = gc_alloc_zeroed(most_inputs, sizeof *p->dx);
    p->in = gc_alloc_zeroed(most_inputs, sizeof *p->in);
    p->results_of = gc_alloc_zeroed(count, sizeof *p->results_of);
    p->next_result = gc_alloc_zeroed(p->wanted_count, sizeof *p->next_result);
    return p->active != NULL && p->readers != NULL && p->gradients != NULL && p->dx != NULL
           && p->in != NULL && p->results_of != NULL && p->next_result != NULL;
}

/* Which results a layer has, so that none has to be searched for. */
static void list_results(pass *p)
{
    for (size_t w = 0; w < p->wanted_count; w++) {
        p->next_result[w] = p->results_of[p->wanted[w]];
        p->results_of[p->wanted[w]] = w + 1;
    }
}

/* Values of the gradients of one map; sizes were checked when the pass began. */
static size_t gradient_floats(const pass *p, size_t number, gc_layout layout)
{
    return p->count * gc_map_floats(p->tape->shapes[number], layout, p->engine);
}

static float *take_gradient(pass *p, size_t number, gc_layout layout)
{
    return gc_arena_take(&p->arena, gradient_floats(p, number, layout) * sizeof(float));
}

/* Whether input k may take over the gradient of the output, instead of a new buffer. */
static int takes_over(const pass *p, size_t number)
{
    const gc_layer *layer = &p->tape->network->layers[number];
    return layer->type->backward_in_place && p->gradients[layer->inputs[0]] == NULL
           && p->tape->layouts[number].reads == p->tape->layouts[layer->inputs[0]].writes;
}

/* Make dx, which comes in `layout`, the gradient of a map, or add it to the one there is; it is
 * used up. */
static void merge(pass *p, size_t number, gc_layout layout, float *dx)
{
    const gc_layout wants = p->tape->layouts[number].writes;
    if (layout != wants) {
        float *converted = take_gradient(p, number, wants);
        if (!p->arena.rehearsing)
            gc_convert_maps(p->engine, p->count, p->tape->shapes[number], layout, dx, converted);
        gc_arena_give(&p->arena, dx);
        dx = converted;
    }
    if (p->gradients[number] == NULL) {
        p->gradients[number] = dx;
        return;
    }
    if (!p->arena.rehearsing)
        gc_accumulate_floats(p->engine, gradient_floats(p, number, wants), dx,
                             p->gradients[number]);
    gc_arena_give(&p->arena, dx);
}

/* Whether a blocked map's gradient is of use to nothing but the layer of `type` that wrote it. */
static int only_passes(const pass *p, size_t number, const gc_layer_type *type)
{
    const gc_layer *layer = &p->tape->network->layers[number];
    return p->active[number] && layer->type == type && p->readers[number] == 1
           && !is_wanted(p, number) && p->gradients[number] == NULL
           && p->tape->layouts[number].writes == GC_BLOCKED && p->active[layer->inputs[0]];
}

/* A layer's record of the images whose gradients go through the layers now; NULL: it has none. */
static void *record_of(const pass *p, size_t number)
{
    if (p->tape->records[number] == NULL)
        return NULL;
    return (char *)p->tape->records[number]
           + p->first % p->tape->batch * gc_record_bytes(p->tape, number, p->engine, p->in);
}

/* What a layer does of the layers before it in its own step, which are done with then; and *target,
 * the map whose gradient it writes: by itself that of its input. */
static gc_fused take_fused(pass *p, size_t number, size_t *target)
{
    const gc_tape *tape = p->tape;
    const gc_layer *layers = tape->network->layers;
    gc_fused fused = {0};
    size_t relu = *target;
    if (gc_fuses(&layers[number], p->engine) != GC_FUSES_RELU_AND_POOL)
        return fused;
    if (only_passes(p, relu, &gc_max_pool_layer)) {
        fused.pool = 1;
        fused.positions = record_of(p, relu);
        relu = layers[relu].inputs[0];
    }
    if (!only_passes(p, relu, &gc_relu_layer))
        return (gc_fused){0};
    fused.relu = 1;
    fused.bits = record_of(p, relu);
    *target = layers[relu].inputs[0];
    fused.shape = tape->shapes[*target];
    p->active[relu] = p->active[layers[number].inputs[0]] = 0; /* done with this step */
    return fused;
}

/* From the gradient of a layer's output to those of its active inputs; it is used up. */
static void run_layer(pass *p, size_t number)
{
    const gc_layer *layer = &p->tape->network->layers[number];
    const gc_layout reads = p->tape->layouts[number].reads;
    float *dy = p->gradients[number];
    const int in_place = takes_over(p, number);
    size_t target = layer->inputs[0];
    const gc_fused fused = take_fused(p, number, &target);
    gc_input_shapes(layer, p->tape->shapes, p->in);
    for (size_t k = 0; k < layer->input_count; k++) {
        const size_t written = k == 0 ? target : layer->inputs[k];
        p->dx[k] = !p->active[written] ? NULL : in_place ? dy : take_gradient(p, written, reads);
    }
    void *scratch = gc_arena_take(
        &p->arena,
        layer->type->scratch_bytes(layer, p->in, p->tape->shapes[number], p->count, 1, p->engine));
    if (!p->arena.rehearsing)
        layer->type->backward(layer, &(gc_backward_step){
                                         .engine = p->engine,
                                         .count = p->count,
                                         .batch = p->images,
                                         .in = p->in,
                                         .out = p->tape->shapes[number],
                                         .layouts = p->tape->layouts[number],
                                         .rule = p->rule,
                                         .dy = dy,
                                         .dx = p->dx,
                                         .record = record_of(p, number),
                                         .fused = fused,
                                         .scratch = scratch,
                                     });
    gc_arena_give(&p->arena, scratch);
    p->gradients[number] = NULL;
    if (!in_place)
        gc_arena_give(&p->arena, dy);
    for (size_t k = 0; k < layer->input_count; k++)
        if (p->dx[k] != NULL)
            merge(p, k == 0 ? target : layer->inputs[k], reads, p->dx[k]);
}

static int has_active_input(const pass *p, size_t number)
{
    const gc_layer *layer = &p->tape->network->layers[number];
    for (size_t k = 0; k < layer->input_count; k++)
        if (p->active[layer->inputs[k]])
            return 1;
    return 0;
}

/* The seeds, in the layout of their layer. */
static void load_seeds(pass *p)
{
    const gc_layout layout = p->tape->layouts[p->seed].writes;
    const gc_shape shape = p->tape->shapes[p->seed];
    const float *seeds = p->seeds + p->first * gc_values(shape);
    float *loaded = p->gradients[p->seed] = take_gradient(p, p->seed, layout);
    if (p->arena.rehearsing)
        return;
    if (layout == GC_PLAIN)
        gc_copy_floats(p->engine, gradient_floats(p, p->seed, layout), seeds, loaded);
    else
        gc_convert_maps(p->engine, p->count, shape, GC_PLAIN, seeds, loaded);
}

/* Copy the gradient of a map to the caller, if it is wanted. */
static void copy_results(const pass *p, size_t number)
{
    const gc_layout layout = p->tape->layouts[number].writes;
    const gc_shape shape = p->tape->shapes[number];
    size_t w = p->arena.rehearsing ? 0 : p->results_of[number];
    for (; w != 0; w = p->next_result[w - 1]) {
        float *result = p->results[w - 1] + p->first * gc_values(shape);
        if (layout == GC_PLAIN)
            gc_copy_floats(p->engine, gradient_floats(p, number, layout), p->gradients[number],
                           result);
        else
            gc_convert_maps(p->engine, p->count, shape, layout, p->gradients[number], result);
    }
}

/* All layers, in rehearsal or performance, unless the call is to end early. */
static void run_layers(pass *p)
{
    mark_active(p);
    if (!p->active[p->seed])
        return;
    load_seeds(p);
    double cost = 0.0; /* of the layers before */
    for (size_t i = p->seed + 1; i-- > 0;) {
        const double cost_before = cost;
        if (!p->active[i])
            continue;
        cost += gc_layer_cost(p->tape, i);
        if (!p->arena.rehearsing)
            gc_set_share(((double)p->first + (double)p->count * cost_before / p->cost)
                         / (double)(p->sets * p->tape->batch));
        if (gc_should_stop())
            return;
        copy_results(p, i);
        const double start = gc_seconds();
        if (has_active_input(p, i)) {
            run_layer(p, i);
        } else {
            gc_arena_give(&p->arena, p->gradients[i]);
            p->gradients[i] = NULL;
        }
        if (p->seconds != NULL && !p->arena.rehearsing)
            p->seconds[i] += gc_seconds() - start;
    }
}

static int prepare_layers(const pass *p)
{
    for (size_t i = 1; i <= p->seed; i++) {
        const gc_layer *layer = &p->tape->network->layers[i];
        if (p->active[i] && has_active_input(p, i) && layer->type->prepare != NULL
            && !layer->type->prepare(layer, p->engine, 1))
            return 0;
    }
    return 1;
}

/* Zero for what does not lie between the seed and a layer wanted. */
static void write_zeros(const pass *p)
{
    for (size_t i = 0; p->seconds != NULL && i < p->tape->network->count; i++)
        p->seconds[i] = 0.0;
    for (size_t w = 0; w < p->wanted_count; w++)
        if (!p->active[p->wanted[w]])
            gc_zero_floats(p->engine,
                           p->sets * p->tape->batch * gc_values(p->tape->shapes[p->wanted[w]]),
                           p->results[w]);
}

/* Several whole sets of gradients at a time, or some of the images of one. */
static void choose_count(pass *p)
{
    const size_t batch = p->tape->batch;
    const size_t most = gc_most_at_a_time(p->tape, p->active, p->engine);
    p->count = most < batch ? gc_even_share(batch, most)
                            : gc_even_share(p->sets, most / batch) * batch;
    p->images = gc_least(p->count, batch);
}

/* The next ones, as many or, at the end of a set or of all, fewer; 0: there are no more. */
static int go_on(pass *p, size_t at_a_time)
{
    const size_t batch = p->tape->batch, all = p->sets * batch;
    const size_t left = (at_a_time < batch ? batch - p->first % batch : all - p->first);
    p->count = gc_least(left, at_a_time);
    p->images = gc_least(p->count, batch);
    return p->first < all;
}

/* The caller's results, which are not yet written either, as a rule. */
static size_t result_bytes(const pass *p)
{
    size_t floats = 0;
    for (size_t w = 0; w < p->wanted_count; w++)
        floats += p->sets * p->tape->batch * gc_values(p->tape->shapes[p->wanted[w]]);
    return floats * sizeof(float);
}

/* The pass itself; 0: no memory, or the call is to end early. */
static int run(pass *p)
{
    if (!allocate_pass(p))
        return 0;
    list_results(p);
    mark_active(p);
    choose_count(p);
    for (size_t i = 0; i <= p->seed; i++)
        p->cost += p->active[i] ? gc_layer_cost(p->tape, i) : 0.0;
    run_layers(p);
    if (gc_stopped() || !gc_arena_perform(&p->arena, result_bytes(p)))
        return 0;
    mark_active(p);
    if (!prepare_layers(p))
        return 0;
    write_zeros(p);
    const size_t at_a_time = p->count;
    for (; !gc_stopped() && go_on(p, at_a_time); p->first += p->count) {
        gc_arena_again(&p->arena);
        run_layers(p);
    }
    return 1;
}

static gc_status check_layers(const gc_tape *tape, size_t seed, const size_t *wanted,
                              size_t wanted_count, gc_error *error)
{
    if (!tape->recorded)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "this forward pass recorded nothing for the way back; run one with a "
                       "record");
    if (gc_tape_shape(tape, seed) == NULL)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "layer %zu, from which the gradient is to start, was not computed in "
                       "this forward pass",
                       seed);
    for (size_t w = 0; w < wanted_count; w++)
        if (gc_tape_shape(tape, wanted[w]) == NULL)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "layer %zu, whose gradient is wanted, was not computed in this "
                           "forward pass",
                           wanted[w]);
    return GC_OK;
}

static gc_status check_sizes(const gc_tape *tape, size_t sets, gc_error *error)
{
    size_t count;
    if (sets == 0)
        return gc_fail(error, GC_BAD_ARGUMENT, "needs one set of seeds or more");
    for (size_t i = 0; i < tape->network->count; i++)
        if (tape->computed[i]
            && (!gc_multiply(tape->batch, sets, &count) || count > GC_MAX_POSITIONS
                || !gc_multiply(count, gc_values(tape->shapes[i]), &count)
                || count > GC_MAX_BYTES / sizeof(float)))
            return gc_fail(error, GC_NO_MEMORY,
                           "%zu sets of seeds are more than this machine can address", sets);
    return GC_OK;
}

gc_status gc_backward(const gc_tape *tape, size_t layer, const float *seeds, size_t sets,
                      gc_rule rule, const size_t *wanted, size_t wanted_count,
                      float *const *gradients, double *seconds, gc_error *error)
{
    gc_status status = check_layers(tape, layer, wanted, wanted_count, error);
    if (status == GC_OK)
        status = check_sizes(tape, sets, error);
    if (status != GC_OK)
        return status;
    pass p = {.engine = {.kernels = tape->kernels, .workers = (size_t)gc_threads()},
              .tape = tape,
              .rule = rule,
              .seed = layer,
              .seeds = seeds,
              .wanted = wanted,
              .wanted_count = wanted_count,
              .results = gradients,
              .seconds = seconds,
              .sets = sets,
              .arena = gc_arena_begin()};
    const int done = run(&p);
    const uint64_t needed = (uint64_t)p.arena.bytes + result_bytes(&p);
    free_pass(&p);
    if (gc_stopped())
        return gc_fail_interrupted(error);
    return done ? GC_OK
                : gc_fail_memory(error, needed, "the gradients of %zu maps", sets * tape->batch);
}
