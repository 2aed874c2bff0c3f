/* api/pages.c -- health, metrics, and the dashboard's files out of the binary. */
#include "api/api.h"
#include "core/embed.h"
#include <string.h>
#include <unistd.h>

static const HttpServer *server;                 /* set once at start */

void router_set_server(const HttpServer *s)
{
    server = s;
}

/* 200 once the database answers. */
static bool health(Call *c, GError **err)
{
    gint64 n;
    if (!db_query_int(c->db, err, &n, "health", ""))
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_kstr(&w, "status", "ok");
    jw_end_object(&w);
    return true;
}

static void gauge(GString *out, const char *name, const char *help, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_string_append_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %s\n", name, help, name, name, g_ascii_formatd(text, sizeof text, "%.0f", value));
}

static double resident_bytes(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL))
        return 0;
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    return words[1] ? g_ascii_strtod(words[1], NULL) * (double) sysconf(_SC_PAGESIZE) : 0;
}

/* Prometheus text format. */
static bool metrics(Call *c, GError **err)
{
    call_begin(c, 200);
    c->content_type = "text/plain; version=0.0.4; charset=utf-8";
    g_autoptr(json_t) counts = db_query(c->db, err, "metric_counts", "");
    size_t i;
    json_t *row;
    if (!counts)
        return false;
    gauge(c->out, "nuvolet_process_resident_memory_bytes", "Resident memory of serve.", resident_bytes());
    gauge(c->out, "nuvolet_db_generation", "Commits since start.", (double) db_generation(c->db));
    const char *last = "";
    json_array_foreach(counts, i, row) {
        const char *name = json_get_str(row, "name"), *label = json_get_str(row, "label");
        if (strcmp(last, name) != 0)
            g_string_append_printf(c->out, "# TYPE nuvolet_%s gauge\n", name);
        g_string_append_printf(c->out, "nuvolet_%s{state=\"%s\"} %" G_GINT64_FORMAT "\n", name, label, json_get_int(row, "n", 0));
        last = name;
    }
    if (server)
        http_metrics(server, c->out);
    return true;
}

static const char *type_of(const char *path)
{
    static const struct { const char *suffix, *type; } types[] = {
        { ".html", "text/html; charset=utf-8" }, { ".js", "text/javascript; charset=utf-8" }, { ".css", "text/css; charset=utf-8" },
        { ".svg", "image/svg+xml" }, { ".json", "application/json" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_str_has_suffix(path, types[i].suffix))
            return types[i].type;
    return "application/octet-stream";
}

/* Everything comes from us, nothing runs inline, nobody frames it. */
static bool page(Call *c, GError **err)
{
    const char *name = c->params[0] ? c->params[0] : "index.html";
    g_autofree char *path = g_strconcat("dashboard/", name, NULL);
    gsize n;
    const char *bytes = embed_get(path, &n);
    if (!c->params[0] && !g_str_has_suffix(c->path, "/")) {
        call_header(c, "Location", "/dashboard/");
        return call_reply_empty(c, 302);
    }
    if (!bytes)
        return nv_fail(err, NV_ERR_NOT_FOUND, "There is no page %s.", name);
    call_begin(c, 200);
    g_string_append_len(c->out, bytes, (gssize) n);
    c->content_type = type_of(name);
    call_header(c, "Content-Security-Policy",
                "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'");
    call_header(c, "Referrer-Policy", "no-referrer");
    call_header(c, "X-Frame-Options", "DENY");
    call_header(c, "Cache-Control", "no-cache");
    return true;
}

const Route root_routes[] = {
    ROUTE("GET", "/", ANYONE, version_root),
    ROUTE("GET", "/healthcheck", ANYONE, health),
    ROUTE("GET", "/metrics", ANYONE, metrics),
    ROUTE("GET", "/dashboard", ANYONE, page),
    ROUTE("GET", "/dashboard/{file}", ANYONE, page),
    ROUTE("GET", "/identity", ANYONE, version_identity),
    ROUTE("GET", "/identity/v3", ANYONE, version_identity_v3),
    ROUTE("GET", "/compute", ANYONE, version_compute),
    ROUTE("GET", "/compute/v2", ANYONE, version_compute_v21),
    ROUTE("GET", "/compute/v2.1", ANYONE, version_compute_v21),
    ROUTE("GET", "/image", ANYONE, version_image),
    ROUTE("GET", "/image/versions", ANYONE, version_image),
    ROUTE("GET", "/network", ANYONE, version_network),
    ROUTE("GET", "/network/v2.0", ANYONE, version_network_v2),
    ROUTES_END,
};
