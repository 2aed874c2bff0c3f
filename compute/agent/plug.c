/* compute/agent/plug.c -- a guest's end of a tap: what libvirt, QEMU and the kernel tell of it, and how it is joined to a tap that was made anew. */
#include "compute/agent/plug.h"
#include "core/error.h"
#include "core/file.h"
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TUN "/dev/net/tun"
enum { TUN_MAJOR = 10, TUN_MINOR = 200, INFO_MAX = 4096 };

/* ---- what is told ---- */

typedef struct Reading { GArray *ends; PlugEnd end; bool inside; } Reading;

static const char *attribute(const char *name, const char **names, const char **values)
{
    for (; *names; names++, values++)
        if (strcmp(*names, name) == 0)
            return *values;
    return "";
}

/* libvirt's rule of who has the header. */
static void take_model(PlugEnd *end, const char *model)
{
    end->virtio = g_str_has_prefix(model, "virtio");
    end->header = end->virtio || strcmp(model, "e1000e") == 0 || strcmp(model, "vmxnet3") == 0;
}

static void on_start(GMarkupParseContext *c, const char *element, const char **names, const char **values, gpointer data, GError **err)
{
    Reading *r = data;
    const GSList *path = g_markup_parse_context_get_element_stack(c);
    const char *parent = path->next ? path->next->data : "";
    (void) err;
    if (strcmp(element, "interface") == 0 && strcmp(parent, "devices") == 0) {
        r->end = (PlugEnd) { 0 };
        r->inside = true;
    }
    if (!r->inside || strcmp(parent, "interface") != 0)
        return;
    if (strcmp(element, "target") == 0)
        g_strlcpy(r->end.tap, attribute("dev", names, values), sizeof r->end.tap);
    else if (strcmp(element, "alias") == 0)
        g_strlcpy(r->end.alias, attribute("name", names, values), sizeof r->end.alias);
    else if (strcmp(element, "model") == 0)
        take_model(&r->end, attribute("type", names, values));
}

static void on_end(GMarkupParseContext *c, const char *element, gpointer data, GError **err)
{
    Reading *r = data;
    (void) c, (void) err;
    if (!r->inside || strcmp(element, "interface") != 0)
        return;
    r->inside = false;
    if (*r->end.tap && *r->end.alias)
        g_array_append_val(r->ends, r->end);
}

GArray *plug_ends(const char *xml)
{
    static const GMarkupParser parser = { .start_element = on_start, .end_element = on_end };
    Reading r = { .ends = g_array_new(FALSE, TRUE, sizeof(PlugEnd)) };
    g_autoptr(GMarkupParseContext) c = g_markup_parse_context_new(&parser, 0, &r, NULL);
    if (!g_markup_parse_context_parse(c, xml, -1, NULL) || !g_markup_parse_context_end_parse(c, NULL))
        g_array_set_size(r.ends, 0);
    return r.ends;
}

/* Lines as " \ hostnet0: index=0,type=tap,fd=32". */
int plug_fd(const char *networks, const char *alias)
{
    g_autofree char *start = g_strdup_printf("host%s: index=0,type=tap,fd=", alias);
    g_auto(GStrv) lines = g_strsplit(networks, "\n", -1);
    for (char **line = lines; *line; line++) {
        const char *text = *line + strspn(*line, " \\");
        if (!g_str_has_prefix(text, start))
            continue;
        const char *digits = text + strlen(start);
        gsize n = strspn(digits, "0123456789");
        return n > 0 && n < 7 ? (int) g_ascii_strtoll(digits, NULL, 10) : -1;
    }
    return -1;
}

static bool has_feature(const json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *) list, i, one) {
        const char *text = json_string_value(one);
        gsize n = strlen(name);
        if (text && strncmp(text, name, n) == 0 && (text[n] == ':' || !text[n]))
            return true;
    }
    return false;
}

/* Without a driver nothing is agreed on: QEMU sets the size when one comes.  (A driver that comes while the tap is away gets no say in QEMU 7.2, and
 * that guest needs to be started again.)  An older QEMU does not tell: what every driver of the last ten years asks for. */
int plug_header(const json_t *status)
{
    const json_t *features = json_object_get(json_object_get(status, "return"), "guest-features");
    const json_t *device = json_object_get(features, "dev-features");
    if (!features)
        return PLUG_HEADER_MERGED;
    if (has_feature(device, "VIRTIO_NET_F_HASH_REPORT"))
        return PLUG_HEADER_HASHED;
    bool merged = has_feature(device, "VIRTIO_NET_F_MRG_RXBUF") || has_feature(json_object_get(features, "transports"), "VIRTIO_F_VERSION_1");
    return merged ? PLUG_HEADER_MERGED : PLUG_HEADER;
}

bool plug_is_loose(const char *fdinfo)
{
    const char *at = g_str_has_prefix(fdinfo, "iff:") ? fdinfo : strstr(fdinfo, "\niff:");
    if (!at)
        return false;
    at += strlen(*at == '\n' ? "\niff:" : "iff:");
    at += strspn(at, " \t");
    return !*at || *at == '\n';
}

/* ---- joining ---- */

/* Of a descriptor that is ours by now: nobody can put another in its place. */
static bool examine(int file, bool *ret_loose, GError **err)
{
    char path[64], info[INFO_MAX] = "";
    struct stat st;
    g_snprintf(path, sizeof path, "/proc/self/fdinfo/%d", file);
    g_auto(Fd) fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, info, sizeof info - 1) < 0 || fstat(file, &st) < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "cannot examine a descriptor of QEMU");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(TUN_MAJOR, TUN_MINOR))
        return nv_fail(err, NV_ERR_HOST_FAULT, "what QEMU calls its tap is no tap");
    *ret_loose = plug_is_loose(info);
    return true;
}

static bool attach(int file, const PlugEnd *end, GError **err)
{
    struct ifreq ifr = { .ifr_flags = (short) (IFF_TAP | IFF_NO_PI | (end->header ? IFF_VNET_HDR : 0)) };
    g_strlcpy(ifr.ifr_name, end->tap, sizeof ifr.ifr_name);
    return ioctl(file, TUNSETIFF, &ifr) == 0 || nv_fail_errno(err, NV_ERR_AGENT, "joining a guest to its tap %s", end->tap);
}

/* Before QEMU's end is there, so that no frame has a header of the wrong size.  The size is the tap's, and outlives this descriptor.  Offloads stay
 * off: then the kernel makes whole frames, which every guest takes.  (The send buffer is the descriptor's, and as QEMU set it.)  A tap that is away
 * may be a deleted port's, and attaching would make it: then it is another than before, and goes with this descriptor. */
static bool prepare(const PlugEnd *end, int header, GError **err)
{
    unsigned index = if_nametoindex(end->tap);
    if (!index)
        return nv_fail(err, NV_ERR_AGENT, "tap %s is away", end->tap);
    g_auto(Fd) file = open(TUN, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, TUN);
    if (!attach(file, end, err))
        return false;
    if (if_nametoindex(end->tap) != index)
        return nv_fail(err, NV_ERR_AGENT, "tap %s was removed meanwhile", end->tap);
    return (ioctl(file, TUNSETOWNER, 0) == 0 && ioctl(file, TUNSETPERSIST, 1) == 0 && (!end->header || ioctl(file, TUNSETVNETHDRSZ, &header) == 0))
        || nv_fail_errno(err, NV_ERR_AGENT, "preparing tap %s", end->tap);
}

/* The open file in QEMU survives its tap, belongs to no interface, and takes another: what QEMU, or vhost with its socket, reads from is the same
 * before and after. */
bool plug_join(int process, int fd, const PlugEnd *end, int header, bool *ret_joined, GError **err)
{
    bool loose = false;
    g_auto(Fd) file = (int) syscall(SYS_pidfd_getfd, process, fd, 0);
    if (file < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "cannot get at QEMU's descriptor %d", fd);
    if (!examine(file, &loose, err) || (loose && (!prepare(end, header, err) || !attach(file, end, err))))
        return false;
    *ret_joined = loose;
    return true;
}
