/* schedule.h: the steps of a pass, decided before it begins.
 *
 * A step is one call of a layer's forward or backward function. The function may also run
 * neighbours of its layer. All layers of a step form a chain, in which nothing else needs the map,
 * or its gradient, between two of them:
 *
 *     forward    [streamed, ReLU,] layer [, sum] [, ReLU [, max pooling]]
 *     backward   [ReLU, [max pooling,]] layer [, ReLU, streamed]       run from right to left
 *
 * The neighbours that run while the values are in registers are fused. A streamed layer, see
 * gc_streamed, and the ReLU beside it are computed a few rows at a time. `first` and `last` are the
 * ends of the chain. Forward, a step reads the inputs of `first`, and the other input of a fused
 * sum, and writes the output of `last`; backward, it reads the gradient of the output of `last` and
 * writes the gradients of the inputs of `first`. */
#ifndef GC_NETWORK_SCHEDULE_H
#define GC_NETWORK_SCHEDULE_H

#include "network/network.h"

typedef struct gc_step {
    size_t layer;         /* whose function is called */
    size_t first, last;
    size_t sum, relu, pool; /* the fused layers, or 0 */
    size_t added;         /* forward: the layer whose map a fused sum adds, or 0 */
    size_t streamed;      /* the streamed layer, or 0 */
    int in_place;         /* forward: the output is there already, and nothing is called;
                           * backward: the input's gradient is written over that of the output */
    int zeros_are_masked; /* backward: as in gc_backward_step */
    int adds;             /* backward: the gradient of the layer's input so far is added */
    int is_end;           /* backward: no input needs a gradient, and nothing is called */
    int relevance;        /* backward: gc_relevance_run is called, */
    int passes;           /* or the gradient, or relevance, of each input is that of the output */
    size_t scratch_bytes;
    double cost;          /* of one image */
} gc_step;

/* Where maps are: see places.h. */
typedef struct gc_places {
    size_t *home;   /* [layers] the layer of whose memory the map is a part; itself: of no other */
    size_t *offset; /* [layers] floats to it, in each image */
    size_t *ready;  /* [layers] of a concatenation: how many of its first inputs another one put
                     * there before */
} gc_places;

typedef struct gc_schedule {
    gc_engine engine;
    const gc_tape *tape;
    int backward;
    const gc_rule *rules;  /* backward: [rule_count] one for all layers, or one for each */
    size_t rule_count;
    unsigned char *active; /* [layers] flags of those that take part */
    unsigned char *held;   /* [layers] flags of maps, or gradients, that belong to the caller */
    gc_readers *readers;   /* [layers] among the active ones */
    unsigned char *placed; /* [layers] flags of those that a step of another layer runs */
    size_t *streamed;      /* [layers] the layer that this one streams, or 0 */
    size_t *last_reader;   /* [layers] forward: the number of the last step that reads the map;
                            * GC_NO_STEP if none does, or the map is held. Of maps in one memory,
                            * the layer whose memory it is has the last step that reads any */
    gc_places places;      /* forward: see places.h */
    gc_step *steps;        /* [step_count] in the order in which they run */
    size_t step_count;
    size_t at_a_time;      /* images, or gradients, that go through all steps together */
    double cost;           /* of all steps, for one image */
} gc_schedule;

#define GC_NO_STEP SIZE_MAX

/* The schedule of a forward pass from the layer `start`. Needs tape->computed, kept, shapes and in;
 * sets tape->layouts and record_bytes. 0: no memory; to be freed in any case. */
int gc_schedule_forward(gc_schedule *schedule, gc_engine engine, gc_tape *tape, size_t start);

/* The schedule of a backward pass of `sets` gradients for each image, from the layer `seed` to the
 * layers wanted, under one rule or one for each layer. 0: no memory; to be freed in any case. */
int gc_schedule_backward(gc_schedule *schedule, gc_engine engine, const gc_tape *tape,
                         const gc_rule *rules, size_t rule_count, size_t seed,
                         const size_t *wanted, size_t wanted_count, size_t sets);
/* The rule of a layer in a backward pass. */
const gc_rule *gc_schedule_rule(const gc_schedule *schedule, size_t layer);
void gc_schedule_free(gc_schedule *schedule);

/* Let all layers make what they need besides scratch memory. 0: no memory, or the call is to end
 * early. */
int gc_schedule_prepare(const gc_schedule *schedule);

/* The neighbours that run in a step, with their records of this image and those after it. */
gc_fused gc_step_fused(const gc_schedule *schedule, const gc_step *step, size_t image);

#endif
