/* compute/agent/xml.h -- writes XML: element and attribute names are literals of this program, values are always escaped. */
#pragma once
#include <glib.h>
#include <stdbool.h>

typedef struct Xml {
    GString *out;
    const char *open[16];        /* literals */
    int depth;
} Xml;

/* attributes: name and value in turn, ended by NULL; a NULL value leaves its attribute out. */
void xml_init(Xml *x);
/* <element …> with children to follow, until xml_end. */
void xml_begin(Xml *x, const char *element, ...) G_GNUC_NULL_TERMINATED;
void xml_end(Xml *x);
/* <element …/> */
void xml_leaf(Xml *x, const char *element, ...) G_GNUC_NULL_TERMINATED;
/* <element …>text</element> */
void xml_text(Xml *x, const char *text, const char *element, ...) G_GNUC_NULL_TERMINATED;
void xml_int(Xml *x, gint64 n, const char *element, ...) G_GNUC_NULL_TERMINATED;
/* The document; aborts where an element is still open.  Caller frees. */
char *xml_finish(Xml *x);
