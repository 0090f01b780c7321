/* gradcam.h: the whole public C interface of the core.
 *
 * Two objects. A gc_network is a directed acyclic graph of layers. It does not change after its
 * last layer has been added (transformed weights are made at their first use, under a lock), and
 * any number of threads may use it. A gc_tape is the record of one forward pass of one batch. It is
 * never written after gc_forward returns, so any number of backward passes may read it at once.
 *
 *     image --gc_forward--> tape --gc_backward(layer, seeds, rule)--> gradients
 *
 * Conventions
 *   - Maps are float32, C-contiguous, [n][c][h][w]; vectors are [n][f].
 *   - Layers are numbered from 0, the input, in the order in which they were added; a layer
 *     may only read from layers with smaller numbers.
 *   - Every function that can fail returns a gc_status and, if `error` is not NULL, writes one
 *     sentence for the user into it. After a failure no memory is leaked and outputs are undefined.
 *   - Weights are not copied: the network reads the caller's arrays in place. They must not change,
 *     and must not be freed before the network.
 */
#ifndef GRADCAM_H
#define GRADCAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gc_status {
    GC_OK = 0,
    GC_NO_MEMORY,    /* an allocation failed, or a size does not fit this machine */
    GC_BAD_ARGUMENT, /* shapes that do not match, numbers out of range */
    GC_NOT_KEPT,     /* the tape holds no such activation */
    GC_INTERRUPTED   /* the caller's watch ended the call */
} gc_status;

typedef struct gc_error {
    char message[256]; /* one sentence, NUL-terminated */
} gc_error;

/* Output of a layer for one image. A flat map is a vector: height = width = 1. */
typedef struct gc_shape {
    size_t channels, height, width;
    int flat;
} gc_shape;

/* Two-dimensional geometry; index 0 is vertical, 1 horizontal. Padding has a second index: 0 is before
 * the map (above, left), 1 after it (below, right). */
typedef struct gc_conv {
    size_t in_channels, out_channels;
    size_t kernel[2], stride[2], padding[2][2], dilation[2];
    size_t groups; /* weight is [out_channels][in_channels / groups][kernel 0][kernel 1] */
    int exact;     /* never by Winograd's algorithm, whose rounding errors are larger */
} gc_conv;

typedef struct gc_pool {
    size_t kernel[2], stride[2], padding[2][2];
    int ceil_mode;   /* round the output size up; a window never starts in the far padding */
    int include_pad; /* average pooling: padding counts in the divisor */
    size_t divisor;  /* average pooling: of every window; 0: the number of its positions */
} gc_pool;

/* Local response normalisation y_c = x_c (k + alpha / size * sum of x_j^2)^-beta over the `size`
 * channels from c - size / 2 on; missing ones are 0 (Krizhevsky et al. 2012; PyTorch's formula). */
typedef struct gc_lrn {
    size_t size;
    float alpha, beta, k;
} gc_lrn;

/* A rule of a backward pass: what a layer passes back. The rules are the rows of the table in
 * layers/rules.c, which gc_rule_find finds by their names. Three of them differ at rectifiers alone:
 * the gradient of the input of a ReLU y = max(x, 0), from the gradient g of its output, is
 *   gradient   g * (x > 0)               the derivative
 *   guided     g * (x > 0) * (g > 0)     Springenberg et al. 2014
 *   deconvnet  g * (g > 0)               Zeiler & Fergus 2014
 * Of a ReLU with an upper limit, y = min(max(x, 0), limit), (x > 0) becomes (0 < x < limit).
 * At a leaky ReLU or PReLU, a value is multiplied by the slope where the ReLU makes it 0. All other
 * layers pass back their derivative under these rules.
 *
 * The rules of relevance (Bach et al. 2015; Montavon et al. 2019) carry a relevance R down instead,
 * and share it among a layer's inputs x by what they contribute to its output:
 *   convolutions, linear layers   by the terms of the rule, see layers/rules.h
 *   sums, average poolings        x_k / z of it, z the sum of all contributions
 *   products                      all to the map, none to the factors of its channels, or to the
 *                                 output of a sigmoid; of two other maps half to each
 *   max poolings                  to the maximum; slices and concatenations likewise move R
 *   activations, scales and shifts of channels, normalisations      R as it is
 *   softmax, log-softmax          refused
 * A denominator z becomes z + epsilon where z >= 0, else z - epsilon; if it is 0 then, its R is
 * lost. */
typedef struct gc_rule {
    const struct gc_rule_row *row;
    float epsilon;           /* >= 0 */
    float gamma;             /* of "gamma": the factor of the positive weights that is added */
    float alpha, beta;       /* of "alpha_beta": of the positive and the negative contributions */
    int bias;                /* whether biases take their share of R */
    const float *low, *high; /* of "z_box": [bounds] the bounds of each channel of the input, */
    size_t bounds;           /* arrays of the caller */
} gc_rule;

/* A function of each value by itself. s is the logistic function 1 / (1 + exp(-x)), F the normal
 * distribution function. */
typedef enum gc_activation_kind {
    GC_CLIP,         /* min(max(x, low), high) */
    GC_LEAKY_RELU,   /* x > 0 ? x : slope x */
    GC_PRELU,        /* the same with the slopes of an array */
    GC_ELU,          /* x > 0 ? x : slope (exp(x) - 1) */
    GC_SIGMOID,      /* s(x) */
    GC_HARD_SIGMOID, /* x / 6 + 1 / 2 between 0 and 1 */
    GC_SILU,         /* x s(x) */
    GC_HARD_SWISH,   /* x times the hard sigmoid */
    GC_TANH,
    GC_GELU,         /* x F(x) */
    GC_GELU_TANH     /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
} gc_activation_kind;

typedef struct gc_activation {
    gc_activation_kind kind;
    float low, high;     /* of GC_CLIP */
    float slope;         /* of GC_LEAKY_RELU; of GC_ELU its alpha */
    const float *slopes; /* of GC_PRELU: [slope_count], an array of the caller */
    size_t slope_count;  /* 1, or one for each channel */
} gc_activation;

/* How the weights of a linear layer are stored. All arithmetic is in float32. The two types of 16
 * bits, IEEE's half precision and the upper half of a float32, need half the memory and have larger
 * rounding errors. */
typedef enum gc_storage { GC_FLOAT32, GC_FLOAT16, GC_BFLOAT16 } gc_storage;

typedef enum gc_resize_method { GC_HALF_PIXEL, GC_ALIGN_CORNERS, GC_NEAREST } gc_resize_method;

/* The rule of that name with the parameters that are usual. GC_BAD_ARGUMENT, with all names. */
gc_status gc_rule_find(const char *name, gc_rule *rule, gc_error *error);
/* The names in the order of the table; NULL past the end. */
const char *gc_rule_name(size_t index);

typedef struct gc_network gc_network;
typedef struct gc_tape gc_tape;

/* ---- Interruption and progress ---------------------------------------------------------- */

typedef enum gc_answer {
    GC_GO_ON,
    GC_STOP,       /* end the call: GC_INTERRUPTED */
    GC_ASK_NO_MORE /* go on to the end */
} gc_answer;

/* The function that long calls call now and then, on the thread that made the call. After the
 * answer GC_STOP, the call ends within a few pieces of its work, and all its memory is freed. */
typedef struct gc_watch {
    /* share: the share of the call's work that is done, 0 to 1, estimated. The function may make
     * other calls, with a watch of their own or with none. */
    gc_answer (*ask)(void *argument, double share);
    void *argument;
    double interval; /* the minimum number of seconds from one call of `ask` to the next */
    /* The rest is for the core. */
    double asked, share;
    int closed;
    atomic_int stopped;
} gc_watch;

/* All calls that this thread makes until gc_watch_end ask this watch (NULL: none). */
void gc_watch_begin(gc_watch *watch);
/* Whether it answered GC_STOP. Then the outputs of all calls since gc_watch_begin are undefined,
 * also of those that return no status. */
int gc_watch_end(void);

/* ---- Networks ------------------------------------------------------------------------- */

/* A network with only its input layer, number 0, a map of `channels` channels.
 * The caller frees it with gc_network_free. GC_NO_MEMORY, GC_BAD_ARGUMENT (no channels). */
gc_status gc_network_new(size_t channels, gc_network **network, gc_error *error);
void gc_network_free(gc_network *network); /* NULL is fine */

/* Number of layers, the input included. */
size_t gc_network_size(const gc_network *network);
size_t gc_network_channels(const gc_network *network);

/* Each of the following appends a layer that reads from `input` and stores its number in `*layer`.
 * They check what does not depend on the size of a picture. GC_BAD_ARGUMENT if numbers are out of
 * range or the layer `input` does not exist; GC_NO_MEMORY. */

/* weight [out][in / groups][kh][kw]; bias [out] or NULL.
 * out size = floor((in + paddings - dilation (kernel - 1) - 1) / stride) + 1. */
gc_status gc_add_conv(gc_network *network, size_t input, const gc_conv *conv,
                      const float *weight, const float *bias, size_t *layer, gc_error *error);
/* y = W x + b for a vector x; weight [out][in], finite, in `storage`,
 * of any alignment; bias [out] or NULL. */
gc_status gc_add_linear(gc_network *network, size_t input, size_t in, size_t out,
                        gc_storage storage, const void *weight, const float *bias,
                        size_t *layer, gc_error *error);
gc_status gc_add_relu(gc_network *network, size_t input, size_t *layer, gc_error *error);
/* y = min(max(x, 0), 6). */
gc_status gc_add_relu6(gc_network *network, size_t input, size_t *layer, gc_error *error);
/* low < high, which may be infinite; the slope finite; slope_count 1 or the input's channels. */
gc_status gc_add_activation(gc_network *network, size_t input, const gc_activation *activation,
                            size_t *layer, gc_error *error);
/* out size = floor or ceil((in + paddings - kernel) / stride) + 1; each padding <= kernel / 2. */
gc_status gc_add_max_pool(gc_network *network, size_t input, const gc_pool *pool,
                          size_t *layer, gc_error *error);
gc_status gc_add_average_pool(gc_network *network, size_t input, const gc_pool *pool,
                              size_t *layer, gc_error *error);
/* Output of a fixed size: cell i of n averages rows floor(i H / n) .. ceil((i + 1) H / n).
 * Height = width = 1 is global average pooling. */
gc_status gc_add_adaptive_average_pool(gc_network *network, size_t input, size_t height,
                                       size_t width, size_t *layer, gc_error *error);
/* The maximum of each channel, as a map of one position. */
gc_status gc_add_global_max_pool(gc_network *network, size_t input, size_t *layer,
                                 gc_error *error);
/* y = scale[c] x + shift[c]: batch normalisation at inference. scale, shift [channels]. */
gc_status gc_add_affine(gc_network *network, size_t input, size_t channels,
                        const float *scale, const float *shift, size_t *layer,
                        gc_error *error);
/* Of a vector; of a map, over the channels at each position. */
gc_status gc_add_softmax(gc_network *network, size_t input, size_t *layer, gc_error *error);
/* The logarithm of the softmax. */
gc_status gc_add_log_softmax(gc_network *network, size_t input, size_t *layer, gc_error *error);
/* [c][h][w] as a vector, in that order. */
gc_status gc_add_flatten(gc_network *network, size_t input, size_t *layer, gc_error *error);
/* Identity: dropout at inference. */
gc_status gc_add_dropout(gc_network *network, size_t input, size_t *layer, gc_error *error);
/* Element-wise sum of two or more maps of one shape. */
gc_status gc_add_sum(gc_network *network, const size_t *inputs, size_t count, size_t *layer,
                     gc_error *error);
/* Maps of one height and width (or vectors), concatenated along the channels. */
gc_status gc_add_concatenation(gc_network *network, const size_t *inputs, size_t count,
                               size_t *layer, gc_error *error);
/* Product of two inputs of one shape, or of a map and one factor for each of its channels, in any
 * order: the factors are a vector or a map of one position. count: 2. */
gc_status gc_add_multiply(gc_network *network, const size_t *inputs, size_t count, size_t *layer,
                          gc_error *error);
/* Channels start .. stop - 1. */
gc_status gc_add_slice(gc_network *network, size_t input, size_t start, size_t stop,
                       size_t *layer, gc_error *error);
/* The channels as a matrix of `groups` rows, transposed (ShuffleNet, Zhang et al. 2018). */
gc_status gc_add_channel_shuffle(gc_network *network, size_t input, size_t groups, size_t *layer,
                                 gc_error *error);
/* Of a map. size > 0, alpha >= 0, beta >= 0, k > 0; finite. */
gc_status gc_add_lrn(gc_network *network, size_t input, const gc_lrn *lrn, size_t *layer,
                     gc_error *error);
/* y = (x - mean) / sqrt(variance + eps) weight[c] + bias[c]: of a map over the channels of each
 * position, of a vector over all its values (Ba et al. 2016). weight [channels]; bias [channels] or
 * NULL; eps > 0, finite. */
gc_status gc_add_layer_norm(gc_network *network, size_t input, size_t channels,
                            const float *weight, const float *bias, float eps, size_t *layer,
                            gc_error *error);

/* Shapes of all layers for pictures of height x width, into shapes[gc_network_size].
 * GC_BAD_ARGUMENT, naming the layer, if the picture is too small or shapes do not match. */
gc_status gc_network_shapes(const gc_network *network, size_t height, size_t width,
                            gc_shape *shapes, gc_error *error);
/* Shape of one layer; only the shapes of layers that feed it must match. GC_BAD_ARGUMENT as above,
 * or if there is no such layer; GC_NO_MEMORY. */
gc_status gc_network_shape(const gc_network *network, size_t layer, size_t height, size_t width,
                           gc_shape *shape, gc_error *error);

/* ---- Transformed weights --------------------------------------------------------------- */

/* The weights of some layers in other forms, "packs" for short, for the level that is active:
 *   GC_PACK_FORWARD      of a convolution by Winograd's algorithm, four times as large as the weights
 *   GC_PACK_BACKWARD     the same for the gradient of its input
 *   GC_PACK_INPUT_MAJOR  of a linear layer, [in][out] in their storage, so that a pass need not
 *                        read those of inputs that are zero; then a fingerprint of each row
 *   GC_PACK_SUMS         of a linear layer that reads maps, summed over the positions: what
 *                        gc_pooled_gradient needs
 * A network makes its own at their first use, except input-major ones, which it only uses if they
 * are lent. The caller can store any of them for later processes. */
typedef enum gc_pack_kind {
    GC_PACK_FORWARD,
    GC_PACK_BACKWARD,
    GC_PACK_INPUT_MAJOR,
    GC_PACK_SUMS,
    GC_PACK_KINDS /* how many there are */
} gc_pack_kind;

/* Bytes of a layer's transformed weights of one kind; 0 if it has none. */
size_t gc_network_pack_bytes(const gc_network *network, size_t layer, gc_pack_kind kind);
/* A number that differs for other shapes, storages, levels of another layout, and other weights. It
 * depends on all weights of a convolution, but only on a sample of those of a linear layer, so that
 * the others need not be read. */
uint64_t gc_network_pack_key(const gc_network *network, size_t layer, gc_pack_kind kind);
/* Make them in pack[bytes], aligned to 64 bytes. GC_BAD_ARGUMENT (`bytes` is not their size). */
gc_status gc_network_pack(const gc_network *network, size_t layer, gc_pack_kind kind,
                          size_t bytes, void *pack, gc_error *error);
/* Let the network use the caller's, aligned to 64 bytes, unless it has its own. *taken: whether it
 * uses them; then they must outlive the network and not change. A sample is checked.
 * GC_BAD_ARGUMENT (they are not this layer's), GC_NO_MEMORY. */
gc_status gc_network_lend_pack(const gc_network *network, size_t layer, gc_pack_kind kind,
                               size_t bytes, const void *pack, int *taken, gc_error *error);
/* Whether a pass found a row of lent input-major weights whose fingerprint is wrong. Each row is
 * compared at its first use; where one is wrong, that pass and all later ones use the weights
 * themselves. */
int gc_network_pack_damaged(const gc_network *network, size_t layer);

/* ---- Forward and backward ------------------------------------------------------------- */

/* Run `batch` pictures of height x width through the network, or through its layers above `start`.
 *   start   the layer whose output is given: 0 for the pictures themselves. It counts as computed;
 *           the layers below it do not.
 *   input   [batch][shape of start], in plain layout; finite
 *   keep    one flag a layer: nonzero keeps its activation on the tape (NULL: none)
 *   until   the last layer that is needed; it is always kept. Only the layers that feed it,
 *           or feed a layer to be kept, are computed.
 *   record  nonzero: record what gc_backward needs; 0: activations only, a little faster
 * The input is read during the call only. The caller frees *tape with gc_tape_free; the
 * network must outlive the tape. GC_NO_MEMORY; GC_BAD_ARGUMENT, also if `until` or a layer to be
 * kept is below `start`, or if a needed layer reads one that `start` neither is nor feeds. */
gc_status gc_forward(const gc_network *network, size_t start, const float *input, size_t batch,
                     size_t height, size_t width, const unsigned char *keep, size_t until,
                     int record, gc_tape **tape, gc_error *error);
void gc_tape_free(gc_tape *tape); /* NULL is fine */

size_t gc_tape_batch(const gc_tape *tape);
size_t gc_tape_size(const gc_tape *tape); /* layers of its network */
/* Shape of a layer's output for one picture; NULL if the layer was not computed. */
const gc_shape *gc_tape_shape(const gc_tape *tape, size_t layer);
int gc_tape_kept(const gc_tape *tape, size_t layer);
/* Copy a kept activation to out[batch][c][h][w] (or [batch][f]). GC_NOT_KEPT. */
gc_status gc_tape_read(const gc_tape *tape, size_t layer, float *out, gc_error *error);

/* Seconds that a layer took; 0 if it ran in the step of another layer. */
double gc_tape_seconds(const gc_tape *tape, size_t layer);

/* The name of the algorithm that a layer runs with, forward or backward; "" if layers of this kind
 * have only one, or the layer was not computed. */
const char *gc_tape_algorithm(const gc_tape *tape, size_t layer, int backward);
/* How many of its inputs a layer reads in another layout than the one that they were written in, so
 * that they are copied; the backward pass copies their gradients. */
size_t gc_tape_conversions(const gc_tape *tape, size_t layer);

/* Gradients of sum_i seeds[s][n][i] * y[n][i], y the output of `layer`, for each s and n,
 * with respect to the outputs of `wanted[0 .. wanted_count)`.
 *   seeds       [sets][batch][shape of layer]
 *   rules       [rule_count] one for all layers, or one for each layer of the network. A rule of
 *               relevance needs the inputs of the layers that share R, so these must be kept
 *   gradients   gradients[w], [sets][batch][shape of wanted[w]], an array of the caller, is
 *               written; zero if the layer wanted does not feed `layer`
 *   seconds     NULL, or [gc_network_size] to be written: the time of each layer, 0 if it ran in
 *               the step of another layer
 * Nothing below the lowest layers wanted is computed. GC_NO_MEMORY, GC_BAD_ARGUMENT (layers
 * that were not computed, a tape without records, a layer that refuses its rule), GC_NOT_KEPT. */
gc_status gc_backward(const gc_tape *tape, size_t layer, const float *seeds, size_t sets,
                      const gc_rule *rules, size_t rule_count, const size_t *wanted,
                      size_t wanted_count, float *const *gradients, double *seconds,
                      gc_error *error);

/* The mean of the same gradient over the positions of one layer wanted: the weights of Grad-CAM's
 * maps. If only pooling layers and a linear layer read `wanted`, it is computed from sums of the
 * linear layer's weights, which are computed at their first use, and no gradient of a map is
 * needed.
 *   rule        one for all layers, not of relevance
 *   means       [sets][batch][channels of wanted]
 * GC_NO_MEMORY and GC_BAD_ARGUMENT as gc_backward. */
gc_status gc_pooled_gradient(const gc_tape *tape, size_t layer, const float *seeds, size_t sets,
                             const gc_rule *rule, size_t wanted, float *means, gc_error *error);

/* ---- Arithmetic of explanations ------------------------------------------------------- */

/* out[i] = mean of maps[i][0 .. positions), i < count. positions > 0. */
void gc_channel_mean(size_t count, size_t positions, const float *maps, float *out);
/* out[n][p] = sum over c of weights[n][c] * maps[n][c][p]. */
void gc_weighted_sum(size_t batch, size_t channels, size_t positions, const float *weights,
                     const float *maps, float *out);
/* Its gradient: dweights[n][c] = sum over p of dout[n][p] maps[n][c][p], and
 * dmaps[n][c][p] = weights[n][c] dout[n][p]. Either may be NULL. */
void gc_weighted_sum_gradient(size_t batch, size_t channels, size_t positions,
                              const float *weights, const float *maps, const float *dout,
                              float *dweights, float *dmaps);
/* Fingerprints of pieces of data, `piece` bytes each: fingerprints[i] of piece numbers[i], counted
 * from 0. A fingerprint is a number that changes with the content; it finds accidental changes, and
 * differs between machines of different byte order. */
void gc_fingerprint_pieces(const void *data, size_t piece, size_t count, const size_t *numbers,
                           uint64_t *fingerprints);
/* 1 if none of `count` floats, of any alignment, is NaN or infinite; else 0. */
int gc_all_finite(size_t count, const void *values);
/* Resize count planes maps[count][height][width] to out[count][out_height][out_width].
 * The maps cover region = (top, left, bottom, right) of the output, in output pixels (NULL:
 * all of it); pixels whose centres are outside become 0.
 *   GC_HALF_PIXEL     bilinear, source = (pixel + 0.5) * scale - 0.5, clamped
 *   GC_ALIGN_CORNERS  bilinear, source = pixel * (size - 1) / (out size - 1)
 *   GC_NEAREST        the source pixel under the output pixel's centre
 * GC_NO_MEMORY, GC_BAD_ARGUMENT (an empty size or region, not finite). */
gc_status gc_resize(size_t count, size_t height, size_t width, const float *maps,
                    size_t out_height, size_t out_width, gc_resize_method method,
                    const double *region, float *out, gc_error *error);

/* ---- Sequences ------------------------------------------------------------------------ */

/* The arithmetic of recurrent networks, on arrays of the caller; sequences have time first,
 * [steps][batch][values]. Inputs are read, outputs written, during the call only, and do not
 * overlap. GC_BAD_ARGUMENT if a size is 0, or so large that an array has no size in bytes;
 * GC_INTERRUPTED. None allocates memory. */

/* `count` products of matrices, c[i] = a[i] b[i] + bias: a [count][rows][depth],
 * b [count][depth][columns], finite; bias [columns] or NULL; c [count][rows][columns]. The linear
 * layer of some vectors, whose weights are the transpose of b, and its gradient. */
gc_status gc_matrix_product(size_t count, size_t rows, size_t depth, size_t columns, const float *a,
                     const float *b, const float *bias, float *c, gc_error *error);

/* The long short-term memory of Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al.
 * 2000, without peepholes. With the sums a of the gates i, f, g and o, in this order, of each step,
 * s the logistic function:
 *     a_t = inputs_t + W h_(t-1),  c_t = s(a_f) c_(t-1) + s(a_i) tanh(a_g),  h_t = s(a_o) tanh(c_t) */
typedef struct gc_lstm {
    size_t steps, batch, hidden; /* hidden: cells */
} gc_lstm;

/*   weight   [hidden][4 hidden], the transpose of W; finite
 *   inputs   [steps][batch][4 hidden], the part of a that does not depend on h, with the biases
 *   h0, c0   [batch][hidden], the state before the first step; NULL: zeros
 *   gates    [steps][batch][4 hidden], a, for gc_lstm_backward
 *   h, c     [steps + 1][batch][hidden], the first of them h0 and c0 */
gc_status gc_lstm_forward(const gc_lstm *size, const float *weight, const float *inputs,
                          const float *h0, const float *c0, float *gates, float *h, float *c,
                          gc_error *error);
/* The gradient of sum of dh h + sum of dc c, c that of the last step.
 *   weight   [4 hidden][hidden], W
 *   gates, c as gc_lstm_forward wrote them
 *   dh       [steps][batch][hidden];  dc  [batch][hidden], NULL: zeros
 *   dgates   [steps][batch][4 hidden], by a, and so by the inputs
 *   dh0, dc0 [batch][hidden] */
gc_status gc_lstm_backward(const gc_lstm *size, const float *weight, const float *gates,
                           const float *c, const float *dh, const float *dc, float *dgates,
                           float *dh0, float *dc0, gc_error *error);

/* out[i] = table[numbers[i]], i < count, of a table of `rows` rows of `width` values: an embedding.
 * GC_BAD_ARGUMENT, also if there is no such row. */
gc_status gc_gather_rows(size_t rows, size_t width, const float *table, size_t count,
                         const size_t *numbers, float *out, gc_error *error);
/* Its gradient: dtable[rows][width] = the sum of the dout[i] of each row, in their order. */
gc_status gc_scatter_rows(size_t rows, size_t width, size_t count, const size_t *numbers,
                          const float *dout, float *dtable, gc_error *error);

/* y = f(x) and derivatives = f'(x) of `count` values. f: GC_SIGMOID or GC_TANH, else
 * GC_BAD_ARGUMENT. */
gc_status gc_activate(gc_activation_kind kind, size_t count, const float *x, float *y,
                      float *derivatives, gc_error *error);

/* The softmax of each row of x[count][length], or its logarithm. */
gc_status gc_softmax(int logarithm, size_t count, size_t length, const float *x, float *y,
                     gc_error *error);
/* Its gradient, from x. */
gc_status gc_softmax_gradient(int logarithm, size_t count, size_t length, const float *x,
                              const float *dy, float *dx, gc_error *error);

/* ---- The machine ----------------------------------------------------------------------- */

/* Names of the kernel levels that were compiled in and that this machine can run, slowest
 * first, "reference" among them; index >= gc_level_count gives NULL. At start the last one
 * is active, or the one that the environment variable GRADCAM_CPU_LEVEL names. */
size_t gc_level_count(void);
const char *gc_level_name(size_t index);
const char *gc_level_active(void);
/* GC_OK if there is a level of that name; else GC_BAD_ARGUMENT, with the names of all levels. */
gc_status gc_level_find(const char *name, gc_error *error);
/* Make a level active for all passes that begin later. GC_BAD_ARGUMENT as above. */
gc_status gc_level_set(const char *name, gc_error *error);

/* Description of the BLAS in use, for the user. */
const char *gc_blas_config(void);
/* The number of threads that a pass may use: the number set, else the environment variable
 * GRADCAM_NUM_THREADS, else the number of processors that the process may use, within the limits of
 * its control groups. */
int gc_threads(void);
void gc_set_threads(int threads); /* clamped to 1 .. 256 */

/* The maximum speed of the machine with `workers` threads (1 to 256), measured at each call:
 * the sum of the speeds of the threads, each in its own processor time, so that other processes do
 * not lower it.
 *   peak        multiplications and additions a second, on registers, at the active level
 *   bandwidth   bytes a second read from memory; into *rate. GC_NO_MEMORY */
double gc_measure_peak(size_t workers);
gc_status gc_measure_bandwidth(size_t workers, double *rate, gc_error *error);

#endif
