/* kernels.h: the types of the kernels' arguments, and the table through which kernels are called.
 * list.h lists the kernels.
 *
 * Each kernel is written once and compiled once per level (level.h), and each has a twin in
 * reference/ in plain loops in double precision. */
#ifndef GC_KERNELS_H
#define GC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "gradcam.h"

/* A part of values v: positive * max(v, 0) + negative * min(v, 0) + constant. */
typedef struct gc_part {
    float positive, negative, constant;
} gc_portion;

/* A sliding window over [channels][height][width]; index 0 is vertical. */
typedef struct gc_window {
    size_t channels, height, width;
    size_t kernel[2], stride[2], padding[2], dilation[2];
    size_t out_height, out_width;
} gc_window;

/* The input rows (or columns) [begin, end) that one output row (or column) of a pooling
 * layer covers, and that axis's part of the divisor of the average. */
typedef struct gc_span {
    size_t begin, end, divisor;
} gc_span;

typedef struct gc_pool_plane {
    size_t height, width, out_height, out_width;
    const gc_span *rows, *columns; /* [out_height], [out_width] */
    size_t divisor;                /* of every average; 0: they differ */
} gc_pool_plane;

/* Pooling of one block of a blocked map. The readers are used backward. */
typedef struct gc_pool_block {
    size_t height, width, out_height, out_width;
    size_t in_row, out_row;                      /* vectors from a row to the next */
    size_t index_bytes;                          /* of the record of a maximum: 1, 2 or 4 */
    size_t stride, window;                       /* horizontal; 0: windows do not slide */
    size_t divisor;                              /* as of gc_pool_plane */
    const gc_span *rows, *columns;               /* as of gc_pool_plane */
    const gc_span *row_readers, *column_readers; /* [height], [width]: the output rows, columns
                                                  * that cover an input row, column */
} gc_pool_block;

/* One output row (or column) of a resize: low_weight * in[low] + high_weight * in[high]. */
typedef struct gc_tap {
    size_t low, high;
    float low_weight, high_weight;
} gc_tap;

/* One image's map in blocks of W channels, W the floats in a vector of the level:
 * [blocks][rows][columns][W]. A border of zeros surrounds the map: 1 wide above and on the left;
 * below and on the right up to whole tiles of 4 x 4, and 1 more. Channels that fill up the last
 * block are zero. */
typedef struct gc_blocked {
    size_t blocks, height, width; /* of the map */
    size_t rows, columns;         /* with its border */
} gc_blocked;

/* Floats of one block, for vectors of `width` floats. */
static inline size_t gc_blocked_plane(const gc_blocked *b, size_t width)
{
    return b->rows * b->columns * width;
}

/* Floats from the start of the maps to the vector of position (y, x) of block number `block`, the
 * blocks of all images counted. */
static inline size_t gc_blocked_offset(const gc_blocked *b, size_t width, size_t block, size_t y,
                                       size_t x)
{
    return ((block * b->rows + y + 1) * b->columns + x + 1) * width;
}

/* The number of a vector among those of a record of maps of this size, which have no border. */
static inline size_t gc_record_index(size_t blocks, size_t height, size_t width, size_t image,
                                     size_t block, size_t y, size_t x)
{
    return ((image * blocks + block) * height + y) * width + x;
}

/* Some rows of a blocked map: vectors of a row, and floats from a row to the next. */
typedef struct gc_row_sizes {
    size_t rows, count, stride;
} gc_row_sizes;

enum { GC_MAX_WIDTH = 16, GC_NO_SOURCE = GC_MAX_WIDTH };

/* Where the lanes of a block come from: lane l of every vector is lane from_lane[l] of the vector at
 * the same place of sources[from[l]]; 0 if from[l] is GC_NO_SOURCE. */
typedef struct gc_lanes {
    size_t source_count;
    const float *sources[GC_MAX_WIDTH]; /* blocks */
    uint8_t from[GC_MAX_WIDTH], from_lane[GC_MAX_WIDTH];
} gc_lanes;

/* The channels of one position of a blocked map: vectors, `plane` floats from one to the next. */
typedef struct gc_across {
    size_t channels, blocks, plane;
} gc_across;

/* Local response normalisation, as kernels/norm.c computes it. */
typedef struct gc_lrn_window {
    size_t before, after; /* channels that count beside the channel itself */
    float scale, beta, k;
} gc_lrn_window;

/* Floats of scratch memory of local response normalisation. */
static inline size_t gc_lrn_scratch(const gc_across *across, const gc_lrn_window *window,
                                    size_t width)
{
    return 4 * across->blocks * width + 2 * (window->before + window->after);
}

/* A 3x3 convolution of stride 1 and padding 1, as kernels/winograd.c runs it. */
typedef struct gc_winograd {
    gc_blocked in;
    size_t out_pairs;                /* blocks of two vectors of output channels */
    size_t tiles_down, tiles_across; /* of one image */
    size_t group;                    /* tiles of a group, at most: gc_kernels.tiles */
    size_t v_plane, m_tile;          /* floats of V from one xi to the next, of M from one tile */
} gc_winograd;

/* Some groups of a block of tiles. The block begins with tile `first` of all images. Its groups
 * have `share` tiles, the first `larger` of them one more. Groups from .. to take part. */
typedef struct gc_tiles {
    size_t first, share, larger, from, to;
} gc_tiles;

/* All of a block of `count` tiles, in groups of at most `group`. */
static inline gc_tiles gc_tiles_of(size_t first, size_t count, size_t group)
{
    const size_t groups = (count + group - 1) / group;
    return (gc_tiles){.first = first,
                      .share = groups == 0 ? 0 : count / groups,
                      .larger = groups == 0 ? 0 : count % groups,
                      .to = groups};
}

/* The first tile of a group, counted from the block's first; and its number of tiles. */
static inline size_t gc_group_start(const gc_tiles *t, size_t group)
{
    return group * t->share + (group < t->larger ? group : t->larger);
}

static inline size_t gc_group_size(const gc_tiles *t, size_t group)
{
    return t->share + (group < t->larger);
}

/* The output of a convolution's tiles, forward or backward: the maps, and the records of the fused
 * ReLU and pooling layers. Bits are [image][block][y][x], those of each vector from a whole byte
 * on; positions [image][block][y][x][right, below], likewise. */
typedef struct gc_finish {
    gc_blocked out;
    float *maps;
    const float *bias;  /* forward: [2 W out_pairs] */
    const float *add;   /* maps like those written, to be added before the ReLU; or NULL. May be
                         * `maps` */
    float limit;        /* forward: of the ReLU */
    uint8_t *bits;      /* of the ReLU: forward written (NULL: not recorded); backward read */
    uint8_t *positions; /* of the maxima among the 2x2 windows; likewise */
    size_t recorded;    /* backward: image i belongs to image i % recorded of the records */
    unsigned masks;     /* backward: of the ReLU, GC_MASK_... */
} gc_finish;

/* Which inputs a convolution reads for each position of a grid, as kernels/packed.c packs them. The
 * taps of a position are the inputs under the kernel. */
typedef struct gc_gather {
    gc_blocked in;
    size_t width;                   /* positions of a row of the grid */
    size_t step[2];                 /* rows, columns of the input from one position to the next */
    size_t taps;
    const ptrdiff_t (*offsets)[2];  /* [taps] rows, columns from `step` times the position */
} gc_gather;

/* Where a position of the grid is in one block of maps, and of their record, in vectors. */
typedef struct gc_position {
    size_t map, record;
} gc_position;

/* What a rectifier multiplies a gradient by, as flags: 1 where its input, or the gradient, is
 * positive, and 0, or a leaky rectifier's slope, elsewhere. Without a flag the gradient passes. */
enum { GC_MASK_INPUT = 1, GC_MASK_GRADIENT = 2 };

/* What follows a product. */
typedef enum gc_after { GC_AFTER_STORE, GC_AFTER_RELU, GC_AFTER_MASK } gc_after;

/* A product of one image, at rows of positions. Its inputs are packed, in a single row, or they are
 * where they are in the blocked maps. */
typedef struct gc_packed {
    size_t image, record;      /* number of the image, and in the records */
    const gc_position *places; /* of the positions of all rows */
    size_t rows, row;          /* rows; positions of a row */
    size_t x_row, x_block;     /* floats of the inputs from a row, block of channels to the next */
    size_t x_group;            /* from a group to the next; 0: positions are side by side */
    size_t skip, depth;        /* blocks of inputs before those of the pair, and of it */
    const float *next;         /* what is multiplied next; it is prefetched, */
    size_t lines, fetching;    /* so many lines for each block by each of the first groups */
    gc_after after;
} gc_packed;

/* A convolution of few input channels, as kernels/direct.c runs it: one row of its output. */
typedef struct gc_direct {
    size_t taps;           /* input channels * kernel height * kernel width */
    size_t stride;         /* horizontal */
    const size_t *offsets; /* [taps] of the first output's inputs in the padded rows */
} gc_direct;

/* The taps of one axis that reach the outputs of one phase: outputs i * phases + phase. Tap t of its
 * output i is at the input's row or column first + i * stride + t * dilation, which may be outside
 * the map. */
typedef struct gc_taps {
    size_t count;
    size_t before; /* taps of the phases before this one */
    ptrdiff_t first;
} gc_taps;

/* A depthwise convolution, as kernels/depthwise.c runs it; index 0 is vertical. Forward there is one
 * phase; the gradient of an input has as many as the convolution's stride. */
typedef struct gc_depthwise {
    gc_blocked in, out;     /* the maps that are read and written */
    size_t kernel_width;    /* taps of all horizontal phases */
    size_t stride[2], dilation[2], phases[2];
    const gc_taps *taps[2]; /* of each phase, or of as many as there are outputs */
} gc_depthwise;

/* A fully connected layer: w [out][in] in its storage, x and dx [sets][batch][in], y and dy
 * [sets][batch][out]. The vectors of one image, a set apart, tend to share their zeros. */
typedef struct gc_dense {
    gc_storage storage;
    size_t in, out, sets, batch;
    size_t stride; /* backward: vectors from a set to the next; the first `batch` take part */
    const gc_portion *portion; /* of the weights, in their place; NULL: the weights */
} gc_dense;

/* The number of values of the kernel `peak`: a multiple of what each level holds in registers. */
enum { GC_PEAK_VALUES = 768 };

/* Where the 3x3 kernels of one block of output channels are in a layer's weights. */
typedef struct gc_winograd_kernels {
    size_t outputs;                   /* of the block: up to two vectors */
    size_t output_step, channel_step; /* floats from a kernel to the next output's, channel's */
    int rotated;                      /* whether each is rotated by half a turn, for the gradient */
} gc_winograd_kernels;

typedef struct gc_kernels {
    const char *level;
    size_t width;     /* floats in a vector */
    size_t tiles;     /* of a Winograd convolution that the registers hold at a time */
    int is_reference; /* the level of plain twins, which has no vectors: its width is 1 */
#define GC_KERNEL_ENTRY(name, parameters) void(*name) parameters;
#include "kernels/list.h"
} gc_kernels;

/* The table of the active level: complete, never NULL. */
const gc_kernels *gc_kernels_active(void);

/* The table of the level with this index (see gc_level_name), for tests; NULL past the end. */
const gc_kernels *gc_kernels_of_level(size_t index);

/* C[m][n] = A[m][k] B[k][n] in plain loops, each element summed in double: the matrix product of
 * the reference level. transpose_a: A is stored [k][m]; transpose_b: B is stored [n][k]. ld*: row
 * strides. */
void gc_gemm_reference(int transpose_a, int transpose_b, size_t m, size_t n, size_t k,
                       const float *a, size_t lda, const float *b, size_t ldb, float *c,
                       size_t ldc);

#endif
