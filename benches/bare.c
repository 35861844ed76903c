/* The least that a client can do, to compare with: it sends each changeset with its history row as one message (on SQLite:
 * one transaction), over WIDTH connections, and reads the answers. No journal, no lock, no checks, no recovery: any error
 * ends it.
 *
 *   bare KIND WIDTH ORDER TARGETS TEXTS SERVER
 *
 * KIND     schemas (of one PostgreSQL database), databases (of PostgreSQL), mysql (databases), sqlite (files)
 * ORDER    step: one changeset on all targets, then the next; tenant: all changesets on one target, then the next one;
 *          look: text 1 as it is, on all targets, and nothing of a history.
 *          With `databases` and `step`, WIDTH must be the number of targets: each keeps its connection.
 * TARGETS  a file with one target a line
 * TEXTS    a folder with 1.sql, 2.sql and so on: the changesets
 * SERVER   what libpq connects to (its dbname is added for `databases`); for MySQL `host port user password`; for SQLite -
 */
#include <libpq-fe.h>
#include <mariadb/mysql.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { SCHEMAS, DATABASES, MYSQL_KIND, SQLITE };

static const char *HISTORY_PG = "CREATE TABLE refinery_schema_history (version int4 PRIMARY KEY, name varchar(255), "
                                "applied_on varchar(255), checksum varchar(255));";
static const char *ROW = "INSERT INTO refinery_schema_history VALUES (%d, 'changeset %d', '2026-01-01T00:00:00Z', "
                         "'1234567890123456789');";

static enum kind kind;
static int width, by_step, looks, target_count, text_count;
static char **targets, **texts, *server;
static atomic_int next_turn;
static pthread_barrier_t barrier;

static void die(const char *what, const char *why) {
    fprintf(stderr, "bare: %s: %s\n", what, why);
    exit(1);
}

static char *slurp(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc(1, size + 1);
    if (fread(text, 1, size, file) != (size_t)size) die(path, "cannot be read");
    fclose(file);
    return text;
}

/* The message of changeset k (from 1) for a target: where, the history, the row, the text. */
static char *message(const char *target, int k) {
    char row[256], where[256] = "", *made = NULL;
    snprintf(row, sizeof row, ROW, k, k);
    if (kind == SCHEMAS) snprintf(where, sizeof where, "SET LOCAL search_path TO %s;", target);
    if (kind == MYSQL_KIND) snprintf(where, sizeof where, "USE %s;", target);
    const char *history = k == 1 ? HISTORY_PG : "";
    int ddl_commits = kind == MYSQL_KIND;
    if (asprintf(&made, "%s%s%s%s%s", where, history, ddl_commits ? "" : row, texts[k - 1], ddl_commits ? row : "") < 0)
        die(target, "no memory");
    return made;
}

struct session {
    PGconn *pg;
    MYSQL *my;
    sqlite3 *lite;
};

static void enter(struct session *s, const char *target) {
    if (kind == SCHEMAS || kind == DATABASES) {
        char conninfo[1024];
        const char *database = kind == DATABASES ? target : "";
        snprintf(conninfo, sizeof conninfo, "%s%s%s", server, *database ? " dbname=" : "", database);
        s->pg = PQconnectdb(conninfo);
        if (PQstatus(s->pg) != CONNECTION_OK) die(target, PQerrorMessage(s->pg));
    } else if (kind == MYSQL_KIND) {
        char host[128], user[64], password[64] = "";
        int port;
        if (sscanf(server, "%127s %d %63s %63s", host, &port, user, password) < 3) die(server, "host port user password");
        s->my = mysql_init(NULL);
        my_bool no = 0;
        mysql_optionsv(s->my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &no);
        if (!mysql_real_connect(s->my, host, user, password, NULL, port, NULL, CLIENT_MULTI_STATEMENTS))
            die(target, mysql_error(s->my));
    } else if (sqlite3_open(target, &s->lite) != SQLITE_OK) {
        die(target, sqlite3_errmsg(s->lite));
    }
}

static void leave(struct session *s) {
    if (s->pg) PQfinish(s->pg);
    if (s->my) mysql_close(s->my);
    if (s->lite) sqlite3_close(s->lite);
    memset(s, 0, sizeof *s);
}

static void apply(struct session *s, const char *target, int k) {
    char *text = looks ? strdup(texts[k - 1]) : message(target, k);
    if (s->pg) {
        PGresult *result = PQexec(s->pg, text);
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) die(target, PQerrorMessage(s->pg));
        PQclear(result);
    } else if (s->my) {
        int left = mysql_query(s->my, text);
        while (!left) {
            MYSQL_RES *rows = mysql_store_result(s->my);
            if (rows) mysql_free_result(rows);
            left = mysql_next_result(s->my);
        }
        if (left > 0) die(target, mysql_error(s->my));
    } else {
        char *why = NULL;
        if (sqlite3_exec(s->lite, "BEGIN IMMEDIATE", NULL, NULL, &why) || sqlite3_exec(s->lite, text, NULL, NULL, &why) ||
            sqlite3_exec(s->lite, "COMMIT", NULL, NULL, &why))
            die(target, why);
    }
    free(text);
}

static void *work(void *number) {
    struct session s = {0};
    int own = (int)(long)number, each = kind == DATABASES || kind == SQLITE;
    if (!by_step) {
        if (!each) enter(&s, targets[0]);
        for (int at; (at = atomic_fetch_add(&next_turn, 1)) < target_count;) {
            if (each) enter(&s, targets[at]);
            for (int k = 1; k <= text_count; k++) apply(&s, targets[at], k);
            if (each) leave(&s);
        }
        leave(&s);
        return NULL;
    }
    if (kind == DATABASES) enter(&s, targets[own]);
    if (!each) enter(&s, targets[0]);
    for (int k = 1; k <= text_count; k++) {
        if (kind == DATABASES) {
            apply(&s, targets[own], k);
        } else {
            for (int at; (at = atomic_fetch_add(&next_turn, 1)) < target_count;) {
                if (kind == SQLITE) enter(&s, targets[at]);
                apply(&s, targets[at], k);
                if (kind == SQLITE) leave(&s);
            }
        }
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) atomic_store(&next_turn, 0);
        pthread_barrier_wait(&barrier);
    }
    leave(&s);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 7) die("usage", "bare KIND WIDTH ORDER TARGETS TEXTS SERVER");
    const char *kinds[] = {"schemas", "databases", "mysql", "sqlite"};
    for (kind = SCHEMAS; kind <= SQLITE && strcmp(argv[1], kinds[kind]); kind++) {}
    if (kind > SQLITE) die(argv[1], "no such kind");
    width = atoi(argv[2]), by_step = !strcmp(argv[3], "step"), looks = !strcmp(argv[3], "look"), server = argv[6];
    char *list = slurp(argv[4]);
    if (!list) die(argv[4], "cannot be read");
    for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
        targets = realloc(targets, (target_count + 1) * sizeof *targets);
        targets[target_count++] = line;
    }
    for (;; text_count++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d.sql", argv[5], text_count + 1);
        char *text = slurp(path);
        if (!text) break;
        texts = realloc(texts, (text_count + 1) * sizeof *texts);
        texts[text_count] = text;
    }
    if (looks && text_count > 1) text_count = 1;
    if (!target_count || !text_count || width < 1) die("nothing to do", "no targets, no texts or no connections");
    if (kind == DATABASES && by_step && width != target_count) die("databases by step", "one connection for each");
    mysql_library_init(0, NULL, NULL);
    pthread_barrier_init(&barrier, NULL, width);
    pthread_t threads[width];
    for (long i = 0; i < width; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < width; i++) pthread_join(threads[i], NULL);
    return 0;
}
