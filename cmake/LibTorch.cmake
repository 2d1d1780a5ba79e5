# LibTorch from the Python wheel in .venv, as one imported target `libtorch` (CPU half).
#
# The wheel's own CMake package is not used: it demands a CUDA toolkit and redefines
# protobuf::libprotobuf to link nothing. libtorch_cpu.so needs only the CUDA runtime and CUPTI
# libraries that two small wheels bring.
if(NOT CLOISTER_SITE_PACKAGES)
  file(REAL_PATH .venv venv BASE_DIRECTORY ${CMAKE_SOURCE_DIR})
  execute_process(
    COMMAND ${venv}/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"
    OUTPUT_VARIABLE CLOISTER_SITE_PACKAGES OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE result)
  if(result)
    message(FATAL_ERROR "LibTorch: no Python environment in ${venv}: run ./dev setup")
  endif()
endif()

set(torch_root ${CLOISTER_SITE_PACKAGES}/torch)
if(NOT EXISTS ${torch_root}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch: ${torch_root} has no lib/libtorch_cpu.so: run ./dev setup")
endif()

set(CLOISTER_TORCH_LIBRARIES ${torch_root}/lib)
add_library(libtorch INTERFACE)
# Included last, so that the wheel's fmt and protobuf headers never shadow Debian's.
target_compile_options(libtorch INTERFACE
  "SHELL:-idirafter ${torch_root}/include"
  "SHELL:-idirafter ${torch_root}/include/torch/csrc/api/include")
# at::parallel_for() is a plain loop in code that is compiled without OpenMP. The wheel's own runtime
# is linked, so that a process has one set of threads.
target_compile_options(libtorch INTERFACE -fopenmp)
target_link_libraries(libtorch INTERFACE ${torch_root}/lib/libtorch_cpu.so ${torch_root}/lib/libc10.so
  ${torch_root}/lib/libgomp.so.1)
target_link_options(libtorch INTERFACE
  -Wl,-rpath,${torch_root}/lib -Wl,-rpath,${CLOISTER_SITE_PACKAGES}/nvidia/cu13/lib
  -Wl,-rpath-link,${CLOISTER_SITE_PACKAGES}/nvidia/cu13/lib)
