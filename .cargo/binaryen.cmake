# What we ask of Binaryen's own cmake files when cargo builds crate `binaryen-sys`.
#
# Only the static library is needed, so the command-line tools are left out. Its sources include
# the same large headers again and again: compiling ten at a time as one "unity" file takes a third
# of the time. A few files define a name or a macro that another file uses otherwise; these stay
# alone.
#
# cmake reads a toolchain file several times, also for its own small test programs, so the work is
# deferred to a hook that runs for the project named `binaryen` only.
# Modules reach Binaryen without debug information, so that its copy of LLVM has nothing to do. The
# one pass that borrows from LLVM otherwise, Outlining, is left out with it.
set(BUILD_LLVM_DWARF OFF CACHE BOOL "" FORCE)
add_compile_definitions(SKIP_OUTLINING)
set(BUILD_TOOLS OFF CACHE BOOL "" FORCE)
set(CMAKE_PROJECT_binaryen_INCLUDE "${CMAKE_CURRENT_LIST_DIR}/binaryen-unity.cmake")
