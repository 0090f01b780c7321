/* environment.c: what the environment asks for and cannot have is an error, and never passed over.
 *
 * Not when the module is imported, for then the command line could answer with nothing but a
 * traceback; but before the first network is built, and where settings are read. */
#include <stdlib.h>

#include "python/common.h"

static int check_level(void)
{
    const char *wanted = getenv("GRADCAM_CPU_LEVEL");
    gc_error error;
    if (wanted == NULL || *wanted == '\0' || gc_level_find(wanted, &error) == GC_OK)
        return 0;
    PyErr_Format(PyExc_ValueError, "GRADCAM_CPU_LEVEL: %s", error.message);
    return -1;
}

static int check_threads(void)
{
    const char *text = getenv("GRADCAM_NUM_THREADS");
    char *end;
    if (text == NULL || *text == '\0')
        return 0;
    const long threads = strtol(text, &end, 10);
    if (*end == '\0' && threads >= 1)
        return 0;
    PyErr_Format(PyExc_ValueError, "GRADCAM_NUM_THREADS must be a whole number of threads, "
                                   "1 or more, not '%s'",
                 text);
    return -1;
}

int gc_check_environment(void)
{
    return check_level() < 0 || check_threads() < 0 ? -1 : 0;
}
