// Behaviour: C++ exceptions: thrown several calls deep, through frames with destructors, virtual calls and function pointers, caught by
// base class, by value and by `...`, thrown again and nested; sleeps before, between and after, in bodies of `try`, in handlers and in
// destructors.
#include <ctime>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

static void nap() {
  timespec t = {0, 2 * 1000 * 1000};
  nanosleep(&t, nullptr);
}

struct Trace {
  std::string name;
  bool sleeps;
  Trace(std::string n, bool s = false) : name(std::move(n)), sleeps(s) {}
  ~Trace() {
    if (sleeps) nap();
    std::printf("  ~%s\n", name.c_str());
  }
};

struct Problem : std::runtime_error {
  int code;
  Problem(int c) : std::runtime_error("problem " + std::to_string(c)), code(c) {}
};

[[gnu::noinline]] static long dive(int n, int where) {
  Trace trace("dive" + std::to_string(n));
  if (n == where) throw Problem(n * 11);
  if (n == 0) return 5;
  return dive(n - 1, where) * 3 + n;
}

// Handlers in a function that sleeps elsewhere; nothing sleeps in the body of `try`.
[[gnu::noinline]] static long beside(int where) {
  long before = where * 1000L;
  nap();
  long got;
  try {
    got = dive(4, where);
  } catch (const Problem &problem) {
    got = -problem.code;
  } catch (const std::exception &) {
    got = -1;
  }
  nap();
  return before + got;
}

struct Shape {
  virtual ~Shape() { std::printf("  gone\n"); }
  virtual double area(int n) = 0;
};
struct Square : Shape {
  double area(int n) override {
    nap();
    if (n % 3 == 0) throw n;
    return n * n;
  }
};
struct Circle : Shape {
  double area(int n) override {
    Trace trace("circle", true);
    if (n > 4) throw std::string("too round: ") + std::to_string(n);
    nap();
    return 3.0 * n * n;
  }
};

// Sleeps in the body, in a destructor on the way, and in the handlers.
[[gnu::noinline]] static double measure(Shape &shape, int n) {
  try {
    Trace trace("measure", n % 2 == 0);
    return shape.area(n);
  } catch (int number) {
    nap();
    std::printf("  int %d\n", number);
    return -number;
  } catch (const std::string &text) {
    std::printf("  string %s\n", text.c_str());
    nap();
    throw std::length_error(text);
  }
}

[[gnu::noinline]] static void again(int n) {
  try {
    try {
      nap();
      dive(2, n);
      std::printf("  nothing\n");
    } catch (...) {
      nap();
      std::printf("  again\n");
      throw;
    }
  } catch (const std::logic_error &) {
    std::printf("  wrong\n");
  }
}

struct Half {
  Trace first{"first", true};
  std::vector<int> numbers;
  Half(int n) : numbers(10, n) {
    nap();
    numbers.at(n) = 1;
    if (n == 7) throw Problem(7);
  }
};

[[gnu::noinline]] static int quiet(int n) noexcept {
  try {
    return static_cast<int>(dive(1, n));
  } catch (...) {
    return -9;
  }
}

int main() {
  for (int where : {2, 9, 0}) std::printf("beside %d: %ld\n", where, beside(where));
  std::unique_ptr<Shape> shapes[] = {std::make_unique<Square>(), std::make_unique<Circle>()};
  for (int n = 1; n < 6; n++)
    for (auto &shape : shapes) {
      try {
        std::printf("area %g\n", measure(*shape, n));
      } catch (const std::exception &problem) {
        std::printf("main: %s\n", problem.what());
      }
    }
  for (int n : {1, 5}) {
    try {
      again(n);
    } catch (Problem &problem) {
      nap();
      std::printf("again: %s\n", problem.what());
    }
  }
  for (int n : {3, 7}) {
    try {
      Half half(n);
      std::printf("half %d\n", half.numbers[n]);
    } catch (const std::exception &problem) {
      std::printf("half: %s\n", problem.what());
    }
  }
  std::printf("quiet %d %d\n", quiet(0), quiet(3));
  nap();
  return 4;
}
