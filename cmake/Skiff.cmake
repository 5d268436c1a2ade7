# Building blocks of the rooms: compile flags, precompiled headers, `skiff_room`, `skiff_program`.

find_program(SKIFF_CCACHE ccache)
if(SKIFF_CCACHE)
    # Precompiled headers are only cached when ccache may ignore their time stamps.
    set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
        CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 CCACHE_PCH_EXTSUM=1 ${SKIFF_CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
    set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(GTest REQUIRED)

add_library(skiff_flags INTERFACE)
target_include_directories(skiff_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(skiff_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror=return-type
    -fno-strict-aliasing -fPIE)
target_link_options(skiff_flags INTERFACE -pie)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(skiff_flags INTERFACE -Wthread-safety -Xclang -fno-pch-timestamp
        -Wno-c2y-extensions -Wno-missing-designated-field-initializers
        -Wno-deprecated-declarations)
else()
    # g++ 12 warns of its own coroutine frames and of std::optional members (false positives).
    target_compile_options(skiff_flags INTERFACE -Wno-maybe-uninitialized -Wno-missing-field-initializers
        -Wno-deprecated-declarations -Wno-dangling-pointer -Wno-attributes)
endif()
target_compile_definitions(skiff_flags INTERFACE SKIFF_VERSION="${PROJECT_VERSION}" _FILE_OFFSET_BITS=64
    BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE
    $<$<BOOL:${SKIFF_TEST_BUILD}>:SKIFF_TEST_BUILD=1>)
if(SKIFF_SANITIZE)
    target_compile_options(skiff_flags INTERFACE -fsanitize=${SKIFF_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(skiff_flags INTERFACE -fsanitize=${SKIFF_SANITIZE})
endif()
if(SKIFF_LINKER)
    target_link_options(skiff_flags INTERFACE -fuse-ld=${SKIFF_LINKER})
endif()

# Two precompiled headers: what every room uses, and what every room with coroutines uses.
add_library(skiff_pch_base STATIC ${CMAKE_SOURCE_DIR}/cmake/pch_base.cpp)
target_link_libraries(skiff_pch_base PUBLIC skiff_flags fmt::fmt)
target_precompile_headers(skiff_pch_base PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch_base.h)
add_library(skiff_pch_async STATIC ${CMAKE_SOURCE_DIR}/cmake/pch_base.cpp)
target_link_libraries(skiff_pch_async PUBLIC skiff_flags fmt::fmt)
target_precompile_headers(skiff_pch_async PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch_async.h)

# A precompiled header holds the path of its clone, so an object made with it would never be found again in the cache
# of another clone. ccache is given what the header means instead of its bytes: a sum of its preprocessed text, the
# compiler and the flags, in a file beside it. And it rewrites the path of the header, but not that of the text that
# CMake includes again (to no effect: it is guarded).
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    set(CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -Xclang -include-pch -Xclang <PCH_FILE>)
endif()
function(skiff_pch_sum target header)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header} ${CMAKE_CXX_COMPILER})
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -w -E -P -x c++ ${header}
        OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
    string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
    string(SHA256 sum "${text} ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} ${SKIFF_SANITIZE}
        ${SKIFF_TEST_BUILD} ${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}} ${PROJECT_VERSION}")
    set(folder ${CMAKE_BINARY_DIR}/CMakeFiles/${target}.dir)
    foreach(suffix pch gch)
        file(CONFIGURE OUTPUT ${folder}/cmake_pch.hxx.${suffix}.sum CONTENT "${sum}\n" @ONLY)
    endforeach()
endfunction()
skiff_pch_sum(skiff_pch_base ${CMAKE_SOURCE_DIR}/cmake/pch_base.h)
skiff_pch_sum(skiff_pch_async ${CMAKE_SOURCE_DIR}/cmake/pch_async.h)

# Every X_fuzz: ./dev fuzz builds this target in the preset `fuzz`.
if(SKIFF_FUZZ)
    add_custom_target(fuzzers)
endif()

# One program of libFuzzer for each *_fuzz.cpp: FOLDER_X_fuzz.
function(skiff_fuzzers room pch)
    get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    foreach(file ${ARGN})
        get_filename_component(stem ${file} NAME_WE)
        set(program ${folder}_${stem})
        add_executable(${program} ${file})
        target_link_libraries(${program} PRIVATE skiff_${room})
        target_link_options(${program} PRIVATE -fsanitize=fuzzer)
        target_precompile_headers(${program} REUSE_FROM ${pch})
        add_dependencies(fuzzers ${program})
    endforeach()
endfunction()

# skiff_room(NAME [ASYNC] [DEPS target...] [TEST_DEPS target...])
# One room: library skiff_NAME of the folder's *.cpp, test program NAME_test of its *_test.cpp and *_fuzz.cpp (which
# replay their corpus there; in the preset `fuzz` they are programs of their own).
# A folder with other programs' mains or fixtures lists them in EXCLUDE (file names).
function(skiff_room name)
    cmake_parse_arguments(ROOM "ASYNC" "" "DEPS;TEST_DEPS;EXCLUDE" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    set(tests ${sources})
    list(FILTER sources EXCLUDE REGEX "_(test|fuzz)\\.cpp$")
    set(fuzzers ${tests})
    list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
    list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cpp$")
    foreach(file ${ROOM_EXCLUDE})
        list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${file})
        list(REMOVE_ITEM tests ${CMAKE_CURRENT_SOURCE_DIR}/${file})
        list(REMOVE_ITEM fuzzers ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    endforeach()
    set(pch skiff_pch_base)
    if(ROOM_ASYNC)
        set(pch skiff_pch_async)
    endif()
    if(sources)
        add_library(skiff_${name} STATIC ${sources})
        target_link_libraries(skiff_${name} PUBLIC skiff_flags fmt::fmt Threads::Threads ${ROOM_DEPS})
        target_precompile_headers(skiff_${name} REUSE_FROM ${pch})
    else()
        add_library(skiff_${name} INTERFACE)
        target_link_libraries(skiff_${name} INTERFACE skiff_flags fmt::fmt Threads::Threads ${ROOM_DEPS})
    endif()
    if(SKIFF_FUZZ)
        skiff_fuzzers(${name} ${pch} ${fuzzers})
    elseif(fuzzers)
        list(APPEND tests ${fuzzers})
        set_source_files_properties(${fuzzers} PROPERTIES COMPILE_DEFINITIONS SKIFF_FUZZ_REPLAY)
    endif()
    if(tests)
        add_executable(${name}_test ${tests})
        target_link_libraries(${name}_test PRIVATE skiff_${name} ${ROOM_TEST_DEPS} GTest::gtest_main GTest::gmock)
        target_precompile_headers(${name}_test REUSE_FROM ${pch})
        add_test(NAME ${name} COMMAND ${name}_test --gtest_brief=1)
    endif()
endfunction()
