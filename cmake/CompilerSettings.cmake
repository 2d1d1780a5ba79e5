# Compiler settings shared by every target of ours.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CLOISTER_SANITIZER "" CACHE STRING "Value of -fsanitize=, empty for none")

if(CLOISTER_SANITIZER)
  add_compile_options(-fsanitize=${CLOISTER_SANITIZER} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CLOISTER_SANITIZER})
endif()
if(CLOISTER_FUZZ)
  add_compile_options(-fno-sanitize-recover=all)  # a fuzzer stops where something is undefined
endif()
add_link_options(-Wl,-z,relro,-z,now)

# cloister_library(name SOURCES a.cc … [DEPENDS target …]): one static library a folder, named
# after it, with the warnings that our own code must be free of.
function(cloister_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_DEPENDS})
  cloister_warnings(${name})
endfunction()

# Warnings are errors with the compiler that every build uses; fuzzers are built with another one.
function(cloister_warnings name)
  target_compile_options(${name} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-missing-field-initializers -fstack-protector-strong>
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Werror -Wno-restrict>)
endfunction()
