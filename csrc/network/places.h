/* places.h: maps that are parts of another map's memory, so that concatenations and slices need not
 * copy them. Forward; of gradients, see backward.c.
 *
 * A blocked map [c / W][rows][columns][W] contains those of its channels that are whole blocks. So
 *  - a layer can write an input of a concatenation where the concatenation needs it;
 *  - of two concatenations, one whose inputs are the first inputs of the other is the beginning of
 *    the other's memory: in a dense block, all are parts of the last one's;
 *  - a slice can be a part of its input's memory.
 * With several images at a time, parts have gaps between images. Only some layers read such maps
 * (`strided` of gc_layer_type) and only concatenations write them, so then there is only the second
 * case: each concatenation copies the inputs that the ones before have not copied.
 *
 * A kept map has memory of its own, on the tape; it may contain others. */
#ifndef GC_NETWORK_PLACES_H
#define GC_NETWORK_PLACES_H

#include "network/schedule.h"

/* Where every map is in its own memory; home is NULL if there is no memory for the arrays. */
gc_places gc_places_new(size_t count);
void gc_places_free(gc_places *places);

/* Decide the places of the maps of a forward pass from the layer `start`. Layouts and at_a_time are
 * decided. 0: no memory. */
int gc_place_maps(gc_schedule *schedule, size_t start);

/* Whether input number k of a layer, in a concatenation's output from channel `first`, is in its
 * place there before the layer's step begins. */
int gc_is_there(const gc_schedule *schedule, size_t layer, size_t k, size_t first);

/* Whether a layer's output is complete before its step begins, because it is a part of its input's
 * memory, or all its inputs are in their places. */
int gc_is_in_place(const gc_schedule *schedule, size_t layer);

/* The number of inputs that a concatenation or a slice copies; 0 for other layers. */
size_t gc_count_copied(const gc_schedule *schedule, size_t layer);

#endif
