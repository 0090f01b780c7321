/* test_sequences.c: the operations on sequences from C: each against plain loops in double, its
 * gradient against finite differences, threads, interruption and refused arguments. */
#include "base/memory.h"
#include "base/watch.h"
#include "check.h"
#include "gradcam.h"

static double logistic(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* ---- Products ----------------------------------------------------------------------------- */

static int check_product(size_t count, size_t rows, size_t depth, size_t columns)
{
    const size_t size = count * rows * columns;
    float *a = random_floats(count * rows * depth), *b = random_floats(count * depth * columns);
    float *bias = random_bits() % 2 ? random_floats(columns) : NULL;
    float *actual = nan_floats(size), *expected = nan_floats(size);
    gc_error error;
    for (size_t i = 0; i < size; i++) {
        const size_t row = i / columns, column = i % columns, n = row / rows;
        double sum = bias == NULL ? 0.0 : bias[column];
        for (size_t k = 0; k < depth; k++)
            sum += (double)a[row * depth + k] * b[(n * depth + k) * columns + column];
        expected[i] = (float)sum;
    }
    const gc_status status =
        gc_matrix_product(count, rows, depth, columns, a, b, bias, actual, &error);
    const int good =
        status == GC_OK && close_floats("product", size, actual, expected, 2e-5, 1e-6);
    free(a), free(b), free(bias), free(actual), free(expected);
    return good;
}

static int check_products(void)
{
    int good = check_product(1, 1, 256, 1030) && check_product(1, 50, 300, 129);
    for (int round = 0; round < 30 && good; round++)
        good = check_product(random_size(1, 3), random_size(1, 30), random_size(1, 40),
                             random_size(1, 150));
    return good;
}

/* ---- LSTM --------------------------------------------------------------------------------- */

/* An LSTM with its inputs, and the weights of a sum over its outputs, the objective. */
typedef struct lstm {
    gc_lstm size;
    float *weight, *transposed, *inputs, *h0, *c0, *dh, *dc;
    float *gates, *h, *c, *dgates, *dh0, *dc0;
} lstm;

static size_t state_size(const lstm *l)
{
    return l->size.batch * l->size.hidden;
}

static lstm random_lstm(size_t steps, size_t batch, size_t hidden)
{
    const size_t state = batch * hidden, gates = steps * 4 * state;
    lstm l = {.size = {steps, batch, hidden},
              .weight = random_floats(4 * hidden * hidden),
              .transposed = nan_floats(4 * hidden * hidden),
              .inputs = random_floats(gates),
              .h0 = random_floats(state),
              .c0 = random_floats(state),
              .dh = random_floats(steps * state),
              .dc = random_floats(state),
              .gates = nan_floats(gates),
              .h = nan_floats((steps + 1) * state),
              .c = nan_floats((steps + 1) * state),
              .dgates = nan_floats(gates),
              .dh0 = nan_floats(state),
              .dc0 = nan_floats(state)};
    for (size_t r = 0; r < 4 * hidden; r++)
        for (size_t k = 0; k < hidden; k++)
            l.transposed[k * 4 * hidden + r] = l.weight[r * hidden + k];
    return l;
}

static void free_lstm(lstm *l)
{
    free(l->weight), free(l->transposed), free(l->inputs), free(l->h0), free(l->c0);
    free(l->dh), free(l->dc), free(l->gates), free(l->h), free(l->c), free(l->dgates);
    free(l->dh0), free(l->dc0);
}

static gc_status run(const lstm *l, gc_error *error)
{
    gc_status s = gc_lstm_forward(&l->size, l->transposed, l->inputs, l->h0, l->c0, l->gates,
                                  l->h, l->c, error);
    if (s == GC_OK)
        s = gc_lstm_backward(&l->size, l->weight, l->gates, l->c, l->dh, l->dc, l->dgates,
                             l->dh0, l->dc0, error);
    return s;
}

/* One sequence n of the batch, as double: its outputs into h and c, unless NULL, and the objective;
 * value `moved` of its inputs, h0 and c0, in this order, is larger by `change`. */
static double plain(const lstm *l, size_t n, float *h_out, float *c_out, size_t moved,
                    double change)
{
    const size_t hidden = l->size.hidden, batch = l->size.batch, inputs = l->size.steps * 4 * hidden;
    double h[8], c[8], sums[4 * 8], objective = 0.0;
    for (size_t k = 0; k < hidden; k++) {
        h[k] = l->h0[n * hidden + k] + (moved == inputs + k ? change : 0.0);
        c[k] = l->c0[n * hidden + k] + (moved == inputs + hidden + k ? change : 0.0);
    }
    for (size_t t = 0; t < l->size.steps; t++) {
        const size_t at = t * batch + n;
        for (size_t r = 0; r < 4 * hidden; r++) {
            sums[r] = l->inputs[at * 4 * hidden + r]
                      + (moved == t * 4 * hidden + r ? change : 0.0);
            for (size_t k = 0; k < hidden; k++)
                sums[r] += l->weight[r * hidden + k] * h[k];
        }
        for (size_t k = 0; k < hidden; k++) {
            c[k] = logistic(sums[hidden + k]) * c[k] + logistic(sums[k]) * tanh(sums[2 * hidden + k]);
            h[k] = logistic(sums[3 * hidden + k]) * tanh(c[k]);
            objective += h[k] * l->dh[at * hidden + k];
            if (h_out != NULL) {
                h_out[(at + batch) * hidden + k] = (float)h[k];
                c_out[(at + batch) * hidden + k] = (float)c[k];
            }
        }
    }
    for (size_t k = 0; k < hidden; k++)
        objective += c[k] * l->dc[n * hidden + k];
    return objective;
}

/* The gradient of sequence n by the value with this number, as the core computed it. */
static float gradient_of(const lstm *l, size_t n, size_t number)
{
    const size_t hidden = l->size.hidden, inputs = l->size.steps * 4 * hidden;
    if (number < inputs)
        return l->dgates[(number / (4 * hidden) * l->size.batch + n) * 4 * hidden
                         + number % (4 * hidden)];
    number -= inputs;
    return number < hidden ? l->dh0[n * hidden + number]
                           : l->dc0[n * hidden + number - hidden];
}

static int check_lstm(size_t steps, size_t batch, size_t hidden)
{
    lstm l = random_lstm(steps, batch, hidden);
    const size_t states = (steps + 1) * state_size(&l), values = steps * 4 * hidden + 2 * hidden;
    float *h = copy_floats(l.h0, states > 0 ? state_size(&l) : 0), *c;
    h = realloc(h, (states + 1) * sizeof *h);
    c = malloc((states + 1) * sizeof *c);
    memcpy(c, l.c0, state_size(&l) * sizeof *c);
    gc_error error;
    int good = run(&l, &error) == GC_OK;
    for (size_t n = 0; n < batch; n++) {
        plain(&l, n, h, c, SIZE_MAX, 0.0);
        for (size_t i = 0; i < values && good; i++) {
            const double step = 1e-5;
            const float expected = (float)((plain(&l, n, NULL, NULL, i, step)
                                            - plain(&l, n, NULL, NULL, i, -step)) / (2.0 * step));
            const float actual = gradient_of(&l, n, i);
            good = close_floats("gradient", 1, &actual, &expected, 1e-6, 1e-5);
        }
    }
    good = good && close_floats("h", states, l.h, h, 1e-6, 1e-6)
           && close_floats("c", states, l.c, c, 1e-6, 1e-6);
    free(h), free(c);
    free_lstm(&l);
    return good;
}

static int check_lstms(void)
{
    int good = check_lstm(1, 1, 1) && check_lstm(5, 3, 7);
    for (int round = 0; round < 5 && good; round++)
        good = check_lstm(random_size(1, 4), random_size(1, 5), random_size(1, 8));
    return good;
}

/* A missing state is zero. */
static int check_no_state(void)
{
    lstm l = random_lstm(3, 2, 5), zero = random_lstm(3, 2, 5);
    gc_error error;
    memset(l.h0, 0, state_size(&l) * sizeof *l.h0);
    memset(l.c0, 0, state_size(&l) * sizeof *l.c0);
    memset(l.dc, 0, state_size(&l) * sizeof *l.dc);
    int good = run(&l, &error) == GC_OK
               && gc_lstm_forward(&l.size, l.transposed, l.inputs, NULL, NULL, zero.gates, zero.h,
                                  zero.c, &error) == GC_OK
               && gc_lstm_backward(&l.size, l.weight, zero.gates, zero.c, l.dh, NULL, zero.dgates,
                                   zero.dh0, zero.dc0, &error) == GC_OK;
    good = good && close_floats("h", 4 * state_size(&l), zero.h, l.h, 0.0, 0.0)
           && close_floats("dgates", 12 * state_size(&l), zero.dgates, l.dgates, 0.0, 0.0);
    free_lstm(&l), free_lstm(&zero);
    return good;
}

/* The same bits on any number of threads: of one long sequence, and of several. */
static int check_threads(size_t batch, size_t hidden)
{
    lstm l = random_lstm(2, batch, hidden);
    const int threads = gc_threads();
    gc_error error;
    int good = 1;
    float *h = NULL, *dgates = NULL;
    for (int workers = 1; workers <= 3 && good; workers++) {
        gc_set_threads(workers);
        good = run(&l, &error) == GC_OK;
        const size_t states = 3 * state_size(&l), gates = 8 * state_size(&l);
        if (workers == 1)
            h = copy_floats(l.h, states), dgates = copy_floats(l.dgates, gates);
        good = good && memcmp(l.h, h, states * sizeof *h) == 0
               && memcmp(l.dgates, dgates, gates * sizeof *h) == 0;
    }
    gc_set_threads(threads);
    free(h), free(dgates);
    free_lstm(&l);
    return good;
}

/* ---- Tables and functions ----------------------------------------------------------------- */

static int check_rows(void)
{
    enum { ROWS = 7, WIDTH = 5, COUNT = 4 };
    const size_t numbers[COUNT] = {6, 0, 6, 2};
    float *table = random_floats(ROWS * WIDTH), *dout = random_floats(COUNT * WIDTH);
    float out[COUNT * WIDTH], dtable[ROWS * WIDTH], expected[ROWS * WIDTH] = {0};
    gc_error error;
    int good = gc_gather_rows(ROWS, WIDTH, table, COUNT, numbers, out, &error) == GC_OK
               && gc_scatter_rows(ROWS, WIDTH, COUNT, numbers, dout, dtable, &error) == GC_OK;
    for (size_t i = 0; i < COUNT * WIDTH; i++) {
        const size_t place = numbers[i / WIDTH] * WIDTH + i % WIDTH;
        good = good && out[i] == table[place];
        expected[place] += dout[i];
    }
    good = good && close_floats("table", ROWS * WIDTH, dtable, expected, 0.0, 0.0);
    free(table), free(dout);
    return good;
}

static int check_functions(void)
{
    enum { COUNT = 1037 };
    float *x = random_floats(COUNT), *dout = random_floats(COUNT);
    static float y[COUNT], derivatives[COUNT], expected[COUNT], sum[1], dweights[COUNT], dmaps[COUNT];
    gc_error error;
    int good = 1;
    for (int kind = 0; kind < 2; kind++) {
        good = good && gc_activate(kind ? GC_TANH : GC_SIGMOID, COUNT, x, y, derivatives, &error) == GC_OK;
        for (size_t i = 0; i < COUNT; i++)
            expected[i] = (float)(kind ? tanh(x[i]) : logistic(x[i]));
        good = good && close_floats("function", COUNT, y, expected, 0.0, 1e-6);
        for (size_t i = 0; i < COUNT; i++)
            expected[i] = (float)(kind ? 1.0 - tanh(x[i]) * tanh(x[i])
                                       : logistic(x[i]) * logistic(-x[i]));
        good = good && close_floats("derivative", COUNT, derivatives, expected, 0.0, 1e-6);
    }
    good = good && gc_softmax(0, 1, COUNT, x, y, &error) == GC_OK
           && gc_softmax_gradient(0, 1, COUNT, x, dout, derivatives, &error) == GC_OK
           && gc_softmax(1, 1, COUNT, x, expected, &error) == GC_OK;
    double dot = 0.0;
    for (size_t i = 0; i < COUNT; i++)
        dot += (double)y[i] * dout[i];
    for (size_t i = 0; i < COUNT; i++) {
        good = good && fabs(log(y[i]) - expected[i]) < 1e-5;
        good = good && fabs(y[i] * (dout[i] - dot) - derivatives[i]) < 1e-8;
    }
    gc_weighted_sum(1, COUNT, 1, x, dout, sum);
    gc_weighted_sum_gradient(1, COUNT, 1, x, dout, sum, dweights, dmaps);
    for (size_t i = 0; i < COUNT; i++)
        good = good && dweights[i] == sum[0] * dout[i] && dmaps[i] == sum[0] * x[i];
    free(x), free(dout);
    return good;
}

/* ---- Interruption and refusals -------------------------------------------------------------- */

static gc_status everything(lstm *l)
{
    static const size_t numbers[2] = {1, 0};
    gc_error error;
    gc_status s = run(l, &error);
    if (s == GC_OK) s = gc_matrix_product(2, 2, 3, 2, l->weight, l->weight, NULL, l->dgates, &error);
    if (s == GC_OK) s = gc_gather_rows(2, 3, l->weight, 2, numbers, l->dgates, &error);
    if (s == GC_OK) s = gc_scatter_rows(2, 3, 2, numbers, l->weight, l->dgates, &error);
    if (s == GC_OK) s = gc_activate(GC_TANH, 9, l->weight, l->dgates, l->gates, &error);
    if (s == GC_OK) s = gc_softmax(1, 3, 3, l->weight, l->dgates, &error);
    if (s == GC_OK) s = gc_softmax_gradient(0, 3, 3, l->weight, l->inputs, l->dgates, &error);
    return s;
}

/* Stops at question number `last`. */
typedef struct patience {
    size_t questions, last;
} patience;

static gc_answer lose_patience(void *argument, double share)
{
    patience *p = argument;
    (void)share;
    return p->questions++ == p->last ? GC_STOP : GC_GO_ON;
}

static int check_interrupted(void)
{
    lstm l = random_lstm(3, 2, 8);
    int good = 1;
    size_t last = 0;
    for (gc_status status = GC_INTERRUPTED; good && status != GC_OK; last++) {
        patience p = {.last = last};
        gc_watch watch = {.ask = lose_patience, .argument = &p};
        gc_watch_begin(&watch);
        status = everything(&l);
        const int stopped = gc_watch_end();
        good = stopped == (status == GC_INTERRUPTED) && stopped == (p.questions == last + 1);
    }
    free_lstm(&l);
    return good && last > 20; /* it did ask */
}

static int check_refused(void)
{
    const size_t huge = SIZE_MAX / 4, number = 3;
    float x[16] = {0}, y[16];
    gc_error error;
    const gc_lstm none = {0, 1, 1}, empty = {1, 0, 1}, too_large = {2, huge, 2},
                  too_wide = {1, 1, huge}, too_long = {SIZE_MAX, 1, 1};
    const gc_lstm *sizes[] = {&none, &empty, &too_large, &too_wide, &too_long};
    int good = 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        good = good
               && gc_lstm_forward(sizes[i], x, x, NULL, NULL, y, y, y, &error) == GC_BAD_ARGUMENT
               && gc_lstm_backward(sizes[i], x, x, x, x, NULL, y, y, y, &error) == GC_BAD_ARGUMENT;
    return good && gc_matrix_product(1, 1, 0, 1, x, x, NULL, y, &error) == GC_BAD_ARGUMENT
           && gc_matrix_product(1, 1, huge, 1, x, x, NULL, y, &error) == GC_BAD_ARGUMENT
           && gc_matrix_product(1, huge, 1, 8, x, x, NULL, y, &error) == GC_BAD_ARGUMENT
           && gc_gather_rows(3, 2, x, 1, &number, y, &error) == GC_BAD_ARGUMENT
           && gc_scatter_rows(3, 2, 1, &number, x, y, &error) == GC_BAD_ARGUMENT
           && gc_gather_rows(3, 0, x, 1, &number, y, &error) == GC_BAD_ARGUMENT
           && gc_activate(GC_TANH, 0, x, y, y, &error) == GC_BAD_ARGUMENT
           && gc_activate(GC_CLIP, 1, x, y, y, &error) == GC_BAD_ARGUMENT
           && gc_softmax(0, 1, 0, x, y, &error) == GC_BAD_ARGUMENT
           && gc_softmax_gradient(0, huge, huge, x, x, y, &error) == GC_BAD_ARGUMENT;
}

int main(void)
{
    set_seed();
    gc_error error;
    const uint32_t state = random_state;
    for (size_t level = 0; level < gc_level_count(); level++) {
        const char *name = gc_level_name(level);
        gc_level_set(name, &error);
        random_state = state; /* all levels have the same random numbers */
        report(name, "products", check_products());
        report(name, "LSTM", check_lstms());
        report(name, "LSTM without a state", check_no_state());
        report(name, "threads, one sequence", check_threads(1, 270));
        report(name, "threads, several sequences", check_threads(5, 9));
        report(name, "rows of tables", check_rows());
        report(name, "functions", check_functions());
    }
    report("interruption", "at every question", check_interrupted());
    report("arguments", "refused", check_refused());
    report("memory", "nothing is left", gc_alloc_live() == 0);
    gc_release_memory();
    return closing_line();
}
