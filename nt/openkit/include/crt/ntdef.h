/* mingw-w64's basic NT types, with two macros that clang can evaluate as constants. */
#ifndef OPENKIT_NTDEF_H
#define OPENKIT_NTDEF_H

#include_next <ntdef.h>

#undef FIELD_OFFSET
#define FIELD_OFFSET(Type, Field) ((LONG)__builtin_offsetof(Type, Field))
#undef C_ASSERT
#define C_ASSERT(condition) _Static_assert(condition, #condition)

#endif /* OPENKIT_NTDEF_H */
