/* core/error.c -- the table of error codes. */
#include "core/error.h"
#include <errno.h>
#include <string.h>

G_DEFINE_QUARK(nuvolet-error, nv_error)

/* clang-format off */
static const struct { const char *name; bool transient; } codes[NV_ERR_LAST] = {
    [NV_ERR_INTERNAL]       = { "internal",       false },
    [NV_ERR_INVALID]        = { "invalid",        false },
    [NV_ERR_UNAUTHORIZED]   = { "unauthorized",   false },
    [NV_ERR_FORBIDDEN]      = { "forbidden",      false },
    [NV_ERR_NOT_FOUND]      = { "not_found",      false },
    [NV_ERR_METHOD]         = { "method",         false },
    [NV_ERR_NOT_ACCEPTABLE] = { "not_acceptable", false },
    [NV_ERR_CONFLICT]       = { "conflict",       false },
    [NV_ERR_QUOTA]          = { "quota",          false },
    [NV_ERR_TOO_LARGE]      = { "too_large",      false },
    [NV_ERR_MEDIA_TYPE]     = { "media_type",     false },
    [NV_ERR_RANGE]          = { "range",          false },
    [NV_ERR_RATE]           = { "rate",           true  },
    [NV_ERR_NO_HOST]        = { "no_host",        false },
    [NV_ERR_AGENT]          = { "agent",          true  },
    [NV_ERR_HOST_FAULT]     = { "host_fault",     false },
    [NV_ERR_UNAVAILABLE]    = { "unavailable",    true  },
    [NV_ERR_NO_SPACE]       = { "no_space",       true  },
    [NV_ERR_CANCELLED]      = { "cancelled",      false },
    [NV_ERR_PRECONDITION]   = { "precondition",   false },
};
/* clang-format on */

bool nv_fail(GError **err, NvErr code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (err) {
        g_autofree char *message = g_strdup_vprintf(fmt, ap);
        g_set_error_literal(err, NV_ERROR, (int) code, message);
    }
    va_end(ap);
    return false;
}

bool nv_fail_errno(GError **err, NvErr code, const char *fmt, ...)
{
    int e = errno;
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *message = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return nv_fail(err, e == ENOSPC || e == EDQUOT ? NV_ERR_NO_SPACE : code, "%s: %s", message, g_strerror(e));
}

NvErr nv_error_code(const GError *err)
{
    return err && err->domain == NV_ERROR ? (NvErr) err->code : NV_ERR_INTERNAL;
}

bool nv_error_is_transient(const GError *err)
{
    return codes[nv_error_code(err)].transient;
}

const char *nv_error_name(NvErr code)
{
    return codes[code].name;
}

NvErr nv_error_from_name(const char *name)
{
    for (int i = 0; i < NV_ERR_LAST; i++)
        if (name && strcmp(codes[i].name, name) == 0)
            return (NvErr) i;
    return NV_ERR_INTERNAL;
}
