/* graph.c: building a network, relations between its layers, and the shapes of its maps.
 *
 * Layers are appended one by one and may only read from earlier ones: the order in which
 * they were added is a topological order, and there can be no cycle. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "layers/blocked.h"
#include "layers/pack.h"
#include "network/network.h"

/* ---- Growing -------------------------------------------------------------------------- */

static gc_status reserve(gc_network *network, gc_error *error)
{
    if (network->count < network->capacity)
        return GC_OK;
    const size_t capacity = network->capacity == 0 ? 16 : 2 * network->capacity;
    gc_layer *layers = gc_alloc(capacity * sizeof *layers);
    if (layers == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for another layer");
    if (network->count > 0)
        memcpy(layers, network->layers, network->count * sizeof *layers);
    gc_free(network->layers);
    network->layers = layers;
    network->capacity = capacity;
    return GC_OK;
}

/* Append `layer`, whose type and parameters are set, as a reader of inputs[count]. */
static gc_status append(gc_network *network, gc_layer layer, const size_t *inputs,
                        size_t count, size_t *number, gc_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (inputs[i] >= network->count)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "there is no layer %zu to read from; the network has layers 0 to "
                           "%zu so far",
                           inputs[i], network->count - 1);
    const gc_status status = reserve(network, error);
    if (status != GC_OK)
        return status;
    layer.inputs = gc_alloc(count * sizeof *layer.inputs);
    if (layer.inputs == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for another layer");
    for (size_t i = 0; i < count; i++)
        layer.inputs[i] = inputs[i];
    layer.input_count = count;
    network->layers[network->count] = layer;
    if (number != NULL)
        *number = network->count;
    network->count++;
    return GC_OK;
}

gc_status gc_network_new(size_t channels, gc_network **network, gc_error *error)
{
    if (channels == 0 || channels > GC_MAX_POSITIONS)
        return gc_fail(error, GC_BAD_ARGUMENT, "a network needs 1 to %zu input channels, not %zu",
                       GC_MAX_POSITIONS, channels);
    gc_network *made = gc_alloc(sizeof *made);
    if (made == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for a network");
    *made = (gc_network){.channels = channels};
    const gc_status status =
        append(made, (gc_layer){.type = &gc_input_layer}, NULL, 0, NULL, error);
    if (status != GC_OK) {
        gc_network_free(made);
        return status;
    }
    *network = made;
    return GC_OK;
}

void gc_network_free(gc_network *network)
{
    if (network == NULL)
        return;
    for (size_t i = 0; i < network->count; i++) {
        gc_free(network->layers[i].inputs);
        gc_packs_free(network->layers[i].packs);
    }
    gc_free(network->layers);
    gc_free(network);
}

size_t gc_network_size(const gc_network *network)
{
    return network->count;
}

size_t gc_network_channels(const gc_network *network)
{
    return network->channels;
}

gc_status gc_check_layer(const gc_network *network, size_t layer, gc_error *error)
{
    if (layer >= network->count)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "there is no layer %zu; the network has layers 0 to %zu", layer,
                       network->count - 1);
    return GC_OK;
}

void gc_mark_feeding(const gc_network *network, unsigned char *flags)
{
    for (size_t i = network->count; i-- > 0;)
        for (size_t k = 0; flags[i] && k < network->layers[i].input_count; k++)
            flags[network->layers[i].inputs[k]] = 1;
}

void gc_mark_fed(const gc_network *network, unsigned char *flags)
{
    for (size_t i = 0; i < network->count; i++)
        for (size_t k = 0; !flags[i] && k < network->layers[i].input_count; k++)
            flags[i] = flags[network->layers[i].inputs[k]];
}

void gc_find_readers(const gc_network *network, const unsigned char *flags, gc_readers *readers)
{
    memset(readers, 0, network->count * sizeof *readers);
    for (size_t i = 0; i < network->count; i++)
        for (size_t k = 0; flags[i] && k < network->layers[i].input_count; k++) {
            gc_readers *r = &readers[network->layers[i].inputs[k]];
            r->first = r->count++ == 0 ? i : r->first;
            r->last = i;
        }
}

size_t gc_max_inputs(const gc_network *network)
{
    size_t maximum = 1;
    for (size_t i = 0; i < network->count; i++)
        if (network->layers[i].input_count > maximum)
            maximum = network->layers[i].input_count;
    return maximum;
}

/* ---- Layers --------------------------------------------------------------------------- */

static gc_status check_extent(const char *what, const size_t value[2], size_t minimum,
                              gc_error *error)
{
    for (int d = 0; d < 2; d++)
        if (value[d] < minimum || value[d] > GC_MAX_EXTENT)
            return gc_fail(error, GC_BAD_ARGUMENT, "%s must be %zu to %zu, not %zu", what,
                           minimum, GC_MAX_EXTENT, value[d]);
    return GC_OK;
}

static gc_status check_padding(const size_t padding[2][2], gc_error *error)
{
    const gc_status status = check_extent("the padding", padding[0], 0, error);
    return status == GC_OK ? check_extent("the padding", padding[1], 0, error) : status;
}

static gc_status check_count(const char *what, size_t value, gc_error *error)
{
    if (value == 0 || value > GC_MAX_POSITIONS)
        return gc_fail(error, GC_BAD_ARGUMENT, "%s must be 1 to %zu, not %zu", what,
                       GC_MAX_POSITIONS, value);
    return GC_OK;
}

/* Whether the transformed weights can be addressed: by Winograd's algorithm four times as many, and
 * the channels filled up to whole vectors, those of the output to two. */
static int transformed_fit(const gc_conv *conv)
{
    enum { WIDEST = 16 /* vector, in floats */, TIMES = 4 };
    const size_t inputs = conv->in_channels / conv->groups + WIDEST - 1;
    size_t count;
    return gc_multiply(inputs, conv->kernel[0] * conv->kernel[1], &count)
           && gc_multiply(count, conv->out_channels + 2 * WIDEST - 1, &count)
           && gc_multiply(count, TIMES * sizeof(float), &count);
}

gc_status gc_add_conv(gc_network *network, size_t input, const gc_conv *conv,
                      const float *weight, const float *bias, size_t *layer, gc_error *error)
{
    gc_status status = check_count("the number of input channels", conv->in_channels, error);
    if (status == GC_OK)
        status = check_count("the number of output channels", conv->out_channels, error);
    if (status == GC_OK)
        status = check_extent("the kernel's size", conv->kernel, 1, error);
    if (status == GC_OK)
        status = check_extent("the stride", conv->stride, 1, error);
    if (status == GC_OK)
        status = check_padding(conv->padding, error);
    if (status == GC_OK)
        status = check_extent("the dilation", conv->dilation, 1, error);
    if (status != GC_OK)
        return status;
    if (conv->groups == 0 || conv->in_channels % conv->groups != 0
        || conv->out_channels % conv->groups != 0)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "%zu groups do not divide %zu input and %zu output channels",
                       conv->groups, conv->in_channels, conv->out_channels);
    size_t rows;
    if (!gc_multiply(conv->in_channels / conv->groups, conv->kernel[0] * conv->kernel[1], &rows)
        || rows > GC_MAX_POSITIONS || !transformed_fit(conv))
        return gc_fail(error, GC_BAD_ARGUMENT, "the kernel has too many elements");
    gc_layer made = {.type = &gc_conv_layer,
                     .weight = weight,
                     .bias = bias,
                     .packs = gc_packs_new(),
                     .conv = *conv};
    if (made.packs == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for another layer");
    status = append(network, made, &input, 1, layer, error);
    if (status != GC_OK)
        gc_packs_free(made.packs);
    return status;
}

gc_status gc_add_linear(gc_network *network, size_t input, size_t in, size_t out,
                        gc_storage storage, const void *weight, const float *bias,
                        size_t *layer, gc_error *error)
{
    gc_status status = check_count("the number of inputs", in, error);
    if (status == GC_OK)
        status = check_count("the number of outputs", out, error);
    if (status != GC_OK)
        return status;
    if (storage != GC_FLOAT32 && storage != GC_FLOAT16 && storage != GC_BFLOAT16)
        return gc_fail(error, GC_BAD_ARGUMENT, "there is no type %d of weights", (int)storage);
    gc_layer made = {.type = &gc_linear_layer,
                     .bias = bias,
                     .packs = gc_packs_new(),
                     .linear = {.in = in,
                                .out = out,
                                .storage = storage,
                                .weight = weight}};
    if (made.packs == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for another layer");
    status = append(network, made, &input, 1, layer, error);
    if (status != GC_OK)
        gc_packs_free(made.packs);
    return status;
}

static gc_status add_pool(gc_network *network, const gc_layer_type *type, size_t input,
                          const gc_pool *pool, size_t *layer, gc_error *error)
{
    gc_status status = check_extent("the pooling window", pool->kernel, 1, error);
    if (status == GC_OK)
        status = check_extent("the stride", pool->stride, 1, error);
    if (status == GC_OK)
        status = check_padding(pool->padding, error);
    if (status != GC_OK)
        return status;
    if (pool->divisor > GC_MAX_POSITIONS)
        return gc_fail(error, GC_BAD_ARGUMENT, "the divisor must be 1 to %zu, not %zu",
                       GC_MAX_POSITIONS, pool->divisor);
    for (int d = 0; d < 4; d++) {
        const size_t padding = pool->padding[d / 2][d % 2], kernel = pool->kernel[d / 2];
        if (padding > kernel / 2)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the padding of a pooling layer must be at most half its window, "
                           "but %zu is more than half of %zu",
                           padding, kernel);
    }
    return append(network, (gc_layer){.type = type, .pool = *pool}, &input, 1, layer, error);
}

gc_status gc_add_max_pool(gc_network *network, size_t input, const gc_pool *pool,
                          size_t *layer, gc_error *error)
{
    return add_pool(network, &gc_max_pool_layer, input, pool, layer, error);
}

gc_status gc_add_average_pool(gc_network *network, size_t input, const gc_pool *pool,
                              size_t *layer, gc_error *error)
{
    return add_pool(network, &gc_average_pool_layer, input, pool, layer, error);
}

gc_status gc_add_adaptive_average_pool(gc_network *network, size_t input, size_t height,
                                       size_t width, size_t *layer, gc_error *error)
{
    const size_t size[2] = {height, width};
    const gc_status status = check_extent("the output size", size, 1, error);
    if (status != GC_OK)
        return status;
    return append(network,
                  (gc_layer){.type = &gc_adaptive_average_pool_layer,
                             .out_size = {height, width}},
                  &input, 1, layer, error);
}

gc_status gc_add_global_max_pool(gc_network *network, size_t input, size_t *layer,
                                 gc_error *error)
{
    return append(network, (gc_layer){.type = &gc_global_max_pool_layer, .out_size = {1, 1}},
                  &input, 1, layer, error);
}

gc_status gc_add_affine(gc_network *network, size_t input, size_t channels,
                        const float *scale, const float *shift, size_t *layer, gc_error *error)
{
    const gc_status status = check_count("the number of channels", channels, error);
    if (status != GC_OK)
        return status;
    return append(network,
                  (gc_layer){.type = &gc_affine_layer,
                             .weight = scale,
                             .bias = shift,
                             .channels = channels},
                  &input, 1, layer, error);
}

gc_status gc_add_relu(gc_network *network, size_t input, size_t *layer, gc_error *error)
{
    return append(network, (gc_layer){.type = &gc_relu_layer, .limit = INFINITY}, &input, 1, layer,
                  error);
}

gc_status gc_add_relu6(gc_network *network, size_t input, size_t *layer, gc_error *error)
{
    return append(network, (gc_layer){.type = &gc_relu_layer, .limit = 6.0f}, &input, 1, layer,
                  error);
}

static gc_status check_activation(const gc_activation *activation, gc_error *error)
{
    switch (activation->kind) {
    case GC_CLIP:
        return activation->low < activation->high
                   ? GC_OK
                   : gc_fail(error, GC_BAD_ARGUMENT, "low must be less than high, but %g is not "
                                                     "less than %g",
                             (double)activation->low, (double)activation->high);
    case GC_LEAKY_RELU:
    case GC_ELU:
        return isfinite(activation->slope)
                   ? GC_OK
                   : gc_fail(error, GC_BAD_ARGUMENT, "%s must be a finite number, not %g",
                             activation->kind == GC_ELU ? "alpha" : "the slope",
                             (double)activation->slope);
    case GC_PRELU:
        return check_count("the number of slopes", activation->slope_count, error);
    case GC_SIGMOID:
    case GC_HARD_SIGMOID:
    case GC_SILU:
    case GC_HARD_SWISH:
    case GC_TANH:
    case GC_GELU:
    case GC_GELU_TANH:
        return GC_OK;
    }
    return gc_fail(error, GC_BAD_ARGUMENT, "there is no activation %d", (int)activation->kind);
}

gc_status gc_add_activation(gc_network *network, size_t input, const gc_activation *activation,
                            size_t *layer, gc_error *error)
{
    const gc_status status = check_activation(activation, error);
    if (status != GC_OK)
        return status;
    return append(network,
                  (gc_layer){.type = &gc_activation_layer, .activation = *activation}, &input, 1,
                  layer, error);
}

gc_status gc_add_softmax(gc_network *network, size_t input, size_t *layer, gc_error *error)
{
    return append(network, (gc_layer){.type = &gc_softmax_layer}, &input, 1, layer, error);
}

gc_status gc_add_log_softmax(gc_network *network, size_t input, size_t *layer, gc_error *error)
{
    return append(network, (gc_layer){.type = &gc_log_softmax_layer}, &input, 1, layer, error);
}

gc_status gc_add_flatten(gc_network *network, size_t input, size_t *layer, gc_error *error)
{
    return append(network, (gc_layer){.type = &gc_flatten_layer}, &input, 1, layer, error);
}

gc_status gc_add_dropout(gc_network *network, size_t input, size_t *layer, gc_error *error)
{
    return append(network, (gc_layer){.type = &gc_dropout_layer}, &input, 1, layer, error);
}

static gc_status add_join(gc_network *network, const gc_layer_type *type,
                          const size_t *inputs, size_t count, size_t *layer, gc_error *error)
{
    if (count < 2)
        return gc_fail(error, GC_BAD_ARGUMENT, "needs two or more inputs, not %zu", count);
    return append(network, (gc_layer){.type = type}, inputs, count, layer, error);
}

gc_status gc_add_sum(gc_network *network, const size_t *inputs, size_t count, size_t *layer,
                     gc_error *error)
{
    return add_join(network, &gc_sum_layer, inputs, count, layer, error);
}

gc_status gc_add_concatenation(gc_network *network, const size_t *inputs, size_t count,
                               size_t *layer, gc_error *error)
{
    return add_join(network, &gc_concatenation_layer, inputs, count, layer, error);
}

gc_status gc_add_multiply(gc_network *network, const size_t *inputs, size_t count, size_t *layer,
                          gc_error *error)
{
    if (count != 2)
        return gc_fail(error, GC_BAD_ARGUMENT, "a product needs two inputs, not %zu", count);
    return append(network, (gc_layer){.type = &gc_product_layer}, inputs, count, layer, error);
}

gc_status gc_add_slice(gc_network *network, size_t input, size_t start, size_t stop,
                       size_t *layer, gc_error *error)
{
    if (start >= stop || stop > GC_MAX_POSITIONS)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "a slice takes the channels from start up to, but not including, stop; "
                       "start must be less than stop, but they are %zu and %zu",
                       start, stop);
    return append(network, (gc_layer){.type = &gc_slice_layer, .range = {start, stop}}, &input, 1,
                  layer, error);
}

gc_status gc_add_channel_shuffle(gc_network *network, size_t input, size_t groups, size_t *layer,
                                 gc_error *error)
{
    const gc_status status = check_count("the number of groups", groups, error);
    if (status != GC_OK)
        return status;
    return append(network, (gc_layer){.type = &gc_shuffle_layer, .groups = groups}, &input, 1,
                  layer, error);
}

gc_status gc_add_lrn(gc_network *network, size_t input, const gc_lrn *lrn, size_t *layer,
                     gc_error *error)
{
    const gc_status status = check_count("the size of the window", lrn->size, error);
    if (status != GC_OK)
        return status;
    if (!isfinite(lrn->alpha) || !isfinite(lrn->beta) || !isfinite(lrn->k) || lrn->alpha < 0.0f
        || lrn->beta < 0.0f || lrn->k <= 0.0f)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "alpha and beta must not be negative, k must be greater than 0, and all "
                       "must be finite, but they are %g, %g and %g",
                       (double)lrn->alpha, (double)lrn->beta, (double)lrn->k);
    return append(network, (gc_layer){.type = &gc_lrn_layer, .lrn = *lrn}, &input, 1, layer,
                  error);
}

gc_status gc_add_layer_norm(gc_network *network, size_t input, size_t channels,
                            const float *weight, const float *bias, float eps, size_t *layer,
                            gc_error *error)
{
    const gc_status status = check_count("the number of channels", channels, error);
    if (status != GC_OK)
        return status;
    if (!isfinite(eps) || eps <= 0.0f)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "eps must be finite and greater than 0, not %g", (double)eps);
    return append(network,
                  (gc_layer){.type = &gc_layer_norm_layer,
                             .weight = weight,
                             .bias = bias,
                             .layer_norm = {.channels = channels, .eps = eps}},
                  &input, 1, layer, error);
}

/* ---- Shapes --------------------------------------------------------------------------- */

/* Whether `batch` maps of this shape can be addressed, and one be handed to BLAS. */
static gc_status check_shape(gc_shape shape, size_t batch, gc_error *error)
{
    size_t positions, values, bytes;
    if (!gc_multiply(shape.height, shape.width, &positions) || positions > GC_MAX_POSITIONS
        || shape.channels > GC_MAX_POSITIONS
        || !gc_multiply(positions, shape.channels, &values) || !gc_multiply(values, batch, &values)
        || !gc_multiply(values, sizeof(float), &bytes) || bytes > GC_MAX_BYTES)
        return gc_fail(error, GC_NO_MEMORY,
                       "%zu maps of %zu x %zu x %zu are more than this machine can address",
                       batch, shape.channels, shape.height, shape.width);
    return GC_OK;
}

static gc_status infer_shape(const gc_network *network, size_t number, gc_shape *shapes,
                             gc_error *error)
{
    const gc_layer *layer = &network->layers[number];
    gc_shape *in = gc_alloc(layer->input_count * sizeof *in);
    if (in == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for its inputs");
    for (size_t k = 0; k < layer->input_count; k++)
        in[k] = shapes[layer->inputs[k]];
    const gc_status status = layer->type->shape(layer, in, &shapes[number], error);
    gc_free(in);
    return status;
}

gc_status gc_infer_shapes(const gc_network *network, size_t batch, size_t height, size_t width,
                          const unsigned char *needed, gc_shape *shapes, gc_error *error)
{
    const size_t size[2] = {height, width};
    gc_status status = check_extent("the picture's height and width", size, 1, error);
    if (status != GC_OK)
        return status;
    shapes[0] = (gc_shape){.channels = network->channels, .height = height, .width = width};
    status = check_shape(shapes[0], batch, error);
    for (size_t i = 1; i < network->count && status == GC_OK; i++) {
        if (needed != NULL && !needed[i])
            continue;
        status = infer_shape(network, i, shapes, error);
        if (status == GC_OK)
            status = check_shape(shapes[i], batch, error);
        if (status != GC_OK)
            gc_fail_in_layer(error, status, i, network->layers[i].type->name);
    }
    return status;
}

gc_status gc_network_shapes(const gc_network *network, size_t height, size_t width,
                            gc_shape *shapes, gc_error *error)
{
    return gc_infer_shapes(network, 1, height, width, NULL, shapes, error);
}

gc_status gc_network_shape(const gc_network *network, size_t layer, size_t height, size_t width,
                           gc_shape *shape, gc_error *error)
{
    gc_status status = gc_check_layer(network, layer, error);
    if (status != GC_OK)
        return status;
    unsigned char *needed = gc_alloc_zeroed(network->count, sizeof *needed);
    gc_shape *shapes = gc_alloc_zeroed(network->count, sizeof *shapes);
    if (needed == NULL || shapes == NULL) {
        status = gc_fail(error, GC_NO_MEMORY, "no memory for the shapes of layers");
    } else {
        needed[layer] = 1;
        gc_mark_feeding(network, needed);
        status = gc_infer_shapes(network, 1, height, width, needed, shapes, error);
    }
    if (status == GC_OK)
        *shape = shapes[layer];
    gc_free(needed);
    gc_free(shapes);
    return status;
}
