/* blocked.c: conversion between plain and blocked maps (gc_blocked in kernels.h), and the ReLU and
 * 2x2 max pooling of blocked maps.
 *
 * The channels of one position fill a vector. So a record is made of masks of the vector: one bit
 * per value for a ReLU, two for the position of a maximum among four. */
#include "kernels/blocked.h"
#include "kernels/level.h"

/* GC_WIDTH planes to vectors and back, in squares that stay in the first-level cache. */
void GC_KERNEL(block_map)(const gc_blocked *b, size_t channels, const float *map, float *block)
{
    const size_t plane = b->height * b->width;
    for (size_t y = 0; y < b->height; y++) {
        float *out = block + gc_blocked_offset(b, GC_WIDTH, 0, y, 0);
        for (size_t x = 0; x < b->width; x += GC_WIDTH) {
            const size_t count = b->width - x < GC_WIDTH ? b->width - x : GC_WIDTH;
            float square[GC_WIDTH][GC_WIDTH];
            for (size_t c = 0; c < GC_WIDTH; c++)
                for (size_t i = 0; i < GC_WIDTH; i++)
                    square[c][i] = c < channels && i < count
                                       ? map[c * plane + y * b->width + x + i]
                                       : 0.0f;
            for (size_t i = 0; i < count; i++)
                for (size_t c = 0; c < GC_WIDTH; c++)
                    out[(x + i) * GC_WIDTH + c] = square[c][i];
        }
    }
}

void GC_KERNEL(unblock_map)(const gc_blocked *b, size_t channels, const float *block, float *map)
{
    const size_t plane = b->height * b->width;
    for (size_t y = 0; y < b->height; y++) {
        const float *in = block + gc_blocked_offset(b, GC_WIDTH, 0, y, 0);
        for (size_t x = 0; x < b->width; x += GC_WIDTH) {
            const size_t count = b->width - x < GC_WIDTH ? b->width - x : GC_WIDTH;
            for (size_t c = 0; c < channels; c++)
                for (size_t i = 0; i < count; i++)
                    map[c * plane + y * b->width + x + i] = in[(x + i) * GC_WIDTH + c];
        }
    }
}

void GC_KERNEL(blocked_relu_forward)(size_t count, float limit, const float *x, float *y,
                                     uint8_t *bits)
{
    for (size_t i = 0; i < count; i++)
        gc_store(y + i * GC_WIDTH,
                 gc_limited_relu(gc_load(x + i * GC_WIDTH), limit,
                                 bits == NULL ? NULL : bits + i * GC_BIT_BYTES));
}

void GC_KERNEL(blocked_relu_backward)(size_t count, unsigned masks, const uint8_t *bits,
                                      const float *dy, float *dx)
{
    for (size_t i = 0; i < count; i++)
        gc_store(dx + i * GC_WIDTH,
                 gc_relu_back(gc_load(dy + i * GC_WIDTH), masks, bits + i * GC_BIT_BYTES));
}

void GC_KERNEL(blocked_pool_forward)(size_t count, const float *upper, const float *lower,
                                     float *y, uint8_t *positions)
{
    for (size_t i = 0; i < count; i++, upper += 2 * GC_WIDTH, lower += 2 * GC_WIDTH)
        gc_store(y + i * GC_WIDTH,
                 gc_largest(gc_load(upper), gc_load(upper + GC_WIDTH), gc_load(lower),
                            gc_load(lower + GC_WIDTH),
                            positions == NULL ? NULL : positions + 2 * i * GC_BIT_BYTES));
}

void GC_KERNEL(blocked_pool_backward)(size_t count, const uint8_t *positions, const float *dy,
                                      float *upper, float *lower)
{
    for (size_t i = 0; i < count; i++, upper += 2 * GC_WIDTH, lower += 2 * GC_WIDTH) {
        gc_vec g[4];
        gc_place(gc_load(dy + i * GC_WIDTH), positions + 2 * i * GC_BIT_BYTES, g);
        gc_store(upper, g[0]);
        gc_store(upper + GC_WIDTH, g[1]);
        gc_store(lower, g[2]);
        gc_store(lower + GC_WIDTH, g[3]);
    }
}
