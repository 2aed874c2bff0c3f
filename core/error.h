/* core/error.h -- what can go wrong: one closed list of codes, and the one way to report them. */
#pragma once
#include <glib.h>
#include <stdbool.h>

/* The code decides two things in one table each: whether an operation step that failed with it is worth repeating
 * (nv_error_is_transient) and which HTTP status and fault name each dialect gives it (api/dialect.c). */
typedef enum {
    NV_ERR_INTERNAL,       /* our fault */
    NV_ERR_INVALID,        /* the caller's value; the message names the field */
    NV_ERR_UNAUTHORIZED,   /* no or bad token */
    NV_ERR_FORBIDDEN,      /* a known caller who may not */
    NV_ERR_NOT_FOUND,      /* also: exists, but not for this caller */
    NV_ERR_METHOD,         /* path known, method not */
    NV_ERR_NOT_ACCEPTABLE, /* microversion or media type that we do not speak */
    NV_ERR_CONFLICT,       /* the state does not allow it now */
    NV_ERR_QUOTA,          /* a limit of the project */
    NV_ERR_TOO_LARGE,      /* more bytes or items than accepted */
    NV_ERR_MEDIA_TYPE,
    NV_ERR_RANGE,          /* byte range outside the file */
    NV_ERR_RATE,           /* too many tries; come back later */
    NV_ERR_NO_HOST,        /* the scheduler found no place; permanent, explained */
    NV_ERR_AGENT,          /* an agent could not do it now (busy, restarting, libvirt away): transient */
    NV_ERR_HOST_FAULT,     /* an agent could not do it and will not be able to: permanent */
    NV_ERR_UNAVAILABLE,    /* overloaded or shutting down: 503 */
    NV_ERR_NO_SPACE,       /* disk full */
    NV_ERR_CANCELLED,      /* a delete overtook it */
    NV_ERR_PRECONDITION,   /* it is no longer as the caller said it must be (If-Match) */
    NV_ERR_LAST
} NvErr;

#define NV_ERROR nv_error_quark()
GQuark nv_error_quark(void);

/* Sets *err and returns false, so that callers write `return nv_fail(err, ...)`; pointer functions `return nv_fail(...), NULL`. */
bool nv_fail(GError **err, NvErr code, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* As nv_fail, and appends ": " and the text of errno. */
bool nv_fail_errno(GError **err, NvErr code, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* The code of err; errors of other domains (GLib's) count as NV_ERR_INTERNAL. */
NvErr nv_error_code(const GError *err);
/* True where repeating the same step later may succeed. */
bool nv_error_is_transient(const GError *err);
/* Stable lower-case name ("not_found"), used on the wire and in logs; and back (unknown names: NV_ERR_INTERNAL). */
const char *nv_error_name(NvErr code);
NvErr nv_error_from_name(const char *name);
