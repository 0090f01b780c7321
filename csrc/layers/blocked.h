/* blocked.h: blocked maps (gc_blocked in kernels.h): their sizes, and to and from plain ones. */
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

/* Copy `count` images' maps from one layout to the other. */
void gc_convert_maps(gc_engine engine, size_t count, gc_shape shape, gc_layout from,
                     const float *source, float *target);

/* Zeros around the first `height` rows and `width` columns of `count` images' maps. */
void gc_zero_borders(gc_engine engine, size_t count, const gc_blocked *shape, size_t height,
                     size_t width, float *maps);

#endif
