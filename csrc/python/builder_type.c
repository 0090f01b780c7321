/* builder_type.c: NetworkBuilder, which adds layers one by one and builds a Network.
 *
 * It keeps a reference to every array that a layer reads in place. */
#include <string.h>

#include "python/common.h"

typedef struct builder_object {
    PyObject_HEAD
    gc_network *network; /* NULL after build() */
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
        || gc_parse_size(channels_object, "channels", &channels) < 0
        || gc_check_environment() < 0)
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
    PyObject_GC_UnTrack(object);
    gc_network_free(self->network);
    Py_XDECREF(self->arrays);
    type->tp_free(object);
    Py_DECREF(type);
}

static int builder_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((builder_object *)object)->arrays);
    return 0;
}

/* ---- Adding a layer ----------------------------------------------------------------------- */

/* Weight and bias of a layer, or NULL; scale and shift of an affine one; the slopes of a PReLU. */
typedef struct parameters {
    PyArrayObject *weight, *bias;
} parameters;

typedef enum operation {
    CONV,
    LINEAR,
    AFFINE,
    MAX_POOL,
    AVERAGE_POOL,
    ADAPTIVE_AVERAGE_POOL,
    SLICE,
    CHANNEL_SHUFFLE,
    LOCAL_RESPONSE_NORM,
    LAYER_NORM,
    ACTIVATION,
    ONE_INPUT,     /* any layer without options that reads one layer, */
    SEVERAL_INPUTS /* or several */
} operation;

typedef gc_status one_input(gc_network *network, size_t input, size_t *layer, gc_error *error);
typedef gc_status several_inputs(gc_network *network, const size_t *inputs, size_t count,
                                 size_t *layer, gc_error *error);

/* A layer that is ready to be added: all its arguments are C values. */
typedef struct request {
    operation operation;
    parameters parameters;
    size_t input;
    union {
        gc_conv conv;
        gc_pool pool;
        size_t size[2];
        size_t range[2]; /* of channels */
        size_t groups;
        gc_lrn lrn;
        float eps;
        gc_activation activation;
        gc_storage storage;
        one_input *add_reader;
        struct {
            several_inputs *add;
            const size_t *inputs;
            size_t count;
        } join;
    };
} request;

/* Append the layer that a request describes. */
static gc_status add(gc_network *network, const request *r, size_t *layer, gc_error *error)
{
    PyArrayObject *weight = r->parameters.weight, *bias = r->parameters.bias;
    const npy_intp *dims = weight == NULL ? NULL : PyArray_DIMS(weight);
    const float *offsets = bias == NULL ? NULL : gc_floats(bias);
    switch (r->operation) {
    case CONV:
        return gc_add_conv(network, r->input, &r->conv, gc_floats(weight), offsets, layer, error);
    case LINEAR:
        return gc_add_linear(network, r->input, (size_t)dims[1], (size_t)dims[0], r->storage,
                             PyArray_DATA(weight), offsets, layer, error);
    case AFFINE:
        return gc_add_affine(network, r->input, (size_t)dims[0], gc_floats(weight), offsets,
                             layer, error);
    case MAX_POOL:
        return gc_add_max_pool(network, r->input, &r->pool, layer, error);
    case AVERAGE_POOL:
        return gc_add_average_pool(network, r->input, &r->pool, layer, error);
    case ADAPTIVE_AVERAGE_POOL:
        return gc_add_adaptive_average_pool(network, r->input, r->size[0], r->size[1], layer,
                                            error);
    case SLICE:
        return gc_add_slice(network, r->input, r->range[0], r->range[1], layer, error);
    case CHANNEL_SHUFFLE:
        return gc_add_channel_shuffle(network, r->input, r->groups, layer, error);
    case LOCAL_RESPONSE_NORM:
        return gc_add_lrn(network, r->input, &r->lrn, layer, error);
    case LAYER_NORM:
        return gc_add_layer_norm(network, r->input, (size_t)dims[0], gc_floats(weight), offsets,
                                 r->eps, layer, error);
    case ACTIVATION:
        return gc_add_activation(network, r->input, &r->activation, layer, error);
    case ONE_INPUT:
        return r->add_reader(network, r->input, layer, error);
    case SEVERAL_INPUTS:
        return r->join.add(network, r->join.inputs, r->join.count, layer, error);
    }
    Py_UNREACHABLE();
}

static int keep(PyObject *arrays, PyArrayObject *array)
{
    return array == NULL ? 0 : PyList_Append(arrays, (PyObject *)array);
}

/* Remove all arrays from number `before` on; an exception that is set stays set. */
static void forget(PyObject *arrays, Py_ssize_t before)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyList_SetSlice(arrays, before, PyList_GET_SIZE(arrays), NULL) < 0)
        PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

/* The only function that changes a builder, called while no other thread can use the builder. All
 * arguments have been converted before, because that may run Python code which calls build(). The
 * arrays are kept before the layer is added, and removed again if it is refused. */
static PyObject *add_locked(builder_object *self, const request *r)
{
    gc_error error;
    size_t layer = 0;
    if (self->network == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this builder has built its network; start another one");
        return NULL;
    }
    const Py_ssize_t before = PyList_GET_SIZE(self->arrays);
    const int kept = keep(self->arrays, r->parameters.weight) == 0
                     && keep(self->arrays, r->parameters.bias) == 0;
    const gc_status status = kept ? add(self->network, r, &layer, &error) : GC_NO_MEMORY;
    if (status == GC_OK)
        return PyLong_FromSize_t(layer);
    forget(self->arrays, before);
    return kept ? gc_raise(status, &error) : NULL;
}

static PyObject *add_layer(PyObject *object, const request *r)
{
    PyObject *number;
    Py_BEGIN_CRITICAL_SECTION(object);
    number = add_locked((builder_object *)object, r);
    Py_END_CRITICAL_SECTION();
    return number;
}

/* ---- Layers with weights ------------------------------------------------------------------ */

static void release_parameters(parameters *p)
{
    Py_CLEAR(p->weight);
    Py_CLEAR(p->bias);
}

/* The bias, or None; p->weight is set, or NULL with an exception set. 0 or -1. */
static int parse_bias(PyObject *bias, const char *bias_name, const char *weight_name,
                      parameters *p)
{
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

/* `rank` is the weight's; the bias may be None. */
static int parse_parameters(PyObject *weight, int rank, const char *weight_name, PyObject *bias,
                            const char *bias_name, parameters *p)
{
    *p = (parameters){.weight = gc_float_array(weight, rank, rank, weight_name)};
    return parse_bias(bias, bias_name, weight_name, p);
}

static PyObject *builder_conv(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input",    "weight", "bias", "stride", "padding",
                            "dilation", "groups", "exact", NULL};
    PyObject *weight, *bias = Py_None, *groups = NULL;
    request r = {.operation = CONV,
                 .conv = {.stride = {1, 1}, .dilation = {1, 1}, .groups = 1}};
    gc_conv *conv = &r.conv;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O|O$O&O&O&Op:conv", names, gc_parse_layer,
                                     &r.input, &weight, &bias, gc_parse_pair, conv->stride,
                                     gc_parse_padding, conv->padding, gc_parse_pair,
                                     conv->dilation, &groups, &conv->exact)
        || (groups != NULL && gc_parse_size(groups, "groups", &conv->groups) < 0)
        || parse_parameters(weight, 4, "weight", bias, "bias", &r.parameters) < 0)
        return NULL;
    PyObject *number = NULL;
    const npy_intp *dims = PyArray_DIMS(r.parameters.weight);
    if (conv->groups == 0 || (size_t)dims[1] > SIZE_MAX / conv->groups) {
        PyErr_Format(PyExc_ValueError, "groups must be 1 or more, and not %zu", conv->groups);
    } else {
        conv->out_channels = (size_t)dims[0];
        conv->in_channels = (size_t)dims[1] * conv->groups;
        conv->kernel[0] = (size_t)dims[2];
        conv->kernel[1] = (size_t)dims[3];
        number = add_layer(self, &r);
    }
    release_parameters(&r.parameters);
    return number;
}

/* NumPy has no bfloat16: its bits come as uint16. */
static PyArrayObject *weight_in_storage(PyObject *weight, const char *name, gc_storage *storage)
{
    static const struct {
        const char *name;
        gc_storage storage;
        int type;
    } list[] = {{"float32", GC_FLOAT32, NPY_FLOAT32},
                {"float16", GC_FLOAT16, NPY_FLOAT16},
                {"bfloat16", GC_BFLOAT16, NPY_UINT16}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (strcmp(list[i].name, name) != 0)
            continue;
        *storage = list[i].storage;
        return list[i].storage == GC_FLOAT32
                   ? gc_unaligned_float_array(weight, 2, 2, "weight")
                   : gc_array_as_is(weight, list[i].type, 2, "weight");
    }
    PyErr_Format(PyExc_ValueError,
                 "weights are stored as float32, float16 or bfloat16, not as '%s'", name);
    return NULL;
}

static PyObject *builder_linear(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "weight", "bias", "dtype", NULL};
    PyObject *weight, *bias = Py_None;
    const char *dtype = "float32";
    request r = {.operation = LINEAR};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O|O$s:linear", names, gc_parse_layer,
                                     &r.input, &weight, &bias, &dtype))
        return NULL;
    r.parameters.weight = weight_in_storage(weight, dtype, &r.storage);
    if (parse_bias(bias, "bias", "weight", &r.parameters) < 0)
        return NULL;
    PyObject *number = add_layer(self, &r);
    release_parameters(&r.parameters);
    return number;
}

static PyObject *builder_affine(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "scale", "shift", NULL};
    PyObject *scale, *shift;
    request r = {.operation = AFFINE};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&OO:affine", names, gc_parse_layer,
                                     &r.input, &scale, &shift))
        return NULL;
    if (shift == Py_None) {
        PyErr_SetString(PyExc_TypeError, "shift must be an array, not None");
        return NULL;
    }
    if (parse_parameters(scale, 1, "scale", shift, "shift", &r.parameters) < 0)
        return NULL;
    PyObject *number = add_layer(self, &r);
    release_parameters(&r.parameters);
    return number;
}

static PyObject *builder_layer_norm(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "weight", "bias", "eps", NULL};
    PyObject *weight, *bias = Py_None;
    request r = {.operation = LAYER_NORM, .eps = 1e-6f};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O|O$f:layer_norm", names, gc_parse_layer,
                                     &r.input, &weight, &bias, &r.eps)
        || parse_parameters(weight, 1, "weight", bias, "bias", &r.parameters) < 0)
        return NULL;
    PyObject *number = add_layer(self, &r);
    release_parameters(&r.parameters);
    return number;
}

/* ---- Layers without weights --------------------------------------------------------------- */

/* The default stride is the size of the window. */
static int parse_stride(PyObject *stride, gc_pool *pool)
{
    if (stride != Py_None)
        return gc_parse_pair(stride, pool->stride);
    pool->stride[0] = pool->kernel[0];
    pool->stride[1] = pool->kernel[1];
    return 1;
}

/* None: the number of positions of the window. */
static int parse_divisor(PyObject *divisor, gc_pool *pool)
{
    if (divisor == Py_None)
        return 1;
    if (gc_parse_size(divisor, "divisor", &pool->divisor) < 0)
        return 0;
    if (pool->divisor == 0)
        PyErr_SetString(PyExc_ValueError, "divisor must be 1 or more, not 0; None divides by the "
                                          "number of positions of the window");
    return pool->divisor != 0;
}

static PyObject *builder_max_pool(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "kernel", "stride", "padding", "ceil_mode", NULL};
    PyObject *stride = Py_None;
    request r = {.operation = MAX_POOL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O&|$OO&p:max_pool", names, gc_parse_layer,
                                     &r.input, gc_parse_pair, r.pool.kernel, &stride,
                                     gc_parse_padding, r.pool.padding, &r.pool.ceil_mode)
        || !parse_stride(stride, &r.pool))
        return NULL;
    return add_layer(self, &r);
}

static PyObject *builder_average_pool(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input",     "kernel",            "stride",  "padding",
                            "ceil_mode", "count_include_pad", "divisor", NULL};
    PyObject *stride = Py_None, *divisor = Py_None;
    request r = {.operation = AVERAGE_POOL, .pool = {.include_pad = 1}};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O&|$OO&ppO:average_pool", names,
                                     gc_parse_layer, &r.input, gc_parse_pair, r.pool.kernel,
                                     &stride, gc_parse_padding, r.pool.padding,
                                     &r.pool.ceil_mode, &r.pool.include_pad, &divisor)
        || !parse_stride(stride, &r.pool) || !parse_divisor(divisor, &r.pool))
        return NULL;
    return add_layer(self, &r);
}

static PyObject *builder_adaptive_average_pool(PyObject *self, PyObject *args,
                                               PyObject *kwargs)
{
    static char *names[] = {"input", "size", NULL};
    request r = {.operation = ADAPTIVE_AVERAGE_POOL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O&:adaptive_average_pool", names,
                                     gc_parse_layer, &r.input, gc_parse_pair, r.size))
        return NULL;
    return add_layer(self, &r);
}

static PyObject *builder_slice(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "start", "stop", NULL};
    PyObject *start, *stop;
    request r = {.operation = SLICE};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&OO:slice", names, gc_parse_layer, &r.input,
                                     &start, &stop)
        || gc_parse_size(start, "start", &r.range[0]) < 0
        || gc_parse_size(stop, "stop", &r.range[1]) < 0)
        return NULL;
    return add_layer(self, &r);
}

static PyObject *builder_channel_shuffle(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "groups", NULL};
    PyObject *groups;
    request r = {.operation = CHANNEL_SHUFFLE};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O:channel_shuffle", names, gc_parse_layer,
                                     &r.input, &groups)
        || gc_parse_size(groups, "groups", &r.groups) < 0)
        return NULL;
    return add_layer(self, &r);
}

static PyObject *builder_local_response_norm(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "size", "alpha", "beta", "k", NULL};
    PyObject *size;
    request r = {.operation = LOCAL_RESPONSE_NORM, .lrn = {.alpha = 1e-4f, .beta = 0.75f, .k = 1}};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O|$fff:local_response_norm", names,
                                     gc_parse_layer, &r.input, &size, &r.lrn.alpha, &r.lrn.beta,
                                     &r.lrn.k)
        || gc_parse_size(size, "size", &r.lrn.size) < 0)
        return NULL;
    return add_layer(self, &r);
}

/* ---- Activations -------------------------------------------------------------------------- */

static PyObject *builder_clip(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "low", "high", NULL};
    request r = {.operation = ACTIVATION, .activation = {.kind = GC_CLIP}};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&ff:clip", names, gc_parse_layer, &r.input,
                                     &r.activation.low, &r.activation.high))
        return NULL;
    return add_layer(self, &r);
}

static PyObject *builder_leaky_relu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "slope", NULL};
    request r = {.operation = ACTIVATION, .activation = {.kind = GC_LEAKY_RELU, .slope = 0.01f}};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|f:leaky_relu", names, gc_parse_layer,
                                     &r.input, &r.activation.slope))
        return NULL;
    return add_layer(self, &r);
}

static PyObject *builder_prelu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "weight", NULL};
    PyObject *weight;
    request r = {.operation = ACTIVATION, .activation = {.kind = GC_PRELU}};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O:prelu", names, gc_parse_layer, &r.input,
                                     &weight)
        || parse_parameters(weight, 1, "weight", Py_None, "", &r.parameters) < 0)
        return NULL;
    r.activation.slopes = gc_floats(r.parameters.weight);
    r.activation.slope_count = (size_t)PyArray_DIM(r.parameters.weight, 0);
    PyObject *number = add_layer(self, &r);
    release_parameters(&r.parameters);
    return number;
}

static PyObject *builder_elu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "alpha", NULL};
    request r = {.operation = ACTIVATION, .activation = {.kind = GC_ELU, .slope = 1.0f}};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|f:elu", names, gc_parse_layer, &r.input,
                                     &r.activation.slope))
        return NULL;
    return add_layer(self, &r);
}

/* PyTorch's argument of this name is a string, "none" too: none is accepted. */
static PyObject *builder_gelu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"input", "approximate", NULL};
    PyObject *approximate = Py_False;
    request r = {.operation = ACTIVATION};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|O:gelu", names, gc_parse_layer, &r.input,
                                     &approximate))
        return NULL;
    if (!PyBool_Check(approximate)) {
        PyErr_Format(PyExc_TypeError, "approximate must be True or False, not %R", approximate);
        return NULL;
    }
    r.activation.kind = approximate == Py_True ? GC_GELU_TANH : GC_GELU;
    return add_layer(self, &r);
}

static PyObject *add_activation(PyObject *self, PyObject *input, gc_activation_kind kind)
{
    request r = {.operation = ACTIVATION, .activation = {.kind = kind}};
    return gc_parse_layer(input, &r.input) ? add_layer(self, &r) : NULL;
}

/* ---- Layers without options ---------------------------------------------------------------- */

static PyObject *add_reader(PyObject *self, PyObject *input, one_input *add)
{
    request r = {.operation = ONE_INPUT, .add_reader = add};
    return gc_parse_layer(input, &r.input) ? add_layer(self, &r) : NULL;
}

static PyObject *add_join(PyObject *self, PyObject *sequence, several_inputs *add)
{
    Py_ssize_t count;
    size_t *inputs = gc_parse_layers(sequence, "inputs", &count);
    if (inputs == NULL)
        return NULL;
    const request r = {.operation = SEVERAL_INPUTS,
                       .join = {.add = add, .inputs = inputs, .count = (size_t)count}};
    PyObject *number = add_layer(self, &r);
    PyMem_Free(inputs);
    return number;
}

/* Methods whose only argument is the layer, or the layers, that they read. X(name, how the argument
 * is parsed, function of the core or kind of activation). */
#define WITHOUT_OPTIONS(X)                                                                    \
    X(global_max_pool, add_reader, gc_add_global_max_pool)                                    \
    X(relu, add_reader, gc_add_relu)                                                          \
    X(relu6, add_reader, gc_add_relu6)                                                        \
    X(softmax, add_reader, gc_add_softmax)                                                    \
    X(log_softmax, add_reader, gc_add_log_softmax)                                            \
    X(sigmoid, add_activation, GC_SIGMOID)                                                    \
    X(hard_sigmoid, add_activation, GC_HARD_SIGMOID)                                          \
    X(silu, add_activation, GC_SILU)                                                          \
    X(hard_swish, add_activation, GC_HARD_SWISH)                                              \
    X(tanh, add_activation, GC_TANH)                                                          \
    X(flatten, add_reader, gc_add_flatten)                                                    \
    X(dropout, add_reader, gc_add_dropout)                                                    \
    X(add, add_join, gc_add_sum)                                                              \
    X(concatenate, add_join, gc_add_concatenation)                                            \
    X(multiply, add_join, gc_add_multiply)

#define X(name, add_layer_of, add)                                                            \
    static PyObject *builder_##name(PyObject *self, PyObject *argument)                        \
    {                                                                                         \
        return add_layer_of(self, argument, add);                                             \
    }
WITHOUT_OPTIONS(X)
#undef X

/* ---- Done ------------------------------------------------------------------------------ */

static PyObject *build_locked(builder_object *self, const module_state *state)
{
    gc_network *network = self->network;
    PyObject *arrays = self->arrays;
    if (network == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this builder has built its network; start another one");
        return NULL;
    }
    self->network = NULL;
    self->arrays = NULL;
    return gc_wrap_network(state->network_type, network, arrays);
}

static PyObject *builder_build(PyObject *object, PyObject *unused)
{
    (void)unused;
    const module_state *state = PyType_GetModuleState(Py_TYPE(object));
    if (state == NULL)
        return NULL;
    PyObject *network;
    Py_BEGIN_CRITICAL_SECTION(object);
    network = build_locked((builder_object *)object, state);
    Py_END_CRITICAL_SECTION();
    return network;
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
    WITH_KEYWORDS("layer_norm", builder_layer_norm),
    WITH_KEYWORDS("local_response_norm", builder_local_response_norm),
    WITH_KEYWORDS("slice", builder_slice),
    WITH_KEYWORDS("channel_shuffle", builder_channel_shuffle),
    WITH_KEYWORDS("clip", builder_clip),
    WITH_KEYWORDS("leaky_relu", builder_leaky_relu),
    WITH_KEYWORDS("prelu", builder_prelu),
    WITH_KEYWORDS("elu", builder_elu),
    WITH_KEYWORDS("gelu", builder_gelu),
#define X(name, add_layer_of, add) {#name, builder_##name, METH_O, NULL},
    WITHOUT_OPTIONS(X)
#undef X
    {"build", builder_build, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "NetworkBuilder(channels)\n--\n\n"
                "Builds a Network, layer by layer; each method returns the new layer's number."},
    {Py_tp_new, builder_new},
    {Py_tp_dealloc, builder_dealloc},
    {Py_tp_traverse, builder_traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec gc_builder_spec = {
    .name = "gradcam._core.NetworkBuilder",
    .basicsize = sizeof(builder_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
