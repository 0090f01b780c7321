/* layer.h: what every kind of layer offers to the network.
 *
 * A layer is a function of shapes, its gradient with respect to its inputs, and two sizes:
 * what it writes on the tape for the way back (its record) and what it needs while it runs.
 * Layers check shapes; when forward and backward run, everything has been checked and
 * allocated, and nothing can fail.
 *
 * A map is plain, [n][c][h][w], or blocked, [n] times the gc_blocked of kernels.h. A layer says
 * in which of the two it reads its inputs and writes its output, and its record is in the layout
 * of its output; the network converts where a reader wants what the writer did not write. The
 * gradient of a map is in the map's layout. */
#ifndef GC_LAYERS_LAYER_H
#define GC_LAYERS_LAYER_H

#include <stdint.h>

#include "gradcam.h"
#include "kernels/kernels.h"

/* What a pass runs on, decided once when it begins. */
typedef struct gc_engine {
    const gc_kernels *kernels; /* the active level */
    size_t workers;            /* threads that may take part */
} gc_engine;

/* Sizes beyond these have no meaning here and would overflow index arithmetic or BLAS. */
#define GC_MAX_EXTENT ((size_t)1 << 20)         /* rows, columns, kernel, stride, ... */
#define GC_MAX_POSITIONS ((size_t)INT32_MAX)    /* of one map; channels; vector length */
#define GC_MAX_BYTES (SIZE_MAX >> 12)           /* of a batch's maps: blocked they fit too */

typedef enum gc_layout { GC_PLAIN, GC_BLOCKED } gc_layout;

typedef struct gc_layouts {
    gc_layout reads, writes;
} gc_layouts;

/* What else of its neighbours a layer can do in its own step: forward the ReLU behind it, and
 * 2x2 max pooling behind that; backward the same way back, for those before it. */
typedef enum gc_fusion { GC_FUSES_NOTHING, GC_FUSES_RELU, GC_FUSES_RELU_AND_POOL } gc_fusion;

typedef struct gc_layer gc_layer;
typedef struct gc_packs gc_packs; /* layers/pack.h */

/* Which of a layer's transformed weights. The variant: of a convolution's, the width of the
 * level's vectors; of sums, the positions of a channel; else 0. */
typedef struct gc_pack_id {
    gc_pack_kind kind;
    size_t variant;
} gc_pack_id;

/* A layer, and the ReLU behind it, that the only reader of the ReLU computes in its own step. */
typedef struct gc_drawn {
    const gc_layer *layer; /* NULL: there is none */
    gc_shape in;           /* of its input, which is the step's then */
    uint8_t *bits;         /* the ReLU's record, or NULL */
} gc_drawn;

/* The neighbours that run in a step. */
typedef struct gc_fused {
    int relu, pool;               /* whether they are there; no pool without ReLU */
    uint8_t *bits, *positions;    /* their records; forward NULL where nothing is recorded */
    gc_shape shape;               /* of the last one's output; backward, of the ReLU's input */
    gc_drawn drawn;               /* forward */
} gc_fused;

typedef struct gc_forward_step {
    gc_engine engine;
    size_t count;            /* images */
    const gc_shape *in;      /* [input_count] */
    gc_shape out;
    gc_layouts layouts;
    const float *const *x;   /* [input_count] maps of `count` images; of what is drawn, its */
    float *y;                /* of the last layer that is fused */
    void *record;            /* count * record_bytes, to be written; or NULL */
    gc_fused fused;
    void *scratch;
} gc_forward_step;

typedef struct gc_backward_step {
    gc_engine engine;
    size_t count;            /* gradients: sets * batch */
    size_t batch;            /* gradient i belongs to image i % batch of the record */
    const gc_shape *in;
    gc_shape out;
    gc_layouts layouts;
    gc_rule rule;
    const float *dy;
    float *const *dx;        /* [input_count], to be written; NULL where not wanted */
    const void *record;
    gc_fused fused;          /* then dx is the gradient of the ReLU's input */
    void *scratch;
} gc_backward_step;

typedef struct gc_layer_type {
    const char *name;
    /* The output is the input, value for value, in another shape at most. */
    int identity;
    /* dx may be dy: it has one input, and reads and writes one layout. */
    int backward_in_place;
    gc_status (*shape)(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                       gc_error *error);
    /* The layouts where the first input comes as `given`. NULL: plain ones. */
    gc_layouts (*layouts)(const gc_layer *layer, const gc_shape *in, gc_layout given,
                          gc_engine engine);
    gc_fusion (*fuses)(const gc_layer *layer, gc_engine engine); /* NULL: nothing */
    /* Bytes of scratch that it needs besides its own to draw from `source`, the only layer that
     * feeds it but for a ReLU; `in` is that layer's. 0: it cannot. May be NULL. */
    size_t (*drawing_bytes)(const gc_layer *layer, const gc_layer *source, gc_shape source_in,
                            gc_shape in, gc_engine engine);
    /* Bytes for one image. */
    size_t (*record_bytes)(const gc_layer *layer, const gc_shape *in, gc_shape out,
                           gc_layout writes, gc_engine engine);
    /* Bytes for `count` images, forward or backward; never more for fewer images. */
    size_t (*scratch_bytes)(const gc_layer *layer, const gc_shape *in, gc_shape out,
                            size_t count, int backward, gc_engine engine);
    /* Make what a direction needs besides scratch, at its first use; 0: no memory, or the call is
     * to end early. May be NULL. Several threads may call it at once. */
    int (*prepare)(const gc_layer *layer, gc_engine engine, int backward);
    /* Transformed weights; all three NULL: there are none of any kind. Their size, 0: none of this
     * kind; make them, aligned to 64 bytes; and whether a sample looks like those of this layer. */
    size_t (*pack_bytes)(const gc_layer *layer, gc_pack_id id, gc_engine engine);
    void (*make_pack)(const gc_layer *layer, gc_pack_id id, gc_engine engine, void *pack);
    int (*pack_fits)(const gc_layer *layer, gc_pack_id id, gc_engine engine, const void *pack);
    void (*forward)(const gc_layer *layer, const gc_forward_step *step);
    void (*backward)(const gc_layer *layer, const gc_backward_step *step);
} gc_layer_type;

struct gc_layer {
    const gc_layer_type *type;
    size_t input_count;
    size_t *inputs; /* numbers of layers, owned */
    const float *weight, *bias; /* the caller's, or NULL; scale and shift of an affine layer;
                                 * a linear layer's weight is below */
    gc_packs *packs; /* of a convolution or a linear layer, else NULL; owned */
    union {
        gc_conv conv;
        gc_pool pool;
        struct {
            size_t in, out;
            gc_storage storage;
            const void *weight; /* the caller's */
        } linear;
        size_t channels;     /* affine */
        size_t out_size[2];  /* adaptive pooling */
    };
};

extern const gc_layer_type gc_input_layer, gc_conv_layer, gc_linear_layer, gc_relu_layer,
    gc_max_pool_layer, gc_average_pool_layer, gc_adaptive_average_pool_layer, gc_affine_layer,
    gc_softmax_layer, gc_sigmoid_layer, gc_flatten_layer, gc_dropout_layer, gc_sum_layer,
    gc_concatenation_layer;

/* For layers that record nothing, or need no scratch. */
size_t gc_no_record(const gc_layer *layer, const gc_shape *in, gc_shape out, gc_layout writes,
                    gc_engine engine);
size_t gc_no_scratch(const gc_layer *layer, const gc_shape *in, gc_shape out, size_t count,
                     int backward, gc_engine engine);
/* For layers whose output has the shape of their (only) input. */
gc_status gc_same_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                        gc_error *error);

static inline size_t gc_divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static inline size_t gc_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* At most `most` at a time, and about as many each time. */
static inline size_t gc_even_share(size_t all, size_t most)
{
    return gc_divide_up(all, gc_divide_up(all, most));
}

static inline size_t gc_positions(gc_shape shape)
{
    return shape.height * shape.width;
}

/* Values of one image. */
static inline size_t gc_values(gc_shape shape)
{
    return shape.channels * gc_positions(shape);
}

/* The bits of a ReLU lie in rows that start at whole bytes: one row a channel of a map, a
 * single row for a vector. */
static inline size_t gc_bit_rows(gc_shape shape)
{
    return shape.flat ? 1 : shape.channels;
}

static inline size_t gc_bit_row_length(gc_shape shape)
{
    return gc_values(shape) / gc_bit_rows(shape);
}

static inline size_t gc_bit_row_bytes(gc_shape shape)
{
    return (gc_bit_row_length(shape) + 7) / 8;
}

#endif
