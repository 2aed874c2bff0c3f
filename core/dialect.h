/* core/dialect.h -- what differs between the services' APIs: one struct a service, filled in api/dialect.c. */
#pragma once
#include "core/clock.h"
#include "core/table.h"

struct Dialect {
    const char *name;                /* "nova" */
    const char *service_type;        /* "compute" */
    ClockStyle clock;
    bool lax_types;                  /* "true" and "64" accepted where a boolean or a number is meant */
    bool bool_words;                 /* so are "yes", "off" and the like (Neutron) */
    bool admin_lists_all;            /* an administrator's list is over all projects without asking (Neutron, Glance) */
    bool flat;                       /* one resource is not wrapped in {"one": …} (Glance) */
    bool unknown_filter_ignored;     /* query parameters that name no field are ignored instead of 400 */
    bool name_regex;                 /* name= is a regular expression (Nova) */
    bool revision_match;             /* If-Match: revision_number=N says at which revision a row may be changed (Neutron) */
    int mv_min, mv_max;              /* microversions; 0,0: none */
    const char *mv_service;          /* in "OpenStack-API-Version: compute 2.93"; NULL: none */
    const char *mv_legacy;           /* "X-OpenStack-Nova-API-Version", or NULL */
    int mv_major;
    int created;                     /* status of a successful POST on a generic resource */
    int updated;
    int quota_status;                /* 403 in Nova, 409 in Neutron, 413 in Cinder and Glance */
    /* Writes the whole error body. */
    void (*error)(JsonW *w, int status, NvErr code, const char *message, const char *request_id);
    /* Writes "links"-like members after the list, given the address of the next page (NULL: none) and of this list. */
    void (*list_links)(JsonW *w, const Resource *res, const char *self, const char *next, const char *previous);

};
