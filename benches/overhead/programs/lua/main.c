// Lua with a script of ours. The script gets `midway()`, and prints through `finish(checksum)`.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "../c/midway.h"

static int wait_midway(lua_State *L) {
    (void)L;
    midway();
    return 0;
}

static int finish(lua_State *L) {
    finished((unsigned long long)luaL_checkinteger(L, 1));
    return 0;
}

int main(int argc, char **argv) {
    started();
    lua_State *L = luaL_newstate();
    luaL_requiref(L, "_G", luaopen_base, 1);
    luaL_requiref(L, "table", luaopen_table, 1);
    luaL_requiref(L, "string", luaopen_string, 1);
    luaL_requiref(L, "math", luaopen_math, 1);
    lua_settop(L, 0);
    lua_register(L, "midway", wait_midway);
    lua_register(L, "finish", finish);
    static const char script[] = {
#include "script.inc"
        , 0};
    if (luaL_loadbuffer(L, script, sizeof script - 1, "script") != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        return 1;
    }
    lua_pushinteger(L, argc > 1 ? atoi(argv[1]) : 10);
    lua_call(L, 1, 0);
    return 0;
}
