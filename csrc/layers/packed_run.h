/* packed_run.h: the run of packed.c, which packed_source.c uses for a few rows at a time. */
#ifndef GC_LAYERS_PACKED_RUN_H
#define GC_LAYERS_PACKED_RUN_H

#include "layers/packed_plan.h"

/* How the grid of a phase is divided. */
typedef struct gc_packed_division {
    int unpacked;        /* whether the product reads the maps */
    size_t units;        /* of one image: groups; or rows, unpacked */
    size_t group_floats; /* of packed inputs */
    int by_output;       /* whether threads share out outputs */
    size_t block;        /* units of a block */
    size_t cuts;         /* by output: pieces of a block's units */
} gc_packed_division;

/* The parts of the scratch memory, in this order. */
typedef struct gc_packed_sizes {
    size_t inputs, bias;             /* floats */
    size_t places, offsets, present; /* how many */
} gc_packed_sizes;

typedef struct gc_packed_run {
    gc_packed_plan plan;
    gc_phase phase;
    gc_packed_division division;
    gc_gather gather;
    gc_finish finish;
    gc_after after;
    const float *from, *w; /* w: of the phase */
    float *inputs;         /* scratch, as the rest */
    gc_position *places;
    ptrdiff_t (*offsets)[2];
    gc_block_range *present;       /* backward, of each gradient: those with values */
    size_t count;          /* images */
    size_t image, first;   /* by output: the block that is shared out */
} gc_packed_run;

/* Some positions of an image: groups of one row, packed; or whole rows. */
typedef struct gc_packed_piece {
    size_t image, first; /* first: position of the grid */
    size_t rows;
    gc_tiles tiles;      /* of a row */
} gc_packed_piece;

/* Whether each position has one input, those of a row side by side, and groups that end with the
 * rows are nearly full. */
int gc_packed_reads_maps(const gc_packed_plan *plan, const gc_phase *phase);

/* Floats of the packed inputs of a group of positions. */
size_t gc_packed_group_floats(const gc_packed_plan *plan, const gc_phase *phase);

/* The scratch memory for `count` images, and its bytes. */
gc_packed_sizes gc_packed_sizes_of(const gc_packed_plan *plan, size_t count);
size_t gc_packed_bytes_of(gc_packed_sizes sizes);

/* Divide the scratch memory, and fill up the bias with zeros. */
void gc_packed_lay_out(gc_packed_run *run, gc_packed_sizes sizes, void *scratch,
                       const float *bias);

/* Set the offsets of the taps, and the places of the positions of run->phase. */
void gc_packed_begin_phase(gc_packed_run *run);

/* The units from .. to of an image. */
gc_packed_piece gc_packed_piece_of(const gc_packed_run *run, size_t image, size_t from,
                                   size_t to);

/* Pack the inputs of groups tiles.from .. to of a piece, unless they are read from the maps. */
void gc_packed_pack(const gc_packed_run *run, const gc_packed_piece *piece, float *v);

/* The product of one pair at the positions of a piece, the first of which has the place `places`;
 * where its inputs are: in v, if they are packed; and its weights. */
gc_packed gc_packed_product_of(const gc_packed_run *run, const gc_packed_piece *piece, size_t pair,
                               const gc_position *places);
const float *gc_packed_inputs_of(const gc_packed_run *run, const gc_packed_piece *piece,
                                 const float *v);
const float *gc_packed_weights_of_pair(const gc_packed_run *run, size_t pair);

#endif
