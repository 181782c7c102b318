// Behaviour: the calls of wasi-testsuite's tests of arguments and the environment, with quotes and newlines in them.
#include "suite.h"

static void list(const char *name, int (*sizes)(size_t *, size_t *), int (*get)(uint8_t **, uint8_t *)) {
    size_t count = 0, bytes = 0;
    part(name);
    say("sizes", sizes(&count, &bytes));
    printf("%zu items, %zu bytes\n", count, bytes);
    uint8_t **items = calloc(count + 1, sizeof *items), *text = calloc(bytes + 1, 1);
    say("get", get(items, text));
    for (size_t i = 0; i < count; i++) {
        // Hosts order variables differently, but each lies in the text.
        int inside = items[i] >= text && items[i] + strlen((char *)items[i]) < text + bytes;
        printf("  %d: %s\n", inside, (char *)items[i]);
    }
    free(items);
    free(text);
}

static int args_sizes(size_t *count, size_t *bytes) { return __wasi_args_sizes_get(count, bytes); }
static int args(uint8_t **items, uint8_t *text) { return __wasi_args_get(items, text); }
static int env_sizes(size_t *count, size_t *bytes) { return __wasi_environ_sizes_get(count, bytes); }
static int env(uint8_t **items, uint8_t *text) { return __wasi_environ_get(items, text); }

int main(void) {
    for (int turn = 0; turn < 2; turn++) {
        list("arguments", args_sizes, args);
        list("variables", env_sizes, env);
        fflush(stdout);
        usleep(5000);
    }
    __wasi_proc_exit(0);
}
