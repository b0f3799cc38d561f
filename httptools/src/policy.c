#include "policy.h"

const short POLICY_NAMES[OPTION_COUNT] = {
    NAME_on_error,        NAME_header_names,
    NAME_strip_ows,       NAME_upgrades,
    NAME_strict,          NAME_max_head,
    NAME_max_url,         NAME_max_headers,
    NAME_max_header_name, NAME_max_header_value,
    NAME_max_trailers,    NAME_max_chunk_extensions,
    NAME_max_body,        NAME_reject_http09,
    NAME_reject_versions, NAME_reject_te_in_http10,
    NAME_reject_codings,  NAME_reject_duplicates,
    NAME_reject_obs_text, NAME_reject_spaces,
    NAME_reject_trailers, NAME_require_host,
};

static const unsigned SWITCHES[OPTION_COUNT - OPTION_FIRST_SWITCH] = {
    REJECT_HTTP09,
    REJECT_VERSIONS,
    REJECT_TE_IN_HTTP10,
    REJECT_CODINGS,
    REJECT_DUPLICATES,
    REJECT_OBS_TEXT,
    REJECT_SPACES,
    REJECT_TRAILERS,
    REQUIRE_HOST,
};

/* What strict=True sets; each keyword given beside it wins. */
static const size_t STRICT_LIMITS[LIMIT_COUNT] = {
    [LIMIT_HEAD] = 65536,
    [LIMIT_URL] = 16384,
    [LIMIT_HEADERS] = 128,
    [LIMIT_HEADER_NAME] = 256,
    [LIMIT_HEADER_VALUE] = 32768,
    [LIMIT_TRAILERS] = 16384,
    [LIMIT_CHUNK_EXTENSIONS] = 4096,
    [LIMIT_BODY] = (size_t)NO_LIMIT,
};

/* 1, 0, or -1 with TypeError. */
static int
read_bool(State *st, int option, PyObject *value)
{
    if (!PyBool_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "%U must be a bool, not %.200s",
                     st->objects[POLICY_NAMES[option]],
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    return value == Py_True;
}

static int
read_switch(Policy *policy,
            State *st,
            PyObject *const *options,
            int option,
            unsigned bit)
{
    int value;

    if (options[option] == NULL) {
        return 0;
    }
    value = read_bool(st, option, options[option]);
    if (value < 0) {
        return -1;
    }
    policy->switches &= ~bit;
    if (value) {
        policy->switches |= bit;
    }
    return 0;
}

static int
read_limit(Policy *policy, State *st, PyObject *value, int limit)
{
    Py_ssize_t size;

    if (value == NULL) {
        return 0;
    }
    if (value == Py_None) {
        policy->limits[limit] = (size_t)NO_LIMIT;
        return 0;
    }
    size = PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (size < 0) {
        PyErr_Format(PyExc_ValueError,
                     "%U must not be negative",
                     st->objects[POLICY_NAMES[OPTION_FIRST_LIMIT + limit]]);
        return -1;
    }
    policy->limits[limit] = (size_t)size;
    return 0;
}

static int
read_header_names(Policy *policy, PyObject *value)
{
    if (value == NULL) {
        return 0;
    }
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "header_names must be 'raw' or 'lower', not %.200s",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    if (PyUnicode_CompareWithASCIIString(value, "lower") == 0) {
        policy->switches |= LOWER_NAMES;
        return 0;
    }
    if (PyUnicode_CompareWithASCIIString(value, "raw") == 0) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError,
                 "header_names must be 'raw' or 'lower', not %R",
                 value);
    return -1;
}

static int
read_upgrades(Policy *policy, PyObject *value)
{
    PyObject *names;

    if (value == NULL) {
        return 0;
    }
    if (value == Py_None) {
        Py_CLEAR(policy->upgrades);
        return 0;
    }
    names = PySequence_Tuple(value);
    if (names == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);

        if (!PyBytes_Check(name)) {
            PyErr_Format(PyExc_TypeError,
                         "upgrades must hold bytes, not %.200s",
                         Py_TYPE(name)->tp_name);
            Py_DECREF(names);
            return -1;
        }
    }
    Py_XSETREF(policy->upgrades, names);
    return 0;
}

static int
init_strict(Policy *policy)
{
    for (size_t i = 0; i < ARRAY_LEN(SWITCHES); i++) {
        policy->switches |= SWITCHES[i];
    }
    policy->switches |= STRIP_OWS | WHOLE_TOKENS;
    memcpy(policy->limits, STRICT_LIMITS, sizeof(STRICT_LIMITS));
    policy->upgrades = Py_BuildValue("(y)", "websocket");
    return policy->upgrades == NULL ? -1 : 0;
}

static int
read_options(Policy *policy, State *st, PyObject *const *options)
{
    if (options[OPTION_STRICT] != NULL) {
        int strict = read_bool(st, OPTION_STRICT, options[OPTION_STRICT]);

        if (strict < 0 || (strict && init_strict(policy) < 0)) {
            return -1;
        }
    }
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (read_limit(policy, st, options[OPTION_FIRST_LIMIT + i], i) < 0) {
            return -1;
        }
    }
    for (int i = 0; i < OPTION_COUNT - OPTION_FIRST_SWITCH; i++) {
        if (read_switch(
                policy, st, options, OPTION_FIRST_SWITCH + i, SWITCHES[i]) <
            0) {
            return -1;
        }
    }
    if (read_switch(policy, st, options, OPTION_STRIP_OWS, STRIP_OWS) < 0 ||
        read_header_names(policy, options[OPTION_HEADER_NAMES]) < 0) {
        return -1;
    }
    return read_upgrades(policy, options[OPTION_UPGRADES]);
}

void
policy_init_plain(Policy *policy)
{
    policy->switches = 0;
    policy->has_limits = policy->looks_at_headers = false;
    policy->upgrades = NULL;
    for (int i = 0; i < LIMIT_COUNT; i++) {
        policy->limits[i] = (size_t)NO_LIMIT;
    }
    policy->limits[LIMIT_CHUNK_EXTENSIONS] = MAX_CHUNK_LINE;
}

/* Of those that are met outside of bodies. */
static bool
has_limits(const Policy *policy)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (i != LIMIT_CHUNK_EXTENSIONS && i != LIMIT_BODY &&
            policy->limits[i] != (size_t)NO_LIMIT) {
            return true;
        }
    }
    return false;
}

int
policy_init(Policy *policy, State *st, PyObject *const *options)
{
    const size_t none = (size_t)NO_LIMIT;

    policy_init_plain(policy);
    if (read_options(policy, st, options) < 0) {
        policy_clear(policy);
        return -1;
    }
    policy->has_limits =
        (policy->switches & REJECT_SPACES) || has_limits(policy);
    policy->looks_at_headers =
        policy->upgrades != NULL ||
        (policy->switches &
         (REJECT_ANY_HEADER | STRIP_OWS | LOWER_NAMES | WHOLE_TOKENS)) ||
        policy->limits[LIMIT_HEADERS] != none ||
        policy->limits[LIMIT_HEADER_NAME] != none ||
        policy->limits[LIMIT_HEADER_VALUE] != none;
    return 0;
}

void
policy_clear(Policy *policy)
{
    Py_CLEAR(policy->upgrades);
}

static bool
is_one_of(PyObject *names, const char *at, size_t len)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);

        if ((size_t)PyBytes_GET_SIZE(name) == len &&
            PyOS_strnicmp(PyBytes_AS_STRING(name), at, (Py_ssize_t)len) == 0) {
            return true;
        }
    }
    return false;
}

bool
policy_is_upgrade(const Policy *policy, const char *at, size_t len)
{
    const char *end = at + len;

    while (at < end) {
        const char *stop = at;

        while (stop < end && *stop != ',') {
            stop++;
        }
        while (at < stop && (*at == ' ' || *at == '\t')) {
            at++;
        }
        len = 0; /* a protocol may have a version: "x/1" */
        while (at + len < stop && at[len] != ' ' && at[len] != '\t' &&
               at[len] != '/') {
            len++;
        }
        if (len > 0 && is_one_of(policy->upgrades, at, len)) {
            return true;
        }
        at = stop + 1;
    }
    return false;
}
