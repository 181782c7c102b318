// flags: -mllvm -wasm-use-legacy-eh
// Behaviour: the same in the form of exceptions that was there first, which engines no longer run.
#include "eh_throw.cpp"
