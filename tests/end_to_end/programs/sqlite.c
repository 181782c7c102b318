// Drives SQLite with a file database: SQL from standard input, one statement a line, and a nap after
// each, also inside transactions. The line "close" closes the database and opens it again.
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int row(void *unused, int columns, char **values, char **names) {
    (void)unused;
    for (int i = 0; i < columns; i++)
        printf("%s%s=%s", i ? " | " : "", names[i], values[i] ? values[i] : "NULL");
    putchar('\n');
    return 0;
}

static void nap(void) {
    struct timespec time = {0, 2000000};
    nanosleep(&time, NULL);
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : ":memory:";
    sqlite3 *db;
    if (sqlite3_open(path, &db) != SQLITE_OK) {
        printf("cannot open %s: %s\n", path, sqlite3_errmsg(db));
        return 1;
    }
    char line[4096];
    int failures = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "close\n") == 0) {
            sqlite3_close(db);
            nap();
            sqlite3_open(path, &db);
            continue;
        }
        char *message = NULL;
        if (sqlite3_exec(db, line, row, NULL, &message) != SQLITE_OK) {
            printf("error: %s\n", message);
            sqlite3_free(message);
            failures++;
        }
        fflush(stdout);
        nap();
    }
    printf("changes %d failures %d\n", sqlite3_total_changes(db), failures);
    sqlite3_close(db);
    return failures;
}
