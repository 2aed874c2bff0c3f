/* api/api.h -- the services behind one port, and what happens between a request and its handler. */
#pragma once
#include "api/http.h"
#include "core/dialect.h"
#include "db/db.h"
#include "ops/agent.h"

/* One row of api/registry.c: the only place that knows the services by name. */
typedef struct Service {
    const char *name, *prefix;           /* "compute", "/compute/v2.1" */
    const Dialect *dialect;
    const Route *routes;
} Service;
extern const Service services[];         /* ended by name NULL */
extern const Service metadata_service;   /* behind the guests' listener */

/* Every resource of the program, for lint, schema and documents; ended by NULL. */
extern const Resource *const resources[];

/* Prepares the route tables: each route has a rule and a handler.  Called once. */
bool router_start(Db *db, GError **err);
/* HttpOptions.handle and .streams of the API port and of the metadata listener. */
void router_handle(HttpRequest *req, void *data);
bool router_streams(const char *method, const char *path, gint64 *ret_max);
bool router_slow(const char *method, const char *path);
void router_handle_metadata(HttpRequest *req, void *data);
/* An agent whose descriptors do not reach us (it is on another machine) tells of guests' connections that it keeps: they are fetched for the server,
 * which is set before events come. */
extern const AgentEvent metadata_events[];
void metadata_set_server(HttpServer *server);
/* Calls fn for each route: documents and tests. */
void router_each(void (*fn)(const Service *service, const Route *route, void *data), void *data);
/* HttpOptions.quick: reads of a few rows, which answer faster than a hand-over to a worker takes. */
bool router_quick(const char *method, const char *path);
/* Sets the server whose counters /metrics shows. */
void router_set_server(const HttpServer *server);

/* The engine behind routes without a handler of their own (api/resource.c). */
Handler resource_handle;

/* Routes of api/ itself: version documents, health, metrics, pages. */
extern const Route root_routes[];
Handler version_root, version_identity, version_identity_v3, version_compute, version_compute_v21, version_image, version_network, version_network_v2;

/* What the request's If-Match says of revisions; *ret_given false: nothing.  NV_ERR_INVALID as Neutron words it.  Refers to c. */
bool match_read(const Call *c, RevisionMatch *ret_match, bool *ret_given, GError **err);

/* HTTP status of an error in a dialect. */
int dialect_status(const Dialect *d, NvErr code);
