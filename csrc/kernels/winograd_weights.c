/* winograd_weights.c: the transformed weights U = G g G^T of kernels/winograd.c, from kernels g
 * as a layer holds them to vectors of output channels.
 *
 * The rows of G belong to the points of interpolation p = 0, +-A, +-B and infinity:
 * (1, p, p^2) / product of (p - q) over the other points q, and (0, 0, 1). All is computed in
 * double, product by product, and rounded once, so every level computes the same bits.
 *
 * A few channels at a time are transposed into a buffer in the first-level cache, in which the
 * kernels of one input channel are side by side, and transformed into another buffer. From it,
 * whole cache lines are written to each of the 36 planes, past the caches: the planes are a power
 * of two apart, so their lines would evict each other before they are complete. */
#include "kernels/level.h"
#include "kernels/vec.h"
#include "kernels/winograd.h"

enum {
    SIDE = GC_WINOGRAD_SIDE,
    TAPS = GC_WINOGRAD_TAPS,
    LANES = 2 * GC_WIDTH, /* output channels of a block */
    HALF = GC_WIDTH / 2,  /* doubles in a vector */
    TILE = 4              /* input channels in the buffers */
};

typedef float half_vec __attribute__((vector_size(HALF * sizeof(float))));
typedef double wide_vec __attribute__((vector_size(HALF * sizeof(double))));

static void matrix_g(double g[SIDE][3])
{
    const double points[SIDE - 1] = {0.0, GC_WINOGRAD_A, -GC_WINOGRAD_A, GC_WINOGRAD_B,
                                     -GC_WINOGRAD_B};
    for (int i = 0; i < SIDE - 1; i++) {
        double scale = 1.0;
        for (int j = 0; j < SIDE - 1; j++)
            scale *= j == i ? 1.0 : points[i] - points[j];
        g[i][0] = 1.0 / scale;
        g[i][1] = points[i] / scale;
        g[i][2] = points[i] * points[i] / scale;
    }
    g[SIDE - 1][0] = g[SIDE - 1][1] = 0.0;
    g[SIDE - 1][2] = 1.0;
}

/* factor * x, rounded by itself: the compiler does not fuse it with a sum. */
GC_INLINE wide_vec product(double factor, wide_vec x)
{
    wide_vec y = factor * x;
#if defined(__x86_64__)
    __asm__("" : "+v"(y));
#elif defined(__aarch64__)
    __asm__("" : "+w"(y));
#endif
    return y;
}

GC_INLINE wide_vec row_times(const double row[3], wide_vec x, wide_vec y, wide_vec z)
{
    return product(row[0], x) + product(row[1], y) + product(row[2], z);
}

GC_INLINE wide_vec load_wide(const float *x)
{
    half_vec v;
    __builtin_memcpy(&v, x, sizeof v);
    return __builtin_convertvector(v, wide_vec);
}

/* HALF kernels, tap by tap LANES apart, to their place in each of the 36 planes. */
GC_INLINE void transform(const double g[SIDE][3], const float *taps, size_t plane, float *u)
{
    wide_vec half[SIDE][3];
    GC_UNROLL
    for (int j = 0; j < 3; j++) {
        const wide_vec x = load_wide(taps + j * LANES), y = load_wide(taps + (3 + j) * LANES),
                       z = load_wide(taps + (6 + j) * LANES);
        GC_UNROLL
        for (int i = 0; i < SIDE; i++)
            half[i][j] = row_times(g[i], x, y, z);
    }
    GC_UNROLL
    for (int i = 0; i < SIDE; i++)
        GC_UNROLL
        for (int j = 0; j < SIDE; j++) {
            const half_vec rounded = __builtin_convertvector(
                row_times(g[j], half[i][0], half[i][1], half[i][2]), half_vec);
            __builtin_memcpy(u + (size_t)(i * SIDE + j) * plane, &rounded, sizeof rounded);
        }
}

/* buffer[c][tap][lane] from the kernels of `channels` channels; lanes without an output are not
 * written. */
static void gather(const gc_winograd_kernels *k, size_t channels, const float *weight,
                   float *buffer)
{
    for (size_t lane = 0; lane < k->outputs; lane++)
        for (size_t c = 0; c < channels; c++) {
            const float *from = weight + lane * k->output_step + c * k->channel_step;
            float *to = buffer + c * TAPS * LANES + lane;
            for (size_t tap = 0; tap < TAPS; tap++)
                to[tap * LANES] = from[k->rotated ? TAPS - 1 - tap : tap];
        }
}

void GC_KERNEL(winograd_weights)(const gc_winograd_kernels *k, size_t channels,
                                 const float *weight, size_t plane, float *u)
{
    double g[SIDE][3];
    float taps[TILE * TAPS * LANES] __attribute__((aligned(64))) = {0.0f};
    float made[SIDE * SIDE * TILE * LANES] __attribute__((aligned(64)));
    matrix_g(g);
    for (size_t first = 0; first < channels; first += TILE) {
        const size_t count = channels - first < TILE ? channels - first : TILE;
        gather(k, count, weight + first * k->channel_step, taps);
        for (size_t c = 0; c < count; c++)
            for (size_t lane = 0; lane < LANES; lane += HALF)
                transform(g, taps + c * TAPS * LANES + lane, TILE * LANES, made + c * LANES + lane);
        for (size_t xi = 0; xi < SIDE * SIDE; xi++)
            for (size_t i = 0; i < count * LANES; i += GC_WIDTH)
                gc_stream(u + xi * plane + first * LANES + i,
                          gc_load(made + xi * TILE * LANES + i));
    }
    gc_stream_end();
}
