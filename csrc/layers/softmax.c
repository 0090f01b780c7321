/* softmax.c: the softmax and its logarithm, of a vector, or over the channels at each position of a
 * map; and of rows, see gradcam.h. */
#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/copy.h"
#include "layers/sequence.h"

/* The vectors of a step, shared out among threads: the values of vector i begin at offset_of(i) and
 * are `stride` floats apart. */
typedef struct vectors {
    const gc_kernels *kernels;
    int logarithm;
    size_t count, length, stride;
    size_t recorded; /* vector i belongs to vector i % recorded of the record */
    size_t share;    /* vectors of a part */
    const float *from, *record;
    float *to;
} vectors;

enum { PART = 1 << 14 }; /* values of a part, about */

static void share_out(gc_engine engine, size_t images, gc_shape shape, gc_part some, vectors v)
{
    v.kernels = engine.kernels;
    v.length = shape.channels;
    v.stride = gc_positions(shape);
    v.count = images * v.stride;
    v.share = v.length < PART ? PART / v.length : 1;
    gc_parallel(engine.workers, gc_divide_up(v.count, v.share), some, &v);
}

static size_t offset_of(const vectors *v, size_t i)
{
    return i / v->stride * v->length * v->stride + i % v->stride;
}

static void some_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const vectors *v = argument;
    for (size_t i = part * v->share; i < gc_min((part + 1) * v->share, v->count); i++) {
        const size_t at = offset_of(v, i);
        if (v->logarithm)
            v->kernels->log_softmax_forward(v->length, v->stride, v->from + at, v->to + at);
        else
            v->kernels->softmax_forward(v->length, v->stride, v->from + at, v->to + at);
    }
}

static void some_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const vectors *v = argument;
    for (size_t i = part * v->share; i < gc_min((part + 1) * v->share, v->count); i++) {
        const size_t at = offset_of(v, i), record = offset_of(v, i % v->recorded);
        if (v->logarithm)
            v->kernels->log_softmax_backward(v->length, v->stride, v->record + record,
                                             v->from + at, v->to + at);
        else
            v->kernels->softmax_backward(v->length, v->stride, v->record + record, v->from + at,
                                         v->to + at);
    }
}

/* The record is the input: from a probability that is rounded to 1, no gradient can be computed. */
static size_t softmax_record_bytes(const gc_layer_query *query)
{
    return gc_values(query->out) * sizeof(float);
}

static void softmax_forward(const gc_layer *layer, const gc_forward_step *step)
{
    share_out(step->engine, step->count, step->out, some_forward,
              (vectors){.logarithm = layer->type == &gc_log_softmax_layer,
                        .from = step->x[0],
                        .to = step->y});
    if (step->record != NULL)
        gc_copy_floats(step->engine, step->count * gc_values(step->out), step->x[0], step->record);
}

static void softmax_backward(const gc_layer *layer, const gc_backward_step *step)
{
    share_out(step->engine, step->count, step->out, some_backward,
              (vectors){.logarithm = layer->type == &gc_log_softmax_layer,
                        .recorded = step->batch * gc_positions(step->out),
                        .from = step->dy,
                        .record = step->record,
                        .to = step->dx[0]});
}

#define SOFTMAX(type_name)                                                                    \
    {                                                                                         \
        .name = type_name, .backward_in_place = 1, .relevance = GC_REFUSES,                    \
        .shape = gc_same_shape,                                                                \
        .record_bytes = softmax_record_bytes, .forward = softmax_forward,                     \
        .backward = softmax_backward,                                                         \
    }
const gc_layer_type gc_softmax_layer = SOFTMAX("softmax");
const gc_layer_type gc_log_softmax_layer = SOFTMAX("log_softmax");

/* ---- Rows --------------------------------------------------------------------------------- */

static gc_status run_rows(size_t count, size_t length, gc_part some, vectors v, gc_error *error)
{
    const gc_shape row = {.channels = length, .height = 1, .width = 1, .flat = 1};
    const gc_status status = gc_check_sizes("the rows", (size_t[]){count, length}, 2, error);
    if (status != GC_OK)
        return status;
    v.recorded = count;
    share_out(gc_engine_now(), count, row, some, v);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}

gc_status gc_softmax(int logarithm, size_t count, size_t length, const float *x, float *y,
                     gc_error *error)
{
    return run_rows(count, length, some_forward,
                    (vectors){.logarithm = logarithm, .from = x, .to = y}, error);
}

gc_status gc_softmax_gradient(int logarithm, size_t count, size_t length, const float *x,
                              const float *dy, float *dx, gc_error *error)
{
    return run_rows(count, length, some_backward,
                    (vectors){.logarithm = logarithm, .from = dy, .record = x, .to = dx}, error);
}
