/* The way in. What a read goes into, cheapest first:
 *
 * - The protocol did not keep its last messages: a bytes object that the loop
 *   has from them. Nothing is allocated or copied, and if this one is not
 *   kept either it is there for the next read. Given away by mistake, it
 *   takes more memory than it shows: so each mistake makes the stream wait
 *   for more dropped messages before it trusts again.
 * - Up to LOOP_READ_BUFFER: the loop's buffer, then an exact bytes object.
 * - More than that: a bytes object of the predicted size, which is shrunk.
 *
 * The prediction doubles when a read fills it and halves when one leaves three
 * quarters free. It is never big without reason: glibc maps and unmaps big
 * blocks each time.
 */
#include "stream.h"

#include <errno.h>
#include <unistd.h>

#include "errors.h"
#include "reader.h"

#define READ_MIN ((size_t)LOOP_SPARE_SMALL)
#define READ_MAX ((size_t)256 * 1024)
#define MAX_MISSES 6
/* Full reads in a row before others have their turn. */
#define MAX_READS 32

void
stream_init(Stream *stream, int fd)
{
    stream->fd = fd;
    stream->read.size = READ_MIN;
}

/* ---- what to read into ---- */

/* The loop keeps a small and a big bytes object for all of its streams. */
static LoopSpare *
find_spare(Stream *stream, size_t size)
{
    Loop *loop = transport_loop(&stream->transport);

    return size <= READ_MIN ? &loop->spares[0] : &loop->spares[1];
}

/* Take a bytes object to read into; on failure there is none, and no
 * exception. */
static void
lend_recycled(Stream *stream)
{
    ReadState *read = &stream->read;
    LoopSpare *spare = find_spare(stream, read->size);

    if (spare->bytes != NULL && spare->size >= read->size) {
        read->lent = spare->bytes;
        read->room = spare->size;
        spare->bytes = NULL;
        return;
    }
    read->lent = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)read->size);
    read->room = read->size;
    if (read->lent == NULL) {
        PyErr_Clear(); /* the loop's own buffer does it too */
    }
}

static void
lend_exact(Stream *stream)
{
    ReadState *read = &stream->read;

    if (read->size <= LOOP_READ_BUFFER) {
        return;
    }
    read->lent = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)read->size);
    read->room = read->size;
    if (read->lent == NULL) {
        PyErr_Clear(); /* the loop's own buffer does it too */
    }
}

/* Give a bytes object that is ours alone to the loop, for the next read. */
static void
give_spare(Stream *stream, PyObject *bytes /* steals */, size_t room)
{
    LoopSpare *spare = find_spare(stream, room);

    if (spare->bytes == NULL || spare->size < room) {
        Py_XSETREF(spare->bytes, bytes);
        spare->size = room;
    }
    else {
        Py_DECREF(bytes);
    }
}

/* Nothing was read into it. */
static void
give_back(Stream *stream)
{
    PyObject *bytes = stream->read.lent;

    stream->read.lent = NULL;
    if (bytes != NULL) {
        give_spare(stream, bytes, stream->read.room);
    }
}

static void
adapt_size(ReadState *read, size_t count)
{
    if (count >= read->size && read->size < READ_MAX) {
        read->size *= 2;
    }
    else if (count < read->size / 4 && read->size > READ_MIN) {
        read->size /= 2;
    }
}

/* A new bytes object of what was read, whether it is a recycled one. NULL
 * with MemoryError. */
static PyObject *
take_message(Stream *stream, const char *data, size_t count, bool *recycled)
{
    PyObject *bytes = stream->read.lent;

    stream->read.lent = NULL;
    *recycled = bytes != NULL && stream->read.recycles;
    if (bytes == NULL) {
        return PyBytes_FromStringAndSize(data, (Py_ssize_t)count);
    }
    if (*recycled) {
        bytes_recycle(bytes, (Py_ssize_t)count);
    }
    else if (count < stream->read.room) {
        (void)bytes_shrink(&bytes, (Py_ssize_t)count); /* NULL says it */
    }
    return bytes;
}

/* The protocol has had the message: learn from whether it kept it. */
static void
drop_message(Stream *stream, PyObject *bytes /* steals */, bool recycled)
{
    ReadState *read = &stream->read;
    bool kept = !bytes_is_ours(bytes);

    if (recycled && !kept) {
        give_spare(stream, bytes, read->room);
        return;
    }
    if (recycled) {
        read->recycles = false;
        read->dropped = 0;
        if (read->misses < MAX_MISSES) {
            read->misses++;
        }
    }
    else if (kept) {
        read->dropped = 0;
    }
    else if (++read->dropped >= 1u << read->misses) {
        read->recycles = true;
    }
    Py_DECREF(bytes);
}

/* ---- what was read ---- */

static void
fail_receiving(Transport *transport)
{
    transport_fatal_pending(
        transport, "Fatal error: protocol.data_received() call failed.");
}

/* To asyncio's StreamReader, which copies it and keeps no message: whether it
 * took it. */
static bool
feed_reader(Stream *stream, const char *data, size_t count)
{
    Transport *transport = &stream->transport;
    int fed = 0;

    if (reader_may_take(transport_state(transport), transport->protocol)) {
        fed = reader_feed(&transport_loop(transport)->border,
                          transport->context,
                          transport->protocol,
                          data,
                          count);
    }
    if (fed == 0) {
        return false;
    }
    give_back(stream);
    stream->read.recycles = true;
    adapt_size(&stream->read, count);
    if (fed < 0) {
        fail_receiving(transport);
    }
    return true;
}

static void
receive_data(Stream *stream, const char *data, size_t count)
{
    Transport *transport = &stream->transport;
    bool recycled = false;
    PyObject *bytes = take_message(stream, data, count, &recycled);
    PyObject *args[2] = {transport->protocol, bytes};
    PyObject *result = NULL;

    if (bytes == NULL) {
        transport_fatal_pending(transport, stream_ops(stream)->read_error);
        return;
    }
    adapt_size(&stream->read, count);
    Py_INCREF(args[0]);
    result =
        enter_method(&transport_loop(transport)->border,
                     transport->context,
                     transport_state(transport)->names[NAME_data_received],
                     args,
                     2);
    Py_DECREF(args[0]);
    if (result == NULL) {
        Py_DECREF(bytes);
        fail_receiving(transport);
        return;
    }
    Py_DECREF(result);
    drop_message(stream, bytes, recycled);
}

static void
receive_eof(Stream *stream)
{
    Transport *transport = &stream->transport;
    PyObject *protocol = Py_NewRef(transport->protocol);
    PyObject *result = NULL;
    int keep_open = -1;

    stream->eof_read = true;
    transport_debug(transport, "received EOF");
    result = enter_method(&transport_loop(transport)->border,
                          transport->context,
                          transport_state(transport)->names[NAME_eof_received],
                          &protocol,
                          1);
    Py_DECREF(protocol);
    if (result != NULL) {
        keep_open = PyObject_IsTrue(result);
        Py_DECREF(result);
    }
    if (keep_open < 0) {
        transport_fatal_pending(
            transport, "Fatal error: protocol.eof_received() call failed.");
    }
    else if (keep_open == 0 || stream_ops(stream)->one_way) {
        transport_close(transport);
    }
}

/* ---- BufferedProtocol ---- */

/* protocol.get_buffer(-1), exported: 0, or -1 with an exception. */
static int
get_buffer(Stream *stream, PyObject *protocol, Py_buffer *view)
{
    Transport *transport = &stream->transport;
    PyObject *args[2] = {protocol, PyLong_FromLong(-1)};
    PyObject *buffer = NULL;

    if (args[1] == NULL) {
        return -1;
    }
    buffer = enter_method(&transport_loop(transport)->border,
                          transport->context,
                          transport_state(transport)->names[NAME_get_buffer],
                          args,
                          2);
    Py_DECREF(args[1]);
    return buffer == NULL ? -1 : transport_export_buffer(buffer, view);
}

static void
tell_buffer_updated(Stream *stream, PyObject *protocol, ssize_t count)
{
    Transport *transport = &stream->transport;
    PyObject *args[2] = {protocol, PyLong_FromSsize_t(count)};
    PyObject *result = NULL;

    if (args[1] != NULL) {
        result = enter_method(
            &transport_loop(transport)->border,
            transport->context,
            transport_state(transport)->names[NAME_buffer_updated],
            args,
            2);
        Py_DECREF(args[1]);
    }
    if (result == NULL) {
        transport_fatal_pending(
            transport, "Fatal error: protocol.buffer_updated() call failed.");
    }
    Py_XDECREF(result);
}

/* read(2): bytes, 0 at the end, or a negative errno. */
static ssize_t
read_some(const Stream *stream, void *data, size_t room)
{
    ssize_t count = 0;

    do {
        count = read(stream->fd, data, room);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

/* The end, or an error: `count` is not positive. */
static void
receive_no_data(Stream *stream, ssize_t count)
{
    Transport *transport = &stream->transport;

    if (count == 0) {
        stream_stop_reading(transport);
        receive_eof(stream);
    }
    else if (count != -EAGAIN && count != -EWOULDBLOCK) {
        transport_fatal_uv(
            transport, (int)count, stream_ops(stream)->read_error);
    }
}

static void
read_into_protocol(Stream *stream)
{
    Transport *transport = &stream->transport;
    PyObject *protocol = Py_NewRef(transport->protocol);
    Py_buffer view = {0};
    ssize_t count = 0;

    if (get_buffer(stream, protocol, &view) < 0) {
        transport_fatal_pending(
            transport, "Fatal error: protocol.get_buffer() call failed.");
        goto done;
    }
    if (!transport_is_reading(transport) || transport->protocol != protocol) {
        PyBuffer_Release(&view); /* get_buffer had it stopped, or moved */
        goto done;
    }
    count = read_some(stream, view.buf, (size_t)view.len);
    /* Before buffer_updated: the protocol may want to resize it there. */
    PyBuffer_Release(&view);
    if (count > 0) {
        tell_buffer_updated(stream, protocol, count);
    }
    else {
        receive_no_data(stream, count);
    }
done:
    Py_DECREF(protocol);
}

/* Read once and hand it over; true if there may be more. */
static bool
read_message(Stream *stream)
{
    ReadState *read = &stream->read;
    char *data = transport_loop(&stream->transport)->read_buffer;
    size_t room = LOOP_READ_BUFFER;
    ssize_t count = 0;

    if (read->recycles) {
        lend_recycled(stream);
    }
    else {
        lend_exact(stream);
    }
    if (read->lent != NULL) {
        data = PyBytes_AS_STRING(read->lent);
        room = read->room;
    }
    count = read_some(stream, data, room);
    if (count <= 0) {
        give_back(stream);
        receive_no_data(stream, count);
        return false;
    }
    if (!feed_reader(stream, data, (size_t)count)) {
        receive_data(stream, data, (size_t)count);
    }
    return (size_t)count == room && transport_is_reading(&stream->transport) &&
           !stream->transport.fills_buffers;
}

void
stream_readable(Handle *handle)
{
    Stream *stream = (Stream *)handle;
    bool more = !stream->transport.fills_buffers;

    assert_attached();
    Py_INCREF(stream);
    if (!more) {
        read_into_protocol(stream);
    }
    for (int count = 0; more && count < MAX_READS; count++) {
        more = read_message(stream);
    }
    Py_DECREF(stream);
}

/* ---- libuv's side: it only tells when, and not of plain input ---- */

static void
on_alloc(uv_handle_t *uv, size_t suggested, uv_buf_t *buf)
{
    (void)uv;
    (void)suggested;
    *buf = uv_buf_init(NULL, 0); /* comes back as UV_ENOBUFS */
}

static void
on_read(uv_stream_t *uv, ssize_t count, const uv_buf_t *buf)
{
    Stream *stream = uv->data;

    (void)buf;
    assert_attached();
    if (count == UV_ENOBUFS) {
        stream_readable(&stream->transport.handle);
        return;
    }
    Py_INCREF(stream);
    receive_no_data(stream, count == UV_EOF ? 0 : count);
    Py_DECREF(stream);
}

int
stream_start_reading(Transport *transport)
{
    Stream *stream = (Stream *)transport;
    int err = 0;

    if (stream->eof_read || stream->holder != NULL) {
        return 0; /* told once; the fd is sendfile's for now */
    }
    err = uv_read_start(&stream->uv.stream, on_alloc, on_read);
    if (err < 0 && err != UV_EALREADY) {
        return err;
    }
    poll_set_reader(
        &transport_loop(transport)->poll, stream->fd, &transport->handle);
    return 0;
}

void
stream_stop_reading(Transport *transport)
{
    Stream *stream = (Stream *)transport;

    poll_set_reader(&transport_loop(transport)->poll, stream->fd, NULL);
    (void)uv_read_stop(&stream->uv.stream); /* always 0 */
}
