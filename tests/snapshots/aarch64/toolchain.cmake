# cmake for aarch64: the cross compiler of `setup.sh`, and what the project asks of Binaryen's own files.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_AR aarch64-linux-gnu-ar CACHE FILEPATH "" FORCE)
set(CMAKE_RANLIB aarch64-linux-gnu-ranlib CACHE FILEPATH "" FORCE)
include("${CMAKE_CURRENT_LIST_DIR}/../../.cargo/binaryen.cmake")
