/* layer.h: what every kind of layer provides for the network.
 *
 * A layer is a function of shapes, a forward function and the gradient with respect to its inputs.
 * It also says how much memory it needs: for its record, which its forward function writes and its
 * backward function reads, and for its scratch memory. Shapes are checked when they are inferred;
 * when forward and backward run, all memory is allocated and nothing can fail.
 *
 * A map is plain, [n][c][h][w], or blocked, [n] times the gc_blocked of kernels.h. A layer says
 * in which of the two layouts it reads its inputs and writes its output; its record is in the
 * layout of its output. The network converts a map for a reader that needs the other layout. The
 * gradient of a map has the map's layout. */
#ifndef GC_LAYERS_LAYER_H
#define GC_LAYERS_LAYER_H

#include <stdint.h>

#include "gradcam.h"
#include "kernels/kernels.h"

/* The level and the threads of a pass, decided once when it begins. */
typedef struct gc_engine {
    const gc_kernels *kernels; /* the active level */
    size_t workers;            /* the number of threads, the calling one included */
} gc_engine;

static inline gc_engine gc_engine_now(void)
{
    return (gc_engine){.kernels = gc_kernels_active(), .workers = (size_t)gc_threads()};
}

/* Sizes beyond these have no meaning here and would overflow index arithmetic or BLAS. A kernel
 * with its dilation, and a row by the stride, are products of two extents. Blocked maps may be much
 * larger than plain ones: a map of one value becomes 6 x 6 vectors (gc_blocked_of), 144 times as
 * many bytes where vectors have 4 floats, as on every 32-bit machine, 576 times where they have 16.
 * Columns, of at most GC_MAX_POSITIONS rows, have 64 positions or more (layers/conv.c). */
#if SIZE_MAX > UINT32_MAX
#define GC_MAX_EXTENT ((size_t)1 << 20)         /* rows, columns, kernel, stride, ... */
#define GC_MAX_POSITIONS ((size_t)INT32_MAX)    /* of one map; channels; vector length */
#define GC_MAX_BYTES (SIZE_MAX >> 12)           /* of a batch's maps */
#else
#define GC_MAX_EXTENT ((size_t)1 << 15)
#define GC_MAX_POSITIONS ((size_t)1 << 23)
#define GC_MAX_BYTES (SIZE_MAX >> 8)
#endif

typedef enum gc_layout { GC_PLAIN, GC_BLOCKED } gc_layout;

typedef struct gc_layouts {
    gc_layout reads, writes;
} gc_layouts;

/* The neighbours that a layer can run in its own step, as flags. Forward, after it: a sum with
 * blocked maps, a ReLU, and 2x2 max pooling after a ReLU without a sum. Backward, before it: the
 * sum with the gradient that other readers of its input gave, a ReLU of blocked maps, or a ReLU and
 * 2x2 max pooling between the two. */
enum { GC_FUSES_SUM = 1, GC_FUSES_RELU = 2, GC_FUSES_POOL = 4 };

/* What a kind of layer does under a rule of relevance; see gc_rule. */
typedef enum gc_relevance {
    GC_MOVES,    /* passes back its derivative: it moves values, or chooses among them */
    GC_PASSES,   /* passes back R as it is: it has one input, and changes values one by one */
    GC_SHARES,   /* R by contribution: it adds its inputs, or values of its input */
    GC_WEIGHTS,  /* R by the terms of the rule */
    GC_SELECTS,  /* R to one of its two inputs: a product */
    GC_REFUSES
} gc_relevance;

typedef struct gc_layer gc_layer;
typedef struct gc_packs gc_packs; /* layers/pack.h */

/* Which of a layer's transformed weights. The variant: of a convolution's, the width of the
 * level's vectors; of sums, the positions of a channel; else 0. */
typedef struct gc_pack_id {
    gc_pack_kind kind;
    size_t variant;
} gc_pack_id;

/* A layer that is streamed: a neighbour beyond a ReLU computes it and the ReLU in its own step, a
 * few rows at a time, so that the map, or the gradient, between them is never stored. Forward it is
 * the convolution before that ReLU, backward the 2x2 max pooling after it. */
typedef struct gc_streamed {
    const gc_layer *layer;     /* NULL: none */
    gc_shape from;             /* of the maps that the step then reads: forward its input,
                                * backward the gradient of its output */
    uint8_t *bits, *positions; /* the records of the ReLU and, backward, of the pooling; forward
                                * NULL: not recorded */
    float limit;               /* forward: of the ReLU */
} gc_streamed;

/* The neighbours that run in a step. */
typedef struct gc_fused {
    const float *add;             /* forward the other maps of a sum, backward the gradient so far;
                                   * or NULL: no sum. Backward it may be dx */
    int relu, pool;               /* whether the step runs them; no pool without ReLU */
    float limit;                  /* forward: of the ReLU, INFINITY if it has none */
    uint8_t *bits, *positions;    /* their records; forward NULL: not recorded */
    gc_shape shape;               /* forward of the output of the last one; backward of the ReLU's
                                   * input */
    gc_streamed streamed;
} gc_fused;

typedef struct gc_forward_step {
    gc_engine engine;
    size_t count;            /* images */
    const gc_shape *in;      /* [input_count] */
    gc_shape out;
    gc_layouts layouts;
    const float *const *x;   /* [input_count] maps of `count` images; if a layer is streamed, the
                              * map that it reads; NULL where `y` has the map in its place */
    float *y;                /* of the last layer that is fused */
    size_t x_stride;         /* floats from one image of x[0] to the next, for layers that are
                              * `strided`; 0: without gaps */
    size_t y_stride;         /* the same of y, for concatenations */
    void *record;            /* of `count` images, to be written; or NULL: not recorded */
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
    unsigned masks;          /* of rectifiers: GC_MASK_... */
    int zeros_are_masked;    /* whether a ReLU masks the gradients of all inputs that are zero: they
                              * need not be computed, and dx may be 0 there */
    const float *dy;         /* if a layer is streamed, of its output */
    float *const *dx;        /* [input_count], to be written; NULL if not needed. With a fused
                              * ReLU, of the ReLU's input */
    const void *record;
    gc_fused fused;
    void *scratch;
} gc_backward_step;

/* What the sizes of a layer depend on. */
typedef struct gc_layer_query {
    const gc_layer *layer;
    gc_engine engine;
    const gc_shape *in; /* [input_count] */
    gc_shape out;
    gc_layout writes;   /* the layout of the output */
    size_t count;       /* images, or gradients */
    int backward;       /* the direction of the pass */
    size_t copied;      /* for `algorithm`, of layers that move whole channels: the inputs that are
                         * copied; the others are parts of the output's memory, or contain it */
} gc_layer_query;

/* A kind of layer. The functions that may be NULL say so, and what that means. */
typedef struct gc_layer_type {
    const char *name;
    /* The output has the values of the input, in the same order; only the shape may differ. */
    int identity;
    /* dx may be dy: the layer has one input, and reads and writes the same layout. */
    int backward_in_place;
    gc_relevance relevance;
    gc_status (*shape)(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                       gc_error *error);
    /* The input may be a part of larger maps if it is blocked, so that there are gaps between
     * images: see x_stride. */
    int strided;
    /* An input with one position is read plain, and its gradient written so, whatever `layouts`
     * says of the others. */
    int plain_vectors;
    /* The layouts if most values of the inputs come as `given`; `writes` is not known. NULL: plain
     * ones. */
    gc_layouts (*layouts)(const gc_layer_query *query, gc_layout given);
    unsigned (*fuses)(const gc_layer_query *query); /* flags GC_FUSES_...; NULL: nothing */
    /* The name of the algorithm, for profiles. NULL: there is only one. */
    const char *(*algorithm)(const gc_layer_query *query);
    /* Bytes of scratch memory that it needs in addition to stream another layer, see gc_streamed,
     * that reads or, backward, writes maps of shape `from`. 0, or NULL: it cannot. */
    size_t (*streaming_bytes)(const gc_layer_query *query, const gc_layer *streamed,
                              gc_shape from);
    /* Bytes of the record of one image. NULL: nothing is recorded. */
    size_t (*record_bytes)(const gc_layer_query *query);
    /* Bytes of scratch memory for `count` images in one direction; never more for fewer images.
     * NULL: none. */
    size_t (*scratch_bytes)(const gc_layer_query *query);
    /* Make what a direction needs besides scratch memory, at its first use; 0: no memory, or the
     * call is to end early. Several threads may call it at once. NULL: nothing. */
    int (*prepare)(const gc_layer *layer, gc_engine engine, int backward);
    /* Transformed weights; all three NULL: none of any kind. Their size, 0: none of this kind; make
     * them, aligned to 64 bytes; and whether a sample of them equals those of this layer. */
    size_t (*pack_bytes)(const gc_layer *layer, gc_pack_id id, gc_engine engine);
    void (*make_pack)(const gc_layer *layer, gc_pack_id id, gc_engine engine, void *pack);
    int (*pack_fits)(const gc_layer *layer, gc_pack_id id, gc_engine engine, const void *pack);
    void (*forward)(const gc_layer *layer, const gc_forward_step *step);
    /* NULL: the gradient of every input is that of the output. */
    void (*backward)(const gc_layer *layer, const gc_backward_step *step);
} gc_layer_type;

struct gc_layer {
    const gc_layer_type *type;
    size_t input_count;
    size_t *inputs; /* numbers of layers, owned */
    const float *weight, *bias; /* arrays of the caller, or NULL; scale and shift of an affine
                                 * layer; a linear layer's weight is below */
    gc_packs *packs; /* of a convolution or a linear layer, else NULL; owned */
    union {
        gc_conv conv;
        gc_pool pool;
        struct {
            size_t in, out;
            gc_storage storage;
            const void *weight; /* an array of the caller */
            const gc_portion *portion; /* of the weights, in their place; NULL: the weights */
        } linear;
        float limit;         /* ReLU; INFINITY: none */
        gc_activation activation;
        size_t channels;     /* affine */
        size_t range[2];     /* of channels, slice: first, one past the last */
        size_t groups;       /* channel shuffle */
        gc_lrn lrn;
        struct {
            size_t channels;
            float eps;
        } layer_norm;
        size_t out_size[2];  /* adaptive pooling */
    };
};

/* Whether `count` channels from `first` are whole blocks of blocked maps of `channels` channels. */
static inline int gc_are_whole_blocks(size_t first, size_t count, size_t channels,
                                      gc_engine engine)
{
    const size_t width = engine.kernels->width;
    return first % width == 0 && (count % width == 0 || first + count == channels);
}

extern const gc_layer_type gc_input_layer, gc_conv_layer, gc_linear_layer, gc_relu_layer,
    gc_max_pool_layer, gc_global_max_pool_layer, gc_average_pool_layer,
    gc_adaptive_average_pool_layer, gc_affine_layer, gc_activation_layer, gc_softmax_layer,
    gc_log_softmax_layer, gc_flatten_layer, gc_dropout_layer, gc_sum_layer, gc_concatenation_layer,
    gc_product_layer, gc_slice_layer, gc_shuffle_layer, gc_lrn_layer, gc_layer_norm_layer;

/* Whether a window is padded on any side. */
static inline int gc_is_padded(const size_t padding[2][2])
{
    return padding[0][0] > 0 || padding[0][1] > 0 || padding[1][0] > 0 || padding[1][1] > 0;
}

/* Whether a convolution computes each position from the same position of its input alone. */
static inline int gc_is_pointwise(const gc_conv *c)
{
    for (int d = 0; d < 2; d++)
        if (c->kernel[d] != 1 || c->stride[d] != 1)
            return 0;
    return !gc_is_padded(c->padding);
}

/* For layers whose output has the shape of their (only) input. */
gc_status gc_same_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                        gc_error *error);

/* For layers that write the layout that they read, whichever is given. */
gc_layouts gc_as_given(const gc_layer_query *query, gc_layout given);

static inline size_t gc_divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static inline size_t gc_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The greatest number that divides both. */
static inline size_t gc_common_divisor(size_t a, size_t b)
{
    while (b != 0) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* How many at a time: `maximum` or fewer, about the same number each time. */
static inline size_t gc_even_share(size_t all, size_t maximum)
{
    return gc_divide_up(all, gc_divide_up(all, maximum));
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

/* The bits of a ReLU on plain maps are in rows that start at whole bytes: one row for each channel
 * of a map, a single row for a vector. */
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
