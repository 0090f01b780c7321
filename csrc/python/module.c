/* module.c: the extension module gradcam._core: its state, its types, its start. */
#define GC_IMPORT_ARRAY
#include "python/common.h"

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type == NULL ? -1 : PyModule_AddType(module, *type);
}

static int module_exec(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    import_array1(-1);
    if (add_type(module, &gc_builder_spec, &state->builder_type) < 0
        || add_type(module, &gc_network_spec, &state->network_type) < 0
        || add_type(module, &gc_tape_spec, &state->tape_type) < 0
        || PyModule_AddFunctions(module, gc_sequence_methods) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "__version__", GC_VERSION);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);
    Py_VISIT(state->builder_type);
    Py_VISIT(state->network_type);
    Py_VISIT(state->tape_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->builder_type);
    Py_CLEAR(state->network_type);
    Py_CLEAR(state->tape_type);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gradcam._core",
    .m_doc = "The C core: networks, tapes and the array operations that explanations need.",
    .m_size = sizeof(module_state),
    .m_methods = gc_module_methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
