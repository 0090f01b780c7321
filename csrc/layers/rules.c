/* rules.c: the table of the rules of backward passes, and the groups of terms of those of
 * relevance; see rules.h. */
#include "layers/rules.h"

#include <string.h>

#include "base/status.h"

static const gc_portion ALL = {1.0f, 1.0f, 0.0f}, POSITIVE = {1.0f, 0.0f, 0.0f},
                     NEGATIVE = {0.0f, 1.0f, 0.0f}, NOTHING = {0.0f, 0.0f, 0.0f},
                     ONES = {0.0f, 0.0f, 1.0f};

/* Contributions w x > 0, by the signs of both; and those < 0. */
static gc_group excitatory(float share)
{
    return (gc_group){.share = share,
                      .bias = POSITIVE,
                      .count = 2,
                      .terms = {{.weight = POSITIVE, .input = POSITIVE},
                                {.weight = NEGATIVE, .input = NEGATIVE}}};
}

static gc_group inhibitory(float share)
{
    return (gc_group){.share = share,
                      .bias = NEGATIVE,
                      .count = 2,
                      .terms = {{.weight = NEGATIVE, .input = POSITIVE},
                                {.weight = POSITIVE, .input = NEGATIVE}}};
}

static size_t epsilon(const gc_rule *rule, gc_group *groups)
{
    (void)rule;
    groups[0] = (gc_group){.share = 1.0f,
                           .bias = ALL,
                           .count = 1,
                           .terms = {{.weight = ALL, .input = ALL}}};
    return 1;
}

/* Outputs > 0 add gamma times the excitatory contributions once more, outputs < 0 the inhibitory
 * ones (Andeol et al. 2021); on inputs >= 0 that is W + gamma max(W, 0). */
static size_t gamma_rule(const gc_rule *rule, gc_group *groups)
{
    const gc_portion more_positive = {1.0f + rule->gamma, 1.0f, 0.0f};
    const gc_portion more_negative = {1.0f, 1.0f + rule->gamma, 0.0f};
    for (int g = 0; g < 2; g++) {
        const gc_portion one = g == 0 ? more_positive : more_negative;
        const gc_portion other = g == 0 ? more_negative : more_positive;
        groups[g] = (gc_group){.share = 1.0f,
                               .where = g == 0 ? 1 : -1,
                               .bias = one,
                               .count = 2,
                               .terms = {{.weight = one, .input = POSITIVE},
                                         {.weight = other, .input = NEGATIVE}}};
    }
    return 2;
}

static size_t alpha_beta(const gc_rule *rule, gc_group *groups)
{
    groups[0] = excitatory(rule->alpha);
    groups[1] = inhibitory(-rule->beta);
    return 2;
}

static size_t z_plus(const gc_rule *rule, gc_group *groups)
{
    (void)rule;
    groups[0] = excitatory(1.0f);
    return 1;
}

static size_t z_minus(const gc_rule *rule, gc_group *groups)
{
    (void)rule;
    groups[0] = inhibitory(1.0f);
    return 1;
}

static size_t flat(const gc_rule *rule, gc_group *groups)
{
    (void)rule;
    groups[0] = (gc_group){.share = 1.0f,
                           .bias = NOTHING,
                           .count = 1,
                           .terms = {{.weight = ONES, .input = ONES}}};
    return 1;
}

/* W x - max(W, 0) low - min(W, 0) high, which is never negative. */
static size_t z_box(const gc_rule *rule, gc_group *groups)
{
    groups[0] = (gc_group){.share = 1.0f,
                           .bias = NOTHING,
                           .count = 3,
                           .terms = {{.weight = ALL, .input = ALL},
                                     {.weight = {-1.0f, 0.0f, 0.0f}, .bounds = rule->low},
                                     {.weight = {0.0f, -1.0f, 0.0f}, .bounds = rule->high}}};
    return 1;
}

static const gc_rule_row rows[] = {
    /* Of rectifiers: what they multiply by. */
    {.name = "gradient", .masks = GC_MASK_INPUT},
    {.name = "guided", .masks = GC_MASK_INPUT | GC_MASK_GRADIENT}, /* Springenberg et al. 2014 */
    {.name = "deconvnet", .masks = GC_MASK_GRADIENT},              /* Zeiler & Fergus 2014 */
    /* Of relevance (Bach et al. 2015; Montavon et al. 2017, 2019). */
    {.name = "epsilon", .groups = epsilon, .epsilon = 1e-6f, .bias = 1},
    {.name = "gamma", .groups = gamma_rule, .epsilon = 1e-6f, .bias = 1, .gamma = 0.25f},
    {.name = "alpha_beta", .groups = alpha_beta, .epsilon = 1e-6f, .bias = 1, .alpha = 2.0f,
     .beta = 1.0f},
    {.name = "z_plus", .groups = z_plus, .epsilon = 1e-6f, .bias = 1},
    {.name = "flat", .groups = flat, .epsilon = 1e-6f},
    {.name = "z_box", .groups = z_box, .epsilon = 1e-6f, .bounded = 1},
    /* Excitation backpropagation (Zhang et al. 2016) is alpha 1, beta 0 without biases; the dual
     * unit of its contrastive form has the negated weights. */
    {.name = "excitation", .groups = z_plus},
    {.name = "excitation_dual", .groups = z_minus},
};

enum { COUNT = sizeof rows / sizeof *rows };

const char *gc_rule_name(size_t index)
{
    return index < COUNT ? rows[index].name : NULL;
}

gc_status gc_rule_find(const char *name, gc_rule *rule, gc_error *error)
{
    for (const gc_rule_row *row = rows; row < rows + COUNT; row++)
        if (strcmp(row->name, name) == 0) {
            *rule = (gc_rule){.row = row,
                              .epsilon = row->epsilon,
                              .gamma = row->gamma,
                              .alpha = row->alpha,
                              .beta = row->beta,
                              .bias = row->bias};
            return GC_OK;
        }
    char names[160] = "";
    for (size_t i = 0; i < COUNT; i++) {
        strncat(names, i == 0 ? "" : ", ", sizeof names - strlen(names) - 1);
        strncat(names, rows[i].name, sizeof names - strlen(names) - 1);
    }
    return gc_fail(error, GC_BAD_ARGUMENT, "there is no rule '%.40s'; the rules are %s", name,
                   names);
}
