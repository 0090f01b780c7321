/* check.h: what the C tests share: random numbers from a seed, comparison, and the last line of the
 * output.
 *
 * The environment variable SEED sets the seed: a number, or `random`. The seed is printed, so that
 * a failure can be repeated. The default is always the same. */
#ifndef GC_TESTS_CHECK_H
#define GC_TESTS_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int checks_passed, checks_failed;
static int quiet; /* whether differences are not printed */

/* xorshift32: the same sequence everywhere; never 0. */
static uint32_t random_state = 2463534242u;

static inline void set_seed(void)
{
    const char *text = getenv("SEED");
    if (text != NULL)
        random_state = strcmp(text, "random") == 0 ? (uint32_t)time(NULL) * 2654435761u
                                                   : (uint32_t)strtoul(text, NULL, 10);
    if (random_state == 0)
        random_state = 1;
    printf("SEED=%lu\n", (unsigned long)random_state);
}

static inline uint32_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static inline float random_float(void) /* in [-1, 1) */
{
    return (float)((int32_t)random_bits()) * 0x1p-31f;
}

static inline size_t random_size(size_t minimum, size_t maximum)
{
    return minimum + random_bits() % (maximum - minimum + 1);
}

static inline float *random_floats(size_t count)
{
    float *values = malloc((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = random_float();
    return values;
}

/* An output before it is written: elements that a kernel does not write are NaN. */
static inline float *nan_floats(size_t count)
{
    float *values = malloc((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = NAN;
    return values;
}

static inline float *copy_floats(const float *from, size_t count)
{
    float *values = malloc((count + 1) * sizeof *values);
    memcpy(values, from, count * sizeof *values);
    return values;
}

/* |actual - expected| <= atol + rtol |expected| everywhere; says where not. */
static inline int close_floats(const char *what, size_t count, const float *actual,
                               const float *expected, double atol, double rtol)
{
    for (size_t i = 0; i < count; i++) {
        const double a = actual[i], e = expected[i];
        if (a == e || (isnan(a) && isnan(e)))
            continue;
        if (!(fabs(a - e) <= atol + rtol * fabs(e))) {
            if (!quiet)
                printf("%s: element %zu of %zu is %.9g, expected %.9g\n", what, i, count, a, e);
            return 0;
        }
    }
    return 1;
}

static inline void report(const char *group, const char *name, int good)
{
    if (good)
        checks_passed++;
    else
        checks_failed++;
    if (!good)
        printf("FAILED: %s %s\n", group, name);
}

static inline int closing_line(void)
{
    printf("%d passed, %d failed\n", checks_passed, checks_failed);
    return checks_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
