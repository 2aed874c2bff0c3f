/* core/file.h -- files in directories that others may meddle with: opened beneath a directory, never through a symbolic link. */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* A descriptor that closes itself: g_auto(Fd) fd = open(…). */
typedef int Fd;
void file_close(int fd);
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(Fd, file_close, -1)

/* Opens the directory, making it (its parents too) when it is missing.  Refused unless its last component is a real directory, owned by
 * this process's user and writable by nobody else: a store that was swapped for another is NV_ERR_HOST_FAULT. */
int file_open_dir(const char *path, mode_t mode, GError **err);
/* The same for a directory inside dir_fd. */
int file_open_subdir(int dir_fd, const char *name, mode_t mode, GError **err);
/* Opens name beneath dir_fd (RESOLVE_BENEATH, no symbolic link anywhere).  Without O_DIRECTORY only a regular file with one link is
 * accepted.  -1 with err: NV_ERR_NOT_FOUND where there is nothing. */
int file_open_beneath(int dir_fd, const char *name, int flags, mode_t mode, GError **err);
/* Makes name.part anew for writing: whatever an interrupted attempt left under that name goes first. */
int file_open_part(int dir_fd, const char *part, mode_t mode, GError **err);
/* All bytes at their place; ENOSPC and EDQUOT are NV_ERR_NO_SPACE. */
bool file_write_at(int fd, const void *buf, gsize n, goffset offset, GError **err);
/* Makes part durable, renames it to name, makes the directory entry durable. */
bool file_publish(int dir_fd, int fd, const char *part, const char *name, GError **err);
/* Gives name this text in one step: who reads it, also after this process was killed, finds the old text or the new one.  Nothing is made durable,
 * which takes a write to the disk or two: for files that are compared and written again after the host's start.  One writer at a time. */
bool file_replace(int dir_fd, const char *name, const char *text, mode_t mode, GError **err);
/* Removes name and makes that durable; its absence is success. */
bool file_absent(int dir_fd, const char *name, GError **err);
/* Names in the directory, "." and ".." left out, sorted; NULL with err.  Free with g_ptr_array_unref. */
GPtrArray *file_names(int dir_fd, GError **err);
