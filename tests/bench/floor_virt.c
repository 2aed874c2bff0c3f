/* tests/bench/floor_virt.c -- what libvirt itself needs to make a guest run: the floor under the time from POST to ACTIVE.
 *
 * floor_virt URI XML-FILE [TIMES [define]]: for each time one line with the milliseconds of virDomainCreateXML, or with "define" of
 * virDomainDefineXMLFlags and virDomainCreate together; then the guest is destroyed.
 * gcc -O2 -o floor_virt tests/bench/floor_virt.c $(pkg-config --cflags --libs libvirt) */
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int once(virConnectPtr conn, const char *xml, int define)
{
    double start = now_ms();
    virDomainPtr domain = define ? virDomainDefineXMLFlags(conn, xml, 0) : virDomainCreateXML(conn, xml, 0);
    if (!domain || (define && virDomainCreate(domain) < 0))
        return 1;
    printf("%.1f\n", now_ms() - start);
    fflush(stdout);
    virDomainDestroy(domain);
    if (define)
        virDomainUndefine(domain);
    virDomainFree(domain);
    return 0;
}

int main(int argc, char **argv)
{
    static char xml[1 << 16];
    FILE *file = argc >= 3 ? fopen(argv[2], "r") : NULL;
    if (!file || fread(xml, 1, sizeof xml - 1, file) == 0) {
        fprintf(stderr, "usage: floor_virt URI XML-FILE [TIMES [define]]\n");
        return 2;
    }
    fclose(file);
    virConnectPtr conn = virConnectOpen(argv[1]);
    int times = argc > 3 ? atoi(argv[3]) : 1, define = argc > 4 && strcmp(argv[4], "define") == 0, failed = !conn;
    for (int i = 0; !failed && i < times; i++)
        failed = once(conn, xml, define);
    if (conn)
        virConnectClose(conn);
    return failed;
}
