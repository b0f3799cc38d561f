/* The way in. The lower transport reads into its loop's buffers and gives a
 * bytes object, which the BIO copies and does not keep: so it is used again
 * (stream_read.c). What comes out is decrypted into a bytes object that is
 * made as big as the ciphertext, by a few bytes too big, and is shrunk.
 *
 * The ssl module says that there is no more by an exception, which costs more
 * than a small record: so it is asked only while there is something to read.
 */
#include "tls.h"

/* Decrypted at once, at most: as much as a stream reads. */
#define READ_MAX ((Py_ssize_t)256 * 1024)

/* What a whole record is, encrypted. */
#define RECORD_ROOM ((Py_ssize_t)(16 * 1024 + 512))

/* After an exception of a read: 0 if it only said that there is no more, or
 * that close_notify has come; else -1. */
static int
see_why(Tls *tls)
{
    State *st = tls_state(tls);

    if (PyErr_ExceptionMatches(st->objects[OBJECT_SSL_WANT_READ]) ||
        PyErr_ExceptionMatches(st->objects[OBJECT_SSL_SYSCALL])) {
        PyErr_Clear(); /* no more for now */
        return 0;
    }
    if (PyErr_ExceptionMatches(st->objects[OBJECT_SSL_ZERO_RETURN])) {
        PyErr_Clear(); /* no more for ever */
        tls->notified = true;
        return 0;
    }
    return -1;
}

static Py_ssize_t
get_pending(Tls *tls, PyObject *bio)
{
    PyObject *pending = PyObject_GetAttr(bio, tls_name(tls, NAME_pending));
    Py_ssize_t count = -1;

    if (pending != NULL) {
        count = PyLong_AsSsize_t(pending);
        Py_DECREF(pending);
    }
    return count;
}

Py_ssize_t
tls_unread(Tls *tls)
{
    return get_pending(tls, tls->incoming);
}

/* How much there may be to decrypt, or is decrypted and was not asked for; -1
 * with an exception. */
static Py_ssize_t
find_room(Tls *tls)
{
    Py_ssize_t count = get_pending(tls, tls->incoming);

    if (count >= 0 && tls->leftover) {
        PyObject *pending = tls_call(tls, tls->raw, NAME_pending, NULL);
        Py_ssize_t left = pending == NULL ? -1 : PyLong_AsSsize_t(pending);

        Py_XDECREF(pending);
        count = left < 0 ? -1 : count + left;
    }
    return count > READ_MAX ? READ_MAX : count;
}

/* At most `size` bytes as a new bytes object: NULL without an exception if
 * there are none, or close_notify has come. */
static PyObject *
read_piece(Tls *tls, Py_ssize_t size)
{
    PyObject *arg = PyLong_FromSsize_t(size);
    PyObject *piece = NULL;
    Py_ssize_t count = 0;

    if (arg == NULL) {
        return NULL;
    }
    piece = tls_call(tls, tls->raw, NAME_read, arg);
    Py_DECREF(arg);
    if (piece == NULL) {
        (void)see_why(tls); /* the exception says it */
        tls->leftover = false;
        return NULL;
    }
    if (!PyBytes_CheckExact(piece)) {
        Py_DECREF(piece);
        PyErr_SetString(PyExc_TypeError, "read() should return bytes");
        return NULL;
    }
    count = PyBytes_GET_SIZE(piece);
    tls->leftover = count == size;
    if (count == 0) {
        tls->notified = true;
        Py_CLEAR(piece);
    }
    return piece;
}

/* The same into memory: how many, 0 if there are none, -1 with an exception.
 */
static Py_ssize_t
read_into(Tls *tls, char *memory, Py_ssize_t size)
{
    PyObject *args[3] = {tls->raw, NULL, NULL};
    PyObject *result = NULL;
    Py_ssize_t count = -1;

    if (!tls->is_raw) { /* whoever it is may keep what it reads into */
        PyObject *piece = read_piece(tls, size);

        if (piece == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        count = PyBytes_GET_SIZE(piece);
        count = count < size ? count : size;
        memcpy(memory, PyBytes_AS_STRING(piece), (size_t)count);
        Py_DECREF(piece);
        return count;
    }
    args[1] = PyLong_FromSsize_t(size);
    args[2] = PyMemoryView_FromMemory(memory, size, PyBUF_WRITE);
    if (args[1] != NULL && args[2] != NULL) {
        result =
            PyObject_VectorcallMethod(tls_name(tls, NAME_read), args, 3, NULL);
        if (result != NULL) {
            count = PyLong_AsSsize_t(result);
            tls->leftover = count == size;
            tls->notified = tls->notified || count == 0;
        }
        else {
            tls->leftover = false;
            count = see_why(tls);
        }
    }
    Py_XDECREF(result);
    Py_XDECREF(args[2]);
    Py_XDECREF(args[1]);
    return count;
}

/* Fill memory with as much as there is: how many bytes, or -1. What was read
 * before an error is given first; the error will come again. */
static Py_ssize_t
fill(Tls *tls, char *memory, Py_ssize_t size)
{
    Py_ssize_t filled = 0;

    while (filled < size && !tls->notified) {
        Py_ssize_t asked = size - filled;
        Py_ssize_t count = read_into(tls, memory + filled, asked);

        if (count < 0) {
            if (filled == 0) {
                return -1;
            }
            PyErr_Clear(); /* OpenSSL says it again when it is asked again */
            break;
        }
        filled += count;
        if (count == 0) {
            break;
        }
        if (count < asked) {
            Py_ssize_t more = tls_unread(tls);

            if (more < 0) {
                return -1;
            }
            if (more == 0) {
                break;
            }
        }
    }
    return filled;
}

/* The same as a new bytes object of at most `room` bytes, which begins with
 * `head`: NULL with an exception. */
static PyObject *
read_rest(Tls *tls, PyObject *head /* steals */, Py_ssize_t room)
{
    Py_ssize_t filled = head == NULL ? 0 : PyBytes_GET_SIZE(head);
    PyObject *message = PyBytes_FromStringAndSize(NULL, filled + room);
    Py_ssize_t count = -1;

    if (message != NULL) {
        char *memory = PyBytes_AS_STRING(message);

        if (head != NULL) {
            memcpy(memory, PyBytes_AS_STRING(head), (size_t)filled);
        }
        count = fill(tls, memory + filled, room);
        if (count < 0 && filled > 0) {
            PyErr_Clear(); /* it comes again, after what came before */
            count = 0;
        }
        if (count < 0) {
            Py_CLEAR(message);
        }
        else if (count < room) {
            (void)bytes_shrink(&message, filled + count); /* NULL says it */
        }
    }
    Py_XDECREF(head);
    return message;
}

/* All that there is, up to READ_MAX, as a new bytes object: NULL without an
 * exception if there is nothing. */
static PyObject *
read_message(Tls *tls)
{
    Py_ssize_t room = tls->notified ? 0 : find_room(tls);
    PyObject *message = NULL;

    if (room <= 0) {
        return NULL;
    }
    if (room <= RECORD_ROOM) { /* one record, most often, or a part of it */
        message = read_piece(tls, room);
        if (message == NULL) {
            return NULL;
        }
        room = tls->notified ? 0 : find_room(tls);
        if (room == 0) {
            return message;
        }
        if (room < 0) {
            Py_DECREF(message);
            return NULL;
        }
    }
    message = read_rest(tls, message, room);
    if (message != NULL && PyBytes_GET_SIZE(message) == 0) {
        Py_CLEAR(message);
    }
    return message;
}

/* ---- to the protocol ---- */

static bool
delivers(const Tls *tls)
{
    return tls->phase == TLS_OPEN && !tls->paused && !tls->waits;
}

/* data_received: 1 if it was called, 0 if there is nothing; -1 with any
 * exception. */
static int
give_message(Tls *tls)
{
    PyObject *message = read_message(tls);
    PyObject *result = NULL;

    if (message == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    result = tls_call_protocol(tls, NAME_data_received, message);
    Py_DECREF(message);
    Py_XDECREF(result);
    return result == NULL ? -1 : 1;
}

/* get_buffer(), exported: 0, or -1 with any exception. */
static int
get_buffer(Tls *tls, Py_ssize_t hint, Py_buffer *view)
{
    PyObject *arg = PyLong_FromSsize_t(hint);
    PyObject *buffer = NULL;

    if (arg == NULL) {
        return -1;
    }
    buffer = tls_call_protocol(tls, NAME_get_buffer, arg);
    Py_DECREF(arg);
    return buffer == NULL ? -1 : transport_export_buffer(buffer, view);
}

/* get_buffer and buffer_updated, once: as give_message. A full buffer is
 * followed by another one in a later turn, as in asyncio: who has waited for
 * this much may set another protocol first. */
static int
fill_buffer(Tls *tls)
{
    Py_ssize_t hint = find_room(tls);
    PyObject *protocol = tls->protocol;
    PyObject *result = NULL;
    PyObject *arg = NULL;
    Py_buffer view = {0};
    Py_ssize_t count = 0;
    bool full = false;

    if (hint <= 0 || tls->notified) {
        return hint < 0 ? -1 : 0;
    }
    if (get_buffer(tls, hint, &view) < 0) {
        return -1;
    }
    if (delivers(tls) && tls->protocol == protocol) {
        count = fill(tls, view.buf, view.len);
        full = count == view.len;
    }
    /* Before buffer_updated: the protocol may want to resize it there. */
    PyBuffer_Release(&view);
    if (count <= 0) {
        return (int)count; /* -1, or get_buffer had it stopped, or moved */
    }
    if (full && tls_read_soon(tls) < 0) {
        return -1;
    }
    arg = PyLong_FromSsize_t(count);
    if (arg != NULL) {
        result = tls_call_protocol(tls, NAME_buffer_updated, arg);
        Py_DECREF(arg);
    }
    Py_XDECREF(result);
    return result == NULL ? -1 : !full;
}

/* All that there is: 0, or -1 with any exception. */
static int
deliver(Tls *tls)
{
    int given = 1;

    while (given > 0 && delivers(tls)) {
        given = tls->fills_buffers ? fill_buffer(tls) : give_message(tls);
    }
    return given < 0 ? -1 : 0;
}

/* If the peer has ended its side, and the protocol has had all of it. */
static int
see_end(Tls *tls)
{
    if (tls->phase != TLS_OPEN || tls->waits || tls->reads_soon ||
        tls->paused || !(tls->notified || tls->eof)) {
        return 0; /* what was received is not lost: resume_reading() goes on */
    }
    if (tls_tell_eof(tls) < 0) {
        return -1;
    }
    return tls_start_shutdown(tls);
}

int
tls_read(Tls *tls)
{
    if (tls->phase != TLS_OPEN) {
        return 0;
    }
    if (deliver(tls) < 0) {
        return tls_fail(tls, "Fatal error on SSL protocol");
    }
    if (tls->phase == TLS_OPEN &&
        (tls_send(tls) < 0 || tls_control_reading(tls) < 0)) {
        return -1;
    }
    return see_end(tls);
}

static PyObject *
call_read(PyObject *self, PyObject *unused)
{
    Tls *tls = CAST(Tls, self);

    (void)unused;
    tls->reads_soon = false;
    tls->waits = false;
    if (tls_read(tls) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* What the ready ring calls; not to be found on the type. */
static PyMethodDef read_def = {
    "_read", call_read, METH_NOARGS, "data_received, then the peer's end."};

int
tls_read_soon(Tls *tls)
{
    if (tls->reads_soon) {
        return 0;
    }
    if (tls_call_soon(tls, &read_def) < 0) {
        return -1;
    }
    tls->reads_soon = true;
    return 0;
}

/* ---- from the lower transport ---- */

int
tls_control_reading(Tls *tls)
{
    Py_ssize_t size = 0;
    int err = 0;

    if (tls->lower == NULL || tls->phase >= TLS_ENDED ||
        (!tls->paused && !tls->waits && !tls->lower_paused)) {
        return 0;
    }
    size = tls_unread(tls);
    if (size < 0) {
        err = -1;
    }
    else if ((size_t)size >= tls->read_limits.high && !tls->lower_paused) {
        tls->lower_paused = true;
        err = tls_do(tls, tls->lower, NAME_pause_reading, NULL);
    }
    else if ((size_t)size <= tls->read_limits.low && tls->lower_paused) {
        tls->lower_paused = false;
        err = tls_do(tls, tls->lower, NAME_resume_reading, NULL);
    }
    return err < 0 ? tls_fail(tls, "Fatal error on SSL protocol") : 0;
}

int
tls_receive(Tls *tls, PyObject *data)
{
    if (tls->phase >= TLS_ENDED) {
        return 0;
    }
    if (tls_do(tls, tls->incoming, NAME_write, data) < 0) {
        return tls_fail(tls, "Fatal error on SSL protocol");
    }
    switch (tls->phase) {
    case TLS_HANDSHAKE:
        return tls_shake_hands(tls);
    case TLS_OPEN:
        return tls_read(tls);
    case TLS_FLUSHING:
    case TLS_SHUTDOWN:
        return tls_continue_shutdown(tls);
    default: /* not connected yet: it waits in the BIO */
        return 0;
    }
}

int
tls_discard(Tls *tls)
{
    while (!tls->notified) {
        Py_ssize_t room = find_room(tls);
        PyObject *piece = NULL;

        if (room <= 0) {
            return room < 0 ? -1 : 0;
        }
        piece = read_piece(tls, room);
        if (piece == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        if (tls->phase == TLS_SHUTDOWN) {
            tls->discarded += (size_t)PyBytes_GET_SIZE(piece);
        }
        Py_DECREF(piece);
    }
    return 0;
}
