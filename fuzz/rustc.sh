#!/bin/sh
# rustc for `fuzz/run.sh`: what parses input from strangers is compiled with coverage for libFuzzer; engines,
# whose code would drown it, and the fuzzers' own code are not. Works with the stable toolchain.
rustc=$1
shift
case " $* " in
  *" --crate-name dormouse_fuzz_targets "* | *" --crate-name dormouse_test_support "*)
    exec "$rustc" "$@" ;;
  *" --crate-name dormouse "* | *" --crate-name dormouse_"* | *" --crate-name rmp "* | *" --crate-name rmp_serde "* | \
  *" --crate-name serde_json "* | *" --crate-name wasmparser "*)
    exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
      -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks ;;
  *) exec "$rustc" "$@" ;;
esac
