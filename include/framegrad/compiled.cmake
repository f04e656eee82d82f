# framegrad::compiled: the same headers, with the ops of some scalar types compiled once, into a library, for programs that care for build time.
#
# Whoever links it gets a generated list included before everything else: for each `apply<ops::Softmax<T>>` in ops/*.hpp and each type
#
#   extern template struct fg::detail::Applied<fg::ops::Softmax<float>>;
#
# An op or a type that isn't in the list is compiled where it is used, as without the library.

# What an op takes beside the scalar type, where its header leaves it open. Other such ops are small, and not in the list.
set(framegrad_values_of_Linear fg::NoActivation fg::Gelu fg::GeluTanh fg::Relu fg::Silu)
set(framegrad_values_of_Conv fg::NoActivation fg::Relu)
set(framegrad_values_of_Rope fg::RopeAdjacent fg::RopeHalves)
set(framegrad_values_of_Extreme false true)
# Ops that share kernels share a file, a fourth one takes the rest: no file takes a minute.
set(framegrad_groups "(Linear|Matmul|Conv)<" "(Attention|Norm|Modulate|Softmax|Var)<" "(Unary|Binary|Where|Entropy|Mse)<" ".")

# The library `target` over `engine` (framegrad, framegrad_simt, …) with the ops of the types named behind.
function(framegrad_add_compiled target engine)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/framegrad/ops/*.hpp)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${headers})
  set(includes "")
  set(ops "")
  foreach(header ${headers})
    file(READ ${header} content)
    get_filename_component(name ${header} NAME)
    string(APPEND includes "#include <framegrad/ops/${name}>\n")
    string(REGEX MATCHALL "apply<ops::[A-Za-z]+<T(, [A-Za-z:]+)?>>\\(" calls "${content}")
    foreach(call ${calls})
      string(REGEX REPLACE "^apply<ops::([A-Za-z]+)<T(, )?(.*)>>\\($" "\\1;\\3" parts "${call}")
      list(POP_FRONT parts op value)
      if(framegrad_values_of_${op})
        foreach(each ${framegrad_values_of_${op}})
          list(APPEND ops "${op}<T, ${each}>")
        endforeach()
      elseif(value STREQUAL "")
        list(APPEND ops "${op}<T>")
      elseif(value MATCHES "::")  # formula::Gelu; a bare name is a parameter of the function
        list(APPEND ops "${op}<T, fg::${value}>")
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES ops)

  set(folder ${PROJECT_BINARY_DIR}/${target})
  set(declarations "")
  set(files "")
  foreach(type ${ARGN})
    set(left ${ops})
    set(number 0)
    foreach(group ${framegrad_groups})
      set(of_group ${left})
      list(FILTER of_group INCLUDE REGEX ${group})
      list(FILTER left EXCLUDE REGEX ${group})
      set(definitions "")
      foreach(op ${of_group})
        string(REPLACE "<T" "<${type}" op "${op}")
        string(APPEND definitions "template struct fg::detail::Applied<fg::ops::${op}>;\n")
        string(APPEND declarations "extern template struct fg::detail::Applied<fg::ops::${op}>;\n")
      endforeach()
      string(MAKE_C_IDENTIFIER ${type}_${number} name)
      file(GENERATE OUTPUT ${folder}/${name}.cpp CONTENT "${includes}\n${definitions}")
      list(APPEND files ${folder}/${name}.cpp)
      math(EXPR number "${number} + 1")
    endforeach()
  endforeach()
  # What a tensor of unknown type may need, whatever the types named.
  set(definitions "template struct fg::detail::HostCopy<>;\n")
  foreach(type double float fg::bf16 fg::half)
    if(NOT type IN_LIST ARGN)
      string(APPEND definitions "template struct fg::detail::Applied<fg::ops::Contiguous<${type}>>;\n")
    endif()
  endforeach()
  file(GENERATE OUTPUT ${folder}/any.cpp CONTENT "${includes}\n${definitions}")
  list(APPEND files ${folder}/any.cpp)
  string(REGEX REPLACE "template struct" "extern template struct" definitions "${definitions}")
  string(APPEND declarations "${definitions}")
  file(GENERATE OUTPUT ${folder}/compiled.hpp CONTENT "#pragma once\n${includes}\n${declarations}")

  add_library(${target} STATIC EXCLUDE_FROM_ALL ${files})
  target_link_libraries(${target} PUBLIC ${engine} PRIVATE framegrad_own)
  target_compile_options(${target} INTERFACE "SHELL:-include \"${folder}/compiled.hpp\"")
endfunction()
