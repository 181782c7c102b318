// Behaviour: setjmp and longjmp: errors several calls deep, nested protected calls as interpreters make them, a retry, and sleeps
// before, between, after, and inside of what is protected.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void nap(void) {
  struct timespec t = {0, 2 * 1000 * 1000};
  nanosleep(&t, 0);
}

struct guard {
  struct guard *outer;
  jmp_buf place;
  int status;
};

static struct guard *innermost;
static int depth_reached;

_Noreturn static void fail(int status) {
  struct guard *guard = innermost;
  guard->status = status;
  longjmp(guard->place, 1);
}

// As an interpreter's protected call: the status of `body`, zero if it came to its end.
__attribute__((noinline)) static int protect(void (*body)(int), int argument) {
  struct guard guard = {innermost, {0}, 0};
  innermost = &guard;
  if (setjmp(guard.place) == 0) body(argument);
  innermost = guard.outer;
  return guard.status;
}

__attribute__((noinline)) static void quick(int n) {
  depth_reached++;
  if (n == 0) fail(depth_reached);
  if (n > 1000) return;
  quick(n - 1);
  depth_reached += 1000;
}

__attribute__((noinline)) static void sleepy(int n) {
  nap();
  if (n == 0) fail(77);
  sleepy(n - 1);
  printf("not reached\n");
}

__attribute__((noinline)) static void nested(int n) {
  int inner = protect(sleepy, n);
  printf("  inner %d\n", inner);
  nap();
  if (n == 2) fail(inner + n);
  int again = protect(quick, n + 2);
  printf("  again %d\n", again);
}

static jmp_buf retry;
static double kept[4];

__attribute__((noinline)) static void work(int attempt, double x) {
  kept[attempt & 3] += x;
  if (attempt < 3) longjmp(retry, attempt + 1);
}

// Sleeps, but never between setjmp and what may jump to it.
__attribute__((noinline)) static double around(double x) {
  volatile int attempts = 0;
  double before = x * 3;
  nap();
  int came = setjmp(retry);
  attempts++;
  work(came, x + attempts);
  nap();
  printf("around: came %d, attempts %d, before %g\n", came, attempts, before);
  for (int i = 0; i < 3; i++) before += kept[i], nap();
  return before;
}

int main(void) {
  for (int n = 3; n < 6; n++) {
    depth_reached = 0;
    int status = protect(quick, n);
    printf("quick %d: %d, %d deep\n", n, status, depth_reached);
    nap();
  }
  printf("none: %d\n", protect(quick, 2000));
  printf("around %g\n", around(1.25));
  for (int n = 1; n < 4; n++) printf("nested %d: %d\n", n, protect(nested, n));
  jmp_buf here;
  int value = setjmp(here);
  printf("main: %d\n", value);
  nap();
  if (value < 2) longjmp(here, value + 1);
  return 3;
}
