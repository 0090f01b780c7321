/* unpool.c: rows of an unpooled gradient, by the kernels of blocked maps. A window of the pooling
 * gives two rows; if only one of them is needed, the other one is computed into a spare row. */
#include "layers/unpool.h"

#include <string.h>

#include "layers/blocked.h"

size_t gc_unpool_spare_floats(gc_shape shape, gc_engine engine)
{
    return engine.workers * gc_blocked_of(shape, engine).columns * engine.kernels->width;
}

/* The memory for row y of a block, with its border: in `to`, if it is one of rows first ..
 * first + count, else the spare row. */
static float *row_for(const gc_unpooling *u, size_t worker, ptrdiff_t first, size_t count, size_t y,
                      float *to)
{
    const size_t floats = u->shape.columns * u->engine.kernels->width;
    const ptrdiff_t row = (ptrdiff_t)y - first;
    return row >= 0 && row < (ptrdiff_t)count ? to + (size_t)row * floats
                                              : u->spare + worker * floats;
}

/* Both rows of the windows of pooled row y of a block. */
static void unpool_pair(const gc_unpooling *u, size_t number, size_t block, size_t y, float *upper,
                        float *lower)
{
    const gc_kernels *kernels = u->engine.kernels;
    const size_t lanes = kernels->width, mask_bytes = gc_mask_bytes(u->engine);
    const size_t image = number % u->recorded;
    const size_t windows = gc_record_index(u->pooled.blocks, u->pooled.height, u->pooled.width,
                                           image, block, y, 0);
    const uint8_t *bits = u->bits
                          + gc_record_index(u->shape.blocks, u->shape.height, u->shape.width,
                                            image, block, 2 * y, 0)
                                * mask_bytes;
    kernels->blocked_pool_backward(
        u->pooled.width, u->positions + windows * 2 * mask_bytes,
        u->dy + gc_blocked_offset(&u->pooled, lanes, number * u->pooled.blocks + block, y, 0),
        upper, lower);
    kernels->blocked_relu_backward(2 * u->pooled.width, u->masks, bits, upper, upper);
    kernels->blocked_relu_backward(2 * u->pooled.width, u->masks,
                                   bits + u->shape.width * mask_bytes, lower, lower);
}

void gc_unpool_rows(const gc_unpooling *u, size_t worker, size_t number, ptrdiff_t first,
                    size_t count, size_t rows, float *to)
{
    const size_t lanes = u->engine.kernels->width, floats = u->shape.columns * lanes;
    const size_t end = (size_t)(first + (ptrdiff_t)count);
    const size_t from = first < 0 ? 0 : (size_t)first / 2;
    for (size_t block = 0; block < u->shape.blocks; block++, to += rows * floats) {
        for (size_t i = 0; i < count; i++)
            gc_zero_outside(&u->shape, lanes, (size_t)(first + 1) + i, u->pooled.height * 2,
                            u->pooled.width * 2, to + i * floats);
        for (size_t y = from; y < u->pooled.height && 2 * y < end; y++)
            unpool_pair(u, number, block, y, row_for(u, worker, first, count, 2 * y, to) + lanes,
                        row_for(u, worker, first, count, 2 * y + 1, to) + lanes);
    }
}
