# All that a running server needs; without the tests and measurements that the default target builds besides.
add_custom_target(program)

# mortise_module(NAME DEPENDS m1 m2 … LIBRARIES l1 …): the core folder NAME as the static library mti_NAME.
# Its headers are reached as "NAME/x.h" only by those who depend on it, so an include against the layers does not build.
function(mortise_module name)
  cmake_parse_arguments(M "" "" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(root ${CMAKE_BINARY_DIR}/modules/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${name} SYMBOLIC)
  add_library(mti_${name} STATIC ${sources})
  target_include_directories(mti_${name} PUBLIC ${root})
  list(TRANSFORM M_DEPENDS PREPEND mti_)
  target_link_libraries(mti_${name} PUBLIC mortise_sdk ${M_DEPENDS} PRIVATE ${M_LIBRARIES})
endfunction()

# mortise_plugin(NAME LIBRARIES l1 …): plugins/NAME as NAME.so beside copies of its manifest, contract, SQL and policies in
# ${CMAKE_BINARY_DIR}/plugins/NAME, a folder that the host can load as it is. A plugin without C has no .so.
function(mortise_plugin name)
  cmake_parse_arguments(P "" "" "LIBRARIES" ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/plugins/${name})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  file(GLOB_RECURSE parts CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}
       ${CMAKE_CURRENT_SOURCE_DIR}/*.json ${CMAKE_CURRENT_SOURCE_DIR}/queries.sql
       ${CMAKE_CURRENT_SOURCE_DIR}/sql/*.sql ${CMAKE_CURRENT_SOURCE_DIR}/policies/*.lua)
  list(FILTER parts EXCLUDE REGEX "^tests/")
  set(copies)
  foreach(part ${parts})
    add_custom_command(OUTPUT ${out}/${part}
      COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/${part} ${out}/${part}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${part} VERBATIM)
    list(APPEND copies ${out}/${part})
  endforeach()
  add_custom_target(plugin_${name}_files ALL DEPENDS ${copies})
  string(FIND ${CMAKE_CURRENT_SOURCE_DIR}/ ${CMAKE_SOURCE_DIR}/plugins/ at)
  if(at EQUAL 0)
    add_dependencies(program plugin_${name}_files)
  endif()
  if(sources)
    add_library(plugin_${name} MODULE ${sources})
    set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
      LIBRARY_OUTPUT_DIRECTORY ${out} C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden)
    target_link_libraries(plugin_${name} PRIVATE mortise_sdk ${P_LIBRARIES})
    add_dependencies(plugin_${name} plugin_${name}_files)
    if(at EQUAL 0)
      add_dependencies(program plugin_${name})
    endif()
  endif()
endfunction()

# mortise_test(FILE LIBRARIES l1 …): a cmocka test program named after its file; run by ctest with the label "unit".
function(mortise_test file)
  cmake_parse_arguments(T "" "LABEL" "LIBRARIES" ${ARGN})
  get_filename_component(base ${file} NAME_WE)
  get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR}/${file} DIRECTORY)
  get_filename_component(folder ${folder} NAME)
  set(target ${folder}_${base})
  add_executable(${target} ${file})
  target_link_libraries(${target} PRIVATE ${T_LIBRARIES} cmocka)
  if(NOT T_LABEL)
    set(T_LABEL unit)
  endif()
  add_test(NAME ${folder}/${base} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${folder}/${base} PROPERTIES LABELS ${T_LABEL} TIMEOUT 600)
endfunction()
