/* ops/finding.c -- what `ctl doctor` found on a host. */
#include "ops/agent.h"

void finding_free(Finding *finding)
{
    g_free(finding->host);
    g_free(finding->what);
    g_free(finding->verb);
    json_decref(finding->args);
    g_free(finding);
}

void finding_add(GPtrArray *findings, const char *host, const char *verb, json_t *args, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    Finding *finding = g_new0(Finding, 1);
    *finding = (Finding) { .host = g_strdup(host), .what = g_strdup_vprintf(format, ap), .verb = g_strdup(verb), .args = args };
    va_end(ap);
    g_ptr_array_add(findings, finding);
}
