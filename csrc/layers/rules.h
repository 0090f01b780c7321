/* rules.h: the rules of backward passes, rows of one table (rules.c).
 *
 * A row says what rectifiers multiply a gradient by; or, for a rule of relevance, in which groups
 * of terms a layer with weights W shares the relevance R of its output among its inputs x:
 *
 *     R_in = sum over groups g of share_g sum over terms t of g of x_t * W_t^T (R / stabilised z_g)
 *     z_g  = sum over terms t of W_t x_t, and the group's part of the bias
 *
 * W_t and x_t are parts of W and x, for example their positive values alone. What all rules of
 * relevance do at the other kinds of layers is in gc_rule and relevance.c. */
#ifndef GC_LAYERS_RULES_H
#define GC_LAYERS_RULES_H

#include "layers/layer.h"

enum { GC_MAX_GROUPS = 2, GC_MAX_TERMS = 3 };

typedef struct gc_term {
    gc_portion weight, input;
    const float *bounds; /* [channels] x_t at all positions, in place of the part; or NULL */
} gc_term;

typedef struct gc_group {
    float share;
    int where;       /* 1: for outputs W x + b > 0 alone, -1: < 0; 0: all */
    gc_portion bias; /* the part that is added to z, if the rule keeps biases */
    size_t count;
    gc_term terms[GC_MAX_TERMS];
} gc_group;

typedef struct gc_rule_row {
    const char *name;
    unsigned masks; /* of rectifiers: GC_MASK_... */
    /* The groups of a rule of relevance; returns how many. NULL: layers pass back derivatives. */
    size_t (*groups)(const gc_rule *rule, gc_group groups[GC_MAX_GROUPS]);
    float epsilon, gamma, alpha, beta; /* the usual parameters */
    int bias;
    int bounded;    /* whether it needs bounds of the input */
} gc_rule_row;

static inline int gc_is_relevance(const gc_rule *rule)
{
    return rule->row->groups != NULL;
}

#endif
