/* rules.c: rules of backward passes, from their names and parameters. */
#include "python/common.h"

void gc_free_rules(parsed_rules *parsed)
{
    PyMem_Free(parsed->rules);
    Py_XDECREF(parsed->arrays);
}

static int find_rule(PyObject *name, gc_rule *rule)
{
    gc_error error;
    const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    if (text == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "a rule is given by its name, not %R", name);
        return -1;
    }
    const gc_status status = gc_rule_find(text, rule, &error);
    if (status != GC_OK)
        gc_raise(status, &error);
    return status == GC_OK ? 0 : -1;
}

/* The bounds of each channel, whose array is put into `arrays`; None: no bounds. */
static int parse_bounds(PyObject *object, const char *name, PyObject *arrays, const float **bounds,
                        size_t *count)
{
    if (object == Py_None)
        return 0;
    PyArrayObject *array = gc_float_array(object, 1, 1, name);
    if (array == NULL)
        return -1;
    *bounds = gc_floats(array);
    *count = (size_t)PyArray_DIM(array, 0);
    const int done = gc_require_finite(array, name) == 0
                     && PyList_Append(arrays, (PyObject *)array) == 0;
    Py_DECREF(array);
    return done ? 0 : -1;
}

static int parse_parameters(PyObject *parameters, PyObject *arrays, gc_rule *rule)
{
    static char *names[] = {"epsilon", "gamma", "alpha", "beta", "bias", "low", "high", NULL};
    PyObject *none = PyTuple_New(0), *low = Py_None, *high = Py_None;
    size_t lower = 0;
    if (none == NULL)
        return -1;
    const int parsed =
        PyArg_ParseTupleAndKeywords(none, parameters, "|$ffffpOO:rule", names, &rule->epsilon,
                                    &rule->gamma, &rule->alpha, &rule->beta, &rule->bias, &low,
                                    &high)
        && parse_bounds(low, "low", arrays, &rule->low, &lower) == 0
        && parse_bounds(high, "high", arrays, &rule->high, &rule->bounds) == 0;
    Py_DECREF(none);
    if (!parsed)
        return -1;
    if (lower != rule->bounds) {
        PyErr_Format(PyExc_ValueError, "there are %zu lower and %zu upper bounds", lower,
                     rule->bounds);
        return -1;
    }
    return 0;
}

/* A name, or a name with its parameters in a dict. */
static int parse_one(PyObject *object, PyObject *arrays, gc_rule *rule)
{
    PyObject *name, *parameters;
    if (!PyTuple_Check(object))
        return find_rule(object, rule);
    if (!PyArg_ParseTuple(object, "OO!:rule", &name, &PyDict_Type, &parameters)
        || find_rule(name, rule) < 0)
        return -1;
    return parse_parameters(parameters, arrays, rule);
}

int gc_parse_rules(PyObject *object, parsed_rules *parsed)
{
    const int several = PyList_Check(object);
    const Py_ssize_t count = several ? PyList_GET_SIZE(object) : 1;
    *parsed = (parsed_rules){.rules = PyMem_Calloc((size_t)count + 1, sizeof *parsed->rules),
                             .count = (size_t)count,
                             .arrays = PyList_New(0)};
    int done = parsed->rules != NULL && parsed->arrays != NULL;
    if (parsed->rules == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; done && i < count; i++)
        done = parse_one(several ? PyList_GET_ITEM(object, i) : object, parsed->arrays,
                         &parsed->rules[i])
               == 0;
    if (done)
        return 0;
    gc_free_rules(parsed);
    return -1;
}
