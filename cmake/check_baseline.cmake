# Fails if an object outside the per-instruction-set kernels holds a VEX or EVEX instruction (AVX and later, BMI): any
# x86-64 CPU must be able to run it.
#   cmake -DOBJDUMP=... "-DOBJECTS=a.o;b.o" -P check_baseline.cmake
set(bmi "andn|bextr|blsi|blsmsk|blsr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx")
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${OBJDUMP} -d --no-show-raw-insn ${object} OUTPUT_VARIABLE code RESULT_VARIABLE status)
  if(status OR NOT code MATCHES "<[^>]+>:")
    message(FATAL_ERROR "${OBJDUMP} finds no code in ${object}")
  endif()
  # all of AVX begins with v or uses ymm, zmm or mask registers
  if(code MATCHES "\n +[0-9a-f]+:[ \t]+(v[a-z0-9]+ [^\n]*%[xyz]mm[^\n]*|vzero[a-z]+|[^\n]*%[yz]mm[^\n]*|k[a-z]+[bwdq] [^\n]*|(${bmi})[lq]? [^\n]*)")
    message(FATAL_ERROR "${object} holds an instruction that a plain x86-64 CPU lacks: ${CMAKE_MATCH_1}")
  endif()
endforeach()
