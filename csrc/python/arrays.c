/* arrays.c: Python objects as arrays, sizes and layer numbers, and shapes back again. */
#include "base/memory.h"
#include "base/status.h"
#include "python/common.h"

/* ---- Arrays ---------------------------------------------------------------------------- */

static int check_dtype(PyArrayObject *array, const char *name)
{
    const int type = PyArray_TYPE(array);
    if (PyTypeNum_ISBOOL(type) || PyTypeNum_ISINTEGER(type) || PyTypeNum_ISFLOAT(type))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s must hold real numbers, not dtype %S", name,
                 (PyObject *)PyArray_DESCR(array));
    return -1;
}

static int check_rank(PyArrayObject *array, int min_rank, int max_rank, const char *name)
{
    const int rank = PyArray_NDIM(array);
    if (rank < min_rank || rank > max_rank) {
        if (min_rank == max_rank)
            PyErr_Format(PyExc_ValueError, "%s must have %d axes, not %d", name, min_rank,
                         rank);
        else
            PyErr_Format(PyExc_ValueError, "%s must have %d to %d axes, not %d", name,
                         min_rank, max_rank, rank);
        return -1;
    }
    if (PyArray_SIZE(array) == 0) {
        PyErr_Format(PyExc_ValueError, "%s is empty", name);
        return -1;
    }
    return 0;
}

/* `given`, which is used up, as an array of that type, copied only where it must be. */
static PyArrayObject *as_type(PyArrayObject *given, int type, int aligned)
{
    PyArrayObject *array = (PyArrayObject *)PyArray_FROM_OTF(
        (PyObject *)given, type, NPY_ARRAY_C_CONTIGUOUS | aligned | NPY_ARRAY_FORCECAST);
    if (array == given) { /* its shape can be set by another thread: take a view */
        array = (PyArrayObject *)PyArray_View(given, NULL, &PyArray_Type);
        Py_DECREF(given); /* of PyArray_FROM_OTF */
    }
    Py_DECREF(given);
    return array;
}

static PyArrayObject *float_array(PyObject *object, int min_rank, int max_rank, const char *name,
                                  int aligned)
{
    PyArrayObject *given = (PyArrayObject *)PyArray_FROM_O(object);
    if (given == NULL)
        return NULL;
    if (check_dtype(given, name) < 0 || check_rank(given, min_rank, max_rank, name) < 0) {
        Py_DECREF(given);
        return NULL;
    }
    return as_type(given, NPY_FLOAT32, aligned);
}

PyArrayObject *gc_float_array(PyObject *object, int min_rank, int max_rank, const char *name)
{
    return float_array(object, min_rank, max_rank, name, NPY_ARRAY_ALIGNED);
}

PyArrayObject *gc_unaligned_float_array(PyObject *object, int min_rank, int max_rank,
                                        const char *name)
{
    return float_array(object, min_rank, max_rank, name, 0);
}

PyArrayObject *gc_array_as_is(PyObject *object, int type, int rank, const char *name)
{
    PyArrayObject *given = (PyArrayObject *)PyArray_FROM_O(object);
    if (given == NULL)
        return NULL;
    if (PyArray_TYPE(given) != type) {
        PyArray_Descr *expected = PyArray_DescrFromType(type);
        PyErr_Format(PyExc_TypeError, "%s must be an array of %S, not of %S", name,
                     (PyObject *)expected, (PyObject *)PyArray_DESCR(given));
        Py_DECREF(expected);
        Py_DECREF(given);
        return NULL;
    }
    if (check_rank(given, rank, rank, name) < 0) {
        Py_DECREF(given);
        return NULL;
    }
    return as_type(given, type, NPY_ARRAY_ALIGNED);
}

int gc_require_finite(PyArrayObject *array, const char *name)
{
    const float *values = gc_floats(array);
    const size_t count = (size_t)PyArray_SIZE(array);
    int finite;
    core_call call;
    gc_begin_call(&call, NULL);
    finite = gc_all_finite(count, values);
    if (gc_end_call(&call, GC_OK) != GC_OK)
        return -1;
    if (!finite)
        PyErr_Format(PyExc_ValueError, "%s holds NaN or infinite values", name);
    return finite ? 0 : -1;
}

PyArrayObject *gc_new_floats(int rank, const npy_intp *dims)
{
    gc_error error;
    size_t bytes = sizeof(float);
    for (int i = 0; i < rank; i++)
        if (!gc_multiply(bytes, (size_t)dims[i], &bytes))
            bytes = SIZE_MAX;
    if (!gc_has_memory(bytes)) {
        gc_raise(gc_fail_memory(&error, bytes, "an array"), &error);
        return NULL;
    }
    return (PyArrayObject *)PyArray_SimpleNew(rank, dims, NPY_FLOAT32);
}

PyArrayObject *gc_new_array(int count, const npy_intp *leading, const gc_shape *shape)
{
    npy_intp dims[NPY_MAXDIMS];
    int rank = 0;
    for (; rank < count; rank++)
        dims[rank] = leading[rank];
    dims[rank++] = (npy_intp)shape->channels;
    if (!shape->flat) {
        dims[rank++] = (npy_intp)shape->height;
        dims[rank++] = (npy_intp)shape->width;
    }
    return gc_new_floats(rank, dims);
}

PyObject *gc_shape_tuple(const gc_shape *shape)
{
    if (shape->flat)
        return Py_BuildValue("(n)", (Py_ssize_t)shape->channels);
    return Py_BuildValue("(nnn)", (Py_ssize_t)shape->channels, (Py_ssize_t)shape->height,
                         (Py_ssize_t)shape->width);
}

int gc_ends_in_shape(PyArrayObject *array, int leading, const gc_shape *shape)
{
    if (PyArray_NDIM(array) != leading + (shape->flat ? 1 : 3))
        return 0;
    const npy_intp *dims = PyArray_DIMS(array) + leading;
    return (size_t)dims[0] == shape->channels
           && (shape->flat
               || ((size_t)dims[1] == shape->height && (size_t)dims[2] == shape->width));
}

/* ---- Numbers ---------------------------------------------------------------------------- */

int gc_parse_size(PyObject *object, const char *name, size_t *value)
{
    if (PyBool_Check(object) || !PyIndex_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %s", name,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    const Py_ssize_t number = PyNumber_AsSsize_t(object, PyExc_OverflowError);
    if (number == -1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "%s is out of range", name);
        }
        return -1;
    }
    if (number < 0) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative, but is %zd", name, number);
        return -1;
    }
    *value = (size_t)number;
    return 0;
}

int gc_parse_layer(PyObject *object, void *number)
{
    return gc_parse_size(object, "a layer's number", number) == 0;
}

/* The elements as a tuple of our own: converting one may run Python code that changes the
 * sequence it came from. */
static PyObject *own_tuple(PyObject *object, const char *expected)
{
    PyObject *tuple = PySequence_Tuple(object);
    if (tuple == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "expected %s, not %s", expected,
                     Py_TYPE(object)->tp_name);
    }
    return tuple;
}

int gc_parse_pair(PyObject *object, void *pair)
{
    size_t *values = pair;
    if (PyIndex_Check(object) && !PyArray_Check(object)) {
        if (gc_parse_size(object, "a size", &values[0]) < 0)
            return 0;
        values[1] = values[0];
        return 1;
    }
    PyObject *tuple = own_tuple(object, "an int or a pair of ints");
    if (tuple == NULL)
        return 0;
    int good = PyTuple_GET_SIZE(tuple) == 2;
    if (!good)
        PyErr_Format(PyExc_ValueError, "expected an int or a pair of ints, not %zd values",
                     PyTuple_GET_SIZE(tuple));
    for (Py_ssize_t i = 0; good && i < 2; i++)
        good = gc_parse_size(PyTuple_GET_ITEM(tuple, i), "a size", &values[i]) == 0;
    Py_DECREF(tuple);
    return good;
}

int gc_parse_padding(PyObject *object, void *padding)
{
    size_t(*values)[2] = padding;
    if (PyIndex_Check(object) && !PyArray_Check(object)) {
        if (gc_parse_size(object, "a padding", &values[0][0]) < 0)
            return 0;
        values[0][1] = values[1][0] = values[1][1] = values[0][0];
        return 1;
    }
    PyObject *tuple = own_tuple(object, "an int, a pair or four ints");
    if (tuple == NULL)
        return 0;
    const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    int good = count == 2 || count == 4;
    if (!good)
        PyErr_Format(PyExc_ValueError,
                     "padding is an int, a pair (vertical, horizontal) or four ints (top, left, "
                     "bottom, right), not %zd values",
                     count);
    for (Py_ssize_t i = 0; good && i < 4; i++)
        good = gc_parse_size(PyTuple_GET_ITEM(tuple, i % count), "a padding",
                             &values[i % 2][i / 2])
               == 0;
    Py_DECREF(tuple);
    return good;
}

size_t *gc_parse_layers(PyObject *object, const char *name, Py_ssize_t *count)
{
    PyObject *tuple = own_tuple(object, "a sequence of layer numbers");
    if (tuple == NULL)
        return NULL;
    *count = PyTuple_GET_SIZE(tuple);
    size_t *layers = PyMem_Malloc(sizeof *layers * (size_t)(*count + 1));
    if (layers == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; layers != NULL && i < *count; i++)
        if (gc_parse_size(PyTuple_GET_ITEM(tuple, i), name, &layers[i]) < 0) {
            PyMem_Free(layers);
            layers = NULL;
        }
    Py_DECREF(tuple);
    return layers;
}
