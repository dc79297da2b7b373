# The libraries that the set-up (./mortise setup, scripts in mortise.d/) keeps in ${MORTISE_DEPS}, as imported targets. A file
# NAME.prefix there holds the folder in use; when set-up replaces it, CMake configures again.

function(mortise_dependency name result)
  set(file ${MORTISE_DEPS}/${name}.prefix)
  if(NOT EXISTS ${file})
    message(FATAL_ERROR "${name} is not set up in ${MORTISE_DEPS}: run ./mortise setup, "
                        "or mortise.d/fetch-${name}.sh ${MORTISE_DEPS}.")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} prefix LIMIT_COUNT 1)
  set(${result} ${prefix} PARENT_SCOPE)
endfunction()

find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)

# h2o's own server core on its own event loop: Debian's source with core/http/h2o.patch.
mortise_dependency(h2o h2o_prefix)
add_library(mortise_h2o INTERFACE IMPORTED GLOBAL)
target_include_directories(mortise_h2o SYSTEM INTERFACE ${h2o_prefix}/include)
target_compile_definitions(mortise_h2o INTERFACE H2O_USE_LIBUV=0)
target_link_libraries(mortise_h2o INTERFACE ${h2o_prefix}/lib/libh2o-evloop.a
  OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB wslay m Threads::Threads ${CMAKE_DL_LIBS})

# ONNX Runtime is opened with dlopen, so only its headers are needed here. MORTISE_ONNXRUNTIME_PREFIX_FILE names the file
# whose first line is the folder that holds lib/libonnxruntime.so.1, to be read when the program runs.
mortise_dependency(onnxruntime onnxruntime_prefix)
add_library(mortise_onnxruntime INTERFACE IMPORTED GLOBAL)
target_include_directories(mortise_onnxruntime SYSTEM INTERFACE ${onnxruntime_prefix}/include)
target_compile_definitions(mortise_onnxruntime INTERFACE
  MORTISE_ONNXRUNTIME_PREFIX_FILE="${MORTISE_DEPS}/onnxruntime.prefix")

# llama.cpp likewise: only its headers here, the libraries are opened when the plugin loads a model.
mortise_dependency(llamacpp llamacpp_prefix)
add_library(mortise_llamacpp INTERFACE IMPORTED GLOBAL)
target_include_directories(mortise_llamacpp SYSTEM INTERFACE ${llamacpp_prefix}/include)
target_compile_definitions(mortise_llamacpp INTERFACE
  MORTISE_LLAMACPP_PREFIX_FILE="${MORTISE_DEPS}/llamacpp.prefix")
