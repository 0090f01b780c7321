/* tape.c: what one forward pass of one batch recorded. */
#include "base/memory.h"
#include "base/status.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "network/network.h"

static size_t count_inputs(const gc_network *network)
{
    size_t count = 0;
    for (size_t i = 0; i < network->count; i++)
        count += network->layers[i].input_count;
    return count;
}

gc_tape *gc_tape_new(const gc_network *network, size_t batch, int record)
{
    gc_tape *tape = gc_alloc_zeroed(1, sizeof *tape);
    if (tape == NULL)
        return NULL;
    tape->network = network;
    tape->batch = batch;
    tape->recorded = record;
    tape->computed = gc_alloc_zeroed(network->count, sizeof *tape->computed);
    tape->kept = gc_alloc_zeroed(network->count, sizeof *tape->kept);
    tape->shapes = gc_alloc_zeroed(network->count, sizeof *tape->shapes);
    tape->in = gc_alloc_zeroed(network->count, sizeof *tape->in);
    tape->in_shapes = gc_alloc_zeroed(count_inputs(network), sizeof *tape->in_shapes);
    tape->layouts = gc_alloc_zeroed(network->count, sizeof *tape->layouts);
    tape->maps = gc_alloc_zeroed(network->count, sizeof *tape->maps);
    tape->records = gc_alloc_zeroed(network->count, sizeof *tape->records);
    tape->record_bytes = gc_alloc_zeroed(network->count, sizeof *tape->record_bytes);
    tape->copied = gc_alloc_zeroed(network->count, sizeof *tape->copied);
    tape->seconds = gc_alloc_zeroed(network->count, sizeof *tape->seconds);
    if (tape->computed == NULL || tape->kept == NULL || tape->shapes == NULL || tape->in == NULL
        || tape->in_shapes == NULL || tape->layouts == NULL || tape->maps == NULL
        || tape->records == NULL || tape->record_bytes == NULL || tape->copied == NULL
        || tape->seconds == NULL) {
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
    gc_free(tape->kept);
    gc_free(tape->shapes);
    gc_free(tape->in);
    gc_free(tape->in_shapes);
    gc_free(tape->layouts);
    gc_free(tape->maps);
    gc_free(tape->records);
    gc_free(tape->record_bytes);
    gc_free(tape->copied);
    gc_free(tape->seconds);
    gc_free(tape);
}

void gc_tape_set_inputs(gc_tape *tape)
{
    gc_shape *next = tape->in_shapes;
    for (size_t i = 0; i < tape->network->count; i++) {
        const gc_layer *layer = &tape->network->layers[i];
        tape->in[i] = next;
        for (size_t k = 0; k < layer->input_count; k++)
            *next++ = tape->shapes[layer->inputs[k]];
    }
}

gc_layout gc_tape_reads(const gc_tape *tape, size_t layer, size_t k)
{
    const gc_layer_type *type = tape->network->layers[layer].type;
    return type->plain_vectors && gc_positions(tape->in[layer][k]) == 1
               ? GC_PLAIN
               : tape->layouts[layer].reads;
}

gc_engine gc_tape_engine(const gc_tape *tape)
{
    return (gc_engine){.kernels = tape->kernels, .workers = (size_t)gc_threads()};
}

void *gc_tape_record(const gc_tape *tape, size_t layer, size_t image)
{
    char *record = tape->records[layer];
    return record == NULL ? NULL : record + image * tape->record_bytes[layer];
}

int gc_is_part(const gc_tape *tape, size_t layer, size_t k, size_t first, gc_engine engine,
               size_t *offset)
{
    const gc_shape out = tape->shapes[layer], in = tape->in[layer][k];
    const size_t input = tape->network->layers[layer].inputs[k];
    if (tape->network->layers[layer].type != &gc_concatenation_layer
        || tape->layouts[layer].writes != GC_BLOCKED || tape->layouts[input].writes != GC_BLOCKED
        || !gc_are_whole_blocks(first, in.channels, out.channels, engine))
        return 0;
    *offset = gc_map_floats((gc_shape){first, out.height, out.width, out.flat}, GC_BLOCKED, engine);
    return 1;
}

/* How many gradients of inputs the backward pass copies from those of a layer's output, if all are
 * needed. */
static size_t count_copied_backward(const gc_tape *tape, size_t layer, gc_engine engine)
{
    const gc_layer *of = &tape->network->layers[layer];
    size_t copied = 0, first = 0, offset;
    for (size_t k = 0; k < of->input_count; k++) {
        copied += !gc_is_part(tape, layer, k, first, engine, &offset);
        first += tape->in[layer][k].channels;
    }
    return copied;
}

gc_layer_query gc_tape_query(const gc_tape *tape, size_t layer, gc_engine engine)
{
    return (gc_layer_query){.layer = &tape->network->layers[layer],
                            .engine = engine,
                            .in = tape->in[layer],
                            .out = tape->shapes[layer],
                            .writes = tape->layouts[layer].writes};
}

/* ---- The public functions ----------------------------------------------------------------- */

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
    gc_copy_maps(gc_tape_engine(tape), tape->batch, tape->shapes[layer],
                 tape->layouts[layer].writes, tape->maps[layer], GC_PLAIN, out);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}

double gc_tape_seconds(const gc_tape *tape, size_t layer)
{
    return layer < tape->network->count ? tape->seconds[layer] : 0.0;
}

const char *gc_tape_algorithm(const gc_tape *tape, size_t layer, int backward)
{
    if (gc_tape_shape(tape, layer) == NULL)
        return "";
    gc_layer_query query = gc_tape_query(tape, layer, gc_tape_engine(tape));
    query.count = tape->batch;
    query.backward = backward;
    query.copied = backward ? count_copied_backward(tape, layer, query.engine)
                            : tape->copied[layer];
    const gc_layer_type *type = query.layer->type;
    return type->algorithm == NULL ? "" : type->algorithm(&query);
}

size_t gc_tape_conversions(const gc_tape *tape, size_t layer)
{
    size_t sum = 0;
    if (gc_tape_shape(tape, layer) == NULL)
        return 0;
    const gc_layer *reader = &tape->network->layers[layer];
    for (size_t k = 0; k < reader->input_count; k++)
        sum += tape->layouts[reader->inputs[k]].writes != tape->layouts[layer].reads;
    return sum;
}
