/* backward.c: gradients from any layer to any layers below it, by any rule, over one tape.
 *
 * Reverse mode: in reverse topological order each step turns the gradient of its output into those
 * of its inputs. If a map feeds several layers, its gradients are added. Only layers between a
 * layer wanted and the seed take part. Several seeds run as one larger batch over the same records.
 * Nothing is written to the tape.
 *
 * The gradient of an input of a concatenation is a part of that of the output, and is not copied if
 * it is whole blocks of it. With several gradients at a time there are gaps between the parts of
 * each, so a layer that reads it gets a copy; they are added as they are. */
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/copy.h"
#include "layers/relevance.h"
#include "network/schedule.h"

/* The gradient of a layer's output, added so far. */
typedef struct gradient {
    float *memory; /* a piece of the arena, or NULL: none so far */
    size_t offset; /* floats to the first gradient, */
    size_t stride; /* and from one to the next */
} gradient;

typedef struct backward_pass {
    gc_schedule schedule;
    const gc_tape *tape;
    const gc_rule *rules;   /* [rule_count] one for all layers, or one for each */
    size_t rule_count;
    size_t seed;            /* the layer from which it starts, */
    const float *seeds;     /* and the gradients of its output */
    const size_t *wanted;   /* [wanted_count] layers */
    size_t wanted_count;
    float *const *results;  /* [wanted_count] arrays of the caller */
    size_t *results_of;     /* [layers] the last of a layer's results, by number + 1, or 0 */
    size_t *next_result;    /* [wanted_count] of the same layer, likewise */
    double *seconds;        /* [layers] an array of the caller, or NULL */
    size_t sets;
    size_t first, count;    /* gradients that go through the layers now, of sets * batch */
    gradient *gradients;     /* [layers] */
    size_t *next, *previous; /* [layers] whose gradients are in the same memory, a ring */
    float **dx;             /* of the inputs of the step that runs */
    const float **x;        /* those inputs, for a step that shares relevance, */
    float **converted;      /* and those that had to be converted for it, or NULL */
    gc_arena arena;         /* of gradients and scratch memory */
} backward_pass;

static void free_pass(backward_pass *p)
{
    gc_schedule_free(&p->schedule);
    gc_free(p->results_of);
    gc_free(p->next_result);
    gc_free(p->gradients);
    gc_free(p->next);
    gc_free(p->previous);
    gc_free(p->dx);
    gc_free(p->x);
    gc_free(p->converted);
    gc_arena_end(&p->arena);
}

/* 0: no memory. */
static int make_pass(backward_pass *p)
{
    const gc_network *network = p->tape->network;
    p->gradients = gc_alloc_zeroed(network->count, sizeof *p->gradients);
    p->next = gc_alloc_zeroed(network->count, sizeof *p->next);
    p->previous = gc_alloc_zeroed(network->count, sizeof *p->previous);
    for (size_t i = 0; p->next != NULL && p->previous != NULL && i < network->count; i++)
        p->next[i] = p->previous[i] = i;
    p->dx = gc_alloc_zeroed(gc_max_inputs(network), sizeof *p->dx);
    p->x = gc_alloc_zeroed(gc_max_inputs(network), sizeof *p->x);
    p->converted = gc_alloc_zeroed(gc_max_inputs(network), sizeof *p->converted);
    p->results_of = gc_alloc_zeroed(network->count, sizeof *p->results_of);
    p->next_result = gc_alloc_zeroed(p->wanted_count, sizeof *p->next_result);
    return gc_schedule_backward(&p->schedule, gc_tape_engine(p->tape), p->tape, p->rules,
                                p->rule_count, p->seed, p->wanted, p->wanted_count, p->sets)
           && p->gradients != NULL && p->next != NULL && p->previous != NULL && p->dx != NULL
           && p->x != NULL && p->converted != NULL && p->results_of != NULL
           && p->next_result != NULL;
}

/* Link the results of each layer, so that none has to be searched for. */
static void list_results(backward_pass *p)
{
    for (size_t w = 0; w < p->wanted_count; w++) {
        p->next_result[w] = p->results_of[p->wanted[w]];
        p->results_of[p->wanted[w]] = w + 1;
    }
}

/* The layout of a map and its gradient. */
static gc_layout layout_of(const backward_pass *p, size_t layer)
{
    return p->tape->layouts[layer].writes;
}

/* Values of one gradient; sizes were checked when the pass began. */
static size_t map_floats(const backward_pass *p, size_t layer, gc_layout layout)
{
    return gc_map_floats(p->tape->shapes[layer], layout, p->schedule.engine);
}

static float *take_gradient(backward_pass *p, size_t layer, gc_layout layout)
{
    return gc_arena_take(&p->arena, p->count * map_floats(p, layer, layout) * sizeof(float));
}

/* ---- Gradients that layers share ----------------------------------------------------------- */

/* The layers whose gradients are in the same memory form a ring. A gradient in a ring of several
 * layers is only read. `part`: that of `to`, in the memory of that of `from`. */
static void share(backward_pass *p, size_t from, size_t to, gradient part)
{
    const size_t after = p->next[from];
    p->gradients[to] = part;
    p->next[from] = p->previous[after] = to;
    p->previous[to] = from;
    p->next[to] = after;
}

static int is_shared(const backward_pass *p, size_t layer)
{
    return p->next[layer] != layer;
}

/* Take a layer's gradient from it; and give back the memory if no other layer has it. */
static void release(backward_pass *p, size_t layer)
{
    if (!is_shared(p, layer))
        gc_arena_give(&p->arena, p->gradients[layer].memory);
    p->next[p->previous[layer]] = p->next[layer];
    p->previous[p->next[layer]] = p->previous[layer];
    p->next[layer] = p->previous[layer] = layer;
    p->gradients[layer].memory = NULL;
}

static int has_gradient(const backward_pass *p, size_t layer)
{
    return p->gradients[layer].memory != NULL;
}

/* The gradient of a layer that has none is in memory of its own. */
static void set_gradient(backward_pass *p, size_t layer, float *memory)
{
    p->gradients[layer] =
        (gradient){.memory = memory, .stride = map_floats(p, layer, layout_of(p, layer))};
}

/* The values of a gradient; NULL in the planning run, in which they are not read. */
static float *values_of(const backward_pass *p, gradient of)
{
    return p->arena.planning || of.memory == NULL ? NULL : of.memory + of.offset;
}

/* Whether a layer's gradient may be written: no other layer has it, and it is not a part. */
static int is_own(const backward_pass *p, size_t layer)
{
    const gradient of = p->gradients[layer];
    return !is_shared(p, layer) && of.offset == 0
           && of.stride == map_floats(p, layer, layout_of(p, layer));
}

/* Take the memory of a layer's own gradient from it. */
static float *move(backward_pass *p, size_t layer)
{
    float *memory = p->gradients[layer].memory;
    p->gradients[layer].memory = NULL;
    return memory;
}

/* ---- Adding gradients ---------------------------------------------------------------------- */

/* to = a + b, gradients of one map. If `to` is b, a is added to it. */
static void add(const backward_pass *p, size_t number, gradient a, gradient b, gradient to)
{
    const size_t floats = map_floats(p, number, layout_of(p, number));
    const int has_gaps = a.stride != floats || b.stride != floats || to.stride != floats;
    const size_t images = has_gaps ? p->count : 1, length = has_gaps ? floats : p->count * floats;
    for (size_t n = 0; n < images && !p->arena.planning; n++) {
        const float *inputs[2] = {values_of(p, a) + n * a.stride, values_of(p, b) + n * b.stride};
        float *sum = values_of(p, to) + n * to.stride;
        if (sum == inputs[1])
            gc_accumulate_floats(p->schedule.engine, length, inputs[0], sum);
        else
            gc_add_floats(p->schedule.engine, length, 2, inputs, sum);
    }
}

/* Make a gradient one without gaps, for layers that read it. A last group of images may be a single
 * one: the copy is made nevertheless, because its memory is planned. */
static void close_gaps(backward_pass *p, size_t number)
{
    const gradient from = p->gradients[number];
    const size_t floats = map_floats(p, number, layout_of(p, number));
    if (from.memory == NULL || from.stride == floats || p->schedule.at_a_time == 1)
        return;
    float *closed = take_gradient(p, number, layout_of(p, number));
    for (size_t n = 0; n < p->count && !p->arena.planning; n++)
        gc_copy_floats(p->schedule.engine, floats, values_of(p, from) + n * from.stride,
                       closed + n * floats);
    release(p, number);
    set_gradient(p, number, closed);
}

/* A copy of a gradient of a map, in the map's layout. */
static float *convert(backward_pass *p, size_t number, gc_layout layout, const float *gradient)
{
    const gc_layout wants = p->tape->layouts[number].writes;
    float *converted = take_gradient(p, number, wants);
    if (!p->arena.planning)
        gc_copy_maps(p->schedule.engine, p->count, p->tape->shapes[number], layout, gradient,
                     wants, converted);
    return converted;
}

/* Make dx, which is in `layout`, the gradient of a map, or add the gradient that there is to it.
 * The memory of dx is used up. */
static void merge(backward_pass *p, size_t number, gc_layout layout, float *dx)
{
    if (layout != p->tape->layouts[number].writes) {
        float *converted = convert(p, number, layout, dx);
        gc_arena_give(&p->arena, dx);
        dx = converted;
    }
    const gradient so_far = p->gradients[number];
    release(p, number);
    set_gradient(p, number, dx);
    if (so_far.memory != NULL)
        add(p, number, so_far, p->gradients[number], p->gradients[number]);
}

/* `part`, in the memory of the gradient of `from`, is a gradient of `to`. is_free: nothing else
 * needs its values. */
static void pass_on(backward_pass *p, size_t from, size_t to, gradient part, int is_free)
{
    const gradient so_far = p->gradients[to];
    if (so_far.memory == NULL) {
        share(p, from, to, part);
        return;
    }
    if (is_free) {
        add(p, to, so_far, part, part);
        release(p, to);
        share(p, from, to, part);
        return;
    }
    float *memory = take_gradient(p, to, layout_of(p, to));
    const gradient sum = {.memory = memory, .stride = map_floats(p, to, layout_of(p, to))};
    add(p, to, so_far, part, sum);
    release(p, to);
    set_gradient(p, to, memory);
}

/* ---- Steps -------------------------------------------------------------------------------- */

/* A step that passes on what it gets. */
static void run_passing_step(backward_pass *p, const gc_step *step)
{
    const gc_layer *layer = &p->tape->network->layers[step->layer];
    const gradient dy = p->gradients[step->last];
    const gc_layout layout = layout_of(p, step->layer);
    for (size_t k = 0; k < layer->input_count; k++) {
        const size_t input = layer->inputs[k];
        if (!p->schedule.active[input])
            continue;
        if (layout == layout_of(p, input))
            pass_on(p, step->last, input, dy, 0);
        else
            merge(p, input, layout_of(p, input), convert(p, input, layout, values_of(p, dy)));
    }
    release(p, step->last);
}

/* Pass on the gradient of a concatenation to the inputs of which the gradients are parts of it, see
 * gc_is_part. */
static void pass_parts(backward_pass *p, const gc_step *step)
{
    const gc_layer *layer = &p->tape->network->layers[step->layer];
    const gradient dy = p->gradients[step->last];
    const int is_free = dy.memory != NULL && is_own(p, step->last);
    size_t first = 0, offset;
    for (size_t k = 0; k < layer->input_count; first += p->tape->in[step->layer][k++].channels)
        if (p->schedule.active[layer->inputs[k]]
            && gc_is_part(p->tape, step->layer, k, first, p->schedule.engine, &offset))
            pass_on(p, step->last, layer->inputs[k],
                    (gradient){dy.memory, dy.offset + offset, dy.stride}, is_free);
}

/* Memory for the gradients of the inputs of a step, except for parts of that of the output. Where
 * the step runs in place, or adds to the gradient so far, that memory is used again if it is the
 * layer's own. */
static void take_inputs(backward_pass *p, const gc_step *step)
{
    const gc_layer *first = &p->tape->network->layers[step->first];
    const size_t added = p->tape->network->layers[step->layer].inputs[0];
    const int adds = step->adds && has_gradient(p, added);
    size_t channel = 0, offset;
    for (size_t k = 0; k < first->input_count; channel += p->tape->in[step->first][k++].channels)
        p->dx[k] =
            !p->schedule.active[first->inputs[k]]
                    || gc_is_part(p->tape, step->first, k, channel, p->schedule.engine, &offset)
                ? NULL
            : step->in_place && is_own(p, step->last) ? move(p, step->last)
            : adds && is_own(p, added)                ? move(p, added)
                                                      : take_gradient(
                      p, first->inputs[k], gc_tape_reads(p->tape, step->first, k));
}

/* From the gradient of the output to those of the active inputs; its memory is used up. */
static void run_step(backward_pass *p, const gc_step *step)
{
    const gc_tape *tape = p->tape;
    const gc_layer *layer = &tape->network->layers[step->layer];
    const gc_layer *first = &tape->network->layers[step->first];
    const size_t image = p->first % tape->batch;
    const float *dy = values_of(p, p->gradients[step->last]);
    gc_fused fused = gc_step_fused(&p->schedule, step, image);
    if (step->adds) {
        close_gaps(p, layer->inputs[0]);
        fused.add = values_of(p, p->gradients[layer->inputs[0]]);
    }
    take_inputs(p, step);
    void *scratch = gc_arena_take(&p->arena, step->scratch_bytes);
    if (!p->arena.planning)
        layer->type->backward(layer, &(gc_backward_step){
                                         .engine = p->schedule.engine,
                                         .count = p->count,
                                         .batch = gc_min(p->count, tape->batch),
                                         .in = tape->in[step->layer],
                                         .out = tape->shapes[step->layer],
                                         .layouts = tape->layouts[step->layer],
                                         .masks = gc_schedule_rule(&p->schedule, step->layer)
                                                      ->row->masks,
                                         .zeros_are_masked = step->zeros_are_masked,
                                         .dy = dy,
                                         .dx = p->dx,
                                         .record = gc_tape_record(tape, step->layer, image),
                                         .fused = fused,
                                         .scratch = scratch,
                                     });
    gc_arena_give(&p->arena, scratch);
    if (step->adds && has_gradient(p, layer->inputs[0]))
        release(p, layer->inputs[0]);
    pass_parts(p, step);
    if (has_gradient(p, step->last))
        release(p, step->last);
    for (size_t k = 0; k < first->input_count; k++)
        if (p->dx[k] != NULL)
            merge(p, first->inputs[k], gc_tape_reads(tape, step->first, k), p->dx[k]);
}

/* ---- Steps that share relevance ------------------------------------------------------------- */

/* The kept inputs of a layer, of the images of this step, in the layout in which it reads them. */
static void gather_inputs(backward_pass *p, size_t number)
{
    const gc_tape *tape = p->tape;
    const gc_layer *layer = &tape->network->layers[number];
    const size_t images = gc_min(p->count, tape->batch);
    for (size_t k = 0; k < layer->input_count; k++) {
        const size_t input = layer->inputs[k];
        const gc_layout given = layout_of(p, input), reads = gc_tape_reads(tape, number, k);
        const size_t offset = p->first % tape->batch * map_floats(p, input, given);
        p->converted[k] = NULL;
        p->x[k] = NULL;
        if (!gc_relevance_reads(layer))
            continue;
        if (given != reads)
            p->converted[k] =
                gc_arena_take(&p->arena, images * map_floats(p, input, reads) * sizeof(float));
        if (p->arena.planning)
            continue;
        p->x[k] = tape->maps[input] + offset;
        if (given != reads) {
            gc_copy_maps(p->schedule.engine, images, tape->shapes[input], given, p->x[k], reads,
                         p->converted[k]);
            p->x[k] = p->converted[k];
        }
    }
}

/* Whether a map is the output of a sigmoid. */
static int is_gate(const gc_layer *layer)
{
    return layer->type == &gc_activation_layer
           && (layer->activation.kind == GC_SIGMOID || layer->activation.kind == GC_HARD_SIGMOID);
}

static void share_relevance(backward_pass *p, size_t number, void *scratch)
{
    const gc_tape *tape = p->tape;
    const gc_layer *layers = tape->network->layers, *layer = &layers[number];
    gc_relevance_step step = {.engine = p->schedule.engine,
                              .rule = gc_schedule_rule(&p->schedule, number),
                              .count = p->count,
                              .images = gc_min(p->count, tape->batch),
                              .in = tape->in[number],
                              .out = tape->shapes[number],
                              .layouts = tape->layouts[number],
                              .x = p->x,
                              .from = values_of(p, p->gradients[number]),
                              .to = p->dx,
                              .scratch = scratch};
    for (size_t k = 0; k < layer->input_count && k < 2; k++)
        step.gates[k] = is_gate(&layers[layer->inputs[k]]);
    gc_relevance_run(layer, &step);
}

/* From the relevance of the output to that of the active inputs; its memory is used up. */
static void run_relevance_step(backward_pass *p, const gc_step *step)
{
    const gc_layer *layer = &p->tape->network->layers[step->layer];
    gather_inputs(p, step->layer);
    take_inputs(p, step);
    void *scratch = gc_arena_take(&p->arena, step->scratch_bytes);
    if (!p->arena.planning)
        share_relevance(p, step->layer, scratch);
    gc_arena_give(&p->arena, scratch);
    for (size_t k = 0; k < layer->input_count; k++)
        gc_arena_give(&p->arena, p->converted[k]);
    release(p, step->layer);
    for (size_t k = 0; k < layer->input_count; k++)
        if (p->dx[k] != NULL)
            merge(p, layer->inputs[k], gc_tape_reads(p->tape, step->layer, k), p->dx[k]);
}

/* ---- All steps ------------------------------------------------------------------------------ */

/* The seeds, in the layout of their layer. */
static void load_seeds(backward_pass *p)
{
    const gc_layout layout = p->tape->layouts[p->seed].writes;
    const gc_shape shape = p->tape->shapes[p->seed];
    float *loaded = take_gradient(p, p->seed, layout);
    set_gradient(p, p->seed, loaded);
    if (!p->arena.planning)
        gc_copy_maps(p->schedule.engine, p->count, shape, GC_PLAIN,
                     p->seeds + p->first * gc_values(shape), layout, loaded);
}

/* Copy the gradient of a map to the caller, if it is wanted. */
static void copy_results(const backward_pass *p, size_t layer)
{
    const gc_shape shape = p->tape->shapes[layer];
    size_t w = p->arena.planning ? 0 : p->results_of[layer];
    for (; w != 0; w = p->next_result[w - 1])
        gc_copy_maps(p->schedule.engine, p->count, shape, p->tape->layouts[layer].writes,
                     values_of(p, p->gradients[layer]), GC_PLAIN,
                     p->results[w - 1] + p->first * gc_values(shape));
}

/* All steps, in the planning run or the real run, unless the call is to end early. */
static void run_steps(backward_pass *p)
{
    const gc_schedule *s = &p->schedule;
    if (s->step_count == 0)
        return;
    load_seeds(p);
    double cost = 0.0; /* of the steps before */
    for (size_t n = 0; n < s->step_count; n++) {
        const gc_step *step = &s->steps[n];
        if (!p->arena.planning)
            gc_set_share(((double)p->first + (double)p->count * cost / s->cost)
                         / (double)(p->sets * p->tape->batch));
        if (gc_should_stop())
            return;
        cost += step->cost;
        close_gaps(p, step->last);
        copy_results(p, step->last);
        const double start = gc_seconds();
        if (step->is_end)
            release(p, step->last);
        else if (step->passes)
            run_passing_step(p, step);
        else if (step->relevance)
            run_relevance_step(p, step);
        else
            run_step(p, step);
        if (p->seconds != NULL && !p->arena.planning)
            p->seconds[step->layer] += gc_seconds() - start;
    }
}

/* ---- The pass ----------------------------------------------------------------------------- */

/* Write zero where nothing is computed: for layers that are not between the seed and a layer
 * wanted. */
static void write_zeros(const backward_pass *p)
{
    for (size_t i = 0; p->seconds != NULL && i < p->tape->network->count; i++)
        p->seconds[i] = 0.0;
    for (size_t w = 0; w < p->wanted_count; w++)
        if (!p->schedule.active[p->wanted[w]])
            gc_zero_floats(p->schedule.engine,
                           p->sets * p->tape->batch * gc_values(p->tape->shapes[p->wanted[w]]),
                           p->results[w]);
}

/* The next gradients: at_a_time, or fewer at the end of a set or of all; 0: there are no more. */
static int choose_next(backward_pass *p)
{
    const size_t at_a_time = p->schedule.at_a_time;
    const size_t batch = p->tape->batch, all = p->sets * batch;
    const size_t left = at_a_time < batch ? batch - p->first % batch : all - p->first;
    p->count = gc_min(left, at_a_time);
    return p->first < all;
}

/* Bytes of the caller's results, whose memory is usually not written yet either. */
static size_t result_bytes(const backward_pass *p)
{
    size_t floats = 0;
    for (size_t w = 0; w < p->wanted_count; w++)
        floats += p->sets * p->tape->batch * gc_values(p->tape->shapes[p->wanted[w]]);
    return floats * sizeof(float);
}

/* Whether every layer can run under its rule, and the maps that it needs were kept. */
static gc_status check_steps(const backward_pass *p, gc_error *error)
{
    const gc_tape *tape = p->tape;
    gc_status status = GC_OK;
    for (size_t n = 0; n < p->schedule.step_count && status == GC_OK; n++) {
        const gc_step *step = &p->schedule.steps[n];
        const gc_layer *layer = &tape->network->layers[step->layer];
        const gc_rule *rule = gc_schedule_rule(&p->schedule, step->layer);
        if (step->is_end || !gc_is_relevance(rule))
            continue;
        status = gc_relevance_check(layer, step->layer, tape->in[step->layer], rule, error);
        for (size_t k = 0; k < layer->input_count && status == GC_OK; k++)
            if (gc_relevance_reads(layer) && tape->maps[layer->inputs[k]] == NULL)
                status = gc_fail(error, GC_NOT_KEPT,
                                 "the rule '%s' needs the activation of layer %zu, which was not "
                                 "kept",
                                 rule->row->name, layer->inputs[k]);
    }
    return status;
}

/* 0: no memory, or the call is to end early. */
static int run_pass(backward_pass *p)
{
    list_results(p);
    p->count = p->schedule.at_a_time;
    run_steps(p);
    if (gc_stopped() || !gc_arena_allocate(&p->arena, result_bytes(p))
        || !gc_schedule_prepare(&p->schedule))
        return 0;
    write_zeros(p);
    for (; !gc_stopped() && choose_next(p); p->first += p->count) {
        gc_arena_restart(&p->arena);
        run_steps(p);
    }
    return 1;
}

static gc_status check_layers(const gc_tape *tape, size_t seed, const size_t *wanted,
                              size_t wanted_count, gc_error *error)
{
    if (!tape->recorded)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "this forward pass recorded nothing for a backward pass; run one with a "
                       "record");
    if (gc_tape_shape(tape, seed) == NULL)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "layer %zu, from which the gradient is to start, was not computed in "
                       "this forward pass",
                       seed);
    for (size_t w = 0; w < wanted_count; w++)
        if (gc_tape_shape(tape, wanted[w]) == NULL)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "layer %zu, whose gradient is wanted, was not computed in this "
                           "forward pass",
                           wanted[w]);
    return GC_OK;
}

static gc_status check_sizes(const gc_tape *tape, size_t sets, gc_error *error)
{
    size_t count;
    if (sets == 0)
        return gc_fail(error, GC_BAD_ARGUMENT, "needs one set of seeds or more");
    for (size_t i = 0; i < tape->network->count; i++)
        if (tape->computed[i]
            && (!gc_multiply(tape->batch, sets, &count) || count > GC_MAX_POSITIONS
                || !gc_multiply(count, gc_values(tape->shapes[i]), &count)
                || count > GC_MAX_BYTES / sizeof(float)))
            return gc_fail(error, GC_NO_MEMORY,
                           "%zu sets of seeds are more than this machine can address", sets);
    return GC_OK;
}

gc_status gc_backward(const gc_tape *tape, size_t layer, const float *seeds, size_t sets,
                      const gc_rule *rules, size_t rule_count, const size_t *wanted,
                      size_t wanted_count, float *const *gradients, double *seconds,
                      gc_error *error)
{
    gc_status status = check_layers(tape, layer, wanted, wanted_count, error);
    if (status == GC_OK && rule_count != 1 && rule_count != tape->network->count)
        status = gc_fail(error, GC_BAD_ARGUMENT,
                         "needs one rule, or one for each of the %zu layers, but there are %zu",
                         tape->network->count, rule_count);
    if (status == GC_OK)
        status = check_sizes(tape, sets, error);
    if (status != GC_OK)
        return status;
    backward_pass p = {.tape = tape,
                       .rules = rules,
                       .rule_count = rule_count,
                       .seed = layer,
                       .seeds = seeds,
                       .wanted = wanted,
                       .wanted_count = wanted_count,
                       .results = gradients,
                       .seconds = seconds,
                       .sets = sets,
                       .arena = gc_arena_begin()};
    const int made = make_pass(&p);
    status = made ? check_steps(&p, error) : GC_OK;
    const int done = made && status == GC_OK && run_pass(&p);
    const uint64_t needed = (uint64_t)p.arena.bytes + result_bytes(&p);
    free_pass(&p);
    if (gc_stopped())
        return gc_fail_interrupted(error);
    if (status != GC_OK)
        return status;
    return done ? GC_OK
                : gc_fail_memory(error, needed, "the gradients of %zu maps", sets * tape->batch);
}
