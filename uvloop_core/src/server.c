#include "server.h"

void
server_attach(Server *server, ServerLink *link, PyObject *transport)
{
    link->server = (Server *)Py_NewRef((PyObject *)server);
    link->transport = transport;
    link->prev = NULL;
    link->next = server->first;
    if (link->next != NULL) {
        link->next->prev = link;
    }
    server->first = link;
    server->active++;
}

Server *
server_detach(ServerLink *link)
{
    Server *server = link->server;

    if (server == NULL) {
        return NULL;
    }
    if (link->prev != NULL) {
        link->prev->next = link->next;
    }
    else {
        server->first = link->next;
    }
    if (link->next != NULL) {
        link->next->prev = link->prev;
    }
    link->server = NULL;
    link->prev = NULL;
    link->next = NULL;
    server->active--;
    if (server->active == 0 && server->closing) {
        return server;
    }
    Py_DECREF(server);
    return NULL;
}

static PyObject *
clients_meth(PyObject *self, PyObject *unused)
{
    Server *server = CAST(Server, self);
    PyObject *list = PyList_New(0);

    (void)unused;
    if (list == NULL) {
        return NULL;
    }
    for (ServerLink *link = server->first; link != NULL; link = link->next) {
        if (PyList_Append(list, link->transport) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

PyDoc_STRVAR(clients_doc,
             "_clients($self, /)\n--\n\n"
             "The open transports of this server, as a new list.");

PyDoc_STRVAR(
    server_doc,
    "Server()\n--\n\n"
    "Base of the Python Server: counts the connections made for it.\n\n"
    "_active is their number, from accept until after connection_lost.\n"
    "Once _closing is set, self._wakeup() is called when it gets to 0.");

static PyMethodDef methods[] = {
    {"_clients", clients_meth, METH_NOARGS, clients_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_active", Py_T_PYSSIZET, offsetof(Server, active), Py_READONLY, NULL},
    {"_closing", Py_T_BOOL, offsetof(Server, closing), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static void
server_tp_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    /* Each transport on the list holds a reference: it is empty. */
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)server_doc},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, server_tp_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.Server",
    .basicsize = sizeof(Server),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int
server_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);

    if (type == NULL) {
        return -1;
    }
    st->types[TYPE_SERVER] = (PyTypeObject *)type;
    return PyModule_AddObjectRef(module, "Server", type);
}
