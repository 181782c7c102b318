// QuickJS with a script of ours. The script gets `midway()`, `scale`, and prints through `finish(checksum)`.
#include <quickjs.h>
#include <string.h>

#include "../c/midway.h"

static JSValue wait_midway(JSContext *context, JSValueConst self, int count, JSValueConst *values) {
    (void)context, (void)self, (void)count, (void)values;
    midway();
    return JS_UNDEFINED;
}

static JSValue finish(JSContext *context, JSValueConst self, int count, JSValueConst *values) {
    (void)self;
    int64_t checksum = 0;
    if (count < 1 || JS_ToInt64(context, &checksum, values[0])) return JS_EXCEPTION;
    finished((unsigned long long)checksum);
    return JS_UNDEFINED;
}

int main(int argc, char **argv) {
    started();
    JSRuntime *runtime = JS_NewRuntime();
    JSContext *context = JS_NewContext(runtime);
    JSValue global = JS_GetGlobalObject(context);
    JS_SetPropertyStr(context, global, "midway", JS_NewCFunction(context, wait_midway, "midway", 0));
    JS_SetPropertyStr(context, global, "finish", JS_NewCFunction(context, finish, "finish", 1));
    JS_SetPropertyStr(context, global, "scale", JS_NewInt32(context, argc > 1 ? atoi(argv[1]) : 10));
    JS_FreeValue(context, global);
    static const char script[] = {
#include "script.inc"
        , 0};
    JSValue result = JS_Eval(context, script, sizeof script - 1, "script", JS_EVAL_TYPE_GLOBAL);
    if (JS_IsException(result)) {
        const char *text = JS_ToCString(context, JS_GetException(context));
        fprintf(stderr, "%s\n", text ? text : "exception");
        return 1;
    }
    return 0;
}
