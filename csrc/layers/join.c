/* join.c: the layers that only pass values on: the input, flatten, dropout at inference, the
 * sum of maps, and their concatenation along the channels. */
#include "base/status.h"
#include "layers/blocked.h"
#include "layers/copy.h"

gc_status gc_same_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                        gc_error *error)
{
    (void)layer;
    (void)error;
    *out = *in;
    return GC_OK;
}

static gc_status flatten_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                               gc_error *error)
{
    (void)layer;
    (void)error;
    *out = (gc_shape){.channels = gc_values(*in), .height = 1, .width = 1, .flat = 1};
    return GC_OK;
}

/* For identities that work on both layouts. */
static gc_layouts layouts_as_given(const gc_layer_query *query, gc_layout given)
{
    (void)query;
    return (gc_layouts){.reads = given, .writes = given};
}

static void pass_forward(const gc_layer *layer, const gc_forward_step *step)
{
    (void)layer;
    gc_copy_floats(step->engine,
                   step->count * gc_map_floats(step->out, step->layouts.writes, step->engine),
                   step->x[0], step->y);
}

static void pass_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    if (step->dx[0] != step->dy)
        gc_copy_floats(step->engine,
                       step->count * gc_map_floats(step->out, step->layouts.writes, step->engine),
                       step->dy, step->dx[0]);
}

static gc_status sum_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                           gc_error *error)
{
    for (size_t i = 1; i < layer->input_count; i++)
        if (in[i].channels != in[0].channels || in[i].height != in[0].height
            || in[i].width != in[0].width || in[i].flat != in[0].flat)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the inputs of a sum must have one shape, but they have "
                           "%zu x %zu x %zu and %zu x %zu x %zu",
                           in[0].channels, in[0].height, in[0].width, in[i].channels,
                           in[i].height, in[i].width);
    *out = in[0];
    return GC_OK;
}

static void sum_forward(const gc_layer *layer, const gc_forward_step *step)
{
    gc_add_floats(step->engine, step->count * gc_values(step->out), layer->input_count, step->x,
                  step->y);
}

static void sum_backward(const gc_layer *layer, const gc_backward_step *step)
{
    for (size_t i = 0; i < layer->input_count; i++)
        if (step->dx[i] != NULL)
            gc_copy_floats(step->engine, step->count * gc_values(step->out), step->dy, step->dx[i]);
}

static gc_status concatenation_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                                     gc_error *error)
{
    *out = in[0];
    for (size_t i = 1; i < layer->input_count; i++) {
        if (in[i].height != in[0].height || in[i].width != in[0].width
            || in[i].flat != in[0].flat)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the inputs of a concatenation must have one height and width, "
                           "but they have %zu x %zu and %zu x %zu",
                           in[0].height, in[0].width, in[i].height, in[i].width);
        out->channels += in[i].channels;
    }
    return GC_OK;
}

static void concatenation_forward(const gc_layer *layer, const gc_forward_step *step)
{
    float *y = step->y;
    for (size_t n = 0; n < step->count; n++)
        for (size_t i = 0; i < layer->input_count; i++) {
            const size_t size = gc_values(step->in[i]);
            gc_copy_floats(step->engine, size, step->x[i] + n * size, y);
            y += size;
        }
}

static void concatenation_backward(const gc_layer *layer, const gc_backward_step *step)
{
    const float *dy = step->dy;
    for (size_t n = 0; n < step->count; n++)
        for (size_t i = 0; i < layer->input_count; i++) {
            const size_t size = gc_values(step->in[i]);
            if (step->dx[i] != NULL)
                gc_copy_floats(step->engine, size, dy, step->dx[i] + n * size);
            dy += size;
        }
}

/* Its map is given: no forward or backward. */
const gc_layer_type gc_input_layer = {
    .name = "input",
    .shape = gc_same_shape,
};

const gc_layer_type gc_flatten_layer = {
    .name = "flatten",
    .identity = 1,
    .backward_in_place = 1,
    .shape = flatten_shape,
    .forward = pass_forward,
    .backward = pass_backward,
};

const gc_layer_type gc_dropout_layer = {
    .name = "dropout",
    .identity = 1,
    .backward_in_place = 1,
    .shape = gc_same_shape,
    .layouts = layouts_as_given,
    .forward = pass_forward,
    .backward = pass_backward,
};

const gc_layer_type gc_sum_layer = {
    .name = "add",
    .shape = sum_shape,
    .forward = sum_forward,
    .backward = sum_backward,
};

const gc_layer_type gc_concatenation_layer = {
    .name = "concatenate",
    .shape = concatenation_shape,
    .forward = concatenation_forward,
    .backward = concatenation_backward,
};
