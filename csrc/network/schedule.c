/* schedule.c: which layers take part in a pass, the layouts of their maps, which layers run in one
 * step, and how many images go through the layers at a time. */
#include <string.h>

#include "base/memory.h"
#include "layers/blocked.h"
#include "layers/pool.h"
#include "layers/relevance.h"
#include "network/places.h"

static int allocate(gc_schedule *s)
{
    const size_t count = s->tape->network->count;
    s->active = gc_alloc_zeroed(count, sizeof *s->active);
    s->held = gc_alloc_zeroed(count, sizeof *s->held);
    s->readers = gc_alloc_zeroed(count, sizeof *s->readers);
    s->placed = gc_alloc_zeroed(count, sizeof *s->placed);
    s->streamed = gc_alloc_zeroed(count, sizeof *s->streamed);
    s->last_reader = gc_alloc_zeroed(count, sizeof *s->last_reader);
    s->places = gc_places_new(count);
    s->steps = gc_alloc_zeroed(count, sizeof *s->steps);
    return s->active != NULL && s->held != NULL && s->readers != NULL && s->placed != NULL
           && s->streamed != NULL && s->last_reader != NULL && s->places.home != NULL
           && s->steps != NULL;
}

void gc_schedule_free(gc_schedule *s)
{
    gc_free(s->active);
    gc_free(s->held);
    gc_free(s->readers);
    gc_free(s->placed);
    gc_free(s->streamed);
    gc_free(s->last_reader);
    gc_places_free(&s->places);
    gc_free(s->steps);
}

static const gc_layer *layer_of(const gc_schedule *s, size_t number)
{
    return &s->tape->network->layers[number];
}

static gc_layout layout_of(const gc_schedule *s, size_t number)
{
    return s->tape->layouts[number].writes;
}

static gc_layer_query query_of(const gc_schedule *s, size_t number)
{
    gc_layer_query query = gc_tape_query(s->tape, number, s->engine);
    query.count = s->at_a_time;
    query.backward = s->backward;
    return query;
}

/* ---- Both directions ---------------------------------------------------------------------- */

static unsigned fusion_of(const gc_schedule *s, size_t number)
{
    const gc_layer_query query = query_of(s, number);
    return query.layer->type->fuses == NULL ? 0 : query.layer->type->fuses(&query);
}

/* The shape of the maps that a streamed layer reads or, backward, writes. */
static gc_shape streamed_from(const gc_schedule *s, size_t streamed)
{
    return s->backward ? s->tape->shapes[streamed] : s->tape->in[streamed][0];
}

/* Bytes of scratch memory that a layer needs to stream another one; 0: it cannot. */
static size_t streaming_bytes(const gc_schedule *s, size_t number, size_t streamed)
{
    const gc_layer_query query = query_of(s, number);
    return streamed == 0 || query.layer->type->streaming_bytes == NULL
               ? 0
               : query.layer->type->streaming_bytes(&query, layer_of(s, streamed),
                                                    streamed_from(s, streamed));
}

/* Whether one layer alone needs a layer's map, or gives it a gradient. */
static int is_internal(const gc_schedule *s, size_t number)
{
    return !s->held[number] && s->readers[number].count == 1;
}

/* Whether a layer is 2x2 max pooling of blocked maps, which other layers can run. */
static int is_blocked_2x2(const gc_schedule *s, size_t number)
{
    return layout_of(s, number) == GC_BLOCKED
           && gc_pool_is_2x2(layer_of(s, number), s->tape->in[number]);
}

/* About how long a layer takes, in multiplications for one image. */
static double cost_of(const gc_schedule *s, size_t number)
{
    const gc_layer *layer = layer_of(s, number);
    const double values = (double)gc_values(s->tape->shapes[number]);
    if (layer->type == &gc_linear_layer)
        return values * (double)layer->linear.in;
    if (layer->type == &gc_conv_layer)
        return values
               * (double)(layer->conv.in_channels / layer->conv.groups * layer->conv.kernel[0]
                          * layer->conv.kernel[1]);
    return values;
}

/* Append a step whose layers are decided. */
static void append_step(gc_schedule *s, gc_step step)
{
    const gc_layer_query query = query_of(s, step.layer);
    const size_t layers[5] = {step.layer, step.sum, step.relu, step.pool, step.streamed};
    for (size_t i = 0; i < 5; i++) {
        if (i > 0 && layers[i] != 0)
            s->placed[layers[i]] = 1;
        step.cost += layers[i] == 0 ? 0.0 : cost_of(s, layers[i]);
    }
    if (step.relevance)
        step.scratch_bytes = gc_relevance_scratch_bytes(
            &query, gc_tape_reads(s->tape, step.layer, 0), gc_schedule_rule(s, step.layer),
            gc_min(query.count, s->tape->batch));
    else if (!step.is_end && query.layer->type->scratch_bytes != NULL)
        step.scratch_bytes = query.layer->type->scratch_bytes(&query);
    step.scratch_bytes += streaming_bytes(s, step.layer, step.streamed);
    s->cost += step.cost;
    s->steps[s->step_count++] = step;
}

/* Whether a layer reads its input in the layout in which it was written, without a copy. */
static int keeps_layout(const gc_schedule *s, size_t number)
{
    return layout_of(s, layer_of(s, number)->inputs[0]) == s->tape->layouts[number].reads;
}

/* The maximum size of all copies of the largest map, or gradient, that go through the layers at a
 * time, unless a single one is larger: eight of VGG-16's at the usual size. */
static const size_t MAX_BYTES = (size_t)112 << 20;

/* Whether a rule is one of relevance, whose steps need several copies of a map. */
static int has_relevance(const gc_schedule *s)
{
    for (size_t i = 0; i < s->rule_count; i++)
        if (gc_is_relevance(&s->rules[i]))
            return 1;
    return 0;
}

/* The maximum number of images, or gradients, that go through the layers at a time, 1 or more:
 * enough to read the weights of linear layers once for several, but so few that the next pass can
 * reuse the memory of their maps. */
static size_t max_at_a_time(const gc_schedule *s)
{
    size_t largest = 1;
    for (size_t i = 0; i < s->tape->network->count; i++) {
        const size_t floats =
            s->active[i] ? gc_map_floats(s->tape->shapes[i], layout_of(s, i), s->engine) : 0;
        largest = floats > largest ? floats : largest;
    }
    const size_t maximum = MAX_BYTES / sizeof(float) / largest / (has_relevance(s) ? 2 : 1);
    return maximum == 0 ? 1 : maximum;
}

int gc_schedule_prepare(const gc_schedule *s)
{
    for (size_t n = 0; n < s->step_count; n++) {
        const size_t layers[2] = {s->steps[n].layer, s->steps[n].streamed};
        if (s->steps[n].relevance
            && !gc_relevance_prepare(layer_of(s, layers[0]), s->engine,
                                     gc_schedule_rule(s, layers[0])))
            return 0;
        for (size_t i = 0; i < 2; i++) {
            const gc_layer *layer = layer_of(s, layers[i]);
            if (!s->steps[n].is_end && !s->steps[n].relevance && layer->type->prepare != NULL
                && !layer->type->prepare(layer, s->engine, s->backward))
                return 0;
        }
    }
    return 1;
}

gc_fused gc_step_fused(const gc_schedule *s, const gc_step *step, size_t image)
{
    const gc_tape *tape = s->tape;
    const size_t ends = !s->backward      ? step->last
                        : step->relu != 0 ? layer_of(s, step->relu)->inputs[0]
                                          : step->first;
    gc_fused fused = {.relu = step->relu != 0,
                      .pool = step->pool != 0,
                      .limit = layer_of(s, step->relu)->limit,
                      .bits = gc_tape_record(tape, step->relu, image),
                      .positions = gc_tape_record(tape, step->pool, image),
                      .shape = tape->shapes[ends]};
    if (step->streamed != 0) {
        const size_t relu = layer_of(s, s->backward ? step->streamed : step->layer)->inputs[0];
        fused.streamed =
            (gc_streamed){.layer = layer_of(s, step->streamed),
                          .from = streamed_from(s, step->streamed),
                          .limit = layer_of(s, relu)->limit,
                          .bits = gc_tape_record(tape, relu, image),
                          .positions = gc_tape_record(tape, step->streamed, image)};
    }
    return fused;
}

/* ---- Forward ------------------------------------------------------------------------------ */

/* The layout in which most values of a layer's inputs come. */
static gc_layout given_layout(const gc_schedule *s, const gc_layer_query *query)
{
    size_t values[2] = {0, 0};
    for (size_t k = 0; k < query->layer->input_count; k++)
        values[layout_of(s, query->layer->inputs[k])] += gc_values(query->in[k]);
    return values[GC_BLOCKED] >= values[GC_PLAIN] ? GC_BLOCKED : GC_PLAIN;
}

static void decide_layouts(gc_schedule *s, gc_tape *tape, size_t start)
{
    for (size_t i = start + 1; i < tape->network->count; i++) {
        const gc_layer_query query = query_of(s, i);
        if (s->active[i] && query.layer->type->layouts != NULL)
            tape->layouts[i] =
                query.layer->type->layouts(&query, given_layout(s, &query));
    }
}

static void decide_records(gc_schedule *s, gc_tape *tape, size_t start)
{
    for (size_t i = start + 1; i < tape->network->count; i++) {
        const gc_layer_query query = query_of(s, i);
        if (s->active[i] && tape->recorded && query.layer->type->record_bytes != NULL)
            tape->record_bytes[i] = query.layer->type->record_bytes(&query);
    }
}

/* The layer of this type that alone reads another one; or 0. */
static size_t only_reader(const gc_schedule *s, size_t number, const gc_layer_type *type)
{
    const size_t reader = s->readers[number].last;
    return is_internal(s, number) && layer_of(s, reader)->type == type ? reader : 0;
}

/* Fuse the sum of the layer's map and one that was computed before. */
static void fuse_sum(const gc_schedule *s, gc_step *step)
{
    const size_t sum = only_reader(s, step->layer, &gc_sum_layer);
    if (sum == 0 || layer_of(s, sum)->input_count != 2 || layout_of(s, step->layer) != GC_BLOCKED)
        return;
    const size_t *inputs = layer_of(s, sum)->inputs;
    const size_t added = inputs[inputs[0] == step->layer];
    if (added > step->layer || layout_of(s, added) != GC_BLOCKED || layout_of(s, sum) != GC_BLOCKED)
        return;
    step->sum = step->last = sum;
    step->added = added;
}

static gc_step forward_step(const gc_schedule *s, size_t number)
{
    gc_step step = {.layer = number, .last = number, .streamed = s->streamed[number]};
    const unsigned fusion = fusion_of(s, number);
    step.first = step.streamed != 0 ? step.streamed : number;
    if (fusion & GC_FUSES_SUM)
        fuse_sum(s, &step);
    if (fusion & GC_FUSES_RELU)
        step.relu = only_reader(s, step.last, &gc_relu_layer);
    if (step.relu != 0 && step.sum == 0 && fusion & GC_FUSES_POOL) {
        const size_t pool = only_reader(s, step.relu, &gc_max_pool_layer);
        if (pool != 0 && is_blocked_2x2(s, pool))
            step.pool = pool;
    }
    step.last = step.pool != 0 ? step.pool : step.relu != 0 ? step.relu : step.last;
    return step;
}

/* The convolution that can stream this step's layer, as the only reader of its ReLU; or 0. */
static size_t find_streaming(const gc_schedule *s, const gc_step *step)
{
    if (step->relu == 0 || step->sum != 0 || step->pool != 0 || step->streamed != 0)
        return 0;
    const size_t reader = only_reader(s, step->relu, &gc_conv_layer);
    return reader != 0 && streaming_bytes(s, reader, step->layer) > 0 ? reader : 0;
}

/* The memory of a map that contains others is needed until the last step that reads any of them. */
static void join_last_readers(gc_schedule *s)
{
    for (size_t i = 0; i < s->tape->network->count; i++) {
        const size_t home = s->places.home[i];
        if (home == i)
            continue;
        if (!s->held[home]
            && (s->last_reader[home] == GC_NO_STEP || s->last_reader[home] < s->last_reader[i]))
            s->last_reader[home] = s->last_reader[i];
        s->last_reader[i] = GC_NO_STEP;
    }
}

/* Find the last step that reads each map. An identity that is this step takes over the map. */
static void find_last_readers(gc_schedule *s)
{
    for (size_t i = 0; i < s->tape->network->count; i++)
        s->last_reader[i] = GC_NO_STEP;
    for (size_t n = 0; n < s->step_count; n++) {
        const gc_layer *first = layer_of(s, s->steps[n].first);
        for (size_t k = 0; k < first->input_count; k++)
            if (!s->held[first->inputs[k]])
                s->last_reader[first->inputs[k]] = n;
        if (s->steps[n].sum != 0 && !s->held[s->steps[n].added])
            s->last_reader[s->steps[n].added] = n;
    }
    join_last_readers(s);
    for (size_t n = 0; n < s->step_count; n++) {
        const size_t number = s->steps[n].layer;
        const gc_layer *layer = layer_of(s, number);
        s->steps[n].in_place =
            (layer->type->identity && s->last_reader[layer->inputs[0]] == n && !s->held[number]
             && keeps_layout(s, number) && s->places.home[number] == number)
            || gc_is_in_place(s, number);
    }
}

int gc_schedule_forward(gc_schedule *s, gc_engine engine, gc_tape *tape, size_t start)
{
    const gc_network *network = tape->network;
    *s = (gc_schedule){.engine = engine, .tape = tape};
    if (!allocate(s))
        return 0;
    memcpy(s->active, tape->computed, network->count);
    for (size_t i = 0; i < network->count; i++)
        s->held[i] = tape->kept[i] || i == start;
    gc_find_readers(network, s->active, s->readers);
    decide_layouts(s, tape, start);
    decide_records(s, tape, start);
    s->at_a_time = gc_even_share(tape->batch, max_at_a_time(s));
    for (size_t i = start + 1; i < network->count; i++) {
        if (!s->active[i] || s->placed[i])
            continue;
        const gc_step step = forward_step(s, i);
        const size_t streaming = find_streaming(s, &step);
        if (streaming != 0) {
            s->streamed[streaming] = i;
            s->placed[step.relu] = 1;
        } else {
            append_step(s, step);
        }
    }
    if (!gc_place_maps(s, start))
        return 0;
    for (size_t i = start + 1; i < network->count; i++)
        tape->copied[i] = gc_count_copied(s, i);
    find_last_readers(s);
    return 1;
}

/* ---- Backward ----------------------------------------------------------------------------- */

const gc_rule *gc_schedule_rule(const gc_schedule *s, size_t layer)
{
    return &s->rules[s->rule_count == 1 ? 0 : layer];
}

/* Whether layers can run in one step: no relevance is shared, and rectifiers have the same
 * masks. */
static int rules_agree(const gc_schedule *s, size_t a, size_t b)
{
    const gc_rule *one = gc_schedule_rule(s, a), *other = gc_schedule_rule(s, b);
    return !gc_is_relevance(one) && !gc_is_relevance(other)
           && one->row->masks == other->row->masks;
}

/* Mark the layers that feed the seed's layer, and are fed by, or are, a layer wanted. 0: no
 * memory. */
static int mark_active(gc_schedule *s, size_t seed)
{
    const gc_network *network = s->tape->network;
    unsigned char *feeds = gc_alloc_zeroed(network->count, sizeof *feeds);
    if (feeds == NULL)
        return 0;
    feeds[seed] = 1;
    gc_mark_feeding(network, feeds);
    memcpy(s->active, s->held, network->count); /* the layers wanted */
    gc_mark_fed(network, s->active);
    for (size_t i = 0; i < network->count; i++)
        s->active[i] = s->active[i] && feeds[i];
    gc_free(feeds);
    return 1;
}

static int has_active_input(const gc_schedule *s, size_t number)
{
    const gc_layer *layer = layer_of(s, number);
    for (size_t k = 0; k < layer->input_count; k++)
        if (s->active[layer->inputs[k]])
            return 1;
    return 0;
}

/* Let convolutions stream the max pooling after their ReLU. The gradient of the pooled maps is
 * then stored, not that of the larger maps before. */
static void find_streamed_poolings(gc_schedule *s)
{
    for (size_t i = 1; i < s->tape->network->count; i++) {
        const size_t relu =
            s->active[i] && has_active_input(s, i) ? only_reader(s, i, &gc_relu_layer) : 0;
        const size_t pool = relu != 0 ? only_reader(s, relu, &gc_max_pool_layer) : 0;
        if (pool != 0 && is_blocked_2x2(s, pool) && rules_agree(s, i, relu)
            && rules_agree(s, i, pool) && streaming_bytes(s, i, pool) > 0) {
            s->streamed[i] = pool;
            s->placed[relu] = s->placed[pool] = 1;
        }
    }
}

/* Whether a layer of this type can run in the step of the one that reads it. */
static int is_passed(const gc_schedule *s, size_t number, size_t reader, const gc_layer_type *type)
{
    const gc_layer *layer = layer_of(s, number);
    return s->active[number] && rules_agree(s, number, reader) && !s->placed[number]
           && layer->type == type && is_internal(s, number)
           && layout_of(s, number) == GC_BLOCKED && s->active[layer->inputs[0]];
}

/* Whether a ReLU's output has all its gradients when those of this layer are added. */
static int is_completed(const gc_schedule *s, size_t relu, size_t layer)
{
    return s->active[relu] && rules_agree(s, relu, layer) && !s->placed[relu] && !s->held[relu]
           && layer_of(s, relu)->type == &gc_relu_layer && s->readers[relu].first == layer
           && layout_of(s, relu) == GC_BLOCKED && s->active[layer_of(s, relu)->inputs[0]];
}

static void fuse_backward(const gc_schedule *s, gc_step *step, unsigned fusion)
{
    size_t relu = layer_of(s, step->layer)->inputs[0], pool = 0;
    if (fusion & GC_FUSES_POOL && is_passed(s, relu, step->layer, &gc_max_pool_layer)
        && is_blocked_2x2(s, relu)) {
        pool = relu;
        relu = layer_of(s, pool)->inputs[0];
    }
    step->adds = fusion & GC_FUSES_SUM && pool == 0 && keeps_layout(s, step->layer);
    if (fusion & GC_FUSES_RELU
        && (is_passed(s, relu, step->layer, &gc_relu_layer)
            || (step->adds && is_completed(s, relu, step->layer)))) {
        step->relu = step->first = relu;
        step->pool = pool;
    }
}

/* Whether a ReLU masks the gradients of a layer's inputs that are zero under its rule, and nothing
 * else needs them: the layers in between do not change values, or take maxima. Where their output
 * is zero, the inputs that get its gradient are zero, too. */
static int zeros_are_masked(const gc_schedule *s, size_t number)
{
    size_t below = layer_of(s, number)->inputs[0];
    while (s->active[below] && is_internal(s, below)) {
        const gc_layer_type *type = layer_of(s, below)->type;
        const gc_shape in = s->tape->in[below][0], out = s->tape->shapes[below];
        const int copies = type->identity
                           || (type == &gc_adaptive_average_pool_layer && in.height == out.height
                               && in.width == out.width);
        if (type == &gc_relu_layer)
            return (gc_schedule_rule(s, below)->row->masks & GC_MASK_INPUT) != 0;
        if (!copies && !gc_pool_is_max(layer_of(s, below)))
            return 0;
        below = layer_of(s, below)->inputs[0];
    }
    return 0;
}

static gc_step backward_step(const gc_schedule *s, size_t number)
{
    gc_step step = {.layer = number,
                    .first = number,
                    .last = s->streamed[number] != 0 ? s->streamed[number] : number,
                    .streamed = s->streamed[number],
                    .is_end = !has_active_input(s, number)};
    const gc_layer_type *type = layer_of(s, number)->type;
    const int relevance = gc_is_relevance(gc_schedule_rule(s, number));
    step.relevance = !step.is_end && relevance && gc_relevance_runs(layer_of(s, number));
    step.passes = relevance ? type->relevance == GC_PASSES : 0;
    step.passes |= type->backward == NULL && !step.relevance;
    if (step.is_end || step.relevance || step.passes)
        return step;
    step.in_place = type->backward_in_place && keeps_layout(s, number);
    step.zeros_are_masked =
        type == &gc_linear_layer && zeros_are_masked(s, number);
    fuse_backward(s, &step, fusion_of(s, number));
    return step;
}

int gc_schedule_backward(gc_schedule *s, gc_engine engine, const gc_tape *tape,
                         const gc_rule *rules, size_t rule_count, size_t seed,
                         const size_t *wanted, size_t wanted_count, size_t sets)
{
    *s = (gc_schedule){.engine = engine,
                       .tape = tape,
                       .backward = 1,
                       .rules = rules,
                       .rule_count = rule_count};
    if (!allocate(s))
        return 0;
    for (size_t w = 0; w < wanted_count; w++)
        s->held[wanted[w]] = 1;
    if (!mark_active(s, seed))
        return 0;
    gc_find_readers(tape->network, s->active, s->readers);
    find_streamed_poolings(s);
    /* Several whole sets of gradients at a time, or some of the images of one. */
    const size_t maximum = max_at_a_time(s), batch = tape->batch;
    s->at_a_time = maximum < batch ? gc_even_share(batch, maximum)
                                   : gc_even_share(sets, maximum / batch) * batch;
    for (size_t i = seed + 1; i-- > 0;)
        if (s->active[i] && !s->placed[i])
            append_step(s, backward_step(s, i));
    return 1;
}
