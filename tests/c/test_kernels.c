/* test_kernels.c: every kernel of every level that this machine runs against its twin in
 * plain double loops. The list of kernels is GC_KERNELS: one without a check here does not
 * compile. Sizes are drawn so that whole vectors, tails and single elements all occur. */
#include "check.h"
#include "kernels/kernels.h"

typedef int (*check)(const gc_kernels *fast, const gc_kernels *plain);

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
        w = (gc_window){.channels = random_size(1, 4),
                        .height = random_size(1, 20),
                        .width = random_size(1, 20)};
        for (int d = 0; d < 2; d++) {
            w.kernel[d] = random_size(1, 5);
            w.stride[d] = random_size(1, 3);
            w.padding[d] = random_size(0, 6); /* wider than the kernel too */
            w.dilation[d] = random_size(1, 3);
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
    const size_t first = random_size(0, positions - 1);
    const size_t count = random_size(1, positions - first);
    const size_t size = w.channels * w.kernel[0] * w.kernel[1] * count;
    float *map = random_floats(w.channels * w.height * w.width);
    float *actual = nan_floats(size), *expected = nan_floats(size);
    fast->im2col(&w, map, first, count, actual);
    plain->im2col(&w, map, first, count, expected);
    const int good = close_floats("im2col", size, actual, expected, 0.0, 0.0);
    free(map), free(actual), free(expected);
    return good;
}

static int check_col2im(const gc_kernels *fast, const gc_kernels *plain)
{
    const gc_window w = random_window();
    const size_t positions = w.out_height * w.out_width;
    const size_t first = random_size(0, positions - 1);
    const size_t count = random_size(1, positions - first);
    const size_t size = w.channels * w.height * w.width;
    float *columns = random_floats(w.channels * w.kernel[0] * w.kernel[1] * count);
    float *actual = random_floats(size), *expected = copy_floats(actual, size);
    fast->col2im(&w, columns, first, count, actual);
    plain->col2im(&w, columns, first, count, expected);
    const int good = close_floats("col2im", size, actual, expected, 1e-6, 1e-6);
    free(columns), free(actual), free(expected);
    return good;
}

/* ---- Winograd --------------------------------------------------------------------------- */

/* A small convolution run through the four kernels of one level, whose vectors have a width of
 * their own: weights in that width's layout, plain maps in and out. */
typedef struct tiled {
    size_t images, in, out, height, width;
    const float *x, *u; /* [images][in][height][width]; [36][in][out] */
    float *y;           /* [images][out][height][width] */
} tiled;

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static gc_winograd geometry(const tiled *t, size_t lanes, size_t room)
{
    gc_winograd w = {.in_blocks = divide_up(t->in, lanes),
                     .out_blocks = divide_up(t->out, 2 * lanes),
                     .height = t->height,
                     .width = t->width,
                     .tiles_down = divide_up(t->height, 4),
                     .tiles_across = divide_up(t->width, 4),
                     .tile_room = room};
    w.rows = 4 * w.tiles_down + 2;
    w.columns = 4 * w.tiles_across + 2;
    w.v_plane = (w.in_blocks * lanes * room + 15) / 16 * 16;
    w.m_plane = (2 * lanes * room + 15) / 16 * 16;
    return w;
}

static float *aligned_floats(size_t count, float value)
{
    float *floats = aligned_alloc(64, (count * sizeof *floats / 64 + 1) * 64);
    for (size_t i = 0; i < count; i++)
        floats[i] = value;
    return floats;
}

static float *weights_for(const tiled *t, const gc_winograd *w, size_t lanes)
{
    const size_t channels = w->in_blocks * lanes, outputs = w->out_blocks * 2 * lanes;
    float *u = aligned_floats(36 * channels * outputs, 0.0f);
    for (size_t xi = 0; xi < 36; xi++)
        for (size_t c = 0; c < t->in; c++)
            for (size_t k = 0; k < t->out; k++)
                u[((k / (2 * lanes) * 36 + xi) * channels + c) * 2 * lanes + k % (2 * lanes)] =
                    t->u[(xi * t->in + c) * t->out + k];
    return u;
}

static void run_tiled(const tiled *t, const gc_kernels *kernels, size_t block)
{
    const size_t lanes = kernels->width, positions = t->height * t->width;
    const gc_winograd w = geometry(t, lanes, block);
    const size_t plane = w.rows * w.columns * lanes, tiles = w.tiles_down * w.tiles_across;
    float *in = aligned_floats(t->images * w.in_blocks * plane, 0.0f);
    float *out = aligned_floats(t->images * 2 * w.out_blocks * positions * lanes, NAN);
    float *v = aligned_floats(36 * w.v_plane, NAN), *m = aligned_floats(36 * w.m_plane, NAN);
    float *u = weights_for(t, &w, lanes);
    for (size_t i = 0; i < t->images * w.in_blocks; i++) {
        const size_t from = i % w.in_blocks * lanes, left = t->in - from;
        kernels->block_map(left < lanes ? left : lanes, t->height, t->width, w.columns,
                           t->x + (i / w.in_blocks * t->in + from) * positions, in + i * plane);
    }
    for (size_t first = 0; first < t->images * tiles; first += block) {
        const size_t left = t->images * tiles - first, count = left < block ? left : block;
        kernels->winograd_input(&w, first, count, in, v);
        for (size_t k = 0; k < w.out_blocks; k++)
            kernels->winograd_output(&w, first, count, k, u, v, m, out);
    }
    for (size_t i = 0; i < t->images * 2 * w.out_blocks; i++) {
        const size_t from = i % (2 * w.out_blocks) * lanes;
        const size_t left = from < t->out ? t->out - from : 0;
        kernels->unblock_map(left < lanes ? left : lanes, positions, out + i * positions * lanes,
                             t->y + (i / (2 * w.out_blocks) * t->out + from) * positions);
    }
    free(in), free(out), free(v), free(m), free(u);
}

static int check_tiled(const gc_kernels *fast, const gc_kernels *plain)
{
    tiled t = {.images = random_size(1, 2),
               .in = random_size(1, 20),
               .out = random_size(1, 40),
               .height = random_size(1, 13),
               .width = random_size(1, 13)};
    const size_t size = t.images * t.out * t.height * t.width;
    float *x = random_floats(t.images * t.in * t.height * t.width);
    float *u = random_floats(36 * t.in * t.out);
    float *actual = nan_floats(size), *expected = nan_floats(size);
    t.x = x;
    t.u = u;
    t.y = actual;
    run_tiled(&t, fast, random_size(1, 30));
    t.y = expected;
    run_tiled(&t, plain, random_size(1, 30));
    /* Values of some hundreds: 36 * in products of terms up to 30. */
    const int good = close_floats("winograd", size, actual, expected, 2e-3, 1e-5);
    free(x), free(u), free(actual), free(expected);
    return good;
}

/* The four are steps of one computation. */
#define check_block_map check_tiled
#define check_unblock_map check_tiled
#define check_winograd_input check_tiled
#define check_winograd_output check_tiled

/* ---- ReLU ------------------------------------------------------------------------------ */

static int check_bias(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 70);
    const float bias = random_float();
    float *actual = random_floats(count), *expected = copy_floats(actual, count);
    fast->bias(count, bias, actual);
    plain->bias(count, bias, expected);
    const int good = close_floats("bias", count, actual, expected, 0.0, 0.0);
    free(actual), free(expected);
    return good;
}

/* Values among which are zeros of both signs and NaN, the corners of a ReLU. */
static float *relu_inputs(size_t count)
{
    static const float corners[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY};
    float *x = random_floats(count);
    for (size_t i = 0; i < count; i++)
        if (random_bits() % 8 == 0)
            x[i] = corners[random_bits() % 5];
    return x;
}

static int check_bias_relu(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 70), bytes = (count + 7) / 8;
    const float bias = random_float();
    float *actual = relu_inputs(count), *expected = copy_floats(actual, count);
    uint8_t fast_bits[9], plain_bits[9];
    memset(fast_bits, 0xA5, sizeof fast_bits);
    fast->bias_relu(count, bias, actual, fast_bits);
    plain->bias_relu(count, bias, expected, plain_bits);
    const int good = close_floats("bias_relu", count, actual, expected, 0.0, 0.0)
                     && memcmp(fast_bits, plain_bits, bytes) == 0;
    free(actual), free(expected);
    return good;
}

static int check_relu_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 70), bytes = (count + 7) / 8;
    float *x = relu_inputs(count);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    uint8_t fast_bits[9], plain_bits[9];
    memset(fast_bits, 0xA5, sizeof fast_bits);
    fast->relu_forward(count, x, actual, fast_bits);
    plain->relu_forward(count, x, expected, plain_bits);
    const int good = close_floats("relu_forward", count, actual, expected, 0.0, 0.0)
                     && memcmp(fast_bits, plain_bits, bytes) == 0;
    free(x), free(actual), free(expected);
    return good;
}

static int check_relu_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 70);
    int good = 1;
    for (gc_rule rule = GC_GRADIENT; rule <= GC_DECONVNET && good; rule++) {
        float *dy = random_floats(count);
        float *actual = nan_floats(count), *expected = nan_floats(count);
        uint8_t bits[9];
        for (size_t i = 0; i < sizeof bits; i++)
            bits[i] = (uint8_t)random_bits();
        fast->relu_backward(count, rule, bits, dy, actual);
        plain->relu_backward(count, rule, bits, dy, expected);
        good = close_floats("relu_backward", count, actual, expected, 0.0, 0.0);
        fast->relu_backward(count, rule, bits, dy, dy); /* in place */
        good = good && close_floats("relu_backward in place", count, dy, expected, 0.0, 0.0);
        free(dy), free(actual), free(expected);
    }
    return good;
}

/* ---- Pooling --------------------------------------------------------------------------- */

enum { MOST_SPANS = 40 };

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
                             .out_height = random_size(1, MOST_SPANS),
                             .out_width = random_size(1, MOST_SPANS),
                             .rows = rows,
                             .columns = columns};
    random_spans(p.height, p.out_height, rows);
    random_spans(p.width, p.out_width, columns);
    return p;
}

/* VGG's own: 2x2 windows side by side, the last odd row or column left out. */
static gc_pool_plane plane_2x2(gc_span *rows, gc_span *columns)
{
    gc_pool_plane plane = {.height = random_size(2, 2 * MOST_SPANS + 1),
                           .width = random_size(2, 2 * MOST_SPANS + 1),
                           .rows = rows,
                           .columns = columns};
    plane.out_height = plane.height / 2;
    plane.out_width = plane.width / 2;
    for (size_t i = 0; i < MOST_SPANS; i++)
        rows[i] = columns[i] = (gc_span){.begin = 2 * i, .end = 2 * i + 2, .divisor = 2};
    return plane;
}

static int check_max_pool_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    gc_span rows[MOST_SPANS], columns[MOST_SPANS];
    const gc_pool_plane p =
        random_bits() % 2 ? plane_2x2(rows, columns) : random_plane(rows, columns);
    const size_t out = p.out_height * p.out_width;
    float *x = relu_inputs(p.height * p.width); /* ties and NaN among them */
    float *actual = nan_floats(out), *expected = nan_floats(out);
    uint32_t *fast_position = malloc(out * sizeof *fast_position);
    uint32_t *plain_position = malloc(out * sizeof *plain_position);
    memset(fast_position, 0xA5, out * sizeof *fast_position);
    fast->max_pool_forward(&p, x, actual, fast_position);
    plain->max_pool_forward(&p, x, expected, plain_position);
    const int good = close_floats("max_pool_forward", out, actual, expected, 0.0, 0.0)
                     && memcmp(fast_position, plain_position, out * sizeof *plain_position) == 0;
    free(x), free(actual), free(expected), free(fast_position), free(plain_position);
    return good;
}

static int check_max_pool_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t in = random_size(1, 50), out = random_size(1, 60);
    float *dy = random_floats(out);
    float *actual = random_floats(in), *expected = copy_floats(actual, in);
    uint32_t position[60];
    for (size_t i = 0; i < out; i++)
        position[i] = (uint32_t)random_size(0, in - 1);
    fast->max_pool_backward(out, position, dy, actual);
    plain->max_pool_backward(out, position, dy, expected);
    const int good = close_floats("max_pool_backward", in, actual, expected, 0.0, 0.0);
    free(dy), free(actual), free(expected);
    return good;
}

static int check_average_pool_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    gc_span rows[MOST_SPANS], columns[MOST_SPANS];
    const gc_pool_plane p = random_plane(rows, columns);
    const size_t out = p.out_height * p.out_width;
    float *x = random_floats(p.height * p.width);
    float *actual = nan_floats(out), *expected = nan_floats(out);
    fast->average_pool_forward(&p, x, actual);
    plain->average_pool_forward(&p, x, expected);
    const int good = close_floats("average_pool_forward", out, actual, expected, 1e-5, 1e-5);
    free(x), free(actual), free(expected);
    return good;
}

static int check_average_pool_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    gc_span rows[MOST_SPANS], columns[MOST_SPANS];
    const gc_pool_plane p = random_plane(rows, columns);
    const size_t in = p.height * p.width;
    float *dy = random_floats(p.out_height * p.out_width);
    float *actual = random_floats(in), *expected = copy_floats(actual, in);
    fast->average_pool_backward(&p, dy, actual);
    plain->average_pool_backward(&p, dy, expected);
    const int good = close_floats("average_pool_backward", in, actual, expected, 1e-4, 1e-5);
    free(dy), free(actual), free(expected);
    return good;
}

/* ---- One value or vector at a time ----------------------------------------------------- */

static int check_accumulate(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 70);
    float *x = random_floats(count);
    float *actual = random_floats(count), *expected = copy_floats(actual, count);
    fast->accumulate(count, x, actual);
    plain->accumulate(count, x, expected);
    const int good = close_floats("accumulate", count, actual, expected, 0.0, 0.0);
    free(x), free(actual), free(expected);
    return good;
}

static int check_affine(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 70);
    const float scale = random_float(), shift = random_float();
    float *x = random_floats(count);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    fast->affine(count, scale, shift, x, actual);
    plain->affine(count, scale, shift, x, expected);
    const int good = close_floats("affine", count, actual, expected, 1e-7, 1e-6);
    free(x), free(actual), free(expected);
    return good;
}

static int check_softmax_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 70);
    float *x = random_floats(count);
    for (size_t i = 0; i < count; i++)
        x[i] *= 200.0f; /* exp(200) is no float: the maximum must be taken off */
    float *actual = nan_floats(count), *expected = nan_floats(count);
    fast->softmax_forward(count, x, actual);
    plain->softmax_forward(count, x, expected);
    const int good = close_floats("softmax_forward", count, actual, expected, 1e-7, 1e-5);
    free(x), free(actual), free(expected);
    return good;
}

static int check_softmax_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 70);
    float *x = random_floats(count), *dy = random_floats(count), *y = nan_floats(count);
    plain->softmax_forward(count, x, y);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    fast->softmax_backward(count, y, dy, actual);
    plain->softmax_backward(count, y, dy, expected);
    const int good = close_floats("softmax_backward", count, actual, expected, 1e-7, 1e-6);
    free(x), free(dy), free(y), free(actual), free(expected);
    return good;
}

static int check_dense_forward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t rows = random_size(1, 11), columns = random_size(1, 100);
    float *w = random_floats(rows * columns + 1), *x = random_floats(columns);
    float *actual = nan_floats(rows), *expected = nan_floats(rows);
    fast->dense_forward(rows, columns, w + 1, x, actual); /* rows need not be aligned */
    plain->dense_forward(rows, columns, w + 1, x, expected);
    const int good = close_floats("dense_forward", rows, actual, expected, 1e-5, 1e-6);
    free(w), free(x), free(actual), free(expected);
    return good;
}

static int check_dense_backward(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t rows = random_size(1, 30), columns = random_size(1, 60);
    const size_t stride = columns + random_size(0, 5);
    float *w = random_floats(rows * stride + 1), *g = random_floats(rows);
    float *actual = nan_floats(columns), *expected = nan_floats(columns);
    for (size_t r = 0; r < rows; r++)
        g[r] = random_bits() % 2 ? g[r] : 0.0f;
    fast->dense_backward(rows, columns, stride, w + 1, g, actual);
    plain->dense_backward(rows, columns, stride, w + 1, g, expected);
    const int good = close_floats("dense_backward", columns, actual, expected, 1e-5, 1e-6);
    free(w), free(g), free(actual), free(expected);
    return good;
}

static int check_all_finite(const gc_kernels *fast, const gc_kernels *plain)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e-45f, 3.4028235e38f};
    const size_t count = random_size(1, 10000);
    float *x = random_floats(count);
    if (random_bits() % 2)
        x[random_size(0, count - 1)] = bad[random_bits() % 5];
    int actual = -1, expected = -1;
    fast->all_finite(count, x, &actual);
    plain->all_finite(count, x, &expected);
    free(x);
    return actual == expected;
}

/* ---- Maps ------------------------------------------------------------------------------ */

static int check_channel_mean(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t count = random_size(1, 9), positions = random_size(1, 200);
    float *maps = random_floats(count * positions);
    float *actual = nan_floats(count), *expected = nan_floats(count);
    fast->channel_mean(count, positions, maps, actual);
    plain->channel_mean(count, positions, maps, expected);
    const int good = close_floats("channel_mean", count, actual, expected, 1e-8, 1e-6);
    free(maps), free(actual), free(expected);
    return good;
}

static int check_weighted_sum(const gc_kernels *fast, const gc_kernels *plain)
{
    const size_t channels = random_size(1, 40), positions = random_size(1, 60);
    float *maps = random_floats(channels * positions), *weights = random_floats(channels);
    float *actual = nan_floats(positions), *expected = nan_floats(positions);
    fast->weighted_sum(channels, positions, weights, maps, actual);
    plain->weighted_sum(channels, positions, weights, maps, expected);
    const int good = close_floats("weighted_sum", positions, actual, expected, 1e-5, 1e-6);
    free(maps), free(weights), free(actual), free(expected);
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
    const size_t height = random_size(1, 15), width = random_size(1, 15);
    const size_t out_height = random_size(1, MOST_SPANS), out_width = random_size(1, MOST_SPANS);
    gc_tap rows[MOST_SPANS], columns[MOST_SPANS];
    random_taps(height, out_height, rows);
    random_taps(width, out_width, columns);
    float *map = random_floats(height * width);
    float *actual = nan_floats(out_height * out_width);
    float *expected = nan_floats(out_height * out_width);
    fast->resize(width, out_height, out_width, rows, columns, map, actual);
    plain->resize(width, out_height, out_width, rows, columns, map, expected);
    const int good =
        close_floats("resize", out_height * out_width, actual, expected, 1e-6, 1e-6);
    free(map), free(actual), free(expected);
    return good;
}

int main(void)
{
    static const struct {
        const char *name;
        check run;
    } checks[] = {
#define X(name, parameters) {#name, check_##name},
        GC_KERNELS(X)
#undef X
    };
    enum { ROUNDS = 200 };
    const gc_kernels *plain = gc_kernels_of_level(0);
    for (size_t level = 1; level < gc_level_count(); level++)
        for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
            int good = 1;
            for (int round = 0; round < ROUNDS && good; round++)
                good = checks[i].run(gc_kernels_of_level(level), plain);
            report(gc_level_name(level), checks[i].name, good);
        }
    return closing_line();
}
