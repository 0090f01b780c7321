/* calls.c: calls of the core without the GIL, which signals and a progress callback can end.
 *
 * The core asks now and then on the thread that made the call. Only Python's main thread handles
 * signals: on any other, without a callback, it asks once. */
#include "python/common.h"

static const double INTERVAL = 0.05; /* seconds: an interactive program seems to answer at once */

/* Whether this is the thread on which Python runs signal handlers; -1 with an exception set,
 * perhaps that of a handler, which may run here too. */
static int on_main_thread(void)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *thread =
        threading == NULL ? NULL : PyObject_CallMethod(threading, "main_thread", NULL);
    PyObject *ident = thread == NULL ? NULL : PyObject_GetAttrString(thread, "ident");
    const unsigned long number = ident == NULL ? 0 : PyLong_AsUnsignedLong(ident);
    Py_XDECREF(threading);
    Py_XDECREF(thread);
    Py_XDECREF(ident);
    return PyErr_Occurred() ? -1 : number == PyThread_get_thread_ident();
}

static int report_progress(PyObject *progress, double share)
{
    PyObject *result = PyObject_CallFunction(progress, "d", share);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static gc_answer ask(void *argument, double share)
{
    core_call *call = argument;
    PyEval_RestoreThread(call->thread);
    const int failed =
        PyErr_CheckSignals() < 0
        || (call->progress != NULL && report_progress(call->progress, share) < 0);
    const int go_on = failed ? -1 : call->progress != NULL ? 1 : on_main_thread();
    call->thread = PyEval_SaveThread();
    return go_on < 0 ? GC_STOP : go_on ? GC_GO_ON : GC_ASK_NO_MORE;
}

void gc_begin_call(core_call *call, PyObject *progress)
{
    *call = (core_call){.watch = {.ask = ask, .argument = call, .interval = INTERVAL},
                        .progress = progress};
    gc_watch_begin(&call->watch);
    call->thread = PyEval_SaveThread();
}

gc_status gc_end_call(core_call *call, gc_status status)
{
    PyEval_RestoreThread(call->thread);
    return gc_watch_end() ? GC_INTERRUPTED : status;
}

int gc_parse_progress(PyObject *object, void *progress)
{
    if (object != Py_None && !PyCallable_Check(object)) {
        PyErr_Format(PyExc_TypeError, "progress must be a function of a float or None, not %s",
                     Py_TYPE(object)->tp_name);
        return 0;
    }
    *(PyObject **)progress = object == Py_None ? NULL : object;
    return 1;
}
