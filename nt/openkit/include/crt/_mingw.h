/* mingw-w64's compiler set-up, read by clang in its MSVC mode.
 *
 * mingw-w64 takes every compiler that is not GCC for one without attributes, and marks half of its
 * C library as deprecated for MSVC. Neither is wanted here. */
#ifndef OPENKIT_MINGW_H
#define OPENKIT_MINGW_H

/* Its va_list for MSVC knows x86 only; the compiler's own serves every architecture. */
#define _INC_VADEFS
#define _VA_LIST_DEFINED
typedef __builtin_va_list va_list;
#define _crt_va_start(list, last) __builtin_va_start(list, last)
#define _crt_va_arg(list, type) __builtin_va_arg(list, type)
#define _crt_va_end(list) __builtin_va_end(list)
#define _crt_va_copy(to, from) __builtin_va_copy(to, from)

#include_next <_mingw.h>

#undef __attribute__
#undef __MINGW_ATTRIB_DEPRECATED
#define __MINGW_ATTRIB_DEPRECATED

#endif /* OPENKIT_MINGW_H */
