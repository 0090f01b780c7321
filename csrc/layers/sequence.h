/* sequence.h: what the files of the operations on sequences share; see gradcam.h. */
#ifndef GC_LAYERS_SEQUENCE_H
#define GC_LAYERS_SEQUENCE_H

#include "layers/layer.h"

/* GC_BAD_ARGUMENT unless all sizes are 1 or more and an array of them is not too large. */
gc_status gc_check_sizes(const char *array, const size_t *sizes, size_t count, gc_error *error);

/* C[rows][columns] = A[rows][depth] B[depth][columns] + bias[columns] (NULL: none). The values of a
 * row of C are the same bits for any number of other rows, and of threads. */
void gc_multiply_matrices(gc_engine engine, size_t rows, size_t depth, size_t columns,
                          const float *a, const float *b, const float *bias, float *c);

#endif
