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
    int recorded;            /* whether there are records, so that a backward pass can start */
    unsigned char *computed; /* [count of layers] flags */
    unsigned char *kept;     /* [count] flags of the computed layers whose activation is kept */
    gc_shape *shapes;        /* [count]; valid where computed, as is what follows */
    gc_shape **in;           /* [count] the shapes of each layer's inputs, */
    gc_shape *in_shapes;     /* and the memory of all of these */
    gc_layouts *layouts;     /* [count] */
    float **maps;            /* [count] the activations that are kept, else NULL */
    void **records;          /* [count] what layers recorded for the backward pass, or NULL */
    size_t *record_bytes;    /* [count] of one image's record, if records are written */
    size_t *copied;          /* [count] of layers that move whole channels: inputs that the forward
                              * pass copied */
    double *seconds;         /* [count] of each layer; 0 where another layer's step ran it */
};

/* ---- graph.c ------------------------------------------------------------------------------ */

/* Shapes of the layers whose flag in `needed` is set (NULL: all), for pictures of height x
 * width. Also checks that no map has more values than can be addressed for `batch` images. */
gc_status gc_infer_shapes(const gc_network *network, size_t batch, size_t height, size_t width,
                          const unsigned char *needed, gc_shape *shapes, gc_error *error);

/* GC_BAD_ARGUMENT if there is no such layer. */
gc_status gc_check_layer(const gc_network *network, size_t layer, gc_error *error);

/* Set the flag of every layer that feeds one whose flag is set. */
void gc_mark_feeding(const gc_network *network, unsigned char *flags);

/* Set the flag of every layer that is fed by one whose flag is set. */
void gc_mark_fed(const gc_network *network, unsigned char *flags);

/* The layers that read a map: how many, and the first and the last of them (0: none). */
typedef struct gc_readers {
    size_t count, first, last;
} gc_readers;

/* For each layer its readers among the layers whose flag is set, into readers[count]. A layer that
 * reads a map twice counts twice. */
void gc_find_readers(const gc_network *network, const unsigned char *flags, gc_readers *readers);

/* The largest number of inputs of any layer; 1 or more. */
size_t gc_max_inputs(const gc_network *network);

/* ---- tape.c ------------------------------------------------------------------------------- */

/* A tape for all layers, with nothing computed or kept; NULL: no memory. */
gc_tape *gc_tape_new(const gc_network *network, size_t batch, int record);

/* The layout in which a layer reads its input number k. */
gc_layout gc_tape_reads(const gc_tape *tape, size_t layer, size_t k);

/* Fill in the shapes of inputs from tape->shapes. */
void gc_tape_set_inputs(gc_tape *tape);

/* The level of the tape and the present number of threads, for one pass over it. */
gc_engine gc_tape_engine(const gc_tape *tape);

/* The record of a layer for this image and those after it; NULL if it has none. */
void *gc_tape_record(const gc_tape *tape, size_t layer, size_t image);

/* Whether input number k of a concatenation, whose channels begin at channel `first` of the output,
 * is whole blocks of the output's blocked maps. Then it, or its gradient, can be a part of the
 * output's memory; *offset: where, in floats from the start of each image. */
int gc_is_part(const gc_tape *tape, size_t layer, size_t k, size_t first, gc_engine engine,
               size_t *offset);

/* The question about the sizes of one layer of a pass. */
gc_layer_query gc_tape_query(const gc_tape *tape, size_t layer, gc_engine engine);

#endif
