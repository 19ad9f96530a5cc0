# SPDX-License-Identifier: GPL-2.0-only
# bpf_skeleton(TARGET SOURCE VMLINUX_DIR [CLANG]): compiles SOURCE (x.bpf.c) for BPF, by BPF_CLANG
# unless another is named, and makes TARGET, an interface library with its libbpf skeleton x.skel.h.
# Changing a header that it includes rebuilds it. Its warnings are errors if those of the other
# compilers are.
find_program(BPF_CLANG NAMES clang REQUIRED)
find_program(BPF_STRIP NAMES llvm-strip llvm-strip-19 llvm-strip-14 REQUIRED)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

function(bpf_skeleton target source vmlinux_dir)
    set(clang ${ARGN})
    if(NOT clang)
        set(clang ${BPF_CLANG})
    endif()
    get_filename_component(name ${source} NAME_WE)
    get_filename_component(source ${source} ABSOLUTE)
    get_filename_component(source_dir ${source} DIRECTORY)
    set(dir ${CMAKE_CURRENT_BINARY_DIR}/${target})
    set(object ${dir}/${name}.bpf.o)
    set(skeleton ${dir}/${name}.skel.h)
    file(MAKE_DIRECTORY ${dir})
    add_custom_command(
        OUTPUT ${object}
        COMMAND ${clang} -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra
                $<$<BOOL:${CMAKE_COMPILE_WARNING_AS_ERROR}>:-Werror>
                -D__TARGET_ARCH_x86 -I${vmlinux_dir} -I${source_dir}
                -MD -MF ${object}.d -MQ ${object} -c ${source} -o ${object}
        COMMAND ${BPF_STRIP} -g ${object}
        DEPENDS ${source}
        DEPFILE ${object}.d
        COMMENT "BPF program ${name}"
        COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_command(
        OUTPUT ${skeleton}
        COMMAND sh -c "\"$1\" gen skeleton \"$2\" name \"$3\" > \"$4.new\" && mv \"$4.new\" \"$4\""
                sh ${BPFTOOL} ${object} ${name}_bpf ${skeleton}
        DEPENDS ${object}
        COMMENT "BPF skeleton ${name}"
        VERBATIM)
    add_custom_target(${target}_files DEPENDS ${skeleton})
    add_library(${target} INTERFACE)
    add_dependencies(${target} ${target}_files)
    target_include_directories(${target} SYSTEM INTERFACE ${dir})
endfunction()
