# Unity builds for Binaryen's object libraries; read by binaryen.cmake beside this file.
include(${CMAKE_CURRENT_LIST_DIR}/binaryen-asyncify.cmake)

function(dormouse_unity)
  dormouse_without(passes Outlining hash-stringify-walker)
  dormouse_without(support suffix_tree suffix_tree_node)
  foreach(target passes ir wasm parser support asmjs emscripten-optimizer)
    if(TARGET ${target})
      set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
    endif()
  endforeach()
  # Names that clash with a neighbour's in the same unit.
  dormouse_alone(passes Directize.cpp DuplicateFunctionElimination.cpp TypeGeneralizing.cpp
    TypeMerging.cpp)
  dormouse_alone(wasm wasm-s-parser.cpp)
endfunction()

# Sources that are not compiled.
function(dormouse_without target)
  if(TARGET ${target})
    get_target_property(sources ${target} SOURCES)
    foreach(name ${ARGN})
      list(FILTER sources EXCLUDE REGEX "(^|/)${name}\\.cpp$")
    endforeach()
    set_property(TARGET ${target} PROPERTY SOURCES ${sources})
  endif()
endfunction()

function(dormouse_alone target)
  if(TARGET ${target})
    get_target_property(folder ${target} SOURCE_DIR)
    foreach(file ${ARGN})
      set_source_files_properties(${folder}/${file} TARGET_DIRECTORY ${target}
        PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endforeach()
  endif()
endfunction()

# Targets exist only once every folder has been read. Older cmake builds the slow way.
if(NOT CMAKE_VERSION VERSION_LESS 3.19)
  cmake_language(DEFER CALL dormouse_asyncify)
  cmake_language(DEFER CALL dormouse_unity)
endif()
