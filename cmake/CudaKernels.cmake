# The CUDA compiler, called directly: kernels are files of their own that `cloister` opens when a GPU
# is present, so no other target has to know about CUDA, and no CUDA library is needed to build.
find_program(CLOISTER_NVCC nvcc HINTS
  $ENV{CUDA_HOME}/bin /usr/local/cuda/bin ${CLOISTER_SITE_PACKAGES}/nvidia/cu13/bin)
if(NOT CLOISTER_NVCC)
  message(FATAL_ERROR "CUDA: no nvcc found: run ./dev setup")
endif()
cmake_path(GET CLOISTER_NVCC PARENT_PATH nvcc_folder)
cmake_path(SET CLOISTER_CUDA_INCLUDE NORMALIZE ${nvcc_folder}/../include)
set(CLOISTER_CUDA_ARCHITECTURES sm_80 sm_90)
set(CLOISTER_CUBIN_DIR ${CMAKE_BINARY_DIR}/lib/cuda)

# cloister_cubin(kernel.cu): compiled in every build, for each architecture, to
# lib/cuda/kernel.sm_80.cubin with the compiler's report beside it.
function(cloister_cubin source)
  get_filename_component(kernel ${source} NAME_WE)
  file(MAKE_DIRECTORY ${CLOISTER_CUBIN_DIR})
  set(cubins)
  foreach(architecture ${CLOISTER_CUDA_ARCHITECTURES})
    set(stem ${CLOISTER_CUBIN_DIR}/${kernel}.${architecture})
    add_custom_command(
      OUTPUT ${stem}.cubin ${stem}.ptx ${stem}.ptxas.txt
      COMMAND ${CMAKE_COMMAND} -DNVCC=${CLOISTER_NVCC} -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/${source}
        -DINCLUDE=${CMAKE_SOURCE_DIR} -DARCHITECTURE=${architecture} -DOUTPUT=${stem}
        -P ${CMAKE_SOURCE_DIR}/kernels/cuda/compile_cubin.cmake
      DEPENDS ${source} ${kernel}.h ${CMAKE_SOURCE_DIR}/kernels/emulator/device.h
        ${CMAKE_SOURCE_DIR}/kernels/cuda/compile_cubin.cmake
      COMMENT "CUDA ${kernel} for ${architecture}" VERBATIM)
    list(APPEND cubins ${stem}.cubin)
  endforeach()
  add_custom_target(cloister_cubin_${kernel} ALL DEPENDS ${cubins})
endfunction()
