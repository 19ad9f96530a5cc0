# SPDX-License-Identifier: GPL-2.0-only
# CPack runs this on the installed files before it packs them: it adds what only Debian's policy
# requires. Manual pages and the changelog are compressed.
set(usr ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr)
file(COPY ${CPACK_EXITTOP_DEBIAN}/copyright ${CPACK_EXITTOP_DEBIAN}/changelog
    DESTINATION ${usr}/share/doc/exittop)
file(COPY ${CPACK_EXITTOP_DEBIAN}/lintian-overrides DESTINATION ${usr}/share/lintian/overrides)
file(RENAME ${usr}/share/lintian/overrides/lintian-overrides ${usr}/share/lintian/overrides/exittop)
execute_process(COMMAND gzip -9n ${usr}/share/doc/exittop/changelog ${usr}/share/man/man8/exittop.8
    ${usr}/share/man/man1/exitleaf.1 COMMAND_ERROR_IS_FATAL ANY)
