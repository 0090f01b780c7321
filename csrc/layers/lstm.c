/* lstm.c: the LSTM: see gc_lstm_forward in gradcam.h.
 *
 * The sequences of a batch are independent of each other, so threads share them out, each for all
 * steps. The steps of a single sequence follow one another: there the threads share out each step's
 * product. */
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/sequence.h"

enum { SEQUENCES = 64 }; /* of a part, at most */

/* Some sequences at one step: the number of the first, counted over all steps. */
typedef struct step {
    size_t at, count;
} step;

typedef struct run {
    gc_engine engine; /* of each product */
    gc_lstm size;
    size_t share; /* sequences of a part */
    const float *weight;
    /* forward */
    const float *inputs;
    float *gates, *h, *c;
    /* backward */
    const float *sums, *cells, *dh;
    float *dgates, *dh0, *dc0;
} run;

static step step_of(const run *r, size_t part, size_t t)
{
    const size_t first = part * r->share;
    return (step){t * r->size.batch + first, gc_min(r->size.batch - first, r->share)};
}

static void share_out(run *r, gc_part some)
{
    const gc_engine engine = gc_engine_now();
    r->engine = engine;
    r->share = gc_min(gc_divide_up(r->size.batch, engine.workers), SEQUENCES);
    if (r->size.batch > 1)
        r->engine.workers = 1;
    if (r->size.batch > 1)
        gc_parallel(engine.workers, gc_divide_up(r->size.batch, r->share), some, r);
    else
        some(r, 0, 0);
}

/* ---- Forward ------------------------------------------------------------------------------ */

static void one_step(const run *r, step s)
{
    const size_t hidden = r->size.hidden, next = r->size.batch * hidden;
    gc_multiply_matrices(r->engine, s.count, hidden, 4 * hidden, r->h + s.at * hidden, r->weight,
                         NULL, r->gates + s.at * 4 * hidden);
    for (size_t n = s.at; n < s.at + s.count && !gc_should_stop(); n++)
        r->engine.kernels->lstm_forward(hidden, r->inputs + n * 4 * hidden, r->c + n * hidden,
                                        r->gates + n * 4 * hidden, r->c + n * hidden + next,
                                        r->h + n * hidden + next);
}

static void some_sequences(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const run *r = argument;
    for (size_t t = 0; t < r->size.steps && !gc_should_stop(); t++)
        one_step(r, step_of(r, part, t));
}

/* NULL: zeros. */
static void copy_state(const gc_lstm *size, const float *from, float *to)
{
    if (from == NULL)
        memset(to, 0, size->batch * size->hidden * sizeof *to);
    else
        memcpy(to, from, size->batch * size->hidden * sizeof *to);
}

static gc_status check(const gc_lstm *size, gc_error *error)
{
    if (size->hidden > GC_MAX_EXTENT || size->steps > SIZE_MAX - 1)
        return gc_fail(error, GC_BAD_ARGUMENT, "an LSTM has up to %zu cells, not %zu",
                       GC_MAX_EXTENT, size->hidden);
    const gc_status status =
        gc_check_sizes("the gates", (size_t[]){size->steps + 1, size->batch, 4 * size->hidden}, 3,
                       error);
    return status != GC_OK || size->steps > 0 ? status
                                              : gc_fail(error, GC_BAD_ARGUMENT,
                                                        "a sequence needs one step or more");
}

gc_status gc_lstm_forward(const gc_lstm *size, const float *weight, const float *inputs,
                          const float *h0, const float *c0, float *gates, float *h, float *c,
                          gc_error *error)
{
    const gc_status status = check(size, error);
    if (status != GC_OK)
        return status;
    copy_state(size, h0, h);
    copy_state(size, c0, c);
    run r = {.size = *size, .weight = weight, .inputs = inputs, .gates = gates, .h = h, .c = c};
    share_out(&r, some_sequences);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}

/* ---- Backward ----------------------------------------------------------------------------- */

/* The sequences of a part with a gradient so far, from the first to before the end. Of the others
 * all results are 0: of copies of a sequence, each with the gradient of one step, half the work is
 * left out. */
typedef struct active {
    size_t first, end;
} active;

static int all_zero(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] != 0.0f)
            return 0;
    return 1;
}

static void widen(active *some, size_t count, size_t hidden, const float *gradients)
{
    for (size_t i = 0; i < count; i++)
        if ((i < some->first || i >= some->end) && !all_zero(gradients + i * hidden, hidden)) {
            some->first = gc_min(some->first, i);
            if (some->end <= i)
                some->end = i + 1;
        }
}

/* dh0 and dc0 hold the gradients by the state after the step, and then before it. */
static void one_step_back(const run *r, step s, size_t first, active *some)
{
    const size_t hidden = r->size.hidden, next = r->size.batch * hidden;
    widen(some, s.count, hidden, r->dh + s.at * hidden);
    memset(r->dgates + s.at * 4 * hidden, 0, s.count * 4 * hidden * sizeof *r->dgates);
    if (some->first >= some->end)
        return;
    for (size_t i = some->first; i < some->end && !gc_should_stop(); i++) {
        const size_t n = s.at + i;
        r->engine.kernels->lstm_backward(hidden, r->sums + n * 4 * hidden, r->cells + n * hidden,
                                         r->cells + n * hidden + next, r->dh + n * hidden,
                                         r->dh0 + (first + i) * hidden,
                                         r->dc0 + (first + i) * hidden,
                                         r->dgates + n * 4 * hidden);
    }
    gc_multiply_matrices(r->engine, some->end - some->first, 4 * hidden, hidden,
                         r->dgates + (s.at + some->first) * 4 * hidden, r->weight, NULL,
                         r->dh0 + (first + some->first) * hidden);
}

static void some_sequences_back(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const run *r = argument;
    const size_t first = part * r->share, count = step_of(r, part, 0).count;
    active some = {count, 0};
    widen(&some, count, r->size.hidden, r->dc0 + first * r->size.hidden);
    for (size_t t = r->size.steps; t-- > 0 && !gc_should_stop();)
        one_step_back(r, step_of(r, part, t), first, &some);
}

gc_status gc_lstm_backward(const gc_lstm *size, const float *weight, const float *gates,
                           const float *c, const float *dh, const float *dc, float *dgates,
                           float *dh0, float *dc0, gc_error *error)
{
    const gc_status status = check(size, error);
    if (status != GC_OK)
        return status;
    copy_state(size, NULL, dh0);
    copy_state(size, dc, dc0);
    run r = {.size = *size,
             .weight = weight,
             .sums = gates,
             .cells = c,
             .dh = dh,
             .dgates = dgates,
             .dh0 = dh0,
             .dc0 = dc0};
    share_out(&r, some_sequences_back);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}
