#include "head.h"

#include "chars.h"

enum {
    CAPACITY_MIN = 16
};

static void
release(Header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Py_DECREF(headers[i].pair);
    }
}

static int
grow(Head *head)
{
    size_t capacity = Py_MAX(head->capacity * 2, (size_t)CAPACITY_MIN);
    Header *headers =
        PyMem_Realloc(head->headers, capacity * sizeof(*headers));

    if (headers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    head->headers = headers;
    head->capacity = capacity;
    return 0;
}

static inline bool
is_bytes(PyObject *bytes, const char *at, size_t len)
{
    return (size_t)PyBytes_GET_SIZE(bytes) == len &&
           chars_equal(PyBytes_AS_STRING(bytes), at, len);
}

/* (name, value), or NULL with MemoryError. */
static PyObject *
make_pair(PyObject *name /* steals */, PyObject *value /* steals */)
{
    PyObject *pair = NULL;

    if (name != NULL && value != NULL) {
        pair = PyTuple_New(2);
    }
    if (pair == NULL) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, name);
    PyTuple_SET_ITEM(pair, 1, value);
    return pair;
}

/* The previous head's header at this place if it is named the same, or NULL.
 */
static inline const Header *
find_last(const Head *head, const HeaderText *text)
{
    const Header *last;

    if (head->count >= head->last_count) {
        return NULL;
    }
    last = &head->last[head->count];
    if (last->raw == NULL ||
        !is_bytes(last->raw, text->name, text->name_len)) {
        return NULL;
    }
    return last;
}

/* Whether the pair may be had again for this value: it is equal, or nobody
 * has the pair any more and the value is written over the last one. */
static inline bool
renew(const Header *last, const HeaderText *text)
{
    PyObject *value = PyTuple_GET_ITEM(last->pair, 1);

    if (is_bytes(value, text->value, text->value_len)) {
        return true;
    }
    if (text->value_len > last->room || !object_is_ours(last->pair) ||
        !bytes_is_ours(value)) {
        return false;
    }
    bytes_recycle(value, (Py_ssize_t)text->value_len);
    memcpy(PyBytes_AS_STRING(value), text->value, text->value_len);
    tuple_recycle(last->pair);
    return true;
}

/* The name and what is known of it; a new reference, or NULL. */
static PyObject *
take_name(Header *added, State *st, const HeaderText *text, bool lower)
{
    const Token *token = state_header(st, text->name, text->name_len);
    PyObject *name;

    if (token != NULL) {
        added->raw = token->object;
        added->header = token->header;
        return Py_NewRef(lower ? token->lower : token->object);
    }
    name = state_header_name(
        st, text->name, text->name_len, lower, &added->header);
    added->raw = lower ? NULL : name;
    return name;
}

int
head_add(Head *head,
         State *st,
         const HeaderText *text,
         bool lower,
         unsigned *header)
{
    const Header *last = find_last(head, text);
    Header *added;
    PyObject *name;

    if (head->count == head->capacity && grow(head) < 0) {
        return -1;
    }
    added = &head->headers[head->count];
    if (last != NULL) {
        *added = *last;
        *header = last->header;
        if (renew(last, text)) {
            Py_INCREF(added->pair);
            head->count++;
            return 0;
        }
        name = Py_NewRef(PyTuple_GET_ITEM(last->pair, 0));
    }
    else {
        name = take_name(added, st, text, lower);
        *header = added->header;
    }
    added->pair = make_pair(
        name, state_value(st, *header, text->value, text->value_len));
    added->room = text->value_len;
    if (added->pair == NULL) {
        return -1;
    }
    head->count++;
    return 0;
}

/* Make the headers those of the previous head, or release them if they are
 * not worth their memory. */
static void
keep(Head *head)
{
    size_t count = head->count;
    size_t capacity = head->capacity;
    Header *headers = head->headers;

    release(head->last, head->last_count);
    if (count > HEAD_KEPT) {
        release(headers, count);
        PyMem_Free(headers);
        head->headers = NULL;
        head->count = head->capacity = head->last_count = 0;
        return;
    }
    head->headers = head->last;
    head->capacity = head->last_capacity;
    head->count = 0;
    head->last = headers;
    head->last_capacity = capacity;
    head->last_count = count;
    for (size_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(headers[i].pair, 0);
        PyObject *value = PyTuple_GET_ITEM(headers[i].pair, 1);

        if (PyBytes_GET_SIZE(name) > HEAD_VALUE_KEPT ||
            PyBytes_GET_SIZE(value) > HEAD_VALUE_KEPT) {
            Py_SETREF(headers[i].pair, Py_NewRef(Py_None));
            headers[i].raw = NULL; /* equal to no name */
        }
    }
}

PyObject *
head_take(Head *head)
{
    PyObject *list = PyList_New((Py_ssize_t)head->count);

    if (list == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < head->count; i++) {
        PyObject *pair = Py_NewRef(head->headers[i].pair);

        PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
    keep(head);
    return list;
}

void
head_drop(Head *head)
{
    release(head->headers, head->count);
    head->count = 0;
}

void
head_free(Head *head)
{
    head_drop(head);
    release(head->last, head->last_count);
    PyMem_Free(head->headers);
    PyMem_Free(head->last);
    memset(head, 0, sizeof(*head));
}
