/* pointwise.c: the layers that work on one value, or one vector, at a time: the per-channel
 * affine map that batch normalisation is at inference, the softmax, and the sigmoid. */
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "layers/layer.h"

static gc_status affine_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                              gc_error *error)
{
    if (in->channels != layer->channels)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "scale and shift are for %zu channels, but the input has %zu",
                       layer->channels, in->channels);
    *out = *in;
    return GC_OK;
}

static void affine_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const size_t positions = gc_positions(step->out);
    for (size_t i = 0; i < step->count * layer->channels; i++) {
        const size_t c = i % layer->channels;
        step->engine.kernels->affine(positions, layer->weight[c], layer->bias[c],
                                    step->x[0] + i * positions, step->y + i * positions);
    }
}

static void affine_backward(const gc_layer *layer, const gc_backward_step *step)
{
    const size_t positions = gc_positions(step->out);
    for (size_t i = 0; i < step->count * layer->channels; i++)
        step->engine.kernels->affine(positions, layer->weight[i % layer->channels], 0.0f,
                                    step->dy + i * positions, step->dx[0] + i * positions);
}

const gc_layer_type gc_affine_layer = {
    .name = "affine",
    .backward_in_place = 1,
    .shape = affine_shape,
    .record_bytes = gc_no_record,
    .scratch_bytes = gc_no_scratch,
    .forward = affine_forward,
    .backward = affine_backward,
};

static gc_status softmax_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                               gc_error *error)
{
    if (!in->flat)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the softmax needs a vector, but its input is a map");
    return gc_same_shape(layer, in, out, error);
}

/* The record of a softmax or sigmoid is its input: from a probability that is rounded to 1, no
 * gradient can be computed. */
static size_t input_record_bytes(const gc_layer *layer, const gc_shape *in, gc_shape out,
                                 gc_layout writes, gc_engine engine)
{
    (void)layer;
    (void)in;
    (void)writes;
    (void)engine;
    return gc_values(out) * sizeof(float);
}

static void softmax_forward(const gc_layer *layer, const gc_forward_step *step)
{
    (void)layer;
    const size_t size = gc_values(step->out);
    for (size_t n = 0; n < step->count; n++)
        step->engine.kernels->softmax_forward(size, step->x[0] + n * size, step->y + n * size);
    if (step->record != NULL)
        memcpy(step->record, step->x[0], step->count * size * sizeof(float));
}

static void softmax_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    const size_t size = gc_values(step->out);
    for (size_t n = 0; n < step->count; n++)
        step->engine.kernels->softmax_backward(
            size, (const float *)step->record + n % step->batch * size, step->dy + n * size,
            step->dx[0] + n * size);
}

const gc_layer_type gc_softmax_layer = {
    .name = "softmax",
    .backward_in_place = 1,
    .shape = softmax_shape,
    .record_bytes = input_record_bytes,
    .scratch_bytes = gc_no_scratch,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

static void sigmoid_forward(const gc_layer *layer, const gc_forward_step *step)
{
    (void)layer;
    const size_t size = step->count * gc_values(step->out);
    step->engine.kernels->sigmoid_forward(size, step->x[0], step->y);
    if (step->record != NULL)
        memcpy(step->record, step->x[0], size * sizeof(float));
}

static void sigmoid_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    const size_t size = gc_values(step->out);
    for (size_t n = 0; n < step->count; n++)
        step->engine.kernels->sigmoid_backward(
            size, (const float *)step->record + n % step->batch * size, step->dy + n * size,
            step->dx[0] + n * size);
}

const gc_layer_type gc_sigmoid_layer = {
    .name = "sigmoid",
    .backward_in_place = 1,
    .shape = gc_same_shape,
    .record_bytes = input_record_bytes,
    .scratch_bytes = gc_no_scratch,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};
