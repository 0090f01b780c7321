/* builder_type.c: NetworkBuilder, which adds layers one by one and hands out a Network.
 *
 * It keeps a reference to every array that a layer reads in place. */
#include "python/common.h"

typedef struct builder_object {
    PyObject_HEAD
    gc_network *network; /* NULL once build() has handed it out */
    PyObject *arrays;    /* list */
} builder_object;

static PyObject *builder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"channels", NULL};
    PyObject *channels_object;
    size_t channels;
    gc_error error;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:NetworkBuilder", names,
                                     &channels_object)
        || gc_parse_size(channels_object, "channels", &channels) < 0)
        return NULL;
    builder_object *self = (builder_object *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->arrays = PyList_New(0);
    if (self->arrays == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    const gc_status status = gc_network_new(channels, &self->network, &error);
    if (status != GC_OK) {
        Py_DECREF(self);
        return gc_raise(status, &error);
    }
    return (PyObject *)self;
}

static void builder_dealloc(PyObject *object)
{
    builder_object *self = (builder_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    gc_network_free(self->network);
    Py_XDECREF(self->arrays);
    type->tp_free(object);
    Py_DECREF(type);
}

/* To be asked after all arguments are converted: a conversion may run Python code, and that
 * code may call build(). */
static int require_open(const builder_object *self)
{
    if (self->network != NULL)
        return 0;
    PyErr_SetString(PyExc_RuntimeError,
                    "this builder has built its network; start another one");
    return -1;
}

/* The outcome of a gc_add_... call: the new layer's number, or an exception. */
static PyObject *number_or_raise(gc_status status, size_t layer, const gc_error *error)
{
    return status == GC_OK ? PyLong_FromSize_t(layer) : gc_raise(status, error);
}

/* ---- Layers with weights ----------------------------------------------------------------- */

/* Weight and bias (which may be None) of a layer; `rank` is the weight's. */
typedef struct parameters {
    PyArrayObject *weight, *bias;
} parameters;

static void release_parameters(parameters *p)
{
    Py_XDECREF(p->weight);
    Py_XDECREF(p->bias);
}

static int parse_parameters(PyObject *weight, int rank, const char *weight_name, PyObject *bias,
                            const char *bias_name, parameters *p)
{
    *p = (parameters){NULL, NULL};
    p->weight = gc_float_array(weight, rank, rank, weight_name);
    if (p->weight == NULL)
        return -1;
    if (bias == Py_None)
        return 0;
    p->bias = gc_float_array(bias, 1, 1, bias_name);
    if (p->bias == NULL) {
        release_parameters(p);
        return -1;
    }
    if (PyArray_DIM(p->bias, 0) != PyArray_DIM(p->weight, 0)) {
        PyErr_Format(PyExc_ValueError, "%s has %zd values, but %s has %zd outputs", bias_name,
                     (Py_ssize_t)PyArray_DIM(p->bias, 0), weight_name,
                     (Py_ssize_t)PyArray_DIM(p->weight, 0));
        release_parameters(p);
        return -1;
    }
    return 0;
}

/* Keep the arrays alive with the builder; 0 or -1. Called before the layer is added, so that
 * no layer ever reads an array that is not kept. */
static int keep_parameters(builder_object *self, const parameters *p)
{
    if (require_open(self) < 0
        || PyList_Append(self->arrays, (PyObject *)p->weight) < 0)
        return -1;
    return p->bias == NULL ? 0 : PyList_Append(self->arrays, (PyObject *)p->bias);
}

static const float *floats_or_null(PyArrayObject *array)
{
    return array == NULL ? NULL : gc_floats(array);
}

static PyObject *builder_conv(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input",    "weight", "bias", "stride", "padding",
                            "dilation", "groups", NULL};
    builder_object *self = (builder_object *)object;
    size_t input, layer = 0;
    PyObject *weight, *bias = Py_None, *groups = NULL;
    gc_conv conv = {.stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O|O$O&O&O&O:conv", names,
                                        gc_parse_layer, &input, &weight, &bias, gc_parse_pair,
                                        conv.stride, gc_parse_pair, conv.padding,
                                        gc_parse_pair, conv.dilation, &groups)
        || (groups != NULL && gc_parse_size(groups, "groups", &conv.groups) < 0))
        return NULL;
    parameters p;
    if (parse_parameters(weight, 4, "weight", bias, "bias", &p) < 0)
        return NULL;
    PyObject *result = NULL;
    gc_error error;
    conv.out_channels = (size_t)PyArray_DIM(p.weight, 0);
    conv.kernel[0] = (size_t)PyArray_DIM(p.weight, 2);
    conv.kernel[1] = (size_t)PyArray_DIM(p.weight, 3);
    const size_t per_group = (size_t)PyArray_DIM(p.weight, 1);
    if (conv.groups != 0 && per_group > SIZE_MAX / conv.groups) {
        PyErr_SetString(PyExc_ValueError, "groups is out of range");
    } else if (keep_parameters(self, &p) == 0) {
        conv.in_channels = per_group * conv.groups;
        const gc_status status = gc_add_conv(self->network, input, &conv, gc_floats(p.weight),
                                             floats_or_null(p.bias), &layer, &error);
        result = number_or_raise(status, layer, &error);
    }
    release_parameters(&p);
    return result;
}

static PyObject *builder_linear(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "weight", "bias", NULL};
    builder_object *self = (builder_object *)object;
    size_t input, layer = 0;
    PyObject *weight, *bias = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O|O:linear", names, gc_parse_layer, &input,
                                     &weight, &bias))
        return NULL;
    parameters p;
    if (parse_parameters(weight, 2, "weight", bias, "bias", &p) < 0)
        return NULL;
    PyObject *result = NULL;
    if (keep_parameters(self, &p) == 0) {
        gc_error error;
        const gc_status status =
            gc_add_linear(self->network, input, (size_t)PyArray_DIM(p.weight, 1),
                          (size_t)PyArray_DIM(p.weight, 0), gc_floats(p.weight),
                          floats_or_null(p.bias), &layer, &error);
        result = number_or_raise(status, layer, &error);
    }
    release_parameters(&p);
    return result;
}

static PyObject *builder_affine(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "scale", "shift", NULL};
    builder_object *self = (builder_object *)object;
    size_t input, layer = 0;
    PyObject *scale, *shift;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&OO:affine", names, gc_parse_layer, &input,
                                     &scale, &shift))
        return NULL;
    parameters p;
    if (shift == Py_None) {
        PyErr_SetString(PyExc_TypeError, "shift must be an array, not None");
        return NULL;
    }
    if (parse_parameters(scale, 1, "scale", shift, "shift", &p) < 0)
        return NULL;
    PyObject *result = NULL;
    if (keep_parameters(self, &p) == 0) {
        gc_error error;
        const gc_status status =
            gc_add_affine(self->network, input, (size_t)PyArray_DIM(p.weight, 0),
                          gc_floats(p.weight), gc_floats(p.bias), &layer, &error);
        result = number_or_raise(status, layer, &error);
    }
    release_parameters(&p);
    return result;
}

/* ---- Layers without -------------------------------------------------------------------- */

typedef gc_status (*add_pool)(gc_network *, size_t, const gc_pool *, size_t *, gc_error *);
typedef gc_status (*add_plain)(gc_network *, size_t, size_t *, gc_error *);
typedef gc_status (*add_join)(gc_network *, const size_t *, size_t, size_t *, gc_error *);

/* stride defaults to the window, as everywhere. */
static PyObject *pool(PyObject *object, add_pool add, gc_pool *p, size_t input,
                      PyObject *stride)
{
    builder_object *self = (builder_object *)object;
    size_t layer = 0;
    gc_error error;
    if (stride == Py_None) {
        p->stride[0] = p->kernel[0];
        p->stride[1] = p->kernel[1];
    } else if (!gc_parse_pair(stride, p->stride)) {
        return NULL;
    }
    if (require_open(self) < 0)
        return NULL;
    const gc_status status = add(self->network, input, p, &layer, &error);
    return number_or_raise(status, layer, &error);
}

static PyObject *builder_max_pool(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "kernel", "stride", "padding", "ceil_mode", NULL};
    size_t input;
    PyObject *stride = Py_None;
    gc_pool p = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O&|$OO&p:max_pool", names, gc_parse_layer,
                                     &input, gc_parse_pair, p.kernel, &stride, gc_parse_pair,
                                     p.padding, &p.ceil_mode))
        return NULL;
    return pool(object, gc_add_max_pool, &p, input, stride);
}

static PyObject *builder_average_pool(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input",     "kernel",            "stride", "padding",
                            "ceil_mode", "count_include_pad", NULL};
    size_t input;
    PyObject *stride = Py_None;
    gc_pool p = {.include_pad = 1};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O&|$OO&pp:average_pool", names,
                                     gc_parse_layer, &input, gc_parse_pair, p.kernel, &stride,
                                     gc_parse_pair, p.padding, &p.ceil_mode, &p.include_pad))
        return NULL;
    return pool(object, gc_add_average_pool, &p, input, stride);
}

static PyObject *builder_adaptive_average_pool(PyObject *object, PyObject *args,
                                               PyObject *kwargs)
{
    static char *names[] = {"input", "size", NULL};
    builder_object *self = (builder_object *)object;
    size_t input, size[2], layer = 0;
    gc_error error;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O&:adaptive_average_pool", names,
                                     gc_parse_layer, &input, gc_parse_pair, size)
        || require_open(self) < 0)
        return NULL;
    const gc_status status = gc_add_adaptive_average_pool(self->network, input, size[0],
                                                          size[1], &layer, &error);
    return number_or_raise(status, layer, &error);
}

static PyObject *plain(PyObject *object, PyObject *input_object, add_plain add)
{
    builder_object *self = (builder_object *)object;
    size_t input, layer = 0;
    gc_error error;
    if (!gc_parse_layer(input_object, &input) || require_open(self) < 0)
        return NULL;
    const gc_status status = add(self->network, input, &layer, &error);
    return number_or_raise(status, layer, &error);
}

static PyObject *builder_relu(PyObject *self, PyObject *input)
{
    return plain(self, input, gc_add_relu);
}

static PyObject *builder_softmax(PyObject *self, PyObject *input)
{
    return plain(self, input, gc_add_softmax);
}

static PyObject *builder_flatten(PyObject *self, PyObject *input)
{
    return plain(self, input, gc_add_flatten);
}

static PyObject *builder_dropout(PyObject *self, PyObject *input)
{
    return plain(self, input, gc_add_dropout);
}

static PyObject *join(PyObject *object, PyObject *sequence, add_join add)
{
    builder_object *self = (builder_object *)object;
    Py_ssize_t count;
    size_t layer = 0;
    gc_error error;
    size_t *inputs = gc_parse_layers(sequence, "inputs", &count);
    if (inputs == NULL)
        return NULL;
    if (require_open(self) < 0) {
        PyMem_Free(inputs);
        return NULL;
    }
    const gc_status status = add(self->network, inputs, (size_t)count, &layer, &error);
    PyMem_Free(inputs);
    return number_or_raise(status, layer, &error);
}

static PyObject *builder_add(PyObject *self, PyObject *inputs)
{
    return join(self, inputs, gc_add_sum);
}

static PyObject *builder_concatenate(PyObject *self, PyObject *inputs)
{
    return join(self, inputs, gc_add_concatenation);
}

/* ---- Done ------------------------------------------------------------------------------ */

static PyObject *builder_build(PyObject *object, PyObject *unused)
{
    (void)unused;
    builder_object *self = (builder_object *)object;
    if (require_open(self) < 0)
        return NULL;
    const module_state *state = PyType_GetModuleState(Py_TYPE(object));
    if (state == NULL)
        return NULL;
    gc_network *network = self->network;
    PyObject *arrays = self->arrays;
    self->network = NULL;
    self->arrays = NULL;
    return gc_wrap_network(state->network_type, network, arrays);
}

#define WITH_KEYWORDS(name, function)                                                         \
    {name, (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS, NULL}

static PyMethodDef methods[] = {
    WITH_KEYWORDS("conv", builder_conv),
    WITH_KEYWORDS("linear", builder_linear),
    WITH_KEYWORDS("affine", builder_affine),
    WITH_KEYWORDS("max_pool", builder_max_pool),
    WITH_KEYWORDS("average_pool", builder_average_pool),
    WITH_KEYWORDS("adaptive_average_pool", builder_adaptive_average_pool),
    {"relu", builder_relu, METH_O, NULL},
    {"softmax", builder_softmax, METH_O, NULL},
    {"flatten", builder_flatten, METH_O, NULL},
    {"dropout", builder_dropout, METH_O, NULL},
    {"add", builder_add, METH_O, NULL},
    {"concatenate", builder_concatenate, METH_O, NULL},
    {"build", builder_build, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "NetworkBuilder(channels)\n--\n\n"
                "Builds a Network, layer by layer; each method returns the new layer's number."},
    {Py_tp_new, builder_new},
    {Py_tp_dealloc, builder_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec gc_builder_spec = {
    .name = "gradcam._core.NetworkBuilder",
    .basicsize = sizeof(builder_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
