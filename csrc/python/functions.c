/* functions.c: the module's own functions: the arithmetic of explanations, the machine. */
#include <string.h>

#include "base/memory.h"
#include "python/common.h"

/* ---- Arithmetic -------------------------------------------------------------------------- */

static int parse_method(const char *name, gc_resize_method *method)
{
    static const struct {
        const char *name;
        gc_resize_method method;
    } list[] = {{"half_pixel", GC_HALF_PIXEL},
                {"align_corners", GC_ALIGN_CORNERS},
                {"nearest", GC_NEAREST}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(list[i].name, name) == 0) {
            *method = list[i].method;
            return 0;
        }
    PyErr_Format(PyExc_ValueError,
                 "there is no way '%s' to resize; there are half_pixel, align_corners and "
                 "nearest",
                 name);
    return -1;
}

/* region (4 floats) or None; 1: given, 0: None, -1: exception. */
static int parse_region(PyObject *object, double region[4])
{
    if (object == Py_None)
        return 0;
    PyObject *tuple = PySequence_Tuple(object);
    if (tuple == NULL)
        return -1;
    const int parsed = PyArg_ParseTuple(tuple, "dddd:region", &region[0], &region[1],
                                        &region[2], &region[3]);
    Py_DECREF(tuple);
    return parsed ? 1 : -1;
}

/* A new array like `maps`, its last two axes of another size. */
static PyArrayObject *array_of_size(PyArrayObject *maps, const size_t size[2])
{
    npy_intp dims[NPY_MAXDIMS];
    const int rank = PyArray_NDIM(maps);
    for (int i = 0; i < rank - 2; i++)
        dims[i] = PyArray_DIM(maps, i);
    for (int i = 0; i < 2; i++) {
        if (size[i] == 0 || size[i] > (size_t)INT32_MAX) {
            PyErr_SetString(PyExc_ValueError, "the size to resize to is out of range");
            return NULL;
        }
        dims[rank - 2 + i] = (npy_intp)size[i];
    }
    return gc_new_floats(rank, dims);
}

static PyObject *resize(PyObject *module, PyObject *args, PyObject *kwargs)
{
    (void)module;
    static char *names[] = {"maps", "size", "method", "region", NULL};
    PyObject *maps_object, *region_object = Py_None;
    size_t size[2];
    const char *method_name = "half_pixel";
    gc_resize_method method;
    double region[4];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO&|sO:resize", names, &maps_object,
                                     gc_parse_pair, size, &method_name, &region_object)
        || parse_method(method_name, &method) < 0)
        return NULL;
    const int has_region = parse_region(region_object, region);
    if (has_region < 0)
        return NULL;
    PyArrayObject *maps = gc_float_array(maps_object, 2, 8, "maps (..., H, W)");
    if (maps == NULL)
        return NULL;
    PyArrayObject *out = array_of_size(maps, size);
    if (out != NULL) {
        const int rank = PyArray_NDIM(maps);
        const size_t height = (size_t)PyArray_DIM(maps, rank - 2);
        const size_t width = (size_t)PyArray_DIM(maps, rank - 1);
        const size_t count = (size_t)PyArray_SIZE(maps) / height / width;
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, NULL);
        status = gc_resize(count, height, width, gc_floats(maps), size[0], size[1], method,
                           has_region ? region : NULL, gc_floats(out), &error);
        status = gc_end_call(&call, status);
        if (status != GC_OK) {
            Py_CLEAR(out);
            gc_raise(status, &error);
        }
    }
    Py_DECREF(maps);
    return (PyObject *)out;
}

static PyObject *channel_mean(PyObject *module, PyObject *object)
{
    (void)module;
    PyArrayObject *maps = gc_float_array(object, 3, 8, "maps (..., C, H, W)");
    if (maps == NULL)
        return NULL;
    const int rank = PyArray_NDIM(maps);
    PyArrayObject *out =
        (PyArrayObject *)PyArray_SimpleNew(rank - 2, PyArray_DIMS(maps), NPY_FLOAT32);
    if (out != NULL) {
        const size_t count = (size_t)PyArray_SIZE(out);
        const size_t positions = (size_t)PyArray_SIZE(maps) / count;
        core_call call;
        gc_begin_call(&call, NULL);
        gc_channel_mean(count, positions, gc_floats(maps), gc_floats(out));
        if (gc_end_call(&call, GC_OK) != GC_OK)
            Py_CLEAR(out);
    }
    Py_DECREF(maps);
    return (PyObject *)out;
}

static PyObject *weighted_sum(PyObject *module, PyObject *args, PyObject *kwargs)
{
    (void)module;
    static char *names[] = {"weights", "maps", NULL};
    PyObject *weights_object, *maps_object;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:weighted_sum", names, &weights_object,
                                     &maps_object))
        return NULL;
    PyArrayObject *out = NULL;
    PyArrayObject *weights = gc_float_array(weights_object, 2, 2, "weights (N, C)");
    PyArrayObject *maps =
        weights == NULL ? NULL : gc_float_array(maps_object, 4, 4, "maps (N, C, H, W)");
    if (maps != NULL
        && (PyArray_DIM(weights, 0) != PyArray_DIM(maps, 0)
            || PyArray_DIM(weights, 1) != PyArray_DIM(maps, 1))) {
        PyErr_Format(PyExc_ValueError,
                     "weights are for %zd x %zd maps, but there are %zd x %zd",
                     (Py_ssize_t)PyArray_DIM(weights, 0), (Py_ssize_t)PyArray_DIM(weights, 1),
                     (Py_ssize_t)PyArray_DIM(maps, 0), (Py_ssize_t)PyArray_DIM(maps, 1));
    } else if (maps != NULL) {
        const npy_intp dims[3] = {PyArray_DIM(maps, 0), PyArray_DIM(maps, 2),
                                  PyArray_DIM(maps, 3)};
        out = (PyArrayObject *)PyArray_SimpleNew(3, dims, NPY_FLOAT32);
        if (out != NULL) {
            const size_t channels = (size_t)PyArray_DIM(maps, 1);
            core_call call;
            gc_begin_call(&call, NULL);
            gc_weighted_sum((size_t)dims[0], channels, (size_t)(dims[1] * dims[2]),
                            gc_floats(weights), gc_floats(maps), gc_floats(out));
            if (gc_end_call(&call, GC_OK) != GC_OK)
                Py_CLEAR(out);
        }
    }
    Py_XDECREF(weights);
    Py_XDECREF(maps);
    return (PyObject *)out;
}

/* The piece numbers as sizes, each of them one of `pieces`. NULL: exception. */
static size_t *parse_numbers(PyArrayObject *numbers, size_t pieces)
{
    const size_t count = (size_t)PyArray_SIZE(numbers);
    const npy_intp *values = PyArray_DATA(numbers);
    size_t *parsed = PyMem_Calloc(count + 1, sizeof *parsed);
    if (parsed == NULL)
        return (size_t *)(void *)PyErr_NoMemory();
    for (size_t i = 0; i < count; i++) {
        if (values[i] < 0 || (size_t)values[i] >= pieces) {
            PyErr_Format(PyExc_ValueError, "there is no piece %zd; there are %zu",
                         (Py_ssize_t)values[i], pieces);
            PyMem_Free(parsed);
            return NULL;
        }
        parsed[i] = (size_t)values[i];
    }
    return parsed;
}

static PyObject *compute_fingerprints(PyArrayObject *data, size_t piece, PyArrayObject *numbers)
{
    size_t *parsed = parse_numbers(numbers, (size_t)PyArray_SIZE(data) / piece);
    if (parsed == NULL)
        return NULL;
    PyArrayObject *made =
        (PyArrayObject *)PyArray_SimpleNew(1, PyArray_DIMS(numbers), NPY_UINT64);
    gc_status status = GC_OK;
    if (made != NULL) {
        core_call call;
        gc_begin_call(&call, NULL);
        gc_fingerprint_pieces(PyArray_DATA(data), piece, (size_t)PyArray_SIZE(numbers), parsed,
                              PyArray_DATA(made));
        status = gc_end_call(&call, GC_OK);
    }
    PyMem_Free(parsed);
    if (status != GC_OK)
        Py_CLEAR(made);
    return (PyObject *)made;
}

static PyObject *fingerprints(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *data_object, *numbers_object;
    Py_ssize_t piece;
    if (!PyArg_ParseTuple(args, "OnO:fingerprints", &data_object, &piece, &numbers_object))
        return NULL;
    if (piece <= 0)
        return PyErr_Format(PyExc_ValueError, "a piece needs 1 byte or more, not %zd", piece);
    PyArrayObject *data = gc_array_as_is(data_object, NPY_UINT8, 1, "data");
    PyArrayObject *numbers =
        data == NULL ? NULL : gc_array_as_is(numbers_object, NPY_INTP, 1, "numbers");
    PyObject *made =
        numbers == NULL ? NULL : compute_fingerprints(data, (size_t)piece, numbers);
    Py_XDECREF(data);
    Py_XDECREF(numbers);
    return made;
}

static PyObject *all_finite(PyObject *module, PyObject *object)
{
    (void)module;
    PyArrayObject *array = gc_unaligned_float_array(object, 0, 8, "array");
    if (array == NULL)
        return NULL;
    int finite;
    const void *values = PyArray_DATA(array);
    const size_t count = (size_t)PyArray_SIZE(array);
    core_call call;
    gc_begin_call(&call, NULL);
    finite = gc_all_finite(count, values);
    const gc_status status = gc_end_call(&call, GC_OK);
    Py_DECREF(array);
    return status == GC_OK ? PyBool_FromLong(finite) : NULL;
}

/* ---- The machine ------------------------------------------------------------------------- */

static PyObject *cpu_levels(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    const size_t count = gc_level_count();
    PyObject *levels = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; levels != NULL && i < count; i++) {
        PyObject *name = PyUnicode_FromString(gc_level_name(i));
        if (name == NULL)
            Py_CLEAR(levels);
        else
            PyTuple_SET_ITEM(levels, (Py_ssize_t)i, name);
    }
    return levels;
}

static PyObject *cpu_level(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return gc_check_environment() < 0 ? NULL : PyUnicode_FromString(gc_level_active());
}

static PyObject *set_cpu_level(PyObject *module, PyObject *name)
{
    (void)module;
    gc_error error;
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(name, &length);
    if (text == NULL)
        return NULL;
    if ((size_t)length != strlen(text)) {
        PyErr_SetString(PyExc_ValueError, "the name of a level holds a null character");
        return NULL;
    }
    const gc_status status = gc_level_set(text, &error);
    if (status != GC_OK)
        return gc_raise(status, &error);
    Py_RETURN_NONE;
}

static PyObject *blas_config(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromString(gc_blas_config());
}

static PyObject *get_num_threads(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return gc_check_environment() < 0 ? NULL : PyLong_FromLong(gc_threads());
}

/* 0, or -1 with an exception set. */
static int parse_threads(PyObject *object, size_t *threads)
{
    if (gc_parse_size(object, "threads", threads) < 0)
        return -1;
    if (*threads >= 1 && *threads <= 256)
        return 0;
    PyErr_Format(PyExc_ValueError, "threads must be 1 to 256, not %zu", *threads);
    return -1;
}

static PyObject *set_num_threads(PyObject *module, PyObject *object)
{
    (void)module;
    size_t threads;
    if (parse_threads(object, &threads) < 0)
        return NULL;
    gc_set_threads((int)threads);
    Py_RETURN_NONE;
}

static PyObject *measure_peak(PyObject *module, PyObject *object)
{
    (void)module;
    size_t threads;
    double rate;
    if (parse_threads(object, &threads) < 0)
        return NULL;
    core_call call;
    gc_begin_call(&call, NULL);
    rate = gc_measure_peak(threads);
    return gc_end_call(&call, GC_OK) == GC_OK ? PyFloat_FromDouble(rate * 1e-9) : NULL;
}

static PyObject *measure_bandwidth(PyObject *module, PyObject *object)
{
    (void)module;
    size_t threads;
    double rate;
    gc_error error;
    gc_status status;
    if (parse_threads(object, &threads) < 0)
        return NULL;
    core_call call;
    gc_begin_call(&call, NULL);
    status = gc_measure_bandwidth(threads, &rate, &error);
    status = gc_end_call(&call, status);
    return status == GC_OK ? PyFloat_FromDouble(rate * 1e-9) : gc_raise(status, &error);
}

static PyObject *available_memory(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    uint64_t bytes;
    Py_BEGIN_ALLOW_THREADS
    bytes = gc_spare_memory();
    Py_END_ALLOW_THREADS
    if (bytes == UINT64_MAX)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(bytes);
}

static PyObject *release_memory(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    gc_release_memory();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* ---- For tests --------------------------------------------------------------------------- */

static PyObject *fail_allocations_after(PyObject *module, PyObject *object)
{
    (void)module;
    const long successes = PyLong_AsLong(object);
    if (successes == -1 && PyErr_Occurred())
        return NULL;
    gc_alloc_fail_after(successes);
    Py_RETURN_NONE;
}

static PyObject *pretend_memory(PyObject *module, PyObject *object)
{
    (void)module;
    const uint64_t bytes = object == Py_None ? UINT64_MAX : PyLong_AsUnsignedLongLong(object);
    if (PyErr_Occurred())
        return NULL;
    gc_pretend_memory(bytes);
    Py_RETURN_NONE;
}

static PyObject *live_allocations(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(gc_alloc_live());
}

PyMethodDef gc_module_methods[] = {
    {"resize", (PyCFunction)(void (*)(void))resize, METH_VARARGS | METH_KEYWORDS,
     "resize(maps, size, method='half_pixel', region=None)\n--\n\n"
     "Resize the last two axes."},
    {"channel_mean", channel_mean, METH_O,
     "channel_mean(maps)\n--\n\n(..., C, H, W) -> (..., C): the mean over positions."},
    {"weighted_sum", (PyCFunction)(void (*)(void))weighted_sum, METH_VARARGS | METH_KEYWORDS,
     "weighted_sum(weights, maps)\n--\n\n(N, C), (N, C, H, W) -> (N, H, W)."},
    {"fingerprints", fingerprints, METH_VARARGS,
     "fingerprints(data, piece, numbers)\n--\n\nFingerprints of pieces of `data`."},
    {"all_finite", all_finite, METH_O,
     "all_finite(array)\n--\n\nWhether no value is NaN or infinite."},
    {"cpu_levels", cpu_levels, METH_NOARGS,
     "cpu_levels()\n--\n\nKernel levels that this machine runs, slowest first."},
    {"cpu_level", cpu_level, METH_NOARGS, "cpu_level()\n--\n\nThe active kernel level."},
    {"set_cpu_level", set_cpu_level, METH_O, "set_cpu_level(level)\n--\n\nActivate a level."},
    {"blas_config", blas_config, METH_NOARGS, "blas_config()\n--\n\nThe BLAS in use."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "get_num_threads()\n--\n\nThreads that a pass may use."},
    {"set_num_threads", set_num_threads, METH_O, "set_num_threads(threads)\n--\n\n"
     "Let a pass use up to that many threads, 1 to 256."},
    {"measure_peak", measure_peak, METH_O,
     "measure_peak(threads)\n--\n\nGFLOP/s on registers at the active level."},
    {"measure_bandwidth", measure_bandwidth, METH_O,
     "measure_bandwidth(threads)\n--\n\nGB/s read from memory."},
    {"available_memory", available_memory, METH_NOARGS,
     "available_memory()\n--\n\nBytes that this process can still take, None if unknown."},
    {"release_memory", release_memory, METH_NOARGS,
     "release_memory()\n--\n\n"
     "Give back to the system what is kept between passes.\n\n"
     "The working memory of a pass, at most 512 MB, is kept for the next one, which is faster on\n"
     "memory that was used before. This frees it, for all threads. The memory of networks and\n"
     "tapes is not freed. The next pass allocates working memory again."},
    {"_pretend_memory", pretend_memory, METH_O, NULL},
    {"_fail_allocations_after", fail_allocations_after, METH_O, NULL},
    {"_live_allocations", live_allocations, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
