/* sequence.c: the module's functions of sequences: products, the LSTM, tables, attention. */
#include <string.h>

#include "python/common.h"

/* ---- Arrays ------------------------------------------------------------------------------- */

enum { MOST = 5 }; /* arrays of a function */

/* What a function takes: float32 arrays, of which None stands for the last `optional` ones. */
typedef struct expected {
    const char *function;
    int count, optional;
    const char *names[MOST];
    int ranks[MOST];
} expected;

static void drop(PyArrayObject **arrays)
{
    for (int i = 0; i < MOST; i++)
        Py_CLEAR(arrays[i]);
}

/* 0, or -1 with an exception set and no arrays. */
static int take(const expected *e, PyObject *const *objects, PyArrayObject **arrays)
{
    memset(arrays, 0, MOST * sizeof *arrays);
    for (int i = 0; i < e->count; i++) {
        if (objects[i] == Py_None && i >= e->count - e->optional)
            continue;
        arrays[i] = gc_float_array(objects[i], e->ranks[i], e->ranks[i], e->names[i]);
        if (arrays[i] == NULL) {
            drop(arrays);
            return -1;
        }
    }
    return 0;
}

/* Whether an array, if it is given, has these sizes, as many as it has axes; else an exception. */
static int has_shape(const expected *e, PyArrayObject **arrays, int i, npy_intp first,
                     npy_intp second, npy_intp third)
{
    const npy_intp sizes[3] = {first, second, third};
    if (arrays[i] == NULL)
        return 1;
    for (int axis = 0; axis < e->ranks[i]; axis++)
        if (PyArray_DIM(arrays[i], axis) != sizes[axis]) {
            PyErr_Format(PyExc_ValueError, "%s: axis %d of %s must have size %zd, not %zd",
                         e->function, axis, e->names[i], (Py_ssize_t)sizes[axis],
                         (Py_ssize_t)PyArray_DIM(arrays[i], axis));
            return 0;
        }
    return 1;
}

static const float *floats_or_null(PyArrayObject *array)
{
    return array == NULL ? NULL : gc_floats(array);
}

/* The results as a tuple, or, if the call failed or one is missing, an exception; they are used up. */
static PyObject *finish(gc_status status, const gc_error *error, PyArrayObject **made, int count)
{
    PyObject *tuple = NULL;
    if (status != GC_OK)
        gc_raise(status, error);
    else
        tuple = PyTuple_New(count);
    for (int i = 0; i < count; i++)
        if (tuple != NULL)
            PyTuple_SET_ITEM(tuple, i, (PyObject *)made[i]);
        else
            Py_XDECREF(made[i]);
    return tuple;
}

/* New arrays; 0, or -1 with an exception set and no arrays. */
static int make(PyArrayObject **made, int count, const int *ranks, const npy_intp (*dims)[3])
{
    memset(made, 0, (size_t)count * sizeof *made);
    for (int i = 0; i < count; i++) {
        made[i] = gc_new_floats(ranks[i], dims[i]);
        if (made[i] == NULL) {
            for (int k = 0; k < i; k++)
                Py_CLEAR(made[k]);
            return -1;
        }
    }
    return 0;
}

/* The only result instead of a tuple of it; the tuple is used up. */
static PyObject *only(PyObject *tuple)
{
    PyObject *result = tuple == NULL ? NULL : Py_NewRef(PyTuple_GET_ITEM(tuple, 0));
    Py_XDECREF(tuple);
    return result;
}

/* ---- Products ----------------------------------------------------------------------------- */

static PyObject *matrix_product(PyObject *module, PyObject *args)
{
    (void)module;
    static const expected e = {"matrix_product", 3, 1, {"a (B, M, K)", "b (B, K, N)", "bias (N,)"},
                               {3, 3, 1}};
    PyObject *objects[3] = {NULL, NULL, Py_None};
    PyArrayObject *arrays[MOST], *made[1];
    if (!PyArg_ParseTuple(args, "OO|O:matrix_product", &objects[0], &objects[1], &objects[2])
        || take(&e, objects, arrays) < 0)
        return NULL;
    PyObject *result = NULL;
    const npy_intp *a = PyArray_DIMS(arrays[0]), columns = PyArray_DIM(arrays[1], 2);
    if (has_shape(&e, arrays, 1, a[0], a[2], columns) && has_shape(&e, arrays, 2, columns, 0, 0)
        && make(made, 1, (int[]){3}, (npy_intp[][3]){{a[0], a[1], columns}}) == 0) {
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, NULL);
        status = gc_matrix_product((size_t)a[0], (size_t)a[1], (size_t)a[2], (size_t)columns,
                            gc_floats(arrays[0]), gc_floats(arrays[1]), floats_or_null(arrays[2]),
                            gc_floats(made[0]), &error);
        status = gc_end_call(&call, status);
        result = only(finish(status, &error, made, 1));
    }
    drop(arrays);
    return result;
}

/* ---- LSTM --------------------------------------------------------------------------------- */

static PyObject *lstm_forward(PyObject *module, PyObject *args)
{
    (void)module;
    static const expected e = {
        "lstm_forward", 4, 2,
        {"weight (H, 4H)", "inputs (T, N, 4H)", "h0 (N, H)", "c0 (N, H)"}, {2, 3, 2, 2}};
    PyObject *objects[4] = {NULL, NULL, Py_None, Py_None};
    PyArrayObject *arrays[MOST], *made[3];
    if (!PyArg_ParseTuple(args, "OO|OO:lstm_forward", &objects[0], &objects[1], &objects[2],
                          &objects[3])
        || take(&e, objects, arrays) < 0)
        return NULL;
    PyObject *result = NULL;
    const npy_intp *in = PyArray_DIMS(arrays[1]), hidden = PyArray_DIM(arrays[0], 0);
    if (has_shape(&e, arrays, 0, hidden, 4 * hidden, 0)
        && has_shape(&e, arrays, 1, in[0], in[1], 4 * hidden)
        && has_shape(&e, arrays, 2, in[1], hidden, 0) && has_shape(&e, arrays, 3, in[1], hidden, 0)
        && make(made, 3, (int[]){3, 3, 3},
                (npy_intp[][3]){{in[0], in[1], 4 * hidden},
                                {in[0] + 1, in[1], hidden},
                                {in[0] + 1, in[1], hidden}}) == 0) {
        const gc_lstm size = {(size_t)in[0], (size_t)in[1], (size_t)hidden};
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, NULL);
        status = gc_lstm_forward(&size, gc_floats(arrays[0]), gc_floats(arrays[1]),
                                 floats_or_null(arrays[2]), floats_or_null(arrays[3]),
                                 gc_floats(made[0]), gc_floats(made[1]), gc_floats(made[2]),
                                 &error);
        status = gc_end_call(&call, status);
        result = finish(status, &error, made, 3);
    }
    drop(arrays);
    return result;
}

static PyObject *lstm_backward(PyObject *module, PyObject *args)
{
    (void)module;
    static const expected e = {
        "lstm_backward", 5, 1,
        {"weight (4H, H)", "gates (T, N, 4H)", "c (T + 1, N, H)", "dh (T, N, H)", "dc (N, H)"},
        {2, 3, 3, 3, 2}};
    PyObject *objects[5] = {NULL, NULL, NULL, NULL, Py_None};
    PyArrayObject *arrays[MOST], *made[3];
    if (!PyArg_ParseTuple(args, "OOOO|O:lstm_backward", &objects[0], &objects[1], &objects[2],
                          &objects[3], &objects[4])
        || take(&e, objects, arrays) < 0)
        return NULL;
    PyObject *result = NULL;
    const npy_intp *in = PyArray_DIMS(arrays[1]), hidden = PyArray_DIM(arrays[0], 1);
    if (has_shape(&e, arrays, 0, 4 * hidden, hidden, 0)
        && has_shape(&e, arrays, 1, in[0], in[1], 4 * hidden)
        && has_shape(&e, arrays, 2, in[0] + 1, in[1], hidden)
        && has_shape(&e, arrays, 3, in[0], in[1], hidden)
        && has_shape(&e, arrays, 4, in[1], hidden, 0)
        && make(made, 3, (int[]){3, 2, 2},
                (npy_intp[][3]){{in[0], in[1], 4 * hidden}, {in[1], hidden}, {in[1], hidden}})
               == 0) {
        const gc_lstm size = {(size_t)in[0], (size_t)in[1], (size_t)hidden};
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, NULL);
        status = gc_lstm_backward(&size, gc_floats(arrays[0]), gc_floats(arrays[1]),
                                  gc_floats(arrays[2]), gc_floats(arrays[3]),
                                  floats_or_null(arrays[4]), gc_floats(made[0]),
                                  gc_floats(made[1]), gc_floats(made[2]), &error);
        status = gc_end_call(&call, status);
        result = finish(status, &error, made, 3);
    }
    drop(arrays);
    return result;
}

/* ---- Tables ------------------------------------------------------------------------------- */

/* Numbers of rows; a negative one becomes one that is too large. NULL: exception. */
static PyArrayObject *row_numbers(PyObject *object)
{
    return gc_array_as_is(object, NPY_INTP, 1, "numbers");
}

static PyObject *gather_rows(PyObject *module, PyObject *args)
{
    (void)module;
    static const expected e = {"gather_rows", 1, 0, {"table (V, E)"}, {2}};
    PyObject *object, *numbers_object;
    PyArrayObject *arrays[MOST], *made[1];
    if (!PyArg_ParseTuple(args, "OO:gather_rows", &object, &numbers_object)
        || take(&e, &object, arrays) < 0)
        return NULL;
    PyObject *result = NULL;
    PyArrayObject *numbers = row_numbers(numbers_object);
    const npy_intp *table = PyArray_DIMS(arrays[0]);
    if (numbers != NULL
        && make(made, 1, (int[]){2}, (npy_intp[][3]){{PyArray_DIM(numbers, 0), table[1]}}) == 0) {
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, NULL);
        status = gc_gather_rows((size_t)table[0], (size_t)table[1], gc_floats(arrays[0]),
                                (size_t)PyArray_DIM(numbers, 0), PyArray_DATA(numbers),
                                gc_floats(made[0]), &error);
        status = gc_end_call(&call, status);
        result = only(finish(status, &error, made, 1));
    }
    Py_XDECREF(numbers);
    drop(arrays);
    return result;
}

static PyObject *scatter_rows(PyObject *module, PyObject *args)
{
    (void)module;
    static const expected e = {"scatter_rows", 1, 0, {"gradient (R, E)"}, {2}};
    PyObject *object, *numbers_object;
    Py_ssize_t rows;
    PyArrayObject *arrays[MOST], *made[1];
    if (!PyArg_ParseTuple(args, "OOn:scatter_rows", &object, &numbers_object, &rows))
        return NULL;
    if (rows <= 0)
        return PyErr_Format(PyExc_ValueError, "a table needs one row or more, not %zd", rows);
    if (take(&e, &object, arrays) < 0)
        return NULL;
    PyObject *result = NULL;
    PyArrayObject *numbers = row_numbers(numbers_object);
    const npy_intp width = PyArray_DIM(arrays[0], 1);
    if (numbers != NULL && has_shape(&e, arrays, 0, PyArray_DIM(numbers, 0), width, 0)
        && make(made, 1, (int[]){2}, (npy_intp[][3]){{rows, width}}) == 0) {
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, NULL);
        status = gc_scatter_rows((size_t)rows, (size_t)width, (size_t)PyArray_DIM(numbers, 0),
                                 PyArray_DATA(numbers), gc_floats(arrays[0]), gc_floats(made[0]),
                                 &error);
        status = gc_end_call(&call, status);
        result = only(finish(status, &error, made, 1));
    }
    Py_XDECREF(numbers);
    drop(arrays);
    return result;
}

/* ---- Functions of values and of rows ------------------------------------------------------- */

static PyObject *activate(PyArrayObject *x, gc_activation_kind kind)
{
    PyArrayObject *made[2];
    const npy_intp count = PyArray_SIZE(x);
    gc_error error;
    gc_status status;
    core_call call;
    if (make(made, 2, (int[]){1, 1}, (npy_intp[][3]){{count}, {count}}) < 0)
        return NULL;
    gc_begin_call(&call, NULL);
    status = gc_activate(kind, (size_t)count, gc_floats(x), gc_floats(made[0]), gc_floats(made[1]),
                         &error);
    status = gc_end_call(&call, status);
    return finish(status, &error, made, 2);
}

static PyObject *sigmoid_or_tanh(PyObject *object, gc_activation_kind kind)
{
    static const expected e = {"activation", 1, 0, {"x (R,)"}, {1}};
    PyArrayObject *arrays[MOST];
    if (take(&e, &object, arrays) < 0)
        return NULL;
    PyObject *result = activate(arrays[0], kind);
    drop(arrays);
    return result;
}

static PyObject *sigmoid(PyObject *module, PyObject *object)
{
    (void)module;
    return sigmoid_or_tanh(object, GC_SIGMOID);
}

static PyObject *hyperbolic_tangent(PyObject *module, PyObject *object)
{
    (void)module;
    return sigmoid_or_tanh(object, GC_TANH);
}

static PyObject *softmax_rows(PyObject *module, PyObject *args)
{
    (void)module;
    static const expected e = {"softmax_rows", 2, 1, {"x (R, V)", "gradient (R, V)"}, {2, 2}};
    PyObject *objects[2] = {NULL, Py_None};
    int logarithm;
    PyArrayObject *arrays[MOST], *made[1];
    if (!PyArg_ParseTuple(args, "Op|O:softmax_rows", &objects[0], &logarithm, &objects[1])
        || take(&e, objects, arrays) < 0)
        return NULL;
    PyObject *result = NULL;
    const npy_intp *x = PyArray_DIMS(arrays[0]);
    if (has_shape(&e, arrays, 1, x[0], x[1], 0)
        && make(made, 1, (int[]){2}, (npy_intp[][3]){{x[0], x[1]}}) == 0) {
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, NULL);
        status = arrays[1] == NULL
                     ? gc_softmax(logarithm, (size_t)x[0], (size_t)x[1], gc_floats(arrays[0]),
                                  gc_floats(made[0]), &error)
                     : gc_softmax_gradient(logarithm, (size_t)x[0], (size_t)x[1],
                                           gc_floats(arrays[0]), gc_floats(arrays[1]),
                                           gc_floats(made[0]), &error);
        status = gc_end_call(&call, status);
        result = only(finish(status, &error, made, 1));
    }
    drop(arrays);
    return result;
}

static PyObject *weighted_sum_gradient(PyObject *module, PyObject *args)
{
    (void)module;
    static const expected e = {"weighted_sum_gradient", 3, 0,
                               {"weights (N, C)", "maps (N, C, P)", "gradient (N, P)"}, {2, 3, 2}};
    PyObject *objects[3];
    PyArrayObject *arrays[MOST], *made[2];
    if (!PyArg_ParseTuple(args, "OOO:weighted_sum_gradient", &objects[0], &objects[1],
                          &objects[2])
        || take(&e, objects, arrays) < 0)
        return NULL;
    PyObject *result = NULL;
    const npy_intp *maps = PyArray_DIMS(arrays[1]);
    if (has_shape(&e, arrays, 0, maps[0], maps[1], 0)
        && has_shape(&e, arrays, 2, maps[0], maps[2], 0)
        && make(made, 2, (int[]){2, 3},
                (npy_intp[][3]){{maps[0], maps[1]}, {maps[0], maps[1], maps[2]}}) == 0) {
        gc_error error;
        core_call call;
        gc_begin_call(&call, NULL);
        gc_weighted_sum_gradient((size_t)maps[0], (size_t)maps[1], (size_t)maps[2],
                                 gc_floats(arrays[0]), gc_floats(arrays[1]), gc_floats(arrays[2]),
                                 gc_floats(made[0]), gc_floats(made[1]));
        result = finish(gc_end_call(&call, GC_OK), &error, made, 2);
    }
    drop(arrays);
    return result;
}

PyMethodDef gc_sequence_methods[] = {
    {"matrix_product", matrix_product, METH_VARARGS,
     "matrix_product(a, b, bias=None)\n--\n\n(B, M, K), (B, K, N) -> (B, M, N): products of matrices."},
    {"lstm_forward", lstm_forward, METH_VARARGS,
     "lstm_forward(weight, inputs, h0=None, c0=None)\n--\n\nGates, h and c of an LSTM."},
    {"lstm_backward", lstm_backward, METH_VARARGS,
     "lstm_backward(weight, gates, c, dh, dc=None)\n--\n\n"
     "Gradients by the inputs, h0 and c0 of an LSTM."},
    {"gather_rows", gather_rows, METH_VARARGS,
     "gather_rows(table, numbers)\n--\n\nRows of a table."},
    {"scatter_rows", scatter_rows, METH_VARARGS,
     "scatter_rows(gradient, numbers, rows)\n--\n\nThe gradient of gather_rows by its table."},
    {"sigmoid", sigmoid, METH_O, "sigmoid(x)\n--\n\nThe logistic function and its derivative."},
    {"tanh", hyperbolic_tangent, METH_O,
     "tanh(x)\n--\n\nThe hyperbolic tangent and its derivative."},
    {"softmax_rows", softmax_rows, METH_VARARGS,
     "softmax_rows(x, logarithm, gradient=None)\n--\n\n"
     "The softmax of each row, or its logarithm; or its gradient."},
    {"weighted_sum_gradient", weighted_sum_gradient, METH_VARARGS,
     "weighted_sum_gradient(weights, maps, gradient)\n--\n\nThe gradient of weighted_sum."},
    {NULL, NULL, 0, NULL},
};
