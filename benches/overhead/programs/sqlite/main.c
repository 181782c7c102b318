// SQLite in memory: inserts, an index, joins, text. The line in the middle is read by an SQL function, in the
// middle of a join, so that the statement's virtual machine is on the stack.
#include <sqlite3.h>
#include <string.h>

#include "../c/midway.h"

static sqlite3 *db;
static unsigned long long checksum = 14695981039346656037ULL;

static void add(const char *text) {
    for (; *text; text++) checksum = (checksum ^ (unsigned char)*text) * 1099511628211ULL;
}

static int row(void *unused, int columns, char **values, char **names) {
    (void)unused, (void)names;
    for (int i = 0; i < columns; i++) add(values[i] ? values[i] : "NULL");
    return 0;
}

static void run(const char *sql) {
    char *message = NULL;
    if (sqlite3_exec(db, sql, row, NULL, &message) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, message);
        exit(1);
    }
}

// wait_at(n, at) is n, and reads a line when n first reaches `at`.
static void wait_at(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    static int done;
    sqlite3_int64 n = sqlite3_value_int64(values[0]);
    if (!done && n >= sqlite3_value_int64(values[1])) {
        done = 1;
        midway();
    }
    sqlite3_result_int64(context, n);
}

static const char *const WORDS[] = {"zero", "one",   "two",   "three", "four",  "five",    "six",
                                    "seven", "eight", "nine", "ten",   "dozen", "hundred", "thousand"};

static void spell(char *out, unsigned n) {
    *out = 0;
    do {
        strcat(out, WORDS[n % 14]);
        strcat(out, " ");
        n /= 14;
    } while (n);
}

static unsigned seed = 20240617;
static unsigned next(void) { return seed = seed * 1664525u + 1013904223u; }

static void insert(const char *table, int rows) {
    char sql[100], text[200];
    sqlite3_stmt *statement;
    snprintf(sql, sizeof sql, "insert into %s values (?, ?, ?, ?)", table);
    sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    run("begin");
    for (int i = 1; i <= rows; i++) {
        unsigned n = next() >> 8;
        spell(text, n);
        sqlite3_bind_int(statement, 1, i);
        sqlite3_bind_int(statement, 2, (int)(n % (unsigned)rows));
        sqlite3_bind_double(statement, 3, n / 7.0);
        sqlite3_bind_text(statement, 4, text, -1, SQLITE_STATIC);
        sqlite3_step(statement);
        sqlite3_reset(statement);
    }
    run("commit");
    sqlite3_finalize(statement);
}

static void texts(int pattern) {
    char sql[300];
    snprintf(sql, sizeof sql, "select count(*), sum(length(upper(t))), max(substr(t, 3, 9)) from a where t like '%%%s%%'",
             WORDS[pattern % 14]);
    run(sql);
}

int main(int argc, char **argv) {
    int rows = argc > 1 ? atoi(argv[1]) : 20000;
    char sql[400];
    started();
    if (sqlite3_open(":memory:", &db) != SQLITE_OK) return 1;
    sqlite3_create_function(db, "wait_at", 2, SQLITE_UTF8, NULL, wait_at, NULL, NULL);
    run("pragma temp_store = memory;"
        "create table a (id integer primary key, n int, x real, t text);"
        "create table b (id integer primary key, n int, x real, t text)");
    insert("a", rows);
    insert("b", rows);
    for (int i = 0; i < 10; i++) texts(i);
    run("create index a_n on a (n); create index b_n on b (n); create index a_t on a (t)");
    for (int i = 0; i < rows; i++) {
        snprintf(sql, sizeof sql, "select count(*), avg(x) from a where n between %u and %u", i, i + 10);
        if (i % 8 == 0) run(sql);
    }
    // The join during which the program waits.
    snprintf(sql, sizeof sql,
             "select count(*), sum(a.x - b.x), max(a.t), sum(wait_at(a.id, %d)) from a join b on a.n = b.n "
             "where b.x > 100 and a.t > 'f'", rows / 2);
    run(sql);
    run("select n % 100, count(*), min(t), max(t) from b group by n % 100 order by 2 desc, 1");
    run("select t, x from a order by t desc, x limit 50");
    for (int i = 10; i < 20; i++) texts(i);
    run("begin; update a set x = x * 2, t = t || ' more' where n % 3 = 0; delete from b where n % 5 = 0; commit");
    for (int i = 0; i < rows; i++) {
        snprintf(sql, sizeof sql, "select t from b where id = %u", next() % (unsigned)rows);
        if (i % 4 == 0) run(sql);
    }
    run("select count(*), sum(a.x) from a, b where a.id = b.n and b.t like '%seven%'");
    run("pragma integrity_check");
    finished(checksum);
    return 0;
}
