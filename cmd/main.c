/* cmd/main.c -- one binary: nuvolet serve | agent | ctl. */
#include "cmd/cmd.h"
#include "core/conf.h"
#include "core/log.h"
#include "image/image.h"
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static int inspect_main(int argc, char **argv)
{
    return argc == 2 ? image_inspect_main(argv[1]) : 2;
}

/* clang-format off */
static const struct { const char *name; int (*run)(int argc, char **argv); const char *help; } commands[] = {
    { "serve",   serve_main,   "the REST service: API, database, operations; needs no privileges" },
    { "agent",   agent_main,   "one a host, as root: guests, networks, disks" },
    { "ctl",     ctl_main,     "status | doctor [--fix] | ops | schema RESOURCE | log LEVEL | conf" },
    { "inspect", inspect_main, NULL },
};
/* clang-format on */

static int usage(void)
{
    fputs("usage: nuvolet COMMAND [--config FILE] [--set group.key=value]…\n", stderr);
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (commands[i].help)
            fprintf(stderr, "  %-6s %s\n", commands[i].name, commands[i].help);
    return 2;
}

static bool load_file(int argc, char **argv, GError **err)
{
    static const char usual[] = "/etc/nuvolet/nuvolet.conf";
    const char *path = g_file_test(usual, G_FILE_TEST_EXISTS) ? usual : NULL;
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--config") == 0)
            path = argv[i + 1];
    return conf_load(path, err);
}

bool cmd_configure(int *argc, char **argv, GError **err)
{
    int left = 1;
    if (!load_file(*argc, argv, err))
        return false;
    for (int i = 1; i < *argc; i++) {
        if (i + 1 < *argc && strcmp(argv[i], "--config") == 0) {
            i++;
        } else if (i + 1 < *argc && strcmp(argv[i], "--set") == 0) {
            g_auto(GStrv) pair = g_strsplit(argv[++i], "=", 2);
            if (!pair[0] || !pair[1])
                return nv_fail(err, NV_ERR_INVALID, "--set wants group.key=value, not '%s'", argv[i]);
            if (!conf_override(g_strstrip(pair[0]), g_strstrip(pair[1]), err))
                return false;
        } else
            argv[left++] = argv[i];
    }
    *argc = left;
    argv[left] = NULL;
    LogLevel level;
    if (!log_level_parse(conf_str("log.level"), &level))
        return nv_fail(err, NV_ERR_INVALID, "configuration: log.level must be error, warn, info or debug");
    log_level_set(level);
    return true;
}

int main(int argc, char **argv)
{
    randombytes_set_implementation(&randombytes_internal_implementation);   /* a request id should not cost a system call */
    if (sodium_init() < 0)
        return 1;
    json_object_seed(randombytes_random());      /* now, and not from /dev/urandom later, behind a filter that forbids it */
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc > 1 && i < G_N_ELEMENTS(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return usage();
}
