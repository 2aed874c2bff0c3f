/* tests/fuzz/json.c -- the JSON reader for strangers: whatever it accepts is written and read again as the same value. */
#include "core/error.h"
#include "core/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t n)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(json_t) value = json_parse_strict((const char *) data, n, &err);
    if (!value) {
        g_assert(err && *err->message);
        return 0;
    }
    g_assert(!err);
    g_autofree char *text = json_text(value);
    g_autoptr(json_t) again = json_parse_strict(text, strlen(text), NULL);
    g_assert(again && json_equal(value, again));
    return 0;
}
