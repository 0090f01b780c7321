/* identity.c: the layers that pass all values on: the input, flatten, and dropout at inference. */
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

gc_layouts gc_as_given(const gc_layer_query *query, gc_layout given)
{
    (void)query;
    return (gc_layouts){.reads = given, .writes = given};
}

static gc_status flatten_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                               gc_error *error)
{
    (void)layer;
    (void)error;
    *out = (gc_shape){.channels = gc_values(*in), .height = 1, .width = 1, .flat = 1};
    return GC_OK;
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
    .layouts = gc_as_given,
    .forward = pass_forward,
    .backward = pass_backward,
};
