/* backward.c: gradients from any layer to any others, under any rule, over one tape.
 *
 * Reverse mode: in reverse topological order each layer turns the gradient of its output
 * into those of its inputs, and where a map feeds several layers, the gradients sum. Only
 * layers that lie between a layer wanted and the seed take part. Several seeds run as one
 * larger batch over the same records. Nothing is written to the tape. */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "network/network.h"

typedef struct pass {
    gc_engine engine;
    const gc_tape *tape;
    gc_rule rule;
    size_t count;           /* gradients of each map: sets * batch */
    unsigned char *active;  /* [layers] between the seed and a layer wanted */
    float **gradients;      /* [layers] of the outputs, so far summed, or NULL */
    float **dx;             /* of the layer being run */
    gc_shape *in;
    void *scratch;
} pass;

static void free_pass(pass *p)
{
    for (size_t i = 0; p->gradients != NULL && i < p->tape->network->count; i++)
        gc_free(p->gradients[i]);
    gc_free(p->active);
    gc_free(p->gradients);
    gc_free(p->dx);
    gc_free(p->in);
    gc_free(p->scratch);
}

/* Active: feeds the seed's layer, and is fed by (or is) a layer wanted. */
static void mark_active(const pass *p, size_t seed, const size_t *wanted, size_t wanted_count)
{
    enum { FED = 1, FEEDS = 2 };
    const gc_network *network = p->tape->network;
    for (size_t w = 0; w < wanted_count; w++)
        p->active[wanted[w]] |= FED;
    for (size_t i = 0; i < network->count; i++)
        for (size_t k = 0; k < network->layers[i].input_count; k++)
            p->active[i] |= p->active[network->layers[i].inputs[k]] & FED;
    p->active[seed] |= FEEDS;
    for (size_t i = seed + 1; i-- > 0;)
        for (size_t k = 0; p->active[i] & FEEDS && k < network->layers[i].input_count; k++)
            p->active[network->layers[i].inputs[k]] |= FEEDS;
    for (size_t i = 0; i < network->count; i++)
        p->active[i] = p->active[i] == (FED | FEEDS);
}

static int allocate_pass(pass *p)
{
    const gc_network *network = p->tape->network;
    const size_t count = network->count;
    size_t most_inputs = 1;
    for (size_t i = 0; i < count; i++)
        if (network->layers[i].input_count > most_inputs)
            most_inputs = network->layers[i].input_count;
    p->active = gc_alloc(count);
    p->gradients = gc_alloc(count * sizeof *p->gradients);
    p->dx = gc_alloc(most_inputs * sizeof *p->dx);
    p->in = gc_alloc(most_inputs * sizeof *p->in);
    if (p->gradients != NULL)
        memset(p->gradients, 0, count * sizeof *p->gradients);
    if (p->active != NULL)
        memset(p->active, 0, count);
    return p->active != NULL && p->gradients != NULL && p->dx != NULL && p->in != NULL;
}

static int allocate_scratch(pass *p)
{
    size_t most = 0;
    for (size_t i = 1; i < p->tape->network->count; i++) {
        if (!p->active[i])
            continue;
        const gc_layer *layer = &p->tape->network->layers[i];
        gc_input_shapes(layer, p->tape->shapes, p->in);
        const size_t bytes =
            layer->type->scratch_bytes(layer, p->in, p->tape->shapes[i], p->engine);
        most = bytes > most ? bytes : most;
    }
    p->scratch = gc_alloc(most);
    return p->scratch != NULL;
}

/* Bytes of the gradients of one map; sizes were checked when the pass began. */
static size_t gradient_bytes(const pass *p, size_t number)
{
    return p->count * gc_values(p->tape->shapes[number]) * sizeof(float);
}

/* Whether input k may take over the gradient of the output, instead of a new buffer. */
static int takes_over(const pass *p, const gc_layer *layer)
{
    return layer->type->backward_in_place && p->gradients[layer->inputs[0]] == NULL;
}

/* Sum p->dx[k] into the gradient of input k, or make it that gradient. */
static void merge(const pass *p, const gc_layer *layer, size_t k)
{
    const size_t input = layer->inputs[k];
    if (p->gradients[input] == NULL) {
        p->gradients[input] = p->dx[k];
        return;
    }
    p->engine.kernels->accumulate(p->count * gc_values(p->tape->shapes[input]), p->dx[k],
                                    p->gradients[input]);
    gc_free(p->dx[k]);
}

/* From the gradient of a layer's output to those of its active inputs; it is used up. */
static int run_layer(const pass *p, size_t number)
{
    const gc_layer *layer = &p->tape->network->layers[number];
    float *dy = p->gradients[number];
    const int in_place = takes_over(p, layer);
    int complete = layer->type->prepare == NULL || layer->type->prepare(layer, p->engine, 1);
    gc_input_shapes(layer, p->tape->shapes, p->in);
    for (size_t k = 0; k < layer->input_count; k++) {
        p->dx[k] = NULL;
        if (!p->active[layer->inputs[k]] || !complete)
            continue;
        p->dx[k] = in_place ? dy : gc_alloc(gradient_bytes(p, layer->inputs[k]));
        complete = p->dx[k] != NULL;
    }
    if (complete)
        layer->type->backward(layer, &(gc_backward_step){
                                         .engine = p->engine,
                                         .count = p->count,
                                         .batch = p->tape->batch,
                                         .in = p->in,
                                         .out = p->tape->shapes[number],
                                         .rule = p->rule,
                                         .dy = dy,
                                         .dx = p->dx,
                                         .record = p->tape->records[number],
                                         .scratch = p->scratch,
                                     });
    for (size_t k = 0; k < layer->input_count; k++) {
        if (p->dx[k] == NULL)
            continue;
        if (complete)
            merge(p, layer, k);
        else
            gc_free(p->dx[k]);
    }
    if (!in_place)
        gc_free(dy);
    p->gradients[number] = NULL;
    return complete;
}

static int has_active_input(const pass *p, size_t number)
{
    const gc_layer *layer = &p->tape->network->layers[number];
    for (size_t k = 0; k < layer->input_count; k++)
        if (p->active[layer->inputs[k]])
            return 1;
    return 0;
}

/* The pass itself; 0: no memory. */
static int run(pass *p, size_t seed, const float *seeds, const size_t *wanted,
               size_t wanted_count, float *const *gradients)
{
    if (!allocate_pass(p))
        return 0;
    mark_active(p, seed, wanted, wanted_count);
    if (!allocate_scratch(p))
        return 0;
    for (size_t w = 0; w < wanted_count; w++)
        if (!p->active[wanted[w]])
            memset(gradients[w], 0, gradient_bytes(p, wanted[w]));
    if (!p->active[seed])
        return 1;
    p->gradients[seed] = gc_alloc(gradient_bytes(p, seed));
    if (p->gradients[seed] == NULL)
        return 0;
    memcpy(p->gradients[seed], seeds, gradient_bytes(p, seed));
    for (size_t i = seed + 1; i-- > 0;) {
        if (!p->active[i])
            continue;
        for (size_t w = 0; w < wanted_count; w++)
            if (wanted[w] == i)
                memcpy(gradients[w], p->gradients[i], gradient_bytes(p, i));
        if (has_active_input(p, i) && !run_layer(p, i))
            return 0;
    }
    return 1;
}

static gc_status check_layers(const gc_tape *tape, size_t seed, const size_t *wanted,
                              size_t wanted_count, gc_error *error)
{
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
                || count > PTRDIFF_MAX / sizeof(float)))
            return gc_fail(error, GC_NO_MEMORY,
                           "%zu sets of seeds are more than this machine can address", sets);
    return GC_OK;
}

gc_status gc_backward(const gc_tape *tape, size_t layer, const float *seeds, size_t sets,
                      gc_rule rule, const size_t *wanted, size_t wanted_count,
                      float *const *gradients, gc_error *error)
{
    gc_status status = check_layers(tape, layer, wanted, wanted_count, error);
    if (status == GC_OK)
        status = check_sizes(tape, sets, error);
    if (status != GC_OK)
        return status;
    pass p = {.engine = gc_engine_now(), .tape = tape, .rule = rule, .count = sets * tape->batch};
    const int done = run(&p, layer, seeds, wanted, wanted_count, gradients);
    free_pass(&p);
    return done ? GC_OK
                : gc_fail(error, GC_NO_MEMORY, "no memory for the gradients of %zu maps",
                          sets * tape->batch);
}
