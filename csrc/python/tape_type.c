/* tape_type.c: Tape, which copies activations and runs backward passes. */
#include <string.h>

#include "python/common.h"

PyObject *gc_wrap_tape(PyTypeObject *type, gc_tape *tape, network_object *network)
{
    tape_object *self = (tape_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        gc_tape_free(tape);
        return NULL;
    }
    self->tape = tape;
    self->network = (network_object *)Py_NewRef((PyObject *)network);
    return (PyObject *)self;
}

static void tape_dealloc(PyObject *object)
{
    tape_object *self = (tape_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    gc_tape_free(self->tape); /* before the network that it refers to */
    Py_XDECREF(self->network);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *tape_batch(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(gc_tape_batch(((tape_object *)object)->tape));
}

static PyObject *tape_kept(PyObject *object, void *unused)
{
    (void)unused;
    const tape_object *self = (tape_object *)object;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < gc_network_size(self->network->network); i++) {
        if (!gc_tape_kept(self->tape, i))
            continue;
        PyObject *number = PyLong_FromSize_t(i);
        if (number == NULL || PyList_Append(list, number) < 0)
            Py_CLEAR(list);
        Py_XDECREF(number);
    }
    if (list == NULL)
        return NULL;
    PyObject *tuple = PyList_AsTuple(list);
    Py_DECREF(list);
    return tuple;
}

/* The shape of a layer that this pass computed; ValueError otherwise. */
static const gc_shape *shape_of(const tape_object *self, size_t layer)
{
    const gc_shape *shape = gc_tape_shape(self->tape, layer);
    if (shape == NULL)
        PyErr_Format(PyExc_ValueError, "layer %zu was not computed in this forward pass",
                     layer);
    return shape;
}

static PyObject *tape_shape(PyObject *object, PyObject *layer_object)
{
    size_t layer;
    if (!gc_parse_layer(layer_object, &layer))
        return NULL;
    const gc_shape *shape = shape_of((tape_object *)object, layer);
    return shape == NULL ? NULL : gc_shape_tuple(shape);
}

static PyObject *tape_activation(PyObject *object, PyObject *layer_object)
{
    const tape_object *self = (tape_object *)object;
    size_t layer;
    if (!gc_parse_layer(layer_object, &layer))
        return NULL;
    const gc_shape *shape = shape_of(self, layer);
    if (shape == NULL)
        return NULL;
    const npy_intp batch = (npy_intp)gc_tape_batch(self->tape);
    PyArrayObject *array = gc_new_array(1, &batch, shape);
    if (array == NULL)
        return NULL;
    gc_error error;
    gc_status status;
    core_call call;
    gc_begin_call(&call, NULL);
    status = gc_tape_read(self->tape, layer, gc_floats(array), &error);
    status = gc_end_call(&call, status);
    if (status != GC_OK) {
        Py_DECREF(array);
        return gc_raise(status, &error);
    }
    return (PyObject *)array;
}

/* ---- Backward -------------------------------------------------------------------------- */

/* Seeds (S, N, shape of the layer); a new reference. */
static PyArrayObject *parse_seeds(PyObject *object, const tape_object *self,
                                  const gc_shape *shape)
{
    const int rank = shape->flat ? 3 : 5;
    PyArrayObject *seeds = gc_float_array(object, rank, rank, "seeds (S, N, *layer's shape)");
    if (seeds == NULL)
        return NULL;
    if ((size_t)PyArray_DIM(seeds, 1) != gc_tape_batch(self->tape)
        || !gc_ends_in_shape(seeds, 2, shape)) {
        PyObject *expected = gc_shape_tuple(shape);
        if (expected != NULL)
            PyErr_Format(PyExc_ValueError,
                         "seeds must have the shape (S, N, ...): S sets, the batch of N = %zu, "
                         "and the layer's shape %R",
                         gc_tape_batch(self->tape), expected);
        Py_XDECREF(expected);
        Py_CLEAR(seeds);
    } else if (gc_require_finite(seeds, "seeds") < 0) {
        Py_CLEAR(seeds);
    }
    return seeds;
}

/* A list of uninitialised arrays for the gradients, whose floats are put into `buffers`. */
static PyObject *new_gradients(const tape_object *self, npy_intp sets, const size_t *wanted,
                               Py_ssize_t count, float **buffers)
{
    const npy_intp leading[2] = {sets, (npy_intp)gc_tape_batch(self->tape)};
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        const gc_shape *shape = shape_of(self, wanted[i]);
        PyArrayObject *array = shape == NULL ? NULL : gc_new_array(2, leading, shape);
        if (array == NULL) {
            Py_CLEAR(list);
            break;
        }
        buffers[i] = gc_floats(array);
        PyList_SET_ITEM(list, i, (PyObject *)array);
    }
    return list;
}

/* With seeds and wanted layers parsed: allocate, run, and return the list of gradients; with the
 * seconds of each layer into `seconds`, unless it is NULL. */
static PyObject *run_backward(const tape_object *self, size_t layer, PyArrayObject *seeds,
                              const size_t *wanted, Py_ssize_t count, const parsed_rules *rules,
                              double *seconds, PyObject *progress)
{
    const size_t sets = (size_t)PyArray_DIM(seeds, 0);
    float **buffers = PyMem_Malloc(sizeof *buffers * (size_t)(count + 1));
    if (buffers == NULL)
        return PyErr_NoMemory();
    PyObject *gradients = new_gradients(self, (npy_intp)sets, wanted, count, buffers);
    if (gradients != NULL) {
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, progress);
        status = gc_backward(self->tape, layer, gc_floats(seeds), sets, rules->rules, rules->count,
                             wanted, (size_t)count, buffers, seconds, &error);
        status = gc_end_call(&call, status);
        if (status != GC_OK) {
            Py_CLEAR(gradients);
            gc_raise(status, &error);
        }
    }
    PyMem_Free(buffers);
    return gradients;
}

/* The same with the wanted layers and the seeds as objects. */
static PyObject *parse_arrays_and_run(const tape_object *self, size_t layer, PyObject *seeds_object,
                                      PyObject *wanted_object, const parsed_rules *rules,
                                      double *seconds, PyObject *progress)
{
    const gc_shape *shape = shape_of(self, layer);
    if (shape == NULL)
        return NULL;
    Py_ssize_t count;
    size_t *wanted = gc_parse_layers(wanted_object, "wanted", &count);
    if (wanted == NULL)
        return NULL;
    PyArrayObject *seeds = parse_seeds(seeds_object, self, shape);
    PyObject *gradients =
        seeds == NULL
            ? NULL
            : run_backward(self, layer, seeds, wanted, count, rules, seconds, progress);
    Py_XDECREF(seeds);
    PyMem_Free(wanted);
    return gradients;
}

/* The object of a rule; NULL: the plain gradient. */
static int parse_rules(PyObject *object, parsed_rules *rules)
{
    PyObject *name = object == NULL ? PyUnicode_FromString("gradient") : Py_NewRef(object);
    const int status = name == NULL ? -1 : gc_parse_rules(name, rules);
    Py_XDECREF(name);
    return status;
}

static PyObject *parse_and_run_backward(PyObject *object, PyObject *args, PyObject *kwargs,
                                        const char *format, double *seconds)
{
    static char *names[] = {"layer", "seeds", "wanted", "rule", "progress", NULL};
    const tape_object *self = (tape_object *)object;
    size_t layer;
    PyObject *seeds_object, *wanted_object, *rule_object = NULL, *progress = NULL;
    parsed_rules rules;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, names, gc_parse_layer, &layer,
                                     &seeds_object, &wanted_object, &rule_object,
                                     gc_parse_progress, &progress)
        || parse_rules(rule_object, &rules) < 0)
        return NULL;
    PyObject *gradients = parse_arrays_and_run(self, layer, seeds_object, wanted_object, &rules,
                                               seconds, progress);
    gc_free_rules(&rules);
    return gradients;
}

static PyObject *tape_backward(PyObject *object, PyObject *args, PyObject *kwargs)
{
    return parse_and_run_backward(object, args, kwargs, "O&OO|OO&:backward", NULL);
}

/* With everything parsed: allocate, run, and return the means. */
static PyObject *run_pooled_gradient(const tape_object *self, size_t layer, PyArrayObject *seeds,
                                     size_t wanted, const gc_rule *rule, PyObject *progress)
{
    const size_t sets = (size_t)PyArray_DIM(seeds, 0);
    const size_t channels = shape_of(self, wanted)->channels;
    const npy_intp dims[3] = {(npy_intp)sets, (npy_intp)gc_tape_batch(self->tape),
                              (npy_intp)channels};
    PyArrayObject *means = (PyArrayObject *)PyArray_SimpleNew(3, dims, NPY_FLOAT32);
    if (means != NULL) {
        gc_error error;
        gc_status status;
        core_call call;
        gc_begin_call(&call, progress);
        status = gc_pooled_gradient(self->tape, layer, gc_floats(seeds), sets, rule, wanted,
                                    gc_floats(means), &error);
        status = gc_end_call(&call, status);
        if (status != GC_OK) {
            Py_CLEAR(means);
            gc_raise(status, &error);
        }
    }
    return (PyObject *)means;
}

static PyObject *tape_pooled_gradient(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"layer", "seeds", "wanted", "rule", "progress", NULL};
    const tape_object *self = (tape_object *)object;
    size_t layer, wanted;
    PyObject *seeds_object, *rule_object = NULL, *progress = NULL;
    parsed_rules rules;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&OO&|O!O&:pooled_gradient", names,
                                     gc_parse_layer, &layer, &seeds_object, gc_parse_layer,
                                     &wanted, &PyUnicode_Type, &rule_object, gc_parse_progress,
                                     &progress)
        || parse_rules(rule_object, &rules) < 0)
        return NULL;
    const gc_shape *from = shape_of(self, layer);
    PyArrayObject *seeds = from == NULL || shape_of(self, wanted) == NULL
                               ? NULL
                               : parse_seeds(seeds_object, self, from);
    PyObject *means = seeds == NULL ? NULL
                                    : run_pooled_gradient(self, layer, seeds, wanted, rules.rules,
                                                          progress);
    Py_XDECREF(seeds);
    gc_free_rules(&rules);
    return means;
}

/* ---- Time ------------------------------------------------------------------------------ */

static PyObject *list_of_seconds(const double *seconds, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *value = PyFloat_FromDouble(seconds[i]);
        if (value == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, value);
    }
    return list;
}

static PyObject *tape_seconds(PyObject *object, PyObject *unused)
{
    const tape_object *self = (tape_object *)object;
    const size_t count = gc_tape_size(self->tape);
    (void)unused;
    double *seconds = PyMem_Malloc(count * sizeof *seconds);
    if (seconds == NULL)
        return PyErr_NoMemory();
    for (size_t i = 0; i < count; i++)
        seconds[i] = gc_tape_seconds(self->tape, i);
    PyObject *list = list_of_seconds(seconds, count);
    PyMem_Free(seconds);
    return list;
}

static PyObject *tape_backward_seconds(PyObject *object, PyObject *args, PyObject *kwargs)
{
    const size_t count = gc_tape_size(((const tape_object *)object)->tape);
    double *seconds = PyMem_Calloc(count, sizeof *seconds);
    if (seconds == NULL)
        return PyErr_NoMemory();
    PyObject *gradients =
        parse_and_run_backward(object, args, kwargs, "O&OO|OO&:backward_seconds", seconds);
    PyObject *list = gradients == NULL ? NULL : list_of_seconds(seconds, count);
    Py_XDECREF(gradients);
    PyMem_Free(seconds);
    return list;
}

static PyObject *tape_algorithms(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"backward", NULL};
    const tape_object *self = (tape_object *)object;
    const size_t count = gc_tape_size(self->tape);
    int backward = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:algorithms", names, &backward))
        return NULL;
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *name = PyUnicode_FromString(gc_tape_algorithm(self->tape, i, backward));
        if (name == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, name);
    }
    return list;
}

static PyObject *tape_conversions(PyObject *object, PyObject *unused)
{
    const tape_object *self = (tape_object *)object;
    const size_t count = gc_tape_size(self->tape);
    (void)unused;
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *number = PyLong_FromSize_t(gc_tape_conversions(self->tape, i));
        if (number == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, number);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"shape", tape_shape, METH_O,
     "shape(layer)\n--\n\nShape of a layer's output, without the batch axis."},
    {"activation", tape_activation, METH_O,
     "activation(layer)\n--\n\nA copy of a kept activation. KeyError if it was not kept."},
    {"backward", (PyCFunction)(void (*)(void))tape_backward, METH_VARARGS | METH_KEYWORDS,
     "backward(layer, seeds, wanted, rule='gradient', progress=None)\n--\n\n"
     "Gradients of sum(seeds * output of layer), one array for each layer wanted."},
    {"pooled_gradient", (PyCFunction)(void (*)(void))tape_pooled_gradient,
     METH_VARARGS | METH_KEYWORDS,
     "pooled_gradient(layer, seeds, wanted, rule='gradient', progress=None)\n--\n\n"
     "The mean over positions of the gradient by one layer, (S, N, C)."},
    {"seconds", tape_seconds, METH_NOARGS,
     "seconds()\n--\n\nWhat each layer took forward; 0 where it ran in the step of another."},
    {"backward_seconds", (PyCFunction)(void (*)(void))tape_backward_seconds,
     METH_VARARGS | METH_KEYWORDS,
     "backward_seconds(layer, seeds, wanted, rule='gradient', progress=None)\n--\n\n"
     "What each layer takes in backward() with these arguments."},
    {"algorithms", (PyCFunction)(void (*)(void))tape_algorithms, METH_VARARGS | METH_KEYWORDS,
     "algorithms(backward=False)\n--\n\n"
     "The algorithm of each layer; '' where there is only one."},
    {"conversions", tape_conversions, METH_NOARGS,
     "conversions()\n--\n\nHow many inputs of each layer are copied into another layout."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"batch", tape_batch, NULL, "Number of pictures.", NULL},
    {"kept", tape_kept, NULL, "Numbers of the layers whose activation can be read.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What one forward pass of one batch recorded. Immutable."},
    {Py_tp_dealloc, tape_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

PyType_Spec gc_tape_spec = {
    .name = "gradcam._core.Tape",
    .basicsize = sizeof(tape_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
