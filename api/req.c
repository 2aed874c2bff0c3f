/* api/req.c -- birth and death of a request, and its headers. */
#include "api/req.h"
#include <string.h>
#include <unistd.h>

Req *req_new(Io *io, Conn *conn, const char *target)
{
    gsize n = strlen(target);
    Req *req = g_malloc(sizeof *req + n + 1);
    memset(req, 0, offsetof(Req, head));
    req->uri = (Uri){ 0 };
    req->head.target = target;
    req->head.target_len = n;
    req->head.n_headers = 0;
    memcpy(req->target, target, n + 1);
    atomic_init(&req->refs, 1);
    req->http.call.fd = -1;
    req->io = io;
    req->conn = conn;
    return req;
}

void req_free(Req *req)
{
    Call *c = &req->http.call;
    if (req->body)
        g_string_free(req->body, TRUE);
    if (req->ring)
        ring_free(req->ring);
    if (c->out)
        g_string_free(c->out, TRUE);
    if (c->headers)
        g_ptr_array_unref(c->headers);
    if (c->fd >= 0)
        close(c->fd);
    g_free(req->header_copy);
    uri_done(&req->uri);
    g_free(req);
}

static const char *header(const Call *call, const char *name)
{
    const Req *req = (const Req *) (const void *) call;
    for (guint i = 0; i < req->head.n_headers; i++)
        if ((name[0] | 32) == (req->head.headers[i].name[0] | 32) && g_ascii_strcasecmp(req->head.headers[i].name, name) == 0)
            return req->head.headers[i].value;
    return NULL;
}

void req_copy_headers(Req *req)
{
    GString *all = g_string_new(NULL);
    for (guint i = 0; i < req->head.n_headers; i++) {
        g_string_append_len(all, req->head.headers[i].name, (gssize) strlen(req->head.headers[i].name) + 1);
        g_string_append_len(all, req->head.headers[i].value, (gssize) strlen(req->head.headers[i].value) + 1);
    }
    if (req->http.host)
        g_string_append(all, req->http.host);
    const char *p = req->header_copy = g_string_free(all, FALSE);
    for (guint i = 0; i < req->head.n_headers; i++) {
        req->head.headers[i].name = p;
        req->head.headers[i].value = p = p + strlen(p) + 1;
        p += strlen(p) + 1;
    }
    if (req->http.host)
        req->http.host = p;
}

void req_fill_call(Req *req)
{
    Call *c = &req->http.call;
    c->method = req->gate.method;
    c->head = req->gate.head;
    c->path = req->uri.path;
    c->query = req->uri.query;
    c->n_query = req->uri.n_query;
    c->header = header;
    req->http.host = req->gate.host;
    req->http.network_id = req->conn->network;
    req->http.via = req->conn->via;
    memcpy(req->client, req->conn->client, sizeof req->client);
    c->client = req->client;
}
