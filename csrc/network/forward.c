/* forward.c: one forward pass.
 *
 * Images go through the steps of the schedule a few at a time. A map exists from the step that
 * writes it to the last step that reads it, or on the tape if it is kept. A map that is a part of
 * another one's memory exists as long as that.
 *
 * A pass may start at any layer: the caller gives that layer's output, in plain layout, and only
 * layers above it run. */
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/copy.h"
#include "network/places.h"

typedef struct forward_pass {
    gc_schedule schedule;
    gc_tape *tape;
    size_t start;         /* the layer whose map is given, */
    const float *input;   /* and that map, an array of the caller */
    size_t first, count;  /* the images that go through the layers now */
    float **maps;         /* [layers] of these images, or NULL */
    const float **inputs; /* the maps that the step reads, */
    float **converted;    /* and those that had to be converted for it, or NULL */
    gc_arena arena;       /* of the maps that are not kept, and of scratch memory */
} forward_pass;

static void free_pass(forward_pass *p)
{
    gc_schedule_free(&p->schedule);
    gc_free(p->maps);
    gc_free(p->inputs);
    gc_free(p->converted);
    gc_arena_end(&p->arena);
}

/* 0: no memory. */
static int make_pass(forward_pass *p)
{
    const gc_network *network = p->tape->network;
    const size_t max_inputs = gc_max_inputs(network);
    p->maps = gc_alloc_zeroed(network->count, sizeof *p->maps);
    p->inputs = gc_alloc_zeroed(max_inputs, sizeof *p->inputs);
    p->converted = gc_alloc_zeroed(max_inputs, sizeof *p->converted);
    return gc_schedule_forward(&p->schedule, gc_engine_now(), p->tape, p->start)
           && p->maps != NULL && p->inputs != NULL && p->converted != NULL;
}

/* ---- The tape's memory -------------------------------------------------------------------- */

/* Floats of the kept map of one image; 0 if it is not kept. */
static size_t kept_floats(const forward_pass *p, size_t layer)
{
    return p->tape->kept[layer] ? gc_map_floats(p->tape->shapes[layer],
                                                p->tape->layouts[layer].writes, p->schedule.engine)
                                : 0;
}

/* Bytes of all kept maps and records; SIZE_MAX if they cannot be counted. */
static size_t tape_bytes(const forward_pass *p)
{
    size_t sum = 0;
    for (size_t i = 0; i < p->tape->network->count; i++) {
        const size_t map = kept_floats(p, i) * p->tape->batch * sizeof(float);
        const size_t record = p->tape->record_bytes[i] * p->tape->batch;
        if (map > SIZE_MAX - sum || record > SIZE_MAX - sum - map)
            return SIZE_MAX;
        sum += map + record;
    }
    return sum;
}

/* 0: no memory. */
static int allocate_tape(const forward_pass *p)
{
    gc_tape *tape = p->tape;
    for (size_t i = 0; i < tape->network->count; i++) {
        const size_t map = kept_floats(p, i) * tape->batch * sizeof(float);
        const size_t record = tape->record_bytes[i] * tape->batch;
        if ((map > 0 && (tape->maps[i] = gc_alloc(map)) == NULL)
            || (record > 0 && (tape->records[i] = gc_alloc(record)) == NULL))
            return 0;
    }
    return 1;
}

/* ---- Steps -------------------------------------------------------------------------------- */

/* Memory for a map of the images that go through the layers now. */
static float *take_map(forward_pass *p, size_t layer, gc_layout layout)
{
    return gc_arena_take(&p->arena, p->count * sizeof(float)
                                        * gc_map_floats(p->tape->shapes[layer], layout,
                                                        p->schedule.engine));
}

/* Floats from one image of a map to the next, as it is written. */
static size_t stride_of(const forward_pass *p, size_t layer)
{
    const size_t home = p->schedule.places.home[layer];
    return gc_map_floats(p->tape->shapes[home], p->tape->layouts[home].writes, p->schedule.engine);
}

/* Give a map that is about to be written its place. In the planning run, a part has the address of
 * the whole. */
static void place_map(forward_pass *p, size_t layer)
{
    const size_t home = p->schedule.places.home[layer];
    if (p->maps[home] == NULL)
        p->maps[home] = take_map(p, home, p->tape->layouts[home].writes);
    if (home != layer)
        p->maps[layer] =
            p->maps[home] + (p->arena.planning ? 0 : p->schedule.places.offset[layer]);
}

/* The maps that a layer reads, in its layout; NULL: an input that is in its output already. */
static void gather_inputs(forward_pass *p, size_t number)
{
    const gc_tape *tape = p->tape;
    const gc_layer *layer = &tape->network->layers[number];
    size_t first = 0; /* channel of the input, in a concatenation */
    for (size_t k = 0; k < layer->input_count; first += tape->in[number][k++].channels) {
        const size_t input = layer->inputs[k];
        const gc_layout reads = gc_tape_reads(tape, number, k);
        const gc_layout given = tape->layouts[input].writes;
        p->converted[k] = NULL;
        p->inputs[k] = gc_is_there(&p->schedule, number, k, first) ? NULL : p->maps[input];
        if (given == reads || p->inputs[k] == NULL)
            continue;
        p->converted[k] = take_map(p, input, reads);
        if (!p->arena.planning)
            gc_copy_maps(p->schedule.engine, p->count, tape->shapes[input], given, p->inputs[k],
                         reads, p->converted[k]);
        p->inputs[k] = p->converted[k];
    }
}

/* Give back the memory of a map, and of all that are parts of it, if no later step reads any. */
static void release_map(forward_pass *p, size_t layer, size_t step)
{
    const size_t home = p->schedule.places.home[layer];
    if (p->schedule.last_reader[home] != step)
        return;
    gc_arena_give(&p->arena, p->maps[home]);
    p->maps[home] = NULL;
}

/* Give back the memory of what a step read, if no later one reads it. */
static void release_inputs(forward_pass *p, size_t number)
{
    const gc_step *step = &p->schedule.steps[number];
    const gc_layer *layer = &p->tape->network->layers[step->first];
    for (size_t k = 0; k < layer->input_count; k++) {
        gc_arena_give(&p->arena, p->converted[k]);
        release_map(p, layer->inputs[k], number);
    }
    if (step->sum != 0)
        release_map(p, step->added, number);
}

/* A step whose output is there before. */
static void run_in_place(forward_pass *p, size_t number)
{
    const size_t layer = p->schedule.steps[number].layer;
    const gc_layer *of = &p->tape->network->layers[layer];
    if (of->type->identity) {
        p->maps[layer] = p->maps[of->inputs[0]];
        p->maps[of->inputs[0]] = NULL;
        return;
    }
    place_map(p, layer);
    for (size_t k = 0; k < of->input_count; k++)
        release_map(p, of->inputs[k], number);
}

static void run_step(forward_pass *p, size_t number)
{
    const gc_step *step = &p->schedule.steps[number];
    const gc_tape *tape = p->tape;
    const gc_layer *layer = &tape->network->layers[step->layer];
    if (step->in_place) {
        run_in_place(p, number);
        return;
    }
    gather_inputs(p, step->first);
    place_map(p, step->last);
    void *scratch = gc_arena_take(&p->arena, step->scratch_bytes);
    gc_fused fused = gc_step_fused(&p->schedule, step, p->first);
    fused.add = step->sum != 0 ? p->maps[step->added] : NULL;
    if (!p->arena.planning)
        layer->type->forward(layer, &(gc_forward_step){
                                        .engine = p->schedule.engine,
                                        .count = p->count,
                                        .in = tape->in[step->layer],
                                        .out = tape->shapes[step->layer],
                                        .layouts = tape->layouts[step->layer],
                                        .x = p->inputs,
                                        .y = p->maps[step->last],
                                        .x_stride = p->converted[0] == NULL
                                                        ? stride_of(p, layer->inputs[0])
                                                        : 0,
                                        .y_stride = stride_of(p, step->last),
                                        .record = gc_tape_record(tape, step->layer, p->first),
                                        .fused = fused,
                                        .scratch = scratch,
                                    });
    gc_arena_give(&p->arena, scratch);
    release_inputs(p, number);
}

/* A kept map of the images that go through the layers now; NULL if it is not kept. In the planning
 * run, in which the tape has no maps, any address that is not NULL. */
static float *kept_map(const forward_pass *p, size_t layer)
{
    const size_t floats = kept_floats(p, layer);
    if (floats == 0)
        return NULL;
    return p->arena.planning ? (float *)p->input : p->tape->maps[layer] + p->first * floats;
}

/* All steps, in the planning run or the real run, for images first .. first + count. Every map that
 * is not kept has been given back then, unless the call is to end early. */
static void run_steps(forward_pass *p)
{
    const gc_schedule *s = &p->schedule;
    for (size_t i = 0; i < p->tape->network->count; i++)
        p->maps[i] = kept_map(p, i);
    p->maps[p->start] =
        (float *)p->input + p->first * gc_values(p->tape->shapes[p->start]);
    double cost = 0.0; /* of the steps before */
    for (size_t n = 0; n < s->step_count; n++) {
        if (!p->arena.planning)
            gc_set_share(((double)p->first + (double)p->count * cost / s->cost)
                         / (double)p->tape->batch);
        if (gc_should_stop())
            return;
        cost += s->steps[n].cost;
        const double before = gc_seconds();
        run_step(p, n);
        if (!p->arena.planning)
            p->tape->seconds[s->steps[n].layer] += gc_seconds() - before;
    }
}

/* ---- The pass ----------------------------------------------------------------------------- */

/* Run every layer that is needed; shapes and flags are set. All the memory that this takes is
 * counted before any is written. */
static gc_status run_pass(gc_tape *tape, size_t start, const float *input, gc_error *error)
{
    forward_pass p = {.tape = tape, .start = start, .input = input, .arena = gc_arena_begin()};
    size_t kept = 0;
    int done = make_pass(&p);
    tape->kernels = p.schedule.engine.kernels;
    p.count = p.schedule.at_a_time;
    if (done) {
        run_steps(&p);
        kept = tape_bytes(&p);
        done = !gc_stopped() && gc_arena_allocate(&p.arena, kept) && allocate_tape(&p)
               && gc_schedule_prepare(&p.schedule);
    }
    for (; done && p.first < tape->batch && !gc_stopped(); p.first += p.count) {
        p.count = gc_min(tape->batch - p.first, p.schedule.at_a_time);
        gc_arena_restart(&p.arena);
        run_steps(&p);
    }
    if (done && tape->maps[start] != NULL)
        gc_copy_floats(p.schedule.engine, tape->batch * gc_values(tape->shapes[start]), input,
                       tape->maps[start]);
    const uint64_t needed = (uint64_t)p.arena.bytes + kept;
    free_pass(&p);
    if (gc_stopped())
        return gc_fail_interrupted(error);
    return done ? GC_OK
                : gc_fail_memory(error, needed, "the maps of %zu pictures of %zu x %zu",
                                 tape->batch, tape->shapes[0].height, tape->shapes[0].width);
}

static int is_kept(const unsigned char *keep, size_t layer, size_t until)
{
    return layer == until || (keep != NULL && keep[layer]);
}

/* Set the flags tape->computed of the layers that feed `until`, `start` or a layer to be kept,
 * these included; and tape->kept. */
static gc_status mark_layers(gc_tape *tape, size_t start, const unsigned char *keep, size_t until,
                             gc_error *error)
{
    const gc_network *network = tape->network;
    for (size_t i = 0; i < network->count; i++)
        tape->computed[i] = tape->kept[i] = is_kept(keep, i, until) != 0;
    gc_mark_feeding(network, tape->computed);
    for (size_t i = start + 1; i < network->count; i++)
        for (size_t k = 0; tape->computed[i] && k < network->layers[i].input_count; k++)
            if (network->layers[i].inputs[k] < start)
                return gc_fail(error, GC_BAD_ARGUMENT,
                               "layer %zu cannot be computed: it reads layer %zu, which is not "
                               "fed by layer %zu, where the pass starts",
                               i, network->layers[i].inputs[k], start);
    tape->computed[start] = 1;
    gc_mark_feeding(network, tape->computed);
    return GC_OK;
}

static gc_status check_arguments(const gc_network *network, size_t start, size_t batch,
                                 const unsigned char *keep, size_t until, gc_error *error)
{
    if (batch == 0 || batch > GC_MAX_POSITIONS)
        return gc_fail(error, GC_BAD_ARGUMENT, "a batch needs 1 to %zu pictures, not %zu",
                       GC_MAX_POSITIONS, batch);
    gc_status status = gc_check_layer(network, start, error);
    if (status == GC_OK)
        status = gc_check_layer(network, until, error);
    for (size_t i = 0; i < start && status == GC_OK; i++)
        if (is_kept(keep, i, until))
            status = gc_fail(error, GC_BAD_ARGUMENT,
                             "layer %zu cannot be computed: it is below layer %zu, where the "
                             "pass starts",
                             i, start);
    return status;
}

gc_status gc_forward(const gc_network *network, size_t start, const float *input, size_t batch,
                     size_t height, size_t width, const unsigned char *keep, size_t until,
                     int record, gc_tape **tape, gc_error *error)
{
    gc_status status = check_arguments(network, start, batch, keep, until, error);
    if (status != GC_OK)
        return status;
    gc_tape *made = gc_tape_new(network, batch, record);
    if (made == NULL)
        return gc_fail(error, GC_NO_MEMORY, "no memory for a tape");
    status = mark_layers(made, start, keep, until, error);
    if (status == GC_OK)
        status = gc_infer_shapes(network, batch, height, width, made->computed, made->shapes,
                                 error);
    gc_tape_set_inputs(made);
    memset(made->computed, 0, start); /* of the layers below, only shapes are needed */
    if (status == GC_OK)
        status = run_pass(made, start, input, error);
    if (status != GC_OK) {
        gc_tape_free(made);
        return status;
    }
    *tape = made;
    return GC_OK;
}
