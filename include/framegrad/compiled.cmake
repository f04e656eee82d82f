# framegrad::compiled: the same headers, but the ops of floating types are compiled once, into a library, for programs that care for build time.
#
# Linking it includes a generated list before everything else: for each `apply<ops::Softmax<T>>` in ops/*.hpp and each type
#
#   extern template struct fg::detail::Applied<fg::ops::Softmax<float>>;
#
# An op that isn't in the list is compiled where it is used, as without the library.
set(types double float fg::bf16 fg::half)
# What an op takes beside the scalar type, where its header leaves it open. The engine's other such ops are small, or seldom used.
set(values_of_Linear fg::NoActivation fg::Gelu fg::GeluTanh fg::Relu fg::Silu)
set(values_of_Rope fg::RopeAdjacent fg::RopeHalves)
set(values_of_Extreme false true)

file(GLOB op_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/ops/*.hpp)
set(includes "")
set(all_ops "")
foreach(op_file ${op_files})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${op_file})
  file(READ ${op_file} content)
  get_filename_component(stem ${op_file} NAME)
  string(APPEND includes "#include <framegrad/ops/${stem}>\n")
  string(REGEX MATCHALL "apply<ops::[A-Za-z]+<T(, [A-Za-z:]+)?>>\\(" calls "${content}")
  foreach(call ${calls})
    string(REGEX REPLACE "^apply<(.*)>\\($" "\\1" op "${call}")
    string(REGEX REPLACE "^ops::([A-Za-z]+)<.*" "\\1" name "${op}")
    if(values_of_${name})
      foreach(value ${values_of_${name}})
        list(APPEND all_ops "fg::ops::${name}<T, ${value}>")
      endforeach()
    elseif(NOT op MATCHES "<T, [A-Z][A-Za-z]*>")  # a parameter of the function, not the name of a rule or formula
      string(REGEX REPLACE "<T, " "<T, fg::" op "${op}")
      list(APPEND all_ops "fg::${op}")
    endif()
  endforeach()
endforeach()
list(REMOVE_DUPLICATES all_ops)

# Ops that share kernels share a file; no file takes a minute.
set(group_0 "Linear|Matmul")
set(group_1 "Attention|Conv|Norm|Softmax|Var")
set(group_2 "Unary|Binary|Where|CrossEntropy|Mse")
set(generated ${CMAKE_CURRENT_BINARY_DIR}/compiled)
set(declarations "")
set(compiled_sources "")
foreach(type ${types})
  set(left ${all_ops})
  foreach(group RANGE 3)
    set(ops ${left})
    if(group_${group})
      list(FILTER ops INCLUDE REGEX "^fg::ops::[A-Za-z]*(${group_${group}})[A-Za-z]*<")
      list(REMOVE_ITEM left ${ops})
    endif()
    set(definitions "")
    foreach(op ${ops})
      string(REPLACE "<T" "<${type}" op "${op}")
      string(APPEND definitions "template struct fg::detail::Applied<${op}>;\n")
      string(APPEND declarations "extern template struct fg::detail::Applied<${op}>;\n")
    endforeach()
    string(MAKE_C_IDENTIFIER ${type}_${group} name)
    file(GENERATE OUTPUT ${generated}/${name}.cpp CONTENT "${includes}\n${definitions}")
    list(APPEND compiled_sources ${generated}/${name}.cpp)
  endforeach()
endforeach()
file(GENERATE OUTPUT ${generated}/framegrad_compiled.hpp CONTENT "#pragma once\n${includes}\n${declarations}")

add_library(framegrad_compiled STATIC EXCLUDE_FROM_ALL ${compiled_sources})
add_library(framegrad::compiled ALIAS framegrad_compiled)
target_link_libraries(framegrad_compiled PUBLIC framegrad)
target_compile_options(framegrad_compiled INTERFACE "SHELL:-include \"${generated}/framegrad_compiled.hpp\"")
