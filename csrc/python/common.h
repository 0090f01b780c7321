/* common.h: what the files of the extension module share.
 *
 * Only this folder knows Python. Its job is to turn objects into checked C arguments, to
 * release the GIL around one call of gradcam.h, and to turn the outcome back. */
#ifndef GC_PYTHON_COMMON_H
#define GC_PYTHON_COMMON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PY_ARRAY_UNIQUE_SYMBOL gradcam_ARRAY_API
#ifndef GC_IMPORT_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "gradcam.h"

/* Objects lock themselves where there is no GIL; before Python 3.13 there always is one. */
#ifndef Py_BEGIN_CRITICAL_SECTION
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* ---- Module state and types ------------------------------------------------------------ */

typedef struct module_state {
    PyTypeObject *builder_type, *network_type, *tape_type;
} module_state;

/* A network and the arrays that its layers read in place. */
typedef struct network_object {
    PyObject_HEAD
    gc_network *network;
    PyObject *arrays; /* list */
} network_object;

typedef struct tape_object {
    PyObject_HEAD
    gc_tape *tape;
    network_object *network;
} tape_object;

extern PyType_Spec gc_builder_spec, gc_network_spec, gc_tape_spec;

/* Take over the network and its arrays, or the tape, also when they fail (NULL with an
 * exception set); the tape's object takes a reference of its own to the network's. */
PyObject *gc_wrap_network(PyTypeObject *type, gc_network *network, PyObject *arrays);
PyObject *gc_wrap_tape(PyTypeObject *type, gc_tape *tape, network_object *network);

/* The methods that the module itself offers: functions.c, and sequence.c. */
extern PyMethodDef gc_module_methods[], gc_sequence_methods[];

/* ---- calls.c: calls of the core without the GIL ------------------------------------------ */

typedef struct core_call {
    gc_watch watch;
    PyThreadState *thread;
    PyObject *progress; /* borrowed, or NULL */
} core_call;

/* Release the GIL for the calls of the core from here to gc_end_call. A signal handler or progress
 * callback (NULL: none) that raises ends them early. */
void gc_begin_call(core_call *call, PyObject *progress);
/* Take the GIL again; `status`, or GC_INTERRUPTED with the exception set. */
gc_status gc_end_call(core_call *call, gc_status status);

/* Converter for PyArg_Parse's O&, PyObject **: a function or None, which becomes NULL. */
int gc_parse_progress(PyObject *object, void *progress);

/* ---- errors.c: a status becomes an exception -------------------------------------------- */

/* Sets the exception for a failure, unless it is set already (GC_INTERRUPTED), and returns NULL. */
PyObject *gc_raise(gc_status status, const gc_error *error);

/* ---- rules.c: rules of backward passes --------------------------------------------------- */

typedef struct parsed_rules {
    gc_rule *rules;
    size_t count;
    PyObject *arrays; /* list of those that the rules refer to */
} parsed_rules;

/* One rule, or a list of them: each its name, or a tuple of its name and a dict of its parameters.
 * 0, or -1 with an exception set and nothing to free. */
int gc_parse_rules(PyObject *object, parsed_rules *parsed);
void gc_free_rules(parsed_rules *parsed);

/* ---- environment.c: GRADCAM_CPU_LEVEL and GRADCAM_NUM_THREADS ---------------------------- */

/* ValueError where one of them cannot be followed; 0 or -1. */
int gc_check_environment(void);

/* ---- arrays.c: objects become arrays and numbers ---------------------------------------- */

/* `object` as a C-contiguous, aligned float32 array of min_rank to max_rank dimensions, copied only
 * where it is not one already: a new array object in any case, whose shape no one else can
 * change while the GIL is released. TypeError where its values are not
 * real numbers, ValueError where its rank is wrong or it is empty; `name` is for the message. */
PyArrayObject *gc_float_array(PyObject *object, int min_rank, int max_rank, const char *name);
/* The same, not copied where its address is no multiple of four either. */
PyArrayObject *gc_unaligned_float_array(PyObject *object, int min_rank, int max_rank,
                                        const char *name);

/* `object` as a C-contiguous, aligned array of that type, which it must have, and rank. */
PyArrayObject *gc_array_as_is(PyObject *object, int type, int rank, const char *name);

/* ValueError unless all values are finite; 0 or -1. */
int gc_require_finite(PyArrayObject *array, const char *name);

/* Converters for PyArg_Parse's O&: 1, or 0 with an exception set. */
int gc_parse_layer(PyObject *object, void *number);  /* size_t *: an int >= 0 */
int gc_parse_pair(PyObject *object, void *pair);     /* size_t [2]: an int or a pair of ints */
/* size_t [2][2], as in gc_conv: an int, (vertical, horizontal), or (top, left, bottom, right) */
int gc_parse_padding(PyObject *object, void *padding);

/* An int >= 0 as size_t; 0, or -1 with an exception set. */
int gc_parse_size(PyObject *object, const char *name, size_t *value);

/* Layer numbers of a sequence as a new block from PyMem_Malloc, at least one long. */
size_t *gc_parse_layers(PyObject *sequence, const char *name, Py_ssize_t *count);

/* A new float32 array; NULL, with an exception set, where memory does not suffice. */
PyArrayObject *gc_new_floats(int rank, const npy_intp *dims);

/* The same with the axes `leading[count]` and then those of `shape`. */
PyArrayObject *gc_new_array(int count, const npy_intp *leading, const gc_shape *shape);

/* (C, H, W) or (F,). */
PyObject *gc_shape_tuple(const gc_shape *shape);

/* Whether the axes of an array after the first `leading` ones are those of `shape`. */
int gc_ends_in_shape(PyArrayObject *array, int leading, const gc_shape *shape);

/* The floats of an array made by this file. */
static inline float *gc_floats(PyArrayObject *array)
{
    return (float *)PyArray_DATA(array);
}

#endif
