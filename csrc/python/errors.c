/* errors.c: the one place where a status of the core becomes a Python exception. */
#include <string.h>

#include "python/common.h"

PyObject *gc_raise(gc_status status, const gc_error *error)
{
    if (status == GC_INTERRUPTED)
        return NULL;
    PyObject *type = status == GC_NO_MEMORY  ? PyExc_MemoryError
                     : status == GC_NOT_KEPT ? PyExc_KeyError
                                             : PyExc_ValueError;
    /* A message that was cut may end within a character. */
    PyObject *message =
        PyUnicode_DecodeUTF8(error->message, (Py_ssize_t)strlen(error->message), "replace");
    if (message != NULL) {
        PyErr_SetObject(type, message);
        Py_DECREF(message);
    }
    return NULL;
}
