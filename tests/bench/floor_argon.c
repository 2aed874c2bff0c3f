/* tests/bench/floor_argon.c -- the floor of logins: two threads that do nothing but verify an Argon2id hash of 19 MiB, two passes.  SECONDS → hashes a second. */
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 2 };
static const char password[] = "a password of the usual length";
static char hash[crypto_pwhash_STRBYTES];
static double until;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void *work(void *count)
{
    for (; now() < until; ++*(long *) count)
        if (crypto_pwhash_str_verify(hash, password, strlen(password)) != 0)
            exit(1);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[SLOTS];
    long counts[SLOTS] = { 0 }, n = 0;
    if (argc != 2 || sodium_init() < 0
        || crypto_pwhash_str_alg(hash, password, strlen(password), 2, 19 * 1024 * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return 2;
    double begin = now();
    until = begin + strtod(argv[1], NULL);
    for (int i = 0; i < SLOTS; i++)
        if (pthread_create(&threads[i], NULL, work, &counts[i]) != 0)
            return 1;
    for (int i = 0; i < SLOTS; i++) {
        pthread_join(threads[i], NULL);
        n += counts[i];
    }
    printf("%.1f\n", (double) n / (now() - begin));
    return 0;
}
