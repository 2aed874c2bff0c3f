/* api/gate.c -- checks of a request's head. */
#include "api/gate.h"
#include <string.h>

typedef struct MethodRow { const char *name; int status; } MethodRow;

/* What is not here is 501. */
static const MethodRow methods[] = {
    { "GET", 0 }, { "POST", 0 }, { "PUT", 0 }, { "DELETE", 0 }, { "PATCH", 0 }, { "HEAD", 0 },
    { "OPTIONS", 405 }, { "TRACE", 405 }, { "CONNECT", 405 },
};

/* Headers that mean something to somebody on the way: a second one is an attempt to be read in two ways. */
static const char *const singletons[] = {
    "Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Expect", "X-Auth-Token", "X-Subject-Token", "Range", "Upgrade",
};
enum { HOST, LENGTH, CODING, TYPE, EXPECT, TOKEN, SUBJECT, RANGE, UPGRADE };
G_STATIC_ASSERT(G_N_ELEMENTS(singletons) == UPGRADE + 1);

static bool is_token(const char *text)
{
    if (!*text)
        return false;
    for (const char *p = text; *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr("!#$%&'*+-.^_`|~", *p))
            return false;
    return true;
}

static bool is_value(const char *text)
{
    for (const guchar *p = (const guchar *) text; *p; p++)
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

bool gate_host(const char *text)
{
    const char *p = text;
    if (*p == '[') {
        const char *close = strchr(p, ']');
        if (!close || close == p + 1)
            return false;
        for (p++; p < close; p++)
            if (!g_ascii_isxdigit(*p) && *p != ':' && *p != '.')
                return false;
        p++;
    } else {
        while (g_ascii_isalnum(*p) || (*p && strchr("-._", *p)))
            p++;
        if (p == text || p - text > 253)
            return false;
    }
    guint64 port;
    return !*p || (*p == ':' && g_ascii_string_to_unsigned(p + 1, 10, 1, 65535, &port, NULL));
}

bool gate_layout(const GateHead *h)
{
    if (h->target != h->method + strlen(h->method) + 1 || h->version != h->target + h->target_len + 1)
        return false;
    const char *next = h->version + strlen(h->version) + 2;
    for (guint i = 0; i < MIN(h->n_headers, GATE_HEADERS_MAX); i++) {
        const char *name = h->headers[i].name, *value = h->headers[i].value;
        if (name != next || value < name)
            return false;
        const char *p = name + strlen(name) + 1;     /* the colon became NUL */
        while (p < value && (*p == ' ' || *p == '\t'))
            p++;
        if (p != value)
            return false;
        next = value + strlen(value) + 2;
    }
    return h->n_headers > GATE_HEADERS_MAX || next + 2 == h->method + h->size;
}

static int refuse(const char **ret_why, int status, const char *why)
{
    *ret_why = why;
    return status;
}

static int check_method(const char *name, GateResult *r, const char **ret_why)
{
    for (guint i = 0; i < G_N_ELEMENTS(methods); i++)
        if (strcmp(methods[i].name, name) == 0) {
            r->head = strcmp(name, "HEAD") == 0;
            r->method = r->head ? methods[0].name : methods[i].name;
            return methods[i].status ? refuse(ret_why, methods[i].status, "The method is not allowed.") : 0;
        }
    return refuse(ret_why, 501, "The method is not known.");
}

static int check_framing(const char *const *v, bool old, GateResult *r, const char **ret_why)
{
    r->content_length = -1;
    if (v[LENGTH]) {
        size_t n = strspn(v[LENGTH], "0123456789");
        if (n == 0 || n > 18 || v[LENGTH][n])
            return refuse(ret_why, 400, "Content-Length must be one number.");
        r->content_length = g_ascii_strtoll(v[LENGTH], NULL, 10);
    }
    if (v[CODING]) {
        if (v[LENGTH])
            return refuse(ret_why, 400, "Content-Length and Transfer-Encoding exclude each other.");
        if (old || g_ascii_strcasecmp(v[CODING], "chunked") != 0)
            return refuse(ret_why, 400, "The only Transfer-Encoding accepted is chunked.");
        r->chunked = true;
    }
    if (v[EXPECT]) {
        if (g_ascii_strcasecmp(v[EXPECT], "100-continue") != 0)
            return refuse(ret_why, 417, "The only expectation met is 100-continue.");
        r->expect_continue = !old;
    }
    /* Ignoring it would be right too, but then a front proxy that believes in it could be led to forward what follows unread. */
    if (v[UPGRADE] && g_ascii_strncasecmp(v[UPGRADE], "h2c", 3) == 0)
        return refuse(ret_why, 400, "HTTP/2 is not spoken here.");
    return 0;
}

int gate_check(const GateHead *h, GateResult *r, const char **ret_why)
{
    const char *seen[G_N_ELEMENTS(singletons)] = { NULL };
    bool old = strcmp(h->version, "HTTP/1.0") == 0;
    *r = (GateResult){ .content_length = -1 };
    if (h->n_headers > GATE_HEADERS_MAX || h->size > GATE_HEAD_MAX)
        return refuse(ret_why, 431, "The request has too many or too long headers.");
    if (!old && strcmp(h->version, "HTTP/1.1") != 0)
        return refuse(ret_why, 505, "HTTP/1.1 is spoken here.");
    int status = check_method(h->method, r, ret_why);
    if (status)
        return status;
    for (guint i = 0; i < h->n_headers; i++) {
        if (!is_token(h->headers[i].name) || !is_value(h->headers[i].value))
            return refuse(ret_why, 400, "A header is malformed.");
        for (guint k = 0; k < G_N_ELEMENTS(singletons); k++) {
            if ((h->headers[i].name[0] | 32) != (singletons[k][0] | 32) || g_ascii_strcasecmp(h->headers[i].name, singletons[k]) != 0)
                continue;
            if (seen[k])
                return refuse(ret_why, 400, "A header that may appear once appears twice.");
            seen[k] = h->headers[i].value;
        }
    }
    if (!gate_layout(h))
        return refuse(ret_why, 400, "The request is malformed.");
    if (!seen[HOST] && !old)
        return refuse(ret_why, 400, "The Host header is missing.");
    if (seen[HOST] && !gate_host(seen[HOST]))
        return refuse(ret_why, 400, "The Host header is malformed.");
    r->host = seen[HOST];
    return check_framing(seen, old, r, ret_why);
}

const char *gate_reason(int status)
{
    static const struct { int status; const char *text; } rows[] = {
        { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 206, "Partial Content" }, { 300, "Multiple Choices" },
        { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" }, { 408, "Request Timeout" }, { 409, "Conflict" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" }, { 417, "Expectation Failed" }, { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 503, "Service Unavailable" }, { 505, "HTTP Version Not Supported" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].status == status)
            return rows[i].text;
    return "Error";
}
