#include "layers/copy.h"

#include <string.h>

#include "base/threads.h"

enum { PART = 1 << 14 }; /* floats of a part: three of them fit into the caches */

typedef struct copying {
    const gc_kernels *kernels;
    size_t count, input_count;   /* without an input, zeros are written */
    int accumulates;             /* whether the inputs are added to the values of `to` */
    int multiplies;              /* whether `to` is the product of both inputs */
    const float *const *inputs;
    float *to;
} copying;

static void copy_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const copying *c = argument;
    const size_t first = part * PART, count = gc_min(c->count - first, PART);
    float *to = c->to + first;
    size_t i = 0;
    if (c->multiplies) {
        c->kernels->multiply(count, c->inputs[0] + first, c->inputs[1] + first, to);
        return;
    }
    if (c->input_count == 0)
        memset(to, 0, count * sizeof *to);
    else if (!c->accumulates && c->input_count == 1)
        memcpy(to, c->inputs[i++] + first, count * sizeof *to);
    else if (!c->accumulates) {
        c->kernels->add(count, c->inputs[0] + first, c->inputs[1] + first, to);
        i = 2;
    }
    for (; i < c->input_count; i++)
        c->kernels->accumulate(count, c->inputs[i] + first, to);
}

static void share_out(gc_engine engine, copying c)
{
    c.kernels = engine.kernels;
    gc_parallel(engine.workers, gc_divide_up(c.count, PART), copy_part, &c);
}

void gc_copy_floats(gc_engine engine, size_t count, const float *from, float *to)
{
    share_out(engine, (copying){.count = count, .input_count = 1, .inputs = &from, .to = to});
}

void gc_zero_floats(gc_engine engine, size_t count, float *to)
{
    share_out(engine, (copying){.count = count, .to = to});
}

void gc_accumulate_floats(gc_engine engine, size_t count, const float *x, float *y)
{
    share_out(engine, (copying){.count = count, .input_count = 1, .accumulates = 1, .inputs = &x,
                                .to = y});
}

void gc_add_floats(gc_engine engine, size_t count, size_t input_count,
                   const float *const *inputs, float *y)
{
    share_out(engine,
        (copying){.count = count, .input_count = input_count, .inputs = inputs, .to = y});
}

void gc_multiply_floats(gc_engine engine, size_t count, const float *a, const float *b, float *y)
{
    const float *const inputs[2] = {a, b};
    share_out(engine, (copying){.count = count, .input_count = 2, .multiplies = 1,
                                .inputs = inputs, .to = y});
}
