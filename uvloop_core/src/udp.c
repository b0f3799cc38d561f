#include "udp.h"

#include <errno.h>
#include <sys/socket.h>

#include "args.h"
#include "datagrams.h"
#include "endpoint.h"
#include "errors.h"

#define READ_ERROR "Fatal read error on datagram transport"

/* An address in both forms: what was seen last is likely to come again. */
typedef struct {
    PyObject *name; /* owned: immutable all through; NULL: none */
    Addr addr;
} NamedAddr;

typedef struct {
    Transport transport;
    uv_udp_t uv;
    Endpoint endpoint;
    int fd;             /* raw; -1 once released */
    int family;         /* AF_INET, AF_INET6 or AF_UNIX */
    NamedAddr remote;   /* where to, if create_datagram_endpoint was told */
    NamedAddr received; /* whence the last one came */
    NamedAddr sent;     /* where the last one went */
    PyObject *backlog;  /* owned: list of (data, addr) that were received
                           and could not be delivered yet, or NULL */
    Forecast forecast;
    DatagramQueue queue;
} UdpTransport;

static bool
is_connected(const UdpTransport *udp)
{
    return udp->endpoint.peer.size > 0;
}

/* ---- errors ---- */

/* protocol.error_received() with the OSError of a negative errno; `nested`:
 * called from inside Python code. 0, or -1 with what it raises. */
static int
tell_error(UdpTransport *udp, int err, bool nested)
{
    Transport *transport = &udp->transport;
    PyObject *args[2] = {NULL, error_from_uv(transport_state(transport), err)};
    PyObject *result = NULL;

    if (args[1] == NULL) {
        return -1;
    }
    args[0] = Py_NewRef(transport->protocol);
    result = nested ? enter_method_nested(&transport_loop(transport)->border,
                                          transport->context,
                                          NAME_error_received,
                                          args,
                                          2)
                    : enter_method(&transport_loop(transport)->border,
                                   transport->context,
                                   NAME_error_received,
                                   args,
                                   2);
    Py_DECREF(args[0]);
    Py_DECREF(args[1]);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static bool
would_block(int err)
{
    return err == -EAGAIN || err == -EWOULDBLOCK || err == -EINTR;
}

/* ---- receiving ---- */

static PyObject *read_ready(PyObject *self, PyObject *unused);
static PyObject *write_ready(PyObject *self, PyObject *unused);

/* What the loop calls; not to be found on the type. */
static PyMethodDef read_ready_def = {
    "_read_ready", read_ready, METH_NOARGS, "Datagrams have come."};
static PyMethodDef write_ready_def = {
    "_write_ready", write_ready, METH_NOARGS, "The kernel takes more."};

/* Where a datagram came from, as Python has it: new reference, or NULL. */
static PyObject *
name_of(UdpTransport *udp, const Addr *addr)
{
    NamedAddr *last = &udp->received;

    if (last->name == NULL || last->addr.size != addr->size ||
        memcmp(&last->addr.raw, &addr->raw, addr->size) != 0) {
        Py_XSETREF(last->name, addr_to_python(addr));
        last->addr = *addr;
    }
    return Py_XNewRef(last->name);
}

/* protocol.datagram_received(): 0, or -1 with an exception. */
static int
deliver(UdpTransport *udp, PyObject *data, PyObject *name)
{
    Transport *transport = &udp->transport;
    PyObject *args[3] = {Py_NewRef(transport->protocol), data, name};
    PyObject *result = enter_method(&transport_loop(transport)->border,
                                    transport->context,
                                    NAME_datagram_received,
                                    args,
                                    3);

    Py_DECREF(args[0]);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* One of the batch as (data, addr): new references; 0, or -1. */
static int
take(UdpTransport *udp,
     const Batch *batch,
     int i,
     PyObject **data,
     PyObject **name)
{
    *name = NULL;
    *data = batch_bytes(batch, i);
    if (*data != NULL) {
        *name = name_of(udp, &batch->names[i]);
    }
    if (*name == NULL) {
        Py_CLEAR(*data);
        return -1;
    }
    return 0;
}

/* The rest of the batch as a list of (data, addr); NULL with an exception. */
static PyObject *
take_rest(UdpTransport *udp, const Batch *batch, int from, int count)
{
    PyObject *list = PyList_New(0);

    for (int i = from; list != NULL && i < count; i++) {
        PyObject *data = NULL;
        PyObject *name = NULL;
        PyObject *pair = NULL;

        if (take(udp, batch, i, &data, &name) == 0) {
            pair = PyTuple_Pack(2, data, name);
        }
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
        Py_XDECREF(name);
        Py_XDECREF(data);
    }
    return list;
}

/* Have the backlog delivered, of which the kernel knows nothing; 0 or -1. */
static int
schedule_read(UdpTransport *udp)
{
    PyObject *callable = PyCFunction_New(&read_ready_def, (PyObject *)udp);
    int err = -1;

    if (callable != NULL) {
        err = loop_call_soon(transport_loop(&udp->transport),
                             callable,
                             udp->transport.context,
                             NULL,
                             0);
        Py_DECREF(callable);
    }
    return err;
}

/* Something stopped the delivery: the list (NULL: could not be made) waits
 * for the next turn, or for resume_reading(). Keeps a pending exception. */
static void
keep_rest(UdpTransport *udp, PyObject *list /* steals */, PyObject *pending)
{
    Transport *transport = &udp->transport;

    if (list == NULL && PyErr_Occurred()) {
        PyErr_WriteUnraisable((PyObject *)udp); /* datagrams may be lost */
    }
    if (transport->closing || list == NULL || PyList_GET_SIZE(list) == 0) {
        Py_XDECREF(list);
    }
    else {
        udp->backlog = list;
        if (transport_is_reading(transport) && schedule_read(udp) < 0) {
            transport_fatal_pending(transport, READ_ERROR);
        }
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* 0, or -1 with what the protocol raised. */
static int
deliver_batch(UdpTransport *udp, const Batch *batch, int count)
{
    int err = 0;
    int i = 0;

    while (i < count && err == 0 && transport_is_reading(&udp->transport)) {
        PyObject *data = NULL;
        PyObject *name = NULL;

        err = take(udp, batch, i++, &data, &name);
        if (err == 0) {
            err = deliver(udp, data, name);
            Py_DECREF(data);
            Py_DECREF(name);
        }
    }
    if (i < count && !udp->transport.closing) {
        PyObject *pending = PyErr_GetRaisedException();

        keep_rest(udp, take_rest(udp, batch, i, count), pending);
    }
    return err;
}

static int
deliver_backlog(UdpTransport *udp)
{
    PyObject *list = udp->backlog;
    Py_ssize_t count = PyList_GET_SIZE(list);
    Py_ssize_t i = 0;
    int err = 0;

    udp->backlog = NULL;
    while (i < count && err == 0 && transport_is_reading(&udp->transport)) {
        PyObject *pair = PyList_GET_ITEM(list, i++);

        err =
            deliver(udp, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    }
    if (i < count) {
        PyObject *pending = PyErr_GetRaisedException();

        keep_rest(udp, PyList_GetSlice(list, i, count), pending);
    }
    Py_DECREF(list);
    return err;
}

/* 0, or -1 with an exception, which the loop reports; the transport lives
 * on, as asyncio's does. */
static int
read_datagrams(UdpTransport *udp)
{
    Batch *batch = batch_get(&transport_loop(&udp->transport)->datagrams);
    int count = 0;

    if (batch == NULL) {
        return -1;
    }
    count = batch_receive(batch, udp->fd, udp->family, &udp->forecast);
    if (count < 0) {
        return would_block(count) ? 0 : tell_error(udp, count, false);
    }
    return deliver_batch(udp, batch, count);
}

static PyObject *
read_ready(PyObject *self, PyObject *unused)
{
    UdpTransport *udp = CAST(UdpTransport, self);
    int err = 0;

    (void)unused;
    if (transport_is_reading(&udp->transport)) {
        err =
            udp->backlog == NULL ? read_datagrams(udp) : deliver_backlog(udp);
    }
    return err < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- sending ---- */

/* 0, or -1 with what error_received raised. */
static int
flush(UdpTransport *udp)
{
    Transport *transport = &udp->transport;

    while (!datagrams_is_empty(&udp->queue)) {
        int sent = datagrams_flush(&udp->queue, udp->fd);

        if (would_block(sent)) {
            break;
        }
        datagrams_pop(&udp->queue, sent < 0 ? 1 : (size_t)sent);
        if (sent < 0) {
            /* The rest in the next turn: it may close the transport. */
            return tell_error(udp, sent, false);
        }
    }
    transport_maybe_resume(transport);
    if (datagrams_is_empty(&udp->queue) && transport->lost == 0) {
        loop_unwatch(transport_loop(transport), udp->fd, WATCH_WRITE);
        transport_drained(transport);
    }
    return 0;
}

static PyObject *
write_ready(PyObject *self, PyObject *unused)
{
    UdpTransport *udp = CAST(UdpTransport, self);

    (void)unused;
    if (udp->transport.lost > 0) {
        loop_unwatch(transport_loop(&udp->transport), udp->fd, WATCH_WRITE);
        datagrams_clear(&udp->queue);
        Py_RETURN_NONE;
    }
    return flush(udp) < 0 ? NULL : Py_NewRef(Py_None);
}

/* The kernel's form of an address for sendto(): 0, or -1 with an exception.
 * Names are not resolved: that would block. */
static int
resolve(UdpTransport *udp, PyObject *name, const Addr **addr)
{
    NamedAddr *last = &udp->sent;
    Addr found = {0};
    int is_known = 0;

    if (name == NULL) {
        PyErr_SetString(PyExc_ValueError,
                        "addr is required: the socket is not connected");
        return -1;
    }
    if (name == udp->received.name) {
        *addr = &udp->received.addr;
        return 0;
    }
    if (name != last->name) {
        is_known = addr_from_python(udp->family, name, &found);
        if (is_known == 0) {
            PyErr_Format(PyExc_ValueError,
                         "%R: socket family mismatch or a DNS lookup is "
                         "required",
                         name);
        }
        if (is_known <= 0) {
            return -1;
        }
        last->addr = found;
        Py_XSETREF(last->name, Py_NewRef(name));
    }
    *addr = &last->addr;
    return 0;
}

/* Where to: *addr is NULL for the peer of a connected socket. `name` may be
 * NULL. 0, or -1 with an exception. May run Python code. */
static int
find_target(UdpTransport *udp, PyObject *name, const Addr **addr)
{
    *addr = NULL;
    if (udp->remote.name != NULL) {
        int same =
            name == NULL
                ? 1
                : PyObject_RichCompareBool(name, udp->remote.name, Py_EQ);

        if (same == 0) {
            PyErr_Format(PyExc_ValueError,
                         "Invalid address: must be None or %S",
                         udp->remote.name);
        }
        if (same <= 0) {
            return -1;
        }
        if (!is_connected(udp)) {
            *addr = &udp->remote.addr;
        }
        return 0;
    }
    return is_connected(udp) ? 0 : resolve(udp, name, addr);
}

/* The kernel takes it later. 0, or -1 with an exception. */
static int
queue_datagram(UdpTransport *udp,
               const void *data,
               size_t size,
               const Addr *addr)
{
    Transport *transport = &udp->transport;

    if (datagrams_is_empty(&udp->queue) &&
        loop_watch(transport_loop(transport),
                   udp->fd,
                   WATCH_WRITE,
                   &write_ready_def,
                   (PyObject *)udp,
                   transport->context) < 0) {
        return -1;
    }
    if (datagrams_push(&udp->queue, data, size, addr) < 0) {
        return -1; /* with nothing queued, write_ready unwatches */
    }
    return transport_maybe_pause(transport);
}

/* One without a peer may still send after close(), until connection_lost, as
 * asyncio's does: it may be in the middle of answering. */
static bool
may_send(const UdpTransport *udp)
{
    return udp->transport.lost == 0 ||
           (udp->remote.name == NULL && udp->fd >= 0);
}

/* 0, or -1 with an exception. */
static int
send_memory(UdpTransport *udp, const void *data, size_t size, PyObject *name)
{
    const Addr *addr = NULL;
    int err = -EAGAIN;

    if (size == 0 && !COMPAT_SENDS_EMPTY_DATAGRAMS) {
        return 0;
    }
    if (may_send(udp) && find_target(udp, name, &addr) < 0) {
        return -1;
    }
    if (may_send(udp) && datagrams_is_empty(&udp->queue)) {
        err = datagrams_send(udp->fd, data, size, addr);
    }
    if (err == 0) {
        return 0;
    }
    if (!would_block(err)) {
        return tell_error(udp, err, true);
    }
    if (transport_drops_write(&udp->transport)) {
        return 0; /* nobody would wait for it */
    }
    return queue_datagram(udp, data, size, addr);
}

/* 0, or -1 with an exception. */
static int
send_object(UdpTransport *udp, PyObject *data, PyObject *name)
{
    Py_buffer view = {0};
    int err = 0;

    if (PyBytes_CheckExact(data)) {
        return send_memory(udp,
                           PyBytes_AS_STRING(data),
                           (size_t)PyBytes_GET_SIZE(data),
                           name);
    }
    if (!PyObject_CheckBuffer(data)) {
        PyObject *type = PyType_GetName(Py_TYPE(data));

        if (type != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "data argument must be a bytes-like object, not %R",
                         type);
            Py_DECREF(type);
        }
        return -1;
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    err = send_memory(udp, view.buf, (size_t)view.len, name);
    PyBuffer_Release(&view);
    return err;
}

/* ---- TransportOps ---- */

static int
start_reading(Transport *transport)
{
    UdpTransport *udp = (UdpTransport *)transport;
    Loop *loop = transport_loop(transport);
    int err = udp->backlog == NULL ? 0 : schedule_read(udp);

    if (err == 0) {
        err = loop_watch(loop,
                         udp->fd,
                         WATCH_READ,
                         &read_ready_def,
                         (PyObject *)transport,
                         transport->context);
    }
    if (err < 0) {
        /* Seen to here: the exception says more than a code. */
        transport_fatal_pending(transport, READ_ERROR);
    }
    return 0;
}

static void
stop_reading(Transport *transport)
{
    UdpTransport *udp = (UdpTransport *)transport;

    if (udp->fd >= 0) {
        loop_unwatch(transport_loop(transport), udp->fd, WATCH_READ);
    }
}

static size_t
get_buffered(const Transport *transport)
{
    const UdpTransport *udp = (const UdpTransport *)transport;

    return transport->lost > 0 ? 0 : udp->queue.size;
}

static void
release_socket(Transport *transport)
{
    UdpTransport *udp = (UdpTransport *)transport;
    Loop *loop = transport_loop(transport);
    int fd = udp->fd;

    if (fd < 0) {
        return;
    }
    loop_unwatch(loop, fd, WATCH_READ);
    loop_unwatch(loop, fd, WATCH_WRITE);
    udp->fd = -1;
    datagrams_clear(&udp->queue);
    Py_CLEAR(udp->backlog);
    if (endpoint_release(&udp->endpoint, transport_state(transport)) < 0) {
        udp->uv.io_watcher.fd = -1; /* not ours: libuv is not to close it */
    }
    if (loop_owner(loop, fd) == &transport->handle) {
        (void)loop_set_owner(loop, fd, NULL); /* cannot fail */
    }
    handle_close(&transport->handle);
}

static int
find_extra(Transport *transport, PyObject *name, PyObject **value)
{
    return endpoint_extra(&((UdpTransport *)transport)->endpoint,
                          transport_state(transport),
                          name,
                          value);
}

static const TransportOps udp_ops = {
    .handle = {.shut = transport_shut, .failed = transport_failed},
    .start_reading = start_reading,
    .stop_reading = stop_reading,
    .buffered = get_buffered,
    .release = release_socket,
    .extra = find_extra,
};

/* ---- making one ---- */

/* 0, or -1 with an exception: not a socket for datagrams of ours, or another
 * transport has it. */
static int
check_endpoint(Loop *loop, const Endpoint *endpoint)
{
    int family = endpoint->local.raw.any.sa_family;
    Handle *owner = loop_owner(loop, endpoint->fd);

    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX) {
        PyErr_Format(PyExc_ValueError,
                     "a socket of family AF_INET, AF_INET6 or AF_UNIX was "
                     "expected, got family %d",
                     family);
        return -1;
    }
    if (owner != NULL && owner->state == HANDLE_OPEN) {
        PyErr_Format(PyExc_RuntimeError,
                     "File descriptor %d is used by transport %R",
                     endpoint->fd,
                     (PyObject *)owner);
        return -1;
    }
    return 0;
}

/* The handle goes again, and the fd stays the caller's. */
static void
abandon(UdpTransport *udp, Loop *loop)
{
    Transport *transport = &udp->transport;

    udp->uv.io_watcher.fd = -1;
    if (udp->fd >= 0) {
        (void)loop_set_owner(loop, udp->fd, NULL); /* cannot fail */
    }
    udp->fd = -1;
    transport->lost = 1; /* nobody has heard of it */
    transport->closing = true;
    transport->released = true;
    handle_close(&transport->handle);
}

/* Bind the uv handle and the fd to each other and schedule the start: 0; or
 * -1 with an exception and the fd still the caller's. */
static int
open_handle(UdpTransport *udp, Loop *loop)
{
    Transport *transport = &udp->transport;
    int fd = udp->endpoint.fd;
    int err = 0;

    loop_touch(loop);
    err = uv_udp_init(&loop->uv, &udp->uv);
    if (err < 0) {
        return raise_uv(loop->st, err);
    }
    handle_open(&transport->handle,
                &udp_ops.handle,
                &loop->registry,
                (uv_handle_t *)&udp->uv);
    if (loop_set_owner(loop, fd, &transport->handle) < 0) {
        abandon(udp, loop);
        return -1;
    }
    udp->fd = fd;
    /* Not uv_udp_open: it sets SO_REUSEADDR, by which another process could
     * take our datagrams. */
    err = uv_udp_open_ex(&udp->uv, fd, 0);
    if (err < 0) {
        (void)raise_uv(loop->st, err); /* always -1 */
    }
    if (err < 0 || transport_schedule_start(transport) < 0) {
        abandon(udp, loop);
        return -1;
    }
    return 0;
}

/* remote_addr, if there is one: 0, or -1 with an exception. */
static int
set_remote(UdpTransport *udp, PyObject *name)
{
    const Addr *addr = NULL;

    if (name == NULL) {
        return 0;
    }
    if (resolve(udp, name, &addr) < 0) {
        return -1;
    }
    udp->remote.addr = *addr;
    udp->remote.name = Py_NewRef(name);
    return 0;
}

/* New reference, or NULL with an exception and the socket untouched. */
static PyObject *
open_udp(Loop *loop,
         PyObject *sock,
         PyObject *protocol,
         PyObject *address,
         PyObject *waiter,
         PyObject *context)
{
    PyTypeObject *type = loop->st->types[TYPE_UDP_TRANSPORT];
    UdpTransport *udp = (UdpTransport *)type->tp_alloc(type, 0);

    if (udp == NULL) {
        return NULL;
    }
    udp->fd = -1;
    udp->endpoint.fd = -1;
    udp->forecast.next = 1;
    if (endpoint_adopt(&udp->endpoint, loop->st, sock) < 0) {
        Py_DECREF(udp);
        return NULL;
    }
    udp->family = udp->endpoint.local.raw.any.sa_family;
    if (check_endpoint(loop, &udp->endpoint) < 0 ||
        set_remote(udp, address) < 0 ||
        transport_init(&udp->transport, loop->st, protocol, context, waiter) <
            0 ||
        open_handle(udp, loop) < 0) {
        endpoint_disown(&udp->endpoint, loop->st);
        Py_DECREF(udp);
        return NULL;
    }
    return (PyObject *)udp;
}

/* The optional arguments: None is not given. */
static PyObject *
given(PyObject *argument)
{
    return argument == Py_None ? NULL : argument;
}

PyDoc_STRVAR(
    open_udp_doc,
    "open_udp($module, /, loop, sock, protocol, address=None, waiter=None,\n"
    "         context=None)\n--\n\n"
    "Make a UDPTransport of a non-blocking datagram socket.\n\n"
    "address is the only one to send to, if it is given. In a later turn\n"
    "protocol.connection_made is called in the context (a copy of the\n"
    "current one if None), reading starts, and the waiter, a future, gets\n"
    "None. On failure the socket is still the caller's, else the\n"
    "transport's.");

static PyObject *
open_udp_meth(PyObject *module,
              PyObject *const *args,
              Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const short names[] = {NAME_loop,
                                  NAME_sock,
                                  NAME_protocol,
                                  NAME_address,
                                  NAME_waiter,
                                  NAME_context};
    static const ArgSpec spec = {"open_udp", 3, 6, 6, names};
    State *st = PyModule_GetState(module);
    PyObject *out[6];
    PyObject *transport = NULL;
    OpenArgs open;

    if (args_spread(&spec, st->names, args, nargs, kwnames, out) < 0 ||
        transport_open_args(st, out[0], out[4], out[5], &open) < 0) {
        return NULL;
    }
    transport = open_udp(
        open.loop, out[1], out[2], given(out[3]), open.waiter, open.context);
    transport_open_done(&open);
    return transport;
}

/* ---- Python's side ---- */

PyDoc_STRVAR(sendto_doc,
             "sendto($self, /, data, addr=None)\n--\n\n"
             "Send a datagram; if the kernel does not take it now, later.\n\n"
             "addr may be left out where there is only one. Host names are "
             "not resolved:\nValueError. Errors of the network go to "
             "protocol.error_received().");

static PyObject *
sendto_meth(PyObject *self,
            PyObject *const *args,
            Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const short names[] = {NAME_data, NAME_addr};
    static const ArgSpec spec = {"sendto", 1, 2, 2, names};
    UdpTransport *udp = CAST(UdpTransport, self);
    PyObject *out[2];

    if (args_spread(&spec,
                    transport_state(&udp->transport)->names,
                    args,
                    nargs,
                    kwnames,
                    out) < 0 ||
        loop_check_thread(transport_loop(&udp->transport)) < 0) {
        return NULL;
    }
    if (send_object(udp, out[0], given(out[1])) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
udp_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    UdpTransport *udp = CAST(UdpTransport, self);
    int err = endpoint_traverse(&udp->endpoint, visit, arg);

    Py_VISIT(udp->remote.name);
    Py_VISIT(udp->received.name);
    Py_VISIT(udp->sent.name);
    Py_VISIT(udp->backlog);
    return err != 0 ? err : transport_traverse(&udp->transport, visit, arg);
}

static int
udp_tp_clear(PyObject *self)
{
    UdpTransport *udp = CAST(UdpTransport, self);

    endpoint_clear(&udp->endpoint);
    datagrams_clear(&udp->queue);
    Py_CLEAR(udp->remote.name);
    Py_CLEAR(udp->received.name);
    Py_CLEAR(udp->sent.name);
    Py_CLEAR(udp->backlog);
    transport_clear(&udp->transport);
    return 0;
}

static void
udp_tp_dealloc(PyObject *self)
{
    UdpTransport *udp = CAST(UdpTransport, self);

    PyObject_GC_UnTrack(self);
    if (udp->transport.weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)udp_tp_clear(self); /* always 0 */
    transport_dealloc(&udp->transport);
}

PyDoc_STRVAR(udp_doc,
             "A datagram socket. Made by create_datagram_endpoint, not "
             "directly.");

static PyMethodDef methods[] = {
    {"sendto", METHOD(sendto_meth), METH_FASTCALL | METH_KEYWORDS, sendto_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__",
     Py_T_PYSSIZET,
     offsetof(UdpTransport, transport.weakrefs),
     Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)udp_doc},
    {Py_tp_traverse, udp_tp_traverse},
    {Py_tp_clear, udp_tp_clear},
    {Py_tp_dealloc, udp_tp_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.UDPTransport",
    .basicsize = sizeof(UdpTransport),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

static PyMethodDef functions[] = {
    {"open_udp",
     METHOD(open_udp_meth),
     METH_FASTCALL | METH_KEYWORDS,
     open_udp_doc},
    {NULL, NULL, 0, NULL},
};

int
udp_register(PyObject *module, State *st)
{
    /* asyncio's own is an asyncio.Transport as well. */
    PyObject *bases =
        PyTuple_Pack(2,
                     st->objects[OBJECT_ASYNCIO_DATAGRAM_TRANSPORT],
                     st->objects[OBJECT_ASYNCIO_TRANSPORT]);
    PyObject *type =
        bases == NULL ? NULL : PyType_FromModuleAndSpec(module, &spec, bases);

    Py_XDECREF(bases);
    if (type == NULL) {
        return -1;
    }
    st->types[TYPE_UDP_TRANSPORT] = (PyTypeObject *)type;
    if (transport_add_methods((PyTypeObject *)type) < 0 ||
        transport_add_reading((PyTypeObject *)type) < 0 ||
        transport_add_writing((PyTypeObject *)type) < 0 ||
        PyModule_AddObjectRef(module, "UDPTransport", type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
