/* pointwise.c: the softmax and the sigmoid. */
#include "base/status.h"
#include "base/threads.h"
#include "layers/copy.h"

/* The vectors of a step, shared out among threads. */
typedef struct rows {
    const gc_kernels *kernels;
    size_t count, length;
    size_t recorded; /* row i belongs to row i % recorded of the record */
    size_t share;    /* rows of a part */
    const float *from, *record;
    float *to;
} rows;

enum { PART = 1 << 14 }; /* values of a part, about */

static void share_out(gc_engine engine, gc_part some, rows r)
{
    r.kernels = engine.kernels;
    r.share = r.length < PART ? PART / r.length : 1;
    gc_parallel(engine.workers, gc_divide_up(r.count, r.share), some, &r);
}

static size_t end_of_part(const rows *r, size_t part)
{
    return gc_min((part + 1) * r->share, r->count);
}

/* A part of one row: where it begins in the rows, and its length. */
static size_t piece_of_row(const rows *r, size_t part, size_t *count)
{
    const size_t pieces = gc_divide_up(r->length, PART), first = part % pieces * PART;
    *count = gc_min(r->length - first, PART);
    return part / pieces * r->length + first;
}

static rows forward_rows(const gc_forward_step *step)
{
    return (rows){.count = step->count,
                  .length = gc_values(step->out),
                  .from = step->x[0],
                  .to = step->y};
}

static rows backward_rows(const gc_backward_step *step)
{
    return (rows){.count = step->count,
                  .length = gc_values(step->out),
                  .recorded = step->batch,
                  .from = step->dy,
                  .record = step->record,
                  .to = step->dx[0]};
}

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
static size_t input_record_bytes(const gc_layer_query *query)
{
    return gc_values(query->out) * sizeof(float);
}

static void some_softmax_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    for (size_t i = part * r->share; i < end_of_part(r, part); i++)
        r->kernels->softmax_forward(r->length, r->from + i * r->length, r->to + i * r->length);
}

static void some_softmax_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    for (size_t i = part * r->share; i < end_of_part(r, part); i++)
        r->kernels->softmax_backward(r->length, r->record + i % r->recorded * r->length,
                                     r->from + i * r->length, r->to + i * r->length);
}

static void softmax_forward(const gc_layer *layer, const gc_forward_step *step)
{
    (void)layer;
    const rows r = forward_rows(step);
    share_out(step->engine, some_softmax_forward, r);
    if (step->record != NULL)
        gc_copy_floats(step->engine, r.count * r.length, r.from, step->record);
}

static void softmax_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    share_out(step->engine, some_softmax_backward, backward_rows(step));
}

const gc_layer_type gc_softmax_layer = {
    .name = "softmax",
    .backward_in_place = 1,
    .shape = softmax_shape,
    .record_bytes = input_record_bytes,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

/* Some values of one image, which may be many. */
static void some_sigmoid_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    size_t count;
    const size_t offset = piece_of_row(r, part, &count);
    r->kernels->sigmoid_forward(count, r->from + offset, r->to + offset);
}

static void some_sigmoid_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    size_t count;
    const size_t offset = piece_of_row(r, part, &count);
    r->kernels->sigmoid_backward(count, r->record + offset % (r->recorded * r->length),
                                 r->from + offset, r->to + offset);
}

static void sigmoid_forward(const gc_layer *layer, const gc_forward_step *step)
{
    (void)layer;
    rows r = forward_rows(step);
    r.kernels = step->engine.kernels;
    gc_parallel(step->engine.workers, r.count * gc_divide_up(r.length, PART),
                some_sigmoid_forward, &r);
    if (step->record != NULL)
        gc_copy_floats(step->engine, r.count * r.length, r.from, step->record);
}

static void sigmoid_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    rows r = backward_rows(step);
    r.kernels = step->engine.kernels;
    gc_parallel(step->engine.workers, r.count * gc_divide_up(r.length, PART),
                some_sigmoid_backward, &r);
}

const gc_layer_type gc_sigmoid_layer = {
    .name = "sigmoid",
    .backward_in_place = 1,
    .shape = gc_same_shape,
    .record_bytes = input_record_bytes,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};
