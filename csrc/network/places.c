/* places.c: which maps are parts of other maps, and where in these they are. */
#include "network/places.h"

#include "base/memory.h"
#include "layers/blocked.h"

gc_places gc_places_new(size_t count)
{
    gc_places places = {.home = gc_alloc_zeroed(count, sizeof *places.home),
                        .offset = gc_alloc_zeroed(count, sizeof *places.offset),
                        .ready = gc_alloc_zeroed(count, sizeof *places.ready)};
    if (places.home == NULL || places.offset == NULL || places.ready == NULL)
        gc_places_free(&places);
    for (size_t i = 0; places.home != NULL && i < count; i++)
        places.home[i] = i;
    return places;
}

void gc_places_free(gc_places *places)
{
    gc_free(places->home);
    gc_free(places->offset);
    gc_free(places->ready);
    *places = (gc_places){NULL, NULL, NULL};
}

static const gc_layer *layer_of(const gc_schedule *s, size_t number)
{
    return &s->tape->network->layers[number];
}

/* Whether a layer of this type runs and reads and writes blocked maps. */
static int is_blocked(const gc_schedule *s, size_t number, const gc_layer_type *type)
{
    const gc_layouts layouts = s->tape->layouts[number];
    return s->active[number] && layer_of(s, number)->type == type && layouts.reads == GC_BLOCKED
           && layouts.writes == GC_BLOCKED;
}

static int is_free(const gc_schedule *s, size_t number)
{
    return s->active[number] && !s->held[number] && s->places.home[number] == number;
}

/* ---- Slices ------------------------------------------------------------------------------- */

/* Whether a slice is whole blocks of its input; *offset: where its map is in the input's memory. */
static int is_part_of_input(const gc_schedule *s, size_t slice, size_t *offset)
{
    const gc_shape in = s->tape->in[slice][0];
    const gc_layer *layer = layer_of(s, slice);
    const size_t first = layer->range[0], input = layer->inputs[0];
    if (!is_blocked(s, slice, &gc_slice_layer) || s->tape->layouts[input].writes != GC_BLOCKED
        || !gc_are_whole_blocks(first, layer->range[1] - first, in.channels, s->engine))
        return 0;
    *offset = s->places.offset[input]
              + gc_map_floats((gc_shape){first, in.height, in.width, in.flat}, GC_BLOCKED,
                              s->engine);
    return 1;
}

static void place_slice(gc_schedule *s, size_t slice)
{
    size_t offset;
    if (!is_free(s, slice) || !is_part_of_input(s, slice, &offset))
        return;
    s->places.home[slice] = s->places.home[layer_of(s, slice)->inputs[0]];
    s->places.offset[slice] = offset;
}

/* ---- Concatenations ----------------------------------------------------------------------- */

/* Let the inputs of a concatenation be written into its memory. */
static void place_inputs(gc_schedule *s, size_t number)
{
    const gc_layer *layer = layer_of(s, number);
    size_t first = 0, offset;
    for (size_t k = 0; k < layer->input_count; k++) {
        const size_t input = layer->inputs[k];
        if (is_free(s, input) && gc_is_part(s->tape, number, k, first, s->engine, &offset)) {
            s->places.home[input] = s->places.home[number];
            s->places.offset[input] = s->places.offset[number] + offset;
        }
        first += s->tape->in[number][k].channels;
    }
}

/* Whether the inputs of a concatenation are the first inputs of another one, and its map, in whole
 * blocks, the beginning of the other's. */
static int is_beginning(const gc_schedule *s, size_t number, size_t other)
{
    const gc_layer *a = layer_of(s, number), *b = layer_of(s, other);
    if (a->input_count > b->input_count
        || !gc_are_whole_blocks(0, s->tape->shapes[number].channels,
                                s->tape->shapes[other].channels, s->engine))
        return 0;
    for (size_t k = 0; k < a->input_count; k++)
        if (a->inputs[k] != b->inputs[k])
            return 0;
    return 1;
}

/* Set the flags of the layers whose map a layer reads that cannot read a part of larger maps. */
static void find_contiguous(const gc_schedule *s, unsigned char *contiguous)
{
    for (size_t i = 0; i < s->tape->network->count && s->at_a_time > 1; i++) {
        const gc_layer *layer = layer_of(s, i);
        const int strided = layer->type->strided && s->tape->layouts[i].reads == GC_BLOCKED;
        for (size_t k = 0; s->active[i] && !strided && k < layer->input_count; k++)
            contiguous[layer->inputs[k]] = 1;
    }
}

/* Decide the place of a concatenation of which all that are after it are decided. longest[i]: the
 * first of these, in reverse, whose first input is layer i, or 0. */
static void place_concatenation(gc_schedule *s, size_t number, const unsigned char *contiguous,
                                size_t *longest)
{
    const size_t first = layer_of(s, number)->inputs[0], other = longest[first];
    if (other != 0 && is_free(s, number) && !contiguous[number] && is_beginning(s, number, other)) {
        s->places.home[number] = s->places.home[other];
        s->places.offset[number] = s->places.offset[other];
        s->places.ready[number] = other; /* until all are placed */
        return;
    }
    longest[first] = number;
    s->places.ready[number] = number;
    if (s->at_a_time == 1)
        place_inputs(s, number);
}

/* Concatenations in one memory: each has the inputs that those before it have. */
static void find_ready(gc_schedule *s, size_t *filled)
{
    for (size_t i = 0; i < s->tape->network->count; i++) {
        const size_t other = s->places.ready[i];
        if (other == 0)
            continue;
        const size_t count = layer_of(s, i)->input_count;
        s->places.ready[i] = gc_min(filled[other], count);
        filled[other] = filled[other] > count ? filled[other] : count;
    }
}

int gc_place_maps(gc_schedule *s, size_t start)
{
    const size_t count = s->tape->network->count;
    unsigned char *contiguous = gc_alloc_zeroed(count, sizeof *contiguous);
    size_t *longest = gc_alloc_zeroed(count, sizeof *longest);
    size_t *filled = gc_alloc_zeroed(count, sizeof *filled);
    const int done = contiguous != NULL && longest != NULL && filled != NULL;
    if (done) {
        find_contiguous(s, contiguous);
        for (size_t i = count; i-- > start + 1;)
            if (is_blocked(s, i, &gc_concatenation_layer))
                place_concatenation(s, i, contiguous, longest);
        find_ready(s, filled);
        for (size_t i = start + 1; i < count && s->at_a_time == 1; i++)
            place_slice(s, i);
    }
    gc_free(contiguous);
    gc_free(longest);
    gc_free(filled);
    return done;
}

/* ---- Questions ---------------------------------------------------------------------------- */

int gc_is_there(const gc_schedule *s, size_t layer, size_t k, size_t first)
{
    const gc_places *p = &s->places;
    const size_t input = layer_of(s, layer)->inputs[k];
    size_t offset;
    return k < p->ready[layer]
           || (p->home[input] != input && p->home[input] == p->home[layer]
               && gc_is_part(s->tape, layer, k, first, s->engine, &offset)
               && p->offset[input] == p->offset[layer] + offset);
}

int gc_is_in_place(const gc_schedule *s, size_t layer)
{
    const gc_places *p = &s->places;
    size_t offset;
    if (layer_of(s, layer)->type == &gc_concatenation_layer)
        return gc_count_copied(s, layer) == 0;
    return layer_of(s, layer)->type == &gc_slice_layer && p->home[layer] != layer
           && p->home[layer] == p->home[layer_of(s, layer)->inputs[0]]
           && is_part_of_input(s, layer, &offset) && p->offset[layer] == offset;
}

size_t gc_count_copied(const gc_schedule *s, size_t layer)
{
    size_t copied = 0, first = 0;
    if (layer_of(s, layer)->type == &gc_slice_layer)
        return !gc_is_in_place(s, layer);
    if (layer_of(s, layer)->type != &gc_concatenation_layer)
        return 0;
    for (size_t k = 0; k < layer_of(s, layer)->input_count; k++) {
        copied += !gc_is_there(s, layer, k, first);
        first += s->tape->in[layer][k].channels;
    }
    return copied;
}
