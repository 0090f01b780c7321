/* test_network.c: the public interface from C: a graph with a branch, a sum, a concatenation
 * and every kind of layer, its gradient against finite differences, what happens when memory
 * runs out at each single allocation, and refused arguments.
 *
 * Forward and backward themselves are compared with float64 twins from Python; here it is
 * the sanitizers' and valgrind's turn. */
#include "base/memory.h"
#include "base/watch.h"
#include "check.h"
#include "gradcam.h"
#include "layers/layer.h"

enum { CHANNELS = 3, HEIGHT = 13, WIDTH = 11, BATCH = 2, CLASSES = 4, LAYERS = 16 };

/* A rule by its name, for calls that take one. */
static const gc_rule *named(const char *name)
{
    static gc_rule rule;
    gc_error error;
    if (gc_rule_find(name, &rule, &error) != GC_OK) {
        printf("%s\n", error.message);
        abort();
    }
    return &rule;
}

/* A rule at all layers; one that needs bounds only at the first convolution. */
static void make_rules(const char *name, gc_rule rules[LAYERS])
{
    static const float low[CHANNELS] = {-1.0f, -1.5f, -2.0f}, high[CHANNELS] = {1.0f, 1.5f, 2.0f};
    const int bounded = strcmp(name, "z_box") == 0;
    for (size_t i = 0; i < LAYERS; i++)
        rules[i] = *named(bounded && i != 1 ? "epsilon" : name);
    rules[1].low = bounded ? low : NULL;
    rules[1].high = bounded ? high : NULL;
    rules[1].bounds = CHANNELS;
}

static const unsigned char ALL[LAYERS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* Weights of all layers, in one block that outlives the network. */
typedef struct fixture {
    float conv1[6 * 3 * 9], bias1[6], conv2[6 * 3 * 9], bias2[6], point[6 * 6], scale[6],
        shift[6], linear[CLASSES * 12 * 4], linear_bias[CLASSES];
} fixture;

static void fill(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = 0.5f * random_float();
}

static void make_fixture(fixture *f)
{
    fill((float *)f, sizeof *f / sizeof(float));
}

/* input -> conv -> relu -> grouped dilated conv -> affine -+-> add -> relu -> max pool -+
 *                     \-> pointwise conv ------------------/                            |
 *   concat(max pool, average pool of it) -> adaptive -> flatten -> dropout -> linear -> softmax
 * Stores the numbers of the scores' and the sum's layer. */
static gc_status build(const fixture *f, gc_network **network, size_t *scores, size_t *sum,
                       gc_error *error)
{
    const gc_conv first = {.in_channels = 3, .out_channels = 6, .kernel = {3, 3},
                           .stride = {1, 1}, .padding = {{1, 1}, {1, 1}}, .dilation = {1, 1}, .groups = 1};
    const gc_conv second = {.in_channels = 6, .out_channels = 6, .kernel = {3, 3},
                            .stride = {1, 1}, .padding = {{2, 2}, {2, 2}}, .dilation = {2, 2},
                            .groups = 2};
    const gc_conv point = {.in_channels = 6, .out_channels = 6, .kernel = {1, 1},
                           .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
    const gc_pool max = {.kernel = {2, 2}, .stride = {2, 2}, .ceil_mode = 1};
    const gc_pool average = {.kernel = {3, 3}, .stride = {1, 1}, .padding = {{1, 1}, {1, 1}},
                             .include_pad = 1};
    gc_network *n = NULL;
    size_t x, relu, a, b, join[2];
    gc_status s = gc_network_new(CHANNELS, &n, error);
    if (s == GC_OK) s = gc_add_conv(n, 0, &first, f->conv1, f->bias1, &x, error);
    if (s == GC_OK) s = gc_add_relu(n, x, &relu, error);
    if (s == GC_OK) s = gc_add_conv(n, relu, &second, f->conv2, f->bias2, &a, error);
    if (s == GC_OK) s = gc_add_affine(n, a, 6, f->scale, f->shift, &join[0], error);
    if (s == GC_OK) s = gc_add_conv(n, relu, &point, f->point, NULL, &join[1], error);
    if (s == GC_OK) s = gc_add_sum(n, join, 2, sum, error);
    if (s == GC_OK) s = gc_add_relu(n, *sum, &x, error);
    if (s == GC_OK) s = gc_add_max_pool(n, x, &max, &join[0], error);
    if (s == GC_OK) s = gc_add_average_pool(n, join[0], &average, &join[1], error);
    if (s == GC_OK) s = gc_add_concatenation(n, join, 2, &b, error);
    if (s == GC_OK) s = gc_add_adaptive_average_pool(n, b, 2, 2, &x, error);
    if (s == GC_OK) s = gc_add_flatten(n, x, &x, error);
    if (s == GC_OK) s = gc_add_dropout(n, x, &x, error);
    if (s == GC_OK) s = gc_add_linear(n, x, 48, CLASSES, GC_FLOAT32, f->linear, f->linear_bias,
                                      scores, error);
    if (s == GC_OK) s = gc_add_softmax(n, *scores, &x, error);
    if (s != GC_OK) {
        gc_network_free(n);
        return s;
    }
    *network = n;
    return GC_OK;
}

/* ---- Gradient -------------------------------------------------------------------------- */

/* sum over everything of the seeds times the activation of `layer`. */
static double objective(const gc_network *network, const float *input, size_t layer,
                        const float *seeds, size_t count)
{
    gc_tape *tape = NULL;
    gc_error error;
    double sum = 0.0;
    float *out = malloc(count * sizeof *out);
    if (gc_forward(network, 0, input, BATCH, HEIGHT, WIDTH, NULL, layer, 1, &tape, &error) == GC_OK
        && gc_tape_read(tape, layer, out, &error) == GC_OK)
        for (size_t i = 0; i < count; i++)
            sum += (double)seeds[i] * out[i];
    gc_tape_free(tape);
    free(out);
    return sum;
}

static const float STEP = 1e-3f; /* of a difference */

/* The directional derivative along random directions, from gc_backward and from differences
 * of the objective on the reference level. */
static int check_gradient(const gc_network *network, size_t layer, size_t count, float step)
{
    const size_t inputs = BATCH * CHANNELS * HEIGHT * WIDTH, wanted = 0;
    float *input = random_floats(inputs), *direction = random_floats(inputs);
    float *seeds = random_floats(count), *gradient = nan_floats(inputs);
    float *const gradients[1] = {gradient};
    gc_tape *tape = NULL;
    gc_error error;
    int good = gc_forward(network, 0, input, BATCH, HEIGHT, WIDTH, NULL, layer, 1, &tape, &error)
                   == GC_OK
               && gc_backward(tape, layer, seeds, 1, named("gradient"), 1, &wanted, 1, gradients, NULL,
                              &error)
                      == GC_OK;
    if (good) {
        float *moved = malloc(inputs * sizeof *moved);
        double along = 0.0, difference;
        for (size_t i = 0; i < inputs; i++) {
            along += (double)gradient[i] * direction[i];
            moved[i] = input[i] + step * direction[i];
        }
        difference = objective(network, moved, layer, seeds, count);
        for (size_t i = 0; i < inputs; i++)
            moved[i] = input[i] - step * direction[i];
        difference -= objective(network, moved, layer, seeds, count);
        difference /= 2.0 * step;
        /* A few ReLUs and maxima change sides within the step: hence the loose bound. */
        good = fabs(difference - along) <= 0.02 * fabs(along) + 0.02;
        if (!good)
            printf("gradient along a direction: %g, by differences: %g\n", along, difference);
        free(moved);
    }
    gc_tape_free(tape);
    free(input), free(direction), free(seeds), free(gradient);
    return good;
}

/* All on the same random numbers. */
static int check_activation_gradients(void)
{
    const uint32_t state = random_state;
    static const float slopes[CHANNELS] = {0.2f};
    int good = 1;
    for (gc_activation_kind kind = GC_CLIP; kind <= GC_GELU_TANH && good; kind++) {
        const gc_activation activation = {.kind = kind,
                                          .low = -0.5f,
                                          .high = 0.25f,
                                          .slope = 0.3f,
                                          .slopes = slopes,
                                          .slope_count = CHANNELS};
        gc_network *network = NULL;
        gc_error error;
        size_t layer = 0;
        random_state = state;
        good = gc_network_new(CHANNELS, &network, &error) == GC_OK
               && gc_add_activation(network, 0, &activation, &layer, &error) == GC_OK
               && check_gradient(network, layer, BATCH * CHANNELS * HEIGHT * WIDTH, 1e-4f);
        if (!good)
            printf("activation %d\n", (int)kind);
        gc_network_free(network);
    }
    return good;
}

/* Several seeds at once give what each gives alone, under every rule. */
static int check_several_seeds(const gc_network *network, size_t layer)
{
    enum { SETS = 3 };
    const size_t inputs = BATCH * CHANNELS * HEIGHT * WIDTH, scores = BATCH * CLASSES;
    const size_t wanted[2] = {0, 2};
    float *input = random_floats(inputs), *seeds = random_floats(SETS * scores);
    gc_tape *tape = NULL;
    gc_error error;
    int good = gc_network_size(network) == LAYERS
               && gc_forward(network, 0, input, BATCH, HEIGHT, WIDTH, ALL, LAYERS - 1, 1, &tape,
                             &error)
                      == GC_OK;
    const gc_shape *middle = good ? gc_tape_shape(tape, 2) : NULL;
    const size_t values =
        good ? BATCH * middle->channels * middle->height * middle->width : 0;
    float *together = nan_floats(SETS * inputs), *alone = nan_floats(inputs);
    float *middle_together = nan_floats(SETS * values), *middle_alone = nan_floats(values);
    float *const all[2] = {together, middle_together}, *const one[2] = {alone, middle_alone};
    for (size_t i = 0; gc_rule_name(i) != NULL && good; i++) {
        gc_rule rules[LAYERS];
        make_rules(gc_rule_name(i), rules);
        good = gc_backward(tape, layer, seeds, SETS, rules, LAYERS, wanted, 2, all, NULL, &error)
               == GC_OK;
        for (size_t s = 0; s < SETS && good; s++)
            good = gc_backward(tape, layer, seeds + s * scores, 1, rules, LAYERS, wanted, 2, one,
                               NULL, &error)
                       == GC_OK
                   && close_floats("one of several seeds", inputs, together + s * inputs, alone,
                                   1e-6, 1e-5)
                   && close_floats("one of several seeds, in the middle", values,
                                   middle_together + s * values, middle_alone, 1e-6, 1e-5);
    }
    gc_tape_free(tape);
    free(input), free(seeds), free(together), free(alone), free(middle_together);
    free(middle_alone);
    return good;
}

/* ---- No memory ------------------------------------------------------------------------- */

/* gc_all_finite has no status: after an interruption its answer means nothing. */
static gc_status check_finite(size_t count, const float *values)
{
    const int finite = gc_all_finite(count, values);
    return gc_stopped() ? GC_INTERRUPTED : finite ? GC_OK : GC_BAD_ARGUMENT;
}

/* Everything once: build, forward, read, backward, means of it in both ways, resize. */
static gc_status everything(const fixture *f)
{
    static float input[BATCH * CHANNELS * HEIGHT * WIDTH], gradient[2 * sizeof input / 4];
    static float seeds[2 * BATCH * CLASSES], out[BATCH * CLASSES], resized[50 * 40];
    static float means[2 * BATCH * 12];
    float *const gradients[1] = {gradient};
    const size_t wanted = 0;
    gc_network *network = NULL;
    gc_tape *tape = NULL;
    size_t scores = 0, sum = 0;
    gc_error error;
    gc_status s = build(f, &network, &scores, &sum, &error);
    if (s == GC_OK) s = gc_forward(network, 0, input, BATCH, HEIGHT, WIDTH, ALL, scores, 1, &tape,
                                   &error);
    if (s == GC_OK) s = gc_tape_read(tape, scores, out, &error);
    gc_rule rules[LAYERS];
    make_rules("gamma", rules);
    if (s == GC_OK) s = gc_backward(tape, scores, seeds, 2, rules, LAYERS, &wanted, 1, gradients,
                                    NULL, &error);
    if (s == GC_OK) s = gc_backward(tape, scores, seeds, 2, named("guided"), 1, &wanted, 1, gradients,
                                    NULL, &error);
    if (s == GC_OK) s = gc_pooled_gradient(tape, scores, seeds, 2, named("gradient"), sum, means,
                                           &error);
    if (s == GC_OK) s = gc_pooled_gradient(tape, scores, seeds, 2, named("gradient"), scores - 3, means,
                                           &error);
    if (s == GC_OK) s = check_finite(2 * BATCH * 12, means);
    if (s == GC_OK) s = gc_resize(1, HEIGHT, WIDTH, input, 50, 40, GC_HALF_PIXEL, NULL, resized,
                                  &error);
    gc_tape_free(tape);
    gc_network_free(network);
    return s;
}

static int check_no_memory(const fixture *f)
{
    const long before = gc_alloc_live();
    for (long successes = 0;; successes++) {
        gc_alloc_fail_after(successes);
        const gc_status status = everything(f);
        gc_alloc_fail_after(-1);
        if (gc_alloc_live() != before) {
            printf("%ld blocks leak after %ld allocations\n", gc_alloc_live() - before,
                   successes);
            return 0;
        }
        if (status == GC_OK)
            return successes > 20; /* it did allocate, and each failure was one status */
        if (status != GC_NO_MEMORY)
            return 0;
    }
}

/* ---- Interrupted ----------------------------------------------------------------------- */

/* Stops at question number `last`. */
typedef struct patience {
    size_t questions, last;
    double share;
    int good;
} patience;

static gc_answer lose_patience(void *argument, double share)
{
    patience *p = argument;
    p->good = p->good && share >= 0.0 && share <= 1.0;
    p->share = share;
    return p->questions++ == p->last ? GC_STOP : GC_GO_ON;
}

/* Whether every call of `everything` can be stopped at every question, and leaves nothing. */
static int check_interrupted(const fixture *f)
{
    const long before = gc_alloc_live();
    for (size_t last = 0;; last++) {
        patience p = {.last = last, .good = 1};
        gc_watch watch = {.ask = lose_patience, .argument = &p};
        gc_watch_begin(&watch);
        const gc_status status = everything(f);
        const int stopped = gc_watch_end();
        if (gc_alloc_live() != before || !p.good || stopped != (status == GC_INTERRUPTED)
            || stopped != (p.questions == last + 1)) {
            printf("question %zu: status %d, %ld blocks\n", last, (int)status,
                   gc_alloc_live() - before);
            return 0;
        }
        if (status == GC_OK)
            return last > 30; /* it did ask */
    }
}

/* A network and a tape give the same results after passes that were stopped at every question. */
static int check_usable(const gc_network *network, size_t scores)
{
    const size_t inputs = BATCH * CHANNELS * HEIGHT * WIDTH, wanted = 0;
    float *input = random_floats(inputs), *seeds = random_floats(BATCH * CLASSES);
    float *gradient[2] = {nan_floats(inputs), nan_floats(inputs)};
    gc_tape *tape = NULL, *other = NULL;
    gc_error error;
    gc_status status = GC_INTERRUPTED;
    int good = gc_forward(network, 0, input, BATCH, HEIGHT, WIDTH, NULL, scores, 1, &tape, &error)
                   == GC_OK
               && gc_backward(tape, scores, seeds, 1, named("gradient"), 1, &wanted, 1, &gradient[0], NULL,
                              &error)
                      == GC_OK;
    for (size_t last = 0; good && status == GC_INTERRUPTED; last++) {
        patience p = {.last = last, .good = 1};
        gc_watch watch = {.ask = lose_patience, .argument = &p};
        gc_watch_begin(&watch);
        status = gc_forward(network, 0, input, BATCH, HEIGHT, WIDTH, NULL, scores, 1, &other,
                            &error);
        if (status == GC_OK)
            status = gc_backward(tape, scores, seeds, 1, named("gradient"), 1, &wanted, 1, &gradient[1],
                                 NULL, &error);
        gc_tape_free(other);
        other = NULL;
        gc_watch_end();
    }
    good = good && status == GC_OK
           && memcmp(gradient[0], gradient[1], inputs * sizeof(float)) == 0;
    gc_tape_free(tape);
    free(input), free(seeds), free(gradient[0]), free(gradient[1]);
    return good;
}

/* What is asked may make calls itself, even while its caller holds a lock. */
typedef struct visit {
    const gc_network *network;
    const float *input;
    size_t layer, calls;
    int good;
} visit;

static gc_answer call_again(void *argument, double share)
{
    (void)share;
    visit *v = argument;
    gc_tape *tape = NULL;
    gc_error error;
    v->good = v->good
              && gc_forward(v->network, 0, v->input, 1, HEIGHT, WIDTH, NULL, v->layer, 0, &tape,
                            &error)
                     == GC_OK;
    v->calls++;
    gc_tape_free(tape);
    return GC_GO_ON;
}

static int check_nested(const gc_network *network, size_t scores)
{
    float *input = random_floats(CHANNELS * HEIGHT * WIDTH);
    visit v = {.network = network, .input = input, .layer = scores, .good = 1};
    gc_watch watch = {.ask = call_again, .argument = &v};
    gc_tape *tape = NULL;
    gc_error error;
    gc_watch_begin(&watch);
    const gc_status status =
        gc_forward(network, 0, input, 1, HEIGHT, WIDTH, NULL, scores, 1, &tape, &error);
    const int good = !gc_watch_end() && status == GC_OK && v.good && v.calls > 5;
    gc_tape_free(tape);
    free(input);
    return good;
}

/* After GC_ASK_NO_MORE nobody asks. */
static gc_answer close_up(void *argument, double share)
{
    (void)share;
    ++*(int *)argument;
    return GC_ASK_NO_MORE;
}

static int check_closed(const fixture *f)
{
    int questions = 0;
    gc_watch watch = {.ask = close_up, .argument = &questions};
    gc_watch_begin(&watch);
    const gc_status status = everything(f);
    return !gc_watch_end() && status == GC_OK && questions == 1;
}

/* A large block that was freed comes back for a size that it fits, and for no other. */
static int check_reuse(void)
{
    gc_release_memory();
    char *first = gc_alloc(1 << 20);
    memset(first, 7, 1 << 20);
    gc_free(first);
    char *smaller = gc_alloc(1 << 18), *same = gc_alloc((1 << 20) - 100);
    char *another = gc_alloc(1 << 20);
    const int good = smaller != first && same == first && another != first
                     && (uintptr_t)another % GC_ALIGNMENT == 0;
    gc_free(smaller);
    gc_free(same);
    gc_free(another);
    return good;
}

/* ---- Refused --------------------------------------------------------------------------- */

/* A map of one value is 144 to 576 times as large in blocks, and so many as are allowed can still be
 * addressed. Kernels are limited so that no product of two sizes is larger than a size_t. */
static int check_addressable(void)
{
    const float weight = 1.0f;
    const size_t bytes = GC_MAX_BYTES * 4 * 6 * 6, half = (GC_MAX_POSITIONS >> 1) + 1;
    int good = bytes / (4 * 6 * 6) == GC_MAX_BYTES
               && GC_MAX_EXTENT * (GC_MAX_EXTENT + 2) / (GC_MAX_EXTENT + 2) == GC_MAX_EXTENT;
    gc_conv conv = {.in_channels = half, .out_channels = half, .kernel = {1, 1}, .stride = {1, 1},
                    .dilation = {1, 1}, .groups = 1};
    gc_network *network = NULL;
    gc_error error;
    size_t layer;
    if (gc_network_new(half, &network, &error) != GC_OK)
        return 0;
    good &= gc_add_conv(network, 0, &conv, &weight, NULL, &layer, &error) == GC_BAD_ARGUMENT
            && strcmp(error.message, "the kernel has too many elements") == 0;
    conv.in_channels = conv.out_channels = 1;
    conv.kernel[0] = GC_MAX_EXTENT + 1;
    good &= gc_add_conv(network, 0, &conv, &weight, NULL, &layer, &error) == GC_BAD_ARGUMENT;
    gc_network_free(network);
    return good;
}

static int check_refused(const gc_network *network, size_t scores)
{
    static float input[CHANNELS * HEIGHT * WIDTH], values[CHANNELS * HEIGHT * WIDTH];
    float *const gradients[1] = {values};
    const size_t beyond = gc_network_size(network), softmax = beyond - 1;
    gc_tape *tape = NULL;
    gc_network *none = NULL;
    gc_error error;
    int good = gc_network_new(0, &none, &error) == GC_BAD_ARGUMENT;
    good &= gc_forward(network, 0, input, 0, HEIGHT, WIDTH, NULL, scores, 1, &tape, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_forward(network, 0, input, 1, 0, WIDTH, NULL, scores, 1, &tape, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_forward(network, 0, input, 1, HEIGHT, WIDTH, NULL, beyond, 1, &tape, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_forward(network, 0, input, 1, GC_MAX_EXTENT, GC_MAX_EXTENT, NULL, scores, 1,
                       &tape, &error)
            == GC_NO_MEMORY;
    good &= gc_forward(network, 0, input, 1, HEIGHT, WIDTH, NULL, scores, 1, &tape, &error)
            == GC_OK;
    if (!good)
        return 0;
    const size_t first = 0;
    good &= gc_tape_read(tape, 1, values, &error) == GC_NOT_KEPT;
    good &= gc_tape_read(tape, beyond, values, &error) == GC_NOT_KEPT;
    good &= gc_backward(tape, softmax, values, 1, named("gradient"), 1, &first, 1, gradients, NULL, &error)
            == GC_BAD_ARGUMENT; /* the pass stopped at the scores */
    good &= gc_backward(tape, scores, values, 0, named("gradient"), 1, &first, 1, gradients, NULL, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_backward(tape, scores, values, SIZE_MAX / 2, named("gradient"), 1, &first, 1, gradients,
                        NULL, &error)
            == GC_NO_MEMORY;
    good &= gc_backward(tape, scores, values, 1, named("gradient"), 1, &beyond, 1, gradients, NULL, &error)
            == GC_BAD_ARGUMENT;
    gc_rule rule = *named("epsilon");
    good &= gc_rule_find("lrp", &rule, &error) == GC_BAD_ARGUMENT
            && strstr(error.message, "z_plus") != NULL;
    good &= gc_backward(tape, scores, values, 1, named("z_plus"), 1, &first, 1, gradients, NULL,
                        &error)
                == GC_NOT_KEPT
            && strstr(error.message, "was not kept") != NULL;
    good &= gc_backward(tape, scores, values, 1, named("z_plus"), 2, &first, 1, gradients, NULL,
                        &error)
            == GC_BAD_ARGUMENT;
    good &= gc_pooled_gradient(tape, scores, values, 1, named("epsilon"), 1, values, &error)
            == GC_BAD_ARGUMENT;
    gc_tape_free(tape);
    good &= gc_forward(network, 0, input, 1, HEIGHT, WIDTH, ALL, softmax, 1, &tape, &error) == GC_OK;
    good &= gc_backward(tape, softmax, values, 1, named("epsilon"), 1, &first, 1, gradients, NULL,
                        &error)
                == GC_BAD_ARGUMENT
            && strstr(error.message, "begin below it") != NULL;
    good &= gc_backward(tape, scores, values, 1, named("z_box"), 1, &first, 1, gradients, NULL,
                        &error)
                == GC_BAD_ARGUMENT
            && strstr(error.message, "bound of each") != NULL;
    gc_tape_free(tape);
    good &= gc_forward(network, 0, input, 1, HEIGHT, WIDTH, NULL, scores, 1, &tape, &error) == GC_OK;
    good &= gc_pooled_gradient(tape, softmax, values, 1, named("gradient"), 1, values, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_pooled_gradient(tape, scores, values, 1, named("gradient"), beyond, values, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_pooled_gradient(tape, scores, values, 0, named("gradient"), 1, values, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_pooled_gradient(tape, scores, values, SIZE_MAX / 2, named("gradient"), 1, values, &error)
            == GC_NO_MEMORY;
    gc_tape_free(tape);
    good &= gc_resize(1, 0, 5, input, 5, 5, GC_NEAREST, NULL, values, &error) == GC_BAD_ARGUMENT;
    good &= gc_level_set("no such level", &error) == GC_BAD_ARGUMENT
            && strstr(error.message, "reference") != NULL;
    return good;
}

/* ---- A pass that starts in the middle ---------------------------------------------------- */

/* Whether a pass from `start` has the scores of the whole pass, and their gradient at `start`, to
 * the last bit. */
static int same_from(const gc_network *network, const gc_tape *whole, size_t start, size_t scores)
{
    const gc_shape *shape = gc_tape_shape(whole, start);
    const size_t values = BATCH * shape->channels * shape->height * shape->width;
    float *map = nan_floats(values), *seeds = random_floats(BATCH * CLASSES);
    float *gradient[2] = {nan_floats(values), nan_floats(values)};
    float *out[2] = {nan_floats(BATCH * CLASSES), nan_floats(BATCH * CLASSES)};
    gc_tape *tape = NULL;
    gc_error error;
    int good = gc_tape_read(whole, start, map, &error) == GC_OK
               && gc_forward(network, start, map, BATCH, HEIGHT, WIDTH, NULL, scores, 1, &tape,
                             &error)
                      == GC_OK;
    for (int i = 0; i < 2 && good; i++) {
        const gc_tape *from = i == 0 ? whole : tape;
        good = gc_tape_read(from, scores, out[i], &error) == GC_OK
               && gc_backward(from, scores, seeds, 1, named("guided"), 1, &start, 1, &gradient[i], NULL,
                              &error)
                      == GC_OK;
    }
    good = good && memcmp(out[0], out[1], BATCH * CLASSES * sizeof(float)) == 0
           && memcmp(gradient[0], gradient[1], values * sizeof(float)) == 0
           && gc_tape_shape(tape, start) != NULL && gc_tape_shape(tape, start - 1) == NULL;
    gc_tape_free(tape);
    free(map), free(seeds);
    free(gradient[0]), free(gradient[1]), free(out[0]), free(out[1]);
    return good;
}

static int check_start(const gc_network *network, size_t scores, size_t sum)
{
    const size_t inputs = BATCH * CHANNELS * HEIGHT * WIDTH;
    float *input = random_floats(inputs);
    unsigned char *keep = calloc(gc_network_size(network), 1);
    gc_tape *whole = NULL;
    gc_error error;
    keep[2] = keep[sum] = keep[sum + 1] = keep[scores - 2] = 1;
    int good = gc_forward(network, 0, input, BATCH, HEIGHT, WIDTH, keep, scores, 1, &whole, &error)
               == GC_OK;
    good = good && same_from(network, whole, 2, scores)       /* two convolutions read this ReLU */
           && same_from(network, whole, sum, scores)          /* a ReLU reads it */
           && same_from(network, whole, sum + 1, scores)      /* max pooling does */
           && same_from(network, whole, scores - 2, scores);  /* dropout, which copies it */
    gc_tape_free(whole);
    free(input), free(keep);
    return good;
}

static int check_start_refused(const gc_network *network, size_t scores, size_t sum)
{
    static float map[6 * HEIGHT * WIDTH], gradient[6 * HEIGHT * WIDTH], seeds[CLASSES];
    const size_t beyond = gc_network_size(network), below = sum - 1;
    const unsigned char keep[32] = {[1] = 1};
    gc_shape shape;
    gc_tape *tape = NULL;
    gc_error error;
    int good = gc_forward(network, beyond, map, 1, HEIGHT, WIDTH, NULL, scores, 1, &tape, &error)
               == GC_BAD_ARGUMENT;
    good &= gc_forward(network, sum, map, 1, HEIGHT, WIDTH, NULL, sum - 1, 1, &tape, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_forward(network, sum, map, 1, HEIGHT, WIDTH, keep, scores, 1, &tape, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_forward(network, sum - 1, map, 1, HEIGHT, WIDTH, NULL, scores, 1, &tape, &error)
                == GC_BAD_ARGUMENT /* the sum reads another layer too */
            && strstr(error.message, "layer 6 cannot be computed: it reads layer 4") != NULL;
    good &= gc_forward(network, sum, map, 1, 0, WIDTH, NULL, scores, 1, &tape, &error)
            == GC_BAD_ARGUMENT;
    good &= gc_network_shape(network, beyond, HEIGHT, WIDTH, &shape, &error) == GC_BAD_ARGUMENT;
    good &= gc_network_shape(network, sum, HEIGHT, WIDTH, &shape, &error) == GC_OK
            && shape.channels == 6 && shape.height == HEIGHT && shape.width == WIDTH;
    good &= gc_forward(network, sum, map, 1, HEIGHT, WIDTH, NULL, scores, 1, &tape, &error)
            == GC_OK;
    good = good
           && gc_backward(tape, scores, seeds, 1, named("gradient"), 1, &below, 1,
                          (float *const[]){gradient}, NULL, &error)
                  == GC_BAD_ARGUMENT;
    gc_tape_free(tape);
    return good;
}

/* ---- Transformed weights ----------------------------------------------------------------- */

/* A network with a lent pack computes the same bits as one that makes its own, and no level
 * accepts a pack of other weights. */
static int check_packs(void)
{
    enum { IN = 9, OUT = 35, SIDE = 7 };
    const gc_conv conv = {.in_channels = IN, .out_channels = OUT, .kernel = {3, 3},
                          .stride = {1, 1}, .padding = {{1, 1}, {1, 1}}, .dilation = {1, 1}, .groups = 1};
    float *weight = random_floats(OUT * IN * 9), *x = random_floats(IN * SIDE * SIDE);
    float *own = nan_floats(OUT * SIDE * SIDE), *out = nan_floats(OUT * SIDE * SIDE);
    gc_network *first = NULL, *second = NULL;
    gc_tape *tapes[2] = {NULL, NULL};
    gc_error error;
    size_t layer = 0;
    int taken = 0;
    int good = gc_network_new(IN, &first, &error) == GC_OK
               && gc_network_new(IN, &second, &error) == GC_OK
               && gc_add_conv(first, 0, &conv, weight, NULL, &layer, &error) == GC_OK
               && gc_add_conv(second, 0, &conv, weight, NULL, &layer, &error) == GC_OK;
    const size_t bytes = gc_network_pack_bytes(second, layer, GC_PACK_FORWARD);
    float *pack = aligned_alloc(64, bytes / 64 * 64 + 64);
    if (bytes > 0) { /* not on the reference level */
        good = good
               && gc_network_pack(second, layer, GC_PACK_FORWARD, bytes + 4, pack, &error)
                      == GC_BAD_ARGUMENT
               && gc_network_pack(second, layer, GC_PACK_FORWARD, bytes, pack, &error) == GC_OK
               && gc_network_pack_key(first, layer, GC_PACK_FORWARD)
                      == gc_network_pack_key(second, layer, GC_PACK_FORWARD)
               && gc_network_lend_pack(second, layer, GC_PACK_FORWARD, bytes, pack, &taken,
                                       &error) == GC_OK
               && gc_network_lend_pack(second, 0, GC_PACK_FORWARD, bytes, pack, &taken, &error)
                      == GC_BAD_ARGUMENT;
    }
    good = good
           && gc_forward(first, 0, x, 1, SIDE, SIDE, NULL, layer, 0, &tapes[0],
                         &error) == GC_OK
           && gc_forward(second, 0, x, 1, SIDE, SIDE, NULL, layer, 0, &tapes[1],
                         &error) == GC_OK
           && gc_tape_read(tapes[0], layer, own, &error) == GC_OK
           && gc_tape_read(tapes[1], layer, out, &error) == GC_OK
           && memcmp(own, out, OUT * SIDE * SIDE * sizeof *out) == 0;
    const uint64_t key = gc_network_pack_key(first, layer, GC_PACK_FORWARD);
    weight[100] += 1.0f; /* the networks read it in place */
    good = good && (bytes == 0 || gc_network_pack_key(first, layer, GC_PACK_FORWARD) != key);
    for (size_t i = 0; i < OUT * IN * 9; i++)
        weight[i] += 1.0f;
    good = good
           && (bytes == 0
               || gc_network_lend_pack(first, layer, GC_PACK_FORWARD, bytes, pack, &taken, &error)
                      == GC_BAD_ARGUMENT);
    gc_tape_free(tapes[0]), gc_tape_free(tapes[1]);
    gc_network_free(first), gc_network_free(second);
    free(weight), free(x), free(own), free(out), free(pack);
    return good;
}

/* A linear layer and a ReLU, with lent input-major weights. Two images, one of them with few inputs
 * that are not zero, have the results of the layer's own weights, except for rounding, and the bits
 * of each image alone. A row that has changed is found when it is used. */
static int run_linear(const gc_network *network, size_t layer, const float *x, size_t batch,
                      float *out)
{
    gc_tape *tape = NULL;
    gc_error error;
    const int good =
        gc_forward(network, 0, x, batch, 1, 1, NULL, layer, 1, &tape, &error) == GC_OK
        && gc_tape_read(tape, layer, out, &error) == GC_OK;
    gc_tape_free(tape);
    return good;
}

static int is_close(const float *found, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(found[i] - expected[i]) <= 1e-4f))
            return 0;
    return 1;
}

static int check_input_major(void)
{
    enum { IN = 70, OUT = 35, ACTIVE = 20 };
    float *weight = random_floats(OUT * IN), *bias = random_floats(OUT);
    float *x = random_floats(2 * IN), *own = nan_floats(2 * OUT), *out = nan_floats(2 * OUT);
    gc_network *network = NULL;
    gc_error error;
    size_t layer = 0;
    int taken = 0;
    for (size_t c = ACTIVE; c < IN; c++)
        x[c] = 0.0f;
    int good = gc_network_new(IN, &network, &error) == GC_OK
               && gc_add_flatten(network, 0, &layer, &error) == GC_OK
               && gc_add_linear(network, layer, IN, OUT, GC_FLOAT32, weight, bias, &layer, &error)
                      == GC_OK
               && gc_add_relu(network, layer, &layer, &error) == GC_OK
               && run_linear(network, layer, x, 2, own);
    const size_t linear = layer - 1;
    const size_t bytes = gc_network_pack_bytes(network, linear, GC_PACK_INPUT_MAJOR);
    float *pack = aligned_alloc(64, bytes / 64 * 64 + 64);
    good = good
           && gc_network_pack(network, linear, GC_PACK_INPUT_MAJOR, bytes, pack, &error) == GC_OK
           && pack[3 * OUT + 1] == weight[IN + 3];
    pack[(ACTIVE + 1) * OUT + 1] += 1.0f; /* of an input that only the second image has */
    good = good
           && gc_network_lend_pack(network, linear, GC_PACK_INPUT_MAJOR, bytes, pack, &taken,
                                   &error) == GC_OK
           && taken && run_linear(network, layer, x, 2, out) && is_close(out, own, 2 * OUT)
           && !gc_network_pack_damaged(network, linear);
    float alone[OUT];
    for (size_t n = 0; n < 2; n++)
        good = good && run_linear(network, layer, x + n * IN, 1, alone)
               && memcmp(alone, out + n * OUT, sizeof alone) == 0;
    x[ACTIVE + 1] = 1e-20f; /* now the first image uses the row that has changed */
    good = good && run_linear(network, layer, x, 2, out)
           && memcmp(out, own, 2 * OUT * sizeof *out) == 0
           && gc_network_pack_damaged(network, linear);
    gc_network_free(network);
    free(weight), free(bias), free(x), free(own), free(out), free(pack);
    return good;
}

/* ---- A convolution that draws from the one before it ------------------------------------- */

enum { WIDE = 150, LOW = 14, FIRST = 12, SECOND = 20 };

/* The second ReLU's output, and its guided gradient at the input; the first ReLU kept, or drawn. */
static gc_status pass_drawn(const gc_network *network, const float *x, size_t height, size_t width,
                            const float *seeds, int kept, float *out, float *gradient)
{
    const unsigned char keep[5] = {0, 0, (unsigned char)kept, 0, 0};
    const size_t last = 4, wanted = 0;
    gc_tape *tape = NULL;
    gc_error error;
    gc_status s = gc_forward(network, 0, x, BATCH, height, width, keep, last, 1, &tape, &error);
    if (s == GC_OK) s = gc_tape_read(tape, last, out, &error);
    if (s == GC_OK) s = gc_backward(tape, last, seeds, 1, named("guided"), 1, &wanted, 1,
                                    (float *const[]){gradient}, NULL, &error);
    gc_tape_free(tape);
    return s;
}

/* input -> convolution -> ReLU -> convolution -> ReLU; w1 and w2 outlive it. */
static gc_status build_drawn(const float *w1, const float *w2, gc_network **network,
                             gc_error *error)
{
    const gc_conv first = {.in_channels = CHANNELS, .out_channels = FIRST, .kernel = {3, 3},
                           .stride = {1, 1}, .padding = {{1, 1}, {1, 1}}, .dilation = {1, 1}, .groups = 1};
    gc_conv second = first;
    second.in_channels = FIRST;
    second.out_channels = SECOND;
    size_t layer;
    gc_status s = gc_network_new(CHANNELS, network, error);
    if (s == GC_OK) s = gc_add_conv(*network, 0, &first, w1, NULL, &layer, error);
    if (s == GC_OK) s = gc_add_relu(*network, layer, &layer, error);
    if (s == GC_OK) s = gc_add_conv(*network, layer, &second, w2, NULL, &layer, error);
    if (s == GC_OK) s = gc_add_relu(*network, layer, &layer, error);
    return s;
}

static int check_drawn(void)
{
    const size_t inputs = BATCH * CHANNELS * LOW * WIDE, outputs = BATCH * SECOND * LOW * WIDE;
    float *w1 = random_floats(FIRST * CHANNELS * 9), *w2 = random_floats(SECOND * FIRST * 9);
    float *x = random_floats(inputs), *seeds = random_floats(outputs);
    float *out[2] = {nan_floats(outputs), nan_floats(outputs)};
    float *gradient[2] = {nan_floats(inputs), nan_floats(inputs)};
    gc_network *network = NULL;
    gc_error error;
    gc_status s = build_drawn(w1, w2, &network, &error);
    for (int kept = 0; kept < 2; kept++)
        if (s == GC_OK) s = pass_drawn(network, x, LOW, WIDE, seeds, kept, out[kept],
                                        gradient[kept]);
    const int good = s == GC_OK && memcmp(out[0], out[1], outputs * sizeof(float)) == 0
                     && memcmp(gradient[0], gradient[1], inputs * sizeof(float)) == 0;
    gc_network_free(network);
    free(w1), free(w2), free(x), free(seeds);
    free(out[0]), free(out[1]), free(gradient[0]), free(gradient[1]);
    return good;
}

/* Passes that make transformed weights, stopped at every question; nothing half made is kept: the
 * next pass of the same network has the bits of one that was never stopped. Before each, a network
 * of other weights fills the memory that the transformed weights are given. */
static int check_interrupted_packs(void)
{
    const size_t inputs = BATCH * CHANNELS * HEIGHT * WIDTH;
    const size_t outputs = BATCH * SECOND * HEIGHT * WIDTH;
    float *w1 = random_floats(FIRST * CHANNELS * 9), *w2 = random_floats(SECOND * FIRST * 9);
    float *x = random_floats(inputs), *seeds = random_floats(outputs);
    float *others = random_floats(SECOND * FIRST * 9);
    float *out[2] = {nan_floats(outputs), nan_floats(outputs)};
    float *gradient[2] = {nan_floats(inputs), nan_floats(inputs)};
    const long before = gc_alloc_live();
    gc_network *network = NULL;
    gc_error error;
    int good = build_drawn(w1, w2, &network, &error) == GC_OK
               && pass_drawn(network, x, HEIGHT, WIDTH, seeds, 1, out[0], gradient[0]) == GC_OK;
    gc_network_free(network);
    for (size_t last = 0, finished = 0; good && !finished; last++) {
        good = build_drawn(others, others, &network, &error) == GC_OK
               && pass_drawn(network, x, HEIGHT, WIDTH, seeds, 1, out[1], gradient[1]) == GC_OK;
        gc_network_free(network);
        patience p = {.last = last, .good = 1};
        gc_watch watch = {.ask = lose_patience, .argument = &p};
        good = good && build_drawn(w1, w2, &network, &error) == GC_OK;
        gc_watch_begin(&watch);
        const gc_status status = pass_drawn(network, x, HEIGHT, WIDTH, seeds, 1, out[1], gradient[1]);
        finished = !gc_watch_end();
        good = good && status == (finished ? GC_OK : GC_INTERRUPTED)
               && pass_drawn(network, x, HEIGHT, WIDTH, seeds, 1, out[1], gradient[1]) == GC_OK
               && memcmp(out[0], out[1], outputs * sizeof(float)) == 0
               && memcmp(gradient[0], gradient[1], inputs * sizeof(float)) == 0;
        gc_network_free(network);
        good = good && gc_alloc_live() == before;
    }
    free(w1), free(w2), free(others), free(x), free(seeds);
    free(out[0]), free(out[1]), free(gradient[0]), free(gradient[1]);
    return good;
}

/* A pass that shares relevance can be stopped at every question, also where it transforms parts of
 * the weights; afterwards it has the same bits. */
static int check_interrupted_relevance(void)
{
    enum { VALUES = BATCH * CHANNELS * HEIGHT * WIDTH, OUTPUTS = BATCH * SECOND * HEIGHT * WIDTH };
    const size_t last = 4, wanted = 0;
    float *w1 = random_floats(FIRST * CHANNELS * 9), *w2 = random_floats(SECOND * FIRST * 9);
    float *x = random_floats(VALUES), *seeds = random_floats(OUTPUTS);
    float *relevance[2] = {nan_floats(VALUES), nan_floats(VALUES)};
    gc_network *network = NULL;
    gc_tape *tape = NULL;
    gc_error error;
    gc_status status = GC_INTERRUPTED;
    int good = build_drawn(w1, w2, &network, &error) == GC_OK
               && gc_forward(network, 0, x, BATCH, HEIGHT, WIDTH, ALL, last, 1, &tape, &error)
                      == GC_OK
               && gc_backward(tape, last, seeds, 1, named("alpha_beta"), 1, &wanted, 1,
                              &relevance[0], NULL, &error)
                      == GC_OK;
    const long before = gc_alloc_live();
    for (size_t question = 0; good && status == GC_INTERRUPTED; question++) {
        patience p = {.last = question, .good = 1};
        gc_watch watch = {.ask = lose_patience, .argument = &p};
        gc_watch_begin(&watch);
        status = gc_backward(tape, last, seeds, 1, named("alpha_beta"), 1, &wanted, 1,
                             &relevance[1], NULL, &error);
        gc_watch_end();
        good = gc_alloc_live() == before && (status == GC_OK || status == GC_INTERRUPTED);
    }
    good = good && status == GC_OK
           && memcmp(relevance[0], relevance[1], VALUES * sizeof(float)) == 0;
    gc_tape_free(tape);
    gc_network_free(network);
    free(w1), free(w2), free(x), free(seeds), free(relevance[0]), free(relevance[1]);
    return good;
}

int main(void)
{
    set_seed();
    static fixture f;
    gc_network *network = NULL;
    size_t scores = 0, sum = 0;
    gc_error error;
    make_fixture(&f);
    if (build(&f, &network, &scores, &sum, &error) != GC_OK) {
        printf("%s\n", error.message);
        return EXIT_FAILURE;
    }
    const uint32_t state = random_state;
    for (size_t level = 0; level < gc_level_count(); level++) {
        const char *name = gc_level_name(level);
        gc_level_set(name, &error);
        random_state = state; /* all levels have the same random numbers */
        report(name, "gradient of the scores",
               check_gradient(network, scores, BATCH * CLASSES, STEP));
        report(name, "gradient of a sum of maps",
               check_gradient(network, sum, BATCH * 6 * HEIGHT * WIDTH, STEP));
        report(name, "gradient of the probabilities",
               check_gradient(network, gc_network_size(network) - 1, BATCH * CLASSES, STEP));
        report(name, "gradients of activations", check_activation_gradients());
        report(name, "several seeds", check_several_seeds(network, scores));
        report(name, "a pass that starts in the middle", check_start(network, scores, sum));
        report(name, "transformed weights that are lent", check_packs());
        report(name, "input-major weights", check_input_major());
        report(name, "usable after interrupted passes", check_usable(network, scores));
        report(name, "calls of what is asked", check_nested(network, scores));
        report(name, "a convolution that draws its input", check_drawn());
        if (level > 0) /* the level reference transforms no weights */
            report(name, "transformed weights of interrupted passes", check_interrupted_packs());
    }
    /* At the fastest level alone: it is a pass for each question. */
    report("relevance", "interrupted passes", check_interrupted_relevance());
    report("memory", "every allocation fails once", check_no_memory(&f));
    report("interruption", "at every question", check_interrupted(&f));
    report("interruption", "no more questions", check_closed(&f));
    report("arguments", "refused", check_refused(network, scores));
    report("sizes", "what cannot be addressed", check_addressable());
    report("arguments", "refused where a pass starts in the middle",
           check_start_refused(network, scores, sum));
    gc_network_free(network);
    report("memory", "nothing is left", gc_alloc_live() == 0);
    report("memory", "freed blocks are given out again", check_reuse());
    gc_release_memory();
    return closing_line();
}
