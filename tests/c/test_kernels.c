/* test_kernels.c: every kernel of every level that this machine runs against its twin in
 * plain double loops. The kernels are those of kernels/list.h: one without a check here does not
 * compile. Sizes are drawn so that whole vectors, tails and single elements all occur. */
#include "base/clock.h"
#include "check.h"
#include "kernels/kernels.h"

typedef int (*check)(const gc_kernels *fast, const gc_kernels *plain);

/* ---- Timing ----------------------------------------------------------------------------- */

/* `test_kernels time` runs each check once, on larger sizes, and prints the time of its kernel, on
 * each level and in plain loops: the sum over the calls that the check makes. */
static int timing;

/* A size of a test, or the size that is timed. */
static size_t size_or(size_t minimum, size_t maximum, size_t timed)
{
    return timing ? timed : random_size(minimum, maximum);
}

typedef void (*any_kernel)(void);

static struct {
    any_kernel kernel;
    double seconds;
} times[400];
static size_t time_count;

static double *time_of(any_kernel kernel)
{
    size_t i = 0;
    while (i < time_count && times[i].kernel != kernel)
        i++;
    if (i == time_count)
        times[time_count++].kernel = kernel;
    return &times[i].seconds;
}

/* Call a kernel, or time it: the best of several rounds of as many calls as take SHORTEST. The
 * arguments are evaluated for each call, and outputs that are also inputs change. */
static const double SHORTEST = 20e-6;
#define CALL(kernel, ...)                                                                     \
    do {                                                                                      \
        if (!timing)                                                                          \
            kernel(__VA_ARGS__);                                                              \
        double best_ = INFINITY;                                                              \
        for (int round_ = 0, calls_ = 1; timing && round_ < 5;) {                             \
            const double start_ = gc_seconds();                                               \
            for (int i_ = 0; i_ < calls_; i_++)                                               \
                kernel(__VA_ARGS__);                                                          \
            const double taken_ = gc_seconds() - start_;                                      \
            best_ = taken_ / calls_ < best_ ? taken_ / calls_ : best_;                        \
            if (taken_ < SHORTEST)                                                            \
                calls_ *= 2;                                                                  \
            else                                                                              \
                round_++;                                                                     \
        }                                                                                     \
        if (timing)                                                                           \
            *time_of((any_kernel)(kernel)) += best_;                                          \
    } while (0)

/* Some twins are tested on one channel, the same for all lanes: for the same work as the kernel
 * they run once for each lane. */
#define FOR_LANES(lanes) for (size_t lane_ = 0; lane_ < (timing ? (lanes) : 1); lane_++)

enum { TIMED = 4096 }; /* values */

/* ---- Columns --------------------------------------------------------------------------- */

static size_t out_size(size_t size, size_t kernel, size_t stride, size_t padding,
                       size_t dilation)
{
    const size_t covered = dilation * (kernel - 1) + 1;
    return size + 2 * padding < covered ? 0 : (size + 2 * padding - covered) / stride + 1;
}

static gc_window random_window(void)
{
    gc_window w;
    do {
        w = (gc_window){.channels = size_or(1, 4, 16),
                        .height = size_or(1, 20, 28),
                        .width = size_or(1, 20, 28)};
        for (int d = 0; d < 2; d++) {
            w.kernel[d] = size_or(1, 5, 3);
            w.stride[d] = size_or(1, 3, 1);
            w.padding[d] = size_or(0, 6, 1); /* wider than the kernel too */
            w.dilation[d] = size_or(1, 3, 1);
        }
        w.out_height = out_size(w.height, w.kernel[0], w.stride[0], w.padding[0], w.dilation[0]);
        w.out_width = out_size(w.width, w.kernel[1], w.stride[1], w.padding[1], w.dilation[1]);
    } while (w.out_height == 0 || w.out_width == 0);
    return w;
}

static int check_im2col(const gc_kernels *fast, const gc_kernels *plain)
{
    const gc_window w = random_window();
    const size_t positions = w.out_height * w.out_width;
    const size_t first = size_or(0, positions - 1, 0);
    const size_t count = size_or(1, positions - first, positions);
    const size_t size = w.channels * w.kernel[0] * w.kernel[1] * count;
    float *map = random_floats(w.channels * w.height * w.width);
    float *actual = nan_floats(size), *expected = nan_floats(size);
    CALL(fast->im2col, &w, map, first, count, actual);
    CALL(plain->im2col, &w, map, first, count, expected);
    const int good = close_floats("im2col", size, actual, expected, 0.0, 0.0);
    free(map), free(actual), free(expected);
    return good;
}

static int check_col2im(const gc_kernels *fast, const gc_kernels *plain)
{
    const gc_window w = random_window();
    const size_t positions = w.out_height * w.out_width;
    const size_t first = size_or(0, positions - 1, 0);
    const size_t count = size_or(1, positions - first, positions);
    const size_t size = w.channels * w.height * w.width;
    float *columns = random_floats(w.channels * w.kernel[0] * w.kernel[1] * count);
    float *actual = random_floats(size), *expected = copy_floats(actual, size);
    CALL(fast->col2im, &w, columns, first, count, actual);
    CALL(plain->col2im, &w, columns, first, count, expected);
    const int good = close_floats("col2im", size, actual, expected, 1e-6, 1e-6);
    free(columns), free(actual), free(expected);
    return good;
}

/* ---- Winograd --------------------------------------------------------------------------- */

/* A small convolution run through the kernels of one level, whose vectors have a width of their
 * own: weights in that width's layout, plain maps in and out. */
typedef struct tiled {
    size_t images, in, out, height, width;
    const float *x, *u, *bias; /* [images][in][height][width]; [36][in][out]; [out] or NULL */
    float *y;                  /* [images][out][height][width] */
} tiled;

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static gc_blocked blocked_of(size_t channels, size_t height, size_t width, size_t lanes)
{
    return (gc_blocked){.blocks = divide_up(channels, lanes),
                        .height = height,
                        .width = width,
                        .rows = 4 * divide_up(height, 4) + 2,
                        .columns = 4 * divide_up(width, 4) + 2};
}

static size_t blocked_floats(const gc_blocked *b, size_t images, size_t lanes)
{
    return images * b->blocks * b->rows * b->columns * lanes;
}

static gc_winograd geometry(const tiled *t, const gc_kernels *kernels, size_t block)
{
    const size_t lanes = kernels->width, groups = divide_up(block, kernels->tiles);
    gc_winograd w = {.in = blocked_of(t->in, t->height, t->width, lanes),
                     .out_pairs = divide_up(t->out, 2 * lanes),
                     .tiles_down = divide_up(t->height, 4),
                     .tiles_across = divide_up(t->width, 4),
                     .group = kernels->tiles};
    w.v_plane = (w.in.blocks * lanes * groups * w.group + 15) / 16 * 16;
    w.m_tile = (36 * 2 * lanes + 15) / 16 * 16;
    return w;
}

static float *aligned_floats(size_t count, float value)
{
    float *floats = aligned_alloc(64, (count * sizeof *floats / 64 + 1) * 64);
    for (size_t i = 0; i < count; i++)
        floats[i] = value;
    return floats;
}

static uint8_t *random_bytes(size_t count)
{
    uint8_t *bytes = malloc(count + 1);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)random_bits();
    return bytes;
}

static float *weights_for(const tiled *t, const gc_winograd *w, size_t lanes)
{
    const size_t channels = w->in.blocks * lanes, outputs = w->out_pairs * 2 * lanes;
    float *u = aligned_floats(36 * channels * outputs, 0.0f);
    for (size_t xi = 0; xi < 36; xi++)
        for (size_t c = 0; c < t->in; c++)
            for (size_t k = 0; k < t->out; k++)
                u[((k / (2 * lanes) * 36 + xi) * channels + c) * 2 * lanes + k % (2 * lanes)] =
                    t->u[(xi * t->in + c) * t->out + k];
    return u;
}

static void to_blocks(const gc_kernels *kernels, const gc_blocked *b, size_t images,
                      size_t channels, const float *maps, float *blocked)
{
    const size_t lanes = kernels->width, plane = blocked_floats(b, 1, lanes) / b->blocks;
    for (size_t i = 0; i < images * b->blocks; i++) {
        const size_t from = i % b->blocks * lanes, left = channels - from;
        CALL(kernels->block_map, b, left < lanes ? left : lanes,
             maps + (i / b->blocks * channels + from) * b->height * b->width,
             blocked + i * plane);
    }
}

static void from_blocks(const gc_kernels *kernels, const gc_blocked *b, size_t images,
                        size_t channels, const float *blocked, float *maps)
{
    const size_t lanes = kernels->width, plane = blocked_floats(b, 1, lanes) / b->blocks;
    for (size_t i = 0; i < images * b->blocks; i++) {
        const size_t from = i % b->blocks * lanes, left = channels - from;
        CALL(kernels->unblock_map, b, left < lanes ? left : lanes, blocked + i * plane,
             maps + (i / b->blocks * channels + from) * b->height * b->width);
    }
}

typedef void (*finish_kernel)(const gc_winograd *winograd, size_t first, size_t count,
                              size_t pair, const float *m, const gc_finish *finish);

/* The whole convolution of blocked maps, ended by one of the finishing kernels. */
static void run_winograd(const tiled *t, const gc_kernels *kernels, size_t block,
                         finish_kernel finish_tiles, gc_finish finish)
{
    const size_t lanes = kernels->width;
    const gc_winograd w = geometry(t, kernels, block);
    const size_t tiles = w.tiles_down * w.tiles_across;
    float *in = aligned_floats(blocked_floats(&w.in, t->images, lanes), 0.0f);
    float *v = aligned_floats(36 * w.v_plane, NAN), *m = aligned_floats(block * w.m_tile, NAN);
    float *u = weights_for(t, &w, lanes);
    float *bias = aligned_floats(w.out_pairs * 2 * lanes, 0.0f);
    for (size_t k = 0; t->bias != NULL && k < t->out; k++)
        bias[k] = t->bias[k];
    finish.bias = t->bias == NULL ? NULL : bias;
    to_blocks(kernels, &w.in, t->images, t->in, t->x, in);
    for (size_t first = 0; first < t->images * tiles; first += block) {
        const size_t left = t->images * tiles - first, count = left < block ? left : block;
        const gc_tiles all = gc_tiles_of(first, count, w.group);
        gc_tiles parts[2] = {all, all};
        parts[0].to = parts[1].from = random_size(0, all.to);
        for (int part = 0; part < 2; part++)
            CALL(kernels->winograd_input, &w, parts[part], in, v);
        for (size_t pair = 0; pair < w.out_pairs; pair++)
            for (int part = 0; part < 2; part++) {
                const size_t start = gc_group_start(&parts[part], parts[part].from);
                const size_t end = gc_group_start(&parts[part], parts[part].to);
                if (start < end)
                    CALL(kernels->winograd_product, &w, parts[part], pair, u, v, m);
                CALL(finish_tiles, &w, first + start, end - start, pair, m, &finish);
            }
    }
    free(in), free(v), free(m), free(u), free(bias);
}

static void run_tiled(const tiled *t, const gc_kernels *kernels, size_t block)
{
    const gc_blocked out = blocked_of(t->out, t->height, t->width, kernels->width);
    float *maps = aligned_floats(blocked_floats(&out, t->images, kernels->width), NAN);
    run_winograd(t, kernels, block, kernels->winograd_store,
                 (gc_finish){.out = out, .maps = maps});
    from_blocks(kernels, &out, t->images, t->out, maps, t->y);
    free(maps);
}

/* Blocked maps and their records, computed by a step for each layer: the fused kernels must compute
 * the same bits. */
typedef struct records {
    uint8_t *bits, *positions;
    size_t recorded; /* images */
    unsigned masks;
} records;

static void each_row(const gc_kernels *kernels, const gc_blocked *b, size_t images, int backward,
                     const records *r, float *maps)
{
    const size_t lanes = kernels->width, bytes = divide_up(lanes, 8) * b->width;
    const size_t rows = b->blocks * b->height;
    for (size_t i = 0; i < images * rows; i++) {
        float *row =
            maps + ((i / b->height * b->rows + i % b->height + 1) * b->columns + 1) * lanes;
        if (backward)
            CALL(kernels->blocked_relu_backward, b->width, r->masks,
                 r->bits + i % (r->recorded * rows) * bytes, row, row);
        else
            CALL(kernels->blocked_relu_forward, b->width, INFINITY, row, row, r->bits + i * bytes);
    }
}

/* Pool `full` to `half`, or back. */
static void each_window(const gc_kernels *kernels, const gc_blocked *f, const gc_blocked *h,
                        size_t images, int backward, const records *r, float *full, float *half)
{
    const size_t lanes = kernels->width, bytes = 2 * divide_up(lanes, 8) * h->width;
    const size_t rows = h->blocks * h->height;
    for (size_t i = 0; i < images * rows; i++) {
        const size_t plane = i / h->height, y = i % h->height;
        float *upper = full + ((plane * f->rows + 2 * y + 1) * f->columns + 1) * lanes;
        float *lower = upper + f->columns * lanes;
        float *row = half + ((plane * h->rows + y + 1) * h->columns + 1) * lanes;
        if (backward)
            CALL(kernels->blocked_pool_backward, h->width,
                 r->positions + i % (r->recorded * rows) * bytes, row,
                 upper, lower);
        else
            CALL(kernels->blocked_pool_forward, h->width, upper, lower, row,
                 r->positions + i * bytes);
    }
}

static int same(const char *what, const void *a, const void *b, size_t bytes)
{
    if (memcmp(a, b, bytes) == 0)
        return 1;
    if (!quiet)
        fprintf(stderr, "%s: fused and step by step differ\n", what);
    return 0;
}

/* winograd_relu and winograd_relu_pool against winograd_store and the blocked kernels. */
static int check_fused_forward(const tiled *t, const gc_kernels *kernels, size_t block)
{
    const size_t lanes = kernels->width, mask = divide_up(lanes, 8);
    const gc_blocked full = blocked_of(t->out, t->height, t->width, lanes);
    const gc_blocked half = blocked_of(t->out, t->height / 2, t->width / 2, lanes);
    const size_t floats = blocked_floats(&full, t->images, lanes);
    const size_t pooled = blocked_floats(&half, t->images, lanes);
    const size_t bits = t->images * full.blocks * full.height * full.width * mask;
    const size_t positions = t->images * half.blocks * half.height * half.width * 2 * mask;
    float *steps = aligned_floats(floats, 0.0f), *fused = aligned_floats(floats, 0.0f);
    float *steps_half = aligned_floats(pooled, 0.0f), *fused_half = aligned_floats(pooled, 0.0f);
    records a = {.bits = calloc(bits + 1, 1), .positions = calloc(positions + 1, 1)};
    records b = {.bits = calloc(bits + 1, 1), .positions = calloc(positions + 1, 1)};
    run_winograd(t, kernels, block, kernels->winograd_store,
                 (gc_finish){.out = full, .maps = steps});
    each_row(kernels, &full, t->images, 0, &a, steps);
    each_window(kernels, &full, &half, t->images, 0, &a, steps, steps_half);
    run_winograd(t, kernels, block, kernels->winograd_relu,
                 (gc_finish){.out = full, .maps = fused, .limit = INFINITY, .bits = b.bits});
    int good = same("winograd_relu", steps, fused, floats * sizeof(float))
               & same("its bits", a.bits, b.bits, bits);
    memset(b.bits, 0, bits);
    run_winograd(t, kernels, block, kernels->winograd_relu_pool,
                 (gc_finish){.out = half,
                             .maps = fused_half,
                             .limit = INFINITY,
                             .bits = b.bits,
                             .positions = b.positions});
    good &= same("winograd_relu_pool", steps_half, fused_half, pooled * sizeof(float))
            & same("its bits", a.bits, b.bits, bits)
            & same("its positions", a.positions, b.positions, positions);
    free(steps), free(fused), free(steps_half), free(fused_half);
    free(a.bits), free(a.positions), free(b.bits), free(b.positions);
    return good;
}

/* winograd_mask and winograd_unpool, likewise. Unpooled maps may have a row and a column that no
 * window covers. */
static int check_fused_backward(const tiled *t, const gc_kernels *kernels, size_t block)
{
    const size_t lanes = kernels->width, mask = divide_up(lanes, 8);
    const gc_blocked half = blocked_of(t->out, t->height, t->width, lanes);
    const gc_blocked full = blocked_of(t->out, 2 * t->height + random_size(0, 1),
                                       2 * t->width + random_size(0, 1), lanes);
    const size_t floats = blocked_floats(&full, t->images, lanes);
    const size_t pooled = blocked_floats(&half, t->images, lanes);
    float *steps = aligned_floats(floats, 0.0f), *fused = aligned_floats(floats, 0.0f);
    float *steps_half = aligned_floats(pooled, 0.0f), *fused_half = aligned_floats(pooled, 0.0f);
    const records r = {
        .bits = random_bytes(t->images * full.blocks * full.height * full.width * mask),
        .positions = random_bytes(t->images * full.blocks * t->height * t->width * 2 * mask),
        .recorded = t->images == 2 ? random_size(1, 2) : 1,
        .masks = (unsigned)random_size(0, 3)};
    if (lanes < 8) /* a byte holds no more than the lanes' bits */
        for (size_t i = 0; i < t->images * full.blocks * full.height * full.width; i++)
            r.bits[i] = (uint8_t)(r.bits[i] & ((1u << lanes) - 1));
    if (lanes < 8)
        for (size_t i = 0; i < t->images * full.blocks * t->height * t->width * 2; i++)
            r.positions[i] = (uint8_t)(r.positions[i] & ((1u << lanes) - 1));
    run_winograd(t, kernels, block, kernels->winograd_store,
                 (gc_finish){.out = half, .maps = steps_half});
    each_window(kernels, &full, &half, t->images, 1, &r, steps, steps_half);
    each_row(kernels, &full, t->images, 1, &r, steps);
    gc_finish finish = {.out = full,
                        .maps = fused,
                        .bits = r.bits,
                        .positions = r.positions,
                        .recorded = r.recorded,
                        .masks = r.masks};
    run_winograd(t, kernels, block, kernels->winograd_unpool, finish);
    int good = same("winograd_unpool", steps, fused, floats * sizeof(float));
    each_row(kernels, &half, t->images, 1, &r, steps_half);
    finish.out = half;
    finish.maps = fused_half;
    run_winograd(t, kernels, block, kernels->winograd_mask, finish);
    good &= same("winograd_mask", steps_half, fused_half, pooled * sizeof(float));
    free(steps), free(fused), free(steps_half), free(fused_half);
    free(r.bits), free(r.positions);
    return good;
}

static tiled random_tiled(void)
{
    tiled t = {.images = size_or(1, 2, 1),
               .in = size_or(1, 20, 64),
               .out = size_or(1, 40, 64),
               .height = size_or(1, 13, 28),
               .width = size_or(1, 13, 28)};
    t.x = random_floats(t.images * t.in * t.height * t.width);
    t.u = random_floats(36 * t.in * t.out);
    t.bias = random_floats(t.out);
    return t;
}

static void free_tiled(tiled t)
{
    free((float *)t.x), free((float *)t.u), free((float *)t.bias);
}

static int check_stored(const gc_kernels *fast, const gc_kernels *plain)
{
    tiled t = random_tiled();
    const size_t size = t.images * t.out * t.height * t.width;
    float *actual = nan_floats(size), *expected = nan_floats(size);
    t.y = actual;
    run_tiled(&t, fast, size_or(1, 30, 28));
    t.y = expected;
    run_tiled(&t, plain, size_or(1, 30, 28));
    /* Values of some hundreds: 36 * in products of terms up to 30. */
    const int good = close_floats("winograd", size, actual, expected, 2e-3, 1e-5);
    free(actual), free(expected);
    free_tiled(t);
    return good;
}

static int check_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const tiled t = random_tiled();
    const size_t block = size_or(1, 30, 28);
    const int good = check_fused_forward(&t, fast, block) & check_fused_forward(&t, plain, block);
    free_tiled(t);
    return good;
}

static int check_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t block = size_or(1, 30, 28);
    const tiled t = random_tiled();
    tiled without = t;
    without.bias = NULL; /* a backward pass has none */
    const int good =
        check_fused_backward(&without, fast, block) & check_fused_backward(&without, plain, block);
    free_tiled(t);
    return good;
}

/* U of one level, for a block of its own two vectors of outputs, against blocks of two. */
static int check_winograd_weights(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = 2 * fast->width, in = size_or(1, 40, 64), plane = in + random_size(0, 3);
    gc_winograd_kernels k = {.outputs = size_or(1, lanes, lanes),
                             .rotated = (int)random_size(0, 1)};
    k.output_step = k.rotated ? 9 : in * 9;
    k.channel_step = k.rotated ? lanes * 9 : 9;
    float *weight = random_floats(in * lanes * 9);
    float *actual = aligned_floats(36 * plane * lanes, NAN), *expected = nan_floats(36 * plane * 2);
    CALL(fast->winograd_weights, &k, in, weight, plane * lanes, actual);
    int good = 1;
    for (size_t pair = 0; pair < lanes / 2; pair++) {
        gc_winograd_kernels two = k;
        two.outputs = k.outputs <= 2 * pair ? 0 : k.outputs - 2 * pair;
        CALL(plain->winograd_weights, &two, in, weight + 2 * pair * k.output_step, plane * 2,
             expected);
        for (size_t i = 0; i < 36 * in * 2; i++) { /* the same bits */
            const size_t row = i / (in * 2) * plane + i / 2 % in;
            good &= actual[row * lanes + 2 * pair + i % 2] == expected[row * 2 + i % 2];
        }
    }
    free(weight), free(actual), free(expected);
    return good;
}

/* They are steps of one computation. */
#define check_block_map check_stored
#define check_unblock_map check_stored
#define check_winograd_input check_stored
#define check_winograd_product check_stored
#define check_winograd_store check_stored
#define check_winograd_relu check_forward
#define check_winograd_relu_pool check_forward
#define check_winograd_mask check_backward
#define check_winograd_unpool check_backward

/* ---- ReLU and pooling of blocked maps ------------------------------------------------------- */

static float *relu_inputs(size_t count);
static float random_limit(void);

/* Positions of one channel each, or the same with that channel in every lane. */
static float *in_lanes(size_t count, const float *values, size_t lanes)
{
    float *spread = aligned_floats(count * lanes, 0.0f);
    for (size_t i = 0; i < count * lanes; i++)
        spread[i] = values[i / lanes];
    return spread;
}

/* Whether every lane of a row of vectors is what the twin, of one lane, has. */
static int same_lanes(const char *what, size_t count, size_t lanes, const float *actual,
                      const float *expected)
{
    float *spread = in_lanes(count, expected, lanes);
    const int good = close_floats(what, count * lanes, actual, spread, 0.0, 0.0);
    free(spread);
    return good;
}

static int same_masks(const char *what, size_t count, size_t lanes, const uint8_t *actual,
                      const uint8_t *expected)
{
    const size_t bytes = divide_up(lanes, 8);
    for (size_t i = 0; i < count * lanes; i++)
        if ((actual[i / lanes * bytes + i % lanes / 8] >> (i % lanes % 8) & 1)
            != expected[i / lanes]) {
            if (!quiet)
                fprintf(stderr, "%s: mask %zu differs\n", what, i / lanes);
            return 0;
        }
    return 1;
}

static int check_blocked_relu(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 20, 224), lanes = fast->width;
    const unsigned masks = (unsigned)random_size(0, 3);
    const float limit = random_limit();
    float *x = relu_inputs(count), *wide = in_lanes(count, x, lanes);
    float *g = relu_inputs(count), *wide_g = in_lanes(count, g, lanes);
    uint8_t *bits = calloc(count * divide_up(lanes, 8), 1), *expected_bits = calloc(count, 1);
    CALL(fast->blocked_relu_forward, count, limit, wide, wide, bits);
    FOR_LANES(lanes)
        CALL(plain->blocked_relu_forward, count, limit, x, x, expected_bits);
    int good = same_lanes("blocked_relu_forward", count, lanes, wide, x)
               & same_masks("blocked_relu_forward", count, lanes, bits, expected_bits);
    CALL(fast->blocked_relu_backward, count, masks, bits, wide_g, wide_g);
    FOR_LANES(lanes)
        CALL(plain->blocked_relu_backward, count, masks, expected_bits, g, g);
    good &= same_lanes("blocked_relu_backward", count, lanes, wide_g, g);
    free(x), free(wide), free(g), free(wide_g), free(bits), free(expected_bits);
    return good;
}

#define check_blocked_relu_forward check_blocked_relu
#define check_blocked_relu_backward check_blocked_relu

static int check_blocked_pool(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 20, 224), lanes = fast->width;
    float *x = relu_inputs(4 * count), *wide = in_lanes(4 * count, x, lanes);
    for (size_t i = 0; i < 4 * count; i++) /* equal values too */
        if (random_bits() % 2) {
            x[i] = roundf(x[i]);
            for (size_t l = 0; l < lanes; l++)
                wide[i * lanes + l] = x[i];
        }
    float *y = nan_floats(count), *wide_y = in_lanes(count, y, lanes);
    float *g = random_floats(count), *wide_g = in_lanes(count, g, lanes);
    uint8_t *p = calloc(2 * count * divide_up(lanes, 8), 1), *expected_p = calloc(2 * count, 1);
    CALL(fast->blocked_pool_forward, count, wide, wide + 2 * count * lanes, wide_y, p);
    FOR_LANES(lanes)
        CALL(plain->blocked_pool_forward, count, x, x + 2 * count, y, expected_p);
    int good = same_lanes("blocked_pool_forward", count, lanes, wide_y, y)
               & same_masks("blocked_pool_forward", 2 * count, lanes, p, expected_p);
    CALL(fast->blocked_pool_backward, count, p, wide_g, wide, wide + 2 * count * lanes);
    FOR_LANES(lanes)
        CALL(plain->blocked_pool_backward, count, expected_p, g, x, x + 2 * count);
    good &= same_lanes("blocked_pool_backward", 4 * count, lanes, wide, x);
    free(x), free(wide), free(y), free(wide_y), free(g), free(wide_g), free(p), free(expected_p);
    return good;
}

#define check_blocked_pool_forward check_blocked_pool
#define check_blocked_pool_backward check_blocked_pool

/* ---- Products over packed inputs ---------------------------------------------------------------- */

/* A convolution of one image by packed products. */
typedef struct packed_case {
    size_t in, out, height, width; /* channels and size of the input */
    size_t grid[2], taps;
    ptrdiff_t (*offsets)[2];
    size_t step[2];
    int unpacked;        /* whether the product reads the maps */
    const float *x, *w, *bias, *add; /* w [out][in][taps]; bias, add: or NULL */
    gc_after after;
    unsigned masks;
    float limit;
    const uint8_t *open; /* [out][grid]: whether the ReLU before passes gradients */
    float *y;            /* [out][grid] */
    uint8_t *bits;       /* [out][grid], of the ReLU after; or NULL */
} packed_case;

static float *packed_weights(const packed_case *t, size_t lanes)
{
    const size_t pairs = divide_up(t->out, 2 * lanes), blocks = divide_up(t->in, lanes);
    float *w = aligned_floats(pairs * blocks * t->taps * lanes * 2 * lanes, 0.0f);
    for (size_t k = 0; k < t->out; k++)
        for (size_t c = 0; c < t->in; c++)
            for (size_t tap = 0; tap < t->taps; tap++)
                w[(((k / (2 * lanes) * blocks + c / lanes) * t->taps + tap) * lanes + c % lanes)
                      * 2 * lanes
                  + k % (2 * lanes)] = t->w[(k * t->in + c) * t->taps + tap];
    return w;
}

static size_t bit_index(const packed_case *t, size_t channel, size_t position, size_t lanes)
{
    return (channel / lanes * t->grid[0] * t->grid[1] + position) * divide_up(lanes, 8);
}

static void run_packed(const gc_kernels *kernels, const packed_case *t)
{
    const size_t lanes = kernels->width, positions = t->grid[0] * t->grid[1];
    const gc_blocked in = blocked_of(t->in, t->height, t->width, lanes);
    const gc_blocked out = blocked_of(t->out, t->grid[0], t->grid[1], lanes);
    const size_t out_floats = blocked_floats(&out, 1, lanes);
    const size_t group = in.blocks * t->taps * kernels->tiles * lanes;
    float *maps = aligned_floats(blocked_floats(&in, 1, lanes), 0.0f);
    float *y = aligned_floats(out_floats, NAN), *add = aligned_floats(out_floats, 0.0f);
    float *w = packed_weights(t, lanes);
    float *bias = aligned_floats(divide_up(t->out, 2 * lanes) * 2 * lanes, 0.0f);
    gc_position *places = calloc(positions, sizeof *places);
    uint8_t *bits = calloc(out.blocks * positions * divide_up(lanes, 8), 1);
    const gc_tiles tiles = gc_tiles_of(0, t->unpacked ? t->grid[1] : positions, kernels->tiles);
    float *v = aligned_floats(tiles.to * group, NAN);
    to_blocks(kernels, &in, 1, t->in, t->x, maps);
    if (t->add != NULL)
        to_blocks(kernels, &out, 1, t->out, t->add, add);
    for (size_t k = 0; t->bias != NULL && k < t->out; k++)
        bias[k] = t->bias[k];
    for (size_t p = 0; p < positions; p++)
        places[p] = (gc_position){
            .map = (p / t->grid[1] + 1) * out.columns + p % t->grid[1] + 1, .record = p};
    for (size_t i = 0; t->after == GC_AFTER_MASK && i < t->out * positions; i++)
        if (t->open[i])
            bits[bit_index(t, i / positions, i % positions, lanes) + i / positions % lanes / 8] |=
                (uint8_t)(1u << (i / positions % lanes % 8));
    const gc_gather gather = {.in = in,
                              .width = t->grid[1],
                              .step = {t->step[0], t->step[1]},
                              .taps = t->taps,
                              .offsets = (const ptrdiff_t(*)[2])t->offsets};
    for (size_t g = 0; g < tiles.to; g++)
        CALL(kernels->pack_inputs, &gather, gc_group_start(&tiles, g), gc_group_size(&tiles, g),
             maps, v + g * group);
    const gc_packed packed = {.places = places,
                              .rows = t->unpacked ? t->grid[0] : 1,
                              .row = t->grid[1],
                              .x_row = in.columns * lanes,
                              .x_block = t->unpacked ? gc_blocked_plane(&in, lanes)
                                                     : kernels->tiles * lanes,
                              .x_group = t->unpacked ? 0 : group,
                              .depth = in.blocks * t->taps,
                              .next = w,
                              .lines = 1,
                              .fetching = 2,
                              .after = t->after};
    const gc_finish finish = {.out = out,
                              .maps = y,
                              .bias = t->bias == NULL ? NULL : bias,
                              .add = t->add == NULL ? NULL : add,
                              .limit = t->limit,
                              .bits = bits,
                              .masks = t->masks};
    for (size_t pair = 0; pair < divide_up(t->out, 2 * lanes); pair++)
        CALL(kernels->packed_product, &packed, tiles, pair,
             w + pair * packed.depth * lanes * 2 * lanes,
             t->unpacked ? maps + gc_blocked_offset(&in, lanes, 0, 0, 0) : v, &finish);
    from_blocks(kernels, &out, 1, t->out, y, t->y);
    for (size_t i = 0; i < t->out * positions; i++)
        t->bits[i] = bits[bit_index(t, i / positions, i % positions, lanes)
                          + i / positions % lanes / 8]
                         >> (i / positions % lanes % 8)
                     & 1;
    free(maps), free(y), free(add), free(w), free(bias), free(places), free(bits), free(v);
}

static int check_packed(const gc_kernels *fast, const gc_kernels *plain)
{
    packed_case t = {.in = size_or(1, 20, 64), .out = size_or(1, 40, 64),
                     .height = size_or(1, 9, 28), .width = size_or(1, 9, 28),
                     .taps = size_or(1, 4, 9), .step = {random_size(1, 2), random_size(1, 2)},
                     .after = (gc_after)random_size(0, 2), .masks = (unsigned)random_size(0, 3),
                     .limit = random_limit()};
    t.grid[0] = size_or(1, 7, 28), t.grid[1] = size_or(1, 7, 28);
    t.unpacked = random_bits() % 2;
    if (t.unpacked) {
        t.taps = t.step[0] = t.step[1] = 1;
        t.grid[0] = random_size(1, t.height), t.grid[1] = random_size(1, t.width);
    }
    const size_t values = t.out * t.grid[0] * t.grid[1];
    float *x = random_floats(t.in * t.height * t.width), *bias = random_floats(t.out);
    float *w = random_floats(t.out * t.in * t.taps), *add = random_floats(values);
    ptrdiff_t offsets[9][2];
    uint8_t *open = calloc(values, 1);
    for (size_t i = 0; i < values; i++)
        open[i] = random_bits() % 2;
    for (size_t tap = 0; tap < t.taps; tap++)
        for (int d = 0; d < 2; d++)
            offsets[tap][d] = t.unpacked ? 0 : (ptrdiff_t)random_size(0, 8) - 3;
    t.x = x, t.w = w, t.open = open, t.offsets = offsets;
    t.bias = random_bits() % 2 ? bias : NULL;
    t.add = random_bits() % 2 ? add : NULL;
    float *results[2] = {nan_floats(values), nan_floats(values)};
    uint8_t *bits[2] = {calloc(values, 1), calloc(values, 1)};
    for (int i = 0; i < 2; i++) {
        t.y = results[i], t.bits = bits[i];
        run_packed(i == 0 ? fast : plain, &t);
    }
    int good = 1;
    for (size_t i = 0; i < values; i++)
        if (fabsf(results[1][i]) < 1e-4f || fabsf(results[1][i] - t.limit) < 1e-4f)
            results[0][i] = results[1][i]; /* decided by rounding */
        else
            good &= bits[0][i] == bits[1][i];
    good &= close_floats("packed_product", values, results[0], results[1], 1e-5, 1e-5);
    free(x), free(bias), free(w), free(add), free(open);
    for (int i = 0; i < 2; i++)
        free(results[i]), free(bits[i]);
    return good;
}

#define check_pack_inputs check_packed
#define check_packed_product check_packed

/* ---- Few channels ---------------------------------------------------------------------------- */

static int check_direct_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width, taps = size_or(1, 30, 27), count = size_or(1, 40, 224);
    const size_t length = 100, channel = random_size(0, lanes - 1);
    const int relu = timing || random_bits() % 2;
    const float limit = random_limit();
    size_t offsets[30];
    for (size_t t = 0; t < taps; t++)
        offsets[t] = random_size(0, length - 1);
    const gc_direct d = {.taps = taps, .stride = random_size(1, 2), .offsets = offsets};
    float *rows = random_floats(length + 2 * count);
    float *w = random_floats(2 * taps), *wide_w = aligned_floats(2 * lanes * taps, 1.0f);
    float *bias = random_floats(2), *wide_bias = aligned_floats(2 * lanes, 0.0f);
    for (size_t half = 0; half < 2; half++) {
        wide_bias[half * lanes + channel] = bias[half];
        for (size_t t = 0; t < taps; t++)
            wide_w[(2 * t + half) * lanes + channel] = w[2 * t + half];
    }
    float *y = nan_floats(2 * count), *wide_y = aligned_floats(2 * count * lanes, NAN);
    uint8_t *bits = calloc(2 * count * divide_up(lanes, 8), 1);
    CALL(fast->direct_forward, &d, count, rows, wide_w, wide_bias, wide_y, count * lanes, relu,
         limit, bits, count * divide_up(lanes, 8));
    FOR_LANES(lanes)
        CALL(plain->direct_forward, &d, count, rows, w, bias, y, count, relu, limit, NULL, 0);
    float *actual = nan_floats(2 * count);
    int good = 1;
    for (size_t i = 0; i < 2 * count; i++) {
        actual[i] = wide_y[i * lanes + channel];
        const int bit = bits[i * divide_up(lanes, 8) + channel / 8] >> (channel % 8) & 1;
        good &= bit == (relu && actual[i] > 0.0f && actual[i] < limit);
    }
    good &= close_floats("direct_forward", 2 * count, actual, y, 1e-5, 1e-5);
    free(rows), free(w), free(wide_w), free(bias), free(wide_bias), free(y), free(wide_y);
    free(bits), free(actual);
    return good;
}

static int check_direct_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width, blocks = size_or(1, 3, 8), pairs = size_or(1, 2, 2);
    const size_t count = size_or(1, 40, 224), channels = blocks * lanes;
    const size_t tap_count = 2 * lanes * pairs;
    float *dy = random_floats(channels * count), *w = random_floats(channels * tap_count);
    float *actual = nan_floats(count * tap_count), *expected = nan_floats(count * tap_count);
    /* The twin's layouts are those of one lane: [pair][channel][2], and a block a channel. */
    float *plain_dy = nan_floats(channels * count), *plain_w = nan_floats(channels * tap_count);
    for (size_t c = 0; c < channels; c++) {
        for (size_t p = 0; p < count; p++)
            plain_dy[c * count + p] = dy[(c / lanes * count + p) * lanes + c % lanes];
        for (size_t t = 0; t < tap_count; t++)
            plain_w[(t / 2 * channels + c) * 2 + t % 2] =
                w[(t / (2 * lanes) * channels + c) * 2 * lanes + t % (2 * lanes)];
    }
    CALL(fast->direct_backward, count, blocks, count * lanes, pairs, dy, w, actual);
    CALL(plain->direct_backward, count, channels, count, tap_count / 2, plain_dy, plain_w,
         expected);
    const int good =
        close_floats("direct_backward", count * tap_count, actual, expected, 1e-5, 1e-5);
    free(dy), free(w), free(actual), free(expected), free(plain_dy), free(plain_w);
    return good;
}

/* ---- Depthwise convolution ---------------------------------------------------------------------- */

/* A convolution of one block, and its arrays for vectors and for one of their channels. */
typedef struct depthwise {
    gc_depthwise maps;
    gc_taps taps[2][3];
    size_t taps_count, channels, channel, first, end;
    float *weight, *w, *plain_w, *bias, *x, *plain_x, *y, *plain_y;
    uint8_t *bits, *plain_bits;
} depthwise;

/* Any phases: usually those that have code of their own. */
static size_t random_phases(depthwise *d, int axis)
{
    static const size_t counts[] = {1, 2, 3, 3, 3, 5, 5, 7, 4, 0};
    const size_t phases = size_or(1, 3, 1);
    size_t before = 0;
    for (size_t i = 0; i < phases; i++) {
        d->taps[axis][i] = (gc_taps){.count = timing ? 3 : counts[random_size(0, 9)],
                                     .before = before,
                                     .first = (ptrdiff_t)size_or(0, 9, 7) - 8};
        before += d->taps[axis][i].count;
    }
    d->maps.phases[axis] = phases;
    d->maps.stride[axis] = size_or(1, 2, 1);
    d->maps.dilation[axis] = timing || random_bits() % 4 ? 1 : random_size(2, 3);
    return before;
}

static depthwise *random_depthwise(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width;
    depthwise *d = calloc(1, sizeof *d);
    d->channels = size_or(1, lanes, lanes);
    d->maps.in = blocked_of(lanes, size_or(1, 20, 28), size_or(1, 30, 28), lanes);
    d->maps.out = blocked_of(lanes, size_or(1, 20, 28), size_or(1, 30, 28), lanes);
    d->taps_count = random_phases(d, 0);
    d->maps.kernel_width = random_phases(d, 1);
    d->taps_count *= d->maps.kernel_width;
    d->channel = random_size(0, d->channels - 1);
    d->first = size_or(0, d->maps.out.height - 1, 0);
    d->end = random_bits() % 2 || timing ? d->maps.out.height
                                        : random_size(d->first + 1, d->maps.out.height);
    const size_t in = blocked_floats(&d->maps.in, 1, lanes) / lanes;
    const size_t out = blocked_floats(&d->maps.out, 1, lanes) / lanes;
    size_t *order = malloc((d->taps_count + 1) * sizeof *order);
    for (size_t t = 0; t < d->taps_count; t++)
        order[t] = d->taps_count - 1 - t;
    d->weight = random_floats(d->channels * d->taps_count);
    d->w = aligned_floats((d->taps_count + 1) * lanes, NAN);
    d->plain_w = nan_floats(d->taps_count);
    CALL(fast->depthwise_weights, d->taps_count, order, d->channels, d->weight, d->w);
    FOR_LANES(lanes)
        CALL(plain->depthwise_weights, d->taps_count, order, 1,
             d->weight + d->channel * d->taps_count, d->plain_w);
    d->bias = random_floats(lanes);
    d->plain_x = random_floats(in);
    d->x = aligned_floats(in * lanes, 0.0f);
    for (size_t i = 0; i < in; i++) {
        const size_t row = i / d->maps.in.columns, column = i % d->maps.in.columns;
        const int outside = row == 0 || row > d->maps.in.height || column == 0
                            || column > d->maps.in.width;
        for (size_t k = 0; k < d->channels && !outside; k++)
            d->x[i * lanes + k] = k == d->channel ? d->plain_x[i] : random_float();
    }
    for (size_t k = d->channels; k < lanes; k++)
        d->bias[k] = 0.0f;
    d->y = aligned_floats(out * lanes, 7.0f);
    d->plain_y = aligned_floats(out, 7.0f);
    d->bits = calloc(out * divide_up(lanes, 8), 1);
    d->plain_bits = calloc(out, 1);
    free(order);
    d->maps.taps[0] = d->taps[0];
    d->maps.taps[1] = d->taps[1];
    return d;
}

/* Whether the channel has the twin's values, and the channels that fill up the block are zero in
 * the rows that were written. */
static int same_depthwise(const char *what, const depthwise *d, size_t lanes)
{
    const size_t vectors = blocked_floats(&d->maps.out, 1, lanes) / lanes;
    float *actual = nan_floats(vectors);
    int good = 1;
    for (size_t i = 0; i < vectors; i++) {
        actual[i] = d->y[i * lanes + d->channel];
        const size_t row = i / d->maps.out.columns;
        if (row > d->first && row <= d->end)
            for (size_t k = d->channels; k < lanes; k++)
                good &= d->y[i * lanes + k] == 0.0f;
    }
    good &= close_floats(what, vectors, actual, d->plain_y, 2e-5, 1e-5);
    free(actual);
    return good;
}

static void free_depthwise(depthwise *d)
{
    free(d->weight), free(d->w), free(d->plain_w), free(d->bias), free(d->x), free(d->plain_x);
    free(d->y), free(d->plain_y), free(d->bits), free(d->plain_bits), free(d);
}

static int check_depthwise_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width, mask = divide_up(lanes, 8);
    depthwise *d = random_depthwise(fast, plain);
    const int relu = timing || random_bits() % 4, records = random_bits() % 2;
    const float limit = random_bits() % 2 ? INFINITY : 1.0f;
    CALL(fast->depthwise_forward, &d->maps, d->first, d->end, d->w, d->bias, d->x, d->y, relu, limit,
         records ? d->bits : NULL);
    FOR_LANES(lanes)
        CALL(plain->depthwise_forward, &d->maps, d->first, d->end, d->plain_w, d->bias + d->channel,
             d->plain_x, d->plain_y, relu, limit, records ? d->plain_bits : NULL);
    int good = same_depthwise("depthwise_forward", d, lanes);
    const gc_blocked *out = &d->maps.out;
    for (size_t i = 0; i < out->height * out->width; i++) {
        const size_t y = i / out->width;
        const float value = d->y[gc_blocked_offset(out, lanes, 0, y, i % out->width) + d->channel];
        const int bit = d->bits[i * mask + d->channel / 8] >> (d->channel % 8) & 1;
        const int written = relu && records && y >= d->first && y < d->end;
        good &= bit == (written && value > 0.0f && value < limit);
        good &= (int)d->plain_bits[i] == bit || fabsf(value) < 1e-4f || fabsf(value - 1.0f) < 1e-4f;
    }
    free_depthwise(d);
    return good;
}

static int check_depthwise_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width, mask = divide_up(lanes, 8);
    depthwise *d = random_depthwise(fast, plain);
    const int relu = timing || random_bits() % 4;
    const unsigned masks = (unsigned)random_size(0, 3);
    for (size_t i = 0; i < d->maps.out.height * d->maps.out.width; i++) {
        d->plain_bits[i] = random_bits() % 2;
        d->bits[i * mask + d->channel / 8] |= (uint8_t)(d->plain_bits[i] << d->channel % 8);
    }
    CALL(fast->depthwise_backward, &d->maps, d->first, d->end, d->w, d->x, d->y, relu, masks, d->bits);
    FOR_LANES(lanes)
        CALL(plain->depthwise_backward, &d->maps, d->first, d->end, d->plain_w, d->plain_x, d->plain_y,
             relu, masks, d->plain_bits);
    const int good = same_depthwise("depthwise_backward", d, lanes);
    free_depthwise(d);
    return good;
}

#define check_depthwise_weights check_depthwise_forward

/* ---- ReLU ------------------------------------------------------------------------------ */

static int check_bias(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    const float bias = random_float();
    float *actual = random_floats(count), *expected = copy_floats(actual, count);
    CALL(fast->bias, count, bias, actual);
    CALL(plain->bias, count, bias, expected);
    const int good = close_floats("bias", count, actual, expected, 0.0, 0.0);
    free(actual), free(expected);
    return good;
}

/* Of a ReLU: none, or one that some inputs equal. */
static float random_limit(void)
{
    return timing || random_bits() % 2 ? INFINITY : 0.5f;
}

/* Values among which are zeros of both signs and NaN, the corners of a ReLU. */
static float *relu_inputs(size_t count)
{
    static const float corners[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 0.5f};
    float *x = random_floats(count);
    for (size_t i = 0; i < count; i++)
        if (random_bits() % 8 == 0)
            x[i] = corners[random_bits() % 6];
    return x;
}

static int check_bias_relu(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED), bytes = (count + 7) / 8;
    const float bias = random_float(), limit = random_limit();
    float *actual = relu_inputs(count), *expected = copy_floats(actual, count);
    uint8_t fast_bits[TIMED / 8 + 9], plain_bits[TIMED / 8 + 9];
    memset(fast_bits, 0xA5, sizeof fast_bits);
    CALL(fast->bias_relu, count, bias, limit, actual, fast_bits);
    CALL(plain->bias_relu, count, bias, limit, expected, plain_bits);
    const int good = close_floats("bias_relu", count, actual, expected, 0.0, 0.0)
                     && memcmp(fast_bits, plain_bits, bytes) == 0;
    free(actual), free(expected);
    return good;
}

static int check_relu_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED), bytes = (count + 7) / 8;
    const float limit = random_limit();
    float *x = relu_inputs(count);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    uint8_t fast_bits[TIMED / 8 + 9], plain_bits[TIMED / 8 + 9];
    memset(fast_bits, 0xA5, sizeof fast_bits);
    CALL(fast->relu_forward, count, limit, x, actual, fast_bits);
    CALL(plain->relu_forward, count, limit, x, expected, plain_bits);
    const int good = close_floats("relu_forward", count, actual, expected, 0.0, 0.0)
                     && memcmp(fast_bits, plain_bits, bytes) == 0;
    free(x), free(actual), free(expected);
    return good;
}

static int check_relu_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    int good = 1;
    for (unsigned masks = 0; masks <= 3 && good; masks++) {
        float *dy = random_floats(count);
        float *actual = nan_floats(count), *expected = nan_floats(count);
        uint8_t bits[TIMED / 8 + 9];
        for (size_t i = 0; i < sizeof bits; i++)
            bits[i] = (uint8_t)random_bits();
        CALL(fast->relu_backward, count, masks, bits, dy, actual);
        CALL(plain->relu_backward, count, masks, bits, dy, expected);
        good = close_floats("relu_backward", count, actual, expected, 0.0, 0.0);
        CALL(fast->relu_backward, count, masks, bits, dy, dy); /* in place */
        good = good && close_floats("relu_backward in place", count, dy, expected, 0.0, 0.0);
        free(dy), free(actual), free(expected);
    }
    return good;
}

/* ---- Pooling --------------------------------------------------------------------------- */

enum { MAX_SPANS = 40 };

static void random_spans(size_t size, size_t count, gc_span *spans)
{
    for (size_t i = 0; i < count; i++) {
        spans[i].begin = random_size(0, size - 1);
        spans[i].end = random_size(spans[i].begin + 1, size);
        spans[i].divisor = random_size(1, 5);
    }
}

static gc_pool_plane random_plane(gc_span *rows, gc_span *columns)
{
    const gc_pool_plane p = {.height = random_size(1, 12),
                             .width = random_size(1, 12),
                             .out_height = size_or(1, MAX_SPANS, MAX_SPANS),
                             .out_width = size_or(1, MAX_SPANS, MAX_SPANS),
                             .rows = rows,
                             .columns = columns,
                             .divisor = random_size(0, 1)};
    random_spans(p.height, p.out_height, rows);
    random_spans(p.width, p.out_width, columns);
    return p;
}

/* VGG's own: 2x2 windows side by side, the last odd row or column left out. */
static gc_pool_plane plane_2x2(gc_span *rows, gc_span *columns)
{
    gc_pool_plane plane = {.height = size_or(2, 2 * MAX_SPANS + 1, 2 * MAX_SPANS),
                           .width = size_or(2, 2 * MAX_SPANS + 1, 2 * MAX_SPANS),
                           .rows = rows,
                           .columns = columns};
    plane.out_height = plane.height / 2;
    plane.out_width = plane.width / 2;
    for (size_t i = 0; i < MAX_SPANS; i++)
        rows[i] = columns[i] = (gc_span){.begin = 2 * i, .end = 2 * i + 2, .divisor = 2};
    return plane;
}

static int check_max_pool_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    gc_span rows[MAX_SPANS], columns[MAX_SPANS];
    const gc_pool_plane p =
        timing || random_bits() % 2 ? plane_2x2(rows, columns) : random_plane(rows, columns);
    const size_t out = p.out_height * p.out_width;
    float *x = relu_inputs(p.height * p.width); /* ties and NaN among them */
    float *actual = nan_floats(out), *expected = nan_floats(out);
    uint32_t *fast_position = malloc(out * sizeof *fast_position);
    uint32_t *plain_position = malloc(out * sizeof *plain_position);
    memset(fast_position, 0xA5, out * sizeof *fast_position);
    CALL(fast->max_pool_forward, &p, x, actual, fast_position);
    CALL(plain->max_pool_forward, &p, x, expected, plain_position);
    const int good = close_floats("max_pool_forward", out, actual, expected, 0.0, 0.0)
                     && memcmp(fast_position, plain_position, out * sizeof *plain_position) == 0;
    free(x), free(actual), free(expected), free(fast_position), free(plain_position);
    return good;
}

static int check_max_pool_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t in = size_or(1, 50, 50), out = size_or(1, 60, 60);
    float *dy = random_floats(out);
    float *actual = random_floats(in), *expected = copy_floats(actual, in);
    uint32_t position[60];
    for (size_t i = 0; i < out; i++)
        position[i] = (uint32_t)random_size(0, in - 1);
    CALL(fast->max_pool_backward, out, position, dy, actual);
    CALL(plain->max_pool_backward, out, position, dy, expected);
    const int good = close_floats("max_pool_backward", in, actual, expected, 0.0, 0.0);
    free(dy), free(actual), free(expected);
    return good;
}

static int check_average_pool_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    gc_span rows[MAX_SPANS], columns[MAX_SPANS];
    const gc_pool_plane p = random_plane(rows, columns);
    const size_t out = p.out_height * p.out_width;
    float *x = random_floats(p.height * p.width);
    float *actual = nan_floats(out), *expected = nan_floats(out);
    CALL(fast->average_pool_forward, &p, x, actual);
    CALL(plain->average_pool_forward, &p, x, expected);
    const int good = close_floats("average_pool_forward", out, actual, expected, 1e-5, 1e-5);
    free(x), free(actual), free(expected);
    return good;
}

static int check_average_pool_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    gc_span rows[MAX_SPANS], columns[MAX_SPANS];
    const gc_pool_plane p = random_plane(rows, columns);
    const size_t in = p.height * p.width;
    float *dy = random_floats(p.out_height * p.out_width);
    float *actual = random_floats(in), *expected = copy_floats(actual, in);
    CALL(fast->average_pool_backward, &p, dy, actual);
    CALL(plain->average_pool_backward, &p, dy, expected);
    const int good = close_floats("average_pool_backward", in, actual, expected, 1e-4, 1e-5);
    free(dy), free(actual), free(expected);
    return good;
}

/* ---- Pooling of blocked maps ----------------------------------------------------------- */

enum { MAX_SIDE = 56 }; /* of the maps, and of the spans of an axis */

/* A block of a map and its pooling: geometry, and memory for both sides. */
typedef struct pooled_block {
    gc_pool_block p;
    gc_span rows[MAX_SIDE], columns[MAX_SIDE], row_readers[MAX_SIDE], column_readers[MAX_SIDE];
    size_t first, count; /* the rows that are computed */
    float *x, *y;        /* in vectors of any width */
    uint8_t *index;
} pooled_block;

/* Windows that slide, clipped to the map; or of an adaptive pooling. Returns their number. */
static size_t windows_of_axis(size_t size, size_t window, size_t stride, gc_span *spans)
{
    const size_t padding = random_size(0, window / 2), adaptive = random_size(1, MAX_SIDE);
    const size_t last = size + padding > window ? size + padding - window : 0;
    const size_t count = stride == 0 ? adaptive : last / stride + 1;
    for (size_t i = 0; i < count; i++) {
        const size_t start = i * stride, end = start + window;
        spans[i].begin = stride == 0 ? i * size / count : start > padding ? start - padding : 0;
        spans[i].end = stride == 0 ? divide_up((i + 1) * size, count) : end - padding;
        spans[i].end = spans[i].end < size ? spans[i].end : size;
        spans[i].divisor = random_bits() % 2 ? window : spans[i].end - spans[i].begin;
        if (spans[i].end - spans[i].begin == window)
            spans[i].divisor = window;
    }
    return count;
}

static void readers_of_axis(size_t size, size_t count, const gc_span *spans, gc_span *readers)
{
    for (size_t at = 0; at < size; at++) {
        readers[at] = (gc_span){0};
        for (size_t i = count; i-- > 0;)
            if (spans[i].begin <= at && at < spans[i].end)
                readers[at] = (gc_span){i, readers[at].end == 0 ? i + 1 : readers[at].end, 0};
    }
}

static void random_pooled_block(pooled_block *b, int backward, size_t lanes)
{
    const size_t window = size_or(1, 20, 3), stride = size_or(0, 5, 2);
    b->p = (gc_pool_block){.height = size_or(1, 20, MAX_SIDE),
                           .width = size_or(1, 30, MAX_SIDE),
                           .index_bytes = (size_t)1 << size_or(window > 16 ? 1 : 0, 2, 0),
                           .window = stride == 0 ? 0 : window,
                           .stride = stride,
                           .rows = b->rows,
                           .columns = b->columns,
                           .row_readers = b->row_readers,
                           .column_readers = b->column_readers,
                           .divisor = random_size(0, 1) * random_size(1, 9)};
    gc_pool_block *p = &b->p;
    p->out_height = windows_of_axis(p->height, timing || random_bits() % 2 ? window : 1,
                                    stride, b->rows);
    p->out_width = windows_of_axis(p->width, window, stride, b->columns);
    if (p->stride == 0 && p->height * p->width > 256) /* a window may be the whole map */
        p->index_bytes = p->index_bytes == 1 ? 2 : p->index_bytes;
    readers_of_axis(p->height, p->out_height, b->rows, b->row_readers);
    readers_of_axis(p->width, p->out_width, b->columns, b->column_readers);
    p->in_row = p->width + random_size(0, 3);
    p->out_row = p->out_width + random_size(0, 3);
    const size_t rows = backward ? p->height : p->out_height;
    b->first = size_or(0, rows - 1, 0);
    b->count = size_or(1, rows - b->first, rows);
    b->x = relu_inputs(p->height * p->in_row * lanes);
    for (size_t i = 0; i < p->height * p->in_row * lanes; i++)
        if (random_bits() % 2) /* equal values too */
            b->x[i] = roundf(b->x[i]);
    b->y = random_floats(p->out_height * p->out_row * lanes);
    b->index = random_bytes(p->out_height * p->out_width * lanes * p->index_bytes);
}

static void free_pooled_block(pooled_block *b)
{
    free(b->x), free(b->y), free(b->index);
}

/* One lane of `count` vectors of `bytes` for each element, into `one`; or back. */
static void copy_lane(size_t count, size_t lanes, size_t lane, size_t bytes, void *all, void *one,
                      int back)
{
    for (size_t i = 0; i < count; i++) {
        char *wide = (char *)all + (i * lanes + lane) * bytes, *narrow = (char *)one + i * bytes;
        memcpy(back ? wide : narrow, back ? narrow : wide, bytes);
    }
}

/* Run a twin, whose vectors have one element, lane by lane; maps and index as the kernel's. */
static void each_lane(const gc_kernels *plain, int is_max, int backward, pooled_block *b,
                      size_t lanes)
{
    const gc_pool_block *p = &b->p;
    const size_t in = p->height * p->in_row, out = p->out_height * p->out_row;
    const size_t records = p->out_height * p->out_width;
    float *x = nan_floats(in), *y = nan_floats(out);
    void *index = malloc(records * p->index_bytes);
    for (size_t lane = 0; lane < lanes; lane++) {
        copy_lane(in, lanes, lane, sizeof *x, b->x, x, 0);
        copy_lane(out, lanes, lane, sizeof *y, b->y, y, 0);
        copy_lane(records, lanes, lane, p->index_bytes, b->index, index, 0);
        if (is_max && backward)
            CALL(plain->blocked_max_backward, p, b->first, b->count, index, y, x);
        else if (is_max)
            CALL(plain->blocked_max_forward, p, b->first, b->count, x, y, index);
        else if (backward)
            CALL(plain->blocked_average_backward, p, b->first, b->count, y, x);
        else
            CALL(plain->blocked_average_forward, p, b->first, b->count, x, y);
        copy_lane(in, lanes, lane, sizeof *x, b->x, x, 1);
        copy_lane(out, lanes, lane, sizeof *y, b->y, y, 1);
        copy_lane(records, lanes, lane, p->index_bytes, b->index, index, 1);
    }
    free(x), free(y), free(index);
}

static int check_blocked_max_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    pooled_block b;
    const size_t lanes = fast->width;
    random_pooled_block(&b, 0, lanes);
    const size_t out = b.p.out_height * b.p.out_row * lanes;
    const size_t bytes = b.p.out_height * b.p.out_width * lanes * b.p.index_bytes;
    float *y = copy_floats(b.y, out), *alone = copy_floats(b.y, out);
    uint8_t *index = malloc(bytes);
    memcpy(index, b.index, bytes);
    CALL(fast->blocked_max_forward, &b.p, b.first, b.count, b.x, y, index);
    if (!timing)
        fast->blocked_max_forward(&b.p, b.first, b.count, b.x, alone, NULL);
    each_lane(plain, 1, 0, &b, lanes);
    const int good = close_floats("blocked_max_forward", out, y, b.y, 0.0, 0.0)
                     && close_floats("without a record", out, alone, b.y, 0.0, 0.0)
                     && same("blocked_max_forward", index, b.index, bytes);
    free(y), free(alone), free(index);
    free_pooled_block(&b);
    return good;
}

static int check_blocked_max_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    pooled_block b;
    const size_t lanes = fast->width;
    random_pooled_block(&b, 1, lanes);
    const gc_pool_block *p = &b.p;
    const size_t in = p->height * p->in_row * lanes;
    for (size_t i = 0; i < p->out_height * p->out_width * lanes; i++) { /* within each window */
        const gc_span r = b.rows[i / lanes / p->out_width], c = b.columns[i / lanes % p->out_width];
        const size_t k = random_size(0, (r.end - r.begin) * (c.end - c.begin) - 1);
        const uint8_t byte = (uint8_t)k;
        const uint16_t half = (uint16_t)k;
        const uint32_t word = (uint32_t)k;
        memcpy(b.index + i * p->index_bytes,
               p->index_bytes == 1   ? (const void *)&byte
               : p->index_bytes == 2 ? (const void *)&half
                                     : (const void *)&word,
               p->index_bytes);
    }
    float *x = copy_floats(b.x, in);
    CALL(fast->blocked_max_backward, p, b.first, b.count, b.index, b.y, x);
    each_lane(plain, 1, 1, &b, lanes);
    const int good = close_floats("blocked_max_backward", in, x, b.x, 1e-5, 1e-5);
    free(x);
    free_pooled_block(&b);
    return good;
}

static int check_blocked_average(const gc_kernels *fast, const gc_kernels *plain, int backward)
{
    pooled_block b;
    const size_t lanes = fast->width;
    random_pooled_block(&b, backward, lanes);
    const size_t in = b.p.height * b.p.in_row * lanes, out = b.p.out_height * b.p.out_row * lanes;
    float *x = copy_floats(b.x, in), *y = copy_floats(b.y, out);
    for (size_t i = 0; i < in && !backward; i++)
        if (!(fabsf(x[i]) < 100.0f))
            x[i] = b.x[i] = 1.0f;
    if (backward)
        CALL(fast->blocked_average_backward, &b.p, b.first, b.count, y, x);
    else
        CALL(fast->blocked_average_forward, &b.p, b.first, b.count, x, y);
    each_lane(plain, 0, backward, &b, lanes);
    const int good = close_floats("blocked_average", backward ? in : out, backward ? x : y,
                                  backward ? b.x : b.y, 1e-5, 1e-5);
    free(x), free(y);
    free_pooled_block(&b);
    return good;
}

static int check_blocked_average_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    return check_blocked_average(fast, plain, 0);
}

static int check_blocked_average_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    return check_blocked_average(fast, plain, 1);
}

/* ---- One value or vector at a time ----------------------------------------------------- */

static int check_accumulate(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    float *x = random_floats(count);
    float *actual = random_floats(count), *expected = copy_floats(actual, count);
    CALL(fast->accumulate, count, x, actual);
    CALL(plain->accumulate, count, x, expected);
    const int good = close_floats("accumulate", count, actual, expected, 0.0, 0.0);
    free(x), free(actual), free(expected);
    return good;
}

static int check_affine(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    const float scale = random_float(), shift = random_float();
    float *x = random_floats(count);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    CALL(fast->affine, count, scale, shift, x, actual);
    CALL(plain->affine, count, scale, shift, x, expected);
    const int good = close_floats("affine", count, actual, expected, 1e-7, 1e-6);
    free(x), free(actual), free(expected);
    return good;
}

static int check_add(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    float *a = random_floats(count), *b = random_floats(count);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    CALL(fast->add, count, a, b, actual);
    CALL(plain->add, count, a, b, expected);
    const int good = close_floats("add", count, actual, expected, 0.0, 0.0);
    free(a), free(b), free(actual), free(expected);
    return good;
}

static int check_multiply(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    float *a = random_floats(count), *b = random_floats(count);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    CALL(fast->multiply, count, a, b, actual);
    CALL(plain->multiply, count, a, b, expected);
    const int good = close_floats("multiply", count, actual, expected, 0.0, 0.0);
    free(a), free(b), free(actual), free(expected);
    return good;
}

static int check_dot(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    float *a = random_floats(count), *b = random_floats(count);
    float actual = NAN, expected = NAN;
    CALL(fast->dot, count, a, b, &actual);
    CALL(plain->dot, count, a, b, &expected);
    const int good = close_floats("dot", 1, &actual, &expected, 1e-6, 1e-6);
    free(a), free(b);
    return good;
}

/* ---- Blocked maps lane by lane ---------------------------------------------------------------- */

/* One lane of some vectors. */
static float *lane_of(size_t count, const float *vectors, size_t lanes, size_t lane)
{
    float *values = malloc((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = vectors[i * lanes + lane];
    return values;
}

static int same_lane(const char *what, size_t count, const float *vectors, size_t lanes,
                     size_t lane, const float *expected, double tolerance)
{
    float *actual = lane_of(count, vectors, lanes, lane);
    const int good = close_floats(what, count, actual, expected, tolerance, tolerance);
    free(actual);
    return good;
}

/* Whether one lane of some masks is what the twin, of one lane, has. */
static int same_mask_lane(const char *what, size_t count, size_t lanes, size_t lane,
                          const uint8_t *actual, const uint8_t *expected)
{
    for (size_t i = 0; i < count; i++)
        if ((actual[i * divide_up(lanes, 8) + lane / 8] >> lane % 8 & 1) != expected[i]) {
            if (!quiet)
                fprintf(stderr, "%s: mask %zu differs\n", what, i);
            return 0;
        }
    return 1;
}

static int check_blocked_affine_of(const gc_kernels *fast, const gc_kernels *plain, int relu)
{
    const size_t lanes = fast->width, rows = size_or(1, 5, 28), count = size_or(1, 9, 28);
    const size_t stride = count + 2, all = rows * stride, values = rows * count;
    const gc_row_sizes wide = {.rows = rows, .count = count, .stride = stride * lanes};
    const gc_row_sizes one = {.rows = rows, .count = count, .stride = stride};
    const float limit = random_size(0, 1) ? INFINITY : 0.5f;
    const int recorded = random_size(0, 3) > 0;
    float *x = random_floats(all * lanes), *actual = nan_floats(all * lanes);
    float *scale = random_floats(lanes), *shift = random_floats(lanes);
    uint8_t *bits = random_bytes(values * divide_up(lanes, 8)), *mask = random_bytes(values);
    if (relu)
        CALL(fast->blocked_affine_relu, wide, scale, shift, limit, x, actual,
             recorded ? bits : NULL);
    else
        CALL(fast->blocked_affine, wide, scale, shift, x, actual);
    int good = 1;
    for (size_t l = 0; l < lanes; l++) {
        float *from = lane_of(all, x, lanes, l), *expected = nan_floats(all);
        if (relu)
            CALL(plain->blocked_affine_relu, one, scale + l, shift + l, limit, from, expected,
                 recorded ? mask : NULL);
        else
            CALL(plain->blocked_affine, one, scale + l, shift + l, from, expected);
        good &= same_lane("blocked_affine", all, actual, lanes, l, expected, 1e-6);
        if (relu && recorded)
            good &= same_mask_lane("blocked_affine_relu", values, lanes, l, bits, mask);
        free(from), free(expected);
    }
    free(x), free(actual), free(scale), free(shift), free(bits), free(mask);
    return good;
}

static int check_blocked_affine(const gc_kernels *fast, const gc_kernels *plain)
{
    return check_blocked_affine_of(fast, plain, 0);
}

static int check_blocked_affine_relu(const gc_kernels *fast, const gc_kernels *plain)
{
    return check_blocked_affine_of(fast, plain, 1);
}

static int check_blocked_dot(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width, count = size_or(1, 300, 784);
    float *a = random_floats(count * lanes), *b = random_floats(count * lanes);
    float *actual = nan_floats(lanes);
    CALL(fast->blocked_dot, count, a, b, actual);
    int good = 1;
    for (size_t l = 0; l < lanes; l++) {
        float *x = lane_of(count, a, lanes, l), *y = lane_of(count, b, lanes, l), expected = NAN;
        CALL(plain->blocked_dot, count, x, y, &expected);
        good &= close_floats("blocked_dot", 1, actual + l, &expected, 1e-5, 1e-6);
        free(x), free(y);
    }
    free(a), free(b), free(actual);
    return good;
}

static int check_blocked_gather(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width, count = size_or(1, 20, 784), first = size_or(0, 3, 0);
    const size_t all = first + count;
    gc_lanes wide = {.source_count = size_or(1, lanes, 2)};
    float *sources[GC_MAX_WIDTH], *actual = nan_floats(all * lanes);
    for (size_t i = 0; i < wide.source_count; i++)
        wide.sources[i] = sources[i] = random_floats(all * lanes);
    for (size_t l = 0; l < lanes; l++) {
        const size_t from = random_size(0, wide.source_count);
        wide.from[l] = (uint8_t)(from == wide.source_count ? GC_NO_SOURCE : from);
        wide.from_lane[l] = (uint8_t)random_size(0, lanes - 1);
    }
    CALL(fast->blocked_gather, &wide, first, count, actual);
    int good = 1;
    for (size_t l = 0; l < lanes; l++) {
        const size_t from = wide.from[l] == GC_NO_SOURCE ? 0 : wide.from[l];
        float *source = lane_of(all, sources[from], lanes, wide.from_lane[l]);
        float *expected = nan_floats(all);
        const gc_lanes lane = {.source_count = 1,
                               .sources = {source},
                               .from = {wide.from[l] == GC_NO_SOURCE ? GC_NO_SOURCE : 0}};
        CALL(plain->blocked_gather, &lane, first, count, expected);
        good &= same_lane("blocked_gather", all, actual, lanes, l, expected, 0.0);
        free(source), free(expected);
    }
    for (size_t i = 0; i < wide.source_count; i++)
        free(sources[i]);
    free(actual);
    return good;
}

/* ---- Normalisation over channels -------------------------------------------------------------- */

/* Positions of a blocked map for a level, from plain values [channels][count]; the rest is `fill`. */
static float *across_lanes(const gc_across *a, size_t count, size_t lanes, const float *plain,
                           float fill)
{
    float *values = aligned_floats(a->blocks * a->plane, fill);
    for (size_t c = 0; c < a->blocks * lanes; c++)
        for (size_t p = 0; p < count; p++)
            values[c / lanes * a->plane + p * lanes + c % lanes] =
                c < a->channels ? plain[c * count + p] : 0.0f;
    return values;
}

/* Whether the positions are these, and 0 in the lanes without a channel. */
static int same_across(const char *what, const gc_across *a, size_t count, size_t lanes,
                       const float *actual, const float *plain, double atol, double rtol)
{
    int good = 1;
    float *expected = across_lanes(a, count, lanes, plain, NAN);
    for (size_t b = 0; b < a->blocks; b++)
        good &= close_floats(what, count * lanes, actual + b * a->plane, expected + b * a->plane,
                             atol, rtol);
    free(expected);
    return good;
}

static gc_across random_across(size_t lanes, size_t count)
{
    gc_across a = {.channels = size_or(1, 40, 96)};
    a.blocks = divide_up(a.channels, lanes);
    a.plane = (count + random_size(0, 3)) * lanes;
    return a;
}

static int check_lrn(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width, count = size_or(1, 9, 56);
    const gc_across wide = random_across(lanes, count);
    const gc_across one = {.channels = wide.channels, .blocks = wide.channels, .plane = count};
    const gc_lrn_window w = {.before = size_or(0, wide.channels - 1, 2),
                             .after = size_or(0, wide.channels - 1, 2),
                             .scale = 0.5f + 0.5f * random_float(),
                             .beta = random_size(0, 1) ? 0.75f : 1.0f + 0.5f * random_float(),
                             .k = 1.5f + random_float()};
    const size_t size = wide.channels * count;
    float *x = random_floats(size), *dy = random_floats(size), *scratch = nan_floats(size);
    float *y = nan_floats(size), *dx = nan_floats(size);
    float *wide_x = across_lanes(&wide, count, lanes, x, NAN);
    float *wide_dy = across_lanes(&wide, count, lanes, dy, NAN);
    float *actual = aligned_floats(wide.blocks * wide.plane, NAN);
    float *wide_scratch = nan_floats(gc_lrn_scratch(&wide, &w, lanes));
    CALL(fast->lrn_forward, &wide, &w, count, wide_x, actual, wide_scratch);
    CALL(plain->lrn_forward, &one, &w, count, x, y, scratch);
    int good = same_across("lrn_forward", &wide, count, lanes, actual, y, 1e-7, 4e-6);
    CALL(fast->lrn_backward, &wide, &w, count, wide_x, wide_dy, wide_dy, wide_scratch);
    CALL(plain->lrn_backward, &one, &w, count, x, dy, dx, scratch);
    good &= same_across("lrn_backward", &wide, count, lanes, wide_dy, dx, 1e-5, 1e-5);
    free(x), free(dy), free(scratch), free(y), free(dx), free(wide_x), free(wide_dy), free(actual);
    free(wide_scratch);
    return good;
}
#define check_lrn_forward check_lrn
#define check_lrn_backward check_lrn

static int check_layer_norm(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(2, 70, 768);
    const float eps = 0.01f;
    float *x = random_floats(count), *dy = random_floats(count), *w = random_floats(count);
    float *bias = random_size(0, 1) ? random_floats(count) : NULL;
    float *actual = nan_floats(count), *expected = nan_floats(count);
    CALL(fast->layer_norm_forward, count, eps, w, bias, x, actual);
    CALL(plain->layer_norm_forward, count, eps, w, bias, x, expected);
    int good = close_floats("layer_norm_forward", count, actual, expected, 1e-6, 1e-6);
    CALL(plain->layer_norm_backward, count, eps, w, x, dy, expected);
    CALL(fast->layer_norm_backward, count, eps, w, x, dy, dy);
    good &= close_floats("layer_norm_backward", count, dy, expected, 1e-6, 1e-5);
    free(x), free(dy), free(w), free(bias), free(actual), free(expected);
    return good;
}
#define check_layer_norm_forward check_layer_norm
#define check_layer_norm_backward check_layer_norm

static int check_blocked_layer_norm(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t lanes = fast->width, count = size_or(1, 9, 56);
    const gc_across wide = random_across(lanes, count);
    const gc_across one = {.channels = wide.channels, .blocks = wide.channels, .plane = count};
    const size_t size = wide.channels * count, padded = wide.blocks * lanes;
    const float eps = 0.01f;
    float *x = random_floats(size), *dy = random_floats(size);
    float *y = nan_floats(size), *dx = nan_floats(size);
    float *weight = random_floats(padded), *bias = random_floats(padded);
    for (size_t c = wide.channels; c < padded; c++)
        weight[c] = bias[c] = 0.0f;
    float *wide_x = across_lanes(&wide, count, lanes, x, NAN);
    float *wide_dy = across_lanes(&wide, count, lanes, dy, NAN);
    float *actual = aligned_floats(wide.blocks * wide.plane, NAN);
    CALL(fast->blocked_layer_norm_forward, &wide, eps, weight, bias, count, wide_x, actual);
    CALL(plain->blocked_layer_norm_forward, &one, eps, weight, bias, count, x, y);
    int good = same_across("blocked_layer_norm_forward", &wide, count, lanes, actual, y, 1e-5,
                           1e-5);
    CALL(fast->blocked_layer_norm_backward, &wide, eps, weight, count, wide_x, wide_dy, wide_dy);
    CALL(plain->blocked_layer_norm_backward, &one, eps, weight, count, x, dy, dx);
    good &= same_across("blocked_layer_norm_backward", &wide, count, lanes, wide_dy, dx, 3e-5,
                        1e-5);
    free(x), free(dy), free(y), free(dx), free(weight), free(bias), free(wide_x), free(wide_dy);
    free(actual);
    return good;
}
#define check_blocked_layer_norm_forward check_blocked_layer_norm
#define check_blocked_layer_norm_backward check_blocked_layer_norm

/* A vector for the softmax and its logarithm, with values `*stride` floats apart. */
static float *scores(size_t count, size_t *stride, float scale)
{
    *stride = size_or(1, 3, 1);
    float *x = random_floats(count * *stride);
    for (size_t i = 0; i < count * *stride; i++)
        x[i] *= scale;
    return x;
}

static int check_softmax_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    size_t stride;
    float *x = scores(count, &stride, 200.0f); /* exp(200) is no float */
    const size_t size = count * stride;
    float *actual = nan_floats(size), *expected = nan_floats(size);
    CALL(fast->softmax_forward, count, stride, x, actual);
    CALL(plain->softmax_forward, count, stride, x, expected);
    const int good = close_floats("softmax_forward", size, actual, expected, 1e-7, 1e-5);
    free(x), free(actual), free(expected);
    return good;
}

/* Without cancellation, in n^2 steps: dx_i = sum over j of y_i y_j (dy_i - dy_j) for the softmax,
 * of y_j dy_i - y_i dy_j without j = i for its logarithm. */
static void softmax_gradient(int logarithm, size_t count, size_t stride, const float *x,
                             const float *dy, float *dx)
{
    double maximum = x[0], sum = 0.0;
    for (size_t i = 0; i < count; i++)
        maximum = x[i * stride] > maximum ? x[i * stride] : maximum;
    for (size_t i = 0; i < count; i++)
        sum += exp(x[i * stride] - maximum);
    for (size_t i = 0; i < count; i++) {
        const double y = exp(x[i * stride] - maximum) / sum, g = dy[i * stride];
        double total = 0.0;
        for (size_t j = 0; j < count; j++) {
            const double other = exp(x[j * stride] - maximum) / sum;
            if (logarithm)
                total += i == j ? 0.0 : other * g - y * dy[j * stride];
            else
                total += y * other * (g - dy[j * stride]);
        }
        dx[i * stride] = (float)total;
    }
}

typedef void softmax_backward(size_t count, size_t stride, const float *x, const float *dy,
                              float *dx);

/* Also where the largest probability is 1 in float, or the smallest are none at all. */
static int check_softmax_gradient(const char *name, int logarithm, double atol,
                                  softmax_backward *fast, softmax_backward *plain)
{
    const size_t count = size_or(1, 70, TIMED), one = random_size(0, count - 1);
    const float scale = powf(10.0f, 1.0f + random_float());
    size_t stride;
    float *x = scores(count, &stride, scale);
    const size_t size = count * stride;
    float *dy = random_floats(size);
    for (size_t i = 0; i < count; i++)
        if (random_bits() % 2 != 0)
            dy[i * stride] = i == one;
    x[one * stride] += 2.0f * scale * (float)(random_bits() % 2);
    float *actual = copy_floats(dy, size), *expected = copy_floats(dy, size); /* dx may be dy */
    softmax_gradient(logarithm, count, stride, x, dy, expected);
    CALL(fast, count, stride, x, actual, actual);
    int good = close_floats(name, size, actual, expected, atol, 3e-7);
    memcpy(actual, dy, size * sizeof *dy);
    CALL(plain, count, stride, x, dy, actual);
    good &= close_floats(name, size, actual, expected, atol, 3e-7);
    free(x), free(dy), free(actual), free(expected);
    return good;
}

static int check_softmax_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    return check_softmax_gradient("softmax_backward", 0, 1e-44, fast->softmax_backward,
                                  plain->softmax_backward);
}

static int check_log_softmax_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    size_t stride;
    float *x = scores(count, &stride, 200.0f);
    const size_t size = count * stride;
    float *actual = nan_floats(size), *expected = nan_floats(size);
    CALL(fast->log_softmax_forward, count, stride, x, actual);
    CALL(plain->log_softmax_forward, count, stride, x, expected);
    const int good = close_floats("log_softmax_forward", size, actual, expected, 1e-44, 1e-7);
    free(x), free(actual), free(expected);
    return good;
}

static int check_log_softmax_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    return check_softmax_gradient("log_softmax_backward", 1, 1e-9, fast->log_softmax_backward,
                                  plain->log_softmax_backward);
}

/* ---- Activations ----------------------------------------------------------------------- */

/* Numbers of every size, those where an exponential ends, and those where lines meet. */
static float *activation_inputs(size_t count)
{
    static const float special[] = {0.0f,   -0.0f,   3.0f,   -3.0f,   1e-45f, 1e30f,
                                    -1e30f, 87.4f,   -87.4f, 104.5f,  -104.5f};
    float *x = random_floats(count);
    for (size_t i = 0; i < count; i++) {
        const unsigned choice = random_bits() % 8;
        if (choice == 0)
            x[i] = special[random_size(0, sizeof special / sizeof *special - 1)];
        else if (choice < 4)
            x[i] *= powf(10.0f, 6.0f * random_float());
        else
            x[i] *= 12.0f;
    }
    return x;
}

/* The errors that are allowed: absolute, and relative, of the value and of the derivative. Where a
 * derivative goes through zero, only its absolute error is small. */
typedef struct allowed {
    double value, value_share, derivative, derivative_share;
} allowed;

static allowed allowed_for(gc_activation_kind kind)
{
    switch (kind) {
    case GC_SILU:
    case GC_GELU:
        return (allowed){1e-36, 4e-7, 4e-7, 4e-7};
    case GC_GELU_TANH:
        return (allowed){4e-9, 4e-7, 4e-7, 4e-7};
    case GC_HARD_SWISH:
        return (allowed){1e-44, 4e-7, 4e-7, 4e-7};
    default:
        return (allowed){1e-44, 4e-7, 1e-44, 6e-7};
    }
}

static int check_activation_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    static const gc_activation_kind kinds[] = {GC_ELU,        GC_SIGMOID, GC_HARD_SIGMOID, GC_SILU,
                                               GC_HARD_SWISH, GC_TANH,    GC_GELU, GC_GELU_TANH};
    const size_t count = size_or(1, 70, TIMED);
    const gc_activation activation = {
        .kind = timing ? GC_SILU : kinds[random_size(0, sizeof kinds / sizeof *kinds - 1)],
        .slope = 2.0f * random_float()};
    const allowed errors = allowed_for(activation.kind);
    const int recorded = random_bits() % 4 != 0;
    float *x = activation_inputs(count);
    float *y[2] = {nan_floats(count), nan_floats(count)};
    float *derivatives[2] = {nan_floats(count), nan_floats(count)};
    if (recorded) {
        CALL(fast->activation_forward, &activation, count, x, y[0], derivatives[0]);
        CALL(plain->activation_forward, &activation, count, x, y[1], derivatives[1]);
    } else {
        CALL(fast->activation_forward, &activation, count, x, y[0], NULL);
        CALL(plain->activation_forward, &activation, count, x, y[1], NULL);
    }
    int good = close_floats("activation_forward", count, y[0], y[1], errors.value,
                            errors.value_share);
    if (recorded)
        good &= close_floats("derivatives", count, derivatives[0], derivatives[1],
                             errors.derivative, errors.derivative_share);
    if (!good)
        fprintf(stderr, "kind %d\n", (int)activation.kind);
    free(x);
    for (int i = 0; i < 2; i++)
        free(y[i]), free(derivatives[i]);
    return good;
}

/* What a step of an LSTM reads: the sums of four gates, of every size, and what has one value for
 * each cell. */
typedef struct cells {
    size_t count;
    float *a, *inputs, *before, *c, *dh, *later, *dc;
} cells;

static cells random_cells(void)
{
    const size_t count = size_or(1, 70, TIMED);
    cells s = {.count = count,
               .a = random_floats(4 * count),
               .inputs = random_floats(4 * count),
               .before = random_floats(count),
               .c = random_floats(count),
               .dh = random_floats(count),
               .later = random_floats(count),
               .dc = random_floats(count)};
    for (size_t i = 0; i < 4 * count; i++)
        s.a[i] *= random_bits() % 4 == 0 ? 30.0f : 3.0f;
    for (size_t i = 0; i < count; i++)
        s.c[i] *= random_bits() % 4 == 0 ? 20.0f : 2.0f;
    return s;
}

static void free_cells(cells *s)
{
    free(s->a), free(s->inputs), free(s->before), free(s->c), free(s->dh), free(s->later);
    free(s->dc);
}

static int check_lstm_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    cells s = random_cells();
    float *a[2], *c[2], *h[2];
    for (int i = 0; i < 2; i++) {
        a[i] = copy_floats(s.a, 4 * s.count);
        c[i] = nan_floats(s.count), h[i] = nan_floats(s.count);
    }
    CALL(fast->lstm_forward, s.count, s.inputs, s.before, a[0], c[0], h[0]);
    CALL(plain->lstm_forward, s.count, s.inputs, s.before, a[1], c[1], h[1]);
    const int good = close_floats("sums", 4 * s.count, a[0], a[1], 0.0, 0.0)
                     && close_floats("c", s.count, c[0], c[1], 3e-7, 1e-6)
                     && close_floats("h", s.count, h[0], h[1], 3e-7, 1e-6);
    for (int i = 0; i < 2; i++)
        free(a[i]), free(c[i]), free(h[i]);
    free_cells(&s);
    return good;
}

static int check_lstm_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    cells s = random_cells();
    float *dc[2], *da[2];
    for (int i = 0; i < 2; i++)
        dc[i] = copy_floats(s.dc, s.count), da[i] = nan_floats(4 * s.count);
    CALL(fast->lstm_backward, s.count, s.a, s.before, s.c, s.dh, s.later, dc[0], da[0]);
    CALL(plain->lstm_backward, s.count, s.a, s.before, s.c, s.dh, s.later, dc[1], da[1]);
    const int good = close_floats("da", 4 * s.count, da[0], da[1], 3e-7, 2e-6)
                     && close_floats("dc", s.count, dc[0], dc[1], 3e-7, 2e-6);
    for (int i = 0; i < 2; i++)
        free(dc[i]), free(da[i]);
    free_cells(&s);
    return good;
}

static int check_clip_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED), bytes = (count + 7) / 8;
    const int recorded = timing || random_bits() % 2 == 0;
    const float low = random_bits() % 4 == 0 ? -INFINITY : random_float() - 1.0f;
    const float high = random_bits() % 4 == 0 ? INFINITY : random_float() + 1.0f;
    float *x = random_floats(count);
    for (size_t i = 0; i < count; i++)
        x[i] = i % 5 == 1 && isfinite(low)    ? low
               : i % 5 == 2 && isfinite(high) ? high
                                              : 2.0f * x[i];
    float *actual = nan_floats(count), *expected = nan_floats(count);
    uint8_t *bits[2] = {calloc(bytes, 1), calloc(bytes, 1)};
    CALL(fast->clip_forward, count, low, high, x, actual, recorded ? bits[0] : NULL);
    CALL(plain->clip_forward, count, low, high, x, expected, recorded ? bits[1] : NULL);
    const int good = close_floats("clip_forward", count, actual, expected, 0.0, 0.0)
                     && memcmp(bits[0], bits[1], bytes) == 0;
    free(x), free(actual), free(expected), free(bits[0]), free(bits[1]);
    return good;
}

/* Slopes of one of the patterns that leaky_forward reads. */
static float *random_slopes(size_t count, size_t *period)
{
    const size_t periods[] = {1, 4, 8, 16, count, count + 3};
    *period = timing ? 1 : periods[random_size(0, 5)];
    return random_floats(*period);
}

static int check_leaky_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED), bytes = (count + 7) / 8;
    const int recorded = timing || random_bits() % 2 == 0;
    size_t period;
    float *slopes = random_slopes(count, &period), *x = random_floats(count);
    x[random_size(0, count - 1)] = 0.0f;
    float *actual = nan_floats(count), *expected = nan_floats(count);
    uint8_t *bits[2] = {calloc(bytes, 1), calloc(bytes, 1)};
    CALL(fast->leaky_forward, count, slopes, period, x, actual, recorded ? bits[0] : NULL);
    CALL(plain->leaky_forward, count, slopes, period, x, expected, recorded ? bits[1] : NULL);
    const int good = close_floats("leaky_forward", count, actual, expected, 0.0, 0.0)
                     && memcmp(bits[0], bits[1], bytes) == 0;
    free(slopes), free(x), free(actual), free(expected), free(bits[0]), free(bits[1]);
    return good;
}

static int check_leaky_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED), bytes = (count + 7) / 8;
    const unsigned masks = timing ? GC_MASK_INPUT | GC_MASK_GRADIENT : (unsigned)random_size(0, 3);
    size_t period;
    float *slopes = random_slopes(count, &period), *dy = random_floats(count);
    uint8_t *bits = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        bits[i] = (uint8_t)random_bits();
    float *actual = copy_floats(dy, count), *expected = nan_floats(count); /* dx may be dy */
    CALL(fast->leaky_backward, count, slopes, period, masks, bits, actual, actual);
    CALL(plain->leaky_backward, count, slopes, period, masks, bits, dy, expected);
    const int good = close_floats("leaky_backward", count, actual, expected, 0.0, 2e-7);
    free(slopes), free(dy), free(bits), free(actual), free(expected);
    return good;
}

/* Finite weights of any storage, one byte off where floats would like them; free_weights frees. */
static void *random_weights(gc_storage storage, size_t count)
{
    float *floats = random_floats(count);
    const size_t bytes = count * (storage == GC_FLOAT32 ? sizeof(float) : sizeof(uint16_t));
    char *block = malloc(bytes + 1);
    uint16_t *halves = (uint16_t *)floats;
    for (size_t i = 0; storage != GC_FLOAT32 && i < count; i++) {
        const unsigned bits = (unsigned)random_bits();
        halves[i] = (uint16_t)(storage == GC_FLOAT16
                                   ? bits & 0xbbff              /* below 2: subnormal ones too */
                                   : (bits & 0x83ff) | 0x3c00); /* between 2^-7 and 2 */
    }
    memcpy(block + 1, floats, bytes);
    free(floats);
    return block + 1;
}

static void free_weights(void *weights)
{
    free((char *)weights - 1);
}

static gc_dense random_dense(void)
{
    gc_dense d = {.storage = (gc_storage)size_or(0, 2, GC_FLOAT32),
                  .in = size_or(1, 3, 1) == 1 ? size_or(2000, 4200, 4096) : random_size(1, 100),
                  .out = size_or(1, 80, 80),
                  .sets = size_or(1, 14, 1),
                  .batch = size_or(1, 3, 1)};
    d.stride = d.batch;
    return d;
}

static gc_portion random_portion(void)
{
    return (gc_portion){random_float(), random_float(), random_float()};
}

static int check_dense_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const gc_portion portion = random_portion();
    gc_dense d = random_dense();
    d.portion = size_or(0, 1, 0) ? &portion : NULL;
    const size_t count = d.sets * d.batch;
    const size_t first = size_or(0, d.out - 1, 0), rows = size_or(1, d.out - first, d.out);
    float *x = random_floats(count * d.in);
    float *actual = nan_floats(count * d.out), *expected = copy_floats(actual, count * d.out);
    void *w = random_weights(d.storage, d.in * d.out);
    CALL(fast->dense_forward, &d, first, rows, w, x, actual);
    CALL(plain->dense_forward, &d, first, rows, w, x, expected);
    int good = 1;
    for (size_t n = 0; n < count && good; n++)
        for (size_t r = 0; r < d.out && good; r++)
            if (r < first || r >= first + rows)
                good = isnan(actual[n * d.out + r]);
            else
                good = close_floats("dense_forward", 1, &actual[n * d.out + r],
                                    &expected[n * d.out + r], 1e-4, 1e-6);
    free_weights(w), free(x), free(actual), free(expected);
    return good;
}

/* Half of the units of an image are zero in all sets, others in some; some images of each set are
 * left out. */
static int check_dense_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const gc_portion portion = random_portion();
    gc_dense d = random_dense();
    d.portion = size_or(0, 1, 0) ? &portion : NULL;
    d.stride += random_size(0, 2);
    const size_t count = d.sets * d.stride;
    const size_t first = size_or(0, d.in - 1, 0), columns = size_or(1, d.in - first, d.in);
    float *dy = random_floats(count * d.out);
    float *actual = nan_floats(count * d.in), *expected = copy_floats(actual, count * d.in);
    void *w = random_weights(d.storage, d.in * d.out);
    for (size_t i = 0; i < d.batch; i++)
        for (size_t r = 0; r < d.out; r++) {
            const int dead = random_bits() % 2;
            for (size_t s = 0; s < d.sets; s++)
                if (dead || random_bits() % 8 == 0)
                    dy[(s * d.stride + i) * d.out + r] = 0.0f;
        }
    CALL(fast->dense_backward, &d, first, columns, w, dy, actual);
    CALL(plain->dense_backward, &d, first, columns, w, dy, expected);
    int good = 1;
    for (size_t n = 0; n < count && good; n++)
        for (size_t c = 0; c < d.in && good; c++)
            if (n % d.stride >= d.batch || c < first || c >= first + columns)
                good = isnan(actual[n * d.in + c]);
            else
                good = close_floats("dense_backward", 1, &actual[n * d.in + c],
                                    &expected[n * d.in + c], 1e-5, 1e-6);
    free_weights(w), free(dy), free(actual), free(expected);
    return good;
}

static int check_dense_sums(const gc_kernels *fast, const gc_kernels *plain)
{
    const gc_storage storage = (gc_storage)random_size(0, 2);
    const size_t count = size_or(1, 20, 512), positions = size_or(1, 70, 49);
    void *w = random_weights(storage, count * positions);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    CALL(fast->dense_sums, storage, count, positions, w, actual);
    CALL(plain->dense_sums, storage, count, positions, w, expected);
    const int good = close_floats("dense_sums", count, actual, expected, 1e-12, 1.2e-7);
    free_weights(w), free(actual), free(expected);
    return good;
}

/* ---- Relevance -------------------------------------------------------------------------- */

static int check_portion(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    const gc_portion portion = random_portion();
    float *x = random_floats(count), *actual = nan_floats(count), *expected = nan_floats(count);
    x[0] = 0.0f;
    CALL(fast->portion, count, portion, x, actual);
    CALL(plain->portion, count, portion, x, expected);
    int good = close_floats("portion", count, actual, expected, 2e-7, 2e-7);
    CALL(fast->portion, count, portion, x, x); /* in place */
    good &= memcmp(x, actual, count * sizeof *x) == 0;
    free(x), free(actual), free(expected);
    return good;
}

/* Denominators and gates that are zero occur, with and without an epsilon. */
static int check_share(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    const float factor = random_float(), epsilon = random_size(0, 1) ? 0.0f : 0.25f;
    const float sign = random_size(0, 1) ? 1.0f : -1.0f;
    float *z = random_floats(count), *gate = relu_inputs(count), *r = random_floats(count);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    for (size_t i = 0; i < count; i++)
        z[i] = random_size(0, 3) == 0 ? 0.0f : z[i];
    const float *gates = timing || random_size(0, 1) ? NULL : gate;
    CALL(fast->share, count, factor, epsilon, z, gates, sign, r, actual);
    CALL(plain->share, count, factor, epsilon, z, gates, sign, r, expected);
    int good = close_floats("share", count, actual, expected, 0.0, 4e-7);
    CALL(fast->share, count, factor, epsilon, z, gates, sign, r, r); /* in place */
    good &= memcmp(r, actual, count * sizeof *r) == 0;
    free(z), free(gate), free(r), free(actual), free(expected);
    return good;
}

static int check_multiply_add(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    float *a = random_floats(count), *b = random_floats(count);
    float *actual = random_floats(count), *expected = copy_floats(actual, count);
    CALL(fast->multiply_add, count, a, b, actual);
    CALL(plain->multiply_add, count, a, b, expected);
    const int good = close_floats("multiply_add", count, actual, expected, 2e-7, 2e-7);
    free(a), free(b), free(actual), free(expected);
    return good;
}

/* Of values of one sign, of both and of none, also NaN. */
static int check_signs(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 70, TIMED);
    const float low = random_size(0, 1) ? 0.0f : -1.0f, high = random_size(0, 1) ? 0.0f : 1.0f;
    float *x = random_floats(count);
    int actual = -1, expected = -1;
    for (size_t i = 0; i < count; i++)
        x[i] = random_size(0, 9) == 0 ? NAN : fminf(fmaxf(x[i], low), high);
    CALL(fast->signs, count, x, &actual);
    CALL(plain->signs, count, x, &expected);
    free(x);
    return actual == expected;
}

/* Every finite number of 16 bits is widened exactly, in whole vectors and in parts of them. */
static int check_widening(const gc_kernels *fast, gc_storage storage)
{
    enum { RUN = 37 };
    const unsigned infinity = storage == GC_FLOAT16 ? 0x7c00 : 0x7f80;
    uint16_t w[RUN * RUN] = {0};
    float x[RUN], y[RUN] = {0.0f}, dx[RUN];
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        if ((bits & 0x7fff) >= infinity)
            continue;
        const int digits = storage == GC_FLOAT16 ? 10 : 7, bias = storage == GC_FLOAT16 ? 15 : 127;
        const int exponent = (int)(bits & 0x7fff) >> digits;
        const int fraction = (int)bits & ((1 << digits) - 1);
        float value = ldexpf((float)(exponent ? fraction + (1 << digits) : fraction),
                             (exponent ? exponent : 1) - bias - digits);
        value = bits & 0x8000 ? -value : value;
        const size_t c = bits % RUN;
        const gc_dense d = {.storage = storage, .in = RUN, .out = 1, .sets = 1, .batch = 1,
                            .stride = 1};
        for (size_t i = 0; i < RUN; i++)
            x[i] = i == c ? 1.0f : 0.0f;
        w[c] = (uint16_t)bits;
        CALL(fast->dense_forward, &d, 0, 1, w, x, y);
        CALL(fast->dense_backward, &d, 0, RUN, w, x + c, dx);
        w[c] = 0;
        if (y[0] != value || dx[c] != value) {
            printf("%s widens %#x to %g and %g, not to %g\n", fast->level, bits, (double)y[0],
                   (double)dx[c], (double)value);
            return 0;
        }
    }
    return 1;
}

/* A vector's results are the same bits whatever runs beside it, and however it is shared out. */
static int check_dense_alone(const gc_kernels *fast)
{
    const gc_dense all = random_dense();
    gc_dense one = all;
    one.sets = one.batch = one.stride = 1;
    const size_t count = all.sets * all.batch, n = random_size(0, count - 1);
    const size_t row = random_size(0, all.out - 1), column = random_size(1, all.in);
    float *x = random_floats(count * all.in), *dy = random_floats(count * all.out);
    float *y = nan_floats(count * all.out), *dx = nan_floats(count * all.in);
    float *y1 = nan_floats(all.out), *dx1 = nan_floats(all.in);
    void *w = random_weights(all.storage, all.in * all.out);
    for (size_t i = 0; i < count * all.out; i++)
        if (random_bits() % 2)
            dy[i] = 0.0f;
    CALL(fast->dense_forward, &all, 0, all.out, w, x, y);
    CALL(fast->dense_backward, &all, 0, all.in, w, dy, dx);
    CALL(fast->dense_forward, &one, 0, row, w, x + n * all.in, y1);
    CALL(fast->dense_forward, &one, row, all.out - row, w, x + n * all.in, y1);
    CALL(fast->dense_backward, &one, 0, column, w, dy + n * all.out, dx1);
    if (column < all.in)
        CALL(fast->dense_backward, &one, column, all.in - column, w, dy + n * all.out, dx1);
    const int good = close_floats("dense_forward alone", all.out, y + n * all.out, y1, 0.0, 0.0)
                     && close_floats("dense_backward alone", all.in, dx + n * all.in, dx1, 0.0,
                                     0.0);
    free_weights(w), free(x), free(dy), free(y), free(dx), free(y1), free(dx1);
    return good;
}

static int check_all_finite(const gc_kernels *fast, const gc_kernels *plain)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e-45f, 3.4028235e38f};
    const size_t count = size_or(1, 10000, 10000);
    float *x = random_floats(count);
    if (random_bits() % 2)
        x[random_size(0, count - 1)] = bad[random_bits() % 5];
    int actual = -1, expected = -1;
    char *block = malloc(count * sizeof *x + 1); /* one byte off */
    memcpy(block + 1, x, count * sizeof *x);
    CALL(fast->all_finite, count, block + 1, &actual);
    CALL(plain->all_finite, count, block + 1, &expected);
    free(x), free(block);
    return actual == expected;
}

static int check_peak(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t rounds = size_or(0, 50, 50);
    const float factor = random_float(), term = random_float();
    float *actual = random_floats(GC_PEAK_VALUES);
    float *expected = copy_floats(actual, GC_PEAK_VALUES);
    CALL(fast->peak, rounds, factor, term, actual);
    CALL(plain->peak, rounds, factor, term, expected);
    /* A factor close to 1 in magnitude adds up the rounding of all rounds. */
    const int good = close_floats("peak", GC_PEAK_VALUES, actual, expected, 1e-4, 1e-5);
    free(actual), free(expected);
    return good;
}

static int check_sum(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(0, 5000, 5000);
    float *values = random_floats(count);
    float actual = NAN, expected = NAN;
    CALL(fast->sum, count, values, &actual);
    CALL(plain->sum, count, values, &expected);
    free(values);
    return close_floats("sum", 1, &actual, &expected, 1e-4, 1e-5);
}

/* ---- Maps ------------------------------------------------------------------------------ */

static int check_channel_mean(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = size_or(1, 9, 64), positions = size_or(1, 200, 196);
    float *maps = random_floats(count * positions);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    CALL(fast->channel_mean, count, positions, maps, actual);
    CALL(plain->channel_mean, count, positions, maps, expected);
    const int good = close_floats("channel_mean", count, actual, expected, 1e-8, 1e-6);
    free(maps), free(actual), free(expected);
    return good;
}

static int check_weighted_sum(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t channels = size_or(1, 40, 512), positions = size_or(1, 60, 196);
    float *maps = random_floats(channels * positions), *weights = random_floats(channels);
    float *actual = nan_floats(positions), *expected = nan_floats(positions);
    CALL(fast->weighted_sum, channels, positions, weights, maps, actual);
    CALL(plain->weighted_sum, channels, positions, weights, maps, expected);
    const int good = close_floats("weighted_sum", positions, actual, expected, 1e-5, 1e-6);
    free(maps), free(weights), free(actual), free(expected);
    return good;
}

static int check_weighted_sum_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t channels = size_or(1, 40, 512), positions = size_or(1, 60, 196);
    const size_t size = channels * positions;
    const int some = timing ? 3 : (int)random_size(1, 3); /* which outputs are wanted */
    float *maps = random_floats(size), *weights = random_floats(channels);
    float *dout = random_floats(positions), *dweights[2], *dmaps[2];
    for (int i = 0; i < 2; i++)
        dweights[i] = nan_floats(channels), dmaps[i] = nan_floats(size);
    CALL(fast->weighted_sum_backward, channels, positions, weights, maps, dout,
         some & 1 ? dweights[0] : NULL, some & 2 ? dmaps[0] : NULL);
    CALL(plain->weighted_sum_backward, channels, positions, weights, maps, dout,
         some & 1 ? dweights[1] : NULL, some & 2 ? dmaps[1] : NULL);
    const int good = close_floats("dweights", channels, dweights[0], dweights[1], 1e-6, 1e-6)
                     && close_floats("dmaps", size, dmaps[0], dmaps[1], 0.0, 0.0);
    free(maps), free(weights), free(dout);
    for (int i = 0; i < 2; i++)
        free(dweights[i]), free(dmaps[i]);
    return good;
}

static void random_taps(size_t size, size_t count, gc_tap *taps)
{
    for (size_t i = 0; i < count; i++)
        taps[i] = (gc_tap){.low = random_size(0, size - 1),
                           .high = random_size(0, size - 1),
                           .low_weight = random_float(),
                           .high_weight = random_float()};
}

static int check_resize(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t height = size_or(1, 15, 15), width = size_or(1, 15, 15);
    const size_t out_height = size_or(1, MAX_SPANS, MAX_SPANS);
    const size_t out_width = size_or(1, MAX_SPANS, MAX_SPANS);
    gc_tap rows[MAX_SPANS], columns[MAX_SPANS];
    random_taps(height, out_height, rows);
    random_taps(width, out_width, columns);
    float *map = random_floats(height * width);
    float *actual = nan_floats(out_height * out_width);
    float *expected = nan_floats(out_height * out_width);
    CALL(fast->resize, width, out_height, out_width, rows, columns, map, actual);
    CALL(plain->resize, width, out_height, out_width, rows, columns, map, expected);
    const int good =
        close_floats("resize", out_height * out_width, actual, expected, 1e-6, 1e-6);
    free(map), free(actual), free(expected);
    return good;
}

static const struct {
    const char *name;
    check run;
} checks[] = {
#define GC_KERNEL_ENTRY(name, parameters) {#name, check_##name},
#include "kernels/list.h"
};
enum { CHECKS = sizeof checks / sizeof *checks, ROUNDS = 100 };

static any_kernel kernel_of(const gc_kernels *table, size_t number)
{
    const any_kernel kernels[CHECKS] = {
#define GC_KERNEL_ENTRY(name, parameters) (any_kernel)table->name,
#include "kernels/list.h"
    };
    return kernels[number];
}

/* Each check once, on the same random numbers on every level. */
static void print_times(void)
{
    const gc_kernels *plain = gc_kernels_of_level(0);
    const uint32_t seed = random_state;
    timing = quiet = 1; /* kernels run several times on their own outputs */
    printf("%-22s %-9s %12s %14s %8s\n", "kernel", "level", "us", "reference us", "ratio");
    for (size_t i = 0; i < CHECKS; i++)
        for (size_t level = 1; level < gc_level_count(); level++) {
            const gc_kernels *fast = gc_kernels_of_level(level);
            time_count = 0;
            memset(times, 0, sizeof times);
            random_state = seed;
            checks[i].run(fast, plain);
            const double taken = *time_of(kernel_of(fast, i));
            const double reference = *time_of(kernel_of(plain, i));
            printf("%-22s %-9s %12.3f %14.3f %8.1f\n", checks[i].name, fast->level, 1e6 * taken,
                   1e6 * reference, reference / taken);
        }
}

int main(int count, char **arguments)
{
    set_seed();
    if (count > 1 && strcmp(arguments[1], "time") == 0) {
        print_times();
        return EXIT_SUCCESS;
    }
    const gc_kernels *plain = gc_kernels_of_level(0);
    for (size_t level = 1; level < gc_level_count(); level++)
        for (size_t i = 0; i < CHECKS; i++) {
            int good = 1;
            for (int round = 0; round < ROUNDS && good; round++)
                good = checks[i].run(gc_kernels_of_level(level), plain);
            report(gc_level_name(level), checks[i].name, good);
        }
    for (size_t level = 1; level < gc_level_count(); level++) {
        const gc_kernels *fast = gc_kernels_of_level(level);
        int good = 1;
        for (int round = 0; round < ROUNDS && good; round++)
            good = check_dense_alone(fast);
        report(fast->level, "dense alone", good);
        report(fast->level, "float16", check_widening(fast, GC_FLOAT16));
        report(fast->level, "bfloat16", check_widening(fast, GC_BFLOAT16));
    }
    return closing_line();
}
