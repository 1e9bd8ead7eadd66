# Fails if a kernel object defines a weak symbol outside its own instruction set's namespace: the linker would merge
# it with the baseline's copy, and code for a newer CPU would run on an older one.
#   cmake -DNM=... -DISA=v4 "-DOBJECTS=a.o;b.o" -P check_kernels.cmake
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --defined-only ${object} OUTPUT_VARIABLE symbols RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "${NM} cannot read ${object}")
  endif()
  if(symbols MATCHES "_GLOBAL__sub_I")
    message(FATAL_ERROR "${object} runs code when it is loaded, on any CPU: make its constants constexpr")
  endif()
  string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
  foreach(line IN LISTS weak)
    if(NOT line MATCHES "2rv[0-9]+${ISA}| DW\\.ref\\.")  # the latter are addresses, the same in all
      message(FATAL_ERROR "${object} defines a weak symbol that could replace the baseline's: ${line}")
    endif()
  endforeach()
endforeach()
