/* errors.c: the one place where a status of the core becomes a Python exception. */
#include "python/common.h"

PyObject *gc_raise(gc_status status, const gc_error *error)
{
    PyObject *type = status == GC_NO_MEMORY  ? PyExc_MemoryError
                     : status == GC_NOT_KEPT ? PyExc_KeyError
                                             : PyExc_ValueError;
    PyErr_SetString(type, error->message);
    return NULL;
}
