/* compute/agent/xml.c -- the XML writer. */
#include "compute/agent/xml.h"

void xml_init(Xml *x)
{
    *x = (Xml) { .out = g_string_new(NULL) };
}

/* Characters that XML 1.0 cannot hold in any spelling become U+FFFD. */
static void append_escaped(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (c == '&')
            g_string_append(out, "&amp;");
        else if (c == '<')
            g_string_append(out, "&lt;");
        else if (c == '>')
            g_string_append(out, "&gt;");
        else if (c == '"')
            g_string_append(out, "&quot;");
        else if (c == '\'')
            g_string_append(out, "&apos;");
        else if (c == '\t' || c == '\n' || c == '\r')
            g_string_append_printf(out, "&#%u;", c);
        else if (c < 0x20 || c == 0xfffe || c == 0xffff)
            g_string_append_unichar(out, 0xfffd);
        else
            g_string_append_unichar(out, c);
    }
}

static void append_start(Xml *x, const char *element, va_list ap)
{
    g_string_append_printf(x->out, "%*s<%s", x->depth * 2, "", element);
    const char *name;
    while ((name = va_arg(ap, const char *))) {
        const char *value = va_arg(ap, const char *);
        if (!value)
            continue;
        g_string_append_printf(x->out, " %s='", name);
        append_escaped(x->out, value);
        g_string_append_c(x->out, '\'');
    }
}

void xml_begin(Xml *x, const char *element, ...)
{
    va_list ap;
    va_start(ap, element);
    append_start(x, element, ap);
    va_end(ap);
    g_string_append(x->out, ">\n");
    g_assert(x->depth < (int) G_N_ELEMENTS(x->open));
    x->open[x->depth++] = element;
}

void xml_end(Xml *x)
{
    g_assert(x->depth > 0);
    x->depth--;
    g_string_append_printf(x->out, "%*s</%s>\n", x->depth * 2, "", x->open[x->depth]);
}

void xml_leaf(Xml *x, const char *element, ...)
{
    va_list ap;
    va_start(ap, element);
    append_start(x, element, ap);
    va_end(ap);
    g_string_append(x->out, "/>\n");
}

static void append_text(Xml *x, const char *text, const char *element)
{
    g_string_append_c(x->out, '>');
    append_escaped(x->out, text ? text : "");
    g_string_append_printf(x->out, "</%s>\n", element);
}

void xml_text(Xml *x, const char *text, const char *element, ...)
{
    va_list ap;
    va_start(ap, element);
    append_start(x, element, ap);
    va_end(ap);
    append_text(x, text, element);
}

void xml_int(Xml *x, gint64 n, const char *element, ...)
{
    char text[24];
    g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, n);
    va_list ap;
    va_start(ap, element);
    append_start(x, element, ap);
    va_end(ap);
    append_text(x, text, element);
}

char *xml_finish(Xml *x)
{
    g_assert(x->depth == 0);
    return g_string_free(g_steal_pointer(&x->out), FALSE);
}
