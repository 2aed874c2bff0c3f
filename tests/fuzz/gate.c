/* tests/fuzz/gate.c -- the gate behind a lenient parser: a head that passes is one that a strict reader would read the same way. */
#include "api/uri.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/head.h"

/* Each line ends in CR LF; no bare CR or LF, no folded line. */
static void check_strict(const char *raw, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        g_assert(raw[i] != '\n' || (i && raw[i - 1] == '\r'));
        g_assert(raw[i] != '\r' || (i + 1 < n && raw[i + 1] == '\n'));
        g_assert(!(raw[i] == '\n' && i + 1 < n && (raw[i + 1] == ' ' || raw[i + 1] == '\t')));
    }
}

int LLVMFuzzerTestOneInput(const guint8 *data, size_t n)
{
    GateHead head;
    GateResult result = { 0 };
    const char *why = NULL;
    if (n >= sizeof memory || !lenient((const char *) data, n, &head))
        return 0;
    int status = gate_check(&head, &result, &why);
    g_assert((status == 0) == (why == NULL));
    g_autofree char *target = status ? NULL : g_strndup(head.target, head.target_len);
    g_auto(Uri) uri = { 0 };
    if (status || uri_parse(target, &uri))
        return 0;                                /* the target's own bytes are the decoder's to judge */
    /* The library writes NULs where lines end: one of the client's own in the place of a CR or LF cannot be told from them. */
    if (!memchr(data, 0, head.size))
        check_strict((const char *) data, head.size);
    g_assert(result.method && result.content_length >= -1 && !(result.chunked && result.content_length >= 0));
    g_assert(!result.host || gate_host(result.host));
    guint lengths = 0;
    for (guint i = 0; i < MIN(head.n_headers, (guint) GATE_HEADERS_MAX); i++)
        lengths += g_ascii_strcasecmp(head.headers[i].name, "Content-Length") == 0 || g_ascii_strcasecmp(head.headers[i].name, "Transfer-Encoding") == 0;
    g_assert(lengths <= 1);
    return 0;
}
