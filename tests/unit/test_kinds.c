/* tests/unit/test_kinds.c -- the operations of the whole program: their stored names are only ever added to, and their tables make sense.
 * NUVOLET_GOLDEN=write adds what is new to tests/golden/op-kinds.txt; nothing is ever taken out of it. */
#include "compute/compute.h"
#include "network/network.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/op-kinds.txt"

static const OpKind *const *const lists[] = { compute_op_kinds, network_op_kinds, NULL };

/* All kinds, with those that are reached through on_fail only. */
static GPtrArray *all_kinds(void)
{
    GPtrArray *out = g_ptr_array_new();
    for (const OpKind *const *const *list = lists; *list; list++)
        for (const OpKind *const *kind = *list; *kind; kind++)
            for (const OpKind *k = *kind; k; k = k->on_fail)
                if (!g_ptr_array_find(out, k, NULL))
                    g_ptr_array_add(out, (void *) k);
    return out;
}

static void stored_names_stay(void **state)
{
    (void) state;
    g_autoptr(GPtrArray) kinds = all_kinds();
    g_autofree char *text = NULL;
    g_file_get_contents(GOLDEN, &text, NULL, NULL);
    g_auto(GStrv) old = g_strsplit(text ? text : "", "\n", -1);
    g_autoptr(GHashTable) now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) added = g_string_new(text);
    for (guint i = 0; i < kinds->len; i++) {
        const OpKind *kind = kinds->pdata[i];
        for (size_t s = 0; s < kind->n_steps; s++) {
            char *line = g_strdup_printf("%s %s", kind->name, kind->steps[s].name);
            if (!g_strv_contains((const char *const *) old, line))
                g_string_append_printf(added, "%s\n", line);
            g_hash_table_add(now, line);
        }
    }
    for (char **line = old; *line; line++)
        if (**line && !g_hash_table_contains(now, *line))
            fail_msg("\"%s\" is gone: a database may hold it; keep it, beside the new name", *line);
    if (g_strcmp0(getenv("NUVOLET_GOLDEN"), "write") == 0)
        assert_true(g_file_set_contents(GOLDEN, added->str, -1, NULL));
    else if (strcmp(added->str, text ? text : "") != 0)
        fail_msg("new steps are not in " GOLDEN " yet: run this test with NUVOLET_GOLDEN=write\n%s", added->str);
}

static void tables_make_sense(void **state)
{
    (void) state;
    g_autoptr(GPtrArray) kinds = all_kinds();
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < kinds->len; i++) {
        const OpKind *kind = kinds->pdata[i];
        if (!g_hash_table_add(names, (char *) kind->name))
            fail_msg("two kinds are called %s", kind->name);
        assert_true(kind->n_steps > 0);
        if (kind->preempts && !kind->never_gives_up)
            fail_msg("%s cancels its elders and may give up: what they made would stay", kind->name);
        if (kind->never_gives_up && kind->on_fail)
            fail_msg("%s never gives up, so it never becomes %s", kind->name, kind->on_fail->name);
        for (size_t s = 0; s < kind->n_steps; s++) {
            const Step *step = &kind->steps[s];
            if (!step->run == !step->verb)
                fail_msg("%s/%s must have either code or a verb", kind->name, step->name);
            if (step->verb && !g_str_has_suffix(step->verb, ".ensure") && !g_str_has_suffix(step->verb, ".absent"))
                fail_msg("%s/%s: verb %s is not safe to repeat", kind->name, step->name, step->verb);
            for (size_t t = 0; t < s; t++)
                if (strcmp(step->name, kind->steps[t].name) == 0)
                    fail_msg("%s has two steps %s", kind->name, step->name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(stored_names_stay), cmocka_unit_test(tables_make_sense) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
