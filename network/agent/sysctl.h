/* network/agent/sysctl.h -- what is set at an interface under /proc/sys/net, in the calling thread's namespace. */
#pragma once
#include <stdbool.h>

/* Of net.<family>.conf.<device>; a list ends with an empty one. */
typedef struct Sysctl { const char *family, *name, *value; } Sysctl;
/* Writes those that differ.  What the kernel does not have is no error, and is as it should be. */
void sysctl_ensure(const char *device, const Sysctl *list);
bool sysctl_are(const char *device, const Sysctl *list);
/* An interface by which the host itself says nothing: it only passes on what others send. */
void sysctl_silence(const char *device);
bool sysctl_silent(const char *device);
