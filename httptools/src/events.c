#include "events.h"

enum {
    ANYWHERE = -1 /* size_t: a position that none is over */
};

_Static_assert(NAME_on_status - NAME_on_header == CALLBACK_STATUS &&
                   NAME_on_body - NAME_on_header == CALLBACK_BODY,
               "callbacks and their names are in one order");

/* Whether the end of the message is the end of the connection. */
static bool
needs_eof(const llhttp_t *llhttp)
{
    unsigned status = llhttp->status_code;

    if (llhttp->type == HTTP_REQUEST || (llhttp->flags & F_SKIPBODY) ||
        (status >= 100 && status < 200) || status == 204 || status == 304) {
        return false;
    }
    if (llhttp->flags & F_CHUNKED) {
        return false;
    }
    /* A transfer coding that is not chunked beats a length. */
    return (llhttp->flags & F_TRANSFER_ENCODING) ||
           !(llhttp->flags & F_CONTENT_LENGTH);
}

bool
events_should_keep_alive(const Events *events)
{
    const llhttp_t *llhttp = &events->llhttp;
    bool by_default = llhttp->http_major > 0 && llhttp->http_minor > 0;

    if (by_default ? (llhttp->flags & F_CONNECTION_CLOSE) != 0
                   : (llhttp->flags & F_CONNECTION_KEEP_ALIVE) == 0) {
        return false;
    }
    return !needs_eof(llhttp);
}

/* Statuses whose message ends with its head, whatever the headers say. The
 * other 1xx are not among them: as in llhttp, 199 has a body. */
static bool
is_bodiless_status(unsigned status)
{
    return status == 100 || status == 102 || status == 103 || status == 204 ||
           status == 304;
}

int
events_body_kind(const Events *events)
{
    const llhttp_t *llhttp = &events->llhttp;
    bool is_response = llhttp->type == HTTP_RESPONSE;
    unsigned status = llhttp->status_code;

    if (llhttp->upgrade || (is_response && status == 101)) {
        return BODY_OTHER_PROTOCOL;
    }
    if ((llhttp->flags & F_SKIPBODY) ||
        (is_response && is_bodiless_status(status))) {
        return BODY_NONE;
    }
    if (llhttp->flags & F_CHUNKED) {
        return BODY_CHUNKED;
    }
    if (llhttp->flags & F_TRANSFER_ENCODING) {
        /* RFC 9112 6.3: a request's length cannot be told then, a response
         * goes on until the connection ends. */
        const unsigned lenient =
            LENIENT_CHUNKED_LENGTH | LENIENT_TRANSFER_ENCODING;

        return is_response || (llhttp->lenient_flags & lenient)
                   ? BODY_UNTIL_EOF
                   : BODY_UNKNOWABLE;
    }
    if (llhttp->flags & F_CONTENT_LENGTH) {
        return llhttp->content_length > 0 ? BODY_LENGTH : BODY_NONE;
    }
    return needs_eof(llhttp) ? BODY_UNTIL_EOF : BODY_NONE;
}

static inline size_t
limit_from(const Events *events, size_t at, int limit)
{
    size_t size = events->policy.limits[limit];

    return size == (size_t)NO_LIMIT ? (size_t)ANYWHERE : at + size;
}

void
events_enter_phase(Events *events, Phase phase, const void *p)
{
    size_t at = events_position(events, p);

    events->phase = phase;
    events->phase_end = (size_t)ANYWHERE;
    events->quiet_end = (size_t)ANYWHERE;
    switch (phase) {
    case PHASE_HEAD:
        events->phase_end = limit_from(events, at, LIMIT_HEAD);
        events->quiet_end = at + MAX_QUIET;
        break;
    case PHASE_TRAILERS:
        events->phase_end = limit_from(events, at, LIMIT_TRAILERS);
        events->quiet_end = at + MAX_QUIET;
        break;
    case PHASE_CHUNK_LINE:
        events->phase_end = limit_from(events, at, LIMIT_CHUNK_EXTENSIONS);
        break;
    case PHASE_BODY:
    case PHASE_CLOSED:
        break;
    }
}

PyObject *
events_version(const Events *events)
{
    PyObject *const *objects = events->st->objects;
    int major = events->llhttp.http_major;
    int minor = events->llhttp.http_minor;

    switch (major * 10 + minor) {
    case 0:
        return Py_NewRef(objects[VERSION_0_0]);
    case 9:
        return Py_NewRef(objects[VERSION_0_9]);
    case 10:
        return Py_NewRef(objects[VERSION_1_0]);
    case 11:
        return Py_NewRef(objects[VERSION_1_1]);
    case 20:
        return Py_NewRef(objects[VERSION_2_0]);
    default:
        return PyUnicode_FromFormat("%d.%d", major, minor);
    }
}

static void
release_callbacks(Callback *callbacks)
{
    for (int i = 0; i < CALLBACK_COUNT; i++) {
        Py_CLEAR(callbacks[i].function);
    }
}

/* Look up one attribute: missing or None means that nobody listens. */
static int
find_callback(PyObject *protocol, PyObject *name, Callback *callback)
{
    PyObject *found;
    int has = PyObject_GetOptionalAttr(protocol, name, &found);

    if (has <= 0) {
        return has;
    }
    if (PyMethod_Check(found) && PyMethod_GET_SELF(found) == protocol) {
        callback->function = Py_NewRef(PyMethod_GET_FUNCTION(found));
        callback->receiver = protocol;
        Py_DECREF(found);
    }
    else if (found == Py_None) {
        Py_DECREF(found);
    }
    else {
        callback->function = found;
    }
    return 0;
}

/* The same for an attribute that httptools does not know: a class that
 * answers to any name (a Mock, a proxy) is not asked, only its type is. */
static int
find_new_callback(PyObject *protocol, PyObject *name, Callback *callback)
{
    PyTypeObject *type = Py_TYPE(protocol);
    PyObject *found;
    int has;

    if (type->tp_getattro != PyObject_GenericGetAttr &&
        !PyType_Check(protocol)) {
        has = PyObject_GetOptionalAttr((PyObject *)type, name, &found);
        Py_XDECREF(found);
        if (has <= 0) {
            return has;
        }
    }
    return find_callback(protocol, name, callback);
}

static int
find_callbacks(PyObject *const *objects,
               PyObject *protocol,
               llhttp_type_t type,
               Callback *found)
{
    int unused = type == HTTP_REQUEST ? CALLBACK_STATUS : CALLBACK_URL;
    const int names[] = {
        type == HTTP_REQUEST ? NAME_on_request : NAME_on_response,
        NAME_on_trailers,
        NAME_on_trailer,
        NAME_on_parse_error,
    };

    for (int i = 0; i <= CALLBACK_STATUS; i++) {
        if (i != unused &&
            find_callback(protocol, objects[NAME_on_header + i], &found[i]) <
                0) {
            return -1;
        }
    }
    for (int i = 0; i < (int)ARRAY_LEN(names); i++) {
        if (find_new_callback(protocol,
                              objects[names[i]],
                              &found[CALLBACK_REQUEST + i]) < 0) {
            return -1;
        }
    }
    return 0;
}

void
events_drop_pieces(Events *events)
{
    if (events->header.has_name || events->header.capacity > 0) {
        spans_free(&events->header);
    }
    if (events->start.has_name || events->start.capacity > 0) {
        spans_free(&events->start);
    }
    if (events->extensions.has_name || events->extensions.capacity > 0) {
        spans_free(&events->extensions);
    }
    head_drop(&events->head);
}

void
events_reset(Events *events)
{
    llhttp_t *llhttp = &events->llhttp;
    uint16_t lenient_flags = llhttp->lenient_flags;
    uint8_t type = llhttp->type;

    events_drop_pieces(events);
    (void)llhttp__internal_init(llhttp); /* always 0 */
    llhttp->type = type;
    llhttp->lenient_flags = lenient_flags;
    events->refusal = REFUSED_NOTHING;
    events->origin = events->consumed = 0;
    events->body = 0;
    events->headers = 0;
    events->chunk = 0;
    events->has_length = events->keep_alive = events->skip_body = false;
    events->in_name = events->in_value = events->pausing = false;
    events->ended = false;
    events->replay = 0;
    events->complete = true;
    events_enter_phase(events, PHASE_HEAD, NULL);
}

int
events_bind(Events *events,
            PyObject *protocol,
            llhttp_type_t type,
            Policy *policy)
{
    Callback found[CALLBACK_COUNT] = {{NULL, NULL}};
    Callback old[CALLBACK_COUNT];
    PyObject *old_protocol = events->protocol;
    PyObject *old_upgrades = events->policy.upgrades;

    if (find_callbacks(events->st->objects, protocol, type, found) < 0) {
        release_callbacks(found);
        return -1;
    }
    memcpy(old, events->callbacks, sizeof(old));
    memcpy(events->callbacks, found, sizeof(found));
    events->protocol = Py_NewRef(protocol);
    events->policy = *policy;
    events->is_batch = events->callbacks[CALLBACK_REQUEST].function != NULL;
    events->finishes_headers =
        events->is_batch || policy->looks_at_headers ||
        events->callbacks[CALLBACK_TRAILERS].function != NULL;
    events->wants_headers =
        events->finishes_headers ||
        events->callbacks[CALLBACK_HEADER].function != NULL ||
        events->callbacks[CALLBACK_TRAILER].function != NULL;
    events->llhttp.type = (uint8_t)type;
    events->llhttp.lenient_flags = 0;
    events->relaxed = false;
    events_reset(events);
    if (events->head.last_count > 0) {
        head_free(&events->head); /* its names are as the old policy wanted */
    }
    if (old_protocol != NULL) { /* last: it may run Python code */
        release_callbacks(old);
        Py_DECREF(old_protocol);
        Py_XDECREF(old_upgrades);
    }
    return 0;
}

int
events_traverse(Events *events, visitproc visit, void *arg)
{
    for (int i = 0; i < CALLBACK_COUNT; i++) {
        Py_VISIT(events->callbacks[i].function);
    }
    Py_VISIT(events->protocol);
    return 0;
}

void
events_clear(Events *events)
{
    release_callbacks(events->callbacks);
    Py_CLEAR(events->protocol); /* the methods' receiver: after them */
}

void
events_free(Events *events)
{
    events_drop_pieces(events);
    head_free(&events->head);
    spare_clear(&events->target);
    policy_clear(&events->policy);
    Py_CLEAR(events->host);
}
