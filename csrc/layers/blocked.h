/* blocked.h: blocked maps (gc_blocked in kernels.h): sizes, borders, and copies between layouts. */
#ifndef GC_LAYERS_BLOCKED_H
#define GC_LAYERS_BLOCKED_H

#include "layers/layer.h"

/* One image's map at the engine's width. */
gc_blocked gc_blocked_of(gc_shape shape, gc_engine engine);

/* Floats of one image's map in a layout. */
size_t gc_map_floats(gc_shape shape, gc_layout layout, gc_engine engine);

/* Bytes of a mask of the vector at one position; of those of one image. */
size_t gc_mask_bytes(gc_engine engine);
size_t gc_record_mask_bytes(gc_shape shape, gc_engine engine);

/* Copy the maps of `count` images from `source` in layout `from` to `target` in layout `to`. */
void gc_copy_maps(gc_engine engine, size_t count, gc_shape shape, gc_layout from,
                  const float *source, gc_layout to, float *target);

/* Write zeros into a row of a block, except where it is inside the first `height` rows and `width`
 * columns of the map. Row 0 is the border above; all rows after the map count as border. */
void gc_zero_outside(const gc_blocked *shape, size_t lanes, size_t row, size_t height, size_t width,
                     float *to);

/* Write zeros around the first `height` rows and `width` columns of the maps of `count` images. */
void gc_zero_borders(gc_engine engine, size_t count, const gc_blocked *shape, size_t height,
                     size_t width, float *maps);

/* Some rows of one block of blocked maps. */
typedef struct gc_rows {
    size_t block; /* number, the blocks of all images counted */
    size_t row, rows;
} gc_rows;

typedef void (*gc_rows_part)(void *work, gc_rows piece, size_t worker);

/* Run all pieces of `blocks` blocks with `height` rows of `floats` floats, shared out among threads
 * like the parts of gc_parallel. */
void gc_parallel_rows(gc_engine engine, size_t blocks, size_t height, size_t floats,
                      gc_rows_part run, void *work);

/* Write zeros around the rows of a piece, and above the first and below the last row of the map. */
void gc_zero_around(const gc_blocked *shape, size_t lanes, gc_rows piece, float *maps);

#endif
