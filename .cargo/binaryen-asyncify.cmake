# Lets whoever runs Binaryen's pass asyncify choose the passes that it runs inside itself.
#
# Asyncify optimizes each function twice with Binaryen's full list of passes: before it saves locals
# and after it. That is most of the time that the rewriting of a large module takes, and dormouse
# uses the result for what runs after a resume only. The C interface reaches these two lists with
# "all or nothing". So this file writes a copy of Asyncify.cpp into the build's folder, in which the
# pass takes them from its arguments `asyncify-passes-before-locals` and
# `asyncify-passes-after-locals`. Without these arguments it does what it did.
#
# Where the source is another than the one that this was written for, the build stops here.
# The test `asyncify_takes_lists_of_passes` holds that the lists arrive.

function(dormouse_asyncify)
  if(NOT TARGET passes)
    return()
  endif()
  get_target_property(folder passes SOURCE_DIR)
  file(READ ${folder}/Asyncify.cpp source)

  set(all "runner.addDefaultFunctionOptimizationPasses();")
  set(before "        addPasses(runner, options, \"asyncify-passes-before-locals\");\n")
  set(after "        addPasses(runner, options, \"asyncify-passes-after-locals\");\n")
  dormouse_replace(source "        ${all}\n      }\n      runner.add(std::make_unique<AsyncifyLocals>("
    "${before}      }\n      runner.add(std::make_unique<AsyncifyLocals>(")
  dormouse_replace(source "        ${all}\n      }\n      runner.setIsNested(true);"
    "${after}      }\n      runner.setIsNested(true);")

  set(start "struct Asyncify : public Pass {\n")
  string(CONCAT chosen
    "// The passes that an argument names, separated by commas; without it, all.\n"
    "static void addPasses(PassRunner& runner, PassOptions& options, const char* argument) {\n"
    "  if (!options.hasArgument(argument)) {\n"
    "    runner.addDefaultFunctionOptimizationPasses();\n"
    "    return;\n"
    "  }\n"
    "  for (auto& pass : String::Split(options.getArgument(argument, \"\"), String::Split::NewLineOr(\",\"))) {\n"
    "    runner.add(pass);\n"
    "  }\n"
    "}\n\n")
  dormouse_replace(source "${start}" "${chosen}${start}")

  set(copy ${CMAKE_BINARY_DIR}/dormouse/Asyncify.cpp)
  # Writes only what has changed, so that nothing is compiled again without need.
  file(CONFIGURE OUTPUT ${copy} CONTENT "@source@" @ONLY)
  get_target_property(sources passes SOURCES)
  list(TRANSFORM sources REPLACE "^(.*/)?Asyncify\\.cpp$" "${copy}")
  set_target_properties(passes PROPERTIES SOURCES "${sources}")
  # Its headers stand beside the original.
  target_include_directories(passes PRIVATE ${folder})
endfunction()

# Replaces a text that stands exactly once in a variable.
function(dormouse_replace variable old new)
  string(FIND "${${variable}}" "${old}" first)
  string(FIND "${${variable}}" "${old}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "Binaryen's Asyncify.cpp is not the one that .cargo/binaryen-asyncify.cmake changes: it has no single\n${old}")
  endif()
  string(REPLACE "${old}" "${new}" replaced "${${variable}}")
  set(${variable} "${replaced}" PARENT_SCOPE)
endfunction()
