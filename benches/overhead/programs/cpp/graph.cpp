// Pointer chasing with virtual calls: expressions as trees of objects, evaluated again and again, and a list of
// visitors over them. One kind of node reads a line, so that every virtual call may suspend; it stands deep in a tree.
#include <stdint.h>

extern "C" {
#include "../c/midway.h"
}

// Without the C++ library, which is not needed for this.
void *operator new(size_t size) { return malloc(size); }
void operator delete(void *pointer) noexcept { free(pointer); }
void operator delete(void *pointer, size_t) noexcept { free(pointer); }
extern "C" void __cxa_pure_virtual() { abort(); }

namespace {

bool wait_now = false;

struct Context {
    uint64_t variables[8];
    uint64_t visited;
};

struct Node {
    virtual ~Node() {}
    virtual uint64_t eval(Context &context) const = 0;
    virtual unsigned size() const = 0;
};

struct Constant : Node {
    uint64_t value;
    explicit Constant(uint64_t value) : value(value) {}
    uint64_t eval(Context &context) const override { return context.visited++, value; }
    unsigned size() const override { return 1; }
};

struct Variable : Node {
    unsigned index;
    explicit Variable(unsigned index) : index(index) {}
    uint64_t eval(Context &context) const override { return context.variables[index]; }
    unsigned size() const override { return 1; }
};

struct Input : Node {
    uint64_t eval(Context &context) const override {
        if (wait_now) {
            wait_now = false;
            midway();
        }
        return context.variables[0] ^ 5;
    }
    unsigned size() const override { return 1; }
};

struct Pair : Node {
    Node *left, *right;
    Pair(Node *left, Node *right) : left(left), right(right) {}
    ~Pair() override {
        delete left;
        delete right;
    }
    unsigned size() const override { return 1 + left->size() + right->size(); }
};

struct Sum : Pair {
    using Pair::Pair;
    uint64_t eval(Context &context) const override { return left->eval(context) + right->eval(context); }
};

struct Product : Pair {
    using Pair::Pair;
    uint64_t eval(Context &context) const override { return left->eval(context) * right->eval(context) + 1; }
};

struct Choice : Pair {
    using Pair::Pair;
    uint64_t eval(Context &context) const override {
        return context.visited & 1 ? left->eval(context) : right->eval(context);
    }
};

struct Repeat : Pair {
    using Pair::Pair;
    uint64_t eval(Context &context) const override {
        uint64_t sum = 0, times = 1 + left->eval(context) % 3;
        for (uint64_t i = 0; i < times; i++) sum = sum * 31 + right->eval(context);
        return sum;
    }
};

uint32_t seed = 12345;
uint32_t next() { return (seed = seed * 1664525u + 1013904223u) >> 8; }

Node *grow(int depth) {
    if (depth == 0) {
        uint32_t kind = next() % 10;
        if (kind < 4) return new Constant(next());
        if (kind < 9) return new Variable(next() % 8);
        return new Input;
    }
    Node *left = grow(depth - 1);
    Node *right = grow(depth - 1);
    switch (next() % 10) {
    case 0: case 1: case 2: case 3: return new Sum(left, right);
    case 4: case 5: case 6: return new Product(left, right);
    case 7: case 8: return new Choice(left, right);
    default: return new Repeat(left, right);
    }
}

} // namespace

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 20;
    started();
    Node *trees[16];
    unsigned size = 0;
    for (Node *&tree : trees) size += (tree = grow(12))->size();
    Context context = {{1, 2, 3, 5, 8, 13, 21, 34}, 0};
    uint64_t checksum = size;
    for (int round = 0; round < 2 * rounds; round++) {
        if (round == rounds) wait_now = true;
        for (Node *tree : trees) {
            checksum = checksum * 31 + tree->eval(context);
            context.variables[round & 7] += checksum & 0xFF;
        }
    }
    for (Node *tree : trees) delete tree;
    finished(checksum + context.visited);
    return 0;
}
