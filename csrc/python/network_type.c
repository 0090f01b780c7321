/* network_type.c: Network, which runs forward passes. */
#include "base/memory.h"
#include "python/common.h"

PyObject *gc_wrap_network(PyTypeObject *type, gc_network *network, PyObject *arrays)
{
    network_object *self = (network_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        gc_network_free(network);
        Py_DECREF(arrays);
        return NULL;
    }
    self->network = network;
    self->arrays = arrays;
    return (PyObject *)self;
}

static void network_dealloc(PyObject *object)
{
    network_object *self = (network_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    gc_network_free(self->network);
    Py_XDECREF(self->arrays);
    type->tp_free(object);
    Py_DECREF(type);
}

static int network_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((network_object *)object)->arrays);
    return 0;
}

static PyObject *network_channels(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(gc_network_channels(((network_object *)object)->network));
}

static Py_ssize_t network_length(PyObject *object)
{
    return (Py_ssize_t)gc_network_size(((network_object *)object)->network);
}

static PyObject *list_of_shapes(const gc_shape *shapes, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *shape = gc_shape_tuple(&shapes[i]);
        if (shape == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, shape);
    }
    return list;
}

static PyObject *network_shapes(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"height", "width", NULL};
    const gc_network *network = ((network_object *)object)->network;
    PyObject *height_object, *width_object;
    size_t height, width;
    gc_error error;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:shapes", names, &height_object,
                                     &width_object)
        || gc_parse_size(height_object, "height", &height) < 0
        || gc_parse_size(width_object, "width", &width) < 0)
        return NULL;
    gc_shape *shapes = PyMem_Malloc(gc_network_size(network) * sizeof *shapes);
    if (shapes == NULL)
        return PyErr_NoMemory();
    const gc_status status = gc_network_shapes(network, height, width, shapes, &error);
    PyObject *list = status == GC_OK ? list_of_shapes(shapes, gc_network_size(network))
                                     : gc_raise(status, &error);
    PyMem_Free(shapes);
    return list;
}

/* One flag a layer, set where `layers` names it; NULL with an exception set. */
static unsigned char *parse_keep(PyObject *layers, size_t count)
{
    Py_ssize_t given = 0;
    size_t *numbers = layers == NULL ? NULL : gc_parse_layers(layers, "keep", &given);
    if (layers != NULL && numbers == NULL)
        return NULL;
    unsigned char *keep = PyMem_Calloc(count, 1);
    if (keep == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; keep != NULL && i < given; i++) {
        if (numbers[i] < count) {
            keep[numbers[i]] = 1;
            continue;
        }
        PyErr_Format(PyExc_ValueError,
                     "there is no layer %zu to keep; the network has layers 0 to %zu",
                     numbers[i], count - 1);
        PyMem_Free(keep);
        keep = NULL;
    }
    PyMem_Free(numbers);
    return keep;
}

/* Pictures (N, C, H, W), all values finite. */
static PyArrayObject *parse_pictures(PyObject *object, const gc_network *network)
{
    PyArrayObject *input = gc_float_array(object, 4, 4, "input (N, C, H, W)");
    if (input == NULL)
        return NULL;
    if ((size_t)PyArray_DIM(input, 1) != gc_network_channels(network)) {
        PyErr_Format(PyExc_ValueError, "input has %zd channels, but the network expects %zu",
                     (Py_ssize_t)PyArray_DIM(input, 1), gc_network_channels(network));
        Py_CLEAR(input);
    } else if (gc_require_finite(input, "input") < 0) {
        Py_CLEAR(input);
    }
    return input;
}

static void raise_shape(PyArrayObject *input, size_t layer, const gc_shape *shape,
                        const size_t size[2])
{
    PyObject *expected = gc_shape_tuple(shape);
    PyObject *found = PyObject_GetAttrString((PyObject *)input, "shape");
    if (expected != NULL && found != NULL)
        PyErr_Format(PyExc_ValueError,
                     "input must have the shape (N, *%R), the output of layer %zu for N pictures "
                     "of %zu x %zu, but has the shape %R",
                     expected, layer, size[0], size[1], found);
    Py_XDECREF(expected);
    Py_XDECREF(found);
}

/* The output of a layer for pictures of this size, all values finite. */
static PyArrayObject *parse_activation(PyObject *object, const gc_network *network, size_t layer,
                                       const size_t size[2])
{
    gc_shape shape;
    gc_error error;
    const gc_status status =
        gc_network_shape(network, layer, size[0], size[1], &shape, &error);
    if (status != GC_OK) {
        gc_raise(status, &error);
        return NULL;
    }
    PyArrayObject *input = gc_float_array(object, 0, NPY_MAXDIMS, "input");
    if (input == NULL)
        return NULL;
    if (!gc_ends_in_shape(input, 1, &shape)) {
        raise_shape(input, layer, &shape, size);
        Py_CLEAR(input);
    } else if (gc_require_finite(input, "input") < 0) {
        Py_CLEAR(input);
    }
    return input;
}

/* What a pass starts from, and the size of the pictures: `size_object`, or that of the input. */
static PyArrayObject *parse_input(PyObject *object, const gc_network *network, size_t start,
                                  PyObject *size_object, size_t size[2])
{
    const int given = size_object != Py_None;
    if (given && !gc_parse_pair(size_object, size))
        return NULL;
    if (start > 0 && given)
        return parse_activation(object, network, start, size);
    if (start > 0) {
        PyErr_Format(PyExc_ValueError,
                     "a pass that starts at layer %zu needs size=(height, width), the size of "
                     "the pictures",
                     start);
        return NULL;
    }
    PyArrayObject *input = parse_pictures(object, network);
    if (input == NULL)
        return NULL;
    const size_t height = (size_t)PyArray_DIM(input, 2), width = (size_t)PyArray_DIM(input, 3);
    if (given && (height != size[0] || width != size[1])) {
        PyErr_Format(PyExc_ValueError,
                     "size is %zu x %zu, but the pictures in input are %zu x %zu", size[0],
                     size[1], height, width);
        Py_CLEAR(input);
    }
    size[0] = height;
    size[1] = width;
    return input;
}

static PyObject *network_forward(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "keep", "until", "record", "start", "size", "progress", NULL};
    network_object *self = (network_object *)object;
    const gc_network *network = self->network;
    PyObject *input_object, *keep_object = NULL, *until_object = Py_None;
    PyObject *size_object = Py_None, *progress = NULL;
    size_t start = 0, size[2], until = gc_network_size(network) - 1;
    int record = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOpO&OO&:forward", names, &input_object,
                                     &keep_object, &until_object, &record, gc_parse_layer,
                                     &start, &size_object, gc_parse_progress, &progress)
        || (until_object != Py_None && gc_parse_size(until_object, "until", &until) < 0))
        return NULL;
    const module_state *state = PyType_GetModuleState(Py_TYPE(object));
    unsigned char *keep = parse_keep(keep_object, gc_network_size(network));
    PyArrayObject *input =
        keep == NULL ? NULL : parse_input(input_object, network, start, size_object, size);
    if (state == NULL || input == NULL) {
        Py_XDECREF(input);
        PyMem_Free(keep);
        return NULL;
    }
    gc_tape *tape = NULL;
    gc_error error;
    gc_status status;
    const size_t batch = (size_t)PyArray_DIM(input, 0);
    core_call call;
    gc_begin_call(&call, progress);
    status = gc_forward(network, start, gc_floats(input), batch, size[0], size[1], keep, until,
                        record, &tape, &error);
    status = gc_end_call(&call, status);
    Py_DECREF(input);
    PyMem_Free(keep);
    return status == GC_OK ? gc_wrap_tape(state->tape_type, tape, self)
                           : gc_raise(status, &error);
}

/* ---- Transformed weights ---------------------------------------------------------------- */

static const char *const kinds[GC_PACK_KINDS] = {
    [GC_PACK_FORWARD] = "forward",
    [GC_PACK_BACKWARD] = "backward",
    [GC_PACK_INPUT_MAJOR] = "input-major",
    [GC_PACK_SUMS] = "sums",
};

/* For PyArg_ParseTuple. */
static int parse_kind(PyObject *object, void *kind)
{
    for (int i = 0; i < GC_PACK_KINDS && PyUnicode_Check(object); i++)
        if (PyUnicode_CompareWithASCIIString(object, kinds[i]) == 0) {
            *(gc_pack_kind *)kind = (gc_pack_kind)i;
            return 1;
        }
    PyErr_Format(PyExc_ValueError,
                 "transformed weights are 'forward', 'backward', 'input-major' or 'sums', not %R",
                 object);
    return 0;
}

static PyObject *network_pack_bytes(PyObject *object, PyObject *args)
{
    size_t layer;
    gc_pack_kind kind;
    if (!PyArg_ParseTuple(args, "O&O&:pack_bytes", gc_parse_layer, &layer, parse_kind, &kind))
        return NULL;
    return PyLong_FromSize_t(
        gc_network_pack_bytes(((network_object *)object)->network, layer, kind));
}

static PyObject *network_pack_key(PyObject *object, PyObject *args)
{
    size_t layer;
    gc_pack_kind kind;
    uint64_t key;
    if (!PyArg_ParseTuple(args, "O&O&:pack_key", gc_parse_layer, &layer, parse_kind, &kind))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    key = gc_network_pack_key(((network_object *)object)->network, layer, kind);
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLongLong(key);
}

static PyObject *network_pack_damaged(PyObject *object, PyObject *number)
{
    size_t layer;
    if (!gc_parse_layer(number, &layer))
        return NULL;
    return PyBool_FromLong(
        gc_network_pack_damaged(((network_object *)object)->network, layer));
}

/* Which transformed weights, and the array that holds them. */
typedef struct pack_arguments {
    size_t layer;
    gc_pack_kind kind;
    PyObject *given;
    void *data;
    size_t bytes;
} pack_arguments;

/* The array is used as it is: of uint8, one axis, aligned and of the right size. 0 with an
 * exception set. */
static int parse_pack(const gc_network *network, PyObject *args, const char *format,
                      pack_arguments *p)
{
    if (!PyArg_ParseTuple(args, format, gc_parse_layer, &p->layer, parse_kind, &p->kind,
                          &p->given))
        return 0;
    if (!PyArray_Check(p->given)) {
        PyErr_SetString(PyExc_TypeError, "pack must be an array");
        return 0;
    }
    PyArrayObject *array = (PyArrayObject *)p->given;
    p->bytes = gc_network_pack_bytes(network, p->layer, p->kind);
    p->data = PyArray_DATA(array);
    if (PyArray_TYPE(array) == NPY_UINT8 && PyArray_NDIM(array) == 1
        && PyArray_IS_C_CONTIGUOUS(array) && (uintptr_t)p->data % GC_ALIGNMENT == 0
        && (size_t)PyArray_SIZE(array) == p->bytes)
        return 1;
    PyErr_Format(PyExc_ValueError,
                 "pack must be %zu values of uint8 in a row, aligned to %d bytes", p->bytes,
                 GC_ALIGNMENT);
    return 0;
}

static PyObject *network_pack(PyObject *object, PyObject *args)
{
    const gc_network *network = ((network_object *)object)->network;
    pack_arguments p;
    gc_error error;
    gc_status status;
    if (!parse_pack(network, args, "O&O&O:pack", &p)
        || PyArray_FailUnlessWriteable((PyArrayObject *)p.given, "pack") < 0)
        return NULL;
    core_call call;
    gc_begin_call(&call, NULL);
    status = gc_network_pack(network, p.layer, p.kind, p.bytes, p.data, &error);
    status = gc_end_call(&call, status);
    if (status != GC_OK)
        return gc_raise(status, &error);
    Py_RETURN_NONE;
}

/* Remove an array that was appended to a list; an exception that is set stays set. */
static void forget(PyObject *arrays, const PyObject *array)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_BEGIN_CRITICAL_SECTION(arrays);
    for (Py_ssize_t i = PyList_GET_SIZE(arrays); i-- > 0;)
        if (PyList_GET_ITEM(arrays, i) == array) {
            if (PyList_SetSlice(arrays, i, i + 1, NULL) < 0)
                PyErr_Clear();
            break;
        }
    Py_END_CRITICAL_SECTION();
    PyErr_Restore(type, value, traceback);
}

static PyObject *network_lend_pack(PyObject *object, PyObject *args)
{
    network_object *self = (network_object *)object;
    pack_arguments p;
    int taken = 0;
    gc_error error;
    gc_status status;
    if (!parse_pack(self->network, args, "O&O&O:lend_pack", &p)
        || PyList_Append(self->arrays, p.given) < 0)
        return NULL;
    core_call call;
    gc_begin_call(&call, NULL);
    status =
        gc_network_lend_pack(self->network, p.layer, p.kind, p.bytes, p.data, &taken, &error);
    status = gc_end_call(&call, status);
    if (!taken)
        forget(self->arrays, p.given);
    if (status != GC_OK)
        return gc_raise(status, &error);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"pack_bytes", network_pack_bytes, METH_VARARGS,
     "pack_bytes(layer, kind)\n--\n\nBytes of a layer's transformed weights, 0 if it has none."},
    {"pack_key", network_pack_key, METH_VARARGS,
     "pack_key(layer, kind)\n--\n\nA number that identifies transformed weights by their source."},
    {"pack", network_pack, METH_VARARGS,
     "pack(layer, kind, out)\n--\n\nMake a layer's transformed weights in `out`."},
    {"lend_pack", network_lend_pack, METH_VARARGS,
     "lend_pack(layer, kind, pack)\n--\n\nUse these transformed weights, in place."},
    {"pack_damaged", network_pack_damaged, METH_O,
     "pack_damaged(layer)\n--\n\nWhether a row of its input-major weights was found damaged."},
    {"shapes", (PyCFunction)(void (*)(void))network_shapes, METH_VARARGS | METH_KEYWORDS,
     "shapes(height, width)\n--\n\nShape of each layer's output, without the batch axis."},
    {"forward", (PyCFunction)(void (*)(void))network_forward, METH_VARARGS | METH_KEYWORDS,
     "forward(input, keep=(), until=None, record=True, start=0, size=None, progress=None)\n"
     "--\n\n"
     "Run the network on pictures (N, C, H, W), or on the output of layer `start` for pictures of\n"
     "`size`, and return the Tape; without a record it has activations but runs no backward\n"
     "passes."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"channels", network_channels, NULL, "Channels of the input.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "An immutable network: its graph and its weights."},
    {Py_tp_dealloc, network_dealloc},
    {Py_tp_traverse, network_traverse},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_sq_length, network_length},
    {0, NULL},
};

PyType_Spec gc_network_spec = {
    .name = "gradcam._core.Network",
    .basicsize = sizeof(network_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
