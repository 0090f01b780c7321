/* packed.h: convolution of blocked maps by kernels/packed.c: when it applies, and its run. */
#ifndef GC_LAYERS_PACKED_H
#define GC_LAYERS_PACKED_H

#include "layers/layer.h"

/* Whether it can run the convolution: with channels that fill vectors, and not on the reference
 * level. */
int gc_packed_applies(const gc_conv *conv, gc_engine engine);

size_t gc_packed_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                               size_t count, gc_engine engine);

/* The weights of a direction in the order of its products: their number of floats; make them in w,
 * aligned to GC_ALIGNMENT. */
size_t gc_packed_floats(const gc_conv *conv, int backward, gc_engine engine);
void gc_packed_weights(const gc_conv *conv, const float *weight, int backward, gc_engine engine,
                       float *w);

/* Forward, with a sum, ReLU and bits where step->fused has them; and the gradient. */
void gc_packed_forward(const gc_layer *layer, const gc_forward_step *step, const float *w);
void gc_packed_backward(const gc_layer *layer, const gc_backward_step *step, const float *w);

/* ---- Streamed by another layer, which reads the output of the ReLU a few rows at a time --- */

typedef struct gc_packed_source gc_packed_source;

/* Rows of the output of one image. The ReLU's bits of the rows from `own` on are recorded: those
 * before are computed more than once. */
typedef struct gc_source_rows {
    size_t image, begin, own, end;
} gc_source_rows;

/* A strip: `rows` rows of two blocks of the output, with the border above. Its height is that of
 * the whole map. */
gc_blocked gc_packed_strip(gc_shape out, size_t rows, gc_engine engine);

/* Bytes of a row of the output in a strip, and of its packed inputs. */
size_t gc_packed_row_bytes(const gc_conv *conv, gc_shape from, gc_shape out, gc_engine engine);

/* Scratch memory for at most `rows` rows at a time. */
size_t gc_packed_source_bytes(const gc_conv *conv, gc_shape from, gc_shape out, size_t rows,
                              gc_engine engine);

/* Made in `memory` of that many bytes, and valid as long as this. x: the maps that the streamed
 * layer reads; w: its weights. */
gc_packed_source *gc_packed_stream(const gc_streamed *streamed, gc_shape out, size_t rows,
                                   const float *x, const float *w, gc_engine engine, void *memory);

/* Pack the inputs of some rows. */
void gc_packed_source_begin(const gc_packed_source *source, size_t worker,
                            const gc_source_rows *rows);

/* Of the rows that were begun, compute the blocks 2 pair and 2 pair + 1; return them in a strip,
 * which is the worker's. */
const float *gc_packed_source_rows(const gc_packed_source *source, size_t worker,
                                   const gc_source_rows *rows, size_t pair);

#endif
