/* pooled.c: the gradient with respect to a layer's maps, averaged over their positions: Grad-CAM's
 * alpha_k.
 *
 * A pooling layer divides the gradient of each output among its inputs, so the sum over all
 * positions of a map stays the same. If only pooling layers, each the only reader of the one before
 * it, are between the maps wanted and a layer above them, the sums are computed at that layer. If
 * its map is read by a linear layer alone, with the gradient g of its output,
 *
 *     sum over p of dS/dA[k][p] = sum over j of g[j] W_k[j],   W_k[j] = sum over p of W[j][(k, p)]
 *
 * and W_k, computed once, is smaller than W by the number of positions. If it is read by a pointwise
 * convolution alone, with the gradient g of its output,
 *
 *     sum over p of dS/dA[k][p] = sum over j of W[j][k] (sum over p of g[j][p]) */
#include "base/memory.h"
#include "base/status.h"
#include "base/watch.h"
#include "layers/linear.h"
#include "layers/pool.h"
#include "layers/rules.h"
#include "network/network.h"

/* Whether a map's sum of gradients over its positions is that of the layer's output. */
static int keeps_sums(const gc_layer *layer)
{
    const gc_pool *pool = &layer->pool;
    if (layer->type == &gc_average_pool_layer) /* padding takes its share of an average */
        return pool->divisor == 0 && (!pool->include_pad || !gc_is_padded(pool->padding));
    return layer->type->identity || gc_pool_is_max(layer)
           || layer->type == &gc_adaptive_average_pool_layer;
}

/* The readers of each layer's map among the layers that feed `layer`, itself included, in a new
 * block; NULL: no memory. */
static gc_readers *readers_below(const gc_network *network, size_t layer)
{
    gc_readers *readers = gc_alloc_zeroed(network->count, sizeof *readers);
    unsigned char *feeds = gc_alloc_zeroed(network->count, sizeof *feeds);
    if (readers == NULL || feeds == NULL) {
        gc_free(readers);
        gc_free(feeds);
        return NULL;
    }
    feeds[layer] = 1;
    gc_mark_feeding(network, feeds);
    gc_find_readers(network, feeds, readers);
    gc_free(feeds);
    return readers;
}

/* From `*top` to the highest layer with the same sums; returns the only reader of that layer, or
 * 0. */
static size_t climb(const gc_network *network, const gc_readers *readers, size_t *top)
{
    for (;;) {
        const gc_readers r = readers[*top];
        if (r.count != 1)
            return 0;
        if (!keeps_sums(&network->layers[r.last]))
            return r.last;
        *top = r.last;
    }
}

/* The arguments, and the layer at which the sums are computed. */
typedef struct pooled {
    const gc_tape *tape;
    size_t layer, sets;
    const float *seeds;
    const gc_rule *rule;
    size_t channels;  /* of the maps wanted */
    size_t top;       /* the layer with the same sums */
    size_t positions; /* of each of its channels */
} pooled;

/* gc_backward to one layer, into a new block. */
static gc_status gradient_of(const pooled *q, size_t wanted, float **gradient, gc_error *error)
{
    size_t size = gc_values(q->tape->shapes[wanted]);
    *gradient = NULL;
    if (gc_multiply(size, q->sets, &size) && gc_multiply(size, q->tape->batch, &size)
        && gc_multiply(size, sizeof **gradient, &size) && size <= PTRDIFF_MAX)
        *gradient = gc_alloc(size);
    if (*gradient == NULL)
        return gc_fail_memory(error, size, "the gradients of layer %zu", wanted);
    return gc_backward(q->tape, q->layer, q->seeds, q->sets, q->rule, 1, &wanted, 1, gradient,
                       NULL, error);
}

/* Means over the positions at the top. */
static gc_status mean_of_maps(const pooled *q, float *means, gc_error *error)
{
    float *maps;
    gc_status status = gradient_of(q, q->top, &maps, error);
    if (status == GC_OK) {
        gc_channel_mean(q->sets * q->tape->batch * q->channels, q->positions, maps, means);
        status = gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
    }
    gc_free(maps);
    return status;
}

/* The same from the gradient at the output of the linear layer that reads the top. */
static gc_status mean_of_weights(const pooled *q, size_t linear, float *means, gc_error *error)
{
    const gc_layer *layer = &q->tape->network->layers[linear];
    const gc_engine engine = gc_tape_engine(q->tape);
    const gc_dense dense = {.storage = GC_FLOAT32,
                            .in = q->channels,
                            .out = layer->linear.out,
                            .sets = q->sets,
                            .batch = q->tape->batch,
                            .stride = q->tape->batch};
    float *dy;
    gc_status status = gradient_of(q, linear, &dy, error);
    if (status == GC_OK) {
        const float *sums = gc_weight_sums_of(layer, q->positions, engine);
        if (sums != NULL)
            gc_dense_gradient(engine, &dense, sums, dy, means);
        if (gc_stopped())
            status = gc_fail_interrupted(error);
        else if (sums == NULL)
            status = gc_fail(error, GC_NO_MEMORY, "no memory for the sums of weights");
    }
    gc_free(dy);
    const float share = 1.0f / (float)q->positions;
    for (size_t i = 0; status == GC_OK && i < q->sets * q->tape->batch * q->channels; i++)
        means[i] *= share;
    return status;
}

/* The same from the gradient at the output of the pointwise convolution that reads the top. */
static gc_status mean_of_outputs(const pooled *q, size_t pointwise, float *means, gc_error *error)
{
    const gc_layer *layer = &q->tape->network->layers[pointwise];
    const gc_dense dense = {.storage = GC_FLOAT32,
                            .in = q->channels,
                            .out = layer->conv.out_channels,
                            .sets = q->sets,
                            .batch = q->tape->batch,
                            .stride = q->tape->batch};
    const size_t count = q->sets * q->tape->batch * dense.out;
    float *maps, *dy = gc_alloc(count * sizeof *dy);
    if (dy == NULL)
        return gc_fail_memory(error, count * sizeof *dy, "the gradients of layer %zu", pointwise);
    gc_status status = gradient_of(q, pointwise, &maps, error);
    if (status == GC_OK) {
        gc_channel_mean(count, q->positions, maps, dy);
        gc_dense_gradient(gc_tape_engine(q->tape), &dense, layer->weight, dy, means);
        status = gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
    }
    gc_free(maps);
    gc_free(dy);
    return status;
}

gc_status gc_pooled_gradient(const gc_tape *tape, size_t layer, const float *seeds, size_t sets,
                             const gc_rule *rule, size_t wanted, float *means, gc_error *error)
{
    const gc_shape *from = gc_tape_shape(tape, layer), *to = gc_tape_shape(tape, wanted);
    if (from == NULL || to == NULL)
        return gc_fail(error, GC_BAD_ARGUMENT, "layer %zu was not computed in this forward pass",
                       from == NULL ? layer : wanted);
    if (gc_is_relevance(rule))
        return gc_fail(error, GC_BAD_ARGUMENT, "no means are computed under the rule '%s'",
                       rule->row->name);
    gc_readers *readers = readers_below(tape->network, layer);
    if (readers == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for a backward pass");
    pooled q = {.tape = tape,
                .layer = layer,
                .sets = sets,
                .seeds = seeds,
                .rule = rule,
                .channels = to->channels,
                .top = wanted};
    const size_t reader = climb(tape->network, readers, &q.top);
    gc_free(readers);
    q.positions = gc_values(tape->shapes[q.top]) / q.channels;
    const gc_layer *above = &tape->network->layers[reader];
    gc_status status;
    if (reader != 0 && q.positions > 1 && above->type == &gc_linear_layer)
        status = mean_of_weights(&q, reader, means, error);
    else if (reader != 0 && q.positions > 1 && above->type == &gc_conv_layer
             && above->conv.groups == 1 && gc_is_pointwise(&above->conv))
        status = mean_of_outputs(&q, reader, means, error);
    else
        status = mean_of_maps(&q, means, error);
    const float scale = (float)q.positions / (float)gc_positions(*to);
    for (size_t i = 0; status == GC_OK && i < sets * tape->batch * q.channels; i++)
        means[i] *= scale;
    return status;
}
