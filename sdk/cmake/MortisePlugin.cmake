# For plugins, in Mortise's tree and outside it.

# mortise_add_plugin(NAME [OUTPUT dir] [LIBRARIES l1 …]): the current folder as a plugin that the host can load. OUTPUT (default:
# plugins/NAME in the build folder) gets NAME.so, built from the folder's *.c and *.cc, or from NAME.rs by rustc, and copies of its manifest,
# contract, queries, migrations, policies, README.md, LICENSE, CHANGELOG.md and files/. NAME is the slug. Without sources there is no .so.
function(mortise_add_plugin name)
  cmake_parse_arguments(P "" "OUTPUT" "LIBRARIES" ${ARGN})
  set(source ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT P_OUTPUT AND MORTISE_PLUGIN_OUTPUT)
    set(P_OUTPUT ${MORTISE_PLUGIN_OUTPUT}/${name})
  elseif(NOT P_OUTPUT)
    set(P_OUTPUT ${CMAKE_BINARY_DIR}/plugins/${name})
  endif()
  file(GLOB parts CONFIGURE_DEPENDS RELATIVE ${source} ${source}/plugin.json ${source}/api.json ${source}/queries.sql
       ${source}/sql/*.sql ${source}/policies/*.lua ${source}/README.md ${source}/LICENSE ${source}/CHANGELOG.md)
  file(GLOB_RECURSE more CONFIGURE_DEPENDS RELATIVE ${source} ${source}/files/*)
  set(copies)
  foreach(part ${parts} ${more})
    add_custom_command(OUTPUT ${P_OUTPUT}/${part} COMMAND ${CMAKE_COMMAND} -E copy ${source}/${part} ${P_OUTPUT}/${part}
                       DEPENDS ${source}/${part} VERBATIM)
    list(APPEND copies ${P_OUTPUT}/${part})
  endforeach()
  add_custom_target(${name}_files ALL DEPENDS ${copies})
  file(GLOB sources CONFIGURE_DEPENDS ${source}/*.c ${source}/*.cc)
  if(sources)
    add_library(${name} MODULE ${sources})
    set_target_properties(${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${P_OUTPUT}
      C_STANDARD 17 CXX_STANDARD 17 C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden)
    target_link_libraries(${name} PRIVATE Mortise::sdk ${P_LIBRARIES})
    add_dependencies(${name} ${name}_files)
  elseif(EXISTS ${source}/${name}.rs)
    mortise_rust_library_(cdylib ${P_OUTPUT}/${name}.so)
    add_custom_target(${name} ALL DEPENDS ${P_OUTPUT}/${name}.so)
    add_dependencies(${name} ${name}_files)
  endif()
endfunction()

# NAME.rs over the SDK's crate (share/mortise/sdk/rust), without cargo.
function(mortise_rust_library_ kind output)
  find_program(MORTISE_RUSTC rustc REQUIRED)
  get_filename_component(folder ${output} DIRECTORY)
  set(crate ${CMAKE_CURRENT_BINARY_DIR}/libmortise.rlib)
  set(rustc ${MORTISE_RUSTC} --edition 2021 -O)
  if(MORTISE_WERROR)
    list(APPEND rustc -D warnings)
  endif()
  file(GLOB own CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.rs)
  if(NOT TARGET ${name}_crate)
    add_custom_command(OUTPUT ${crate} COMMAND ${rustc} --crate-type rlib --crate-name mortise -o ${crate} ${Mortise_RUST_DIR}/mortise.rs
                       DEPENDS ${Mortise_RUST_DIR}/mortise.rs ${Mortise_RUST_DIR}/raw.rs VERBATIM)
    add_custom_target(${name}_crate DEPENDS ${crate})
  endif()
  add_custom_command(OUTPUT ${output} COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
                     COMMAND ${rustc} --crate-type ${kind} --crate-name ${name} --extern mortise=${crate} -o ${output} ${CMAKE_CURRENT_SOURCE_DIR}/${name}.rs
                     DEPENDS ${own} ${crate} ${name}_crate VERBATIM)
endfunction()

# mortise_add_plugin_test(NAME FILE… [LIBRARIES l1 …]): a cmocka program of the plugin's own sources, these files and the fake host.
# MORTISE_PLUGIN_DIR is the plugin's folder. Without cmocka there is no test, and CMake says so.
function(mortise_add_plugin_test name)
  cmake_parse_arguments(T "" "" "LIBRARIES" ${ARGN})
  find_library(MORTISE_CMOCKA cmocka)
  if(NOT MORTISE_CMOCKA)
    message(WARNING "cmocka is not installed (libcmocka-dev): ${name} is built without its tests.")
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(NOT sources AND EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${name}.rs)
    mortise_rust_library_(staticlib ${CMAKE_CURRENT_BINARY_DIR}/lib${name}_test.a)
    add_custom_target(${name}_static DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/lib${name}_test.a)
    list(APPEND T_LIBRARIES ${CMAKE_CURRENT_BINARY_DIR}/lib${name}_test.a gcc_s pthread dl m)
  endif()
  add_executable(${name}_test ${sources} ${T_UNPARSED_ARGUMENTS})
  set_target_properties(${name}_test PROPERTIES C_STANDARD 17 CXX_STANDARD 17)
  target_compile_definitions(${name}_test PRIVATE MORTISE_PLUGIN_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
  target_include_directories(${name}_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name}_test PRIVATE Mortise::testkit ${T_LIBRARIES} cmocka)
  if(TARGET ${name}_static)
    add_dependencies(${name}_test ${name}_static)
  endif()
  add_test(NAME ${name} COMMAND ${name}_test)
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 60)
endfunction()
