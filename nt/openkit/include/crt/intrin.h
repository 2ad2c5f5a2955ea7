/* The intrinsics that the inline functions of mingw-w64's DDK headers call.
 *
 * clang's own intrin.h pulls in all vector headers, which cost seconds per parse and are of no use
 * in a kernel. None of these functions is ever emitted: bindgen skips inline functions, and no C
 * file of the kit calls them. */
#ifndef OPENKIT_INTRIN_H
#define OPENKIT_INTRIN_H

unsigned __int64 __readcr8(void);
void __writecr8(unsigned __int64);
unsigned __int64 __readgsqword(unsigned long);
unsigned short __readgsword(unsigned long);
unsigned __int64 __umulh(unsigned __int64, unsigned __int64);
void __stosb(unsigned char *, unsigned char, unsigned __int64);
void __stosq(unsigned __int64 *, unsigned __int64, unsigned __int64);
void __movsb(unsigned char *, const unsigned char *, unsigned __int64);
void __movsw(unsigned short *, const unsigned short *, unsigned __int64);
void __movsd(unsigned long *, const unsigned long *, unsigned __int64);
unsigned char __inbyte(unsigned short);
unsigned short __inword(unsigned short);
unsigned long __indword(unsigned short);
void __outbyte(unsigned short, unsigned char);
void __outword(unsigned short, unsigned short);
void __outdword(unsigned short, unsigned long);
void __inbytestring(unsigned short, unsigned char *, unsigned long);
void __inwordstring(unsigned short, unsigned short *, unsigned long);
void __indwordstring(unsigned short, unsigned long *, unsigned long);
void __outbytestring(unsigned short, unsigned char *, unsigned long);
void __outwordstring(unsigned short, unsigned short *, unsigned long);
void __outdwordstring(unsigned short, unsigned long *, unsigned long);

#endif /* OPENKIT_INTRIN_H */
