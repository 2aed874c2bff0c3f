/* core/fault.c -- fault points: rules from NUVOLET_FAULT, counted and carried out; the trace of passed names. */
#include "core/fault.h"
#include "core/error.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAUSE_US = 2 * G_USEC_PER_SEC };
typedef enum { MODE_KILL, MODE_FAIL, MODE_FATAL, MODE_PAUSE } Mode;
typedef struct Rule { char *name; int left; Mode mode; } Rule;

/* The linker's bounds of the section that fault_point fills; weak: a program without points links too. */
extern const char __start_nv_faults[] __attribute__((weak));
extern const char __stop_nv_faults[] __attribute__((weak));

static GMutex lock;
static GArray *rules;              /* of Rule; under lock */
static int trace_fd = -1;          /* set once, before state becomes ON */
static enum { UNKNOWN, OFF, ON } state;   /* atomic */

static void rule_clear(void *rule)
{
    g_free(((Rule *) rule)->name);
}

static Mode mode_parse(const char *name)
{
    static const char *const names[] = { [MODE_KILL] = "kill", [MODE_FAIL] = "fail", [MODE_FATAL] = "fatal", [MODE_PAUSE] = "pause" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_str_equal(names[i], name))
            return (Mode) i;
    g_error("fault rule: mode \"%s\" is not kill, fail, fatal or pause", name);
}

/* name[@k]:mode */
static Rule rule_parse(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        g_error("fault rule \"%s\" has no mode", text);
    Rule rule = { .name = g_strndup(text, (gsize) (colon - text)), .left = 1, .mode = mode_parse(colon + 1) };
    char *at = strrchr(rule.name, '@');
    if (at) {
        rule.left = (int) g_ascii_strtoll(at + 1, NULL, 10);
        *at = '\0';
    }
    if (rule.left < 1)
        g_error("fault rule \"%s\": the count begins with 1", text);
    return rule;
}

static void load_rules(const char *spec)
{
    g_clear_pointer(&rules, g_array_unref);
    if (!spec || !*spec)
        return;
    rules = g_array_new(FALSE, FALSE, sizeof(Rule));
    g_array_set_clear_func(rules, rule_clear);
    g_auto(GStrv) parts = g_strsplit(spec, ",", -1);
    for (char **part = parts; *part; part++) {
        Rule rule = rule_parse(g_strstrip(*part));
        g_array_append_val(rules, rule);
    }
}

static void settle_state(void)
{
    g_atomic_int_set(&state, rules || trace_fd >= 0 ? ON : OFF);
}

static void read_environment(void)
{
    g_mutex_lock(&lock);
    if (g_atomic_int_get(&state) == UNKNOWN) {
        const char *trace = getenv("NUVOLET_FAULT_TRACE");
        if (trace && *trace)
            trace_fd = open(trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        load_rules(getenv("NUVOLET_FAULT"));
        settle_state();
    }
    g_mutex_unlock(&lock);
}

void fault_arm(const char *spec)
{
    read_environment();
    g_mutex_lock(&lock);
    load_rules(spec);
    settle_state();
    g_mutex_unlock(&lock);
}

/* The mode of the rule that is due at this passing, or -1. */
static int take_rule(const char *name, const char *full)
{
    int mode = -1;
    g_mutex_lock(&lock);
    for (guint i = 0; rules && i < rules->len; i++) {
        Rule *rule = &g_array_index(rules, Rule, i);
        if (rule->left < 1 || !(g_str_equal(rule->name, name) || g_str_equal(rule->name, full)))
            continue;
        if (--rule->left == 0)
            mode = (int) rule->mode;
    }
    g_mutex_unlock(&lock);
    return mode;
}

static bool pass(const char *name, const char *full, GError **err)
{
    if (trace_fd >= 0) {
        g_autofree char *line = g_strconcat(full, "\n", NULL);
        if (write(trace_fd, line, strlen(line)) < 0)
            g_error("the fault trace cannot be written");
    }
    switch (take_rule(name, full)) {
    case MODE_KILL:
        kill(getpid(), SIGKILL);
        pause();
        return false;
    case MODE_FAIL:
        return nv_fail(err, NV_ERR_AGENT, "fault injected at %s", full);
    case MODE_FATAL:
        return nv_fail(err, NV_ERR_HOST_FAULT, "fault injected at %s", full);
    case MODE_PAUSE:
        g_usleep(PAUSE_US);
        return true;
    default:
        return true;
    }
}

static bool enabled(void)
{
    if (g_atomic_int_get(&state) == UNKNOWN)
        read_environment();
    return g_atomic_int_get(&state) == ON;
}

bool fault_pass(const char *name, GError **err)
{
    return !enabled() || pass(name, name, err);
}

bool fault_pass_at(const char *name, const char *detail, const char *detail2, GError **err)
{
    if (!enabled())
        return true;
    g_autofree char *full = g_strconcat(name, "=", detail, detail2 ? "/" : NULL, detail2, NULL);
    return pass(name, full, err);
}

void fault_each(void (*fn)(const char *name, void *data), void *data)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    /* Sanitizers pad the section with zeros. */
    for (const char *p = __start_nv_faults; p && p < __stop_nv_faults; p += strlen(p) + 1)
        if (*p && g_hash_table_add(seen, (char *) p))
            fn(p, data);
}
