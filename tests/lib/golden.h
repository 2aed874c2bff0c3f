/* tests/lib/golden.h -- golden files of unit tests.  NUVOLET_GOLDEN=write rewrites them; a person reviews the difference. */
#pragma once
#include "core/json.h"
#include <string.h>

/* text is what the file says. */
static inline void golden_check(const char *path, const char *text)
{
    g_autofree char *expected = NULL;
    if (g_strcmp0(g_getenv("NUVOLET_GOLDEN"), "write") == 0)
        assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_true(g_file_get_contents(path, &expected, NULL, NULL));
    assert_string_equal(text, expected);
}

/* For each NAME.json in dir: what render makes of it is NAME followed by suffix.  Returns how many there are. */
static inline int golden_each(const char *dir, const char *suffix, char *(*render)(const json_t *input, GError **err))
{
    g_autoptr(GDir) files = g_dir_open(dir, 0, NULL);
    const char *file;
    int n = 0;
    assert_non_null(files);
    while ((file = g_dir_read_name(files))) {
        if (!g_str_has_suffix(file, ".json"))
            continue;
        g_autofree char *in = g_strdup_printf("%s/%s", dir, file);
        g_autofree char *path = g_strdup_printf("%s/%.*s%s", dir, (int) strlen(file) - 5, file, suffix);
        g_autoptr(json_t) input = json_load_file(in, 0, NULL);
        g_autoptr(GError) err = NULL;
        assert_non_null(input);
        g_autofree char *text = render(input, &err);
        if (err)
            fail_msg("%s: %s", in, err->message);
        assert_non_null(text);
        golden_check(path, text);
        n++;
    }
    return n;
}
