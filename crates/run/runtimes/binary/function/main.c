/* Counts the rows of a table by the values of one column. The table is plain:
   no cell of it has a comma. `./build.sh` makes `main` of this, a static
   program: it runs in a root that holds nothing but itself and its inputs. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VALUES_MAX = 10000, LINE_MAX_BYTES = 65536 };

static struct { char *value; long rows; } counts[VALUES_MAX];
static int values;

static void fail(const char *why, const char *what) {
    fprintf(stderr, "%s %s\n", why, what);
    exit(1);
}

static void add(const char *value) {
    for (int i = 0; i < values; i++)
        if (strcmp(counts[i].value, value) == 0) { counts[i].rows++; return; }
    if (values == VALUES_MAX) fail("there are too many values of", "the column");
    counts[values].value = strdup(value);
    counts[values++].rows = 1;
}

static int in_order(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* The cell with this number in a line, which is cut up. */
static char *cell(char *line, int number) {
    line[strcspn(line, "\r\n")] = 0;
    for (; number && line; number--) {
        line = strchr(line, ',');
        if (line) line++;
    }
    if (!line) return "";
    line[strcspn(line, ",")] = 0;
    return line;
}

static int column_of(const char *head, const char *by) {
    static char copy[LINE_MAX_BYTES];
    int columns = 1;
    for (const char *at = head; *at; at++) columns += *at == ',';
    for (int i = 0; i < columns; i++) {
        strcpy(copy, head);
        if (strcmp(cell(copy, i), by) == 0) return i;
    }
    fail("there is no column", by);
    return 0;
}

static void count(const char *by) {
    static char path[4096], line[LINE_MAX_BYTES];
    struct dirent *entry;
    DIR *data = opendir("/data");
    while (data && (entry = readdir(data))) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/data/%s", entry->d_name);
        FILE *table = fopen(path, "r");
        if (!table || !fgets(line, sizeof line, table)) fail("could not read", path);
        int column = column_of(line, by), rows = 0;
        for (; fgets(line, sizeof line, table); rows++) add(cell(line, column));
        printf("counted %d rows\n", rows);
        fclose(table);
    }
}

int main(void) {
    static char args[65536], by[200];
    long least = 1;
    if (read(0, args, sizeof args - 1) < 0) fail("could not read", "the arguments");
    char *at = strstr(args, "\"by\":\"");
    if (!at || sscanf(at, "\"by\":\"%199[^\"\\]", by) != 1) fail("say which column:", "by");
    if ((at = strstr(args, "\"least\":"))) sscanf(at, "\"least\":%ld", &least);
    count(by);
    qsort(counts, values, sizeof counts[0], in_order);
    FILE *out = fopen("/out/counts.csv", "w");
    if (!out) fail("could not write", "/out/counts.csv");
    fprintf(out, "%s,rows\n", by);
    const char *comma = "";
    dprintf(3, "{");
    for (int i = 0; i < values; i++) {
        if (counts[i].rows < least) continue;
        fprintf(out, "%s,%ld\n", counts[i].value, counts[i].rows);
        dprintf(3, "%s\"%s\":%ld", comma, counts[i].value, counts[i].rows);
        comma = ",";
    }
    dprintf(3, "}");
    return 0;
}
