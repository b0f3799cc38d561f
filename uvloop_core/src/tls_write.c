/* The way out. A write is encrypted at once, and what that made goes to the
 * lower transport in one piece. While the lower transport is full, or there
 * is a handshake, writes are queued as they are: later small ones share a
 * record.
 */
#include "tls.h"

/* What one record takes. */
#define RECORD_MAX ((size_t)16 * 1024)

/* ---- what is queued ---- */

int
tls_queue(Tls *tls, PyObject *object, const char *data, size_t size)
{
    TlsBacklog *backlog = &tls->backlog;
    PyObject *item = NULL;
    int err = 0;

    if (backlog->items == NULL) {
        backlog->items = PyList_New(0);
        if (backlog->items == NULL) {
            return -1;
        }
    }
    if (PyBytes_CheckExact(object) &&
        (size_t)PyBytes_GET_SIZE(object) == size) {
        item = Py_NewRef(object);
    }
    else {
        item = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    }
    if (item == NULL) {
        return -1;
    }
    err = PyList_Append(backlog->items, item);
    Py_DECREF(item);
    if (err == 0) {
        backlog->size += size;
    }
    return err;
}

/* Point *data at the head of what is queued, if one item fills a record, else
 * at `record`, which is filled from several: how many bytes. */
static size_t
gather(const TlsBacklog *backlog, char *record, const char **data)
{
    size_t filled = 0;
    size_t skip = backlog->skip;

    for (Py_ssize_t i = 0;
         filled < RECORD_MAX && i < PyList_GET_SIZE(backlog->items);
         i++) {
        PyObject *item = PyList_GET_ITEM(backlog->items, i);
        const char *head = PyBytes_AS_STRING(item) + skip;
        size_t size = (size_t)PyBytes_GET_SIZE(item) - skip;
        size_t left = RECORD_MAX - filled;

        if (filled == 0 && size >= RECORD_MAX) {
            *data = head;
            return RECORD_MAX;
        }
        size = size < left ? size : left;
        memcpy(record + filled, head, size);
        filled += size;
        skip = 0;
    }
    *data = record;
    return filled;
}

/* The first `size` bytes are encrypted: 0, or -1 with MemoryError. */
static int
consume(TlsBacklog *backlog, size_t size)
{
    Py_ssize_t count = 0;

    backlog->size -= size;
    backlog->skip += size;
    while (count < PyList_GET_SIZE(backlog->items)) {
        PyObject *item = PyList_GET_ITEM(backlog->items, count);

        if (backlog->skip < (size_t)PyBytes_GET_SIZE(item)) {
            break;
        }
        backlog->skip -= (size_t)PyBytes_GET_SIZE(item);
        count++;
    }
    return PyList_SetSlice(backlog->items, 0, count, NULL);
}

void
tls_drop_backlog(Tls *tls)
{
    tls->backlog.size = 0;
    tls->backlog.skip = 0;
    Py_CLEAR(tls->backlog.items);
}

/* ---- encryption ---- */

/* One record: how many bytes it took, 0 if the peer has to say something
 * first, -1 with an exception. `object` is data's, and all of it, or NULL. */
static Py_ssize_t
write_record(Tls *tls, PyObject *object, const char *data, size_t size)
{
    State *st = tls_state(tls);
    PyObject *arg = object;
    PyObject *result = NULL;
    Py_ssize_t count = -1;

    if (object != NULL) {
        Py_INCREF(arg);
    }
    else if (tls->is_raw) {
        /* Only read from. */
        arg = PyMemoryView_FromMemory(
            (char *)data, (Py_ssize_t)size, PyBUF_READ);
    }
    else { /* whoever it is may keep it */
        arg = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    }
    if (arg == NULL) {
        return -1;
    }
    result = tls_call(tls, tls->raw, NAME_write, arg);
    Py_DECREF(arg);
    if (result != NULL) {
        count = PyLong_AsSsize_t(result);
        Py_DECREF(result);
    }
    else if (PyErr_ExceptionMatches(st->objects[OBJECT_SSL_WANT_READ]) ||
             PyErr_ExceptionMatches(st->objects[OBJECT_SSL_SYSCALL])) {
        PyErr_Clear(); /* a renegotiation: it is tried again */
        count = 0;
    }
    return count;
}

/* How much of it is encrypted, -1 with an exception. */
static Py_ssize_t
encrypt(Tls *tls, PyObject *object, const char *data, size_t size)
{
    size_t taken = 0;

    if (size <= RECORD_MAX) {
        return write_record(tls, object, data, size);
    }
    while (taken < size) {
        size_t left = size - taken;
        Py_ssize_t count = write_record(
            tls, NULL, data + taken, left < RECORD_MAX ? left : RECORD_MAX);

        if (count <= 0) {
            return count < 0 ? -1 : (Py_ssize_t)taken;
        }
        taken += (size_t)count;
    }
    return (Py_ssize_t)taken;
}

static int
encrypt_backlog(Tls *tls)
{
    char record[RECORD_MAX];

    while (tls->backlog.size > 0) {
        const char *data = NULL;
        PyObject *items = Py_NewRef(tls->backlog.items);
        size_t size = gather(&tls->backlog, record, &data);
        Py_ssize_t count = write_record(tls, NULL, data, size);

        /* Not if it was dropped meanwhile. */
        if (count > 0 && items == tls->backlog.items &&
            consume(&tls->backlog, (size_t)count) < 0) {
            count = -1;
        }
        Py_DECREF(items);
        if (count <= 0) {
            return (int)count;
        }
    }
    return 0;
}

int
tls_flush(Tls *tls)
{
    PyObject *data = NULL;
    int err = 0;

    if (tls->lower_full || tls->lower == NULL || tls->phase == TLS_LOST) {
        return 0;
    }
    if (tls->backlog.size > 0 &&
        (tls->phase == TLS_OPEN || tls->phase == TLS_FLUSHING) &&
        encrypt_backlog(tls) < 0) {
        return -1;
    }
    data = tls_call(tls, tls->outgoing, NAME_read, NULL);
    if (data == NULL) {
        return -1;
    }
    if (PyObject_IsTrue(data) > 0) { /* bytes: it cannot fail */
        err = tls_do(tls, tls->lower, NAME_write, data);
    }
    Py_DECREF(data);
    return err;
}

/* ---- flow control ---- */

Py_ssize_t
tls_unsent(Tls *tls)
{
    PyObject *pending =
        PyObject_GetAttr(tls->outgoing, tls_name(tls, NAME_pending));
    Py_ssize_t size = -1;

    if (pending != NULL) {
        size = PyLong_AsSsize_t(pending);
        Py_DECREF(pending);
    }
    return size < 0 ? -1 : size + (Py_ssize_t)tls->backlog.size;
}

/* pause_writing() or resume_writing(), for which there is no other end than
 * the exception handler. */
static int
tell_writing(Tls *tls, NameIndex name, const char *message)
{
    PyObject *result = tls_call_protocol(tls, name, NULL);

    Py_XDECREF(result);
    return result == NULL ? tls_report(tls, message) : 0;
}

int
tls_control_writing(Tls *tls)
{
    Py_ssize_t size = 0;

    if (tls->phase >= TLS_ENDED || tls->told == TLS_TOLD_NOTHING ||
        (!tls->write_paused && !tls->lower_full && tls->backlog.size == 0)) {
        return 0;
    }
    size = tls_unsent(tls);
    if (size < 0) {
        return tls_fail(tls, "Fatal error on SSL protocol");
    }
    if (!tls->write_paused && size > 0 &&
        (size_t)size >= tls->write_limits.high) {
        tls->write_paused = true;
        return tell_writing(
            tls, NAME_pause_writing, "protocol.pause_writing() failed");
    }
    if (tls->write_paused && (size_t)size <= tls->write_limits.low) {
        tls->write_paused = false;
        return tell_writing(
            tls, NAME_resume_writing, "protocol.resume_writing() failed");
    }
    return 0;
}

int
tls_send(Tls *tls)
{
    if (tls_flush(tls) < 0) {
        return tls_fail(tls, "Fatal error on SSL protocol");
    }
    return tls_control_writing(tls);
}

int
tls_write(Tls *tls, PyObject *object, const char *data, size_t size)
{
    Py_ssize_t taken = 0;

    if (tls->phase == TLS_OPEN && !tls->lower_full && tls->backlog.size == 0) {
        taken = encrypt(tls, object, data, size);
    }
    if (taken < 0 ||
        ((size_t)taken < size &&
         tls_queue(tls, object, data + taken, size - (size_t)taken) < 0)) {
        return tls_fail(tls, "Fatal error on SSL protocol");
    }
    return tls_send(tls);
}
