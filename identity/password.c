/* identity/password.c -- passwords: Argon2id on two threads of their own, so that logins cost everybody else little. */
#include "core/log.h"
#include "identity/internal.h"
#include <errno.h>
#include <sched.h>
#include <sodium.h>
#include <string.h>

/* OWASP's minimum: 19 MiB, two passes.  Two slots bound memory and processor; more than QUEUE waiting are turned away.  A hash is 11 ms of pure
   computing, so it is done with what the others leave: SCHED_IDLE, and not only the lowest priority, since the kernel counts a processor that
   does just that as idle when it looks for one to wake a thread on (select_idle_sibling). */
enum { MEMORY = 19 * 1024 * 1024, PASSES = 2, SLOTS = 2, QUEUE = 32 };

typedef struct Job {
    const char *password;
    const char *stored;                          /* verify against it; NULL: make a hash */
    char hash[crypto_pwhash_STRBYTES];
    bool ok, done;
    GCond finished;                              /* its own: a hash wakes who waits for it, not the whole queue */
} Job;

/* One of no account, so that an unknown user costs what a known one costs. */
static const char dummy[] = "$argon2id$v=19$m=19456,t=2,p=1$o4rToYH5Ec0Bm1UlJlLdNA$M2fQuAafovLiah6/KwY3bDYBCb0rsjd1/DmQWgAZLTM";

/* The process's two hash threads and who waits for them. */
static GMutex lock;
static int pending;
static GThreadPool *pool;

static void run_job(gpointer data, gpointer unused)
{
    static __thread bool last_in_line;           /* this thread gave up its place already */
    Job *job = data;
    (void) unused;
    if (!last_in_line && sched_setscheduler(0, SCHED_IDLE, &(struct sched_param) { 0 }) != 0)
        log_warn("identity.hash_priority", "why", g_strerror(errno), NULL);
    last_in_line = true;
    size_t n = strlen(job->password);
    bool ok = job->stored ? crypto_pwhash_str_verify(job->stored, job->password, n) == 0
                          : crypto_pwhash_str_alg(job->hash, job->password, n, PASSES, MEMORY, crypto_pwhash_ALG_ARGON2ID13) == 0;
    g_mutex_lock(&lock);
    job->ok = ok;
    job->done = true;
    pending--;
    g_cond_signal(&job->finished);
    g_mutex_unlock(&lock);
}

/* Waits until one of the two threads has done the job. */
static bool submit(Job *job, GError **err)
{
    g_mutex_lock(&lock);
    if (pending >= SLOTS + QUEUE) {
        g_mutex_unlock(&lock);
        return nv_fail(err, NV_ERR_UNAVAILABLE, "too many logins at once; try again in a few seconds");
    }
    if (!pool)                                   /* exclusive: GLib lends the threads of other pools around, and these are slow ones */
        pool = g_thread_pool_new(run_job, NULL, SLOTS, TRUE, NULL);
    pending++;
    g_cond_init(&job->finished);
    g_thread_pool_push(pool, job, NULL);
    while (!job->done)
        g_cond_wait(&job->finished, &lock);
    g_mutex_unlock(&lock);
    g_cond_clear(&job->finished);
    return true;
}

char *password_hash(const char *password, GError **err)
{
    Job job = { .password = password };
    if (strlen(password) > PASSWORD_MAX)
        return nv_fail(err, NV_ERR_INVALID, "password may have at most %d bytes", PASSWORD_MAX), NULL;
    if (!submit(&job, err))
        return NULL;
    return job.ok ? g_strdup(job.hash) : (nv_fail(err, NV_ERR_UNAVAILABLE, "not enough memory to hash a password"), NULL);
}

bool password_verify(const char *hash, const char *password, bool *ret_match, GError **err)
{
    Job job = { .password = password, .stored = hash ? hash : dummy };
    if (strlen(password) > PASSWORD_MAX)
        return nv_fail(err, NV_ERR_INVALID, "password may have at most %d bytes", PASSWORD_MAX);
    if (!submit(&job, err))
        return false;
    *ret_match = job.ok && hash;
    return true;
}

char *password_new(void)
{
    static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    char text[25] = "";
    for (int i = 0; i < 24; i++)
        text[i] = letters[randombytes_uniform(sizeof letters - 1)];
    return g_strdup(text);
}
