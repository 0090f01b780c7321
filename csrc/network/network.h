/* network.h: the two objects from inside. */
#ifndef GC_NETWORK_NETWORK_H
#define GC_NETWORK_NETWORK_H

#include "layers/layer.h"

struct gc_network {
    size_t count, capacity;
    gc_layer *layers; /* [count], in topological order; layers[0] is the input */
    size_t channels;  /* of the input */
};

struct gc_tape {
    const gc_network *network;
    const gc_kernels *kernels; /* the level that ran: maps and records are in its layouts */
    size_t batch;
    int recorded;            /* whether there are records, so that a way back can start */
    unsigned char *computed; /* [count of layers] flags */
    gc_shape *shapes;        /* [count]; valid where computed, as is what follows */
    gc_layouts *layouts;     /* [count] */
    float **maps;            /* [count] the activations that are kept, else NULL */
    void **records;          /* [count] what layers wrote for the way back, or NULL */
    double *seconds;         /* [count] that each layer took; 0 where another ran it */
};

/* Shapes of the layers whose flag in `needed` is set (NULL: all), for pictures of height x
 * width. Also checks that no map has more values than can be addressed for `batch` images. */
gc_status gc_infer_shapes(const gc_network *network, size_t batch, size_t height, size_t width,
                          const unsigned char *needed, gc_shape *shapes, gc_error *error);

/* GC_BAD_ARGUMENT if there is no such layer. */
gc_status gc_check_layer(const gc_network *network, size_t layer, gc_error *error);

/* Set the flag of every layer that feeds one whose flag is set. */
void gc_mark_feeding(const gc_network *network, unsigned char *flags);

/* The active level and the threads there are, for one pass. */
gc_engine gc_engine_now(void);

/* The shapes of a layer's inputs, gathered into in[input_count]. */
void gc_input_shapes(const gc_layer *layer, const gc_shape *shapes, gc_shape *in);

/* Of any layer; 1 or more. */
size_t gc_most_inputs(const gc_network *network);

/* How many images, or gradients, go through the layers at a time (`computed`: flags of the layers
 * whose maps count): so many that the fully connected weights serve several, so few that their
 * maps stay in a memory that the next pass finds again. 1 or more. */
size_t gc_most_at_a_time(const gc_tape *tape, const unsigned char *computed, gc_engine engine);

/* About how long a layer takes, in multiplications of one image: for the share that is done. */
double gc_layer_cost(const gc_tape *tape, size_t layer);

/* Bytes that a layer records for one image. */
size_t gc_record_bytes(const gc_tape *tape, size_t layer, gc_engine engine, gc_shape *in);

/* What a layer fuses; GC_FUSES_NOTHING for those that have nothing to say. */
gc_fusion gc_fuses(const gc_layer *layer, gc_engine engine);

#endif
