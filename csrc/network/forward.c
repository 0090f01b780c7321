/* forward.c: one forward pass, and the tape that it leaves.
 *
 * Layers run in topological order. A map lives from the layer that writes it to the last
 * layer that reads it, and on the tape if it is to be kept. Where a ReLU is the only reader
 * of a convolution or linear layer that is not kept, that layer applies it while its output
 * is in the cache, and writes the ReLU's bits. */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "network/network.h"

/* ---- The tape ------------------------------------------------------------------------- */

static void *zeroed(size_t count, size_t size)
{
    void *block = gc_alloc(count * size);
    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

static gc_tape *new_tape(const gc_network *network, size_t batch)
{
    gc_tape *tape = zeroed(1, sizeof *tape);
    if (tape == NULL)
        return NULL;
    tape->network = network;
    tape->batch = batch;
    tape->computed = zeroed(network->count, sizeof *tape->computed);
    tape->shapes = zeroed(network->count, sizeof *tape->shapes);
    tape->maps = zeroed(network->count, sizeof *tape->maps);
    tape->records = zeroed(network->count, sizeof *tape->records);
    if (tape->computed == NULL || tape->shapes == NULL || tape->maps == NULL
        || tape->records == NULL) {
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
    gc_free(tape->maps);
    gc_free(tape->records);
    gc_free(tape);
}

size_t gc_tape_batch(const gc_tape *tape)
{
    return tape->batch;
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
    memcpy(out, tape->maps[layer],
           tape->batch * gc_values(tape->shapes[layer]) * sizeof(float));
    return GC_OK;
}

/* ---- The pass ------------------------------------------------------------------------- */

/* What is known before the first layer runs. */
typedef struct plan {
    gc_engine engine;
    size_t *readers;      /* [count] needed layers that read a map, plus 1 if it is kept */
    size_t *fused;        /* [count] the ReLU that a layer applies by itself, or 0 */
    const float **inputs; /* maps of the layer being run */
    gc_shape *in;         /* and their shapes */
    void *scratch;
} plan;

static void free_plan(plan *p)
{
    gc_free(p->readers);
    gc_free(p->fused);
    gc_free(p->inputs);
    gc_free(p->in);
    gc_free(p->scratch);
}

static int is_kept(const unsigned char *keep, size_t layer, size_t until)
{
    return layer == until || (keep != NULL && keep[layer]);
}

/* Flags of the layers that feed `until` or a layer to be kept, these included. */
static void mark_needed(const gc_network *network, const unsigned char *keep, size_t until,
                        unsigned char *needed)
{
    for (size_t i = network->count; i-- > 0;) {
        if (is_kept(keep, i, until))
            needed[i] = 1;
        const gc_layer *layer = &network->layers[i];
        for (size_t k = 0; needed[i] && k < layer->input_count; k++)
            needed[layer->inputs[k]] = 1;
    }
}

static void count_readers(const gc_tape *tape, const unsigned char *keep, size_t until,
                          size_t *readers)
{
    for (size_t i = 0; i < tape->network->count; i++) {
        const gc_layer *layer = &tape->network->layers[i];
        for (size_t k = 0; tape->computed[i] && k < layer->input_count; k++)
            readers[layer->inputs[k]]++;
        if (is_kept(keep, i, until))
            readers[i]++;
    }
}

static void find_fusions(const gc_tape *tape, const plan *p, const unsigned char *keep,
                         size_t until)
{
    for (size_t i = 1; i < tape->network->count; i++) {
        const gc_layer *layer = &tape->network->layers[i];
        if (!tape->computed[i] || layer->type != &gc_relu_layer)
            continue;
        const size_t producer = layer->inputs[0];
        if (tape->network->layers[producer].type->fuses_relu && p->readers[producer] == 1
            && !is_kept(keep, producer, until))
            p->fused[producer] = i;
    }
}

/* Allocate the plan, with room for the layer with the most inputs and the most scratch. */
static int make_plan(const gc_tape *tape, const unsigned char *keep, size_t until, plan *p)
{
    const gc_network *network = tape->network;
    size_t most_inputs = 1, most_scratch = 0;
    for (size_t i = 1; i < network->count; i++)
        if (network->layers[i].input_count > most_inputs)
            most_inputs = network->layers[i].input_count;
    p->readers = zeroed(network->count, sizeof *p->readers);
    p->fused = zeroed(network->count, sizeof *p->fused);
    p->inputs = zeroed(most_inputs, sizeof *p->inputs);
    p->in = zeroed(most_inputs, sizeof *p->in);
    if (p->readers == NULL || p->fused == NULL || p->inputs == NULL || p->in == NULL)
        return 0;
    count_readers(tape, keep, until, p->readers);
    find_fusions(tape, p, keep, until);
    for (size_t i = 1; i < network->count; i++) {
        if (!tape->computed[i])
            continue;
        const gc_layer *layer = &network->layers[i];
        gc_input_shapes(layer, tape->shapes, p->in);
        const size_t bytes =
            layer->type->scratch_bytes(layer, p->in, tape->shapes[i], p->engine);
        if (layer->type->prepare != NULL && !layer->type->prepare(layer, p->engine, 0))
            return 0;
        most_scratch = bytes > most_scratch ? bytes : most_scratch;
    }
    p->scratch = gc_alloc(most_scratch);
    return p->scratch != NULL;
}

static int allocate_record(gc_tape *tape, size_t number, const gc_shape *in)
{
    const gc_layer *layer = &tape->network->layers[number];
    const size_t bytes = layer->type->record_bytes(layer, in, tape->shapes[number]);
    if (bytes == 0)
        return 1;
    tape->records[number] = gc_alloc(bytes * tape->batch);
    return tape->records[number] != NULL;
}

static float *allocate_map(const gc_tape *tape, size_t number)
{
    return gc_alloc(tape->batch * gc_values(tape->shapes[number]) * sizeof(float));
}

/* One reader of a map is done; the last one frees it. */
static void release_map(gc_tape *tape, const plan *p, size_t number)
{
    if (--p->readers[number] == 0) {
        gc_free(tape->maps[number]);
        tape->maps[number] = NULL;
    }
}

static int run_layer(gc_tape *tape, const plan *p, size_t number)
{
    const gc_network *network = tape->network;
    const gc_layer *layer = &network->layers[number];
    const size_t first = layer->inputs[0];
    const int takes_over = p->fused[first] == number
                           || (layer->type->identity && p->readers[first] == 1);
    if (takes_over) { /* the values are there already */
        tape->maps[number] = tape->maps[first];
        tape->maps[first] = NULL;
        return 1;
    }
    gc_input_shapes(layer, tape->shapes, p->in);
    for (size_t k = 0; k < layer->input_count; k++)
        p->inputs[k] = tape->maps[layer->inputs[k]];
    tape->maps[number] = allocate_map(tape, number);
    if (tape->maps[number] == NULL || !allocate_record(tape, number, p->in))
        return 0;
    const size_t relu = p->fused[number];
    if (relu != 0 && !allocate_record(tape, relu, &tape->shapes[number]))
        return 0;
    layer->type->forward(layer, &(gc_forward_step){
                                    .engine = p->engine,
                                    .count = tape->batch,
                                    .in = p->in,
                                    .out = tape->shapes[number],
                                    .x = p->inputs,
                                    .y = tape->maps[number],
                                    .record = tape->records[number],
                                    .relu_bits = relu == 0 ? NULL : tape->records[relu],
                                    .scratch = p->scratch,
                                });
    for (size_t k = 0; k < layer->input_count; k++)
        release_map(tape, p, layer->inputs[k]);
    return 1;
}

/* Run every layer that is needed; shapes and computed are set. 0: no memory. */
static int run(gc_tape *tape, const float *input, const unsigned char *keep, size_t until)
{
    plan p = {.engine = gc_engine_now()};
    int done = make_plan(tape, keep, until, &p);
    if (done) {
        tape->maps[0] = allocate_map(tape, 0);
        done = tape->maps[0] != NULL;
    }
    if (done)
        memcpy(tape->maps[0], input, tape->batch * gc_values(tape->shapes[0]) * sizeof *input);
    for (size_t i = 1; done && i < tape->network->count; i++)
        if (tape->computed[i])
            done = run_layer(tape, &p, i);
    free_plan(&p);
    return done;
}

gc_status gc_forward(const gc_network *network, const float *input, size_t batch,
                     size_t height, size_t width, const unsigned char *keep, size_t until,
                     gc_tape **tape, gc_error *error)
{
    if (batch == 0 || batch > GC_MAX_POSITIONS)
        return gc_fail(error, GC_BAD_ARGUMENT, "a batch needs 1 to %zu pictures, not %zu",
                       GC_MAX_POSITIONS, batch);
    if (until >= network->count)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "there is no layer %zu; the network has layers 0 to %zu", until,
                       network->count - 1);
    gc_tape *made = new_tape(network, batch);
    if (made == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for a tape");
    mark_needed(network, keep, until, made->computed);
    made->computed[0] = 1;
    gc_status status = gc_infer_shapes(network, batch, height, width, made->computed,
                                       made->shapes, error);
    if (status == GC_OK && !run(made, input, keep, until))
        status = gc_fail(error, GC_NO_MEMORY,
                         "no memory for the maps of %zu pictures of %zu x %zu", batch, height,
                         width);
    if (status != GC_OK) {
        gc_tape_free(made);
        return status;
    }
    *tape = made;
    return GC_OK;
}
