/* The way in. What a read goes into, cheapest first:
 *
 * - asyncio's StreamReader gets much at a time: its own buffer. Nothing is
 *   copied.
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

/* What the loop keeps for all of its streams that read so much: a bytes object
 * that is small or big. False without memory. */
static bool
fill_spare(LoopSpare *spare, size_t size)
{
    if (spare->size >= size) {
        return true;
    }
    Py_XSETREF(spare->bytes,
               PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size));
    spare->size = spare->bytes == NULL ? 0 : size;
    if (spare->bytes == NULL) {
        PyErr_Clear(); /* the loop's own buffer does it too */
        return false;
    }
    return true;
}

/* Learn from a read. */
static void
adapt_size(ReadState *read, size_t count, size_t room)
{
    if (count >= read->size) {
        read->size *= read->size < READ_MAX ? 2 : 1;
        read->full = count == room;
    }
    else if (read->size > READ_MIN && count < read->size / 4) {
        read->size /= 2;
    }
}

/* The protocol kept a recycled message. */
static void
stop_recycling(ReadState *read)
{
    read->recycles = false;
    read->dropped = 0;
    if (read->misses < MAX_MISSES) {
        read->misses++;
    }
}

/* The protocol has had a message of its own: learn from whether it kept it.
 */
static void
note_kept(ReadState *read, bool kept)
{
    if (kept) {
        read->dropped = 0;
    }
    else if (++read->dropped >= 1u << read->misses) {
        read->recycles = true;
    }
}

/* ---- what was read ---- */

static void
fail_receiving(Transport *transport)
{
    transport_fatal_pending(
        transport, "Fatal error: protocol.data_received() call failed.");
}

static inline bool
is_for_reader(const Stream *stream)
{
    const Transport *transport = &stream->transport;

    return reader_may_take(transport_state(transport), transport->protocol);
}

/* To asyncio's StreamReader, which copies it and keeps no message: whether it
 * took it. */
static Py_NO_INLINE bool
feed_reader(Stream *stream, const char *data, size_t count)
{
    Transport *transport = &stream->transport;
    int fed = reader_feed(&transport_loop(transport)->border,
                          transport->context,
                          transport->protocol,
                          data,
                          count);

    if (fed == 0) {
        return false;
    }
    stream->read.recycles = true;
    stream->read.feeds = count >= stream->read.size / 2;
    if (fed < 0) {
        fail_receiving(transport);
    }
    return true;
}

/* True; or false if that failed, which has been seen to. */
static inline bool
receive_data(Stream *stream, PyObject *bytes)
{
    Transport *transport = &stream->transport;
    PyObject *args[2] = {Py_NewRef(transport->protocol), bytes};
    PyObject *result = enter_method(&transport_loop(transport)->border,
                                    transport->context,
                                    NAME_data_received,
                                    args,
                                    2);

    Py_DECREF(args[0]);
    if (result == NULL) {
        fail_receiving(transport);
        return false;
    }
    Py_DECREF(result);
    return true;
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
                          NAME_eof_received,
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
                          NAME_get_buffer,
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
        result = enter_method(&transport_loop(transport)->border,
                              transport->context,
                              NAME_buffer_updated,
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

/* The end, or a negative errno. What a signal came before is read in the next
 * turn. */
static void
receive_no_data(Stream *stream, int err)
{
    Transport *transport = &stream->transport;

    if (err == 0) {
        stream_stop_reading(transport);
        receive_eof(stream);
    }
    else if (err != -EAGAIN && err != -EWOULDBLOCK && err != -EINTR) {
        transport_fatal_uv(transport, err, stream_ops(stream)->read_error);
    }
}

static Py_NO_INLINE void
read_into_protocol(Stream *stream)
{
    Transport *transport = &stream->transport;
    PyObject *protocol = Py_NewRef(transport->protocol);
    Py_buffer view = {0};
    ssize_t count = 0;
    int err = 0;

    if (get_buffer(stream, protocol, &view) < 0) {
        transport_fatal_pending(
            transport, "Fatal error: protocol.get_buffer() call failed.");
        goto done;
    }
    if (!transport_is_reading(transport) || transport->protocol != protocol) {
        PyBuffer_Release(&view); /* get_buffer had it stopped, or moved */
        goto done;
    }
    count = read(stream->fd, view.buf, (size_t)view.len);
    err = count < 0 ? -errno : 0;
    /* Before buffer_updated: the protocol may want to resize it there. */
    PyBuffer_Release(&view);
    if (count > 0) {
        tell_buffer_updated(stream, protocol, count);
    }
    else {
        receive_no_data(stream, err);
    }
done:
    Py_DECREF(protocol);
}

/* Read once into what the loop keeps, which has that room, and hand it over.
 */
static void
read_recycled(Stream *stream, LoopSpare *spare, size_t room)
{
    PyObject *bytes = spare->bytes;
    ssize_t count = read(stream->fd, PyBytes_AS_STRING(bytes), room);

    if (count <= 0) {
        receive_no_data(stream, count < 0 ? -errno : 0);
        return;
    }
    adapt_size(&stream->read, (size_t)count, room);
    if (is_for_reader(stream) &&
        feed_reader(stream, PyBytes_AS_STRING(bytes), (size_t)count)) {
        return;
    }
    bytes_recycle(bytes, count);
    /* Reads are not nested: nobody else wants it meanwhile. */
    if (!receive_data(stream, bytes) || !bytes_is_ours(bytes)) {
        stop_recycling(&stream->read);
        spare->size = 0;
        Py_CLEAR(spare->bytes);
    }
}

/* The same into a bytes object of its own, or the loop's buffer. */
static Py_NO_INLINE void
read_fresh(Stream *stream)
{
    size_t size = LOOP_READ_BUFFER;
    char *data = transport_loop(&stream->transport)->read_buffer;
    PyObject *bytes = NULL;
    ssize_t count = 0;

    if (stream->read.size > LOOP_READ_BUFFER) {
        bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)stream->read.size);
        if (bytes == NULL) {
            PyErr_Clear(); /* the loop's own buffer does it too */
        }
        else {
            size = stream->read.size;
            data = PyBytes_AS_STRING(bytes);
        }
    }
    count = read(stream->fd, data, size);
    if (count <= 0) {
        receive_no_data(stream, count < 0 ? -errno : 0);
        Py_XDECREF(bytes);
        return;
    }
    adapt_size(&stream->read, (size_t)count, size);
    if (is_for_reader(stream) && feed_reader(stream, data, (size_t)count)) {
        goto done;
    }
    if (bytes == NULL) {
        bytes = PyBytes_FromStringAndSize(data, count);
    }
    else if ((size_t)count < size) {
        (void)bytes_shrink(&bytes, count); /* NULL says it */
    }
    if (bytes == NULL) {
        transport_fatal_pending(&stream->transport,
                                stream_ops(stream)->read_error);
    }
    else if (receive_data(stream, bytes)) {
        note_kept(&stream->read, !bytes_is_ours(bytes));
    }
done:
    Py_XDECREF(bytes);
}

/* The same into the buffer of a StreamReader; false with nothing done if that
 * is not possible. */
static Py_NO_INLINE bool
read_into_reader(Stream *stream)
{
    Transport *transport = &stream->transport;
    ReadState *read = &stream->read;
    size_t room = read->size;
    ssize_t count = 0;
    int fed = 0;

    if (is_for_reader(stream)) {
        fed = reader_read(&transport_loop(transport)->border,
                          transport->context,
                          transport->protocol,
                          stream->fd,
                          room,
                          &count);
    }
    read->feeds = fed != 0 && count >= (ssize_t)(room / 2);
    if (fed == 0) {
        return false;
    }
    if (count <= 0) {
        receive_no_data(stream, (int)count);
        return true;
    }
    adapt_size(read, (size_t)count, room);
    if (fed < 0) {
        fail_receiving(transport);
    }
    return true;
}

static void
read_message(Stream *stream)
{
    Loop *loop = transport_loop(&stream->transport);
    size_t size = stream->read.size;
    LoopSpare *spare = size <= READ_MIN ? &loop->spares[0] : &loop->spares[1];

    stream->read.full = false;
    if (stream->read.feeds && read_into_reader(stream)) {
        return;
    }
    if (stream->read.recycles && fill_spare(spare, size)) {
        read_recycled(stream, spare, size);
    }
    else {
        read_fresh(stream);
    }
}

/* Whether there may be more, and this is to go on with it. */
static bool
may_read_on(Stream *stream)
{
    return stream->read.full && --stream->read.left > 0 &&
           transport_is_reading(&stream->transport) &&
           stream->holder == NULL && !stream->transport.fills_buffers;
}

/* The list of open handles holds the stream, whatever the protocol does: what
 * is closed here leaves it in another uv_run. */
void
stream_readable(Handle *handle)
{
    Stream *stream = (Stream *)handle;

    assert_attached();
    if (stream->transport.fills_buffers) {
        read_into_protocol(stream);
        return;
    }
    stream->read.left = MAX_READS;
    do {
        read_message(stream);
    } while (may_read_on(stream));
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
    receive_no_data(stream, count == UV_EOF ? 0 : (int)count);
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
