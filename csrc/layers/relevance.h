/* relevance.h: a layer's backward step under a rule of relevance; see gc_rule. */
#ifndef GC_LAYERS_RELEVANCE_H
#define GC_LAYERS_RELEVANCE_H

#include "layers/rules.h"

typedef struct gc_relevance_step {
    gc_engine engine;
    const gc_rule *rule;
    size_t count, images;   /* relevance i belongs to image i % images */
    const gc_shape *in;     /* [input_count] */
    gc_shape out;
    gc_layouts layouts;
    const float *const *x;  /* [input_count] the inputs of `images` images, as the layer reads them;
                             * NULL where gc_relevance_reads says that they are not read */
    const float *from;      /* R of the output */
    float *const *to;       /* [input_count] R of the inputs, to be written; NULL if not needed */
    int gates[2];           /* of a product: whether an input is the output of a sigmoid */
    void *scratch;
} gc_relevance_step;

/* Whether a layer has a step of its own: not one that moves R or passes it on as it is. */
int gc_relevance_runs(const gc_layer *layer);

/* Whether it reads its inputs. */
int gc_relevance_reads(const gc_layer *layer);

/* GC_BAD_ARGUMENT, naming layer `number`: it refuses the rule. */
gc_status gc_relevance_check(const gc_layer *layer, size_t number, const gc_shape *in,
                             const gc_rule *rule, gc_error *error);

/* Bytes of scratch memory for query->count relevances of at most so many images. */
size_t gc_relevance_scratch_bytes(const gc_layer_query *query, gc_layout reads,
                                  const gc_rule *rule, size_t images);

/* Make the transformed weights that it needs besides scratch memory: those of W itself, unless the
 * layer's own are Winograd's, which it does not use. 0: no memory, or the call is to end early. */
int gc_relevance_prepare(const gc_layer *layer, gc_engine engine, const gc_rule *rule);

/* Of layers for which gc_relevance_runs is true. */
void gc_relevance_run(const gc_layer *layer, const gc_relevance_step *step);

#endif
