# cmake -DNVCC=… -DSOURCE=… -DINCLUDE=… -DARCHITECTURE=sm_80 -DOUTPUT=stem -P compile_cubin.cmake
# Leaves stem.cubin, stem.ptx, and in stem.ptxas.txt what ptxas says of registers and memory.
set(flags -std=c++17 -O3 -arch=${ARCHITECTURE} -I${INCLUDE})
execute_process(
  COMMAND ${NVCC} ${flags} -ptx ${SOURCE} -o ${OUTPUT}.ptx
  RESULT_VARIABLE failed)
if(NOT failed)
  execute_process(
    COMMAND ${NVCC} ${flags} -cubin -Xptxas -v ${SOURCE} -o ${OUTPUT}.cubin
    RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE errors)
endif()
if(failed)
  file(REMOVE ${OUTPUT}.cubin)
  message(FATAL_ERROR "${SOURCE} does not compile for ${ARCHITECTURE}:\n${output}${errors}")
endif()
file(WRITE ${OUTPUT}.ptxas.txt "${output}${errors}")
