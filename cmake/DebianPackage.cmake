# SPDX-License-Identifier: GPL-2.0-only
# The package for Debian: `cpack --config build/release/CPackConfig.cmake` (target `package`).
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The exittop authors <maintainers@exittop.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "why KVM's virtual machines leave guest mode")
set(CPACK_PACKAGE_DESCRIPTION
"exittop counts the VM exits of all KVM virtual machines of a host by reason,
per VM and vCPU, and measures what they cost, with a BPF program that can stay
on. It has a live view, prints tables, JSON and CSV, and exports metrics for
Prometheus; 'exittop lab' shows it all in an emulated host.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
# Packages that `exittop lab` needs, and the one that reads the metrics.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "python3, busybox-static, zstd, lz4, qemu-system-x86, \
bochs, bochsbios, vgabios, prometheus-node-exporter")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(script postinst prerm postrm)
    list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/debian/${script})
endforeach()
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/debian_files.cmake)
set(CPACK_EXITTOP_DEBIAN ${CMAKE_SOURCE_DIR}/deploy/debian)
include(CPack)
