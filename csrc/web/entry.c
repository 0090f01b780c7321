/* entry.c: what a page needs besides gradcam.h. The page calls the functions of gradcam.h, those that
 * the Makefile exports, and writes their structs itself (gradcam/_page/page/core.js): what it takes
 * for granted about them is checked here. */
#include <string.h>

#include "gradcam.h"

#define WORDS(type, count) \
    _Static_assert(sizeof(type) == 4 * (count), "core.js writes another " #type)
#define WORD(type, member, number) \
    _Static_assert(offsetof(type, member) == 4 * (number), "core.js writes another " #type)

WORDS(size_t, 1);
WORDS(gc_status, 1);
WORDS(gc_error, 64);

WORDS(gc_shape, 4);
WORD(gc_shape, channels, 0);
WORD(gc_shape, height, 1);
WORD(gc_shape, width, 2);
WORD(gc_shape, flat, 3);

WORDS(gc_conv, 14);
WORD(gc_conv, in_channels, 0);
WORD(gc_conv, out_channels, 1);
WORD(gc_conv, kernel, 2);
WORD(gc_conv, stride, 4);
WORD(gc_conv, padding, 6);
WORD(gc_conv, dilation, 10);
WORD(gc_conv, groups, 12);
WORD(gc_conv, exact, 13);

WORDS(gc_pool, 11);
WORD(gc_pool, kernel, 0);
WORD(gc_pool, stride, 2);
WORD(gc_pool, padding, 4);
WORD(gc_pool, ceil_mode, 8);
WORD(gc_pool, include_pad, 9);
WORD(gc_pool, divisor, 10);

WORDS(gc_lrn, 4);
WORD(gc_lrn, size, 0);
WORD(gc_lrn, alpha, 1);
WORD(gc_lrn, beta, 2);
WORD(gc_lrn, k, 3);

WORDS(gc_activation, 6);
WORD(gc_activation, kind, 0);
WORD(gc_activation, low, 1);
WORD(gc_activation, high, 2);
WORD(gc_activation, slope, 3);
WORD(gc_activation, slopes, 4);
WORD(gc_activation, slope_count, 5);

_Static_assert(sizeof(gc_rule) <= 64, "core.js has no room for a gc_rule");
_Static_assert(GC_CLIP == 0 && GC_LEAKY_RELU == 1 && GC_PRELU == 2 && GC_ELU == 3
                   && GC_SIGMOID == 4 && GC_HARD_SIGMOID == 5 && GC_SILU == 6
                   && GC_HARD_SWISH == 7 && GC_TANH == 8 && GC_GELU == 9 && GC_GELU_TANH == 10,
               "core.js numbers the activations otherwise");
_Static_assert(GC_FLOAT32 == 0 && GC_FLOAT16 == 1, "core.js numbers the storages otherwise");
_Static_assert(GC_HALF_PIXEL == 0, "core.js numbers the methods of resizing otherwise");
_Static_assert(GC_NO_MEMORY == 1, "core.js numbers the status codes otherwise");

void gc_widen(size_t count, const uint16_t *halves, float *floats);

/* floats[i] = halves[i], IEEE's half precision, exactly; all finite. */
void gc_widen(size_t count, const uint16_t *halves, float *floats)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t sign = (uint32_t)(halves[i] & 0x8000u) << 16;
        const uint32_t size = (uint32_t)(halves[i] & 0x7fffu) << 13;
        uint32_t bits = size + (112u << 23);
        if (size < (1u << 23)) { /* a subnormal is the difference of two normal floats */
            const uint32_t above = size + (113u << 23);
            float value;
            memcpy(&value, &above, sizeof value);
            value -= 0x1p-14f;
            memcpy(&bits, &value, sizeof bits);
        }
        bits |= sign;
        memcpy(&floats[i], &bits, sizeof bits);
    }
}
